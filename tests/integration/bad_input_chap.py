#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What riserd answers to an initiator that cannot or will not prove itself: rows C1
to C9. The status says only that authentication failed."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import Chap, LoginRefused
from iscsi import (AUTH_FAILED, INITIATOR_ERROR, MISSING_PARAMETER, chap_response, encode_base64,
                   encode_hex)
from tap import Failure, case, check, equal, main
from target import Target, refuse_to_start, secret_file

USER, SECRET = "alice", "alice-secret-0123456789"
TARGET_USER, TARGET_SECRET = "riser", "riser-secret-9876543210"
MD5, SHA1, SHA256, SHA3_256 = 5, 6, 7, 8
ATTEMPTS, LOG_LINES = 200, 20


def one_way(*algorithms, **how):
    return Chap(USER, SECRET, algorithms or (SHA256,), **how)


def mutual(*algorithms, **how):
    return Chap(USER, SECRET, algorithms or (SHA256,), TARGET_USER, TARGET_SECRET, **how)


def offer_chap(conn):
    conn.login_step(conn.identity() + [("AuthMethod", "CHAP")], csg=0, transit=False)


def challenged(target, chap):
    """A connection that has its challenge and owes the answer."""
    conn = target.connect()
    offer_chap(conn)
    chap.challenged(conn.login_step(chap.offer(), csg=0, transit=False).pairs)
    return conn


def answer(conn, pairs, status=AUTH_FAILED, **how):
    conn.send(conn.login_pdu(pairs, csg=0, nsg=1, **how))
    conn.expect_login_refused(status)


def proper(chap):
    return chap_response(chap.chosen, chap.identifier, SECRET, chap.challenge)


# C1


@case("C1 the initiator offers {}", [
    ("only AuthMethod=None", {"csg": 0, "nsg": 1}, [("AuthMethod", "None")]),
    ("only methods we do not know", {"csg": 0, "nsg": 1}, [("AuthMethod", "KRB5,SRP")]),
    ("no method and goes to stage 1", {"csg": 0, "nsg": 1}, []),
    ("no method and goes to full feature phase", {"csg": 0, "nsg": 3}, []),
    ("nothing: it starts in stage 1", {"csg": 1, "nsg": 3}, []),
    ("CHAP, but starts in stage 1", {"csg": 1, "nsg": 3}, [("AuthMethod", "CHAP")])])
def no_chap(target, how, pairs):
    conn = target.connect()
    conn.send(conn.login_pdu(conn.identity() + pairs, **how))
    conn.expect_login_refused(AUTH_FAILED)


@case("C1 stage 1 {}", [("behind AuthMethod=CHAP", False), ("behind the challenge", True)])
def jump(target, behind_challenge):
    conn = challenged(target, one_way()) if behind_challenge else target.connect()
    if not behind_challenge:
        offer_chap(conn)
    conn.send(conn.login_pdu(conn.operational(), csg=1, nsg=3))
    conn.expect_login_refused(AUTH_FAILED)


@case("C1 T=1 with AuthMethod and with CHAP_A (iPXE sets it always) leads nowhere without CHAP_R")
def transit_with_algorithm(target):
    conn = target.connect()
    text = conn.identity() + [("AuthMethod", "CHAP")]
    for pairs in (text, [("CHAP_A", SHA256)]):
        reply = conn.login_step(pairs, csg=0, nsg=1)
        equal(reply.flags & 0x8c, 0, "T bit and stage")
    check("CHAP_C" in dict(reply.pairs), "no challenge")
    answer(conn, b"")


@case("C1 T=1 without text instead of an algorithm")
def transit_without_algorithm(target):
    conn = target.connect()
    offer_chap(conn)
    answer(conn, b"")


# C2


@case("C2 CHAP_A={}", [(repr(v), v) for v in ("", "4", "9", "0", "5,5,5", "7,7", "x", "-5", "5;7",
                                            "7,", "0x7,")])
def bad_algorithm(target, value):
    conn = target.connect()
    offer_chap(conn)
    conn.send(conn.login_pdu([("CHAP_A", value)], csg=0, transit=False))
    conn.expect_login_refused(AUTH_FAILED)


@case("C2 a response without CHAP_A before it")
def no_algorithm(target):
    conn = target.connect()
    offer_chap(conn)
    answer(conn, [("CHAP_N", USER), ("CHAP_R", encode_hex(bytes(32)))])


# C3


@case("C3, C8 the wrong response of the right length, {}", [
    ("all zero", lambda right: bytes(len(right))),
    ("wrong in its first bit", lambda right: bytes([right[0] ^ 0x80]) + right[1:]),
    ("wrong in its last bit", lambda right: right[:-1] + bytes([right[-1] ^ 1]))])
def wrong_response(target, change):
    for algorithm in (MD5, SHA1, SHA256, SHA3_256):
        chap = one_way(algorithm)
        conn = challenged(target, chap)
        answer(conn, [("CHAP_N", USER), ("CHAP_R", encode_hex(change(proper(chap))))])


