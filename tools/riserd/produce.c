// SPDX-License-Identifier: BSD-2-Clause
/* The command line as a configuration: one target, DISK number i is LUN i. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "options.h"

static void add_portals(const struct options *o, struct config *c)
{
	for (unsigned int i = 0; i < o->portal_count; i++) {
		const struct option_portal *p = &o->portals[i];

		c->portals[c->portal_count++] = (struct config_portal){
			.address = p->address,
			.transports = p->transports,
			.tag = p->tag,
			.access = p->access,
			.access_given = p->access_given,
			.preferred = p->preferred,
			.any_port = !((const struct sockaddr_in *)&p->address.addr)->sin_port,
		};
	}
}

static void move_users(struct option_users *from, struct config_users *to)
{
	to->user = from->user;
	to->count = from->count;
	from->user = NULL;
	from->count = 0;
}

static bool add_disks(const struct options *o, struct config_target *t)
{
	for (unsigned int i = 0; i < o->disk_count; i++) {
		struct config_lun *lun = config_add_lun(t);

		if (!lun)
			return false;
		lun->number = i;
		lun->spec = o->disks[i];
		memcpy(lun->spec.scope, o->target_name, sizeof(o->target_name));
	}
	return true;
}

/* --- The same as a tree (tree.h), so that commands can change it */

static const char *const access_names[] = {
	[ACCESS_OPTIMIZED] = "optimized", [ACCESS_NON_OPTIMIZED] = "non-optimized",
	[ACCESS_STANDBY] = "standby",	  [ACCESS_UNAVAILABLE] = "unavailable",
	[ACCESS_OFFLINE] = "offline",
};

static void set_text(json_t *object, const char *key, const char *value)
{
	if (value && value[0])
		json_object_set_new(object, key, json_string_nocheck(value)); /* any bytes */
}

static void set_number(json_t *object, const char *key, uint64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	json_object_set_new(object, key, json_string(text));
}

static void set_hex(json_t *object, const char *key, const uint8_t *bytes, size_t len)
{
	char text[2 * CHAP_SECRET_MAX + 1] = "";

	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	set_text(object, key, text);
}

static json_t *portal_tree(const struct config *c)
{
	static const char *const transports[] = { "", "tcp", "iser", "all" };
	json_t *portals = json_object();
	char address[64];

	for (unsigned int i = 0; i < c->portal_count; i++) {
		const struct config_portal *p = &c->portals[i];
		json_t *one = json_object();

		address_format(&p->address.addr, address, sizeof(address));
		set_text(one, "transports", transports[p->transports]);
		set_number(one, "tag", p->tag);
		if (p->access_given)
			set_text(one, "access", access_names[p->access]);
		if (p->preferred)
			set_text(one, "preferred", "on");
		json_object_set_new(portals, address, one);
	}
	return portals;
}

static json_t *user_tree(const struct config_users *users)
{
	json_t *all = json_object();

	for (unsigned int i = 0; i < users->count; i++) {
		const struct chap_user *u = &users->user[i];
		json_t *one = json_object();

		set_hex(one, "secret-hex", u->account.secret, u->account.secret_len);
		set_text(one, "mutual", u->mutual.user);
		set_hex(one, "mutual-secret-hex", u->mutual.secret, u->mutual.secret_len);
		json_object_set_new_nocheck(all, u->account.user, one);
	}
	return all;
}

/* DISK: keys and values behind the first comma; two commas are one. */
static json_t *lun_tree(const char *disk)
{
	json_t *lun = json_object();
	const char *at = disk;
	char part[8192], *equal;

	for (bool first = true; first || *at; first = false) {
		size_t len = 0;

		for (; *at && (*at != ',' || at[1] == ','); at++) {
			at += *at == ',';
			if (len + 1 < sizeof(part))
				part[len++] = *at;
		}
		part[len] = '\0';
		at += *at == ',';
		equal = strchr(part, '=');
		if (!first && equal)
			*equal++ = '\0';
		if (first || equal)
			set_text(lun, first ? "path" : part, first ? part : equal);
	}
	return lun;
}

