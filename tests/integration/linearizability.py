#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 120
"""Many clients, each with a session of its own, read, write and swap (COMPARE AND WRITE) the same
few blocks, on a file and in memory, while riserd is killed and started again. When every command
began and ended is written down; for each block there must be an order of the commands, each
between its begin and its end, in which a register with compare-and-swap gives the same answers. A
command that had no answer when riserd died has happened before its death, or never."""

import fcntl
import multiprocessing
import os
import random
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from conn import Closed
from initiator import BLOCK, Initiator
from iscsi import GOOD
from linear import READ, SWAP, WRITE, Op, first_impossible
from tap import Failure, case, check, main
from target import Target

CLIENTS, LIVES, LIFE = 6, 4, 3.0  # seconds
SEED = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(4), "big")
MISCOMPARE = (0x0e, 0x1d, 0x00)
FILE, MEMORY = 0, 1
# LUN, first block, blocks, and whether plain writes go there too. What only swaps change is read
# in one piece or not at all; a plain write may be seen by halves, so of such a block the first
# eight bytes are the register.
REGISTERS = ((FILE, 0, 1, True), (FILE, 8, 1, True), (FILE, 16, 6, False), (FILE, 1001, 255, False),
             (MEMORY, 3, 1, True), (MEMORY, 40, 64, False))


# Clients

