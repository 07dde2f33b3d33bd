# SPDX-License-Identifier: BSD-2-Clause
"""The command `riser` as its users meet it, in pipes and on terminals, and a control socket that says
what the test wants: any riserd, also a hostile one."""

import json
import os
import pty
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time

from tap import check, equal

RISER = os.path.abspath(os.path.join(os.environ.get("BUILD", "build"), "riser"))
IQN = "iqn.2026-11.test:disk1"
OTHER = "iqn.2026-11.test:other"
HOST = "iqn.1993-08.org.debian:01:abc"
WAIT = 15


class Refuse(Exception):
    """An error object of the daemon; status is the exit status that goes with it."""

    def __init__(self, status, name, message, hint=None, code=None):
        super().__init__(message)
        self.error = {"code": -32000 - status if code is None else code, "message": message,
                      "data": {"name": name, "exit": status, "hint": hint}}


def lun(number, target=IQN, **more):
    return {"target": target, "lun": number, "path": "/dev/vg0/disk1", "kind": "block",
            "size": 10 << 30, "block_size": 512, "readonly": False, "serial": "S1", "naa": "3abc",
            "health": "ok", "source": "file", "options": {"direct": True},
            "stats": {"commands": 7}, **more}


def session(number, **more):
    return {"id": str(number), "target": IQN, "initiator": HOST, "isid": "00023d000001",
            "tsih": number, "user": "alice", "tag": 1, "from": "192.0.2.7", "transport": "tcp",
            "type": "normal", "since": "2026-11-22T00:00:00Z", "error_recovery_level": 0,
            "outstanding": 3,
            "connections": [{"cid": 0, "peer": "192.0.2.7:40000", "local": "192.0.2.1:3260",
                             "header_digest": True, "data_digest": False}],
            "stats": {"commands": 1000, "read_bytes": 5000000, "write_bytes": 0}, **more}


def target(name=IQN, **more):
    return {"name": name, "alias": "Disk 1", "luns": [lun(0, name)], "allow": [HOST],
            "users": ["alice"], "tags": [1], "redirect": None, "sessions": 1, "source": "file",
            **more}


class Counters:
    """stats.get, whose counters grow by the same each time."""

    def __init__(self):
        self.looks = 0

    def __call__(self, _):
        n = self.looks
        self.looks += 1
        buckets = [{"le_ns": 1 << 20, "count": 99 * n}, {"le_ns": 1 << 30, "count": n}]
        figures = {"commands": 5000 * n, "reads": 5000 * n, "read_bytes": 4096 * 5000 * n,
                   "writes": 0, "write_bytes": 0, "read_errors": 0, "write_errors": 0, "queue": 4}
        return {"time": "2026-11-22T00:00:00Z",
                "luns": [{"target": IQN, "lun": 0, **figures,
                          "latency": {"read": {"buckets": buckets}}},
                         {"target": OTHER, "lun": 1, **figures, "commands": 0, "read_bytes": 0}],
                "sessions": [{"id": "1", "target": IQN, "initiator": HOST, **figures}],
                "reactors": [{"index": 0, "cpu": 0, "busy_ratio": 0.25}],
                "transports": [{"name": "tcp", "connections": 1, "read_bytes": 1,
                                "write_bytes": 2, "bytes_copied": 3}],
                "buffers": {"size": 128 << 20, "in_use": 1536 << 10},
                "login_failures": {"not-allowed": 2}, "sense": {"5": 1},
                "task_management": {"abort-task": 1}}


def answers():
    """What a healthy daemon with two targets says; for tests to change."""
    return {
        "status": {"version": "0.1", "api": 1, "pid": 1, "started": "2026-11-22T00:00:00Z",
                   "uptime_s": 273600, "health": "ok", "problems": [], "targets": 2, "luns": 2,
                   "sessions": 1, "portals": 1, "reactors": [], "last_reload": None,
                   "log_level": "info"},
        "portal.list": [{"address": "192.0.2.1:3260", "transports": "all",
                         "active": ["tcp", "iser"], "tag": 1, "access": "optimized",
                         "preferred": False, "redirect": None, "source": "file"}],
        "target.list": [target(), target(OTHER, alias=None, luns=[lun(1, OTHER, health="no-size")],
                                         sessions=0)],
        "target.show": lambda p: target(p["target"]),
        "lun.list": lambda p: [lun(0)] if (p or {}).get("target") == IQN else [
            lun(0), lun(1, OTHER, health="no-size")],
        "session.list": [session(1)],
        "session.show": lambda p: session(int(p["session"])),
        "stats.get": Counters(),
    }


