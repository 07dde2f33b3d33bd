# SPDX-License-Identifier: BSD-2-Clause
"""What a target answers to a login that breaks the rules: rows L1 to L16."""

from demands import is_riser
from initiator import INITIATOR
from iscsi import (BAD_SESSION_TYPE, BAD_VERSION, CANNOT_INCLUDE, INITIATOR_ERROR,
                   INVALID_DURING_LOGIN, MISSING_PARAMETER, NO_SESSION, NOT_FOUND,
                   TOO_MANY_CONNECTIONS, encode_text)
from refusal import (expect_refusal, identity_and, not_admissible, refused, refused_in_the_end,
                     survives)
from suite import case
from tap import check, equal

GROUP = "login-errors"
NEEDS = "open"
NAME_MAX = 223


def first_request(target, text):
    """A connection and its first Login Request with this text (bytes, or more pairs)."""
    conn = target.connect()
    return conn, conn.login_pdu(text if isinstance(text, bytes) else conn.identity() + list(text))


# L1, L2: versions and stages


@case("L1 Version-min {} is refused", [(n, n) for n in (1, 2, 255)], rfc="11.13.5")
def version(target, number):
    refused(target, BAD_VERSION, identity_and(), version_min=number, version_max=255)


@case("L2 {}", [
    ("CSG=2", {"csg": 2, "nsg": 3}), ("CSG=3", {"csg": 3, "nsg": 3}), ("NSG=2", {"nsg": 2}),
    ("NSG=0 behind CSG=1", {"nsg": 0}), ("NSG=CSG=1", {"nsg": 1}),
    ("NSG=CSG=0", {"csg": 0, "nsg": 0}), ("T=1 and C=1", {"more": True}),
    ("CSG=2 without T", {"csg": 2, "transit": False}),
    ("CSG=3 without T", {"csg": 3, "transit": False})], rfc="11.12.3")
def stages(target, how):
    refused(target, INITIATOR_ERROR, identity_and(), **how)


@case("L2 from stage {}", [("1 back to 0", 1, 0), ("0 to 1 without T", 0, 1)], rfc="11.12.3")
def stage_jump(target, first, second):
    conn = target.connect()
    conn.login_step(conn.identity() + ([("AuthMethod", "None")] if first == 0 else []),
                    csg=first, transit=False)
    conn.send(conn.login_pdu(csg=second, nsg=3))
    expect_refusal(target, conn, INVALID_DURING_LOGIN)


@case("L2 {} in the security stage", [
    (key, key, value) for key, value in (("HeaderDigest", "None"), ("MaxBurstLength", "65536"))],
    rfc="6.3.2", needs="riser")
def operational_in_security(target, key, value):
    refused(target, INITIATOR_ERROR, identity_and(("AuthMethod", "None"), (key, value)), csg=0,
            nsg=1)


@case("L2 AuthMethod in the operational stage", rfc="6.3.3", needs="riser")
def security_in_operational(target):
    refused(target, INITIATOR_ERROR, identity_and(("AuthMethod", "None")))


# L3, L5: whose login it is


@case("2.2 TSIH Invalid: L3 one that nobody has", rfc="11.13.5")
def unknown_tsih(target):
    conn = target.connect()
    taken = {c.tsih for c in [*target.connections, target.innocent]}
    conn.tsih = next(n for n in range(0xfffe, 0, -1) if n not in taken)
    conn.send(conn.login_pdu(conn.identity()))
    expect_refusal(target, conn, NO_SESSION)


@case("2.2 TSIH Invalid: L3 that of a session that has ended", rfc="11.13.5")
def ended_tsih(target):
    first = target.login()
    equal(first.logout(), 0, "logout")
    first.expect_closed()
    refused(target, NO_SESSION, identity_and(), isid=first.isid, tsih=first.tsih)


@case("2.2 TSIH Invalid: L3 that of a session of another {}", [
    ("ISID", None), ("initiator", "iqn.2026-11.test:other")], rfc="11.13.5")
def foreign_tsih(target, name):
    first = target.login()
    conn = target.connect(name=name or INITIATOR, isid=first.isid if name else None)
    conn.tsih = first.tsih
    conn.send(conn.login_pdu(conn.identity()))
    expect_refusal(target, conn, CANNOT_INCLUDE)
    first.ready().good()


@case("2.3 TSIH: L3 a second connection when MaxConnections=1 was agreed on", rfc="13.2")
def second_connection(target):
    first = target.login(MaxConnections=1)
    conn = target.connect(isid=first.isid)
    conn.tsih, conn.cid, conn.cmdsn = first.tsih, 2, first.cmdsn
    conn.send(conn.login_pdu(conn.identity()))
    expect_refusal(target, conn, TOO_MANY_CONNECTIONS)
    first.ready().good()


