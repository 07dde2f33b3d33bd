// SPDX-License-Identifier: BSD-2-Clause
/*
 * TCP over loopback on a real reactor: a peer with a plain blocking socket against a session
 * layer that answers reads from a pattern and keeps what is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/transport_rig.h"

enum { DISK = 1 << 20, TASKS = 64 };

struct server;

struct task {
	struct transfer t;
	struct tx_pdu response;
	struct server *server;
	struct conn *conn;
	struct buf *immediate;
	bool used;
};

struct server {
	struct slab *slab;
	struct reactor *r;
	struct listener *listener;
	struct portal_address addr;
	struct conn *conn; /* the latest */
	struct task task[TASKS];
	struct conn_params params;
	struct work ask;
	void (*question)(struct server *s);
	_Atomic int accepted;
	sem_t closed, answered;
	uint8_t disk[DISK];
};

static struct reactor *place(void *ctx, const struct sockaddr_storage *peer)
{
	CU_ASSERT(peer->ss_family == AF_INET || peer->ss_family == AF_INET6);
	return ((struct server *)ctx)->r;
}

static void accepted(void *ctx, struct conn *conn)
{
	struct server *s = ctx;

	conn->user = s;
	s->conn = conn;
	atomic_fetch_add(&s->accepted, 1);
}

static struct task *task_get(struct server *s, struct conn *conn)
{
	for (int i = 0; i < TASKS; i++) {
		struct task *task = &s->task[i];

		if (task->used)
			continue;
		memset(task, 0, sizeof(*task));
		task->used = true;
		task->server = s;
		task->conn = conn;
		return task;
	}
	abort();
}

static void response_sent(struct tx_pdu *pdu)
{
	container_of(pdu, struct task, response)->used = false;
}

static void respond(struct task *task, uint8_t opcode, struct be32 itt, const void *data,
		    uint32_t len)
{
	task->response.h.bhs.opcode = opcode;
	task->response.h.bhs.flags = PDU_FINAL;
	task->response.h.bhs.itt = itt;
	task->response.data = data;
	task->response.data_len = len;
	task->response.sent = response_sent;
	conn_send_pdu(task->conn, &task->response);
}

/* cdb[0]: 1 read, 2 write; the position on the disk is in cdb[4..7]. */
static void command(struct server *s, struct conn *conn, struct pdu *pdu)
{
	struct task *task = task_get(s, conn);
	struct transfer *t = &task->t;
	uint32_t at = be32_get(*(const struct be32 *)(pdu->h.scsi_command.cdb + 4));

	t->h.bhs.itt = pdu->h.bhs.itt;
	t->len = be32_get(pdu->h.scsi_command.edtl);
	t->data = s->disk + at;
	if (pdu->h.scsi_command.cdb[0] == 1) {
		t->with_status = true;
		conn_put_data(conn, t);
		return;
	}
	if (pdu->data)
		memcpy(s->disk + at, pdu->data, pdu->data_len);
	t->offset = pdu->data_len;
	t->data = s->disk + at + t->offset;
	t->len -= t->offset;
	t->unsolicited = !(pdu->h.scsi_command.flags & CMD_FINAL);
	if (t->len)
		conn_get_data(conn, t);
	else
		respond(task, OP_SCSI_RESPONSE, t->h.bhs.itt, NULL, 0);
}

static void pdu_received(struct conn *conn, struct pdu *pdu)
{
	static const char key[] = "TargetAlias=socket test";
	struct server *s = conn->user;

	switch (pdu_opcode(&pdu->h.bhs)) {
	case OP_LOGIN_REQUEST:
		respond(task_get(s, conn), OP_LOGIN_RESPONSE, pdu->h.bhs.itt, key, sizeof(key));
		conn_apply_keys(conn, &s->params);
		break;
	case OP_SCSI_COMMAND: command(s, conn, pdu); break;
	case OP_LOGOUT_REQUEST:
		respond(task_get(s, conn), OP_LOGOUT_RESPONSE, pdu->h.bhs.itt, NULL, 0);
		conn_close(conn, true);
		break;
	default: CU_FAIL("unexpected PDU");
	}
}

static void protocol_error(struct conn *conn, const union pdu_header *h, enum reject_reason reason,
			   bool fatal)
{
	(void)h, (void)reason;
	if (fatal)
		conn_close(conn, true);
}

static void transfer_done(struct conn *conn, struct transfer *t)
{
	struct task *task = container_of(t, struct task, t);

	(void)conn;
	if (t->result != TRANSFER_OK || t->with_status)
		task->used = false;
	else if (t->unsolicited && t->received < t->len) {
		/* The rest has to be asked for. */
		t->unsolicited = false;
		t->offset += t->received;
		t->data = (uint8_t *)t->data + t->received;
		t->len -= t->received;
		conn_get_data(task->conn, t);
	} else {
		respond(task, OP_SCSI_RESPONSE, t->h.bhs.itt, NULL, 0);
	}
}

