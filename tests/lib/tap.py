# SPDX-License-Identifier: BSD-2-Clause
"""Cases that share one daemon, printed as TAP. A case passes when its function
returns, the daemon still runs and the innocent session is unhurt."""

import sys
import traceback

CASES = []


class Failure(AssertionError):
    pass


def case(name, rows=None):
    """Registers a case. With rows, one case per row: (label, argument...), the
    label going into the name's {}."""
    def add(function):
        if rows is None:
            CASES.append((name, function, ()))
        for label, *arguments in rows or ():
            CASES.append((name.format(label), function, arguments))
        return function
    return add


def check(condition, message):
    if not condition:
        raise Failure(message)


def equal(actual, expected, what):
    if actual != expected:
        raise Failure(f"{what}: got {_show(actual)}, expected {_show(expected)}")


def _show(value):
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value} ({value:#x})"
    if isinstance(value, (bytes, bytearray)) and len(value) > 96:
        return f"{bytes(value[:96])!r}... of {len(value)} bytes"
    return repr(value)


class Report:
    def __init__(self):
        self.number = 0
        self.failed = 0

    def result(self, name, error=None):
        self.number += 1
        self.failed += bool(error)
        print(f"{'not ok' if error else 'ok'} {self.number} - {name}")
        for line in (error or "").splitlines():
            print(f"# {line}")
        sys.stdout.flush()


def _describe(error, target):
    """The message, where in the case it came from, and the daemon's last words."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/lib/" not in f.filename]
    where = "".join(f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}: {f.line}\n" for f in frames[-2:])
    words = getattr(error, "last_words", None) or target.last_words()
    tail = "".join(f"  stderr: {line}\n" for line in words)
    return f"{type(error).__name__}: {str(error)[:1000]}\n{where}{tail}"


def _run_case(function, arguments, target):
    target.check_innocent("before the case")
    function(target, *arguments)
    target.check_alive()
    target.check_innocent("after the case")


def main(target, *patterns):
    """Runs the cases (those whose names hold a word of the command line) on the
    target and leaves with the exit status of a test program."""
    patterns = patterns or sys.argv[1:]
    chosen = [c for c in CASES if not patterns or any(p in c[0] for p in patterns)]
    report = Report()
    try:
        target.start()
    except Exception as error:  # pylint: disable=broad-except
        print(f"Bail out! the daemon does not start: {error}".replace("\n", " "))
        sys.exit(1)
    for name, function, arguments in chosen:
        try:
            _run_case(function, arguments, target)
            report.result(name)
        except Exception as error:  # pylint: disable=broad-except
            report.result(name, _describe(error, target))
            target.recover()
        finally:
            target.close_connections()
    try:
        target.stop()
        report.result("riserd ends with status 0 on SIGTERM and no sanitizer spoke")
    except Exception as error:  # pylint: disable=broad-except
        report.result("riserd ends with status 0 on SIGTERM and no sanitizer spoke",
                      _describe(error, target))
    print(f"1..{report.number}")
    sys.exit(1 if report.failed else 0)
