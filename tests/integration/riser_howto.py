#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""riser howto: lines to paste for five systems, right for the target, without a secret on any command
line. What can be tried without those systems is tried."""

import json
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
import command
from command import HOST, IQN, Daemon, answers, contains, lun, target
from tap import check, equal

TMP = os.environ["TMPDIR"]
SYSTEMS = ("linux", "windows", "esxi", "qemu", "k8s")


def howto(system, *words, **more):
    said = answers()
    said["target.show"] = lambda p: target(p["target"], **more)
    with Daemon(said) as d:
        return d.run("howto", "disk1", "--os", system, *words)


def all_systems():
    """each system's lines have the address, the name, the user and the initiator's name"""
    for system in SYSTEMS:
        text = howto(system)
        contains(text, "192.0.2.1", HOST, "alice")
        check(IQN in text or system == "esxi", f"{system}: {text}")
        open_door = howto(system, users=[], allow=["any"])
        for word in ("alice", "CHAP", "ecret", HOST, "hap"):
            check(word not in open_door, f"{word} in the lines of an open target: {open_door}")
    equal(howto("linux"), "".join([howto("linux")]), "linux is the default")


def shell_syntax():
    """the lines for Linux, ESXi and Kubernetes are a shell's"""
    for system in ("linux", "esxi", "k8s"):
        subprocess.run(["bash", "-n"], input=howto(system), encoding="utf-8", check=True)


def no_secret_in_argv():
    """the secret for Linux goes into the record by bash itself: no process has it among its arguments"""
    folder = os.path.join(TMP, "nodes", IQN, "192.0.2.1,3260,1")
    os.makedirs(folder)
    record = os.path.join(folder, "default")
    with open(record, "w", encoding="ascii") as file:
        file.write(f"# BEGIN RECORD 2.1.8\nnode.name = {IQN}\nnode.tpgt = 1\n"
                   "node.session.auth.authmethod = None\nnode.session.auth.username_in = keep\n"
                   "# END RECORD\n")
    lines = re.search(r"^for record.*?^done$", howto("linux"), re.S | re.M).group()
    lines = "set -u\nsecret='se/cr&t\\12 345'\n" + lines.replace("/etc/iscsi/nodes",
                                                               os.path.join(TMP, "nodes"))
    traced = subprocess.run(["bash"], input=lines, encoding="utf-8", capture_output=True, check=True)
    equal(traced.stderr, "", "stderr")
    with open(record, encoding="ascii") as file:
        text = file.read()
    contains(text, "\nnode.session.auth.authmethod = CHAP\n", "\nnode.session.auth.username = alice\n",
             "\nnode.session.auth.password = se/cr&t\\12 345\n", "username_in = keep")
    check("= None" not in text, text)
    equal(text.count("authmethod"), 1, "methods")


def several():
    """several portals, LUNs and IPv6; only portals of the target's groups; iSER where it works"""
    said = answers()
    said["portal.list"] += [
        {"address": "[2001:db8::1]:3261", "active": ["tcp"], "tag": 1},
        {"address": "198.51.100.1:3260", "active": ["tcp", "iser"], "tag": 2},
    ]
    said["target.show"] = lambda p: target(p["target"], luns=[lun(0), lun(7)])
    with Daemon(said) as d:
        text = d.run("howto", "disk1", "--os", "windows")
        contains(text, "'2001:db8::1' -TargetPortalPortNumber 3261", "IsMultipathEnabled")
        check("198.51.100.1" not in text, text)
        contains(d.run("howto", "disk1", "--os", "qemu"), "lun=0", "lun=7", "node-name=riser7")
        contains(d.run("howto", "disk1", "--os", "k8s"), '- "[2001:db8::1]:3261"', "storage: 10Gi")
        contains(d.run("howto", "disk1", "--transport", "iser"), "modprobe ib_iser", "-I iser")
        facts = json.loads(d.run("howto", "disk1", "--json", "--transport", "iser"))
        equal((facts["portals"], facts["luns"], facts["user"], facts["transport"]),
              (["192.0.2.1:3260"], [0, 7], "alice", "iser"), "facts")
        said["portal.list"] = [{"address": "192.0.2.1:3260", "active": ["tcp"], "tag": 1}]
        contains(d.refused(1, "howto", "disk1", "--transport", "iser"), "no portal", "over iSER")
        said["target.show"] = lambda p: target(p["target"], luns=[])
        contains(d.refused(1, "howto", "disk1"), "has no LUN")


def others_first():
    """a portal that only this machine reaches is not told where there is another one"""
    said = answers()
    said["portal.list"].insert(0, {"address": "127.0.0.1:3260", "active": ["tcp"], "tag": 1})
    with Daemon(said) as d:
        text = d.run("howto", "disk1")
        check("127.0.0.1" not in text, text)
        contains(text, "-p 192.0.2.1:3260")
        del said["portal.list"][1]
        contains(d.run("howto", "disk1"), "-p 127.0.0.1:3260", "Only this machine")


def wildcard():
    """a portal on all addresses is told by those of this machine"""
    said = answers()
    said["portal.list"] = [{"address": "0.0.0.0:3260", "active": ["tcp"], "tag": 1}]
    with Daemon(said) as d:
        done = command.execute("howto", "disk1", "--control", d.path)
        if done.returncode:
            contains(done.stderr, "no portal that others can reach")
        check("0.0.0.0" not in done.stdout and "127.0.0.1" not in done.stdout, done.stdout)


def hostile():
    """what a shell could take for more than a word does not get into the lines"""
    for system in SYSTEMS:
        text = howto(system, users=["al$(reboot)ice;x"])
        check("$(reboot)" not in text and ";x" not in text, text)
        contains(text, "# The name of the CHAP user is not whole")
        check("not whole" not in howto(system), "of a user whose name is")


if __name__ == "__main__":
    command.main([all_systems, shell_syntax, no_secret_in_argv, several, others_first, wildcard, hostile])
