// SPDX-License-Identifier: BSD-2-Clause
/* riser target, lun and portal create, set, delete; riser lun resize */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "client.h"
#include "commands.h"
#include "out.h"
#include "show.h"

/* --- What comes back --- */

static void print_value(const json_t *value)
{
	const json_t *item;
	const char *key;
	bool first = true;

	if (json_is_string(value)) {
		out_text(stdout, json_string_value(value));
	} else if (json_is_array(value)) {
		each_member(value, item) {
			fputs(first ? "" : ", ", stdout);
			print_value(item);
			first = false;
		}
	} else {
		json_object_foreach((json_t *)value, key, item)
		{
			fputs(first ? "" : " ", stdout);
			out_text(stdout, key);
			putchar('=');
			print_value(item);
			first = false;
		}
	}
}

static void print_side(const struct riser *r, char sign, enum color color, const char *path,
		       const json_t *value)
{
	printf("%s%c ", paint(r, color), sign);
	out_text(stdout, path);
	if (json_is_string(value) || json_is_array(value))
		fputs(" =", stdout);
	if (json_is_string(value) || json_array_size(value) || json_object_size(value))
		putchar(' ');
	print_value(value);
	printf("%s\n", paint(r, COLOR_OFF));
}

void change_show_diff(const struct riser *r, const json_t *diff)
{
	const json_t *row, *before, *after;

	each_member(diff, row) {
		before = json_object_get(row, "before");
		after = json_object_get(row, "after");
		if (before)
			print_side(r, '-', COLOR_RED, member_text(row, "path"), before);
		if (after)
			print_side(r, '+', COLOR_GREEN, member_text(row, "path"), after);
	}
}

enum status change_call(struct riser *r, const struct args *a, json_t *params, const char *done,
			const char *what)
{
	json_t *result;
	enum status status = client_call(r, args_command(a)->method, params, &result);
	const json_t *changed;

	if (status)
		return status;
	changed = json_object_get(result, "changed");
	if (r->json) {
		out_json(result);
	} else if (r->dry_run) {
		if (!json_array_size(json_object_get(result, "diff")))
			puts("nothing would change");
		change_show_diff(r, json_object_get(result, "diff"));
	} else if (json_is_false(changed)) {
		puts("nothing to change");
	} else {
		printf("%s: ", done);
		out_text(stdout, what);
		if (json_object_get(result, "lun"))
			printf(" lun %lld", (long long)member_number(result, "lun"));
		if (json_object_get(result, "size"))
			printf(", %s", human_size((uint64_t)member_number(result, "size")));
		putchar('\n');
	}
	if (!r->json && *member_text(result, "note")) {
		out_text(stdout, member_text(result, "note"));
		putchar('\n');
	}
	json_decref(result);
	return STATUS_OK;
}

/* --- What goes there --- */

static json_t *part(json_t *params, const char *name, bool array)
{
	if (!json_object_get(params, name))
		json_object_set_new(params, name, array ? json_array() : json_object());
	return json_object_get(params, name);
}

enum status change_pair(const struct riser *r, json_t *params, const char *pair)
{
	const char *equal = strchr(pair, '=');
	json_t *value, *options;
	char key[64];

	if (!equal || equal == pair || (size_t)(equal - pair) >= sizeof(key))
		return fail(r, STATUS_USAGE, pair, "riser.conf(5) has the keys",
			    "%s is not KEY=VALUE", pair);
	snprintf(key, sizeof(key), "%.*s", (int)(equal - pair), pair);
	if (!equal[1]) {
		json_array_append_new(part(params, "unset", true), json_string(key));
		return STATUS_OK;
	}
	options = part(params, "options", false);
	/* The two that are lists: allow=iqn.a,192.0.2.0/24 */
	if (!strcmp(key, "allow") || !strcmp(key, "portals")) {
		json_t *list = json_array();

		for (const char *at = equal + 1; *at;) {
			size_t len = strcspn(at, ",");

			json_array_append_new(list, json_stringn(at, len));
			at += len + (at[len] == ',');
		}
		json_object_set_new(options, key, list);
		return STATUS_OK;
	}
	value = json_string(equal + 1);
	if (!value)
		return fail(r, STATUS_USAGE, key, NULL, "%s: is no text", key);
	json_object_set_new(options, key, value);
	return STATUS_OK;
}

