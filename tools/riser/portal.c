// SPDX-License-Identifier: BSD-2-Clause
/* riser portal list, show */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "out.h"
#include "show.h"

static void show_portal(const struct riser *r, const json_t *p)
{
	char list[64];

	show_line(r, "address", "%s", member_text(p, "address"));
	show_line(r, "transports", "%s", member_text(p, "transports"));
	joined(json_object_get(p, "active"), list, sizeof(list));
	show_line(r, "active", "%s", *list ? list : "none");
	show_line(r, "group", "%lld", (long long)member_number(p, "tag"));
	show_line(r, "access", "%s%s", member_text(p, "access"),
		  member_true(p, "preferred") ? ", preferred" : "");
	show_line(r, "redirect", "%s", member_text(p, "redirect"));
	show_line(r, "source", "%s", member_text(p, "source"));
}

static enum status run_show(struct riser *r, const struct args *a)
{
	const char *address = args_operand(a, 0);
	char with_port[320];
	json_t *portals;
	const json_t *p, *found = NULL;
	enum status status = client_call(r, "portal.list", NULL, &portals);

	snprintf(with_port, sizeof(with_port), "%.300s:3260", address);
	each_member(portals, p) {
		const char *name = member_text(p, "address");

		if (!strcmp(name, address) || (!found && !strcmp(name, with_port)))
			found = p;
	}
	if (!status && !found)
		status = fail(r, STATUS_NOT_FOUND, address, "see 'riser portal list'",
			      "there is no portal %s", address);
	if (!status && r->json)
		out_json(found);
	else if (!status)
		show_portal(r, found);
	json_decref(portals);
	return status;
}

const struct command portal_commands[] = {
	{ .noun = "portal",
	  .verb = "list",
	  .about = "Addresses that are listened on, and the transports that work there",
	  .method = "portal.list",
	  .show = show_portals },
	{ .noun = "portal",
	  .verb = "show",
	  .about = "All about one portal",
	  .operands = WORDS({ .name = "PORTAL", .kind = KIND_PORTAL, .about = "ADDRESS:PORT" }),
	  .run = run_show },
	{ .noun = NULL },
};
