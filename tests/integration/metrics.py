#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The HTTP server: /metrics tells what initiators have done, in a form that Prometheus reads, the manual
and the dashboard name what is there, and nobody who speaks HTTP badly does any harm."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from initiator import Initiator, LoginRefused, pattern
from tap import case, check, equal, main
from target import Target

TMP, SRC = os.environ["TMPDIR"], os.environ.get("SRC", ".")
FILE, DISK = (os.path.join(TMP, name) for name in ("riser.conf", "disk.img"))
IQN, OTHER = "iqn.2026-11.test:one", "iqn.2026-11.test:two"
CONFIG = f"""
metrics {{ listen = "127.0.0.1:0" }}
portal 127.0.0.1:0 {{ }}
target {IQN} {{
    lun 0 {{ path = "ram:8M" }}
    lun 1 {{ path = "{DISK}" }}
    lun 2 {{ path = "ram:8M" fault = "read:delay=1500ms" }}
}}
target {OTHER} {{
    allow = iqn.2026-11.test:nobody
    lun 0 {{ path = "null:1G" }}
}}
"""
SAMPLE = re.compile(r'(riser_\w+)(?:\{((?:\w+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
FRESH_S = 0.3  # an answer is made anew after that
PAGE = re.compile(r"status page: (http://\S+)")


class Watched(Target):
    def start(self):
        super().start()
        told = [PAGE.search(line) for line in self.stderr_lines()]
        self.page = next(match.group(1) for match in told if match)


def get(target, path, status=200, **headers):
    request = urllib.request.Request(target.page + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            equal(answer.status, status, f"status of /{path}")
            return answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        equal(error.code, status, f"status of /{path}")
        return error.read().decode(), error.headers


class Metrics:
    """What /metrics says, checked against the rules of the format."""

    def __init__(self, target):
        time.sleep(FRESH_S)
        text, headers = get(target, "metrics")
        check(headers["Content-Type"].startswith("text/plain; version=0.0.4"),
              headers["Content-Type"])
        self.samples, self.types, self.helped = {}, {}, set()
        for line in text.splitlines():
            if line.startswith("# HELP "):
                self.helped.add(line.split()[2])
            elif line.startswith("# TYPE "):
                name, kind = line.split()[2:]
                check(name not in self.types, f"{name} is there twice")
                self.types[name] = kind
                self.current = name
            else:
                self.add(line)
        equal(self.helped, set(self.types), "names with help and with a type")
        self.check_histograms()

    def add(self, line):
        match = SAMPLE.match(line)
        check(match, f"no sample: {line!r}")
        name, labels, value = match.groups()
        family = name
        if self.types[self.current] == "histogram":
            family = re.sub("_(bucket|sum|count)$", "", name)
        equal(family, self.current, "samples of a name stand together")
        key = (name, frozenset(LABEL.findall(labels or "")))
        check(key not in self.samples, f"{line!r} is there twice")
        self.samples[key] = float(value)

    def check_histograms(self):
        buckets = {}
        for (name, labels), value in self.samples.items():
            if name.endswith("_bucket"):
                rest = frozenset(label for label in labels if label[0] != "le")
                end = float(dict(labels)["le"])
                buckets.setdefault((name[:-len("_bucket")], rest), []).append((end, value))
        for (name, labels), ends in buckets.items():
            ends.sort()
            values = [value for _, value in ends]
            equal(values, sorted(values), f"{name}: buckets count all below")
            equal(ends[-1][0], float("inf"), f"{name}: the last bucket")
            equal(self.samples[name + "_count", labels], values[-1], f"{name}: count")

    def sum(self, name, **labels):
        """Of all samples that have these labels."""
        wanted = set(labels.items())
        found = [v for (n, have), v in self.samples.items() if n == name and wanted <= have]
        check(found, f"no {name} with {labels}")
        return sum(found)

    def grown(self, before, name, **labels):
        try:
            old = before.sum(name, **labels)
        except AssertionError:
            old = 0
        return self.sum(name, **labels) - old


def log_in(target, iqn=IQN, name=None):
    conn = Initiator(target.address, iqn, **({"name": name} if name else {}))
    target.connections.append(conn)
    conn.login()
    return conn


def session(target):
    conn = log_in(target)
    for lun in range(3):
        conn.clear_unit_attention(lun)
    return conn


@case("reads and writes are counted by LUN, session and transport, with their bytes and latencies")
def counts(target):
    conn = session(target)
    before = Metrics(target)
    for i in range(10):
        conn.write(8 * i, pattern(8, i), 0).good()
        conn.read(8 * i, 8, 0)
    conn.read(0, 8, 1)
    now = Metrics(target)
    for op, name in (("read", "read_bytes"), ("write", "write_bytes")):
        equal(now.grown(before, "riser_lun_operations_total", target=IQN, lun="0", op=op), 10, op)
        equal(now.grown(before, "riser_lun_bytes_total", target=IQN, lun="0", direction=op), 40960,
              name)
        for stage in ("total", "transport", "queue", "backstore"):
            equal(now.grown(before, "riser_lun_latency_seconds_count", target=IQN, lun="0", op=op,
                            stage=stage), 10, f"latencies of {op}, {stage}")
    equal(now.grown(before, "riser_lun_operations_total", lun="1", op="read"), 1, "LUN 1")
    equal(now.grown(before, "riser_session_bytes_total", initiator=conn.name, direction="read"),
          45056, "bytes of the session")
    equal(now.grown(before, "riser_transport_bytes_total", transport="tcp", direction="write"),
          40960, "bytes over TCP")
    equal(now.sum("riser_sessions", target=IQN, transport="tcp"), 2, "sessions, with the innocent one")
    equal(now.sum("riser_lun_queue", target=IQN), 0, "nothing is under way")
    equal(now.sum("riser_lun_size_bytes", target=IQN, lun="0"), 8 << 20, "size")
    equal(now.sum("riser_lun_healthy"), 4, "healthy LUNs")
    check(now.sum("riser_reactor_busy_seconds_total") > 0, "the reactors had something to do")


@case("a disk that takes its time: its LUN has a queue, then the stage of the backstore has the time")
def stages(target):
    conn = session(target)
    before = Metrics(target)
    command = conn.command_pdu(bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]), lun=2, read=512)
    conn.send(command)
    equal(Metrics(target).sum("riser_lun_queue", lun="2"), 1, "commands under way")
    conn.complete(command).good()
    now = Metrics(target)

    def spent(stage):
        return now.grown(before, "riser_lun_latency_seconds_sum", lun="2", op="read", stage=stage)
    check(spent("backstore") >= 1.4, f"{spent('backstore')} s at the disk")
    check(spent("total") >= spent("backstore"), "in all it is not less")
    parts = sum(spent(stage) for stage in ("backstore", "queue", "transport"))
    check(abs(parts - spent("total")) < 1e-6, f"the parts are {parts}, all is {spent('total')}")


