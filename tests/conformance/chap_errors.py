# SPDX-License-Identifier: BSD-2-Clause
"""What a target answers to an initiator that cannot or will not prove itself: rows C1 to C9,
the illegal half of UNH-IOL's titles. The status says only that authentication failed."""

from conn import Closed, Late
from demands import is_riser
from initiator import Chap, LoginRefused
from iscsi import (AUTH_FAILED, INITIATOR_ERROR, LOGIN_RESPONSE, MISSING_PARAMETER, chap_response,
                   encode_base64, encode_hex)
from refusal import answer, challenged, expect_failure, offer_chap
from suite import case
from tap import Failure, check, equal

GROUP = "CHAP-errors"
NEEDS = "chap"
MD5, SHA1, SHA256, SHA3_256 = 5, 6, 7, 8


def proper(chap):
    return chap_response(chap.chosen, chap.identifier, chap.secret, chap.challenge)


# C1


@case("1.1 Premature Transition: C1 the initiator offers {}", [
    ("only AuthMethod=None", {"csg": 0, "nsg": 1}, [("AuthMethod", "None")]),
    ("only methods we do not know", {"csg": 0, "nsg": 1}, [("AuthMethod", "KRB5,SRP")]),
    ("no method and goes to stage 1", {"csg": 0, "nsg": 1}, []),
    ("no method and goes to full feature phase", {"csg": 0, "nsg": 3}, []),
    ("nothing: it starts in stage 1", {"csg": 1, "nsg": 3}, []),
    ("CHAP, but starts in stage 1", {"csg": 1, "nsg": 3}, [("AuthMethod", "CHAP")])],
    rfc="6.3.2")
def no_chap(target, how, pairs):
    conn = target.connect()
    conn.send(conn.login_pdu(conn.identity() + pairs, **how))
    if is_riser(target):
        conn.expect_login_refused(AUTH_FAILED)
        return
    reply = conn.expect(LOGIN_RESPONSE)
    check(reply.login_status >> 8 == 2 or not reply.final or b"=Reject" in reply.data,
          f"let in: {reply}")


@case("1.1 Premature Transition: C1 stage 1 {}", [
    ("behind AuthMethod=CHAP", False), ("behind the challenge", True)], rfc="6.3.2")
def jump(target, behind_challenge):
    conn = challenged(target, target.one_way()) if behind_challenge else target.connect()
    if not behind_challenge:
        offer_chap(conn)
    conn.send(conn.login_pdu(conn.operational(), csg=1, nsg=3))
    expect_failure(target, conn)


@case("1.1 Premature Transition: C1 T=1 with AuthMethod and with CHAP_A leads nowhere without "
      "CHAP_R", rfc="6.3.2")
def transit_with_algorithm(target):
    conn = target.connect()
    text = conn.identity() + [("AuthMethod", "CHAP")]
    for pairs in (text, [("CHAP_A", MD5)]):
        reply = conn.login_step(pairs, csg=0, nsg=1)
        equal(reply.flags & 0x8c, 0, "T bit and stage")
    check("CHAP_C" in dict(reply.pairs), "no challenge")
    nowhere(target, conn, b"")


def nowhere(target, conn, pairs):
    """riser refuses; elsewhere the login at least does not get on."""
    if is_riser(target):
        answer(target, conn, pairs)
        return
    conn.send(conn.login_pdu(pairs, csg=0, nsg=1))
    try:
        reply = conn.expect(LOGIN_RESPONSE)
    except (Closed, Late):
        return
    check(reply.login_status or not reply.final, f"let in: {reply}")


@case("1.1 Premature Transition: C1 T=1 without text instead of an algorithm", rfc="6.3.2")
def transit_without_algorithm(target):
    conn = target.connect()
    offer_chap(conn)
    nowhere(target, conn, b"")


@case("1.1 Premature Transition: C1 a discovery session {}", [
    ("in stage 1", {"csg": 1, "nsg": 3}, []),
    ("with AuthMethod=None", {"csg": 0, "nsg": 1}, [("AuthMethod", "None")])], rfc="9.2.1",
    needs="riser")
def discovery_without(target, how, pairs):
    conn = target.connect()
    conn.send(conn.login_pdu(conn.identity("Discovery") + pairs, **how))
    conn.expect_login_refused(AUTH_FAILED)


# C2


@case("1.2 CHAP_A Invalid: C2 {}", [(repr(v), v) for v in (
    "", "4", "9", "0", "5,5,5", "7,7", "x", "-5", "5;7", "7,", "0x7,")], rfc="12.1.3",
    needs="riser")
def bad_algorithm(target, value):
    conn = target.connect()
    offer_chap(conn)
    conn.send(conn.login_pdu([("CHAP_A", value)], csg=0, transit=False))
    conn.expect_login_refused(AUTH_FAILED)


