// SPDX-License-Identifier: BSD-2-Clause
/* What is different between a configuration and what runs, and who would mind. */
#include <unistd.h>

#include "live_impl.h"

static void target_put(struct live_target *t)
{
	if (t && --t->users == 0)
		free(t);
}

/* [any thread] */
static void release(struct exports *exports)
{
	struct generation *g = container_of(exports, struct generation, exports);

	for (unsigned int i = 0; i < g->config->target_count; i++)
		target_put(g->of[i]);
	config_free(g->config);
	free(g->targets);
	free(g->of);
	free(g);
}

void generation_put(struct generation *g)
{
	if (g && --g->exports.users == 0)
		release(&g->exports);
}

struct generation *generation_new(struct config *config)
{
	struct generation *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->config = config;
	g->targets = calloc(config->target_count + 1, sizeof(*g->targets));
	g->of = calloc(config->target_count + 1, sizeof(struct live_target *));
	g->exports.targets = g->targets;
	g->exports.target_count = config->target_count;
	g->exports.discovery_chap =
		(struct chap_users){ config->discovery_chap.user, config->discovery_chap.count };
	g->exports.release = release;
	g->exports.users = 1;
	if (g->targets && g->of)
		return g;
	free(g->targets);
	free(g->of);
	free(g);
	return NULL;
}

static void describe(const struct config_target *t, struct live_target *live,
		     struct target_config *out)
{
	*out = (struct target_config){
		.scsi = &live->scsi,
		.allow_any = t->allow_any,
		.allow = t->allow,
		.allow_count = t->allow_count,
		.from = t->from,
		.from_count = t->from_count,
		.rules = t->rules,
		.rule_count = t->rule_count,
		.masked = t->masked,
		.tag_count = t->tag_count,
		.chap = { t->chap.user, t->chap.count },
		.redirect = t->redirect[0] ? t->redirect : NULL,
		.redirect_permanent = t->redirect_permanent,
		.allow_cold_reset = t->allow_cold_reset,
	};
	memcpy(out->alias, t->alias, sizeof(out->alias));
	memcpy(out->tags, t->tags, sizeof(out->tags));
}

/* --- Targets that go on */

static struct live_target *target_new(const struct config *c, const struct config_target *t)
{
	struct live_target *live = calloc(1, sizeof(*live));

	if (!live)
		return NULL;
	memcpy(live->scsi.name, t->name, sizeof(t->name));
	live->scsi.port_count = config_ports(c, t, live->scsi.ports);
	return live;
}

static const struct target_port *find_port(const struct target_port *ports, unsigned int count,
					   uint16_t tag)
{
	for (unsigned int i = 0; i < count; i++) {
		if (ports[i].tag == tag)
			return &ports[i];
	}
	return NULL;
}

/* Ports that the target has by the new configuration and not now. What is left of others has no portal:
 * target_set_access() is for when all else is done. */
static int add_ports(const struct config *c, const struct config_target *t,
		     struct live_target *live)
{
	struct target_port ports[TARGET_PORTS];
	unsigned int count = config_ports(c, t, ports);

	for (unsigned int i = 0; i < count; i++) {
		if (find_port(live->scsi.ports, live->scsi.port_count, ports[i].tag))
			continue;
		if (target_add_port(&live->scsi, &ports[i]))
			continue;
		log_error("%s: more than %d portal groups since the start of the daemon", t->name,
			  TARGET_PORTS);
		return -ENOSPC;
	}
	return 0;
}

static bool add_change(struct plan *plan, struct change change)
{
	struct change *grown = plan->changes;

	if (!(plan->count & (plan->count - 1)))
		grown = reallocarray(plan->changes, plan->count ? 2 * plan->count : 1,
				     sizeof(*grown));
	if (!grown)
		return false;
	plan->changes = grown;
	plan->changes[plan->count++] = change;
	return true;
}