@case("C3 CHAP_R of {} bytes", [(n, n) for n in (0, 1, 15, 17, 31, 33, 63, 65, 95, 255, 3900)])
def response_length(target, length):
    for encode in (encode_hex, encode_base64):
        chap = one_way()
        conn = challenged(target, chap)
        response = (proper(chap) + bytes(length))[:length]
        answer(conn, [("CHAP_N", USER), ("CHAP_R", encode(response))])


@case("C3 CHAP_R of 0 to 255 hex digits, MD5")
def response_digits(target):
    for digits in range(0, 256):
        if digits == 32:
            continue
        chap = one_way(MD5)
        conn = challenged(target, chap)
        answer(conn, [("CHAP_N", USER), ("CHAP_R", "0x" + (proper(chap).hex() * 16)[:digits])])
        conn.close()


@case("C3 CHAP_R of 8192 bytes, over the C bit")
def response_over_segments(target):
    conn = challenged(target, one_way())
    conn.login_step(b"CHAP_N=alice\0CHAP_R=0x" + b"0" * 8000, csg=0, transit=False, more=True)
    try:
        conn.login_step(b"0" * 8000, csg=0, transit=False, more=True)
        conn.login_step(b"0" * 384 + b"\0", csg=0, nsg=1)
    except LoginRefused as refusal:
        equal(refusal.status, INITIATOR_ERROR, "login status")
        conn.expect_closed()
        return
    raise Failure("a CHAP_R of 8192 bytes was taken")


BROKEN = [
    ("an odd number of hex digits", lambda r: "0x" + r.hex()[:-1]),
    ("without a prefix", lambda r: r.hex()),
    ("hex digits that are none", lambda r: "0x" + "g" + r.hex()[1:]),
    ("an empty hex constant", lambda r: "0x"), ("an empty base64 constant", lambda r: "0b"),
    ("base64 without its padding", lambda r: encode_base64(r).rstrip("=")),
    ("base64 with one = too many", lambda r: encode_base64(r) + "="),
    ("base64 with = in the middle", lambda r: "0b=" + encode_base64(r)[3:]),
    ("base64 with a foreign character", lambda r: "0b" + "!" + encode_base64(r)[3:]),
    ("base64 of the URL alphabet", lambda r: "0b" + "-_" + encode_base64(r)[4:]),
    ("nothing", lambda r: ""), ("a decimal number", lambda r: str(int.from_bytes(r, "big"))),
    ("a blank before it", lambda r: " " + encode_hex(r))]


@case("C3 CHAP_R is {}", BROKEN)
def broken_response(target, encode):
    chap = one_way()
    conn = challenged(target, chap)
    answer(conn, [("CHAP_N", USER), ("CHAP_R", encode(proper(chap)))])


@case("C3 CHAP_R {}", [
    ("is missing", lambda r: [("CHAP_N", USER)], MISSING_PARAMETER),
    ("comes twice", lambda r: [("CHAP_N", USER), ("CHAP_R", r), ("CHAP_R", r)], INITIATOR_ERROR),
    ("comes without CHAP_N", lambda r: [("CHAP_R", r)], AUTH_FAILED)])
def response_keys(target, build, status):
    chap = one_way()
    conn = challenged(target, chap)
    answer(conn, build(encode_hex(proper(chap))), status)


# C4


@case("C4 CHAP_N {}", [
    ("unknown", "bob"), ("empty", ""), ("of 256 bytes", "a" * 256), ("of 4000 bytes", "a" * 4000),
    ("as base64", "0bYWxpY2U="), ("as hex", "0x616c696365"), ("with a base64 prefix", "0balice"),
    ("in another case", "Alice"), ("with a blank", "alice "), ("too long by one", "alicex"),
    ("too short by one", "alic"), ("of the target", TARGET_USER)])
def bad_name(target, name):
    chap = one_way()
    conn = challenged(target, chap)
    answer(conn, [("CHAP_N", name), ("CHAP_R", encode_hex(proper(chap)))])


@case("C4 the target's own name and secret do not let an initiator in")
def wrong_direction(target):
    chap = Chap(TARGET_USER, TARGET_SECRET, (SHA256,))
    conn = challenged(target, chap)
    answer(conn, chap.answer())


# C5


@case("C5 {}", [
    ("CHAP_I=256", [("CHAP_I", "256"), ("CHAP_C", encode_hex(bytes(range(16))))]),
    ("CHAP_I=-1", [("CHAP_I", "-1"), ("CHAP_C", encode_hex(bytes(range(16))))]),
    ("CHAP_I is empty", [("CHAP_I", ""), ("CHAP_C", encode_hex(bytes(range(16))))]),
    ("CHAP_I is missing", [("CHAP_C", encode_hex(bytes(range(16))))]),
    ("CHAP_C is missing", [("CHAP_I", "1")]),
    ("CHAP_C of 0 bytes", [("CHAP_I", "1"), ("CHAP_C", "0x")]),
    ("CHAP_C of 1025 bytes", [("CHAP_I", "1"), ("CHAP_C", encode_hex(bytes(1025)))]),
    ("CHAP_C that is no binary value", [("CHAP_I", "1"), ("CHAP_C", "0xzz")])])
