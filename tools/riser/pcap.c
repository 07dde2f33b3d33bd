// SPDX-License-Identifier: BSD-2-Clause
#include "pcap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "pdu.h"

enum {
	SEGMENT = 60 << 10, /* bytes of a PDU in one packet */
	CAPTURED_MAX = 256 << 10, /* what readers take in one packet */
	LINK_ETHERNET = 1,
	ETHERTYPE_IP4 = 0x0800,
	ETHERTYPE_IP6 = 0x86dd,
	PROTOCOL_TCP = 6,
	TCP_PUSH_ACK = 0x18,
	FLOWS = 256,
};

struct file_header {
	uint32_t magic; /* host byte order: that is how readers learn it */
	uint16_t major, minor;
	uint32_t zone, accuracy, captured_max, link;
};
static_assert(sizeof(struct file_header) == 24, "pcap");

struct packet_header {
	uint32_t seconds, nanoseconds, captured, length;
};
static_assert(sizeof(struct packet_header) == 16, "pcap");

struct ethernet {
	uint8_t to[6], from[6];
	struct be16 type;
};
static_assert(sizeof(struct ethernet) == 14, "Ethernet");

struct ip4 {
	uint8_t version_length, service;
	struct be16 length, id, fragment;
	uint8_t ttl, protocol;
	struct be16 checksum;
	uint8_t from[4], to[4];
};
static_assert(sizeof(struct ip4) == 20, "RFC 791");

struct ip6 {
	struct be32 version_class_flow;
	struct be16 length;
	uint8_t next, hops;
	uint8_t from[16], to[16];
};
static_assert(sizeof(struct ip6) == 40, "RFC 8200");

struct tcp {
	struct be16 from, to;
	struct be32 seq, ack;
	uint8_t offset, flags;
	struct be16 window, checksum, urgent;
};
static_assert(sizeof(struct tcp) == 20, "RFC 9293");

struct headers {
	uint8_t bytes[sizeof(struct ethernet) + sizeof(struct ip6) + sizeof(struct tcp)];
	uint32_t len;
};

/* A connection, by its number. */
struct flow {
	struct flow *next;
	uint32_t connection;
	uint32_t seq[2]; /* next byte of the initiator, of the target */
};

struct pcap {
	FILE *to;
	struct flow *flows[FLOWS];
};

struct pcap *pcap_new(FILE *to)
{
	struct file_header h = { .magic = 0xa1b23c4d,
				 .major = 2,
				 .minor = 4,
				 .captured_max = CAPTURED_MAX,
				 .link = LINK_ETHERNET };
	struct pcap *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->to = to;
	fwrite(&h, sizeof(h), 1, to);
	return p;
}

void pcap_free(struct pcap *p)
{
	for (unsigned int i = 0; p && i < FLOWS; i++) {
		while (p->flows[i]) {
			struct flow *f = p->flows[i];

			p->flows[i] = f->next;
			free(f);
		}
	}
	free(p);
}

/* Without memory all flows share one: the headers get worse, the PDUs stay. */
static struct flow *find(struct pcap *p, uint32_t connection)
{
	static struct flow shared;
	struct flow **bucket = &p->flows[connection % FLOWS], *f = *bucket;

	while (f && f->connection != connection)
		f = f->next;
	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return &shared;
	f->connection = connection;
	f->seq[0] = f->seq[1] = 1;
	f->next = *bucket;
	return *bucket = f;
}

/* --- Headers */

static uint32_t sum_words(uint32_t sum, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	for (; len > 1; len -= 2, p += 2)
		sum += (uint32_t)(p[0] << 8 | p[1]);
	return len ? sum + (uint32_t)(p[0] << 8) : sum;
}

static struct be16 checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return be16_of((uint16_t)~sum);
}

/* Locally administered addresses; the last bytes say "tcp" or "ser" for who wants to filter by them. */
static void add_ethernet(struct headers *h, bool rdma, bool from_target, uint16_t type)
{
	struct ethernet *e = (struct ethernet *)h->bytes;
	uint8_t ends[2][6] = { { 2, 'i', 0, 't', 'c', 'p' }, { 2, 't', 0, 't', 'c', 'p' } };

	for (unsigned int i = 0; i < 2 && rdma; i++)
		memcpy(&ends[i][3], "ser", 3);
	memcpy(e->from, ends[from_target], 6);
	memcpy(e->to, ends[!from_target], 6);
	e->type = be16_of(type);
	h->len = sizeof(*e);
}

/* A length that the field does not hold is 0, as in captures on hosts whose adapters cut segments. */
static struct be16 length_or_0(uint32_t len)
{
	return be16_of((uint16_t)(len > UINT16_MAX ? 0 : len));
}

