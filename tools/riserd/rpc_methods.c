// SPDX-License-Identifier: BSD-2-Clause
/* The nouns of the control socket. */
#include "rpc.h"

extern const struct rpc_method rpc_stats_methods[];
extern const struct rpc_method rpc_change_target_methods[], rpc_change_lun_methods[],
	rpc_change_user_methods[], rpc_change_initiator_methods[], rpc_config_methods[];
extern const struct rpc_method rpc_rpc_methods[], rpc_status_methods[], rpc_target_methods[],
	rpc_lun_methods[], rpc_events_methods[], rpc_trace_methods[], rpc_job_methods[],
	rpc_image_methods[], rpc_session_methods[], rpc_initiator_methods[], rpc_portal_methods[],
	rpc_alua_methods[], rpc_log_methods[], rpc_reservation_methods[];

const struct rpc_method *const rpc_tables[] = {
	rpc_rpc_methods,
	rpc_status_methods,
	rpc_target_methods,
	rpc_lun_methods,
	rpc_stats_methods,
	rpc_events_methods,
	rpc_session_methods,
	rpc_initiator_methods,
	rpc_portal_methods,
	rpc_alua_methods,
	rpc_log_methods,
	rpc_reservation_methods,
	rpc_job_methods,
	rpc_image_methods,
	rpc_trace_methods,
	rpc_change_target_methods,
	rpc_change_lun_methods,
	rpc_change_user_methods,
	rpc_change_initiator_methods,
	rpc_config_methods,
	NULL,
};
