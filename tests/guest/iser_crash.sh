#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# riserd is killed and started again, three times, while fio writes and verifies over iSER. The
# initiator logs in again and repeats what was not answered (replacement_timeout, 120 s, is far
# away): fio must not notice.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"

file=$TMPDIR/disk.img
truncate -s 32M "$file"

need "a soft-RoCE device" soft_roce_up
need "riserd serves a file" serve_rdma "$file"
need "iscsid starts" start_iscsid
need "a record" record_over iser "$iqn"
need "login" login_over iser "$iqn"
need "the kernel finds the disk" disk_over iser "$iqn" 0
disk=$(cat "$out")

fio_until "$TMPDIR/enough" --filename="$disk" --size=24M >"$TMPDIR/fio" 2>&1 &
fio=$!
for crash in 1 2 3; do
	need "crash $crash: fio writes" busy "$disk"
	need "crash $crash: riserd is killed" crash_riserd
	check "crash $crash: fio runs" kill -0 "$fio"
	need "crash $crash: riserd starts again" serve_rdma "$file"
	need "crash $crash: the session recovers" until_true 60 logged_in_over iser "$iqn"
done
need "fio writes after the last crash" busy "$disk"
check "fio runs to the end" kill -0 "$fio"
touch "$TMPDIR/enough"
check "fio ends without an error" wait "$fio"
check "each run of fio counted no error" fio_was_well "$TMPDIR/fio"
check "the kernel saw no error" no_kernel_errors
check "logout" logout_over iser "$iqn"
check "riserd stops cleanly" stop_riserd
finish
