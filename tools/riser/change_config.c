// SPDX-License-Identifier: BSD-2-Clause
/* riser config check, diff, dump, apply; riser user list, add, set, remove */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "change.h"
#include "client.h"
#include "commands.h"
#include "out.h"

enum { TEXT_MAX = 3 << 20, SECRET_MAX = 255 };

/* --- config --- */

/* What a file that cannot be read comes to. */
static enum status unreadable(int err)
{
	if (err == ENOENT || err == ENOTDIR)
		return STATUS_NOT_FOUND;
	return err == EACCES || err == EPERM ? STATUS_PERMISSION : STATUS_FAILED;
}

/* The text of a file of ours, so that riserd need not be allowed to read it. NULL: *status has been said. */
static char *read_text(const struct riser *r, const char *path, enum status *status)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char *text = f ? malloc(TEXT_MAX + 2) : NULL;
	size_t len = text ? fread(text, 1, TEXT_MAX + 1, f) : 0;
	bool failed = !f || !text || ferror(f);
	int err = errno;

	if (f && f != stdin)
		fclose(f);
	if (text)
		text[len] = '\0';
	if (!failed && len <= TEXT_MAX && strlen(text) == len)
		return text;
	if (failed)
		*status = fail(r, unreadable(err), path, NULL, "%s: cannot be read: %s", path,
			       strerror(err));
	else
		*status = fail(r, STATUS_CONFIG, path, NULL, "%s: is no text of at most %d bytes",
			       path, TEXT_MAX);
	free(text);
	return NULL;
}

/* Without FILE it is riserd's own. */
static enum status with_file(struct riser *r, const struct args *a, json_t **params)
{
	const char *path = args_operand(a, 0);
	enum status status = STATUS_OK;
	char *text, *whole;

	*params = args_params(r, a);
	if (!path)
		return STATUS_OK;
	text = read_text(r, path, &status);
	if (!text) {
		json_decref(*params);
		return status;
	}
	whole = realpath(path, NULL);
	json_object_set_new(*params, "text", json_string(text));
	json_object_set_new(*params, "file", text_json(whole ? whole : path));
	free(whole);
	free(text);
	if (json_object_get(*params, "text"))
		return STATUS_OK;
	json_decref(*params);
	return fail(r, STATUS_CONFIG, path, NULL, "%s: is no UTF-8 text", path);
}

static void print_count(const char *before, int64_t n, const char *what)
{
	printf("%s%lld %s%s", before, (long long)n, what, n == 1 ? "" : "s");
}

static enum status run_check(struct riser *r, const struct args *a)
{
	json_t *params, *result;
	enum status status = with_file(r, a, &params);

	if (!status)
		status = client_call(r, "config.check", params, &result);
	if (status)
		return status;
	if (r->json) {
		out_json(result);
	} else {
		out_text(stdout, member_text(result, "file"));
		print_count(": ", member_number(result, "targets"), "target");
		print_count(", ", member_number(result, "luns"), "LUN");
		print_count(", ", member_number(result, "portals"), "portal");
		putchar('\n');
	}
	json_decref(result);
	return STATUS_OK;
}

static enum status run_apply(struct riser *r, const struct args *a)
{
	const char *path = args_operand(a, 0);
	json_t *params;
	enum status status = with_file(r, a, &params);

	return status ? status
		      : change_call(r, a, params, "applied",
				    path ? path : "the configuration file");
}

static void show_part(const struct riser *r, const char *title, const char *path,
		      const json_t *diff)
{
	if (!json_array_size(diff))
		return;
	printf("%s%s", paint(r, COLOR_BOLD), title);
	out_text(stdout, path);
	printf("%s\n", paint(r, COLOR_OFF));
	change_show_diff(r, diff);
}

static void show_diff(struct riser *r, const json_t *result)
{
	const json_t *later = json_object_get(result, "not_applied");
	const json_t *state = json_object_get(result, "state");
	const json_t *runtime = json_object_get(result, "runtime");

	if (*member_text(result, "file_error")) {
		out_text(stdout, member_text(result, "file_error"));
		putchar('\n');
	}
	show_part(r, "not applied yet, of ", member_text(result, "file"), later);
	show_part(r, "changed by commands, in ", member_text(result, "state_file"), state);
	show_part(r, "changed by commands until riserd ends", "", runtime);
	if (!json_array_size(later) && !json_array_size(state) && !json_array_size(runtime))
		puts("no differences");
}