static json_t *target_tree(const struct options *o, const struct config_target *t)
{
	json_t *target = json_object(), *allow = json_array(), *luns = json_object();
	char number[16], redirect[REDIRECT_MAX + 16];

	set_text(target, "alias", t->alias);
	if (t->allow_any)
		json_array_append_new(allow, json_string("any"));
	for (unsigned int i = 0; i < t->allow_count; i++)
		json_array_append_new(allow, json_string(t->allow[i]));
	json_object_set_new(target, "allow", allow);
	snprintf(redirect, sizeof(redirect), "%s%s", t->redirect,
		 t->redirect_permanent ? ",permanent" : "");
	if (t->redirect[0])
		set_text(target, "redirect", redirect);
	if (t->allow_cold_reset)
		set_text(target, "allow-cold-reset", "on");
	if (t->chap.count)
		json_object_set_new(target, "chap", user_tree(&t->chap));
	for (unsigned int i = 0; i < o->disk_count; i++) {
		snprintf(number, sizeof(number), "%u", i);
		json_object_set_new(luns, number, lun_tree(o->disk_texts[i]));
	}
	json_object_set_new(target, "lun", luns);
	return target;
}

static void add_globals(const struct options *o, json_t *tree)
{
	char cpus[8 * OPTION_CPUS] = "", isns[64];

	for (unsigned int i = 0; i < o->cpu_count; i++)
		snprintf(cpus + strlen(cpus), sizeof(cpus) - strlen(cpus), "%s%d", i ? "," : "",
			 o->cpus[i]);
	if (o->cpu_count && o->cpus[0] >= 0)
		set_text(tree, "cpus", cpus);
	set_number(tree, "memory", o->memory);
	set_number(tree, "busy-poll", o->busy_poll_ns / NSEC_PER_USEC);
	if (o->state && o->state[0] == '/')
		set_text(tree, "state", o->state);
	set_text(tree, "log", options_log_level_name(o->log_level));
	if (o->isns.len) {
		address_format(&o->isns.addr, isns, sizeof(isns));
		set_text(tree, "isns", isns);
	}
	set_number(tree, "login-timeout", o->limits.login_timeout_s);
	set_number(tree, "data-timeout", o->limits.data_timeout_s);
	set_number(tree, "nop-interval", o->limits.nop_interval_s);
	set_number(tree, "max-connections", o->limits.max_connections);
	set_number(tree, "session-connections", o->limits.session_connections);
	set_number(tree, "error-recovery-level", o->limits.error_recovery_level);
	set_number(tree, "login-failures", o->limits.login_failures);
}

/* What it makes is freed with c; without memory it is not complete, which only commands notice. */
static void make_tree(const struct options *o, struct config *c, const struct config_target *t)
{
	json_t *targets = json_object(), *discovery = json_object();

	add_globals(o, c->tree);
	json_object_set_new(c->tree, "portal", portal_tree(c));
	if (c->discovery_chap.count) {
		json_object_set_new(discovery, "chap", user_tree(&c->discovery_chap));
		json_object_set(c->tree, "discovery", discovery);
	}
	json_decref(discovery);
	json_object_set_new(targets, t->name, target_tree(o, t));
	json_object_set_new(c->tree, "target", targets);
}

struct config *options_to_config(struct options *o)
{
	struct config *c = config_new();
	struct config_target *t = c ? config_add_target(c) : NULL;

	if (!t || !add_disks(o, t)) {
		config_free(c);
		return NULL;
	}
	add_portals(o, c);
	memcpy(t->name, o->target_name, sizeof(t->name));
	memcpy(t->alias, o->alias, sizeof(t->alias));
	memcpy(t->redirect, o->redirect, sizeof(o->redirect));
	t->redirect_permanent = o->redirect_permanent;
	t->allow_cold_reset = o->allow_cold_reset;
	t->allow_any = o->allow_any;
	t->allow = o->allow;
	t->allow_count = o->allow_count;
	o->allow = NULL;
	move_users(&o->chap, &t->chap);
	move_users(&o->discovery_chap, &c->discovery_chap);
	c->state = o->state ? strdup(o->state) : NULL;
	memcpy(c->cpus, o->cpus, sizeof(c->cpus));
	c->cpu_count = o->cpu_count;
	c->memory = o->memory;
	c->busy_poll_ns = o->busy_poll_ns;
	c->log_level = o->log_level;
	c->limits = o->limits;
	c->isns = o->isns;
	make_tree(o, c, t);
	if (o->state && !c->state) {
		config_free(c);
		return NULL;
	}
	return c;
}
