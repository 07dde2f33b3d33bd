// SPDX-License-Identifier: BSD-2-Clause
/*
 * The bare server's view of one initiator: bare_session.c speaks with it, bare.c moves the bytes.
 */
#ifndef RISER_BENCH_BARE_H
#define RISER_BENCH_BARE_H

#include "stream.h"

enum {
	BARE_WINDOW = 1024, /* commands that may be in flight per session */
	BARE_ANSWERS = 2 * BARE_WINDOW,
	BARE_BLOCK = 512,
	BARE_CAPACITY = 1 << 30, /* bytes; nothing of it exists */
};

enum answer_kind { ANSWER_READ, ANSWER_DATA, ANSWER_STATUS, ANSWER_R2T, ANSWER_NOP, ANSWER_LOGOUT };

/* One PDU, or the Data-In PDUs of one READ, that wait for room in the stream. */
struct answer {
	enum answer_kind kind;
	uint32_t itt;
	uint32_t len;
	uint32_t offset; /* how much of len is on its way; ANSWER_R2T: where to continue */
	uint32_t datasn;
	uint32_t ttt;
	uint8_t status;
	const void *data; /* ANSWER_DATA, or the sense data of ANSWER_STATUS; static */
};

/* A WRITE whose data is not complete. Its index is the Target Transfer Tag. */
struct pending_write {
	uint32_t itt;
	uint32_t len; /* 0: free */
	uint32_t got;
};

struct peer {
	struct stream stream; /* first: the upcalls get a pointer to it */
	bool wants_write; /* waits for EPOLLOUT */
	bool leaving; /* Logout was answered */
	bool header_digest; /* agreed, in force after login */
	bool data_digest;
	uint32_t statsn;
	uint32_t expcmdsn;
	uint32_t max_send; /* the initiator's MaxRecvDataSegmentLength */
	uint32_t max_burst;
	unsigned answer_head;
	unsigned answer_count;
	unsigned writes_open;
	struct answer answers[BARE_ANSWERS];
	struct pending_write writes[BARE_WINDOW];
	uint32_t text_len;
	char text[LOGIN_DATA_MAX + 1]; /* keys of a Login Request */
	char reply[2048]; /* keys of the Login Response */
};

/* bare_session.c */
/* Takes fd. NULL: no memory. */
struct peer *peer_new(int fd);
/* Sends what can be sent. Negative errno: the connection is done for. */
int peer_pump(struct peer *p);

#endif
