# SPDX-License-Identifier: BSD-2-Clause
"""Where floods take place: a target, what its log and its memory grow by, and the bystander beside
the attackers of bystander.py."""

import os
import time
from contextlib import contextmanager

from bystander import Attacks, Bystander, first_in_line, unhurt
from initiator import Initiator
from suite import resident
from tap import check
from target import Target

MIB = 1 << 20
LOG_BURST, LOG_RATE = 64 << 10, 4 << 10  # bytes, bytes a second: token buckets and their refill
NAME = "iqn.2026-11.test:attacker"


class Arena:
    """Where an attack takes place: a riserd of the case's own that has a CPU to itself, or
    the target that was given."""

    def __init__(self, target, mine):
        self.target = mine or target
        self.pid = mine.process.pid if mine else target.pid
        self.log = mine.log.name if mine else self._log_of(target.pid)
        self.begin, self.log_begin = time.monotonic(), self.log_bytes()
        self.memory_begin = resident(self.pid) if self.pid else 0

    @staticmethod
    def _log_of(pid):
        path = f"/proc/{pid}/fd/2"
        return path if pid and os.path.isfile(path) else None

    def log_bytes(self):
        return os.stat(self.log).st_size if self.log else 0

    @property
    def address(self):
        return self.target.address

    def initiator(self, name=NAME, **how):
        return Initiator(self.address, self.target.iqn, name=name, lun=self.target.lun, **how)

    def bystander(self):
        def login():
            conn = self.initiator(name="iqn.2026-11.test:bystander").login()
            conn.clear_unit_attention()
            return conn
        return Bystander(login, lba=8192, lun=self.target.lun)

    def check_log(self):
        """Bounded, whatever came in."""
        took, grown = time.monotonic() - self.begin, self.log_bytes() - self.log_begin
        limit = LOG_BURST + LOG_RATE * took
        print(f"# log: {grown} bytes in {took:.1f} s")
        check(grown <= limit, f"{grown} bytes of log in {took:.1f} s, {limit:.0f} are the most")

    def sanitized(self):
        """Under an address or thread sanitizer memory that was freed stays for a while;
        its shadow has terabytes of address space."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE") > 1 << 40

    def check_memory(self, most):
        if not self.pid or self.sanitized():
            return
        grown = resident(self.pid) - self.memory_begin
        print(f"# memory: {grown / MIB:+.1f} MiB")
        check(grown <= most, f"{grown} bytes of memory more, {most} are the most")


@contextmanager
def arena(target, *options, **how):
    """Options only reach a riserd of our own."""
    if "own" not in target.has:
        yield Arena(target, None)
        return
    cpu = str(min(os.sched_getaffinity(0)))
    with Target("--cpus", cpu, *options, **how) as mine:
        first_in_line(mine.process.pid)
        place = Arena(target, mine)
        yield place
        mine.check_alive()
        mine.check_innocent("after the attack")


def attacked(place, *works, memory=64 * MIB):
    """The bystander beside these attackers; log and memory afterwards."""
    with place.bystander() as bystander:
        best = unhurt(bystander, lambda: Attacks(*works))
        place.check_memory(memory)
    place.check_log()
    return best
