#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""tgtadm in the hands of a riserd that says hostile things, or has ten thousand targets."""

import os
import re
import resource
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
import command
from command import Daemon, answers, session, target
from tap import check, equal

TGTADM = os.path.join(os.path.dirname(command.RISER), "tgtadm")
EVIL = "\033]0;x\007\u009b31m\u202e"


def tgtadm(daemon, *words, status=0):
    done = subprocess.run([TGTADM, "--lld", "iscsi", *words], capture_output=True, text=True, timeout=60,
                          check=False, env={**os.environ, "LC_ALL": "C.UTF-8", "RISER_CONTROL": daemon.path})
    equal(done.returncode, status, f"tgtadm {words}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def hostile():
    """nothing that riserd says drives the terminal, and what is no text ends nothing"""
    said = answers()
    said["target.list"] = [target(alias=EVIL, allow=[f"{EVIL}/32", EVIL, 7, None], users=[EVIL, 5],
                                  luns=[command.lun(1, path=EVIL, serial=EVIL)]), target(name=7), 5]
    said["session.list"] = [session(1, initiator=EVIL, connections=[{"cid": 0, "peer": EVIL + ":1"}]), 5]
    said["portal.list"] = [{"address": EVIL, "active": [7, EVIL]}, 5]
    with Daemon(said) as c:
        for words in (("show", "target"), ("show", "system"), ("show", "portal"), ("show", "lld"),
                      ("show", "account"), ("stat", "target", "--tid", "1"), ("show", "conn", "--tid", "1")):
            text = tgtadm(c, "--op", words[0], "--mode", *words[1:])
            check(not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text), f"{words}: {text!r}")
        tgtadm(c, "--op", "bind", "--mode", "target", "--tid", "1", "-I", "192.0.2.1", status=22)


def many():
    """ten thousand targets with a session each are shown without work for each pair of them"""
    said = answers()
    names = [f"iqn.2026-11.test:t{i:05}" for i in range(10000)]
    said["target.list"] = [target(name, luns=[command.lun(1, name)]) for name in names]
    said["session.list"] = [session(i + 1, target=name) for i, name in enumerate(names)]
    with Daemon(said) as c:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = tgtadm(c, "--op", "show", "--mode", "target").splitlines()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        equal([line for line in lines if line.startswith("Target ")],
              [f"Target {i + 1}: {name}" for i, name in enumerate(names)], "targets")
        equal(sum("I_T nexus:" in line for line in lines), 10000, "sessions")
        used = after.ru_utime - before.ru_utime
        check(used < 5, f"{used} s of CPU")


if __name__ == "__main__":
    command.main([hostile, many])
