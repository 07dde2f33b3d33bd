// SPDX-License-Identifier: BSD-2-Clause
/*
 * Units that go by force while commands hang in their disks. They are in no target any more, and nobody finds
 * them: but a disk may still write to the memory of such a command, and its end goes through its unit. So
 * unit and disk stay, listed here, until what hangs has come back.
 */
#include <time.h>

#include "live_impl.h"

struct detached {
	struct list node; /* live.detached; changed under live_look() */
	struct lu *lu;
	char target[224];
	unsigned int number;
	uint64_t since; /* ns: it went */
};

uint64_t live_now(const struct live *live)
{
	struct timespec ts;

	if (live->cfg.turn)
		return reactor_now(live->cfg.reactors[0]);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* No disk is open twice. */
bool plan_by_force(const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->changes[i].deferred)
			return false;
	}
	return plan->force;
}

void plan_tell_of_users(const struct plan *plan)
{
	bool deferred = plan->force && !plan_by_force(plan);

	for (size_t i = 0; i < plan->count; i++) {
		const struct change *c = &plan->changes[i];
		uint64_t oldest = UINT64_MAX, since = 0, now = live_now(plan->live);
		unsigned int users, hang;

		if (!c->out || !lu_is_used(c->old))
			continue;
		users = lu_users(c->old, &oldest);
		hang = lu_detached(c->old, &since);
		if (hang && since < oldest)
			oldest = since;
		log_error("%s LUN %u: the change would drop %u commands that are not over, the "
			  "first for %llu s, in %s%s",
			  c->target->scsi.name, c->number, users + hang,
			  oldest < now ? (unsigned long long)((now - oldest) / NSEC_PER_SEC) : 0,
			  lu_backstore(c->old)->name,
			  deferred ? ": even by force it cannot be opened again beside them" : "");
	}
}

static void no_job(void *arg)
{
	(void)arg;
}

int detach_unit(struct live *live, const struct change *change)
{
	struct detached *d = calloc(1, sizeof(*d));
	uint64_t since;

	if (!d)
		return -ENOMEM;
	d->lu = change->old;
	d->number = change->number;
	d->since = live_now(live);
	snprintf(d->target, sizeof(d->target), "%s", change->target->scsi.name);
	lu_stop_job(d->lu, no_job, NULL);
	live_look(live);
	list_add_tail(&live->detached, &d->node);
	live_look_end(live);
	log_warn("%s LUN %u goes without %u commands that hang in %s", d->target, d->number,
		 lu_detached(d->lu, &since), lu_backstore(d->lu)->name);
	return 0;
}

bool live_has_detached(const struct live *live)
{
	return !list_empty(&live->detached);
}

/* Nobody uses it, and no reactor has it in its hands. */
static bool is_free(struct live *live, struct lu *lu)
{
	uint64_t since;

	return !lu_detached(lu, &since) && !find_users(live, &lu, 1, false);
}

void live_reap(struct live *live)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &live->detached) {
		struct detached *d = list_entry(pos, struct detached, node);

		if (!is_free(live, d->lu))
			continue;
		live_look(live);
		list_del(&d->node);
		live_look_end(live);
		log_info("%s LUN %u, which went by force: what hung in %s has come back", d->target,
			 d->number, lu_backstore(d->lu)->name);
		close_unit(d->lu);
		free(d);
	}
}

bool live_holds(const struct live *live, const char *path)
{
	struct list *pos;

	list_for_each(pos, &live->detached) {
		const struct detached *d = list_entry(pos, struct detached, node);

		if (*path && !strcmp(lu_backstore(d->lu)->name, path))
			return true;
	}
	return false;
}

bool live_hangs(const struct live *live)
{
	return live_has_detached(live) || server_detached(live->server);
}

struct hanging_visitor {
	void (*visit)(const struct live_hanging *hanging, void *arg);
	void *arg;
	uint64_t now;
};

static uint64_t age(const struct hanging_visitor *v, uint64_t since)
{
	return since && since < v->now ? v->now - since : 0;
}

static void visit_served(struct live_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	const struct hanging_visitor *v = arg;
	struct live_hanging h = { target->scsi.name, lun, lu_backstore(lu)->name, 0, 0, true };
	uint64_t since;

	h.commands = lu_detached(lu, &since);
	h.ns = age(v, since);
	if (h.commands)
		v->visit(&h, v->arg);
}

void live_each_hanging(const struct live *live,
		       void (*visit)(const struct live_hanging *hanging, void *arg), void *arg)
{
	struct hanging_visitor v = { visit, arg, live_now(live) };
	struct list *pos;

	visit_units(live, visit_served, &v);
	list_for_each(pos, &live->detached) {
		const struct detached *d = list_entry(pos, struct detached, node);
		struct live_hanging h = { d->target, d->number, lu_backstore(d->lu)->name,
					  0,	     0,		false };
		uint64_t since;

		h.commands = lu_detached(d->lu, &since);
		h.ns = age(&v, h.commands ? since : d->since);
		visit(&h, arg);
	}
}

void live_hanging_text(const struct live_hanging *h, char *out, size_t size)
{
	unsigned long long seconds = h->ns / NSEC_PER_SEC;

	if (h->served)
		snprintf(out, size,
			 "%s LUN %u: %u commands of sessions that have ended hang in %s since %llu "
			 "s: look at the disk; riser lun delete --force takes the LUN away",
			 h->target, h->lun, h->commands, h->disk, seconds);
	else if (h->commands)
		snprintf(out, size,
			 "%s LUN %u, which went by force: %u commands hang in %s since %llu s, and "
			 "keep it open; look at the disk",
			 h->target, h->lun, h->commands, h->disk, seconds);
	else
		snprintf(out, size,
			 "%s LUN %u, which went by force %llu s ago: a flush or a job hangs in %s, "
			 "and keeps it open; look at the disk",
			 h->target, h->lun, seconds, h->disk);
}
