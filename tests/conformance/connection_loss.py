# SPDX-License-Identifier: BSD-2-Clause
"""Connections and sessions that end: Logout with its reasons at every level, what is kept
for how long when a connection is lost, and initiators that never acknowledge (row N9)."""

import time

from conn import Closed, Late
from initiator import BLOCK, pattern
from iscsi import LOGOUT_RESPONSE, NO_SESSION, REJECT
from multi import (CLOSE_CONNECTION, CLOSE_SESSION, NO_TASK, RECOVERY, Session, group, links,
                   refused)
from recovery import ACKNOWLEDGE, drain, finish, has_status, start_read
from suite import Skip, case
from tap import Failure, check, equal
from target import Target

GROUP = "logout"
LBA, BLOCKS = 2600, 16
SIZE = BLOCKS * BLOCK
SOLICITED = {"InitialR2T": "Yes", "ImmediateData": "No"}
LEVELS = [(f"level {n}", n) for n in range(3)]
CID_NOT_FOUND, NO_RECOVERY = 1, 2
ENOUGH = 10


def kept_for(conn):
    """Seconds that the target keeps what a lost connection leaves."""
    return conn.limit("DefaultTime2Wait") + conn.limit("DefaultTime2Retain")


def pass_time(seconds, conn):
    """Time goes by, in which a connection is alive."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        conn.ping()
        time.sleep(0.05)


# Logout

@case("Logout of the session at {}: answered, all connections close", LEVELS, rfc="11.14.1")
def logout_session(target, level):
    first, second = group(target, 2, level)
    equal(second.logout_reply(CLOSE_SESSION).response, 0, "response")
    second.expect_closed()
    drain(first)
    is_gone(first)


def is_gone(link):
    """The session has ended: nobody can join it."""
    refused(lambda: link.session.join(link.cid), NO_SESSION)


@case("Logout of a session of one connection at {}: its TSIH is void", LEVELS, rfc="11.14.1")
def logout_single(target, level):
    conn, = group(target, 1, level)
    equal(conn.logout_reply(CLOSE_SESSION).response, 0, "response")
    conn.expect_closed()
    is_gone(conn)


@case("Logout of its own connection at {}: closed, the other one goes on", LEVELS,
      rfc="11.14.1")
def logout_own(target, level):
    first, second = group(target, 2, level)
    equal(first.logout_reply(CLOSE_CONNECTION).response, 0, "response")
    first.expect_closed()
    second.ready().good()
    second.ping()


@case("Logout of another connection at {}: closed with its tasks, this one goes on", LEVELS,
      rfc="11.14.1")
def logout_other(target, level):
    first, second = group(target, 2, level, **SOLICITED)
    before = second.read(LBA, BLOCKS)
    write, _ = first.solicited_write(LBA, BLOCKS)
    mine, r2t = second.solicited_write(LBA + BLOCKS, BLOCKS)
    equal(second.logout_reply(CLOSE_CONNECTION, first.cid).response, 0, "response")
    drain(first)
    data = pattern(BLOCKS, 0x141)
    second.answer_r2t(mine, r2t, data)
    second.complete(mine, data).good()
    equal(second.read(LBA, 2 * BLOCKS), before + data, "blocks")
    equal(second.tmf(1, rtt=write.itt, refcmdsn=write.cmdsn), NO_TASK,
          "ABORT TASK of the closed connection's write")


@case("Logout of the only connection at {}: the session ends with it", LEVELS, rfc="11.14.1")
def logout_last(target, level):
    conn, = group(target, 1, level)
    equal(conn.logout_reply(CLOSE_CONNECTION).response, 0, "response")
    conn.expect_closed()
    conn.close()
    is_gone(conn)


@case("Logout for recovery at {}: response 2, nothing happens", LEVELS[:2], rfc="11.15.1")
def logout_no_recovery(target, level):
    conn, = group(target, 1, level)
    equal(conn.logout_reply(RECOVERY).response, NO_RECOVERY, "response")
    conn.ready().good()
    conn.ping()


@case("Logout for recovery of another connection at {}: response 2", LEVELS[:2], rfc="11.15.1")
def logout_no_recovery_other(target, level):
    first, second = group(target, 2, level)
    equal(second.logout_reply(RECOVERY, first.cid).response, NO_RECOVERY, "response")
    first.ready().good()
    second.ready().good()


@case("Logout for recovery answers with Time2Wait and Time2Retain as negotiated",
      rfc="11.15.3", needs="erl2")
def logout_times(target):
    first, second = group(target, 2, 2, DefaultTime2Wait=1, DefaultTime2Retain=2)
    answer = second.logout_reply(RECOVERY, first.cid)
    times = int.from_bytes(answer.bhs[40:42], "big"), int.from_bytes(answer.bhs[42:44], "big")
    equal((answer.response, *times),
          (0, second.limit("DefaultTime2Wait"), second.limit("DefaultTime2Retain")),
          "response, Time2Wait, Time2Retain")
    drain(first)


@case("Logout for recovery of the connection it comes on: answered, then closed", rfc="11.14.1",
      needs="erl2")
def logout_own_recovery(target):
    first, second = group(target, 2, 2, **SOLICITED)
    data = pattern(BLOCKS, 0x142)
    write, _ = first.solicited_write(LBA, BLOCKS)
    equal(first.logout_reply(RECOVERY).response, 0, "response")
    first.expect_closed()
    first.close()
    equal(second.reassign(write), 0, "response to TASK REASSIGN")
    finish(second, write, data).good()
    equal(second.read(LBA, BLOCKS), data, "blocks")


@case("Logout of a CID that is not there, reason {}", [
    (f"{reason}, {name}", reason, level) for name, level in LEVELS for reason in (1, 2)
    if reason == 1 or level == 2], rfc="11.15.1")
def logout_unknown(target, reason, level):
    conn, = group(target, 1, level)
    equal(conn.logout_reply(reason, 0x7777).response, CID_NOT_FOUND, "response")
    conn.ready().good()
    conn.ping()


@case("Logout with reason {}: Reject", [(str(n), n) for n in (3, 4, 0x3f, 0x7f)], rfc="11.14.1")
def logout_reserved(target, reason):
    conn, = group(target, 1, 0)
    bad = conn.send(conn.logout_pdu(reason))
    reject = conn.expect(REJECT)
    equal(reject.data[:48], bad.header(), "header in the Reject")
    check(reject.reason in (0x04, 0x09), f"reason {reject.reason:#x}")
    conn.ready().good()


@case("Logout in its turn of CmdSN waits for the commands before it", rfc="4.2.2.1")
def logout_ordered(target):
    conn, = group(target, 1, 0)
    lost = conn.command_pdu(bytes(6))
    sent = conn.send(conn.logout_pdu(immediate=False))
    conn.ping()
    conn.send(lost)
    conn.complete(lost)
    equal(conn.expect(LOGOUT_RESPONSE).itt, sent.itt, "ITT of the Logout Response")
    conn.expect_closed()


# Time2Wait and Time2Retain

@case("a session without a connection is kept for Time2Retain, then its TSIH is void",
      rfc="6.3.6", needs="erl2")
def retain_session(target):
    conn, = group(target, 1, 2, DefaultTime2Retain=1)
    conn.close()
    again = conn.session.join(conn.cid)
    again.ready().good()
    again.close()
    pass_time(kept_for(conn) + 0.5, target.innocent)
    is_gone(conn)


@case("the tasks of a lost connection are kept for Time2Retain, then they are gone",
      rfc="7.5.1", needs="erl2")
def retain_tasks(target):
    first, second = group(target, 2, 2, DefaultTime2Retain=1, **SOLICITED)
    before = second.read(LBA, BLOCKS)
    write, _ = first.solicited_write(LBA, BLOCKS)
    first.close()
    equal(second.logout_reply(RECOVERY, first.cid).response, 0, "response of the Logout")
    pass_time(kept_for(second) + 0.5, second)
    equal(second.reassign(write), NO_TASK, "response to TASK REASSIGN")
    equal(second.read(LBA, BLOCKS), before, "blocks")
    second.ping()


@case("a task is reassigned late within Time2Retain", rfc="7.5.1", needs="erl2")
def retain_late(target):
    first, second = group(target, 2, 2, DefaultTime2Retain=2, **SOLICITED)
    data = pattern(BLOCKS, 0x143)
    write, _ = first.solicited_write(LBA, BLOCKS)
    first.close()
    equal(second.logout_reply(RECOVERY, first.cid).response, 0, "response of the Logout")
    pass_time(1.2, second)
    equal(second.reassign(write), 0, "response to TASK REASSIGN")
    finish(second, write, data).good()
    equal(second.read(LBA, BLOCKS), data, "blocks")


@case("a connection lost and never recovered: the other one goes on after Time2Retain",
      rfc="7.5.1", needs="erl2")
def retain_forgotten(target):
    first, second = group(target, 2, 2, DefaultTime2Retain=1, **SOLICITED)
    before = second.read(LBA, BLOCKS)
    first.solicited_write(LBA, BLOCKS)
    first.close()
    pass_time(kept_for(second) + 0.5, second)
    equal(second.read(LBA, BLOCKS), before, "blocks")
    second.session.join(first.cid).ready().good()


@case("a lost session is reinstated by a login without TSIH: its tasks are gone", rfc="6.3.5",
      needs="erl2")
def reinstate_failed(target):
    conn, = group(target, 1, 2, **SOLICITED)
    before = conn.read(LBA, BLOCKS)
    write, _ = conn.solicited_write(LBA, BLOCKS)
    conn.close()
    fresh = Session(target, isid=conn.isid)
    again = fresh.lead(ErrorRecoveryLevel=2, DefaultTime2Wait=0, DefaultTime2Retain=1)
    again.clear_unit_attention()
    check(again.tsih != conn.tsih, "the same TSIH")
    equal(again.reassign(write), NO_TASK, "response to TASK REASSIGN")
    equal(again.read(LBA, BLOCKS), before, "blocks")
    is_gone(conn)


@case("at {} a lost connection ends the session, its writes are not done", LEVELS[:2],
      rfc="7.1.4.4")
def lost_below_2(target, level):
    conn, = group(target, 1, level, **SOLICITED)
    before = conn.read(LBA, BLOCKS)
    conn.solicited_write(LBA, BLOCKS)
    conn.close()
    fresh = Session(target, isid=conn.isid)
    again = fresh.lead()
    again.clear_unit_attention()
    equal(again.read(LBA, BLOCKS), before, "blocks")
    is_gone(conn)


# Initiators that never acknowledge

def impatient(*options):
    """riserd that gives up after a second."""
    return Target("--data-timeout", "1", *options, innocent=None)


def overdue(conn, send, what):
    """Whatever it sends, the connection is closed in a few seconds."""
    end = time.monotonic() + ENOUGH
    try:
        while time.monotonic() < end:
            send()
            time.sleep(0.02)
    except Closed:
        return
    except Late as error:
        raise Failure(f"{what}: neither an answer nor the end") from error
    raise Failure(f"{what}: the connection stays")


@case("N9 ExpStatSN never advances at {}: the connection is closed, others are not hurt",
      LEVELS[1:], rfc="4.2.2.2", needs="own")
def never_acknowledges(_, level):
    with impatient() as target:
        bystander = target.login()
        conn, = links(target, 1, level)
        conn.hold()
        overdue(conn, conn.ready, "ExpStatSN stands still")
        bystander.ready().good()


@case("DataACK never comes at {}: the connection is closed, others are not hurt", LEVELS[1:],
      rfc="11.16.2", needs="own")
def never_acks_data(_, level):
    with impatient() as target:
        bystander = target.login()
        conn, = links(target, 1, level, MaxBurstLength=262144)
        read = start_read(conn, 0, 8192)
        while True:
            pdu = conn.recv()
            check(pdu.itt == read.itt, f"ITT of {pdu}")
            if has_status(pdu):
                raise Skip("the target waits for no DataACK in a read of 4 MiB")
            if pdu.flags & ACKNOWLEDGE:
                break
        overdue(conn, conn.ping, "no DataACK")
        bystander.ready().good()
