# SPDX-License-Identifier: BSD-2-Clause
"""The frame of the conformance suite: cases that name what they check, their section of
the RFC and what the target must have for them; and the runner that prints TAP."""

import contextlib
import json
import os
import signal
import time
import traceback

from tap import Failure

DEADLINE = 30
CASES = []

# What a case may need, and what is said when it is not there.
NEEDS = {
    "open": "this target demands CHAP; the case needs one that does not",
    "chap": "no account was given (--chap)",
    "mutual": "no account of the target was given (--mutual)",
    "users": "no further accounts were given (--users)",
    "redirect": "no target that redirects was given (--redirect)",
    "pid": "the target's process is not known (--pid)",
    "timeouts": "the target's timeouts are not known (--timeouts)",
    "own": "riserd is needed, to start it with other options (--own)",
    "riser": "pins a choice of riser's that the RFC leaves open (--own)",
    "framing": "bytes and segments do not reach this target as they are sent",
    "digests": "the target does not negotiate both digests",
    "erl1": "the target negotiates ErrorRecoveryLevel 0",
    "erl2": "the target negotiates no ErrorRecoveryLevel 2",
    "mcs": "the target negotiates MaxConnections 1",
    "parallel-r2t": "the target negotiates MaxOutstandingR2T 1",
    "protocol2": "the target negotiates no iSCSIProtocolLevel 2 (RFC 7144)",
    "discovery": "the target has no discovery session",
    "discovery-chap": "discovery sessions do not take the account",
    "two-targets": "discovery shows one target only",
    "two-luns": "the target has one disk of 512-byte blocks only",
}


class Skip(Exception):
    """The target has not what the case is about; found while it ran."""


class Overdue(Failure):
    """The case did not end in time."""


class Case:
    def __init__(self, group, title, rfc, needs, function, arguments, deadline, stress):
        self.group, self.title, self.rfc, self.needs = group, title, rfc, needs
        self.function, self.arguments = function, arguments
        self.deadline, self.stress = deadline, stress

    @property
    def name(self):
        return f"{self.group}: {self.title} ({self.rfc})".replace("#", "no. ")

    def matches(self, patterns):
        """Whether one of them is our group, or no group and a part of our name."""
        groups = {one.group for one in CASES}
        return not patterns or any(p == self.group if p in groups else p in self.name
                                   for p in patterns)


def _words(value):
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else tuple(value)


def case(title, rows=None, rfc="", needs=(), deadline=DEADLINE, stress=False):
    """Registers a case of the module's GROUP. rfc: the section, of RFC 7143 unless it says
    another; needs: names out of NEEDS, on top of the module's own NEEDS; deadline: seconds;
    stress: left out by --short. With rows, one case per row: (label, argument...), the label
    going into the title's {}."""
    def add(function):
        module = function.__globals__
        wanted = _words(module.get("NEEDS", ())) + _words(needs)
        unknown = [name for name in wanted if name not in NEEDS]
        if unknown or not rfc:
            raise ValueError(f"{title}: unknown needs {unknown}, section {rfc!r}")
        section = rfc if rfc.startswith("RFC") else f"RFC 7143 {rfc}"
        for label, *arguments in rows if rows is not None else [("",)]:
            CASES.append(Case(module["GROUP"], title.format(label) if rows is not None else title,
                              section, wanted, function, arguments, deadline, stress))
        return function
    return add


