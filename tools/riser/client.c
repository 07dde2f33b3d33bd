// SPDX-License-Identifier: BSD-2-Clause
/* JSON-RPC 2.0, one text per line. What comes from riserd is bounded, and waited for with a deadline. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "client_impl.h"

#define LINE_MAX_BYTES ((size_t)256 << 20)

struct client {
	int fd;
	int64_t id;
	char *buf; /* what has been read and is no whole line yet, and lines behind it */
	size_t len, size, looked; /* no newline in the first `looked` bytes */
	json_t *notifications; /* array */
	int passed; /* a descriptor that came along; -1: none */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* For poll(); deadline -1: for ever. */
static int left_ms(int64_t deadline)
{
	int64_t left = deadline - now_ms();

	if (deadline < 0)
		return -1;
	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

static enum status problem(json_t **error, enum status status, const char *object, const char *hint,
			   const char *message)
{
	*error =
		json_pack("{s:s, s:{s:s, s:i, s:s*, s:s*}}", "message", message, "data", "name",
			  status_name(status), "exit", (int)status, "object", object, "hint", hint);
	return status;
}

void client_close(struct riser *r)
{
	struct client *c = r->client;

	if (!c)
		return;
	r->client = NULL;
	close(c->fd);
	if (c->passed >= 0)
		close(c->passed);
	json_decref(c->notifications);
	free(c->buf);
	free(c);
}

/* --- connecting --- */

static enum status refused(struct riser *r, int err, json_t **error)
{
	char message[512], hint[768];

	switch (err) {
	case ENOENT:
	case ECONNREFUSED:
		snprintf(message, sizeof(message), "riserd is not running: nothing listens on %s",
			 r->socket);
		return problem(
			error, STATUS_NOT_RUNNING, r->socket,
			"start it (systemctl start riser), or name its socket with --control",
			message);
	case EACCES:
	case EPERM:
		client_no_access(r->socket, message, sizeof(message), hint, sizeof(hint));
		return problem(error, STATUS_PERMISSION, r->socket, hint, message);
	case EAGAIN:
		snprintf(message, sizeof(message), "riserd does not answer on %s", r->socket);
		return problem(error, STATUS_TIMEOUT, r->socket, "see its log", message);
	default:
		snprintf(message, sizeof(message), "cannot connect to %s: %s", r->socket,
			 strerror(err));
		return problem(error, STATUS_FAILED, r->socket, NULL, message);
	}
}

/* A socket whose backlog is full says EAGAIN, and poll() does not wait for that. */
static int try_connect(int fd, const struct sockaddr_un *addr, int64_t deadline)
{
	while (connect(fd, (const struct sockaddr *)addr, sizeof(*addr))) {
		if (errno != EAGAIN && errno != EINTR)
			return errno;
		if (!left_ms(deadline))
			return EAGAIN;
		poll(NULL, 0, 20);
	}
	return 0;
}

static enum status connected(struct riser *r, int64_t deadline, json_t **error)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct client *c;
	int fd, err;

	if (r->client)
		return STATUS_OK;
	if (strlen(r->socket) >= sizeof(addr.sun_path))
		return refused(r, ENAMETOOLONG, error);
	memcpy(addr.sun_path, r->socket, strlen(r->socket));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refused(r, errno, error);
	err = try_connect(fd, &addr, deadline);
	c = err ? NULL : calloc(1, sizeof(*c));
	if (c)
		c->notifications = json_array();
	if (!c || !c->notifications) {
		free(c);
		close(fd);
		return refused(r, err ? err : ENOMEM, error);
	}
	c->fd = fd;
	c->passed = -1;
	r->client = c;
	return STATUS_OK;
}

/* A shell may find that riserd has been restarted. */
static void drop_if_gone(struct riser *r)
{
	struct pollfd p = { .fd = client_fd(r), .events = POLLIN };
	char byte;

	if (r->client && poll(&p, 1, 0) > 0 && recv(p.fd, &byte, 1, MSG_PEEK) <= 0)
		client_close(r);
}

/* --- lines --- */

static enum status lost(struct riser *r, json_t **error, int err)
{
	char message[512];

	snprintf(message, sizeof(message), "riserd closed the connection%s%s", err ? ": " : "",
		 err ? strerror(err) : "");
	client_close(r);
	return problem(error, STATUS_FAILED, r->socket,
		       "does it run? see its log (journalctl -u riser)", message);
}

