// SPDX-License-Identifier: BSD-2-Clause
/*
 * What error recovery knows of one command, at level 1 and up (RFC 7143 7).
 *
 * Data-In is copied to buffers of the session, so that the SCSI layer is through at once, and stays
 * there as `pieces` until DataACK or ExpStatSN acknowledges it. All that moves for a command goes by
 * its one transfer, one after the other: Data-In for the first time, runs that a SNACK asked for, all
 * of it anew after an R-Data SNACK or TASK REASSIGN. What the SCSI layer wants meanwhile `waits`; with
 * the connection gone it waits until the task belongs to another one, or is aborted.
 */
#ifndef RISER_SESSION_RECOVERY_H
#define RISER_SESSION_RECOVERY_H

#include "session/command.h"

enum {
	PIECES_MAX = 8, /* that are kept of one command */
	KEPT_BYTES_MAX = 8 << 20, /* of one session */
	KEPT_SHARE = 4, /* of all buffers, one in so many may be kept by all sessions, */
	PINNED_SHARE = 4, /* and one in so many held by tasks that wait for TASK REASSIGN */
};
#define SN_NONE UINT32_MAX /* not sent in the present numbering */

/* Data-In of one put_data() of the SCSI layer, not acknowledged. */
struct piece {
	struct buf *buf; /* NULL: the SCSI layer's own memory, and it waits for io_done() */
	const uint8_t *data; /* len bytes */
	uint32_t offset, len; /* in the command's data */
	uint32_t sn, end; /* DataSN of its PDUs: sn to end - 1 */
	uint32_t segment; /* MaxRecvDataSegmentLength that it was cut by; 0: by more than one */
	bool last; /* of the command */
	bool asked; /* for a DataACK */
	bool status; /* the last PDU had the S bit */
};

/* What the SCSI layer, or its end, waits for. */
enum waits { WAITS_FOR_NOTHING, WAITS_TO_GET, WAITS_TO_PUT, WAITS_TO_ANSWER };

/* What the command's transfer does. */
enum moves { MOVES_GET, MOVES_PUT, MOVES_RUN, MOVES_AGAIN };

/* What a SNACK asked for. */
enum wish { WISH_NOTHING, WISH_RUN, WISH_STATUS, WISH_ALL };

struct recovery {
	struct numbered status; /* on iconn.unacked when `numbered` */
	bool numbered;
	bool by_data; /* the status went with Data-In, not as a SCSI Response */
	bool gone; /* the status is acknowledged, or nobody will ask for it */
	bool over; /* the SCSI layer has let go of the task */
	bool settled; /* nothing but ExpStatSN is missing */
	bool response_out; /* command.response is with the transport */
	bool again; /* it shall be sent again when it is back and no data moves */
	bool suspended; /* waits for TASK REASSIGN, or for its TMF Response to leave */
	bool refused; /* a SNACK asked for what is not kept */
	bool shed; /* it had to give back its memory while it was suspended */

	struct list pinned_node; /* reactor_state.pinned while it is suspended with memory; */
	uint32_t pinned; /* bytes */

	enum waits waits;
	void *data; /* to get or to put: len bytes at offset */
	uint32_t offset, len;
	bool last; /* to put: it ends the task */
	bool ends; /* the io_done() to come is that of the last put */

	enum moves moves;
	uint32_t current; /* the piece that moves */
	struct piece piece[PIECES_MAX + 1]; /* by offset; one more for memory that is not ours */
	uint32_t pieces;
	uint32_t given; /* bytes that were handed over: where the next piece begins */

	/* the data acknowledgement reference number: DataSN and offset before which all is acked */
	uint32_t acked, acked_offset;
	uint32_t unasked; /* bytes since a piece asked for DataACK */
	bool ack_wanted; /* one piece has asked, by this TTT: the next one waits */
	bool ack_came; /* while it moved */
	uint32_t ack_ttt;
	uint64_t ack_since; /* ns: it was sent; 0: it moves */

	enum wish wish; /* waits until nothing moves */
	union pdu_header snack; /* that wished it */
	bool running; /* a run goes out: [from, to) */
	bool resending; /* all pieces go out anew */
	uint32_t at; /* the piece that is next */
	uint32_t from, to;
	uint32_t next_sn; /* to go on with after a run */
	uint32_t snack_tag; /* RFC 7143 11.4.4; 0: none */
};

/* --- recovery.c */

/* c is new: false: no memory for it. */
bool recovery_begin(struct command *c);
/* Before c is freed. */
void recovery_end(struct command *c);
/* The status has taken statsn on the command's connection. */
void recovery_number(struct command *c, uint32_t statsn);
/* Something came back, or was acknowledged. Frees c when that was the last. */
void recovery_settle(struct command *c);
/* Sends the status again as a SCSI Response: with its StatSN, or a new one after TASK REASSIGN. */
void recovery_answer_again(struct command *c);
/* command.response came back. */
void recovery_response_back(struct command *c);
/* The task is the port's again. False: it is answered later. */
bool recovery_may_finish(struct command *c);
/* The status of a task that was answered is of no use: nobody will ask for it. */
void recovery_drop(struct command *c);
/* The SCSI layer is told of the abort next: what waits for the transport is over. */
void recovery_aborted(struct command *c);
void recovery_io_work(struct command *c);

/* The connection takes what is sent for c. A peer that is gone shows in conn->closing first. */
static inline bool recovery_line_up(const struct command *c)
{
	return c->ic && iconn_up(c->ic) && !c->ic->conn->closing && !c->kept->suspended;
}

/* --- recovery_reassign.c */

/* It is suspended and has begun to wait with memory of its own. */
void recovery_pin(struct command *c);
/* It holds no memory any more, or waits for nobody. */
void recovery_unpin(struct command *c);
/* Runs as reactor_state.shed_work. */
void recovery_shed(struct work *work);

/* --- recovery_data.c */

void recovery_get(struct command *c, void *data, uint32_t offset, uint32_t len);
void recovery_put(struct command *c, void *data, uint32_t offset, uint32_t len, bool last);
void recovery_transfer_done(struct command *c, struct transfer *t);
/* What is next, when nothing moves. Does not free c when it can be answered. */
void recovery_go_on(struct command *c);
/* All pieces from offset `acked_offset` on, with DataSN from `acked` on. False: not all is kept. */
bool recovery_resend(struct command *c);
/* Frees pieces before DataSN sn. Nothing may move. */
void recovery_ack_data(struct command *c, uint32_t sn);
void recovery_free_pieces(struct command *c);
/* The memory that is not ours is at the end of the list: whether there is any. */
static inline bool recovery_lent(const struct recovery *r)
{
	return r->pieces && !r->piece[r->pieces - 1].buf;
}

/* --- snack.c */

/* Nothing moves: what was asked for meanwhile. */
void snack_take(struct command *c);
/* Something that was asked for is not kept: the task ends with CHECK CONDITION. Does not free c, and
 * does nothing where the Reject was one answer too many for the connection. */
void snack_refuse(struct command *c);

#endif
