// SPDX-License-Identifier: BSD-2-Clause
/*
 * Who lives how long: connections, sessions and commands when the connection is lost, another login
 * takes the session's place, the daemon stops, or all of that happens on two reactors.
 */
#include "session/internal.h"
#include "target_rig.h"
#include "tests/lib/unit.h"

static const uint8_t tur[16] = { 0 };
static const uint8_t read_1[16] = { [0] = 0x28, [8] = 1 };
static const uint8_t write_1[16] = { [0] = 0x2a, [8] = 1 };
static const uint8_t write_16[16] = { [0] = 0x2a, [8] = 16 };
static const char unsolicited[] = "InitialR2T=No"; /* with its NUL */

static void clear_attention(struct initiator *in)
{
	uint32_t itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);

	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
}

static void login_on(struct rig *rig, struct initiator *in, uint8_t isid, struct reactor *r,
		     const char *extra, size_t len)
{
	rig_knock(rig, in, isid, r, extra, len);
	CU_ASSERT_TRUE_FATAL(rig_let_in(in));
	clear_attention(in);
}

/* A session whose power-on unit attention is out of the way. */
static void begin(struct rig *rig, struct initiator *in, const char *disk, unsigned int reactors)
{
	CU_ASSERT_FATAL(rig_up_on(rig, disk, NULL, reactors));
	login_on(rig, in, 1, rig->r, unsolicited, sizeof(unsolicited));
}

static void end(struct rig *rig)
{
	rig_turn(rig);
	CU_ASSERT_TRUE(nothing_left(rig));
	rig_down(rig);
}

static uint32_t r2t_tag(struct initiator *in)
{
	struct memory_record *rec = rig_receive(in);
	uint32_t ttt = TAG_NONE;

	if (rec && rec->kind == MEMORY_R2T)
		ttt = be32_get(rec->h.r2t.ttt);
	free(rec);
	CU_ASSERT_NOT_EQUAL(ttt, TAG_NONE);
	return ttt;
}

static void advance(struct rig *rig, unsigned int seconds)
{
	for (unsigned int i = 0; i < 10 * seconds; i++) {
		for (int r = 0; r < 2 && rig->reactors[r]; r++)
			reactor_advance(rig->reactors[r], 100 * NSEC_PER_MSEC);
		rig_turn(rig);
	}
}

/* --- The connection is lost */

/* What a command is doing at that moment. */
enum doing { NOTHING, GETTING, RECEIVING, RECEIVING_FOR_NOTHING, SENDING, IN_DISK, DOINGS };

static void start(struct initiator *in, enum doing what)
{
	static const uint8_t block[512];

	switch (what) {
	case GETTING:
		rig_command(in, write_16, CMD_FINAL | CMD_WRITE, 8192, block, 512);
		rig_turn(in->rig);
		break;
	case RECEIVING: rig_command(in, write_16, CMD_WRITE, 8192, block, 512); break;
	case RECEIVING_FOR_NOTHING: /* all is here, and F says that more comes */
		rig_command(in, write_1, CMD_WRITE, 512, block, 512);
		break;
	case SENDING: rig_command(in, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0); break;
	case IN_DISK: rig_command(in, write_1, CMD_FINAL | CMD_WRITE, 512, block, 512); break;
	case NOTHING:
	case DOINGS: break;
	}
}

static void lost_while(void)
{
	for (int what = NOTHING; what < DOINGS; what++) {
		struct rig rig;
		struct initiator in;

		begin(&rig, &in, what == IN_DISK ? "ram:1M,fault=write:hang" : "ram:1M", 1);
		start(&in, (enum doing)what);
		rig_leave(&in);
		CU_ASSERT_EQUAL(list_empty(&rig.server->reactors[0].sessions), what != IN_DISK);
		if (what == IN_DISK)
			rig_close_disk(&rig);
		end(&rig);
	}
}

/* The same with a function on its way that waits for the command. */
static void lost_while_aborting(void)
{
	for (int what = GETTING; what < DOINGS; what++) {
		struct rig rig;
		struct initiator in;

		begin(&rig, &in, what == IN_DISK ? "ram:1M,fault=write:hang" : "ram:1M", 1);
		start(&in, (enum doing)what);
		rig_tmf(&in, TMF_ABORT_TASK, in.itt - 1, in.cmdsn - 1);
		rig_tmf(&in, TMF_LUN_RESET, TAG_NONE, 0);
		rig_leave(&in);
		if (what == IN_DISK) {
			advance(&rig, 6);
			CU_ASSERT_FALSE(nothing_left(&rig));
			rig_close_disk(&rig);
		}
		end(&rig);
	}
}

