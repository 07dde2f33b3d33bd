// SPDX-License-Identifier: BSD-2-Clause
/*
 * PERSISTENT RESERVE OUT, SPC-5 5.14: what each service action makes of the state of a unit. Pure
 * functions of request and state, so that a result can be thrown away or computed once more.
 */
#include <string.h>
#include <strings.h>

#include "pr.h"

/* --- who */

static struct pr_registration *find_self(const struct pr_request *q, struct pr_state *s,
					 uint16_t port)
{
	return pr_find(s, q->nexus->initiator_name, q->nexus->isid, port);
}

/* The registration of the nexus that asks, or NULL: a conflict. */
static struct pr_registration *registrant(const struct pr_request *q, struct pr_state *s)
{
	struct pr_registration *r = find_self(q, s, nexus_port(q->nexus));

	return r && r->key == q->key ? r : NULL;
}

static bool is_self(const struct pr_registration *r, const struct nexus *nexus)
{
	return r->port == nexus_port(nexus) && !memcmp(r->isid, nexus->isid, sizeof(r->isid)) &&
	       !strcasecmp(r->name, nexus->initiator_name);
}

/* --- taking registrations away */

static void release(struct pr_state *s)
{
	struct pr_registration *holder = pr_holder(s);

	if (holder)
		holder->holder = false;
	s->type = PR_NONE;
}

/* SPC-5 5.14.11.2.2: without its holder, or without anybody, there is no reservation. */
static void release_if_orphaned(struct pr_state *s, struct pr_notice *notice)
{
	if (!s->type || (pr_all_registrants(s->type) ? s->count > 0 : pr_holder(s) != NULL))
		return;
	if (pr_registrants(s->type))
		notice->kept = UA_RESERVATIONS_RELEASED;
	s->type = PR_NONE;
}

static bool is_me(const struct pr_registration *r, const void *arg)
{
	return is_self(r, ((const struct pr_request *)arg)->nexus);
}

/* ALL_TG_PT: with its other ports, but not a registration that it does not have the key of. */
static bool is_me_anywhere(const struct pr_registration *r, const void *arg)
{
	const struct pr_request *q = arg;

	if (is_self(r, q->nexus))
		return true;
	return !memcmp(r->isid, q->nexus->isid, sizeof(r->isid)) &&
	       !strcasecmp(r->name, q->nexus->initiator_name) &&
	       (q->action == PR_REGISTER_AND_IGNORE || r->key == q->key);
}

/* --- REGISTER, SPC-5 5.14.7 */

static uint16_t target_port(const struct pr_request *q, unsigned int i)
{
	return q->all_ports ? q->nexus->target->ports[i].relative : nexus_port(q->nexus);
}

static unsigned int target_ports(const struct pr_request *q)
{
	return q->all_ports ? q->nexus->target->port_count : 1;
}

/* As if the command had come in through each port. */
static enum pr_result register_self(const struct pr_request *q, struct pr_state *s)
{
	for (unsigned int i = 0; i < target_ports(q); i++) {
		uint16_t port = target_port(q, i);
		struct pr_registration *r = find_self(q, s, port);

		if (!r) {
			if (!pr_add(s, q->nexus->initiator_name, q->nexus->isid, port,
				    q->action_key))
				return PR_FULL;
		} else if (q->action == PR_REGISTER && r->key != q->key &&
			   r->key != q->action_key) {
			return PR_CONFLICT;
		} else {
			r->key = q->action_key;
		}
	}
	return PR_GOOD;
}

/* SPEC_I_PT: each nexus of the list that is not registered yet. */
static enum pr_result register_others(const struct pr_request *q, struct pr_state *s)
{
	for (uint32_t i = 0; i < q->other_count; i++) {
		const struct pr_initiator *id = &q->others[i];

		for (unsigned int p = 0; p < target_ports(q); p++) {
			uint16_t port = target_port(q, p);

			if (!pr_find(s, id->name, id->isid, port) &&
			    !pr_add(s, id->name, id->isid, port, q->action_key))
				return PR_FULL;
		}
	}
	return PR_GOOD;
}

static enum pr_result do_register(const struct pr_request *q, struct pr_state *s,
				  struct pr_notice *notice)
{
	struct pr_registration *me = find_self(q, s, nexus_port(q->nexus));
	enum pr_result result;

	if (q->action == PR_REGISTER && (me ? me->key : 0) != q->key)
		return PR_CONFLICT;
	if (me && q->specify)
		return PR_BAD_CDB;
	if (!me && !q->action_key)
		return PR_UNCHANGED;
	if (!q->action_key) {
		pr_remove(s, q->all_ports ? is_me_anywhere : is_me, q);
		release_if_orphaned(s, notice);
	} else {
		result = register_self(q, s);
		if (result == PR_GOOD)
			result = register_others(q, s);
		if (result != PR_GOOD)
			return result;
	}
	s->persists = q->persist;
	s->generation++;
	return PR_GOOD;
}

/* --- REGISTER AND MOVE, SPC-5 5.14.8 */

static enum pr_result do_move(const struct pr_request *q, struct pr_state *s,
			      struct pr_notice *notice)
{
	const struct pr_initiator *id = q->others;
	struct pr_registration *me = registrant(q, s), *to;

