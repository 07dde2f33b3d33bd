# SPDX-License-Identifier: BSD-2-Clause
"""The operational keys and their result functions: an offer below, at and above what the
target has, booleans, lists, markers, keys nobody knows, and what holds afterwards."""

from initiator import OPERATIONAL, pattern
from iscsi import LOGIN_RESPONSE, TOO_MANY_CONNECTIONS
from refusal import refused
from suite import Skip, case
from tap import check, equal

GROUP = "negotiation"
NEEDS = "open"

# Key, section, smallest and largest legal value, result function, an offer in between.
NUMERIC = [
    ("MaxConnections", "13.2", 1, 65535, min, 3), ("MaxBurstLength", "13.13", 512, 16777215, min,
                                                   8192),
    ("FirstBurstLength", "13.14", 512, 16777215, min, 4096),
    ("DefaultTime2Wait", "13.15", 0, 3600, max, 7),
    ("DefaultTime2Retain", "13.16", 0, 3600, min, 7),
    ("MaxOutstandingR2T", "13.17", 1, 65535, min, 2), ("ErrorRecoveryLevel", "13.20", 0, 2, min, 1)]
BOOLEAN = [("InitialR2T", "13.10", "Yes"), ("ImmediateData", "13.11", "No"),
           ("DataPDUInOrder", "13.18", "Yes"), ("DataSequenceInOrder", "13.19", "Yes")]
DIGESTS = ("HeaderDigest", "DataDigest")


def settle(target, key, value):
    """What becomes of one offer; nothing else is negotiated but what belongs to it."""
    pairs = [(key, value)]
    if key == "MaxBurstLength" and int(str(value), 0) < 65536:
        pairs.append(("FirstBurstLength", 512))
    if key == "FirstBurstLength":
        pairs.append(("MaxBurstLength", 16777215))
    conn = target.connect()
    reply = conn.login_step(conn.identity() + pairs)
    result = dict(reply.pairs).get(key)
    check(result is not None, f"{key}={value} was not answered: {reply.pairs}")
    conn.enter_full_feature(pairs, reply)
    conn.ping()
    return result


def numeric_rows():
    return [(key, key, low, high, function, middle)
            for key, _, low, high, function, middle in NUMERIC]


def ours(target, key, low, high, function):
    """What the target itself has: its answer to the offer that leaves the choice to it."""
    return int(settle(target, key, high if function is min else low), 0)


@case("{}: the result of the smallest legal offer", numeric_rows(), rfc="6.2.2")
def numeric_lowest(target, key, low, high, function, _):
    result = int(settle(target, key, low), 0)
    if function is min:
        equal(result, low, key)
    else:
        check(low <= result <= high, f"{key}={result}")


@case("{}: the result of the largest legal offer", numeric_rows(), rfc="6.2.2")
def numeric_highest(target, key, low, high, function, _):
    result = int(settle(target, key, high), 0)
    if function is max:
        equal(result, high, key)
    else:
        check(low <= result <= high, f"{key}={result}")


@case("{}: the result of an offer at what the target has", numeric_rows(), rfc="6.2.2")
def numeric_at(target, key, low, high, function, _):
    own = ours(target, key, low, high, function)
    equal(int(settle(target, key, own), 0), own, key)


@case("{}: the result of an offer below and of one above what the target has", numeric_rows(),
      rfc="6.2.2")
def numeric_around(target, key, low, high, function, middle):
    own = ours(target, key, low, high, function)
    for offer in {max(low, own - 1), min(high, own + 1), middle}:
        equal(int(settle(target, key, offer), 0), function(own, offer), f"{key} after {offer}")


@case("{}: an offer in hexadecimal", numeric_rows(), rfc="6.1")
def numeric_hex(target, key, low, high, function, middle):
    own = ours(target, key, low, high, function)
    equal(int(settle(target, key, hex(middle)), 0), function(own, middle), key)


