# SPDX-License-Identifier: BSD-2-Clause
"""Several connections of one session: how many, who may join, what belongs to the session
and what to a connection (UNH-IOL, Multi-Connection for targets; rows L3 and L4)."""

import os
import random

from conn import Closed
from initiator import BLOCK, LoginRefused, pattern, read10, write10
from iscsi import (CANNOT_INCLUDE, INITIATOR_ERROR, NO_SESSION, NOP_IN, PROTOCOL_ERROR,
                   SCSI_RESPONSE, TOO_MANY_CONNECTIONS)
from multi import Session, alive, group, refused
from recovery import drain, finish, same, start_read, status_snack
from suite import Skip, case
from tap import check, equal

GROUP = "connections"
NEEDS = "mcs"
LBA, BLOCKS = 2800, 16
SIZE = BLOCKS * BLOCK
SOLICITED = {"InitialR2T": "Yes", "ImmediateData": "No"}
LEVELS = [(f"level {n}", n) for n in range(3)]


# How many

@case("MaxConnections: {} offered, the answer is no more than that", [
    (str(n), n) for n in (1, 2, 3, 65535)], rfc="13.2")
def negotiated(target, offered):
    conn, = group(target, 1, MaxConnections=offered)
    answer = int(conn.keys.get("MaxConnections", "1"), 0)
    check(1 <= answer <= offered, f"MaxConnections={answer}")


@case("as many connections as were agreed on work, one more is refused with 0x0206 at {}",
      LEVELS, rfc="11.13.5")
def too_many(target, level):
    conn, = group(target, 1, level, MaxConnections=4)
    session = conn.session
    for _ in range(conn.limit("MaxConnections") - 1):
        session.join()
    alive(*session.links.values())
    refused(lambda: session.join(0x100), TOO_MANY_CONNECTIONS)
    alive(*session.links.values())


@case("MaxConnections=1: a second connection is refused with 0x0206", rfc="11.13.5")
def only_one(target):
    conn, = group(target, 1, MaxConnections=1)
    refused(conn.session.join, TOO_MANY_CONNECTIONS)
    alive(conn)


@case("a connection that was logged out makes room for another one", rfc="13.2")
def room_again(target):
    conn, = group(target, 1, MaxConnections=2)
    for _ in range(10):
        other = conn.session.join(2)
        alive(other)
        equal(other.logout(1), 0, "response of the Logout")
        other.expect_closed()
    alive(conn)


@case("CIDs may be any numbers: {}", [(f"{a:#x} and {b:#x}", a, b) for a, b in (
    (0, 1), (1, 0), (0xffff, 0), (7, 0x8000))], rfc="11.12.6")
def any_cid(target, leading, joining):
    session = Session(target)
    first = session.lead(leading, MaxConnections=2)
    first.clear_unit_attention()
    second = session.join(joining)
    alive(first, second)


# Who may join

@case("a TSIH that nobody has: 0x020a", rfc="11.13.5")
def unknown_tsih(target):
    conn, = group(target, 1)
    stranger = Session(target, isid=conn.isid)
    stranger.tsih = (conn.tsih + 0x1234) & 0xffff or 1
    refused(lambda: stranger.join(2), NO_SESSION)
    alive(conn)


@case("a TSIH that nobody has and a key of the first connection alone: 0x020a", rfc="11.13.5",
      needs="riser")
def unknown_tsih_and_key(target):
    conn, = group(target, 1)
    stranger = Session(target, isid=conn.isid)
    stranger.tsih = (conn.tsih + 0x1234) & 0xffff or 1
    refused(lambda: stranger.join(2, MaxBurstLength=65536), NO_SESSION)
    stranger.tsih = conn.tsih
    refused(lambda: stranger.join(2, MaxBurstLength=65536), INITIATOR_ERROR)
    alive(conn)


@case("the TSIH of a session that has ended: 0x020a", rfc="11.13.5")
def ended_tsih(target):
    conn, = group(target, 1)
    equal(conn.logout(), 0, "response of the Logout")
    conn.expect_closed()
    refused(lambda: conn.session.join(2), NO_SESSION)


