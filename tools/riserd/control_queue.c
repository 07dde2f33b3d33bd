// SPDX-License-Identifier: BSD-2-Clause
/* Requests that the main thread runs: there and back. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "change.h"
#include "control_impl.h"

void queue_free_call(struct main_call *call)
{
	rpc_request_end(&call->request);
	free(call);
}

bool queue_call(struct client *c, const struct rpc_request *request)
{
	struct control *control = c->control;
	struct main_call *call = calloc(1, sizeof(*call));

	if (!call)
		return false;
	call->request = *request;
	call->client = c;
	call->batch = json_is_array(c->text);
	call->deadline = control_now() + CONTROL_MAIN_S * NSEC_PER_SEC;
	c->waits = call;
	pthread_mutex_lock(&control->lock);
	list_add_tail(&control->queued, &call->node);
	pthread_mutex_unlock(&control->lock);
	eventfd_write(control->main_fd, 1);
	return true;
}

bool queue_forget(struct client *c)
{
	struct control *control = c->control;
	struct main_call *call = c->waits;
	bool begun;

	c->waits = NULL;
	pthread_mutex_lock(&control->lock);
	begun = call->running || !call->request.method;
	if (!begun)
		list_del(&call->node);
	pthread_mutex_unlock(&control->lock);
	call->client = NULL;
	if (!begun)
		queue_free_call(call);
	return !begun;
}

void queue_collect(struct control *control)
{
	struct list finished, *node;

	list_init(&finished);
	pthread_mutex_lock(&control->lock);
	list_splice_tail(&finished, &control->finished);
	pthread_mutex_unlock(&control->lock);
	while ((node = list_pop(&finished))) {
		struct main_call *call = list_entry(node, struct main_call, node);

		if (!call->client || !client_finished(call->client, call))
			queue_free_call(call);
	}
}

static void run(struct control *control, struct main_call *call)
{
	struct changes *changes = control->context->changes;
	size_t before = changes_waiting(changes);
	struct change_failure f;

	changes_later(changes, call->batch);
	if (call->request.method)
		rpc_request_run(&call->request);
	else if (!changes_flush(changes, &f))
		call->request.status =
			rpc_fail(&call->request.call, f.status, f.object, f.hint, "%s", f.message);
	call->unsure = changes_waiting(changes) > before;
}

void control_run_main(struct control *control)
{
	struct main_call *call;
	struct list *node;
	eventfd_t n;
	bool more;

	if (!control)
		return;
	eventfd_read(control->main_fd, &n);
	pthread_mutex_lock(&control->lock);
	node = list_pop(&control->queued);
	more = !list_empty(&control->queued);
	call = node ? list_entry(node, struct main_call, node) : NULL;
	if (call)
		call->running = true;
	pthread_mutex_unlock(&control->lock);
	if (more)
		eventfd_write(control->main_fd, 1);
	if (!call)
		return;
	run(control, call);
	pthread_mutex_lock(&control->lock);
	list_add_tail(&control->finished, &call->node);
	pthread_mutex_unlock(&control->lock);
	control_wake(control);
}
