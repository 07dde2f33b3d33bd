// SPDX-License-Identifier: BSD-2-Clause
/*
 * The iSCSI layer as the tools see it: one server with one or more targets, served on any number
 * of portals. RFC 7143.
 */
#ifndef RISER_SESSION_H
#define RISER_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "lu.h"
#include "pdu.h"
#include "transport.h"

enum { CHAP_SECRET_MIN = 12, CHAP_SECRET_MAX = 255, CHAP_NAME_MAX = 255, CHAP_USERS_MAX = 256 };
enum { REDIRECT_MAX = 271 /* a DNS name or an address, and a port */ };

struct chap_account {
	char user[CHAP_NAME_MAX + 1]; /* zeros behind the name; empty = not set */
	uint8_t secret[CHAP_SECRET_MAX];
	uint8_t secret_len; /* bytes */
};

/* Somebody who may log in. No secret of one direction may be one of the other (RFC 7143 9.2.1):
 * whoever makes the configuration sees to it, among all users of a server. */
struct chap_user {
	struct chap_account account; /* he proves himself with this */
	struct chap_account mutual; /* we prove ourselves with this when he asks */
};

/* Everybody who may; count 0: nobody has to prove himself. */
struct chap_users {
	const struct chap_user *user; /* borrowed */
	unsigned int count; /* at most CHAP_USERS_MAX: a login does work for each */
};

/* Addresses that have the first `bits` bits in common. IPv4 as IPv6 has it: ::ffff:0:0/96. */
struct address_range {
	uint8_t address[16];
	uint8_t bits; /* 0..128 */
};

/* What some initiators may do at a target. */
struct initiator_rule {
	char name[ISCSI_NAME_MAX + 1]; /* as target_config.allow; empty: whatever it is */
	char user[CHAP_NAME_MAX + 1]; /* as whom they have logged in; empty: as anybody */
	bool by_address; /* they come from: */
	struct address_range from;
	struct nexus_rights rights;
};

/* What is exported. Nobody changes it once a server has it. */
struct target_config {
	struct scsi_target *scsi; /* name and LUNs; borrowed */
	char alias[256];
	/* An initiator gets in by its name, and if there are ranges by its address too. */
	bool allow_any; /* whatever the name */
	char (*allow)[ISCSI_NAME_MAX + 1]; /* allowed initiator names, compared without case; '*'
					    * stands for any characters */
	unsigned int allow_count;
	const struct address_range *from; /* borrowed */
	unsigned int from_count; /* 0: from anywhere */
	/* It is there in portal groups with these tags only; 0 of them: in all. */
	uint16_t tags[TARGET_PORTS];
	unsigned int tag_count;
	struct chap_users chap; /* normal sessions */
	/* Where the target is instead, NULL: here. "name[:port]", a DNS name, an IPv4 address or an
	 * IPv6 address in brackets: RFC 7143 13.8 without a portal group tag. Borrowed. */
	const char *redirect;
	bool redirect_permanent;
	bool allow_cold_reset; /* TARGET COLD RESET ends every session of the target */
	/* The first that fits counts. Borrowed. */
	const struct initiator_rule *rules;
	unsigned int rule_count;
	bool masked; /* whom no rule fits sees no LUN; else all, without limits */
};

struct server_limits {
	uint32_t login_timeout_s; /* 15 */
	uint32_t data_timeout_s; /* 60: R2T unanswered */
	uint32_t
		nop_interval_s; /* 15: silence before a NOP-In, and again until we close; 0 = never */
	uint32_t max_unauthenticated; /* 128 connections that have not logged in */
	uint32_t max_connections; /* 4096 in all */
	uint32_t session_connections; /* 4: MaxConnections, RFC 7143 13.2 */
	uint32_t error_recovery_level; /* 2: the most that is agreed on, RFC 7143 7.1 */
	uint32_t window; /* 128: MaxCmdSN - ExpCmdSN + 1 */
	uint32_t login_pdus, login_bytes; /* 20, 64 KiB per login */
	uint32_t login_failures; /* 10: so many refused logins of one address in a minute are
				  * answered at once, the next ones 2 s later; at most 32; 0 = all */
};
extern const struct server_limits server_default_limits;