/* Both lists are sorted. before, after: NULL for a target that is not there. */
static bool compare_luns(struct plan *plan, struct live_target *target,
			 const struct config_target *before, const struct config_target *after)
{
	unsigned int b = 0, a = 0, b_end = before ? before->lun_count : 0;
	unsigned int a_end = after ? after->lun_count : 0;

	while (b < b_end || a < a_end) {
		const struct config_lun *old = b < b_end ? &before->luns[b] : NULL;
		const struct config_lun *new = a < a_end ? &after->luns[a] : NULL;
		struct change change = { .target = target, .new_target = !before };

		if (old && new && old->number != new->number) {
			if (old->number < new->number)
				new = NULL;
			else
				old = NULL;
		}
		b += old != NULL;
		a += new != NULL;
		/* One that could not be opened again has another chance. */
		if (old && new && target->scsi.lun[old->number] &&
		    config_same_disk(&old->spec, &new->spec))
			continue;
		change.number = old ? old->number : new->number;
		change.before = old;
		change.after = new;
		change.old = old ? target->scsi.lun[old->number] : NULL;
		if (!add_change(plan, change))
			return false;
	}
	return true;
}

static int pair(struct plan *plan, struct generation *before, unsigned int *b, unsigned int *a)
{
	struct generation *next = plan->next;
	const struct config_target *old = NULL, *new = NULL;
	struct live_target *target;
	int order;

	if (before && *b < before->config->target_count)
		old = &before->config->targets[*b];
	if (*a < next->config->target_count)
		new = &next->config->targets[*a];
	order = !old ? 1 : !new ? -1 : strcmp(old->name, new->name);
	if (order < 0)
		new = NULL;
	else if (order > 0)
		old = NULL;
	target = old ? before->of[*b] : target_new(next->config, new);
	if (!target)
		return -ENOMEM;
	if (new) {
		next->of[*a] = target;
		target->users++;
		describe(new, target, &next->targets[*a]);
	}
	if (old && new &&add_ports(next->config, new, target))
		return -ENOSPC;
	*b += old != NULL;
	*a += new != NULL;
	return compare_luns(plan, target, old, new) ? 0 : -ENOMEM;
}

int plan_make(struct plan *plan)
{
	struct generation *before = plan->live->now;
	unsigned int b = 0, a = 0;
	int err = 0;

	while (!err && ((before && b < before->config->target_count) ||
			a < plan->next->config->target_count))
		err = pair(plan, before, &b, &a);
	if (err == -ENOMEM)
		log_error("out of memory for the new configuration");
	return err;
}

/* --- What is exported while the plan may still fail */

/* Without the targets that are new: nobody logs in to one that may never have been. */
struct narrow {
	struct exports exports;
	struct generation *of; /* one of its users */
	struct target_config targets[];
};

static void release_narrow(struct exports *exports)
{
	struct narrow *n = container_of(exports, struct narrow, exports);

	generation_put(n->of);
	free(n);
}

struct exports *plan_narrow(const struct plan *plan)
{
	struct generation *next = plan->next;
	unsigned int count = next->config->target_count;
	struct narrow *n = calloc(1, sizeof(*n) + count * sizeof(n->targets[0]));

	if (!n)
		return NULL;
	n->exports = next->exports;
	n->exports.targets = n->targets;
	n->exports.target_count = 0;
	n->exports.release = release_narrow;
	n->exports.users = 0;
	n->of = next;
	next->exports.users++;
	for (unsigned int i = 0; i < count; i++) {
		if (next->of[i]->users > 1) /* another generation has it, too */
			n->targets[n->exports.target_count++] = next->targets[i];
	}
	return &n->exports;
}

/* --- Sessions that would mind */

enum { MINDING_MAX = 1024 }; /* that are ended at a time */

struct minding {
	const struct plan *plan;
	bool tell;
	unsigned int count;
	struct ending {
		uint16_t tsih;
		bool target_goes;
	} * ending; /* the first of them; NULL: nobody is to be ended */
};

