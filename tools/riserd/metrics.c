// SPDX-License-Identifier: BSD-2-Clause
/* The HTTP server. */
#include "metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "metrics_impl.h"
#include "options.h"

enum {
	TIMEOUT_S = 10, /* of a connection that says nothing, or reads nothing */
	CONNECTION_BYTES = 16 << 10, /* for a request's header */
	MADE_ANEW_MS = 250, /* an answer is not older */
	TURN_MS = 1000, /* reactors have turned by then, or they hang */
	UNREAD_BYTES = 128 << 20, /* of answers that are not read to the end: no more are made */
};

/* Whether a reactor still turns. */
struct pulse {
	struct work work;
	_Atomic bool beats; /* it has; else work is under way */
	uint64_t asked; /* ns: when that was sent */
};

/* What an answer consists of. */
struct body {
	char *data;
	size_t len;
	size_t *sum; /* of all that there are */
};

/* An answer that is made now and then. */
struct kept {
	struct MHD_Response *response; /* NULL: none yet */
	size_t len;
	uint64_t made; /* ns */
};

struct metrics {
	struct metrics_view view;
	struct MHD_Daemon *http; /* NULL: does not listen */
	pthread_t thread;
	bool runs; /* the thread, until it is joined */
	sem_t serve; /* it may: metrics_serve(), or it shall end */
	int stop_fd; /* eventfd: readable when it is to end */
	struct visitors visitors;
	bool loopback; /* listens there */
	struct MHD_Response *page;
	struct kept text, json;
	size_t answers; /* bytes of all that were made and are not gone */
	struct pulse pulses[REACTOR_MAX];
	struct metrics *older; /* metrics_retire() */
};

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* --- Answers */

static struct MHD_Response *with_type(struct MHD_Response *r, const char *type)
{
	if (!r)
		return NULL;
	MHD_add_response_header(r, "Content-Type", type);
	MHD_add_response_header(r, "Cache-Control", "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	return r;
}

static struct MHD_Response *response_of(const char *text, size_t len,
					enum MHD_ResponseMemoryMode mode, const char *type)
{
	return with_type(MHD_create_response_from_buffer(len, (char *)(uintptr_t)text, mode), type);
}

static void body_free(void *arg)
{
	struct body *body = arg;

	*body->sum -= body->len;
	free(body->data);
	free(body);
}

/* Takes data. */
static struct MHD_Response *counted_response(struct metrics *m, char *data, size_t len,
					     const char *type)
{
	struct body *body = malloc(sizeof(*body));
	struct MHD_Response *r;

	if (!body) {
		free(data);
		return NULL;
	}
	*body = (struct body){ .data = data, .len = len, .sum = &m->answers };
	m->answers += len;
	r = MHD_create_response_from_buffer_with_free_callback_cls(len, data, body_free, body);
	if (!r)
		body_free(body);
	return with_type(r, type);
}

static enum MHD_Result answer(struct MHD_Connection *c, unsigned int status, struct MHD_Response *r)
{
	return r ? MHD_queue_response(c, status, r) : MHD_NO;
}

static enum MHD_Result say(struct MHD_Connection *c, unsigned int status, const char *text)
{
	struct MHD_Response *r =
		response_of(text, strlen(text), MHD_RESPMEM_MUST_COPY, "text/plain; charset=utf-8");
	enum MHD_Result result;

	if (r && status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, "Allow", "GET, HEAD");
	result = answer(c, status, r);
	if (r)
		MHD_destroy_response(r);
	return result;
}

static struct MHD_Response *make_text(struct metrics *m)
{
	char *data = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&data, &len);
	bool failed;

	if (!out)
		return NULL;
	metrics_write_text(&m->view, out);
	failed = ferror(out);
	if (fclose(out) || failed) {
		free(data);
		return NULL;
	}
	return counted_response(m, data, len, "text/plain; version=0.0.4; charset=utf-8");
}

static struct MHD_Response *make_json(struct metrics *m)
{
	json_t *json = metrics_json(&m->view);
	char *data = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	return data ? counted_response(m, data, strlen(data), "application/json") : NULL;
}

