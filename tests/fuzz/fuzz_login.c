// SPDX-License-Identifier: BSD-2-Clause
/*
 * Login and Text Requests as lists of PDUs. Input: a byte (bit 0: Text Requests, bit 1: of a normal
 * session; bit 2: logins for discovery need CHAP; bit 3: no recovery), then records of flags, tweak, length (2 bytes, little endian) and so many bytes of
 * text; the last one may be cut short. tweak, login: bits 0 to 4 change ITT, CID, ISID, TSIH,
 * Version-min. tweak, text: bit 0 the TTT of the last answer, bit 1 a wrong one, bit 2 another ITT,
 * bits 4 to 6 the largest data segment.
 *
 * Oracles: nobody gets to the CHAP target without the secret of one of its users, nor to the private
 * one without being on its list, nor to one that has moved; only the first connection of a session
 * settles what belongs to the session; answers are well-formed and within bounds; cutting a text in
 * two changes nothing.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/login.h"
#include "session/text.h"
#include "tests/fuzz/must.h"

#define INITIATOR "iqn.2026-11.test:initiator"
#define FRIEND "iqn.2026-11.test:friend"
#define DISK "iqn.2026-11.test:disk"
#define SAFE "iqn.2026-11.test:safe"
#define PRIVATE "iqn.2026-11.test:private"
#define MOVED "iqn.2026-11.test:moved"
#define ELSEWHERE "192.0.2.7:3260"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static bool fixed_random(void *out, size_t len)
{
	uint8_t *bytes = out;

	for (size_t i = 0; i < len; i++)
		bytes[i] = len == 1 ? 0x27 : (uint8_t)(0xa0 + i);
	return true;
}

static char allowed[1][ISCSI_NAME_MAX + 1] = { FRIEND };
static struct scsi_target disk = { .name = DISK }, safe = { .name = SAFE };
static struct scsi_target hidden = { .name = PRIVATE }, moved = { .name = MOVED };
static const struct chap_user users[] = {
	{ { "alice", "alice-secret-0123456789", 23 }, { "riser", "riser-secret-9876543210", 23 } },
	{ { "bob", "bob-secret-of-his-own", 21 }, { "", "", 0 } },
	{ { "carol", "carol-discovers", 15 }, { "riser", "riser-secret-9876543210", 23 } },
};
enum { USERS = 3, USERS_OF_TARGET = 2, PROOFS = 8 };
static const struct target_config targets[] = {
	{ .scsi = &disk, .alias = "a disk", .allow_any = true },
	{ .scsi = &safe, .allow_any = true, .chap = { users, USERS_OF_TARGET } },
	{ .scsi = &hidden, .allow = allowed, .allow_count = 1 },
	{ .scsi = &moved, .allow = allowed, .allow_count = 1, .redirect = ELSEWHERE },
};
static const struct login_portal portals[] = { { "192.0.2.1:3260", 1 },
					       { "[2001:db8::1]:3260", 1 } };
static const struct server_limits limits = { .login_pdus = 20, .login_bytes = 65536 };
/* For the login that gets each text in two parts. */
static const struct server_limits twice = { .login_pdus = 40, .login_bytes = 65536 };

enum { DISCOVERY_CHAP = 4, NO_RECOVERY = 8 };

static struct login_env env_with(const struct server_limits *l, uint8_t how)
{
	return (struct login_env){
		.targets = targets,
		.target_count = 4,
		.discovery_chap = { users + USERS_OF_TARGET, how & DISCOVERY_CHAP ? 1 : 0 },
		.limits = l,
		.can = { .header_digest = true,
			 .data_digest = true,
			 .immediate_data = true,
			 .max_recv_dsl = 262144,
			 .max_burst = 1048576,
			 .first_burst = 262144,
			 .max_outstanding_r2t = 16,
			 .error_recovery_level = how & NO_RECOVERY ? 0 : 2,
			 .max_connections = how & NO_RECOVERY ? 1 : 4 },
		.portals = portals,
		.portal_count = 2,
		.portal_group_tag = 1,
		.random = fixed_random,
	};
}

