// SPDX-License-Identifier: BSD-2-Clause
/*
 * riser shell: all commands, and a tree to walk in. Where one stands is what commands mean when they are
 * given less than they need: in /targets/IQN "lun list" are that target's.
 */
#include <errno.h>
#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "client.h"
#include "commands.h"
#include "out.h"
#include "shell.h"

enum { WORDS_MAX = 256 };

struct shell {
	struct riser *r;
	struct place at;
	enum status status; /* of the last command */
	bool over;
	char prompt[PLACE_TEXT + 16];
};

/* --- commands of the shell itself --- */

static void run_words(struct shell *s, int count, char **words)
{
	struct riser one = *s->r; /* its options are for one command */

	s->status = command_line(&one, count, words);
	/* --control was for this one, too. */
	if (one.socket != s->r->socket)
		client_close(&one);
	s->r->client = one.client;
}

static void list(struct shell *s, const char *path)
{
	struct place there = s->at;
	char *words[4];
	int count;

	s->status = path ? place_go(s->r, &there, path) : STATUS_OK;
	if (s->status)
		return;
	count = place_command(&there, words);
	run_words(s, count, words);
}

static void change(struct shell *s, const char *path)
{
	struct place there = s->at;

	s->status = place_go(s->r, &there, path ? path : "/");
	if (!s->status)
		s->at = there;
}

static void show_help(struct shell *s)
{
	help_overview(s->r);
	printf("\nof the shell: cd PATH, ls [PATH], pwd, exit\n");
	s->status = STATUS_OK;
}

static bool is_own(struct shell *s, int count, char **words)
{
	const char *path = count > 1 ? words[1] : NULL;
	char text[PLACE_TEXT];

	if (!strcmp(words[0], "cd"))
		change(s, path);
	else if (!strcmp(words[0], "ls"))
		list(s, path);
	else if (!strcmp(words[0], "pwd"))
		puts(place_text(&s->at, text));
	else if (!strcmp(words[0], "exit") || !strcmp(words[0], "quit"))
		s->over = true;
	else if (!strcmp(words[0], "help") && count == 1)
		show_help(s);
	else
		return false;
	return true;
}

/* --- what is left out --- */

/* Words in front of operands: noun and verb. */
static int head_length(const struct command *c)
{
	return c->verb ? 2 : 1;
}

static int operands_given(const struct command *c, int count, char **words)
{
	int given = 0;

	for (int i = head_length(c); i < count; i++) {
		const char *w = words[i], *equal = strchr(w, '=');
		const struct word *option;

		if (w[0] != '-' || !w[1]) {
			given++;
			continue;
		}
		option = w[1] == '-' ? command_option(c, w + 2, strcspn(w + 2, "="))
				     : command_letter(c, w[1]);
		i += option && option->kind != KIND_NONE && !equal;
	}
	return given;
}

/* Puts in what the place says, in front of what was given. Returns the new count. */
static int fill_in(const struct shell *s, int count, char **words)
{
	const struct command *c = command_lookup(words[0], count > 1 ? words[1] : NULL);
	const struct word *w;
	int needed = 0, missing, filled = 0;
	char *values[2];

	if (!c && count > 1)
		return count;
	if (!c || (c->verb && count == 1) || count + 2 > WORDS_MAX)
		return count;
	for (w = c->operands; w && w->name; w++)
		needed += !(w->flags & WORD_OPTIONAL);
	missing = (needed ? needed : 1) - operands_given(c, count, words);
	for (w = c->operands; w && w->name && filled < missing && filled < 2; w++) {
		const char *value = w->flags & WORD_NEW ? NULL : place_value(&s->at, w->kind);

		if (!value)
			break;
		values[filled++] = (char *)value;
	}
	memmove(words + head_length(c) + filled, words + head_length(c),
		(size_t)(count - head_length(c)) * sizeof(*words));
	memcpy(words + head_length(c), values, (size_t)filled * sizeof(*values));
	return count + filled;
}

/* --- lines --- */

static void run_line(struct shell *s, const char *line)
{
	Tokenizer *tokenizer = tok_init(NULL);
	const char **tokens;
	char *words[WORDS_MAX];
	int count = 0;

	if (!tokenizer)
		return;
	if (tok_str(tokenizer, line, &count, &tokens)) {
		s->status = fail(s->r, STATUS_USAGE, NULL, NULL, "a quote is not closed");
	} else if (count >= WORDS_MAX) {
		s->status = fail(s->r, STATUS_USAGE, NULL, NULL, "too many words");
	} else if (count && *tokens[0] != '#') {
		for (int i = 0; i < count; i++)
			words[i] = (char *)tokens[i];
		if (!is_own(s, count, words))
			run_words(s, fill_in(s, count, words), words);
	}
	tok_end(tokenizer);
}

