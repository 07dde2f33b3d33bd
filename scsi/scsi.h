// SPDX-License-Identifier: BSD-2-Clause
/*
 * Private header of scsi/: the CDB table's row, the logical unit, and the helpers that commands
 * are made of. Everything here is [owner thread of the task] unless it says otherwise.
 */
#ifndef RISER_SCSI_SCSI_H
#define RISER_SCSI_SCSI_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lu.h"
#include "scsi/gate.h"
#include "scsi_wire.h"

enum {
	MAX_TRANSFER_BLOCKS = 65536, /* MAXIMUM TRANSFER LENGTH */
	MAX_UNMAP_BLOCKS = 1 << 20,
	MAX_UNMAP_DESCRIPTORS = 256,
	MAX_COMPARE_BLOCKS = 255,
	RESPONSE_SIZE = BUF_MIN, /* room for the parameter data of one command */
};
#define MAX_WRITE_SAME_BYTES (2ull << 30)

/* What a task waits for; the engine in task.c moves it. */
enum task_waits {
	WAITS_NOTHING, /* it runs: we are on its stack */
	WAITS_TASK_SET, /* dormant */
	WAITS_TRANSFER, /* io_done() */
	WAITS_BACKSTORE, /* bs_req.done() */
	WAITS_STORE, /* a record of the state folder: not to be taken back */
	WAITS_MEMORY, /* waiter.ready() */
	WAITS_GATE, /* an exclusive command: on a gate_slot's list */
	WAITS_LOCK, /* to become the exclusive command */
	WAITS_DRAIN, /* for the writes in flight to end */
	WAITS_DEFERRED, /* task->work */
	WAITS_TURN, /* for task->turn */
	WAITS_JOB, /* for the end of SANITIZE, FORMAT UNIT */
	WAITS_TOKENS, /* for its share of what a limit allows: task->limiter */
	WAITS_ENDED, /* the task is the port's again, or will be when io_done() frees the buffer */
};

enum data_direction { DIR_NONE, DIR_IN, DIR_OUT };

/* Which reservations a command minds, SPC 5.14 tables "allowed commands". */
enum reservation_rule {
	RSV_NEVER, /* none */
	RSV_READ, /* Exclusive Access of others */
	RSV_WRITE, /* Write Exclusive of others, too */
	RSV_LEGACY, /* RESERVE and RELEASE: any registration */
	RSV_PERSISTENT, /* PERSISTENT RESERVE IN and OUT: a RESERVE (6), also by themselves */
	RSV_STATUS, /* TEST UNIT READY, LOG SENSE: a RESERVE (6) of others */
	RSV_RULES
};

/* Why a unit may refuse commands, as bits of lu->condition; ready.c says which commands and how. */
enum lu_condition {
	LU_STOPPED = 0x01, /* START STOP UNIT */
	LU_NO_MEDIUM = 0x02, /* ejected */
	LU_READ_ONLY = 0x04, /* the backstore is */
	LU_SOFT_PROTECTED = 0x08, /* SWP of the Control page */
	LU_SANITIZING = 0x10,
	LU_SANITIZE_FAILED = 0x20,
	LU_FORMATTING = 0x40,
	LU_FORMAT_FAILED = 0x100,
	LU_HANGS = 0x800, /* too much was detached and is not back: detach.c */
	/* These refuse nothing, but there is something to look at: */
	LU_WATCHES_SPACE = 0x80, /* a threshold, now and then */
	LU_LIMITED = 0x200, /* how much may be done in a second */
	LU_GUARDED = 0x400, /* some nexus is limited, or only reads; perhaps not any more */
};

enum row_flags {
	ROW_MEDIUM = 0x01, /* needs a started unit */
	ROW_WRITES = 0x02, /* changes the medium: refused when write protected */
	ROW_NO_LU = 0x04, /* answers for LUNs that do not exist */
	ROW_NO_UA = 0x08, /* does not report unit attentions, SAM 5.14.1 */
	ROW_STANDBY = 0x10, /* runs in access state standby, SPC 5.16.2.6 */
	ROW_UNAVAILABLE = 0x20, /* and in unavailable, offline and transitioning */
	ROW_DURING_JOB = 0x40, /* runs while the unit is sanitized or formatted */
	ROW_REPAIRS = 0x80, /* and not then, but after that has failed */
};

