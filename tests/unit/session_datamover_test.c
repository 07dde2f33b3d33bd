// SPDX-License-Identifier: BSD-2-Clause
/* Sessions over a transport that moves data by itself (RFC 7145), several transports on one portal,
 * and what the log says of each. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "target_rig.h"
#include "tests/lib/unit.h"

static const uint8_t tur[16] = { 0 };
static const uint8_t read_1[16] = { [0] = 0x28, [8] = 1 };
static const uint8_t write_1[16] = { [0] = 0x2a, [8] = 1 };
static const uint8_t write_128[16] = { [0] = 0x2a, [8] = 128 };
static const struct remote_data here = { { 1, 2, 3, 4 } }, there = { { 5, 6, 7, 8 } };
static const struct remote_data nowhere;

static const struct memory_datamover datamover = { .max_recv_dsl = 65536, .max_data = 128 };

#define EXTENDED                                                      \
	"RDMAExtensions=Yes\0InitiatorRecvDataSegmentLength=262144\0" \
	"TargetRecvDataSegmentLength=65536\0InitialR2T=No\0FirstBurstLength=8192\0"

/* A session with the extensions whose power-on unit attention is out of the way. */
static void log_in(struct rig *rig, struct initiator *in)
{
	uint32_t itt;

	rig->datamover = &datamover;
	rig_knock(rig, in, 1, rig->r, EXTENDED, sizeof(EXTENDED) - 1);
	CU_ASSERT_FATAL(rig_let_in(in));
	itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
}

static void begin(struct rig *rig, struct initiator *in)
{
	CU_ASSERT_FATAL(rig_up(rig, "ram:1M", NULL));
	log_in(rig, in);
}

static void end(struct rig *rig, struct initiator *in)
{
	rig_leave(in);
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	rig_down(rig);
}

static void what_the_transport_is_told(void)
{
	struct server_limits limits = server_default_limits;
	const struct conn_params *p;
	struct initiator in;
	struct rig rig;

	limits.window = 77;
	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", &limits));
	log_in(&rig, &in);
	p = &memory_conn(in.peer)->params;
	CU_ASSERT_TRUE(p->full_feature && p->rdma_extensions);
	CU_ASSERT_EQUAL(p->command_window, 77);
	CU_ASSERT_EQUAL(p->max_recv_dsl, 65536);
	CU_ASSERT_EQUAL(p->max_xmit_dsl, 262144);
	end(&rig, &in);
}

/* The next record; its kind and remote data are as wanted. */
static struct memory_record *next(struct initiator *in, enum memory_kind kind,
				  const struct remote_data *remote)
{
	struct memory_record *rec = rig_receive(in);

	CU_ASSERT_FATAL(rec != NULL);
	CU_ASSERT_EQUAL(rec->kind, kind);
	CU_ASSERT_EQUAL(memcmp(&rec->remote, remote, sizeof(*remote)), 0);
	return rec;
}

/* Two commands at a time: each keeps its own, and answers to other requests have none. */
static void remote_data_stays_with_its_command(void)
{
	static const uint8_t block[512];
	union pdu_header ping = { .nop_out = { .opcode = OP_NOP_OUT | OPCODE_IMMEDIATE,
					       .flags = PDU_FINAL } };
	uint32_t first, second, ttt[2];
	struct memory_record *rec;
	struct initiator in;
	struct rig rig;

	begin(&rig, &in);
	memory_set_remote(in.peer, &here);
	first = rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
	memory_set_remote(in.peer, &there);
	second = rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
	for (int i = 0; i < 2; i++) {
		rec = next(&in, MEMORY_R2T, i ? &there : &here);
		ttt[i] = be32_get(rec->h.r2t.ttt);
		free(rec);
	}
	CU_ASSERT_TRUE(rig_data_out(&in, second, ttt[1], 0, block, 512, true));
	free(next(&in, MEMORY_PDU, &there));
	CU_ASSERT_TRUE(rig_data_out(&in, first, ttt[0], 0, block, 512, true));
	free(next(&in, MEMORY_PDU, &here));
	rig_command(&in, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0);
	free(next(&in, MEMORY_DATA_IN, &there));
	ping.nop_out.itt = be32_of(9);
	ping.nop_out.ttt = be32_of(TAG_NONE);
	ping.nop_out.cmdsn = be32_of(in.cmdsn);
	rig_send(&in, &ping, NULL, 0);
	free(next(&in, MEMORY_PDU, &nowhere));
	end(&rig, &in);
}

