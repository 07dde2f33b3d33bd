// SPDX-License-Identifier: BSD-2-Clause
/* Long work as operators see it (struct lu_operation): its numbers, and what has become of it. */
#ifndef RISER_SCSI_OPERATIONS_H
#define RISER_SCSI_OPERATIONS_H

#include "lu.h"

struct lu_job;

/* [any thread] Gives it a number and the time. */
void operation_begin(struct lu_operation *o, const struct lu *lu, enum lu_operation_kind kind);
/* [any thread] Who watches hears of it: it has begun, or ended. */
void operation_tell(const struct lu_operation *o);
/* [any thread] Remembers how it has ended: o->state. */
void operation_end(const struct lu_operation *o);

/* job.c [any thread that sees to it that the job stays] */
struct lu_operation job_operation(const struct lu_job *job);
/* copy_status.c [any thread] */
unsigned int copy_operations(const struct lu *lu, struct lu_operation *out, unsigned int max);
bool copy_cancel_operation(const struct lu *lu, uint64_t id);

#endif
