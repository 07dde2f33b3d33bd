#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Task sets over two sessions: who waits for whom, what an auto contingent allegiance stops, and
what becomes of the tasks that others abort."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import pattern, read10
from iscsi import CHECK_CONDITION, GOOD, SCSI_RESPONSE
from tap import Failure, case, check, equal, main
from target import Target, blocks_of

SIMPLE, ORDERED, HEAD, ACA = 1, 2, 3, 4
ACA_ACTIVE, TASK_ABORTED = 0x30, 0x40
CLEAR_ACA, CLEAR_TASK_SET, LUN_RESET = 3, 4, 5
NACA = 4
READY = bytes(6)
BROKEN = bytes([0, 1, 0, 0, 0, 0])
BROKEN_NACA = bytes([0, 1, 0, 0, 0, NACA])
INVALID_CDB, INVALID_MESSAGE = (5, 0x24, 0), (5, 0x49, 0)
RESET_OCCURRED, COMMANDS_CLEARED = (6, 0x29, 3), (6, 0x2f, 0)
PREEMPTED = (6, 0x2a, 5)


def writer(target):
    return target.login(InitialR2T="Yes", ImmediateData="No")


def start(conn, attribute, cdb=READY, **how):
    """Sends a command with a task attribute."""
    pdu = conn.command_pdu(cdb, **how)
    pdu.flags = pdu.flags & ~7 | attribute
    return conn.send(pdu)


def run(conn, attribute, cdb=READY, **how):
    return conn.complete(start(conn, attribute, cdb, **how))


def silent(conn):
    """Nothing was on its way."""
    conn.ping()


def finish(conn, waiting, seed):
    write, r2t = waiting
    conn.answer_r2t(write, r2t, pattern(8, seed))


def responses(conn, count):
    """The ITTs of the next statuses, all GOOD."""
    pdus = [conn.expect(SCSI_RESPONSE) for _ in range(count)]
    equal([pdu.status for pdu in pdus], [GOOD] * count, "statuses")
    return [pdu.itt for pdu in pdus]


# The Control mode page

def control_page(conn):
    data = conn.scsi(bytes([0x1a, 8, 0x0a, 0, 255, 0]), read=255).good().data
    return bytearray(data[4:])


def change_control(target, conn, **bits):
    """Sets TAS, QERR or D_SENSE; the others hear of it, and have heard of it when we return."""
    page = control_page(conn)
    for name, value in bits.items():
        byte, shift, width = {"tas": (5, 6, 1), "qerr": (3, 1, 2), "d_sense": (2, 2, 1)}[name]
        page[byte] = page[byte] & ~(((1 << width) - 1) << shift) | value << shift
    page[0] &= 0x7f
    data = bytes(4) + bytes(page)
    command = conn.send(conn.command_pdu(bytes([0x15, 0x10, 0, 0, len(data), 0]),
                                         write=len(data)))
    conn.complete(command, data).good()
    for other in [*target.connections, target.innocent]:
        other.clear_unit_attention()


class Control:
    """The bits are set inside of `with`."""

    def __init__(self, target, conn, **bits):
        self.target, self.conn, self.bits = target, conn, bits

    def __enter__(self):
        change_control(self.target, self.conn, **self.bits)

    def __exit__(self, kind, value, trace):
        try:
            conn = self.conn if kind is None else self.target.login()
            change_control(self.target, conn, **{name: 0 for name in self.bits})
        except Failure:
            if kind is None:
                raise


# Order

@case("ORDERED waits for what came before, and what comes behind waits for it")
def ordered(target):
    conn, other = writer(target), writer(target)
    first = conn.solicited_write(100, 8)
    second = start(conn, ORDERED)
    third = start(conn, SIMPLE)
    silent(conn)
    other.ready().good()
    finish(conn, first, 0x11)
    equal(responses(conn, 3), [first[0].itt, second.itt, third.itt], "order of the statuses")


