# SPDX-License-Identifier: BSD-2-Clause
"""The servers that `make bench` loads, started when a column first needs one, and their disks.

All are on the target's CPU, asleep while another one is measured. A folder on a disk of the
machine holds the files, whose blocks have all been written.
"""

import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SRC = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MIB = 1 << 20
DISK_MIB = 1024
PR_SET_PDEATHSIG = 1
BUSY_POLL_US = 1000  # longer than any gap of a load
IQN = "iqn.2026-11.localhost:tgt"

# What columns are measured on: the server and the number of its URL.
DISKS = {
    "bare": ("bare", 0),
    "bare asleep": ("bare asleep", 0),
    "ram": ("riser", 0),
    "null": ("riser", 1),
    "cached": ("riser cached", 0),
    "direct": ("riser direct", 0),
    "busy": ("riser busy", 0),
    "two reactors": ("riser two", 0),
    "two reactors 1": ("riser two", 1),
    "two reactors 2": ("riser two", 2),
    "two reactors 3": ("riser two", 3),
    "logins": ("riser logins", 0),
    "many": ("riser many", 0),
    "few": ("riser few", 0),
    "tgt": ("tgt", 0),
    "tgt direct": ("tgt direct", 0),
    "tgt aio": ("tgt direct", 1),
}

LIBC = ctypes.CDLL(None)


class Trouble(Exception):
    """Something that ends a measurement; the text says what."""