static void conn_closed(struct conn *conn)
{
	struct server *s = conn->user;

	for (int i = 0; i < TASKS; i++)
		CU_ASSERT(!s->task[i].used || s->task[i].conn != conn);
	sem_post(&s->closed);
}

static void stamp(struct conn *conn, union pdu_header *r2t)
{
	(void)conn;
	(void)r2t;
}

static const struct conn_up up = {
	.place = place,
	.accepted = accepted,
	.pdu_received = pdu_received,
	.protocol_error = protocol_error,
	.transfer_done = transfer_done,
	.stamp = stamp,
	.closed = conn_closed,
};

static struct portal_address loopback(int family)
{
	struct portal_address a = { .addr = { .ss_family = (sa_family_t)family } };

	if (family == AF_INET6) {
		((struct sockaddr_in6 *)&a.addr)->sin6_addr = in6addr_loopback;
		a.len = sizeof(struct sockaddr_in6);
	} else {
		((struct sockaddr_in *)&a.addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		a.len = sizeof(struct sockaddr_in);
	}
	return a;
}

static struct server *server_start(int family)
{
	struct server *s = calloc(1, sizeof(*s));
	struct reactor_config cfg = { .cpu = -1 };
	char why[200] = "";

	if (!s || slab_create(16 << 20, &s->slab))
		abort();
	cfg.slab = s->slab;
	if (reactor_create(&cfg, &s->r))
		abort();
	s->params = rig_params();
	s->addr = loopback(family);
	sem_init(&s->closed, 0, 0);
	sem_init(&s->answered, 0, 0);
	CU_ASSERT_EQUAL_FATAL(
		tcp_transport.listen(s->r, &s->addr, &up, s, &s->listener, why, sizeof(why)), 0);
	if (reactor_start(s->r))
		abort();
	return s;
}

static void wait_for(sem_t *sem)
{
	struct timespec ts;

	int err;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += 20;
	do {
		err = sem_timedwait(sem, &ts) ? errno : 0;
	} while (err == EINTR);
	CU_ASSERT_EQUAL_FATAL(err, 0);
}

static void answer(struct work *work)
{
	struct server *s = container_of(work, struct server, ask);

	s->question(s);
	sem_post(&s->answered);
}

/* Runs fn on the reactor's thread and waits for it. */
static void on_reactor(struct server *s, void (*fn)(struct server *s))
{
	s->question = fn;
	s->ask.fn = answer;
	reactor_post(s->r, &s->ask);
	wait_for(&s->answered);
}

static void unlisten(struct server *s)
{
	tcp_transport.unlisten(s->listener);
}

/* A turn: what happened before on either side is known to the other. */
static void nothing(struct server *s)
{
	(void)s;
}

static void server_stop(struct server *s)
{
	on_reactor(s, unlisten);
	for (int i = 0; i < 3; i++)
		on_reactor(s, nothing);
	reactor_stop(s->r);
	reactor_join(s->r);
	CU_ASSERT_EQUAL(atomic_load(&s->r->load), 0);
	CU_ASSERT_EQUAL(slab_in_use(s->slab), 0);
	reactor_destroy(s->r);
	slab_destroy(s->slab);
	free(s);
}

/* The peer */

struct client {
	int fd;
	struct wire *out;
	struct wire *in; /* one PDU */
};

static int dial(const struct server *s)
{
	int fd = socket(s->addr.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval tv = { .tv_sec = 20 };

	CU_ASSERT_FATAL(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	CU_ASSERT_EQUAL_FATAL(connect(fd, (const struct sockaddr *)&s->addr.addr, s->addr.len), 0);
	return fd;
}

static void flush(struct client *c)
{
	size_t at = 0;

	while (at < c->out->len) {
		ssize_t n = send(c->fd, c->out->b + at, c->out->len - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		CU_ASSERT_FATAL(n > 0);
		at += (size_t)n;
	}
	c->out->len = 0;
}

/* 1 if there is a byte, 0 at the end, -1 after a reset or when nothing comes. */
static int hear(int fd)
{
	ssize_t n;
	char byte;

	do {
		n = recv(fd, &byte, 1, 0);
	} while (n < 0 && errno == EINTR);
	return (int)n;
}

static bool read_exactly(struct client *c, size_t n)
{
	CU_ASSERT_FATAL(c->in->len + n <= WIRE_MAX);
	while (n) {
		ssize_t got = recv(c->fd, c->in->b + c->in->len, n, 0);

		/* The end of an earlier ring may interrupt this thread. */
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		c->in->len += (size_t)got;
		n -= (size_t)got;
	}
	return true;
}

static bool receive(struct client *c, union pdu_header *h, const uint8_t **data, uint32_t *len)
{
	uint32_t rest;
	size_t at = 0;

	c->in->len = 0;
	if (!read_exactly(c, BHS_LEN + (c->in->header_digest ? DIGEST_LEN : 0u)))
		return false;
	rest = be24_get(((struct bhs *)c->in->b)->dlength);
	rest = pdu_padded(rest) + (rest && c->in->data_digest ? (uint32_t)DIGEST_LEN : 0u);
	return read_exactly(c, rest) && wire_read(c->in, &at, h, data, len);
}

static struct client client_login(struct server *s)
{
	struct client c = { .out = wire_create(), .in = wire_create() };
	const uint8_t *data;
	union pdu_header h;
	uint32_t len;

	on_reactor(s, nothing);
	c.fd = dial(s);
	wire_plain(c.out, OP_LOGIN_REQUEST | OPCODE_IMMEDIATE, 1, 333);
	flush(&c);
	CU_ASSERT_FATAL(receive(&c, &h, &data, &len));
	CU_ASSERT_EQUAL(pdu_opcode(&h.bhs), OP_LOGIN_RESPONSE);
	CU_ASSERT_STRING_EQUAL((const char *)data, "TargetAlias=socket test");
	c.in->header_digest = c.out->header_digest = s->params.header_digest;
	c.in->data_digest = c.out->data_digest = s->params.data_digest;
	return c;
}

static void client_close(struct client *c)
{
	close(c->fd);
	free(c->in);
	free(c->out);
}

static void add_command(struct client *c, uint8_t what, uint32_t itt, uint32_t at, uint32_t len,
			const void *immediate, uint32_t immediate_len, bool final)
{
	union pdu_header h = { .scsi_command = { .opcode = OP_SCSI_COMMAND } };
	struct be32 pos = be32_of(at);

	h.scsi_command.flags = final ? CMD_FINAL : 0;
	h.bhs.itt = be32_of(itt);
	h.scsi_command.edtl = be32_of(len);
	h.scsi_command.cdb[0] = what;
	memcpy(h.scsi_command.cdb + 4, &pos, sizeof(pos));
	wire_pdu(c->out, &h, NULL, 0, immediate, immediate_len);
}

/* Reads all Data-In of one command and compares it with the disk. */
static void expect_read(struct server *s, struct client *c, uint32_t itt, uint32_t at, uint32_t len)
{
	uint32_t got = 0, part, datasn = 0;
	const uint8_t *data;
	union pdu_header h;

	do {
		CU_ASSERT_FATAL(receive(c, &h, &data, &part));
		CU_ASSERT_EQUAL_FATAL(h.bhs.opcode, OP_DATA_IN);
		CU_ASSERT_EQUAL(be32_get(h.bhs.itt), itt);
		CU_ASSERT_EQUAL(be32_get(h.data_in.buffer_offset), got);
		CU_ASSERT_EQUAL(be32_get(h.data_in.datasn), datasn++);
		CU_ASSERT_FATAL(got + part <= len && part <= s->params.max_xmit_dsl);
		CU_ASSERT_EQUAL(memcmp(data, s->disk + at + got, part), 0);
		got += part;
	} while (!(h.data_in.flags & DATA_IN_STATUS));
	CU_ASSERT_EQUAL(got, len);
}

/* Answers R2Ts until the response comes. */
static void serve_write(struct client *c, uint32_t itt, const uint8_t *data)
{
	union pdu_header h, out = { .data_out = { .opcode = OP_DATA_OUT } };
	const uint8_t *ignored;
	uint32_t len, datasn, at, left, part;

	for (;;) {
		CU_ASSERT_FATAL(receive(c, &h, &ignored, &len));
		CU_ASSERT_EQUAL(be32_get(h.bhs.itt), itt);
		if (h.bhs.opcode == OP_SCSI_RESPONSE)
			return;
		CU_ASSERT_EQUAL_FATAL(h.bhs.opcode, OP_R2T);
		at = be32_get(h.r2t.buffer_offset);
		left = be32_get(h.r2t.desired_len);
		for (datasn = 0; left; datasn++, left -= part, at += part) {
			part = left < 5000 ? left : 5000;
			out.bhs.itt = h.bhs.itt;
			out.data_out.ttt = h.r2t.ttt;
			out.data_out.flags = part == left ? PDU_FINAL : 0;
			out.data_out.datasn = be32_of(datasn);
			out.data_out.buffer_offset = be32_of(at);
			wire_pdu(c->out, &out, NULL, 0, data + at, part);
		}
		flush(c);
	}
}

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
	  TEST(reads_and_writes_with_digests), TEST(unsolicited_data_then_r2t),
	  TEST(logout_is_answered_before_the_end), TEST(close_with_everything_in_flight),
	  TEST(cancel_while_data_lands), TEST(many_connections), TEST(no_descriptor_left),
	  TEST(address_in_use));
