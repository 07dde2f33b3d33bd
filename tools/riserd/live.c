// SPDX-License-Identifier: BSD-2-Clause
/*
 * Applies a configuration, see live.h. The order, and what undoes each step:
 *
 *	1  compare; what would end a session is refused     nothing to undo
 *	2  open what is new: disks, units, portals          close them
 *	3  publish it but for new targets, ask again        publish what was
 *	4  take old units away, wait for their commands     give them back
 *	5  open disks that those had open, too              open those again
 *	6  close what else goes                             nothing is left that fails
 *	7  new units and targets become visible, events     cannot fail
 */
#include <time.h>

#include "core/deadline.h"
#include "live_impl.h"

void live_signal(void *arg)
{
	struct live *live = arg;

	sem_post(&live->done);
}

bool live_wait(struct live *live, sem_t *sem, const struct timespec *deadline)
{
	if (live->cfg.turn) {
		unsigned int rounds = 0;

		while (sem_trywait(sem)) {
			if (deadline && rounds++ == DRAIN_ROUNDS)
				return false;
			live->cfg.turn(live->cfg.turn_arg);
		}
		return true;
	}
	if (deadline)
		return deadline_wait(sem, deadline);
	while (sem_wait(sem))
		;
	return true;
}

/* --- Steps */

static int by_path(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A file that is open for a unit that goes can be opened when that is closed. */
static int find_deferred(struct plan *plan)
{
	const char **paths = calloc(plan->count + 1, sizeof(char *));
	size_t count = 0;

	if (!paths)
		return -ENOMEM;
	for (size_t i = 0; i < plan->count; i++) {
		const struct config_lun *lun = plan->changes[i].before;

		if (lun && lun->spec.path[0])
			paths[count++] = lun->spec.path;
	}
	qsort(paths, count, sizeof(char *), by_path);
	for (size_t i = 0; i < plan->count; i++) {
		struct change *c = &plan->changes[i];
		const char *path = c->after ? c->after->spec.path : "";

		c->deferred = *path && bsearch(&path, paths, count, sizeof(char *), by_path);
	}
	free(paths);
	return 0;
}

/* Changes are in the order of their targets. */
static int open_units(struct plan *plan, bool deferred)
{
	const struct generation *next = plan->next;
	unsigned int t = 0;
	int err = 0;

	for (size_t i = 0; i < plan->count && !err; i++) {
		struct change *c = &plan->changes[i];

		if (!c->after || c->deferred != deferred)
			continue;
		while (next->of[t] != c->target)
			t++;
		err = open_lun(plan->live, &next->config->targets[t], c->after, &c->lu);
		if (!err && c->new_target)
			c->target->scsi.lun[c->number] = c->lu;
	}
	return err;
}

static void publish(struct live *live, struct exports *exports)
{
	server_set_exports(live->server, exports, live_signal, live);
	live_wait(live, &live->done, NULL);
}

static int publish_narrow(struct plan *plan)
{
	struct exports *exports = plan_narrow(plan);

	if (!exports)
		return -ENOMEM;
	publish(plan->live, exports);
	plan->published = true;
	return 0;
}

static void give_back(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct change *c = &plan->changes[i];

		if (c->out && !c->closed)
			target_return_lun(&c->target->scsi, c->number);
		c->out = c->out && c->closed;
	}
}

static int take_away(struct plan *plan)
{
	struct lu **units = calloc(plan->count + 1, sizeof(struct lu *));
	unsigned int count = 0;
	int err = 0;

	if (!units)
		return -ENOMEM;
	for (size_t i = 0; i < plan->count; i++) {
		struct change *c = &plan->changes[i];

		if (!c->old)
			continue;
		target_remove_lun(&c->target->scsi, c->number);
		c->out = true;
		units[count++] = c->old;
	}
	if (count)
		err = drain_units(plan->live, units, count, plan_by_force(plan));
	free(units);
	if (err == -EBUSY)
		plan_tell_of_users(plan);
	return err;
}

static const struct config_target *target_of(const struct generation *g,
					     const struct live_target *target)
{
	for (unsigned int i = 0; i < g->config->target_count; i++) {
		if (g->of[i] == target)
			return &g->config->targets[i];
	}
	return NULL;
}

