// SPDX-License-Identifier: BSD-2-Clause
/* Who may log in, by ctl.conf. What ctld would refuse opens nothing here. */
#include <stdio.h>
#include <string.h>

#include "import_ctl.h"

void ctl_chap(struct ctl *c, const struct statement *s, struct import_user **users, size_t *count)
{
	struct import_user *u = import_more(c->im, users, count, sizeof(*u));

	*u = (struct import_user){ .name = s->word[1], .secret = s->word[2], .line = s->line };
	if (s->words > 4) {
		u->mutual_name = s->word[3];
		u->mutual_secret = s->word[4];
	}
}

static void take_initiator(struct ctl *c, struct import_target *t, const struct statement *s)
{
	const char *who = s->word[1];

	/* [ADDR] of IPv6 */
	if (who[0] == '[' && strchr(who, ']'))
		who = import_text(c->im, "%.*s%s", (int)(strcspn(who, "]") - 1), who + 1,
				  strchr(who, ']') + 1);
	if (!strcmp(who, "ALL"))
		who = ""; /* means nothing to ctld */
	if (!import_restrict(c->im, t, who, ctl_is(s, "initiator-name")))
		import_note(c->im, s->line, "%s %s: is no %s: left out", s->word[0], s->word[1],
			    ctl_is(s, "initiator-name") ? "iSCSI name" : "address in numbers");
}

bool ctl_is_auth(const struct statement *s)
{
	static const char *const keys[] = { "chap", "chap-mutual", "initiator-name",
					    "initiator-portal", "auth-type" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (ctl_is(s, keys[i]))
			return true;
	}
	return false;
}

/* *open: nobody is asked for a secret. */
static void take_auth(struct ctl *c, struct import_target *t, const struct statement *s, bool *open)
{
	if (ctl_is(s, "chap") || ctl_is(s, "chap-mutual"))
		ctl_chap(c, s, &t->users, &t->user_count);
	else if (ctl_is(s, "initiator-name") || ctl_is(s, "initiator-portal"))
		take_initiator(c, t, s);
	else if (!strcmp(s->word[1], "none"))
		*open = true;
	else if (!strcmp(s->word[1], "chap") || !strcmp(s->word[1], "chap-mutual"))
		t->chap = true;
	else
		t->closed = import_text(c->im, "auth-type %s", s->word[1]);
}

/* The auth-group that counts at every portal of a target, "": what the target says itself. NULL: it is not
 * everywhere the same. One of a portal-group comes before that of the target. */
static const char *group_of(const struct statement *target)
{
	const char *own = NULL, *all = NULL, *name;

	for (size_t i = 0; i < target->count; i++) {
		const struct statement *s = &target->inside[i];

		name = ctl_is(s, "auth-group") ? s->word[1] : ctl_is_auth(s) ? "" : own;
		if (own && strcmp(own, name) != 0)
			return NULL;
		own = name;
	}
	own = own ? own : "default";
	for (size_t i = 0; i < target->count; i++) {
		const struct statement *s = &target->inside[i];

		if (!ctl_is(s, "portal-group"))
			continue;
		name = s->words > 2 ? s->word[2] : own;
		if (all && strcmp(all, name) != 0)
			return NULL;
		all = name;
	}
	return all ? all : own;
}

/* Where a target names the group. */
static unsigned int line_of_group(const struct statement *target, const char *group)
{
	for (size_t i = 0; i < target->count; i++) {
		const struct statement *s = &target->inside[i];

		if ((ctl_is(s, "auth-group") && !strcmp(s->word[1], group)) ||
		    (ctl_is(s, "portal-group") && s->words > 2 && !strcmp(s->word[2], group)))
			return s->line;
	}
	return target->line;
}

/* From a section: an auth-group, or the target itself. Without a type ctld lets nobody in. */
static void take_rules(struct ctl *c, struct import_target *t, const struct statement *from,
		       bool whole)
{
	bool open = false;

	for (size_t i = 0; i < from->count; i++) {
		const struct statement *s = &from->inside[i];

		if (ctl_is_auth(s))
			take_auth(c, t, s, &open);
		else if (whole)
			import_note(c->im, s->line,
				    "%s: not carried over: an auth-group has no such word",
				    s->word[0]);
	}
	if (!open && !t->chap && !t->user_count && !t->closed)
		t->closed = "its authentication has no auth-type and no chap, and ctld lets nobody "
			    "in then";
	t->any = !t->name_count && !t->address_count && !t->lost_name && !t->lost_address;
}

void ctl_access(struct ctl *c, struct import_target *t, const struct statement *section)
{
	const char *group = group_of(section);
	const struct statement *from;

	if (!group) {
		t->closed = "its portal-groups have several auth-groups, and riser has the same "
			    "allow for all portals of a target";
		return;
	}
	from = *group ? ctl_section(c, "auth-group", group) : section;
	if (!strcmp(group, "no-authentication"))
		t->any = true;
	else if (from)
		take_rules(c, t, from, from != section);
	else if (strcmp(group, "no-access") != 0 && strcmp(group, "default") != 0)
		import_fail(c->im, line_of_group(section, group), "there is no auth-group %s",
			    group);
}
