// SPDX-License-Identifier: BSD-2-Clause
/* A capture from the reactor to the file: rings, masking, and the packets that Wireshark gets. */
#include <arpa/inet.h>
#include <pthread.h>
#include <unistd.h>

#include "core/reactor.h"
#include "tests/unit/capture_rig.h"
#include "tools/riser/pcap.h"
#include "tools/riser/ring.h"

enum { SMALL_RING = 64 << 10 };

struct world {
	struct reactor *r;
	struct capture *capture;
	struct rings *rings;
	struct transport_ops ops;
	struct conn conn;
};

static void set_address(struct sockaddr_storage *ss, const char *address, uint16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;

	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	inet_pton(AF_INET, address, &in->sin_addr);
}

static struct rings *open_rings(const struct capture *c)
{
	char why[128];
	struct rings *rings = rings_open(dup(capture_fd(c)), why, sizeof(why));

	CU_ASSERT_PTR_NOT_NULL_FATAL(rings);
	return rings;
}

static struct world *begin(uint32_t ring_size, uint32_t data)
{
	struct capture_config cfg = { .rings = 1, .ring_size = ring_size, .data = data };
	struct world *w = calloc(1, sizeof(*w));

	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(NULL, &w->r), 0);
	CU_ASSERT_EQUAL_FATAL(capture_create(&cfg, &w->capture), 0);
	w->ops.name = "tcp";
	w->conn.ops = &w->ops;
	w->conn.reactor = w->r;
	set_address(&w->conn.peer, "192.0.2.1", 4711);
	set_address(&w->conn.local, "192.0.2.2", 3260);
	CU_ASSERT_FATAL(capture_attach(w->capture, &w->conn, true));
	w->rings = open_rings(w->capture);
	return w;
}

static void end(struct world *w)
{
	capture_detach(&w->conn);
	rings_close(w->rings);
	capture_put(w->capture);
	reactor_destroy(w->r);
	free(w);
}

static void out(struct world *w, uint8_t opcode, const void *data, uint32_t len)
{
	union pdu_header h = { .bhs = { .opcode = opcode } };

	capture_pdu(&w->conn, CAPTURE_OUT, &h, data, len);
}

static const uint8_t *data_of(const struct capture_record *r)
{
	return (const uint8_t *)(r + 1) + BHS_LEN + r->ahs_len;
}

/* --- Rings */

static void a_pdu_there_and_back(void)
{
	struct world *w = begin(0, 100);
	struct pdu pdu = { .h.bhs = { .opcode = OP_SCSI_COMMAND, .itt = be32_of(77) },
			   .ahs_len = 4,
			   .ahs = { 1, 2, 3, 4 },
			   .data = (const uint8_t *)"seven..",
			   .data_len = 7 };
	const struct capture_record *r;

	CU_ASSERT_PTR_NULL(rings_next(w->rings, UINT64_MAX));
	capture_received(&w->conn, &pdu);
	CU_ASSERT_PTR_NULL(rings_next(w->rings, 1)); /* written later than that */
	r = rings_next(w->rings, UINT64_MAX);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	CU_ASSERT_EQUAL(r->kind, CAPTURE_IN);
	CU_ASSERT_EQUAL(r->connection, 1);
	CU_ASSERT_EQUAL(r->rdma, 0);
	CU_ASSERT_EQUAL(r->ahs_len, 4);
	CU_ASSERT_EQUAL(r->data_len, 7);
	CU_ASSERT_EQUAL(r->data_kept, 7);
	CU_ASSERT_EQUAL(r->initiator.family, AF_INET);
	CU_ASSERT_EQUAL(be16_get(r->initiator.port), 4711);
	CU_ASSERT(!memcmp(r->target.address, "\xc0\0\2\2", 4));
	CU_ASSERT_EQUAL(((const struct bhs *)(r + 1))->total_ahs_len, 1);
	CU_ASSERT_EQUAL(be24_get(((const struct bhs *)(r + 1))->dlength), 7);
	CU_ASSERT(!memcmp(data_of(r) - 4, "\1\2\3\4seven..\0", 12)); /* padded */
	CU_ASSERT_PTR_NULL(rings_next(w->rings, UINT64_MAX));
	end(w);
}

