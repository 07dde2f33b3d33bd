# SPDX-License-Identifier: BSD-2-Clause
"""The fields of the SCSI Command and of what answers it: flags, attributes, lengths, CDB and
AHS, residuals, status with sense: the title 16 of UNH-IOL's full feature phase."""

from demands import is_riser, own, strange
from initiator import BLOCK, Result, inquiry, pattern, read10, report_luns, write10
from iscsi import (CHECK_CONDITION, DATA_IN, GOOD, INVALID_CDB_FIELD, INVALID_FIELD,
                   INVALID_OPCODE, NO_TAG, R2T, REJECT, SCSI_RESPONSE, Sense, extended_cdb)
from suite import Skip, case
from tap import check, equal

GROUP = "command"
OUT_OF_RANGE = (5, 0x21, 0x00)
SIMPLE, ORDERED, HEAD = 1, 2, 3
FAR = b"\x28\0" + b"\xff\xff\xff\xf0" + b"\0\0\1\0"
CONTROL_PAGE = bytes([0x1a, 8, 0x0a, 0, 255, 0])


def with_attribute(conn, attribute, cdb=bytes(6), **how):
    pdu = conn.command_pdu(cdb, **how)
    pdu.flags = pdu.flags & ~7 | attribute
    return conn.complete(conn.send(pdu))


# Flags and attributes

@case("16.1 task attribute {} is taken", [
    ("untagged", 0), ("simple", SIMPLE), ("ordered", ORDERED), ("head of queue", HEAD)],
      rfc="11.3.1")
def attributes(target, attribute):
    conn = target.login()
    with_attribute(conn, attribute).good()
    equal(len(with_attribute(conn, attribute, read10(0, 2), read=1024).good().data), 1024, "bytes")


@case("16.1 the reserved task attribute {}: an answer, the session stays", [
    (n, n) for n in (5, 6, 7)], rfc="11.3.1")
def reserved_attributes(target, attribute):
    conn = target.login()
    pdu = conn.command_pdu(bytes(6), immediate=True)
    pdu.flags = pdu.flags & ~7 | attribute
    conn.send(pdu)
    check(conn.recv().opcode in (SCSI_RESPONSE, REJECT), "neither a status nor a Reject")
    conn.resync()
    conn.ready().good()


@case("16.1 F=0 on a command {}", [
    ("without data", lambda c: c.command_pdu(bytes(6), final=False, immediate=True)),
    ("that reads", lambda c: c.command_pdu(read10(0, 1), read=512, final=False, immediate=True))],
      rfc="11.3.1")
def unfinal(target, build):
    conn = target.login()
    strange(target, conn, conn.send(build(conn)), INVALID_FIELD)


@case("16.1 R=1, W=0, expected length 0: GOOD, the rest is overflow", rfc="11.3.4")
def read_nothing(target):
    conn = target.login()
    conn.complete(conn.send(conn.command_pdu(read10(0, 1), flags=0xc1))).good().residual(
        overflow=BLOCK)


@case("16.1 a command with data for a CDB without any: GOOD, all of it is underflow",
      rfc="11.4.5.1")
def data_for_nothing(target):
    conn = target.login()
    done = conn.scsi(bytes(6), read=4096).good()
    equal(done.data, b"", "data")
    done.residual(underflow=4096)


@case("16.1 {} is answered, and nothing moves the wrong way", [
    ("a READ with W=1", read10(16, 1), False), ("a WRITE with R=1", write10(16, 1), True)],
      rfc="11.3.1")
def wrong_direction(target, cdb, reads):
    conn = target.login(InitialR2T="Yes", ImmediateData="No")
    before = conn.read(16, 1)
    how = {"read": BLOCK} if reads else {"write": BLOCK}
    command = conn.send(conn.command_pdu(cdb, **how))
    done = conn.complete(command, pattern(1, 0xbad))
    check(done.status in (GOOD, CHECK_CONDITION), f"status {done.status:#04x}")
    equal(conn.read(16, 1), before, "block")


@case("16.1 an expected length without a direction is rejected", rfc="11.3.4")
def directionless(target):
    conn = target.login()
    command = conn.send(conn.command_pdu(bytes(6), edtl=512, immediate=True))
    strange(target, conn, command, INVALID_FIELD)


