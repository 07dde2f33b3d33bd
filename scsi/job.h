// SPDX-License-Identifier: BSD-2-Clause
/*
 * A long operation on the whole medium, in the background: SANITIZE, FORMAT UNIT. A unit has one at
 * a time. It goes chunk by chunk on the reactor of the task that asked for it, survives that task
 * and its nexus, and while it runs lu->condition says which (ready.c refuses most commands).
 * All [owner thread of job->reactor] unless it says otherwise.
 */
#ifndef RISER_SCSI_JOB_H
#define RISER_SCSI_JOB_H

#include "protection.h"
#include "scsi.h"
#include "store.h"

struct lu_job {
	struct lu *lu;
	struct reactor *reactor; /* NULL: it waits for lu_resume() */
	enum lu_condition condition; /* LU_SANITIZING or LU_FORMATTING */
	/* What a pass over the medium does: BS_WRITE of data and tuples, or another opcode that has
	 * none. A last pass unmaps when then_unmap. */
	enum bs_opcode opcode;
	uint8_t *data; /* NULL: none */
	uint32_t data_len; /* bytes: whole blocks */
	struct pi_tuple *tuples; /* one per block of data; NULL: the medium has none */
	bool then_unmap;
	/* Every other pass writes the complement, so that the last one does not. */
	bool invert, inverted; /* inverted: data is, at present */
	uint8_t passes, pass; /* in all, done */
	/* A pass has reached stable media (res 0), failed (-errno, canceled: -EINTR) or was stopped
	 * (-ECANCELED). Calls
	 * job_run() or job_finish(), perhaps later. */
	void (*next)(struct lu_job *job, int res);
	/* The record of job_record() is stored or removed (res 0), or is not (-errno). */
	void (*recorded)(struct lu_job *job, int res);
	uint64_t *version; /* of that record: a place in lu */
	struct store_req store;
	char record_name[STORE_NAME_MAX];
	/* the engine's */
	uint64_t pos, end; /* bytes of this pass */
	struct bs_req req;
	struct work work;
	struct scsi_task *waiter; /* the task that asked, while it waits */
	bool waits_for_end; /* not just for the beginning: IMMED 0 */
	struct lu_operation as_operation; /* id, kind, since */
	_Atomic uint64_t done, total; /* bytes of all passes */
	_Atomic bool stop;
	_Atomic bool canceled; /* stop, and what becomes of it is a failure */
	void (*stopped)(void *arg); /* lu->lock */
	void *stopped_arg;
};

/* [any thread] A job whose struct begins with struct lu_job and has `size` bytes, zeros; one free()
 * is enough. With a pattern there is data: len bytes from the start of each block, again and again.
 * NULL: no memory. */
struct lu_job *job_create(struct lu *lu, size_t size, const uint8_t *pattern, uint32_t len);
/* The task holds the unit alone (gate_lock) and gives it up: nothing is being written, and from now
 * on nobody else writes. It waits for job_answer(). */
void job_claim(struct scsi_task *task, struct lu_job *job, bool wait_for_end);
/* The task holds the unit alone. Whether the unit is (still) in a state for it: another job may have
 * been faster. False: ended. */
bool job_may_begin(struct scsi_task *task);
/* Stores len bytes, which are borrowed, as the unit's record of this kind; 0 removes it. recorded()
 * follows, at once when there is no store. */
void job_record(struct lu_job *job, const char *kind, const void *data, size_t len,
		uint64_t *version, void (*recorded)(struct lu_job *job, int res));
/* The record of the beginning is stored (res 0): the first pass, and with IMMED the answer. Or not:
 * nothing happens, and the task hears of it. */
void job_begin(struct lu_job *job, int res);
/* One more pass. */
void job_run(struct lu_job *job);
/* Ends the task that waits, if there is one: SENSE_NONE is GOOD. */
void job_answer(struct lu_job *job, enum sense_code code);
/* Ends the task as job_answer(), and the job. The unit is ready again unless `keep`, which leaves
 * it as it is for the next start of the daemon. */
void job_finish(struct lu_job *job, enum sense_code code, bool keep);

/* --- sanitize.c */
/* [main thread] Puts the unit where the last start of the daemon left it. -errno with why. */
int sanitize_load(struct lu *lu, char *why, size_t why_size);

/* --- format.c */
/* [main thread] A FORMAT UNIT that the end of the daemon cut short is not forgotten. -errno with why. */
int format_load(struct lu *lu, char *why, size_t why_size);

#endif
