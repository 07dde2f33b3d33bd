#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Login as RFC 7143 section 6 and 13 want it: stages, negotiation, text cut at
every byte, discovery, two sessions and a session that replaces another."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from conn import Closed
from initiator import BLOCK, pattern
from iscsi import PROTOCOL_ERROR, TEXT_RESPONSE, encode_text
from tap import case, check, equal, main
from target import Target, blocks_of


@case("login straight to full feature phase in one PDU")
def one_pdu(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + conn.operational())
    equal(dict(reply.pairs).get("TargetPortalGroupTag"), "1", "TargetPortalGroupTag")
    equal((reply.byte2, reply.byte3), (0, 0), "version max and active")
    conn.enter_full_feature(conn.operational(), reply)
    conn.clear_unit_attention()
    conn.ready().good()


@case("login through a security stage with AuthMethod=None")
def security_none(target):
    target.login(security=True).ready().good()


@case("AuthMethod=CHAP,None on a target without CHAP settles on None")
def security_preference(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("AuthMethod", "CHAP,None")], csg=0, nsg=1)
    equal(dict(reply.pairs).get("AuthMethod"), "None", "AuthMethod")
    equal(reply.flags & 0x8f, 0x81, "stage bits")
    conn.enter_full_feature(conn.operational(), conn.login_step(conn.operational()))
    conn.ping()


@case("security stage straight to full feature phase (CSG=0, NSG=3)")
def skip_operational(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity() + [("AuthMethod", "None")], csg=0, nsg=3)
    equal(reply.flags & 0x8f, 0x83, "stage bits")
    conn.tsih = reply.tsih
    conn.ping(b"defaults apply")


@case("one key per PDU gives what one PDU gives")
def one_key_per_pdu(target):
    whole = target.login().keys
    conn = target.connect()
    offer = conn.operational()
    pairs = conn.login_step(conn.identity(), transit=False).pairs
    for pair in offer[:-1]:
        pairs += conn.login_step([pair], transit=False).pairs
    reply = conn.login_step(offer[-1:])
    reply.pairs = pairs + reply.pairs
    conn.enter_full_feature(offer, reply)
    equal(conn.keys, whole, "negotiated keys")
    conn.ping()


RESULTS = [
    ("MaxBurstLength", "16776192", "1048576"), ("MaxBurstLength", "512", "512"),
    ("MaxBurstLength", "0x20000", "131072"), ("FirstBurstLength", "512", "512"),
    ("FirstBurstLength", "1048576", "262144"),
    ("MaxOutstandingR2T", "65535", "16"), ("MaxOutstandingR2T", "1", "1"),
    ("MaxConnections", "65535", "1"), ("ErrorRecoveryLevel", "2", "0"),
    ("InitialR2T", "Yes", "Yes"), ("InitialR2T", "No", "No"),
    ("ImmediateData", "Yes", "Yes"), ("ImmediateData", "No", "No"),
    ("DataPDUInOrder", "No", "Yes"), ("DataSequenceInOrder", "No", "Yes"),
    ("DefaultTime2Wait", "0", "2"), ("DefaultTime2Wait", "3600", "3600"),
    ("DefaultTime2Retain", "0", "0"),
    ("HeaderDigest", "CRC32C,None", "CRC32C"), ("HeaderDigest", "None,CRC32C", "None"),
    ("DataDigest", "CRC32C", "CRC32C"), ("DataDigest", "X-riser-test,CRC32C,None", "CRC32C"),
]


@case("negotiation: {}", [(f"{k}={v} becomes {r}", k, v, r) for k, v, r in RESULTS])
def negotiation(target, key, value, result):
    keys = {"FirstBurstLength": 512} if key == "MaxBurstLength" else {}
    conn = target.connect().login(**{key: value, **keys})
    equal(conn.keys[key], result, key)
    equal(conn.max_send, 262144, "MaxRecvDataSegmentLength of the target")
    conn.ping(b"with the keys as agreed")


@case("keys nobody offers keep their defaults")
def defaults(target):
    conn = target.connect()
    reply = conn.login_step(conn.identity())
    equal(sorted(key for key, _ in reply.pairs if key != "MaxRecvDataSegmentLength"),
          ["TargetPortalGroupTag"], "keys of the answer")
    conn.enter_full_feature([], reply)
    conn.clear_unit_attention()
    data = pattern(200, 0xdef)
    conn.write(0, data).good()
    equal(conn.read(0, 200), data, "data")


@case("L12 text cut in two at every byte by the C bit")
def split_everywhere(target):
    conn = target.connect()
    text = encode_text(conn.identity() + conn.operational())
    for cut in range(1, len(text)):
        conn = target.connect()
        conn.isid = b"\x80" + cut.to_bytes(5, "big")
        reply = conn.login_step(text[:cut], transit=False, more=True)
        equal((reply.pairs, reply.flags & 0xc0), ([], 0), f"answer to the first part, cut {cut}")
        reply = conn.login_step(text[cut:])
        conn.enter_full_feature(conn.operational(), reply)
        equal(conn.logout(), 0, f"logout after the cut at {cut}")
        conn.close()