@case("MaxBurstLength={} is the number 512", [(v, v) for v in ("512", "0x200", "0X200")],
      rfc="6.1")
def number_formats(target, value):
    equal(int(settle(target, "MaxBurstLength", value), 0), 512, "MaxBurstLength")


@case("{}: both values of a boolean", [(key, key, dominant) for key, _, dominant in BOOLEAN],
      rfc="6.2.2")
def boolean(target, key, dominant):
    other = "No" if dominant == "Yes" else "Yes"
    equal(settle(target, key, dominant), dominant, f"{key} after {dominant}")
    check(settle(target, key, other) in (dominant, other), key)


@case("13.1 InitialR2T and ImmediateData, all four: a write goes through", rfc="13.11")
def four_ways(target):
    data = pattern(32, 0x44)
    for r2t in ("Yes", "No"):
        for immediate in ("Yes", "No"):
            conn = target.login(InitialR2T=r2t, ImmediateData=immediate)
            conn.write(300, bytes(len(data))).good()
            conn.write(300, data).good()
            equal(conn.read(300, 32), data, f"blocks, InitialR2T={r2t} ImmediateData={immediate}")


@case("keys nobody offers keep their defaults", rfc="13")
def defaults(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity())
    negotiated = [key for key, value in reply.pairs if key in OPERATIONAL
                  and key != "MaxRecvDataSegmentLength"
                  and str(value) not in ("Irrelevant", conn.keys.get(key, value))]
    equal(negotiated, [], "keys with another value than the default")
    conn.enter_full_feature([], reply)
    conn.clear_unit_attention()
    data = pattern(200, 0xdef)
    conn.write(0, data).good()
    equal(conn.read(0, 200), data, "data")


# Digests


@case("9 {} is answered with a value of the list", [
    (f"{key}={offer}", key, offer, offer.split(",")) for key in DIGESTS for offer in (
        "None", "None,CRC32C", "CRC32C,None", "X-riser-test,None")], rfc="13.1")
def digest_lists(target, key, offer, allowed):
    conn = target.connect().login(**{key: offer})
    check(conn.keys[key] in allowed, f"{key}={conn.keys[key]} out of {offer}")
    conn.clear_unit_attention()
    conn.ping(b"with the digest as agreed")


@case("9 {}: the first one of the list that the target knows", [
    (f"{key}={offer}", key, offer, result) for key in DIGESTS for offer, result in (
        ("CRC32C", "CRC32C"), ("CRC32C,None", "CRC32C"), ("None,CRC32C", "None"),
        ("X-riser-test,CRC32C,None", "CRC32C"))], rfc="6.2.1", needs="digests")
def digest_preference(target, key, offer, result):
    conn = target.connect().login(**{key: offer})
    equal(conn.keys[key], result, key)
    conn.clear_unit_attention()
    conn.ping(b"with the digest as agreed")


# MaxRecvDataSegmentLength


@case("14.1 MaxRecvDataSegmentLength={} is a declaration of its own in each direction", [
    (value, value) for value in (512, 8192, 262144, 16777215)], rfc="13.12")
def declaration(target, value):
    usual = target.login().max_send
    conn = target.login(MaxRecvDataSegmentLength=value)
    equal(conn.max_send, usual, "what the target declares")
    data = pattern(64, 0x14)
    conn.write(40, data).good()
    equal(conn.read(40, 64), data, "blocks")


@case("14.1 MaxRecvDataSegmentLength=512: no PDU of the target is longer", rfc="13.12")
def smallest_segments(target):
    conn = target.login(MaxRecvDataSegmentLength=512)
    conn.read(0, 64)
    conn.ping(b"x" * 512)


@case("14.1 MaxRecvDataSegmentLength holds during the login, too, once declared", rfc="13.12",
      needs="riser")
def segment_of_login(target):
    conn = target.connect()
    conn.login_step(conn.identity() + [("MaxRecvDataSegmentLength", 512)], transit=False)
    conn.max_recv = 8192
    reply = conn.login_step([("K%062d" % i, "b") for i in range(40)], transit=False)
    equal(len(reply.pairs), 40, "answers")


