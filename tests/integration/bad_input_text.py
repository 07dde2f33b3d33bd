#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What riserd answers to Text Requests that break the rules in full feature phase:
rows L17 to L19, and L9, L11, L13 and L16 where they return there."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from iscsi import (INITIATOR_ERROR, INVALID_FIELD, NO_TAG, PROTOCOL_ERROR, TEXT_RESPONSE,
                   decode_text, encode_text)
from tap import case, check, equal, main
from target import Target

FINAL, CONTINUE = 0x80, 0x40
PORTALS = [f"127.0.0.{i}:0" for i in range(1, 41)]


def open_exchange(conn, itt=0x700):
    """A text exchange that waits for more from us; returns its TTT."""
    conn.send(conn.text_pdu(b"SendTargets=", flags=CONTINUE, itt=itt))
    reply = conn.expect(TEXT_RESPONSE)
    equal((reply.itt, reply.flags & 0xc0, reply.data), (itt, 0, b""), "answer to C=1")
    check(reply.ttt != NO_TAG, "an exchange that goes on needs a TTT")
    return reply.ttt


@case("L17 {} in full feature phase: Reject, the session stays", [
    (key, key, value) for key, value in (
        ("MaxConnections", 4), ("HeaderDigest", "CRC32C"), ("InitialR2T", "No"),
        ("MaxBurstLength", 65536), ("FirstBurstLength", 512), ("MaxOutstandingR2T", 4),
        ("ErrorRecoveryLevel", 0), ("AuthMethod", "None"), ("SessionType", "Normal"),
        ("InitiatorName", "iqn.2026-11.test:initiator"), ("TargetName", "iqn.2026-11.test:x"))])
def login_only(target, key, value):
    conn = target.login()
    request = conn.send(conn.text_pdu([(key, value)], immediate=True))
    conn.expect_reject(PROTOCOL_ERROR, request)
    conn.resync()
    conn.ready().good()


MALFORMED = [
    ("L17 a declaration twice", encode_text([("MaxRecvDataSegmentLength", 512)] * 2)),
    ("L9 a key of 64 bytes", b"K" * 64 + b"=x\0"), ("L9 a key without =", b"SendTargets\0"),
    ("L9 an empty key", b"=All\0"), ("L9 only =", b"=\0"),
    ("L9 a control character in a key", b"Send\x01Targets=All\0"),
    ("L10 a value of 256 bytes", b"SendTargets=" + b"x" * 256 + b"\0"),
    ("L11 text without its last NUL", b"SendTargets=All"), ("L11 only NULs", bytes(8)),
    ("L11 a leading NUL", b"\0SendTargets=All\0"),
    ("L13 SendTargets twice", b"SendTargets=All\0SendTargets=All\0"),
    ("L16 MaxRecvDataSegmentLength=511", b"MaxRecvDataSegmentLength=511\0")]


@case("{} in a Text Request: Reject, the session stays", MALFORMED)
def malformed(target, text):
    conn = target.login()
    request = conn.send(conn.text_pdu(text, immediate=True))
    conn.expect_reject(PROTOCOL_ERROR, request)
    conn.resync()
    data = conn.text([("SendTargets", "")])[0]
    equal(data[0], ("TargetName", target.iqn), "the next exchange")


@case("a key nobody knows in a Text Request is not understood")
def unknown_key(target):
    conn = target.login()
    equal(conn.text([("X-com.foo", "bar")])[0], [("X-com.foo", "NotUnderstood")], "answer")


@case("a Text Request without text has an answer without text")
def empty_request(target):
    conn = target.login()
    equal(conn.text(b""), ([], 1), "answer")


@case("L18 SendTargets={} in a normal session tells this target and no other", [
    ("All", "All"), ("its own name", None)])
def normal_session(target, value):
    conn = target.login()
    pairs, _ = conn.text([("SendTargets", value or target.iqn)])
    equal([pair for pair in pairs if pair[0] == "TargetName"], [("TargetName", target.iqn)],
          "targets")


@case("L18 SendTargets of a target nobody has, in a {} session: an empty answer", [
    (kind.lower(), kind) for kind in ("Normal", "Discovery")])
def unknown_target(target, kind):
    conn = target.login(session=kind)
    equal(conn.text([("SendTargets", "iqn.2026-11.test:nobody")]), ([], 1), "answer")


@case("L18 SendTargets during login is refused")
def during_login(target):
    conn = target.connect()
    conn.send(conn.login_pdu(conn.identity() + [("SendTargets", "All")]))
    conn.expect_login_refused(INITIATOR_ERROR)


@case("L19 C=1 without text: an empty answer to go on with, then the whole one")
def empty_continue(target):
    conn = target.login()
    conn.send(conn.text_pdu(b"", flags=CONTINUE, itt=0x700))
    reply = conn.expect(TEXT_RESPONSE)
    equal((reply.flags & 0xc0, reply.data), (0, b""), "answer to C=1")
    check(reply.ttt != NO_TAG, "no TTT")
    conn.send(conn.text_pdu([("SendTargets", "")], ttt=reply.ttt, itt=0x700))
    reply = conn.expect(TEXT_RESPONSE)
    equal((reply.final, reply.ttt), (True, NO_TAG), "F and TTT of the end")
    equal(decode_text(reply.data)[0], ("TargetName", target.iqn), "answer")