/*
 * One row of the CDB table (table.c): one operation code, or one service action of it. The same
 * row checks, dispatches and answers REPORT SUPPORTED OPERATION CODES.
 */
struct cdb_row {
	/* CDB usage data, SPC 6.37.3: bits that mean something. Byte 0 is the operation code; bytes
	 * behind the CDB's length are ffh up to the 16th. */
	uint8_t usage[CDB_MAX];
	/* Runs the command: ends the task or waits. task->lu may be NULL with ROW_NO_LU. */
	void (*start)(struct scsi_task *task);
	/* For start = task_respond: writes the parameter data (out: RESPONSE_SIZE zero bytes) and
	 * returns their length, or -1 after task_sense(). */
	int (*fill)(struct scsi_task *task, uint8_t *out);
	/* Whether this unit has the command; NULL: every unit. */
	bool (*exists)(const struct lu *lu);
	const struct cdb_row *const *actions; /* service actions, ends with NULL */
	const char *name;
	uint16_t service_action;
	uint8_t cdb_len;
	uint8_t direction, rule, flags; /* enums above */
	uint8_t alloc_at, alloc_len; /* ALLOCATION LENGTH: byte and width; width 0 = none */
	/* Called with task->context before that is freed, however the task ends; NULL: nothing to do. */
	void (*cleanup)(struct scsi_task *task);
	/* Bits of the flags byte (see cdb_flags_at) that exist only where space can be given back, where
	 * it can be taken in advance, and where blocks have protection information. */
	uint8_t unmap_bits, anchor_bits, protect_bits;
	uint16_t nominal_s, recommended_s; /* timeouts */
};

/* The table, by operation code; NULL: no such command. A row with actions is nothing else. */
extern const struct cdb_row *const cdb_table[256];

static inline uint16_t cdb_service_action(const uint8_t *cdb)
{
	return cdb[0] == CDB_VARIABLE_LENGTH ? (uint16_t)(cdb[8] << 8 | cdb[9]) : cdb[1] & SA_MASK;
}
/* Where a CDB has DPO, FUA, UNMAP and their like. */
static inline unsigned int cdb_flags_at(const struct cdb_row *row)
{
	return row->cdb_len == 32 ? 10 : 1;
}
/* The row of a service action, or NULL. */
static inline const struct cdb_row *cdb_action(const struct cdb_row *row, uint16_t service_action)
{
	for (const struct cdb_row *const *action = row->actions; *action; action++) {
		if ((*action)->service_action == service_action)
			return *action;
	}
	return NULL;
}
/* The row of a CDB, or NULL. */
static inline const struct cdb_row *cdb_find(const uint8_t *cdb)
{
	const struct cdb_row *row = cdb_table[cdb[0]];

	if (__builtin_expect(!row || !row->actions, 1))
		return row;
	return cdb_action(row, cdb_service_action(cdb));
}

/* Values of mode pages that other code looks at. Written under the LU's lock. [any thread] */
struct lu_mode {
	_Atomic bool write_cache; /* WCE; false: every write is forced to the medium */
	_Atomic bool d_sense; /* sense in descriptor format */
	_Atomic bool tas; /* tasks aborted by others end with TASK ABORTED */
	_Atomic uint8_t qerr; /* QUEUE ERROR MANAGEMENT */
};

/* A flush that nobody waits for: SYNCHRONIZE CACHE with IMMED. [owner thread] */
struct lu_flush {
	struct bs_req req;
	struct lu *lu;
	bool busy, again; /* it runs; another one is due behind it */
};

struct lu_reactor {
	struct lu_stats stats;
	struct latency_set *_Atomic latency; /* latency.c; NULL: there was no command yet */
	struct lu_flush flush;
	struct gate_slot gate;
};

