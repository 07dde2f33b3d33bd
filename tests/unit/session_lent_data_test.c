// SPDX-License-Identifier: BSD-2-Clause
/*
 * Immediate data that the transport only lends: a disk that takes it at once gets it from where it
 * lies; whatever has to wait for anything takes a copy first, or is answered TASK SET FULL.
 */
#include "target_rig.h"
#include "tests/lib/unit.h"

enum { BLOCK = 512 };

static const uint8_t tur[16] = { 0 };
static const uint8_t write_8[16] = { [0] = 0x2a, [5] = 8, [8] = 8 };
static const uint8_t write_16[16] = { [0] = 0x2a, [5] = 8, [8] = 16 };
static const uint8_t write_other[16] = { [0] = 0x2a, [5] = 100, [8] = 8 };

static uint8_t data[16 * BLOCK];

static void begin(struct rig *rig, struct initiator *in, const char *disk)
{
	static const char keys[] = "InitialR2T=No\0";
	uint32_t itt;

	CU_ASSERT_FATAL(rig_up(rig, disk, NULL));
	rig_knock(rig, in, 1, rig->r, keys, sizeof(keys) - 1);
	CU_ASSERT_FATAL(rig_let_in(in));
	itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
	memory_lend(in->peer);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
}

static void end(struct rig *rig, struct initiator *in)
{
	rig_leave(in);
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	rig_down(rig);
}

static uint64_t copied(const struct initiator *in)
{
	return atomic_load(&memory_conn(in->peer)->bytes_copied);
}

/* The blocks from 8 on are the first len bytes of data. */
static bool is_written(struct rig *rig, uint32_t len)
{
	static uint8_t back[sizeof(data)];
	struct bs_req req = {
		.opcode = BS_READ, .offset = 8 * BLOCK, .len = len, .data = back, .reactor = rig->r
	};
	struct reactor *before = reactor_set_self(rig->r);
	bool done = bs_submit(rig->bs, &req);

	reactor_set_self(before);
	return done && !req.res && !memcmp(back, data, len);
}

static uint32_t write_lent(struct initiator *in)
{
	return rig_command(in, write_8, CMD_WRITE | CMD_FINAL, 8 * BLOCK, data, 8 * BLOCK);
}

static unsigned int take_all_memory(struct rig *rig, struct buf **taken, unsigned int max)
{
	struct reactor *before = reactor_set_self(rig->r);
	unsigned int n = 0;

	for (uint32_t size = BUF_MAX; size >= BUF_MIN; size /= 2) {
		while (n < max && (taken[n] = buf_get(rig->r, size)))
			n++;
	}
	reactor_set_self(before);
	return n;
}

static void give_memory_back(struct rig *rig, struct buf **taken, unsigned int n)
{
	struct reactor *before = reactor_set_self(rig->r);

	while (n)
		buf_put(rig->r, taken[--n]);
	reactor_set_self(before);
}

static void a_memory_disk_takes_it_from_where_it_lies(void)
{
	struct buf *taken[1024];
	struct initiator in;
	struct rig rig;
	unsigned int n;
	uint32_t itt;

	begin(&rig, &in, "ram:1M");
	n = take_all_memory(&rig, taken, array_size(taken));
	CU_ASSERT_FATAL(n < array_size(taken));
	itt = write_lent(&in);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_TRUE(is_written(&rig, 8 * BLOCK));
	CU_ASSERT_EQUAL(copied(&in), 0);
	give_memory_back(&rig, taken, n);
	end(&rig, &in);
}

static void out_of_order_it_is_kept(void)
{
	struct initiator in;
	struct rig rig;
	uint32_t itt, first;

	begin(&rig, &in, "ram:1M");
	itt = rig_command_sn(&in, in.cmdsn + 1, write_8, CMD_WRITE | CMD_FINAL, 8 * BLOCK, data,
			     8 * BLOCK);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_FALSE(is_written(&rig, 8 * BLOCK));
	first = rig_command(&in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, first), SAM_GOOD);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_TRUE(is_written(&rig, 8 * BLOCK));
	CU_ASSERT_EQUAL(copied(&in), 8 * BLOCK);
	in.cmdsn++;
	end(&rig, &in);
}

static void a_disk_that_takes_its_time_gets_a_copy(void)
{
	struct initiator in;
	struct rig rig;
	uint32_t itt;

	begin(&rig, &in, "ram:1M,fault=write:delay=1ms");
	itt = write_lent(&in);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_EQUAL(slab_in_use(rig.slab), 8 * BLOCK);
	reactor_advance(rig.r, 2 * NSEC_PER_MSEC);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_TRUE(is_written(&rig, 8 * BLOCK));
	end(&rig, &in);
}

static void with_unsolicited_data_behind_it_it_is_kept(void)
{
	struct initiator in;
	struct rig rig;
	uint32_t itt;

	begin(&rig, &in, "ram:1M");
	itt = rig_command(&in, write_16, CMD_WRITE, 16 * BLOCK, data, 5 * BLOCK);
	CU_ASSERT_TRUE(
		rig_data_out(&in, itt, TAG_NONE, 5 * BLOCK, data + 5 * BLOCK, 11 * BLOCK, true));
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_TRUE(is_written(&rig, 16 * BLOCK));
	end(&rig, &in);
}

