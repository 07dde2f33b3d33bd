// SPDX-License-Identifier: BSD-2-Clause
/* A configuration of the file and what was changed over it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change_impl.h"
#include "core/log.h"
#include "parse.h"
#include "secret.h"

bool change_fail(struct change_failure *f, enum rpc_status status, const char *object,
		 const char *hint, const char *fmt, ...)
{
	va_list args;

	f->status = status;
	snprintf(f->object, sizeof(f->object), "%s", object ? object : "");
	snprintf(f->hint, sizeof(f->hint), "%s", hint ? hint : "");
	va_start(args, fmt);
	vsnprintf(f->message, sizeof(f->message), fmt, args);
	va_end(args);
	return false;
}

/* --- Complaints, which come without an argument of ours. [main thread] */

static struct {
	char text[CONFIG_WHY], place[512], line[224];
} heard;

static void hear(const struct complaint *c)
{
	heard.place[0] = '\0';
	if (c->place.file && c->place.line)
		snprintf(heard.place, sizeof(heard.place), "%s:%u: ", c->place.file, c->place.line);
	else if (c->place.file)
		snprintf(heard.place, sizeof(heard.place), "%s: ", c->place.file);
	snprintf(heard.text, sizeof(heard.text), "%s", c->text);
	snprintf(heard.line, sizeof(heard.line), "%s", c->line ? c->line : "");
}

struct config *changes_parse(const char *file, const char *text, struct change_failure *failure)
{
	struct config *config = text ? config_parse_text(file, text, strlen(text), false, hear)
				     : config_parse_file(file, false, hear);

	if (!config)
		change_fail(failure, RPC_CONFIG_INVALID, file, "riser.conf(5) has the words",
			    "%s%s%s%s", heard.place, heard.text, heard.line[0] ? ": " : "",
			    heard.line);
	return config;
}

struct config *changes_parse_tree(const json_t *tree, struct change_failure *failure)
{
	struct config *config = config_parse_tree("state", tree, hear);

	/* Without the line, which nobody has written and which may have a secret. */
	if (!config)
		change_fail(failure, RPC_CONFIG_INVALID, NULL, NULL, "%s", heard.text);
	secret_wipe(heard.line, sizeof(heard.line));
	return config;
}

/* --- Places */

