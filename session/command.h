// SPDX-License-Identifier: BSD-2-Clause
/* What the files share that make up a SCSI command's life. */
#ifndef RISER_SESSION_COMMAND_H
#define RISER_SESSION_COMMAND_H

#include "session/internal.h"

/* --- command.c */

extern const struct task_port_ops command_port_ops;

/* A new command has its tag and is one of its session's. */
void command_link(struct command *c);
/* The tag is the initiator's again as soon as it can have our answer, which is before we learn that
 * the answer was sent. Safe on a command whose tag is free already. */
void command_free_tag(struct command *c);
void command_count_stages(struct latency_set *set, const struct scsi_task *task, uint64_t total,
			  uint64_t transport);

/* Nobody waits for anything of it any more: its latency counts, once. What the transport has been given
 * last has just come back. */
static inline void command_count(struct command *c)
{
	struct scsi_task *task = &c->task;
	struct latency_set *set = task->latency;
	struct latency_histograms *own = &c->session->stats.latency;
	uint64_t now = reactor_now(task->reactor), total = now - c->arrived;
	uint64_t transport = c->moved_ns + (c->answered ? now - c->moves_since : 0);
	unsigned int bucket = latency_bucket(total), kind = task->kind;

	if (__builtin_expect(!set, 0))
		return;
	task->latency = NULL;
	latency_count(&set->of[LATENCY_TOTAL], bucket, kind);
	stat_add(&set->of[LATENCY_TOTAL].sum_ns[kind], total);
	latency_count(own, bucket, kind);
	stat_add(&own->sum_ns[kind], total);
	if (transport == total)
		latency_count(&set->of[LATENCY_TRANSPORT], bucket, kind);
	else
		command_count_stages(set, task, total, transport);
}
/* live.c: the unit is at work for it, or somebody waits for its end and names it by its unit. */
bool command_uses_unit(const struct command *c);
/* Nobody has it any more. May free the session. */
void command_free(struct command *c);
/* Its connection takes what is sent for it. */
bool command_can_send(const struct command *c);
/* io_done for what needs no transport: data that is here already, or a connection that is gone.
 * Runs as command.io_work. */
void command_io_work(struct work *work);
/* The sense data of a transfer that failed. */
void command_transfer_sense(struct command *c, enum transfer_result result);
/* The task is the port's again: answers it; where nobody is to be answered, frees c. */
void command_finish(struct command *c);
/* Sends command.response, made anew of what the task says. */
void command_send_response(struct command *c, uint32_t statsn, uint32_t snack_tag);
/* Its status is about to leave: the tag and the slot of the window are free. */
void command_answered(struct command *c);

/* Data-Out of an R2T starts to move. */
void command_get(struct command *c, void *data, uint32_t offset, uint32_t len);
/* Data-In starts to move, in steps: what; then, where it ends the command, the status; then go.
 * What transfer.ack, .part and .sn say is the caller's. */
void command_put(struct command *c, const void *data, uint32_t offset, uint32_t len);
void command_put_status(struct command *c, uint32_t statsn);
void command_put_start(struct command *c);

#endif
