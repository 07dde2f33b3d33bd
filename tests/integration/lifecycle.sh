#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# riserd starts, stops and starts again: SIGTERM ends it in bounds with status 0 whatever its
# initiators do, the disks keep what was written, and they are the same disks afterwards.
. "$SRC/tests/lib/daemon.sh"
. "$SRC/tests/lib/writer.sh"

truncate -s 512M "$TMPDIR/disk"

# pages FILE: the identity of LUNs 0 and 1 by VPD 80 and 83
pages() {
	for lun in 0 1; do
		iscsi-inq -e 1 -c 128 "$(url $lun)" && iscsi-inq -e 1 -c 131 "$(url $lun)" || return
	done >"$1"
}

# stopped_within SECONDS
stopped_within() {
	local start=$SECONDS
	daemon_stop && [ $((SECONDS - start)) -le "$1" ]
}

# --- identity and data over a restart ---
need_daemon "$TMPDIR/disk" ram:16M
check 'the identity of a file and a RAM disk' pages "$TMPDIR/id1"
check 'data is written' qemu_io "$(url 0)" 'write -P 0x42 1M 4M' flush
check 'SIGTERM without initiators: in 5 s' stopped_within 5
check 'the data is in the file' qemu_io "$TMPDIR/disk" 'read -P 0x42 1M 4M' 'read -P 0 5M 1M'
need_daemon "$TMPDIR/disk" ram:16M
check 'the identity after a restart' pages "$TMPDIR/id2"
check 'is the same' cmp "$TMPDIR/id1" "$TMPDIR/id2"
check 'the data after a restart' qemu_io "$(url 0)" 'read -P 0x42 1M 4M' 'read -P 0 5M 1M'

# --- SIGTERM with initiators that do nothing ---
mkfifo "$TMPDIR/idle"
PYTHONPATH=$SRC/tests/lib python3 - "$(url 0)" >"$TMPDIR/idle" <<'END' &
import re
import sys

from conn import Conn
from initiator import Initiator

host, port, iqn = re.match(r"iscsi://(.+):(\d+)/([^/]+)/0$", sys.argv[1]).groups()
silent = Conn((host, int(port)))
conn = Initiator((host, int(port)), iqn).login()
conn.clear_unit_attention()
conn.events = []
print("in", flush=True)
conn.expect_closed(30)
silent.expect_closed(30)
print("closed", flush=True)
END
exec 6<"$TMPDIR/idle"
idle_says() {
	local line
	IFS= read -r -t 30 -u 6 line && [ "$line" = "$1" ]
}
check 'an initiator logs in and does nothing, another does not even log in' idle_says in
check 'SIGTERM: in 5 s' stopped_within 5
check 'their connections were closed' idle_says closed

# --- SIGTERM under load ---
for mode in plain flush; do
	truncate -s 0 "$TMPDIR/disk"
	truncate -s 512M "$TMPDIR/disk"
	need_daemon "$TMPDIR/disk"
	writer_start "$(url 0)" $mode
	check "$mode writes are under way" writer_await 20
	check "$mode writes: SIGTERM: in 10 s" stopped_within 10
	check "$mode writes: the initiator saw the connection closed" writer_end
	check "$mode writes: all that was acknowledged is in the file" writer_check "$TMPDIR/disk"
done

# --- SIGINT is the same ---
need_daemon ram:16M
interrupted() {
	kill -INT "$pid"
	ended
}
check 'SIGINT ends with status 0, too' interrupted
pid=
finish
