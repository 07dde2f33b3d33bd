// SPDX-License-Identifier: BSD-2-Clause
/* riser reservation list, clear; riser alua list, set */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "out.h"
#include "show.h"

/* --- reservations --- */

static void registration_row(struct table *t, const json_t *o, const json_t *reg, bool first)
{
	const char *who = member_text(reg, "initiator");
	const json_t *key = json_object_get(reg, "key");

	table_cell(t, "%s", first ? member_text(o, "target") : " ");
	if (first)
		table_cell(t, "%lld", (long long)member_number(o, "lun"));
	else
		table_cell(t, " ");
	table_cell(t, "%s", first ? member_text(o, "type") : " ");
	table_cell(t, "%s", who);
	if (member_true(reg, "holds"))
		table_cell(t, "holds it");
	else
		table_cell(t, "%s", *who ? "registered" : "");
	if (json_is_integer(key))
		table_cell(t, "0x%llx", (unsigned long long)json_integer_value(key));
	else
		table_cell(t, "%s", member_text(reg, "key"));
	table_cell(t, "%lld", (long long)member_number(o, "generation"));
}

static void show_reservations(struct riser *r, const json_t *list)
{
	struct table *t = table_new("TARGET|>LUN|RESERVATION|INITIATOR|STATE|KEY|>GENERATION");
	const json_t *o, *reg;

	each_member(list, o) {
		const json_t *regs = json_object_get(o, "registrations");
		bool first = true;

		each_member(regs, reg) {
			registration_row(t, o, reg, first);
			first = false;
		}
		if (first) { /* RESERVE(6): nobody is registered */
			json_t *holder = json_pack("{s:s, s:b}", "initiator",
						   member_text(o, "holder"), "holds", 1);

			registration_row(t, o, holder, true);
			json_decref(holder);
		}
	}
	table_print(r, t);
	table_free(t);
}

static void show_cleared(struct riser *r, const json_t *result)
{
	const json_t *was = json_object_get(result, "cleared");
	const json_t *list = json_object_get(was, "registrations"), *o;

	out_text(stdout, member_text(was, "target"));
	printf(" LUN %lld: %s\n", (long long)member_number(was, "lun"),
	       r->dry_run ? "would forget" : "has forgotten");
	each_member(list, o) {
		printf("  %s of ",
		       member_true(o, "holds") ? "the reservation" : "the registration");
		out_text(stdout, member_text(o, "initiator"));
		putchar('\n');
	}
	if (!json_array_size(list)) {
		printf("  the reservation of ");
		out_text(stdout, member_text(was, "holder"));
		putchar('\n');
	}
}

/* --- portal groups --- */

static void show_groups(struct riser *r, const json_t *list)
{
	struct table *t = table_new("TARGET|>GROUP|ACCESS|PREFERRED|PORTALS");
	const json_t *o;

	each_member(list, o) {
		const char *access = member_text(o, "access");
		char *ports = joined_all(json_object_get(o, "ports"));

		table_cell(t, "%s", member_text(o, "target"));
		table_cell(t, "%lld", (long long)member_number(o, "tag"));
		table_cell(t, "%s", access);
		table_color(t, !strcmp(access, "optimized") ? COLOR_GREEN : COLOR_YELLOW);
		table_cell(t, "%s", member_true(o, "preferred") ? "yes" : "no");
		table_cell(t, "%s", ports ? ports : "");
		free(ports);
	}
	table_print(r, t);
	table_free(t);
}

static void show_set(struct riser *r, const json_t *result)
{
	out_text(stdout, member_text(result, "target"));
	printf(": group %lld %s %s\n", (long long)member_number(result, "tag"),
	       r->dry_run ? "would be" : "is", shown(member_text(result, "access")));
}

#define ONE_TARGET \
	WORDS({ .name = "TARGET", .kind = KIND_TARGET, .param = "target", .flags = WORD_OPTIONAL })

const struct command reservation_commands[] = {
	{ .noun = "reservation",
	  .verb = "list",
	  .about = "Who has reserved or registered with which LUN",
	  .operands = ONE_TARGET,
	  .method = "reservation.list",
	  .show = show_reservations },
	{ .noun = "reservation",
	  .verb = "clear",
	  .about = "Forget the reservation and all registrations of a LUN",
	  .details =
		  "Only when the hosts that hold it are known to be gone: it protects their data "
		  "from each other.",
	  .operands = WORDS({ .name = "TARGET", .kind = KIND_TARGET, .param = "target" },
			    { .name = "LUN", .kind = KIND_LUN, .param = "lun" }),
	  .flags = COMMAND_CHANGES,
	  .method = "reservation.clear",
	  .show = show_cleared },
	{ .noun = NULL },
};

const struct command alua_commands[] = {
	{ .noun = "alua",
	  .verb = "list",
	  .about = "States of the portal groups as multipath hosts see them",
	  .operands = ONE_TARGET,
	  .method = "alua.list",
	  .show = show_groups },
	{ .noun = "alua",
	  .verb = "set",
	  .about = "Set the state of access of a portal group",
	  .operands = WORDS({ .name = "TARGET", .kind = KIND_TARGET, .param = "target" },
			    { .name = "GROUP", .kind = KIND_NUMBER, .param = "tag" },
			    { .name = "ACCESS",
			      .kind = KIND_WORD,
			      .param = "access",
			      .words = "optimized non-optimized standby "
				       "unavailable offline" }),
	  .flags = COMMAND_CHANGES,
	  .method = "alua.set",
	  .show = show_set },
	{ .noun = NULL },
};
