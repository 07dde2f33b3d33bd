// SPDX-License-Identifier: BSD-2-Clause
/* riser job: long work that goes on by itself. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "commands.h"
#include "job.h"
#include "out.h"
#include "progress.h"
#include "show.h"

enum { LOOK_MS = 250, TITLE = 4200 };

/* "sanitize of iqn.2026-11.com.example:disk LUN 0", "image /srv/riser/disk1.img" */
static const char *title(const json_t *job, char *buf, size_t size)
{
	const char *path = member_text(job, "path");

	if (*path)
		snprintf(buf, size, "%s %s", member_text(job, "kind"), path);
	else
		snprintf(buf, size, "%s of %s LUN %lld", member_text(job, "kind"),
			 member_text(job, "target"), (long long)member_number(job, "lun"));
	return buf;
}

static void show_jobs(struct riser *r, const json_t *jobs)
{
	struct table *t = table_new("JOB|KIND|TARGET OR FILE|>LUN|>DONE|>OF|>PROGRESS|STATE|FOR");
	const json_t *o;

	each_member(jobs, o) {
		double done = member_real(o, "done"), total = member_real(o, "total");
		char percent[16];

		table_cell(t, "%s", member_text(o, "id"));
		table_cell(t, "%s", member_text(o, "kind"));
		if (*member_text(o, "path")) {
			table_cell(t, "%s", member_text(o, "path"));
			table_cell(t, "%s", "");
		} else {
			table_cell(t, "%s", member_text(o, "target"));
			table_cell(t, "%lld", (long long)member_number(o, "lun"));
		}
		table_cell(t, "%s", human_size((uint64_t)done));
		table_cell(t, "%s", total > 0 ? human_size((uint64_t)total) : "");
		snprintf(percent, sizeof(percent), "%.0f%%", total > 0 ? done * 100 / total : 0);
		table_cell(t, "%s", total > 0 ? percent : "");
		table_cell(t, "%s", member_text(o, "state"));
		table_cell(t, "%s", human_since(member_text(o, "since")));
	}
	table_print(r, t);
	table_free(t);
}

/* --- wait --- */

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

bool job_is_over(const json_t *job)
{
	const char *state = member_text(job, "state");

	return strcmp(state, "running") != 0 && strcmp(state, "ending") != 0;
}

static enum status conclude(const struct riser *r, const char *what, const json_t *job)
{
	const char *state = member_text(job, "state"), *note = member_text(job, "note");
	bool done = !strcmp(state, "done");

	if (r->json) {
		out_json(job);
		return done ? STATUS_OK : STATUS_FAILED;
	}
	if (done) {
		printf("%s: done, %s%s%s\n", shown(what),
		       human_size((uint64_t)member_real(job, "done")), *note ? "; " : "",
		       shown(note));
		return STATUS_OK;
	}
	if (*member_text(job, "path"))
		return fail(r, STATUS_FAILED, what, NULL, "%s: %s%s%s", what, state,
			    *note ? ": " : "", note);
	return fail(r, STATUS_FAILED, what,
		    !strcmp(state, "stopped") ? "riserd has ended; see riser job list when it runs "
						"again"
					      : "see the log of riserd",
		    "%s: %s", what, state);
}

static enum status late(const struct riser *r, const char *what)
{
	if (interrupted)
		return fail(r, STATUS_TIMEOUT, what,
			    "riser job wait looks on again, riser job cancel ends it",
			    "%s: it goes on", what);
	return fail(r, STATUS_TIMEOUT, what, "wait longer: --for SECONDS", "%s: it is not over yet",
		    what);
}

/* Until it is over, or `until` (0: no limit). */
static enum status wait_for(struct riser *r, const char *id, double until, double patience)
{
	struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	char what[TITLE] = "";
	struct progress p;

