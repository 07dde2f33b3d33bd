#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 420
# RDMA devices come and go while riserd runs: one appears after riserd, it goes away at rest, then
# ten times under load. Each time its sessions end with it and come back with it, within seconds
# and without a restart; the TCP session of the same target does not feel it, and nobody holds on
# to the device, which would make `rdma link delete` hang.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"

# seconds until riserd has to have seen a device that came
soon=5

# tcp_lost: how often the kernel lost the TCP session's connection
tcp_lost() {
	dmesg | grep -c "connection${tcp_session#session}:0: detected conn error"
}

need "the modules" rdma_modules
need "an address without an RDMA device" netdev_up 0
need "riserd starts" start_riserd -p "$rdma_portal" --allow any ram:32M ram:32M
check "riserd does not listen over RDMA yet" test "$(rdma_objects | grep -c ': 0$')" -eq 5
need "iscsid starts" start_iscsid
need "a record for TCP" record_over tcp "$iqn"
need "login over TCP" login_over tcp "$iqn"
need "the disk over TCP" disk_over tcp "$iqn" 1
over_tcp=$(cat "$out")
tcp_session=$(session_over tcp "$iqn")
tcp_session=${tcp_session##*/}

need "the device appears" rdma_add 0
need "riserd serves it within $soon s" until_true "$soon" rdma_listens
check "the device goes away while nobody uses it" rdma_delete 0
need "the device is back" rdma_add 0
need "riserd serves it again within $soon s" until_true "$soon" rdma_listens

need "a record for iSER" record_over iser "$iqn"
need "login over iSER" login_over iser "$iqn"
need "the disk over iSER" disk_over iser "$iqn" 0
over_iser=$(cat "$out")
fio_until "$TMPDIR/enough" --filename="$over_iser" --size=16M >"$TMPDIR/fio-iser" 2>&1 &
fio_iser=$!
fio_until "$TMPDIR/enough" --filename="$over_tcp" --size=16M --iodepth=2 >"$TMPDIR/fio-tcp" 2>&1 &
fio_tcp=$!
for flap in 1 2 3 4 5 6 7 8 9 10; do
	need "flap $flap: I/O over iSER" busy "$over_iser"
	need "flap $flap: the device is deleted" rdma_delete 0
	check "flap $flap: I/O over TCP meanwhile" busy "$over_tcp"
	need "flap $flap: the device is back" rdma_add 0
	need "flap $flap: riserd serves it within $soon s" until_true "$soon" rdma_listens
	need "flap $flap: the session is back" until_true 60 logged_in_over iser "$iqn"
done
need "I/O over iSER after the last time" busy "$over_iser"
touch "$TMPDIR/enough"
check "fio over iSER ends without an error" wait "$fio_iser"
check "each run of it counted no error" fio_was_well "$TMPDIR/fio-iser"
check "fio over TCP ends without an error" wait "$fio_tcp"
check "each run of it counted no error, too" fio_was_well "$TMPDIR/fio-tcp"
check "the TCP session never lost its connection" test "$(tcp_lost)" -eq 0
check "the kernel saw no error" no_kernel_errors
check "logout over iSER" logout_over iser "$iqn"
check "logout over TCP" logout_over tcp "$iqn"
check "the device goes for good" rdma_delete 0
check "riserd stops cleanly" stop_riserd
finish
