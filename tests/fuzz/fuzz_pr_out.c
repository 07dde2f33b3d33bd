// SPDX-License-Identifier: BSD-2-Clause
/*
 * PERSISTENT RESERVE OUT from four nexuses (two initiators, two target ports) over a store in memory.
 * A command of the input: who and how (enum how), service action, SCOPE and TYPE, flags, the two
 * keys, a length and so many bytes behind the 24 of the list. Commands may be aborted, transfers and
 * the store fail, the daemon restart.
 *
 * Oracle: a state that is consistent, and the same as before unless the command was GOOD; the store
 * holds what it has to; every nexus is denied what the state says; nothing is read behind the list.
 */
#include <errno.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scsi/pr.h"
#include "tests/fuzz/scsi_port.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum how { /* first byte of a command; bits 0 and 1: the nexus */
	   HOW_RESTART = 0x04, /* before it */
	   HOW_ABORT = 0x08, /* right after it was submitted */
	   HOW_FAIL = 0x10, /* the store or the transfer */
	   HOW_LENGTH = 0x20, /* PARAMETER LIST LENGTH comes from the input, 4 bytes */
	   HOW_RAW = 0x40, /* lengths inside the list as in the input, else they fit */
	   HOW_TOGETHER = 0x80, /* the next command comes before this one's end */
};
enum { NEXUSES = 4, COMMANDS_MAX = 32, DISK_SIZE = 1 << 16 };

struct command {
	struct port_command io;
	uint8_t *out; /* task.edtl bytes */
	void *poisoned;
	uint32_t poisoned_len;
};

static struct {
	struct backstore bs;
	struct lu *lu;
	struct scsi_target target;
	struct nexus nexus[NEXUSES];
	struct store store;
	char *text;
	size_t len;
	uint64_t version;
	bool store_fails;
	struct command commands[COMMANDS_MAX];
	unsigned int count;
} run;

/* --- the store */

static bool ours(const char *name)
{
	return !strncmp(name, "reservations.", 13);
}

static int store_load(struct store *store, const char *name, char **data, size_t *len,
		      uint64_t *version, char *why, size_t why_size)
{
	(void)store;
	snprintf(why, why_size, "%s", name);
	*data = NULL;
	*len = 0;
	*version = 0;
	if (!ours(name) || !run.text)
		return -ENOENT;
	*data = malloc(run.len + 1);
	memcpy(*data, run.text, run.len);
	(*data)[run.len] = '\0';
	*len = run.len;
	*version = run.version;
	return 0;
}

static void store_done(struct work *work)
{
	struct store_req *req = container_of(work, struct store_req, job.back);

	if (run.store_fails) {
		run.store_fails = false;
		req->done(req, -EIO);
		return;
	}
	require(ours(req->name) && req->version == run.version, "the wrong version is stored");
	free(run.text);
	run.text = req->len ? malloc(req->len) : NULL;
	if (req->len)
		memcpy(run.text, req->data, req->len);
	run.len = req->len;
	run.version = req->version = req->len ? run.version + 1 : 0;
	req->done(req, 0);
}

static void store_store(struct store *store, struct store_req *req)
{
	req->store = store;
	req->job.back = (struct work){ .fn = store_done };
	reactor_defer(req->reactor, &req->job.back);
}

static const struct store_ops store_ops = { store_load, store_store, NULL };

/* --- the port */

static struct command *command_of(struct scsi_task *task)
{
	return container_of(task, struct command, io.task);
}

/* Whoever reads behind the list is caught. */
static void get_list(struct scsi_task *task, void *data, uint32_t offset, uint32_t len)
{
	struct command *c = command_of(task);

	require(offset == 0 && !c->poisoned, "the list is asked for again");
	port_get_data(task, data, offset, len);
	c->poisoned = (uint8_t *)data + len;
	c->poisoned_len = task->buf->size - len;
	__asan_poison_memory_region(c->poisoned, c->poisoned_len);
}

static void list_done(struct scsi_task *task)
{
	struct command *c = command_of(task);

	port_done(task);
	if (c->poisoned)
		__asan_unpoison_memory_region(c->poisoned, c->poisoned_len);
	c->poisoned = NULL;
}

