# SPDX-License-Identifier: BSD-2-Clause
"""An initiator whose every step can be replaced: login (stages, CHAP), commands
with all four ways to send data, text, task management."""

import os

from conn import DEADLINE, Conn
from iscsi import (CHECK_CONDITION, DATA_IN, DATA_OUT, GOOD, LOGIN, LOGIN_RESPONSE, LOGOUT,
                   LOGOUT_RESPONSE, NO_TAG, NOP_IN, NOP_OUT, R2T, SCSI_COMMAND, SCSI_RESPONSE,
                   TEXT, TEXT_RESPONSE, TMF, TMF_RESPONSE, Pdu, Sense, chap_response,
                   decode_binary, decode_text, encode_hex, encode_text, sense_text)
from tap import Failure, check, equal

BLOCK = 512
INITIATOR = "iqn.2026-11.test:initiator"
OPERATIONAL = {
    "HeaderDigest": "None", "DataDigest": "None", "InitialR2T": "No", "ImmediateData": "Yes",
    "MaxRecvDataSegmentLength": 262144, "MaxBurstLength": 1048576, "FirstBurstLength": 262144,
    "MaxOutstandingR2T": 1, "MaxConnections": 1, "ErrorRecoveryLevel": 0, "DefaultTime2Wait": 2,
    "DefaultTime2Retain": 20, "DataPDUInOrder": "Yes", "DataSequenceInOrder": "Yes",
}
DEFAULTS = {
    "HeaderDigest": "None", "DataDigest": "None", "InitialR2T": "Yes", "ImmediateData": "Yes",
    "MaxBurstLength": "262144", "FirstBurstLength": "65536", "MaxOutstandingR2T": "1",
    "MaxRecvDataSegmentLength": "8192",
}
READ_FLAG, WRITE_FLAG, FINAL = 0x40, 0x20, 0x80


class LoginRefused(Failure):
    def __init__(self, status):
        super().__init__(f"login refused with {status:#06x}")
        self.status = status


class Chap:
    """What the initiator knows: its name and secret, and the target's for mutual."""

    def __init__(self, name, secret, algorithms=(5,), target_name=None, target_secret=None,
                 encode=encode_hex):
        self.name, self.secret, self.algorithms = name, secret, algorithms
        self.target_name, self.target_secret = target_name, target_secret
        self.encode = encode
        self.chosen = self.identifier = self.challenge = None
        self.own_identifier, self.own_challenge = 0x5a, os.urandom(16)

    def offer(self):
        return [("CHAP_A", ",".join(map(str, self.algorithms)))]

    def challenged(self, pairs):
        keys = dict(pairs)
        equal(sorted(keys), ["CHAP_A", "CHAP_C", "CHAP_I"], "keys of the challenge")
        self.chosen, self.identifier = int(keys["CHAP_A"]), int(keys["CHAP_I"])
        self.challenge = decode_binary(keys["CHAP_C"])

    def answer(self):
        response = chap_response(self.chosen, self.identifier, self.secret, self.challenge)
        pairs = [("CHAP_N", self.name), ("CHAP_R", self.encode(response))]
        if self.target_secret is not None:
            pairs += [("CHAP_I", self.own_identifier), ("CHAP_C", self.encode(self.own_challenge))]
        return pairs

    def verify(self, pairs):
        """The target's answer to our challenge."""
        keys = dict(pairs)
        if self.target_secret is None:
            check("CHAP_R" not in keys, "a CHAP_R nobody asked for")
            return
        equal(keys.get("CHAP_N"), self.target_name, "CHAP_N of the target")
        expected = chap_response(self.chosen, self.own_identifier, self.target_secret,
                                 self.own_challenge)
        equal(decode_binary(keys.get("CHAP_R", "0x")), expected, "CHAP_R of the target")