struct lu {
	/* Read by every command, hardly ever written. */
	struct backstore *bs;
	_Atomic uint64_t blocks; /* lu_resize() changes it under commands that run */
	uint32_t block_size; /* bytes */
	uint8_t block_shift;
	uint8_t max_compare_blocks;
	struct store *store; /* NULL: nothing survives restart */
	struct reservations *reservations; /* persistent ones: pr.h */
	struct lu_pages *pages; /* mode and log pages: pages.h */
	struct latency_past *past; /* lu_reset_latency(); NULL: it was not called */
	struct limiter *limiter; /* limiter.h; counts with LU_LIMITED */
	uint8_t protection; /* 0: blocks have none; else the protection type 1, 2, 3 */
	bool lends, volatile_cache, can_unmap, can_anchor, removable;
	_Atomic uint32_t condition; /* enum lu_condition */
	_Atomic bool leaving, busy; /* target_remove_lun(), lu_set_busy() */
	_Atomic uint32_t users; /* lu_add_user(), */
	_Atomic uint64_t oldest; /* ns: and since when the first of them */
	_Atomic uint32_t operators; /* lu_hold(): lu_clear_reservations() under way, too */
	_Atomic uint32_t detached; /* scsi_detach(), */
	uint32_t detached_writes; /* those of them that may yet change its medium; under lock */
	_Atomic uint64_t detached_since; /* ns: the first of them */
	struct lu_mode mode;
	_Atomic uint32_t exclusive; /* an exclusive command drains or runs */
	/* 0: there was no exclusive command yet; odd: one is changing the medium; else it has changed
	 * when this has. See gate.c. */
	_Atomic uint32_t sequence;
	/* What the next exclusive command waits for before it raises the flag: reactors that may still
	 * lend, and those whose waiting writers were woken and have not been let in yet. */
	_Atomic uint32_t answers_due;
	_Atomic uint64_t reserved_by; /* RESERVE (6): nexus id; 0 = not reserved */
	unsigned int reactors;
	struct lu_reactor *per_reactor;

	/* Guards owner and queue. Nothing else is taken under it. */
	pthread_mutex_t lock __attribute__((aligned(64)));
	struct scsi_task *owner; /* the exclusive command that drains, runs or is about to */
	struct lu_job *job; /* SANITIZE or FORMAT UNIT under way: job.h; lock */
	/* Of the records; who holds the unit alone, or runs the job. */
	uint64_t sanitize_version, format_version;
	_Atomic bool sanitize_ause; /* a failure may be left by EXIT FAILURE MODE */
	_Atomic uint16_t job_progress; /* in 65536ths */
	struct list queue; /* those behind it, by lu_node */
	_Atomic(struct scsi_task *) drain_waiter; /* who takes it out must continue that task */
	char serial[37], product[17];
	char target[224]; /* where it is, for operators; empty: nowhere */
	unsigned int number; /* its LUN there */
};

static inline bool row_exists(const struct cdb_row *row, const struct lu *lu)
{
	return !row->exists || (lu && row->exists(lu));
}

/* MAXIMUM ATOMIC TRANSFER LENGTH, blocks; 0: WRITE ATOMIC is not there. */
static inline uint32_t lu_atomic_max(const struct lu *lu)
{
	uint32_t bytes = lu->bs->limits.atomic_max;

	return (bytes < BUF_MAX ? bytes : BUF_MAX) >> lu->block_shift;
}

/* Bits of the flags byte that a unit (or none: NULL) does not have. */
static inline uint8_t cdb_absent_bits(const struct cdb_row *row, const struct lu *lu)
{
	return (uint8_t)((lu && lu->can_unmap ? 0 : row->unmap_bits) |
			 (lu && lu->can_anchor ? 0 : row->anchor_bits) |
			 (lu && lu->protection ? 0 : row->protect_bits));
}

/* LUN number 0..TARGET_LUNS-1, or -1. SAM 4.7: single level, peripheral device (00b, bus 0) and
 * flat space (01b) addressing. */
static inline int lun_number(const uint8_t lun[8])
{
	/* The method, and the low byte of the number. Nothing else is set in a LUN that we have. */
	const uint64_t ours = 0x40ffull << 48;
	struct be64 all;

	static_assert(TARGET_LUNS == 256, "the low byte is the number");
	memcpy(&all, lun, sizeof(all));
	return be64_get(all) & ~ours ? -1 : lun[1];
}

/* What a command finds there; add_lun() has published it by a release. */
static inline struct lu *target_found(const struct scsi_target *target, int lun)
{
	return atomic_load_explicit(&target->lun[lun], memory_order_acquire);
}

