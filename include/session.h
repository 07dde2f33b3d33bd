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

/* What is exported. Read-only while the server runs. */
struct target_config {
	struct scsi_target *scsi; /* name and LUNs; borrowed */
	char alias[256];
	bool allow_any;
	char (*allow)[ISCSI_NAME_MAX + 1]; /* allowed initiator names, compared without case */
	unsigned int allow_count;
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

struct server_config {
	struct target_config *targets;
	unsigned int target_count;
	struct chap_users discovery_chap; /* discovery sessions */
	struct server_limits limits;
	struct reactor **reactors; /* borrowed; [0] accepts */
	unsigned int reactor_count;
};

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