static enum status run_dump(struct riser *r, const struct args *a)
{
	json_t *result;
	enum status status;

	(void)a;
	status = client_call(r, "config.dump",
			     json_pack("{s:s}", "format", r->json ? "json" : "conf"), &result);
	if (status)
		return status;
	if (r->json)
		out_json(json_object_get(result, "tree"));
	else if (r->terminal)
		out_lines(stdout, member_text(result, "text"));
	else
		fputs(member_text(result, "text"), stdout);
	json_decref(result);
	return STATUS_OK;
}

/* --- user --- */

static void show_users(struct riser *r, const json_t *users)
{
	struct table *t = table_new("USER|TARGET|MUTUAL");
	const json_t *user;

	each_member(users, user) {
		const char *target = member_text(user, "target");

		table_cell(t, "%s", member_text(user, "user"));
		table_cell(t, "%s", *target ? target : "(discovery)");
		table_cell(t, "%s", member_true(user, "mutual") ? "yes" : "no");
	}
	table_print(r, t);
	table_free(t);
}

static void give_up(int sig)
{
	(void)sig;
}

/* One line without its end, at most `size` bytes with a zero behind it; what is left of it stays. False: there is
 * none, or it has a zero byte, or more. */
static bool read_line(char *line, size_t size)
{
	size_t len = 0;
	bool fine = true;
	int c;

	while ((c = getc(stdin)) != EOF && c != '\n') {
		fine &= c && len + 1 < size;
		if (fine)
			line[len++] = (char)c;
	}
	line[len] = '\0';
	return fine && (c != EOF || len);
}

/* One line from a terminal, which nobody sees; nor is the terminal left like that by Ctrl-C. */
static bool read_unseen(const char *prompt, const struct termios *before, char *line, size_t size)
{
	static const int signals[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = give_up }, old[4];
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	struct termios quiet = *before;
	sigset_t blocked, mask;
	bool ok;

	sigemptyset(&blocked);
	for (unsigned int i = 0; i < 4; i++)
		sigaddset(&blocked, signals[i]);
	sigprocmask(SIG_BLOCK, &blocked, &mask);
	for (unsigned int i = 0; i < 4; i++)
		sigaction(signals[i], &action, &old[i]);
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	fprintf(stderr, "%s", prompt);
	ok = ppoll(&p, 1, NULL, &mask) > 0 && read_line(line, size);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, before);
	fputc('\n', stderr);
	for (unsigned int i = 0; i < 4; i++)
		sigaction(signals[i], &old[i], NULL);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return ok;
}

/* One line from stdin; "" if there is none. */
static bool read_secret(const char *prompt, char secret[SECRET_MAX + 1])
{
	struct termios before;

	secret[0] = '\0';
	return tcgetattr(STDIN_FILENO, &before)
		       ? read_line(secret, SECRET_MAX + 1)
		       : read_unseen(prompt, &before, secret, SECRET_MAX + 1);
}

static enum status take_secret(struct riser *r, json_t *params, const char *user)
{
	char secret[SECRET_MAX + 1], prompt[300];
	bool some;
	json_t *text;

	if (json_object_get(params, "secret_file") || json_object_get(params, "credential"))
		return STATUS_OK;
	snprintf(prompt, sizeof(prompt), "secret of %.200s: ", user);
	if (!read_secret(prompt, secret)) {
		some = secret[0];
		explicit_bzero(secret, sizeof(secret));
		return fail(r, STATUS_USAGE, user, "write it to stdin, or name a --secret-file",
			    "%s: %s", user,
			    some ? "the secret has a zero byte, or more than 255 bytes"
				 : "there is no secret");
	}
	text = json_string(secret);
	explicit_bzero(secret, sizeof(secret));
	if (!text)
		return fail(r, STATUS_USAGE, user, "--secret-file takes any bytes",
			    "%s: the secret is no UTF-8 text", user);
	json_object_set_new(params, "secret", text);
	return STATUS_OK;
}

static enum status run_user(struct riser *r, const struct args *a)
{
	const char *user = args_operand(a, 0);
	bool adds = !strcmp(args_command(a)->method, "user.add");
	json_t *params = args_params(r, a);
	enum status status = change_absolute(r, params, "secret_file");

