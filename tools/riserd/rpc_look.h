// SPDX-License-Identifier: BSD-2-Clause
/* What the methods that list things share. Under live_look(), where nothing else is said. */
#ifndef RISERD_RPC_LOOK_H
#define RISERD_RPC_LOOK_H

#include "control.h"

/* Counters of a unit, of all reactors together. */
json_t *look_lun_stats(const struct lu *lu, unsigned int reactors);
/* One LUN of the configuration; lu NULL: it could not be opened. */
json_t *look_lun(const struct rpc_context *x, const struct config_target *target,
		 const struct config_lun *lun, const struct lu *lu);
/* "file", "state", "runtime" or "command-line". */
const char *look_source(const struct rpc_context *x, const struct place *place);
/* Every reactor's sessions, of those that answer in time: `silent` do not. tsih 0: all, else only that one.
 * Without live_look(). NULL: no memory. */
struct session_snapshot *look_sessions(struct rpc_context *x, unsigned int tsih,
				       unsigned int *silent);
json_t *look_session_stats(const struct session_detail *s);
json_t *look_address(const struct portal_address *address);
const char *look_access(enum access_state access);
const char *look_job_state(enum lu_operation_state state); /* "running" */
/* rpc_image.c: images among the jobs. Those that run, behind the others in `jobs`. */
void look_images(struct rpc_context *x, json_t *jobs);
/* New reference; NULL: none has this number. */
json_t *look_image(struct rpc_context *x, uint64_t id);
/* job.cancel of this one, which is given back when there was an error. */
enum rpc_status look_cancel_image(struct rpc_call *call, const json_t *params, uint64_t id,
				  json_t **job);
/* The target of a "target" parameter: its place in the configuration. False: rpc_fail() was called, with
 * RPC_NOT_FOUND. */
bool look_target(struct rpc_call *call, const json_t *params, unsigned int *index);

#endif
