// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the tests of the transports share: a tiny session layer that writes down every up-call as
 * a line of text, and a peer that composes PDUs as bytes.
 */
#ifndef RISER_TESTS_UNIT_TRANSPORT_RIG_H
#define RISER_TESTS_UNIT_TRANSPORT_RIG_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/slab.h"
#include "tests/lib/unit.h"
#include "transport.h"
#include "transport/tcp/digest.h"
#include "transport/tcp/test.h"

enum { RIG_LOG = 1 << 16, WIRE_MAX = 4 << 20, RIG_TRANSFERS = 64 };

struct rig {
	struct slab *slab;
	struct reactor *r;
	struct conn *conn; /* NULL after closed() */
	char log[RIG_LOG];
	size_t log_len;
	/* A chance to act in an up-call. */
	void (*on_pdu)(struct rig *rig, struct pdu *pdu);
	void (*on_error)(struct rig *rig, bool fatal);
	void (*on_done)(struct rig *rig, struct transfer *t);
	unsigned int transfers; /* used of: */
	struct transfer transfer[RIG_TRANSFERS];
	unsigned int sent, stamps;
};

struct wire {
	size_t len;
	bool header_digest, data_digest;
	uint8_t b[WIRE_MAX];
};

/* FNV-1a: tells payloads apart in the log. */
static inline uint32_t rig_sum(const void *data, size_t len)
{
	uint32_t sum = 2166136261u;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ ((const uint8_t *)data)[i]) * 16777619u;
	return sum;
}

static inline void rig_pattern(void *data, size_t len, uint32_t seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		((uint8_t *)data)[i] = (uint8_t)(x >> 24);
	}
}

__attribute__((format(printf, 2, 3))) static inline void rig_note(struct rig *rig, const char *fmt,
								  ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(rig->log + rig->log_len, RIG_LOG - rig->log_len, fmt, ap);
	va_end(ap);
	if (n < 0 || rig->log_len + (size_t)n >= RIG_LOG)
		abort();
	rig->log_len += (size_t)n;
}

/* The log so far, which starts afresh. */
static inline const char *rig_log(struct rig *rig)
{
	static char copy[RIG_LOG];

	memcpy(copy, rig->log, rig->log_len + 1);
	rig->log_len = 0;
	rig->log[0] = 0;
	return copy;
}

static inline struct reactor *rig_place(void *ctx, const struct sockaddr_storage *peer)
{
	(void)peer;
	return ((struct rig *)ctx)->r;
}

static inline void rig_accepted(void *ctx, struct conn *conn)
{
	struct rig *rig = ctx;

	conn->user = rig;
	rig->conn = conn;
}

static inline void rig_pdu_received(struct conn *conn, struct pdu *pdu)
{
	struct rig *rig = conn->user;

	rig_note(rig, "pdu %02x itt %x", pdu->h.bhs.opcode & OPCODE_MASK, be32_get(pdu->h.bhs.itt));
	if (pdu->ahs_len)
		rig_note(rig, " ahs %u %x", pdu->ahs_len, rig_sum(pdu->ahs, pdu->ahs_len));
	if (pdu->data_len)
		rig_note(rig, " data %u", pdu->data_len);
	if (pdu->data)
		rig_note(rig, " %x", rig_sum(pdu->data, pdu->data_len));
	rig_note(rig, "%s%s%s\n", pdu->buf ? " buf" : "", pdu->dropped ? " dropped" : "",
		 pdu->data_digest_error ? " digest" : "");
	if (rig->on_pdu)
		rig->on_pdu(rig, pdu);
}

static inline void rig_protocol_error(struct conn *conn, const union pdu_header *h,
				      enum reject_reason reason, bool fatal)
{
	struct rig *rig = conn->user;

	rig_note(rig, "error %02x opcode %02x%s\n", (unsigned int)reason,
		 h->bhs.opcode & OPCODE_MASK, fatal ? " fatal" : "");
	if (rig->on_error)
		rig->on_error(rig, fatal);
}

