# SPDX-License-Identifier: BSD-2-Clause
"""A session of several connections (RFC 7143 4.2.2, 6.3.4 to 6.3.6): CmdSN, tags and TSIH
belong to the session, StatSN, digests and lengths to each connection, which may lose PDUs
on purpose and withhold its acknowledgements."""

import select
import time

from conn import DEADLINE, Closed, numbered, serial_less
from initiator import DEFAULTS, INITIATOR, OPERATIONAL, Initiator, LoginRefused
from iscsi import ASYNC, BHS, LOGOUT_RESPONSE, NO_TAG, NOP_IN, R2T, TMF_RESPONSE
from suite import Skip
from tap import Failure, check, equal

CLOSE_SESSION, CLOSE_CONNECTION, RECOVERY = 0, 1, 2  # reasons of a Logout (11.14.1)
TASK_REASSIGN = 8
NO_TASK, STILL_ALLEGIANT, NO_REASSIGN = 1, 3, 4  # responses to it (11.6.1)
CONNECTION_KEYS = ("HeaderDigest", "DataDigest", "MaxRecvDataSegmentLength")


def _shared(name):
    return property(lambda link: getattr(link.session, name),
                    lambda link, value: setattr(link.session, name, value))


class Session:
    """What all connections share; `links` are those that are up, by CID."""

    def __init__(self, target, name=INITIATOR, isid=None):
        self.at, self.name, self.isid = target, name, isid
        self.cmdsn, self.itt, self.tsih = 1, 0x1000, 0
        self.keys = dict(DEFAULTS)
        self.links = {}

    @property
    def level(self):
        return int(self.keys.get("ErrorRecoveryLevel", "0"), 0)

    def connect(self, cid):
        """A connection that has said nothing yet."""
        link = Link(self, cid)
        self.at.connections.append(link)
        self.isid = self.isid or link.isid
        return link

    def lead(self, cid=1, **keys):
        """The leading login."""
        link = self.connect(cid)
        chap = getattr(self.at, "chap", None)
        link.login(**({"chap": self.at.one_way()} if chap else {}), **keys)
        self.keys = link.keys
        self.links[cid] = link
        return link

    def join(self, cid=None, **keys):
        """One more connection, or with the CID of another one its reinstatement."""
        cid = max(self.links, default=0) + 1 if cid is None else cid
        link = self.connect(cid)
        link.join(**keys)
        self.links[cid] = link
        return link


