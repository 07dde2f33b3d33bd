// SPDX-License-Identifier: BSD-2-Clause
/*
 * MODE SELECT parameter lists, and the record that saved pages are kept in. The input is a unit, a
 * record it may find in its store, and commands. Whatever they say: a list that is refused changes
 * nothing, one that is taken changes only what the changeable mask allows, what MODE SENSE gives can
 * be given back, and what was saved is there again in the next life.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scsi/pages.h"
#include "tests/fuzz/scsi_port.h"

enum { COMMANDS_MAX = 16, SENSE_ALL = 512, DISK_BLOCKS = 64 };

enum unit_bits { /* first byte of the input */
		 UNIT_4096 = 0x01,
		 UNIT_CACHED = 0x02,
		 UNIT_SPACE = 0x04,
		 UNIT_STORE = 0x08,
		 UNIT_PROTECTION = 0x10,
		 UNIT_RECORD = 0x20, /* two bytes of length and a record follow */
};
enum command_bits { /* first byte of a command; the second is the length of its list */
		    COMMAND_TEN = 0x01,
		    COMMAND_SAVE = 0x02,
		    COMMAND_NO_PF = 0x04,
		    COMMAND_FLUSH_FAILS = 0x08,
		    COMMAND_STORE_FAILS = 0x10,
		    COMMAND_SHORT = 0x20, /* one byte less comes than the CDB says */
		    COMMAND_GIVE_BACK = 0x40, /* what MODE SENSE gives, with one byte changed */
};

/* --- The world */

struct life {
	struct backstore bs;
	struct store store;
	char *record; /* len bytes */
	size_t record_len;
	uint64_t version;
	struct store_req *pending;
	struct work stored;
	bool flush_fails, store_fails;
	struct lu *lu;
	struct scsi_target target;
	struct nexus nexus;
};

static bool disk_submit(struct backstore *bs, struct bs_req *req)
{
	req->res = 0;
	if (req->opcode == BS_FLUSH && container_of(bs, struct life, bs)->flush_fails)
		req->res = -EIO;
	return true;
}

static const struct bs_driver disk_driver = { .name = "fuzz", .submit = disk_submit };

static int load(struct store *store, const char *name, char **data, size_t *len, uint64_t *version,
		char *why, size_t why_size)
{
	struct life *life = container_of(store, struct life, store);

	(void)why;
	(void)why_size;
	*version = 0;
	if (!life->record || strncmp(name, "mode", 4) != 0)
		return -ENOENT;
	*data = malloc(life->record_len + 1);
	require(*data != NULL, "out of memory");
	memcpy(*data, life->record, life->record_len);
	(*data)[life->record_len] = '\0';
	*len = life->record_len;
	*version = life->version;
	return 0;
}

static void store_done(struct work *work)
{
	struct life *life = container_of(work, struct life, stored);
	struct store_req *req = life->pending;

	life->pending = NULL;
	if (life->store_fails) {
		req->done(req, -EIO);
		return;
	}
	require(req->version == life->version, "a save of what it has not seen");
	free(life->record);
	life->record = malloc(req->len);
	require(life->record != NULL, "out of memory");
	memcpy(life->record, req->data, req->len);
	life->record_len = req->len;
	req->version = ++life->version;
	req->done(req, 0);
}

static void compare_and_store(struct store *store, struct store_req *req)
{
	struct life *life = container_of(store, struct life, store);

	require(!life->pending, "two saves at a time");
	life->pending = req;
	life->stored.fn = store_done;
	reactor_defer(reactor, &life->stored);
}

static const struct store_ops store_ops = { .load = load, .compare_and_store = compare_and_store };