@case("16.1 both directions at once: an answer, the session stays", rfc="11.3.1")
def bidirectional(target):
    conn = target.login()
    command = conn.command_pdu(read10(0, 1), read=512, immediate=True)
    command.flags |= 0x20
    conn.send(command)
    pdu = conn.recv()
    if is_riser(target):
        Result(pdu, b"", []).condition(INVALID_CDB_FIELD)
    if pdu.opcode == R2T and not is_riser(target):
        return  # it does bidirectional commands
    while pdu.opcode == DATA_IN and not pdu.flags & 1:
        pdu = conn.recv()
    check(pdu.opcode in (SCSI_RESPONSE, DATA_IN, REJECT), f"no answer to a command: {pdu}")
    conn.resync()


@case("16.2 immediate data on a READ is refused, the session stays", rfc="11.3.6")
def data_on_read(target):
    conn = target.login()
    command = conn.send(conn.command_pdu(read10(0, 1), read=512, data=bytes(512), immediate=True))
    strange(target, conn, command, INVALID_FIELD)


# CDB and AHS

@case("16.3 an unknown opcode: CHECK CONDITION 5/20/00, all of the length is residual",
      rfc="11.3.5")
def unknown_opcode(target):
    conn = target.login()
    conn.scsi(b"\xff" + bytes(5)).condition(INVALID_OPCODE)
    done = conn.scsi(b"\xff" + bytes(5), read=1024).condition(INVALID_OPCODE)
    done.residual(underflow=1024)


@case("16.3 bytes behind a short CDB do not count", rfc="11.3.5")
def noise_behind_cdb(target):
    conn = target.login()
    conn.scsi(bytes(6) + b"\xff" * 10).good()
    equal(len(conn.scsi(read10(0, 1) + b"\xff" * 6, read=BLOCK).good().data), BLOCK, "bytes")


@case("16.4 AHS: a CDB of {} bytes is understood as one", [(n, n) for n in (17, 20, 32)],
      rfc="11.2.2.3")
def long_cdb(target, length):
    conn = target.login()
    cdb = (b"\x7f" + bytes(6) + bytes([length - 8]) + b"\x7f\xff" + bytes(22))[:length]
    done = conn.scsi(cdb, ahs=extended_cdb(cdb))
    equal(done.status, CHECK_CONDITION, "status")
    check(done.sense in (INVALID_OPCODE, INVALID_CDB_FIELD), f"sense {done.sense}")
    conn.resync()


@case("16.4 AHS: READ(32) on a disk with protection information of type 2",
      rfc="11.2.2.3", needs="own")
def read32(_):
    with own(disks=("ram:16M,pi=2", "ram:16M")) as mine:
        conn = mine.login()
        cdb = (b"\x7f" + bytes(6) + b"\x18\0\x09" + bytes(2) + (3).to_bytes(8, "big") +
               (3).to_bytes(4, "big") + bytes(4) + (2).to_bytes(4, "big"))
        data = pattern(8, 0x32)
        conn.write(0, data).good()
        done = conn.scsi(cdb, ahs=extended_cdb(cdb), read=2 * BLOCK).good()
        equal(done.data, data[3 * BLOCK:5 * BLOCK], "data")


@case("16.4 AHS: {}: Reject, the session stays", [
    ("a type nobody knows", lambda c: c.command_pdu(bytes(6), ahs=b"\0\5\x3f\0" + bytes(4))),
    ("two extended CDBs", lambda c: c.command_pdu(b"\x7f", ahs=extended_cdb(bytes(32)) * 2))],
      rfc="11.2.2", needs="riser")
def strange_ahs(target, build):
    conn = target.login()
    pdu = build(conn)
    pdu.byte0 |= 0x40
    strange(target, conn, conn.send(pdu), INVALID_FIELD)


# LUN

@case("16.5 a LUN that does not exist: CHECK CONDITION 5/25/00", rfc="11.2.1.7")
def no_lun(target):
    conn = target.login()
    conn.ready(200).condition((5, 0x25, 0))
    conn.scsi(read10(0, 1), 200, read=512).condition((5, 0x25, 0)).residual(underflow=512)


@case("16.5 REPORT LUNS on any LUN names the disk", rfc="11.2.1.7")
def luns(target):
    conn = target.login()
    for lun in (target.lun, 200):
        data = conn.scsi(report_luns(4096), lun, read=4096).good().data
        found = [int.from_bytes(data[at:at + 2], "big") & 0x3fff for at in range(8, len(data), 8)]
        check(target.lun in found, f"LUNs {found}")


# Status, sense, response