# Bursts


@case("16 FirstBurstLength above MaxBurstLength ({} first) does not come out so", [
    ("MaxBurstLength", [("MaxBurstLength", 4096), ("FirstBurstLength", 8192)]),
    ("FirstBurstLength", [("FirstBurstLength", 8192), ("MaxBurstLength", 4096)])], rfc="13.14")
def first_over_max(target, pairs):
    conn = target.connect()
    conn.send(conn.login_pdu(conn.identity() + pairs))
    reply = conn.expect(LOGIN_RESPONSE)
    if reply.login_status:
        equal(reply.login_status >> 8, 2, "login status class")
        return
    answer = dict(item.split(b"=", 1) for item in reply.data.split(b"\0") if item)
    first, most = answer.get(b"FirstBurstLength"), answer.get(b"MaxBurstLength")
    if b"Reject" in (first, most):
        return
    check(int(first, 0) <= int(most, 0), f"FirstBurstLength={first} MaxBurstLength={most}")


@case("16 FirstBurstLength above MaxBurstLength is cut to it", rfc="13.14", needs="riser")
def first_is_cut(target):
    conn = target.connect()
    reply = dict(conn.login_step(conn.identity() + [("MaxBurstLength", 4096),
                                                    ("FirstBurstLength", 8192)]).pairs)
    equal((reply.get("MaxBurstLength"), reply.get("FirstBurstLength")), ("4096", "4096"), "answer")


@case("16 FirstBurstLength is Irrelevant or a number when InitialR2T=Yes and ImmediateData=No",
      rfc="13.14")
def first_irrelevant(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("InitialR2T", "Yes"), ("ImmediateData", "No"),
                                               ("FirstBurstLength", 1024)])
    value = dict(reply.pairs).get("FirstBurstLength")
    check(value == "Irrelevant" or (value or "").isdigit() and int(value) <= 1024,
          f"FirstBurstLength={value}")


@case("17 a session with {} works", [
    (f"{key}={value}", key, value) for key, value in (
        ("MaxBurstLength", 512), ("FirstBurstLength", 512), ("MaxOutstandingR2T", 1),
        ("MaxBurstLength", 4096))], rfc="13.13")
def extreme_bursts(target, key, value):
    keys = {key: value, **({"FirstBurstLength": 512} if key == "MaxBurstLength" else {})}
    conn = target.login(InitialR2T="Yes", **keys)
    data = pattern(64, 0x17)
    conn.write(500, data).good()
    equal(conn.read(500, 64), data, "blocks")


# What riser has


RISER = [
    ("MaxBurstLength", "16776192", "1048576"), ("FirstBurstLength", "1048576", "262144"),
    ("MaxOutstandingR2T", "65535", "16"), ("MaxConnections", "65535", "4"),
    ("ErrorRecoveryLevel", "2", "2"), ("DefaultTime2Wait", "0", "0"),
    ("DefaultTime2Retain", "3600", "20"), ("InitialR2T", "No", "No"),
    ("ImmediateData", "Yes", "Yes"), ("DataPDUInOrder", "No", "Yes"),
    ("DataSequenceInOrder", "No", "Yes")]


@case("riser: {}", [(f"{k}={v} becomes {r}", k, v, r) for k, v, r in RISER], rfc="13",
      needs="riser,framing")
def riser_values(target, key, value, result):
    conn = target.connect().login(**{key: value})
    equal(conn.keys[key], result, key)
    equal(conn.max_send, 262144, "MaxRecvDataSegmentLength of the target")


# Task reporting and the protocol level


@case("TaskReporting={} is answered with a value of the list, or Reject", [
    (value, value) for value in ("RFC3720", "RFC3720,ResponseFence", "FastAbort,RFC3720",
                                 "FastAbort,ResponseFence,RFC3720")], rfc="13.23")
