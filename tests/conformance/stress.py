#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Connections dropped at random under verified I/O, at each ErrorRecoveryLevel: nothing is
lost, nothing is done twice.

As a program: stress.py [--drops N] [--level L] [--connections C] [--seed S] URL
"""

import argparse
import os
import sys

if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from chaos import Chaos
from external import External
from suite import Skip, case
from tap import Failure, check
from target import Target

GROUP = "stress"
NEEDS = "framing"
SHORT, LONG = 60, 1000
LEVELS = [("session recovery", 0), ("recovery within a connection", 1),
          ("connection recovery", 2)]


def shake(target, level, connections, drops, seed=7143):
    """One run; its figures are printed."""
    if level and f"erl{level}" not in target.has:
        raise Skip(f"the target negotiates no ErrorRecoveryLevel {level}")
    if connections > 1 and "mcs" not in target.has:
        connections = 1
    chaos = Chaos(target, level, connections, drops, seed)
    try:
        figures = chaos.run()
    except Failure as error:
        raise Failure(f"level {level}, {connections} connections, seed {seed}, after "
                      f"{told(chaos.count)}: {error}") from error
    print(f"# level {level}, {connections} connections: {told(figures)}", flush=True)
    check(figures["commands"] > drops, "hardly any command")


def told(figures):
    return ", ".join(f"{value} {name}" for name, value in figures.items() if value)


@case(f"{SHORT} connections dropped at random, level {{}}: nothing lost, nothing twice",
      [(f"{level} ({what})", level, 3) for what, level in LEVELS]
      + [("2, one connection at a time", 2, 1)], rfc="7.1.5", deadline=120)
def drops_short(target, level, connections):
    shake(target, level, connections, SHORT)


@case(f"{LONG} connections dropped at random, level {{}}: nothing lost, nothing twice",
      [(f"{level} ({what})", level, 3) for what, level in LEVELS], rfc="7.1.5", deadline=900,
      stress=True)
def drops_long(target, level, connections):
    shake(target, level, connections, LONG)


@case(f"{SHORT} drops while the disk takes its time for {{}}",
      [(f"{what}s, level {level}", what, level) for what in ("read", "write") for level in range(3)],
      rfc="7.1.5", needs="own", deadline=120)
def drops_slow_disk(target, what, level):
    """Commands are in the disk when their connection goes."""
    with Target(disks=(f"ram:64M,fault={what}:delay=3ms", "ram:16M"), innocent=None) as own:
        own.has = target.has
        shake(own, level, 3, SHORT)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("url", metavar="URL", help="iscsi://HOST[:PORT]/TARGET/LUN; what is on it is destroyed")
    add("--drops", type=int, default=SHORT, help="connections to drop at each level")
    add("--level", type=int, choices=(0, 1, 2), help="this ErrorRecoveryLevel only")
    add("--connections", type=int, default=3, help="of the session")
    add("--seed", type=int, default=7143)
    options = parser.parse_args()
    target = External(options.url)
    target.start()
    failed = 0
    for level in range(3) if options.level is None else [options.level]:
        try:
            shake(target, level, options.connections, options.drops, options.seed)
        except (Failure, Skip) as error:
            failed += isinstance(error, Failure)
            print(f"# {type(error).__name__}: {error}", flush=True)
            target.recover()
        target.close_connections()
    target.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
