// SPDX-License-Identifier: BSD-2-Clause
/* The keys of the configuration file, one row each, and what a whole section makes. */
#include <arpa/inet.h>
#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parse_impl.h"
#include "secret.h"

static const char failed[] = ""; /* parse_fail() has said it */

/* --- Global keys */

static const char *set_cpus(struct parser *p, const struct key *key, const char *value)
{
	(void)key;
	return options_parse_cpus(value, p->config->cpus, &p->config->cpu_count)
		       ? NULL
		       : "CPUs that riserd may use, like 0,2-3";
}

static const char *set_memory(struct parser *p, const struct key *key, const char *value)
{
	(void)key;
	return bs_parse_size(value, &p->config->memory) && p->config->memory >= 4u << 20 &&
			       p->config->memory <= 1ull << 40
		       ? NULL
		       : "a size from 4M to 1T";
}

static const char *set_busy_poll(struct parser *p, const struct key *key, const char *value)
{
	uint64_t us;

	(void)key;
	if (!parse_number(value, 1000000, &us))
		return "microseconds from 0 to 1000000";
	p->config->busy_poll_ns = us * NSEC_PER_USEC;
	return NULL;
}

static const char *set_log(struct parser *p, const struct key *key, const char *value)
{
	(void)key;
	return options_parse_log_level(value, &p->config->log_level) ? NULL
								     : "error, warn, info or debug";
}

static const char *set_state(struct parser *p, const struct key *key, const char *value)
{
	(void)key;
	if (value[0] != '/')
		return "the absolute path of a folder";
	p->config->state = strdup(value);
	return p->config->state ? NULL : "memory that there is not";
}

static const char *set_isns(struct parser *p, const struct key *key, const char *value)
{
	(void)key;
	return options_make_isns(value, &p->config->isns)
		       ? NULL
		       : "an IP address, with a port if that is not 3205, like 192.0.2.1:3205";
}

static const struct limit {
	const char *name;
	size_t at; /* in struct server_limits */
	uint32_t min, max;
	const char *takes;
} limits[] = {
	{ "login-timeout", offsetof(struct server_limits, login_timeout_s), 1, 86400,
	  "seconds from 1 to 86400" },
	{ "data-timeout", offsetof(struct server_limits, data_timeout_s), 1, 86400,
	  "seconds from 1 to 86400" },
	{ "nop-interval", offsetof(struct server_limits, nop_interval_s), 0, 86400,
	  "seconds from 0 to 86400" },
	{ "max-connections", offsetof(struct server_limits, max_connections), 1, 60000,
	  "a number from 1 to 60000" },
	{ "session-connections", offsetof(struct server_limits, session_connections), 1, 256,
	  "a number from 1 to 256" },
	{ "error-recovery-level", offsetof(struct server_limits, error_recovery_level), 0, 2,
	  "0, 1 or 2" },
	{ "login-failures", offsetof(struct server_limits, login_failures), 0, 32,
	  "a number from 0 to 32" },
};

static const char *set_limit(struct parser *p, const struct key *key, const char *value)
{
	uint64_t n;

	for (unsigned int i = 0; i < array_size(limits); i++) {
		const struct limit *l = &limits[i];

		if (strcmp(l->name, key->name) != 0)
			continue;
		if (!parse_number(value, l->max, &n) || n < l->min)
			return l->takes;
		*(uint32_t *)((char *)&p->config->limits + l->at) = (uint32_t)n;
		return NULL;
	}
	return failed;
}

const struct key global_keys[] = {
	{ "cpus", set_cpus, false },
	{ "memory", set_memory, false },
	{ "busy-poll", set_busy_poll, false },
	{ "log", set_log, false },
	{ "state", set_state, false },
	{ "isns", set_isns, false },
	{ "login-timeout", set_limit, false },
	{ "data-timeout", set_limit, false },
	{ "nop-interval", set_limit, false },
	{ "max-connections", set_limit, false },
	{ "session-connections", set_limit, false },
	{ "error-recovery-level", set_limit, false },
	{ "login-failures", set_limit, false },
	{ 0 },
};

