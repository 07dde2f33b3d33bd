// SPDX-License-Identifier: BSD-2-Clause
/*
 * TCP over loopback on a real reactor, for tests: a session layer that answers reads from a pattern
 * and keeps what is written, and a peer with a plain blocking socket.
 */
#ifndef TESTS_UNIT_TRANSPORT_SOCKET_RIG_H
#define TESTS_UNIT_TRANSPORT_SOCKET_RIG_H

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
	/* The kernel's own work for this thread would interrupt a connect() that has a timeout. */
	CU_ASSERT_EQUAL_FATAL(connect(fd, (const struct sockaddr *)&s->addr.addr, s->addr.len), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
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

#endif