class Result:
    """How a command ended."""

    def __init__(self, pdu, data, r2ts):
        self.pdu, self.data, self.r2ts = pdu, bytes(data), r2ts
        self.status = pdu.status
        self.sense = None
        if pdu.opcode == SCSI_RESPONSE:
            equal(pdu.response, 0, "iSCSI response of the command")
            if pdu.data:
                self.sense = Sense(pdu.data).code
        self.overflow = pdu.residual if pdu.flags & 4 else None
        self.underflow = pdu.residual if pdu.flags & 2 else None

    def good(self):
        check(self.status == GOOD,
              f"expected GOOD, got status {self.status:#04x} sense {sense_text(self.sense)}")
        return self

    def condition(self, code):
        """CHECK CONDITION with exactly this sense."""
        check(self.status == CHECK_CONDITION and self.sense == code,
              f"expected CHECK CONDITION {sense_text(code)}, "
              f"got status {self.status:#04x} sense {sense_text(self.sense)}")
        return self

    def residual(self, overflow=None, underflow=None):
        equal((self.overflow, self.underflow), (overflow, underflow), "residual (over, under)")
        return self


class Initiator(Conn):
    def __init__(self, address, target, name=INITIATOR, isid=None, source=None, lun=0):
        super().__init__(address, source)
        self.target, self.name = target, name
        self.lun = lun  # of commands and functions that name none
        self.isid = isid or b"\x80" + os.urandom(5)
        self.tsih = 0
        self.cid = 1
        self.itt = 0x1000
        self.login_itt = 0x0fff
        self.cmdsn = 1
        self.keys = dict(DEFAULTS)
        self.max_recv = self.max_send = 8192
        self.patience = DEADLINE  # s, for a Login Response

    def next_itt(self):
        self.itt += 1
        return self.itt

    def limit(self, key):
        return int(self.keys[key], 0)

    def says(self, key):
        return self.keys[key] == "Yes"

    # Login

    def identity(self, session="Normal"):
        pairs = [("InitiatorName", self.name), ("SessionType", session)]
        return pairs + ([("TargetName", self.target)] if session == "Normal" else [])

    def login_pdu(self, text=b"", csg=1, nsg=3, transit=True, more=False, **fields):
        """A Login Request; text is bytes or pairs, `more` the C bit."""
        pdu = Pdu(LOGIN | 0x40, isid=self.isid, tsih=self.tsih, itt=self.login_itt, cid=self.cid,
                  cmdsn=self.cmdsn, expstatsn=self.expstatsn or 0)
        pdu.flags = (FINAL if transit else 0) | (0x40 if more else 0) | csg << 2
        pdu.flags |= nsg if transit else 0
        pdu.data = text if isinstance(text, bytes) else encode_text(text)
        for name, value in fields.items():
            setattr(pdu, name, value)
        return pdu

    def login_reply(self):
        """A whole answer, over the C bit; its pairs stand in `.pairs`."""
        text = b""
        while True:
            pdu = self.expect(LOGIN_RESPONSE, self.patience)
            if pdu.login_status:
                raise LoginRefused(pdu.login_status)
            check(pdu.dsl <= self.max_recv, f"login text longer than {self.max_recv}: {pdu.dsl}")
            equal(pdu.itt, self.login_itt, "ITT of the Login Response")
            equal(pdu.isid, self.isid, "ISID of the Login Response")
            text += pdu.data
            if not pdu.flags & 0x40:
                pdu.pairs = decode_text(text)
                return pdu
            check(not pdu.final, "a Login Response with both T and C")
            self.send(self.login_pdu(csg=pdu.flags >> 2 & 3, transit=False))

    def login_step(self, text=b"", **how):
        self.send(self.login_pdu(text, **how))
        return self.login_reply()

    def login_security(self, session, chap):
        """The security stage, with or without CHAP, up to the change of stage."""
        method = "CHAP" if chap else "None"
        reply = self.login_step(self.identity(session) + [("AuthMethod", method)],
                                csg=0, nsg=1, transit=not chap)
        equal(dict(reply.pairs).get("AuthMethod"), method, "AuthMethod")
        if chap:
            self.login_chap(chap)
        else:
            equal(reply.flags & 0x8f, 0x81, "stage bits of the end of security")

    def login_chap(self, chap):
        """From CHAP_A to the change of stage."""
        chap.challenged(self.login_step(chap.offer(), csg=0, transit=False).pairs)
        reply = self.login_step(chap.answer(), csg=0, nsg=1)
        chap.verify(reply.pairs)
        equal(reply.flags & 0x8f, 0x81, "stage bits of the end of security")

    def operational(self, session="Normal", **keys):
        """The keys to offer: the usual ones, those given instead, None to leave one out."""
        offer = dict(OPERATIONAL) if session == "Normal" else {
            key: OPERATIONAL[key] for key in ("HeaderDigest", "DataDigest",
                                              "MaxRecvDataSegmentLength", "DefaultTime2Wait",
                                              "DefaultTime2Retain", "ErrorRecoveryLevel")}
        offer.update(keys)
        return [(key, value) for key, value in offer.items() if value is not None]

    def login(self, session="Normal", security=False, chap=None, **keys):
        """All the way to the full feature phase; returns self."""
        offer = self.operational(session, **keys)
        if security or chap:
            self.login_security(session, chap)
            reply = self.login_step(offer)
        else:
            reply = self.login_step(self.identity(session) + offer)
        self.enter_full_feature(offer, reply)
        return self

    def enter_full_feature(self, offer, reply):
        equal(reply.flags & 0x8f, 0x87, "stage bits of the end of login")
        check(reply.tsih, "the last Login Response has no TSIH")
        self.tsih = reply.tsih
        answer = dict(reply.pairs)
        self.max_recv = int(dict(offer).get("MaxRecvDataSegmentLength", 8192))
        self.max_send = int(answer.pop("MaxRecvDataSegmentLength", 8192))
        answer.pop("TargetPortalGroupTag", None)
        self.keys.update(answer)
        self.header_digest = self.keys["HeaderDigest"] == "CRC32C"
        self.data_digest = self.keys["DataDigest"] == "CRC32C"

    # Full feature phase

    def fill(self, pdu, immediate=False):
        """Gives a request its CmdSN and ExpStatSN."""
        pdu.cmdsn, pdu.expstatsn = self.cmdsn, self.expstatsn
        if immediate:
            pdu.byte0 |= 0x40
        else:
            self.cmdsn = (self.cmdsn + 1) & 0xffffffff
        return pdu

    def ping_pdu(self, data=b"", immediate=True, **fields):
        pdu = Pdu(NOP_OUT, flags=FINAL, itt=self.next_itt(), ttt=NO_TAG, data=data)
        self.fill(pdu, immediate)
        for name, value in fields.items():
            setattr(pdu, name, value)
        return pdu

    def ping(self, data=b"", immediate=True):
        """A NOP-Out and its echo, the very next PDU: nothing else was on its way."""
        sent = self.send(self.ping_pdu(data, immediate))
        answer = self.expect(NOP_IN)
        equal(answer.itt, sent.itt, "ITT of the NOP-In")
        equal(answer.data, data, "echo of the ping")
        return answer

    def resync(self):
        """Alive, silent, and our CmdSN is the one the target waits for: after a
        rejected request it may be either."""
        self.cmdsn = self.ping().expcmdsn

    def command_pdu(self, cdb, lun=None, read=0, write=0, data=b"", final=True, immediate=False,
                    **fields):
        """A SCSI Command; `data` is the immediate data, not final when unsolicited
        Data-Out PDUs follow."""
        lun = self.lun if lun is None else lun
        pdu = Pdu(SCSI_COMMAND, lun=lun << 48, itt=self.next_itt(), edtl=read or write, data=data)
        pdu.flags = (FINAL if final else 0) | 1
        pdu.flags |= (READ_FLAG if read else 0) | (WRITE_FLAG if write else 0)
        pdu.cdb = cdb
        self.fill(pdu, immediate)
        for name, value in fields.items():
            setattr(pdu, name, value)
        return pdu

    def data_out_pdu(self, command, data, offset, ttt=NO_TAG, datasn=0, final=True, **fields):
        pdu = Pdu(DATA_OUT, flags=FINAL if final else 0, lun=command.lun, itt=command.itt, ttt=ttt,
                  expstatsn=self.expstatsn, datasn=datasn, offset=offset, data=bytes(data))
        for name, value in fields.items():
            setattr(pdu, name, value)
        return pdu

    def burst(self, command, data, offset, length, ttt, chunk=None):
        """The Data-Out PDUs of one burst, F on the last."""
        chunk = chunk or self.max_send
        end = offset + length
        return [self.data_out_pdu(command, data[at:min(at + chunk, end)], at, ttt, datasn,
                                  final=at + chunk >= end)
                for datasn, at in enumerate(range(offset, end, chunk))]

    def answer_r2t(self, command, r2t, data, chunk=None):
        self.send(*self.burst(command, data, r2t.offset, r2t.desired, r2t.ttt, chunk))

    def expect_r2t(self, command, number=0):
        pdu = self.expect(R2T)
        equal((pdu.itt, pdu.lun, pdu.r2tsn), (command.itt, command.lun, number),
              "ITT, LUN, R2TSN of the R2T")
        check(pdu.ttt != NO_TAG, "an R2T needs a TTT")
        check(0 < pdu.desired <= self.limit("MaxBurstLength"), f"R2T for {pdu.desired} bytes")
        check(pdu.offset + pdu.desired <= command.edtl, f"R2T beyond the transfer: {pdu}")
        return pdu

    def complete(self, command, data=None, deadline=DEADLINE):
        """Everything of one command until its status: Data-In is gathered, each R2T
        is answered out of `data`."""
        got = bytearray()
        r2ts = []
        data_ins = 0
        while True:
            pdu = self.recv(deadline)
            equal(pdu.itt, command.itt, f"ITT of {pdu}")
            if pdu.opcode == DATA_IN:
                equal((pdu.datasn, pdu.offset), (data_ins, len(got)), "DataSN, offset of Data-In")
                check(pdu.dsl <= self.max_recv, f"Data-In of {pdu.dsl} bytes")
                data_ins += 1
                got += pdu.data
                if pdu.flags & 1:
                    check(pdu.final, "Data-In with S and without F")
                    return Result(pdu, got, r2ts)
            elif pdu.opcode == R2T:
                check(data is not None, f"an R2T that no data is for: {pdu}")
                equal(pdu.r2tsn, len(r2ts), "R2TSN")
                r2ts.append(pdu)
                self.answer_r2t(command, pdu, data)
            else:
                check(pdu.opcode == SCSI_RESPONSE, f"not an answer to a command: {pdu}")
                if data_ins:
                    equal(pdu.datasn, data_ins, "ExpDataSN")
                return Result(pdu, got, r2ts)

    def scsi(self, cdb, lun=None, **how):
        """A command without data out."""
        return self.complete(self.send(self.command_pdu(cdb, lun, **how)))

    def ready(self, lun=None):
        return self.scsi(bytes(6), lun)

    def clear_unit_attention(self, lun=None):
        """Takes what is pending, as every initiator does on a new nexus."""
        for _ in range(4):
            result = self.ready(lun)
            if result.status == GOOD:
                return
            check(result.sense and result.sense[0] == 6,
                  f"not ready: status {result.status:#04x} sense {sense_text(result.sense)}")
        raise Failure("unit attentions without end")

    def read(self, lba, blocks, lun=None):
        result = self.scsi(read10(lba, blocks), lun, read=blocks * BLOCK).good().residual()
        equal(len(result.data), blocks * BLOCK, "bytes read")
        return result.data

    def unsolicited(self, length):
        """How much goes with and right behind a write of this length by the keys."""
        first = min(self.limit("FirstBurstLength"), length)
        immediate = min(first, self.max_send) if self.says("ImmediateData") else 0
        return immediate, first if not self.says("InitialR2T") else immediate

    def write_pdus(self, lba, data, lun=None, chunk=None):
        """WRITE(10) as the keys want it: the command, with what immediate and
        unsolicited data they allow."""
        immediate, first = self.unsolicited(len(data))
        pdu = self.command_pdu(write10(lba, len(data) // BLOCK), lun, write=len(data),
                               data=data[:immediate], final=first == immediate)
        pdus = [pdu]
        if first > immediate:
            pdus += self.burst(pdu, data, immediate, first - immediate, NO_TAG, chunk)
        return pdus

    def write(self, lba, data, lun=None, chunk=None):
        pdus = self.write_pdus(lba, data, lun, chunk)
        self.send(*pdus)
        return self.complete(pdus[0], data)

    def solicited_write(self, lba, blocks, lun=None):
        """A write that waits for its R2T: the command and the R2T."""
        pdu = self.send(self.command_pdu(write10(lba, blocks), lun, write=blocks * BLOCK))
        return pdu, self.expect_r2t(pdu)

    # Text, task management, logout

    def text_pdu(self, text=b"", flags=FINAL, ttt=NO_TAG, itt=None, immediate=False):
        pdu = Pdu(TEXT, flags=flags, itt=itt or self.next_itt(), ttt=ttt)
        pdu.data = text if isinstance(text, bytes) else encode_text(text)
        return self.fill(pdu, immediate)

    def text(self, text):
        """A text exchange to its end; returns the pairs and the number of answers."""
        request = self.send(self.text_pdu(text))
        answer, count = b"", 0
        while True:
            pdu = self.expect(TEXT_RESPONSE)
            equal(pdu.itt, request.itt, "ITT of the Text Response")
            check(pdu.dsl <= self.max_recv, f"Text Response of {pdu.dsl} bytes")
            answer, count = answer + pdu.data, count + 1
            if pdu.final:
                check(not pdu.flags & 0x40, "a Text Response with both F and C")
                equal(pdu.ttt, NO_TAG, "TTT of the last Text Response")
                return decode_text(answer), count
            check(pdu.ttt != NO_TAG, "a Text Response that goes on needs a TTT")
            self.send(self.text_pdu(ttt=pdu.ttt, itt=request.itt))

    def tmf_pdu(self, function, lun=None, rtt=NO_TAG, refcmdsn=0, immediate=True):
        lun = self.lun if lun is None else lun
        pdu = Pdu(TMF, flags=FINAL | function, lun=lun << 48, itt=self.next_itt(), rtt=rtt,
                  refcmdsn=refcmdsn)
        return self.fill(pdu, immediate)

    def tmf(self, function, **how):
        """A task management function; returns the response code."""
        sent = self.send(self.tmf_pdu(function, **how))
        return self.tmf_reply(sent)

    def tmf_reply(self, sent):
        pdu = self.expect(TMF_RESPONSE)
        equal(pdu.itt, sent.itt, "ITT of the task management response")
        return pdu.response

    def logout_pdu(self, reason=0, cid=None, immediate=True):
        pdu = Pdu(LOGOUT, flags=FINAL | reason, itt=self.next_itt(),
                  cid=self.cid if cid is None else cid)
        return self.fill(pdu, immediate)

    def logout(self, reason=0, cid=None):
        sent = self.send(self.logout_pdu(reason, cid))
        pdu = self.expect(LOGOUT_RESPONSE)
        equal(pdu.itt, sent.itt, "ITT of the Logout Response")
        return pdu.response


def read10(lba, blocks):
    return bytes([0x28, 0]) + lba.to_bytes(4, "big") + b"\0" + blocks.to_bytes(2, "big") + b"\0"


def write10(lba, blocks):
    return b"\x2a" + read10(lba, blocks)[1:]


def inquiry(length, page=None):
    return bytes([0x12, page is not None, page or 0]) + length.to_bytes(2, "big") + b"\0"


def report_luns(length):
    return bytes([0xa0]) + bytes(5) + length.to_bytes(4, "big") + bytes(2)


def pattern(blocks, stamp):
    """Data in which every block tells which write and which block it is."""
    return b"".join(b"%08x %08x " % (stamp, block) * 28 + bytes(8) for block in range(blocks))
