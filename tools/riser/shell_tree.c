// SPDX-License-Identifier: BSD-2-Clause
/* Places in the shell's tree, and completion there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "complete.h"
#include "out.h"
#include "shell.h"

/* '*' is any name. What is below: names of a kind, or fixed ones. */
static const struct node {
	const char *path;
	enum kind below;
	const char *fixed;
	const char *command; /* lists it: "1" and "3" are names of the place */
} nodes[] = {
	{ "", KIND_WORD, "portals targets sessions", "status" },
	{ "/portals", KIND_PORTAL, NULL, "portal list" },
	{ "/portals/*", KIND_NONE, NULL, "portal show 1" },
	{ "/targets", KIND_TARGET, NULL, "target list" },
	{ "/targets/*", KIND_WORD, "luns sessions", "target show 1" },
	{ "/targets/*/luns", KIND_LUN, NULL, "lun list 1" },
	{ "/targets/*/luns/*", KIND_NONE, NULL, "lun show 1 3" },
	{ "/targets/*/sessions", KIND_SESSION, NULL, "session list 1" },
	{ "/targets/*/sessions/*", KIND_NONE, NULL, "session show 3" },
	{ "/sessions", KIND_SESSION, NULL, "session list" },
	{ "/sessions/*", KIND_NONE, NULL, "session show 1" },
};

static bool is_node(const struct node *n, const struct place *p)
{
	const char *at = n->path;

	for (unsigned int i = 0; i < p->depth; i++) {
		size_t len = *at == '/' ? strcspn(at + 1, "/") : 0;

		if (!len || (at[1] != '*' && (strlen(p->names[i]) != len ||
					      strncmp(at + 1, p->names[i], len) != 0)))
			return false;
		at += 1 + len;
	}
	return !*at;
}

static const struct node *node_at(const struct place *p)
{
	for (unsigned int i = 0; i < sizeof(nodes) / sizeof(*nodes); i++) {
		if (is_node(&nodes[i], p))
			return &nodes[i];
	}
	return NULL;
}

const char *place_text(const struct place *p, char *buf)
{
	size_t used = 0;

	snprintf(buf, PLACE_TEXT, "/");
	for (unsigned int i = 0; i < p->depth; i++)
		used += (size_t)snprintf(buf + used, PLACE_TEXT - used, "/%.*s", PLACE_NAME - 2,
					 p->names[i]);
	return buf;
}

const char *place_value(const struct place *p, enum kind kind)
{
	bool target = p->depth > 1 && !strcmp(p->names[0], "targets");

	switch (kind) {
	case KIND_TARGET: return target ? p->names[1] : NULL;
	case KIND_LUN:
		return target && p->depth > 3 && !strcmp(p->names[2], "luns") ? p->names[3] : NULL;
	case KIND_SESSION:
		if (target && p->depth > 3 && !strcmp(p->names[2], "sessions"))
			return p->names[3];
		return p->depth > 1 && !strcmp(p->names[0], "sessions") ? p->names[1] : NULL;
	case KIND_PORTAL:
		return p->depth > 1 && !strcmp(p->names[0], "portals") ? p->names[1] : NULL;
	default: return NULL;
	}
}

int place_command(struct place *p, char *words[4])
{
	static char buf[64];
	char *rest = buf, *word;
	int count = 0;

	snprintf(buf, sizeof(buf), "%s", node_at(p)->command);
	while (count < 4 && (word = strsep(&rest, " ")))
		words[count++] = *word == '1' ? p->names[1] : *word == '3' ? p->names[3] : word;
	return count;
}

/* --- going --- */

struct search {
	const char *name;
	char found[PLACE_NAME];
	unsigned int count; /* of those that end in :name */
	bool exact;
};

static void compare(void *arg, const char *word, const char *about)
{
	struct search *s = arg;
	const char *colon = strrchr(word, ':');
	bool exact = !strcmp(word, s->name);

	(void)about;
	if (s->exact || (!exact && (!colon || strcmp(colon + 1, s->name) != 0)))
		return;
	s->exact = exact;
	s->count++;
	snprintf(s->found, sizeof(s->found), "%s", word);
}

static void each_below(struct riser *r, const struct place *p, offer_fn *offer, void *arg)
{
	const struct node *n = node_at(p);
	struct word w = { .kind = n ? n->below : KIND_NONE, .words = n ? n->fixed : NULL };

	if (n && n->below != KIND_NONE)
		complete_kind(r, &w, place_value(p, KIND_TARGET), offer, arg);
}

static enum status down(struct riser *r, struct place *p, const char *name)
{
	struct search s = { .name = name };
	char here[PLACE_TEXT];

