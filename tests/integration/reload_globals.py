#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Keys that are of the whole daemon change while it runs: how many connections there may be, where its
metrics are, how long it spins. What needs a restart is named, and then nothing else changes either."""

import os
import random
import select
import signal
import socket
import sys
import time
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from control import Control
from tap import Failure, case, check, equal, main
from target import Target

FILE = os.path.join(os.environ["TMPDIR"], "riser.conf")
IQN = "iqn.2026-11.test:one"
LUNS = ("ram:4M", "ram:4M")
START = 'portal 127.0.0.1:0 { }\nlog = info\n'


def config(text="", luns=LUNS):
    with open(FILE, "w", encoding="ascii") as file:
        file.write(START + text + f"target {IQN} {{\n")
        for number, path in enumerate(luns):
            file.write(f'    lun {number} {{ path = "{path}" }}\n')
        file.write("}\n")


def poll(condition, what):
    end = time.monotonic() + 15
    while not condition():
        check(time.monotonic() < end, f"no {what} within 15 s")
        select.select([], [], [], 0.02)


def reload(target, text="", luns=LUNS, applied=True):
    """SIGHUP, and what the log says of it."""
    config(text, luns)
    before = len(target.stderr_lines())
    os.kill(target.process.pid, signal.SIGHUP)
    words = "not applied", "serves what it says now"
    poll(lambda: any(word in line for line in target.stderr_lines()[before:] for word in words), "answer")
    said = "\n".join(target.stderr_lines()[before:])
    check(words[applied] in said, said)
    return said


def luns(target):
    with Control(target.control) as client:
        return [lun["lun"] for lun in client.call("lun.list")]


def free_port():
    """On every address, and none that the kernel gives to anybody meanwhile."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port


def page(address, port):
    with urllib.request.urlopen(f"http://{address}:{port}/healthz", timeout=15) as answer:
        return answer.read()


def refused(address, port):
    try:
        socket.create_connection((address, port), 15).close()
    except ConnectionRefusedError:
        return True
    return False


def listen(address, port):
    return f'metrics {{ listen = "{address}:{port}" }}\n'


@case("fewer connections: those that are there stay, no more are let in; then more again")
def connections(target):
    first = target.login()
    reload(target, "max-connections = 2\n")
    try:
        target.login("iqn.2026-11.test:third")
    except (Failure, OSError):
        pass
    else:
        check(False, "a third connection was let in: 2 are the limit")
    poll(lambda: any("2 connections are the limit" in line for line in target.stderr_lines()), "word of it")
    first.read(0, 1, 0)
    reload(target, "max-connections = 3\n")
    third = target.login("iqn.2026-11.test:third")
    third.read(0, 1, 0)
    for conn in first, third:
        conn.logout()
    reload(target)


@case("another time to spin")
def spinning(target):
    for time_us in 0, 1000, 50:
        reload(target, f"busy-poll = {time_us}\n")
        target.check_innocent(f"with busy-poll = {time_us}")
    reload(target)


@case("metrics come, move, take the same port on other addresses, and go")
def metrics(target):
    one = two = free_port()
    while two == one:
        two = free_port()
    said = reload(target, listen("127.0.0.1", one))
    check(f"http://127.0.0.1:{one}/" in said, said)
    equal(page("127.0.0.1", one), b"ok\n", "the first")
    reload(target, listen("127.0.0.1", two))
    equal(page("127.0.0.1", two), b"ok\n", "the second")
    check(refused("127.0.0.1", one), "the first still listens")
    reload(target, listen("0.0.0.0", two))
    equal(page("127.0.0.2", two), b"ok\n", "all addresses")
    reload(target, listen("127.0.0.3", two))
    equal(page("127.0.0.3", two), b"ok\n", "one of them")
    check(refused("127.0.0.2", two), "the other ones still listen")
    said = reload(target)
    check("not served any more" in said, said)
    check(refused("127.0.0.3", two), "it still listens")


@case("an address that is taken: nothing changes, and the metrics are where they were")
def taken(target):
    port = free_port()
    reload(target, listen("127.0.0.1", port))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        said = reload(target, listen("127.0.0.1", other.getsockname()[1]) + "busy-poll = 7\n",
                      (*LUNS, "ram:1M"), applied=False)
    check("cannot listen" in said and "choose another port" in said, said)
    equal(page("127.0.0.1", port), b"ok\n", "the one before")
    equal(luns(target), [0, 1], "LUNs")
    # And a change that fails elsewhere takes the new address back.
    other = free_port()
    reload(target, listen("127.0.0.1", other), (*LUNS, "/nowhere/disk.img"), applied=False)
    equal(page("127.0.0.1", port), b"ok\n", "the one before")
    check(refused("127.0.0.1", other), "the new one listens")
    reload(target)


@case("a port that has its listener shared for a moment is nobody else's afterwards")
def alone(target):
    port = free_port()
    reload(target, listen("127.0.0.1", port))
    reload(target, listen("0.0.0.0", port))
    with socket.socket() as other:
        try:
            other.bind(("127.0.0.1", port))
            other.listen()
        except OSError:
            pass
        else:
            check(False, "somebody else listens there, too")
    reload(target)


@case("what needs a restart is named, all of it, and nothing else changes")
def restart(target):
    port = free_port()
    said = reload(target, listen("127.0.0.1", port) + "memory = 64M\nstate = /nowhere\n"
                  "control { socket = /nowhere/sock }\nmax-connections = 7\n",
                  (*LUNS, "ram:1M"), applied=False)
    check("memory, state, socket of control: cannot change while riserd runs: restart it" in said, said)
    check("everything is as it was" in said, said)
    equal(luns(target), [0, 1], "LUNs")
    check(refused("127.0.0.1", port), "the metrics are there")


if __name__ == "__main__":
    config()
    TARGET = Target("-c", FILE, disks=(), portals=())
    TARGET.luns = (0, 1)
    main(TARGET)
