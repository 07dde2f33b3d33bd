// SPDX-License-Identifier: BSD-2-Clause
/* Images that are being made: their threads, and what others see of them. The files: image_make.c. */
#include "image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/deadline.h"
#include "core/log.h"
#include "image_impl.h"

struct images {
	struct events *events; /* NULL: nobody hears of it; under the lock */
	pthread_mutex_t lock; /* held for the time of a copy */
	struct list all; /* struct image, the oldest first */
};

const char *const image_allocate_names[] = {
	[IMAGE_SPARSE] = "sparse",
	[IMAGE_RESERVE] = "reserve",
	[IMAGE_FULL] = "full",
	NULL,
};

struct images *images_new(struct events *events)
{
	struct images *images = calloc(1, sizeof(*images));

	if (!images)
		return NULL;
	images->events = events;
	pthread_mutex_init(&images->lock, NULL);
	list_init(&images->all);
	return images;
}

/* --- The thread of one */

static void tell(struct image *i, const char *reason, const char *text)
{
	struct event e = { .type = EVENT_JOB, .lun = -1 };
	size_t len = strlen(i->path), most = sizeof(e.text) / 2;

	snprintf(e.reason, sizeof(e.reason), "%s", reason);
	snprintf(e.text, sizeof(e.text), "image %s%s, job %llu: %s", len > most ? "..." : "",
		 len > most ? i->path + len - most : i->path, (unsigned long long)i->id, text);
	pthread_mutex_lock(&i->images->lock);
	events_tell(i->images->events, &e);
	pthread_mutex_unlock(&i->images->lock);
}

static void let_go(struct image *i)
{
	if (!i->has_told)
		sem_post(&i->told);
	i->has_told = true;
}

void image_begun(struct image *i)
{
	char text[96];

	log_info("%s: an image of %llu bytes is made (%s), job %llu", i->path,
		 (unsigned long long)i->size, image_allocate_names[i->allocate],
		 (unsigned long long)i->id);
	snprintf(text, sizeof(text), "begun, %llu bytes (%s)", (unsigned long long)i->size,
		 image_allocate_names[i->allocate]);
	tell(i, "begun", text);
	/* A sparse one is nearly done, and its end is the better answer. */
	if (i->allocate != IMAGE_SPARSE)
		let_go(i);
}

static void tell_end(struct image *i, enum lu_operation_state state)
{
	const char *note = i->answer.message;

	if (state == LU_OPERATION_DONE) {
		log_info("%s: the image is done%s%s", i->path, *note ? ": " : "", note);
		tell(i, "done", *note ? note : "done");
	} else if (state == LU_OPERATION_FAILED) {
		log_warn("%s", note);
		tell(i, "failed", "failed; the log says why");
	} else {
		const char *why = i->canceled ? "canceled" : "stopped";
		const char *left = *note ? note : "its file is removed";

		log_warn("%s: the image was %s: %s", i->path, why, left);
		tell(i, why, left);
	}
}

static void *run(void *arg)
{
	struct image *i = arg;
	pthread_mutex_t *lock = &i->images->lock;
	enum lu_operation_state state = LU_OPERATION_DONE;
	bool made, known, begun;

	pthread_setname_np(pthread_self(), "image");
	made = image_make(i);
	begun = i->file >= 0;
	pthread_mutex_lock(lock);
	/* From here on it cannot be canceled any more. */
	if (made && !i->stop)
		i->state = LU_OPERATION_DONE;
	else
		state = i->answer.status ? LU_OPERATION_FAILED
			: i->canceled	 ? LU_OPERATION_CANCELED
					 : LU_OPERATION_STOPPED;
	pthread_mutex_unlock(lock);
	if (state != LU_OPERATION_DONE) {
		if (!i->answer.status)
			i->answer.message[0] = '\0'; /* what was to be said of a whole one */
		image_remove(i);
	}
	image_close(i);
	pthread_mutex_lock(lock);
	i->state = state;
	i->ended = true;
	known = begun || i->listed;
	pthread_mutex_unlock(lock);
	if (known)
		tell_end(i, state);
	let_go(i);
	sem_post(&i->over);
	return NULL;
}

/* --- Making and forgetting [main thread] */

static void free_image(struct image *i)
{
	sem_destroy(&i->told);
	sem_destroy(&i->over);
	free(i->path);
	free(i->state_folder);
	free(i);
}

static struct image *new_image(struct images *images, const struct image_order *order)
{
	struct image *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->images = images;
	i->folder = i->file = -1;
	sem_init(&i->told, 0, 0);
	sem_init(&i->over, 0, 0);
	i->path = strdup(order->path);
	i->state_folder = order->state_folder ? strdup(order->state_folder) : NULL;
	i->size = order->size;
	i->allocate = order->allocate;
	i->dry_run = order->dry_run;
	if (!i->path || (order->state_folder && !i->state_folder)) {
		free_image(i);
		return NULL;
	}
	clock_gettime(CLOCK_REALTIME, &i->since);
	i->id = order->dry_run ? 0 : lu_operation_number();
	return i;
}

static void forget(struct images *images, struct image *i)
{
	pthread_mutex_lock(&images->lock);
	list_del(&i->node);
	pthread_mutex_unlock(&images->lock);
	pthread_join(i->thread, NULL);
	free_image(i);
}

