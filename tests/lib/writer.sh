# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# A writer that knows what was promised to it, for the scripts that stop or kill riserd under
# load. Source it behind daemon.sh.

# writer_start URL plain|fua|flush: writes LUN 0 from its start in rounds of 16 commands of 4 KiB,
# without FUA, with it, or with a SYNCHRONIZE CACHE after each round. $acknowledged rounds are
# known to have been answered GOOD, see writer_await.
writer_start() {
	mkfifo "$TMPDIR/rounds"
	PYTHONPATH=$SRC/tests/lib python3 - "$@" >"$TMPDIR/rounds" 2>"$TMPDIR/writer.err" <<'END' &
import re
import sys

from conn import Closed
from initiator import Initiator, pattern
from iscsi import GOOD, SCSI_RESPONSE

url, mode = sys.argv[1:]
host, port, iqn = re.match(r"iscsi://(.+):(\d+)/([^/]+)/0$", url).groups()
conn = Initiator((host, int(port)), iqn).login()
conn.clear_unit_attention()
conn.events = []
BUSY = 0x08


def good(status):
    """True, or riserd stops: nothing but the end is to come."""
    while status == BUSY:
        conn.recv(30)
    return status == GOOD


first = 0
try:
    while True:
        data = [pattern(8, lba) for lba in range(first, first + 128, 8)]
        conn.send(*(conn.command_pdu(
            bytes([0x2a, 8 if mode == "fua" else 0]) + (first + 8 * i).to_bytes(4, "big")
            + b"\0\0\x08\0", write=4096, data=part) for i, part in enumerate(data)))
        for part in data:
            if not good(conn.expect(SCSI_RESPONSE, 30).status):
                sys.exit("a write was not GOOD")
        if mode == "flush" and not good(conn.scsi(b"\x35" + bytes(9)).status):
            sys.exit("a flush was not GOOD")
        first += 128
        print(first // 128, flush=True)
except Closed:
    print("closed", flush=True)
END
	writer=$!
	exec 8<"$TMPDIR/rounds"
	rm "$TMPDIR/rounds"
	acknowledged=0
}

# writer_await ROUNDS: until so many are acknowledged
writer_await() {
	local line
	while [ "$acknowledged" -lt "$1" ]; do
		IFS= read -r -t 30 -u 8 line || { cat "$TMPDIR/writer.err"; return 1; }
		[ "$line" != closed ] || return 1
		acknowledged=$line
	done
}

# writer_end: the connection must have been closed; takes note of the last rounds
writer_end() {
	local line
	while IFS= read -r -t 30 -u 8 line; do
		if [ "$line" = closed ]; then
			wait "$writer"
			return
		fi
		acknowledged=$line
	done
	cat "$TMPDIR/writer.err"
	return 1
}

# writer_check FILE: every acknowledged round is there
writer_check() {
	PYTHONPATH=$SRC/tests/lib python3 - "$1" "$acknowledged" <<'END'
import sys

from initiator import pattern

with open(sys.argv[1], "rb") as file:
    for lba in range(0, int(sys.argv[2]) * 128, 8):
        if file.read(4096) != pattern(8, lba):
            sys.exit(f"block {lba} of {int(sys.argv[2]) * 128} acknowledged ones is not there")
if not int(sys.argv[2]):
    sys.exit("nothing was acknowledged")
END
}
