// SPDX-License-Identifier: BSD-2-Clause
/*
 * iSCSI over TCP: what the files of this folder share.
 *
 *   listen.c  a portal: accepts, chooses the reactor, hands the socket over
 *   conn.c    life of a connection from its creation to closed()
 *   receive.c receives into the landing zone, the stream and the reactor's hot buffer
 *   rx.c      bytes -> PDUs; payload lands where it belongs
 *   data.c    get_data(): R2Ts, and the rules every Data-Out is measured by
 *   move.c    hand_over(): to another reactor
 *   tx.c      PDUs, Data-In and R2Ts -> one sendmsg in flight
 *   test.c    the same without a socket
 *
 * Everything of a connection belongs to its reactor's thread.
 */
#ifndef RISER_TRANSPORT_TCP_TCP_H
#define RISER_TRANSPORT_TCP_TCP_H

#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/pool.h"
#include "transport/queue.h"

enum {
	STREAM_SIZE = 16 * 1024, /* bytes received ahead of the parser */
	STREAM_AHEAD = 1024, /* of these: how much while large payloads are to be expected */
	HOT_SIZE = 256 * 1024, /* received at once, into memory that all connections share */
	CROWD_PDUS = 48, /* in a stream that was filled: more are requests without data */
	LARGE = 8 * 1024, /* payload: landing it in place is worth a receive of its own */
	GET_BUCKETS = 64,
	R2T_MAX = 16, /* R2Ts in flight of one command */
	RECOVERIES_MAX = 8, /* recovery R2Ts of one burst; more, and its data is lost */
	BATCH_IOVS = 384, /* 128 Data-In PDUs of one segment each go in one send */
	BATCH_BYTES = 1 << 20,
	BATCH_TEXT = 20 * 1024, /* headers, digests, padding, small payloads */
	INLINE_MAX = 128, /* payload up to here is copied behind its header */
	/* Without progress so long a burst is taken for lost; while data of others comes, it may only be
	 * slow. Twice as long after each recovery R2T. */
	SEQUENCE_SECONDS = 5,
	SEQUENCE_BUSY_SECONDS = 15,
	FLUSH_SECONDS = 2, /* how long a peer may take to read our last words */
};

/* One burst: the answer to one R2T, or the unsolicited sequence. A recovery R2T makes one of what
 * is missing of the burst before it, in the same place. */
struct burst {
	uint32_t ttt; /* TAG_NONE: unsolicited */
	uint32_t offset, len; /* Buffer Offset of the whole command, bytes */
	uint32_t got; /* bytes that landed, contiguous from offset */
	uint32_t datasn; /* next one expected */
	uint32_t r2tsn;
	uint32_t oldest_ttt; /* the first that is this burst's, or was before a recovery R2T */
	bool active; /* its data is outstanding */
	bool due; /* its R2T is to be sent (again) before any new one */
	uint8_t recoveries; /* recovery R2Ts so far */
	uint16_t stalled; /* seconds without progress, */
	uint32_t seen; /* which was here at the last tick */
	enum transfer_result result : 8;
};

/* A get_data() in progress. */
struct get {
	struct get *next; /* same bucket */
	struct transfer *t;
	uint32_t itt;
	uint32_t asked; /* bytes covered by R2Ts so far */
	uint8_t outstanding; /* bursts in flight */
	uint8_t due; /* of these: bursts with an R2T to be sent (again) */
	bool canceled; /* waits for the kernel to let go of the buffer */
	enum transfer_result result; /* first failure of any burst */
	struct burst burst[R2T_MAX];
};

enum rx_state {
	RX_HEADER, /* BHS, AHS, header digest: complete in the stream before it is looked at */
	RX_WHOLE, /* small data segment with trailer: likewise */
	RX_DATA, /* data segment goes to `land`, or nowhere */
	RX_TRAILER, /* padding and data digest */
};

