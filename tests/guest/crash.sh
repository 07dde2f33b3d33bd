#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# riserd is killed and started again, three times, while fio writes and verifies. The initiator
# logs in again and repeats what was not answered (replacement_timeout, 120 s, is far away): fio
# must not notice.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

file=$TMPDIR/disk.img
truncate -s 64M "$file"

serve() {
	start_riserd -p "$portal" "$file"
}

# writes: how many the kernel has seen completed
writes() {
	awk '{ print $5 }' "/sys/block/${disk#/dev/}/stat"
}

writes_beyond() {
	[ "$(writes)" -gt "$1" ]
}

# fio_writes: it is in the middle of its work, or what it says tells why not
fio_writes() {
	until_true 60 writes_beyond $(($(writes) + 100)) || ! cat "$TMPDIR/fio"
}

in_full_feature() {
	[ "$(cat "$(session_of "$iqn")/state")" = LOGGED_IN ]
}

# fio_until FILE: run after run until the file is there, verifying while it writes
fio_until() {
	until [ -e "$1" ]; do
		echo run
		verified_fio --filename="$disk" --size=48M --verify_backlog=32 || return
	done
}

need "riserd serves a file" serve
need "iscsid starts" start_iscsid
need "discovery" discover
need "login" login "$iqn"
need "the kernel finds the disk" disk_of "$iqn" 0
disk=$(cat "$out")

fio_until "$TMPDIR/enough" >"$TMPDIR/fio" 2>&1 &
fio=$!
for crash in 1 2 3; do
	need "crash $crash: fio writes" fio_writes
	need "crash $crash: riserd is killed" crash_riserd
	check "crash $crash: fio runs" kill -0 "$fio"
	need "crash $crash: riserd starts again" serve
	need "crash $crash: the session recovers" until_true 60 in_full_feature
done
need "fio writes after the last crash" fio_writes
check "fio runs to the end" kill -0 "$fio"
touch "$TMPDIR/enough"
check "fio ends without an error" wait "$fio"
check "what fio says" cat "$TMPDIR/fio"
check "each run of fio counted no error" \
	test "$(grep -c '^run$' "$out")" -eq "$(grep -c 'err= 0:' "$out")"
check "the kernel saw no error" no_kernel_errors
check "logout" logout "$iqn"
check "riserd stops cleanly" stop_riserd
finish
