// SPDX-License-Identifier: BSD-2-Clause
/*
 * riserd: opens the disks, starts the reactors, serves, and stops in order: no new connections,
 * commands in progress finish, sessions close, disks are flushed, exit 0.
 */
#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/slab.h"
#include "isns.h"
#include "lu.h"
#include "options.h"
#include "store.h"
#include "transport.h"

enum { DRAIN_MS = 5000, STOP_LIMIT_S = 15 };

struct disk {
	struct backstore *bs;
	struct lu *lu;
	struct bs_req flush;
	int flush_result;
	sem_t *flushed;
};

struct daemon {
	struct options options;
	struct slab *slab;
	struct reactor *reactors[OPTION_CPUS];
	unsigned int reactor_count, running;
	struct disk *disks;
	struct store *store; /* NULL: nothing survives a restart */
	struct scsi_target scsi_target;
	struct target_config target;
	struct server *server;
	const struct transport_ops *rdma; /* NULL: no portal wants it, or no_rdma says why */
	char no_rdma[512];
	struct isns *isns; /* NULL: no server was named */
	struct work flush_work;
	sem_t done;
};

/* A disk that cannot be opened stops the start, before anything listens. */
static int open_disks(struct daemon *d)
{
	char why[512];

	d->disks = calloc(d->options.disk_count, sizeof(*d->disks));
	if (!d->disks)
		return -ENOMEM;
	for (unsigned int i = 0; i < d->options.disk_count; i++) {
		memcpy(d->options.disks[i].scope, d->options.target_name,
		       sizeof(d->options.target_name));
		if (bs_open(&d->options.disks[i], &d->disks[i].bs, why, sizeof(why))) {
			log_error("LUN %u: %s", i, why);
			return -EINVAL;
		}
	}
	return 0;
}

/* Before the disks are offered: what the last daemon has promised comes first. */
static int open_store(struct daemon *d)
{
	char why[512];

	if (!d->options.state)
		return 0;
	if (!store_open_folder(d->options.state, &d->store, why, sizeof(why)))
		return 0;
	log_error("%s", why);
	return -EINVAL;
}

static int create_target(struct daemon *d)
{
	struct options *o = &d->options;
	char why[512];

	snprintf(d->scsi_target.name, sizeof(d->scsi_target.name), "%s", o->target_name);
	memcpy(d->scsi_target.ports, o->ports, sizeof(o->ports));
	d->scsi_target.port_count = o->port_count;
	for (unsigned int i = 0; i < o->disk_count; i++) {
		struct lu_config cfg = {
			.bs = d->disks[i].bs,
			.serial = d->disks[i].bs->serial,
			.product = d->disks[i].bs->driver->name,
			.reactors = d->reactor_count,
			.store = d->store,
			.removable = o->disks[i].removable,
		};

		if (lu_create(&cfg, &d->disks[i].lu, why, sizeof(why))) {
			log_error("LUN %u: %s", i, why);
			return -EINVAL;
		}
		d->scsi_target.lun[i] = d->disks[i].lu;
	}
	static_assert(sizeof(d->target.alias) == sizeof(o->alias), "one is copied to the other");
	d->target = (struct target_config){
		.scsi = &d->scsi_target,
		.allow_any = o->allow_any,
		.allow = o->allow,
		.allow_count = o->allow_count,
		.allow_cold_reset = o->allow_cold_reset,
		.chap = { o->chap.user, o->chap.count },
		.redirect = o->redirect[0] ? o->redirect : NULL,
		.redirect_permanent = o->redirect_permanent,
	};
	memcpy(d->target.alias, o->alias, sizeof(o->alias));
	return 0;
}