	if (!strcmp(name, ".") || !*name)
		return STATUS_OK;
	if (!strcmp(name, "..")) {
		p->depth -= p->depth > 0;
		return STATUS_OK;
	}
	if (p->depth < PLACE_DEPTH)
		each_below(r, p, compare, &s);
	if (!s.exact && s.count != 1)
		return fail(r, STATUS_NOT_FOUND, name, s.count ? "give the whole name" : "see ls",
			    s.count ? "%s could be more than one in %s" : "there is no %s in %s",
			    name, place_text(p, here));
	snprintf(p->names[p->depth++], PLACE_NAME, "%s", s.found);
	return STATUS_OK;
}

enum status place_go(struct riser *r, struct place *p, const char *path)
{
	char buf[PLACE_TEXT], *rest = buf, *name;
	enum status status = STATUS_OK;

	snprintf(buf, sizeof(buf), "%s", path);
	if (*path == '/')
		p->depth = 0;
	while (!status && (name = strsep(&rest, "/")))
		status = down(r, p, name);
	return status;
}

/* --- completion --- */

enum { CANDIDATES = 256 };

struct candidates {
	const char *beginning;
	char *words[CANDIDATES];
	unsigned int count;
};

static void collect(void *arg, const char *word, const char *about)
{
	struct candidates *c = arg;

	(void)about;
	if (*word != ':' && !strncmp(word, c->beginning, strlen(c->beginning)) &&
	    c->count < CANDIDATES && (c->words[c->count] = strdup(word)))
		c->count++;
}

static void complete_path(struct riser *r, const struct place *at, const char *path,
			  struct candidates *c)
{
	struct place there = *at;
	const char *slash = strrchr(path, '/');
	struct riser quiet = *r;
	char folder[PLACE_TEXT];

	c->beginning = slash ? slash + 1 : path;
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 0, path);
	/* Where the way leads nowhere there is nothing to offer, and nobody has asked yet. */
	for (char *rest = *folder == '/' ? folder + 1 : folder, *name;
	     *folder && (name = strsep(&rest, "/"));) {
		struct search s = { .name = name };

		if (*folder == '/' && name == folder + 1)
			there.depth = 0;
		if (!*name || !strcmp(name, "."))
			continue;
		if (!strcmp(name, "..")) {
			there.depth -= there.depth > 0;
			continue;
		}
		each_below(&quiet, &there, compare, &s);
		r->client = quiet.client;
		if ((!s.exact && s.count != 1) || there.depth == PLACE_DEPTH)
			return;
		snprintf(there.names[there.depth++], PLACE_NAME, "%s", s.found);
	}
	each_below(&quiet, &there, collect, c);
	r->client = quiet.client;
}

static void offer_own(struct candidates *c)
{
	static const char *const own[] = { "cd", "ls", "pwd", "exit" };

	for (unsigned int i = 0; i < sizeof(own) / sizeof(*own); i++)
		collect(c, own[i], "");
}

/* How far all of them are the same. */
static size_t common(const struct candidates *c)
{
	size_t len = c->count ? strlen(c->words[0]) : 0;

	for (unsigned int i = 1; i < c->count; i++) {
		size_t same = 0;

		while (same < len && c->words[i][same] == c->words[0][same])
			same++;
		len = same;
	}
	return len;
}

static bool answer(const struct candidates *c, bool path, char insert[COMPLETE_INSERT])
{
	size_t typed = strlen(c->beginning), len = common(c);

	*insert = 0;
	if (!c->count)
		return false;
	if (c->count == 1 || len > typed) {
		snprintf(insert, COMPLETE_INSERT, "%.*s%s", (int)(len - typed), c->words[0] + typed,
			 c->count > 1 ? ""
			 : path	      ? "/"
				      : " ");
		return false;
	}
	putchar('\n');
	for (unsigned int i = 0; i < c->count; i++) {
		out_text(stdout, c->words[i]);
		printf("%s", i + 1 < c->count ? "  " : "\n");
	}
	return true;
}

bool shell_complete(struct riser *r, const struct place *p, const char *line, size_t len,
		    char insert[COMPLETE_INSERT])
{
	char buf[1024], *rest = buf, *word, *words[64];
	struct candidates c = { .beginning = "" };
	bool path = false, shown;
	int count = 0;

	*insert = 0;
	snprintf(buf, sizeof(buf), "%.*s", (int)len, line);
	while (count < 63 && (word = strsep(&rest, " \t"))) {
		if (*word || !rest) /* the last one may be empty: it has not been begun */
			words[count++] = word;
	}
	if (!count)
		return false;
	path = count == 2 && (!strcmp(words[0], "cd") || !strcmp(words[0], "ls"));
	if (path) {
		complete_path(r, p, words[1], &c);
	} else {
		c.beginning = words[count - 1];
		if (count == 1)
			offer_own(&c);
		complete_words(r, count, words, collect, &c);
	}
	shown = answer(&c, path, insert);
	for (unsigned int i = 0; i < c.count; i++)
		free(c.words[i]);
	return shown;
}