/* All that a server exports; lives as long as somebody looks at it. */
struct exports {
	const struct target_config *targets;
	unsigned int target_count;
	struct chap_users discovery_chap; /* discovery sessions */
	/* [any thread] Nobody does any more, the server neither. NULL: it outlives the server. */
	void (*release)(struct exports *exports);
	_Atomic unsigned int users; /* the server's */
};

/* A session, for who asks about them all. Borrowed during the call. */
struct session_info {
	const struct scsi_target *target; /* NULL: discovery */
	const char *initiator; /* its name */
	const char *user; /* as whom it has logged in; NULL: there was no CHAP */
	struct address_range from; /* its first connection's address */
	uint16_t tag; /* portal group */
	uint16_t tsih;
};

/* What happens, for whoever operates the server. NULL, 0 or -1: there is none. */
enum server_event_type {
	SERVER_LOGIN, /* also of one more connection */
	SERVER_LOGIN_FAILED,
	SERVER_LOGOUT, /* of a session or of one of its connections, or an operator has ended it */
	SERVER_LOST, /* a connection that nobody has closed in good order */
	SERVER_RESET,
	SERVER_LUN,
};
struct server_event {
	enum server_event_type type;
	const char *target, *initiator, *from; /* names, and the address of the peer */
	uint16_t tsih;
	int lun;
	const char *reason; /* one word */
	const char *text; /* a sentence */
};

/* What the server begins with; it is borrowed for the server's life. */
struct server_config {
	struct exports *exports; /* NULL: the next three, which are borrowed */
	struct target_config *targets;
	unsigned int target_count;
	struct chap_users discovery_chap; /* discovery sessions */
	struct server_limits limits;
	struct reactor **reactors; /* borrowed; [0] accepts */
	unsigned int reactor_count;
	/* [any reactor] Told of what happens; keeps nothing of *event, and never waits. NULL: nobody. */
	void (*event)(const struct server_event *event, void *arg);
	void *event_arg;
};

/* Whether the address lies in the range. */
bool address_in_range(const struct sockaddr_storage *ss, const struct address_range *range);
/* As a range of its own; /0 for what is no IP address. */
struct address_range address_range_of(const struct sockaddr_storage *ss);
/* An access list may have it: a name with '*' for any characters, written in lower case. False: no
 * initiator could have such a name. */
bool name_pattern(const char *text, char out[ISCSI_NAME_MAX + 1]);
/* Whether the access list lets this initiator in; from: its address, NULL: none is known. */
bool target_allows(const struct target_config *target, const char *initiator,
		   const struct address_range *from);

/* What this initiator may do there; user: NULL when it has not proved who it is. */
struct nexus_rights target_rights(const struct target_config *target, const char *initiator,
				  const struct address_range *from, const char *user);

/* Checks len bytes and writes them in lower case, NUL-terminated. iqn., eui. and naa. names of
 * ASCII letters, digits, '-', '.' and ':' only; false for anything else, out is then empty. */
bool name_normalize(const void *name, size_t len, char out[ISCSI_NAME_MAX + 1]);

struct capture; /* capture.h */
struct server;

/* [main thread] cfg is borrowed for the server's life. -ENOMEM. */
int server_create(const struct server_config *cfg, struct server **out);
/* [main thread] Listens on addr (written back with the real port) over the transport; SendTargets
 * names it with the portal group tag, and who comes in by it uses the target port of this tag (the
 * first, where a target has none of it). An address that is a portal already is served over this
 * transport too and stays one portal, of the same tag. May be called before the reactors run. */
int server_listen(struct server *s, const struct transport_ops *transport,
		  struct portal_address *addr, uint16_t tag, char *why, size_t why_size);
/* [main thread] The portal is none any more, over whatever transport; its sessions live on. Soon nobody
 * can connect there, and stopped(arg) is called once on reactor 0. False: there is no such portal. */
bool server_unlisten(struct server *s, const struct portal_address *addr,
		     void (*stopped)(void *arg), void *arg);
/* [any thread] Names of the transports that listen
 * there now, how many: at most SERVER_TRANSPORTS. */
unsigned int server_portal_transports(struct server *s, const struct portal_address *addr,
				      const char *names[]);
/* [main thread] Initiators that come in by this portal are sent elsewhere, as by
 * target_config.redirect, whatever target they want; "": they are not. At most REDIRECT_MAX bytes. */
void server_redirect(struct server *s, const struct portal_address *addr, const char *redirect,
		     bool permanent);
