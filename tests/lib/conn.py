# SPDX-License-Identifier: BSD-2-Clause
"""One TCP connection to a target: bytes and PDUs out, PDUs in before a deadline,
and the answers a case may demand. What a target must always keep to (digests,
the run of StatSN, a command window that never shrinks) is checked on every PDU."""

import select
import socket
import time

from iscsi import (ASYNC, BHS, DATA_IN, LOGIN_RESPONSE, LOGOUT_RESPONSE, NO_TAG, NOP_IN, NOP_OUT,
                   R2T, REJECT, SCSI_RESPONSE, TEXT_RESPONSE, TMF_RESPONSE, Pdu, digest, padding)
from tap import Failure, check, equal

DEADLINE = 5
NUMBERED = {SCSI_RESPONSE, TMF_RESPONSE, LOGIN_RESPONSE, TEXT_RESPONSE, LOGOUT_RESPONSE, REJECT,
            ASYNC}
OPCODES = NUMBERED | {NOP_IN, DATA_IN, R2T}


class Closed(Failure):
    """The target has closed the connection."""


class Late(Failure):
    """Nothing came before the deadline."""


def serial_less(a, b):
    """RFC 1982 with 32 bits."""
    return a != b and ((b - a) & 0xffffffff) < 0x80000000


def numbered(pdu):
    """Whether it takes a StatSN of its own (4.2.2.2)."""
    return (pdu.opcode in NUMBERED or (pdu.opcode == DATA_IN and pdu.flags & 1)
            or (pdu.opcode == NOP_IN and pdu.itt != NO_TAG))