/* The rest is asked for by R2T. */
static void a_part_is_kept(void)
{
	struct memory_record *rec;
	struct initiator in;
	struct rig rig;
	uint32_t itt;

	begin(&rig, &in, "ram:1M");
	itt = rig_command(&in, write_16, CMD_WRITE | CMD_FINAL, 16 * BLOCK, data, 4 * BLOCK);
	rec = rig_receive(&in);
	CU_ASSERT_FATAL(rec != NULL);
	CU_ASSERT_TRUE(rig_data_out(&in, itt, be32_get(rec->h.r2t.ttt), 4 * BLOCK, data + 4 * BLOCK,
				    12 * BLOCK, true));
	free(rec);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_TRUE(is_written(&rig, 16 * BLOCK));
	end(&rig, &in);
}

/* A write that waits for its data keeps an ORDERED one waiting. */
static uint32_t block_the_order(struct initiator *in, uint32_t *ttt)
{
	uint32_t itt = rig_command(in, write_other, CMD_WRITE | CMD_FINAL, 8 * BLOCK, NULL, 0);
	struct memory_record *rec = rig_receive(in);

	CU_ASSERT_FATAL(rec != NULL);
	*ttt = be32_get(rec->h.r2t.ttt);
	free(rec);
	return itt;
}

static void behind_others_it_is_kept(void)
{
	struct initiator in;
	uint32_t before, ttt, itt;
	struct rig rig;

	begin(&rig, &in, "ram:1M");
	before = block_the_order(&in, &ttt);
	itt = rig_command(&in, write_8, CMD_WRITE | CMD_FINAL | ATTR_ORDERED, 8 * BLOCK, data,
			  8 * BLOCK);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_FALSE(is_written(&rig, 8 * BLOCK));
	CU_ASSERT_TRUE(rig_data_out(&in, before, ttt, 0, data, 8 * BLOCK, true));
	CU_ASSERT_EQUAL(rig_status(&in, before), SAM_GOOD);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_TRUE(is_written(&rig, 8 * BLOCK));
	end(&rig, &in);
}

static void without_memory_for_a_copy_the_initiator_tries_again(void)
{
	struct buf *taken[1024];
	uint32_t before, ttt, itt;
	struct initiator in;
	struct rig rig;
	unsigned int n;

	begin(&rig, &in, "ram:1M");
	before = block_the_order(&in, &ttt);
	n = take_all_memory(&rig, taken, array_size(taken));
	CU_ASSERT_FATAL(n < array_size(taken));
	itt = rig_command(&in, write_8, CMD_WRITE | CMD_FINAL | ATTR_ORDERED, 8 * BLOCK, data,
			  8 * BLOCK);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_TASK_SET_FULL);
	/* With more data on the way it is answered behind that. */
	itt = rig_command(&in, write_16, CMD_WRITE, 16 * BLOCK, data, 5 * BLOCK);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	rig_data_out(&in, itt, TAG_NONE, 5 * BLOCK, data, 11 * BLOCK, true);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_TASK_SET_FULL);
	CU_ASSERT_FALSE(is_written(&rig, 8 * BLOCK));
	CU_ASSERT_TRUE(rig_data_out(&in, before, ttt, 0, data, 8 * BLOCK, true));
	CU_ASSERT_EQUAL(rig_status(&in, before), SAM_GOOD);
	give_memory_back(&rig, taken, n);
	end(&rig, &in);
}

/* Beyond the end of the disk, and to a LUN that is not there: nothing of it is needed. */
static void a_command_that_fails_needs_none(void)
{
	static const uint8_t beyond[16] = { [0] = 0x2a, [3] = 0xff, [8] = 8 };
	struct initiator in;
	struct rig rig;
	uint32_t itt;

	begin(&rig, &in, "ram:1M");
	itt = rig_command(&in, beyond, CMD_WRITE | CMD_FINAL, 8 * BLOCK, data, 8 * BLOCK);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_CHECK_CONDITION);
	/* Less than the CDB says: whole blocks are written. */
	itt = rig_command(&in, write_16, CMD_WRITE | CMD_FINAL, 8 * BLOCK, data, 8 * BLOCK);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_TRUE(is_written(&rig, 8 * BLOCK));
	end(&rig, &in);
}

UNIT_MAIN(TEST(a_memory_disk_takes_it_from_where_it_lies), TEST(out_of_order_it_is_kept),
	  TEST(a_disk_that_takes_its_time_gets_a_copy),
	  TEST(with_unsolicited_data_behind_it_it_is_kept), TEST(a_part_is_kept),
	  TEST(behind_others_it_is_kept), TEST(without_memory_for_a_copy_the_initiator_tries_again),
	  TEST(a_command_that_fails_needs_none));
