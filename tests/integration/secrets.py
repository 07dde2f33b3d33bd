#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Secrets that were given over the control socket: when nobody has them any more, riserd's memory does not
have them either. Looked for in all that it may write, as somebody with a dump of its memory would."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from control import Control
from tap import case, check, equal, main
from target import Target

TMP = os.environ["TMPDIR"]
PIECE = 1 << 20


def writable(pid):
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
        for line in maps:
            words = line.split()
            if words[1].startswith("rw") and words[-1] not in ("[vvar]", "[vsyscall]"):
                yield tuple(int(end, 16) for end in words[0].split("-"))


def is_sanitized(program):
    with open(program, "rb") as file:
        text = file.read()
    return b"__tsan_init" in text or b"__asan_init" in text


def remembers(target, text):
    """How often riserd's memory has it."""
    wanted, count = text.encode(), 0
    with open(f"/proc/{target.process.pid}/mem", "rb", 0) as memory:
        for start, end in writable(target.process.pid):
            at, tail = start, b""
            while at < end:
                try:
                    memory.seek(at)
                    piece = memory.read(min(PIECE, end - at))
                except (OSError, OverflowError):
                    piece = b""
                if not piece:
                    break
                count += (tail + piece).count(wanted)
                tail = piece[-len(wanted) + 1:]
                at += len(piece)
    return count


def secret():
    return "s3cret-" + os.urandom(8).hex()


@case("a secret that was replaced, refused or taken away is nowhere in memory")
def forgotten(target):
    first, second, short, refused = secret(), secret(), secret(), secret()
    with Control(target.control) as client:
        where = {"target": target.iqn, "user": "bob"}
        client.call("user.add", **where, secret=first)
        check(remembers(target, first), "what is in use is not found: this test finds nothing")
        equal(client.refused("user.set", **where, secret=refused, mutual="us",
                             mutual_secret=short[:9]).data["name"], "config-invalid", "too short")
        client.refused("user.set", **where, secrets=refused)
        client.send('{"jsonrpc":"2.0","id":1,"method":"user.set","params":{"secret":"%s"' % refused)
        check("error" in client.line(), "half a text was no error")
        client.call("user.set", **where, secret=second)
        check(remembers(target, second), "what is in use now is not found")
        client.call("user.remove", **where)
        # What comes and goes takes the place of the last change in libraries that keep one.
        for text in (first, second, short, refused):
            equal(remembers(target, text), 0, f"copies of {text} in memory")
            equal(remembers(target, text.encode().hex()), 0, f"copies of {text} in hexadecimal digits")


@case("what makes it is parsed anew with every change, and only the configuration has it as digits")
def once(target):
    text, mutual = secret(), secret()
    with Control(target.control) as client:
        where = {"target": target.iqn, "user": "carol"}
        client.call("user.add", **where, secret=text, mutual="us", mutual_secret=mutual)
        copies = [remembers(target, word.encode().hex()) for word in (text, mutual)]
        check(all(copies), "what is in use is not found: this test finds nothing")
        for number in range(20):
            client.call("target.set", target=target.iqn, alias=f"number {number}")
        equal([remembers(target, word.encode().hex()) for word in (text, mutual)], copies,
              "copies after some changes of other things")
        client.call("user.remove", **where)
        for word in (text, mutual):
            equal(remembers(target, word.encode().hex()), 0, f"copies of {word} in hexadecimal digits")


if __name__ == "__main__":
    if is_sanitized(os.environ["RISERD"]):
        print("1..0 # SKIP a sanitizer keeps copies of what is given back, in terabytes of memory")
        sys.exit(0)
    try:
        main(Target("--state", os.path.join(TMP, "state"), "--memory", "16M", innocent=None,
                    disks=("ram:4M",)))
    except PermissionError:
        print("1..0 # SKIP the memory of another process may not be read here")
