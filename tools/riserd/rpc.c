// SPDX-License-Identifier: BSD-2-Clause
/* Methods: how they are found, called and described. See rpc.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "core/log.h"
#include "parse_impl.h"
#include "rpc_request.h"

static const char *const status_names[] = {
	[RPC_OK] = "ok",
	[RPC_FAILED] = "failed",
	[RPC_USAGE] = "usage",
	[RPC_NOT_FOUND] = "not-found",
	[RPC_EXISTS] = "exists",
	[RPC_BUSY] = "busy",
	[RPC_PERMISSION] = "permission",
	[RPC_NOT_RUNNING] = "not-running",
	[RPC_CONFIG_INVALID] = "config-invalid",
	[RPC_TIMEOUT] = "timeout",
	[RPC_PARTLY] = "partly",
};

static const char *const type_names[] = {
	[RPC_STRING] = "string", [RPC_INTEGER] = "integer", [RPC_BOOLEAN] = "boolean",
	[RPC_STRINGS] = "array", [RPC_OBJECT] = "object",
};

enum { NAMES_MAX = 256 };

json_t *rpc_text(const char *text)
{
	json_t *json = json_string(text);
	char *plain;
	size_t size;

	if (json)
		return json;
	/* Not UTF-8: a path may be anything. */
	size = 4 * strlen(text) + 1;
	plain = malloc(size);
	if (!plain)
		return NULL;
	json = json_string(log_escape(plain, size, text, strlen(text)));
	free(plain);
	return json;
}

json_t *rpc_time(const struct timespec *time)
{
	char text[64];
	struct tm tm;
	size_t len;

	gmtime_r(&time->tv_sec, &tm);
	len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, sizeof(text) - len, ".%03ldZ", time->tv_nsec / 1000000);
	return json_string(text);
}

enum rpc_status rpc_fail(struct rpc_call *call, enum rpc_status status, const char *object,
			 const char *hint, const char *fmt, ...)
{
	va_list args;

	snprintf(call->object, sizeof(call->object), "%s", object ? object : "");
	snprintf(call->hint, sizeof(call->hint), "%s", hint ? hint : "");
	va_start(args, fmt);
	vsnprintf(call->message, sizeof(call->message), fmt, args);
	va_end(args);
	return status;
}

/* --- The tables */

static const struct rpc_method *next_method(const struct rpc_method *m, unsigned int *table)
{
	if (m && m[1].name)
		return m + 1;
	for (m = NULL; !m && rpc_tables[*table]; ++*table)
		m = rpc_tables[*table]->name ? rpc_tables[*table] : NULL;
	return m;
}

const struct rpc_method *rpc_find(const char *name)
{
	const struct rpc_method *m = NULL;
	unsigned int table = 0;

	while ((m = next_method(m, &table)))
		if (!strcmp(m->name, name))
			return m;
	return NULL;
}

static json_t *describe_param(const struct rpc_param *p)
{
	json_t *schema = json_pack("{ss}", "type", type_names[p->type]);

	if (p->type == RPC_STRINGS)
		json_object_set_new(schema, "items", json_pack("{ss}", "type", "string"));
	return json_pack("{ss ss sb so}", "name", p->name, "description", p->about, "required",
			 p->required, "schema", schema);
}

static json_t *describe(const struct rpc_method *m)
{
	json_t *params = json_array();

	for (const struct rpc_param *p = m->params; p && p->name; p++)
		json_array_append_new(params, describe_param(p));
	return json_pack("{ss ss ss ss so s{ss s{}}}", "name", m->name, "summary", m->about,
			 "x-level", m->level == RPC_ADMIN ? "admin" : "monitor", "paramStructure",
			 "by-name", "params", params, "result", "name", "result", "schema");
}

json_t *rpc_discover(void)
{
	json_t *methods = json_array(), *errors = json_array();
	const struct rpc_method *m = NULL;
	unsigned int table = 0;

	while ((m = next_method(m, &table)))
		json_array_append_new(methods, describe(m));
	for (int i = RPC_FAILED; i <= RPC_PARTLY; i++)
		json_array_append_new(errors, json_pack("{si ss}", "code", -32000 - i, "message",
							status_names[i]));
	return json_pack("{ss s{ss si} so s{so}}", "openrpc", "1.2.6", "info", "title", "riserd",
			 "version", 1, "methods", methods, "components", "errors", errors);
}

