#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""riserd under a supervisor, as systemd is one: it tells when it serves, reloads and stops, gives signs of
life, and takes over sockets that listen already, so that nobody is refused while it restarts."""

import os
import select
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import Initiator, LoginRefused
from tap import Failure, Report, check, equal

TMP = os.environ["TMPDIR"]
CONF, LOG = os.path.join(TMP, "riser.conf"), os.path.join(TMP, "riserd.err")
IQN = "iqn.2026-11.test:disk"
DEADLINE = 20


class Supervisor:
    """Starts riserd and hears what it says of itself."""

    def __init__(self, watchdog_us=400000):
        path = os.path.join(TMP, "notify")
        if os.path.exists(path):
            os.unlink(path)
        self.hears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.hears.bind(path)
        self.env = {**os.environ, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": str(watchdog_us)}
        self.process = None

    def start(self, *listening, args=("-c", CONF)):
        """listening: sockets, which become descriptor 3 and so on."""
        fds = [s.fileno() for s in listening]
        moves = "".join(f" {3 + i}<&{fd}" for i, fd in enumerate(fds))
        script = f'LISTEN_PID=$$ LISTEN_FDS={len(fds)} LISTEN_FDNAMES=a exec "$0" "$@"{moves}'
        with open(LOG, "w", encoding="ascii") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", script, os.environ["RISERD"], *args], env=self.env, stderr=log,
                stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, pass_fds=fds)
        return self

    def next(self, seconds=DEADLINE):
        """What comes next as a dictionary; None: nothing in this time."""
        if not select.select([self.hears], [], [], seconds)[0]:
            return None
        return dict(line.split("=", 1) for line in self.hears.recv(4096).decode().split("\n"))

    def until(self, key, value=None):
        """Everything up to a message with this key (and value)."""
        heard, end = [], time.monotonic() + DEADLINE
        while time.monotonic() < end:
            said = self.next(max(0, end - time.monotonic()))
            if said is None:
                break
            heard.append(said)
            if key in said and value in (None, said[key]):
                return heard
        raise Failure(f"no {key}={value or ''} but {heard}; the log: {log()}")

    def status(self, wanted):
        return self.until("STATUS", wanted)

    def end(self, expected=0):
        if not expected:
            self.process.terminate()
        equal(self.process.wait(DEADLINE), expected, f"exit status of riserd ({log()})")
        check("Sanitizer" not in log() and "runtime error" not in log(), log())

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.hears.close()


def log():
    with open(LOG, encoding="ascii") as file:
        return file.read()


def configure(*ports, luns=1):
    with open(CONF, "w", encoding="ascii") as file:
        for port in ports:
            file.write(f'portal "{port}" {{ }}\n')
        file.write(f"target {IQN} {{\n")
        for lun in range(luns):
            file.write(f'    lun {lun} {{ path = "ram:4M" }}\n')
        file.write("}\n")


def listener(address="127.0.0.1", family=socket.AF_INET, only6=True):
    s = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only6))
    s.bind((address, 0))
    s.listen(16)
    s.setblocking(False)
    return s


def portal(s):
    return f"127.0.0.1:{s.getsockname()[1]}"


def says_when_it_serves(sup):
    configure("127.0.0.1:0", luns=2)
    sup.start()
    before = sup.until("READY", "1")
    equal(before[-1]["STATUS"], "serving: 1 target, 2 LUNs, 0 sessions", "the status")
    check(any(m.get("STATUS") == "opening the disks" for m in before[:-1]), f"before: {before}")
    sup.until("WATCHDOG", "1")
    sup.until("WATCHDOG", "1")
    sup.end()
    sup.until("STOPPING", "1")


def counts_sessions(sup):
    s = listener()
    configure(portal(s))
    sup.start(s).until("READY")
    conn = Initiator(s.getsockname(), IQN).login()
    sup.status("serving: 1 target, 1 LUN, 1 session")
    conn.logout()
    conn.close()
    sup.status("serving: 1 target, 1 LUN, 0 sessions")
    sup.end()


def tells_of_a_reload(sup):
    configure("127.0.0.1:0")
    sup.start().until("READY")
    configure("127.0.0.1:0", luns=3)
    sup.process.send_signal(signal.SIGHUP)
    stamp = int(sup.until("RELOADING", "1")[-1]["MONOTONIC_USEC"])
    check(abs(time.monotonic() - stamp / 1e6) < DEADLINE, f"MONOTONIC_USEC is {stamp}")
    equal(sup.until("READY")[-1]["STATUS"], "serving: 1 target, 3 LUNs, 0 sessions", "the status")
    with open(CONF, "w", encoding="ascii") as file:
        file.write("nonsense")
    sup.process.send_signal(signal.SIGHUP)
    sup.until("RELOADING", "1")
    equal(sup.until("READY")[-1]["STATUS"], "serving: 1 target, 3 LUNs, 0 sessions", "the status")
    sup.end()


def never_says_ready_when_it_cannot_start(sup):
    with open(CONF, "w", encoding="ascii") as file:
        file.write(f"target {IQN} {{\n    lun 0 {{ path = {TMP}/none }}\n}}\n")
    sup.start()
    sup.end(1)
    while (said := sup.next(0)) is not None:
        check("READY" not in said, f"{said}")


def nobody_is_refused_while_it_restarts(sup):
    s = listener()
    configure(portal(s))
    early = Initiator(s.getsockname(), IQN)  # connected, and nobody is there
    sup.start(s).until("READY")
    early.login().ready(0)
    early.logout()
    early.close()
    sup.end()
    late = Initiator(s.getsockname(), IQN)
    sup.start(s).until("READY")
    late.login().ready(0)
    late.logout()
    late.close()
    sup.end()
    check(s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), "the socket does not listen")
    check("waits in vain" not in log(), log())


def a_portal_goes_and_comes_again(sup):
    s = listener()
    other = listener()
    spare = f"127.0.0.1:{other.getsockname()[1]}"
    other.close()
    configure(portal(s), spare)
    sup.start(s).until("READY")
    for ports in ((spare,), (portal(s), spare)):
        configure(*ports)
        sup.process.send_signal(signal.SIGHUP)
        sup.until("RELOADING")
        sup.until("READY")
    conn = Initiator(s.getsockname(), IQN).login()
    conn.logout()
    conn.close()
    sup.end()


def a_socket_that_is_no_portal(sup):
    s = listener()
    configure("127.0.0.1:0")
    sup.start(s).until("READY")
    check(f"{portal(s)}: handed over by riser.socket, but no portal" in log(), log())
    sup.end()


def sockets_of_no_use(sup):
    configure("127.0.0.1:0")
    for bad, word in ((socket.socket(), "is no listening TCP socket"),
                      (socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "is no listening TCP"),
                      (socket.socket(socket.AF_UNIX), "is no listening TCP"),
                      (listener("::", socket.AF_INET6, False), "BindIPv6Only=ipv6-only")):
        sup.start(bad)
        sup.end(1)
        check(word in log() and "descriptor 3" in log(), log())
        bad.close()


def variables_of_somebody_else(sup):
    configure("127.0.0.1:0")
    sup.env.update(LISTEN_FDS="7", WATCHDOG_PID="1")
    with open(LOG, "w", encoding="ascii") as err:
        sup.process = subprocess.Popen([os.environ["RISERD"], "-c", CONF], stderr=err,
                                       env={**sup.env, "LISTEN_PID": "1"},
                                       stdout=subprocess.DEVNULL)
    sup.until("READY")
    said = sup.next(1)
    check(said is None or "WATCHDOG" not in said, f"{said}")
    sup.end()


class Journal:
    """systemd's, as far as riserd sees it: stderr is its stream, and entries come as datagrams."""

    def __init__(self):
        self.path = os.path.join(TMP, "journal")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(DEADLINE)

    def variables(self, stderr):
        at = os.fstat(stderr.fileno())
        return {"JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino}", "RISER_JOURNAL_SOCKET": self.path}

    def until(self, words):
        """The fields of the first entry whose message has them."""
        while True:
            lines = self.socket.recv(65536).decode().splitlines()
            entry = dict(line.split("=", 1) for line in lines)
            if words in entry["MESSAGE"]:
                return entry


