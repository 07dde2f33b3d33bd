#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A disk that does not answer any more: its LUN is taken away by force while the rest is served, initiators
log in again, riserd says what hangs, and it stops in time. And a Logout that waits for a slow disk is answered
though the initiator has closed its side."""

import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
import command
from control import Control
from initiator import Initiator, pattern, read10, write10
from tap import case, check, equal, main
from target import Target

DEAD, INNOCENT, DEAF, SLOW = range(4)
DISKS = ("ram:4M,fault=read:hang:lba=0-7", "ram:16M", "ram:4M,fault=write:hang", "ram:4M,fault=write:delay=4s")
OP_SCSI_RESPONSE, OP_LOGOUT_RESPONSE, OP_ASYNC = 0x21, 0x26, 0x32
TASK_ABORTED, NO_LU = 0x40, (5, 0x25, 0x00)
ISID, OTHER_ISID = b"\x80hung1", b"\x80hung2"


def log_in(target, lun, isid=ISID):
    initiator = Initiator(target.address, target.iqn, lun=lun)
    initiator.isid = isid
    initiator.login()
    initiator.clear_unit_attention()
    return initiator


def hang(target, initiator, cdb, **how):
    initiator.send(initiator.command_pdu(cdb, **how))
    end = time.monotonic() + 10
    with Control(target.control) as client:
        while not any(s["outstanding"] for s in client.call("session.list")):
            check(time.monotonic() < end, "the command is not in progress")
            time.sleep(0.01)


def check_rest(target):
    initiator = log_in(target, INNOCENT, os.urandom(5).join((b"\x80", b"")))
    initiator.write(0, pattern(8, 9))
    equal(initiator.read(0, 8), pattern(8, 9), "what is served all the same")
    initiator.close()


def hanging(target):
    with Control(target.control) as client:
        return client.call("lun.hanging")


@case("a new login does not wait for a read of the old session that hangs")
def reinstated(target):
    old = log_in(target, DEAD)
    hang(target, old, read10(0, 1), read=512)
    new = Initiator(target.address, target.iqn, lun=DEAD)
    new.isid = old.isid
    new.patience = 30  # it gets in after 3 s
    new.login()
    new.clear_unit_attention()
    new.write(64, pattern(8, 5))
    equal(new.read(64, 8), pattern(8, 5), "what the new session reads")
    old.close()
    new.close()
    said = hanging(target)
    equal([(h["lun"], h["commands"], h["served"]) for h in said], [(DEAD, 1, True)], "lun.hanging")
    check_rest(target)


@case("without force a LUN with commands that hang stays, and riserd says which and how many")
def refused(target):
    with Control(target.control) as client:
        error = client.refused("lun.delete", target=target.iqn, lun=DEAD, runtime=True)
        equal(error.data["name"], "busy", "why")
        for word in (f"LUN {DEAD}", "1 commands", " s, in ram:4M"):
            check(word in str(error), f"no '{word}' in: {error}")
        check("--force" in error.data["hint"], f"no way out: {error.data}")
        equal(len(client.call("lun.list")), len(DISKS), "LUNs")


@case("by force it goes at once, its initiators are told, and the number is free")
def forced(target):
    one, other = log_in(target, DEAD), log_in(target, DEAF, OTHER_ISID)
    hang(target, one, read10(1, 1), read=512)
    hang(target, other, write10(0, 1), write=512, data=pattern(1, 1))
    with Control(target.control) as client:
        for lun, initiator in ((DEAD, one), (DEAF, other)):
            began = time.monotonic()
            client.call("lun.delete", target=target.iqn, lun=lun, runtime=True, force=True)
            check(time.monotonic() - began < 10, "it took too long")
            answer = initiator.expect(OP_SCSI_RESPONSE)
            equal(answer.status, TASK_ABORTED, "status of what hung")
            for session in (one, other):  # and of the event that the LUNs have changed
                session.expect(OP_ASYNC)
            initiator.scsi(bytes(6), lun=lun).condition(NO_LU)
        client.call("lun.create", target=target.iqn, lun=DEAD, path="ram:8M", runtime=True)
        one.expect(OP_ASYNC)
        one.clear_unit_attention()
        one.write(0, pattern(8, 3), lun=DEAD)
        equal(one.read(0, 8, lun=DEAD), pattern(8, 3), "the new disk")
        problems = client.call("status")["problems"]
        equal(len(problems), 2, f"problems: {problems}")
        check(all("went by force" in p and "hang in ram:4M since" in p for p in problems), problems)
    equal(sorted((h["lun"], h["commands"], h["served"]) for h in hanging(target)),
          [(DEAD, 2, False), (DEAF, 1, False)], "lun.hanging")
    one.close()
    other.close()
    check_rest(target)


@case("riser tells of it: the tree, lun list, doctor")
def shown(target):
    for words in ((), ("lun", "list")):
        text = command.run("--control", target.control, *words)
        check("went by force" in text and "hang in ram:4M" in text, f"riser {words}: {text}")
    done = command.execute("--control", target.control, "doctor")
    check("went by force" in done.stdout, f"doctor: {done.stdout}")


@case("a Logout that waits is answered though the initiator has closed its side")
def half_closed(target):
    initiator = log_in(target, SLOW)
    hang(target, initiator, write10(0, 1), write=512, data=pattern(1, 1))
    initiator.send(initiator.logout_pdu())
    initiator.half_close()
    equal(initiator.expect(OP_LOGOUT_RESPONSE, 30).response, 0, "Logout Response")
    initiator.expect_closed()


if __name__ == "__main__":
    main(Target(disks=DISKS, innocent=None))  # its end is a case, too: riserd stops in time, with status 0
