// SPDX-License-Identifier: BSD-2-Clause
/*
 * PERSISTENT RESERVE OUT, SPC-5 6.15:
 *
 *	parameter list -> turn -> new state -> store -> install, tell the others -> abort -> GOOD
 *
 * Until the new state is installed nothing has happened. From then on every command that is looked
 * at meets it; those that were looked at before are what PREEMPT AND ABORT waits for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/worker.h"
#include "pr.h"
#include "rows.h"

enum {
	ID_COUNT_MAX = PR_MAX, /* TransportIDs in a list */
	RELOADS_MAX = 8, /* of a store that somebody else writes too */
};

/* What the task remembers: its context. */
struct pr_out {
	struct pr_request request;
	struct pr_notice notice;
	struct scsi_task *task;
	struct pr_state *next; /* to be installed */
	struct store_req store;
	char *text; /* on its way into the store */
	struct job reload;
	struct pr_state *loaded;
	uint64_t loaded_version;
	int res;
	unsigned int reloads;
	struct pr_fence fence; /* PREEMPT AND ABORT; else nobody is its victim */
	struct pr_initiator *resolved; /* ids with devices taken apart */
	uint32_t id_count;
	struct pr_initiator ids[]; /* as in the list */
};

static void pr_out_cleanup(struct scsi_task *task)
{
	struct pr_out *out = task->context;

	turn_give(&task->lu->reservations->turn, task);
	if (out->fence.by)
		pr_fence_lower(task, &out->fence);
	free(out->fence.victims);
	free(out->next);
	free(out->text);
	free(out->loaded);
	free(out->resolved);
}

static void fail(struct scsi_task *task, enum pr_result result)
{
	switch (result) {
	case PR_GOOD:
	case PR_UNCHANGED: task_good(task); return;
	case PR_CONFLICT:
		stat_add(&task_stats(task)->conflicts, 1);
		task->status = SAM_RESERVATION_CONFLICT;
		task_end(task);
		return;
	case PR_BAD_LIST: task_fail(task, SENSE_INVALID_LIST_FIELD); return;
	case PR_BAD_CDB: task_fail(task, SENSE_INVALID_CDB_FIELD); return;
	case PR_BAD_RELEASE: task_fail(task, SENSE_BAD_RELEASE); return;
	case PR_FULL: task_fail(task, SENSE_REGISTRATION_RESOURCES); return;
	}
}

/* --- the end */

static bool is_victim(const void *arg, const struct nexus *nexus)
{
	return pr_fence_names(arg, nexus);
}

static bool collect_victims(struct pr_out *out, const struct pr_state *old)
{
	struct pr_state *victims = pr_state_copy(NULL, old->count);

	free(out->fence.victims);
	out->fence.victims = victims;
	if (!victims)
		return false;
	for (uint32_t i = 0; i < old->count; i++) {
		const struct pr_registration *r = &old->r[i];

		if (!pr_find(out->next, r->name, r->isid, r->port))
			pr_add(victims, r->name, r->isid, r->port, r->key);
	}
	return true;
}

/* The new state is installed, the turn is over. A task that was aborted while its state was stored has
 * changed it all the same; who asks once more finds no key to preempt, so that it aborts the victims'
 * tasks, too. */
static void finish(struct scsi_task *task)
{
	struct pr_out *out = task->context;

	if (out->fence.victims)
		pr_fence_raise(task, &out->fence);
	turn_give(&task->lu->reservations->turn, task);
	if (out->fence.victims)
		task_abort_others(task, is_victim, &out->fence, atomic_load(&task->lu->mode.tas),
				  task_good);
	else if (task->aborted)
		task_end(task);
	else
		task_good(task);
}

/* --- installing */

struct installation {
	struct lu *lu;
	struct pr_state *old, *new;
	const struct pr_notice *notice;
	const struct nexus *by; /* NULL: somebody else who shares the store */
};

static void install_nexus(struct nexus *nexus, int lun, void *arg)
{
	const struct installation *in = arg;
	enum unit_attention ua;

	reservation_deny(in->lu, in->new, nexus, lun);
	if (nexus == in->by || (in->notice->lost == UA_COUNT && in->notice->kept == UA_COUNT) ||
	    !pr_find(in->old, nexus->initiator_name, nexus->isid, nexus_port(nexus)))
		return;
	ua = pr_find(in->new, nexus->initiator_name, nexus->isid, nexus_port(nexus))
		     ? in->notice->kept
		     : in->notice->lost;
	if (ua != UA_COUNT)
		atomic_fetch_or(&nexus->unit_attentions[lun], 1u << ua);
}

