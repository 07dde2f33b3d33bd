// SPDX-License-Identifier: BSD-2-Clause
/*
 * The server: portals, the registry that finds a session by initiator or TSIH from any reactor,
 * session reinstatement.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "session/capturing.h"
#include "session/flow.h"
#include "session/login_drive.h"

const struct server_limits server_default_limits = {
	.login_timeout_s = 15,
	.data_timeout_s = 60,
	.nop_interval_s = 15,
	.max_unauthenticated = 128,
	.max_connections = 4096,
	.session_connections = 4,
	.error_recovery_level = 2,
	.window = 128,
	.login_pdus = 20,
	.login_bytes = 65536,
	.login_failures = 10,
};

struct reactor_state *reactor_state_of(struct server *server, const struct reactor *r)
{
	return &server->reactors[r->index];
}

static void reactor_state_init(struct server *s, unsigned int i)
{
	struct reactor_state *rs = &s->reactors[i];
	const struct server_limits *l = &s->cfg.limits;
	size_t commands = (size_t)l->max_connections * (l->window + IMMEDIATE_MAX);

	rs->server = s;
	rs->reactor = s->cfg.reactors[i];
	pool_init(&rs->commands, sizeof(struct command), 32, commands);
	pool_init(&rs->replies, sizeof(struct reply), 32, commands);
	pool_init(&rs->held, sizeof(struct held), 32, commands);
	recovery_init(rs, commands);
	flow_init(rs);
	list_init(&rs->connections);
	list_init(&rs->unauthenticated);
	list_init(&rs->sessions);
	list_init(&rs->detached);
	list_init(&rs->abort_waits);
	rs->drain_work.fn = drain_begin;
	rs->statistics_work.fn = log_statistics;
	rs->drain_timer.fn = drain_tick;
	rs->evict_timer.fn = newcomers_time;
}

int server_create(const struct server_config *cfg, struct server **out)
{
	struct server *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return -ENOMEM;
	s->reactors = calloc(cfg->reactor_count, sizeof(*s->reactors));
	if (!s->reactors) {
		free(s);
		return -ENOMEM;
	}
	s->cfg = *cfg;
	s->first_exports = (struct exports){ .targets = cfg->targets,
					     .target_count = cfg->target_count,
					     .discovery_chap = cfg->discovery_chap,
					     .users = 1 };
	s->exports = cfg->exports ? exports_keep(cfg->exports) : &s->first_exports;
	pthread_mutex_init(&s->lock, NULL);
	login_failures_init(&s->login_failures);
	for (unsigned int i = 0; i < REGISTRY_BUCKETS; i++)
		list_init(&s->registry[i]);
	for (unsigned int i = 0; i < cfg->reactor_count; i++)
		reactor_state_init(s, i);
	*out = s;
	return 0;
}

void server_destroy(struct server *s)
{
	if (!s)
		return;
	for (unsigned int i = 0; i < s->cfg.reactor_count; i++) {
		pool_destroy(&s->reactors[i].commands);
		pool_destroy(&s->reactors[i].replies);
		pool_destroy(&s->reactors[i].held);
		pool_destroy(&s->reactors[i].recoveries);
		capture_release(&s->reactors[i]);
	}
	exports_put(s->exports);
	pthread_mutex_destroy(&s->lock);
	login_failures_destroy(&s->login_failures);
	free(s->reactors);
	free(s);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;

		return x->sin6_port == y->sin6_port && x->sin6_scope_id == y->sin6_scope_id &&
		       !memcmp(&x->sin6_addr, &y->sin6_addr, sizeof(x->sin6_addr));
	}
	return ((const struct sockaddr_in *)a)->sin_port ==
		       ((const struct sockaddr_in *)b)->sin_port &&
	       ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

bool address_is_wildcard(const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)ss)->sin6_addr);
	return ((const struct sockaddr_in *)ss)->sin_addr.s_addr == htonl(INADDR_ANY);
}

static bool served_over(const struct portal *p, const struct transport_ops *transport)
{
	for (unsigned int i = 0; i < p->listener_count; i++) {
		if (p->listeners[i].transport == transport)
			return true;
	}
	return false;
}

static in_port_t port_of(const struct sockaddr_storage *ss)
{
	return ((const struct sockaddr_in *)ss)->sin_port; /* at the same place in both families */
}

static struct portal_entry entry_of(const struct portal *p)
{
	return (struct portal_entry){ p->tag, p->redirect };
}

/* Each transport has ports of its own: an address may be the portal of one, and one of those that
 * the wildcard of another means. */
struct portal_entry server_portal_of(const struct server *s, const struct conn *conn)
{
	const struct sockaddr_storage *local = &conn->local;
	struct portal_entry found = { .tag = 1 };

