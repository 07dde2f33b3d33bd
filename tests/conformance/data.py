# SPDX-License-Identifier: BSD-2-Clause
"""Data in both directions: immediate, unsolicited, solicited, bursts, outstanding R2Ts,
segment limits and residuals: the titles 6, 8, 10, 11 and 12 of UNH-IOL's full feature phase."""

from initiator import BLOCK, inquiry, pattern, read10, write10
from iscsi import DATA_IN
from suite import Skip, case
from tap import check, equal

GROUP = "data"

FIRST, BURST = 8192, 16384
LENGTHS = (1, 8, FIRST // BLOCK - 1, FIRST // BLOCK, FIRST // BLOCK + 1, 5 * BURST // BLOCK + 3)


@case("writes of all lengths with InitialR2T={}", [
    (f"{r2t}, ImmediateData={immediate}", r2t, immediate)
    for r2t in ("Yes", "No") for immediate in ("Yes", "No")], rfc="4.2.5.2")
def matrix(target, initial_r2t, immediate):
    conn = target.login(InitialR2T=initial_r2t, ImmediateData=immediate, FirstBurstLength=FIRST,
                        MaxBurstLength=BURST)
    for number, blocks in enumerate(LENGTHS):
        for chunk in (1024, 8192):
            data = pattern(blocks, number << 16 | chunk)
            solicited = len(data) - conn.unsolicited(len(data))[1]
            done = conn.write(2000, data, chunk=chunk).good().residual()
            equal(sum(r.desired for r in done.r2ts), solicited, "bytes asked for")
            check(len(done.r2ts) == -(-solicited // BURST), f"{len(done.r2ts)} R2Ts")
            equal(conn.read(2000, blocks), data, f"{blocks} blocks")


def need_unsolicited(conn):
    if conn.says("InitialR2T"):
        raise Skip("the target negotiates InitialR2T=Yes")


@case("unsolicited data in many small Data-Out PDUs", rfc="13.14")
def many_unsolicited(target):
    conn = target.login(ImmediateData="No", FirstBurstLength=65536)
    need_unsolicited(conn)
    data = pattern(128, 0x5555)
    pdus = conn.write_pdus(2200, data, chunk=500)
    equal(len(pdus), 1 + -(-65536 // 500), "PDUs")
    conn.send(*pdus)
    conn.complete(pdus[0]).good()
    equal(conn.read(2200, 128), data, "blocks")


@case("two writes whose unsolicited Data-Outs are mixed", rfc="4.2.5.2")
def mixed_unsolicited(target):
    conn = target.login(ImmediateData="No")
    need_unsolicited(conn)
    one, two = pattern(16, 0x111), pattern(16, 0x222)
    first, second = conn.write_pdus(2400, one, chunk=1024), conn.write_pdus(2500, two, chunk=1024)
    conn.send(*[pdu for pair in zip(first, second) for pdu in pair])
    results = {conn.recv().itt for _ in range(2)}
    equal(results, {first[0].itt, second[0].itt}, "answered writes")
    equal((conn.read(2400, 16), conn.read(2500, 16)), (one, two), "blocks")


@case("MaxOutstandingR2T={}", [(n, n) for n in (1, 2, 16)], rfc="13.17")
def outstanding(target, most):
    conn = target.login(InitialR2T="Yes", ImmediateData="No", MaxBurstLength=BURST,
                        MaxOutstandingR2T=most)
    most = conn.limit("MaxOutstandingR2T")
    data = pattern(16 * BURST // BLOCK, most)
    write = conn.send(conn.command_pdu(write10(3000, len(data) // BLOCK), write=len(data)))
    waiting, asked, peak, number = [], 0, 0, 0
    while waiting or asked < len(data):
        while asked < len(data) and len(waiting) < most:
            r2t = conn.expect_r2t(write, number)
            equal(r2t.offset, asked, "offset of the R2T")
            waiting.append(r2t)
            number, asked = number + 1, asked + r2t.desired
        # One R2T more than agreed would come before the echo of a ping.
        conn.ping()
        peak = max(peak, len(waiting))
        conn.answer_r2t(write, waiting.pop(0), data, chunk=5000)
    equal(peak, most, "R2Ts outstanding at once")
    conn.complete(write).good()
    equal(conn.read(3000, len(data) // BLOCK), data, "blocks")


@case("MaxOutstandingR2T=16: bursts answered together, then the status", rfc="13.17")
def outstanding_together(target):
    conn = target.login(InitialR2T="Yes", ImmediateData="No", MaxBurstLength=BURST,
                        MaxOutstandingR2T=16)
    data = pattern(40 * BURST // BLOCK, 0x40)
    done = conn.write(3000, data).good()
    equal(len(done.r2ts), 40, "R2Ts")
    equal(conn.read(3000, len(data) // BLOCK), data, "blocks")


@case("many writes wait for their data side by side", rfc="4.2.5.2")
def many_writes(target):
    conn = target.login(InitialR2T="Yes", ImmediateData="No")
    pending = [conn.solicited_write(4000 + 8 * i, 8) for i in range(32)]
    for number, (write, r2t) in reversed(list(enumerate(pending))):
        conn.answer_r2t(write, r2t, pattern(8, number))
    done = {}
    while len(done) < len(pending):
        pdu = conn.recv()
        done[pdu.itt] = pdu.status
    equal(done, {write.itt: 0 for write, _ in pending}, "status by ITT")
    for number in range(32):
        equal(conn.read(4000 + 8 * number, 8), pattern(8, number), f"blocks of write {number}")


@case("Data-In keeps to MaxRecvDataSegmentLength {} and F to MaxBurstLength", [
    (size, size) for size in (512, 1000, 8192)], rfc="11.7.1")
def data_in_bursts(target, size):
    conn = target.login(MaxRecvDataSegmentLength=size, MaxBurstLength=BURST, FirstBurstLength=FIRST)
    data = pattern(200, 0xdada)
    conn.write(5000, data).good()
    command = conn.send(conn.command_pdu(read10(5000, 200), read=len(data)))
    got, burst, number = b"", 0, 0
    while len(got) < len(data):
        pdu = conn.expect(DATA_IN)
        equal((pdu.itt, pdu.datasn, pdu.offset), (command.itt, number, len(got)), "Data-In")
        check(0 < pdu.dsl <= size, f"Data-In of {pdu.dsl} bytes")
        got, burst, number = got + pdu.data, burst + pdu.dsl, number + 1
        check(burst <= BURST, f"{burst} bytes without F")
        burst = 0 if pdu.final else burst
    equal(burst, 0, "bytes after the last F")
    equal(got, data, "data")
    if not pdu.flags & 1:
        conn.complete(command).good()
    conn.resync()


@case("a solicited burst may come in Data-Outs of any length", rfc="11.7.7")
def odd_lengths(target):
    conn = target.login(InitialR2T="Yes", ImmediateData="No")
    data = pattern(16, 0x0dd)
    write, r2t = conn.solicited_write(5500, 16)
    conn.answer_r2t(write, r2t, data, chunk=333)
    conn.complete(write).good()
    equal(conn.read(5500, 16), data, "blocks")


@case("residual: a READ that moves less than expected", rfc="11.4.5.1")
def underflow(target):
    conn = target.login()
    done = conn.scsi(read10(0, 2), read=4096).good().residual(underflow=4096 - 1024)
    equal(len(done.data), 1024, "bytes")


@case("residual: a READ that has more than expected", rfc="11.4.5.1")
def overflow(target):
    conn = target.login()
    done = conn.scsi(read10(0, 4), read=512).good().residual(overflow=2048 - 512)
    equal(len(done.data), 512, "bytes")


@case("residual: INQUIRY shorter than the allocation length", rfc="11.4.5.1")
def inquiry_residual(target):
    conn = target.login()
    length = 5 + conn.scsi(inquiry(5), read=5).good().residual().data[4]
    done = conn.scsi(inquiry(252), read=252).good()
    equal(len(done.data), length, "bytes of INQUIRY data")
    done.residual(underflow=252 - length)


@case("no R2T comes for a write that brought all its data", rfc="11.8")
def no_surplus_r2t(target):
    conn = target.login()
    for pdu in conn.write_pdus(5700, pattern(8, 7)):
        conn.send(pdu)
    conn.complete(pdu).good()
    conn.resync()


@case("a pipeline of 64 reads and writes is answered in full", rfc="4.2.2.1")
def pipeline(target):
    conn = target.login()
    commands = []
    for number in range(32):
        commands += conn.write_pdus(6000 + 8 * number, pattern(8, number))
        commands.append(conn.command_pdu(read10(6500 + 8 * number, 8), read=8 * BLOCK))
    conn.send(*commands)
    left = {pdu.itt: 0 for pdu in commands}
    while left:
        pdu = conn.recv()
        check(pdu.itt in left, f"no such task: {pdu}")
        if pdu.opcode == DATA_IN:
            left[pdu.itt] += pdu.dsl
        if pdu.opcode != DATA_IN or pdu.flags & 1:
            equal(pdu.status, 0, "status")
            check(left.pop(pdu.itt) in (0, 8 * BLOCK), "length of the data")
    for number in range(32):
        equal(conn.read(6000 + 8 * number, 8), pattern(8, number), f"blocks of write {number}")