@case("L5 {} changes within a login", [
    ("ITT", {"itt": 0x4242}), ("CID", {"cid": 77}), ("ISID", {"isid": b"\x80other"}),
    ("TSIH", {"tsih": 0x1234})], rfc="11.12")
def changed_identity(target, change):
    conn = target.connect()
    conn.login_step(conn.identity(), transit=False)
    conn.send(conn.login_pdu(conn.operational(), **change))
    expect_refusal(target, conn, INVALID_DURING_LOGIN)


# L6, L7: names and session types


@case("L6 no {}", [("InitiatorName", 0), ("TargetName in a normal session", 2)], rfc="6.3.1")
def missing_name(target, index):
    def text(conn):
        pairs = conn.identity()
        del pairs[index]
        return pairs
    refused(target, MISSING_PARAMETER, text)


@case("L6 an empty Login Request", rfc="6.3.1")
def empty_login(target):
    refused(target, MISSING_PARAMETER, b"")


BAD_NAMES = [
    ("empty", ""), ("of 224 bytes", "iqn.2026-11.test:".ljust(NAME_MAX + 1, "x")),
    ("with a blank", "iqn.2026-11.test:a b"), ("with an underscore", "iqn.2026-11.test:a_b"),
    ("with a slash", "iqn.2026-11.test:../../etc"), ("with %n", "iqn.2026-11.test:%n%n%s"),
    ("with a control character", "iqn.2026-11.test:a\x01"),
    ("that is no UTF-8", b"iqn.2026-11.test:\xff\xfe"), ("of no known kind", "host.test:disk"),
    ("that is only a prefix", "iqn."), ("with a short eui", "eui.0123"),
    ("with an eui of other letters", "eui.0123456789abcdeg"), ("with a short naa", "naa.5200")]


@case("11.1 InitiatorName {}", BAD_NAMES, rfc="4.2.7.2")
def bad_initiator_name(target, name):
    survives(target, *first_request(target, encode_text(
        [("InitiatorName", name), ("SessionType", "Normal"), ("TargetName", target.iqn)])))


@case("11.1 TargetName {} is not found", BAD_NAMES, rfc="4.2.7.2")
def bad_target_name(target, name):
    conn = target.connect()
    conn.send(conn.login_pdu([("InitiatorName", INITIATOR), ("SessionType", "Normal"),
                              ("TargetName", name)]))
    expect_refusal(target, conn, INITIATOR_ERROR)


@case("L6 a target nobody has: {}", [
    ("another name", lambda iqn: "iqn.2026-11.test:nobody"), ("a prefix", lambda iqn: iqn[:-1]),
    ("one character more", lambda iqn: iqn + "x")], rfc="11.13.5")
def unknown_target(target, name):
    refused(target, NOT_FOUND, [("InitiatorName", INITIATOR), ("TargetName", name(target.iqn))])


@case("21.1 SessionType={} is refused", [(v, v) for v in ("Foo", "normal", "Normal,Discovery", "")],
      rfc="13.21")
def session_type(target, value):
    refused(target, BAD_SESSION_TYPE if value == "Foo" or is_riser(target)
            else INITIATOR_ERROR, [("InitiatorName", INITIATOR), ("SessionType", value),
                                   ("TargetName", target.iqn)])


# L8: logins without an end


@case("L8 T=0 for ever: 20 requests are answered, the next ends the login", rfc="6.3",
      needs="riser")
def endless_empty(target):
    conn = target.connect()
    conn.login_step(conn.identity(), transit=False)
    for _ in range(19):
        conn.login_step(transit=False)
    conn.send(conn.login_pdu(transit=False))
    expect_refusal(target, conn, INITIATOR_ERROR)


@case("L8 C=1 for ever with little text: 20 requests are answered, the next ends the login",
      rfc="6.2", needs="riser")
def endless_continue(target):
    conn = target.connect()
    for piece in range(20):
        conn.login_step(b"X-org.test.%d=yes\0" % piece, transit=False, more=True)
    conn.send(conn.login_pdu(b"X-org.test.last=yes\0", transit=False, more=True))
    expect_refusal(target, conn, INITIATOR_ERROR)


