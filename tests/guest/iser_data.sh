#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Data over iSER, block by block: a RAM disk, a block device past the page cache and a file in it,
# 512 bytes to 1 MiB, queue depth 1 and 64, with and without unsolicited and immediate data.
# Afterwards a file system, and a look at how much the processor had to copy.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"

mount=$TMPDIR/mount
mkdir "$mount"
truncate -s 48M "$TMPDIR/cached" "$TMPDIR/loop"

# how_data IMMEDIATE INITIALR2T: Yes or No, for the next login
how_data() {
	setting_over iser "$iqn" node.session.iscsi.ImmediateData "$1" &&
		setting_over iser "$iqn" node.session.iscsi.InitialR2T "$2"
}

disks() {
	for lun in 0 1 2; do
		disk_over iser "$iqn" "$lun" || return 1
	done
}

# fio_on_all NAME=VALUE...: at the same time on each of the disks
fio_on_all() {
	{
		printf '[global]\nioengine=libaio\ndirect=1\nverify=crc32c\nverify_fatal=1\n'
		printf 'do_verify=1\nserialize_overlap=1\n'
		printf '%s\n' "$@"
		for disk in $all; do
			printf '[%s]\nfilename=%s\n' "${disk#/dev/}" "$disk"
		done
	} >"$TMPDIR/jobs"
	fio --eta=never "$TMPDIR/jobs"
}

# fio_sizes: each size in a place of its own, on all disks at the same time
fio_sizes() {
	{
		printf '[global]\nioengine=libaio\ndirect=1\nthread=1\nverify=crc32c\n'
		printf 'verify_fatal=1\ndo_verify=1\nrw=randwrite\niodepth=16\n'
		for disk in $all; do
			offset=0
			for size in 512:64k 4k:512k 8k:1m 64k:2m 68k:1m 256k:2m 1m:4m; do
				printf '[%s-%s]\nfilename=%s\n' "${disk#/dev/}" "${size%:*}" "$disk"
				printf 'bs=%s\nsize=%s\noffset=%sm\n' "${size%:*}" "${size#*:}" "$offset"
				offset=$((offset + 4))
			done
		done
	} >"$TMPDIR/jobs"
	fio --eta=never "$TMPDIR/jobs"
}

copied() {
	statistics && over iser "bytes copied"
}

# moves LUN READ|WRITE: 8 MiB, past the initiator's page cache
moves() {
	case $2 in
	read) dd if="$(disk_over iser "$iqn" "$1")" of=/dev/null bs=256k count=32 iflag=direct ;;
	write) dd if=/dev/zero of="$(disk_over iser "$iqn" "$1")" bs=256k count=32 oflag=direct ;;
	esac
}

# The processor copied nothing of what LUN read or wrote.
no_copy() {
	was=$(copied) && moves "$1" "$2" && now=$(copied) && [ -n "$now" ] &&
		{ [ "$now" -eq "$was" ] || ! echo "$((now - was)) bytes were copied"; }
}

loop=$(losetup --find --show "$TMPDIR/loop")
need "a soft-RoCE device" soft_roce_up
need "riserd serves three disks" serve_rdma ram:48M "$loop,direct=on" "$TMPDIR/cached"
need "iscsid starts" start_iscsid
need "a record" record_over iser "$iqn"

for mode in "Yes No" "Yes Yes" "No Yes"; do
	about="ImmediateData=${mode% *}, InitialR2T=${mode#* }"
	# shellcheck disable=SC2086 # two words
	need "$about" how_data $mode
	need "$about: login" login_over iser "$iqn"
	need "$about: three disks" disks
	all=$(cat "$out")
	check "$about: 512 B to 1 MiB, queue depth 1" fio_on_all rw=randrw bsrange=512-1m \
		size=4m iodepth=1
	check "$about: 512 B to 1 MiB, queue depth 64" fio_on_all rw=randrw bsrange=512-1m \
		size=6m iodepth=64
	check "$about: each size by itself" fio_sizes
	if [ "$mode" != "No Yes" ]; then check "$about: logout" logout_over iser "$iqn"; fi
done

# The last login has no immediate data: everything is RDMA Read and RDMA Write.
check "a RAM disk is read without a copy" no_copy 0 read
check "a RAM disk is written without a copy" no_copy 0 write
check "a block device is read without a copy" no_copy 1 read
check "a block device is written without a copy" no_copy 1 write

disk=$(disk_over iser "$iqn" 0)
need "ext4: format" mkfs.ext4 -q "$disk"
need "ext4: mount" mount -t ext4 "$disk" "$mount"
check "ext4: fio verifies mixed reads and writes" verified_fio --directory="$mount" --size=8M
check "ext4: write a file" dd if=/dev/urandom of="$mount/random" bs=1M count=8
(cd "$mount" && sha256sum ./*random verified* >"$TMPDIR/sums")
check "ext4: unmount" umount "$mount"
check "logout" logout_over iser "$iqn"
need "login again" login_over iser "$iqn"
need "the disk again" disk_over iser "$iqn" 0
disk=$(cat "$out")
check "ext4: the file system is sound" e2fsck -f -n "$disk"
need "ext4: mount again" mount -t ext4 "$disk" "$mount"
(cd "$mount" && sha256sum -c "$TMPDIR/sums") >"$TMPDIR/compared" 2>&1
check "ext4: the data are the same" test "$(grep -c ': OK$' "$TMPDIR/compared")" -ge 2
check "ext4: unmount again" umount "$mount"
check "the kernel saw no error" no_kernel_errors
check "logout again" logout_over iser "$iqn"
check "riserd stops cleanly" stop_riserd
losetup -d "$loop"
finish
