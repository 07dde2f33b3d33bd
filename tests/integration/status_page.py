#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The status page in Chromium: it draws what initiators do, names who they are, trusts none of their
names, and complains of nothing. A picture of it is kept as artifacts/status-page.png in the build folder."""

import os
import re
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from browser import Browser, missing
from tap import check, equal
from target import Target

TMP, BUILD = os.environ["TMPDIR"], os.environ.get("BUILD", "build")
FILE, DISK = (os.path.join(TMP, name) for name in ("riser.conf", "disk.img"))
NAMES = ("iqn.2026-11.com.example:database", "iqn.2026-11.com.example:backup",
         "iqn.2026-11.com.example:virtual-machines")
CONFIG = f"""
metrics {{ listen = "127.0.0.1:0" }}
portal 127.0.0.1:0 {{ }}
target {NAMES[0]} {{
    lun 0 {{ path = "{DISK}" }}
    lun 1 {{ path = "ram:16M" }}
}}
target {NAMES[1]} {{ lun 0 {{ path = "null:1G" }} }}
target {NAMES[2]} {{ lun 0 {{ path = "ram:64M" }} }}
"""
# Some commands at a time, and behind the browser.
LOADS = ((0, ("--rw", "randrw", "--bs", "8k", "--qd", "4")),
         (2, ("--rw", "write", "--bs", "64k", "--qd", "2")),
         (3, ("--rw", "randread", "--bs", "4k", "--qd", "8")))
ROWS = "return [...document.querySelectorAll('#%s tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
BUSY_ROWS = (ROWS % "target-table").replace("return ", "const rows = ") + (
    "; return rows.every(r => r[6] !== '\u2013') && rows")


def prepare():
    with open(DISK, "wb") as file:
        file.truncate(16 << 20)
    with open(FILE, "w", encoding="ascii") as file:
        file.write(CONFIG)


def load(target):
    urls = [match.group(0) for match in target.urls]
    return [subprocess.Popen(["nice", "-n", "19", os.environ["RISER_BENCH"], urls[n], *how, "--seconds", "90", "--spin", "0"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL) for n, how in LOADS]


def look(browser, target):
    page = next(m.group(1) for m in (re.search(r"status page: (http://\S+)", line)
                                     for line in target.stderr_lines()) if m)
    browser.open(page + "#700")
    browser.wait("return document.getElementById('health').textContent === 'ok'", "health")
    browser.wait("return [...document.querySelectorAll('#throughput polyline')]"
                 ".filter(p => p.points.length >= 8).length === 3", "three lines of throughput")
    browser.wait("return [...document.querySelectorAll('#latency polyline')]"
                 ".filter(p => p.points.length >= 2).length >= 3", "lines of latency")
    # A load that gets no CPU for a moment has no latency then.
    rows = browser.wait(BUSY_ROWS, "every target has something to do")
    equal([row[0] for row in rows], sorted(NAMES), "targets in the table")
    for row in rows:
        check(row[2] != "0" and re.match(r"[\d.]+ (µs|ms|s)$", row[6]), f"a row of the table: {row}")
    sessions = browser.run(ROWS % "session-table")
    equal(sorted(row[2] for row in sessions), sorted(NAMES), "targets of the sessions")
    check(all(row[1] == "127.0.0.1" and row[3] == "TCP" for row in sessions), f"{sessions}")
    equal(browser.console(), [], "complaints in the console")
    wide = browser.run("return document.documentElement.scrollWidth - innerWidth")
    check(wide <= 0, f"the page is {wide} pixels too wide")
    folder = os.path.join(BUILD, "artifacts")
    os.makedirs(folder, exist_ok=True)
    browser.screenshot(os.path.join(folder, "status-page.png"))


def hang(browser, target):
    """Connections are made, and nobody answers."""
    os.kill(target.process.pid, signal.SIGSTOP)
    try:
        browser.wait("return document.getElementById('health').textContent === 'no answer'",
                     "a daemon that hangs is not well")
    finally:
        os.kill(target.process.pid, signal.SIGCONT)
    browser.wait("return document.getElementById('health').textContent === 'ok'", "health again")


def main():
    if missing():
        print(f"1..0 # SKIP {missing()} is not installed")
        return
    prepare()
    loads = []
    with Target("-c", FILE, disks=(), portals=(), innocent=None) as target:
        try:
            loads += load(target)
            with Browser() as browser:
                look(browser, target)
                hang(browser, target)
        finally:
            for process in loads:
                process.kill()
                process.wait()
    print("1..1\nok 1 - the status page shows what initiators do, and when nobody answers")


main()