static void data_of_commands_is_cut_and_text_is_not(void)
{
	struct world *w = begin(0, 100);
	static const uint8_t data[9000] = { 1 };

	out(w, OP_DATA_IN, data, 9000);
	out(w, OP_TEXT_RESPONSE, data, 9000);
	out(w, OP_DATA_OUT, NULL, 9000);
	CU_ASSERT_STRING_EQUAL(captured(w->capture), ">25 itt 0 100/9000\n"
						     ">24 itt 0 9000/9000\n"
						     ">05 itt 0 0/9000\n");
	end(w);
}

static void what_has_no_room_is_counted(void)
{
	struct world *w = begin(SMALL_RING, 1000);
	static const uint8_t data[1000];
	const struct capture_record *r;
	uint64_t written, lost;
	unsigned int n = 0;

	for (unsigned int i = 0; i < 100; i++)
		out(w, OP_DATA_IN, data, 1000);
	capture_count(w->capture, &written, &lost);
	CU_ASSERT(written > 50 && written < 60);
	CU_ASSERT_EQUAL(written + lost, 100);
	CU_ASSERT_EQUAL(rings_lost(w->rings), lost);
	while ((r = rings_next(w->rings, UINT64_MAX))) {
		CU_ASSERT_EQUAL(r->lost, 0);
		n++;
	}
	CU_ASSERT_EQUAL(n, written);
	/* The next one says what is missing before it. */
	out(w, OP_DATA_IN, data, 1000);
	out(w, OP_DATA_IN, data, 1000);
	r = rings_next(w->rings, UINT64_MAX);
	CU_ASSERT_EQUAL_FATAL(r->lost, lost);
	CU_ASSERT_EQUAL(r->lost_bytes, lost * (BHS_LEN + 1000));
	CU_ASSERT_EQUAL(rings_next(w->rings, UINT64_MAX)->lost, 0);
	end(w);
}

static void a_ring_goes_round(void)
{
	struct world *w = begin(SMALL_RING, 20000);
	static uint8_t data[20000];
	uint32_t seed = 1;

	for (unsigned int i = 0; i < 2000; i++) {
		const struct capture_record *r;
		uint32_t len;

		seed = seed * 1664525 + 1013904223;
		len = (seed >> 16) % sizeof(data);
		memset(data, (int)i, len);
		out(w, OP_DATA_IN, data, len);
		out(w, OP_NOP_IN, data, len ? 1 : 0);
		r = rings_next(w->rings, UINT64_MAX);
		CU_ASSERT_EQUAL_FATAL(r->data_len, len);
		CU_ASSERT(!memcmp(data_of(r), data, r->data_kept));
		r = rings_next(w->rings, UINT64_MAX);
		CU_ASSERT_EQUAL_FATAL(r->data_len, len ? 1 : 0);
		CU_ASSERT_EQUAL(r->lost, 0);
	}
	end(w);
}

/* Whatever stands in the shared memory, the reactor stays in its own ring. */
static void a_hostile_reader_only_loses_pdus(void)
{
	static const uint64_t tails[] = { 1, UINT64_MAX, 1ull << 63, SMALL_RING,
					  SMALL_RING * 2ull };
	struct world *w = begin(SMALL_RING, 1000);
	static const uint8_t data[1000];
	size_t size;
	struct capture_area *area = map_capture(w->capture, &size);
	uint64_t written, lost;

	for (unsigned int i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		memset(area, 0xee, size);
		((struct capture_ring *)((uint8_t *)area + CAPTURE_PAGE))->tail = tails[i];
		for (unsigned int j = 0; j < 200; j++)
			out(w, OP_DATA_IN, data, 1000);
	}
	capture_count(w->capture, &written, &lost);
	CU_ASSERT_EQUAL(written + lost, 200 * (sizeof(tails) / sizeof(tails[0])));
	CU_ASSERT(lost > 0);
	CU_ASSERT_EQUAL(ftruncate(capture_fd(w->capture), 0), -1); /* sealed */
	munmap(area, size);
	end(w);
}

struct reading {
	struct world *w;
	_Atomic bool over; /* all is written */
	uint64_t read, lost, wrong;
};

static void *read_all(void *arg)
{
	struct reading *reading = arg;
	const struct capture_record *r;
	bool over;

	do {
		over = reading->over;
		while ((r = rings_next(reading->w->rings, UINT64_MAX))) {
			reading->read++;
			reading->lost += r->lost;
			reading->wrong += data_of(r)[0] != data_of(r)[r->data_kept - 1];
		}
	} while (!over);
	return NULL;
}

