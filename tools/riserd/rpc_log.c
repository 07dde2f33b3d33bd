// SPDX-License-Identifier: BSD-2-Clause
/* How much the log says. */
#include "control.h"
#include "options.h"

const char *rpc_log_level(void)
{
	return log_enabled(LOG_LEVEL_DEBUG)  ? "debug"
	       : log_enabled(LOG_LEVEL_INFO) ? "info"
	       : log_enabled(LOG_LEVEL_WARN) ? "warn"
					     : "error";
}

static enum rpc_status log_get(struct rpc_call *call, const json_t *params, json_t **result)
{
	(void)call, (void)params;
	*result = json_pack("{ss}", "level", rpc_log_level());
	return RPC_OK;
}

static enum rpc_status log_set(struct rpc_call *call, const json_t *params, json_t **result)
{
	const char *text = json_string_value(json_object_get(params, "level"));
	enum log_level level;

	if (!options_parse_log_level(text, &level))
		return rpc_fail(call, RPC_USAGE, text, "error, warn, info or debug",
				"%.64s is no level of the log", text);
	if (!json_is_true(json_object_get(params, "dry_run"))) {
		log_set_level(level);
		log_info("the log says now what is %s or worse", text);
	}
	return log_get(call, params, result);
}

static const struct rpc_param set_params[] = {
	{ "level", RPC_STRING, true, "error, warn, info or debug" },
	{ "dry_run", RPC_BOOLEAN, false, "only look whether there is such a level" },
	{ 0 },
};

extern const struct rpc_method rpc_log_methods[];
const struct rpc_method rpc_log_methods[] = {
	{ "log.get", "the level of the log", RPC_MONITOR, RPC_CONTROL, NULL, log_get },
	{ "log.set", "another level, until the next reload or start", RPC_ADMIN, RPC_CONTROL,
	  set_params, log_set },
	{ 0 },
};
