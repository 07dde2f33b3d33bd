// SPDX-License-Identifier: BSD-2-Clause
/* Refused logins of one address: who is remembered, and what waits (row C9). */
#include <arpa/inet.h>

#include "session/login_failures.h"
#include "tests/lib/unit.h"
#include "tests/unit/target_rig.h"

#define S NSEC_PER_SEC

static struct sockaddr_storage address(const char *text)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;

	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		ss.ss_family = AF_INET;
	} else {
		CU_ASSERT_EQUAL_FATAL(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
		ss.ss_family = AF_INET6;
	}
	in->sin_port = htons(40000);
	return ss;
}

static struct login_failures *table_new(void)
{
	struct login_failures *f = malloc(sizeof(*f));

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	login_failures_init(f);
	return f;
}

static void table_free(struct login_failures *f)
{
	login_failures_destroy(f);
	free(f);
}

static struct login_failure add(struct login_failures *f, const char *text, uint32_t free_ones,
				uint64_t now)
{
	struct sockaddr_storage ss = address(text);

	return login_failures_add(f, &ss, free_ones, now);
}

static void the_eleventh_waits(void)
{
	struct login_failures *f = table_new();

	for (int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(add(f, "192.0.2.1", 10, (uint64_t)i * S).delay, 0);
	CU_ASSERT_EQUAL(add(f, "192.0.2.1", 10, 20 * S).delay, 2 * S);
	/* An initiator that tries again and again waits as long as it does so. */
	CU_ASSERT_EQUAL(add(f, "192.0.2.1", 10, 59 * S).delay, 2 * S);
	/* Of the last ten three are forgotten, then seven. */
	CU_ASSERT_EQUAL(add(f, "192.0.2.1", 10, 62 * S).delay, 0);
	CU_ASSERT_EQUAL(add(f, "192.0.2.1", 10, 200 * S).delay, 0);
	table_free(f);
}

static void how_many_are_free(void)
{
	static const uint32_t limits[] = { 1, 2, 31, LOGIN_FAILURES_MAX };

	for (size_t i = 0; i < array_size(limits); i++) {
		struct login_failures *f = table_new();

		/* The ring goes round more than once. */
		for (int round = 0; round < 3; round++) {
			uint64_t now = (uint64_t)round * 200 * S;

			for (uint32_t n = 0; n < limits[i]; n++)
				CU_ASSERT_EQUAL(add(f, "192.0.2.1", limits[i], now).delay, 0);
			CU_ASSERT_EQUAL(add(f, "192.0.2.1", limits[i], now + 59 * S).delay, 2 * S);
		}
		table_free(f);
	}
	struct login_failures *f = table_new();

	for (int n = 0; n < 1000; n++)
		CU_ASSERT_EQUAL(add(f, "192.0.2.1", 0, 0).delay, 0);
	table_free(f);
}

static void which_addresses_are_one(void)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "192.0.2.1", "::ffff:192.0.2.1", true },
		{ "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
		{ "2001:db8::1", "2001:db8::ffff:1", true },
		{ "2001:db8:0:1::1", "2001:db8:0:2::1", false },
		{ "2001:db8::1", "32.1.13.184", false },
		{ "::1", "0.0.0.0", false },
	};

	for (size_t i = 0; i < array_size(rows); i++) {
		struct login_failures *f = table_new();

		CU_ASSERT_EQUAL(add(f, rows[i].a, 1, 0).delay, 0);
		CU_ASSERT_EQUAL(add(f, rows[i].b, 1, 0).delay != 0, rows[i].same);
		table_free(f);
	}
}

/* fe80::/64 is another network on each link. */
static void links_are_apart(void)
{
	struct login_failures *f = table_new();
	struct sockaddr_storage one = address("fe80::1"), two = one;

	((struct sockaddr_in6 *)&one)->sin6_scope_id = 1;
	((struct sockaddr_in6 *)&two)->sin6_scope_id = 2;
	CU_ASSERT_EQUAL(login_failures_add(f, &one, 1, 0).delay, 0);
	CU_ASSERT_EQUAL(login_failures_add(f, &two, 1, 0).delay, 0);
	CU_ASSERT_EQUAL(login_failures_add(f, &one, 1, 0).delay, 2 * S);
	table_free(f);
}

/* The table is full: who has been quiet longest is forgotten. */
static void the_oldest_makes_room(void)
{
	struct login_failures *f = table_new();
	char text[32];

	for (int i = 0; i <= LOGIN_FAILURES_ADDRESSES; i++) {
		if (i == LOGIN_FAILURES_ADDRESSES) /* not the first one any more */
			CU_ASSERT_EQUAL(add(f, "10.0.0.0", 1, 300).delay, 2 * S);
		snprintf(text, sizeof(text), "10.0.%d.%d", i / 256, i % 256);
		CU_ASSERT_EQUAL(add(f, text, 1, (uint64_t)(i + 1)).delay, 0);
	}
	CU_ASSERT_EQUAL(add(f, "10.0.0.0", 1, 301).delay, 2 * S);
	CU_ASSERT_EQUAL(add(f, "10.0.0.2", 1, 302).delay, 2 * S);
	CU_ASSERT_EQUAL(add(f, "10.0.0.1", 1, 303).delay, 0);
	table_free(f);
}