/* The same among those that the nexus sees. */
static inline struct lu *nexus_found(const struct nexus *nexus, int lun)
{
	struct lu *_Atomic *luns = atomic_load_explicit(&nexus->lun, memory_order_relaxed);

	return atomic_load_explicit(&luns[lun], memory_order_acquire);
}

/* The unit of this number, also one that is leaving: it comes into the one place before it goes from
 * the other. */
static inline struct lu *target_unit(const struct scsi_target *target, int lun)
{
	struct lu *lu = target->lun[lun], *leaving = lu ? NULL : target->leaving[lun];

	/* It may have returned between the two looks. */
	return lu ? lu : leaving ? leaving : target->lun[lun];
}

static inline struct lu_stats *task_stats(struct scsi_task *task)
{
	return &task->lu->per_reactor[task->reactor->index].stats;
}

/* --- task.c: ending */
/* Ends the task with the status and sense that are set. The task must not be touched any more. */
void task_end(struct scsi_task *task);
static inline void task_good(struct scsi_task *task)
{
	task->status = SAM_GOOD;
	task_end(task);
}
/* CHECK CONDITION. */
void task_fail(struct scsi_task *task, enum sense_code code);
/* CHECK CONDITION, see task_sense_cdb(). */
void task_fail_cdb(struct scsi_task *task, unsigned int byte, unsigned int bit);
/* CHECK CONDITION, see task_sense_list(). */
void task_fail_list(struct scsi_task *task, unsigned int byte, unsigned int bit);
/* MISCOMPARE at byte `offset` of the compare data. */
void task_fail_miscompare(struct scsi_task *task, uint64_t offset);
/* CHECK CONDITION for the errno of the backstore request that failed. */
void task_fail_io(struct scsi_task *task);

/* --- task.c: moving data */
/* How much of the Expected Data Transfer Length is for this direction. A command whose R or W bit
 * is wrong moves nothing. */
static inline uint64_t task_in_room(const struct scsi_task *task)
{
	return task->reads && !task->writes ? task->edtl : 0;
}
static inline uint64_t task_out_room(const struct scsi_task *task)
{
	return task->writes ? task->edtl : 0;
}
/* What the command wants to move: the residual. In the wrong direction all of the EDTL is residual
 * too, so that the initiator sees an overflow of the whole amount. */
static inline void task_want_in(struct scsi_task *task, uint64_t len)
{
	task->transfer_len = len + (task->writes ? task->edtl : 0);
}
static inline void task_want_out(struct scsi_task *task, uint64_t len)
{
	task->transfer_len = len + (task->reads && !task->writes ? task->edtl : 0);
}
/* Makes first_buf the task's buffer; its data is where task_fetch(0) wants it. */
void task_take_first(struct scsi_task *task);
/* Gives task->buf of at least len bytes and returns true, or waits and calls step. Takes
 * first_buf when that is big enough and what came in it lies within the first `front` bytes. A
 * task that holds memory never waits for more: it ends with BUSY (and false) instead, so that
 * memory always comes back. */
bool task_buffer(struct scsi_task *task, uint32_t front, uint32_t len,
		 void (*step)(struct scsi_task *task));
/* Data-Out [offset, offset+len) to `to` in task->buf; step follows (at once when first_buf has
 * the data in place). */
void task_fetch(struct scsi_task *task, uint32_t offset, uint32_t len, uint8_t *to,
		void (*step)(struct scsi_task *task));
/* Sends data; step follows. */
void task_send(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len,
	       void (*step)(struct scsi_task *task));
/* Sends the last data with GOOD and ends the task. */
void task_send_last(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len);
/* Handler of rows with fill. */
void task_respond(struct scsi_task *task);

/* Aborts the tasks of other nexuses, see port->abort_tasks(); step follows when none of them can
 * reach the medium any more. */
void task_abort_others(struct scsi_task *task,
		       bool (*victim)(const void *arg, const struct nexus *nexus), const void *arg,
		       bool report, void (*step)(struct scsi_task *task));

/* --- task.c: the backstore */
/* Starts task->req. True: done, the result is in task->req.res. False: step follows. Writing
 * requests pass the gate unless the task is exclusive. */
