// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the files of session/ share.
 *
 *   server          the daemon's iSCSI side: portals, registry of sessions
 *   reactor_state   what one reactor owns: its connections, sessions, pools (no locks)
 *   iconn           one connection: RFC 7143 8.1
 *   session         one session = one I_T nexus: RFC 7143 8.2, command window
 *   command         one SCSI command in execution
 *
 * Threads: everything but struct server belongs to one reactor and is touched on its thread only.
 * Lock order: server->lock is a leaf; with it held nothing is called but reactor_post().
 */
#ifndef RISER_SESSION_INTERNAL_H
#define RISER_SESSION_INTERNAL_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/pool.h"
#include "session.h"
#include "session/connection_state.h"
#include "session/exports.h"
#include "session/login.h"
#include "session/session_state.h"
#include "session/login_failures.h"

enum {
	PORTALS_MAX = 64,
	TRANSPORTS_MAX = SERVER_TRANSPORTS, /* in one server */
	REGISTRY_BUCKETS = 256,
	ITT_BUCKETS = 64,
	IMMEDIATE_MAX = 32, /* immediate commands under way in one session; more are rejected */
	TMF_MAX = 32, /* task management functions under way in one session */
	/* Answers outside the command window that a connection has not taken yet. One receive of
	 * the transport brings some hundred requests at most; beyond that nobody reads. */
	REPLIES_MAX = 1024,
	REPLY_BYTES_MAX = 8 << 20,
	RETAIN_MAX_S = 300, /* that tasks of a lost connection are kept, whatever was negotiated */
	LOST_CIDS_MAX = 16, /* lost connections that a session remembers; the oldest goes first */
	STOP_LOGOUT_S = 2, /* initiators are given that long to log out at a stop */
	TMF_TIMEOUT_S = 5, /* a task management function is answered by then, come what may */
};

/* One address, served over one or more transports. */
struct portal {
	struct portal_address address;
	uint16_t tag; /* of its portal group */
	struct {
		const struct transport_ops *transport;
		struct listener *listener;
	} listeners[TRANSPORTS_MAX];
	unsigned int listener_count;
	struct redirect redirect; /* server_redirect() */
};

/* What went over one transport on one reactor; payload bytes. Read by anyone. */
struct traffic {
	const struct transport_ops *_Atomic transport; /* NULL: the entry is free */
	_Atomic uint64_t open, closed; /* connections: that there are, that were closed */
	_Atomic uint64_t bytes_copied; /* iconn.copied of all, those that are closed too */
	_Atomic uint64_t read_bytes, write_bytes; /* of sessions that are gone */
};

/* What one reactor counts, read by anyone: see struct server_counts. */
struct counters {
	_Atomic uint64_t logins, redirected, lost, digest_errors;
	_Atomic uint64_t refusals[REFUSALS], sense[SENSE_KEYS], functions[TASK_FUNCTIONS];
	_Atomic uint64_t rejects[REJECTS];
};

struct server;

/* Owned by one reactor's thread. */
struct reactor_state {
	struct server *server;
	struct reactor *reactor;
	struct pool commands, replies, held, recoveries;
	const _Atomic bool *short_of_memory; /* the slab's: somebody waits for a buffer */
	uint32_t long_max; /* bytes of long commands that a session may have under way */
	uint64_t kept_bytes; /* buffers of session.kept_bytes, of all sessions */
	/* Tasks of all sessions that wait for TASK REASSIGN with memory of theirs: recovery.pinned_node,
	 * oldest first, and how many bytes that is at most. */
	struct list pinned;
	uint64_t pinned_bytes;
	struct work shed_work; /* those are too many */
	struct list connections; /* iconn.node */
	struct list unauthenticated; /* iconn.login_node, longest without a step first */
	struct list sessions; /* session.reactor_node */
	struct list detached; /* the same, of those that have nothing but what hangs (detach.c) */
	uint64_t sessions_gone; /* that were on it */
	struct list abort_waits; /* abort_wait.node */
	uint64_t aborts; /* counts aborted commands; tells which ones a wait covers */
	uint32_t unauthenticated_count;
	bool draining;
	struct work drain_work, statistics_work;
	_Atomic bool statistics_posted;
	struct traffic traffic[TRANSPORTS_MAX];
	struct counters counters;
	struct capturing *capturing; /* what of this reactor is captured; NULL: nothing */
	struct timer drain_timer, evict_timer;
	uint64_t drain_deadline, logout_deadline;
};

