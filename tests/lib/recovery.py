# SPDX-License-Identifier: BSD-2-Clause
"""What an initiator does at ErrorRecoveryLevel 1 and 2: SNACKs of all types (RFC 7143
11.16), spoilt and missing PDUs, and commands brought to their end in spite of both."""

from conn import DEADLINE, Closed
from initiator import BLOCK, Result, read10
from iscsi import DATA_IN, NO_TAG, R2T, REJECT, SCSI_RESPONSE, SNACK, Pdu
from tap import check, equal

DATA, STATUS, DATA_ACK, R_DATA = 0, 1, 2, 3  # SNACK types (11.16.1)
ACKNOWLEDGE, HAS_STATUS = 0x40, 0x01  # A and S bit of a Data-In (11.7)


# Requests

def snack(conn, kind, begin=0, run=0, itt=NO_TAG, tag=NO_TAG, lun=0):
    """Sends a SNACK; it takes no CmdSN and gets no answer of its own."""
    pdu = Pdu(SNACK, flags=0x80 | kind, lun=lun, itt=itt, ttt=tag, expstatsn=conn.expstatsn,
              begrun=begin, runlength=run)
    conn.asked = True
    return conn.send(pdu)


def data_snack(conn, command, begin=0, run=0):
    """For Data-In or R2T PDUs of a command, by DataSN or R2TSN."""
    return snack(conn, DATA, begin, run, itt=command.itt)


def status_snack(conn, begin=0, run=0):
    return snack(conn, STATUS, begin, run)


def r_data_snack(conn, command, tag, begin=0, run=0):
    return snack(conn, R_DATA, begin, run, itt=command.itt, tag=tag)


def data_ack(conn, data_in, begin=None, run=0):
    """The answer to the A bit of this Data-In."""
    return snack(conn, DATA_ACK, data_in.datasn + 1 if begin is None else begin, run,
                 tag=data_in.ttt, lun=data_in.lun)


def spoilt(conn, pdu):
    """The bytes of the PDU with its data digest wrong by one bit."""
    wire = bytearray(conn.wire(pdu))
    wire[-1] ^= 0x80
    return bytes(wire)


def spoilt_header(conn, pdu):
    """The same with the header digest."""
    wire = bytearray(conn.wire(pdu))
    wire[len(pdu.header()) + len(pdu.ahs)] ^= 1
    return bytes(wire)


# Answers

def same(again, first, *current):
    """The PDU again: an exact replica, but for ExpCmdSN, MaxCmdSN and the fields named."""
    pdus = [Pdu(bhs=first.bhs), Pdu(bhs=again.bhs)]
    for pdu in pdus:
        for name in ("expcmdsn", "maxcmdsn", *current):
            setattr(pdu, name, 0)
    equal(pdus[1].header(), pdus[0].header(), f"header of the PDU sent again, {again}")
    check(again.data == first.data, f"the data sent again differs: {again}")


def has_status(pdu):
    return pdu.opcode == SCSI_RESPONSE or (pdu.opcode == DATA_IN and pdu.flags & HAS_STATUS)


def start_read(conn, lba, blocks):
    return conn.send(conn.command_pdu(read10(lba, blocks), read=blocks * BLOCK))


def collect(conn, command, deadline=DEADLINE):
    """The PDUs of a read up to the one with its status, none acknowledged by DataACK."""
    pdus = []
    while not pdus or not has_status(pdus[-1]):
        pdu = conn.recv(deadline)
        equal(pdu.itt, command.itt, f"ITT of {pdu}")
        check(pdu.opcode in (DATA_IN, SCSI_RESPONSE), f"not an answer to a read: {pdu}")
        pdus.append(pdu)
    return pdus


def data_of(pdus):
    """The data of Data-In PDUs, put together by their offsets."""
    got = bytearray()
    for pdu in pdus:
        if pdu.opcode == DATA_IN:
            got += bytes(max(0, pdu.offset + pdu.dsl - len(got)))
            got[pdu.offset:pdu.offset + pdu.dsl] = pdu.data
    return bytes(got)


class Outcome:
    """How a command ended that may have taken detours."""

    def __init__(self, command, data):
        self.command, self.data_out = command, data
        self.data_ins, self.r2ts, self.rejects, self.result = [], [], [], None
        self.read = bytearray(0 if data is not None else command.edtl)

    def data_in(self, pdu):
        check(pdu.offset + pdu.dsl <= len(self.read), f"Data-In beyond the transfer: {pdu}")
        self.data_ins.append(pdu)
        self.read[pdu.offset:pdu.offset + pdu.dsl] = pdu.data

    def good(self):
        self.result.good()
        return self

    @property
    def status(self):
        return self.result.status


def finish(conn, command, data=None, got=b"", chunk=None, deadline=DEADLINE):
    """Everything of the command until its status. Data-In fills up what was `got` before;
    R2Ts are answered out of `data`, whatever they ask for again; Rejects are kept; the A
    bit is answered."""
    outcome = Outcome(command, data)
    outcome.read[:len(got)] = got
    while outcome.result is None:
        pdu = conn.recv(deadline)
        if pdu.opcode == REJECT:
            outcome.rejects.append(pdu)
            continue
        equal(pdu.itt, command.itt, f"ITT of {pdu}")
        if pdu.opcode == DATA_IN:
            outcome.data_in(pdu)
            if pdu.flags & ACKNOWLEDGE and not has_status(pdu):
                data_ack(conn, pdu)
        elif pdu.opcode == R2T:
            check(data is not None, f"an R2T that no data is for: {pdu}")
            check(0 < pdu.desired and pdu.offset + pdu.desired <= len(data),
                  f"R2T beyond the transfer: {pdu}")
            outcome.r2ts.append(pdu)
            conn.answer_r2t(command, pdu, data, chunk)
        else:
            check(pdu.opcode == SCSI_RESPONSE, f"not an answer to a command: {pdu}")
        if has_status(pdu):
            outcome.result = Result(pdu, outcome.read, outcome.r2ts)
    return outcome


def fetch(conn, command, got=b"", deadline=DEADLINE):
    """The bytes of a read that ended well."""
    return bytes(finish(conn, command, got=got, deadline=deadline).good().read)


def drain(conn, deadline=DEADLINE):
    """Takes what is left of a connection that the target closes."""
    try:
        while True:
            conn.recv(deadline)
    except Closed:
        pass
