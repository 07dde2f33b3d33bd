# SPDX-License-Identifier: BSD-2-Clause
"""Text Requests in full feature phase: SendTargets, the C bit both ways, Target Transfer
Tags, long answers, keys nobody knows; and what breaks their rules: rows L9 to L19."""

import re

from demands import is_riser, rejected
from initiator import INITIATOR
from iscsi import (INVALID_FIELD, NO_TAG, PROTOCOL_ERROR, REJECT, TEXT_RESPONSE, decode_text,
                   encode_text)
from suite import case
from tap import check, equal
from target import Target

GROUP = "text"
FINAL, CONTINUE = 0x80, 0x40
PORTALS = [f"127.0.0.{i}:0" for i in range(1, 41)]
ADDRESS = re.compile(r"(\[[0-9a-fA-F:.%a-z]+\]|[^\[\]:,]+)(:\d+)?(,\d+)?$")


def addresses(target):
    """What riserd has printed, as SendTargets tells it."""
    return [f"{m.group(1)}:{m.group(2)},1" for m in target.urls if m.group(4) == "0"]


def names(pairs):
    return [value for key, value in pairs if key == "TargetName"]


def open_exchange(conn, itt=0x700):
    """A text exchange that waits for more from us; returns its TTT."""
    conn.send(conn.text_pdu(b"SendTargets=", flags=CONTINUE, itt=itt))
    reply = conn.expect(TEXT_RESPONSE)
    equal((reply.itt, reply.flags & 0xc0, reply.data), (itt, 0, b""), "answer to C=1")
    check(reply.ttt != NO_TAG, "an exchange that goes on needs a TTT")
    return reply.ttt


def end_exchange(conn, ttt, text=b"\0", itt=0x700):
    """The last request of the exchange; returns the pairs of the answer."""
    conn.send(conn.text_pdu(text, ttt=ttt, itt=itt))
    reply = conn.expect(TEXT_RESPONSE)
    equal((reply.itt, reply.final, reply.ttt), (itt, True, NO_TAG), "ITT, F and TTT of the end")
    return decode_text(reply.data)


def fresh(conn, target):
    """The connection is silent, and its next exchange is as any."""
    conn.resync()
    equal(conn.text([("SendTargets", "")])[0][0], ("TargetName", target.iqn), "the next exchange")


# SendTargets


@case("SendTargets=All in a discovery session names each target and how to reach it",
      rfc="RFC 7143 C", needs="discovery")
def all_targets(target):
    pairs, _ = target.login(session="Discovery").text([("SendTargets", "All")])
    equal(pairs[0][0], "TargetName", "the first key")
    check(target.iqn in names(pairs), f"{target.iqn} is not among {names(pairs)}")
    equal(len(set(names(pairs))), len(names(pairs)), "names that differ")
    for key, value in pairs:
        check(key in ("TargetName", "TargetAddress", "TargetAlias"), f"key {key}")
        check(key != "TargetAddress" or ADDRESS.match(value), f"TargetAddress={value}")


@case("SendTargets=All: the address that we use is told", rfc="RFC 7143 C",
      needs="discovery,framing")
def own_address(target):
    conn = target.login(session="Discovery")
    host, port = conn.sock.getpeername()[:2]
    conn.text([("SendTargets", "All")])
    told = target.targets[target.iqn]
    check(any(value.partition(",")[0] in (f"{host}:{port}", f"[{host}]:{port}", host)
              for value in told), f"{host}:{port} is not among {told}")


@case("SendTargets=All: TargetAddress has a portal group tag", rfc="13.8", needs="discovery")
def address_tags(target):
    for value in target.targets[target.iqn]:
        check(value.rpartition(",")[2].isdigit() and "," in value, f"TargetAddress={value}")


@case("SendTargets with the target's name, in a {} session, tells this target alone", [
    ("discovery", "Discovery"), ("normal", "Normal")], rfc="RFC 7143 C", needs="discovery")
def one_target(target, session):
    pairs, _ = target.login(session=session).text([("SendTargets", target.iqn)])
    equal(names(pairs), [target.iqn], "targets")


@case("SendTargets without a value in a normal session tells this target alone", rfc="RFC 7143 C")
def own_target(target):
    conn = target.login()
    pairs, _ = conn.text([("SendTargets", "")])
    equal(names(pairs), [target.iqn], "targets")
    conn.resync()


