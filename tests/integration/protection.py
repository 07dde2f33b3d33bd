#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Blocks with protection information: written and read with their tuples, made and checked without,
kept over a restart, and a byte that changed in the file while nobody looked is found."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from iscsi import NO_TAG, extended_cdb
from tap import case, check, equal, main
from target import Target, refuse_to_start

GUARD, APPLICATION, REFERENCE = (0xb, 0x10, 1), (0xb, 0x10, 2), (0xb, 0x10, 3)
FIELD, OPCODE = (5, 0x24, 0), (5, 0x20, 0)
TMP = os.environ["TMPDIR"]
FILE, TUPLES = os.path.join(TMP, "data.img"), os.path.join(TMP, "data.pi")
LARGE, LARGE_TUPLES = os.path.join(TMP, "large.img"), os.path.join(TMP, "large.pi")
DISKS = (f"{FILE},size=4M,pi=1,pi-path={TUPLES}", "ram:16M,block-size=512", "ram:4M,pi=2",
         f"{LARGE},size=8M,block-size=4096,pi=3,pi-path={LARGE_TUPLES}", "ram:4M,pi=1")
# (LUN, type, block size) of those with protection information
UNITS = ((0, 1, 512), (2, 2, 512), (3, 3, 4096), (4, 1, 512))
LABELLED = [(f"type {kind}, {size} bytes, LUN {lun}", lun, kind, size) for lun, kind, size in UNITS]
ESCAPE = b"\xff" * 8


def crc_table():
    table = []
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ (0x8bb7 if crc & 0x8000 else 0)
        table.append(crc & 0xffff)
    return table


TABLE = crc_table()


def guard(block):
    crc = 0
    for byte in block:
        crc = (crc << 8) & 0xffff ^ TABLE[crc >> 8 ^ byte]
    return crc


def tuple_of(block, tag, reference):
    return (guard(block).to_bytes(2, "big") + tag.to_bytes(2, "big") +
            (reference & 0xffffffff).to_bytes(4, "big"))


