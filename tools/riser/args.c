// SPDX-License-Identifier: BSD-2-Clause
/* The command line by the table: which command, its operands and options, each checked for what it is. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args_impl.h"
#include "client.h"
#include "out.h"

#define RISER_VERSION "riser 0.1"

struct parser {
	struct riser *r;
	struct args *a;
	const char *noun;
	bool help, version, literal; /* literal: after "--" */
	bool dry_run; /* it was said here, and not of the shell */
	int count, at;
	char **words;
};

static enum status usage(const struct parser *p, const char *hint, const char *object,
			 const char *what)
{
	return fail(p->r, STATUS_USAGE, object, hint, "%s%s%s", what, object ? ": " : "",
		    object ? object : "");
}

/* --- words that were meant --- */

struct walk {
	const struct command *const *table;
	const struct command *command;
	const struct word *word;
	const char *noun, *last;
	bool global; /* the global options have their turn */
};

static const char *next_word(struct walk *w, bool verbs)
{
	for (; *w->table; w->command = *++w->table) {
		for (; w->command->noun; w->command++) {
			const struct command *c = w->command;
			const char *word = verbs ? c->verb : c->noun;

			if (c->flags & COMMAND_HIDDEN || (verbs && strcmp(c->noun, w->noun)) ||
			    (w->last && word && !strcmp(word, w->last)))
				continue;
			w->last = word;
			w->command++;
			return word;
		}
	}
	return NULL;
}

static const char *next_noun(void *arg)
{
	return next_word(arg, false);
}

static const char *next_verb(void *arg)
{
	return next_word(arg, true);
}

static const char *next_option(void *arg)
{
	struct walk *w = arg;

	if ((!w->word || !w->word->name) && !w->global) {
		w->global = true;
		w->word = global_options;
	}
	return w->word->name ? w->word++->name : NULL;
}

static enum status unknown(const struct parser *p, const char *what, const char *word,
			   const char *(*next)(void *), struct walk *walk)
{
	const char *meant = nearest(word, next, walk), *dashes = next == next_option ? "--" : "";
	char hint[160], object[80];

	snprintf(object, sizeof(object), "%s%s", dashes, word);
	if (meant)
		snprintf(hint, sizeof(hint), "did you mean '%s%s'?", dashes, meant);
	else
		snprintf(hint, sizeof(hint), "see 'riser help%s%s'", p->noun ? " " : "",
			 p->noun ? p->noun : "");
	return usage(p, hint, object, what);
}

/* --- values --- */

static bool parse_size(const char *text, uint64_t *out)
{
	static const char units[] = "KMGTP";
	char *end;
	const char *unit;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || errno)
		return false;
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (!unit)
		return !*end;
	for (const char *u = units; u <= unit; u++) {
		if (*out > UINT64_MAX / 1024)
			return false;
		*out *= 1024;
	}
	return !end[1] && *out <= INT64_MAX;
}

static bool is_word_of(const char *words, const char *word)
{
	size_t len = strchr(word, ' ') ? 0 : strlen(word);

	for (const char *at = words; len && (at = strstr(at, word)); at += len) {
		if ((at == words || at[-1] == ' ') && (!at[len] || at[len] == ' '))
			return true;
	}
	return false;
}

static bool value_is_right(const struct word *w, const char *value)
{
	uint64_t size;
	double real;
	char *end;

	errno = 0;
	switch (w->kind) {
	case KIND_NONE: return true;
	case KIND_NUMBER:
	case KIND_LUN:
		strtoll(value, &end, 10);
		return *value && !*end && !errno && !isspace((unsigned char)*value);
	case KIND_REAL:
		real = strtod(value, &end);
		return isdigit((unsigned char)*value) && !*end && real >= 0 && real < 1e9;
	case KIND_SIZE: return parse_size(value, &size);
	case KIND_WORD: return is_word_of(w->words, value);
	default: return *value || w->kind == KIND_TEXT;
	}
}