static int create_reactors(struct daemon *d)
{
	int err = slab_create(d->options.memory, &d->slab);

	if (err) {
		log_error("cannot reserve %llu bytes for buffers: %s; try a smaller --memory",
			  (unsigned long long)d->options.memory, strerror(-err));
		return err;
	}
	for (unsigned int i = 0; i < d->options.cpu_count; i++) {
		struct reactor_config cfg = {
			.index = i,
			.cpu = d->options.cpus[i],
			.slab = d->slab,
			.busy_poll_ns = d->options.busy_poll_ns,
		};

		err = reactor_create(&cfg, &d->reactors[i]);
		if (err)
			return err;
		d->reactor_count++;
	}
	return 0;
}

/* Loads the plug-in if a portal may use it. That it is not there is worth one line, unless a portal
 * cannot do without and says so itself. */
static void load_rdma(struct daemon *d)
{
	bool wanted = false, required = false;

	for (unsigned int i = 0; i < d->options.portal_count; i++) {
		wanted |= d->options.portals[i].transports & PORTAL_ISER;
		required |= d->options.portals[i].transports == PORTAL_ISER;
	}
	if (!wanted)
		return;
	d->rdma = transport_load_rdma(d->no_rdma, sizeof(d->no_rdma));
	if (!d->rdma && !required)
		log_info("RDMA is not served: %s; TCP only", d->no_rdma);
}

static int listen_iser_only(struct daemon *d, struct option_portal *portal)
{
	struct portal_address *address = &portal->address;
	char name[64], why[sizeof(d->no_rdma) + 128];
	int err = -ENODEV;

	address_format(&address->addr, name, sizeof(name));
	snprintf(why, sizeof(why), "%s: cannot listen for RDMA: %s", name, d->no_rdma);
	address->required = true;
	if (d->rdma)
		err = server_listen(d->server, d->rdma, address, portal->tag, why, sizeof(why));
	if (err)
		log_error("%s; with transport=all instead of iser this portal is served over TCP, "
			  "and over RDMA as soon as that is possible",
			  why);
	return err;
}

/* TCP first: it finds a port when there is none. */
static int listen_portal(struct daemon *d, struct option_portal *portal)
{
	char why[512];
	int err;

	if (portal->transports == PORTAL_ISER)
		return listen_iser_only(d, portal);
	err = server_listen(d->server, &tcp_transport, &portal->address, portal->tag, why,
			    sizeof(why));
	if (err) {
		log_error("%s", why);
		return err;
	}
	if (!d->rdma || portal->transports == PORTAL_TCP)
		return 0;
	portal->address.required = false;
	if (server_listen(d->server, d->rdma, &portal->address, portal->tag, why, sizeof(why)))
		log_warn("%s; TCP only", why);
	return 0;
}

static int listen_all(struct daemon *d)
{
	struct server_config cfg = {
		.targets = &d->target,
		.target_count = 1,
		.discovery_chap = { d->options.discovery_chap.user,
				    d->options.discovery_chap.count },
		.limits = d->options.limits,
		.reactors = d->reactors,
		.reactor_count = d->reactor_count,
	};
	int err = server_create(&cfg, &d->server);

	if (err)
		return err;
	load_rdma(d);
	for (unsigned int i = 0; i < d->options.portal_count && !err; i++)
		err = listen_portal(d, &d->options.portals[i]);
	return err;
}

static int start_reactors(struct daemon *d)
{
	for (; d->running < d->reactor_count; d->running++) {
		int err = reactor_start(d->reactors[d->running]);

		if (err) {
			log_error("cannot start a thread: %s", strerror(-err));
			return err;
		}
	}
	return 0;
}

static void print_urls(const struct daemon *d)
{
	char address[64];

	for (unsigned int p = 0; p < d->options.portal_count; p++) {
		const struct option_portal *portal = &d->options.portals[p];
		const char *scheme = portal->transports == PORTAL_ISER ? "iser" : "iscsi";

		address_format(&portal->address.addr, address, sizeof(address));
		for (unsigned int i = 0; i < d->options.disk_count; i++)
			printf("%s://%s/%s/%u\n", scheme, address, d->options.target_name, i);
	}
	printf("ready\n");
	fflush(stdout);
}

