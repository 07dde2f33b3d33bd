// SPDX-License-Identifier: BSD-2-Clause
/* The memory of an import, its notes, and what all formats have in common. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import.h"

enum { FILE_MOST = 64 << 20, NAME_MOST = 223 };

struct import_block {
	struct import_block *next;
	size_t size;
	max_align_t data[];
};

void *import_alloc(struct import *im, size_t size)
{
	struct import_block *b = calloc(1, sizeof(*b) + size);

	if (!b) {
		fputs("riser: out of memory\n", stderr);
		exit(1);
	}
	b->size = size;
	b->next = im->blocks;
	im->blocks = b;
	return b->data;
}

void import_free(struct import *im)
{
	struct import_block *next;

	for (struct import_block *b = im->blocks; b; b = next) {
		next = b->next;
		explicit_bzero(b->data, b->size);
		free(b);
	}
	*im = (struct import){ 0 };
}

void *import_more(struct import *im, void *array, size_t *count, size_t size)
{
	char *items;

	memcpy(&items, array, sizeof(items));
	/* There is room up to the next power of two. */
	if (!(*count & (*count - 1)) || !*count) {
		char *grown = import_alloc(im, (*count ? *count * 2 : 1) * size);

		if (*count)
			memcpy(grown, items, *count * size);
		items = grown;
		memcpy(array, &items, sizeof(items));
	}
	return items + (*count)++ * size;
}

const char *import_copy(struct import *im, const char *text, size_t len)
{
	char *copy = import_alloc(im, len + 1);

	memcpy(copy, text, len);
	return copy;
}

__attribute__((format(printf, 2, 0))) static const char *format(struct import *im, const char *fmt,
								va_list args)
{
	va_list again;
	char *text;
	int len;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	text = import_alloc(im, (size_t)(len > 0 ? len : 0) + 1);
	if (len > 0)
		vsnprintf(text, (size_t)len + 1, fmt, again);
	va_end(again);
	return text;
}

const char *import_text(struct import *im, const char *fmt, ...)
{
	const char *text;
	va_list args;

	va_start(args, fmt);
	text = format(im, fmt, args);
	va_end(args);
	return text;
}

static void add_note(struct import *im, unsigned int line, const char *text)
{
	struct import_note *n = import_more(im, &im->notes, &im->note_count, sizeof(*n));

	*n = (struct import_note){ im->file, line, text };
}

void import_note(struct import *im, unsigned int line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_note(im, line, format(im, fmt, args));
	va_end(args);
}

bool import_fail(struct import *im, unsigned int line, const char *fmt, ...)
{
	va_list args;

	if (im->failed)
		return false;
	va_start(args, fmt);
	add_note(im, line, format(im, fmt, args));
	va_end(args);
	im->failed = true;
	return false;
}

char *import_read(struct import *im, const char *path, size_t *len, unsigned int line)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;
	struct stat st;
	ssize_t n = 0;

	*len = 0;
	if (fd < 0 || fstat(fd, &st)) {
		import_fail(im, line, "%s: cannot be read: %s", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode) || st.st_size > FILE_MOST) {
		import_fail(im, line, "%s: is no file of at most %d bytes", path, FILE_MOST);
	} else {
		text = import_alloc(im, (size_t)st.st_size + 1);
		while (*len < (size_t)st.st_size &&
		       (n = read(fd, text + *len, (size_t)st.st_size - *len)) > 0)
			*len += (size_t)n;
		if (n < 0)
			import_fail(im, line, "%s: cannot be read: %s", path, strerror(errno));
		else if (memchr(text, '\0', *len))
			import_fail(im, line, "%s: is not a text", path);
	}
	if (fd >= 0)
		close(fd);
	return im->failed ? NULL : text;
}

struct import_target *import_target(const struct import *im, const char *name)
{
	for (size_t i = 0; i < im->target_count; i++) {
		if (im->targets[i].name && !strcasecmp(im->targets[i].name, name))
			return &im->targets[i];
	}
	return NULL;
}

static bool is_hex(const char *text)
{
	return strspn(text, "0123456789abcdefABCDEF") == strlen(text);
}

/* "yyyy-mm." and at least one more character, RFC 7143 4.2.7.4 */
static bool is_dated(const char *rest)
{
	static const char shape[] = "dddd-dd.";

	for (size_t i = 0; shape[i]; i++) {
		if (shape[i] == 'd' ? !isdigit((unsigned char)rest[i]) : rest[i] != shape[i])
			return false;
	}
	return memcmp(rest + 5, "00", 2) > 0 && memcmp(rest + 5, "12", 2) <= 0 && rest[8] &&
	       rest[8] != '.' && rest[8] != ':';
}

bool import_is_name(const char *name)
{
	size_t len = strlen(name);

	if (len > NAME_MOST)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr(".-:", name[i]))
			return false;
	}
	if (!strncasecmp(name, "iqn.", 4))
		return is_dated(name + 4);
	if (!strncasecmp(name, "eui.", 4))
		return len == 4 + 16 && is_hex(name + 4);
	return !strncasecmp(name, "naa.", 4) && (len == 4 + 16 || len == 4 + 32) &&
	       is_hex(name + 4);
}

