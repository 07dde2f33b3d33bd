// SPDX-License-Identifier: BSD-2-Clause
/*
 * Persistent reservations, SPC-5 5.14: private to reserve.c and pr_*.c.
 *
 * A registration belongs to an I_T nexus by name (initiator name, ISID, relative target port), so
 * that it outlives the session. The state of a unit is replaced as a whole: PERSISTENT RESERVE OUT
 * changes a copy, stores it when it has to survive, and only then installs it.
 */
#ifndef RISER_SCSI_PR_H
#define RISER_SCSI_PR_H

#include "scsi.h"
#include "scsi_reservation_wire.h"
#include "store.h"
#include "turn.h"

struct worker;

enum { PR_MAX = 1024 /* registrations of a unit */ };

/* An initiator port as a TransportID has it. */
struct pr_initiator {
	char name[224];
	uint8_t isid[6];
	uint32_t hash; /* of the name */
	bool device; /* no ISID: every port of the initiator device */
	bool known; /* the device has a port: pr_resolve() */
};

struct pr_registration {
	char name[224];
	uint8_t isid[6];
	uint16_t port; /* relative target port */
	uint32_t hash; /* of the name: most hosts have the same ISID */
	uint64_t key; /* never 0 */
	bool holder; /* holds the reservation; of the all registrants types nobody has it set */
};

struct pr_state {
	uint32_t generation; /* PRGENERATION: 0 after a start */
	uint8_t type; /* of the reservation, or PR_NONE */
	bool persists; /* APTPL of the last registration */
	uint32_t count, capacity; /* registrations; capacity at most PR_MAX */
	struct pr_registration r[];
};

/* The reservations of a unit. */
struct reservations {
	/* Guards state, turn and fences, and orders whatever sets denied of a nexus. Taken before
	 * the lock of the list of nexuses, which is the only one that is taken under it. */
	pthread_mutex_t lock;
	struct pr_state *state; /* never NULL; replaced by who has the turn */
	/* One PERSISTENT RESERVE OUT after the other, from looking at the state until the new one is
	 * installed. */
	struct turn turn;
	struct list fences; /* pr_fence.node */
	char record[STORE_NAME_MAX];
	uint64_t version; /* of the record in the store, 0: none. Who has the turn */
	struct worker *worker; /* loads the record again; NULL without a store */
};

/* --- pr_state.c [any thread] */
static inline bool pr_all_registrants(uint8_t type)
{
	return type == PR_WRITE_EXCLUSIVE_ALL || type == PR_EXCLUSIVE_ACCESS_ALL;
}
static inline bool pr_registrants(uint8_t type)
{
	return type >= PR_WRITE_EXCLUSIVE_REGISTRANTS;
}
bool pr_type_valid(uint8_t type);
/* A copy of `of`, or an empty state when that is NULL, with room for so many more registrations,
 * within PR_MAX. NULL: no memory. The caller free()s it. */
struct pr_state *pr_state_copy(const struct pr_state *of, uint64_t more);
uint32_t pr_hash(const char *name);
struct pr_registration *pr_find(struct pr_state *state, const char *name, const uint8_t isid[6],
				uint16_t port);
/* NULL: there is no room. */
struct pr_registration *pr_add(struct pr_state *state, const char *name, const uint8_t isid[6],
			       uint16_t port, uint64_t key);
/* Takes out what `out` names; keeps the order of the others. */
void pr_remove(struct pr_state *state,
	       bool (*out)(const struct pr_registration *r, const void *arg), const void *arg);
static inline bool pr_holds(const struct pr_state *state, const struct pr_registration *r)
{
	return r->holder || (r->key && pr_all_registrants(state->type));
}
/* NULL: no reservation, or one of all registrants. */
struct pr_registration *pr_holder(struct pr_state *state);
static inline uint16_t nexus_port(const struct nexus *nexus)
{
	return nexus->port->relative;
}
/* What of `enum reservation_rule` the state denies to the nexus, as bits. */
uint8_t pr_denies(struct pr_state *state, const struct nexus *nexus);

