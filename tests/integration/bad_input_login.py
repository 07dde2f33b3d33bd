#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What riserd answers to a login that breaks the rules: rows L1 to L16 and L20."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import INITIATOR, LoginRefused
from iscsi import (BAD_SESSION_TYPE, BAD_VERSION, CANNOT_INCLUDE, INITIATOR_ERROR,
                   INVALID_DURING_LOGIN, LOGIN_RESPONSE, MISSING_PARAMETER, NOT_ALLOWED, NOT_FOUND,
                   NO_SESSION, TOO_MANY_CONNECTIONS, encode_text)
from tap import case, check, equal, main
from target import Target

NAME_MAX = 223


def refused(target, status, text, **how):
    """A first Login Request that ends with this status and the connection closed."""
    conn = target.connect()
    text = text(conn) if callable(text) else text
    conn.send(conn.login_pdu(text, **how))
    conn.expect_login_refused(status)


def identity_and(*pairs):
    return lambda conn: conn.identity() + list(pairs)


@case("L1 Version-min {} is refused", [(n, n) for n in (1, 2, 255)])
def version(target, number):
    refused(target, BAD_VERSION, identity_and(), version_min=number, version_max=255)


@case("L1 Version-min 0, Version-max 255 is fine")
def version_range(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity(), version_max=255)
    equal((reply.byte2, reply.byte3), (0, 0), "version max and active")


@case("L2 {}", [
    ("CSG=2", {"csg": 2, "nsg": 3}), ("CSG=3", {"csg": 3, "nsg": 3}), ("NSG=2", {"nsg": 2}),
    ("NSG=0 behind CSG=1", {"nsg": 0}), ("NSG=CSG=1", {"nsg": 1}),
    ("NSG=CSG=0", {"csg": 0, "nsg": 0}), ("T=1 and C=1", {"more": True}),
    ("CSG=2 without T", {"csg": 2, "transit": False}),
    ("CSG=3 without T", {"csg": 3, "transit": False})])
def stages(target, how):
    refused(target, INITIATOR_ERROR, identity_and(), **how)


@case("L2 from stage {}", [("1 back to 0", 1, 0), ("0 to 1 without T", 0, 1)])
def stage_jump(target, first, second):
    conn = target.connect()
    conn.login_step(conn.identity() + ([("AuthMethod", "None")] if first == 0 else []),
                    csg=first, transit=False)
    conn.send(conn.login_pdu(csg=second, nsg=3))
    conn.expect_login_refused(INVALID_DURING_LOGIN)


@case("L2 {} in the security stage", [
    (key, key, value) for key, value in (("HeaderDigest", "None"), ("MaxBurstLength", "65536"))])
def operational_in_security(target, key, value):
    refused(target, INITIATOR_ERROR, identity_and(("AuthMethod", "None"), (key, value)), csg=0,
            nsg=1)


@case("L2 {} in the operational stage", [("AuthMethod", "AuthMethod", "None")])
def security_in_operational(target, key, value):
    refused(target, INITIATOR_ERROR, identity_and((key, value)))


@case("L3 a TSIH nobody has")
def unknown_tsih(target):
    conn = target.connect()
    conn.tsih = 0xfffe if target.innocent.tsih != 0xfffe else 0xfffd
    conn.send(conn.login_pdu(conn.identity()))
    conn.expect_login_refused(NO_SESSION)


@case("L3 a second connection for a session, MaxConnections is 1")
def second_connection(target):
    first = target.login()
    conn = target.connect(isid=first.isid)
    conn.tsih, conn.cid = first.tsih, 2
    conn.send(conn.login_pdu(conn.identity() + conn.operational()))
    conn.expect_login_refused(TOO_MANY_CONNECTIONS)
    first.ready().good()


@case("L3 the TSIH of a session of another {}", [
    ("ISID", None), ("initiator", "iqn.2026-11.test:other")])
def foreign_tsih(target, name):
    first = target.login()
    conn = target.connect(name=name or INITIATOR, isid=first.isid if name else None)
    conn.tsih = first.tsih
    conn.send(conn.login_pdu(conn.identity() + conn.operational()))
    conn.expect_login_refused(CANNOT_INCLUDE)
    first.ready().good()


@case("L5 {} changes within a login", [
    ("ITT", {"itt": 0x4242}), ("CID", {"cid": 77}), ("ISID", {"isid": b"\x80other"})])
def changed_identity(target, change):
    conn = target.connect()
    conn.login_step(conn.identity(), transit=False)
    conn.send(conn.login_pdu(conn.operational(), **change))
    conn.expect_login_refused(INVALID_DURING_LOGIN)


@case("L6 no {}", [("InitiatorName", 0), ("TargetName in a normal session", 2)])
def missing_name(target, index):
    def text(conn):
        pairs = conn.identity()
        del pairs[index]
        return pairs
    refused(target, MISSING_PARAMETER, text)


