// SPDX-License-Identifier: BSD-2-Clause
/* Text: the parser and its values, and Text Requests in full feature phase (rows L9 to L19). */
#define RIG_ALLOCATION_FAILURES
#include <errno.h>

#include "session/text.h"
#include "tests/unit/session_rig.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define DISK_ANSWER                                                         \
	"TargetName=" DISK "|TargetAddress=192.0.2.1:3260,1|TargetAddress=" \
	"[2001:db8::1]:3260,9|"
#define SAFE_ANSWER                                                         \
	"TargetName=" SAFE "|TargetAddress=192.0.2.1:3260,1|TargetAddress=" \
	"[2001:db8::1]:3260,9|"
#define X60 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void pairs(void)
{
	static const struct {
		const char *text, *read; /* read: what came before the end or the fault */
		enum text_next end;
	} rows[] = {
		{ "", "", TEXT_END },
		{ "a=b|", "[a][b]", TEXT_END },
		{ "Key=|", "[Key][]", TEXT_END },
		{ "Key=a=b=|", "[Key][a=b=]", TEXT_END },
		{ "a=1|b=2|", "[a][1][b][2]", TEXT_END },
		{ "X-a.b+c-d@e_f#9=1|", "[X-a.b+c-d@e_f#9][1]", TEXT_END },
		{ "K" X60 "xx=1|", "[K" X60 "xx][1]", TEXT_END },
		{ "K" X60 "xxx=1|", "", TEXT_BAD },
		{ "a=\xc3\xa9 ~|", "[a][\xc3\xa9 ~]", TEXT_END },
		{ "a=1|b=2", "[a][1]", TEXT_BAD },
		{ "a=1", "", TEXT_BAD },
		{ "a=1||", "[a][1]", TEXT_BAD },
		{ "|a=1|", "", TEXT_BAD },
		{ "|||", "", TEXT_BAD },
		{ "a|", "", TEXT_BAD },
		{ "=1|", "", TEXT_BAD },
		{ "=|", "", TEXT_BAD },
		{ "1a=1|", "", TEXT_BAD },
		{ "a b=1|", "", TEXT_BAD },
		{ "a,b=1|", "", TEXT_BAD },
		{ "\x80=1|", "", TEXT_BAD },
		{ "a=\n|", "", TEXT_BAD },
		{ "a=\x7f|", "", TEXT_BAD },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t *text = rig_text(rows[i].text);
		struct text_str key, value;
		uint32_t pos = 0;
		char read[512] = "";
		size_t len = 0;
		enum text_next next;

		while ((next = text_next(text, (uint32_t)strlen(rows[i].text), &pos, &key,
					 &value)) == TEXT_PAIR)
			len += (size_t)snprintf(read + len, sizeof(read) - len, "[%.*s][%.*s]",
						(int)key.len, key.s, (int)value.len, value.s);
		CU_ASSERT_EQUAL(next, rows[i].end);
		CU_ASSERT_STRING_EQUAL(read, rows[i].read);
		free(text);
	}
}

static struct text_str exact(const char *s)
{
	uint32_t len = (uint32_t)strlen(s);

	return (struct text_str){ (char *)rig_exact(s, len), len };
}

