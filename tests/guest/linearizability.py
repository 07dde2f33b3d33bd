#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""linearizability.py SECONDS PROCESSES DISK...: that many processes at each disk, all of which are
the same disk of the target over different transports, read, write and swap (COMPARE AND WRITE) the
same few blocks by SG_IO. In the end there must be an order of the commands that explains all
answers. Prints what was done; status 1 and why when there is none."""

import ctypes
import multiprocessing
import os
import random
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from linear import READ, SWAP, WRITE, Op, first_impossible
from sgio import FROM_DISK, TO_DISK, command

SEED = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(4), "big")
BLOCK = 512
MISCOMPARE, UNIT_ATTENTION = 0x0e, 0x06
# First block, blocks, and whether plain writes go there, too: see tests/integration. A swap of more
# than one block is read in one piece or not at all.
REGISTERS = ((0, 1, True), (8, 1, True), (16, 6, False), (1001, 64, False))


def content(value, blocks):
    return value.to_bytes(8, "big") * (blocks * BLOCK // 8)


class Client:
    """`history` holds (register, kind, expected, value, begin, end)."""

    def __init__(self, number, path):
        self.disk = os.open(path, os.O_RDWR)
        self.number, self.count = number, 0
        self.random = random.Random(SEED * 1000 + number)
        self.history, self.seen = [], {}

    def run(self, kind, register, expected, value):
        lba, blocks, _ = REGISTERS[register]
        place = lba.to_bytes(8, "big")
        whole = bytes([0]) + place + blocks.to_bytes(4, "big") + bytes(2)
        if kind == READ:
            data = ctypes.create_string_buffer(blocks * BLOCK)
            return (*command(self.disk, bytes([0x88]) + whole, FROM_DISK, data), data.raw)
        if kind == WRITE:
            data = ctypes.create_string_buffer(content(value, blocks), blocks * BLOCK)
            return (*command(self.disk, bytes([0x8a]) + whole, TO_DISK, data), None)
        data = content(expected, blocks) + content(value, blocks)
        data = ctypes.create_string_buffer(data, len(data))
        cdb = bytes([0x89, 0]) + place + bytes([0, 0, 0, blocks, 0, 0])
        return (*command(self.disk, cdb, TO_DISK, data), None)

    def step(self):
        register = self.random.randrange(len(REGISTERS))
        _, blocks, mixed = REGISTERS[register]
        kind = self.random.choice((READ, READ, SWAP, SWAP, WRITE) if mixed else (READ, SWAP, SWAP))
        expected, value = self.seen.get(register, 0), None
        if kind != READ:
            self.count += 1
            value = self.number + 1 << 40 | self.count
        begin = time.monotonic()
        status, key, data = self.run(kind, register, expected, value)
        end = time.monotonic()
        if key == UNIT_ATTENTION:
            return
        if kind == SWAP and key == MISCOMPARE:
            value = None  # another value was there
        elif status:
            raise OSError(f"{kind} ended with status {status:#x}, sense key {key:#x}")
        elif kind == READ:
            value = int.from_bytes(data[:8], "big")
            if not mixed and data != content(value, blocks):
                raise OSError(f"halves of a swap in register {REGISTERS[register]}")
        self.history.append((register, kind, expected, value, begin, end))
        if value is not None:
            self.seen[register] = value


def client_main(number, path, seconds, results):
    error, client = None, None
    try:
        client = Client(number, path)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            client.step()
    except OSError as failure:
        error = f"{path}: {failure}"
    results.put((path, client.history if client else [], error))


def main(seconds, processes, disks):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    clients = [context.Process(target=client_main, daemon=True,
                               args=(i, disks[i % len(disks)], seconds, results))
               for i in range(processes * len(disks))]
    for client in clients:
        client.start()
    answers = [results.get(timeout=seconds + 60) for _ in clients]
    errors = [answer[2] for answer in answers if answer[2]]
    history = [op for answer in answers for op in answer[1]]
    for disk in disks:
        swaps = [op for answer in answers if answer[0] == disk for op in answer[1]
                 if op[1] == SWAP]
        good = sum(1 for op in swaps if op[3] is not None)
        print(f"# {disk}: {good} of {len(swaps)} swaps swapped, SEED={SEED}")
        if not 20 < good < len(swaps):
            errors.append(f"{disk}: too few swaps, or none in vain")
    print(f"# {len(history)} commands")
    for register, place in enumerate(REGISTERS):
        events = []
        for _, kind, expected, value, begin, end in (op for op in history if op[0] == register):
            op = Op(kind, expected, value, False)
            events += [(begin, False, op), (end, True, op)]
        wrong = first_impossible(sorted(events, key=lambda event: event[:2]))
        if wrong:
            errors.append(f"register {place}: no order explains {wrong[0].kind} "
                          f"{wrong[0].expected:#x} {wrong[0].value and hex(wrong[0].value)}")
    for error in errors:
        print(f"# {error}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