static enum status late(struct riser *r, json_t **error)
{
	client_close(r); /* the answer may come yet, and would be that of the next question */
	return problem(error, STATUS_TIMEOUT, NULL, "give it longer with --timeout",
		       "riserd has not answered in time");
}

static enum status send_line(struct riser *r, const char *text, size_t len, int64_t deadline,
			     json_t **error)
{
	struct pollfd p = { .fd = r->client->fd, .events = POLLOUT };

	while (len) {
		ssize_t n = send(p.fd, text, len, MSG_NOSIGNAL);

		if (n >= 0) {
			text += n;
			len -= (size_t)n;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return STATUS_OK; /* it may have said why, before it went */
		} else if (errno != EAGAIN && errno != EINTR) {
			return lost(r, error, errno);
		} else if (poll(&p, 1, left_ms(deadline)) == 0) {
			return late(r, error);
		}
	}
	return STATUS_OK;
}

static bool grow(struct client *c)
{
	size_t size = c->size ? c->size * 2 : 65536;
	char *buf;

	if (c->size - c->len >= 4096)
		return true;
	if (size > LINE_MAX_BYTES)
		return false;
	buf = realloc(c->buf, size);
	if (!buf)
		return false;
	c->buf = buf;
	c->size = size;
	return true;
}

/* The first line as JSON, NULL if there is no whole line; *bad: it is none. */
static json_t *take_line(struct client *c, bool *bad)
{
	char *end =
		c->len > c->looked ? memchr(c->buf + c->looked, '\n', c->len - c->looked) : NULL;
	json_t *value;
	size_t n;

	c->looked = c->len;
	if (!end)
		return NULL;
	n = (size_t)(end - c->buf);
	value = json_loadb(c->buf, n, JSON_ALLOW_NUL, NULL);
	*bad = !value;
	c->len -= n + 1;
	memmove(c->buf, end + 1, c->len);
	c->looked = 0;
	return value;
}

/* read(), and keeps a descriptor that comes along. */
static ssize_t receive(struct client *c)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} control;
	struct iovec iov = { c->buf + c->len, c->size - c->len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len == CMSG_LEN(sizeof(int))) {
		if (c->passed >= 0)
			close(c->passed);
		memcpy(&c->passed, CMSG_DATA(head), sizeof(c->passed));
	}
	return n;
}

/* Stops at signals only if the caller waits for notifications. */
static enum status read_message(struct riser *r, int64_t deadline, bool stop, json_t **message,
				json_t **error)
{
	struct client *c = r->client;
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	for (;;) {
		bool bad = false;
		ssize_t n;
		int ready;

		*message = take_line(c, &bad);
		if (*message)
			return STATUS_OK;
		if (bad || !grow(c))
			return lost(r, error, bad ? EPROTO : ENOMEM);
		n = receive(c);
		if (n > 0) {
			c->len += (size_t)n;
			continue;
		}
		if (!n || (errno != EAGAIN && errno != EINTR))
			return lost(r, error, n ? errno : 0);
		ready = poll(&p, 1, left_ms(deadline));
		if (!ready || (ready < 0 && stop))
			return STATUS_TIMEOUT;
	}
}

/* --- calls --- */

static enum status status_of(const json_t *error)
{
	int64_t exit_status = member_number(json_object_get(error, "data"), "exit");
	int64_t code = member_number(error, "code");

	if ((exit_status <= 0 || exit_status >= STATUS_COUNT) && code < -32000 && code > -32700)
		exit_status = -32000 - code;
	if (exit_status > 0 && exit_status < STATUS_COUNT)
		return (enum status)exit_status;
	return code == -32602 ? STATUS_USAGE : STATUS_FAILED;
}

static enum status answer(json_t *message, json_t **result, json_t **error)
{
	json_t *e = json_object_get(message, "error");
	enum status status = STATUS_OK;

	if (e) {
		status = status_of(e);
		*error = json_incref(e);
		if (status == STATUS_PERMISSION)
			client_name_user(e);
	} else {
		*result = json_object_get(message, "result");
		*result = *result ? json_incref(*result) : json_null();
	}
	json_decref(message);
	return status;
}

static enum status exchange(struct riser *r, const char *text, int64_t deadline, json_t **result,
			    json_t **error)
{
	enum status status = send_line(r, text, strlen(text), deadline, error);
	json_t *message, *id;

	while (!status) {
		status = read_message(r, deadline, false, &message, error);
		if (status == STATUS_TIMEOUT)
			return late(r, error);
		if (status)
			break;
		id = json_object_get(message, "id");
		if (json_is_integer(id) && json_integer_value(id) == r->client->id)
			return answer(message, result, error);
		/* An answer without an id: the request was not even understood. */
		if (json_object_get(message, "error"))
			return answer(message, result, error);
		if (json_object_get(message, "method"))
			json_array_append(r->client->notifications, message);
		json_decref(message);
	}
	return status;
}