/* Those of the units that are out which can be opened again, or all of them. */
static bool closes(const struct change *c, bool files)
{
	return c->out && !c->closed && (!files || c->before->spec.path[0]);
}

/* Out of every reactor's sight, and none has one in its hands: a task management function may have come
 * for it since it was drained, and a session that begins or ends looks at all units of its target.
 * Returns whether somebody uses one; then they are back in sight. -errno. */
static int hide(struct plan *plan, bool files, struct lu **units)
{
	unsigned int count = 0;
	int used;

	for (size_t i = 0; i < plan->count; i++) {
		struct change *c = &plan->changes[i];

		if (closes(c, files))
			units[count++] = target_drop_lun(&c->target->scsi, c->number);
	}
	used = count ? find_users(plan->live, units, count, plan_by_force(plan)) : 0;
	for (size_t i = 0; i < plan->count && used; i++) {
		struct change *c = &plan->changes[i];

		if (closes(c, files))
			target_show_lun(&c->target->scsi, c->number, c->old);
	}
	return used;
}

static int close_old(struct plan *plan, bool files)
{
	struct lu **units = calloc(plan->count + 1, sizeof(struct lu *));
	unsigned int rounds = DRAIN_ROUNDS;
	int used;

	if (!units)
		return -ENOMEM;
	while ((used = hide(plan, files, units)) > 0 && rounds--)
		drain_pause(plan->live);
	free(units);
	if (used)
		return used < 0 ? used : -EBUSY;
	/* They are in no slot any more: who looks from now on does not see them. */
	live_look(plan->live);
	live_look_end(plan->live);
	for (size_t i = 0; i < plan->count; i++) {
		struct change *c = &plan->changes[i];

		if (!closes(c, files))
			continue;
		/* By force, and something hangs in it. Without memory for the list it is forgotten: it
		 * must not be closed. */
		if (lu_is_used(c->old) ||
		    (plan_by_force(plan) && find_users(plan->live, &c->old, 1, false)))
			detach_unit(plan->live, c);
		else
			close_unit(c->old);
		c->closed = true;
	}
	return 0;
}

/* Memory stays until nothing else can fail. */
static int open_deferred(struct plan *plan)
{
	bool any = false;
	int err;

	for (size_t i = 0; i < plan->count; i++)
		any |= plan->changes[i].deferred;
	if (!any)
		return 0;
	err = close_old(plan, true);
	return err ? err : open_units(plan, true);
}

/* Cannot fail, as far as the world has not changed meanwhile. */
static void reopen(struct plan *plan, struct change *c)
{
	struct lu *lu;

	if (open_lun(plan->live, target_of(plan->live->now, c->target), c->before, &lu)) {
		log_error("%s LUN %u: was closed for the change and cannot be opened any more",
			  c->target->scsi.name, c->number);
		server_lun_event(plan->live->server, &c->target->scsi, c->number, UA_LUNS_CHANGED);
		return;
	}
	target_add_lun(&c->target->scsi, c->number, lu, false);
	lu_resume(lu, plan->live->cfg.reactors[c->number % plan->live->cfg.reactor_count]);
}

static void undo(struct plan *plan)
{
	struct live *live = plan->live;

	for (size_t i = 0; i < plan->count; i++) {
		struct change *c = &plan->changes[i];

		close_unit(c->lu);
		if (c->lu && c->new_target)
			c->target->scsi.lun[c->number] = NULL;
	}
	/* When all files that were opened instead are closed. */
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->changes[i].closed)
			reopen(plan, &plan->changes[i]);
	}
	give_back(plan);
	if (plan->published)
		publish(live, &live->now->exports);
	close_new_portals(plan);
	if (plan->prepared)
		live->cfg.beside->abandon(live->cfg.beside->arg);
	if (live->now)
		withdraw_ports(live->now);
}

