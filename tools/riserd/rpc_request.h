// SPDX-License-Identifier: BSD-2-Clause
/* One JSON-RPC request, from its text to its reply. */
#ifndef RISERD_RPC_REQUEST_H
#define RISERD_RPC_REQUEST_H

#include "rpc.h"

/* The errors that JSON-RPC itself has; all others are -32000 - enum rpc_status. */
enum rpc_code {
	RPC_CODE_PARSE = -32700,
	RPC_CODE_REQUEST = -32600,
	RPC_CODE_METHOD = -32601,
	RPC_CODE_PARAMS = -32602,
	RPC_CODE_INTERNAL = -32603,
};

struct rpc_request {
	struct rpc_call call;
	const struct rpc_method *method; /* NULL: refused, the reply is there */
	json_t *id; /* owned; NULL: a notification, which nobody answers */
	json_t *params; /* owned */
	json_t *result; /* owned; NULL: an error */
	enum rpc_status status;
	int code; /* of an error that JSON-RPC has; 0: status says it */
};

/* Looks at what the client wants; value is borrowed. call.context, level and client are set already.
 * False: it is refused, and rpc_request_reply() says why. */
bool rpc_request_begin(struct rpc_request *r, json_t *value);
/* Calls the method: on the thread that it wants. */
void rpc_request_run(struct rpc_request *r);
/* Instead of that: it has failed. */
void rpc_request_fail(struct rpc_request *r, enum rpc_status status, const char *message,
		      const char *hint);
/* One line without its end, from malloc(); NULL: a notification, or no memory. */
char *rpc_request_reply(const struct rpc_request *r);
void rpc_request_end(struct rpc_request *r);
/* The reply to what is no request at all; code: enum rpc_code. */
char *rpc_refusal(int code, enum rpc_status status, const char *message, const char *hint);

#endif
