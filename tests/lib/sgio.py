# SPDX-License-Identifier: BSD-2-Clause
"""SCSI commands through the kernel's initiator: SG_IO."""

import ctypes
import fcntl

SG_IO, TO_DISK, FROM_DISK = 0x2285, -2, -3
CHECK_CONDITION = 2


class Command(ctypes.Structure):
    """struct sg_io_hdr"""
    _fields_ = [
        ("interface_id", ctypes.c_int), ("direction", ctypes.c_int), ("cdb_len", ctypes.c_ubyte),
        ("sense_size", ctypes.c_ubyte), ("iovec_count", ctypes.c_ushort),
        ("data_len", ctypes.c_uint), ("data", ctypes.c_void_p), ("cdb", ctypes.c_void_p),
        ("sense", ctypes.c_void_p), ("timeout", ctypes.c_uint), ("flags", ctypes.c_uint),
        ("pack_id", ctypes.c_int), ("usr_ptr", ctypes.c_void_p), ("status", ctypes.c_ubyte),
        ("masked_status", ctypes.c_ubyte), ("msg_status", ctypes.c_ubyte),
        ("sense_len", ctypes.c_ubyte), ("host_status", ctypes.c_ushort),
        ("driver_status", ctypes.c_ushort), ("residual", ctypes.c_int),
        ("duration", ctypes.c_uint), ("info", ctypes.c_uint)]


def command(disk, cdb, direction, data):
    """The status and the sense key; data is a mutable buffer."""
    cdb = (ctypes.c_ubyte * len(cdb))(*cdb)
    sense = (ctypes.c_ubyte * 64)()
    header = Command(interface_id=ord("S"), direction=direction, cdb_len=len(cdb),
                     sense_size=len(sense), data_len=len(data), data=ctypes.addressof(data),
                     cdb=ctypes.addressof(cdb), sense=ctypes.addressof(sense), timeout=30000)
    fcntl.ioctl(disk, SG_IO, header)
    if header.host_status:
        raise OSError(f"the command failed on its way, host status {header.host_status:#x}")
    key = sense[1 if sense[0] & 0x7f >= 0x72 else 2] & 0xf
    return header.status, key if header.status == CHECK_CONDITION else 0