/* ABORT TASK of a command in each state: one answer, the function's, and the session lives. */
static void abort_while(void)
{
	for (int what = GETTING; what <= RECEIVING_FOR_NOTHING; what++) {
		struct rig rig;
		struct initiator in;
		struct memory_record *rec;
		uint32_t tmf, victim, itt;

		begin(&rig, &in, "ram:1M", 1);
		start(&in, (enum doing)what);
		victim = in.itt - 1;
		while ((rec = memory_receive(in.peer)))
			free(rec); /* R2T */
		tmf = rig_tmf(&in, TMF_ABORT_TASK, victim, in.cmdsn - 1);
		CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_COMPLETE);
		CU_ASSERT_FALSE(rig_data_out(&in, victim, TAG_NONE, 512, &rig, 512, true));
		in.itt = victim; /* the tag is free */
		itt = rig_command(&in, tur, CMD_FINAL, 0, NULL, 0);
		CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
		CU_ASSERT_EQUAL(in.maxcmdsn - in.expcmdsn + 1, 128);
		rig_leave(&in);
		end(&rig);
	}
}

/* Answered, and the answer is not out yet: too late to abort, one status. */
static void abort_answered(void)
{
	struct rig rig;
	struct initiator in;
	struct memory_record *rec;
	uint32_t itt, tmf;

	begin(&rig, &in, "ram:1M", 1);
	itt = rig_command(&in, tur, CMD_FINAL, 0, NULL, 0);
	tmf = rig_tmf(&in, TMF_ABORT_TASK, itt, in.cmdsn - 1);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	rec = rig_receive(&in);
	CU_ASSERT_FATAL(rec && be32_get(rec->h.bhs.itt) == tmf);
	CU_ASSERT_EQUAL(rec->h.tmf_response.response, TMF_RSP_NO_TASK);
	free(rec);
	rig_leave(&in);
	end(&rig);
}

/* Logout ends the commands under way without a word; nothing follows its response. */
static void logout_while(void)
{
	for (int what = GETTING; what < DOINGS; what++) {
		struct rig rig;
		struct initiator in;
		struct memory_record *rec;
		union pdu_header h = { 0 };
		uint8_t last = 0, response = 0xff;

		begin(&rig, &in, what == IN_DISK ? "ram:1M,fault=write:hang" : "ram:1M", 1);
		start(&in, (enum doing)what);
		h.logout_request.opcode = OP_LOGOUT_REQUEST | OPCODE_IMMEDIATE;
		h.logout_request.reason = PDU_FINAL | LOGOUT_SESSION;
		h.logout_request.itt = be32_of(in.itt++);
		h.logout_request.cmdsn = be32_of(in.cmdsn);
		rig_send(&in, &h, NULL, 0);
		if (what == IN_DISK) /* which is waited for, but not for ever */
			advance(&rig, TMF_TIMEOUT_S + 1);
		while ((rec = rig_receive(&in))) {
			last = pdu_opcode(&rec->h.bhs);
			response = rec->h.logout_response.response;
			free(rec);
		}
		CU_ASSERT_EQUAL(last, OP_LOGOUT_RESPONSE);
		CU_ASSERT_EQUAL(response, what == IN_DISK ? LOGOUT_RSP_FAILED : LOGOUT_RSP_SUCCESS);
		CU_ASSERT_PTR_NULL(memory_conn(in.peer));
		rig_leave(&in);
		if (what == IN_DISK)
			rig_close_disk(&rig);
		end(&rig);
	}
}

/* --- Logins that fail */

