// SPDX-License-Identifier: BSD-2-Clause
/* riser image: files that become disks. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "change.h"
#include "client.h"
#include "commands.h"
#include "job.h"
#include "out.h"
#include "show.h"

static void show_would(const struct riser *r, const json_t *order)
{
	if (r->json)
		out_json(order);
	else
		show_dry_run(r, "make %s, %s (%s); its filesystem has %s free",
			     member_text(order, "path"),
			     human_size((uint64_t)member_number(order, "size")),
			     member_text(order, "allocate"),
			     human_size((uint64_t)member_number(order, "free")));
}

static void show_begun(const struct riser *r, const json_t *job)
{
	if (r->json) {
		out_json(job);
		return;
	}
	printf("%s: job %s has begun; riser job wait %s shows how far it is\n",
	       shown(member_text(job, "path")), shown(member_text(job, "id")),
	       shown(member_text(job, "id")));
}

/* A service has a /tmp of its own, and what is made there goes with it. */
static void look_for(const char *path)
{
	struct stat st;

	if (stat(path, &st) && errno == ENOENT)
		fprintf(stderr,
			"%s is not seen from here: riserd has other folders than you under this "
			"path, as a service with PrivateTmp=yes has in /tmp\n",
			shown(path));
}

static enum status follow(struct riser *r, const struct args *a, const json_t *job)
{
	enum status status;

	if (job_is_over(job) || !args_flag(a, "no-wait")) {
		status = job_wait(r, job);
		if (!status)
			look_for(member_text(job, "path"));
		return status;
	}
	show_begun(r, job);
	return STATUS_OK;
}

static enum status run_create(struct riser *r, const struct args *a)
{
	json_t *params = args_params(r, a), *job;
	enum status status = change_absolute(r, params, "path");

	if (status) {
		json_decref(params);
		return status;
	}
	status = client_call(r, args_command(a)->method, params, &job);
	if (status)
		return status;
	if (r->dry_run)
		show_would(r, job);
	else
		status = follow(r, a, job);
	json_decref(job);
	return status;
}

const struct command image_commands[] = {
	{ .noun = "image",
	  .verb = "create",
	  .about = "Make a file that can become a disk",
	  .details =
		  "riserd makes it, as its user and for nobody else, and replaces no file; then "
		  "'riser lun create' serves it. Sparse files take space as they are written; with "
		  "reserve it is there at once; full writes all of it, so that no later write "
		  "changes metadata, which takes as long as the disk needs. It is a job: a bar on "
		  "a terminal, lines elsewhere, and 'riser job cancel' ends it and removes the "
		  "file. Who interrupts this command does not end the job.",
	  .operands =
		  WORDS({ .name = "PATH", .kind = KIND_FILE, .param = "path", .flags = WORD_NEW },
			{ .name = "SIZE", .kind = KIND_SIZE, .param = "size" }),
	  .options = WORDS({ .name = "allocate",
			     .kind = KIND_WORD,
			     .value = "HOW",
			     .words = "sparse reserve full",
			     .param = "allocate",
			     .about = "sparse (unless given), reserve or full" },
			   { .name = "no-wait", .about = "do not wait until it is done" }),
	  .flags = COMMAND_CHANGES,
	  .method = "image.create",
	  .run = run_create },
	{ .noun = NULL },
};
