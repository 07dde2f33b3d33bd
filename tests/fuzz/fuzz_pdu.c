// SPDX-License-Identifier: BSD-2-Clause
/*
 * The PDU byte stream: the TCP parser, the session layer, the SCSI layer and a RAM disk, without
 * socket and without thread. The same bytes come whole, in pieces of any size, and one by one:
 * what is answered and what is on the disk must be the same, and nothing may be left behind.
 *
 * Input: a byte of enum mode, a byte that chooses the pieces, PDUs without digests. Bit 7 of a
 * PDU's first byte, which is reserved, asks for a data digest that does not match.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "session/internal.h"
#include "transport/tcp/digest.h"
#include "transport/tcp/test.h"

enum mode {
	MODE_LOGGED_IN = 0x01, /* behind a login of ours; else the input logs in itself */
	MODE_NUMBERS = 0x02, /* CmdSN and ExpStatSN are put right */
	MODE_DIGESTS = 0x04, /* header and data digests behind the login */
	MODE_TURNS = 0x08, /* the target answers each PDU before the next one comes */
	MODE_SOLICITED = 0x10, /* our login: InitialR2T=Yes and ImmediateData=No */
	MODE_WAIT = 0x20, /* silence for 40 seconds at the end */
	MODE_LEVEL = 0xc0, /* our login: ErrorRecoveryLevel, 2 at most */
	MODE_LEVEL_SHIFT = 6,
};

enum { DISK_SIZE = 64 << 10, STREAM_MAX = 1 << 20, PDUS_MAX = 4096, FIRST_CMDSN = 1 };

/* What the target gets: bytes, and where it gets its turn. */
struct stream {
	uint8_t *bytes;
	size_t len;
	size_t turn[PDUS_MAX];
	unsigned int turns;
	uint32_t cmdsn;
	bool digests;
};

enum feeding { WHOLE, PIECES, BYTES, FEEDINGS };

/* One life of the target. */
struct run {
	struct backstore *bs; /* kept over the inputs, zeroed before each */
	struct lu *lu;
	struct scsi_target target;
	struct target_config config;
	struct server *server;
	struct conn *conn; /* NULL: closed */
	unsigned int closed;
	uint8_t *out;
	size_t out_len, out_size;
};

static struct slab *slab;
static struct reactor *reactor;
static struct run runs[FEEDINGS];

static const char login_keys[] = "InitiatorName=iqn.2026-11.localhost:fuzz\0"
				 "TargetName=iqn.2026-11.localhost:riser\0"
				 "SessionType=Normal\0"
				 "MaxRecvDataSegmentLength=512\0"
				 "MaxBurstLength=2048\0"
				 "FirstBurstLength=1024\0"
				 "MaxOutstandingR2T=2";

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_pdu: %s\n", what);
	abort();
}

/* --- the stream */

static void append(struct stream *s, const void *bytes, size_t len)
{
	require(s->len + len <= STREAM_MAX, "the stream is too long");
	if (len)
		memcpy(s->bytes + s->len, bytes, len);
	s->len += len;
}

static void append_digest(struct stream *s, size_t from)
{
	uint8_t digest[DIGEST_LEN];

	digest_put(digest, crc32c_update(CRC32C_INIT, s->bytes + from, s->len - from));
	append(s, digest, sizeof(digest));
}