static void flush_done(struct bs_req *req, int res)
{
	struct disk *disk = container_of(req, struct disk, flush);

	disk->flush_result = res;
	sem_post(disk->flushed);
}

/* [reactor 0] No session is left: what was written goes to stable media. */
static void flush_disks(struct work *work)
{
	struct daemon *d = container_of(work, struct daemon, flush_work);

	for (unsigned int i = 0; i < d->options.disk_count; i++) {
		struct disk *disk = &d->disks[i];

		disk->flushed = &d->done;
		disk->flush = (struct bs_req){
			.opcode = BS_FLUSH,
			.reactor = d->reactors[0],
			.done = flush_done,
		};
		if (bs_submit(disk->bs, &disk->flush))
			flush_done(&disk->flush, disk->flush.res);
	}
}

static void sessions_stopped(void *arg)
{
	struct daemon *d = arg;

	sem_post(&d->done);
}

static void job_stopped(void *arg)
{
	struct daemon *d = arg;

	sem_post(&d->done);
}

/* False: a backstore hangs, and so would we. */
static bool wait_done(struct daemon *d, const struct timespec *deadline)
{
	while (sem_timedwait(&d->done, deadline))
		if (errno != EINTR)
			return false;
	return true;
}

static int stop(struct daemon *d)
{
	struct timespec deadline;
	int status = 0;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += STOP_LIMIT_S;
	server_stop(d->server, DRAIN_MS, sessions_stopped, d);
	if (!wait_done(d, &deadline)) {
		log_error("commands hang in a backstore, giving up after %d s", STOP_LIMIT_S);
		_exit(1);
	}
	for (unsigned int i = 0; i < d->options.disk_count; i++) {
		lu_stop_job(d->disks[i].lu, job_stopped, d);
		if (!wait_done(d, &deadline)) {
			log_error("LUN %u: a request hangs, giving up after %d s", i, STOP_LIMIT_S);
			_exit(1);
		}
	}
	d->flush_work.fn = flush_disks;
	reactor_post(d->reactors[0], &d->flush_work);
	for (unsigned int i = 0; i < d->options.disk_count; i++) {
		if (!wait_done(d, &deadline)) {
			log_error("a flush hangs, giving up after %d s", STOP_LIMIT_S);
			_exit(1);
		}
	}
	for (unsigned int i = 0; i < d->options.disk_count; i++) {
		if (d->disks[i].flush_result && !d->disks[i].bs->limits.read_only) {
			log_error("LUN %u: %s: flush failed: %s", i, d->disks[i].bs->name,
				  strerror(-d->disks[i].flush_result));
			status = 1;
		}
	}
	return status;
}

/* SIGHUP: files and block devices may have another size. */
static void resize_disks(struct daemon *d)
{
	for (unsigned int i = 0; i < d->options.disk_count; i++) {
		int err = bs_resize(d->disks[i].bs);

		if (err)
			log_error("LUN %u: %s: no size: %s", i, d->disks[i].bs->name,
				  strerror(-err));
		if (!lu_resize(d->disks[i].lu))
			continue;
		server_lun_event(d->server, &d->scsi_target, i, UA_CAPACITY_CHANGED);
		log_info("LUN %u: initiators are told of its new capacity", i);
	}
}

static _Atomic bool over; /* stop() has returned */

static void *second_signal(void *arg)
{
	sigset_t *set = arg;
	int sig;

	/* No statistics of what is going away; with `over` it is for us. */
	while (!sigwait(set, &sig) && (sig == SIGUSR1 || sig == SIGHUP)) {
		if (over)
			return NULL;
	}
	log_warn("second signal, exiting without waiting");
	_exit(1);
}

