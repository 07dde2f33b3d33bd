# SPDX-License-Identifier: BSD-2-Clause
"""SNACK for R2Ts and for statuses of every kind, its bounds, and SNACK where there is none
(UNH-IOL, Error Recovery for targets, 3.1 and 3.5; row N8)."""

from conn import Closed
from initiator import BLOCK, pattern
from iscsi import (INVALID_FIELD, LOGOUT_RESPONSE, NOP_IN, NOT_SUPPORTED, PROTOCOL_ERROR, R2T,
                   REJECT, SCSI_RESPONSE, TEXT_RESPONSE, TMF_RESPONSE, Pdu)
from multi import links
from recovery import (DATA, DATA_ACK, R_DATA, STATUS, collect, data_of, data_snack, finish, same,
                      snack, start_read, status_snack)
from suite import case
from tap import check, equal

GROUP = "snack"
NEEDS = "erl1"
LBA, BLOCKS = 2100, 16
SIZE = BLOCKS * BLOCK
SOLICITED = {"InitialR2T": "Yes", "ImmediateData": "No"}


def open_one(target, level=1, **keys):
    return links(target, 1, level, **keys)[0]


# R2T

@case("3.1 R2T SNACK: {}", [
    ("by its number", 0, 1), ("0 and 0: all that are not answered", 0, 0)], rfc="11.16")
def r2t_snack(target, begin, run):
    conn = open_one(target, **SOLICITED)
    write = conn.send(conn.command_pdu(b"\x2a" + bytes(3) + LBA.to_bytes(2, "big") + bytes(2)
                                       + bytes([BLOCKS, 0]), write=SIZE))
    lost = conn.lose()
    equal((lost.opcode, lost.itt), (R2T, write.itt), "opcode, ITT")
    data_snack(conn, write, begin, run)
    again = conn.expect_r2t(write)
    same(again, lost, "statsn")
    data = pattern(BLOCKS, 0x31)
    conn.answer_r2t(write, again, data)
    conn.complete(write).good()
    equal(conn.read(LBA, BLOCKS), data, "blocks")


@case("3.1 R2T SNACK carries the current StatSN", rfc="11.16")
def r2t_snack_statsn(target):
    conn = open_one(target, **SOLICITED)
    write, lost = conn.solicited_write(LBA, BLOCKS)
    for _ in range(3):
        conn.ping()
    data_snack(conn, write, 0, 1)
    again = conn.expect_r2t(write)
    equal((again.statsn - lost.statsn) & 0xffffffff, 3, "StatSN has gone on by")
    conn.answer_r2t(write, again, pattern(BLOCKS, 0x32))
    conn.complete(write).good()


