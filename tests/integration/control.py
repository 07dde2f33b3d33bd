#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The control socket as clients see it: what is asked, what is refused and how, events of sessions that
come and go, sessions that an operator ends; and clients that are malformed, huge, slow or rude."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from control import Control
from initiator import Chap, Initiator, LoginRefused
from tap import case, check, equal, main
from target import Target

TMP, SRC = os.environ["TMPDIR"], os.environ["SRC"]
OTHER = "iqn.2026-11.test:other"
SECRET = "a secret of 20 bytes"
PARSE, REQUEST, METHOD, PARAMS = -32700, -32600, -32601, -32602


def asking(function):
    def run(target):
        with Control(target.control) as client:
            function(target, client)
    return run


def session_of(client, initiator):
    return [s for s in client.call("session.list") if s["initiator"] == initiator]


@case("status tells what is served")
@asking
def status(target, client):
    got = client.call("status")
    equal((got["api"], got["pid"], got["targets"], got["luns"], got["portals"]),
          (1, target.process.pid, 1, 2, 1), "status")
    equal((got["health"], got["problems"]), ("ok", []), "health")
    check(got["started"].endswith("Z"), f"no UTC: {got['started']}")


@case("rpc.discover serves what docs/rpc.json has")
@asking
def discover(_, client):
    with open(os.path.join(SRC, "docs", "rpc.json"), encoding="utf-8") as file:
        kept = json.load(file)
    got = client.call("rpc.discover")
    equal([m["name"] for m in got["methods"]], [m["name"] for m in kept["methods"]],
          "names of methods; riserd's are written by tests/integration/control.py --write")
    equal(got, kept, "docs/rpc.json; it is written by tests/integration/control.py --write")
    with open(os.path.join(SRC, "docs", "riser-rpc.7"), encoding="utf-8") as file:
        manual = file.read()
    equal([m["name"] for m in got["methods"] if m["name"] not in manual], [],
          "methods that riser-rpc(7) does not name")


@case("every method without parameters answers, and its neighbours' names are found")
@asking
def every_method(_, client):
    for method in client.call("rpc.discover")["methods"]:
        needed = [p["name"] for p in method["params"] if p["required"]]
        if needed:
            error = client.refused(method["name"])
            equal((error.code, error.data["exit"]), (PARAMS, 2), method["name"])
        error = client.refused(method["name"] + "x")
        equal(error.code, METHOD, method["name"] + "x")
        check(method["name"] in error.message, error.message)
        error = client.refused(method["name"], no_such_parameter=1)
        equal(error.code, PARAMS, f"{method['name']} with an unknown parameter")


@case("lists name portals, targets and LUNs")
@asking
def lists(target, client):
    portals = client.call("portal.list")
    equal([p["address"] for p in portals], ["%s:%d" % target.address], "portals")
    equal(portals[0]["active"], ["tcp"], "its transports")
    one, = client.call("target.list")
    equal((one["name"], one["source"], one["allow"]), (target.iqn, "command-line", ["any"]),
          "target")
    equal(client.call("target.show", target=target.iqn.upper()), {**one, "initiators": []},
          "target.show")
    luns = client.call("lun.list", target=target.iqn)
    equal([(lun["lun"], lun["kind"], lun["size"]) for lun in luns],
          [(0, "ram", 64 << 20), (1, "ram", 16 << 20)], "LUNs")
    error = client.refused("lun.list", target=OTHER)
    equal((error.code, error.data["name"], error.data["object"]), (-32003, "not-found", OTHER),
          "error")


