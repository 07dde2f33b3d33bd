#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 300
# One disk over TCP and over iSER at the same time, from several reactors: what all initiators saw
# of reads, writes and COMPARE AND WRITEs has an order, for memory and for a file.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"

# in_order LUN: a table of what happened, and status 0 when it can have happened
in_order() {
	python3 "$SRC/tests/guest/linearizability.py" 8 3 \
		"$(disk_now_over tcp "$iqn" "$1")" "$(disk_now_over iser "$iqn" "$1")"
}

need "a soft-RoCE device" soft_roce_up
truncate -s 16M "$TMPDIR/file"
need "riserd serves memory and a file" serve_rdma --cpus 0,1 ram:16M "$TMPDIR/file"
need "iscsid starts" start_iscsid
for transport in tcp iser; do
	need "$transport: a record" record_over "$transport" "$iqn"
	need "$transport: login" login_over "$transport" "$iqn"
	need "$transport: the memory" disk_over "$transport" "$iqn" 0
	need "$transport: the file" disk_over "$transport" "$iqn" 1
done
check "memory: an order explains what everybody saw" in_order 0
check "a file: an order explains what everybody saw" in_order 1
for transport in tcp iser; do
	check "$transport: logout" logout_over "$transport" "$iqn"
done
check "riserd stops cleanly" stop_riserd
finish
