// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sessions of several connections over TCP on two reactors with threads of their own: half of the
 * connections are accepted where their session is not. For ThreadSanitizer, too.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backstore.h"
#include "core/log.h"
#include "core/slab.h"
#include "lu.h"
#include "session.h"
#include "tests/lib/unit.h"

enum { REACTORS = 2, CLIENTS = 3, LINKS = 4, ROUNDS = 15 };

static const char names[] = "InitiatorName=iqn.2026-11.test:initiator\0"
			    "TargetName=iqn.2026-11.test:disk\0";
static const char leading[] = "SessionType=Normal\0MaxConnections=4\0";

struct target {
	struct slab *slab;
	struct reactor *r[REACTORS];
	struct backstore *bs;
	struct lu *lu;
	struct scsi_target scsi;
	struct target_config config;
	struct server *server;
	struct portal_address portal;
	sem_t stopped, logins;
	_Atomic int failures; /* CUnit belongs to the main thread */
};

#define expect(t, condition)                                 \
	do {                                                 \
		if (!(condition))                            \
			atomic_fetch_add(&(t)->failures, 1); \
	} while (0)

static void target_up(struct target *t)
{
	struct bs_spec spec;
	char why[256];
	struct lu_config lc = { .serial = "TEST0001", .product = "test", .reactors = REACTORS };
	struct server_config sc = { .target_count = 1,
				    .reactor_count = REACTORS,
				    .limits = server_default_limits };

	memset(t, 0, sizeof(*t));
	log_set_level(LOG_LEVEL_ERROR);
	sem_init(&t->stopped, 0, 0);
	sem_init(&t->logins, 0, 0);
	CU_ASSERT_FATAL(!slab_create(16u << 20, &t->slab));
	for (unsigned int i = 0; i < REACTORS; i++) {
		struct reactor_config rc = { .index = i, .cpu = -1, .slab = t->slab };

		CU_ASSERT_FATAL(!reactor_create(&rc, &t->r[i]));
	}
	CU_ASSERT_FATAL(!bs_parse("ram:1M", &spec, why, sizeof(why)) &&
			!bs_open(&spec, &t->bs, why, sizeof(why)));
	lc.bs = t->bs;
	CU_ASSERT_FATAL(!lu_create(&lc, &t->lu, why, sizeof(why)));
	memcpy(t->scsi.name, "iqn.2026-11.test:disk", 22);
	t->scsi.ports[0] = (struct target_port){ .tag = 1, .relative = 1 };
	t->scsi.port_count = 1;
	t->scsi.lun[0] = t->lu;
	t->config.scsi = &t->scsi;
	t->config.allow_any = true;
	sc.targets = &t->config;
	sc.reactors = t->r;
	CU_ASSERT_FATAL(!server_create(&sc, &t->server));
	t->portal.addr.ss_family = AF_INET;
	((struct sockaddr_in *)&t->portal.addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	t->portal.len = sizeof(struct sockaddr_in);
	CU_ASSERT_FATAL(!server_listen(t->server, &tcp_transport, &t->portal, 1, why, sizeof(why)));
	for (unsigned int i = 0; i < REACTORS; i++)
		CU_ASSERT_FATAL(!reactor_start(t->r[i]));
}

static void stopped(void *arg)
{
	sem_post(&((struct target *)arg)->stopped);
}

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) && errno == EINTR)
		;
}

/* After server_stop(). */
static void target_down(struct target *t)
{
	wait_for(&t->stopped);
	for (unsigned int i = 0; i < REACTORS; i++)
		reactor_stop(t->r[i]);
	for (unsigned int i = 0; i < REACTORS; i++)
		reactor_join(t->r[i]);
	for (unsigned int i = 0; i < REACTORS; i++)
		CU_ASSERT_EQUAL(atomic_load(&t->r[i]->load), 0);
	server_destroy(t->server);
	lu_destroy(t->lu);
	bs_close(t->bs);
	CU_ASSERT_EQUAL(slab_in_use(t->slab), 0);
	for (unsigned int i = 0; i < REACTORS; i++)
		reactor_destroy(t->r[i]);
	slab_destroy(t->slab);
}

/* --- An initiator: a thread of its own, blocking sockets */

struct client {
	struct target *t;
	pthread_t thread;
	uint8_t isid;
	uint16_t tsih;
	uint32_t cmdsn, itt;
	int fd[LINKS];
};

