#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""CHAP with what an initiator may choose: algorithm, direction, encoding, stages."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import Chap
from iscsi import CHAP_HASHES, decode_binary, encode_base64, encode_hex, encode_text
from tap import case, check, equal, main
from target import Target, secret_file

USER, SECRET = "alice", "alice-secret-0123456789"
TARGET_USER, TARGET_SECRET = "riser", "riser-secret-9876543210"


def one_way(*algorithms, **how):
    return Chap(USER, SECRET, algorithms or (7,), **how)


def mutual(*algorithms, **how):
    return Chap(USER, SECRET, algorithms or (7,), TARGET_USER, TARGET_SECRET, **how)


@case("CHAP one-way with {}", [(CHAP_HASHES[number], number) for number in CHAP_HASHES])
def algorithm_one_way(target, number):
    chap = one_way(number)
    target.login(chap=chap).ready().good()
    equal(chap.chosen, number, "CHAP_A")


@case("CHAP mutual with {}", [(CHAP_HASHES[number], number) for number in CHAP_HASHES])
def algorithm_mutual(target, number):
    target.login(chap=mutual(number)).ready().good()


@case("CHAP_A={} takes the first one known", [
    ("5,7", (5, 7), 5), ("8,7,6,5", (8, 7, 6, 5), 8), ("6,99", (6, 99), 6),
    ("1,99,7,5", (1, 99, 7, 5), 7)])
def algorithm_choice(target, offer, chosen):
    chap = one_way(*offer)
    target.login(chap=chap)
    equal(chap.chosen, chosen, "CHAP_A")


@case("CHAP_R and CHAP_C in {}", [("hex", encode_hex), ("base64", encode_base64),
                                  ("upper case hex", lambda data: "0X" + data.hex().upper())])
def encodings(target, encode):
    target.login(chap=mutual(7, encode=encode)).ready().good()


@case("CHAP mutual with a challenge of {} bytes", [(size, size) for size in (1, 16, 255, 1024)])
def challenge_size(target, size):
    chap = mutual(8)
    chap.own_challenge = os.urandom(size)
    target.login(chap=chap).ready().good()


@case("CHAP identifier {} of the initiator", [(0, 0), (255, 255)])
def identifier_range(target, identifier):
    chap = mutual(5)
    chap.own_identifier = identifier
    target.login(chap=chap).ready().good()


@case("AuthMethod={} settles on CHAP", [(offer, offer) for offer in (
    "CHAP,None", "None,CHAP", "KRB5,SRP,CHAP")])
def method_choice(target, offer):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("AuthMethod", offer)], csg=0, transit=False)
    equal(dict(reply.pairs).get("AuthMethod"), "CHAP", "AuthMethod")
    conn.login_chap(one_way())
    conn.enter_full_feature(conn.operational(), conn.login_step(conn.operational()))
    conn.clear_unit_attention()


@case("T=1 with AuthMethod=CHAP,None is held back (T=0) until CHAP is done")
def early_transit_offer(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("AuthMethod", "CHAP,None")], csg=0, nsg=1)
    equal(reply.flags & 0x8c, 0, "T bit and stage")
    conn.login_chap(one_way())


@case("CHAP straight to full feature phase (NSG=3)")
def no_operational_stage(target):
    conn = target.connect()
    conn.login_step(conn.identity() + [("AuthMethod", "CHAP")], csg=0, transit=False)
    chap = one_way()
    chap.challenged(conn.login_step(chap.offer(), csg=0, transit=False).pairs)
    reply = conn.login_step(chap.answer(), csg=0, nsg=3)
    equal(reply.flags & 0x8f, 0x83, "stage bits")
    conn.tsih = reply.tsih
    conn.ping()


@case("L12 the answer to the challenge cut in two at every byte by the C bit")
def split_answer(target):
    size = len(encode_text([("CHAP_N", USER), ("CHAP_R", encode_hex(bytes(32)))]))
    for cut in range(1, size):
        conn = target.connect()
        conn.login_step(conn.identity() + [("AuthMethod", "CHAP")], csg=0, transit=False)
        chap = one_way(7)
        chap.challenged(conn.login_step(chap.offer(), csg=0, transit=False).pairs)
        text = encode_text(chap.answer())
        equal(len(text), size, "length of the answer")
        conn.login_step(text[:cut], csg=0, transit=False, more=True)
        reply = conn.login_step(text[cut:], csg=0, nsg=1)
        equal(reply.flags & 0x8f, 0x81, f"stage bits after the cut at {cut}")
        conn.close()


@case("challenges are at least 16 bytes and never the same")
def fresh_challenges(target):
    seen = set()
    for _ in range(20):
        conn = target.connect()
        conn.login_step(conn.identity() + [("AuthMethod", "CHAP")], csg=0, transit=False)
        pairs = dict(conn.login_step([("CHAP_A", 7)], csg=0, transit=False).pairs)
        challenge = decode_binary(pairs["CHAP_C"])
        check(16 <= len(challenge) <= 1024, f"challenge of {len(challenge)} bytes")
        seen.add(challenge)
        conn.close()
    equal(len(seen), 20, "different challenges")


if __name__ == "__main__":
    main(Target("--chap", f"{USER}:{secret_file(SECRET)}",
                "--chap-mutual", f"{TARGET_USER}:{secret_file(TARGET_SECRET)}",
                innocent={"chap": mutual}))
