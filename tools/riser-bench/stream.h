// SPDX-License-Identifier: BSD-2-Clause
/*
 * A TCP connection cut into PDUs, for the load generator and for the bare server. Sending gathers
 * many PDUs into one sendmsg; receiving hands payload out piece by piece, so nothing is reassembled.
 * What waits to be sent lies in buffers that the streams of a thread share: a stream has one only
 * while it has something to send, so idle connections are small and busy ones use warm memory.
 */
#ifndef RISER_BENCH_STREAM_H
#define RISER_BENCH_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "pdu.h"

enum {
	STREAM_IOV = 768, /* below the kernel's 1024 */
	STREAM_ARENA = 256 * (BHS_LEN + 2 * DIGEST_LEN),
	STREAM_RX_SIZE = 256 * 1024, /* stays in a level 2 cache */
	SEGMENT_MAX = 256 * 1024, /* the longest data segment we accept */
};

struct stream;

/* Both run inside stream_receive(); a negative errno ends the connection and is returned there. */
struct stream_ops {
	/* A piece of the data segment of s->pdu: bytes [offset, offset + len). NULL: not interested. */
	void (*payload)(struct stream *s, uint32_t offset, const uint8_t *data, uint32_t len);
	/*
	 * May be NULL: where these bytes of the segment, which have not arrived yet, are to be
	 * received; or NULL. payload() does not get what was received there.
	 */
	uint8_t *(*place)(struct stream *s, uint32_t offset, uint32_t len);
	/* All of s->pdu has arrived, and its digests are right. */
	int (*pdu)(struct stream *s);
};

/* PDUs that wait to be sent. */
struct outgoing {
	struct outgoing *next; /* in the pool */
	unsigned iov_head;
	unsigned iov_count;
	unsigned arena_used;
	struct iovec iov[STREAM_IOV];
	uint8_t arena[STREAM_ARENA]; /* headers and digests */
};

/* The buffers that no stream needs now, the warmest first. All zero: empty. */
struct stream_pool {
	struct outgoing *free;
};

struct stream {
	const struct stream_ops *ops;
	struct stream_pool *pool;
	struct outgoing *out; /* NULL: nothing to send */
	int fd;
	bool header_digest;
	bool data_digest;

	union pdu_header pdu; /* being received, or just received */
	uint32_t payload_len;
	uint32_t payload_got;
	uint32_t trailer_len; /* padding and data digest */
	uint32_t trailer_got;
	uint32_t crc;
	uint8_t digest[DIGEST_LEN];
	uint8_t partial[BHS_LEN + DIGEST_LEN]; /* a header cut by the end of a recv */
	unsigned partial_len;
};

/* Takes fd; borrows the pool, which belongs to the same thread. */
void stream_init(struct stream *s, int fd, const struct stream_ops *ops, struct stream_pool *pool);
/* What was not sent is forgotten. Nothing happens when it is closed already. */
void stream_close(struct stream *s);
/* Frees what is in the pool: after the last stream is closed. */
void stream_pool_free(struct stream_pool *pool);

/*
 * One recv into buf (STREAM_RX_SIZE bytes, shared by all streams of a thread) and the upcalls for
 * what it brought. Returns the number of bytes, 0 when there is nothing now, or a negative errno:
 * -ECONNRESET for a closed connection, -EPROTO for broken framing, -EBADMSG for a wrong digest.
 */
int stream_receive(struct stream *s, uint8_t *buf);

/* True when one more PDU fits. */
static inline bool stream_room(const struct stream *s)
{
	const struct outgoing *o = s->out;

	return !o || (o->iov_count + 4 <= STREAM_IOV &&
		      o->arena_used + BHS_LEN + 2 * DIGEST_LEN <= STREAM_ARENA);
}

/* A zeroed header to fill; needs stream_room(). stream_put() must follow at once. Without memory for
 * a buffer the program ends. */
union pdu_header *stream_header(struct stream *s);
/* Appends the PDU begun with stream_header(). Borrows data until it is sent. Sets dlength. */
void stream_put(struct stream *s, const void *data, uint32_t len);

/*
 * Sends what is queued, but not for ever, so that one connection cannot keep the thread. Returns 1
 * when all is sent, 0 when something is left for the next time, or a negative errno.
 */
int stream_flush(struct stream *s);

static inline bool stream_unsent(const struct stream *s)
{
	return s->out != NULL;
}

#endif
