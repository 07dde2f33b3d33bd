# SPDX-License-Identifier: BSD-2-Clause
"""Command numbering, the command window, immediate delivery, retry, StatSN and tags:
rows N1 to N6 and N9, and the titles 1 to 6 and 9 of UNH-IOL's full feature phase."""

import time

from conn import Closed
from demands import clear_aca, finish_writes, own, rejected, strange, writer
from initiator import BLOCK, pattern, read10, write10
from iscsi import (INVALID_FIELD, NO_TAG, NOP_IN, NOP_OUT, NOT_SUPPORTED, PROTOCOL_ERROR, R2T,
                   REJECT, SCSI_RESPONSE, SNACK, TASK_IN_PROGRESS, TEXT_RESPONSE, TMF_RESPONSE, Pdu)
from suite import Skip, case, resident
from tap import check, equal

GROUP = "numbering"
IMMEDIATE_REJECT = 0x06
OUTSIDE = [("one above MaxCmdSN", lambda c: c.maxcmdsn + 1),
           ("far above MaxCmdSN", lambda c: c.cmdsn + 2**30),
           ("one below ExpCmdSN", lambda c: c.cmdsn - 1),
           ("far below ExpCmdSN", lambda c: c.cmdsn - 2**30)]


def window(conn):
    """How many commands the target takes now."""
    conn.ping()
    return (conn.maxcmdsn - conn.expcmdsn + 1) & 0xffffffff


@case("1.1 CmdSN: ExpCmdSN of every answer is the next one", rfc="4.2.2.1")
def numbering(target):
    conn = target.login()
    for _ in range(8):
        conn.ready().good()
        equal(conn.expcmdsn, conn.cmdsn, "ExpCmdSN behind a command")
    conn.ping(immediate=False)
    equal(conn.expcmdsn, conn.cmdsn, "ExpCmdSN behind an ordered NOP-Out")


@case("1.1 CmdSN of the session starts with that of the Login", rfc="11.12.7")
def first_number(target):
    conn = target.connect()
    conn.cmdsn = 0x12345678
    conn.login()
    equal(conn.ping().expcmdsn, 0x12345678, "ExpCmdSN after the login")
    conn.ready()
    equal(conn.ping().expcmdsn, 0x12345679, "ExpCmdSN after a command")


@case("1.1 {}, immediate, does not take its CmdSN", rfc="4.2.2.1", rows=[
    ("a NOP-Out", lambda c: c.ping(immediate=True)),
    ("a command", lambda c: c.scsi(bytes(6), immediate=True)),
    ("task management", lambda c: c.tmf(3))])
def immediate_takes_none(target, send):
    conn = target.login()
    before = conn.ping().expcmdsn
    for _ in range(5):
        send(conn)
    equal(conn.ping().expcmdsn, before, "ExpCmdSN")
    conn.ready().good()


@case("1.1 MaxCmdSN is never behind ExpCmdSN - 1", rfc="11.4.11")
def window_field(target):
    conn = writer(target)
    for number in range(20):
        write, r2t = conn.solicited_write(40 + number, 1)
        room = (conn.maxcmdsn - conn.expcmdsn + 1) & 0xffffffff
        check(room < 2**31, f"MaxCmdSN {conn.maxcmdsn}, ExpCmdSN {conn.expcmdsn}")
        conn.answer_r2t(write, r2t, pattern(1, number))
        conn.complete(write).good()


@case("N1 a CmdSN {} is ignored", rfc="4.2.2.1", rows=OUTSIDE)
def outside_the_window(target, number):
    conn = target.login()
    conn.ping()
    conn.send(Pdu(NOP_OUT, flags=0x80, itt=0x4711, ttt=NO_TAG, cmdsn=number(conn),
                  expstatsn=conn.expstatsn, data=b"never echoed"))
    conn.send(Pdu(1, flags=0x81, itt=0x4712, cmdsn=number(conn), expstatsn=conn.expstatsn))
    conn.resync()
    conn.ready().good()


