// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reservations of a unit as an operator sees them, and what he does with one whose holder will not come
 * back. He clears them as CLEAR of PERSISTENT RESERVE OUT would (SPC-5 5.14.11), between the commands of
 * initiators: he waits for his turn like one of those, as a task that no initiator knows of.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "pr.h"

/* --- Looking */

struct naming {
	uint64_t id;
	struct reservation_view *view;
};

static void name_if_holder(struct nexus *nexus, int lun, void *arg)
{
	const struct naming *n = arg;

	(void)lun;
	if (nexus->id == n->id)
		memcpy(n->view->holder, nexus->initiator_name, sizeof(n->view->holder));
}

static void view_persistent(struct pr_state *state, struct reservation_view *view)
{
	const struct pr_registration *holder = pr_holder(state);

	view->type = state->type;
	view->persists = state->persists;
	view->generation = state->generation;
	if (holder)
		memcpy(view->holder, holder->name, sizeof(view->holder));
	for (uint32_t i = 0; i < state->count; i++) {
		struct registration_view *r = &view->registrations[view->registration_count++];

		memcpy(r->initiator, state->r[i].name, sizeof(r->initiator));
		memcpy(r->isid, state->r[i].isid, sizeof(r->isid));
		r->port = state->r[i].port;
		r->key = state->r[i].key;
		r->holds = pr_holds(state, &state->r[i]);
	}
}

struct reservation_view *lu_view_reservations(struct lu *lu)
{
	struct reservations *pr = lu->reservations;
	struct reservation_view *view;
	struct naming naming;

	pthread_mutex_lock(&pr->lock);
	view = calloc(1, sizeof(*view) + pr->state->count * sizeof(view->registrations[0]));
	if (view) {
		view_persistent(pr->state, view);
		naming = (struct naming){ atomic_load(&lu->reserved_by), view };
		view->legacy = naming.id;
		if (naming.id)
			lu_each_nexus(lu, name_if_holder, &naming);
	}
	pthread_mutex_unlock(&pr->lock);
	return view;
}

/* --- Clearing */

struct clearing {
	struct scsi_task task; /* waits for the turn; has no command */
	struct nexus nobody; /* whose it would be */
	struct work work;
	struct store_req store;
	struct pr_state *next;
	void (*done)(int res, void *arg);
	void *arg;
};

static void end(struct clearing *c, int res)
{
	struct lu *lu = c->task.lu;

	turn_give(&lu->reservations->turn, &c->task);
	atomic_fetch_sub(&lu->operators, 1);
	c->done(res, c->arg);
	free(c->next);
	free(c);
}

static void install(struct clearing *c)
{
	static const struct pr_notice notice = { UA_RESERVATIONS_PREEMPTED, UA_COUNT };
	struct lu *lu = c->task.lu;

	atomic_store(&lu->reserved_by, 0);
	free(pr_install(lu, c->next, &notice, NULL));
	c->next = NULL;
	log_info("unit %s: the reservations are cleared by an operator", lu->serial);
	end(c, 0);
}

static void stored(struct store_req *req, int res)
{
	struct clearing *c = container_of(req, struct clearing, store);

	if (res) {
		end(c, res);
		return;
	}
	c->task.lu->reservations->version = req->version;
	install(c);
}

/* [has the turn] An empty state leaves no record. */
static void run(struct scsi_task *task)
{
	struct clearing *c = container_of(task, struct clearing, task);
	struct reservations *pr = task->lu->reservations;

	c->next = pr_state_copy(NULL, 0);
	if (!c->next) {
		end(c, -ENOMEM);
		return;
	}
	c->next->generation = pr->state->generation + 1;
	if (!task->lu->store || !pr->version) {
		install(c);
		return;
	}
	c->store = (struct store_req){
		.name = pr->record, .version = pr->version, .reactor = task->reactor, .done = stored
	};
	task->lu->store->ops->compare_and_store(task->lu->store, &c->store);
}

static void begin(struct work *work)
{
	struct clearing *c = container_of(work, struct clearing, work);

	if (turn_take(&c->task.lu->reservations->turn, &c->task, run))
		run(&c->task);
}

int lu_clear_reservations(struct lu *lu, struct scsi_target *target, struct reactor *reactor,
			  void (*done)(int res, void *arg), void *arg)
{
	struct clearing *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	atomic_fetch_add(&lu->operators, 1);
	list_init(&c->task.lu_node);
	c->nobody.target = target;
	c->nobody.port = &target->ports[0];
	c->task.nexus = &c->nobody;
	c->task.lu = lu;
	c->task.reactor = reactor;
	c->work.fn = begin;
	c->done = done;
	c->arg = arg;
	reactor_post(reactor, &c->work);
	return 0;
}
