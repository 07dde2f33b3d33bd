// SPDX-License-Identifier: BSD-2-Clause
/* The table of text keys and the negotiation of one: see keys.h. */
#include "session/keys.h"

#include <assert.h>
#include <string.h>

#include "core/list.h"

enum type { TEXT, BOOL, NUMBER, LIST };

/* Result functions of RFC 7143 6.2. SETTLED: handled by login.c or chap.c, not by negotiation. */
enum rule { SETTLED, DECLARE, AND, OR, MIN, MAX, CHOICE, REJECT };

/* Where the initiator may send a key; NEVER: only the target does. */
enum {
	NEVER = 0,
	SEC = 1 << STAGE_SECURITY,
	OP = 1 << STAGE_OPERATIONAL,
	FFP = 1 << STAGE_FULL_FEATURE,
};

enum {
	NORMAL_ONLY = 1, /* irrelevant in a discovery session */
	NAMING = 2, /* may be repeated in another stage */
	LONG = 4, /* value up to TEXT_LONG_VALUE_MAX */
	EXTENSION = 8, /* irrelevant unless RDMAExtensions=Yes was agreed on */
	NONE = 16, /* 0 is a value too: no limit */
	LEADING = 32, /* settled by the session's first connection (leading only, "LO") */
};

static const char *const digests[] = { "None", "CRC32C", NULL };
static const char *const task_reporting[] = { "RFC3720", NULL };