def blocks_of(size, count, stamp):
    return [(b"%08x %08x" % (stamp, n)).ljust(32, b".") * (size // 32) for n in range(count)]


def protected(blocks, tag, reference):
    """Blocks as they are transferred, with right tuples."""
    return b"".join(block + tuple_of(block, tag, reference + n)
                    for n, block in enumerate(blocks))


def cdb_for(kind, write, lba, blocks, field=1, reference=None, tag=0, mask=0):
    """READ or WRITE (16), with type 2 (32)."""
    if kind != 2:
        return (bytes([0x8a if write else 0x88, field << 5]) + lba.to_bytes(8, "big") +
                blocks.to_bytes(4, "big") + bytes(2))
    return (b"\x7f" + bytes(6) + b"\x18" + (0x0b if write else 0x09).to_bytes(2, "big") +
            bytes([field << 5, 0]) + lba.to_bytes(8, "big") +
            (lba if reference is None else reference).to_bytes(4, "big") +
            tag.to_bytes(2, "big") + mask.to_bytes(2, "big") + blocks.to_bytes(4, "big"))


def fields(cdb):
    return {"ahs": extended_cdb(cdb)} if len(cdb) > 16 else {}


def data_in(conn, cdb, lun, length):
    return conn.scsi(cdb[:16], lun, read=length, **fields(cdb))


def data_out(conn, cdb, lun, data):
    immediate, first = conn.unsolicited(len(data))
    pdu = conn.command_pdu(cdb[:16], lun, write=len(data), data=data[:immediate],
                           final=first == immediate, **fields(cdb))
    pdus = [pdu]
    if first > immediate:
        pdus += conn.burst(pdu, data, immediate, first - immediate, NO_TAG)
    conn.send(*pdus)
    return conn.complete(pdu, data)


@case("what the units say of themselves")
def announced(target):
    conn = target.login()
    capacity = bytes([0x9e, 0x10]) + bytes(11) + bytes([32, 0, 0])
    equal(conn.scsi(capacity, 1, read=32).good().data[12], 0, "PROT_EN of the plain disk")
    for lun, kind, _ in UNITS:
        equal(conn.scsi(capacity, lun, read=32).good().data[12], (kind - 1) << 1 | 1,
              "P_TYPE and PROT_EN")
        inquiry = conn.scsi(bytes([0x12, 0, 0, 0, 96, 0]), lun, read=96).good().data
        equal(inquiry[5] & 1, 1, "PROTECT")
        extended = conn.scsi(bytes([0x12, 1, 0x86, 0, 64, 0]), lun, read=64).good().data
        equal(extended[4] & 0x3f, {1: 0, 2: 2, 3: 4}[kind] << 3 | 7, "SPT and the checks")


@case("blocks and tuples come back as they were sent: {}", LABELLED)
def round_trip(target, lun, kind, size):
    for keys in ({}, {"ImmediateData": "No", "InitialR2T": "Yes", "MaxBurstLength": 16384},
                 {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}):
        conn = target.login(**keys)
        for count in (1, 7, 500):
            data = protected(blocks_of(size, count, count), 0xbeef, 100)
            data_out(conn, cdb_for(kind, True, 100, count), lun, data).good().residual()
            got = data_in(conn, cdb_for(kind, False, 100, count), lun, len(data)).good().residual()
            equal(got.data, data, f"{count} blocks")


@case("a transfer that is a few bytes short: {}", LABELLED)
def short(target, lun, kind, size):
    conn = target.login()
    data = protected(blocks_of(size, 4, 9), 1, 0)
    data_out(conn, cdb_for(kind, True, 0, 4), lun, data).good()
    for length in (1, size, size + 3, 2 * size + 11, len(data) - 1):
        got = data_in(conn, cdb_for(kind, False, 0, 4), lun, length).good()
        got.residual(overflow=len(data) - length)
        equal(got.data, data[:length], f"{length} bytes")
    whole = 2 * (size + 8)
    result = data_out(conn, cdb_for(kind, True, 0, 4), lun, data[:whole]).good()
    result.residual(overflow=len(data) - whole)
    data_out(conn, cdb_for(kind, True, 0, 4), lun, data[:whole - 8]).condition((5, 0x0e, 3))


@case("wrong tuples are refused before anything is written: {}", LABELLED)
def wrong(target, lun, kind, size):
    conn = target.login()
    old = protected(blocks_of(size, 3, 1), 0x1234, 50)
    data_out(conn, cdb_for(kind, True, 50, 3), lun, old).good()
    new = bytearray(protected(blocks_of(size, 3, 2), 0x1234, 50))
    spots = [(0, GUARD), (size + 1, GUARD)] + ([] if kind == 3 else [(size + 7, REFERENCE)])
    spots += [(size + 3, APPLICATION)] if kind == 2 else []
    for spot, condition in spots:
        new[size + 8 + spot] ^= 1
        result = data_out(conn, cdb_for(kind, True, 50, 3, tag=0x1234, mask=0xffff), lun,
                          bytes(new)).condition(condition)
        equal(int.from_bytes(result.pdu.data[2 + 3:2 + 7], "big"), 51, "LBA in the sense data")
        new[size + 8 + spot] ^= 1
    got = data_in(conn, cdb_for(kind, False, 50, 3), lun, len(old)).good()
    equal(got.data, old, "the blocks")
    # Without checks they are stored, and found by who checks.
    new[0] ^= 1
    data_out(conn, cdb_for(kind, True, 50, 3, field=3), lun, bytes(new)).good()
    data_in(conn, cdb_for(kind, False, 50, 3), lun, len(old)).condition(GUARD)
    got = data_in(conn, cdb_for(kind, False, 50, 3, field=3), lun, len(old)).good()
    equal(got.data, bytes(new), "the blocks without checks")
    data_in(conn, cdb_for(1, False, 50, 3, field=0), lun, 3 * size).condition(GUARD)


@case("who knows nothing of tuples: {}", LABELLED)
def plain(target, lun, kind, size):
    conn = target.login()
    blocks = blocks_of(size, 5, 77)
    data_out(conn, cdb_for(1, True, 200, 5, field=0), lun, b"".join(blocks)).good().residual()
    got = data_in(conn, cdb_for(1, False, 200, 5, field=0), lun, 5 * size).good().residual()
    equal(got.data, b"".join(blocks), "blocks")
    got = data_in(conn, cdb_for(kind, False, 200, 5), lun, 5 * (size + 8)).good()
    for number, block in enumerate(blocks):
        stored = got.data[number * (size + 8) + size:(number + 1) * (size + 8)]
        equal(stored, tuple_of(block, 0, 0xffffffff if kind == 3 else 200 + number), "tuple")
    # COMPARE AND WRITE and UNMAP keep what belongs together together.
    both = blocks[0] + blocks[1]
    caw = bytes([0x89, 0]) + (200).to_bytes(8, "big") + bytes([0, 0, 0, 1, 0, 0])
    data_out(conn, caw, lun, both).good()
    got = data_in(conn, cdb_for(1, False, 200, 1, field=0), lun, size).good()
    equal(got.data, blocks[1], "the exchanged block")
    unmap = bytes([0, 22, 0, 16, 0, 0, 0, 0]) + (201).to_bytes(8, "big") + bytes([0, 0, 0, 2]) + bytes(4)
    data_out(conn, bytes([0x42]) + bytes(6) + bytes([0, 24, 0]), lun, unmap).good()
    got = data_in(conn, cdb_for(kind, False, 201, 2), lun, 2 * (size + 8)).good()
    equal(got.data, (bytes(size) + ESCAPE) * 2, "unmapped blocks")


@case("types keep to their CDBs")
def shapes(target):
    conn = target.login()
    data_in(conn, cdb_for(1, False, 0, 1), 2, 520).condition(OPCODE)
    data_in(conn, cdb_for(2, False, 0, 1), 0, 520).condition(OPCODE)
    data_in(conn, cdb_for(1, False, 0, 1, field=6), 0, 520).condition(FIELD)
    data_in(conn, cdb_for(1, False, 0, 1), 1, 520).condition(FIELD)


def restart(target):
    target.close_connections()
    target.stop()
    target.start()


@case("tuples survive a restart: {}", [row for row in LABELLED if row[1] in (0, 3)])
def restarted(target, lun, kind, size):
    data = protected(blocks_of(size, 64, 5), 0x7777, 300)
    data_out(target.login(), cdb_for(kind, True, 300, 64), lun, data).good()
    restart(target)
    conn = target.login()
    got = data_in(conn, cdb_for(kind, False, 300, 64), lun, len(data)).good()
    equal(got.data, data, "blocks and tuples")


@case("a byte that changes in the file is found: {}", [row for row in LABELLED if row[1] in (0, 3)])
def rotten(target, lun, kind, size):
    data = protected(blocks_of(size, 8, 6), 1, 400)
    data_out(target.login(), cdb_for(kind, True, 400, 8), lun, data).good()
    target.close_connections()
    target.stop()
    with open(LARGE if lun == 3 else FILE, "r+b") as file:
        file.seek(405 * size + 17)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0x10]))
    target.start()
    conn = target.login()
    for field in (0, 1):
        length = 8 * (size + 8 if field else size)
        result = data_in(conn, cdb_for(kind, False, 400, 8, field), lun, length).condition(GUARD)
        equal(int.from_bytes(result.pdu.data[2 + 3:2 + 7], "big"), 405, "LBA in the sense data")
    data_in(conn, cdb_for(kind, False, 400, 5, 0), lun, 5 * size).good()
    data_out(conn, cdb_for(kind, True, 400, 8), lun, data).good()
    data_in(conn, cdb_for(kind, False, 400, 8), lun, len(data)).good()