enum status client_ask(struct riser *r, const char *method, json_t *params, json_t **result,
		       json_t **error)
{
	int64_t deadline = r->timeout > 0 ? now_ms() + (int64_t)(r->timeout * 1000) : -1;
	json_t *request = NULL;
	char *text = NULL, *line = NULL;
	enum status status;

	*result = *error = NULL;
	drop_if_gone(r);
	status = connected(r, deadline, error);
	if (!status) {
		request =
			json_pack("{s:s, s:I, s:s, s:o*}", "jsonrpc", "2.0", "id",
				  (json_int_t)++r->client->id, "method", method, "params", params);
		text = request ? json_dumps(request, JSON_COMPACT) : NULL;
		if (!text || asprintf(&line, "%s\n", text) < 0) {
			line = NULL;
			status = problem(error, STATUS_FAILED, NULL, NULL, "out of memory");
		}
	} else {
		json_decref(params);
	}
	if (!status)
		status = exchange(r, line, deadline, result, error);
	free(line);
	free(text);
	json_decref(request);
	return status;
}

/* Of methods whose command has the same words. */
static bool is_verb(const char *word, size_t len)
{
	static const char *const verbs[] = {
		"list",	 "show",   "create", "set",  "delete", "kick",
		"clear", "resize", "apply",  "diff", "wait",   "cancel"
	};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strlen(verbs[i]) == len && !memcmp(verbs[i], word, len))
			return true;
	}
	return false;
}

/* Hints name methods, "lun.list": here it is "riser lun list". */
static void in_our_words(const char *hint, char *out, size_t size)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
	size_t used = 0;

	for (size_t len; *hint && used + 1 < size; hint += len) {
		size_t noun = strspn(hint, letters);
		const char *verb = noun && hint[noun] == '.' ? hint + noun + 1 : "";

		len = strspn(verb, letters);
		if (is_verb(verb, len)) {
			snprintf(out + used, size - used, "riser %.*s %.*s", (int)noun, hint,
				 (int)len, verb);
			len += noun + 1;
		} else {
			len = noun ? noun : 1;
			snprintf(out + used, size - used, "%.*s", (int)len, hint);
		}
		used += strlen(out + used);
	}
}

enum status client_report(const struct riser *r, enum status status, const json_t *error)
{
	const json_t *data = json_object_get(error, "data");
	const char *object = member_text(data, "object"), *hint = member_text(data, "hint");
	const char *message = member_text(error, "message");
	char words[512] = "";

	/* Who reads JSON gets what riserd has said. */
	if (!r->json && !strstr(message, hint)) {
		in_our_words(hint, words, sizeof(words));
		hint = words;
	} else if (!r->json) {
		hint = "";
	}
	return fail(r, status, *object ? object : NULL, *hint ? hint : NULL, "%s",
		    *message ? message : status_name(status));
}

enum status client_call(struct riser *r, const char *method, json_t *params, json_t **result)
{
	json_t *error;
	enum status status = client_ask(r, method, params, result, &error);

	if (status)
		client_report(r, status, error);
	json_decref(error);
	return status;
}

enum status client_next(struct riser *r, int timeout_ms, json_t **notification)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	json_t *error = NULL;
	enum status status;

	*notification = NULL;
	if (!r->client)
		return STATUS_NOT_RUNNING;
	if (json_array_size(r->client->notifications)) {
		*notification = json_incref(json_array_get(r->client->notifications, 0));
		json_array_remove(r->client->notifications, 0);
		return STATUS_OK;
	}
	status = read_message(r, deadline, true, notification, &error);
	if (status && status != STATUS_TIMEOUT)
		client_report(r, status, error);
	json_decref(error);
	return status;
}

int client_fd(const struct riser *r)
{
	return r->client ? r->client->fd : -1;
}

int client_take_fd(struct riser *r)
{
	int fd = r->client ? r->client->passed : -1;

	if (r->client)
		r->client->passed = -1;
	return fd;
}

bool client_pending(const struct riser *r)
{
	const struct client *c = r->client;

	return c && (json_array_size(c->notifications) || (c->len && memchr(c->buf, '\n', c->len)));
}