@case("3.1 R2T SNACK for the second R2T, the first is answered", rfc="11.16")
def r2t_snack_second(target):
    conn = open_one(target, MaxBurstLength=SIZE // 2, **SOLICITED)
    data = pattern(BLOCKS, 0x33)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    conn.answer_r2t(write, r2t, data)
    lost = conn.lose()
    equal((lost.opcode, lost.r2tsn), (R2T, 1), "opcode, R2TSN")
    data_snack(conn, write, 1, 1)
    again = conn.expect_r2t(write, 1)
    same(again, lost, "statsn")
    conn.answer_r2t(write, again, data)
    conn.complete(write).good()
    equal(conn.read(LBA, BLOCKS), data, "blocks")


@case("3.1 R2T SNACK, and the lost R2T is only late: the burst comes once", rfc="11.16")
def r2t_snack_late(target):
    conn = open_one(target, **SOLICITED)
    data = pattern(BLOCKS, 0x34)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    data_snack(conn, write, 0, 1)
    conn.answer_r2t(write, r2t, data)
    same(conn.expect_r2t(write), r2t, "statsn")
    conn.complete(write).good()
    equal(conn.read(LBA, BLOCKS), data, "blocks")


@case("R2T SNACK for {}: Reject 0x04, the write goes on", [
    ("an R2T that was not sent", 1, 1), ("one far away", 0x80000000, 1),
    ("more than there are", 0, 5), ("a run over the end of numbers", 0xffffffff, 0xffffffff)],
      rfc="11.16")
def r2t_never_sent(target, begin, run):
    conn = open_one(target, **SOLICITED)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    bad = data_snack(conn, write, begin, run)
    conn.expect_reject(PROTOCOL_ERROR, bad)
    conn.answer_r2t(write, r2t, pattern(BLOCKS, 0x35))
    conn.complete(write).good()


# Statuses

def lost_response(conn):
    conn.send(conn.command_pdu(bytes(6)))
    return conn.lose()


def lost_failure(conn):
    """A status with sense data."""
    conn.send(conn.command_pdu(b"\xff" + bytes(5)))
    return conn.lose()


def lost_ping(conn):
    conn.send(conn.ping_pdu(b"once more"))
    return conn.lose()


def lost_text(conn):
    conn.send(conn.text_pdu([("SendTargets", "")]))
    return conn.lose()


def lost_tmf(conn):
    conn.send(conn.tmf_pdu(1, rtt=0x12345))
    return conn.lose()


def lost_reject(conn):
    conn.send(conn.fill(Pdu(0x0f, flags=0x80, itt=conn.next_itt()), immediate=True))
    return conn.lose()


KINDS = [("SCSI Response", lost_response, SCSI_RESPONSE),
         ("SCSI Response with sense data", lost_failure, SCSI_RESPONSE),
         ("NOP-In", lost_ping, NOP_IN), ("Text Response", lost_text, TEXT_RESPONSE),
         ("Task Management Response", lost_tmf, TMF_RESPONSE), ("Reject", lost_reject, REJECT)]


@case("3.5 Status SNACK: {}", KINDS, rfc="11.16")
def status_again(target, lose, opcode):
    conn = open_one(target)
    lost = lose(conn)
    equal(lost.opcode, opcode, "opcode of the lost answer")
    status_snack(conn, lost.statsn, 1)
    same(conn.expect(opcode), lost, "expdatasn")
    conn.ping()


@case("3.5 Status SNACK of a {} behind which others came", KINDS, rfc="11.16")
def status_behind(target, lose, opcode):
    conn = open_one(target)
    lost = lose(conn)
    conn.ping()
    conn.ready().good()
    equal(conn.expstatsn, lost.statsn, "ExpStatSN stays at what is missing")
    status_snack(conn, lost.statsn, 1)
    same(conn.expect(opcode), lost, "expdatasn")
    conn.ping()
    equal(conn.expstatsn, (lost.statsn + 4) & 0xffffffff, "ExpStatSN has caught up")


@case("3.5 Status SNACK of a {} at level 2", KINDS, rfc="11.16", needs="erl2")
def status_level_2(target, lose, opcode):
    conn = open_one(target, 2)
    lost = lose(conn)
    status_snack(conn, lost.statsn, 1)
    same(conn.expect(opcode), lost, "expdatasn")
    conn.ping()


@case("3.5 Status SNACK: a run over all kinds, {}", [
    ("by its length", lambda count: count), ("0: to the end", lambda count: 0)], rfc="11.16")
def status_run(target, run):
    conn = open_one(target)
    lost = [lose(conn) for _, lose, _ in KINDS]
    status_snack(conn, lost[0].statsn, run(len(lost)))
    for pdu in lost:
        same(conn.expect(pdu.opcode), pdu, "expdatasn")
    conn.ping()


@case("3.5 Status SNACK 0 and 0: all that are not acknowledged", rfc="11.16")
def status_all(target):
    conn = open_one(target)
    conn.ping()
    lost = [lose(conn) for _, lose, _ in KINDS[:4]]
    status_snack(conn, 0, 0)
    for pdu in lost:
        same(conn.expect(pdu.opcode), pdu, "expdatasn")
    conn.ping()


@case("3.5 Status SNACK in the middle of a run that is not acknowledged", rfc="11.16")
def status_middle(target):
    conn = open_one(target)
    lost = [lose(conn) for _, lose, _ in KINDS]
    status_snack(conn, lost[2].statsn, 2)
    for pdu in lost[2:4]:
        same(conn.expect(pdu.opcode), pdu, "expdatasn")
    conn.ping()
    status_snack(conn, lost[0].statsn, 2)
    for pdu in lost[:2]:
        same(conn.expect(pdu.opcode), pdu, "expdatasn")
    status_snack(conn, lost[4].statsn, 0)
    for pdu in lost[4:]:
        same(conn.expect(pdu.opcode), pdu, "expdatasn")


@case("3.5 Status SNACK twice: the same answer twice", rfc="11.16")
def status_twice(target):
    conn = open_one(target)
    lost = lost_response(conn)
    conn.hold()
    for _ in range(3):
        status_snack(conn, lost.statsn, 1)
        same(conn.expect(SCSI_RESPONSE), lost, "expdatasn")
    conn.release()
    conn.ping()


@case("3.5 Status SNACK: a write whose status is lost is not written again", rfc="11.16")
def status_of_write(target):
    conn = open_one(target)
    first, second = pattern(BLOCKS, 0x351), pattern(BLOCKS, 0x352)
    pdus = conn.write_pdus(LBA, first)
    conn.send(*pdus)
    lost = conn.lose()
    equal(lost.opcode, SCSI_RESPONSE, "opcode")
    check(target.innocent.write(LBA, second, target.lun).status == 0, "the other write")
    status_snack(conn, lost.statsn, 1)
    same(conn.expect(SCSI_RESPONSE), lost, "expdatasn")
    equal(conn.read(LBA, BLOCKS), second, "blocks")


@case("3.5 Status SNACK for a status that came with the last Data-In", rfc="11.16")
def status_in_data(target):
    conn = open_one(target, MaxRecvDataSegmentLength=1024)
    data = pattern(BLOCKS, 0x353)
    conn.write(LBA, data).good()
    read = start_read(conn, LBA, BLOCKS)
    conn.hold()
    pdus = collect(conn, read)
    equal(data_of(pdus), data, "data")
    status_snack(conn, pdus[-1].statsn, 1)
    again = conn.recv()
    equal((again.itt, again.statsn, again.status), (read.itt, pdus[-1].statsn, 0),
          "ITT, StatSN, status")
    check(again.opcode == SCSI_RESPONSE or again.flags & 1, f"no status: {again}")
    conn.release()
    conn.ping()


@case("Status SNACK for {}: Reject 0x04", [
    ("the next StatSN", lambda sn, last: (last + 1, 1)),
    ("one far ahead", lambda sn, last: (last + 0x10000, 1)),
    ("more than there are", lambda sn, last: (sn, last - sn + 2)),
    ("one that is acknowledged", lambda sn, last: (sn - 1, 1)),
    ("a run that begins with an acknowledged one", lambda sn, last: (sn - 1, 2)),
    ("a run over the end of numbers", lambda sn, last: (sn, 0xffffffff))], rfc="11.16")
def status_bounds(target, choose):
    conn = open_one(target)
    conn.ping()
    first, last = lost_response(conn), lost_response(conn)
    begin, run = choose(first.statsn, last.statsn)
    bad = status_snack(conn, begin & 0xffffffff, run & 0xffffffff)
    conn.expect_reject(PROTOCOL_ERROR, bad)
    status_snack(conn, first.statsn, 2)
    same(conn.expect(SCSI_RESPONSE), first, "expdatasn")
    same(conn.expect(SCSI_RESPONSE), last, "expdatasn")
    conn.ping()


@case("an acknowledged status is not kept", rfc="11.16")
def status_acknowledged(target):
    conn = open_one(target)
    conn.send(conn.command_pdu(bytes(6)))
    answer = conn.expect(SCSI_RESPONSE)
    conn.ping()
    conn.expect_reject(PROTOCOL_ERROR, status_snack(conn, answer.statsn, 1))


@case("three hundred answers lost in a row all come again", rfc="11.16")
def status_many(target):
    conn = open_one(target)
    lost = []
    for _ in range(300):
        conn.send(conn.ping_pdu(b"many"))
        lost.append(conn.lose())
    status_snack(conn, lost[0].statsn, len(lost))
    for pdu in lost:
        same(conn.expect(NOP_IN), pdu)
    conn.ping()


@case("a SNACK takes no CmdSN and no StatSN", rfc="11.16")
def no_numbers(target):
    conn = open_one(target)
    lost = lost_response(conn)
    before = conn.cmdsn, conn.next_statsn
    conn.hold()
    for _ in range(5):
        status_snack(conn, lost.statsn, 1)
        conn.expect(SCSI_RESPONSE)
    conn.release()
    equal((conn.ping().expcmdsn, conn.next_statsn), (before[0], before[1] + 1),
          "ExpCmdSN, next StatSN")


@case("a Logout while statuses are missing is answered", rfc="11.14")
def logout_with_missing(target):
    conn = open_one(target)
    lost_response(conn)
    sent = conn.send(conn.logout_pdu())
    equal(conn.expect(LOGOUT_RESPONSE).itt, sent.itt, "ITT of the Logout Response")
    conn.expect_closed()


# Where there is no SNACK

@case("SNACK of a reserved type {}: Reject", [(str(kind), kind) for kind in (4, 7, 15)],
      rfc="11.16.1")
def reserved_type(target, kind):
    conn = open_one(target)
    bad = snack(conn, kind)
    reject = conn.expect(REJECT)
    equal(reject.data[:48], bad.header(), "header in the Reject")
    check(reject.reason in (PROTOCOL_ERROR, NOT_SUPPORTED, INVALID_FIELD),
          f"reason {reject.reason:#x}")
    conn.ping()


@case("SNACK for an ITT that nobody uses: Reject 0x04 ({})",
      [("data", DATA), ("R-Data", R_DATA)], rfc="11.16")
def unknown_tag(target, kind):
    conn = open_one(target)
    bad = snack(conn, kind, itt=0xdead, tag=0x55 if kind == R_DATA else 0xffffffff)
    conn.expect_reject(PROTOCOL_ERROR, bad)
    conn.ping()


@case("SNACK for the data of a command without data: Reject 0x04", rfc="11.16")
def no_data(target):
    conn = open_one(target)
    conn.hold()
    command = conn.send(conn.command_pdu(bytes(6)))
    conn.expect(SCSI_RESPONSE)
    conn.expect_reject(PROTOCOL_ERROR, data_snack(conn, command, 0, 1))
    conn.release()
    conn.ping()


@case("SNACK for the task of another session: Reject 0x04, the other one is not touched",
      rfc="11.16")
def foreign_tag(target):
    other = open_one(target, **SOLICITED)
    write, r2t = other.solicited_write(LBA, BLOCKS)
    conn = open_one(target)
    conn.expect_reject(PROTOCOL_ERROR, data_snack(conn, write, 0, 1))
    data = pattern(BLOCKS, 0x36)
    other.answer_r2t(write, r2t, data)
    finish(other, write, data).good()


@case("a flood of SNACKs: each is served or rejected, the session lives", rfc="11.16")
def flood(target):
    conn = open_one(target)
    lost = lost_ping(conn)
    conn.hold()
    for _ in range(20):
        for _ in range(50):
            status_snack(conn, lost.statsn, 1)
        served = 0
        for _ in range(50):
            answer = conn.recv()
            check(answer.opcode in (NOP_IN, REJECT), f"neither the answer nor a Reject: {answer}")
            if answer.opcode == NOP_IN:
                same(answer, lost)
                served += 1
        check(served, "not one SNACK was served")
    conn.release()
    conn.ping()
    target.check_innocent("during the flood")


@case("N8 SNACK at level 0, {}: Reject 0x04 or the end of the connection", [
    ("data", DATA), ("status", STATUS), ("DataACK", DATA_ACK), ("R-Data", R_DATA)],
      rfc="11.16")
def level_0(target, kind):
    conn = open_one(target, 0)
    bad = snack(conn, kind)
    try:
        conn.expect_reject(PROTOCOL_ERROR, bad)
        conn.ping()
    except Closed:
        pass
    target.check_innocent("after a SNACK at level 0")


@case("N8 SNACK at level 0, {}: Reject 0x04, the connection stays", [
    ("data", DATA), ("status", STATUS), ("DataACK", DATA_ACK), ("R-Data", R_DATA)],
      rfc="11.16", needs="riser")
def level_0_stays(target, kind):
    conn = open_one(target, 0)
    conn.expect_reject(PROTOCOL_ERROR, snack(conn, kind))
    conn.ping()
