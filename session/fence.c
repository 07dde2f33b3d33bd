// SPDX-License-Identifier: BSD-2-Clause
/*
 * The answer to a task management function must not overtake what was sent on other connections of its
 * session before: data of tasks that it has aborted, and responses of tasks that had ended (RFC 7143
 * 4.2.2.3.3). That the transport has sent them says little: another TCP connection may still be faster.
 * And not everything has a StatSN that is acknowledged: Data-In has none. So each other connection gets a
 * NOP-In that wants an answer; it stands behind everything that was sent, and when its NOP-Out is here
 * the initiator has all of it. A connection that ends brings nothing any more when its transport has given
 * everything back: one that is still on its way there, its last words perhaps not sent, is waited for, too.
 *
 * This is more than TaskReporting=RFC3720 asks for, which is all that we offer, and less than
 * ResponseFence. What comes after the answer is not held back (4.2.2.3.3 c): responses of tasks that are
 * newer than the function. Nor is the first response with the unit attention on the connections of third
 * parties (4.2.3.3 e): what it could overtake is a response, and a task that has one was not aborted.
 */
#include <stdlib.h>

#include "session/tmf.h"

static unsigned int others(const struct tmf *tmf)
{
	unsigned int n = 0;
	struct list *pos;

	list_for_each(pos, &tmf->session->conns) {
		const struct iconn *ic = list_entry(pos, struct iconn, session_node);

		n += ic != tmf->ic;
	}
	return n;
}

bool fence_raise(struct tmf *tmf)
{
	unsigned int n = others(tmf);
	struct list *pos;

	if (!n)
		return false;
	tmf->posts = calloc(n, sizeof(*tmf->posts));
	if (!tmf->posts) {
		tmf->unfenced = true;
		return false;
	}
	list_for_each(pos, &tmf->session->conns) {
		struct iconn *ic = list_entry(pos, struct iconn, session_node);
		uint32_t before = ic->nop_ttt;

		if (ic == tmf->ic || tmf->post_count == n)
			continue;
		if (!iconn_up(ic)) {
			tmf->posts[tmf->post_count++] = (struct fence_post){ ic, TAG_NONE };
			continue;
		}
		nop_in_ping(ic);
		tmf->unfenced |= ic->nop_ttt == before; /* no memory to ask */
		tmf->posts[tmf->post_count++] = (struct fence_post){ ic, ic->nop_ttt };
	}
	tmf->pending = tmf->post_count;
	return true;
}

bool fence_passed(struct tmf *tmf, const struct iconn *ic, uint32_t ttt, bool every_ttt)
{
	if (tmf->state != TMF_FENCED || !tmf->pending)
		return false;
	for (unsigned int i = 0; i < tmf->post_count; i++) {
		struct fence_post *post = &tmf->posts[i];

		if (post->ic != ic || (!every_ttt && post->ttt != ttt))
			continue;
		post->ic = NULL;
		tmf->pending--;
	}
	return !tmf->pending;
}
