# SPDX-License-Identifier: BSD-2-Clause
"""CHAP with what an initiator may choose: algorithm, direction, encoding, stages, session
type and account; the legal half of UNH-IOL's titles."""

import os

from demands import is_riser
from initiator import Chap
from iscsi import AUTH_FAILED, CHAP_HASHES, decode_binary, encode_base64, encode_hex, encode_text
from suite import Skip, case
from tap import check, equal

GROUP = "CHAP"
NEEDS = "chap"
MD5 = 5


def offer_chap(conn, session="Normal"):
    conn.login_step(conn.identity(session) + [("AuthMethod", "CHAP")], csg=0, transit=False)


def has_algorithm(target, number):
    """Everybody has MD5; of the others only riser is known to have them."""
    if number == MD5 or is_riser(target):
        return
    conn = target.connect()
    offer_chap(conn)
    conn.send(conn.login_pdu([("CHAP_A", number)], csg=0, transit=False))
    reply = conn.recv()
    if reply.login_status or b"CHAP_C=" not in reply.data:
        raise Skip(f"the target does not know algorithm {number}")


def encode_upper(data):
    return "0X" + data.hex().upper()


ENCODINGS = [("hex", encode_hex), ("base64", encode_base64), ("upper case hex", encode_upper)]
ALGORITHMS = [(CHAP_HASHES[number], number) for number in CHAP_HASHES]


# CHAP_A


@case("1.1 CHAP_A Valid: one-way with {}", ALGORITHMS, rfc="12.1.3")
def algorithm_one_way(target, number):
    has_algorithm(target, number)
    chap = target.one_way(number)
    target.login(chap=chap).ready().good()
    equal(chap.chosen, number, "CHAP_A")


@case("1.1 CHAP_A Valid: mutual with {}", ALGORITHMS, rfc="12.1.3", needs="mutual")
def algorithm_mutual(target, number):
    has_algorithm(target, number)
    target.login(chap=target.both_ways(number)).ready().good()


@case("1.1 CHAP_A Valid: of the list {} the first one known", [
    ("5,7", (5, 7), 5), ("8,7,6,5", (8, 7, 6, 5), 8), ("6,99", (6, 99), 6),
    ("1,99,7,5", (1, 99, 7, 5), 7)], rfc="6.2.1", needs="riser")
def algorithm_choice(target, offer, chosen):
    chap = target.one_way(*offer)
    target.login(chap=chap)
    equal(chap.chosen, chosen, "CHAP_A")


@case("1.1 CHAP_A Valid: a list with numbers nobody knows around MD5", rfc="12.1.3")
def algorithm_among_strangers(target):
    chap = target.one_way(99, MD5, 77)
    target.login(chap=chap).ready().good()
    equal(chap.chosen, MD5, "CHAP_A")


# CHAP_I, CHAP_C of the target


@case("2.4 CHAP_I and CHAP_C: the challenge comes with exactly CHAP_A, CHAP_I and CHAP_C",
      rfc="12.1.3")
def challenge_keys(target):
    conn = target.connect()
    offer_chap(conn)
    pairs = conn.login_step([("CHAP_A", MD5)], csg=0, transit=False).pairs
    equal(sorted(key for key, _ in pairs), ["CHAP_A", "CHAP_C", "CHAP_I"], "keys")
    check(0 <= int(dict(pairs)["CHAP_I"], 0) <= 255, "CHAP_I")
    check(1 <= len(decode_binary(dict(pairs)["CHAP_C"])) <= 1024, "CHAP_C")


@case("3.5 CHAP_C: challenges are at least 16 bytes and never the same, in series", rfc="9.2.1")
def fresh_challenges(target):
    seen = set()
    for _ in range(20):
        conn = target.connect()
        offer_chap(conn)
        pairs = dict(conn.login_step([("CHAP_A", MD5)], csg=0, transit=False).pairs)
        challenge = decode_binary(pairs["CHAP_C"])
        check(16 <= len(challenge) <= 1024, f"challenge of {len(challenge)} bytes")
        seen.add(challenge)
        conn.close()
    equal(len(seen), 20, "different challenges")