struct server {
	struct server_config cfg;
	struct exports first_exports; /* of cfg */
	struct reactor_state *reactors; /* cfg.reactor_count */
	_Atomic uint32_t connections;
	_Atomic uint32_t failed; /* sessions that wait for a connection */
	_Atomic uint32_t detached; /* commands that hang and belong to nobody */
	_Atomic bool stopping, stopping_now;
	_Atomic uint32_t draining; /* reactors that still drain */
	struct work unlisten_work;
	void (*stopped)(void *arg);
	void *stopped_arg;
	uint32_t drain_ms;

	struct login_failures login_failures; /* has a leaf lock of its own */

	pthread_mutex_t lock; /* what is exported, and where: */
	struct exports *exports; /* what logins see; holds one of its users */
	struct portal portals[PORTALS_MAX];
	unsigned int portal_count;
	/* and the registry: */
	struct list registry[REGISTRY_BUCKETS]; /* session.registry_node by name and ISID */
	struct session *by_tsih[65536];
	uint16_t last_tsih;
};

/* What took a StatSN at error recovery level 1 and up, until ExpStatSN acknowledges it. */
struct numbered {
	struct list node; /* iconn.unacked */
	struct command *command; /* whose status it is; NULL: a struct reply */
	uint32_t statsn;
	uint64_t since; /* ns: it was queued; 0: on a connection before the last one of its CID */
};

/* What becomes of the tasks of a connection that ends. */
enum iconn_tasks {
	TASKS_UNDECIDED, /* nobody said: the way in which it ends decides */
	TASKS_REASSIGN, /* Logout for recovery, or a new login with its CID at level 2 */
	TASKS_ABORT, /* Logout, or a new login with its CID at levels 0 and 1 */
};

struct iconn {
	struct list node; /* reactor_state.connections */
	struct list login_node; /* reactor_state.unauthenticated while not logged in */
	uint64_t login_step; /* ns: accepted, or the last Login Request */
	struct list session_node; /* session.conns, from CONN_LOGGED_IN to closed() */
	struct conn *conn;
	struct reactor_state *rs;
	enum iconn_state state;
	struct session *session; /* from CONN_LOGGED_IN on */
	uint16_t cid;
	uint32_t statsn; /* next StatSN */
	uint32_t restart_expstatsn; /* of the first Login Request, about the old connection */
	struct timer timer; /* login deadline, then the keep-alive tick */

	/* login */
	struct login_state *login;
	enum login_status refusal; /* due when the timer fires; 0: none */
	struct bhs_login_request refused; /* what it answers */
	/* waiting for an old session to go */
	struct list reinstate_node; /* session.reinstate_waiters, under server->lock */
	struct work reinstate_work;
	bool reinstate_waiting; /* under server->lock */
	bool reinstate_posted; /* under server->lock: reinstate_work is under way */
	bool gone; /* closed() came; free when reinstate_work has run */
	/* waiting for a connection of this session with the same CID to go */
	struct list join_node; /* session.joiners */
	struct session *joining; /* NULL: it does not */
	bool moved; /* another reactor goes on with it */