static void refused_logins(void)
{
	static const struct {
		const char *keys;
		size_t len;
		uint16_t status; /* 0: any */
	} rows[] = {
#define ROW(keys, status) { keys, sizeof(keys), status }
		ROW("TargetName=twice", LOGIN_INITIATOR_ERROR),
		ROW("SessionType=Odd", 0),
		ROW("MaxBurstLength=1", LOGIN_INITIATOR_ERROR),
		ROW("no equals sign", LOGIN_INITIATOR_ERROR),
#undef ROW
	};
	struct rig rig;
	struct initiator in;
	struct memory_record *rec;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	for (unsigned int i = 0; i < array_size(rows); i++) {
		rig_knock(&rig, &in, 1, rig.r, rows[i].keys, rows[i].len);
		rec = rig_receive(&in);
		CU_ASSERT_FATAL(rec && pdu_opcode(&rec->h.bhs) == OP_LOGIN_RESPONSE);
		CU_ASSERT_NOT_EQUAL(be16_get(rec->h.login_response.status), LOGIN_SUCCESS);
		if (rows[i].status)
			CU_ASSERT_EQUAL(be16_get(rec->h.login_response.status), rows[i].status);
		free(rec);
		CU_ASSERT_PTR_NULL(memory_conn(in.peer));
		rig_leave(&in);
		CU_ASSERT_TRUE(nothing_left(&rig));
	}
	rig.target.allow_any = false;
	CU_ASSERT_FALSE(rig_login(&rig, &in, 1));
	rig_leave(&in);
	end(&rig);
}

/* No memory for a command, an answer, a held request: the peer hears of it or loses its
 * connection, and nothing leaks. */
