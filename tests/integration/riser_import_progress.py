#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""riser import of a file with many LUNs says how far it is, of a small one nothing."""

import os
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from command import RISER, Terminal, contains, main
from tap import check, equal

TARGETS, LUNS, BUSY_TICKS = 40, 250, 5


def configuration(folder, targets, luns):
    path = os.path.join(folder, "targets.conf")
    with open(path, "w", encoding="ascii") as file:
        for t in range(targets):
            disks = "".join(f"    backing-store /srv/images/of-target-{t}-{n}.img\n" for n in range(luns))
            file.write(f"<target iqn.2026-11.test:t{t}>\n{disks}    initiator-name iqn.2026-11.test:me\n</target>\n")
    return path


def used(pid):
    """Ticks of CPU; None: it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            words = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if words[0] == "Z" else int(words[11]) + int(words[12])


def slowed(pid):
    """Stops it for longer than it is silent, when it is at work. False: it was faster."""
    while (ticks := used(pid)) is not None and ticks < BUSY_TICKS:
        time.sleep(0.002)
    if ticks is None:
        return False
    os.kill(pid, signal.SIGSTOP)
    time.sleep(1.2)
    os.kill(pid, signal.SIGCONT)
    return True


def small():
    """nothing is said while a small file is read"""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([RISER, "import", configuration(folder, 2, 5)], capture_output=True, text=True,
                              timeout=60, check=False)
        equal((done.returncode, done.stderr.count("\n"), "%" in done.stderr), (0, 1, False), done.stderr)


def slow(factor, terminal):
    """What is said of one that takes more than a second; None: it did not."""
    with tempfile.TemporaryDirectory() as folder:
        command = [RISER, "import", "--dry-run", "-o", "/dev/null", configuration(folder, TARGETS * factor, LUNS)]
        if terminal:
            t = Terminal(*command)
            late = slowed(t.pid)
            said = t.until("LUNs; ")
            equal(t.end(), 0, "status")
        else:
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
                late = slowed(process.pid)
                said = process.communicate(timeout=60)[1]
                equal(process.returncode, 0, said)
        return said if late and "%" in said else None


def progress(terminal):
    for factor in (1, 2, 4, 8):
        said = slow(factor, terminal)
        if said:
            return said, factor * TARGETS * LUNS
    check(False, "it is too fast to be looked at")
    return None


def lines():
    """lines say how far it is with many LUNs"""
    said, luns = progress(False)
    contains(said, "targets.conf: ", "%, ", f" of {luns} LUNs")
    check("\r" not in said, said)


def bar():
    """a bar on a terminal, and what else is said behind it"""
    said, luns = progress(True)
    contains(said, "\r", "\u2591", f" of {luns} LUNs")
    check(said.rpartition("LUNs")[2].startswith("\033[K\r\n") or "left\033[K\r\n" in said, repr(said[-200:]))


if __name__ == "__main__":
    main([small, lines, bar])
