// SPDX-License-Identifier: BSD-2-Clause
/* A store in memory with a few records, which fails or hangs on demand. */
#ifndef RISER_TESTS_UNIT_FAKE_STORE_H
#define RISER_TESTS_UNIT_FAKE_STORE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/reactor.h"
#include "store.h"
#include "tests/lib/unit.h"

enum { FAKE_RECORDS = 4, FAKE_TEXT_MAX = 8192 };

struct fake_store {
	struct store store;
	struct {
		char name[STORE_NAME_MAX];
		char text[FAKE_TEXT_MAX];
		size_t len;
		uint64_t version; /* 0: there is none */
	} record[FAKE_RECORDS];
	int load_fails, store_fails; /* -errno */
	bool hold; /* requests hang until fake_store_release() */
	unsigned int stores;
	struct store_req *pending;
	struct work work;
};

/* The place of the record, or a free one. */
static inline unsigned int fake_store_find(const struct fake_store *s, const char *name)
{
	for (unsigned int i = 0; i < FAKE_RECORDS; i++) {
		if (!s->record[i].name[0] || !strcmp(s->record[i].name, name))
			return i;
	}
	abort();
}

static inline int fake_load(struct store *store, const char *name, char **data, size_t *len,
			    uint64_t *version, char *why, size_t why_size)
{
	struct fake_store *s = container_of(store, struct fake_store, store);
	unsigned int i = fake_store_find(s, name);

	snprintf(why, why_size, "the store is a fake");
	*version = 0;
	if (s->load_fails)
		return s->load_fails;
	if (!s->record[i].version)
		return -ENOENT;
	*data = malloc(s->record[i].len + 1);
	if (!*data)
		return -ENOMEM;
	memcpy(*data, s->record[i].text, s->record[i].len);
	(*data)[s->record[i].len] = '\0';
	*len = s->record[i].len;
	*version = s->record[i].version;
	return 0;
}

static inline int fake_store_execute(struct fake_store *s, struct store_req *req)
{
	unsigned int i = fake_store_find(s, req->name);

	if (s->store_fails)
		return s->store_fails;
	if (req->version != s->record[i].version)
		return -EAGAIN;
	if (req->len > sizeof(s->record[i].text))
		abort();
	if (!req->len) {
		s->record[i].version = req->version = 0;
		return 0;
	}
	snprintf(s->record[i].name, sizeof(s->record[i].name), "%s", req->name);
	memcpy(s->record[i].text, req->data, req->len);
	s->record[i].len = req->len;
	req->version = ++s->record[i].version;
	return 0;
}

static inline void fake_store_done(struct work *work)
{
	struct fake_store *s = container_of(work, struct fake_store, work);
	struct store_req *req = s->pending;

	s->pending = NULL;
	s->stores++;
	req->done(req, fake_store_execute(s, req));
}

static inline void fake_compare_and_store(struct store *store, struct store_req *req)
{
	struct fake_store *s = container_of(store, struct fake_store, store);

	if (s->pending)
		abort();
	s->pending = req;
	s->work.fn = fake_store_done;
	if (!s->hold)
		reactor_defer(req->reactor, &s->work);
}

/* Lets the request go on that hangs. */
static inline void fake_store_release(struct fake_store *s)
{
	CU_ASSERT_FATAL(s->pending != NULL);
	reactor_defer(s->pending->reactor, &s->work);
}

static inline void fake_store_init(struct fake_store *s)
{
	static const struct store_ops ops = { .load = fake_load,
					      .compare_and_store = fake_compare_and_store };

	memset(s, 0, sizeof(*s));
	s->store.ops = &ops;
}

static inline void fake_store_put(struct fake_store *s, const char *name, const char *text,
				  size_t len)
{
	unsigned int i = fake_store_find(s, name);

	CU_ASSERT_FATAL(len <= sizeof(s->record[i].text));
	snprintf(s->record[i].name, sizeof(s->record[i].name), "%s", name);
	memcpy(s->record[i].text, text, len);
	s->record[i].len = len;
	s->record[i].version = 1;
}

#endif
