// SPDX-License-Identifier: BSD-2-Clause
/* The RDMA transport as the rest of the daemon sees it: its table, its keys, the plug-in. */
#include "transport/rdma/rdma.h"

#include "core/log.h"

static void offer_keys(struct conn *conn, struct conn_params *can)
{
	(void)conn;
	/* The fabric's own CRC protects every packet: RFC 7145 6.1. */
	can->header_digest = can->data_digest = false;
	can->rdma_extensions = can->needs_extensions = true;
	/* A connection cannot go over to the reactor of another: its receives are of that HCA's pool
	 * there. And the fabric loses nothing that a level above 0 could bring back. */
	can->error_recovery_level = 0;
	can->max_connections = 1;
	can->max_recv_dsl = RECV_DATA;
	/* One receive takes all that comes unasked for. More is cheaper to read than to be sent. */
	can->first_burst = RECV_DATA;
	/* What the initiator declares of either needs no care: we never have more than two NOP-Ins
	 * under way, which is the least it may declare, and send no additional header segments. */
	can->max_unexpected = UNEXPECTED_MAX;
	can->max_ahs = AHS_MAX;
}

/* The RNIC fetches the data; there is no R2T that could get lost. */
static bool resend_r2ts(struct conn *conn, uint32_t itt, uint32_t from, uint32_t count)
{
	(void)conn, (void)itt, (void)from, (void)count;
	return false;
}

/* Never called: no connection of ours is movable. */
static void hand_over(struct conn *conn, struct reactor *to, void *ctx)
{
	(void)to, (void)ctx;
	rdma_close(conn, false);
}

static void apply_keys(struct conn *conn, const struct conn_params *params)
{
	struct rdma_conn *c = rdma_conn_of(conn);
	uint32_t receives = RECV_DISCOVERY;

	conn->params = *params;
	conn->params.full_feature = true;
	/* open-iscsi's discovery is no iSER session at all and goes on with its login buffers. */
	if (params->rdma_extensions) {
		conn->max_full_feature_data = FULL_FEATURE_DATA;
		receives = params->command_window + UNEXPECTED_MAX;
	}
	rdma_peer_settled(c);
	/* Before the final Login Response, which goes out at the end of the turn. */
	if (c->state == RDMA_OPEN && !rdma_rx_grow(c, receives)) {
		static struct log_limit limit = LOG_LIMIT(5);

		log_write_limited(&limit, LOG_LEVEL_WARN,
				  "%s: no memory for %u receives, closing; raise --memory or the "
				  "limit of locked memory (ulimit -l)",
				  conn->peer_name, receives);
		rdma_conn_fail(c, "no memory for receives");
	}
}

static struct transport_error errors[] = {
	[RDMA_ERROR_COMPLETION] = { .name = "completion" },
	[RDMA_ERROR_QUEUE_PAIR] = { .name = "queue-pair" },
	[RDMA_ERROR_CONNECTION] = { .name = "connection" },
	[RDMA_ERROR_REGISTRATION] = { .name = "registration" },
	[RDMA_ERROR_DEVICE] = { .name = "device" },
	{ 0 },
};

void rdma_count_error(enum rdma_error error)
{
	atomic_fetch_add_explicit(&errors[error].count, 1, memory_order_relaxed);
}

const struct transport_ops rdma_transport = {
	.name = "iser",
	.listen = rdma_portal_listen,
	.unlisten = rdma_portal_unlisten,
	.offer_keys = offer_keys,
	.apply_keys = apply_keys,
	.send_pdu = rdma_send_pdu,
	.put_data = rdma_put_data,
	.get_data = rdma_get_data,
	.resend_r2ts = resend_r2ts,
	.cancel_data = rdma_cancel_data,
	.hand_over = hand_over,
	.close = rdma_close,
	.errors = errors,
};
