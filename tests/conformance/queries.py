# SPDX-License-Identifier: BSD-2-Clause
"""The task management functions, task priority and status qualifier of RFC 7144, which
iSCSIProtocolLevel 2 brings, and what a session without it gets."""

from demands import expect_attention, writer
from initiator import BLOCK, pattern, read10
from iscsi import SCSI_RESPONSE, TMF_RESPONSE
from suite import case
from tap import check, equal
from target import blocks_of

GROUP = "rfc7144"
NEEDS = "protocol2"

LUN_RESET = 5
QUERY_TASK, QUERY_TASK_SET, NEXUS_RESET, QUERY_EVENT = 9, 10, 11, 12
COMPLETE, NO_LUN, UNSUPPORTED, SUCCEEDED = 0, 2, 5, 7
FUNCTIONS = [("QUERY TASK", QUERY_TASK), ("QUERY TASK SET", QUERY_TASK_SET),
             ("I_T NEXUS RESET", NEXUS_RESET), ("QUERY ASYNCHRONOUS EVENT", QUERY_EVENT)]
RESET_OCCURRED, NEXUS_LOSS = (6, 0x29, 0x03), (6, 0x29, 0x07)


def modern(target, **keys):
    """A session at iSCSIProtocolLevel 2 whose writes wait for their R2T."""
    conn = writer(target, iSCSIProtocolLevel=2, **keys)
    equal(conn.keys.get("iSCSIProtocolLevel"), "2", "iSCSIProtocolLevel")
    return conn


def information(pdu):
    """The additional response information of a task management response."""
    return bytes(pdu.bhs[8:11])


@case("{} without iSCSIProtocolLevel 2: response 5", FUNCTIONS, rfc="RFC 7144 4.1")
def not_negotiated(target, function):
    conn = target.login()
    equal(conn.tmf(function), UNSUPPORTED, "response")
    conn.resync()


@case("QUERY TASK with iSCSIProtocolLevel {} offered: response 5",
      [(n, n) for n in (0, 1)], rfc="RFC 7144 4.1")
def lower_level(target, level):
    conn = target.login(iSCSIProtocolLevel=level)
    equal(int(conn.keys.get("iSCSIProtocolLevel", "1")) <= max(level, 1), True, "level agreed on")
    equal(conn.tmf(QUERY_TASK, rtt=0x1234), UNSUPPORTED, "response")


@case("iSCSIProtocolLevel 31 offered: 2 or more is agreed on", rfc="RFC 7144 3")
def higher_level(target):
    conn = writer(target, iSCSIProtocolLevel=31)
    check(2 <= int(conn.keys["iSCSIProtocolLevel"]) <= 31, "level")
    equal(conn.tmf(QUERY_TASK_SET), COMPLETE, "response")


@case("QUERY TASK: function succeeded for a task, function complete without", rfc="RFC 7144 4.1")
def query_task(target):
    conn = modern(target)
    write, r2t = conn.solicited_write(640, 8)
    equal(conn.tmf(QUERY_TASK, rtt=write.itt), SUCCEEDED, "response while it waits")
    equal(conn.tmf(QUERY_TASK, rtt=write.itt ^ 0x10101), COMPLETE, "response for another tag")
    conn.answer_r2t(write, r2t, pattern(8, 0x9))
    conn.complete(write).good()
    equal(conn.tmf(QUERY_TASK, rtt=write.itt), COMPLETE, "response when it is over")


@case("QUERY TASK changes nothing: the task goes on", rfc="RFC 7144 4.1")
def query_is_harmless(target):
    conn = modern(target)
    write, r2t = conn.solicited_write(640, 8)
    data = pattern(8, 0x99)
    for _ in range(10):
        equal(conn.tmf(QUERY_TASK, rtt=write.itt), SUCCEEDED, "response")
    conn.answer_r2t(write, r2t, data)
    conn.complete(write).good()
    equal(conn.read(640, 8), data, "blocks")


@case("QUERY TASK sees no task of another session", rfc="RFC 7144 4.1")
def query_foreign(target):
    conn, other = modern(target), modern(target)
    other.itt = 0x7000
    write, r2t = other.solicited_write(640, 8)
    equal(conn.tmf(QUERY_TASK, rtt=write.itt), COMPLETE, "response")
    other.answer_r2t(write, r2t, pattern(8, 1))
    other.complete(write).good()


