// SPDX-License-Identifier: BSD-2-Clause
/* The text form of a disk: "ram:SIZE", "null:SIZE" or a path, then ",key=value" options. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/slab.h"
#include "driver.h"

enum { DEFAULT_BLOCK = 512, PHYSICAL_MAX = 1 << 20 };

int bs_fail(int err, char *why, size_t why_size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, why_size, fmt, args);
	va_end(args);
	return err;
}

bool bs_parse_size(const char *text, uint64_t *bytes)
{
	static const char suffixes[] = "KMGT";
	const char *p = text, *found;
	uint64_t n = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return false;
	}
	if (p == text)
		return false;
	if (*p) {
		found = strchr(suffixes, *p >= 'a' ? *p - ('a' - 'A') : *p);
		if (!found || p[1] ||
		    __builtin_mul_overflow(n, 1ull << (10 * (found - suffixes + 1)), &n))
			return false;
	}
	*bytes = n;
	return true;
}

int bs_check_size(const struct bs_spec *spec, char *why, size_t why_size)
{
	uint32_t block = spec->block_size ? spec->block_size : DEFAULT_BLOCK;

	if (!spec->size || spec->size % block)
		return bs_fail(
			-EINVAL, why, why_size,
			"a size of %llu bytes is not a positive multiple of the block size, %u",
			(unsigned long long)spec->size, block);
	if (spec->size > INT64_MAX)
		return bs_fail(-EINVAL, why, why_size, "a size of %llu bytes is too large",
			       (unsigned long long)spec->size);
	return 0;
}

void bs_memory_limits(const struct bs_spec *spec, struct bs_limits *limits)
{
	*limits = (struct bs_limits){
		.size = spec->size,
		.block_size = spec->block_size ? spec->block_size : DEFAULT_BLOCK,
		.physical_block_size = 4096,
		.read_only = spec->read_only,
		.can_unmap = true,
		.unmap_granularity = 4096,
		/* Forgotten, given back and filled with zeros by the kernel, or overwritten. */
		.can_erase = true,
		/* Power failure leaves nothing of the disk: no part of a write either. */
		.atomic_max = BUF_MAX,
		.atomic_granularity = spec->block_size ? spec->block_size : DEFAULT_BLOCK,
		.lends_pointers = true,
	};
}

/* Options */

static bool parse_switch(const char *value, bool *out)
{
	*out = !strcmp(value, "on");
	return *out || !strcmp(value, "off");
}

static bool set_readonly(struct bs_spec *spec, const char *value)
{
	return parse_switch(value, &spec->read_only);
}

static bool set_removable(struct bs_spec *spec, const char *value)
{
	return parse_switch(value, &spec->removable);
}

static bool set_direct(struct bs_spec *spec, const char *value)
{
	return parse_switch(value, &spec->direct);
}

static bool set_block_size(struct bs_spec *spec, const char *value)
{
	spec->block_size = !strcmp(value, "512") ? 512 : !strcmp(value, "4096") ? 4096 : 0;
	return spec->block_size != 0;
}

static bool set_physical_block_size(struct bs_spec *spec, const char *value)
{
	uint64_t bytes;

	if (!bs_parse_size(value, &bytes) || bytes < 512 || bytes > PHYSICAL_MAX ||
	    (bytes & (bytes - 1)))
		return false;
	spec->physical_block_size = (uint32_t)bytes;
	return true;
}

static bool set_size(struct bs_spec *spec, const char *value)
{
	return bs_parse_size(value, &spec->size) && spec->size > 0;
}

static bool set_serial(struct bs_spec *spec, const char *value)
{
	size_t len = strlen(value);

	for (size_t i = 0; i < len; i++) {
		if (value[i] <= 0x20 || value[i] > 0x7e)
			return false;
	}
	if (!len || len >= sizeof(spec->serial))
		return false;
	memcpy(spec->serial, value, len + 1);
	return true;
}

/* Two hex digits a byte; the lengths that may be, in bytes, as bits. */
static bool parse_hex(const char *value, uint32_t lengths, uint8_t out[16], uint8_t *out_len)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = strlen(value);

	if (len % 2 || len > 32 || !(lengths >> len / 2 & 1))
		return false;
	for (size_t i = 0; i < len; i++) {
		const char *digit = strchr(digits, value[i] | 0x20);

		if (!digit || value[i] < '0')
			return false;
		out[i / 2] = (uint8_t)(out[i / 2] << 4 | (digit - digits));
	}
	*out_len = (uint8_t)(len / 2);
	return true;
}

/* SPC 7.7.6.6: the first digit says which kind of name it is, and so how long. */
static bool set_naa(struct bs_spec *spec, const char *value)
{
	struct bs_designators *d = &spec->designators;
	uint32_t length = value[0] == '6'			? 1 << 16
			  : value[0] && strchr("235", value[0]) ? 1 << 8
								: 0;

	return parse_hex(value, length, d->naa, &d->naa_len);
}

static bool set_eui(struct bs_spec *spec, const char *value)
{
	struct bs_designators *d = &spec->designators;

	return parse_hex(value, 1 << 8 | 1 << 12 | 1 << 16, d->eui, &d->eui_len);
}

static bool set_fault(struct bs_spec *spec, const char *value)
{
	size_t len = strlen(value);

	if (!len || len >= sizeof(spec->fault))
		return false;
	memcpy(spec->fault, value, len + 1);
	return true;
}

static bool set_pi(struct bs_spec *spec, const char *value)
{
	if (value[0] < '1' || value[0] > '3' || value[1])
		return false;
	spec->protection = (uint8_t)(value[0] - '0');
	return true;
}

