# SPDX-License-Identifier: BSD-2-Clause
"""Data-Out PDUs that nobody asked for, that lie about where they belong, or that do not come:
rows D1 to D11."""

from demands import dropped, failed, own, refused, rejected, unchanged, writer
from initiator import BLOCK, pattern, read10, write10
from iscsi import (CRC_ERROR, DATA_OUT, INCORRECT_AMOUNT, INVALID_FIELD, NO_TAG,
                   UNEXPECTED_UNSOLICITED, Pdu)
from suite import case
from tap import check, equal
from target import blocks_of

GROUP = "bad-data"

LBA, BLOCKS = 700, 8
LENGTH = BLOCKS * BLOCK
BAD = pattern(BLOCKS, 0xbad)


@case("D1 a Data-Out for a task nobody knows is dropped", rfc="11.7")
def unknown_task(target):
    conn = target.login()
    for ttt in (NO_TAG, 0, 0x4711):
        for data in (b"", BAD):
            conn.send(Pdu(DATA_OUT, flags=0x80, itt=0x7777, ttt=ttt, expstatsn=conn.expstatsn,
                          data=data))
    conn.send(Pdu(DATA_OUT, flags=0, itt=NO_TAG, ttt=NO_TAG, expstatsn=conn.expstatsn, data=BAD))
    conn.resync()
    conn.ready().good()


@case("D1 a Data-Out that lost the race against ABORT TASK is dropped", rfc="11.6.1")
def after_abort(target):
    conn = writer(target)
    before = blocks_of(target, LBA, BLOCKS)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    equal(conn.tmf(1, rtt=write.itt, refcmdsn=write.cmdsn), 0, "response to ABORT TASK")
    conn.answer_r2t(write, r2t, BAD, chunk=512)
    conn.resync()
    unchanged(target, LBA, before)


@case("D2 a TTT that is not the task's: Reject, the write goes on", rfc="11.8.5")
def wrong_ttt(target):
    conn = writer(target)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    stray = conn.send(conn.data_out_pdu(write, BAD, 0, r2t.ttt ^ 0x1010))
    rejected(target, conn, stray, INVALID_FIELD)
    conn.resync()
    good = pattern(BLOCKS, 0xd2)
    conn.answer_r2t(write, r2t, good)
    conn.complete(write).good()
    equal(conn.read(LBA, BLOCKS), good, "blocks")


@case("D2 the TTT of another task of the session: Reject, both writes go on", rfc="11.8.5")
def foreign_ttt(target):
    conn = writer(target)
    one, one_r2t = conn.solicited_write(LBA, BLOCKS)
    two, two_r2t = conn.solicited_write(LBA + BLOCKS, BLOCKS)
    stray = conn.send(conn.data_out_pdu(one, BAD, 0, two_r2t.ttt))
    rejected(target, conn, stray, INVALID_FIELD)
    data = pattern(2 * BLOCKS, 0xd22)
    for write, r2t, part in ((one, one_r2t, data[:LENGTH]), (two, two_r2t, data[LENGTH:])):
        conn.answer_r2t(write, r2t, part)
        conn.complete(write).good()
    equal(conn.read(LBA, 2 * BLOCKS), data, "blocks")


@case("D2 unsolicited Data-Out {}", [
    ("while an R2T waits", True), ("announced by F=0, InitialR2T=Yes", False)], rfc="11.4.7.2")
def unsolicited(target, final):
    conn = writer(target)
    before = blocks_of(target, LBA, BLOCKS)
    write = conn.command_pdu(write10(LBA, BLOCKS), write=LENGTH, final=final)
    conn.send(write, conn.data_out_pdu(write, BAD, 0))
    failed(target, conn, write, BAD, UNEXPECTED_UNSOLICITED)
    unchanged(target, LBA, before)


def burst_ends(target, sense, *pieces, keys=None):
    """A solicited burst made of (offset, length, DataSN, F) pieces ends with this
    sense, and the disk is as it was."""
    conn = writer(target, **(keys or {}))
    before = blocks_of(target, LBA, BLOCKS)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    conn.send(*[conn.data_out_pdu(write, BAD[at:at + length], at, r2t.ttt, datasn, final)
                for at, length, datasn, final in pieces])
    failed(target, conn, write, BAD, sense)
    unchanged(target, LBA, before)


