// SPDX-License-Identifier: BSD-2-Clause
/* Data that moves without PDUs, as a capture has it: as if there had been some. */
#include "capture.h"

#include <string.h>

#include "transport/rdma/rdma.h"

void rdma_captured_put(struct rdma_conn *c, const struct transfer *t)
{
	union pdu_header h = t->h;

	h.data_in.flags = t->with_status || t->final ? PDU_FINAL : 0;
	h.data_in.status = 0;
	h.data_in.ttt = be32_of(TAG_NONE);
	h.data_in.statsn = h.data_in.residual = be32_of(0);
	h.data_in.datasn = be32_of(t->sn);
	h.data_in.buffer_offset = be32_of(t->offset);
	capture_pdu(&c->base, CAPTURE_OUT, &h, t->data, t->len);
}

void rdma_captured_get(struct rdma_conn *c, const struct transfer *t)
{
	union pdu_header h = t->h;

	h.r2t.flags = PDU_FINAL;
	h.r2t.ttt = be32_of(t->offset);
	h.r2t.r2tsn = be32_of(t->sn);
	h.r2t.buffer_offset = be32_of(t->offset);
	h.r2t.desired_len = be32_of(t->len);
	capture_pdu(&c->base, CAPTURE_OUT, &h, NULL, 0);
}

void rdma_captured_got(struct rdma_conn *c, const struct transfer *t)
{
	union pdu_header h = { 0 };

	h.data_out.opcode = OP_DATA_OUT;
	h.data_out.flags = PDU_FINAL;
	memcpy(h.data_out.lun, t->h.r2t.lun, sizeof(h.data_out.lun));
	h.data_out.itt = t->h.r2t.itt;
	h.data_out.ttt = be32_of(t->offset);
	h.data_out.expstatsn = t->h.r2t.statsn;
	h.data_out.buffer_offset = be32_of(t->offset);
	capture_pdu(&c->base, CAPTURE_IN, &h, t->data, t->len);
}
