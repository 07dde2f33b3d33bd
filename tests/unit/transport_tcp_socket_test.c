// SPDX-License-Identifier: BSD-2-Clause
/* iSCSI over real sockets on loopback, target and peer on threads of their own. */
#include "tests/unit/transport_socket_rig.h"
#include "transport/tcp/tcp.h"

static void converse(int family, bool header_digest, bool data_digest, uint32_t r2ts)
{
	static const uint32_t sizes[] = { 1, 512, 4096, 4097, 8191, 30000, 65536, 262144, 700001 };
	struct server *s = server_start(family);
	static uint8_t data[DISK];
	struct client c;

	s->params.header_digest = header_digest;
	s->params.data_digest = data_digest;
	s->params.max_outstanding_r2t = r2ts;
	s->params.initial_r2t = false;
	c = client_login(s);
	for (uint32_t i = 0; i < array_size(sizes); i++) {
		uint32_t len = sizes[i], now = len < 4000 ? len : 4000;

		rig_pattern(data, len, i + r2ts);
		add_command(&c, 2, i, 11, len, data, now, true);
		flush(&c);
		serve_write(&c, i, data);
		on_reactor(s, nothing);
		CU_ASSERT_EQUAL(memcmp(s->disk + 11, data, len), 0);
		add_command(&c, 1, i, 3, len, NULL, 0, true);
		flush(&c);
		expect_read(s, &c, i, 3, len);
		on_reactor(s, nothing);
	}
	/* Many at a time. */
	for (uint32_t i = 0; i < TASKS - 1; i++)
		add_command(&c, 1, i, i * 512, 4096 + i, NULL, 0, true);
	flush(&c);
	for (uint32_t i = 0; i < TASKS - 1; i++)
		expect_read(s, &c, i, i * 512, 4096 + i);
	client_close(&c);
	wait_for(&s->closed);
	server_stop(s);
}

static void reads_and_writes_over_ipv4(void)
{
	converse(AF_INET, false, false, 1);
	converse(AF_INET, false, false, 16);
}

static void reads_and_writes_over_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	struct portal_address a = loopback(AF_INET6);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a.addr, a.len)) {
		if (fd >= 0)
			close(fd);
		UNIT_SKIP("no IPv6 on this machine");
	}
	close(fd);
	converse(AF_INET6, false, false, 4);
}

static void reads_and_writes_with_digests(void)
{
	converse(AF_INET, true, true, 1);
	converse(AF_INET, true, true, 16);
}

/* More than the connection's own stream takes: received into the reactor's. */
static void many_small_writes_at_once(void)
{
	struct server *s = server_start(AF_INET);
	struct client c = client_login(s);
	static uint8_t data[DISK];

	for (uint32_t round = 0; round < 20; round++) {
		uint32_t at = 0, len;

		rig_pattern(data, sizeof(data), round);
		for (uint32_t i = 0; i < TASKS - 1; i++, at += len) {
			len = 1 + (i * 977 + round * 531) % 9000;
			add_command(&c, 2, i, at, len, data + at, len, true);
		}
		flush(&c);
		for (uint32_t i = 0; i < TASKS - 1; i++) {
			const uint8_t *none;
			union pdu_header h;
			uint32_t zero;

			CU_ASSERT_FATAL(receive(&c, &h, &none, &zero));
			CU_ASSERT_EQUAL(h.bhs.opcode, OP_SCSI_RESPONSE);
			CU_ASSERT_EQUAL(be32_get(h.bhs.itt), i);
		}
		on_reactor(s, nothing);
		CU_ASSERT_EQUAL(memcmp(s->disk, data, at), 0);
	}
	client_close(&c);
	wait_for(&s->closed);
	server_stop(s);
}

static void unsolicited_data_then_r2t(void)
{
	struct server *s = server_start(AF_INET);
	struct client c = client_login(s);
	static uint8_t data[50000];
	union pdu_header out = { .data_out = { .opcode = OP_DATA_OUT, .flags = PDU_FINAL } };

	rig_pattern(data, sizeof(data), 5);
	add_command(&c, 2, 7, 0, sizeof(data), data, 3000, false);
	out.bhs.itt = be32_of(7);
	out.data_out.ttt = be32_of(TAG_NONE);
	out.data_out.buffer_offset = be32_of(3000);
	wire_pdu(c.out, &out, NULL, 0, data + 3000, 13000);
	flush(&c);
	serve_write(&c, 7, data);
	on_reactor(s, nothing);
	CU_ASSERT_EQUAL(memcmp(s->disk, data, sizeof(data)), 0);
	client_close(&c);
	wait_for(&s->closed);
	server_stop(s);
}