static void the_log_has_a_line_a_minute(void)
{
	struct login_failures *f = table_new();
	uint32_t told = 0, lines = 0, late = 0;

	for (uint64_t now = 0; now < 600 * S; now += S / 10) {
		struct login_failure failure = add(f, "192.0.2.1", 10, now);

		late += failure.delay != 0;
		told += failure.tell;
		lines += failure.tell != 0;
		CU_ASSERT(!failure.tell || failure.delay);
	}
	CU_ASSERT_EQUAL(lines, 10);
	CU_ASSERT_EQUAL(late, 5990);
	CU_ASSERT(told <= late && told > late - 600);
	table_free(f);
}

/* A clock that is behind another thread's. */
static void time_does_not_go_back(void)
{
	struct login_failures *f = table_new();

	CU_ASSERT_EQUAL(add(f, "192.0.2.1", 2, 5 * S).delay, 0);
	CU_ASSERT_EQUAL(add(f, "192.0.2.1", 2, 5 * S - 1).delay, 0);
	CU_ASSERT_EQUAL(add(f, "192.0.2.1", 2, 5 * S - 2).delay, 2 * S);
	table_free(f);
}

/* The same on a target. */

#define RIGHT "InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "\0"
#define WRONG "InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "x\0"
#define MALFORMED "InitiatorName=" RIG_INITIATOR "\0TargetName=x\0"
#define TRY(rig, in, text, from) try(rig, in, text, sizeof(text) - 1, from)

/* A Login Request from there; the answer is not read. */
static void try(struct rig *rig, struct initiator *in, const char *text, size_t len,
		const char *from)
{
	union pdu_header h = { 0 };

	memset(in, 0, sizeof(*in));
	in->rig = rig;
	in->r = rig->r;
	in->peer = memory_connect(rig->r, &session_conn_up, rig->server);
	CU_ASSERT_PTR_NOT_NULL_FATAL(in->peer);
	memory_conn(in->peer)->peer = address(from);
	h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	h.login_request.flags = LOGIN_TRANSIT | STAGE_OPERATIONAL << 2 | STAGE_FULL_FEATURE;
	h.login_request.isid.b[0] = 0x80;
	h.login_request.itt = be32_of(0x77);
	rig_send(in, &h, text, (uint32_t)len);
}

/* The status of the login, or -1: no answer yet. */
static int status(struct initiator *in)
{
	struct memory_record *rec = rig_receive(in);
	int status = -1;

	if (rec && pdu_opcode(&rec->h.bhs) == OP_LOGIN_RESPONSE) {
		status = be16_get(rec->h.login_response.status);
		CU_ASSERT_EQUAL(be32_get(rec->h.login_response.itt), 0x77);
	}
	free(rec);
	return status;
}

static void leave(struct initiator *in)
{
	if (memory_conn(in->peer)) {
		rig_leave(in);
		return;
	}
	memory_free(in->peer);
}

static void use_up(struct rig *rig, const char *from)
{
	struct initiator in;

	for (int i = 0; i < 10; i++) {
		TRY(rig, &in, WRONG, from);
		CU_ASSERT_EQUAL(status(&in), LOGIN_NOT_FOUND);
		leave(&in);
	}
}

static void refusals_come_late(void)
{
	struct initiator in, other;
	struct rig rig;

	CU_ASSERT_TRUE_FATAL(rig_up(&rig, "ram:1M", NULL));
	/* What is no guess does not count. */
	for (int i = 0; i < 20; i++) {
		TRY(&rig, &in, MALFORMED, "192.0.2.1");
		CU_ASSERT_EQUAL(status(&in), LOGIN_INITIATOR_ERROR);
		leave(&in);
	}
	use_up(&rig, "192.0.2.1");
	TRY(&rig, &in, WRONG, "192.0.2.1");
	CU_ASSERT_EQUAL(status(&in), -1);
	/* Neither others, nor what is right, nor what is malformed waits. */
	TRY(&rig, &other, WRONG, "192.0.2.2");
	CU_ASSERT_EQUAL(status(&other), LOGIN_NOT_FOUND);
	leave(&other);
	TRY(&rig, &other, MALFORMED, "192.0.2.1");
	CU_ASSERT_EQUAL(status(&other), LOGIN_INITIATOR_ERROR);
	leave(&other);
	TRY(&rig, &other, RIGHT, "192.0.2.1");
	CU_ASSERT_EQUAL(status(&other), LOGIN_SUCCESS);
	leave(&other);
	reactor_advance(rig.r, 1900 * NSEC_PER_MSEC);
	CU_ASSERT_EQUAL(status(&in), -1);
	CU_ASSERT_PTR_NOT_NULL(memory_conn(in.peer));
	reactor_advance(rig.r, 200 * NSEC_PER_MSEC);
	CU_ASSERT_EQUAL(status(&in), LOGIN_NOT_FOUND);
	rig_turn(&rig);
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	leave(&in);
	/* A minute of peace, and the next one is answered at once. */
	reactor_advance(rig.r, 61 * S);
	TRY(&rig, &in, WRONG, "192.0.2.1");
	CU_ASSERT_EQUAL(status(&in), LOGIN_NOT_FOUND);
	leave(&in);
	rig_down(&rig);
}