/* With unsolicited data in between, and a status that comes without any data. */
static void remote_data_of_unsolicited_data(void)
{
	static const uint8_t data[8192];
	struct initiator in;
	struct rig rig;
	uint32_t itt;

	begin(&rig, &in);
	memory_set_remote(in.peer, &here);
	itt = rig_command(&in, write_128, CMD_WRITE, 65536, NULL, 0);
	memory_set_remote(in.peer, &nowhere);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_TRUE(rig_data_out(&in, itt, TAG_NONE, 0, data, 8192, true));
	free(next(&in, MEMORY_R2T, &here));
	CU_ASSERT_TRUE(memory_finish(in.peer, itt, TRANSFER_SHORT));
	free(next(&in, MEMORY_PDU, &here));
	end(&rig, &in);
}

/* 64 KiB of which len came at once: how much is asked for first. */
static uint32_t first_transfer(struct initiator *in, const uint8_t *data, uint32_t len)
{
	uint32_t itt = rig_command(in, write_128, CMD_FINAL | CMD_WRITE, 65536, data, len);
	struct memory_record *rec = rig_receive(in);
	uint32_t first, at, ttt;

	CU_ASSERT_FATAL(rec && rec->kind == MEMORY_R2T);
	first = be32_get(rec->h.r2t.desired_len);
	for (;;) {
		at = be32_get(rec->h.r2t.buffer_offset);
		ttt = be32_get(rec->h.r2t.ttt);
		len = be32_get(rec->h.r2t.desired_len);
		free(rec);
		CU_ASSERT_TRUE(rig_data_out(in, itt, ttt, at, data + at, len, true));
		if (at + len == 65536)
			break;
		rec = rig_receive(in);
		CU_ASSERT_FATAL(rec && rec->kind == MEMORY_R2T);
	}
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_GOOD);
	return first;
}

/* Little data at once is copied into a buffer for all of it: one transfer, one write. */
static void one_transfer_for_a_write(void)
{
	static uint8_t data[65536];
	struct initiator in;
	struct rig rig;

	begin(&rig, &in);
	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
	CU_ASSERT_EQUAL(first_transfer(&in, data, 8192), 65536 - 8192);
	CU_ASSERT_EQUAL(memcmp(bs_borrow(rig.bs, 0, 65536), data, 65536), 0);
	CU_ASSERT_EQUAL(memory_conn(in.peer)->bytes_copied, 8192);
	CU_ASSERT_EQUAL(first_transfer(&in, data, 0), 65536);
	CU_ASSERT_EQUAL(memory_conn(in.peer)->bytes_copied, 8192);
	end(&rig, &in);
}

/* More than a little is never copied: what came is written first. */
static void much_immediate_data_is_not_copied(void)
{
	static const char burst[] = "RDMAExtensions=Yes\0TargetRecvDataSegmentLength=65536\0"
				    "FirstBurstLength=16384\0";
	static uint8_t data[65536];
	struct initiator in;
	struct rig rig;
	uint32_t itt;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	rig.datamover = &datamover;
	rig_knock(&rig, &in, 1, rig.r, burst, sizeof(burst) - 1);
	CU_ASSERT_FATAL(rig_let_in(&in));
	itt = rig_command(&in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_CHECK_CONDITION);
	memset(data, 0x5a, sizeof(data));
	CU_ASSERT_EQUAL(first_transfer(&in, data, 16384), 65536 - 16384);
	CU_ASSERT_EQUAL(memcmp(bs_borrow(rig.bs, 0, 65536), data, 65536), 0);
	CU_ASSERT_EQUAL(memory_conn(in.peer)->bytes_copied, 0);
	end(&rig, &in);
}

/* What has been copied holds no memory any more. */
static void copied_data_is_held_once(void)
{
	static uint8_t data[65536];
	struct initiator in;
	struct rig rig;
	uint32_t itt, ttt;
	struct memory_record *rec;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M,fault=write:hang", NULL));
	log_in(&rig, &in);
	itt = rig_command(&in, write_128, CMD_FINAL | CMD_WRITE, 65536, data, 8192);
	rec = rig_receive(&in);
	CU_ASSERT_FATAL(rec && rec->kind == MEMORY_R2T);
	ttt = be32_get(rec->h.r2t.ttt);
	free(rec);
	CU_ASSERT(slab_in_use(rig.slab) > 65536);
	CU_ASSERT_TRUE(rig_data_out(&in, itt, ttt, 8192, data, 65536 - 8192, true));
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_EQUAL(slab_in_use(rig.slab), 65536);
	rig_leave(&in);
	rig_close_disk(&rig);
	rig_turn(&rig);
	CU_ASSERT_EQUAL(slab_in_use(rig.slab), 0);
	rig_down(&rig);
}