static void numbers(void)
{
	static const struct {
		const char *text;
		bool ok;
		uint32_t value;
	} rows[] = {
		{ "0", true, 0 },
		{ "1", true, 1 },
		{ "4294967295", true, UINT32_MAX },
		{ "0x0", true, 0 },
		{ "0xfF", true, 255 },
		{ "0X200", true, 512 },
		{ "0x00000000000000000001", true, 1 },
		{ "0xffffffff", true, UINT32_MAX },
		{ "4294967296", false, 0 },
		{ "18446744073709551617", false, 0 },
		{ "0x100000000", false, 0 },
		{ "0x10000000000000001", false, 0 },
		{ "", false, 0 },
		{ "0x", false, 0 },
		{ "00", false, 0 },
		{ "01", false, 0 },
		{ "-1", false, 0 },
		{ "+1", false, 0 },
		{ " 1", false, 0 },
		{ "1 ", false, 0 },
		{ "1a", false, 0 },
		{ "0b1", false, 0 },
		{ "1,2", false, 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct text_str text = exact(rows[i].text);
		uint32_t value = 0;

		CU_ASSERT_EQUAL(text_number(text, &value), rows[i].ok);
		CU_ASSERT_EQUAL(value, rows[i].value);
		free((char *)text.s);
	}
}

/* CVE-2018-14633, CVE-2026-63886: the size is known before a byte is written. */
static void binary_values(void)
{
	static const struct {
		const char *text, *bytes;
		int len, size;
	} rows[] = {
		{ "0x00", "\0", 1, 1 },
		{ "0x0aFf", "\x0a\xff", 2, 2 },
		{ "0X0aFf10", "\x0a\xff\x10", 3, 9 },
		{ "0x0aFf", "", -1, 1 },
		{ "0x0", "", -1, 9 },
		{ "0x", "", -1, 9 },
		{ "0x0g", "", -1, 9 },
		{ "0a", "", -1, 9 },
		{ "", "", -1, 9 },
		{ "0bAA==", "\0", 1, 1 },
		{ "0BAQI=", "\1\2", 2, 2 },
		{ "0bAQID", "\1\2\3", 3, 3 },
		{ "0b+/+/", "\xfb\xff\xbf", 3, 3 },
		{ "0bAQIDBA==", "\1\2\3\4", 4, 4 },
		{ "0bAQIDBA==", "", -1, 3 },
		{ "0bAQID", "", -1, 2 },
		{ "0b", "", -1, 9 },
		{ "0bA", "", -1, 9 },
		{ "0bAQI", "", -1, 9 },
		{ "0bAQ=", "", -1, 9 },
		{ "0bAQJ=", "", -1, 9 },
		{ "0bAR==", "", -1, 9 },
		{ "0bA===", "", -1, 9 },
		{ "0b====", "", -1, 9 },
		{ "0bAQ==AQ==", "", -1, 9 },
		{ "0bA!==", "", -1, 9 },
		{ "0b-_-_", "", -1, 9 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct text_str text = exact(rows[i].text);
		uint8_t out[16];

		memset(out, 0xee, sizeof(out));
		CU_ASSERT_EQUAL(text_binary(text, out, (uint32_t)rows[i].size), rows[i].len);
		if (rows[i].len > 0)
			CU_ASSERT_EQUAL(memcmp(out, rows[i].bytes, (size_t)rows[i].len), 0);
		CU_ASSERT_EQUAL(out[rows[i].len > 0 ? rows[i].len : 0], 0xee);
		free((char *)text.s);
	}
}

static void lists(void)
{
	static const struct {
		const char *text, *items;
	} rows[] = { { "", "[]" },    { "a", "[a]" },	 { "a,b", "[a][b]" },
		     { ",", "[][]" }, { "a,", "[a][]" }, { ",a,,b", "[][a][][b]" } };

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct text_str text = exact(rows[i].text), list = text, item;
		char items[64] = "";
		size_t len = 0;

		while (text_list_next(&list, &item))
			len += (size_t)snprintf(items + len, sizeof(items) - len, "[%.*s]",
						(int)item.len, item.s);
		CU_ASSERT_STRING_EQUAL(items, rows[i].items);
		free((char *)text.s);
	}
}

static void buffers_stop_at_their_bound(void)
{
	struct text_buf buf = { .max = 300 };
	char read[512];

	for (int i = 0; i < 42; i++)
		text_put_number(&buf, "Key", 10);
	CU_ASSERT_EQUAL(buf.len, 294);
	text_put_hex(&buf, "K", (const uint8_t *)"\1", 1);
	CU_ASSERT_EQUAL(buf.error, -EMSGSIZE);
	CU_ASSERT_EQUAL(buf.len, 294);
	/* After an error nothing is added, even if it would fit: an answer is whole or none. */
	text_put(&buf, "K", "");
	CU_ASSERT_EQUAL(buf.len, 294);
	text_buf_free(&buf);
	text_put(&buf, "A", "b");
	text_put_hex(&buf, "C", (const uint8_t *)"\x0f\xa0", 2);
	text_append(&buf, "x", 1);
	rig_bars(read, sizeof(read), buf.bytes, buf.len);
	CU_ASSERT_STRING_EQUAL(read, "A=b|C=0x0fa0|x");
	text_buf_free(&buf);
}

/* Text Requests. */

struct text_rig {
	struct rig *rig;
	struct login_result who;
	struct text_exchange *exchange;
	struct text_reply reply;
	enum text_action action;
	uint32_t max_text;
	char text[65536];
};

static struct text_rig *text_rig(const struct target_config *(*target)(struct rig *))
{
	struct text_rig *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->rig = rig_new();
	t->who.target = target ? target(t->rig) : NULL;
	t->who.type = target ? SESSION_NORMAL : SESSION_DISCOVERY;
	snprintf(t->who.initiator_name, sizeof(t->who.initiator_name), INITIATOR);
	t->max_text = LOGIN_DATA_MAX;
	return t;
}

static const struct target_config *disk(struct rig *r)
{
	return &r->target[0];
}

static void text_rig_free(struct text_rig *t)
{
	text_exchange_free(t->exchange);
	rig_free(t->rig);
	free(t);
}

static void ask_bytes(struct text_rig *t, uint8_t flags, uint32_t itt, uint32_t ttt,
		      const uint8_t *text, uint32_t len)
{
	struct bhs_text_request req = {
		.opcode = OP_TEXT_REQUEST, .flags = flags, .itt = be32_of(itt), .ttt = be32_of(ttt)
	};

	t->action = text_step(&t->exchange, &t->rig->env, &t->who, t->max_text, &req, text, len,
			      &t->reply);
	CU_ASSERT(t->reply.text_len <= t->max_text);
	rig_bars(t->text, sizeof(t->text), t->reply.text, t->reply.text_len);
}

static void ask(struct text_rig *t, uint8_t flags, uint32_t itt, uint32_t ttt, const char *bars)
{
	uint8_t *text = rig_text(bars);

	ask_bytes(t, flags, itt, ttt, text, (uint32_t)strlen(bars));
	free(text);
}

#define EXPECT_TEXT(t, flags_, text_)                                                       \
	do {                                                                                \
		CU_ASSERT_EQUAL((t)->action, TEXT_REPLY);                                   \
		CU_ASSERT_EQUAL((t)->reply.flags, (flags_));                                \
		CU_ASSERT_EQUAL((t)->reply.ttt == TAG_NONE, (t)->reply.flags == PDU_FINAL); \
		CU_ASSERT_STRING_EQUAL((t)->text, text_);                                   \
	} while (0)

#define EXPECT_REJECT(t, reason_)                              \
	do {                                                   \
		CU_ASSERT_EQUAL((t)->action, TEXT_REJECT);     \
		CU_ASSERT_EQUAL((t)->reply.reject, (reason_)); \
		CU_ASSERT_EQUAL((t)->reply.text_len, 0);       \
	} while (0)

/* L18 */
static void send_targets(void)
{
	static const struct {
		bool normal;
		const char *value, *answer;
	} rows[] = {
		{ false, "All", DISK_ANSWER SAFE_ANSWER },
		{ false, DISK, DISK_ANSWER },
		{ false, "IQN.2026-11.TEST:SAFE", SAFE_ANSWER },
		{ false, PRIVATE, "" },
		{ false, DISK "x", "" },
		{ false, "", "" },
		{ false, "all", "" },
		{ false, "no name", "" },
		{ true, "All", DISK_ANSWER },
		{ true, DISK, DISK_ANSWER },
		{ true, "", DISK_ANSWER },
		{ true, SAFE, "" },
		{ true, "no name", "" },
	};
	char text[256];

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct text_rig *t = text_rig(rows[i].normal ? disk : NULL);

		snprintf(text, sizeof(text), "SendTargets=%s|", rows[i].value);
		ask(t, PDU_FINAL, 1, TAG_NONE, text);
		EXPECT_TEXT(t, PDU_FINAL, rows[i].answer);
		CU_ASSERT_FALSE(t->reply.new_max_xmit_dsl);
		text_rig_free(t);
	}
}

