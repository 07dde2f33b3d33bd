// SPDX-License-Identifier: BSD-2-Clause
/*
 * Receive. One receive is in flight, into the rest of the current landing zone and the connection's
 * stream behind it: an idle connection needs no more, and a few small requests fit. When the stream
 * was filled and nothing large is on its way, whatever else the socket has is received at once into
 * the hot buffer that the connections of a reactor share, and parsed there before anybody else gets
 * it. So a queue full of small writes costs few system calls, and its data is in the cache when a
 * backstore takes it. What is left then, less than one PDU, goes back into the stream. A turn takes
 * at most one hot buffer from a connection: then it is the turn of the others. Not so when there were
 * many PDUs in the stream: thousands at once, with no chance to send an answer in between, would look
 * to the session as if their peer did not read.
 */
#include "tcp.h"

#include <errno.h>
#include <string.h>

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static bool lands(const struct tcp_rx *rx)
{
	return rx->state == RX_DATA && rx->land && rx->land_left;
}

/* Bytes that have to come until the PDU that waits in the stream is complete. */
static uint32_t missing(const struct tcp_rx *rx)
{
	return rx->state == RX_WHOLE ? rx->pdu.data_len + rx->trailer - (rx->end - rx->start) : 0;
}

/* Where the next received bytes go; returns the number of iovecs. */
static unsigned int next_iov(struct tcp_conn *c, struct iovec iov[2])
{
	struct tcp_rx *rx = &c->rx;
	unsigned int n = 0;
	uint32_t room;

	if (rx->start) {
		memmove(c->stream, c->stream + rx->start, rx->end - rx->start);
		rx->end -= rx->start;
		rx->start = 0;
	}
	room = STREAM_SIZE - rx->end;
	assert(room);
	if (lands(rx)) {
		iov[n].iov_base = rx->land;
		iov[n++].iov_len = rx->land_left;
	}
	/* The stream would be filled with payload that then has to be copied. */
	rx->ahead = c->large_bursts || (n && rx->pdu.data_len >= LARGE);
	if (rx->ahead)
		room = min_u32(room, missing(rx) + STREAM_AHEAD);
	iov[n].iov_base = c->stream + rx->end;
	iov[n++].iov_len = room;
	rx->offered = room;
	if (n > 1)
		rx->offered += rx->land_left;
	return n;
}

/* What there is is parsed. */
static void parse(struct tcp_conn *c)
{
	struct tcp_rx *rx = &c->rx;

	if (!rx->stopped)
		tcp_rx_parse(c);
	if (rx->stopped)
		tcp_rx_discard(c);
}

/* n bytes have come to where next_iov() said. */
static void received(struct tcp_conn *c, uint32_t n)
{
	struct tcp_rx *rx = &c->rx;
	uint64_t before = atomic_load_explicit(&c->base.pdus_in, memory_order_relaxed);

	stat_add(&c->base.bytes_in, n);
	rx->drained = n < rx->offered;
	if (lands(rx)) {
		uint32_t in_place = min_u32(n, rx->land_left);

		tcp_rx_landed(c, in_place);
		n -= in_place;
	}
	rx->end += n;
	assert(rx->end <= STREAM_SIZE);
	tcp_data_let_go(c);
	parse(c);
	rx->crowded =
		atomic_load_explicit(&c->base.pdus_in, memory_order_relaxed) - before > CROWD_PDUS;
}

/* There is more, and it would not land in place anyway. */
static bool wants_more(const struct tcp_conn *c)
{
	const struct tcp_rx *rx = &c->rx;

	return !rx->drained && !rx->ahead && !rx->crowded && !rx->stopped && !c->large_bursts &&
	       !lands(rx);
}

/* The unparsed bytes go to the hot buffer; returns the place behind them, with room for HOT_SIZE. */
static uint8_t *hot_begin(struct tcp_conn *c)
{
	struct tcp_rx *rx = &c->rx;
	uint32_t rest = rx->end - rx->start;

	rx->bytes = c->shard->hot;
	memcpy(rx->bytes + STREAM_SIZE - rest, c->stream + rx->start, rest);
	rx->start = STREAM_SIZE - rest;
	rx->end = STREAM_SIZE;
	return rx->bytes + STREAM_SIZE;
}