/* Who waits for his refusal can say nothing that changes it, and may go. */
static void nothing_counts_meanwhile(void)
{
	static const uint8_t opcodes[] = { OP_LOGIN_REQUEST | OPCODE_IMMEDIATE, OP_NOP_OUT,
					   OP_SCSI_COMMAND };
	union pdu_header h = { 0 };
	struct initiator in;
	struct rig rig;

	CU_ASSERT_TRUE_FATAL(rig_up(&rig, "ram:1M", NULL));
	use_up(&rig, "2001:db8::1");
	for (size_t i = 0; i < array_size(opcodes); i++) {
		TRY(&rig, &in, WRONG, "2001:db8::2");
		CU_ASSERT_EQUAL(status(&in), -1);
		h.login_request.opcode = opcodes[i];
		h.login_request.flags = LOGIN_TRANSIT | STAGE_OPERATIONAL << 2 | STAGE_FULL_FEATURE;
		rig_send(&in, &h, RIGHT, sizeof(RIGHT) - 1);
		CU_ASSERT_EQUAL(status(&in), -1);
		reactor_advance(rig.r, 2 * S);
		CU_ASSERT_EQUAL(status(&in), LOGIN_NOT_FOUND);
		CU_ASSERT_EQUAL(status(&in), -1);
		leave(&in);
	}
	TRY(&rig, &in, WRONG, "2001:db8::3");
	CU_ASSERT_EQUAL(status(&in), -1);
	leave(&in);
	reactor_advance(rig.r, 3 * S);
	rig_turn(&rig);
	rig_down(&rig);
}

static void it_can_be_turned_off(void)
{
	struct server_limits limits = server_default_limits;
	struct initiator in;
	struct rig rig;

	limits.login_failures = 0;
	CU_ASSERT_TRUE_FATAL(rig_up(&rig, "ram:1M", &limits));
	use_up(&rig, "192.0.2.1");
	use_up(&rig, "192.0.2.1");
	TRY(&rig, &in, RIGHT, "192.0.2.1");
	CU_ASSERT_EQUAL(status(&in), LOGIN_SUCCESS);
	leave(&in);
	rig_down(&rig);
}

/* The text of a redirection reaches the initiator. */
static void a_target_that_is_elsewhere(void)
{
	static const char where[] = "TargetAddress=192.0.2.7:3260";
	struct memory_record *rec;
	struct initiator in;
	struct rig rig;

	CU_ASSERT_TRUE_FATAL(rig_up(&rig, "ram:1M", NULL));
	rig.target.redirect = "192.0.2.7:3260";
	TRY(&rig, &in, RIGHT, "192.0.2.1");
	rec = rig_receive(&in);
	CU_ASSERT_PTR_NOT_NULL_FATAL(rec);
	CU_ASSERT_EQUAL(be16_get(rec->h.login_response.status), LOGIN_MOVED_TEMPORARILY);
	CU_ASSERT_EQUAL(rec->h.login_response.flags, 0);
	CU_ASSERT_EQUAL(be16_get(rec->h.login_response.tsih), 0);
	CU_ASSERT_EQUAL_FATAL(rec->len, sizeof(where));
	CU_ASSERT_EQUAL(memcmp(rec->data, where, sizeof(where)), 0);
	free(rec);
	rig_turn(&rig);
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	leave(&in);
	rig_down(&rig);
}

UNIT_MAIN(TEST(the_eleventh_waits), TEST(how_many_are_free), TEST(which_addresses_are_one),
	  TEST(links_are_apart), TEST(the_oldest_makes_room), TEST(the_log_has_a_line_a_minute),
	  TEST(time_does_not_go_back), TEST(refusals_come_late), TEST(nothing_counts_meanwhile),
	  TEST(it_can_be_turned_off), TEST(a_target_that_is_elsewhere));
