// SPDX-License-Identifier: BSD-2-Clause
/* Portals, as they are served. */
#include "rpc_look.h"

json_t *look_address(const struct portal_address *address)
{
	char text[64];

	address_format(&address->addr, text, sizeof(text));
	return json_string(text);
}

const char *look_access(enum access_state access)
{
	switch (access) {
	case ACCESS_OPTIMIZED: return "optimized";
	case ACCESS_NON_OPTIMIZED: return "non-optimized";
	case ACCESS_STANDBY: return "standby";
	case ACCESS_UNAVAILABLE: return "unavailable";
	case ACCESS_OFFLINE: return "offline";
	case ACCESS_TRANSITIONING: return "transitioning";
	}
	return "unknown";
}

static json_t *active(struct server *server, const struct portal_address *address)
{
	const char *names[SERVER_TRANSPORTS];
	unsigned int n = server_portal_transports(server, address, names);
	json_t *list = json_array();

	for (unsigned int i = 0; i < n; i++)
		json_array_append_new(list, json_string(names[i]));
	return list;
}

static json_t *portal_json(const struct rpc_context *x, const struct config_portal *p)
{
	return json_pack("{so ss so si ss sb so ss}", "address", look_address(&p->address),
			 "transports",
			 p->transports == PORTAL_TCP	? "tcp"
			 : p->transports == PORTAL_ISER ? "iser"
							: "all",
			 "active", active(live_server(x->live), &p->address), "tag", p->tag,
			 "access", look_access(p->access), "preferred", p->preferred, "redirect",
			 p->redirect[0] ? rpc_text(p->redirect) : json_null(), "source",
			 look_source(x, &p->place));
}

static enum rpc_status portal_list(struct rpc_call *call, const json_t *params, json_t **result)
{
	const struct rpc_context *x = call->context;
	const struct config *c;
	json_t *list = json_array();

	(void)params;
	live_look(x->live);
	c = live_running(x->live);
	for (unsigned int i = 0; i < c->portal_count; i++)
		json_array_append_new(list, portal_json(x, &c->portals[i]));
	live_look_end(x->live);
	*result = list;
	return RPC_OK;
}

extern const struct rpc_method rpc_portal_methods[];
const struct rpc_method rpc_portal_methods[] = {
	{ "portal.list", "addresses that are served, and over what", RPC_MONITOR, RPC_CONTROL, NULL,
	  portal_list },
	{ 0 },
};