@case("L8 C=1 for ever with full segments is refused", rfc="6.2")
def endless_text(target):
    conn = target.connect()
    pieces = (encode_text([(f"X-org.test.{piece}.{i}", "v" * 236) for i in range(32)])
              for piece in range(9 if is_riser(target) else 256))
    refused_in_the_end(target, conn, (
        conn.login_pdu(piece.ljust(8192, b"v"), transit=False, more=True) for piece in pieces))


# L9 to L11: text that is none


BAD_TEXT = [
    ("a key of 64 bytes", b"K" * 64 + b"=x\0"), ("a key of 300 bytes", b"K" * 300 + b"=x\0"),
    ("a key of 8000 bytes", b"K" * 8000 + b"=x\0"), ("a key without =", b"NoValueHere\0"),
    ("an empty key", b"=value\0"), ("only =", b"=\0"), ("a NUL in a key", b"Head\0Digest=None\0"),
    ("a control character in a key", b"Header\x01Digest=None\0"),
    ("a tab in a key", b"Header\tDigest=None\0"), ("DEL in a key", b"HeaderDigest\x7f=None\0"),
    ("a key with high bytes", b"H\xc3\xa4der=None\0"),
    ("InitiatorAlias of 256 bytes", b"InitiatorAlias=" + b"a" * 256 + b"\0"),
    ("HeaderDigest of 256 bytes", b"HeaderDigest=" + b"X" * 256 + b"\0"),
    ("MaxBurstLength with 300 digits", b"MaxBurstLength=" + b"0" * 294 + b"262144\0"),
    ("a value of 8000 bytes", b"X-org.test.long=" + b"v" * 8000 + b"\0")]


@case("8.1 Invalid PDU: L9, L10 {}", BAD_TEXT, rfc="6.1")
def bad_text(target, text):
    head = encode_text([("InitiatorName", INITIATOR), ("SessionType", "Discovery")])
    survives(target, *first_request(target, head + text))


@case("8.1 Invalid PDU: L10 a value of more than 8192 bytes over the C bit", rfc="6.1",
      needs="riser")
def value_over_segments(target):
    conn = target.connect()
    refused_in_the_end(target, conn, [
        conn.login_pdu(encode_text(conn.identity()) + b"InitiatorAlias=" + b"a" * 7000,
                       transit=False, more=True),
        conn.login_pdu(b"a" * 8000, transit=False, more=True), conn.login_pdu(b"a\0")])


@case("8.1 Invalid PDU: L11 {}", [
    ("text without its last NUL", lambda text: text[:-1]),
    ("8192 bytes without a NUL at the end", lambda text: (text + b"X-test=").ljust(8192, b"v")),
    ("8189 bytes without a NUL at the end", lambda text: (text + b"X-test=").ljust(8189, b"v")),
    ("8192 bytes without any NUL", lambda text: b"InitiatorName=".ljust(8192, b"x")),
    ("four NULs and nothing else", lambda text: bytes(4)),
    ("8192 NULs", lambda text: bytes(8192)), ("a leading NUL", lambda text: b"\0" + text)],
    rfc="6.1")
def terminator(target, change):
    conn = target.connect()
    survives(target, conn, conn.login_pdu(change(encode_text(conn.identity()))))


# L13, L14: twice, and too many


@case("6.1 Negotiate Once: a key twice in one request, {}", [
    ("the same value", [("HeaderDigest", "None"), ("HeaderDigest", "None")]),
    ("another value", [("MaxBurstLength", "512"), ("MaxBurstLength", "1024")]),
    ("a declaration", [("MaxRecvDataSegmentLength", "512"), ("MaxRecvDataSegmentLength", "512")]),
    ("the name", [("InitiatorName", INITIATOR)])], rfc="6.2")
def duplicate(target, pairs):
    refused(target, INITIATOR_ERROR, identity_and(*pairs))


@case("6.2 Negotiate Once: {} again in a later request", [
    ("HeaderDigest", ("HeaderDigest", "None")), ("MaxBurstLength", ("MaxBurstLength", "8192")),
    ("InitialR2T", ("InitialR2T", "Yes")),
    ("MaxRecvDataSegmentLength", ("MaxRecvDataSegmentLength", "8192"))], rfc="6.2")
def later_duplicate(target, pair):
    conn = target.connect()
    conn.login_step(conn.identity() + [pair], transit=False)
    conn.send(conn.login_pdu([pair]))
    expect_refusal(target, conn, INITIATOR_ERROR)


def unknown(count, start=0):
    return [(f"A{i}", "b") for i in range(start, start + count)]