/* --- One request */

static bool refuse(struct rpc_request *r, int code, enum rpc_status status)
{
	r->method = NULL;
	r->code = code;
	r->status = status;
	return false;
}

static bool unknown_method(struct rpc_request *r, const char *name)
{
	const char *names[NAMES_MAX], *near;
	const struct rpc_method *m = NULL;
	unsigned int table = 0, n = 0;

	while ((m = next_method(m, &table)) && n < NAMES_MAX)
		names[n++] = m->name;
	near = parse_nearest(name, names, n);
	rpc_fail(&r->call, RPC_USAGE, name, near ? near : "rpc.discover lists all methods",
		 near ? "there is no method %.64s; is %s meant?" : "there is no method %.64s", name,
		 near);
	return refuse(r, RPC_CODE_METHOD, RPC_USAGE);
}

static bool fits(enum rpc_type type, const json_t *value)
{
	const json_t *item;
	size_t i;

	switch (type) {
	case RPC_STRING:
		return json_is_string(value) &&
		       strlen(json_string_value(value)) == json_string_length(value);
	case RPC_INTEGER: return json_is_integer(value);
	case RPC_BOOLEAN: return json_is_boolean(value);
	case RPC_OBJECT: return json_is_object(value);
	case RPC_STRINGS: break;
	}
	if (!json_is_array(value))
		return false;
	json_array_foreach(value, i, item)
	{
		if (!fits(RPC_STRING, item))
			return false;
	}
	return true;
}

static const struct rpc_param *find_param(const struct rpc_method *m, const char *name)
{
	const struct rpc_param *p = m->params;

	while (p && p->name && strcmp(p->name, name) != 0)
		p++;
	return p && p->name ? p : NULL;
}

static bool unknown_param(struct rpc_request *r, const char *name)
{
	const struct rpc_param *p = r->method->params;
	const char *names[NAMES_MAX], *near;
	unsigned int n = 0;

	for (; p && p->name && n < NAMES_MAX; p++)
		names[n++] = p->name;
	near = parse_nearest(name, names, n);
	rpc_fail(&r->call, RPC_USAGE, name, near,
		 near ? "%s takes no parameter '%.64s'; is '%s' meant?"
		      : "%s takes no parameter '%.64s'",
		 r->method->name, name, near);
	return refuse(r, RPC_CODE_PARAMS, RPC_USAGE);
}

static bool check_params(struct rpc_request *r)
{
	const struct rpc_param *p;
	const char *name;
	json_t *value;

	json_object_foreach(r->params, name, value)
	{
		p = find_param(r->method, name);
		if (!p)
			return unknown_param(r, name);
		if (fits(p->type, value))
			continue;
		rpc_fail(&r->call, RPC_USAGE, name, p->about, "%s: '%s' takes %s%s",
			 r->method->name, name,
			 p->type == RPC_STRINGS ? "an array of strings" : type_names[p->type],
			 p->type == RPC_STRING ? " without a zero byte" : "");
		return refuse(r, RPC_CODE_PARAMS, RPC_USAGE);
	}
	for (p = r->method->params; p && p->name; p++) {
		if (!p->required || json_object_get(r->params, p->name))
			continue;
		rpc_fail(&r->call, RPC_USAGE, p->name, p->about, "%s needs the parameter '%s'",
			 r->method->name, p->name);
		return refuse(r, RPC_CODE_PARAMS, RPC_USAGE);
	}
	return true;
}

static bool bad_request(struct rpc_request *r, const char *message)
{
	rpc_fail(&r->call, RPC_USAGE, NULL,
		 "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"status\"}", "%s", message);
	/* Nobody knows whether an answer was wanted: JSON-RPC wants one then. */
	if (!r->id)
		r->id = json_null();
	return refuse(r, RPC_CODE_REQUEST, RPC_USAGE);
}

