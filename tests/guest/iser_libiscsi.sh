#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# libiscsi's iSER, an initiator in user space with habits of its own: 4 RDMA Reads at a time, no
# remote invalidation. Then it stops to answer, and dies without a word.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"

url=iser://$rdma_portal/$iqn
scratch=$url/0
initiator_name=iqn.2026-11.localhost:libiscsi

logins_beyond() {
	[ "$(log_lines 'logged in over iser')" -gt "$1" ]
}

# perf SECONDS: reads, many at a time, when this returns; its pid is in $perf
perf() {
	logins=$(log_lines 'logged in over iser')
	iscsi-perf -i "$initiator_name" -t "$1" -m 32 -b 64 -r "$scratch" >"$TMPDIR/perf" 2>&1 &
	perf=$!
	targets="${targets:-} $perf" # ends with us
	until_true 20 logins_beyond "$logins" && until_true 20 grep -q 'iops current' "$TMPDIR/perf"
}

need "a soft-RoCE device" soft_roce_up
need "riserd serves two disks" serve_rdma --nop-interval 2 ram:16M ram:32M
check "INQUIRY" iscsi-inq -i "$initiator_name" "$scratch"
check_says "a disk is there" 'Peripheral Device Type:DIRECT_ACCESS'
for page in 0x00 0x80 0x83 0xb0 0xb1 0xb2; do
	check "VPD $page" iscsi-inq -i "$initiator_name" -e 1 -c "$page" "$scratch"
done
check "READ CAPACITY 16" iscsi-readcapacity16 -i "$initiator_name" "$url/1"
check_says "the size of LUN 1" "Total size:$((32 * 1024 * 1024))"
check "reads" iscsi-perf -i "$initiator_name" -t 2 -m 32 -b 64 -r "$scratch"
check "no queue pair is left" until_true 10 has_queue_pairs 0

need "somebody reads" perf 600
check "and is killed" kill -KILL "$perf"
check "riserd lets go of him" until_true 10 has_queue_pairs 0
need "somebody else reads" perf 600
check "and stands still" kill -STOP "$perf"
check "riserd finds that out by NOP-In" until_true 15 has_queue_pairs 0
check "it is killed, too" kill -KILL "$perf"
check "a third one is served" iscsi-inq -i "$initiator_name" "$scratch"
check "riserd stops cleanly" stop_riserd
finish
