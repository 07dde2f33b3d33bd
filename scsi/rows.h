// SPDX-License-Identifier: BSD-2-Clause
/* What rows of the CDB table are written with. A row stands behind the code that it starts. */
#ifndef RISER_SCSI_ROWS_H
#define RISER_SCSI_ROWS_H

#include "scsi.h"

#define CONTROL CONTROL_NACA /* what the CONTROL byte may have */
/* Usage bytes; those behind the CDB are ffh so that whatever follows a short CDB is ignored. */
#define PAD4 0xff, 0xff, 0xff, 0xff
#define USAGE6(...) .cdb_len = 6, .usage = { __VA_ARGS__, PAD4, PAD4, 0xff, 0xff }
#define USAGE10(...) .cdb_len = 10, .usage = { __VA_ARGS__, PAD4, 0xff, 0xff }
#define USAGE12(...) .cdb_len = 12, .usage = { __VA_ARGS__, PAD4 }
#define USAGE16(...) .cdb_len = 16, .usage = { __VA_ARGS__ }
/* READ (32) and its like; `exists` has to be protect_allows_32. */
#define USAGE32(action, bits)                      \
	.cdb_len = 32, .service_action = (action), \
	.usage = { CDB_VARIABLE_LENGTH,            \
		   CONTROL,                        \
		   0,                              \
		   0,                              \
		   0,                              \
		   0,                              \
		   0,                              \
		   CDB32_ADDITIONAL,               \
		   (action) >> 8,                  \
		   (action)&0xff,                  \
		   (bits),                         \
		   0,                              \
		   LBA8,                           \
		   LEN4,                           \
		   LEN2,                           \
		   LEN2,                           \
		   LEN4 }
#define LBA4 0xff, 0xff, 0xff, 0xff
#define LBA8 LBA4, LBA4
#define LEN2 0xff, 0xff
#define LEN4 0xff, 0xff, 0xff, 0xff

#define RESPONDS(filler) .start = task_respond, .fill = (filler), .direction = DIR_IN
#define ALLOCATION(at, width) .alloc_at = (at), .alloc_len = (width)
#define PROTECTABLE .protect_bits = RW_PROTECT
#define READS_MEDIUM .direction = DIR_IN, .rule = RSV_READ, .flags = ROW_MEDIUM
#define WRITES_MEDIUM .direction = DIR_OUT, .rule = RSV_WRITE, .flags = ROW_MEDIUM | ROW_WRITES
#define TIMEOUTS(nominal, recommended) .nominal_s = (nominal), .recommended_s = (recommended)
#define QUICK TIMEOUTS(1, 15)
#define MEDIUM TIMEOUTS(5, 60)
#define LONG TIMEOUTS(30, 300)
#define WHOLE_MEDIUM TIMEOUTS(600, 64800)

#endif