static enum status check_value(const struct parser *p, const struct word *w, bool option,
			       const char *value)
{
	static const char *const expected[] = {
		[KIND_NUMBER] = "a number",
		[KIND_LUN] = "the number of a LUN",
		[KIND_REAL] = "a number",
		[KIND_SIZE] = "a size like 10G",
	};
	char what[96], hint[256];

	bool text = is_text(value) || (w->kind == KIND_FILE && !w->param);

	/* What is no UTF-8 cannot be told riserd, which would be asked for more than was meant. */
	if (text && value_is_right(w, value))
		return STATUS_OK;
	snprintf(what, sizeof(what), "%s%s", option ? "--" : "", w->name);
	if (!text)
		snprintf(hint, sizeof(hint), "expected UTF-8");
	else if (w->kind == KIND_WORD)
		snprintf(hint, sizeof(hint), "one of: %s", w->words);
	else
		snprintf(hint, sizeof(hint), "expected %s",
			 w->kind < array_count(expected) && expected[w->kind]
				 ? expected[w->kind]
				 : "something that is not empty");
	return usage(p, hint, value, what);
}

/* --- options --- */

/* The shell may be connected already, to another one. */
static void other_socket(struct riser *r, const char *path)
{
	if (strcmp(r->socket, path) != 0)
		client_close(r);
	r->socket = path;
}

static enum status global(struct parser *p, const struct word *w, const char *value)
{
	struct riser *r = p->r;

	if (!strcmp(w->name, "json"))
		r->json = true;
	else if (!strcmp(w->name, "dry-run"))
		r->dry_run = p->dry_run = true;
	else if (!strcmp(w->name, "control"))
		other_socket(r, value);
	else if (!strcmp(w->name, "timeout"))
		r->timeout = strtod(value, NULL);
	else if (!strcmp(w->name, "color"))
		r->color = strcmp(value, "auto") ? !strcmp(value, "always") : r->color;
	else if (!strcmp(w->name, "help"))
		p->help = true;
	else
		p->version = true;
	return STATUS_OK;
}

static bool is_global(const struct word *w)
{
	for (const struct word *g = global_options; g->name; g++) {
		if (g == w)
			return true;
	}
	return false;
}

static enum status take_option(struct parser *p, const struct word *w, const char *value)
{
	struct args *a = p->a;
	enum status status = check_value(p, w, true, value);

	if (status)
		return status;
	if (is_global(w))
		return global(p, w, value);
	if (!(w->flags & WORD_MANY) && args_option(a, w->name, 0))
		return usage(p, "once is enough", w->name, "given twice");
	a->options[a->option_count++] = (struct given){ w, value };
	return STATUS_OK;
}

static enum status long_option(struct parser *p, const char *text)
{
	const char *equal = strchr(text, '=');
	size_t len = equal ? (size_t)(equal - text) : strlen(text);
	const struct word *w = command_option(p->a->command, text, len);

	if (!w) {
		struct walk walk = { .word = p->a->command ? p->a->command->options : NULL };
		char word[64];

		snprintf(word, sizeof(word), "%.*s", (int)(len > 60 ? 60 : len), text);
		return unknown(p, "there is no such option", word, next_option, &walk);
	}
	if (w->kind == KIND_NONE) {
		if (equal)
			return usage(p, "it is given or not", w->name, "no value belongs to");
		return take_option(p, w, "");
	}
	if (equal)
		return take_option(p, w, equal + 1);
	if (p->at == p->count)
		return usage(p, NULL, w->name, "a value is missing behind");
	return take_option(p, w, p->words[p->at++]);
}

static enum status letters(struct parser *p, const char *text)
{
	for (; *text; text++) {
		const struct word *w = command_letter(p->a->command, *text);
		const char letter[] = { '-', *text, 0 };
		enum status status;

		if (!w)
			return usage(p, "see --help", letter, "there is no such option");
		if (w->kind != KIND_NONE) {
			if (text[1])
				return take_option(p, w, text + 1);
			if (p->at == p->count)
				return usage(p, NULL, w->name, "a value is missing behind");
			return take_option(p, w, p->words[p->at++]);
		}
		status = take_option(p, w, "");
		if (status)
			return status;
	}
	return STATUS_OK;
}

