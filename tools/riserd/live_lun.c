// SPDX-License-Identifier: BSD-2-Clause
/* Disks and units that come and go. */
#include <time.h>
#include <unistd.h>

#include "core/deadline.h"
#include "live_impl.h"

static const char *place_of(const struct config_lun *lun, char *out, size_t size)
{
	out[0] = '\0';
	if (lun->place.file && lun->place.line)
		snprintf(out, size, "%s:%u: ", lun->place.file, lun->place.line);
	return out;
}

int open_lun(struct live *live, const struct config_target *t, const struct config_lun *lun,
	     struct lu **lu)
{
	struct lu_config cfg = {
		.reactors = live->cfg.reactor_count,
		.store = live->cfg.store,
		.removable = lun->spec.removable,
		.target = t->name,
		.lun = lun->number,
	};
	char why[CONFIG_WHY], place[512];
	struct log_about about;
	struct backstore *bs;
	int err;

	*lu = NULL;
	err = bs_open(&lun->spec, &bs, why, sizeof(why));
	if (!err) {
		cfg.bs = bs;
		cfg.serial = bs->serial;
		cfg.product = bs->driver->name;
		err = lu_create(&cfg, lu, why, sizeof(why));
	}
	if (!err) {
		lu_set_limits(*lu, &lun->limits);
		return 0;
	}
	about = about_lun(t->name, lun->number);
	log_write_about(&about, NULL, LOG_LEVEL_ERROR, "%s%s LUN %u: %s%s",
			place_of(lun, place, sizeof(place)), t->name, lun->number, why,
			live_holds(live, lun->spec.path)
				? "; it was a LUN that went by force, and is open until the "
				  "commands that hang in it are back, or riserd starts anew"
				: "");
	bs_close(bs);
	return err;
}

void set_limits(const struct live *live)
{
	for (unsigned int i = 0; i < live->now->config->target_count; i++) {
		const struct config_target *t = &live->now->config->targets[i];

		for (unsigned int j = 0; j < t->lun_count; j++) {
			struct lu *lu = live->now->of[i]->scsi.lun[t->luns[j].number];

			if (lu)
				lu_set_limits(lu, &t->luns[j].limits);
		}
	}
}

void close_unit(struct lu *lu)
{
	struct backstore *bs = lu ? lu_backstore(lu) : NULL;

	lu_destroy(lu);
	bs_close(bs);
}

/* --- Flushing */

/* Whose time is over goes on without who waited, and keeps its units busy. */
struct flushing {
	struct work work;
	struct reactor *reactor;
	sem_t done;
	unsigned int count;
	_Atomic unsigned int users; /* who waits, and the requests together */
	_Atomic unsigned int pending; /* requests, and flush_all() itself */
	struct unit_flush {
		struct bs_req req;
		struct flushing *all;
		struct lu *lu;
		int res;
		_Atomic bool over;
	} units[];
};

static void flushing_put(struct flushing *all)
{
	if (--all->users)
		return;
	sem_destroy(&all->done);
	free(all);
}

static void one_over(struct flushing *all)
{
	if (--all->pending)
		return;
	sem_post(&all->done);
	flushing_put(all);
}

static void flushed(struct bs_req *req, int res)
{
	struct unit_flush *f = container_of(req, struct unit_flush, req);

	f->res = res;
	f->over = true;
	lu_release(f->lu);
	one_over(f->all);
}

/* [reactor 0] */
static void flush_all(struct work *work)
{
	struct flushing *all = container_of(work, struct flushing, work);

	for (unsigned int i = 0; i < all->count; i++) {
		struct unit_flush *f = &all->units[i];

		f->req = (struct bs_req){
			.opcode = BS_FLUSH,
			.reactor = all->reactor,
			.done = flushed,
		};
		if (bs_submit(lu_backstore(f->lu), &f->req))
			flushed(&f->req, f->req.res);
	}
	one_over(all);
}

static struct flushing *flushing_new(struct live *live, struct lu **units, unsigned int count)
{
	struct flushing *all = calloc(1, sizeof(*all) + count * sizeof(all->units[0]));

