// SPDX-License-Identifier: BSD-2-Clause
/*
 * The functions that only ask (RFC 7144, SAM 7.8 to 7.10): answered at once from what is known here,
 * since a nexus and its tasks belong to one reactor.
 */
#include "session/internal.h"

/* Of this nexus: the task that was asked for, or with c NULL any. A task that waits for its turn in
 * CmdSN order counts, since it need not be sent again. So does one of a connection that is gone. One
 * that was aborted does not, though the disk may still have it: its initiator will hear no more of
 * it. */
static bool there_is(const struct session *s, const struct lu *lu, const uint32_t *itt)
{
	struct list *pos;

	list_for_each(pos, &s->commands) {
		const struct command *c = list_entry(pos, struct command, node);

		if (c->answered || c->task.aborted || (itt && c->itt != *itt))
			continue;
		if (nexus_lu(&s->nexus, c->task.lun) == lu)
			return true;
	}
	return false;
}

uint8_t tmf_query(const struct session *s, const struct bhs_tmf_request *req, uint8_t info[3])
{
	const struct lu *lu = nexus_lu(&s->nexus, req->lun);
	uint32_t rtt = be32_get(req->rtt);
	bool found;

	if (!lu)
		return TMF_RSP_NO_LUN;
	switch (req->function & TMF_FUNCTION_MASK) {
	case TMF_QUERY_TASK: found = there_is(s, lu, &rtt); break;
	case TMF_QUERY_TASK_SET: found = there_is(s, lu, NULL); break;
	default: found = unit_attention_pending(&s->nexus, req->lun, info);
	}
	return found ? TMF_RSP_SUCCEEDED : TMF_RSP_COMPLETE;
}
