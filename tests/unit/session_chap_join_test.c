// SPDX-License-Identifier: BSD-2-Clause
/* Sessions of a target with several CHAP users: whose they are, and who may be part of them. */
#include <openssl/evp.h>

#include "session/internal.h"
#include "target_rig.h"
#include "tests/lib/unit.h"

#define NAMES "InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "\0SessionType=Normal\0"
#define CHAP_OFFER "AuthMethod=CHAP\0"

enum { ALICE, BOB, USERS, ISID = 1 };

static const char *const names[] = { "alice", "bob" };

static struct chap_user users[USERS];

static void target_of_two(struct rig *rig)
{
	static const char *const secrets[] = { "alice-secret-0123456789", "bob-secret-of-his-own" };

	CU_ASSERT_TRUE_FATAL(rig_up(rig, "ram:1M", NULL));
	for (int i = 0; i < USERS; i++) {
		struct chap_account *a = &users[i].account;

		snprintf(a->user, sizeof(a->user), "%s", names[i]);
		a->secret_len = (uint8_t)strlen(secrets[i]);
		memcpy(a->secret, secrets[i], a->secret_len);
	}
	rig->target.chap = (struct chap_users){ users, USERS };
}

static void request(struct initiator *in, uint16_t tsih, uint16_t cid, uint8_t flags,
		    const char *text, size_t len)
{
	union pdu_header h = { 0 };

	h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	h.login_request.flags = flags;
	h.login_request.isid.b[0] = 0x80;
	h.login_request.isid.b[5] = ISID;
	h.login_request.tsih = be16_of(tsih);
	h.login_request.cid = be16_of(cid);
	h.login_request.itt = be32_of(7);
	h.login_request.cmdsn = be32_of(500);
	rig_send(in, &h, text, (uint32_t)len);
}

/* The text of the next Login Response, which must be no refusal; ends with a NUL more. */
static void answer(struct initiator *in, char *out, size_t size)
{
	struct memory_record *rec = rig_receive(in);

	CU_ASSERT_FATAL(rec && pdu_opcode(&rec->h.bhs) == OP_LOGIN_RESPONSE && rec->len < size);
	CU_ASSERT_EQUAL_FATAL(be16_get(rec->h.login_response.status), LOGIN_SUCCESS);
	memcpy(out, rec->data, rec->len);
	out[rec->len] = '\0';
	free(rec);
}

/* CHAP_A=5, CHAP_I, CHAP_C as we write them; MD5 of what they ask for. */
static void respond(const char *asked, const struct chap_account *who, uint8_t response[16])
{
	const char *i = asked + sizeof("CHAP_A=5"), *c = i + strlen(i) + 1;
	uint8_t challenge[16], id;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	CU_ASSERT_FATAL(!memcmp(i, "CHAP_I=", 7) && !memcmp(c, "CHAP_C=0x", 9));
	id = (uint8_t)strtoul(i + 7, NULL, 10);
	for (int n = 0; n < 16; n++) {
		char digits[3] = { c[9 + 2 * n], c[10 + 2 * n], '\0' };

		challenge[n] = (uint8_t)strtoul(digits, NULL, 16);
	}
	CU_ASSERT_FATAL(EVP_DigestInit_ex(ctx, EVP_md5(), NULL) && EVP_DigestUpdate(ctx, &id, 1) &&
			EVP_DigestUpdate(ctx, who->secret, who->secret_len) &&
			EVP_DigestUpdate(ctx, challenge, 16) &&
			EVP_DigestFinal_ex(ctx, response, NULL));
	EVP_MD_CTX_free(ctx);
}

static void connect_to(struct rig *rig, struct initiator *in)
{
	memset(in, 0, sizeof(*in));
	in->rig = rig;
	in->r = rig->r;
	in->peer = memory_connect(rig->r, &session_conn_up, rig->server);
	CU_ASSERT_PTR_NOT_NULL_FATAL(in->peer);
}

