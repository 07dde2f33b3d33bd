#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What riser howto prints for QEMU is run as it is, with an open target and with one that wants CHAP: the
machine has all disks, and what it writes is what riserd has."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
import command
from command import contains
from tap import case, check, equal, main
from target import Target, secret_file

TMP = os.environ["TMPDIR"]
FOLDER = tempfile.mkdtemp(prefix="q-")
FILE, SOCKET = os.path.join(TMP, "riser.conf"), os.path.join(FOLDER, "control")
SECRET = "secret of alice"
MIB = 1 << 20
# What takes the place of "...": a machine that has nothing else, and does not run.
OPTIONS = "-machine q35,accel=tcg -nodefaults -display none -S -qmp unix:{},server=on,wait=off"


def lines(name):
    text = command.run("--control", SOCKET, "howto", name, "--os", "qemu")
    contains(text, "qemu-system-x86_64 ...", "\n# qemu-block-extra ")
    return text


class Machine:
    """QEMU, as bash starts it with the lines."""

    def __init__(self, text):
        path = os.path.join(FOLDER, "qmp")
        if os.path.exists(path):
            os.unlink(path)
        text = text.replace("x86_64 ...", "x86_64 " + OPTIONS.format(path))
        self.process = subprocess.Popen(["bash", "-c", text.replace("/etc/qemu", TMP)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, encoding="utf-8")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        end = time.monotonic() + 30
        while self.socket.connect_ex(path):
            check(self.process.poll() is None and time.monotonic() < end,
                  f"no QEMU: {self.process.stdout.read() if self.process.poll() is not None else ''}")
            time.sleep(0.02)
        self.answers = self.socket.makefile(encoding="utf-8")
        contains(self.answers.readline(), "QMP")
        self.ask("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answers.close()
        self.socket.close()
        self.process.kill()
        self.process.communicate()

    def ask(self, command_, **arguments):
        self.socket.sendall(json.dumps({"execute": command_, "arguments": arguments}).encode())
        while True:
            answer = json.loads(self.answers.readline())
            if "event" not in answer:
                check("return" in answer, f"{command_}: {answer}")
                return answer["return"]

    def io(self, disk, words):
        """One command of qemu-io, as the device; it speaks to stdout, which is read at the end."""
        device = f"/machine/peripheral-anon/device[{disk}]/virtio-backend"
        said = self.ask("human-monitor-command",
                        **{"command-line": f'qemu-io -d {device} "{words}"'})
        equal(said, "", f"what the monitor says to {words}")

    def quit(self):
        self.ask("quit")
        said, _ = self.process.communicate(timeout=30)
        equal(self.process.returncode, 0, f"exit status of QEMU, which said {said}")
        return said


def sizes(machine):
    return {node["node-name"]: node["image"]["virtual-size"]
            for node in machine.ask("query-named-block-nodes") if node["drv"] == "iscsi"}


def holds(name, offset, byte):
    with open(os.path.join(TMP, name), "rb") as file:
        file.seek(offset)
        equal(set(file.read(65536)), {byte}, f"bytes of {name} at {offset}")


@case("an open target: its disk is there, is read and written")
def open_target(_):
    with Machine(lines("open")) as machine:
        equal(sizes(machine), {"riser0": 8 * MIB}, "disks")
        machine.io(0, "write -P 0x5a 1M 64k")
        machine.io(0, "read -P 0 2M 64k")
        machine.io(0, "flush")
        said = machine.quit()
    contains(said, "wrote 65536/65536", "read 65536/65536")
    check("failed" not in said, said)
    holds("open", MIB, 0x5a)


@case("a target with CHAP, a name and two LUNs")
def locked(_):
    with open(os.path.join(TMP, "alice.secret"), "w", encoding="ascii") as file:
        file.write(SECRET)
    with Machine(lines("locked")) as machine:
        equal(sizes(machine), {"riser0": 4 * MIB, "riser7": 2 * MIB}, "disks")
        machine.io(0, "write -P 0x11 0 64k")
        machine.io(1, "write -P 0x77 0 64k")
        sessions = json.loads(command.run("--control", SOCKET, "session", "list", "--json"))
        equal({(s["initiator"], s["user"]) for s in sessions},
              {("iqn.2026-11.test:machine", "alice")}, "sessions")
        said = machine.quit()
    equal(said.count("wrote 65536/65536"), 2, f"writes in {said}")
    holds("locked", 0, 0x11)
    holds("locked7", 0, 0x77)


if __name__ == "__main__":
    if not shutil.which("qemu-system-x86_64"):
        print("1..0 # SKIP qemu-system-x86_64 is not installed")
        sys.exit(0)
    for disk, size in (("open", 8), ("locked", 4), ("locked7", 2)):
        with open(os.path.join(TMP, disk), "wb") as image:
            image.truncate(size * MIB)
    with open(FILE, "w", encoding="ascii") as config:
        config.write(f"""portal 127.0.0.1:0 {{ }}
target iqn.2026-11.test:open {{
    lun 0 {{ path = "{TMP}/open" }}
}}
target iqn.2026-11.test:locked {{
    allow = {{ iqn.2026-11.test:machine, 127.0.0.0/8 }}
    chap alice {{ secret-file = "{secret_file(SECRET)}" }}
    lun 0 {{ path = "{TMP}/locked" }}
    lun 7 {{ path = "{TMP}/locked7" }}
}}
""")
    main(Target("-c", FILE, "--control", SOCKET, disks=(), portals=(), innocent=None))
