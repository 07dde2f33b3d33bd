# SPDX-License-Identifier: BSD-2-Clause
"""Task management: what is aborted, what is not, and what the others hear of it: rows T1 to T9."""

from conn import Closed
from demands import clear_aca, closing, expect_attention, is_riser, writer
from initiator import BLOCK, pattern, read10
from iscsi import DATA_IN, REJECT, SCSI_RESPONSE, TMF_RESPONSE
from suite import Skip, case
from tap import check, equal
from target import Target, blocks_of

GROUP = "tmf"

ABORT_TASK, ABORT_TASK_SET, CLEAR_ACA, CLEAR_TASK_SET, LUN_RESET = 1, 2, 3, 4, 5
WARM_RESET, COLD_RESET, TASK_REASSIGN = 6, 7, 8
COMPLETE, NO_TASK, NO_LUN, NO_REASSIGN, UNSUPPORTED = 0, 1, 2, 4, 5
NOT_AUTHORIZED = 6
RESET_OCCURRED = (6, 0x29, 0x03)


def need(target, response):
    """The function is complete; a target without it may say so."""
    if response in (UNSUPPORTED, NOT_AUTHORIZED) and not is_riser(target):
        raise Skip(f"the target does not do it: response {response}")
    equal(response, COMPLETE, "response")


@case("ABORT TASK ends a write that waits for its data: no status, nothing written", rfc="11.5.1")
def abort_task(target):
    conn = writer(target)
    before = blocks_of(target, 100, 8)
    write, r2t = conn.solicited_write(100, 8)
    equal(conn.tmf(ABORT_TASK, rtt=write.itt, refcmdsn=write.cmdsn), COMPLETE, "response")
    conn.answer_r2t(write, r2t, pattern(8, 0xbad))
    conn.resync()
    equal(blocks_of(target, 100, 8), before, "blocks of the aborted write")


@case("ABORT TASK leaves the neighbours alone, and the tag can be used again", rfc="11.5.1")
def abort_one_of_three(target):
    conn = writer(target)
    data = pattern(8, 0x33)
    tasks = [conn.solicited_write(100 + 8 * i, 8) for i in range(3)]
    middle = tasks.pop(1)[0]
    equal(conn.tmf(ABORT_TASK, rtt=middle.itt, refcmdsn=middle.cmdsn), COMPLETE, "response")
    for write, r2t in tasks:
        conn.answer_r2t(write, r2t, data)
    done = sorted(conn.expect(SCSI_RESPONSE).itt for _ in tasks)
    equal(done, [write.itt for write, _ in tasks], "answered writes")
    conn.scsi(bytes(6), itt=middle.itt).good()


@case("T1 ABORT TASK of a command that was lost: complete, its CmdSN counts as received",
      rfc="11.6.1")
def abort_lost(target):
    conn = target.login()
    lost = conn.command_pdu(bytes(6))
    equal(conn.tmf(ABORT_TASK, rtt=lost.itt, refcmdsn=lost.cmdsn), COMPLETE, "response")
    conn.ready().good()
    equal(conn.ping().expcmdsn, conn.cmdsn, "ExpCmdSN")


@case("T1 a command that arrives after it was aborted unseen is ignored", rfc="11.6.1")
def abort_overtakes(target):
    conn = target.login()
    late = conn.command_pdu(bytes(6))
    equal(conn.tmf(ABORT_TASK, rtt=late.itt, refcmdsn=late.cmdsn), COMPLETE, "response")
    conn.send(late)
    conn.resync()
    conn.ready().good()


@case("T2 ABORT TASK of an unknown task with RefCmdSN {}", [
    ("already done", lambda c: c.cmdsn - 1), ("above the window", lambda c: c.maxcmdsn + 1),
    ("not used yet", lambda c: c.cmdsn)], rfc="11.6.1")
def abort_outside(target, number):
    conn = target.login()
    conn.ping()
    equal(conn.tmf(ABORT_TASK, rtt=0xdead, refcmdsn=number(conn)), NO_TASK, "response")
    conn.ready().good()


@case("T3 ABORT TASK cannot reach a task of another session", rfc="11.5.4")
def abort_foreign(target):
    victim, attacker = writer(target), writer(target)
    victim.itt = 0x9000
    data = pattern(8, 0x1f)
    write, r2t = victim.solicited_write(140, 8)
    equal(attacker.tmf(ABORT_TASK, rtt=write.itt, refcmdsn=attacker.cmdsn - 1), NO_TASK, "response")
    victim.answer_r2t(write, r2t, data)
    victim.complete(write).good()
    equal(victim.read(140, 8), data, "blocks")


