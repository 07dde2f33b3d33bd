// SPDX-License-Identifier: BSD-2-Clause
/* Waiting for jobs of riserd. */
#ifndef RISER_JOB_H
#define RISER_JOB_H

#include "riser.h"

/* Of an object that job.show returns. */
bool job_is_over(const json_t *job);
/* Shows how far it is, nothing of a short one, until it is over or somebody interrupts; then says how it has
 * ended, with --json the object. */
enum status job_wait(struct riser *r, const json_t *job);

#endif
