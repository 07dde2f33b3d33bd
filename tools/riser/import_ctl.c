// SPDX-License-Identifier: BSD-2-Clause
/*
 * ctl.conf of FreeBSD's ctld(8). Words, texts in quotes, braces and semicolons; lines mean nothing. Groups
 * and LUNs may be defined behind what uses them, so sections are read first and put together then.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_ctl.h"

enum { LUN_MOST = 16383 };

/* --- Words */

/* The next word, or "{", "}", ";"; NULL: the end. */
static const char *next_word(struct ctl *c)
{
	const char *from;

	for (;; c->at++) {
		if (*c->at == '#')
			c->at += strcspn(c->at, "\n");
		if (*c->at == '\n')
			c->line++;
		else if (!*c->at || !isspace((unsigned char)*c->at))
			break;
	}
	from = c->at;
	if (!*from)
		return NULL;
	if (strchr("{};", *from)) {
		c->at++;
		return import_copy(c->im, from, 1);
	}
	if (*from == '"') {
		const char *end = strchr(from + 1, '"');
		unsigned int line = c->line;

		if (!end) {
			import_fail(c->im, line, "a text in quotes has no end");
			return NULL;
		}
		for (const char *at = from; at < end; at++)
			c->line += *at == '\n';
		c->at = end + 1;
		return import_copy(c->im, from + 1, (size_t)(end - from - 1));
	}
	c->at += strcspn(from, " \t\r\n{};#\"");
	return import_copy(c->im, from, (size_t)(c->at - from));
}

/* How many words follow each key; those with a section have it behind them. */
static const struct grammar {
	const char *key;
	unsigned int words;
} grammar[] = {
	{ "auth-group", 1 },
	{ "portal-group", 1 },
	{ "target", 1 },
	{ "lun", 1 },
	{ "debug", 1 },
	{ "isns-server", 1 },
	{ "isns-period", 1 },
	{ "isns-timeout", 1 },
	{ "maxproc", 1 },
	{ "pidfile", 1 },
	{ "timeout", 1 },
	{ "auth-type", 1 },
	{ "chap", 2 },
	{ "chap-mutual", 4 },
	{ "initiator-name", 1 },
	{ "initiator-portal", 1 },
	{ "discovery-auth-group", 1 },
	{ "discovery-filter", 1 },
	{ "foreign", 0 },
	{ "listen", 1 },
	{ "listen-iser", 1 },
	{ "offload", 1 },
	{ "option", 2 },
	{ "redirect", 1 },
	{ "tag", 1 },
	{ "dscp", 1 },
	{ "pcp", 1 },
	{ "alias", 1 },
	{ "port", 1 },
	{ "backend", 1 },
	{ "blocksize", 1 },
	{ "ctl-lun", 1 },
	{ "device-id", 1 },
	{ "device-type", 1 },
	{ "path", 1 },
	{ "serial", 1 },
	{ "size", 1 },
	{ "transport-group", 1 },
	{ "controller", 1 },
	{ "host-address", 1 },
	{ "host-nqn", 1 },
	{ "namespace", 1 },
};

static const struct grammar *find_key(const char *key)
{
	for (size_t i = 0; i < sizeof(grammar) / sizeof(grammar[0]); i++) {
		if (!strcmp(grammar[i].key, key))
			return &grammar[i];
	}
	return NULL;
}

static bool peek(const struct ctl *c, char what)
{
	const char *at = c->at;

	while (*at && (isspace((unsigned char)*at) || *at == '#'))
		at += *at == '#' ? strcspn(at, "\n") : 1;
	return *at == what;
}

/* What is left on the line belongs to it too: "portal-group pg0 ag0", "lun 0 disk0". */
static void optional_word(struct ctl *c, struct statement *s)
{
	const char *at = c->at + strspn(c->at, " \t");
	const char *key = import_copy(c->im, at, strcspn(at, " \t\r\n{};#"));

	/* A whole section may stand on one line, and then the next key follows. */
	if (*key && !find_key(key) &&
	    (!strcmp(s->word[0], "portal-group") || !strcmp(s->word[0], "lun")))
		s->word[s->words++] = next_word(c);
}