/* n bytes have come there. */
static void hot_received(struct tcp_conn *c, uint32_t n)
{
	struct tcp_rx *rx = &c->rx;

	rx->drained = n < HOT_SIZE;
	if (n) {
		stat_add(&c->base.bytes_in, n);
		rx->end += n;
		parse(c);
	}
	rx->end -= rx->start;
	assert(rx->end < STREAM_SIZE);
	memcpy(c->stream, rx->bytes + rx->start, rx->end);
	rx->bytes = c->stream;
	rx->start = 0;
}

/* Returns what recv() says, -errno or bytes; -EAGAIN is no error. */
static int receive_more(struct tcp_conn *c)
{
	ssize_t n = recv(c->fd, hot_begin(c), HOT_SIZE, MSG_DONTWAIT);
	int res = n < 0 ? -errno : (int)n;

	hot_received(c, res > 0 ? (uint32_t)res : 0);
	return res;
}

static void receive_done(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct tcp_conn *c = container_of(op, struct tcp_conn, rx.op);
	struct tcp_rx *rx = &c->rx;

	(void)cqe_flags;
	rx->armed = false;
	if (res > 0) {
		received(c, (uint32_t)res);
		if (wants_more(c))
			res = receive_more(c);
	} else {
		tcp_data_let_go(c);
	}
	if (c->state == TCP_DEAD) {
		tcp_conn_defer(c);
	} else if (!res) {
		rx->eof = true;
		if (c->state == TCP_FLUSHING)
			tcp_conn_defer(c);
		else if (c->state != TCP_OPEN || !c->base.answer_due)
			tcp_conn_fail(c, "closed by the peer");
	} else if (res < 0 && res != -ECANCELED && res != -EINTR && res != -EAGAIN) {
		tcp_conn_fail(c, strerrordesc_np(-res));
	} else {
		tcp_rx_arm(c);
	}
}

static size_t feed_stream(struct tcp_conn *c, const uint8_t *from, size_t len)
{
	struct iovec iov[2];
	unsigned int n = next_iov(c, iov);
	size_t got = 0;

	for (unsigned int i = 0; i < n && got < len; i++) {
		size_t part = iov[i].iov_len < len - got ? iov[i].iov_len : len - got;

		memcpy(iov[i].iov_base, from + got, part);
		got += part;
	}
	received(c, (uint32_t)got);
	return got;
}

static size_t feed_hot(struct tcp_conn *c, const uint8_t *from, size_t len)
{
	size_t n = len < HOT_SIZE ? len : HOT_SIZE;

	memcpy(hot_begin(c), from, n);
	hot_received(c, (uint32_t)n);
	return n;
}

size_t tcp_rx_feed(struct tcp_conn *c, const void *bytes, size_t len)
{
	size_t done = 0;

	while (done < len && !c->rx.stopped) {
		done += feed_stream(c, (const uint8_t *)bytes + done, len - done);
		if (done < len && wants_more(c))
			done += feed_hot(c, (const uint8_t *)bytes + done, len - done);
	}
	return done;
}

void tcp_rx_arm(struct tcp_conn *c)
{
	struct tcp_rx *rx = &c->rx;
	struct io_uring_sqe *sqe;

	/* After a fatal error nothing is read until close(), which throws away what comes. */
	if (rx->armed || rx->eof || c->fd < 0 || c->state == TCP_DEAD ||
	    (rx->stopped && c->state == TCP_OPEN))
		return;
	rx->msg.msg_iov = rx->iov;
	rx->msg.msg_iovlen = next_iov(c, rx->iov);
	sqe = reactor_sqe(c->base.reactor, &rx->op);
	if (rx->msg.msg_iovlen == 1)
		io_uring_prep_recv(sqe, c->fd, rx->iov[0].iov_base, rx->iov[0].iov_len, 0);
	else
		io_uring_prep_recvmsg(sqe, c->fd, &rx->msg, 0);
	if (rx->drained)
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	rx->armed = true;
}

void tcp_rx_discard(struct tcp_conn *c)
{
	struct tcp_rx *rx = &c->rx;

	rx->stopped = true;
	if (rx->armed)
		return;
	rx->start = rx->end = 0;
	rx->land = NULL;
	rx->land_left = 0;
	rx->get = NULL;
	rx->state = RX_HEADER;
	buf_put(c->base.reactor, rx->buf);
	rx->buf = NULL;
}

void tcp_rx_init(struct tcp_conn *c)
{
	c->rx.op.done = receive_done;
	c->rx.bytes = c->stream;
	c->rx.drained = true;
}