@case("1.2 CHAP_A Invalid: {} is not challenged", [
    ("a number nobody knows", "99"), ("non-numeric", "MD5"), ("nothing", "")], rfc="12.1.3")
def unknown_algorithm(target, value):
    conn = target.connect()
    offer_chap(conn)
    conn.send(conn.login_pdu([("CHAP_A", value)], csg=0, transit=False))
    try:
        reply = conn.expect(LOGIN_RESPONSE)
    except Closed:
        return
    check(reply.login_status >> 8 == 2 or b"CHAP_A=Reject" in reply.data,
          f"CHAP_A={value} was answered with {reply.data!r}")


@case("1.3 CHAP_A Out of Order: C2 a response before it", rfc="12.1.3")
def no_algorithm(target):
    conn = target.connect()
    offer_chap(conn)
    answer(target, conn, [("CHAP_N", target.chap.user), ("CHAP_R", encode_hex(bytes(16)))])


@case("1.3 CHAP_A Out of Order: after the challenge, with the response", rfc="12.1.3",
      needs="riser")
def late_algorithm(target):
    chap = target.one_way(MD5)
    conn = challenged(target, chap)
    answer(target, conn, [("CHAP_A", MD5), *chap.answer()], INITIATOR_ERROR)


# C3


@case("5.1 CHAP_R Invalid: C3, C8 of the right length, {}", [
    ("all zero", lambda right: bytes(len(right))),
    ("wrong in its first bit", lambda right: bytes([right[0] ^ 0x80]) + right[1:]),
    ("wrong in its last bit", lambda right: right[:-1] + bytes([right[-1] ^ 1]))], rfc="12.1.3")
def wrong_response(target, change):
    for algorithm in (MD5, SHA1, SHA256, SHA3_256) if is_riser(target) else (MD5,):
        chap = target.one_way(algorithm)
        conn = challenged(target, chap)
        answer(target, conn, [("CHAP_N", chap.name), ("CHAP_R", encode_hex(change(proper(chap))))])


@case("5.2 CHAP_R Too Big and Too Small: C3 {} bytes", [
    (n, n) for n in (0, 1, 15, 17, 31, 32, 33, 63, 65, 95, 255, 3900)], rfc="12.1.3")
def response_length(target, length):
    for encode in (encode_hex, encode_base64):
        chap = target.one_way(MD5)
        conn = challenged(target, chap)
        response = (proper(chap) + bytes(length))[:length]
        answer(target, conn, [("CHAP_N", chap.name), ("CHAP_R", encode(response))])


@case("5.2 CHAP_R Too Big and Too Small: C3 0 to 255 hex digits", rfc="12.1.3", deadline=60)
def response_digits(target):
    for digits in range(0, 256):
        if digits == 32:
            continue
        chap = target.one_way(MD5)
        conn = challenged(target, chap)
        answer(target, conn, [("CHAP_N", chap.name),
                              ("CHAP_R", "0x" + (proper(chap).hex() * 16)[:digits])])
        conn.close()


@case("5.2 CHAP_R Too Big: C3 8192 bytes, over the C bit", rfc="6.1")
def response_over_segments(target):
    conn = challenged(target, target.one_way())
    try:
        conn.login_step(encode_name(target) + b"CHAP_R=0x" + b"0" * 8000, csg=0, transit=False,
                        more=True)
        conn.login_step(b"0" * 8000, csg=0, transit=False, more=True)
        conn.login_step(b"0" * 384 + b"\0", csg=0, nsg=1)
    except LoginRefused as refusal:
        equal(refusal.status >> 8, 2, "login status class")
        if is_riser(target):
            equal(refusal.status, INITIATOR_ERROR, "login status")
        conn.expect_closed()
        return
    except Closed:
        check(not is_riser(target), "closed without an answer")
        return
    raise Failure("a CHAP_R of 8192 bytes was taken")


def encode_name(target):
    return b"CHAP_N=%s\0" % target.chap.user.encode()


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


@case("5.1 CHAP_R Invalid: C3 {}", BROKEN, rfc="6.1")
def broken_response(target, encode):
    chap = target.one_way(MD5)
    conn = challenged(target, chap)
    answer(target, conn, [("CHAP_N", chap.name), ("CHAP_R", encode(proper(chap)))])


@case("5.1 CHAP_R Invalid: C3 it {}", [
    ("is missing", lambda n, r: [("CHAP_N", n)], MISSING_PARAMETER),
    ("comes twice", lambda n, r: [("CHAP_N", n), ("CHAP_R", r), ("CHAP_R", r)], INITIATOR_ERROR),
    ("comes without CHAP_N", lambda n, r: [("CHAP_R", r)], AUTH_FAILED)], rfc="12.1.3")
