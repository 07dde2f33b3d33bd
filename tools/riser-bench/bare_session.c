// SPDX-License-Identifier: BSD-2-Clause
/*
 * The bare server's protocol: a login that agrees to everything a usual initiator offers, and
 * answers made of constants.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bare.h"

enum {
	TEST_UNIT_READY = 0x00,
	INQUIRY = 0x12,
	READ_10 = 0x28,
	WRITE_10 = 0x2a,
	READ_16 = 0x88,
	WRITE_16 = 0x8a,
	SERVICE_ACTION_IN_16 = 0x9e,
	STATUS_GOOD = 0x00,
	STATUS_CHECK_CONDITION = 0x02,
};

static const uint8_t disk_data[SEGMENT_MAX] __attribute__((aligned(4096)));

static const uint8_t inquiry_data[36] = {
	[2] = 6, [3] = 2, [4] = 31, [8] = 'r', 'i', 's', 'e', 'r', ' ', ' ', ' ',
	'b',	 'a',	  'r',	    'e',       ' ', ' ', ' ', ' ', ' ', ' ', ' ',
	' ',	 ' ',	  ' ',	    ' ',       ' ', '0', ' ', ' ', ' ',
};

/* SenseLength, then fixed format: ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE or LOGICAL BLOCK
 * ADDRESS OUT OF RANGE. */
static const uint8_t invalid_opcode[20] = { 0, 18, 0x70, 0, 5, [9] = 10, [14] = 0x20 };
static const uint8_t out_of_range[20] = { 0, 18, 0x70, 0, 5, [9] = 10, [14] = 0x21 };

/* Answers */

static int answer(struct peer *p, struct answer a)
{
	if (p->answer_count == BARE_ANSWERS)
		return -EPROTO;
	if (!p->answer_count)
		p->answer_head = 0; /* the same few cache lines again */
	p->answers[(p->answer_head + p->answer_count++) % BARE_ANSWERS] = a;
	return 0;
}

static struct be32 max_cmdsn(const struct peer *p)
{
	return be32_of(p->expcmdsn - 1 + BARE_WINDOW - p->answer_count - p->writes_open);
}

/* The fields that every answer has at the same place. */
static struct bhs_scsi_response *answer_header(struct peer *p, const struct answer *a,
					       uint8_t opcode)
{
	struct bhs_scsi_response *out = &stream_header(&p->stream)->scsi_response;

	out->opcode = opcode;
	out->flags = PDU_FINAL;
	out->itt = be32_of(a->itt);
	out->statsn = be32_of(p->statsn);
	out->expcmdsn = be32_of(p->expcmdsn);
	out->maxcmdsn = max_cmdsn(p);
	return out;
}

/* One Data-In. The last one carries the status. */
static void put_data_in(struct peer *p, struct answer *a, const void *data)
{
	struct bhs_data_in *out = (void *)answer_header(p, a, OP_DATA_IN);
	uint32_t burst_left = p->max_burst - a->offset % p->max_burst;
	uint32_t len = a->len - a->offset;

	if (len > p->max_send)
		len = p->max_send;
	if (len > burst_left)
		len = burst_left;
	out->flags = len == burst_left ? PDU_FINAL : 0;
	if (a->offset + len == a->len) {
		out->flags = PDU_FINAL | DATA_IN_STATUS;
		p->statsn++;
	}
	out->ttt = be32_of(TAG_NONE);
	out->datasn = be32_of(a->datasn++);
	out->buffer_offset = be32_of(a->offset);
	stream_put(&p->stream, data, len);
	a->offset += len;
}

static void put_status(struct peer *p, const struct answer *a)
{
	answer_header(p, a, OP_SCSI_RESPONSE)->status = a->status;
	p->statsn++;
	stream_put(&p->stream, a->data, a->data ? sizeof(invalid_opcode) : 0);
}

static void put_r2t(struct peer *p, const struct answer *a)
{
	struct bhs_r2t *out = (void *)answer_header(p, a, OP_R2T);

	out->ttt = be32_of(a->ttt);
	out->r2tsn = be32_of(a->datasn);
	out->buffer_offset = be32_of(a->offset);
	out->desired_len = be32_of(a->len);
	stream_put(&p->stream, NULL, 0);
}

