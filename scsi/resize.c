// SPDX-License-Identifier: BSD-2-Clause
/*
 * Another size while in use. A command that was checked against the old capacity and reaches beyond
 * the new one is answered by the backstore, which knows its own end.
 */
#include "scsi.h"

bool lu_resize(struct lu *lu)
{
	uint64_t blocks = lu->bs->limits.size >> lu->block_shift;

	/* Nothing is left, not even a capacity that could be told: every access fails. */
	if (!blocks)
		return false;
	if (atomic_exchange(&lu->blocks, blocks) == blocks)
		return false;
	lu_raise_ua(lu, UA_CAPACITY_CHANGED, NULL);
	return true;
}