static void no_memory(void)
{
	struct rig rig;
	struct initiator in;
	struct memory_record *rec;
	struct reactor_state *rs;

	begin(&rig, &in, "ram:1M", 1);
	rs = &rig.server->reactors[0];
	rs->commands.free_list = NULL;
	rs->commands.limit = rs->commands.total;
	rig_command_sn(&in, in.cmdsn, tur, CMD_FINAL, 0, NULL, 0);
	rec = rig_receive(&in);
	CU_ASSERT_FATAL(rec && pdu_opcode(&rec->h.bhs) == OP_REJECT);
	CU_ASSERT_EQUAL(rec->h.reject.reason, REJECT_OUT_OF_RESOURCES);
	CU_ASSERT_EQUAL(in.expcmdsn, in.cmdsn);
	free(rec);
	rs->commands.limit = rs->held.limit;
	rs->held.limit = 0;
	rig_command_sn(&in, in.cmdsn + 1, tur, CMD_FINAL, 0, NULL, 0);
	rec = rig_receive(&in);
	CU_ASSERT_FATAL(rec && pdu_opcode(&rec->h.bhs) == OP_REJECT);
	CU_ASSERT_EQUAL(rec->h.reject.reason, REJECT_OUT_OF_RESOURCES);
	free(rec);
	rs->replies.free_list = NULL;
	rs->replies.limit = rs->replies.total;
	rig_tmf(&in, TMF_LUN_RESET, TAG_NONE, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	rig_leave(&in);
	end(&rig);
}

/* --- Reinstatement */

/* The old session hangs in its disk: the new one waits, or leaves before its turn. */
static void reinstatement_waits(void)
{
	for (int leaves = 0; leaves < 2; leaves++) {
		struct rig rig;
		struct initiator old, young;

		begin(&rig, &old, "ram:1M,fault=write:hang", 2);
		start(&old, IN_DISK);
		rig_turn(&rig);
		rig_knock(&rig, &young, 1, rig.second, NULL, 0);
		CU_ASSERT_PTR_NULL(rig_receive(&young));
		CU_ASSERT_PTR_NULL(memory_conn(old.peer));
		if (leaves)
			rig_leave(&young);
		rig_close_disk(&rig);
		if (!leaves) {
			CU_ASSERT_TRUE(rig_let_in(&young));
			rig_leave(&young);
		}
		rig_leave(&old);
		end(&rig);
	}
}

/* Many at once want the same place: one has it in the end, and everybody else is gone. */
static void reinstatement_storm(void)
{
	enum { CROWD = 8 };
	struct rig rig;
	struct initiator in[CROWD];
	int alive = 0;

	CU_ASSERT_FATAL(rig_up_on(&rig, "ram:1M", NULL, 2));
	for (int i = 0; i < CROWD; i++)
		rig_knock(&rig, &in[i], 1, rig.reactors[i % 2], NULL, 0);
	rig_turn(&rig);
	for (int i = 0; i < CROWD; i++)
		alive += memory_conn(in[i].peer) != NULL;
	CU_ASSERT_EQUAL(alive, 1);
	for (int i = 0; i < CROWD; i++)
		rig_leave(&in[i]);
	end(&rig);
}

/* A login on the other reactor between the old session's last breath and its removal. */
static struct {
	struct work first, second, login;
	struct rig *rig;
	struct initiator young;
} meeting;

static void meeting_login(struct work *work)
{
	(void)work;
	rig_knock(meeting.rig, &meeting.young, 1, meeting.rig->second, NULL, 0);
}

static void meeting_second(struct work *work)
{
	(void)work;
	reactor_post(meeting.rig->second, &meeting.login);
	reactor_turn(meeting.rig->second);
}

static void meeting_first(struct work *work)
{
	(void)work;
	/* In the next turn, ahead of what closed() defers in this one. */
	reactor_defer(meeting.rig->r, &meeting.second);
}

static void reinstatement_of_the_dying(void)
{
	struct rig rig;
	struct initiator old;

	begin(&rig, &old, "ram:1M", 2);
	memset(&meeting, 0, sizeof(meeting));
	meeting.rig = &rig;
	meeting.first.fn = meeting_first;
	meeting.second.fn = meeting_second;
	meeting.login.fn = meeting_login;
	reactor_defer(rig.r, &meeting.first);
	rig_leave(&old);
	CU_ASSERT_FATAL(meeting.young.peer != NULL);
	CU_ASSERT_TRUE(rig_let_in(&meeting.young));
	rig_leave(&meeting.young);
	end(&rig);
}

/* --- Two reactors */

static void reset_reaches_the_other_reactor(void)
{
	struct rig rig;
	struct initiator a, b;
	uint32_t victim, tmf;

	begin(&rig, &a, "ram:1M", 2);
	login_on(&rig, &b, 2, rig.second, NULL, 0);
	victim = rig_command(&b, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
	r2t_tag(&b);
	tmf = rig_tmf(&a, TMF_LUN_RESET, TAG_NONE, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(&a, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_FALSE(memory_finish(b.peer, victim, TRANSFER_OK));
	CU_ASSERT_PTR_NULL(rig_receive(&b));
	clear_attention(&b);
	rig_leave(&a);
	rig_leave(&b);
	end(&rig);
}

/* Resets of both at once, whose issuers leave while the disk hangs. */
static void resets_without_their_issuers(void)
{
	struct rig rig;
	struct initiator a, b;

	begin(&rig, &a, "ram:1M,fault=write:hang", 2);
	login_on(&rig, &b, 2, rig.second, NULL, 0);
	start(&a, IN_DISK);
	start(&b, GETTING);
	for (int i = 0; i < 3; i++) {
		rig_tmf(&a, TMF_LUN_RESET, TAG_NONE, 0);
		rig_tmf(&b, TMF_TARGET_WARM_RESET, TAG_NONE, 0);
	}
	rig_turn(&rig);
	rig_leave(&a);
	advance(&rig, 6);
	rig_leave(&b);
	CU_ASSERT_FALSE(nothing_left(&rig));
	rig_close_disk(&rig);
	end(&rig);
}

/* --- The daemon stops */

static void count_stop(void *arg)
{
	++*(int *)arg;
}

/* A peer that keeps its data, a hole in the order, a disk that hangs: the first two are cut off
 * in time, the last one is what stopped() waits for. */
static void stop_with_loose_ends(void)
{
	for (int hangs = 0; hangs < 2; hangs++) {
		struct rig rig;
		struct initiator in;
		int stops = 0;

		begin(&rig, &in, hangs ? "ram:1M,fault=write:hang" : "ram:1M", 1);
		start(&in, GETTING);
		rig_command_sn(&in, in.cmdsn + 1, tur, CMD_FINAL, 0, NULL, 0);
		if (hangs)
			start(&in, IN_DISK);
		server_stop(rig.server, 2000, count_stop, &stops);
		advance(&rig, 1);
		CU_ASSERT_PTR_NOT_NULL(memory_conn(in.peer));
		advance(&rig, 2);
		CU_ASSERT_PTR_NULL(memory_conn(in.peer));
		CU_ASSERT_EQUAL(stops, hangs ? 0 : 1);
		if (hangs) {
			rig_close_disk(&rig);
			advance(&rig, 1);
			CU_ASSERT_EQUAL(stops, 1);
		}
		rig_leave(&in);
		end(&rig);
	}
}

UNIT_MAIN(TEST(lost_while), TEST(lost_while_aborting), TEST(abort_while), TEST(abort_answered),
	  TEST(logout_while), TEST(refused_logins), TEST(no_memory), TEST(reinstatement_waits),
	  TEST(reinstatement_storm), TEST(reinstatement_of_the_dying),
	  TEST(reset_reaches_the_other_reactor), TEST(resets_without_their_issuers),
	  TEST(stop_with_loose_ends));