enum status change_absolute(const struct riser *r, json_t *object, const char *key)
{
	const char *path = member_text(object, key);
	char *folder;
	int err;

	if (!*path || *path == '/' || !strncmp(path, "ram:", 4) || !strncmp(path, "null:", 5))
		return STATUS_OK;
	folder = realpath(".", NULL);
	if (!folder)
		return fail(r, STATUS_FAILED, path, "give its whole path",
			    "%s: the folder that it is in cannot be told: %s", path,
			    strerror(errno));
	err = json_object_set_new(object, key, json_sprintf("%s/%s", folder, path));
	if (err)
		fail(r, STATUS_USAGE, path, "give a path in UTF-8", "%s: is in %s", path, folder);
	free(folder);
	return err ? STATUS_USAGE : STATUS_OK;
}

/* Operands from `first` on are pairs. */
static enum status change(struct riser *r, const struct args *a, unsigned int first,
			  const char *done)
{
	json_t *params = args_params(r, a);
	enum status status = STATUS_OK;
	json_t *options;

	for (unsigned int i = first; i < args_operands(a) && !status; i++)
		status = change_pair(r, params, args_operand(a, i));
	options = json_object_get(params, "options");
	for (unsigned int i = 0; i < 2 && !status; i++)
		status = change_absolute(r, options, i ? "pi-path" : "path");
	if (!status)
		return change_call(r, a, params, done, args_operand(a, 0));
	json_decref(params);
	return status;
}

static enum status run_create(struct riser *r, const struct args *a)
{
	return change(r, a, 1, "created");
}

static enum status run_set(struct riser *r, const struct args *a)
{
	return change(r, a, 1, "set");
}

static enum status run_set_lun(struct riser *r, const struct args *a)
{
	return change(r, a, 2, "set");
}

static enum status run_delete(struct riser *r, const struct args *a)
{
	return change(r, a, args_operands(a), "deleted");
}

static enum status run_resize(struct riser *r, const struct args *a)
{
	return change(r, a, args_operands(a), "resized");
}

/* --- LUNs --- */

/* DISK: the path, then ,key=value; two commas are one. */
static enum status take_disk(const struct riser *r, const char *disk, json_t *params)
{
	char *text = malloc(strlen(disk) + 1);
	enum status status = STATUS_OK;
	bool first = true;

	while ((*disk || first) && text && !status) {
		size_t len = 0;

		for (; *disk && (*disk != ',' || disk[1] == ','); disk++) {
			disk += *disk == ',';
			text[len++] = *disk;
		}
		text[len] = '\0';
		disk += *disk == ',';
		if (first && json_object_set_new(params, "path", json_string(text)))
			status = fail(r, STATUS_USAGE, NULL, "rename it", "%s: is no UTF-8 text",
				      text);
		else if (!first)
			status = change_pair(r, params, text);
		first = false;
	}
	free(text);
	return status;
}

static enum status run_create_lun(struct riser *r, const struct args *a)
{
	enum status status = STATUS_OK;

	if (args_flag(a, "lun") && args_operands(a) > 2)
		return fail(r, STATUS_USAGE, "lun", NULL, "--lun is the number of one DISK");
	for (unsigned int i = 1; i < args_operands(a) && !status; i++) {
		json_t *params = args_params(r, a);

		status = take_disk(r, args_operand(a, i), params);
		if (!status)
			status = change_absolute(r, params, "path");
		if (!status)
			status = change_absolute(r, json_object_get(params, "options"), "pi-path");
		if (status)
			json_decref(params);
		else
			status = change_call(r, a, params, "created", args_operand(a, 0));
		if (status && i > 1)
			return STATUS_PARTLY;
	}
	return status;
}

#define TARGET                                                           \
	{                                                                \
		.name = "TARGET", .kind = KIND_TARGET, .param = "target" \
	}
#define LUN                                                     \
	{                                                       \
		.name = "LUN", .kind = KIND_LUN, .param = "lun" \
	}
#define PORTAL(more)                                                                      \
	{                                                                                 \
		.name = "PORTAL", .kind = KIND_PORTAL, .param = "portal", .flags = (more) \
	}

