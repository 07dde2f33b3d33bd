// SPDX-License-Identifier: BSD-2-Clause
/* What the fuzzers of scsi/ share. */
#include "tests/fuzz/scsi_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

struct slab *slab;
struct reactor *reactor;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level((enum log_level)0);
	require(!slab_create(128u << 20, &slab), "slab_create");
	require(!reactor_create_virtual(slab, &reactor), "reactor_create_virtual");
	return 0;
}

void require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

void turn(void)
{
	while (reactor_turn(reactor))
		;
}

/* --- The input */

uint32_t take(struct input *in, unsigned int bytes)
{
	uint32_t v = 0;

	for (; bytes && in->left; bytes--, in->left--)
		v = v << 8 | *in->at++;
	return v;
}

uint8_t *take_bytes(struct input *in, size_t *len)
{
	uint8_t *bytes;

	if (*len > in->left)
		*len = in->left;
	bytes = malloc(*len ? *len : 1);
	require(bytes != NULL, "out of memory");
	memcpy(bytes, in->at, *len);
	in->at += *len;
	in->left -= *len;
	return bytes;
}

uint64_t number(const uint8_t *at, unsigned int bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | *at++;
	return v;
}

/* --- The disk */

static void disk_answer(struct work *work)
{
	struct disk_queue *q = container_of(work, struct disk_queue, work);
	struct bs_req *due[QUEUE_MAX];
	unsigned int count = q->count;

	memcpy(due, q->pending, count * sizeof(due[0]));
	q->count = 0;
	for (unsigned int i = 0; i < count; i++)
		bs_complete(due[i], q->execute(due[i]));
}

bool disk_later(struct disk_queue *q, struct bs_req *req)
{
	require(q->count < q->max && q->max <= QUEUE_MAX, "too many requests at a time");
	q->pending[q->count++] = req;
	q->work.fn = disk_answer;
	reactor_defer(reactor, &q->work);
	return false;
}

int disk_execute(uint8_t *bytes, const struct bs_req *req)
{
	uint64_t size = req->bs->limits.size;

	if (req->opcode == BS_FLUSH)
		return 0;
	require(req->offset <= size && req->len <= size - req->offset, "a request beyond the disk");
	switch (req->opcode) {
	case BS_READ: memcpy(req->data, bytes + req->offset, req->len); return 0;
	case BS_WRITE: memcpy(bytes + req->offset, req->data, req->len); return 0;
	case BS_UNMAP:
	case BS_ZERO: memset(bytes + req->offset, 0, req->len); return 0;
	default: return -EOPNOTSUPP;
	}
}

/* --- The port */

static struct port_command *command_of(struct scsi_task *task)
{
	return container_of(task, struct port_command, task);
}

static void moved(struct work *work)
{
	struct port_command *c = container_of(work, struct port_command, work);
	bool ok = !c->fails || c->puts;

	/* Data-In is read as late as a transport may. */
	if (!ok)
		task_sense(&c->task, 0x0b, 0x47, 0x05);
	else if (c->move_len && c->puts)
		memcpy(c->in + c->move_offset, c->move_from, c->move_len);
	else if (c->move_len)
		memcpy(c->move_to, c->out + c->move_offset, c->move_len);
	c->moving = false;
	c->fails = false;
	c->task.io_done(&c->task, ok);
}

static void move(struct port_command *c, uint32_t offset, uint32_t len)
{
	require(!c->moving, "two transfers at a time");
	require(offset <= c->task.edtl && len <= c->task.edtl - offset,
		"a transfer beyond the EDTL");
	c->moving = true;
	c->move_offset = offset;
	c->move_len = len;
	c->work.fn = moved;
	reactor_defer(reactor, &c->work);
}

void port_get_data(struct scsi_task *task, void *data, uint32_t offset, uint32_t len)
{
	struct port_command *c = command_of(task);
	uint32_t there = 0;

	require(!c->ended && task->writes, "Data-Out of a command that has none");
	if (offset == 0 && data == c->first)
		there = c->at_once < len ? c->at_once : len;
	c->puts = false;
	c->move_to = (uint8_t *)data + there;
	move(c, offset + there, len - there);
}

void port_put_data(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len,
		   bool last)
{
	struct port_command *c = command_of(task);

	require(!c->ended && task->reads && !task->writes, "Data-In of a command without");
	require(len > 0 && offset == c->in_len, "Data-In with a gap");
	require(!last || task->status == SAM_GOOD, "the last Data-In without GOOD");
	c->in_len += len;
	c->puts = true;
	c->move_from = data;
	c->ended += last;
	move(c, offset, len);
}

void port_done(struct scsi_task *task)
{
	struct port_command *c = command_of(task);

	require(!c->moving, "ended during a transfer");
	require(!c->ended, "ended twice");
	c->ended++;
}

void port_abort_tasks(struct scsi_task *task,
		      bool (*victim)(const void *arg, const struct nexus *nexus), const void *arg,
		      bool report)
{
	struct port_command *c = command_of(task);

	(void)victim;
	(void)arg;
	(void)report;
	c->puts = false;
	c->fails = false;
	move(c, 0, 0);
}

/* QERR. The commands of an input run one after the other, or end where nobody waits for them. */
void port_abort_others(struct scsi_task *task)
{
	(void)task;
}

const struct task_port_ops port = { port_get_data, port_put_data, port_done, port_abort_tasks,
				    port_abort_others };

void nexus_start(struct nexus *n, struct scsi_target *target, unsigned int port_index)
{
	n->target = target;
	n->port = &target->ports[port_index];
	nexus_attach(n);
	for (unsigned int lun = 0; lun < TARGET_LUNS; lun++)
		n->unit_attentions[lun] = 0;
}