struct pr_state *pr_install(struct lu *lu, struct pr_state *state, const struct pr_notice *notice,
			    const struct nexus *by)
{
	struct reservations *pr = lu->reservations;
	struct installation in = { lu, pr->state, state, notice, by };

	pthread_mutex_lock(&pr->lock);
	pr->state = state;
	lu_each_nexus(lu, install_nexus, &in);
	pthread_mutex_unlock(&pr->lock);
	return in.old;
}

static void install_next(struct scsi_task *task)
{
	struct pr_out *out = task->context;
	struct pr_state *next = out->next;

	out->next = NULL;
	free(pr_install(task->lu, next, &out->notice, out->request.nexus));
	finish(task);
}

/* --- storing [has the turn] */

static void pr_out_run(struct scsi_task *task);

/* Nothing has changed; the end gives the turn. */
static void give_up(struct scsi_task *task, enum sense_code code)
{
	if (task->aborted)
		task_end(task);
	else
		task_fail(task, code);
}

static void cannot_store(struct scsi_task *task, int err)
{
	static struct log_limit limit = LOG_LIMIT(5);

	log_write_limited(&limit, LOG_LEVEL_ERROR,
			  "unit %s: the persistent reservations cannot be stored, and stay what "
			  "they were: %s",
			  task->lu->serial, strerror(-err));
	give_up(task, SENSE_INTERNAL_FAILURE);
}

static void reload_run(struct job *job)
{
	static struct log_limit limit = LOG_LIMIT(5);
	struct pr_out *out = container_of(job, struct pr_out, reload);
	char why[512] = "";

	out->res = reservations_load(out->task->lu, &out->loaded, &out->loaded_version, why,
				     sizeof(why));
	if (out->res)
		log_write_limited(&limit, LOG_LEVEL_ERROR, "%s", why);
}

/* What somebody else has stored is the state now; the request looks at that. */
static void reloaded(struct job *job)
{
	struct pr_out *out = container_of(job, struct pr_out, reload);
	static const struct pr_notice silence = { UA_COUNT, UA_COUNT };
	struct scsi_task *task = out->task;
	struct reservations *pr = task->lu->reservations;

	task->waits = WAITS_NOTHING;
	if (out->res) {
		cannot_store(task, out->res);
		return;
	}
	out->loaded->generation = pr->state->generation + 1;
	pr->version = out->loaded_version;
	free(pr_install(task->lu, out->loaded, &silence, NULL));
	out->loaded = NULL;
	pr_out_run(task);
}

static void stored(struct store_req *req, int res)
{
	struct pr_out *out = container_of(req, struct pr_out, store);
	struct scsi_task *task = out->task;
	struct reservations *pr = task->lu->reservations;

	task->waits = WAITS_NOTHING;
	if (!res) {
		pr->version = req->version;
		install_next(task);
	} else if (res == -EAGAIN && out->reloads++ < RELOADS_MAX) {
		task->waits = WAITS_STORE;
		out->reload.run = reload_run;
		out->reload.done = reloaded;
		out->reload.reactor = task->reactor;
		worker_submit(pr->worker, &out->reload);
	} else {
		cannot_store(task, res);
	}
}

/* A state that does not persist, or has nothing in it, leaves no record. */
static void store_next(struct scsi_task *task)
{
	struct pr_out *out = task->context;
	struct reservations *pr = task->lu->reservations;
	bool keep = out->next->persists && out->next->count;

	if (!task->lu->store || (!keep && !pr->version)) {
		install_next(task);
		return;
	}
	free(out->text);
	out->text = NULL;
	out->store = (struct store_req){
		.name = pr->record, .version = pr->version, .reactor = task->reactor, .done = stored
	};
	if (keep) {
		out->text = pr_record_write(out->next, &out->store.len);
		if (!out->text) {
			give_up(task, SENSE_RESOURCES);
			return;
		}
		out->store.data = out->text;
	}
	task->waits = WAITS_STORE;
	task->lu->store->ops->compare_and_store(task->lu->store, &out->store);
}

/* --- the turn */

/* What the request makes of the state; the new one is in out->next when the result is PR_GOOD. */
static enum pr_result compute(struct scsi_task *task)
{
	struct pr_out *out = task->context;
	struct reservations *pr = task->lu->reservations;
	enum pr_result result;