@case("a TSIH with another {}: refused, the session goes on", [
    ("InitiatorName", {"name": "iqn.2026-11.test:stranger"}), ("ISID", {"isid": b"\x80other"})],
      rfc="11.13.5")
def not_ours(target, how):
    conn, = group(target, 1)
    stranger = Session(target, **{"isid": conn.isid, **how})
    stranger.tsih = conn.tsih
    refused(lambda: stranger.join(2), CANNOT_INCLUDE, NO_SESSION)
    alive(conn)


@case("a TSIH with another {}: 0x0208", [
    ("InitiatorName", {"name": "iqn.2026-11.test:stranger"}), ("ISID", {"isid": b"\x80other"})],
      rfc="11.13.5", needs="riser")
def not_ours_0208(target, how):
    conn, = group(target, 1)
    stranger = Session(target, **{"isid": conn.isid, **how})
    stranger.tsih = conn.tsih
    refused(lambda: stranger.join(2), CANNOT_INCLUDE)
    alive(conn)


@case("a TSIH with another TargetName: refused, the session goes on", rfc="11.13.5")
def other_target(target):
    conn, = group(target, 1)
    stranger = conn.session.connect(2)
    stranger.target += ".other"
    refused(stranger.join, CANNOT_INCLUDE, NO_SESSION, 0x0203)
    alive(conn)


@case("a hundred logins that are refused leave the session as it was", rfc="11.13.5")
def many_refused(target):
    conn, = group(target, 1, MaxConnections=2)
    for number in range(100):
        stranger = Session(target, isid=conn.isid)
        stranger.tsih = (conn.tsih + 1 + number) & 0xffff or 1
        try:
            stranger.join(2)
        except LoginRefused as error:
            equal(error.status, NO_SESSION, "login status")
        target.connections.pop().close()
    alive(conn, conn.session.join())


@case("a login that breaks off half-way leaves the session as it was, at {}", LEVELS,
      rfc="6.3.6")
def half_login(target, level):
    conn, = group(target, 1, level, MaxConnections=2)
    for text in ([], [("AuthMethod", "None")]):
        other = conn.session.connect(2)
        other.login_step(other.join_identity() + text, csg=0 if text else 1, transit=False)
        other.close()
        alive(conn)
    alive(conn.session.join(2), conn)


# Leading only

LEADING_ONLY = [("MaxConnections", 8), ("InitialR2T", "No"), ("ImmediateData", "No"),
                ("MaxBurstLength", 512), ("FirstBurstLength", 512), ("DefaultTime2Wait", 9),
                ("DefaultTime2Retain", 9), ("MaxOutstandingR2T", 7), ("DataPDUInOrder", "No"),
                ("DataSequenceInOrder", "No"), ("ErrorRecoveryLevel", 2)]


@case("leading only: {} on a second connection changes nothing", [(key, key, value)
                                                                  for key, value in LEADING_ONLY],
      rfc="13")
def leading_only(target, key, value):
    conn, = group(target, 1, InitialR2T="Yes", ImmediateData="Yes")
    other = conn.session.connect(2)
    before = dict(conn.keys)
    try:
        other.join(**{key: value})
    except LoginRefused as error:
        check(error.status >> 8 == 2, f"login status {error.status:#06x}")
    else:
        check(other.keys.get(key) in ("Reject", "Irrelevant", before.get(key)),
              f"{key}={other.keys.get(key)} was agreed on, it was {before.get(key)}")
    data = pattern(BLOCKS, 0x10)
    conn.write(LBA, data).good()
    equal(conn.read(LBA, BLOCKS), data, "blocks")
    conn.ping()


@case("what the leading login agreed on holds on the second connection", rfc="13")
def leading_holds(target):
    first, second = group(target, MaxBurstLength=4096, FirstBurstLength=1024, **SOLICITED)
    for conn in (second, first):
        data = pattern(BLOCKS, 0x11 + conn.cid)
        write, r2t = conn.solicited_write(LBA, BLOCKS)
        check(r2t.desired <= 4096, f"R2T for {r2t.desired} bytes")
        conn.answer_r2t(write, r2t, data)
        finish(conn, write, data).good()
        equal(conn.read(LBA, BLOCKS), data, "blocks")


