#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Copies that the target does by itself, between files of a file system that can share blocks: after
# EXTENDED COPY and a copy by token the contents are the same, and they take no
# space, since the file system was told and not the bytes moved.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

# sg_of DISK: its /dev/sgN
sg_of() {
	echo "/dev/$(ls "/sys/block/${1#/dev/}/device/scsi_generic")"
}

make_xfs() {
	truncate -s 512M "$TMPDIR/image" && mkfs.xfs -q -m reflink=1 "$TMPDIR/image" &&
		mkdir "$TMPDIR/xfs" && mount -o loop "$TMPDIR/image" "$TMPDIR/xfs"
}

# shared FILE: how many bytes of it are blocks of other files, too
shared() {
	filefrag -b1 -e -v "$1" | awk -F: '/shared/ { bytes += $4 } END { print bytes + 0 }'
}

# all_shared FILE MIB: at least that much
all_shared() {
	sync
	[ "$(shared "$1")" -ge $(($2 << 20)) ] || {
		filefrag -b1 -e -v "$1" | sed 's/^/# /'
		return 1
	}
}

none_shared() {
	[ "$(shared "$1")" -eq 0 ]
}

# xcopy FROM TO / by_token FROM TO: 16 MiB
xcopy() {
	sg_xcopy if="$(sg_of "$1")" of="$(sg_of "$2")" bs=512 count=32768
}

by_token() {
	python3 "$SRC/tests/guest/token_copy.py" "$1" "$2" 32768
}

need "modules" modprobe -a iscsi_tcp sd_mod sg loop xfs
need "a file system with reflinks" make_xfs
head -c 33554432 /dev/urandom >"$TMPDIR/xfs/a"
truncate -s 32M "$TMPDIR/xfs/b" "$TMPDIR/xfs/c"
need "riserd serves three files" start_riserd -p "$portal" --allow any \
	"$TMPDIR/xfs/a" "$TMPDIR/xfs/b" "$TMPDIR/xfs/c"
need "iscsid starts" start_iscsid
need "a record" record "$iqn"
need "login" login "$iqn"
for lun in 0 1 2; do
	need "disk $lun" disk_of "$iqn" "$lun"
done
a=$(disk_now "$iqn" 0)
b=$(disk_now "$iqn" 1)
c=$(disk_now "$iqn" 2)

check "no file shares blocks yet" none_shared "$TMPDIR/xfs/b"
check "EXTENDED COPY" xcopy "$a" "$b"
check "the contents are the same" cmp -n 16777216 "$TMPDIR/xfs/a" "$TMPDIR/xfs/b"
check "the blocks are shared" all_shared "$TMPDIR/xfs/b" 16
check "POPULATE TOKEN and WRITE USING TOKEN" by_token "$a" "$c"
check "the contents are the same" cmp -n 16777216 "$TMPDIR/xfs/a" "$TMPDIR/xfs/c"
check "the blocks are shared" all_shared "$TMPDIR/xfs/c" 16
check "a write to the copy" sg_dd if=/dev/zero of="$c" bs=512 count=128 oflag=sgio
check "does not reach the original" cmp -n 65536 "$TMPDIR/xfs/a" "$TMPDIR/xfs/b"
check "logout" logout "$iqn"
check "riserd stops cleanly" stop_riserd
check "the file system is unmounted" umount "$TMPDIR/xfs"
finish
