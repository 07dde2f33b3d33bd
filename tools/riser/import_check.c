// SPDX-License-Identifier: BSD-2-Clause
/* What riserd would refuse is taken out, each with a note, so that the rest can be served. */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "import.h"

enum {
	LUNS_MOST = 256,
	USERS_MOST = 256,
	SERIAL_MOST = 36,
	SECRET_LEAST = 12,
	SECRET_MOST = 255,
	NAME_MOST = 255
};

/* riserd takes UTF-8 without control characters. */
static bool has_controls(const char *text)
{
	json_t *utf8 = json_string(text);
	bool wrong = !utf8;

	json_decref(utf8);
	for (; *text && !wrong; text++)
		wrong = iscntrl((unsigned char)*text);
	return wrong;
}

/* Hex digits of one of the lengths that a name of its kind has. */
static bool is_designator(const char *text, bool naa)
{
	size_t len = strlen(text);

	if (strspn(text, "0123456789abcdefABCDEF") != len)
		return false;
	if (naa)
		return text[0] == '6' ? len == 32 : len == 16 && strchr("235", text[0]);
	return len == 16 || len == 24 || len == 32;
}

static void check_designators(struct import *im, struct import_lun *l)
{
	if (l->naa && !is_designator(l->naa, true)) {
		import_note(im, l->line, "lun %u: naa %s: is no such name: left out", l->number,
			    l->naa);
		l->naa = NULL;
	}
	if (l->eui && !is_designator(l->eui, false)) {
		import_note(im, l->line, "lun %u: eui %s: is no such name: left out", l->number,
			    l->eui);
		l->eui = NULL;
	}
}

static void check_serial(struct import *im, struct import_lun *l)
{
	const char *wrong = NULL;

	if (!l->serial)
		return;
	if (strlen(l->serial) > SERIAL_MOST)
		wrong = "is longer than 36 bytes";
	for (const char *c = l->serial; *c && !wrong; c++) {
		if (*c <= ' ' || *c > '~')
			wrong = "has characters that a serial number of riser cannot have";
	}
	if (!wrong && l->serial[0])
		return;
	if (wrong)
		import_note(im, l->line, "lun %u: the serial number '%s' %s: it gets another one",
			    l->number, l->serial, wrong);
	l->serial = NULL;
}

/* Initiators take disks with one serial number for paths to one disk. */
static void check_other_serials(struct import *im, const struct import_target *t,
				struct import_lun *lun)
{
	for (size_t i = 0; i < im->target_count && lun->serial; i++) {
		const struct import_target *o = &im->targets[i];

		for (size_t j = 0; j < o->lun_count; j++) {
			const struct import_lun *l = &o->luns[j];

			if (l == lun)
				return;
			if (!l->path || !l->serial || strcmp(l->serial, lun->serial) != 0)
				continue;
			import_note(im, lun->line,
				    "target %s: lun %u: the serial number %s is that of lun %u of "
				    "target %s: it gets another one",
				    t->name, lun->number, lun->serial, l->number, o->name);
			lun->serial = lun->naa = NULL;
			return;
		}
	}
}

static bool path_is_right(const struct import_lun *l)
{
	size_t len = strlen(l->path);
	unsigned int block = l->block_size ? l->block_size : 512;
	uint64_t size;

	if (!strncmp(l->path, "ram:", 4) || !strncmp(l->path, "null:", 5))
		return import_size(strchr(l->path, ':') + 1, &size) && size && size % block == 0 &&
		       size <= INT64_MAX;
	return len && len < 4000 && !has_controls(l->path);
}

/* It is only told to initiators: a LUN is served without it, too. */
static void check_physical(struct import *im, const struct import_target *t, struct import_lun *l)
{
	unsigned int n = l->physical_block_size;

	if (n && (n < (l->block_size ? l->block_size : 512) || n > 1 << 20 || (n & (n - 1)))) {
		import_note(im, l->line,
			    "target %s: lun %u: physical blocks of %u bytes are not carried over: "
			    "riser has powers of two from the block size to 1M",
			    t->name, l->number, n);
		l->physical_block_size = 0;
	}
}

