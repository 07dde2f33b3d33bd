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

need "riserd serves a file" serve
need "iscsid starts" start_iscsid
need "discovery" discover
need "login" login "$iqn"
need "the kernel finds the disk" disk_of "$iqn" 0
disk=$(cat "$out")

fio_until "$TMPDIR/enough" --filename="$disk" --size=48M >"$TMPDIR/fio" 2>&1 &
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
check "each run of fio counted no error" fio_was_well "$TMPDIR/fio"
check "the kernel saw no error" no_kernel_errors
check "logout" logout "$iqn"
check "riserd stops cleanly" stop_riserd
finish