@case("T3 ABORT TASK of itself", rfc="11.5.1")
def abort_itself(target):
    conn = target.login()
    request = conn.tmf_pdu(ABORT_TASK, refcmdsn=conn.cmdsn - 1)
    request.rtt = request.itt
    conn.send(request)
    equal(conn.tmf_reply(request), NO_TASK, "response")
    conn.resync()


@case("T4 a LUN that does not exist: {}", [
    ("ABORT TASK SET", ABORT_TASK_SET), ("LUN RESET", LUN_RESET)], rfc="11.6.1")
def no_lun(target, function):
    conn = target.login()
    equal(conn.tmf(function, lun=9), NO_LUN, "response")
    conn.resync()


@case("T5 function {} is not supported", [(n, n) for n in (0, 9, 64, 127)], rfc="11.6.1")
def unknown_function(target, function):
    conn = target.login()
    response = conn.tmf(function)
    check(response == UNSUPPORTED or (response == 255 and not is_riser(target)),
          f"response {response}")
    conn.resync()


@case("T5 CLEAR ACA without an ACA, and TASK REASSIGN", rfc="11.6.1")
def other_functions(target):
    conn = target.login()
    clear_aca(target, conn)
    equal(conn.tmf(TASK_REASSIGN, rtt=0xdead), NO_REASSIGN, "response to TASK REASSIGN")
    conn.resync()


@case("ABORT TASK SET ends this session's tasks and not those of another", rfc="4.2.3.3")
def abort_task_set(target):
    conn, other = writer(target), writer(target)
    before = blocks_of(target, 160, 16)
    mine = [conn.solicited_write(160 + 8 * i, 8) for i in range(2)]
    theirs, their_r2t = other.solicited_write(180, 8)
    request = conn.send(conn.tmf_pdu(ABORT_TASK_SET))
    # 4.2.3.3: the initiator still answers every R2T; the target may wait for that.
    for write, r2t in mine:
        conn.answer_r2t(write, r2t, pattern(8, 0xbad))
    equal(conn.tmf_reply(request), COMPLETE, "response")
    conn.resync()
    data = pattern(8, 0xa2)
    other.answer_r2t(theirs, their_r2t, data)
    other.complete(theirs).good()
    equal(blocks_of(target, 160, 16), before, "blocks of the aborted writes")
    equal(other.read(180, 8), data, "blocks of the other session's write")
    equal(other.ready().status, 0, "no unit attention for the other session")


@case("{} ends no task on another LUN", [
    ("ABORT TASK SET", ABORT_TASK_SET), ("CLEAR TASK SET", CLEAR_TASK_SET),
    ("LUN RESET", LUN_RESET)], rfc="11.5.1", needs="two-luns")
def other_lun(target, function):
    conn = writer(target)
    lun = target.innocent_lun
    write, r2t = conn.solicited_write(160, 8, lun)
    need(target, conn.tmf(function))
    data = pattern(8, function)
    conn.answer_r2t(write, r2t, data)
    conn.complete(write).good()
    equal(conn.read(160, 8, lun), data, "blocks")
    conn.ready(lun).good()
    for session in (conn, target.innocent):
        session.clear_unit_attention()


@case("CLEAR TASK SET is answered, and the task of its own session is gone", rfc="11.5.1")
def clear_task_set(target):
    conn = writer(target)
    before = blocks_of(target, 200, 8)
    write, r2t = conn.solicited_write(200, 8)
    request = conn.send(conn.tmf_pdu(CLEAR_TASK_SET))
    conn.answer_r2t(write, r2t, pattern(8, 0xbad))
    need(target, conn.tmf_reply(request))
    conn.resync()
    equal(blocks_of(target, 200, 8), before, "blocks of the aborted write")
    conn.clear_unit_attention()
    target.innocent.clear_unit_attention()


@case("T7 ABORT TASK SET over a full window", rfc="4.2.3.3")
def abort_many(target):
    conn = writer(target)
    conn.ping()
    room = (conn.maxcmdsn - conn.cmdsn + 1) & 0xffffffff
    tasks = [conn.solicited_write(200, 1) for _ in range(min(room, 128) - 1)]
    request = conn.send(conn.tmf_pdu(ABORT_TASK_SET))
    for write, r2t in tasks:
        conn.answer_r2t(write, r2t, pattern(1, 0xbad))
    equal(conn.tmf_reply(request), COMPLETE, "response")
    conn.resync()
    conn.ready().good()


