# SPDX-License-Identifier: BSD-2-Clause
"""Header and data digests, right ones and wrong ones: rows G1 to G6."""

from demands import failed
from initiator import pattern, write10
from iscsi import CRC_ERROR, DIGEST_ERROR, INVALID_OPCODE, crc32c, digest, extended_cdb
from suite import case
from tap import check, equal
from target import blocks_of

GROUP = "digest"
NEEDS = "digests"

DIGESTS = [(f"header {h}, data {d}", h, d) for h, d in (
    ("None", "None"), ("CRC32C", "None"), ("None", "CRC32C"), ("CRC32C", "CRC32C"))]


def both(target, **keys):
    return target.login(HeaderDigest="CRC32C", DataDigest="CRC32C", **keys)


def spoil_data(conn, pdu):
    """The PDU with its data digest wrong by one bit."""
    wire = bytearray(conn.wire(pdu))
    wire[-1] ^= 0x80
    return bytes(wire)


@case("G6 the CRC32C of this test is the one of RFC 7143 appendix A", rfc="13.1")
def vectors(_):
    ramp = bytes(range(32))
    equal(crc32c(bytes(32)), 0x8a9136aa, "32 times 00")
    equal(crc32c(b"\xff" * 32), 0x62a8ab43, "32 times ff")
    equal(crc32c(ramp), 0x46dd794e, "00 to 1f")
    equal(crc32c(ramp[::-1]), 0x113fdb5c, "1f to 00")
    read = bytearray(48)
    for offset, value in ((0, 0x01), (1, 0xc0), (16, 0x14), (22, 0x04), (27, 0x14), (31, 0x18),
                          (32, 0x28), (40, 0x02)):
        read[offset] = value
    equal(crc32c(read), 0xd9963a56, "a READ(10) command PDU")
    equal(digest(bytes(32)), b"\xaa\x36\x91\x8a", "byte order on the wire")


@case("digests: {}: pings and data in both directions", DIGESTS, rfc="13.1")
def data_both_ways(target, header, data_digest):
    conn = target.login(HeaderDigest=header, DataDigest=data_digest, FirstBurstLength=8192,
                        MaxBurstLength=16384)
    equal((conn.keys["HeaderDigest"], conn.keys["DataDigest"]), (header, data_digest), "agreed")
    data = pattern(200, 0xd1)
    conn.write(1000, data, chunk=3000).good()
    equal(conn.read(1000, 200), data, "blocks")
    conn.ping()
    conn.ping(b"abc")


@case("digests: every length of padding, pad bytes not zero (G6)", rfc="11.2.3")
def padding_is_covered(target):
    conn = both(target)
    for length in range(0, 9):
        sent = conn.send(conn.ping_pdu(b"x" * length, pad=b"\xee"))
        answer = conn.recv()
        equal((answer.itt, bytes(answer.data)), (sent.itt, b"x" * length), "echo")


@case("digests: the header digest covers the AHS (G6)", rfc="11.2.3")
def ahs_is_covered(target):
    conn = both(target)
    cdb = b"\x7f" + bytes(6) + b"\x18\x7f\xff" + bytes(22)
    conn.scsi(cdb, ahs=extended_cdb(cdb)).condition(INVALID_OPCODE)
    conn.resync()


@case("G1 wrong header digest on {}: the connection ends", [
    ("a NOP-Out", lambda c: c.ping_pdu(b"data")), ("a command", lambda c: c.command_pdu(bytes(6))),
    ("a command with AHS", lambda c: c.command_pdu(b"\x7f", ahs=extended_cdb(bytes(32)))),
    ("a Data-Out nobody waits for", lambda c: c.data_out_pdu(c.ping_pdu(), b"data", 0))], rfc="7.8")
def wrong_header(target, build):
    conn = both(target)
    pdu = build(conn)
    wire = bytearray(conn.wire(pdu))
    wire[48 + len(pdu.ahs)] ^= 1
    conn.send_raw(wire)
    conn.expect_closed()


@case("G1 a length changed on its way is not believed", rfc="7.8")
def wrong_length(target):
    conn = both(target)
    wire = bytearray(conn.wire(conn.ping_pdu(b"data")))
    wire[5:8] = b"\x03\xff\xff"
    conn.send_raw(wire)
    conn.expect_closed()