@case("logins that fail are counted by their reason, CHECK CONDITIONs by sense key, functions by name")
def errors(target):
    before = Metrics(target)
    for iqn in (OTHER, "iqn.2026-11.test:missing"):
        try:
            log_in(target, iqn)
            check(False, f"{iqn} lets us in")
        except LoginRefused:
            pass
    conn = session(target)
    conn.scsi(bytes([0xff] + 9 * [0]))
    conn.tmf(5, lun=0)  # LOGICAL UNIT RESET
    now = Metrics(target)
    for reason, count in (("not-allowed", 1), ("target-not-found", 1), ("authentication-failed", 0)):
        equal(now.grown(before, "riser_login_failures_total", reason=reason), count, reason)
    equal(now.grown(before, "riser_logins_total"), 1, "logins")
    equal(now.grown(before, "riser_sense_total", key="illegal-request"), 1, "illegal request")
    equal(now.grown(before, "riser_sense_total", key="unit-attention"), 3, "unit attention")
    equal(now.grown(before, "riser_task_management_total", function="lun-reset"), 1, "reset")
    conn.clear_unit_attention(0)
    target.innocent.clear_unit_attention(0)


@case("the socket of riser tells the same numbers")
def same_numbers(target):
    conn = session(target)
    conn.read(0, 8, 0)
    now = Metrics(target)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(target.control)
        s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"stats.get"}\n'
                  b'{"jsonrpc":"2.0","id":2,"method":"latency.get","params":{"target":"%s","lun":0}}\n'
                  b'{"jsonrpc":"2.0","id":3,"method":"latency.get","params":{"lun":0}}\n'
                  b'{"jsonrpc":"2.0","id":4,"method":"latency.get",'
                  b'"params":{"target":"%s","lun":0,"reset":true}}\n'
                  b'{"jsonrpc":"2.0","id":5,"method":"latency.get","params":{"target":"%s","lun":0}}\n'
                  % (3 * (IQN.encode(),)))
        with s.makefile() as lines:
            stats, latency, usage, reset, again = (json.loads(lines.readline()) for _ in range(5))
    lun = next(l for l in stats["result"]["luns"] if (l["target"], l["lun"]) == (IQN, 0))
    equal(lun["reads"], now.sum("riser_lun_operations_total", target=IQN, lun="0", op="read"), "reads")
    equal(lun["latency"]["read"]["count"], lun["reads"], "latencies of reads")
    equal(sum(b["count"] for b in lun["latency"]["read"]["buckets"]), lun["reads"], "in buckets")
    total = latency["result"]["stages"]["total"]
    equal(total["count"], lun["commands"], "commands")
    check(total["p50_ns"] <= total["p99_ns"], f"{total}")
    equal(usage["error"]["data"]["name"], "usage", "a LUN without its target")
    equal(reset["result"]["stages"]["total"]["count"], total["count"], "before it begins again")
    equal(again["result"]["stages"]["total"]["count"], 0, "and then")