static const struct config_target *find_target(const struct config *c, const char *name)
{
	unsigned int low = 0, high = c->target_count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		int order = strcmp(name, c->targets[middle].name);

		if (!order)
			return &c->targets[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static const struct config_lun *find_lun(const struct config_target *t, unsigned int number)
{
	for (unsigned int i = 0; t && i < t->lun_count; i++) {
		if (t->luns[i].number == number)
			return &t->luns[i];
	}
	return NULL;
}

/* Whether a patch says something of the object itself, and not only of what is in it. */
static bool speaks_of(const json_t *patch)
{
	const json_t *value;
	const char *key;

	json_object_foreach((json_t *)patch, key, value)
	{
		if (!json_is_object(value))
			return true;
	}
	return false;
}

struct places {
	struct config *config;
	const struct config *like;
	const char *state; /* NULL: there is none */
	const json_t *saved, *runtime;
};

static struct place place_of(const struct places *p, const json_t *saved, const json_t *runtime,
			     const struct place *before)
{
	struct place place = { 0 };

	if (speaks_of(runtime))
		place.file = config_file_name(p->config, CHANGE_RUNTIME_PLACE);
	else if (speaks_of(saved) && p->state)
		place.file = config_file_name(p->config, p->state);
	else if (before && before->file)
		place = (struct place){ config_file_name(p->config, before->file), before->line };
	return place;
}

static const json_t *part(const json_t *patch, const char *section, const char *title)
{
	return json_object_get(json_object_get(patch, section), title);
}

static void settle_luns(const struct places *p, struct config_target *t,
			const struct config_target *like)
{
	const json_t *saved = part(p->saved, "target", t->name);
	const json_t *runtime = part(p->runtime, "target", t->name);
	char number[16];

	for (unsigned int i = 0; i < t->lun_count; i++) {
		struct config_lun *lun = &t->luns[i];
		const struct config_lun *before = find_lun(like, lun->number);

		snprintf(number, sizeof(number), "%u", lun->number);
		lun->place = place_of(p, part(saved, "lun", number), part(runtime, "lun", number),
				      before ? &before->place : NULL);
		/* The command line and the file derive names of disks in their own ways. */
		if (before)
			memcpy(lun->spec.scope, before->spec.scope, sizeof(lun->spec.scope));
	}
}

/* One that takes any port has found one. */
static bool same_portal(const struct config_portal *a, const struct config_portal *b)
{
	struct portal_address x = a->address, y = b->address;

	if (a->any_port != b->any_port)
		return false;
	if (a->any_port) {
		/* The port is at the same place in both families. */
		((struct sockaddr_in *)&x.addr)->sin_port = 0;
		((struct sockaddr_in *)&y.addr)->sin_port = 0;
	}
	return config_same_address(&x, &y);
}

static void settle_portals(const struct places *p)
{
	char name[64];

	for (unsigned int i = 0; i < p->config->portal_count; i++) {
		struct config_portal *portal = &p->config->portals[i];
		const struct place *before = NULL;

		for (unsigned int j = 0; j < p->like->portal_count; j++) {
			if (same_portal(portal, &p->like->portals[j]))
				before = &p->like->portals[j].place;
		}
		address_format(&portal->address.addr, name, sizeof(name));
		portal->place = place_of(p, part(p->saved, "portal", name),
					 part(p->runtime, "portal", name), before);
	}
}

/* What is in no tree, or in none that can be read again. */
static bool settle_globals(struct config *config, const struct config *like)
{
	memcpy(config->cpus, like->cpus, sizeof(config->cpus));
	config->cpu_count = like->cpu_count;
	config->memory = like->memory;
	config->busy_poll_ns = like->busy_poll_ns;
	config->log_level = like->log_level;
	config->limits = like->limits;
	config->isns = like->isns;
	free(config->state);
	config->state = like->state ? strdup(like->state) : NULL;
	return config->state || !like->state;
}

static bool settle(const struct places *p)
{
	for (unsigned int i = 0; i < p->config->target_count; i++) {
		struct config_target *t = &p->config->targets[i];
		const struct config_target *like = find_target(p->like, t->name);

		t->place =
			place_of(p, part(p->saved, "target", t->name),
				 part(p->runtime, "target", t->name), like ? &like->place : NULL);
		settle_luns(p, t, like);
	}
	settle_portals(p);
	return settle_globals(p->config, p->like);
}

/* --- All of it */

struct config *compose(const struct changes *c, const struct config *like, const json_t *base,
		       const json_t *saved, const json_t *runtime, struct change_failure *failure)
{
	struct places p = { NULL, like, c->state ? state_path(c->state) : NULL, saved, runtime };
	json_t *tree = json_deep_copy(base);
	unsigned int orphans = 0;

	if (!tree || tree_patch(tree, saved, &orphans) || tree_patch(tree, runtime, &orphans) ||
	    tree_place(tree)) {
		json_decref(tree);
		change_fail(failure, RPC_FAILED, NULL, NULL, "out of memory");
		return NULL;
	}
	if (orphans)
		log_warn("%s: %u changes are of targets or portals that %s does not have any more: "
			 "they are left out",
			 p.state ? p.state : "state", orphans, c->file ? c->file : "riserd");
	p.config = changes_parse_tree(tree, failure);
	json_decref(tree);
	if (p.config && !settle(&p)) {
		config_free(p.config);
		p.config = NULL;
		change_fail(failure, RPC_FAILED, NULL, NULL, "out of memory");
	}
	return p.config;
}

/* --- What the log says */

static void listen_to(enum log_level level, const char *text, void *arg)
{
	struct overheard *o = arg;

	if (level == LOG_LEVEL_ERROR && !o->error[0])
		snprintf(o->error, sizeof(o->error), "%s", text);
	if (level == LOG_LEVEL_WARN && !o->warnings++)
		snprintf(o->warning, sizeof(o->warning), "%s", text);
}

void overhear(struct overheard *o)
{
	*o = (struct overheard){ .warnings = 0 };
	log_listen(listen_to, o);
}

bool overheard_failure(const struct overheard *o, int err, struct change_failure *failure)
{
	const char *text = o->error[0] ? o->error : strerror(-err);
	const char *hint = strstr(text, "would end")
				   ? "--force (\"force\": true) ends these sessions"
			   : strstr(text, "would drop")
				   ? "look at the disk, or --force (\"force\": true): the "
				     "LUN goes without them"
				   : NULL;

	if (err == -EBUSY && o->warnings > 1)
		return change_fail(failure, RPC_BUSY, NULL, hint, "%s: %s, and %u more", text,
				   o->warning, o->warnings - 1);
	if (err == -EBUSY)
		return change_fail(failure, RPC_BUSY, NULL, hint, "%s%s%s", text,
				   o->warning[0] ? ": " : "", o->warning);
	return change_fail(failure, RPC_FAILED, NULL, NULL, "%s", text);
}
