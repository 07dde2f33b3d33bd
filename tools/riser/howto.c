// SPDX-License-Identifier: BSD-2-Clause
/* riser howto: what to type on the host that shall have the disk. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "client.h"
#include "commands.h"
#include "howto.h"
#include "out.h"

long long howto_lun(const struct howto *h, unsigned int i)
{
	const json_t *o = json_array_get(h->luns, i);

	return json_is_object(o) ? (long long)member_number(o, "lun")
				 : (long long)json_integer_value(o);
}

/* --- addresses --- */

static void add_portal(struct howto *h, const char *address, const char *port, bool v6)
{
	if (h->portal_count < HOWTO_PORTALS)
		snprintf(h->portals[h->portal_count++], HOWTO_ADDRESS, v6 ? "[%s]:%s" : "%s:%s",
			 address, port);
}

/* A wildcard stands for every address of this machine that others may reach. */
static void add_interfaces(struct howto *h, const char *port, bool v6_only)
{
	struct ifaddrs *all, *i;
	char text[INET6_ADDRSTRLEN];

	if (getifaddrs(&all))
		return;
	for (i = all; i; i = i->ifa_next) {
		const struct sockaddr *sa = i->ifa_addr;
		const struct sockaddr_in6 *v6 = (const void *)sa;
		const struct sockaddr_in *v4 = (const void *)sa;

		if (!sa || i->ifa_flags & IFF_LOOPBACK || !(i->ifa_flags & IFF_UP))
			continue;
		if (sa->sa_family == AF_INET && !v6_only)
			add_portal(h, inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text)), port,
				   false);
		/* Link-local addresses are of use only with the link. */
		if (sa->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
			add_portal(h, inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text)), port,
				   true);
	}
	freeifaddrs(all);
}

static bool has(const json_t *array, const char *text)
{
	const json_t *item;

	each_member(array, item) {
		if (json_is_string(item) && !strcmp(json_string_value(item), text))
			return true;
	}
	return false;
}

static bool has_number(const json_t *array, int64_t number)
{
	const json_t *item;

	each_member(array, item) {
		if (json_integer_value(item) == number)
			return true;
	}
	return false;
}

static void add_portals(struct howto *h, const json_t *portals, const json_t *tags)
{
	const json_t *p;

	each_member(portals, p) {
		const char *address = member_text(p, "address");
		const char *port = strrchr(address, ':');

		if (!port || (json_array_size(tags) && !has_number(tags, member_number(p, "tag"))))
			continue;
		if (h->iser && !has(json_object_get(p, "active"), "iser"))
			continue;
		if (!strncmp(address, "0.0.0.0:", 8) || !strncmp(address, "[::]:", 5))
			add_interfaces(h, port + 1, false);
		else if (h->portal_count < HOWTO_PORTALS)
			snprintf(h->portals[h->portal_count++], HOWTO_ADDRESS, "%s", address);
	}
}

/* --- the command --- */

static const char *only_initiator(const json_t *allow)
{
	const char *name = json_string_value(json_array_get(allow, 0));

	if (json_array_size(allow) != 1 || !name || strchr(name, '*') ||
	    (strncmp(name, "iqn.", 4) != 0 && strncmp(name, "eui.", 4) != 0 &&
	     strncmp(name, "naa.", 4) != 0))
		return NULL;
	return name;
}

static bool is_loopback(const char *portal)
{
	return !strncmp(portal, "127.", 4) || !strncmp(portal, "[::1]", 5);
}

/* Whoever reads this is on another machine, most likely. */
static void drop_loopback(struct howto *h)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < h->portal_count; i++)
		kept += !is_loopback(h->portals[i]);
	if (!kept)
		return;
	kept = 0;
	for (unsigned int i = 0; i < h->portal_count; i++) {
		if (!is_loopback(h->portals[i]))
			memmove(h->portals[kept++], h->portals[i], HOWTO_ADDRESS);
	}
	h->portal_count = kept;
}