	/* full feature phase */
	struct text_exchange *text;
	struct text_env *text_env;
	uint32_t replies, reply_bytes; /* struct reply with the transport */
	uint64_t pdus_in_seen, bytes_out_seen; /* counters at the last tick that saw them move */
	uint64_t last_heard, last_read; /* ns: the peer sent a PDU, the peer took bytes of ours */
	uint64_t last_data; /* ns: Data-Out of some command was complete */
	uint64_t last_tick; /* ns: when the timer was at work */
	uint64_t copied; /* of conn->bytes_copied: what traffic_look() has seen */
	bool nop_outstanding;
	uint32_t nop_ttt;
	struct list unacked; /* struct numbered, by StatSN; empty at error recovery level 0 */
	uint64_t pinged; /* ns: the last NOP-In that wants an answer */
	enum iconn_tasks tasks;
	struct history history;
};

/* In full feature phase: PDUs go both ways. */
static inline bool iconn_up(const struct iconn *ic)
{
	return ic->state == CONN_LOGGED_IN || ic->state == CONN_LOGOUT_REQUESTED;
}

/* The connection has not begun to end. */
static inline bool iconn_live(const struct iconn *ic)
{
	return ic->state < CONN_CLOSING;
}

struct session {
	struct list registry_node; /* under server->lock */
	struct list reactor_node;
	struct list reinstate_waiters; /* iconn.reinstate_node, under server->lock */
	struct server *server;
	struct reactor_state *rs;
	const struct transport_ops *transport; /* of all its connections */
	enum session_state state;
	struct list conns; /* iconn.session_node: its connections, oldest first */
	struct list joiners; /* iconn.join_node: wait for one of those to go */
	struct list leaving; /* struct leaving: Logout Requests that wait for that (logout.c) */
	struct list lost_cids; /* struct lost_cid, oldest first: error recovery level 2 (loss.c) */
	struct login_result who; /* target and user: changed under server->lock */
	struct exports *exports; /* that who.target and who.user are of; one of its users */
	uint16_t tsih;
	uint64_t since; /* ns: it began */
	struct nexus nexus; /* attached iff who.type is SESSION_NORMAL */

	/* command window, RFC 7143 4.2.2.1 */
	uint32_t expcmdsn, maxcmdsn;
	struct list held; /* struct held, by CmdSN: arrived out of order */
	uint32_t immediate; /* immediate commands under way */
	uint32_t loose; /* commands that gave back their slot but still exist */
	uint32_t owed; /* slots of the window that come back when there are fewer of those */
	uint32_t withheld; /* that come back when memory is there again: flow.c */
	/* long commands, flow.c */
	uint32_t long_bytes; /* of those under way */
	struct list parked; /* command.parked: wait until there are fewer */
	uint32_t parked_count, parked_ordered; /* of them ORDERED */
	struct work unpark_work;

	uint32_t kept_bytes; /* buffers of Data-In that a SNACK may ask for again */
	uint32_t ack_ttt; /* of the last Data-In that asked for a DataACK */

	struct command *by_itt[ITT_BUCKETS];
	struct list commands; /* command.node: all that exist, oldest first */
	uint32_t command_count; /* but for those that only wait for ExpStatSN */
	struct list detached; /* command.node: hang, and belong to nobody any more (detach.c) */
	struct list tmfs; /* struct tmf: functions under way */
	uint32_t tmf_count; /* TMFs and abort_jobs that will come back to us */

	bool dying; /* SESSION_ENDING: no new work */
	bool watched; /* somebody waits for the end of commands: session_watched() */
	struct work progress_work;
	bool kill_posted, kill_ran; /* under server->lock */
	struct work kill_work;
	struct timer linger; /* it has ended, its commands have not */
	bool told_of_writes; /* the log says what it waits for */
	bool unregistered; /* nothing but what is detached is left of it */
	bool freeing;
	struct work free_work; /* deferred so that callers up the stack are through */
	struct session_stats stats;
	struct history history;
};

/* Something that holds a place in the CmdSN order. */
struct held {
	struct list node;
	uint32_t cmdsn;
	struct command *command; /* a SCSI command, or */
	struct iconn *ic; /* where another request came in; */
	struct pdu pdu; /* that request, data in buf; or */
	struct buf *buf;
	bool skip; /* nothing: ABORT TASK named this CmdSN before it came */
};