def bad_challenge(target, pairs):
    chap = one_way()
    conn = challenged(target, chap)
    answer(conn, chap.answer() + pairs)


@case("C5 our own challenge comes back in CHAP_C ({})", [
    ("hex", encode_hex), ("base64", encode_base64)])
def reflection(target, encode):
    chap = mutual(encode=encode)
    conn = challenged(target, chap)
    chap.own_challenge = chap.challenge
    answer(conn, chap.answer())


@case("C5 the challenge of another connection comes back in CHAP_C")
def cross_reflection(target):
    other = one_way()
    waiting = challenged(target, other)
    chap = mutual()
    conn = challenged(target, chap)
    chap.own_challenge = other.challenge
    answer(conn, chap.answer())
    reply = waiting.login_step(other.answer(), csg=0, nsg=1)
    equal(reply.flags & 0x8f, 0x81, "stage bits of the connection whose challenge it was")


# C6


@case("C6 a recorded exchange played again")
def replay(target):
    chap = one_way()
    conn = challenged(target, chap)
    recorded = chap.answer()
    reply = conn.login_step(recorded, csg=0, nsg=1)
    equal(reply.flags & 0x8f, 0x81, "stage bits of the recorded login")
    again = one_way()
    conn = challenged(target, again)
    check(again.challenge != chap.challenge, "the same challenge twice")
    answer(conn, recorded)


@case("C6 a recorded exchange played again after a restart")
def replay_after_restart(_):
    challenges, recorded = [], None
    for _ in range(3):
        with Target("--chap", f"{USER}:{secret_file(SECRET)}", innocent=None) as own:
            chap = one_way()
            conn = challenged(own, chap)
            challenges.append(chap.challenge)
            if recorded is None:
                recorded = chap.answer()
                conn.login_step(recorded, csg=0, nsg=1)
            else:
                answer(conn, recorded)
    equal(len(set(challenges)), 3, "first challenges of three starts that differ")


@case("C6 a second answer to the same challenge after a wrong one is not heard")
def second_try(target):
    chap = one_way()
    conn = challenged(target, chap)
    conn.send(conn.login_pdu([("CHAP_N", USER), ("CHAP_R", encode_hex(bytes(32)))], csg=0, nsg=1),
              conn.login_pdu(chap.answer(), csg=0, nsg=1))
    conn.expect_login_refused(AUTH_FAILED)


# C7


def refused_start(option, *arguments):
    status, lines = refuse_to_start("-p", "127.0.0.1:0", *arguments, "ram:1M")
    equal((status, len(lines)), (2, 1), f"exit status and number of lines {lines}")
    check(option in lines[0], f"the line does not name {option}: {lines[0]}")
    check(SECRET not in lines[0], f"the line tells the secret: {lines[0]}")


@case("C7 a secret that is {}", [("empty", ""), ("11 bytes long", "short-secre")])
def short_secret(_, secret):
    path, good = secret_file(secret), secret_file(SECRET)
    refused_start("--chap", "--chap", f"{USER}:{path}")
    refused_start("--chap-mutual", "--chap", f"{USER}:{good}", "--chap-mutual",
                  f"{TARGET_USER}:{path}")


@case("C7 the same secret in both directions")
def same_secret(_):
    refused_start("--chap", "--chap", f"{USER}:{secret_file(SECRET)}",
                  "--chap-mutual", f"{TARGET_USER}:{secret_file(SECRET)}")


@case("C7 a secret of 12 bytes is long enough")
def shortest_secret(_):
    with Target("--chap", f"{USER}:{secret_file('123456789012')}", innocent=None) as own:
        own.login(chap=Chap(USER, "123456789012", (SHA256,))).ready().good()


# C9


@case("C9 200 failing logins in a row: few log lines, others are served meanwhile")
def flood(_):
    with Target("--chap", f"{USER}:{secret_file(SECRET)}", innocent={"chap": one_way}) as own:
        before = len(own.stderr_lines())
        for attempt in range(ATTEMPTS):
            chap = Chap(USER, f"not-the-secret-{attempt}", (MD5,))
            conn = challenged(own, chap)
            answer(conn, chap.answer())
            conn.close()
            if attempt % 50 == 0:
                own.check_innocent("during the flood")
        lines = own.stderr_lines()[before:]
        check(len(lines) <= LOG_LINES, f"{len(lines)} log lines for {ATTEMPTS} failures")
        check(lines, "200 failed logins and not a word in the log")
        own.login(chap=one_way()).ready().good()
        check(not any(SECRET in line for line in own.stderr_lines()), "the secret is in the log")


@case("after a refusal nothing more is heard on that connection")
def refused_is_closed(target):
    conn = target.connect()
    conn.send(conn.login_pdu(conn.identity(), csg=1, nsg=3),
              conn.login_pdu(conn.identity() + [("AuthMethod", "CHAP")], csg=0, transit=False))
    conn.expect_login_refused(AUTH_FAILED)


if __name__ == "__main__":
    main(Target("--chap", f"{USER}:{secret_file(SECRET)}",
                "--chap-mutual", f"{TARGET_USER}:{secret_file(TARGET_SECRET)}",
                innocent={"chap": mutual}))
