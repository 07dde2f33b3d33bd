# SPDX-License-Identifier: BSD-2-Clause
"""Connection recovery: TASK REASSIGN behind an explicit or implicit Logout for recovery
(UNH-IOL, Error Recovery for targets, 2.1 to 2.4; Full Feature Phase 7.1)."""

from initiator import BLOCK, pattern, read10, write10
from iscsi import NO_TAG, SCSI_RESPONSE
from multi import NO_REASSIGN, NO_TASK, RECOVERY, STILL_ALLEGIANT, group, links
from recovery import collect, drain, fetch, finish, same, start_read, status_snack
from suite import case
from tap import check, equal
from target import Target

GROUP = "reassign"
NEEDS = "erl2"
LBA, BLOCKS = 2400, 16
SIZE = BLOCKS * BLOCK
SOLICITED = {"InitialR2T": "Yes", "ImmediateData": "No"}
COMPARE_AND_WRITE = 0x89
SNACK_REJECTED = (0xb, 0x11, 0x13)


def two(target, **keys):
    """Two connections of a session."""
    return group(target, 2, 2, **keys)


def one(target, **keys):
    return links(target, 1, 2, **keys)[0]


def logged_out(link, other):
    """The other connection is removed for recovery."""
    equal(link.logout_reply(RECOVERY, other.cid).response, 0, "response of the Logout")


def removed(link, other):
    """The other connection breaks and is then removed for recovery."""
    other.close()
    logged_out(link, other)


def reinstated(link, **keys):
    """The connection breaks, and one with its CID comes in its place."""
    link.close()
    return link.session.join(link.cid, **keys)


def by_logout(target, **keys):
    """A connection, and the way to one that may have its tasks: a Logout on another one."""
    first, second = two(target, **keys)

    def move():
        removed(second, first)
        return second
    return first, move


def by_living_logout(target, **keys):
    """The same while the old connection is still up."""
    first, second = two(target, **keys)

    def move():
        logged_out(second, first)
        drain(first)
        return second
    return first, move


def by_same_cid(target, **keys):
    """An implicit logout while another connection is up."""
    first, _ = two(target, **keys)
    return first, lambda: reinstated(first)


def by_living_same_cid(target, **keys):
    """An implicit logout of a connection that is up."""
    first, _ = two(target, **keys)

    def move():
        again = first.session.join(first.cid)
        drain(first)
        return again
    return first, move


def by_continuation(target, **keys):
    """The only connection breaks, the session is continued with the same CID."""
    first = one(target, **keys)
    return first, lambda: reinstated(first)


def by_continuation_other_cid(target, **keys):
    """The same with another CID, which logs out the old one."""
    first = one(target, **keys)

    def move():
        first.close()
        again = first.session.join(first.cid + 5)
        logged_out(again, first)
        return again
    return first, move


WAYS = [("after a Logout on another connection", by_logout),
        ("after a Logout of a connection that is up", by_living_logout),
        ("after a login with its CID (implicit logout)", by_same_cid),
        ("after a login with the CID of a connection that is up", by_living_same_cid),
        ("after the session is continued with its CID", by_continuation),
        ("after the session is continued with another CID", by_continuation_other_cid)]


def writes(link, stamp, **how):
    """A write that has its R2T."""
    data = pattern(BLOCKS, stamp)
    write, r2t = link.solicited_write(LBA, BLOCKS, **how)
    return write, r2t, data


def taken(link, command, expdatasn=0):
    """The task goes over to this connection."""
    equal(link.reassign(command, expdatasn), 0, "response to TASK REASSIGN")


def written(link, write, data):
    """The write ends well here, and its data is there."""
    finish(link, write, data).good()
    equal(link.read(LBA, BLOCKS), data, "blocks")


def moved(link, write, data):
    """The write goes over to this connection and ends well here."""
    taken(link, write)
    written(link, write, data)


def unharmed(link, write, r2t, data):
    """The write goes on with the R2T that it had."""
    link.answer_r2t(write, r2t, data)
    link.complete(write, data).good()


@case("2.1 2.4 a write that waits for its data, {}", WAYS, rfc="7.2.2")
def write_waiting(target, way):
    link, move = way(target, **SOLICITED)
    write, _, data = writes(link, 0x210)
    other = move()
    taken(other, write)
    finish(other, write, data).good()
    other.ping()
    equal(other.read(LBA, BLOCKS), data, "blocks")


