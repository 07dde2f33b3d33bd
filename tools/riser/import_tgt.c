// SPDX-License-Identifier: BSD-2-Clause
/*
 * targets.conf, the file of tgt-admin(8), in the syntax of Apache: lines "key value", blocks
 * <target NAME> and <backing-store PATH>, include. LUNs get the numbers that tgt-admin would give them:
 * within a target by kind (backing-store before direct-store) and then by path, from 1 on, leaving out
 * those that are said.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "import_apache.h"

/* What may be said for one LUN, or for all of a target. */
struct store {
	bool direct_store;
	const char *path;
	struct import_lun lun;
	bool has_number, readonly_said, removable_said;
	int physical_exponent; /* and one; 0: not said */
	const char *bs_type, *device_type;
};

struct reader {
	struct import *im;
	struct import_target *target; /* NULL: outside of one */
	struct store all, *stores, *store; /* of the target; the one whose block this is, or NULL */
	size_t store_count;
	const char *out_user, *out_secret;
	unsigned int out_line;
	bool iser_said;
	bool by_isns; /* who may log in is what an iSNS server says */
	bool isns_on;
	const char *isns, *isns_port, *isns_file; /* NULL: not said */
	unsigned int isns_line;
};

/* --- What keys mean */

static bool is_on(const char *value)
{
	return !strcmp(value, "1") || !strcasecmp(value, "yes") || !strcasecmp(value, "on");
}

/* "user secret" */
static bool split_user(struct reader *r, struct apache_line *l, const char **user,
		       const char **secret)
{
	size_t len = strcspn(l->value, " \t");
	const char *rest = l->value + len + strspn(l->value + len, " \t");

	if (!len || !*rest)
		return import_fail(r->im, l->number, "%s takes a name and a secret", l->key);
	*user = import_copy(r->im, l->value, len);
	*secret = import_copy(r->im, rest, strcspn(rest, " \t"));
	return true;
}

static void add_user(struct reader *r, struct apache_line *l, struct import_user **users,
		     size_t *count)
{
	struct import_user *u;
	const char *name, *secret;

	if (!split_user(r, l, &name, &secret))
		return;
	u = import_more(r->im, users, count, sizeof(*u));
	*u = (struct import_user){ .name = name, .secret = secret, .line = l->number };
}

static void take_outgoing(struct reader *r, struct apache_line *l)
{
	if (r->out_user)
		import_note(r->im, l->number,
			    "outgoinguser: a second one is left out, as tgt does");
	else if (split_user(r, l, &r->out_user, &r->out_secret))
		r->out_line = l->number;
}

static void set_bs_type(struct reader *r, struct store *s, struct apache_line *l)
{
	(void)r;
	s->bs_type = l->value;
	if (!strcmp(l->value, "aio"))
		s->lun.direct = true;
}

static void set_flags(struct reader *r, struct store *s, struct apache_line *l)
{
	if (strstr(l->value, "direct"))
		s->lun.direct = true;
	if (strstr(l->value, "sync"))
		import_note(r->im, l->number,
			    "bsoflags sync: riser writes to stable media when an initiator flushes "
			    "or asks for FUA, not at each write");
}

static void set_write_cache(struct reader *r, struct store *s, struct apache_line *l)
{
	(void)s;
	if (!strcmp(l->value, "off"))
		import_note(r->im, l->number,
			    "write-cache off: riser says that it has a write cache, and initiators "
			    "flush it");
}

static void set_block_size(struct reader *r, struct store *s, struct apache_line *l)
{
	char *end;

	s->lun.block_size = (unsigned int)strtoul(l->value, &end, 10);
	if (*end || !s->lun.block_size)
		import_fail(r->im, l->number, "block-size takes a number of bytes");
}

/* Logical blocks per physical block, as an exponent: of the block size, which may stand below it. */
static void set_physical(struct reader *r, struct store *s, struct apache_line *l)
{
	if (!isdigit((unsigned char)l->value[0]) || l->value[1])
		import_fail(r->im, l->number, "lbppbe takes an exponent from 0 to 9");
	else
		s->physical_exponent = l->value[0] - '0' + 1;
}

static void set_number(struct reader *r, struct store *s, struct apache_line *l)
{
	char *end;
	unsigned long n = strtoul(l->value, &end, 10);

	if (!isdigit((unsigned char)l->value[0]) || *end || n > 16383) {
		import_fail(r->im, l->number, "lun takes a number");
		return;
	}
	s->lun.number = (unsigned int)n;
	s->has_number = true;
}

static void set_serial(struct reader *r, struct store *s, struct apache_line *l)
{
	(void)r;
	s->lun.serial = l->value;
}