@case("digests and MaxRecvDataSegmentLength belong to a connection: {}", [
    ("digests on the first", ("CRC32C", "None"), (1024, 8192)),
    ("digests on the second", ("None", "CRC32C"), (8192, 1024)),
    ("both", ("CRC32C", "CRC32C"), (512, 65536))], rfc="13.1", needs="digests")
def per_connection(target, digests, lengths):
    how = [{"HeaderDigest": d, "DataDigest": d, "MaxRecvDataSegmentLength": length}
           for d, length in zip(digests, lengths)]
    first, = group(target, 1, **how[0])
    second = first.session.join(**how[1])
    data = pattern(BLOCKS, 0x12)
    first.write(LBA, data).good()
    for conn, digest in zip((first, second, first), (*digests, digests[0])):
        equal(conn.data_digest, digest == "CRC32C", "data digest")
        equal(conn.read(LBA, BLOCKS), data, "blocks")


# Order

@case("CmdSN belongs to the session: commands in turn on two connections", rfc="4.2.2.1")
def in_turn(target):
    first, second = group(target)
    for number in range(40):
        conn = (first, second)[number & 1]
        conn.ready().good()
        equal(conn.expcmdsn, conn.cmdsn, "ExpCmdSN")


@case("command N+1 on one connection waits for command N on the other, at {}", LEVELS,
      rfc="4.2.2.1")
def waits_for_other(target, level):
    first, second = group(target, 2, level)
    data = pattern(BLOCKS, 0x20)
    write = first.command_pdu(write10(LBA, BLOCKS), write=SIZE, data=data)
    read = start_read(second, LBA, BLOCKS)
    equal(second.ping().expcmdsn, write.cmdsn, "ExpCmdSN")
    equal(first.ping().expcmdsn, write.cmdsn, "ExpCmdSN on the other connection")
    first.send(write)
    first.complete(write, data).good()
    finish(second, read).good()
    equal(second.ping().expcmdsn, second.cmdsn, "ExpCmdSN")


@case("commands of two connections in any order are all done", rfc="4.2.2.1")
def shuffled(target):
    connections = group(target, 2)
    order = random.Random(7143)
    for _ in range(10):
        commands = []
        for _ in range(16):
            conn = order.choice(connections)
            commands.append((conn, conn.command_pdu(bytes(6))))
        order.shuffle(commands)
        for conn, command in commands:
            conn.send(command)
        for conn in connections:
            mine = {command.itt for c, command in commands if c is conn}
            got = {conn.expect(SCSI_RESPONSE).itt for _ in mine}
            equal(got, mine, "answered commands")
    alive(*connections)


@case("an immediate command overtakes a hole on another connection", rfc="4.2.2.1")
def immediate(target):
    first, second = group(target)
    lost = first.command_pdu(bytes(6))
    held = second.send(second.command_pdu(bytes(6)))
    second.scsi(bytes(6), immediate=True).good()
    equal(first.tmf(1, rtt=0x9999, refcmdsn=lost.cmdsn - 1), 1, "ABORT TASK of a task nobody knows")
    first.send(lost)
    first.complete(lost).good()
    second.complete(held).good()


@case("the command window is one for both connections", rfc="4.2.2.1")
def one_window(target):
    first, second = group(target, **SOLICITED)
    first.ping()
    writes = []
    while first.cmdsn != (first.maxcmdsn + 1) & 0xffffffff:
        check(len(writes) < 4096, "the window never closes")
        writes.append(first.solicited_write(LBA, 1))
    equal(second.ping().maxcmdsn, first.maxcmdsn, "MaxCmdSN of the other connection")
    surplus = second.command_pdu(bytes(6))
    second.cmdsn = surplus.cmdsn
    second.send(surplus)
    second.ping()
    for write, r2t in writes:
        first.answer_r2t(write, r2t, pattern(1, 0x21))
    for _ in writes:
        equal(first.expect(SCSI_RESPONSE).status, 0, "status")
    alive(first, second)


# Allegiance

