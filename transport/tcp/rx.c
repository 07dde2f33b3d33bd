// SPDX-License-Identifier: BSD-2-Clause
/*
 * Receive: one recv in flight into the rest of the current landing zone and the stream buffer
 * behind it, then every complete PDU of the stream is parsed. Headers and small data segments
 * are looked at only when they are complete in the stream; everything else lands in place.
 * The result does not depend on how the peer cuts its bytes.
 */
#include "tcp.h"

#include <errno.h>
#include <string.h>

#include "digest.h"

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t stream_len(const struct tcp_rx *rx)
{
	return rx->end - rx->start;
}

/* The peer broke the framing or a limit: not one more byte of it can be trusted. */
static bool refuse(struct tcp_conn *c, const union pdu_header *h)
{
	const union pdu_header copy = *h; /* the stream may move under the callee */

	c->rx.stopped = true;
	c->base.up->protocol_error(&c->base, &copy, REJECT_PROTOCOL_ERROR, true);
	return false;
}

/* Takes a buffer for a data segment that has to be in one piece. Without memory the data is read
 * and thrown away: a connection never waits for memory with half a PDU in its hands. */
static void land_in_buffer(struct tcp_conn *c, uint32_t size)
{
	struct tcp_rx *rx = &c->rx;

	rx->buf = buf_get(c->base.reactor, size);
	if (rx->buf)
		rx->land = rx->buf->data;
	else
		rx->pdu.dropped = true;
}

static bool deliver(struct tcp_conn *c, bool digest_ok)
{
	struct tcp_rx *rx = &c->rx;
	struct pdu *pdu = &rx->pdu;
	struct buf *gathered = NULL;

	pdu->data_digest_error = !digest_ok;
	pdu->buf = NULL;
	if (rx->buf) {
		pdu->data = rx->buf->data;
		if (pdu_opcode(&pdu->h.bhs) == OP_SCSI_COMMAND)
			pdu->buf = rx->buf;
		else
			gathered = rx->buf;
		rx->buf = NULL;
	}
	c->base.up->pdu_received(&c->base, pdu);
	buf_put(c->base.reactor, pdu->buf);
	buf_put(c->base.reactor, gathered);
	return true;
}

/* The data segment begins: chooses where it goes. */
static bool begin_data(struct tcp_conn *c)
{
	struct tcp_rx *rx = &c->rx;
	struct pdu *pdu = &rx->pdu;
	uint8_t opcode = pdu_opcode(&pdu->h.bhs);
	uint32_t dsl = pdu->data_len, edtl;

	rx->land = NULL;
	rx->land_left = dsl;
	rx->crc = CRC32C_INIT;
	rx->trailer = (uint8_t)(pdu_padded(dsl) - dsl);
	if (dsl && c->base.params.data_digest)
		rx->trailer += DIGEST_LEN;
	rx->state = RX_DATA;

	if (opcode == OP_DATA_OUT) {
		tcp_data_out_begin(c);
	} else if (opcode == OP_SCSI_COMMAND) {
		/* Room for what else belongs to the command, so that it can follow in place; but a
		 * few bytes must not pin what only a long command will need one day. */
		edtl = min_u32(be32_get(pdu->h.scsi_command.edtl), FIRST_ROOM);
		land_in_buffer(c, edtl > dsl ? edtl : dsl);
	} else if (dsl + rx->trailer <= STREAM_SIZE) {
		rx->state = RX_WHOLE;
	} else {
		land_in_buffer(c, dsl);
	}
	/* Of Data-Out that nobody waits for a wrong digest is reported, too: RFC 7143 7.8. */
	rx->check = (rx->land || opcode == OP_DATA_OUT) && dsl && c->base.params.data_digest;
	return true;
}

/* In the login phase only a Login Request may come. Anything else is shown to the session by its
 * header alone: a browser or a port scanner is not to be waited for. */
static bool before_login(struct tcp_conn *c)
{
	struct tcp_rx *rx = &c->rx;
	struct pdu *pdu = &rx->pdu;

	if (pdu_opcode(&pdu->h.bhs) == OP_DATA_OUT)
		return refuse(c, &pdu->h);
	if (pdu->data_len) {
		pdu->dropped = true;
		rx->delivered = true;
		rx->land = NULL;
		rx->land_left = pdu->data_len;
		rx->trailer = (uint8_t)(pdu_padded(pdu->data_len) - pdu->data_len);
		rx->check = false;
		rx->state = RX_DATA;
	}
	return deliver(c, true);
}

