// SPDX-License-Identifier: BSD-2-Clause
/* A task management function under way: what task_management.c and fence.c share. */
#ifndef RISER_SESSION_TMF_H
#define RISER_SESSION_TMF_H

#include "session/abort_tasks.h"

struct tmf;

/* The part of one reactor. */
struct tmf_visit {
	struct tmf *tmf;
	struct work work;
	struct work back;
	struct abort_wait wait;
	struct timer timer;
	struct reactor_state *rs;
	uint64_t patience; /* ns: how long it may wait */
	bool write_hangs; /* it was over by then, and a write may still reach the medium */
};

/* A connection that has not said yet that it has everything. */
struct fence_post {
	struct iconn *ic; /* NULL: it has, or it is gone */
	uint32_t
		ttt; /* of the NOP-In that asked; TAG_NONE: none could be sent, the connection ends */
};

enum tmf_state {
	TMF_GATHERS, /* waits for commands that are older than the function */
	TMF_ABORTS, /* waits for the visits */
	TMF_FENCED, /* waits for the other connections of the session */
	TMF_DROPS, /* TARGET COLD RESET, answered: connections of every session go */
};

/* Belongs to the session's reactor; visits travel. */
struct tmf {
	struct list node; /* session.tmfs */
	void (*aborted)(struct tmf *tmf); /* [session's reactor] every visit is back */
	struct session *session;
	struct iconn *ic; /* that gets the answer; NULL: it is gone */
	enum tmf_state state;
	struct timer timer; /* of the states that wait here */
	uint64_t deadline; /* ns: the answer goes out by then */
	struct be32 itt;
	uint32_t cmdsn;
	uint8_t function;
	bool gathers; /* newer commands may have come on its own connection, too */
	bool fenced; /* nothing of its tasks may come after the answer, on any connection */
	unsigned int pending; /* visits that are not back, or posts that stand */
	bool write_hangs; /* in any of the visits */
	bool unfenced; /* the time for that was over */
	const struct command *command; /* ABORT TASK */
	struct lu *lu; /* NULL: all of the target, */
	struct lun_set sees; /* but of other nexuses what these LUNs have */
	bool everyone; /* tasks of other nexuses too */
	bool clears_aca;
	struct fence_post *posts; /* owned */
	unsigned int post_count;
	unsigned int visit_count;
	struct tmf_visit visits[];
};

/* tmf_visit.c */
/* Aborts the tasks of tmf everywhere; tmf->aborted() follows, perhaps after `patience` ns with tasks
 * that hang, never from inside. */
void tmf_visits_begin(struct tmf *tmf, uint64_t patience);

/* fence.c */
/* Asks the other connections of the session; tmf->pending counts them. False: there is no other. */
bool fence_raise(struct tmf *tmf);
/* A NOP-Out with this TTT has come in on ic, or (every_ttt) ic is gone. True: tmf waits no more. */
bool fence_passed(struct tmf *tmf, const struct iconn *ic, uint32_t ttt, bool every_ttt);

#endif
