// SPDX-License-Identifier: BSD-2-Clause
/*
 * Login of a normal session, RFC 7143 section 6: AuthMethod=None, then the keys that a usual
 * initiator offers. One request and one response at a time, many connections at once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

enum { KEYS_MAX = LOGIN_DATA_MAX, ROUNDS_MAX = 8 };

struct login {
	struct connection *c;
	int stage; /* that we are in */
	unsigned rounds; /* requests in it */
	uint16_t tsih;
	uint32_t len;
	char keys[KEYS_MAX + 1]; /* of the request, then of the response */
};

static int fail(const struct login *l, const char *what)
{
	fprintf(stderr, "riser-bench: login of connection %u: %s\n", l->c->number, what);
	return -EPROTO;
}

static void add_key(struct login *l, const char *key, const char *value)
{
	size_t room = KEYS_MAX - l->len;
	int n = snprintf(l->keys + l->len, room, "%s=%s", key, value);

	if (n > 0 && (size_t)n < room)
		l->len += (uint32_t)n + 1;
}

static void add_number(struct login *l, const char *key, uint32_t value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	add_key(l, key, text);
}

static const char *find_key(const struct login *l, const char *key)
{
	size_t key_len = strlen(key);

	for (const char *p = l->keys; p < l->keys + l->len; p += strlen(p) + 1) {
		if (!strncmp(p, key, key_len) && p[key_len] == '=')
			return p + key_len + 1;
	}
	return NULL;
}

/* Format 10b: random. The process and the connection's number make it ours alone. */
static struct isid own_isid(const struct connection *c)
{
	uint32_t pid = (uint32_t)getpid();
	uint32_t n = c->number;

	return (struct isid){ { 0x80, (uint8_t)(pid >> 16), (uint8_t)(pid >> 8), (uint8_t)pid,
				(uint8_t)(n >> 8), (uint8_t)n } };
}

/* Asks to leave the stage that we are in. */
static void send_request(struct login *l)
{
	struct connection *c = l->c;
	int next = l->stage == STAGE_SECURITY ? STAGE_OPERATIONAL : STAGE_FULL_FEATURE;
	struct bhs_login_request *out = &stream_header(&c->stream)->login_request;

	out->opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	out->flags = (uint8_t)(LOGIN_TRANSIT | l->stage << 2 | next);
	out->isid = own_isid(c);
	out->tsih = be16_of(l->tsih);
	out->itt = be32_of(1);
	out->cmdsn = be32_of(c->cmdsn);
	out->expstatsn = be32_of(c->expstatsn);
	l->rounds++;
	stream_put(&c->stream, l->keys, l->len);
}

static void offer_security_keys(struct login *l)
{
	l->len = 0;
	add_key(l, "InitiatorName", "iqn.2026-11.localhost:riser-bench");
	add_key(l, "TargetName", l->c->job->opt->target);
	add_key(l, "SessionType", "Normal");
	add_key(l, "AuthMethod", "None");
}

static void offer_operational_keys(struct login *l)
{
	const struct job_options *opt = l->c->job->opt;

	l->len = 0;
	add_key(l, "HeaderDigest", opt->header_digest ? "CRC32C" : "None");
	add_key(l, "DataDigest", opt->data_digest ? "CRC32C" : "None");
	add_number(l, "MaxRecvDataSegmentLength", SEGMENT_MAX);
	add_key(l, "InitialR2T", "No");
	add_key(l, "ImmediateData", "Yes");
	add_number(l, "FirstBurstLength", 262144);
	add_number(l, "MaxBurstLength", 1048576);
	add_number(l, "MaxOutstandingR2T", 1);
	add_number(l, "MaxConnections", 1);
	add_number(l, "DefaultTime2Wait", 2);
	add_number(l, "DefaultTime2Retain", 0);
	add_number(l, "ErrorRecoveryLevel", 0);
	add_key(l, "DataPDUInOrder", "Yes");
	add_key(l, "DataSequenceInOrder", "Yes");
}