@case("riser-metrics(7) has every name, and no other; the dashboard asks for nothing else")
def documented(target):
    names = set(Metrics(target).types)
    with open(os.path.join(SRC, "docs", "riser-metrics.7"), encoding="utf-8") as file:
        manual = {name.removesuffix("_bucket") for name in re.findall(r"riser_[a-z_]+", file.read())}
    equal(sorted(manual - names), [], "only in the manual")
    equal(sorted(names - manual), [], "not in the manual")
    with open(os.path.join(SRC, "docs", "grafana.json"), encoding="utf-8") as file:
        board = json.load(file)
    asked = {re.sub("_(bucket|sum|count)$", "", name) for panel in board["panels"]
             for ask in panel.get("targets", ()) for name in re.findall(r"riser_\w+", ask["expr"])}
    equal(sorted(asked - names), [], "names that the dashboard asks for")
    check(len(asked) > 10, f"the dashboard asks for {asked} only")


@case("/healthz, /, status.json, and what is not there")
def paths(target):
    equal(get(target, "healthz")[0], "ok\n", "health")
    text, headers = get(target, "")
    check("<title>riser" in text and "default-src 'none'" in headers["Content-Security-Policy"],
          "the page")
    check(not re.search(r"""(src|href)=["']?(https?:)?//""", text), "it needs nobody else")
    state = json.loads(get(target, "status.json")[0])
    equal([t["name"] for t in state["targets"]], [IQN, OTHER], "targets")
    get(target, "etc/passwd", 404)
    get(target, "metrics", 403, Host="riser.attacker.example")
    get(target, "metrics", Host="localhost:9260")


