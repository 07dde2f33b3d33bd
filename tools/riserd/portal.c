// SPDX-License-Identifier: BSD-2-Clause
/* The text form of a portal: "ADDR[:PORT],key=value,...", and the target ports that portals make. */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

/* A link by its name or its number; 0: there is none. */
static uint32_t find_link(const char *name)
{
	uint64_t n;

	if (parse_number(name, UINT32_MAX, &n))
		return (uint32_t)n;
	return if_nametoindex(name);
}

/* "ADDR" or, where the same address exists on every link, "ADDR%LINK". */
static bool parse_host6(const char *host, struct sockaddr_in6 *v6)
{
	char name[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
	char *scope;

	if ((size_t)snprintf(name, sizeof(name), "%s", host) >= sizeof(name))
		return false;
	scope = strchr(name, '%');
	if (scope)
		*scope++ = '\0';
	if (inet_pton(AF_INET6, name, &v6->sin6_addr) != 1 ||
	    IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) != (scope != NULL))
		return false;
	v6->sin6_scope_id = scope ? find_link(scope) : 0;
	return !scope || v6->sin6_scope_id;
}

static bool parse_host(const char *host, uint16_t port, struct portal_address *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out->addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->addr;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		out->len = sizeof(*v4);
		return true;
	}
	if (!parse_host6(host, v6))
		return false;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	out->len = sizeof(*v6);
	return true;
}

/* "HOST", "HOST:PORT", "[HOST]:PORT", and without brackets an IPv6 address alone. host has room for
 * size bytes. *port stays what it is when there is none. */
static bool split_host(const char *text, char *host, size_t size, uint64_t *port, bool *brackets)
{
	const char *end, *colon = NULL;

	*brackets = *text == '[';
	if (*brackets) {
		end = strchr(++text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		colon = end[1] ? end + 1 : NULL;
	} else {
		colon = strchr(text, ':');
		if (colon && strchr(colon + 1, ':'))
			colon = NULL; /* a bare IPv6 address */
		end = colon ? colon : text + strlen(text);
	}
	if (colon && !parse_number(colon + 1, 65535, port))
		return false;
	if ((size_t)(end - text) >= size)
		return false;
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = '\0';
	return true;
}

static bool parse_address(const char *text, uint64_t port, struct portal_address *out)
{
	char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
	bool brackets;

	return split_host(text, host, sizeof(host), &port, &brackets) &&
	       parse_host(host, (uint16_t)port, out);
}

bool options_parse_address(const char *text, struct portal_address *out)
{
	return parse_address(text, ISCSI_PORT, out);
}

bool options_make_isns(const char *text, struct portal_address *out)
{
	/* The port is at the same place in both families. */
	return parse_address(text, ISNS_PORT, out) &&
	       ((const struct sockaddr_in *)&out->addr)->sin_port;
}

int options_parse_isns(struct options *o, const char *text)
{
	if (o->isns.len)
		return complain("--isns %s: the second one", text);
	if (!options_make_isns(text, &o->isns))
		return complain("--isns %s: not ADDR, ADDR:PORT or [IPV6]:PORT", text);
	return 0;
}

/* Labels of letters, digits and hyphens, the last one no number: RFC 1123 2.1. */
static bool is_dns_name(const char *name)
{
	const char *label = name;

	if (strlen(name) > 253)
		return false;
	for (;;) {
		size_t len = strspn(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789-");

		if (len < 1 || len > 63 || label[0] == '-' || label[len - 1] == '-')
			return false;
		if (!label[len])
			return label[strspn(label, "0123456789")] != '\0';
		if (label[len] != '.')
			return false;
		label += len + 1;
	}
}

/* RFC 7143 13.8 allows a DNS name, an IPv4 address and an IPv6 address in brackets. The last has no
 * room for a link, so a link-local address will do only for initiators that know which. */
const char *options_make_redirect(const char *text, char out[REDIRECT_MAX + 1], bool *permanent)
{
	char address[REDIRECT_MAX + 1], host[256];
	uint64_t port = ISCSI_PORT;
	struct in6_addr v6;
	struct in_addr v4;
	bool brackets, is_v6;
	char *comma;

	snprintf(address, sizeof(address), "%s", text);
	comma = strchr(address, ',');
	if (comma)
		*comma++ = '\0';
	if (comma && strcmp(comma, "permanent") != 0)
		return "nothing but permanent behind the comma";
	if (!split_host(address, host, sizeof(host), &port, &brackets) || !port)
		return "ADDR, ADDR:PORT or [IPV6]:PORT";
	is_v6 = inet_pton(AF_INET6, host, &v6) == 1;
	if (!is_v6 && (brackets || (inet_pton(AF_INET, host, &v4) != 1 && !is_dns_name(host))))
		return "an IP address or a DNS name";
	snprintf(out, REDIRECT_MAX + 1, "%s%s%s:%u", is_v6 ? "[" : "", host, is_v6 ? "]" : "",
		 (unsigned int)port);
	*permanent = comma;
	return NULL;
}

int options_parse_redirect(struct options *o, const char *text)
{
	const char *takes;

	if (o->redirect[0])
		return complain("--redirect %s: the second one", text);
	takes = options_make_redirect(text, o->redirect, &o->redirect_permanent);
	return takes ? complain("--redirect %s: takes %s", text, takes) : 0;
}

bool options_is_loopback(const struct portal_address *p)
{
	if (p->addr.ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)&p->addr)->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&p->addr)->sin6_addr);
}

