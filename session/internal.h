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

#include "core/pool.h"
#include "session.h"
#include "session/login.h"

enum {
	PORTALS_MAX = 64,
	TRANSPORTS_MAX = 4, /* in one server */
	REGISTRY_BUCKETS = 256,
	ITT_BUCKETS = 64,
	IMMEDIATE_MAX = 32, /* immediate commands under way in one session; more are rejected */
	TMF_MAX = 32, /* task management functions under way in one session */
	/* Answers outside the command window that a connection has not taken yet. One receive of
	 * the transport brings some hundred requests at most; beyond that nobody reads. */
	REPLIES_MAX = 1024,
	REPLY_BYTES_MAX = 8 << 20,
	TMF_TIMEOUT_S = 5, /* a task management function is answered by then, come what may */
};

struct session_stats {
	_Atomic uint64_t commands, read_bytes, write_bytes, rejects, tmfs, aborts;
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
};

/* What went over one transport on one reactor; payload bytes. */
struct traffic {
	const struct transport_ops *transport; /* NULL: the entry is free */
	uint64_t connections; /* all that were closed */
	uint64_t read_bytes, write_bytes, bytes_copied; /* of those */
};

struct server;

/* Owned by one reactor's thread. */
struct reactor_state {
	struct server *server;
	struct reactor *reactor;
	struct pool commands, replies, held;
	struct list connections; /* iconn.node */
	struct list unauthenticated; /* iconn.login_node, oldest first */
	struct list sessions; /* session.reactor_node */
	struct list abort_waits; /* abort_wait.node */
	uint64_t aborts; /* counts aborted commands; tells which ones a wait covers */
	uint32_t unauthenticated_count;
	bool draining;
	struct work drain_work, statistics_work;
	_Atomic bool statistics_posted;
	struct traffic traffic[TRANSPORTS_MAX];
	struct timer drain_timer;
	uint64_t drain_deadline;
};

struct server {
	struct server_config cfg;
	struct portal portals[PORTALS_MAX];
	unsigned int portal_count;
	struct reactor_state *reactors; /* cfg.reactor_count */
	_Atomic uint32_t connections;
	_Atomic bool stopping;
	_Atomic uint32_t draining; /* reactors that still drain */
	struct work unlisten_work;
	void (*stopped)(void *arg);
	void *stopped_arg;
	uint32_t drain_ms;

	pthread_mutex_t lock; /* the registry: */
	struct list registry[REGISTRY_BUCKETS]; /* session.registry_node by name and ISID */
	struct session *by_tsih[65536];
	uint16_t last_tsih;
};

/* RFC 7143 8.1.3, the target's states that we have. */
enum iconn_state {
	CONN_XPT_UP, /* S3: nothing received yet */
	CONN_IN_LOGIN, /* S4 */
	CONN_ESTABLISHING, /* S4: negotiation done, an old session is being reinstated */
	CONN_LOGGED_IN, /* S5 */
	CONN_IN_LOGOUT, /* S6: Logout was answered; everything else is dropped */
	CONN_CLEANUP, /* S8: conn_close() was called or the peer is gone */
};

struct iconn {
	struct list node; /* reactor_state.connections */
	struct list login_node; /* reactor_state.unauthenticated while not logged in */
	struct list session_node; /* session.conns, from CONN_LOGGED_IN to closed() */
	struct conn *conn;
	struct reactor_state *rs;
	enum iconn_state state;
	struct session *session; /* from CONN_LOGGED_IN on */
	uint16_t cid;
	uint32_t statsn; /* next StatSN */
	struct timer timer; /* login deadline, then the keep-alive tick */

	/* login */
	struct login_state *login;
	/* waiting for an old session to go */
	struct list reinstate_node; /* session.reinstate_waiters, under server->lock */
	struct work reinstate_work;
	bool reinstate_waiting; /* under server->lock */
	bool reinstate_posted; /* under server->lock: reinstate_work is under way */
	bool gone; /* closed() came; free when reinstate_work has run */

