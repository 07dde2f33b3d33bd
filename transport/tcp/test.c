// SPDX-License-Identifier: BSD-2-Clause
/* A TCP connection whose socket is the caller: unit tests and fuzzers. */
#include "transport/tcp/test.h"

#include <string.h>

#include "tcp.h"

struct conn *tcp_conn_create_test(struct reactor *r, const struct conn_up *up, void *ctx)
{
	struct tcp_conn *c;

	tcp_load_add(r);
	c = tcp_conn_create(r, -1, up);
	if (!c)
		return NULL;
	tcp_conn_start(c, ctx);
	return &c->base;
}

size_t tcp_test_feed(struct conn *conn, const void *bytes, size_t len)
{
	return tcp_rx_feed(tcp_conn_of(conn), bytes, len);
}

void tcp_test_eof(struct conn *conn)
{
	struct tcp_conn *c = tcp_conn_of(conn);

	c->rx.eof = true;
	if (c->state != TCP_FLUSHING)
		tcp_conn_fail(c, "closed by the peer");
}

size_t tcp_test_output(struct conn *conn, void *out, size_t size)
{
	struct tcp_conn *c = tcp_conn_of(conn);
	struct msghdr *msg;
	size_t n = 0;

	if (!c->tx.batch || !size)
		return 0;
	msg = &c->tx.batch->msg;
	for (size_t i = 0; i < msg->msg_iovlen && n < size; i++) {
		size_t part = msg->msg_iov[i].iov_len;

		if (part > size - n)
			part = size - n;
		memcpy((uint8_t *)out + n, msg->msg_iov[i].iov_base, part);
		n += part;
	}
	tcp_tx_sent(c, (int)n);
	return n;
}

uint64_t tcp_test_dropped(const struct conn *conn)
{
	return container_of(conn, struct tcp_conn, base)->data_out_dropped;
}