@case("L6 an empty Login Request")
def empty_login(target):
    refused(target, MISSING_PARAMETER, b"")


BAD_NAMES = [
    ("empty", ""), ("of 224 bytes", "iqn.2026-11.test:".ljust(NAME_MAX + 1, "x")),
    ("with a blank", "iqn.2026-11.test:a b"), ("with an underscore", "iqn.2026-11.test:a_b"),
    ("with a slash", "iqn.2026-11.test:../../etc"), ("with %n", "iqn.2026-11.test:%n%n%s"),
    ("with a control character", "iqn.2026-11.test:a\x01"),
    ("in UTF-8", "iqn.2026-11.test:\u00e9t\u00e9"),
    ("that is no UTF-8", b"iqn.2026-11.test:\xff\xfe"), ("of no known kind", "host.test:disk"),
    ("that is only a prefix", "iqn."), ("with a short eui", "eui.0123")]


@case("L6 InitiatorName {}", BAD_NAMES)
def bad_initiator_name(target, name):
    refused(target, INITIATOR_ERROR,
            [("InitiatorName", name), ("SessionType", "Normal"), ("TargetName", target.iqn)])


@case("L6 TargetName {}", BAD_NAMES)
def bad_target_name(target, name):
    refused(target, INITIATOR_ERROR,
            [("InitiatorName", INITIATOR), ("SessionType", "Normal"), ("TargetName", name)])


@case("L6 names of 223 bytes are legal: InitiatorName is let in, TargetName is not found")
def longest_names(target):
    name = "iqn.2026-11.test:".ljust(NAME_MAX, "x")
    target.login(name=name).ready().good()
    refused(target, NOT_FOUND, [("InitiatorName", name), ("TargetName", name)])


@case("L6 upper case letters in names mean the lower case ones")
def upper_case(target):
    conn = target.connect(name=INITIATOR.upper())
    conn.target = conn.target.upper()
    conn.login()
    conn.clear_unit_attention()
    twin = target.login(isid=conn.isid)
    conn.expect_closed()
    twin.ready().good()


@case("L6 a target nobody has: {}", [
    ("another name", lambda iqn: "iqn.2026-11.test:nobody"), ("a prefix", lambda iqn: iqn[:-1]),
    ("one character more", lambda iqn: iqn + "x")])
def unknown_target(target, name):
    refused(target, NOT_FOUND, [("InitiatorName", INITIATOR), ("TargetName", name(target.iqn))])


@case("L6 an initiator that is not allowed")
def not_allowed(_):
    friend = "iqn.2026-11.test:friend"
    with Target("--allow", friend, innocent=None) as own:
        for name in (INITIATOR, friend + "x", friend[:-1]):
            refused(own, NOT_ALLOWED, [("InitiatorName", name), ("TargetName", own.iqn)])
        own.login(name=friend).ready().good()


@case("L7 SessionType={}", [(v, v) for v in ("Foo", "normal", "Normal,Discovery", "")])
def session_type(target, value):
    refused(target, BAD_SESSION_TYPE, [("InitiatorName", INITIATOR), ("SessionType", value),
                                       ("TargetName", target.iqn)])


@case("L7 TargetName in a discovery session is ignored")
def discovery_with_target(target):
    conn = target.connect()
    offer = conn.operational("Discovery")
    reply = conn.login_step(conn.identity("Discovery") + [("TargetName", "iqn.2026-11.test:nobody")]
                            + offer)
    conn.enter_full_feature(offer, reply)
    check(conn.text([("SendTargets", "All")])[0], "no targets")


@case("L8 T=0 for ever: 20 requests are answered, the next ends the login")
def endless_empty(target):
    conn = target.connect()
    conn.login_step(conn.identity(), transit=False)
    for _ in range(19):
        conn.login_step(transit=False)
    conn.send(conn.login_pdu(transit=False))
    conn.expect_login_refused(INITIATOR_ERROR)


@case("L8 C=1 for ever with little text: 20 requests are answered, the next ends the login")
def endless_continue(target):
    conn = target.connect()
    for piece in range(20):
        conn.login_step(b"X-org.test.%d=yes\0" % piece, transit=False, more=True)
    conn.send(conn.login_pdu(b"X-org.test.last=yes\0", transit=False, more=True))
    conn.expect_login_refused(INITIATOR_ERROR)


@case("L8 C=1 for ever with full segments: refused before 64 KiB are exceeded")
def endless_text(target):
    conn = target.connect()
    try:
        for piece in range(9):
            pairs = [(f"X-org.test.{piece}.{i}", "v" * 236) for i in range(32)]
            text = encode_text(pairs)
            conn.login_step(text.ljust(8192, b"v"), transit=False, more=True)
    except LoginRefused as refusal:
        equal(refusal.status, INITIATOR_ERROR, "login status")
        conn.expect_closed()
        return
    check(False, "72 KiB of text were taken")


