#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A person finds a target over RDMA, logs in, looks at the disk, and logs in to the same target
# over TCP beside it, at the same address: two ways to one disk.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"

size=$((64 * 1024 * 1024))

# identity DISK: VPD 83h, without the lines on the port the question came through
identity() {
	sg_vpd --page=di_lu "$1"
}

need "a soft-RoCE device" soft_roce_up
need "riserd serves a RAM disk" serve_rdma ram:64M
need "iscsid starts" start_iscsid

need "SendTargets discovery over iSER" discover_over iser
check_says "discovery names the portal and the target" "^$rdma_portal,1 $iqn\$"
need "login over iSER" login_over iser "$iqn"
check "iscsiadm shows the session" iscsiadm -m session
check_says "it is an iSER session" "^iser: .* $rdma_portal,1 $iqn"
check "the session in detail" iscsiadm -m session -P 2
check_says "no header digest" 'HeaderDigest: None'
check_says "no data digest" 'DataDigest: None'
check_says "immediate data is welcome" 'ImmediateData: Yes'
need "the kernel finds LUN 0" disk_over iser "$iqn" 0
disk=$(cat "$out")
check "INQUIRY" sg_inq "$disk"
check_says "INQUIRY tells of a connected disk" 'PQual=0 +(PDT|Device_type)=0 '
check "READ CAPACITY 16" sg_readcap --16 "$disk"
check_says "READ CAPACITY 16 gives the size" "Device size: $size bytes"
check "REPORT LUNS" sg_luns "$disk"
check_says "REPORT LUNS lists LUN 0" '^ +0000000000000000'
sg_raw -r 512 "$disk" 28 00 7f ff ff ff 00 00 01 00 >"$out" 2>&1
check_says "a READ beyond the end brings its sense" 'Logical block address out of range'
identity "$disk" >"$TMPDIR/iser"

need "a record for TCP" record_over tcp "$iqn"
need "login over TCP, at the same address" login_over tcp "$iqn"
need "the kernel finds LUN 0 again" disk_over tcp "$iqn" 0
disk2=$(cat "$out")
check "they are two disks to the kernel" test "$disk" != "$disk2"
identity "$disk2" >"$TMPDIR/tcp"
check "VPD 83h has a designator" grep -q 'designator type' "$TMPDIR/iser"
check "VPD 83h is the same over both" cmp "$TMPDIR/iser" "$TMPDIR/tcp"
dd if=/dev/urandom of="$TMPDIR/random" bs=64k count=16 2>/dev/null
check "what is written over iSER" dd if="$TMPDIR/random" of="$disk" bs=64k oflag=direct
check "can be read over TCP" dd if="$disk2" of="$TMPDIR/read" bs=64k count=16 iflag=direct
check "and is the same" cmp "$TMPDIR/random" "$TMPDIR/read"
check "statistics" statistics
check "they count the session over TCP" test "$(over tcp 'bytes read')" -ge 1048576
check "they count the session over iSER" test "$(over iser 'bytes written')" -ge 1048576

check "logout over iSER" logout_over iser "$iqn"
check "the session over iSER is gone" no_session_over iser "$iqn"
check "the session over TCP is not" logged_in_over tcp "$iqn"
check "its disk answers" sg_turs "$disk2"
check "logout over TCP" logout_over tcp "$iqn"
check "no session is left" no_session "$iqn"
check "riserd stops cleanly" stop_riserd
check "nobody holds the device" rdma_delete 0
finish
