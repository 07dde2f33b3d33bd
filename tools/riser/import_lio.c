// SPDX-License-Identifier: BSD-2-Clause
/* saveconfig.json of LIO (targetcli, rtslib): storage objects, and targets that refer to them. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "import_json.h"
#include "import_lio.h"

/* Of a member, or of all. Questions come in the order of the text, nearly. */
unsigned int lio_line(struct lio *l, const struct node *n, const char *key)
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

const char *lio_text(struct lio *l, const struct node *n, const char *key)
{
	const char *text = json_string_value(json_object_get(n->value, key));

	return text && *text ? import_copy(l->im, text, strlen(text)) : NULL;
}

/* Numbers may be true and false, or stand in quotes. */
json_int_t lio_number(const struct node *n, const char *key, json_int_t otherwise)
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

/* A switch: numbers, also in quotes. What is none is `odd`, the value that opens nothing. */
bool lio_is_on(const struct node *n, const char *key, bool missing, bool odd)
{
	const json_t *v = json_object_get(n->value, key);
	long long number;

	if (!v || json_is_null(v))
		return missing;
	if (json_is_boolean(v))
		return json_is_true(v);
	if (json_is_number(v))
		return json_number_value(v) != 0;
	if (json_is_string(v) && sscanf(json_string_value(v), "%lld", &number) == 1)
		return number;
	return odd;
}

/* What is not there has no value, and the place of what it would be in. */
struct node lio_member(const struct node *n, const char *key)
{
	const char *at = json_member_at(n->at, key);

	return (struct node){ json_object_get(n->value, key), at ? at : n->at };
}

/* The i-th of an array, from the one before it on. */
bool lio_item(const struct node *list, size_t i, struct node *item)
{
	item->value = json_array_get(list->value, i);
	if (item->value)
		item->at = i ? json_next_at(item->at) : json_first_at(list->at);
	return item->value && item->at;
}

bool lio_is_lun(json_int_t number)
{
	return number >= 0 && number <= LIO_LUN_MOST;
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
	{ "login_timeout", 15, "riser has login-timeout, for all targets" },
	{ "default_erl", 0, "riser has error-recovery-level, for all targets" },
};