/* What only some may see is told to nobody else. */
static void send_targets_minds_the_access_list(void)
{
	struct text_rig *t = text_rig(NULL);

	snprintf(t->who.initiator_name, sizeof(t->who.initiator_name), "iqn.2026-11.test:friend");
	ask(t, PDU_FINAL, 1, TAG_NONE, "SendTargets=" PRIVATE "|");
	CU_ASSERT_EQUAL(strncmp(t->text, "TargetName=" PRIVATE "|", strlen(PRIVATE) + 12), 0);
	text_rig_free(t);
}

static void other_keys(void)
{
	struct text_rig *t = text_rig(disk);

	ask(t, PDU_FINAL, 1, TAG_NONE, "");
	EXPECT_TEXT(t, PDU_FINAL, "");
	ask(t, PDU_FINAL, 2, TAG_NONE, "MaxRecvDataSegmentLength=512|InitiatorAlias=me|X-a=b|");
	EXPECT_TEXT(t, PDU_FINAL, "X-a=NotUnderstood|");
	CU_ASSERT_TRUE(t->reply.new_max_xmit_dsl);
	CU_ASSERT_EQUAL(t->reply.max_xmit_dsl, 512);
	/* Declared over two requests: it holds from the end of the exchange on. */
	ask(t, 0, 3, TAG_NONE, "MaxRecvDataSegmentLength=1024|");
	EXPECT_TEXT(t, 0, "");
	CU_ASSERT_FALSE(t->reply.new_max_xmit_dsl);
	ask(t, PDU_FINAL, 3, t->reply.ttt, "");
	EXPECT_TEXT(t, PDU_FINAL, "");
	CU_ASSERT_TRUE(t->reply.new_max_xmit_dsl);
	CU_ASSERT_EQUAL(t->reply.max_xmit_dsl, 1024);
	ask(t, PDU_FINAL, 4, TAG_NONE, "X-a=NotUnderstood|");
	EXPECT_TEXT(t, PDU_FINAL, "");
	text_rig_free(t);
}

