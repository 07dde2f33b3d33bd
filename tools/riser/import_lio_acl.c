// SPDX-License-Identifier: BSD-2-Clause
/* Who may log in, by saveconfig.json, and which LUNs they find. What LIO would refuse opens nothing here. */
#include <stdio.h>
#include <string.h>

#include "import_lio.h"

/* False: there is a user of this name with another secret. Without a name or a secret there is none. */
static bool take_user(struct lio *l, struct import_target *t, const struct node *n)
{
	const char *name = lio_text(l, n, "chap_userid"), *secret = lio_text(l, n, "chap_password");
	const char *mutual = lio_text(l, n, "chap_mutual_userid");
	const char *mutual_secret = lio_text(l, n, "chap_mutual_password");
	struct import_user *u;

	if (!name || !secret)
		return true;
	for (size_t i = 0; i < t->user_count; i++) {
		if (!strcmp(t->users[i].name, name))
			return !strcmp(t->users[i].secret, secret); /* of another initiator */
	}
	u = import_more(l->im, &t->users, &t->user_count, sizeof(*u));
	*u = (struct import_user){ .name = name,
				   .secret = secret,
				   .mutual_name = mutual && mutual_secret ? mutual : NULL,
				   .mutual_secret = mutual ? mutual_secret : NULL,
				   .line = lio_line(l, n, "chap_userid") };
	return true;
}

static void add_number(struct import *im, unsigned int **list, size_t *count, json_int_t number)
{
	unsigned int *at = import_more(im, list, count, sizeof(*at));

	*at = (unsigned int)number;
}

static bool is_mapped(const struct import_view *v, unsigned int number)
{
	for (size_t i = 0; i < v->lun_count; i++) {
		if (v->luns[i] == number)
			return true;
	}
	return false;
}

/* What the initiator of an ACL sees. True: it is not everything. */
static bool take_mapped(struct lio *l, const struct import_target *t, const struct group *g,
			const struct node *acl, const char *who, struct import_view *v)
{
	struct node list = lio_member(acl, "mapped_luns"), n;

	for (size_t i = 0; lio_item(&list, i, &n); i++) {
		json_int_t lun = lio_number(&n, "tpg_lun", -1),
			   index = lio_number(&n, "index", lun);

		if (!lio_is_lun(lun)) {
			import_note(l->im, lio_line(l, &n, NULL),
				    "%s: a mapped LUN without a tpg_lun: left out", who);
			continue;
		}
		add_number(l->im, &v->luns, &v->lun_count, lun);
		if (lio_is_on(&n, "write_protect", g->protect, true))
			add_number(l->im, &v->readonly, &v->readonly_count, lun);
		if (index != lun)
			import_note(l->im, lio_line(l, &n, NULL),
				    "%s: lun %lld of the target was its lun %lld: now it is %lld",
				    who, (long long)lun, (long long)index, (long long)lun);
	}
	v->all = true;
	for (size_t i = 0; i < t->lun_count; i++)
		v->all &= is_mapped(v, t->luns[i].number);
	return !v->all || v->readonly_count;
}

/* A name is what an initiator says of itself; a user of its own it has proved to be. */
static const char *view_of(struct lio *l, const struct group *g, const char *who, const char *user)
{
	unsigned int count = g->user && user && !strcmp(g->user, user);
	struct node n;

	for (size_t i = 0; user && lio_item(&g->acls, i, &n); i++) {
		const char *other = lio_text(l, &n, "chap_userid");

		count += other && !strcmp(other, user);
	}
	return user && count == 1 ? import_text(l->im, "user:%s", user) : who;
}

/* Demo mode: those that have no ACL. Where secrets are asked, they have that of the group. */
static void add_others(struct lio *l, struct import_target *t, const struct group *g)
{
	struct import_view *v;

	if (g->chap && !g->user)
		return;
	v = import_more(l->im, &t->views, &t->view_count, sizeof(*v));
	*v = (struct import_view){ .who = g->chap ? import_text(l->im, "user:%s", g->user) : "any",
				   .all = true,
				   .all_readonly = g->demo_protect };
}

/* The first view that fits counts: whoever has proved who he is, must not get that of a name that he says. */
static void users_first(struct lio *l, struct import_target *t)
{
	struct import_view *sorted = import_alloc(l->im, (t->view_count + 1) * sizeof(*sorted));
	size_t count = 0;

	for (int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i < t->view_count; i++) {
			bool user = !strncmp(t->views[i].who, "user:", 5);

			if (user == !turn)
				sorted[count++] = t->views[i];
		}
	}
	t->views = sorted;
}

