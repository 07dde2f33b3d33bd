// SPDX-License-Identifier: BSD-2-Clause
/*
 * riserd: opens the disks, starts the reactors, serves, and stops in order: no new connections,
 * commands in progress finish, sessions close, disks are flushed, exit 0.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "change.h"
#include "control.h"
#include "core/deadline.h"
#include "core/slab.h"
#include "image.h"
#include "inherit.h"
#include "isns.h"
#include "live.h"
#include "metrics.h"
#include "notify.h"
#include "options.h"
#include "parse.h"
#include "secret.h"

enum { DRAIN_MS = 5000, STOP_LIMIT_S = 15, REAP_MS = 1000 };

struct daemon {
	struct options options;
	struct config *config; /* until live has it */
	struct changes *changes;
	struct slab *slab;
	struct reactor *reactors[OPTION_CPUS];
	unsigned int reactor_count, running;
	struct store *store; /* NULL: nothing survives a restart */
	struct live *live;
	struct isns *isns; /* NULL: no server was named */
	uint64_t isns_heard; /* live_applied() then */
	struct metrics *metrics, *next_metrics; /* NULL: no HTTP */
	struct metrics *old_metrics; /* metrics_retire() */
	bool move_metrics; /* to next_metrics, when the rest of a change succeeds */
	struct live_beside beside;
	struct notify *notify; /* NULL: there is no supervisor */
	struct inherited *inherited; /* NULL: no socket listens already */
	struct rpc_context rpc; /* .control is NULL: no socket */
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

/* iSNS hears of what is served by now, with the ports that the portals have in truth. */
static int tell_isns(struct daemon *d)
{
	d->isns_heard = live_applied(d->live);
	return isns_update(&d->isns, live_running(d->live));
}

/* The supervisor and the iSNS server hear of what a command or a reload may have changed. */
static void tell_of_change(struct daemon *d)
{
	notify_serving(d->notify, live_running(d->live));
	if (d->isns_heard != live_applied(d->live))
		tell_isns(d);
}

/* --- Metrics move with a change of the configuration */

static bool same_listen(const struct portal_address *a, const struct portal_address *b)
{
	return a->len == b->len && (!a->len || config_same_address(a, b));
}

static int prepare_metrics(const struct config *now, const struct config *next, void *arg)
{
	struct daemon *d = arg;
	const struct portal_address *listen = &next->metrics.listen;

	d->move_metrics = !same_listen(&now->metrics.listen, listen);
	return d->move_metrics && listen->len
		       ? metrics_open(&d->rpc, listen, d->metrics, &d->next_metrics)
		       : 0;
}

static void commit_metrics(void *arg)
{
	struct daemon *d = arg;

	if (!d->move_metrics)
		return;
	metrics_stop(d->metrics); /* whoever comes to the next one meanwhile waits in its queue */
	d->old_metrics = metrics_retire(d->metrics, d->old_metrics);
	d->metrics = d->next_metrics;
	d->next_metrics = NULL;
	if (d->metrics)
		metrics_serve(d->metrics);
	else
		log_info("metrics and status page: not served any more");
}

static void abandon_metrics(void *arg)
{
	struct daemon *d = arg;

	metrics_stop(d->next_metrics);
	d->old_metrics = metrics_retire(d->next_metrics, d->old_metrics);
	d->next_metrics = NULL;
}