/* Those that nobody asks for any more; returns how many run. */
static unsigned int sweep(struct images *images)
{
	unsigned int running = 0, ended = 0;
	struct list *node, *before;

	/* From the youngest on. Only this thread changes the list. */
	for (node = images->all.prev; node != &images->all; node = before) {
		struct image *i = list_entry(node, struct image, node);
		bool listed, over;

		before = node->prev;
		pthread_mutex_lock(&images->lock);
		listed = i->listed;
		over = i->ended;
		pthread_mutex_unlock(&images->lock);
		if (!over)
			running++;
		else if (!listed || ++ended > IMAGES_REMEMBERED)
			forget(images, i);
	}
	return running;
}

static void answer_late(struct image *i, struct image_answer *answer)
{
	if (!i->dry_run)
		return;
	answer->status = RPC_TIMEOUT;
	snprintf(answer->message, sizeof(answer->message),
		 "%.200s: its filesystem has not answered within %d s", i->path,
		 IMAGE_ANSWER_MS / 1000);
	snprintf(answer->hint, sizeof(answer->hint), "see what it hangs on: dmesg, mount");
}

/* What is known by now. */
static void take_answer(struct image *i, struct image_answer *answer)
{
	pthread_mutex_lock(&i->images->lock);
	if (i->ended && (i->state == LU_OPERATION_FAILED || i->dry_run)) {
		*answer = i->answer;
	} else {
		answer->id = i->id;
		i->listed = !i->dry_run;
	}
	pthread_mutex_unlock(&i->images->lock);
}

void images_create(struct images *images, const struct image_order *order,
		   struct image_answer *answer)
{
	struct timespec deadline = deadline_in(IMAGE_ANSWER_MS);
	struct image *i;
	int err;

	*answer = (struct image_answer){ .status = RPC_FAILED };
	if (sweep(images) >= IMAGES_AT_ONCE) {
		answer->status = RPC_BUSY;
		snprintf(answer->message, sizeof(answer->message),
			 "%d images are being made already", IMAGES_AT_ONCE);
		snprintf(answer->hint, sizeof(answer->hint), "riser job wait waits for their end");
		return;
	}
	i = new_image(images, order);
	err = i ? pthread_create(&i->thread, NULL, run, i) : ENOMEM;
	if (err) {
		snprintf(answer->message, sizeof(answer->message), "%.200s: no thread for it: %s",
			 order->path, strerror(err));
		if (i)
			free_image(i);
		return;
	}
	pthread_mutex_lock(&images->lock);
	list_add_tail(&images->all, &i->node);
	pthread_mutex_unlock(&images->lock);
	answer->status = RPC_OK;
	if (!deadline_wait(&i->told, &deadline))
		answer_late(i, answer);
	take_answer(i, answer);
}

/* --- What others see [any thread] */

void images_each(struct images *images, void (*see)(const struct image_view *image, void *arg),
		 void *arg)
{
	if (!images)
		return;
	pthread_mutex_lock(&images->lock);
	for (struct list *node = images->all.next; node != &images->all; node = node->next) {
		const struct image *i = list_entry(node, struct image, node);
		struct image_view view = { .id = i->id,
					   .state = i->state,
					   .done = i->done,
					   .total = i->size,
					   .since = i->since,
					   .path = i->path,
					   .allocate = i->allocate,
					   .note = i->ended ? i->answer.message : "" };

		if (i->listed)
			see(&view, arg);
	}
	pthread_mutex_unlock(&images->lock);
}

/* Under the lock. */
static bool stop(struct image *i, bool canceled)
{
	if (i->state != LU_OPERATION_RUNS)
		return false;
	i->canceled = canceled;
	i->stop = true;
	i->state = LU_OPERATION_ENDS;
	return true;
}

bool images_cancel(struct images *images, uint64_t id)
{
	bool found = false;

	pthread_mutex_lock(&images->lock);
	for (struct list *node = images->all.next; node != &images->all; node = node->next) {
		struct image *i = list_entry(node, struct image, node);

		if (i->listed && i->id == id)
			found = stop(i, true);
	}
	pthread_mutex_unlock(&images->lock);
	return found;
}

void images_stop(struct images *images)
{
	if (!images)
		return;
	pthread_mutex_lock(&images->lock);
	for (struct list *node = images->all.next; node != &images->all; node = node->next)
		stop(list_entry(node, struct image, node), false);
	pthread_mutex_unlock(&images->lock);
}

void images_free(struct images *images)
{
	struct timespec deadline = deadline_in(IMAGE_STOP_MS);
	bool hangs = false;
	struct list *node;

	if (!images)
		return;
	images_stop(images);
	while ((node = list_pop(&images->all))) {
		struct image *i = list_entry(node, struct image, node);

		if (deadline_wait(&i->over, &deadline)) {
			pthread_join(i->thread, NULL);
			free_image(i);
			continue;
		}
		hangs = true;
		log_error("%s: its filesystem hangs: the half-made image may be left there, delete "
			  "it",
			  i->path);
	}
	pthread_mutex_lock(&images->lock);
	images->events = NULL;
	pthread_mutex_unlock(&images->lock);
	if (hangs) /* its thread still looks at it */
		return;
	pthread_mutex_destroy(&images->lock);
	free(images);
}
