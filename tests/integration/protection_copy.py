#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Third-party copies between units with and without protection information: the data arrives, what
has tuples gets right ones, and a damaged block of the source is not copied as if it were good."""

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

TMP = os.environ["TMPDIR"]
FILE, PLAIN = os.path.join(TMP, "protected.img"), os.path.join(TMP, "plain.img")
DISKS = (f"{FILE},size=8M,pi=1,pi-path={FILE}.pi", "ram:16M,block-size=512", "ram:8M,pi=1",
         f"{PLAIN},size=8M", "ram:8M,pi=2")
NAMES = ("file with tuples", "memory", "memory with tuples", "file", "memory with tuples, type 2")
TYPE_1 = (0, 2)
PAIRS = [(f"{NAMES[a]} to {NAMES[b]}", a, b) for a, b in
         ((0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 2), (2, 0), (2, 3), (3, 0), (4, 0), (2, 4))]


def extended_copy(conn, source, source_lba, to, to_lba, blocks):
    return copy_out(conn, 0, copy_list([cscd(conn, source), cscd(conn, to)],
                                       [segment(0, source_lba, 1, to_lba, blocks)]), source)


def token_copy(conn, source, source_lba, to, to_lba, blocks):
    ranges = struct.pack(">QI4x", source_lba, blocks)
    copy_out(conn, 0x10, struct.pack(">HBxII2xH", 14 + 16, 0, 0, 0, 16) + ranges, source,
              0x77).good()
    cdb = bytes([0x84, 7]) + struct.pack(">I4xI", 0x77, 1024) + bytes(2)
    token = conn.scsi(cdb, source, read=1024).good().data[38:]
    ranges = struct.pack(">QI4x", to_lba, blocks)
    return copy_out(conn, 0x11, struct.pack(">HB5xQ", 534 + 16, 0, 0) + token + bytes(6) +
                    struct.pack(">H", 16) + ranges, to, 0x78)


WAYS = (("EXTENDED COPY", extended_copy), ("a token", token_copy))


def check_tuples(conn, lun, lba, blocks):
    """They come with the blocks, are checked on the way, and are no escapes."""
    if lun not in TYPE_1:
        return
    cdb = bytes([0x88, 1 << 5]) + struct.pack(">QI", lba, blocks) + bytes(2)
    got = conn.scsi(cdb, lun, read=blocks * (BLOCK + 8)).good().data
    for number in range(blocks):
        found = got[number * (BLOCK + 8) + BLOCK:(number + 1) * (BLOCK + 8)]
        equal(found[2:], b"\0\0" + (lba + number).to_bytes(4, "big"), f"tags of block {number}")


@case("{}", PAIRS)
def copies(target, source, to):
    conn = target.login()
    data = pattern(600, 16 * source + to)
    conn.write(101, data, source).good()
    for stamp, (_, copy) in enumerate(WAYS):
        conn.write(3000, pattern(700, 0xdead + stamp), to).good()
        copy(conn, source, 101, to, 3007, 600).good()
        equal(conn.read(3007, 600, to), data, "blocks of the copy")
        check_tuples(conn, to, 3000, 700)
        check_tuples(conn, source, 101, 600)


@case("a damaged block of the source is found by {}", WAYS)
def damaged(target, copy):
    conn = target.login()
    data = pattern(64, 5)
    conn.write(500, data, 0).good()
    with open(FILE, "r+b") as file:
        file.seek(540 * BLOCK + 3)
        file.write(bytes([data[40 * BLOCK + 3] ^ 1]))
    for to in (1, 2, 3):
        before = pattern(64, 0xf00 + to)
        conn.write(500, before, to).good()
        result = copy(conn, 0, 500, to, 500, 64)
        check(result.sense is not None, f"GOOD to LUN {to}")
        at = 40 * BLOCK
        equal(conn.read(540, 24, to), before[at:], "what is behind the damage")


main(Target(disks=DISKS))
