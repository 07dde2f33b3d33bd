#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Full feature phase: the command window, tags, immediate delivery, NOPs in both
directions, text, logout, and a byte stream cut in any way."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from conn import Closed
from initiator import BLOCK, inquiry, pattern, write10
from iscsi import (INVALID_FIELD, INVALID_OPCODE, LOGOUT_RESPONSE, NO_TAG, NOP_IN, NOP_OUT,
                   PROTOCOL_ERROR, SCSI_RESPONSE, TASK_IN_PROGRESS, Pdu, extended_cdb)
from tap import case, check, equal, main
from target import Target

OUTSIDE = [("one above MaxCmdSN", lambda c: c.maxcmdsn + 1),
           ("far above", lambda c: c.cmdsn + 2**30),
           ("one below ExpCmdSN", lambda c: c.cmdsn - 1),
           ("far below", lambda c: c.cmdsn - 2**30)]


@case("N1 a CmdSN {} is ignored", OUTSIDE)
def outside_the_window(target, number):
    conn = target.login()
    conn.ping()
    conn.send(Pdu(NOP_OUT, flags=0x80, itt=0x4711, ttt=NO_TAG, cmdsn=number(conn),
                  expstatsn=conn.expstatsn, data=b"never echoed"))
    conn.send(Pdu(1, flags=0x81, itt=0x4712, cmdsn=number(conn), expstatsn=conn.expstatsn))
    conn.resync()
    conn.ready().good()


@case("N1 a write with data and a CmdSN outside the window is not done")
def outside_write(target):
    conn = target.login()
    before = conn.read(40, 8)
    conn.send(conn.command_pdu(write10(40, 8), write=8 * BLOCK, data=pattern(8, 0xbad),
                               cmdsn=conn.maxcmdsn + 1))
    conn.resync()
    equal(conn.read(40, 8), before, "blocks")


@case("N2 a hole in CmdSN holds what comes after it, until it is filled")
def hole(target):
    conn = target.login()
    first, second, third = (conn.command_pdu(bytes(6)) for _ in range(3))
    conn.send(second, third)
    conn.ping()
    target.check_innocent("while a command is held")
    conn.send(first)
    order = [conn.expect(SCSI_RESPONSE).itt for _ in range(3)]
    equal(sorted(order), [first.itt, second.itt, third.itt], "answered commands")
    conn.resync()


@case("N2 a connection with a hole ends without a trace")
def hole_never_filled(target):
    conn = target.login()
    conn.command_pdu(bytes(6))
    for _ in range(20):
        conn.send(conn.command_pdu(bytes(6)))
    conn.ping()
    conn.close()


@case("N3 CmdSN wraps at 2^32")
def wrap(target):
    conn = target.connect()
    conn.cmdsn = 0xfffffffb
    conn.login()
    conn.clear_unit_attention()
    for _ in range(12):
        conn.ready().good()
    check(conn.cmdsn < 100, "CmdSN did not wrap")


@case("N5 an ITT in use is rejected, the first task goes on")
def tag_in_use(target):
    conn = target.login(InitialR2T="Yes")
    write, r2t = conn.solicited_write(200, 8)
    twin = conn.send(conn.command_pdu(bytes(6), itt=write.itt, immediate=True))
    conn.expect_reject(TASK_IN_PROGRESS, twin)
    data = pattern(8, 0x55)
    conn.answer_r2t(write, r2t, data)
    conn.complete(write, data).good()
    conn.resync()
    equal(conn.read(200, 8), data, "blocks")


@case("N6 ITT 0xffffffff on a command is rejected")
def reserved_tag(target):
    conn = target.login()
    command = conn.send(conn.command_pdu(bytes(6), itt=NO_TAG, immediate=True))
    conn.expect_reject(INVALID_FIELD, command)
    conn.resync()


@case("N6 a NOP-Out with {} has no answer", [
    ("ITT and TTT 0xffffffff", NO_TAG), ("a TTT nobody gave", 0x12345678)])
def silent_nop(target, ttt):
    conn = target.login()
    conn.send(conn.ping_pdu(b"quiet", itt=NO_TAG, ttt=ttt))
    conn.resync()


