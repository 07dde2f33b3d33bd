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
	log_error("%s%s LUN %u: %s", place_of(lun, place, sizeof(place)), t->name, lun->number,
		  why);
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

/* One at a time. Whose time is over stays as live->late, and the next one waits for it: it still has
 * requests at disks. */
struct flushing {
	struct work work;
	struct live *live;
	struct reactor *reactor;
	unsigned int count;
	_Atomic unsigned int pending; /* requests, and flush_all() itself */
	struct unit_flush {
		struct bs_req req;
		struct flushing *all;
		struct backstore *bs;
		int res;
	} units[];
};

static void one_over(struct flushing *all)
{
	struct live *live = all->live;

	if (--all->pending == 0)
		sem_post(&live->flushed);
}

static void flushed(struct bs_req *req, int res)
{
	struct unit_flush *f = container_of(req, struct unit_flush, req);

	f->res = res;
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
		if (bs_submit(f->bs, &f->req))
			flushed(&f->req, f->req.res);
	}
	one_over(all);
}

int flush_units(struct live *live, struct lu **units, unsigned int count,
		const struct timespec *deadline)
{
	struct flushing *all;
	int failed = 0;

	if (live->late && !live_wait(live, &live->flushed, deadline))
		return -ETIMEDOUT;
	free(live->late);
	live->late = NULL;
	all = calloc(1, sizeof(*all) + count * sizeof(all->units[0]));
	if (!all)
		return -ENOMEM;
	all->work.fn = flush_all;
	all->live = live;
	all->reactor = live->cfg.reactors[0];
	all->count = count;
	all->pending = count + 1;
	for (unsigned int i = 0; i < count; i++) {
		all->units[i].all = all;
		all->units[i].bs = lu_backstore(units[i]);
	}
	reactor_post(all->reactor, &all->work);
	if (!live_wait(live, &live->flushed, deadline)) {
		live->late = all;
		return -ETIMEDOUT;
	}
	for (unsigned int i = 0; i < count; i++) {
		const struct unit_flush *f = &all->units[i];

		if (!f->res || f->bs->limits.read_only)
			continue;
		log_error("%s: flush failed: %s", f->bs->name, strerror(-f->res));
		failed++;
	}
	free(all);
	return failed;
}

/* --- Draining */

static bool any_used(struct lu *const *units, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		if (lu_is_used(units[i]))
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

int find_users(struct live *live, struct lu **units, unsigned int count)
{
	const struct unit_search what = {
		.units = units, .unit_count = count, .done = live_signal, .arg = live
	};
	int err = search(live, &what);

	return err ? err : any_used(units, count);
}

void drain_pause(struct live *live)
{
	if (live->cfg.turn)
		live->cfg.turn(live->cfg.turn_arg);
	else
		usleep(DRAIN_PAUSE_US);
}

int drain_units(struct live *live, struct lu **units, unsigned int count)
{
	struct unit_search what = {
		.units = units, .unit_count = count, .done = live_signal, .arg = live
	};
	unsigned int rounds = DRAIN_ROUNDS;
	struct timespec deadline;
	int err;

	for (;;) {
		what.tell = !rounds;
		err = search(live, &what);
		if (err || !any_used(units, count))
			break;
		if (!rounds--)
			return -EBUSY;
		drain_pause(live);
	}
	deadline = deadline_in(LIVE_DRAIN_MS);
	if (!err && flush_units(live, units, count, &deadline) < 0)
		err = -EBUSY;
	what.tell = false;
	what.forget = true;
	return err ? err : search(live, &what);
}
