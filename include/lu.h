// SPDX-License-Identifier: BSD-2-Clause
/*
 * The contract between session/ and scsi/: targets, logical units, I_T nexuses and tasks.
 * "SAM" is SAM-5, "SPC" SPC-5, "SBC" SBC-4.
 */
#ifndef RISER_LU_H
#define RISER_LU_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "backstore.h"
#include "core/list.h"
#include "core/reactor.h"
#include "core/slab.h"
#include "latency.h"
#include "rights.h"

enum { TARGET_LUNS = 256, TARGET_PORTS = 16, CDB_MAX = 32, SENSE_MAX = 96 };

struct lu;
struct nexus;
struct scsi_task;
struct store;

/* SAM status codes. */
enum scsi_status {
	SAM_GOOD = 0x00,
	SAM_CHECK_CONDITION = 0x02,
	SAM_CONDITION_MET = 0x04,
	SAM_BUSY = 0x08,
	SAM_RESERVATION_CONFLICT = 0x18,
	SAM_TASK_SET_FULL = 0x28,
	SAM_ACA_ACTIVE = 0x30,
	SAM_TASK_ABORTED = 0x40,
};

/* ASYMMETRIC ACCESS STATE of a target port group, SPC 6.38. */
enum access_state {
	ACCESS_OPTIMIZED = 0x0,
	ACCESS_NON_OPTIMIZED = 0x1,
	ACCESS_STANDBY = 0x2,
	ACCESS_UNAVAILABLE = 0x3,
	ACCESS_OFFLINE = 0xe,
	ACCESS_TRANSITIONING = 0xf,
};

/* A SCSI target port: in iSCSI a portal group of the target. It is a target port group of its own,
 * so that each portal group has an access state. */
struct target_port {
	uint16_t tag; /* portal group tag, and TARGET PORT GROUP: 1..65535 */
	uint16_t relative; /* RELATIVE TARGET PORT IDENTIFIER: 1..65535, stable across restarts */
	_Atomic bool preferred; /* PREF */
	_Atomic uint8_t access; /* enum access_state */
	_Atomic uint8_t
		access_status; /* STATUS CODE, SPC 6.38: 0 never, 1 by STPG, 2 by ourselves */
};

/* A SCSI target device: a name, its ports and a map of logical units. */
struct scsi_target {
	char name[224]; /* iSCSI name */
	struct target_port ports[TARGET_PORTS]; /* the first port_count, at least 1 */
	_Atomic unsigned int port_count;
	/* What commands find; NULL: no such LUN. Before a server has the target anybody may write here,
	 * afterwards only the functions of "Live change" below. */
	struct lu *_Atomic lun[TARGET_LUNS];
	/* No command finds it any more, but some that have found it are not over yet. */
	struct lu *_Atomic leaving[TARGET_LUNS];
};

/* What the port (session/) does for a task. All [owner thread]. */
struct task_port_ops {
	/* Brings len bytes of Data-Out from Buffer Offset `offset` into data, which stays borrowed
	 * until task->io_done(task, ok) is called, exactly once, never from inside. Data that came
	 * with the command is copied or already there (see task->first_data). ok false: the port has set
	 * sense (or the task is aborted); the SCSI layer must finish the task at once. */
	void (*get_data)(struct scsi_task *task, void *data, uint32_t offset, uint32_t len);
	/* Sends len bytes of Data-In at `offset`. last: also ends the task with the status in
	 * task->status, which must be GOOD (no task->port->done() then). io_done() follows in both
	 * cases when data is no longer needed. */
	void (*put_data)(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len,
			 bool last);
	/* Ends the task: task->status, sense, and residual are set. The task is the port's again;
	 * the SCSI layer must have released buffers and touches it no more. */
	void (*done)(struct scsi_task *task);
	/* Aborts every task of task->lu, on every reactor, whose nexus `victim(arg, nexus)` names
	 * [any thread], but for `task` itself, and clears the ACA conditions of these nexuses. report:
	 * tasks of other nexuses than the task's end with TASK ABORTED (TAS). Otherwise they end
	 * without an answer, and those of other nexuses with UA_COMMANDS_CLEARED. io_done(task, true)
	 * follows, never from inside, when none of them can reach the medium any more (Data-In may
	 * still be on the way); arg is borrowed until then. When `task` itself is aborted,
	 * before or meanwhile, io_done() does not wait for the others. */
	void (*abort_tasks)(struct scsi_task *task,
			    bool (*victim)(const void *arg, const struct nexus *nexus),
			    const void *arg, bool report);
	/* Aborts every other task of task->nexus on task->lu, without an answer (QERR). Returns when
	 * each was given to scsi_abort(). */
	void (*abort_others)(struct scsi_task *task);
};

