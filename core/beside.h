// SPDX-License-Identifier: BSD-2-Clause
/* Where the parts of riserd are that are files of their own: its plug-in, its helper. */
#ifndef RISER_CORE_BESIDE_H
#define RISER_CORE_BESIDE_H

#include <stdbool.h>
#include <stddef.h>

/* [any thread] A file of this name beside this executable, or in ../lib/riser from there, that access(2)
 * grants mode to. False: there is none, or its path has no room; *path is undefined then. */
bool find_beside(const char *name, int mode, char *path, size_t size);

#endif
