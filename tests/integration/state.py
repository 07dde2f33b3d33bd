#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Commands that create and change what is served: what they answer, what is there after a restart, what
is refused, and that nothing half done remains. Through `riser` as users type it, and the socket."""

import json
import os
import random
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from control import Control
from initiator import Chap, Initiator, LoginRefused
from tap import Failure, check, equal

RISERD = os.environ["RISERD"]
RISER = os.path.join(os.environ.get("BUILD", "build"), "riser")
ONE, TWO, NEW = (f"iqn.2026-11.test:{name}" for name in ("one", "two", "new"))
SECRET = "alice-secret-0123"
CONF = """portal 127.0.0.1:0 {{ }}
state = {folder}/state
target {one} {{
    lun 0 {{ path = ram:16M }}
    lun 1 {{ path = ram:1M }}
}}
"""


class Daemon:
    """riserd with a configuration file, a state folder and a control socket."""

    def __init__(self, conf=CONF, options=None):
        self.folder = tempfile.mkdtemp(prefix="state-", dir=os.environ.get("TMPDIR"))
        self.conf = os.path.join(self.folder, "riser.conf")
        self.socket = os.path.join(self.folder, "sock")
        self.state = os.path.join(self.folder, "state", "state.json")
        self.options = options
        self.process = self.rpc = None
        self.write(conf)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder)

    def write(self, conf):
        with open(self.conf, "w", encoding="utf-8") as out:
            out.write(conf.format(folder=self.folder, one=ONE))

    def launch(self):
        words = self.options or ["-c", self.conf]
        return subprocess.Popen([RISERD, *words, "--control", self.socket], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def start(self):
        self.process = self.launch()
        for line in self.process.stdout:
            if line == "ready\n":
                break
        else:
            raise Failure(self.process.stderr.read())
        self.rpc = Control(self.socket)

    def stop(self):
        if not self.process:
            return
        if self.rpc:
            self.rpc.close()
        self.process.terminate()
        _, self.log = self.process.communicate(timeout=20)
        status, self.process, self.rpc = self.process.returncode, None, None
        equal(status, 0, "exit status of riserd:\n" + self.log)

    def kill(self):
        self.process.kill()
        _, self.log = self.process.communicate(timeout=20)
        self.rpc.close()
        self.process = self.rpc = None

    def restart(self):
        self.stop()
        self.start()

    def riser(self, *words, status=0, stdin=""):
        done = subprocess.run([RISER, "--control", self.socket, *words], input=stdin, text=True,
                              capture_output=True, timeout=30, check=False)
        equal(done.returncode, status, f"riser {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout if not status else done.stderr

    def luns(self, target=ONE):
        return {lun["lun"]: lun for lun in self.rpc.call("lun.list", target=target)}

    def targets(self):
        return [target["name"] for target in self.rpc.call("target.list")]

    def port(self):
        return int(self.rpc.call("portal.list")[0]["address"].rsplit(":", 1)[1])

    def login(self, target=ONE, **how):
        conn = Initiator(("127.0.0.1", self.port()), target)
        conn.login(**how)
        return conn

    def version(self):
        """Of the last line of the state file; its first part has the first one."""
        with open(self.state, encoding="utf-8") as text:
            return int(re.findall(r'"version": (\d+)', text.read())[-1])


def what_is_made_stays():
    """what commands make is there at once and after a restart; --runtime is not"""
    with Daemon() as d:
        d.riser("target", "create", NEW, "--allow", "any", "--alias", "it's")
        d.riser("lun", "create", NEW, "ram:2M", "null:1G,readonly=on")
        d.riser("lun", "create", "one", os.path.join(d.folder, "disk") + ",size=1M", "--lun", "7")
        d.riser("lun", "delete", "one", "1")
        d.riser("target", "set", "new", "alias=other")
        d.riser("lun", "create", NEW, "ram:4M", "--runtime")
        d.riser("target", "create", TWO, "--runtime")
        equal(sorted(d.luns(NEW)), [0, 1, 2], "LUNs")
        equal(sorted(d.luns()), [0, 7], "LUNs")
        equal(d.luns()[7]["source"], "state", "source")
        equal(d.luns()[0]["source"], "file", "source")
        equal(d.luns(NEW)[2]["source"], "runtime", "source")
        equal(stat.S_IMODE(os.stat(d.state).st_mode), 0o600, "mode of the state file")
        before = d.rpc.call("config.dump", format="json")["tree"]
        del before["target"][TWO], before["target"][NEW]["lun"]["2"]
        d.restart()
        equal(d.rpc.call("config.dump", format="json")["tree"], before, "after the restart")
        equal(d.luns(NEW)[1]["readonly"], True, "readonly")
        equal(d.targets(), [NEW, ONE], "targets")
        equal(d.rpc.call("target.show", target=NEW)["alias"], "other", "alias")


def the_file_has_the_first_word():
    """the file is never written; what it says later counts where no command has spoken"""
    with Daemon() as d:
        d.riser("lun", "set", "one", "0", "readonly=on")
        d.riser("lun", "delete", "one", "1")
        d.write(CONF + "# more\n")
        text = open(d.conf, encoding="utf-8").read()
        d.write(CONF.replace("ram:16M", "ram:8M").replace("lun 1", "lun 3"))
        diff = d.rpc.call("config.diff")
        equal(sorted(row["path"] for row in diff["not_applied"]),
              [f"target {ONE} lun 0 path", f"target {ONE} lun 1", f"target {ONE} lun 3"],
              "what is not applied yet")
        equal(d.rpc.call("config.apply")["changed"], True, "changed")
        equal(d.rpc.call("config.diff")["not_applied"], [], "what is not applied yet")
        equal({n: (lun["size"], lun["readonly"]) for n, lun in d.luns().items()},
              {0: (8 << 20, True), 3: (1 << 20, False)}, "LUNs")
        check(text.endswith("# more\n"), "the file was written")
        d.riser("lun", "set", "one", "0", "readonly=")
        equal(d.luns()[0]["readonly"], False, "readonly")


def mistakes_change_nothing():
    """every refusal has its status, says why, and leaves what runs and the state file as they are"""
    with Daemon() as d:
        d.riser("lun", "create", "one", "ram:1M")
        before, version = d.rpc.call("config.dump"), d.version()
        disk = os.path.join(d.folder, "disk")
        for status, words, says in (
                (4, ("target", "create", ONE), "already"),
                (4, ("lun", "create", "one", "ram:1M", "--lun", "0"), "already"),
                (4, ("portal", "create", "127.0.0.1:0"), "already"),
                (3, ("target", "delete", "iqn.2026-11.test:none"), "no target"),
                (3, ("lun", "set", "one", "9", "readonly=on"), "no LUN 9"),
                (3, ("lun", "delete", "one", "9"), "no LUN 9"),
                (3, ("portal", "delete", "192.0.2.1"), "no portal"),
                (3, ("user", "delete", "bob", "--target", ONE), "no user"),
                (2, ("target", "create", "disk"), "iqn."),
                (2, ("lun", "create", "one", "ram:1M", "--lun", "256"), "256"),
                (2, ("lun", "set", "one", "0", "readonly"), "KEY=VALUE"),
                (2, ("lun", "resize", "one", "0", "1G"), "memory"),
                (8, ("lun", "set", "one", "0", "readnly=on"), "'readonly'"),
                (8, ("lun", "set", "one", "0", "size=5"), "size"),
                (8, ("target", "set", "one", "allow=" + "x" * 300), "allow"),
                (8, ("target", "set", "one", "portals=192.0.2.9"), "portal"),
                (8, ("portal", "create", "192.0.2.1"), "allow"),
                (1, ("lun", "create", "one", disk), "does not exist")):
            said = d.riser(*words, status=status)
            check(says in said, f"{words}: {said}")
            check(":0:" not in said, f"{words}: no line of a file: {said}")
        said = d.riser("user", "add", "bob", "--target", ONE, status=8, stdin="short\n")
        check("12 to 255" in said and "short" not in said, said)
        equal(d.rpc.call("config.dump"), before, "what runs")
        equal(d.version(), version, "version of the state file")
        check(not os.path.exists(disk), "the disk was made")


def it_may_be_said_twice():
    """--if-exists and --if-not-exists make commands that can be repeated; --dry-run changes nothing"""
    with Daemon() as d:
        for _ in range(2):
            d.riser("target", "create", NEW, "--if-not-exists")
            d.riser("lun", "create", NEW, "ram:1M", "--lun", "0", "--if-not-exists")
        said = d.riser("lun", "create", NEW, "ram:1M", "--dry-run")
        check("lun 1" in said and "ram:1M" in said, said)
        equal(list(d.luns(NEW)), [0], "LUNs")
        said = d.riser("target", "delete", NEW, "--dry-run")
        check(said.startswith("- target"), said)
        for _ in range(2):
            d.riser("lun", "delete", NEW, "0", "--if-exists")
            d.riser("target", "delete", NEW, "--if-exists")
        equal(d.targets(), [ONE], "targets")
        version = d.version()
        d.riser("target", "set", ONE, "allow=any", "--runtime")
        equal(d.version(), version, "version after a change for this run only")


def sessions_are_not_ended_by_the_way():
    """what would end a session is refused, naming it; --force ends it"""
    with Daemon() as d:
        conn = d.login()
        said = d.riser("target", "delete", "one", status=5)
        check("is logged in" in said and "--force" in said, said)
        said = d.riser("target", "set", "one", "allow=iqn.2026-11.test:nobody", status=5)
        check("may not log in" in said, said)
        conn.clear_unit_attention()
        conn.ready()
        d.riser("target", "set", "one", "allow=iqn.2026-11.test:nobody", "--force")
        equal(d.rpc.call("session.list"), [], "sessions")
        try:
            d.login()
            raise Failure("may still log in")
        except LoginRefused:
            pass
        conn.close()


def users():
    """secrets come by stdin, are nowhere to be seen, and work"""
    with Daemon() as d:
        d.riser("user", "add", "alice", "--target", ONE, stdin=SECRET + "\n")
        d.restart()
        d.login(security=True, chap=Chap("alice", SECRET)).close()
        try:
            d.login(security=True, chap=Chap("alice", "another-secret-0"))
            raise Failure("any secret will do")
        except LoginRefused:
            pass
        for said in (d.riser("config", "dump"), d.riser("config", "diff"), d.riser("user", "list"),
                     d.riser("config", "dump", "--json")):
            check("alice" in said, said)
            check(SECRET not in said and SECRET.encode().hex() not in said, said)
        d.riser("user", "set", "alice", "--target", ONE, stdin="another-secret-0\n")
        d.login(security=True, chap=Chap("alice", "another-secret-0")).close()
        d.riser("user", "delete", "alice", "--target", ONE, "--force")
        d.login().close()
        d.stop()
        check(SECRET not in d.log, d.log)


def a_dump_makes_the_same():
    """config dump is a configuration that makes what runs"""
    with Daemon() as d:
        d.riser("target", "create", NEW, "--allow", "any", "--allow", "192.0.2.0/24",
                "--alias", "a 'b' \"c\" \\ # {")
        d.riser("lun", "create", NEW, "null:1G,readonly=on")
        tree = d.rpc.call("config.dump", format="json")["tree"]
        path = os.path.join(d.folder, "dump.conf")
        with open(path, "w", encoding="utf-8") as out:
            out.write(d.riser("config", "dump"))
        check("2 targets" in d.riser("config", "check", path), "check")
        shutil.move(path, d.conf)
        d.stop()
        shutil.rmtree(os.path.dirname(d.state))
        d.start()
        equal(d.rpc.call("config.dump", format="json")["tree"], tree, "what runs")


def what_is_made_anew_has_nothing_of_before():
    """a target or LUN that was taken away and is made again has none of its old LUNs, users, keys"""
    with Daemon(CONF.replace("ram:16M", "ram:16M readonly = on").replace("lun 1", """
            initiator any {{ luns = all }}
            lun 1""")) as d:
        d.riser("lun", "delete", "one", "0")
        d.riser("lun", "create", "one", "ram:2M", "--lun", "0")
        equal(d.luns()[0]["readonly"], False, "readonly of the file")
        d.riser("user", "add", "alice", "--target", ONE, stdin=SECRET + "\n")
        d.riser("target", "delete", "one")
        d.rpc.call("target.create", target=ONE, luns={"0": {"path": "ram:3M"}},
                   chap={"bob": {"secret-hex": "62" * 12}})
        d.riser("target", "delete", "one", "--runtime")
        d.rpc.call("target.create", target=ONE, luns={"0": {"path": "ram:4M"}},
                   chap={"carol": {"secret-hex": "63" * 12}}, runtime=True)
        equal([user["user"] for user in d.rpc.call("user.list")], ["carol"], "users of this run")
        equal({n: lun["size"] >> 20 for n, lun in d.luns().items()}, {0: 4}, "LUNs of this run")
        tree = d.rpc.call("config.dump", format="json")["tree"]["target"][ONE]
        check("initiator" not in tree, tree)
        d.restart()
        equal([user["user"] for user in d.rpc.call("user.list")], ["bob"], "users")
        equal({n: (lun["size"] >> 20, lun["readonly"]) for n, lun in d.luns().items()},
              {0: (3, False)}, "LUNs")
        # A LUN of the state file, hidden for this run.
        for words in ((), ("--runtime",)):
            d.riser("lun", "create", "one", "ram:1M,readonly=on", "--lun", "5")
            d.riser("lun", "delete", "one", "5", "--runtime")
            d.riser("lun", "create", "one", "ram:1M", "--lun", "5", *words)
            equal(d.luns()[5]["readonly"], False, "readonly of before")
            d.riser("lun", "delete", "one", "5")


def what_ran_stays_when_asked():
    """a change for this run only, said again without --runtime, is there after a restart"""
    with Daemon() as d:
        d.riser("lun", "set", "one", "0", "readonly=on", "--runtime")
        d.riser("lun", "set", "one", "0", "readonly=on", "--dry-run")
        check(not os.path.exists(d.state), "a dry run was written")
        d.riser("lun", "set", "one", "0", "readonly=on")
        equal(d.luns()[0]["source"], "state", "source")
        d.restart()
        equal(d.luns()[0]["readonly"], True, "readonly")
        d.riser("target", "create", TWO, "--runtime")
        said = d.riser("lun", "create", TWO, "ram:1M", status=2)
        check(TWO in said and "--runtime" in said, said)
        d.riser("lun", "create", TWO, "ram:1M", "--runtime")
        d.riser("lun", "delete", TWO, "0")
        equal(d.luns(TWO), {}, "LUNs")


def only_what_can_be_read_again():
    """a text with what the state file could not give back is refused; a path may be any bytes"""
    with Daemon() as d:
        for alias in ('"a\\tb"', '"a\\nb"', '"\\xff"'):
            error = d.rpc.refused("config.apply", text=f"target {NEW} {{ alias = {alias} }}")
            check("alias" in error.message, error.message)
        equal(d.targets(), [ONE], "targets")
        path = os.path.join(os.fsencode(d.folder), b"disk\xff")
        with open(path, "wb") as disk:
            disk.truncate(1 << 20)
        with open(d.conf, "ab") as conf:
            conf.write(b"target %s { lun 0 { path = %s } }" % (TWO.encode(), path))
        d.rpc.call("config.apply")
        check(d.luns(TWO)[0]["path"].endswith("disk\\xff"), d.luns(TWO))
        for form in ("conf", "json"):
            check("disk\\xff" in str(d.rpc.call("config.dump", format=form)).replace("\\\\", "\\"),
                  form)
        d.riser("lun", "create", TWO, "ram:1M")
        d.riser("target", "create", NEW)
        d.rpc.call("config.diff")
        d.restart()
        equal(sorted(d.luns(TWO)), [0, 1], "LUNs")
    with Daemon(options=["-p", "127.0.0.1:0", "-n", ONE, "ram:1M"]) as d:
        path = os.path.join(os.fsencode(d.folder), b"disk\xff")
        with open(path, "wb") as disk:
            disk.truncate(1 << 20)
        d.options = ["-p", "127.0.0.1:0", "-n", ONE, path]
        d.restart()
        d.riser("target", "create", NEW, "--runtime")
        equal(sorted(d.targets()), [NEW, ONE], "targets")


def sizes():
    """a file grows at once; it does not shrink by the way"""
    with Daemon() as d:
        path = os.path.join(d.folder, "disk")
        d.riser("lun", "create", "one", path + ",size=1M")
        d.riser("lun", "resize", "one", "2", "3M")
        equal((d.luns()[2]["size"], os.stat(path).st_size), (3 << 20, 3 << 20), "size")
        check("would be lost" in d.riser("lun", "resize", "one", "2", "1M", status=5), "shrinks")
        os.truncate(path, 4 << 20)
        d.riser("lun", "resize", "one", "2")
        equal(d.luns()[2]["size"], 4 << 20, "size")
        d.riser("lun", "resize", "one", "2", "4M")
        d.restart()
        equal(d.luns()[2]["size"], 4 << 20, "size after a restart")


def a_damaged_state_is_no_start():
    """a state file that is not whole is an error with its name, exit status 8; a kept one helps"""
    with Daemon() as d:
        d.riser("lun", "create", "one", "ram:1M")
        d.riser("lun", "create", "one", "ram:1M")
        d.stop()
        whole = open(d.state, encoding="utf-8").read()
        for text in (whole[:-5], whole.replace("ram:1M", "ram:2M"), "", "{}"):
            with open(d.state, "w", encoding="utf-8") as out:
                out.write(text)
            process = d.launch()
            _, said = process.communicate(timeout=20)
            equal(process.returncode, 8, said)
            check(d.state in said and "state.json.*" in said, said)
        # An older one, or what is before a line of it.
        kept = open(d.state + ".2", encoding="utf-8").read().splitlines(keepends=True)
        with open(d.state, "w", encoding="utf-8") as out:
            out.writelines(kept[:-1])
        d.write(CONF.replace("}}\n", "}}\nportal 192.0.2.1 {{ }}\n", 1))
        process = d.launch()
        _, said = process.communicate(timeout=20)
        equal(process.returncode, 8, said)
        check(d.conf in said and "allow" in said, said)
        # Each of the two is right, and both together are not.
        d.write(CONF)
        d.start()
        d.riser("target", "create", NEW)
        d.stop()
        d.write(CONF.replace("portal 127.0.0.1:0", "portal 0.0.0.0:0").replace(
            "lun 0", "allow = {{ any }} lun 0"))
        process = d.launch()
        _, said = process.communicate(timeout=20)
        equal(process.returncode, 8, said)
        check(d.state in said and "allow" in said and "move" in said, said)
        d.write(CONF)
        d.start()
        d.riser("target", "delete", NEW)
        equal(sorted(d.luns()), [0, 1, 2], "LUNs of the version before")


def batch(rpc, requests):
    """Answers to (method, parameters) pairs that go as one batch; None: riserd has gone."""
    rpc.send(json.dumps([{"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                         for number, (method, params) in enumerate(requests)]))
    return rpc.reply()


def a_line_for_each():
    """a LUN more is a line more; a line that is damaged is no start, one without its end is left out"""
    with Daemon() as d:
        for number in range(2, 12):
            d.riser("lun", "create", "one", "null:1G", "--lun", str(number))
        lines = open(d.state, encoding="utf-8").read().splitlines(keepends=True)
        check(lines[-1].startswith('{"version": 10, "luns": [["' + ONE + '","11",'), lines[-1])
        luns = d.luns()
        d.kill()
        for text, says in (("".join(lines[:-1]) + lines[-1].replace("1G", "2G"), "SHA-256"),
                           ("".join(lines[:-2]) + lines[-1], "version 10, and 9")):
            with open(d.state, "w", encoding="utf-8") as out:
                out.write(text)
            process = d.launch()
            _, said = process.communicate(timeout=20)
            equal(process.returncode, 8, said)
            check(f"line {text.count(chr(10))} " in said and says in said and "head -n" in said,
                  said)
        with open(d.state, "w", encoding="utf-8") as out:
            out.write("".join(lines) + lines[-1][:50])
        d.start()
        equal(sorted(d.luns()), sorted(luns), "LUNs")
        d.stop()
        check(f"line {len(lines) + 1} has no end" in d.log, d.log)
        with open(d.state, encoding="utf-8") as text:
            equal(json.load(text)["riser-state"], 1, "one piece after a stop")
        d.start()
        equal(sorted(d.luns()), sorted(luns), "LUNs")


def what_was_answered_survives_a_kill():
    """whatever moment riserd is killed at, all that it had answered is there again"""
    pick = random.Random(4)
    may_be = {str(number): {None} for number in range(100)}
    with Daemon(CONF + "log = warn\n") as d:
        d.riser("target", "create", NEW)
        for _ in range(12):
            timer = threading.Timer(pick.random() * 0.15, d.process.kill)
            timer.start()
            answers = []
            while answers is not None:
                wanted = {number: f"null:{pick.randrange(1, 99)}M"
                          for number in pick.sample(sorted(may_be), pick.choice((1, 1, 20)))}
                calls = [("lun.create" if may_be[number] == {None} else "lun.set",
                          {"target": NEW, "lun": int(number), "path": path})
                         for number, path in wanted.items()]
                try:
                    answers = batch(d.rpc, calls)
                except OSError:
                    answers = None
                for answer in answers or []:
                    check("result" in answer, answer)
                for number, path in wanted.items():
                    may_be[number] = {path} if answers else may_be[number] | {path}
            timer.join()
            d.kill()
            d.start()
            tree = d.rpc.call("config.dump", format="json")["tree"]["target"][NEW].get("lun", {})
            for number, paths in may_be.items():
                path = tree.get(number, {}).get("path")
                check(path in paths, f"LUN {number}: {path}, not {paths}")
                may_be[number] = {path}
        print(f"# {len(tree)} LUNs, version {d.version()}")


def no_folder():
    """without a folder a change cannot stay, and says so; --runtime does without"""
    options = ["-p", "127.0.0.1:0", "-n", ONE, "ram:1M,serial=A,,B"]
    with Daemon(options=options) as d:
        said = d.riser("lun", "create", "one", "ram:1M", status=1)
        check("--runtime" in said, said)
        equal(list(d.luns()), [0], "LUNs")
        d.riser("lun", "create", "one", "ram:1M", "--runtime")
        d.riser("target", "create", NEW, "--runtime")
        equal({n: lun["source"] for n, lun in d.luns().items()},
              {0: "command-line", 1: "runtime"}, "LUNs")
        equal(d.luns()[0]["serial"], "A,B", "serial")
        disk = os.path.join(d.folder, "disk")
        d.riser("lun", "create", "one", disk + ",size=1M", "--lun", "2", "--runtime")
        error = d.rpc.refused("lun.resize", target=ONE, lun=2, size=2 << 20)
        check("2097152 bytes now" in error.message, error.message)
        equal(os.stat(disk).st_size, 2 << 20, "size")


def rights_and_limits_go_along():
    """masks, rights and limits of the file stay as they are under changes, and can be changed"""
    with Daemon(CONF.replace("lun 0 {{ path = ram:16M }}", """
            initiator "iqn.2026-11.test:*" {{ luns = {{ 0, 2-5 }} readonly = on iops = 500 burst = 2s }}
            initiator any {{ luns = none }}
            lun 0 {{ path = ram:16M iops = 700 }}""")) as d:
        d.riser("target", "set", "one", "alias=a")
        d.riser("lun", "set", "one", "0", "iops=900")
        d.riser("lun", "create", "one", "null:1G,bandwidth=1M")
        said = d.riser("config", "apply", "-", stdin=f"target {ONE} {{ initiator any {{ luns = 1 }} }}")
        check("applied" in said, said)
        tree = d.rpc.call("config.dump", format="json")["tree"]["target"][ONE]
        equal(list(tree["initiator"].items()),
              [("iqn.2026-11.test:*", {"luns": ["0", "2-5"], "readonly": ["on"], "iops": "500",
                                       "burst": "2s"}), ("any", {"luns": ["1"]})], "rules")
        equal((tree["lun"]["0"]["iops"], tree["lun"]["2"]["bandwidth"]), ("900", "1M"), "limits")
        d.restart()
        equal(d.rpc.call("config.dump", format="json")["tree"]["target"][ONE], tree, "restarted")


def timeouts():
    """timeouts and levels change while riserd runs; what cannot is named"""
    with Daemon() as d:
        d.write(CONF + "data-timeout = 30\nnop-interval = 5\nlog = warn\n")
        equal(d.rpc.call("config.apply")["changed"], True, "changed")
        d.write(CONF + "busy-poll = 7\nmax-connections = 7\n")
        d.rpc.call("config.apply")
        # After a command they are what the file said.
        d.rpc.call("target.create", target=NEW)
        d.rpc.call("config.apply")
        for line, word in (("memory = 64M\n", "memory:"), ("memory = 64M\nmax-connections = 8\n"
                           "control {{ socket = /nowhere }}\n", "memory, socket of control:")):
            d.write(CONF + line)
            error = d.rpc.refused("config.apply")
            check(word in error.message and "restart" in error.message, error.message)


def many():
    """ten thousand LUNs are made, listed and reloaded in seconds, and one more in no time"""
    count, per = 10000, 250
    text = "".join(f"target iqn.2026-11.test:t{t} {{\n" + "".join(
        f"lun {n} {{ path = null:1G }}\n" for n in range(per)) + "}\n" for t in range(count // per))
    with Daemon() as d:
        start = time.monotonic()
        equal(json.loads(d.riser("config", "apply", "-", "--json", stdin=text))["differences"],
              count, "made")
        equal(len(d.rpc.call("lun.list")), count + 2, "listed")
        d.rpc.call("config.apply")
        took = time.monotonic() - start
        d.riser("lun", "create", "t0", "null:1G")
        print(f"# {took:.1f} s")
        d.restart()
        equal(len(d.rpc.call("lun.list")), count + 3, "LUNs after a restart")
        # Of a machine that is not slow and has nothing else to do; sanitizers take their time.
        check(took < 60, f"{took:.0f} s")


def one_by_one():
    """ten thousand LUNs in as many calls take as long as that many times the first ones"""
    count, per, some = 10000, 250, 100
    made = [("lun.create", {"target": f"iqn.2026-11.test:t{n // per}", "path": "null:1G"})
            for n in range(count)]
    with Daemon(CONF + "log = warn\n") as d:
        batch(d.rpc, [("target.create", {"target": f"iqn.2026-11.test:t{t}"})
                      for t in range(count // per)])
        start = time.monotonic()
        for first in range(0, count, some):
            for answer in batch(d.rpc, made[first:first + some]):
                check("result" in answer, answer)
        equal(len(d.rpc.call("lun.list")), count + 2, "listed")
        took = time.monotonic() - start
        print(f"# {took:.1f} s")
        d.kill()
        d.start()
        equal(len(d.rpc.call("lun.list")), count + 2, "LUNs after a kill")
        check(took < 60, f"{took:.0f} s")


def main():
    failed = 0
    cases = [what_is_made_stays, the_file_has_the_first_word, mistakes_change_nothing,
             it_may_be_said_twice, sessions_are_not_ended_by_the_way, users, a_dump_makes_the_same,
             what_is_made_anew_has_nothing_of_before, what_ran_stays_when_asked,
             only_what_can_be_read_again, sizes, a_damaged_state_is_no_start, no_folder,
             a_line_for_each, what_was_answered_survives_a_kill, rights_and_limits_go_along,
             timeouts, many, one_by_one]
    names = sys.argv[1:]
    cases = [case for case in cases if not names or case.__name__ in names]
    print(f"1..{len(cases)}")
    for number, case in enumerate(cases, 1):
        try:
            case()
            print(f"ok {number} - {case.__doc__}", flush=True)
        except (AssertionError, OSError, subprocess.SubprocessError, KeyError) as error:
            failed += 1
            print(f"not ok {number} - {case.__doc__}")
            for line in f"{case.__name__}: {error!r}".splitlines():
                print(f"# {line}", flush=True)
    sys.exit(failed != 0)


main()