/* The LUNs that come, and what all of it means for initiators. */
static void appear(struct plan *plan)
{
	struct live *live = plan->live;

	for (size_t i = 0; i < plan->count; i++) {
		struct change *c = &plan->changes[i];
		struct scsi_target *scsi = &c->target->scsi;
		struct log_about about;

		if (c->lu && !c->new_target)
			target_add_lun(scsi, c->number, c->lu, c->before);
		if (c->lu && live->now)
			lu_resume(c->lu, live->cfg.reactors[c->number % live->cfg.reactor_count]);
		if (c->new_target || !live->now)
			continue;
		server_lun_event(live->server, scsi, c->number, UA_LUNS_CHANGED);
		about = about_lun(scsi->name, c->number);
		log_write_about(&about, NULL, LOG_LEVEL_INFO, "%s LUN %u: %s", scsi->name,
				c->number,
				!c->after    ? "removed"
				: !c->before ? "added"
					     : "replaced");
	}
}

static int prepare_beside(struct plan *plan)
{
	const struct live *live = plan->live;
	const struct live_beside *beside = live->cfg.beside;
	int err = beside ? beside->prepare(live->now->config, plan->next->config, beside->arg) : 0;

	plan->prepared = beside && !err;
	return err;
}

static int carry_out(struct plan *plan)
{
	struct live *live = plan->live;
	int err = plan_make(plan);

	if (!err && live->now)
		err = plan_check_sessions(plan);
	if (!err)
		err = find_deferred(plan);
	if (!err)
		err = open_units(plan, false);
	if (!err && live->now)
		err = open_portals(plan);
	if (!err && live->now)
		err = prepare_beside(plan);
	if (!err && live->now)
		err = publish_narrow(plan);
	if (!err && live->now)
		err = plan_check_sessions(plan); /* who has come meanwhile */
	if (!err)
		err = take_away(plan);
	if (!err)
		err = open_deferred(plan);
	if (!err)
		err = close_old(plan, false);
	if (err) {
		undo(plan);
		return err;
	}
	appear(plan);
	if (live->now)
		publish(live, &plan->next->exports);
	return 0;
}

int carry_out_one(struct live *live, struct change *change, bool force)
{
	struct plan plan = {
		.live = live, .next = live->now, .changes = change, .count = 1, .force = force
	};
	int err = find_deferred(&plan);

	if (!err)
		err = open_units(&plan, false);
	if (!err)
		err = take_away(&plan);
	if (!err)
		err = open_deferred(&plan);
	if (!err)
		err = close_old(&plan, false);
	if (err)
		undo(&plan);
	else
		appear(&plan);
	return err;
}

/* What can be changed at a start only: ARCHITECTURE.md says why. */
static bool same_globals(const struct config *a, const struct config *b)
{
	const struct {
		const char *key;
		bool same;
	} all[] = {
		{ "cpus", a->cpu_count == b->cpu_count &&
				  !memcmp(a->cpus, b->cpus, a->cpu_count * sizeof(a->cpus[0])) },
		{ "memory", a->memory == b->memory },
		{ "state", !strcmp(a->state ? a->state : "", b->state ? b->state : "") },
		{ "socket of control", !strcmp(a->control.socket, b->control.socket) },
	};
	char keys[64] = "";

	for (unsigned int i = 0; i < array_size(all); i++) {
		size_t used = strlen(keys);

		if (!all[i].same)
			snprintf(keys + used, sizeof(keys) - used, "%s%s", used ? ", " : "",
				 all[i].key);
	}
	if (keys[0])
		log_error("%s: cannot change while riserd runs: restart it", keys);
	return !keys[0];
}

/* --- From outside */

int live_apply(struct live *live, struct config *config)
{
	return live_apply_how(live, config, false);
}