/* SIGUSR1: what an operator without any other tool can have. */
static void log_statistics(const struct daemon *d)
{
	for (unsigned int i = 0; i < d->options.disk_count; i++) {
		struct {
			uint64_t commands, read, written, conditions, conflicts;
		} sum = { 0 };

		for (unsigned int r = 0; r < d->reactor_count; r++) {
			const struct lu_stats *st = lu_stats(d->disks[i].lu, r);

			sum.commands += st->commands;
			sum.read += st->read_bytes;
			sum.written += st->write_bytes;
			sum.conditions += st->check_conditions;
			sum.conflicts += st->conflicts;
		}
		log_info("LUN %u: %s: %lu commands, %lu bytes read, %lu bytes written, "
			 "%lu check conditions, %lu reservation conflicts%s",
			 i, d->disks[i].bs->name, sum.commands, sum.read, sum.written,
			 sum.conditions, sum.conflicts,
			 d->disks[i].bs->flush_failed ? ", LATCHED AFTER A FAILED FLUSH" : "");
	}
	log_info("buffers: %zu of %zu bytes in use", slab_in_use(d->slab), slab_size(d->slab));
	server_log_statistics(d->server);
}

static int serve(struct daemon *d, sigset_t *set)
{
	pthread_t impatient;
	int sig, status;

	for (unsigned int i = 0; i < d->options.disk_count; i++)
		lu_resume(d->disks[i].lu, d->reactors[i % d->reactor_count]);
	print_urls(d);
	while (!sigwait(set, &sig) && (sig == SIGUSR1 || sig == SIGHUP)) {
		if (sig == SIGUSR1)
			log_statistics(d);
		else
			resize_disks(d);
	}
	log_info("stopping");
	isns_stop(d->isns);
	if (pthread_create(&impatient, NULL, second_signal, set))
		return stop(d);
	status = stop(d);
	over = true;
	pthread_kill(impatient, SIGUSR1);
	pthread_join(impatient, NULL);
	return status;
}

static void tear_down(struct daemon *d)
{
	isns_stop(d->isns);
	isns_join(d->isns);
	for (unsigned int i = 0; i < d->running; i++)
		reactor_stop(d->reactors[i]);
	for (unsigned int i = 0; i < d->running; i++)
		reactor_join(d->reactors[i]);
	server_destroy(d->server);
	for (unsigned int i = 0; i < d->options.disk_count && d->disks; i++) {
		lu_destroy(d->disks[i].lu);
		if (d->disks[i].bs)
			bs_close(d->disks[i].bs);
	}
	if (d->store)
		d->store->ops->close(d->store);
	for (unsigned int i = 0; i < d->reactor_count; i++)
		reactor_destroy(d->reactors[i]);
	slab_destroy(d->slab);
	free(d->disks);
	sem_destroy(&d->done);
	options_free(&d->options);
	free(d);
}

/* Memory that RDMA devices have access to is locked. */
static void raise_limits(void)
{
	static const __rlimit_resource_t limits[] = { RLIMIT_NOFILE, RLIMIT_MEMLOCK };
	struct rlimit r;

	for (unsigned int i = 0; i < array_size(limits); i++) {
		if (!getrlimit(limits[i], &r)) {
			r.rlim_cur = r.rlim_max;
			setrlimit(limits[i], &r);
		}
	}
}

int main(int argc, char **argv)
{
	struct daemon *d = calloc(1, sizeof(*d));
	sigset_t set;
	int status = 1;

	if (!d || sem_init(&d->done, 0, 0))
		return 1;
	status = options_parse(&d->options, argc, argv);
	if (status) {
		tear_down(d);
		return status < 0 ? 0 : status;
	}
	/* Before any thread: all of them inherit the mask, only sigwait() sees the signals. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	log_set_level(d->options.log_level);
	raise_limits();
	status = 1;
	if (!open_disks(d) && !open_store(d) && !create_reactors(d) && !create_target(d) &&
	    !listen_all(d) && (!d->options.isns.len || !isns_start(&d->options, &d->isns)) &&
	    !start_reactors(d))
		status = serve(d, &set);
	tear_down(d);
	return status;
}
