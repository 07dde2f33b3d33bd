// SPDX-License-Identifier: BSD-2-Clause
/* image.create, and images among the jobs of rpc_job.c. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "image.h"
#include "rpc_look.h"

enum { SECTOR = 512 };

/* --- As jobs */

static json_t *image(const struct image_view *i)
{
	char id[24];

	snprintf(id, sizeof(id), "%llu", (unsigned long long)i->id);
	return json_pack("{ss ss sn sn so ss sI sI so ss so}", "id", id, "kind", "image", "target",
			 "lun", "path", rpc_text(i->path), "allocate",
			 image_allocate_names[i->allocate], "done", (json_int_t)i->done, "total",
			 (json_int_t)i->total, "since", rpc_time(&i->since), "state",
			 look_job_state(i->state), "note",
			 *i->note ? rpc_text(i->note) : json_null());
}

struct search {
	uint64_t id;
	json_t *found; /* of all: an array; of one: NULL, or itself */
};

static void add(const struct image_view *i, void *arg)
{
	struct search *s = arg;

	if (i->state == LU_OPERATION_RUNS || i->state == LU_OPERATION_ENDS)
		json_array_append_new(s->found, image(i));
}

static void pick(const struct image_view *i, void *arg)
{
	struct search *s = arg;

	if (i->id == s->id)
		s->found = image(i);
}

void look_images(struct rpc_context *x, json_t *jobs)
{
	struct search s = { .found = jobs };

	images_each(x->images, add, &s);
}

json_t *look_image(struct rpc_context *x, uint64_t id)
{
	struct search s = { .id = id };

	if (id)
		images_each(x->images, pick, &s);
	return s.found;
}

static void tell(struct rpc_call *call, const json_t *job)
{
	struct event e = { .type = EVENT_JOB, .lun = -1, .reason = "canceling" };

	snprintf(e.text, sizeof(e.text), "an administrator has canceled the image, job %s",
		 json_string_value(json_object_get(job, "id")));
	events_tell(call->context->events, &e);
}

enum rpc_status look_cancel_image(struct rpc_call *call, const json_t *params, uint64_t id,
				  json_t **job)
{
	const char *text = json_string_value(json_object_get(params, "id"));
	const char *state = json_string_value(json_object_get(*job, "state"));
	bool dry_run = json_is_true(json_object_get(params, "dry_run"));

	if (!strcmp(state, look_job_state(LU_OPERATION_RUNS)) &&
	    (dry_run || images_cancel(call->context->images, id))) {
		if (!dry_run)
			tell(call, *job);
		return RPC_OK;
	}
	json_decref(*job);
	*job = NULL;
	return rpc_fail(call, RPC_NOT_FOUND, text, "riser job wait says how it has ended",
			"job %.32s has ended, or is about to", text);
}

/* --- image.create */

static enum rpc_status take_path(struct rpc_call *call, const char *path)
{
	const char *name = strrchr(path, '/');
	const char *wrong = NULL;

	if (path[0] != '/')
		wrong = "is no whole path, which begins with /";
	else if (strlen(path) >= PATH_MAX)
		wrong = "is too long";
	else if (!name[1] || !strcmp(name, "/.") || !strcmp(name, "/.."))
		wrong = "is a folder";
	for (const char *c = path; *c && !wrong; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			wrong = "has control characters";
	}
	if (!wrong)
		return RPC_OK;
	return rpc_fail(call, RPC_USAGE, path, "such as /srv/riser/disk1.img", "%.200s: %s", path,
			wrong);
}

static enum rpc_status take_size(struct rpc_call *call, const json_t *params, uint64_t *size)
{
	json_int_t n = json_integer_value(json_object_get(params, "size"));

	*size = (uint64_t)n;
	if (n > 0 && n % SECTOR == 0)
		return RPC_OK;
	return rpc_fail(call, RPC_USAGE, "size", "such as 10737418240, which riser calls 10G",
			"an image of %lld bytes: it takes a multiple of %d", (long long)n, SECTOR);
}

static enum rpc_status take_allocate(struct rpc_call *call, const char *text,
				     enum image_allocate *out)
{
	for (unsigned int i = 0; image_allocate_names[i]; i++) {
		*out = (enum image_allocate)i;
		if (!text || !strcmp(text, image_allocate_names[i]))
			return RPC_OK;
	}
	return rpc_fail(call, RPC_USAGE, "allocate", "sparse, reserve or full",
			"'%.64s' is no way to allocate", text);
}

static enum rpc_status conclude(struct rpc_call *call, const struct image_order *order,
				const struct image_answer *a, json_t **result)
{
	if (a->status)
		return rpc_fail(call, a->status, order->path, a->hint, "%s", a->message);
	if (order->dry_run)
		*result = json_pack("{so sI ss sI}", "path", rpc_text(order->path), "size",
				    (json_int_t)order->size, "allocate",
				    image_allocate_names[order->allocate], "free",
				    (json_int_t)a->free);
	else
		*result = look_image(call->context, a->id);
	return RPC_OK;
}

static enum rpc_status create(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct rpc_context *x = call->context;
	const char *allocate = json_string_value(json_object_get(params, "allocate"));
	struct image_order order = {
		.path = json_string_value(json_object_get(params, "path")),
		.dry_run = json_is_true(json_object_get(params, "dry_run")),
		.state_folder = x->live ? live_running(x->live)->state : NULL,
	};
	struct image_answer answer;
	enum rpc_status status = take_path(call, order.path);

	if (!status)
		status = take_size(call, params, &order.size);
	if (!status)
		status = take_allocate(call, allocate, &order.allocate);
	if (status)
		return status;
	if (!x->images)
		return rpc_fail(call, RPC_FAILED, NULL, NULL, "there is nobody to make it");
	images_create(x->images, &order, &answer);
	return conclude(call, &order, &answer, result);
}

static const struct rpc_param create_params[] = {
	{ "path", RPC_STRING, true, "of the new file, a whole one" },
	{ "size", RPC_INTEGER, true, "bytes, a multiple of 512" },
	{ "allocate", RPC_STRING, false,
	  "sparse (unless given): takes space as it is written; reserve: has it at once; full: is "
	  "written with zeros, so that no write changes metadata" },
	{ "dry_run", RPC_BOOLEAN, false, "only look whether it could be" },
	{ 0 },
};

extern const struct rpc_method rpc_image_methods[];
const struct rpc_method rpc_image_methods[] = {
	{ "image.create", "makes a file that can become a disk; a job, which the answer tells of",
	  RPC_ADMIN, RPC_MAIN, create_params, create },
	{ 0 },
};