	if (!all || sem_init(&all->done, 0, 0)) {
		free(all);
		return NULL;
	}
	all->work.fn = flush_all;
	all->reactor = live->cfg.reactors[0];
	all->count = count;
	all->pending = count + 1;
	all->users = 2;
	for (unsigned int i = 0; i < count; i++) {
		all->units[i].all = all;
		all->units[i].lu = units[i];
		lu_hold(units[i]);
	}
	return all;
}

int flush_units(struct live *live, struct lu **units, unsigned int count,
		const struct timespec *deadline)
{
	struct flushing *all = flushing_new(live, units, count);
	int failed = 0;
	bool late;

	if (!all)
		return -ENOMEM;
	reactor_post(all->reactor, &all->work);
	late = !live_wait(live, &all->done, deadline);
	for (unsigned int i = 0; i < count; i++) {
		const struct unit_flush *f = &all->units[i];
		const struct backstore *bs = lu_backstore(units[i]);

		if (!f->over)
			log_error("%s: a flush hangs: look at the disk", bs->name);
		if (!f->over || !f->res || bs->limits.read_only)
			continue;
		log_error("%s: flush failed: %s", bs->name, strerror(-f->res));
		failed++;
	}
	flushing_put(all);
	return late ? -ETIMEDOUT : failed;
}

/* --- Draining */

static bool any_used(struct lu *const *units, unsigned int count, bool force)
{
	uint64_t oldest;

	for (unsigned int i = 0; i < count; i++) {
		if (force ? lu_users(units[i], &oldest) > 0 : lu_is_used(units[i]))
			return true;
	}
	return false;
}

/* One visit to each reactor. Their answer does not depend on any disk, so it comes. */
static int search(struct live *live, const struct unit_search *what)
{
	int err = server_find_users(live->server, what);

	if (!err)
		live_wait(live, &live->done, NULL);
	return err;
}

int find_users(struct live *live, struct lu **units, unsigned int count, bool force)
{
	const struct unit_search what = {
		.units = units, .unit_count = count, .done = live_signal, .arg = live
	};
	int err = search(live, &what);

	return err ? err : any_used(units, count, force);
}

void drain_pause(struct live *live)
{
	if (live->cfg.turn)
		live->cfg.turn(live->cfg.turn_arg);
	else
		usleep(DRAIN_PAUSE_US);
}

/* 0: nobody uses them. -EBUSY after so many rounds, or the time that these should take: on a machine that has
 * much to do each takes longer. With `force`: not those that have commands either. */
static int drain_for(struct live *live, struct unit_search *what, unsigned int rounds, bool force,
		     bool tell)
{
	uint64_t end = live_now(live) + (uint64_t)rounds * DRAIN_PAUSE_US * 1000;
	int err;

	for (;;) {
		if (!live->cfg.turn && live_now(live) >= end)
			rounds = 0;
		what->tell = tell && !rounds;
		err = search(live, what);
		if (err || !any_used(what->units, what->unit_count, false))
			return err;
		if (!rounds--)
			break;
		drain_pause(live);
	}
	return force && !any_used(what->units, what->unit_count, true) ? 0 : -EBUSY;
}

static int drain_by_force(struct live *live, struct unit_search *what)
{
	int err = drain_for(live, what, FORCE_LOOK_ROUNDS, false, false);

	if (err == -EBUSY) {
		what->cut = UNIT_CUT;
		err = drain_for(live, what, FORCE_CUT_ROUNDS, true, false);
	}
	if (err == -EBUSY) {
		what->cut = UNIT_CLOSE;
		err = drain_for(live, what, FORCE_CLOSE_ROUNDS, true, true);
	}
	what->cut = UNIT_LOOK;
	return err;
}

int drain_units(struct live *live, struct lu **units, unsigned int count, bool force)
{
	struct unit_search what = {
		.units = units, .unit_count = count, .done = live_signal, .arg = live
	};
	int err = force ? drain_by_force(live, &what)
			: drain_for(live, &what, DRAIN_ROUNDS, false, true);
	struct timespec deadline = deadline_in(force ? FORCE_FLUSH_MS : LIVE_DRAIN_MS);

	if (!err && flush_units(live, units, count, &deadline) < 0 && !force)
		err = -EBUSY;
	what.tell = false;
	what.forget = true;
	return err ? err : search(live, &what);
}
