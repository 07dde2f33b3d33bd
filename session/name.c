// SPDX-License-Identifier: BSD-2-Clause
/* iSCSI names: see name.h. */
#include "session/name.h"

#include <netinet/in.h>
#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f');
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* What RFC 3722 leaves of ASCII after mapping to lower case. */
static bool is_name_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == ':';
}

/* "yyyy-mm." and a naming authority of at least one character, RFC 7143 4.2.7.4. */
static bool is_iqn_rest(const char *s, size_t len)
{
	static const char shape[] = "dddd-dd.";
	size_t i;

	if (len <= sizeof(shape) - 1)
		return false;
	for (i = 0; i < sizeof(shape) - 1; i++) {
		if (shape[i] == 'd' ? !is_digit(s[i]) : s[i] != shape[i])
			return false;
	}
	if (!(s[5] == '0' && s[6] >= '1') && !(s[5] == '1' && s[6] <= '2'))
		return false;
	return s[i] != ':' && s[i] != '.';
}

static bool is_all_hex(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_hex(s[i]))
			return false;
	}
	return true;
}

static bool is_valid(const char *name, size_t len)
{
	if (len < 4)
		return false;
	if (!memcmp(name, "iqn.", 4))
		return is_iqn_rest(name + 4, len - 4);
	if (!memcmp(name, "eui.", 4))
		return len == 4 + 16 && is_all_hex(name + 4, 16);
	if (!memcmp(name, "naa.", 4))
		return (len == 4 + 16 || len == 4 + 32) && is_all_hex(name + 4, len - 4);
	return false;
}

bool name_normalize(const void *name, size_t len, char out[ISCSI_NAME_MAX + 1])
{
	const char *in = name;

	out[0] = '\0';
	if (len > ISCSI_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		out[i] = lower(in[i]);
		if (!is_name_char(out[i])) {
			out[0] = '\0';
			return false;
		}
	}
	out[len] = '\0';
	if (!is_valid(out, len)) {
		out[0] = '\0';
		return false;
	}
	return true;
}

bool name_equal(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return lower(*a) == lower(*b);
}

bool name_pattern(const char *text, char out[ISCSI_NAME_MAX + 1])
{
	size_t len = strlen(text);

	if (!strchr(text, '*'))
		return name_normalize(text, len, out);
	out[0] = '\0';
	if (len > ISCSI_NAME_MAX)
		return false;
	for (size_t i = 0; i <= len; i++) {
		out[i] = lower(text[i]);
		if (out[i] && out[i] != '*' && !is_name_char(out[i])) {
			out[0] = '\0';
			return false;
		}
	}
	return true;
}

/* Greedy with one way back: the last star takes one more character. */
static bool name_matches(const char *pattern, const char *name)
{
	const char *star = NULL, *from = NULL;

	while (*name) {
		if (*pattern == '*') {
			star = ++pattern;
			from = name;
		} else if (lower(*pattern) == lower(*name)) {
			pattern++;
			name++;
		} else if (star) {
			pattern = star;
			name = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

static bool in_range(const struct address_range *a, const struct address_range *range)
{
	unsigned int bytes = range->bits / 8, rest = range->bits % 8;

	if (a->bits < range->bits || memcmp(a->address, range->address, bytes) != 0)
		return false;
	return !rest || (uint8_t)(a->address[bytes] ^ range->address[bytes]) >> (8 - rest) == 0;
}

struct address_range address_range_of(const struct sockaddr_storage *ss)
{
	struct address_range range = { .bits = 128 };

	if (ss->ss_family == AF_INET6) {
		memcpy(range.address, &((const struct sockaddr_in6 *)ss)->sin6_addr, 16);
	} else if (ss->ss_family == AF_INET) {
		memset(range.address + 10, 0xff, 2);
		memcpy(range.address + 12, &((const struct sockaddr_in *)ss)->sin_addr, 4);
	} else {
		range.bits = 0;
	}
	return range;
}

bool address_in_range(const struct sockaddr_storage *ss, const struct address_range *range)
{
	struct address_range address = address_range_of(ss);

	return in_range(&address, range);
}

static bool allowed_from(const struct target_config *target, const struct address_range *from)
{
	for (unsigned int i = 0; from && i < target->from_count; i++) {
		if (in_range(from, &target->from[i]))
			return true;
	}
	return !target->from_count;
}

bool target_allows(const struct target_config *target, const char *initiator,
		   const struct address_range *from)
{
	if (!allowed_from(target, from))
		return false;
	if (target->allow_any)
		return true;
	for (unsigned int i = 0; i < target->allow_count; i++) {
		if (name_matches(target->allow[i], initiator))
			return true;
	}
	return false;
}

static bool rule_fits(const struct initiator_rule *rule, const char *initiator,
		      const struct address_range *from, const char *user)
{
	if (rule->name[0] && !name_matches(rule->name, initiator))
		return false;
	if (rule->by_address && !in_range(from, &rule->from))
		return false;
	return !rule->user[0] || (user && !strcmp(rule->user, user));
}

struct nexus_rights target_rights(const struct target_config *target, const char *initiator,
				  const struct address_range *from, const char *user)
{
	for (unsigned int i = 0; i < target->rule_count; i++) {
		if (rule_fits(&target->rules[i], initiator, from, user))
			return target->rules[i].rights;
	}
	return target->masked ? (struct nexus_rights){ 0 } : nexus_rights_all();
}

bool target_in_group(const struct target_config *target, uint16_t tag)
{
	for (unsigned int i = 0; i < target->tag_count; i++) {
		if (target->tags[i] == tag)
			return true;
	}
	return !target->tag_count;
}

const struct target_config *name_find_target(const struct target_config *targets,
					     unsigned int count, const char *name)
{
	for (unsigned int i = 0; i < count; i++) {
		if (name_equal(targets[i].scsi->name, name))
			return &targets[i];
	}
	return NULL;
}