@case("N1 a write with data and a CmdSN outside the window is not done", rfc="4.2.2.1")
def outside_write(target):
    conn = target.login()
    before = conn.read(40, 8)
    conn.send(conn.command_pdu(write10(40, 8), write=8 * BLOCK, data=pattern(8, 0xbad),
                               cmdsn=conn.maxcmdsn + 1))
    conn.resync()
    equal(conn.read(40, 8), before, "blocks")


@case("N1 {} with a CmdSN outside the window is ignored", rfc="4.2.2.1", rows=[
    ("a Text Request", lambda c: c.text_pdu([("SendTargets", "")])),
    ("a Logout", lambda c: c.logout_pdu(immediate=False)),
    ("task management", lambda c: c.tmf_pdu(5, immediate=False))])
def outside_others(target, build):
    conn = target.login()
    conn.ping()
    pdu = build(conn)
    pdu.cmdsn = conn.maxcmdsn + 5
    conn.send(pdu)
    conn.resync()
    conn.ready().good()
    target.check_innocent("after the request outside the window")


@case("4.1 command retry: a command that was received already is ignored", rfc="7.2.1")
def retry_received(target):
    conn = writer(target)
    write, r2t = conn.solicited_write(48, 8)
    conn.send(write)
    conn.resync()
    data = pattern(8, 0x41)
    conn.answer_r2t(write, r2t, data)
    conn.complete(write).good()
    conn.send(write)
    conn.resync()
    equal(conn.read(48, 8), data, "blocks")


@case("4.1 command retry: a command that fills a hole, sent twice, is done once", rfc="7.2.1")
def retry_hole(target):
    conn = target.login()
    first, second = conn.command_pdu(bytes(6)), conn.command_pdu(bytes(6))
    conn.send(second, second, first, first)
    done = sorted(conn.expect(SCSI_RESPONSE).itt for _ in range(2))
    equal(done, [first.itt, second.itt], "answered commands")
    conn.resync()


@case("N2 a hole in CmdSN holds what comes after it, until it is filled", rfc="4.2.2.1")
def hole(target):
    conn = target.login()
    first, second, third = (conn.command_pdu(bytes(6)) for _ in range(3))
    conn.send(second, third)
    conn.ping()
    target.check_innocent("while a command is held")
    conn.send(first)
    order = [conn.expect(SCSI_RESPONSE).itt for _ in range(3)]
    equal(sorted(order), [first.itt, second.itt, third.itt], "answered commands")
    conn.resync()


@case("N2 commands in reverse order over the whole window are all done", rfc="4.2.2.1")
def reverse(target):
    conn = target.login()
    count = min(window(conn), 64)
    commands = [conn.command_pdu(read10(number, 1), read=BLOCK) for number in range(count)]
    conn.send(*reversed(commands))
    left = {pdu.itt for pdu in commands}
    while left:
        pdu = conn.recv()
        check(pdu.itt in left, f"no such task: {pdu}")
        if pdu.opcode == SCSI_RESPONSE or pdu.flags & 1:
            equal(pdu.status, 0, "status")
            left.remove(pdu.itt)
    conn.resync()


@case("N2 {} behind a hole waits for its turn", rfc="4.2.2.1", rows=[
    ("a NOP-Out", lambda c: c.ping_pdu(b"held", immediate=False), NOP_IN),
    ("a Text Request", lambda c: c.text_pdu([("SendTargets", "")]), TEXT_RESPONSE),
    ("task management", lambda c: c.tmf_pdu(3, immediate=False), TMF_RESPONSE)])
def held_requests(target, build, opcode):
    conn = target.login()
    first = conn.command_pdu(bytes(6))
    behind = build(conn)
    conn.send(behind)
    conn.ping()
    conn.send(first)
    got = {pdu.itt: pdu.opcode for pdu in (conn.recv(), conn.recv())}
    equal(got, {first.itt: SCSI_RESPONSE, behind.itt: opcode}, "answers")
    conn.resync()


