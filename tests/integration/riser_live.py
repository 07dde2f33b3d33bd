#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""riser and riserd together: who is connected is listed and kicked, reservations are cleared, paths change
their state, refused logins are told with their reason, and rates, latencies and recipes are right."""

import json
import os
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
import command
from command import contains
from initiator import LoginRefused, pattern
from tap import case, check, equal, main
from target import Target, secret_file

TMP = os.environ["TMPDIR"]
FOLDER = tempfile.mkdtemp(prefix="r-")
FILE, SOCKET = os.path.join(TMP, "riser.conf"), os.path.join(FOLDER, "control")
IQN, CHAP, NAME = "iqn.2026-11.test:one", "iqn.2026-11.test:secret", "iqn.2026-11.test:kicked"


def riser(*words, status=0):
    return command.run("--control", SOCKET, *words, status=status)


def facts(*words):
    """On a busy machine a reactor may come too late for one answer, which riserd says."""
    for _ in range(20):
        done = command.execute("--control", SOCKET, *words, "--json")
        if done.returncode != 10:
            break
    equal(done.returncode, 0, f"riser {' '.join(words)}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def own_session(name=NAME):
    found = [s for s in facts("session", "list") if s["initiator"] == name]
    equal(len(found), 1, f"sessions of {name}: {found}")
    return found[0]


@case("the tree, lists and shows are of what is served")
def looks(target):
    host, port = target.address
    text = riser()
    contains(text, f"{host}:{port}  tcp", IQN, CHAP, "LUN 0", "64 MiB", "iqn.2026-11.test:innocent",
             "nobody is logged in")
    view = facts("status", "-i", "0.1")
    equal(view["status"]["health"], "ok", "health")
    equal(sorted(t["name"] for t in view["targets"]), [IQN, CHAP], "targets")
    check(all("rates" in lun for t in view["targets"] for lun in t["luns"]), view)
    contains(riser("target", "show", "secret"), "alice", "LUN")
    equal(facts("lun", "show", "one", "1")["size"], 16 << 20, "size of LUN 1")
    contains(riser("portal", "show", f"{host}:{port}"), "tcp")
    contains(riser("initiator", "list"), "iqn.2026-11.test:innocent")
    contains(riser("doctor", status=1) if os.getuid() else command.execute(
        "--control", SOCKET, "doctor").stdout, "riserd 0.1 is running", f"port {port}")
    command.run("--control", SOCKET, "target", "show", "-q", "none", status=3)


def wait_gone():
    """riserd says that it ends the session, and then it does."""
    end = time.monotonic() + 15
    while any(s["initiator"] == NAME for s in facts("session", "list")):
        check(time.monotonic() < end, "the session is still there 15 s after its kick")


@case("a session is shown, its kick is refused for one that is not there, and ends it")
def kicks(target):
    conn = target.login(NAME)
    conn.write(0, pattern(8, 1)).good()
    session = own_session()
    check(session["stats"]["commands"] >= 1, session)
    contains(riser("session", "show", session["id"]), NAME, "127.0.0.1", "none")
    equal(facts("session", "kick", session["id"], "--dry-run")["sessions"], [session["id"]], "dry run")
    own_session()
    contains(riser("session", "kick", session["id"]), "ended")
    wait_gone()
    command.run("--control", SOCKET, "session", "kick", session["id"], status=3)
    target.login(NAME)
    contains(riser("initiator", "kick", NAME), "ended")
    wait_gone()


@case("a reservation is listed with its holder and cleared")
def reservations(target):
    conn = target.login(NAME)
    key = (0x1234).to_bytes(8, "big")
    conn.scsi(bytes([0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0]), 0, write=24,
              data=bytes(8) + key + bytes(8)).good()
    conn.scsi(bytes([0x5f, 1, 5, 0, 0, 0, 0, 0, 24, 0]), 0, write=24, data=key + bytes(16)).good()
    contains(riser("reservation", "list", "one"), NAME, "holds it", "1234")
    contains(riser("reservation", "clear", "one", "0", "--dry-run"), "would forget", NAME)
    equal(len(facts("reservation", "list")), 1, "after a dry run")
    contains(riser("reservation", "clear", "one", "0"), "has forgotten")
    equal(facts("reservation", "list"), [], "reservations")
    command.run("--control", SOCKET, "reservation", "clear", "one", "0", status=3)
    for lun in target.luns:
        target.innocent.clear_unit_attention(lun)


@case("a portal group changes its state of access, and so does the log its level")
def sets(target):
    riser("alua", "set", "one", "1", "non-optimized", "--dry-run")
    equal({g["access"] for g in facts("alua", "list")}, {"optimized"}, "after a dry run")
    riser("alua", "set", "one", "1", "non-optimized")
    contains(riser("alua", "list", "one"), "non-optimized")
    riser("alua", "set", "one", "1", "optimized")
    command.run("--control", SOCKET, "alua", "set", "one", "9", "standby", status=3)
    for lun in target.luns:
        target.innocent.clear_unit_attention(lun)
    riser("log", "level", "debug")
    equal(riser("log", "level"), "debug\n", "level")
    riser("log", "level", "info")


@case("events tell who was refused and why")
def events(target):
    target.iqn, here = CHAP, target.iqn
    try:
        target.login(NAME)
        check(False, "a login without a secret")
    except LoginRefused:
        pass
    finally:
        target.iqn = here
    found = [e for e in facts_of_lines("events", "--type", "login-failed") if e["target"] == CHAP]
    check(found and found[-1]["initiator"] == NAME and found[-1]["reason"], found)
    contains(riser("events"), "login-failed", NAME, found[-1]["reason"])
    check(facts("stats")["login_failures"][found[-1]["reason"]] > 0, "counted")


def facts_of_lines(*words):
    return [json.loads(line) for line in riser(*words, "--json").splitlines()]


@case("top counts the commands of the sessions that do some, and latency has them in its stages")
def rates(target):
    url = f"iscsi://{target.address[0]}:{target.address[1]}/{IQN}/0"
    before = facts("latency", "one", "0")["stages"]["total"]["count"]
    with subprocess.Popen([os.environ["RISER_BENCH"], url, "--count", "20000", "--qd", "4"],
                          stdout=subprocess.DEVNULL) as bench:
        seen = []
        while bench.poll() is None:
            line = facts("top", "-n", "1", "-i", "0.2", "--by", "session")
            seen += [row for row in line["rows"] if row["commands_per_s"] > 0]
        equal(bench.returncode, 0, "riser-bench")
    after = facts("latency", "one", "0")["stages"]
    check(after["total"]["count"] - before >= 20000, f"{before} and {after['total']['count']}")
    equal(sorted(after), ["backstore", "queue", "total", "transport"], "stages")
    contains(riser("latency", "one"), "backstore", "p99")
    contains(riser("stats"), "sessions", "transports", "logins")
    check(all(row["initiator"] for row in seen), seen)


@case("howto names the portal and the user")
def howto(target):
    text = riser("howto", "secret")
    contains(text, f"{target.address[0]}:{target.address[1]}", CHAP, "username = alice",
             "Only this machine reaches")


if __name__ == "__main__":
    with open(FILE, "w", encoding="ascii") as config:
        config.write(f"portal 127.0.0.1:0 {{ }}\ntarget {IQN} {{\n    lun 0 {{ path = ram:64M }}\n"
                     f"    lun 1 {{ path = ram:16M }}\n}}\ntarget {CHAP} {{\n    chap alice {{ secret-file = "
                     f"{secret_file('secret-of-alice')} }}\n    lun 0 {{ path = ram:1M }}\n}}\n")
    one = Target("-c", FILE, "--control", SOCKET, disks=(), portals=(),
                 innocent={})
    one.luns = (0, 1)
    main(one)
