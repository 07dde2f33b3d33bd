// SPDX-License-Identifier: BSD-2-Clause
/*
 * What configurations of other targets say, as plain data: import_tgt.c, import_lio.c and import_ctl.c make
 * it of a text, import_write.c makes a riser.conf of it. What cannot be carried over becomes a note with
 * its line. Everything belongs to the struct import and goes with import_free(), secrets wiped.
 */
#ifndef RISER_IMPORT_H
#define RISER_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum import_format { IMPORT_ANY, IMPORT_TGT, IMPORT_LIO, IMPORT_CTL };

/* A name that no initiator has: riserd has no target without an allow. */
#define IMPORT_NOBODY "iqn.1995-01.invalid.nobody:none"

struct import_user {
	const char *name, *secret;
	const char *mutual_name, *mutual_secret; /* NULL: none */
	unsigned int line;
};

struct import_lun {
	unsigned int number;
	const char *path;
	bool readonly, removable, direct;
	unsigned int block_size, physical_block_size; /* bytes; 0: not said */
	uint64_t size; /* bytes; 0: that of the file */
	const char *serial, *naa, *eui; /* NULL: not said */
	const char *file; /* where it stands */
	unsigned int line;
};

/* What an initiator finds, where it is not everything. */
struct import_view {
	const char *who; /* a name, "user:NAME" or "any" */
	bool all, all_readonly; /* LUNs that it sees; that it may only read */
	unsigned int *luns, *readonly;
	size_t lun_count, readonly_count;
};

struct import_target {
	const char *name, *alias; /* alias NULL: none */
	unsigned int tid; /* tgt's; 0: not said */
	bool any; /* anybody may log in, or whoever is at the addresses */
	const char **names, **addresses; /* who may log in */
	size_t name_count, address_count;
	bool lost_name, lost_address; /* there were more, which could not be understood */
	bool chap; /* without users nobody could log in */
	struct import_user *users;
	size_t user_count;
	struct import_lun *luns;
	size_t lun_count;
	struct import_view *views; /* the first that fits counts; none of them: all see all */
	size_t view_count;
	size_t *portals; /* in import.portals; none of them: all */
	size_t portal_count;
	const char *redirect;
	const char *closed; /* why nobody may log in, whatever else is said; NULL: no such reason */
	bool left_out; /* which has been noted */
	const char *file;
	unsigned int line;
};

struct import_portal {
	const char *address; /* "ADDR:PORT" */
	const char *group; /* portals with another one are never in one portal group; NULL: any */
	const char *redirect;
};

struct import_note {
	const char *file; /* NULL: of the whole */
	unsigned int line; /* 0: of the whole file */
	const char *text;
};

struct import {
	const char *file; /* that is being read */
	struct import_target *targets;
	size_t target_count;
	struct import_portal *portals;
	size_t portal_count;
	struct import_user *discovery;
	size_t discovery_count;
	const char *isns; /* "ADDR:PORT" of a server that hears what there is; NULL: none */
	struct import_note *notes;
	size_t note_count;
	bool failed; /* the text is not what it has to be: the last note says why */
	/* import_check() tells how far it is; NULL: nobody wants to know. */
	void (*checked)(void *arg, size_t luns, size_t of);
	void *checked_arg;
	size_t checked_luns, all_luns;
	struct import_block *blocks;
};

void import_free(struct import *im);

/* Memory of im's, zeros. The program ends when there is none. */
void *import_alloc(struct import *im, size_t size);
/* One more of an array of items of `size` bytes: where it is, all zeros. `array` is the address of the
 * pointer to the first. */
void *import_more(struct import *im, void *array, size_t *count, size_t size);
const char *import_text(struct import *im, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
const char *import_copy(struct import *im, const char *text, size_t len);
/* Remembers what is not carried over, of a line of the file that is being read. */
void import_note(struct import *im, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same, and nothing can come of it any more. Returns false. */
bool import_fail(struct import *im, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A whole file; NULL: it has failed. `line` is where the file is named, 0: on the command line. */
char *import_read(struct import *im, const char *path, size_t *len, unsigned int line);

/* NULL: none. */
struct import_target *import_target(const struct import *im, const char *name);
/* A name or an address, or ALL, that may log in. False: it is neither. */
bool import_allow(struct import *im, struct import_target *t, const char *who);
/* Only a name, or only an address or ALL; what is not that keeps the target closed rather than opening it
 * to more. */
bool import_restrict(struct import *im, struct import_target *t, const char *who, bool name);
/* Makes "ADDR:PORT" of an address with or without a port and returns its index. */
size_t import_portal(struct import *im, const char *address, const char *group);
bool import_is_name(const char *name); /* of RFC 7143 */
/* A size like 10G; false: it is none. */
bool import_size(const char *text, uint64_t *bytes);

/* Each: what the text says is in im then, or im->failed. Targets that riser would refuse are still there. */
void import_tgt(struct import *im, const char *path);
void import_lio(struct import *im, const char *path);
void import_ctl(struct import *im, const char *path);
/* By its first word. */
enum import_format import_guess(const char *text);

/* import_check.c: takes out, with a note, what riserd would refuse. */
void import_check(struct import *im);
/* import_portals.c: its part of that. */
void import_check_portals(struct import *im);
/* The server of iSNS, an address in numbers; port NULL: with one, or that of the protocol. False: it is none that
 * riser takes. */
bool import_isns(struct import *im, const char *address, const char *port);

struct import_secret {
	const char *path, *secret;
};

/* import_write.c: the text of a riser.conf; secrets are named as files of the folder. */
struct import_output {
	const char *text;
	struct import_secret *secrets; /* files that it needs */
	size_t secret_count;
};
void import_write(struct import *im, const char *folder, struct import_output *out);

#endif