/* --- Portals */

static unsigned int listening;
static char listen_failure[64];

static int fake_listen(struct reactor *r, struct portal_address *addr, const struct conn_up *up,
		       void *ctx, struct listener **out, char *why, size_t why_size)
{
	(void)r, (void)addr, (void)up, (void)ctx;
	if (listen_failure[0]) {
		snprintf(why, why_size, "%s", listen_failure);
		return -EADDRINUSE;
	}
	*out = (struct listener *)(void *)&listening;
	listening++;
	return 0;
}

static void fake_unlisten(struct listener *l)
{
	CU_ASSERT_PTR_EQUAL((void *)l, &listening);
	listening--;
}

static const struct transport_ops wire = {
	.name = "wire",
	.listen = fake_listen,
	.unlisten = fake_unlisten,
};
static const struct transport_ops beam = {
	.name = "beam",
	.listen = fake_listen,
	.unlisten = fake_unlisten,
};

static int serve(struct rig *rig, const struct transport_ops *transport, const char *host,
		 uint16_t port)
{
	struct portal_address a = { .len = sizeof(struct sockaddr_in6) };
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a.addr;
	struct sockaddr_in *in = (struct sockaddr_in *)&a.addr;
	char why[128];

	if (strchr(host, ':')) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		CU_ASSERT_EQUAL(inet_pton(AF_INET6, host, &in6->sin6_addr), 1);
	} else {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		CU_ASSERT_EQUAL(inet_pton(AF_INET, host, &in->sin_addr), 1);
	}
	return server_listen(rig->server, transport, &a, 1, why, sizeof(why));
}

static void note_stopped(void *arg)
{
	*(bool *)arg = true;
}

static void stop(struct rig *rig)
{
	bool stopped = false;

	server_stop(rig->server, 0, note_stopped, &stopped);
	rig_turn(rig);
	reactor_advance(rig->r, NSEC_PER_SEC);
	rig_turn(rig);
	CU_ASSERT_TRUE(stopped);
}

static uint32_t text_request(struct initiator *in, uint32_t ttt, uint8_t flags, const void *text,
			     uint32_t len)
{
	union pdu_header h = { 0 };

	h.text_request.opcode = OP_TEXT_REQUEST;
	h.text_request.flags = flags;
	h.text_request.itt = be32_of(in->itt);
	h.text_request.ttt = be32_of(ttt);
	h.text_request.cmdsn = be32_of(in->cmdsn++);
	rig_send(in, &h, text, len);
	return in->itt;
}

/* The whole answer to SendTargets=All, NULs as '|'. most: no piece is longer; pieces: how many. */
static void send_targets(struct initiator *in, char *out, size_t size, uint32_t most,
			 unsigned int *pieces)
{
	static const char all[] = "SendTargets=All";
	uint32_t len = 0, itt = text_request(in, TAG_NONE, PDU_FINAL, all, sizeof(all)), ttt;
	struct memory_record *rec;
	uint8_t flags;

	for (*pieces = 1;; ++*pieces) {
		rec = rig_receive(in);
		CU_ASSERT_FATAL(rec && pdu_opcode(&rec->h.bhs) == OP_TEXT_RESPONSE);
		CU_ASSERT_EQUAL(be32_get(rec->h.bhs.itt), itt);
		CU_ASSERT_FATAL(rec->len <= most && len + rec->len < size);
		for (uint32_t i = 0; i < rec->len; i++)
			out[len++] = rec->data[i] ? (char)rec->data[i] : '|';
		flags = rec->h.bhs.flags;
		ttt = be32_get(rec->h.text_response.ttt);
		free(rec);
		if (flags & PDU_FINAL)
			break;
		CU_ASSERT_EQUAL(flags, TEXT_CONTINUE);
		CU_ASSERT_NOT_EQUAL(ttt, TAG_NONE);
		text_request(in, ttt, PDU_FINAL, NULL, 0);
	}
	CU_ASSERT_EQUAL(ttt, TAG_NONE);
	in->itt++;
	out[len] = '\0';
}

