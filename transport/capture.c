// SPDX-License-Identifier: BSD-2-Clause
/*
 * The writer's side of a capture: one ring per reactor, written by its thread only. The memory is shared
 * with a process that may be slow, gone or hostile: nothing that it writes is used but for the amount of
 * free room, and of that no more than the ring has.
 */
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { RING_MIN = 64 << 10 };

struct capture_writer {
	struct capture_ring *ring; /* shared */
	uint8_t *records; /* shared */
	/* The truth; what the ring has are copies. */
	uint64_t head;
	_Atomic uint64_t written, lost;
};

struct capture {
	_Atomic unsigned int users;
	_Atomic uint32_t connections;
	struct capture_config cfg;
	int fd;
	size_t size;
	struct capture_area *area; /* shared */
	struct capture_writer writers[];
};

/* Text of a login, byte by byte: its PDUs may be cut anywhere. */
struct mask {
	bool hidden; /* inside a value that nobody shall see */
	bool other; /* inside a pair that is none of ours */
	uint8_t matched; /* bytes of a key */
};

struct capture_tap {
	struct capture *capture;
	struct capture_record begin; /* what all its records have in common */
	struct mask mask[2]; /* of CAPTURE_IN and CAPTURE_OUT */
	struct {
		uint32_t pdus;
		uint64_t bytes;
	} lost[2];
};

static size_t stride(const struct capture_config *cfg)
{
	return CAPTURE_PAGE + (size_t)cfg->ring_size;
}

