// SPDX-License-Identifier: BSD-2-Clause
/* Targets whose command window is tried out, and initiators that do not take their data. */
#ifndef TESTS_UNIT_SESSION_FLOW_RIG_H
#define TESTS_UNIT_SESSION_FLOW_RIG_H

#include "session/flow.h"
#include "session_links_rig.h"

enum { WINDOW = 128, DATA_TIMEOUT_S = 10 };

#define LEVEL_2_RECOVERY LEVEL_2 "ErrorRecoveryLevel=2\0DefaultTime2Retain=5\0"

static inline void up(struct rig *rig, const char *disk, uint32_t window)
{
	struct server_limits limits = server_default_limits;

	limits.nop_interval_s = 0;
	limits.data_timeout_s = DATA_TIMEOUT_S;
	limits.window = window;
	CU_ASSERT_FATAL(rig_up_on(rig, disk, &limits, 1));
}

static inline void down(struct rig *rig)
{
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	CU_ASSERT_TRUE(list_empty(&rig->server->reactors[0].sessions));
	rig_down(rig);
}

/* --- Answers that are not read */

static struct list unread;

static inline void keep_data(struct conn *conn, struct transfer *t)
{
	conn->bytes_queued += BHS_LEN + t->len;
	list_add_tail(&unread, &t->node);
}

static inline void read_again(struct conn *conn)
{
	struct list *node;

	conn->ops = &memory_transport;
	while ((node = list_pop(&unread))) {
		struct transfer *t = list_entry(node, struct transfer, node);

		conn->bytes_queued -= BHS_LEN + t->len;
		memory_transport.put_data(conn, t);
	}
}

static inline void deaf_close(struct conn *conn, bool flush)
{
	memory_transport.close(conn, flush);
	read_again(conn);
}

/* Data-In stays with the transport; everything else goes through. */
static inline struct conn *stop_reading(struct initiator *in)
{
	static struct transport_ops deaf;
	struct conn *conn = memory_conn(in->peer);

	deaf = memory_transport;
	deaf.put_data = keep_data;
	deaf.close = deaf_close;
	list_init(&unread);
	conn->ops = &deaf;
	return conn;
}

#endif
