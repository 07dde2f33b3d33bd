// SPDX-License-Identifier: BSD-2-Clause
/* saveconfig.json of LIO (targetcli, rtslib): storage objects, and targets that refer to them. */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "import.h"
#include "import_json.h"

/* Something of the file, and where it stands in the text. */
struct node {
	const json_t *value;
	const char *at;
};

struct lio {
	struct import *im;
	const char *text;
	const json_t *root;
	struct node *objects; /* storage objects */
	json_t *names; /* "/backstores/block/disk1": which of them */
	const char *counted; /* up to here there are `lines` */
	unsigned int lines;
};

/* Of a member, or of all. Questions come in the order of the text, nearly. */
static unsigned int line_of(struct lio *l, const struct node *n, const char *key)
{
	const char *at = key ? json_member_at(n->at, key) : n->at;

	at = at ? at : n->at;
	if (at < l->counted) {
		l->counted = l->text;
		l->lines = 1;
	}
	for (; l->counted < at; l->counted++)
		l->lines += *l->counted == '\n';
	return l->lines;
}

static const char *text_of(struct lio *l, const struct node *n, const char *key)
{
	const char *text = json_string_value(json_object_get(n->value, key));

	return text && *text ? import_copy(l->im, text, strlen(text)) : NULL;
}

/* Numbers may be true and false, or stand in quotes. */
static json_int_t number_of(const struct node *n, const char *key, json_int_t otherwise)
{
	const json_t *v = json_object_get(n->value, key);
	long long number;

	if (json_is_integer(v))
		return json_integer_value(v);
	if (json_is_boolean(v))
		return json_is_true(v);
	if (json_is_string(v) && sscanf(json_string_value(v), "%lld", &number) == 1)
		return number;
	return otherwise;
}

/* What is not there has no value, and the place of what it would be in. */
static struct node member_of(const struct node *n, const char *key)
{
	const char *at = json_member_at(n->at, key);

	return (struct node){ json_object_get(n->value, key), at ? at : n->at };
}

/* The i-th of an array, from the one before it on. */
static bool next_item(const struct node *list, size_t i, struct node *item)
{
	item->value = json_array_get(list->value, i);
	if (item->value)
		item->at = i ? json_next_at(item->at) : json_first_at(list->at);
	return item->value && item->at;
}

/* --- Values that change what initiators see */

struct attribute {
	const char *name;
	json_int_t usual;
	const char *why;
};

static const struct attribute of_object[] = {
	{ "emulate_pr", 1, "riser has persistent reservations" },
	{ "emulate_caw", 1, "riser has COMPARE AND WRITE" },
	{ "emulate_3pc", 1, "riser has EXTENDED COPY" },
	{ "emulate_tas", 1, "initiators set TAS in the control mode page" },
	{ "emulate_ua_intlck_ctrl", 0, "initiators set it in the control mode page" },
	{ "emulate_rest_reord", 0, "initiators set it in the control mode page" },
	{ "enforce_pr_isids", 1, "registrations belong to name, ISID and port" },
	{ "pi_prot_type", 0, "riser has protection information by pi and pi-path" },
	{ "is_nonrot", -1, NULL },
	{ "force_pr_aptpl", 0, "riser keeps reservations as initiators ask, in state" },
};

static const struct attribute of_group[] = {
	{ "t10_pi", 0, "riser has protection information by pi and pi-path of a lun" },
	{ "tpg_enabled_sendtargets", 1, "discovery shows the targets that an initiator may use" },
	{ "prod_mode_write_protect", 0, "there is readonly, of a lun" },
	{ "login_timeout", 15, "riser has login-timeout, for all targets" },
	{ "default_erl", 0, "riser has error-recovery-level, for all targets" },
};

static void note_attributes(struct lio *l, const struct node *owner, const struct attribute *table,
			    size_t count)
{
	struct node n = member_of(owner, "attributes");

	for (size_t i = 0; i < count; i++) {
		json_int_t value = number_of(&n, table[i].name, table[i].usual);

		if (table[i].why && value != table[i].usual)
			import_note(l->im, line_of(l, &n, table[i].name),
				    "%s %lld: not carried over: %s", table[i].name,
				    (long long)value, table[i].why);
	}
}

/* --- Storage objects */

/* LIO makes the NAA of its company number and the hex digits of the serial number. */
static const char *naa_of(struct lio *l, const char *serial)
{
	char naa[33] = "6001405";
	size_t len = 7;

	for (const char *c = serial; *c && len < 32; c++) {
		if (isxdigit((unsigned char)*c))
			naa[len++] = (char)tolower((unsigned char)*c);
	}
	while (len < 32)
		naa[len++] = '0';
	return import_copy(l->im, naa, 32);
}