/* The number of text in the list, or -1. */
static int find_choice(const char *const *choices, const char *text)
{
	for (int i = 0; choices[i]; i++) {
		if (!strcmp(choices[i], text))
			return i;
	}
	return -1;
}

static bool set_transport(struct option_portal *p, const char *value)
{
	static const char *const names[] = { "tcp", "iser", "all", NULL };
	static const enum portal_transports transports[] = { PORTAL_TCP, PORTAL_ISER, PORTAL_ALL };
	int i = find_choice(names, value);

	if (i < 0)
		return false;
	p->transports = transports[i];
	return true;
}

static bool set_tag(struct option_portal *p, const char *value)
{
	uint64_t n;

	if (!parse_number(value, UINT16_MAX, &n) || !n)
		return false;
	p->tag = (uint16_t)n;
	return true;
}

static bool set_access(struct option_portal *p, const char *value)
{
	static const char *const names[] = { "optimized",   "non-optimized", "standby",
					     "unavailable", "offline",	     NULL };
	static const enum access_state states[] = { ACCESS_OPTIMIZED, ACCESS_NON_OPTIMIZED,
						    ACCESS_STANDBY, ACCESS_UNAVAILABLE,
						    ACCESS_OFFLINE };
	int i = find_choice(names, value);

	if (i < 0)
		return false;
	p->access = states[i];
	p->access_given = true;
	return true;
}

static bool set_preferred(struct option_portal *p, const char *value)
{
	p->preferred = !strcmp(value, "on");
	return p->preferred || !strcmp(value, "off");
}

static const struct portal_option {
	const char *key;
	bool (*set)(struct option_portal *p, const char *value);
	const char *takes;
} portal_options[] = {
	{ "transport", set_transport, "tcp, iser or all" },
	{ "tag", set_tag, "a number from 1 to 65535" },
	{ "access", set_access, "optimized, non-optimized, standby, unavailable or offline" },
	{ "preferred", set_preferred, "on or off" },
};

const char *options_set_portal(struct option_portal *p, const char *key, const char *value)
{
	for (unsigned int i = 0; i < array_size(portal_options); i++) {
		if (!strcmp(portal_options[i].key, key))
			return portal_options[i].set(p, value) ? NULL : portal_options[i].takes;
	}
	return "nothing";
}

/* part: "key=value", cut out of the portal `text`. seen: bit per option. */
static int set_option(struct option_portal *p, const char *text, char *part, uint32_t *seen)
{
	char *value = strchr(part, '=');

	if (value)
		*value++ = '\0';
	for (unsigned int i = 0; i < array_size(portal_options); i++) {
		const struct portal_option *o = &portal_options[i];

		if (strcmp(o->key, part) != 0)
			continue;
		if (*seen & 1u << i)
			return complain("--portal %s: %s is given twice", text, o->key);
		*seen |= 1u << i;
		if (value && o->set(p, value))
			return 0;
		return complain("--portal %s: %s '%s' is not %s", text, o->key, value ? value : "",
				o->takes);
	}
	return complain("--portal %s: '%s' is none of transport=, tag=, access= and preferred=",
			text, part);
}

int options_add_portal(struct options *o, const char *text)
{
	struct option_portal *p = &o->portals[o->portal_count];
	char *copy, *rest, *part;
	uint32_t seen = 0;
	int status = 0;

	if (o->portal_count == OPTION_PORTALS)
		return complain("--portal %s: more than %d portals", text, OPTION_PORTALS);
	copy = rest = strdup(text);
	if (!copy)
		return complain("--portal %s: out of memory", text);
	*p = (struct option_portal){ .tag = 1 };
	if (!options_parse_address(strsep(&rest, ","), &p->address))
		status = complain("--portal %s: not ADDR, ADDR:PORT or [IPV6]:PORT (a link-local "
				  "address with its link: [fe80::1%%eth0])",
				  text);
	/* There is no RDMA device on loopback as a rule: only those who say so look for one. */
	if (!status)
		p->transports = options_is_loopback(&p->address) ? PORTAL_TCP : PORTAL_ALL;
	while (!status && (part = strsep(&rest, ",")))
		status = set_option(p, text, part, &seen);
	free(copy);
	if (!status)
		o->portal_count++;
	return status;
}

static int by_tag(const void *a, const void *b)
{
	const struct target_port *x = a, *y = b;

	return x->tag - y->tag;
}

/* The relative target port identifier is the tag, so that it does not depend on which other portals
 * there are. */
int options_make_ports(struct options *o)
{
	bool given[TARGET_PORTS] = { false };

	o->port_count = 0;
	for (unsigned int i = 0; i < o->portal_count; i++) {
		const struct option_portal *p = &o->portals[i];
		unsigned int at = 0;

		while (at < o->port_count && o->ports[at].tag != p->tag)
			at++;
		if (at == TARGET_PORTS)
			return complain("--portal: tag=%u: more than %d portal groups", p->tag,
					TARGET_PORTS);
		if (at == o->port_count)
			o->ports[o->port_count++] =
				(struct target_port){ .tag = p->tag, .relative = p->tag };
		o->ports[at].preferred |= p->preferred;
		if (!p->access_given)
			continue;
		if (given[at] && o->ports[at].access != p->access)
			return complain("--portal: portals with tag=%u have one access state, "
					"not several",
					p->tag);
		given[at] = true;
		o->ports[at].access = p->access;
	}
	qsort(o->ports, o->port_count, sizeof(o->ports[0]), by_tag);
	return 0;
}
