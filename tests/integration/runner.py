#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""tests/run itself: what it counts, what it runs beside other programs, what it ends and with whom."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from command import contains, main
from tap import check, equal

RUN = os.path.join(os.environ["SRC"], "tests", "run")
PATIENCE = 60
# wait_for FILE, gone PID: of the scripts below. `alone` leaves a process without a parent, its number in FILE.
SHARED = f"""
cd "$(dirname "$0")" || exit
until_true() {{ n=0; until "$@"; do n=$((n + 1)); [ $n -lt {PATIENCE * 20} ] || exit 9; sleep 0.05; done; }}
wait_for() {{ until_true [ -s "$1" ]; }}
dead() {{ ! kill -0 "$1" 2>/dev/null; }}
gone() {{ until_true dead "$1"; }}
alone() {{ setsid sh -c 'echo $$ >"$1.new"; mv "$1.new" "$1"; exec sleep 1000' - "$1" & wait_for "$1"
    until_true grep -qx sleep "/proc/$(cat "$1")/comm"; }}
"""


class Suite:
    """A folder of scripts: NAME=TEXT; names that begin with b_ run beside the others, with a_ alone."""

    def __init__(self, **scripts):
        self.folder = tempfile.mkdtemp(dir=os.environ["TMPDIR"])
        self.scripts = os.path.join(self.folder, "scripts")
        os.mkdir(self.scripts)
        for name, text in scripts.items():
            head, _, text = text.rpartition("\n") if text.startswith("#") else ("", "", text)
            head += {"b_": "\n# beside: yes", "a_": "\n# alone: yes"}.get(name[:2], "")
            path = os.path.join(self.scripts, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\n{head}\n{SHARED}{text}\n")
            os.chmod(path, 0o755)

    def start(self, *options):
        return subprocess.Popen([RUN, "--build", self.folder, *options, self.scripts],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                start_new_session=True)

    def run(self, *options, status=0):
        child = self.start(*options)
        out = child.communicate(timeout=PATIENCE)[0]
        equal(child.returncode, status, f"status of tests/run, which said:\n{out}")
        return out

    def number(self, name):
        """The process that a script has written down."""
        path = os.path.join(self.scripts, name)
        within(lambda: os.path.exists(path) and os.path.getsize(path), f"there is no {name}")
        with open(path, encoding="utf-8") as file:
            return int(file.read())


def within(true, what):
    deadline = time.monotonic() + PATIENCE
    while not true():
        check(time.monotonic() < deadline, what)
        time.sleep(0.02)


def is_gone(pid):
    return not os.path.exists(f"/proc/{pid}")


def counts():
    """TAP and exit statuses are counted, with the reasons of what was skipped or has failed"""
    out = Suite(a="exit 0", b="echo no disk; exit 77", c="echo oh; exit 3",
                d="echo 1..3; echo ok 1 - x; echo not ok 2 - y; echo 'ok 3 - z # SKIP because'",
                e="echo 1..2; echo ok 1 - x").run(status=1)
    contains(out, "skipped: b: no disk", "skipped: d: z: because", "failed: c: ", "failed: d: y: not ok",
             "failed: e: ")
    equal(out.splitlines()[-1], "3 passed, 3 failed, 2 skipped", "closing line")


def beside():
    """what says `beside: yes` runs while the others do, --one-by-one runs it in its turn"""
    meet = Suite(b_one="echo x >one; wait_for other", other="wait_for one; echo x >other")
    contains(meet.run(), ", beside\n", "2 passed, 0 failed, 0 skipped")
    turns = Suite(b_one="echo x >one", other="[ -s one ]")
    check("beside" not in turns.run("--one-by-one"), "one ran beside the other")


def alone_at_last():
    """what says `alone: yes` runs when everything else is through"""
    suite = Suite(a_quiet="[ -s one ] && [ -s other ]", b_one="wait_for other; sleep 0.5; echo x >one",
                  other="echo x >other")
    contains(suite.run(), "3 passed, 0 failed, 0 skipped")


def sources():
    """the source of a program says it for the program"""
    suite = Suite(other="exit 0")
    program = os.path.join(suite.folder, "tests", "unit", "core_lock_wait_test")
    os.makedirs(os.path.dirname(program))
    shutil.copy(os.path.join(suite.scripts, "other"), program)
    contains(suite.run(program), "core_lock_wait_test", ", beside\n", "2 passed")


def lists():
    """what ran beside the others fails like them, in one piece, and stands in its place in the list"""
    out = Suite(a="exit 1", b_one="echo words of it; exit 1", c="exit 1").run(status=1)
    equal([line for line in out.splitlines() if line.startswith("failed: ")],
          [f"failed: {name}: exit status 1" for name in ("a", "b_one", "c")], "list")
    contains(out, "FAILED b_one: exit status 1\n    | words of it\n")


def left_over():
    """of each program its own leftovers are found when it ends, and nobody else's"""
    suite = Suite(b_one="alone mine; wait_for its; gone $(cat its); ! dead $(cat mine)",
                  other="wait_for mine; alone its")
    out = suite.run()
    contains(out, "note: b_one left running: sleep", "note: other left running: sleep")
    check(is_gone(suite.number("mine")) and is_gone(suite.number("its")), "one is still there")


def late():
    """a time-out ends one that runs beside the others, and all of it"""
    suite = Suite(b_one="# timeout: 5\nalone mine; echo $$ >self; sleep 1000", other="wait_for mine; gone $(cat mine)")
    contains(suite.run(status=1), "FAILED b_one: still running after 5 s", "1 passed, 1 failed")
    check(is_gone(suite.number("self")), "it is still there")


def interrupted(sig, to_group):
    suite = Suite(b_one="alone mine; echo $$ >self; sleep 1000", other="alone its; echo $$ >other_self; sleep 1000")
    child = suite.start()
    pids = [suite.number(name) for name in ("mine", "self", "its", "other_self")]
    (os.killpg if to_group else os.kill)(child.pid, sig)
    child.communicate(timeout=PATIENCE)
    equal(child.returncode, 128 + sig, "status of tests/run")
    equal([pid for pid in pids if not is_gone(pid)], [], "what still runs")


def asked_to_end():
    """SIGTERM ends everything that runs"""
    interrupted(signal.SIGTERM, False)


def control_c():
    """so does Ctrl-C, which every process of the terminal gets"""
    interrupted(signal.SIGINT, True)


def nobody_runs_them():
    """when who runs them beside the others dies, they have failed, what had begun ends, the rest goes on"""
    suite = Suite(b_one="echo $$ >self; echo $PPID >runner; sleep 1000", b_two="exit 0",
                  other="wait_for runner; kill -KILL $(cat runner)", rest="exit 0")
    out = suite.run(status=1)
    contains(out, "failed: b_one: what should have run it has died", "failed: b_two: what should",
             "2 passed, 2 failed, 0 skipped")
    check(is_gone(suite.number("self")), "it is still there")


if __name__ == "__main__":
    main((counts, beside, alone_at_last, sources, lists, left_over, late, asked_to_end, control_c, nobody_runs_them))