/* -1: as the portal group says. */
static json_int_t acl_asks(const struct node *acl)
{
	struct node attributes = lio_member(acl, "attributes");

	return lio_is_on(&attributes, "authentication", false, true)
		       ? lio_number(&attributes, "authentication", 1)
	       : json_object_get(attributes.value, "authentication") ? 0
								     : -1;
}

/* Where all are asked for a secret: who has none there, has none here. False: left out, which is told. */
static bool has_secret(struct lio *l, struct import_target *t, const struct node *n,
		       const char *who)
{
	const char *why = NULL;

	if (!lio_text(l, n, "chap_userid") || !lio_text(l, n, "chap_password"))
		why = acl_asks(n) ? "it has no secret of its own, and LIO asks it for one"
				  : "LIO asks it for no secret, riser asks all of the target";
	else if (!take_user(l, t, n))
		why = "another initiator has the same user with another secret";
	if (why)
		import_note(l->im, lio_line(l, n, NULL), "%s: is left out: %s", who, why);
	return !why;
}

/* One ACL. True: it needs a view. */
static bool take_acl(struct lio *l, struct import_target *t, const struct group *g,
		     const struct node *n, const char *who)
{
	const char *user = g->chap ? lio_text(l, n, "chap_userid") : NULL;
	struct import_view *v = import_more(l->im, &t->views, &t->view_count, sizeof(*v));

	v->who = view_of(l, g, who, user);
	return take_mapped(l, t, g, n, who, v);
}

/* That of those without an ACL. */
static void take_group_user(struct lio *l, struct import_target *t, const struct node *tpg,
			    const struct group *g)
{
	if (g->user)
		take_user(l, t, tpg);
	else if (lio_text(l, tpg, "chap_userid"))
		import_note(l->im, lio_line(l, tpg, "chap_userid"),
			    "target %s: the user of its portal group is left out: LIO asks for it "
			    "only where initiators have no ACL, and it authenticates",
			    t->name);
}

void lio_acls(struct lio *l, struct import_target *t, const struct node *tpg, const struct group *g)
{
	bool secrets = false, views = g->demo && g->demo_protect;
	struct node n;

	take_group_user(l, t, tpg, g);
	for (size_t i = 0; lio_item(&g->acls, i, &n); i++) {
		const char *who = lio_text(l, &n, "node_wwn");

		secrets |= lio_text(l, &n, "chap_userid") != NULL;
		if (!who || !import_is_name(who)) {
			import_note(l->im, lio_line(l, &n, NULL), "%s: is no iSCSI name: left out",
				    who ? who : "an ACL");
			continue;
		}
		if (g->chap && !has_secret(l, t, &n, who))
			continue;
		import_allow(l->im, t, who);
		views |= take_acl(l, t, g, &n, who);
	}
	if (views && g->demo)
		add_others(l, t, g);
	if (views)
		users_first(l, t);
	else
		t->view_count = 0;
	if (secrets && !g->chap)
		import_note(l->im, lio_line(l, tpg, NULL),
			    "target %s: has secrets, but authentication is 0 and LIO asks nobody: "
			    "they are left out; to ask, add chap USER { secret-file = FILE }",
			    t->name);
	if (t->user_count > 1)
		import_note(
			l->im, lio_line(l, tpg, NULL),
			"target %s: each initiator had a secret of its own: now each may log in "
			"with any of them",
			t->name);
}

/* What a portal group says of initiators. LIO has authentication, unless it is told otherwise; an ACL may ask
 * where its group does not. */
struct group lio_group(struct lio *l, const struct node *tpg)
{
	struct node attributes = lio_member(tpg, "attributes"), n;
	struct group g = { .acls = lio_member(tpg, "node_acls") };

	g.chap = lio_is_on(&attributes, "authentication", true, true);
	g.demo = lio_is_on(&attributes, "generate_node_acls", false, false);
	g.demo_protect = lio_is_on(&attributes, "demo_mode_write_protect", true, true);
	g.protect = lio_is_on(&attributes, "prod_mode_write_protect", false, true);
	for (size_t i = 0; lio_item(&g.acls, i, &n); i++)
		g.chap |= acl_asks(&n) > 0;
	if (g.chap && g.demo && lio_text(l, tpg, "chap_password"))
		g.user = lio_text(l, tpg, "chap_userid");
	return g;
}
