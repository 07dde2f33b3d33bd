#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""riser doctor: finds each trouble of a made-up machine, and says the way out; on this machine it finds
something to say of each part."""

import json
import os
import stat
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
import command
from command import Daemon, answers, contains, execute, lun
from tap import check, equal

NOBODY = "/nonexistent/control.sock"
LISTENER = ("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
            "   1: 00000000:0CBC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
            "777 1 0000000000000000 100 0 0 10 0\n"
            "   2: 0100007F:0CBD 0100007F:0CBC 01 00000000:00000000 00:00000000 00000000     0        0 9 1\n")


class Machine:
    """A folder with the files of /proc and /sys that doctor reads."""

    def __init__(self, files=()):
        self.root = tempfile.mkdtemp(prefix="machine-")
        for path, text in dict(files).items():
            self.write(path, text)

    def write(self, path, text):
        full = self.root + path
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        return self

    def link(self, path, to):
        os.makedirs(os.path.dirname(self.root + path), exist_ok=True)
        os.symlink(to, self.root + path)
        return self

    def doctor(self, *words, control=NOBODY):
        """{check: [(level, text, hint)]} and the exit status"""
        done = execute("--control", control, "--json", "doctor", "--root", self.root, *words)
        found = {}
        for f in json.loads(done.stdout):
            found.setdefault(f["check"], []).append((f["level"], f["text"], f["hint"]))
        return found, done.returncode


def one(found, name):
    equal(len(found[name]), 1, f"findings of {name}: {found[name]}")
    return found[name][0]


def port_taken():
    """a port that another target has: tgtd by its process, LIO by its configuration, or somebody"""
    machine = Machine({"/proc/net/tcp": LISTENER, "/proc/42/comm": "tgtd\n", "/proc/41/comm": "x\n"})
    machine.link("/proc/42/fd/3", "/dev/null").link("/proc/42/fd/900", "socket:[777]")
    machine.link("/proc/41/fd/3", "socket:[778]")
    found, status = machine.doctor()
    equal(one(found, "ports"), ("bad", "port 3260 is taken by tgtd, process 42",
                                "systemctl disable --now tgt"), "tgtd")
    equal(status, 1, "exit status")
    machine = Machine({"/proc/net/tcp": LISTENER, "/sys/kernel/config/target/iscsi/discovery_auth/x": ""})
    level, text, hint = one(machine.doctor()[0], "ports")
    check(level == "bad" and "LIO" in text and "targetcli" in hint, text)
    level, text, hint = one(Machine({"/proc/net/tcp": LISTENER}).doctor()[0], "ports")
    check(level == "bad" and "as root" in hint, text)
    equal(one(Machine({"/proc/net/tcp6": LISTENER.replace("0CBC", "0CBB")}).doctor()[0], "ports")[0],
          "ok", "nobody")


def ours():
    """riserd's own port, limits, last reload, and a portal that is not there"""
    said = answers()
    said["status"].update(pid=55, problems=["LUN 1: a flush has failed"], last_reload={
        "time": "2026-11-22T00:00:00Z", "ok": False, "message": "riser.conf:7: no"})
    said["portal.list"].append({"address": "192.0.2.1:4000", "transports": "iser", "active": []})
    machine = Machine({
        "/proc/net/tcp": LISTENER, "/proc/55/comm": "riserd\n",
        "/proc/55/limits": "Limit  Soft Limit  Hard Limit  Units\n"
                           "Max open files            1024                 2048                 files\n"
                           "Max locked memory         8388608              8388608              bytes\n",
        "/sys/class/infiniband/mlx5_0/ports/1/state": "4: ACTIVE\n",
        "/sys/class/infiniband/mlx5_1/ports/1/state": "1: DOWN\n"})
    machine.link("/proc/55/fd/7", "socket:[777]")
    with Daemon(said) as d:
        found, _ = machine.doctor(control=d.path)
    equal([level for level, _, _ in found["riserd"]], ["ok", "bad", "bad"], "riserd")
    contains(str(found["riserd"]), "a flush has failed", "riser.conf:7: no", "riserd -t")
    contains(str(found["ports"]), "riserd listens on port 3260", "nobody listens on port 4000")
    contains(str(found["limits"]), "8 MiB", "LimitMEMLOCK=infinity", "2048 files", "LimitNOFILE")
    equal(found["limits"][0][0], "bad", "little memory and an RDMA device")
    contains(str(found["rdma"]), "mlx5_0 is active", "mlx5_1 is not active: 1: DOWN",
             "192.0.2.1:4000 is not served over iSER")