class Process:
    """A server on some CPUs. It ends with us, whatever ends us."""

    def __init__(self, command, cpus, **popen):
        self.cpus = cpus
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=self.log, text=True,
            preexec_fn=self.prepare, **popen)
        self.pid = self.process.pid
        self.urls = []

    def prepare(self):
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.sched_setaffinity(0, self.cpus)

    def wait_ready(self, seconds=20):
        """Until it says that it is ready; the iscsi:// URLs that it prints before are kept."""
        pending, deadline = b"", time.monotonic() + seconds
        fd = self.process.stdout.fileno()
        while time.monotonic() < deadline:
            if not select.select([fd], [], [], 0.2)[0]:
                continue
            piece = os.read(fd, 4096)
            if not piece:
                break
            *lines, pending = (pending + piece).split(b"\n")
            for line in lines:
                if line == b"ready":
                    return
                if line.startswith(b"iscsi://"):
                    self.urls.append(line.decode())
        raise Trouble(f"{self.process.args[0]} does not become ready: {self.last_words()}")

    def log_from(self, offset):
        """What it has said since; and the offset of what comes next. The server writes where the
        file's position is, which is therefore left alone."""
        fd = self.log.fileno()
        text = os.pread(fd, os.fstat(fd).st_size - offset, offset)
        return text.decode("utf-8", "replace"), offset + len(text)

    def last_words(self):
        return " | ".join(self.log_from(0)[0].strip().splitlines()[-3:])

    def check_alive(self):
        if self.process.poll() is not None:
            raise Trouble(f"{self.process.args[0]} is gone with status "
                          f"{self.process.returncode}: {self.last_words()}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Servers:
    """Those that have been started. `need` a disk to have its server; `stop` ends all."""

    def __init__(self, setting):
        self.setting = setting
        self.running = {}  # name: Process
        self.broken = {}  # name: why it did not start
        self.files = {}  # name: path
        self.folder = None

    def need(self, disk):
        """The URL of a disk and the process behind it."""
        name, number = DISKS[disk]
        if name in self.broken:
            raise Trouble(self.broken[name])
        if name not in self.running:
            try:
                self.running[name] = STARTERS[name](self)
            except (Trouble, OSError) as trouble:
                self.broken[name] = str(trouble)
                raise Trouble(str(trouble)) from None
        server = self.running[name]
        server.check_alive()
        if number >= len(server.urls):
            raise Trouble(f"{name} has no disk {number}")
        return server.urls[number], server

    def stop(self):
        while self.running:
            self.running.popitem()[1].stop()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    # Files

    def file(self, name):
        """A file of DISK_MIB on the machine's disk, written and synced; removed at the end."""
        if name in self.files:
            return self.files[name]
        if not self.folder:
            os.makedirs(self.setting.folder, exist_ok=True)
            self.folder = tempfile.mkdtemp(prefix="riser-bench-", dir=self.setting.folder)
        path = os.path.join(self.folder, name)
        self.setting.say(f"writing {path}")
        piece = os.urandom(MIB)
        with open(path, "wb") as file:
            for _ in range(DISK_MIB):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        self.files[name] = path
        return path

    def sync_files(self):
        for path in self.files.values():
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    # Starters

    def started(self, command, cpus):
        process = Process(command, cpus, stdout=subprocess.PIPE)
        try:
            process.wait_ready()
        except Trouble:
            process.stop()
            raise
        return process

    def bare(self, *options):
        return self.started([self.setting.client, "--bare", "--port", "0", *options],
                            {self.setting.target_cpu})

    def riserd(self, *arguments, cpus=None):
        return self.started([self.setting.riserd, "-p", "127.0.0.1:0", *arguments],
                            cpus or {self.setting.target_cpu})

    def used(self, count, rw, *arguments, **how):
        """riserd whose first disks have been read or written once. A RAM disk that was never
        written would be flattered; a first use takes what later ones do not."""
        server = self.riserd(*arguments, **how)
        for url in server.urls[:count]:
            command = [self.setting.client, url, "--rw", rw, "--bs", "1m", "--qd", "4",
                       "--count", str(DISK_MIB)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                server.stop()
                raise Trouble(f"a disk fails its first use: {done.stderr.strip()}")
        return server

    def two_reactors(self):
        first, second = self.setting.cpus[0], self.setting.cpus[min(1, len(self.setting.cpus) - 1)]
        if first == second:
            raise Trouble("two reactors need two CPUs")
        return self.used(4, "write", "--cpus", f"{first},{second}", *[f"ram:{DISK_MIB // 4}M"] * 4,
                           cpus={first, second})

    def tgtadm(self, control, *args):
        command = ["tgtadm", "-C", control, "--lld", "iscsi", *args]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode == 0

    def tgt(self, *luns):
        """A tgtd of our own, with own control and TCP ports; a LUN is words for tgtadm."""
        if not shutil.which("tgtd") or not shutil.which("tgtadm"):
            raise Trouble("not installed (Debian package tgt)")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        control = str(port % 32000 + 1)  # it takes up to 32767
        server = Process(["tgtd", "-f", "-C", control, "--iscsi", f"portal=127.0.0.1:{port}"],
                         {self.setting.target_cpu}, stdout=subprocess.DEVNULL)
        try:
            self.configure_tgt(server, control, luns)
        except Trouble:
            server.stop()
            raise
        # SIGTERM does not end it while it has targets.
        server.stop = lambda: (server.process.kill(), server.process.wait(), server.log.close())
        server.urls = [f"iscsi://127.0.0.1:{port}/{IQN}/{lun}" for lun in range(1, 1 + len(luns))]
        return server

    def configure_tgt(self, server, control, luns):
        target = ("--mode", "target", "--tid", "1")
        deadline = time.monotonic() + 10
        while not self.tgtadm(control, *target, "--op", "new", "-T", IQN):
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise Trouble(f"does not start: {server.last_words()}")
            time.sleep(0.1)
        steps = [("--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", str(lun), *words)
                 for lun, words in enumerate(luns, 1)]
        steps.append((*target, "--op", "bind", "-I", "ALL"))
        steps += [(*target, "--op", "update", "-n", digest, "-v", "CRC32C,None")
                  for digest in ("HeaderDigest", "DataDigest")]
        for step in steps:
            if not self.tgtadm(control, *step):
                raise Trouble(f"tgtadm {' '.join(step)} fails")


# Several small daemons, so that one mark alone does not need all files.
STARTERS = {
    "bare": lambda servers: servers.bare(),
    "bare asleep": lambda servers: servers.bare("--spin", "0"),
    "riser": lambda servers: servers.used(1, "write", f"ram:{DISK_MIB}M", f"null:{DISK_MIB}M"),
    "riser cached": lambda servers: servers.used(1, "read", servers.file("cached")),
    "riser direct": lambda servers: servers.used(1, "read", servers.file("direct") + ",direct=on"),
    "riser busy": lambda servers: servers.used(1, "write", "--busy-poll", str(BUSY_POLL_US),
                                                 f"ram:{DISK_MIB}M"),
    "riser two": Servers.two_reactors,
    "riser logins": lambda servers: servers.riserd("ram:16M"),
    # One descriptor for each session, and some of its own.
    "riser many": lambda servers: servers.riserd("--max-connections", "10100", "ram:16M"),
    "riser few": lambda servers: servers.riserd("ram:16M"),
    "tgt": lambda servers: servers.tgt(("-b", servers.file("tgt"))),
    "tgt direct": lambda servers: servers.tgt(
        ("-b", servers.file("direct"), "--bstype", "rdwr", "--bsoflags", "direct"),
        ("-b", servers.file("direct"), "--bstype", "aio")),
}