static void put_plain(struct peer *p, const struct answer *a, uint8_t opcode)
{
	struct bhs_scsi_response *out = answer_header(p, a, opcode);

	if (opcode == OP_NOP_IN)
		out->snack_tag = be32_of(TAG_NONE); /* where NOP-In has its TTT */
	p->statsn++;
	stream_put(&p->stream, NULL, 0);
}

/* Returns true when the answer is complete. */
static bool put_answer(struct peer *p, struct answer *a)
{
	switch (a->kind) {
	case ANSWER_READ:
		put_data_in(p, a,
			    p->disk->memory ? (const uint8_t *)a->data + a->offset : disk_data);
		return a->offset == a->len;
	case ANSWER_DATA: put_data_in(p, a, a->data); break;
	case ANSWER_STATUS: put_status(p, a); break;
	case ANSWER_R2T: put_r2t(p, a); break;
	case ANSWER_NOP: put_plain(p, a, OP_NOP_IN); break;
	case ANSWER_LOGOUT:
		put_plain(p, a, OP_LOGOUT_RESPONSE);
		p->leaving = true;
		break;
	}
	return true;
}

int peer_pump(struct peer *p)
{
	int ret;

	do {
		while (p->answer_count && stream_room(&p->stream)) {
			if (!put_answer(p, p->answers + p->answer_head))
				continue;
			p->answer_head = (p->answer_head + 1) % BARE_ANSWERS;
			p->answer_count--;
		}
		ret = stream_flush(&p->stream);
	} while (ret > 0 && p->answer_count);
	if (ret > 0 && p->leaving)
		return -ECONNRESET;
	return ret < 0 ? ret : 0;
}

/* Full feature phase */

static int ask_for_more(struct peer *p, struct pending_write *w)
{
	uint32_t left = w->len - w->got;

	return answer(p, (struct answer){
				 .kind = ANSWER_R2T,
				 .itt = w->itt,
				 .ttt = (uint32_t)(w - p->writes),
				 .offset = w->got,
				 .len = left < p->max_burst ? left : p->max_burst,
			 });
}

/* Where the blocks of a READ or WRITE begin, in bytes. False: not all of them are on the disk. */
static bool find_place(const struct peer *p, const struct bhs_scsi_command *cmd, uint64_t *at)
{
	bool ten = cmd->cdb[0] == READ_10 || cmd->cdb[0] == WRITE_10;
	struct be32 lba_10;
	struct be64 lba_16;
	uint64_t lba;

	memcpy(&lba_10, cmd->cdb + 2, sizeof(lba_10));
	memcpy(&lba_16, cmd->cdb + 2, sizeof(lba_16));
	lba = ten ? be32_get(lba_10) : be64_get(lba_16);
	if (lba > p->disk->size / BARE_BLOCK)
		return false;
	*at = lba * BARE_BLOCK;
	return be32_get(cmd->edtl) <= p->disk->size - *at;
}

/* Where the data of a command goes, or NULL. */
static uint8_t *write_place(const struct peer *p, const struct bhs_scsi_command *cmd)
{
	uint64_t at;

	if (!p->disk->memory || (cmd->cdb[0] != WRITE_10 && cmd->cdb[0] != WRITE_16) ||
	    !find_place(p, cmd, &at))
		return NULL;
	return p->disk->memory + at;
}

static struct pending_write *find_write(struct peer *p, const struct bhs_data_out *out)
{
	uint32_t ttt = be32_get(out->ttt), itt = be32_get(out->itt);
	struct pending_write *w = p->writes;

	if (ttt != TAG_NONE)
		w += ttt < BARE_WINDOW ? ttt : 0;
	else
		while (w < p->writes + BARE_WINDOW - 1 && !(w->len && w->itt == itt))
			w++;
	return w->len && w->itt == itt ? w : NULL;
}

