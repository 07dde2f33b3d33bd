// SPDX-License-Identifier: BSD-2-Clause
/*
 * Framing of PDUs on a TCP socket (RFC 7143 section 11.2) with CRC32C digests (section 13.1).
 */
#include "stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/crc.h"

enum {
	PLACE_MIN = 8192, /* less is copied: a receive call for it would cost more */
	FLUSH_BYTES = 1 << 20, /* then the other connections have their turn */
};

static const uint8_t padding[4];

/* The bytes go out least significant first, RFC 7143 section 13.1 and RFC 3385. */
static void digest_store(uint8_t *to, uint32_t crc)
{
	uint32_t wire = htole32(~crc);

	memcpy(to, &wire, sizeof(wire));
}

static bool digest_matches(const uint8_t *digest, uint32_t crc)
{
	uint8_t want[DIGEST_LEN];

	digest_store(want, crc);
	return memcmp(digest, want, sizeof(want)) == 0;
}

void stream_init(struct stream *s, int fd, const struct stream_ops *ops, struct stream_pool *pool)
{
	s->ops = ops;
	s->pool = pool;
	s->out = NULL;
	s->fd = fd;
	s->header_digest = false;
	s->data_digest = false;
	s->payload_len = s->payload_got = 0;
	s->trailer_len = s->trailer_got = 0;
	s->partial_len = 0;
}

static struct outgoing *out_get(struct stream_pool *pool)
{
	struct outgoing *o = pool->free;

	if (o) {
		pool->free = o->next;
	} else if (!(o = malloc(sizeof(*o)))) {
		fputs("riser-bench: no memory\n", stderr);
		exit(1);
	}
	o->iov_head = o->iov_count = o->arena_used = 0;
	return o;
}

static void out_put(struct stream *s)
{
	s->out->next = s->pool->free;
	s->pool->free = s->out;
	s->out = NULL;
}