static inline void rig_transfer_done(struct conn *conn, struct transfer *t)
{
	static const char *const results[] = {
		[TRANSFER_OK] = "ok",
		[TRANSFER_DIGEST] = "digest",
		[TRANSFER_UNEXPECTED] = "unexpected",
		[TRANSFER_SHORT] = "short",
		[TRANSFER_NO_MEMORY] = "no memory",
		[TRANSFER_CANCELED] = "canceled",
	};
	struct rig *rig = conn->user;

	rig_note(rig, "done %x %s %u\n", be32_get(t->h.bhs.itt), results[t->result], t->received);
	if (rig->on_done)
		rig->on_done(rig, t);
}

static inline void rig_closed(struct conn *conn)
{
	struct rig *rig = conn->user;

	rig_note(rig, "closed\n");
	rig->conn = NULL;
}

/* The template's numbers stand. */
static inline void rig_stamp(struct conn *conn, union pdu_header *r2t)
{
	(void)r2t;
	((struct rig *)conn->user)->stamps++;
}

static const struct conn_up rig_up = {
	.place = rig_place,
	.accepted = rig_accepted,
	.pdu_received = rig_pdu_received,
	.protocol_error = rig_protocol_error,
	.transfer_done = rig_transfer_done,
	.stamp = rig_stamp,
	.closed = rig_closed,
};

/* Negotiated parameters that tests start from. */
static inline struct conn_params rig_params(void)
{
	return (struct conn_params){
		.initial_r2t = true,
		.immediate_data = true,
		.max_recv_dsl = 65536,
		.max_xmit_dsl = 8192,
		.max_burst = 32768,
		.first_burst = 16384,
		.max_outstanding_r2t = 1,
	};
}

static inline struct rig *rig_create(void)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	if (!rig || slab_create(8 << 20, &rig->slab) || reactor_create_virtual(rig->slab, &rig->r))
		abort();
	return rig;
}

/* A TCP connection without a socket. */
static inline struct rig *rig_tcp(const struct conn_params *params)
{
	struct rig *rig = rig_create();

	if (!tcp_conn_create_test(rig->r, &rig_up, rig))
		abort();
	if (params)
		conn_apply_keys(rig->conn, params);
	return rig;
}

static inline void rig_turn(struct rig *rig)
{
	while (reactor_turn(rig->r))
		;
}

/* Closes what is open; everything must have come back. */
static inline void rig_destroy(struct rig *rig)
{
	if (rig->conn)
		conn_close(rig->conn, false);
	rig_turn(rig);
	CU_ASSERT_PTR_NULL(rig->conn);
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	CU_ASSERT_EQUAL(atomic_load(&rig->r->load), 0);
	reactor_destroy(rig->r);
	slab_destroy(rig->slab);
	free(rig);
}

/* Everything that the target sends, in the order of turns. */
static inline void rig_drain(struct rig *rig, struct wire *out)
{
	size_t n;

	do {
		rig_turn(rig);
		n = rig->conn ? tcp_test_output(rig->conn, out->b + out->len, WIRE_MAX - out->len)
			      : 0;
		out->len += n;
	} while (n);
}

static inline struct transfer *rig_transfer(struct rig *rig, uint32_t itt, uint32_t offset,
					    uint32_t len)
{
	struct transfer *t = &rig->transfer[rig->transfers++];

	if (rig->transfers > RIG_TRANSFERS)
		abort();
	memset(t, 0, sizeof(*t));
	t->h.bhs.itt = be32_of(itt);
	t->offset = offset;
	t->len = len;
	t->data = len ? calloc(1, len) : NULL;
	return t;
}

static inline struct transfer *rig_get(struct rig *rig, uint32_t itt, uint32_t len)
{
	struct transfer *t = rig_transfer(rig, itt, 0, len);

	conn_get_data(rig->conn, t);
	return t;
}

/* Unsolicited data that comes first. */
static inline struct transfer *rig_get_unsolicited(struct rig *rig, uint32_t itt, uint32_t offset,
						   uint32_t len)
{
	struct transfer *t = rig_transfer(rig, itt, offset, len);

	t->unsolicited = true;
	t->h.bhs.lun[1] = 9;
	conn_get_data(rig->conn, t);
	return t;
}

