# SPDX-License-Identifier: BSD-2-Clause
"""Recovery within a command and within a connection: commands sent again, digest errors on
every kind of PDU at every level, gaps in DataSN, unsolicited data spoilt (UNH-IOL, Error
Recovery for targets, 1.1 and 1.2 and the digest series)."""

from conn import Closed, Late
from initiator import BLOCK, pattern, write10
from iscsi import CRC_ERROR, DIGEST_ERROR, NO_TAG, NOP_IN, R2T, REJECT, SCSI_RESPONSE
from multi import group
from recovery import finish, spoilt, spoilt_header, start_read
from suite import case
from tap import Failure, check, equal

GROUP = "retry"
LBA, BLOCKS = 2000, 16
SIZE = BLOCKS * BLOCK
PART = 1024  # bytes of one Data-Out
LEVELS = [("level 0", 0), ("level 1", 1), ("level 2", 2)]
RECOVERING = LEVELS[1:]
SOLICITED = {"InitialR2T": "Yes", "ImmediateData": "No"}
UNSOLICITED = {"InitialR2T": "No", "ImmediateData": "No", "FirstBurstLength": SIZE}


def open_one(target, level, **keys):
    """A connection of this level; a case of a level that the target has not is skipped."""
    digest = "CRC32C" if "digests" in target.has else "None"
    how = {"HeaderDigest": digest, "DataDigest": digest, **keys}
    return group(target, 1, level, **how)[0]


def at_levels(levels, *rows):
    """Each row at each level: (label, level, argument...)."""
    return [(f"{label}, {name}" if label else name, level, *rest)
            for name, level in levels for label, *rest in rows]


def send_burst(conn, command, data, r2t, spoil=(), leave_out=(), chunk=PART):
    """Answers an R2T with some Data-Out PDUs spoilt and some never sent; returns those that
    were spoilt."""
    pdus = conn.burst(command, data, r2t.offset, r2t.desired, r2t.ttt, chunk)
    chosen = {n % len(pdus) for n in spoil}
    missing = {n % len(pdus) for n in leave_out}
    conn.send_raw(b"".join(spoilt(conn, pdu) if n in chosen else conn.wire(pdu)
                           for n, pdu in enumerate(pdus) if n not in missing))
    return [pdu for n, pdu in enumerate(pdus) if n in chosen]


def check_rejects(outcome, bad):
    """A Reject with its header for the first spoilt PDU; what comes behind it in the burst
    is out of order and may be discarded for that."""
    rejected = [(p.reason, p.data[:48]) for p in outcome.rejects]
    spoiled = [(DIGEST_ERROR, pdu.header()) for pdu in bad]
    equal(rejected[:1], spoiled[:1], "first Reject (reason, header)")
    check(all(one in spoiled for one in rejected), f"a Reject of a whole PDU: {rejected}")


def check_recovery_r2ts(outcome, first, ranges):
    """Each asks with the next R2TSN for what is missing, and together they ask for that."""
    equal([r2t.r2tsn for r2t in outcome.r2ts], list(range(first, first + len(outcome.r2ts))),
          "R2TSN of the recovery R2Ts")
    for begin, end in ranges:
        asked = sorted((r2t.offset, r2t.offset + r2t.desired) for r2t in outcome.r2ts)
        at = begin
        for low, high in asked:
            at = max(at, high) if low <= at else at
        check(at >= end, f"nobody asked again for bytes {begin} to {end}: {asked}")


# Retry

@case("1.1 inadvertent retry: a command that was answered is ignored, {}", LEVELS, rfc="7.2.1")
def retry_answered(target, level):
    conn = open_one(target, level)
    command = conn.command_pdu(bytes(6))
    conn.complete(conn.send(command)).good()
    conn.send(command)
    conn.ping()
    conn.ready().good()


@case("1.1 inadvertent retry: a write that waits for its data goes on, {}", LEVELS, rfc="7.2.1")
def retry_under_way(target, level):
    conn = open_one(target, level, **SOLICITED)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    conn.send(write)
    conn.ping()
    data = pattern(BLOCKS, 0x11)
    conn.answer_r2t(write, r2t, data)
    conn.complete(write).good()
    conn.ping()
    equal(conn.read(LBA, BLOCKS), data, "blocks")


@case("1.2 retry after a digest error: the write is done, once, {}", LEVELS,
      rfc="7.2.1", needs="digests")
