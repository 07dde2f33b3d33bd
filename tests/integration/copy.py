#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Third-party copy on the wire: EXTENDED COPY and ROD tokens between two file disks on one file
system and a disk in memory, within one disk, and what two daemons know of each other's units."""

import os
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import BLOCK, pattern
from tap import case, check, equal, main
from target import Target
from third_party import copy_list, copy_out, cscd, segment

FIRST, RAM, SECOND = 0, 1, 2  # LUNs; the innocent session's data is on LUN 1
MIB = 1 << 20
UNREACHABLE, COPY_ABORTED = (0xa, 0x0d, 0x02), (0xa, 0x00, 0x00)
LIST_LENGTH, TOKEN_UNKNOWN = (5, 0x1a, 0), (5, 0x23, 0x04)


def disk(name, size=96 * MIB):
    """A file in the test's own folder: holes but for what is written."""
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), name)
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def read_file(path, at, length):
    with open(path, "rb") as file:
        file.seek(at)
        return file.read(length)


FILES = {FIRST: disk("first.img"), SECOND: disk("second.img")}


def copy_in(conn, action, list_id, lun=FIRST):
    field = struct.pack(">I", list_id) if action in (5, 7) else bytes([list_id, 0, 0, 0])
    cdb = bytes([0x84, action]) + field + bytes(4) + struct.pack(">I", 1024) + bytes(2)
    return conn.scsi(cdb, lun, read=1024).good().data


def fill(conn, lun, lba, blocks, stamp):
    data = pattern(blocks, stamp)
    for at in range(0, blocks, 1024):
        conn.write(lba + at, data[at * BLOCK:(at + 1024) * BLOCK], lun).good()
    return data


def read_all(conn, lun, lba, blocks):
    return b"".join(conn.read(lba + at, min(1024, blocks - at), lun)
                    for at in range(0, blocks, 1024))


@case("EXTENDED COPY from {}", [
    ("file to file", FIRST, SECOND), ("file to memory", FIRST, RAM),
    ("memory to file", RAM, SECOND), ("one place of a file to another", FIRST, FIRST),
    ("one place in memory to another", RAM, RAM)])
def across(target, source, to):
    conn = target.login()
    data = fill(conn, source, 100, 6000, 0xc0 + 16 * source + to)
    copy_out(conn, 0, copy_list([cscd(conn, source), cscd(conn, to)],
                                [segment(0, 100, 1, 20001, 6000)]), source).good().residual()
    equal(read_all(conn, to, 20001, 6000), data, "blocks of the copy")
    equal(read_all(conn, source, 100, 6000), data, "blocks of the source")
    check(read_all(conn, to, 26001, 1) != data[-BLOCK:], "a block behind the copy")
    if to in FILES:
        equal(read_file(FILES[to], 20001 * BLOCK, len(data)), data, "the file")
    status = copy_in(conn, 0, 1, source)
    equal(status[4:], struct.pack(">BHBI", 1, 1, 0, len(data)), "what became of it")


@case("EXTENDED COPY (LID4) of many segments, 32 MiB in all")
def large(target):
    conn = target.login()
    data = fill(conn, FIRST, 0, 8192, 0x1a46e)
    cscds, count = [cscd(conn, FIRST), cscd(conn, SECOND)], 8
    segments = [segment(0, 0, 1, 40000 + 8192 * i, 8192) for i in range(count)]
    header = struct.pack(">BBH11xBB3xI18xHHH", 1, 0, 0x20, 0, 0xff, 0x1234567, 64, 28 * count, 0)
    copy_out(conn, 1, header + b"".join(cscds + segments)).good()
    for i in range(count):
        equal(read_all(conn, SECOND, 40000 + 8192 * i, 8192), data, f"blocks of segment {i}")
    status = copy_in(conn, 5, 0x1234567)
    equal((status[4], status[5], int.from_bytes(status[16:24], "big")), (1, 1, count * len(data)),
          "action, status, bytes")


@case("ranges that overlap are moved as by memmove, {}", [
    ("forwards", 5000, 5003), ("backwards", 5003, 5000)])
def overlap(target, source, to):
    conn = target.login()
    data = fill(conn, FIRST, source, 5000, source + to)
    copy_out(conn, 0, copy_list([], [segment(0xffff, source, 0xffff, to, 5000)])).good()
    equal(read_all(conn, FIRST, to, 5000), data, "blocks")


@case("others are served while a large copy runs")
def meanwhile(target):
    conn, other = target.login(), target.login(name="iqn.2026-11.test:other")
    cscds = [cscd(conn, RAM), cscd(conn, FIRST)]
    data = copy_list(cscds, [segment(0, 0, 1, 65536, 16384)] * 60, 9)
    cdb = struct.pack(">BB8xIBB", 0x83, 0, len(data), 0, 0)
    command = conn.send(conn.command_pdu(cdb, write=len(data), data=data))
    for _ in range(50):
        other.ready(FIRST).good()
        other.read(0, 8, SECOND)
    conn.complete(command, data, deadline=120).good()


