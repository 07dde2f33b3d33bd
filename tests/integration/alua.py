#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Two portal groups as two paths: who came in by which, what the paths are told of each other, and
failover by SET TARGET PORT GROUPS."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from conn import Closed
from initiator import Initiator, pattern, read10
from tap import case, check, equal, main
from target import Target

OPTIMIZED, NON_OPTIMIZED, STANDBY, UNAVAILABLE, OFFLINE = 0, 1, 2, 3, 14
NEVER, BY_COMMAND = 0, 1
STATE_CHANGED, NOT_IN_STANDBY, NOT_AVAILABLE, IS_OFFLINE = (
    (6, 0x2a, 0x06), (2, 0x04, 0x0b), (2, 0x04, 0x0c), (2, 0x04, 0x12))
RESET = (6, 0x29, 0x03)
INVALID_LIST = (5, 0x26, 0x00)
REPORT_GROUPS = bytes([0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0])
ISID = b"\x80\x11\x22\x33\x44\x55"
# Portal, and the tag of its group; two portals of one group.
GROUPS = (1, 7, 7)


class Paths(Target):
    def __init__(self):
        super().__init__(innocent=None, portals=(
            "127.0.0.1:0", "127.0.0.1:0,tag=7,access=non-optimized", "127.0.0.1:0,tag=7,preferred=on"))

    def through(self, portal, clear=True, **how):
        """A session by the portal with this number."""
        url = self.urls[portal * len(self.disks)]
        conn = Initiator((url.group(1), int(url.group(2))), self.iqn, **how)
        self.connections.append(conn)
        offer = conn.operational()
        reply = conn.login_step(conn.identity() + offer)
        conn.enter_full_feature(offer, reply)
        conn.answered = dict(reply.pairs)
        if clear:
            for lun in range(len(self.disks)):
                conn.clear_unit_attention(lun)
        return conn

    def both(self):
        """One session by each group, all groups as at the start."""
        first, second = self.through(0, clear=False), self.through(1, clear=False)
        after_attentions(first)
        set_groups(first, (1, OPTIMIZED), (7, NON_OPTIMIZED)).good()
        for conn in (first, second):
            conn.clear_unit_attention(0)
            conn.clear_unit_attention(1)
        return first, second


def after_attentions(conn):
    """What TEST UNIT READY says when no unit attention is left."""
    while True:
        result = conn.ready()
        if result.sense is None or result.sense[0] != 6:
            return result


def report(conn, lun=0):
    """{group: (state, status, ports)} by REPORT TARGET PORT GROUPS."""
    data = conn.scsi(REPORT_GROUPS, lun, read=1024).good().data
    equal(int.from_bytes(data[:4], "big"), len(data) - 4, "RETURN DATA LENGTH")
    groups, at = {}, 4
    while at < len(data):
        count = data[at + 7]
        ports = [int.from_bytes(data[at + 10 + 4 * i:at + 12 + 4 * i], "big")
                 for i in range(count)]
        groups[int.from_bytes(data[at + 2:at + 4], "big")] = (data[at] & 15, data[at + 5], ports)
        equal(data[at + 1], 0xcf, "supported states")
        equal(data[at] >> 7, int(data[at + 3] == 7), "PREF")
        at += 8 + 4 * count
    return groups


def set_groups(conn, *wanted, lun=0):
    data = bytes(4) + b"".join(bytes([state, 0]) + group.to_bytes(2, "big")
                               for group, state in wanted)
    cdb = bytes([0xa4, 0x0a, 0, 0, 0, 0]) + len(data).to_bytes(4, "big") + bytes(2)
    sent = conn.send(conn.command_pdu(cdb, lun, write=len(data), data=data))
    return conn.complete(sent, data)


def designators(conn):
    """{(association, type): bytes} of VPD page 83h."""
    data = conn.scsi(bytes([0x12, 1, 0x83, 4, 0, 0]), read=1024).good().data
    found, at = {}, 4
    while at < len(data):
        found[data[at + 1] >> 4 & 3, data[at + 1] & 15] = data[at + 4:at + 4 + data[at + 3]]
        at += 4 + data[at + 3]
    return found


@case("the login answer and VPD 83h tell the portal group that the session came in by")
def where_am_i(target):
    names = set()
    for portal, tag in enumerate(GROUPS):
        conn = target.through(portal)
        equal(conn.answered.get("TargetPortalGroupTag"), str(tag), "TargetPortalGroupTag")
        found = designators(conn)
        equal(found[1, 4], tag.to_bytes(4, "big"), "RELATIVE TARGET PORT IDENTIFIER")
        equal(found[1, 5], tag.to_bytes(4, "big"), "TARGET PORT GROUP")
        equal(found[1, 8].rstrip(b"\0").decode(), f"{target.iqn},t,{tag:#06x}", "port name")
        names.add((found[0, 3], found[0, 1]))
    equal(len(names), 1, "different names of the unit")


