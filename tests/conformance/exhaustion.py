# SPDX-License-Identifier: BSD-2-Clause
"""Resource exhaustion, rows X1 to X9: floods and slow peers on loopback, bounded in time and
number, and beside each of them a bystander whose verified I/O goes on and whose p99 latency
stays within twice the undisturbed one (the rule stands in tests/lib/bystander.py). The bytes
that the target writes to its log and the memory that it takes are counted."""

import os
import random
import resource
import select
import socket
import time

from arena import MIB, arena, attacked
from bystander import Attacks, sources, unhurt
from conn import Closed, Late
from initiator import BLOCK, LoginRefused, pattern, read10, write10
from iscsi import GOOD, R2T, REJECT, TEXT_RESPONSE, Pdu
from suite import Skip, case
from tap import check, equal

GROUP = "exhaustion"
NEEDS = "open, framing"

# PERSISTENT RESERVE OUT
REGISTER, RESERVE, RELEASE, CLEAR, REGISTER_AND_IGNORE = 0, 1, 2, 3, 6
WRITE_EXCLUSIVE = 1
NO_ROOM = (5, 0x55, 4)  # INSUFFICIENT REGISTRATION RESOURCES


# Attackers. Each runs in a process of its own until step() says that it is over.

def paced(control, rate):
    """Yields once per blow, `rate` of them a second, until the end."""
    begin, count = time.monotonic(), 0
    while control.step(1 if count else 0):
        yield count
        count += 1
        ahead = begin + count / rate - time.monotonic()
        if ahead > 0.002:
            time.sleep(ahead)


def half_open(control, place, number, count, rate, bytes_sent=b""):
    """TCP connections that say nothing, or the beginning of something; kept to the end."""
    source = sources(place.address, number)
    kept = []
    for _ in paced(control, rate):
        kept.append(socket.create_connection(place.address, 5, (source, 0) if source else None))
        if bytes_sent:
            kept[-1].send(bytes_sent)
        if len(kept) == count:
            break
    control.step()
    while control.step(0):
        time.sleep(0.01)
    for sock in kept:
        sock.close()


def login_flood(control, place, number, rate, same=False, leave=False):
    """Logins with valid names; `same`: all of one ISID, each takes the place of the one
    before; `leave`: with the connection open, up to some."""
    isid = bytes([0x80, 0, 0, 0, number, 0])
    kept = []
    for at in paced(control, rate):
        conn = place.initiator(isid=isid if same else isid[:2] + at.to_bytes(4, "big"))
        try:
            conn.login()
        except (Closed, LoginRefused, Late):
            pass
        if not leave:
            conn.abort()
            continue
        kept.append(conn)
        if len(kept) > 32:
            kept.pop(0).abort()