def retry_after_digest(target, level):
    conn = open_one(target, level)
    old, new = pattern(BLOCKS, 0x120), pattern(BLOCKS, 0x121)
    conn.write(LBA, old).good()
    write = conn.command_pdu(write10(LBA, BLOCKS), write=SIZE, data=new)
    conn.send_raw(spoilt(conn, write))
    reject = conn.expect_reject(DIGEST_ERROR, write)
    equal(reject.expcmdsn, write.cmdsn, "ExpCmdSN does not advance")
    equal(target.innocent.read(LBA, BLOCKS, target.lun), old, "blocks before the retry")
    conn.send(write)
    conn.complete(write, new).good()
    conn.ping()
    equal(conn.read(LBA, BLOCKS), new, "blocks after the retry")


@case("1.2 commands behind one with a digest error wait for its retry, {}", LEVELS,
      rfc="4.2.2.1", needs="digests")
def retry_holds_others(target, level):
    conn = open_one(target, level)
    data = pattern(BLOCKS, 0x122)
    write = conn.command_pdu(write10(LBA, BLOCKS), write=SIZE, data=data)
    behind = [conn.command_pdu(bytes(6)) for _ in range(3)]
    conn.send_raw(spoilt(conn, write) + b"".join(map(conn.wire, behind)))
    conn.expect_reject(DIGEST_ERROR, write)
    equal(conn.ping().expcmdsn, write.cmdsn, "ExpCmdSN while the command is missing")
    conn.send(write)
    answered = {conn.expect(SCSI_RESPONSE).itt for _ in range(4)}
    equal(answered, {pdu.itt for pdu in [write, *behind]}, "answered commands")
    equal(conn.read(LBA, BLOCKS), data, "blocks")


@case("1.2 a command that never came is sent after the ones behind it, {}", LEVELS, rfc="7.2.1")
def retry_lost(target, level):
    conn = open_one(target, level)
    lost, behind = conn.command_pdu(bytes(6)), start_read(conn, LBA, 1)
    conn.ping()
    conn.send(lost)
    answered = {conn.recv().itt for _ in range(2)}
    equal(answered, {lost.itt, behind.itt}, "answered commands")


@case("1.2 a Text Request with a digest error is answered when sent again, {}", LEVELS,
      rfc="7.2.1", needs="digests")
def retry_text(target, level):
    conn = open_one(target, level)
    pdu = conn.text_pdu([("SendTargets", "")])
    conn.send_raw(spoilt(conn, pdu))
    conn.expect_reject(DIGEST_ERROR, pdu)
    conn.send(pdu)
    answer = conn.expect(0x24)
    equal((answer.itt, answer.expcmdsn), (pdu.itt, pdu.cmdsn + 1), "ITT, ExpCmdSN")


# Data digest errors

NON_DATA = [
    ("a NOP-Out", lambda c: c.ping_pdu(b"data")),
    ("an ordered NOP-Out", lambda c: c.ping_pdu(b"data", immediate=False)),
    ("a Text Request", lambda c: c.text_pdu([("SendTargets", "")])),
    ("a command with immediate data",
     lambda c: c.command_pdu(write10(LBA, 1), write=BLOCK, data=pattern(1, 0xbad))),
    ("an immediate command with immediate data",
     lambda c: c.command_pdu(write10(LBA, 1), write=BLOCK, data=pattern(1, 0xbad),
                             immediate=True))]


@case("data digest error on {}: Reject 0x02, the connection stays", at_levels(LEVELS, *NON_DATA),
      rfc="7.8", needs="digests")
def digest_non_data(target, level, build):
    conn = open_one(target, level)
    before = conn.read(LBA, 1)
    pdu = build(conn)
    conn.send_raw(spoilt(conn, pdu))
    conn.expect_reject(DIGEST_ERROR, pdu)
    equal(target.innocent.read(LBA, 1, target.lun), before, "the block")
    conn.resync()
    conn.ready().good()


@case("data digest error on a Data-Out at level 0: CHECK CONDITION behind the burst", rfc="7.8",
      needs="digests,riser")