static void set_readonly(struct reader *r, struct store *s, struct apache_line *l)
{
	/* What tgt may have taken for a yes, once, is one. */
	bool off = !strcmp(l->value, "0") || !strcasecmp(l->value, "no") ||
		   !strcasecmp(l->value, "off");

	(void)r;
	s->lun.readonly |= !off;
	s->readonly_said = true;
}

static void set_removable(struct reader *r, struct store *s, struct apache_line *l)
{
	(void)r;
	s->lun.removable = is_on(l->value);
	s->removable_said = true;
}

static void set_device_type(struct reader *r, struct store *s, struct apache_line *l)
{
	(void)r;
	s->device_type = l->value;
}

static void nothing(struct reader *r, struct store *s, struct apache_line *l)
{
	(void)r;
	(void)s;
	(void)l;
}

/* Keys of a LUN. Without a function there is nothing like it in riser, and `why` says so. */
static const struct store_key {
	const char *name;
	void (*set)(struct reader *r, struct store *s, struct apache_line *l);
	const char *why;
} store_keys[] = {
	{ "bs-type", set_bs_type, NULL },
	{ "bsoflags", set_flags, NULL },
	{ "write-cache", set_write_cache, NULL },
	{ "block-size", set_block_size, NULL },
	{ "lun", set_number, NULL },
	{ "scsi_sn", set_serial, NULL },
	{ "readonly", set_readonly, NULL },
	{ "removable", set_removable, NULL },
	{ "device-type", set_device_type, NULL },
	{ "allow-in-use", nothing, NULL },
	{ "thin_provisioning", nothing, NULL },
	{ "scsi_id", NULL, "riser makes the names of VPD page 83h from the serial number" },
	{ "vendor_id", NULL, "disks of riser say RISER" },
	{ "product_id", NULL, "disks of riser have a product name of their own" },
	{ "product_rev", NULL, "disks of riser say their own revision" },
	{ "sense_format", NULL, "initiators choose it by the D_SENSE bit" },
	{ "mode_page", NULL, "initiators set mode pages with MODE SELECT" },
	{ "bsopts", NULL, "they belong to another backing store" },
	{ "params", NULL, "they go to tgtadm as they are" },
	{ "online", NULL, "a LUN that is there is online" },
	{ "path", NULL, "it is of removable media" },
	{ "lbppbe", set_physical, NULL },
	{ "la_lba", NULL, "riser asks the disk" },
	{ "optimal_xfer_gran", NULL, "riser has its own" },
	{ "optimal_xfer_len", NULL, "riser has its own" },
};

/* Login keys, which riser negotiates by itself. */
static const char *const login_keys[] = {
	"MaxRecvDataSegmentLength",
	"MaxXmitDataSegmentLength",
	"HeaderDigest",
	"DataDigest",
	"InitialR2T",
	"MaxOutstandingR2T",
	"ImmediateData",
	"FirstBurstLength",
	"MaxBurstLength",
	"DataPDUInOrder",
	"DataSequenceInOrder",
	"ErrorRecoveryLevel",
	"IFMarker",
	"OFMarker",
	"DefaultTime2Wait",
	"DefaultTime2Retain",
	"OFMarkInt",
	"IFMarkInt",
	"MaxConnections",
	"RDMAExtensions",
	"MaxQueueCmd",
	"nop_interval",
	"nop_count",
};

static bool store_line(struct reader *r, struct store *s, struct apache_line *l)
{
	for (size_t i = 0; i < sizeof(store_keys) / sizeof(store_keys[0]); i++) {
		const struct store_key *k = &store_keys[i];

		if (strcmp(k->name, l->key) != 0)
			continue;
		if (k->set)
			k->set(r, s, l);
		else
			import_note(r->im, l->number, "%s %s: not carried over: %s", l->key,
				    l->value, k->why);
		return true;
	}
	return false;
}

static struct store *add_store(struct reader *r, struct apache_line *l)
{
	struct store *s = import_more(r->im, &r->stores, &r->store_count, sizeof(*s));

	s->direct_store = !strcmp(l->key, "direct-store");
	s->path = l->value;
	s->lun.line = l->number;
	s->lun.file = r->im->file;
	if (s->direct_store)
		import_note(r->im, l->number,
			    "direct-store %s: is served, and its SCSI names are riser's, not those "
			    "of the device",
			    l->value);
	return s;
}

static void set_driver(struct reader *r, struct apache_line *l)
{
	if (!strcmp(l->value, "iser") && !r->iser_said) {
		r->iser_said = true;
		import_note(
			r->im, l->number,
			"driver iser: the portals of riser serve TCP and iSER at once, wherever "
			"an RDMA device has the address");
	} else if (strcmp(l->value, "iscsi") != 0 && strcmp(l->value, "iser") != 0) {
		import_note(r->im, l->number, "driver %s: riser has no such transport", l->value);
	}
}

