// SPDX-License-Identifier: BSD-2-Clause
/*
 * What is exported changes while reactors run. A login sees one set of exports from its beginning to its
 * end; at the end, when the session is registered, it has to be right by the present set too. Sessions
 * are moved on to the present set by a visit to each reactor. The old one goes when its last user does.
 *
 * And the search for those that still use units which nobody finds any more: see scsi/live.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "session/command.h"
#include "session/detach.h"
#include "session/login_drive.h"
#include "session/name.h"
#include "session/tmf.h"

/* --- Exports */

struct exports *exports_keep(struct exports *exports)
{
	exports->users++;
	return exports;
}

struct exports *exports_get(struct server *server)
{
	struct exports *exports;

	pthread_mutex_lock(&server->lock);
	exports = exports_keep(server->exports);
	pthread_mutex_unlock(&server->lock);
	return exports;
}

void exports_put(struct exports *exports)
{
	if (exports && --exports->users == 0 && exports->release)
		exports->release(exports);
}

static const struct target_config *find_target(const struct exports *exports,
					       const struct target_config *target)
{
	for (unsigned int i = 0; i < exports->target_count; i++) {
		if (exports->targets[i].scsi == target->scsi)
			return &exports->targets[i];
	}
	return NULL;
}

static const struct chap_user *find_user(const struct chap_users *users, const char *name)
{
	for (unsigned int i = 0; i < users->count; i++) {
		if (!strcmp(users->user[i].account.user, name))
			return &users->user[i];
	}
	return NULL;
}

/* Under server->lock. */
static void move_to(struct session *s, struct exports *exports, const struct target_config *target)
{
	const struct chap_users *users = target ? &target->chap : &exports->discovery_chap;
	struct login_result *who = &s->who;

	/* Whoever has an account no more has logged in all the same. */
	if (who->user)
		who->user = find_user(users, who->user->account.user);
	who->target = target;
	s->exports = exports_keep(exports);
}

bool exports_rebase(struct session *s)
{
	struct exports *now = s->server->exports, *before = s->exports;
	const struct login_result *who = &s->who;
	const struct target_config *target = NULL;

	if (before == now)
		return true;
	if (who->target) {
		target = find_target(now, who->target);
		if (!target || !target_allows(target, who->initiator_name, &who->from) ||
		    !target_in_group(target, who->portal_group_tag) || target->redirect ||
		    (target->chap.count &&
		     (!who->user || !find_user(&target->chap, who->user->account.user))))
			return false;
	}
	move_to(s, now, target);
	/* The login of this session holds it too: it is not released under the lock. */
	before->users--;
	return true;
}

void session_apply_rights(struct session *s)
{
	static struct log_limit limit = LOG_LIMIT(100);
	const struct login_result *who = &s->who;
	struct nexus_rights rights = target_rights(who->target, who->initiator_name, &who->from,
						   who->user ? who->user->account.user : NULL);
	const struct lun_set none = { 0 };
	unsigned int lun;

	if (nexus_restrict(&s->nexus, &rights, &lun))
		async_luns_changed(s, lun);
	if (!memcmp(&rights.sees, &none, sizeof(none)))
		log_write_limited(&limit, LOG_LEVEL_WARN,
				  "%s: %s sees no LUN: the initiator sections of the target do "
				  "not give it any",
				  s->nexus.target->name, who->initiator_name);
}

/* One set of exports on its way to every reactor. */
struct spreading {
	struct server *server;
	struct exports *before;
	void (*done)(void *arg);
	void *arg;
	_Atomic unsigned int pending;
	struct spread_visit {
		struct work work;
		struct spreading *spreading;
		struct reactor_state *rs;
	} visits[];
};

static void spread_to(struct session *s)
{
	const struct target_config *target = NULL;
	struct server *server = s->server;
	struct exports *before = NULL;

	pthread_mutex_lock(&server->lock);
	if (s->exports != server->exports) {
		if (s->who.target)
			target = find_target(server->exports, s->who.target);
		if (target || !s->who.target) {
			before = s->exports;
			move_to(s, server->exports, target);
		}
	}
	pthread_mutex_unlock(&server->lock);
	if (before && target)
		session_apply_rights(s);
	exports_put(before);
}

/* [each reactor] */
static void spread_visit(struct work *work)
{
	struct spread_visit *v = container_of(work, struct spread_visit, work);
	struct spreading *spreading = v->spreading;
	struct list *pos;

	list_for_each(pos, &v->rs->sessions)
		spread_to(list_entry(pos, struct session, reactor_node));
	list_for_each(pos, &v->rs->connections) {
		struct iconn *ic = list_entry(pos, struct iconn, node);

		/* Made anew by the next Text Request. */
		text_env_free(ic->text_env);
		ic->text_env = NULL;
	}
	if (atomic_fetch_sub(&spreading->pending, 1) != 1)
		return;
	exports_put(spreading->before);
	spreading->done(spreading->arg);
	free(spreading);
}

void server_set_exports(struct server *server, struct exports *exports, void (*done)(void *arg),
			void *arg)
{
	unsigned int n = server->cfg.reactor_count;
	struct spreading *spreading = NULL;

	/* A few bytes, at the console: there is nobody to refuse this to. */
	while (!spreading)
		spreading = calloc(1, sizeof(*spreading) + n * sizeof(spreading->visits[0]));
	exports->users++;
	pthread_mutex_lock(&server->lock);
	spreading->before = server->exports;
	server->exports = exports;
	pthread_mutex_unlock(&server->lock);
	spreading->server = server;
	spreading->done = done;
	spreading->arg = arg;
	spreading->pending = n;
	for (unsigned int i = 0; i < n; i++) {
		struct spread_visit *v = &spreading->visits[i];

		*v = (struct spread_visit){ { .fn = spread_visit },
					    spreading,
					    &server->reactors[i] };
		reactor_post(v->rs->reactor, &v->work);
	}
}

