# SPDX-License-Identifier: BSD-2-Clause
"""A client of riserd's control socket: JSON-RPC 2.0, one text per line."""

import json
import select
import socket
import time

from tap import Failure, check

DEADLINE = 15


class RpcError(Failure):
    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['message']}")
        self.code, self.message, self.data = error["code"], error["message"], error["data"]


class Control:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(path)
        self.input = b""
        self.id = 0
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode() + b"\n")

    def line(self, deadline=DEADLINE):
        """The next line as JSON; None: the daemon has closed the socket."""
        end = time.monotonic() + deadline
        while b"\n" not in self.input:
            readable, _, _ = select.select([self.socket], [], [], max(0, end - time.monotonic()))
            check(readable, f"no line within {deadline} s")
            try:
                got = self.socket.recv(1 << 20)
            except ConnectionResetError:
                got = b""
            if not got:
                return None
            self.input += got
        line, self.input = self.input.split(b"\n", 1)
        return json.loads(line)

    def reply(self):
        """The next line that is no notification; those are kept in `events`."""
        while True:
            got = self.line()
            if not isinstance(got, dict) or "method" not in got:
                return got
            self.events.append(got["params"])

    def call(self, method, **params):
        self.id += 1
        request = {"jsonrpc": "2.0", "id": self.id, "method": method}
        if params:
            request["params"] = params
        self.send(json.dumps(request))
        got = self.reply()
        check(got is not None, f"{method}: the socket was closed")
        check(got.get("id") == self.id, f"{method}: an answer to something else: {got}")
        if "error" in got:
            raise RpcError(got["error"])
        return got["result"]

    def refused(self, method, **params):
        """The error that the call ends with."""
        try:
            result = self.call(method, **params)
        except RpcError as error:
            return error
        raise Failure(f"{method} {params} was not refused: {result}")

    def event(self, kind, deadline=DEADLINE):
        """The next event of this type; others before it are dropped."""
        end = time.monotonic() + deadline
        while True:
            while self.events:
                event = self.events.pop(0)
                if event.get("type") == kind:
                    return event
            got = self.line(max(0.01, end - time.monotonic()))
            check(got is not None, "the socket was closed")
            self.events.append(got["params"])
