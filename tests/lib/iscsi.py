# SPDX-License-Identifier: BSD-2-Clause
"""The wire format of RFC 7143 as a test wants it: every field can be read and
every field can be set to nonsense. PDUs, digests, text and the CHAP arithmetic."""

import base64
import hashlib
import struct

NO_TAG = 0xffffffff
BHS = 48

# Opcodes of an initiator and of a target (11.2.1.2).
NOP_OUT, SCSI_COMMAND, TMF, LOGIN, TEXT, DATA_OUT, LOGOUT, SNACK = 0, 1, 2, 3, 4, 5, 6, 0x10
NOP_IN, SCSI_RESPONSE, TMF_RESPONSE, LOGIN_RESPONSE, TEXT_RESPONSE = 0x20, 0x21, 0x22, 0x23, 0x24
DATA_IN, LOGOUT_RESPONSE, R2T, ASYNC, REJECT = 0x25, 0x26, 0x31, 0x32, 0x3f

# Login status, class and detail (11.13.5).
AUTH_FAILED, NOT_ALLOWED, NOT_FOUND, BAD_VERSION = 0x0201, 0x0202, 0x0203, 0x0205
TOO_MANY_CONNECTIONS, MISSING_PARAMETER, CANNOT_INCLUDE = 0x0206, 0x0207, 0x0208
BAD_SESSION_TYPE, NO_SESSION, INVALID_DURING_LOGIN, INITIATOR_ERROR = 0x0209, 0x020a, 0x020b, 0x0200

# Reject reasons (11.17.1).
DIGEST_ERROR, SNACK_REJECT, PROTOCOL_ERROR, NOT_SUPPORTED = 0x02, 0x03, 0x04, 0x05
TASK_IN_PROGRESS, INVALID_DATA_ACK, INVALID_FIELD = 0x07, 0x08, 0x09

# SCSI status and the sense (key, ASC, ASCQ) that RFC 7143 11.4.7.2 and SPC name.
GOOD, CHECK_CONDITION = 0x00, 0x02
INVALID_OPCODE = (5, 0x20, 0x00)
INVALID_CDB_FIELD = (5, 0x24, 0x00)
NO_SUCH_LUN = (5, 0x25, 0x00)
UNEXPECTED_UNSOLICITED = (0xb, 0x0c, 0x0c)
INCORRECT_AMOUNT = (0xb, 0x0c, 0x0d)
CRC_ERROR = (0xb, 0x47, 0x05)


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82f63b78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _crc_table()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xff] ^ (crc >> 8)
    return crc ^ 0xffffffff


def digest(data):
    """CRC32C as it stands on the wire: least significant byte first (13.1)."""
    return struct.pack("<I", crc32c(data))


def padding(length):
    return -length % 4


def _field(offset, form):
    size = struct.calcsize(form)

    def get(pdu):
        return struct.unpack_from(form, pdu.bhs, offset)[0]

    def put(pdu, value):
        struct.pack_into(form, pdu.bhs, offset, value & ((1 << 8 * size) - 1))

    return property(get, put)