void server_each_session(struct server *server,
			 void (*visit)(const struct session_info *session, void *arg), void *arg)
{
	struct list *pos;

	pthread_mutex_lock(&server->lock);
	for (unsigned int i = 0; i < REGISTRY_BUCKETS; i++) {
		list_for_each(pos, &server->registry[i]) {
			const struct session *s = list_entry(pos, struct session, registry_node);
			struct session_info info = {
				.target = s->nexus.target,
				.initiator = s->who.initiator_name,
				.user = s->who.user ? s->who.user->account.user : NULL,
				.from = s->who.from,
				.tag = s->who.portal_group_tag,
				.tsih = s->tsih,
			};

			visit(&info, arg);
		}
	}
	pthread_mutex_unlock(&server->lock);
}

/* --- Limits */

void server_set_limits(struct server *server, const struct server_limits *limits)
{
	struct server_limits *now = &server->cfg.limits;
	size_t commands;

#define SET(name) __atomic_store_n(&now->name, limits->name, __ATOMIC_RELAXED)
	SET(login_timeout_s);
	SET(data_timeout_s);
	SET(nop_interval_s);
	SET(session_connections);
	SET(error_recovery_level);
	SET(login_failures);
	SET(max_connections);
#undef SET
	commands = (size_t)limits->max_connections * (now->window + IMMEDIATE_MAX);
	for (unsigned int i = 0; i < server->cfg.reactor_count; i++) {
		pool_raise(&server->reactors[i].commands, commands);
		pool_raise(&server->reactors[i].replies, commands);
		pool_raise(&server->reactors[i].held, commands);
		pool_raise(&server->reactors[i].recoveries, commands);
	}
}

/* --- Who uses units that are leaving */

struct searching {
	struct unit_search what;
	_Atomic unsigned int pending;
	struct search_visit {
		struct work work;
		struct searching *searching;
		struct reactor_state *rs;
	} visits[];
};

/* The unit is at work for the command, or somebody waits for the end of the command and names it by its
 * unit. One that waits for its turn has not looked for its unit yet. */
bool command_uses_unit(const struct command *c)
{
	if (c->submitted && !c->task.lu)
		return false; /* has not found it */
	return c->answered ? c->moving : c->submitted || c->task.aborted;
}

/* An answer that the initiator does not take is not waited for: its latency counts now, while the unit has a
 * place for it. */
static void count_answered(struct command *c)
{
	if (c->answered && !c->moving && c->task.latency && lu_is_leaving(c->task.lu))
		command_count(c);
}

static bool session_uses(const struct session *s)
{
	struct list *pos;
	bool uses = false;

	list_for_each(pos, &s->commands) {
		struct command *c = list_entry(pos, struct command, node);

		count_answered(c);
		if (command_uses_unit(c))
			uses |= task_uses_leaving(&c->task, c->arrived);
	}
	list_for_each(pos, &s->tmfs) {
		const struct tmf *tmf = list_entry(pos, struct tmf, node);

		if (!tmf->lu || !lu_is_leaving(tmf->lu))
			continue;
		lu_add_user(tmf->lu, tmf->deadline - TMF_TIMEOUT_S * NSEC_PER_SEC);
		uses = true;
	}
	return uses;
}

/* [each reactor] */
static void search_visit(struct work *work)
{
	static struct log_limit limit = LOG_LIMIT(100);
	struct search_visit *v = container_of(work, struct search_visit, work);
	struct searching *searching = v->searching;
	const struct unit_search *what = &searching->what;
	struct list *pos;

	list_for_each(pos, &v->rs->sessions) {
		struct session *s = list_entry(pos, struct session, reactor_node);

		if (s->who.type != SESSION_NORMAL)
			continue;
		if (what->cut)
			session_cut_loose(s, what->cut == UNIT_CLOSE);
		if (session_uses(s) && what->tell)
			log_write_limited(&limit, LOG_LEVEL_WARN,
					  "%s: commands of %s, session %u, are not over",
					  s->nexus.target->name, s->who.initiator_name, s->tsih);
		if (what->forget)
			nexus_forget_leaving(&s->nexus);
	}
	for (unsigned int i = 0; i < what->unit_count; i++) {
		if (lu_busy(what->units[i], v->rs->reactor))
			lu_set_busy(what->units[i]);
	}
	if (atomic_fetch_sub(&searching->pending, 1) != 1)
		return;
	what->done(what->arg);
	free(searching);
}

int server_find_users(struct server *server, const struct unit_search *what)
{
	unsigned int n = server->cfg.reactor_count;
	struct searching *searching =
		calloc(1, sizeof(*searching) + n * sizeof(searching->visits[0]));

	if (!searching)
		return -ENOMEM;
	searching->what = *what;
	searching->pending = n;
	for (unsigned int i = 0; i < what->unit_count; i++)
		lu_forget_users(what->units[i]);
	for (unsigned int i = 0; i < n; i++) {
		struct search_visit *v = &searching->visits[i];

		*v = (struct search_visit){ { .fn = search_visit },
					    searching,
					    &server->reactors[i] };
		reactor_post(v->rs->reactor, &v->work);
	}
	return 0;
}