/* The same keys as the specification has, and no others. */
static bool check_shape(struct rpc_request *r, json_t *value)
{
	const json_t *id, *version, *method, *params;

	if (!json_is_object(value))
		return bad_request(r, "a request is an object");
	id = json_object_get(value, "id");
	if (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return bad_request(r, "id is a string or a number");
	r->id = id ? json_incref((json_t *)id) : NULL;
	version = json_object_get(value, "jsonrpc");
	if (!json_is_string(version) || strcmp(json_string_value(version), "2.0") != 0)
		return bad_request(r, "\"jsonrpc\": \"2.0\" is missing");
	method = json_object_get(value, "method");
	if (!json_is_string(method))
		return bad_request(r, "method is missing, or no string");
	params = json_object_get(value, "params");
	if (json_is_array(params) && json_array_size(params))
		return bad_request(r, "parameters go by name: params is an object");
	if (params && !json_is_object(params) && !json_is_array(params))
		return bad_request(r, "params is an object");
	r->params = json_is_object(params) ? json_incref((json_t *)params) : json_object();
	return true;
}

bool rpc_request_begin(struct rpc_request *r, json_t *value)
{
	const char *name;
	char hint[256];

	r->method = NULL;
	r->id = r->params = r->result = NULL;
	r->status = RPC_OK;
	r->code = 0;
	if (!check_shape(r, value))
		return false;
	name = json_string_value(json_object_get(value, "method"));
	r->method = rpc_find(name);
	if (!r->method)
		return unknown_method(r, name);
	r->call.method = r->method->name;
	if (r->method->level > r->call.level) {
		rpc_fail(&r->call, RPC_PERMISSION, name,
			 control_way_in(r->call.context, RPC_ADMIN, hint, sizeof(hint)),
			 "%s is for administrators, and you may only look", name);
		return refuse(r, 0, RPC_PERMISSION);
	}
	return check_params(r);
}

void rpc_request_run(struct rpc_request *r)
{
	r->status = r->method->call(&r->call, r->params, &r->result);
	if (r->status == RPC_OK && !r->result)
		rpc_request_fail(r, RPC_FAILED, "out of memory", NULL);
}

void rpc_request_fail(struct rpc_request *r, enum rpc_status status, const char *message,
		      const char *hint)
{
	r->status = rpc_fail(&r->call, status, NULL, hint, "%s", message);
}

static json_t *error_object(int code, enum rpc_status status, const char *message,
			    const char *object, const char *hint)
{
	json_t *data = json_pack("{ss si}", "name", status_names[status], "exit", (int)status);

	if (object && *object)
		json_object_set_new(data, "object", rpc_text(object));
	if (hint && *hint)
		json_object_set_new(data, "hint", rpc_text(hint));
	return json_pack("{si so so}", "code", code ? code : -32000 - (int)status, "message",
			 rpc_text(message), "data", data);
}

static char *dump(json_t *reply)
{
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;

	json_decref(reply);
	return text;
}

char *rpc_request_reply(const struct rpc_request *r)
{
	const struct rpc_call *c = &r->call;
	json_t *error, *reply;

	if (!r->id)
		return NULL;
	/* RPC_PARTLY has both: what was done, and that it was not all. */
	if (r->status == RPC_OK)
		return dump(json_pack("{ss sO sO}", "jsonrpc", "2.0", "id", r->id, "result",
				      r->result));
	error = error_object(r->code, r->status, c->message, c->object, c->hint);
	if (r->result)
		json_object_set(json_object_get(error, "data"), "result", r->result);
	reply = json_pack("{ss sO so}", "jsonrpc", "2.0", "id", r->id, "error", error);
	return dump(reply);
}

char *rpc_refusal(int code, enum rpc_status status, const char *message, const char *hint)
{
	return dump(json_pack("{ss sn so}", "jsonrpc", "2.0", "id", "error",
			      error_object(code, status, message, NULL, hint)));
}

void rpc_request_end(struct rpc_request *r)
{
	json_decref(r->id);
	json_decref(r->params);
	json_decref(r->result);
	r->id = r->params = r->result = NULL;
}

/* --- The methods about methods */

static enum rpc_status discover(struct rpc_call *call, const json_t *params, json_t **result)
{
	(void)call, (void)params;
	*result = rpc_discover();
	return RPC_OK;
}

extern const struct rpc_method rpc_rpc_methods[];
const struct rpc_method rpc_rpc_methods[] = {
	{ "rpc.discover", "this list of methods", RPC_MONITOR, RPC_CONTROL, NULL, discover },
	{ 0 },
};
