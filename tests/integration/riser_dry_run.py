#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""--dry-run works on every command that changes something and changes nothing, with --json too; every other
command refuses it. The commands are those of `riser help`, with a running riserd."""

import json
import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
import command
from command import execute
from tap import case, check, equal, main
from target import Target

FOLDER = tempfile.mkdtemp(prefix="d-")
CONF, SOCKET = os.path.join(FOLDER, "riser.conf"), os.path.join(FOLDER, "control")
ONE, NAME, NEW = "iqn.2026-11.test:one", "iqn.2026-11.test:innocent", os.path.join(FOLDER, "new")
DISK, TGT = os.path.join(FOLDER, "disk"), os.path.join(FOLDER, "targets.conf")
SECRET, OTHER = os.path.join(FOLDER, "secret"), os.path.join(FOLDER, "other.conf")

# What each does is wanted, and not done. A tuple: words and what goes to standard input.
CHANGES = {
    "portal create": ["127.0.0.1:1"],
    "portal set": ["127.0.0.1:0", "preferred=on"],
    "portal delete": ["127.0.0.1:0", "--force"],
    "target create": ["iqn.2026-11.test:new", "--allow", "any"],
    "target set": ["one", "alias=x"],
    "target delete": ["one", "--force"],
    "lun create": ["one", "ram:1M", "ram:2M"],
    "lun set": ["one", "0", "readonly=on", "--force"],
    "lun resize": ["one", "2", "2M"],
    "lun delete": ["one", "1", "--force"],
    "user add": (["bob", "--target", "one", "--force"], "longenough123\n"),
    "user set": (["alice", "--discovery"], "longenough123\n"),
    "user delete": ["alice", "--discovery"],
    "session kick": ["--initiator", NAME, "--force"],
    "initiator kick": [NAME, "--force"],
    "initiator set": ["one", "iqn.2026-11.test:a", "iops=5"],
    "initiator delete": ["one", "any"],
    "reservation clear": ["one", "0"],
    "alua set": ["one", "1", "standby"],
    "latency": ["one", "0", "--reset"],
    "log level": ["debug"],
    "config apply": [OTHER],
    "import": [TGT, "-o", NEW, "--secrets", os.path.join(FOLDER, "secrets")],
    "job cancel": ["1"],
    "image create": [NEW, "1M"],
    "trace": ["--pcap", NEW, "--seconds", "1"],
    "shell": (["--color", "never"], "session list\nlog level debug\nlatency --reset\n"),
}
# There is nothing to do it to.
NOTHING_THERE = {"reservation clear", "job cancel"}
OPERANDS = {"TARGET": "one", "LUN": "0", "SESSION": "1", "PORTAL": "127.0.0.1:1", "INITIATOR": NAME,
            "FILE": OTHER, "JOB": "1", "SHELL": "bash", "NOUN": "lun", "VERB": "list"}


def write(path, text, mode=0o600):
    with open(path, "w", encoding="ascii", opener=lambda p, flags: os.open(p, flags, mode)) as out:
        out.write(text)
    return path


def riser(*words, status=0, text=""):
    return command.run("--control", SOCKET, *words, status=status, text=text)


def commands():
    """{"lun create": [its operands that are needed]}"""
    found = {}
    for line in riser("help", "--roff").replace("\\-", "-").splitlines():
        words = line.split()
        if words[:2] != [".B", "riser"]:
            continue
        name = [word for word in words[2:] if word.islower() and "[" not in word]
        found[" ".join(name)] = [word.rstrip(".") for word in words[2 + len(name):] if "[" not in word]
    return found


def picture(target):
    """What a change would be seen in; of the counters only that they do not begin again."""
    return [riser("config", "dump"), riser("log", "level"), riser("user", "list"),
            riser("alua", "list"), sorted(os.listdir(FOLDER)),
            [s["id"] for s in json.loads(riser("session", "list", "--json"))], target.process.poll()]


def words_of(name):
    return CHANGES[name] if isinstance(CHANGES[name], tuple) else (CHANGES[name], "")


@case("each command that changes something takes --dry-run, says what would change, and changes nothing")
def dry(target):
    before = picture(target)
    total = json.loads(riser("latency", "one", "0", "--json"))
    for name in CHANGES:
        words, text = words_of(name)
        status = 3 if name in NOTHING_THERE else 10 if name == "import" else 0
        done = execute("--control", SOCKET, *name.split(), *words, "--dry-run", text=text)
        equal(done.returncode, status, f"{name} {words}: {done.stdout}{done.stderr}")
        check(status == 3 or re.search(r"would|^[-+] ", done.stdout, re.M), f"{name}: {done.stdout!r}")
        equal(picture(target), before, f"{name} --dry-run")
        done = execute("--control", SOCKET, *name.split(), *words, "--dry-run", "--json", text=text)
        equal(done.returncode, status, f"{name} {words} --json: {done.stdout}{done.stderr}")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        check(lines and (len(lines) == 1 or name in ("shell", "lun create")), f"{name}: {done.stdout}")
        check(done.stderr == "", f"{name}: {done.stderr}")
        equal(picture(target), before, f"{name} --dry-run --json")
    again = json.loads(riser("latency", "one", "0", "--json"))
    check(count(again) >= count(total) > 0, f"latencies: {total} {again}")


def count(latency):
    return sum(bucket["count"] for stage in latency["stages"].values() for bucket in stage["buckets"])


@case("every other command refuses --dry-run, and there is none that is not known here")
def refused(_):
    known = commands()
    check(len(known) > 40, f"commands: {known}")
    equal(sorted(set(CHANGES) - set(known)), [], "commands that are not there")
    for name, operands in known.items():
        if name in CHANGES or name in ("help", "status"):
            continue
        words = [OPERANDS.get(word, word) for word in operands]
        done = execute("--control", SOCKET, *name.split(), *words, "--dry-run")
        equal(done.returncode, 2, f"{name} {words}: {done.stdout}{done.stderr}")
        check("changes nothing" in done.stderr, f"{name}: {done.stderr}")


if __name__ == "__main__":
    write(CONF, f"state = {FOLDER}/state\ncontrol {{ socket = {SOCKET} }}\nportal 127.0.0.1:0 {{ }}\n"
          f"discovery {{ chap alice {{ secret-file = {write(SECRET, 'secretsecret1')} }} }}\n"
          f"target {ONE} {{\n initiator any {{ }}\n lun 0 {{ path = ram:8M }}\n lun 1 {{ path = ram:8M }}\n"
          f" lun 2 {{ path = {write(DISK, chr(0) * (1 << 20))} }}\n}}\n")
    write(OTHER, "target iqn.2026-11.test:other {\n lun 0 { path = ram:1M }\n}\n")
    write(TGT, "<target iqn.2026-11.test:tgt>\n backing-store /srv/x\n incominguser a longenough123\n"
          " MaxConnections 1\n</target>\n")
    main(Target("-c", CONF, "--control", SOCKET, disks=(), portals=(), innocent={}))