def trickle(control, place, number, connections, full_feature):
    """One byte a second on each connection: of a login, or of a ping behind one."""
    conns = []
    for _ in range(connections):
        conn = place.initiator(isid=os.urandom(6))
        if full_feature:
            conn.login()
            conn.bytes = conn.wire(conn.ping_pdu(bytes(65536)))
        else:
            conn.bytes = conn.login_pdu(conn.identity()).wire()
        conns.append(conn)
    for at in paced(control, 1.0 * connections):
        conn = conns[at % len(conns)]
        try:
            conn.send_raw(conn.bytes[at // len(conns):][:1])
        except (Closed, OSError):
            conns[at % len(conns)] = place.initiator(isid=os.urandom(6))
            conns[at % len(conns)].bytes = conn.bytes
    check(number >= 0, "no number")


def never_read(control, place, number, sessions):
    """Sessions that ask for much and take nothing of it."""
    conns = []
    for _ in range(sessions):
        conn = place.initiator(isid=os.urandom(6))
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.login()
        conn.clear_unit_attention()
        conn.send(*[conn.command_pdu(read10(0, 512), read=512 * BLOCK) for _ in range(32)])
        conns.append(conn)
        control.step()
    while control.step(0):
        time.sleep(0.01)
    check(number >= 0, "no number")


def abort_storm(control, place, number, rate):
    """Writes that wait for their data, each aborted at once."""
    conn = place.initiator(isid=os.urandom(6)).login(InitialR2T="Yes", ImmediateData="No")
    conn.clear_unit_attention()
    for _ in paced(control, rate):
        write = conn.command_pdu(write10(16384 + 8 * number, 8), write=8 * BLOCK)
        abort = conn.tmf_pdu(1, rtt=write.itt, refcmdsn=write.cmdsn)
        conn.send(write, abort)
        while (pdu := conn.recv()).opcode == R2T:
            pass
        equal(pdu.itt, abort.itt, "ITT of the task management response")


def immediate_flood(control, place, number, batch):
    """Immediate pings and commands in bulk, all of them answered or rejected."""
    conn = place.initiator(isid=os.urandom(6)).login()
    conn.clear_unit_attention()
    while control.step(batch):
        conn.send(*[conn.ping_pdu(b"flood") if n % 2 else
                    conn.command_pdu(bytes(6), immediate=True) for n in range(batch)])
        for _ in range(batch):
            conn.recv()
        time.sleep(0.002)
    check(number >= 0, "no number")


def reject_flood(control, place, number, batch):
    """PDUs that each deserve a Reject, and a line in the log if nobody counts them."""
    conn = place.initiator(isid=os.urandom(6)).login()
    while control.step(batch):
        conn.send(*[conn.fill(Pdu(0x0f, flags=0x80, itt=conn.next_itt()), immediate=True)
                    for _ in range(batch)])
        for _ in range(batch):
            conn.recv()
        time.sleep(0.002)
    check(number >= 0, "no number")


def noise(control, place, number, rate):
    """Connections that begin with random bytes."""
    chance = random.Random(number)
    source = sources(place.address, number)
    for _ in paced(control, rate):
        try:
            with socket.create_connection(place.address, 5,
                                          (source, 0) if source else None) as sock:
                sock.send(chance.randbytes(chance.randrange(1, 200)))
        except OSError:
            pass


def pings_unread(control, place, number):
    """Pings without end from an initiator that never reads an answer; when it is thrown
    out it comes back."""
    while control.step():
        conn = place.initiator(isid=os.urandom(6)).login()
        ping = conn.wire(conn.ping_pdu(bytes(4096)))
        try:
            while control.step(0):
                conn.send_raw(ping * 8, 0.2)
        except (Closed, Late):
            pass
        conn.abort()
        time.sleep(0.05)
    check(number >= 0, "no number")


def discovery_flood(control, place, number, rate):
    """Discovery sessions that ask for everything."""
    for _ in paced(control, rate):
        conn = place.initiator(isid=os.urandom(6))
        try:
            conn.login(session="Discovery")
            conn.text([("SendTargets", "All")])
        except LoginRefused:
            pass
        conn.abort()
    check(number >= 0, "no number")


# The cases

def raise_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@case("X1 10,000 connections that {}: the bystander is unhurt, and logins go on", [
    ("say nothing", b""), ("send half a header", b"\x43\x87" + bytes(22))], rfc="9.1", deadline=120)
def connections(target, data):
    processes, each = 4, 2500
    with arena(target) as place, place.bystander() as bystander:
        works = [(half_open, place, n, each, 1200, data) for n in range(processes)]
        unhurt(bystander, lambda: Attacks(*works), standing=processes * each)
        with Attacks(*works) as attack:
            attack.wait_blows(processes * each, 60)
            for _ in range(5):
                equal(place.initiator().login().logout(), 0, "Logout of a newcomer")
            place.check_memory(64 * MIB)
        place.check_log()


@case("X2 slow writers: {} of one byte a second", [
    ("256 logins", False), ("64 sessions with a ping", True)], rfc="9.1", deadline=60)
def slow_writers(target, full_feature):
    with arena(target, "--login-timeout", "2", "--nop-interval", "2", innocent=None) as place:
        attacked(place, *[(trickle, place, n, 32 if full_feature else 128, full_feature)
                          for n in range(2)])


@case("X2 a PDU that trickles in is no sign of life: the session is closed in time", rfc="9.1",
      needs="own", deadline=60)
def trickle_ends(target):
    with arena(target, "--nop-interval", "1") as place:
        conn = place.initiator().login()
        wire = conn.wire(conn.ping_pdu(bytes(8192)))
        begin = time.monotonic()
        try:
            for byte in wire:
                conn.send_raw(bytes([byte]))
                if select.select([conn.sock], [], [], 0.1)[0] and not conn.sock.recv(4096):
                    break  # what comes before the end are keep-alives
                place.target.check_innocent("while a PDU trickles in")
        except (Closed, ConnectionResetError):
            pass
        took = time.monotonic() - begin
        check(took < 10, f"closed after {took:.1f} s")
        place.check_log()


@case("X3 zero window: sessions that never read what they asked for", rfc="9.1", deadline=60)
def zero_window(target):
    with arena(target, "--memory", "64M", "--data-timeout", "5") as place:
        attacked(place, *[(never_read, place, n, 8) for n in range(2)], memory=128 * MIB)


@case("X3 a session that never reads is closed in time, its memory comes back", rfc="9.1",
      needs="own", deadline=60)
def zero_window_ends(target):
    with arena(target, "--memory", "64M", "--data-timeout", "1") as place:
        conns = []
        for _ in range(8):
            conn = place.initiator(isid=os.urandom(6))
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            conn.login()
            conn.clear_unit_attention()
            conn.send(*[conn.command_pdu(read10(0, 512), read=512 * BLOCK) for _ in range(32)])
            conns.append(conn)
        files = os.listdir(f"/proc/{place.pid}/fd")
        end = time.monotonic() + 10
        while len(os.listdir(f"/proc/{place.pid}/fd")) > len(files) - len(conns):
            check(time.monotonic() < end, "sessions that never read are still open after 10 s")
            time.sleep(0.05)
        for conn in conns:
            conn.close()
        place.check_log()


@case("X4 login flood: {}", [
    ("a new session each, left at once", {}), ("32 sessions open at a time", {"leave": True})],
      rfc="9.1", deadline=60)
def logins(target, how):
    with arena(target) as place:
        def flood(control, number):
            login_flood(control, place, number, 250, **how)
        attacked(place, *[(flood, n) for n in range(2)])


@case("X4 X9 more {} than are allowed: refused in time, those that are there stay", [
    ("sessions", "Normal"), ("discovery sessions", "Discovery")], rfc="9.1", needs="own",
      deadline=60)
def too_many(target, session):
    with arena(target, "--max-connections", "100") as place:
        conns, refused = [], 0
        for _ in range(150):
            conn = place.initiator(isid=os.urandom(6))
            try:
                conn.login(session=session)
                conns.append(conn)
            except (Closed, LoginRefused, OSError):
                refused += 1
        check(90 <= len(conns) <= 100, f"{len(conns)} sessions at a limit of 100 connections")
        equal(len(conns) + refused, 150, "answers")
        for conn in conns:
            if session == "Normal":
                conn.clear_unit_attention()
            else:
                check(conn.text([("SendTargets", "All")])[0], "nothing is discovered")
            conn.close()
        place.check_log()


@case("X1 no descriptors left: connections are refused at once, sessions go on, and it recovers",
      rfc="9.1", needs="own", deadline=60)
def no_descriptors(target):
    with arena(target, "--login-timeout", "2") as place:
        used = len(os.listdir(f"/proc/{place.pid}/fd"))
        limits = resource.prlimit(place.pid, resource.RLIMIT_NOFILE, (used + 20, used + 20))
        check(limits[0] > used + 20, "no such limit")
        raise_limit()
        socks = [socket.create_connection(place.address, 5) for _ in range(200)]
        place.target.check_innocent("without descriptors")
        end = time.monotonic() + 30
        left = set(socks)
        while len(left) > 40:
            check(time.monotonic() < end, f"{len(left)} of 200 are neither refused nor served")
            for sock in select.select(list(left), [], [], 0.1)[0]:
                left.discard(sock)
            place.target.check_innocent("without descriptors")
        for sock in socks:
            sock.close()
        conn = None
        while conn is None:
            try:
                conn = place.initiator().login()
            except (Closed, Late):
                check(time.monotonic() < end, "nobody gets in after the flood")
        conn.clear_unit_attention()
        conn.close()
        place.check_log()


@case("X5 reinstatement storm: one name and ISID, login upon login", rfc="6.3.5", deadline=60)
def reinstatements(target):
    with arena(target) as place:
        def storm(control, number):
            login_flood(control, place, number, 200, same=True, leave=True)
        attacked(place, *[(storm, n) for n in range(2)])


@case("X5 two attackers fight for one ISID: one session is left, the last one", rfc="6.3.5",
      deadline=60)
def fight(target):
    with arena(target) as place:
        def storm(control, _):
            login_flood(control, place, 7, 100, same=True, leave=True)
        with place.bystander() as bystander, Attacks((storm, 0), (storm, 1)) as attack:
            attack.wait_blows(100, 30)
            bystander.window(0.5)
        last = place.initiator(isid=bytes([0x80, 0, 0, 0, 7, 0])).login()
        last.clear_unit_attention()
        last.ready().good()
        last.close()
        place.check_log()


@case("T6 abort storm: writes without data, each aborted at once", rfc="11.5.1", deadline=60)
def aborts(target):
    with arena(target) as place:
        attacked(place, *[(abort_storm, place, n, 500) for n in range(2)])


@case("N4 immediate flood: pings and commands in bulk", rfc="4.2.2.1", deadline=60)
def immediates(target):
    with arena(target) as place:
        attacked(place, *[(immediate_flood, place, n, 16) for n in range(2)])


@case("N4 pings without end whose answers nobody reads: thrown out, memory bounded",
      rfc="4.2.2.1", deadline=60)
def unread(target):
    with arena(target, "--data-timeout", "2") as place:
        attacked(place, *[(pings_unread, place, n) for n in range(2)], memory=96 * MIB)


@case("X8 log amplification: {}", [
    ("a Reject for every PDU", reject_flood, 16), ("random bytes on every connection", noise, 300)],
      rfc="11.17", deadline=60)
def log_flood(target, work, rate):
    with arena(target) as place:
        attacked(place, *[(work, place, n, rate) for n in range(2)])


@case("X9 discovery flood: SendTargets=All without end", rfc="9.1", needs="discovery", deadline=60)
def discoveries(target):
    with arena(target) as place:
        attacked(place, *[(discovery_flood, place, n, 200) for n in range(2)])


def greedy(place, count):
    """Sessions that each want 1 GiB at once, in bursts as long as the target makes them."""
    conns = []
    for _ in range(count):
        conn = place.initiator(isid=os.urandom(6)).login(
            InitialR2T="Yes", ImmediateData="No", MaxBurstLength=16777215, MaxOutstandingR2T=16)
        conn.clear_unit_attention()
        conns.append(conn)
    for conn in conns:
        conn.send(*[conn.command_pdu(write10(0, 32767), write=32767 * BLOCK) for _ in range(64)])
    return conns


@case("X7 16 MiB writes over full windows: R2Ts for no more than the budget, memory bounded",
      rfc="11.8.4", needs="own", deadline=60)
def big_writes(target):
    budget = 64 * MIB
    with arena(target, "--memory", "64M") as place:
        conns = greedy(place, 8)
        asked = sum(pdu.desired for conn in conns for pdu in everything(conn) if pdu.opcode == R2T)
        print(f"# {asked / MIB:.1f} MiB asked for by R2T")
        check(0 < asked <= budget, f"R2Ts for {asked} bytes, {budget} are the budget")
        place.check_memory(budget + 64 * MIB)
        place.target.check_innocent("while writes of 8 GiB wait")
        for conn in conns:
            conn.abort()


@case("X7 one session takes all the buffers that it gets: others log in, read and write",
      rfc="11.8.4", needs="own", deadline=60)
def one_takes_all(target):
    with arena(target, "--memory", "64M") as place:
        conn = greedy(place, 1)[0]
        everything(conn)
        newcomer = place.initiator().login()
        newcomer.clear_unit_attention()
        data = pattern(512, 0x77)
        newcomer.write(8192, data).good()
        equal(newcomer.read(8192, 512), data, "256 KiB")
        newcomer.close()
        conn.abort()


def everything(conn, quiet=0.3):
    """What comes until nothing more does."""
    pdus = []
    try:
        while True:
            pdus.append(conn.recv(quiet))
    except Late:
        return pdus


@case("X9 text tasks: a thousand begun and none finished", rfc="11.10", deadline=60)
def text_tasks(target):
    with arena(target) as place:
        conn = place.initiator().login()
        for _ in range(1000):
            conn.send(conn.text_pdu([("SendTargets", "")], flags=0x40, immediate=True))
            conn.recv()
        conn.ping()
        place.check_memory(16 * MIB)
        place.check_log()
        conn.close()


@case("X9 TTTs: 200 sessions that each leave an exchange of text open, again and again", rfc="11.10.4",
      deadline=60)
def open_exchanges(target):
    with arena(target) as place, place.bystander():
        conns = [place.initiator(isid=os.urandom(6)).login() for _ in range(200)]
        for conn in conns:
            for _ in range(10):
                text = conn.text_pdu([("X-a", "a" * 4000)], flags=0x40, immediate=True)
                conn.send(text)
                check(conn.recv().opcode in (TEXT_RESPONSE, REJECT), "an answer")
        place.check_memory(64 * MIB)
        place.check_log()
        for conn in conns:
            conn.ping()
            conn.close()


def reserve_out(conn, action, key=0, action_key=0, kind=0):
    data = key.to_bytes(8, "big") + action_key.to_bytes(8, "big") + bytes(8)
    cdb = bytes([0x5f, action, kind]) + bytes(4) + len(data).to_bytes(3, "big")[1:] + bytes(1)
    command = conn.send(conn.command_pdu(cdb, write=len(data)))
    return conn.complete(command, data)


def registered(conn):
    """How many keys READ KEYS shows."""
    cdb = bytes([0x5e]) + bytes(6) + (65535).to_bytes(2, "big") + bytes(1)
    return int.from_bytes(conn.scsi(cdb, read=65535).good().data[4:8], "big") // 8


def registrant(place, number):
    conn = place.initiator(isid=bytes([0x80, 9]) + number.to_bytes(4, "big")).login()
    conn.clear_unit_attention()
    return conn


def register_until_full(place, most):
    """Each from a port of its own that leaves; the number of the one that was refused."""
    for number in range(1, most):
        conn = registrant(place, number)
        result = reserve_out(conn, REGISTER, action_key=number)
        if result.status != GOOD:
            equal(result.sense, NO_ROOM, "sense of the refusal")
            conn.logout()
            return number
        conn.logout()
    raise Skip(f"{most} registrations and no end")


@case("X9 reservation keys from port upon port: refused with 5/55/04, nobody else is hurt", rfc="9.1",
      deadline=120)
def reservation_keys(target):
    with arena(target) as place:
        first = registrant(place, 0)
        reserve_out(first, REGISTER, action_key=0xa).good()
        try:
            with place.bystander():
                refused = register_until_full(place, 5000)
                equal(registered(first), refused, "keys")
            again = registrant(place, refused)
            equal(reserve_out(again, REGISTER_AND_IGNORE, action_key=1).sense, NO_ROOM, "sense")
            # Those that are registered do what they like.
            reserve_out(first, REGISTER, 0xa, 0xb).good()
            second = registrant(place, 1)
            for conn, key in (first, 0xb), (second, 1):
                reserve_out(conn, RESERVE, key, kind=WRITE_EXCLUSIVE).good()
                reserve_out(conn, RELEASE, key, kind=WRITE_EXCLUSIVE).good()
            # A place that somebody leaves is free.
            reserve_out(second, REGISTER, 1, 0).good()
            reserve_out(again, REGISTER, action_key=2).good()
            equal(registered(first), refused, "keys")
        finally:  # also where that connection has not lived to see it
            first = registrant(place, 0)
            reserve_out(first, REGISTER_AND_IGNORE, action_key=0xc).good()
            reserve_out(first, CLEAR, 0xc).good()
        equal(registered(first), 0, "keys")
        again.clear_unit_attention()
        reserve_out(again, REGISTER, action_key=3).good()
        reserve_out(again, CLEAR, 3).good()
        place.check_memory(16 * MIB)
        place.check_log()


@case("X1 X2 X3 X8 X9 all of it at once, for a minute", rfc="9.1", deadline=180, stress=True)
def everything_at_once(target):
    with arena(target, "--login-timeout", "2", "--data-timeout", "5") as place:
        works = [(half_open, place, 0, 5000, 500), (trickle, place, 1, 64, False),
                 (never_read, place, 2, 4), (abort_storm, place, 3, 200),
                 (noise, place, 4, 100), (reject_flood, place, 5, 8),
                 (discovery_flood, place, 6, 50)]
        with place.bystander() as bystander, Attacks(*works) as attack:
            attack.wait_begun()
            worst = 0
            for _ in range(60):
                worst = max(worst, bystander.window(1).worst)
                for one in (place.target, target):
                    one.check_innocent("in the middle of it")
            print(f"# worst {worst * 1e3:.1f} ms, {attack.blows()} blows")
            check(worst < 1, f"the bystander has waited {worst:.2f} s")
            place.check_memory(256 * MIB)
        place.check_log()