@case("a session is listed with its connection, counters and user, and ends by session.kick")
@asking
def sessions(target, client):
    client.call("events.subscribe")
    initiator = Initiator(target.address, target.iqn, name="iqn.2026-11.test:kicked", lun=0)
    initiator.login()
    initiator.clear_unit_attention()
    initiator.read(0, 8)
    login = client.event("login")
    equal((login["initiator"], login["target"]), ("iqn.2026-11.test:kicked", target.iqn), "login")
    one, = session_of(client, "iqn.2026-11.test:kicked")
    equal((one["target"], one["transport"], one["type"]), (target.iqn, "tcp", "normal"), "session")
    equal(one["stats"]["read_bytes"], 4096, "bytes read")
    equal([c["peer"] for c in one["connections"]], [one["from"]], "connections")
    equal(client.call("session.show", session=one["id"])["tsih"], one["tsih"], "session.show")
    by_name = [i for i in client.call("initiator.list") if i["initiator"] == one["initiator"]]
    equal([(i["sessions"], i["target"]) for i in by_name], [(1, target.iqn)], "initiator.list")
    equal(client.call("session.kick", session=one["id"], dry_run=True)["sessions"], [one["id"]],
          "what would go")
    equal(len(session_of(client, one["initiator"])), 1, "sessions after a dry run")
    equal(client.call("session.kick", initiator=one["initiator"])["sessions"], [one["id"]], "gone")
    equal(client.event("logout")["reason"], "kicked", "reason")
    initiator.close()
    error = client.refused("session.show", session="65535")
    equal(error.data["exit"], 3, "a session that there is not")
    equal(client.refused("session.show", session="x1").code, -32002, "no number")
    equal(client.refused("session.kick").code, -32002, "kick of nobody")


@case("logins that fail are events with their reasons")
@asking
def login_failures(target, client):
    client.call("events.subscribe", types=["login-failed"])
    for name, chap, reason in (("iqn.2026-11.test:stranger", None, "target-not-found"),):
        initiator = Initiator(target.address, "iqn.2026-11.test:nowhere", name=name)
        try:
            initiator.login(chap=chap)
        except LoginRefused:
            pass
        initiator.close()
        event = client.event("login-failed")
        equal((event["reason"], event["initiator"], event["target"]),
              (reason, name, "iqn.2026-11.test:nowhere"), "event")
        check(event["text"] and event["from"], f"no text, or nobody: {event}")
    listed = client.call("events.list", since=event["seq"] - 1)
    equal(listed[0], event, "events.list")
    error = client.refused("events.subscribe", types=["logn"])
    check("login" in error.message, error.message)


@case("a connection that is lost and a reset are events")
@asking
def losses(target, client):
    client.call("events.subscribe")
    initiator = Initiator(target.address, target.iqn, name="iqn.2026-11.test:lost", lun=0)
    initiator.login()
    initiator.tmf(5, lun=0)
    reset = client.event("reset")
    equal((reset["lun"], reset["reason"]), (0, "lun-reset"), "reset")
    initiator.close()
    equal(client.event("session-lost")["initiator"], "iqn.2026-11.test:lost", "lost")


@case("reservations are listed and cleared")
@asking
def reservations(target, client):
    one = Initiator(target.address, target.iqn, name="iqn.2026-11.test:one", lun=0)
    two = Initiator(target.address, target.iqn, name="iqn.2026-11.test:two", lun=0)
    for initiator in (one, two):
        initiator.login()
        initiator.clear_unit_attention()
    key = (0xabcd).to_bytes(8, "big")
    for action, data in ((6, bytes(8) + key + bytes(8)), (1, key + bytes(16))):
        one.scsi(bytes([0x5f, action, 1, 0, 0, 0, 0, 0, 24, 0]), write=24, data=data).good()
    listed, = client.call("reservation.list", target=target.iqn)
    equal((listed["lun"], listed["type"], listed["holder"]),
          (0, "write-exclusive", "iqn.2026-11.test:one"), "reservation")
    equal([r["key"] for r in listed["registrations"]], ["0x000000000000abcd"], "registrations")
    cleared = client.call("reservation.clear", target=target.iqn, lun=0)
    equal(cleared["cleared"]["holder"], "iqn.2026-11.test:one", "what was cleared")
    equal(client.call("reservation.list"), [], "what is left")
    one.ready().condition((6, 0x2a, 0x03))
    one.ready().good()
    equal(client.refused("reservation.clear", target=target.iqn, lun=0).code, -32003, "twice")
    equal(client.refused("reservation.clear", target=target.iqn, lun=99).code, -32003, "no LUN")
    one.close()
    two.close()