/* before: the key of the statement in front of it on its line, or NULL. */
static void read_words(struct ctl *c, struct statement *s, const char *before)
{
	const struct grammar *g = find_key(s->word[0]);

	if (!g) {
		/* Behind a secret it may be the rest of it. */
		if (before && !strncmp(before, "chap", 4))
			import_fail(c->im, s->line, "%s has too many words", before);
		import_fail(c->im, s->line, "'%s' is no word of ctl.conf(5)%s", s->word[0],
			    strchr(s->word[0], '=') || strchr(s->word[0], ':')
				    ? ": is this the UCL form? only the usual one is read"
				    : "");
		return;
	}
	for (unsigned int i = 0; i < g->words && !c->im->failed; i++) {
		const char *word = peek(c, '{') || peek(c, '}') ? NULL : next_word(c);

		if (!word || (!strcmp(word, ";") && c->at[-1] == ';')) {
			import_fail(c->im, s->line, "%s takes %u words", s->word[0], g->words);
			return;
		}
		s->word[s->words++] = word;
	}
	optional_word(c, s);
}

/* Sections stand three deep at most: target { lun { option } }. */
static void read_section(struct ctl *c, struct statement *out, unsigned int depth)
{
	const char *word;

	while (!c->im->failed && (word = next_word(c))) {
		struct statement *s;

		if (!strcmp(word, ";"))
			continue;
		if (!strcmp(word, "}")) {
			if (!depth)
				import_fail(c->im, c->line, "a } without its {");
			return;
		}
		s = import_more(c->im, &out->inside, &out->count, sizeof(*s));
		*s = (struct statement){ .word = { word }, .words = 1, .line = c->line };
		read_words(c, s, out->count > 1 && s[-1].line == s->line ? s[-1].word[0] : NULL);
		if (c->im->failed || !peek(c, '{'))
			continue;
		next_word(c);
		if (depth == 2) {
			import_fail(c->im, s->line, "%s takes no section here", s->word[0]);
			return;
		}
		read_section(c, s, depth + 1);
	}
	if (!c->im->failed && depth)
		import_fail(c->im, out->line, "the section %s %s has no end", out->word[0],
			    out->words > 1 ? out->word[1] : "");
}

bool ctl_is(const struct statement *s, const char *key)
{
	return !strcmp(s->word[0], key);
}

const struct statement *ctl_section(const struct ctl *c, const char *key, const char *name)
{
	for (size_t i = 0; i < c->root.count; i++) {
		const struct statement *s = &c->root.inside[i];

		if (ctl_is(s, key) && s->words > 1 && !strcmp(s->word[1], name))
			return s;
	}
	return NULL;
}

/* --- LUNs */

static void take_option(struct ctl *c, struct import_lun *l, const struct statement *s)
{
	const char *name = s->word[1], *value = s->word[2];

	if (!strcmp(name, "naa"))
		l->naa = value + (!strncasecmp(value, "0x", 2) ? 2 : 0);
	else if (!strcmp(name, "eui"))
		l->eui = value + (!strncasecmp(value, "0x", 2) ? 2 : 0);
	else if (!strcmp(name, "readonly"))
		l->readonly = strcmp(value, "off") != 0;
	else if (!strcmp(name, "pblocksize"))
		l->physical_block_size = (unsigned int)strtoul(value, NULL, 10);
	else if (!strcmp(name, "removable"))
		l->removable = !strcmp(value, "on");
	else if (strcmp(name, "unmap") || strcmp(value, "on"))
		import_note(c->im, s->line,
			    "option %s %s: not carried over: riser has nothing "
			    "like it",
			    name, value);
}

static void take_lun_key(struct ctl *c, struct import_lun *l, const struct statement *s, bool *ram)
{
	char *end;

	if (ctl_is(s, "path"))
		l->path = s->word[1];
	else if (ctl_is(s, "serial"))
		l->serial = s->word[1];
	else if (ctl_is(s, "backend"))
		*ram = !strcmp(s->word[1], "ramdisk");
	else if (ctl_is(s, "option"))
		take_option(c, l, s);
	else if (ctl_is(s, "device-type"))
		; /* looked at already */
	else if (ctl_is(s, "blocksize"))
		l->block_size = (unsigned int)strtoul(s->word[1], &end, 10);
	else if (!ctl_is(s, "size"))
		import_note(c->im, s->line,
			    "%s %s: not carried over: riser makes the names of a "
			    "LUN from its serial number",
			    s->word[0], s->word[1]);
	else if (!import_size(s->word[1], &l->size))
		import_fail(c->im, s->line, "size %s: is no size", s->word[1]);
}