static const struct key_row {
	const char *name;
	enum type type;
	enum rule rule;
	uint8_t stages, flags;
	uint32_t min, max, initial, ours;
	const char *const *choices;
	enum login_status too_long; /* 0: LOGIN_INITIATOR_ERROR */
} rows[KEY_COUNT] = {
#define ROW(key_, name_, stages_, ...) \
	[KEY_##key_] = { .name = name_, .stages = stages_, __VA_ARGS__ }
#define BOOLEAN(key_, name_, rule_, flags_, initial_, ours_)                                    \
	ROW(key_, name_, OP, .type = BOOL, .rule = rule_, .flags = flags_, .initial = initial_, \
	    .ours = ours_)
#define NUMERIC(key_, name_, rule_, flags_, min_, max_, initial_, ours_)                  \
	ROW(key_, name_, OP, .type = NUMBER, .rule = rule_, .flags = flags_, .min = min_, \
	    .max = max_, .initial = initial_, .ours = ours_)
#define CHOICES(key_, name_, flags_, choices_)                                         \
	ROW(key_, name_, OP, .type = LIST, .rule = CHOICE, .flags = flags_, .ours = 1, \
	    .choices = choices_)
	/* RFC 7143 13.4 to 13.9, 13.21, Appendix C. */
	ROW(INITIATOR_NAME, "InitiatorName", SEC | OP, .flags = NAMING),
	ROW(INITIATOR_ALIAS, "InitiatorAlias", SEC | OP | FFP, .flags = NAMING),
	ROW(SESSION_TYPE, "SessionType", SEC | OP, .flags = NAMING),
	ROW(TARGET_NAME, "TargetName", SEC | OP, .flags = NAMING),
	ROW(TARGET_ALIAS, "TargetAlias", NEVER),
	ROW(TARGET_ADDRESS, "TargetAddress", NEVER),
	ROW(TARGET_PORTAL_GROUP_TAG, "TargetPortalGroupTag", NEVER),
	ROW(SEND_TARGETS, "SendTargets", FFP),
	/* RFC 7143 12, 12.1.3. */
	ROW(AUTH_METHOD, "AuthMethod", SEC),
	ROW(CHAP_A, "CHAP_A", SEC),
	ROW(CHAP_N, "CHAP_N", SEC, .too_long = LOGIN_AUTH_FAILED),
	ROW(CHAP_R, "CHAP_R", SEC, .flags = LONG),
	ROW(CHAP_I, "CHAP_I", SEC),
	ROW(CHAP_C, "CHAP_C", SEC, .flags = LONG),
	/* RFC 7143 13.26: told by initiators to be seen by people. */
	ROW(NODE_ARCHITECTURE, "X#NodeArchitecture", SEC | OP | FFP),
	/* RFC 7143 13.1 to 13.3, 13.10 to 13.20, 13.23; RFC 7144 7.1. Where the offer is 0, it is
	 * keys_offer() that knows it. */
	CHOICES(HEADER_DIGEST, "HeaderDigest", 0, digests),
	CHOICES(DATA_DIGEST, "DataDigest", 0, digests),
	NUMERIC(MAX_CONNECTIONS, "MaxConnections", MIN, NORMAL_ONLY | LEADING, 1, 65535, 1, 0),
	BOOLEAN(INITIAL_R2T, "InitialR2T", OR, NORMAL_ONLY | LEADING, 1, 0),
	BOOLEAN(IMMEDIATE_DATA, "ImmediateData", AND, NORMAL_ONLY | LEADING, 1, 0),
	ROW(MAX_RECV_DSL, "MaxRecvDataSegmentLength", OP | FFP, .type = NUMBER, .rule = DECLARE,
	    .min = 512, .max = 0xffffff, .initial = LOGIN_DATA_MAX),
	NUMERIC(MAX_BURST, "MaxBurstLength", MIN, NORMAL_ONLY | LEADING, 512, 0xffffff, 262144, 0),
	NUMERIC(FIRST_BURST, "FirstBurstLength", MIN, NORMAL_ONLY | LEADING, 512, 0xffffff, 65536,
		0),
	/* The initiator's alone: nothing here has to rest before a connection comes back. */
	NUMERIC(TIME2WAIT, "DefaultTime2Wait", MAX, LEADING, 0, 3600, 2, 0),
	NUMERIC(TIME2RETAIN, "DefaultTime2Retain", MIN, LEADING, 0, 3600, 20, 20),
	NUMERIC(ERROR_RECOVERY_LEVEL, "ErrorRecoveryLevel", MIN, LEADING, 0, 2, 0, 0),
	NUMERIC(MAX_OUTSTANDING_R2T, "MaxOutstandingR2T", MIN, NORMAL_ONLY | LEADING, 1, 65535, 1,
		0),
	BOOLEAN(DATA_PDU_IN_ORDER, "DataPDUInOrder", OR, NORMAL_ONLY | LEADING, 1, 1),
	BOOLEAN(DATA_SEQUENCE_IN_ORDER, "DataSequenceInOrder", OR, NORMAL_ONLY | LEADING, 1, 1),
	CHOICES(TASK_REPORTING, "TaskReporting", NORMAL_ONLY | LEADING, task_reporting),
	NUMERIC(PROTOCOL_LEVEL, "iSCSIProtocolLevel", MIN, NORMAL_ONLY | LEADING, 0, 31, 1, 2),
	/* RFC 7143 13.25: obsolete; No is one of the two answers that are allowed. */
	BOOLEAN(IF_MARKER, "IFMarker", AND, 0, 0, 0),
	BOOLEAN(OF_MARKER, "OFMarker", AND, 0, 0, 0),
	ROW(IF_MARK_INT, "IFMarkInt", OP, .rule = REJECT),
	ROW(OF_MARK_INT, "OFMarkInt", OP, .rule = REJECT),
	/* RFC 7145 section 6. What we declare of them goes to an initiator that has sent the key
	 * itself: others take an unknown key for an error. */
	BOOLEAN(RDMA_EXTENSIONS, "RDMAExtensions", AND, NORMAL_ONLY | LEADING, 0, 0),
	NUMERIC(INITIATOR_RECV_DSL, "InitiatorRecvDataSegmentLength", MIN, EXTENSION, 512, 0xffffff,
		LOGIN_DATA_MAX, 0xffffff),
	NUMERIC(TARGET_RECV_DSL, "TargetRecvDataSegmentLength", MIN, EXTENSION, 512, 0xffffff,
		LOGIN_DATA_MAX, 0),
	NUMERIC(MAX_UNEXPECTED_PDUS, "MaxOutstandingUnexpectedPDUs", DECLARE, EXTENSION | NONE, 2,
		UINT32_MAX, 0, 0),
	NUMERIC(MAX_AHS, "MaxAHSLength", DECLARE, EXTENSION | NONE, 2, UINT32_MAX, 256, 0),
	/* The default is No. But the initiators that declare nothing do as with Yes: so does what
	 * nobody has declared. */
	BOOLEAN(TAGGED_SOLICITED_ONLY, "TaggedBufferForSolicitedDataOnly", DECLARE, EXTENSION, 1,
		0),
	/* No Hello is ever required by us, and none is offered. */
	BOOLEAN(HELLO_REQUIRED, "iSERHelloRequired", AND, EXTENSION, 0, 0),
#undef CHOICES
#undef NUMERIC
#undef BOOLEAN
#undef ROW
};
static_assert(KEY_COUNT <= 64, "struct key_seen and key_set have 64 bits");

const char *key_name(enum key key)
{
	return rows[key].name;
}

static bool refuse(struct key_fault *fault, enum login_status status, const char *why)
{
	*fault = (struct key_fault){ status, why };
	return false;
}

static int find_row(struct text_str name)
{
	for (int key = 0; key < KEY_COUNT; key++) {
		if (text_is(name, rows[key].name))
			return key;
	}
	return -1;
}

static bool read_known(struct key_set *set, struct key_seen *seen, enum key key,
		       struct text_str value, int stage, struct key_fault *fault)
{
	const struct key_row *row = &rows[key];
	uint32_t max = row->flags & LONG ? TEXT_LONG_VALUE_MAX : TEXT_VALUE_MAX;

	if (seen->known >> key & 1)
		return refuse(fault, LOGIN_INITIATOR_ERROR, "key sent twice");
	if (value.len > max)
		return refuse(fault, row->too_long ? row->too_long : LOGIN_INITIATOR_ERROR,
			      "value too long");
	if (!(row->stages & 1 << stage))
		set->misplaced = true;
	seen->known |= UINT64_C(1) << key;
	set->present |= UINT64_C(1) << key;
	set->value[key] = value;
	return true;
}

static bool read_unknown(struct key_seen *seen, const uint8_t *all, struct text_str name,
			 struct text_str value, struct key_fault *fault)
{
	struct key_unknown *unknown;

	for (unsigned int i = 0; i < seen->unknown_count; i++) {
		unknown = &seen->unknown[i];
		if (unknown->len == name.len && !memcmp(all + unknown->at, name.s, name.len))
			return refuse(fault, LOGIN_INITIATOR_ERROR, "key sent twice");
	}
	if (value.len > TEXT_VALUE_MAX)
		return refuse(fault, LOGIN_INITIATOR_ERROR, "value too long");
	if (seen->unknown_count == KEY_UNKNOWN_MAX)
		return refuse(fault, LOGIN_INITIATOR_ERROR, "too many unknown keys");
	unknown = &seen->unknown[seen->unknown_count++];
	unknown->at = (uint32_t)((const uint8_t *)name.s - all);
	unknown->len = (uint8_t)name.len;
	unknown->is_answer = text_is_answer(value);
	return true;
}

bool keys_read(struct key_set *set, struct key_seen *seen, const uint8_t *all, uint32_t start,
	       uint32_t end, int stage, struct key_fault *fault)
{
	struct text_str name, value;
	enum text_next next;
	uint32_t pos = start;

	*set = (struct key_set){ .unknown_from = seen->unknown_count };
	while ((next = text_next(all, end, &pos, &name, &value)) == TEXT_PAIR) {
		int key = find_row(name);

		if (key >= 0) {
			if (!read_known(set, seen, (enum key)key, value, stage, fault))
				return false;
		} else if (!read_unknown(seen, all, name, value, fault)) {
			return false;
		}
	}
	return next == TEXT_END || refuse(fault, LOGIN_INITIATOR_ERROR, "malformed text");
}

bool keys_leading_only(const struct key_set *set)
{
	for (int key = 0; key < KEY_COUNT; key++) {
		if (key_present(set, (enum key)key) && rows[key].flags & LEADING)
			return true;
	}
	return false;
}

void keys_new_stage(struct key_seen *seen)
{
	for (int key = 0; key < KEY_COUNT; key++) {
		if (rows[key].flags & NAMING)
			seen->known &= ~(UINT64_C(1) << key);
	}
}

void keys_defaults(struct key_values *values)
{
	for (int key = 0; key < KEY_COUNT; key++)
		values->v[key] = rows[key].initial;
}

void keys_offer(const struct conn_params *can, struct key_values *ours)
{
	for (int key = 0; key < KEY_COUNT; key++)
		ours->v[key] = rows[key].ours;
	if (can->header_digest)
		ours->v[KEY_HEADER_DIGEST] |= 1 << 1;
	if (can->data_digest)
		ours->v[KEY_DATA_DIGEST] |= 1 << 1;
	ours->v[KEY_INITIAL_R2T] = can->initial_r2t;
	ours->v[KEY_IMMEDIATE_DATA] = can->immediate_data;
	ours->v[KEY_MAX_RECV_DSL] = can->max_recv_dsl;
	ours->v[KEY_MAX_BURST] = can->max_burst;
	ours->v[KEY_FIRST_BURST] = can->first_burst;
	ours->v[KEY_MAX_OUTSTANDING_R2T] = can->max_outstanding_r2t;
	ours->v[KEY_MAX_CONNECTIONS] = can->max_connections ? can->max_connections : 1;
	ours->v[KEY_ERROR_RECOVERY_LEVEL] = can->error_recovery_level;
	ours->v[KEY_RDMA_EXTENSIONS] = can->rdma_extensions;
	ours->v[KEY_TARGET_RECV_DSL] = can->max_recv_dsl;
	ours->v[KEY_MAX_UNEXPECTED_PDUS] = can->max_unexpected;
	ours->v[KEY_MAX_AHS] = can->max_ahs;
}

/* The first of the offered values that is in the mask of ours. */
static bool choose(const struct key_row *row, struct text_str offered, uint32_t ours, uint32_t *out)
{
	struct text_str item;

	while (text_list_next(&offered, &item)) {
		for (uint32_t i = 0; row->choices[i]; i++) {
			if (ours >> i & 1 && text_is(item, row->choices[i])) {
				*out = i;
				return true;
			}
		}
	}
	return false;
}

static bool parse_number(const struct key_row *row, struct text_str value, uint32_t *out)
{
	if (!text_number(value, out))
		return false;
	return (*out >= row->min && *out <= row->max) || (*out == 0 && row->flags & NONE);
}

static bool parse(const struct key_row *row, struct text_str value, uint32_t ours, uint32_t *out)
{
	switch (row->type) {
	case BOOL: *out = text_is(value, "Yes"); return *out || text_is(value, "No");
	case NUMBER: return parse_number(row, value, out);
	case LIST: return choose(row, value, ours, out);
	case TEXT: break;
	}
	return true;
}

static uint32_t combine(enum rule rule, uint32_t theirs, uint32_t ours)
{
	switch (rule) {
	case AND: return theirs & ours;
	case OR: return theirs | ours;
	case MIN: return theirs < ours ? theirs : ours;
	case MAX: return theirs > ours ? theirs : ours;
	default: return theirs;
	}
}

static void put_result(const struct key_row *row, uint32_t value, struct text_buf *answer)
{
	if (row->type == BOOL)
		text_put(answer, row->name, value ? "Yes" : "No");
	else if (row->type == NUMBER)
		text_put_number(answer, row->name, value);
	else
		text_put(answer, row->name, row->choices[value]);
}

/* An initiator that has declared something is told what we declare. */
static bool declares_back(const struct key_row *row, uint32_t ours)
{
	return row->rule == DECLARE && row->flags & EXTENSION && ours;
}

static bool negotiate(const struct key_row *row, struct text_str value, uint32_t ours,
		      bool relevant, uint32_t *result, struct text_buf *answer)
{
	uint32_t theirs = 0;

	if (text_is_answer(value))
		return true;
	if (!parse(row, value, ours, &theirs))
		return false;
	if (row->rule == REJECT) {
		text_put(answer, row->name, "Reject");
	} else if (relevant) {
		*result = combine(row->rule, theirs, ours);
		if (declares_back(row, ours))
			put_result(row, ours, answer);
		else if (row->rule != DECLARE)
			put_result(row, *result, answer);
	} else if (row->rule != DECLARE) {
		text_put(answer, row->name, "Irrelevant");
	}
	return true;
}

static bool relevant(const struct key_row *row, bool discovery, const struct key_values *values)
{
	if (row->flags & EXTENSION)
		return values->v[KEY_RDMA_EXTENSIONS];
	return !(discovery && row->flags & NORMAL_ONLY);
}

bool keys_negotiate(const struct key_set *set, const struct key_seen *seen,
		    const struct key_values *ours, bool discovery, struct key_values *values,
		    struct text_buf *answer, struct key_fault *fault)
{
	uint32_t *max_burst = &values->v[KEY_MAX_BURST], *first_burst = &values->v[KEY_FIRST_BURST];

	for (int key = 0; key < KEY_COUNT; key++) {
		uint32_t our = ours->v[key];

		if (rows[key].rule == SETTLED || !key_present(set, (enum key)key))
			continue;
		/* RFC 7143 13.14: FirstBurstLength must not exceed MaxBurstLength. */
		if (key == KEY_FIRST_BURST && our > *max_burst)
			our = *max_burst;
		/* RFC 7143 13.19: only the last R2T can be sent again when sequences are in order, as
		 * ours are. */
		if (key == KEY_MAX_OUTSTANDING_R2T && values->v[KEY_ERROR_RECOVERY_LEVEL])
			our = 1;
		/* RFC 7143 13.21: a discovery session has no other level, whatever is offered. */
		if (key == KEY_ERROR_RECOVERY_LEVEL && discovery)
			our = 0;
		if (!negotiate(&rows[key], set->value[key], our,
			       relevant(&rows[key], discovery, values), &values->v[key], answer))
			return refuse(fault, LOGIN_INITIATOR_ERROR, "bad value of a key");
	}
	if (*first_burst > *max_burst) {
		/* The default gives way; what was agreed on in an earlier text does not. */
		if (seen->known >> KEY_FIRST_BURST & 1)
			return refuse(fault, LOGIN_INITIATOR_ERROR,
				      "MaxBurstLength below FirstBurstLength");
		*first_burst = *max_burst;
	}
	return true;
}

void keys_answer_unknown(const struct key_set *set, const struct key_seen *seen, const uint8_t *all,
			 struct text_buf *answer)
{
	for (unsigned int i = set->unknown_from; i < seen->unknown_count; i++) {
		const struct key_unknown *unknown = &seen->unknown[i];
		struct text_str name = { (const char *)all + unknown->at, unknown->len };

		if (!unknown->is_answer)
			text_put_str(answer, name, "NotUnderstood");
	}
}
