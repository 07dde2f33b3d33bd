// SPDX-License-Identifier: BSD-2-Clause
/* The login of a connection, for the rest of session/: how it goes on, is refused, or comes too late. */
#ifndef RISER_SESSION_LOGIN_DRIVE_H
#define RISER_SESSION_LOGIN_DRIVE_H

#include "session/internal.h"

/* login_newcomers.c */
void newcomer_came(struct iconn *ic);
/* Its login has made a step. */
void newcomer_went_on(struct iconn *ic);
/* It has logged in, or goes. Idempotent. */
void newcomer_left(struct iconn *ic);
/* Runs as reactor_state.evict_timer. */
void newcomers_time(struct timer *t);

/* login_drive.c */
void login_drive(struct iconn *ic, struct pdu *pdu);
void login_drive_refuse(struct iconn *ic, const struct bhs *bhs, enum login_status status,
			const char *why);
void login_drive_continue(struct iconn *ic);
/* Full feature phase in session s: the final Login Response, then the connection's parameters. */
void login_drive_enter(struct iconn *ic, struct session *s, const struct conn_params *params);
/* Sends the last answer of a login that has failed, and closes. */
void login_drive_end(struct iconn *ic, const struct bhs_login_request *req,
		     const struct login_reply *reply);
/* While ic->login is there: what was negotiated, and the last request of it. */
const struct login_result *login_drive_result(const struct iconn *ic);
const struct bhs *login_drive_request(const struct iconn *ic);
void login_state_free(struct login_state *ls);
struct text_env *text_env_new(struct iconn *ic);
void text_env_free(struct text_env *env); /* NULL is fine */
struct exports *login_drive_exports(const struct iconn *ic); /* that the login has seen */
const struct login_env *text_env_get(const struct text_env *env);

/* login_refusal.c */
/* A login is refused. True: too often from there, the answer comes later; until then nothing that
 * arrives counts. */
bool login_refuse_late(struct iconn *ic, const struct bhs_login_request *req,
		       enum login_status status);

#endif