bool task_io(struct scsi_task *task, enum bs_opcode opcode, uint64_t offset, uint64_t len,
	     void *data, uint32_t flags, void (*step)(struct scsi_task *task));
/* On another unit than the task's: the other end of a copy. */
bool task_io_on(struct scsi_task *task, struct lu *lu, enum bs_opcode opcode, uint64_t offset,
		uint64_t len, void *data, uint32_t flags, void (*step)(struct scsi_task *task));
bool task_io_start(struct scsi_task *task);
/* BS_READ that sees all or nothing of what an exclusive command writes. As task_io(). */
bool task_read(struct scsi_task *task, uint64_t offset, uint64_t len, void *data, uint32_t flags,
	       void (*step)(struct scsi_task *task));
bool task_read_on(struct scsi_task *task, struct lu *lu, uint64_t offset, uint64_t len, void *data,
		  uint32_t flags, void (*step)(struct scsi_task *task));
/* Lets others run: step follows in the reactor's next round of work. */
void task_yield(struct scsi_task *task, void (*step)(struct scsi_task *task));

/* --- block.c: what medium access commands share */
/* lba and blocks from a CDB of any shape; transfer length 0 of a 6-byte CDB is 256. */
void block_decode(struct scsi_task *task);
/* False: the range is not on the medium; ended. */
bool block_check_range(struct scsi_task *task);
/* As block_check_range(), also against MAXIMUM TRANSFER LENGTH. */
bool block_check_transfer(struct scsi_task *task);
static inline bool task_has_bit(const struct scsi_task *task, uint8_t bit)
{
	/* Byte 1 of a 6-byte CDB holds LBA bits. */
	return task->cdb[0] >> 5 && task->cdb[cdb_flags_at(task->row)] & bit;
}
/* Where the CDB has its transfer length, for field pointers. */
unsigned int block_length_at(const struct cdb_row *row);
/* Starts a command that moves its blocks from the initiator: decodes, checks, sets task->end. False:
 * it has ended, because something is wrong or there is nothing to do. */
bool block_begin_out(struct scsi_task *task);
/* GOOD for a command whose writes were not forced one by one: when nothing may stay in a cache, a
 * flush comes first. */
void block_settle(struct scsi_task *task);
/* Decode WRITE SAME and WRITE ATOMIC and check their range and length. False: ended. */
bool write_same_check(struct scsi_task *task);
/* How zeros are written: UNMAP and ANCHOR say it. */
enum bs_opcode write_same_zero_opcode(const struct scsi_task *task);
uint32_t write_same_zero_flags(const struct scsi_task *task);
bool write_atomic_check(struct scsi_task *task);
/* Where data of a compare differs, or -1. */
int64_t block_compare(const uint8_t *a, const uint8_t *b, uint32_t len);

/* --- lu.c */
/* [any thread] Each nexus that sees lu, under the lock of the list of nexuses. */
void lu_each_nexus(struct lu *lu, void (*visit)(struct nexus *nexus, int lun, void *arg),
		   void *arg);

/* [any thread] Each nexus of the target, under the lock of the list of nexuses. */
void target_each_nexus(const struct scsi_target *target,
		       void (*visit)(struct nexus *nexus, void *arg), void *arg);

/* [any thread] This one, under that lock. */
void nexus_locked(struct nexus *nexus, void (*visit)(struct nexus *nexus, void *arg), void *arg);

/* [main thread] prepare() for each nexus of the target, then commands find lu; both under that lock. */
void target_publish_lun(struct scsi_target *target, unsigned int lun, struct lu *lu,
			void (*prepare)(struct nexus *nexus, void *arg), void *arg);

/* --- latency.c */
struct latency_set *lu_latency_create(struct lu_reactor *own); /* NULL: no memory */
void lu_latency_destroy(struct lu *lu);

/* --- mode.c */
/* [main thread] The unit's pages, with what the store has of them. -errno with why. */
int lu_pages_create(struct lu *lu, char *why, size_t why_size);
void lu_pages_destroy(struct lu *lu);

/* --- log.c */
/* The backstore request of the task has failed. */
void log_count_error(const struct scsi_task *task);

/* --- log_thresholds.c */
/* THRESHOLD EXPONENT of VPD B2h; 0: the unit cannot tell how much space there is. */
uint8_t lu_threshold_exponent(const struct lu *lu);
/* Looks at the space when it is time. True: the command goes on at row->start later. */
bool thresholds_due(struct scsi_task *task);

