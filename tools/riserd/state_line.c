// SPDX-License-Identifier: BSD-2-Clause
/*
 * The lines behind the first part of the state file. Each has the changes that were flushed together: whoever
 * reads it finds all of them or none.
 *
 *	{"version": 18, "luns": [["iqn.2026-11.a:b","0",{"path":"/a"}], ["iqn.2026-11.a:b","1"]], "sha256": "..."}
 *
 * A LUN without a value is one of which nothing is said any more. The SHA-256 is of all that is before it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state_impl.h"
#include "tree.h"

static const char sum_begin[] = ", \"sha256\": \"", sum_end[] = "\"}";

/* --- Writing */

static int append(struct state_line *line, const char *text)
{
	size_t len = strlen(text), size = line->size ? line->size : 256;
	char *grown;

	while (size - line->len <= len)
		size *= 2;
	if (size != line->size) {
		grown = realloc(line->text, size);
		if (!grown)
			return -ENOMEM;
		line->text = grown;
		line->size = size;
	}
	memcpy(line->text + line->len, text, len + 1);
	line->len += len;
	return 0;
}

int state_line_add(struct state_line *line, uint64_t version, const struct state_change *change)
{
	json_t *row = json_pack("[s,s]", change->target, change->lun);
	size_t before = line->len;
	char head[64] = ", ", *text;
	int err = -ENOMEM;

	if (change->value)
		json_array_append(row, (json_t *)change->value);
	text = row && json_array_size(row) == (change->value ? 3 : 2)
		       ? json_dumps(row, JSON_COMPACT)
		       : NULL;
	if (!line->len)
		snprintf(head, sizeof(head), "{\"version\": %llu, \"luns\": [",
			 (unsigned long long)version);
	if (text)
		err = append(line, head);
	if (!err)
		err = append(line, text);
	if (err)
		line->len = before;
	free(text);
	json_decref(row);
	return err;
}

int state_line_end(struct state_line *line)
{
	char sum[STATE_SUM_SIZE];
	int err = append(line, "]");

	if (!err && !state_checksum(line->text, line->len, sum))
		err = -ENOMEM;
	if (!err)
		err = append(line, sum_begin);
	if (!err)
		err = append(line, sum);
	if (!err)
		err = append(line, sum_end);
	return err ? err : append(line, "\n");
}

void state_line_free(struct state_line *line)
{
	free(line->text);
	*line = (struct state_line){ 0 };
}

/* --- Reading */

static bool is_whole(const char *line, size_t len)
{
	const size_t digits = STATE_SUM_SIZE - 1, begin = sizeof(sum_begin) - 1;
	const size_t end = sizeof(sum_end) - 1, behind = begin + digits + end;
	char sum[STATE_SUM_SIZE];
	const char *at;

	if (len <= behind)
		return false;
	at = line + len - behind;
	return !memcmp(at, sum_begin, begin) && !memcmp(at + begin + digits, sum_end, end) &&
	       state_checksum(line, len - behind, sum) && !memcmp(at + begin, sum, digits);
}

/* What riserd has not written itself does not get in. */
static bool is_change(const struct state_change *c)
{
	json_t *tree = json_pack("{s:{s:{s:{s:O}}}}", "target", c->target, "lun", c->lun,
				 c->value ? c->value : json_null());
	char why[256];
	json_t *clean = tree ? tree_clean(tree, why, sizeof(why)) : NULL;
	bool same = clean && json_equal(tree, clean);

	json_decref(clean);
	json_decref(tree);
	return same;
}

static bool take_row(json_t *objects, const json_t *row)
{
	struct state_change c = { json_string_value(json_array_get(row, 0)),
				  json_string_value(json_array_get(row, 1)),
				  json_array_get(row, 2) };

	return c.target && c.lun && json_array_size(row) == (c.value ? 3 : 2) && is_change(&c) &&
	       !tree_put_lun(objects, c.target, c.lun, (json_t *)c.value);
}

static bool take_line(json_t *objects, const char *line, size_t len, uint64_t version, char *why,
		      size_t why_size)
{
	json_error_t error;
	json_t *all = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	const json_t *rows = json_object_get(all, "luns");
	json_int_t said = json_integer_value(json_object_get(all, "version"));
	bool good = true;

	if (said < 1 || (uint64_t)said != version || version >= STATE_VERSION_MAX) {
		snprintf(why, why_size, "has version %lld, and %llu comes next", (long long)said,
			 (unsigned long long)version);
		good = false;
	}
	for (size_t i = 0; good && i < json_array_size(rows); i++)
		good = take_row(objects, json_array_get(rows, i));
	if (good && !json_array_size(rows))
		good = false;
	if (!good && !why[0])
		snprintf(why, why_size, "does not say what becomes of which LUN");
	json_decref(all);
	return good;
}

bool state_replay(json_t *objects, const char *text, size_t len, unsigned int number,
		  struct state_extent *extent, char *why, size_t why_size)
{
	const char *at = text, *end = text + len, *next;
	char reason[128] = "";

	for (; at < end; at = next, number++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t size = stop ? (size_t)(stop - at) : 0;

		next = stop ? stop + 1 : end;
		/* After a loss of power there may be zeros for what did not get to the disk. */
		if (!stop || (next == end && memchr(at, '\0', size))) {
			extent->torn = number;
			break;
		}
		if (!is_whole(at, size))
			snprintf(reason, sizeof(reason),
				 "is damaged, or was changed by something else than riserd: its "
				 "SHA-256 is another one");
		if (reason[0] ||
		    !take_line(objects, at, size, extent->version + 1, reason, sizeof(reason))) {
			snprintf(why, why_size,
				 "line %u %s; \"head -n %u\" has what was there before that",
				 number, reason, number - 1);
			return false;
		}
		extent->version++;
	}
	extent->len = extent->whole + (size_t)(at - text);
	return true;
}
