// SPDX-License-Identifier: BSD-2-Clause
/* riser log level; riser events */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "out.h"
#include "show.h"

static void show_level(const json_t *result)
{
	out_text(stdout,
		 json_is_string(result) ? json_string_value(result) : member_text(result, "level"));
	putchar('\n');
}

static enum status run_level(struct riser *r, const struct args *a)
{
	const char *level = args_operand(a, 0);
	json_t *result;
	enum status status;

	if (r->dry_run && !level)
		return fail(r, STATUS_USAGE, "LEVEL", "name one: debug, info, warn or error",
			    "without a level nothing would change");
	status = client_call(r, level ? "log.set" : "log.get", args_params(r, a), &result);
	if (status)
		return status;
	if (r->json)
		out_json(result);
	else if (!level)
		show_level(result);
	else if (r->dry_run)
		show_dry_run(r, "set the level of the log to %s", level);
	json_decref(result);
	return STATUS_OK;
}

/* --- events --- */

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

static enum color event_color(const char *type)
{
	static const char *const bad[] = { "login-failed", "session-lost", "path", "warning" };

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (!strcmp(type, bad[i]))
			return COLOR_RED;
	}
	return COLOR_OFF;
}

/* "lun.create" of "lun.create: iqn..." */
static bool is_beginning(const char *reason, const char *text)
{
	size_t len = strlen(reason);

	return !strncmp(text, reason, len) && (!text[len] || text[len] == ':');
}

static void print_event(const struct riser *r, const json_t *e)
{
	static const char *const keys[] = { "initiator", "from", "target", "reason", "text" };
	const char *type = member_text(e, "type"), *reason = member_text(e, "reason");
	const json_t *lun = json_object_get(e, "lun");
	bool first = true;

	if (r->json) {
		out_json(e);
		return;
	}
	printf("%s  %s%-12s%s", shown(member_text(e, "time")), paint(r, event_color(type)),
	       shown(type), paint(r, COLOR_OFF));
	for (unsigned int i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const char *text = member_text(e, keys[i]);

		/* Some texts begin with their reason. */
		if (!*text || (i == 3 && is_beginning(reason, member_text(e, "text"))))
			continue;
		fputs(!strcmp(keys[i], "from")	   ? " from "
		      : !strcmp(keys[i], "target") ? " to "
		      : i > 2 && !first		   ? ": "
						   : "  ",
		      stdout);
		first = false;
		out_text(stdout, text);
		if (json_is_integer(lun) && !strcmp(keys[i], "target"))
			printf(" LUN %lld", (long long)json_integer_value(lun));
	}
	putchar('\n');
	fflush(stdout);
}

/* We were too slow, and riserd does not wait. */
static void print_lost(const struct riser *r, const json_t *params)
{
	json_t *o;

	if (!r->json) {
		printf("%s%lld events have been missed: riser events has what is left of them%s\n",
		       paint(r, COLOR_RED), (long long)member_number(params, "count"),
		       paint(r, COLOR_OFF));
	} else {
		o = json_pack("{s:O}", "lost", json_object_get(params, "count"));
		out_json(o);
		json_decref(o);
	}
	fflush(stdout);
}

static bool is_wanted(const struct args *a, const json_t *e)
{
	const char *type = args_option(a, "type", 0);

	for (unsigned int i = 1; type && strcmp(type, member_text(e, "type")) != 0; i++) {
		type = args_option(a, "type", i);
		if (!type)
			return false;
	}
	return true;
}

/* Until riserd says something or a signal comes; false: nobody reads any more what we would print of it. */
static bool await(const struct riser *r)
{
	struct pollfd p[2] = { { .fd = client_fd(r), .events = POLLIN }, { .fd = STDOUT_FILENO } };
	sigset_t stops, open;

	/* One that comes between the look at `interrupted` and the wait must end the wait. */
	sigemptyset(&stops);
	sigaddset(&stops, SIGINT);
	sigaddset(&stops, SIGTERM);
	sigprocmask(SIG_BLOCK, &stops, &open);
	while (!interrupted && p[0].fd >= 0 && !client_pending(r)) {
		if (ppoll(p, 2, NULL, &open) < 0 || p[0].revents || p[1].revents)
			break;
	}
	sigprocmask(SIG_SETMASK, &open, NULL);
	return !p[1].revents;
}

/* Until Ctrl-C, or nobody reads any more. */
static enum status follow(struct riser *r, const struct args *a, int64_t seen)
{
	struct sigaction stop = { .sa_handler = interrupt }, old_int, old_term;
	enum status status = STATUS_OK;

	interrupted = 0;
	sigaction(SIGINT, &stop, &old_int);
	sigaction(SIGTERM, &stop, &old_term);
	while (!interrupted && !ferror(stdout) && await(r)) {
		json_t *n;
		const json_t *e;

		status = client_next(r, 0, &n);
		if (status == STATUS_TIMEOUT)
			continue;
		if (status)
			break;
		e = json_object_get(n, "params");
		if (!strcmp(member_text(n, "method"), "events.lost"))
			print_lost(r, e);
		/* Those between the list and the subscription have come twice. */
		else if (member_number(e, "seq") > seen && is_wanted(a, e))
			print_event(r, e);
		json_decref(n);
	}
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGTERM, &old_term, NULL);
	return interrupted ? STATUS_OK : status;
}

static enum status run_events(struct riser *r, const struct args *a)
{
	int64_t since = args_number(a, "since", -1), seen = -1;
	json_t *list, *result = NULL;
	const json_t *e;
	enum status status = STATUS_OK;

	/* First the subscription: nothing falls between. */
	if (args_flag(a, "follow"))
		status = client_call(r, "events.subscribe", NULL, &result);
	json_decref(result);
	if (!status)
		status = client_call(
			r, "events.list",
			since >= 0 ? json_pack("{s:I}", "since", (json_int_t)since) : NULL, &list);
	if (status)
		return status;
	each_member(list, e) {
		if (is_wanted(a, e))
			print_event(r, e);
		seen = member_number(e, "seq");
	}
	json_decref(list);
	return args_flag(a, "follow") ? follow(r, a, seen) : STATUS_OK;
}

const struct command events_commands[] = {
	{ .noun = "events",
	  .about =
		  "What has happened: logins, refusals with their reason, resets, lost paths, reloads",
	  .details =
		  "With --json one object per line. Type job: what riser job list has begins and "
		  "ends; of a copy that is told when it has taken a second.",
	  .options = WORDS({ .name = "follow",
			     .letter = 'f',
			     .about = "go on with what happens from now on" },
			   { .name = "since",
			     .kind = KIND_NUMBER,
			     .value = "SEQ",
			     .about = "only those after this number" },
			   { .name = "type",
			     .kind = KIND_WORD,
			     .value = "TYPE",
			     .words = "login login-failed logout session-lost reset "
				      "path lun reload config job warning",
			     .about = "only those of this type",
			     .flags = WORD_MANY }),
	  .run = run_events },
	{ .noun = NULL },
};

const struct command log_commands[] = {
	{ .noun = "log",
	  .verb = "level",
	  .about = "Show or set the level of the log",
	  .operands = WORDS({ .name = "LEVEL",
			      .kind = KIND_WORD,
			      .param = "level",
			      .words = "error warn info debug",
			      .flags = WORD_OPTIONAL }),
	  .flags = COMMAND_CHANGES,
	  .run = run_level },
	{ .noun = NULL },
};
