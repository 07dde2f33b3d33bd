// SPDX-License-Identifier: BSD-2-Clause
/* One request of the control socket: what is refused, with which words, and what is answered. */
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "tools/riserd/control.h"
#include "tools/riserd/rpc_request.h"

static struct rpc_context context;

static void up(void)
{
	context = (struct rpc_context){ .events = events_new() };
	pthread_mutex_init(&context.lock, NULL);
}

static void down(void)
{
	events_free(context.events);
	pthread_mutex_destroy(&context.lock);
}

/* The reply to text; NULL: none. New reference. */
static json_t *ask_as(enum rpc_level level, const char *text)
{
	struct rpc_request r = { .call = { .context = &context, .level = level } };
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL), *json;
	char *reply;

	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	if (rpc_request_begin(&r, value))
		rpc_request_run(&r);
	reply = rpc_request_reply(&r);
	rpc_request_end(&r);
	json_decref(value);
	json = reply ? json_loads(reply, 0, NULL) : NULL;
	CU_ASSERT_EQUAL(!reply, !json);
	free(reply);
	return json;
}

static json_t *ask(const char *text)
{
	return ask_as(RPC_ADMIN, text);
}

static const char *string_of(const json_t *json, const char *a, const char *b)
{
	json_t *at = json_object_get(json, a);

	return json_string_value(b ? json_object_get(at, b) : at);
}

/* Whether text is refused with this code, and words that have `says`. */
static bool refused_as(enum rpc_level level, const char *text, int code, const char *says)
{
	json_t *reply = ask_as(level, text), *error = json_object_get(reply, "error");
	const char *message = string_of(error, "message", NULL);
	bool right = json_integer_value(json_object_get(error, "code")) == code && message &&
		     strstr(message, says) && string_of(error, "data", "name") &&
		     json_is_integer(json_object_get(json_object_get(error, "data"), "exit"));

	if (!right)
		printf("# %s: %s\n", text, message ? message : "no error");
	json_decref(reply);
	return right;
}

static bool refused(const char *text, int code, const char *says)
{
	return refused_as(RPC_ADMIN, text, code, says);
}

/* Like no word that there is. */
#define LONG                                                          \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define REQUEST(rest) "{\"jsonrpc\":\"2.0\",\"id\":1," rest "}"

static void what_is_no_request(void)
{
	up();
	CU_ASSERT_TRUE(refused("7", RPC_CODE_REQUEST, "object"));
	CU_ASSERT_TRUE(refused("{}", RPC_CODE_REQUEST, "2.0"));
	CU_ASSERT_TRUE(refused("{\"jsonrpc\":2.0,\"id\":1}", RPC_CODE_REQUEST, "2.0"));
	CU_ASSERT_TRUE(refused("{\"jsonrpc\":\"2.0\",\"id\":[]}", RPC_CODE_REQUEST, "id"));
	CU_ASSERT_TRUE(refused(REQUEST("\"params\":{}"), RPC_CODE_REQUEST, "method"));
	CU_ASSERT_TRUE(refused(REQUEST("\"method\":1"), RPC_CODE_REQUEST, "method"));
	CU_ASSERT_TRUE(
		refused(REQUEST("\"method\":\"status\",\"params\":[1]"), RPC_CODE_REQUEST, "name"));
	CU_ASSERT_TRUE(
		refused(REQUEST("\"method\":\"status\",\"params\":1"), RPC_CODE_REQUEST, "object"));
	down();
}

static void unknown_words_have_neighbours(void)
{
	up();
	CU_ASSERT_TRUE(
		refused(REQUEST("\"method\":\"statsu\""), RPC_CODE_METHOD, "is status meant"));
	CU_ASSERT_FALSE(refused(REQUEST("\"method\":\"" LONG "\""), RPC_CODE_METHOD, "meant"));
	CU_ASSERT_TRUE(refused(REQUEST("\"method\":\"" LONG "\""), RPC_CODE_METHOD, "no method"));
	CU_ASSERT_TRUE(refused(REQUEST("\"method\":\"zzzzzzzzzz\""), RPC_CODE_METHOD, "no method"));
	CU_ASSERT_TRUE(refused(REQUEST("\"method\":\"log.set\",\"params\":{\"levle\":1}"),
			       RPC_CODE_PARAMS, "'level'"));
	CU_ASSERT_TRUE(refused(REQUEST("\"method\":\"log.set\",\"params\":{\"level\":1}"),
			       RPC_CODE_PARAMS, "string"));
	CU_ASSERT_TRUE(refused(REQUEST("\"method\":\"log.set\""), RPC_CODE_PARAMS, "needs"));
	CU_ASSERT_TRUE(refused(
		REQUEST("\"method\":\"events.subscribe\",\"params\":{\"types\":[\"logn\"]}"),
		-32000 - RPC_USAGE, "'login'"));
	CU_ASSERT_TRUE(
		refused(REQUEST("\"method\":\"events.subscribe\",\"params\":{\"types\":[1]}"),
			RPC_CODE_PARAMS, "strings"));
	down();
}

