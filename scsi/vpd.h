// SPDX-License-Identifier: BSD-2-Clause
/*
 * Pages of vital product data that live in files of their own; vpd.c has the table. Each writes
 * behind the page's header into zeros, at most RESPONSE_SIZE with it, and returns how many bytes.
 */
#ifndef RISER_SCSI_VPD_H
#define RISER_SCSI_VPD_H

#include "scsi.h"

/* vpd_identification.c */
int vpd_identification(struct scsi_task *task, uint8_t *out);
int vpd_ports(struct scsi_task *task, uint8_t *out);
/* vpd_block.c */
int vpd_block_limits(struct scsi_task *task, uint8_t *out);
int vpd_block_characteristics(struct scsi_task *task, uint8_t *out);
int vpd_provisioning(struct scsi_task *task, uint8_t *out);

#endif
