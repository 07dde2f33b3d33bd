# SPDX-License-Identifier: BSD-2-Clause
"""Verified I/O on a session whose connections are dropped at random, and brought back by the
means of its ErrorRecoveryLevel: a new session and repetition, SNACKs and recovery R2Ts,
TASK REASSIGN. Nothing may be lost, nothing be done twice."""

import random
import select
import time

from conn import DEADLINE, Closed, numbered, serial_less
from initiator import BLOCK, read10, write10
from iscsi import (DATA_IN, DATA_OUT, DIGEST_ERROR, GOOD, INVALID_OPCODE, NO_TAG, NOP_IN, R2T,
                   REJECT, SCSI_COMMAND, SCSI_RESPONSE, Pdu, Sense, sense_text)
from multi import RECOVERY, Session
from recovery import (ACKNOWLEDGE, data_ack, data_snack, has_status, spoilt, spoilt_header,
                      status_snack)
from tap import Failure, check
from verified import Region

READ, WRITE, SWAP, PROBE = "read", "write", "compare and write", "read after a loss"
KINDS = [READ, READ, WRITE, WRITE, WRITE, SWAP]
COUNTERS, LONGEST = 4, 32  # blocks
INNOCENT_S = 5  # between looks at the innocent session; it would be pinged after 15
COMPARE_AND_WRITE = 0x89
MISCOMPARE = 0xe
BUSY, TASK_SET_FULL = 0x08, 0x28


class Op:
    """A command until its effect is known. `at` and `count` are blocks of the region."""

    def __init__(self, kind, at, count, generation=0):
        self.kind, self.at, self.count, self.generation = kind, at, count, generation
        self.out = None
        self.tried = False  # before its session was lost
        self.start(None, ())

    @property
    def writes(self):
        return self.kind in (WRITE, SWAP)

    @property
    def pdu(self):
        return self.pdus[0]

    def start(self, link, pdus):
        """On its way as a new command."""
        self.link, self.pdus = link, pdus
        self.got = bytearray(0 if self.writes else self.count * BLOCK)
        self.have = {}
        self.acknowledged = 0  # bytes of Data-In that the target need not send again
        self.forget()

    def forget(self):
        """On its way on another connection: what the old one had asked for is void."""
        self.answered, self.status, self.ack = set(), None, None

    def take(self, pdu):
        check(pdu.offset + pdu.dsl <= len(self.got), f"Data-In beyond the transfer: {pdu}")
        self.got[pdu.offset:pdu.offset + pdu.dsl] = pdu.data
        self.have[pdu.offset] = pdu.dsl
        if pdu.flags & ACKNOWLEDGE:
            self.ack = pdu

    def whole(self, length=None):
        """How much came without a hole, or whether all of it did."""
        at = 0
        while at in self.have and self.have[at]:
            at += self.have[at]
        return at if length is None else at >= length

    def __repr__(self):
        sent = "not sent"
        if self.pdus:
            sent = f"ITT {self.pdu.itt:#x} CmdSN {self.pdu.cmdsn:#x} on CID {self.link.cid}"
        return f"{self.kind} of {self.count} at {self.at} generation {self.generation}, {sent}"