static void writing_and_reading_at_once(void)
{
	struct world *w = begin(SMALL_RING, 1000);
	struct reading reading = { .w = w };
	static uint8_t data[600];
	uint64_t written, lost;
	pthread_t reader;

	pthread_create(&reader, NULL, read_all, &reading);
	for (unsigned int i = 0; i < 20000; i++) {
		uint32_t len = 1 + i % (uint32_t)sizeof(data);

		memset(data, (int)i, len);
		out(w, OP_DATA_IN, data, len);
	}
	reading.over = true;
	pthread_join(reader, NULL);
	capture_count(w->capture, &written, &lost);
	CU_ASSERT_EQUAL(written + lost, 20000);
	CU_ASSERT_EQUAL(reading.read, written);
	CU_ASSERT(reading.lost <= lost); /* of the last ones nobody hears */
	CU_ASSERT_EQUAL(reading.wrong, 0);
	end(w);
}

static void the_reader_hears_that_it_is_over(void)
{
	struct world *w = begin(0, 100);

	capture_detach(&w->conn);
	CU_ASSERT(!rings_over(w->rings));
	capture_put(capture_keep(w->capture));
	CU_ASSERT(!rings_over(w->rings));
	capture_put(w->capture);
	w->capture = NULL;
	CU_ASSERT(rings_over(w->rings));
	end(w);
}

static void memory_that_is_no_capture_is_refused(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	uint8_t page[CAPTURE_PAGE] = { 0 };
	struct capture_area *area = (struct capture_area *)page;
	char why[128];

	CU_ASSERT_PTR_NULL(rings_open(dup(fd), why, sizeof(why)));
	CU_ASSERT_EQUAL(write(fd, page, sizeof(page)), CAPTURE_PAGE);
	CU_ASSERT_PTR_NULL(rings_open(dup(fd), why, sizeof(why)));
	/* More rings than there is memory. */
	*area = (struct capture_area){ CAPTURE_MAGIC, CAPTURE_VERSION, 2, 65536, 0, 0 };
	CU_ASSERT_EQUAL(pwrite(fd, page, sizeof(page), 0), CAPTURE_PAGE);
	CU_ASSERT_PTR_NULL(rings_open(dup(fd), why, sizeof(why)));
	area->version++;
	CU_ASSERT_EQUAL(pwrite(fd, page, sizeof(page), 0), CAPTURE_PAGE);
	CU_ASSERT_PTR_NULL(rings_open(dup(fd), why, sizeof(why)));
	CU_ASSERT_STRING_EQUAL(why, "riserd writes captures of version 2, this riser reads 1");
	close(fd);
}

/* --- Secrets */

/* The text of the next login PDU in the ring, NUL as '|'. */
static const char *masked(struct world *w, const char *text)
{
	static char shown[4096];
	uint32_t len = (uint32_t)strlen(text);
	const struct capture_record *r;
	char *data = strdup(text);

	for (uint32_t i = 0; i < len; i++)
		data[i] = text[i] == '|' ? '\0' : text[i];
	out(w, OP_LOGIN_RESPONSE, data, len);
	free(data);
	r = rings_next(w->rings, UINT64_MAX);
	CU_ASSERT_EQUAL_FATAL(r->data_kept, len);
	for (uint32_t i = 0; i < len; i++)
		shown[i] = (char)(data_of(r)[i] ? data_of(r)[i] : '|');
	shown[len] = '\0';
	return shown;
}

static void secrets_are_masked(void)
{
	struct world *w = begin(0, 0);

	CU_ASSERT_STRING_EQUAL(masked(w, "CHAP_A=7|CHAP_I=9|CHAP_C=0xabcdef|"),
			       "CHAP_A=7|CHAP_I=9|CHAP_C=xxxxxxxx|");
	CU_ASSERT_STRING_EQUAL(masked(w, "CHAP_N=alice|CHAP_R=0b1Q==|AuthMethod=None|"),
			       "CHAP_N=alice|CHAP_R=xxxxxx|AuthMethod=None|");
	CU_ASSERT_STRING_EQUAL(masked(w, "CHAP_RX=1|XCHAP_R=1|CHAP_=1|CHAP_R|CHAP_R=|"),
			       "CHAP_RX=1|XCHAP_R=1|CHAP_=1|CHAP_R|CHAP_R=|");
	/* Cut anywhere by the C bit. */
	CU_ASSERT_STRING_EQUAL(masked(w, "CHAP_N=bob|CHA"), "CHAP_N=bob|CHA");
	CU_ASSERT_STRING_EQUAL(masked(w, "P_R"), "P_R");
	CU_ASSERT_STRING_EQUAL(masked(w, "=0x12"), "=xxxx");
	CU_ASSERT_STRING_EQUAL(masked(w, "34"), "xx");
	CU_ASSERT_STRING_EQUAL(masked(w, "56|CHAP_I=1|"), "xx|CHAP_I=1|");
	end(w);
}