#define THREE_PORTALS                                                    \
	"TargetName=" RIG_TARGET "|TargetAddress=192.0.2.1:3260,1|"      \
	"TargetAddress=[2001:db8:1111:2222:3333:4444:5555:6666]:3260,1|" \
	"TargetAddress=[2001:db8:1111:2222:3333:4444:5555:7777]:3260,1|"

static void serve_three(struct rig *rig)
{
	CU_ASSERT_EQUAL(serve(rig, &wire, "192.0.2.1", 3260), 0);
	CU_ASSERT_EQUAL(serve(rig, &wire, "2001:db8:1111:2222:3333:4444:5555:6666", 3260), 0);
	CU_ASSERT_EQUAL(serve(rig, &wire, "2001:db8:1111:2222:3333:4444:5555:7777", 3260), 0);
}

/* The receive buffers of deployed initiators hold 128 bytes. A new MaxRecvDataSegmentLength
 * changes nothing. */
static void text_in_small_pieces(void)
{
	static const char longer[] = "MaxRecvDataSegmentLength=512";
	struct memory_record *rec;
	struct initiator in;
	unsigned int pieces;
	char said[1024];
	struct rig rig;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	serve_three(&rig);
	log_in(&rig, &in);
	send_targets(&in, said, sizeof(said), 128, &pieces);
	CU_ASSERT_STRING_EQUAL(said, THREE_PORTALS);
	CU_ASSERT_EQUAL(pieces, (strlen(said) + 127) / 128);
	CU_ASSERT(pieces > 1);
	text_request(&in, TAG_NONE, PDU_FINAL, longer, sizeof(longer));
	rec = rig_receive(&in);
	CU_ASSERT_FATAL(rec && pdu_opcode(&rec->h.bhs) == OP_TEXT_RESPONSE);
	free(rec);
	CU_ASSERT_EQUAL(memory_conn(in.peer)->params.max_xmit_dsl, 262144);
	end(&rig, &in);
}

/* The transport says what fits, whatever the session is for. */
static void text_of_a_discovery_session(void)
{
	static const char keys[] = "InitiatorName=" RIG_INITIATOR "\0SessionType=Discovery";
	union pdu_header h = { 0 };
	struct memory_datamover how = datamover;
	struct initiator in;
	unsigned int pieces;
	char said[1024];
	struct rig rig;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	serve_three(&rig);
	for (how.max_data = 0; how.max_data <= 128; how.max_data += 128) {
		in = (struct initiator){ .rig = &rig, .r = rig.r, .cmdsn = 1, .itt = 100 };
		in.peer = memory_connect(rig.r, &session_conn_up, rig.server);
		CU_ASSERT_FATAL(in.peer != NULL);
		memory_be_datamover(in.peer, &how);
		h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
		h.login_request.flags = LOGIN_TRANSIT | STAGE_OPERATIONAL << 2 | STAGE_FULL_FEATURE;
		h.login_request.isid.b[0] = 0x80;
		h.login_request.itt = be32_of(in.itt++);
		h.login_request.cmdsn = be32_of(in.cmdsn);
		rig_send(&in, &h, keys, sizeof(keys));
		CU_ASSERT_FATAL(rig_let_in(&in));
		send_targets(&in, said, sizeof(said), how.max_data ? 128 : 8192, &pieces);
		CU_ASSERT_STRING_EQUAL(said, THREE_PORTALS);
		CU_ASSERT_EQUAL(pieces > 1, how.max_data != 0);
		rig_leave(&in);
	}
	rig_down(&rig);
}

static void one_portal_over_two_transports(void)
{
	struct initiator in;
	unsigned int pieces;
	char said[1024];
	struct rig rig;

	listening = 0;
	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	CU_ASSERT_EQUAL(serve(&rig, &wire, "192.0.2.1", 3260), 0);
	CU_ASSERT_EQUAL(serve(&rig, &wire, "2001:db8::1", 3260), 0);
	CU_ASSERT_EQUAL(serve(&rig, &beam, "192.0.2.1", 3260), 0);
	CU_ASSERT_EQUAL(serve(&rig, &beam, "2001:db8::1", 3260), 0);
	CU_ASSERT_EQUAL(serve(&rig, &beam, "192.0.2.1", 860), 0);
	snprintf(listen_failure, sizeof(listen_failure), "in use");
	CU_ASSERT_EQUAL(serve(&rig, &beam, "192.0.2.2", 3260), -EADDRINUSE);
	listen_failure[0] = '\0';
	CU_ASSERT_EQUAL(listening, 5);
	rig_login(&rig, &in, 1);
	send_targets(&in, said, sizeof(said), 8192, &pieces);
	CU_ASSERT_STRING_EQUAL(said, "TargetName=" RIG_TARGET "|TargetAddress=192.0.2.1:3260,1|"
				     "TargetAddress=[2001:db8::1]:3260,1|"
				     "TargetAddress=192.0.2.1:860,1|");
	rig_leave(&in);
	stop(&rig);
	CU_ASSERT_EQUAL(listening, 0);
	rig_down(&rig);
}