static void logout_is_answered_before_the_end(void)
{
	struct server *s = server_start(AF_INET);
	struct client c = client_login(s);
	const uint8_t *data;
	union pdu_header h;
	uint32_t len;

	add_command(&c, 1, 1, 0, 500000, NULL, 0, true);
	wire_plain(c.out, OP_LOGOUT_REQUEST, 2, 0);
	/* Unread bytes in the target's socket must not turn its last words into a reset. */
	wire_plain(c.out, OP_NOP_OUT, 3, 60000);
	flush(&c);
	expect_read(s, &c, 1, 0, 500000);
	CU_ASSERT_FATAL(receive(&c, &h, &data, &len));
	CU_ASSERT_EQUAL(h.bhs.opcode, OP_LOGOUT_RESPONSE);
	CU_ASSERT_EQUAL(hear(c.fd), 0);
	client_close(&c);
	wait_for(&s->closed);
	server_stop(s);
}

static void answer_is_due(struct server *s)
{
	s->conn->answer_due = true;
}

static void last_answer(struct server *s)
{
	respond(task_get(s, s->conn), OP_LOGOUT_RESPONSE, be32_of(7), NULL, 0);
	conn_close(s->conn, true);
	/* Not that, but what the peer does has to end the connection. */
	timer_cancel(s->r, &tcp_conn_of(s->conn)->flush_timer);
}

/* Who sends no more may still be waiting for an answer; and who has it and closes is let go at once. */
static void half_closed_peer_gets_its_answer(void)
{
	for (int half = 0; half < 2; half++) {
		struct server *s = server_start(AF_INET);
		struct client c = client_login(s);
		const uint8_t *data;
		union pdu_header h;
		uint32_t len;

		on_reactor(s, answer_is_due);
		if (half)
			CU_ASSERT_EQUAL(shutdown(c.fd, SHUT_WR), 0);
		for (int i = 0; i < 3; i++)
			on_reactor(s, nothing);
		on_reactor(s, last_answer);
		CU_ASSERT_FATAL(receive(&c, &h, &data, &len));
		CU_ASSERT_EQUAL(h.bhs.opcode, OP_LOGOUT_RESPONSE);
		CU_ASSERT_EQUAL(hear(c.fd), 0);
		client_close(&c);
		wait_for(&s->closed);
		server_stop(s);
	}
}

static void close_it(struct server *s)
{
	conn_close(s->conn, false);
	conn_close(s->conn, true);
}

static void flush_it(struct server *s)
{
	conn_close(s->conn, true);
}

/* A peer that asks for megabytes and reads none: the socket is full, sends are in flight. */
static void close_with_everything_in_flight(void)
{
	struct server *s = server_start(AF_INET);

	s->params.max_outstanding_r2t = 4;
	for (int round = 0; round < 2; round++) {
		struct client c = client_login(s);
		struct pollfd p = { .fd = c.fd, .events = POLLIN };

		for (uint32_t i = 0; i < 40; i++)
			add_command(&c, 1, i, 0, DISK, NULL, 0, true);
		add_command(&c, 2, 50, 0, DISK, NULL, 0, true);
		/* Half a Data-Out for an unknown task and half an immediate write. */
		wire_data_out(c.out, 99, 1, 0, 0, 3000, false);
		add_command(&c, 2, 51, 0, 60000, s->disk, 60000, true);
		c.out->len -= 30000;
		flush(&c);
		while (poll(&p, 1, 20000) < 0)
			CU_ASSERT_EQUAL_FATAL(errno, EINTR);
		CU_ASSERT(p.revents & POLLIN);
		on_reactor(s, round ? flush_it : close_it);
		wait_for(&s->closed); /* with flush: after its deadline */
		client_close(&c);
	}
	server_stop(s);
}

static uint8_t landing[100000];
static struct task *cancel_task;

static void get_it(struct server *s)
{
	struct task *task = task_get(s, s->conn);

	cancel_task = task;
	task->t.h.bhs.itt = be32_of(5);
	task->t.data = landing;
	task->t.len = sizeof(landing);
	task->t.unsolicited = true;
	conn_get_data(s->conn, &task->t);
}

static void cancel_task_now(struct server *s)
{
	conn_cancel_data(s->conn, &cancel_task->t);
}

