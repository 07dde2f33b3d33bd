// SPDX-License-Identifier: BSD-2-Clause
/*
 * A filter that makes another backstore fail by rule, for tests. The rules' grammar is in
 * backstore/README.md.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "driver.h"

enum { RULES_MAX = 16, ANY = ~0u };

struct rule {
	unsigned int opcodes; /* bit per enum bs_opcode */
	int error; /* -errno instead of doing it; 0: do it */
	bool half; /* do the first half, then fail */
	bool hang; /* never answer; -EIO when the disk is closed */
	uint64_t delay; /* ns before anything else */
	uint64_t after, every, times; /* of the requests that match; times 0: for ever */
	uint64_t first_block, last_block;
	_Atomic uint64_t seen; /* matching requests */
};

struct fault_disk {
	struct backstore bs;
	struct backstore *inner;
	unsigned int count;
	struct rule rules[RULES_MAX];
	pthread_mutex_t lock; /* a leaf */
	struct list hung; /* of struct shadow; lock */
};

/* The request as the inner backstore sees it. */
struct shadow {
	struct bs_req inner;
	struct bs_req *outer;
	const struct rule *rule; /* NULL: none */
	struct timer timer;
	struct list node;
};

/* Rules */

static const struct {
	const char *name;
	unsigned int opcodes;
} opcode_names[] = {
	{ "read", 1u << BS_READ },   { "write", 1u << BS_WRITE },
	{ "flush", 1u << BS_FLUSH }, { "unmap", 1u << BS_UNMAP },
	{ "zero", 1u << BS_ZERO },   { "erase", 1u << BS_ERASE },
	{ "copy", 1u << BS_COPY },   { "extent", 1u << BS_EXTENT },
	{ "space", 1u << BS_SPACE }, { "any", ANY },
};

static const struct {
	const char *name;
	int error;
} error_names[] = {
	{ "eio", -EIO },       { "enospc", -ENOSPC }, { "enodata", -ENODATA },
	{ "edquot", -EDQUOT }, { "enomem", -ENOMEM }, { "etimedout", -ETIMEDOUT },
};

static bool parse_number(const char *text, const char **end, uint64_t *out)
{
	uint64_t n = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return false;
	}
	*end = p;
	*out = n;
	return p > text;
}

static bool parse_count(const char *text, uint64_t least, uint64_t *out)
{
	const char *end;

	return parse_number(text, &end, out) && !*end && *out >= least;
}

static bool parse_time(const char *text, uint64_t *ns)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = { { "us", NSEC_PER_USEC }, { "ms", NSEC_PER_MSEC }, { "s", NSEC_PER_SEC } };
	const char *end;

	if (!parse_number(text, &end, ns))
		return false;
	for (size_t i = 0; i < array_size(units); i++) {
		if (!strcmp(end, units[i].unit))
			return !__builtin_mul_overflow(*ns, units[i].ns, ns);
	}
	return false;
}

static bool parse_blocks(const char *text, struct rule *rule)
{
	const char *end;

	if (!parse_number(text, &end, &rule->first_block))
		return false;
	rule->last_block = rule->first_block;
	if (!*end)
		return true;
	return *end == '-' && parse_count(end + 1, rule->first_block, &rule->last_block);
}

/* Behind "key=", or NULL when word is something else. */
static const char *value_of(const char *word, const char *key)
{
	size_t len = strlen(key);

	return strncmp(word, key, len) ? NULL : word + len;
}

static bool parse_word(const char *word, struct rule *rule)
{
	const char *value;

	for (size_t i = 0; i < array_size(error_names); i++) {
		if (!strcmp(word, error_names[i].name)) {
			rule->error = error_names[i].error;
			return true;
		}
	}
	if (!strcmp(word, "short")) {
		rule->half = true;
		return true;
	}
	if (!strcmp(word, "hang")) {
		rule->hang = true;
		return true;
	}
	if (!strcmp(word, "once")) {
		rule->times = 1;
		return true;
	}
	if ((value = value_of(word, "delay=")))
		return parse_time(value, &rule->delay) && rule->delay > 0;
	if ((value = value_of(word, "after=")))
		return parse_count(value, 0, &rule->after);
	if ((value = value_of(word, "every=")))
		return parse_count(value, 1, &rule->every);
	if ((value = value_of(word, "times=")))
		return parse_count(value, 1, &rule->times);
	if ((value = value_of(word, "lba=")))
		return parse_blocks(value, rule);
	return false;
}

