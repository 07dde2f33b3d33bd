// SPDX-License-Identifier: BSD-2-Clause
/* Runs what was typed: short names of targets become whole ones, and rows without a function are calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args_impl.h"
#include "client.h"
#include "out.h"

/* --- short names --- */

static bool is_whole_name(const char *name)
{
	return !strncmp(name, "iqn.", 4) || !strncmp(name, "eui.", 4) || !strncmp(name, "naa.", 4);
}

static bool is_short_for(const char *text, const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon && !strcmp(colon + 1, text);
}

/* *name: of the only target that `text` can mean, borrowed from targets. */
static enum status look_up(const struct riser *r, const json_t *targets, const char *text,
			   const char **name)
{
	char candidates[256] = "";
	const json_t *target;
	unsigned int found = 0;

	each_member(targets, target) {
		size_t used = strlen(candidates);

		if (!is_short_for(text, member_text(target, "name")))
			continue;
		*name = member_text(target, "name");
		snprintf(candidates + used, sizeof(candidates) - used, "%s%s", found++ ? ", " : "",
			 *name);
	}
	if (found == 1)
		return STATUS_OK;
	if (found)
		return fail(r, STATUS_USAGE, text, "give the whole name", "%s can be any of: %s",
			    text, candidates);
	return fail(r, STATUS_NOT_FOUND, text, "see 'riser target list'",
		    "there is no target %s, nor one whose name ends in :%s", text, text);
}

/* Makes a whole name of *value, if its word is a target. *targets: target.list, as soon as it is needed. */
static enum status look_up_word(struct riser *r, struct args *a, const struct word *w,
				const char **value, json_t **targets)
{
	enum status status = STATUS_OK;
	const char *name;

	/* With * it is a pattern. */
	if (w->kind != KIND_TARGET || w->flags & WORD_NEW || is_whole_name(*value) ||
	    strpbrk(*value, "*?["))
		return STATUS_OK;
	if (!*targets)
		status = client_call(r, "target.list", NULL, targets);
	if (!status)
		status = look_up(r, *targets, *value, &name);
	if (!status && (a->owned[a->owned_count] = strdup(name)))
		*value = a->owned[a->owned_count++];
	return status;
}

static enum status look_up_all(struct riser *r, struct args *a)
{
	json_t *targets = NULL;
	enum status status = STATUS_OK;

	for (unsigned int i = 0; i < a->operand_count && !status; i++)
		status = look_up_word(r, a, command_operand(a->command, i), &a->operands[i],
				      &targets);
	for (unsigned int i = 0; i < a->option_count && !status; i++)
		status = look_up_word(r, a, a->options[i].word, &a->options[i].value, &targets);
	json_decref(targets);
	return status;
}

/* --- rows without a function --- */

static enum status call_method(struct riser *r, const struct args *a)
{
	const struct command *c = a->command;
	json_t *params = args_params(r, a), *result;
	enum status status;

	if (!params)
		return fail(r, STATUS_FAILED, NULL, NULL, "out of memory");
	status = client_call(r, c->method, params, &result);
	if (status)
		return status;
	if (r->json)
		out_json(result);
	else if (c->show)
		c->show(r, result);
	json_decref(result);
	return STATUS_OK;
}

enum status command_run(struct riser *r, struct args *a)
{
	enum status status = look_up_all(r, a);

	if (status)
		return status;
	return a->command->run ? a->command->run(r, a) : call_method(r, a);
}

enum status command_line(struct riser *r, int count, char **words)
{
	struct args *a;
	enum status status = args_parse(r, count, words, &a);

	if (!status && a)
		status = command_run(r, a);
	args_free(a);
	return out_end(status);
}
