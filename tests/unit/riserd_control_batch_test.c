// SPDX-License-Identifier: BSD-2-Clause
/* Batches on the control socket: answered when what they have changed is recorded, in order. */
#include "riserd_control_rig.h"

/* What the main thread does with the request that it has, and hands back. */
static void main_does(bool unsure, enum rpc_status status)
{
	struct main_call *call = queued();
	struct rpc_request *r = &call->request;

	list_del(&call->node);
	call->running = true;
	call->unsure = unsure;
	if (status != RPC_OK)
		rpc_request_fail(r, status, "the disk is full", NULL);
	else if (r->method)
		r->result = json_true();
	list_add_tail(&control.finished, &call->node);
	queue_collect(&control);
	turn();
}

#define IN_BATCH(id)                      \
	"{\"jsonrpc\":\"2.0\",\"id\":" id \
	",\"method\":\"lun.delete\",\"params\":{\"target\":\"a\",\"lun\":1}}"
#define LOOK "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"log.get\"}"

/* Nobody hears of a change that is not recorded; for all of a batch that is done once. */
static void a_batch_is_answered_when_it_is_recorded(void)
{
	up(RPC_ADMIN);
	send_text("[" IN_BATCH("1") "," IN_BATCH("2") "]\n");
	CU_ASSERT_TRUE(queued()->batch);
	main_does(true, RPC_OK);
	main_does(true, RPC_OK);
	CU_ASSERT_PTR_NULL(queued()->request.method);
	CU_ASSERT_TRUE(hears_nothing());
	main_does(false, RPC_OK);
	CU_ASSERT_TRUE(hears(
		"[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true},{\"jsonrpc\":\"2.0\",\"id\":2,"
		"\"result\":true}]\n"));
	CU_ASSERT_TRUE(list_empty(&c->held) && list_empty(&control.queued));
	/* What comes alone does not wait for anything. */
	send_text(IN_BATCH("3") "\n");
	CU_ASSERT_FALSE(queued()->batch);
	main_does(false, RPC_OK);
	CU_ASSERT_TRUE(hears("\"id\":3,\"result\":true}\n"));
	down();
}

static void a_batch_hears_what_was_not_recorded(void)
{
	up(RPC_ADMIN);
	send_text("[" IN_BATCH("1") "," IN_BATCH("2") "," IN_BATCH("3") "]\n");
	main_does(true, RPC_OK);
	main_does(false, RPC_NOT_FOUND); /* has changed nothing, so it is over */
	main_does(false, RPC_PARTLY);
	CU_ASSERT_EQUAL(queued()->client, c);
	main_does(true, RPC_OK);
	main_does(false, RPC_OK);
	CU_ASSERT_TRUE(hears("[{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32010,"));
	down();
}

/* Answers keep their order, and what may be long does not pile up behind one that waits. */
static void what_comes_behind_a_change_waits_for_it(void)
{
	up(RPC_ADMIN);
	send_text("[" IN_BATCH("1") "," LOOK "]\n");
	main_does(true, RPC_OK);
	CU_ASSERT_PTR_NULL(queued()->request.method);
	main_does(false, RPC_OK);
	CU_ASSERT_TRUE(
		hears("\"id\":1,\"result\":true},{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{"));
	down();
}

/* It is recorded all the same: it is in effect. */
static void who_vanishes_with_a_batch(void)
{
	up(RPC_ADMIN);
	send_text("[" IN_BATCH("1") "," IN_BATCH("2") "]\n");
	main_does(true, RPC_OK);
	client_close(c);
	CU_ASSERT_PTR_NULL(queued()->request.method);
	CU_ASSERT_PTR_NULL(queued()->client);
	control_run_main(&control);
	queue_collect(&control);
	CU_ASSERT_TRUE(list_empty(&control.queued));
	down();
}

static void a_record_may_take_too_long(void)
{
	up(RPC_ADMIN);
	send_text("[" IN_BATCH("1") "]\n");
	main_does(true, RPC_OK);
	client_expire(c, client_deadline(c));
	CU_ASSERT_TRUE(hears(
		"\"id\":1,\"error\":{\"code\":-32009,\"message\":\"this takes long; it goes on\""));
	CU_ASSERT_PTR_NULL(queued()->client);
	control_run_main(&control);
	queue_collect(&control);
	CU_ASSERT_TRUE(hears_nothing());
	down();
}

UNIT_MAIN(TEST(a_batch_is_answered_when_it_is_recorded), TEST(a_batch_hears_what_was_not_recorded),
	  TEST(what_comes_behind_a_change_waits_for_it), TEST(who_vanishes_with_a_batch),
	  TEST(a_record_may_take_too_long));
