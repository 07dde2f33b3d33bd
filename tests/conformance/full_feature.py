# SPDX-License-Identifier: BSD-2-Clause
"""NOPs in both directions, text and Logout in full feature phase, and a byte stream cut in
any way: rows N6, N7 and F2, and the title 15 of UNH-IOL's full feature phase."""

from conn import Closed
from demands import dropped, own, rejected
from initiator import BLOCK, inquiry, pattern, write10
from iscsi import (ASYNC, INVALID_OPCODE, LOGOUT_RESPONSE, NO_TAG, NOP_IN, NOP_OUT, PROTOCOL_ERROR,
                   SCSI_RESPONSE, Pdu, extended_cdb)
from suite import case
from tap import check, equal

GROUP = "full-feature"


# NOP-Out and NOP-In

@case("15.1 NOP-Out, ping: {} bytes are echoed", [
    (n, n) for n in (0, 1, 2, 3, 4, 5, 511, 4096, 8192)], rfc="11.19")
def echo(target, length):
    conn = target.login()
    data = bytes(i & 0xff for i in range(length))
    conn.ping(data)
    conn.ping(data, immediate=False)
    conn.resync()


@case("15.1 the NOP-In that answers: TTT 0xffffffff, F, the ITT", rfc="11.19.1")
def echo_fields(target):
    conn = target.login()
    sent = conn.send(conn.ping_pdu(b"fields"))
    answer = conn.expect(NOP_IN)
    equal((answer.itt, answer.ttt, answer.final), (sent.itt, NO_TAG, True), "ITT, TTT, F")
    equal(len(answer.ahs), 0, "bytes of AHS")