static bool is_other_device(const struct statement *section)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct statement *s = &section->inside[i];

		if (ctl_is(s, "device-type") && strcmp(s->word[1], "0") &&
		    strcmp(s->word[1], "disk") && strcmp(s->word[1], "direct"))
			return true;
	}
	return false;
}

static void take_lun(struct ctl *c, struct import_target *t, const struct statement *s)
{
	const struct statement *body = s;
	struct import_lun lun = { .file = c->im->file, .line = s->line }, *at;
	unsigned long number;
	bool ram = false;
	char *end;

	number = strtoul(s->word[1], &end, 10);
	if (!isdigit((unsigned char)s->word[1][0]) || *end || number > LUN_MOST) {
		import_fail(c->im, s->line, "lun takes a number");
		return;
	}
	lun.number = (unsigned int)number;
	if (s->words > 2)
		body = ctl_section(c, "lun", s->word[2]);
	if (!body) {
		import_fail(c->im, s->line, "there is no lun %s", s->word[2]);
		return;
	}
	for (size_t i = 0; i < body->count; i++)
		take_lun_key(c, &lun, &body->inside[i], &ram);
	if (is_other_device(body) || (!ram && !lun.path)) {
		import_note(c->im, s->line, "lun %u: left out: %s", lun.number,
			    lun.path ? "riser serves disks only" : "it has no path");
		return;
	}
	if (ram) {
		lun.path = import_text(c->im, "ram:%llu", (unsigned long long)lun.size);
		lun.size = 0;
		import_note(c->im, s->line,
			    "lun %u: is a ram disk: it is empty now, and after each "
			    "restart",
			    lun.number);
	}
	at = import_more(c->im, &t->luns, &t->lun_count, sizeof(*at));
	*at = lun;
}

/* --- Targets and portals */

static void add_portal(struct ctl *c, struct import_target *t, const char *address,
		       const char *redirect)
{
	size_t i = import_portal(c->im, address, NULL);
	size_t *at = import_more(c->im, &t->portals, &t->portal_count, sizeof(*at));

	c->im->portals[i].redirect = redirect;
	*at = i;
}

static void take_default_portals(struct ctl *c, struct import_target *t)
{
	add_portal(c, t, "0.0.0.0:3260", NULL);
	add_portal(c, t, "[::]:3260", NULL);
}

/* Of a section: whether it is the portals of another host, and where all of them send initiators. */
static bool is_foreign(const struct statement *group, const char **redirect)
{
	bool foreign = false;

	for (size_t i = 0; i < group->count; i++) {
		if (ctl_is(&group->inside[i], "redirect"))
			*redirect = group->inside[i].word[1];
		foreign |= ctl_is(&group->inside[i], "foreign");
	}
	return foreign;
}

/* A group that listens nowhere, or on another host only, adds none. */
static void take_portals(struct ctl *c, struct import_target *t, const char *name,
			 unsigned int line)
{
	const struct statement *group = ctl_section(c, "portal-group", name);
	const char *redirect = NULL;

	if (!group && !strcmp(name, "default"))
		take_default_portals(c, t);
	else if (!group)
		import_fail(c->im, line, "there is no portal-group %s", name);
	if (!group || is_foreign(group, &redirect))
		return;
	for (size_t i = 0; i < group->count; i++) {
		const struct statement *s = &group->inside[i];

		if (ctl_is(s, "listen") || ctl_is(s, "listen-iser"))
			add_portal(c, t, s->word[1], redirect);
	}
}

static void take_target_key(struct ctl *c, struct import_target *t, const struct statement *s)
{
	if (ctl_is(s, "alias"))
		t->alias = s->word[1];
	else if (ctl_is(s, "portal-group"))
		take_portals(c, t, s->word[1], s->line);
	else if (ctl_is(s, "lun"))
		take_lun(c, t, s);
	else if (ctl_is(s, "redirect"))
		t->redirect = s->word[1];
	else if (!ctl_is_auth(s) && !ctl_is(s, "auth-group"))
		import_note(c->im, s->line, "%s %s: not carried over: riser has nothing like it",
			    s->word[0], s->words > 1 ? s->word[1] : "");
}