/* A Data-In template with every field of status set; nothing is sent yet. */
static inline struct transfer *rig_data_in(struct rig *rig, uint32_t itt, uint32_t offset,
					   uint32_t len)
{
	struct transfer *t = rig_transfer(rig, itt, offset, len);

	if (len)
		rig_pattern(t->data, len, itt + offset);
	t->h.data_in.status = 0x5a;
	t->h.data_in.flags = DATA_IN_UNDERFLOW;
	t->h.data_in.statsn = be32_of(77);
	t->h.data_in.expcmdsn = be32_of(88);
	t->h.data_in.maxcmdsn = be32_of(99);
	t->h.data_in.residual = be32_of(55);
	t->h.data_in.lun[1] = 3;
	return t;
}

static inline void rig_free_data(struct rig *rig)
{
	for (unsigned int i = 0; i < rig->transfers; i++)
		free(rig->transfer[i].data);
	rig->transfers = 0;
}

static inline struct wire *wire_create(void)
{
	struct wire *w = malloc(sizeof(*w));

	if (!w)
		abort();
	w->len = 0;
	w->header_digest = w->data_digest = false;
	return w;
}

/* One with the digests of the connection. */
static inline struct wire *wire_for(const struct rig *rig)
{
	struct wire *w = wire_create();

	if (rig->conn) {
		w->header_digest = rig->conn->params.header_digest;
		w->data_digest = rig->conn->params.data_digest;
	}
	return w;
}

static inline void wire_add(struct wire *w, const void *p, size_t len)
{
	if (w->len + len > WIRE_MAX)
		abort();
	if (len)
		memcpy(w->b + w->len, p, len);
	w->len += len;
}

static inline void wire_digest(struct wire *w, size_t from)
{
	uint8_t digest[DIGEST_LEN];

	digest_put(digest, crc32c_update(CRC32C_INIT, w->b + from, w->len - from));
	wire_add(w, digest, sizeof(digest));
}

static inline void wire_pdu(struct wire *w, const union pdu_header *header, const void *ahs,
			    uint32_t ahs_len, const void *data, uint32_t len)
{
	static const uint8_t zero[4];
	union pdu_header h = *header;
	size_t from = w->len;

	h.bhs.total_ahs_len = (uint8_t)(ahs_len / 4);
	h.bhs.dlength = be24_of(len);
	wire_add(w, &h, BHS_LEN);
	wire_add(w, ahs, ahs_len);
	if (w->header_digest)
		wire_digest(w, from);
	from = w->len;
	wire_add(w, data, len);
	wire_add(w, zero, pdu_padded(len) - len);
	if (w->data_digest && len)
		wire_digest(w, from);
}

/* A PDU that the transport only passes on: payload is the pattern of its itt. */
static inline void wire_plain(struct wire *w, uint8_t opcode, uint32_t itt, uint32_t len)
{
	union pdu_header h = { .bhs = { .opcode = opcode, .flags = PDU_FINAL } };
	uint8_t *data = calloc(1, len + 1);

	rig_pattern(data, len, itt);
	h.bhs.itt = be32_of(itt);
	wire_pdu(w, &h, NULL, 0, data, len);
	free(data);
}

static inline void wire_command(struct wire *w, uint32_t itt, uint32_t edtl, uint32_t immediate)
{
	union pdu_header h = { .scsi_command = { .opcode = OP_SCSI_COMMAND, .flags = CMD_FINAL } };
	uint8_t *data = calloc(1, immediate + 1);

	rig_pattern(data, immediate, itt);
	h.bhs.itt = be32_of(itt);
	h.scsi_command.edtl = be32_of(edtl);
	wire_pdu(w, &h, NULL, 0, data, immediate);
	free(data);
}

/* Bytes [offset, offset + len) of the pattern of itt. */
static inline void wire_data_out(struct wire *w, uint32_t itt, uint32_t ttt, uint32_t datasn,
				 uint32_t offset, uint32_t len, bool final)
{
	union pdu_header h = { .data_out = { .opcode = OP_DATA_OUT } };
	size_t whole = (size_t)(offset & 0xfffff) + len;
	uint8_t *data = calloc(1, whole + 1);

	rig_pattern(data, whole, itt);
	h.data_out.flags = final ? PDU_FINAL : 0;
	h.bhs.itt = be32_of(itt);
	h.data_out.ttt = be32_of(ttt);
	h.data_out.datasn = be32_of(datasn);
	h.data_out.buffer_offset = be32_of(offset);
	wire_pdu(w, &h, NULL, 0, data + (offset & 0xfffff), len);
	free(data);
}