static bool take_plugin(struct lio *l, const struct node *n, const char *plugin, const char *path,
			struct import_lun *lun)
{
	json_int_t size = number_of(n, "size", 0);

	if (!strcmp(plugin, "ramdisk") && size > 0) {
		lun->path = import_text(l->im, "ram:%lld", (long long)size);
		import_note(l->im, line_of(l, n, NULL),
			    "ramdisk: its %lld bytes are empty now, and after each restart",
			    (long long)size);
		return true;
	}
	if ((strcmp(plugin, "block") && strcmp(plugin, "fileio")) || !path) {
		import_note(l->im, line_of(l, n, NULL),
			    "storage object %s: left out with its LUNs: riser has nothing like %s",
			    text_of(l, n, "name"), plugin);
		return false;
	}
	lun->path = path;
	if (!strcmp(plugin, "fileio") && !number_of(n, "write_back", 1))
		import_note(l->im, line_of(l, n, "write_back"),
			    "write_back false: riser writes to stable media when an initiator "
			    "flushes or asks for FUA, not at each write");
	return true;
}

/* False: riser has nothing like it, which has been noted. */
static bool take_object(struct lio *l, const struct node *n, struct import_lun *lun)
{
	const char *plugin = text_of(l, n, "plugin"), *wwn = text_of(l, n, "wwn");
	struct node attributes = member_of(n, "attributes");
	struct node groups = member_of(n, "alua_tpgs"), g;
	json_int_t block = number_of(&attributes, "block_size", 512);

	if (!plugin || !take_plugin(l, n, plugin, text_of(l, n, "dev"), lun))
		return false;
	lun->readonly = number_of(n, "readonly", 0);
	lun->block_size = block > 0 && block <= 1 << 20 ? (unsigned int)block : 512;
	if (!strcmp(plugin, "block"))
		lun->block_size = 0; /* that of the device */
	lun->serial = wwn;
	if (wwn)
		lun->naa = naa_of(l, wwn);
	note_attributes(l, n, of_object, sizeof(of_object) / sizeof(of_object[0]));
	for (size_t i = 0; next_item(&groups, i, &g); i++) {
		const char *name = text_of(l, &g, "name");

		if (name && strcmp(name, "default_tg_pt_gp") != 0)
			import_note(l->im, line_of(l, &g, NULL),
				    "ALUA group %s: not carried over: in riser access belongs to a "
				    "portal",
				    name);
	}
	return true;
}

static void index_objects(struct lio *l, const struct node *root)
{
	struct node list = member_of(root, "storage_objects"), n;
	size_t count = json_array_size(list.value);

	l->objects = import_alloc(l->im, (count + 1) * sizeof(*l->objects));
	l->names = json_object();
	for (size_t i = 0; next_item(&list, i, &n); i++) {
		const char *plugin = text_of(l, &n, "plugin"), *name = text_of(l, &n, "name");

		l->objects[i] = n;
		if (plugin && name)
			json_object_set_new(l->names,
					    import_text(l->im, "/backstores/%s/%s", plugin, name),
					    json_integer((json_int_t)i));
	}
}

static bool find_object(struct lio *l, const char *path, struct import_lun *lun)
{
	const json_t *at = json_object_get(l->names, path);

	if (at)
		return take_object(l, &l->objects[json_integer_value(at)], lun);
	import_note(l->im, lun->line, "%s: left out: there is no such storage object", path);
	return false;
}

/* --- Portal groups of targets */

static void add_portal(struct lio *l, struct import_target *t, const char *address, json_int_t port)
{
	const char *full = import_text(
		l->im, address[0] != '[' && strchr(address, ':') ? "[%s]:%lld" : "%s:%lld", address,
		(long long)port);
	size_t i = import_portal(l->im, full, NULL), *at;

	for (size_t j = 0; j < t->portal_count; j++) {
		if (t->portals[j] == i)
			return;
	}
	at = import_more(l->im, &t->portals, &t->portal_count, sizeof(*at));
	*at = i;
}

static void take_portals(struct lio *l, struct import_target *t, const struct node *tpg)
{
	struct node list = member_of(tpg, "portals"), n;

	for (size_t i = 0; next_item(&list, i, &n); i++) {
		const char *address = text_of(l, &n, "ip_address");
		json_int_t port = number_of(&n, "port", 3260);

		if (!address || port < 1 || port > 65535) {
			import_note(l->im, line_of(l, &n, NULL),
				    "a portal without an address: "
				    "left out");
			continue;
		}
		/* Linux takes IPv4 there as well; riser has a portal for each. */
		if (!strcmp(address, "::0") || !strcmp(address, "[::0]")) {
			add_portal(l, t, "0.0.0.0", port);
			address = "::";
		}
		add_portal(l, t, address, port);
	}
	if (!t->portal_count)
		import_note(l->im, line_of(l, tpg, NULL),
			    "target %s: had no portal: it is at all of riser's", t->name);
}

