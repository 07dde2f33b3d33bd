// SPDX-License-Identifier: BSD-2-Clause
/*
 * The commands of one connection: issuing READ(16) and WRITE(16), sending data as the session's
 * parameters and the target's R2Ts ask, and judging what comes back.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

enum {
	ITT_INDEX_BITS = 11, /* QD_MAX + 1 fits */
	ITT_INDEX_MASK = (1 << ITT_INDEX_BITS) - 1,
	ITT_GENERATION_MASK = 0xfffff,
	READ_16 = 0x88,
	WRITE_16 = 0x8a,
	STATUS_GOOD = 0x00,
	STATUS_CHECK_CONDITION = 0x02,
};

int tasks_init(struct connection *c)
{
	const struct job_options *opt = c->job->opt;
	bool stamped = opt->kind == JOB_IO && opt->verify && opt->mix < 100;

	c->tasks = calloc(c->qd + 1, sizeof(*c->tasks));
	c->free_tasks = calloc(c->qd, sizeof(struct task *));
	c->bursts = calloc(2 * (size_t)c->qd, sizeof(*c->bursts));
	if (!c->tasks || !c->free_tasks || !c->bursts)
		return -ENOMEM;
	for (unsigned i = 0; i < c->qd; i++) {
		if (stamped && !(c->tasks[i].buffer = malloc(opt->bs)))
			return -ENOMEM;
	}
	tasks_reset(c);
	return 0;
}

void tasks_reset(struct connection *c)
{
	c->free_count = c->burst_count = 0;
	for (unsigned i = 0; i < c->qd; i++) {
		c->tasks[i].kind = TASK_FREE;
		c->free_tasks[c->free_count++] = &c->tasks[i];
	}
}

void tasks_free(struct connection *c)
{
	for (unsigned i = 0; c->tasks && i < c->qd; i++)
		free(c->tasks[i].buffer);
	free(c->tasks);
	free(c->free_tasks);
	free(c->bursts);
}

static struct task *task_find(struct connection *c, uint32_t itt)
{
	uint32_t i = itt & ITT_INDEX_MASK;
	struct task *t = c->tasks + i;

	if (i > c->qd || t->kind == TASK_FREE || t->itt != itt)
		return NULL;
	return t;
}

/* Sending */

static bool burst_add(struct connection *c, struct task *t, uint32_t ttt, uint32_t offset,
		      uint32_t len)
{
	unsigned size = 2 * c->qd;

	if (c->burst_count == size)
		return false;
	c->bursts[(c->burst_head + c->burst_count++) % size] = (struct burst){
		.buffer = t->buffer,
		.itt = t->itt,
		.ttt = ttt,
		.offset = offset,
		.end = offset + len,
	};
	return true;
}

/* Any data will do when nothing is verified. */
static const uint8_t *write_data(const struct connection *c, const uint8_t *buffer, uint32_t offset)
{
	return buffer ? buffer + offset : c->job->payload;
}

static void send_data_out(struct connection *c, struct burst *b)
{
	struct bhs_data_out *out = &stream_header(&c->stream)->data_out;
	uint32_t len = b->end - b->offset;

	if (len > c->param.max_send)
		len = c->param.max_send;
	out->opcode = OP_DATA_OUT;
	out->flags = b->offset + len == b->end ? PDU_FINAL : 0;
	if (b->ttt != TAG_NONE)
		memcpy(out->lun, c->job->opt->lun, sizeof(out->lun));
	out->itt = be32_of(b->itt);
	out->ttt = be32_of(b->ttt);
	out->expstatsn = be32_of(c->expstatsn);
	out->datasn = be32_of(b->datasn++);
	out->buffer_offset = be32_of(b->offset);
	stream_put(&c->stream, write_data(c, b->buffer, b->offset), len);
	b->offset += len;
}

static void send_bursts(struct connection *c)
{
	while (c->burst_count && stream_room(&c->stream)) {
		struct burst *b = c->bursts + c->burst_head;

		send_data_out(c, b);
		if (b->offset == b->end) {
			c->burst_head = (c->burst_head + 1) % (2 * c->qd);
			c->burst_count--;
		}
	}
}

static void send_ping_answer(struct connection *c)
{
	struct bhs_nop_out *out = &stream_header(&c->stream)->nop_out;

	out->opcode = OP_NOP_OUT | OPCODE_IMMEDIATE;
	out->flags = PDU_FINAL;
	memcpy(out->lun, c->nop_in.lun, sizeof(out->lun));
	out->itt = be32_of(TAG_NONE);
	out->ttt = c->nop_in.ttt;
	out->cmdsn = be32_of(c->cmdsn);
	out->expstatsn = be32_of(c->expstatsn);
	c->ping = false;
	stream_put(&c->stream, NULL, 0);
}

