// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a transport has to send, in one queue: struct tx_pdu and struct transfer start alike, and
 * the opcode in the header tells which it is.
 */
#ifndef RISER_TRANSPORT_QUEUE_H
#define RISER_TRANSPORT_QUEUE_H

#include <stddef.h>

#include "transport.h"

struct tx_item {
	struct list node;
	union pdu_header h;
};
static_assert(offsetof(struct tx_item, node) == offsetof(struct tx_pdu, node) &&
		      offsetof(struct tx_item, h) == offsetof(struct tx_pdu, h) &&
		      offsetof(struct tx_item, node) == offsetof(struct transfer, node) &&
		      offsetof(struct tx_item, h) == offsetof(struct transfer, h),
	      "queue items start alike");

static inline struct transfer *tx_item_transfer(struct tx_item *item)
{
	return container_of(&item->node, struct transfer, node);
}

static inline struct tx_pdu *tx_item_pdu(struct tx_item *item)
{
	return container_of(&item->node, struct tx_pdu, node);
}

/* What an item counts in conn.bytes_queued. */
static inline uint64_t tx_item_weight(struct tx_item *item)
{
	bool data = item->h.bhs.opcode == OP_DATA_IN;

	return BHS_LEN + (data ? tx_item_transfer(item)->len : tx_item_pdu(item)->data_len);
}

#endif
