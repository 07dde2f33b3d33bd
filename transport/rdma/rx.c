// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the initiator sends. A receive lands in two places, the headers in a slot of the header
 * block and the data segment at the start of a 4 KiB aligned buffer, so that immediate data can go
 * to a disk from where it landed: the command takes the buffer and the receive gets another one.
 *
 * No length of the peer is used before it was held against what the device says has arrived.
 */
#include "transport/rdma/rdma.h"

#include <string.h>

#include "capture.h"
#include "core/log.h"

static struct log_limit peer_limit = LOG_LIMIT(10);

#define peer_warn(c, fmt, ...)                                                 \
	log_write_limited(&peer_limit, LOG_LEVEL_WARN, "%s: " fmt ", closing", \
			  (c)->base.peer_name, __VA_ARGS__)

/* --- PDUs */

static void refuse(struct rdma_conn *c, enum reject_reason reason)
{
	c->base.up->protocol_error(&c->base, &c->rx.pdu.h, reason, true);
}

/* How much of a write comes without being asked for (RFC 7143 4.2.5.2): what the advertised buffer
 * does not hold. */
static uint32_t unsolicited_len(const struct rdma_conn *c, const struct pdu *pdu)
{
	const struct bhs_scsi_command *req = &pdu->h.scsi_command;
	uint32_t edtl = be32_get(req->edtl), first = c->base.params.first_burst;

	if (req->flags & CMD_FINAL)
		return pdu->data_len;
	return first < edtl ? first : edtl;
}

/* Reads the STags of a command. False: they contradict its R and W bits. */
static bool take_tags(struct rdma_conn *c, const struct iser_header *ih, struct pdu *pdu)
{
	const struct bhs_scsi_command *req = &pdu->h.scsi_command;
	uint32_t edtl = be32_get(req->edtl), unsolicited = unsolicited_len(c, pdu);
	bool reads = req->flags & CMD_READ, writes = req->flags & CMD_WRITE;
	bool rsv = ih->flags & ISER_RSV, wsv = ih->flags & ISER_WSV;
	uint64_t *remote = pdu->remote.opaque;

	if ((rsv && !reads) || (wsv && !writes))
		return false;
	if (reads && !writes && edtl && !rsv)
		return false;
	if (writes && edtl > unsolicited && !wsv)
		return false;
	remote[REMOTE_WRITE_VA] = be64_get(ih->write_va);
	/* ib_iser and libiscsi advertise the address behind the unsolicited data. */
	if (!c->base.params.tagged_from_start)
		remote[REMOTE_WRITE_VA] -= unsolicited;
	remote[REMOTE_READ_VA] = be64_get(ih->read_va);
	remote[REMOTE_STAGS] = (uint64_t)be32_get(ih->write_stag) << 32 | be32_get(ih->read_stag);
	remote[REMOTE_FLAGS_EDTL] = (uint64_t)(ih->flags & (ISER_RSV | ISER_WSV)) << 32 | edtl;
	return true;
}

/* The data segment behind an additional header segment: not where the buffer begins, and its end may
 * be in the tail. */
static void move_data(struct rdma_conn *c, struct rdma_recv *recv, uint32_t ahs_len, uint32_t len)
{
	uint32_t here = RECV_DATA - ahs_len;

	if (here > len)
		here = len;
	memmove(recv->data->data, recv->data->data + ahs_len, here);
	memcpy(recv->data->data + here, recv->header + RECV_TAIL, len - here);
	stat_add(&c->base.bytes_copied, len);
	stat_add(&c->base.reactor->stats.bytes_copied, len);
}

/* Unsolicited Data-Out is to follow, more than the receive has room for: only an initiator that never
 * spoke of FirstBurstLength may do that. NULL: no memory. */
static struct buf *with_room(struct rdma_conn *c, struct buf *landed, uint32_t room)
{
	uint32_t len = c->rx.pdu.data_len;
	struct buf *b;

	if (room <= landed->size)
		return landed;
	b = buf_get(c->base.reactor, room);
	if (b) {
		memcpy(b->data, landed->data, len);
		stat_add(&c->base.bytes_copied, len);
		stat_add(&c->base.reactor->stats.bytes_copied, len);
	}
	buf_put(c->base.reactor, landed);
	return b;
}