/* False: the record is refused. */
static bool begin(struct life *life, uint8_t bits)
{
	struct lu_config cfg = { .bs = &life->bs,
				 .serial = "FUZZ",
				 .product = "fuzz",
				 .reactors = 1,
				 .store = bits & UNIT_STORE ? &life->store : NULL };
	uint32_t block = bits & UNIT_4096 ? 4096 : 512;
	char why[256] = "";

	life->store.ops = &store_ops;
	life->bs.driver = &disk_driver;
	life->bs.limits.size = DISK_BLOCKS * block;
	life->bs.limits.block_size = block;
	life->bs.limits.physical_block_size = 4096;
	life->bs.limits.volatile_cache = bits & UNIT_CACHED;
	life->bs.limits.can_unmap = life->bs.limits.can_report_space = bits & UNIT_SPACE;
	if (lu_create(&cfg, &life->lu, why, sizeof(why))) {
		require(why[0] && life->record, "a refusal without a reason");
		return false;
	}
	life->lu->protection = bits & UNIT_PROTECTION ? 1 : 0;
	life->target.lun[0] = life->lu;
	life->target.port_count = 1;
	nexus_start(&life->nexus, &life->target, 0);
	return true;
}

static void end(struct life *life)
{
	nexus_detach(&life->nexus);
	lu_destroy(life->lu);
	life->lu = NULL;
}

struct command {
	struct port_command io;
	uint8_t in[SENSE_ALL];
};

static void run(struct life *life, struct command *c, const uint8_t *cdb, size_t cdb_len,
		const uint8_t *out, uint32_t edtl)
{
	memset(c, 0, sizeof(*c));
	c->io.out = out;
	c->io.in = c->in;
	c->io.task.port = &port;
	c->io.task.nexus = &life->nexus;
	c->io.task.reactor = reactor;
	c->io.task.attribute = 1;
	c->io.task.reads = !out;
	c->io.task.writes = out != NULL;
	c->io.task.edtl = edtl;
	c->io.task.cdb_len = CDB_MAX;
	memcpy(c->io.task.cdb, cdb, cdb_len);
	scsi_submit(&c->io.task);
	turn();
	require(c->io.ended == 1, "a command that does not end once");
}

/* --- The oracle */

/* All pages behind the header, as MODE SENSE (10) gives them. */
static void sense_pages(struct life *life, uint8_t control, struct command *c)
{
	const uint8_t cdb[10] = { CDB_MODE_SENSE_10, 0, (uint8_t)(control << 6 | MODE_PAGE_ALL),
				  MODE_SUBPAGE_ALL, [7] = SENSE_ALL >> 8 };

	run(life, c, cdb, sizeof(cdb), NULL, SENSE_ALL);
	require(c->io.task.status == SAM_GOOD, "MODE SENSE does not end with GOOD");
}

static void check_pages(struct life *life)
{
	struct command now, mask, defaults;

	sense_pages(life, MODE_CURRENT, &now);
	sense_pages(life, MODE_CHANGEABLE, &mask);
	sense_pages(life, MODE_DEFAULT, &defaults);
	require(now.io.in_len == mask.io.in_len && now.io.in_len == defaults.io.in_len,
		"lengths differ");
	for (uint32_t i = 16; i < now.io.in_len; i++)
		/* Heads are the same in all three, so a mask of ones in them is no harm. */
		require(!((now.in[i] ^ defaults.in[i]) & ~mask.in[i]),
			"what cannot be changed has changed");
}

static void check_select(struct life *life, uint8_t bits, const uint8_t *list, size_t len,
			 size_t said)
{
	uint8_t cdb[10] = { bits & COMMAND_TEN ? CDB_MODE_SELECT_10 : CDB_MODE_SELECT_6 };
	struct mode_values before, expected, after;
	struct mode_error error;
	struct command c;
	bool fits, good;

	cdb[1] = (uint8_t)((bits & COMMAND_NO_PF ? 0 : MODE_SELECT_PF) |
			   (bits & COMMAND_SAVE ? MODE_SELECT_SP : 0));
	cdb[bits & COMMAND_TEN ? 8 : 4] = (uint8_t)said;
	if (bits & COMMAND_TEN)
		cdb[7] = (uint8_t)(said >> 8);
	mode_current(life->lu, &before);
	expected = before;
	fits = !said || (len >= said && mode_list_parse(life->lu, list, (uint32_t)said,
							bits & COMMAND_TEN, &expected, &error));
	run(life, &c, cdb, bits & COMMAND_TEN ? 10 : 6, list, (uint32_t)len);
	good = c.io.task.status == SAM_GOOD;
	require(good || c.io.task.status == SAM_CHECK_CONDITION,
		"neither GOOD nor CHECK CONDITION");
	mode_current(life->lu, &after);
	require(!good || (fits && !memcmp(&after, &expected, sizeof(after))),
		"GOOD without the change");
	require(good || !memcmp(&after, &before, sizeof(after)), "a change without GOOD");
	require(good || !fits || bits & (COMMAND_FLUSH_FAILS | COMMAND_STORE_FAILS) ||
			(said && bits & COMMAND_NO_PF) || (bits & COMMAND_SAVE && !life->lu->store),
		"a good list is refused");
}

