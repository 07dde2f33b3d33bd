# SPDX-License-Identifier: BSD-2-Clause
"""A target that somebody else has started, anywhere: the interface of `Target` for an
address. It is asked once what it negotiates and has; cases say what they need of it."""

import contextlib
import re
import subprocess
import time

from initiator import BLOCK, Chap, report_luns
from tap import Failure, check
from target import INNOCENT_BLOCKS, Target

RETURN, GONE = 10, 60
MIN_BLOCKS = 32768
URL = re.compile(r"iscsi://(\[[^\]]+\]|[^:/]+)(?::(\d+))?/([^/]+)/(\d+)$")
UNIX_URL = re.compile(r"iscsi\+unix:(.+)/([^/]+)/(\d+)$")
CAPACITY = bytes([0x25]) + bytes(9)


def parse_url(url):
    """(address, target, LUN); the address of a UNIX socket is its path."""
    unix = UNIX_URL.match(url)
    if unix:
        return unix.group(1), unix.group(2), int(unix.group(3))
    tcp = URL.match(url)
    if not tcp:
        raise ValueError(f"not iscsi://HOST[:PORT]/TARGET/LUN: {url}")
    host, port, iqn, lun = tcp.groups()
    return (host.strip("[]"), int(port or 3260)), iqn, int(lun)


class Account:
    """A CHAP name and its secret."""

    def __init__(self, user, secret):
        self.user, self.secret = user, secret