def kill(target):
    """As a crash does; whoever was connected finds out. The kernel may still be at the last requests, and
    keeps the locks for so long: the next one waits for them."""
    target.process.kill()
    target.process.wait()
    target.process.stdout.close()
    target.process = None
    target.close_connections()
    target.innocent.close()
    target.innocent = None
    target.start()


@case("riserd killed while it writes: {}", [row for row in LABELLED if row[1] in (0, 3)])
def killed(target, lun, kind, size):
    """A block is one that was sent, whole, or an error until it is written again."""
    count, start = 8, 500
    versions = [[protected([block], 0, start + n) for n, block in
                 enumerate(blocks_of(size, count, stamp))] for stamp in range(8)]
    for turn in range(5):
        conn = target.login(ImmediateData="Yes", MaxRecvDataSegmentLength=262144)
        data_out(conn, cdb_for(kind, True, start, count), lun, b"".join(versions[0])).good()
        for number in range(24):
            data = b"".join(versions[number % 8])
            conn.send(conn.command_pdu(cdb_for(kind, True, start, count), lun, write=len(data),
                                       data=data))
        # Some writes are done, some are not: another number each time.
        for _ in range(turn * 4):
            conn.recv()
        kill(target)
        conn = target.login()
        for number in range(count):
            lba = start + number
            result = data_in(conn, cdb_for(kind, False, lba, 1), lun, size + 8)
            if result.sense is None:
                check(any(result.data == version[number] for version in versions),
                      f"block {number} is none of those that were written")
                continue
            result.condition(GUARD)
            data_out(conn, cdb_for(kind, True, lba, 1), lun, versions[1][number]).good()
            data_in(conn, cdb_for(kind, False, lba, 1), lun, size + 8).good()
        target.close_connections()


@case("a file of tuples is for its own disk")
def mixed_up(target):
    del target
    other = os.path.join(TMP, "other.img")
    for disk, what in ((f"{other},size=4M,pi=1,pi-path={TUPLES}", "locked"),
                       (f"{other},size=4M,pi=1", "pi-path"),
                       (f"{other},size=4M,pi-path={other}.pi", "without pi"),
                       ("ram:1M,pi=4", "pi=4"), ("null:1M,pi=1", "RAM")):
        status, lines = refuse_to_start("-p", "127.0.0.1:0", disk)
        check(status != 0, f"{disk}: started")
        check(any(what in line for line in lines), f"{disk}: {lines}")


main(Target(disks=DISKS))
