#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What is typed and what comes back: help, mistakes, exit statuses, lists, JSON, --dry-run, events and
top, of `riser` against a control socket that says what the test wants."""

import json
import os
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
import command
from command import (HOST, IQN, OTHER, RISER, Daemon, Refuse, Terminal, answers, contains, execute,
                     lun, run)
from tap import check, equal

SRC = os.environ.get("SRC", os.path.join(os.path.dirname(__file__), "..", ".."))
NOBODY = "/nonexistent/control.sock"


def mistake(*words):
    """What a command line that makes no sense is told, without any daemon."""
    done = execute("--control", NOBODY, *words)
    equal((done.returncode, done.stdout), (2, ""), f"riser {words}: {done.stderr}")
    equal(done.stderr.count("\n"), 1, f"lines: {done.stderr}")
    return done.stderr


def helps():
    """help lists every command, and each command explains itself"""
    lines = run("help").splitlines()
    listed = [line for line in lines if line.startswith("  ") and not line.startswith("  -")]
    check(len(listed) > 20, f"{len(listed)} commands")
    for words in (["session", "kick"], ["howto"], ["top"]):
        contains(run(*words, "--help"), f"usage: riser {' '.join(words)}", "options of all")
        equal(run("help", *words), run(*words, "-h"), "help and -h")
    contains(run("session", "--help"), "session list", "session kick")
    contains(run("--version"), "riser 0.1")


def manual():
    """riser(1) has every command as the table says"""
    subprocess.run([os.path.join(SRC, "tools/riser/manual"), "-n", RISER], check=True)


def mistakes():
    """a mistake is one line with the word, what was expected and the nearest known word; status 2"""
    contains(mistake("sesion", "list"), "sesion", "did you mean 'session'?")
    contains(mistake("session", "kik"), "kik", "did you mean 'kick'?")
    contains(mistake("session", "list", "--jsn"), "option: --jsn", "did you mean '--json'?")
    contains(mistake("frobnicate"), "frobnicate", "riser help")
    contains(mistake("lun", "show", "disk1"), "a word is missing", "riser lun show TARGET LUN")
    contains(mistake("lun", "show", "disk1", "x"), "LUN: x", "the number of a LUN")
    contains(mistake("lun", "show", "disk1", "1", "2"), "one word too many: 2")
    contains(mistake("alua", "set", "disk1", "1", "fast"), "fast", "non-optimized")
    contains(mistake("howto", "disk1", "--os", "linus"), "linus", "linux windows")
    contains(mistake("top", "--interval"), "a value is missing behind: interval")
    contains(mistake("top", "--interval=-1"), "-1")
    contains(mistake("top", "-n", "1", "-n", "2"), "given twice")
    contains(mistake("session", "list", "--json=yes"), "no value belongs to: json")
    contains(mistake("session", "list", "-z"), "-z")
    contains(mistake("session", "list", "--dry-run"), "changes nothing")
    contains(mistake("session", "kick"), "whom?", "--initiator")
    equal(execute("reservation").returncode, 7, "a noun alone is its list")


def not_text():
    """bytes that are no UTF-8 are refused before riserd is asked; errors are whole objects all the same"""
    for words in (["target", "delete", b"\xff"], ["trace", "--pcap", "f", "--target", b"\xff"],
                  ["session", "kick", "--target", b"\xff"]):
        contains(mistake(*words), "UTF-8")
    for words in (["target", "delete", b"\xff"], [b"no\xffcommand"], ["help", b"\xc3\xa4" * 600]):
        done = execute("--json", "--control", NOBODY, *words)
        equal(json.loads(done.stdout)["error"]["data"]["exit"], done.returncode, f"{words}")


def nobody():
    """a daemon that is not there is status 7, one that may not be asked 6, one that is silent 9"""
    done = execute("--control", NOBODY)
    equal(done.returncode, 7, "status")
    contains(done.stderr, NOBODY, "riserd is not running", "systemctl start riser", "--control")
    done = execute("session", "list", env={"RISER_CONTROL": "/nonexistent/other"})
    contains(done.stderr, "/nonexistent/other")
    contains(execute("--control", "/" + "x" * 200).stderr, "cannot connect")
    with Daemon({"status": lambda _: time.sleep(3)}) as c:
        contains(c.refused(9, "--timeout", "0.2"), "not answered in time", "--timeout")
    with Daemon({"status": Refuse}) as c:
        c.methods["status"] = b'{"jsonrpc":"2.0","id":1,"err'
        contains(c.refused(9, "--timeout", "0.2"), "in time")
        c.methods["status"] = b"nonsense\n"
        contains(c.refused(1), "closed the connection")
    with Daemon({"log.get": lambda _: time.sleep(0.9) or {"level": "info"}}) as c:
        equal(c.run("--timeout", "4294968", "log", "level"), "info\n", "with 50 days for the answer")


def errors():
    """an error of the daemon keeps its exit status, message and hint; with --json it is an object"""
    def refuse(_):
        raise Refuse(5, "busy", "somebody is logged in", "try --force")
    with Daemon({"session.kick": refuse}) as c:
        contains(c.refused(5, "session", "kick", "3"), "somebody is logged in; try --force")
        text = c.run("session", "kick", "3", "--json", status=5)
        equal(json.loads(text)["error"]["data"],
              {"name": "busy", "exit": 5, "object": "3", "hint": "try --force"}
              if "object" in text else {"name": "busy", "exit": 5, "hint": "try --force"}, "data")
        contains(c.refused(1, "initiator", "list"), "there is no method")
        def lost(_):
            raise Refuse(3, "not-found", "there is no LUN 9", "lun.list has all, not 10.list; e.g. lun.lists")
        c.methods["lun.list"] = lost
        equal(c.refused(3, "lun", "list"),
              "riser: there is no LUN 9; riser lun list has all, not 10.list; e.g. lun.lists\n", "ours")
        def twice(_):
            raise Refuse(2, "usage", "foo: it takes a name like iqn.x", "a name like iqn.x")
        c.methods["lun.list"] = twice
        equal(c.refused(2, "lun", "list"), "riser: foo: it takes a name like iqn.x\n", "said once")
    text = run("--json", "--control", NOBODY, status=7)
    equal(json.loads(text)["error"]["data"]["name"], "not-running", "name")


def tree():
    """no command: the tree with health, LUNs, who is connected and rates"""
    said = answers()
    said["status"].update(health="degraded", problems=["LUN 1 has lost its disk"],
                          last_reload={"time": "2026-11-22T00:00:00Z", "ok": False,
                                       "message": "riser.conf:3: no"})
    with Daemon(said) as c:
        text = c.run("status", "-i", "0.1")
        contains(text, "riserd 0.1  degraded  up 3 d 4 h  2 targets  2 LUNs  1 session",
                 "! LUN 1 has lost its disk", "! not applied", "riser.conf:3: no",
                 "├─ portals", "192.0.2.1:3260  tcp, iser", f"├─ {IQN}  \"Disk 1\"",
                 "│  ├─ LUN 0   /dev/vg0/disk1  block    10 GiB  ok",
                 f"│  └─ {HOST}  192.0.2.7  tcp  alice", "IOPS", "MB/s read",
                 f"└─ {OTHER}  nobody is logged in", "no-size  idle")
        check("\033" not in text, "colours in a pipe")
        contains(c.run(env={"LC_ALL": "C"}), f"|- {IQN}", "`- LUN 1")
        view = json.loads(c.run("--json"))
        check(view["targets"][0]["luns"][0]["rates"]["commands_per_s"] > 0, f"rates of {view}")
        equal(view["sessions"][0]["rates"]["queue"], 4, "queue")
        equal(json.loads(c.run("--json", "status", "-i", "0")).get("rates"), None, "without rates")


def hostile_text():
    """names with control characters do not reach the terminal"""
    said = answers()
    said["target.list"][0]["alias"] = "\033[2Jgone\u009b\n"
    with Daemon(said) as c:
        for words in ((), ("target", "list")):
            text = c.run(*words)
            contains(text, "?[2Jgone")
            check("\033" not in text and "\u009b" not in text, repr(text))


def lists():
    """each noun lists and shows; short names of targets are enough"""
    said = answers()
    said["initiator.list"] = [{"initiator": HOST, "target": IQN, "sessions": 1,
                               "from": "192.0.2.7", "stats": {"commands": 12345}}]
    said["reservation.list"] = [{"target": IQN, "lun": 0, "type": "write-exclusive", "holder": HOST,
                                 "generation": 3, "registrations": [
                                     {"initiator": HOST, "port": 1, "key": "0x1234", "holds": True}]}]
    said["alua.list"] = [{"target": IQN, "tag": 1, "access": "optimized", "preferred": False,
                          "ports": ["192.0.2.1:3260"]}]
    with Daemon(said) as c:
        contains(c.run("portal", "list"), "192.0.2.1:3260", "tcp, iser", "optimized")
        contains(c.run("portal", "show", "192.0.2.1:3260"), "transports        all")
        contains(c.refused(3, "portal", "show", "192.0.2.2:3260"), "there is no portal")
        contains(c.run("target", "ls"), IQN, "Disk 1")
        contains(c.run("target", "show", "disk1"), "chap users        alice", "/dev/vg0/disk1", HOST)
        equal(c.run("target", "show", "-q", "disk1"), "", "quiet")
        c.refused(3, "target", "show", "-q", "disk2")
        contains(c.run("lun", "list", "disk1"), "10 GiB", "read-write")
        contains(c.run("lun", "show", "disk1", "0"), "10 GiB (10737418240 bytes)", "direct")
        said["lun.list"] = [lun(0, options={"size": 10 << 30, "direct": True})]
        equal(c.run("lun", "show", "disk1", "0").count("\nsize "), 1, "sizes")
        said["lun.list"] = answers()["lun.list"]
        contains(c.refused(3, "lun", "show", "disk1", "7"), "no LUN 7")
        contains(c.run("session"), HOST, "alice", "192.0.2.7")
        contains(c.run("session", "show", "1"), "00023d000001", "192.0.2.7:40000", "CRC32C")
        contains(c.run("initiator", "list"), HOST, "12.3k")
        contains(c.run("initiator", "show", HOST), IQN)
        contains(c.refused(3, "initiator", "show", "iqn.x"), "not logged in")
        contains(c.run("reservation", "list"), "write-exclusive", "holds it", "0x1234")
        contains(c.run("alua", "list"), "192.0.2.1:3260")
        contains(c.run("stats"), "luns", "BUSY RATIO", "25.0%", "not-allowed", "BYTES COPIED",
                 "buffers: 128 MiB, 1.5 MiB in use\n")
        for noun in ("portal", "target", "lun", "session", "reservation", "alua"):
            equal(json.loads(c.run(noun, "list", "--json")), said["lun.list"](None)
                  if noun == "lun" else said[noun + ".list"], noun)
        said["target.list"].append(command.target("iqn.2026-11.other:disk1"))
        contains(c.refused(2, "target", "show", "disk1"), "can be any of", IQN, "whole name")


def changes():
    """kick, clear, set and level call their methods, with --dry-run as a question only"""
    said = answers()
    said["session.kick"] = {"sessions": ["1"]}
    said["reservation.clear"] = {"cleared": {"target": IQN, "lun": 0, "registrations": [
        {"initiator": HOST, "holds": True}]}}
    said["alua.set"] = {"target": IQN, "tag": 1, "access": "standby"}
    said["log.set"] = said["log.get"] = {"level": "info"}
    commands = [
        (["session", "kick", "1"], "session.kick", {"session": "1"}, "ended session 1"),
        (["session", "kick", "--target", IQN, "--force"], "session.kick",
         {"target": IQN, "force": True}, "ended session 1"),
        (["initiator", "kick", HOST], "session.kick", {"initiator": HOST}, "ended session 1"),
        (["reservation", "clear", "disk1", "0"], "reservation.clear", {"target": IQN, "lun": 0},
         f"has forgotten\n  the reservation of {HOST}"),
        (["alua", "set", "disk1", "1", "standby"], "alua.set",
         {"target": IQN, "tag": 1, "access": "standby"}, "group 1 is standby"),
        (["log", "level", "debug"], "log.set", {"level": "debug"}, ""),
    ]
    said["user.add"] = {"changed": True}
    said["trace.start"] = {}
    with Daemon(said) as c:
        c.run("user", "add", "bob", "--target", "disk1", text="longenough123\n")
        equal(c.heard.pop()[1]["target"], IQN, "the target that a short name of an option means")
        contains(c.refused(3, "user", "add", "bob", "--target", "disk9"), "no target disk9")
        execute("trace", "--pcap", "/dev/null", "--target", "*:disk1", "--control", c.path)
        equal(c.heard.pop(), ("trace.start", {"target": "*:disk1"}), "a pattern stays one")
        for words, method, params, text in commands:
            contains(c.run(*words), text)
            equal(c.heard.pop(), (method, params), f"the call of {words}")
            contains(c.run(*words, "--dry-run"), "would" if text else "")
            equal(c.heard.pop(), (method, {**params, "dry_run": True}), f"{words} --dry-run")
            equal(json.loads(c.run(*words, "--json")), said[method], f"{words} --json")
        equal(c.run("log", "level"), "info\n", "log level")

        def one_only(params):
            if params.get("session") != "1":
                raise Refuse(3, "not-found", "there is no session 2")
            return {"sessions": ["1"]}
        said["session.kick"] = one_only
        done = execute("session", "kick", "1", "2", "--control", c.path)
        equal(done.returncode, 10, "partly done")
        contains(done.stderr, "there is no session 2")
        c.refused(3, "session", "kick", "2")


def event(seq, kind="login-failed", **more):
    return {"seq": seq, "time": "2026-11-22T00:00:00Z", "type": kind, "target": IQN,
            "initiator": HOST, "from": "192.0.2.7:4000", "session": None, "lun": None,
            "reason": "not-allowed", "text": "not in the allow list", **more}


def events():
    """events are listed, chosen by type, and followed, each once"""
    said = {"events.list": [event(1), event(2, "login", reason=None)],
            "events.subscribe": {"seq": 2}}
    with Daemon(said) as c:
        contains(c.run("events"), "login-failed", HOST, "from 192.0.2.7:4000", f"to {IQN}",
                 "not-allowed: not in the allow list")
        equal(len(c.run("events", "--type", "login", "--json").splitlines()), 1, "of type login")
        c.methods["events.list"] = [event(3, "config", target=None, initiator=None, reason="lun.create",
                                          text="lun.create: disk1", **{"from": None})]
        equal(c.run("events"), "2026-11-22T00:00:00Z  config        lun.create: disk1\n", "said once")
        c.methods["events.list"] = said["events.list"] = [event(1), event(2, "login", reason=None)]
        c.run("events", "--since", "1")
        equal(c.heard.pop(), ("events.list", {"since": 1}), "since")
        with subprocess.Popen([RISER, "events", "-f", "--json", "--control", c.path],
                              stdout=subprocess.PIPE, encoding="utf-8") as follow:
            c.wait_heard("events.subscribe")
            seen = [json.loads(follow.stdout.readline())["seq"] for _ in range(2)]
            for number in (2, 3, 4):
                c.notify("event", event(number))
            seen += [json.loads(follow.stdout.readline())["seq"] for _ in range(2)]
            c.notify("events.lost", {"count": 12})
            equal(json.loads(follow.stdout.readline()), {"lost": 12}, "what riserd could not send")
            equal(seen, [1, 2, 3, 4], "followed")
            follow.send_signal(signal.SIGINT)
            equal(follow.wait(15), 0, "exit status after Ctrl-C")


def top():
    """top counts what happens between two looks, per LUN, target and session, in tables and JSON"""
    with Daemon(answers()) as c:
        text = c.run("top", "-n", "2", "-i", "0.1")
        equal(text.count("by lun"), 2, "tables")
        contains(text, "P99", "us", "ms")
        for view, key in (("lun", "lun"), ("target", "target"), ("session", "session")):
            line = json.loads(c.run("top", "-n1", "-i0.1", "--by", view, "--json"))
            row = line["rows"][0]
            check(row[key] in (0, IQN, "1") and row["commands_per_s"] > 0, f"{line}")
            equal(row["read_bytes_per_s"], row["commands_per_s"] * 4096, "bytes")
        check(0 < line["seconds"] < 10, f"{line}")
        contains(mistake("top", "--by", "disk"), "lun target session")
        done = execute("top", "-i", "0.01", "--control", c.path)
        equal(done.returncode, 2, "too short")


def top_screen():
    """on a terminal top fills the screen, changes its view by keys, and puts the terminal back"""
    with Daemon(answers()) as c:
        t = Terminal(RISER, "top", "-i", "0.1", "--control", c.path)
        contains(t.until("by lun"), "\033[?1049h", "riser top")
        t.type("t")
        t.until("by target")
        t.type("w")
        t.until("sorted by write")
        t.type("x")
        t.until("\033[?1049l")
        equal(t.end(), 0, "status")


def top_loses_riserd():
    """why top has ended is on the screen that stays"""
    def refuse(_):
        raise Refuse(6, "permission", "not for you", "be root")
    with Daemon({"stats.get": refuse}) as c:
        t = Terminal(RISER, "top", "--control", c.path)
        text = t.until("not for you; be root")
        check("\033[?1049l" in text, repr(text))
        equal(t.end(), 6, "status")


def latency():
    """latency draws a histogram for each stage"""
    stages = {name: {"buckets": [{"le_ns": 1024, "count": 10}, {"le_ns": 2048, "count": 80},
                                 {"le_ns": None, "count": 10}]}
              for name in ("transport", "queue", "backstore")}
    with Daemon({"latency.get": {"stages": stages}, **answers(), }) as c:
        c.methods["latency.get"] = {"stages": stages}
        text = c.run("latency", "disk1", "0", "--reset")
        contains(text, "transport", "queue", "backstore", "100 commands", "p50 1.5", "████", "more")
        equal(c.heard.pop(), ("latency.get", {"target": IQN, "lun": 0, "reset": True}), "params")


def colors():
    """colours on a terminal, none with NO_COLOR, and as --color says"""
    with Daemon(answers()) as c:
        for env, words, expected in (({}, (), True), ({"NO_COLOR": "1"}, (), False),
                                     ({"TERM": "dumb"}, (), False),
                                     ({}, ("--color", "never"), False),
                                     ({"NO_COLOR": "1"}, ("--color=always",), True)):
            t = Terminal(RISER, "--control", c.path, "lun", "list", *words, env=env)
            text = t.until("no-size")
            equal("\033[" in text, expected, f"colours with {env} {words}")
            t.end()
        check("\033[" in c.run("lun", "list", "--color", "always"), "always, in a pipe")


def many():
    """ten thousand LUNs are listed in little time"""
    said = answers()
    said["lun.list"] = [command.lun(i % 256, f"iqn.2026-11.test:t{i // 256}") for i in range(10000)]
    with Daemon(said) as c:
        begin = time.monotonic()
        equal(len(c.run("lun", "list").splitlines()), 10001, "lines")
        check(time.monotonic() - begin < 5, f"{time.monotonic() - begin} s")


if __name__ == "__main__":
    command.main([helps, manual, mistakes, not_text, nobody, errors, tree, hostile_text, lists, changes, events,
                  top, top_screen, top_loses_riserd, latency, colors, many])