static bool has_effect(const struct rule *rule)
{
	return rule->error || rule->half || rule->hang || rule->delay;
}

static bool parse_rule(char *text, struct rule *rule, const char **bad)
{
	char *rest = text, *word = strsep(&rest, ":");

	rule->every = 1;
	rule->last_block = UINT64_MAX;
	*bad = word;
	for (size_t i = 0; i < array_size(opcode_names); i++) {
		if (!strcmp(opcode_names[i].name, word))
			rule->opcodes = opcode_names[i].opcodes;
	}
	if (!rule->opcodes)
		return false;
	while ((word = strsep(&rest, ":"))) {
		*bad = word;
		if (!parse_word(word, rule))
			return false;
	}
	return has_effect(rule);
}

static int parse_rules(const char *text, struct rule *rules, unsigned int *count, char *why,
		       size_t why_size)
{
	char copy[sizeof(((struct bs_spec *)0)->fault)], *rest = copy, *one;
	const char *bad;

	*count = 0;
	snprintf(copy, sizeof(copy), "%s", text);
	while ((one = strsep(&rest, ";"))) {
		if (*count == RULES_MAX)
			return bs_fail(-EINVAL, why, why_size, "more than %d fault rules",
				       RULES_MAX);
		if (!parse_rule(one, &rules[(*count)++], &bad))
			return bs_fail(
				-EINVAL, why, why_size,
				"fault rule %u: '%s' is not understood or leaves no effect "
				"(like read:eio:after=3; of read, write, flush, unmap, zero, "
				"erase, copy, extent, space, any)",
				*count, bad);
	}
	return 0;
}

int bs_check_fault(const char *text, char *why, size_t why_size)
{
	struct rule rules[RULES_MAX] = { 0 };
	unsigned int count;

	return parse_rules(text, rules, &count, why, why_size);
}

static bool matches(const struct fault_disk *disk, const struct rule *rule,
		    const struct bs_req *req)
{
	uint32_t block = disk->bs.limits.block_size;

	if (!(rule->opcodes & 1u << req->opcode))
		return false;
	if (req->opcode == BS_FLUSH || req->opcode == BS_SPACE)
		return true;
	return req->offset / block <= rule->last_block &&
	       (req->offset + req->len - 1) / block >= rule->first_block;
}

/* The first rule that matches and whose turn it is. Every matching rule counts the request. */
static const struct rule *choose(struct fault_disk *disk, const struct bs_req *req)
{
	const struct rule *chosen = NULL;

	for (unsigned int i = 0; i < disk->count; i++) {
		struct rule *rule = &disk->rules[i];
		uint64_t n;

		if (!matches(disk, rule, req))
			continue;
		n = atomic_fetch_add(&rule->seen, 1);
		if (n < rule->after || (n - rule->after) % rule->every)
			continue;
		if (rule->times && (n - rule->after) / rule->every >= rule->times)
			continue;
		if (!chosen)
			chosen = rule;
	}
	return chosen;
}

/* Requests */

static int final_result(const struct shadow *s, int res)
{
	if (!s->rule || !s->rule->half || res)
		return res;
	if (s->rule->error)
		return s->rule->error;
	return s->outer->opcode == BS_READ ? -ENODATA : -EIO;
}

/* The answer of a query is handed on. */
static int finish(struct shadow *s, int res)
{
	if (s->outer->opcode == BS_EXTENT)
		s->outer->extent = s->inner.extent;
	else if (s->outer->opcode == BS_SPACE)
		s->outer->space = s->inner.space;
	return final_result(s, res);
}

static void inner_done(struct bs_req *inner, int res)
{
	struct shadow *s = container_of(inner, struct shadow, inner);
	struct bs_req *outer = s->outer;

	res = finish(s, res);
	free(s);
	bs_complete(outer, res);
}

/* Frees s and returns true when the request is complete with *res. */
static bool act(struct fault_disk *disk, struct shadow *s, int *res)
{
	const struct rule *rule = s->rule;

	if (rule && rule->hang) {
		pthread_mutex_lock(&disk->lock);
		list_add_tail(&disk->hung, &s->node);
		pthread_mutex_unlock(&disk->lock);
		return false;
	}
	if (rule && rule->error && !rule->half) {
		*res = rule->error;
		free(s);
		return true;
	}
	if (!bs_submit(disk->inner, &s->inner))
		return false;
	*res = finish(s, s->inner.res);
	free(s);
	return true;
}

