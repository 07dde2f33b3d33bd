#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""riser job: a SANITIZE and a copy that an initiator has begun are seen, waited for and canceled, and
their beginning and end are events."""

import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import inquiry
from tap import case, check, equal, main
from target import Target

CONTROL = os.path.join(os.environ["TMPDIR"], "control.sock")
RISER = [os.path.abspath(os.path.join(os.environ["BUILD"], "riser")), "--control", CONTROL]
MIB = 1 << 20
FAILED, IN_PROGRESS = (3, 0x31, 0x03), (2, 0x04, 0x1b)


def riser(*words, status=0):
    ran = subprocess.run([*RISER, *words], capture_output=True, timeout=60, check=False)
    equal(ran.returncode, status, f"status of riser {' '.join(words)}, {ran.stderr!r}")
    return ran


def jobs():
    return json.loads(riser("--json", "job", "list").stdout)


def events():
    return [json.loads(line) for line in
            riser("--json", "events", "--type", "job").stdout.splitlines()]


def news(job, target, lun=0):
    """The reasons of the events about it, oldest first."""
    about = [e for e in events() if re.search(rf"\bjob {job}\b", e["text"])]
    for event in about:
        equal((event["target"], event["lun"]), (target.iqn, lun), f"whose {event} is")
    return [e["reason"] for e in about]


def sanitize(conn, count, lun=0):
    """So many passes over the disk, in the background."""
    params = bytes([count, 0, 0, 1, 0x5a])
    cdb = bytes([0x48, 0x81, 0, 0, 0, 0, 0]) + len(params).to_bytes(2, "big") + b"\0"
    command = conn.send(conn.command_pdu(cdb, lun, write=len(params), data=params))
    conn.complete(command, params).good()


def sense(conn, lun=0):
    """What TEST UNIT READY says when no unit attention is left."""
    while True:
        result = conn.ready(lun)
        if result.sense is None or result.sense[0] != 6:
            return result.sense


@case("no job: an empty list, and nothing to wait for")
def nothing(_):
    equal(jobs(), [], "jobs")
    riser("job", "wait")
    for words in (("wait", "1"), ("cancel", "77"), ("cancel", "x")):
        ran = riser("job", *words, status=3)
        check(b"there is no job" in ran.stderr, f"said {ran.stderr}")


@case("a sanitize is in the list, and waited for with lines that say how far it is")
def waited_for(target):
    conn = target.login()
    sanitize(conn, 3)
    job, = jobs()
    equal((job["kind"], job["target"], job["lun"], job["total"], job["state"]),
          ("sanitize", target.iqn, 0, 48 * MIB, "running"), "the job")
    check(0 <= job["done"] <= 48 * MIB, f"done {job['done']}")
    text = riser("job", "list").stdout.decode()
    check("sanitize" in text and "48 MiB" in text and "%" in text, f"printed {text}")
    riser("job", "wait", job["id"], "--for", "0.001", status=9)
    ran = riser("job", "wait", job["id"])
    check(b"done, 48 MiB" in ran.stdout, f"printed {ran.stdout}")
    check(b"%, " in ran.stderr and b"\r" not in ran.stderr, f"said {ran.stderr}")
    equal(jobs(), [], "jobs after that")
    ended = json.loads(riser("--json", "job", "wait", job["id"]).stdout)
    equal((ended["state"], ended["target"], ended["lun"]), ("done", target.iqn, 0),
          "what has become of it, asked once more")
    equal(sense(conn), None, "sense")
    equal(news(job["id"], target), ["begun", "done"], "events")


@case("a bar on a terminal")
def on_a_terminal(target):
    conn = target.login()
    sanitize(conn, 2)
    ours, theirs = pty.openpty()
    env = dict(os.environ, LC_ALL="C.UTF-8", TERM="xterm")
    with subprocess.Popen([*RISER, "job", "wait"], stdout=subprocess.DEVNULL, stderr=theirs,
                          env=env) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                got = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            seen += got
        equal(process.wait(30), 0, "status")
    os.close(ours)
    text = seen.decode()
    check("\r" in text and "\u2591" in text and "%" in text and "of 32 MiB" in text,
          f"the terminal got {text!r}")


@case("a sanitize is canceled by force only, and the LUN says that it has failed")
def canceled(target):
    conn = target.login()
    sanitize(conn, 31)
    job, = jobs()
    ran = riser("job", "cancel", job["id"], status=5)
    check(b"would refuse reads and writes" in ran.stderr and b"--force" in ran.stderr,
          f"said {ran.stderr}")
    riser("job", "cancel", job["id"], "--force", "--dry-run")
    equal(sense(conn), IN_PROGRESS, "sense")
    riser("job", "cancel", job["id"], "--force")
    ran = riser("job", "wait", job["id"], status=1)
    check(b"canceled" in ran.stderr, f"said {ran.stderr}")
    equal(sense(conn), FAILED, "sense")
    check(any("has canceled the sanitize" in e["text"] for e in events()), f"events {events()}")
    equal(news(job["id"], target), ["begun", "canceling", "canceled"], "events")
    sanitize(conn, 1)
    riser("job", "wait")
    equal(sense(conn), None, "sense after another one")


@case("a sanitize that fails says so")
def failed(target):
    conn = target.login()
    sanitize(conn, 1, 2)
    number = re.search(r"job (\d+)", events()[-1]["text"]).group(1)
    ran = riser("job", "wait", number, status=1)
    check(b"LUN 2: failed" in ran.stderr, f"said {ran.stderr}")
    equal(news(number, target, 2), ["begun", "failed"], "events")
    equal(sense(conn, 2), FAILED, "sense")
    sanitize(conn, 1, 2)  # the fault comes once
    riser("job", "wait")


def copy_list(conn, segments, list_id=9):
    """EXTENDED COPY (LID1) of LUN 1 to LUN 0, so many times 16 MiB; without list identifier if it is 0."""
    units = b""
    for lun in (1, 0):
        page = conn.scsi(inquiry(4096, 0x83), lun, read=4096).good().data
        at = 4
        while page[at + 1] & 0x3f != 3:  # NAA, of the unit
            at += 4 + page[at + 3]
        name = page[at:at + 4 + page[at + 3]]
        units += b"\xe4\0\0\0" + name.ljust(24, b"\0") + b"\0\0\x02\0"
    segment = struct.pack(">BBHHHHHQQ", 2, 0, 0x18, 0, 1, 0, 32768, 0, 0)
    return struct.pack(">BBHIII", list_id, 0 if list_id else 0x18, len(units), 0,
                       len(segment) * segments, 0) + units + segment * segments


def begin_copy(conn, data):
    """The command, when it is in the list of jobs, and what stands there."""
    cdb = struct.pack(">BB8xIBB", 0x83, 0, len(data), 0, 0)
    command = conn.send(conn.command_pdu(cdb, 0, write=len(data), data=data))
    end = time.monotonic() + 10
    while not (now := jobs()):
        check(time.monotonic() < end, "no job within 10 s")
    return command, now[0]


@case("a copy is in the list, and is canceled without force")
def copy(target):
    conn = target.login()
    data = copy_list(conn, 4)
    command, job = begin_copy(conn, data)
    equal((job["kind"], job["lun"], job["total"]), ("copy", 0, 64 * MIB), "the job")
    riser("job", "cancel", job["id"])
    result = conn.complete(command, data)
    equal((result.status, result.sense[0]), (2, 0xa), "status and sense key of the copy")
    equal(jobs(), [], "jobs after that")
    equal(json.loads(riser("--json", "job", "wait", job["id"], status=1).stdout)["state"],
          "canceled", "what has become of it")
    equal(news(job["id"], target)[-2:], ["canceling", "canceled"], "events")


@case("a copy without list identifier is in the list, and takes long enough for events")
def nameless_copy(target):
    conn = target.login()
    data = copy_list(conn, 4, 0)
    command, job = begin_copy(conn, data)
    equal((job["kind"], job["target"], job["lun"], job["total"]),
          ("copy", target.iqn, 0, 64 * MIB), "the job")
    conn.complete(command, data).good()
    equal(jobs(), [], "jobs after that")
    equal(news(job["id"], target), ["begun", "done"], "events")
    riser("job", "wait", job["id"])


FOLDER = tempfile.mkdtemp(prefix="job-")
main(Target("--control", CONTROL, innocent=None, disks=(
    f"{FOLDER}/disk,size=16M,fault=write:delay=30ms", "ram:16M,block-size=512",
    "ram:4M,fault=write:eio:once")))