	/* A RESERVE (6) was first. */
	if (atomic_load(&task->lu->reserved_by))
		return PR_CONFLICT;
	if (out->request.specify) {
		free(out->resolved);
		out->resolved = NULL;
		result = pr_resolve(task->lu, out->ids, out->id_count, &out->resolved,
				    &out->request.other_count);
		if (result != PR_GOOD)
			return result;
		out->request.others = out->resolved;
	}
	free(out->next);
	out->next = pr_state_copy(pr->state, pr_room(&out->request));
	if (!out->next)
		return PR_FULL;
	result = pr_apply(&out->request, out->next, &out->notice);
	if (result == PR_GOOD && out->request.action == PR_PREEMPT_AND_ABORT &&
	    !collect_victims(out, pr->state))
		return PR_FULL;
	return result;
}

static void pr_out_run(struct scsi_task *task)
{
	enum pr_result result = PR_UNCHANGED;

	if (!task->aborted)
		result = compute(task);
	if (result == PR_GOOD) {
		store_next(task);
		return;
	}
	if (task->aborted)
		task_end(task);
	else
		fail(task, result);
}

/* --- the parameter list */

static struct pr_out *context_create(struct scsi_task *task, uint32_t ids)
{
	struct pr_out *out = calloc(1, sizeof(*out) + ids * sizeof(out->ids[0]));

	if (!out) {
		task_fail(task, SENSE_RESOURCES);
		return NULL;
	}
	out->task = task;
	out->request.nexus = task->nexus;
	out->request.action = task->cdb[1] & SA_MASK;
	out->request.type = task->cdb[2];
	task->context = out;
	return out;
}

/* How many TransportIDs there are; -1: one is wrong. */
static int64_t count_ids(const uint8_t *at, uint32_t len)
{
	struct pr_initiator id;
	int64_t count = 0;

	while (len) {
		uint32_t size = transport_id_parse(at, len, &id);

		if (!size || ++count > ID_COUNT_MAX)
			return -1;
		at += size;
		len -= size;
	}
	return count;
}

/* False: the list is wrong; ended. */
static bool parse_move(struct scsi_task *task)
{
	const struct pr_move_list *list = (const void *)task->buf->data;
	const struct scsi_target *target = task->nexus->target;
	uint32_t id_len = be32_get(list->id_len);
	unsigned int port = 0;
	struct pr_out *out;

	if (id_len != task->chunk - sizeof(*list)) {
		task_fail(task, SENSE_LIST_LENGTH);
		return false;
	}
	out = context_create(task, 1);
	if (!out)
		return false;
	while (port < target->port_count && target->ports[port].relative != be16_get(list->port))
		port++;
	if (port == target->port_count || !id_len ||
	    transport_id_parse((const uint8_t *)(list + 1), id_len, out->ids) != id_len ||
	    out->ids[0].device || (list->flags & PR_MOVE_APTPL && !task->lu->store)) {
		task_fail(task, SENSE_INVALID_LIST_FIELD);
		return false;
	}
	out->request.key = be64_get(list->key);
	out->request.action_key = be64_get(list->action_key);
	out->request.persist = list->flags & PR_MOVE_APTPL;
	out->request.unregister = list->flags & PR_MOVE_UNREG;
	out->request.to_port = be16_get(list->port);
	out->request.others = out->ids;
	out->request.other_count = 1;
	return true;
}

/* The TransportIDs behind the list. */
static bool parse_ids(struct scsi_task *task)
{
	const uint8_t *at = task->buf->data + sizeof(struct pr_out_list);
	uint32_t left = task->chunk - sizeof(struct pr_out_list);
	struct be32 wire;
	struct pr_out *out;
	int64_t count;

	if (left >= sizeof(wire))
		memcpy(&wire, at, sizeof(wire));
	if (left < sizeof(wire) || be32_get(wire) != left - sizeof(wire)) {
		task_fail(task, SENSE_LIST_LENGTH);
		return false;
	}
	at += sizeof(wire);
	left -= sizeof(wire);
	count = count_ids(at, left);
	if (count < 0) {
		task_fail(task, SENSE_INVALID_LIST_FIELD);
		return false;
	}
	out = context_create(task, (uint32_t)count);
	if (!out)
		return false;
	for (out->id_count = 0; out->id_count < count; out->id_count++) {
		uint32_t size = transport_id_parse(at, left, &out->ids[out->id_count]);

		at += size;
		left -= size;
	}
	out->request.specify = true;
	return true;
}