static bool send_all(int fd, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;

	while (len) {
		ssize_t n = send(fd, from, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		from += n;
		len -= (size_t)n;
	}
	return true;
}

static bool receive(int fd, union pdu_header *h)
{
	uint8_t data[9000];
	size_t need;

	if (recv(fd, h, BHS_LEN, MSG_WAITALL) != BHS_LEN)
		return false;
	need = pdu_padded(be24_get(h->bhs.dlength));
	return need <= sizeof(data) &&
	       (!need || recv(fd, data, need, MSG_WAITALL) == (ssize_t)need);
}

static int dial(const struct target *t)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval tv = { .tv_sec = 20 };

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (connect(fd, (const struct sockaddr *)&t->portal.addr, t->portal.len)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The request leaves in two pieces, cut somewhere else each time. False: it was refused. */
static bool log_in(struct client *c, int link)
{
	struct {
		union pdu_header h;
		char text[256];
	} req = { 0 };
	union pdu_header h;
	uint32_t len = sizeof(names) - 1;
	size_t size, cut;

	memcpy(req.text, names, len);
	if (!link) {
		memcpy(req.text + len, leading, sizeof(leading) - 1);
		len += sizeof(leading) - 1;
	}
	req.h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	req.h.login_request.flags = LOGIN_TRANSIT | STAGE_OPERATIONAL << 2 | STAGE_FULL_FEATURE;
	req.h.login_request.dlength = be24_of(len);
	req.h.login_request.isid.b[0] = 0x80;
	req.h.login_request.isid.b[5] = c->isid;
	req.h.login_request.tsih = be16_of(link ? c->tsih : 0);
	req.h.login_request.cid = be16_of((uint16_t)link);
	req.h.login_request.itt = be32_of(c->itt++);
	req.h.login_request.cmdsn = be32_of(c->cmdsn);
	size = BHS_LEN + pdu_padded(len);
	cut = 1 + c->itt * 7 % (size - 1);
	c->fd[link] = dial(c->t);
	if (c->fd[link] < 0 || !send_all(c->fd[link], &req, cut) ||
	    !send_all(c->fd[link], (uint8_t *)&req + cut, size - cut) ||
	    !receive(c->fd[link], &h) || pdu_opcode(&h.bhs) != OP_LOGIN_RESPONSE ||
	    be16_get(h.login_response.status) != LOGIN_SUCCESS)
		return false;
	c->tsih = be16_get(h.login_response.tsih);
	sem_post(&c->t->logins);
	return true;
}

static bool test_unit_ready(struct client *c, int link)
{
	union pdu_header h = { 0 };
	uint32_t itt = c->itt++;

	h.scsi_command.opcode = OP_SCSI_COMMAND;
	h.scsi_command.flags = CMD_FINAL | ATTR_SIMPLE;
	h.scsi_command.itt = be32_of(itt);
	h.scsi_command.cmdsn = be32_of(c->cmdsn++);
	return send_all(c->fd[link], &h, BHS_LEN) && receive(c->fd[link], &h) &&
	       pdu_opcode(&h.bhs) == OP_SCSI_RESPONSE && be32_get(h.bhs.itt) == itt;
}

static bool log_out(struct client *c, int link, uint8_t reason)
{
	union pdu_header h = { 0 };

	h.logout_request.opcode = OP_LOGOUT_REQUEST | OPCODE_IMMEDIATE;
	h.logout_request.reason = PDU_FINAL | reason;
	h.logout_request.itt = be32_of(c->itt++);
	h.logout_request.cid = be16_of((uint16_t)link);
	h.logout_request.cmdsn = be32_of(c->cmdsn);
	return send_all(c->fd[link], &h, BHS_LEN) && receive(c->fd[link], &h) &&
	       pdu_opcode(&h.bhs) == OP_LOGOUT_RESPONSE;
}

/* A session grows to four connections and shrinks again; then it is closed, or left to its fate. */
static void one_session(struct client *c, int round)
{
	c->cmdsn = 1;
	for (int i = 0; i < LINKS; i++) {
		expect(c->t, log_in(c, i));
		for (int j = 0; j <= i; j++)
			expect(c->t, test_unit_ready(c, j));
	}
	expect(c->t, log_out(c, 1, LOGOUT_CONNECTION));
	close(c->fd[1]);
	expect(c->t, log_in(c, 1));
	expect(c->t, test_unit_ready(c, 1));
	if (round % 2)
		expect(c->t, log_out(c, round % LINKS, LOGOUT_SESSION));
	for (int i = 0; i < LINKS; i++)
		close(c->fd[i]);
}

static void *client(void *arg)
{
	struct client *c = arg;

	for (int round = 0; round < ROUNDS; round++)
		one_session(c, round);
	return NULL;
}

static void sessions_on_two_reactors(void)
{
	struct client c[CLIENTS];
	struct target t;

	target_up(&t);
	for (uint8_t i = 0; i < CLIENTS; i++) {
		c[i] = (struct client){ .t = &t, .isid = i };
		CU_ASSERT_FATAL(!pthread_create(&c[i].thread, NULL, client, &c[i]));
	}
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(c[i].thread, NULL);
	CU_ASSERT_EQUAL(atomic_load(&t.failures), 0);
	server_stop(t.server, 10000, stopped, &t);
	target_down(&t);
}

/* The daemon stops while connections come and change reactors. */
static void stopped_meanwhile(void)
{
	struct client c[CLIENTS];
	struct target t;

	target_up(&t);
	for (uint8_t i = 0; i < CLIENTS; i++) {
		c[i] = (struct client){ .t = &t, .isid = i };
		CU_ASSERT_FATAL(!pthread_create(&c[i].thread, NULL, client, &c[i]));
	}
	for (int i = 0; i < 2 * LINKS; i++)
		wait_for(&t.logins);
	server_stop(t.server, 50, stopped, &t);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(c[i].thread, NULL);
	target_down(&t);
}

UNIT_MAIN(TEST(sessions_on_two_reactors), TEST(stopped_meanwhile));