/* A command in execution. Embedded in the port's command; the port fills in the upper part and
 * calls scsi_submit(). */
struct scsi_task {
	/* the port's */
	const struct task_port_ops *port;
	struct nexus *nexus;
	struct reactor *reactor;
	uint8_t lun[8]; /* SAM LUN as on the wire */
	uint8_t cdb[CDB_MAX];
	uint8_t cdb_len;
	uint8_t attribute; /* enum ATTR_* of pdu.h */
	bool reads, writes; /* R and W bits */
	uint32_t edtl; /* Expected Data Transfer Length, bytes */
	/* Data-Out that arrived with the command: first_len bytes at the start of first_buf, which
	 * has room for first_buf->size. The SCSI layer may take first_buf as its buffer for offset 0
	 * (set first_buf to NULL, then get_data only moves what is missing); else the port frees it
	 * after done(). get_data() knows what is there already: for a range that starts at 0 and
	 * uses first_buf->data as data it moves only bytes beyond first_len; with another
	 * data pointer it copies those. */
	struct buf *first_buf;
	uint32_t first_len;
	/* Not NULL: all of the Data-Out (first_len is edtl) is here, first_buf is NULL, and the memory
	 * is somebody else's as soon as scsi_submit() returns. Only for a task that scsi_takes_lent()
	 * has been asked about immediately before: it ends before scsi_submit() returns. */
	const void *lent_data;
	bool frugal; /* a write goes on in first_buf, if it has one, and takes no bigger buffer */
	bool stable_source; /* Data-In must come from memory that nobody changes: do not borrow */
	/* [owner thread] Set by scsi_abort(): the SCSI layer starts nothing new and calls done();
	 * the port sends no response. */
	bool aborted;

	/* the result, set by the SCSI layer (sense also by the port on transfer errors) */
	uint8_t status; /* enum scsi_status */
	uint8_t sense_len; /* bytes; 0 = none */
	/* Bytes the command wanted to move. Residual = edtl - transfer_len: > 0 underflow, < 0
	 * overflow. The port moves min(). 64 bits: READ of 2^32 blocks. */
	uint64_t transfer_len;

	/* the SCSI layer's */
	uint8_t set_state; /* enum in scsi/scsi.h */
	uint8_t waits; /* what has to come back: enum in scsi/scsi.h */
	uint8_t kind; /* enum latency_kind */
	bool lent; /* Data-In is memory of the backstore: gate_lend() */
	bool counted_write; /* holds the LU's write gate */
	bool exclusive; /* holds the LU alone: COMPARE AND WRITE */
	/* A third-party copy, and it works on copy_luns. Stays until the task is used again. */
	bool copies;
	struct lu *lu;
	struct lu *io_lu; /* whose backstore req goes to: lu, or the other end of a copy */
	struct lu *from; /* with BS_COPY: whose disk is read for it */
	const struct cdb_row *row;
	/* Called by the port, see above. */
	void (*io_done)(struct scsi_task *task, bool ok);
	void (*step)(struct scsi_task *task); /* next step of a multi-step command */
	struct buf *buf; /* owned */
	void *context; /* owned, from malloc(): what a command of many steps has to remember */
	void *mem; /* memory the present step works on: buf->data or borrowed */
	uint64_t lba, blocks; /* host order */
	uint64_t pos, end; /* bytes of the command that are done / in all */
	uint32_t chunk; /* bytes of the present step */
	struct work work; /* continuation that was posted or deferred */
	uint64_t io_ns; /* ns that the backstore has had it, without the request under way */
	/* Where its latency counts, when the port has it back and nobody waits for anything of it; NULL:
	 * nowhere. */
	struct latency_set *latency;

