#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""SANITIZE as an initiator sees it: progress, what is refused meanwhile, who comes and goes, a daemon
that is killed in the middle and goes on, and what is on the disk in the end."""

import os
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import BLOCK, pattern, read10
from tap import case, check, equal, main
from target import STOP, Target

SIZE = 16 << 20
IN_PROGRESS, FAILED, FORMATTING = (2, 0x04, 0x1b), (3, 0x31, 0x03), (2, 0x04, 0x04)
CORRUPTED = (3, 0x31, 0x00)
INVALID_CDB = (5, 0x24, 0x00)
CHANGED = (6, 0x28, 0x00)
OVERWRITE, EXIT_FAILURE_MODE, IMMED, AUSE, INVERT = 1, 0x1f, 0x80, 0x20, 0x80
LUN_RESET = 5
PATIENCE = 60


class Disks(Target):
    """LUN 0: a file whose writes are slow. LUN 1: a file that fails from its 8th MiB on, when it is
    overwritten. LUN 2: memory."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="sanitize-")
        super().__init__("--state", os.path.join(self.folder, "state"), innocent=None, disks=(
            f"{self.file(0)},size=16M,fault=write:delay=20ms",
            f"{self.file(1)},size=16M,fault=write:eio:lba=16384-16385:times=2",
            "ram:16M"))

    def file(self, lun):
        return os.path.join(self.folder, f"disk{lun}")

    def kill(self):
        """As a crash would."""
        self.process.kill()
        self.process.wait(STOP)
        self.process.stdout.close()
        self.process = None
        self.log.close()
        self.close_connections()

    def ready_session(self, lun=0):
        """A session that has had its unit attentions for one LUN."""
        conn = self.login(clear=False)
        after_attentions(conn, lun)
        return conn


def after_attentions(conn, lun=0):
    """What TEST UNIT READY says when no unit attention is left."""
    while True:
        result = conn.ready(lun)
        if result.sense is None or result.sense[0] != 6:
            return result


def overwrite(conn, data, flags=0, count=1, lun=0):
    """The SANITIZE command, sent."""
    params = bytes([count, 0]) + len(data).to_bytes(2, "big") + data
    cdb = bytes([0x48, OVERWRITE | flags, 0, 0, 0, 0, 0]) + len(params).to_bytes(2, "big") + b"\0"
    return conn.send(conn.command_pdu(cdb, lun, write=len(params), data=params)), params


def sanitized(conn, data, **how):
    command, params = overwrite(conn, data, **how)
    return conn.complete(command, params, PATIENCE)


def exit_failure_mode(conn, lun):
    return conn.scsi(bytes([0x48, EXIT_FAILURE_MODE, 0, 0, 0, 0, 0, 0, 0, 0]), lun)


def progress(conn, lun=0):
    """65536ths by REQUEST SENSE, or None when there is nothing to report."""
    data = conn.scsi(bytes([3, 0, 0, 0, 18, 0]), lun, read=18).good().data
    code = (data[2] & 15, data[12], data[13])
    if code[0] in (0, 6):
        return None
    check(code in (IN_PROGRESS, FORMATTING), f"REQUEST SENSE says {code}")
    equal(data[15], 0x80, "SKSV")
    return int.from_bytes(data[16:18], "big")


def wait_ready(conn, lun=0):
    end = time.monotonic() + PATIENCE
    while after_attentions(conn, lun).status != 0:
        check(time.monotonic() < end, "still not ready")
        progress(conn, lun)


def all_of(target, lun):
    with open(target.file(lun), "rb") as file:
        return file.read()


def records(target):
    return [name for name in os.listdir(os.path.join(target.folder, "state")) if "sanitize" in name]


