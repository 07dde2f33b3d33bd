# SPDX-License-Identifier: BSD-2-Clause
"""Bytes that are no PDU, PDUs cut and glued anyhow, PDUs that may not come here, and headers
whose fields contradict each other: rows F1 to F14, and X2."""

import random
import time
from conn import Closed
from demands import closing, is_riser, refused, writer
from initiator import BLOCK, inquiry, pattern, read10, report_luns, write10
from iscsi import (BHS, DATA_OUT, INITIATOR_ERROR, INVALID_CDB_FIELD, INVALID_DURING_LOGIN,
                   INVALID_FIELD, INVALID_OPCODE, LOGIN_RESPONSE, LOGOUT, NO_SUCH_LUN, NO_TAG,
                   NOP_IN, NOP_OUT, NOT_SUPPORTED, PROTOCOL_ERROR, REJECT, SCSI_COMMAND, SNACK,
                   TEXT, TMF, Pdu, extended_cdb)
from refusal import expect_refusal
from suite import Skip, case
from tap import check, equal
from target import Target, blocks_of

GROUP = "framing"
NEEDS = "open"
LOG_LINES = 20
CHECK = 2


def drain_until_closed(conn):
    """Closed without one byte of an answer, a reset included."""
    conn.expect_closed()
    equal(bytes(conn.buffer), b"", "bytes before the end")


def _answer(conn):
    """The next PDU; None: closed."""
    try:
        return conn.recv()
    except Closed:
        return None


def log_growth(target, action):
    before = len(target.stderr_lines())
    action()
    return len(target.stderr_lines()) - before


# F1, F3: no PDU at all


def short_connections(target):
    for length in range(BHS):
        conn = target.connect()
        conn.send_raw(conn.login_pdu(conn.identity()).wire()[:length])
        conn.half_close()
        drain_until_closed(conn)
        conn.close()


@case("F1 0 to 47 bytes, then FIN: closed without an answer", rfc="7.14", needs="framing")
def short_then_fin(target):
    short_connections(target)


@case("F1 48 connections of 0 to 47 bytes are no log flood", rfc="7.14", needs="own")
def short_log(_):
    with Target() as own:
        check(log_growth(own, lambda: short_connections(own)) <= LOG_LINES,
              "48 log lines for 48 broken connections")


@case("F1 a Login Request cut in its text, then FIN", rfc="7.14", needs="framing")
def cut_text(target):
    for missing in (1, 4, 40):
        conn = target.connect()
        wire = conn.login_pdu(conn.identity()).wire()
        conn.send_raw(wire[:-missing])
        conn.half_close()
        drain_until_closed(conn)


def slow_login(target, timeout):
    """One byte at a time; how long the target bears it."""
    slow = target.connect()
    begin = time.monotonic()
    try:
        for byte in slow.login_pdu(slow.identity()).wire():
            slow.send_raw(bytes([byte]))
            slow.sock.setblocking(True)
            slow.sock.settimeout(timeout / 20)
            try:
                equal(slow.sock.recv(1), b"", "an answer to a piece of a header")
                break
            except TimeoutError:
                slow.sock.setblocking(False)
    except (Closed, ConnectionResetError):
        pass
    return time.monotonic() - begin


@case("F1 0 to 47 bytes, then silence; X2 a login of one byte at a time: closed in time",
      rfc="7.5", needs="own")
def silence(_):
    with Target("--login-timeout", "1") as own:
        conns = [own.connect() for _ in range(12)]
        for length, conn in enumerate(conns):
            conn.send_raw(conn.login_pdu(conn.identity()).wire()[:length * 4])
        took = slow_login(own, 1)
        check(0.5 < took < 4, f"the slow login was closed after {took:.1f} s")
        for conn in conns:
            drain_until_closed(conn)
        own.check_innocent("while others are silent")


@case("X2 a login that stops between its stages is closed in time", rfc="7.5", needs="own")
def stalled_login(_):
    with Target("--login-timeout", "1") as own:
        conn = own.connect()
        conn.login_step(conn.identity(), transit=False)
        conn.expect_closed()
        own.check_innocent("after the login timeout")


@case("X2 a silent login is closed within the target's timeout", rfc="7.5",
      needs="framing,timeouts", deadline=120)