@case("ORDERED writes reach the disk in their order")
def ordered_writes(target):
    conn = target.login(InitialR2T="No")
    for _ in range(20):
        commands = []
        for seed in range(8):
            pdu = conn.write_pdus(120, pattern(1, 0x100 + seed))[0]
            pdu.flags = pdu.flags & ~7 | ORDERED
            commands.append(pdu)
        conn.send(*commands)
        equal(responses(conn, 8), [pdu.itt for pdu in commands], "order of the statuses")
        equal(conn.read(120, 1), pattern(1, 0x107), "the last one's data")


@case("HEAD OF QUEUE overtakes what waits")
def head_of_queue(target):
    conn = writer(target)
    running = conn.solicited_write(100, 8)
    waiting = start(conn, ORDERED)
    result = run(conn, HEAD)
    result.good()
    silent(conn)
    finish(conn, running, 0x22)
    equal(responses(conn, 2), [running[0].itt, waiting.itt], "order of the statuses")


@case("an ORDERED command that waits can be aborted, and those behind it go on")
def abort_dormant(target):
    conn = writer(target)
    running = conn.solicited_write(100, 8)
    waiting = start(conn, ORDERED)
    behind = start(conn, SIMPLE)
    equal(conn.tmf(1, rtt=waiting.itt, refcmdsn=waiting.cmdsn), 0, "response to ABORT TASK")
    equal(responses(conn, 1), [behind.itt], "who goes on")
    finish(conn, running, 0x33)
    equal(responses(conn, 1), [running[0].itt], "the write")


# ACA

@case("CHECK CONDITION with NACA stops the nexus until CLEAR ACA, and nobody else")
def aca(target):
    conn, other = writer(target), writer(target)
    conn.scsi(BROKEN_NACA).condition(INVALID_CDB)
    for attribute in (0, SIMPLE, ORDERED, HEAD):
        equal(run(conn, attribute).status, ACA_ACTIVE, f"status, attribute {attribute}")
    equal(conn.scsi(bytes([0x12, 0, 0, 0, 36, 0]), read=36).status, ACA_ACTIVE, "INQUIRY")
    other.ready().good()
    equal(other.tmf(CLEAR_ACA), 0, "CLEAR ACA of another nexus")
    equal(conn.ready().status, ACA_ACTIVE, "status after that")
    equal(len(run(conn, ACA, read10(0, 1), read=512).good().data), 512, "READ with ACA")
    equal(conn.ready().status, ACA_ACTIVE, "status behind the ACA command")
    equal(conn.tmf(CLEAR_ACA), 0, "CLEAR ACA")
    conn.ready().good()


@case("one ACA command at a time; CLEAR ACA takes it along")
def one_aca_command(target):
    conn = writer(target)
    before = blocks_of(target, 140, 8)
    conn.scsi(BROKEN_NACA).condition(INVALID_CDB)
    write = start(conn, ACA, bytes([0x2a, 0, 0, 0, 0, 140, 0, 0, 8, 0]), write=8 * 512)
    r2t = conn.expect_r2t(write)
    equal(run(conn, ACA).status, ACA_ACTIVE, "status of a second one")
    equal(conn.tmf(CLEAR_ACA), 0, "CLEAR ACA")
    conn.answer_r2t(write, r2t, pattern(8, 0xbad))
    conn.ready().good()
    equal(blocks_of(target, 140, 8), before, "blocks of the aborted write")


@case("what waits when the ACA comes waits until it is cleared")
def aca_and_dormant(target):
    conn = writer(target)
    running = conn.solicited_write(100, 8)
    waiting = start(conn, ORDERED)
    equal(run(conn, HEAD, BROKEN_NACA).sense, INVALID_CDB, "sense")
    finish(conn, running, 0x44)
    equal(responses(conn, 1), [running[0].itt], "the write")
    silent(conn)
    cleared = conn.send(conn.tmf_pdu(CLEAR_ACA))
    equal(conn.tmf_reply(cleared), 0, "CLEAR ACA")
    equal(responses(conn, 1), [waiting.itt], "the ORDERED command")


