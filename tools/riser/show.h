// SPDX-License-Identifier: BSD-2-Clause
/* Objects of riser-rpc(7) as text. */
#ifndef RISER_SHOW_H
#define RISER_SHOW_H

#include <stddef.h>

#include "riser.h"

/* Array of texts or numbers, "a, b"; returns buf. */
const char *joined(const json_t *array, char *buf, size_t size);
/* The same of any length, from malloc(); NULL: no memory. */
char *joined_all(const json_t *array);
/* Sections of initiators in the order that counts. change_initiator.c */
void show_rules(const struct riser *r, const json_t *rules);
/* "name:  value", nothing without a value. */
void show_line(const struct riser *r, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void show_portals(struct riser *r, const json_t *portals);
void show_targets(struct riser *r, const json_t *targets);
void show_luns(struct riser *r, const json_t *luns);
void show_sessions(struct riser *r, const json_t *sessions);
/* The LUN with this number of an array of them; NULL: none. */
const json_t *find_lun(const json_t *luns, const char *target, int64_t number);

/* --dry-run of what riserd has no say in: "would" and the sentence; nothing is done. */
void show_dry_run(const struct riser *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