static struct bhs_scsi_command *command_header(struct connection *c, struct task *t)
{
	struct bhs_scsi_command *cmd = &stream_header(&c->stream)->scsi_command;

	c->itt_generation = (c->itt_generation + 1) & ITT_GENERATION_MASK;
	t->itt = c->itt_generation << ITT_INDEX_BITS | (uint32_t)(t - c->tasks);
	t->got = 0;
	t->bad = false;
	t->start = client_now(c->client);
	cmd->opcode = OP_SCSI_COMMAND;
	cmd->flags = CMD_FINAL | ATTR_SIMPLE;
	memcpy(cmd->lun, c->job->opt->lun, sizeof(cmd->lun));
	cmd->itt = be32_of(t->itt);
	cmd->edtl = be32_of(t->len);
	cmd->cmdsn = be32_of(c->cmdsn++);
	cmd->expstatsn = be32_of(c->expstatsn);
	return cmd;
}

static void send_read(struct connection *c, struct bhs_scsi_command *cmd)
{
	cmd->flags |= CMD_READ;
	stream_put(&c->stream, NULL, 0);
}

/* Immediate data first, then unsolicited Data-Out up to FirstBurstLength, then R2Ts. */
static void send_write(struct connection *c, struct bhs_scsi_command *cmd, struct task *t)
{
	const struct parameters *p = &c->param;
	uint32_t first = t->len < p->first_burst ? t->len : p->first_burst;
	uint32_t immediate = first < p->max_send ? first : p->max_send;

	if (!p->immediate_data)
		immediate = 0;
	cmd->flags |= CMD_WRITE;
	if (!p->initial_r2t && first > immediate)
		cmd->flags &= (uint8_t)~CMD_FINAL;
	stream_put(&c->stream, write_data(c, t->buffer, 0), immediate);
	if (!(cmd->flags & CMD_FINAL))
		burst_add(c, t, TAG_NONE, immediate, first - immediate);
}

static void set_read_write_cdb(const struct job *job, uint8_t *cdb, const struct task *t)
{
	struct be64 lba = be64_of(t->offset >> job->block_shift);
	struct be32 blocks = be32_of(t->len >> job->block_shift);

	cdb[0] = t->kind == TASK_READ ? READ_16 : WRITE_16;
	memcpy(cdb + 2, &lba, sizeof(lba));
	memcpy(cdb + 10, &blocks, sizeof(blocks));
}

