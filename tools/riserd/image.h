// SPDX-License-Identifier: BSD-2-Clause
/*
 * Files that become disks. Each is made on a thread of its own, since a filesystem may take long, or for
 * ever; it is a job of riser-rpc(7), with a number as those of units have.
 */
#ifndef RISERD_IMAGE_H
#define RISERD_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "events.h"
#include "lu.h"
#include "rpc.h"

enum {
	IMAGES_AT_ONCE = 8,
	IMAGES_REMEMBERED = 64, /* of those that have ended */
	IMAGE_ANSWER_MS =
		5000, /* by then most of what can be wrong is known, or it goes on alone */
	IMAGE_STOP_MS = 5000, /* at the end of the daemon */
};

enum image_allocate {
	IMAGE_SPARSE, /* takes space as it is written */
	IMAGE_RESERVE, /* has its space, and the first write to each part still changes metadata */
	IMAGE_FULL, /* is written with zeros, too: then no write does */
};

extern const char *const image_allocate_names[]; /* NULL-terminated */

struct image_order {
	const char *path; /* absolute */
	uint64_t size; /* bytes */
	enum image_allocate allocate;
	bool dry_run; /* only looks whether it could be */
	const char *state_folder; /* the daemon's own, where no image may be; NULL: none */
};

struct image_answer {
	enum rpc_status status;
	char message[512], hint[256]; /* unless RPC_OK */
	uint64_t id; /* of the job; 0: none */
	uint64_t free; /* dry_run: bytes that its filesystem has for the daemon's user */
};

struct image_view {
	uint64_t id;
	enum lu_operation_state state;
	uint64_t done, total; /* bytes */
	struct timespec since; /* CLOCK_REALTIME */
	const char *path;
	enum image_allocate allocate;
	const char *note; /* why it has failed, or what there is to know of it; "": nothing */
};

struct images;

/* events: borrowed, NULL is fine. NULL: no memory. */
struct images *images_new(struct events *events);
/* [main thread] Begins one, and waits at most IMAGE_ANSWER_MS. */
void images_create(struct images *images, const struct image_order *order,
		   struct image_answer *answer);
/* [any thread] All that run, and the last that have ended; see() is called under a leaf lock. NULL is fine:
 * there are none. */
void images_each(struct images *images, void (*see)(const struct image_view *image, void *arg),
		 void *arg);
/* [any thread] Its file will be gone soon. False: it has ended. */
bool images_cancel(struct images *images, uint64_t id);
/* [any thread] All that run end, their files are removed. NULL is fine. */
void images_stop(struct images *images);
/* [main thread] images_stop(), and waits for them. NULL is fine. */
void images_free(struct images *images);

#endif