@case("SendTargets without a value in a discovery session: Reject, or an empty answer",
      rfc="RFC 7143 C", needs="discovery")
def empty_in_discovery(target):
    conn = target.login(session="Discovery")
    conn.send(conn.text_pdu([("SendTargets", "")], immediate=True))
    pdu = conn.recv()
    check(pdu.opcode == REJECT or pdu.opcode == TEXT_RESPONSE, f"answer {pdu}")
    if pdu.opcode == TEXT_RESPONSE:
        check(pdu.data in (b"", b"SendTargets=Reject\0"), f"answer {pdu.data!r}")
    conn.cmdsn = conn.expcmdsn
    check(conn.text([("SendTargets", "All")])[0], "no targets")


@case("L18 SendTargets=All in a normal session is refused, or shows this target alone",
      rfc="RFC 7143 C")
def all_in_normal(target):
    conn = target.login()
    conn.send(conn.text_pdu([("SendTargets", "All")], immediate=True))
    pdu = conn.recv()
    check(pdu.opcode in (REJECT, TEXT_RESPONSE), f"answer {pdu}")
    if pdu.opcode == TEXT_RESPONSE and b"SendTargets=Reject" not in pdu.data:
        equal(names(decode_text(pdu.data)), [target.iqn], "targets")
    conn.resync()


@case("L18 SendTargets of a target nobody has, in a {} session: an empty answer", [
    (kind.lower(), kind) for kind in ("Normal", "Discovery")], rfc="RFC 7143 C",
    needs="discovery")
def unknown_target(target, kind):
    conn = target.login(session=kind)
    equal(conn.text([("SendTargets", "iqn.2026-11.test:nobody")]), ([], 1), "answer")


@case("SendTargets of another target in a normal session tells nothing of it", rfc="RFC 7143 C",
      needs="two-targets")
def other_target(target):
    other = next(name for name in target.targets if name != target.iqn)
    conn = target.login()
    conn.send(conn.text_pdu([("SendTargets", other)], immediate=True))
    pdu = conn.recv()
    check(pdu.opcode == REJECT or other.encode() not in pdu.data, f"answer {pdu.data!r}")


@case("SendTargets=All twice in one session gives the same", rfc="RFC 7143 C", needs="discovery")
def twice(target):
    conn = target.login(session="Discovery")
    first = conn.text([("SendTargets", "All")])
    equal(conn.text([("SendTargets", "All")]), first, "the second answer")


@case("SendTargets=All of riserd tells its portals and nothing else", rfc="RFC 7143 C",
      needs="own")
def riser_answer(_):
    with Target(portals=PORTALS[:3], innocent=None) as own:
        pairs, _ = own.login(session="Discovery").text([("SendTargets", "All")])
        equal(pairs, [("TargetName", own.iqn)]
              + [("TargetAddress", address) for address in addresses(own)], "answer")


@case("SendTargets: TargetAddress has the tag of each portal's group", rfc="13.9", needs="own")
def riser_tags(_):
    with Target(portals=("127.0.0.1:0,tag=3", "127.0.0.2:0,tag=7"), innocent=None) as own:
        pairs, _ = own.login(session="Discovery").text([("SendTargets", "All")])
        tags = sorted(value.rpartition(",")[2] for key, value in pairs if key == "TargetAddress")
        equal(tags, ["3", "7"], "portal group tags")


@case("SendTargets: TargetAddress of an IPv6 portal has brackets", rfc="13.8", needs="own")
def riser_ipv6(_):
    with Target(portals=("[::1]:0",), innocent=None) as own:
        pairs, _ = own.login(session="Discovery").text([("SendTargets", "All")])
        equal(pairs[1:], [("TargetAddress", f"[::1]:{own.address[1]},1")], "addresses")
        own.login().ready().good()


@case("SendTargets: a portal of every address is told as the one that was used", rfc="13.8",
      needs="own")
def riser_any_address(_):
    with Target("--allow", INITIATOR, portals=("0.0.0.0:0",), innocent=None) as own:
        for host in ("127.0.0.1", "127.0.0.5"):
            own.address = (host, own.address[1])
            pairs, _ = own.login(session="Discovery").text([("SendTargets", "All")])
            equal(pairs[1:], [("TargetAddress", f"{host}:{own.address[1]},1")], "addresses")


