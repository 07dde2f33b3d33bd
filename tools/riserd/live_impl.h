// SPDX-License-Identifier: BSD-2-Clause
/* What the live*.c share. */
#ifndef RISERD_LIVE_IMPL_H
#define RISERD_LIVE_IMPL_H

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lu.h"
#include "live.h"

enum { DRAIN_PAUSE_US = 2000, DRAIN_ROUNDS = LIVE_DRAIN_MS * 1000 / DRAIN_PAUSE_US };
/* By force: how long commands may end by themselves, what is aborted may come back, connections that still
 * move data may take, in all. */
enum {
	FORCE_LOOK_ROUNDS = DRAIN_ROUNDS / 10,
	FORCE_CUT_ROUNDS = DRAIN_ROUNDS / 10,
	FORCE_CLOSE_ROUNDS = DRAIN_ROUNDS / 5,
	FORCE_FLUSH_MS = 1000,
};

/* A target as the reactors know it. Lives as long as some generation of exports has it. */
struct live_target {
	struct scsi_target scsi;
	_Atomic unsigned int users; /* generations */
};

/* A configuration, and what the server gets of it. */
struct generation {
	struct exports exports; /* borrows from what follows */
	struct config *config; /* owned */
	struct target_config *targets; /* as many as config has, in its order */
	struct live_target **of; /* of each */
};

struct live {
	struct live_config cfg;
	struct server *server;
	struct generation *now; /* one of its users */
	uint64_t applied; /* that there have been before */
	const struct transport_ops *rdma; /* NULL: not loaded, no_rdma says why */
	bool rdma_tried;
	char no_rdma[512];
	sem_t done;
	pthread_mutex_t looking; /* leaf: now, and every unit that a slot of it shows, stay */
	struct list detached; /* units that went by force: live_detach.c */
};

/* One LUN that is not as it was. */
struct change {
	struct live_target *target;
	unsigned int number;
	const struct config_lun *before, *after; /* NULL: there is none */
	struct lu *lu; /* of after, when it exists */
	struct lu *old; /* of before */
	bool out; /* old is out of its target: target_remove_lun() */
	bool closed; /* old and its backstore are no more */
	bool deferred; /* after has a disk that is open for a unit that goes */
	bool new_target; /* nobody knows the target yet */
};

/* From what runs to a configuration. */
struct plan {
	struct live *live;
	struct generation *next;
	struct change *changes;
	size_t count;
	bool force; /* sessions in the way end */
	bool published; /* the server has some of next */
	bool prepared; /* live->cfg.beside has */
	/* Portals of next that are served since the plan began. */
	bool listening[CONFIG_PORTALS];
};

/* live_plan.c */
/* NULL: no memory. config is taken then, too. */
struct generation *generation_new(struct config *config);
void generation_put(struct generation *g); /* NULL is fine */
/* Finds the targets that go on, makes those that are new, and lists what is to be done. */
int plan_make(struct plan *plan);
/* What the server may have of next before it is sure that the rest succeeds; nobody's yet. NULL: no
 * memory. */
struct exports *plan_narrow(const struct plan *plan);
/* Refuses what would end a session. */
int plan_check_sessions(const struct plan *plan);

/* live_lun.c */
/* -errno: the log has said why. */
int open_lun(struct live *live, const struct config_target *t, const struct config_lun *lun,
	     struct lu **lu);
/* Flushes and waits. The number of those that failed; -ETIMEDOUT: some hang, and the log says which. */
int flush_units(struct live *live, struct lu **units, unsigned int count,
		const struct timespec *deadline);
/* Waits until no command uses the units that are out. -EBUSY: some still do, and the log says who. By force:
 * aborts them, and what hangs does not count any more. */
int drain_units(struct live *live, struct lu **units, unsigned int count, bool force);
/* Whether somebody uses a unit that is out; -errno. No reactor is then inside of anything that it was in
 * before. By force: without what hangs. */
int find_users(struct live *live, struct lu **units, unsigned int count, bool force);
void drain_pause(struct live *live); /* DRAIN_ROUNDS of them are LIVE_DRAIN_MS */
void close_unit(struct lu *lu); /* and its backstore; NULL is fine */
/* LUNs that go on have the limits that their configuration says now. */
void set_limits(const struct live *live);

/* live_detach.c */
/* ns, as the reactors count them. */
uint64_t live_now(const struct live *live);
/* Whether units go without what hangs in them. */
bool plan_by_force(const struct plan *plan);
/* The log names the units that cannot go, each with its commands. */
void plan_tell_of_users(const struct plan *plan);
/* The change's old unit is out, and only what hangs uses it: it is kept for that. -ENOMEM. */
int detach_unit(struct live *live, const struct change *change);
/* A disk of this path is kept so. */
bool live_holds(const struct live *live, const char *path);

/* live_portal.c */
/* Opens what is not open yet, and finds out the ports of those that shall have any. */
int open_portals(struct plan *plan);
int start_portals(struct plan *plan); /* all of them, at the start */
void close_new_portals(struct plan *plan);
void close_old_portals(struct plan *plan, const struct generation *before);
/* States of access, when nothing can fail any more. */
void set_all_access(const struct plan *plan, const struct generation *before);
/* Ports that only a plan had which has failed: there is no portal any more. */
void withdraw_ports(const struct generation *now);

/* live.c */
/* Each unit that is served. */
void visit_units(const struct live *live,
		 void (*visit)(struct live_target *target, unsigned int lun, struct lu *lu,
			       void *arg),
		 void *arg);
/* One change of what runs, of which change->lu is made; what the configuration says stays as it is. */
int carry_out_one(struct live *live, struct change *change, bool force);
/* What a line of the log is about. */
static inline struct log_about about_lun(const char *target, unsigned int number)
{
	return (struct log_about){ .target = target, .lun = number, .has_lun = true };
}
void live_signal(void *arg); /* posts live->done */
/* done or flushed. False: the deadline has passed; NULL: there is none. */
bool live_wait(struct live *live, sem_t *sem, const struct timespec *deadline);

#endif
