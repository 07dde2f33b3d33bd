// SPDX-License-Identifier: BSD-2-Clause
/* Sections of initiators: which LUNs they see and may write, and how much may be done in a second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parse_impl.h"

static const uint64_t iops_max = 100000000;
static const uint64_t bandwidth_min = 64 << 10, bandwidth_max = 1ull << 40;
static const uint64_t burst_min = 10 * NSEC_PER_MSEC, burst_max = 3600 * NSEC_PER_SEC;
static const uint64_t burst_usual = 100 * NSEC_PER_MSEC;

/* --- Limits */

/* "10", "10s", "500ms". */
static bool parse_time(const char *value, uint64_t *ns)
{
	char digits[16];
	size_t len = strspn(value, "0123456789");
	uint64_t unit = !strcmp(value + len, "ms") ? NSEC_PER_MSEC : NSEC_PER_SEC, n;

	if (len >= sizeof(digits) ||
	    (value[len] && strcmp(value + len, "ms") != 0 && strcmp(value + len, "s") != 0))
		return false;
	memcpy(digits, value, len);
	digits[len] = '\0';
	if (!parse_number(digits, burst_max / unit, &n))
		return false;
	*ns = n * unit;
	return true;
}

static const char *set_limit(struct io_limits *limits, const char *name, const char *value)
{
	if (!strcmp(name, "iops"))
		return parse_number(value, iops_max, &limits->iops) && limits->iops
			       ? NULL
			       : "commands per second, from 1 to 100000000";
	if (!strcmp(name, "bandwidth"))
		return bs_parse_size(value, &limits->bandwidth) &&
				       limits->bandwidth >= bandwidth_min &&
				       limits->bandwidth <= bandwidth_max
			       ? NULL
			       : "bytes per second, like 100M, from 64K to 1T";
	return parse_time(value, &limits->burst_ns) && limits->burst_ns >= burst_min
		       ? NULL
		       : "a time, like 500ms or 10s, from 10ms to 3600s";
}

const char *parse_lun_limit(struct parser *p, const struct key *key, const char *value)
{
	return set_limit(&p->lun_limits, key->name, value);
}

bool parse_limits_end(struct parser *p, struct io_limits *limits, unsigned int line)
{
	if (limits->burst_ns && !io_limits_any(limits)) {
		parse_fail(p, line,
			   "burst is for how long iops and bandwidth may save up: it needs one "
			   "of them");
		return false;
	}
	if (io_limits_any(limits) && !limits->burst_ns)
		limits->burst_ns = burst_usual;
	return true;
}

/* --- Initiators */

static const char *set_initiator_limit(struct parser *p, const struct key *key, const char *value)
{
	return set_limit(&p->rights.limits, key->name, value);
}

/* "3" or "2-5". */
static bool add_luns(struct lun_set *set, const char *value)
{
	const char *dash = strchr(value, '-');
	char number[16];
	uint64_t first, last;
	size_t len = dash ? (size_t)(dash - value) : strlen(value);

	if (len >= sizeof(number))
		return false;
	memcpy(number, value, len);
	number[len] = '\0';
	if (!parse_number(number, TARGET_LUNS - 1, &first))
		return false;
	last = first;
	if (dash && (!parse_number(dash + 1, TARGET_LUNS - 1, &last) || last < first))
		return false;
	for (; first <= last; first++)
		lun_set_add(set, (unsigned int)first);
	return true;
}

static const char *set_luns(struct parser *p, const struct key *key, const char *value)
{
	(void)key;
	p->rights_mask = true;
	if (!strcmp(value, "all"))
		p->rights.sees = lun_set_all();
	else if (strcmp(value, "none") != 0 && !add_luns(&p->rights.sees, value))
		return "LUNs from 0 to 255, like { 0, 2-5 }, all or none";
	return NULL;
}

static const char *set_readonly(struct parser *p, const struct key *key, const char *value)
{
	(void)key;
	if (!strcmp(value, "on"))
		p->rights.only_reads = lun_set_all();
	else if (strcmp(value, "off") != 0 && !add_luns(&p->rights.only_reads, value))
		return "on, off, or LUNs from 0 to 255, like { 0, 2-5 }";
	return NULL;
}

const struct key initiator_keys[] = {
	{ "luns", set_luns, true },
	{ "readonly", set_readonly, true },
	{ "iops", set_initiator_limit, false },
	{ "bandwidth", set_initiator_limit, false },
	{ "burst", set_initiator_limit, false },
	{ 0 },
};

/* No value, no call: nobody would notice. */
bool parse_initiator_lists(struct parser *p, cfg_t *section)
{
	for (const cfg_opt_t *opt = section->opts; opt->name; opt++) {
		if (opt->flags & CFGF_LIST && opt->flags & CFGF_MODIFIED && !opt->nvalues) {
			parse_fail(p, (unsigned int)section->line,
				   "%s = { } has no LUN in it: %s takes LUNs, %s", opt->name,
				   opt->name,
				   strcmp(opt->name, "luns") ? "on or off" : "all or none");
			return false;
		}
	}
	return true;
}

const char *config_who(const char *title, struct initiator_rule *rule)
{
	static const char user[] = "user:";

	if (!strcmp(title, "any"))
		return NULL;
	if (!strncmp(title, user, sizeof(user) - 1)) {
		title += sizeof(user) - 1;
		if (!title[0] || strlen(title) > CHAP_NAME_MAX)
			return "the name of a CHAP user behind user:";
		snprintf(rule->user, sizeof(rule->user), "%s", title);
		return NULL;
	}
	if (parse_range(title, &rule->from)) {
		rule->by_address = true;
		return parse_range_is_canonical(&rule->from)
			       ? NULL
			       : "a network whose address has no bits beyond its length";
	}
	return name_pattern(title, rule->name)
		       ? NULL
		       : "any, an iSCSI name (iqn., eui. or naa.; \"*\" for any characters), an "
			 "address, a network like 192.0.2.0/24, or \"user:NAME\"";
}

bool parse_initiator_end(struct parser *p, const char *title, unsigned int line)
{
	struct config_target *t = &p->target;
	struct initiator_rule rule = { 0 }, *grown;
	const char *takes = config_who(title, &rule);

	if (takes)
		parse_fail(p, line, "initiator %.230s: it takes %s", title, takes);
	if (p->failed || !parse_limits_end(p, &p->rights.limits, line))
		return false;
	grown = reallocarray(t->rules, t->rule_count + 1, sizeof(*grown));
	if (!grown) {
		parse_fail(p, line, "out of memory");
		return false;
	}
	rule.rights = p->rights;
	if (!p->rights_mask)
		rule.rights.sees = lun_set_all();
	t->masked |= p->rights_mask;
	t->rules = grown;
	t->rules[t->rule_count++] = rule;
	p->rights = (struct nexus_rights){ 0 };
	p->rights_mask = false;
	p->initiator_seen = 0;
	return true;
}

static bool has_user(const struct config_users *users, const char *name)
{
	for (unsigned int i = 0; i < users->count; i++) {
		if (!strcmp(users->user[i].account.user, name))
			return true;
	}
	return false;
}

bool parse_rules_check(struct parser *p, unsigned int line)
{
	for (unsigned int i = 0; i < p->target.rule_count; i++) {
		const char *user = p->target.rules[i].user;

		if (!user[0] || has_user(&p->chap.users, user))
			continue;
		parse_fail(p, line,
			   "initiator user:%s: the target has no chap %s, so nobody can prove "
			   "to be this user",
			   user, user);
		return false;
	}
	return true;
}
