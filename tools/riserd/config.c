// SPDX-License-Identifier: BSD-2-Clause
/* The configuration as plain data, and the rules that only the whole of it can break. */
#include "config.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct config *config_new(void)
{
	struct config *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->memory = 256u << 20;
	c->busy_poll_ns = 50 * NSEC_PER_USEC;
	c->log_level = LOG_LEVEL_INFO;
	c->limits = server_default_limits;
	c->tree = json_object();
	return c;
}

static void free_users(struct config_users *users)
{
	if (users->user)
		OPENSSL_cleanse(users->user, CHAP_USERS_MAX * sizeof(*users->user));
	free(users->user);
	OPENSSL_cleanse(users, sizeof(*users));
}

static void free_target(struct config_target *t)
{
	free_users(&t->chap);
	free(t->allow);
	free(t->from);
	free(t->rules);
	free(t->luns);
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (unsigned int i = 0; i < c->target_count; i++)
		free_target(&c->targets[i]);
	for (unsigned int i = 0; i < c->file_count; i++)
		free(c->files[i]);
	free_users(&c->discovery_chap);
	json_decref(c->tree);
	free(c->targets);
	free(c->files);
	free(c->state);
	free(c);
}

/* Room for one more in an array that grows by doubling: count is a power of two when it is full. */
static bool grow(void **array, unsigned int count, size_t size)
{
	void *grown;

	if (count & (count - 1))
		return true;
	grown = reallocarray(*array, count ? 2 * (size_t)count : 1, size);
	if (!grown)
		return false;
	*array = grown;
	return true;
}

struct config_target *config_add_target(struct config *c)
{
	struct config_target *t;

	if (!grow((void **)&c->targets, c->target_count, sizeof(*c->targets)))
		return NULL;
	t = &c->targets[c->target_count++];
	memset(t, 0, sizeof(*t));
	return t;
}

struct config_lun *config_add_lun(struct config_target *t)
{
	struct config_lun *lun;

	if (!grow((void **)&t->luns, t->lun_count, sizeof(*t->luns)))
		return NULL;
	lun = &t->luns[t->lun_count++];
	memset(lun, 0, sizeof(*lun));
	return lun;
}

const char *config_file_name(struct config *c, const char *name)
{
	for (unsigned int i = 0; i < c->file_count; i++) {
		if (!strcmp(c->files[i], name))
			return c->files[i];
	}
	if (!grow((void **)&c->files, c->file_count, sizeof(*c->files)))
		return NULL;
	c->files[c->file_count] = strdup(name);
	return c->files[c->file_count] ? c->files[c->file_count++] : NULL;
}

/* --- Comparing */

bool config_same_address(const struct portal_address *a, const struct portal_address *b)
{
	const struct sockaddr_in6 *x = (const void *)&a->addr, *y = (const void *)&b->addr;

	/* The port is at the same place in both families. */
	if (a->addr.ss_family != b->addr.ss_family || x->sin6_port != y->sin6_port)
		return false;
	if (a->addr.ss_family == AF_INET)
		return ((const struct sockaddr_in *)&a->addr)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)&b->addr)->sin_addr.s_addr;
	return x->sin6_scope_id == y->sin6_scope_id &&
	       !memcmp(&x->sin6_addr, &y->sin6_addr, sizeof(x->sin6_addr));
}

static bool same_designators(const struct bs_designators *a, const struct bs_designators *b)
{
	return a->naa_len == b->naa_len && a->eui_len == b->eui_len &&
	       !memcmp(a->naa, b->naa, a->naa_len) && !memcmp(a->eui, b->eui, a->eui_len);
}

/* size= of a file says what size it shall be created with: it has been. */
bool config_same_disk(const struct bs_spec *a, const struct bs_spec *b)
{
	return !strcmp(a->driver, b->driver) && !strcmp(a->path, b->path) &&
	       (a->path[0] || a->size == b->size) && a->block_size == b->block_size &&
	       a->physical_block_size == b->physical_block_size && a->read_only == b->read_only &&
	       a->direct == b->direct && a->removable == b->removable &&
	       !strcmp(a->serial, b->serial) &&
	       same_designators(&a->designators, &b->designators) && !strcmp(a->fault, b->fault) &&
	       a->protection == b->protection && !strcmp(a->protection_path, b->protection_path);
}

/* --- Portal groups */