/* Whoever asks in a loop costs no more than who asks now and then. */
static struct MHD_Response *keep(struct metrics *m, struct kept *kept,
				 struct MHD_Response *(*make)(struct metrics *m))
{
	uint64_t now = monotonic_ns();
	struct MHD_Response *r;
	size_t before;

	if (kept->response && now - kept->made < MADE_ANEW_MS * NSEC_PER_MSEC)
		return kept->response;
	/* Who asks and does not read holds an answer; many of them must not hold all memory. */
	if (m->answers - m->text.len - m->json.len >= UNREAD_BYTES)
		return NULL;
	before = m->answers;
	r = make(m);
	if (!r)
		return NULL;
	kept->len = m->answers - before;
	if (kept->response)
		MHD_destroy_response(kept->response); /* who is being answered has a share in it */
	kept->response = r;
	kept->made = now;
	return r;
}

static enum MHD_Result answer_kept(struct metrics *m, struct MHD_Connection *c, struct kept *kept,
				   struct MHD_Response *(*make)(struct metrics *m))
{
	struct MHD_Response *r = keep(m, kept, make);

	return r ? answer(c, MHD_HTTP_OK, r)
		 : say(c, MHD_HTTP_SERVICE_UNAVAILABLE,
		       "out of memory, or too much of it is in answers that nobody reads\n");
}

/* --- Health */

static void beat(struct work *work)
{
	atomic_store(&container_of(work, struct pulse, work)->beats, true);
}

static void feel_pulses(struct metrics *m)
{
	const struct rpc_context *x = m->view.context;

	for (unsigned int i = 0; i < x->reactor_count; i++) {
		struct pulse *p = &m->pulses[i];

		if (!atomic_exchange(&p->beats, false))
			continue; /* the last one is still on its way */
		p->asked = monotonic_ns();
		p->work.fn = beat;
		reactor_post(x->reactors[i], &p->work);
	}
}

/* A reactor that has not turned, or -1; *hangs: it has had time enough. */
static int silent_reactor(const struct metrics *m, bool *hangs)
{
	uint64_t now = monotonic_ns();
	int silent = -1;

	*hangs = false;
	for (unsigned int i = 0; i < m->view.context->reactor_count && !*hangs; i++) {
		if (atomic_load(&m->pulses[i].beats))
			continue;
		silent = (int)i;
		*hangs = now - m->pulses[i].asked >= TURN_MS * NSEC_PER_MSEC;
	}
	return silent;
}

static enum MHD_Result answer_health(struct metrics *m, struct MHD_Connection *c)
{
	static const struct timespec pause = { .tv_nsec = NSEC_PER_MSEC };
	char text[128];
	bool hangs;
	int silent;

	feel_pulses(m);
	/* Others wait for this thread: no second time for a reactor that is known to hang. */
	while ((silent = silent_reactor(m, &hangs)) >= 0 && !hangs)
		nanosleep(&pause, NULL);
	if (silent < 0)
		return say(c, MHD_HTTP_OK, "ok\n");
	snprintf(text, sizeof(text), "reactor %d has not turned for %d ms\n", silent, TURN_MS);
	return say(c, MHD_HTTP_SERVICE_UNAVAILABLE, text);
}

/* --- Requests */

/* A name in the Host header that leads here may be anybody's: a page from elsewhere would read ours by it.
 * Who has us listen elsewhere than on loopback wants us to be read. */
static bool host_is_ours(const struct metrics *m, struct MHD_Connection *c)
{
	const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");
	struct portal_address address;

	if (!m->loopback || !host || options_parse_address(host, &address))
		return true;
	return !strncmp(host, "localhost", 9) && (!host[9] || host[9] == ':');
}

static struct visitor *visitor_of(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_size, void **request)
{
	static int begun;
	struct metrics *m = arg;