static void what_may_be_the_rest_of_a_secret_is_masked(void)
{
	struct world *w = begin(SMALL_RING, 60000);
	static const uint8_t data[60000];

	capture_detach(&w->conn);
	CU_ASSERT(capture_attach(w->capture, &w->conn, false));
	CU_ASSERT_STRING_EQUAL(masked(w, "99|CHAP_I=1|"), "xx|CHAP_I=1|");
	/* A login PDU was lost. */
	for (unsigned int i = 0; i < 10; i++)
		out(w, OP_TEXT_RESPONSE, data, sizeof(data));
	out(w, OP_LOGIN_RESPONSE, "CHAP_R=0x12", 11);
	while (rings_next(w->rings, UINT64_MAX))
		;
	CU_ASSERT_STRING_EQUAL(masked(w, "34|CHAP_I=1|"), "xx|CHAP_I=1|");
	end(w);
}

/* --- Packets */

struct packet {
	uint32_t seconds, nanoseconds, captured, length;
	const uint8_t *ethernet, *ip, *tcp, *payload;
};

struct file {
	char *bytes;
	size_t len, at;
};

/* What is in the rings, as a file. */
static struct file written(struct world *w)
{
	struct file f = { .at = 24 };
	FILE *stream = open_memstream(&f.bytes, &f.len);
	struct pcap *pcap = pcap_new(stream);
	const struct capture_record *r;

	while ((r = rings_next(w->rings, UINT64_MAX)))
		pcap_add(pcap, r);
	pcap_free(pcap);
	fclose(stream);
	return f;
}

static bool next(struct file *f, struct packet *p)
{
	if (f->at == f->len)
		return false;
	memcpy(p, f->bytes + f->at, 16);
	p->ethernet = (const uint8_t *)f->bytes + f->at + 16;
	p->ip = p->ethernet + 14;
	p->tcp = p->ip + (p->ethernet[12] == 8 ? 20 : 40);
	p->payload = p->tcp + 20;
	f->at += 16 + p->captured;
	CU_ASSERT_FATAL(f->at <= f->len);
	return true;
}

static uint32_t be(const uint8_t *at, unsigned int bytes)
{
	uint32_t x = 0;

	while (bytes--)
		x = x << 8 | *at++;
	return x;
}

/* 0: right. */
static uint16_t sum(uint32_t sum, const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void packets_follow_each_other(void)
{
	struct world *w = begin(0, 100);
	struct pdu pdu = { .h.bhs.opcode = OP_NOP_OUT };
	struct packet p;
	struct file f;

	out(w, OP_NOP_IN, "hello", 5);
	capture_received(&w->conn, &pdu);
	out(w, OP_NOP_IN, NULL, 0);
	f = written(w);
	CU_ASSERT(!memcmp(f.bytes, "\x4d\x3c\xb2\xa1\2\0\4\0", 8));
	CU_ASSERT_FATAL(next(&f, &p));
	CU_ASSERT_EQUAL(p.captured, 14 + 20 + 20 + 48 + 8);
	CU_ASSERT_EQUAL(p.length, p.captured);
	CU_ASSERT(p.seconds > 1700000000 && p.nanoseconds < 1000000000);
	CU_ASSERT_EQUAL(be(p.ip + 2, 2), 20 + 20 + 48 + 8);
	CU_ASSERT_EQUAL(sum(0, p.ip, 20), 0);
	CU_ASSERT_EQUAL(sum(6 + 20 + 48 + 8, p.ip + 12, 8 + 20 + 48 + 8), 0);
	CU_ASSERT_EQUAL(be(p.tcp, 2), 3260);
	CU_ASSERT_EQUAL(be(p.tcp + 4, 4), 1);
	CU_ASSERT(!memcmp(p.payload + 48, "hello\0\0\0", 8));
	CU_ASSERT_FATAL(next(&f, &p));
	CU_ASSERT_EQUAL(be(p.tcp, 2), 4711);
	CU_ASSERT_EQUAL(be(p.tcp + 4, 4), 1);
	CU_ASSERT_EQUAL(be(p.tcp + 8, 4), 1 + 48 + 8);
	CU_ASSERT_FATAL(next(&f, &p));
	CU_ASSERT_EQUAL(be(p.tcp + 4, 4), 1 + 48 + 8);
	CU_ASSERT_EQUAL(be(p.tcp + 8, 4), 1 + 48);
	CU_ASSERT(!next(&f, &p));
	free(f.bytes);
	end(w);
}

static void a_long_pdu_goes_in_segments(void)
{
	struct world *w = begin(0, CAPTURE_DATA_MAX);
	static uint8_t data[300001];
	uint8_t *got = malloc(400000);
	uint32_t len = 0, seq = 1;
	struct packet p;
	struct file f;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * i >> 8);
	out(w, OP_DATA_IN, data, sizeof(data));
	f = written(w);
	while (next(&f, &p)) {
		uint32_t n = p.captured - 54;

		CU_ASSERT_EQUAL(be(p.tcp + 4, 4), seq);
		CU_ASSERT_EQUAL(be(p.ip + 2, 2), 40 + n);
		CU_ASSERT_EQUAL(sum(6 + 20 + n, p.ip + 12, 8 + 20 + n), 0);
		memcpy(got + len, p.payload, n);
		len += n;
		seq += n;
	}
	CU_ASSERT_EQUAL(len, BHS_LEN + 300004);
	CU_ASSERT(!memcmp(got + BHS_LEN, data, sizeof(data)));
	free(got);
	free(f.bytes);
	end(w);
}