void stream_close(struct stream *s)
{
	if (s->out)
		out_put(s);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

void stream_pool_free(struct stream_pool *pool)
{
	while (pool->free) {
		struct outgoing *o = pool->free;

		pool->free = o->next;
		free(o);
	}
}

/* Receiving */

static int pdu_done(struct stream *s)
{
	if (s->data_digest && s->payload_len && !digest_matches(s->digest, s->crc))
		return -EBADMSG;
	s->payload_len = s->payload_got = 0;
	s->trailer_len = s->trailer_got = 0;
	return s->ops->pdu(s);
}

static int header_done(struct stream *s, const uint8_t *bytes)
{
	const struct bhs *bhs = &s->pdu.bhs;

	memcpy(&s->pdu, bytes, BHS_LEN);
	if (s->header_digest &&
	    !digest_matches(bytes + BHS_LEN, crc32c_update(CRC32C_INIT, bytes, BHS_LEN)))
		return -EBADMSG;
	if (bhs->total_ahs_len)
		return -EPROTO;
	s->payload_len = be24_get(bhs->dlength);
	if (s->payload_len > SEGMENT_MAX)
		return -EPROTO;
	if (!s->payload_len)
		return pdu_done(s);
	s->trailer_len = pdu_padded(s->payload_len) - s->payload_len;
	s->trailer_len += s->data_digest ? DIGEST_LEN : 0;
	s->crc = CRC32C_INIT;
	return 0;
}

static uint32_t take_payload(struct stream *s, const uint8_t *p, size_t avail)
{
	uint32_t left = s->payload_len - s->payload_got;
	uint32_t n = avail < left ? (uint32_t)avail : left;

	if (s->data_digest)
		s->crc = crc32c_update(s->crc, p, n);
	if (s->ops->payload)
		s->ops->payload(s, s->payload_got, p, n);
	s->payload_got += n;
	return n;
}

static void take_trailer_byte(struct stream *s, uint8_t byte)
{
	uint32_t pad = pdu_padded(s->payload_len) - s->payload_len;

	if (s->trailer_got >= pad)
		s->digest[s->trailer_got - pad] = byte;
	else if (s->data_digest)
		s->crc = crc32c_update(s->crc, &byte, 1);
	s->trailer_got++;
}

static int parse(struct stream *s, const uint8_t *p, const uint8_t *end)
{
	int ret = 0;

	while (p < end && !ret) {
		if (s->payload_got < s->payload_len) {
			p += take_payload(s, p, (size_t)(end - p));
		} else if (s->trailer_got < s->trailer_len) {
			take_trailer_byte(s, *p++);
		} else {
			unsigned need = BHS_LEN + (s->header_digest ? DIGEST_LEN : 0);

			if ((size_t)(end - p) < need) {
				s->partial_len = (unsigned)(end - p);
				memcpy(s->partial, p, s->partial_len);
				return 0;
			}
			ret = header_done(s, p);
			p += need;
			continue;
		}
		if (s->payload_got == s->payload_len && s->trailer_got == s->trailer_len)
			ret = pdu_done(s);
	}
	return ret;
}

/* The rest of a long data segment goes straight to its place, what follows it to buf. */
static ssize_t receive_in_place(struct stream *s, uint8_t *to, uint8_t *buf)
{
	uint32_t left = s->payload_len - s->payload_got;
	struct iovec iov[] = { { .iov_base = to, .iov_len = left },
			       { .iov_base = buf, .iov_len = STREAM_RX_SIZE } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = recvmsg(s->fd, &msg, MSG_DONTWAIT);
	uint32_t placed = n < left ? (uint32_t)n : left;
	int ret = 0;

	if (n <= 0)
		return n;
	if (s->data_digest)
		s->crc = crc32c_update(s->crc, to, placed);
	s->payload_got += placed;
	if (s->payload_got == s->payload_len && !s->trailer_len)
		ret = pdu_done(s);
	if (ret >= 0 && n > placed)
		ret = parse(s, buf, buf + n - placed);
	if (ret >= 0)
		return n;
	errno = -ret;
	return -1;
}

static uint8_t *place_of_rest(struct stream *s)
{
	uint32_t left = s->payload_len - s->payload_got;

	return s->ops->place && left >= PLACE_MIN ? s->ops->place(s, s->payload_got, left) : NULL;
}

int stream_receive(struct stream *s, uint8_t *buf)
{
	unsigned kept = s->partial_len;
	uint8_t *to = place_of_rest(s);
	ssize_t n;
	int ret;

	if (to) {
		n = receive_in_place(s, to, buf);
		if (n > 0)
			return (int)n;
		return !n ? -ECONNRESET : errno == EAGAIN || errno == EINTR ? 0 : -errno;
	}
	n = recv(s->fd, buf + kept, STREAM_RX_SIZE - kept, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	if (kept) {
		memcpy(buf, s->partial, kept);
		s->partial_len = 0;
	}
	ret = parse(s, buf, buf + kept + n);
	return ret < 0 ? ret : (int)n;
}

/* Sending */

/* Neighbours merge: a row of READ commands is one iovec. */
static void add_iov(struct outgoing *o, const void *data, size_t len)
{
	struct iovec *last = o->iov + o->iov_count;
	void *base = (void *)(uintptr_t)data;

	if (o->iov_count > o->iov_head && (uint8_t *)last[-1].iov_base + last[-1].iov_len == base) {
		last[-1].iov_len += len;
		return;
	}
	*last = (struct iovec){ .iov_base = base, .iov_len = len };
	o->iov_count++;
}

static void add_digest(struct outgoing *o, uint32_t crc)
{
	uint8_t *to = o->arena + o->arena_used;

	digest_store(to, crc);
	o->arena_used += DIGEST_LEN;
	add_iov(o, to, DIGEST_LEN);
}

union pdu_header *stream_header(struct stream *s)
{
	union pdu_header *header;

	if (!s->out)
		s->out = out_get(s->pool);
	header = (void *)(s->out->arena + s->out->arena_used);
	memset(header, 0, BHS_LEN);
	return header;
}

void stream_put(struct stream *s, const void *data, uint32_t len)
{
	struct outgoing *o = s->out;
	union pdu_header *header = (void *)(o->arena + o->arena_used);
	uint32_t pad = pdu_padded(len) - len;
	uint32_t crc;

	header->bhs.dlength = be24_of(len);
	o->arena_used += BHS_LEN;
	add_iov(o, header, BHS_LEN);
	if (s->header_digest)
		add_digest(o, crc32c_update(CRC32C_INIT, header, BHS_LEN));
	if (!len)
		return;
	add_iov(o, data, len);
	if (pad)
		add_iov(o, padding, pad);
	if (s->data_digest) {
		crc = crc32c_update(CRC32C_INIT, data, len);
		add_digest(o, crc32c_update(crc, padding, pad));
	}
}

static void drop_sent(struct outgoing *o, size_t sent)
{
	struct iovec *iov = o->iov + o->iov_head;

	while (sent && sent >= iov->iov_len) {
		sent -= iov->iov_len;
		iov++;
	}
	if (sent) {
		iov->iov_base = (uint8_t *)iov->iov_base + sent;
		iov->iov_len -= sent;
	}
	o->iov_head = (unsigned)(iov - o->iov);
}

static ssize_t send_some(struct stream *s)
{
	struct outgoing *o = s->out;
	struct msghdr msg = {
		.msg_iov = o->iov + o->iov_head,
		.msg_iovlen = o->iov_count - o->iov_head,
	};
	ssize_t n = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	drop_sent(o, (size_t)n);
	if (o->iov_head == o->iov_count)
		out_put(s);
	return n;
}

int stream_flush(struct stream *s)
{
	size_t sent = 0;
	ssize_t n;

	/* The peer takes data while we send: what did not fit at first may fit now. */
	while (s->out && sent < FLUSH_BYTES) {
		n = send_some(s);
		if (n <= 0)
			return (int)n;
		sent += (size_t)n;
	}
	return !s->out;
}
