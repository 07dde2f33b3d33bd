// SPDX-License-Identifier: BSD-2-Clause
/*
 * The transport seam: PDUs plus data movement, after RFC 5047 (Datamover).
 *
 *            session/                     knows RFC 7143, no socket, no RDMA
 *   down:  listen  unlisten  offer_keys  apply_keys  send_pdu  put_data  get_data  resend_r2ts
 *          cancel_data  hand_over  close
 *   up:    place  accepted  pdu_received  protocol_error  transfer_done  stamp  closed
 *            transport/                   tcp/, rdma/, memory.c
 *
 * Unless said otherwise every function runs on the connection's reactor. Every asynchronous
 * operation finishes exactly once, also when the connection dies; after closed() nothing comes.
 * No up-call is made from inside a down-call, except that memory.c documents otherwise: none does.
 */
#ifndef RISER_TRANSPORT_H
#define RISER_TRANSPORT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/list.h"
#include "core/reactor.h"
#include "core/slab.h"
#include "pdu.h"

struct conn;
struct capture_tap;
struct listener;
struct transport_ops;

/* What was negotiated and the transport has to know; bytes, host order. */
struct conn_params {
	bool header_digest, data_digest; /* CRC32C */
	bool initial_r2t, immediate_data;
	uint32_t max_recv_dsl; /* what we declared: largest data segment we accept */
	uint32_t max_xmit_dsl; /* what the initiator declared: largest we may send */
	uint32_t max_burst, first_burst;
	uint32_t max_outstanding_r2t;
	/* RFC 7145 section 6. In an offer: what the transport can and what it declares; as a result:
	 * what was agreed on and what the initiator declared. With the extensions max_recv_dsl is
	 * TargetRecvDataSegmentLength and max_xmit_dsl InitiatorRecvDataSegmentLength. */
	bool rdma_extensions; /* RDMAExtensions=Yes */
	bool needs_extensions; /* offer: a normal session is impossible without them */
	bool tagged_from_start; /* TaggedBufferForSolicitedDataOnly=No was declared */
	uint32_t max_unexpected; /* MaxOutstandingUnexpectedPDUs; 0: no limit, nothing to declare */
	uint32_t max_ahs; /* MaxAHSLength, bytes; 0: no limit, nothing to declare */
	/* RFC 7143 7.1 and 13.2. In an offer: the most that session and transport can do. */
	uint8_t error_recovery_level;
	uint32_t max_connections; /* of one session */
	/* Result only: how many requests the initiator may have on the way that we have not answered,
	 * the window of MaxCmdSN. Immediate requests and answers to our NOP-Ins come on top. */
	uint32_t command_window;
	bool full_feature; /* false until apply_keys() */
};

/* Where a command's data is at the initiator, as the transport knows it (over RDMA: the advertised
 * STags). Opaque: the session hands it from the command's PDU to every transfer and to the SCSI
 * Response of that command. */
struct remote_data {
	uint64_t opaque[4];
};

/* What a command may pin before it is asked for: the first burst, or the whole of a small one. */
enum { FIRST_ROOM = 256 << 10 };

/* A PDU from the peer. Valid during pdu_received() only, except buf. */
struct pdu {
	union pdu_header h;
	uint8_t ahs[AHS_MAX];
	uint32_t ahs_len; /* bytes */
	uint32_t data_len; /* DataSegmentLength */
	const uint8_t *data; /* data_len bytes; NULL iff data_len is 0 or `dropped` */
	/* SCSI Command with data: the buffer that data points into (at offset 0), with room for
	 * min(EDTL, FirstBurstLength, FIRST_ROOM) bytes, or more. The callee takes it by setting buf
	 * to NULL. Or NULL: the data is lent, wherever it was received, and at any address; who needs
	 * it after pdu_received() has to copy it. NULL for others. */
	struct buf *buf;
	struct remote_data remote; /* SCSI Command */
	bool data_digest_error; /* data segment failed its CRC: discard per RFC 7143 7.8 */
	bool dropped; /* data is thrown away: no memory for it, or not a Login before full feature
	               * phase (shown at once, by its header alone) */
};

