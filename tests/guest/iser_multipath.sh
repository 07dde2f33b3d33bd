#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# One disk over TCP and over iSER, joined by dm-multipath. While fio writes and verifies, first the
# RDMA device goes, then, when that is back, the network of the TCP session: fio notices neither.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"

map=/dev/mapper/riser

# number DISK: major:minor
number() {
	cat "/sys/block/${1#/dev/}/dev"
}

# Two groups of one path each: the second is used when the first has failed.
join() {
	dmsetup create riser --table "0 $(blockdev --getsz "$over_iser") multipath 0 0 2 1 \
		round-robin 0 1 1 $(number "$over_iser") 100 \
		round-robin 0 1 1 $(number "$over_tcp") 100" && dmsetup mknodes riser && [ -b "$map" ]
}

# path_state DISK A|F: active or failed, for the map
path_state() {
	dmsetup status riser | grep -q " $(number "$1") $2 "
}

# repair DISK: what multipathd does when a path answers again
repair() {
	sg_turs "$1" && dmsetup message riser 0 reinstate_path "$(number "$1")"
}

# Nothing passes lo any more. A device that talks to itself does not pass lo.
cut_tcp() {
	tc qdisc add dev lo root netem loss 100%
}

need "a soft-RoCE device" soft_roce_up
need "the modules of multipath" modprobe -a dm_multipath dm_round_robin sch_netem
need "riserd serves a RAM disk" serve_rdma ram:64M
need "iscsid starts" start_iscsid
for transport in iser tcp; do
	need "$transport: a record" record_over "$transport" "$iqn"
	# A dead path fails its requests at once, multipath knows another.
	check "$transport: no waiting for dead sessions" setting_over "$transport" "$iqn" \
		node.session.timeo.replacement_timeout 1
	check "$transport: ping often" setting_over "$transport" "$iqn" \
		node.conn[0].timeo.noop_out_interval 1
	check "$transport: do not wait long for an answer" setting_over "$transport" "$iqn" \
		node.conn[0].timeo.noop_out_timeout 2
	need "$transport: login" login_over "$transport" "$iqn"
	need "$transport: the kernel finds the disk" disk_over "$transport" "$iqn" 0
done
over_iser=$(disk_now_over iser "$iqn" 0)
over_tcp=$(disk_now_over tcp "$iqn" 0)
need "both are joined" join

fio_until "$TMPDIR/enough" --filename="$map" --size=32M >"$TMPDIR/fio" 2>&1 &
fio=$!
need "fio writes over iSER" busy "$over_iser"
check "the RDMA device is deleted" rdma_delete 0
need "the path over iSER has failed" until_true 60 path_state "$over_iser" F
need "fio writes over TCP" busy "$over_tcp"
check "the RDMA device is back" rdma_add 0
need "the session over iSER is back" until_true 60 logged_in_over iser "$iqn"
need "its path is repaired" until_true 10 repair "$over_iser"
check "multipath turns to it" dmsetup message riser 0 switch_group 1
need "fio writes over iSER again" busy "$over_iser"

check "multipath turns to TCP" dmsetup message riser 0 switch_group 2
need "fio writes over TCP again" busy "$over_tcp"
need "the network is cut" cut_tcp
need "the path over TCP has failed" until_true 60 path_state "$over_tcp" F
need "fio goes on over iSER" busy "$over_iser"
check "the network is back" tc qdisc del dev lo root
need "the session over TCP is back" until_true 60 logged_in_over tcp "$iqn"
need "its path is repaired, too" until_true 10 repair "$over_tcp"

check "fio runs to the end" kill -0 "$fio"
touch "$TMPDIR/enough"
check "fio ends without an error" wait "$fio"
check "each run of fio counted no error" fio_was_well "$TMPDIR/fio"
check "the disks part" dmsetup remove riser
check "logout over iSER" logout_over iser "$iqn"
check "logout over TCP" logout_over tcp "$iqn"
check "riserd stops cleanly" stop_riserd
finish
