#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A file that grows and shrinks under a session: after SIGHUP every session is told, and
sees the new capacity; what is beyond a smaller one ends with an error."""

import os
import select
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import BLOCK, pattern, read10
from iscsi import CHECK_CONDITION
from tap import case, check, equal, main
from target import Target

CAPACITY_CHANGED, LBA_RANGE = (6, 0x2a, 0x09), (5, 0x21, 0x00)
NOT_THERE = (4, 0x44, 0x00)
DISK = os.path.join(os.environ["TMPDIR"], "resize.img")
MIB = 1 << 20
FILE = 0


def capacity(conn):
    """Blocks, by READ CAPACITY (16) and (10)."""
    cdb = bytes([0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0])
    large = int.from_bytes(conn.scsi(cdb, FILE, read=32).good().data[:8], "big") + 1
    small = conn.scsi(bytes([0x25]) + bytes(9), FILE, read=8).good().data
    equal(int.from_bytes(small[:4], "big") + 1, large, "READ CAPACITY (10)")
    return large


def resize(target, size):
    with open(DISK, "r+b") as file:
        file.truncate(size)
    os.kill(target.process.pid, signal.SIGHUP)


def poll(condition, what):
    """A signal is on its way, and nothing else tells when it has been dealt with."""
    end = time.monotonic() + 15
    while not condition():
        check(time.monotonic() < end, f"no {what} within 15 s of the signal")
        select.select([], [], [], 0.02)


def listen(*conns):
    for conn in conns:
        conn.events = []


def hear(conn):
    """By a unit attention and by an Asynchronous Message (RFC 7143 11.9), whichever is first."""
    results = []

    def told():
        results.append(conn.ready(FILE))
        return results[-1].status == CHECK_CONDITION

    def told_at_once():
        conn.ready(FILE)
        return conn.events

    poll(told, "unit attention")
    results[-1].condition(CAPACITY_CHANGED)
    poll(told_at_once, "asynchronous message")
    event = conn.events.pop()
    equal(event.bhs[36], 0, "AsyncEvent: SCSI")
    equal(event.lun, FILE, "LUN of the event")
    equal((event.data[4] & 15, event.data[14], event.data[15]), CAPACITY_CHANGED, "its sense")


@case("a file that grows: both sessions are told, what is new can be used")
def grow(target):
    conn, other = target.login(), target.login()
    listen(conn, other, target.innocent)
    equal(capacity(conn), 16 * MIB // BLOCK, "capacity")
    resize(target, 32 * MIB)
    for session in (conn, other, target.innocent):
        hear(session)
        session.ready(FILE).good()
    equal(capacity(conn), 32 * MIB // BLOCK, "capacity")
    equal(capacity(other), 32 * MIB // BLOCK, "capacity")
    last = 32 * MIB // BLOCK - 8
    conn.write(last, pattern(8, 5)).good()
    equal(other.read(last, 8), pattern(8, 5), "the last blocks")


@case("a file that shrinks: what is beyond its end is out of range")
def shrink(target):
    conn, other = target.login(), target.login()
    listen(conn, other, target.innocent)
    resize(target, 8 * MIB)
    for session in (conn, other, target.innocent):
        hear(session)
    equal(capacity(other), 8 * MIB // BLOCK, "capacity")
    conn.scsi(read10(8 * MIB // BLOCK, 1), FILE, read=BLOCK).condition(LBA_RANGE)
    conn.read(8 * MIB // BLOCK - 8, 8)


@case("a write that waits for its data while the file shrinks ends with an error")
def shrink_under_a_write(target):
    conn = target.login(InitialR2T="Yes", ImmediateData="No")
    listen(conn, target.innocent)
    write, r2t = conn.solicited_write(8 * MIB // BLOCK - 8, 8, FILE)
    resize(target, 4 * MIB)
    hear(target.innocent)
    conn.answer_r2t(write, r2t, pattern(8, 6))
    conn.complete(write).condition(NOT_THERE)
    hear(conn)
    equal(os.path.getsize(DISK), 4 * MIB, "the file")
    conn.write(0, pattern(8, 7), FILE).good()


@case("a signal without a change tells nobody")
def nothing_new(target):
    conn = target.login()
    os.kill(target.process.pid, signal.SIGHUP)
    # Signals are taken one after the other: with the statistics the first one is over.
    os.kill(target.process.pid, signal.SIGUSR1)
    poll(lambda: any("buffers:" in line for line in target.stderr_lines()), "statistics")
    conn.ready(FILE).good()
    equal(capacity(conn), 4 * MIB // BLOCK, "capacity")


if __name__ == "__main__":
    with open(DISK, "wb") as disk:
        disk.truncate(16 * MIB)
    main(Target(disks=(f"{DISK},block-size=512", "ram:16M,block-size=512")))