/* Feeds all of it and empties it. */
static inline void rig_feed(struct rig *rig, struct wire *w)
{
	tcp_test_feed(rig->conn, w->b, w->len);
	w->len = 0;
}

/* Feeds all of it; the log of what that did. */
static inline const char *rig_fed(struct rig *rig, struct wire *w)
{
	rig_feed(rig, w);
	return rig_log(rig);
}

/* The end of a test: its memory goes before the connection does, which has no use for it. */
static inline void rig_end(struct rig *rig, struct wire *w)
{
	rig_free_data(rig);
	rig_destroy(rig);
	free(w);
}

/* Reads the PDU at *at of what the target sent; false: that was the end. */
static inline bool wire_read(const struct wire *w, size_t *at, union pdu_header *h,
			     const uint8_t **data, uint32_t *len)
{
	size_t p = *at;

	if (p == w->len)
		return false;
	CU_ASSERT_FATAL(p + BHS_LEN <= w->len);
	memcpy(h, w->b + p, BHS_LEN);
	p += BHS_LEN;
	if (w->header_digest) {
		CU_ASSERT(digest_matches(w->b + p, crc32c_update(CRC32C_INIT, h, BHS_LEN)));
		p += DIGEST_LEN;
	}
	*len = be24_get(h->bhs.dlength);
	*data = w->b + p;
	CU_ASSERT_FATAL(p + pdu_padded(*len) <= w->len);
	p += pdu_padded(*len);
	if (w->data_digest && *len) {
		CU_ASSERT(digest_matches(w->b + p,
					 crc32c_update(CRC32C_INIT, *data, pdu_padded(*len))));
		p += DIGEST_LEN;
	}
	*at = p;
	return true;
}

/* An R2T as the peer reads it. */
struct r2t {
	uint32_t itt, ttt, r2tsn, offset, len;
};

/* The R2Ts that the target sends now. */
static inline unsigned int read_r2ts(struct rig *rig, struct r2t *r, unsigned int max)
{
	struct wire *w = wire_for(rig);
	union pdu_header h;
	const uint8_t *data;
	unsigned int n = 0;
	size_t at = 0;
	uint32_t len;

	rig_drain(rig, w);
	while (wire_read(w, &at, &h, &data, &len)) {
		CU_ASSERT_FATAL(n < max);
		CU_ASSERT_EQUAL(h.bhs.opcode, OP_R2T);
		CU_ASSERT_EQUAL(h.bhs.flags, PDU_FINAL);
		CU_ASSERT_EQUAL(len, 0);
		r[n].itt = be32_get(h.bhs.itt);
		r[n].ttt = be32_get(h.r2t.ttt);
		r[n].r2tsn = be32_get(h.r2t.r2tsn);
		r[n].offset = be32_get(h.r2t.buffer_offset);
		r[n].len = be32_get(h.r2t.desired_len);
		CU_ASSERT(r[n].ttt != TAG_NONE);
		n++;
	}
	free(w);
	return n;
}

/* The only R2T that the target sends now. */
static inline struct r2t read_r2t(struct rig *rig)
{
	struct r2t r;

	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, &r, 1), 1);
	return r;
}

/* All that the R2T asks for. */
static inline void wire_answer(struct wire *w, const struct r2t *r)
{
	wire_data_out(w, r->itt, r->ttt, 0, r->offset, r->len, true);
}

/* The transfer's buffer begins with len bytes of its command's pattern. */
static inline bool landed(const struct transfer *t, uint32_t itt, uint32_t len)
{
	uint8_t *want = calloc(1, t->offset + len);
	bool same;

	rig_pattern(want, t->offset + len, itt);
	same = !memcmp(t->data, want + t->offset, len);
	free(want);
	return same;
}

#endif
