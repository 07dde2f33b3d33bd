// SPDX-License-Identifier: BSD-2-Clause
/* Between bytes and the in-process transport: see memory_stream.h. */
#include "tests/conformance/memory_stream.h"

#include <stdlib.h>
#include <string.h>

#include "core/reactor_impl.h"

enum { R2TS = 16 };

/* What the stream knows of a command: numbers of its PDUs, and the bursts of a long R2T. */
struct command {
	struct list node; /* stream.commands */
	uint32_t itt, datasn, r2tsn;
	uint32_t sequence; /* bytes of Data-In since the last F bit */
	uint32_t
		ack_ttt; /* of the last Data-In with the A bit, and what BegRun of the DataACK is */
	uint32_t ack_begrun, session_begrun; /* here and at the session */
	union pdu_header r2t; /* the session's, its offset that of the next burst */
	uint32_t burst_left; /* bytes of the R2T that were not asked for yet */
	uint32_t burst_ttt[R2TS]; /* of the bursts that are waited for */
	unsigned int burst_count;
};

static struct command *command_find(struct stream *s, uint32_t itt)
{
	struct list *node;

	list_for_each(node, &s->commands) {
		struct command *c = list_entry(node, struct command, node);

		if (c->itt == itt)
			return c;
	}
	return NULL;
}

static struct command *command_of(struct stream *s, uint32_t itt)
{
	struct command *c = command_find(s, itt);

	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->itt = itt;
	list_add_tail(&s->commands, &c->node);
	return c;
}

static void command_end(struct command *c)
{
	if (!c)
		return;
	list_del(&c->node);
	free(c);
}

static void put_bytes(struct stream *s, const void *data, size_t len)
{
	if (s->out_len + len > STREAM_OUT) {
		s->stopped = true;
		return;
	}
	if (s->out_len + len > s->out_size) {
		s->out_size = (s->out_len + len) * 2;
		s->out = realloc(s->out, s->out_size);
		if (!s->out)
			abort();
	}
	memcpy(s->out + s->out_len, data, len);
	s->out_len += len;
}

static void put_pdu(struct stream *s, union pdu_header *h, const void *data, uint32_t len)
{
	static const uint8_t pad[4];

	h->bhs.dlength = be24_of(len);
	put_bytes(s, h, BHS_LEN);
	if (len)
		put_bytes(s, data, len);
	put_bytes(s, pad, pdu_padded(len) - len);
}

/* One record becomes as many PDUs as its length and the bursts want. */
static void put_data_in(struct stream *s, const struct memory_record *r)
{
	struct command *c = command_of(s, be32_get(r->h.bhs.itt));
	uint32_t offset = be32_get(r->h.data_in.buffer_offset), done = 0;

	do {
		union pdu_header h = r->h;
		uint32_t len = r->len - done;

		if (len > s->max_xmit)
			len = s->max_xmit;
		if (len > s->max_burst - c->sequence)
			len = s->max_burst - c->sequence;
		c->sequence += len;
		if (done + len < r->len) {
			h.data_in.flags = c->sequence == s->max_burst ? PDU_FINAL : 0;
			h.data_in.status = 0;
			h.data_in.ttt = be32_of(TAG_NONE);
			h.data_in.statsn = h.data_in.residual = be32_of(0);
		} else if (c->sequence == s->max_burst) {
			h.data_in.flags |= PDU_FINAL;
		}
		if (h.data_in.flags & PDU_FINAL)
			c->sequence = 0;
		h.data_in.datasn = be32_of(c->datasn++);
		if (h.data_in.flags & DATA_IN_ACK) {
			c->ack_ttt = be32_get(h.data_in.ttt);
			c->ack_begrun = c->datasn;
			c->session_begrun = be32_get(r->h.data_in.datasn) + 1;
		}
		h.data_in.buffer_offset = be32_of(offset + done);
		put_pdu(s, &h, r->data + done, len);
		done += len;
	} while (done < r->len);
	if (r->h.data_in.flags & DATA_IN_STATUS)
		command_end(c);
}

/* As many bursts of what an R2T asks for as may be on the way. */
static void put_r2ts(struct stream *s, struct command *c)
{
	struct conn *conn = memory_conn(s->peer);

	while (c->burst_left && c->burst_count < s->max_r2ts && c->burst_count < R2TS) {
		uint32_t len = c->burst_left < s->max_burst ? c->burst_left : s->max_burst;
		uint32_t offset = be32_get(c->r2t.r2t.buffer_offset), ttt = s->next_ttt++;
		union pdu_header h;

		if (conn)
			conn->up->stamp(conn, &c->r2t);
		h = c->r2t;
		h.r2t.ttt = be32_of(ttt);
		h.r2t.r2tsn = be32_of(c->r2tsn++);
		h.r2t.desired_len = be32_of(len);
		put_pdu(s, &h, NULL, 0);
		c->burst_ttt[c->burst_count++] = ttt;
		c->burst_left -= len;
		c->r2t.r2t.buffer_offset = be32_of(offset + len);
	}
}