	if (!status)
		status = change_absolute(r, params, "mutual_secret_file");
	if (!status)
		status = take_secret(r, params, user);
	if (!status)
		return change_call(r, a, params, adds ? "added" : "set", user);
	json_decref(params);
	return status;
}

static enum status run_remove(struct riser *r, const struct args *a)
{
	return change_call(r, a, args_params(r, a), "removed", args_operand(a, 0));
}

#define USER                                                       \
	{                                                          \
		.name = "USER", .kind = KIND_TEXT, .param = "user" \
	}
#define WHERE                                                                             \
	{ .name = "target",                                                               \
	  .kind = KIND_TARGET,                                                            \
	  .value = "TARGET",                                                              \
	  .param = "target",                                                              \
	  .about = "a user of this target" },                                             \
	{                                                                                 \
		.name = "discovery", .param = "discovery", .about = "or one of discovery" \
	}
#define SECRETS                                                                               \
	{ .name = "secret-file",                                                              \
	  .kind = KIND_FILE,                                                                  \
	  .value = "FILE",                                                                    \
	  .param = "secret_file",                                                             \
	  .about = "file of riserd's host that has the secret; else it is read from stdin" }, \
		{ .name = "credential",                                                       \
		  .kind = KIND_TEXT,                                                          \
		  .value = "NAME",                                                            \
		  .param = "credential",                                                      \
		  .about = "credential of systemd that has it" },                             \
		{ .name = "mutual",                                                           \
		  .kind = KIND_TEXT,                                                          \
		  .value = "NAME",                                                            \
		  .param = "mutual",                                                          \
		  .about = "as whom riserd proves itself to him" },                           \
	{                                                                                     \
		.name = "mutual-secret-file", .kind = KIND_FILE, .value = "FILE",             \
		.param = "mutual_secret_file", .about = "and by what"                         \
	}

const struct command user_commands[] = {
	{ .noun = "user",
	  .verb = "list",
	  .about = "CHAP users",
	  .method = "user.list",
	  .show = show_users },
	{ .noun = "user",
	  .verb = "add",
	  .about = "Somebody more who may log in, by a secret of 12 to 255 bytes",
	  .details = "The first user of a target makes CHAP necessary there.",
	  .operands = WORDS(USER),
	  .options = WORDS(WHERE, SECRETS, IF_NOT_EXISTS, CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "user.add",
	  .run = run_user },
	{ .noun = "user",
	  .verb = "set",
	  .about = "Give a user another secret",
	  .operands = WORDS(USER),
	  .options = WORDS(WHERE, SECRETS, CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "user.set",
	  .run = run_user },
	{ .noun = "user",
	  .verb = "delete",
	  .about = "Let a user log in no more",
	  .operands = WORDS(USER),
	  .options = WORDS(WHERE, IF_EXISTS, CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "user.remove",
	  .run = run_remove },
	{ .noun = NULL },
};

#define FILE_OPERAND(what)                                                                 \
	{                                                                                  \
		.name = "FILE", .kind = KIND_FILE, .flags = WORD_OPTIONAL, .about = (what) \
	}

const struct command config_commands[] = {
	{ .noun = "config",
	  .verb = "check",
	  .about = "Look whether a configuration file is right",
	  .operands = WORDS(FILE_OPERAND("riserd's own without a word; - is stdin")),
	  .run = run_check },
	{ .noun = "config",
	  .verb = "diff",
	  .about = "What the file says and does not run, and what commands have changed over it",
	  .method = "config.diff",
	  .show = show_diff },
	{ .noun = "config",
	  .verb = "apply",
	  .about = "Read the configuration file again, or create and change what FILE says",
	  .details = "All of it or, when anything is wrong, nothing. What FILE says goes over the "
		     "configuration file, into the state file; nothing is deleted by it.",
	  .operands = WORDS(FILE_OPERAND("portals, targets and discovery as in riser.conf(5); - is "
					 "stdin")),
	  .options = WORDS(CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "config.apply",
	  .run = run_apply },
	{ .noun = "config",
	  .verb = "dump",
	  .about = "A configuration file that makes what runs",
	  .details = "Secrets that commands have set are not in it.",
	  .run = run_dump },
	{ .noun = NULL },
};