/* The place of bytes [offset, offset + len) of the data segment that is arriving, or NULL. */
static uint8_t *data_place(struct stream *s, uint32_t offset, uint32_t len)
{
	struct peer *p = (struct peer *)s;
	uint64_t at = offset;
	uint32_t total;
	uint8_t *to;

	if (pdu_opcode(&s->pdu.bhs) == OP_SCSI_COMMAND) {
		to = write_place(p, &s->pdu.scsi_command);
		total = be32_get(s->pdu.scsi_command.edtl);
	} else if (pdu_opcode(&s->pdu.bhs) == OP_DATA_OUT) {
		struct pending_write *w = find_write(p, &s->pdu.data_out);

		to = w ? w->to : NULL;
		total = w ? w->len : 0;
		at += be32_get(s->pdu.data_out.buffer_offset);
	} else {
		return NULL;
	}
	return to && at + len <= total ? to + at : NULL;
}

static void data_payload(struct stream *s, uint32_t offset, const uint8_t *data, uint32_t len)
{
	uint8_t *to = data_place(s, offset, len);

	if (to)
		memcpy(to, data, len);
}

static int write_command(struct peer *p, const struct bhs_scsi_command *cmd)
{
	uint32_t itt = be32_get(cmd->itt);
	uint32_t len = be32_get(cmd->edtl);
	uint32_t got = be24_get(cmd->dlength);
	struct pending_write *w = p->writes;

	if (got > len)
		return -EPROTO;
	if (got == len)
		return answer(p, (struct answer){ .kind = ANSWER_STATUS, .itt = itt });
	while (w < p->writes + BARE_WINDOW && w->len)
		w++;
	if (w == p->writes + BARE_WINDOW)
		return -EPROTO;
	*w = (struct pending_write){
		.itt = itt, .len = len, .got = got, .to = write_place(p, cmd)
	};
	p->writes_open++;
	return cmd->flags & CMD_FINAL ? ask_for_more(p, w) : 0;
}

static int data_out(struct peer *p, const struct bhs_data_out *out)
{
	uint32_t itt = be32_get(out->itt), len = be24_get(out->dlength);
	struct pending_write *w = find_write(p, out);

	if (!w || len > w->len - w->got)
		return -EPROTO;
	w->got += len;
	if (w->got == w->len) {
		w->len = w->got = 0;
		p->writes_open--;
		return answer(p, (struct answer){ .kind = ANSWER_STATUS, .itt = itt });
	}
	return out->flags & PDU_FINAL ? ask_for_more(p, w) : 0;
}

static int constant(struct peer *p, const struct bhs_scsi_command *cmd, const void *data,
		    uint32_t len)
{
	uint32_t edtl = be32_get(cmd->edtl);

	return answer(p, (struct answer){ .kind = ANSWER_DATA,
					  .itt = be32_get(cmd->itt),
					  .len = len < edtl ? len : edtl,
					  .data = data });
}

static int check_condition(struct peer *p, const struct bhs_scsi_command *cmd, const void *sense)
{
	return answer(p, (struct answer){ .kind = ANSWER_STATUS,
					  .itt = be32_get(cmd->itt),
					  .status = STATUS_CHECK_CONDITION,
					  .data = sense });
}

static int read_command(struct peer *p, const struct bhs_scsi_command *cmd)
{
	uint64_t at;

	if (!find_place(p, cmd, &at))
		return check_condition(p, cmd, out_of_range);
	return answer(p, (struct answer){ .kind = ANSWER_READ,
					  .itt = be32_get(cmd->itt),
					  .len = be32_get(cmd->edtl),
					  .data = p->disk->memory ? p->disk->memory + at : NULL });
}

static int scsi_command(struct peer *p, const struct bhs_scsi_command *cmd)
{
	uint32_t itt = be32_get(cmd->itt), len = be32_get(cmd->edtl);

	if (!pdu_immediate((const struct bhs *)cmd)) {
		if (be32_get(cmd->cmdsn) != p->expcmdsn)
			return -EPROTO;
		p->expcmdsn++;
	}
	if (cmd->flags & CMD_WRITE)
		return write_command(p, cmd);
	if (len && (cmd->cdb[0] == READ_16 || cmd->cdb[0] == READ_10))
		return read_command(p, cmd);
	if (len && cmd->cdb[0] == INQUIRY)
		return constant(p, cmd, inquiry_data, sizeof(inquiry_data));
	if (len && cmd->cdb[0] == SERVICE_ACTION_IN_16)
		return constant(p, cmd, p->disk->capacity, sizeof(p->disk->capacity));
	if (cmd->cdb[0] == TEST_UNIT_READY)
		return answer(p, (struct answer){ .kind = ANSWER_STATUS, .itt = itt });
	return check_condition(p, cmd, invalid_opcode);
}

