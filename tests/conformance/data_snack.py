# SPDX-License-Identifier: BSD-2-Clause
"""Data-In sent again: Data SNACK, R-Data SNACK with its tag, and the rules of DataACK
(UNH-IOL, Error Recovery for targets, 3.2 to 3.4; Full Feature Phase 10.2 and 13)."""

from initiator import BLOCK, pattern
from iscsi import DATA_IN, INVALID_DATA_ACK, PROTOCOL_ERROR, REJECT, SCSI_RESPONSE, SNACK_REJECT
from multi import group
from recovery import (ACKNOWLEDGE, collect, data_ack, data_of, data_snack, fetch, finish,
                      has_status, r_data_snack, same, snack, start_read, status_snack)
from suite import Skip, case
from tap import check, equal

GROUP = "snack"
NEEDS = "erl1"
LBA, BLOCKS = 2200, 16
SIZE = BLOCKS * BLOCK
SEGMENT = 1024
PIECES = SIZE // SEGMENT
LARGE = 8192  # blocks: 4 MiB
SNACK_REJECTED = (0xb, 0x11, 0x13)


def open_one(target, level=1, **keys):
    conn, = group(target, 1, level, **{"MaxRecvDataSegmentLength": SEGMENT, **keys})
    return conn


def written(conn, stamp, blocks=BLOCKS, lba=LBA):
    data = pattern(blocks, stamp)
    for at in range(0, len(data), 256 * BLOCK):
        conn.write(lba + at // BLOCK, data[at:at + 256 * BLOCK]).good()
    return data


def held_read(conn, blocks=BLOCKS):
    """A read of which everything came and nothing is acknowledged."""
    conn.ping()
    conn.hold()
    read = start_read(conn, LBA, blocks)
    return read, collect(conn, read)


def kept_read(target, stamp, level=1, **keys):
    """The same on a new connection, of data that is written before."""
    conn = open_one(target, level, **keys)
    data = written(conn, stamp)
    return conn, data, *held_read(conn)


def expect_again(conn, pdus):
    for pdu in pdus:
        same(conn.expect(pdu.opcode), pdu, *(["expdatasn"] if pdu.opcode == SCSI_RESPONSE else []))


def ask_again(conn, read, begin, run, pdus):
    data_snack(conn, read, begin, run)
    expect_again(conn, pdus)


def done(conn):
    """The status is acknowledged, and nothing more was on its way."""
    conn.release()
    conn.ping()


RUNS = [("3.2 single: the first", 0, 1, slice(0, 1)), ("3.2 single: one inside", 3, 1, slice(3, 4)),
        ("3.2 single: the last but one", PIECES - 2, 1, slice(PIECES - 2, PIECES - 1)),
        ("3.3 a run", 2, 4, slice(2, 6)), ("3.3 a run from the start", 0, 3, slice(0, 3)),
        ("3.4 the whole sequence by its length", 0, PIECES, slice(0, PIECES)),
        ("3.4 the whole sequence by 0 and 0", 0, 0, slice(0, PIECES)),
        ("3.4 everything from one on", 5, 0, slice(5, PIECES))]


@case("{}: exact replicas", RUNS, rfc="11.16")
def data_again(target, begin, run, which):
    conn, data, read, pdus = kept_read(target, 0x320)
    equal((data_of(pdus), [p.dsl for p in pdus][:PIECES]), (data, [SEGMENT] * PIECES),
          "data, lengths of the Data-In")
    ask_again(conn, read, begin, run, pdus[which])
    done(conn)


@case("{}: exact replicas at level 2", RUNS[1:7:2], rfc="11.16", needs="erl2")
def data_again_level_2(target, begin, run, which):
    conn, data, read, pdus = kept_read(target, 0x321, 2)
    equal(data_of(pdus), data, "data")
    ask_again(conn, read, begin, run, pdus[which])
    done(conn)


@case("3.2 Data SNACK: the last Data-In, which may carry the status", rfc="11.16")
def data_last(target):
    conn, _, read, pdus = kept_read(target, 0x322)
    ask_again(conn, read, PIECES - 1, 1, [pdus[PIECES - 1]])
    done(conn)


@case("3.2 Data SNACK with digests", rfc="11.16", needs="digests")
def data_digests(target):
    conn, _, read, pdus = kept_read(target, 0x323, HeaderDigest="CRC32C", DataDigest="CRC32C")
    ask_again(conn, read, 1, 3, pdus[1:4])
    done(conn)


@case("3.2 Data SNACK: what is sent again is what was read, not what is there now", rfc="11.16")
def data_is_kept(target):
    conn, _, read, pdus = kept_read(target, 0x324)
    target.innocent.write(LBA, pattern(BLOCKS, 0x325), target.lun).good()
    ask_again(conn, read, 0, PIECES, pdus[:PIECES])
    done(conn)
    equal(conn.read(LBA, BLOCKS), pattern(BLOCKS, 0x325), "blocks of a new read")


@case("3.3 several Data SNACKs for one command", rfc="11.16")
def data_several(target):
    conn, _, read, pdus = kept_read(target, 0x326)
    for begin, run in ((6, 1), (1, 2), (1, 2), (0, 1)):
        ask_again(conn, read, begin, run, pdus[begin:begin + run])
    done(conn)


@case("3.3 Data SNACKs for commands in turn", rfc="11.16")
def data_two_commands(target):
    conn = open_one(target)
    written(conn, 0x327)
    conn.ping()
    conn.hold()
    reads = [start_read(conn, LBA, BLOCKS), start_read(conn, LBA + 2, BLOCKS - 2)]
    kept = [collect(conn, read) for read in reads]
    for number in (1, 0, 1):
        ask_again(conn, reads[number], 2, 2, kept[number][2:4])
    done(conn)


@case("Data SNACK for {}: Reject 0x04, the data can still be had", [
    ("one that was not sent", PIECES, 1), ("one far away", 0x7fffffff, 1),
    ("more than there are", 2, PIECES), ("a run over the end of numbers", 0xffffffff, 2),
    ("the longest run", 0, 0xffffffff)], rfc="11.16")
def data_never_sent(target, begin, run):
    conn, _, read, pdus = kept_read(target, 0x328)
    conn.expect_reject(PROTOCOL_ERROR, data_snack(conn, read, begin, run))
    ask_again(conn, read, 0, 2, pdus[:2])
    done(conn)


@case("Data SNACK behind the acknowledgement of the status: Reject 0x04", rfc="11.16.1")
def data_acknowledged_by_status(target):
    conn, _, read, _ = kept_read(target, 0x329)
    done(conn)
    conn.expect_reject(PROTOCOL_ERROR, data_snack(conn, read, 0, 1))
    conn.ping()


@case("Data SNACK: a short read with residual, its status the same again", rfc="11.16")
def data_residual(target):
    conn = open_one(target)
    written(conn, 0x32a)
    conn.ping()
    conn.hold()
    read = conn.command_pdu(b"\x28\0" + LBA.to_bytes(4, "big") + b"\0\0\4\0",
                            read=SIZE)
    pdus = collect(conn, conn.send(read))
    check(pdus[-1].flags & 2 and pdus[-1].residual == SIZE - 4 * BLOCK, "no underflow")
    ask_again(conn, read, 0, 0, [p for p in pdus if p.opcode == DATA_IN])
    done(conn)


@case("SNACKs for 32 reads of 1 MiB of which nothing is acknowledged", rfc="11.16")
def data_beyond_bounds(target):
    """A target keeps what it can: then the data comes again; else it says so."""
    conn = open_one(target, MaxRecvDataSegmentLength=262144, MaxBurstLength=1048576)
    conn.ping()
    conn.hold()
    kept = []
    for _ in range(32):
        read = start_read(conn, 0, 2048)
        pdus = []
        while not pdus or not has_status(pdus[-1]):
            pdus.append(conn.recv())
        kept.append((read, pdus))
    for read, pdus in kept:
        bad = data_snack(conn, read, 0, 1)
        again = conn.recv()
        if again.opcode == DATA_IN:
            same(again, pdus[0])
            continue
        equal((again.opcode, again.reason), (REJECT, SNACK_REJECT), "opcode, reason")
        equal(again.data[:48], bad.header(), "header in the Reject")
        end = conn.expect(SCSI_RESPONSE)
        equal((end.itt, end.status), (read.itt, 2), "ITT, status of the given up task")
    conn.release()
    conn.ping()
    target.check_innocent("with much data kept")


# R-Data

def up_to_response(conn):
    """The PDUs up to a SCSI Response."""
    pdus = [conn.recv()]
    while pdus[-1].opcode != SCSI_RESPONSE:
        pdus.append(conn.recv())
    return pdus


@case("R-Data SNACK: all again, then the status with the SNACK Tag and the same StatSN",
      rfc="11.16.3")
def r_data(target):
    conn, data, read, pdus = kept_read(target, 0x330)
    r_data_snack(conn, read, 0x7a67)
    again = up_to_response(conn)
    equal(data_of(again), data, "data")
    equal([p.datasn for p in again[:-1]], list(range(len(again) - 1)), "DataSN")
    equal((again[-1].itt, again[-1].snack_tag, again[-1].statsn, again[-1].status),
          (read.itt, 0x7a67, pdus[-1].statsn, 0), "ITT, SNACK Tag, StatSN, status")
    done(conn)


def declare_segment(conn, length):
    """MaxRecvDataSegmentLength may be declared anew at any time (13.12)."""
    pairs, _ = conn.text([("MaxRecvDataSegmentLength", length)])
    check(dict(pairs).get("MaxRecvDataSegmentLength") not in ("Reject", "NotUnderstood"),
          f"the new length is not taken: {pairs}")
    conn.max_recv = length


@case("R-Data SNACK with another MaxRecvDataSegmentLength: {}", [
    ("a smaller one", 512), ("a larger one", 4096), ("one that does not divide the data", 1000)],
      rfc="11.16.3")
def r_data_resegmented(target, length):
    conn, data, read, pdus = kept_read(target, 0x331)
    declare_segment(conn, length)
    r_data_snack(conn, read, 0x1001)
    again = up_to_response(conn)
    for pdu in again:
        check(pdu.dsl <= length, f"Data-In of {pdu.dsl} bytes")
    equal(data_of(again), data, "data")
    equal([p.datasn for p in again[:-1]], list(range(len(again) - 1)), "DataSN")
    equal((again[-1].snack_tag, again[-1].statsn), (0x1001, pdus[-1].statsn), "Tag, StatSN")
    equal(again[-1].expdatasn, len(again) - 1, "ExpDataSN of the SCSI Response")
    done(conn)


@case("R-Data SNACK twice: the last SNACK Tag counts, a Status SNACK brings it, too",
      rfc="11.16.3")
def r_data_twice(target):
    conn, _, read, pdus = kept_read(target, 0x332)
    for tag in (0x2001, 0x2002):
        r_data_snack(conn, read, tag)
        last = up_to_response(conn)[-1]
        equal((last.snack_tag, last.statsn), (tag, pdus[-1].statsn), "Tag, StatSN")
    status_snack(conn, last.statsn, 1)
    again = conn.expect(SCSI_RESPONSE)
    equal((again.snack_tag, again.statsn), (0x2002, last.statsn), "Tag, StatSN of the status")
    done(conn)


@case("R-Data SNACK with {}: Reject", [
    ("BegRun 1", 0x51, 1, 0), ("RunLength 1", 0x51, 0, 1), ("SNACK Tag 0", 0, 0, 0),
    ("SNACK Tag 0xffffffff", 0xffffffff, 0, 0)], rfc="11.16.5", needs="riser")
def r_data_fields(target, tag, begin, run):
    conn, _, read, _ = kept_read(target, 0x333)
    bad = r_data_snack(conn, read, tag, begin, run)
    reject = conn.expect(REJECT)
    equal(reject.data[:48], bad.header(), "header in the Reject")
    check(reject.reason in (0x03, 0x04, 0x09), f"reason {reject.reason:#x}")
    if reject.reason != SNACK_REJECT:
        done(conn)


# DataACK

def long_read(conn, blocks=LARGE, answer=True):
    """A read of many bursts; returns its PDUs, the A bits answered."""
    read = start_read(conn, LBA, blocks)
    pdus = []
    while not pdus or not has_status(pdus[-1]):
        pdu = conn.recv()
        equal(pdu.itt, read.itt, f"ITT of {pdu}")
        pdus.append(pdu)
        if answer and pdu.opcode == DATA_IN and pdu.flags & ACKNOWLEDGE and not has_status(pdu):
            data_ack(conn, pdu)
    return pdus


def open_large(target, level=1, **keys):
    return open_one(target, level, MaxRecvDataSegmentLength=65536, MaxBurstLength=262144, **keys)


@case("13.2 DataACK: the A bit comes no more often than MaxBurstLength allows, at {}", [
    ("level 1", 1), ("level 2", 2)], rfc="11.7.2")
def a_bit(target, level):
    conn = open_large(target, level)
    data = written(conn, 0x340, LARGE)
    pdus = long_read(conn)
    equal(data_of(pdus), data, "data")
    burst, since = conn.limit("MaxBurstLength"), 0
    ins = [p for p in pdus if p.opcode == DATA_IN]
    for pdu in ins:
        since += pdu.dsl
        if pdu.flags & ACKNOWLEDGE:
            check(since >= burst or pdu is ins[-1], f"A bit after {since} bytes")
            check(pdu.ttt != 0xffffffff, "an A bit without a TTT")
            since = 0
    conn.ping()


@case("10.2 the A bit is never set at level 0", rfc="11.7.2")
def a_bit_level_0(target):
    conn = open_large(target, 0)
    data = written(conn, 0x341, LARGE)
    pdus = long_read(conn)
    equal(data_of(pdus), data, "data")
    check(not any(p.opcode == DATA_IN and p.flags & ACKNOWLEDGE for p in pdus), "an A bit")


def first_a_bit(conn):
    """A long read up to its first A bit that is not its end; Skip when none comes."""
    read = start_read(conn, LBA, LARGE)
    pdus = []
    while True:
        pdu = conn.recv()
        pdus.append(pdu)
        if has_status(pdu):
            raise Skip("the target asks for no DataACK in a read of 4 MiB")
        if pdu.flags & ACKNOWLEDGE:
            return read, pdus


def begun_read(target, stamp):
    """The same on a new connection, of data that is written before."""
    conn = open_large(target)
    data = written(conn, stamp, LARGE)
    return conn, data, *first_a_bit(conn)


@case("13.2 Data SNACK before the DataACK, DataACK when the hole is filled", rfc="11.16.2")
def hole_then_ack(target):
    conn, data, read, pdus = begun_read(target, 0x342)
    data_snack(conn, read, 1, 2)
    again = []
    while len(again) < 2:
        pdu = conn.expect(DATA_IN)
        if pdu.datasn < pdus[-1].datasn:
            again.append(pdu)
        else:
            pdus.append(pdu)
    for pdu, first in zip(again, pdus[1:3]):
        same(pdu, first)
    data_ack(conn, [p for p in pdus if p.flags & ACKNOWLEDGE][-1])
    outcome = finish(conn, read, got=data_of(pdus)).good()
    check(bytes(outcome.read) == data, "the data differs")
    conn.ping()


@case("13.2 Data SNACK for what a DataACK has acknowledged: Reject 0x04", rfc="11.16.2")
def snack_behind_ack(target):
    conn, data, read, pdus = begun_read(target, 0x343)
    data_ack(conn, pdus[-1])
    bad = data_snack(conn, read, 0, 1)
    while True:
        pdu = conn.recv()
        if pdu.opcode == REJECT:
            break
        check(pdu.datasn, f"acknowledged data again: {pdu}")
        pdus.append(pdu)
        if pdu.flags & ACKNOWLEDGE and not has_status(pdu):
            data_ack(conn, pdu)
    equal((pdu.reason, pdu.data[:48]), (PROTOCOL_ERROR, bad.header()), "reason, header")
    if not has_status(pdus[-1]):
        check(fetch(conn, read, data_of(pdus)) == data, "the data differs")
    conn.ping()


@case("13.2 R-Data SNACK behind a DataACK: again from what is not acknowledged", rfc="11.16.3")
def r_data_behind_ack(target):
    conn = open_large(target)
    data = written(conn, 0x344, LARGE)
    conn.ping()
    conn.hold()
    read, pdus = first_a_bit(conn)
    acknowledged = end = 0
    while not has_status(pdus[-1]):
        if pdus[-1].flags & ACKNOWLEDGE:
            acknowledged, end = pdus[-1].datasn + 1, pdus[-1].offset + pdus[-1].dsl
            data_ack(conn, pdus[-1])
        pdus.append(conn.recv())
    r_data_snack(conn, read, 0x3001)
    again = up_to_response(conn)
    equal(again[-1].snack_tag, 0x3001, "SNACK Tag")
    if len(again) > 1:
        equal((again[0].datasn, again[0].offset), (acknowledged, end), "DataSN, offset")
    check(data_of(pdus)[:end] + data_of(again)[end:] == data, "the data differs")
    done(conn)


@case("DataACK that nobody asked for: Reject 0x08", rfc="11.17.1")
def ack_unasked(target):
    conn = open_one(target)
    conn.expect_reject(INVALID_DATA_ACK, snack(conn, 2, 1, tag=0x1234))
    conn.ping()


@case("DataACK with {}: Reject, the read goes on", [
    ("another TTT", lambda c, p: snack(c, 2, p.datasn + 1, tag=p.ttt ^ 0x5a5a, lun=p.lun)),
    ("a BegRun that was not sent", lambda c, p: data_ack(c, p, p.datasn + 1000))],
      rfc="11.16.6")
def ack_wrong(target, send):
    conn, data, read, pdus = begun_read(target, 0x345)
    bad = send(conn, pdus[-1])
    while True:
        pdu = conn.recv()
        if pdu.opcode == REJECT:
            break
        pdus.append(pdu)
        check(not has_status(pdu), "no Reject")
    equal(pdu.data[:48], bad.header(), "header in the Reject")
    check(pdu.reason in (INVALID_DATA_ACK, PROTOCOL_ERROR, 0x09), f"reason {pdu.reason:#x}")
    data_ack(conn, pdus[-1] if pdus[-1].flags & ACKNOWLEDGE else
             [p for p in pdus if p.flags & ACKNOWLEDGE][-1])
    check(fetch(conn, read, data_of(pdus)) == data, "the data differs")
    conn.ping()


@case("DataACK {}: taken or rejected, the read goes on", [("twice", 0), ("with a RunLength", 1)],
      rfc="11.16.2")
def ack_odd(target, run):
    conn, data, read, pdus = begun_read(target, 0x346)
    data_ack(conn, pdus[-1], run=run)
    data_ack(conn, pdus[-1])
    check(fetch(conn, read, data_of(pdus)) == data, "the data differs")