@case("2.1 2.4 a write of which half the burst came, {}", WAYS, rfc="7.2.2")
def write_half(target, way):
    link, move = way(target, **SOLICITED)
    write, r2t, data = writes(link, 0x211)
    parts = link.burst(write, data, 0, SIZE, r2t.ttt, 1024)
    link.send(*parts[:len(parts) // 2])
    other = move()
    moved(other, write, data)


@case("2.1 2.4 a write between its bursts, {}", WAYS, rfc="7.2.2")
def write_bursts(target, way):
    link, move = way(target, MaxBurstLength=SIZE // 4, **SOLICITED)
    write, r2t, data = writes(link, 0x212)
    link.answer_r2t(write, r2t, data)
    link.answer_r2t(write, link.expect_r2t(write, 1), data)
    link.expect_r2t(write, 2)
    other = move()
    moved(other, write, data)


@case("2.1 2.4 a write whose unsolicited data did not come, {}", WAYS, rfc="7.2.2")
def write_unsolicited(target, way):
    link, move = way(target, InitialR2T="No", ImmediateData="Yes", FirstBurstLength=SIZE)
    data = pattern(BLOCKS, 0x213)
    write = link.send(link.command_pdu(write10(LBA, BLOCKS), write=SIZE, data=data[:BLOCK],
                                       final=False))
    link.send(link.data_out_pdu(write, data[BLOCK:2 * BLOCK], BLOCK, NO_TAG, final=False))
    link.ping()
    other = move()
    moved(other, write, data)



# Reads

def held_read(link, stamp):
    """A read of which everything came, and nothing of it is acknowledged."""
    data = pattern(BLOCKS, stamp)
    link.write(LBA, data).good()
    link.ping()
    link.hold()
    read = start_read(link, LBA, BLOCKS)
    return read, data, collect(link, read)


def read_then_loss(target, stamp, length=1024):
    """Such a read in Data-In of 1024 bytes, and the connection in place of its own."""
    link, _ = by_same_cid(target, MaxRecvDataSegmentLength=1024)
    read, data, _ = held_read(link, stamp)
    return reinstated(link, MaxRecvDataSegmentLength=length), read, data


def rest_comes(link, read, data, begin):
    """The Data-In of 1024 bytes from this DataSN on, no other, and a good status."""
    outcome = finish(link, read, got=data[:begin * 1024]).good()
    equal(bytes(outcome.read), data, "data")
    equal([p.datasn for p in outcome.data_ins if p.dsl], list(range(begin, BLOCKS // 2)),
          "DataSN of the Data-In")


@case("2.3 a read of which nothing was received, {}", WAYS, rfc="7.2.2")
def read_whole(target, way):
    link, move = way(target, MaxRecvDataSegmentLength=1024)
    read, data, _ = held_read(link, 0x230)
    other = move()
    taken(other, read)
    equal(fetch(other, read), data, "data")
    other.ping()


@case("2.3 a read with ExpDataSN {}: the Data-In from there on", [
    ("0", 0, 0), ("1", 1, 1), ("of the middle", BLOCKS // 4, BLOCKS // 4),
    ("of the last Data-In", BLOCKS // 2 - 1, BLOCKS // 2 - 1),
    ("behind the last Data-In: the status alone", BLOCKS // 2, BLOCKS // 2),
    ("never sent: as if it were 0", BLOCKS // 2 + 1, 0),
    ("far away: as if it were 0", 0xfffffff0, 0)], rfc="11.5.6", needs="framing")
def read_expdatasn(target, expdatasn, begin):
    other, read, data = read_then_loss(target, 0x231)
    taken(other, read, expdatasn)
    rest_comes(other, read, data, begin)


@case("2.3 ExpDataSN 0 in a second TASK REASSIGN: from where the first one said", rfc="11.5.6",
      needs="framing")
def read_expdatasn_stays(target):
    other, read, data = read_then_loss(target, 0x235)
    other.hold()
    equal(other.reassign(read, 3), 0, "first response")
    collect(other, read)
    third = reinstated(other, MaxRecvDataSegmentLength=1024)
    equal(third.reassign(read), 0, "second response")
    rest_comes(third, read, data, 3)


@case("2.3 a read on a connection with {} MaxRecvDataSegmentLength", [
    ("a smaller", 512), ("a larger", 8192), ("an odd", 1500)], rfc="7.2.2")
def read_resegmented(target, length):
    other, read, data = read_then_loss(target, 0x232, length)
    taken(other, read)
    outcome = finish(other, read).good()
    equal(bytes(outcome.read), data, "data")
    check(all(p.dsl <= length for p in outcome.data_ins), "a Data-In that is too long")


@case("2.3 a read is what it was when it was read", rfc="7.2.2")
def read_is_kept(target):
    link, move = by_same_cid(target, MaxRecvDataSegmentLength=1024)
    read, data, _ = held_read(link, 0x233)
    target.innocent.write(LBA, pattern(BLOCKS, 0x234), target.lun).good()
    other = move()
    taken(other, read, BLOCKS // 4)
    equal(fetch(other, read, data[:BLOCKS // 4 * 1024]), data, "data")


# The status is lost

@case("a write whose status is lost is answered once and done once, {}", WAYS, rfc="7.2.2")
def status_lost(target, way):
    link, move = way(target)
    first, second = pattern(BLOCKS, 0x250), pattern(BLOCKS, 0x251)
    pdus = link.write_pdus(LBA, first)
    link.send(*pdus)
    link.lose()
    target.innocent.write(LBA, second, target.lun).good()
    other = move()
    taken(other, pdus[0])
    outcome = finish(other, pdus[0], first).good()
    equal(outcome.r2ts, [], "R2Ts of a write that is done")
    other.ping()
    equal(other.read(LBA, BLOCKS), second, "blocks")


@case("COMPARE AND WRITE whose status is lost has one effect and one status, {}", WAYS,
      rfc="7.2.2")
def compare_lost(target, way):
    link, move = way(target)
    old, new = pattern(1, 0x252), pattern(1, 0x253)
    link.write(LBA, old).good()
    cdb = bytes([COMPARE_AND_WRITE, 0]) + LBA.to_bytes(8, "big") + bytes([0, 0, 0, 1, 0, 0])
    command = link.command_pdu(cdb, write=2 * BLOCK, data=old + new)
    link.send(command)
    link.lose()
    other = move()
    taken(other, command)
    finish(other, command, old + new).good()
    equal(other.read(LBA, 1), new, "the block")


@case("a CHECK CONDITION that is lost comes again with its sense data", rfc="7.2.2")
def sense_lost(target):
    link, move = by_same_cid(target)
    command = link.send(link.command_pdu(b"\xff" + bytes(5)))
    lost = link.lose()
    other = move()
    taken(other, command)
    again = other.expect(SCSI_RESPONSE)
    equal((again.itt, again.status, again.data), (command.itt, lost.status, lost.data),
          "ITT, status, sense data")


@case("the status of a reassigned task takes the StatSN of its new connection", rfc="4.2.2.2")
def status_number(target):
    link, move = by_logout(target)
    command = link.send(link.command_pdu(bytes(6)))
    link.lose()
    other = move()
    taken(other, command)
    lost = other.lose()
    equal(lost.itt, command.itt, "ITT")
    status_snack(other, lost.statsn, 1)
    same(other.expect(SCSI_RESPONSE), lost, "expdatasn")
    other.ping()


@case("many tasks of a lost connection, statuses and R2Ts mixed, are all brought home",
      rfc="7.2.2")
def many(target):
    link, move = by_same_cid(target, **SOLICITED)
    waiting, answered = [], []
    for number in range(8):
        write = link.send(link.command_pdu(write10(LBA + number * BLOCKS, BLOCKS), write=SIZE))
        link.expect_r2t(write)
        waiting.append((write, pattern(BLOCKS, 0x260 + number)))
        answered.append(link.send(link.command_pdu(bytes(6))))
        link.lose()
    other = move()
    for command in answered:
        taken(other, command)
        finish(other, command).good()
    for write, data in reversed(waiting):
        taken(other, write)
        finish(other, write, data).good()
    for number, (_, data) in enumerate(waiting):
        equal(other.read(LBA + number * BLOCKS, BLOCKS), data, "blocks")


# Commands that the target did not get

@case("commands that were held behind a hole are discarded, and sent again with their CmdSN, {}",
      WAYS, rfc="11.14")
def held_are_discarded(target, way):
    link, move = way(target)
    lost, held = link.command_pdu(bytes(6)), link.command_pdu(read10(LBA, 1), read=BLOCK)
    link.send(held)
    link.ping()
    other = move()
    equal(other.ping().expcmdsn, lost.cmdsn, "ExpCmdSN")
    other.again(lost)
    finish(other, lost).good()
    equal(other.ping().expcmdsn, held.cmdsn, "ExpCmdSN: the held command is gone")
    other.again(held)
    finish(other, held).good()
    equal(other.ping().expcmdsn, other.cmdsn, "ExpCmdSN")


@case("a command cut in the middle is sent again with its CmdSN, {}", WAYS, rfc="7.2.1")
def cut(target, way):
    link, move = way(target)
    data = pattern(BLOCKS, 0x270)
    write = link.command_pdu(write10(LBA, BLOCKS), write=SIZE, data=data)
    link.send_raw(link.wire(write)[:700])
    if way in (by_living_logout, by_living_same_cid):
        link.half_close()
    other = move()
    equal(other.ping().expcmdsn, write.cmdsn, "ExpCmdSN")
    other.again(write)
    written(other, write, data)


# Refused

@case("2.2 without a Logout: task still allegiant, it goes on where it is", rfc="7.2.2")
def without_logout(target):
    first, second = two(target, **SOLICITED)
    write, r2t, data = writes(first, 0x220)
    equal(second.reassign(write), STILL_ALLEGIANT, "response to TASK REASSIGN")
    second.ping()
    unharmed(first, write, r2t, data)
    equal(second.read(LBA, BLOCKS), data, "blocks")


@case("2.2 without a Logout, the connection is broken: task still allegiant", rfc="7.2.2")
def broken_without_logout(target):
    first, second = two(target, **SOLICITED)
    write, _, data = writes(first, 0x221)
    first.close()
    equal(second.reassign(write), STILL_ALLEGIANT, "response to TASK REASSIGN")
    logged_out(second, first)
    equal(second.reassign(write), 0, "response behind the Logout")
    written(second, write, data)


@case("a task that nobody knows: task does not exist", rfc="11.6.1")
def unknown(target):
    first, second = two(target)
    removed(second, first)
    pdu = second.command_pdu(bytes(6), immediate=True, itt=0xabcd)
    equal(second.reassign(pdu), NO_TASK, "response to TASK REASSIGN")
    second.ping()


@case("a task whose status is acknowledged: task does not exist", rfc="11.6.1")
def acknowledged(target):
    first, second = two(target)
    command = first.send(first.command_pdu(bytes(6)))
    first.complete(command)
    first.ping()
    removed(second, first)
    equal(second.reassign(command), NO_TASK, "response to TASK REASSIGN")


@case("a task of another session: task does not exist, the other one goes on", rfc="7.2.2")
def foreign(target):
    other, = links(target, 1, 2, **SOLICITED)
    for _ in range(50):
        other.next_itt()
    write, r2t, data = writes(other, 0x222)
    first, second = two(target)
    removed(second, first)
    equal(second.reassign(write), NO_TASK, "response to TASK REASSIGN")
    unharmed(other, write, r2t, data)
    equal(other.read(LBA, BLOCKS), data, "blocks")


@case("a task behind the Logout that closes its connection: task does not exist", rfc="11.14.1")
def behind_close(target):
    first, second = two(target, **SOLICITED)
    before = second.read(LBA, BLOCKS)
    write, _, _ = writes(first, 0x223)
    equal(second.logout_reply(1, first.cid).response, 0, "response of the Logout")
    equal(second.reassign(write), NO_TASK, "response to TASK REASSIGN")
    equal(second.read(LBA, BLOCKS), before, "blocks")


@case("TASK REASSIGN at {}: reassignment not supported", [("level 0", 0), ("level 1", 1)],
      rfc="7.2.2")
def low_level(target, level):
    conn, = links(target, 1, level, **SOLICITED)
    write, r2t, data = writes(conn, 0x224)
    equal(conn.reassign(write), NO_REASSIGN, "response to TASK REASSIGN")
    unharmed(conn, write, r2t, data)


@case("TASK REASSIGN on the connection that has the task does not harm it", rfc="7.2.2")
def same_connection(target):
    conn = one(target, **SOLICITED)
    write, r2t, data = writes(conn, 0x225)
    check(conn.reassign(write) in (0, STILL_ALLEGIANT), "response to TASK REASSIGN")
    conn.answer_r2t(write, r2t, data)
    written(conn, write, data)


# Further ways

@case("a task that was reassigned is reassigned once more", rfc="7.2.2")
def once_more(target):
    first, second = two(target, **SOLICITED)
    write, _, data = writes(first, 0x280)
    removed(second, first)
    equal(second.reassign(write), 0, "first response")
    second.recv()
    third = reinstated(second)
    equal(third.reassign(write), 0, "second response")
    third.recv()
    fourth = third.session.join(9)
    removed(fourth, third)
    equal(fourth.reassign(write), 0, "third response")
    written(fourth, write, data)


@case("a reassigned write whose status is lost again", rfc="7.2.2")
def lost_again(target):
    link, move = by_same_cid(target, **SOLICITED)
    write, _, data = writes(link, 0x281)
    other = move()
    equal(other.reassign(write), 0, "first response")
    r2t = other.recv()
    other.answer_r2t(write, r2t, data)
    equal(other.lose().opcode, SCSI_RESPONSE, "opcode")
    second = pattern(BLOCKS, 0x282)
    target.innocent.write(LBA, second, target.lun).good()
    other = reinstated(other)
    equal(other.reassign(write), 0, "second response")
    equal(finish(other, write, data).good().r2ts, [], "R2Ts of a write that is done")
    equal(other.read(LBA, BLOCKS), second, "blocks")


@case("ABORT TASK of a task of a lost connection: complete, then it is gone", rfc="11.5.1")
def abort_suspended(target):
    first, second = two(target, **SOLICITED)
    before = second.read(LBA, BLOCKS)
    write, _, _ = writes(first, 0x283)
    removed(second, first)
    equal(second.tmf(1, rtt=write.itt, refcmdsn=write.cmdsn), 0, "response to ABORT TASK")
    equal(second.reassign(write), NO_TASK, "response to TASK REASSIGN")
    equal(second.read(LBA, BLOCKS), before, "blocks")


@case("LOGICAL UNIT RESET ends the tasks of a lost connection", rfc="11.5.1")
def reset_suspended(target):
    first, second = two(target, **SOLICITED)
    write, _, _ = writes(first, 0x284)
    removed(second, first)
    equal(second.tmf(5), 0, "response to LOGICAL UNIT RESET")
    equal(second.reassign(write), NO_TASK, "response to TASK REASSIGN")
    second.clear_unit_attention()
    target.innocent.clear_unit_attention(target.lun)
    target.innocent.clear_unit_attention(target.innocent_lun)


@case("the R2T of a lost connection is void on the new one", rfc="7.2.2")
def old_r2t(target):
    first, second = two(target, **SOLICITED)
    before = second.read(LBA, BLOCKS)
    write, r2t, data = writes(first, 0x285)
    removed(second, first)
    second.answer_r2t(write, r2t, pattern(BLOCKS, 0xbad))
    ping = second.send(second.ping_pdu())
    while second.recv().itt != ping.itt:
        pass
    equal(target.innocent.read(LBA, BLOCKS, target.lun), before, "blocks")
    moved(second, write, data)


@case("the old connection, still up behind the implicit logout, is closed and not heard",
      rfc="6.3.4")
def old_connection_closed(target):
    link, move = by_living_same_cid(target, **SOLICITED)
    write, _, data = writes(link, 0x286)
    other = move()
    taken(other, write)
    finish(other, write, data).good()


LONG = 8192  # blocks: 4 MiB


def waiting_reads(target, count):
    """A session whose connection breaks in the middle of long reads."""
    link = links(target, 1, 2)[0]
    link.clear_unit_attention()
    reads = [link.command_pdu(read10(0, LONG), read=LONG * BLOCK) for _ in range(count)]
    link.send(*reads)  # at once: what has not come when the connection breaks is lost
    link.recv()
    link.close()
    return link, reads


@case("tasks that nobody takes over hold a share of the memory: the oldest have lost their data, "
      "others are not hurt", rfc="7.2.2", needs="own", deadline=60)
def forgotten(_):
    with Target("--memory", "64M", "--cpus", "0") as target:
        lost = [waiting_reads(target, 8) for _ in range(6)]
        newcomer = target.login()
        newcomer.write(0, pattern(1024, 0x290)).good()
        equal(newcomer.read(0, 1024), pattern(1024, 0x290), "512 KiB")
        target.check_innocent("while tasks wait for TASK REASSIGN")
        link, reads = lost[0]
        again = link.session.join(link.cid)
        for read in reads:
            taken(again, read)
            finish(again, read).result.condition(SNACK_REJECTED)
        equal(again.read(0, 1024), pattern(1024, 0x290), "what it reads then")
        link, reads = lost[-1]
        again = link.session.join(link.cid)
        taken(again, reads[-1])
        finish(again, reads[-1]).good()