static void what_was_not_kept_is_a_gap(void)
{
	struct world *w = begin(0, 10);
	static uint8_t data[100000];
	struct packet p;
	struct file f;

	out(w, OP_DATA_IN, data, 1000);
	out(w, OP_DATA_IN, data, 100000);
	out(w, OP_NOP_IN, NULL, 0);
	f = written(w);
	CU_ASSERT_FATAL(next(&f, &p));
	CU_ASSERT_EQUAL(p.captured, 54 + 48 + 10);
	CU_ASSERT_EQUAL(p.length, 54 + 48 + 1000);
	CU_ASSERT_EQUAL(be(p.ip + 2, 2), 40 + 48 + 1000);
	CU_ASSERT_FATAL(next(&f, &p));
	CU_ASSERT_EQUAL(p.length, 54 + 48 + 100000);
	CU_ASSERT_EQUAL(be(p.ip + 2, 2), 0); /* more than it holds */
	CU_ASSERT_FATAL(next(&f, &p));
	CU_ASSERT_EQUAL(be(p.tcp + 4, 4), 1 + 48 + 1000 + 48 + 100000);
	free(f.bytes);
	end(w);
}

static void over_ipv6(void)
{
	struct world *w = begin(0, 10);
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&w->conn.local;
	struct packet p;
	struct file f;

	capture_detach(&w->conn);
	memset(&w->conn.peer, 0, sizeof(w->conn.peer));
	in6->sin6_family = AF_INET6;
	inet_pton(AF_INET6, "2001:db8::2", &in6->sin6_addr);
	memcpy(&w->conn.peer, in6, sizeof(*in6));
	w->ops.name = "iser";
	CU_ASSERT(capture_attach(w->capture, &w->conn, true));
	out(w, OP_NOP_IN, "ping", 4);
	f = written(w);
	CU_ASSERT_FATAL(next(&f, &p));
	CU_ASSERT_EQUAL(be(p.ethernet + 12, 2), 0x86dd);
	CU_ASSERT(!memcmp(p.ethernet, "\2i\0ser\2t\0ser", 12));
	CU_ASSERT_EQUAL(be(p.ip + 4, 2), 20 + 48 + 4);
	CU_ASSERT_EQUAL(sum(6 + 20 + 48 + 4, p.ip + 8, 32 + 20 + 48 + 4), 0);
	free(f.bytes);
	end(w);
}

UNIT_MAIN(TEST(a_pdu_there_and_back), TEST(data_of_commands_is_cut_and_text_is_not),
	  TEST(what_has_no_room_is_counted), TEST(a_ring_goes_round),
	  TEST(a_hostile_reader_only_loses_pdus), TEST(writing_and_reading_at_once),
	  TEST(the_reader_hears_that_it_is_over), TEST(memory_that_is_no_capture_is_refused),
	  TEST(secrets_are_masked), TEST(what_may_be_the_rest_of_a_secret_is_masked),
	  TEST(packets_follow_each_other), TEST(a_long_pdu_goes_in_segments),
	  TEST(what_was_not_kept_is_a_gap), TEST(over_ipv6));