class External(Target):
    """`chap`: the target demands this account; `mutual`: it proves itself with this one;
    `users`: more that it lets in; `redirect`: (address, name) of one that sends elsewhere;
    `pid`: its process on this host; `restart`: a command that brings it back when it is gone."""

    # pylint: disable=super-init-not-called
    def __init__(self, url, chap=None, mutual=None, users=(), redirect=None, pid=None,
                 restart=None, timeouts=None):
        self.url = url
        self.address, self.iqn, self.lun = parse_url(url)
        self.chap, self.mutual, self.users, self.redirect = chap, mutual, list(users), redirect
        self.pid, self.restart, self.timeouts = pid, restart, timeouts
        self.options, self.disks, self.portals = (), (), ()
        self.process = self.log = self.innocent = None
        self.connections = []
        self.luns, self.blocks = (self.lun,), 0
        self.innocent_lun, self.innocent_lba = self.lun, 0
        self.innocent_login = {}
        self.negotiated = {}
        self.targets = {}
        self.has = set()
        self.gone_until = 0

    # What is there

    def start(self):
        """Asks the target what it is. Raises when it cannot be used at all."""
        self._probe_keys()
        self._probe_disk()
        self._probe_discovery()
        self.has.update(name for name in ("chap", "mutual", "users", "redirect", "pid", "timeouts")
                        if getattr(self, name))
        if not self.chap:
            self.has.add("open")
        if not isinstance(self.address, str):
            self.has.add("framing")
        if len(self.luns) > 1:
            self.has.add("two-luns")
        self._start_innocent()

    def _probe_keys(self):
        conn = self.login(clear=False, MaxConnections=65535, ErrorRecoveryLevel=2,
                          HeaderDigest="CRC32C,None", DataDigest="CRC32C,None",
                          MaxOutstandingR2T=65535, iSCSIProtocolLevel=31)
        self.negotiated = dict(conn.keys, TargetMaxRecvDataSegmentLength=str(conn.max_send))
        conn.logout()
        level = conn.limit("ErrorRecoveryLevel") if "ErrorRecoveryLevel" in conn.keys else 0
        self.has.update(f"erl{n}" for n in range(1, level + 1))
        if int(conn.keys.get("MaxConnections", "1"), 0) > 1:
            self.has.add("mcs")
        if conn.header_digest and conn.data_digest:
            self.has.add("digests")
        if conn.keys.get("iSCSIProtocolLevel", "") in ("2", "0x2"):
            self.has.add("protocol2")
        # Error recovery may cost the parallel R2Ts.
        conn = self.login(clear=False, MaxOutstandingR2T=65535)
        if conn.limit("MaxOutstandingR2T") > 1:
            self.has.add("parallel-r2t")
        conn.logout()

    def _probe_disk(self):
        """The LUN must be a disk of 512-byte blocks; another one is the innocent's."""
        conn = self.login()
        blocks, size = self._capacity(conn, self.lun)
        check(size == BLOCK, f"LUN {self.lun} has blocks of {size} bytes, {BLOCK} are needed")
        check(blocks >= MIN_BLOCKS, f"LUN {self.lun} has {blocks} blocks, {MIN_BLOCKS} are needed")
        self.blocks = blocks
        self.innocent_lba = blocks - INNOCENT_BLOCKS
        found = conn.scsi(report_luns(4096), read=4096).good().data
        for at in range(8, 8 + int.from_bytes(found[:4], "big"), 8):
            lun = int.from_bytes(found[at:at + 2], "big")
            if lun == self.lun or lun > 255 or len(self.luns) > 1:
                continue
            try:
                conn.clear_unit_attention(lun)
                blocks, size = self._capacity(conn, lun)
            except Failure:
                continue
            if size == BLOCK and blocks >= INNOCENT_BLOCKS:
                self.luns += (lun,)
                self.innocent_lun, self.innocent_lba = lun, 0
        conn.logout()

    @staticmethod
    def _capacity(conn, lun):
        data = conn.scsi(CAPACITY, lun, read=8).good().data
        return int.from_bytes(data[:4], "big") + 1, int.from_bytes(data[4:8], "big")

    def _probe_discovery(self):
        """Names and addresses of what a discovery session shows, if there is one."""
        pairs = None
        for chap in [self.one_way, None] if self.chap else [None]:
            with contextlib.suppress(Failure):
                conn = self.login(session="Discovery", chap=chap and chap())
                pairs, _ = conn.text([("SendTargets", "All")])
                conn.logout()
                break
        if pairs is None:
            return
        if chap:
            self.has.add("discovery-chap")
        self.has.add("discovery")
        addresses = []
        for key, value in pairs:
            if key == "TargetName":
                addresses = self.targets.setdefault(value, [])
            elif key == "TargetAddress":
                addresses.append(value)
        if len(self.targets) > 1:
            self.has.add("two-targets")

    # How it is

    def stderr_lines(self):
        return []

    def last_words(self):
        return []

    def check_alive(self):
        """Nobody can look at the process: the innocent session tells."""

    def stop(self):
        self.close_connections()
        self._forget_innocent()

    def _forget_innocent(self):
        if self.innocent:
            self.innocent.close()
            self.innocent = None

    def recover(self):
        """After a failed case: an innocent session for the next one, from a new target if
        need be. One that does not return is looked for again every so often, so that the
        cases left fail soon."""
        if time.monotonic() < self.gone_until:
            return
        try:
            self.check_innocent("after the failure")
            return
        except (Failure, OSError):
            self._forget_innocent()
        end = time.monotonic() + RETURN
        restarted = False
        while True:
            try:
                self._start_innocent()
                return
            except (Failure, OSError, ValueError):
                self._forget_innocent()
            if self.restart and not restarted:
                subprocess.run(self.restart, shell=True, check=False)
                restarted = True
                end = time.monotonic() + RETURN
            if time.monotonic() > end:
                self.gone_until = time.monotonic() + GONE
                return
            time.sleep(0.2)

    # Connections

    def login(self, name=None, isid=None, clear=True, **how):
        if self.chap and "chap" not in how and (how.get("session") != "Discovery"
                                                or "discovery-chap" in self.has):
            how["chap"] = self.one_way()
        return super().login(name, isid, clear, **how)

    def one_way(self, *algorithms, **how):
        """CHAP with the account that the target demands."""
        return Chap(self.chap.user, self.chap.secret, algorithms or (5,), **how)

    def both_ways(self, *algorithms, **how):
        """CHAP in which the target proves itself, too."""
        return Chap(self.chap.user, self.chap.secret, algorithms or (5,), self.mutual.user,
                    self.mutual.secret, **how)

    def _start_innocent(self):
        self.innocent_login = {"chap": self.one_way} if self.chap else {}
        try:
            super()._start_innocent()
        except BaseException:
            self._forget_innocent()
            raise

    def check_innocent(self, when):
        """As for a target of our own; on the only disk there is, a unit attention that a
        case raised is none of its faults."""
        check(time.monotonic() >= self.gone_until, f"the target is gone {when}")
        if self.innocent is None:
            try:
                self._start_innocent()
            except (Failure, OSError) as error:
                raise Failure(f"the target does not let anybody in {when}: {error}") from error
        if self.innocent_lun == self.lun:
            try:
                self.innocent.clear_unit_attention()
            except Failure as error:
                raise Failure(f"the innocent session is hurt {when}: {error}") from error
        super().check_innocent(when)