/* APTPL and ALL_TG_PT of other service actions are ignored, SPEC_I_PT is not. */
static bool parse_list(struct scsi_task *task)
{
	const struct pr_out_list *list = (const void *)task->buf->data;
	uint8_t action = task->cdb[1] & SA_MASK;
	bool registers = action == PR_REGISTER || action == PR_REGISTER_AND_IGNORE;
	struct pr_out *out;

	if (list->flags & PR_SPEC_I_PT && action == PR_REGISTER) {
		if (!parse_ids(task))
			return false;
	} else if (task->chunk != sizeof(*list)) {
		task_fail(task, SENSE_LIST_LENGTH);
		return false;
	} else if (list->flags & PR_SPEC_I_PT) {
		task_fail(task, SENSE_INVALID_LIST_FIELD);
		return false;
	} else if (!context_create(task, 0)) {
		return false;
	}
	if (registers && list->flags & PR_APTPL && !task->lu->store) {
		task_fail(task, SENSE_INVALID_LIST_FIELD);
		return false;
	}
	out = task->context;
	out->request.key = be64_get(list->key);
	out->request.action_key = be64_get(list->action_key);
	out->request.persist = registers && list->flags & PR_APTPL;
	out->request.all_ports = registers && list->flags & PR_ALL_TG_PT;
	return true;
}

static void pr_out_arrived(struct scsi_task *task)
{
	bool move = (task->cdb[1] & SA_MASK) == PR_REGISTER_AND_MOVE;

	if (!(move ? parse_move(task) : parse_list(task)))
		return;
	/* A turn may take its time. */
	buf_put(task->reactor, task->buf);
	task->buf = NULL;
	if (turn_take(&task->lu->reservations->turn, task, pr_out_run))
		pr_out_run(task);
}

static void pr_out_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, task->chunk, task->buf->data, pr_out_arrived);
}

static bool needs_type(uint8_t action)
{
	return action == PR_RESERVE || action == PR_RELEASE;
}

static void pr_out_start(struct scsi_task *task)
{
	const struct be32 *wire = (const void *)&task->cdb[5];
	uint32_t len = be32_get(*wire);

	task_want_out(task, len);
	if (needs_type(task->cdb[1] & SA_MASK) && !pr_type_valid(task->cdb[2])) {
		task_fail_cdb(task, 2, task->cdb[2] >> PR_SCOPE_SHIFT ? 7 : 3);
		return;
	}
	if (len < sizeof(struct pr_out_list) || len > BUF_MAX || task_out_room(task) < len) {
		task_fail(task, SENSE_LIST_LENGTH);
		return;
	}
	task->chunk = len;
	if (task_buffer(task, len, len, pr_out_fetch))
		pr_out_fetch(task);
}

#define PR_OUT(label, action)                                                             \
	{                                                                                 \
		.name = "PERSISTENT RESERVE OUT, " label, .service_action = (action),     \
		USAGE10(CDB_PERSISTENT_RESERVE_OUT, (action), 0xff, 0, 0, LEN4, CONTROL), \
		.start = pr_out_start, .cleanup = pr_out_cleanup, .direction = DIR_OUT,   \
		.rule = RSV_PERSISTENT, .flags = ROW_STANDBY, MEDIUM                      \
	}

const struct cdb_row pr_register_row = PR_OUT("REGISTER", PR_REGISTER);
const struct cdb_row pr_reserve_row = PR_OUT("RESERVE", PR_RESERVE);
const struct cdb_row pr_release_row = PR_OUT("RELEASE", PR_RELEASE);
const struct cdb_row pr_clear_row = PR_OUT("CLEAR", PR_CLEAR);
const struct cdb_row pr_preempt_row = PR_OUT("PREEMPT", PR_PREEMPT);
const struct cdb_row pr_preempt_and_abort_row = PR_OUT("PREEMPT AND ABORT", PR_PREEMPT_AND_ABORT);
const struct cdb_row pr_register_and_ignore_row =
	PR_OUT("REGISTER AND IGNORE EXISTING KEY", PR_REGISTER_AND_IGNORE);
const struct cdb_row pr_register_and_move_row = PR_OUT("REGISTER AND MOVE", PR_REGISTER_AND_MOVE);
