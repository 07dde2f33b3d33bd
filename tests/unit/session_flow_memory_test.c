// SPDX-License-Identifier: BSD-2-Clause
/* Memory that long commands wait for, and those that are parked hold: somebody always goes on. */
#include "session/flow.h"
#include "session_links_rig.h"

/* Does not lend its memory. */
#define DISK "ram:1M,fault=flush:delay=1s"

enum { EARLY = 256 << 10 };

static const char keys[] =
	"InitialR2T=No\0FirstBurstLength=262144\0MaxBurstLength=1048576\0MaxOutstandingR2T=1\0";
static const uint8_t read_1m[16] = { [0] = 0x28, [7] = 2048 >> 8 };
static const uint8_t write_1m[16] = { [0] = 0x2a, [7] = 2048 >> 8 };
static const uint8_t blocks[BUF_MAX];

static struct list unread;

static void keep_data(struct conn *conn, struct transfer *t)
{
	(void)conn;
	list_add_tail(&unread, &t->node);
}

/* Data-In stays with the transport. */
static struct conn *stop_reading(struct initiator *in)
{
	static struct transport_ops deaf;
	struct conn *conn = memory_conn(in->peer);

	deaf = memory_transport;
	deaf.put_data = keep_data;
	list_init(&unread);
	conn->ops = &deaf;
	return conn;
}

static void read_again(struct conn *conn)
{
	struct list *node;

	conn->ops = &memory_transport;
	while ((node = list_pop(&unread)))
		memory_transport.put_data(conn, list_entry(node, struct transfer, node));
}

static void write_with_data(struct initiator *in, uint8_t attribute)
{
	rig_command(in, write_1m, CMD_FINAL | CMD_WRITE | attribute, BUF_MAX, blocks, EARLY);
}

/* Brings what is asked for, until nothing comes any more. Returns how many commands were answered. */
static unsigned int serve(struct initiator *in)
{
	struct memory_record *rec;
	unsigned int answered = 0;

	while ((rec = rig_receive(in))) {
		const struct bhs_r2t *h = &rec->h.r2t;

		if (rec->kind == MEMORY_R2T)
			rig_data_out(in, be32_get(h->itt), be32_get(h->ttt),
				     be32_get(h->buffer_offset), blocks, be32_get(h->desired_len),
				     true);
		else
			answered += pdu_opcode(&rec->h.bhs) == OP_SCSI_RESPONSE ||
				    (rec->h.data_in.flags & DATA_IN_STATUS);
		free(rec);
	}
	return answered;
}

/* Reads are parked, writes behind them have brought data that fills the memory, and when the first reads
 * are over it is full again before their successors have theirs. ordered: of the writes, so that they
 * may not pass. */
static void nobody_waits_for_ever(bool ordered)
{
	uint8_t attribute = ordered ? ATTR_ORDERED : ATTR_SIMPLE;
	struct server_limits limits = server_default_limits;
	unsigned int commands = 4, answered = 0;
	struct initiator in;
	struct conn *conn;
	struct rig rig;
	size_t full;

	limits.nop_interval_s = 0;
	CU_ASSERT_FATAL(rig_up_on(&rig, DISK, &limits, 1));
	rig_knock(&rig, &in, 1, rig.r, keys, sizeof(keys) - 1);
	CU_ASSERT_TRUE_FATAL(rig_let_in(&in));
	CU_ASSERT_EQUAL(next_sense(&in), SENSE_POWER_ON);
	conn = stop_reading(&in);
	for (int i = 0; i < 4; i++)
		rig_command(&in, read_1m, CMD_FINAL | CMD_READ, BUF_MAX, NULL, 0);
	while (commands < 4 + 14 * (BUF_MAX / EARLY)) {
		write_with_data(&in, attribute);
		commands++;
	}
	while (reactor_turn(rig.r))
		;
	full = slab_in_use(rig.slab);
	read_again(conn);
	while (slab_in_use(rig.slab) == full && reactor_turn(rig.r))
		;
	for (int i = 0; i < 8; i++, commands++)
		write_with_data(&in, attribute);
	answered = serve(&in);
	CU_ASSERT_EQUAL(answered, commands);
	CU_ASSERT_EQUAL(session_of(&in)->parked_count, 0);
	CU_ASSERT_EQUAL(session_of(&in)->long_bytes, 0);
	rig_leave(&in);
	CU_ASSERT_EQUAL(slab_in_use(rig.slab), 0);
	rig_down(&rig);
}

static void simple_writes(void)
{
	nobody_waits_for_ever(false);
}

static void ordered_writes(void)
{
	nobody_waits_for_ever(true);
}

/* What waits for its turn has brought data that fills the memory, and what it waits for wants some. */
static void turns(uint8_t attribute)
{
	static const uint8_t sync_cache[16] = { [0] = 0x35 };
	static const uint8_t read_64k[16] = { [0] = 0x28, [8] = 128 };
	struct server_limits limits = server_default_limits;
	unsigned int commands = 2;
	struct initiator in;
	struct rig rig;

	limits.nop_interval_s = 0;
	CU_ASSERT_FATAL(rig_up_on(&rig, DISK, &limits, 1));
	rig_knock(&rig, &in, 1, rig.r, keys, sizeof(keys) - 1);
	CU_ASSERT_TRUE_FATAL(rig_let_in(&in));
	CU_ASSERT_EQUAL(next_sense(&in), SENSE_POWER_ON);
	rig_command(&in, sync_cache, CMD_FINAL | ATTR_SIMPLE, 0, NULL, 0);
	rig_command(&in, read_64k, CMD_FINAL | CMD_READ | ATTR_ORDERED, 64 << 10, NULL, 0);
	for (; commands < 2 + 17 * (BUF_MAX / EARLY); commands++)
		write_with_data(&in, attribute);
	while (reactor_turn(rig.r))
		;
	CU_ASSERT_EQUAL(slab_in_use(rig.slab), slab_size(rig.slab));
	reactor_advance(rig.r, NSEC_PER_SEC + 1);
	CU_ASSERT_EQUAL(serve(&in), commands);
	CU_ASSERT_EQUAL(session_of(&in)->command_count, 0);
	CU_ASSERT_EQUAL(session_of(&in)->nexus.hungry, 0);
	/* It has not been forgotten how to wait. */
	rig_command(&in, sync_cache, CMD_FINAL | ATTR_SIMPLE, 0, NULL, 0);
	rig_command(&in, read_64k, CMD_FINAL | CMD_READ | ATTR_ORDERED, 64 << 10, NULL, 0);
	write_with_data(&in, attribute);
	CU_ASSERT_EQUAL(serve(&in), 0);
	reactor_advance(rig.r, NSEC_PER_SEC + 1);
	CU_ASSERT_EQUAL(serve(&in), 3);
	rig_leave(&in);
	CU_ASSERT_EQUAL(slab_in_use(rig.slab), 0);
	rig_down(&rig);
}

static void writes_behind_an_ordered_read(void)
{
	turns(ATTR_SIMPLE);
}

static void ordered_writes_behind_an_ordered_read(void)
{
	turns(ATTR_ORDERED);
}

UNIT_MAIN(TEST(simple_writes), TEST(ordered_writes), TEST(writes_behind_an_ordered_read),
	  TEST(ordered_writes_behind_an_ordered_read));