@case("the ACA attribute without an ACA is no such message")
def aca_attribute(target):
    conn = target.login()
    run(conn, ACA).condition(INVALID_MESSAGE)
    run(conn, 7).condition(INVALID_MESSAGE)
    conn.ready().good()


@case("LUN RESET and a new session end an ACA")
def aca_ends(target):
    conn, other = target.login(), target.login()
    conn.scsi(BROKEN_NACA).condition(INVALID_CDB)
    equal(other.tmf(LUN_RESET), 0, "LUN RESET")
    for session in (conn, other, target.innocent):
        session.ready().condition(RESET_OCCURRED)
        session.ready().good()
    conn.scsi(BROKEN_NACA).condition(INVALID_CDB)
    again = target.login(isid=conn.isid)
    again.ready().good()


# Aborted by others

@case("CLEAR TASK SET ends the tasks of its own nexus only")
def clear_task_set(target):
    conn, other = writer(target), writer(target)
    mine, theirs = conn.solicited_write(160, 8), other.solicited_write(180, 8)
    request = conn.send(conn.tmf_pdu(CLEAR_TASK_SET))
    finish(conn, mine, 0xbad)
    equal(conn.tmf_reply(request), 0, "response")
    silent(conn)
    finish(other, theirs, 0x55)
    other.complete(theirs[0]).good()
    other.ready().good()


@case("LUN RESET with TAS={}: the others' tasks", [(0, 0), (1, 1)])
def reset_and_tas(target, tas):
    conn, other = writer(target), writer(target)
    with Control(target, conn, tas=tas):
        mine, theirs = conn.solicited_write(200, 8), other.solicited_write(220, 8)
        ours = start(other, ORDERED)
        silent(other)  # both are there
        request = conn.send(conn.tmf_pdu(LUN_RESET))
        finish(conn, mine, 0xbad)
        equal(conn.tmf_reply(request), 0, "response")
        silent(conn)
        if tas:
            got = {pdu.itt: pdu.status for pdu in (other.expect(SCSI_RESPONSE) for _ in range(2))}
            equal(got, {theirs[0].itt: TASK_ABORTED, ours.itt: TASK_ABORTED}, "their statuses")
        finish(other, theirs, 0xbad)
        silent(other)
        for session in (conn, other, target.innocent):
            session.ready().condition(RESET_OCCURRED)
            session.ready().good()


def reserve_out(conn, action, key, action_key, kind=0):
    data = key.to_bytes(8, "big") + action_key.to_bytes(8, "big") + bytes(8)
    cdb = bytes([0x5f, action, kind, 0, 0, 0, 0, 0, len(data), 0])
    command = conn.send(conn.command_pdu(cdb, write=len(data)))
    return conn.complete(command, data)


@case("PREEMPT AND ABORT with TAS={}: what the preempted nexus hears", [(0, 0), (1, 1)])
def preempt_and_abort(target, tas):
    conn, other = writer(target), writer(target)
    before = blocks_of(target, 240, 8)
    with Control(target, conn, tas=tas):
        reserve_out(conn, 0, 0, 0xa).good()
        reserve_out(other, 0, 0, 0xb).good()
        theirs = other.solicited_write(240, 8)
        reserve_out(conn, 5, 0xa, 0xb).good()
        if tas:
            pdu = other.expect(SCSI_RESPONSE)
            equal((pdu.itt, pdu.status), (theirs[0].itt, TASK_ABORTED), "its write")
        finish(other, theirs, 0xbad)
        silent(other)
        heard = []
        while (result := other.ready()).status == CHECK_CONDITION:
            heard.append(result.sense)
        result.good()
        expected = {PREEMPTED} if tas else {PREEMPTED, COMMANDS_CLEARED}
        equal(set(heard), expected, "unit attentions")
        equal(len(heard), len(expected), "their number")
        reserve_out(conn, 3, 0xa, 0).good()
    equal(blocks_of(target, 240, 8), before, "blocks of the aborted write")