/* An answer outside RFC 7143's range falls back to what was offered or to the default. */
static uint32_t number_key(const struct login *l, const char *key, uint32_t def, uint32_t max)
{
	const char *value = find_key(l, key);
	unsigned long n = value ? strtoul(value, NULL, 0) : def;

	return n < 512 || n > 0xffffff ? def : n < max ? (uint32_t)n : max;
}

static bool bool_key(const struct login *l, const char *key, bool def)
{
	const char *value = find_key(l, key);

	return value ? !strcmp(value, "Yes") : def;
}

static bool digest_key(const struct login *l, const char *key)
{
	const char *value = find_key(l, key);

	return value && !strcmp(value, "CRC32C");
}

static int security_done(struct login *l)
{
	const char *method = find_key(l, "AuthMethod");

	if (method && strcmp(method, "None"))
		return fail(l, "the target wants authentication");
	l->stage = STAGE_OPERATIONAL;
	l->rounds = 0;
	offer_operational_keys(l);
	send_request(l);
	return 0;
}

/* The connection is in full feature phase. Frees l. */
static int operational_done(struct login *l)
{
	struct connection *c = l->c;
	const struct job_options *opt = c->job->opt;
	struct parameters *p = &c->param;

	/* RFC 7143 section 13.12: 8192 unless the target declares another limit. */
	p->max_send = number_key(l, "MaxRecvDataSegmentLength", LOGIN_DATA_MAX, 0xffffff);
	p->first_burst = number_key(l, "FirstBurstLength", 65536, 262144);
	p->max_burst = number_key(l, "MaxBurstLength", 262144, 1048576);
	p->immediate_data = bool_key(l, "ImmediateData", true);
	p->initial_r2t = bool_key(l, "InitialR2T", true);
	p->header_digest = digest_key(l, "HeaderDigest");
	p->data_digest = digest_key(l, "DataDigest");
	if (p->header_digest != opt->header_digest || p->data_digest != opt->data_digest)
		return fail(l, "the target does not agree to --digests");
	c->stream.header_digest = p->header_digest;
	c->stream.data_digest = p->data_digest;
	c->stream.ops = &task_stream_ops;
	login_free(c);
	return session_logged_in(c);
}

static void login_payload(struct stream *s, uint32_t offset, const uint8_t *data, uint32_t len)
{
	struct login *l = ((struct connection *)s)->login;

	if (offset + len <= KEYS_MAX && !stream_unsent(s))
		memcpy(l->keys + offset, data, len);
	/* else login_pdu() refuses it */
}

static int login_pdu(struct stream *s)
{
	struct connection *c = (struct connection *)s;
	struct login *l = c->login;
	const struct bhs_login_response *in = &s->pdu.login_response;
	uint16_t status = be16_get(in->status);
	char text[32];

	l->len = be24_get(in->dlength);
	if (in->opcode != OP_LOGIN_RESPONSE || l->len > KEYS_MAX - 4 || stream_unsent(s))
		return fail(l, "not a Login Response");
	l->keys[l->len] = '\0';
	if (status != LOGIN_SUCCESS) {
		snprintf(text, sizeof(text), "status 0x%04x", status);
		return fail(l, text);
	}
	c->expstatsn = be32_get(in->statsn) + 1;
	c->maxcmdsn = be32_get(in->maxcmdsn);
	l->tsih = be16_get(in->tsih);
	if (in->flags & LOGIN_CONTINUE)
		return fail(l, "a response in several parts");
	if (in->flags & LOGIN_TRANSIT)
		return l->stage == STAGE_SECURITY ? security_done(l) : operational_done(l);
	if (l->rounds == ROUNDS_MAX)
		return fail(l, "the target does not end the stage");
	l->len = 0;
	send_request(l);
	return 0;
}

static const struct stream_ops login_stream_ops = {
	.payload = login_payload,
	.pdu = login_pdu,
};

int login_start(struct connection *c)
{
	struct login *l = malloc(sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->c = c;
	l->stage = STAGE_SECURITY;
	l->rounds = 0;
	l->tsih = 0;
	c->login = l;
	c->cmdsn = 1;
	c->expstatsn = 0;
	c->stream.ops = &login_stream_ops;
	offer_security_keys(l);
	send_request(l);
	return 0;
}

void login_free(struct connection *c)
{
	free(c->login);
	c->login = NULL;
}