/* --- Portals */

static const char *set_portal(struct parser *p, const struct key *key, const char *value)
{
	const char *name = strcmp(key->name, "transports") ? key->name : "transport";

	return options_set_portal(&p->portal, name, value);
}

static const char *set_portal_redirect(struct parser *p, const struct key *key, const char *value)
{
	(void)key;
	return options_make_redirect(value, p->portal_redirect, &p->portal_redirect_permanent);
}

const struct key portal_keys[] = {
	{ "transports", set_portal, false },
	{ "tag", set_portal, false },
	{ "access", set_portal, false },
	{ "preferred", set_portal, false },
	{ "redirect", set_portal_redirect, false },
	{ 0 },
};

/* A target above names all portals of this group, and not this one. */
static bool is_complete(const struct config *c, uint16_t tag)
{
	for (unsigned int i = 0; i < c->target_count; i++) {
		const struct config_target *t = &c->targets[i];

		for (unsigned int j = 0; j < t->tag_count; j++) {
			if (t->tags[j] == tag)
				return true;
		}
	}
	return false;
}

bool parse_portal_end(struct parser *p, const char *title, unsigned int line)
{
	struct config *c = p->config;
	struct config_portal *out = &c->portals[c->portal_count];
	struct option_portal *in = &p->portal;

	line = parse_line_of(p, line, title);
	if (c->portal_count == CONFIG_PORTALS) {
		parse_fail(p, line, "more than %d portals", CONFIG_PORTALS);
	} else if (!options_parse_address(title, &in->address)) {
		parse_fail(
			p, line,
			"portal %s: not ADDR, ADDR:PORT or [IPV6]:PORT (a link-local address with "
			"its link: [fe80::1%%eth0])",
			title);
	} else if (is_complete(c, in->tag ? in->tag : 1)) {
		parse_fail(p, line,
			   "portal %s: a target above names the portals of portal group %u without "
			   "it: put it above, or give it another tag",
			   title, in->tag ? in->tag : 1);
	} else {
		if (!in->transports)
			in->transports =
				options_is_loopback(&in->address) ? PORTAL_TCP : PORTAL_ALL;
		*out = (struct config_portal){
			.address = in->address,
			.transports = in->transports,
			.tag = in->tag ? in->tag : 1,
			.access = in->access,
			.access_given = in->access_given,
			.preferred = in->preferred,
			.any_port = !((const struct sockaddr_in *)&in->address.addr)->sin_port,
			.redirect_permanent = p->portal_redirect_permanent,
			.place = { p->source->name, line },
		};
		memcpy(out->redirect, p->portal_redirect, sizeof(out->redirect));
		c->portal_count++;
	}
	p->portal = (struct option_portal){ 0 };
	p->portal_redirect[0] = '\0';
	p->portal_redirect_permanent = false;
	p->portal_seen = 0;
	return !p->failed;
}

/* --- Targets */

static const char *set_alias(struct parser *p, const struct key *key, const char *value)
{
	size_t len = strlen(value);

	(void)key;
	for (size_t i = 0; i < len; i++) {
		if (iscntrl((unsigned char)value[i]))
			return "a text without control characters";
	}
	if (len < 1 || len >= sizeof(p->target.alias))
		return "1 to 255 bytes";
	memcpy(p->target.alias, value, len + 1);
	return NULL;
}