@case("answers come on the connection of their command", rfc="4.2.5.1")
def allegiance(target):
    first, second = group(target)
    data = pattern(BLOCKS, 0x30)
    first.write(LBA, data).good()
    reads = [(conn, start_read(conn, LBA + n, 1))
             for n, conn in enumerate((first, second, second, first, first, second))]
    for conn, read in reads:
        finish(conn, read).good()
    for conn in (first, second):
        conn.ping(b"mine")


@case("Data-Out on another connection is not taken, the write goes on where it is, at {}",
      LEVELS, rfc="4.2.5.1")
def data_elsewhere(target, level):
    first, second = group(target, 2, level, **SOLICITED)
    before = first.read(LBA, BLOCKS)
    write, r2t = first.solicited_write(LBA, BLOCKS)
    second.answer_r2t(write, r2t, pattern(BLOCKS, 0xbad))
    ping = second.send(second.ping_pdu())
    try:
        while True:
            pdu = second.recv()
            if pdu.opcode == NOP_IN and pdu.itt == ping.itt:
                break
            check(pdu.opcode == 0x3f, f"an answer to foreign data: {pdu}")
    except Closed:
        pass
    equal(target.innocent.read(LBA, BLOCKS, target.lun), before, "blocks")
    data = pattern(BLOCKS, 0x31)
    try:
        first.answer_r2t(write, r2t, data)
        first.complete(write, data).good()
    except Closed:
        return
    equal(target.innocent.read(LBA, BLOCKS, target.lun), data, "blocks")


@case("ABORT TASK on another connection: the task is gone where it was, at {}", LEVELS,
      rfc="11.5.1")
def abort_elsewhere(target, level):
    first, second = group(target, 2, level, **SOLICITED)
    before = first.read(LBA, BLOCKS)
    write, r2t = first.solicited_write(LBA, BLOCKS)
    equal(second.tmf(1, rtt=write.itt, refcmdsn=write.cmdsn), 0, "response")
    first.ping()
    first.answer_r2t(write, r2t, pattern(BLOCKS, 0xbad))
    first.ping()
    equal(second.read(LBA, BLOCKS), before, "blocks")
    alive(first, second)


@case("ABORT TASK for a command that is still to come on another connection", rfc="11.6.1")
def abort_before(target):
    first, second = group(target)
    before = first.read(LBA, BLOCKS)
    write = first.command_pdu(write10(LBA, BLOCKS), write=SIZE, data=pattern(BLOCKS, 0xbad))
    equal(second.tmf(1, rtt=write.itt, refcmdsn=write.cmdsn), 0, "response")
    equal(second.ping().expcmdsn, first.cmdsn, "ExpCmdSN")
    first.send(write)
    first.ping()
    equal(second.read(LBA, BLOCKS), before, "blocks")


@case("ABORT TASK SET reaches the tasks of all connections", rfc="11.5.1")
def abort_set(target):
    connections = group(target, 2, **SOLICITED)
    before = connections[0].read(LBA, BLOCKS)
    waiting = [(conn, *conn.solicited_write(LBA, BLOCKS)) for conn in connections * 2]
    # The target may wait for the data that it has asked for (4.2.3.3).
    sent = connections[1].tmf_taken(2)
    for conn, write, r2t in waiting:
        conn.answer_r2t(write, r2t, pattern(BLOCKS, 0xbad))
    equal(connections[1].tmf_reply(sent), 0, "response")
    alive(*connections)
    equal(connections[0].read(LBA, BLOCKS), before, "blocks")


@case("LOGICAL UNIT RESET on one connection ends the tasks of the other", rfc="11.5.1")
def reset(target):
    first, second = group(target, 2, **SOLICITED)
    write, r2t = first.solicited_write(LBA, BLOCKS)
    sent = second.tmf_taken(5)
    first.answer_r2t(write, r2t, pattern(BLOCKS, 0xbad))
    equal(second.tmf_reply(sent), 0, "response")
    second.clear_unit_attention()
    target.innocent.clear_unit_attention(target.lun)
    alive(first, second)


@case("a unit attention is for the session: one connection takes it, the other has none",
      rfc="4.4.3")