@case("D3 {}", [
    ("a gap at the start", (512, LENGTH - 512, 0, True)),
    ("a gap in the middle", (0, 1024, 0, False), (2048, 2048, 1, True)),
    ("an overlap", (0, 1024, 0, False), (512, LENGTH - 512, 1, True)),
    ("the same piece twice", (0, 2048, 0, False), (0, 2048, 1, True)),
    ("pieces in reverse", (2048, 2048, 0, False), (0, 2048, 1, True)),
    ("a gap that is no multiple of anything", (0, 1001, 0, False), (1002, LENGTH - 1002, 1, True))],
      rfc="7.9")
def offsets(target, *pieces):
    burst_ends(target, CRC_ERROR, *pieces)


@case("D4 {}: Reject, closed", [
    ("one block over the end", LENGTH - 512, 1024), ("far over the end", 1 << 20, 512),
    ("an offset that wraps at 2^32", 0xfffffff0, 0x20), ("the last offset there is", 0xffffffff, 1),
    ("one byte too much", 0, LENGTH + 1), ("just behind the end", LENGTH, 4)],
      rfc="11.7.6")
def outside(target, offset, length):
    conn = writer(target)
    before = blocks_of(target, LBA, 2 * BLOCKS)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    data = (BAD * 2)[:length]
    stray = conn.send(conn.data_out_pdu(write, data, offset, r2t.ttt))
    refused(target, conn, stray, INVALID_FIELD)
    equal(blocks_of(target, LBA, 2 * BLOCKS), before, "blocks")


@case("D4 more than the R2T wants, though inside the command: Reject, closed", rfc="11.8.4")
def over_burst(target):
    conn = writer(target, MaxBurstLength=LENGTH, FirstBurstLength=512)
    before = blocks_of(target, LBA, 2 * BLOCKS)
    write, r2t = conn.solicited_write(LBA, 2 * BLOCKS)
    equal((r2t.offset, r2t.desired), (0, LENGTH), "the R2T")
    stray = conn.send(conn.data_out_pdu(write, BAD + BAD[:512], 0, r2t.ttt))
    refused(target, conn, stray, INVALID_FIELD)
    equal(blocks_of(target, LBA, 2 * BLOCKS), before, "blocks")


@case("D5 {}", [
    ("F early", (0, LENGTH - 512, 0, True)), ("F on an empty Data-Out", (0, 0, 0, True)),
    ("F on the first of two pieces", (0, 2048, 0, True)),
    ("F missing at the end of the burst", (0, LENGTH, 0, False)),
    ("F missing on the last of two pieces", (0, 2048, 0, False), (2048, 2048, 1, False))],
      rfc="11.7.1")
def final_bit(target, *pieces):
    burst_ends(target, INCORRECT_AMOUNT, *pieces)


@case("D5 F early in unsolicited data", rfc="11.7.1")
def short_unsolicited(target):
    conn = target.login(ImmediateData="No", FirstBurstLength=LENGTH)
    before = blocks_of(target, LBA, BLOCKS)
    write = conn.command_pdu(write10(LBA, BLOCKS), write=LENGTH, final=False)
    conn.send(write, conn.data_out_pdu(write, BAD[:1024], 0))
    failed(target, conn, write, BAD, INCORRECT_AMOUNT)
    unchanged(target, LBA, before)


@case("D6 DataSN {}", [
    ("repeated", 0, 0), ("skipped", 0, 2), ("starts at 1", 1, 2), ("starts at -1", 0xffffffff, 0),
    ("in reverse", 1, 0), ("far off", 0, 0x80000000)], rfc="7.9")
def data_sn(target, first, second):
    burst_ends(target, CRC_ERROR, (0, 2048, first, False), (2048, 2048, second, True))