static void put_record(struct stream *s, struct memory_record *r)
{
	uint32_t itt = be32_get(r->h.bhs.itt);
	struct command *c;

	switch (r->kind) {
	case MEMORY_DATA_IN: put_data_in(s, r); return;
	case MEMORY_R2T:
		c = command_of(s, itt);
		c->r2t = r->h;
		c->burst_left = be32_get(r->h.r2t.desired_len);
		c->burst_count = 0;
		put_r2ts(s, c);
		return;
	case MEMORY_PDU: break;
	}
	if (pdu_opcode(&r->h.bhs) == OP_SCSI_RESPONSE) {
		c = command_find(s, itt);
		if (c)
			r->h.scsi_response.expdatasn = be32_of(c->datasn + c->r2tsn);
		command_end(c);
	}
	put_pdu(s, &r->h, r->data, r->len);
}

/* What was agreed on holds from the PDU on that says so. */
static void learn_keys(struct stream *s)
{
	const struct conn *conn = memory_conn(s->peer);

	if (conn && conn->params.full_feature) {
		s->max_xmit = conn->params.max_xmit_dsl;
		s->max_burst = conn->params.max_burst;
		s->max_r2ts = conn->params.max_outstanding_r2t;
	}
}

void stream_gather(struct stream *s)
{
	struct memory_record *r;

	learn_keys(s);
	while ((r = memory_receive(s->peer))) {
		put_record(s, r);
		free(r);
	}
}

/* Like TCP: not one more byte of this peer can be trusted. */
static void refuse(struct stream *s, struct conn *conn, const union pdu_header *h)
{
	s->stopped = true;
	conn->up->protocol_error(conn, h, REJECT_PROTOCOL_ERROR, true);
}

static void data_out(struct stream *s, const struct bhs_data_out *h, const uint8_t *data,
		     uint32_t len)
{
	uint32_t itt = be32_get(h->itt), ttt = be32_get(h->ttt);
	struct command *c = command_find(s, itt);
	bool final = h->flags & PDU_FINAL;
	unsigned int i = 0;

	if (ttt == TAG_NONE) {
		memory_data_out(s->peer, itt, ttt, be32_get(h->buffer_offset), data, len, final);
		return;
	}
	while (c && i < c->burst_count && c->burst_ttt[i] != ttt)
		i++;
	if (!c || i == c->burst_count)
		return;
	if (final)
		c->burst_ttt[i] = c->burst_ttt[--c->burst_count];
	/* The session has asked for all bursts at once. */
	memory_data_out(s->peer, itt, be32_get(c->r2t.r2t.ttt), be32_get(h->buffer_offset), data,
			len, final && !c->burst_count && !c->burst_left);
	if (final)
		put_r2ts(s, c);
}

static void data_ack(struct stream *s, struct bhs_snack *h)
{
	struct list *node;

	list_for_each(node, &s->commands) {
		struct command *c = list_entry(node, struct command, node);

		if (c->ack_ttt == be32_get(h->ttt) && c->ack_begrun == be32_get(h->begrun))
			h->begrun = be32_of(c->session_begrun);
	}
}

static void deliver(struct stream *s, struct conn *conn, union pdu_header *h, const uint8_t *rest,
		    uint32_t ahs_len, uint32_t len)
{
	uint8_t opcode = pdu_opcode(&h->bhs);
	struct command *c;

	if (opcode == OP_DATA_OUT && conn->params.full_feature) {
		data_out(s, &h->data_out, rest + ahs_len, len);
		return;
	}
	if (opcode == OP_DATA_OUT) {
		refuse(s, conn, h);
		return;
	}
	if (opcode == OP_SCSI_COMMAND) {
		/* A new command, or one that is told again: its numbers are new either way. */
		c = command_find(s, be32_get(h->bhs.itt));
		if (c && !c->datasn && !c->r2tsn)
			command_end(c);
	}
	if (opcode == OP_SNACK && (h->snack.type & 0x0f) == SNACK_DATA_ACK)
		data_ack(s, &h->snack);
	memory_send(s->peer, h, rest, ahs_len, len ? rest + ahs_len : NULL, len);
}

bool stream_take(struct stream *s)
{
	struct conn *conn = memory_conn(s->peer);
	union pdu_header h;
	uint32_t ahs_len, len;
	size_t whole;

	if (!conn || conn->closing || s->stopped || s->in_len < BHS_LEN)
		return false;
	memcpy(&h, s->in, BHS_LEN);
	ahs_len = h.bhs.total_ahs_len * 4u;
	len = be24_get(h.bhs.dlength);
	reactor_set_self(conn->reactor);
	if (ahs_len > (conn->params.full_feature ? AHS_MAX : 0u) ||
	    len > (conn->params.full_feature ? conn->params.max_recv_dsl : LOGIN_DATA_MAX)) {
		refuse(s, conn, &h);
	} else {
		whole = BHS_LEN + ahs_len + pdu_padded(len);
		if (s->in_len < whole)
			return false;
		deliver(s, conn, &h, s->in + BHS_LEN, ahs_len, len);
		s->in_len -= whole;
		memmove(s->in, s->in + whole, s->in_len);
	}
	return true;
}

void stream_init(struct stream *s, struct memory_peer *peer)
{
	memset(s, 0, sizeof(*s));
	s->peer = peer;
	s->in = malloc(STREAM_IN);
	if (!s->in)
		abort();
	list_init(&s->commands);
	s->max_xmit = s->max_burst = LOGIN_DATA_MAX;
	s->next_ttt = 1;
}

void stream_free(struct stream *s)
{
	struct list *node;

	while ((node = list_pop(&s->commands)))
		free(list_entry(node, struct command, node));
	free(s->in);
	free(s->out);
}
