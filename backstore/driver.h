// SPDX-License-Identifier: BSD-2-Clause
/* What the drivers share: completion, stable identity, the list of what is open. */
#ifndef RISER_BACKSTORE_DRIVER_H
#define RISER_BACKSTORE_DRIVER_H

#include <stddef.h>

#include "backstore.h"

/* Completes a request whose submit returned false: counts, latches, calls done.
 * [owner thread of req->reactor] */
void bs_complete(struct bs_req *req, int res);

/* -errno with a reason; for `return bs_fail(-EINVAL, why, size, "...")`. */
int bs_fail(int err, char *why, size_t why_size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* spec's size in spec's blocks (512 when not given): > 0, a multiple, fits off_t. */
int bs_check_size(const struct bs_spec *spec, char *why, size_t why_size);
/* Limits of a disk that is memory only, from a spec that bs_check_size() likes. */
void bs_memory_limits(const struct bs_spec *spec, struct bs_limits *limits);
/* Are these fault rules well-formed? */
int bs_check_fault(const char *rules, char *why, size_t why_size);

/* A zeroed driver object whose first member is a struct backstore. Freed with free(). */
void *bs_alloc(size_t size, const struct bs_driver *driver);
/* "ram:1G": the name of a disk that has no path. */
void bs_set_name(struct backstore *bs, const struct bs_spec *spec);

/* Zeros, BUF_MAX bytes, page aligned, never freed; a region, so that devices can read from it.
 * Nobody writes there. NULL: out of memory. */
const void *bs_zeros(void);

/* serial of bs: the one in spec or the first 128 bits of SHA-256(this machine, text) in hex. */
void bs_set_serial(struct backstore *bs, const struct bs_spec *spec, const char *text);
/* The same for disks that differ in nothing but their place on the command line: the n-th open
 * one gets the n-th serial. */
void bs_set_serial_by_order(struct backstore *bs, const struct bs_spec *spec, const char *text);

/* Puts bs among the open ones, which nobody opens again; bs_close() takes it out. [main thread] */
void bs_list(struct backstore *bs);
/* The open backstore with this identity, or NULL. [main thread] */
const struct backstore *bs_find_serial(const char *serial);
const struct backstore *bs_find_inode(dev_t dev, ino_t ino);

const struct bs_driver *bs_driver_find(const char *name);

#endif
