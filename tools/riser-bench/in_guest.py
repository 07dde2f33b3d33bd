# SPDX-License-Identifier: BSD-2-Clause
"""What can only be measured with a kernel of our own: `guest`, run in ci/guest's machine.

It boots once for all families; `guest` leaves a line FAMILY|COLUMN|KEY|FIGURE for each figure.
"""

import os
import subprocess

from servers import SRC, Trouble

ROUNDS = 3  # at most: everything takes some 40 times as long there


def parse(lines, results, wanted):
    """Takes the figures of the families wanted; a line that is none is a Trouble."""
    for line in lines:
        try:
            family, column, key, figure = line.rstrip("\n").split("|")
            number = float(figure)
        except ValueError:
            raise Trouble(f"the guest measured {line.strip()!r}") from None
        if family in wanted:
            results.add(family, column, {key: number})


def run(setting, logs):
    """Runs `guest`; returns what went wrong in it, or "": its figures may be there all the same."""
    environment = {**os.environ, "SRC": SRC, "BUILD": setting.build, "RISER_GUEST_LOGS": logs,
                   "RISERD": setting.riserd, "RISER_BENCH": setting.client,
                   "RISER_GUEST_APPEND": "idle=poll",  # see docs/performance.md
                   "BENCH_SECONDS": f"{setting.seconds:g}",
                   "BENCH_ROUNDS": str(min(setting.rounds, ROUNDS))}
    done = subprocess.run([os.path.join(SRC, "ci", "guest", "run"),
                           os.path.join(SRC, "tools", "riser-bench", "guest")],
                          env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if not done.returncode:
        return ""
    setting.say(done.stdout)
    lines = [line for line in done.stdout.splitlines() if not line.startswith(("ok", "#", "1.."))]
    return lines[0] if lines else f"exit status {done.returncode}"


def measure(setting, families, results):
    """Fills results with what was measured; returns what went wrong, which is also the reason why
    a column has nothing."""
    logs = os.path.join(setting.build, "guest-bench")
    path = os.path.join(logs, "measurements")
    why = ""
    try:
        if os.path.exists(path):
            os.remove(path)
        why = run(setting, logs)
        with open(path, encoding="ascii") as file:
            parse(file, results, {family.name for family in families})
    except (Trouble, OSError) as trouble:
        why = why or str(trouble)
    for family in families:
        for column in family.columns:
            if (family.name, column.name) not in results.figures:
                results.fail(family.name, column.name, f"in the guest: {why or 'not measured'}")
    return why