static void take_target(struct ctl *c, const struct statement *section)
{
	struct import_target *t =
		import_more(c->im, &c->im->targets, &c->im->target_count, sizeof(*t));
	const char *name = section->word[1];
	bool groups = false;

	/* A short name stands behind the usual prefix. */
	if (!strchr(name, '.') && !strchr(name, ':')) {
		name = import_text(c->im, "iqn.2012-06.org.freebsd:%s", name);
		import_note(c->im, section->line, "target %s: has no full name: is renamed to %s",
			    section->word[1], name);
	}
	*t = (struct import_target){ .name = name, .file = c->im->file, .line = section->line };
	for (size_t i = 0; i < section->count; i++) {
		groups |= ctl_is(&section->inside[i], "portal-group");
		take_target_key(c, t, &section->inside[i]);
	}
	if (!groups)
		take_portals(c, t, "default", section->line);
	ctl_access(c, t, section);
	/* Without any it would be at all of riser's. */
	if (!t->portal_count)
		t->closed = "its portal-groups do not listen on this host";
}

static void take_discovery(struct ctl *c, const struct statement *group)
{
	for (size_t i = 0; i < group->count; i++) {
		const struct statement *s = &group->inside[i], *users;

		if (ctl_is(s, "discovery-auth-group")) {
			users = ctl_section(c, "auth-group", s->word[1]);
			for (size_t j = 0; users && j < users->count; j++) {
				if (!strncmp(users->inside[j].word[0], "chap", 4))
					ctl_chap(c, &users->inside[j], &c->im->discovery,
						 &c->im->discovery_count);
			}
			if (!users && strcmp(s->word[1], "no-authentication") != 0)
				import_note(
					c->im, s->line,
					"discovery-auth-group %s: not carried over: riser shows "
					"an initiator the targets that it may use",
					s->word[1]);
		} else if (!ctl_is(s, "listen") && !ctl_is(s, "listen-iser") &&
			   !ctl_is(s, "redirect") && !ctl_is(s, "tag")) {
			import_note(c->im, s->line,
				    "%s%s%s: not carried over: riser has nothing like it",
				    s->word[0], s->words > 1 ? " " : "",
				    s->words > 1 ? s->word[1] : "");
		}
	}
}

static void take_isns(struct ctl *c, const struct statement *s)
{
	if (c->im->isns)
		import_note(c->im, s->line,
			    "isns-server %s: is left out: riser tells one server, and that is %s",
			    s->word[1], c->im->isns);
	else if (!import_isns(c->im, s->word[1], NULL))
		import_note(c->im, s->line,
			    "isns-server %s: is left out: isns of riser.conf takes an address in "
			    "numbers, with a port if that is not 3205",
			    s->word[1]);
}

static void take_global(struct ctl *c, const struct statement *s)
{
	if (ctl_is(s, "target"))
		take_target(c, s);
	else if (ctl_is(s, "portal-group"))
		take_discovery(c, s);
	else if (ctl_is(s, "isns-server"))
		take_isns(c, s);
	else if (ctl_is(s, "isns-period") || ctl_is(s, "isns-timeout"))
		import_note(c->im, s->line,
			    "%s %s: not carried over: riser registers again as often as the server "
			    "asks for it",
			    s->word[0], s->word[1]);
	else if (ctl_is(s, "transport-group") || ctl_is(s, "controller"))
		import_note(c->im, s->line, "%s %s: left out: riser serves iSCSI and iSER, no NVMe",
			    s->word[0], s->word[1]);
	else if (ctl_is(s, "timeout"))
		import_note(c->im, s->line, "timeout %s: not carried over: riser has login-timeout",
			    s->word[1]);
	else if (!ctl_is(s, "auth-group") && !ctl_is(s, "lun") && !ctl_is(s, "debug") &&
		 !ctl_is(s, "pidfile"))
		import_note(c->im, s->line, "%s: not carried over: riser has nothing like it",
			    s->word[0]);
}

void import_ctl(struct import *im, const char *path)
{
	struct ctl c = { .im = im, .line = 1 };
	size_t len;

	c.at = import_read(im, path, &len, 0);
	if (!c.at)
		return;
	im->file = path;
	read_section(&c, &c.root, 0);
	for (size_t i = 0; i < c.root.count && !im->failed; i++)
		take_global(&c, &c.root.inside[i]);
}