	progress_begin(&p, r);
	p.patience = patience;
	for (;;) {
		json_t *job;
		enum status status = client_call(r, "job.show", json_pack("{s:s}", "id", id), &job);
		bool over = !status && job_is_over(job);

		if (!status)
			title(job, what, sizeof(what));
		if (!status && !over)
			progress_show(&p, what, (uint64_t)member_number(job, "done"),
				      (uint64_t)member_number(job, "total"));
		if (status || over || interrupted || (until > 0 && now() >= until)) {
			progress_end(&p);
			if (!status)
				status = over ? conclude(r, what, job) : late(r, what);
			json_decref(job);
			return status;
		}
		json_decref(job);
		nanosleep(&pause, NULL);
	}
}

static enum status wait_for_all(struct riser *r, double until)
{
	enum status status, worst = STATUS_OK;
	const json_t *o;
	json_t *jobs;

	status = client_call(r, "job.list", NULL, &jobs);
	if (status)
		return status;
	each_member(jobs, o) {
		status = wait_for(r, member_text(o, "id"), until, 0);
		if (status)
			worst = status;
		if (interrupted)
			break;
	}
	json_decref(jobs);
	return worst;
}

enum status job_wait(struct riser *r, const json_t *job)
{
	struct sigaction stop = { .sa_handler = interrupt }, old;
	enum status status;
	char what[TITLE];

	if (job_is_over(job))
		return conclude(r, title(job, what, sizeof(what)), job);
	interrupted = 0;
	sigaction(SIGINT, &stop, &old);
	status = wait_for(r, member_text(job, "id"), 0, PROGRESS_PATIENCE_S);
	sigaction(SIGINT, &old, NULL);
	return status;
}

static enum status run_wait(struct riser *r, const struct args *a)
{
	struct sigaction stop = { .sa_handler = interrupt }, old;
	double until = args_flag(a, "for") ? now() + args_real(a, "for", 0) : 0;
	enum status status = STATUS_OK;

	interrupted = 0;
	sigaction(SIGINT, &stop, &old);
	if (!args_operands(a))
		status = wait_for_all(r, until);
	for (unsigned int i = 0; i < args_operands(a) && !interrupted; i++) {
		enum status one = wait_for(r, args_operand(a, i), until, 0);

		if (one)
			status = one;
	}
	sigaction(SIGINT, &old, NULL);
	return status;
}

/* --- cancel --- */

static void show_canceled(struct riser *r, const json_t *job)
{
	char what[TITLE];

	if (r->dry_run)
		show_dry_run(r, "cancel the %s", title(job, what, sizeof(what)));
	else
		printf("%s: canceled, it ends soon\n", shown(title(job, what, sizeof(what))));
}

const struct command job_commands[] = {
	{ .noun = "job",
	  .verb = "list",
	  .about = "Long work that goes on by itself: sanitize, format, copies, images",
	  .method = "job.list",
	  .show = show_jobs },
	{ .noun = "job",
	  .verb = "wait",
	  .about = "Wait for the end of jobs, and show how far they are",
	  .details =
		  "Without JOB for all that run now. A bar on a terminal, lines elsewhere. The exit "
		  "status is 0 if they have ended well, 1 if not, 9 if they go on.",
	  .operands =
		  WORDS({ .name = "JOB", .kind = KIND_JOB, .flags = WORD_OPTIONAL | WORD_MANY }),
	  .options = WORDS({ .name = "for",
			     .kind = KIND_REAL,
			     .value = "SECONDS",
			     .about = "no longer than this" }),
	  .run = run_wait },
	{ .noun = "job",
	  .verb = "cancel",
	  .about = "End a job before its time",
	  .details =
		  "A copy ends where it is, the file of an image is removed. After a sanitize or "
		  "a format that was canceled the LUN refuses reads and writes until another "
		  "one has ended well.",
	  .operands = WORDS({ .name = "JOB", .kind = KIND_JOB, .param = "id" }),
	  .options = WORDS(
		  { .name = "force", .about = "also a sanitize or a format", .param = "force" }),
	  .flags = COMMAND_CHANGES,
	  .method = "job.cancel",
	  .show = show_canceled },
	{ .noun = NULL },
};