def content(value, blocks):
    return value.to_bytes(8, "big") * (blocks * BLOCK // 8)


def swap_cdb(lba, blocks):
    return bytes([0x89, 0]) + lba.to_bytes(8, "big") + bytes([0, 0, 0, blocks, 0, 0])


class Client:
    """One process. `history` holds (register, life, kind, expected, value, begin, end); end None:
    no answer."""

    def __init__(self, number, iqn):
        self.number, self.iqn = number, iqn
        self.random = random.Random(SEED * 1000 + number)
        self.count, self.history, self.torn = 0, [], []
        self.seen = {}
        self.conn = None

    def login(self, port):
        self.conn = Initiator(("127.0.0.1", port), self.iqn,
                              name=f"iqn.2026-11.test:client-{self.number}")
        self.conn.login()
        for lun in (FILE, MEMORY):
            self.conn.clear_unit_attention(lun)

    def fresh(self):
        self.count += 1
        return self.number + 1 << 40 | self.count

    def command(self, kind, register, expected, value):
        lun, lba, blocks, _ = REGISTERS[register]
        if kind == READ:
            return self.conn.scsi(bytes([0x88, 0]) + lba.to_bytes(8, "big") +
                                  blocks.to_bytes(4, "big") + bytes(2), lun, read=blocks * BLOCK)
        if kind == WRITE:
            return self.conn.write(lba, content(value, blocks), lun)
        data = content(expected, blocks) + content(value, blocks)
        pdu = self.conn.command_pdu(swap_cdb(lba, blocks), lun, write=len(data))
        return self.conn.complete(self.conn.send(pdu), data)

    def step(self, life):
        register = self.random.randrange(len(REGISTERS))
        lun, _, blocks, mixed = REGISTERS[register]
        kind = self.random.choice((READ, READ, SWAP, SWAP, WRITE) if mixed else (READ, SWAP, SWAP))
        expected = self.seen.get((register, life if lun == MEMORY else 0), 0)
        value = None if kind == READ else self.fresh()
        entry = [register, life, kind, expected, value, time.monotonic(), None]
        try:
            result = self.command(kind, register, expected, value)
        except (Failure, OSError):
            self.history.append(entry)
            raise
        entry[6] = time.monotonic()
        if result.status == GOOD:
            if kind == READ:
                value = entry[4] = int.from_bytes(result.data[:8], "big")
                if not mixed and result.data != content(value, blocks):
                    self.torn.append((register, kind, value))
        elif kind == SWAP and result.sense == MISCOMPARE:
            value = entry[4] = None  # another value was there
        else:
            raise Failure(f"{kind} ended with status {result.status:#x} sense {result.sense}")
        self.history.append(entry)
        if value is not None:
            self.seen[register, life if lun == MEMORY else 0] = value

    def live(self, life, port):
        """Until riserd dies."""
        try:
            self.login(port)
            while True:
                self.step(life)
        except (OSError, Closed):
            return
        finally:
            if self.conn:
                self.conn.close()


def client_main(number, iqn, lives, port, results):
    client, error = Client(number, iqn), None
    try:
        for life in range(LIVES):
            lives[life].wait()
            client.live(life, port.value)
    except Exception as failure:  # pylint: disable=broad-except
        error = f"client {number}: {failure}"
    results.put((client.history, client.torn, error))


# The checker

def events_of(history, deaths, key):
    """Only what is in one register; lost commands end when their riserd died."""
    events = []
    for register, life, kind, expected, value, begin, end in history:
        lun = REGISTERS[register][0]
        if key != (register, life if lun == MEMORY else 0):
            continue
        if end is None and kind == READ:
            continue
        op = Op(kind, expected, value, end is None)
        events += [(begin, False, op), (deaths[life] if end is None else end, True, op)]
    return sorted(events, key=lambda event: event[:2])


def check_histories(history, deaths):
    keys = sorted({(op[0], op[1] if REGISTERS[op[0]][0] == MEMORY else 0) for op in history})
    for key in keys:
        wrong = first_impossible(events_of(history, deaths, key))
        if wrong:
            op, states = wrong
            raise Failure(f"register {REGISTERS[key[0]]}: no order explains {op.kind} "
                          f"{op.expected and hex(op.expected)} {op.value and hex(op.value)}; it "
                          f"could hold {sorted({hex(s[0]) for s in states})}; SEED={SEED}")


@case("the checker finds {}", [
    ("a lost write", [(READ, 0, 5, 0, 1)]),
    ("a value that comes back", [(WRITE, 0, 5, 0, 1), (WRITE, 0, 6, 2, 3), (READ, 0, 5, 4, 5)]),
    ("two swaps of one value", [(SWAP, 0, 5, 0, 3), (SWAP, 0, 6, 1, 4)]),
    ("a swap that failed for no reason", [(SWAP, 0, None, 0, 1)]),
    ("reads in the wrong order", [(WRITE, 0, 5, 0, 9), (READ, 0, 5, 1, 2), (READ, 0, 0, 3, 4)]),
])
def checker_finds(_target, ops):
    history = [[0, 0, *op] for op in ops]
    check(first_impossible(events_of(history, [100], (0, 0))), "nothing found")


@case("the checker accepts {}", [
    ("overlapping commands", [(WRITE, 0, 5, 0, 9), (READ, 0, 0, 1, 2), (READ, 0, 5, 3, 4),
                              (SWAP, 5, 6, 5, 8), (SWAP, 0, None, 5, 8)]),
    ("a lost write that happened", [(WRITE, 0, 5, 0, None), (READ, 0, 5, 1, 2)]),
    ("a lost write that did not", [(WRITE, 0, 5, 0, None), (READ, 0, 0, 101, 102)]),
    ("a read between two writes", [(WRITE, 0, 5, 0, 9), (WRITE, 0, 6, 0, 9), (READ, 0, 5, 0, 9),
                                   (READ, 0, 6, 1, 2)]),
    ("a swap of a lost write's value", [(WRITE, 0, 5, 0, None), (SWAP, 5, 6, 1, 2)]),
])
def checker_accepts(_target, ops):
    history = [[0, 0, *op] for op in ops]
    check(not first_impossible(events_of(history, [100], (0, 0))), "refused")


# The story

def crash(target):
    """Dies between any two instructions. Returns when nothing of it runs any more: the kernel may
    still be at its last requests when the process is gone, and keeps the lock of the file for so
    long."""
    target.process.kill()
    target.process.wait()
    target.process.stdout.close()
    with open(target.disks[FILE], "r+b") as file:
        for how in (fcntl.F_WRLCK, fcntl.F_UNLCK):
            fcntl.fcntl(file, fcntl.F_OFD_SETLKW, struct.pack("hhqqi", how, os.SEEK_SET, 0, 0, 0))
    return time.monotonic()


@case("what clients saw has an order, with riserd killed in between")
def histories(target):
    context = multiprocessing.get_context("fork")
    lives = [context.Event() for _ in range(LIVES)]
    results, port, deaths = context.Queue(), context.Value("i"), []
    clients = [context.Process(target=client_main, daemon=True,
                               args=(i, target.iqn, lives, port, results))
               for i in range(CLIENTS)]
    for client in clients:
        client.start()
    for life in range(LIVES):
        port.value = target.address[1]
        lives[life].set()
        time.sleep(LIFE)  # how long they may
        deaths.append(crash(target))
        target.start()
    answers = [results.get(timeout=30) for _ in clients]
    for client in clients:
        client.join(30)
    history = [op for answer in answers for op in answer[0]]
    torn = [op for answer in answers for op in answer[1]]
    errors = [answer[2] for answer in answers if answer[2]]
    check(not errors, f"{errors}")
    check(not torn, f"reads saw halves of a swap: {torn[:5]}; SEED={SEED}")
    swaps = [op for op in history if op[2] == SWAP]
    good = sum(1 for op in swaps if op[4] is not None and op[6] is not None)
    lost = sum(1 for op in history if op[6] is None)
    print(f"# {len(history)} commands, {good} of {len(swaps)} swaps swapped, {lost} without answer")
    check(good > 100 and good < len(swaps), "too few swaps, or none in vain")
    check_histories(history, deaths)


def run():
    path = os.path.join(os.environ["TMPDIR"], "disk")
    with open(path, "wb") as file:
        file.truncate(16 << 20)
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))[:2]))
    main(Target("--cpus", cpus, disks=(path, "ram:16M"), innocent=None))


if __name__ == "__main__":
    run()
