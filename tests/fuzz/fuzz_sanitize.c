// SPDX-License-Identifier: BSD-2-Clause
/*
 * SANITIZE and FORMAT UNIT: their parameter lists, the record of the store, failures, restarts in the
 * middle. What ends with GOOD has made the whole medium what the list says; what is refused has not
 * touched it; a unit whose SANITIZE has begun serves nothing until it is through.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"
#include "tests/fuzz/scsi_port.h"

enum { COMMANDS_MAX = 12, DISK_BLOCKS = 20 };

enum unit_bits { /* first byte of the input */
		 UNIT_4096 = 0x01,
		 UNIT_ERASES = 0x02,
		 UNIT_STORE = 0x04,
		 UNIT_RECORD = 0x08, /* two bytes of length and a record follow */
};
/* A command: these bits, byte 1 of the CDB, the length in the CDB (2 bytes), the length of the data
 * (2 bytes), the data. */
enum command_bits {
	COMMAND_FORMAT = 0x01, /* else SANITIZE */
	COMMAND_DISK_FAILS = 0x02,
	COMMAND_STORE_FAILS = 0x04,
	COMMAND_ABORT = 0x08,
	COMMAND_RESTART = 0x10, /* of the daemon, after as many turns as the other bits say */
	COMMAND_TURNS = 0xe0,
};

/* --- The world */

struct life {
	struct backstore bs;
	uint8_t *disk;
	struct disk_queue queue; /* a job has one request at a time */
	bool disk_fails;
	struct store store;
	uint8_t bits;
	char *record; /* NULL: none */
	size_t record_len;
	uint64_t version, format_version; /* of the records; 0: there is none */
	struct store_req *pending;
	struct work stored;
	bool store_fails;
	struct lu *lu;
	struct scsi_target target;
	struct nexus nexus;
};

static int disk_do(struct bs_req *req)
{
	struct life *life = container_of(req->bs, struct life, bs);

	require(req->opcode != BS_READ, "a request that nobody has asked for");
	if (req->opcode == BS_ERASE)
		memset(life->disk + req->offset, 0xee, req->len);
	else
		require(!disk_execute(life->disk, req), "a request that nobody has asked for");
	return life->disk_fails ? -EIO : 0;
}

static bool disk_submit(struct backstore *bs, struct bs_req *req)
{
	return disk_later(&container_of(bs, struct life, bs)->queue, req);
}

static const struct bs_driver disk_driver = { .name = "fuzz", .submit = disk_submit };

static int load(struct store *store, const char *name, char **data, size_t *len, uint64_t *version,
		char *why, size_t why_size)
{
	struct life *life = container_of(store, struct life, store);

	(void)why;
	(void)why_size;
	*version = 0;
	if (life->format_version && !strncmp(name, "format", 6)) {
		*data = strdup("riser format 1\n");
		require(*data != NULL, "out of memory");
		*len = strlen(*data);
		*version = life->format_version;
		return 0;
	}
	if (!life->record || strncmp(name, "sanitize", 8) != 0)
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
	if (!strncmp(req->name, "format", 6)) {
		require(req->version == life->format_version, "a format that was not seen");
		life->format_version = req->len ? life->format_version + 1 : 0;
		req->version = life->format_version;
		req->done(req, 0);
		return;
	}
	require(req->version == life->version, "a record that was not seen is replaced");
	free(life->record);
	life->record = NULL;
	life->version = req->len ? life->version + 1 : 0;
	if (req->len) {
		life->record = malloc(req->len);
		require(life->record != NULL, "out of memory");
		memcpy(life->record, req->data, req->len);
	}
	life->record_len = req->len;
	req->version = life->version;
	req->done(req, 0);
}

static void compare_and_store(struct store *store, struct store_req *req)
{
	struct life *life = container_of(store, struct life, store);

	require(!life->pending, "two records at a time");
	life->pending = req;
	life->stored.fn = store_done;
	reactor_defer(reactor, &life->stored);
}