@case("two nexuses preempt each other under load: with TAS every command is answered once")
def preempt_storm(target):
    sessions = [target.login(InitialR2T="No") for _ in range(2)]
    with Control(target, sessions[0], tas=1):
        for turn in range(40):
            attacker, victim = sessions[turn % 2], sessions[1 - turn % 2]
            reserve_out(attacker, 6, 0, 0xa).good()
            reserve_out(victim, 6, 0, 0xb).good()
            # Untouched by the preemption, or aborted by it: whatever the race says.
            writes = [victim.write_pdus(400 + 8 * i, pattern(8, turn))[0] for i in range(12)]
            for pdu in writes[::4]:
                pdu.flags = pdu.flags & ~7 | ORDERED
            victim.send(*writes)
            reserve_out(attacker, 5, 0xa, 0xb).good()
            got = [victim.expect(SCSI_RESPONSE) for _ in writes]
            equal(sorted(pdu.itt for pdu in got), sorted(pdu.itt for pdu in writes), "answered")
            check({pdu.status for pdu in got} <= {GOOD, CHECK_CONDITION, TASK_ABORTED},
                  f"statuses {[pdu.status for pdu in got]}")
            silent(victim)
            victim.clear_unit_attention()
            reserve_out(attacker, 3, 0xa, 0).good()
            attacker.ready().good()


@case("QERR: a CHECK CONDITION ends the other tasks of the nexus")
def qerr(target):
    conn, other = writer(target), writer(target)
    with Control(target, conn, qerr=1):
        mine, theirs = conn.solicited_write(260, 8), other.solicited_write(280, 8)
        waiting = start(conn, ORDERED)
        equal(run(conn, HEAD, BROKEN).sense, INVALID_CDB, "sense")
        finish(conn, mine, 0xbad)
        silent(conn)
        # Their tags are free.
        conn.scsi(READY, itt=waiting.itt).good()
        conn.scsi(READY, itt=mine[0].itt).good()
        finish(other, theirs, 0x66)
        other.complete(theirs[0]).good()


# What the unit says of it

@case("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS")
def supported(target):
    conn = target.login()
    cdb = bytes([0xa3, 0x0d, 0x80, 0, 0, 0, 0, 0, 0, 16, 0, 0])
    data = conn.scsi(cdb, read=16).good().data
    equal((data[0], data[1], data[3], data[4]), (0xf8, 0, 12, 1), "functions, length, valid")
    check(int.from_bytes(data[8:12], "big") and int.from_bytes(data[12:16], "big"), "timeouts")
    equal(len(conn.scsi(cdb[:2] + bytes(1) + cdb[3:], read=16).good().data), 4, "without REPD")
    inquiry = conn.scsi(bytes([0x12, 0, 0, 0, 96, 0]), read=96).good().data
    equal(inquiry[3] & 0x20, 0x20, "NORMACA")
    equal(control_page(conn)[2] >> 5, 1, "TST")
    extended = conn.scsi(bytes([0x12, 1, 0x86, 0, 64, 0]), read=64).good().data
    equal(extended[5] & 7, 7, "HEADSUP, ORDSUP, SIMPSUP")


@case("D_SENSE chooses the format of the sense data")
def descriptor_sense(target):
    conn, other = writer(target), writer(target)
    equal(conn.scsi(BROKEN).pdu.data[2] & 0x7f, 0x70, "fixed format")
    with Control(target, conn, d_sense=1):
        for session in (conn, other):
            sense = session.scsi(BROKEN).condition(INVALID_CDB).pdu.data[2:]
            equal((sense[0] & 0x7f, sense[7], sense[8]), (0x72, 8, 2), "descriptor format")


if __name__ == "__main__":
    main(Target())
