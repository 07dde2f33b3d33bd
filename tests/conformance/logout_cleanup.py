# SPDX-License-Identifier: BSD-2-Clause
"""What a Logout Response says: that the clean-up is complete (RFC 7143 11.15). Nothing of what was
logged out moves behind it: no write reaches the disk, no reservation is in force, no command that
was held comes to its turn."""

from conn import DEADLINE
from initiator import BLOCK, pattern, read10
from iscsi import LOGOUT_RESPONSE
from multi import CLOSE_CONNECTION, CLOSE_SESSION, alive, group
from recovery import drain
from suite import Skip, case
from tap import equal
from target import Target

GROUP = "logout"
LBA, BLOCKS = 2640, 8
RESERVE, CONFLICT = b"\x16" + bytes(5), 0x18
LEVELS = [(f"level {n}", n) for n in range(3)]
REASONS = [("of the session", CLOSE_SESSION), ("of its only connection", CLOSE_CONNECTION)]
TIMES = 100
SLOW = "ram:64M,fault=write:delay=1500ms:lba=200-299"


def reserve(conn):
    if conn.scsi(RESERVE).status:
        raise Skip("no RESERVE (6)")


def shut_out(conn):
    """Whether somebody else has reserved the unit."""
    status = conn.scsi(read10(LBA, 1), read=BLOCK).status
    return {0: False, CONFLICT: True}.get(status, f"status {status:#04x}")


@case("Logout {}: what it had reserved is free with the response, a hundred times", REASONS,
      rfc="11.15", needs="riser")
def reservation(target, reason):
    other = target.login()
    for number in range(TIMES):
        conn = target.login()
        reserve(conn)
        equal(shut_out(other), True, "another session is shut out before")
        equal(conn.logout(reason), 0, "response")
        equal(shut_out(other), False, f"another session is shut out behind response {number}")
        conn.close()


@case("Logout of two connections, one by one: what they had reserved is free with the second "
      "response", rfc="11.15", needs="riser, mcs")
def reservation_of_two(target):
    other = target.login()
    first, second = group(target)
    reserve(first)
    equal(first.logout_reply(CLOSE_CONNECTION).response, 0, "first response")
    equal(shut_out(other), True, "another session is shut out while one connection is left")
    equal(second.logout_reply(CLOSE_CONNECTION).response, 0, "second response")
    equal(shut_out(other), False, "another session is shut out behind the second response")


@case("Logout {} while the disk is slow: the response comes behind the write", REASONS,
      rfc="11.15", needs="own")
def slow_write(_, reason):
    with Target(disks=(SLOW, "ram:16M")) as mine:
        other, conn = mine.login(), mine.login()
        data = pattern(BLOCKS, 0x160 + reason)
        conn.send(*conn.write_pdus(200, data))
        conn.ping()  # the disk has it
        sent = conn.send(conn.logout_pdu(reason))
        answer = conn.expect(LOGOUT_RESPONSE, 2 * DEADLINE)
        equal((answer.itt, answer.response), (sent.itt, 0), "ITT, response")
        equal(other.read(200, BLOCKS), data, "blocks when the response is here")


@case("commands that were held are discarded by a Logout on their own connection, at {}", LEVELS,
      rfc="11.14", needs="mcs")
def held_of_its_own(target, level):
    first, second = group(target, 2, level)
    before = second.read(LBA, BLOCKS)
    lost = first.command_pdu(bytes(6))
    held, *data = first.write_pdus(LBA, pattern(BLOCKS, 0xbad))
    first.send(held, *data)
    first.ping()
    equal(first.logout_reply(CLOSE_CONNECTION).response, 0, "response of the Logout")
    second.again(lost)
    second.complete(lost).good()
    equal(second.ping().expcmdsn, held.cmdsn, "ExpCmdSN: the held command is gone")
    second.cmdsn = held.cmdsn
    equal(second.read(LBA, BLOCKS), before, "blocks")
    drain(first)
    alive(second)
