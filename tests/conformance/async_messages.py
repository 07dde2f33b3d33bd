# SPDX-License-Identifier: BSD-2-Clause
"""Asynchronous messages and the orderly stop: the title 14 of UNH-IOL's full feature phase.
What makes a target send them is its own affair, so these cases start riserd."""

import os
import signal
import tempfile
import time

from conn import Closed
from demands import own
from initiator import BLOCK, pattern, write10
from iscsi import ASYNC, LOGOUT_RESPONSE, NO_TAG, Sense
from suite import case
from tap import check, equal
from target import Target

GROUP = "async"
NEEDS = "own"

SCSI_EVENT, LOGOUT_REQUEST, DROP_CONNECTION, DROP_SESSION, NEGOTIATE = 0, 1, 2, 3, 4
CAPACITY_CHANGED = (6, 0x2a, 0x09)


def event_of(pdu):
    """AsyncEvent, AsyncVCode and the three parameters."""
    return (pdu.bhs[36], pdu.bhs[37],
            *(int.from_bytes(pdu.bhs[at:at + 2], "big") for at in (38, 40, 42)))


def expect_event(conn, event, deadline=5):
    pdu = conn.expect(ASYNC, deadline)
    equal(pdu.bhs[36], event, "AsyncEvent")
    equal((pdu.final, pdu.itt), (True, NO_TAG), "F, bytes 16 to 19")
    return pdu


def own_target(**how):
    """A riserd that the case ends itself."""
    mine = Target(innocent=None, **how)
    mine.start()
    return mine


def finish(mine, seconds=12):
    """It ends by itself, with status 0."""
    try:
        status = mine.process.wait(seconds)
    finally:
        mine.close_connections()
    equal(status, 0, "exit status of riserd")
    mine.process.stdout.close()
    mine.process = None


@case("14.1 async logout: an orderly stop asks for a Logout, which is answered", rfc="11.9.1")
def logout_request(_):
    mine = own_target()
    conn = mine.login()
    mine.process.send_signal(signal.SIGTERM)
    pdu = expect_event(conn, LOGOUT_REQUEST)
    time3 = event_of(pdu)[4]
    check(0 < time3 < 60, f"Time3 is {time3} s")
    conn.send(conn.logout_pdu())
    equal(conn.expect(LOGOUT_RESPONSE).response, 0, "Logout response")
    conn.expect_closed()
    finish(mine)


@case("14.2 async logout, not answered: the connection is dropped, the stop ends in time",
      rfc="11.9.1")
def logout_ignored(_):
    mine = own_target()
    conn = mine.login()
    begin = time.monotonic()
    mine.process.send_signal(signal.SIGTERM)
    expect_event(conn, LOGOUT_REQUEST)
    try:
        while True:
            pdu = conn.recv(10)
            check(pdu.opcode == ASYNC and pdu.bhs[36] in (DROP_CONNECTION, DROP_SESSION),
                  f"after the logout request came {pdu}")
    except Closed:
        pass
    finish(mine)
    check(time.monotonic() - begin < 12, "the stop took too long")


@case("14.1 the message takes a StatSN and carries the command window", rfc="11.9")
def numbered(_):
    mine = own_target()
    conn = mine.login()
    conn.ready().good()
    before = conn.expstatsn
    mine.process.send_signal(signal.SIGTERM)
    pdu = expect_event(conn, LOGOUT_REQUEST)
    equal((pdu.statsn, pdu.expcmdsn), (before, conn.cmdsn), "StatSN, ExpCmdSN")
    equal(pdu.dsl, 0, "DataSegmentLength")
    conn.send(conn.logout_pdu())
    conn.expect(LOGOUT_RESPONSE)
    finish(mine)


@case("14.1 every session is asked, a discovery session too", rfc="11.9.1")
def everybody(_):
    mine = own_target()
    conns = [mine.login(name=f"iqn.2026-11.test:host{n}") for n in range(5)]
    conns.append(mine.login(session="Discovery"))
    mine.process.send_signal(signal.SIGTERM)
    for conn in conns:
        expect_event(conn, LOGOUT_REQUEST)
        conn.send(conn.logout_pdu())
    for conn in conns:
        equal(conn.expect(LOGOUT_RESPONSE).response, 0, "Logout response")
    finish(mine)


@case("14.1 a write under way ends well before its session is logged out", rfc="11.9.1")
def write_under_way(_):
    mine = own_target()
    conn = mine.login(InitialR2T="Yes", ImmediateData="No")
    write = conn.send(conn.command_pdu(write10(0, 8), write=8 * BLOCK))
    r2t = conn.expect_r2t(write)
    mine.process.send_signal(signal.SIGTERM)
    expect_event(conn, LOGOUT_REQUEST)
    conn.answer_r2t(write, r2t, pattern(8, 0x14))
    conn.complete(write).good()
    conn.send(conn.logout_pdu())
    equal(conn.expect(LOGOUT_RESPONSE).response, 0, "Logout response")
    finish(mine)


@case("SCSI event: a disk that has grown is told to every session, and is a unit attention",
      rfc="11.9.1")
def resized(_):
    path = os.path.join(tempfile.gettempdir(), "grows.img")
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    with own(disks=(path, "ram:16M")) as mine:
        conn, other = mine.login(), mine.login()
        os.truncate(path, 128 << 20)
        mine.process.send_signal(signal.SIGHUP)
        for session in (conn, other):
            pdu = expect_event(session, SCSI_EVENT)
            equal(pdu.lun, 0, "LUN")
            equal(Sense(pdu.data).code, CAPACITY_CHANGED, "sense")
            session.ready().condition(CAPACITY_CHANGED)
            session.ready().good()
        mine.innocent.expect(ASYNC)
        mine.innocent.clear_unit_attention()


@case("a connection that is given up hears of it: event 2 with its CID, Time2Wait, Time2Retain",
      rfc="11.9.1")
def dropped_connection(_):
    with own("--data-timeout", "1") as mine:
        conn = mine.login(InitialR2T="Yes", ImmediateData="No", DefaultTime2Wait=3,
                          DefaultTime2Retain=15)
        conn.solicited_write(0, 8)
        pdu = expect_event(conn, DROP_CONNECTION)
        equal(event_of(pdu)[2:], (conn.cid, conn.limit("DefaultTime2Wait"),
                                  conn.limit("DefaultTime2Retain")), "parameters")
        conn.expect_closed()
