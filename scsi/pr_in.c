// SPDX-License-Identifier: BSD-2-Clause
/*
 * PERSISTENT RESERVE IN, SPC-5 6.14. The answer is written under the lock into memory of its own,
 * as much of it as the initiator wants, and then sent like any other.
 */
#include <stdlib.h>
#include <string.h>

#include "pr.h"
#include "rows.h"

/* Parameter data: len counts all of it, also what finds no room. */
struct writer {
	uint8_t *out;
	uint64_t room, len;
};

static void put(struct writer *w, const void *data, size_t len)
{
	if (w->len < w->room) {
		uint64_t room = w->room - w->len;

		memcpy(w->out + w->len, data, len < room ? len : room);
	}
	w->len += len;
}

/* Again, with ADDITIONAL LENGTH known. */
static void put_header(struct writer *w, uint32_t generation)
{
	struct pr_in_header header = {
		.generation = be32_of(generation),
		.additional_len = be32_of((uint32_t)(w->len - sizeof(header))),
	};
	uint64_t len = w->len;

	w->len = 0;
	put(w, &header, sizeof(header));
	w->len = len;
}

static void read_keys(struct pr_state *s, struct writer *w)
{
	w->len = sizeof(struct pr_in_header);
	for (uint32_t i = 0; i < s->count; i++) {
		struct be64 key = be64_of(s->r[i].key);

		put(w, &key, sizeof(key));
	}
	put_header(w, s->generation);
}

static void read_reservation(struct pr_state *s, struct writer *w)
{
	const struct pr_registration *holder = pr_holder(s);
	struct pr_reservation r = { .key = be64_of(holder ? holder->key : 0),
				    .scope_type = s->type };

	w->len = sizeof(struct pr_in_header);
	if (s->type)
		put(w, &r, sizeof(r));
	put_header(w, s->generation);
}

static void read_full_status(struct pr_state *s, struct writer *w)
{
	w->len = sizeof(struct pr_in_header);
	for (uint32_t i = 0; i < s->count; i++) {
		const struct pr_registration *r = &s->r[i];
		bool holds = pr_holds(s, r);
		struct pr_full_status status = {
			.key = be64_of(r->key),
			.flags = holds ? PR_STATUS_HOLDER : 0,
			.scope_type = holds ? s->type : 0,
			.port = be16_of(r->port),
		};
		uint8_t id[TRANSPORT_ID_MAX];
		uint32_t len = transport_id_write(id, r);

		status.additional_len = be32_of(len);
		put(w, &status, sizeof(status));
		put(w, id, len);
	}
	put_header(w, s->generation);
}

static void pr_in_sent(struct scsi_task *task)
{
	memcpy(task->buf->data, task->context, task->chunk);
	task_send_last(task, task->buf->data, 0, task->chunk);
}

/* The answer is in task->context; len: what the initiator gets by its allocation length. */
static void respond(struct scsi_task *task, uint64_t len)
{
	uint64_t room = task_in_room(task);

	task_want_in(task, len);
	task->chunk = (uint32_t)(len < room ? len : room);
	if (!task->chunk)
		task_good(task);
	else if (task_buffer(task, task->chunk, task->chunk, pr_in_sent))
		pr_in_sent(task);
}

/* ALLOCATION LENGTH has 16 bits, which bounds the memory. */
static void pr_in_start(struct scsi_task *task, void (*write)(struct pr_state *s, struct writer *w))
{
	struct reservations *pr = task->lu->reservations;
	struct writer w = { .room = (uint64_t)task->cdb[7] << 8 | task->cdb[8] };

	task->context = w.out = calloc(1, w.room + 1);
	if (!w.out) {
		task_fail(task, SENSE_RESOURCES);
		return;
	}
	pthread_mutex_lock(&pr->lock);
	write(pr->state, &w);
	pthread_mutex_unlock(&pr->lock);
	respond(task, w.len < w.room ? w.len : w.room);
}

static void read_keys_start(struct scsi_task *task)
{
	pr_in_start(task, read_keys);
}

static void read_reservation_start(struct scsi_task *task)
{
	pr_in_start(task, read_reservation);
}

static void read_full_status_start(struct scsi_task *task)
{
	pr_in_start(task, read_full_status);
}

static int capabilities_fill(struct scsi_task *task, uint8_t *out)
{
	struct pr_capabilities *c = (struct pr_capabilities *)out;
	struct reservations *pr = task->lu->reservations;
	bool persists;

	pthread_mutex_lock(&pr->lock);
	persists = pr->state->persists;
	pthread_mutex_unlock(&pr->lock);
	c->len = be16_of(sizeof(*c));
	c->can = PR_CAN_SPEC_I_PT | PR_CAN_ALL_TG_PT | (task->lu->store ? PR_CAN_PERSIST : 0);
	c->allows = PR_TYPES_VALID | PR_ALLOWS_TEST_UNIT_READY | (persists ? PR_PERSISTS : 0);
	/* Bit 0 of the first byte is type 0, bit 0 of the second type 8. */
	c->types[0] = 1 << PR_WRITE_EXCLUSIVE | 1 << PR_EXCLUSIVE_ACCESS |
		      1 << PR_WRITE_EXCLUSIVE_REGISTRANTS | 1 << PR_EXCLUSIVE_ACCESS_REGISTRANTS |
		      1 << PR_WRITE_EXCLUSIVE_ALL;
	c->types[1] = 1 << (PR_EXCLUSIVE_ACCESS_ALL - 8);
	return sizeof(*c);
}

#define PR_IN(label, action)                                                        \
	.name = (label), .service_action = (action),                                \
	USAGE10(CDB_PERSISTENT_RESERVE_IN, (action), 0, 0, 0, 0, 0, LEN2, CONTROL), \
	ALLOCATION(7, 2), .direction = DIR_IN, .rule = RSV_PERSISTENT, .flags = ROW_STANDBY, QUICK

const struct cdb_row pr_read_keys_row = { PR_IN("PERSISTENT RESERVE IN, READ KEYS", PR_READ_KEYS),
					  .start = read_keys_start };

const struct cdb_row pr_read_reservation_row = { PR_IN("PERSISTENT RESERVE IN, READ RESERVATION",
						       PR_READ_RESERVATION),
						 .start = read_reservation_start };

const struct cdb_row pr_capabilities_row = { PR_IN("PERSISTENT RESERVE IN, REPORT CAPABILITIES",
						   PR_REPORT_CAPABILITIES),
					     .start = task_respond, .fill = capabilities_fill };

const struct cdb_row pr_full_status_row = { PR_IN("PERSISTENT RESERVE IN, READ FULL STATUS",
						  PR_READ_FULL_STATUS),
					    .start = read_full_status_start };