bool parse_range(const char *value, struct address_range *out)
{
	char text[INET6_ADDRSTRLEN];
	const char *slash = strchr(value, '/');
	size_t len = slash ? (size_t)(slash - value) : strlen(value);
	uint64_t bits, most;

	if (len >= sizeof(text))
		return false;
	memcpy(text, value, len);
	text[len] = '\0';
	*out = (struct address_range){ .bits = 0 };
	if (inet_pton(AF_INET, text, out->address + 12) == 1) {
		memset(out->address + 10, 0xff, 2);
		most = 32;
	} else if (inet_pton(AF_INET6, text, out->address) == 1) {
		most = 128;
	} else {
		return false;
	}
	bits = most;
	if (slash && !parse_number(slash + 1, most, &bits))
		return false;
	out->bits = (uint8_t)(128 - most + bits);
	return true;
}

bool parse_range_is_canonical(const struct address_range *r)
{
	for (unsigned int bit = r->bits; bit < 128; bit++) {
		if (r->address[bit / 8] >> (7 - bit % 8) & 1)
			return false;
	}
	return true;
}

static const char *set_allow(struct parser *p, const struct key *key, const char *value)
{
	struct config_target *t = &p->target;
	struct address_range range;
	char name[ISCSI_NAME_MAX + 1];
	void *grown;

	(void)key;
	if (!strcmp(value, "any")) {
		t->allow_any = true;
		return NULL;
	}
	if (parse_range(value, &range)) {
		if (!parse_range_is_canonical(&range))
			return "a network whose address has no bits beyond its length";
		grown = reallocarray(t->from, t->from_count + 1, sizeof(*t->from));
		if (!grown)
			return "memory that there is not";
		t->from = grown;
		t->from[t->from_count++] = range;
		return NULL;
	}
	if (!name_pattern(value, name))
		return "any, iSCSI names (iqn., eui. or naa.; \"*\" for any characters), addresses "
		       "and networks like 192.0.2.0/24";
	grown = reallocarray(t->allow, t->allow_count + 1, sizeof(*t->allow));
	if (!grown)
		return "memory that there is not";
	t->allow = grown;
	memcpy(t->allow[t->allow_count++], name, sizeof(name));
	return NULL;
}

static const char *set_portals(struct parser *p, const struct key *key, const char *value)
{
	struct portal_address address;
	void *grown;

	(void)key;
	if (!options_parse_address(value, &address))
		return "addresses of portals";
	grown = reallocarray(p->target_portals, p->target_portal_count + 1,
			     sizeof(*p->target_portals));
	if (!grown)
		return "memory that there is not";
	p->target_portals = grown;
	p->target_portals[p->target_portal_count++] = address;
	return NULL;
}

static const char *set_target_redirect(struct parser *p, const struct key *key, const char *value)
{
	(void)key;
	return options_make_redirect(value, p->target.redirect, &p->target.redirect_permanent);
}

static const char *set_cold_reset(struct parser *p, const struct key *key, const char *value)
{
	(void)key;
	p->target.allow_cold_reset = !strcmp(value, "on");
	return p->target.allow_cold_reset || !strcmp(value, "off") ? NULL : "on or off";
}

const struct key target_keys[] = {
	{ "alias", set_alias, false },
	{ "allow", set_allow, true },
	{ "portals", set_portals, true },
	{ "redirect", set_target_redirect, false },
	{ "allow-cold-reset", set_cold_reset, false },
	{ 0 },
};

/* The tags of the portals that the target names; NULL or what is wrong. */
static const char *find_tags(struct parser *p, struct config_target *t)
{
	const struct config *c = p->config;

	for (unsigned int i = 0; i < p->target_portal_count; i++) {
		unsigned int at = 0, known = 0;

		while (at < c->portal_count &&
		       !config_same_address(&c->portals[at].address, &p->target_portals[i]))
			at++;
		if (at == c->portal_count)
			return "portals has an address that no portal above has";
		while (known < t->tag_count && t->tags[known] != c->portals[at].tag)
			known++;
		if (known == TARGET_PORTS)
			return "portals has too many portal groups";
		if (known == t->tag_count)
			t->tags[t->tag_count++] = c->portals[at].tag;
	}
	/* A portal group serves a target with all of its portals. */
	for (unsigned int i = 0; i < c->portal_count && t->tag_count; i++) {
		bool in_group = false, named = false;

		for (unsigned int j = 0; j < t->tag_count; j++)
			in_group |= t->tags[j] == c->portals[i].tag;
		for (unsigned int j = 0; j < p->target_portal_count; j++)
			named |= config_same_address(&c->portals[i].address, &p->target_portals[j]);
		if (in_group && !named)
			return "portals has one portal of a group and not all: give those that the "
			       "target shall not have another tag";
	}
	return NULL;
}