static int full_feature_pdu(struct stream *s)
{
	struct peer *p = (struct peer *)s;
	uint32_t itt = be32_get(s->pdu.bhs.itt);

	switch (pdu_opcode(&s->pdu.bhs)) {
	case OP_SCSI_COMMAND: return scsi_command(p, &s->pdu.scsi_command);
	case OP_DATA_OUT: return data_out(p, &s->pdu.data_out);
	case OP_NOP_OUT:
		if (!pdu_immediate(&s->pdu.bhs))
			p->expcmdsn++;
		if (itt == TAG_NONE)
			return 0;
		return answer(p, (struct answer){ .kind = ANSWER_NOP, .itt = itt });
	case OP_LOGOUT_REQUEST:
		return answer(p, (struct answer){ .kind = ANSWER_LOGOUT, .itt = itt });
	default: return -EPROTO;
	}
}

/* Without memory nobody asks where data goes. */
static const struct stream_ops full_feature_ops = { .pdu = full_feature_pdu };
static const struct stream_ops memory_ops = {
	.payload = data_payload,
	.place = data_place,
	.pdu = full_feature_pdu,
};

/* Login */

enum rule {
	RULE_SILENT, /* declared by the initiator, needs no answer */
	RULE_ECHO,
	RULE_FIXED,
	RULE_MIN,
	RULE_DIGEST,
};

static const struct key {
	const char *name;
	enum rule rule;
	uint32_t limit;
	const char *value;
} keys[] = {
	{ "InitiatorName", RULE_SILENT, 0, NULL },
	{ "InitiatorAlias", RULE_SILENT, 0, NULL },
	{ "TargetName", RULE_SILENT, 0, NULL },
	{ "SessionType", RULE_SILENT, 0, NULL },
	{ "MaxRecvDataSegmentLength", RULE_SILENT, 0, NULL },
	{ "AuthMethod", RULE_FIXED, 0, "None" },
	{ "HeaderDigest", RULE_DIGEST, 0, NULL },
	{ "DataDigest", RULE_DIGEST, 0, NULL },
	{ "InitialR2T", RULE_ECHO, 0, NULL },
	{ "ImmediateData", RULE_ECHO, 0, NULL },
	{ "FirstBurstLength", RULE_MIN, SEGMENT_MAX, NULL },
	{ "MaxBurstLength", RULE_MIN, 1 << 20, NULL },
	{ "MaxOutstandingR2T", RULE_FIXED, 0, "1" },
	{ "MaxConnections", RULE_FIXED, 0, "1" },
	{ "DefaultTime2Wait", RULE_ECHO, 0, NULL },
	{ "DefaultTime2Retain", RULE_FIXED, 0, "0" },
	{ "ErrorRecoveryLevel", RULE_FIXED, 0, "0" },
	{ "DataPDUInOrder", RULE_FIXED, 0, "Yes" },
	{ "DataSequenceInOrder", RULE_FIXED, 0, "Yes" },
};

struct login_state {
	struct peer *peer;
	uint32_t reply_len;
};

static void reply_key(struct login_state *l, const char *name, const char *value)
{
	size_t room = sizeof(l->peer->reply) - l->reply_len;
	int n = snprintf(l->peer->reply + l->reply_len, room, "%s=%s", name, value);

	if (n > 0 && (size_t)n < room)
		l->reply_len += (uint32_t)n + 1;
}

static void reply_number(struct login_state *l, const char *name, unsigned long n)
{
	char text[24];

	snprintf(text, sizeof(text), "%lu", n);
	reply_key(l, name, text);
}