def digest_level_0(target):
    conn = open_one(target, 0, **SOLICITED)
    before = conn.read(LBA, BLOCKS)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    bad = send_burst(conn, write, pattern(BLOCKS, 0xbad), r2t, spoil=[1])
    outcome = finish(conn, write)
    check_rejects(outcome, bad)
    outcome.result.condition(CRC_ERROR)
    equal(conn.read(LBA, BLOCKS), before, "blocks")


@case("data digest error on {}: recovered by a recovery R2T", at_levels(
    RECOVERING, ("the first Data-Out of a burst", [0]), ("a Data-Out inside a burst", [3]),
    ("the last Data-Out of a burst", [-1]), ("two Data-Out apart", [1, 5]),
    ("two Data-Out in a row", [2, 3]), ("every Data-Out of a burst", list(range(8)))),
      rfc="7.8", needs="digests")
def digest_solicited(target, level, spoil):
    conn = open_one(target, level, **SOLICITED)
    data = pattern(BLOCKS, 0x50 + len(spoil))
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    bad = send_burst(conn, write, data, r2t, spoil)
    outcome = finish(conn, write, data, chunk=PART).good()
    check_rejects(outcome, bad)
    check_recovery_r2ts(outcome, 1, [(pdu.offset, pdu.offset + pdu.dsl) for pdu in bad])
    conn.ping()
    equal(conn.read(LBA, BLOCKS), data, "blocks")


@case("every Data-Out with a data digest error is rejected, {}", LEVELS, rfc="7.8", needs="digests")
def digest_each_rejected(target, level):
    conn = open_one(target, level, **SOLICITED)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    bad = send_burst(conn, write, pattern(BLOCKS, 0x51), r2t, [1, 2, 6])
    outcome = finish(conn, write, pattern(BLOCKS, 0x51), chunk=PART)
    equal([(p.reason, p.data[:48]) for p in outcome.rejects],
          [(DIGEST_ERROR, pdu.header()) for pdu in bad], "Rejects (reason, header)")


@case("data digest error on {} in the second burst", at_levels(
    RECOVERING, ("the first Data-Out", [0]), ("the last Data-Out", [-1])), rfc="7.8",
      needs="digests")
def digest_second_burst(target, level, spoil):
    conn = open_one(target, level, MaxBurstLength=SIZE, **SOLICITED)
    data = pattern(3 * BLOCKS, 0x52)
    write, r2t = conn.solicited_write(LBA, 3 * BLOCKS)
    conn.answer_r2t(write, r2t, data, PART)
    second = conn.expect_r2t(write, 1)
    bad = send_burst(conn, write, data, second, spoil)
    outcome = finish(conn, write, data, chunk=PART).good()
    check_rejects(outcome, bad)
    check_recovery_r2ts(outcome, 2, [(pdu.offset, pdu.offset + pdu.dsl) for pdu in bad])
    equal(conn.read(LBA, 3 * BLOCKS), data, "blocks")


@case("data digest error on the answer to the recovery R2T, too, {}", RECOVERING,
      rfc="7.8", needs="digests")
def digest_again(target, level):
    conn = open_one(target, level, **SOLICITED)
    data = pattern(BLOCKS, 0x53)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    for number in range(2):
        bad, = send_burst(conn, write, data, r2t, spoil=[0])
        conn.expect_reject(DIGEST_ERROR, bad)
        r2t = conn.expect_r2t(write, number + 1)
        check(r2t.offset <= bad.offset < r2t.offset + r2t.desired, "the recovery R2T asks for it")
    conn.answer_r2t(write, r2t, data, PART)
    finish(conn, write, data, chunk=PART).good()
    equal(conn.read(LBA, BLOCKS), data, "blocks")


@case("digest errors without end: the command or the connection ends, nothing is written, {}",
      RECOVERING, rfc="7.8", needs="digests")
def digest_for_ever(target, level):
    conn = open_one(target, level, **SOLICITED)
    before = conn.read(LBA, BLOCKS)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    for _ in range(200):
        try:
            send_burst(conn, write, pattern(BLOCKS, 0xbad), r2t, spoil=[0])
            pdu = conn.recv()
            while pdu.opcode == REJECT:
                pdu = conn.recv()
        except Closed:
            break
        if pdu.opcode == SCSI_RESPONSE:
            check(pdu.status == 2, f"status {pdu.status:#x} of a write without its data")
            break
        equal(pdu.opcode, R2T, "opcode")
        r2t = pdu
    equal(target.innocent.read(LBA, BLOCKS, target.lun), before, "blocks")