bool parse_target_end(struct parser *p, const char *title, unsigned int line)
{
	struct config_target *t;
	const char *wrong = NULL;

	line = parse_line_of(p, line, title);
	if (!name_normalize(title, strlen(title), p->target.name))
		parse_fail(p, line, "target %.200s: not an iSCSI name (iqn., eui. or naa.)", title);
	wrong = find_tags(p, &p->target);
	if (wrong)
		parse_fail(p, line, "target %.200s: %s", title, wrong);
	parse_rules_check(p, line);
	if (p->failed)
		return false;
	t = config_add_target(p->config);
	if (!t) {
		parse_fail(p, line, "out of memory");
		return false;
	}
	p->target.place = (struct place){ p->source->name, line };
	p->target.chap = p->chap.users;
	for (unsigned int i = 0; i < p->target.lun_count; i++) {
		struct bs_spec *spec = &p->target.luns[i].spec;

		/* A disk that has no other identity has its place. */
		snprintf(spec->scope, sizeof(spec->scope), "%u %.210s", p->target.luns[i].number,
			 p->target.name);
	}
	/* Only addresses: any name will do. */
	if (p->target.from_count && !p->target.allow_count)
		p->target.allow_any = true;
	*t = p->target;
	p->target = (struct config_target){ 0 };
	p->chap.users = (struct config_users){ 0 };
	free(p->target_portals);
	p->target_portals = NULL;
	p->target_portal_count = 0;
	p->target_seen = 0;
	return true;
}

/* --- LUNs */

/* Commas are doubled, as bs_parse() has it. False: there is no room. */
static bool append(char *out, size_t size, const char *text)
{
	size_t used = strlen(out);

	for (; *text; text++) {
		if (used + 3 > size)
			return false;
		out[used++] = *text;
		if (*text == ',')
			out[used++] = ',';
		out[used] = '\0';
	}
	return true;
}

static const char *set_path(struct parser *p, const struct key *key, const char *value)
{
	(void)key;
	if (!value[0])
		return "ram:SIZE, null:SIZE, or the path of a file or block device";
	return append(p->lun_path, sizeof(p->lun_path), value) ? NULL : "less than 4096 bytes";
}

/* Each for itself first, so that the mistake has its line. */
static const char *set_disk_key(struct parser *p, const struct key *key, const char *value)
{
	char option[1024] = "", text[1100], why[CONFIG_WHY];
	size_t used = strlen(p->lun);
	struct bs_spec spec;

	if (!append(option, sizeof(option), value))
		return "less than 1000 bytes";
	snprintf(text, sizeof(text), "/x%s,%s=%s", strcmp(key->name, "pi-path") ? "" : ",pi=1",
		 key->name, option);
	if (bs_parse(text, &spec, why, sizeof(why)) &&
	    /* sizes are of blocks that another key gives */
	    !(!strcmp(key->name, "size") && bs_parse_size(value, &spec.size) && spec.size)) {
		parse_fail(p, p->line, "%s", why);
		return failed;
	}
	if (used + strlen(key->name) + strlen(option) + 3 > sizeof(p->lun))
		return "less";
	snprintf(p->lun + used, sizeof(p->lun) - used, ",%s=%s", key->name, option);
	return NULL;
}