@case("16.6 status with sense: SenseLength, response code, no more", rfc="11.4.7")
def sense_segment(target):
    conn = target.login()
    command = conn.send(conn.command_pdu(FAR, read=512))
    pdu = conn.expect(SCSI_RESPONSE)
    equal((pdu.itt, pdu.response, pdu.status), (command.itt, 0, CHECK_CONDITION), "ITT, response, "
          "status")
    check(pdu.dsl >= 2 + 18, f"{pdu.dsl} bytes of sense")
    equal(int.from_bytes(pdu.data[:2], "big"), pdu.dsl - 2, "SenseLength")
    sense = Sense(pdu.data)
    equal(sense.code, OUT_OF_RANGE, "sense")
    check(sense.raw[0] & 0x7f in (0x70, 0x72), f"response code {sense.raw[0]:#x}")


@case("16.6 GOOD has no sense, and no data segment", rfc="11.4.7")
def no_sense(target):
    conn = target.login()
    done = conn.ready().good()
    equal(done.pdu.dsl, 0, "DataSegmentLength")
    done.residual()


@case("16.6 flags of the SCSI Response: F, no bidirectional residual, O and U not both",
      rfc="11.4.1")
def response_flags(target):
    conn = target.login()
    for cdb, how in ((bytes(6), {}), (FAR, {"read": 512}), (inquiry(5), {"read": 200}),
                     (read10(0, 2), {"read": 512})):
        flags = conn.scsi(cdb, **how).pdu
        if flags.opcode == SCSI_RESPONSE:
            equal(flags.flags & 0x99, 0x80, "F, o, u and reserved bits")
        check(flags.flags & 6 != 6, "both O and U")


@case("16.6 a failed READ: no data, ExpDataSN 0", rfc="11.4.8")
def failed_read(target):
    conn = target.login()
    done = conn.scsi(FAR, read=4096).condition(OUT_OF_RANGE)
    equal((done.data, done.pdu.datasn), (b"", 0), "data, ExpDataSN")
    done.residual(underflow=4096)


@case("16.6 a failed WRITE: {}", [
    ("immediate data", {"ImmediateData": "Yes", "InitialR2T": "Yes"}),
    ("solicited", {"ImmediateData": "No", "InitialR2T": "Yes"}),
    ("unsolicited", {"ImmediateData": "No", "InitialR2T": "No"})], rfc="11.4.2")
def failed_write(target, keys):
    conn = target.login(**keys)
    immediate, first = conn.unsolicited(BLOCK)
    command = conn.command_pdu(b"\x2a" + FAR[1:], write=BLOCK, data=bytes(immediate),
                               final=first == immediate)
    pdus = [command]
    if first > immediate:
        pdus += conn.burst(command, bytes(BLOCK), immediate, first - immediate, NO_TAG)
    conn.send(*pdus)
    conn.complete(command, bytes(BLOCK)).condition(OUT_OF_RANGE)
    conn.resync()


@case("16.6 the ExpDataSN of a write is the number of its R2Ts", rfc="11.4.8")
def expdatasn_of_write(target):
    conn = target.login(InitialR2T="Yes", ImmediateData="No", MaxBurstLength=4096,
                        FirstBurstLength=512)
    done = conn.write(96, pattern(32, 0x66)).good()
    equal(done.pdu.datasn, len(done.r2ts), "ExpDataSN")


# Residuals

@case("16.7 residual: a READ of {}", [
    ("2 blocks, 4 expected", 2, 4 * BLOCK, {"underflow": 2 * BLOCK}),
    ("4 blocks, 1 expected", 4, BLOCK, {"overflow": 3 * BLOCK}),
    ("1 block, 511 bytes expected", 1, 511, {"overflow": 1}),
    ("1 block, 513 bytes expected", 1, 513, {"underflow": 1})], rfc="11.4.5.1")
def residual_read(target, blocks, expected, residual):
    conn = target.login()
    done = conn.scsi(read10(0, blocks), read=expected).good().residual(**residual)
    equal(len(done.data), min(blocks * BLOCK, expected), "bytes")


@case("16.7 residual: {}", [
    ("INQUIRY, allocation length over the data", inquiry(252), 252),
    ("REPORT LUNS, allocation length over the data", report_luns(4096), 4096),
    ("MODE SENSE, allocation length over the data", CONTROL_PAGE, 255)], rfc="11.4.5.1")
def residual_short(target, cdb, length):
    conn = target.login()
    done = conn.scsi(cdb, read=length).good()
    check(0 < len(done.data) < length, f"{len(done.data)} bytes")
    done.residual(underflow=length - len(done.data))


