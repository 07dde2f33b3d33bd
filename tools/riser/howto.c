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

static void add_portal(struct howto *h, const char *address, int tag)
{
	if (h->portal_count >= HOWTO_PORTALS)
		return;
	h->tags[h->portal_count] = tag;
	snprintf(h->portals[h->portal_count++], HOWTO_ADDRESS, "%s", address);
}

static void add_interface(struct howto *h, const void *address, int family, const char *port,
			  int tag)
{
	char text[INET6_ADDRSTRLEN], portal[HOWTO_ADDRESS];

	inet_ntop(family, address, text, sizeof(text));
	snprintf(portal, sizeof(portal), family == AF_INET6 ? "[%s]:%s" : "%s:%s", text, port);
	add_portal(h, portal, tag);
}

/* A wildcard stands for every address of this machine that others may reach. */
static void add_interfaces(struct howto *h, const char *port, int tag)
{
	struct ifaddrs *all, *i;

	if (getifaddrs(&all))
		return;
	for (i = all; i; i = i->ifa_next) {
		const struct sockaddr *sa = i->ifa_addr;
		const struct sockaddr_in6 *v6 = (const void *)sa;
		const struct sockaddr_in *v4 = (const void *)sa;

		if (!sa || i->ifa_flags & IFF_LOOPBACK || !(i->ifa_flags & IFF_UP))
			continue;
		if (sa->sa_family == AF_INET)
			add_interface(h, &v4->sin_addr, AF_INET, port, tag);
		/* Link-local addresses are of use only with the link. */
		if (sa->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
			add_interface(h, &v6->sin6_addr, AF_INET6, port, tag);
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
		int tag = (int)member_number(p, "tag");

		if (!port || (json_array_size(tags) && !has_number(tags, tag)))
			continue;
		if (h->iser && !has(json_object_get(p, "active"), "iser"))
			continue;
		if (!strncmp(address, "0.0.0.0:", 8) || !strncmp(address, "[::]:", 5))
			add_interfaces(h, port + 1, tag);
		else
			add_portal(h, address, tag);
	}
}

/* --- who is let in --- */

/* A name, also one with '*'; otherwise an address, a network, or "any". */
static bool is_name(const char *who)
{
	return !strncmp(who, "iqn.", 4) || !strncmp(who, "eui.", 4) || !strncmp(who, "naa.", 4) ||
	       strchr(who, '*');
}

static unsigned int count(const json_t *allow, bool names)
{
	const json_t *who;
	unsigned int n = 0;

	each_member(allow, who)
		n += json_is_string(who) && is_name(json_string_value(who)) == names;
	return n;
}

static const char *only_initiator(const json_t *allow)
{
	const json_t *who;

	if (count(allow, true) != 1)
		return NULL;
	each_member(allow, who) {
		const char *name = json_string_value(who);

		if (name && is_name(name))
			return strchr(name, '*') ? NULL : name;
	}
	return NULL;
}

static void print_allowed(const char *what, const json_t *allow, bool names)
{
	const char *separator = " ";
	const json_t *who;

	printf("# The target lets in %s", what);
	each_member(allow, who) {
		if (!json_is_string(who) || is_name(json_string_value(who)) != names)
			continue;
		printf("%s", separator);
		out_text(stdout, json_string_value(who));
		separator = ", ";
	}
	printf(".\n");
}

/* What the lines cannot see to: the host has to be the right one. */
static void note_allow(const struct howto *h)
{
	if (has(h->allow, "any"))
		return;
	if (!h->initiator && count(h->allow, true))
		print_allowed("only hosts with an initiator name of", h->allow, true);
	if (count(h->allow, false))
		print_allowed("only hosts at", h->allow, false);
}

/* --- the command --- */

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
		if (is_loopback(h->portals[i]))
			continue;
		h->tags[kept] = h->tags[i];
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
			note_allow(h);
			if (h->discovery_chap && s->discovers)
				printf("# Who asks this host for targets has to prove himself by CHAP "
				       "(riser user list):\n# add that, these lines do not.\n");
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

/* A riserd that does not tell is taken for one that asks nobody. */
static bool has_discovery_users(struct riser *r)
{
	json_t *users = NULL, *error = NULL;
	const json_t *user;
	bool found = false;

	if (client_ask(r, "user.list", NULL, &users, &error)) {
		json_decref(error);
		return false;
	}
	each_member(users, user)
		found |= json_is_null(json_object_get(user, "target"));
	json_decref(users);
	return found;
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
	h.allow = json_object_get(target, "allow");
	h.initiator = only_initiator(h.allow);
	h.discovery_chap = !status && has_discovery_users(r);
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
