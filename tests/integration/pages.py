#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Mode and log pages over iSCSI: what one session changes the others hear of, does
what it says, and is there again after a restart when it was saved."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import BLOCK, pattern, read10, write10
from tap import case, check, equal, main
from target import Target

MODE_CHANGED, LOG_CHANGED = (6, 0x2a, 0x01), (6, 0x2a, 0x02)
TIMESTAMP_CHANGED, IDENTIFIER_CHANGED = (6, 0x2a, 0x10), (6, 0x3f, 0x05)
MEDIUM_CHANGED = (6, 0x28, 0x00)
BAD_LIST, SHORT_LIST = (5, 0x26, 0x00), (5, 0x1a, 0x00)
PREVENTED, NO_MEDIUM = (5, 0x53, 0x02), (2, 0x3a, 0x00)
SOFT_PROTECTED, LBA_RANGE = (7, 0x27, 0x02), (5, 0x21, 0x00)
CACHING, CONTROL = 0x08, 0x0a
CURRENT, CHANGEABLE, DEFAULT, SAVED = 0, 1, 2, 3
FILE, REMOVABLE = 0, 2
DISK = os.path.join(os.environ["TMPDIR"], "pages.img")
STATE = os.path.join(os.environ["TMPDIR"], "pages.state")


def mode_sense(conn, page, control=CURRENT, lun=FILE):
    """The page, from its PAGE CODE on."""
    cdb = bytes([0x5a, 8, control << 6 | page, 0, 0, 0, 0, 1, 0, 0])
    return conn.scsi(cdb, lun, read=256).good().data[8:]


def mode_select(conn, page, save=False, lun=FILE, cut=0):
    page = bytes([page[0] & 0x7f]) + page[1:]
    data = (bytes(8) + page)[:8 + len(page) - cut]
    cdb = bytes([0x55, 0x11 if save else 0x10, 0, 0, 0, 0, 0]) + len(data).to_bytes(2, "big") + b"\0"
    return send_list(conn, cdb, data, lun)


def send_list(conn, cdb, data, lun=FILE):
    """A command with a parameter list, sent as immediate data."""
    pdu = conn.send(conn.command_pdu(cdb, lun, write=len(data), data=data))
    return conn.complete(pdu, data)


def with_byte(page, at, value):
    return page[:at] + bytes([value]) + page[at + 1:]


def log_sense(conn, page, lun=FILE):
    cdb = bytes([0x4d, 0, 1 << 6 | page, 0, 0, 0, 0, 2, 0, 0])
    return conn.scsi(cdb, lun, read=512).good().data


def log_parameter(data, code):
    at = 4
    while at < len(data):
        length = data[at + 3]
        if int.from_bytes(data[at:at + 2], "big") == code:
            return data[at + 4:at + 4 + length]
        at += 4 + length
    raise AssertionError(f"no parameter {code}")


def settle(target, *conns):
    """Everybody has heard of everything."""
    for conn in (target.innocent,) + conns:
        for lun in range(len(target.disks)):
            conn.clear_unit_attention(lun)


@case("every page can be asked for in every way, and given back as it is")
def round_trip(target):
    conn, other = target.login(), target.login()
    for code in (0x01, 0x08, 0x0a, 0x1a, 0x1c):
        for control in (CURRENT, CHANGEABLE, DEFAULT, SAVED):
            page = mode_sense(conn, code, control)
            equal(page[0], 0x80 | code, "page code, saveable")
            equal(page[1] + 2, len(page), "page length")
        mode_select(conn, mode_sense(conn, code)).good()
    other.ready().good()


@case("a cache that is switched off: the other session hears of it, saved values survive")
def cache(target):
    conn, other = target.login(), target.login()
    page = mode_sense(conn, CACHING)
    equal(page[2] & 4, 4, "WCE of a file")
    mode_select(conn, with_byte(page, 2, page[2] & ~4)).good()
    conn.ready().good()
    other.ready().condition(MODE_CHANGED)
    other.ready().good()
    equal(mode_sense(other, CACHING)[2], 0, "WCE")
    equal(mode_sense(other, CACHING, SAVED)[2], 4, "saved WCE")
    conn.write(7, pattern(1, 0x11)).good()
    mode_select(conn, with_byte(page, 2, 0), save=True).good()
    equal(mode_sense(other, CACHING, SAVED)[2], 0, "saved WCE")
    restart(target)
    conn = target.login()
    equal(mode_sense(conn, CACHING)[2], 0, "WCE after a restart")
    equal(mode_sense(conn, CACHING, DEFAULT)[2], 4, "default WCE")
    equal(conn.read(7, 1), pattern(1, 0x11), "the block that was written")
    mode_select(conn, with_byte(page, 2, 4), save=True).good()
    settle(target)


def restart(target):
    target.close_connections()
    target.stop()
    target.start()


@case("SWP: reads go on, writes do not")
def protected(target):
    conn = target.login()
    page = mode_sense(conn, CONTROL)
    mode_select(conn, with_byte(page, 4, page[4] | 8)).good()
    pdu = conn.send(conn.command_pdu(write10(0, 1), write=BLOCK, data=pattern(1, 1)))
    conn.complete(pdu, pattern(1, 1)).condition(SOFT_PROTECTED)
    conn.read(0, 1)
    equal(conn.scsi(bytes([0x1a, 8, 8, 0, 255, 0]), read=255).data[2] & 0x80, 0x80, "WP")
    mode_select(conn, page).good()
    conn.write(0, pattern(1, 1)).good()
    settle(target)