@case("LUN RESET ends the tasks of all sessions on that LUN; all of them get 29/03", rfc="11.5.1")
def lun_reset(target):
    conn, other = writer(target), writer(target)
    before = blocks_of(target, 240, 16)
    mine, my_r2t = conn.solicited_write(240, 8)
    theirs, their_r2t = other.solicited_write(248, 8)
    request = conn.send(conn.tmf_pdu(LUN_RESET))
    conn.answer_r2t(mine, my_r2t, pattern(8, 0xbad))
    equal(conn.tmf_reply(request), COMPLETE, "response")
    conn.resync()
    other.answer_r2t(theirs, their_r2t, pattern(8, 0xbad))
    other.resync()
    for session in (conn, other, target.innocent):
        expect_attention(target, session, RESET_OCCURRED)
    equal(blocks_of(target, 240, 16), before, "blocks of the aborted writes")


@case("T6 LUN RESETs one after the other, and two at once, are all answered", rfc="11.5.1")
def two_resets(target):
    first, second = target.login(), target.login()
    for conn in (first, first, second):
        equal(conn.tmf(LUN_RESET), COMPLETE, "response")
    requests = [conn.send(conn.tmf_pdu(LUN_RESET)) for conn in (first, second)]
    for conn, request in zip((first, second), requests):
        equal(conn.tmf_reply(request), COMPLETE, "response")
    for conn in (first, second, target.innocent):
        conn.clear_unit_attention()
        conn.ready().good()


@case("T6 a LUN RESET behind an ABORT TASK of an unknown task", rfc="11.5.1")
def reset_after_abort(target):
    conn = target.login()
    equal(conn.tmf(ABORT_TASK, rtt=0xdead, refcmdsn=conn.cmdsn - 1), NO_TASK, "response")
    equal(conn.tmf(LUN_RESET), COMPLETE, "response")
    conn.clear_unit_attention()
    target.innocent.clear_unit_attention()


@case("T9 after the answer to ABORT TASK no data of that task comes", rfc="11.6.1")
def no_late_data(target):
    conn = target.login(MaxRecvDataSegmentLength=512)
    for _ in range(20):
        read = conn.command_pdu(read10(0, 256), read=256 * BLOCK)
        abort = conn.tmf_pdu(ABORT_TASK, rtt=read.itt, refcmdsn=read.cmdsn)
        conn.send(read, abort)
        while True:
            pdu = conn.recv()
            if pdu.opcode == TMF_RESPONSE:
                break
            check(pdu.opcode in (DATA_IN, SCSI_RESPONSE) and pdu.itt == read.itt, f"got {pdu}")
        check(pdu.response in (COMPLETE, NO_TASK), f"response {pdu.response}")
        conn.resync()


@case("a task management request in CmdSN order waits for the commands before it", rfc="4.2.2.1")
def ordered(target):
    conn = writer(target)
    write, r2t = conn.solicited_write(300, 8)
    missing = conn.command_pdu(bytes(6))
    abort = conn.send(conn.tmf_pdu(ABORT_TASK, rtt=write.itt, refcmdsn=write.cmdsn,
                                   immediate=False))
    conn.ping()
    conn.send(missing)
    order = [conn.recv() for _ in range(2)]
    equal(sorted(pdu.opcode for pdu in order), [SCSI_RESPONSE, TMF_RESPONSE], "answers")
    equal({pdu.itt for pdu in order}, {missing.itt, abort.itt}, "their ITTs")
    conn.answer_r2t(write, r2t, pattern(8, 0xbad))
    conn.resync()


@case("T3 ABORT TASK of another task management function: it is none of the tasks", rfc="11.5.1")
def abort_function(target):
    conn = target.login()
    request = conn.tmf_pdu(CLEAR_ACA)
    conn.send(request, conn.tmf_pdu(ABORT_TASK, rtt=request.itt, refcmdsn=conn.cmdsn - 1))
    got = {pdu.itt: pdu.response for pdu in (conn.expect(TMF_RESPONSE) for _ in range(2))}
    equal(got[request.itt + 1], NO_TASK, "response to ABORT TASK")