	for (unsigned int i = 0; i < s->portal_count; i++) {
		const struct portal *p = &s->portals[i];
		const struct sockaddr_storage *ss = &p->address.addr;

		if (!served_over(p, conn->ops))
			continue;
		if (same_address(ss, local))
			return entry_of(p);
		if (address_is_wildcard(ss) && ss->ss_family == local->ss_family &&
		    port_of(ss) == port_of(local))
			found = entry_of(p);
	}
	return found;
}

/* The portal with this address, or the place for a new one; NULL: there is none left. Port 0 is
 * never the port of a portal. */
static struct portal *find_portal(struct server *s, const struct portal_address *addr)
{
	for (unsigned int i = 0; i < s->portal_count; i++) {
		if (same_address(&s->portals[i].address.addr, &addr->addr))
			return &s->portals[i];
	}
	return s->portal_count < PORTALS_MAX ? &s->portals[s->portal_count] : NULL;
}

int server_listen(struct server *s, const struct transport_ops *transport,
		  struct portal_address *addr, uint16_t tag, char *why, size_t why_size)
{
	struct portal *p = find_portal(s, addr);
	struct listener *listener;
	char name[64];
	int err;

	if (!p) {
		snprintf(why, why_size, "more than %d portals", PORTALS_MAX);
		return -ENOSPC;
	}
	if (p->listener_count && p->tag != tag) {
		address_format(&addr->addr, name, sizeof(name));
		snprintf(why, why_size, "%s: tag=%u: is in portal group %u already", name, tag,
			 p->tag);
		return -EINVAL;
	}
	if (p->listener_count == TRANSPORTS_MAX) {
		snprintf(why, why_size, "more than %d transports on a portal", TRANSPORTS_MAX);
		return -ENOSPC;
	}
	err = transport->listen(s->cfg.reactors[0], addr, &session_conn_up, s, &listener, why,
				why_size);
	if (err)
		return err;
	pthread_mutex_lock(&s->lock);
	if (p == &s->portals[s->portal_count]) {
		*p = (struct portal){ .address = *addr, .tag = tag };
		s->portal_count++;
	}
	p->listeners[p->listener_count].transport = transport;
	p->listeners[p->listener_count++].listener = listener;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

unsigned int server_portal_transports(struct server *s, const struct portal_address *addr,
				      const char *names[])
{
	const struct portal *p;
	unsigned int n = 0;

	pthread_mutex_lock(&s->lock);
	p = find_portal(s, addr);
	if (p && p != &s->portals[s->portal_count]) {
		for (; n < p->listener_count; n++)
			names[n] = p->listeners[n].transport->name;
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* Stops the listeners of a portal that is in no table any more. */
struct unlistening {
	struct work work;
	struct portal portal;
	void (*stopped)(void *arg);
	void *arg;
};

/* [reactor 0] */
static void unlisten(struct work *work)
{
	struct unlistening *u = container_of(work, struct unlistening, work);

	for (unsigned int i = 0; i < u->portal.listener_count; i++)
		u->portal.listeners[i].transport->unlisten(u->portal.listeners[i].listener);
	u->stopped(u->arg);
	free(u);
}

bool server_unlisten(struct server *s, const struct portal_address *addr, void (*fn)(void *arg),
		     void *arg)
{
	struct portal *p = find_portal(s, addr), *end = &s->portals[s->portal_count];
	struct unlistening *u = p && p != end ? calloc(1, sizeof(*u)) : NULL;

	if (!u)
		return false;
	*u = (struct unlistening){ { .fn = unlisten }, *p, fn, arg };
	pthread_mutex_lock(&s->lock);
	memmove(p, p + 1, (size_t)(end - p - 1) * sizeof(*p));
	s->portal_count--;
	pthread_mutex_unlock(&s->lock);
	reactor_post(s->cfg.reactors[0], &u->work);
	return true;
}

void server_redirect(struct server *s, const struct portal_address *addr, const char *redirect,
		     bool permanent)
{
	struct portal *p = find_portal(s, addr);

	if (!p || p == &s->portals[s->portal_count])
		return;
	pthread_mutex_lock(&s->lock);
	snprintf(p->redirect.where, sizeof(p->redirect.where), "%s", redirect);
	p->redirect.permanent = permanent;
	pthread_mutex_unlock(&s->lock);
}

static struct list *bucket(struct server *s, const char *name, const struct isid *isid)
{
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	for (unsigned int i = 0; i < sizeof(isid->b); i++)
		h = (h ^ isid->b[i]) * 16777619u;
	return &s->registry[h % REGISTRY_BUCKETS];
}

static bool same_nexus(const struct session *s, const struct login_result *who)
{
	return s->nexus.target == (who->target ? who->target->scsi : NULL) &&
	       s->who.portal_group_tag == who->portal_group_tag &&
	       !memcmp(&s->who.isid, &who->isid, sizeof(who->isid)) &&
	       !strcmp(s->who.initiator_name, who->initiator_name);
}

/* A name, since the account may have been written anew meanwhile. */
static bool same_user(const struct login_result *a, const struct login_result *b)
{
	if (!a->user || !b->user)
		return a->user == b->user;
	return !strcmp(a->user->account.user, b->user->account.user);
}

/* What an address may do is not to be had from another one, by way of a session that began there. */
static bool same_rights(const struct session *s, const struct login_result *who)
{
	const char *user = who->user ? who->user->account.user : NULL;
	struct nexus_rights rights;

	if (!s->who.target)
		return true;
	rights = target_rights(s->who.target, who->initiator_name, &who->from, user);
	return nexus_rights_equal(&rights, &s->nexus.rights);
}

/* RFC 7143 11.13.5. What is found is of the caller's reactor, and so does not go away under it. A
 * session has one user: whoever knows another secret of the target could read and abort its tasks. */
enum login_status server_find_session(struct reactor_state *rs, const struct login_result *who,
				      struct session **out)
{
	struct server *server = rs->server;
	enum login_status status = LOGIN_SUCCESS;
	struct session *s;

	*out = NULL;
	pthread_mutex_lock(&server->lock);
	s = server->by_tsih[who->tsih];
	if (!s || s->kill_posted)
		status = LOGIN_NO_SESSION;
	else if (!same_nexus(s, who) || !same_user(&s->who, who))
		status = LOGIN_CANNOT_INCLUDE;
	else if (s->rs != rs) /* the connection could not go there */
		status = s->who.max_connections == 1 ? LOGIN_TOO_MANY_CONNECTIONS
						     : LOGIN_CANNOT_INCLUDE;
	else
		*out = s;
	pthread_mutex_unlock(&server->lock);
	if (*out && !same_rights(s, who)) {
		*out = NULL;
		status = LOGIN_CANNOT_INCLUDE;
	}
	return status;
}

struct reactor_state *server_home_of(struct server *server, uint16_t tsih)
{
	struct reactor_state *home = NULL;

	pthread_mutex_lock(&server->lock);
	if (server->by_tsih[tsih])
		home = server->by_tsih[tsih]->rs;
	pthread_mutex_unlock(&server->lock);
	return home;
}

static uint16_t new_tsih(struct server *s)
{
	for (unsigned int tries = 0; tries < 65535; tries++) {
		if (++s->last_tsih == 0)
			s->last_tsih = 1;
		if (!s->by_tsih[s->last_tsih])
			return s->last_tsih;
	}
	return 0;
}

/* lock held. The session of the same initiator port with the same target port, if any: discovery
 * sessions have none to replace. */
static struct session *find_same(struct server *server, const struct login_result *who)
{
	struct list *head = bucket(server, who->initiator_name, &who->isid);
	struct list *pos;

	if (who->type == SESSION_DISCOVERY)
		return NULL;
	list_for_each(pos, head) {
		struct session *s = list_entry(pos, struct session, registry_node);

		if (same_nexus(s, who))
			return s;
	}
	return NULL;
}

/* Session reinstatement (RFC 7143 6.3.5): the old one must be gone, or its last writes could land after the
 * new one's first. What only reads does not hold it up for long: detach.c. */
enum register_result session_register(struct session *s, struct iconn *waiter)
{
	struct server *server = s->server;
	enum register_result result = REGISTERED;
	struct session *old;

	pthread_mutex_lock(&server->lock);
	if (!exports_rebase(s)) {
		pthread_mutex_unlock(&server->lock);
		return REGISTER_FORBIDDEN;
	}
	old = find_same(server, &s->who);
	if (old) {
		list_add_tail(&old->reinstate_waiters, &waiter->reinstate_node);
		waiter->reinstate_waiting = true;
		if (!old->kill_posted) {
			old->kill_posted = true;
			reactor_post(old->rs->reactor, &old->kill_work);
		}
		result = REGISTER_WAIT;
	} else {
		s->tsih = new_tsih(server);
		if (s->tsih) {
			server->by_tsih[s->tsih] = s;
			list_add_tail(bucket(server, s->who.initiator_name, &s->who.isid),
				      &s->registry_node);
		} else {
			result = REGISTER_NO_TSIH;
		}
	}
	pthread_mutex_unlock(&server->lock);
	return result;
}

void session_unregister(struct session *s)
{
	struct server *server = s->server;
	struct list *node;

	pthread_mutex_lock(&server->lock);
	list_del(&s->registry_node);
	server->by_tsih[s->tsih] = NULL;
	while ((node = list_pop(&s->reinstate_waiters))) {
		struct iconn *ic = list_entry(node, struct iconn, reinstate_node);

		ic->reinstate_waiting = false;
		ic->reinstate_posted = true;
		reactor_post(ic->rs->reactor, &ic->reinstate_work);
	}
	pthread_mutex_unlock(&server->lock);
}