@contextlib.contextmanager
def limit(seconds, what="the case"):
    """Raises Overdue in the main thread when the body takes longer."""
    def ring(*_):
        raise Overdue(f"{what} is not through after {seconds} s")
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid):
    """Bytes of memory that the process has in use."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Suite:
    """Runs cases against `plain`, those that need chap against `guarded` (None: the same)."""

    def __init__(self, plain, guarded=None, own=False, no_skip=False):
        self.plain, self.guarded, self.own, self.no_skip = plain, guarded or plain, own, no_skip
        self.number = 0
        self.results = []

    def start(self):
        """The targets are asked what they have."""
        for target in {id(t): t for t in (self.plain, self.guarded)}.values():
            if target.pid:
                open_files(target.pid)  # raises when there is no such process
            with limit(DEADLINE, "the first look at the target"):
                target.start()
            if self.own:
                target.has.update(("own", "riser"))

    def target_of(self, one):
        return self.guarded if "chap" in one.needs else self.plain

    def run(self, cases):
        """The plan, the cases, the summary; returns the exit status."""
        watched = [t for t in {self.plain, self.guarded} if t.pid]
        before = [(t, open_files(t.pid)) for t in watched]
        print(f"1..{len(cases) + len(watched)}")
        begin = time.monotonic()
        for one in cases:
            self._run_case(one)
        for target, count in before:
            self._check_files(target, count)
        for target in (self.plain, self.guarded):
            target.stop()
        return self._summary(time.monotonic() - begin)

    def _run_case(self, one):
        target = self.target_of(one)
        missing = [name for name in one.needs if name not in target.has]
        begin = time.monotonic()
        try:
            if missing:
                raise Skip(NEEDS[missing[0]])
            with limit(one.deadline):
                self._check_before(target)
                one.function(target, *one.arguments)
                target.check_alive()
                target.check_innocent("after the case")
            self._result(one, "pass", "", begin)
        except Skip as skip:
            self._result(one, "skip", str(skip), begin)
        except Exception as error:  # pylint: disable=broad-except
            self._result(one, "fail", _describe(error), begin)
            with contextlib.suppress(Exception), limit(DEADLINE):
                target.recover()
        finally:
            target.close_connections()

    @staticmethod
    def _check_before(target):
        """Another case may have hurt a target that is not ours, even have it restarted: this one
        gets a chance of its own."""
        try:
            target.check_innocent("before the case")
        except Failure:
            if "riser" in target.has:
                raise
            target.recover()
            target.check_innocent("before the case")

    def _check_files(self, target, count):
        """What the cases opened at the target is closed again."""
        one = Case("target", "no more open files than before", "RFC 7143 4.2", (), None, (), 0,
                   False)
        begin = time.monotonic()
        try:
            while open_files(target.pid) > count and time.monotonic() - begin < 5:
                time.sleep(0.05)
            now = open_files(target.pid)
        except FileNotFoundError:
            self._result(one, "fail", "the process is gone", begin)
            return
        self._result(one, "fail" if now > count else "pass", f"{now} files, before {count}", begin)

    def _result(self, one, verdict, why, begin):
        if verdict == "skip" and self.no_skip:
            verdict, why = "fail", f"skipped: {why}"
        self.number += 1
        self.results.append({"group": one.group, "title": one.title, "section": one.rfc,
                             "result": verdict, "why": why.split("\n")[0],
                             "seconds": round(time.monotonic() - begin, 3)})
        line = f"{'not ok' if verdict == 'fail' else 'ok'} {self.number} - {one.name}"
        print(f"{line} # SKIP {why}" if verdict == "skip" else line)
        for text in why.splitlines() if verdict == "fail" else ():
            print(f"# {text}")
        print(end="", flush=True)

    def count(self, verdict, group=None):
        return sum(r["result"] == verdict and group in (None, r["group"]) for r in self.results)

    def _summary(self, seconds):
        for group in sorted({result["group"] for result in self.results}):
            print(f"# {group:<24} {self.count('pass', group):4} passed "
                  f"{self.count('fail', group):4} failed {self.count('skip', group):4} skipped")
        print(f"# {self.count('pass')} passed, {self.count('fail')} failed, "
              f"{self.count('skip')} skipped in {seconds:.0f} s")
        return 1 if self.count("fail") else 0

    def write_json(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"target": self.plain.url, "negotiated": self.plain.negotiated,
                       "has": sorted(self.plain.has | self.guarded.has),
                       "passed": self.count("pass"), "failed": self.count("fail"),
                       "skipped": self.count("skip"), "cases": self.results}, file, indent=1)
            file.write("\n")


def _describe(error):
    """The message, and where in the case it came from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/lib/" not in f.filename]
    where = "".join(f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}: {f.line}\n" for f in frames[-2:])
    words = "".join(f"  stderr: {line}\n" for line in getattr(error, "last_words", ()))
    return f"{type(error).__name__}: {str(error)[:1000]}\n{where}{words}"