class Pdu:
    """A header, its AHS and its data. Fields that share an offset are named as in
    the PDU they belong to. `claim_dsl` and `claim_ahs` put other lengths in the
    header than what follows it; `pad` is the byte used to fill up."""

    byte0 = _field(0, ">B")
    flags = _field(1, ">B")
    byte2 = response = reason = version_max = _field(2, ">B")
    byte3 = status = version_min = _field(3, ">B")
    ahs_words = _field(4, ">B")
    lun = _field(8, ">Q")
    isid_high = _field(8, ">I")
    tsih = _field(14, ">H")
    itt = _field(16, ">I")
    cid = _field(20, ">H")
    ttt = edtl = rtt = snack_tag = _field(20, ">I")
    cmdsn = statsn = _field(24, ">I")
    expstatsn = expcmdsn = _field(28, ">I")
    maxcmdsn = refcmdsn = _field(32, ">I")
    login_status = _field(36, ">H")
    datasn = r2tsn = expdatasn = _field(36, ">I")
    offset = begrun = _field(40, ">I")
    residual = desired = runlength = _field(44, ">I")

    def __init__(self, opcode=0, bhs=None, **fields):
        self.bhs = bytearray(bhs or BHS)
        self.ahs = b""
        self.data = b""
        self.claim_dsl = None
        self.claim_ahs = None
        self.pad = b"\0"
        if bhs is None:
            self.byte0 = opcode
        for name, value in fields.items():
            if not hasattr(self, name):
                raise AttributeError(name)
            setattr(self, name, value)

    @property
    def opcode(self):
        return self.byte0 & 0x3f

    @property
    def immediate(self):
        return bool(self.byte0 & 0x40)

    @property
    def dsl(self):
        return int.from_bytes(self.bhs[5:8], "big")

    @property
    def cdb(self):
        return bytes(self.bhs[32:48])

    @cdb.setter
    def cdb(self, value):
        self.bhs[32:48] = value[:16].ljust(16, b"\0")

    @property
    def isid(self):
        return bytes(self.bhs[8:14])

    @isid.setter
    def isid(self, value):
        self.bhs[8:14] = value

    @property
    def final(self):
        return bool(self.flags & 0x80)

    def header(self):
        """The basic header with its lengths filled in."""
        dsl = len(self.data) if self.claim_dsl is None else self.claim_dsl
        self.ahs_words = len(self.ahs) // 4 if self.claim_ahs is None else self.claim_ahs
        self.bhs[5:8] = dsl.to_bytes(3, "big")
        return bytes(self.bhs)

    def wire(self, header_digest=False, data_digest=False):
        head = self.header() + self.ahs
        body = self.data + self.pad * padding(len(self.data))
        if header_digest:
            head += digest(head)
        if data_digest and body:
            body += digest(body)
        return head + body

    def __repr__(self):
        return (f"PDU {self.opcode:#04x} flags {self.flags:#04x} itt {self.itt:#x} "
                f"{bytes(self.bhs).hex(' ', 4)} + {len(self.data)} bytes {bytes(self.data[:64])!r}")


def extended_cdb(cdb, length=None):
    """An Extended CDB AHS (11.2.2.3) with what does not fit in the header."""
    rest = cdb[16:]
    length = 1 + len(rest) if length is None else length
    ahs = struct.pack(">HBB", length, 1, 0) + rest
    return ahs + bytes(padding(len(ahs)))


def encode_text(pairs):
    """Text of (key, value) pairs or of a dict; every pair ends in a NUL (6.1)."""
    pairs = pairs.items() if isinstance(pairs, dict) else pairs
    return b"".join(b"%s=%s\0" % (_bytes(key), _bytes(value)) for key, value in pairs)


def decode_text(data):
    """The list of pairs; a target that sends malformed text fails the test here."""
    if not data:
        return []
    if not data.endswith(b"\0"):
        raise ValueError(f"text does not end in a NUL: {data[-80:]!r}")
    pairs = []
    for item in data[:-1].split(b"\0"):
        key, equals, value = item.partition(b"=")
        if not key or not equals:
            raise ValueError(f"not a key=value pair: {item!r}")
        pairs.append((key.decode(), value.decode()))
    return pairs


def _bytes(value):
    return value if isinstance(value, bytes) else str(value).encode()


# CHAP (12.1.3, RFC 1994): algorithm number to hash.
CHAP_HASHES = {5: "md5", 6: "sha1", 7: "sha256", 8: "sha3_256"}


def chap_response(algorithm, identifier, secret, challenge):
    return hashlib.new(CHAP_HASHES[algorithm],
                       bytes([identifier]) + _bytes(secret) + challenge).digest()


def encode_hex(data):
    return "0x" + data.hex()


def encode_base64(data):
    return "0b" + base64.b64encode(data).decode()


def decode_binary(value):
    """A binary-value in either encoding (6.1)."""
    if value[:2].lower() == "0x":
        return bytes.fromhex(value[2:])
    if value[:2].lower() == "0b":
        return base64.b64decode(value[2:], validate=True)
    raise ValueError(f"not a binary value: {value!r}")


class Sense:
    """Fixed or descriptor sense data out of a SCSI Response's data segment."""

    def __init__(self, segment):
        length = int.from_bytes(segment[:2], "big")
        if length > len(segment) - 2:
            raise ValueError(f"SenseLength {length} in a segment of {len(segment)}")
        self.raw = bytes(segment[2:2 + length])
        form = self.raw[0] & 0x7f
        if form in (0x70, 0x71):
            self.code = (self.raw[2] & 0xf, self.raw[12], self.raw[13])
        elif form in (0x72, 0x73):
            self.code = (self.raw[1] & 0xf, self.raw[2], self.raw[3])
        else:
            raise ValueError(f"sense format {form:#x}")


def sense_text(code):
    return "none" if code is None else "%X/%02X/%02X" % code
