#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The initiator insists on CRC32C digests: both, then each alone.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

# digest_on header|data None|CRC32C: what the kernel uses on the session's connection
digest_on() {
	used=$(cat "$(session_of "$iqn")"/device/connection*/iscsi_connection/*/"$1_digest")
	case $2 in None) [ "$used" = 0 ] ;; CRC32C) [ "$used" = 1 ] ;; esac
}

need "riserd serves a RAM disk" start_riserd -p "$portal" ram:64M
need "iscsid starts" start_iscsid
need "discovery" discover
for pair in CRC32C/CRC32C CRC32C/None None/CRC32C; do
	header=${pair%/*} data=${pair#*/}
	check "$pair: ask for the header digest" \
		setting "$iqn" 'node.conn[0].iscsi.HeaderDigest' "$header"
	check "$pair: ask for the data digest" \
		setting "$iqn" 'node.conn[0].iscsi.DataDigest' "$data"
	need "$pair: login" login "$iqn"
	check "$pair: header digest negotiated" digest_on header "$header"
	check "$pair: data digest negotiated" digest_on data "$data"
	need "$pair: the kernel finds the disk" disk_of "$iqn" 0
	disk=$(cat "$out")
	check "$pair: fio verifies mixed reads and writes" \
		verified_fio --filename="$disk" --size=12M
	check "$pair: logout" logout "$iqn"
done
check "the kernel saw no error" no_kernel_errors
check "riserd stops cleanly" stop_riserd
finish