/* --- pr_actions.c: what a service action makes of a state, SPC-5 5.14. No side effects. */
enum pr_result {
	PR_GOOD,
	PR_UNCHANGED, /* GOOD, nothing to install */
	PR_CONFLICT,
	PR_BAD_LIST, /* 5/26/00 */
	PR_BAD_CDB, /* 5/24/00 */
	PR_BAD_RELEASE, /* 5/26/04 */
	PR_FULL, /* 5/55/04 */
};

struct pr_request {
	uint8_t action, type; /* SCOPE is 0 */
	uint64_t key, action_key;
	bool persist, all_ports, specify, unregister; /* APTPL, ALL_TG_PT, SPEC_I_PT, UNREG */
	const struct nexus *nexus;
	uint16_t to_port; /* REGISTER AND MOVE: the relative target port */
	/* TransportIDs; those of devices are resolved, and PR_MAX at most. */
	const struct pr_initiator *others;
	uint32_t other_count;
};

/* Who is told what: those whose registration is gone, and those who have it still, without the
 * nexus that asked. UA_COUNT: nothing. */
struct pr_notice {
	enum unit_attention lost, kept;
};

/* How many registrations it may add. */
uint64_t pr_room(const struct pr_request *request);
enum pr_result pr_apply(const struct pr_request *request, struct pr_state *state,
			struct pr_notice *notice);

/* pr_out.c [has the turn] Takes state; gives the old one back. by: is not told; NULL: everybody is. */
struct pr_state *pr_install(struct lu *lu, struct pr_state *state, const struct pr_notice *notice,
			    const struct nexus *by);

/* --- pr_transport_id.c [any thread] */
/* Bytes of the TransportID at the beginning of [at, at + len), or 0: it is not one of ours. */
uint32_t transport_id_parse(const uint8_t *at, uint32_t len, struct pr_initiator *id);
/* Takes devices apart: each stands for all of its ports that are logged in or registered, and one
 * without any is an error, since nothing could be registered for it. Everybody once. *out is
 * malloc()ed, the caller's in any case. [has the turn] */
enum pr_result pr_resolve(struct lu *lu, struct pr_initiator *ids, uint32_t count,
			  struct pr_initiator **out, uint32_t *out_count);
/* Writes TRANSPORT_ID_MAX bytes at most and returns how many. */
uint32_t transport_id_write(uint8_t *out, const struct pr_registration *r);

/* --- pr_record.c: the state as text, for the store [any thread] */
/* malloc()ed, the caller's; NULL: no memory. */
char *pr_record_write(const struct pr_state *state, size_t *len);
/* text: len bytes and a NUL. 0, -ENOMEM, -EBADMSG with why. */
int pr_record_read(const char *text, size_t len, struct pr_state **state, char *why,
		   size_t why_size);

/* --- reserve.c */
/* Loads and reads the record; none: an empty state. [main thread or a worker] */
int reservations_load(struct lu *lu, struct pr_state **state, uint64_t *version, char *why,
		      size_t why_size);
/* What the state, and a RESERVE (6), deny to the nexus. Under the lock. */
void reservation_deny(struct lu *lu, struct pr_state *state, struct nexus *nexus, int lun);

/* --- pr_fence.c */
/* A PREEMPT AND ABORT that has preempted and has not ended: its victims' PERSISTENT RESERVE OUTs do
 * not get a turn, so that none of those that it aborts registers its nexus again. */
struct pr_fence {
	struct list node, waiting; /* waiting: by lu_node */
	struct pr_state *victims; /* registrations that are gone */
	const struct nexus *by; /* is no victim of itself; NULL: the fence is not raised */
};

/* The turn, and that there is no fence. */
void pr_fences_init(struct reservations *pr);
bool pr_fence_names(const struct pr_fence *fence, const struct nexus *nexus);
/* [has the turn] */
void pr_fence_raise(struct scsi_task *task, struct pr_fence *fence);
void pr_fence_lower(struct scsi_task *task, struct pr_fence *fence);

#endif