@case("N4 an immediate command is served while the window is full")
def immediate_delivery(target):
    conn = target.login(InitialR2T="Yes", ImmediateData="No")
    conn.ping()
    writes = []
    while conn.cmdsn != (conn.maxcmdsn + 1) & 0xffffffff and len(writes) < 256:
        writes.append(conn.solicited_write(300, 1))
    check(writes, "no window")
    check(conn.scsi(bytes(6), immediate=True).status == 0, "immediate TEST UNIT READY")
    for write, r2t in writes:
        conn.answer_r2t(write, r2t, pattern(1, 0x44))
    done = [conn.expect(SCSI_RESPONSE) for _ in writes]
    equal(sorted(p.itt for p in done), sorted(w.itt for w, _ in writes), "answered writes")
    equal({p.status for p in done}, {0}, "their status")
    conn.resync()


@case("NOP-Out is echoed: {} bytes", [(n, n) for n in (0, 1, 3, 4, 5, 511, 8192, 65537)])
def echo(target, length):
    conn = target.login()
    data = bytes(i & 0xff for i in range(length))
    conn.ping(data)
    conn.ping(data, immediate=False)
    conn.resync()


@case("NOP-Out longer than the initiator takes back is echoed cut to its limit")
def echo_cut(target):
    conn = target.login(MaxRecvDataSegmentLength=512)
    sent = conn.send(conn.ping_pdu(bytes(range(256)) * 4))
    answer = conn.expect(NOP_IN)
    equal((answer.itt, bytes(answer.data)), (sent.itt, bytes(range(256)) * 2), "echo")


@case("keep-alive: answered NOP-Ins keep an idle connection, unanswered ones end it")
def keep_alive(_):
    with Target("--nop-interval", "1", innocent=None) as own:
        good, bad = own.login(), own.login()
        bad.answer_nops = False
        for _ in range(3):
            nop = good.recv_any(5)
            equal((nop.opcode, nop.itt), (NOP_IN, NO_TAG), "opcode and ITT of the keep-alive")
            check(nop.ttt != NO_TAG, "a keep-alive without TTT")
            good.send(Pdu(NOP_OUT | 0x40, flags=0x80, lun=nop.lun, itt=NO_TAG, ttt=nop.ttt,
                          cmdsn=good.cmdsn, expstatsn=good.expstatsn))
        seen = 0
        try:
            while seen < 10:
                equal(bad.recv_any(5).opcode, NOP_IN, "opcode")
                seen += 1
        except Closed:
            pass
        check(0 < seen < 10, f"{seen} keep-alives before the connection was closed")
        good.ready().good()


@case("Logout, close the session ({})", [("immediate", True), ("in order", False)])
def logout_session(target, immediate):
    conn = target.login()
    sent = conn.send(conn.logout_pdu(immediate=immediate))
    reply = conn.expect(LOGOUT_RESPONSE)
    equal((reply.itt, reply.response), (sent.itt, 0), "ITT and response")
    conn.expect_closed()


@case("Logout, close the connection: it is the session's only one")
def logout_connection(target):
    conn = target.login()
    equal(conn.logout(1), 0, "response")
    conn.expect_closed()


@case("N7 Logout of an unknown CID: response 1, the session stays")
def logout_unknown(target):
    conn = target.login()
    equal(conn.logout(1, cid=77), 1, "response")
    conn.resync()


@case("N7 Logout for recovery: response 2, the session stays")
def logout_recovery(target):
    conn = target.login()
    equal(conn.logout(2), 2, "response")
    conn.resync()


@case("N7 Logout with reason {} is rejected", [(n, n) for n in (3, 0x7f)])
def logout_reason(target, reason):
    conn = target.login()
    sent = conn.send(conn.logout_pdu(reason))
    conn.expect_reject(PROTOCOL_ERROR, sent)
    conn.resync()


@case("N7 a command behind a Logout is dropped")
def logout_then_command(target):
    conn = target.login()
    conn.send(conn.logout_pdu(), conn.command_pdu(bytes(6)))
    conn.expect(LOGOUT_RESPONSE)
    conn.expect_closed()


