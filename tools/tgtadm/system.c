// SPDX-License-Identifier: BSD-2-Clause
/* --mode system, lld and portal */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tgtadm.h"
#include "tools/riser/out.h"

static bool serves_iser(struct tgt *t)
{
	json_t *portals = NULL, *p, *active;
	bool iser = false;

	if (ask(t, "portal.list", NULL, &portals))
		return false;
	each_member(portals, p) {
		const json_t *list = json_object_get(p, "active");

		each_member(list, active) {
			iser |= !strcmp(text_value(active), "iser");
		}
	}
	json_decref(portals);
	return iser;
}

static int system_show(struct tgt *t)
{
	bool iser = serves_iser(t);

	printf("System:\n    State: ready\n    debug: off\n"
	       "LLDs:\n    iscsi: ready\n    iser: %s\n"
	       "Backing stores:\n    null\n    rdwr (bsoflags sync:direct)\n    aio\n"
	       "Device types:\n    disk\n"
	       "iSNS:\n    iSNS=Off\n    iSNSServerIP=\n    iSNSServerPort=3205\n"
	       "    iSNSAccessControl=Off\n",
	       iser ? "ready" : "error");
	return DONE;
}

static int system_update(struct tgt *t)
{
	const struct options *o = &t->o;

	if (!o->name || !o->value)
		return complain(t, "update operation requires 'name' and 'value' options");
	if (!strcmp(o->name, "debug"))
		return ask(t, "log.set",
			   json_pack("{s:s}", "level", strcmp(o->value, "on") ? "info" : "debug"),
			   NULL);
	if (!strcmp(o->name, "State") || !strcmp(o->name, "state"))
		return strcmp(o->value, "ready")
			       ? complain(t,
					  "invalid request: riserd is never offline: stop it, or "
					  "set a portal group offline: riser alua set")
			       : DONE;
	return complain(t,
			"invalid request: %s is set in the configuration: riser.conf(5), "
			"riserd(8)",
			o->name);
}

static int system_delete(struct tgt *t)
{
	return complain(t, "invalid request: riserd is stopped by who started it: systemctl stop "
			   "riser");
}

/* --- Drivers */

static int lld_show(struct tgt *t)
{
	const char *name;
	json_t *known;

	puts("LLDs:\n    iscsi: ready");
	json_object_foreach(json_object_get(t->memory, "targets"), name, known)
	{
		printf("        Target %" PRId64 ": %s\n", member_number(known, "tid"),
		       shown(name));
	}
	printf("    iser: %s\n", serves_iser(t) ? "ready" : "error");
	return DONE;
}

static int lld_start(struct tgt *t)
{
	(void)t;
	return DONE;
}

/* --- Portals */

static int portal_show(struct tgt *t)
{
	json_t *portals = NULL, *p;
	int status = ask(t, "portal.list", NULL, &portals);

	each_member(portals, p) {
		printf("Portal: %s,%" PRId64 "\n", shown(member_text(p, "address")),
		       member_number(p, "tag"));
	}
	json_decref(portals);
	return status;
}

static int portal_change(struct tgt *t, const char *method)
{
	const char *params = t->o.params;

	if (!params || strncmp(params, "portal=", 7) != 0)
		return complain(t, "'param' option is necessary: --param portal=ADDRESS:PORT");
	return change(t, method, json_pack("{s:s}", "portal", params + 7), t->o.force, NULL);
}

static int portal_new(struct tgt *t)
{
	return portal_change(t, "portal.create");
}

static int portal_delete(struct tgt *t)
{
	return portal_change(t, "portal.delete");
}

const struct verb system_verbs[] = {
	{ "show", "system", system_show },
	{ "update", "system", system_update },
	{ "delete", "system", system_delete },
	{ "show", "lld", lld_show },
	{ "start", "lld", lld_start },
	{ "show", "portal", portal_show },
	{ "new", "portal", portal_new },
	{ "delete", "portal", portal_delete },
	{ 0 },
};
