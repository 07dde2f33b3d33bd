# SPDX-License-Identifier: BSD-2-Clause
"""Connections of a session that come, go, break and are put in the place of others (RFC 7143
6.3.4 to 6.3.6; UNH-IOL, Multi-Connection for targets)."""

from initiator import pattern
from iscsi import NO_SESSION, SCSI_RESPONSE
from multi import Session, alive, group, refused
from recovery import drain
from suite import case
from tap import equal

GROUP = "connections"
NEEDS = "mcs"
LBA, BLOCKS = 2900, 16
SOLICITED = {"InitialR2T": "Yes", "ImmediateData": "No"}
LEVELS = [(f"level {n}", n) for n in range(3)]


@case("the CID of a connection that is up (connection reinstatement) at {}: the old one closes",
      LEVELS, rfc="6.3.4")
def same_cid(target, level):
    first, second = group(target, 2, level)
    again = first.session.join(first.cid)
    drain(first)
    alive(again, second)


@case("connection reinstatement of the only connection at {}", LEVELS, rfc="6.3.4")
def same_cid_single(target, level):
    conn, = group(target, 1, level, MaxConnections=1)
    again = conn.session.join(conn.cid)
    drain(conn)
    alive(again)


@case("connection reinstatement below level 2 ends the tasks of the old connection, at {}",
      LEVELS[:2], rfc="6.3.4")
def same_cid_tasks(target, level):
    first, second = group(target, 2, level, **SOLICITED)
    before = second.read(LBA, BLOCKS)
    write, _ = first.solicited_write(LBA, BLOCKS)
    again = first.session.join(first.cid)
    drain(first)
    equal(again.tmf(1, rtt=write.itt, refcmdsn=write.cmdsn), 1, "ABORT TASK of the old write")
    alive(again, second)
    equal(again.read(LBA, BLOCKS), before, "blocks")


@case("session reinstatement closes all connections of the old session, at {}", LEVELS,
      rfc="6.3.5")
def session_reinstated(target, level):
    connections = group(target, 3, level, **SOLICITED)
    before = connections[0].read(LBA, BLOCKS)
    for conn in connections:
        conn.solicited_write(LBA, BLOCKS)
    fresh = Session(target, isid=connections[0].isid)
    again = fresh.lead(MaxConnections=2)
    for conn in connections:
        drain(conn)
    again.clear_unit_attention()
    equal(again.read(LBA, BLOCKS), before, "blocks")
    refused(lambda: connections[0].session.join(9), NO_SESSION)
    alive(again, fresh.join())


def loaded(conn, lba, count, seed):
    """Reads and writes under way; returns what finishes and checks them."""
    data = pattern(8, seed)
    writes = []
    for number in range(count):
        pdus = conn.write_pdus(lba + 8 * number, data)
        conn.send(*pdus)
        writes.append(pdus[0])

    def end():
        for _ in writes:
            equal(conn.expect(SCSI_RESPONSE).status, 0, "status")
        for number in range(count):
            equal(conn.read(lba + 8 * number, 8), data, "blocks")
    return end


@case("connections come and go under load at {}", LEVELS, rfc="4.2.5", deadline=60)
def come_and_go(target, level):
    first, = group(target, 1, level, MaxConnections=4)
    for turn in range(20):
        end = loaded(first, LBA, 16, turn)
        second = first.session.join(2)
        other_end = loaded(second, LBA + 200, 16, turn)
        third = first.session.join(3)
        end()
        other_end()
        equal(third.logout_reply(1, second.cid).response, 0, "response of the Logout")
        drain(second)
        last = loaded(first, LBA, 4, turn + 100)
        equal(third.logout(1), 0, "response of the Logout")
        third.expect_closed()
        last()
    alive(first)


@case("below level 2 a connection that breaks takes the session with it, at {}", LEVELS[:2],
      rfc="7.1.4.4", needs="riser")
def broken_below_2(target, level):
    first, second = group(target, 2, level)
    first.close()
    drain(second)
    refused(lambda: first.session.join(1), NO_SESSION)


@case("at level 2 a connection that breaks leaves the other one alone", rfc="7.1.4.3",
      needs="erl2")
def broken_at_2(target):
    first, second = group(target, 2, 2)
    for _ in range(10):
        first.abort()
        alive(second)
        first = first.session.join(first.cid)
        alive(first, second)