struct abort_job;
struct recovery; /* session/recovery.h */

/* What each command touches comes first, so that it is few cache lines. */
struct command {
	struct session *session;
	struct iconn *ic; /* its allegiance (RFC 7143 4.2.5); NULL: that connection is gone */
	struct recovery *kept; /* NULL: error recovery level 0 */
	struct command *itt_next;
	struct list node; /* session.commands, or its detached */
	uint32_t itt, cmdsn;
	uint16_t cid; /* with ic NULL: of the connection that is gone */
	uint64_t aborted_at; /* the reactor's count of aborts, DETACHED; 0: not aborted, or over */
	struct abort_job *job; /* the task waits for the end of others: abort_tasks() */
	bool reports; /* aborted, and answers TASK ABORTED */
	bool past_medium; /* aborted while its Data-In was on the way: it will not go on */
	bool no_memory; /* for what io_work ends */
	bool immediate;
	bool submitted; /* the SCSI layer has it */
	bool receiving; /* unsolicited data is being collected */
	bool held; /* waits for its turn in CmdSN order */
	bool in_window; /* holds a slot: ExpCmdSN has passed it, MaxCmdSN has not moved for it */
	bool loose; /* had one */
	uint8_t flow; /* enum flow_share */
	bool answered; /* status is queued (or never will be): only the transport holds it */
	bool moving; /* transfer is with the transport */
	uint8_t early_status; /* found before execution, with sense if there is any; 0: none */
	uint8_t *first_data;
	uint64_t data_since; /* ns: get_data under way since; 0 = none */
	uint64_t arrived; /* ns */
	/* ns: the transport has data or the answer since, and without that had data for so long. */
	uint64_t moves_since, moved_ns;
	struct work io_work; /* io_done that may not be called from inside */
	struct transfer xfer; /* its remote is the command's, from birth on */
	struct scsi_task task;
	/* Not cleared for a new command, nor is the end of task: written before it is used. */
	struct list parked; /* session.parked */
	struct tx_pdu response;
	uint8_t response_data[2 + SENSE_MAX];
};

/* A PDU of ours that is no SCSI response and no Data-In. */
struct reply {
	struct tx_pdu tx;
	struct iconn *ic;
	struct buf *buf;
	struct numbered number;
	bool kept; /* until ExpStatSN acknowledges number */
	bool out; /* with the transport */
	bool again; /* a SNACK wants it when it is back */
	uint8_t small[128];
};

/* server.c */
/* The answer of session_register(). */
enum register_result {
	REGISTERED,
	REGISTER_WAIT,
	REGISTER_NO_TSIH,
	REGISTER_FORBIDDEN, /* what is exported has changed meanwhile */
};
enum register_result session_register(struct session *s, struct iconn *waiter);
void session_unregister(struct session *s);
/* The session that a Login with TSIH != 0 names, of this reactor; or why that is refused. */
enum login_status server_find_session(struct reactor_state *rs, const struct login_result *who,
				      struct session **out);
/* Where the session with this TSIH lives now; NULL: nowhere. */
struct reactor_state *server_home_of(struct server *server, uint16_t tsih);
/* Limits that server_set_limits() changes. */
#define limit_in(limits, name) __atomic_load_n(&(limits)->name, __ATOMIC_RELAXED)
#define limit_of(server, name) limit_in(&(server)->cfg.limits, name)

struct reactor_state *reactor_state_of(struct server *server, const struct reactor *r);
bool address_is_wildcard(const struct sockaddr_storage *ss);
/* stop.c */
void reactor_drain_check(struct reactor_state *rs);
/* Run as reactor_state.drain_work and drain_timer. */
void drain_begin(struct work *work);
void drain_tick(struct timer *t);