/* The command may keep its data where it is; then the receive needs another buffer. */
static void command(struct rdma_conn *c, struct rdma_recv *recv)
{
	struct pdu *pdu = &c->rx.pdu;
	uint32_t room = unsolicited_len(c, pdu);
	struct buf *landed = recv->data;

	if (pdu->data_len && rdma_recv_new_data(recv)) {
		pdu->buf = with_room(c, landed, room < FIRST_ROOM ? room : FIRST_ROOM);
		pdu->data = pdu->buf ? pdu->buf->data : NULL;
	}
	if (pdu->data_len && !pdu->buf) {
		pdu->dropped = true;
		pdu->data = NULL;
	}
	c->base.up->pdu_received(&c->base, pdu);
	buf_put(c->base.reactor, pdu->buf);
}

/* 0 is an iSER header of a PDU without a buffer. */
static void dispatch(struct rdma_conn *c, const struct iser_header *ih, struct rdma_recv *recv)
{
	struct pdu *pdu = &c->rx.pdu;
	uint8_t op = pdu_opcode(&pdu->h.bhs);

	if (op == OP_SCSI_COMMAND) {
		if (!take_tags(c, ih, pdu)) {
			peer_warn(c, "STags that contradict the command, iSER flags 0x%02x",
				  ih->flags);
			refuse(c, REJECT_PROTOCOL_ERROR);
			return;
		}
		command(c, recv);
		return;
	}
	if (ih->flags & (ISER_RSV | ISER_WSV)) {
		peer_warn(c, "an STag with opcode 0x%02x", op);
		refuse(c, REJECT_PROTOCOL_ERROR);
	} else if (op == OP_SNACK) { /* nothing is ever lost: RFC 7145 7.3.12 */
		peer_warn(c, "SNACK, opcode 0x%02x", op);
		refuse(c, REJECT_PROTOCOL_ERROR);
	} else if (op != OP_DATA_OUT) {
		c->base.up->pdu_received(&c->base, pdu);
	} else if (!c->base.params.full_feature || be32_get(pdu->h.data_out.ttt) != TAG_NONE) {
		/* Solicited data is read by us: RFC 7145 7.3.4. */
		peer_warn(c, "Data-Out with TTT 0x%08x", be32_get(pdu->h.data_out.ttt));
		refuse(c, REJECT_PROTOCOL_ERROR);
	} else {
		rdma_data_out(c, &pdu->h.data_out, pdu->data, pdu->data_len);
	}
}

/* An iSCSI PDU of len bytes, headers included. */
static void pdu_arrived(struct rdma_conn *c, struct rdma_recv *recv, uint32_t len)
{
	const struct iser_header *ih = (const void *)recv->header;
	struct pdu *pdu = &c->rx.pdu;
	uint32_t body, ahs_len, data_len;

	if (len < HEADERS) {
		peer_warn(c, "a Send of %u bytes is no PDU", len);
		rdma_conn_fail(c, "short Send");
		return;
	}
	body = len - HEADERS;
	memcpy(&pdu->h, recv->header + sizeof(*ih), BHS_LEN);
	ahs_len = pdu->h.bhs.total_ahs_len * 4u;
	data_len = be24_get(pdu->h.bhs.dlength);
	/* With or without padding: initiators differ. */
	if (ahs_len > AHS_MAX || ahs_len > body || data_len > body - ahs_len ||
	    body - ahs_len - data_len > 3 || data_len > c->base.params.max_recv_dsl) {
		peer_warn(c, "a Send of %u bytes for an AHS of %u and data of %u", len, ahs_len,
			  data_len);
		rdma_conn_fail(c, "lengths do not add up");
		return;
	}
	memcpy(pdu->ahs, recv->data->data, ahs_len);
	if (ahs_len && data_len)
		move_data(c, recv, ahs_len, data_len);
	pdu->ahs_len = ahs_len;
	pdu->data_len = data_len;
	pdu->data = data_len ? recv->data->data : NULL;
	pdu->buf = NULL;
	pdu->dropped = pdu->data_digest_error = false;
	memset(&pdu->remote, 0, sizeof(pdu->remote));
	stat_add(&c->base.pdus_in, 1);
	capture_received(&c->base, pdu);
	dispatch(c, ih, recv);
}

static bool speaks(const struct iser_hello *hello, int version)
{
	return version >= (hello->versions & 0x0f) && version <= hello->versions >> 4;
}

