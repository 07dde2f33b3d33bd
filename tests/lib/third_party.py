# SPDX-License-Identifier: BSD-2-Clause
"""EXTENDED COPY and its like, as an initiator sends them: SPC-4 6.4."""

import struct

from initiator import BLOCK, inquiry


def cscd(conn, lun):
    """The identification descriptor of a unit, of the NAA name in its VPD 83h."""
    page = conn.scsi(inquiry(4096, 0x83), lun, read=4096).good().data
    at = 4
    while page[at + 1] & 0x3f != 3:
        at += 4 + page[at + 3]
    name = page[at:at + 4 + page[at + 3]]
    return b"\xe4\0\0\0" + name + bytes(24 - len(name)) + b"\0" + BLOCK.to_bytes(3, "big")


def segment(source, source_lba, target, target_lba, blocks):
    return struct.pack(">BBHHHHHQQ", 2, 0, 0x18, source, target, 0, blocks, source_lba,
                       target_lba)


def copy_list(cscds, segments, list_id=1):
    return struct.pack(">BBHIII", list_id, 0, 32 * len(cscds), 0, 28 * len(segments),
                       0) + b"".join(cscds + segments)


def copy_out(conn, action, data, lun=0, list_id=0):
    cdb = struct.pack(">BB4xIIBB", 0x83, action, list_id, len(data), 0, 0)
    command = conn.send(conn.command_pdu(cdb, lun, write=len(data), data=data))
    return conn.complete(command, data, deadline=60)
