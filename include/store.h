// SPDX-License-Identifier: BSD-2-Clause
/*
 * A store of small records that survive restart: reservations, saved mode pages, the state of a
 * SANITIZE or FORMAT UNIT. One record per name. Writing compares first, so that several machines may
 * share a store one day: who stores has to have seen what it replaces. A store that is shared gives
 * a name no version twice, also not behind a removal; one of a single daemon may begin anew.
 */
#ifndef RISER_STORE_H
#define RISER_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "core/reactor.h"
#include "core/worker.h"

enum {
	STORE_NAME_MAX = 128, /* with the NUL; [A-Za-z0-9._-], not beginning with a dot */
	STORE_RECORD_MAX = 1 << 20, /* bytes of one record */
};

struct store;
struct store_req;

struct store_ops {
	/* [main thread or a worker; may block] Reads the record: *data (malloc()ed, the caller's) with
	 * *len bytes and a NUL behind them, *version. 0; -ENOENT: there is none, *version is 0;
	 * -EBADMSG: it is damaged; another -errno. why names the thing, the place and the way out. */
	int (*load)(struct store *store, const char *name, char **data, size_t *len,
		    uint64_t *version, char *why, size_t why_size);
	/* [owner thread of req->reactor] Never blocks; req->done follows, never from inside. */
	void (*compare_and_store)(struct store *store, struct store_req *req);
	/* [main thread] No request outstanding. */
	void (*close)(struct store *store);
};

struct store {
	const struct store_ops *ops;
};

/* One compare-and-store. Embedded in the caller's context. */
struct store_req {
	/* set by the caller, untouched until done */
	const char *name;
	const void *data; /* len bytes; len 0 removes the record */
	size_t len;
	uint64_t version; /* of what is replaced, 0: there was none. After success: the new one */
	struct reactor *reactor;
	/* 0: the record is on stable media (written, flushed, renamed, folder flushed).
	 * -EAGAIN: somebody else stored another version, load again. -EIO, -ENOSPC, ...: the old
	 * record is still the one. [owner thread of reactor] */
	void (*done)(struct store_req *req, int res);
	/* the store's */
	struct store *store;
	struct job job;
	int res;
};

/* [main thread] A store in a folder, which is created (0700) when it is missing and locked against
 * a second daemon. -errno with why. */
int store_open_folder(const char *path, struct store **out, char *why, size_t why_size);

/* [any thread] The name of the record of one kind, [a-z]+, that belongs to the unit with this serial
 * number: kind.serial, with what a name must not have as _XX. */
void store_record_name(char out[STORE_NAME_MAX], const char *kind, const char *serial);

#endif