@case("D_SENSE: sense comes in descriptor format, for every session")
def descriptor_sense(target):
    conn, other = target.login(), target.login()
    page = mode_sense(conn, CONTROL)
    mode_select(conn, with_byte(page, 2, page[2] | 4)).good()
    settle(target, other)
    for session in (conn, other):
        result = session.scsi(read10(0xfffffff0, 1), read=BLOCK)
        result.condition(LBA_RANGE)
        equal(result.pdu.data[2], 0x72, "response code")
    mode_select(conn, page).good()
    settle(target, other)
    result = other.scsi(read10(0xfffffff0, 1), read=BLOCK)
    equal(result.pdu.data[2], 0x70, "response code")


@case("S11 a list that is wrong changes nothing: {}", [
    ("cut short", 3, None, SHORT_LIST), ("a page of another length", 0, (1, 9), BAD_LIST),
    ("an unknown page", 0, (0, 0x0b), BAD_LIST), ("a reserved bit", 0, (2, 0x23), BAD_LIST),
    ("QERR 10b", 0, (3, 0x14), BAD_LIST)])
def bad_list(target, cut, change, code):
    conn, other = target.login(), target.login()
    page = mode_sense(conn, CONTROL)
    mode_select(conn, with_byte(page, *change) if change else page, cut=cut).condition(code)
    equal(mode_sense(conn, CONTROL), page, "the page")
    other.ready().good()


@case("counters count, and LOG SELECT sets them back")
def counters(target):
    conn, other = target.login(), target.login()
    reset = bytes([0x4c, 2, 0, 0, 0, 0, 0, 0, 0, 0])
    conn.scsi(reset).good()
    conn.ready().good()
    settle(target, other)
    conn.write(0, pattern(4, 9)).good()
    conn.read(0, 3)
    general = log_parameter(log_sense(conn, 0x19), 1)
    equal([int.from_bytes(general[i:i + 8], "big") for i in range(0, 32, 8)], [1, 1, 4, 3],
          "reads, writes, blocks received, blocks sent")
    equal(int.from_bytes(log_parameter(log_sense(other, 0x02), 5), "big"), 4 * BLOCK,
          "bytes written")
    conn.scsi(reset).good()
    other.ready().condition(LOG_CHANGED)
    equal(int.from_bytes(log_parameter(log_sense(other, 0x02), 5), "big"), 0, "bytes written")
    settle(target, other)


@case("the pages that page 00h lists are there")
def listed(target):
    conn = target.login()
    pages = log_sense(conn, 0)[4:]
    check(len(pages) >= 6, f"pages {pages!r}")
    for page in pages:
        equal(log_sense(conn, page)[0] & 0x3f, page, "page code")


@case("identifying information survives a restart")
def identifying(target):
    conn, other = target.login(), target.login()
    text = "rack 7, Grüße".encode() + b"\0"
    put = bytes([0xa4, 6, 0, 0, 0, 0]) + len(text).to_bytes(4, "big") + b"\x04\0"
    get = bytes([0xa3, 5, 0, 0, 0, 0, 0, 0, 2, 0, 4, 0])
    send_list(conn, put, text).good()
    other.ready().condition(IDENTIFIER_CHANGED)
    settle(target)
    restart(target)
    conn = target.login()
    equal(conn.scsi(get, read=512).good().data, b"\0\0" + len(text).to_bytes(2, "big") + text,
          "identifying information")


@case("the timestamp can be set")
def timestamp(target):
    conn, other = target.login(), target.login()
    then = (1 << 46).to_bytes(6, "big")
    send_list(conn, bytes([0xa4, 15, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0]),
              bytes(4) + then + bytes(2)).good()
    other.ready().condition(TIMESTAMP_CHANGED)
    data = conn.scsi(bytes([0xa3, 15, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0]), read=255).good().data
    equal((len(data), data[2]), (12, 2), "length, origin")
    check(0 <= int.from_bytes(data[4:10], "big") - (1 << 46) < 600000, f"timestamp {data!r}")
    settle(target)


def eject(conn, start=0):
    return conn.scsi(bytes([0x1b, 0, 0, 0, 2 | start, 0]), REMOVABLE)


def prevent(conn, how):
    return conn.scsi(bytes([0x1e, 0, 0, 0, how, 0]), REMOVABLE)


@case("a removable medium: prevented, ejected, loaded")
def removable(target):
    conn, other = target.login(), target.login()
    equal(conn.scsi(bytes([0x12, 0, 0, 0, 96, 0]), REMOVABLE, read=96).data[1], 0x80, "RMB")
    equal(conn.scsi(bytes([0x12, 0, 0, 0, 96, 0]), FILE, read=96).data[1], 0, "RMB of a file")
    prevent(other, 1).good()
    eject(conn).condition(PREVENTED)
    # Prevention ends with its session.
    other.logout()
    other.close()
    other = target.login()
    conn.ready(REMOVABLE).good()
    eject(conn).good()
    other.ready(REMOVABLE).condition(NO_MEDIUM)
    other.scsi(read10(0, 1), REMOVABLE, read=BLOCK).condition(NO_MEDIUM)
    eject(conn, start=1).good()
    conn.ready(REMOVABLE).good()
    other.ready(REMOVABLE).condition(MEDIUM_CHANGED)
    other.ready(REMOVABLE).good()
    settle(target)


if __name__ == "__main__":
    with open(DISK, "wb") as file:
        file.truncate(16 << 20)
    main(Target("--state", STATE, disks=(f"{DISK},block-size=512", "ram:16M,block-size=512",
                                         "ram:16M,block-size=512,removable=on")))