	/* From here on nothing is cleared for a new command: who uses it has written it before. */
	uint8_t sense[SENSE_MAX]; /* the result: the first sense_len bytes */
	struct bs_req req;
	uint64_t io_since; /* ns: req is under way since */
	struct buf_waiter waiter;
	struct list lu_node; /* queue behind an exclusive command, or for a turn */
	struct turn *turn; /* that it waits for: scsi/turn.h */
	uint32_t scratch[8];
	void (*read_step)(struct scsi_task *task); /* task_read(): who asked */
	uint32_t read_sequence; /* the LU's, when the read began */
	uint8_t read_tries;
	struct list set_node; /* the task set's: dormant */
	uint32_t copy_luns[TARGET_LUNS / 32];
	/* Where it waits for its share: scsi/limiter.h. */
	struct limiter *_Atomic limiter;
	struct list line_node, line, turn_node;
	int64_t credit;
	uint32_t tokens; /* bytes to be paid for */
	uint8_t paid; /* how many limiters have let it pass */
};

/* Unit attention conditions, SPC; a lower value is reported first (SAM 5.14 leaves the order of
 * equals to us). */
enum unit_attention {
	UA_POWER_ON, /* 29/00: iscsi-ls retries after this one only */
	UA_BUS_DEVICE_RESET, /* 29/03: LUN RESET by another nexus */
	UA_NEXUS_LOSS, /* 29/07 */
	UA_COMMANDS_CLEARED, /* 2F/00: by another initiator */
	UA_MEDIUM_CHANGED, /* 28/00: not ready to ready change, medium may have changed */
	UA_CAPACITY_CHANGED, /* 2A/09 */
	UA_MODE_CHANGED, /* 2A/01 */
	UA_LOG_CHANGED, /* 2A/02 */
	UA_RESERVATIONS_PREEMPTED, /* 2A/03 */
	UA_RESERVATIONS_RELEASED, /* 2A/04 */
	UA_REGISTRATIONS_PREEMPTED, /* 2A/05 */
	UA_ACCESS_STATE_CHANGED, /* 2A/06: asymmetric access state */
	UA_TIMESTAMP_CHANGED, /* 2A/10 */
	UA_THRESHOLD_REACHED, /* 38/07: thin provisioning soft threshold */
	UA_INQUIRY_CHANGED, /* 3F/03 */
	UA_IDENTIFIER_CHANGED, /* 3F/05: device identifier */
	UA_LUNS_CHANGED, /* 3F/0E */
	UA_COUNT,
};

/* The commands of one nexus on one unit. SAM calls this a task set; each nexus has one of its own
 * (TST 001b, which cannot be changed), so that a task set belongs to one reactor and needs no lock.
 * See scsi/task_set.h. [owner thread] */
struct task_set {
	uint16_t enabled; /* commands that run */
	uint16_t dormant; /* that wait for their turn */
	uint16_t heads; /* of the enabled ones: HEAD OF QUEUE */
	uint8_t ordered; /* of the enabled ones: ORDERED, 0 or 1 */
	uint8_t aca; /* auto contingent allegiance: enum aca_bits */
};