static bool set_pi_path(struct bs_spec *spec, const char *value)
{
	size_t len = strlen(value);

	if (!len || len >= sizeof(spec->protection_path))
		return false;
	memcpy(spec->protection_path, value, len + 1);
	return true;
}

static const struct option {
	const char *key;
	bool (*set)(struct bs_spec *spec, const char *value);
	const char *takes;
	bool file_only;
} options[] = {
	{ "readonly", set_readonly, "on or off", false },
	{ "block-size", set_block_size, "512 or 4096", false },
	{ "physical-block-size", set_physical_block_size, "a power of two from 512 to 1M", false },
	{ "removable", set_removable, "on or off", false },
	{ "direct", set_direct, "on or off", true },
	{ "size", set_size, "a size such as 512M or 10G", true },
	{ "serial", set_serial, "1 to 36 printable ASCII characters without spaces", false },
	{ "naa", set_naa, "16 hex digits that begin with 2, 3 or 5, or 32 that begin with 6",
	  false },
	{ "eui", set_eui, "16, 24 or 32 hex digits", false },
	{ "pi", set_pi, "1, 2 or 3", false },
	{ "pi-path", set_pi_path, "the path of a file, up to 500 bytes", true },
	{ "fault", set_fault, "1 to 255 characters of rules", false },
};

struct parser {
	const char *rest; /* behind the last comma, NULL at the end */
	uint32_t seen; /* bit per option */
	char *why;
	size_t why_size;
};

/* The next part up to a comma; two commas are one that belongs to the part. False: too long. */
static bool next_part(struct parser *p, char *part, size_t size)
{
	const char *in = p->rest;
	size_t used = 0;

	for (; *in && (*in != ',' || in[1] == ','); in++) {
		if (used + 1 >= size)
			return false;
		part[used++] = *in;
		if (*in == ',')
			in++;
	}
	part[used] = '\0';
	p->rest = *in ? in + 1 : NULL;
	return true;
}

static int parse_option(struct parser *p, struct bs_spec *spec, char *part)
{
	char *value = strchr(part, '=');
	const struct option *o = NULL;

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < array_size(options); i++) {
		if (!strcmp(options[i].key, part))
			o = &options[i];
	}
	if (!o)
		return bs_fail(
			-EINVAL, p->why, p->why_size,
			"unknown option '%s'; there are readonly, removable, block-size, "
			"physical-block-size, direct, size, serial, naa, eui, pi, pi-path, fault",
			part);
	if (!value)
		return bs_fail(-EINVAL, p->why, p->why_size, "option %s needs a value: %s", o->key,
			       o->takes);
	if (o->file_only && strcmp(spec->driver, "file"))
		return bs_fail(-EINVAL, p->why, p->why_size,
			       "option %s is for files and block devices, not for %s", o->key,
			       spec->driver);
	if (p->seen & 1u << (o - options))
		return bs_fail(-EINVAL, p->why, p->why_size, "option %s is given twice", o->key);
	p->seen |= 1u << (o - options);
	if (!o->set(spec, value))
		return bs_fail(-EINVAL, p->why, p->why_size, "%s=%s: %s takes %s", o->key, value,
			       o->key, o->takes);
	return 0;
}

/* "ram:1G", "null:1G", "file:PATH", PATH */
static int parse_what(struct parser *p, struct bs_spec *spec)
{
	static const char *const prefixes[] = { "ram", "null", "file" };
	const char *arg = spec->path;
	size_t len;

	if (!next_part(p, spec->path, sizeof(spec->path)))
		return bs_fail(-EINVAL, p->why, p->why_size, "the path is longer than %zu bytes",
			       sizeof(spec->path) - 1);
	snprintf(spec->driver, sizeof(spec->driver), "file");
	for (size_t i = 0; i < array_size(prefixes); i++) {
		len = strlen(prefixes[i]);
		if (strncmp(arg, prefixes[i], len) || arg[len] != ':')
			continue;
		snprintf(spec->driver, sizeof(spec->driver), "%s", prefixes[i]);
		arg += len + 1;
		break;
	}
	if (strcmp(spec->driver, "file")) {
		if (!bs_parse_size(arg, &spec->size) || !spec->size)
			return bs_fail(-EINVAL, p->why, p->why_size,
				       "'%s' is not a size; write it like %s:512M or %s:10G", arg,
				       spec->driver, spec->driver);
		spec->path[0] = '\0';
		return 0;
	}
	memmove(spec->path, arg, strlen(arg) + 1);
	if (!spec->path[0])
		return bs_fail(-EINVAL, p->why, p->why_size, "the path is empty");
	return 0;
}

int bs_parse(const char *text, struct bs_spec *spec, char *why, size_t why_size)
{
	struct parser p = { .rest = text, .why = why, .why_size = why_size };
	char part[512];
	int err;

	memset(spec, 0, sizeof(*spec));
	err = parse_what(&p, spec);
	while (!err && p.rest) {
		if (!next_part(&p, part, sizeof(part)))
			return bs_fail(-EINVAL, why, why_size, "an option is too long");
		err = parse_option(&p, spec, part);
	}
	if (err)
		return err;
	if (spec->protection_path[0] && !spec->protection)
		return bs_fail(-EINVAL, why, why_size,
			       "pi-path= does nothing without pi=1, 2 or 3");
	if (spec->fault[0]) {
		err = bs_check_fault(spec->fault, why, why_size);
		if (err)
			return err;
	}
	return spec->size ? bs_check_size(spec, why, why_size) : 0;
}
