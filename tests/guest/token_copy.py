#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""token_copy.py FROM TO BLOCKS: copies the first blocks of one disk to another of the same target
by POPULATE TOKEN and WRITE USING TOKEN (SBC-4 5.13, 5.53), sent through SG_IO."""

import ctypes
import os
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
from sgio import FROM_DISK, TO_DISK, command

UNIT_ATTENTION, LIST_IDENTIFIER = 0x06, 0x77
TOKEN_AT, TOKEN_LEN = 38, 512


def run(disk, cdb, direction, data):
    data = ctypes.create_string_buffer(data, len(data))
    status, key = command(disk, cdb, direction, data)
    if key == UNIT_ATTENTION:
        status, key = command(disk, cdb, direction, data)
    if status:
        sys.exit(f"command {cdb[0]:#x} ended with status {status:#x}, sense key {key:#x}")
    return data.raw


def copy_out(disk, action, data):
    run(disk, struct.pack(">BB4xII2x", 0x83, action, LIST_IDENTIFIER, len(data)), TO_DISK, data)


def main(source, destination, blocks):
    source, destination = os.open(source, os.O_RDWR), os.open(destination, os.O_RDWR)
    places = struct.pack(">QI4x", 0, blocks)
    copy_out(source, 0x10, struct.pack(">H12xH", 14 + len(places), len(places)) + places)
    receive = struct.pack(">BBI4xI2x", 0x84, 7, LIST_IDENTIFIER, TOKEN_AT + TOKEN_LEN)
    token = run(source, receive, FROM_DISK, bytes(TOKEN_AT + TOKEN_LEN))[TOKEN_AT:]
    copy_out(destination, 0x11, struct.pack(">H14x", 534 + len(places)) + token +
             struct.pack(">6xH", len(places)) + places)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