def unit_attention(target):
    session = Session(target)
    first = session.lead(MaxConnections=2)
    first.clear_unit_attention()
    second = session.join()
    second.ready().good()


@case("a persistent reservation is the session's: the other connection may write", rfc="4.4.3")
def reservation(target):
    first, second = group(target)
    key = os.urandom(7) + b"\1"
    register = bytes([0x5f, 6]) + bytes(6) + bytes([24, 0])
    listing = bytes(8) + key + bytes(8)
    command = first.send(first.command_pdu(register, write=24))
    if finish(first, command, listing).status:
        raise Skip("no persistent reservations")
    try:
        reserve = bytes([0x5f, 1, 1]) + bytes(5) + bytes([24, 0])
        command = second.send(second.command_pdu(reserve, write=24))
        finish(second, command, key + bytes(16)).good()
        second.write(LBA, pattern(1, 0x32)).good()
        first.write(LBA, pattern(1, 0x33)).good()
        target.innocent.clear_unit_attention(target.lun)
        equal(target.innocent.write(LBA, pattern(1, 0xbad), target.lun).status, 0x18,
              "status of the stranger's write")
    finally:
        command = first.send(first.command_pdu(register, write=24))
        finish(first, command, key + bytes(16)).good()
        target.innocent.clear_unit_attention(target.lun)


@case("commands that were held on a connection that is closed are discarded, at {}", LEVELS,
      rfc="11.14")
def held_are_discarded(target, level):
    first, second = group(target, 2, level)
    lost, held = first.command_pdu(bytes(6)), first.command_pdu(bytes(6))
    first.send(held)
    first.ping()
    equal(second.logout_reply(1, first.cid).response, 0, "response of the Logout")
    drain(first)
    second.again(lost)
    second.complete(lost).good()
    equal(second.ping().expcmdsn, held.cmdsn, "ExpCmdSN: the held command is gone")
    second.again(held)
    second.complete(held).good()
    alive(second)


# StatSN

@case("StatSN belongs to a connection", rfc="4.2.2.2")
def statsn(target):
    first, second = group(target)
    before = first.next_statsn, second.next_statsn
    for _ in range(5):
        second.ping()
    first.ping()
    equal((first.next_statsn - before[0], second.next_statsn - before[1]), (1, 5),
          "steps of StatSN")


@case("ExpStatSN of one connection acknowledges nothing of the other", rfc="4.2.2.2",
      needs="erl1")
def expstatsn(target):
    first, second = group(target, 2, 1)
    first.send(first.command_pdu(bytes(6)))
    lost = first.lose()
    for _ in range(300):
        second.ping()
    status_snack(first, lost.statsn, 1)
    same(first.expect(SCSI_RESPONSE), lost, "expdatasn")
    alive(first, second)


@case("a Status SNACK on the other connection: Reject 0x04", rfc="11.16", needs="erl1")
def snack_elsewhere(target):
    first, second = group(target, 2, 1)
    command = first.send(first.command_pdu(read10(LBA, 1), read=BLOCK))
    lost = first.lose()
    second.expect_reject(PROTOCOL_ERROR, status_snack(second, second.next_statsn + 100, 1))
    status_snack(first, lost.statsn, 1)
    equal(first.recv().itt, command.itt, "ITT")
    alive(first, second)


@case("a discovery session has one connection", rfc="4.3", needs="discovery")
def discovery(target):
    session = Session(target)
    conn = session.connect(1)
    conn.login("Discovery", MaxConnections=4)
    check(conn.keys.get("MaxConnections", "1") in ("1", "Irrelevant"), "MaxConnections")
    other = session.connect(2)
    refused(lambda: other.login_step([("InitiatorName", other.name),
                                      ("SessionType", "Discovery")]),
            TOO_MANY_CONNECTIONS, CANNOT_INCLUDE)


@case("a Text Request and task management on every connection", rfc="4.2.5")
def everywhere(target):
    for conn in group(target, 2):
        pairs, _ = conn.text([("SendTargets", "")])
        check(pairs, "no answer to SendTargets")
        equal(conn.tmf(3), 0, "CLEAR ACA")
        conn.ping(b"here", immediate=False)