/* L9 to L17: each ends the exchange with a protocol error, and the next one works. */
static void bad_text_is_rejected(void)
{
	static const char *const texts[] = {
		"MaxConnections=1|",
		"HeaderDigest=None|",
		"MaxBurstLength=512|",
		"AuthMethod=None|",
		"CHAP_A=5|",
		"SessionType=Normal|",
		"InitiatorName=" INITIATOR "|",
		"TargetName=" DISK "|",
		"TargetAlias=x|",
		"MaxRecvDataSegmentLength=511|",
		"MaxRecvDataSegmentLength=512|MaxRecvDataSegmentLength=512|",
		"SendTargets=All|SendTargets=All|",
		"SendTargets|",
		"=All|",
		"=|",
		"|",
		"|SendTargets=All|",
		"SendTargets=All",
		"Send\x01Targets=All|",
		"SendTargets=" X60 X60 X60 X60 "xxxxxxxxxxxxxxxx|",
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct text_rig *t = text_rig(disk);

		ask(t, PDU_FINAL, 1, TAG_NONE, texts[i]);
		if (t->action != TEXT_REJECT)
			printf("# %s was taken\n", texts[i]);
		EXPECT_REJECT(t, REJECT_PROTOCOL_ERROR);
		ask(t, PDU_FINAL, 2, TAG_NONE, "SendTargets=|");
		EXPECT_TEXT(t, PDU_FINAL, DISK_ANSWER);
		text_rig_free(t);
	}
}

static void text_cut_at_every_byte(void)
{
	static const char text[] = "SendTargets=All|X-a=b|";
	uint8_t *bytes = rig_text(text);

	for (uint32_t cut = 0; cut < sizeof(text); cut++) {
		struct text_rig *t = text_rig(disk);

		ask_bytes(t, TEXT_CONTINUE, 1, TAG_NONE, bytes, cut);
		EXPECT_TEXT(t, 0, "");
		ask_bytes(t, PDU_FINAL, 1, t->reply.ttt, bytes + cut, sizeof(text) - 1 - cut);
		EXPECT_TEXT(t, PDU_FINAL, DISK_ANSWER "X-a=NotUnderstood|");
		text_rig_free(t);
	}
	free(bytes);
}