struct tcp_rx {
	enum rx_state state;
	bool armed; /* a receive is in flight: the kernel may write to stream and land */
	bool stopped; /* nothing is parsed any more */
	bool drained; /* the last receive found less than it had room for */
	bool ahead; /* the receive in flight, or the last one, was for little more than payload */
	bool crowded; /* the last receive brought many PDUs */
	bool eof;
	uint32_t offered; /* bytes the receive in flight has room for */
	uint8_t *bytes; /* start and end count from here: the stream, meanwhile the hot buffer */
	uint32_t start, end; /* unparsed bytes */
	uint8_t *land; /* where the rest of the data segment goes; NULL: thrown away */
	uint32_t land_left; /* bytes of the data segment still to come */
	uint32_t crc; /* of what landed */
	uint8_t trailer; /* bytes of padding and data digest */
	bool check; /* the data digest is to be verified */
	bool delivered; /* the session has seen this PDU, its data is thrown away */
	struct buf *buf; /* data of the PDU under way that is not a Data-Out */
	struct get *get; /* Data-Out under way: whose, NULL: nobody's */
	struct burst *burst; /* and of which burst, NULL: of none */
	struct pdu pdu;
	struct io_op op;
	struct iovec iov[2];
	struct msghdr msg;
};

/* What one sendmsg carries. Lives from the first PDU put in to the last byte sent. */
struct tx_batch {
	struct msghdr msg; /* moves forward over partial sends */
	uint32_t iovs, text_used; /* of iov, of text */
	uint32_t bytes, pdus;
	struct list items; /* struct tx_item that are complete in this batch */
	struct iovec iov[BATCH_IOVS];
	uint8_t text[BATCH_TEXT];
};

struct tcp_tx {
	struct list queue; /* struct tx_item */
	uint32_t head_done; /* bytes of the transfer at the head of the queue already sent */
	uint32_t plain; /* items at the head that go out as in the login phase */
	struct tx_batch *batch; /* in flight */
	struct list starved; /* on the shard's list: no batch to be had */
	struct io_op op;
};

/* What the connections of one reactor share. */
struct tcp_shard {
	struct reactor *reactor;
	unsigned int users;
	struct tcp_shard *next;
	struct pool batches, gets;
	struct list starved; /* struct tcp_tx waiting for a batch */
	/* For the bytes of one connection at a time, from their receive to the end of their parsing:
	 * it stays in the cache. STREAM_SIZE bytes for what was there before them, then HOT_SIZE. */
	uint8_t *hot;
};

enum tcp_state {
	TCP_OPEN,
	TCP_MOVING, /* hand_over(): the socket is another's; dead when it has arrived there */
	TCP_FLUSHING, /* close(flush): sends what is queued, discards what comes in */
	TCP_LINGERING, /* all sent and FIN is out: a reset now could eat the last words */
	TCP_DEAD, /* returns everything, then closed() */
};

struct tcp_conn {
	struct conn base;
	enum tcp_state state;
	int fd; /* -1: no socket, driven by test.c */
	struct tcp_shard *shard;
	uint32_t next_ttt;
	uint32_t large_bursts; /* outstanding: large payload is on its way */
	uint64_t data_out_dropped; /* PDUs for commands that nobody knows any more */
	struct work work; /* end of the turn: results, sending, the steps of closing */
	struct list finished; /* struct transfer: transfer_done() is due */
	struct timer flush_timer;
	struct timer
		sequence_timer; /* every second while bursts are outstanding, from level 1 on */
	uint32_t quiet; /* seconds without any Data-Out for a burst */
	uint64_t data_outs, data_outs_seen; /* of those, and at the last tick */
	struct get *gets[GET_BUCKETS]; /* by ITT */
	struct tcp_tx tx;
	struct tcp_rx rx;
	uint8_t stream[STREAM_SIZE];
};

static inline struct tcp_conn *tcp_conn_of(struct conn *conn)
{
	return container_of(conn, struct tcp_conn, base);
}