/* An I_T nexus: an initiator port (name,i,ISID) seen by one target. Embedded in the session. */
struct nexus {
	struct list node; /* on the scsi layer's list of nexuses, under its lock */
	struct scsi_target *target;
	/* What its commands find: target->lun, or view when it does not see all of them. Like the next three
	 * written by the owner thread, under that lock. */
	struct lu *_Atomic *_Atomic lun;
	struct nexus_rights rights;
	bool restricted; /* nexus_restrict() has been called */
	struct limiter *limiter; /* of its initiator; NULL: there is no limit */
	struct target_port *port; /* of target: where it came in */
	char initiator_name[224];
	uint8_t isid[6];
	bool queries; /* the port passes on the functions that SAM-3 and later have: set before
	               * nexus_attach() */
	uint64_t id; /* unique for the life of the daemon, never 0; set by nexus_attach */
	_Atomic uint32_t unit_attentions[TARGET_LUNS]; /* bit set of enum unit_attention per LUN */
	_Atomic bool prevents_removal[TARGET_LUNS]; /* PREVENT ALLOW MEDIUM REMOVAL */
	/* Bit set of enum reservation_rule: commands that conflict with a reservation. Computed when
	 * a reservation changes, so that a command looks at one byte. */
	_Atomic uint8_t denied[TARGET_LUNS];
	/* The rest is the owner thread's. */
	struct list dormant; /* scsi_task.set_node: those of all LUNs, oldest first */
	struct work wake; /* looks for dormant commands whose turn has come */
	uint32_t hungry; /* commands that wait for memory */
	struct task_set sets[TARGET_LUNS];
	/* Of target->lun, those that it sees; under that lock. */
	struct lu *_Atomic view[TARGET_LUNS];
};

struct lu_config {
	struct backstore *bs; /* borrowed; outlives the LU */
	const char *serial; /* unit serial number, 1..36 printable characters */
	const char *product; /* INQUIRY product, up to 16 characters */
	unsigned int reactors; /* how many: per-reactor state */
	struct store *store; /* for what survives restart; borrowed, NULL: nothing does */
	bool removable;
	/* Where it is, as operators are told of it; NULL: nowhere. */
	const char *target;
	unsigned int lun;
};

/* Counters of one LU on one reactor. */
struct lu_stats {
	_Atomic uint64_t commands, read_bytes, write_bytes, check_conditions, conflicts;
	_Atomic uint64_t reads, writes; /* commands */
	_Atomic uint64_t verify_bytes, read_errors, write_errors, verify_errors;
} __attribute__((aligned(64)));

/* [main thread] Loads what cfg->store has of the unit; may block. -ENOMEM, or what the store says;
 * why tells it in words, with the way out. */
int lu_create(const struct lu_config *cfg, struct lu **out, char *why, size_t why_size);
/* [main thread] Goes on with a SANITIZE that the last start of the daemon left: on this reactor, as
 * soon as that runs. */
void lu_resume(struct lu *lu, struct reactor *reactor);
/* [main thread] A SANITIZE or FORMAT UNIT stops soon, a SANITIZE to be resumed at the next start;
 * then stopped(arg) [any thread], perhaps from inside. */
void lu_stop_job(struct lu *lu, void (*stopped)(void *arg), void *arg);

/* Long work on a unit, for operators. */
enum lu_operation_kind { LU_OPERATION_SANITIZE, LU_OPERATION_FORMAT, LU_OPERATION_COPY };
enum lu_operation_state {
	LU_OPERATION_RUNS,
	LU_OPERATION_ENDS, /* it was canceled, and is about to end */
	LU_OPERATION_DONE,
	LU_OPERATION_FAILED,
	LU_OPERATION_CANCELED,
	LU_OPERATION_STOPPED, /* the daemon ends; the next start may go on */
};
struct lu_operation {
	uint64_t id; /* from 1, never used twice while the daemon runs */
	enum lu_operation_kind kind;
	enum lu_operation_state state;
	uint64_t done, total; /* bytes, of all passes; total 0: not known yet */
	struct timespec since; /* CLOCK_REALTIME: begun or resumed by this daemon */
	/* The unit that got the command, as its lu_config has it; it may be gone. */
	char target[224];
	unsigned int lun;
};
/* [main thread, while no reactor runs] told() hears of each that begins (LU_OPERATION_RUNS) and how it
 * ends, on any thread, a reactor mostly: it must not wait. Of a copy it hears when that has taken a second.
 * NULL: nobody does. */
void lu_watch_operations(void (*told)(const struct lu_operation *o, void *arg), void *arg);
/* [any thread] A number for long work that is no unit's: none of these has it. */
uint64_t lu_operation_number(void);
/* [any thread] Those that run; at most max, and returns how many that is. Copies are here under the unit
 * that got the command. */