def kernel():
    """io_uring that is turned off, and no RDMA device"""
    found, _ = Machine({"/proc/sys/kernel/io_uring_disabled": "2\n"}).doctor()
    level, text, hint = one(found, "io_uring")
    check(level == "bad" and "= 2" in text and "kernel.io_uring_disabled=0" in hint, text)
    contains(one(found, "rdma")[1], "no RDMA device")
    equal(Machine({"/proc/sys/kernel/io_uring_disabled": "0\n"}).doctor()[0].get("io_uring"), None,
          "turned on")


def files():
    """a disk that is missing, no file, or behind a loop device; those of riserd and of the command line"""
    machine = Machine({"/srv/a.img": "", "/srv/b.img": "", "/srv/folder/x": "",
                       "/sys/class/block/loop3/loop/backing_file": "/srv/a.img\n"})
    said = answers()
    said["lun.list"] = [lun(0, path="/srv/a.img"), lun(1, path=None), lun(2, path="/srv/none")]
    with Daemon(said) as d:
        found, status = machine.doctor("/srv/b.img", "/srv/folder", control=d.path)
    equal([(level, text) for level, text, _ in found["disks"]],
          [("bad", "/srv/a.img is in use here as /dev/loop3"), ("bad", "/srv/none does not exist"),
           ("ok", "nobody else uses /srv/b.img"),
           ("bad", "/srv/folder is neither a file nor a block device")], "disks")
    equal(status, 1, "exit status")


def devices():
    """a device that is mounted, swap, part of an LVM volume or of a multipath device, or whose partition
    is"""
    machine = Machine({
        "/proc/self/mountinfo": "36 35 8:17 / /srv/data rw,noatime shared:1 - ext4 /dev/sdb1 rw\n",
        "/proc/swaps": "Filename Type Size Used Priority\n/dev/sdc partition 1 0 -2\n",
        "/sys/dev/block/8:16/sdb1/partition": "1\n", "/sys/dev/block/8:16/sdb1/dev": "8:17\n",
        "/sys/dev/block/8:48/holders/dm-0/x": "", "/sys/class/block/dm-0/dm/name": "vg0-root\n",
        "/sys/class/block/dm-0/dm/uuid": "LVM-abc\n",
        "/sys/dev/block/8:64/holders/dm-1/x": "", "/sys/class/block/dm-1/dm/name": "mpatha\n",
        "/sys/class/block/dm-1/dm/uuid": "mpath-3600\n", "/dev/null-but-here": ""})
    try:
        for minor, name in ((16, "sdb"), (32, "sdc"), (48, "sdd"), (64, "sde"), (80, "sdf")):
            os.mknod(f"{machine.root}/dev/{name}", stat.S_IFBLK | 0o600, os.makedev(8, minor))
    except PermissionError:
        return  # only root makes devices; the files above have shown the rest
    found, _ = machine.doctor("/dev/sdb", "/dev/sdc", "/dev/sdd", "/dev/sde", "/dev/sdf")
    said = str(found["disks"])
    contains(said, "/dev/sdb is mounted here, on /srv/data", "/dev/sdc is swap space",
             "/dev/sdd is part of an LVM volume that is active here: vg0-root", "vgchange -an",
             "/dev/sde is part of a multipath device that is active here: mpatha", "multipath.conf",
             "nobody else uses /dev/sdf")
    equal(len(found["disks"]), 5, said)


def this_machine():
    """on this machine: text with the way out, and no word of a part that cannot be looked at"""
    done = execute("--control", NOBODY, "doctor")
    contains(done.stdout, "bad      riserd", "-> start it", "ports", "io_uring", "rdma")
    equal((done.returncode, done.stderr), (1, ""), "status")
    with Daemon(answers()) as d:
        contains(d.run("doctor", status=1), "riserd 0.1 is running", "/dev/vg0/disk1")


if __name__ == "__main__":
    command.main([port_taken, ours, kernel, files, devices, this_machine])
