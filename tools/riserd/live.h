// SPDX-License-Identifier: BSD-2-Clause
/*
 * What runs, and how it becomes what a configuration says. One way for the start, SIGHUP and everything
 * else: what is new is opened, the difference to what runs is applied, and when any of it fails all is as
 * it was before. All [main thread].
 *
 * Changes never end a session and never drop a command. What could not be done otherwise is refused, and
 * the log names the sessions: a target, or the last portal of a group, that somebody is logged in to; an
 * initiator that may not log in any more and is logged in; a LUN whose commands are not over after
 * LIVE_DRAIN_MS. A LUN that goes is taken away from new commands first, and commands in progress end as if
 * nothing were. By force sessions end, commands are aborted, and a LUN goes without what hangs in its disk.
 */
#ifndef RISERD_LIVE_H
#define RISERD_LIVE_H

#include "config.h"
#include "store.h"

enum { LIVE_DRAIN_MS = 5000 };

struct live;

/* What changes together with all that live serves, and is another's. NULL: there is none. */
struct live_beside {
	/* Makes ready what `next` wants, beside what `now` has, which goes on; -errno, and the log has said why.
	 * After 0 one of the other two is called: neither fails. */
	int (*prepare)(const struct config *now, const struct config *next, void *arg);
	void (*commit)(void *arg);
	void (*abandon)(void *arg);
	void *arg;
};

struct live_config {
	struct reactor **reactors; /* borrowed */
	unsigned int reactor_count;
	struct store *store; /* borrowed; NULL: nothing survives a restart */
	const struct transport_ops *tcp; /* tests have another */
	const struct inherited *inherited; /* sockets that listen already; borrowed; NULL: none */
	/* Called when a portal first wants RDMA; NULL with why. */
	const struct transport_ops *(*load_rdma)(char *why, size_t why_size);
	/* struct server_config has the same; NULL: nobody is told. */
	void (*event)(const struct server_event *event, void *arg);
	void *event_arg;
	const struct live_beside *beside; /* borrowed; not for live_create() */
	/* While the reactors do not run by themselves (tests): makes them turn; NULL: they run. */
	void (*turn)(void *arg);
	void *turn_arg;
};

/* Opens and serves all that config has; the reactors need not run yet. config is taken, also when it
 * fails: then the log has said why, and there is nothing to destroy. May block. -errno. */
int live_create(const struct live_config *cfg, struct config *config, struct live **out);
/* Becomes what config says; takes it. -errno: nothing has changed, and the log has said why. Files and
 * block devices that stay are asked for their size again. */
int live_apply(struct live *live, struct config *config);
/* The same; force: sessions that would be in the way end. */
int live_apply_how(struct live *live, struct config *config, bool force);
/* One LUN of a target that is served comes, goes (lun NULL) or has another disk, and nothing else changes,
 * or is looked at. lun is copied. -ENOENT: there is no such target, or no LUN to go. -errno as above. */
int live_change_lun(struct live *live, const char *target, unsigned int number,
		    const struct config_lun *lun, bool force);
/* The LUN's file or block device may have another size: *size in bytes. -errno. */
int live_resize_lun(struct live *live, const char *target, unsigned int number, uint64_t *size);
/* Files and block devices may have another size. */
void live_resize(struct live *live);
/* After the reactors have begun to run: goes on with what the last daemon has left. */
void live_resume(struct live *live);
/* What runs; as long as nothing else is applied. Portals have their real ports. */
const struct config *live_running(const struct live *live);
/* [any thread but reactors] Until live_look_end() what live_running() and live_each_lun() show stays, and
 * with it every unit that they show. Who looks waits for nothing meanwhile. */
void live_look(struct live *live);
void live_look_end(struct live *live);
/* The one that live_running() has at `index`. */
const struct scsi_target *live_target(const struct live *live, unsigned int index);
/* [main thread] Of one of its portal groups. False: it has none with this tag. */
bool live_set_access(struct live *live, unsigned int index, uint16_t tag, enum access_state state);
/* [main thread] How often all of it has been applied: LUNs alone, that come and go, do not count. */
uint64_t live_applied(const struct live *live);
struct server *live_server(const struct live *live);
/* Each unit that is served. */
void live_each_lun(const struct live *live,
		   void (*visit)(const struct scsi_target *target, unsigned int lun, struct lu *lu,
				 void *arg),
		   void *arg);
/* Commands that hang in a disk and that nobody waits for any more: of a LUN, or of what was one. */
struct live_hanging {
	const char *target;
	unsigned int lun;
	const char *disk;
	unsigned int commands; /* 0: a flush or a job of a LUN that is gone */
	uint64_t ns; /* for how long */
	bool served; /* the LUN is there */
};
/* [under live_look()] Each such disk. */
void live_each_hanging(const struct live *live,
		       void (*visit)(const struct live_hanging *hanging, void *arg), void *arg);
/* A sentence about it. */
void live_hanging_text(const struct live_hanging *h, char *out, size_t size);
/* Whether there are LUNs that went by force and are kept for what hangs: then live_reap(), now and then,
 * closes those that are free. */
bool live_has_detached(const struct live *live);
void live_reap(struct live *live);
/* After live_stop(): something hangs, so that nothing may be destroyed. */
bool live_hangs(const struct live *live);
/* The server has stopped: jobs stop, and what was written goes to stable media. Until `deadline`
 * (CLOCK_MONOTONIC). -ETIMEDOUT: something hangs, the process has to end as it is; -EIO: a flush
 * failed. */
int live_stop(struct live *live, const struct timespec *deadline);
/* No reactor runs any more. NULL is fine. */
void live_destroy(struct live *live);

#endif