static void was_canceled(struct server *s)
{
	(void)s;
	CU_ASSERT_FALSE(cancel_task->used);
	CU_ASSERT_EQUAL(cancel_task->t.result, TRANSFER_CANCELED);
	memset(landing, 0, sizeof(landing));
}

/* The kernel holds the landing zone: the transfer comes back, and what the peer sends of that
 * PDU afterwards lands nowhere. */
static void cancel_while_data_lands(void)
{
	struct server *s = server_start(AF_INET);
	struct client c = client_login(s);
	union pdu_header out = { .data_out = { .opcode = OP_DATA_OUT, .flags = PDU_FINAL } };
	static uint8_t data[60000];
	size_t whole;

	memset(data, 0xee, sizeof(data));
	on_reactor(s, get_it);
	out.bhs.itt = be32_of(5);
	out.data_out.ttt = be32_of(TAG_NONE);
	wire_pdu(c.out, &out, NULL, 0, data, sizeof(data));
	whole = c.out->len;
	c.out->len = 20000;
	flush(&c);
	while (atomic_load(&s->conn->bytes_in) < 333 + 3 + BHS_LEN + 20000)
		on_reactor(s, nothing);
	on_reactor(s, cancel_task_now);
	for (int i = 0; i < 3; i++)
		on_reactor(s, nothing);
	on_reactor(s, was_canceled);
	memmove(c.out->b, c.out->b + 20000, whole - 20000);
	c.out->len = whole - 20000;
	add_command(&c, 1, 6, 0, 100, NULL, 0, true);
	flush(&c);
	expect_read(s, &c, 6, 0, 100);
	for (size_t i = 0; i < sizeof(landing); i++)
		CU_ASSERT_FATAL(landing[i] == 0);
	client_close(&c);
	wait_for(&s->closed);
	server_stop(s);
}

static void many_connections(void)
{
	struct server *s = server_start(AF_INET);
	struct client c[50];

	for (size_t i = 0; i < array_size(c); i++)
		c[i] = client_login(s);
	CU_ASSERT_EQUAL(atomic_load(&s->r->load), array_size(c));
	for (size_t i = 0; i < array_size(c); i++)
		client_close(&c[i]);
	for (size_t i = 0; i < array_size(c); i++)
		wait_for(&s->closed);
	server_stop(s);
}

/* Out of descriptors: the peer is hung up on at once, and service goes on when there are some. */
static void no_descriptor_left(void)
{
	int filler[128], fd, fillers = 0;
	struct rlimit before, low;
	struct server *s;
	struct client c;

	/* An accept in flight knows the limit from when it was armed. */
	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &low);
	s = server_start(AF_INET);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_FATAL(fd >= 0);
	while ((filler[fillers] = dup(fd)) >= 0)
		fillers++;
	CU_ASSERT_EQUAL(connect(fd, (struct sockaddr *)&s->addr.addr, s->addr.len), 0);
	CU_ASSERT(hear(fd) <= 0);
	while (fillers)
		close(filler[--fillers]);
	close(fd);
	CU_ASSERT_EQUAL(atomic_load(&s->accepted), 0);
	c = client_login(s);
	client_close(&c);
	wait_for(&s->closed);
	CU_ASSERT_EQUAL(atomic_load(&s->accepted), 1);
	server_stop(s);
	setrlimit(RLIMIT_NOFILE, &before);
}

static void address_in_use(void)
{
	struct server *s = server_start(AF_INET);
	struct portal_address same = s->addr;
	struct listener *l;
	char why[200] = "", want[200], name[64];

	CU_ASSERT_EQUAL(tcp_transport.listen(s->r, &same, &up, s, &l, why, sizeof(why)),
			-EADDRINUSE);
	address_format(&same.addr, name, sizeof(name));
	snprintf(want, sizeof(want), "%s: cannot bind: Address already in use", name);
	CU_ASSERT_STRING_EQUAL(why, want);
	server_stop(s);
}

UNIT_MAIN(TEST(reads_and_writes_over_ipv4), TEST(reads_and_writes_over_ipv6),
	  TEST(reads_and_writes_with_digests), TEST(many_small_writes_at_once),
	  TEST(unsolicited_data_then_r2t), TEST(logout_is_answered_before_the_end),
	  TEST(half_closed_peer_gets_its_answer), TEST(close_with_everything_in_flight),
	  TEST(cancel_while_data_lands), TEST(many_connections), TEST(no_descriptor_left),
	  TEST(address_in_use));