@case("discovery: a SCSI command is rejected, the session stays", rfc="4.3", needs="discovery")
def discovery_command(target):
    conn = target.login(session="Discovery")
    command = conn.send(conn.command_pdu(bytes(6), immediate=True))
    rejected(target, conn, command, PROTOCOL_ERROR)
    check(conn.text([("SendTargets", "All")])[0], "no targets")


@case("discovery: Logout ends the session", rfc="11.14", needs="discovery")
def discovery_logout(target):
    conn = target.login(session="Discovery")
    equal(conn.logout(), 0, "response of the Logout")
    if is_riser(target):
        conn.expect_closed()


# Long answers


def long_target():
    return Target(portals=PORTALS, innocent=None)


@case("an answer longer than MaxRecvDataSegmentLength comes in parts", rfc="11.11.2", needs="own")
def long_answer(_):
    with long_target() as own:
        conn = own.login(session="Discovery", MaxRecvDataSegmentLength=512)
        pairs, count = conn.text([("SendTargets", "All")])
        equal(pairs[0], ("TargetName", own.iqn), "first pair")
        equal([value for key, value in pairs[1:] if key == "TargetAddress"], addresses(own),
              "portals")
        equal(len(pairs), 41, "pairs")
        check(count > 2, f"{len(encode_text(pairs))} bytes came in {count} PDUs of 512")


@case("a long answer may be abandoned for a new request", rfc="11.10.4", needs="own")
def long_answer_abandoned(_):
    with long_target() as own:
        conn = own.login(session="Discovery", MaxRecvDataSegmentLength=512)
        conn.send(conn.text_pdu([("SendTargets", "All")], itt=0x77))
        first = conn.expect(TEXT_RESPONSE)
        check(not first.final, "the first part is final")
        conn.send(conn.text_pdu([("SendTargets", "iqn.2026-11.test:nobody")], itt=0x77))
        reply = conn.expect(TEXT_RESPONSE)
        equal((reply.final, reply.data), (True, b""), "answer to the new request")


@case("L18 a long answer read part by part with a wrong TTT in between", rfc="11.11.4",
      needs="own")
def long_answer_wrong_ttt(_):
    with long_target() as own:
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


@case("a long answer: I/O of a normal session goes on between its parts", rfc="11.10.3",
      needs="own")
def long_answer_with_io(_):
    with Target(portals=PORTALS) as own:
        conn = own.login(MaxRecvDataSegmentLength=512)
        conn.send(conn.text_pdu([("SendTargets", "")], itt=0x700))
        part = conn.expect(TEXT_RESPONSE)
        check(not part.final, "the answer came in one part")
        text = part.data
        while not part.final:
            conn.ready().good()
            conn.read(0, 2)
            conn.send(conn.text_pdu(ttt=part.ttt, itt=0x700))
            part = conn.expect(TEXT_RESPONSE)
            text += part.data
        equal(len(decode_text(text)), 1 + len(PORTALS), "pairs")


# Other text


@case("a key nobody knows, {}, is not understood", [
    (key, key) for key in ("X-com.foo", "X#org.foo")], rfc="6.4")
def unknown_key(target, key):
    conn = target.login()
    equal(conn.text([(key, "bar")])[0], [(key, "NotUnderstood")], "answer")


@case("a Text Request without text has an answer without text", rfc="11.10")
def empty_request(target):
    conn = target.login()
    equal(conn.text(b""), ([], 1), "answer")


@case("MaxRecvDataSegmentLength may be declared anew; the answers keep to it", rfc="13.12")
def new_length(target):
    conn = target.login()
    conn.text([("MaxRecvDataSegmentLength", 512)])
    conn.max_recv = 512
    conn.read(0, 16)
    conn.ready().good()


@case("InitiatorAlias may be declared in full feature phase", rfc="13.7")
def new_alias(target):
    conn = target.login()
    pairs, _ = conn.text([("InitiatorAlias", "another name")])
    check("InitiatorAlias" not in dict(pairs) or not is_riser(target), f"answer {pairs}")
    conn.resync()


@case("an ordered Text Request waits for the commands before it", rfc="4.2.2.1")
def ordered(target):
    conn = target.login()
    command, request = conn.command_pdu(bytes(6)), conn.text_pdu([("X-com.foo", "bar")])
    conn.send(request)
    conn.ping()
    conn.send(command)
    answers = {conn.recv().itt, conn.recv().itt}
    equal(answers, {request.itt, command.itt}, "answers")


# The C bit and Target Transfer Tags