class Daemon:
    """Serves at `path`: `methods` has a result, or a function of the params, for each method; bytes are
    sent as they are. `heard` has the requests so far."""

    def __init__(self, methods):
        self.methods = methods
        self.heard = []
        self.clients = []
        self.folder = tempfile.mkdtemp(prefix="c-")
        self.path = os.path.join(self.folder, "control")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for conn in [self.listener, *self.clients]:
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            conn.close()
        shutil.rmtree(self.folder)

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.clients.append(conn)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        try:
            for line in conn.makefile("rb"):
                self._answer(conn, json.loads(line))
        except (OSError, ValueError):
            pass

    def _answer(self, conn, request):
        method, params = request["method"], request.get("params")
        self.heard.append((method, params))
        reply = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            if method not in self.methods:
                raise Refuse(1, "failed", f"there is no method {method}", code=-32601)
            result = self.methods[method]
            reply["result"] = result(params) if callable(result) else result
        except Refuse as error:
            reply["error"] = error.error
        raw = reply.get("result")
        conn.sendall(raw if isinstance(raw, bytes) else json.dumps(reply).encode() + b"\n")

    def notify(self, method, params):
        text = json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode() + b"\n"
        for conn in self.clients:
            try:
                conn.sendall(text)
            except OSError:
                pass

    def wait_heard(self, method):
        end = time.monotonic() + WAIT
        while not any(name == method for name, _ in list(self.heard)):
            check(time.monotonic() < end, f"nobody called {method}")
            time.sleep(0.01)

    def run(self, *words, status=0, text="", env=None):
        """One command to its end: what it prints."""
        return run("--control", self.path, *words, status=status, text=text, env=env)

    def refused(self, status, *words):
        """What a command that must fail says."""
        done = execute("--control", self.path, *words)
        equal((done.returncode, done.stdout), (status, ""), f"riser {' '.join(words)}: {done.stderr}")
        return done.stderr


def execute(*words, text="", env=None):
    return subprocess.run([RISER, *words], input=text, capture_output=True, encoding="utf-8",
                          timeout=60, check=False,
                          env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})})


def run(*words, status=0, text="", env=None):
    done = execute(*words, text=text, env=env)
    equal(done.returncode, status, f"riser {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def contains(text, *words):
    for word in words:
        check(word in text, f"no {word!r} in: {text}")


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *command, env=None):
        pid, self.fd = pty.fork()
        if not pid:
            try:
                os.environ.pop("NO_COLOR", None)
                os.environ.update({"TERM": "xterm", "LC_ALL": "C.UTF-8", **(env or {})})
                os.execvp(command[0], command)
            finally:
                os._exit(127)
        self.pid = pid
        self.said = ""

    def until(self, word):
        """What it prints in front of `word`."""
        end = time.monotonic() + WAIT
        while word not in self.said:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            check(ready, f"no {word!r} in {self.said!r}")
            try:
                self.said += os.read(self.fd, 65536).decode("utf-8", "replace")
            except OSError:
                check(word in self.said, f"ended without {word!r}: {self.said!r}")
        before, _, self.said = self.said.partition(word)
        return before

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """Its exit status, when it has said all."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            ready, _, _ = select.select([self.fd], [], [], 0.1)
            try:
                if ready and not os.read(self.fd, 65536):
                    break
            except OSError:
                break
        os.close(self.fd)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def main(cases):
    """Runs functions, each a case named by its documentation, and prints TAP."""
    failed = 0
    for number, case in enumerate(cases, 1):
        name = " ".join(case.__doc__.split())
        try:
            case()
            print(f"ok {number} - {name}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {number} - {name}")
            for line in f"{type(error).__name__}: {error}".splitlines():
                print(f"# {line}")
    print(f"1..{len(cases)}")
    raise SystemExit(1 if failed else 0)