@case("N2 a connection with a hole ends without a trace", rfc="4.2.2.1")
def hole_never_filled(target):
    conn = target.login()
    conn.command_pdu(bytes(6))
    for _ in range(20):
        conn.send(conn.command_pdu(bytes(6)))
    conn.ping()
    conn.close()


@case("N3 CmdSN wraps at 2^32", rfc="4.2.2.1")
def wrap(target):
    conn = target.connect()
    conn.cmdsn = 0xfffffffb
    conn.login()
    conn.clear_unit_attention()
    for _ in range(12):
        conn.ready().good()
    check(conn.cmdsn < 100, "CmdSN did not wrap")


@case("N3 a hole at the wrap of CmdSN is filled", rfc="4.2.2.1")
def wrapped_hole(target):
    conn = target.connect()
    conn.cmdsn = 0xfffffffc
    conn.login()
    commands = [conn.command_pdu(bytes(6)) for _ in range(8)]
    conn.send(*commands[1:])
    conn.ping()
    conn.send(commands[0])
    done = {conn.expect(SCSI_RESPONSE).itt for _ in commands}
    equal(done, {pdu.itt for pdu in commands}, "answered commands")


@case("5.1 ExpStatSN: answers of all kinds take one StatSN each", rfc="4.2.2.2")
def statsn(target):
    conn = target.login()
    for step in (conn.ready, conn.ping, lambda: conn.tmf(3), lambda: conn.read(0, 1)):
        before = conn.expstatsn
        step()
        check((conn.expstatsn - before) & 0xffffffff == 1, f"{step} took another StatSN")
    before = conn.expstatsn
    bad = conn.send(conn.fill(Pdu(0x0f, flags=0x80, itt=conn.next_itt()), immediate=True))
    rejected(target, conn, bad, NOT_SUPPORTED)
    equal(conn.expstatsn, before + 1, "StatSN behind a Reject")


@case("5.1 R2T and a NOP-In of the target's own take no StatSN", rfc="11.8.3")
def statsn_kept(target):
    conn = writer(target)
    before = conn.expstatsn
    write, r2t = conn.solicited_write(56, 8)
    equal(r2t.statsn, before, "StatSN of the R2T")
    conn.ping()
    conn.answer_r2t(write, r2t, pattern(8, 0x51))
    conn.complete(write).good()
    equal(conn.expstatsn, before + 2, "StatSN behind the ping and the write")


@case("5.1 N3 an ExpStatSN ahead of StatSN is a protocol error: closed", rfc="4.2.2.2",
      needs="riser")
def expstatsn_ahead(target):
    conn = target.login()
    conn.send(conn.ping_pdu(expstatsn=conn.expstatsn + 1000))
    conn.expect_closed()


@case("5.1 an ExpStatSN that lags behind is no error", rfc="4.2.2.2")
def expstatsn_lags(target):
    conn = target.login()
    old = conn.expstatsn
    for _ in range(50):
        conn.complete(conn.send(conn.command_pdu(bytes(6), expstatsn=old))).good()
    conn.resync()


@case("N5 an ITT in use is rejected, the first task goes on", rfc="11.17.1")
def tag_in_use(target):
    conn = writer(target)
    write, r2t = conn.solicited_write(64, 8)
    twin = conn.send(conn.command_pdu(bytes(6), itt=write.itt, immediate=True))
    rejected(target, conn, twin, TASK_IN_PROGRESS)
    data = pattern(8, 0x55)
    conn.answer_r2t(write, r2t, data)
    conn.complete(write, data).good()
    conn.resync()
    equal(conn.read(64, 8), data, "blocks")


@case("an ITT is free again when its task has its status", rfc="11.2.1.8")
def tag_reused(target):
    conn = target.login()
    for _ in range(20):
        conn.scsi(bytes(6), itt=0x77).good()
        equal(len(conn.scsi(read10(0, 1), read=BLOCK, itt=0x77).good().data), BLOCK, "bytes")