/* What MODE SENSE gave: MODE SELECT takes it; one byte of it is then another. */
static void give_back(struct life *life, struct input *in)
{
	uint8_t cdb[10] = { CDB_MODE_SELECT_10, MODE_SELECT_PF };
	uint8_t at, value, *exact;
	struct command c, taken;

	sense_pages(life, MODE_CURRENT, &c);
	cdb[7] = (uint8_t)(c.io.in_len >> 8);
	cdb[8] = (uint8_t)c.io.in_len;
	exact = malloc(c.io.in_len);
	require(exact != NULL, "out of memory");
	memcpy(exact, c.in, c.io.in_len);
	run(life, &taken, cdb, sizeof(cdb), exact, c.io.in_len);
	require(taken.io.task.status == SAM_GOOD, "its own pages are refused");
	at = (uint8_t)take(in, 1);
	value = (uint8_t)take(in, 1);
	exact[at % c.io.in_len] ^= value;
	check_select(life, COMMAND_TEN | COMMAND_FLUSH_FAILS, exact, c.io.in_len, c.io.in_len);
	free(exact);
}

static void command(struct life *life, struct input *in)
{
	uint8_t bits = (uint8_t)take(in, 1);
	size_t len = take(in, 1);
	uint8_t *list;

	life->flush_fails = bits & COMMAND_FLUSH_FAILS;
	life->store_fails = bits & COMMAND_STORE_FAILS;
	/* A failed flush is remembered for ever; here each command has its own. */
	atomic_store(&life->bs.flush_failed, false);
	if (bits & COMMAND_GIVE_BACK) {
		life->flush_fails = false;
		give_back(life, in);
	} else {
		list = take_bytes(in, &len);
		check_select(life, bits, list, len, len + !!(bits & COMMAND_SHORT));
		free(list);
	}
	check_pages(life);
}

static void next_life(struct life *life, uint8_t bits)
{
	struct mode_values saved, again;

	mode_saved(life->lu, &saved);
	end(life);
	require(begin(life, bits), "its own record is refused");
	mode_saved(life->lu, &again);
	for (unsigned int i = 0; i < MODE_PAGES; i++) {
		uint8_t a[MODE_PAGE_MAX], b[MODE_PAGE_MAX];

		mode_page_write(life->lu, i, &saved, a);
		mode_page_write(life->lu, i, &again, b);
		require(!mode_page_exists(&mode_pages[i], life->lu) ||
				!memcmp(a, b, mode_pages[i].len),
			"what was saved is not there again");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct life *life = calloc(1, sizeof(*life));
	uint8_t bits = (uint8_t)take(&in, 1);

	require(life != NULL, "out of memory");
	if (bits & UNIT_RECORD) {
		life->record_len = take(&in, 2);
		life->record = (char *)take_bytes(&in, &life->record_len);
		life->version = 1;
	}
	if (begin(life, bits)) {
		for (unsigned int i = 0; in.left && i < COMMANDS_MAX; i++)
			command(life, &in);
		if (bits & UNIT_STORE)
			next_life(life, bits);
		end(life);
	}
	require(slab_in_use(slab) == 0, "memory is left");
	free(life->record);
	free(life);
	return 0;
}