	(void)version, (void)data;
	/* With the first call an answer would be too early for whoever sends a body. */
	if (!*request) {
		*request = &begun;
		if (visitor_of(c))
			visitor_asks(visitor_of(c), monotonic_ns());
		return MHD_YES;
	}
	if (*data_size) {
		*data_size = 0;
		return MHD_YES;
	}
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return say(c, MHD_HTTP_METHOD_NOT_ALLOWED, "this is only to look at: GET\n");
	if (!host_is_ours(m, c))
		return say(c, MHD_HTTP_FORBIDDEN,
			   "ask for an address or localhost, not for a name\n");
	if (!strcmp(url, "/"))
		return answer(c, MHD_HTTP_OK, m->page);
	if (!strcmp(url, "/metrics"))
		return answer_kept(m, c, &m->text, make_text);
	if (!strcmp(url, "/status.json"))
		return answer_kept(m, c, &m->json, make_json);
	if (!strcmp(url, "/healthz"))
		return answer_health(m, c);
	return say(c, MHD_HTTP_NOT_FOUND, "there are /, /metrics and /healthz\n");
}

static void on_answered(void *arg, struct MHD_Connection *c, void **request,
			enum MHD_RequestTerminationCode how)
{
	(void)arg, (void)request, (void)how;
	if (visitor_of(c))
		visitor_is_answered(visitor_of(c), monotonic_ns());
}

static void on_connection(void *arg, struct MHD_Connection *c, void **visitor,
			  enum MHD_ConnectionNotificationCode what)
{
	struct metrics *m = arg;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		*visitor = visitor_comes(
			&m->visitors,
			MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd,
			MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr,
			monotonic_ns());
	else if (*visitor)
		visitor_goes(&m->visitors, *visitor);
}

/* --- The thread */

static int timeout_ms(struct metrics *m, uint64_t next)
{
	uint64_t now = monotonic_ns(), ms = INT32_MAX;
	MHD_UNSIGNED_LONG_LONG wanted;

	if (next != UINT64_MAX)
		ms = next <= now ? 0 : (next - now) / NSEC_PER_MSEC + 1;
	if (MHD_get_timeout(m->http, &wanted) == MHD_YES && wanted < ms)
		ms = wanted;
	return (int)(ms < INT32_MAX ? ms : INT32_MAX);
}

