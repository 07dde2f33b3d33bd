// SPDX-License-Identifier: BSD-2-Clause
/*
 * A record as a file has it:
 *
 *	riser-record 1 VERSION
 *	the payload
 *	sha256 of all that is above, in hexadecimal
 *
 * The payload is any bytes; the last line has a fixed length, so that nothing in it is mistaken.
 */
#ifndef RISER_SCSI_STORE_RECORD_H
#define RISER_SCSI_STORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store.h"

enum { RECORD_FILE_MAX = STORE_RECORD_MAX + 256 };

/* malloc()ed, the caller's; NULL: no memory. len: STORE_RECORD_MAX at most. */
char *record_encode(const void *payload, size_t len, uint64_t version, size_t *file_len);
/* Where the payload is in the file, and how long; 0, or -EBADMSG with why in a few words. */
int record_decode(const char *file, size_t file_len, size_t *at, size_t *len, uint64_t *version,
		  const char **why);
/* Whether it may be the name of a record. */
bool record_name_valid(const char *name);

#endif