static void note_loopback(const struct howto *h)
{
	for (unsigned int i = 0; i < h->portal_count; i++) {
		if (!is_loopback(h->portals[i]))
			return;
	}
	printf("# Only this machine reaches %s: for others the target needs a portal on\n"
	       "# another address (riser portal create).\n",
	       h->portals[0]);
}

static enum status print(struct riser *r, const struct howto *h, const char *system)
{
	for (const struct howto_system *s = howto_systems; s->name; s++) {
		if (!strcmp(s->name, system)) {
			note_loopback(h);
			if (h->user && !howto_is_safe(h->user))
				printf("# The name of the CHAP user is not whole in these lines: a shell "
				       "could take parts\n# of it for more than a name. Put it in by "
				       "hand: riser user list shows it.\n");
			s->print(h);
			return STATUS_OK;
		}
	}
	return fail(r, STATUS_USAGE, system, NULL, "nothing is known of %s", system);
}

/* --json: the facts that the lines are made of. */
static void print_json(const struct howto *h)
{
	json_t *portals = json_array(), *luns = json_array(), *all;

	for (unsigned int i = 0; i < h->portal_count; i++)
		json_array_append_new(portals, json_string(h->portals[i]));
	for (unsigned int i = 0; i < json_array_size(h->luns); i++)
		json_array_append_new(luns, json_integer(howto_lun(h, i)));
	all = json_pack("{s:s, s:o, s:o, s:s?, s:s?, s:s}", "target", h->target, "portals", portals,
			"luns", luns, "user", h->user, "initiator", h->initiator, "transport",
			h->iser ? "iser" : "tcp");
	out_json(all);
	json_decref(all);
}

static enum status check(const struct riser *r, const struct howto *h)
{
	if (!h->portal_count)
		return fail(r, STATUS_FAILED, h->target, "see 'riser portal list'",
			    "%s has no portal that others can reach%s", h->target,
			    h->iser ? " over iSER" : "");
	if (!json_array_size(h->luns))
		return fail(r, STATUS_FAILED, h->target, "give it one", "%s has no LUN", h->target);
	return STATUS_OK;
}

static enum status run_howto(struct riser *r, const struct args *a)
{
	const char *transport = args_option(a, "transport", 0), *os = args_option(a, "os", 0);
	struct howto h = { .iser = transport && !strcmp(transport, "iser") };
	json_t *target, *portals = NULL;
	enum status status;

	status = client_call(r, "target.show", json_pack("{s:s}", "target", args_operand(a, 0)),
			     &target);
	if (status)
		return status;
	status = client_call(r, "portal.list", NULL, &portals);
	h.target = member_text(target, "name");
	h.luns = json_object_get(target, "luns");
	h.user = json_string_value(json_array_get(json_object_get(target, "users"), 0));
	h.initiator = only_initiator(json_object_get(target, "allow"));
	add_portals(&h, portals, json_object_get(target, "tags"));
	drop_loopback(&h);
	if (!status)
		status = check(r, &h);
	if (!status && r->json)
		print_json(&h);
	else if (!status)
		status = print(r, &h, os ? os : "linux");
	json_decref(portals);
	json_decref(target);
	return status;
}

const struct command howto_commands[] = {
	{ .noun = "howto",
	  .about = "What to type on a host that shall use a target, ready to paste",
	  .details = "No secret is printed or asked for on a command line.",
	  .operands = WORDS({ .name = "TARGET", .kind = KIND_TARGET }),
	  .options = WORDS({ .name = "os",
			     .kind = KIND_WORD,
			     .value = "SYSTEM",
			     .words = "linux windows esxi qemu k8s",
			     .about = "what the host runs (linux)" },
			   { .name = "transport",
			     .kind = KIND_WORD,
			     .value = "TRANSPORT",
			     .words = "tcp iser",
			     .about = "how it comes (tcp)" }),
	  .run = run_howto },
	{ .noun = NULL },
};