@case("the ITT may be any number but 0xffffffff: {}", rfc="11.2.1.8", rows=[
    (f"{n:#x}", n) for n in (0, 1, 0x7fffffff, 0x80000000, 0xfffffffe)])
def any_tag(target, itt):
    conn = target.login()
    conn.scsi(bytes(6), itt=itt).good()
    sent = conn.send(conn.ping_pdu(b"tag", itt=itt))
    equal(conn.expect(NOP_IN).itt, sent.itt, "ITT of the NOP-In")


@case("N6 ITT 0xffffffff on {} is rejected", rfc="11.2.1.8", rows=[
    ("a command", lambda c: c.command_pdu(bytes(6), itt=NO_TAG, immediate=True)),
    ("a Text Request", lambda c: c.text_pdu(itt=NO_TAG, immediate=True))])
def reserved_tag(target, build):
    conn = target.login()
    bad = conn.send(build(conn))
    strange(target, conn, bad, INVALID_FIELD)


# The window: titles 3.1 to 3.3

def fill_window(conn, lba=72):
    """Writes that wait for their data until the window is closed."""
    conn.ping()
    writes = []
    while conn.cmdsn != (conn.maxcmdsn + 1) & 0xffffffff:
        if len(writes) == 1024:
            raise Skip("the target's window does not close")
        writes.append(conn.solicited_write(lba, 1))
    return writes


@case("3.1 MaxCmdSN, window closed: one more command is ignored, then it opens", rfc="4.2.2.1")
def window_closed(target):
    conn = writer(target)
    writes = fill_window(conn)
    check(writes, "no window")
    conn.send(Pdu(1, flags=0x81, itt=conn.next_itt(), lun=conn.lun << 48, cmdsn=conn.cmdsn,
                  expstatsn=conn.expstatsn))
    conn.ping()
    finish_writes(conn, writes)
    check(conn.maxcmdsn != (conn.cmdsn - 1) & 0xffffffff, "the window stays closed")
    conn.ready().good()
    conn.resync()


@case("3.2 MaxCmdSN, large window: all of it can be used at once", rfc="4.2.2.1")
def window_large(target):
    conn = target.login()
    room = window(conn)
    check(room >= 2, f"a window of {room}")
    commands = [conn.command_pdu(bytes(6)) for _ in range(room)]
    conn.send(*commands)
    done = {conn.expect(SCSI_RESPONSE).itt for _ in commands}
    equal(done, {pdu.itt for pdu in commands}, "answered commands")
    conn.resync()


@case("3.3 MaxCmdSN, single command: it opens by one for each command that ends", rfc="4.2.2.1")
def window_single(target):
    conn = writer(target)
    writes = fill_window(conn)
    closed = conn.maxcmdsn
    write, r2t = writes.pop()
    conn.answer_r2t(write, r2t, pattern(1, 0x33))
    conn.complete(write).good()
    conn.ping()
    check((conn.maxcmdsn - closed) & 0xffffffff >= 1, "the window stays closed")
    writes.append(conn.solicited_write(72, 1))
    finish_writes(conn, writes)


# Immediate delivery: titles 2.1 and 2.2

@case("2.1 N4 an immediate command is served while the window is full", rfc="4.2.2.1")
def immediate_delivery(target):
    conn = writer(target)
    writes = fill_window(conn)
    check(conn.scsi(bytes(6), immediate=True).status == 0,
          "immediate TEST UNIT READY")
    equal(conn.scsi(read10(0, 1), read=BLOCK, immediate=True).status, 0, "READ")
    finish_writes(conn, writes)
    conn.resync()


@case("2.1 an immediate command overtakes a hole", rfc="4.2.2.1")
def immediate_overtakes(target):
    conn = target.login()
    missing, held = conn.command_pdu(bytes(6)), conn.command_pdu(bytes(6))
    conn.send(held)
    conn.scsi(bytes(6), immediate=True).good()
    conn.send(missing)
    equal({conn.expect(SCSI_RESPONSE).itt for _ in range(2)}, {missing.itt, held.itt}, "answers")