def silent_login(target):
    conn = target.connect()
    conn.send_raw(conn.login_pdu(conn.identity()).wire()[:20])
    conn.expect_closed(target.timeouts + 5)


STRANGERS = [
    ("a TLS ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2),
    ("HTTP", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: a browser\r\n\r\n"),
    ("SSH", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n" + bytes(64)),
    ("64 KiB of random bytes", b"\x5a" + random.Random(3).randbytes(65535)),
    ("64 KiB of zeros", bytes(65536)), ("64 KiB of ff", b"\xff" * 65536)]


@case("F3 {} is no Login: closed at once", STRANGERS, rfc="6.3", needs="framing")
def stranger(target, data):
    conn = target.connect()
    try:
        conn.send_raw(data)
    except Closed:
        pass
    drain_until_closed(conn)


FIRST = [("NOP-Out", NOP_OUT), ("SCSI Command", SCSI_COMMAND), ("TMF", TMF), ("Text", TEXT),
         ("Data-Out", DATA_OUT), ("Logout", LOGOUT), ("SNACK", SNACK)]


@case("F3 {} before any Login: closed without an answer", FIRST, rfc="6.3", needs="framing")
def first_pdu(target, opcode):
    conn = target.connect()
    conn.send(Pdu(opcode | 0x40, flags=0x80, itt=1, ttt=NO_TAG))
    drain_until_closed(conn)


# F2: the same bytes in other pieces


@case("F2 a login and I/O in segments of {}", [
    ("one byte", 1), ("47 bytes", 47), ("49 bytes", 49), ("1447 bytes", 1447)], rfc="11.1",
    needs="framing", deadline=60)
def pieces(target, size):
    conn = target.connect()
    whole = conn.send_raw

    def in_pieces(data, deadline=5):
        for at in range(0, len(data), size):
            whole(data[at:at + size], deadline)

    conn.send_raw = in_pieces
    conn.login(MaxRecvDataSegmentLength=8192)
    conn.clear_unit_attention()
    data = pattern(8, 0xf2)
    conn.write(700, data).good()
    equal(conn.read(700, 8), data, "blocks")


@case("F2 1000 PDUs in one piece", rfc="11.1", needs="framing")
def glued(target):
    conn = target.login()
    pings = [conn.ping_pdu(b"%d" % n * (n % 7)) for n in range(1000)]
    conn.send_raw(b"".join(conn.wire(ping) for ping in pings))
    for ping in pings:
        answer = conn.expect(NOP_IN)
        equal((answer.itt, answer.data), (ping.itt, ping.data), "echo")


@case("F2 a PDU cut at every byte of its header, data and pad", rfc="11.1", needs="framing")
def cut_everywhere(target):
    conn = target.login()
    size = len(conn.wire(conn.ping_pdu(b"hello")))
    for cut in range(1, size):
        ping = conn.ping_pdu(b"hello")
        wire = conn.wire(ping)
        conn.send_raw(wire[:cut])
        conn.send_raw(wire[cut:])
        equal(conn.expect(NOP_IN).data, b"hello", f"echo after a cut at {cut}")


# F4 to F7: PDUs that may not come


RESERVED = [*range(0x07, 0x10), *range(0x11, 0x20)]


@case("F4 opcode {} is not supported, the connection stays", [(f"{n:#04x}", n) for n in RESERVED],
      rfc="11.17.1")
def reserved_opcode(target, opcode):
    conn = target.login()
    for data in (b"", b"with a data segment"):
        pdu = conn.fill(Pdu(opcode, flags=0x80, itt=conn.next_itt(), data=data), immediate=True)
        conn.send(pdu)
        conn.expect_reject(NOT_SUPPORTED, pdu)
    conn.resync()
    conn.ready().good()


@case("F5 target opcode {} from an initiator: closed", [
    (f"{n:#04x}", n) for n in range(0x20, 0x40)], rfc="7.13")
def target_opcode(target, opcode):
    conn = target.login(clear=False)
    conn.send(conn.fill(Pdu(opcode, flags=0x80, itt=conn.next_itt()), immediate=True))
    if is_riser(target):
        conn.expect_closed()
        return
    answer = _answer(conn)
    check(answer is None or answer.opcode == REJECT, f"neither Reject nor the end: {answer}")


@case("F6 a Login Request in full feature phase: Reject, closed", rfc="6.3")
def late_login(target):
    conn = target.login()
    pdu = conn.send(conn.login_pdu(conn.identity()))
    if is_riser(target):
        conn.expect_reject(PROTOCOL_ERROR, pdu)
        conn.expect_closed()
        return
    answer = _answer(conn)
    check(answer is None or answer.opcode == REJECT
          or answer.opcode == LOGIN_RESPONSE and answer.login_status, f"answer {answer}")


@case("F7 {} during login: refused, closed", FIRST, rfc="6.3", needs="framing")
def during_login(target, opcode):
    conn = target.connect()
    conn.login_step(conn.identity(), transit=False)
    conn.send(Pdu(opcode | 0x40, flags=0x80, itt=7, ttt=NO_TAG, cmdsn=conn.cmdsn))
    if is_riser(target):
        conn.expect_login_refused(INVALID_DURING_LOGIN)
    else:
        closing(conn)


# F8, F9, F11: what is ignored, and what contradicts itself


@case("F8 the I bit and reserved fields of a Data-Out are ignored", rfc="11.7")
def noisy_data_out(target):
    conn = writer(target)
    data = pattern(8, 0xf8)
    write, r2t = conn.solicited_write(10, 8)
    out = conn.data_out_pdu(write, data, 0, r2t.ttt, byte0=DATA_OUT | 0x40, byte2=0xff, byte3=0xff,
                            cmdsn=0xffffffff, maxcmdsn=0xffffffff, desired=0xffffffff)
    out.flags |= 0x7f
    conn.send(out)
    conn.complete(write).good()
    equal(conn.read(10, 8), data, "blocks")


@case("F8 reserved bits of {} are ignored", [
    ("a command", lambda c: c.command_pdu(bytes(6), flags=0x99, byte2=0xff, byte3=0xff)),
    ("an opcode byte", lambda c: c.command_pdu(bytes(6), byte0=SCSI_COMMAND | 0x80))], rfc="11.2")
def noisy_command(target, build):
    conn = target.login()
    conn.complete(conn.send(build(conn))).good()


@case("F8 reserved fields of a NOP-Out are ignored", rfc="11.18")
def noisy_nop(target):
    conn = target.login()
    ping = conn.ping_pdu(b"echo", flags=0xff, byte2=0xff, byte3=0xff)
    ping.bhs[32:48] = b"\xff" * 16
    conn.send(ping)
    answer = conn.expect(NOP_IN)
    equal((answer.itt, bytes(answer.data)), (ping.itt, b"echo"), "echo")


@case("F8 a SNACK at level 0, with and without the I bit: Reject", rfc="11.16")
def snack(target):
    conn = target.login()
    for immediate in (0, 0x40):
        pdu = conn.send(Pdu(SNACK | immediate, flags=0x80, itt=0x100, ttt=NO_TAG,
                            expstatsn=conn.expstatsn))
        if is_riser(target):
            conn.expect_reject(PROTOCOL_ERROR, pdu)
            continue
        answer = _answer(conn)
        check(answer is None or answer.opcode == REJECT, f"answer {answer}")
        return
    conn.resync()


@case("F9 F=0 on a command {}", [
    ("without data", lambda c: c.command_pdu(bytes(6), final=False, immediate=True)),
    ("that reads", lambda c: c.command_pdu(read10(0, 1), read=512, final=False, immediate=True))],
    rfc="11.3.1", needs="riser")
def unfinal_command(target, build):
    conn = target.login()
    command = conn.send(build(conn))
    conn.expect_reject(INVALID_FIELD, command)
    conn.resync()


@case("F9 expected data without a direction", rfc="11.3.4", needs="riser")
def directionless(target):
    conn = target.login()
    command = conn.send(conn.command_pdu(bytes(6), edtl=512, immediate=True))
    conn.expect_reject(INVALID_FIELD, command)
    conn.resync()


@case("F9 both directions at once for a command that has one", rfc="11.3.1", needs="riser")
def bidirectional(target):
    conn = target.login()
    command = conn.command_pdu(read10(0, 1), read=512)
    command.flags |= 0x20
    conn.complete(conn.send(command)).condition(INVALID_CDB_FIELD)
    conn.resync()


@case("F11 odd lengths with pad bytes that are not zero", rfc="11.1")
def odd_padding(target):
    conn = target.login()
    for length in (1, 2, 3, 5):
        ping = conn.send(conn.ping_pdu(b"x" * length, pad=b"\xa5"))
        answer = conn.expect(NOP_IN)
        equal((answer.itt, bytes(answer.data)), (ping.itt, b"x" * length), "echo")


# F10, F12, F13: lengths


LONG = [("one above the limit", lambda limit: limit + 1), ("0xffffff", lambda limit: 0xffffff)]
CARRIERS = [("NOP-Out", lambda c: c.ping_pdu()), ("Text", lambda c: c.text_pdu()),
            ("write", lambda c: c.command_pdu(write10(0, 1), write=512)),
            ("Data-Out", lambda c: c.data_out_pdu(c.ping_pdu(), b"", 0))]


@case("F10 DataSegmentLength {}: Reject, closed, nothing read", [
    (f"{what} on a {name}", build, size) for what, size in LONG for name, build in CARRIERS],
    rfc="7.7", needs="framing")
def long_segment(target, build, size):
    conn = target.login()
    if conn.max_send >= 0xffffff:
        raise Skip("the target takes every length there is")
    pdu = build(conn)
    pdu.claim_dsl = size(conn.max_send)
    conn.send(pdu)
    if not is_riser(target):
        conn.half_close()  # it may wait for the data first
    refused(target, conn, pdu, PROTOCOL_ERROR)


@case("F10 DataSegmentLength at the limit is taken", rfc="13.12")
def longest_segment(target):
    conn = target.login()
    size = min(conn.max_send, 1 << 20, conn.max_recv)
    conn.ping(pattern(size // BLOCK, 0x10))


@case("F10 DataSegmentLength {} during login", [("8193", 8193), ("0xffffff", 0xffffff)],
      rfc="6.1", needs="framing")
def long_login(target, length):
    conn = target.connect()
    conn.send(conn.login_pdu(claim_dsl=length))
    _too_long(target, conn)


@case("F10 DataSegmentLength 8193 in the second Login Request", rfc="6.1", needs="framing")
def long_second_login(target):
    conn = target.connect()
    conn.login_step(conn.identity(), transit=False)
    conn.send(conn.login_pdu(claim_dsl=8193))
    _too_long(target, conn)


def _too_long(target, conn):
    if is_riser(target):
        expect_refusal(target, conn, INITIATOR_ERROR)
    else:
        conn.half_close()
        closing(conn)


@case("F12 data on a {}: Reject, closed", [
    ("task management request", lambda c: c.tmf_pdu(1, rtt=0xdead)),
    ("Logout", lambda c: c.logout_pdu()),
    ("SNACK", lambda c: Pdu(SNACK, flags=0x80, itt=0x100, ttt=NO_TAG, expstatsn=c.expstatsn))],
    rfc="11.2.1.6", needs="riser")
def surplus_data(target, build):
    conn = target.login()
    pdu = build(conn)
    pdu.data = b"never to be interpreted"
    conn.send(pdu)
    conn.expect_reject(INVALID_FIELD, pdu)
    conn.expect_closed()


BROKEN_AHS = [
    ("AHSLength 0", b"\0\0\1\0"), ("AHSLength 0xffff", extended_cdb(bytes(32), length=0xffff)),
    ("AHSLength over the total", extended_cdb(bytes(32), length=18)),
    ("a rest too short for another AHS", b"\0\1\1\0" + b"\0\0\0\0")]


@case("F13 {}: closed", BROKEN_AHS, rfc="11.2.2")
def broken_ahs(target, ahs):
    conn = target.login()
    conn.send(conn.command_pdu(b"\x7f", ahs=ahs))
    if is_riser(target):
        conn.expect_closed()
        return
    answer = _answer(conn)
    check(answer is None or answer.opcode == REJECT or answer.status == CHECK, f"answer {answer}")


@case("F13 {}: closed", [("TotalAHSLength 255", bytes(1020)),
                         ("68 bytes of AHS, 64 are the most", bytes(68))], rfc="11.2.1.5",
      needs="riser,framing")
def long_ahs(target, ahs):
    conn = target.login()
    conn.send(conn.command_pdu(b"\x7f", ahs=ahs))
    conn.expect_closed()


@case("F13 TotalAHSLength 255 and nothing behind it: closed, nothing read", rfc="11.2.1.5",
      needs="riser,framing")
def absent_ahs(target):
    conn = target.login()
    conn.send(conn.command_pdu(bytes(6), claim_ahs=255))
    conn.expect_closed()


@case("F13 an AHS on a PDU that is no command: closed", rfc="11.2.2", needs="riser")
def misplaced_ahs(target):
    conn = target.login()
    conn.send(conn.ping_pdu(ahs=extended_cdb(bytes(32))))
    conn.expect_closed()


@case("F13 TotalAHSLength {} in the first Login Request: refused", [(n, n) for n in (1, 255)],
      rfc="11.2.2", needs="riser,framing")
def login_ahs(target, words):
    conn = target.connect()
    conn.send(conn.login_pdu(claim_ahs=words))
    conn.expect_login_refused(INITIATOR_ERROR)


REJECTED_AHS = [
    ("an AHS type nobody knows", lambda c: c.command_pdu(bytes(6), ahs=b"\0\5\x3f\0" + bytes(4))),
    ("two extended CDBs", lambda c: c.command_pdu(b"\x7f", ahs=extended_cdb(bytes(32)) * 2)),
    ("an extended CDB under a 10-byte opcode",
     lambda c: c.command_pdu(read10(0, 0), ahs=extended_cdb(bytes(32))))]


@case("F13 {}: Reject, the connection stays", REJECTED_AHS, rfc="11.2.2.1", needs="riser")
def rejected_ahs(target, build):
    conn = target.login()
    pdu = build(conn)
    pdu.byte0 |= 0x40
    conn.send(pdu)
    conn.expect_reject(INVALID_FIELD, pdu)
    conn.resync()


@case("F13 a 32-byte CDB that no disk without protection information has", rfc="11.2.2.3")
def long_cdb(target):
    conn = target.login()
    cdb = b"\x7f" + bytes(6) + b"\x18\x7f\xff" + bytes(22)
    conn.scsi(cdb, ahs=extended_cdb(cdb)).condition(INVALID_OPCODE)


# F14: LUNs


LUNS = [("peripheral 9", 0x0009 << 48), ("peripheral 255", 0x00ff << 48),
        ("flat 9", 0x4009 << 48), ("flat 16383", 0x7fff << 48), ("bus 1", 0x0100 << 48),
        ("extended flat", 0xd200000900000000), ("well known", 0xc101 << 48),
        ("a second level", 0x0000000100000000), ("all ones", (1 << 64) - 1)]


@case("F14 LUN {} does not exist", LUNS, rfc="11.2.1.7")
def unknown_lun(target, lun):
    conn = target.login()

    def send(cdb, read=0):
        pdu = conn.command_pdu(cdb, read=read)
        pdu.lun = lun
        return conn.complete(conn.send(pdu))

    send(bytes(6)).condition(NO_SUCH_LUN)
    send(read10(0, 1), read=BLOCK).condition(NO_SUCH_LUN)
    equal(send(inquiry(36), read=36).good().data[0], 0x7f, "first byte of INQUIRY data")
    luns = send(report_luns(4096), read=4096).good().data
    here = conn.scsi(report_luns(4096), read=4096).good().data
    equal(luns, here, "LUN list, asked through another LUN")


@case("F14 a write to a LUN that does not exist ends without its data being asked for",
      rfc="11.4.3")
def unknown_lun_write(target):
    conn = writer(target)
    write = conn.command_pdu(write10(0, 8), lun=9, write=8 * BLOCK)
    conn.complete(conn.send(write)).condition(NO_SUCH_LUN)
    conn.resync()


@case("F14 another LUN in the Data-Out than in its command: the task's LUN counts", rfc="11.7",
      needs="two-luns,riser")
def lun_mismatch(target):
    conn = writer(target)
    data = pattern(8, 0x14)
    other = blocks_of(target, 50, 8, target.innocent_lun)
    write, r2t = conn.solicited_write(50, 8)
    conn.send(conn.data_out_pdu(write, data, 0, r2t.ttt, lun=target.innocent_lun << 48))
    conn.complete(write).good()
    equal(conn.read(50, 8), data, "blocks of the LUN of the command")
    equal(blocks_of(target, 50, 8, target.innocent_lun), other, "blocks of the other LUN")