/* A PDU to the peer. Embedded in its owner; the transport borrows it until sent(). */
struct tx_pdu {
	struct list node; /* transport's */
	union pdu_header h; /* complete but for dlength, which the transport fills in */
	const void *data; /* borrowed until sent(); padding is the transport's business */
	uint32_t data_len; /* at most max_xmit_dsl */
	struct remote_data remote; /* SCSI Response: the command's; ignored otherwise */
	/* Exactly once: handed to the wire, or the connection died. Never from inside send_pdu(). */
	void (*sent)(struct tx_pdu *pdu);
};

enum transfer_result {
	TRANSFER_OK,
	TRANSFER_DIGEST, /* data digest error or lost PDU (DataSN, gap): CC B/47/05, data invalid */
	TRANSFER_UNEXPECTED, /* unsolicited data that was not allowed: CC B/0C/0C */
	TRANSFER_SHORT, /* F bit before the end (or missing at the end): CC B/0C/0D */
	TRANSFER_NO_MEMORY, /* get: the device cannot reach the buffer: CC B/55/03, to be tried again */
	TRANSFER_CANCELED, /* cancel_data() or the connection is gone */
};

/* A movement of data between a registered buffer and the initiator, for one command. Embedded in
 * the command; the transport borrows it and data until transfer_done(). */
struct transfer {
	struct list node; /* transport's */
	/* set by the caller */
	union pdu_header h; /* put: Data-In template: lun, itt, expcmdsn, maxcmdsn, and with
	                     * with_status also flags (S, O, U), status, statsn, residual.
	                     * get: R2T template: lun, itt, statsn, expcmdsn, maxcmdsn;
	                     * unsolicited: lun and itt, for a recovery R2T. */
	struct remote_data remote; /* the command's */
	void *data; /* len bytes */
	uint32_t offset; /* Buffer Offset of data in the whole command, bytes */
	uint32_t len; /* bytes; put: may be 0 only with with_status; get: only if unsolicited,
	               * which drains the sequence into nowhere */
	bool with_status; /* put: ends the command; the S bit goes with the last Data-In (the
	                   * session asks for it only for status GOOD without sense) */
	bool final; /* put: last data of the command's only sequence (F bit) */
	bool unsolicited; /* get: no R2T; Data-Out with TTT 0xffffffff for this ITT lands here. It
	                   * ends with the F bit; received says how much came. */
	uint32_t sn; /* in/out: put: next DataSN; get: next R2TSN of the command, which only a
	              * recovery R2T takes if unsolicited */
	/* put, error recovery level 1 and up. ack: the last Data-In asks for a DataACK (A bit) with
	 * the TTT of the template. part: a SNACK is answered: the same PDUs as the first time, but
	 * only those with DataSN in [from, to) leave; sn ends as if all had. */
	bool ack;
	bool part;
	uint32_t from, to;
	uint32_t segment; /* the transport's; put: max_xmit_dsl when it was handed over */
	/* result */
	uint32_t received; /* get: bytes that landed, contiguous from offset; put: transport's */
	enum transfer_result result;
};

