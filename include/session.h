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

enum { CHAP_SECRET_MIN = 12, CHAP_SECRET_MAX = 255, CHAP_NAME_MAX = 255 };

struct chap_account {
	char user[CHAP_NAME_MAX + 1]; /* empty = not set */
	uint8_t secret[CHAP_SECRET_MAX];
	uint8_t secret_len; /* bytes */
};

/* What is exported. Read-only while the server runs. */
struct target_config {
	struct scsi_target *scsi; /* name and LUNs; borrowed */
	char alias[256];
	bool allow_any;
	char (*allow)[ISCSI_NAME_MAX + 1]; /* allowed initiator names, compared without case */
	unsigned int allow_count;
	struct chap_account chap; /* the initiator proves itself with this */
	struct chap_account chap_mutual; /* we prove ourselves with this when asked */
};

struct server_limits {
	uint32_t login_timeout_s; /* 15 */
	uint32_t data_timeout_s; /* 60: R2T unanswered */
	uint32_t
		nop_interval_s; /* 15: silence before a NOP-In, and again until we close; 0 = never */
	uint32_t max_unauthenticated; /* 128 connections that have not logged in */
	uint32_t max_connections; /* 4096 in all */
	uint32_t window; /* 128: MaxCmdSN - ExpCmdSN + 1 */
	uint32_t login_pdus, login_bytes; /* 20, 64 KiB per login */
};
extern const struct server_limits server_default_limits;

struct server_config {
	struct target_config *targets;
	unsigned int target_count;
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
/* [any thread] Stops listening and accepting logins, lets commands in progress finish for at most
 * drain_ms, closes every session, then calls stopped(arg) once on reactor 0. */
void server_stop(struct server *s, uint32_t drain_ms, void (*stopped)(void *arg), void *arg);
/* [any thread] Every reactor logs its own counters, those of each transport that it has had
 * connections of, and those of its sessions, one line each, on its own thread, soon. A second call before all have done so changes nothing for the late ones. */
void server_log_statistics(struct server *s);
/* [main thread] After stopped() and when no reactor runs. */
void server_destroy(struct server *s);

/* The up-calls, for tests that bring their own transport; ctx is the server. */
extern const struct conn_up session_conn_up;

#endif