/* len: bytes from the TCP header on. Returns the checksum of the pseudo-header so far. */
static uint32_t add_ip(struct headers *h, const struct capture_endpoint *from,
		       const struct capture_endpoint *to, uint32_t len)
{
	uint32_t pseudo = PROTOCOL_TCP + (len & 0xffff) + (len >> 16);
	size_t size = from->family == AF_INET6 ? 16 : 4;

	if (from->family == AF_INET6) {
		struct ip6 *ip = (struct ip6 *)(h->bytes + h->len);

		*ip = (struct ip6){ .version_class_flow = be32_of(6u << 28),
				    .length = length_or_0(len),
				    .next = PROTOCOL_TCP,
				    .hops = 64 };
		memcpy(ip->from, from->address, size);
		memcpy(ip->to, to->address, size);
		h->len += sizeof(*ip);
	} else {
		struct ip4 *ip = (struct ip4 *)(h->bytes + h->len);

		*ip = (struct ip4){ .version_length = 0x45,
				    .length = length_or_0((uint32_t)sizeof(*ip) + len),
				    .fragment = be16_of(0x4000), /* do not */
				    .ttl = 64,
				    .protocol = PROTOCOL_TCP };
		memcpy(ip->from, from->address, size);
		memcpy(ip->to, to->address, size);
		ip->checksum = checksum(sum_words(0, ip, sizeof(*ip)));
		h->len += sizeof(*ip);
	}
	return sum_words(sum_words(pseudo, from->address, size), to->address, size);
}

/* All of a packet with len bytes of a PDU in truth, and `kept` at bytes. */
static void build(struct headers *h, const struct capture_record *r, const struct flow *f,
		  const uint8_t *bytes, uint32_t kept, uint32_t len)
{
	bool from_target = r->kind == CAPTURE_OUT;
	const struct capture_endpoint *from = from_target ? &r->target : &r->initiator;
	const struct capture_endpoint *to = from_target ? &r->initiator : &r->target;
	uint32_t pseudo;
	struct tcp *tcp;

	add_ethernet(h, r->rdma, from_target,
		     from->family == AF_INET6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4);
	pseudo = add_ip(h, from, to, (uint32_t)sizeof(*tcp) + len);
	tcp = (struct tcp *)(h->bytes + h->len);
	*tcp = (struct tcp){ .from = from->port,
			     .to = to->port,
			     .seq = be32_of(f->seq[from_target]),
			     .ack = be32_of(f->seq[!from_target]),
			     .offset = sizeof(*tcp) / 4 << 4,
			     .flags = TCP_PUSH_ACK,
			     .window = be16_of(UINT16_MAX) };
	h->len += (uint32_t)sizeof(*tcp);
	if (kept == len) /* of bytes that are not there nobody can tell */
		tcp->checksum =
			checksum(sum_words(sum_words(pseudo, tcp, sizeof(*tcp)), bytes, kept));
}

static void add_packet(struct pcap *p, const struct capture_record *r, struct flow *f,
		       const uint8_t *bytes, uint32_t kept, uint32_t len)
{
	struct packet_header packet;
	struct headers h;

	build(&h, r, f, bytes, kept, len);
	packet = (struct packet_header){ .seconds = (uint32_t)(r->time_ns / 1000000000),
					 .nanoseconds = (uint32_t)(r->time_ns % 1000000000),
					 .captured = h.len + kept,
					 .length = h.len + len };
	fwrite(&packet, sizeof(packet), 1, p->to);
	fwrite(h.bytes, h.len, 1, p->to);
	if (kept)
		fwrite(bytes, kept, 1, p->to);
	f->seq[r->kind == CAPTURE_OUT] += len;
}

void pcap_add(struct pcap *p, const struct capture_record *r)
{
	const uint8_t *bytes = (const uint8_t *)(r + 1);
	uint32_t kept = BHS_LEN + r->ahs_len + r->data_kept;
	uint32_t len = BHS_LEN + r->ahs_len + pdu_padded(r->data_len);
	struct flow *f = find(p, r->connection);

	f->seq[r->kind == CAPTURE_OUT] += (uint32_t)r->lost_bytes;
	if (r->data_kept < r->data_len) {
		add_packet(p, r, f, bytes, kept < SEGMENT ? kept : SEGMENT, len);
		return;
	}
	for (uint32_t at = 0, piece; at < len; at += piece) {
		piece = len - at < SEGMENT ? len - at : SEGMENT;
		add_packet(p, r, f, bytes + at, piece, piece);
	}
}
