#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A person looks for disks, logs in, looks at the disk with sg3_utils, and leaves.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

size=$((64 * 1024 * 1024))

need "riserd serves a RAM disk" start_riserd -p "$portal" ram:64M
need "iscsid starts" start_iscsid

need "SendTargets discovery" discover
check_says "discovery names the portal and the target" "^$portal,1 $iqn\$"
check "discovery leaves a record" iscsiadm -m node
check_says "the record names the target" "^$portal,1 $iqn\$"

need "login" login "$iqn"
check "iscsiadm shows the session" iscsiadm -m session
check_says "the session is with the target" "$portal,1 $iqn"
need "the kernel finds LUN 0" disk_of "$iqn" 0
disk=$(cat "$out")

check "TEST UNIT READY" sg_turs "$disk"
check "INQUIRY" sg_inq "$disk"
check_says "INQUIRY tells of a connected disk" 'PQual=0 +(PDT|Device_type)=0 '
check_says "INQUIRY gives a vendor" 'Vendor identification: *[^ ]'
check_says "INQUIRY gives a product" 'Product identification: *[^ ]'
check "VPD 00h, supported pages" sg_vpd --page=sv "$disk"
for page in 'Unit serial number' 'Device identification' 'Block limits' \
	'Block device characteristics' 'Logical block provisioning'; do
	sg_vpd --page=sv "$disk" >"$out" 2>&1
	check_says "VPD 00h lists $page" "$page"
done
check "VPD 80h, unit serial number" sg_vpd --page=sn "$disk"
check_says "the serial number is not empty" 'Unit serial number: *[^ ]'
check "VPD 83h, device identification" sg_vpd --page=di "$disk"
check_says "the logical unit has a designator" 'Addressed logical unit'
check "VPD B0h, block limits" sg_vpd --page=bl "$disk"
check "VPD B1h, block device characteristics" sg_vpd --page=bdc "$disk"
check "VPD B2h, logical block provisioning" sg_vpd --page=lbpv "$disk"
check "REPORT LUNS" sg_luns "$disk"
check_says "REPORT LUNS lists LUN 0" '^ +0000000000000000'

check "READ CAPACITY 10" sg_readcap "$disk"
check_says "READ CAPACITY 10 gives the size" "Device size: $size bytes"
check "READ CAPACITY 16" sg_readcap --16 "$disk"
check_says "READ CAPACITY 16 gives the size" "Device size: $size bytes"
check "the kernel read the size" blockdev --getsize64 "$disk"
check_says "the kernel sees the same size" "^$size\$"

check "logout" logout "$iqn"
check "no session is left" no_session "$iqn"
check "the disk is gone" until_true 10 test ! -e "$disk"
check "riserd stops cleanly on SIGTERM" stop_riserd
finish
