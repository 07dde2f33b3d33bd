// SPDX-License-Identifier: BSD-2-Clause
/*
 * The iSCSI layer as the tools see it: one server with one or more targets, served on any number
 * of portals. RFC 7143.
 */
#ifndef RISER_SESSION_H
#define RISER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

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

/* What the server begins with; it is borrowed for the server's life. */
struct server_config {
	struct exports *exports; /* NULL: the next three, which are borrowed */
	struct target_config *targets;
	unsigned int target_count;
	struct chap_users discovery_chap; /* discovery sessions */
	struct server_limits limits;
	struct reactor **reactors; /* borrowed; [0] accepts */
	unsigned int reactor_count;
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

/* Checks len bytes and writes them in lower case, NUL-terminated. iqn., eui. and naa. names of
 * ASCII letters, digits, '-', '.' and ':' only; false for anything else, out is then empty. */
bool name_normalize(const void *name, size_t len, char out[ISCSI_NAME_MAX + 1]);

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
/* [main thread] Initiators that come in by this portal are sent elsewhere, as by
 * target_config.redirect, whatever target they want; "": they are not. At most REDIRECT_MAX bytes. */
void server_redirect(struct server *s, const struct portal_address *addr, const char *redirect,
		     bool permanent);
/* [main thread] From now on logins see what `exports` has, and soon all sessions do. done(arg) is called
 * once, on a reactor, when every reactor has heard of it. A session of a target that is not there any
 * more goes on; whoever does not want that asks server_each_session() after this, when no login that
 * began earlier can get in any more, and may take it back. */
void server_set_exports(struct server *s, struct exports *exports, void (*done)(void *arg),
			void *arg);
/* [any thread] Under the lock of the registry: visit() calls nothing of the server. */
void server_each_session(struct server *s,
			 void (*visit)(const struct session_info *session, void *arg), void *arg);

/* Who still uses units that target_remove_lun() has taken out? Borrowed until done(). */
struct unit_search {
	struct lu **units;
	unsigned int unit_count;
	bool tell; /* the log names the sessions */
	bool forget; /* sessions forget what they knew of these units: nobody uses them any more */
	void (*done)(void *arg); /* on a reactor, once */
	void *arg;
};
/* [main thread] Every reactor looks, and says lu_set_used() of those that are. To be repeated until
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
/* [main thread] After stopped() and when no reactor runs. */
void server_destroy(struct server *s);

/* The up-calls, for tests that bring their own transport; ctx is the server. */
extern const struct conn_up session_conn_up;

#endif