@case("access states of portal groups change, and initiators hear of it")
@asking
def alua(target, client):
    client.call("events.subscribe", types=["path"])
    group, = client.call("alua.list", target=target.iqn)
    equal((group["tag"], group["access"]), (1, "optimized"), "group")
    error = client.refused("alua.set", target=target.iqn, tag=1, access="standy")
    check("standby" in error.message, error.message)
    for dry_run in (False, True):
        equal(client.refused("alua.set", target=target.iqn, tag=7, access="standby",
                             dry_run=dry_run).code, -32003, "tag")
    client.call("alua.set", target=target.iqn, tag=1, access="non-optimized")
    equal(client.call("alua.list")[0]["access"], "non-optimized", "access")
    equal(client.event("path")["reason"], "non-optimized", "event")
    client.call("alua.set", target=target.iqn, tag=1, access="optimized")
    target.innocent.clear_unit_attention(target.innocent_lun)


@case("the level of the log changes")
@asking
def log(_, client):
    equal(client.call("log.get"), {"level": "info"}, "at first")
    equal(client.call("log.set", level="debug"), {"level": "debug"}, "then")
    equal(client.call("log.set", level="error", dry_run=True), {"level": "debug"}, "dry")
    client.call("log.set", level="info")
    equal(client.refused("log.set", level="loud").code, -32002, "no level")


MALFORMED = (
    ("no JSON", b"hello\n", PARSE),
    ("an open brace", b"{\n", PARSE),
    ("a byte of zero", b"{\"a\":\0}\n", PARSE),
    ("no UTF-8", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}\n", PARSE),
    ("a key twice", b'{"jsonrpc":"2.0","id":1,"id":2,"method":"status"}\n', PARSE),
    ("depth", b"[" * 100000 + b"\n", PARSE),
    ("a number", b"1\n", REQUEST),
    ("an empty batch", b"[]\n", REQUEST),
    ("no version", b'{"id":1,"method":"status"}\n', REQUEST),
    ("an object as id", b'{"jsonrpc":"2.0","id":{},"method":"status"}\n', REQUEST),
    ("no method", b'{"jsonrpc":"2.0","id":1}\n', REQUEST),
    ("parameters by position",
     b'{"jsonrpc":"2.0","id":1,"method":"lun.list","params":[1]}\n', REQUEST),
    ("a wrong type",
     b'{"jsonrpc":"2.0","id":1,"method":"lun.list","params":{"target":1}}\n', PARAMS),
)


@case("{} is answered with an error, and the client goes on", rows=MALFORMED)
def malformed(target, text, code):
    with Control(target.control) as client:
        client.send(text)
        got = client.line()
        equal(got["error"]["code"], code, "code")
        check(got["error"]["message"] and got["error"]["data"]["name"], f"says nothing: {got}")
        client.call("status")


@case("a batch is answered in its order, and notifications not at all")
@asking
def batch(_, client):
    client.send(json.dumps([
        {"jsonrpc": "2.0", "id": "a", "method": "log.get"},
        {"jsonrpc": "2.0", "method": "log.get"},
        {"jsonrpc": "2.0", "id": "b", "method": "alua.set", "params":
         {"target": OTHER, "tag": 1, "access": "standby"}},
        7,
        {"jsonrpc": "2.0", "id": None, "method": "nothing.here"}]))
    got = client.line()
    equal([g["id"] for g in got], ["a", "b", None, None], "ids")
    equal([g.get("error", {}).get("code") for g in got], [None, -32003, REQUEST, METHOD], "codes")
    client.send(json.dumps([{"jsonrpc": "2.0", "method": "status"}]))
    client.send(json.dumps([{"jsonrpc": "2.0", "id": 1, "method": "log.get"}] * 257))
    equal(client.line()["error"]["code"], REQUEST, "a batch of 257")


@case("many requests in one piece are answered one by one")
@asking
def pipelined(_, client):
    client.send(b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"log.get"}\r\n\n' % i
                         for i in range(1000)))
    equal([client.line()["id"] for i in range(1000)], list(range(1000)), "ids")


@case("a line of 4 MiB is read, a longer one refused, and the client is left")
@asking
def huge(target, client):
    text = b'{"jsonrpc":"2.0","id":1,"method":"log.get"%s}\n'
    client.send(text % (b" " * ((4 << 20) - len(text))))
    equal(client.line()["result"], {"level": "info"}, "a long one")
    try:
        client.send(b" " * (5 << 20))
    except (BrokenPipeError, ConnectionResetError):
        pass
    equal(client.line()["error"]["code"], REQUEST, "a longer one")
    equal(client.line(), None, "and then")
    with Control(target.control) as other:
        other.send(b"[" + b"1," * 600000 + b"1]\n")
        equal(other.line()["error"]["code"], REQUEST, "too many values")