static void *run(void *arg)
{
	struct metrics *m = arg;
	struct pollfd fds[] = {
		{ .fd = MHD_get_daemon_info(m->http, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
		  .events = POLLIN },
		{ .fd = m->stop_fd, .events = POLLIN },
	};
	uint64_t next = UINT64_MAX;

	pthread_setname_np(pthread_self(), "metrics");
	while (sem_wait(&m->serve))
		;
	poll(&fds[1], 1, 0); /* it may end before it has begun */
	while (!fds[1].revents) {
		poll(fds, array_size(fds), timeout_ms(m, next));
		MHD_run(m->http);
		next = visitors_look(&m->visitors, monotonic_ns());
	}
	return NULL;
}

/* --- Life */

static int socket_of(const struct metrics *m)
{
	return m && m->http ? MHD_get_daemon_info(m->http, MHD_DAEMON_INFO_LISTEN_FD)->listen_fd
			    : -1;
}

/* The port that the one before has may be wanted on more addresses, or on fewer: for as long as this takes
 * the two may share it, and nobody else. */
static void share_port(int fd, int before, int on)
{
	if (before < 0)
		return;
	setsockopt(before, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

static int listen_on(const struct portal_address *addr, int before, int *out)
{
	static const int on = 1;
	int fd = socket(addr->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = 0;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	share_port(fd, before, 1);
	if (bind(fd, (const struct sockaddr *)&addr->addr, addr->len) || listen(fd, SOMAXCONN))
		err = -errno;
	share_port(fd, before, 0);
	if (err)
		close(fd);
	else
		*out = fd;
	return err;
}

static struct MHD_Response *make_page(void)
{
	struct MHD_Response *r =
		response_of(metrics_page, (size_t)(metrics_page_end - metrics_page),
			    MHD_RESPMEM_PERSISTENT, "text/html; charset=utf-8");

	if (r)
		MHD_add_response_header(r, "Content-Security-Policy",
					"default-src 'none'; style-src 'unsafe-inline'; "
					"script-src 'unsafe-inline'; connect-src 'self'; "
					"img-src data:; base-uri 'none'; form-action 'none'; "
					"frame-ancestors 'none'");
	return r;
}

static int start_http(struct metrics *m, int fd)
{
	int err;

	visitors_init(&m->visitors);
	m->page = make_page();
	m->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!m->page || m->stop_fd < 0)
		return -ENOMEM;
	m->http = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, m,
				   MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
				   (unsigned int)(VISITORS + VISITORS_MORE),
				   MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)TIMEOUT_S,
				   MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
				   MHD_OPTION_NOTIFY_CONNECTION, on_connection, m,
				   MHD_OPTION_NOTIFY_COMPLETED, on_answered, m, MHD_OPTION_END);
	if (!m->http)
		return -ENOMEM;
	err = -pthread_create(&m->thread, NULL, run, m);
	m->runs = !err;
	return err;
}

int metrics_open(struct rpc_context *context, const struct portal_address *addr,
		 const struct metrics *before, struct metrics **out)
{
	struct metrics *m = calloc(1, sizeof(*m));
	int fd = -1, err = m ? listen_on(addr, socket_of(before), &fd) : -ENOMEM;
	char name[64];

	*out = NULL;
	if (m) {
		m->stop_fd = -1;
		sem_init(&m->serve, 0, 0);
	}
	if (!err) {
		m->view.context = context;
		m->loopback = options_is_loopback(addr);
		for (unsigned int i = 0; i < context->reactor_count; i++)
			m->pulses[i].beats = true;
		err = start_http(m, fd);
	}
	if (!err) {
		*out = m;
		return 0;
	}
	address_format(&addr->addr, name, sizeof(name));
	log_error("metrics: cannot listen on %s: %s%s", name, strerror(-err),
		  err == -EADDRINUSE ? "; choose another port for listen in metrics { }" : "");
	if (fd >= 0 && !(m && m->http)) /* which closes it */
		close(fd);
	metrics_stop(m);
	metrics_free(m);
	return err;
}

void metrics_serve(struct metrics *m)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);
	char name[64];

	getsockname(socket_of(m), (struct sockaddr *)&ss, &len);
	address_format(&ss, name, sizeof(name));
	log_info("metrics and status page: http://%s/", name);
	sem_post(&m->serve);
}

void metrics_stop(struct metrics *m)
{
	if (!m)
		return;
	if (m->runs) {
		eventfd_write(m->stop_fd, 1);
		sem_post(&m->serve);
		pthread_join(m->thread, NULL);
	}
	m->runs = false;
	if (m->http)
		MHD_stop_daemon(m->http); /* and closes the socket */
	m->http = NULL;
}

static void free_one(struct metrics *m)
{
	if (m->page)
		MHD_destroy_response(m->page);
	if (m->text.response)
		MHD_destroy_response(m->text.response);
	if (m->json.response)
		MHD_destroy_response(m->json.response);
	if (m->stop_fd >= 0)
		close(m->stop_fd);
	sem_destroy(&m->serve);
	free(m);
}

void metrics_free(struct metrics *m)
{
	struct metrics *older;

	for (; m; m = older) {
		older = m->older;
		free_one(m);
	}
}

static bool is_awaited(const struct metrics *m)
{
	for (unsigned int i = 0; i < m->view.context->reactor_count; i++) {
		if (!atomic_load(&m->pulses[i].beats))
			return true;
	}
	return false;
}

struct metrics *metrics_retire(struct metrics *m, struct metrics *older)
{
	struct metrics *kept = NULL, *next;

	if (m)
		m->older = older;
	else
		m = older;
	for (; m; m = next) {
		next = m->older;
		if (is_awaited(m)) {
			m->older = kept;
			kept = m;
		} else {
			free_one(m);
		}
	}
	return kept;
}
