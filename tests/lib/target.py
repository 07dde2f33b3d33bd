# SPDX-License-Identifier: BSD-2-Clause
"""A running riserd: started on a free loopback port, watched by an innocent
session of its own, ended by SIGTERM, and asked at the end how it went."""

import os
import re
import select
import subprocess
import tempfile
import time

from initiator import BLOCK, Initiator, pattern
from tap import Failure, check, equal

START, STOP = 15, 15
SANITIZER = re.compile(r"(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:")
READY = "ready"
URL = re.compile(r"iscsi://(\[[^\]]+\]|[^:/]+):(\d+)/([^/]+)/(\d+)$")
DISKS = ("ram:64M,block-size=512", "ram:16M,block-size=512")
INNOCENT_LUN, INNOCENT_BLOCKS, INNOCENT_STAMP = 1, 8, 0x600d


class Target:
    """`innocent` holds how the innocent session logs in; None starts none."""

    def __init__(self, *options, disks=DISKS, portals=("127.0.0.1:0",), innocent=()):
        self.options, self.disks, self.portals = options, disks, portals
        self.innocent_login = None if innocent is None else dict(innocent)
        self.process = self.log = self.innocent = None
        self.address = self.iqn = None
        self.control = os.path.join(tempfile.gettempdir(),
                                    f"control-{os.getpid()}-{id(self):x}.sock")
        self.urls = []
        self.connections = []
        self.lun, self.luns = 0, tuple(range(len(disks)))
        self.innocent_lun, self.innocent_lba = INNOCENT_LUN, 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        self.close_connections()
        if kind is None:
            self.stop()
        else:
            value.last_words = self.last_words()
            self._end()

    # The daemon

    def start(self):
        portals = [word for portal in self.portals for word in ("-p", portal)]
        control = () if "--control" in self.options else ("--control", self.control)
        self.log = tempfile.NamedTemporaryFile("w+", prefix="riserd-", suffix=".err")
        self.process = subprocess.Popen(
            [os.environ["RISERD"], *portals, *control, *self.options, *self.disks],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        try:
            self._wait_ready()
            if self.innocent_login is not None:
                self._start_innocent()
        except Exception:
            self._end()
            raise

    def _wait_ready(self):
        """Reads what the daemon prints until `ready`."""
        end = time.monotonic() + START
        text = b""
        while True:
            readable, _, _ = select.select([self.process.stdout], [], [],
                                           max(0, end - time.monotonic()))
            check(readable, f"not ready in {START} s, it printed {text!r}")
            got = os.read(self.process.stdout.fileno(), 65536)
            if not got:
                status = self.process.wait(STOP)
                raise Failure(f"ended with status {status}: {' | '.join(self.last_words())}")
            text += got
            lines = text.decode().split("\n")[:-1]
            if READY in lines:
                break
        equal(lines.pop(), READY, "the last line on stdout")
        self.urls = [URL.match(line) for line in lines]
        check(self.urls and all(self.urls), f"not a list of URLs: {lines}")
        host, port, self.iqn, _ = self.urls[0].groups()
        self.address = (host.strip("[]"), int(port))

    def stderr_lines(self):
        if self.log is None:
            return []
        with open(self.log.name, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()

    def last_words(self):
        """What of its log explains a failure: a sanitizer's report, or the end."""
        lines = self.stderr_lines()
        for number, line in enumerate(lines):
            if SANITIZER.search(line):
                return lines[number:number + 16]
        return lines[-8:]

    def check_alive(self):
        status = self.process.poll()
        check(status is None, f"riserd is gone with status {status}")

    def _end(self):
        """Whatever it takes; returns the exit status."""
        if self.innocent:
            self.innocent.close()
            self.innocent = None
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure(f"riserd still runs {STOP} s after SIGTERM") from None
        finally:
            self.process.stdout.close()
            self.process = None

    def stop(self):
        self.check_alive()
        status = self._end()
        lines = self.stderr_lines()
        self.log.close()
        spoke = [line for line in lines if SANITIZER.search(line)]
        check(not spoke, "sanitizer: " + "; ".join(spoke[:3]))
        equal(status, 0, "exit status of riserd after SIGTERM")

    def recover(self):
        """After a failed case: a daemon and an innocent session for the next one."""
        try:
            self.check_alive()
            self.check_innocent("after the failure")
        except Failure:
            try:
                self._end()
            except Failure:
                pass
            self.start()

    # Connections

    def connect(self, **how):
        """A connection that has said nothing yet."""
        conn = Initiator(self.address, self.iqn, lun=self.lun, **how)
        self.connections.append(conn)
        return conn

    def login(self, name=None, isid=None, clear=True, **how):
        """A session in full feature phase, its unit attentions taken."""
        conn = self.connect(**{k: v for k, v in (("name", name), ("isid", isid)) if v})
        conn.login(**how)
        if clear and how.get("session") != "Discovery":
            for lun in self.luns:
                conn.clear_unit_attention(lun)
        return conn

    def close_connections(self):
        for conn in self.connections:
            conn.close()
        self.connections.clear()

    def _start_innocent(self):
        self.innocent = Initiator(self.address, self.iqn, name="iqn.2026-11.test:innocent",
                                  lun=self.lun)
        login = {key: value() if callable(value) else value
                 for key, value in self.innocent_login.items()}
        self.innocent.login(**login)
        self.innocent.clear_unit_attention()
        self.innocent.clear_unit_attention(self.innocent_lun)
        self.stamp = pattern(INNOCENT_BLOCKS, INNOCENT_STAMP)
        self.innocent.write(self.innocent_lba, self.stamp, self.innocent_lun).good()

    def check_innocent(self, when):
        """The other session reads its data and finds its disk ready."""
        if self.innocent is None:
            return
        try:
            self.innocent.ready(self.innocent_lun).good()
            data = self.innocent.read(self.innocent_lba, INNOCENT_BLOCKS, self.innocent_lun)
        except Failure as error:
            raise Failure(f"the innocent session is hurt {when}: {error}") from error
        check(data == self.stamp, f"the innocent session's data has changed {when}")


def blocks_of(target, lba, blocks, lun=None):
    """What a fresh look by the innocent session finds on the disk."""
    data = target.innocent.read(lba, blocks, lun)
    return [data[i:i + BLOCK] for i in range(0, len(data), BLOCK)]


def secret_file(secret):
    """A file that holds a CHAP secret, kept until the test ends with its TMPDIR."""
    handle, path = tempfile.mkstemp(prefix="secret-")
    with os.fdopen(handle, "w") as file:
        file.write(secret + "\n")
    return path


def refuse_to_start(*arguments):
    """Runs riserd for a command line it must refuse; returns status and stderr's lines."""
    done = subprocess.run([os.environ["RISERD"], *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=STOP,
                          check=False)
    equal(done.stdout, b"", "stdout of a refused start")
    return done.returncode, done.stderr.decode().splitlines()