/* --- operands --- */

static enum status plain(struct parser *p, const char *text)
{
	struct args *a = p->a;
	const struct word *w;
	enum status status;

	if (!a->command && !p->noun) {
		struct walk walk = { .table = command_tables, .command = *command_tables };

		if (!command_is_noun(text))
			return unknown(p, "there is no such command", text, next_noun, &walk);
		p->noun = text;
		a->command = command_lookup(text, NULL);
		if (a->command && a->command->verb)
			a->command = NULL; /* "list" only if no verb follows */
		return STATUS_OK;
	}
	if (!a->command) {
		struct walk walk = { .table = command_tables,
				     .command = *command_tables,
				     .noun = p->noun };

		a->command = command_lookup(p->noun, text);
		return a->command ? STATUS_OK
				  : unknown(p, "there is no such verb", text, next_verb, &walk);
	}
	w = command_operand(a->command, a->operand_count);
	if (!w)
		return usage(p, "see --help", text, "one word too many");
	status = check_value(p, w, false, text);
	if (!status)
		a->operands[a->operand_count++] = text;
	return status;
}

static enum status parse_word(struct parser *p, const char *text)
{
	char *end;

	if (p->literal || text[0] != '-' || !text[1])
		return plain(p, text);
	if (!strcmp(text, "--")) {
		p->literal = true;
		return STATUS_OK;
	}
	if (text[1] == '-')
		return long_option(p, text + 2);
	strtoll(text, &end, 10); /* a negative number is a value that is wrong */
	return *end ? letters(p, text + 1) : plain(p, text);
}

static bool has_value(const struct args *a)
{
	for (unsigned int i = 0; i < a->option_count; i++) {
		if (a->options[i].word->kind != KIND_NONE)
			return true;
	}
	return false;
}

static enum status complete(const struct parser *p)
{
	const struct args *a = p->a;
	const struct word *w = command_operand(a->command, a->operand_count);
	char line[256];

	if (w && !(w->flags & WORD_OPTIONAL) && !(w->flags & WORD_OR_OPTION && has_value(a)) &&
	    !(w->flags & WORD_MANY && a->operand_count &&
	      command_operand(a->command, a->operand_count - 1) == w)) {
		help_synopsis(a->command, line, sizeof(line));
		return usage(p, line, w->name, "a word is missing");
	}
	if (p->r->dry_run && !(a->command->flags & COMMAND_CHANGES)) {
		p->r->dry_run = false;
		if (p->dry_run)
			return usage(p, "leave it out", "--dry-run",
				     "this command changes nothing");
	}
	return STATUS_OK;
}

/* --help and --version; true: that was all */
static bool answered(const struct parser *p)
{
	if (p->version) {
		puts(RISER_VERSION);
		return true;
	}
	if (!p->help)
		return false;
	if (p->a->command)
		help_command(p->r, p->a->command);
	else if (p->noun)
		help_noun(p->r, p->noun);
	else
		help_overview(p->r);
	return true;
}

static enum status parse(struct parser *p)
{
	enum status status = STATUS_OK;

	while (p->at < p->count && !status)
		status = parse_word(p, p->words[p->at++]);
	if (status || answered(p))
		return status;
	if (!p->a->command)
		p->a->command = command_lookup(p->noun ? p->noun : "status", NULL);
	if (!p->a->command && p->r->json)
		return usage(p, "see riser help", p->noun, "a verb is missing behind");
	if (!p->a->command) {
		help_noun(p->r, p->noun);
		return STATUS_USAGE;
	}
	return complete(p);
}

