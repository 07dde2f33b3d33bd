// SPDX-License-Identifier: BSD-2-Clause
/* Objects as text, where more than one command shows them. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "out.h"
#include "show.h"

const char *joined(const json_t *array, char *buf, size_t size)
{
	const json_t *item;
	size_t used = 0;

	*buf = 0;
	each_member(array, item) {
		int n;

		if (json_is_integer(item))
			n = snprintf(buf + used, size - used, "%s%lld", used ? ", " : "",
				     (long long)json_integer_value(item));
		else
			n = snprintf(buf + used, size - used, "%s%s", used ? ", " : "",
				     json_is_string(item) ? json_string_value(item) : "?");
		used += (size_t)n;
		if (used >= size)
			break;
	}
	return buf;
}

char *joined_all(const json_t *array)
{
	const json_t *item;
	size_t size = 1;
	char *buf;

	each_member(array, item)
		size += 24 + json_string_length(item); /* a number and ", ", or a text */
	buf = malloc(size);
	if (buf)
		joined(array, buf, size);
	return buf;
}

void show_line(const struct riser *r, const char *name, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int width;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (!text || !*text) {
		free(text);
		return;
	}
	printf("%s", paint(r, COLOR_BOLD));
	for (width = 0; name[width]; width++)
		putchar(name[width] == '_' ? ' ' : name[width]);
	printf("%*s%s", width < 18 ? 18 - width : 1, "", paint(r, COLOR_OFF));
	out_text(stdout, text);
	putchar('\n');
	free(text);
}

void show_dry_run(const struct riser *r, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	json_t *o;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (r->json) {
		o = json_pack("{s:b, s:o}", "dry_run", 1, "would", text_json(text));
		out_json(o);
		json_decref(o);
		return;
	}
	fputs("would ", stdout);
	out_text(stdout, text);
	putchar('\n');
}

void show_portals(struct riser *r, const json_t *portals)
{
	struct table *t = table_new("PORTAL|TRANSPORTS|>GROUP|ACCESS|REDIRECT|SOURCE");
	const json_t *p;
	char active[64];

	each_member(portals, p) {
		table_cell(t, "%s", member_text(p, "address"));
		joined(json_object_get(p, "active"), active, sizeof(active));
		table_cell(t, "%s", *active ? active : "none");
		table_color(t, *active ? COLOR_OFF : COLOR_RED);
		table_cell(t, "%lld", (long long)member_number(p, "tag"));
		table_cell(t, "%s%s", member_text(p, "access"),
			   member_true(p, "preferred") ? ", preferred" : "");
		table_cell(t, "%s", member_text(p, "redirect"));
		table_cell(t, "%s", member_text(p, "source"));
	}
	table_print(r, t);
	table_free(t);
}

void show_targets(struct riser *r, const json_t *targets)
{
	struct table *t = table_new("TARGET|ALIAS|>LUNS|>SESSIONS|SOURCE");
	const json_t *o;

	each_member(targets, o) {
		const json_t *luns = json_object_get(o, "luns");

		table_cell(t, "%s", member_text(o, "name"));
		table_cell(t, "%s", member_text(o, "alias"));
		table_cell(t, "%lld",
			   json_is_array(luns) ? (long long)json_array_size(luns)
					       : (long long)json_integer_value(luns));
		table_cell(t, "%lld", (long long)member_number(o, "sessions"));
		table_cell(t, "%s", member_text(o, "source"));
	}
	table_print(r, t);
	table_free(t);
}

/* What hangs of LUNs that are there, or were: a line for each disk. */
static void show_hanging(struct riser *r)
{
	json_t *hanging = NULL, *error = NULL;
	const json_t *o;

	client_ask(r, "lun.hanging", NULL, &hanging, &error);
	each_member(hanging, o) {
		printf("! %s LUN %lld%s: %lld commands hang in ", shown(member_text(o, "target")),
		       (long long)member_number(o, "lun"),
		       member_true(o, "served") ? "" : ", which went by force",
		       (long long)member_number(o, "commands"));
		out_text(stdout, member_text(o, "disk"));
		printf(" since %s, and nobody waits for them\n",
		       human_seconds(member_real(o, "seconds")));
	}
	json_decref(hanging);
	json_decref(error);
}

void show_luns(struct riser *r, const json_t *luns)
{
	struct table *t = table_new("TARGET|>LUN|PATH|KIND|>SIZE|ACCESS|HEALTH|SOURCE");
	const json_t *o;

	each_member(luns, o) {
		table_cell(t, "%s", member_text(o, "target"));
		table_cell(t, "%lld", (long long)member_number(o, "lun"));
		table_cell(t, "%s", member_text(o, "path"));
		table_cell(t, "%s", member_text(o, "kind"));
		table_cell(t, "%s", human_size((uint64_t)member_number(o, "size")));
		table_cell(t, "%s", member_true(o, "readonly") ? "read-only" : "read-write");
		table_cell(t, "%s", member_text(o, "health"));
		table_color(t, health_color(member_text(o, "health")));
		table_cell(t, "%s", member_text(o, "source"));
	}
	table_print(r, t);
	table_free(t);
	show_hanging(r);
}

void show_sessions(struct riser *r, const json_t *sessions)
{
	struct table *t = table_new(
		"SESSION|INITIATOR|TARGET|FROM|OVER|USER|SINCE|>IN FLIGHT|>COMMANDS|>READ|>WRITTEN");
	const json_t *s;

	each_member(sessions, s) {
		const json_t *stats = json_object_get(s, "stats");
		const char *target = member_text(s, "target");

		table_cell(t, "%s", member_text(s, "id"));
		table_cell(t, "%s", member_text(s, "initiator"));
		table_cell(t, "%s", *target ? target : member_text(s, "type"));
		table_cell(t, "%s", member_text(s, "from"));
		table_cell(t, "%s", member_text(s, "transport"));
		table_cell(t, "%s", member_text(s, "user"));
		table_cell(t, "%s", human_since(member_text(s, "since")));
		table_cell(t, "%lld", (long long)member_number(s, "outstanding"));
		table_cell(t, "%s", human_count(member_real(stats, "commands")));
		table_cell(t, "%s", human_bytes(member_real(stats, "read_bytes")));
		table_cell(t, "%s", human_bytes(member_real(stats, "write_bytes")));
	}
	table_print(r, t);
	table_free(t);
}

const json_t *find_lun(const json_t *luns, const char *target, int64_t number)
{
	const json_t *o;

	each_member(luns, o) {
		if (member_number(o, "lun") == number &&
		    (!target || !strcmp(member_text(o, "target"), target)))
			return o;
	}
	return NULL;
}
