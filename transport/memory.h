// SPDX-License-Identifier: BSD-2-Clause
/*
 * An in-process transport for tests: no socket, no bytes on a wire, whole PDUs in and structured
 * records out. Works on a virtual reactor; every function runs on the connection's reactor.
 *
 * The test is the initiator: it injects PDUs with memory_send(), turns the reactor, and reads
 * what the target sent with memory_receive().
 */
#ifndef RISER_TRANSPORT_MEMORY_H
#define RISER_TRANSPORT_MEMORY_H

#include "transport.h"

struct memory_peer;

/* Something that the target sent, in the order it was sent. */
enum memory_kind {
	MEMORY_PDU, /* send_pdu() */
	MEMORY_DATA_IN, /* put_data(): one record and one DataSN, however long; none if that is
	                 * outside of the run that a SNACK asks for */
	MEMORY_R2T, /* get_data(): one record with the whole desired_len */
};

struct memory_record {
	struct list node;
	enum memory_kind kind;
	union pdu_header h; /* complete */
	struct remote_data remote; /* of a SCSI Response or a transfer */
	uint32_t from, to; /* Data-In that answers a SNACK: the run; else 0 */
	uint32_t len; /* bytes of data; more than dlength can say is possible for Data-In */
	uint8_t data[];
};

extern const struct transport_ops memory_transport;

/* A connection in the login phase; accepted() was called. NULL: out of memory. The abilities in
 * memory_conn() may be changed before the login, to look like another transport. */
struct memory_peer *memory_connect(struct reactor *r, const struct conn_up *up, void *ctx);
/* A transport with RDMA, RFC 7145: a normal session needs RDMAExtensions=Yes. */
struct memory_datamover {
	uint32_t max_recv_dsl, max_unexpected, max_ahs; /* offered and declared */
	uint32_t max_data; /* max_full_feature_data, with the extensions and without */
};

/* The connection looks like one of such a transport. Before the login. */
void memory_be_datamover(struct memory_peer *peer, const struct memory_datamover *how);
/* Where the data of the commands is that memory_send() sends from now on. */
void memory_set_remote(struct memory_peer *peer, const struct remote_data *remote);
/* Immediate data is lent from now on: it changes when pdu_received() has returned. */
void memory_lend(struct memory_peer *peer);
/* NULL once closed() was called. */
struct conn *memory_conn(const struct memory_peer *peer);

/* Delivers a PDU now (pdu_received() is called from inside); dlength and total_ahs_len are filled
 * in. Not for Data-Out. Does nothing when the connection is closing. */
void memory_send(struct memory_peer *peer, const union pdu_header *h, const void *ahs,
		 uint32_t ahs_len, const void *data, uint32_t len);
/* Plays one Data-Out PDU for the command itt: ttt from the R2T or TAG_NONE. Lands when it belongs
 * to a running get_data(); false: nobody waits for it and it was dropped. */
bool memory_data_out(struct memory_peer *peer, uint32_t itt, uint32_t ttt, uint32_t offset,
		     const void *data, uint32_t len, bool final);
/* Ends the running get_data() of a command with any result; false: there is none. */
bool memory_finish(struct memory_peer *peer, uint32_t itt, enum transfer_result result);
/* The oldest record, to be freed with free(), or NULL. Works after closed(), too. */
struct memory_record *memory_receive(struct memory_peer *peer);
/* The peer vanishes; closed() comes at the end of a turn. */
void memory_disconnect(struct memory_peer *peer);
/* After closed(). NULL is fine. */
void memory_free(struct memory_peer *peer);

#endif
