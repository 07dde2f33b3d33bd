# SPDX-License-Identifier: BSD-2-Clause
"""How a login may end badly. Where the RFC names the status it is demanded of every target;
where it only says that the login fails, riser is held to its own answer and others to any
error of the initiator's class."""

from conn import Closed
from demands import is_riser
from iscsi import (AUTH_FAILED, CANNOT_INCLUDE, INITIATOR_ERROR, INVALID_DURING_LOGIN,
                   LOGIN_RESPONSE, TOO_MANY_CONNECTIONS)
from tap import Failure, check, equal

INITIATOR_CLASS = 2
# Of these the RFC does not say that the target has to find out that much.
GENERAL = (INITIATOR_ERROR, INVALID_DURING_LOGIN, CANNOT_INCLUDE, TOO_MANY_CONNECTIONS)


def expect_refusal(target, conn, status):
    """A Login Response with this status, then the end of the connection (11.13.5)."""
    pdu = conn.expect(LOGIN_RESPONSE)
    if is_riser(target) or status not in GENERAL:
        equal(pdu.login_status, status, "login status")
    else:
        equal(pdu.login_status >> 8, INITIATOR_CLASS, "login status class")
    conn.expect_closed()
    return pdu


def refused(target, status, text, **how):
    """A first Login Request that ends with this status and the connection closed."""
    conn = target.connect()
    text = text(conn) if callable(text) else text
    conn.send(conn.login_pdu(text, **how))
    return expect_refusal(target, conn, status)


def survives(target, conn, pdu, status=INITIATOR_ERROR):
    """Nonsense that the RFC gives no answer to: riser refuses it with this status, others may
    refuse, close, or find a sense in it, in time."""
    conn.send(pdu)
    if is_riser(target):
        expect_refusal(target, conn, status)
        return
    try:
        reply = conn.expect(LOGIN_RESPONSE)
    except Closed:
        return
    if reply.login_status:
        conn.expect_closed()


def not_admissible(target, conn, key, pdu):
    """The login fails for this key (7.12): riser refuses at once, others may answer
    key=Reject, or close."""
    conn.send(pdu)
    if is_riser(target):
        expect_refusal(target, conn, INITIATOR_ERROR)
        return
    try:
        reply = conn.expect(LOGIN_RESPONSE)
    except Closed:
        return
    if reply.login_status:
        equal(reply.login_status >> 8, INITIATOR_CLASS, "login status class")
        conn.expect_closed()
        return
    check(f"{key}=Reject".encode() in reply.data.split(b"\0"),
          f"{key} with a value that is not admissible was taken: {reply.data!r}")


def identity_and(*pairs):
    """Text of a first Login Request: who we are and these pairs."""
    return lambda conn: conn.identity() + list(pairs)


def refused_in_the_end(target, conn, steps, status=INITIATOR_ERROR):
    """Login Requests of which one, at the latest the last, is refused."""
    for pdu in steps:
        conn.send(pdu)
        reply = conn.recv()
        check(reply.opcode == LOGIN_RESPONSE, f"no Login Response: {reply}")
        if reply.login_status:
            if is_riser(target):
                equal(reply.login_status, status, "login status")
            equal(reply.login_status >> 8, INITIATOR_CLASS, "login status class")
            conn.expect_closed()
            return
    raise Failure("all of it was taken")


# CHAP


def offer_chap(conn, session="Normal"):
    conn.login_step(conn.identity(session) + [("AuthMethod", "CHAP")], csg=0, transit=False)


def challenged(target, chap):
    """A connection that has its challenge and owes the answer."""
    conn = target.connect()
    offer_chap(conn)
    chap.challenged(conn.login_step(chap.offer(), csg=0, transit=False).pairs)
    return conn


def expect_failure(target, conn, status=AUTH_FAILED):
    """The login fails: with this status at riser, with any of the initiator's class or the end
    of the connection elsewhere. Never does it go on."""
    if is_riser(target):
        conn.expect_login_refused(status)
        return
    try:
        reply = conn.expect(LOGIN_RESPONSE)
    except Closed:
        return
    equal(reply.login_status >> 8, INITIATOR_CLASS, "login status class")
    conn.expect_closed()


def answer(target, conn, pairs, status=AUTH_FAILED, **how):
    conn.send(conn.login_pdu(pairs, csg=0, nsg=1, **how))
    expect_failure(target, conn, status)