@case("L19 C=1 without text again and again ends in a Reject, the session stays")
def empty_continue_for_ever(target):
    conn = target.login()
    ttt = NO_TAG
    for _ in range(100):
        request = conn.send(conn.text_pdu(b"", flags=CONTINUE, ttt=ttt, itt=0x700, immediate=True))
        pdu = conn.recv()
        if pdu.opcode != TEXT_RESPONSE:
            equal((pdu.reason, pdu.data[:48]), (PROTOCOL_ERROR, request.header()), "Reject")
            conn.resync()
            return
        ttt = pdu.ttt
    check(False, "100 empty parts were taken")


@case("L19 text without end over C=1 ends in a Reject, the session stays")
def endless_text(target):
    conn = target.login()
    ttt = NO_TAG
    for _ in range(40):
        request = conn.send(conn.text_pdu(b"v" * 8192, flags=CONTINUE, ttt=ttt, itt=0x700,
                                          immediate=True))
        pdu = conn.recv()
        if pdu.opcode != TEXT_RESPONSE:
            equal((pdu.reason, pdu.data[:48]), (PROTOCOL_ERROR, request.header()), "Reject")
            conn.resync()
            return
        ttt = pdu.ttt
    check(False, "320 KiB of text were taken")


@case("L19 F=1 and C=1 together: Reject, the session stays")
def final_and_continue(target):
    conn = target.login()
    for text in (b"", b"SendTargets=All\0"):
        request = conn.send(conn.text_pdu(text, flags=FINAL | CONTINUE, immediate=True))
        conn.expect_reject(PROTOCOL_ERROR, request)
        conn.resync()


@case("L19 a TTT nobody gave: Reject, the session stays")
def unknown_ttt(target):
    conn = target.login()
    request = conn.send(conn.text_pdu(b"SendTargets=All\0", ttt=0x1234567, immediate=True))
    conn.expect_reject(INVALID_FIELD, request)
    conn.resync()


@case("L19 a wrong TTT while an exchange is open: Reject, the exchange is whole")
def wrong_ttt(target):
    conn = target.login()
    ttt = open_exchange(conn)
    request = conn.send(conn.text_pdu(b"\0", ttt=ttt ^ 0x5555, itt=0x700, immediate=True))
    conn.expect_reject(INVALID_FIELD, request)
    conn.resync()
    conn.send(conn.text_pdu(b"\0", ttt=ttt, itt=0x700))
    reply = conn.expect(TEXT_RESPONSE)
    equal(decode_text(reply.data)[0], ("TargetName", target.iqn), "answer")


@case("L19 a second exchange while one is open: Reject, the first goes on")
def second_exchange(target):
    conn = target.login()
    ttt = open_exchange(conn, 0x700)
    request = conn.send(conn.text_pdu(b"SendTargets=All\0", itt=0x701, immediate=True))
    conn.expect_reject(PROTOCOL_ERROR, request)
    conn.resync()
    conn.send(conn.text_pdu(b"\0", ttt=ttt, itt=0x700))
    reply = conn.expect(TEXT_RESPONSE)
    equal((reply.itt, decode_text(reply.data)[0]), (0x700, ("TargetName", target.iqn)), "answer")


@case("L19 a TTT used again after its exchange was started anew: Reject")
def ttt_after_reset(target):
    conn = target.login()
    ttt = open_exchange(conn, 0x700)
    conn.send(conn.text_pdu([("X-com.foo", "bar")], itt=0x700))
    reply = conn.expect(TEXT_RESPONSE)
    equal((reply.final, decode_text(reply.data)), (True, [("X-com.foo", "NotUnderstood")]),
          "answer after the new start")
    request = conn.send(conn.text_pdu(b"\0", ttt=ttt, itt=0x700, immediate=True))
    conn.expect_reject(INVALID_FIELD, request)
    conn.resync()


@case("L19 an exchange left open costs the next session nothing")
def abandoned(target):
    conn = target.login()
    open_exchange(conn)
    conn.close()
    again = target.login(isid=conn.isid)
    equal(again.text([("SendTargets", "")])[0][0], ("TargetName", target.iqn), "answer")


@case("L18 a long answer read part by part with a wrong TTT in between")
def long_answer(_):
    with Target(portals=PORTALS) as own:
        conn = own.login(session="Discovery", MaxRecvDataSegmentLength=512)
        conn.send(conn.text_pdu([("SendTargets", "All")], itt=0x700))
        first = conn.expect(TEXT_RESPONSE)
        equal(first.flags & 0xc0, CONTINUE, "C and F of the first part")
        bad = conn.send(conn.text_pdu(ttt=first.ttt ^ 1, itt=0x700, immediate=True))
        conn.expect_reject(INVALID_FIELD, bad)
        text, ttt = first.data, first.ttt
        while ttt != NO_TAG:
            conn.cmdsn = conn.expcmdsn
            conn.send(conn.text_pdu(ttt=ttt, itt=0x700))
            part = conn.expect(TEXT_RESPONSE)
            text, ttt = text + part.data, part.ttt
        equal(len(decode_text(text)), 1 + len(PORTALS), "pairs")


if __name__ == "__main__":
    main(Target())