int live_apply_how(struct live *live, struct config *config, bool force)
{
	struct generation *before = live->now;
	struct plan plan = { .live = live, .force = force };
	int err;

	if (!same_globals(before->config, config)) {
		config_free(config);
		return -EINVAL;
	}
	plan.next = generation_new(config);
	if (!plan.next) {
		config_free(config);
		return -ENOMEM;
	}
	err = carry_out(&plan);
	if (err) {
		log_error("nothing has changed");
		generation_put(plan.next);
	} else {
		close_old_portals(&plan, before);
		set_all_access(&plan, before);
		/* Else an operator may have set it. */
		if (config->log_level != before->config->log_level)
			log_set_level(config->log_level);
		server_set_limits(live->server, &config->limits);
		for (unsigned int i = 0; i < live->cfg.reactor_count; i++)
			reactor_set_busy_poll(live->cfg.reactors[i], config->busy_poll_ns);
		live_look(live);
		live->now = plan.next;
		live->applied++;
		live_look_end(live);
		if (plan.prepared)
			live->cfg.beside->commit(live->cfg.beside->arg);
		generation_put(before);
		set_limits(live);
		live_resize(live);
	}
	free(plan.changes);
	return err;
}

/* The server, when all that it exports is open. */
static int begin(struct live *live, struct plan *plan)
{
	struct server_config cfg = { .exports = &plan->next->exports,
				     .limits = plan->next->config->limits,
				     .reactors = live->cfg.reactors,
				     .reactor_count = live->cfg.reactor_count,
				     .event = live->cfg.event,
				     .event_arg = live->cfg.event_arg };
	int err = carry_out(plan);

	if (err)
		return err;
	live->now = plan->next;
	err = server_create(&cfg, &live->server);
	return err ? err : start_portals(plan);
}

int live_create(const struct live_config *cfg, struct config *config, struct live **out)
{
	struct live *live = calloc(1, sizeof(*live));
	struct plan plan = { .live = live };
	int err = -ENOMEM;

	*out = NULL;
	if (live && !sem_init(&live->done, 0, 0))
		plan.next = generation_new(config);
	if (!plan.next) {
		config_free(config);
		free(live);
		return err;
	}
	pthread_mutex_init(&live->looking, NULL);
	list_init(&live->detached);
	live->cfg = *cfg;
	err = begin(live, &plan);
	free(plan.changes);
	if (err && !live->now)
		generation_put(plan.next);
	if (err)
		live_destroy(live);
	else
		*out = live;
	return err;
}

void visit_units(const struct live *live,
		 void (*visit)(struct live_target *target, unsigned int lun, struct lu *lu,
			       void *arg),
		 void *arg)
{
	for (unsigned int i = 0; i < live->now->config->target_count; i++) {
		const struct config_target *t = &live->now->config->targets[i];

		for (unsigned int j = 0; j < t->lun_count; j++) {
			struct live_target *target = live->now->of[i];
			struct lu *lu = target->scsi.lun[t->luns[j].number];

			if (lu) /* else it could not be opened again, see reopen() */
				visit(target, t->luns[j].number, lu, arg);
		}
	}
}

static void resume(struct live_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	const struct live *live = arg;

	(void)target;
	lu_resume(lu, live->cfg.reactors[lun % live->cfg.reactor_count]);
}

void live_resume(struct live *live)
{
	visit_units(live, resume, live);
}

void live_look(struct live *live)
{
	pthread_mutex_lock(&live->looking);
}

void live_look_end(struct live *live)
{
	pthread_mutex_unlock(&live->looking);
}

const struct config *live_running(const struct live *live)
{
	return live->now->config;
}

const struct scsi_target *live_target(const struct live *live, unsigned int index)
{
	return &live->now->of[index]->scsi;
}

bool live_set_access(struct live *live, unsigned int index, uint16_t tag, enum access_state state)
{
	return target_set_access(&live->now->of[index]->scsi, tag, state);
}

uint64_t live_applied(const struct live *live)
{
	return live->applied;
}

struct server *live_server(const struct live *live)
{
	return live->server;
}

struct visitor {
	void (*visit)(const struct scsi_target *target, unsigned int lun, struct lu *lu, void *arg);
	void *arg;
};

static void visit_public(struct live_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	const struct visitor *v = arg;

	v->visit(&target->scsi, lun, lu, v->arg);
}

void live_each_lun(const struct live *live,
		   void (*visit)(const struct scsi_target *target, unsigned int lun, struct lu *lu,
				 void *arg),
		   void *arg)
{
	visit_units(live, visit_public, &(struct visitor){ visit, arg });
}