@case("L14 64 unknown keys are answered", rfc="6.2", needs="riser")
def some_unknown(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("K%062d" % i, "b") for i in range(64)])
    answered = [pair for pair in reply.pairs if pair[1] == "NotUnderstood"]
    equal(len(answered), 64, "keys not understood")


@case("L14 {} unknown keys in one request", [(n, n) for n in (65, 1000)], rfc="6.2")
def many_unknown(target, count):
    survives(target, *first_request(target, unknown(count)))


@case("L14 2048 times a=b in 8192 bytes", rfc="6.2")
def unknown_flood(target):
    survives(target, *first_request(target, b"a=b\0" * 2048))


@case("L14 unknown keys are counted over the whole login", rfc="6.2", needs="riser")
def unknown_in_parts(target):
    conn = target.connect()
    conn.login_step(conn.identity() + unknown(40), transit=False)
    conn.send(conn.login_pdu(unknown(40, 40), transit=False))
    expect_refusal(target, conn, INITIATOR_ERROR)


# L16: values that are not admissible


NUMBERS = [
    ("MaxBurstLength", ("0", "511", "16777216", "18446744073709551616", "-1", " 512", "512 ",
                        "512,1024", "", "512x", "0x", "+512", "0x1000000", "1e3")),
    ("FirstBurstLength", ("511", "16777216")),
    ("MaxRecvDataSegmentLength", ("0", "511", "16777216")),
    ("MaxOutstandingR2T", ("0", "65536")), ("MaxConnections", ("0", "65536")),
    ("ErrorRecoveryLevel", ("3", "-1")), ("DefaultTime2Wait", ("3601",)),
    ("DefaultTime2Retain", ("3601",))]


@case("7.4 Illegal Value: L16 {}", [(f"{key}={value!r}", key, value)
                                    for key, values in NUMBERS for value in values], rfc="6.2.2")
def bad_number(target, key, value):
    conn, pdu = first_request(target, [(key, value)])
    not_admissible(target, conn, key, pdu)


@case("13.2 Boolean Illegal Value: L16 {}", [(f"{key}={value!r}", key, value) for key, value in (
    ("InitialR2T", "YES"), ("ImmediateData", "maybe"), ("DataPDUInOrder", ""),
    ("DataSequenceInOrder", "Yes,No"), ("ImmediateData", "1"), ("InitialR2T", "yes"))],
    rfc="6.2.2")
def bad_boolean(target, key, value):
    conn, pdu = first_request(target, [(key, value)])
    not_admissible(target, conn, key, pdu)


@case("9.3 Digest Illegal Value: {}", [(f"{key}={value!r}", key, value) for key in (
    "HeaderDigest", "DataDigest") for value in ("MD5", "crc32c", "CRC32C;None")], rfc="6.2.1")
def bad_digest(target, key, value):
    conn, pdu = first_request(target, [(key, value)])
    conn.send(pdu)
    reply = conn.recv()
    check(reply.login_status >> 8 == 2
          or f"{key}=Reject".encode() in reply.data.split(b"\0"), f"taken: {reply.data!r}")


@case("7.2 List: L16 a list with 1000 entries", rfc="6.1")
def long_list(target):
    survives(target, *first_request(target, [("HeaderDigest", ",".join(["X-a"] * 1000))]))


@case("7.5 SendTargets during login is refused", rfc="RFC 7143 C", needs="riser")
def send_targets(target):
    refused(target, INITIATOR_ERROR, identity_and(("SendTargets", "All")))


@case("8.1 Invalid PDU: L15 {} of the target from an initiator", [
    (key, key, value) for key, value in (("TargetAlias", "x"), ("TargetAddress", "127.0.0.1"),
                                         ("TargetPortalGroupTag", "1"))], rfc="13.8",
      needs="riser")
def target_keys(target, key, value):
    refused(target, INITIATOR_ERROR, identity_and((key, value)))


# Afterwards


@case("a refused login leaves no session behind", rfc="6.3.6")
def nothing_left(target):
    first = target.login()
    refused(target, NOT_FOUND, [("InitiatorName", INITIATOR),
                                ("TargetName", "iqn.2026-11.test:nobody")], isid=first.isid)
    refused(target, BAD_VERSION, identity_and(), isid=first.isid, version_min=1)
    first.ready().good()


@case("after a refusal nothing more is heard on that connection", rfc="11.13.5")
def refused_is_closed(target):
    conn = target.connect()
    conn.send(conn.login_pdu([("InitiatorName", INITIATOR),
                              ("TargetName", "iqn.2026-11.test:nobody")]),
              conn.login_pdu(conn.identity()))
    expect_refusal(target, conn, NOT_FOUND)