static const struct store_ops store_ops = { .load = load, .compare_and_store = compare_and_store };

/* False: the record is refused. */
static bool begin(struct life *life)
{
	struct lu_config cfg = { .bs = &life->bs,
				 .serial = "FUZZ",
				 .product = "fuzz",
				 .reactors = 1,
				 .store = life->bits & UNIT_STORE ? &life->store : NULL };
	char why[256] = "";

	if (lu_create(&cfg, &life->lu, why, sizeof(why))) {
		require(why[0] && life->record, "a refusal without a reason");
		return false;
	}
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

static void submit(struct life *life, struct port_command *c, const uint8_t *cdb, size_t cdb_len,
		   const uint8_t *out, uint32_t edtl)
{
	memset(c, 0, sizeof(*c));
	c->out = out;
	c->task.port = &port;
	c->task.nexus = &life->nexus;
	c->task.reactor = reactor;
	c->task.attribute = 1;
	c->task.writes = edtl > 0;
	c->task.edtl = edtl;
	c->task.cdb_len = CDB_MAX;
	memcpy(c->task.cdb, cdb, cdb_len);
	scsi_submit(&c->task);
}

static bool is_ready(struct life *life)
{
	static const uint8_t test_unit_ready[6] = { CDB_TEST_UNIT_READY };
	struct port_command c;

	life->nexus.unit_attentions[0] = 0;
	submit(life, &c, test_unit_ready, sizeof(test_unit_ready), NULL, 0);
	turn();
	require(c.ended == 1, "TEST UNIT READY does not end");
	return c.task.status == SAM_GOOD;
}

/* --- The oracle */

/* Of the list that was taken: the pattern of each block; NULL: zeros. */
static const uint8_t *pattern_of(const uint8_t *cdb, const uint8_t *list, uint32_t *len)
{
	const uint8_t *at;

	*len = 0;
	if (cdb[0] == CDB_SANITIZE) {
		if ((cdb[1] & SA_MASK) != 1)
			return NULL;
		*len = (uint32_t)(list[2] << 8 | list[3]);
		return list + 4;
	}
	if (!(cdb[1] & 0x10) || !(list[1] & 0x08))
		return NULL;
	at = list + (cdb[1] & 0x20 ? 8 : 4);
	*len = (uint32_t)(at[2] << 8 | at[3]);
	return *len ? at + 4 : NULL;
}

static void check_filled(const struct life *life, const uint8_t *pattern, uint32_t len)
{
	uint32_t block = life->bs.limits.block_size;

	for (uint32_t i = 0; i < DISK_BLOCKS * block; i++)
		require(life->disk[i] == (pattern ? pattern[i % block % len] : 0),
			"GOOD, and the medium has something else");
}

/* The store may have failed: then the record is not what the unit was. */
static void restart(struct life *life, bool recorded)
{
	bool begun = lu_is(life->lu, LU_SANITIZING), failed = lu_is(life->lu, LU_SANITIZE_FAILED);

	end(life);
	require(begin(life), "its own record is refused");
	recorded = recorded && life->lu->store;
	require(!recorded || begun == lu_is(life->lu, LU_SANITIZING),
		"a SANITIZE is forgotten, or invented");
	require(!recorded || begun || failed == lu_is(life->lu, LU_SANITIZE_FAILED),
		"a failure is forgotten");
	require(!recorded || !begun || !is_ready(life), "ready in the middle of a SANITIZE");
	lu_resume(life->lu, reactor);
	turn();
}

static void nothing(void *arg)
{
	(void)arg;
}

/* The stop may come at any time; what is then left is the next start's. */
static bool interrupt(struct life *life, uint8_t bits)
{
	bool stopped, recorded;

	for (unsigned int i = 0; i < (bits & COMMAND_TURNS) >> 4; i++)
		reactor_turn(reactor);
	lu_stop_job(life->lu, nothing, NULL);
	turn();
	stopped = lu_is(life->lu, LU_SANITIZING | LU_FORMATTING);
	recorded = !life->store_fails;
	life->store_fails = false;
	restart(life, recorded);
	return stopped;
}

static void run_command(struct life *life, struct input *in, uint8_t *before)
{
	uint8_t bits = (uint8_t)take(in, 1), cdb[10] = { 0 };
	size_t size = DISK_BLOCKS * life->bs.limits.block_size, len;
	bool stopped = false;
	const uint8_t *pattern;
	uint32_t pattern_len;
	struct port_command c;
	uint8_t *list;

	cdb[0] = bits & COMMAND_FORMAT ? CDB_FORMAT_UNIT : CDB_SANITIZE;
	cdb[1] = (uint8_t)take(in, 1);
	if (cdb[0] == CDB_SANITIZE) {
		cdb[7] = (uint8_t)take(in, 1);
		cdb[8] = (uint8_t)take(in, 1);
	}
	len = take(in, 2);
	list = take_bytes(in, &len);
	life->disk_fails = bits & COMMAND_DISK_FAILS;
	life->store_fails = bits & COMMAND_STORE_FAILS;
	memcpy(before, life->disk, size);
	submit(life, &c, cdb, bits & COMMAND_FORMAT ? 6 : 10, list, (uint32_t)len);
	if (bits & COMMAND_ABORT)
		scsi_abort(&c.task);
	if (bits & COMMAND_RESTART && c.task.status == SAM_GOOD && c.ended)
		stopped = interrupt(life, bits);
	turn();
	require(c.ended == 1, "a command that does not end once");
	require(!lu_is(life->lu, LU_SANITIZING | LU_FORMATTING), "a job without an end");
	life->disk_fails = life->store_fails = false;
	life->bs.flush_failed = false;
	if (c.task.status == SAM_CHECK_CONDITION && (c.task.sense[2] & 15) == 5)
		require(!memcmp(before, life->disk, size), "a refused command has an effect");
	/* What was stopped goes on if there is a record of it. */
	stopped = stopped && (bits & COMMAND_FORMAT || !life->lu->store);
	if (c.task.status == SAM_GOOD && !c.task.aborted && !stopped && is_ready(life) &&
	    !(bits & (COMMAND_DISK_FAILS | COMMAND_STORE_FAILS)) &&
	    (bits & COMMAND_FORMAT || (cdb[1] & SA_MASK) != 0x1f)) {
		pattern = pattern_of(cdb, list, &pattern_len);
		check_filled(life, pattern, pattern_len);
	}
	free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct life life = { 0 };
	uint8_t *before;

	life.bits = (uint8_t)take(&in, 1);
	life.bs.driver = &disk_driver;
	life.bs.limits.block_size = life.bits & UNIT_4096 ? 4096 : 512;
	life.bs.limits.size = DISK_BLOCKS * life.bs.limits.block_size;
	life.bs.limits.physical_block_size = 4096;
	life.bs.limits.volatile_cache = life.bs.limits.can_unmap = true;
	life.bs.limits.can_erase = life.bits & UNIT_ERASES;
	life.queue.max = 1;
	life.queue.execute = disk_do;
	life.store.ops = &store_ops;
	life.disk = malloc(life.bs.limits.size);
	before = malloc(life.bs.limits.size);
	require(life.disk && before, "out of memory");
	memset(life.disk, 0x5c, life.bs.limits.size);
	if (life.bits & UNIT_RECORD) {
		life.record_len = take(&in, 2);
		life.record = (char *)take_bytes(&in, &life.record_len);
		life.version = 1;
	}
	if (begin(&life)) {
		lu_resume(life.lu, reactor);
		turn();
		for (unsigned int i = 0; i < COMMANDS_MAX && in.left; i++)
			run_command(&life, &in, before);
		end(&life);
	}
	require(slab_in_use(slab) == 0, "memory is left");
	free(life.record);
	free(life.disk);
	free(before);
	return 0;
}
