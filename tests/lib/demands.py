# SPDX-License-Identifier: BSD-2-Clause
"""What the groups of the conformance suite for the full feature phase share."""

from contextlib import contextmanager

from conn import Closed
from initiator import BLOCK, Result, pattern
from iscsi import ASYNC, BHS, CHECK_CONDITION, NO_TAG, R2T, REJECT, SCSI_RESPONSE
from suite import Skip
from tap import check, equal
from target import Target, blocks_of


def is_riser(target):
    """Whether choices that the RFC leaves open may be demanded, too."""
    return "riser" in getattr(target, "has", {"riser"})


def writer(target, **keys):
    """A session whose writes wait for their R2T, as far as the target goes along."""
    conn = target.login(**{"InitialR2T": "Yes", "ImmediateData": "No", **keys})
    if conn.says("ImmediateData") or not conn.says("InitialR2T"):
        raise Skip("the target does not negotiate InitialR2T=Yes, ImmediateData=No")
    return conn


def rejected(target, conn, bad, reason):
    """A Reject for this PDU. Where the RFC names no reason riser alone is held to one."""
    if is_riser(target):
        return conn.expect_reject(reason, bad)
    pdu = conn.expect(REJECT)
    equal(pdu.itt, NO_TAG, "ITT of the Reject")
    equal(pdu.data[:BHS], bad.header(), "header in the Reject")
    return pdu


def strange(target, conn, bad, reason):
    """What an initiator may not send, and the RFC does not say what becomes of it: riser
    rejects it; others may answer it in any way, or end the connection."""
    if is_riser(target):
        conn.expect_reject(reason, bad)
        conn.resync()
        return
    try:
        sent = conn.send(conn.ping_pdu(b"are you there"))
        while conn.recv().itt != sent.itt:
            pass
    except Closed:
        pass


def clear_aca(target, conn):
    """The one function that does nothing where there is no ACA, and that not all have."""
    response = conn.tmf(3)
    check(response == 0 or (response == 5 and not is_riser(target)), f"response {response}")


def refused(target, conn, bad, reason):
    """The end of the connection, with or without a Reject first."""
    if is_riser(target):
        conn.expect_reject(reason, bad)
    else:
        closing(conn)
        return
    conn.expect_closed()


def dropped(conn, deadline=5):
    """The target gives up on the connection: closed; all that it may say before is an
    Asynchronous Message that this will be."""
    try:
        while True:
            pdu = conn.recv(deadline)
            check(pdu.opcode == ASYNC and pdu.bhs[36] in (1, 2, 3), f"before the end came {pdu}")
    except Closed:
        check(not conn.buffer, f"closed inside a PDU: {bytes(conn.buffer)!r}")


def closing(conn):
    """Closed; what is said before does not count."""
    try:
        for _ in range(16):
            conn.recv()
    except Closed:
        return
    check(False, "the connection stays open")


def failed(target, conn, write, data, sense):
    """The status of a write that went wrong: CHECK CONDITION, with this sense from riser.
    R2Ts that crossed our data are answered: the target may wait for that (11.17.1)."""
    while True:
        try:
            pdu = conn.recv()
        except Closed:
            if is_riser(target):
                raise
            return  # 7.9 and 7.13 allow the end of the connection, too
        if pdu.opcode == REJECT and not is_riser(target):
            continue
        equal(pdu.itt, write.itt, f"ITT of {pdu}")
        if pdu.opcode != R2T:
            break
        conn.answer_r2t(write, pdu, data)
    check(pdu.opcode == SCSI_RESPONSE, f"not a SCSI Response: {pdu}")
    result = Result(pdu, b"", [])
    if is_riser(target):
        result.condition(sense)
    equal(result.status, CHECK_CONDITION, "status")
    conn.resync()
    conn.ready().good()


def expect_attention(target, conn, code, lun=None):
    """One unit attention, and no more behind it. Others than riser may choose the ASCQ."""
    result = conn.ready(lun)
    equal(result.status, CHECK_CONDITION, "status")
    length = 3 if is_riser(target) else 2
    equal(result.sense[:length], code[:length], "unit attention")
    conn.ready(lun).good()


def unchanged(target, lba, before):
    equal(blocks_of(target, lba, len(before)), before, "blocks of the failed write")


def finish_writes(conn, writes, seed=0x44):
    """Gives writes of one block what they wait for; they end well, in any order."""
    for write, r2t in writes:
        conn.answer_r2t(write, r2t, pattern(write.edtl // BLOCK, seed))
    done = [conn.expect(SCSI_RESPONSE) for _ in writes]
    equal(sorted(pdu.itt for pdu in done), sorted(write.itt for write, _ in writes),
          "answered writes")
    equal({pdu.status for pdu in done}, {0}, "their status")


@contextmanager
def own(*options, **how):
    """A riserd of the case's own, under `needs="own"`."""
    with Target(*options, **how) as target:
        yield target
