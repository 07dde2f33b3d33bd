// SPDX-License-Identifier: BSD-2-Clause
/* Portals that riserd would refuse are taken out, each with a note. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"

enum { PORTALS_MOST = 64 };

static const char *port_of(const char *address)
{
	return strrchr(address, ':');
}

static bool is_wildcard(const char *address)
{
	return !strncmp(address, "0.0.0.0:", 8) || !strncmp(address, "[::]:", 5);
}

/* "ADDR:PORT", ADDR in numbers and in brackets if it is one of IPv6. */
static bool is_portal(const char *text)
{
	const char *colon = strrchr(text, ':');
	unsigned char bytes[16];
	char host[INET6_ADDRSTRLEN + 2];
	size_t len = colon ? (size_t)(colon - text) : sizeof(host);
	bool six = text[0] == '[';
	unsigned long port;
	char *end;

	if (len >= sizeof(host) || !isdigit((unsigned char)colon[1]) ||
	    (six && (len < 2 || text[len - 1] != ']')))
		return false;
	port = strtoul(colon + 1, &end, 10);
	memcpy(host, text + six, len - 2 * six);
	host[len - 2 * six] = '\0';
	return !*end && port && port <= 65535 &&
	       inet_pton(six ? AF_INET6 : AF_INET, host, bytes) == 1;
}

bool import_isns(struct import *im, const char *address, const char *port)
{
	unsigned char bytes[16];
	size_t len = strlen(address);
	bool six = inet_pton(AF_INET6, address, bytes) == 1, bare = six;

	bare |= inet_pton(AF_INET, address, bytes) == 1;
	bare |= len && address[0] == '[' && address[len - 1] == ']';
	if (bare)
		address = import_text(im, "%s%s%s:%s", six ? "[" : "", address, six ? "]" : "",
				      port ? port : "3205");
	if ((!bare && port) || !is_portal(address))
		return false;
	im->isns = address;
	return true;
}

/* "ADDR" or "ADDR:PORT", where ADDR may be a name, too, whose last label is no number. */
static bool is_redirect(const char *text)
{
	size_t len = strcspn(text, ":");
	bool named = false;

	if (is_portal(text))
		return true;
	for (size_t i = 0; i < len; i++) {
		bool edge = !i || i + 1 == len || text[i - 1] == '.' || text[i + 1] == '.';

		if (!isalnum((unsigned char)text[i]) && !strchr(edge ? "" : "-.", text[i]))
			return false;
		named = text[i] != '.' && (named || !isdigit((unsigned char)text[i]));
	}
	return len && len <= 63 && named && !text[len];
}

static void check_redirect(struct import *im, const char **redirect, const char *of)
{
	unsigned char bytes[16];

	if (!*redirect || is_redirect(*redirect) || inet_pton(AF_INET, *redirect, bytes) == 1)
		return;
	import_note(im, 0,
		    "%s: redirect %.100s: is left out: riser takes ADDR, ADDR:PORT and names", of,
		    *redirect);
	*redirect = NULL;
}

/* Takes a portal out: of the list, and of each target. */
static void drop_portal(struct import *im, size_t portal)
{
	for (size_t i = 0; i < im->target_count; i++) {
		struct import_target *t = &im->targets[i];
		size_t kept = 0, had = t->portal_count;

		for (size_t j = 0; j < t->portal_count; j++) {
			if (t->portals[j] != portal)
				t->portals[kept++] = t->portals[j] - (t->portals[j] > portal);
		}
		t->portal_count = kept;
		if (!had || kept)
			continue;
		/* Without any it would be at all. */
		import_note(im, t->line, "target %s is left out: none of its portals is there",
			    t->name);
		t->left_out = true;
	}
	memmove(&im->portals[portal], &im->portals[portal + 1],
		(im->portal_count - portal - 1) * sizeof(*im->portals));
	im->portal_count--;
}

/* The kernel has one listener for all addresses of a port, or some for one each. */
static void check_wildcards(struct import *im)
{
	for (size_t i = 0; i < im->portal_count; i++) {
		const char *a = im->portals[i].address;

		for (size_t j = 0; j < im->portal_count && is_wildcard(a); j++) {
			const char *b = im->portals[j].address;

			if (is_wildcard(b) || strcmp(port_of(a), port_of(b)) != 0 ||
			    (a[0] == '[') != (b[0] == '['))
				continue;
			import_note(im, 0,
				    "portals %s and %s: riserd cannot listen at both: take one of "
				    "them out, or give it another port",
				    a, b);
		}
	}
}

void import_check_portals(struct import *im)
{
	for (size_t i = 0; i < im->portal_count;) {
		struct import_portal *p = &im->portals[i];

		if (is_portal(p->address) && i < PORTALS_MOST) {
			check_redirect(im, &p->redirect, p->address);
			i++;
			continue;
		}
		import_note(im, 0, "portal %.100s: is left out: %s", p->address,
			    i < PORTALS_MOST ? "riser listens on addresses in numbers"
					     : "riser has 64 of them");
		drop_portal(im, i);
	}
	for (size_t i = 0; i < im->target_count; i++)
		check_redirect(im, &im->targets[i].redirect, im->targets[i].name);
	check_wildcards(im);
}