/* conn.c */

/* The connections of a reactor, for placement. [any thread] */
static inline void tcp_load_add(struct reactor *r)
{
	atomic_fetch_add_explicit(&r->load, 1, memory_order_relaxed);
}

static inline void tcp_load_sub(struct reactor *r)
{
	atomic_fetch_sub_explicit(&r->load, 1, memory_order_relaxed);
}

/* Takes fd (-1: none) and the caller's tcp_load_add(). NULL: out of memory, both are given back. */
struct tcp_conn *tcp_conn_create(struct reactor *r, int fd, const struct conn_up *up);
/* accepted() and the first receive. */
void tcp_conn_start(struct tcp_conn *c, void *ctx);
/* The same for one that has been read from: len bytes come first. */
void tcp_conn_start_with(struct tcp_conn *c, void *ctx, const void *bytes, uint32_t len);
/* The connection is of no use any more: tears it down at the end of the turn. */
void tcp_conn_fail(struct tcp_conn *c, const char *why);
void tcp_close(struct conn *conn, bool flush);
/* conn.c's part of a turn's end is due. */
static inline void tcp_conn_defer(struct tcp_conn *c)
{
	if (!c->work.queued)
		reactor_defer(c->base.reactor, &c->work);
}

/* receive.c */

/* Starts a receive unless one is in flight or nothing shall be read. */
void tcp_rx_arm(struct tcp_conn *c);
/* From here on what comes in is thrown away; what the receive in flight still brings, too. */
void tcp_rx_discard(struct tcp_conn *c);
/* As if len bytes had been received; returns how many were, before nothing is read any more. */
size_t tcp_rx_feed(struct tcp_conn *c, const void *bytes, size_t len);
void tcp_rx_init(struct tcp_conn *c);

/* rx.c */

/* n bytes have come to where rx->land says. */
void tcp_rx_landed(struct tcp_conn *c, uint32_t n);
/* Takes every PDU out of [start, end) that is complete, and what there is of payload that lands
 * elsewhere: less than STREAM_SIZE bytes are left. */
void tcp_rx_parse(struct tcp_conn *c);

/* data.c: Data-Out under way is c->rx.pdu. */

/* Sets rx->get, burst and land. */
void tcp_data_out_begin(struct tcp_conn *c);
void tcp_data_out_end(struct tcp_conn *c, bool digest_ok);
void tcp_get_data(struct conn *conn, struct transfer *t);
bool tcp_resend_r2ts(struct conn *conn, uint32_t itt, uint32_t from, uint32_t count);
void tcp_cancel_data(struct conn *conn, struct transfer *t);
/* A cancel_data() that waited for the receive in flight: it is not any more. */
void tcp_data_let_go(struct tcp_conn *c);
/* Cancels every transfer in progress. */
void tcp_data_cancel_all(struct tcp_conn *c);
/* Run as sequence_timer. */
void tcp_sequence_tick(struct timer *timer);
/* Fills in the next R2T of a transfer on the send queue; false: none is due. */
bool tcp_next_r2t(struct tcp_conn *c, struct transfer *t, struct bhs_r2t *r2t);
bool tcp_r2t_due(struct tcp_conn *c, const struct transfer *t);

/* move.c */

void tcp_hand_over(struct conn *conn, struct reactor *to, void *ctx);

/* tx.c */

void tcp_send_pdu(struct conn *conn, struct tx_pdu *pdu);
void tcp_put_data(struct conn *conn, struct transfer *t);
/* Sends what is queued unless a send is in flight. */
void tcp_tx_flush(struct tcp_conn *c);
/* n bytes of the batch in flight were sent, or -errno. */
void tcp_tx_sent(struct tcp_conn *c, int res);
/* The connection died and no send is in flight: gives everything back. */
void tcp_tx_return(struct tcp_conn *c);
void tcp_tx_init(struct tcp_conn *c);

#endif