@case("QUERY TASK SET: whether the session has a task on this LUN", rfc="RFC 7144 4.1")
def query_task_set(target):
    conn, other = modern(target), modern(target)
    equal(conn.tmf(QUERY_TASK_SET), COMPLETE, "response without tasks")
    theirs = other.solicited_write(656, 8)
    equal(conn.tmf(QUERY_TASK_SET), COMPLETE, "response with another session's task")
    write, r2t = conn.solicited_write(640, 8)
    equal(conn.tmf(QUERY_TASK_SET), SUCCEEDED, "response with a task")
    for session, pdu, asked in ((conn, write, r2t), (other, *theirs)):
        session.answer_r2t(pdu, asked, pattern(8, 2))
        session.complete(pdu).good()
    equal(conn.tmf(QUERY_TASK_SET), COMPLETE, "response when it is over")


@case("QUERY TASK SET looks at one LUN only", rfc="RFC 7144 4.1", needs="two-luns")
def query_other_lun(target):
    conn = modern(target)
    lun = target.innocent_lun
    write, r2t = conn.solicited_write(640, 8)
    equal(conn.tmf(QUERY_TASK_SET, lun=lun), COMPLETE, "response for the other LUN")
    conn.answer_r2t(write, r2t, pattern(8, 3))
    conn.complete(write).good()


@case("{} for a LUN that does not exist: response 2", [
    FUNCTIONS[0], FUNCTIONS[1], FUNCTIONS[3]], rfc="11.6.1")
def query_no_lun(target, function):
    conn = modern(target)
    equal(conn.tmf(function, lun=200, rtt=1), NO_LUN, "response")


@case("QUERY ASYNCHRONOUS EVENT: a unit attention that waits, and that stays", rfc="RFC 7144 4.1")
def query_event(target):
    conn, other = modern(target), modern(target)
    sent = conn.send(conn.tmf_pdu(QUERY_EVENT))
    pdu = conn.expect(TMF_RESPONSE)
    equal((pdu.itt, pdu.response, information(pdu)), (sent.itt, COMPLETE, bytes(3)),
          "ITT, response, information without a unit attention")
    equal(other.tmf(LUN_RESET), COMPLETE, "LUN RESET of another session")
    for _ in range(2):
        sent = conn.send(conn.tmf_pdu(QUERY_EVENT))
        pdu = conn.expect(TMF_RESPONSE)
        equal((pdu.itt, pdu.response), (sent.itt, SUCCEEDED), "ITT, response with one")
        info = information(pdu)
        equal((info[0] & 0xf, info[1], info[2]), RESET_OCCURRED, "sense key, ASC, ASCQ")
    expect_attention(target, conn, RESET_OCCURRED)
    equal(conn.tmf(QUERY_EVENT), COMPLETE, "response when it was reported")
    other.clear_unit_attention()
    target.innocent.clear_unit_attention()


@case("I_T NEXUS RESET: the tasks of this session end, on all LUNs; 29/07 follows",
      rfc="RFC 7144 4.1")
def nexus_reset(target):
    conn, other = modern(target), modern(target)
    before = blocks_of(target, 640, 8)
    write, r2t = conn.solicited_write(640, 8)
    theirs, their_r2t = other.solicited_write(656, 8)
    request = conn.send(conn.tmf_pdu(NEXUS_RESET))
    conn.answer_r2t(write, r2t, pattern(8, 0xbad))
    equal(conn.tmf_reply(request), COMPLETE, "response")
    conn.resync()
    for lun in target.luns:
        expect_attention(target, conn, NEXUS_LOSS, lun)
    other.answer_r2t(theirs, their_r2t, pattern(8, 4))
    other.complete(theirs).good()
    other.ready().good()
    equal(blocks_of(target, 640, 8), before, "blocks of the aborted write")


@case("task priority {} on a command is taken", [(n, n) for n in (0, 1, 15)], rfc="RFC 7144 4.2")
def priority(target, value):
    conn = modern(target)
    conn.complete(conn.send(conn.command_pdu(bytes(6), byte2=value))).good()
    done = conn.complete(conn.send(conn.command_pdu(read10(0, 1), read=BLOCK, byte2=value)))
    equal(len(done.good().data), BLOCK, "bytes")


@case("the status qualifier of GOOD and of CHECK CONDITION is 0", rfc="RFC 7144 4.3")
def qualifier(target):
    conn = modern(target)
    for cdb in (bytes(6), b"\xff" + bytes(5)):
        pdu = conn.scsi(cdb).pdu
        equal((pdu.opcode, bytes(pdu.bhs[22:24])), (SCSI_RESPONSE, b"\0\0"), "opcode, qualifier")


@case("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS names what the session can do",
      rfc="RFC 7144 4.1", needs="riser")
def supported(target):
    cdb = bytes([0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0])
    for level, first, second in ((2, 0xfc, 0x07), (1, 0xf8, 0x00)):
        conn = target.login(iSCSIProtocolLevel=level)
        data = conn.scsi(cdb, read=16).good().data
        equal((data[0], data[1]), (first, second), f"functions at level {level}")
