// SPDX-License-Identifier: BSD-2-Clause
/* Unsolicited Data-Out: where it goes that comes by Send and not by a Read of ours (tx.c). */
#include "transport/rdma/rdma.h"

#include <string.h>

static struct transfer *find_unsolicited(struct rdma_conn *c, struct be32 itt)
{
	struct list *node;

	list_for_each(node, &c->tx.unsolicited) {
		struct transfer *t = list_entry(node, struct transfer, node);

		if (!memcmp(&t->h.bhs.itt, &itt, sizeof(itt)))
			return t;
	}
	return NULL;
}

/* t->sn: the next DataSN; t->result: the first failure, the rest then goes nowhere. */
static void land(struct rdma_conn *c, struct transfer *t, const struct bhs_data_out *h,
		 const uint8_t *data, uint32_t len)
{
	uint32_t offset = be32_get(h->buffer_offset);

	if (t->result != TRANSFER_OK)
		return;
	if ((uint64_t)offset + len > (uint64_t)t->offset + t->len) {
		t->result = TRANSFER_SHORT;
	} else if (be32_get(h->datasn) != t->sn || offset != t->offset + t->received) {
		t->result = TRANSFER_DIGEST;
	} else {
		if (len)
			memcpy((uint8_t *)t->data + t->received, data, len);
		t->received += len;
		t->sn++;
		stat_add(&c->base.bytes_copied, len);
		stat_add(&c->base.reactor->stats.bytes_copied, len);
	}
}

void rdma_data_out(struct rdma_conn *c, const struct bhs_data_out *h, const uint8_t *data,
		   uint32_t len)
{
	struct transfer *t = find_unsolicited(c, h->itt);

	if (!t)
		return; /* legal after an abort, and not worth an answer otherwise */
	land(c, t, h, data, len);
	if (!(h->flags & PDU_FINAL))
		return;
	list_del(&t->node);
	c->base.up->transfer_done(&c->base, t);
}
