# SPDX-License-Identifier: BSD-2-Clause
"""Task management when the backstore does not answer: rows T6 and X6. Blocks 100 to 107
never come back, those from 200 on come back late, by when nobody waits for them."""

import signal
import time
from contextlib import ExitStack, contextmanager

from demands import expect_attention
from initiator import BLOCK, pattern, read10, write10
from iscsi import LOGOUT_RESPONSE, TMF_RESPONSE
from suite import case
from tap import check, equal
from target import Target

GROUP = "tmf-hang"
NEEDS = "own"

ABORT_TASK, ABORT_TASK_SET, CLEAR_TASK_SET, LUN_RESET, WARM_RESET = 1, 2, 4, 5, 6
NEXUS_RESET = 11
COMPLETE, REJECTED = 0, 255
CLEANUP_FAILED = 3  # of a Logout
RESERVE, CONFLICT = b"\x16" + bytes(5), 0x18
HANG = "ram:64M,fault=any:hang:lba=100-107;any:delay=6s:lba=200-207"
ANSWER = 5  # seconds; and what a busy machine adds:
GRACE = 2
RESET_OCCURRED = (6, 0x29, 0x03)


@contextmanager
def hanging():
    """A riserd that waits for its backstore in vain, ended the fast way: the orderly stop
    would give it 15 s more."""
    mine = Target(disks=(HANG, "ram:16M"))
    mine.start()
    try:
        yield mine
        mine.check_alive()
        mine.check_innocent("at the end")
    except Exception as error:
        error.last_words = mine.last_words()
        raise
    finally:
        kill(mine)


def kill(mine):
    mine.close_connections()
    if mine.innocent:
        mine.innocent.close()
    mine.process.kill()
    mine.process.wait()
    mine.process.stdout.close()
    mine.log.close()


def stuck(conn, cdb=read10(100, 8), **how):
    """A command that the backstore swallows; it is there when the ping is answered."""
    command = conn.send(conn.command_pdu(cdb, **(how or {"read": 8 * BLOCK})))
    conn.ping()
    return command


def late(conn, request):
    pdu = conn.expect(TMF_RESPONSE, ANSWER + GRACE)
    equal(pdu.itt, request.itt, "ITT of the task management response")
    return pdu.response


# Several targets at once, because each case would wait for its five seconds.
FUNCTIONS = (("ABORT TASK", ABORT_TASK), ("ABORT TASK SET", ABORT_TASK_SET),
             ("CLEAR TASK SET", CLEAR_TASK_SET), ("LUN RESET", LUN_RESET),
             ("TARGET WARM RESET", WARM_RESET), ("I_T NEXUS RESET", NEXUS_RESET))
STORY = {}


def _tell(function):
    """Each function against a target of its own, all at once: how long until the answer."""
    with ExitStack() as stack:
        waiting = []
        for _, number in FUNCTIONS:
            mine = stack.enter_context(hanging())
            conn = mine.login(iSCSIProtocolLevel=2)
            command = stuck(conn)
            request = conn.tmf_pdu(number, rtt=command.itt, refcmdsn=command.cmdsn)
            waiting.append((number, mine, conn, command, request, time.monotonic()))
            conn.send(request)
        for number, mine, conn, command, request, begin in waiting:
            response = late(conn, request)
            took = time.monotonic() - begin
            mine.check_alive()
            # The tag is free, and the other unit was never disturbed.
            conn.clear_unit_attention()
            conn.scsi(bytes(6), itt=command.itt).good()
            mine.innocent.clear_unit_attention(0)
            mine.innocent.clear_unit_attention(1)
            mine.check_innocent("while the other unit hangs")
            STORY[number] = (response, took)
    return STORY[function]


@case("T6 {}: answered in 5 s though a READ hangs; the tag is free, the session lives", FUNCTIONS,
      rfc="11.6.1", deadline=60)
def read_hangs(_, function):
    response, took = STORY.get(function) or _tell(function)
    equal(response, COMPLETE, "response")
    check(took < ANSWER + GRACE, f"answered after {took:.1f} s")


@case("T6 ABORT TASK of a WRITE that hangs: answered in 5 s, and not that it never was",
      rfc="11.6.1")
def write_hangs(_):
    with hanging() as mine:
        conn = mine.login()
        command = stuck(conn, write10(100, 8), write=8 * BLOCK, data=pattern(8, 0xbad))
        begin = time.monotonic()
        request = conn.send(conn.tmf_pdu(ABORT_TASK, rtt=command.itt, refcmdsn=command.cmdsn))
        response = late(conn, request)
        check(time.monotonic() - begin < ANSWER + GRACE, "late")
        check(response == REJECTED, f"response {response}: the write may yet reach the medium")
        conn.ready().good()


@case("T6 pings, other commands and another unit are served while a function waits", rfc="7.5")
def meanwhile(_):
    with hanging() as mine:
        conn = mine.login()
        command = stuck(conn)
        request = conn.send(conn.tmf_pdu(ABORT_TASK, rtt=command.itt, refcmdsn=command.cmdsn))
        end = time.monotonic() + 2
        while time.monotonic() < end:
            conn.ping(b"alive")
            conn.read(0, 8)
            mine.check_innocent("while a function waits")
        equal(late(conn, request), COMPLETE, "response")