/* A long answer comes in parts of any size and is the same in the end. */
static void long_answers_come_in_parts(void)
{
	static const uint32_t sizes[] = { 1, 7, 128, 173, 512 };
	char whole[1024];
	size_t len;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct text_rig *t = text_rig(NULL);

		len = 0;
		t->max_text = sizes[i];
		ask(t, PDU_FINAL, 1, TAG_NONE, "SendTargets=All|");
		for (;;) {
			CU_ASSERT_EQUAL_FATAL(t->action, TEXT_REPLY);
			CU_ASSERT_FATAL(len + t->reply.text_len < sizeof(whole));
			memcpy(whole + len, t->text, t->reply.text_len + 1);
			len += t->reply.text_len;
			if (t->reply.flags & PDU_FINAL)
				break;
			CU_ASSERT_EQUAL(t->reply.flags, TEXT_CONTINUE);
			CU_ASSERT_EQUAL(t->reply.text_len, sizes[i]);
			CU_ASSERT_NOT_EQUAL_FATAL(t->reply.ttt, TAG_NONE);
			/* F has been said; an initiator may leave it out now. */
			ask(t, i % 2 ? PDU_FINAL : 0, 1, t->reply.ttt, "");
		}
		CU_ASSERT_STRING_EQUAL(whole, DISK_ANSWER SAFE_ANSWER);
		CU_ASSERT_EQUAL(t->reply.ttt, TAG_NONE);
		text_rig_free(t);
	}
}

/* 10 000 targets are no trouble, and what is asked for in 128-byte parts is not counted as text. */
static void ten_thousand_targets(void)
{
	enum { TARGETS = 10000 };
	struct text_rig *t = text_rig(NULL);
	struct target_config *many = calloc(TARGETS, sizeof(*many));
	uint64_t len = 0;

	for (int i = 0; i < TARGETS; i++)
		many[i] = t->rig->target[0];
	t->rig->env.targets = many;
	t->rig->env.target_count = TARGETS;
	t->max_text = 128;
	ask(t, PDU_FINAL, 1, TAG_NONE, "SendTargets=All|");
	while (t->action == TEXT_REPLY && !(t->reply.flags & PDU_FINAL)) {
		len += t->reply.text_len;
		ask_bytes(t, PDU_FINAL, 1, t->reply.ttt, NULL, 0);
	}
	CU_ASSERT_EQUAL(t->action, TEXT_REPLY);
	CU_ASSERT_EQUAL(len + t->reply.text_len, TARGETS * strlen(DISK_ANSWER));
	free(many);
	text_rig_free(t);
}

/* L19 */
static void exchanges_and_their_tags(void)
{
	struct text_rig *t = text_rig(disk);
	uint32_t ttt, old;

	ask(t, PDU_FINAL | TEXT_CONTINUE, 1, TAG_NONE, "SendTargets=|");
	EXPECT_REJECT(t, REJECT_PROTOCOL_ERROR);
	ask(t, PDU_FINAL, TAG_NONE, TAG_NONE, "SendTargets=|");
	EXPECT_REJECT(t, REJECT_INVALID_PDU_FIELD);
	ask(t, PDU_FINAL, 1, 7, "SendTargets=|");
	EXPECT_REJECT(t, REJECT_INVALID_PDU_FIELD);

	/* C=1 without data (CVE-2021-28361), then strangers, then the end of it. */
	ask_bytes(t, TEXT_CONTINUE, 1, TAG_NONE, NULL, 0);
	EXPECT_TEXT(t, 0, "");
	ttt = t->reply.ttt;
	ask(t, PDU_FINAL, 1, ttt ^ 1, "SendTargets=|");
	EXPECT_REJECT(t, REJECT_INVALID_PDU_FIELD);
	ask(t, PDU_FINAL, 2, TAG_NONE, "SendTargets=|");
	EXPECT_REJECT(t, REJECT_PROTOCOL_ERROR);
	ask(t, PDU_FINAL, 2, ttt, "SendTargets=|");
	EXPECT_REJECT(t, REJECT_PROTOCOL_ERROR);
	ask(t, PDU_FINAL, 1, ttt, "SendTargets=|");
	EXPECT_TEXT(t, PDU_FINAL, DISK_ANSWER);

	/* The same ITT without a TTT starts anew; the TTTs of before are worth nothing. */
	ask(t, TEXT_CONTINUE, 3, TAG_NONE, "SendTar");
	old = t->reply.ttt;
	CU_ASSERT_NOT_EQUAL(old, ttt);
	ask(t, TEXT_CONTINUE, 3, TAG_NONE, "X-a=");
	EXPECT_TEXT(t, 0, "");
	CU_ASSERT_NOT_EQUAL(t->reply.ttt, old);
	ttt = t->reply.ttt;
	ask(t, PDU_FINAL, 3, old, "gets=|");
	EXPECT_REJECT(t, REJECT_INVALID_PDU_FIELD);
	ask(t, PDU_FINAL, 3, ttt, "b|");
	EXPECT_TEXT(t, PDU_FINAL, "X-a=NotUnderstood|");
	ask(t, PDU_FINAL, 3, ttt, "");
	EXPECT_REJECT(t, REJECT_INVALID_PDU_FIELD);

	/* Text in the middle of our answer. */
	t->max_text = 16;
	ask(t, PDU_FINAL, 4, TAG_NONE, "SendTargets=|");
	ask(t, PDU_FINAL, 4, t->reply.ttt, "X-a=b|");
	EXPECT_REJECT(t, REJECT_PROTOCOL_ERROR);
	ask(t, PDU_FINAL, 4, TAG_NONE, "SendTargets=|");
	CU_ASSERT_EQUAL(t->reply.flags, TEXT_CONTINUE);
	ask(t, TEXT_CONTINUE, 4, t->reply.ttt, "");
	EXPECT_REJECT(t, REJECT_PROTOCOL_ERROR);
	text_rig_free(t);
}

