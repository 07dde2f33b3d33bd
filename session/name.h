// SPDX-License-Identifier: BSD-2-Clause
/* iSCSI names, RFC 7143 4.2.7 and RFC 3722: syntax, comparison, and who may see which target. */
#ifndef RISER_SESSION_NAME_H
#define RISER_SESSION_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "session.h"

/* Compares without ASCII case, whatever the locale. */
bool name_equal(const char *a, const char *b);
/* Whether the target exists in this portal group. */
bool target_in_group(const struct target_config *target, uint16_t tag);
/* NULL: no target has this name. */
const struct target_config *name_find_target(const struct target_config *targets,
					     unsigned int count, const char *name);

#endif