/* A login up to the end of the security stage. first: the text of its first request. */
static void log_in(struct rig *rig, struct initiator *in, int user, uint16_t tsih, uint16_t cid,
		   const char *first, size_t len)
{
	char text[512], said[256];
	uint8_t response[16];
	int n;

	connect_to(rig, in);
	request(in, tsih, cid, STAGE_SECURITY << 2, first, len);
	answer(in, text, sizeof(text));
	request(in, tsih, cid, STAGE_SECURITY << 2, "CHAP_A=5", sizeof("CHAP_A=5"));
	answer(in, text, sizeof(text));
	respond(text, &users[user].account, response);
	n = snprintf(said, sizeof(said), "CHAP_N=%s%cCHAP_R=0x", names[user], '\0');
	for (int i = 0; i < 16; i++)
		n += snprintf(said + n, sizeof(said) - (size_t)n, "%02x", response[i]);
	request(in, tsih, cid, LOGIN_TRANSIT | STAGE_OPERATIONAL, said, (size_t)n + 1);
	answer(in, text, sizeof(text));
}

#define NORMAL NAMES CHAP_OFFER, sizeof(NAMES CHAP_OFFER) - 1

static const uint8_t to_ffp = LOGIN_TRANSIT | STAGE_OPERATIONAL << 2 | STAGE_FULL_FEATURE;

/* The operational stage; the status. */
static int enter(struct initiator *in, uint16_t tsih, uint16_t cid, const char *keys, size_t len)
{
	struct memory_record *rec;
	int status = -1;

	request(in, tsih, cid, to_ffp, keys, len);
	rec = rig_receive(in);
	if (rec && pdu_opcode(&rec->h.bhs) == OP_LOGIN_RESPONSE)
		status = be16_get(rec->h.login_response.status);
	if (!status)
		in->tsih = be16_get(rec->h.login_response.tsih);
	free(rec);
	return status;
}

static void leave(struct initiator *in)
{
	if (memory_conn(in->peer))
		rig_leave(in);
	else
		memory_free(in->peer);
}

#define FOUR "MaxConnections=4\0"

/* Who knows a secret of the target and the name of another's initiator has no part in its session. */
static void a_session_has_one_user(void)
{
	struct initiator alice, bob, second;
	struct rig rig;

	target_of_two(&rig);
	log_in(&rig, &alice, ALICE, 0, 1, NORMAL);
	CU_ASSERT_EQUAL_FATAL(enter(&alice, 0, 1, FOUR, sizeof(FOUR) - 1), LOGIN_SUCCESS);
	log_in(&rig, &bob, BOB, alice.tsih, 2, NORMAL);
	CU_ASSERT_EQUAL(enter(&bob, alice.tsih, 2, NULL, 0), LOGIN_CANNOT_INCLUDE);
	leave(&bob);
	/* Nor does he take the place of its connection. */
	log_in(&rig, &bob, BOB, alice.tsih, 1, NORMAL);
	CU_ASSERT_EQUAL(enter(&bob, alice.tsih, 1, NULL, 0), LOGIN_CANNOT_INCLUDE);
	leave(&bob);
	CU_ASSERT_PTR_NOT_NULL(memory_conn(alice.peer));
	log_in(&rig, &second, ALICE, alice.tsih, 2, NORMAL);
	CU_ASSERT_EQUAL(enter(&second, alice.tsih, 2, NULL, 0), LOGIN_SUCCESS);
	CU_ASSERT_EQUAL(second.tsih, alice.tsih);
	leave(&second);
	leave(&alice);
	rig_down(&rig);
}

/* Where a session stands is told to nobody who has not proved himself. */
static void the_window_is_its_users(void)
{
	struct initiator alice, eve;
	struct memory_record *rec;
	struct rig rig;

	target_of_two(&rig);
	log_in(&rig, &alice, ALICE, 0, 1, NORMAL);
	CU_ASSERT_EQUAL_FATAL(enter(&alice, 0, 1, FOUR, sizeof(FOUR) - 1), LOGIN_SUCCESS);
	connect_to(&rig, &eve);
	/* 500 is what eve says; the session is elsewhere. */
	rig.server->by_tsih[alice.tsih]->expcmdsn = 7777;
	request(&eve, alice.tsih, 2, STAGE_SECURITY << 2, NORMAL);
	rec = rig_receive(&eve);
	CU_ASSERT_PTR_NOT_NULL_FATAL(rec);
	CU_ASSERT_EQUAL(be32_get(rec->h.login_response.expcmdsn), 500);
	free(rec);
	leave(&eve);
	log_in(&rig, &eve, ALICE, alice.tsih, 2, NORMAL);
	CU_ASSERT_EQUAL(enter(&eve, alice.tsih, 2, NULL, 0), LOGIN_SUCCESS);
	leave(&eve);
	leave(&alice);
	rig_down(&rig);
}

UNIT_MAIN(TEST(a_session_has_one_user), TEST(the_window_is_its_users));
