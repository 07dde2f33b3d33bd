// SPDX-License-Identifier: BSD-2-Clause
/* One image, for image.c and image_make.c. */
#ifndef RISERD_IMAGE_IMPL_H
#define RISERD_IMAGE_IMPL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "core/list.h"
#include "image.h"

struct image {
	struct list node; /* the main thread's, changed under images.lock */
	struct images *images;
	pthread_t thread;
	sem_t told; /* once: its file has been made, or it has ended */
	sem_t over; /* once: the thread does nothing more */
	/* Set before the thread is there. */
	uint64_t id;
	char *path, *state_folder; /* owned; state_folder NULL: none */
	uint64_t size;
	enum image_allocate allocate;
	bool dry_run;
	struct timespec since;
	/* Of any thread. */
	_Atomic uint64_t done; /* bytes */
	_Atomic bool stop, canceled;
	/* Under images.lock; the thread's alone while it runs: answer, but for answer.id */
	enum lu_operation_state state;
	bool listed, ended;
	struct image_answer answer; /* of RPC_OK the message is a note */
	/* The thread's. */
	bool has_told;
	int folder, file; /* -1: not open */
	dev_t dev; /* of the file */
	ino_t ino;
};

/* Its file is there: whoever asked need not wait any more. [image.c] */
void image_begun(struct image *i);

/* The whole work. False: it has failed as i->answer says, or was told to stop. [image_make.c] */
bool image_make(struct image *i);
/* Takes away what has been made. [image_make.c] */
void image_remove(struct image *i);
void image_close(struct image *i);

#endif