static void an_exchange_has_bounds(void)
{
	struct text_rig *t = text_rig(disk);
	uint8_t piece[8192];

	for (int way = 0; way < 2; way++) {
		uint8_t flags = way ? TEXT_CONTINUE : 0;

		ask_bytes(t, flags, 1, TAG_NONE, NULL, 0);
		for (int i = 1; i < 20; i++) {
			EXPECT_TEXT(t, 0, "");
			ask_bytes(t, flags, 1, t->reply.ttt, NULL, 0);
		}
		EXPECT_TEXT(t, 0, "");
		ask_bytes(t, PDU_FINAL, 1, t->reply.ttt, NULL, 0);
		EXPECT_REJECT(t, REJECT_PROTOCOL_ERROR);
	}
	memset(piece, 'v', sizeof(piece));
	ask_bytes(t, TEXT_CONTINUE, 1, TAG_NONE, piece, sizeof(piece));
	for (int i = 1; i < 8; i++) {
		EXPECT_TEXT(t, 0, "");
		ask_bytes(t, TEXT_CONTINUE, 1, t->reply.ttt, piece, sizeof(piece));
	}
	EXPECT_TEXT(t, 0, "");
	ask_bytes(t, TEXT_CONTINUE, 1, t->reply.ttt, piece, 1);
	EXPECT_REJECT(t, REJECT_PROTOCOL_ERROR);
	text_rig_free(t);
}

static void out_of_memory(void)
{
#ifdef RIG_SANITIZED
	UNIT_SKIP("the sanitizer owns malloc");
#else
	struct bhs_text_request req = { .flags = PDU_FINAL,
					.itt = be32_of(1),
					.ttt = be32_of(TAG_NONE) };
	struct text_rig *t = text_rig(NULL);
	uint8_t *text = rig_text("SendTargets=All|");
	long at = 0;

	do {
		text_exchange_free(t->exchange);
		t->exchange = NULL;
		rig_failed = false;
		rig_fail_at = at++;
		t->action = text_step(&t->exchange, &t->rig->env, &t->who, t->max_text, &req, text,
				      16, &t->reply);
		rig_fail_at = -1;
		if (rig_failed)
			EXPECT_REJECT(t, REJECT_OUT_OF_RESOURCES);
		else
			CU_ASSERT_EQUAL(t->reply.text_len, strlen(DISK_ANSWER SAFE_ANSWER));
	} while (rig_failed);
	CU_ASSERT(at >= 4);
	free(text);
	text_rig_free(t);
#endif
}

UNIT_MAIN(TEST(pairs), TEST(numbers), TEST(binary_values), TEST(lists),
	  TEST(buffers_stop_at_their_bound), TEST(send_targets),
	  TEST(send_targets_minds_the_access_list), TEST(other_keys), TEST(bad_text_is_rejected),
	  TEST(text_cut_at_every_byte), TEST(long_answers_come_in_parts),
	  TEST(ten_thousand_targets), TEST(exchanges_and_their_tags), TEST(an_exchange_has_bounds),
	  TEST(out_of_memory));