class Link(Initiator):
    """One connection. What it lost stands in `missing`: ExpStatSN stays there until it has
    come again. While it is `holding`, ExpStatSN does not move at all."""

    cmdsn, itt, tsih = _shared("cmdsn"), _shared("itt"), _shared("tsih")

    def __init__(self, session, cid):
        self.session = session
        common = session.cmdsn, session.itt, session.tsih
        super().__init__(session.at.address, session.at.iqn, session.name, session.isid,
                         lun=session.at.lun)
        session.cmdsn, session.itt, session.tsih = common
        self.cid = cid
        self.next_statsn = None
        self.missing = []
        self.holding = self.asked = False
        self.events = []
        self.early = []  # PDUs that came while another connection was waited for

    # Login

    def join_offer(self, **keys):
        """Only the keys of a connection: the others are those of the leading login."""
        offer = {"HeaderDigest": "None", "DataDigest": "None",
                 "MaxRecvDataSegmentLength": OPERATIONAL["MaxRecvDataSegmentLength"]}
        offer.update(keys)
        return [(key, value) for key, value in offer.items() if value is not None]

    def join_identity(self):
        return [("InitiatorName", self.name), ("TargetName", self.target)]

    def join(self, **keys):
        """A login into the session that there is."""
        tsih = self.tsih
        offer = self.join_offer(**keys)
        self.keys = {key: value for key, value in self.session.keys.items()
                     if key not in CONNECTION_KEYS}
        self.keys.update((key, DEFAULTS[key]) for key in CONNECTION_KEYS)
        if getattr(self.session.at, "chap", None):
            chap = self.session.at.one_way()
            self.login_step(self.join_identity() + [("AuthMethod", "CHAP")], csg=0,
                            transit=False)
            self.login_chap(chap)
            reply = self.login_step(offer)
        else:
            reply = self.login_step(self.join_identity() + offer)
        equal(reply.tsih, tsih, "TSIH of the Login Response")
        self.enter_full_feature(offer, reply)
        return self

    # Numbers

    def _check_statsn(self, pdu):
        if numbered(pdu):
            self._count(pdu)
        elif pdu.opcode in (R2T, NOP_IN):
            equal(pdu.statsn, self.next_statsn, f"StatSN (the next one) of {pdu}")

    def _count(self, pdu):
        """A new StatSN, one that was lost, or one that a SNACK has asked for."""
        if self.next_statsn is None or pdu.statsn == self.next_statsn:
            self.next_statsn = (pdu.statsn + 1) & 0xffffffff
        elif pdu.statsn in self.missing:
            self.missing.remove(pdu.statsn)
        else:
            again = (self.asked and serial_less(pdu.statsn, self.next_statsn)
                     and not serial_less(pdu.statsn, self.expstatsn))
            check(again, f"StatSN {pdu.statsn:#x}, the next one is {self.next_statsn:#x}: {pdu}")
        self._acknowledge()

    def _acknowledge(self):
        if not self.holding:
            self.expstatsn = min(self.missing, default=self.next_statsn,
                                 key=lambda sn: (sn - self.next_statsn) & 0xffffffff)

    def hold(self):
        """What comes from now on is not acknowledged."""
        self.holding = True

    def release(self):
        self.holding = False
        self._acknowledge()

    def withhold(self, statsn):
        """This status is not acknowledged yet: it, or data that belongs to it, is missing."""
        if statsn not in self.missing:
            self.missing.append(statsn)
        self._acknowledge()

    def settle(self, statsn):
        """Now it is."""
        if statsn in self.missing:
            self.missing.remove(statsn)
            self._acknowledge()

    def lose(self, deadline=DEADLINE):
        """The next PDU comes and is as good as lost; returned to compare with."""
        pdu = self.recv(deadline)
        if numbered(pdu):
            self.withhold(pdu.statsn)
        return pdu

    def recv(self, deadline=DEADLINE):
        """Messages that nobody asked for are kept in `events`."""
        while True:
            pdu = self.early.pop(0) if self.early else super().recv(deadline)
            if pdu.opcode != ASYNC:
                return pdu
            self.events.append(pdu)

    def expect_last(self, opcode, deadline=DEADLINE):
        """An answer before which the target may want to know that those on the other
        connections have come (the response fence, 4.2.2.3.4): their pings are answered."""
        end = time.monotonic() + deadline
        others = [link for link in self.session.links.values()
                  if link is not self and link.sock.fileno() >= 0]
        while not self.early and len(self.buffer) < BHS:
            by_socket = {link.sock: link for link in others}
            readable, _, _ = select.select([self.sock, *by_socket], [], [],
                                           max(0, end - time.monotonic()))
            if not readable or self.sock in readable:
                break
            for link in (by_socket[sock] for sock in readable):
                if not link.take_in():
                    others.remove(link)
        return self.expect(opcode, max(0, end - time.monotonic()))

    def take_in(self):
        """What has come is kept for later, pings are answered. False: the end has come."""
        try:
            pdu = self.recv_any()
        except Closed:
            return False
        if pdu.opcode == NOP_IN and pdu.ttt != NO_TAG:
            self.answer_nop(pdu)
        else:
            self.early.append(pdu)
        return True

    def tmf_taken(self, function):
        """A function that the target has when this returns: connections have no order among
        themselves. Its answer may have come, too, and is kept."""
        sent, ping = self.send(self.tmf_pdu(function)), self.send(self.ping_pdu())
        came = [self.recv()]
        if came[0].opcode != NOP_IN:
            came.append(self.expect(NOP_IN))
        equal(came.pop().itt, ping.itt, "ITT of the NOP-In")
        self.early += came
        return sent

    def tmf_reply(self, sent):
        pdu = self.expect_last(TMF_RESPONSE, 2 * DEADLINE)
        equal(pdu.itt, sent.itt, "ITT of the task management response")
        return pdu.response

    # Connections and tasks of others

    def again(self, *pdus):
        """PDUs of a connection that was lost are sent again here: with this one's ExpStatSN."""
        for pdu in pdus:
            pdu.expstatsn = self.expstatsn
        return self.send(*pdus)

    def logout_reply(self, reason, cid=None):
        """A Logout and the whole answer to it."""
        sent = self.send(self.logout_pdu(reason, cid))
        answer = self.expect_last(LOGOUT_RESPONSE)
        equal(answer.itt, sent.itt, "ITT of the Logout Response")
        return answer

    def reassign(self, command, expdatasn=0):
        """TASK REASSIGN for a command; returns the response."""
        pdu = self.tmf_pdu(TASK_REASSIGN, lun=0, rtt=command.itt)
        pdu.datasn = expdatasn
        return self.tmf_reply(self.send(pdu))


def links(target, count=1, level=2, clear=True, joined=(), **keys):
    """A session with so many connections, the CIDs from 1; its Links."""
    offer = {"ErrorRecoveryLevel": level, "MaxConnections": max(count, 4),
             "DefaultTime2Wait": 0, "DefaultTime2Retain": 3}
    offer.update(keys)
    session = Session(target)
    session.lead(**offer)
    equal(session.level, level, "ErrorRecoveryLevel")
    for lun in target.luns if clear else ():
        session.links[1].clear_unit_attention(lun)
    for _ in range(1, count):
        session.join(**dict(joined))
    return list(session.links.values())


def group(target, count=2, level=0, **keys):
    """The same; the case is skipped where the target has not so much."""
    if level and f"erl{level}" not in target.has:
        raise Skip(f"the target negotiates no ErrorRecoveryLevel {level}")
    if count > 1 and "mcs" not in target.has:
        raise Skip("the target negotiates MaxConnections 1")
    return links(target, count, level, **keys)


def refused(join, *statuses):
    """The login is refused with one of these."""
    try:
        join()
    except LoginRefused as error:
        check(error.status in statuses, f"login status {error.status:#06x}, expected "
              + " or ".join(f"{status:#06x}" for status in statuses))
        return
    raise Failure("the login was accepted")


def alive(*connections):
    for conn in connections:
        conn.ready().good()
        conn.ping()