	(void)notice;
	if (!me)
		return PR_CONFLICT;
	if (!s->type)
		return PR_BAD_CDB;
	if (!me->holder)
		return PR_CONFLICT; /* also when all registrants are */
	to = pr_find(s, id->name, id->isid, q->to_port);
	if (!q->action_key || to == me)
		return PR_BAD_LIST;
	if (!to)
		to = pr_add(s, id->name, id->isid, q->to_port, q->action_key);
	if (!to)
		return PR_FULL;
	to->key = q->action_key;
	me->holder = false;
	to->holder = true;
	if (q->unregister)
		pr_remove(s, is_me, q);
	s->persists = q->persist;
	s->generation++;
	return PR_GOOD;
}

/* --- RESERVE, RELEASE and CLEAR, SPC-5 5.14.9 and 5.14.11 */

static enum pr_result do_reserve(const struct pr_request *q, struct pr_state *s,
				 struct pr_notice *notice)
{
	struct pr_registration *me = registrant(q, s);

	(void)notice;
	if (!me)
		return PR_CONFLICT;
	if (s->type)
		return pr_holds(s, me) && s->type == q->type ? PR_UNCHANGED : PR_CONFLICT;
	s->type = q->type;
	me->holder = !pr_all_registrants(q->type);
	return PR_GOOD;
}

static enum pr_result do_release(const struct pr_request *q, struct pr_state *s,
				 struct pr_notice *notice)
{
	const struct pr_registration *me = registrant(q, s);

	if (!me)
		return PR_CONFLICT;
	if (!s->type || !pr_holds(s, me))
		return PR_UNCHANGED;
	if (s->type != q->type)
		return PR_BAD_RELEASE;
	if (pr_registrants(s->type))
		notice->kept = UA_RESERVATIONS_RELEASED;
	release(s);
	return PR_GOOD;
}

static enum pr_result do_clear(const struct pr_request *q, struct pr_state *s,
			       struct pr_notice *notice)
{
	if (!registrant(q, s))
		return PR_CONFLICT;
	s->count = 0;
	s->type = PR_NONE;
	s->generation++;
	notice->lost = UA_RESERVATIONS_PREEMPTED;
	return PR_GOOD;
}

/* --- PREEMPT, SPC-5 5.14.11.2.4 */

static bool has_action_key(const struct pr_registration *r, const void *arg)
{
	return r->key == ((const struct pr_request *)arg)->action_key;
}

/* With key 0 everybody goes; who asks stays in any case. */
static bool is_preempted(const struct pr_registration *r, const void *arg)
{
	const struct pr_request *q = arg;

	return (!q->action_key || r->key == q->action_key) && !is_self(r, q->nexus);
}

/* The reservation passes to who asks. */
static enum pr_result preempt_reservation(const struct pr_request *q, struct pr_state *s,
					  struct pr_notice *notice)
{
	if (!pr_type_valid(q->type))
		return PR_BAD_CDB;
	if (s->type != q->type)
		notice->kept = UA_RESERVATIONS_RELEASED;
	release(s);
	pr_remove(s, is_preempted, q);
	s->type = q->type;
	find_self(q, s, nexus_port(q->nexus))->holder = !pr_all_registrants(q->type);
	return PR_GOOD;
}

/* TYPE is ignored, and who asks may be among them. */
static enum pr_result preempt_registrations(const struct pr_request *q, struct pr_state *s,
					    struct pr_notice *notice)
{
	uint32_t before = s->count;

	pr_remove(s, has_action_key, q);
	if (s->count == before)
		return PR_CONFLICT;
	release_if_orphaned(s, notice);
	return PR_GOOD;
}

static enum pr_result do_preempt(const struct pr_request *q, struct pr_state *s,
				 struct pr_notice *notice)
{
	const struct pr_registration *holder = pr_holder(s);
	enum pr_result result;

	if (!registrant(q, s))
		return PR_CONFLICT;
	if (!q->action_key && !pr_all_registrants(s->type))
		return PR_BAD_LIST;
	if (!q->action_key || (holder && holder->key == q->action_key))
		result = preempt_reservation(q, s, notice);
	else
		result = preempt_registrations(q, s, notice);
	if (result != PR_GOOD)
		return result;
	notice->lost = UA_REGISTRATIONS_PREEMPTED;
	s->generation++;
	return PR_GOOD;
}

/* --- all */

static const struct {
	enum pr_result (*apply)(const struct pr_request *q, struct pr_state *s,
				struct pr_notice *notice);
} actions[] = {
	[PR_REGISTER] = { do_register },
	[PR_RESERVE] = { do_reserve },
	[PR_RELEASE] = { do_release },
	[PR_CLEAR] = { do_clear },
	[PR_PREEMPT] = { do_preempt },
	[PR_PREEMPT_AND_ABORT] = { do_preempt },
	[PR_REGISTER_AND_IGNORE] = { do_register },
	[PR_REGISTER_AND_MOVE] = { do_move },
};

uint64_t pr_room(const struct pr_request *request)
{
	switch (request->action) {
	case PR_REGISTER:
	case PR_REGISTER_AND_IGNORE: return (1ull + request->other_count) * target_ports(request);
	case PR_REGISTER_AND_MOVE: return 1;
	}
	return 0;
}

enum pr_result pr_apply(const struct pr_request *request, struct pr_state *state,
			struct pr_notice *notice)
{
	notice->lost = notice->kept = UA_COUNT;
	return actions[request->action].apply(request, state, notice);
}