static void monitors_only_look(void)
{
	json_t *reply;

	up();
	CU_ASSERT_TRUE(refused_as(RPC_MONITOR,
				  REQUEST("\"method\":\"log.set\",\"params\":{\"level\":\"info\"}"),
				  -32000 - RPC_PERMISSION, "administrators"));
	reply = ask_as(RPC_MONITOR, REQUEST("\"method\":\"log.get\""));
	CU_ASSERT_PTR_NOT_NULL(string_of(reply, "result", "level"));
	json_decref(reply);
	down();
}

static void a_notification_has_no_answer(void)
{
	up();
	CU_ASSERT_PTR_NULL(ask("{\"jsonrpc\":\"2.0\",\"method\":\"status\"}"));
	CU_ASSERT_PTR_NULL(ask("{\"jsonrpc\":\"2.0\",\"method\":\"no.such\"}"));
	down();
}

static void ids_come_back(void)
{
	json_t *reply;

	up();
	reply = ask("{\"jsonrpc\":\"2.0\",\"id\":\"a b\",\"method\":\"log.get\"}");
	CU_ASSERT_STRING_EQUAL(string_of(reply, "id", NULL), "a b");
	CU_ASSERT_PTR_NOT_NULL(string_of(reply, "result", "level"));
	json_decref(reply);
	reply = ask("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"log.get\"}");
	CU_ASSERT_TRUE(json_is_null(json_object_get(reply, "id")));
	json_decref(reply);
	down();
}

static void events_are_listed(void)
{
	const struct event e = { .type = EVENT_RESET, .lun = 3, .target = "iqn.a:b", .text = "x" };
	const json_t *one;
	json_t *reply;

	up();
	events_tell(context.events, &e);
	reply = ask(REQUEST("\"method\":\"events.list\""));
	one = json_array_get(json_object_get(reply, "result"), 0);
	CU_ASSERT_STRING_EQUAL(string_of(one, "type", NULL), "reset");
	CU_ASSERT_STRING_EQUAL(string_of(one, "target", NULL), "iqn.a:b");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(one, "lun")), 3);
	CU_ASSERT_TRUE(json_is_null(json_object_get(one, "session")));
	json_decref(reply);
	reply = ask(REQUEST("\"method\":\"events.list\",\"params\":{\"since\":1}"));
	CU_ASSERT_EQUAL(json_array_size(json_object_get(reply, "result")), 0);
	json_decref(reply);
	down();
}

static void any_text_becomes_json(void)
{
	json_t *json = rpc_text("a\xff\x01z");

	CU_ASSERT_STRING_EQUAL(json_string_value(json), "a\\xff\\x01z");
	json_decref(json);
	json = rpc_text("gr\xc3\xbc\xc3\x9f");
	CU_ASSERT_STRING_EQUAL(json_string_value(json), "gr\xc3\xbc\xc3\x9f");
	json_decref(json);
}

static void times_are_utc(void)
{
	const struct timespec t = { 1795305600, 123456789 };
	json_t *json = rpc_time(&t);

	CU_ASSERT_STRING_EQUAL(json_string_value(json), "2026-11-22T00:00:00.123Z");
	json_decref(json);
}

/* Every method of every table has a word about it, and parameters that say what they are. */
static void tables_are_complete(void)
{
	for (unsigned int t = 0; rpc_tables[t]; t++) {
		for (const struct rpc_method *m = rpc_tables[t]; m->name; m++) {
			CU_ASSERT_PTR_EQUAL(rpc_find(m->name), m);
			CU_ASSERT_TRUE(m->about && m->about[0] && m->call);
			for (const struct rpc_param *p = m->params; p && p->name; p++)
				CU_ASSERT_TRUE(p->about && p->about[0]);
		}
	}
}

UNIT_MAIN(TEST(what_is_no_request), TEST(unknown_words_have_neighbours), TEST(monitors_only_look),
	  TEST(a_notification_has_no_answer), TEST(ids_come_back), TEST(events_are_listed),
	  TEST(any_text_becomes_json), TEST(times_are_utc), TEST(tables_are_complete));