const struct command target_change_commands[] = {
	{ .noun = "target",
	  .verb = "create",
	  .about = "A target more",
	  .details =
		  "Initiators need a word of --allow, unless all portals are loopback addresses.",
	  .operands = WORDS({ .name = "TARGET",
			      .kind = KIND_TARGET,
			      .param = "target",
			      .flags = WORD_NEW,
			      .about = "its name, like iqn.2026-11.com.example:disk1" },
			    PAIRS(WORD_OPTIONAL)),
	  .options = WORDS({ .name = "allow",
			     .kind = KIND_TEXT,
			     .value = "WHO",
			     .param = "allow",
			     .flags = WORD_MANY,
			     .about = "who may log in: any, names (with *), 192.0.2.0/24" },
			   { .name = "portal",
			     .kind = KIND_PORTAL,
			     .value = "ADDR",
			     .param = "portals",
			     .flags = WORD_MANY,
			     .about = "where it is; all portals without a word" },
			   { .name = "alias",
			     .kind = KIND_TEXT,
			     .value = "TEXT",
			     .param = "alias",
			     .about = "what people call it" },
			   IF_NOT_EXISTS, CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "target.create",
	  .run = run_create },
	{ .noun = "target",
	  .verb = "set",
	  .about = "Change a target",
	  .operands = WORDS(TARGET, PAIRS(0)),
	  .options = WORDS(IF_EXISTS, CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "target.set",
	  .run = run_set },
	{ .noun = "target",
	  .verb = "delete",
	  .about = "Take a target away, with its LUNs",
	  .details = "Files and devices stay as they are.",
	  .operands = WORDS(TARGET),
	  .options = WORDS(IF_EXISTS, CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "target.delete",
	  .run = run_delete },
	{ .noun = NULL },
};

const struct command lun_change_commands[] = {
	{ .noun = "lun",
	  .verb = "create",
	  .about = "LUNs more",
	  .operands = WORDS(TARGET, { .name = "DISK",
				      .kind = KIND_FILE,
				      .flags = WORD_MANY,
				      .about = "ram:SIZE, null:SIZE, or the path of a file or "
					       "block device, then ,key=value as for riserd" }),
	  .options = WORDS({ .name = "lun",
			     .kind = KIND_NUMBER,
			     .value = "N",
			     .param = "lun",
			     .about = "its number; else the first that is free" },
			   IF_NOT_EXISTS, CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "lun.create",
	  .run = run_create_lun },
	{ .noun = "lun",
	  .verb = "set",
	  .about = "Give a LUN another disk (path=) or other options",
	  .operands = WORDS(TARGET, LUN, PAIRS(0)),
	  .options = WORDS(IF_EXISTS, CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "lun.set",
	  .run = run_set_lun },
	{ .noun = "lun",
	  .verb = "resize",
	  .about = "Make a file larger, or look how large it is by now",
	  .details = "Initiators hear of the new capacity. A block device is resized by its owner "
		     "first. --force makes a file smaller, too.",
	  .operands = WORDS(
		  TARGET, LUN,
		  { .name = "SIZE", .kind = KIND_SIZE, .param = "size", .flags = WORD_OPTIONAL }),
	  .options = WORDS(CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "lun.resize",
	  .run = run_resize },
	{ .noun = "lun",
	  .verb = "delete",
	  .about = "Take a LUN away",
	  .details = "Its file or device stays as it is.",
	  .operands = WORDS(TARGET, LUN),
	  .options = WORDS(IF_EXISTS, CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "lun.delete",
	  .run = run_delete },
	{ .noun = NULL },
};

const struct command portal_change_commands[] = {
	{ .noun = "portal",
	  .verb = "create",
	  .about = "An address more to listen on",
	  .operands = WORDS(PORTAL(WORD_NEW), PAIRS(WORD_OPTIONAL)),
	  .options = WORDS(IF_NOT_EXISTS, CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "portal.create",
	  .run = run_create },
	{ .noun = "portal",
	  .verb = "set",
	  .about = "Change a portal",
	  .operands = WORDS(PORTAL(0), PAIRS(0)),
	  .options = WORDS(IF_EXISTS, CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "portal.set",
	  .run = run_set },
	{ .noun = "portal",
	  .verb = "delete",
	  .about = "Listen there no more",
	  .operands = WORDS(PORTAL(0)),
	  .options = WORDS(IF_EXISTS, CHANGE_OPTIONS),
	  .flags = COMMAND_CHANGES,
	  .method = "portal.delete",
	  .run = run_delete },
	{ .noun = NULL },
};