BAD_TEXT = [
    ("a key of 64 bytes", b"K" * 64 + b"=x\0"), ("a key of 300 bytes", b"K" * 300 + b"=x\0"),
    ("a key of 8000 bytes", b"K" * 8000 + b"=x\0"), ("a key without =", b"NoValueHere\0"),
    ("an empty key", b"=value\0"), ("only =", b"=\0"), ("a NUL in a key", b"Head\0Digest=None\0"),
    ("a control character in a key", b"Header\x01Digest=None\0"),
    ("a tab in a key", b"Header\tDigest=None\0"), ("DEL in a key", b"HeaderDigest\x7f=None\0"),
    ("a key with high bytes", b"H\xc3\xa4der=None\0")]


@case("L9 {}", BAD_TEXT)
def bad_text(target, text):
    refused(target, INITIATOR_ERROR, encode_text([("InitiatorName", INITIATOR),
                                                  ("SessionType", "Discovery")]) + text)


@case("L9 a key of 63 bytes is legal and not understood")
def longest_key(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("K" * 63, "x")])
    equal(dict(reply.pairs).get("K" * 63), "NotUnderstood", "answer")


@case("L10 {}", [
    ("InitiatorAlias of 256 bytes", ("InitiatorAlias", "a" * 256)),
    ("HeaderDigest of 256 bytes", ("HeaderDigest", "X" * 256)),
    ("MaxBurstLength with 300 digits", ("MaxBurstLength", "0" * 294 + "262144")),
    ("a value of 8000 bytes", ("X-org.test.long", "v" * 8000))])
def long_value(target, pair):
    refused(target, INITIATOR_ERROR, identity_and(pair))


@case("L10 InitiatorAlias of 255 bytes is legal")
def longest_value(target):
    conn = target.connect()
    conn.login_step(conn.identity() + [("InitiatorAlias", "a" * 255)])


@case("L10 a value of more than 8192 bytes over the C bit")
def value_over_segments(target):
    conn = target.connect()
    conn.login_step(encode_text(conn.identity()) + b"InitiatorAlias=" + b"a" * 7000, transit=False,
                    more=True)
    try:
        conn.login_step(b"a" * 8000, transit=False, more=True)
        conn.login_step(b"a\0")
    except LoginRefused as refusal:
        equal(refusal.status, INITIATOR_ERROR, "login status")
        conn.expect_closed()
        return
    check(False, "a value of 15001 bytes was taken")


@case("L11 {}", [
    ("text without its last NUL", lambda text: text[:-1]),
    ("8192 bytes without a NUL at the end", lambda text: (text + b"X-test=").ljust(8192, b"v")),
    ("8189 bytes without a NUL at the end", lambda text: (text + b"X-test=").ljust(8189, b"v")),
    ("8192 bytes without any NUL", lambda text: b"InitiatorName=".ljust(8192, b"x")),
    ("four NULs and nothing else", lambda text: bytes(4)),
    ("8192 NULs", lambda text: bytes(8192)), ("a leading NUL", lambda text: b"\0" + text)])
def terminator(target, change):
    refused(target, INITIATOR_ERROR, lambda conn: change(encode_text(conn.identity())))


@case("L13 a key twice in one request: {}", [
    ("the same value", [("HeaderDigest", "None"), ("HeaderDigest", "None")]),
    ("another value", [("MaxBurstLength", "512"), ("MaxBurstLength", "1024")]),
    ("a declaration", [("MaxRecvDataSegmentLength", "512"), ("MaxRecvDataSegmentLength", "512")]),
    ("the name", [("InitiatorName", INITIATOR)])])
def duplicate(target, pairs):
    refused(target, INITIATOR_ERROR, identity_and(*pairs))


@case("L13 a key twice in two requests")
def later_duplicate(target):
    conn = target.connect()
    conn.login_step(conn.identity() + [("HeaderDigest", "None")], transit=False)
    conn.send(conn.login_pdu([("HeaderDigest", "None")]))
    conn.expect_login_refused(INITIATOR_ERROR)


def unknown(count, start=0):
    return [(f"a{i}", "b") for i in range(start, start + count)]


@case("L14 64 unknown keys are answered")
def some_unknown(target):
    conn = target.connect()
    pairs = [("K%062d" % i, "b") for i in range(64)]
    reply = conn.login_step(conn.identity() + pairs)
    answered = [pair for pair in reply.pairs if pair[1] == "NotUnderstood"]
    equal(sorted(key for key, _ in answered), [key for key, _ in pairs], "keys not understood")


@case("L14 {} unknown keys in one request", [(n, n) for n in (65, 1000)])
def many_unknown(target, count):
    refused(target, INITIATOR_ERROR, identity_and(*unknown(count)))