static void answer_key(struct login_state *l, const char *name, const char *value)
{
	unsigned long n = strtoul(value, NULL, 0);
	bool crc = !strncmp(value, "CRC32C", 6);
	const struct key *key = keys;

	while (key < keys + sizeof(keys) / sizeof(*keys) && strcmp(key->name, name))
		key++;
	if (key == keys + sizeof(keys) / sizeof(*keys)) {
		reply_key(l, name, "NotUnderstood");
		return;
	}
	if (!strcmp(name, "MaxRecvDataSegmentLength") && n >= 512)
		l->peer->max_send = n < SEGMENT_MAX ? (uint32_t)n : SEGMENT_MAX;
	if (!strcmp(name, "MaxBurstLength") && n >= 512)
		l->peer->max_burst = n < key->limit ? (uint32_t)n : key->limit;
	l->peer->header_digest |= crc && !strcmp(name, "HeaderDigest");
	l->peer->data_digest |= crc && !strcmp(name, "DataDigest");
	switch (key->rule) {
	case RULE_SILENT: break;
	case RULE_ECHO: reply_key(l, name, value); break;
	case RULE_FIXED: reply_key(l, name, key->value); break;
	case RULE_MIN: reply_number(l, name, n < key->limit ? n : key->limit); break;
	case RULE_DIGEST: reply_key(l, name, crc ? "CRC32C" : "None"); break;
	}
}

static void answer_keys(struct login_state *l)
{
	struct peer *p = l->peer;
	char *at = p->text;

	p->text[p->text_len] = '\0';
	while (at < p->text + p->text_len) {
		size_t len = strlen(at);
		char *equals = strchr(at, '=');

		if (equals) {
			*equals = '\0';
			answer_key(l, at, equals + 1);
		}
		at += len + 1;
	}
}

static void login_payload(struct stream *s, uint32_t offset, const uint8_t *data, uint32_t len)
{
	struct peer *p = (struct peer *)s;

	if (offset + len > LOGIN_DATA_MAX)
		return; /* login_pdu() refuses it */
	memcpy(p->text + offset, data, len);
	p->text_len = offset + len;
}

static int login_pdu(struct stream *s)
{
	struct peer *p = (struct peer *)s;
	struct login_state l = { .peer = p };
	struct bhs_login_request in = s->pdu.login_request;
	bool operational = LOGIN_CSG(in.flags) == STAGE_OPERATIONAL;
	bool done = in.flags & LOGIN_TRANSIT && LOGIN_NSG(in.flags) == STAGE_FULL_FEATURE;
	struct bhs_login_response *out;

	if (pdu_opcode(&s->pdu.bhs) != OP_LOGIN_REQUEST || in.flags & LOGIN_CONTINUE ||
	    be24_get(in.dlength) > LOGIN_DATA_MAX || !stream_room(s))
		return -EPROTO;
	p->text_len = be24_get(in.dlength);
	p->expcmdsn = be32_get(in.cmdsn);
	answer_keys(&l);
	reply_key(&l, "TargetPortalGroupTag", "1");
	if (operational)
		reply_number(&l, "MaxRecvDataSegmentLength", SEGMENT_MAX);
	out = &stream_header(s)->login_response;
	out->opcode = OP_LOGIN_RESPONSE;
	out->flags = in.flags;
	out->isid = in.isid;
	out->tsih = be16_of(done ? 1 : 0);
	out->itt = in.itt;
	out->statsn = be32_of(p->statsn++);
	out->expcmdsn = in.cmdsn;
	out->maxcmdsn = max_cmdsn(p);
	stream_put(s, p->reply, l.reply_len);
	if (done) {
		s->ops = p->disk->memory ? &memory_ops : &full_feature_ops;
		s->header_digest = p->header_digest;
		s->data_digest = p->data_digest;
	}
	return 0;
}

static const struct stream_ops login_ops = { .payload = login_payload, .pdu = login_pdu };

struct peer *peer_new(int fd, struct stream_pool *pool, const struct bare_disk *disk)
{
	struct peer *p = malloc(sizeof(*p));

	if (!p)
		return NULL;
	memset(p, 0, offsetof(struct peer, answers));
	stream_init(&p->stream, fd, &login_ops, pool);
	p->disk = disk;
	p->statsn = 1;
	p->max_send = LOGIN_DATA_MAX;
	p->max_burst = SEGMENT_MAX;
	return p;
}
