// SPDX-License-Identifier: BSD-2-Clause
/* Memory that runs out while somebody logs in: he is refused or cut off, and the next one gets in. */
#include "session/internal.h"
#include "target_rig.h"
#include "tests/lib/unit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

/* The calloc() or realloc() with this number fails, counted from 0; -1: none. malloc() is the memory
 * transport's, which cannot do without. The sanitizers bring an allocator of their own: with them
 * nothing fails here. */
static long fail_at = -1;
static bool failed;

#ifndef SANITIZED
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static bool out_of_memory(void)
{
	if (fail_at < 0 || fail_at-- > 0)
		return false;
	failed = true;
	return true;
}

void *calloc(size_t count, size_t size)
{
	return out_of_memory() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return out_of_memory() ? NULL : __libc_realloc(old, size);
}
#endif

static void ask(struct initiator *in)
{
	static const char text[] =
		"InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "\0SessionType=Normal\0";
	union pdu_header h = { 0 };

	h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	h.login_request.flags = LOGIN_TRANSIT | STAGE_OPERATIONAL << 2 | STAGE_FULL_FEATURE;
	h.login_request.isid.b[0] = 0x80;
	h.login_request.itt = be32_of(7);
	rig_send(in, &h, text, sizeof(text) - 1);
}

/* The status of a login during which allocation n fails; -1: cut off. */
static int log_in_without(struct rig *rig, long n)
{
	struct initiator in = { .rig = rig, .r = rig->r };
	struct memory_record *rec;
	int status = -1;

	in.peer = memory_connect(rig->r, &session_conn_up, rig->server);
	CU_ASSERT_PTR_NOT_NULL_FATAL(in.peer);
	rig_turn(rig);
	fail_at = n;
	failed = false;
	ask(&in);
	rec = rig_receive(&in);
	fail_at = -1;
	if (rec && pdu_opcode(&rec->h.bhs) == OP_LOGIN_RESPONSE)
		status = be16_get(rec->h.login_response.status);
	CU_ASSERT(status == LOGIN_SUCCESS || !memory_conn(in.peer));
	free(rec);
	if (memory_conn(in.peer))
		rig_leave(&in);
	else
		memory_free(in.peer);
	rig_turn(rig);
	return status;
}

static void each_allocation_fails_once(void)
{
	int refused = 0, status;
	struct rig rig;

	CU_ASSERT_TRUE_FATAL(rig_up(&rig, "ram:1M", NULL));
	for (long n = 0; n < 64; n++) {
		status = log_in_without(&rig, n);
		refused += status == LOGIN_OUT_OF_RESOURCES;
		CU_ASSERT(status == LOGIN_SUCCESS || status == LOGIN_OUT_OF_RESOURCES ||
			  status == -1);
		if (!failed) {
			CU_ASSERT_EQUAL(status, LOGIN_SUCCESS);
			break;
		}
		CU_ASSERT_EQUAL(log_in_without(&rig, -1), LOGIN_SUCCESS);
	}
	CU_ASSERT_FALSE(failed);
#ifndef SANITIZED
	CU_ASSERT(refused > 2);
#endif
	rig_down(&rig);
}

UNIT_MAIN(TEST(each_allocation_fails_once));
