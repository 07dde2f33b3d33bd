#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Two sessions that draw on one shared receive queue: the environment asks for it, soft devices do
# not get it by themselves.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"

shared_queues() {
	rdma resource show | awk '{ for (i = 1; i < NF; i++) if ($i == "srq") n += $(i + 1) } END { print n + 0 }'
}

no_shared_queue() {
	[ "$(shared_queues)" -eq 0 ]
}

need "a soft-RoCE device" soft_roce_up
need "iscsid starts" start_iscsid
need "riserd serves" serve_rdma ram:32M
need "a record" record_over iser "$iqn"
need "login without the wish" login_over iser "$iqn"
check "receives are the session's own" no_shared_queue
check "logout" logout_over iser "$iqn"
check "riserd stops cleanly" stop_riserd

export RISER_RDMA_SRQ=on
need "riserd serves with shared receives, on one reactor" serve_rdma --cpus 0 ram:32M
need "login" login_over iser "$iqn"
need "its disk" disk_over iser "$iqn" 0
disk=$(cat "$out")
check "there is one shared queue" test "$(shared_queues)" -eq 1
need "a discovery beside it" discover_over iser
check "verified fio" verified_fio --filename="$disk" --size=16m --bsrange=512-64k
check "no aborts, no rejects" sh -c "! grep -q 'RDMA error' '$log'"
check "logout again" logout_over iser "$iqn"
check "the shared queue goes with its last session" until_true 10 no_shared_queue
check "the device can be removed" rdma_delete 0
check "riserd stops cleanly again" stop_riserd
finish
