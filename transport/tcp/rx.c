// SPDX-License-Identifier: BSD-2-Clause
/*
 * What was received becomes PDUs. Headers and small data segments are looked at only when they are
 * complete; everything else lands in place. The result does not depend on how the peer cuts its
 * bytes.
 */
#include "tcp.h"

#include <string.h>

#include "capture.h"
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
	capture_received(&c->base, pdu);
	c->base.up->pdu_received(&c->base, pdu);
	buf_put(c->base.reactor, pdu->buf);
	buf_put(c->base.reactor, gathered);
	return true;
}

/* A data segment up to here, trailer included, is shown to the session where it was received.
 * Immediate data, which can be long, only if it does not have to be moved for that. */
static uint32_t whole_max(const struct tcp_rx *rx, uint8_t opcode)
{
	enum { WHOLE_MAX = LARGE + 3 + DIGEST_LEN };
	uint32_t here = stream_len(rx);

	if (opcode != OP_SCSI_COMMAND)
		return STREAM_SIZE;
	return here > WHOLE_MAX ? here : WHOLE_MAX;
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
	} else if (dsl + rx->trailer <= whole_max(rx, opcode)) {
		rx->state = RX_WHOLE;
	} else if (opcode == OP_SCSI_COMMAND) {
		/* Room for what else belongs to the command, so that it can follow in place; but a
		 * few bytes must not pin what only a long command will need one day. */
		edtl = min_u32(be32_get(pdu->h.scsi_command.edtl), FIRST_ROOM);
		land_in_buffer(c, edtl > dsl ? edtl : dsl);
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
	const union pdu_header *h = (const union pdu_header *)(rx->bytes + rx->start);
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

/* Shown to the session where it is: pdu->buf is NULL, its data is lent. */
static bool parse_whole(struct tcp_conn *c)
{
	struct tcp_rx *rx = &c->rx;
	uint32_t dsl = rx->pdu.data_len;
	const uint8_t *data = rx->bytes + rx->start;
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

void tcp_rx_landed(struct tcp_conn *c, uint32_t n)
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
		memcpy(rx->land, rx->bytes + rx->start, n);
		stat_add(&c->base.reactor->stats.bytes_copied, n);
		stat_add(&c->base.bytes_copied, n);
		tcp_rx_landed(c, n);
	} else {
		if (rx->check)
			rx->crc = crc32c_update(rx->crc, rx->bytes + rx->start, n);
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
	const uint8_t *trailer = rx->bytes + rx->start;
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

void tcp_rx_parse(struct tcp_conn *c)
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
