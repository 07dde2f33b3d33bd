// SPDX-License-Identifier: BSD-2-Clause
/* Help from the table, for people and for the manual. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "out.h"

static void append(char *buf, size_t size, const char *text)
{
	size_t used = strlen(buf);

	snprintf(buf + used, size - used, "%s", text);
}

static void option_forms(const struct word *w, char *buf, size_t size)
{
	const char short_form[] = { '-', w->letter, ',', ' ', 0 };

	*buf = 0;
	append(buf, size, w->letter ? short_form : "");
	append(buf, size, "--");
	append(buf, size, w->name);
	append(buf, size, w->value ? " " : "");
	append(buf, size, w->value ? w->value : "");
}

void help_synopsis(const struct command *c, char *buf, size_t size)
{
	char name[64];

	*buf = 0;
	append(buf, size, "riser ");
	append(buf, size, command_name(c, name, sizeof(name)));
	append(buf, size, c->options ? " [OPTION]..." : "");
	for (const struct word *w = c->operands; w && w->name; w++) {
		bool optional = w->flags & WORD_OPTIONAL;

		append(buf, size, optional ? " [" : " ");
		append(buf, size, w->name);
		append(buf, size, optional ? "]" : "");
		append(buf, size, w->flags & WORD_MANY ? "..." : "");
	}
}

/* In lines of at most `width` columns behind `indent` blanks. */
static void wrapped(const char *text, unsigned int indent, unsigned int width)
{
	unsigned int column = 0;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (column && column + 1 + len > width) {
			putchar('\n');
			column = 0;
		}
		printf("%*s%.*s", column ? 1 : (int)indent, "", (int)len, text);
		column += (unsigned int)len + (column ? 1 : 0);
		text += len + strspn(text + len, " ");
	}
	putchar('\n');
}

static void options(const struct riser *r, const char *title, const struct word *words)
{
	char forms[64];

	if (!words || !words->name)
		return;
	printf("\n%s%s:%s\n", paint(r, COLOR_BOLD), title, paint(r, COLOR_OFF));
	for (const struct word *w = words; w->name; w++) {
		option_forms(w, forms, sizeof(forms));
		printf("  %-24s%s%s", forms,
		       strlen(forms) > 24 ? "\n                           " : " ",
		       w->about ? w->about : "");
		if (w->kind == KIND_WORD)
			printf(" (%s)", w->words);
		printf("%s\n", w->flags & WORD_MANY ? "; may be repeated" : "");
	}
}

void help_command(const struct riser *r, const struct command *c)
{
	char line[256];

	help_synopsis(c, line, sizeof(line));
	printf("usage: %s\n\n%s.\n", line, c->about);
	if (c->details)
		wrapped(c->details, 0, 96);
	for (const struct word *w = c->operands; w && w->name; w++) {
		if (!w->about && w->kind != KIND_WORD)
			continue;
		printf("\n  %-12s %s", w->name, w->about ? w->about : "");
		if (w->kind == KIND_WORD)
			printf("%s%s", w->about ? ": " : "", w->words);
		if (!w[1].name || (!w[1].about && w[1].kind != KIND_WORD))
			putchar('\n');
	}
	options(r, "options", c->options);
	options(r, "options of all commands", global_options);
}

static void command_row(const struct riser *r, const struct command *c)
{
	char line[256];
	const char *text = line + strlen("riser ");

	if (c->flags & COMMAND_HIDDEN)
		return;
	help_synopsis(c, line, sizeof(line));
	printf("  %s%-40s%s%s%s\n", paint(r, COLOR_BOLD), text, paint(r, COLOR_OFF),
	       strlen(text) > 40 ? "\n                                           " : " ", c->about);
}

void help_noun(const struct riser *r, const char *noun)
{
	printf("usage: riser %s VERB\n\n", noun);
	each_command(command) {
		if (!strcmp(command->noun, noun))
			command_row(r, command);
	}
	printf("\nriser %s VERB --help tells more.\n", noun);
}

/* visit() is called with all verbs of a noun one after the other. */
static void each_by_noun(void (*visit)(const struct riser *r, const struct command *c),
			 const struct riser *r)
{
	each_command(first) {
		if (!command_opens_noun(first))
			continue;
		each_command(command) {
			if (!strcmp(command->noun, first->noun) &&
			    !(command->flags & COMMAND_HIDDEN))
				visit(r, command);
		}
	}
}

void help_overview(const struct riser *r)
{
	printf("usage: riser [OPTION]... [COMMAND]\n\n"
	       "Shows and changes what riserd serves. Without a command: the tree of portals, targets,\n"
	       "LUNs and who is connected.\n\n");
	each_by_noun(command_row, r);
	options(r, "options", global_options);
	printf("\nriser COMMAND --help tells more, and so does riser(1).\n");
}

/* --- for the manual --- */

/* Backslashes and hyphens as they stand, and no line that begins with a dot. */
static void roff(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++) {
		if (*text == '-')
			fputs("\\-", stdout);
		else if (*text == '\\')
			fputs("\\e", stdout);
		else
			putchar(*text);
	}
}

static void roff_options(const struct word *words)
{
	char forms[64];

	for (const struct word *w = words; w && w->name; w++) {
		option_forms(w, forms, sizeof(forms));
		printf(".RS\n.TP\n.B ");
		roff(forms);
		putchar('\n');
		roff(w->about ? w->about : "");
		if (w->kind == KIND_WORD) {
			printf(": ");
			roff(w->words);
		}
		printf("%s\n.RE\n", w->flags & WORD_MANY ? "; may be repeated" : "");
	}
}

static void roff_command(const struct riser *r, const struct command *c)
{
	char line[256];

	(void)r;
	help_synopsis(c, line, sizeof(line));
	printf(".TP\n.B ");
	roff(line);
	putchar('\n');
	roff(c->about);
	puts(".");
	if (c->details) {
		roff(c->details);
		putchar('\n');
	}
	roff_options(c->options);
}

static enum status run_help(struct riser *r, const struct args *a)
{
	const char *noun = args_operand(a, 0), *verb = args_operand(a, 1);
	const struct command *c;

	if (args_flag(a, "roff")) {
		each_by_noun(roff_command, r);
		printf(".SH OPTIONS\n");
		roff_options(global_options);
		return STATUS_OK;
	}
	if (!noun) {
		help_overview(r);
		return STATUS_OK;
	}
	if (!command_is_noun(noun))
		return fail(r, STATUS_USAGE, noun, "see 'riser help'", "there is no command %s",
			    noun);
	c = command_lookup(noun, verb);
	if (c && (verb || !c->verb))
		help_command(r, c);
	else if (!verb)
		help_noun(r, noun);
	else
		return fail(r, STATUS_USAGE, verb, NULL, "there is no verb %s of %s", verb, noun);
	return STATUS_OK;
}

const struct command help_commands[] = {
	{ .noun = "help",
	  .about = "Explain all commands or one",
	  .operands = WORDS({ .name = "NOUN", .kind = KIND_COMMAND, .flags = WORD_OPTIONAL },
			    { .name = "VERB", .kind = KIND_COMMAND, .flags = WORD_OPTIONAL }),
	  .options = WORDS({ .name = "roff", .about = "all of them, as the manual has them" }),
	  .flags = COMMAND_LOCAL,
	  .run = run_help },
	{ .noun = NULL },
};