@case("15.1 a ping as long as the target takes", rfc="11.18.3")
def echo_longest(target):
    conn = target.login()
    conn.ping(pattern(min(conn.max_send, 262144) // BLOCK, 0x15))


@case("15.1 a ping longer than the initiator takes back is echoed cut to its limit", rfc="11.19")
def echo_cut(target):
    conn = target.login(MaxRecvDataSegmentLength=512)
    sent = conn.send(conn.ping_pdu(bytes(range(256)) * 4))
    answer = conn.expect(NOP_IN)
    equal((answer.itt, bytes(answer.data)), (sent.itt, bytes(range(256)) * 2), "echo")


@case("15.2 an ordered ping advances ExpCmdSN, an immediate one does not", rfc="11.18")
def ping_numbers(target):
    conn = target.login()
    before = conn.ping().expcmdsn
    equal(conn.ping(immediate=False).expcmdsn, before + 1, "ExpCmdSN behind the ordered one")
    equal(conn.ping(immediate=True).expcmdsn, before + 1, "ExpCmdSN behind the immediate one")


@case("15.2 pings are answered while a write waits for its data", rfc="11.18")
def ping_among_writes(target):
    conn = target.login(InitialR2T="Yes", ImmediateData="No")
    write = conn.send(conn.command_pdu(write10(24, 8), write=8 * BLOCK))
    data = pattern(8, 0x15)
    r2t = conn.expect_r2t(write)
    for number in range(5):
        conn.ping(b"%d" % number)
    conn.answer_r2t(write, r2t, data)
    conn.complete(write).good()


@case("15.3 N6 a NOP-Out with {} has no answer", [
    ("ITT and TTT 0xffffffff", NO_TAG), ("ITT 0xffffffff and a TTT nobody gave", 0x12345678)],
      rfc="11.18.1")
def silent_nop(target, ttt):
    conn = target.login()
    conn.send(conn.ping_pdu(b"quiet", itt=NO_TAG, ttt=ttt))
    conn.resync()


@case("15.1 many pings at once are answered in order", rfc="11.18")
def many_pings(target):
    conn = target.login()
    pings = [conn.ping_pdu(b"%03d" % n, immediate=False) for n in range(16)]
    conn.send(*pings)
    equal([bytes(conn.expect(NOP_IN).data) for _ in pings], [p.data for p in pings], "echoes")


@case("keep-alive: answered NOP-Ins keep an idle connection, unanswered ones end it",
      rfc="11.19.1", needs="own")
def keep_alive(_):
    with own("--nop-interval", "1", innocent=None) as mine:
        good, bad = mine.login(), mine.login()
        bad.answer_nops = False
        for _ in range(3):
            nop = good.recv_any(5)
            equal((nop.opcode, nop.itt), (NOP_IN, NO_TAG), "opcode and ITT of the keep-alive")
            check(nop.ttt != NO_TAG, "a keep-alive without TTT")
            good.send(Pdu(NOP_OUT | 0x40, flags=0x80, lun=nop.lun, itt=NO_TAG, ttt=nop.ttt,
                          cmdsn=good.cmdsn, expstatsn=good.expstatsn))
        equal(bad.recv_any(5).opcode, NOP_IN, "opcode of the keep-alive")
        seen = 1
        try:
            while (pdu := bad.recv_any(5)).opcode == NOP_IN:
                seen += 1
            equal(pdu.opcode, ASYNC, "what may come before the end")
            dropped(bad)
        except Closed:
            pass
        check(seen < 10, f"{seen} keep-alives before the connection was closed")
        good.ready().good()


# Logout

@case("Logout, close the session ({})", [("immediate", True), ("in order", False)],
      rfc="11.14.1")
def logout_session(target, immediate):
    conn = target.login()
    sent = conn.send(conn.logout_pdu(immediate=immediate))
    reply = conn.expect(LOGOUT_RESPONSE)
    equal((reply.itt, reply.response), (sent.itt, 0), "ITT and response")
    conn.expect_closed()


@case("Logout, close the connection: it is the session's only one", rfc="11.14.1")
def logout_connection(target):
    conn = target.login()
    equal(conn.logout(1), 0, "response")
    conn.expect_closed()


@case("Logout with a write that waits for its data: answered, the write is not done", rfc="11.14")
def logout_busy(target):
    conn = target.login(InitialR2T="Yes", ImmediateData="No")
    before = target.innocent.read(24, 8, target.lun)
    conn.expect_r2t(conn.send(conn.command_pdu(write10(24, 8), write=8 * BLOCK)))
    equal(conn.logout(), 0, "response")
    conn.expect_closed()
    equal(target.innocent.read(24, 8, target.lun), before, "blocks")


@case("Logout: the same name and ISID may log in again at once", rfc="11.14")
def logout_and_back(target):
    conn = target.login()
    equal(conn.logout(), 0, "response")
    conn.expect_closed()
    again = target.login(isid=conn.isid)
    again.ready().good()


@case("N7 Logout of an unknown CID: response 1, the session stays", rfc="11.15.1")
def logout_unknown(target):
    conn = target.login()
    equal(conn.logout(1, cid=77), 1, "response")
    conn.resync()


@case("N7 Logout for recovery at ErrorRecoveryLevel 0: response 2, the session stays",
      rfc="11.15.1")
def logout_recovery(target):
    conn = target.login(ErrorRecoveryLevel=0)
    equal(conn.logout(2), 2, "response")
    conn.resync()


@case("N7 Logout with reason {} is rejected", [(n, n) for n in (3, 0x7f)], rfc="11.14.1")
def logout_reason(target, reason):
    conn = target.login()
    sent = conn.send(conn.logout_pdu(reason))
    rejected(target, conn, sent, PROTOCOL_ERROR)
    conn.resync()


@case("N7 a command behind a Logout is dropped", rfc="11.14")
def logout_then_command(target):
    conn = target.login()
    conn.send(conn.logout_pdu(), conn.command_pdu(bytes(6)))
    conn.expect(LOGOUT_RESPONSE)
    conn.expect_closed()


# Text

@case("text: a smaller MaxRecvDataSegmentLength declared in full feature phase is kept to",
      rfc="13.12")
def redeclare(target):
    conn = target.login()
    conn.text([("MaxRecvDataSegmentLength", 512)])
    conn.max_recv = 512
    equal(len(conn.read(0, 64)), 64 * BLOCK, "bytes read")


@case("text and commands side by side", rfc="11.10")
def text_and_commands(target):
    conn = target.login()
    request = conn.text_pdu([("SendTargets", "")])
    command = conn.command_pdu(bytes(6))
    conn.send(request, command)
    equal({conn.recv().itt for _ in range(2)}, {request.itt, command.itt}, "answers")
    conn.resync()


@case("text: SendTargets empty names the target of the session", rfc="13.3")
def own_target(target):
    conn = target.login()
    names = [value for key, value in conn.text([("SendTargets", "")])[0] if key == "TargetName"]
    equal([name.lower() for name in names], [target.iqn.lower()], "TargetName")


# The same bytes, cut differently

@case("F2 1000 PDUs in one segment are answered like 1000 in a thousand", rfc="4.2.9",
      needs="framing")
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
    for digests in ("None", "CRC32C") for size in (1, 7, 47, 48, 49, 52, 1000, 4099)],
      rfc="4.2.9", needs="framing, digests, open")
def pieces(target, size, digests):
    whole = (digests, target.address)
    if whole not in WHOLE:
        WHOLE[whole] = play(target, 1 << 30, digests)
    got = play(target, size, digests)
    for one, other in zip(got, WHOLE[whole]):
        equal(one, other, "an answer")
    equal(len(got), len(WHOLE[whole]), "answers")