unsigned int lu_operations(struct lu *lu, struct lu_operation *out, unsigned int max);
/* [any thread] One that has ended, if it was among the last. */
bool lu_operation_ended(uint64_t id, struct lu_operation *out);
/* [any thread] It ends soon: a SANITIZE or FORMAT UNIT as failed, so that the unit refuses what touches its
 * medium until another one has ended well; a copy as by COPY OPERATION ABORT. False: the unit has none with
 * this id, or it waits for lu_resume(). */
bool lu_cancel_operation(struct lu *lu, uint64_t id);
/* [main thread] No task and no nexus uses it, and lu_stop_job() is over. */
void lu_destroy(struct lu *lu);
struct backstore *lu_backstore(const struct lu *lu);
/* [any thread] By which initiators know it: the NAA designator of INQUIRY. Returns its length, 8 or 16. */
uint8_t lu_naa(const struct lu *lu, uint8_t naa[16]);
const struct lu_stats *lu_stats(const struct lu *lu, unsigned int reactor);
/* [any thread] The latencies of the unit's commands, on all reactors. */
void lu_add_latency(const struct lu *lu, enum latency_stage stage, enum latency_kind kind,
		    struct latency_sum *sum);
/* [one thread at a time] What lu_latency_since() tells begins now. False: no memory. */
bool lu_reset_latency(struct lu *lu);
/* As lu_add_latency(), of what came after that. [not at the same time as that] */
void lu_latency_since(const struct lu *lu, enum latency_stage stage, enum latency_kind kind,
		      struct latency_sum *sum);
/* [any thread] Commands that have come and are not over. */
uint64_t lu_under_way(const struct lu *lu);

/* [any thread] Makes the nexus known: it gets UA_POWER_ON for every LUN, counts for RESERVE and
 * resets. The caller has filled in target, port, initiator_name, isid. */
void nexus_attach(struct nexus *nexus);
/* [owner thread of nexus, attached] What it may do from now on; without this all. When it is called again:
 * commands on LUNs that it does not see any more go on to their end; LUNs that it sees now were switched on
 * just now, all LUNs say that there are others, and those that became read-only, or are so no more, that
 * their mode parameters have changed. Returns how many LUNs have come and gone for it; *first is one of them. */
unsigned int nexus_restrict(struct nexus *nexus, const struct nexus_rights *rights,
			    unsigned int *first);
/* [any thread] */
static inline bool nexus_sees(const struct nexus *nexus, unsigned int lun)
{
	return lun_set_has(&nexus->rights.sees, lun);
}
static inline bool nexus_only_reads(const struct nexus *nexus, unsigned int lun)
{
	return lun_set_has(&nexus->rights.only_reads, lun);
}
/* As target_lu() and target_lu_of(), of LUNs that the nexus sees. */
struct lu *nexus_lu(const struct nexus *nexus, const uint8_t lun[8]);
struct lu *nexus_lu_of(const struct nexus *nexus, const uint8_t lun[8]);
/* [any thread] How much may be done on the unit in a second, by all together; commands that wait take
 * notice within 100 ms. */
void lu_set_limits(struct lu *lu, const struct io_limits *limits);
/* [owner thread] I_T nexus loss: releases its reservations. No task of it is in the SCSI layer. */
void nexus_detach(struct nexus *nexus);

/* [owner thread of task->nexus] Starts the task. Finishes it exactly once by port->done() or a
 * put_data(last). Either may happen before scsi_submit() returns. */
void scsi_submit(struct scsi_task *task);
/* [owner thread] Whether scsi_submit(), if it comes next, would use up all Data-Out of the task before it
 * returns: a WRITE to memory that waits for nothing. The port has filled in its part. */
bool scsi_takes_lent(const struct scsi_task *task);
/* [owner thread of task->nexus] Instead of scsi_submit(), for a task that the port has found an error
 * in and given a status, with task_sense() if that is CHECK CONDITION: it does to other tasks what
 * any task with that status does (ACA, QERR). port->done() comes before this returns. */
