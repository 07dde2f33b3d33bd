#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""riser initiator set and delete: what an initiator finds at a target changes by command, at once for who is
logged in, and stays over a restart. Through `riser` as users type it, with real initiators."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
import command
from command import RISER, contains, execute
from control import Control
from initiator import pattern, report_luns, write10
from tap import check, equal
from target import Target

ONE, NEW = "iqn.2026-11.test:one", "iqn.2026-11.test:new"
ALICE, BOB = "iqn.2026-11.test:alice", "iqn.2026-11.test:bob"
MODE_CHANGED, LUNS_CHANGED = (6, 0x2a, 0x01), (6, 0x3f, 0x0e)
NO_LUN, PROTECTED = (5, 0x25, 0x00), (7, 0x27, 0x00)
CONF = """portal 127.0.0.1:0 {{ }}
state = {folder}/state
target {one} {{
    chap-less
    lun 0 {{ path = ram:8M }}
    lun 1 {{ path = ram:8M }}
    lun 2 {{ path = ram:8M }}
}}
"""


class Riserd(Target):
    """With a configuration file and a state folder; `sections` stand in the target."""

    def __init__(self, sections=""):
        self.folder = tempfile.mkdtemp(prefix="initiator-", dir=os.environ.get("TMPDIR"))
        self.conf = os.path.join(self.folder, "riser.conf")
        with open(self.conf, "w", encoding="ascii") as out:
            out.write(CONF.format(folder=self.folder, one=ONE).replace("chap-less", sections))
        super().__init__("-c", self.conf, disks=(), portals=(), innocent=None)

    def __exit__(self, *why):
        super().__exit__(*why)
        shutil.rmtree(self.folder)

    def restart(self):
        self.close_connections()
        self.stop()
        self.start()

    def riser(self, *words, status=0):
        done = execute("--control", self.control, *words)
        equal(done.returncode, status, f"riser {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stderr if status else done.stdout

    def sections(self, target=ONE):
        """[(who, keys)] in their order."""
        tree = json.loads(self.riser("config", "dump", "--json"))["target"][target]
        return list(tree.get("initiator", {}).items())

    def order(self):
        return [who for who, _ in self.sections()]

    def listed(self, who):
        """What iscsi-ls finds as this initiator."""
        host, port = self.address
        said = subprocess.run(["iscsi-ls", "-s", "-i", who, f"iscsi://{host}:{port}"], text=True,
                              capture_output=True, timeout=20, check=False).stdout
        return [int(lun) for lun in re.findall(r"^Lun:(\d+)", said, re.M)]

    def session(self, name):
        """One that has taken its unit attentions."""
        conn = self.login(name, clear=False)
        conn.events = []
        for lun in 0, 1, 2:
            settle(conn, lun)
        return conn


def settle(conn, lun):
    while conn.ready(lun).sense not in (None, NO_LUN):
        pass


def seen(conn):
    data = conn.scsi(report_luns(64), 0, read=64).good().data
    return [data[8 + i * 8 + 1] for i in range(int.from_bytes(data[:4], "big") // 8)]


def masks():
    """who is logged in sees at once the LUNs that a command gives it, and hears of it; others do not"""
    with Riserd() as d:
        alice, bob = d.session(ALICE), d.session(BOB)
        d.riser("initiator", "set", "one", "any", "luns=all")
        contains(d.riser("initiator", "set", "one", ALICE, "luns=0"), "set", ONE, ALICE)
        equal(d.order(), [ALICE, "any"], "sections")
        equal(alice.ready(0).sense, LUNS_CHANGED, "alice is told")
        equal(alice.ready(1).sense, NO_LUN, "LUN 1")
        equal(seen(alice), [0], "REPORT LUNS of alice")
        equal([bob.ready(lun).sense for lun in range(3)], [None] * 3, "bob is told")
        equal(seen(bob), [0, 1, 2], "REPORT LUNS of bob")
        equal((d.listed(ALICE), d.listed(BOB)), ([0], [0, 1, 2]), "iscsi-ls")
        d.riser("initiator", "set", "one", ALICE, "luns=0,2")
        equal(d.listed(ALICE), [0, 2], "iscsi-ls")
        d.riser("initiator", "delete", "one", ALICE)
        equal(d.listed(ALICE), [0, 1, 2], "iscsi-ls")


def rights_and_limits():
    """write protection and limits hold, and end, for the commands of a session that goes on"""
    with Riserd() as d:
        alice, bob = d.session(ALICE), d.session(BOB)
        d.riser("initiator", "set", "one", ALICE, "readonly=0-1")
        equal(alice.ready(0).sense, MODE_CHANGED, "alice is told")
        alice.write(0, pattern(8, 1), 0).condition(PROTECTED)
        alice.write(0, pattern(8, 1), 2).good()
        bob.write(0, pattern(8, 2), 0).good()
        d.riser("initiator", "set", "one", ALICE, "readonly=", "iops=1", "burst=10ms")
        equal(d.sections(), [(ALICE, {"iops": "1", "burst": "10ms"})], "sections")
        settle(alice, 0)
        sent = [alice.send(alice.command_pdu(write10(i, 1), 2, write=512, data=bytes(512)))
                for i in range(60)]
        alice.complete(sent[0]).good()
        d.riser("initiator", "set", "one", ALICE, "iops=", "burst=")
        for pdu in sent[1:]:
            alice.complete(pdu).good()  # not in a minute
        equal(d.sections(), [(ALICE, {})], "sections")


def it_stays():
    """sections that commands make are there after a restart, in their order; --runtime is not"""
    with Riserd(f'initiator "{ALICE}" {{ luns = 1 }}\n    initiator any {{ luns = all }}') as d:
        d.riser("initiator", "set", "one", "192.0.2.0/24", "luns=none")
        d.riser("initiator", "set", "one", "iqn.2026-11.test:b*", "luns=1-2", "bandwidth=64M")
        d.riser("initiator", "set", "one", BOB, "luns=2", "readonly=on")
        d.riser("initiator", "set", "one", ALICE.upper().replace("IQN", "iqn"), "iops=500")
        d.riser("initiator", "delete", "one", "192.0.2.0/24", "--runtime")
        d.riser("initiator", "set", "one", "iqn.2026-11.test:c", "luns=0", "--runtime")
        equal(d.order(), [ALICE, BOB, "iqn.2026-11.test:b*", "iqn.2026-11.test:c", "any"], "order")
        equal(dict(d.sections())[ALICE], {"luns": ["1"], "iops": "500"}, "alice")
        equal((d.listed(ALICE), d.listed(BOB)), ([1], [2]), "iscsi-ls")
        said = d.riser("config", "diff")
        contains(said, f"initiator {BOB}", "state.json", "until riserd ends", f"{ALICE} iops")
        check("placed" not in said, said)
        dumped = d.riser("config", "dump")
        contains(dumped, f"initiator '{BOB}'", "luns = { '2' }")
        d.restart()
        equal(d.order(), [ALICE, "192.0.2.0/24", BOB, "iqn.2026-11.test:b*", "any"], "order")
        equal(d.listed(BOB), [2], "iscsi-ls")
        equal(json.loads(d.riser("config", "diff", "--json"))["runtime"], [], "of this run")
        d.riser("initiator", "delete", "one", ALICE)
        d.riser("initiator", "delete", "one", "192.0.2.0/24")
        d.riser("initiator", "set", "one", ALICE, "luns=0")  # with nothing of the file
        d.restart()
        equal(d.sections()[0], (ALICE, {"luns": ["0"]}), "alice")
        equal(d.order(), [ALICE, BOB, "iqn.2026-11.test:b*", "any"], "order")
        d.riser("target", "create", NEW, "--runtime")
        contains(d.riser("initiator", "set", NEW, BOB, "iops=9", status=2), NEW, "--runtime")
        d.riser("initiator", "set", NEW, BOB, "iops=9", "--runtime")
        equal(d.sections(NEW), [(BOB, {"iops": "9"})], "of a target of this run")


def others_keep_their_luns():
    """what would take LUNs from a session that was not meant is refused, naming it; --force does it"""
    with Riserd() as d:
        bob = d.session(BOB)
        said = d.riser("initiator", "set", "one", ALICE, "luns=0", status=5)
        contains(said, BOB, "LUN 0", "--force")
        equal(d.order(), [], "sections")
        said = json.loads(d.riser("initiator", "set", "one", BOB, "luns=0,2", "--json"))
        equal((said["target"], said["who"], said["changed"]), (ONE, BOB, True), "result")
        contains(said["note"], ONE, "none of its LUNs")
        equal(seen(bob), [0, 2], "REPORT LUNS")
        contains(d.riser("initiator", "set", "one", "user:bob", "luns=0", status=8), "bob")
        d.riser("initiator", "set", "one", "any", "luns=none")
        contains(d.riser("initiator", "delete", "one", BOB, status=5), BOB, "LUN 0")
        contains(d.riser("initiator", "delete", "one", BOB, "--dry-run", status=5), BOB)
        equal(seen(bob), [0, 2], "REPORT LUNS")
        d.riser("initiator", "delete", "one", BOB, "--force")
        equal(seen(bob), [], "REPORT LUNS")
        contains(d.riser("initiator", "delete", "one", "any"), "all its LUNs")
        equal(seen(bob), [0, 1, 2], "REPORT LUNS")


def mistakes_change_nothing():
    """every refusal has its status, says where and the way out, and leaves all as it was"""
    with Riserd(f"initiator any {{ }}\n    initiator {BOB} {{ }}") as d, Control(d.control) as rpc:
        before = d.riser("config", "dump")
        for status, words, says in (
                (3, ("iqn.2026-11.test:none", "any", "luns=0"), "no target"),
                (3, ("one", ALICE, "luns=0,9"), f"{ONE} has no LUN 9"),
                (3, ("one", ALICE, "readonly=7-200"), "no LUN 7-200"),
                (2, ("one", "bob", "luns=0"), "initiator bob: it takes any"),
                (2, ("one", "user:", "luns=0"), "CHAP user"),
                (2, ("one", "192.0.2.1/24", "luns=0"), "no bits beyond"),
                (2, ("one", "user:" + "x" * 255, "luns=0"), "at most"),
                (2, ("one", "any", "luns"), "KEY=VALUE"),
                (2, ("one", "any"), "a word is missing"),
                (2, ("one", "any", "luns=0", "luns=1"), "twice"),
                (8, ("one", "user:bob", "luns=0"), "no chap bob"),
                (8, ("one", ALICE, "luns=256"), f"{ONE} initiator {ALICE}: luns = 256: luns takes"),
                (8, ("one", ALICE, "luns=0,"), "luns takes"),
                (8, ("one", ALICE, "luns=2-1"), "luns takes"),
                (8, ("one", ALICE, "readonly=maybe"), "readonly takes on, off"),
                (8, ("one", ALICE, "iops=0"), "iops takes"),
                (8, ("one", ALICE, "iops=many"), "iops takes"),
                (8, ("one", ALICE, "bandwidth=1K"), "bandwidth takes"),
                (8, ("one", ALICE, "burst=5m", "iops=1"), "burst takes a time"),
                (8, ("one", ALICE, "burst=5s"), "needs one of them"),
                (8, ("one", ALICE, "lnus=0"), "is 'luns' meant?"),
                (8, ("one", ALICE, "iosp="), "no key 'iosp'"),
                (8, ("one", ALICE, "placed=on"), "no key 'placed'")):
            said = d.riser("initiator", "set", *words, status=status)
            check(says in said and said.count("\n") == 1, f"{words}: {said}")
        contains(d.riser("initiator", "delete", "one", ALICE, status=3), f"no section initiator {ALICE}")
        contains(d.riser("initiator", "delete", "one", "bob", status=2), "it takes any")
        contains(rpc.refused("initiator.set", target=ONE, who="any").message, "nothing is to be set")
        equal(rpc.refused("initiator.set", target=ONE, who="any", luns=[0]).code, -32602, "type")
        equal(rpc.refused("initiator.set", target=ONE).code, -32602, "who is missing")
        contains(rpc.refused("initiator.set", target=ONE, who=ALICE, luns=[]).message, "no LUN in it")
        equal(d.riser("config", "dump"), before, "what runs")
        check(not os.path.exists(os.path.join(d.folder, "state", "state.json")), "it was written")
        # What the file has put where it does nothing is no mistake, but said.
        contains(d.riser("initiator", "set", "one", BOB, "iops=7"), "any stands in front of it")


def it_may_be_said_twice():
    """a repeated call changes nothing; --dry-run only says; --force names a LUN that comes later"""
    with Riserd() as d, Control(d.control) as rpc:
        contains(d.riser("initiator", "set", "one", ALICE, "luns=0", "--dry-run"),
                 f"+ target {ONE} initiator {ALICE}", "luns=0", "none of its LUNs")
        equal(d.sections(), [], "sections")
        d.riser("initiator", "set", "one", ALICE, "luns=0,9", "--force")
        contains(d.riser("initiator", "set", "one", ALICE, "luns=0,9", "--force"), "nothing to change")
        d.riser("lun", "create", "one", "ram:1M", "--lun", "9")
        equal(d.listed(ALICE), [0, 9], "iscsi-ls")
        contains(d.riser("initiator", "delete", "one", ALICE, "--dry-run"), f"- target {ONE}")
        d.riser("initiator", "delete", "one", ALICE, "--if-exists")
        contains(d.riser("initiator", "delete", "one", ALICE, "--if-exists"), "nothing to change")
        equal(d.sections(), [], "sections")
        said = rpc.call("initiator.set", target=ONE, who="any", luns=["0-2"], iops=500,
                        bandwidth="1G", options={"burst": "2s"})
        equal([row["path"] for row in said["diff"]], [f"target {ONE} initiator any"], "diff")
        rpc.call("initiator.set", target=ONE, who="any", unset=["luns", "burst"])
        equal(d.sections(), [("any", {"iops": "500", "bandwidth": "1G"})], "sections")


def the_order_is_chosen():
    """--before puts a section in front of another one, live and after a restart, and the order is shown"""
    wide, tail = "iqn.2026-11.test:a*", "iqn.2026-11.test:*e"  # both fit alice
    with Riserd("initiator any { }") as d:
        d.riser("initiator", "set", "one", wide, "luns=0")
        d.riser("initiator", "set", "one", tail, "luns=1")
        equal((d.order(), d.listed(ALICE)), ([wide, tail, "any"], [0]), "by itself")
        alice = d.session(ALICE)
        contains(d.riser("initiator", "set", "one", tail, "--before", wide, status=5), ALICE, "--force")
        said = d.riser("initiator", "set", "one", tail, "--before", wide, "--force", "--dry-run")
        contains(said, f"- target {ONE} initiator order = {wide}, {tail}, any",
                 f"+ target {ONE} initiator order = {tail}, {wide}, any")
        equal(d.order(), [wide, tail, "any"], "after a dry run")
        said = json.loads(d.riser("initiator", "set", "one", tail, "--before", wide, "--force", "--json"))
        equal((said["changed"], said["order"]), (True, [tail, wide, "any"]), "result")
        equal((d.order(), seen(alice), d.listed(ALICE)), ([tail, wide, "any"], [1], [1]), "chosen")
        contains(d.riser("initiator", "set", "one", tail, "--before", wide), "nothing to change")
        rows = json.loads(d.riser("initiator", "order", "one", "--json"))
        equal([(row["who"], row["luns"]) for row in rows], [(tail, ["1"]), (wide, ["0"]), ("any", ["all"])],
              "order --json")
        for words in (["initiator", "order", "one"], ["target", "show", "one"]):
            check(re.search(rf"1  {re.escape(tail)}.*\n.*2  {re.escape(wide)}.*\n.*3  any", d.riser(*words)),
                  d.riser(*words))
        d.riser("initiator", "set", "one", BOB, "luns=2", "--before", tail)
        d.riser("initiator", "set", "one", "192.0.2.7", "iops=5")
        d.riser("initiator", "set", "one", "192.0.2.0/24", "iops=9", "--before", "192.0.2.7", "--runtime")
        first = [BOB, tail, wide, "192.0.2.7", "any"]
        equal(d.order(), first[:3] + ["192.0.2.0/24"] + first[3:], "order")
        d.riser("initiator", "delete", "one", wide)
        d.riser("initiator", "set", "one", wide, "luns=0")
        contains(d.riser("config", "diff"), f"target {ONE} initiator {BOB}")
        d.close_connections()
        d.restart()
        equal(d.order(), [BOB, tail, "192.0.2.7", wide, "any"], "after a restart")
        with open(d.conf, encoding="ascii") as conf:
            text = conf.read()
        with open(d.conf, "w", encoding="ascii") as conf:
            conf.write(text.replace("initiator any", "initiator iqn.2026-11.test:new { luns = 2 }\n    initiator any"))
        contains(d.riser("config", "apply"), "")
        equal(d.order(), ["iqn.2026-11.test:new", BOB, tail, "192.0.2.7", wide, "any"], "with one of the file")
        # A section that is put behind "any" counts for nobody, which is said.
        contains(d.riser("initiator", "set", "one", "any", "--before", BOB, "--force"), "")
        contains(d.riser("initiator", "set", "one", BOB, "iops=7"), "any stands in front of it", "--before")
        for status, words, says in (
                (3, (BOB, "--before", "iqn.x"), "no section initiator iqn.x"),
                (3, (BOB, "--before", "nonsense"), "no section initiator nonsense"),
                (2, (BOB, "--before", BOB), "in front of itself"),
                (2, (BOB,), "a word is missing"),
                (2, (BOB, "initiator-order=x"), "no key")):
            contains(d.riser("initiator", "set", "one", *words, status=status), says)
        contains(d.riser("target", "set", "one", "initiator-order=any", status=2), "initiator-order")
        dumped = d.riser("config", "dump")
        check("initiator-order" not in dumped, dumped)


def a_runtime_order_goes():
    """an order that is not to stay is not saved with a later change, and nothing stands in front of what goes"""
    with Riserd(f"initiator {ALICE} {{ luns = 0 }}\n    initiator any {{ }}") as d:
        contains(d.riser("initiator", "set", "one", "any", "--before", ALICE, "--runtime"), ALICE, "nobody")
        equal(d.order(), ["any", ALICE], "for now")
        d.riser("initiator", "set", "one", BOB, "luns=1", "--before", ALICE)
        d.riser("initiator", "set", "one", "192.0.2.7", "--before", "any", "iops=5", "--runtime")
        contains(d.riser("initiator", "set", "one", "192.0.2.8", "--before", "192.0.2.7", "iops=5", status=2),
                 "until a restart", "--runtime")
        d.restart()
        equal(d.order(), [BOB, ALICE, "any"], "after a restart")


def typed_in_the_shell():
    """completion offers targets, and the shell knows the target where one stands"""
    with Riserd() as d:
        offered = execute("__complete", "--control", d.control, "initiator", "set", "").stdout
        contains(offered, ONE)
        contains(execute("__complete", "--control", d.control, "initiator", "").stdout, "set", "delete")
        done = subprocess.run([RISER, "--control", d.control, "shell"], text=True, timeout=30,
                              input=f"cd /targets/one\ninitiator set {ALICE} iops=5\n"
                                    "initiator delete any --if-exists\n",
                              capture_output=True, check=False)
        equal((done.returncode, d.order()), (0, [ALICE]), f"{done}")


if __name__ == "__main__":
    command.main([masks, rights_and_limits, it_stays, others_keep_their_luns,
                  mistakes_change_nothing, it_may_be_said_twice, the_order_is_chosen, a_runtime_order_goes,
                  typed_in_the_shell])
