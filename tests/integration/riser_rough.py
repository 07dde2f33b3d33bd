#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`riser` at three in the morning: a riserd that says hostile things, readers that go away, disks that are
full, terminals without a size, ten thousand LUNs, names that are no text."""

import fcntl
import json
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
import command
from command import (HOST, IQN, RISER, Daemon, Refuse, Terminal, answers, contains, execute, lun, session,
                     target)
from tap import check, equal

NOBODY = "/nonexistent/control.sock"
EVIL = "\033]0;x\007\u009b31m\u202e\u200b\r"
JOB = {"id": "1", "kind": "sanitize", "target": IQN, "lun": 0, "done": 5, "total": 10, "state": "running",
       "since": "2026-11-22T00:00:00Z"}


def spoiled(value, keep=()):
    """The same with something for the terminal at the end of each text and name."""
    if isinstance(value, str):
        return value + EVIL
    if isinstance(value, list):
        return [spoiled(item, keep) for item in value]
    if isinstance(value, dict):
        return {key: item if key in keep else spoiled(item, keep) for key, item in value.items()}
    return value


def hostile():
    """nothing that riserd says drives the terminal, whatever the command and the member"""
    said = answers()
    event = {"seq": 1, "time": "2026-11-22T00:00:00Z", "type": "login-failed", "target": IQN, "initiator": HOST,
             "from": "192.0.2.7:4000", "lun": 0, "reason": "not-allowed", "text": "no"}
    said.update({
        "initiator.list": [{"initiator": HOST, "target": IQN, "sessions": 1, "from": ["192.0.2.7"], "stats": {}}],
        "reservation.list": [{"target": IQN, "lun": 0, "type": "exclusive", "holder": HOST, "generation": 3,
                              "registrations": [{"initiator": HOST, "port": 1, "key": "0x1", "holds": True}]}],
        "alua.list": [{"target": IQN, "tag": 1, "access": "optimized", "ports": ["192.0.2.1:3260"]}],
        "events.list": [event], "log.get": {"level": "info"}, "job.list": [JOB],
        "job.cancel": JOB, "job.show": {**JOB, "state": "done"}, "session.kick": {"sessions": ["1"]},
        "alua.set": {"target": IQN, "tag": 1, "access": "standby"},
        "reservation.clear": {"cleared": {"target": IQN, "lun": 0, "holder": HOST, "registrations": []}},
        "user.list": [{"user": "alice", "target": IQN, "mutual": True}],
        "config.check": {"file": "/etc/riser/riser.conf", "targets": 1, "luns": 1, "portals": 1},
        "config.diff": {"file": "f", "file_error": "riser.conf:3: no", "state_file": "s", "not_applied": [
            {"path": "target x", "before": {"alias": "a"}, "after": ["b", "c"]}], "state": [], "runtime": []},
        "latency.get": {"stages": {"queue": {"buckets": [{"le_ns": 1024, "count": 10}]}}}})
    said["status"].update(problems=["one"], last_reload={"time": "2026-11-22T00:00:00Z", "ok": False, "message": "no"})
    said["portal.list"][0].update(redirect="192.0.2.9")
    said["target.list"][0].update(redirect="192.0.2.9")
    counters = said["stats.get"]
    evil = {method: (lambda p, r=result: spoiled(r(p), ("since", "started", "state", "kind")))
            if callable(result) else spoiled(result, ("since", "started", "state", "kind"))
            for method, result in said.items() if method != "stats.get"}
    evil["stats.get"] = lambda p: spoiled({**counters(p), "login_failures": {"not" + EVIL: 2},
                                           "of" + EVIL: 3, "some" + EVIL: [{"a" + EVIL: 1}]})
    evil["latency.get"]["stages"]["x" + EVIL] = {"buckets": []}
    with Daemon(evil) as c:
        for words in (("status", "-i", "0.1"), ("portal", "list"), ("target", "list"), ("target", "show", IQN),
                      ("lun", "list"), ("lun", "show", IQN, "0"), ("session", "list"), ("session", "show", "1"),
                      ("session", "kick", "1"), ("initiator", "list"), ("reservation", "list"),
                      ("reservation", "clear", IQN, "0"), ("alua", "list"), ("alua", "set", IQN, "1", "standby"),
                      ("top", "-n1", "-i0.1"), ("top", "-n1", "-i0.1", "--by", "session"), ("stats",), ("latency",),
                      ("events",), ("log", "level"), ("job", "list"), ("job", "cancel", "1"), ("job", "wait", "1"),
                      ("user", "list"), ("config", "check"), ("config", "diff")):
            done = execute("--control", c.path, *words)
            check(done.stdout, f"{words}: {done.stderr}")
            for text in (done.stdout, done.stderr):
                bad = re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e]", text)
                check(not bad, f"riser {words}: {text!r}")
        evil["config.dump"] = {"text": f"target {IQN} {{\n    alias = \"{EVIL}\"\n}}\n"}
        contains(command.run("--control", c.path, "config", "dump"), EVIL[:4])
        t = Terminal(RISER, "--control", c.path, "config", "dump")
        text = t.until("}")
        check("\033" not in text and "\u009b" not in text, repr(text))
        t.end()


def long_names():
    """what is long is shown whole, and takes no room of the others"""
    said = answers()
    said["lun.list"] = [lun(0, path="/" + "p" * 3000), lun(1, path="/dev/b")]
    with Daemon(said) as c:
        lines = c.run("lun", "list").splitlines()
        contains(lines[1], "p" * 3000)
        check(len(lines[2]) < 500, f"{len(lines[2])} columns")


def numbers():
    """figures and names that nobody expects are shown somehow, and nothing is written beyond a table"""
    said = answers()
    least, most = -(1 << 63), (1 << 63) - 1
    luns = [{"target": IQN, "lun": 0, "commands": n, "read_bytes": -n - 1, "queue": n, "latency": {"read": {
        "buckets": [{"le_ns": n, "count": -n - 1}, {"le_ns": 1e300, "count": n}]}}} for n in (least, most)]
    looks = iter(range(1000))
    said["stats.get"] = lambda _: {"luns": [luns[next(looks) % 2]], "x|" * 300: [{"a|" * 300: 1, "b|>c": 2}],
                                   "sessions": [], "some": [{f"k{i}|": i for i in range(30)}]}
    said["latency.get"] = {"stages": {"queue": {"buckets": [{"le_ns": 1024, "count": -5}, {"le_ns": -1, "count": most},
                                                            {"le_ns": 4096, "count": most}]}}}
    said["status"].update(uptime_s=1e300)
    with Daemon(said) as c:
        for words in (("stats",), ("latency",), ("status", "-i", "0.1"), ("top", "-n2", "-i0.1")):
            check(len(c.run(*words)) < 100000, f"{words}")
            for line in c.run(*words, "--json").splitlines():
                json.loads(line)
        for code in (least, most, -32000, -31000):
            def refuse(_, code=code):
                raise Refuse(0, "x", "no", code=code)
            c.methods["job.list"] = refuse
            c.refused(1, "job", "list")


def secrets():
    """a secret with a zero byte, or a long one, is refused rather than cut"""
    with Daemon({"user.add": {"changed": True}}) as c:
        for text, says in (("secretsecret\0more\n", "zero byte"), ("x" * 256 + "\n", "255 bytes"),
                           ("", "no secret")):
            done = execute("--control", c.path, "user", "add", "bob", "--discovery", text=text)
            equal(done.returncode, 2, f"{text!r}: {done.stderr}")
            contains(done.stderr, says)
        equal(c.heard, [], "what riserd has heard")
        c.run("user", "add", "bob", "--discovery", text="x" * 255)
        equal(c.heard.pop()[1]["secret"], "x" * 255, "secret")


def whole_lists():
    """lists are shown to their end, and names as people write them are found"""
    said = answers()
    hosts = [f"iqn.1993-08.org.debian:01:host{i:04}" for i in range(300)]
    said["target.show"] = target(allow=hosts, initiators=[
        {"who": host, "luns": ["0", "2-5"], "readonly": [], "iops": 5, "bandwidth": 1 << 20} for host in hosts])
    said["initiator.list"] = [{"initiator": HOST, "target": IQN, "sessions": 300, "from": hosts, "stats": {}}]
    said["alua.list"] = [{"target": IQN, "tag": 1, "access": "optimized", "ports": hosts}]
    with Daemon(said) as c:
        for words in (("target", "show", IQN), ("initiator", "list"), ("alua", "list"), ("initiator", "order", IQN)):
            contains(c.run(*words), hosts[-1])
        contains(c.run("initiator", "order", IQN), "300", "0, 2-5", "5 IOPS, 1 MiB/s")
        equal(len(json.loads(c.run("initiator", "order", IQN, "--json"))), 300, "order")
        contains(c.run("initiator", "show", HOST.upper()), IQN)
        contains(c.run("portal", "show", "192.0.2.1"), "192.0.2.1:3260")
        c.refused(3, "portal", "show", "192.0.2.1:1")


def mistakes_in_json():
    """with --json mistakes are objects wherever it stands"""
    for words in (["bogus", "--json"], ["session", "kik", "--json"], ["--nonsense", "--json"], ["config", "--json"],
                  ["--json", "config"], ["lun", "show", "x", "--json"], ["top", "--by", "lun target", "--json"],
                  ["top", "-n", "0", "--json"], ["--timeout", "x", "--json"]):
        done = execute("--control", NOBODY, *words)
        equal((done.returncode, done.stderr), (2, ""), f"{words}: {done.stdout}")
        equal(json.loads(done.stdout)["error"]["data"]["exit"], 2, f"{words}")
    done = execute("target", "set", "x", "--", "--json")
    check(done.stdout == "" and done.stderr, "behind -- it is a word")
    contains(execute("y" * 200).stderr, "riser help")


def unread():
    """a reader that goes away is no error; a disk that is full is one"""
    with Daemon(answers()) as c:
        for words in (("lun", "list"), ("--json", "lun", "list"), ("status", "-i0")):
            read, write = os.pipe()
            os.close(read)
            done = subprocess.run([RISER, "--control", c.path, *words], stdout=write, stderr=subprocess.PIPE,
                                  timeout=60, check=False)
            os.close(write)
            equal((done.returncode, done.stderr), (0, b""), f"riser {words}")
            with open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([RISER, "--control", c.path, *words], stdout=full, stderr=subprocess.PIPE,
                                      timeout=60, check=False)
            equal(done.returncode, 1, f"riser {words}, full")
            contains(done.stderr.decode(), "cannot be written")
        for closed in (">&-", "2>&-", "<&-", "<&- >&- 2>&-"):
            c.heard.clear()
            done = subprocess.run(["sh", "-c", f'exec "$0" --control "$1" lun list {closed}', RISER, c.path],
                                  capture_output=True, timeout=60, check=False)
            equal((done.returncode, c.heard), (0, [("lun.list", {}), ("lun.hanging", None)]),
                  f"with {closed}: {done.stderr}")
            equal(bool(done.stdout), ">&-" not in closed.split(), f"with {closed}")


def turned_away():
    """who may not use the socket is told so with status 6, also when riserd has left before it was asked"""
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32006, "message": "you may not use the control socket",
                                                     "data": {"name": "permission", "exit": 6, "hint": "be root"}}}
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(folder, "control")
        listener.bind(path)
        listener.listen(8)

        def serve():
            for _ in range(30):
                conn, _ = listener.accept()
                conn.sendall(json.dumps(error).encode() + b"\n")
                conn.close()
        threading.Thread(target=serve, daemon=True).start()
        for _ in range(30):
            done = execute("--control", path, "lun", "list")
            equal(done.returncode, 6, f"{done.stderr}")
            contains(done.stderr, "you may not use", "be root")


def followed():
    """who follows events ends when nobody reads them any more, and misses none without a word"""
    with Daemon({"events.list": [], "events.subscribe": {"seq": 0}}) as c:
        with subprocess.Popen([RISER, "events", "-f", "--control", c.path], stdout=subprocess.PIPE,
                              encoding="utf-8") as follow:
            c.wait_heard("events.list")
            c.notify("events.lost", {"count": 12})
            c.notify("event", {"seq": 13, "time": "T", "type": "login", "text": "x"})
            contains(follow.stdout.readline(), "12 events have been missed")
            contains(follow.stdout.readline(), "login")
            follow.stdout.close()
            equal(follow.wait(15), 0, "exit status")


def frames(terminal, count):
    """So many screens of top."""
    terminal.until("\033[H\033[J")
    return [terminal.until("\033[H\033[J") for _ in range(count)]


def top_sizes():
    """top fits the terminal, whatever its size; one without a size has 80 columns and 24 rows"""
    with Daemon(answers()) as c:
        t = Terminal(RISER, "--color", "never", "top", "-i", "0.1", "--control", c.path)
        contains(frames(t, 2)[-1], "\r\n" + IQN)
        for columns, rows in ((80, 24), (40, 10), (12, 3), (1, 1)):
            fcntl.ioctl(t.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            end = time.monotonic() + command.WAIT
            lines = frames(t, 1)[-1].split("\r\n")
            # Those that were drawn before are wider.
            while max(len(line) for line in lines) > columns:
                check(time.monotonic() < end, f"{columns}: {lines}")
                lines = t.until("\033[H\033[J").split("\r\n")
        t.type("x")
        t.until("\033[?1049l")
        equal(t.end(), 0, "status")


def progress_sizes():
    """a bar fits the terminal, and what is long is cut"""
    job = {**JOB, "target": "iqn.2026-11.test:" + "x" * 100}
    for columns in (100, 50, 20, 5):
        looks = iter([{**job, "done": n} for n in (1, 5, 9)] + [{**job, "state": "done", "done": 10}])
        with Daemon({"job.show": lambda _, i=looks: next(i)}) as c:
            t = Terminal("sh", "-c", f'stty cols {columns}; exec "$0" --control "$1" job wait 1', RISER, c.path,
                         env={"LC_ALL": "C"})
            text = t.until(": done")
            equal(t.end(), 0, "status")
            for line in re.split("[\r\n]+", text)[:-1]:
                check(len(line.replace("\033[K", "")) <= columns, f"{columns}: {line!r}")


def no_waiting():
    """job wait --for 0 looks once"""
    with Daemon({"job.show": JOB}) as c:
        contains(c.refused(9, "--timeout", "5", "job", "wait", "1", "--for", "0"), "not over yet")


def whole_paths():
    """relative paths are those of who types them, whatever the folder is called"""
    said = {**answers(), "lun.create": {"changed": True, "lun": 0}, "lun.set": {"changed": True},
            "user.add": {"changed": True}}
    with Daemon(said) as c, tempfile.TemporaryDirectory(prefix="a,readonly=no") as folder:
        def called(*words):
            done = subprocess.run([RISER, "--control", c.path, *words], cwd=folder, capture_output=True, timeout=60,
                                  stdin=subprocess.DEVNULL, check=False)
            equal(done.returncode, 0, f"riser {words}: {done.stderr}")
            return c.heard.pop()[1]
        here = os.path.realpath(folder)
        params = called("lun", "create", IQN, "disk.img,readonly=on,pi-path=pi")
        equal((params["path"], params["options"]), (f"{here}/disk.img", {"readonly": "on", "pi-path": f"{here}/pi"}),
              "lun create")
        equal(called("lun", "create", IQN, "x" * 9000 + ",readonly=on")["options"], {"readonly": "on"}, "long")
        equal(called("lun", "create", IQN, "ram:1G")["path"], "ram:1G", "memory")
        equal(called("lun", "set", IQN, "0", "path=../b")["options"]["path"], f"{here}/../b", "lun set")
        equal(called("user", "add", "bob", "--target", IQN, "--secret-file", "s")["secret_file"], f"{here}/s", "user")
        done = subprocess.run(["sh", "-c", 'rmdir "$2" && exec "$0" --control "$1" lun create "$3" disk', RISER,
                               c.path, folder, IQN], cwd=folder, capture_output=True, timeout=60, check=False)
        os.mkdir(folder)
        equal(done.returncode, 1, f"{done.stderr}")
        contains(done.stderr.decode(), "whole path")


def unreadable():
    """a file that is not there is status 3, one that is no text 8, also in the object"""
    with tempfile.TemporaryDirectory() as folder, Daemon(answers()) as c:
        with open(os.path.join(folder, "binary"), "wb") as file:
            file.write(b"\xff\n")
        with open(os.path.join(folder, "zero"), "wb") as file:
            file.write(b"a\0b\n")
        for name, status in (("none", 3), ("binary", 8), ("zero", 8), ("", 1)):
            for verb in ("check", "apply"):
                done = execute("--control", c.path, "--json", "config", verb, os.path.join(folder, name))
                equal((done.returncode, json.loads(done.stdout)["error"]["data"]["exit"]), (status, status), name)


def no_text():
    """names that are no text do not take findings out of the JSON"""
    done = execute("--json", "--control", NOBODY, "doctor", b"/nonexistent/\xff")
    equal(done.returncode, 1, done.stderr)
    check(any("/nonexistent/?" in f["text"] for f in json.loads(done.stdout)), done.stdout)


def many():
    """ten thousand LUNs: tree, top, lists and counters in little time and memory"""
    said = answers()
    names = [f"iqn.2026-11.test:t{n}" for n in range(40)]
    said["target.list"] = [command.target(name, luns=[lun(n, name) for n in range(250)]) for name in names]
    said["lun.list"] = [lun(n, name) for name in names for n in range(250)]
    said["session.list"] = [session(n, target=name) for n, name in enumerate(names)]
    looks = []

    def stats(_):
        looks.append(None)
        buckets = [{"le_ns": 1 << n, "count": len(looks)} for n in range(10, 12)]
        return {"luns": [{"target": name, "lun": n, "commands": 100 * len(looks), "read_bytes": 5 * len(looks),
                          "latency": {"read": {"buckets": buckets}}}
                         for name in names for n in range(250)], "sessions": []}
    said["stats.get"] = stats
    with Daemon(said) as c:
        for words, lines in ((("status", "-i", "0.1"), 10080), (("lun", "list"), 10001), (("stats",), 10002),
                             (("top", "-n1", "-i0.1", "--by", "target"), 42), (("--json", "status", "-i0"), 1)):
            begin = time.monotonic()
            text = c.run(*words)
            check(text.count("\n") >= lines, f"{words}: {text.count(chr(10))} lines")
            check(time.monotonic() - begin < 20, f"{words}: {time.monotonic() - begin} s")
    check(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 500 << 10, "memory")


if __name__ == "__main__":
    command.main([hostile, long_names, numbers, secrets, whole_lists, mistakes_in_json, unread, turned_away,
                  followed, top_sizes, progress_sizes, no_waiting, whole_paths, unreadable, no_text, many])