/* Not a terminal: a script, which ends where something fails. */
static void run_script(struct shell *s)
{
	char *line = NULL;
	size_t size = 0;

	while (!s->over && !s->status && getline(&line, &size, stdin) > 0)
		run_line(s, line);
	free(line);
}

static char *prompt(EditLine *el)
{
	struct shell *s;
	char text[PLACE_TEXT];

	el_get(el, EL_CLIENTDATA, &s);
	snprintf(s->prompt, sizeof(s->prompt), "riser %s> ", place_text(&s->at, text));
	return s->prompt;
}

static unsigned char tab(EditLine *el, int key)
{
	const LineInfo *line = el_line(el);
	struct riser quick;
	struct shell *s;
	char insert[COMPLETE_INSERT];
	bool shown;

	(void)key;
	el_get(el, EL_CLIENTDATA, &s);
	quick = *s->r;
	quick.timeout = 2;
	shown = shell_complete(&quick, &s->at, line->buffer, (size_t)(line->cursor - line->buffer),
			       insert);
	if (quick.socket != s->r->socket)
		client_close(&quick);
	s->r->client = quick.client;
	if (*insert && el_insertstr(el, insert))
		return CC_ERROR;
	if (shown)
		return CC_REDISPLAY;
	return *insert ? CC_REFRESH : CC_REFRESH_BEEP;
}

static void ignore(int sig)
{
	(void)sig;
}

/* EL_GETCFN. Ctrl-C comes only while this waits, so that none is lost between two keys: -1, EINTR. */
static int next_key(EditLine *el, wchar_t *key)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	mbstate_t state = { 0 };
	sigset_t open;
	size_t n;
	char byte;

	(void)el;
	sigprocmask(SIG_SETMASK, NULL, &open);
	sigdelset(&open, SIGINT);
	for (;;) {
		if (ppoll(&in, 1, NULL, &open) < 0)
			return -1;
		if (read(STDIN_FILENO, &byte, 1) != 1)
			return 0;
		n = mbrtowc(key, &byte, 1, &state);
		if (n <= 1)
			return 1;
		if (n == (size_t)-1)
			state = (mbstate_t){ 0 };
	}
}

/* Ctrl-C gives up the line, not the shell. NULL: the end. */
static const char *next_line(EditLine *el)
{
	struct sigaction interrupt = { .sa_handler = ignore }, was;
	sigset_t blocked, mask;
	const char *line;
	int length = 0;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &mask);
	sigaction(SIGINT, &interrupt, &was);
	do {
		errno = 0;
		el_resize(el);
		line = el_gets(el, &length);
		if (!line && errno == EINTR) {
			el_reset(el);
			putchar('\n');
		}
	} while (!line && errno == EINTR);
	sigaction(SIGINT, &was, NULL);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return length > 0 ? line : NULL;
}

/* False: there is none that it can use. */
static bool run_terminal(struct shell *s)
{
	EditLine *el = el_init("riser", stdin, stdout, stderr);
	History *past = history_init();
	bool fine = el && past;
	const char *line;
	HistEvent event;

	if (fine) {
		history(past, &event, H_SETSIZE, 500);
		el_set(el, EL_CLIENTDATA, s);
		el_set(el, EL_PROMPT, prompt);
		el_set(el, EL_EDITOR, "emacs");
		el_set(el, EL_SIGNAL, 0);
		el_wset(el, EL_GETCFN, next_key);
		el_set(el, EL_HIST, history, past);
		/* Wide: narrow names would be copied for ever. */
		el_wset(el, EL_ADDFN, L"riser-complete", L"what could be typed", tab);
		el_set(el, EL_BIND, "^I", "riser-complete", NULL);
		while (!s->over && (line = next_line(el))) {
			if (*line != '\n')
				history(past, &event, H_ENTER, line);
			run_line(s, line);
		}
		if (!s->over)
			putchar('\n');
	}
	if (past)
		history_end(past);
	if (el)
		el_end(el);
	return fine;
}

static enum status run_shell(struct riser *r, const struct args *a)
{
	struct shell s = { .r = r };

	(void)a;
	if (isatty(STDIN_FILENO) && r->terminal) {
		if (run_terminal(&s))
			return STATUS_OK;
		return fail(r, STATUS_FAILED, NULL, "write commands to its standard input",
			    "the shell cannot use this terminal");
	}
	run_script(&s);
	return s.status;
}

const struct command shell_commands[] = {
	{ .noun = "shell",
	  .about = "All commands one after the other, with completion and a tree to cd and ls in",
	  .details =
		  "What a command lacks is taken from the place in the tree: in /targets/IQN the "
		  "target, in luns/N the LUN. Without a terminal it reads commands from "
		  "standard input and stops at the first that fails, with its exit status. "
		  "With --dry-run all commands in it only say what they would change.",
	  .flags = COMMAND_CHANGES | COMMAND_LOCAL,
	  .run = run_shell },
	{ .noun = NULL },
};