static void abort_tasks(struct scsi_task *task,
			bool (*victim)(const void *arg, const struct nexus *nexus), const void *arg,
			bool report)
{
	require(!victim(arg, task->nexus), "aborts its own");
	for (unsigned int i = 0; i < run.count; i++) {
		struct command *other = &run.commands[i];

		if (!other->io.ended && victim(arg, other->io.task.nexus))
			scsi_abort(&other->io.task);
	}
	port_abort_tasks(task, victim, arg, report);
}

static const struct task_port_ops pr_port = { get_list, port_put_data, list_done, abort_tasks,
					      port_abort_others };

/* --- the oracle */

static struct pr_state *state_now(void)
{
	return run.lu->reservations->state;
}

static void check_state(struct pr_state *s)
{
	unsigned int holders = 0;

	require(s->count <= s->capacity && s->capacity <= PR_MAX, "too many registrations");
	for (uint32_t i = 0; i < s->count; i++) {
		struct pr_registration *r = &s->r[i];

		require(r->key && r->port && r->name[0], "an empty registration");
		require(pr_find(s, r->name, r->isid, r->port) == r, "registered twice");
		holders += r->holder;
	}
	require(!s->type || pr_type_valid(s->type), "no such type");
	if (!s->type)
		require(!holders, "a holder of nothing");
	else if (s->type >= PR_WRITE_EXCLUSIVE_ALL)
		require(!holders && s->count, "nobody of all registrants");
	else
		require(holders == 1, "not one holder");
}

static void check_store(struct pr_state *s)
{
	size_t len;
	char *text;

	if (!s->persists || !s->count) {
		require(!run.text, "a record that should have gone");
		return;
	}
	text = pr_record_write(s, &len);
	require(run.text && len == run.len && !memcmp(text, run.text, len), "another record");
	free(text);
}

static void check_denied(struct pr_state *s)
{
	for (unsigned int i = 0; i < NEXUSES; i++) {
		struct nexus *n = &run.nexus[i];
		struct pr_registration *r =
			pr_find(s, n->initiator_name, n->isid, n->port->relative);
		bool free_to = !s->type || (r && (s->type >= 5 || r->holder));
		bool exclusive = s->type == 3 || s->type == 6 || s->type == 8;
		unsigned int denied = atomic_load(&n->denied[0]);

		require(!(denied >> RSV_NEVER & 1) && !(denied >> RSV_STATUS & 1) &&
				!(denied >> RSV_PERSISTENT & 1),
			"denied what never is");
		require((denied >> RSV_LEGACY & 1) == (s->count > 0), "RESERVE (6)");
		require((denied >> RSV_WRITE & 1) == !free_to, "writing");
		require((denied >> RSV_READ & 1) == (!free_to && exclusive), "reading");
	}
}

/* Of a command that was alone. */
static void check_result(const struct command *c, const struct pr_state *before)
{
	const struct pr_state *s = state_now();
	bool same = s->count == before->count && s->type == before->type &&
		    s->generation == before->generation && s->persists == before->persists &&
		    !memcmp(s->r, before->r, s->count * sizeof(s->r[0]));

	require(c->io.task.aborted || c->io.task.status == SAM_GOOD ||
			c->io.task.status == SAM_CHECK_CONDITION ||
			c->io.task.status == SAM_RESERVATION_CONFLICT,
		"an odd status");
	require(c->io.task.aborted || c->io.task.status == SAM_GOOD || same,
		"changed, and not GOOD");
}

/* --- a life */

static void stop(void)
{
	turn();
	for (unsigned int i = 0; i < run.count; i++) {
		require(run.commands[i].io.ended == 1, "a command without an end");
		free(run.commands[i].out);
	}
	run.count = 0;
	require(slab_in_use(slab) == 0, "memory is left");
	for (unsigned int i = 0; i < NEXUSES; i++)
		nexus_detach(&run.nexus[i]);
	lu_destroy(run.lu);
	run.lu = NULL;
}

static void start(void)
{
	struct lu_config cfg = { .bs = &run.bs,
				 .serial = "FUZZ",
				 .product = "fuzz",
				 .reactors = 1,
				 .store = &run.store };
	char why[256];

	require(!lu_create(&cfg, &run.lu, why, sizeof(why)), "what was stored cannot be loaded");
	run.target.lun[0] = run.lu;
	for (unsigned int i = 0; i < NEXUSES; i++) {
		struct nexus *n = &run.nexus[i];

		memset(n, 0, sizeof(*n));
		n->isid[5] = (uint8_t)(i & 1);
		snprintf(n->initiator_name, sizeof(n->initiator_name), "%c", "ab"[i & 1]);
		nexus_start(n, &run.target, i >> 1);
	}
}