def the_journal_has_what_a_line_is_about(sup):
    journal = Journal()
    configure("127.0.0.1:0")
    with open(LOG, "w", encoding="ascii") as err:
        sup.process = subprocess.Popen([os.environ["RISERD"], "-c", CONF], stderr=err,
                                       env={**sup.env, **journal.variables(err)},
                                       stdout=subprocess.PIPE, text=True)
        url = sup.process.stdout.readline()
    address = "127.0.0.1", int(url.split("/")[2].rsplit(":", 1)[1])
    conn = Initiator(address, IQN, name="iqn.2026-11.test:me").login()
    said = journal.until("logged in")
    equal((said["RISER_TARGET"], said["RISER_INITIATOR"], said["PRIORITY"], said["SYSLOG_IDENTIFIER"]),
          (IQN, "iqn.2026-11.test:me", "6", "riserd"), "a login")
    check(int(said["RISER_SESSION"]) > 0 and said["RISER_FROM"].startswith("127.0.0.1:"), f"{said}")
    conn.logout()
    conn.close()
    equal(journal.until("logged out")["RISER_SESSION"], said["RISER_SESSION"], "its logout")
    try:
        Initiator(address, "iqn.2026-11.test:none").login()
    except LoginRefused:
        pass
    said = journal.until("login refused")
    equal(said["RISER_TARGET"], "iqn.2026-11.test:none", "a refused login")
    check(said["RISER_REASON"], f"{said}")
    configure("127.0.0.1:0", luns=2)
    sup.process.send_signal(signal.SIGHUP)
    said = journal.until("added")
    equal((said["RISER_TARGET"], said["RISER_LUN"]), (IQN, "1"), "a LUN")
    equal(log(), "", "stderr")
    journal.socket.close()
    os.unlink(journal.path)  # it is gone: lines come as before
    sup.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + DEADLINE
    while "serves what it says now" not in log() and time.monotonic() < end:
        sup.next(0.1)
    sup.end()
    check("<6>riserd: " in log() and "serves what it says now" in log(), log())
    sup.process.stdout.close()


def main():
    report = Report()
    for story in (says_when_it_serves, counts_sessions, tells_of_a_reload,
                  never_says_ready_when_it_cannot_start, nobody_is_refused_while_it_restarts,
                  a_portal_goes_and_comes_again, a_socket_that_is_no_portal, sockets_of_no_use,
                  variables_of_somebody_else, the_journal_has_what_a_line_is_about):
        sup = Supervisor()
        try:
            story(sup)
            report.result(story.__name__.replace("_", " "))
        except Exception as error:  # pylint: disable=broad-except
            report.result(story.__name__.replace("_", " "), f"{type(error).__name__}: {error}")
        finally:
            sup.kill()
    print(f"1..{report.number}")
    sys.exit(1 if report.failed else 0)


main()