def task_reporting(target, value):
    result = settle(target, "TaskReporting", value)
    check(result in (*value.split(","), "Reject", "NotUnderstood"), f"TaskReporting={result}")


@case("iSCSIProtocolLevel={} becomes the smaller of two numbers", [(n, n) for n in (0, 1, 2, 31)],
      rfc="13.24")
def protocol_level(target, value):
    result = settle(target, "iSCSIProtocolLevel", value)
    if result == "NotUnderstood":
        raise Skip("the target does not know the key")
    check(int(result, 0) <= value, f"iSCSIProtocolLevel={result} after {value}")
    if value <= 1:
        equal(int(result, 0), value, "iSCSIProtocolLevel")


@case("iSCSIProtocolLevel=2 is agreed on", rfc="RFC 7144 7.1", needs="protocol2")
def protocol_level_two(target):
    equal(settle(target, "iSCSIProtocolLevel", 2), "2", "iSCSIProtocolLevel")


# Markers, unknown keys, answers instead of questions


@case("12.1 {} is not agreed on, the login goes on", [
    (f"{key}={value}", key, value) for key in ("OFMarker", "IFMarker") for value in ("Yes", "No")],
    rfc="13.25")
def markers(target, key, value):
    result = settle(target, key, value)
    check(result in ("No", "Reject", "NotUnderstood", "Irrelevant"), f"{key}={result}")


@case("12.1 {} is not agreed on, the login goes on", [
    (key, key) for key in ("OFMarkInt", "IFMarkInt")], rfc="13.25")
def marker_intervals(target, key):
    result = settle(target, key, "2048~8192")
    check(result in ("Reject", "NotUnderstood", "Irrelevant"), f"{key}={result}")


@case("7.6 Invalid Key: {} is not understood, the login goes on", [
    (key if len(key) < 30 else f"a key of {len(key)} bytes", key) for key in (
        "X-com.foo", "X-", "X#org.test", "Unknown", "K" * 63, "Y-com.foo",
        "A.b-c+d@e_f0")], rfc="6.2")
def unknown_key(target, key):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [(key, "bar")])
    equal(dict(reply.pairs).get(key), "NotUnderstood", "answer")
    equal(reply.flags & 0x8f, 0x87, "stage bits: the login goes on")


@case("L14 20 unknown keys are answered one by one", rfc="6.2")
def some_unknown(target):
    conn = target.connect()
    pairs = [("K%062d" % i, "b") for i in range(20)]
    reply = conn.login_step(conn.identity() + pairs)
    answered = [pair for pair in reply.pairs if pair[1] == "NotUnderstood"]
    equal(sorted(key for key, _ in answered), [key for key, _ in pairs], "keys not understood")


@case("L15 {} from the initiator is an answer, not a question", [
    (f"{key}={value}", key, value) for key in ("HeaderDigest", "MaxBurstLength", "ImmediateData",
                                               "X-com.foo")
    for value in ("NotUnderstood", "Irrelevant", "Reject")], rfc="6.2", needs="riser")
def reserved_values(target, key, value):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [(key, value)])
    check(key not in dict(reply.pairs), f"{key} was answered: {reply.pairs}")
    equal(reply.flags & 0x8f, 0x87, "stage bits: the login goes on")


# AuthMethod


@case("7 AuthMethod={} on a target without CHAP settles on None", [
    (value, value) for value in ("None", "CHAP,None", "None,CHAP", "KRB5,SRP,CHAP,None",
                                 "X-com.test.auth,None")], rfc="12.1")
def auth_method(target, value):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("AuthMethod", value)], csg=0, nsg=1)
    equal(dict(reply.pairs).get("AuthMethod"), "None", "AuthMethod")
    equal(reply.flags & 0x8f, 0x81, "stage bits")
    conn.enter_full_feature(conn.operational(), conn.login_step(conn.operational()))
    conn.ping()