static int go_live(struct daemon *d)
{
	struct live_config cfg = {
		.reactors = d->reactors,
		.reactor_count = d->reactor_count,
		.store = d->store,
		.tcp = &tcp_transport,
		.inherited = d->inherited,
		.load_rdma = transport_load_rdma,
		.event = events_of_server,
		.event_arg = d->rpc.events,
		.beside = &d->beside,
	};
	struct config *config = d->config;

	d->beside = (struct live_beside){ prepare_metrics, commit_metrics, abandon_metrics, d };
	d->config = NULL;
	notify_status(d->notify, "opening the disks");
	inherit_check(d->inherited, config);
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

/* -errno: without it there is no service. */
static int start_control(struct daemon *d)
{
	const char *given =
		d->options.control ? d->options.control : live_running(d->live)->control.socket;
	struct control_config cfg = {
		.path = *given ? given : CONTROL_SOCKET,
		.fd = -1,
		.optional = !*given,
		.context = &d->rpc,
	};
	struct timespec now;
	struct control *control;
	int err;

	clock_gettime(CLOCK_REALTIME, &d->rpc.started);
	clock_gettime(CLOCK_MONOTONIC, &now);
	d->rpc.started_ns = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
	d->rpc.live = d->live;
	d->rpc.changes = d->changes;
	d->rpc.state_file = changes_state_file(d->changes);
	changes_serve(d->changes, d->live);
	d->rpc.slab = d->slab;
	d->rpc.reactors = d->reactors;
	d->rpc.reactor_count = d->reactor_count;
	d->rpc.config_file = d->options.file;
	if (!d->options.control && !d->options.file)
		return 0;
	if (cfg.optional)
		mkdir(CONTROL_FOLDER, 0755);
	err = control_start(&cfg, &control);
	return cfg.optional ? 0 : err;
}

/* What start_control() has filled in is for it, too. */
static int start_metrics(struct daemon *d)
{
	const struct portal_address *listen = &live_running(d->live)->metrics.listen;

	int err = listen->len ? metrics_open(&d->rpc, listen, NULL, &d->metrics) : 0;

	if (d->metrics)
		metrics_serve(d->metrics);
	return err;
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

static int stop(struct daemon *d)
{
	struct timespec deadline = deadline_in(STOP_LIMIT_S * 1000);
	int err;

	server_stop(live_server(d->live), DRAIN_MS, sessions_stopped, d);
	/* A backstore that hangs would hold us up for ever. */
	if (!deadline_wait(&d->done, &deadline)) {
		log_error("commands hang in a backstore, giving up after %d s", STOP_LIMIT_S);
		images_free(d->rpc.images);
		_exit(1);
	}
	err = live_stop(d->live, &deadline);
	if (err == -ETIMEDOUT) {
		log_error("a request or a flush hangs, giving up after %d s", STOP_LIMIT_S);
		images_free(d->rpc.images);
		_exit(1);
	}
	/* A disk may still write to memory of ours. */
	if (live_hangs(d->live)) {
		log_warn("stopped; commands that hang in a disk end with the process");
		images_free(d->rpc.images); /* which take away what is half-made */
		_exit(err != 0);
	}
	return err != 0;
}

/* Again what the command line says, but for sizes, or what the file says by now. */
static void reload(struct daemon *d)
{
	struct change_failure failure;
	bool ok;

	notify_reloading(d->notify);
	ok = changes_reload(d->changes, 0, NULL, &failure);
	if (d->options.file && ok)
		log_info("%s: serves what it says now", d->options.file);
	else if (!ok)
		log_error("%s: not applied, everything is as it was: %s", d->options.file,
			  failure.message);
	if (d->options.file)
		rpc_reloaded(&d->rpc, ok, ok ? "" : failure.message);
	tell_of_change(d);
	notify_ready(d->notify);
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

/* False: it is over. */
static bool on_signal(struct daemon *d, unsigned int sig)
{
	if (sig == SIGUSR1)
		log_statistics(d);
	else if (sig == SIGHUP)
		reload(d);
	else
		return false;
	return true;
}

/* Signals and what clients of the control socket want changed, one after the other. */
static void main_loop(struct daemon *d, const sigset_t *set)
{
	struct pollfd fds[] = {
		{ .fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK), .events = POLLIN },
		{ .fd = control_main_fd(d->rpc.control), .events = POLLIN },
	};
	struct signalfd_siginfo info;
	bool on = true;

	if (fds[0].fd < 0) {
		log_error("cannot wait for signals: %s; the end", strerror(errno));
		return;
	}
	while (on) {
		live_reap(d->live);
		if (poll(fds, array_size(fds), live_has_detached(d->live) ? REAP_MS : -1) < 0)
			continue;
		if (fds[1].revents) {
			control_run_main(d->rpc.control);
			tell_of_change(d);
		}
		while (on && read(fds[0].fd, &info, sizeof(info)) == sizeof(info))
			on = on_signal(d, info.ssi_signo);
	}
	close(fds[0].fd);
}

static int serve(struct daemon *d, sigset_t *set)
{
	pthread_t impatient;
	int status;

	live_resume(d->live);
	print_urls(d);
	notify_serving(d->notify, live_running(d->live));
	notify_watch(d->notify, d->reactors, d->reactor_count, live_server(d->live));
	notify_ready(d->notify);
	main_loop(d, set);
	log_info("stopping");
	control_stop(d->rpc.control);
	images_stop(d->rpc.images);
	changes_settle(d->changes); /* as long as the folder is ours alone */
	metrics_stop(d->metrics);
	notify_unwatch(d->notify);
	notify_stopping(d->notify);
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
	control_stop(d->rpc.control); /* when there was a start, and no service */
	images_free(d->rpc.images);
	isns_stop(d->isns);
	isns_join(d->isns);
	for (unsigned int i = 0; i < d->running; i++)
		reactor_stop(d->reactors[i]);
	for (unsigned int i = 0; i < d->running; i++)
		reactor_join(d->reactors[i]);
	notify_close(d->notify);
	metrics_free(d->metrics);
	metrics_free(d->old_metrics);
	live_destroy(d->live);
	inherit_close(d->inherited);
	log_observe(NULL, NULL);
	lu_watch_operations(NULL, NULL);
	events_free(d->rpc.events);
	pthread_mutex_destroy(&d->rpc.lock);
	if (d->store)
		d->store->ops->close(d->store);
	for (unsigned int i = 0; i < d->reactor_count; i++)
		reactor_destroy(d->reactors[i]);
	slab_destroy(d->slab);
	config_free(d->config);
	sem_destroy(&d->done);
	changes_close(d->changes);
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

/* What commands have changed before the last restart. 0 or the exit status. */
static int add_changes(struct daemon *d)
{
	struct config *given = d->config;
	char why[CONFIG_WHY];
	int err;

	d->config = NULL;
	err = changes_open(given, d->options.file, &d->changes, &d->config, why, sizeof(why));
	if (err)
		fprintf(stderr, "riserd: %s\n", why);
	return err == -EBADMSG ? STATUS_CONFIG : err ? 1 : 0;
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
		return add_changes(d);
	printf("%s: %u target%s, %u portal%s\n", o->file, d->config->target_count,
	       d->config->target_count == 1 ? "" : "s", d->config->portal_count,
	       d->config->portal_count == 1 ? "" : "s");
	return -1;
}

int main(int argc, char **argv)
{
	struct daemon *d = calloc(1, sizeof(*d));
	sigset_t set;
	int status = 1;

	if (!d || sem_init(&d->done, 0, 0) || pthread_mutex_init(&d->rpc.lock, NULL))
		return 1;
	secret_guard_json();
	d->rpc.events = events_new();
	d->rpc.images = images_new(d->rpc.events);
	if (!d->rpc.events || !d->rpc.images)
		return 1;
	log_observe(events_of_log, d->rpc.events);
	lu_watch_operations(events_of_operation, d->rpc.events);
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
	signal(SIGXFSZ, SIG_IGN); /* a file beyond `ulimit -f` is an error of that file alone */
	log_set_level(d->config->log_level);
	raise_limits();
	status = 1;
	d->notify = notify_open();
	if (!inherit_sockets(&d->inherited) && !open_store(d) && !create_reactors(d) &&
	    !go_live(d) && !tell_isns(d) && !start_reactors(d) && !start_control(d) &&
	    !start_metrics(d))
		status = serve(d, &set);
	tear_down(d);
	return status;
}