	/* full feature phase */
	struct text_exchange *text;
	struct text_env *text_env;
	uint32_t replies, reply_bytes; /* struct reply with the transport */
	uint64_t pdus_in_seen, bytes_out_seen; /* counters at the last tick that saw them move */
	uint64_t last_heard, last_read; /* ns: the peer sent a PDU, the peer took bytes of ours */
	uint64_t last_data; /* ns: Data-Out of some command was complete */
	uint64_t last_tick; /* ns: when the timer was at work */
	bool nop_outstanding;
	uint32_t nop_ttt;
};

struct session {
	struct list registry_node; /* under server->lock */
	struct list reactor_node;
	struct list reinstate_waiters; /* iconn.reinstate_node, under server->lock */
	struct server *server;
	struct reactor_state *rs;
	struct list conns; /* iconn.session_node: its connections, oldest first */
	struct login_result who;
	uint16_t tsih;
	struct nexus nexus; /* attached iff who.type is SESSION_NORMAL */

	/* command window, RFC 7143 4.2.2.1 */
	uint32_t expcmdsn, maxcmdsn;
	struct list held; /* struct held, by CmdSN: arrived out of order */
	uint32_t immediate; /* immediate commands under way */
	uint32_t loose; /* commands that gave back their slot but still exist */
	uint32_t owed; /* slots of the window that come back when there are fewer of those */

	struct command *by_itt[ITT_BUCKETS];
	struct list commands; /* command.node: all that exist, oldest first */
	uint32_t command_count;
	struct list tmfs; /* struct tmf: functions under way */
	uint32_t tmf_count; /* TMFs and abort_jobs that will come back to us */

	bool dying; /* the last connection is gone: no new work */
	bool kill_posted, kill_ran; /* under server->lock */
	struct work kill_work;
	bool freeing;
	struct work free_work; /* deferred so that callers up the stack are through */
	struct session_stats stats;
};

/* Something that holds a place in the CmdSN order. */
struct held {
	struct list node;
	uint32_t cmdsn;
	struct command *command; /* a SCSI command, or */
	struct iconn *ic; /* where another request came in, NULL: it is gone; */
	struct pdu pdu; /* that request, data in buf; or */
	struct buf *buf;
	bool skip; /* nothing: ABORT TASK named this CmdSN before it came */
};

struct abort_job;

struct command {
	/* first cache lines: what each I/O touches */
	struct scsi_task task;
	struct session *session;
	struct iconn *ic; /* its allegiance (RFC 7143 4.2.5); NULL: that connection is gone */
	struct command *itt_next;
	struct list node; /* session.commands */
	uint32_t itt, cmdsn;
	uint64_t aborted_at; /* the reactor's count of aborts; 0: not aborted, or over */
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
	bool answered; /* status is queued (or never will be): only the transport holds it */
	bool moving; /* transfer is with the transport */
	uint8_t early_status; /* found before execution, with sense if there is any; 0: none */
	uint8_t *first_data;
	uint64_t data_since; /* ns: get_data under way since; 0 = none */
	struct work io_work; /* io_done that may not be called from inside */
	struct transfer xfer; /* its remote is the command's, from birth on */
	struct tx_pdu response;
	uint8_t response_data[2 + SENSE_MAX];
};

/* A PDU of ours that is no SCSI response and no Data-In. */
struct reply {
	struct tx_pdu tx;
	struct iconn *ic;
	struct buf *buf;
	uint8_t small[128];
};

/* Aborted commands that someone waits for. */
struct abort_wait {
	struct list node; /* reactor_state.abort_waits */
	const struct session *session; /* NULL: every session of the reactor */
	const struct lu *lu; /* NULL: every LUN of the session's target */
	const struct scsi_target *target; /* with session NULL */
	const struct command *command; /* NULL: all that match */
	bool aca; /* only the command with the ACA attribute */
	bool medium; /* not those that are past_medium */
	uint64_t limit; /* only commands that were aborted by then */
	uint32_t remaining;
	void (*done)(struct abort_wait *wait);
};