static void note_attributes(struct lio *l, const struct node *owner, const struct attribute *table,
			    size_t count)
{
	struct node n = lio_member(owner, "attributes");

	for (size_t i = 0; i < count; i++) {
		json_int_t value = lio_number(&n, table[i].name, table[i].usual);

		if (table[i].why && value != table[i].usual)
			import_note(l->im, lio_line(l, &n, table[i].name),
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
	json_int_t size = lio_number(n, "size", 0);

	if (!strcmp(plugin, "ramdisk") && size > 0) {
		lun->path = import_text(l->im, "ram:%lld", (long long)size);
		import_note(l->im, lio_line(l, n, NULL),
			    "ramdisk: its %lld bytes are empty now, and after each restart",
			    (long long)size);
		return true;
	}
	if ((strcmp(plugin, "block") && strcmp(plugin, "fileio")) || !path) {
		import_note(l->im, lio_line(l, n, NULL),
			    "storage object %s: left out with its LUNs: riser has nothing like %s",
			    lio_text(l, n, "name"), plugin);
		return false;
	}
	lun->path = path;
	if (!strcmp(plugin, "fileio") && !lio_number(n, "write_back", 1))
		import_note(l->im, lio_line(l, n, "write_back"),
			    "write_back false: riser writes to stable media when an initiator "
			    "flushes or asks for FUA, not at each write");
	return true;
}

/* False: riser has nothing like it, which has been noted. */
static bool take_object(struct lio *l, const struct node *n, struct import_lun *lun)
{
	const char *plugin = lio_text(l, n, "plugin"), *wwn = lio_text(l, n, "wwn");
	struct node attributes = lio_member(n, "attributes");
	struct node groups = lio_member(n, "alua_tpgs"), g;
	json_int_t block = lio_number(&attributes, "block_size", 512);

	if (!plugin || !take_plugin(l, n, plugin, lio_text(l, n, "dev"), lun))
		return false;
	lun->readonly = lio_is_on(n, "readonly", false, true);
	lun->block_size = block > 0 && block <= 1 << 20 ? (unsigned int)block : 512;
	if (!strcmp(plugin, "block"))
		lun->block_size = 0; /* that of the device */
	lun->serial = wwn;
	if (wwn)
		lun->naa = naa_of(l, wwn);
	note_attributes(l, n, of_object, sizeof(of_object) / sizeof(of_object[0]));
	for (size_t i = 0; lio_item(&groups, i, &g); i++) {
		const char *name = lio_text(l, &g, "name");

		if (name && strcmp(name, "default_tg_pt_gp") != 0)
			import_note(l->im, lio_line(l, &g, NULL),
				    "ALUA group %s: not carried over: in riser access belongs to a "
				    "portal",
				    name);
	}
	return true;
}

static void index_objects(struct lio *l, const struct node *root)
{
	struct node list = lio_member(root, "storage_objects"), n;
	size_t count = json_array_size(list.value);

	l->objects = import_alloc(l->im, (count + 1) * sizeof(*l->objects));
	l->names = json_object();
	for (size_t i = 0; lio_item(&list, i, &n); i++) {
		const char *plugin = lio_text(l, &n, "plugin"), *name = lio_text(l, &n, "name");

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
	struct node list = lio_member(tpg, "portals"), n;

	for (size_t i = 0; lio_item(&list, i, &n); i++) {
		const char *address = lio_text(l, &n, "ip_address");
		json_int_t port = lio_number(&n, "port", 3260);

		if (!address || port < 1 || port > 65535) {
			import_note(l->im, lio_line(l, &n, NULL),
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
	/* Now it is at all of riser's. */
	if (!t->portal_count)
		t->closed = "it had no portal";
}

static void take_luns(struct lio *l, struct import_target *t, const struct node *tpg)
{
	struct node list = lio_member(tpg, "luns"), n;

	for (size_t i = 0; lio_item(&list, i, &n); i++) {
		const char *object = lio_text(l, &n, "storage_object");
		json_int_t number = lio_number(&n, "index", -1);
		struct import_lun lun = { .number = (unsigned int)number,
					  .file = l->im->file,
					  .line = lio_line(l, &n, NULL) };
		struct import_lun *at;

		if (!object || !lio_is_lun(number)) {
			import_note(l->im, lun.line, "a LUN without a number or object: left out");
			continue;
		}
		if (!find_object(l, object, &lun))
			continue;
		at = import_more(l->im, &t->luns, &t->lun_count, sizeof(*at));
		*at = lun;
	}
}

static void take_group(struct lio *l, struct import_target *t, const struct node *tpg)
{
	struct group g = lio_group(l, tpg);

	if (!lio_is_on(tpg, "enable", true, false)) {
		import_note(l->im, lio_line(l, tpg, "enable"),
			    "target %s: a portal group that is not enabled is left out", t->name);
		return;
	}
	take_luns(l, t, tpg);
	take_portals(l, t, tpg);
	if (g.demo)
		t->any = true;
	lio_acls(l, t, tpg, &g);
	if (g.demo)
		t->name_count = 0; /* anybody means also those that are named */
	t->chap = g.chap;
	note_attributes(l, tpg, of_group, sizeof(of_group) / sizeof(of_group[0]));
}

static void take_target(struct lio *l, const struct node *n)
{
	const char *fabric = lio_text(l, n, "fabric"), *name = lio_text(l, n, "wwn");
	struct node list = lio_member(n, "tpgs"), tpg;
	struct import_target *t;

	if (!fabric || !name || strcmp(fabric, "iscsi") != 0) {
		import_note(l->im, lio_line(l, n, NULL),
			    "%s: a target of %s: left out: riser serves iSCSI and iSER",
			    name ? name : "?", fabric ? fabric : "?");
		return;
	}
	t = import_more(l->im, &l->im->targets, &l->im->target_count, sizeof(*t));
	*t = (struct import_target){ .name = name,
				     .file = l->im->file,
				     .line = lio_line(l, n, "wwn") };
	for (size_t i = 0; lio_item(&list, i, &tpg); i++) {
		if (i)
			import_note(l->im, lio_line(l, &tpg, NULL),
				    "target %s: portal group %lld: left out with its LUNs and "
				    "initiators: riser has the same for all portals of a target",
				    name, (long long)lio_number(&tpg, "tag", 0));
		else
			take_group(l, t, &tpg);
	}
}

static void take_discovery(struct lio *l)
{
	struct node root = { l->root, l->text }, list = lio_member(&root, "fabric_modules"), n;

	for (size_t i = 0; lio_item(&list, i, &n); i++) {
		const char *user = lio_text(l, &n, "discovery_userid");
		const char *secret = lio_text(l, &n, "discovery_password");
		struct import_user *u;

		if (!user || !secret || !lio_is_on(&n, "discovery_enable_auth", false, true))
			continue;
		u = import_more(l->im, &l->im->discovery, &l->im->discovery_count, sizeof(*u));
		*u = (struct import_user){ .name = user,
					   .secret = secret,
					   .mutual_name =
						   lio_text(l, &n, "discovery_mutual_userid"),
					   .line = lio_line(l, &n, "discovery_userid") };
		u->mutual_secret = lio_text(l, &n, "discovery_mutual_password");
		if (!u->mutual_secret)
			u->mutual_name = NULL;
		else if (!u->mutual_name)
			u->mutual_secret = NULL;
	}
}

static size_t length_before(const char *text, const char *word)
{
	const char *at = strstr(text, word);

	return at ? (size_t)(at - text) : strlen(text);
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
		/* What stands behind "near" may be a secret. */
		import_fail(im, error.line > 0 ? (unsigned int)error.line : 0, "%.*s",
			    (int)length_before(error.text, " near "), error.text);
		return;
	}
	l.root = json;
	root = (struct node){ json, l.text };
	index_objects(&l, &root);
	if (!json_is_array(json_object_get(json, "targets")))
		import_fail(im, 0, "there is no list of targets: is this a saveconfig.json?");
	list = lio_member(&root, "targets");
	for (size_t i = 0; lio_item(&list, i, &n); i++)
		take_target(&l, &n);
	take_discovery(&l);
	json_decref(l.names);
	json_decref(json);
}