/* The right responses to the one challenge there is, as an initiator may write them. */
static char all_proofs[USERS][PROOFS][80];

static void compute_proofs(const struct chap_account *who, char proofs[PROOFS][80])
{
	static const char *const names[] = { "MD5", "SHA1", "SHA2-256", "SHA3-256" };
	uint8_t input[1 + 23 + 32], digest[EVP_MAX_MD_SIZE];
	unsigned int len;

	fixed_random(input, 1);
	memcpy(input + 1, who->secret, who->secret_len);
	fixed_random(input + 1 + who->secret_len, 32);
	for (int i = 0; i < 4; i++) {
		EVP_MD *md = EVP_MD_fetch(NULL, names[i], NULL);

		MUST(md);
		len = (unsigned int)EVP_MD_get_size(md);
		MUST(EVP_Digest(input, 1u + who->secret_len + len, digest, &len, md, NULL));
		for (unsigned int n = 0; n < len; n++)
			snprintf(proofs[2 * i] + 2 * n, 3, "%02x", digest[n]);
		EVP_EncodeBlock((uint8_t *)proofs[2 * i + 1], digest, (int)len);
		EVP_MD_free(md);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	for (int i = 0; i < USERS; i++)
		compute_proofs(&users[i].account, all_proofs[i]);
	return 0;
}

static bool contains(const struct text_buf *text, const char *proof, bool any_case)
{
	size_t len = strlen(proof);

	for (size_t at = 0; at + len <= text->len; at++) {
		const char *here = (const char *)text->bytes + at;

		if (any_case ? !strncasecmp(here, proof, len) : !strncmp(here, proof, len))
			return true;
	}
	return false;
}

/* Somebody who may have the target, or discover, has proved it. */
static bool proven(const struct text_buf *text, const struct target_config *target)
{
	int first = target ? 0 : USERS_OF_TARGET, end = target ? USERS_OF_TARGET : USERS;

	for (int i = first * PROOFS; i < end * PROOFS; i++) {
		if (contains(text, all_proofs[i / PROOFS][i % PROOFS], i % 2 == 0) &&
		    contains(text, users[i / PROOFS].account.user, false))
			return true;
	}
	return false;
}

struct record {
	uint8_t flags, tweak;
	uint32_t len;
	uint8_t *text; /* exactly len bytes, owned */
};

static bool next_record(const uint8_t **data, size_t *size, struct record *rec)
{
	const uint8_t *in = *data;

	if (*size < 4)
		return false;
	*rec = (struct record){ in[0], in[1], in[2] | (uint32_t)in[3] << 8, NULL };
	if (rec->len > *size - 4)
		rec->len = (uint32_t)(*size - 4);
	rec->text = malloc(rec->len ? rec->len : 1);
	memcpy(rec->text, in + 4, rec->len);
	*data += 4 + rec->len;
	*size -= 4 + rec->len;
	return true;
}

/* An answer is a list of pairs. */
static void check_text(const uint8_t *text, uint32_t len)
{
	struct text_str key, value;
	enum text_next next;
	uint32_t pos = 0;

	while ((next = text_next(text, len, &pos, &key, &value)) == TEXT_PAIR)
		;
	MUST(next == TEXT_END);
}

static void check_reply(const struct record *rec, enum login_action action,
			const struct login_reply *reply)
{
	MUST(reply->text_len <= LOGIN_DATA_MAX);
	MUST((reply->status == LOGIN_SUCCESS) == (action != LOGIN_FAIL));
	MUST(LOGIN_CSG(reply->flags) == LOGIN_CSG(rec->flags));
	MUST(!(reply->flags & LOGIN_CONTINUE));
	if (reply->flags & LOGIN_TRANSIT) {
		MUST(rec->flags & LOGIN_TRANSIT && !(rec->flags & LOGIN_CONTINUE));
		MUST(LOGIN_NSG(reply->flags) == LOGIN_NSG(rec->flags));
		MUST(LOGIN_NSG(reply->flags) > LOGIN_CSG(reply->flags));
	}
	MUST((action == LOGIN_DONE) == ((reply->flags & 0x83) == 0x83));
	if (reply->status == LOGIN_MOVED_TEMPORARILY)
		MUST(reply->text_len == sizeof("TargetAddress=" ELSEWHERE) &&
		     !memcmp(reply->text, "TargetAddress=" ELSEWHERE, reply->text_len));
	else if (action == LOGIN_FAIL || rec->flags & LOGIN_CONTINUE)
		MUST(reply->text_len == 0);
	check_text(reply->text, reply->text_len);
}

/* What only the first connection settles is what it was. */
static void check_later_connection(const struct login_result *r)
{
	const struct conn_params *p = &r->params;

	MUST(p->initial_r2t && p->immediate_data && p->max_burst == 262144);
	MUST(p->first_burst == 65536 && p->max_outstanding_r2t == 1);
	MUST(r->max_connections == 1 && r->error_recovery_level == 0 && r->protocol_level == 1);
	MUST(r->time2wait == 2 && r->time2retain == 20);
}

static void check_access(const struct login_result *r, const struct text_buf *said, uint8_t how)
{
	MUST(r->target ? r->type == SESSION_NORMAL : r->type == SESSION_DISCOVERY);
	MUST(r->target != &targets[3]);
	if (r->target == &targets[1] || (!r->target && how & DISCOVERY_CHAP))
		MUST(r->authenticated);
	if (r->authenticated)
		MUST((r->target == &targets[1] || !r->target) && proven(said, r->target));
	if (r->target == &targets[2])
		MUST(!strcmp(r->initiator_name, FRIEND));
}

static void check_result(const struct login_result *r, uint8_t how)
{
	const struct conn_params *p = &r->params;
	uint32_t most = how & NO_RECOVERY || !r->target ? 1 : 4;

	MUST(p->max_recv_dsl == 8192 || p->max_recv_dsl == 262144);
	MUST(p->max_xmit_dsl >= 512 && p->max_xmit_dsl <= 0xffffff);
	MUST(p->max_burst >= 512 && p->max_burst <= 1048576);
	MUST(p->first_burst >= 512 && p->first_burst <= p->max_burst);
	MUST(p->max_outstanding_r2t >= 1 && p->max_outstanding_r2t <= 16);
	MUST(r->max_connections >= 1 && r->max_connections <= most);
	MUST(r->error_recovery_level <= (most == 1 ? 0 : 2) && r->protocol_level <= 2);
	MUST(p->max_connections == r->max_connections);
	MUST(p->error_recovery_level == r->error_recovery_level);
	MUST(r->time2wait <= 3600 && r->time2retain <= 20);
	MUST(r->data_pdu_in_order && r->data_sequence_in_order);
	if (r->tsih)
		check_later_connection(r);
}

static void fill_header(struct bhs_login_request *req, const struct record *rec)
{
	*req = (struct bhs_login_request){
		.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE,
		.flags = rec->flags,
		.version_min = rec->tweak >> 4 & 1,
		.isid = { { 0x80, 0, 0, 0, 0, rec->tweak >> 2 & 1 } },
		.tsih = be16_of(rec->tweak >> 3 & 1),
		.itt = be32_of(rec->tweak & 1),
		.cid = be16_of(rec->tweak >> 1 & 1),
	};
}

/* The same text in two parts ends the same. */
static void check_parts(struct login *parts, const struct record *rec, enum login_action action,
			const struct login_reply *reply)
{
	uint32_t cut = rec->len ? rec->text[rec->len / 2] % rec->len : 0;
	enum login_action last = LOGIN_REPLY;
	struct bhs_login_request req;
	struct login_reply said;

	fill_header(&req, rec);
	if (!(rec->flags & LOGIN_CONTINUE) && rec->len <= LOGIN_DATA_MAX) {
		req.flags = (rec->flags & 0x0c) | LOGIN_CONTINUE;
		last = login_step(parts, &req, rec->text, cut, &said);
		req.flags = rec->flags;
	} else {
		cut = 0;
	}
	if (last == LOGIN_REPLY)
		last = login_step(parts, &req, rec->text + cut, rec->len - cut, &said);
	/* A bad NSG and another fault of the header: the first part cannot show the NSG. */
	MUST(last == action);
	MUST(said.status == reply->status || rec->flags & LOGIN_TRANSIT);
	MUST(said.flags == reply->flags && said.text_len == reply->text_len);
	MUST(!said.text_len || !memcmp(said.text, reply->text, said.text_len));
}

static void fuzz_login(const uint8_t *data, size_t size, uint8_t how)
{
	struct login_env env = env_with(&limits, how), parts_env = env_with(&twice, how);
	struct login *login = login_new(&env), *parts = login_new(&parts_env);
	struct text_buf said = { .max = UINT32_MAX };
	enum login_action action = LOGIN_REPLY;
	struct record rec;
	uint32_t pdus = 0;

	while (action == LOGIN_REPLY && next_record(&data, &size, &rec)) {
		struct bhs_login_request req;
		struct login_reply reply;

		fill_header(&req, &rec);
		action = login_step(login, &req, rec.text, rec.len, &reply);
		text_append(&said, rec.text, rec.len);
		check_reply(&rec, action, &reply);
		MUST(++pdus <= limits.login_pdus || action == LOGIN_FAIL);
		MUST(said.len <= limits.login_bytes || action == LOGIN_FAIL);
		if (login_result(login)->authenticated)
			MUST(proven(&said, login_result(login)->target));
		if (action == LOGIN_DONE) {
			check_access(login_result(login), &said, how);
			check_result(login_result(login), how);
		}
		if (pdus <= limits.login_pdus)
			check_parts(parts, &rec, action, &reply);
		free(rec.text);
	}
	text_buf_free(&said);
	login_free(login);
	login_free(parts);
}

/* Nobody hears of a target that is not his business. */
static void check_secrecy(const struct text_buf *heard, bool normal)
{
	MUST(!contains(heard, "TargetName=" PRIVATE, true));
	MUST(!contains(heard, "TargetName=" MOVED, true));
	if (normal)
		MUST(!contains(heard, "TargetName=" SAFE, true));
}

static void fuzz_text(const uint8_t *data, size_t size, bool normal)
{
	static const uint32_t sizes[] = { 8192, 1, 16, 48, 128, 512, 1000, 4096 };
	struct login_env env = env_with(&limits, 0);
	struct login_result who = { .type = normal ? SESSION_NORMAL : SESSION_DISCOVERY,
				    .initiator_name = INITIATOR,
				    .target = normal ? &targets[0] : NULL };
	struct text_exchange *exchange = NULL;
	struct text_buf heard = { .max = UINT32_MAX };
	uint32_t ttt = TAG_NONE;
	struct record rec;

	while (next_record(&data, &size, &rec)) {
		struct bhs_text_request req = {
			.opcode = OP_TEXT_REQUEST,
			.flags = rec.flags,
			.itt = be32_of(rec.tweak >> 2 & 1),
			.ttt = be32_of(rec.tweak & 1 ? ttt ^ (rec.tweak & 2) : TAG_NONE),
		};
		uint32_t max_text = sizes[rec.tweak >> 4 & 7];
		struct text_reply reply;

		if (text_step(&exchange, &env, &who, max_text, &req, rec.text, rec.len, &reply) ==
		    TEXT_REPLY) {
			MUST(reply.text_len <= max_text);
			MUST((reply.flags == PDU_FINAL) == (reply.ttt == TAG_NONE));
			MUST(!reply.new_max_xmit_dsl || reply.max_xmit_dsl >= 512);
			if (be32_get(req.ttt) == TAG_NONE)
				text_buf_free(&heard);
			text_append(&heard, reply.text, reply.text_len);
			check_secrecy(&heard, normal);
			if (reply.flags == PDU_FINAL)
				check_text(heard.bytes, heard.len);
			ttt = reply.ttt;
		} else {
			MUST(reply.reject == REJECT_PROTOCOL_ERROR ||
			     reply.reject == REJECT_INVALID_PDU_FIELD);
		}
		free(rec.text);
	}
	text_buf_free(&heard);
	text_exchange_free(exchange);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] & 1)
		fuzz_text(data + 1, size - 1, data[0] & 2);
	else
		fuzz_login(data + 1, size - 1, data[0]);
	return 0;
}