@case("T6 TARGET WARM RESET ends the tasks of all sessions; all of them hear of it", rfc="11.5.1")
def warm_reset(target):
    conn, other = writer(target), writer(target)
    before = blocks_of(target, 320, 16)
    mine, my_r2t = conn.solicited_write(320, 8)
    theirs, their_r2t = other.solicited_write(328, 8)
    request = conn.send(conn.tmf_pdu(WARM_RESET))
    conn.answer_r2t(mine, my_r2t, pattern(8, 0xbad))
    need(target, conn.tmf_reply(request))
    conn.resync()
    other.answer_r2t(theirs, their_r2t, pattern(8, 0xbad))
    other.resync()
    for session in (conn, other, target.innocent):
        for lun in target.luns:
            result = session.ready(lun)
            check(result.status == 2 and result.sense[:2] == (6, 0x29), "no unit attention 29/xx")
            session.clear_unit_attention(lun)
    equal(blocks_of(target, 320, 16), before, "blocks of the aborted writes")


@case("T8 TARGET COLD RESET: not authorized, or the end of the session", rfc="11.5.1",
      needs="two-luns")
def cold_reset(target):
    conn = target.login()
    request = conn.send(conn.tmf_pdu(COLD_RESET))
    try:
        response = conn.tmf_reply(request)
    except Closed:
        return
    if is_riser(target):
        equal(response, NOT_AUTHORIZED, "response")
    if response in (UNSUPPORTED, NOT_AUTHORIZED):
        conn.resync()
        conn.ready().good()
        return
    equal(response, COMPLETE, "response")
    closing(conn)
    target.innocent.close()
    target.innocent = None


@case("T8 TARGET COLD RESET allowed: answered, then every session of the target ends", rfc="11.5.1",
      needs="own")
def cold_reset_allowed(_):
    with Target("--allow-cold-reset", innocent=None) as mine:
        conn, other = mine.login(), mine.login()
        equal(conn.tmf_reply(conn.send(conn.tmf_pdu(COLD_RESET))), COMPLETE, "response")
        closing(conn)
        closing(other)
        mine.login().ready().good()


def drain(conn):
    """A write was done before the resets, aborted by one, or told of them: whatever comes
    of that before the echo of a ping."""
    sent = conn.send(conn.ping_pdu())
    while conn.recv().itt != sent.itt:
        pass


@case("T6 three sessions reset the LUN at once while the fourth writes to it", rfc="11.5.1")
def reset_storm(target):
    conns = [target.login() for _ in range(3)]
    other = target.login(InitialR2T="No")
    for turn in range(10):
        requests = [(conn, conn.send(conn.tmf_pdu(LUN_RESET))) for conn in conns]
        other.send(other.write_pdus(336, pattern(8, turn))[0])
        for conn, request in requests:
            equal(conn.tmf_reply(request), COMPLETE, "response")
        drain(other)
        for conn in (*conns, other):
            conn.clear_unit_attention()
    target.innocent.clear_unit_attention()


@case("the response to a function comes after the statuses of what it did not abort",
      rfc="11.6.1")
def fence(target):
    conn = target.login()
    for _ in range(20):
        commands = [conn.command_pdu(bytes(6)) for _ in range(4)]
        request = conn.tmf_pdu(ABORT_TASK_SET)
        conn.send(*commands, request)
        left = {pdu.itt for pdu in commands}
        while True:
            pdu = conn.recv()
            if pdu.itt == request.itt:
                break
            left.remove(pdu.itt)
        equal((pdu.opcode, pdu.response), (TMF_RESPONSE, COMPLETE), "opcode, response")
        conn.resync()


@case("task management in a discovery session is refused", rfc="4.3", needs="discovery")
def in_discovery(target):
    conn = target.login(session="Discovery")
    conn.send(conn.tmf_pdu(ABORT_TASK_SET))
    try:
        pdu = conn.recv()
        check(pdu.opcode == REJECT or (pdu.opcode == TMF_RESPONSE and pdu.response),
              f"the function was done: {pdu}")
    except Closed:
        check(not is_riser(target), "the connection is closed")


@case("a referenced task tag does nothing in a function that names no task", rfc="11.5.4")
def stray_tag(target):
    conn = writer(target)
    write, r2t = conn.solicited_write(344, 8)
    conn.tmf(CLEAR_ACA, rtt=write.itt)
    conn.answer_r2t(write, r2t, pattern(8, 0x99))
    conn.complete(write).good()