/* statistics.c */
/* Every connection is announced when it comes, and its traffic kept when it goes. */
void traffic_opened(struct reactor_state *rs, const struct conn *conn);
void traffic_closed(struct iconn *ic);
/* What was copied for it meanwhile. */
void traffic_look(struct iconn *ic);
/* One that is not registered any more. */
void traffic_of_session(const struct session *s);
/* Runs as reactor_state.statistics_work. */
void log_statistics(struct work *work);

/* counts.c */
void count_refusal(struct reactor_state *rs, enum login_status status);
/* A connection that has not logged in is closed: it took too long, or there are too many. */
enum newcomer_end { NEWCOMER_LATE, NEWCOMER_CROWDED };
void count_newcomer_end(struct reactor_state *rs, enum newcomer_end why);
void count_function(struct reactor_state *rs, uint8_t function);
void count_reject(struct reactor_state *rs, enum reject_reason reason);
/* The task's CHECK CONDITION goes to its initiator. */
void count_sense(struct reactor_state *rs, const struct scsi_task *task);

/* connection.c */
/* Moves the state machine. */
void iconn_event(struct iconn *ic, enum iconn_event event);
/* The connection ends, for a reason that makes it a lost one. Idempotent. */
void iconn_close(struct iconn *ic, bool flush);
/* The same in good order: its session was closed, or it makes room for a new one. */
void iconn_end(struct iconn *ic, bool flush);
/* What it waited for in CONN_ESTABLISHING has come. */
void iconn_go_on(struct iconn *ic);
void iconn_dispatch(struct iconn *ic, struct pdu *pdu);
void iconn_reinstated(struct work *work);

/* address.c */
/* Whether an initiator that has reached us at local could use this portal. */
bool address_tellable(const struct sockaddr_storage *portal, const struct sockaddr_storage *local);
/* The portal as TargetAddress has it for this initiator, without the portal group tag; size 64 is
 * enough. */
void address_as_target(const struct sockaddr_storage *portal, const struct sockaddr_storage *local,
		       char *out, size_t size);

/* session.c */
struct session *session_new(struct iconn *ic, const struct login_result *who);
/* One that was not registered. */
void session_discard(struct session *s);
void session_event(struct session *s, enum session_event event);
/* live.c: its nexus gets the rights that its target has for it now. */
void session_apply_rights(struct session *s);
void session_add_connection(struct session *s, struct iconn *ic);
/* A connection that takes PDUs of ours, NULL: there is none. */
struct iconn *session_any_connection(const struct session *s);
/* The session is over, and its connections with it. flush: what is queued on them goes out first.
 * Commands of lost connections may be freed before it returns. */
void session_end(struct session *s, enum session_event why, bool flush);
/* Everything is back: frees an ended session soon. */
void session_check_dead(struct session *s);
void session_kill(struct work *work);
enum cmdsn_verdict { CMDSN_NOW, CMDSN_HOLD, CMDSN_IGNORE };
/* What CmdSN says of a non-immediate request; the caller advances ExpCmdSN on CMDSN_NOW. */
enum cmdsn_verdict session_cmdsn(const struct session *s, uint32_t cmdsn);
enum hold_result { HELD, HELD_ALREADY, HELD_NO_MEMORY };
enum hold_result session_hold(struct session *s, uint32_t cmdsn, struct command *c,
			      struct iconn *ic, struct pdu *pdu);
bool session_skip_cmdsn(struct session *s, uint32_t cmdsn);
void session_release_held(struct session *s);
void session_drop_held(struct session *s);
void session_unhold(struct session *s, const struct command *c);
void session_discard_held(struct session *s, const struct iconn *ic);
/* c needs its slot no more; the second, when c ceases to exist. */
void session_leave_window(struct command *c);
void session_forget_slot(struct command *c);

/* join.c: more connections of a session (RFC 7143 6.3.1, 6.3.4) */
/* The first PDU of a connection, a Login Request. True: its session is of another reactor, and the
 * connection goes there. */