def response_keys(target, build, status):
    chap = target.one_way(MD5)
    conn = challenged(target, chap)
    answer(target, conn, build(chap.name, encode_hex(proper(chap))), status)


@case("5.1 CHAP_R Invalid: the response of another algorithm than the chosen one", rfc="12.1.3",
      needs="riser")
def other_algorithm(target):
    chap = target.one_way(SHA256)
    conn = challenged(target, chap)
    wrong = chap_response(SHA3_256, chap.identifier, chap.secret, chap.challenge)
    answer(target, conn, [("CHAP_N", chap.name), ("CHAP_R", encode_hex(wrong))])


# C4


@case("4.2 CHAP_N Invalid: C4 {}", [
    ("unknown", lambda u: "nobody"), ("empty", lambda u: ""), ("of 256 bytes", lambda u: "a" * 256),
    ("of 4000 bytes", lambda u: "a" * 4000),
    ("as base64", lambda u: encode_base64(u.encode())),
    ("as hex", lambda u: encode_hex(u.encode())),
    ("with a base64 prefix", lambda u: "0b" + u), ("in another case", lambda u: u.swapcase()),
    ("with a blank", lambda u: u + " "), ("too long by one", lambda u: u + "x"),
    ("too short by one", lambda u: u[:-1])], rfc="12.1.3")
def bad_name(target, change):
    chap = target.one_way(MD5)
    conn = challenged(target, chap)
    answer(target, conn, [("CHAP_N", change(chap.name)), ("CHAP_R", encode_hex(proper(chap)))])


@case("4.6 CHAP_N Reflected: C4 the target's own name with the initiator's secret", rfc="12.1.3",
      needs="mutual")
def name_of_target(target):
    chap = target.one_way(MD5)
    conn = challenged(target, chap)
    answer(target, conn, [("CHAP_N", target.mutual.user), ("CHAP_R", encode_hex(proper(chap)))])


@case("4.6 CHAP_N Reflected: C4 the target's own name and secret do not let an initiator in",
      rfc="9.2.1", needs="mutual")
def wrong_direction(target):
    chap = Chap(target.mutual.user, target.mutual.secret, (MD5,))
    conn = challenged(target, chap)
    answer(target, conn, chap.answer())


@case("4.8 CHAP_N Different: one user's name with another's secret", rfc="12.1.3", needs="users")
def crossed_users(target):
    accounts = [target.chap, *target.users]
    for one, other in zip(accounts, accounts[1:] + accounts[:1]):
        chap = Chap(one.user, other.secret, (MD5,))
        conn = challenged(target, chap)
        answer(target, conn, chap.answer())


@case("4.5 CHAP_N Out of Order: before the challenge", rfc="12.1.3", needs="riser")
def early_name(target):
    conn = target.connect()
    offer_chap(conn)
    conn.send(conn.login_pdu([("CHAP_N", target.chap.user)], csg=0, transit=False))
    conn.expect_login_refused(AUTH_FAILED)


# C5


GOOD_CHALLENGE = encode_hex(bytes(range(16)))


@case("2.2 CHAP_I Invalid, 3.3 CHAP_C Too Big and Too Small: C5 {}", [
    ("CHAP_I=256", [("CHAP_I", "256"), ("CHAP_C", GOOD_CHALLENGE)]),
    ("CHAP_I=-1", [("CHAP_I", "-1"), ("CHAP_C", GOOD_CHALLENGE)]),
    ("CHAP_I is no number", [("CHAP_I", "x"), ("CHAP_C", GOOD_CHALLENGE)]),
    ("CHAP_I is empty", [("CHAP_I", ""), ("CHAP_C", GOOD_CHALLENGE)]),
    ("CHAP_I is missing", [("CHAP_C", GOOD_CHALLENGE)]),
    ("CHAP_C is missing", [("CHAP_I", "1")]),
    ("CHAP_C of 0 bytes", [("CHAP_I", "1"), ("CHAP_C", "0x")]),
    ("CHAP_C of 1025 bytes", [("CHAP_I", "1"), ("CHAP_C", encode_hex(bytes(1025)))]),
    ("CHAP_C that is no binary value", [("CHAP_I", "1"), ("CHAP_C", "0xzz")])], rfc="12.1.3",
    needs="mutual")
def bad_challenge(target, pairs):
    chap = target.one_way(MD5)
    conn = challenged(target, chap)
    answer(target, conn, chap.answer() + pairs)


@case("3.3 CHAP_C Out of Order: our challenge comes with CHAP_A", rfc="12.1.3", needs="riser")
def early_challenge(target):
    conn = target.connect()
    offer_chap(conn)
    conn.send(conn.login_pdu([("CHAP_A", MD5), ("CHAP_I", 1), ("CHAP_C", GOOD_CHALLENGE)], csg=0,
                             transit=False))
    conn.expect_login_refused(AUTH_FAILED)