def raw(target, data, seconds=2):
    """What comes back for bytes that are no request of a browser."""
    host, port = re.match(r"http://(.*):(\d+)/", target.page).groups()
    with socket.create_connection((host, int(port)), 10) as s:
        s.settimeout(seconds)
        answer = b""
        try:
            s.sendall(data)
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                answer += piece
        except (socket.timeout, ConnectionError):
            pass
        return answer


@case("who speaks HTTP badly gets an error or nothing, and others an answer meanwhile")
def hostile(target):
    equal(raw(target, b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                      b"Content-Length: 9\r\n\r\nreset=yes").split()[1], b"405", "POST")
    for text in (b"\0" * 4096, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000, b"GET /" + b"a" * 100000,
                 b"GET / HTTP/9.9\r\n\r\n", b"GET /%00%ff/../.. HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-1\r\n\r\n" * 50,
                 b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n"):
        raw(target, text, 0.3)
    host, port = re.match(r"http://(.*):(\d+)/", target.page).groups()
    slow = [socket.create_connection((host, int(port)), 10) for _ in range(20)]
    for s in slow:
        s.sendall(b"GET /metrics HTTP/1.1\r\n")
    equal(get(target, "healthz")[0], "ok\n", "health")
    for s in slow:
        s.close()
    session(target).read(0, 8, 0)


@case("listen in the configuration: what is wrong with it is said before anything starts")
def refused(target):
    host, port = re.match(r"http://(.*):(\d+)/", target.page).groups()
    taken = f"{host}:{port}"
    for listen, said in (("somewhere", "listen takes an IP address"),
                         ("127.0.0.1:70000", "listen takes an IP address"),
                         (taken, f"cannot listen on {taken}: Address already in use")):
        path = os.path.join(TMP, "wrong.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(CONFIG.replace("127.0.0.1:0\"", listen + "\"", 1).replace(DISK, DISK + "2"))
        done = subprocess.run([os.environ["RISERD"], "-c", path, "--control", path + ".sock"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
                              check=False)
        check(done.returncode != 0 and said in done.stderr, f"{listen}: {done.stderr}")


def reload(target, text, said):
    with open(FILE, "w", encoding="ascii") as file:
        file.write(text)
    before = len(target.stderr_lines())
    os.kill(target.process.pid, signal.SIGHUP)
    end = time.monotonic() + 15
    while not any(said in line for line in target.stderr_lines()[before:]):
        check(time.monotonic() < end, f"no '{said}': {target.stderr_lines()[before:]}")
        time.sleep(0.02)


@case("a reload that is refused shows, and one that is not; who comes and goes is counted with the rest")
def reloaded(target):
    target.innocent.events = []  # Asynchronous Messages are no surprise here
    reload(target, CONFIG.replace("127.0.0.1:0\"", "192.0.2.1:0\"", 1), "cannot listen on 192.0.2.1")
    equal(Metrics(target).sum("riser_config_last_reload_success"), 0, "a refused reload")
    more = CONFIG.replace('lun 2 {', 'lun 9 { path = "ram:4M" }\n    lun 2 {')
    reload(target, more, "serves what it says now")
    now = Metrics(target)
    equal(now.sum("riser_config_last_reload_success"), 1, "one that was applied")
    check(time.time() - now.sum("riser_config_last_reload_timestamp_seconds") < 60, "just now")
    equal((now.sum("riser_luns"), now.sum("riser_lun_size_bytes", lun="9")), (5, 4 << 20), "LUNs")
    reload(target, CONFIG, "serves what it says now")
    equal(Metrics(target).sum("riser_luns"), 4, "LUNs")
    target.innocent.clear_unit_attention(0)
    target.innocent.clear_unit_attention(1)


def prepare():
    for path in (DISK, DISK + "2"):
        with open(path, "wb") as file:
            file.truncate(8 << 20)
    with open(FILE, "w", encoding="ascii") as file:
        file.write(CONFIG)


prepare()
main(Watched("-c", FILE, disks=(), portals=()))