@case("G2 wrong data digest on a Data-Out: Reject, then CHECK CONDITION after the burst", rfc="7.8")
def wrong_data_out(target):
    conn = both(target, InitialR2T="Yes", ImmediateData="No")
    before = blocks_of(target, 1200, 8)
    data = pattern(8, 0xbad)
    write, r2t = conn.solicited_write(1200, 8)
    parts = conn.burst(write, data, 0, len(data), r2t.ttt, chunk=1024)
    conn.send_raw(conn.wire(parts[0]) + spoil_data(conn, parts[1]))
    conn.expect_reject(DIGEST_ERROR, parts[1])
    # No status before the F bit: the burst is still on its way.
    conn.resync()
    conn.send(*parts[2:])
    failed(target, conn, write, data, CRC_ERROR)
    equal(blocks_of(target, 1200, 8), before, "blocks of the failed write")


@case("G2 wrong data digest on the last Data-Out", rfc="7.8")
def wrong_last_data_out(target):
    conn = both(target, InitialR2T="Yes", ImmediateData="No")
    data = pattern(8, 0xbad)
    write, r2t = conn.solicited_write(1200, 8)
    parts = conn.burst(write, data, 0, len(data), r2t.ttt, chunk=1024)
    conn.send_raw(b"".join(map(conn.wire, parts[:-1])) + spoil_data(conn, parts[-1]))
    conn.expect_reject(DIGEST_ERROR, parts[-1])
    failed(target, conn, write, data, CRC_ERROR)
    conn.resync()


@case("G3 wrong data digest on immediate data: Reject, the command never was", rfc="7.8")
def wrong_immediate(target):
    conn = both(target)
    data = pattern(8, 0x63)
    write = conn.command_pdu(write10(1300, 8), write=len(data), data=data)
    conn.send_raw(spoil_data(conn, write))
    reject = conn.expect_reject(DIGEST_ERROR, write)
    equal(reject.expcmdsn, write.cmdsn, "ExpCmdSN does not advance")
    conn.send(write)
    conn.complete(write, data).good()
    equal(conn.read(1300, 8), data, "blocks after the command was sent again")


@case("G4 wrong data digest on {}: Reject, the connection stays", [
    ("a NOP-Out", lambda c: c.ping_pdu(b"data")),
    ("an ordered NOP-Out", lambda c: c.ping_pdu(b"data", immediate=False)),
    ("a Text Request", lambda c: c.text_pdu([("SendTargets", "")]))], rfc="7.8")
def wrong_other(target, build):
    conn = both(target)
    pdu = build(conn)
    conn.send_raw(spoil_data(conn, pdu))
    conn.expect_reject(DIGEST_ERROR, pdu)
    conn.resync()
    conn.ready().good()


@case("G5 a header digest left out: the connection ends", rfc="7.8")
def missing_digest(target):
    conn = both(target)
    conn.send_raw(conn.ping_pdu().wire() + conn.ping_pdu().wire())
    conn.expect_closed()


@case("G5 a header digest nobody agreed on: the connection ends", rfc="7.8")
def surplus_digest(target):
    conn = target.login()
    # The four bytes too many are the start of the next header: take a PDU whose
    # digest begins with an opcode that no initiator may send.
    while True:
        ping = conn.ping_pdu()
        if digest(ping.wire())[0] & 0x20:
            break
    wire = ping.wire(header_digest=True) + bytes(44)
    conn.send_raw(wire[:50])
    equal(conn.recv().itt, ping.itt, "the PDU itself is whole")
    conn.send_raw(wire[50:])
    conn.expect_closed()


@case("wrong digests end a write without harm to its neighbour in the same session", rfc="7.8")
def neighbours(target):
    conn = both(target, InitialR2T="Yes", ImmediateData="No")
    good, bad = pattern(8, 1), pattern(8, 2)
    first, first_r2t = conn.solicited_write(1400, 8)
    second, second_r2t = conn.solicited_write(1408, 8)
    spoilt = conn.data_out_pdu(second, bad, 0, second_r2t.ttt)
    conn.send_raw(spoil_data(conn, spoilt))
    conn.expect_reject(DIGEST_ERROR, spoilt)
    conn.complete(second).condition(CRC_ERROR)
    conn.answer_r2t(first, first_r2t, good)
    conn.complete(first, good).good()
    check(conn.read(1400, 8) == good, "the good write is not on the disk")
