// SPDX-License-Identifier: BSD-2-Clause
#include "ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pdu.h"

enum { RINGS_MAX = 1024 };

struct ring {
	struct capture_ring *shared;
	const uint8_t *records;
	uint64_t tail; /* up to here records were given out */
};

struct rings {
	struct capture_area *area;
	size_t size;
	uint32_t ring_size;
	unsigned int count;
	struct ring *busy; /* its record was given out last */
	struct ring ring[];
};

static struct rings *refuse(struct capture_area *area, size_t size, char *why, size_t why_size)
{
	if (area->version != CAPTURE_VERSION)
		snprintf(why, why_size, "riserd writes captures of version %u, this riser reads %d",
			 area->version, CAPTURE_VERSION);
	else
		snprintf(why, why_size, "riserd has handed over something that is no capture");
	munmap(area, size);
	return NULL;
}

static bool is_sound(const struct capture_area *a, uint64_t size)
{
	return a->magic == CAPTURE_MAGIC && a->version == CAPTURE_VERSION &&
	       a->ring_count <= RINGS_MAX && a->ring_size >= CAPTURE_PAGE &&
	       !(a->ring_size & (a->ring_size - 1)) &&
	       size >= CAPTURE_PAGE + a->ring_count * ((uint64_t)a->ring_size + CAPTURE_PAGE);
}

struct rings *rings_open(int fd, char *why, size_t why_size)
{
	struct capture_area *area = MAP_FAILED;
	struct rings *rings;
	struct stat st;

	if (!fstat(fd, &st) && st.st_size >= CAPTURE_PAGE)
		area = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (area == MAP_FAILED) {
		snprintf(why, why_size, "the memory of the capture cannot be mapped");
		return NULL;
	}
	if (!is_sound(area, (uint64_t)st.st_size))
		return refuse(area, (size_t)st.st_size, why, why_size);
	rings = calloc(1, sizeof(*rings) + area->ring_count * sizeof(rings->ring[0]));
	if (!rings)
		return refuse(area, (size_t)st.st_size, why, why_size);
	rings->area = area;
	rings->size = (size_t)st.st_size;
	rings->ring_size = area->ring_size;
	rings->count = area->ring_count;
	for (unsigned int i = 0; i < rings->count; i++) {
		uint8_t *at = (uint8_t *)area + CAPTURE_PAGE +
			      i * ((size_t)area->ring_size + CAPTURE_PAGE);

		rings->ring[i].shared = (struct capture_ring *)at;
		rings->ring[i].records = at + CAPTURE_PAGE;
	}
	return rings;
}

static const struct capture_record *record_at(const struct rings *rings, const struct ring *ring)
{
	return (const void *)(ring->records + (ring->tail & (rings->ring_size - 1)));
}

/* The next record of one ring; skips what fills its end. */
static const struct capture_record *peek(const struct rings *rings, struct ring *ring)
{
	uint64_t head = atomic_load_explicit(&ring->shared->head, memory_order_acquire);
	const struct capture_record *r = record_at(rings, ring);

	if (head != ring->tail && r->kind == CAPTURE_FILL) {
		ring->tail += r->size;
		r = record_at(rings, ring);
	}
	return head != ring->tail ? r : NULL;
}

const struct capture_record *rings_next(struct rings *rings, uint64_t until)
{
	const struct capture_record *oldest = NULL;

	if (rings->busy)
		atomic_store_explicit(&rings->busy->shared->tail, rings->busy->tail,
				      memory_order_release);
	rings->busy = NULL;
	for (unsigned int i = 0; i < rings->count; i++) {
		const struct capture_record *r = peek(rings, &rings->ring[i]);

		if (!r || r->time_ns >= until || (oldest && oldest->time_ns <= r->time_ns))
			continue;
		oldest = r;
		rings->busy = &rings->ring[i];
	}
	if (oldest)
		rings->busy->tail += oldest->size;
	return oldest;
}

void rings_await(const struct rings *rings, unsigned int ms)
{
	struct timespec step = { .tv_nsec = 1000000 };

	while (ms-- && atomic_load(&rings->area->begun) < rings->count)
		nanosleep(&step, NULL);
}

bool rings_over(const struct rings *rings)
{
	return atomic_load(&rings->area->over);
}

uint64_t rings_lost(const struct rings *rings)
{
	uint64_t lost = 0;

	for (unsigned int i = 0; i < rings->count; i++)
		lost += rings->ring[i].shared->lost;
	return lost;
}

void rings_close(struct rings *rings)
{
	if (rings)
		munmap(rings->area, rings->size);
	free(rings);
}
