// SPDX-License-Identifier: BSD-2-Clause
/* Writing as many bytes as there are, to what may take fewer at once. */
#ifndef RISER_CORE_WRITE_ALL_H
#define RISER_CORE_WRITE_ALL_H

#include <stddef.h>

/* [a thread that may block] At the file's position, which is behind them then. -errno: some may be written. */
int write_all(int fd, const void *data, size_t len);

#endif