bool join_elsewhere(struct iconn *ic, const struct bhs_login_request *req);
/* The negotiation of a Login with TSIH != 0 is through. */
void join_session(struct iconn *ic);
/* A connection that waited to join is gone. */
void join_gave_up(struct iconn *ic);
/* Those that wait for nothing any more go on. */
void join_progress(struct session *s);

/* loss.c: connections that end, and what remains of them */
/* The transport has returned every PDU and transfer. */
void session_lost_connection(struct session *s, struct iconn *ic);
/* A session without connections ends, or waits. */
void session_settle(struct session *s);
/* A connection with this CID, or its aborted tasks, are still there. */
bool session_cid_busy(const struct session *s, uint16_t cid);
/* Of ic, NULL: of all connections; those that wait for their turn go with the connection. Commands may
 * be freed before it returns. */
void session_abort_tasks(struct session *s, const struct iconn *ic);
/* It was aborted, and the SCSI layer, a disk or the transport has it still. */
bool session_not_back(const struct command *c);
struct iconn *session_find_cid(const struct session *s, uint16_t cid);
/* Whether tasks of a lost connection are kept for this CID; ready: they may be reassigned. */
bool session_lost_cid(const struct session *s, uint16_t cid, bool *ready);
/* A Logout for recovery, or a Login with it, has made them ready. again: their time starts anew.
 * False: there are none. */
bool session_cid_logged_out(struct session *s, uint16_t cid, bool again);
/* The initiator has the status of those that the last connection with this CID sent before expstatsn
 * (RFC 7143 11.12.9). */
void session_cid_acknowledged(struct session *s, uint16_t cid, uint32_t expstatsn);
/* They are wanted no more: aborts them. False: there are none. */
bool session_forget_cid(struct session *s, uint16_t cid);
void session_forget_cids(struct session *s);
/* Commands or connections that somebody waits for are gone. */
void session_watched(struct session *s);
void session_progress(struct work *work);

/* logout.c: RFC 7143 11.14 */
void logout_received(struct iconn *ic, struct pdu *pdu);
void logout_progress(struct session *s);
/* ic cannot be answered any more. */
void logout_lost_connection(struct session *s, const struct iconn *ic);

/* command.c */
void command_received(struct iconn *ic, struct pdu *pdu);
/* Its turn has come, or its unsolicited data, or both. */
void command_start(struct command *c);
/* There is memory for it, too. */
void command_submit(struct command *c);
void command_transfer_done(struct transfer *t);
struct command *command_find(const struct session *s, uint32_t itt);
/* May free c before it returns. report: it answers TASK ABORTED, when it is over. */
void command_abort(struct command *c, bool report);
/* c was aborted and its disk does not give it back: frees its tag, and its slot if there are not
 * too many of its kind. */
void command_abandon(struct command *c);

/* recovery.c: error recovery levels 1 and 2 (RFC 7143 7) */
void recovery_init(struct reactor_state *rs, size_t commands);
/* Every PDU of the initiator says what it has got. May free commands and replies. */
void recovery_acknowledged(struct iconn *ic, uint32_t expstatsn);
static inline void recovery_acknowledge(struct iconn *ic, uint32_t expstatsn)
{
	if (__builtin_expect(!list_empty(&ic->unacked), 0))
		recovery_acknowledged(ic, expstatsn);
}
/* The connection ends for good: what was kept for it, but for the status of commands, is dropped.
 * Before or after its commands are suspended or aborted. */
void recovery_release(struct iconn *ic);
/* Why the connection has to go, or NULL. May send a NOP-In to make ExpStatSN move. */
const char *recovery_overdue(struct iconn *ic, uint64_t now);

/* recovery_reassign.c: connection recovery, level 2 (RFC 7143 7.2.2) */
/* ic is gone, everything of it has come back: its commands stay and wait for TASK REASSIGN. */
void recovery_suspend(struct session *s, struct iconn *ic);
/* Aborts those of this CID that still wait. */
void recovery_expire(struct session *s, uint16_t cid);
/* TASK REASSIGN came in on ic; the response. With TMF_RSP_COMPLETE the task belongs to ic, and goes
 * on when recovery_resume() is called: after the TMF Response went to the transport. */