static bool parse_header(struct tcp_conn *c)
{
	const struct conn_params *params = &c->base.params;
	struct tcp_rx *rx = &c->rx;
	const union pdu_header *h = (const union pdu_header *)(c->stream + rx->start);
	uint32_t ahs_len, len, dsl;
	struct pdu *pdu = &rx->pdu;

	if (stream_len(rx) < BHS_LEN)
		return false;
	ahs_len = h->bhs.total_ahs_len * 4u;
	if (ahs_len > (params->full_feature ? AHS_MAX : 0u))
		return refuse(c, h);
	len = BHS_LEN + ahs_len + (params->header_digest ? DIGEST_LEN : 0u);
	if (stream_len(rx) < len)
		return false;
	if (params->header_digest &&
	    !digest_matches((const uint8_t *)h + BHS_LEN + ahs_len,
			    crc32c_update(CRC32C_INIT, h, BHS_LEN + ahs_len))) {
		/* No field can be trusted: there is nothing to answer to, and at no level of error
		 * recovery a place where the next PDU begins (7.8). */
		tcp_conn_fail(c, "header digest error");
		return false;
	}
	dsl = be24_get(h->bhs.dlength);
	if (dsl > (params->full_feature ? params->max_recv_dsl : (uint32_t)LOGIN_DATA_MAX))
		return refuse(c, h);

	pdu->h = *h;
	pdu->ahs_len = ahs_len;
	if (ahs_len)
		memcpy(pdu->ahs, (const uint8_t *)h + BHS_LEN, ahs_len);
	pdu->data_len = dsl;
	pdu->data = NULL;
	pdu->dropped = false;
	rx->start += len;
	stat_add(&c->base.pdus_in, 1);

	if (!params->full_feature && pdu_opcode(&pdu->h.bhs) != OP_LOGIN_REQUEST)
		return before_login(c);
	if (dsl || pdu_opcode(&pdu->h.bhs) == OP_DATA_OUT)
		return begin_data(c);
	return deliver(c, true);
}

/* A small data segment: shown to the session where it is. */
static bool parse_whole(struct tcp_conn *c)
{
	struct tcp_rx *rx = &c->rx;
	uint32_t dsl = rx->pdu.data_len;
	const uint8_t *data = c->stream + rx->start;
	uint32_t padded = pdu_padded(dsl);
	bool ok = true;

	if (stream_len(rx) < dsl + rx->trailer)
		return false;
	if (c->base.params.data_digest)
		ok = digest_matches(data + padded, crc32c_update(CRC32C_INIT, data, padded));
	rx->start += dsl + rx->trailer;
	rx->pdu.data = data;
	rx->state = RX_HEADER;
	return deliver(c, ok);
}

static void landed(struct tcp_conn *c, uint32_t n)
{
	struct tcp_rx *rx = &c->rx;

	if (rx->check)
		rx->crc = crc32c_update(rx->crc, rx->land, n);
	rx->land += n;
	rx->land_left -= n;
}

/* Payload that came along with its header is the only payload that is ever copied. */
static bool parse_data(struct tcp_conn *c)
{
	struct tcp_rx *rx = &c->rx;
	uint32_t n = min_u32(stream_len(rx), rx->land_left);

	if (n && rx->land) {
		memcpy(rx->land, c->stream + rx->start, n);
		stat_add(&c->base.reactor->stats.bytes_copied, n);
		stat_add(&c->base.bytes_copied, n);
		landed(c, n);
	} else {
		if (rx->check)
			rx->crc = crc32c_update(rx->crc, c->stream + rx->start, n);
		rx->land_left -= n;
	}
	rx->start += n;
	if (rx->land_left)
		return false;
	rx->state = RX_TRAILER;
	return true;
}