/* server.c */
/* The answer of session_register(). */
enum register_result { REGISTERED, REGISTER_WAIT, REGISTER_NO_TSIH };
enum register_result session_register(struct session *s, struct iconn *waiter);
void session_unregister(struct session *s);
/* LOGIN_SUCCESS, or why a Login with TSIH != 0 is refused. */
enum login_status server_check_tsih(struct server *server, const struct login_result *who);
struct reactor_state *reactor_state_of(struct server *server, const struct reactor *r);
bool address_is_wildcard(const struct sockaddr_storage *ss);
/* The portal group where the connection came in; 1 when it came by no portal. */
uint16_t server_tag_of(const struct server *server, const struct conn *conn);

/* stop.c */
void reactor_drain_check(struct reactor_state *rs);
/* Run as reactor_state.drain_work and drain_timer. */
void drain_begin(struct work *work);
void drain_tick(struct timer *t);

/* statistics.c */
/* Every connection is announced when it comes, and its traffic kept when it goes. */
void traffic_opened(struct reactor_state *rs, const struct conn *conn);
void traffic_closed(struct iconn *ic);
/* Runs as reactor_state.statistics_work. */
void log_statistics(struct work *work);

/* connection.c */
void iconn_close(struct iconn *ic, bool flush);
void iconn_dispatch(struct iconn *ic, struct pdu *pdu);
void iconn_reinstated(struct work *work);

/* login_drive.c */
void login_drive(struct iconn *ic, struct pdu *pdu);
void login_drive_refuse(struct iconn *ic, const struct bhs *bhs, enum login_status status,
			const char *why);
void login_drive_continue(struct iconn *ic);
void login_state_free(struct login_state *ls);
struct text_env *text_env_new(struct iconn *ic);
void text_env_free(struct text_env *env);
const struct login_env *text_env_get(const struct text_env *env);

/* session.c */
struct session *session_new(struct iconn *ic, const struct login_result *who);
/* ic has joined s; it is gone, and everything of it has come back. */
void session_add_connection(struct session *s, struct iconn *ic);
void session_lost_connection(struct session *s, struct iconn *ic);
/* A connection that takes PDUs of ours, NULL: there is none. */
struct iconn *session_any_connection(const struct session *s);
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
/* c needs its slot no more; the second, when c ceases to exist. */
void session_leave_window(struct command *c);
void session_forget_slot(struct command *c);

/* command.c */
void command_received(struct iconn *ic, struct pdu *pdu);
void command_start(struct command *c);
void command_transfer_done(struct transfer *t);
struct command *command_find(const struct session *s, uint32_t itt);
/* May free c before it returns. report: it answers TASK ABORTED, when it is over. */
void command_abort(struct command *c, bool report);
/* c was aborted and its disk does not give it back: frees its tag, and its slot if there are not
 * too many of its kind. */
void command_abandon(struct command *c);

/* task_management.c */
void tmf_received(struct iconn *ic, struct pdu *pdu);
/* Nobody is there to whom the functions of ic could be answered. */
void tmf_lost_connection(struct session *s, const struct iconn *ic);

/* abort_tasks.c */
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

/* reply.c */
struct reply *reply_new(struct iconn *ic, uint8_t opcode);
/* Copies len bytes into the reply; false: no memory. */
bool reply_data(struct reply *rp, const void *data, uint32_t len);
/* Sends; consume: takes a StatSN. */
void reply_send(struct reply *rp, bool consume);
void send_reject(struct iconn *ic, const union pdu_header *bad, enum reject_reason reason);
void nop_out_received(struct iconn *ic, struct pdu *pdu);
void nop_in_ping(struct iconn *ic);
/* Tells the window to an initiator that no other answer will tell. */
void nop_in_window(struct iconn *ic);
void logout_received(struct iconn *ic, struct pdu *pdu);
void text_received(struct iconn *ic, struct pdu *pdu);

/* expcmdsn/maxcmdsn as they go into every response. */
static inline void fill_window(const struct session *s, struct be32 *expcmdsn,
			       struct be32 *maxcmdsn)
{
	*expcmdsn = be32_of(s->expcmdsn);
	*maxcmdsn = be32_of(s->maxcmdsn);
}

#endif