@case("data digest error on {} of the unsolicited data", at_levels(
    RECOVERING, ("the first", [0]), ("one in the middle", [3]), ("the last", [-1]),
    ("all", list(range(8)))), rfc="7.8", needs="digests")
def digest_unsolicited(target, level, spoil):
    conn = open_one(target, level, **UNSOLICITED)
    data = pattern(BLOCKS, 0x60)
    write = conn.command_pdu(write10(LBA, BLOCKS), write=SIZE, final=False)
    parts = conn.burst(write, data, 0, SIZE, NO_TAG, PART)
    bad = {n % len(parts) for n in spoil}
    conn.send_raw(conn.wire(write) + b"".join(
        spoilt(conn, pdu) if n in bad else conn.wire(pdu) for n, pdu in enumerate(parts)))
    outcome = finish(conn, write, data, chunk=PART).good()
    check_rejects(outcome, [parts[n] for n in sorted(bad)])
    check_recovery_r2ts(outcome, 0, [(parts[n].offset, parts[n].offset + PART) for n in bad])
    equal(conn.read(LBA, BLOCKS), data, "blocks")


@case("unsolicited data spoilt in a write that goes on with R2Ts, {}", RECOVERING,
      rfc="7.8", needs="digests")
def digest_unsolicited_and_more(target, level):
    conn = open_one(target, level, **UNSOLICITED)
    data = pattern(4 * BLOCKS, 0x61)
    write = conn.command_pdu(write10(LBA, 4 * BLOCKS), write=4 * SIZE, final=False)
    parts = conn.burst(write, data, 0, SIZE, NO_TAG, PART)
    conn.send_raw(conn.wire(write) + b"".join(map(conn.wire, parts[:2]))
                  + spoilt(conn, parts[2]) + b"".join(map(conn.wire, parts[3:])))
    outcome = finish(conn, write, data, chunk=PART).good()
    check_rejects(outcome, [parts[2]])
    check_recovery_r2ts(outcome, 0, [(2 * PART, 3 * PART), (SIZE, 4 * SIZE)])
    equal(conn.read(LBA, 4 * BLOCKS), data, "blocks")


# Timeouts

@case("sequence reception timeout: {} never comes, and nothing behind it", at_levels(
    RECOVERING, ("the last Data-Out of a burst", [-1]), ("a whole burst", list(range(8)))),
      rfc="7.1.4.1", needs="riser,framing")
def sequence_timeout(target, level, leave_out):
    conn = open_one(target, level, **SOLICITED)
    data = pattern(BLOCKS, 0x6f)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    send_burst(conn, write, data, r2t, leave_out=leave_out)
    again = conn.expect(R2T, 12)
    missing = 0 if len(leave_out) > 1 else SIZE - PART
    equal((again.itt, again.r2tsn, again.offset, again.desired),
          (write.itt, 1, missing, SIZE - missing), "ITT, R2TSN, offset, length")
    conn.answer_r2t(write, again, data, PART)
    finish(conn, write, data, chunk=PART).good()
    conn.ping()
    equal(conn.read(LBA, BLOCKS), data, "blocks")


# Gaps

@case("DataSN gap: {} never comes", at_levels(
    RECOVERING, ("the first Data-Out of a burst", [0]), ("one Data-Out inside a burst", [4]),
    ("three Data-Out in a row", [2, 3, 4]), ("every second one", [0, 2, 4, 6])), rfc="7.9",
      needs="framing")
def gap(target, level, leave_out):
    conn = open_one(target, level, **SOLICITED)
    data = pattern(BLOCKS, 0x70)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    send_burst(conn, write, data, r2t, leave_out=leave_out)
    outcome = finish(conn, write, data, chunk=PART).good()
    check_recovery_r2ts(outcome, 1, [(n * PART, (n + 1) * PART) for n in leave_out])
    conn.ping()
    equal(conn.read(LBA, BLOCKS), data, "blocks")


@case("DataSN gap in the unsolicited data, {}", RECOVERING, rfc="7.9", needs="framing")
def gap_unsolicited(target, level):
    conn = open_one(target, level, **UNSOLICITED)
    data = pattern(BLOCKS, 0x71)
    write = conn.command_pdu(write10(LBA, BLOCKS), write=SIZE, final=False)
    parts = conn.burst(write, data, 0, SIZE, NO_TAG, PART)
    conn.send(write, *parts[:3], *parts[4:])
    outcome = finish(conn, write, data, chunk=PART).good()
    check_recovery_r2ts(outcome, 0, [(3 * PART, 4 * PART)])
    equal(conn.read(LBA, BLOCKS), data, "blocks")