@case("the whole disk is overwritten, in passes, and progress is seen to grow")
def progress_is_seen(target):
    conn, other = target.ready_session(), target.ready_session()
    conn.write(1000, pattern(8, 1)).good()
    sanitized(conn, b"\xa5\x5a\x01", flags=IMMED, count=INVERT | 3).good()
    conn.ready().condition(IN_PROGRESS)
    other.scsi(read10(0, 1), read=BLOCK).condition(IN_PROGRESS)
    other.scsi(bytes([0x12, 0, 0, 0, 96, 0]), read=96).good()
    check(records(target), "no record of the sanitize operation")
    seen = []
    while (now := progress(conn)) is not None:
        seen.append(now)
    check(seen == sorted(seen) and len(set(seen)) > 10, f"progress {sorted(set(seen))}")
    check(seen[-1] > 60000, f"the last was {seen[-1]}")
    other.ready().condition(CHANGED)
    wait_ready(conn)
    equal(conn.read(12345, 1), (b"\xa5\x5a\x01" * 171)[:BLOCK], "a block read")
    check(all_of(target, 0) == (b"\xa5\x5a\x01" * 171)[:BLOCK] * (SIZE // BLOCK), "the file")
    check(not records(target), f"records are left: {records(target)}")


@case("with IMMED 0 the status waits for the end, and other LUNs are served meanwhile")
def waits_for_the_end(target):
    conn, other = target.ready_session(), target.ready_session(2)
    command, params = overwrite(conn, b"\x11")
    other.write(0, pattern(8, 2), lun=2).good()
    equal(other.read(0, 8, 2), pattern(8, 2), "another LUN's data")
    conn.complete(command, params, PATIENCE).good()
    conn.ready().good()
    check(all_of(target, 0) == b"\x11" * SIZE, "the file")


@case("neither the loss of the session nor a LOGICAL UNIT RESET ends it")
def survives_its_session(target):
    conn = target.ready_session()
    sanitized(conn, b"\x22", flags=IMMED, count=2).good()
    equal(conn.tmf(LUN_RESET), 0, "LOGICAL UNIT RESET")
    after_attentions(conn).condition(IN_PROGRESS)
    conn.close()
    late = target.login(clear=False)
    after_attentions(late).condition(IN_PROGRESS)
    wait_ready(late)
    check(all_of(target, 0) == b"\x22" * SIZE, "the file")


@case("a daemon that is killed in the middle goes on, and serves nothing before it is through")
def killed_in_the_middle(target):
    conn = target.ready_session()
    conn.write(SIZE // BLOCK - 8, pattern(8, 3)).good()
    for restarts in range(3):
        if restarts == 0:
            sanitized(conn, b"\x33\x44", flags=IMMED, count=2).good()
        while (progress(conn) or 0) < 0x2000 * (restarts + 1):
            pass
        target.kill()
        target.start()
        conn = target.login(clear=False)
        after_attentions(conn).condition(IN_PROGRESS)
    wait_ready(conn)
    check(all_of(target, 0) == b"\x33\x44" * (SIZE // 2), "the file")
    check(not records(target), f"records are left: {records(target)}")


@case("SIGTERM in the middle: it stops at once and goes on at the next start")
def stopped_in_the_middle(target):
    conn = target.ready_session()
    sanitized(conn, b"\x55", flags=IMMED, count=20).good()
    conn.close()
    target.close_connections()
    begin = time.monotonic()
    target.stop()
    check(time.monotonic() - begin < 5, "it waited for the end")
    target.start()
    conn = target.login(clear=False)
    after_attentions(conn).condition(IN_PROGRESS)
    wait_ready(conn)
    check(all_of(target, 0) == b"\x55" * SIZE, "the file")


@case("a failure stays until another SANITIZE succeeds, over a restart too")
def failure_stays(target):
    conn = target.ready_session(1)
    sanitized(conn, b"\x66", lun=1).condition(FAILED)
    conn.ready(1).condition(FAILED)
    conn.scsi(read10(0, 1), 1, read=BLOCK).condition(FAILED)
    exit_failure_mode(conn, 1).condition(INVALID_CDB)
    target.close_connections()
    target.stop()
    target.start()
    conn = target.login(clear=False)
    after_attentions(conn, 1).condition(FAILED)
    sanitized(conn, b"\x66", lun=1, flags=AUSE).condition(INVALID_CDB)
    sanitized(conn, b"\x66", lun=1).condition(FAILED)
    sanitized(conn, b"\x66", lun=1).condition(FAILED)
    sanitized(conn, b"\x66", lun=1).good()
    conn.ready(1).good()
    check(all_of(target, 1) == b"\x66" * SIZE, "the file")


@case("with AUSE a failure can be left by EXIT FAILURE MODE")
def failure_is_left(target):
    target.close_connections()
    target.stop()
    target.start()  # the rule of LUN 1 begins anew
    conn = target.ready_session(1)
    sanitized(conn, b"\x77", lun=1, flags=AUSE).condition(FAILED)
    conn.ready(1).condition(FAILED)
    exit_failure_mode(conn, 1).good()
    conn.ready(1).good()
    conn.read(0, 8, 1)
    check(not records(target), f"records are left: {records(target)}")


@case("BLOCK ERASE is there for memory only, CRYPTOGRAPHIC ERASE for nobody")
def block_erase(target):
    conn = target.ready_session(2)
    after_attentions(conn)
    conn.write(100, pattern(8, 4), lun=2).good()
    conn.scsi(bytes([0x48, 2, 0, 0, 0, 0, 0, 0, 0, 0]), 2).good()
    equal(conn.read(100, 8, 2), bytes(8 * BLOCK), "data after BLOCK ERASE")
    conn.scsi(bytes([0x48, 2, 0, 0, 0, 0, 0, 0, 0, 0])).condition(INVALID_CDB)
    conn.scsi(bytes([0x48, 3, 0, 0, 0, 0, 0, 0, 0, 0]), 2).condition(INVALID_CDB)


@case("FORMAT UNIT writes its pattern everywhere, and zeros without one")
def format_unit(target):
    conn = target.ready_session()
    params = bytes([0, 0x8a, 0, 0]) + bytes([0, 1, 0, 2]) + b"\x88\x99"  # FOV, IP, IMMED
    command = conn.send(conn.command_pdu(bytes([4, 0x10, 0, 0, 0, 0]), write=len(params),
                                         data=params))
    conn.complete(command, params).good()
    conn.ready().condition(FORMATTING)
    check(progress(conn) is not None, "no progress")
    wait_ready(conn)
    check(all_of(target, 0) == b"\x88\x99" * (SIZE // 2), "the file")
    conn.scsi(bytes([4, 0, 0, 0, 0, 0])).good()
    check(all_of(target, 0) == bytes(SIZE), "the file")
    check(os.stat(target.file(0)).st_blocks * 512 < SIZE // 4, "it keeps its space")


@case("a FORMAT UNIT that is killed in the middle leaves a corrupted format, until another one")
def format_is_killed(target):
    conn = target.ready_session()
    params = bytes([0, 0x8a, 0, 0]) + bytes([0, 1, 0, 1]) + b"\x99"  # FOV, IP, IMMED
    command = conn.send(conn.command_pdu(bytes([4, 0x10, 0, 0, 0, 0]), write=len(params),
                                         data=params))
    conn.complete(command, params).good()
    target.kill()
    for _ in range(2):
        target.start()
        conn = target.login(clear=False)
        after_attentions(conn).condition(CORRUPTED)
        conn.scsi(read10(0, 1), read=BLOCK).condition(CORRUPTED)
        target.close_connections()
        target.stop()
    target.start()
    conn = target.login(clear=False)
    after_attentions(conn).condition(CORRUPTED)
    conn.scsi(bytes([4, 0, 0, 0, 0, 0])).good()
    conn.ready().good()
    conn.read(0, 8)


if __name__ == "__main__":
    main(Disks())