@case("L12 text in 19 parts")
def split_many(target):
    conn = target.connect()
    text = encode_text(conn.identity() + conn.operational())
    size = -(-len(text) // 19)
    parts = [text[i:i + size] for i in range(0, len(text), size)]
    for part in parts[:-1]:
        equal(conn.login_step(part, transit=False, more=True).pairs, [], "answer to a part")
    conn.enter_full_feature(conn.operational(), conn.login_step(parts[-1]))
    conn.ping()


@case("Login Request of exactly 8192 bytes of text")
def full_segment(target):
    conn = target.connect()
    pairs = conn.identity() + conn.operational()
    room = 8192 - len(encode_text(pairs))
    sizes = [200] * (room // 200 - 1) + [200 + room % 200]
    pairs += [(f"X-org.test.{i}", "v" * (size - len(f"X-org.test.{i}=") - 1))
              for i, size in enumerate(sizes)]
    text = encode_text(pairs)
    equal(len(text), 8192, "length of the text")
    reply = conn.login_step(text)
    strange = [value for key, value in reply.pairs if key.startswith("X-")]
    equal(strange, ["NotUnderstood"] * len(sizes), "answers to unknown keys")


# Discovery


def addresses(target):
    return [f"{m.group(1)}:{m.group(2)},1" for m in target.urls if m.group(4) == "0"]


@case("discovery: SendTargets={}", [("All", None), ("the target's name", "name")])
def send_targets(target, which):
    conn = target.login(session="Discovery")
    pairs, _ = conn.text([("SendTargets", target.iqn if which else "All")])
    expected = [("TargetName", target.iqn)]
    expected += [("TargetAddress", address) for address in addresses(target)]
    equal(pairs, expected, "answer")
    equal(conn.logout(), 0, "logout")
    conn.expect_closed()


@case("discovery: a SCSI command is rejected, the session stays")
def discovery_command(target):
    conn = target.login(session="Discovery")
    command = conn.send(conn.command_pdu(bytes(6), immediate=True))
    conn.expect_reject(PROTOCOL_ERROR, command)
    check(conn.text([("SendTargets", "All")])[0], "no targets")


@case("normal session: SendTargets without a value tells this target")
def send_targets_self(target):
    conn = target.login()
    pairs, _ = conn.text([("SendTargets", "")])
    equal(pairs[0], ("TargetName", target.iqn), "answer")
    conn.resync()


@case("discovery: an answer longer than MaxRecvDataSegmentLength comes in parts")
def long_answer(_):
    portals = [f"127.0.0.{i}:0" for i in range(1, 41)]
    with Target(portals=portals) as own:
        conn = own.login(session="Discovery", MaxRecvDataSegmentLength=512)
        pairs, count = conn.text([("SendTargets", "All")])
        equal(pairs[0], ("TargetName", own.iqn), "first pair")
        equal([value for key, value in pairs[1:] if key == "TargetAddress"], addresses(own),
              "portals")
        equal(len(pairs), 41, "pairs")
        check(count > 2, f"{len(encode_text(pairs))} bytes came in {count} PDUs of 512")
        own.check_innocent("after discovery")


@case("discovery: a long answer may be abandoned for a new request")
def long_answer_abandoned(_):
    portals = [f"127.0.0.{i}:0" for i in range(1, 41)]
    with Target(portals=portals) as own:
        conn = own.login(session="Discovery", MaxRecvDataSegmentLength=512)
        conn.send(conn.text_pdu([("SendTargets", "All")], itt=0x77))
        first = conn.expect(TEXT_RESPONSE)
        check(not first.final, "the first part is final")
        conn.send(conn.text_pdu([("SendTargets", "iqn.2026-11.test:nobody")], itt=0x77))
        reply = conn.expect(TEXT_RESPONSE)
        equal((reply.final, reply.data), (True, b""), "answer to the new request")


# Sessions


@case("two sessions of one initiator live side by side")
def two_sessions(target):
    first, second = target.login(), target.login()
    check(first.tsih != second.tsih, "two sessions have the same TSIH")
    first.ready().good()
    second.ready().good()


@case("the same ISID of another initiator is another session")
def same_isid_other_name(target):
    first = target.login()
    second = target.login(name="iqn.2026-11.test:second", isid=first.isid)
    second.ready().good()
    first.ready().good()


@case("L4 the same name and ISID reinstate the session, its tasks end unwritten")
def reinstatement(target):
    old = target.login(InitialR2T="Yes")
    before = blocks_of(target, 100, 8)
    write, r2t = old.solicited_write(100, 8)
    new = target.login(isid=old.isid)
    check(new.tsih, "no TSIH")
    try:
        old.answer_r2t(write, r2t, pattern(8, 0x01d))
    except Closed:
        pass
    old.expect_closed()
    new.ready().good()
    equal(blocks_of(target, 100, 8), before, "blocks of the replaced session's write")
    data = pattern(8, 0x4e3)
    new.write(100, data).good()
    equal(new.read(100, 8), data, "blocks")


@case("L4 ten reinstatements in a row leave one session")
def reinstatement_storm(target):
    first = target.login()
    conns = [first] + [target.login(isid=first.isid) for _ in range(10)]
    for conn in conns[:-1]:
        conn.expect_closed()
    conns[-1].ready().good()


@case("a reset connection costs the other sessions nothing and its name may return")
def reset_and_return(target):
    conn = target.login()
    conn.solicited_write(64, 16)
    conn.abort()
    again = target.login(isid=conn.isid)
    data = pattern(16, 0xab)
    again.write(64, data).good()
    equal(len(again.read(64, 16)), 16 * BLOCK, "bytes")


if __name__ == "__main__":
    main(Target())