static bool parse_trailer(struct tcp_conn *c)
{
	struct tcp_rx *rx = &c->rx;
	const uint8_t *trailer = c->stream + rx->start;
	bool ok = true;

	if (stream_len(rx) < rx->trailer)
		return false;
	if (rx->check) {
		uint32_t pad = rx->trailer - DIGEST_LEN;

		ok = digest_matches(trailer + pad, crc32c_update(rx->crc, trailer, pad));
	}
	rx->start += rx->trailer;
	rx->state = RX_HEADER;
	if (rx->delivered)
		rx->delivered = false;
	else if (pdu_opcode(&rx->pdu.h.bhs) == OP_DATA_OUT)
		tcp_data_out_end(c, ok);
	else
		deliver(c, ok);
	return true;
}

static void parse(struct tcp_conn *c)
{
	struct tcp_rx *rx = &c->rx;
	bool more = true;

	while (more && !rx->stopped) {
		switch (rx->state) {
		case RX_HEADER: more = parse_header(c); break;
		case RX_WHOLE: more = parse_whole(c); break;
		case RX_DATA: more = parse_data(c); break;
		case RX_TRAILER: more = parse_trailer(c); break;
		}
	}
}

unsigned int tcp_rx_iov(struct tcp_conn *c, struct iovec iov[2])
{
	struct tcp_rx *rx = &c->rx;
	unsigned int n = 0;
	uint32_t room;

	if (rx->start) {
		memmove(c->stream, c->stream + rx->start, stream_len(rx));
		rx->end -= rx->start;
		rx->start = 0;
	}
	room = STREAM_SIZE - rx->end;
	assert(room);
	if (rx->state == RX_DATA && rx->land && rx->land_left) {
		iov[n].iov_base = rx->land;
		iov[n++].iov_len = rx->land_left;
	}
	/* The stream would be filled with payload that then has to be copied. */
	if (c->large_bursts || (n && rx->pdu.data_len >= LARGE))
		room = min_u32(room, STREAM_AHEAD);
	iov[n].iov_base = c->stream + rx->end;
	iov[n++].iov_len = room;
	return n;
}

void tcp_rx_received(struct tcp_conn *c, uint32_t n)
{
	struct tcp_rx *rx = &c->rx;

	stat_add(&c->base.bytes_in, n);
	if (rx->state == RX_DATA && rx->land && rx->land_left) {
		uint32_t in_place = min_u32(n, rx->land_left);

		landed(c, in_place);
		n -= in_place;
	}
	rx->end += n;
	assert(rx->end <= STREAM_SIZE);
	tcp_data_let_go(c);
	if (!rx->stopped)
		parse(c);
	if (rx->stopped)
		tcp_rx_discard(c);
}

static void receive_done(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct tcp_conn *c = container_of(op, struct tcp_conn, rx.op);
	struct tcp_rx *rx = &c->rx;

	(void)cqe_flags;
	rx->armed = false;
	if (res > 0) {
		rx->drained = (uint32_t)res < rx->offered;
		tcp_rx_received(c, (uint32_t)res);
	} else {
		tcp_data_let_go(c);
	}
	if (c->state == TCP_DEAD) {
		tcp_conn_defer(c);
	} else if (!res) {
		rx->eof = true;
		if (c->state == TCP_FLUSHING)
			tcp_conn_defer(c);
		else
			tcp_conn_fail(c, "closed by the peer");
	} else if (res < 0 && res != -ECANCELED && res != -EINTR && res != -EAGAIN) {
		tcp_conn_fail(c, strerrordesc_np(-res));
	} else {
		tcp_rx_arm(c);
	}
}

size_t tcp_rx_feed(struct tcp_conn *c, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;
	size_t left = len;

	while (left && !c->rx.stopped) {
		struct iovec iov[2];
		unsigned int n = tcp_rx_iov(c, iov);
		uint32_t got = 0;

		for (unsigned int i = 0; i < n && left; i++) {
			size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;

			memcpy(iov[i].iov_base, from, part);
			from += part;
			left -= part;
			got += (uint32_t)part;
		}
		tcp_rx_received(c, got);
	}
	return len - left;
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
	rx->msg.msg_iovlen = tcp_rx_iov(c, rx->iov);
	rx->offered = (uint32_t)rx->iov[0].iov_len;
	if (rx->msg.msg_iovlen > 1)
		rx->offered += (uint32_t)rx->iov[1].iov_len;
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
	c->rx.drained = true;
}
