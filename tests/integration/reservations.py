#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Persistent reservations over TCP: what was answered GOOD with APTPL survives SIGKILL at any
moment, a preempted initiator's writes do not land, and a damaged record stops the start."""

import os
import random
import struct
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import BLOCK, pattern, write10
from tap import case, check, equal, main
from target import Target, refuse_to_start

STATE = tempfile.mkdtemp(prefix="state-")
DISK = "ram:16M,block-size=512"
SLOW_DISK = "ram:16M,block-size=512,serial=slow,fault=write:delay=500ms:lba=200-207:once"
CONFLICT = 0x18
REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, IGNORE, MOVE = range(8)
READ_KEYS, READ_RESERVATION, CAPABILITIES, FULL_STATUS = range(4)
WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS, REGISTRANTS = 1, 3, 5
APTPL = 1
NAMES = {"a": "iqn.2026-11.test:a", "b": "iqn.2026-11.test:b"}
ISIDS = {"a": b"\x80\0\0\0\0\1", "b": b"\x80\0\0\0\0\2"}
KILLS = 100
COMMANDS_CLEARED, PREEMPTED = (6, 0x2f, 0), (6, 0x2a, 5)


def out_cdb(action, kind=0, length=24):
    return struct.pack(">BBBHLB", 0x5f, action, kind, 0, length, 0)


def out_list(key=0, new=0, flags=0):
    return struct.pack(">QQLBBH", key, new, 0, flags, 0, 0)


def pr_out_pdu(conn, action, kind=0, key=0, new=0, flags=0, lun=0):
    data = out_list(key, new, flags)
    return conn.command_pdu(out_cdb(action, kind), lun, write=len(data), data=data)


def pr_out(conn, action, kind=0, key=0, new=0, flags=0, lun=0):
    return conn.complete(conn.send(pr_out_pdu(conn, action, kind, key, new, flags, lun)))


def pr_in(conn, action, length=8192):
    cdb = struct.pack(">BB5xHB", 0x5e, action, length, 0)
    return conn.scsi(cdb, read=length).good().data


def join(target, who):
    return target.login(name=NAMES[who], isid=ISIDS[who])


class State:
    """Keys by initiator, type of the reservation and its holder."""

    def __init__(self, keys=None, kind=0, holder=None):
        self.keys, self.kind, self.holder = dict(keys or {}), kind, holder

    def __eq__(self, other):
        return (self.keys, self.kind, self.holder) == (other.keys, other.kind, other.holder)

    def __repr__(self):
        return f"keys {self.keys}, type {self.kind} held by {self.holder}"

    def after(self, who, action, kind, key, new):
        """What a command that is GOOD makes of it. Only such that succeed are chosen."""
        then = State(self.keys, self.kind, self.holder)
        if action in (REGISTER, IGNORE):
            if new:
                then.keys[who] = new
            else:
                then.keys.pop(who, None)
        elif action == RESERVE:
            then.kind, then.holder = kind, who
        elif action == RELEASE:
            then.kind, then.holder = 0, None
        elif action == CLEAR:
            then.keys, then.kind, then.holder = {}, 0, None
        elif action == PREEMPT:
            takes = then.kind and self.keys[then.holder] == new
            then.keys = {i: k for i, k in then.keys.items()
                         if k != new or (takes and i == who)}
            if takes:
                then.kind, then.holder = kind, who
        if then.holder not in then.keys:
            then.kind, then.holder = 0, None
        return then


def read_state(conn):
    data = pr_in(conn, FULL_STATUS)
    equal(struct.unpack(">L", data[4:8])[0], len(data) - 8, "ADDITIONAL LENGTH")
    state, at = State(), 8
    while at < len(data):
        key, flags, kind, port, length = struct.unpack(">Q4xBB4xHL", data[at:at + 24])
        name = data[at + 28:at + 24 + length].rstrip(b"\0").decode()
        who = next(w for w in NAMES if name == f"{NAMES[w]},i,0x{ISIDS[w].hex()}")
        equal(port, 1, "relative target port")
        state.keys[who] = key
        if flags & 1:
            state.kind, state.holder = kind & 15, who
        at += 24 + length
    return state


def choices(state):
    """Commands that will be GOOD: (who, action, type, key, new)."""
    for who in NAMES:
        key = state.keys.get(who, 0)
        yield who, IGNORE, 0, 0, random.randint(1, 5)
        if not key:
            continue
        yield who, REGISTER, 0, key, random.randint(0, 5)
        yield who, CLEAR, 0, key, 0
        if not state.kind:
            yield who, RESERVE, random.choice((1, 3, 5, 6)), key, 0
        elif state.holder == who:
            yield who, RELEASE, state.kind, key, 0
        for victim in state.keys.values():
            yield who, PREEMPT, random.choice((1, 3, 5, 6)), key, victim


def kill(target):
    target.process.kill()
    target.process.wait()
    target.process.stdout.close()
    target.process = None
    target.close_connections()


@case(f"SIGKILL between, and during, PERSISTENT RESERVE OUT: {KILLS} times the state is what was "
      "answered, or what was asked for last")