@case("a client that reads nothing holds up nobody")
@asking
def deaf(_, client):
    request = b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}\n'
    client.socket.setblocking(False)
    try:
        while True:
            client.socket.send(request * 64)
    except BlockingIOError:
        pass
    with Control(client.socket.getpeername()) as other:
        other.call("status")


@case("sixty-four clients are served, and the next one is told so")
def crowd(target):
    clients, refused = [], 0
    try:
        for _ in range(66):
            clients.append(Control(target.control))
            clients[-1].send('{"jsonrpc":"2.0","id":1,"method":"log.get"}')
        for client in clients:
            refused += "error" in client.line()
        check(1 <= refused <= 4, f"{refused} of 66 were refused")
    finally:
        for client in clients:
            client.close()
    with Control(target.control) as client:
        client.call("status")


@case("who has closed his half still gets the answer")
@asking
def half_closed(_, client):
    client.send('{"jsonrpc":"2.0","id":1,"method":"status"}')
    client.socket.shutdown(socket.SHUT_WR)
    equal(client.line()["id"], 1, "id")
    equal(client.line(), None, "and then")


@case("clients that vanish in the middle leave nothing behind")
def rude(target):
    for text in (b"", b"{", b'{"jsonrpc":"2.0","id":1,"method":"target.list"}\n' * 50,
                 b'{"jsonrpc":"2.0","id":1,"method":"reservation.clear","params":'
                 b'{"target":"iqn.a:b","lun":0}}\n' * 50):
        client = Control(target.control)
        client.send(text)
        client.close()
    with Control(target.control) as client:
        client.call("status")


@case("another user may not use the socket")
def stranger(target):
    if os.geteuid():
        return  # who is not root cannot be somebody else
    os.chmod(TMP, os.stat(TMP).st_mode | stat.S_IXOTH)
    done = subprocess.run(["/usr/bin/python3", "-c", AS_OTHER, target.control, "log.get"],
                          check=False, timeout=15, user=65534, group=65534, extra_groups=[],
                          capture_output=True)
    if b"PermissionError" in done.stderr:
        return  # a folder above is closed to it
    equal(json.loads(done.stdout.splitlines()[0])["error"]["data"]["name"], "permission", "error")


@case("a second daemon does not take the socket, and one that was left behind is replaced")
def taken(target):
    done = subprocess.run([os.environ["RISERD"], "--control", target.control, "-p", "127.0.0.1:0",
                           "ram:4M"], check=False, timeout=15, capture_output=True)
    equal(done.returncode, 1, "status of the second")
    check(b"another riserd" in done.stderr, done.stderr)
    left = os.path.join(TMP, "left.sock")
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(left)
    with Target("--control", left, innocent=None) as other:
        other.control = left
        with Control(left) as client:
            client.call("status")
    check(not os.path.exists(left), "it is still there after the stop")


@case("a start that fails after the socket is there takes it away, too")
def failed_start(_):
    conf, left = os.path.join(TMP, "fails.conf"), os.path.join(TMP, "fails.sock")
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        with open(conf, "w", encoding="ascii") as file:
            file.write("portal 127.0.0.1:0 { }\n"
                       f"metrics {{ listen = \"127.0.0.1:{occupied.getsockname()[1]}\" }}\n"
                       "target iqn.2026-11.test:one { lun 0 { path = ram:4M } }\n")
        done = subprocess.run([os.environ["RISERD"], "-c", conf, "--control", left],
                              check=False, timeout=15, capture_output=True)
    equal(done.returncode, 1, f"status, after {done.stderr}")
    check(not os.path.exists(left), "the socket is still there")


AS_OTHER = """
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("r")
for method in sys.argv[2:]:
    if method == "wait":
        print("waits", flush=True)
        sys.stdin.readline()
        continue
    params = {"level": "info"} if method == "log.set" else {}
    try:
        s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method,
                              "params": params}).encode() + b"\\n")
    except BrokenPipeError:
        pass  # it says why, nevertheless
    print(f.readline(), end="", flush=True)
"""