/* [main thread] Other timeouts, levels and max_connections, from the next time that each of them is asked for;
 * connections that are too many by then stay. Not max_unauthenticated, window, login_pdus, login_bytes. */
void server_set_limits(struct server *s, const struct server_limits *limits);
/* [main thread] From now on logins see what `exports` has, and soon all sessions do. done(arg) is called
 * once, on a reactor, when every reactor has heard of it. A session of a target that is not there any
 * more goes on; whoever does not want that asks server_each_session() after this, when no login that
 * began earlier can get in any more, and may take it back. */
void server_set_exports(struct server *s, struct exports *exports, void (*done)(void *arg),
			void *arg);
/* [any thread] Under the lock of the registry: visit() calls nothing of the server. */
void server_each_session(struct server *s,
			 void (*visit)(const struct session_info *session, void *arg), void *arg);

/* What a session has done so far. Atomic counters of its own: look at them during the call only. */
struct session_stats {
	_Atomic uint64_t commands, read_bytes, write_bytes, rejects, tmfs, aborts;
	_Atomic uint64_t ended; /* of the commands */
	_Atomic uint64_t bytes_copied; /* on connections that are gone */
	struct latency_histograms latency; /* in all */
};
struct session_view {
	struct session_info info;
	bool discovery;
	const char *transport;
	const struct session_stats *stats;
};
/* [any thread] Sessions by TSIH. The lock of the registry is held for some of them at a time only, so
 * that no login waits for long; visit() calls nothing of the server. */
void server_view_sessions(struct server *s,
			  void (*visit)(const struct session_view *view, void *arg), void *arg);

/* What the server has counted since it began, on all reactors. */
enum { REFUSALS = 18, SENSE_KEYS = 16, TASK_FUNCTIONS = 13, REJECTS = 13, SERVER_TRANSPORTS = 4 };
struct server_counts {
	uint64_t logins, redirected;
	uint64_t refusals[REFUSALS]; /* refusal_name() */
	uint64_t sense[SENSE_KEYS]; /* CHECK CONDITIONs by sense key */
	uint64_t functions[TASK_FUNCTIONS]; /* task_function_name() */
	uint64_t rejects[REJECTS]; /* by reason: reject_name() */
	uint64_t lost; /* connections in full feature phase that ended without being asked to */
	uint64_t digest_errors; /* data segments whose CRC32C was wrong */
	struct transport_counts {
		const char *name; /* NULL: no more of them */
		uint64_t connections; /* there are */
		uint64_t closed;
		uint64_t read_bytes, write_bytes; /* payload */
		uint64_t bytes_copied; /* by our CPU; of what goes on, up to some seconds ago */
		const struct transport_error *errors; /* see struct transport_ops; NULL: none */
	} transports[SERVER_TRANSPORTS];
};
/* [any thread] Sessions that end meanwhile may be missing in the bytes of a transport for a moment. */
void server_count(struct server *s, struct server_counts *out);
/* As labels: "authentication-failed", "illegal-request", "lun-reset", "data-digest-error"; NULL: there is
 * no such reason of a Reject. */
const char *refusal_name(unsigned int refusal);
const char *refusal_of(enum login_status status); /* the same name */
const char *sense_key_name(unsigned int key);
const char *task_function_name(unsigned int function);
const char *reject_name(unsigned int reason);

/* What is captured: all that is said here must hold. */
enum { CAPTURE_SESSIONS = 16 };
struct capture_filter {
	/* Names with '*', as of fnmatch(3); "": any, of the target also none (discovery). */
	char target[ISCSI_NAME_MAX + 1], initiator[ISCSI_NAME_MAX + 1];
	uint16_t sessions[CAPTURE_SESSIONS]; /* TSIHs */
	unsigned int session_count; /* 0: any, and logins that have not become one */
};
/* [any thread] PDUs of these sessions go to the capture from soon on, which each reactor keeps, and to no
 * other any more; capture NULL: to none. -ENOMEM: nothing has changed. */
int server_capture(struct server *s, struct capture *capture, const struct capture_filter *filter);

