// SPDX-License-Identifier: BSD-2-Clause
/* Sequence reception timeout over TCP, RFC 7143 7.1.4.1: Data-Out that is lost with nothing behind it. */
#include "tests/unit/transport_rig.h"
#include "transport/tcp/tcp.h"

static struct rig *plain(void)
{
	struct conn_params params = rig_params();

	params.max_outstanding_r2t = 1;
	params.error_recovery_level = 1;
	return rig_tcp(&params);
}

static void is_r2t(const struct r2t *r, uint32_t r2tsn, uint32_t offset, uint32_t len)
{
	CU_ASSERT_EQUAL(r->r2tsn, r2tsn);
	CU_ASSERT_EQUAL(r->offset, offset);
	CU_ASSERT_EQUAL(r->len, len);
}

static void pass(struct rig *rig, unsigned int seconds)
{
	for (unsigned int i = 0; i < seconds; i++)
		reactor_advance(rig->r, NSEC_PER_SEC);
}

/* Seconds until something is asked for again. */
static unsigned int seconds_until(struct rig *rig, struct r2t *r, unsigned int most)
{
	for (unsigned int i = 1; i <= most; i++) {
		pass(rig, 1);
		if (read_r2ts(rig, r, 1))
			return i;
	}
	return 0;
}

/* The last Data-Out is lost, or all of them, or the R2T: nothing comes that could tell. */
static void what_nothing_is_behind(void)
{
	static const uint32_t came[] = { 0, 512, 9999 };

	for (size_t i = 0; i < array_size(came); i++) {
		struct rig *rig = plain();
		struct wire *w = wire_for(rig);
		struct transfer *t = rig_get(rig, 5, 10000);
		struct r2t r = read_r2t(rig), again;
		unsigned int s;

		if (came[i])
			wire_data_out(w, 5, r.ttt, 0, 0, came[i], false);
		CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "");
		s = seconds_until(rig, &again, 20);
		CU_ASSERT(s >= SEQUENCE_SECONDS && s <= SEQUENCE_SECONDS + 1);
		is_r2t(&again, 1, came[i], 10000 - came[i]);
		CU_ASSERT(again.ttt != r.ttt);
		/* It was only slow: that is dropped, the newer answer counts. */
		wire_data_out(w, 5, r.ttt, 1, came[i], 10000 - came[i], true);
		CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "");
		wire_answer(w, &again);
		CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 ok 10000\n");
		CU_ASSERT(landed(t, 5, 10000));
		pass(rig, 60);
		CU_ASSERT_STRING_EQUAL(rig_log(rig), "");
		CU_ASSERT_EQUAL(read_r2ts(rig, &again, 1), 0);
		rig_end(rig, w);
	}
}

static void patience_grows(void)
{
	struct rig *rig = plain();
	struct r2t r;

	rig_get(rig, 5, 100);
	read_r2t(rig);
	CU_ASSERT_EQUAL(seconds_until(rig, &r, 100), 5);
	CU_ASSERT_EQUAL(seconds_until(rig, &r, 100), 10);
	CU_ASSERT_EQUAL(seconds_until(rig, &r, 100), 20);
	CU_ASSERT_EQUAL(r.r2tsn, 3);
	rig_end(rig, NULL);
}

/* Nobody is asked twice who makes progress, however slow, nor so soon while data of another command
 * comes; nor at level 0. */
static void slow_is_not_lost(void)
{
	struct rig *rig = plain();
	struct wire *w = wire_for(rig);
	struct conn_params params = rig_params();
	struct r2t first, second, r;

	rig_get(rig, 5, 1000);
	first = read_r2t(rig);
	for (uint32_t n = 0; n < 9; n++) {
		wire_data_out(w, 5, first.ttt, n, n * 100, 100, false);
		CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "");
		CU_ASSERT_EQUAL(seconds_until(rig, &r, SEQUENCE_SECONDS - 1), 0);
	}
	rig_get(rig, 6, 10000);
	second = read_r2t(rig);
	for (uint32_t n = 0; n < 30; n++) {
		wire_data_out(w, 6, second.ttt, n, n * 100, 100, false);
		CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "");
		if (seconds_until(rig, &r, 1)) {
			CU_ASSERT_EQUAL(r.itt, 5);
			CU_ASSERT(n + SEQUENCE_SECONDS >= SEQUENCE_BUSY_SECONDS);
			break;
		}
		CU_ASSERT(n < SEQUENCE_BUSY_SECONDS);
	}
	is_r2t(&r, 1, 900, 100);
	rig_end(rig, w);

	rig = rig_tcp(&params);
	rig_get(rig, 5, 100);
	read_r2t(rig);
	CU_ASSERT_EQUAL(seconds_until(rig, &r, 100), 0);
	rig_end(rig, NULL);
}

static void unsolicited_data_that_stops(void)
{
	struct rig *rig = plain();
	struct wire *w = wire_for(rig);
	struct transfer *t = rig_transfer(rig, 5, 0, 1000);
	struct r2t r;

	t->unsolicited = true;
	conn_get_data(rig->conn, t);
	wire_data_out(w, 5, TAG_NONE, 0, 0, 400, false);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "");
	CU_ASSERT(seconds_until(rig, &r, SEQUENCE_SECONDS + 1));
	is_r2t(&r, 0, 400, 600);
	wire_answer(w, &r);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 ok 1000\n");
	CU_ASSERT(landed(t, 5, 1000));
	rig_end(rig, w);
}

UNIT_MAIN(TEST(what_nothing_is_behind), TEST(patience_grows), TEST(slow_is_not_lost),
	  TEST(unsolicited_data_that_stops));