@case("D6 DataSN goes on from the first burst instead of starting at 0", rfc="11.7.5")
def data_sn_second_burst(target):
    conn = writer(target, MaxBurstLength=LENGTH // 2, FirstBurstLength=512)
    before = blocks_of(target, LBA, BLOCKS)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    conn.answer_r2t(write, r2t, BAD, chunk=1024)
    second = conn.expect_r2t(write, 1)
    conn.send(conn.data_out_pdu(write, BAD[second.offset:], second.offset, second.ttt, datasn=2))
    failed(target, conn, write, BAD, CRC_ERROR)
    equal(blocks_of(target, LBA + BLOCKS // 2, BLOCKS // 2), before[BLOCKS // 2:],
          "blocks of the failed burst")


@case("D7 immediate data with ImmediateData=No, {}", [("all of it", LENGTH), ("a part", 512)],
      rfc="13.11")
def immediate_data(target, length):
    conn = writer(target)
    before = blocks_of(target, LBA, BLOCKS)
    write = conn.send(conn.command_pdu(write10(LBA, BLOCKS), write=LENGTH, data=BAD[:length]))
    failed(target, conn, write, BAD, UNEXPECTED_UNSOLICITED)
    unchanged(target, LBA, before)


@case("D7 unsolicited data in three Data-Outs with InitialR2T=Yes is drained first", rfc="13.10")
def unsolicited_pieces(target):
    conn = writer(target)
    before = blocks_of(target, LBA, BLOCKS)
    write = conn.command_pdu(write10(LBA, BLOCKS), write=LENGTH, final=False)
    pieces = conn.burst(write, BAD, 0, LENGTH, NO_TAG, chunk=1500)
    conn.send(write, *pieces[:-1])
    conn.resync()
    conn.send(pieces[-1])
    failed(target, conn, write, BAD, UNEXPECTED_UNSOLICITED)
    unchanged(target, LBA, before)


@case("D8 more than FirstBurstLength: {}", [
    ("as immediate data", 1536, 0), ("as unsolicited data", 0, 1536),
    ("immediate and unsolicited together", 1024, 512)], rfc="13.14")
def first_burst(target, immediate, more):
    conn = target.login(FirstBurstLength=1024)
    before = blocks_of(target, LBA, BLOCKS)
    write = conn.command_pdu(write10(LBA, BLOCKS), write=LENGTH, data=BAD[:immediate],
                             final=not more)
    conn.send(write)
    if more:
        conn.send(conn.data_out_pdu(write, BAD[immediate:immediate + more], immediate))
    failed(target, conn, write, BAD, INCORRECT_AMOUNT)
    unchanged(target, LBA, before)


@case("D8 immediate data longer than the transfer", rfc="11.3.4")
def immediate_over_transfer(target):
    conn = target.login()
    before = blocks_of(target, LBA, BLOCKS)
    write = conn.send(conn.command_pdu(write10(LBA, 1), write=BLOCK, data=BAD))
    failed(target, conn, write, BAD, INCORRECT_AMOUNT)
    unchanged(target, LBA, before)


@case("D9 a Data-Out for a READ, and for a task that has its status, is dropped", rfc="11.7")
def not_a_write(target):
    conn = target.login()
    read = conn.command_pdu(read10(LBA, BLOCKS), read=LENGTH)
    conn.send(read, conn.data_out_pdu(read, BAD, 0))
    conn.complete(read).good()
    conn.resync()
    write = conn.write_pdus(LBA, pattern(BLOCKS, 0xd9))[0]
    conn.complete(conn.send(write)).good()
    conn.send(conn.data_out_pdu(write, BAD, 0), conn.data_out_pdu(write, BAD, 0, ttt=0))
    conn.resync()
    equal(conn.read(LBA, BLOCKS), pattern(BLOCKS, 0xd9), "blocks")


@case("D10 an R2T that is {} ends the connection in time", [
    ("never answered", 0), ("answered in part", 2048)], rfc="7.5", needs="own")
def no_data(_, length):
    with own("--data-timeout", "1") as mine:
        conn = writer(mine)
        before = blocks_of(mine, LBA, BLOCKS)
        write, r2t = conn.solicited_write(LBA, BLOCKS)
        if length:
            conn.send(conn.data_out_pdu(write, BAD[:length], 0, r2t.ttt, final=False))
        conn.resync()
        dropped(conn)
        mine.check_innocent("after the data timeout")
        unchanged(mine, LBA, before)


@case("D10 unsolicited data that was announced and does not come ends the connection in time",
      rfc="7.5", needs="own")
def no_unsolicited(_):
    with own("--data-timeout", "1") as mine:
        conn = mine.login()
        conn.send(conn.command_pdu(write10(LBA, BLOCKS), write=LENGTH, final=False))
        conn.resync()
        dropped(conn)
        mine.check_innocent("after the data timeout")


@case("D11 READ of {}", [
    ("2 blocks, 1 expected", 2, 512, {"overflow": 512}),
    ("1 block, 2 expected", 1, 1024, {"underflow": 512}),
    ("1 block, 4 GiB - 1 expected", 1, 0xffffffff, {"underflow": 0xffffffff - 512}),
    ("1 block, 100 bytes expected", 1, 100, {"overflow": 412}),
    ("no block, 512 bytes expected", 0, 512, {"underflow": 512})], rfc="11.4.5.1")
def read_residual(target, blocks, expected, residual):
    conn = target.login()
    conn.write(LBA, pattern(BLOCKS, 0x11)).good()
    done = conn.scsi(read10(LBA, blocks), read=expected).good().residual(**residual)
    equal(done.data, pattern(BLOCKS, 0x11)[:min(blocks * BLOCK, expected)], "data")


@case("D11 READ of 1 block with no data expected", rfc="11.4.5.1")
def read_nothing(target):
    conn = target.login()
    done = conn.scsi(read10(LBA, 1)).good().residual(overflow=512)
    equal(done.data, b"", "data")


@case("D11 WRITE of {}", [
    (f"{what}, {how}", blocks, expected, residual, keys)
    for what, blocks, expected, residual in (
        ("2 blocks, 1 expected", 2, 512, {"overflow": 512}),
        ("1 block, 2 expected", 1, 1024, {"underflow": 512}),
        ("no block, 512 bytes expected", 0, 512, {"underflow": 512}))
    for how, keys in (("solicited", {"InitialR2T": "Yes", "ImmediateData": "No"}),
                      ("immediate", {"ImmediateData": "Yes"}))], rfc="11.4.5.1")
def write_residual(target, blocks, expected, residual, keys):
    conn = target.login(**keys)
    conn.write(LBA, pattern(BLOCKS, 0x12)).good()
    new = pattern(BLOCKS, 0x13)
    immediate = new[:expected] if conn.says("ImmediateData") else b""
    write = conn.send(conn.command_pdu(write10(LBA, blocks), write=expected, data=immediate))
    conn.complete(write, new.ljust(expected, b"\0")).good().residual(**residual)
    moved = min(blocks * BLOCK, expected)
    equal(conn.read(LBA, BLOCKS), new[:moved] + pattern(BLOCKS, 0x12)[moved:], "blocks")


@case("D11 WRITE of 1 block with no data expected", rfc="11.4.5.1")
def write_nothing(target):
    conn = target.login()
    before = conn.read(LBA, BLOCKS)
    write = conn.send(conn.command_pdu(write10(LBA, 1), flags=0xa1))
    conn.complete(write).good().residual(overflow=512)
    equal(conn.read(LBA, BLOCKS), before, "blocks")


@case("D11 WRITE of 1 block, 4 GiB - 1 expected, {}", [
    ("solicited", "No", 0), ("immediate", "Yes", 512)], rfc="11.4.5.1")
def write_everything(target, immediate_data_key, length):
    conn = target.login(InitialR2T="Yes", ImmediateData=immediate_data_key)
    data = pattern(1, 0x4611)
    write = conn.send(conn.command_pdu(write10(LBA, 1), write=0xffffffff, data=data[:length]))
    done = conn.complete(write, data).good().residual(underflow=0xffffffff - 512)
    check(sum(r2t.desired for r2t in done.r2ts) <= 512, f"asked for {done.r2ts}")
    equal(conn.read(LBA, 1), data, "block")