@case("2.2 immediate task management is served while the window is full", rfc="4.2.2.1")
def immediate_tmf(target):
    conn = writer(target)
    writes = fill_window(conn)
    victim = writes.pop()[0]
    equal(conn.tmf(1, rtt=victim.itt, refcmdsn=victim.cmdsn), 0, "response")
    finish_writes(conn, writes)
    conn.resync()


@case("N4 a flood of immediate commands: each is answered or rejected, the session lives",
      rfc="4.2.2.1")
def immediate_flood(target):
    conn = writer(target)
    flood = [conn.command_pdu(write10(80, 1), write=BLOCK, immediate=True)
             for _ in range(200)]
    conn.send(*flood)
    r2ts, rejected = {}, 0
    while len(r2ts) + rejected < len(flood):
        pdu = conn.recv()
        if pdu.opcode == R2T:
            r2ts[pdu.itt] = pdu
        elif pdu.opcode == REJECT:
            equal(pdu.reason, IMMEDIATE_REJECT, "Reject reason")
            rejected += 1
        else:
            equal((pdu.opcode, pdu.status), (SCSI_RESPONSE, 0x28), "opcode, status (task set full)")
            rejected += 1
    check(r2ts, "no immediate command was taken")
    clear_aca(target, conn)
    for pdu in flood:
        if pdu.itt in r2ts:
            conn.answer_r2t(pdu, r2ts[pdu.itt], pattern(1, 0x4))
    equal({conn.expect(SCSI_RESPONSE).status for _ in r2ts}, {0}, "statuses")
    conn.resync()


# Title 9.1 and row N9

@case("9.1 the TTTs of tasks under way differ", rfc="11.8.5")
def ttts(target):
    conn = writer(target)
    writes = [conn.solicited_write(88, 1) for _ in range(8)]
    equal(len({r2t.ttt for _, r2t in writes}), len(writes), "different TTTs")
    finish_writes(conn, writes)


@case("N9 ten thousand answers whose StatSN is never acknowledged", rfc="4.2.2.2", stress=True)
def never_acknowledged(target):
    conn = target.login()
    old = conn.expstatsn
    for _ in range(100):
        pings = [conn.ping_pdu(b"x" * 64, expstatsn=old) for _ in range(100)]
        conn.send(*pings)
        for ping in pings:
            equal(conn.expect(NOP_IN).itt, ping.itt, "ITT of the NOP-In")
    conn.resync()


@case("N9 at level 1: what is never acknowledged is bounded, and the connection goes in time",
      rfc="4.2.2.2", needs="own", deadline=40)
def never_acknowledged_at_level_1(_):
    with own("--data-timeout", "2", "--nop-interval", "1") as mine:
        conn = mine.login(ErrorRecoveryLevel=1)
        equal(conn.keys["ErrorRecoveryLevel"], "1", "ErrorRecoveryLevel")
        before, old = resident(mine.process.pid), conn.expstatsn
        end = time.monotonic() + 20
        try:
            while time.monotonic() < end:
                ping = conn.send(conn.ping_pdu(bytes(8192), expstatsn=old))
                while conn.recv_any().itt != ping.itt:  # keep-alives are not answered
                    pass
        except Closed:
            pass
        check(time.monotonic() < end, "an ExpStatSN that never moves is tolerated for 20 s")
        grown = resident(mine.process.pid) - before
        check(grown < 64 << 20, f"{grown} bytes of memory more")


@case("N8 SNACK of type {} at ErrorRecoveryLevel 0: Reject", [(n, n) for n in range(4)],
      rfc="11.16")
def snack_at_level_0(target, kind):
    conn = target.login(ErrorRecoveryLevel=0)
    snack = conn.send(Pdu(SNACK, flags=0x80 | kind, itt=NO_TAG if kind else 0x100, ttt=NO_TAG,
                          lun=conn.lun << 48, expstatsn=conn.expstatsn))
    strange(target, conn, snack, PROTOCOL_ERROR)
