// SPDX-License-Identifier: BSD-2-Clause
/* Reservations of LUNs, and the end of one whose holder does not come back. */
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/deadline.h"
#include "rpc_look.h"

static const char *type_name(const struct reservation_view *v)
{
	static const char *const names[] = {
		[1] = "write-exclusive",
		[3] = "exclusive-access",
		[5] = "write-exclusive-registrants",
		[6] = "exclusive-access-registrants",
		[7] = "write-exclusive-all",
		[8] = "exclusive-access-all",
	};

	if (v->legacy)
		return "reserve-6";
	return v->type < array_size(names) && names[v->type] ? names[v->type] : "none";
}

static json_t *registrations(const struct reservation_view *v)
{
	json_t *list = json_array();
	char key[19], isid[13];

	for (unsigned int i = 0; i < v->registration_count; i++) {
		const struct registration_view *r = &v->registrations[i];

		snprintf(key, sizeof(key), "0x%016llx", (unsigned long long)r->key);
		for (unsigned int j = 0; j < sizeof(r->isid); j++)
			snprintf(isid + 2 * j, 3, "%02x", r->isid[j]);
		json_array_append_new(list, json_pack("{so ss si ss sb}", "initiator",
						      rpc_text(r->initiator), "isid", isid, "port",
						      r->port, "key", key, "holds", r->holds));
	}
	return list;
}

/* NULL: nothing is reserved and nobody is registered. */
static json_t *reservation(const char *target, unsigned int lun, struct lu *lu)
{
	struct reservation_view *v = lu_view_reservations(lu);
	json_t *json = NULL;

	if (v && (v->legacy || v->type || v->registration_count))
		json = json_pack("{so si ss so sI sb so}", "target", rpc_text(target), "lun",
				 (int)lun, "type", type_name(v), "holder",
				 v->holder[0] ? rpc_text(v->holder) : json_null(), "generation",
				 (json_int_t)v->generation, "persists", v->persists,
				 "registrations", registrations(v));
	free(v);
	return json;
}

static void append(const struct rpc_context *x, unsigned int index, json_t *list)
{
	const struct config_target *t = &live_running(x->live)->targets[index];
	const struct scsi_target *scsi = live_target(x->live, index);

	for (unsigned int i = 0; i < t->lun_count; i++) {
		struct lu *lu = scsi->lun[t->luns[i].number];
		json_t *json = lu ? reservation(t->name, t->luns[i].number, lu) : NULL;

		if (json)
			json_array_append_new(list, json);
	}
}

static enum rpc_status reservation_list(struct rpc_call *call, const json_t *params,
					json_t **result)
{
	const struct rpc_context *x = call->context;
	enum rpc_status status = RPC_OK;
	json_t *list = json_array();
	unsigned int index;

	live_look(x->live);
	if (!json_object_get(params, "target")) {
		for (index = 0; index < live_running(x->live)->target_count; index++)
			append(x, index, list);
	} else if (look_target(call, params, &index)) {
		append(x, index, list);
	} else {
		status = RPC_NOT_FOUND;
	}
	live_look_end(x->live);
	if (status == RPC_OK)
		*result = list;
	else
		json_decref(list);
	return status;
}

/* --- Clearing */

/* Who waits may have given up when the answer comes. */
struct clearing {
	_Atomic unsigned int users;
	sem_t done;
	int res;
};

static void put(struct clearing *c)
{
	if (--c->users)
		return;
	sem_destroy(&c->done);
	free(c);
}

static void cleared(int res, void *arg)
{
	struct clearing *c = arg;

	c->res = res;
	sem_post(&c->done);
	put(c);
}

static int wait_for(struct rpc_context *x, struct clearing *c)
{
	struct timespec deadline = deadline_in(CONTROL_CLEAR_S * 1000);

	while (x->turn && sem_trywait(&c->done))
		x->turn(x->turn_arg);
	if (!x->turn && !deadline_wait(&c->done, &deadline))
		return -ETIMEDOUT;
	return c->res;
}

static int clear(struct rpc_context *x, struct lu *lu, unsigned int index)
{
	struct clearing *c = calloc(1, sizeof(*c));
	int err = -ENOMEM;

	if (!c)
		return err;
	sem_init(&c->done, 0, 0);
	c->users = 2;
	err = lu_clear_reservations(lu, (struct scsi_target *)live_target(x->live, index),
				    x->reactors[0], cleared, c);
	if (err)
		c->users--;
	else
		err = wait_for(x, c);
	put(c);
	return err;
}

/* [main thread] Nobody but us takes units away. */
static struct lu *find(struct rpc_call *call, const json_t *params, unsigned int *index)
{
	json_int_t lun = json_integer_value(json_object_get(params, "lun"));
	struct lu *lu = NULL;

	if (!look_target(call, params, index))
		return NULL;
	if (lun >= 0 && lun < TARGET_LUNS)
		lu = live_target(call->context->live, *index)->lun[lun];
	if (!lu)
		rpc_fail(call, RPC_NOT_FOUND, json_string_value(json_object_get(params, "target")),
			 "lun.list has all LUNs", "the target has no LUN %lld", (long long)lun);
	return lu;
}

static enum rpc_status reservation_clear(struct rpc_call *call, const json_t *params,
					 json_t **result)
{
	struct rpc_context *x = call->context;
	json_int_t lun = json_integer_value(json_object_get(params, "lun"));
	unsigned int index;
	struct lu *lu = find(call, params, &index);
	const char *target;
	json_t *before;
	int err = 0;

	if (!lu)
		return RPC_NOT_FOUND;
	target = live_running(x->live)->targets[index].name;
	before = reservation(target, (unsigned int)lun, lu);
	if (!before)
		return rpc_fail(call, RPC_NOT_FOUND, target, "reservation.list has all of them",
				"LUN %lld is not reserved, and nobody is registered",
				(long long)lun);
	if (!json_is_true(json_object_get(params, "dry_run")))
		err = clear(x, lu, index);
	if (err) {
		json_decref(before);
		return rpc_fail(call, err == -ETIMEDOUT ? RPC_TIMEOUT : RPC_FAILED, target,
				"see the log; the folder of state has to be writable",
				"the reservations of LUN %lld are not cleared: %s", (long long)lun,
				strerror(-err));
	}
	*result = json_pack("{so}", "cleared", before);
	return RPC_OK;
}

static const struct rpc_param list_params[] = {
	{ "target", RPC_STRING, false, "of the LUNs of this target only" },
	{ 0 },
};

static const struct rpc_param clear_params[] = {
	{ "target", RPC_STRING, true, "the name of the target" },
	{ "lun", RPC_INTEGER, true, "the number of the LUN" },
	{ "dry_run", RPC_BOOLEAN, false, "only say what would go" },
	{ 0 },
};

extern const struct rpc_method rpc_reservation_methods[];
const struct rpc_method rpc_reservation_methods[] = {
	{ "reservation.list", "LUNs that are reserved, and who is registered", RPC_MONITOR,
	  RPC_CONTROL, list_params, reservation_list },
	{ "reservation.clear", "a LUN loses its reservation and all registrations", RPC_ADMIN,
	  RPC_MAIN, clear_params, reservation_clear },
	{ 0 },
};