static int map(struct capture *c)
{
	c->size = CAPTURE_PAGE + c->cfg.rings * stride(&c->cfg);
	c->fd = memfd_create("riser-trace", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (c->fd < 0 || ftruncate(c->fd, (off_t)c->size) ||
	    fcntl(c->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	c->area = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (c->area == MAP_FAILED)
		return -errno;
	c->area->magic = CAPTURE_MAGIC;
	c->area->version = CAPTURE_VERSION;
	c->area->ring_count = c->cfg.rings;
	c->area->ring_size = c->cfg.ring_size;
	for (unsigned int i = 0; i < c->cfg.rings; i++) {
		uint8_t *at = (uint8_t *)c->area + CAPTURE_PAGE + i * stride(&c->cfg);

		c->writers[i].ring = (struct capture_ring *)at;
		c->writers[i].records = at + CAPTURE_PAGE;
	}
	return 0;
}

int capture_create(const struct capture_config *cfg, struct capture **out)
{
	struct capture *c = calloc(1, sizeof(*c) + cfg->rings * sizeof(c->writers[0]));
	int err;

	*out = NULL;
	if (!c)
		return -ENOMEM;
	c->users = 1;
	c->cfg = *cfg;
	if (!cfg->ring_size)
		c->cfg.ring_size = CAPTURE_RING;
	assert(c->cfg.ring_size >= RING_MIN && !(c->cfg.ring_size & (c->cfg.ring_size - 1)));
	c->area = MAP_FAILED;
	err = map(c);
	if (err) {
		capture_put(c);
		return err;
	}
	*out = c;
	return 0;
}

int capture_fd(const struct capture *c)
{
	return c->fd;
}

struct capture *capture_keep(struct capture *c)
{
	c->users++;
	return c;
}

void capture_put(struct capture *c)
{
	if (!c || --c->users)
		return;
	if (c->area != MAP_FAILED) {
		atomic_store(&c->area->over, 1);
		munmap(c->area, c->size);
	}
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

void capture_begun(struct capture *c)
{
	c->area->begun++;
}

void capture_count(const struct capture *c, uint64_t *written, uint64_t *lost)
{
	*written = *lost = 0;
	for (unsigned int i = 0; i < c->cfg.rings; i++) {
		*written += c->writers[i].written;
		*lost += c->writers[i].lost;
	}
}

/* --- Connections */

static struct capture_endpoint endpoint(const struct sockaddr_storage *ss)
{
	struct capture_endpoint e = { .family = ss->ss_family };
	const struct sockaddr_in6 *in6 = (const void *)ss;
	const struct sockaddr_in *in = (const void *)ss;

	/* The port is at the same place in both. */
	memcpy(&e.port, &in->sin_port, sizeof(e.port));
	if (e.family == AF_INET6)
		memcpy(e.address, &in6->sin6_addr, sizeof(in6->sin6_addr));
	else
		memcpy(e.address, &in->sin_addr, sizeof(in->sin_addr));
	return e;
}

bool capture_attach(struct capture *c, struct conn *conn, bool fresh)
{
	struct capture_tap *tap = calloc(1, sizeof(*tap));

	assert_owner(conn->reactor);
	assert(!conn->tap);
	if (!tap)
		return false;
	tap->capture = c;
	tap->begin.connection = ++c->connections;
	tap->begin.rdma = strcmp(conn->ops->name, "tcp") != 0;
	tap->begin.initiator = endpoint(&conn->peer);
	tap->begin.target = endpoint(&conn->local);
	tap->mask[0].hidden = tap->mask[1].hidden = !fresh;
	conn->tap = tap;
	return true;
}

void capture_detach(struct conn *conn)
{
	free(conn->tap);
	conn->tap = NULL;
}

/* --- Masking */

/* A copy, since the reader sees each byte of it at once. */
static void copy_masked(struct mask *m, uint8_t *out, const uint8_t *text, uint32_t len)
{
	static const char key[] = "CHAP_R="; /* or CHAP_C= */

	for (uint32_t i = 0; i < len; i++) {
		out[i] = m->hidden && text[i] ? 'x' : text[i];
		if (!text[i]) {
			*m = (struct mask){ 0 };
		} else if (!m->hidden && !m->other) {
			m->other = text[i] != key[m->matched] &&
				   !(key[m->matched] == 'R' && text[i] == 'C');
			m->hidden = !m->other && ++m->matched == sizeof(key) - 1;
		}
	}
}

/* --- Records */

static uint32_t kept(const struct capture *c, const union pdu_header *h, const void *data,
		     uint32_t data_len)
{
	uint8_t op = pdu_opcode(&h->bhs);
	uint32_t most = c->cfg.ring_size / 4;

	if (op == OP_SCSI_COMMAND || op == OP_DATA_IN || op == OP_DATA_OUT)
		most = most < c->cfg.data ? most : c->cfg.data;
	if (most > CAPTURE_DATA_MAX)
		most = CAPTURE_DATA_MAX;
	if (!data)
		return 0;
	return data_len < most ? data_len : most;
}

/* Room for size bytes in one piece, or NULL. */
static uint8_t *reserve(struct capture_writer *w, uint32_t ring_size, uint32_t size)
{
	uint64_t used = w->head - atomic_load_explicit(&w->ring->tail, memory_order_acquire);
	uint32_t at = (uint32_t)(w->head & (ring_size - 1)), left = ring_size - at;
	uint32_t fill = left < size ? left : 0;
	struct capture_record *record;

	if (used > ring_size || ring_size - used < (uint64_t)fill + size)
		return NULL;
	if (fill) {
		/* A multiple of 8 is left; size and kind are in the first 8. */
		record = (struct capture_record *)(w->records + at);
		record->size = fill;
		record->kind = CAPTURE_FILL;
		w->head += fill;
		at = 0;
	}
	return w->records + at;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/* m: NULL for data that has no secrets. */
static void fill_in(uint8_t *at, const struct capture_record *record, const union pdu_header *h,
		    const void *ahs, const void *data, struct mask *m)
{
	union pdu_header *header = (union pdu_header *)(at + sizeof(*record));

	memcpy(at, record, sizeof(*record));
	*header = *h;
	header->bhs.total_ahs_len = (uint8_t)(record->ahs_len / 4);
	header->bhs.dlength = be24_of(record->data_len);
	at = (uint8_t *)(header + 1);
	if (record->ahs_len)
		memcpy(at, ahs, record->ahs_len);
	if (m)
		copy_masked(m, at + record->ahs_len, data, record->data_kept);
	else if (record->data_kept)
		memcpy(at + record->ahs_len, data, record->data_kept);
	at += record->ahs_len + record->data_kept;
	memset(at, 0, (8 - (uintptr_t)at % 8) % 8); /* padding */
}

void capture_write(struct conn *conn, enum capture_kind kind, const union pdu_header *h,
		   const void *ahs, uint32_t ahs_len, const void *data, uint32_t data_len)
{
	struct capture_tap *tap = conn->tap;
	struct capture *c = tap->capture;
	struct capture_writer *w = &c->writers[conn->reactor->index];
	struct capture_record record = tap->begin;
	unsigned int way = kind == CAPTURE_OUT;
	uint8_t op = pdu_opcode(&h->bhs), *at;
	bool secret = op == OP_LOGIN_REQUEST || op == OP_LOGIN_RESPONSE;

	assert_owner(conn->reactor);
	record.kind = (uint8_t)kind;
	record.ahs_len = (uint16_t)ahs_len;
	record.data_len = data_len;
	record.data_kept = kept(c, h, data, data_len);
	record.size = (uint32_t)(sizeof(record) + BHS_LEN + ahs_len + record.data_kept + 7) & ~7u;
	record.lost = tap->lost[way].pdus;
	record.lost_bytes = tap->lost[way].bytes;
	at = reserve(w, c->cfg.ring_size, record.size);
	if (!at) {
		tap->lost[way].pdus++;
		tap->lost[way].bytes += BHS_LEN + ahs_len + pdu_padded(data_len);
		/* Where a value ends is in what was left out. */
		tap->mask[way].hidden = true;
		stat_add(&w->lost, 1);
		w->ring->lost = w->lost;
		return;
	}
	record.time_ns = now_ns();
	fill_in(at, &record, h, ahs, data, secret ? &tap->mask[way] : NULL);
	tap->lost[way].pdus = 0;
	tap->lost[way].bytes = 0;
	w->head += record.size;
	stat_add(&w->written, 1);
	w->ring->written = w->written;
	atomic_store_explicit(&w->ring->head, w->head, memory_order_release);
}