@case("3.5 CHAP_C: challenges are never the same, on connections side by side", rfc="9.2.1")
def parallel_challenges(target):
    conns = [target.connect() for _ in range(16)]
    for conn in conns:
        offer_chap(conn)
    seen = {dict(conn.login_step([("CHAP_A", MD5)], csg=0, transit=False).pairs)["CHAP_C"]
            for conn in conns}
    equal(len(seen), len(conns), "different challenges")


@case("2.6 CHAP_I: connections side by side each answer their own", rfc="12.1.3")
def interleaved(target):
    chaps = [target.one_way(MD5) for _ in range(4)]
    conns = [target.connect() for _ in chaps]
    for conn in conns:
        offer_chap(conn)
    for conn, chap in zip(conns, chaps):
        chap.challenged(conn.login_step(chap.offer(), csg=0, transit=False).pairs)
    for conn, chap in reversed(list(zip(conns, chaps))):
        reply = conn.login_step(chap.answer(), csg=0, nsg=1)
        equal(reply.flags & 0x8f, 0x81, "stage bits")


# CHAP_N, CHAP_R


@case("5 CHAP_R: valid in {}", ENCODINGS, rfc="6.1")
def response_encodings(target, encode):
    target.login(chap=target.one_way(MD5, encode=encode)).ready().good()


@case("5 CHAP_R: valid in hex of both cases", rfc="6.1")
def response_mixed(target):
    def mixed(data):
        text = data.hex()
        return "0x" + "".join(c.upper() if i % 2 else c for i, c in enumerate(text))
    target.login(chap=target.one_way(MD5, encode=mixed)).ready().good()


@case("5 CHAP_R before CHAP_N in the same text", rfc="12.1.3")
def response_first(target):
    conn = target.connect()
    offer_chap(conn)
    chap = target.one_way(MD5)
    chap.challenged(conn.login_step(chap.offer(), csg=0, transit=False).pairs)
    reply = conn.login_step(chap.answer()[::-1], csg=0, nsg=1)
    equal(reply.flags & 0x8f, 0x81, "stage bits")


@case("5 CHAP_R: the answer cut in two at every byte by the C bit", rfc="6.2", deadline=60)
def split_answer(target):
    size = len(encode_text([("CHAP_N", target.chap.user), ("CHAP_R", encode_hex(bytes(16)))]))
    for cut in range(1, size):
        conn = target.connect()
        offer_chap(conn)
        chap = target.one_way(MD5)
        chap.challenged(conn.login_step(chap.offer(), csg=0, transit=False).pairs)
        text = encode_text(chap.answer())
        equal(len(text), size, "length of the answer")
        conn.login_step(text[:cut], csg=0, transit=False, more=True)
        reply = conn.login_step(text[cut:], csg=0, nsg=1)
        equal(reply.flags & 0x8f, 0x81, f"stage bits after the cut at {cut}")
        conn.close()


@case("4.1 CHAP_N Valid: each of several users logs in with its own secret", rfc="12.1.3",
      needs="users")
def several_users(target):
    for account in [target.chap, *target.users]:
        target.login(chap=Chap(account.user, account.secret, (MD5,))).ready().good()


@case("4.7 CHAP_N: two users side by side", rfc="12.1.3", needs="users")
def users_side_by_side(target):
    conns = [target.login(chap=Chap(account.user, account.secret, (MD5,)))
             for account in [target.chap, *target.users]]
    for conn in conns:
        conn.ready().good()


# Mutual


@case("3 Mutual: CHAP_C and CHAP_R in {}", ENCODINGS, rfc="6.1", needs="mutual")
def mutual_encodings(target, encode):
    target.login(chap=target.both_ways(MD5, encode=encode)).ready().good()


@case("3.1 CHAP_C Small and Big: a challenge of {} bytes", [
    (size, size) for size in (1, 2, 15, 16, 255, 1023, 1024)], rfc="12.1.3", needs="mutual")
def challenge_size(target, size):
    chap = target.both_ways(MD5)
    chap.own_challenge = os.urandom(size)
    target.login(chap=chap).ready().good()


@case("2.1 CHAP_I Valid: {} of the initiator", [(n, n) for n in (0, 1, 127, 128, 255)],
      rfc="12.1.3", needs="mutual")
def identifier_range(target, identifier):
    chap = target.both_ways(MD5)
    chap.own_identifier = identifier
    target.login(chap=chap).ready().good()