/* How mistakes are told has to be known before the first one is found. */
static bool asks_for_json(int count, char **words)
{
	for (int i = 0; i < count && strcmp(words[i], "--") != 0; i++) {
		if (!strcmp(words[i], "--json"))
			return true;
	}
	return false;
}

enum status args_parse(struct riser *r, int count, char **words, struct args **out)
{
	struct parser p = { .r = r, .count = count, .words = words };
	enum status status;

	*out = NULL;
	r->json |= asks_for_json(count, words);
	p.a = calloc(1, sizeof(*p.a));
	if (p.a) {
		p.a->operands = calloc((size_t)count + 1, sizeof(*p.a->operands));
		p.a->options = calloc((size_t)count + 1, sizeof(*p.a->options));
		p.a->owned = calloc((size_t)count + 1, sizeof(*p.a->owned));
	}
	if (!p.a || !p.a->operands || !p.a->options || !p.a->owned)
		status = fail(r, STATUS_FAILED, NULL, NULL, "out of memory");
	else
		status = parse(&p);
	if (!status && !p.help && !p.version)
		*out = p.a;
	else
		args_free(p.a);
	return status;
}

void args_free(struct args *a)
{
	if (!a)
		return;
	for (unsigned int i = 0; i < a->owned_count; i++)
		free(a->owned[i]);
	free(a->owned);
	free(a->operands);
	free(a->options);
	free(a);
}

/* --- what commands ask --- */

const struct command *args_command(const struct args *a)
{
	return a->command;
}

const char *args_operand(const struct args *a, unsigned int i)
{
	return i < a->operand_count ? a->operands[i] : NULL;
}

unsigned int args_operands(const struct args *a)
{
	return a->operand_count;
}

const char *args_option(const struct args *a, const char *name, unsigned int i)
{
	for (unsigned int k = 0; k < a->option_count; k++) {
		if (!strcmp(a->options[k].word->name, name) && !i--)
			return a->options[k].value;
	}
	return NULL;
}

bool args_flag(const struct args *a, const char *name)
{
	return args_option(a, name, 0) != NULL;
}

double args_real(const struct args *a, const char *name, double otherwise)
{
	const char *value = args_option(a, name, 0);

	return value ? strtod(value, NULL) : otherwise;
}

int64_t args_number(const struct args *a, const char *name, int64_t otherwise)
{
	const char *value = args_option(a, name, 0);

	return value ? strtoll(value, NULL, 10) : otherwise;
}

static json_t *value_of(const struct word *w, const char *text)
{
	uint64_t size;

	switch (w->kind) {
	case KIND_NONE: return json_true();
	case KIND_NUMBER:
	case KIND_LUN: return json_integer(strtoll(text, NULL, 10));
	case KIND_REAL: return json_real(strtod(text, NULL));
	case KIND_SIZE: return parse_size(text, &size) ? json_integer((json_int_t)size) : NULL;
	default: return json_string(text);
	}
}

static int put(json_t *params, const struct word *w, const char *text)
{
	json_t *array;

	if (!w->param)
		return 0;
	if (!(w->flags & WORD_MANY))
		return json_object_set_new(params, w->param, value_of(w, text));
	array = json_object_get(params, w->param);
	if (!array) {
		if (json_object_set_new(params, w->param, json_array()))
			return -1;
		array = json_object_get(params, w->param);
	}
	return json_array_append_new(array, value_of(w, text));
}

json_t *args_params(const struct riser *r, const struct args *a)
{
	json_t *params = json_object();
	int err = params ? 0 : -1;

	for (unsigned int i = 0; i < a->operand_count && !err; i++)
		err = put(params, command_operand(a->command, i), a->operands[i]);
	for (unsigned int i = 0; i < a->option_count && !err; i++)
		err = put(params, a->options[i].word, a->options[i].value);
	if (r->dry_run && !err)
		err = json_object_set_new(params, "dry_run", json_true());
	if (err) {
		json_decref(params);
		return NULL;
	}
	return params;
}
