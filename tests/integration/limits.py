#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What initiators see and may write changes by SIGHUP while they are logged in: they are told by unit
attentions and Asynchronous Messages, commands in progress end as if nothing were, and who is not
concerned hears of nothing."""

import os
import select
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import pattern, report_luns, write10
from tap import case, check, equal, main
from target import Target

FILE = os.path.join(os.environ["TMPDIR"], "riser.conf")
IQN, ALICE = "iqn.2026-11.test:one", "iqn.2026-11.test:alice"
POWER_ON, MODE_CHANGED, LUNS_CHANGED = (6, 0x29, 0x00), (6, 0x2a, 0x01), (6, 0x3f, 0x0e)
NO_LUN, PROTECTED = (5, 0x25, 0x00), (7, 0x27, 0x00)
LUN_RESET, TMF_DONE, TMF_NO_LUN = 5, 0, 2


def config(rule, *luns):
    """`rule` is that of alice; everybody else does as he likes."""
    luns = luns or ("", "", "")
    with open(FILE, "w", encoding="ascii") as file:
        file.write("portal 127.0.0.1:0 { }\ntarget " + IQN + " {\n")
        file.write(f'    initiator "{ALICE}" {{ {rule} }}\n    initiator any {{ luns = all }}\n')
        for number, keys in enumerate(luns):
            file.write(f"    lun {number} {{ path = ram:8M {keys} }}\n")
        file.write("}\n")


def poll(condition, what):
    end = time.monotonic() + 15
    while not condition():
        check(time.monotonic() < end, f"no {what} within 15 s")
        select.select([], [], [], 0.02)


def reload(target, said="serves what it says now"):
    before = len(target.stderr_lines())
    os.kill(target.process.pid, signal.SIGHUP)
    poll(lambda: any(said in line for line in target.stderr_lines()[before:]), f"'{said}'")


def alice(target, rule, *luns):
    """A session of hers that has taken its unit attentions."""
    config(rule, *luns)
    reload(target)
    conn = target.login(ALICE, clear=False)
    conn.events = []
    for lun in 0, 1, 2:
        settle(conn, lun)
    return conn


def sense(conn, lun):
    return conn.ready(lun).sense


def settle(conn, lun):
    while sense(conn, lun) not in (None, NO_LUN):
        pass


def events(conn):
    conn.ready(0)
    found = [(e.lun >> 48, (e.data[4] & 15, e.data[14], e.data[15])) for e in conn.events]
    conn.events.clear()
    return found


def seen(conn):
    data = conn.scsi(report_luns(64), 0, read=64).good().data
    return [data[8 + i * 8 + 1] for i in range(int.from_bytes(data[:4], "big") // 8)]


@case("LUNs come into her view and go from it")
def views(target):
    conn = alice(target, "luns = 0")
    equal(seen(conn), [0], "REPORT LUNS")
    equal(sense(conn, 1), NO_LUN, "LUN 1")
    config("luns = 0-1")
    reload(target)
    poll(lambda: (1, LUNS_CHANGED) in events(conn), "asynchronous message")
    equal(sense(conn, 1), POWER_ON, "a new LUN")
    settle(conn, 0)
    settle(conn, 1)
    equal(seen(conn), [0, 1], "REPORT LUNS")
    conn.write(8, pattern(8, 1), 1).good()
    config("luns = 0")
    reload(target)
    poll(lambda: (1, LUNS_CHANGED) in events(conn), "asynchronous message")
    equal(sense(conn, 1), NO_LUN, "a LUN that went")
    settle(conn, 0)
    equal(sense(target.innocent, 1), None, "the other initiator")
    conn.logout()


@case("a LUN becomes read-only for her, and is so no more")
def protection(target):
    conn = alice(target, "luns = all")
    conn.write(16, pattern(8, 2), 0).good()
    config("luns = all readonly = 0")
    reload(target)
    equal(sense(conn, 0), MODE_CHANGED, "LUN 0")
    equal(sense(conn, 1), None, "LUN 1")
    conn.write(16, pattern(8, 3), 0).condition(PROTECTED)
    conn.write(16, pattern(8, 3), 1).good()
    equal(conn.read(16, 8, 0), pattern(8, 2), "what she has written before")
    target.innocent.write(16, pattern(8, 4), 0).good()
    equal(conn.read(16, 8, 0), pattern(8, 4), "what another one has written")
    config("luns = all readonly = off")
    reload(target)
    equal(sense(conn, 0), MODE_CHANGED, "LUN 0")
    conn.write(16, pattern(8, 5), 0).good()
    conn.logout()


@case("a function for a LUN that she does not see does nothing to others")
def functions(target):
    conn = alice(target, "luns = 0")
    equal(conn.tmf(LUN_RESET, lun=1), TMF_NO_LUN, "LUN RESET of LUN 1")
    equal(sense(target.innocent, 1), None, "the other initiator's LUN 1")
    equal(conn.tmf(LUN_RESET, lun=0), TMF_DONE, "LUN RESET of LUN 0")
    settle(target.innocent, 0)
    conn.logout()


@case("what comes and goes beside her view is none of her business")
def elsewhere(target):
    conn = alice(target, "luns = 0-1")
    config("luns = 0-1", "", "", "", "")
    reload(target)
    config("luns = 0-1", "", "", "")
    reload(target)
    equal(events(conn), [], "asynchronous messages")
    equal(sense(conn, 0), None, "LUN 0")
    equal(sense(conn, 3), NO_LUN, "LUN 3")
    settle(target.innocent, 0)
    settle(target.innocent, 1)
    conn.logout()


@case("a command that waits for its share goes on when its LUN goes, or the limit does")
def waiting(target):
    conn = alice(target, "luns = all", "", "", "iops = 1 burst = 10ms")
    sent = [conn.send(conn.command_pdu(write10(i, 1), 2, write=512, data=bytes(512)))
            for i in range(8)]
    began = time.monotonic()
    conn.complete(sent[0]).good()
    config("luns = all", "", "")
    reload(target)
    for pdu in sent[1:]:
        conn.complete(pdu).good()
    check(time.monotonic() - began < 5, "they have waited for their share")
    equal(sense(conn, 2), NO_LUN, "LUN 2")
    config("luns = all", "", "", "iops = 1 burst = 10ms")
    reload(target)
    settle(conn, 2)
    sent = [conn.send(conn.command_pdu(write10(i, 1), 2, write=512, data=bytes(512)))
            for i in range(8)]
    conn.complete(sent[0]).good()
    config("luns = all", "", "", "")
    reload(target)
    for pdu in sent[1:]:
        conn.complete(pdu).good()
    check(time.monotonic() - began < 7, "they have waited for their share")
    settle(target.innocent, 0)
    settle(target.innocent, 1)
    conn.logout()


@case("a session that ends while its commands wait is gone at once")
def ends(target):
    conn = alice(target, "luns = all iops = 1 burst = 10ms")
    for i in range(32):
        conn.send(conn.command_pdu(write10(i, 1), 0, write=512, data=bytes(512)))
    conn.close()
    began = time.monotonic()
    again = target.login(ALICE, clear=False)
    again.logout()
    check(time.monotonic() - began < 5, "the new session has waited for the old one")


@case("whom nothing is given sees nothing, and the log says so")
def nothing(target):
    config("luns = none")
    reload(target)
    conn = target.login(ALICE, clear=False)
    equal(seen(conn), [], "REPORT LUNS")
    equal(sense(conn, 0), NO_LUN, "LUN 0")
    check(any(f"{ALICE} sees no LUN" in line for line in target.stderr_lines()), "the log")
    conn.logout()


class Shared(Target):
    """The innocent session is of the same target, and hears of LUNs that come and go."""

    def _start_innocent(self):
        super()._start_innocent()
        self.innocent.events = []


if __name__ == "__main__":
    config("luns = all")
    main(Shared("-c", FILE, disks=(), portals=()))
