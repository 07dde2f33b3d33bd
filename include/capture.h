// SPDX-License-Identifier: BSD-2-Clause
/*
 * PDUs as they pass, for a reader in another process: `riser trace`. Each reactor writes those of the
 * chosen connections into a ring of memory that the reader has mapped too (capture_wire.h), and never
 * waits for it: what has no room is counted and left out. Nobody else in the daemon does anything.
 *
 * Where data moves without PDUs (RDMA), Data-In, R2T and solicited Data-Out are written as they would
 * have been. Digests and padding are left out. The values of CHAP_C and CHAP_R are masked.
 */
#ifndef RISER_CAPTURE_H
#define RISER_CAPTURE_H

#include <stdbool.h>

#include "capture_wire.h"
#include "transport.h"

struct capture; /* counts its users */

struct capture_config {
	unsigned int rings; /* one per reactor */
	uint32_t ring_size; /* bytes, a power of two >= 64 KiB; 0: CAPTURE_RING */
	uint32_t data; /* bytes kept of the data of SCSI commands in one PDU, <= CAPTURE_DATA_MAX */
};

/* [any thread] -ENOMEM, -EMFILE, ... */
int capture_create(const struct capture_config *cfg, struct capture **out);
/* [any thread] The memory, to be handed to the reader; borrowed. Cannot be made smaller by it. */
int capture_fd(const struct capture *c);
struct capture *capture_keep(struct capture *c);
/* [any thread] NULL is fine. The last one frees it; tells the reader. */
void capture_put(struct capture *c);
/* [any thread, once for each ring] Its reactor captures what there is to capture: the reader knows. */
void capture_begun(struct capture *c);
/* [any thread] PDUs written and left out so far. */
void capture_count(const struct capture *c, uint64_t *written, uint64_t *lost);

/* [owner thread of conn] From now on PDUs of conn are written to the ring of its reactor. conn has none.
 * Somebody keeps c until capture_detach(). fresh: its first PDU has not been processed; otherwise, while
 * it has not logged in, what may be the rest of a secret is masked. False: no memory. */
bool capture_attach(struct capture *c, struct conn *conn, bool fresh);
/* [owner thread of conn] Also when there is none. */
void capture_detach(struct conn *conn);

/* [owner thread] h: but for AHS and data segment lengths. data NULL: nothing of data_len is known. */
void capture_write(struct conn *conn, enum capture_kind kind, const union pdu_header *h,
		   const void *ahs, uint32_t ahs_len, const void *data, uint32_t data_len);

/* [owner thread] The same; costs a load when there is no capture. */
static inline void capture_pdu(struct conn *conn, enum capture_kind kind, const union pdu_header *h,
			       const void *data, uint32_t data_len)
{
	if (__builtin_expect(conn->tap != NULL, 0))
		capture_write(conn, kind, h, NULL, 0, data, data_len);
}

static inline void capture_received(struct conn *conn, const struct pdu *pdu)
{
	if (__builtin_expect(conn->tap != NULL, 0))
		capture_write(conn, CAPTURE_IN, &pdu->h, pdu->ahs, pdu->ahs_len, pdu->data,
			      pdu->data_len);
}

#endif
