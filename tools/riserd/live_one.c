// SPDX-License-Identifier: BSD-2-Clause
/* One LUN that changes, while all else stays as it is and is not even looked at; and other sizes. */
#include "live_impl.h"

static struct config_target *find_target(const struct generation *g, const char *name,
					 struct live_target **target)
{
	unsigned int low = 0, high = g->config->target_count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		int order = strcmp(name, g->config->targets[middle].name);

		if (!order) {
			*target = g->of[middle];
			return &g->config->targets[middle];
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* Where it is, or would be. */
static unsigned int place_in(const struct config_target *t, unsigned int number)
{
	unsigned int at = 0;

	while (at < t->lun_count && t->luns[at].number < number)
		at++;
	return at;
}

static struct config_lun *lun_at(const struct config_target *t, unsigned int at,
				 unsigned int number)
{
	return at < t->lun_count && t->luns[at].number == number ? &t->luns[at] : NULL;
}

/* What runs, as the configuration has it. Room was made before. */
static void write_down(struct live *live, struct config_target *t, unsigned int at, bool was_there,
		       const struct config_lun *lun)
{
	live_look(live);
	if (!was_there) {
		memmove(&t->luns[at + 1], &t->luns[at], (t->lun_count - at) * sizeof(t->luns[0]));
		t->lun_count++;
	} else if (!lun) {
		t->lun_count--;
		memmove(&t->luns[at], &t->luns[at + 1], (t->lun_count - at) * sizeof(t->luns[0]));
	}
	if (lun)
		t->luns[at] = *lun;
	live_look_end(live);
}

/* For one more. */
static int make_room(struct live *live, struct config_target *t)
{
	struct config_lun *lun;

	live_look(live);
	lun = config_add_lun(t);
	if (lun)
		t->lun_count--;
	live_look_end(live);
	return lun ? 0 : -ENOMEM;
}

int live_change_lun(struct live *live, const char *target, unsigned int number,
		    const struct config_lun *lun, bool force)
{
	struct live_target *of = NULL;
	struct config_target *t = find_target(live->now, target, &of);
	unsigned int at = t ? place_in(t, number) : 0;
	struct config_lun *there = t ? lun_at(t, at, number) : NULL;
	struct change change = { .target = of, .number = number, .before = there, .after = lun };
	int err;

	if (!t || (!there && !lun))
		return -ENOENT;
	change.old = of->scsi.lun[number];
	if (there && lun && change.old && config_same_disk(&there->spec, &lun->spec)) {
		write_down(live, t, at, true, lun);
		lu_set_limits(change.old, &lun->limits);
		return 0;
	}
	err = there ? 0 : make_room(live, t);
	if (!err)
		err = carry_out_one(live, &change, force);
	if (!err)
		write_down(live, t, at, there, lun);
	return err;
}

/* --- Sizes */

static int resize_unit(struct live *live, struct live_target *target, unsigned int lun,
		       struct lu *lu)
{
	const struct log_about about = about_lun(target->scsi.name, lun);
	struct backstore *bs = lu_backstore(lu);
	int err = bs_resize(bs);

	if (err)
		log_write_about(&about, NULL, LOG_LEVEL_ERROR, "%s LUN %u: %s: no size: %s",
				target->scsi.name, lun, bs->name, strerror(-err));
	if (!lu_resize(lu))
		return err;
	server_lun_event(live->server, &target->scsi, lun, UA_CAPACITY_CHANGED);
	log_write_about(&about, NULL, LOG_LEVEL_INFO,
			"%s LUN %u: initiators are told of its new capacity", target->scsi.name,
			lun);
	return err;
}

static void resize(struct live_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	resize_unit(arg, target, lun, lu);
}

void live_resize(struct live *live)
{
	visit_units(live, resize, live);
}

int live_resize_lun(struct live *live, const char *target, unsigned int number, uint64_t *size)
{
	struct live_target *of = NULL;
	struct config_target *t = find_target(live->now, target, &of);
	struct lu *lu = t && number < TARGET_LUNS ? of->scsi.lun[number] : NULL;
	struct backstore *bs = lu ? lu_backstore(lu) : NULL;
	int err;

	if (!lu)
		return -ENOENT;
	err = resize_unit(live, of, number, lu);
	*size = bs->limits.size;
	return err;
}