@case("L14 2048 times a=b in 8192 bytes")
def unknown_flood(target):
    refused(target, INITIATOR_ERROR, b"a=b\0" * 2048)


@case("L14 unknown keys are counted over the whole login")
def unknown_in_parts(target):
    conn = target.connect()
    conn.login_step(conn.identity() + unknown(40), transit=False)
    conn.send(conn.login_pdu(unknown(40, 40), transit=False))
    conn.expect_login_refused(INITIATOR_ERROR)


@case("L15 a private key is not understood")
def private_key(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("X-com.foo", "bar")])
    equal(dict(reply.pairs).get("X-com.foo"), "NotUnderstood", "answer")


@case("L15 {} from the initiator is an answer, not a question", [
    (f"{key}={value}", key, value) for key in ("HeaderDigest", "MaxBurstLength", "ImmediateData",
                                               "X-com.foo")
    for value in ("NotUnderstood", "Irrelevant", "Reject")])
def reserved_values(target, key, value):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [(key, value)])
    check(key not in dict(reply.pairs), f"{key} was answered: {reply.pairs}")
    equal(reply.flags & 0x8f, 0x87, "stage bits: the login goes on")


NUMBERS = [
    ("MaxBurstLength", ("0", "511", "16777216", "18446744073709551616", "-1", " 512", "512 ",
                        "512,1024", "", "512x", "0x", "+512", "0x1000000", "1e3")),
    ("FirstBurstLength", ("511", "16777216")),
    ("MaxRecvDataSegmentLength", ("0", "511", "16777216")),
    ("MaxOutstandingR2T", ("0", "65536")), ("MaxConnections", ("0", "65536")),
    ("ErrorRecoveryLevel", ("3", "-1")), ("DefaultTime2Wait", ("3601",)),
    ("DefaultTime2Retain", ("3601",))]


@case("L16 {}", [(f"{key}={value!r}", key, value) for key, values in NUMBERS for value in values])
def bad_number(target, key, value):
    refused(target, INITIATOR_ERROR, identity_and((key, value)))


@case("L16 MaxBurstLength={} is the number 512", [(v, v) for v in ("512", "0x200", "0X200")])
def good_number(target, value):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("FirstBurstLength", "512"),
                                               ("MaxBurstLength", value)])
    equal(dict(reply.pairs).get("MaxBurstLength"), "512", "MaxBurstLength")


@case("L16 FirstBurstLength above MaxBurstLength ({} first) is cut to it", [
    ("MaxBurstLength", [("MaxBurstLength", 4096), ("FirstBurstLength", 8192)]),
    ("FirstBurstLength", [("FirstBurstLength", 8192), ("MaxBurstLength", 4096)])])
def first_over_max(target, pairs):
    conn = target.connect()
    reply = dict(conn.login_step(conn.identity() + pairs).pairs)
    equal((reply.get("MaxBurstLength"), reply.get("FirstBurstLength")), ("4096", "4096"), "answer")


@case("L16 {}", [(f"{key}={value!r}", key, value) for key, value in (
    ("InitialR2T", "YES"), ("ImmediateData", "maybe"), ("DataPDUInOrder", ""),
    ("DataSequenceInOrder", "Yes,No"), ("ImmediateData", "1"), ("InitialR2T", "yes"))])
def bad_boolean(target, key, value):
    refused(target, INITIATOR_ERROR, identity_and((key, value)))


@case("L16 a list with 1000 entries")
def long_list(target):
    refused(target, INITIATOR_ERROR, identity_and(("HeaderDigest", ",".join(["X-a"] * 1000))))


@case("L20 {} is answered No, the login goes on", [
    (f"{key}={value}", key, value) for key in ("OFMarker", "IFMarker") for value in ("Yes", "No")])
def markers(target, key, value):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [(key, value)])
    equal(dict(reply.pairs).get(key), "No", key)
    equal(reply.flags & 0x8f, 0x87, "stage bits")


@case("L20 {} is answered Reject, the login goes on", [
    (key, key) for key in ("OFMarkInt", "IFMarkInt")])
def marker_intervals(target, key):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [(key, "2048~8192")])
    equal(dict(reply.pairs).get(key), "Reject", key)
    equal(reply.opcode, LOGIN_RESPONSE, "opcode")


@case("a refused login leaves no session behind")
def nothing_left(target):
    first = target.login()
    refused(target, INITIATOR_ERROR, identity_and(("MaxBurstLength", "0")), isid=first.isid)
    nobody = [("InitiatorName", INITIATOR), ("TargetName", "iqn.2026-11.test:nobody")]
    refused(target, NOT_FOUND, nobody, isid=first.isid)
    first.ready().good()


if __name__ == "__main__":
    main(Target())