/* True: it may stay. */
static bool check_lun(struct import *im, const struct import_target *t, struct import_lun *l)
{
	if (l->number >= LUNS_MOST) {
		import_note(im, l->line,
			    "target %s: lun %u is left out: riser has the numbers 0 to %d", t->name,
			    l->number, LUNS_MOST - 1);
		return false;
	}
	if (l->block_size && l->block_size != 512 && l->block_size != 4096) {
		import_note(im, l->line,
			    "target %s: lun %u is left out: it has blocks of %u bytes, riser has "
			    "512 and 4096",
			    t->name, l->number, l->block_size);
		return false;
	}
	check_physical(im, t, l);
	for (const struct import_lun *o = t->luns; o < l; o++) {
		if (o->path && o->number == l->number) {
			import_note(
				im, l->line,
				"target %s: lun %u is left out: line %u has this number already",
				t->name, l->number, o->line);
			return false;
		}
	}
	if (!path_is_right(l)) {
		import_note(im, l->line, "target %s: lun %u is left out: %.200s cannot be served",
			    t->name, l->number, l->path);
		return false;
	}
	if (l->size % (l->block_size ? l->block_size : 512) || l->size > INT64_MAX) {
		import_note(
			im, l->line,
			"target %s: lun %u: its size of %llu bytes is no number of blocks: it has "
			"that of its file",
			t->name, l->number, (unsigned long long)l->size);
		l->size = 0;
	}
	check_serial(im, l);
	check_designators(im, l);
	return true;
}

/* The LUN above that has this file, for riserd serves each once. */
static const struct import_target *find_path(const struct import *im, const struct import_lun *lun,
					     const struct import_lun **found)
{
	if (!strncmp(lun->path, "ram:", 4))
		return NULL;
	for (size_t i = 0; i < im->target_count; i++) {
		const struct import_target *t = &im->targets[i];

		for (size_t j = 0; j < t->lun_count; j++) {
			if (&t->luns[j] == lun)
				return NULL;
			*found = &t->luns[j];
			if (t->luns[j].path && !strcmp(t->luns[j].path, lun->path))
				return t;
		}
	}
	return NULL;
}

static void check_luns(struct import *im, struct import_target *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->lun_count; i++) {
		struct import_lun *l = &t->luns[i];
		const struct import_lun *other = NULL;
		const struct import_target *owner;

		im->file = l->file;
		if (im->checked)
			im->checked(im->checked_arg, im->checked_luns++, im->all_luns);
		if (!check_lun(im, t, l)) {
			l->path = NULL;
			continue;
		}
		owner = find_path(im, l, &other);
		if (owner) {
			import_note(im, l->line,
				    "target %s: lun %u is left out: %s is lun %u of target %s "
				    "already, and riser serves a disk once; let the initiators use "
				    "that one",
				    t->name, l->number, l->path, other->number, owner->name);
			l->path = NULL;
			continue;
		}
		check_other_serials(im, t, l);
	}
	for (size_t i = 0; i < t->lun_count; i++) {
		if (t->luns[i].path)
			t->luns[kept++] = t->luns[i];
	}
	t->lun_count = kept;
}

/* The secret stays at its place without a file: riserd does not start before somebody has made one. */
static const char *check_secret(struct import *im, unsigned int line, const char *user,
				const char *secret)
{
	size_t len = strlen(secret);

	if (len >= SECRET_LEAST && len <= SECRET_MOST)
		return secret;
	import_note(im, line,
		    "the secret of %s has %zu bytes, riser takes %d to %d: write a new one to its "
		    "secret-file, and give it to the initiators",
		    user, len, SECRET_LEAST, SECRET_MOST);
	return "";
}

static void check_users(struct import *im, struct import_user *users, size_t *count)
{
	size_t kept = 0;

	for (size_t i = 0; i < *count; i++) {
		struct import_user *u = &users[i];
		bool twice = false;

		for (size_t j = 0; j < kept; j++)
			twice |= !strcmp(users[j].name, u->name);
		if (twice) {
			import_note(im, u->line, "user %s is there already: this one is left out",
				    u->name);
			continue;
		}
		if (!*u->name || strlen(u->name) > NAME_MOST || has_controls(u->name) ||
		    kept == USERS_MOST) {
			import_note(im, u->line, "user %.40s: is left out: %s", u->name,
				    kept == USERS_MOST ? "riser has 256 of a target"
						       : "riser has no such names");
			continue;
		}
		if (u->mutual_name && (!*u->mutual_name || strlen(u->mutual_name) > NAME_MOST ||
				       has_controls(u->mutual_name)))
			u->mutual_name = u->mutual_secret = NULL;
		u->secret = check_secret(im, u->line, u->name, u->secret);
		if (u->mutual_name)
			u->mutual_secret =
				check_secret(im, u->line, u->mutual_name, u->mutual_secret);
		users[kept++] = *u;
	}
	*count = kept;
}

static bool is_initiators(const struct import_user *users, size_t count, const char *secret)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(users[i].secret, secret))
			return true;
	}
	return false;
}