/* RFC 7145 5.1.2.2, never required: over InfiniBand and RoCE the connection manager's private data
 * says the same. */
static void hello_arrived(struct rdma_conn *c, const struct rdma_recv *recv, uint32_t len)
{
	const struct iser_hello *hello = (const void *)recv->header;
	struct iser_hello_reply *reply = &c->tx.hello_reply;
	uint32_t ird;

	if (len != sizeof(*hello) || c->rx.greeted || c->base.pdus_in ||
	    c->base.params.full_feature) {
		peer_warn(c, "a Hello of %u bytes at the wrong time or of the wrong length", len);
		rdma_conn_fail(c, "unexpected Hello");
		return;
	}
	ird = be16_get(hello->ird);
	if (ird && ird < c->ord)
		c->ord = ird;
	memset(reply, 0, sizeof(*reply));
	reply->flags = ISER_HELLO_REPLY;
	reply->versions = ISER_VERSION << 4;
	if (speaks(hello, ISER_VERSION))
		reply->versions |= ISER_VERSION;
	else if (speaks(hello, ISER_VERSION_RFC5046))
		reply->versions |= ISER_VERSION_RFC5046;
	else
		reply->flags |= ISER_HELLO_REPLY_REJECT;
	reply->ord = be16_of((uint16_t)c->ord);
	c->tx.hello_due = c->rx.greeted = true;
	rdma_conn_defer(c);
	if (reply->flags & ISER_HELLO_REPLY_REJECT) {
		peer_warn(c, "iSER versions %u to %u are none of ours", hello->versions & 0x0f,
			  hello->versions >> 4);
		rdma_close(&c->base, true);
	}
}

static void arrived(struct rdma_conn *c, struct rdma_recv *recv, uint32_t len)
{
	const struct iser_header *ih = (const void *)recv->header;

	stat_add(&c->base.bytes_in, len);
	if (len < sizeof(*ih)) {
		peer_warn(c, "a Send of %u bytes has no iSER header", len);
		rdma_conn_fail(c, "short Send");
		return;
	}
	switch (ih->flags & ISER_OPCODE_MASK) {
	case ISER_CTRL: pdu_arrived(c, recv, len); break;
	case ISER_HELLO: hello_arrived(c, recv, len); break;
	default:
		peer_warn(c, "iSER opcode 0x%02x", ih->flags & ISER_OPCODE_MASK);
		rdma_conn_fail(c, "unknown iSER opcode");
	}
}

/* How many receives a connection may take of others: what it may send before it has an answer of
 * ours, Data-Outs included, twice, since some of it may belong to answers under way. */
static bool over_quota(struct rdma_conn *c)
{
	const struct conn_params *p = &c->base.params;
	uint32_t each = 1 + p->first_burst / (p->max_recv_dsl ? p->max_recv_dsl : 1);

	if (c->rx.rq->owner)
		return false;
	if (c->state == RDMA_OPEN && c->rx.emptied != c->cq->emptied)
		c->rx.taken = 0;
	c->rx.emptied = c->cq->emptied;
	return ++c->rx.taken > 2 * each * c->rx.demand;
}

void rdma_rx_completed(struct rdma_conn *c, struct rdma_recv *recv, uint32_t byte_len)
{
	if ((c->state == RDMA_CONNECTING || c->state == RDMA_OPEN) && over_quota(c)) {
		peer_warn(c, "%u PDUs without an answer", c->rx.taken);
		rdma_conn_fail(c, "no more receives of others");
	}
	if (c->state == RDMA_CONNECTING) {
		/* The initiator is quicker than its connection manager's last message. */
		recv->byte_len = byte_len;
		rdma_recv_chain(&c->rx.parked_end, recv);
		rdma_conn_early_receive(c);
		return;
	}
	if (c->state == RDMA_OPEN)
		arrived(c, recv, byte_len);
	rdma_recv_chain(&recv->rq->repost_end, recv);
	rdma_conn_defer(c);
}

void rdma_rx_unpark(struct rdma_conn *c)
{
	struct rdma_recv *recv = rdma_recv_take(&c->rx.parked, &c->rx.parked_end), *next;

	for (; recv; recv = next) {
		next = recv->next;
		rdma_rx_completed(c, recv, recv->byte_len);
	}
}