class Chaos:
    """`drops` connections are dropped at `level`; `losses` is the share of PDUs that are
    spoilt or lost at level 1 and 2."""

    def __init__(self, target, level, connections=3, drops=60, seed=1, losses=0.03, lba=4000,
                 blocks=512):
        self.target, self.level, self.connections = target, level, connections
        self.goal, self.losses = drops, losses if level else 0
        self.random = random.Random(f"{seed} {level} {connections}")
        self.region = Region(lba, blocks + COUNTERS, self.random.getrandbits(48))
        self.digests = bool(level) and "digests" in target.has
        self.depth, self.kinds = 6, KINDS
        self.session = None
        self.links = []
        self.ops = {}
        self.later = []  # what the initiator does in its next turn
        self.waiting = []  # ops that wait to be sent as new commands
        self.trap = None
        self.count = dict.fromkeys(("drops", "commands", "repeated", "retried", "reassigned",
                                    "lost PDUs", "spoilt PDUs", "SNACKs", "sessions"), 0)

    def chance(self, share):
        return self.random.random() < share

    # Sessions and connections

    def open(self):
        """A new session with the ISID of the one before, which ends the old one."""
        keys = self.random.choice((
            {"InitialR2T": "Yes", "ImmediateData": "Yes"},
            {"InitialR2T": "No", "ImmediateData": "Yes"},
            {"InitialR2T": "Yes", "ImmediateData": "No"}))
        isid = self.session.isid if self.session else None
        self.session = Session(self.target, "iqn.2026-11.test:chaos", isid)
        first = self.session.lead(
            ErrorRecoveryLevel=self.level, MaxConnections=max(self.connections, 1),
            DefaultTime2Wait=0, DefaultTime2Retain=20, FirstBurstLength=4096,
            MaxBurstLength=8192, MaxOutstandingR2T=1, **self.of_connection(), **keys)
        check(self.session.level == self.level, f"level {self.session.level}")
        first.clear_unit_attention()
        self.links = [first]
        while len(self.links) < self.connections:
            self.join(len(self.links) + 1)
        self.count["sessions"] += 1

    def of_connection(self):
        digest = "CRC32C" if self.digests and self.chance(0.7) else "None"
        return {"HeaderDigest": digest, "DataDigest": digest,
                "MaxRecvDataSegmentLength": self.random.choice((2048, 4096, 65536))}

    def join(self, cid):
        link = self.session.join(cid, **self.of_connection())
        self.links.append(link)
        return link

    def shut(self, link):
        """One way or the other the connection is no more."""
        (link.abort if self.chance(0.5) else link.close)()
        self.target.connections.remove(link)
        self.links.remove(link)
        self.later = [(other, todo) for other, todo in self.later if other is not link]

    # Commands

    def new_op(self):
        region = self.region
        kind = self.random.choice(self.kinds)
        if kind == SWAP:
            at, count = region.blocks - COUNTERS + self.random.randrange(COUNTERS), 1
        else:
            count = self.random.choice((1, 1, 2, 8, 20, LONGEST))
            at = self.random.randrange(region.blocks - COUNTERS - count)
        if not region.free(at, count, kind != READ):
            return None
        region.lock(at, count, kind != READ)
        op = Op(kind, at, count)
        if kind != READ:
            op.generation = region.next_generation()
            op.out = region.data(at, count, op.generation)
            if kind == SWAP:
                old, = region.allowed[at]
                op.out = region.data(at, 1, old) + op.out
            region.begun(at, count, op.generation)
        return op

    def room(self):
        """How many commands the window takes."""
        best = self.links[0].maxcmdsn
        for link in self.links:
            best = link.maxcmdsn if serial_less(best, link.maxcmdsn) else best
        ahead = (best - self.session.cmdsn + 1) & 0xffffffff
        return ahead if ahead < 0x80000000 else 0

    def build(self, op, link):
        """The command and its unsolicited data."""
        lba = self.region.lba + op.at
        if not op.writes:
            pdu = link.command_pdu(read10(lba, op.count), read=op.count * BLOCK)
            op.start(link, [pdu])
            return op.pdus
        cdb = write10(lba, op.count)
        if op.kind == SWAP:
            cdb = self.swap(lba)
        now, first = link.unsolicited(len(op.out))
        pdu = link.command_pdu(cdb, write=len(op.out), data=op.out[:now], final=now == first)
        pdus = [pdu]
        if first > now:
            pdus += link.burst(pdu, op.out, now, first - now, NO_TAG, 1024)
        op.start(link, pdus)
        return pdus

    @staticmethod
    def swap(lba):
        return bytes([COMPARE_AND_WRITE, 0]) + lba.to_bytes(8, "big") + bytes([0, 0, 0, 1, 0, 0])

    def issue(self, op, link):
        self.build(op, link)
        self.ops[op.pdu.itt] = op
        self.count["commands"] += 1
        self.send(op, op.pdus)

    def send(self, op, pdus):
        """Some are spoilt on their way, some never sent, and sent again when that is known."""
        wire = b""
        for number, pdu in enumerate(pdus):
            last = number == len(pdus) - 1
            if not self.chance(self.losses):
                wire += op.link.wire(pdu)
            elif pdu.data and op.link.data_digest:
                wire += spoilt(op.link, pdu)
                self.count["spoilt PDUs"] += 1
            elif pdu.opcode == DATA_OUT and not last:
                self.count["lost PDUs"] += 1
            elif pdu.opcode == SCSI_COMMAND and last:
                self.count["lost PDUs"] += 1
                self.do_later(op.link, lambda: self.retry(op))
            else:
                wire += op.link.wire(pdu)
        op.link.send_raw(wire)

    def do_later(self, link, todo):
        self.later.append((link, todo))

    def retry(self, op):
        """The same command with its CmdSN: the target does not have it."""
        self.count["retried"] += 1
        op.answered.clear()
        for pdu in op.pdus:
            pdu.expstatsn = op.link.expstatsn
        self.send(op, op.pdus)

    # Answers

    def receive(self, link):
        """One PDU, which may be as good as lost."""
        pdu = link.recv()
        ours = pdu.opcode in (SCSI_RESPONSE, DATA_IN, R2T, REJECT)
        if not ours or not self.chance(self.losses):
            return pdu
        self.count["lost PDUs"] += 1
        if numbered(pdu):
            link.withhold(pdu.statsn)
        self.do_later(link, lambda: self.ask_again(link, pdu))
        return None

    def ask_again(self, link, pdu):
        self.count["SNACKs"] += 1
        if pdu.opcode in (DATA_IN, R2T):
            data_snack(link, pdu, pdu.datasn, 1)
        else:
            status_snack(link, pdu.statsn, 1)

    def handle(self, link, pdu):
        if pdu is None or pdu.opcode == NOP_IN:
            return
        if pdu.opcode == REJECT:
            self.rejected(link, pdu)
            return
        op = self.ops.get(pdu.itt)
        check(op is not None, f"an answer to nothing: {pdu}")
        check(op.link is link, f"an answer to {op} on CID {link.cid}: {pdu}")
        if pdu.opcode == R2T:
            self.asked_for(op, pdu)
            return
        if pdu.opcode == DATA_IN:
            op.take(pdu)
        else:
            check(pdu.opcode == SCSI_RESPONSE, f"not an answer to {op}: {pdu}")
        if has_status(pdu):
            op.status = pdu
        self.proceed(op)

    def rejected(self, link, reject):
        bad = Pdu(bhs=reject.data[:48])
        check(reject.reason == DIGEST_ERROR and self.losses, f"{reject} for {bad}")
        op = self.ops.get(bad.itt)
        if bad.opcode == SCSI_COMMAND:
            check(op is not None and op.link is link, f"Reject for a command that is done: {bad}")
            self.retry(op)

    def asked_for(self, op, r2t):
        check(op.writes and r2t.offset + r2t.desired <= len(op.out), f"R2T to {op}: {r2t}")
        if r2t.r2tsn in op.answered:
            return
        op.answered.add(r2t.r2tsn)
        pdus = op.link.burst(op.pdu, op.out, r2t.offset, r2t.desired, r2t.ttt, 1024)
        if self.trap is op:
            wire = b"".join(map(op.link.wire, pdus))
            op.link.send_raw(wire[:self.random.randrange(len(wire))])
            self.trap = None
            return
        self.send(op, pdus)

    def proceed(self, op):
        """Acknowledges what is whole; a read may have its status before all of its data."""
        link = op.link
        if op.ack and not op.status and op.whole(op.ack.offset + op.ack.dsl):
            data_ack(link, op.ack)
            op.acknowledged, op.ack = op.ack.offset + op.ack.dsl, None
        if op.status is None:
            return
        if op.status.status == GOOD and not op.writes and not op.whole(len(op.got)):
            link.withhold(op.status.statsn)
            return
        link.settle(op.status.statsn)
        del self.ops[op.pdu.itt]
        self.finished(op)

    def finished(self, op):
        pdu, region = op.status, self.region
        sense = Sense(pdu.data).code if pdu.opcode == SCSI_RESPONSE and pdu.data else None
        if pdu.status in (BUSY, TASK_SET_FULL) or (sense and sense[0] == 6):
            self.waiting.append(op)
            return
        if op.kind == SWAP and sense and sense[0] == MISCOMPARE and op.tried:
            # The session was lost behind it: then its own data is what it met.
            self.waiting.append(self.probe(op))
            return
        check(pdu.status == GOOD, f"{op} ended with status {pdu.status:#04x}, "
              f"sense {sense_text(sense)}")
        if op.writes:
            region.written(op.at, op.count, op.generation)
        else:
            region.seen(op.at, op.got)
        region.unlock(op.at, op.count)

    def probe(self, op):
        """A look at what became of a write; a counter must have been written."""
        if op.kind == SWAP:
            self.region.allowed[op.at] = {op.generation}
        return Op(PROBE, op.at, op.count, op.generation)

    # The loop

    def turn(self):
        """Sends what there is to send and takes what there is to take."""
        self.run_later()
        while len(self.ops) < self.depth * len(self.links) and self.room():
            op = self.new_op()
            if op is None:
                break
            self.issue(op, self.random.choice(self.links))
        self.pump(0 if self.later else DEADLINE)

    def run_later(self):
        todo, self.later = self.later, []
        for link, action in todo:
            if link in self.links:
                action()
        while self.waiting and self.room():
            self.issue(self.waiting.pop(), self.random.choice(self.links))

    def pump(self, deadline):
        """Takes what has come, or waits for it; True: something came."""
        ready = [link for link in self.links if len(link.buffer) >= 48]
        if not ready:
            by_socket = {link.sock: link for link in self.links}
            readable, _, _ = select.select(list(by_socket), [], [], deadline)
            ready = [by_socket[sock] for sock in readable]
        if not ready and deadline >= DEADLINE and self.ops and not self.later:
            raise Failure(f"nothing comes for {len(self.ops)} commands: "
                          f"{list(self.ops.values())[:4]}")
        for link in ready:
            try:
                self.handle(link, self.receive(link))
            except Closed as error:
                raise Failure(f"the target closed CID {link.cid}: {error}") from error
        return bool(ready)

    def settle_down(self):
        """Until no command is under way."""
        while self.ops or self.waiting or self.later:
            self.run_later()
            if self.ops:
                self.pump(0 if self.later else DEADLINE)

    def answer_to(self, link, request):
        """The answer to a request; what comes before it is handled."""
        link.send(request)
        end = time.monotonic() + DEADLINE
        while True:
            check(time.monotonic() < end, f"no answer on CID {link.cid} to {request}")
            pdu = link.recv()
            if pdu.itt == request.itt and pdu.opcode not in (DATA_IN, R2T, SCSI_RESPONSE):
                return pdu
            self.handle(link, pdu)

    # Drops

    def drop(self):
        """One connection (or two at once) ends in the middle of something."""
        kinds = [self.cut, self.behind_commands, self.in_a_burst, self.unread, self.bad_header]
        victims = [self.random.choice(self.links)]
        if self.level == 2 and len(self.links) > 1 and self.chance(0.1):
            victims = self.random.sample(self.links, 2)
        for link in victims:
            self.random.choice(kinds)(link)
            self.shut(link)
            # What it has lost holds up the other one's commands: no R2T would come.
            kinds = [kind for kind in kinds if kind != self.in_a_burst]
            self.count["drops"] += 1
        if self.level < 2 or self.chance(0.03):
            self.start_over()
        else:
            self.recover(victims)

    def some(self, link, count):
        """New commands for this connection, not sent; fewer when there is no room."""
        ops = []
        for _ in range(count * 20):
            if len(ops) == count or self.room() <= 0:
                break
            op = self.new_op()
            if op is None:
                continue
            self.build(op, link)
            self.ops[op.pdu.itt] = op
            self.count["commands"] += 1
            ops.append(op)
        return ops

    def cut(self, link):
        """In the middle of a PDU."""
        wire = b"".join(link.wire(pdu) for op in self.some(link, 2) for pdu in op.pdus)
        if wire:
            link.send_raw(wire[:self.random.randrange(len(wire))])

    def behind_commands(self, link):
        """Behind commands, nothing read."""
        link.send_raw(b"".join(link.wire(pdu) for op in self.some(link, 3) for pdu in op.pdus))

    def unread(self, link):
        """Answers have come and are not read."""
        self.behind_commands(link)
        select.select([link.sock], [], [], 0.2)

    def in_a_burst(self, link):
        """Some Data-Out of a burst, the last one cut."""
        for op in self.some(link, 4):
            link.send_raw(b"".join(map(link.wire, op.pdus)))
            now, first = link.unsolicited(len(op.out or b""))
            if not self.trap and op.writes and len(op.out) > max(now, first):
                self.trap = op
        end = time.monotonic() + 1
        while self.trap and time.monotonic() < end and self.trap.pdu.itt in self.ops:
            if self.trap.link not in self.links:
                break
            self.run_later()
            self.pump(0.1)
        self.trap = None

    def bad_header(self, link):
        """A header digest error: the target closes."""
        if link.header_digest:
            link.send_raw(spoilt_header(link, link.ping_pdu(b"spoilt")))
        else:
            self.behind_commands(link)

    # Recovery

    def start_over(self):
        """Session recovery: all that is not acknowledged is repeated, or looked at first."""
        for link in list(self.links):
            self.shut(link)
        lost, self.ops = list(self.ops.values()) + self.waiting, {}
        self.waiting, self.later = [], []
        self.open()
        for op in lost:
            op.tried = True
            if op.kind == WRITE and self.chance(0.5):
                op = Op(PROBE, op.at, op.count, op.generation)
            self.count["repeated"] += 1
            self.waiting.append(op)

    def recover(self, victims):
        """Connection recovery, by an implicit or an explicit logout."""
        for victim in victims:
            if self.links and self.chance(0.5):
                link = self.random.choice(self.links)
                answer = self.answer_to(link, link.logout_pdu(RECOVERY, victim.cid))
                check(answer.response == 0, f"response {answer.response} to the Logout")
                expected = answer.expcmdsn
                self.bring_home(victim, link, expected)
                self.join(victim.cid)
            else:
                link = self.join(victim.cid)
                self.bring_home(victim, link, link.expcmdsn)

    def bring_home(self, victim, link, expcmdsn):
        """The tasks of the lost connection go on here: what the target has is reassigned, what
        it has not is sent again with its CmdSN."""
        tasks = sorted((op for op in self.ops.values() if op.link is victim),
                       key=lambda op: (op.pdu.cmdsn - expcmdsn + 0x80000000) & 0xffffffff)
        for op in tasks:
            op.link = link
            if not serial_less(op.pdu.cmdsn, expcmdsn):
                op.have.clear()
                op.forget()
                self.retry(op)
        for op in tasks:
            if serial_less(op.pdu.cmdsn, expcmdsn):
                self.reassign(op, link)

    def reassign(self, op, link):
        """All its data again, or what is behind that which came."""
        op.forget()
        expdatasn = 0  # what is acknowledged stays so
        if self.chance(0.5):
            op.acknowledged = op.whole()
            expdatasn = sum(1 for offset in op.have if offset < op.acknowledged)
        op.have = {at: size for at, size in op.have.items() if at < op.acknowledged}
        request = link.tmf_pdu(8, lun=0, rtt=op.pdu.itt)
        request.expdatasn = expdatasn
        answer = self.answer_to(link, request)
        check(answer.response == 0, f"response {answer.response} to TASK REASSIGN of {op}")
        self.count["reassigned"] += 1

    # The whole

    def fill(self):
        """The region as it is at the beginning."""
        conn = self.target.login()
        region = self.region
        for at in range(0, region.blocks, LONGEST):
            count = min(LONGEST, region.blocks - at)
            conn.write(region.lba + at, region.data(at, count, 0)).good()
        swap = conn.command_pdu(self.swap(region.lba), write=2 * BLOCK,
                                data=2 * region.data(0, 1, 0))
        if conn.complete(conn.send(swap)).sense == INVALID_OPCODE:
            self.kinds = [kind for kind in KINDS if kind != SWAP]
        conn.logout()

    def verify(self):
        """Everything once more, from another session."""
        conn = self.target.login()
        for at in range(0, self.region.blocks, LONGEST):
            count = min(LONGEST, self.region.blocks - at)
            self.region.seen(at, conn.read(self.region.lba + at, count))
        conn.logout()

    def run(self):
        """Returns the figures."""
        begin = time.monotonic()
        self.fill()
        self.open()
        looked = begin
        while self.count["drops"] < self.goal:
            for _ in range(self.random.randrange(1, 40)):
                self.turn()
            self.drop()
            if time.monotonic() - looked > INNOCENT_S:
                looked = time.monotonic()
                self.target.check_innocent("while connections are dropped")
        self.settle_down()
        self.verify()
        for link in list(self.links):
            self.shut(link)
        self.count["seconds"] = round(time.monotonic() - begin, 1)
        return self.count