/* A connection and a session as their reactor saw them. */
struct connection_detail {
	uint16_t cid;
	bool header_digest, data_digest;
	char peer[64], local[64];
};
struct session_detail {
	char target[ISCSI_NAME_MAX + 1]; /* "": discovery */
	char initiator[ISCSI_NAME_MAX + 1];
	char user[CHAP_NAME_MAX + 1]; /* "": there was no CHAP */
	uint8_t isid[6];
	uint16_t tsih, tag;
	bool discovery;
	bool ending; /* as soon as its last commands are back */
	const char *transport;
	uint64_t age_ns;
	unsigned int reactor;
	uint32_t error_recovery_level;
	uint32_t outstanding; /* commands in progress */
	uint64_t commands, read_bytes, write_bytes, rejects, task_management, aborts;
	struct connection_detail *connections; /* NULL: no memory */
	unsigned int connection_count;
};
struct session_snapshot;
/* [any thread] Every reactor begins to copy its sessions; tsih 0: all, else that one. -ENOMEM. */
int server_snapshot(struct server *s, uint16_t tsih, struct session_snapshot **out);
/* Until the deadline (CLOCK_MONOTONIC), NULL: not at all. How many reactors have not answered yet. */
unsigned int session_snapshot_wait(struct session_snapshot *snapshot,
				   const struct timespec *deadline);
/* What those have that answered. */
void session_snapshot_each(const struct session_snapshot *snapshot,
			   void (*see)(const struct session_detail *session, void *arg), void *arg);
/* Whoever asked does not look any more; late reactors may still write. NULL is fine. */
void session_snapshot_put(struct session_snapshot *snapshot);
/* [any thread] The initiator is told that the session is dropped, then it ends: soon. It may log in again
 * at once. -ENOENT: there is no such session. -ENOMEM. */
int server_end_session(struct server *s, uint16_t tsih);

/* [any thread] A session that is ending is not waited for any more, whatever hangs in a disk: soon it is gone,
 * and its commands are detached. For who knows that nobody gets at that medium after it. */
void server_abandon_session(struct server *s, uint16_t tsih);

/* Who still uses units that target_remove_lun() has taken out? Borrowed until done(). */
struct unit_search {
	struct lu **units;
	unsigned int unit_count;
	bool tell; /* the log names the sessions */
	/* What uses them is aborted, and what hangs in them belongs to nobody from now on: it counts as
	 * lu_detached(). With UNIT_CLOSE connections end, too, that are in the way. */
	enum { UNIT_LOOK, UNIT_CUT, UNIT_CLOSE } cut;
	bool forget; /* sessions forget what they knew of these units: nobody uses them any more */
	void (*done)(void *arg); /* on a reactor, once */
	void *arg;
};
/* [main thread] Every reactor looks, and says lu_add_user() or lu_set_busy() of those that are. To be repeated until
 * nobody does, and once more, with `forget`. -ENOMEM: done() will not be called. */
int server_find_users(struct server *s, const struct unit_search *search);

/* [any thread] Stops listening and accepting logins, asks every initiator to log out, lets commands in
 * progress finish for at most drain_ms, closes every session that is left, then calls stopped(arg) once
 * on reactor 0. */
void server_stop(struct server *s, uint32_t drain_ms, void (*stopped)(void *arg), void *arg);
/* [any thread, during a stop] The drain time is over now. */
void server_stop_now(struct server *s);
/* [any thread] Every reactor logs its own counters, those of each transport that it has had
 * connections of, and those of its sessions, one line each, on its own thread, soon. A second call
 * before all have done so changes nothing for the late ones. */
void server_log_statistics(struct server *s);
/* [any thread] A unit of the target has changed: UA_CAPACITY_CHANGED after lu_resize(), or
 * UA_LUNS_CHANGED when target->lun[lun] is there now or not any more; the last also becomes a unit
 * attention of every nexus. Each session of the target gets an Asynchronous Message soon (RFC 7143
 * 11.9, event 0). */
void server_lun_event(struct server *s, struct scsi_target *target, unsigned int lun,
		      enum unit_attention ua);
/* [any thread] Commands that hang in a disk and belong to nobody any more: of sessions that have ended, on
 * units that went by force, or cut loose by a stop. While there are any no reactor and no memory may go. */
uint32_t server_detached(const struct server *s);
/* [main thread] After stopped() and when no reactor runs. */
void server_destroy(struct server *s);

/* The up-calls, for tests that bring their own transport; ctx is the server. */
extern const struct conn_up session_conn_up;

#endif
