// SPDX-License-Identifier: BSD-2-Clause
/*
 * Login of a normal session, RFC 7143 section 6: AuthMethod=None, then the keys that a usual
 * initiator offers. Blocking, one request and one response at a time.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

enum { LOGIN_TIMEOUT = 10, KEYS_MAX = LOGIN_DATA_MAX };

struct login {
	struct connection *c;
	int fd;
	uint16_t tsih;
	uint32_t expstatsn;
	char keys[KEYS_MAX + 1]; /* of the request, then of the response */
	uint32_t len;
	struct bhs_login_response response;
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

static int send_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int receive_all(int fd, void *data, size_t len)
{
	uint8_t *p = data;

	while (len) {
		ssize_t n = recv(fd, p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ECONNRESET;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Format 10b: random. The process and the connection's number make it ours alone. */
static struct isid own_isid(const struct connection *c)
{
	uint32_t pid = (uint32_t)getpid();
	uint32_t n = c->number;

	return (struct isid){ { 0x80, (uint8_t)(pid >> 16), (uint8_t)(pid >> 8), (uint8_t)pid,
				(uint8_t)(n >> 8), (uint8_t)n } };
}

static int send_request(struct login *l, uint8_t flags)
{
	struct bhs_login_request out = {
		.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE,
		.flags = flags,
		.dlength = be24_of(l->len),
		.isid = own_isid(l->c),
		.tsih = be16_of(l->tsih),
		.itt = be32_of(1),
		.cmdsn = be32_of(l->c->cmdsn),
		.expstatsn = be32_of(l->expstatsn),
	};
	uint32_t padded = pdu_padded(l->len);
	int ret;

	memset(l->keys + l->len, 0, padded - l->len);
	ret = send_all(l->fd, &out, sizeof(out));
	return ret ? ret : send_all(l->fd, l->keys, padded);
}

static int receive_response(struct login *l)
{
	struct bhs_login_response *in = &l->response;
	uint16_t status;
	int ret;

	ret = receive_all(l->fd, in, sizeof(*in));
	if (ret)
		return fail(l, strerror(-ret));
	l->len = be24_get(in->dlength);
	if (in->opcode != OP_LOGIN_RESPONSE || in->total_ahs_len || l->len > KEYS_MAX - 4)
		return fail(l, "not a Login Response");
	ret = receive_all(l->fd, l->keys, pdu_padded(l->len));
	if (ret)
		return fail(l, strerror(-ret));
	l->keys[l->len] = '\0';
	status = be16_get(in->status);
	if (status != LOGIN_SUCCESS) {
		char text[32];

		snprintf(text, sizeof(text), "status 0x%04x", status);
		return fail(l, text);
	}
	l->expstatsn = be32_get(in->statsn) + 1;
	l->tsih = be16_get(in->tsih);
	return 0;
}

/* One request and its response; empty requests follow until the target agrees to leave the stage. */
static int leave_stage(struct login *l, int csg, int nsg)
{
	uint8_t flags = (uint8_t)(LOGIN_TRANSIT | csg << 2 | nsg);

	for (int round = 0; round < 8; round++) {
		int ret = send_request(l, flags);

		if (ret)
			return fail(l, strerror(-ret));
		ret = receive_response(l);
		if (ret)
			return ret;
		if (l->response.flags & LOGIN_CONTINUE)
			return fail(l, "a response in several parts");
		if (l->response.flags & LOGIN_TRANSIT)
			return 0;
		l->len = 0;
	}
	return fail(l, "the target does not end the stage");
}

static int security_stage(struct login *l)
{
	const char *method;
	int ret;

	add_key(l, "InitiatorName", "iqn.2026-11.localhost:riser-bench");
	add_key(l, "TargetName", l->c->client->opt->target);
	add_key(l, "SessionType", "Normal");
	add_key(l, "AuthMethod", "None");
	ret = leave_stage(l, STAGE_SECURITY, STAGE_OPERATIONAL);
	if (ret)
		return ret;
	method = find_key(l, "AuthMethod");
	return method && strcmp(method, "None") ? fail(l, "the target wants authentication") : 0;
}

static void offer_operational_keys(struct login *l)
{
	const struct options *opt = l->c->client->opt;

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

static int operational_stage(struct login *l)
{
	const struct options *opt = l->c->client->opt;
	struct parameters *p = &l->c->param;
	int ret;

	offer_operational_keys(l);
	ret = leave_stage(l, STAGE_OPERATIONAL, STAGE_FULL_FEATURE);
	if (ret)
		return ret;
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
	return 0;
}

static int open_socket(const struct addrinfo *address)
{
	struct timeval timeout = { .tv_sec = LOGIN_TIMEOUT };
	int one = 1;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ||
	    connect(fd, address->ai_addr, address->ai_addrlen)) {
		int err = errno;

		close(fd);
		return -err;
	}
	return fd;
}

int login(struct connection *c, const struct addrinfo *address, const struct stream_ops *ops)
{
	struct login l = { .c = c };
	int ret;

	c->cmdsn = 1;
	l.fd = open_socket(address);
	if (l.fd < 0)
		return fail(&l, strerror(-l.fd));
	ret = security_stage(&l);
	if (!ret)
		ret = operational_stage(&l);
	if (ret) {
		close(l.fd);
		return ret;
	}
	stream_init(&c->stream, l.fd, ops);
	c->stream.header_digest = c->param.header_digest;
	c->stream.data_digest = c->param.data_digest;
	c->expstatsn = l.expstatsn;
	c->maxcmdsn = be32_get(l.response.maxcmdsn);
	return 0;
}
