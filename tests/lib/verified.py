# SPDX-License-Identifier: BSD-2-Clause
"""What a disk may hold while commands are lost and repeated: each block tells its address,
which write it comes from and who wrote it; what was acknowledged must be there, and nothing
may come back that was overwritten."""

import struct

from initiator import BLOCK
from tap import Failure, check

RECORD = struct.Struct(">8sQQQ")
MAGIC = b"verified"


def stamp(lba, generation, writer):
    return RECORD.pack(MAGIC, lba, generation, writer) * (BLOCK // RECORD.size)


class Region:
    """Blocks from lba on. `allowed` holds for each the generations that it may have: one, and
    the ones of writes whose end nobody knows. A block is `locked` while a command uses it."""

    def __init__(self, lba, blocks, writer):
        self.lba, self.blocks, self.writer = lba, blocks, writer
        self.allowed = [{0} for _ in range(blocks)]
        self.locked = [0] * blocks  # readers, or -1: a writer
        self.generation = 0

    def next_generation(self):
        self.generation += 1
        return self.generation

    def data(self, at, count, generation):
        return b"".join(stamp(self.lba + at + n, generation, self.writer) for n in range(count))

    def free(self, at, count, for_write):
        return all(not lock if for_write else lock >= 0 for lock in self.locked[at:at + count])

    def lock(self, at, count, for_write):
        for n in range(at, at + count):
            self.locked[n] = -1 if for_write else self.locked[n] + 1

    def unlock(self, at, count):
        for n in range(at, at + count):
            self.locked[n] = max(0, self.locked[n] - 1)

    def begun(self, at, count, generation):
        """A write is on its way: its blocks may be written or not."""
        for n in range(at, at + count):
            self.allowed[n].add(generation)

    def written(self, at, count, generation):
        """It was acknowledged: what was there is gone for ever."""
        for n in range(at, at + count):
            self.allowed[n] = {generation}

    def seen(self, at, data):
        """What was read must be allowed; from now on nothing else is."""
        for n in range(len(data) // BLOCK):
            block = bytes(data[n * BLOCK:(n + 1) * BLOCK])
            magic, lba, generation, writer = RECORD.unpack_from(block)
            where = f"block {self.lba + at + n}"
            check(block == block[:RECORD.size] * (BLOCK // RECORD.size), f"{where} is torn")
            check((magic, lba, writer) == (MAGIC, self.lba + at + n, self.writer),
                  f"{where} holds what belongs to {magic} {lba}, writer {writer:#x}")
            if generation not in self.allowed[at + n]:
                raise Failure(f"{where} holds generation {generation}, "
                              f"allowed {sorted(self.allowed[at + n])}, newest {self.generation}")
            self.allowed[at + n] = {generation}
