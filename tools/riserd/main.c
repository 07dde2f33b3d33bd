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
#include "live.h"
#include "options.h"
#include "parse.h"

enum { DRAIN_MS = 5000, STOP_LIMIT_S = 15 };

struct daemon {
	struct options options;
	struct config *config; /* until live has it */
	struct slab *slab;
	struct reactor *reactors[OPTION_CPUS];
	unsigned int reactor_count, running;
	struct store *store; /* NULL: nothing survives a restart */
	struct live *live;
	struct isns *isns; /* NULL: no server was named */
	sem_t done;
};

/* Before the disks are offered: what the last daemon has promised comes first. */
static int open_store(struct daemon *d)
{
	char why[512];

	if (!d->config->state)
		return 0;
	if (!store_open_folder(d->config->state, &d->store, why, sizeof(why)))
		return 0;
	log_error("%s", why);
	return -EINVAL;
}

static int create_reactors(struct daemon *d)
{
	const struct config *c = d->config;
	int err = slab_create(c->memory, &d->slab);

	if (err) {
		log_error("cannot reserve %llu bytes for buffers: %s; try a smaller --memory",
			  (unsigned long long)c->memory, strerror(-err));
		return err;
	}
	for (unsigned int i = 0; i < c->cpu_count; i++) {
		struct reactor_config cfg = {
			.index = i,
			.cpu = c->cpus[i],
			.slab = d->slab,
			.busy_poll_ns = c->busy_poll_ns,
		};

		err = reactor_create(&cfg, &d->reactors[i]);
		if (err)
			return err;
		d->reactor_count++;
	}
	return 0;
}

/* iSNS hears of the ports that the portals have in truth. */
static int start_isns(struct daemon *d)
{
	const struct config *c = live_running(d->live);

	if (!d->options.isns.len)
		return 0;
	for (unsigned int i = 0; i < d->options.portal_count; i++)
		d->options.portals[i].address = c->portals[i].address;
	return isns_start(&d->options, &d->isns);
}

static int go_live(struct daemon *d)
{
	struct live_config cfg = {
		.reactors = d->reactors,
		.reactor_count = d->reactor_count,
		.store = d->store,
		.tcp = &tcp_transport,
		.load_rdma = transport_load_rdma,
	};
	struct config *config = d->config;

	d->config = NULL;
	return live_create(&cfg, config, &d->live);
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

static void print_luns(const struct config_portal *portal, const struct config_target *t)
{
	const char *scheme = portal->transports == PORTAL_ISER ? "iser" : "iscsi";
	bool there = !t->tag_count;
	char address[64];

	for (unsigned int i = 0; i < t->tag_count; i++)
		there |= t->tags[i] == portal->tag;
	address_format(&portal->address.addr, address, sizeof(address));
	for (unsigned int i = 0; i < t->lun_count && there; i++)
		printf("%s://%s/%s/%u\n", scheme, address, t->name, t->luns[i].number);
}

static void print_urls(const struct daemon *d)
{
	const struct config *c = live_running(d->live);

	for (unsigned int p = 0; p < c->portal_count; p++) {
		for (unsigned int i = 0; i < c->target_count; i++)
			print_luns(&c->portals[p], &c->targets[i]);
	}
	printf("ready\n");
	fflush(stdout);
}

static void sessions_stopped(void *arg)
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
	int err;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += STOP_LIMIT_S;
	server_stop(live_server(d->live), DRAIN_MS, sessions_stopped, d);
	if (!wait_done(d, &deadline)) {
		log_error("commands hang in a backstore, giving up after %d s", STOP_LIMIT_S);
		_exit(1);
	}
	err = live_stop(d->live, &deadline);
	if (err == -ETIMEDOUT) {
		log_error("a request or a flush hangs, giving up after %d s", STOP_LIMIT_S);
		_exit(1);
	}
	return err != 0;
}

/* Again what the command line says, but for sizes, or what the file says by now. */
static void reload(struct daemon *d)
{
	struct config *config;

	if (!d->options.file) {
		live_resize(d->live);
		return;
	}
	config = config_parse_file(d->options.file, false, log_complaint);
	if (config && config_supplement(config) && !live_apply(d->live, config))
		log_info("%s: serves what it says now", d->options.file);
	else
		log_error("%s: not applied, everything is as it was", d->options.file);
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

static void log_lun(const struct scsi_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	const struct backstore *bs = lu_backstore(lu);
	const struct daemon *d = arg;
	bool one = live_running(d->live)->target_count == 1;
	struct {
		uint64_t commands, read, written, conditions, conflicts;
	} sum = { 0 };

	for (unsigned int r = 0; r < d->reactor_count; r++) {
		const struct lu_stats *st = lu_stats(lu, r);

		sum.commands += st->commands;
		sum.read += st->read_bytes;
		sum.written += st->write_bytes;
		sum.conditions += st->check_conditions;
		sum.conflicts += st->conflicts;
	}
	log_info("%s%sLUN %u: %s: %lu commands, %lu bytes read, %lu bytes written, "
		 "%lu check conditions, %lu reservation conflicts%s",
		 one ? "" : target->name, one ? "" : " ", lun, bs->name, sum.commands, sum.read,
		 sum.written, sum.conditions, sum.conflicts,
		 bs->flush_failed ? ", LATCHED AFTER A FAILED FLUSH" : "");
}

/* SIGUSR1: what an operator without any other tool can have. */
static void log_statistics(struct daemon *d)
{
	live_each_lun(d->live, log_lun, d);
	log_info("buffers: %zu of %zu bytes in use", slab_in_use(d->slab), slab_size(d->slab));
	server_log_statistics(live_server(d->live));
}

static int serve(struct daemon *d, sigset_t *set)
{
	pthread_t impatient;
	int sig, status;

	live_resume(d->live);
	print_urls(d);
	while (!sigwait(set, &sig) && (sig == SIGUSR1 || sig == SIGHUP)) {
		if (sig == SIGUSR1)
			log_statistics(d);
		else
			reload(d);
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
	live_destroy(d->live);
	if (d->store)
		d->store->ops->close(d->store);
	for (unsigned int i = 0; i < d->reactor_count; i++)
		reactor_destroy(d->reactors[i]);
	slab_destroy(d->slab);
	config_free(d->config);
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

/* 0, or the exit status after a line that says what is wrong; -1: there is nothing to serve. */
static int configure(struct daemon *d, int argc, char **argv)
{
	struct options *o = &d->options;
	struct place place;
	char why[CONFIG_WHY];
	int status = options_parse(o, argc, argv);

	if (status)
		return status;
	d->config = o->file ? config_parse_file(o->file, o->check_only, print_complaint)
			    : options_to_config(o);
	if (!d->config)
		return o->file ? STATUS_CONFIG : 1;
	if (o->file && !config_supplement(d->config))
		return 1;
	if (!o->file && !config_check(d->config, &place, why, sizeof(why))) {
		complain("%s", why);
		return 1;
	}
	if (!o->check_only)
		return 0;
	printf("%s: %u targets, %u portals\n", o->file, d->config->target_count,
	       d->config->portal_count);
	return -1;
}

int main(int argc, char **argv)
{
	struct daemon *d = calloc(1, sizeof(*d));
	sigset_t set;
	int status = 1;

	if (!d || sem_init(&d->done, 0, 0))
		return 1;
	status = configure(d, argc, argv);
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
	log_set_level(d->config->log_level);
	raise_limits();
	status = 1;
	if (!open_store(d) && !create_reactors(d) && !go_live(d) && !start_isns(d) &&
	    !start_reactors(d))
		status = serve(d, &set);
	tear_down(d);
	return status;
}