uint8_t recovery_reassign(struct iconn *ic, const struct bhs_tmf_request *req);
void recovery_resume(struct iconn *ic);
/* ABORT TASK names a task of a lost connection that was answered: its status is sent again on ic,
 * before the TMF Response (RFC 7143 11.5.1). False: there is no such task. */
bool recovery_reissue(struct iconn *ic, uint32_t itt);

/* snack.c: RFC 7143 11.16 */
void snack_received(struct iconn *ic, const struct pdu *pdu);

/* task_management.c */
void tmf_received(struct iconn *ic, struct pdu *pdu);
/* Nobody is there to whom the functions of ic could be answered. */
void tmf_lost_connection(struct session *s, const struct iconn *ic);
/* The initiator has answered a NOP-In of ours. */
void tmf_nop_answered(struct session *s, const struct iconn *ic, uint32_t ttt);

/* query.c */
/* QUERY TASK, QUERY TASK SET, QUERY ASYNCHRONOUS EVENT: the response, and with the last, when it is
 * TMF_RSP_SUCCEEDED, the additional response information. */
uint8_t tmf_query(const struct session *s, const struct bhs_tmf_request *req, uint8_t info[3]);

/* async.c */
/* An Asynchronous Message on ic, when it takes PDUs; sense data only with ASYNC_SCSI. May close ic, as
 * everything that sends may. */
void async_event(struct iconn *ic, uint8_t event, uint8_t vcode, uint16_t p1, uint16_t p2,
		 uint16_t p3, const void *sense, uint32_t len);
/* This LUN is there now, or is not any more, for this session only. */
void async_luns_changed(struct session *s, unsigned int lun);
/* On each connection. */
void async_to_session(struct session *s, uint8_t event, uint16_t p1, uint16_t p2, uint16_t p3);
/* We end a connection, or a session, for a reason of our own: the initiator hears of it first. */
void async_drop(struct iconn *ic);
void async_drop_session(struct session *s);

/* events.c */
void event_login(const struct iconn *ic, const struct session *s);
/* reason: refusal_name() or refusal_of(). */
void event_login_failed(const struct iconn *ic, const char *reason, const char *why);
/* ic: where it happened; NULL: nowhere in particular. */
void event_session(const struct session *s, const struct iconn *ic, enum server_event_type type,
		   const char *reason, const char *text);
/* If it is a reset at all. */
void event_reset(const struct iconn *ic, const struct bhs_tmf_request *req);
void event_lun(struct server *server, const struct scsi_target *target, unsigned int lun,
	       enum unit_attention ua);

/* reply.c */
struct reply *reply_new(struct iconn *ic, uint8_t opcode);
/* Copies len bytes into the reply; false: no memory. */
bool reply_data(struct reply *rp, const void *data, uint32_t len);
/* Sends; consume: takes a StatSN. */
void reply_send(struct reply *rp, bool consume);
/* One that is kept, for a Status SNACK; now, or when it is back. False: that was so already. */
bool reply_send_again(struct reply *rp);
void reply_acknowledged(struct reply *rp);
void send_reject(struct iconn *ic, const union pdu_header *bad, enum reject_reason reason);
void nop_out_received(struct iconn *ic, struct pdu *pdu);
void nop_in_ping(struct iconn *ic);
/* Tells the window to an initiator that no other answer will tell. */
void nop_in_window(struct iconn *ic);
void text_received(struct iconn *ic, struct pdu *pdu);

/* expcmdsn/maxcmdsn as they go into every response. */
static inline void fill_window(const struct session *s, struct be32 *expcmdsn,
			       struct be32 *maxcmdsn)
{
	*expcmdsn = be32_of(s->expcmdsn);
	*maxcmdsn = be32_of(s->maxcmdsn);
}

#endif