void scsi_refuse(struct scsi_task *task);
/* [owner thread] The task shall end soon: sets aborted, drops it from queues and memory waits.
 * done() comes when its backstore request and transfer are back (perhaps before this returns). */
void scsi_abort(struct scsi_task *task);

/* [owner thread] A task that was aborted and hangs in its disk belongs to nobody any more: true; other tasks
 * do not wait for it, and its unit counts it until scsi_detached_back(), which the port calls when done()
 * has come. False: it waits for something else, or (not with `writing`) its request may yet change the
 * medium. */
bool scsi_detach(struct scsi_task *task, bool writing);
void scsi_detached_back(struct scsi_task *task);
/* [owner thread] It waits for the disk of a unit that is between target_remove_lun() and target_drop_lun(). */
bool scsi_on_leaving(const struct scsi_task *task);
/* [any thread] How many there are, and since when (ns, CLOCK_MONOTONIC) the first of them hangs. */
uint32_t lu_detached(const struct lu *lu, uint64_t *since);

/* [owner thread] The initiator of a task that was aborted is told that it is over, though the disk
 * still has it. True: it cannot change the unit any more, and other tasks do not wait for it. */
bool scsi_give_up(struct scsi_task *task);

/* [any thread] The backstore has another size (bs_resize). Commands in flight beyond a smaller one end
 * with an error; every nexus gets UA_CAPACITY_CHANGED. True: the capacity has changed. */
bool lu_resize(struct lu *lu);

/* [owner thread] Whether the task, which may have ended, works on lu: its own unit, or one that it
 * copies from or to. */
bool task_uses(const struct scsi_task *task, const struct lu *lu);

/* Decodes a SAM LUN (single level peripheral and flat addressing). NULL: no such LU. */
struct lu *target_lu(const struct scsi_target *target, const uint8_t lun[8]);
/* The same, and a unit that is leaving is still there: whose a command is that came before. */
struct lu *target_lu_of(const struct scsi_target *target, const uint8_t lun[8]);

/*
 * Live change of a target whose reactors run. All [main thread].
 *
 *	NULL     target_add_lun()     lu: commands find it
 *	lu       target_remove_lun()  leaving: commands find nothing, those that have found it go on
 *	leaving  target_return_lun()  lu: as if nothing had been
 *	leaving  target_drop_lun()    NULL: nobody uses it any more (server_find_users()), and when that is
 *	                              asked once more and still so, the unit is the caller's to destroy
 */
/* The slot is empty. Every nexus finds a unit that was switched on just now: UA_POWER_ON, and with
 * `another` UA_INQUIRY_CHANGED, since another one was there before. */
void target_add_lun(struct scsi_target *target, unsigned int lun, struct lu *lu, bool another);
void target_remove_lun(struct scsi_target *target, unsigned int lun);
void target_return_lun(struct scsi_target *target, unsigned int lun);
struct lu *target_drop_lun(struct scsi_target *target, unsigned int lun);
/* Undoes that: it is leaving again. */
void target_show_lun(struct scsi_target *target, unsigned int lun, struct lu *lu);
/* One more target port. False: there is no room. */
bool target_add_port(struct scsi_target *target, const struct target_port *port);

/* [owner thread of reactor] Something of the unit that belongs to no task is at work there. */
bool lu_busy(const struct lu *lu, const struct reactor *reactor);
/* [any thread] It is between target_remove_lun() and target_drop_lun(). */
bool lu_is_leaving(const struct lu *lu);
/* [owner thread] Says lu_add_user() of the units that are leaving and that the task, which may have ended,
 * works on. since: ns, it came. True: there is one. */
bool task_uses_leaving(const struct scsi_task *task, uint64_t since);
/* [owner thread of nexus] No task of it is left on such units: it forgets their ACA conditions. */
void nexus_forget_leaving(struct nexus *nexus);
/* [any thread] Who looks for users of units leaves here what he has found: nothing yet; commands and
 * functions; lu_busy(). */