static void target_line(struct reader *r, struct apache_line *l)
{
	struct import_target *t = r->target;

	if (!strcmp(l->key, "backing-store") || !strcmp(l->key, "direct-store")) {
		add_store(r, l);
	} else if (!strcmp(l->key, "incominguser")) {
		add_user(r, l, &t->users, &t->user_count);
	} else if (!strcmp(l->key, "outgoinguser")) {
		take_outgoing(r, l);
	} else if (!strcmp(l->key, "initiator-address") || !strcmp(l->key, "initiator-name")) {
		bool name = !strcmp(l->key, "initiator-name");

		if (!import_restrict(r->im, t, l->value, name))
			import_note(r->im, l->number, "%s %s: is no %s: left out", l->key, l->value,
				    name ? "iSCSI name" : "address in numbers");
	} else if (!strcmp(l->key, "driver")) {
		set_driver(r, l);
	} else if (!strcmp(l->key, "controller_tid")) {
		t->tid = (unsigned int)strtoul(l->value, NULL, 10);
	} else if (!store_line(r, &r->all, l)) {
		bool login = false;

		for (size_t i = 0; i < sizeof(login_keys) / sizeof(login_keys[0]); i++)
			login |= !strcmp(login_keys[i], l->key);
		/* A key with a typing error may have a secret. */
		import_note(r->im, l->number, "%s: not carried over: %s", l->key,
			    login ? "riser negotiates it by itself"
				  : "riser does not know what it means");
	}
}

static void isns_line(struct reader *r, struct apache_line *l)
{
	r->isns_line = l->number;
	r->isns_file = r->im->file;
	if (!strcmp(l->key, "iSNSAccessControl"))
		r->by_isns |= strcasecmp(l->value, "off") != 0;
	else if (!strcmp(l->key, "iSNSServerIP"))
		r->isns = l->value;
	else if (!strcmp(l->key, "iSNSServerPort"))
		r->isns_port = l->value;
	else if (!strcmp(l->key, "iSNS"))
		r->isns_on = strcasecmp(l->value, "off") != 0;
	else
		import_note(r->im, l->number, "%s: not carried over: riser has nothing like it",
			    l->key);
}

/* Of all lines of it together. */
static void end_isns(struct reader *r)
{
	if (r->isns_file)
		r->im->file = r->isns_file;
	if (r->isns_on && !r->isns)
		import_note(r->im, r->isns_line,
			    "iSNS On: not carried over: no iSNSServerIP says which server: in "
			    "riser.conf it is isns = ADDR");
	else if (r->isns && !r->isns_on)
		import_note(r->im, r->isns_line,
			    "iSNSServerIP %s: not carried over: tgt uses it with iSNS On only",
			    r->isns);
	else if (r->isns && !import_isns(r->im, r->isns, r->isns_port))
		import_note(r->im, r->isns_line,
			    "iSNSServerIP %s, port %s: not carried over: isns of riser.conf takes "
			    "an address in numbers",
			    r->isns, r->isns_port ? r->isns_port : "3205");
}

static void global_line(struct reader *r, struct apache_line *l)
{
	if (!strcmp(l->key, "incomingdiscoveryuser"))
		add_user(r, l, &r->im->discovery, &r->im->discovery_count);
	else if (!strcmp(l->key, "default-driver"))
		set_driver(r, l);
	else if (!strcmp(l->key, "outgoingdiscoveryuser"))
		import_note(r->im, l->number,
			    "outgoingdiscoveryuser: not carried over: add mutual and "
			    "mutual-secret-file to a chap of discovery");
	else if (!strncmp(l->key, "iSNS", 4))
		isns_line(r, l);
	else if (strcmp(l->key, "ignore-errors") != 0 && strcmp(l->key, "control-port") != 0)
		import_note(r->im, l->number,
			    "%s: not carried over: riser does not know what it "
			    "means",
			    l->key);
}

/* --- The end of a target: which LUN gets which number */

static int by_path(const void *a, const void *b)
{
	const struct store *x = a, *y = b;

	if (x->direct_store != y->direct_store)
		return x->direct_store ? 1 : -1;
	return strcmp(x->path, y->path);
}

static unsigned int free_number(const struct reader *r)
{
	for (unsigned int n = 1;; n++) {
		bool taken = false;

		for (size_t i = 0; i < r->store_count && !taken; i++)
			taken = r->stores[i].has_number && r->stores[i].lun.number == n;
		if (!taken)
			return n;
	}
}