@case("SendTargets gives every portal the tag of its group, by whichever it is asked")
def send_targets(target):
    for portal in range(len(GROUPS)):
        pairs, _ = target.through(portal).text([("SendTargets", "")])
        got = sorted(value for key, value in pairs if key == "TargetAddress")
        want = sorted(f"{url.group(1)}:{url.group(2)},{tag}"
                      for url, tag in zip(target.urls[::len(target.disks)], GROUPS))
        equal(got, want, "TargetAddress")


@case("VPD 88h has both ports, and INQUIRY says implicit and explicit ALUA")
def ports(target):
    conn = target.through(1)
    data = conn.scsi(bytes([0x12, 1, 0x88, 4, 0, 0]), read=1024).good().data
    relatives, at = [], 4
    while at < len(data):
        relatives.append(int.from_bytes(data[at + 2:at + 4], "big"))
        at += 12 + int.from_bytes(data[at + 10:at + 12], "big")
    equal(relatives, [1, 7], "RELATIVE TARGET PORT IDENTIFIERs")
    equal(conn.scsi(bytes([0x12, 0, 0, 0, 96, 0]), read=96).good().data[5] & 0x30, 0x30, "TPGS")


@case("the groups start as the command line says, and every unit tells the same")
def at_the_start(target):
    conn = target.through(0)
    for lun in range(len(target.disks)):
        equal(report(conn, lun), {1: (OPTIMIZED, NEVER, [1]), 7: (NON_OPTIMIZED, NEVER, [7])},
              "groups")


@case("the same initiator port through two groups is two nexuses")
def two_nexuses(target):
    first = target.through(0, isid=ISID)
    second = target.through(1, isid=ISID)
    check(first.tsih != second.tsih, "one session")
    first.ready().good()
    second.ready().good()
    first.tmf(5)
    for conn in (first, second):
        conn.ready().condition(RESET)
        conn.ready().good()


@case("the same initiator port again through the same group replaces its session")
def reinstated(target):
    for again in (1, 2):
        old = target.through(1, isid=ISID)
        new = target.through(again, isid=ISID)
        try:
            old.ready()
            check(False, "the old session is still there")
        except (Closed, OSError):
            pass
        new.ready().good()
        new.logout()


@case("one path takes the other off: it hears of it once and is refused, data is safe")
def failover(target):
    first, second = target.both()
    data = pattern(8, 0x77)
    second.write(64, data).good()
    set_groups(first, (1, OPTIMIZED), (7, STANDBY)).good()
    first.ready().good()
    equal(report(first), {1: (OPTIMIZED, BY_COMMAND, [1]), 7: (STANDBY, BY_COMMAND, [7])},
          "groups")
    second.scsi(read10(64, 8), read=4096).condition(STATE_CHANGED)
    second.scsi(read10(64, 8), read=4096).condition(NOT_IN_STANDBY)
    second.ready().condition(NOT_IN_STANDBY)
    second.ready(1).condition(STATE_CHANGED)
    second.ready(1).condition(NOT_IN_STANDBY)
    # What a host needs to see the path and bring it back.
    second.scsi(bytes([0x12, 0, 0, 0, 96, 0]), read=96).good()
    second.scsi(bytes([0x1a, 0, 0x3f, 0, 255, 0]), read=255).good()
    second.scsi(bytes([0x9e, 0x10]) + bytes(11) + b"\x20\0\0", read=32).good()
    equal(report(second)[7][0], STANDBY, "state seen by the path itself")
    equal(first.read(64, 8), data, "data by the other path")
    set_groups(second, (1, UNAVAILABLE), (7, OPTIMIZED)).good()
    equal(second.read(64, 8), data, "data by the path that took over")
    first.ready().condition(STATE_CHANGED)
    first.ready().condition(NOT_AVAILABLE)
    first.scsi(bytes([0x1a, 0, 0x3f, 0, 255, 0]), read=255).condition(NOT_AVAILABLE)


@case("a path that is offline brings itself back")
def offline(target):
    first, second = target.both()
    set_groups(first, (7, OFFLINE)).good()
    second.ready().condition(STATE_CHANGED)
    second.ready().condition(IS_OFFLINE)
    set_groups(second, (7, OPTIMIZED)).good()
    second.ready().good()


@case("a bad list changes nothing")
def bad_list(target):
    first, second = target.both()
    before = report(first)
    for wanted in (((7, STANDBY), (3, STANDBY)), ((7, STANDBY), (1, 4)), ((7, 15),),
                   ((7, STANDBY), (7, OPTIMIZED))):
        set_groups(first, *wanted).condition(INVALID_LIST)
    equal(report(first), before, "groups")
    second.ready().good()


@case("a session that comes in by a path on standby is refused like the others")
def login_on_standby(target):
    first, _ = target.both()
    set_groups(first, (7, STANDBY)).good()
    late = target.through(2, clear=False)
    after_attentions(late).condition(NOT_IN_STANDBY)
    set_groups(first, (7, NON_OPTIMIZED)).good()
    late.clear_unit_attention()
    late.ready().good()


if __name__ == "__main__":
    main(Paths())