@case("the C bit: a request in two parts, cut at every byte", rfc="11.10.2")
def cut_everywhere(target):
    conn = target.login()
    text = encode_text([("SendTargets", target.iqn)])
    for cut in range(1, len(text)):
        conn.send(conn.text_pdu(text[:cut], flags=CONTINUE, itt=0x700))
        reply = conn.expect(TEXT_RESPONSE)
        equal((reply.itt, reply.flags & 0xc0, reply.data), (0x700, 0, b""), "answer to C=1")
        check(reply.ttt != NO_TAG, "no TTT")
        equal(names(end_exchange(conn, reply.ttt, text[cut:])), [target.iqn], f"cut at {cut}")


@case("L19 C=1 without text: an empty answer to go on with, then the whole one", rfc="11.10.2")
def empty_continue(target):
    conn = target.login()
    conn.send(conn.text_pdu(b"", flags=CONTINUE, itt=0x700))
    reply = conn.expect(TEXT_RESPONSE)
    equal((reply.flags & 0xc0, reply.data), (0, b""), "answer to C=1")
    check(reply.ttt != NO_TAG, "no TTT")
    equal(names(end_exchange(conn, reply.ttt, b"SendTargets=\0")), [target.iqn], "targets")


@case("the answer to F=0 is not final, the exchange ends with F=1 of both", rfc="11.11.1")
def initiator_goes_on(target):
    conn = target.login()
    conn.send(conn.text_pdu([("X-com.foo", "bar")], flags=0, itt=0x700))
    reply = conn.expect(TEXT_RESPONSE)
    check(not reply.final, "F=1 answers F=0")
    check(reply.ttt != NO_TAG, "an exchange that goes on needs a TTT")
    end_exchange(conn, reply.ttt, b"")


@case("a new exchange may have the ITT of one that has ended", rfc="11.10.3")
def itt_again(target):
    conn = target.login()
    for _ in range(3):
        conn.send(conn.text_pdu([("SendTargets", "")], itt=0x700))
        equal(names(decode_text(conn.expect(TEXT_RESPONSE).data)), [target.iqn], "targets")


@case("L19 F=1 and C=1 together: Reject, the session stays", rfc="11.10.2", needs="riser")
def final_and_continue(target):
    conn = target.login()
    for text in (b"", b"SendTargets=All\0"):
        request = conn.send(conn.text_pdu(text, flags=FINAL | CONTINUE, immediate=True))
        conn.expect_reject(PROTOCOL_ERROR, request)
        conn.resync()


@case("L19 a TTT nobody gave: Reject, the session stays", rfc="11.10.4")
def unknown_ttt(target):
    conn = target.login()
    request = conn.send(conn.text_pdu(b"SendTargets=All\0", ttt=0x1234567, immediate=True))
    rejected(target, conn, request, INVALID_FIELD)
    fresh(conn, target)


@case("L19 a wrong TTT while an exchange is open: Reject, the exchange is whole", rfc="11.10.4")
def wrong_ttt(target):
    conn = target.login()
    ttt = open_exchange(conn)
    request = conn.send(conn.text_pdu(b"\0", ttt=ttt ^ 0x5555, itt=0x700, immediate=True))
    rejected(target, conn, request, INVALID_FIELD)
    conn.resync()
    equal(names(end_exchange(conn, ttt)), [target.iqn], "targets")


@case("L19 a second exchange while one is open: Reject, the first goes on", rfc="11.10.3",
      needs="riser")
def second_exchange(target):
    conn = target.login()
    ttt = open_exchange(conn, 0x700)
    request = conn.send(conn.text_pdu(b"SendTargets=All\0", itt=0x701, immediate=True))
    conn.expect_reject(PROTOCOL_ERROR, request)
    conn.resync()
    equal(names(end_exchange(conn, ttt)), [target.iqn], "targets")


@case("L19 a TTT used again after its exchange was started anew: Reject", rfc="11.10.4")
def ttt_after_reset(target):
    conn = target.login()
    ttt = open_exchange(conn, 0x700)
    conn.send(conn.text_pdu([("X-com.foo", "bar")], itt=0x700))
    reply = conn.expect(TEXT_RESPONSE)
    equal((reply.final, decode_text(reply.data)), (True, [("X-com.foo", "NotUnderstood")]),
          "answer after the new start")
    request = conn.send(conn.text_pdu(b"\0", ttt=ttt, itt=0x700, immediate=True))
    rejected(target, conn, request, INVALID_FIELD)
    conn.resync()


