#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Task management: what is aborted, what is not, and what the others hear of it."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import BLOCK, pattern, read10
from iscsi import CHECK_CONDITION, DATA_IN, SCSI_RESPONSE, TMF_RESPONSE
from tap import case, check, equal, main
from target import INNOCENT_LUN, Target, blocks_of

ABORT_TASK, ABORT_TASK_SET, CLEAR_ACA, LUN_RESET, TASK_REASSIGN = 1, 2, 3, 5, 8
COMPLETE, NO_TASK, NO_LUN, NO_REASSIGN, UNSUPPORTED = 0, 1, 2, 4, 5
RESET_OCCURRED = (6, 0x29, 0x03)


def writer(target):
    return target.login(InitialR2T="Yes", ImmediateData="No")


def expect_attention(conn, code, lun=0):
    result = conn.ready(lun)
    equal((result.status, result.sense), (CHECK_CONDITION, code), "unit attention")
    conn.ready(lun).good()


@case("ABORT TASK ends a write that waits for its data: no status, nothing written")
def abort_task(target):
    conn = writer(target)
    before = blocks_of(target, 100, 8)
    write, r2t = conn.solicited_write(100, 8)
    equal(conn.tmf(ABORT_TASK, rtt=write.itt, refcmdsn=write.cmdsn), COMPLETE, "response")
    conn.answer_r2t(write, r2t, pattern(8, 0xbad))
    conn.resync()
    equal(blocks_of(target, 100, 8), before, "blocks of the aborted write")


@case("ABORT TASK leaves the neighbours alone, and the tag can be used again")
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


@case("T1 ABORT TASK of a command that was lost: complete, its CmdSN counts as received")
def abort_lost(target):
    conn = target.login()
    lost = conn.command_pdu(bytes(6))
    equal(conn.tmf(ABORT_TASK, rtt=lost.itt, refcmdsn=lost.cmdsn), COMPLETE, "response")
    conn.ready().good()
    equal(conn.ping().expcmdsn, conn.cmdsn, "ExpCmdSN")


@case("T1 a command that arrives after it was aborted unseen is ignored")
def abort_overtakes(target):
    conn = target.login()
    late = conn.command_pdu(bytes(6))
    equal(conn.tmf(ABORT_TASK, rtt=late.itt, refcmdsn=late.cmdsn), COMPLETE, "response")
    conn.send(late)
    conn.resync()
    conn.ready().good()


@case("T2 ABORT TASK of an unknown task with RefCmdSN {}", [
    ("already done", lambda c: c.cmdsn - 1), ("above the window", lambda c: c.maxcmdsn + 1),
    ("not used yet", lambda c: c.cmdsn)])
def abort_outside(target, number):
    conn = target.login()
    conn.ping()
    equal(conn.tmf(ABORT_TASK, rtt=0xdead, refcmdsn=number(conn)), NO_TASK, "response")
    conn.ready().good()


@case("T3 ABORT TASK cannot reach a task of another session")
def abort_foreign(target):
    victim, attacker = writer(target), writer(target)
    victim.itt = 0x9000
    data = pattern(8, 0x1f)
    write, r2t = victim.solicited_write(140, 8)
    equal(attacker.tmf(ABORT_TASK, rtt=write.itt, refcmdsn=attacker.cmdsn - 1), NO_TASK, "response")
    victim.answer_r2t(write, r2t, data)
    victim.complete(write).good()
    equal(victim.read(140, 8), data, "blocks")


@case("T3 ABORT TASK of itself")
def abort_itself(target):
    conn = target.login()
    request = conn.tmf_pdu(ABORT_TASK, refcmdsn=conn.cmdsn - 1)
    request.rtt = request.itt
    conn.send(request)
    equal(conn.tmf_reply(request), NO_TASK, "response")
    conn.resync()


@case("T4 a LUN that does not exist: {}", [
    ("ABORT TASK SET", ABORT_TASK_SET), ("LUN RESET", LUN_RESET)])
def no_lun(target, function):
    conn = target.login()
    equal(conn.tmf(function, lun=9), NO_LUN, "response")
    conn.resync()


@case("T5 function {} is not supported", [(n, n) for n in (0, 9, 64, 127)])
def unknown_function(target, function):
    conn = target.login()
    equal(conn.tmf(function), UNSUPPORTED, "response")
    conn.resync()


@case("T5 CLEAR ACA without an ACA, and TASK REASSIGN")
def other_functions(target):
    conn = target.login()
    equal(conn.tmf(CLEAR_ACA), COMPLETE, "response to CLEAR ACA")
    equal(conn.tmf(TASK_REASSIGN, rtt=0xdead), NO_REASSIGN, "response to TASK REASSIGN")
    conn.resync()


@case("ABORT TASK SET ends this session's tasks on this LUN and no others")
def abort_task_set(target):
    conn, other = writer(target), writer(target)
    before = blocks_of(target, 160, 16)
    mine = [conn.solicited_write(160 + 8 * i, 8) for i in range(2)]
    next_door, next_r2t = conn.solicited_write(160, 8, INNOCENT_LUN)
    theirs, their_r2t = other.solicited_write(180, 8)
    request = conn.send(conn.tmf_pdu(ABORT_TASK_SET))
    # 4.2.3.3: the initiator still answers every R2T; the target may wait for that.
    for write, r2t in mine:
        conn.answer_r2t(write, r2t, pattern(8, 0xbad))
    equal(conn.tmf_reply(request), COMPLETE, "response")
    conn.resync()
    data = pattern(8, 0xa2)
    for session, write, r2t in ((conn, next_door, next_r2t), (other, theirs, their_r2t)):
        session.answer_r2t(write, r2t, data)
        session.complete(write).good()
    equal(blocks_of(target, 160, 16), before, "blocks of the aborted writes")
    equal(other.read(180, 8), data, "blocks of the other session's write")
    equal(other.ready().status, 0, "no unit attention for the other session")


@case("T7 ABORT TASK SET over a full window")
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


@case("LUN RESET ends the tasks of all sessions on that LUN; all of them get 29/03")
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
        expect_attention(session, RESET_OCCURRED)
    target.innocent.ready(INNOCENT_LUN).good()
    equal(blocks_of(target, 240, 16), before, "blocks of the aborted writes")


@case("T6 LUN RESETs one after the other, and two at once, are all answered")
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


@case("T6 a LUN RESET behind an ABORT TASK of an unknown task")
def reset_after_abort(target):
    conn = target.login()
    equal(conn.tmf(ABORT_TASK, rtt=0xdead, refcmdsn=conn.cmdsn - 1), NO_TASK, "response")
    equal(conn.tmf(LUN_RESET), COMPLETE, "response")
    conn.clear_unit_attention()
    target.innocent.clear_unit_attention()


@case("T9 after the answer to ABORT TASK no data of that task comes")
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


@case("a task management request in CmdSN order waits for the commands before it")
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


if __name__ == "__main__":
    main(Target())