/* No secret serves in both directions, wherever. */
static void check_mutual(struct import *im, struct import_user *users, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct import_user *u = &users[i];
		bool twice;

		if (!u->mutual_name || !u->mutual_secret[0])
			continue;
		twice = is_initiators(im->discovery, im->discovery_count, u->mutual_secret);
		for (size_t j = 0; j < im->target_count && !twice; j++)
			twice = is_initiators(im->targets[j].users, im->targets[j].user_count,
					      u->mutual_secret);
		if (!twice)
			continue;
		import_note(im, u->line,
			    "user %s: the secret by which the target proves itself is one of an "
			    "initiator too, which RFC 7143 forbids: it is left out",
			    u->name);
		u->mutual_name = u->mutual_secret = NULL;
	}
}

static void shut(struct import *im, struct import_target *t, const char *why)
{
	const char *file = im->file;

	t->any = false;
	t->name_count = t->address_count = 0;
	im->file = t->file;
	import_note(im, t->line, "target %s: nobody may log in: %s: say in allow who may", t->name,
		    why);
	im->file = file;
}

static bool check_target(struct import *im, struct import_target *t)
{
	struct import_target *other;

	if (!import_is_name(t->name)) {
		import_note(im, t->line,
			    "target %s is left out: not an iSCSI name (iqn., eui. or naa.)",
			    t->name);
		return false;
	}
	if (t->alias && (!*t->alias || strlen(t->alias) > NAME_MOST || has_controls(t->alias))) {
		import_note(im, t->line, "target %s: its alias is left out", t->name);
		t->alias = NULL;
	}
	other = import_target(im, t->name);
	if (other && other < t) {
		/* Both together may have let in fewer than the first alone. */
		if (t->chap || t->user_count || t->name_count || t->address_count || t->lost_name ||
		    t->lost_address || t->closed)
			shut(im, other, "a part of it that is left out says who may");
		import_note(im, t->line,
			    "target %s is left out: it is there already (%s:%u): put both into one",
			    t->name, other->file, other->line);
		return false;
	}
	if ((t->lost_name && !t->name_count) || (t->lost_address && !t->address_count && !t->any)) {
		t->any = false;
		t->name_count = t->address_count = 0;
	}
	if (t->closed)
		shut(im, t, t->closed);
	else if (!t->any && !t->name_count && !t->address_count)
		import_note(im, t->line, "target %s: nobody may log in: say in allow who may",
			    t->name);
	return true;
}

/* Those of users that were left out. */
static void check_views(struct import_target *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->view_count; i++) {
		const char *who = t->views[i].who;
		bool fine = strncmp(who, "user:", 5) != 0;

		for (size_t j = 0; j < t->user_count && !fine; j++)
			fine = !strcmp(t->users[j].name, who + 5);
		if (fine)
			t->views[kept++] = t->views[i];
	}
	t->view_count = kept;
}

/* Without users riserd asks for no secret: who needed one may not come in without. */
static void check_chap(struct import *im, struct import_target *t)
{
	bool asked = t->chap || t->user_count;

	check_users(im, t->users, &t->user_count);
	check_views(t);
	if (!asked || t->user_count || (!t->any && !t->name_count && !t->address_count))
		return;
	t->any = false;
	t->name_count = t->address_count = 0;
	import_note(im, t->line,
		    "target %s: nobody may log in: it asks for CHAP, and there is no user with a "
		    "secret: add chap USER { secret-file = FILE } and an allow",
		    t->name);
}

void import_check(struct import *im)
{
	const char *file = im->file;
	size_t kept = 0;

	import_check_portals(im);
	for (size_t i = 0; i < im->target_count; i++)
		im->all_luns += im->targets[i].lun_count;
	for (size_t i = 0; i < im->target_count; i++) {
		struct import_target *t = &im->targets[i];

		im->file = t->file;
		if (t->left_out || !check_target(im, t)) {
			t->lun_count = 0;
			t->name = NULL;
			continue;
		}
		check_luns(im, t);
		im->file = t->file;
		check_chap(im, t);
	}
	for (size_t i = 0; i < im->target_count; i++) {
		if (im->targets[i].name)
			im->targets[kept++] = im->targets[i];
	}
	im->target_count = kept;
	im->file = file;
	check_users(im, im->discovery, &im->discovery_count);
	check_mutual(im, im->discovery, im->discovery_count);
	for (size_t i = 0; i < im->target_count; i++) {
		im->file = im->targets[i].file;
		check_mutual(im, im->targets[i].users, im->targets[i].user_count);
	}
	im->file = file;
}