static void portals_have_an_end(void)
{
	struct rig rig;

	listening = 0;
	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	for (uint16_t port = 1; port <= 64; port++)
		CU_ASSERT_EQUAL(serve(&rig, &wire, "192.0.2.1", port), 0);
	CU_ASSERT_EQUAL(serve(&rig, &wire, "192.0.2.1", 65), -ENOSPC);
	CU_ASSERT_EQUAL(serve(&rig, &beam, "192.0.2.1", 64), 0);
	CU_ASSERT_EQUAL(serve(&rig, &beam, "192.0.2.1", 64), 0);
	CU_ASSERT_EQUAL(serve(&rig, &beam, "192.0.2.1", 64), 0);
	CU_ASSERT_EQUAL(serve(&rig, &beam, "192.0.2.1", 64), -ENOSPC);
	CU_ASSERT_EQUAL(listening, 67);
	stop(&rig);
	CU_ASSERT_EQUAL(listening, 0);
	rig_down(&rig);
}

/* --- Statistics */

/* What server_log_statistics() writes. */
static void statistics(struct rig *rig, char *out, size_t size)
{
	int before = dup(STDERR_FILENO), fd = memfd_create("log", 0);
	ssize_t len;

	CU_ASSERT_FATAL(before >= 0 && fd >= 0);
	dup2(fd, STDERR_FILENO);
	log_set_level(LOG_LEVEL_INFO);
	server_log_statistics(rig->server);
	rig_turn(rig);
	log_set_level(LOG_LEVEL_ERROR);
	dup2(before, STDERR_FILENO);
	len = pread(fd, out, size - 1, 0);
	out[len > 0 ? len : 0] = '\0';
	close(before);
	close(fd);
}

static void statistics_by_transport(void)
{
	static uint8_t data[65536];
	struct initiator in, other;
	struct rig rig;
	char log[4096];

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	statistics(&rig, log, sizeof(log));
	CU_ASSERT_PTR_NULL(strstr(log, " over "));
	log_in(&rig, &in);
	first_transfer(&in, data, 4096);
	rig_command(&in, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0);
	free(rig_receive(&in));
	statistics(&rig, log, sizeof(log));
	CU_ASSERT_PTR_NOT_NULL(strstr(log,
				      "reactor 0 over memory: 1 connections, 0 of them closed, "
				      "512 bytes read, 65536 bytes written, "
				      "4096 bytes copied"));
	CU_ASSERT_PTR_NOT_NULL(strstr(log, " from 127.0.0.1:0 over memory on reactor 0: "));
	CU_ASSERT_PTR_NOT_NULL(strstr(log, "512 bytes read, 65536 bytes written, "
					   "4096 bytes copied, 0 rejects"));
	/* What is closed still counts. */
	rig_leave(&in);
	log_in(&rig, &other);
	first_transfer(&other, data, 1024);
	statistics(&rig, log, sizeof(log));
	CU_ASSERT_PTR_NOT_NULL(strstr(log,
				      "reactor 0 over memory: 2 connections, 1 of them closed, "
				      "512 bytes read, 131072 bytes written, "
				      "5120 bytes copied"));
	end(&rig, &other);
}

UNIT_MAIN(TEST(what_the_transport_is_told), TEST(remote_data_stays_with_its_command),
	  TEST(remote_data_of_unsolicited_data), TEST(one_transfer_for_a_write),
	  TEST(much_immediate_data_is_not_copied), TEST(copied_data_is_held_once),
	  TEST(text_in_small_pieces), TEST(text_of_a_discovery_session),
	  TEST(one_portal_over_two_transports), TEST(portals_have_an_end),
	  TEST(statistics_by_transport));