@case("a daemon does not reach the units of another one")
def another_daemon(target):
    conn = target.login()
    with Target(disks=("ram:16M",), innocent=None) as second:
        theirs = second.login()
        before = fill(theirs, 0, 0, 8, 0xbad)
        foreign = cscd(theirs, 0)
        for segments in ([segment(0, 0, 1, 0, 8)], [segment(1, 0, 0, 0, 8)]):
            copy_out(conn, 0, copy_list([cscd(conn, FIRST), foreign],
                                        segments)).condition(UNREACHABLE)
        equal(read_all(theirs, 0, 0, 8), before, "blocks of the other daemon")
        ours = populate(conn, [(0, 8)])
        write_using(theirs, ours, [(0, 8)], 0).condition(TOKEN_UNKNOWN)
        equal(read_all(theirs, 0, 0, 8), before, "blocks of the other daemon")
        second.close_connections()


@case("bad lists change nothing")
def bad(target):
    conn = target.login()
    before = read_all(conn, SECOND, 0, 16)
    good = copy_list([cscd(conn, FIRST), cscd(conn, SECOND)], [segment(0, 100, 1, 0, 16)])
    copy_out(conn, 0, good[:-1]).condition(LIST_LENGTH)
    copy_out(conn, 0, good[:15]).condition(LIST_LENGTH)
    end = 96 * MIB // BLOCK
    copy_out(conn, 0, copy_list([cscd(conn, SECOND)], [segment(0xffff, 100, 0, end - 1, 2)])
             ).condition(COPY_ABORTED)
    equal(read_all(conn, SECOND, 0, 16), before, "blocks")


def ranges(pairs):
    return b"".join(struct.pack(">QI4x", lba, blocks) for lba, blocks in pairs)


def populate(conn, pairs, lun=FIRST, list_id=0x77):
    data = ranges(pairs)
    copy_out(conn, 0x10, struct.pack(">HBxII2xH", 14 + len(data), 0, 0, 0, len(data)) + data, lun,
             list_id).good()
    info = copy_in(conn, 7, list_id, lun)
    equal((info[5], len(info)), (1, 38 + 512), "status and length of the token information")
    equal(int.from_bytes(info[16:24], "big"), sum(blocks for _, blocks in pairs), "blocks")
    return info[38:]


def write_using(conn, token, pairs, lun, offset=0):
    data = ranges(pairs)
    header = struct.pack(">HB5xQ", 534 + len(data), 0, offset) + token
    return copy_out(conn, 0x11, header + bytes(6) + struct.pack(">H", len(data)) + data, lun, 0x78)


@case("a token written to {}", [("another file", SECOND), ("memory", RAM), ("its own disk", FIRST)])
def token_copy(target, to):
    conn = target.login()
    data = fill(conn, FIRST, 1000, 5000, 0x70c0 + to)
    token = populate(conn, [(1000, 2000), (4000, 2000), (3000, 1000)])
    data = data[:2000 * BLOCK] + data[3000 * BLOCK:] + data[2000 * BLOCK:3000 * BLOCK]
    write_using(conn, token, [(24000, 999), (22000, 1)], to).good()
    write_using(conn, token, [(24999, 4000)], to, offset=1000).good()
    equal(read_all(conn, to, 24000, 4999), data[:999 * BLOCK] + data[1000 * BLOCK:], "blocks")
    equal(read_all(conn, to, 22000, 1), data[999 * BLOCK:1000 * BLOCK], "the block by itself")
    equal(int.from_bytes(copy_in(conn, 7, 0x78, to)[16:24], "big"), 4000, "blocks transferred")


@case("a token outlives its session and not its daemon")
def token_life(target):
    conn = target.login()
    data = fill(conn, FIRST, 300, 8, 0x11fe)
    token = populate(conn, [(300, 8)])
    conn.logout()
    conn = target.login()
    write_using(conn, token, [(30000, 8)], SECOND).good()
    equal(read_all(conn, SECOND, 30000, 8), data, "blocks")
    write_using(conn, token[:-1] + bytes([token[-1] ^ 1]), [(0, 8)], SECOND).condition(TOKEN_UNKNOWN)
    with Target(disks=("ram:16M",), innocent=None) as second:
        write_using(second.login(), token, [(0, 8)], 0).condition(TOKEN_UNKNOWN)
        second.close_connections()


@case("the zero token writes zeros")
def zero_token(target):
    conn = target.login()
    fill(conn, SECOND, 7000, 100, 0x2e60)
    write_using(conn, struct.pack(">IHH", 0xffff0001, 0, 0x1f8) + bytes(504),
                [(7001, 50), (7060, 8)], SECOND).good()
    equal(read_all(conn, SECOND, 7001, 50), bytes(50 * BLOCK), "zeros")
    equal(read_all(conn, SECOND, 7060, 8), bytes(8 * BLOCK), "zeros")
    check(any(read_all(conn, SECOND, 7000, 1)) and any(read_all(conn, SECOND, 7051, 9)),
          "the blocks around them are gone")


if __name__ == "__main__":
    main(Target(disks=(FILES[FIRST], "ram:64M,block-size=512", FILES[SECOND])))