@case("a smaller MaxRecvDataSegmentLength declared in full feature phase is kept to")
def redeclare(target):
    conn = target.login()
    conn.text([("MaxRecvDataSegmentLength", 512)])
    conn.max_recv = 512
    equal(len(conn.read(0, 64)), 64 * BLOCK, "bytes read")


@case("1000 PDUs in one segment are answered like 1000 in a thousand")
def thousand(target):
    answers = []
    for together in (True, False):
        conn = target.login()
        pings = [conn.ping_pdu(b"%04d" % i) for i in range(1000)]
        if together:
            conn.send(*pings)
        got = []
        for ping in pings:
            if not together:
                conn.send(ping)
            answer = conn.expect(NOP_IN)
            got.append((answer.itt, bytes(answer.data), answer.flags))
        answers.append(got)
        conn.resync()
    check(answers[0] == answers[1], "the answers differ")


# The same bytes, cut differently


def script(conn):
    """Groups of PDUs; the next group waits for the answers of the one before."""
    data = pattern(16, 0xf2)
    write = conn.command_pdu(write10(500, 16), write=len(data), data=data[:2050], final=False)
    outs = conn.burst(write, data, 2050, len(data) - 2050, NO_TAG, chunk=1026)
    strange = conn.command_pdu(b"\x7f" + bytes(6) + b"\x18\x7f\xff" + bytes(6),
                               ahs=extended_cdb(bytes(32)))
    ping = conn.ping_pdu(b"12345", pad=b"\xff")
    yield [ping, write, *outs], 2
    yield [conn.command_pdu(b"\x28\0\0\0\1\xf4\0\0\x10\0", read=len(data)),
           conn.command_pdu(inquiry(96), read=96), strange, conn.text_pdu([("SendTargets", "")])], 4
    yield [conn.logout_pdu()], 1


def play(target, size, digests):
    """Plays the script in pieces of this size; returns what came back, without
    what may differ between two sessions."""
    conn = target.connect()
    wire = conn.login_pdu(conn.identity() + conn.operational(
        HeaderDigest=digests, DataDigest=digests, MaxRecvDataSegmentLength=4096)).wire()
    send_cut(conn, wire, size)
    offer = [("MaxRecvDataSegmentLength", 4096)]
    conn.enter_full_feature(offer, conn.login_reply())
    conn.clear_unit_attention()
    seen = []
    for pdus, answers in script(conn):
        send_cut(conn, b"".join(conn.wire(pdu) for pdu in pdus), size)
        while answers:
            pdu = conn.recv()
            answers -= pdu.opcode != 0x25 or pdu.flags & 1
            seen.append((pdu.itt, pdu.opcode, pdu.flags, pdu.status, pdu.offset, pdu.dsl,
                         pdu.residual, bytes(pdu.data)))
    conn.expect_closed()
    sense = [entry for entry in seen if entry[1] == SCSI_RESPONSE and entry[3] == 2]
    equal(len(sense), 1, "CHECK CONDITIONs of the script")
    key = sense[0][7][2:]
    equal((key[2] & 15, key[12], key[13]), INVALID_OPCODE, "sense of the 32-byte CDB")
    return sorted(seen, key=lambda entry: (entry[0], entry[1] == SCSI_RESPONSE, entry[4]))


def send_cut(conn, data, size):
    for at in range(0, len(data), size):
        conn.send_raw(data[at:at + size])


WHOLE = {}


@case("F2 the stream in pieces of {}", [
    (f"{size} bytes, digests {digests}", size, digests)
    for digests in ("None", "CRC32C") for size in (1, 7, 47, 48, 49, 52, 1000, 4099)])
def pieces(target, size, digests):
    whole = (digests, target.address)
    if whole not in WHOLE:
        WHOLE[whole] = play(target, 1 << 30, digests)
    got = play(target, size, digests)
    for one, other in zip(got, WHOLE[whole]):
        equal(one, other, "an answer")
    equal(len(got), len(WHOLE[whole]), "answers")


if __name__ == "__main__":
    main(Target())