static void put_numbers(struct stream *s, union pdu_header *h)
{
	uint8_t op = pdu_opcode(&h->bhs);

	h->nop_out.expstatsn = be32_of(0);
	if (op == OP_DATA_OUT || op == OP_SNACK || op >= OP_NOP_IN)
		return;
	h->nop_out.cmdsn = be32_of(s->cmdsn);
	if (!pdu_immediate(&h->bhs))
		s->cmdsn++;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The next PDU of the input; returns its length there. */
static size_t append_pdu(struct stream *s, const uint8_t *in, size_t len, uint8_t mode)
{
	union pdu_header h;
	size_t head, body, from = s->len;
	bool spoil;

	if (len < BHS_LEN) {
		append(s, in, len);
		return len;
	}
	memcpy(&h, in, BHS_LEN);
	head = min_size(len, BHS_LEN + h.bhs.total_ahs_len * 4u);
	body = min_size(len - head, pdu_padded(be24_get(h.bhs.dlength)));
	spoil = h.bhs.opcode & 0x80;
	h.bhs.opcode &= 0x7f;
	if (mode & MODE_NUMBERS)
		put_numbers(s, &h);
	if (pdu_opcode(&h.bhs) != OP_LOGIN_REQUEST)
		s->digests = mode & MODE_DIGESTS;
	append(s, &h, BHS_LEN);
	append(s, in + BHS_LEN, head - BHS_LEN);
	if (s->digests)
		append_digest(s, from);
	from = s->len;
	append(s, in + head, body);
	if (s->digests && body) {
		append_digest(s, from);
		s->bytes[s->len - 1] ^= spoil;
	}
	return head + body;
}

static void append_login(struct stream *s, uint8_t mode)
{
	static const uint8_t zeros[4];
	const char *digest = mode & MODE_DIGESTS ? "CRC32C" : "None";
	bool solicited = mode & MODE_SOLICITED;
	int level = (mode & MODE_LEVEL) >> MODE_LEVEL_SHIFT;
	union pdu_header h = { 0 };
	uint8_t text[512];
	size_t len;

	memcpy(text, login_keys, sizeof(login_keys));
	len = sizeof(login_keys);
	len += (size_t)snprintf((char *)text + len, sizeof(text) - len, "InitialR2T=%s",
				solicited ? "Yes" : "No") +
	       1;
	len += (size_t)snprintf((char *)text + len, sizeof(text) - len, "ImmediateData=%s",
				solicited ? "No" : "Yes") +
	       1;
	len += (size_t)snprintf((char *)text + len, sizeof(text) - len, "HeaderDigest=%s", digest) +
	       1;
	len += (size_t)snprintf((char *)text + len, sizeof(text) - len, "DataDigest=%s", digest) +
	       1;
	level = level > 2 ? 2 : level;
	len += (size_t)snprintf((char *)text + len, sizeof(text) - len, "ErrorRecoveryLevel=%d",
				level) +
	       1;
	h.bhs.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	h.bhs.flags = 0x87; /* T, operational stage to full feature phase */
	h.bhs.dlength = be24_of((uint32_t)len);
	h.login_request.isid.b[0] = 0x80;
	h.login_request.cmdsn = be32_of(FIRST_CMDSN);
	append(s, &h, BHS_LEN);
	append(s, text, len);
	append(s, zeros, pdu_padded((uint32_t)len) - len);
	s->turn[s->turns++] = s->len;
	s->digests = mode & MODE_DIGESTS;
}

static void build_stream(struct stream *s, const uint8_t *in, size_t len, uint8_t mode)
{
	size_t used;

	*s = (struct stream){ .bytes = malloc(STREAM_MAX), .cmdsn = FIRST_CMDSN };
	require(s->bytes != NULL, "out of memory");
	if (mode & MODE_LOGGED_IN)
		append_login(s, mode);
	for (; len; in += used, len -= used) {
		used = append_pdu(s, in, len, mode);
		if (mode & MODE_TURNS && s->turns < PDUS_MAX - 1)
			s->turn[s->turns++] = s->len;
	}
	s->turn[s->turns++] = s->len;
}

/* --- the target */

static void closed(struct conn *conn)
{
	struct run *run = NULL;

	for (unsigned int i = 0; i < FEEDINGS; i++)
		if (runs[i].conn == conn)
			run = &runs[i];
	require(run != NULL, "closed() came twice or for nobody");
	session_conn_up.closed(conn);
	run->conn = NULL;
	run->closed++;
}

static void start(struct run *run)
{
	static struct conn_up up;
	struct lu_config lu = { .bs = run->bs, .serial = "FUZZ", .product = "ram", .reactors = 1 };
	struct server_config cfg = {
		.targets = &run->config,
		.target_count = 1,
		.limits = server_default_limits,
		.reactors = &reactor,
		.reactor_count = 1,
	};

	up = session_conn_up;
	up.closed = closed;
	/* Memory never runs short: which command then has to do without is not part of the deal. */
	cfg.limits.window = 8;
	cfg.limits.max_connections = 4;
	memset(bs_borrow(run->bs, 0, DISK_SIZE), 0xd5, DISK_SIZE);
	require(!lu_create(&lu, &run->lu, (char[256]){ 0 }, 256), "lu_create");
	memset(&run->target, 0, sizeof(run->target));
	snprintf(run->target.name, sizeof(run->target.name), "iqn.2026-11.localhost:riser");
	run->target.ports[0] = (struct target_port){ .tag = 1, .relative = 1 };
	run->target.port_count = 1;
	run->target.lun[0] = run->lu;
	run->config = (struct target_config){ .scsi = &run->target, .allow_any = true };
	require(!server_create(&cfg, &run->server), "server_create");
	run->out_len = 0;
	run->closed = 0;
	run->conn = tcp_conn_create_test(reactor, &up, run->server);
	require(run->conn != NULL, "tcp_conn_create_test");
}

static bool take_output(struct run *run)
{
	enum { PART = 256 << 10 };
	size_t n;

	if (!run->conn)
		return false;
	if (run->out_size - run->out_len < PART) {
		run->out_size = run->out_size * 2 + PART;
		run->out = realloc(run->out, run->out_size);
		require(run->out != NULL, "out of memory");
	}
	n = tcp_test_output(run->conn, run->out + run->out_len, PART);
	run->out_len += n;
	return n > 0;
}

static void turn(struct run *run)
{
	bool busy = true;

	while (busy) {
		busy = reactor_turn(reactor);
		busy |= take_output(run);
	}
}

static void feed(struct run *run, enum feeding how, const uint8_t *bytes, size_t len,
		 uint32_t *seed)
{
	while (len && run->conn) {
		size_t part = len;

		if (how == BYTES)
			part = 1;
		if (how == PIECES) {
			*seed = *seed * 1664525u + 1013904223u;
			part = min_size(len, 1 + (*seed >> 8) % (1u << ((*seed >> 4) % 14)));
		}
		if (tcp_test_feed(run->conn, bytes, part) < part)
			return; /* it reads no more */
		bytes += part;
		len -= part;
	}
}

static void finish(struct run *run)
{
	const struct reactor_state *rs = run->server->reactors;

	if (run->conn)
		tcp_test_eof(run->conn);
	/* Longer than a task management function or the last words of a connection may take. */
	for (int i = 0; i < 10; i++) {
		turn(run);
		reactor_advance(reactor, NSEC_PER_SEC);
	}
	turn(run);
	/* At level 2 a session outlives its last connection: by two hours, if that was agreed on. */
	for (int i = 0; i < 75 && !list_empty(&rs->sessions); i++) {
		reactor_advance(reactor, 100 * NSEC_PER_SEC);
		turn(run);
	}
	require(!run->conn && run->closed == 1, "the connection did not close");
	require(run->server->connections == 0 && rs->unauthenticated_count == 0 &&
			list_empty(&rs->connections) && list_empty(&rs->unauthenticated),
		"a connection is left");
	require(list_empty(&rs->sessions) && list_empty(&rs->abort_waits), "a session is left");
	require(slab_in_use(slab) == 0, "memory is left");
	server_destroy(run->server);
	lu_destroy(run->lu);
}

static void live(enum feeding how, const struct stream *s, uint8_t mode, uint32_t seed)
{
	struct run *run = &runs[how];
	size_t at = 0;

	start(run);
	for (unsigned int i = 0; i < s->turns; at = s->turn[i++]) {
		feed(run, how, s->bytes + at, s->turn[i] - at, &seed);
		turn(run);
	}
	for (int i = 0; mode & MODE_WAIT && i < 40; i++) {
		reactor_advance(reactor, NSEC_PER_SEC);
		turn(run);
	}
	finish(run);
}

static void compare(enum feeding a, enum feeding b)
{
	require(runs[a].out_len == runs[b].out_len &&
			(!runs[a].out_len || !memcmp(runs[a].out, runs[b].out, runs[a].out_len)),
		"other answers when the bytes come in other pieces");
	require(!memcmp(bs_borrow(runs[a].bs, 0, DISK_SIZE), bs_borrow(runs[b].bs, 0, DISK_SIZE),
			DISK_SIZE),
		"another disk when the bytes come in other pieces");
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct bs_spec spec;
	char why[256];

	(void)argc;
	(void)argv;
	log_set_level((enum log_level)0);
	require(!slab_create(128u << 20, &slab), "slab_create");
	require(!reactor_create_virtual(slab, &reactor), "reactor_create_virtual");
	require(!bs_parse("ram:64K", &spec, why, sizeof(why)), "bs_parse");
	for (unsigned int i = 0; i < FEEDINGS; i++) {
		snprintf(spec.serial, sizeof(spec.serial), "%u", i);
		require(!bs_open(&spec, &runs[i].bs, why, sizeof(why)), "bs_open");
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream stream;

	if (size < 2)
		return 0;
	/* With digests a PDU grows by eight bytes at most. */
	if (size > STREAM_MAX / 2)
		return 0;
	build_stream(&stream, data + 2, size - 2, data[0]);
	for (enum feeding how = WHOLE; how < FEEDINGS; how++)
		live(how, &stream, data[0], data[1]);
	compare(WHOLE, PIECES);
	compare(WHOLE, BYTES);
	free(stream.bytes);
	return 0;
}
