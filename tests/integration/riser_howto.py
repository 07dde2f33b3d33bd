#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""riser howto: lines to paste for five systems, right for the target, without a secret on any command
line. What can be tried without those systems is tried."""

import json
import os
import subprocess
import sys
import tempfile

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


# Stands in for all that the lines call: notes its arguments, and makes the record that a discovery makes.
STAND_IN = """#!/bin/sh
echo "${0##*/} $*" >>"$CALLS"
case "$*" in *discovery*)
    iface=default
    case "$*" in *iser*) iface=iser ;; esac
    mkdir -p "$RECORDS" && printf '%s\\n' '# BEGIN RECORD 2.1.8' 'node.name = name' 'node.tpgt = 1' \\
        'node.session.auth.authmethod = None' 'node.session.auth.username_in = keep' \\
        '# END RECORD' >"$RECORDS/$iface" ;;
esac
[ "${0##*/} $2" != "iscsiadm ${FAILS:-nothing}" ]
"""


class Pasted:
    """The lines for Linux as a terminal gives them to bash, then the answer; paths are below `root`, and the
    commands are stand-ins, of which `fails` ends with an error."""

    def __init__(self, lines, answer, nodes="etc/iscsi/nodes", fails=""):
        self.root = tempfile.mkdtemp(prefix="host-")
        calls, commands = os.path.join(self.root, "calls"), os.path.join(self.root, "bin")
        self.records = os.path.join(self.root, nodes, IQN, "192.0.2.1,3260,1")
        os.makedirs(commands)
        os.makedirs(os.path.join(self.root, "etc/iscsi"))
        for name in ("iscsiadm", "systemctl", "lsblk", "modprobe", "apt-get", "dnf"):
            with open(os.path.join(commands, name), "w", encoding="ascii") as file:
                file.write(STAND_IN)
                os.fchmod(file.fileno(), 0o755)
        lines = lines.replace("/etc/iscsi", f"{self.root}/etc/iscsi")
        lines = lines.replace("/var/lib/iscsi", f"{self.root}/var/lib/iscsi")
        done = subprocess.run(
            ["bash"], input=f"{lines}{answer}\n", encoding="utf-8", capture_output=True, timeout=60,
            check=False, env={**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "CALLS": calls,
                              "RECORDS": self.records, "FAILS": fails})
        self.status, self.stderr = done.returncode, done.stderr
        with open(calls, encoding="utf-8") as file:
            self.calls = file.read().splitlines()

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            return file.read()


def pasted():
    """the lines for Linux work when all of them are there before the first one asks"""
    done = Pasted(howto("linux"), "secret of alice")
    equal((done.status, done.stderr), (0, ""), "status and stderr")
    equal(done.calls, ["systemctl restart iscsid",
                       "iscsiadm -m discovery -t sendtargets -p 192.0.2.1:3260",
                       f"iscsiadm -m node -T {IQN} --op update -n node.startup -v automatic",
                       f"iscsiadm -m node -T {IQN} --login", "lsblk --scsi"], "commands")
    equal(done.read("etc/iscsi/initiatorname.iscsi"), f"InitiatorName={HOST}\n", "name")
    done = Pasted(howto("linux"), "", fails="discovery")
    equal((done.status, len(done.calls)), (1, 2), f"after a discovery that failed: {done.calls}")


def no_secret_in_argv():
    """the secret for Linux goes into the record by bash itself: no process has it among its arguments"""
    secret = " se/cr&t\\12 $HOME `id` 345"
    done = Pasted(howto("linux"), secret)
    equal((done.status, done.stderr), (0, ""), "status and stderr")
    check("cr&t" not in "".join(done.calls), done.calls)
    text = done.read(os.path.join(done.records, "default"))
    contains(text, "\nnode.session.auth.authmethod = CHAP\n", "\nnode.session.auth.username = alice\n",
             f"\nnode.session.auth.password = {secret}\n", "username_in = keep")
    check("= None" not in text, text)
    equal(text.count("authmethod"), 1, "methods")


def other_places():
    """where the distribution has its records elsewhere, over iSER, and with a name that is right already"""
    done = Pasted(howto("linux", "--transport", "iser"), "secret of alice", "var/lib/iscsi/nodes")
    equal((done.status, done.stderr), (0, ""), "status and stderr")
    contains(done.read(os.path.join(done.records, "iser")), "password = secret of alice\n")
    check(all("-I iser" in call for call in done.calls if call.startswith("iscsiadm")), done.calls)
    lines = f"echo InitiatorName={HOST} >/etc/iscsi/initiatorname.iscsi\n"
    done = Pasted(lines + howto("linux"), "secret of alice")
    check("systemctl restart iscsid" not in done.calls, done.calls)


def discovery():
    """where discovery asks for a secret of its own the records are made without it, or that is said"""
    said = answers()
    said["portal.list"] += [{"address": "[2001:db8::1]:3261", "active": ["tcp"], "tag": 1}]
    said["user.list"] = [{"user": "alice", "target": IQN, "mutual": False}]
    with Daemon(said) as d:
        contains(d.run("howto", "disk1"), "-m discovery")
        said["user.list"].append({"user": "bob", "target": None, "mutual": False})
        text = d.run("howto", "disk1")
        check("-m discovery" not in text and "bob" not in text, text)
        contains(text, f"\niscsiadm -m node -T {IQN} -p 192.0.2.1:3260,1 --op new\n",
                 f"\niscsiadm -m node -T {IQN} -p [2001:db8::1]:3261,1 --op new\n")
        for system in ("windows", "esxi", "k8s"):
            contains(d.run("howto", "disk1", "--os", system), "riser user list")
        check("riser user list" not in d.run("howto", "disk1", "--os", "qemu"), "QEMU discovers nothing")


def let_in():
    """one name among addresses is used, several names are told, and so are the addresses"""
    for system in SYSTEMS:
        text = howto(system, allow=["192.0.2.0/24", HOST])
        contains(text, f"={HOST}" if system in ("linux", "qemu", "esxi") else HOST,
                 "# The target lets in only hosts at 192.0.2.0/24.\n")
        text = howto(system, allow=[HOST, "iqn.2026-11.*"])
        contains(text, f"# The target lets in only hosts with an initiator name of {HOST}, "
                 "iqn.2026-11.*.\n")
        check(text.count(HOST) == 1, text)
        check("lets in" not in howto(system, allow=["any"]), "of a target that is open to all")


def objects():
    """two targets share no object of Kubernetes"""
    text = howto("k8s")
    contains(text, "name: iqn-2026-11-test-disk1-lun0\n", "generic iqn-2026-11-test-disk1-chap ",
             "name: iqn-2026-11-test-disk1-chap\n")


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
    command.main([all_systems, shell_syntax, pasted, no_secret_in_argv, other_places, discovery, let_in,
                  objects, several, others_first, wildcard, hostile])
