// SPDX-License-Identifier: BSD-2-Clause
/* A riser.conf of what was imported. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"

struct writer {
	struct import *im;
	struct import_output *out;
	const char *folder;
	FILE *to;
	unsigned int *tags; /* of each portal */
};

/* A word as libconfuse reads it. */
static void put_word(FILE *to, const char *word)
{
	bool plain = *word != '\0';

	for (const char *c = word; *c; c++)
		plain &= isalnum((unsigned char)*c) || strchr(".:/_-", *c) != NULL;
	/* // begins a comment, and a colon would be taken for the end of a key. */
	if (plain && !strstr(word, "//")) {
		fputs(word, to);
		return;
	}
	fputc('"', to);
	for (const char *c = word; *c; c++) {
		if (strchr("\"\\$", *c))
			fputc('\\', to);
		fputc(*c, to);
	}
	fputc('"', to);
}

static void put_key(FILE *to, const char *key, const char *value)
{
	fprintf(to, " %s = ", key);
	put_word(to, value);
}

/* --- Portals */

static bool uses(const struct import_target *t, size_t portal)
{
	for (size_t i = 0; i < t->portal_count; i++) {
		if (t->portals[i] == portal)
			return true;
	}
	return !t->portal_count;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

/* A target is at all portals of a group or at none. */
static bool same_group(const struct import *im, size_t a, size_t b)
{
	const struct import_portal *p = im->portals;

	if (!same_text(p[a].group, p[b].group) || !same_text(p[a].redirect, p[b].redirect))
		return false;
	for (size_t i = 0; i < im->target_count; i++) {
		if (uses(&im->targets[i], a) != uses(&im->targets[i], b))
			return false;
	}
	return true;
}

static void number_portals(struct writer *w)
{
	unsigned int groups = 0;

	w->tags = import_alloc(w->im, (w->im->portal_count + 1) * sizeof(*w->tags));
	for (size_t i = 0; i < w->im->portal_count; i++) {
		for (size_t j = 0; j < i && !w->tags[i]; j++) {
			if (same_group(w->im, i, j))
				w->tags[i] = w->tags[j];
		}
		if (!w->tags[i])
			w->tags[i] = ++groups;
	}
}

static void put_portals(struct writer *w)
{
	for (size_t i = 0; i < w->im->portal_count; i++) {
		const struct import_portal *p = &w->im->portals[i];

		fputs("portal ", w->to);
		fprintf(w->to, "\"%s\" {", p->address);
		if (w->tags[i] > 1)
			fprintf(w->to, " tag = %u", w->tags[i]);
		if (p->redirect)
			fprintf(w->to, " redirect = \"%s\"", p->redirect);
		fputs(" }\n", w->to);
	}
	if (!w->im->portal_count)
		fputs("portal \"0.0.0.0:3260\" { }\nportal \"[::]:3260\" { }\n", w->to);
}

/* --- Users */

static bool is_taken(const struct import_output *out, const char *path, const char *secret,
		     bool *same)
{
	for (size_t i = 0; i < out->secret_count; i++) {
		if (strcmp(out->secrets[i].path, path) != 0)
			continue;
		*same = !strcmp(out->secrets[i].secret, secret);
		return true;
	}
	return false;
}

/* The file for a secret: named after the user, one for all targets while it is the same. */
static const char *secret_path(struct writer *w, const char *user, const char *secret)
{
	char *name = import_alloc(w->im, strlen(user) + 1);
	struct import_secret *s;
	const char *path;
	bool same = false;

	for (size_t i = 0; user[i]; i++) {
		bool fine = isalnum((unsigned char)user[i]) || strchr("-_.", user[i]);

		name[i] = fine && (i || user[i] != '.') ? user[i] : '_';
	}
	path = import_text(w->im, "%s/%s", w->folder, name);
	for (unsigned int n = 2; is_taken(w->out, path, secret, &same) && !same; n++)
		path = import_text(w->im, "%s/%s-%u", w->folder, name, n);
	if (!same) {
		s = import_more(w->im, &w->out->secrets, &w->out->secret_count, sizeof(*s));
		*s = (struct import_secret){ path, secret };
	}
	return path;
}

static void put_users(struct writer *w, const struct import_user *users, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct import_user *u = &users[i];

		fputs("    chap ", w->to);
		put_word(w->to, u->name);
		fputs(" {", w->to);
		put_key(w->to, "secret-file", secret_path(w, u->name, u->secret));
		if (u->mutual_name) {
			put_key(w->to, "mutual", u->mutual_name);
			put_key(w->to, "mutual-secret-file",
				secret_path(w, u->mutual_name, u->mutual_secret));
		}
		fputs(" }\n", w->to);
	}
}

/* --- Targets */

