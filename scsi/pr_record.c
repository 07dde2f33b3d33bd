// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reservations as text, for the store:
 *
 *	reservations 1
 *	type 5
 *	registration 000000000000abcd 1 00023d000001 holder iqn.2026-11.com.example:host1
 *	registration 000000000000abcd 1 00023d000002 - iqn.2026-11.com.example:host2
 *
 * Key, relative target port, ISID, whether it holds the reservation, initiator name. What a name
 * should not have is written as %XX. What was written by hand and is wrong is refused, not mended.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pr.h"

enum { LINE_MAX_BYTES = 3 * 223 + 64 };

/* --- writing */

static char *write_name(char *at, const char *name)
{
	static const char digits[] = "0123456789abcdef";

	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		if (c > ' ' && c != '%' && c != 0x7f) {
			*at++ = (char)c;
			continue;
		}
		*at++ = '%';
		*at++ = digits[c >> 4];
		*at++ = digits[c & 15];
	}
	*at++ = '\n';
	return at;
}

char *pr_record_write(const struct pr_state *state, size_t *len)
{
	size_t size = 64 + (size_t)state->count * LINE_MAX_BYTES;
	char *text = malloc(size), *at = text;

	if (!text)
		return NULL;
	at += snprintf(at, size, "reservations 1\ntype %u\n", state->type);
	for (uint32_t i = 0; i < state->count; i++) {
		const struct pr_registration *r = &state->r[i];

		at += snprintf(at, size - (size_t)(at - text),
			       "registration %016llx %u %02x%02x%02x%02x%02x%02x %s ",
			       (unsigned long long)r->key, r->port, r->isid[0], r->isid[1],
			       r->isid[2], r->isid[3], r->isid[4], r->isid[5],
			       r->holder ? "holder" : "-");
		at = write_name(at, r->name);
	}
	*len = (size_t)(at - text);
	return text;
}

/* --- reading */

/* What is left of the text; ok turns false at the first thing that is not as it has to be. */
struct reader {
	const char *at, *end;
	unsigned int line;
	bool ok;
};

static void expect(struct reader *in, const char *word)
{
	size_t len = strlen(word);

	if (!in->ok || (size_t)(in->end - in->at) < len || memcmp(in->at, word, len)) {
		in->ok = false;
		return;
	}
	in->at += len;
	in->line += word[len - 1] == '\n';
}

static bool skip_word(struct reader *in, const char *word)
{
	struct reader before = *in;

	expect(in, word);
	if (in->ok)
		return true;
	*in = before;
	return false;
}

static int digit_of(char c, unsigned int base)
{
	int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;

	return digit < (int)base ? digit : -1;
}

/* Exactly `digits` of them, or with 0 as many as there are, 5 at most and no zero in front. */
static uint64_t take_number(struct reader *in, unsigned int base, unsigned int digits)
{
	const char *from = in->at;
	uint64_t v = 0;

	while (in->ok && in->at < in->end && (size_t)(in->at - from) < (digits ? digits : 5) &&
	       digit_of(*in->at, base) >= 0)
		v = v * base + (unsigned int)digit_of(*in->at++, base);
	if (digits ? (size_t)(in->at - from) != digits
		   : in->at == from || (*from == '0' && in->at - from > 1))
		in->ok = false;
	return v;
}

/* The rest of the line. */
static void take_name(struct reader *in, char name[224])
{
	size_t len = 0;

	memset(name, 0, 224);
	while (in->ok && in->at < in->end && *in->at != '\n') {
		char c = *in->at++;
		bool plain = (unsigned char)c > ' ' && c != 0x7f && c != '%';

		if (c == '%') {
			c = (char)take_number(in, 16, 2);
			plain = c && ((unsigned char)c <= ' ' || c == 0x7f || c == '%');
		}
		if (!plain || len == 223)
			in->ok = false;
		else
			name[len++] = c;
	}
	if (!len)
		in->ok = false;
	expect(in, "\n");
}

static void take_registration(struct reader *in, struct pr_state *state)
{
	struct pr_registration *added, r = { 0 };
	uint64_t port, isid;

	expect(in, "registration ");
	r.key = take_number(in, 16, 16);
	expect(in, " ");
	port = take_number(in, 10, 0);
	expect(in, " ");
	isid = take_number(in, 16, 12);
	for (unsigned int i = 0; i < 6; i++)
		r.isid[i] = (uint8_t)(isid >> (40 - 8 * i));
	expect(in, " ");
	r.holder = skip_word(in, "holder ");
	if (!r.holder)
		expect(in, "- ");
	take_name(in, r.name);
	if (!in->ok || !r.key || !port || port > UINT16_MAX ||
	    pr_find(state, r.name, r.isid, (uint16_t)port)) {
		in->ok = false;
		return;
	}
	added = pr_add(state, r.name, r.isid, (uint16_t)port, r.key);
	if (added)
		added->holder = r.holder;
	else
		in->ok = false;
}

/* Holders fit the type. */
static bool consistent(const struct pr_state *state)
{
	uint32_t holders = 0;

	for (uint32_t i = 0; i < state->count; i++)
		holders += state->r[i].holder;
	if (!state->type || pr_all_registrants(state->type))
		return holders == 0 && (!state->type || state->count);
	return holders == 1;
}

static uint64_t count_lines(const char *text, size_t len)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	return lines;
}

int pr_record_read(const char *text, size_t len, struct pr_state **out, char *why, size_t why_size)
{
	struct reader in = { text, text + len, 1, true };
	struct pr_state *state = pr_state_copy(NULL, count_lines(text, len));
	unsigned int line = 1;

	*out = NULL;
	if (!state) {
		snprintf(why, why_size, "not enough memory");
		return -ENOMEM;
	}
	expect(&in, "reservations 1\n");
	expect(&in, "type ");
	state->type = (uint8_t)(take_number(&in, 10, 1) & PR_TYPE_MASK);
	in.ok = in.ok && (!state->type || pr_type_valid(state->type));
	expect(&in, "\n");
	while (in.ok && in.at < in.end) {
		line = in.line;
		take_registration(&in, state);
	}
	if (in.ok && !consistent(state)) {
		snprintf(why, why_size, "holders do not fit type %u", state->type);
		in.ok = false;
	} else if (!in.ok) {
		snprintf(why, why_size, "line %u is wrong", in.line > line ? in.line : line);
	}
	if (!in.ok) {
		free(state);
		return -EBADMSG;
	}
	state->persists = true;
	*out = state;
	return 0;
}