/* --- unit.c */
/* Nobody prevents the removal of the medium any longer. */
void lu_allow_removal(struct lu *lu);

/* --- job.c */
/* Sense of what keeps the unit busy, with its progress; false: nothing does. */
bool job_sense(const struct lu *lu, enum sense_code *code, uint16_t *progress);
/* CHECK CONDITION with that. */
void task_fail_job(struct scsi_task *task);
/* The task gives up waiting for the job, which goes on. Always true. */
bool job_abandon(struct scsi_task *task);

/* --- ready.c */
/* Why a command of the nexus with these enum row_flags is refused now by the unit, which is its LUN `lun`,
 * or SENSE_NONE. */
enum sense_code unit_refusal(const struct nexus *nexus, int lun, const struct lu *lu,
			     uint8_t flags);
/* False: the unit is not in a state for this command, ended; or the command goes on at row->start later. */
bool unit_ready(struct scsi_task *task);
/* The same when the command has waited for its share of a limit. */
bool unit_still_ready(struct scsi_task *task);
static inline bool lu_is(const struct lu *lu, enum lu_condition condition)
{
	return atomic_load_explicit(&lu->condition, memory_order_relaxed) & condition;
}
void lu_set(struct lu *lu, enum lu_condition condition);
void lu_clear(struct lu *lu, enum lu_condition condition);
/* Flags of a backstore write: forced when the command asks for it or nothing may stay in a cache. */
static inline uint32_t write_flags(const struct lu *lu, bool fua)
{
	return fua || !atomic_load_explicit(&lu->mode.write_cache, memory_order_relaxed) ? BS_FUA
											 : 0;
}

/* --- sense.c */
enum { SENSE_KEY_SHIFT = 16, SENSE_ASC_SHIFT = 8 };
enum sense_code sense_of_errno(int res, enum bs_opcode opcode);
/* Writes sense of either format to out (18 or 8 bytes) and returns its length. */
int sense_write(uint8_t *out, enum sense_code code, bool descriptor);
/* As sense_write(), with PROGRESS INDICATION, in 65536ths: 18 or 16 bytes. Only with the sense keys
 * NO SENSE and NOT READY, SPC 4.4.2.4.4. */
int sense_write_progress(uint8_t *out, enum sense_code code, bool descriptor, uint16_t progress);
/* The functions below set CHECK CONDITION and write task->sense in the format that D_SENSE of the
 * unit's Control page says. */
void task_sense_code(struct scsi_task *task, enum sense_code code);
/* 5/24/00 with a field pointer to bit `bit` of CDB byte `byte`, SPC 4.4.2.4.2. */
void task_sense_cdb(struct scsi_task *task, unsigned int byte, unsigned int bit);
/* 5/26/00 with a field pointer to bit `bit` of byte `byte` of the parameter list; ffffh where that
 * is further on. */
void task_sense_list(struct scsi_task *task, unsigned int byte, unsigned int bit);
/* See sense_write_progress(). */
void task_sense_progress(struct scsi_task *task, enum sense_code code, uint16_t progress);
/* Adds an INFORMATION field to the sense that is there. The fixed format has no room for more than
 * 32 bits, and then says that there is none. */
void task_sense_information(struct scsi_task *task, uint64_t information);

/* --- reserve.c */
static inline bool reservation_conflict(const struct nexus *nexus, int lun,
					enum reservation_rule rule)
{
	return __builtin_expect(
		atomic_load_explicit(&nexus->denied[lun], memory_order_acquire) >> rule & 1, 0);
}
/* For what a command does beyond its row's rule. False: it conflicts with a reservation; ended. */
bool reservation_allows(struct scsi_task *task, enum reservation_rule rule);
/* [any thread] RESERVE (6) has changed: computes denied of every nexus. */
void reservation_changed(struct lu *lu);
/* [any thread] What this nexus holds by RESERVE (6), if it holds it, is free. */
void reservation_release(struct lu *lu, const struct nexus *nexus);
/* [any thread] A nexus has come: computes its denied for every unit. */
void reservations_meet(struct nexus *nexus);
/* [main thread] Loads what the store has; may block. -errno with why. */
int reservations_create(struct lu *lu, char *why, size_t why_size);
void reservations_destroy(struct lu *lu);