/* What was said for the whole target holds for each LUN that does not say otherwise. */
static void inherit(struct store *s, const struct store *all)
{
	if (!s->lun.serial)
		s->lun.serial = all->lun.serial;
	if (!s->lun.block_size)
		s->lun.block_size = all->lun.block_size;
	if (!s->physical_exponent)
		s->physical_exponent = all->physical_exponent;
	if (s->physical_exponent)
		s->lun.physical_block_size = (s->lun.block_size ? s->lun.block_size : 512)
					     << (s->physical_exponent - 1);
	if (!s->readonly_said)
		s->lun.readonly = all->lun.readonly;
	if (!s->removable_said)
		s->lun.removable = all->lun.removable;
	if (!s->bs_type) {
		s->bs_type = all->bs_type;
		s->lun.direct |= all->lun.direct;
	}
	if (!s->device_type)
		s->device_type = all->device_type;
}

static bool is_disk(struct reader *r, const struct store *s)
{
	static const char *const types[] = { "rdwr", "aio", "null" };
	bool known = !s->bs_type;

	for (size_t i = 0; i < 3 && !known; i++)
		known = !strcmp(types[i], s->bs_type);
	if (!known)
		import_note(r->im, s->lun.line,
			    "lun %u, %s: left out: riser has no backing store %s", s->lun.number,
			    s->path, s->bs_type);
	else if (s->device_type && strcmp(s->device_type, "disk") != 0)
		import_note(r->im, s->lun.line,
			    "lun %u, %s: left out: riser serves disks, no device of type %s",
			    s->lun.number, s->path, s->device_type);
	return known && (!s->device_type || !strcmp(s->device_type, "disk"));
}

static void end_stores(struct reader *r)
{
	struct import_target *t = r->target;

	if (r->store_count)
		qsort(r->stores, r->store_count, sizeof(*r->stores), by_path);
	for (size_t i = 0; i < r->store_count; i++) {
		struct store *s = &r->stores[i];
		struct import_lun *l;

		if (!s->has_number && r->all.has_number && r->store_count == 1)
			s->lun.number = r->all.lun.number;
		else if (!s->has_number)
			s->lun.number = free_number(r);
		s->has_number = true;
		inherit(s, &r->all);
		if (!is_disk(r, s))
			continue;
		l = import_more(r->im, &t->luns, &t->lun_count, sizeof(*l));
		*l = s->lun;
		l->path = s->bs_type && !strcmp(s->bs_type, "null") ? "null:1T" : s->path;
	}
	r->stores = NULL;
	r->store_count = 0;
	r->all = (struct store){ 0 };
}

static void end_target(struct reader *r)
{
	struct import_target *t = r->target;

	end_stores(r);
	if (!t->address_count && !t->lost_address)
		t->any = true;
	for (size_t i = 0; i < t->user_count && r->out_user; i++) {
		t->users[i].mutual_name = r->out_user;
		t->users[i].mutual_secret = r->out_secret;
	}
	if (r->out_user && !t->user_count)
		import_note(r->im, r->out_line,
			    "outgoinguser: left out: without an incominguser no CHAP is done");
	r->out_user = r->out_secret = NULL;
	r->target = NULL;
}

/* --- Lines */

static void begin_target(struct reader *r, struct apache_line *l)
{
	struct import_target *t =
		import_more(r->im, &r->im->targets, &r->im->target_count, sizeof(*t));

	*t = (struct import_target){ .name = l->value, .file = r->im->file, .line = l->number };
	r->target = t;
}

static void begin_block(void *arg, struct apache_line *l)
{
	struct reader *r = arg;
	bool store = !strcmp(l->key, "backing-store") || !strcmp(l->key, "direct-store");

	if (!strcmp(l->key, "target") && !r->target && *l->value)
		begin_target(r, l);
	else if (store && r->target && !r->store && *l->value)
		r->store = add_store(r, l);
	else
		import_fail(r->im, l->number, "<%s %s> cannot stand here", l->key, l->value);
}

static void end_block(void *arg, struct apache_line *l)
{
	struct reader *r = arg;

	if (!strcmp(l->key, "target") && r->target && !r->store)
		end_target(r);
	else if (r->store && strcmp(l->key, "target") != 0)
		r->store = NULL;
	else
		import_fail(r->im, l->number, "</%s> has no beginning", l->key);
}

static void one_line(void *arg, struct apache_line *l)
{
	struct reader *r = arg;

	if (!r->target)
		global_line(r, l);
	else if (!r->store)
		target_line(r, l);
	else if (!store_line(r, r->store, l))
		import_note(r->im, l->number,
			    "%s: not carried over: riser does not know what it "
			    "means",
			    l->key);
}

void import_tgt(struct import *im, const char *path)
{
	struct reader r = { .im = im };
	struct apache files = { im, begin_block, end_block, one_line, &r, 0, 0 };

	apache_read(&files, path);
	if (!im->failed && r.target)
		import_fail(im, r.target->line, "<target %s> has no end", r.target->name);
	end_isns(&r);
	for (size_t i = 0; i < im->target_count && r.by_isns; i++)
		im->targets[i].closed = "an iSNS server said who may (iSNSAccessControl)";
	if (!im->failed)
		im->file = path;
}