def _connect(address, source):
    """A TCP connection to (host, port), or one to the UNIX socket at a path."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(DEADLINE)
        sock.connect(address)
        return sock
    sock = socket.create_connection(address, DEADLINE,
                                    source_address=(source, 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Conn:
    def __init__(self, address, source=None):
        self.sock = _connect(address, source)
        self.sock.setblocking(False)
        self.buffer = bytearray()
        self.header_digest = False
        self.data_digest = False
        self.answer_nops = True
        self.events = None  # a list: Asynchronous Messages go there instead of to recv()
        self.expstatsn = None
        self.expcmdsn = None
        self.maxcmdsn = None

    def close(self):
        self.sock.close()

    def abort(self):
        """Closes with a reset, as a host that lost its power does after its return."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    # Sending

    def send_raw(self, data, deadline=DEADLINE):
        """Sends all of it, or finds the connection closed."""
        end = time.monotonic() + deadline
        view = memoryview(data)
        while view:
            _, writable, _ = select.select([], [self.sock], [], max(0, end - time.monotonic()))
            if not writable:
                raise Late(f"the target takes no more bytes, {len(view)} are left")
            try:
                view = view[self.sock.send(view):]
            except (BrokenPipeError, ConnectionResetError) as error:
                raise Closed("closed while sending") from error

    def wire(self, pdu):
        return pdu.wire(self.header_digest, self.data_digest)

    def send(self, *pdus):
        """Sends the PDUs in one segment where TCP allows it; returns the last."""
        self.send_raw(b"".join(self.wire(pdu) for pdu in pdus))
        return pdus[-1]

    # Receiving

    def _fill(self, length, end):
        while len(self.buffer) < length:
            readable, _, _ = select.select([self.sock], [], [], max(0, end - time.monotonic()))
            if not readable:
                raise Late(f"no answer in time, {len(self.buffer)} bytes of it came")
            try:
                got = self.sock.recv(1 << 20)
            except ConnectionResetError:
                got = b""
            if not got:
                raise Closed(f"connection closed, {len(self.buffer)} bytes of a PDU came before")
            self.buffer += got

    def _take(self, length, end):
        self._fill(length, end)
        taken = bytes(self.buffer[:length])
        del self.buffer[:length]
        return taken

    def _take_checked(self, length, end, digested, what):
        data = self._take(length, end)
        if digested and length:
            equal(self._take(4, end), digest(data), f"{what} digest")
        return data

    def recv_any(self, deadline=DEADLINE):
        """The next PDU, keep-alive requests included."""
        end = time.monotonic() + deadline
        self._fill(BHS, end)
        rest = self.buffer[4] * 4
        head = self._take_checked(BHS + rest, end, self.header_digest, "header")
        pdu = Pdu(bhs=head[:BHS])
        check(pdu.opcode in OPCODES, f"no target sends this opcode: {pdu}")
        pdu.ahs = head[BHS:]
        body = self._take_checked(pdu.dsl + padding(pdu.dsl), end, self.data_digest, "data")
        pdu.data = body[:pdu.dsl]
        self._check_numbers(pdu)
        return pdu

    def recv(self, deadline=DEADLINE):
        """The next PDU that is no keep-alive request, those are answered, and no event that goes
        elsewhere."""
        end = time.monotonic() + deadline
        while True:
            pdu = self.recv_any(max(0, end - time.monotonic()))
            if self.answer_nops and pdu.opcode == NOP_IN and pdu.ttt != NO_TAG:
                self.answer_nop(pdu)
            elif pdu.opcode == ASYNC and self.events is not None:
                self.events.append(pdu)
            else:
                return pdu

    def answer_nop(self, ping):
        self.send(Pdu(NOP_OUT | 0x40, flags=0x80, lun=ping.lun, itt=NO_TAG, ttt=ping.ttt,
                      cmdsn=self.expcmdsn, expstatsn=self.expstatsn))

    def _check_numbers(self, pdu):
        if pdu.opcode == LOGIN_RESPONSE and pdu.login_status:
            return
        self._check_statsn(pdu)
        if self.expcmdsn is not None:
            check(not serial_less(pdu.expcmdsn, self.expcmdsn), f"ExpCmdSN went back: {pdu}")
            check(not serial_less(pdu.maxcmdsn, self.maxcmdsn), f"MaxCmdSN went back: {pdu}")
        self.expcmdsn = pdu.expcmdsn
        self.maxcmdsn = pdu.maxcmdsn

    def _check_statsn(self, pdu):
        if numbered(pdu):
            if self.expstatsn is not None:
                equal(pdu.statsn, self.expstatsn, f"StatSN of {pdu}")
            self.expstatsn = (pdu.statsn + 1) & 0xffffffff
        elif pdu.opcode in (R2T, NOP_IN):
            equal(pdu.statsn, self.expstatsn, f"StatSN (the next one) of {pdu}")

    # Demands

    def expect(self, opcode, deadline=DEADLINE):
        pdu = self.recv(deadline)
        check(pdu.opcode == opcode, f"expected a PDU {opcode:#04x}, got {pdu}")
        return pdu

    def expect_reject(self, reason, bad, deadline=DEADLINE):
        """A Reject with this reason that carries the header it complains about."""
        pdu = self.expect(REJECT, deadline)
        equal(pdu.reason, reason, "Reject reason")
        equal(pdu.itt, NO_TAG, "ITT of the Reject")
        equal(pdu.data[:BHS], bad.header(), "header in the Reject")
        return pdu

    def expect_closed(self, deadline=DEADLINE):
        """Closed, and not one more byte before."""
        try:
            pdu = self.recv(deadline)
        except Closed:
            check(not self.buffer, f"closed inside a PDU: {bytes(self.buffer)!r}")
            return
        except Late as error:
            raise Late(f"the connection stays open, {error}") from error
        raise Failure(f"expected the connection closed, got {pdu}")

    def expect_login_refused(self, status, deadline=DEADLINE):
        """A Login Response with this class and detail, then the end."""
        pdu = self.expect(LOGIN_RESPONSE, deadline)
        equal(pdu.login_status, status, "login status")
        equal(pdu.dsl, 0, "length of the text of a refusal")
        self.expect_closed(deadline)
        return pdu