static void put_allow(struct writer *w, const struct import_target *t)
{
	const char *comma = "";

	fputs("    allow = {", w->to);
	for (size_t i = 0; i < t->name_count; i++, comma = ",") {
		fprintf(w->to, "%s ", comma);
		put_word(w->to, t->names[i]);
	}
	for (size_t i = 0; i < t->address_count && !t->any; i++, comma = ",") {
		fprintf(w->to, "%s ", comma);
		put_word(w->to, t->addresses[i]);
	}
	if (!*comma)
		fprintf(w->to, " %s", t->any ? "any" : IMPORT_NOBODY);
	fputs(" }\n", w->to);
}

static void put_target_portals(struct writer *w, const struct import_target *t)
{
	const char *comma = "";

	if (!t->portal_count || t->portal_count == w->im->portal_count)
		return;
	fputs("    portals = {", w->to);
	for (size_t i = 0; i < t->portal_count; i++, comma = ",")
		fprintf(w->to, "%s \"%s\"", comma, w->im->portals[t->portals[i]].address);
	fputs(" }\n", w->to);
}

static void put_lun(struct writer *w, const struct import_lun *l)
{
	fprintf(w->to, "    lun %u {", l->number);
	put_key(w->to, "path", l->path);
	if (l->size)
		fprintf(w->to, " size = %llu", (unsigned long long)l->size);
	if (l->block_size && l->block_size != 512)
		fprintf(w->to, " block-size = %u", l->block_size);
	if (l->physical_block_size)
		fprintf(w->to, " physical-block-size = %u", l->physical_block_size);
	if (l->readonly)
		fputs(" readonly = on", w->to);
	if (l->removable)
		fputs(" removable = on", w->to);
	if (l->direct)
		fputs(" direct = on", w->to);
	if (l->serial)
		put_key(w->to, "serial", l->serial);
	if (l->naa)
		put_key(w->to, "naa", l->naa);
	if (l->eui)
		put_key(w->to, "eui", l->eui);
	fputs(" }\n", w->to);
}

static bool has_lun(const struct import_target *t, unsigned int number)
{
	for (size_t i = 0; i < t->lun_count; i++) {
		if (t->luns[i].number == number)
			return true;
	}
	return false;
}

/* Only LUNs that are there; with none of them the word. */
static void put_numbers(FILE *to, const struct import_target *t, const char *key,
			const unsigned int *luns, size_t count, const char *none)
{
	const char *comma = "{ ";

	fprintf(to, " %s = ", key);
	for (size_t i = 0; i < count; i++) {
		if (!has_lun(t, luns[i]))
			continue;
		fprintf(to, "%s%u", comma, luns[i]);
		comma = ", ";
	}
	fputs(comma[0] == '{' ? none : " }", to);
}

static void put_view(FILE *to, const struct import_target *t, const struct import_view *v)
{
	fputs("    initiator ", to);
	put_word(to, v->who);
	fputs(" {", to);
	if (v->all)
		fputs(" luns = all", to);
	else
		put_numbers(to, t, "luns", v->luns, v->lun_count, "none");
	if (v->all_readonly)
		fputs(" readonly = on", to);
	else if (v->readonly_count)
		put_numbers(to, t, "readonly", v->readonly, v->readonly_count, "off");
	fputs(" }\n", to);
}

static void put_target(struct writer *w, const struct import_target *t)
{
	fputs("\ntarget ", w->to);
	put_word(w->to, t->name);
	fputs(" {\n", w->to);
	if (t->alias) {
		fputs("   ", w->to);
		put_key(w->to, "alias", t->alias);
		fputc('\n', w->to);
	}
	put_target_portals(w, t);
	if (t->redirect)
		fprintf(w->to, "    redirect = \"%s\"\n", t->redirect);
	put_allow(w, t);
	put_users(w, t->users, t->user_count);
	for (size_t i = 0; i < t->view_count; i++)
		put_view(w->to, t, &t->views[i]);
	for (size_t i = 0; i < t->lun_count; i++)
		put_lun(w, &t->luns[i]);
	fputs("}\n", w->to);
}

void import_write(struct import *im, const char *folder, struct import_output *out)
{
	struct writer w = { .im = im, .out = out, .folder = folder };
	char *text = NULL;
	size_t len = 0;

	*out = (struct import_output){ 0 };
	w.to = open_memstream(&text, &len);
	if (!w.to) {
		perror("riser");
		exit(1);
	}
	if (im->isns) {
		fputs("isns = ", w.to);
		put_word(w.to, im->isns);
		fputs("\n\n", w.to);
	}
	number_portals(&w);
	put_portals(&w);
	if (im->discovery_count) {
		fputs("\ndiscovery {\n", w.to);
		put_users(&w, im->discovery, im->discovery_count);
		fputs("}\n", w.to);
	}
	for (size_t i = 0; i < im->target_count; i++)
		put_target(&w, &im->targets[i]);
	fclose(w.to);
	out->text = import_copy(im, text, len);
	free(text);
}