static void delay_over(struct timer *timer)
{
	struct shadow *s = container_of(timer, struct shadow, timer);
	struct bs_req *outer = s->outer;
	int res;

	if (act(container_of(outer->bs, struct fault_disk, bs), s, &res))
		bs_complete(outer, res);
}

static struct shadow *shadow_of(struct fault_disk *disk, struct bs_req *req)
{
	struct shadow *s = calloc(1, sizeof(*s));
	uint32_t block = disk->bs.limits.block_size;

	if (!s)
		return NULL;
	s->outer = req;
	s->rule = choose(disk, req);
	s->timer.fn = delay_over;
	list_init(&s->node);
	s->inner = (struct bs_req){
		.opcode = req->opcode,
		.flags = req->flags,
		.offset = req->offset,
		.len = req->len,
		.data = req->data,
		/* Of another disk that fails on purpose nothing is copied past its rules. */
		.source = req->source == &disk->bs ? disk->inner : req->source,
		.source_offset = req->source_offset,
		.reactor = req->reactor,
		.done = inner_done,
	};
	if (s->rule && s->rule->half)
		s->inner.len = req->len / 2 / block * block;
	return s;
}

static bool fault_submit(struct backstore *bs, struct bs_req *req)
{
	struct fault_disk *disk = container_of(bs, struct fault_disk, bs);
	struct shadow *s = shadow_of(disk, req);

	if (!s) {
		req->res = -ENOMEM;
		return true;
	}
	if (s->rule && s->rule->delay) {
		timer_arm(req->reactor, &s->timer, s->rule->delay);
		return false;
	}
	return act(disk, s, &req->res);
}

/* Opening */

static void fault_close(struct backstore *bs)
{
	struct fault_disk *disk = container_of(bs, struct fault_disk, bs);
	struct list *node;

	while ((node = list_pop(&disk->hung))) {
		struct shadow *s = list_entry(node, struct shadow, node);
		struct bs_req *outer = s->outer;

		free(s);
		/* Only where done() may run: a stopped reactor's requests end with it. */
		if (reactor_self() == outer->reactor)
			bs_complete(outer, -EIO);
		else
			log_info("%s: a request that a fault rule held is dropped", bs->name);
	}
	pthread_mutex_destroy(&disk->lock);
	disk->inner->driver->close(disk->inner);
	free(disk);
}

static int fault_open(const struct bs_spec *spec, struct backstore **out, char *why,
		      size_t why_size)
{
	const struct bs_driver *driver = bs_driver_find(spec->driver);
	struct fault_disk *disk;
	int err;

	if (!driver)
		return bs_fail(-EINVAL, why, why_size, "there is no backstore '%s'", spec->driver);
	disk = bs_alloc(sizeof(*disk), &bs_fault_driver);
	if (!disk)
		return bs_fail(-ENOMEM, why, why_size, "out of memory");
	err = parse_rules(spec->fault, disk->rules, &disk->count, why, why_size);
	if (!err)
		err = driver->open(spec, &disk->inner, why, why_size);
	if (err) {
		free(disk);
		return err;
	}
	disk->bs.limits = disk->inner->limits;
	disk->bs.limits.lends_pointers = false; /* a borrowed pointer would go past the rules */
	disk->bs.dev = disk->inner->dev;
	disk->bs.ino = disk->inner->ino;
	memcpy(disk->bs.name, disk->inner->name, sizeof(disk->bs.name));
	memcpy(disk->bs.serial, disk->inner->serial, sizeof(disk->bs.serial));
	pthread_mutex_init(&disk->lock, NULL);
	list_init(&disk->hung);
	log_warn("%s: fails on purpose: %s", disk->bs.name, spec->fault);
	*out = &disk->bs;
	return 0;
}

/* lends_pointers is false: never called. */
static void *fault_borrow(struct backstore *bs, uint64_t offset, uint64_t len)
{
	(void)bs;
	(void)offset;
	(void)len;
	return NULL;
}

static int fault_measure(struct backstore *bs, uint64_t *size)
{
	struct fault_disk *disk = container_of(bs, struct fault_disk, bs);
	struct backstore *inner = disk->inner;
	int err = inner->driver->measure ? inner->driver->measure(inner, size) : 0;

	if (!err)
		inner->limits.size = *size;
	return err;
}

const struct bs_driver bs_fault_driver = {
	.name = "fault",
	.open = fault_open,
	.close = fault_close,
	.submit = fault_submit,
	.borrow = fault_borrow,
	.measure = fault_measure,
};