def name_of(line):
    return json.loads(line).get("error", {}).get("data", {}).get("name", "ok")


@case("members of group look, members of admin-group do, by the file that was read last")
def groups(_):
    if os.geteuid():
        return  # who is not root cannot be in another group
    conf = os.path.join(TMP, "groups.conf")

    def configure(keys):
        with open(conf, "w", encoding="ascii") as file:
            file.write(f"control {{ {keys} }}\nportal 127.0.0.1:0 {{ }}\n"
                       "target iqn.2026-11.test:one { lun 0 { path = ram:4M } }\n")

    def ask(path):
        done = subprocess.run(["/usr/bin/python3", "-c", AS_OTHER, path, "log.get", "log.set"],
                              check=False, timeout=15, user=65534, group=65534, extra_groups=[1],
                              capture_output=True)
        return [name_of(line) for line in done.stdout.splitlines() if line], done.stderr

    configure("group = daemon")
    with Target("-c", conf, disks=(), portals=(), innocent=None) as other:
        got, words = ask(other.control)
        if b"PermissionError" in words:
            return  # a folder above is closed to it
        equal(got, ["ok", "permission"], "as a member of group")
        with Control(other.control) as client:
            client.call("events.subscribe", types=["reload"])
            configure("admin-group = daemon")
            os.kill(other.process.pid, signal.SIGHUP)
            equal(client.event("reload")["reason"], "applied", "reload")
            equal(ask(other.control)[0], ["ok", "ok"], "as a member of admin-group")
            with subprocess.Popen(["/usr/bin/python3", "-c", AS_OTHER, other.control, "log.set",
                                   "wait", "log.set", "log.get", "wait", "log.get"], text=True,
                                  user=65534, group=65534, extra_groups=[1],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE) as open_still:
                names = []
                for keys in ("group = daemon", ""):
                    while (line := open_still.stdout.readline()) not in ("", "waits\n"):
                        names.append(name_of(line))
                    configure(keys)
                    os.kill(other.process.pid, signal.SIGHUP)
                    equal(client.event("reload")["reason"], "applied", "reload")
                    open_still.stdin.write("\n")
                    open_still.stdin.flush()
                names += [name_of(line) for line in open_still.stdout]
            equal(names, ["ok", "permission", "ok", "permission"],
                  "as one who was in the group when he came")
            configure("socket = /tmp/elsewhere.sock")
            os.kill(other.process.pid, signal.SIGHUP)
            equal(client.event("reload")["reason"], "refused", "another socket")
            check("restart" in client.call("status")["last_reload"]["message"], "says no way out")


@case("it answers while a disk hangs, and the session that waits can be ended by force")
def hanging(_):
    other = Target(disks=("ram:4M,fault=read:hang",), innocent=None)
    other.start()
    try:
        ask_hanging(other)
    finally:
        other.process.kill()  # it would wait for the disk
        other.process.wait()
        other.process.stdout.close()
        os.unlink(other.control)


def ask_hanging(other):
    initiator = Initiator(other.address, other.iqn, lun=0)
    initiator.login()
    initiator.clear_unit_attention()
    initiator.send(initiator.command_pdu(bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]), read=512))
    with Control(other.control) as client:
        client.call("events.subscribe", types=["logout"])
        end = time.monotonic() + 10
        while not client.call("session.list")[0]["outstanding"]:
            check(time.monotonic() < end, "the command is not in progress")
        for method in ("status", "lun.list", "target.list", "reservation.list", "alua.list"):
            client.call(method)
        error = client.refused("session.kick", target=other.iqn)
        equal((error.data["name"], error.data["exit"]), ("busy", 5), "without force")
        equal(len(client.call("session.kick", target=other.iqn, force=True)["sessions"]), 1,
              "by force")
        equal(client.event("logout")["reason"], "kicked", "event")
        check(client.call("session.list")[0]["ending"], "it does not say that it waits")
        equal(client.refused("session.kick", target=other.iqn).code, -32003, "once more")
    initiator.close()


def write_document():
    with Target(innocent=None) as target, Control(target.control) as client:
        with open(os.path.join(SRC, "docs", "rpc.json"), "w", encoding="utf-8") as file:
            json.dump(client.call("rpc.discover"), file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    if "--write" in sys.argv:
        write_document()
    else:
        main(Target())
