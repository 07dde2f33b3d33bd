#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""riser trace: what Wireshark's iSCSI dissector reads of sessions that went on meanwhile."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import Chap, inquiry, pattern, read10, report_luns
from tap import case, check, equal, main
from target import Target, secret_file

TMP = os.environ["TMPDIR"]
CONTROL = os.path.join(TMP, "control.sock")
RISER = os.path.abspath(os.path.join(os.environ["BUILD"], "riser"))
SECRET, MUTUAL = "alice-secret-0123456789", "riser-secret-9876543210"
FIELDS = ("iscsi.opcode", "iscsi.datasegmentlength", "tcp.len", "frame.len", "frame.cap_len")


def chap():
    return Chap("alice", SECRET.encode(), target_name="riser", target_secret=MUTUAL.encode())


def riser(*words, **how):
    return subprocess.run([RISER, "--control", CONTROL, *words], capture_output=True, timeout=20,
                          check=False, **how)


class Trace:
    """A riser trace that has begun, until finish()."""

    def __init__(self, name, *options):
        self.path = os.path.join(TMP, name)
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.process = subprocess.Popen(
            [RISER, "--control", CONTROL, "--json", "trace", "--pcap", self.path, *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        end = time.monotonic() + 15
        while not os.path.exists(self.path) or os.path.getsize(self.path) < 24:
            check(self.process.poll() is None, f"riser trace ended: {self.process.stderr.read()}"
                  if self.process.poll() is not None else "")
            check(time.monotonic() < end, "riser trace has not begun within 15 s")
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def finish(self, status=0, sig=signal.SIGINT):
        if sig:
            self.process.send_signal(sig)
        out, err = self.process.communicate(timeout=15)
        equal(self.process.returncode, status, f"exit status, stderr {err!r}")
        return json.loads(out)


def tshark(path, port, *options, fields=FIELDS):
    """One list of fields for each packet."""
    words = [word for field in fields for word in ("-e", field)]
    ran = subprocess.run(["tshark", "-n", "-r", path, "-d", f"tcp.port=={port},iscsi", *options,
                          "-T", "fields", *words], capture_output=True, timeout=60, check=False)
    equal(ran.returncode, 0, f"exit status of tshark, {ran.stderr[-300:]!r}")
    return [line.split("\t") for line in ran.stdout.decode().splitlines()]


def opcodes(rows):
    return [int(row[0], 16) & 0x3f for row in rows]


@case("a capture in a file that was there is for its owner only, too")
def private(_):
    path = os.path.join(TMP, "there.pcap")
    with open(path, "wb") as file:
        file.write(bytes(1000))
        os.fchmod(file.fileno(), 0o666)
    with open(path, "rb") as reader:
        ran = riser("trace", "--pcap", path, "--seconds", "0.1")
        equal(ran.returncode, 0, f"exit status, {ran.stderr!r}")
        equal(os.stat(path).st_mode & 0o777, 0o600, "mode")
        equal(os.path.getsize(path), 24, "an empty capture")
        equal(reader.read(), bytes(1000), "what somebody reads who had it open")


@case("logins, commands and data are what tshark reads of them")
def whole_session(target):
    port = target.address[1]
    with Trace("whole.pcap") as trace:
        conn = target.connect()
        conn.login(security=True, chap=chap())
        conn.clear_unit_attention()
        conn.scsi(inquiry(96), read=96).good()
        conn.scsi(report_luns(64), read=64).good()
        data = pattern(1024, 7)
        conn.write(100, data).good()
        check(conn.read(100, 1024) == data, "what was written is not read")
        command, r2t = conn.solicited_write(8, 16)
        conn.answer_r2t(command, r2t, pattern(16, 1))
        conn.complete(command).good()
        conn.ping(b"are you there")
        conn.logout()
        told = trace.finish()
    equal((told["lost"], told["connections"]), (0, 1), "lost PDUs, connections")
    equal(os.stat(trace.path).st_mode & 0o777, 0o600, "mode of the file")
    rows = tshark(trace.path, port)
    equal(len(rows), told["pdus"], "packets and PDUs")
    check(all(row[0] for row in rows), "packets that are no iSCSI: "
          + ", ".join(str(n + 1) for n, row in enumerate(rows) if not row[0]))
    seen = opcodes(rows)
    equal(seen[:2], [0x03, 0x23], "first the login")
    equal(seen[-2:], [0x06, 0x26], "last the logout")
    equal(set(seen), {0x00, 0x01, 0x03, 0x05, 0x06, 0x20, 0x21, 0x23, 0x25, 0x26, 0x31},
          "opcodes")
    # 512 KiB, of each PDU 256 bytes: the packets tell how long they were.
    reads = [row for row in rows if row[0] == "0x25" and int(row[1], 0) > 65536]
    check(reads, "no long Data-In")
    for row in reads:
        equal((int(row[2]), int(row[4])), (48 + int(row[1], 0), 54 + 48 + 256),
              "length of a Data-In, and of what was kept")
    equal(tshark(trace.path, port, "-Y", "tcp.analysis.flags || _ws.malformed"), [],
          "packets that are malformed, lost or out of order")


@case("the names that CHAP proves are in the capture, and the proofs are not")
def masked(target):
    with Trace("chap.pcap") as trace:
        conn = target.connect()
        conn.login(security=True, chap=chap())
        conn.logout()
        trace.finish()
    with open(trace.path, "rb") as file:
        text = file.read()
    for key in (b"CHAP_N=alice\0", b"CHAP_N=riser\0", b"CHAP_I="):
        check(key in text, f"{key} is not in the capture")
    for key in (b"CHAP_R=", b"CHAP_C="):
        values = [part.split(b"\0")[0] for part in text.split(key)[1:]]
        equal(len(values), 2, f"times that {key} is in the capture")
        check(all(set(value) == {ord("x")} for value in values), f"{key} in {values}")


@case("only the session, the initiator or the target that was asked for")
def chosen(target):
    port = target.address[1]
    one = target.login(name="iqn.2026-11.test:one", security=True, chap=chap())
    two = target.login(name="iqn.2026-11.test:two", security=True, chap=chap())
    for words in (("--session", str(two.tsih)), ("--initiator", "iqn.2026-11.test:T*"),
                  ("--initiator", "*:two", "--target", target.iqn)):
        with Trace("chosen.pcap", *words) as trace:
            for conn in (one, two, one):
                conn.scsi(read10(0, 1), read=512).good()
            three = target.login(name="iqn.2026-11.test:three", security=True, chap=chap())
            three.scsi(read10(0, 1), read=512).good()
            told = trace.finish()
        peers = {row[0] for row in tshark(trace.path, port, "-Y", f"tcp.dstport == {port}",
                                          fields=("tcp.srcport",))}
        wanted = {str(two.sock.getsockname()[1])}
        if "iqn.2026-11.test:T*" in words:
            wanted.add(str(three.sock.getsockname()[1]))
        equal(peers, wanted, f"connections with {' '.join(words)}")
        equal(told["lost"], 0, "lost PDUs")
        three.logout()


@case("whole data, when it is asked for")
def whole_data(target):
    conn = target.login(security=True, chap=chap())
    data = pattern(256, 0x5a)
    with Trace("data.pcap", "--snaplen", "1048576") as trace:
        conn.write(0, data).good()
        check(conn.read(0, 256) == data, "what was written is not read")
        trace.finish()
    rows = tshark(trace.path, target.address[1], "-o", "iscsi.desegment_iscsi_messages:TRUE")
    equal({row[3] == row[4] for row in rows}, {True}, "packets that are complete")
    with open(trace.path, "rb") as file:
        text = file.read()
    check(data[1024:30000] in text, "the data is not in the capture")


@case("so many PDUs, or so long")
def bounded(target):
    conn = target.login(security=True, chap=chap())
    with Trace("count.pcap", "--count", "4") as trace:
        for _ in range(4):
            conn.ready()
        equal(trace.finish(sig=None)["pdus"], 4, "PDUs")
    ran = riser("trace", "--pcap", "-", "--seconds", "0.1")
    equal((ran.returncode, len(ran.stdout)), (0, 24), "status and an empty capture on stdout")
    check(b"0 PDUs" in ran.stderr and b"nothing was sent" in ran.stderr, f"said {ran.stderr}")


@case("what cannot be traced leaves the file alone")
def refused(target):
    path = os.path.join(TMP, "old.pcap")
    with open(path, "wb") as file:
        file.write(b"an old capture of great value")
    for status, words, says in (
            (3, ("--target", "iqn.2026-11.test:nobody"), b"there is no target"),
            (3, ("--session", "54321"), b"there is no session 54321"),
            (2, ("--session", "first"), b"no number of a session"),
            (2, ("--initiator", "no name"), b"no iSCSI name"),
            (2, ("--snaplen", "2000000"), b"0 to 1048576")):
        ran = riser("trace", "--pcap", path, *words)
        equal(ran.returncode, status, f"status with {words}: {ran.stderr}")
        check(says in ran.stderr, f"said {ran.stderr}")
    with Trace("other.pcap") as trace:
        ran = riser("trace", "--pcap", path)
        equal(ran.returncode, 5, f"status of a second trace: {ran.stderr}")
        trace.finish()
    with open(path, "rb") as file:
        equal(file.read(), b"an old capture of great value", "the old capture")
    equal(riser("trace").returncode, 2, "status without --pcap")
    equal(riser("trace", "--pcap", "/nowhere/at.all").returncode, 1, "status without a folder")
    target.check_alive()


@case("a reader that goes away ends a trace to standard output, which says so")
def reader_gone(target):
    conn = target.login(security=True, chap=chap())
    with subprocess.Popen([RISER, "--control", CONTROL, "trace", "--pcap", "-"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as trace:
        equal(len(trace.stdout.read(24)), 24, "the head of a capture")
        trace.stdout.close()
        conn.ready()
        said = trace.stderr.read()
        equal(trace.wait(15), 1, f"exit status, stderr {said!r}")
    equal(said, b"riser: standard output: Broken pipe\n", "what it says")


@case("a client that is killed ends its trace, riserd goes on")
def killed(target):
    conn = target.login(security=True, chap=chap())
    with Trace("killed.pcap") as trace:
        trace.process.kill()
        trace.process.wait()
    end = time.monotonic() + 15
    while True:  # riserd hears of it soon
        ran = riser("--json", "trace", "--pcap", "/dev/null", "--seconds", "0.01")
        if ran.returncode == 0:
            break
        check(time.monotonic() < end, f"traces can still not begin: {ran.stderr}{ran.stdout}")
    conn.ready()


@case("riserd ends under a trace: what there was is kept")
def daemon_ends(target):
    port = target.address[1]
    conn = target.login(security=True, chap=chap())
    with Trace("ends.pcap") as trace:
        conn.ready()
        target.close_connections()
        target.stop()
        target.start()
        told = trace.finish(status=7, sig=None)
        check("error" in told, f"said {told}")
    check(0x01 in opcodes(tshark(trace.path, port)), "the command is not there")


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


if not shutil.which("tshark"):
    skip("tshark is not installed")
ACCOUNT = f"alice:{secret_file(SECRET)}"
main(Target("--control", CONTROL, "--cpus", "0,1", "--chap", ACCOUNT, "--chap-mutual",
            f"riser:{secret_file(MUTUAL)}", innocent=None))