@case("3.6 CHAP_C Reflected: C5 the target's own challenge comes back, in {}", [
    ("hex", encode_hex), ("base64", encode_base64)], rfc="9.2.1", needs="mutual")
def reflection(target, encode):
    chap = target.both_ways(MD5, encode=encode)
    conn = challenged(target, chap)
    chap.own_challenge = chap.challenge
    answer(target, conn, chap.answer())


@case("3.8 CHAP_C Reflected on Second Connection: C5 the challenge of another connection",
      rfc="9.2.1", needs="mutual")
def cross_reflection(target):
    other = target.one_way(MD5)
    waiting = challenged(target, other)
    chap = target.both_ways(MD5)
    conn = challenged(target, chap)
    chap.own_challenge = other.challenge
    answer(target, conn, chap.answer())
    reply = waiting.login_step(other.answer(), csg=0, nsg=1)
    equal(reply.flags & 0x8f, 0x81, "stage bits of the connection whose challenge it was")


@case("3.8 CHAP_C Reflected: a whole attack with the answer of a second connection", rfc="9.2.1",
      needs="mutual")
def reflection_attack(target):
    """Without any secret: the second connection shall answer the first one's challenge."""
    first, second = target.connect(), target.connect()
    for conn in (first, second):
        offer_chap(conn)
    theirs = dict(first.login_step([("CHAP_A", MD5)], csg=0, transit=False).pairs)
    second.login_step([("CHAP_A", MD5)], csg=0, transit=False)
    answer(target, second, [("CHAP_N", target.chap.user), ("CHAP_R", encode_hex(bytes(16))),
                            ("CHAP_I", theirs["CHAP_I"]), ("CHAP_C", theirs["CHAP_C"])])
    answer(target, first, [("CHAP_N", target.mutual.user), ("CHAP_R", encode_hex(bytes(16)))])


# C6


@case("C6 a recorded exchange played again", rfc="9.2.1")
def replay(target):
    chap = target.one_way(MD5)
    conn = challenged(target, chap)
    recorded = chap.answer()
    reply = conn.login_step(recorded, csg=0, nsg=1)
    equal(reply.flags & 0x8f, 0x81, "stage bits of the recorded login")
    again = target.one_way(MD5)
    conn = challenged(target, again)
    check(again.challenge != chap.challenge, "the same challenge twice")
    answer(target, conn, recorded)


@case("C6 the answer to another connection's challenge", rfc="9.2.1")
def swapped(target):
    chap, other = target.one_way(MD5), target.one_way(MD5)
    conn, waiting = challenged(target, chap), challenged(target, other)
    answer(target, conn, other.answer())
    reply = waiting.login_step(other.answer(), csg=0, nsg=1)
    equal(reply.flags & 0x8f, 0x81, "stage bits of the connection whose challenge it was")


@case("C6 a second answer to the same challenge after a wrong one is not heard", rfc="12.1.3")
def second_try(target):
    chap = target.one_way(MD5)
    conn = challenged(target, chap)
    conn.send(conn.login_pdu([("CHAP_N", chap.name), ("CHAP_R", encode_hex(bytes(16)))], csg=0,
                             nsg=1), conn.login_pdu(chap.answer(), csg=0, nsg=1))
    expect_failure(target, conn)


@case("C6 a second CHAP_A in the same login", rfc="12.1.3", needs="riser")
def second_algorithm(target):
    conn = challenged(target, target.one_way(MD5))
    conn.send(conn.login_pdu([("CHAP_A", MD5)], csg=0, transit=False))
    conn.expect_login_refused(INITIATOR_ERROR)


@case("after a refusal nothing more is heard on that connection", rfc="11.13.5")
def refused_is_closed(target):
    chap = target.one_way(MD5)
    conn = challenged(target, chap)
    conn.send(conn.login_pdu([("CHAP_N", "nobody"), ("CHAP_R", encode_hex(bytes(16)))], csg=0,
                             nsg=1),
              conn.login_pdu(conn.identity() + [("AuthMethod", "CHAP")], csg=0, transit=False))
    expect_failure(target, conn)


@case("a login that fails leaves the session of the same name and ISID alone", rfc="6.3.5")
def failed_reinstatement(target):
    first = target.login()
    conn = target.connect(isid=first.isid)
    offer_chap(conn)
    chap = Chap(target.chap.user, "not-the-secret-at-all", (MD5,))
    chap.challenged(conn.login_step(chap.offer(), csg=0, transit=False).pairs)
    answer(target, conn, chap.answer())
    first.ready().good()