@case("2.4 CHAP_I: the same as the target's is no reflection", rfc="12.1.3", needs="mutual")
def same_identifier(target):
    conn = target.connect()
    offer_chap(conn)
    chap = target.both_ways(MD5)
    chap.challenged(conn.login_step(chap.offer(), csg=0, transit=False).pairs)
    chap.own_identifier = chap.identifier
    reply = conn.login_step(chap.answer(), csg=0, nsg=1)
    chap.verify(reply.pairs)


@case("3.9 CHAP_C new on a second connection: one of our own is answered there, too", rfc="9.2.1",
      needs="mutual")
def own_challenge_twice(target):
    chap, again = target.both_ways(MD5), target.both_ways(MD5)
    again.own_challenge = chap.own_challenge
    target.login(chap=chap).ready().good()
    target.login(chap=again).ready().good()


@case("Mutual: a target that is not asked does not prove itself", rfc="12.1.3", needs="mutual")
def not_asked(target):
    target.login(chap=target.one_way(MD5)).ready().good()


# Stages and session types


@case("22.1 AuthMethod={} settles on CHAP", [(offer, offer) for offer in (
    "CHAP", "CHAP,None", "None,CHAP", "KRB5,SRP,CHAP")], rfc="12.1")
def method_choice(target, offer):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("AuthMethod", offer)], csg=0, transit=False)
    equal(dict(reply.pairs).get("AuthMethod"), "CHAP", "AuthMethod")
    conn.login_chap(target.one_way())
    conn.enter_full_feature(conn.operational(), conn.login_step(conn.operational()))
    conn.clear_unit_attention()


@case("1.1 Premature Transition: T=1 with AuthMethod=CHAP is held back until CHAP is done",
      rfc="6.3.2")
def early_transit_offer(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("AuthMethod", "CHAP,None")], csg=0, nsg=1)
    equal(reply.flags & 0x8c, 0, "T bit and stage")
    conn.login_chap(target.one_way())


@case("CHAP straight to full feature phase (NSG=3), with or without a stop", rfc="6.3.2")
def no_operational_stage(target):
    conn = target.connect()
    offer_chap(conn)
    chap = target.one_way()
    chap.challenged(conn.login_step(chap.offer(), csg=0, transit=False).pairs)
    reply = conn.login_step(chap.answer(), csg=0, nsg=3)
    check(reply.flags & 0x8f in (0x83, 0x81), f"stage bits {reply.flags:#x}")
    if reply.flags & 3 == 1:
        check(not is_riser(target), "a stop in the operational stage")
        reply = conn.login_step()
    conn.tsih = reply.tsih
    conn.ping()


@case("the answer without T stays in the security stage, T=1 without text ends it", rfc="6.3.2")
def late_transit(target):
    conn = target.connect()
    offer_chap(conn)
    chap = target.one_way()
    chap.challenged(conn.login_step(chap.offer(), csg=0, transit=False).pairs)
    reply = conn.login_step(chap.answer(), csg=0, transit=False)
    equal(reply.flags & 0x8c, 0, "T bit and stage")
    reply = conn.login_step(csg=0, nsg=1)
    equal(reply.flags & 0x8f, 0x81, "stage bits")
    conn.enter_full_feature([], conn.login_step())


@case("Discovery Authentication: a discovery session with CHAP", rfc="9.2.1",
      needs="discovery-chap")
def discovery(target):
    conn = target.connect()
    conn.login(session="Discovery", chap=target.one_way())
    check(target.iqn in dict(conn.text([("SendTargets", target.iqn)])[0]).values(), "no target")


@case("a session whose first connection proved itself: the second has to, too", rfc="6.3",
      needs="mcs")
def second_connection(target):
    first = target.login(MaxConnections=2)
    conn = target.connect(isid=first.isid)
    conn.tsih, conn.cid, conn.cmdsn = first.tsih, 2, first.cmdsn
    conn.send(conn.login_pdu(conn.identity()))
    conn.expect_login_refused(AUTH_FAILED)
    conn = target.connect(isid=first.isid)
    conn.tsih, conn.cid, conn.cmdsn = first.tsih, 2, first.cmdsn
    conn.login_security("Normal", target.one_way())
    conn.login_step()
    first.ready().good()