@case("T6 what completes after its abort was answered sends nothing and changes no other data",
      rfc="11.6.1")
def late_completion(_):
    with hanging() as mine:
        conn = mine.login()
        conn.write(300, pattern(8, 0x60)).good()
        command = stuck(conn, read10(200, 8))
        begin = time.monotonic()
        request = conn.send(conn.tmf_pdu(ABORT_TASK, rtt=command.itt, refcmdsn=command.cmdsn))
        equal(late(conn, request), COMPLETE, "response")
        again = conn.send(conn.command_pdu(read10(300, 8), read=8 * BLOCK, itt=command.itt))
        equal(conn.complete(again).good().data, pattern(8, 0x60), "data under the same tag")
        while time.monotonic() < begin + 6.5:  # the late completion is over
            conn.ping(b"still here")
            time.sleep(0.05)
        conn.ready().good()


@case("T6 two LUN RESETs of two sessions while a READ hangs: both are answered in 5 s",
      rfc="11.6.1")
def two_resets(_):
    with hanging() as mine:
        first, second = mine.login(), mine.login()
        stuck(first)
        begin = time.monotonic()
        requests = [(conn, conn.send(conn.tmf_pdu(LUN_RESET))) for conn in (first, second)]
        for conn, request in requests:
            equal(late(conn, request), COMPLETE, "response")
        check(time.monotonic() - begin < ANSWER + GRACE, "late")
        for conn in (first, second):
            conn.clear_unit_attention()


@case("T6 a window full of commands that hang: ABORT TASK SET ends them all, the window opens",
      rfc="11.5.1")
def window_hangs(_):
    with hanging() as mine:
        conn = mine.login()
        conn.ping()
        room = (conn.maxcmdsn - conn.cmdsn + 1) & 0xffffffff
        conn.send(*[conn.command_pdu(read10(100, 1), read=BLOCK) for _ in range(room)])
        conn.ping()
        request = conn.send(conn.tmf_pdu(ABORT_TASK_SET))
        equal(late(conn, request), COMPLETE, "response")
        for _ in range(room):
            conn.ready().good()


@case("T6 third parties: their tasks that hang end with a LUN RESET, which they hear of",
      rfc="11.5.1")
def third_party(_):
    with hanging() as mine:
        conn, other = mine.login(), mine.login()
        command = stuck(other)
        request = conn.send(conn.tmf_pdu(LUN_RESET))
        equal(late(conn, request), COMPLETE, "response")
        expect_attention(mine, conn, RESET_OCCURRED)
        other.ping()
        result = other.ready()
        equal((result.status, result.sense), (2, RESET_OCCURRED), "what the other hears")
        other.clear_unit_attention()
        other.scsi(bytes(6), itt=command.itt).good()


@case("X6 sessions whose commands hang are logged out, reset and left; others come and go",
      rfc="6.3.5")
def leave(_):
    with hanging() as mine:
        conn, reset = mine.login(), mine.login()
        stuck(conn)
        stuck(reset)
        equal(conn.logout(), 0, "Logout")
        reset.abort()
        for _ in range(5):
            other = mine.login()
            other.read(0, 8)
            equal(other.logout(), 0, "Logout of another")


@case("X6 Logout while a WRITE hangs: response 3 in 5 s, and what it had reserved stays so",
      rfc="11.15.1")
def logout_write_hangs(_):
    with hanging() as mine:
        conn, other = mine.login(), mine.login()
        conn.scsi(RESERVE).good()
        stuck(conn, write10(100, 8), write=8 * BLOCK, data=pattern(8, 0xbad))
        begin = time.monotonic()
        sent = conn.send(conn.logout_pdu())
        answer = conn.expect(LOGOUT_RESPONSE, ANSWER + GRACE)
        equal((answer.itt, answer.response), (sent.itt, CLEANUP_FAILED), "ITT, response")
        check(time.monotonic() - begin < ANSWER + GRACE, "late")
        equal(other.scsi(read10(0, 8), read=8 * BLOCK).status, CONFLICT,
              "status for another session: the write may yet reach the medium")


@case("X6 an orderly stop while commands hang ends in bounded time", rfc="11.9.1", deadline=60,
      stress=True)
def stop_hanging(_):
    with hanging() as mine:
        stuck(mine.login())
        mine.process.send_signal(signal.SIGTERM)
        mine.innocent = None
        try:
            mine.process.wait(25)
        finally:
            restart(mine)


@case("X6 a second SIGTERM ends it at once, hanging commands or not", rfc="11.9.1")
def stop_at_once(_):
    with hanging() as mine:
        stuck(mine.login())
        for _ in range(2):
            mine.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)  # two signals at once are one
        mine.innocent = None
        try:
            mine.process.wait(3)
        finally:
            restart(mine)


def restart(mine):
    """The case has ended the target; its frame wants a live one."""
    kill(mine)
    mine.start()
