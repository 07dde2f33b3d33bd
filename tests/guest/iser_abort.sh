#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Commands are aborted, LUNs and the target reset, while fio writes and verifies over iSER. What
# was aborted is repeated by the kernel; fio must not notice, and what it reads must be right.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"

# asked: how many task management functions the initiator sent
asked() {
	iscsiadm -m session -s | sed -n 's/.*tmfcmd_pdus: *//p'
}

asked_more() {
	[ "$(asked)" -gt "$1" ]
}

# stand_still: riserd answers nothing until commands have run into their timeout
stand_still() {
	was=$(asked)
	kill -STOP "$riserd"
	until_true 30 asked_more "$was"
	status=$?
	kill -CONT "$riserd"
	return "$status"
}

no_pings() {
	setting_over iser "$iqn" node.conn[0].timeo.noop_out_interval 0 &&
		setting_over iser "$iqn" node.conn[0].timeo.noop_out_timeout 0
}

# tmfs: how many riserd was asked for
tmfs() {
	statistics
	sed -n 's/.*over iser .* \([0-9]*\) task management functions.*/\1/p' \
		"$TMPDIR/statistics" | sort -n | tail -n 1
}

need "a soft-RoCE device" soft_roce_up
need "riserd serves a RAM disk" serve_rdma ram:64M
need "iscsid starts" start_iscsid
need "a record" record_over iser "$iqn"
# A connection that is pinged gives its commands more time.
need "no pings" no_pings
need "login" login_over iser "$iqn"
need "the kernel finds the disk" disk_over iser "$iqn" 0
disk=$(cat "$out")

fio_until "$TMPDIR/enough" --filename="$disk" --size=32M --iodepth=64 >"$TMPDIR/fio" 2>&1 &
fio=$!
for round in 1 2 3; do
	need "round $round: I/O" busy "$disk"
	check "round $round: LUN reset" sg_reset -d "$disk"
	need "round $round: I/O after the LUN reset" busy "$disk"
	check "round $round: target reset" sg_reset -t "$disk"
	need "round $round: I/O after the target reset" busy "$disk"
done
resets=$(tmfs)
check "riserd saw the resets" test "${resets:-0}" -ge 3

need "commands time out after 1 s" sh -c "echo 1 >/sys/block/${disk#/dev/}/device/timeout"
for round in 1 2 3; do
	need "round $round: commands run into their timeout" stand_still
	need "round $round: I/O after the aborts" busy "$disk"
done
aborts=$(tmfs)
check "riserd saw the aborts" test "${aborts:-0}" -gt "${resets:-0}"
need "commands have time again" sh -c "echo 30 >/sys/block/${disk#/dev/}/device/timeout"
touch "$TMPDIR/enough"
check "fio ends without an error" wait "$fio"
check "each run of fio counted no error" fio_was_well "$TMPDIR/fio"
check "fio afterwards" verified_fio --filename="$disk" --size=16M
check "the kernel saw no error" no_kernel_errors
check "logout" logout_over iser "$iqn"
check "riserd stops cleanly" stop_riserd
finish
