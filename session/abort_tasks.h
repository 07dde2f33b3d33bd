// SPDX-License-Identifier: BSD-2-Clause
/* Waiting for the end of aborted commands, of one reactor: for task management and the SCSI layer. */
#ifndef RISER_SESSION_ABORT_TASKS_H
#define RISER_SESSION_ABORT_TASKS_H

#include "session/internal.h"

/* Aborted commands that someone waits for. */
struct abort_wait {
	struct list node; /* reactor_state.abort_waits */
	const struct session *session; /* NULL: every session of the reactor */
	const struct lu *lu; /* NULL: every LUN of the session's target */
	const struct scsi_target *target; /* with session NULL */
	/* Of the target's LUNs, with lu NULL, those in `sees`, and all of asker, which does not see the
	 * others. NULL: all. */
	const struct lun_set *sees;
	const struct session *asker;
	const struct command *command; /* NULL: all that match */
	bool aca; /* only the command with the ACA attribute */
	bool medium; /* not those that are past_medium */
	uint64_t limit; /* only commands that were aborted by then */
	uint32_t remaining;
	void (*done)(struct abort_wait *wait);
};

/* Counts from 1, so that it is not done before abort_wait_counted(). */
void abort_wait_begin(struct abort_wait *w, struct reactor_state *rs);
/* c is one of those to wait for. Before it is aborted. */
static inline void abort_wait_add(struct abort_wait *w)
{
	w->remaining++;
}
/* All are aborted and counted. May call w->done(). */
void abort_wait_counted(struct abort_wait *w, struct reactor_state *rs);
/* Whether w is for commands like c, and whether it waits for c. */
bool abort_wait_names(const struct abort_wait *w, const struct command *c);
static inline bool abort_wait_covers(const struct abort_wait *w, const struct command *c)
{
	return c->aborted_at && c->aborted_at <= w->limit && abort_wait_names(w, c);
}
/* An aborted command is over. */
void abort_wait_finished(struct reactor_state *rs, struct command *c);
/* task_port_ops.abort_tasks and abort_others. */
void port_abort_tasks(struct scsi_task *task,
		      bool (*victim)(const void *arg, const struct nexus *nexus), const void *arg,
		      bool report);
void port_abort_others(struct scsi_task *task);
/* c is aborted while it waits for the end of others. */
void abort_job_give_up(struct command *c);

#endif
