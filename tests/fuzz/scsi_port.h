// SPDX-License-Identifier: BSD-2-Clause
/*
 * A world for the fuzzers of scsi/, which all of them share: a virtual reactor, the bytes of the
 * input, a disk in memory, and a port that plays the initiator. Data-Out comes, and Data-In goes,
 * when the reactor turns; never from inside a call, as the contract says.
 */
#ifndef RISER_TESTS_FUZZ_SCSI_PORT_H
#define RISER_TESTS_FUZZ_SCSI_PORT_H

#include "backstore/driver.h"
#include "core/slab.h"
#include "scsi/scsi.h"

/* Made once, by LLVMFuzzerInitialize() of scsi_port.c. */
extern struct slab *slab;
extern struct reactor *reactor;

/* A finding, unless good. */
void require(bool good, const char *what);
/* Until there is nothing to do any more. */
void turn(void);

/* --- The input; behind its end are zeros */

struct input {
	const uint8_t *at;
	size_t left;
};

/* A number of so many bytes. */
uint32_t take(struct input *in, unsigned int bytes);
/* A copy in memory of exactly this size, or shorter at the end of the input; free() is the caller's. */
uint8_t *take_bytes(struct input *in, size_t *len);
/* The same as take(), at a place. */
uint64_t number(const uint8_t *at, unsigned int bytes);

/* --- The disk */

enum { QUEUE_MAX = 64 };

/* Requests that are carried out when the reactor turns. */
struct disk_queue {
	unsigned int max; /* at a time; more is a finding */
	int (*execute)(struct bs_req *req); /* 0 or -errno */
	struct bs_req *pending[QUEUE_MAX];
	unsigned int count;
	struct work work;
};
/* False, as a driver's submit() that completes later. */
bool disk_later(struct disk_queue *q, struct bs_req *req);
/* Reads, writes, zeros (UNMAP too), flushes; else -EOPNOTSUPP. bytes: all of the backstore. */
int disk_execute(uint8_t *bytes, const struct bs_req *req);

/* --- The port */

/* A command as its initiator sees it. The caller sets the task, out and in, the rest is zero. */
struct port_command {
	struct scsi_task task;
	const uint8_t *out; /* task.edtl bytes */
	uint8_t *in; /* task.edtl bytes */
	uint32_t in_len; /* that have arrived */
	uint32_t at_once; /* bytes of out that came with the command */
	const uint8_t *first; /* where they are */
	unsigned int ended; /* must be 1 in the end */
	bool fails; /* the next transfer of Data-Out */
	bool moving, puts;
	void *move_to;
	const void *move_from;
	uint32_t move_offset, move_len;
	struct work work;
};

extern const struct task_port_ops port;
/* Its parts, for fuzzers that look at one of them. */
void port_get_data(struct scsi_task *task, void *data, uint32_t offset, uint32_t len);
void port_put_data(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len,
		   bool last);
void port_done(struct scsi_task *task);
/* Nothing is aborted: as if the victims had ended just before. */
void port_abort_tasks(struct scsi_task *task,
		      bool (*victim)(const void *arg, const struct nexus *nexus), const void *arg,
		      bool report);
void port_abort_others(struct scsi_task *task);

/* Attaches n, of which name and ISID may be set, and forgets its unit attentions. */
void nexus_start(struct nexus *n, struct scsi_target *target, unsigned int port_index);

#endif