static int by_target(const void *key, const void *element)
{
	return strcmp(((const struct scsi_target *)key)->name,
		      ((const struct config_target *)element)->name);
}

static bool has_user(const struct chap_users *users, const char *name)
{
	for (unsigned int i = 0; name && i < users->count; i++) {
		if (!strcmp(users->user[i].account.user, name))
			return true;
	}
	return !users->count;
}

static const char target_goes[] = "the target would be gone";

/* NULL: the session may stay. */
static const char *objection(const struct plan *plan, const struct session_info *s)
{
	const struct config *c = plan->next->config;
	struct target_port ports[TARGET_PORTS];
	const struct config_target *t;
	const struct target_config *exported;

	if (!s->target)
		return NULL;
	t = c->target_count ? bsearch(s->target, c->targets, c->target_count, sizeof(*t), by_target)
			    : NULL;
	if (!t)
		return target_goes;
	exported = &plan->next->targets[t - c->targets];
	if (!target_allows(exported, s->initiator, &s->from))
		return "it may not log in any more";
	if (!has_user(&exported->chap, s->user))
		return "its CHAP user would be gone";
	if (!find_port(ports, config_ports(c, t, ports), s->tag))
		return "its portal group would have no portal";
	return NULL;
}

static void ask(const struct session_info *s, void *arg)
{
	struct minding *m = arg;
	const char *why = objection(m->plan, s);
	struct log_about about = { .initiator = s->initiator, .session = s->tsih };

	if (!why)
		return;
	about.target = s->target->name;
	if (m->ending && m->count < MINDING_MAX)
		m->ending[m->count] = (struct ending){ s->tsih, why == target_goes };
	if (m->count++ < 10 && m->tell)
		log_write_about(&about, NULL, LOG_LEVEL_WARN,
				"%s: %s is logged in, session %u, and %s", s->target->name,
				s->initiator, s->tsih, why);
}

/* Not under the lock of the registry. What hangs of a session that should be gone by now is left behind:
 * nobody gets at that medium any more where the target goes. */
static void end_sessions(const struct minding *m, bool abandon)
{
	struct server *server = m->plan->live->server;

	for (unsigned int i = 0; m->ending && i < m->count && i < MINDING_MAX; i++) {
		server_end_session(server, m->ending[i].tsih);
		if (abandon && m->ending[i].target_goes)
			server_abandon_session(server, m->ending[i].tsih);
	}
}

static int refuse(const struct plan *plan, unsigned int count)
{
	if (plan->force)
		log_error("%u sessions do not end: they have writes that hang; take the LUN "
			  "away first, by force",
			  count);
	else
		log_error("the change would end %u sessions: let these initiators log out first",
			  count);
	return -EBUSY;
}

/* Those that have logged out are gone soon: a connection has 2 s for its last words. Sessions are ended
 * when nobody can log in again who should not. */
int plan_check_sessions(const struct plan *plan)
{
	enum { TRIES = 150, TRIES_BY_FORCE = 250, ABANDON_AFTER = 75, PAUSE_US = 20000 };
	unsigned int tries = plan->force ? TRIES_BY_FORCE : TRIES;
	struct minding m = { .plan = plan };

	if (plan->force && !plan->published)
		return 0;
	if (plan->force)
		m.ending = calloc(MINDING_MAX, sizeof(*m.ending));
	for (unsigned int i = 0; i < tries; i++) {
		m.count = 0;
		m.tell = i == tries - 1;
		server_each_session(plan->live->server, ask, &m);
		if (!m.count)
			break;
		/* Not where a disk is opened again instead of the one that hangs: that is refused yet. */
		end_sessions(&m, i >= ABANDON_AFTER && plan_by_force(plan));
		if (plan->live->cfg.turn)
			plan->live->cfg.turn(plan->live->cfg.turn_arg);
		else
			usleep(PAUSE_US);
	}
	free(m.ending);
	return m.count ? refuse(plan, m.count) : 0;
}
