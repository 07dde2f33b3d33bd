// SPDX-License-Identifier: BSD-2-Clause
/* All commands, in the order of the help, and how they are found. */
#include <stdio.h>
#include <string.h>

#include "commands.h"

const struct command *const command_tables[] = {
	/* one line each */
	tree_commands,
	portal_commands,
	portal_change_commands,
	target_commands,
	target_change_commands,
	lun_commands,
	lun_change_commands,
	image_commands,
	user_commands,
	session_commands,
	initiator_commands,
	initiator_change_commands,
	reservation_commands,
	alua_commands,
	top_commands,
	stats_commands,
	events_commands,
	log_commands,
	config_commands,
	import_commands,
	/* what goes on, and help */
	job_commands,
	trace_commands,
	howto_commands,
	doctor_commands,
	shell_commands,
	completion_commands,
	help_commands,
	NULL,
};

const struct word global_options[] = {
	{ .name = "json", .about = "print JSON: the objects of riser-rpc(7), errors too" },
	{ .name = "dry-run", .about = "only say what would change" },
	{ .name = "control",
	  .kind = KIND_FILE,
	  .value = "PATH",
	  .about = "socket of riserd (" RISER_SOCKET ", or RISER_CONTROL)" },
	{ .name = "timeout",
	  .kind = KIND_REAL,
	  .value = "SECONDS",
	  .about = "how long to wait for an answer (30; 0: for ever)" },
	{ .name = "color",
	  .kind = KIND_WORD,
	  .value = "WHEN",
	  .words = "auto always never",
	  .about = "auto: on terminals, unless NO_COLOR is set" },
	{ .name = "help", .letter = 'h', .about = "what a command does and takes" },
	{ .name = "version", .about = "print the version" },
	{ .name = NULL },
};

const char *command_name(const struct command *c, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "");
	return buf;
}

bool command_is_noun(const char *noun)
{
	each_command(command) {
		if (!strcmp(command->noun, noun))
			return true;
	}
	return false;
}

bool command_opens_noun(const struct command *c)
{
	each_command(other) {
		if (!strcmp(other->noun, c->noun))
			return other == c;
	}
	return true;
}

static const char *canonical(const char *verb)
{
	if (!strcmp(verb, "ls"))
		return "list";
	return strcmp(verb, "rm") ? verb : "delete";
}

const struct command *command_lookup(const char *noun, const char *verb)
{
	verb = verb ? canonical(verb) : NULL;
	each_command(command) {
		if (strcmp(command->noun, noun))
			continue;
		if (!command->verb ? !verb : !strcmp(command->verb, verb ? verb : "list"))
			return command;
	}
	return NULL;
}

static const struct word *find_option(const struct word *words, const char *name, size_t len)
{
	for (; words && words->name; words++) {
		if (strlen(words->name) == len && !memcmp(words->name, name, len))
			return words;
	}
	return NULL;
}

const struct word *command_option(const struct command *c, const char *name, size_t len)
{
	const struct word *own = c ? find_option(c->options, name, len) : NULL;

	return own ? own : find_option(global_options, name, len);
}

static const struct word *find_letter(const struct word *words, char letter)
{
	for (; words && words->name; words++) {
		if (words->letter == letter)
			return words;
	}
	return NULL;
}

const struct word *command_letter(const struct command *c, char letter)
{
	const struct word *own = c ? find_letter(c->options, letter) : NULL;

	return own ? own : find_letter(global_options, letter);
}

const struct word *command_operand(const struct command *c, unsigned int i)
{
	const struct word *w = c->operands;

	for (; w && w->name; w++, i--) {
		if (!i || w->flags & WORD_MANY)
			return w;
	}
	return NULL;
}