/* splitmix64: even over the range, and cheap. */
static uint64_t random_next(struct client *client)
{
	uint64_t z = client->random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t choose_unit(struct connection *c)
{
	const struct job *job = c->job;

	if (job->opt->random)
		return (uint64_t)((unsigned __int128)random_next(c->client) * job->units >> 64);
	if (c->next_unit >= job->units)
		c->next_unit = 0;
	return c->next_unit++;
}

static enum task_kind choose_kind(struct client *client, unsigned mix)
{
	if (mix == 0 || mix == 100)
		return mix ? TASK_READ : TASK_WRITE;
	return random_next(client) % 100 < mix ? TASK_READ : TASK_WRITE;
}

static void issue(struct connection *c)
{
	struct job *job = c->job;
	const struct job_options *opt = job->opt;
	struct task *t = c->free_tasks[--c->free_count];
	uint64_t unit = choose_unit(c);
	struct bhs_scsi_command *cmd;

	t->kind = choose_kind(c->client, opt->mix);
	t->len = opt->bs;
	t->offset = unit * opt->bs;
	t->compare = opt->verify && t->kind == TASK_READ &&
		     (opt->mix == 100 || job->written[unit / 64] >> unit % 64 & 1);
	if (t->kind == TASK_WRITE && t->buffer)
		verify_fill(t->buffer, t->offset, t->len);
	cmd = command_header(c, t);
	set_read_write_cdb(job, cmd->cdb, t);
	if (t->kind == TASK_READ)
		send_read(c, cmd);
	else
		send_write(c, cmd, t);
	job->outstanding++;
	job->issued++;
}

/*
 * Unsolicited data goes out in the order of its commands (RFC 7143 section 4.2.5.2): nothing is
 * issued while an older command still has data to send.
 */
static bool may_issue(const struct connection *c)
{
	const struct job *job = c->job;

	return c->issuing && !c->client->stopping && c->free_count && !c->burst_count &&
	       sn_le(c->cmdsn, c->maxcmdsn) && (!job->opt->count || job->issued < job->opt->count);
}

int tasks_pump(struct connection *c)
{
	int ret;

	do {
		if (c->ping && stream_room(&c->stream))
			send_ping_answer(c);
		send_bursts(c);
		if (may_issue(c))
			c->client->now = now_ns();
		while (may_issue(c) && stream_room(&c->stream)) {
			issue(c);
			send_bursts(c);
		}
		if (!stream_unsent(&c->stream))
			return 0;
		ret = stream_flush(&c->stream);
	} while (ret > 0 && (c->burst_count || may_issue(c)));
	return ret < 0 ? ret : 0;
}

struct task *task_control(struct connection *c, const uint8_t *cdb, size_t cdb_len, uint8_t *buffer,
			  uint32_t len)
{
	struct task *t = c->tasks + c->qd;
	struct bhs_scsi_command *cmd;

	t->kind = TASK_CONTROL;
	t->len = len;
	t->buffer = buffer;
	cmd = command_header(c, t);
	memcpy(cmd->cdb, cdb, cdb_len);
	if (len)
		cmd->flags |= CMD_READ;
	stream_put(&c->stream, NULL, 0);
	return t;
}

void task_logout(struct connection *c)
{
	struct bhs_logout_request *out = &stream_header(&c->stream)->logout_request;

	out->opcode = OP_LOGOUT_REQUEST | OPCODE_IMMEDIATE;
	out->reason = PDU_FINAL | LOGOUT_SESSION;
	out->itt = be32_of(ITT_GENERATION_MASK << ITT_INDEX_BITS | ITT_INDEX_MASK);
	out->cmdsn = be32_of(c->cmdsn);
	out->expstatsn = be32_of(c->expstatsn);
	c->state = SESSION_LOGOUT;
	stream_put(&c->stream, NULL, 0);
}

/* Receiving */

static void task_payload(struct stream *s, uint32_t offset, const uint8_t *data, uint32_t len)
{
	struct connection *c = (struct connection *)s;
	struct task *t;
	uint64_t at = offset;

	if (pdu_opcode(&s->pdu.bhs) != OP_DATA_IN) {
		if (offset < sizeof(c->sense)) {
			uint32_t room = (uint32_t)sizeof(c->sense) - offset;

			memcpy(c->sense + offset, data, len < room ? len : room);
		}
		return;
	}
	t = task_find(c, be32_get(s->pdu.bhs.itt));
	if (!t || (t->kind != TASK_CONTROL && !t->compare))
		return;
	at += be32_get(s->pdu.data_in.buffer_offset);
	if (at + len > t->len)
		return; /* data_in() refuses it */
	if (t->kind == TASK_CONTROL) {
		memcpy(t->buffer + at, data, len);
	} else if (!t->bad && !verify_matches(data, t->offset + at, len)) {
		t->bad = true;
		job_error(c->job, "wrong data within %u bytes at byte %llu of the disk", t->len,
			  (unsigned long long)t->offset);
	}
}

static void sense_error(struct connection *c, const struct task *t)
{
	const uint8_t *d = c->sense + 2; /* after SenseLength */
	bool descriptor = (d[0] & 0x7f) >= 0x72;

	job_error(c->job, "CHECK CONDITION at byte %llu: sense %x/%02x/%02x",
		  (unsigned long long)t->offset, (descriptor ? d[1] : d[2]) & 0xf,
		  descriptor ? d[2] : d[12], descriptor ? d[3] : d[13]);
}

static bool unit_attention(const struct connection *c)
{
	const uint8_t *d = c->sense + 2; /* after SenseLength */

	return ((d[0] & 0x7f) >= 0x72 ? d[1] & 0xf : d[2] & 0xf) == 0x6;
}

static void judge(struct connection *c, struct task *t, uint8_t status, uint8_t flags,
		  uint32_t residual)
{
	if (status == STATUS_GOOD && !(flags & (RSP_UNDERFLOW | RSP_OVERFLOW)) &&
	    (t->kind == TASK_WRITE || t->got == t->len))
		return;
	t->bad = true;
	if (status == STATUS_CHECK_CONDITION && unit_attention(c))
		return; /* not executed, and no error: something has changed on the target */
	if (status == STATUS_CHECK_CONDITION)
		sense_error(c, t);
	else if (status != STATUS_GOOD)
		job_error(c->job, "SCSI status 0x%02x", status);
	else if (flags & (RSP_UNDERFLOW | RSP_OVERFLOW))
		job_error(c->job, "residual of %u bytes", residual);
	else
		job_error(c->job, "GOOD after %u of %u bytes", t->got, t->len);
}

static void count(struct job *job, const struct task *t)
{
	enum io_direction dir = t->kind == TASK_READ ? IO_READ : IO_WRITE;
	struct results *r = job->results;

	if (t->compare)
		r->verified += t->len >> job->block_shift;
	if (t->kind == TASK_WRITE && job->written) {
		uint64_t unit = t->offset / job->opt->bs;

		job->written[unit / 64] |= (uint64_t)1 << unit % 64;
	}
	if (!job->client->measuring)
		return;
	r->ios[dir]++;
	r->bytes[dir] += t->len;
	histogram_add(&r->latency, client_now(job->client) - t->start);
}

static int control_finished(struct connection *c, struct task *t, uint8_t status)
{
	t->status = status;
	t->kind = TASK_FREE;
	return c->state == SESSION_CHECK ? session_checked(c, status) : 0;
}

static int finish(struct connection *c, struct task *t, uint8_t status, uint8_t flags,
		  uint32_t residual)
{
	struct job *job = c->job;

	if (t->kind == TASK_CONTROL)
		return control_finished(c, t, status);
	judge(c, t, status, flags, residual);
	if (!t->bad)
		count(job, t);
	t->kind = TASK_FREE;
	c->free_tasks[c->free_count++] = t;
	if (!--job->outstanding && job->opt->count && job->issued == job->opt->count)
		c->client->counted--;
	return 0;
}

static int data_in(struct connection *c, const struct bhs_data_in *in)
{
	struct task *t = task_find(c, be32_get(in->itt));
	uint32_t len = be24_get(in->dlength);

	if (!t || t->kind == TASK_WRITE || len > t->len - t->got ||
	    be32_get(in->buffer_offset) != t->got)
		return -EPROTO; /* DataPDUInOrder=Yes was agreed */
	t->got += len;
	if (in->flags & DATA_IN_STATUS) {
		c->expstatsn = be32_get(in->statsn) + 1;
		return finish(c, t, in->status, in->flags, be32_get(in->residual));
	}
	return 0;
}

static int scsi_response(struct connection *c, const struct bhs_scsi_response *in)
{
	struct task *t = task_find(c, be32_get(in->itt));

	if (!t)
		return -EPROTO;
	c->expstatsn = be32_get(in->statsn) + 1;
	if (be24_get(in->dlength) < 16)
		memset(c->sense, 0, sizeof(c->sense));
	if (in->response != RSP_COMPLETED)
		job_error(c->job, "iSCSI response code 0x%02x", in->response);
	return finish(c, t, in->status, in->flags, be32_get(in->residual));
}

static int r2t(struct connection *c, const struct bhs_r2t *in)
{
	struct task *t = task_find(c, be32_get(in->itt));
	uint64_t offset = be32_get(in->buffer_offset);
	uint32_t len = be32_get(in->desired_len);

	if (!t || t->kind != TASK_WRITE || !len || len > c->param.max_burst ||
	    offset + len > t->len)
		return -EPROTO;
	return burst_add(c, t, be32_get(in->ttt), (uint32_t)offset, len) ? 0 : -EPROTO;
}

static int task_pdu(struct stream *s)
{
	struct connection *c = (struct connection *)s;
	const struct bhs_scsi_response *any = &s->pdu.scsi_response;
	uint32_t maxcmdsn = be32_get(any->maxcmdsn); /* at the same place in every response */

	if (sn_lt(c->maxcmdsn, maxcmdsn))
		c->maxcmdsn = maxcmdsn;
	switch (pdu_opcode(&s->pdu.bhs)) {
	case OP_DATA_IN: return data_in(c, &s->pdu.data_in);
	case OP_SCSI_RESPONSE: return scsi_response(c, any);
	case OP_R2T: return r2t(c, &s->pdu.r2t);
	case OP_NOP_IN:
		c->nop_in = s->pdu.nop_in;
		c->ping = be32_get(c->nop_in.ttt) != TAG_NONE;
		return 0;
	case OP_LOGOUT_RESPONSE:
		if (c->state != SESSION_LOGOUT)
			return -EPROTO;
		c->state = SESSION_LEFT;
		return 0;
	case OP_ASYNC:
		/* A SCSI event only says that something has changed. */
		if (s->pdu.async.event != ASYNC_SCSI)
			job_error(c->job, "asynchronous message, event %u", s->pdu.async.event);
		c->expstatsn = be32_get(s->pdu.async.statsn) + 1;
		return 0;
	case OP_REJECT:
		job_error(c->job, "Reject, reason 0x%02x", s->pdu.reject.reason);
		return -EPROTO;
	default: return -EPROTO;
	}
}

const struct stream_ops task_stream_ops = {
	.payload = task_payload,
	.pdu = task_pdu,
};