static bool in_group(const struct config_target *t, uint16_t tag)
{
	for (unsigned int i = 0; i < t->tag_count; i++) {
		if (t->tags[i] == tag)
			return true;
	}
	return !t->tag_count;
}

static int by_tag(const void *a, const void *b)
{
	return ((const struct target_port *)a)->tag - ((const struct target_port *)b)->tag;
}

/* The relative target port identifier is the tag, so that it does not depend on which other portals
 * there are. */
unsigned int config_ports(const struct config *c, const struct config_target *t,
			  struct target_port ports[TARGET_PORTS])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->portal_count; i++) {
		const struct config_portal *p = &c->portals[i];
		unsigned int at = 0;

		if (!in_group(t, p->tag))
			continue;
		while (at < n && ports[at].tag != p->tag)
			at++;
		if (at == TARGET_PORTS)
			continue; /* check_portals() has refused that */
		if (at == n)
			ports[n++] = (struct target_port){ .tag = p->tag, .relative = p->tag };
		ports[at].preferred |= p->preferred;
		if (p->access_given)
			ports[at].access = p->access;
	}
	qsort(ports, n, sizeof(ports[0]), by_tag);
	return n;
}

/* --- Checks */

struct check {
	struct place *place;
	char *why;
	size_t why_size;
};