/* Up. Implemented by session/ (and by tests). */
struct conn_up {
	/* [listener's thread] Which reactor shall own a new connection; NULL refuses it. */
	struct reactor *(*place)(void *ctx, const struct sockaddr_storage *peer);
	/* A connection is there; set conn->user. May call close(). */
	void (*accepted)(void *ctx, struct conn *conn);
	/* A whole PDU. Data-Out never comes here: the transport consumes it. Framing errors of the
	 * peer never come here either: see protocol_error. The callee may call any down-call. */
	void (*pdu_received)(struct conn *conn, struct pdu *pdu);
	/* The peer broke a rule that only the transport sees. reason: Reject reason for the header h
	 * (send a Reject when the session wants to); fatal: the transport reads no more and the
	 * callee must answer (optionally) and close(). */
	void (*protocol_error)(struct conn *conn, const union pdu_header *h,
			       enum reject_reason reason, bool fatal);
	void (*transfer_done)(struct conn *conn, struct transfer *t);
	/* Fills StatSN (the next one, not consumed), ExpCmdSN and MaxCmdSN into an R2T that takes its
	 * place in the send queue now: get_data() was called long ago. */
	void (*stamp)(struct conn *conn, union pdu_header *r2t);
	/* Last call, once, after every outstanding pdu and transfer has been returned. The callee
	 * drops its pointer; the transport frees conn. */
	void (*closed)(struct conn *conn);
};

/* Base of every transport's connection. */
struct conn {
	const struct transport_ops *ops;
	const struct conn_up *up;
	struct reactor *reactor;
	void *user; /* the session layer's */
	struct capture_tap *tap; /* capture.h's; NULL: its PDUs are not captured */
	struct sockaddr_storage peer, local;
	char peer_name[64], local_name[64]; /* "192.0.2.1:3260", "[::1]:3260" */
	struct conn_params params;
	/* Abilities. */
	uint32_t max_full_feature_data; /* largest data segment of a non-Data PDU in full feature
	                                 * phase whatever the peer declared; 0 = no such limit. Set
	                                 * by apply_keys(). */
	bool stable_source; /* put_data must not see data change before transfer_done(): do not
	                     * lend it memory that others may write (set when a data digest is on) */
	bool unstoppable; /* a transfer under way may reach the initiator's memory until
	                   * transfer_done(), whatever was canceled: no answer may say before that
	                   * its command has ended */
	bool digests; /* header and data digests can be negotiated */
	bool movable; /* hand_over() is possible */
	bool closing; /* close() was called or the peer is gone: down-calls are still legal */
	/* The session layer's: an answer is due, and close() soon. A peer that only says it sends no more, which
	 * TCP can do, is not gone for that. */
	bool answer_due;
	uint64_t bytes_queued; /* given to send_pdu() and put_data() and not yet given back */
	/* Counters, written by the owner thread. */
	_Atomic uint64_t bytes_in, bytes_out, pdus_in, pdus_out;
	/* Payload bytes that our CPU copied between wire and disk on behalf of this connection. */
	_Atomic uint64_t bytes_copied;
};

struct portal_address {
	struct sockaddr_storage addr; /* port in network order inside; 0 = any free one */
	socklen_t len;
	int socket; /* listen, TCP: this one listens there already, and goes on to when we have ended;
	             * borrowed for the listener's life; 0: there is none */
	bool required; /* listen: now or not at all. Otherwise a transport whose device is not there
	                * yet waits for it and says so once in the log. */
};

/* Counted by any thread, read by any. */
struct transport_error {
	const char *name; /* as a label: "queue-pair" */
	_Atomic uint64_t count;
};

