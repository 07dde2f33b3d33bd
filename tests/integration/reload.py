#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The configuration file changes under sessions: LUNs come, go, grow, move and are replaced by SIGHUP,
each session is told of it by a unit attention and an Asynchronous Message, and what would end a session
or drop a command is refused, with everything as it was."""

import os
import select
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import Initiator, LoginRefused, pattern, report_luns, write10
from tap import case, check, equal, main
from target import Target

TMP = os.environ["TMPDIR"]
FILE, DISK, MOVED = (os.path.join(TMP, name) for name in ("riser.conf", "disk.img", "moved.img"))
POWER_ON, INQUIRY_CHANGED = (6, 0x29, 0x00), (6, 0x3f, 0x03)
LUNS_CHANGED, CAPACITY_CHANGED = (6, 0x3f, 0x0e), (6, 0x2a, 0x09)
NO_LUN = (5, 0x25, 0x00)
IQN, OTHER = "iqn.2026-11.test:one", "iqn.2026-11.test:two"
MIB = 1 << 20
BASE = {0: 'path = "ram:8M"', 1: 'path = "ram:8M"'}


def config(luns, more="", other=True, target=""):
    """Two targets at one portal; `luns` are those of the first."""
    text = "portal 127.0.0.1:0 { }\n" + more + "target " + IQN + " {\n" + target
    for number, keys in luns.items():
        text += f"    lun {number} {{ {keys} }}\n"
    text += "}\n"
    if other:
        text += "target " + OTHER + " {\n    lun 0 { path = ram:4M }\n}\n"
    with open(FILE, "w", encoding="ascii") as file:
        file.write(text)


def poll(condition, what):
    end = time.monotonic() + 15
    while not condition():
        check(time.monotonic() < end, f"no {what} within 15 s of the signal")
        select.select([], [], [], 0.02)


def reload(target, applied=True):
    """SIGHUP, and what the log says of it."""
    before = len(target.stderr_lines())
    os.kill(target.process.pid, signal.SIGHUP)
    said = "serves what it says now" if applied else "not applied"
    poll(lambda: any(said in line for line in target.stderr_lines()[before:]), f"'{said}'")
    return "\n".join(target.stderr_lines()[before:])


def sense(conn, lun):
    return conn.ready(lun).sense


def events(conn):
    """(LUN, sense) of the Asynchronous Messages that have come."""
    conn.ready(0)
    found = [(e.lun >> 48, (e.data[4] & 15, e.data[14], e.data[15])) for e in conn.events]
    conn.events.clear()
    return found


def addresses(conn):
    pairs, _ = conn.text(b"SendTargets=\0")
    return [key for key, _ in pairs].count("TargetAddress")


def settle(conn, *luns):
    """Takes the unit attentions that are there."""
    for lun in luns:
        while sense(conn, lun):
            pass


class Reloaded(Target):
    """The innocent session is of the other target: it hears of no LUN."""

    def _start_innocent(self):
        self.innocent_lun = self.innocent_lba = 0
        here, self.iqn = self.iqn, OTHER
        super()._start_innocent()
        self.iqn = here


def log_in(target, iqn):
    conn = Initiator(target.address, iqn)
    target.connections.append(conn)
    conn.login()
    return conn


def listen(target):
    conn = log_in(target, IQN)
    conn.events = []
    settle(conn, 0, 1)
    return conn


@case("a LUN comes: it was switched on just now, and every LUN says that there are others")
def comes(target):
    config(BASE)
    reload(target)
    conn = listen(target)
    equal(sense(conn, 5), NO_LUN, "LUN 5")
    config({**BASE, 5: 'path = "ram:4M" serial = FIVE'})
    reload(target)
    poll(lambda: (5, LUNS_CHANGED) in events(conn), "asynchronous message")
    settle(conn, 0)
    equal(sense(conn, 1), LUNS_CHANGED, "LUN 1")
    equal(sense(conn, 5), POWER_ON, "the new LUN")
    equal(sense(conn, 5), LUNS_CHANGED, "and again")
    conn.write(0, pattern(8, 1), 5).good()
    equal(conn.read(0, 8, 5), pattern(8, 1), "its data")
    conn.logout()


@case("a LUN goes: commands do not find it, its neighbours say so")
def goes(target):
    config({**BASE, 5: 'path = "ram:4M" serial = FIVE'})
    reload(target)
    conn = listen(target)
    settle(conn, 5)
    config(BASE)
    reload(target)
    poll(lambda: (5, LUNS_CHANGED) in events(conn), "asynchronous message")
    equal(sense(conn, 5), NO_LUN, "LUN 5")
    settle(conn, 0)
    equal(sense(conn, 1), LUNS_CHANGED, "LUN 1")
    report = conn.scsi(report_luns(64), 0, read=64).good().data
    equal(int.from_bytes(report[:4], "big"), 16, "REPORT LUNS: two of them")
    conn.logout()


@case("a file grows and its LUN with it; a file takes another number; a LUN gets another disk")
def grows_and_moves(target):
    with open(DISK, "wb") as file:
        file.truncate(4 * MIB)
    config({**BASE, 2: f'path = "{DISK}"'})
    reload(target)
    conn = listen(target)
    settle(conn, 2)
    conn.write(0, pattern(8, 2), 2).good()
    os.truncate(DISK, 8 * MIB)
    reload(target)
    poll(lambda: (2, CAPACITY_CHANGED) in events(conn), "asynchronous message")
    equal(sense(conn, 2), CAPACITY_CHANGED, "LUN 2")
    config({**BASE, 7: f'path = "{DISK}"'})
    reload(target)
    equal(sense(conn, 2), NO_LUN, "LUN 2")
    settle(conn, 7)
    equal(conn.read(0, 8, 7), pattern(8, 2), "its data")
    config({**BASE, 7: f'path = "{DISK}" readonly = on'})
    reload(target)
    equal(sense(conn, 7), POWER_ON, "a replaced LUN")
    equal(sense(conn, 7), INQUIRY_CHANGED, "and again")
    settle(conn, 7)
    conn.write(0, pattern(8, 3), 7).condition((7, 0x27, 0x00))
    conn.logout()


@case("what cannot be opened changes nothing, also where a disk was closed for it")
def fails(target):
    config({**BASE, 2: f'path = "{DISK}"'})
    reload(target)
    conn = listen(target)
    settle(conn, 2)
    config({**BASE, 2: f'path = "{TMP}/none"', 3: 'path = "ram:1M"'})
    said = reload(target, applied=False)
    check(f"{FILE}:5: {IQN} LUN 2" in said and "does not exist" in said, said)
    equal(sense(conn, 2), None, "LUN 2")
    equal(sense(conn, 3), NO_LUN, "LUN 3")
    config({**BASE, 4: f'path = "{DISK}" size = 3M'})
    said = reload(target, applied=False)
    check("exists and has" in said, said)
    settle(conn, 2)
    conn.write(8, pattern(8, 4), 2).good()
    for text in ("lun 2 {", "alow = { any }", "lun 0 { path = ram:1M }"):
        config({**BASE, 2: f'path = "{DISK}"'}, target="    " + text + "\n")
        check(f"{FILE}:" in reload(target, applied=False), text)
    equal(sense(conn, 2), None, "LUN 2")
    config({**BASE, 2: f'path = "{DISK}"'})
    reload(target)
    conn.logout()


@case("what would end a session is refused, and the log names it")
def refuses(target):
    config(BASE)
    reload(target)
    conn = listen(target)
    name = conn.name
    config(BASE, target='    allow = { "iqn.2001-01.test:nobody" }\n')
    said = reload(target, applied=False)
    check(name in said and "may not log in any more" in said, said)
    with open(FILE, "w", encoding="ascii") as file:
        file.write(f"portal 127.0.0.1:0 {{ }}\ntarget {OTHER} {{ lun 0 {{ path = ram:4M }} }}\n")
    said = reload(target, applied=False)
    check(name in said and "the target would be gone" in said, said)
    equal(sense(conn, 0), None, "the session")
    config(BASE)
    with open(FILE, "a", encoding="ascii") as file:
        file.write("memory = 8M\n")
    check("restart" in reload(target, applied=False), "memory")
    conn.logout()


@case("a command that does not end keeps its LUN; then the LUN goes")
def slow(target):
    config({**BASE, 6: 'path = "ram:1M" fault = "write:delay=8s"'})
    reload(target)
    conn = listen(target)
    settle(conn, 6)
    write = conn.send(conn.command_pdu(write10(0, 1), 6, write=512, data=bytes(512)))
    conn.ping()  # the write has begun
    config(BASE)
    said = reload(target, applied=False)
    check(f"commands of {conn.name}" in said, said)
    conn.complete(write).good()
    equal(sense(conn, 6), None, "LUN 6")
    reload(target)
    equal(sense(conn, 6), NO_LUN, "LUN 6")
    conn.logout()


@case("targets and portals come and go")
def targets(target):
    config(BASE)
    reload(target)
    config(BASE, other=False)
    said = reload(target, applied=False)
    check(OTHER in said and "the target would be gone" in said, said)
    config(BASE, more="portal 127.0.0.2:0 { tag = 2 }\n")
    reload(target)
    conn = listen(target)
    equal(addresses(conn), 2, "portals by SendTargets")
    groups = conn.scsi(bytes([0xa3, 0x0a]) + bytes(4) + (64).to_bytes(4, "big") + bytes(2), 0,
                       read=64).good().data
    equal(int.from_bytes(groups[:4], "big"), 24, "REPORT TARGET PORT GROUPS: two of them")
    config(BASE)
    reload(target)
    equal(addresses(conn), 1, "portals by SendTargets")
    settle(target.innocent, 0)  # the group was a path to its target, too
    conn.logout()
    new = "target iqn.2026-11.test:three { lun 3 { path = ram:1M } }\n"
    config(BASE, more=new)
    reload(target)
    conn = log_in(target, "iqn.2026-11.test:three")
    settle(conn, 3)
    equal(sense(conn, 3), None, "LUN 3 of a new target")
    conn.logout()
    conn.close()
    config(BASE)
    reload(target)
    try:
        log_in(target, "iqn.2026-11.test:three")
    except LoginRefused as error:
        equal(error.status, 0x0203, "the target that is gone")
    else:
        check(False, "a target that is gone lets somebody in")


if __name__ == "__main__":
    config(BASE)
    main(Reloaded("-c", FILE, disks=(), portals=()))