static bool fail(struct check *k, const struct place *place, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static bool fail(struct check *k, const struct place *place, const char *fmt, ...)
{
	va_list args;

	*k->place = *place;
	va_start(args, fmt);
	vsnprintf(k->why, k->why_size, fmt, args);
	va_end(args);
	return false;
}

static bool portal_twice(struct check *k, const struct config_portal *p,
			 const struct config_portal *other)
{
	char name[64];

	address_format(&p->address.addr, name, sizeof(name));
	return fail(k, &p->place, "portal %s: is there already, in portal group %u", name,
		    other->tag);
}

static bool check_portals(const struct config *c, struct check *k)
{
	uint16_t tags[CONFIG_PORTALS];
	unsigned int groups = 0;

	for (unsigned int i = 0; i < c->portal_count; i++) {
		const struct config_portal *p = &c->portals[i];
		unsigned int at = 0;

		for (unsigned int j = 0; j < i; j++) {
			const struct config_portal *q = &c->portals[j];
			bool same = p->tag == q->tag;

			/* Port 0 is any free one, and so never the same. */
			if (((const struct sockaddr_in *)&p->address.addr)->sin_port &&
			    config_same_address(&p->address, &q->address) &&
			    (!same || p->place.file))
				return portal_twice(k, p, q);
			if (same && p->access_given && q->access_given && p->access != q->access)
				return fail(
					k, &p->place,
					"portals with tag=%u have one access state, not several",
					p->tag);
		}
		while (at < groups && tags[at] != p->tag)
			at++;
		if (at == TARGET_PORTS)
			return fail(k, &p->place, "tag=%u: more than %d portal groups", p->tag,
				    TARGET_PORTS);
		if (at == groups)
			tags[groups++] = p->tag;
	}
	return true;
}

static int target_order(const void *a, const void *b)
{
	return strcmp(((const struct config_target *)a)->name,
		      ((const struct config_target *)b)->name);
}

static int lun_order(const void *a, const void *b)
{
	const struct config_lun *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static const struct place *later(const struct place *a, const struct place *b)
{
	return a->line > b->line ? a : b;
}

static bool check_names(struct config *c, struct check *k)
{
	if (c->target_count)
		qsort(c->targets, c->target_count, sizeof(*c->targets), target_order);
	for (unsigned int i = 0; i < c->target_count; i++) {
		struct config_target *t = &c->targets[i];

		if (i && !target_order(t - 1, t))
			return fail(k, later(&t[-1].place, &t->place),
				    "there is a target %s already", t->name);
		if (t->lun_count)
			qsort(t->luns, t->lun_count, sizeof(*t->luns), lun_order);
		for (unsigned int j = 1; j < t->lun_count; j++) {
			if (t->luns[j - 1].number == t->luns[j].number)
				return fail(k, later(&t->luns[j - 1].place, &t->luns[j].place),
					    "there is a lun %u of this target already",
					    t->luns[j].number);
		}
	}
	return true;
}

/* A file that a LUN serves, by what it is where it is there, else by its name. */
struct served {
	const struct config_lun *lun;
	const char *path;
	dev_t dev;
	ino_t ino; /* 0: it is not there */
};

static int by_inode(const void *a, const void *b)
{
	const struct served *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	if (x->ino && x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino ? 0 : strcmp(x->path, y->path);
}

static void serve(struct served *s, const struct config_lun *lun, const char *path)
{
	struct stat st;

	*s = (struct served){ .lun = lun, .path = path };
	if (stat(path, &st))
		return;
	s->ino = st.st_ino;
	s->dev = st.st_dev;
	if (S_ISBLK(st.st_mode)) { /* two nodes of one device are one disk */
		s->dev = 0;
		s->ino = st.st_rdev + 1;
	}
}

static bool check_files(const struct config *c, struct check *k)
{
	struct served *all;
	size_t count = 0, room = 0;
	bool ok = true;

	for (unsigned int i = 0; i < c->target_count; i++)
		room += 2 * c->targets[i].lun_count;
	all = calloc(room + 1, sizeof(*all));
	if (!all)
		return fail(k, &(struct place){ 0 }, "out of memory");
	for (unsigned int i = 0; i < c->target_count; i++) {
		for (unsigned int j = 0; j < c->targets[i].lun_count; j++) {
			const struct config_lun *lun = &c->targets[i].luns[j];

			if (lun->spec.path[0])
				serve(&all[count++], lun, lun->spec.path);
			if (lun->spec.protection_path[0])
				serve(&all[count++], lun, lun->spec.protection_path);
		}
	}
	qsort(all, count, sizeof(*all), by_inode);
	for (size_t i = 1; i < count && ok; i++) {
		if (!by_inode(&all[i - 1], &all[i]))
			ok = fail(k, later(&all[i - 1].lun->place, &all[i].lun->place),
				  "%s: is in use for another lun already: a file can be used once",
				  all[i].path);
	}
	free(all);
	return ok;
}

/* --- Secrets of the two directions: of all users of all targets */

struct secret {
	const struct chap_account *account;
	bool ours;
	const struct place *place;
};

static int by_secret(const void *a, const void *b)
{
	const struct chap_account *x = ((const struct secret *)a)->account;
	const struct chap_account *y = ((const struct secret *)b)->account;

	if (x->secret_len != y->secret_len)
		return x->secret_len - y->secret_len;
	return memcmp(x->secret, y->secret, x->secret_len);
}

static size_t add_secrets(struct secret *out, const struct config_users *users,
			  const struct place *place)
{
	size_t n = 0;

	for (unsigned int i = 0; i < users->count; i++) {
		const struct chap_user *u = &users->user[i];

		out[n++] = (struct secret){ &u->account, false, place };
		if (u->mutual.user[0])
			out[n++] = (struct secret){ &u->mutual, true, place };
	}
	return n;
}

/* What an initiator proves itself with must not be what we prove ourselves with: anybody could have
 * us answer our own challenge. */
static bool check_secrets(const struct config *c, struct check *k)
{
	static const struct place nowhere;
	size_t room = 2 * c->discovery_chap.count, count;
	struct secret *all;
	bool ok = true;

	for (unsigned int i = 0; i < c->target_count; i++)
		room += 2 * c->targets[i].chap.count;
	all = calloc(room + 1, sizeof(*all));
	if (!all)
		return fail(k, &nowhere, "out of memory");
	count = add_secrets(all, &c->discovery_chap, &nowhere);
	for (unsigned int i = 0; i < c->target_count; i++)
		count += add_secrets(all + count, &c->targets[i].chap, &c->targets[i].place);
	qsort(all, count, sizeof(*all), by_secret);
	for (size_t i = 1; i < count && ok; i++) {
		const struct secret *a = &all[i - 1], *b = &all[i];

		/* Equal ones of one direction may stand between two that differ in it. */
		if (a->ours != b->ours && !by_secret(a, b))
			ok = fail(
				k, later(a->place, b->place),
				"the secrets of %s and %s are equal, and serve in both directions: "
				"each direction needs secrets of its own",
				a->account->user, b->account->user);
	}
	free(all);
	return ok;
}

bool config_check(struct config *c, struct place *place, char *why, size_t why_size)
{
	struct check k = { place, why, why_size };

	return check_portals(c, &k) && check_names(c, &k) && check_files(c, &k) &&
	       check_secrets(c, &k);
}