struct transport_ops {
	const char *name; /* "tcp", "memory" */
	/* [main thread, before or after reactors run] Binds and listens; accepts on r's thread. The
	 * bound address is written back to *addr. -errno with one line in why. */
	int (*listen)(struct reactor *r, struct portal_address *addr, const struct conn_up *up,
		      void *ctx, struct listener **out, char *why, size_t why_size);
	/* [r's thread, or any when r will not run again] No accepted() afterwards on r's thread; on
	 * others one may be under way, so ctx outlives their reactors. Connections live on. */
	void (*unlisten)(struct listener *l);
	/* Narrows what the session would offer to what the transport can: clears digests it cannot
	 * do, lowers lengths. Called once per login before operational negotiation. */
	void (*offer_keys)(struct conn *conn, struct conn_params *can);
	/* Full feature phase: called right after the final Login Response went to send_pdu(); holds
	 * for every later PDU in both directions. Later calls may change lengths only. */
	void (*apply_keys)(struct conn *conn, const struct conn_params *params);
	/* Queues pdu; PDUs leave in the order of send_pdu() and put_data() calls. */
	void (*send_pdu)(struct conn *conn, struct tx_pdu *pdu);
	/* Data-In PDUs | RDMA Write (+ SCSI Response). Done when data is no longer needed. */
	void (*put_data)(struct conn *conn, struct transfer *t);
	/* R2T + Data-Out | RDMA Read. Splits by max_burst and keeps at most max_outstanding_r2t R2Ts
	 * of one command in flight. Several get_data of one command may not overlap in time.
	 * Error recovery level 1 and up: what a data digest error (reported by protocol_error) or a
	 * gap took from a burst is asked for again by recovery R2Ts, a few times. */
	void (*get_data)(struct conn *conn, struct transfer *t);
	/* R2T SNACK, RFC 7143 11.16: the R2Ts of this command with R2TSN in [from, from + count) that
	 * wait for data are sent again as they were but for their numbers (stamp); count 0: all from
	 * `from` on. False: there is none. */
	bool (*resend_r2ts)(struct conn *conn, uint32_t itt, uint32_t from, uint32_t count);
	/* A get_data that shall end early (abort): done comes, TRANSFER_CANCELED or what it was;
	 * afterwards nothing lands any more and late Data-Out is dropped. */
	void (*cancel_data)(struct conn *conn, struct transfer *t);
	/* The connection goes on as a new one of another reactor: accepted(ctx, new conn) there, the
	 * PDU being delivered once more, and what has come behind it. Then closed() here, so that
	 * there is no moment at which nobody has it. Only if conn->movable, and only from inside
	 * pdu_received() of the first PDU, with nothing sent. conn is closing from now on: only
	 * close() is legal, and does not reach the new connection. Without memory it is simply closed. */
	void (*hand_over)(struct conn *conn, struct reactor *to, void *ctx);
	/* Idempotent. flush: first sends what is queued (bounded by 2 s), then closes; otherwise at
	 * once. closed() follows, never from inside. */
	void (*close)(struct conn *conn, bool flush);
	/* What of its own can go wrong, ended by a NULL name; NULL: nothing is counted. */
	struct transport_error *errors;
};

/* "192.0.2.1:3260", "[2001:db8::1]:3260" or "[fe80::1%eth0]:3260"; size 64 is enough.
 * [any thread] */
void address_format(const struct sockaddr_storage *ss, char *out, size_t size);

/* The checked wrappers: owner thread, state, lengths, trace. Only these are called. */
void conn_offer_keys(struct conn *conn, struct conn_params *can);
void conn_apply_keys(struct conn *conn, const struct conn_params *params);
void conn_send_pdu(struct conn *conn, struct tx_pdu *pdu);
void conn_put_data(struct conn *conn, struct transfer *t);
void conn_get_data(struct conn *conn, struct transfer *t);
bool conn_resend_r2ts(struct conn *conn, uint32_t itt, uint32_t from, uint32_t count);
void conn_cancel_data(struct conn *conn, struct transfer *t);
void conn_hand_over(struct conn *conn, struct reactor *to, void *ctx);
void conn_close(struct conn *conn, bool flush);

extern const struct transport_ops tcp_transport;

/* [main thread, once] The RDMA transport, from the plug-in riser-rdma.so beside the executable or in
 * ../lib/riser: NULL with one line in why when it or a library it needs is not on this host. */
const struct transport_ops *transport_load_rdma(char *why, size_t why_size);
/* What the plug-in exports as `riser_plugin`. */
struct transport_plugin {
	const char *build; /* TRANSPORT_PLUGIN_BUILD: host and plug-in share private structures */
	const struct transport_ops *transport;
	/* Loads what the plug-in itself needs at run time. -errno with one line in why. */
	int (*load)(char *why, size_t why_size);
};

#endif
