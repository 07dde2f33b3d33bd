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
	BARE_CAPACITY = 1 << 30, /* bytes, when nothing of it exists */
};

/* The disk. Read-only while the server runs, but for the content. */
struct bare_disk {
	uint8_t *memory; /* NULL: every block reads alike, and writes are forgotten */
	uint64_t size; /* bytes */
	uint8_t capacity[32]; /* READ CAPACITY(16) data */
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
	const void *data; /* of ANSWER_READ and ANSWER_DATA, or sense data of ANSWER_STATUS */
};

/* A WRITE whose data is not complete. Its index is the Target Transfer Tag. */
struct pending_write {
	uint32_t itt;
	uint32_t len; /* 0: free */
	uint32_t got;
	uint8_t *to; /* in the disk's memory, or NULL */
};

struct peer {
	struct stream stream; /* first: the upcalls get a pointer to it */
	const struct bare_disk *disk;
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
	uint32_t text_len;
	struct pending_write writes[BARE_WINDOW];
	struct answer answers[BARE_ANSWERS]; /* from here on nothing is set at first */
	char text[LOGIN_DATA_MAX + 1]; /* keys of a Login Request */
	char reply[2048]; /* keys of the Login Response */
};

/* bare_session.c */
/* Takes fd, borrows pool and disk. NULL: no memory. */
struct peer *peer_new(int fd, struct stream_pool *pool, const struct bare_disk *disk);
/* Sends what can be sent. Negative errno: the connection is done for. */
int peer_pump(struct peer *p);

#endif