static void take_user(struct lio *l, struct import_target *t, const struct node *n)
{
	const char *name = text_of(l, n, "chap_userid"), *secret = text_of(l, n, "chap_password");
	const char *mutual = text_of(l, n, "chap_mutual_userid");
	const char *mutual_secret = text_of(l, n, "chap_mutual_password");
	struct import_user *u;

	if (!name || !secret)
		return;
	for (size_t i = 0; i < t->user_count; i++) {
		if (!strcmp(t->users[i].name, name) && !strcmp(t->users[i].secret, secret))
			return; /* of another initiator */
	}
	u = import_more(l->im, &t->users, &t->user_count, sizeof(*u));
	*u = (struct import_user){ .name = name,
				   .secret = secret,
				   .mutual_name = mutual && mutual_secret ? mutual : NULL,
				   .mutual_secret = mutual ? mutual_secret : NULL,
				   .line = line_of(l, n, "chap_userid") };
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
static bool take_mapped(struct lio *l, const struct import_target *t, const struct node *acl,
			const char *who, struct import_view *v)
{
	struct node list = member_of(acl, "mapped_luns"), n;

	for (size_t i = 0; next_item(&list, i, &n); i++) {
		json_int_t index = number_of(&n, "index", 0), lun = number_of(&n, "tpg_lun", 0);

		add_number(l->im, &v->luns, &v->lun_count, lun);
		if (number_of(&n, "write_protect", 0))
			add_number(l->im, &v->readonly, &v->readonly_count, lun);
		if (index != lun)
			import_note(l->im, line_of(l, &n, NULL),
				    "%s: lun %lld of the target was its lun %lld: now it is %lld",
				    who, (long long)lun, (long long)index, (long long)lun);
	}
	v->all = true;
	for (size_t i = 0; i < t->lun_count; i++)
		v->all &= is_mapped(v, t->luns[i].number);
	return !v->all || v->readonly_count;
}

/* A name is what an initiator says of itself; a user of its own it has proved to be. */
static const char *view_of(struct lio *l, const struct node *list, const char *who,
			   const char *user)
{
	unsigned int count = 0;
	struct node n;

	for (size_t i = 0; user && next_item(list, i, &n); i++) {
		const char *other = text_of(l, &n, "chap_userid");

		count += other && !strcmp(other, user);
	}
	return count == 1 ? import_text(l->im, "user:%s", user) : who;
}

/* Demo mode: those that have no ACL. */
static void add_others(struct lio *l, struct import_target *t, bool readonly)
{
	struct import_view *v = import_more(l->im, &t->views, &t->view_count, sizeof(*v));

	*v = (struct import_view){ .who = "any", .all = true, .all_readonly = readonly };
}

/* One ACL. True: it needs a view. */
static bool take_acl(struct lio *l, struct import_target *t, const struct node *list,
		     const struct node *n, const char *who, bool chap)
{
	struct import_view *v = import_more(l->im, &t->views, &t->view_count, sizeof(*v));

	v->who = view_of(l, list, who, chap ? text_of(l, n, "chap_userid") : NULL);
	if (chap)
		take_user(l, t, n);
	return take_mapped(l, t, n, who, v);
}

static void take_acls(struct lio *l, struct import_target *t, const struct node *tpg, bool chap,
		      bool demo, bool readonly)
{
	struct node list = member_of(tpg, "node_acls"), n;
	bool secrets = false, views = demo && readonly;

	for (size_t i = 0; next_item(&list, i, &n); i++) {
		const char *who = text_of(l, &n, "node_wwn");

		if (!who || !import_allow(l->im, t, who)) {
			import_note(l->im, line_of(l, &n, NULL), "%s: is no iSCSI name: left out",
				    who ? who : "an ACL");
			continue;
		}
		views |= take_acl(l, t, &list, &n, who, chap);
		secrets |= text_of(l, &n, "chap_userid") != NULL;
	}
	if (views && demo)
		add_others(l, t, readonly);
	if (!views)
		t->view_count = 0;
	if (secrets && !chap)
		import_note(l->im, line_of(l, tpg, NULL),
			    "target %s: has secrets, but authentication is 0 and LIO asks nobody: "
			    "they are left out; to ask, add chap USER { secret-file = FILE }",
			    t->name);
	if (t->user_count > 1)
		import_note(
			l->im, line_of(l, tpg, NULL),
			"target %s: each initiator had a secret of its own: now each may log in "
			"with any of them",
			t->name);
}

static void take_luns(struct lio *l, struct import_target *t, const struct node *tpg)
{
	struct node list = member_of(tpg, "luns"), n;

	for (size_t i = 0; next_item(&list, i, &n); i++) {
		const char *object = text_of(l, &n, "storage_object");
		struct import_lun lun = { .number = (unsigned int)number_of(&n, "index", 0),
					  .file = l->im->file,
					  .line = line_of(l, &n, NULL) };
		struct import_lun *at;

		if (!object || !find_object(l, object, &lun))
			continue;
		at = import_more(l->im, &t->luns, &t->lun_count, sizeof(*at));
		*at = lun;
	}
}

static void take_group(struct lio *l, struct import_target *t, const struct node *tpg)
{
	struct node attributes = member_of(tpg, "attributes");
	bool chap = number_of(&attributes, "authentication", 0);
	bool demo = number_of(&attributes, "generate_node_acls", 0);

	if (!number_of(tpg, "enable", 1)) {
		import_note(l->im, line_of(l, tpg, "enable"),
			    "target %s: a portal group that is not enabled is left out", t->name);
		return;
	}
	take_luns(l, t, tpg);
	take_portals(l, t, tpg);
	if (demo)
		t->any = true;
	if (chap)
		take_user(l, t, tpg);
	take_acls(l, t, tpg, chap, demo, number_of(&attributes, "demo_mode_write_protect", 1));
	if (demo)
		t->name_count = 0; /* anybody means also those that are named */
	t->chap = chap;
	note_attributes(l, tpg, of_group, sizeof(of_group) / sizeof(of_group[0]));
}

static void take_target(struct lio *l, const struct node *n)
{
	const char *fabric = text_of(l, n, "fabric"), *name = text_of(l, n, "wwn");
	struct node list = member_of(n, "tpgs"), tpg;
	struct import_target *t;

	if (!fabric || !name || strcmp(fabric, "iscsi") != 0) {
		import_note(l->im, line_of(l, n, NULL),
			    "%s: a target of %s: left out: riser serves iSCSI and iSER",
			    name ? name : "?", fabric ? fabric : "?");
		return;
	}
	t = import_more(l->im, &l->im->targets, &l->im->target_count, sizeof(*t));
	*t = (struct import_target){ .name = name,
				     .file = l->im->file,
				     .line = line_of(l, n, "wwn") };
	for (size_t i = 0; next_item(&list, i, &tpg); i++) {
		if (i)
			import_note(l->im, line_of(l, &tpg, NULL),
				    "target %s: portal group %lld: left out with its LUNs and "
				    "initiators: riser has the same for all portals of a target",
				    name, (long long)number_of(&tpg, "tag", 0));
		else
			take_group(l, t, &tpg);
	}
}

static void take_discovery(struct lio *l)
{
	struct node root = { l->root, l->text }, list = member_of(&root, "fabric_modules"), n;

	for (size_t i = 0; next_item(&list, i, &n); i++) {
		const char *user = text_of(l, &n, "discovery_userid");
		const char *secret = text_of(l, &n, "discovery_password");
		struct import_user *u;

		if (!user || !secret || !number_of(&n, "discovery_enable_auth", 0))
			continue;
		u = import_more(l->im, &l->im->discovery, &l->im->discovery_count, sizeof(*u));
		*u = (struct import_user){ .name = user,
					   .secret = secret,
					   .mutual_name = text_of(l, &n, "discovery_mutual_userid"),
					   .line = line_of(l, &n, "discovery_userid") };
		u->mutual_secret = text_of(l, &n, "discovery_mutual_password");
		if (!u->mutual_secret)
			u->mutual_name = NULL;
		else if (!u->mutual_name)
			u->mutual_secret = NULL;
	}
}

void import_lio(struct import *im, const char *path)
{
	struct lio l = { .im = im, .lines = 1 };
	struct node root, list, n;
	json_error_t error;
	json_t *json;
	size_t len;

	l.text = import_read(im, path, &len, 0);
	if (!l.text)
		return;
	im->file = path;
	l.counted = l.text;
	json = json_loadb(l.text, len, JSON_REJECT_DUPLICATES, &error);
	if (!json) {
		import_fail(im, error.line > 0 ? (unsigned int)error.line : 0, "%s", error.text);
		return;
	}
	l.root = json;
	root = (struct node){ json, l.text };
	index_objects(&l, &root);
	if (!json_is_array(json_object_get(json, "targets")))
		import_fail(im, 0, "there is no list of targets: is this a saveconfig.json?");
	list = member_of(&root, "targets");
	for (size_t i = 0; next_item(&list, i, &n); i++)
		take_target(&l, &n);
	take_discovery(&l);
	json_decref(l.names);
	json_decref(json);
}
