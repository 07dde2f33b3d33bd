#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Fifty logins and logouts over iSER: nothing of a session stays when it is gone.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"

# What the allocator may keep for next time, KiB
slack=1024

session_comes_and_goes() {
	login_over iser "$iqn" && disk_over iser "$iqn" 0 &&
		dd if="$(cat "$TMPDIR/disk")" of=/dev/null bs=1M count=2 iflag=direct &&
		logout_over iser "$iqn"
}

descriptors() {
	find "/proc/$riserd/fd" -mindepth 1 | wc -l
}

# resident: KiB of riserd's own memory
resident() {
	awk '$1 == "RssAnon:" { print $2 }' "/proc/$riserd/status"
}

objects_are() {
	rdma_objects >"$TMPDIR/now"
	cmp -s "$1" "$TMPDIR/now" || ! cat "$1" "$TMPDIR/now"
}

grown() {
	now=$(resident)
	echo "$before KiB before, $now KiB now"
	[ "$now" -gt $((before + slack)) ]
}

need "a soft-RoCE device" soft_roce_up
need "riserd serves a RAM disk" serve_rdma ram:16M
need "iscsid starts" start_iscsid
need "a record" record_over iser "$iqn"
rdma_objects >"$TMPDIR/at-start"
for round in 1 2 3; do
	need "session $round" session_comes_and_goes
done
check "riserd has the same RDMA objects as at its start" \
	until_true 10 objects_are "$TMPDIR/at-start"
before=$(resident)
open=$(descriptors)
round=0
while [ "$round" -lt 50 ]; do
	session_comes_and_goes >"$out" 2>&1 || break
	round=$((round + 1))
done
check "50 more sessions" test "$round" -eq 50
check "riserd has the same RDMA objects again" until_true 10 objects_are "$TMPDIR/at-start"
check "riserd has the same number of open files" test "$(descriptors)" -eq "$open"
check_status 1 "riserd has not grown" grown
need "a last login" login_over iser "$iqn"
check "riserd has a queue pair for it" has_queue_pairs 1
check "logout" logout_over iser "$iqn"
check "riserd stops cleanly" stop_riserd
finish
