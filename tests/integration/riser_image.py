#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""riser image create: a file that becomes a disk is made as it was asked for, or nothing is left of it; how far
it is can be seen, and it can be canceled like any other job."""

import fcntl
import json
import os
import re
import resource
import stat
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from command import Daemon, Terminal
from control import Control
from tap import case, check, equal, main
from target import Target

TMP = os.environ["TMPDIR"]
PROGRAM = os.path.abspath(os.path.join(os.environ["BUILD"], "riser"))
CONTROL = os.path.join(TMP, "control.sock")
MIB = 1 << 20
ON_TMPFS = subprocess.run(["stat", "-f", "-c", "%T", TMP], capture_output=True, text=True,
                          check=False).stdout.strip() == "tmpfs"
FREE = os.statvfs(TMP).f_bavail * os.statvfs(TMP).f_frsize
# Takes longer than a test: only its space is taken at once, and in memory that is the memory itself.
LONG = min((1 if ON_TMPFS else 16) << 30, FREE // 2) // MIB * MIB


def riser(*words, status=0, control=CONTROL, **how):
    ran = subprocess.run([PROGRAM, "--control", control, *words], capture_output=True, text=True,
                         timeout=60, check=False, **how)
    equal(ran.returncode, status, f"status of riser {' '.join(words)}, {ran.stderr!r}")
    return ran


def path_of(name):
    return os.path.join(TMP, name)


def jobs():
    return json.loads(riser("--json", "job", "list").stdout)


def news(job):
    said = riser("--json", "events", "--type", "job").stdout.splitlines()
    return [e["reason"] for e in map(json.loads, said) if re.search(rf"\bjob {job}\b", e["text"])]


def until(condition, what):
    end = time.monotonic() + 20
    while not condition():
        check(time.monotonic() < end, what)
        time.sleep(0.02)


def begin_long(name):
    """One that is being made, for much longer than anybody looks."""
    path = path_of(name)
    job = json.loads(riser("--json", "image", "create", path, str(LONG), "--allocate", "full",
                           "--no-wait").stdout)
    equal((job["kind"], job["path"], job["total"], job["state"]), ("image", path, LONG, "running"),
          "the job")
    return path, job["id"]


def cancel(path, job):
    riser("job", "cancel", job)
    ran = riser("job", "wait", job, status=1)
    check("canceled" in ran.stderr, f"said {ran.stderr}")
    check(not os.path.lexists(path), "the half-made file is still there")


@case("{}: has its size, for nobody else, and space as asked", [
    ("sparse", ()), ("reserve", ("--allocate", "reserve")), ("full", ("--allocate", "full"))])
def made(_, options):
    path = path_of("made")
    ran = riser("image", "create", path, "24M", *options)
    check("done, 24 MiB" in ran.stdout and not ran.stderr, f"printed {ran.stdout} {ran.stderr}")
    st = os.stat(path)
    equal((st.st_size, stat.S_IMODE(st.st_mode)), (24 * MIB, 0o600), "size and mode")
    check((st.st_blocks * 512 >= 24 * MIB) == bool(options), f"{st.st_blocks} blocks")
    with open(path, "rb") as file:
        check(not any(file.read()), "it is not all zeros")
    os.unlink(path)


@case("what is made can be served")
def served(target):
    path = path_of("served")
    job = json.loads(riser("--json", "image", "create", path, "8M", "--allocate", "full").stdout)
    equal((job["state"], job["done"], job["allocate"], job["target"], job["lun"]),
          ("done", 8 * MIB, "full", None, None), "the job")
    equal(news(job["id"]), ["begun", "done"], "events")
    riser("lun", "create", target.iqn, path, "--runtime")
    riser("lun", "delete", target.iqn, "1", "--runtime")
    os.unlink(path)


@case("{} is there already: it is named, and stays", [
    ("a file", lambda p: open(p, "w", encoding="ascii").write("mine")), ("a folder", os.mkdir),
    ("a link to nowhere", lambda p: os.symlink(p + "-not", p))])
def exists(_, make):
    path = os.path.join(tempfile.mkdtemp(prefix="exists-"), "disk.img")
    make(path)
    before = os.lstat(path)
    for more in ((), ("--dry-run",)):
        ran = riser("image", "create", path, "1M", *more, status=4)
        check(path in ran.stderr and "already" in ran.stderr, f"said {ran.stderr}")
    after = os.lstat(path)
    equal((after.st_ino, after.st_size), (before.st_ino, before.st_size), "what was there")
    equal(os.listdir(os.path.dirname(path)), ["disk.img"], "the folder")


@case("no space: says how much there is, and leaves nothing")
def no_space(_):
    path, size = path_of("big"), (FREE * 2 + 4 * MIB) // MIB
    for how in ("reserve", "full"):
        ran = riser("image", "create", path, f"{size}M", "--allocate", how, status=1)
        check(re.search(r"do not fit: its filesystem has [\d.]+ \w+ free", ran.stderr) and
              path in ran.stderr, f"said {ran.stderr}")
    check(not os.path.lexists(path), "something is there")
    # What takes no space yet may be larger, and says so.
    ran = riser("image", "create", path, f"{size}M")
    check("may be full before the disk is" in ran.stdout, f"printed {ran.stdout}")
    os.unlink(path)


@case("bad words are refused, with the place and the way out")
def refused(target):
    good = {"path": path_of("refused"), "size": MIB}
    rows = (({"path": "disk.img"}, 2, "no whole path"), ({"path": "ram:1G"}, 2, "no whole path"),
            ({"path": TMP + "/"}, 2, "is a folder"), ({"path": TMP + "/.."}, 2, "is a folder"),
            ({"path": "/" + "x" * 5000}, 2, "too long"), ({"path": TMP + "/a\nb"}, 2, "control"),
            ({"path": TMP + "/" + "x" * 300}, 1, "too long"), ({"path": "/proc/image"}, None, "/proc"),
            ({"path": TMP + "/none/disk"}, 3, TMP + "/none"), ({"size": 0}, 2, "multiple of 512"),
            ({"path": CONTROL + "/disk"}, 1, "Not a directory"), ({"size": -512}, 2, "multiple"),
            ({"size": 513}, 2, "multiple of 512"), ({"allocate": "thick"}, 2, "no way to allocate"))
    with Control(target.options[1]) as client:
        for change, status, words in rows:
            error = client.refused("image.create", **{**good, **change})
            check(status in (None, error.data["exit"]), f"{change}: {error.data}")
            check(words.lower() in error.message.lower(), f"{change}: {error.message}")
    check(not os.path.lexists(good["path"]), "something is there")
    equal(jobs(), [], "jobs")


@case("--dry-run makes nothing; a relative path is that of who types it")
def dry_run(_):
    folder = tempfile.mkdtemp(prefix="dry-")
    ran = riser("image", "create", "disk.img", "1M", "--dry-run", cwd=folder)
    check(f"would make {folder}/disk.img, 1 MiB (sparse)" in ran.stdout and "free" in ran.stdout,
          f"printed {ran.stdout}")
    equal(os.listdir(folder), [], "the folder")
    riser("image", "create", "disk.img", "1M", cwd=folder)
    equal(os.listdir(folder), ["disk.img"], "the folder")


@case("a long one is a job, locked and short until it is done; canceled, nothing is left")
def canceled(_):
    path, number = begin_long("canceled")
    job, = jobs()
    equal((job["id"], job["kind"], job["path"], job["lun"]), (number, "image", path, None), "the job")
    text = riser("job", "list").stdout
    check(path in text and "image" in text and "running" in text, f"printed {text}")
    check(os.stat(path).st_size < LONG, "it has its size before it is done")
    with open(path, "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            check(False, "it is not locked")
        except OSError:
            pass
    riser("job", "wait", number, "--for", "0.01", status=9)
    riser("job", "cancel", number, "--dry-run")
    check(os.path.exists(path), "--dry-run has removed it")
    cancel(path, number)
    equal(jobs(), [], "jobs after that")
    equal(news(number), ["begun", "canceling", "canceled"], "events")
    riser("job", "cancel", number, status=3)


@case("what somebody else has put in its place stays when it is canceled")
def replaced(_):
    path, number = begin_long("replaced")
    os.rename(path, path + "-moved")
    with open(path, "w", encoding="ascii") as file:
        file.write("mine")
    riser("job", "cancel", number)
    riser("job", "wait", number, status=1)
    with open(path, encoding="ascii") as file:
        equal(file.read(), "mine", "what is there")
    os.unlink(path + "-moved")


@case("a bar on a terminal; who interrupts it does not end the job")
def on_a_terminal(_):
    path = path_of("bar")
    t = Terminal(PROGRAM, "--control", CONTROL, "image", "create", path, str(LONG), "--allocate", "full")
    seen = t.until("GiB") if LONG >= 1 << 30 else t.until("MiB")
    check("\r" in seen and "\u2591" in seen and "%" in seen, f"the terminal got {seen!r}")
    t.type("\x03")
    t.until("it goes on")
    equal(t.end(), 9, "status")
    job, = jobs()
    cancel(path, job["id"])


@case("so many at once and no more")
def many(_):
    size = str(LONG // 9 // MIB * MIB)
    options = ("--allocate", "full", "--no-wait")
    started = [json.loads(riser("--json", "image", "create", path_of(f"many-{n}"), size, *options).stdout)
               for n in range(8)]
    if LONG >= 8 << 30:  # else they may be done before we look
        ran = riser("image", "create", path_of("many-8"), size, *options, status=5)
        check("8 images" in ran.stderr and "riser job wait" in ran.stderr, f"said {ran.stderr}")
    ends = [subprocess.run([PROGRAM, "--control", CONTROL, "job", "cancel", job["id"]], capture_output=True,
                           timeout=60, check=False).returncode for job in started]
    check(set(ends) <= {0, 3}, f"cancel: {ends}")  # 3: it was done already
    until(lambda: not jobs(), "they do not end")
    names = [path_of(f"many-{n}") for n in range(8)]
    equal([name for name, end in zip(names, ends) if not end and os.path.lexists(name)], [], "what is left")
    for name in names:
        if os.path.lexists(name):
            os.unlink(name)


@case("a file that only riserd sees is told")
def unseen(_):
    path = path_of("unseen")
    job = {"id": "1", "kind": "image", "target": None, "lun": None, "path": path, "done": MIB, "total": MIB,
           "allocate": "sparse", "since": "2026-11-22T00:00:00Z", "state": "done", "note": None}
    with Daemon({"image.create": job}) as c:
        ran = riser("image", "create", path, "1M", control=c.path)
        check("done, 1 MiB" in ran.stdout and "not seen from here" in ran.stderr, f"said {ran.stderr}")


def limited():
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, 4 * MIB))


@case("riserd survives files beyond its limit, removes what is half made at its end, and keeps its own folder")
def own_daemon(_):
    folder = tempfile.mkdtemp(prefix="own-")
    control, state = os.path.join(folder, "c.sock"), os.path.join(folder, "state")
    path = os.path.join(folder, "disk.img")
    for begin in (limited, None):
        with subprocess.Popen([os.environ["RISERD"], "--control", control, "--state", state, "-p",
                               "127.0.0.1:0", "ram:4M"], stdout=subprocess.PIPE, preexec_fn=begin) as process:
            try:
                while process.stdout.readline() != b"ready\n":
                    check(process.poll() is None, "riserd has ended")
                if begin:
                    for how in ("sparse", "full"):
                        ran = riser("image", "create", path, "64M", "--allocate", how, status=1, control=control)
                        check("ulimit -f" in ran.stderr, f"said {ran.stderr}")
                else:
                    ran = riser("image", "create", f"{state}/disk", "1M", status=2, control=control)
                    check("keeps its state" in ran.stderr, f"said {ran.stderr}")
                    riser("image", "create", path, str(LONG), "--allocate", "full", "--no-wait", control=control)
                    check(os.path.exists(path), "nothing is made")
            finally:
                process.terminate()
            equal(process.wait(20), 0, "status of riserd")
        check(not os.path.exists(path), "the half-made file is there still")


if __name__ == "__main__":
    main(Target("--control", CONTROL, innocent=None, disks=("ram:4M",)))