static void put32(uint8_t *at, uint32_t v)
{
	struct be32 wire = be32_of(v);

	memcpy(at, &wire, sizeof(wire));
}

static void read_command(struct command *c, struct input *in, uint8_t how)
{
	uint8_t action = (uint8_t)take(in, 1), type = (uint8_t)take(in, 1);
	uint8_t flags = (uint8_t)take(in, 1), keys = (uint8_t)take(in, 1);
	uint32_t more = take(in, 1), len, list;

	memset(c, 0, sizeof(*c));
	if (more > in->left)
		more = (uint32_t)in->left;
	len = 24 + more;
	c->out = calloc(1, len);
	c->io.out = c->out;
	c->out[7] = keys & 15;
	c->out[15] = keys >> 4;
	memcpy(c->out + 24, in->at, more);
	in->at += more;
	in->left -= more;
	if (action == PR_REGISTER_AND_MOVE) {
		c->out[17] = flags;
		c->out[19] = flags >> 4;
		if (!(how & HOW_RAW))
			put32(c->out + 20, more);
	} else {
		c->out[20] = flags;
		if (more >= 4 && !(how & HOW_RAW))
			put32(c->out + 24, more - 4);
	}
	list = how & HOW_LENGTH ? take(in, 4) : len;
	c->io.task.cdb[0] = CDB_PERSISTENT_RESERVE_OUT;
	c->io.task.cdb[1] = action;
	c->io.task.cdb[2] = type;
	put32(c->io.task.cdb + 5, list);
	c->io.task.cdb_len = 10;
	c->io.task.port = &pr_port;
	c->io.task.reactor = reactor;
	c->io.task.nexus = &run.nexus[how & 3];
	c->io.task.writes = true;
	c->io.task.edtl = len;
}

static void one(struct input *in)
{
	uint8_t how = (uint8_t)take(in, 1);
	struct pr_state *before;
	struct command *c;
	bool alone;

	if (how & HOW_RESTART || run.count == COMMANDS_MAX) {
		stop();
		start();
	}
	turn();
	for (unsigned int i = 0; i < NEXUSES; i++)
		run.nexus[i].unit_attentions[0] = 0;
	alone = !(how & HOW_TOGETHER);
	c = &run.commands[run.count++];
	read_command(c, in, how);
	before = pr_state_copy(state_now(), 0);
	require(before != NULL, "out of memory");
	if (how & HOW_FAIL && how & HOW_ABORT)
		c->io.fails = true;
	else
		run.store_fails = how & HOW_FAIL;
	scsi_submit(&c->io.task);
	if (how & HOW_ABORT && !(how & HOW_FAIL) && !c->io.ended)
		scsi_abort(&c->io.task);
	if (!alone && in->left && run.count < COMMANDS_MAX) {
		struct command *second = &run.commands[run.count++];

		read_command(second, in, how ^ 1);
		scsi_submit(&second->io.task);
	}
	turn();
	run.store_fails = false;
	require(c->io.ended == 1, "a command without an end");
	check_state(state_now());
	check_store(state_now());
	check_denied(state_now());
	if (alone)
		check_result(c, before);
	free(before);
}

static bool no_submit(struct backstore *bs, struct bs_req *req)
{
	(void)bs;
	req->res = -EIO;
	return true;
}

static const struct bs_driver driver = { .name = "fuzz", .submit = no_submit };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	run.bs.driver = &driver;
	run.bs.limits = (struct bs_limits){ .size = DISK_SIZE, .block_size = 512 };
	run.store.ops = &store_ops;
	run.target.ports[0] = (struct target_port){ .tag = 1, .relative = 1 };
	run.target.ports[1] = (struct target_port){ .tag = 2, .relative = 2 };
	run.target.port_count = 2;
	start();
	while (in.left)
		one(&in);
	stop();
	free(run.text);
	run.text = NULL;
	run.len = 0;
	run.version = 0;
	return 0;
}