def killed(target):
    random.seed(4)
    state = State()
    possible = [state]
    for _ in range(KILLS):
        conns = {who: join(target, who) for who in NAMES}
        state = read_state(conns["a"])
        check(state in possible, f"after the start {state}, possible was {possible}")
        for _ in range(random.randint(1, 3)):
            who, action, kind, key, new = random.choice(list(choices(state)))
            conns[who].clear_unit_attention()
            pr_out(conns[who], action, kind, key, new, APTPL).good()
            state = state.after(who, action, kind, key, new)
        for conn in conns.values():
            conn.clear_unit_attention()
        equal(read_state(conns["b"]), state, "the state before SIGKILL")
        possible = [state]
        if random.random() < 0.7:
            who, action, kind, key, new = random.choice(list(choices(state)))
            conns[who].send(pr_out_pdu(conns[who], action, kind, key, new, APTPL))
            possible.append(state.after(who, action, kind, key, new))
        kill(target)
        target.start()
    conn = join(target, "a")
    pr_out(conn, IGNORE, new=1).good()
    pr_out(conn, CLEAR, key=1).good()


@case("without APTPL nothing survives, and CLEAR leaves nothing behind")
def not_persistent(target):
    conn = join(target, "a")
    pr_out(conn, REGISTER, new=1).good()
    pr_out(conn, RESERVE, WRITE_EXCLUSIVE, 1).good()
    kill(target)
    target.start()
    conn = join(target, "a")
    equal(read_state(conn), State(), "the state after SIGKILL")
    pr_out(conn, REGISTER, new=1, flags=APTPL).good()
    check(any(name.startswith("reservations.") for name in os.listdir(STATE)), "no record")
    pr_out(conn, CLEAR, key=1).good()
    check(not any(name.startswith("reservations.") for name in os.listdir(STATE)), "a record")


@case("a session that comes back is the registrant again, one with another ISID is not")
def comes_back(target):
    first = join(target, "a")
    pr_out(first, REGISTER, new=1).good()
    pr_out(first, RESERVE, EXCLUSIVE_ACCESS, 1).good()
    first.abort()
    other = target.login(name=NAMES["a"], isid=b"\x80\0\0\0\0\7")
    equal(other.scsi(write10(0, 1), write=BLOCK, data=bytes(BLOCK)).status, CONFLICT, "status")
    again = join(target, "a")
    again.write(0, pattern(1, 1)).good()
    pr_out(again, CLEAR, key=1).good()
    other.write(0, pattern(1, 2)).good()


@case("PREEMPT AND ABORT is a fence: a write that waits for its data never lands")
def fence(target):
    winner = join(target, "a")
    victim = target.login(name=NAMES["b"], isid=ISIDS["b"], InitialR2T="Yes", ImmediateData="No")
    pr_out(winner, REGISTER, new=1).good()
    pdu = victim.command_pdu(out_cdb(REGISTER), write=24)
    victim.complete(victim.send(pdu), out_list(new=2)).good()
    pdu = victim.command_pdu(out_cdb(RESERVE, REGISTRANTS), write=24)
    victim.complete(victim.send(pdu), out_list(key=2)).good()
    winner.clear_unit_attention()
    before = winner.read(100, 8)
    write, r2t = victim.solicited_write(100, 8)
    pr_out(winner, PREEMPT_AND_ABORT, EXCLUSIVE_ACCESS, 1, 2).good()
    victim.answer_r2t(write, r2t, pattern(8, 0xbad))
    victim.resync()
    for attention in (COMMANDS_CLEARED, PREEMPTED):
        victim.ready().condition(attention)
    equal(victim.scsi(write10(100, 8), write=8 * BLOCK).status, CONFLICT, "a write behind it")
    equal(winner.read(100, 8), before, "the blocks")
    pr_out(winner, CLEAR, key=1).good()


@case("and waits for a write that the medium has already")
def fence_in_the_medium(target):
    winner, victim = join(target, "a"), join(target, "b")
    for number, conn in ((1, winner), (2, victim)):
        pr_out(conn, REGISTER, new=number, lun=1).good()
    late = pattern(8, 0x1a7e)
    victim.send(victim.command_pdu(write10(200, 8), 1, write=len(late), data=late))
    victim.ping()
    pr_out(winner, PREEMPT_AND_ABORT, EXCLUSIVE_ACCESS, 1, 2, lun=1).good()
    equal(winner.read(200, 8, 1), late, "what was written before the answer")
    pr_out(winner, CLEAR, key=1, lun=1).good()


@case("a damaged record stops the start and is named; so does a folder that is in use")
def damaged(target):
    conn = join(target, "a")
    pr_out(conn, REGISTER, new=1, flags=APTPL).good()
    status, lines = refuse_to_start("-p", "127.0.0.1:0", "--state", STATE, DISK, SLOW_DISK)
    check(status not in (0, None) and any(STATE in line for line in lines), f"{status}: {lines}")
    kill(target)
    name = next(n for n in os.listdir(STATE) if n.startswith("reservations."))
    path = os.path.join(STATE, name)
    with open(path, "rb") as file:
        good = file.read()
    for bad in (good[:-1], good.replace(b"type 0", b"type 1"), b"", good + b"\n"):
        with open(path, "wb") as file:
            file.write(bad)
        status, lines = refuse_to_start("-p", "127.0.0.1:0", "--state", STATE, DISK, SLOW_DISK)
        check(status not in (0, None) and any(path in line for line in lines),
              f"{status}: {lines}")
    with open(path, "wb") as file:
        file.write(good)
    target.start()
    conn = join(target, "a")
    equal(read_state(conn), State({"a": 1}), "the state of the good record")
    pr_out(conn, CLEAR, key=1).good()


main(Target("--state", STATE, disks=(DISK, SLOW_DISK), innocent=None))