@case("L19 a TTT used again after its exchange has ended: Reject", rfc="11.10.4")
def ttt_after_end(target):
    conn = target.login()
    ttt = open_exchange(conn)
    end_exchange(conn, ttt)
    request = conn.send(conn.text_pdu(b"\0", ttt=ttt, itt=0x700, immediate=True))
    rejected(target, conn, request, INVALID_FIELD)
    fresh(conn, target)


@case("L19 the TTT of another session: Reject", rfc="11.10.4", needs="riser")
def foreign_ttt(target):
    first, second = target.login(), target.login()
    ttt = open_exchange(first)
    request = second.send(second.text_pdu(b"\0", ttt=ttt, itt=0x700, immediate=True))
    second.expect_reject(INVALID_FIELD, request)
    equal(names(end_exchange(first, ttt)), [target.iqn], "targets")


def endless(target, conn, text, most):
    """C=1 again and again until a Reject."""
    ttt = NO_TAG
    for _ in range(most):
        request = conn.send(conn.text_pdu(text, flags=CONTINUE, ttt=ttt, itt=0x700,
                                          immediate=True))
        pdu = conn.recv()
        if pdu.opcode == REJECT:
            equal(pdu.data[:48], request.header(), "header in the Reject")
            if is_riser(target):
                equal(pdu.reason, PROTOCOL_ERROR, "Reject reason")
            fresh(conn, target)
            return
        equal(pdu.opcode, TEXT_RESPONSE, "opcode")
        ttt = pdu.ttt
    check(False, f"{most} parts of {len(text)} bytes were taken")


@case("L19 C=1 without text again and again ends in a Reject, the session stays", rfc="6.2",
      needs="riser")
def empty_continue_for_ever(target):
    endless(target, target.login(), b"", 100)


@case("L19 text without end over C=1 ends in a Reject, the session stays", rfc="6.2")
def endless_text(target):
    endless(target, target.login(), b"v" * 8192, 40 if is_riser(target) else 1024)


@case("L19 an exchange left open costs the next session nothing", rfc="6.4")
def abandoned(target):
    conn = target.login()
    open_exchange(conn)
    conn.close()
    again = target.login(isid=conn.isid)
    fresh(again, target)


# What may not stand in a Text Request


@case("L17 {} in full feature phase: Reject, the session stays", [
    (key, key, value) for key, value in (
        ("MaxConnections", 4), ("HeaderDigest", "CRC32C"), ("DataDigest", "None"),
        ("InitialR2T", "No"), ("ImmediateData", "No"), ("MaxBurstLength", 65536),
        ("FirstBurstLength", 512), ("MaxOutstandingR2T", 4), ("DefaultTime2Wait", 2),
        ("DefaultTime2Retain", 2), ("DataPDUInOrder", "Yes"), ("DataSequenceInOrder", "Yes"),
        ("ErrorRecoveryLevel", 0), ("AuthMethod", "None"), ("SessionType", "Normal"),
        ("InitiatorName", INITIATOR), ("TargetName", "iqn.2026-11.test:x"))], rfc="13")
def login_only(target, key, value):
    conn = target.login()
    request = conn.send(conn.text_pdu([(key, value)], immediate=True))
    if is_riser(target):
        conn.expect_reject(PROTOCOL_ERROR, request)
    else:
        pdu = conn.recv()
        check(pdu.opcode == REJECT or f"{key}=Reject\0".encode() in pdu.data, f"answer {pdu}")
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


@case("{} in a Text Request: an answer in time, the session stays", MALFORMED, rfc="6.1")
def malformed(target, text):
    conn = target.login()
    request = conn.send(conn.text_pdu(text, immediate=True))
    if is_riser(target):
        conn.expect_reject(PROTOCOL_ERROR, request)
    else:
        check(conn.recv().opcode in (REJECT, TEXT_RESPONSE), "no answer to a Text Request")
    fresh(conn, target)


@case("a Text Request with DSL=0 and a NOP-Out behind it are answered in turn", rfc="11.10")
def empty_then_ping(target):
    conn = target.login()
    request, ping = conn.text_pdu(b""), conn.ping_pdu(b"behind")
    conn.send(request, ping)
    answers = {conn.recv().itt, conn.recv().itt}
    equal(answers, {request.itt, ping.itt}, "answers")
