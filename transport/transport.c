// SPDX-License-Identifier: BSD-2-Clause
/*
 * The checked way into a transport: every down-call of the session layer passes here, so that a
 * call from the wrong thread, in the wrong state or with a length that was not negotiated stops
 * at its caller and not in a transport's corner.
 */
#include "transport.h"

#include <arpa/inet.h>
#include <assert.h>
#include <net/if.h>
#include <stdio.h>

#include "core/log.h"

#define trace(conn, ...)                                               \
	do {                                                           \
		if (__builtin_expect(log_enabled(LOG_LEVEL_DEBUG), 0)) \
			trace_write(conn, __VA_ARGS__);                \
	} while (0)

#define trace_write(conn, fmt, ...) \
	log_write(LOG_LEVEL_DEBUG, "%s: " fmt, (conn)->peer_name, __VA_ARGS__)

/* "%eth0", or nothing where the address is the same on every link. */
static void format_link(uint32_t scope, char out[IF_NAMESIZE + 1])
{
	char name[IF_NAMESIZE];

	out[0] = '\0';
	if (scope && if_indextoname(scope, name))
		snprintf(out, IF_NAMESIZE + 1, "%%%s", name);
	else if (scope)
		snprintf(out, IF_NAMESIZE + 1, "%%%u", scope);
}

void address_format(const struct sockaddr_storage *ss, char *out, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "", link[IF_NAMESIZE + 1];

	if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		format_link(in6->sin6_scope_id, link);
		snprintf(out, size, "[%s%s]:%u", host, link, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(out, size, "%s:%u", host, ntohs(in->sin_port));
	}
}

static uint32_t itt_of(const union pdu_header *h)
{
	return be32_get(h->bhs.itt);
}

void conn_offer_keys(struct conn *conn, struct conn_params *can)
{
	assert_owner(conn->reactor);
	assert(!conn->params.full_feature);
	conn->ops->offer_keys(conn, can);
	assert(conn->digests || (!can->header_digest && !can->data_digest));
	assert(can->rdma_extensions || !can->needs_extensions);
}

void conn_apply_keys(struct conn *conn, const struct conn_params *params)
{
	assert_owner(conn->reactor);
	assert(!conn->params.full_feature ||
	       (params->header_digest == conn->params.header_digest &&
		params->data_digest == conn->params.data_digest &&
		params->rdma_extensions == conn->params.rdma_extensions));
	assert(params->max_recv_dsl >= 512 && params->max_recv_dsl <= BUF_MAX);
	assert(params->max_xmit_dsl >= 512);
	assert(params->max_burst >= 512 && params->first_burst <= params->max_burst);
	assert(params->max_outstanding_r2t >= 1);
	assert(conn->digests || (!params->header_digest && !params->data_digest));
	trace(conn,
	      "full feature phase, digests %d %d, extensions %d, segments %u in %u out, burst %u",
	      params->header_digest, params->data_digest, params->rdma_extensions,
	      params->max_recv_dsl, params->max_xmit_dsl, params->max_burst);
	conn->ops->apply_keys(conn, params);
	assert(conn->params.full_feature);
}

void conn_send_pdu(struct conn *conn, struct tx_pdu *pdu)
{
	assert_owner(conn->reactor);
	assert(pdu->sent);
	assert(!pdu->data_len || pdu->data);
	assert(pdu->data_len <= conn->params.max_xmit_dsl);
	assert(!conn->params.full_feature || !conn->max_full_feature_data ||
	       pdu->data_len <= conn->max_full_feature_data);
	/* Data and the invitation to send it are the transport's own. */
	assert(pdu_opcode(&pdu->h.bhs) != OP_DATA_IN && pdu_opcode(&pdu->h.bhs) != OP_R2T);
	assert(!pdu->h.bhs.total_ahs_len);
	trace(conn, "send opcode %#x itt %#x, %u bytes", pdu->h.bhs.opcode, itt_of(&pdu->h),
	      pdu->data_len);
	conn->ops->send_pdu(conn, pdu);
}

void conn_put_data(struct conn *conn, struct transfer *t)
{
	assert_owner(conn->reactor);
	assert(conn->params.full_feature);
	assert(t->len ? t->data != NULL : t->with_status);
	assert((uint64_t)t->offset + t->len <= UINT32_MAX);
	trace(conn, "put itt %#x, %u bytes at %u%s%s", itt_of(&t->h), t->len, t->offset,
	      t->with_status ? " with status" : "", t->part ? " again" : "");
	conn->ops->put_data(conn, t);
}

void conn_get_data(struct conn *conn, struct transfer *t)
{
	assert_owner(conn->reactor);
	assert(conn->params.full_feature);
	/* An unsolicited sequence may be drained into nothing. */
	assert(t->len ? t->data != NULL : t->unsolicited);
	assert((uint64_t)t->offset + t->len <= UINT32_MAX);
	trace(conn, "get itt %#x, %u bytes at %u%s", itt_of(&t->h), t->len, t->offset,
	      t->unsolicited ? ", unsolicited" : "");
	conn->ops->get_data(conn, t);
}

bool conn_resend_r2ts(struct conn *conn, uint32_t itt, uint32_t from, uint32_t count)
{
	assert_owner(conn->reactor);
	assert(conn->params.full_feature);
	trace(conn, "R2Ts of itt %#x again, %u from %u", itt, count, from);
	return conn->ops->resend_r2ts(conn, itt, from, count);
}

void conn_cancel_data(struct conn *conn, struct transfer *t)
{
	assert_owner(conn->reactor);
	trace(conn, "cancel itt %#x", itt_of(&t->h));
	conn->ops->cancel_data(conn, t);
}

void conn_hand_over(struct conn *conn, struct reactor *to, void *ctx)
{
	assert_owner(conn->reactor);
	assert(conn->movable && !conn->closing && !conn->params.full_feature);
	assert(to != conn->reactor && !conn->pdus_out);
	trace(conn, "goes over to reactor %u", to->index);
	conn->ops->hand_over(conn, to, ctx);
	assert(conn->closing);
}

void conn_close(struct conn *conn, bool flush)
{
	assert_owner(conn->reactor);
	trace(conn, "close%s", flush ? " after what is queued" : "");
	conn->ops->close(conn, flush);
	assert(conn->closing);
}