const struct key lun_keys[] = {
	{ "path", set_path, false },
	{ "readonly", set_disk_key, false },
	{ "block-size", set_disk_key, false },
	{ "physical-block-size", set_disk_key, false },
	{ "removable", set_disk_key, false },
	{ "direct", set_disk_key, false },
	{ "size", set_disk_key, false },
	{ "serial", set_disk_key, false },
	{ "naa", set_disk_key, false },
	{ "eui", set_disk_key, false },
	{ "pi", set_disk_key, false },
	{ "pi-path", set_disk_key, false },
	{ "fault", set_disk_key, false },
	/* how much in a second */
	{ "iops", parse_lun_limit, false },
	{ "bandwidth", parse_lun_limit, false },
	{ "burst", parse_lun_limit, false },
	{ 0 },
};

bool parse_lun_end(struct parser *p, const char *title, unsigned int line)
{
	char text[sizeof(p->lun) + sizeof(p->lun_path)], why[CONFIG_WHY];
	struct config_lun *lun;
	uint64_t number;

	if (!parse_number(title, TARGET_LUNS - 1, &number))
		parse_fail(p, line, "lun %.64s: not a number from 0 to %d", title, TARGET_LUNS - 1);
	else if (!p->lun_path[0])
		parse_fail(p, line,
			   "lun %s: has no path; it takes ram:SIZE, null:SIZE, or the path "
			   "of a file or block device",
			   title);
	else if (!parse_limits_end(p, &p->lun_limits, line))
		return false;
	if (p->failed)
		return false;
	lun = config_add_lun(&p->target);
	if (!lun) {
		parse_fail(p, line, "out of memory");
		return false;
	}
	snprintf(text, sizeof(text), "%s%s", p->lun_path, p->lun);
	lun->number = (unsigned int)number;
	lun->limits = p->lun_limits;
	lun->place = (struct place){ p->source->name, line };
	if (bs_parse(text, &lun->spec, why, sizeof(why)))
		parse_fail(p, line, "lun %s: %s", title, why);
	p->lun[0] = p->lun_path[0] = '\0';
	p->lun_limits = (struct io_limits){ 0 };
	p->lun_seen = 0;
	return !p->failed;
}

/* --- All of it */

/* Whether only this machine can reach the target. */
static bool on_loopback(const struct config *c, const struct config_target *t)
{
	for (unsigned int i = 0; i < c->portal_count; i++) {
		bool there = !t->tag_count;

		for (unsigned int j = 0; j < t->tag_count; j++)
			there |= t->tags[j] == c->portals[i].tag;
		if (there && !options_is_loopback(&c->portals[i].address))
			return false;
	}
	return true;
}

bool parse_settle(struct parser *p)
{
	struct config *c = p->config;

	if (!c->portal_count) {
		c->portals[0] = (struct config_portal){ .transports = PORTAL_TCP, .tag = 1 };
		options_parse_address("127.0.0.1", &c->portals[0].address);
		c->portal_count = 1;
	}
	for (unsigned int i = 0; i < c->target_count; i++) {
		struct config_target *t = &c->targets[i];

		if (t->allow_any || t->allow_count)
			continue;
		if (!on_loopback(c, t)) {
			parse_fail_at(p, &t->place,
				      "this target has no allow, and a portal that is not on a "
				      "loopback address; it takes allow = { iqn..., 192.0.2.0/24 } "
				      "or allow = { any }");
			return false;
		}
		t->allow_any = true;
	}
	return true;
}

void parse_forget(struct parser *p)
{
	struct config_target *t = &p->target;

	if (p->chap.users.user)
		secret_wipe(p->chap.users.user, CHAP_USERS_MAX * sizeof(*p->chap.users.user));
	free(p->chap.users.user);
	secret_wipe(&p->chap, sizeof(p->chap));
	free(t->allow);
	free(t->from);
	free(t->rules);
	free(t->luns);
	free(p->target_portals);
}