@case("16.7 residual: INQUIRY cut by its allocation length, which is expected", rfc="11.4.5.1")
def residual_none(target):
    conn = target.login()
    done = conn.scsi(inquiry(5), read=5).good()
    equal(len(done.data), 5, "bytes")
    done.residual()


# Fields of Data-In and R2T

@case("10.1 Data-In with status: F and S, StatSN taken, only GOOD without sense", rfc="11.7.3")
def phase_collapse(target):
    conn = target.login()
    before = conn.expstatsn
    command = conn.send(conn.command_pdu(read10(0, 8), read=8 * BLOCK))
    pdu = conn.expect(DATA_IN)
    while not pdu.final:
        equal(pdu.flags & 7, 0, "S, O, U before the end")
        pdu = conn.expect(DATA_IN)
    if not pdu.flags & 1:
        pdu = conn.expect(SCSI_RESPONSE)
    equal((pdu.itt, pdu.statsn, pdu.status), (command.itt, before, GOOD), "ITT, StatSN, status")


@case("10.2 A bit: no DataACK is asked for at ErrorRecoveryLevel 0", rfc="11.7.2")
def a_bit(target):
    conn = target.login(ErrorRecoveryLevel=0, MaxBurstLength=8192, FirstBurstLength=512,
                        MaxRecvDataSegmentLength=1024)
    command = conn.send(conn.command_pdu(read10(0, 256), read=256 * BLOCK))
    got = 0
    while got < 256 * BLOCK:
        pdu = conn.expect(DATA_IN)
        equal((pdu.itt, pdu.flags & 0x40), (command.itt, 0), "ITT, A bit")
        equal(pdu.ttt, NO_TAG, "TTT without A")
        got += pdu.dsl
    if not pdu.flags & 1:
        conn.expect(SCSI_RESPONSE)


@case("6.1 DataSN of Data-In starts at 0 for each command", rfc="11.7.5")
def datasn(target):
    conn = target.login(MaxRecvDataSegmentLength=512)
    for _ in range(3):
        command = conn.send(conn.command_pdu(read10(0, 8), read=8 * BLOCK))
        done = conn.complete(command).good()
        equal(len(done.data), 8 * BLOCK, "bytes")


@case("12.1 R2T: F, TTT, R2TSN from 0, offset and length one behind the other", rfc="11.8")
def r2t_fields(target):
    conn = target.login(InitialR2T="Yes", ImmediateData="No", MaxBurstLength=4096,
                        FirstBurstLength=512, MaxOutstandingR2T=1)
    data = pattern(40, 0x12)
    command = conn.send(conn.command_pdu(write10(96, 40), write=len(data)))
    asked, tags, number = 0, set(), 0
    limit = conn.limit("MaxBurstLength")
    while asked < len(data):
        r2t = conn.expect_r2t(command, number)
        equal((r2t.flags & 0x80, r2t.dsl, len(r2t.ahs)), (0x80, 0, 0), "F, DSL, AHS")
        equal(r2t.offset, asked, "offset")
        check(r2t.desired <= limit, f"{r2t.desired} bytes asked for, {limit} are the most")
        tags.add(r2t.ttt)
        number, asked = number + 1, asked + r2t.desired
        conn.answer_r2t(command, r2t, data)
    conn.complete(command).good()
    check(NO_TAG not in tags, "TTT 0xffffffff")
    equal(conn.read(96, 40), data, "blocks")


@case("12.4 R2T, parallel: several at once when MaxOutstandingR2T allows it", rfc="13.17",
      needs="parallel-r2t")
def r2t_parallel(target):
    conn = target.login(InitialR2T="Yes", ImmediateData="No", MaxBurstLength=4096,
                        FirstBurstLength=512, MaxOutstandingR2T=4)
    most = conn.limit("MaxOutstandingR2T")
    if most < 2:
        raise Skip("the target negotiates MaxOutstandingR2T=1 when asked for 4")
    data = pattern(64, 0x124)
    command = conn.send(conn.command_pdu(write10(96, 64), write=len(data)))
    r2ts = [conn.expect_r2t(command, number) for number in range(most)]
    equal(len({r2t.ttt for r2t in r2ts}), most, "different TTTs")
    for r2t in r2ts:
        conn.answer_r2t(command, r2t, data)
    done = 0
    while True:
        pdu = conn.recv()
        if pdu.opcode != R2T:
            break
        conn.answer_r2t(command, pdu, data)
        done += 1
    equal((pdu.opcode, pdu.status), (SCSI_RESPONSE, GOOD), "opcode, status")
    check(done, "no further R2T")
    equal(conn.read(96, 64), data, "blocks")
