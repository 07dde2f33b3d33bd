// SPDX-License-Identifier: BSD-2-Clause
/* Exclusive commands against every write and read of every reactor: gate.c and gate_read.c. */
#ifndef RISER_SCSI_GATE_H
#define RISER_SCSI_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/list.h"
#include "core/reactor.h"

struct lu;
struct scsi_task;

/*
 * The write gate. Writes of all reactors run side by side; a reactor says on a cache line of its
 * own that it is writing, once per turn of its loop however many writes there are. An exclusive
 * command raises a flag, waits until no reactor is writing, and runs alone. Writers that meet the
 * flag wait on their reactor's list.
 */
struct gate_slot { /* one per reactor; [owner thread] but for the atomics */
	_Atomic bool writing; /* active or open */
	_Atomic bool has_waiters; /* set by the owner, taken by who lowers the flag */
	_Atomic bool posted; /* wake is on its way */
	bool open; /* the flag was down in this turn: writes enter without another look */
	uint32_t active; /* writes between gate_enter and gate_leave */
	/* Reads whose data the transport takes from memory of the backstore, see gate_lend(). */
	uint32_t lent;
	bool lending_over; /* when lent is 0, tell who waits */
	_Atomic(struct reactor *) lender; /* its owner, once it has lent something */
	struct work stop_lending;
	struct list waiting; /* tasks, by lu_node */
	struct reactor *reactor; /* set before has_waiters */
	struct work wake, turn_end;
	struct lu *lu;
} __attribute__((aligned(64)));

/* Whether gate_enter() will not wait for the rest of this turn. */
bool gate_lets_in(struct lu *lu, struct reactor *reactor);
/* Enters for one backstore write. False: the task waits, and task_io_start() follows. */
bool gate_enter(struct scsi_task *task);
void gate_leave(struct scsi_task *task);
/* Takes the LU alone. False: the task waits, then task->step() follows. */
bool gate_lock(struct scsi_task *task, void (*step)(struct scsi_task *task));
void gate_unlock(struct scsi_task *task);
/* The task gives up waiting. False: its continuation is on its way and will see task->aborted. */
bool gate_abandon(struct scsi_task *task);
void gate_slot_init(struct gate_slot *slot, struct lu *lu);
/* The exclusive task is about to change the medium: readers look twice until gate_unlock(). */
void gate_change(struct scsi_task *task);
/* Whether the task may send memory of the backstore. True: gate_lend_end() has to follow when the
 * transfer is over. */
bool gate_lend(struct scsi_task *task);
void gate_lend_end(struct scsi_task *task);
/* Has an exclusive command changed the medium since the sequence number was `before`, or was it
 * doing so? */
bool gate_changed(const struct lu *lu, uint32_t before);

#endif