@case("7 Invalid AuthMethod: {} ends the login with an authentication failure", [
    (value, value) for value in ("KRB5", "SRP,KRB5", "Foo")], rfc="11.13.5")
def auth_method_invalid(target, value):
    conn = target.connect()
    conn.send(conn.login_pdu(conn.identity() + [("AuthMethod", value)], csg=0, nsg=1))
    reply = conn.expect(LOGIN_RESPONSE)
    if not reply.login_status:
        check(b"AuthMethod=Reject" in reply.data.split(b"\0"), f"answer {reply.data!r}")
        return
    equal(reply.login_status >> 8, 2, "login status class")
    conn.expect_closed()


# Discovery sessions


@case("in a discovery session {} is Irrelevant or has a legal value", [
    (f"{key}={value}", key, value) for key, value in (
        ("MaxConnections", "4"), ("InitialR2T", "No"), ("ImmediateData", "Yes"),
        ("MaxBurstLength", "65536"), ("FirstBurstLength", "512"), ("MaxOutstandingR2T", "4"),
        ("DataPDUInOrder", "Yes"), ("DataSequenceInOrder", "Yes"))], rfc="13", needs="discovery")
def discovery_irrelevant(target, key, value):
    conn = target.connect()
    reply = conn.login_step(conn.identity("Discovery") + [(key, value)])
    result = dict(reply.pairs).get(key)
    check(result is not None, f"{key} was not answered")
    conn.enter_full_feature([], reply)
    check(conn.text([("SendTargets", "All")])[0], "no targets")


@case("in a discovery session ErrorRecoveryLevel is 0", rfc="7.4.1", needs="discovery")
def discovery_level(target):
    conn = target.login(session="Discovery", ErrorRecoveryLevel=2)
    equal(conn.keys.get("ErrorRecoveryLevel"), "0", "ErrorRecoveryLevel")


# Leading-only keys on a second connection


@case("10.1 Leading Only: {} on a second connection is refused or Irrelevant", [
    (key, key, value) for key, value in (
        ("MaxConnections", 2), ("InitialR2T", "Yes"), ("ImmediateData", "No"),
        ("MaxBurstLength", 65536), ("FirstBurstLength", 512), ("DefaultTime2Wait", 5),
        ("DefaultTime2Retain", 5), ("MaxOutstandingR2T", 1), ("DataPDUInOrder", "Yes"),
        ("DataSequenceInOrder", "Yes"), ("ErrorRecoveryLevel", 0))], rfc="13", needs="mcs")
def leading_only(target, key, value):
    first = target.login(MaxConnections=4)
    conn = target.connect(isid=first.isid)
    conn.tsih, conn.cid, conn.cmdsn = first.tsih, 2, first.cmdsn
    conn.send(conn.login_pdu(conn.identity() + [(key, value)]))
    reply = conn.expect(LOGIN_RESPONSE)
    if reply.login_status:
        equal(reply.login_status >> 8, 2, "login status class")
        conn.expect_closed()
    else:
        answer = dict(item.split(b"=", 1) for item in reply.data.split(b"\0") if item)
        check(answer.get(key.encode()) in (None, b"Irrelevant", b"Reject"),
              f"{key} was negotiated again: {reply.data!r}")
    first.ready().good()


@case("10.1 MaxConnections: as many connections as agreed on, and not one more", rfc="13.2",
      needs="mcs")
def as_many_connections(target):
    first = target.login(MaxConnections=4)
    most = first.limit("MaxConnections")
    for cid in range(2, most + 1):
        conn = target.connect(isid=first.isid)
        conn.tsih, conn.cid, conn.cmdsn = first.tsih, cid, first.cmdsn
        conn.login_step(conn.identity())
    refused(target, TOO_MANY_CONNECTIONS, lambda conn: conn.identity(), isid=first.isid,
            tsih=first.tsih, cid=most + 1, cmdsn=first.cmdsn)
    first.ready().good()
