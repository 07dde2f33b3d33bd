#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who may not use the control socket is told which group may and how to come into it, by name: of the socket or
a folder on the way as they are, and of the groups that the running riserd lets in."""

import grp
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
import command
from command import RISER, contains
from tap import check, equal
from target import Target

GROUP, WORDS = "daemon", "as root usermod -aG daemon nobody, and log in anew"
CONF = "control {{ {keys} }}\nportal 127.0.0.1:0 {{ }}\ntarget iqn.2026-11.test:one {{ lun 0 {{ path = ram:4M }} }}\n"


class Folder:
    """Open to everybody but for what a case closes, with a copy of riser that everybody may run."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="a-", dir="/tmp")
        os.chmod(self.path, 0o755)
        self.riser = shutil.copy(RISER, self.path)
        os.chmod(self.riser, 0o755)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def name(self, *parts):
        return os.path.join(self.path, *parts)

    def as_nobody(self, control, *words, groups=()):
        done = subprocess.run([self.riser, "--control", control, *words], capture_output=True,
                              text=True, timeout=20, check=False, user=65534, group=65534,
                              extra_groups=list(groups))
        equal(done.returncode, 6, f"riser {words}: {done.stdout}{done.stderr}")
        return done.stdout if "--json" in words else done.stderr


def root():
    """True: who is somebody else can be tried."""
    return not os.geteuid()


def listen(path, mode, group):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    os.chown(path, 0, grp.getgrnam(group).gr_gid)
    os.chmod(path, mode)
    return listener


def closed_socket():
    """a socket that is for a group names it, the user, and the command that puts one into the other"""
    if not root():
        return
    with Folder() as f, listen(f.name("sock"), 0o660, GROUP):
        said = f.as_nobody(f.name("sock"), "status")
        contains(said, f"nobody may not use {f.name('sock')}", f"is for the group {GROUP}", WORDS)
        equal(said.count("\n"), 1, f"lines of {said}")
        error = json.loads(f.as_nobody(f.name("sock"), "status", "--json"))["error"]
        contains(error["data"]["hint"], WORDS)
        os.chmod(f.name("sock"), 0o600)
        contains(f.as_nobody(f.name("sock"), "status"), "be root", "for its owner alone")


def closed_folder():
    """a folder on the way that is closed is what is named, with its group"""
    if not root():
        return
    with Folder() as f:
        os.mkdir(f.name("run"), 0o750)
        os.chown(f.name("run"), 0, grp.getgrnam(GROUP).gr_gid)
        contains(f.as_nobody(f.name("run", "sock"), "status"), f"{f.name('run')} is for the group {GROUP}", WORDS)
        os.mkdir(f.name("run", "deep"), 0o700)
        os.chmod(f.name("run"), 0o755)
        contains(f.as_nobody(f.name("run", "deep", "sock"), "status"),
                 f"{f.name('run', 'deep')} is for its owner alone")


def groups_of_riserd():
    """riserd names the group that may look, or for what changes something the one that may do all"""
    if not root():
        return
    with Folder() as f:
        conf = f.name("riser.conf")
        for keys, words, said in (
                (f"group = {GROUP}", ["status"], "you may not use the control socket; be root, or a member of "
                 f"{GROUP}, and log in anew: usermod -aG {GROUP} nobody"),
                (f"admin-group = {GROUP}", ["status"], f"usermod -aG {GROUP} nobody"),
                ("", ["status"], "control { group = NAME } in riser.conf")):
            with open(conf, "w", encoding="ascii") as out:
                out.write(CONF.format(keys=keys))
            with Target("-c", conf, "--control", f.name("sock"), disks=(), portals=(), innocent=None):
                contains(f.as_nobody(f.name("sock"), *words), said)
                if keys.startswith("group"):
                    gid = grp.getgrnam(GROUP).gr_gid
                    contains(f.as_nobody(f.name("sock"), "log", "level", "debug", groups=[gid]),
                             "control { admin-group = NAME } in riser.conf")
        with open(conf, "w", encoding="ascii") as out:
            out.write(CONF.format(keys="group = daemon admin-group = bin"))
        with Target("-c", conf, "--control", f.name("sock"), disks=(), portals=(), innocent=None):
            said = f.as_nobody(f.name("sock"), "log", "level", "debug", groups=[grp.getgrnam(GROUP).gr_gid])
            contains(said, "usermod -aG bin nobody")
            check("USER" not in said, said)


if __name__ == "__main__":
    command.main([closed_socket, closed_folder, groups_of_riserd])
