// SPDX-License-Identifier: BSD-2-Clause
/* iSCSI names: see name.h. */
#include "session/name.h"

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

bool name_allowed(const struct target_config *target, const char *initiator)
{
	if (target->allow_any)
		return true;
	for (unsigned int i = 0; i < target->allow_count; i++) {
		if (name_equal(target->allow[i], initiator))
			return true;
	}
	return false;
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
