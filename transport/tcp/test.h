// SPDX-License-Identifier: BSD-2-Clause
/*
 * TCP connections without sockets, for unit tests and fuzzers: bytes are fed into the same code
 * that a receive completes into, landing zones included, and taken out of the same send batches.
 * They live on a virtual reactor. Nothing here frees a connection before a turn of the reactor.
 */
#ifndef RISER_TRANSPORT_TCP_TEST_H
#define RISER_TRANSPORT_TCP_TEST_H

#include <stddef.h>

#include "transport.h"

/* accepted() was called. NULL: out of memory. */
struct conn *tcp_conn_create_test(struct reactor *r, const struct conn_up *up, void *ctx);
/* Bytes from the peer. Returns how many were taken: fewer when the connection stopped reading. */
size_t tcp_test_feed(struct conn *conn, const void *bytes, size_t len);
/* The peer closes its side. */
void tcp_test_eof(struct conn *conn);
/* Bytes to the peer: at most size of the send in flight, 0 when there is none (turn first). A
 * send that was taken completely is completed: sent() and transfer_done() come from here. */
size_t tcp_test_output(struct conn *conn, void *out, size_t size);
/* Data-Out PDUs for commands that nobody knows any more. */
uint64_t tcp_test_dropped(const struct conn *conn);

#endif