/* --- unit_attention.c */
/* Takes the condition that is reported first out of the set; false: none. */
bool unit_attention_take(struct nexus *nexus, int lun, enum sense_code *code);
void unit_attention_clear(struct nexus *nexus, int lun, enum unit_attention ua);

/* --- protect.c, for units with protection information. The backstore keeps and checks the tuples of
 * every other command. */
/* Whether the command transfers protection information, or says what is expected in it: then
 * protect_...() runs it, before anything else was done. */
static inline bool task_protected(const struct scsi_task *task)
{
	return __builtin_expect(task->lu->protection != 0, 0) &&
	       (task->row->cdb_len == 32 || (task->row->cdb_len > 6 && task->cdb[1] & RW_PROTECT));
}
void protect_read_start(struct scsi_task *task);
void protect_write_start(struct scsi_task *task);
void protect_write_atomic_start(struct scsi_task *task);
void protect_write_and_verify_start(struct scsi_task *task);
void protect_verify_start(struct scsi_task *task);
void protect_write_same_start(struct scsi_task *task);
void protect_compare_and_write_start(struct scsi_task *task);
/* For rows with 32-byte CDBs: units with type 2 have them, SBC 5. */
bool protect_allows_32(const struct lu *lu);
/* Ends the task for the -EBADE of its backstore request. */
void protect_fail_io(struct scsi_task *task);

/* --- rows of the CDB table, each behind its code */
extern const struct cdb_row test_unit_ready_row, request_sense_row, start_stop_row, read6_row,
	write6_row, read10_row, write10_row, synchronize_cache10_row, read16_row, write16_row,
	synchronize_cache16_row, read12_row, write12_row, inquiry_row, reserve6_row, release6_row,
	reserve10_row, release10_row, pr_read_keys_row, pr_read_reservation_row,
	pr_capabilities_row, pr_full_status_row, pr_register_row, pr_reserve_row, pr_release_row,
	pr_clear_row, pr_preempt_row, pr_preempt_and_abort_row, pr_register_and_ignore_row,
	pr_register_and_move_row, mode_sense6_row, mode_sense10_row, read_capacity10_row,
	read_capacity16_row, verify10_row, verify16_row, verify12_row, write_same10_row,
	write_same16_row, unmap_row, compare_and_write_row, report_luns_row, report_opcodes_row,
	report_tmfs_row, prevent_allow_row, mode_select6_row, mode_select10_row, log_select_row,
	log_sense_row, report_identifying_row, set_identifying_row, report_timestamp_row,
	set_timestamp_row;

extern const struct cdb_row sanitize_overwrite_row, sanitize_block_erase_row,
	sanitize_exit_failure_row, format_unit_row;

extern const struct cdb_row report_target_port_groups_row, set_target_port_groups_row; /* alua.c */

extern const struct cdb_row read32_row, write32_row, verify32_row, write_same32_row,
	write_and_verify10_row, write_and_verify12_row, write_and_verify16_row,
	write_and_verify32_row, orwrite16_row, write_atomic16_row, prefetch10_row, prefetch16_row,
	lba_status16_row, read_defects10_row, read_defects12_row, reassign_blocks_row;

extern const struct cdb_row extended_copy_lid1_row, extended_copy_lid4_row, populate_token_row,
	write_using_token_row, copy_operation_abort_row, receive_copy_status_lid1_row,
	receive_copy_data_lid1_row, receive_copy_parameters_row, receive_copy_failure_row,
	receive_copy_status_lid4_row, receive_token_information_row, report_all_tokens_row;

int vpd_fill(struct scsi_task *task, uint8_t *out);

/* --- vpd_copy.c: the Third-party Copy page, behind its header */
int third_party_copy_page(struct scsi_task *task, uint8_t *out);

/* --- copy_status.c */
/* [main thread] The unit goes away: its tokens, and what is remembered of its copies, go with it. */
void copy_forget_unit(const struct lu *lu);
/* [owner thread of nexus] The nexus goes away, no task of it is left: nobody can ask for its copies. */
void copy_forget_nexus(const struct nexus *nexus);

#endif
