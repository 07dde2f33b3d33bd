#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# ext4 and xfs on the disk: format, mount, write and verify, unmount, log out. After another
# login everything is still there.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

mount=$TMPDIR/mount
mkdir "$mount"

disk_after_login() {
	need "$1: login" login "$iqn"
	need "$1: the kernel finds the disk" disk_of "$iqn" 0
	disk=$(cat "$out")
}

format() {
	case $fs in
	ext4) mkfs.ext4 "$disk" ;;
	xfs) mkfs.xfs -f "$disk" ;;
	esac
}

examine() {
	case $fs in
	ext4) e2fsck -f -n "$disk" ;;
	xfs) xfs_repair -n "$disk" ;;
	esac
}

delete_and_trim() {
	rm "$mount"/verified* "$mount/random" && fstrim -v "$mount"
}

same_data() {
	(cd "$mount" && sha256sum -c "$TMPDIR/sums")
}

need "riserd serves a RAM disk" start_riserd -p "$portal" ram:512M
need "iscsid starts" start_iscsid
need "discovery" discover
for fs in ext4 xfs; do
	disk_after_login "$fs"
	need "$fs: format" format
	need "$fs: mount" mount -t "$fs" "$disk" "$mount"
	check "$fs: fio verifies mixed reads and writes" \
		verified_fio --directory="$mount" --size=24M
	check "$fs: write a file through the page cache" \
		dd if=/dev/urandom of="$mount/random" bs=1M count=16
	(cd "$mount" && sha256sum verified* random) >"$TMPDIR/sums"
	check "$fs: unmount" umount "$mount"
	check "$fs: logout" logout "$iqn"
	check "$fs: the disk is gone" until_true 10 test ! -e "$disk"

	disk_after_login "$fs, again"
	check "$fs: the file system is sound" examine
	need "$fs: mount again" mount -t "$fs" "$disk" "$mount"
	check "$fs: two files are there" test "$(find "$mount" -type f | wc -l)" -eq 2
	check "$fs: the data are the same" same_data
	check "$fs: the freed blocks can be trimmed" delete_and_trim
	check "$fs: unmount again" umount "$mount"
	check "$fs: logout again" logout "$iqn"
done

check "the kernel saw no error" no_kernel_errors
check "riserd stops cleanly" stop_riserd
finish