@case("DataSN: a Data-Out that comes twice does no harm, {}", RECOVERING, rfc="7.9",
      needs="framing")
def repeated(target, level):
    conn = open_one(target, level, **SOLICITED)
    data = pattern(BLOCKS, 0x72)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    parts = conn.burst(write, data, 0, SIZE, r2t.ttt, PART)
    conn.send(*parts[:3], parts[2], *parts[3:])
    outcome = finish(conn, write, data, chunk=PART)
    if outcome.status == 0:
        equal(conn.read(LBA, BLOCKS), data, "blocks")
    else:
        outcome.result.condition(CRC_ERROR)


@case("neighbours of a write with digest errors keep their data, {}", RECOVERING,
      rfc="7.8", needs="digests")
def neighbours(target, level):
    conn = open_one(target, level, **SOLICITED)
    first, second = pattern(BLOCKS, 0x81), pattern(BLOCKS, 0x82)
    one, one_r2t = conn.solicited_write(LBA, BLOCKS)
    two, two_r2t = conn.solicited_write(LBA + BLOCKS, BLOCKS)
    bad = send_burst(conn, two, second, two_r2t, spoil=[2])
    conn.expect_reject(DIGEST_ERROR, bad[0])
    again = conn.expect_r2t(two, 1)
    conn.answer_r2t(one, one_r2t, first, PART)
    conn.complete(one).good()
    conn.answer_r2t(two, again, second, PART)
    finish(conn, two, second).good()
    equal(conn.read(LBA, 2 * BLOCKS), first + second, "blocks")


@case("ABORT TASK of a write whose burst has a hole, {}", RECOVERING, rfc="7.8", needs="digests")
def abort_with_hole(target, level):
    conn = open_one(target, level, **SOLICITED)
    before = conn.read(LBA, BLOCKS)
    write, r2t = conn.solicited_write(LBA, BLOCKS)
    bad = send_burst(conn, write, pattern(BLOCKS, 0xbad), r2t, spoil=[1])
    conn.expect_reject(DIGEST_ERROR, bad[0])
    conn.expect_r2t(write, 1)
    equal(conn.tmf(1, rtt=write.itt, refcmdsn=write.cmdsn), 0, "response")
    conn.ping()
    equal(conn.read(LBA, BLOCKS), before, "blocks")


# Header digest errors

ALL_TYPES = [
    ("a NOP-Out", lambda c: c.ping_pdu(b"data")),
    ("a command", lambda c: c.command_pdu(bytes(6))),
    ("a command with immediate data",
     lambda c: c.command_pdu(write10(LBA, 1), write=BLOCK, data=pattern(1, 0xbad))),
    ("a task management request", lambda c: c.tmf_pdu(5)),
    ("a Text Request", lambda c: c.text_pdu([("SendTargets", "")])),
    ("a Logout", lambda c: c.logout_pdu()),
    ("a Data-Out", lambda c: c.data_out_pdu(c.ping_pdu(), b"data", 0))]


@case("header digest error on {}: discarded or the connection closed, never served",
      at_levels(LEVELS, *ALL_TYPES), rfc="7.8", needs="digests")
def header_digest(target, level, build):
    conn = open_one(target, level)
    before = conn.read(LBA, 1)
    pdu = build(conn)
    conn.send_raw(spoilt_header(conn, pdu))
    ping = conn.ping_pdu()
    try:
        conn.send(ping)
        answer = conn.recv()
        equal((answer.opcode, answer.itt), (NOP_IN, ping.itt), "the only answer is the ping's")
    except Closed:
        pass
    except Late as error:
        raise Failure("neither closed nor alive") from error
    equal(target.innocent.read(LBA, 1, target.lun), before, "the block")


@case("header digest error: the connection is closed at {}", LEVELS,
      rfc="7.8", needs="digests,riser")
def header_digest_closes(target, level):
    conn = open_one(target, level)
    conn.send_raw(spoilt_header(conn, conn.ping_pdu(b"data")))
    conn.expect_closed()