void lu_forget_users(struct lu *lu);
void lu_add_user(struct lu *lu, uint64_t since);
void lu_set_busy(struct lu *lu);
/* Whether there is a user of whatever kind; those that scsi_detach() has counted are some, too. */
bool lu_is_used(const struct lu *lu);
/* Commands and functions, without those; *oldest: ns, the first of them came. */
uint32_t lu_users(const struct lu *lu, uint64_t *oldest);
/* [any thread] It is busy until lu_release(). */
void lu_hold(struct lu *lu);
void lu_release(struct lu *lu);
/* The port with this tag; the first when there is none. */
struct target_port *target_port_by_tag(struct scsi_target *target, uint16_t tag);
/* [owner thread] I_T NEXUS RESET, when its tasks were aborted: what a nexus loses with its session, and
 * UA_NEXUS_LOSS on every LUN. */
void nexus_loss(struct nexus *nexus);
/* [any thread] Implicit ALUA: gives the target port group a state. A change raises
 * UA_ACCESS_STATE_CHANGED for every nexus of the target. False: no such group. */
bool target_set_access(struct scsi_target *target, uint16_t tag, enum access_state state);
/* [any thread] The state part of LOGICAL UNIT RESET: reservations go, every nexus gets
 * UA_BUS_DEVICE_RESET, the one that asked for it too (SAM 6.3.3). Aborting tasks is the port's
 * part. */
void lu_reset(struct lu *lu);
/* The reservations of a unit at a moment. */
struct reservation_view {
	bool legacy; /* RESERVE (6) */
	uint8_t type; /* of the persistent one, as on the wire (SPC-5 6.14.3.4); 0: none */
	bool persists; /* APTPL */
	uint32_t generation; /* PRGENERATION */
	char holder[224]; /* initiator; empty: nobody, or all registrants */
	unsigned int registration_count;
	struct registration_view {
		char initiator[224];
		uint8_t isid[6];
		uint16_t port; /* relative target port */
		uint64_t key;
		bool holds;
	} registrations[];
};
/* [any thread] The caller free()s it; NULL: no memory. */
struct reservation_view *lu_view_reservations(struct lu *lu);
/* [any thread] Reservations and registrations go, and their owners hear of it by
 * UA_RESERVATIONS_PREEMPTED. done(0 or -errno, arg) on the reactor, when the store knows it, too. -ENOMEM:
 * it will not be called. The unit stays until then: lu_busy(). */
int lu_clear_reservations(struct lu *lu, struct scsi_target *target, struct reactor *reactor,
			  void (*done)(int res, void *arg), void *arg);
/* [any thread] */
void lu_raise_ua(struct lu *lu, enum unit_attention ua, const struct nexus *except);
/* [any thread; the nexus is attached] For one nexus, wherever it sees lu. */
void nexus_raise_ua(struct nexus *nexus, const struct lu *lu, enum unit_attention ua);
/* [any thread] QUERY ASYNCHRONOUS EVENT: whether a unit attention condition waits for the nexus on this
 * LUN; then info is the additional response information of SAM 7.10. It stays. */
bool unit_attention_pending(const struct nexus *nexus, const uint8_t lun[8], uint8_t info[3]);
/* [any thread] The sense data of a condition, at most SENSE_MAX bytes, in the format that lu's Control
 * page asks for; NULL: the fixed one. Returns its length. */
uint32_t unit_attention_sense(const struct lu *lu, enum unit_attention ua, uint8_t *sense);
/* [owner thread of nexus] Ends an ACA condition (SAM 5.9.2), wherever the nexus sees lu; NULL: on all
 * its LUNs. Aborting the command with the ACA attribute is the port's part. */
void nexus_clear_aca(struct nexus *nexus, const struct lu *lu);
/* [any thread] TAS: tasks that another nexus aborts end with TASK ABORTED. */
bool lu_reports_aborted(const struct lu *lu);

enum { KEY_ILLEGAL_REQUEST = 0x05, KEY_ABORTED_COMMAND = 0x0b };

/* Sense for the port's own errors (ABORTED COMMAND etc.), in the format that the unit's Control page
 * asks for. Before scsi_submit(), too. */
void task_sense(struct scsi_task *task, uint8_t key, uint8_t asc, uint8_t ascq);

#endif