static bool is_address(const char *text)
{
	unsigned char bytes[16];
	const char *slash = strchr(text, '/');
	char host[INET6_ADDRSTRLEN];
	size_t len = slash ? (size_t)(slash - text) : strlen(text);

	if (len >= sizeof(host) ||
	    (slash && (!slash[1] || strspn(slash + 1, "0123456789") != strlen(slash + 1))))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (inet_pton(AF_INET, host, bytes) == 1)
		return !slash || strtoul(slash + 1, NULL, 10) <= 32;
	return inet_pton(AF_INET6, host, bytes) == 1 &&
	       (!slash || strtoul(slash + 1, NULL, 10) <= 128);
}

/* A network as riserd wants it: without bits beyond its length. */
static const char *canonical(struct import *im, const char *text)
{
	const char *slash = strchr(text, '/');
	unsigned char bytes[16] = { 0 };
	char host[INET6_ADDRSTRLEN] = "";
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	unsigned int bits, all = family == AF_INET ? 32 : 128;

	if (!slash)
		return text;
	memcpy(host, text, (size_t)(slash - text));
	bits = (unsigned int)strtoul(slash + 1, NULL, 10);
	if (bits > all || inet_pton(family, host, bytes) != 1)
		return text;
	for (unsigned int bit = bits; bit < all; bit++)
		bytes[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
	inet_ntop(family, bytes, host, sizeof(host));
	return import_text(im, "%s/%u", host, bits);
}

static void add_word(struct import *im, const char ***list, size_t *count, const char *word)
{
	const char **item;

	for (size_t i = 0; i < *count; i++) {
		if (!strcmp((*list)[i], word))
			return;
	}
	item = import_more(im, list, count, sizeof(*item));
	*item = import_copy(im, word, strlen(word));
}

bool import_allow(struct import *im, struct import_target *t, const char *who)
{
	if (!strcmp(who, "ALL"))
		t->any = true;
	else if (is_address(who))
		add_word(im, &t->addresses, &t->address_count, canonical(im, who));
	else if (import_is_name(who))
		add_word(im, &t->names, &t->name_count, who);
	else
		return false;
	return true;
}

bool import_restrict(struct import *im, struct import_target *t, const char *who, bool name)
{
	/* tgt and ctld compare each with the one that it is said to be. */
	if (import_is_name(who) == name && import_allow(im, t, who))
		return true;
	if (name)
		t->lost_name = true;
	else
		t->lost_address = true;
	return false;
}

size_t import_portal(struct import *im, const char *address, const char *group)
{
	const char *colon = strrchr(address, ':'), *full;
	bool bracket = address[0] == '[', many = colon && strchr(address, ':') != colon;
	struct import_portal *p;

	if (bracket)
		full = import_text(im, "%s%s", address, strstr(address, "]:") ? "" : ":3260");
	else if (many)
		full = import_text(im, "[%s]:3260", address);
	else
		full = import_text(im, "%s%s", address, colon ? "" : ":3260");
	for (size_t i = 0; i < im->portal_count; i++) {
		if (!strcmp(im->portals[i].address, full))
			return i;
	}
	p = import_more(im, &im->portals, &im->portal_count, sizeof(*p));
	*p = (struct import_portal){ .address = full, .group = group };
	return im->portal_count - 1;
}

bool import_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGTP";
	const char *unit;
	char *end;

	errno = 0;
	*bytes = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || errno)
		return false;
	if (!*end)
		return true;
	unit = strchr(units, toupper((unsigned char)*end));
	if (!unit || (end[1] && strcasecmp(end + 1, "B")))
		return false;
	for (const char *u = units; u <= unit; u++) {
		if (__builtin_mul_overflow(*bytes, 1024, bytes))
			return false;
	}
	return true;
}

enum import_format import_guess(const char *text)
{
	static const char *const of_tgt[] = { "<target",
					      "/*",
					      "<<include",
					      "include",
					      "default-driver",
					      "ignore-errors",
					      "control-port",
					      "iSNS",
					      "incomingdiscoveryuser",
					      "outgoingdiscoveryuser" };
	const char *line = text;

	for (; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		line += strspn(line, " \t\r\n");
		if (*line == '{')
			return IMPORT_LIO;
		if (!*line || *line == '#' || *line == '\n')
			continue;
		if (!strncmp(line, "isns-", 5)) /* no key of tgt has a hyphen there */
			return IMPORT_CTL;
		for (size_t i = 0; i < sizeof(of_tgt) / sizeof(of_tgt[0]); i++) {
			if (!strncasecmp(line, of_tgt[i], strlen(of_tgt[i])))
				return IMPORT_TGT;
		}
		return IMPORT_CTL;
	}
	return IMPORT_TGT;
}
