#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The tools that administrators use on any SCSI disk, through the kernel's initiator: sg3_utils and
# sdparm on a disk in a file and on a second one beside it.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

says() {
	pattern=$1
	shift
	"$@" >"$TMPDIR/said" 2>&1
	grep -q -- "$pattern" "$TMPDIR/said" || {
		sed 's/^/# /' "$TMPDIR/said"
		return 1
	}
}

# same FIRST FROM SECOND TO BLOCKS: contents of two ranges
same() {
	sg_dd if="$1" skip="$2" of="$TMPDIR/one" bs=512 count="$5" 2>/dev/null &&
		sg_dd if="$3" skip="$4" of="$TMPDIR/two" bs=512 count="$5" 2>/dev/null &&
		cmp "$TMPDIR/one" "$TMPDIR/two"
}

# sg_of DISK: its /dev/sgN
sg_of() {
	echo "/dev/$(ls "/sys/block/${1#/dev/}/device/scsi_generic")"
}

# used FILE LESS_KIB: the file takes less space than that
used() {
	[ "$(du -k "$1" | cut -f 1)" -lt "$2" ]
}

# takes FILE KIB: at least that
takes() {
	! used "$@"
}

# all_zero DISK: its first 64 KiB
all_zero() {
	[ -z "$(sg_dd if="$1" of=- bs=512 count=128 2>/dev/null | tr -d '\0')" ]
}

head -c 67108864 /dev/urandom >"$TMPDIR/first"
truncate -s 64M "$TMPDIR/second"
head -c 65536 /dev/urandom >"$TMPDIR/data"
need "kernel modules" modprobe -a iscsi_tcp sd_mod sg ext4
need "riserd serves two files and a RAM disk" start_riserd -p "$portal" --allow any --state "$TMPDIR/state" \
	"$TMPDIR/first" "$TMPDIR/second" ram:64M
need "iscsid starts" start_iscsid
need "a record" record "$iqn"
need "login" login "$iqn"
need "the first disk" disk_of "$iqn" 0
need "the second disk" disk_of "$iqn" 1
need "the RAM disk" disk_of "$iqn" 2
a=$(disk_now "$iqn" 0)
b=$(disk_now "$iqn" 1)
ram=$(disk_now "$iqn" 2)

check "sg_opcodes lists the commands" says 'Persistent reserve out, register' sg_opcodes "$a"
check "sg_opcodes asks for one" says 'supported' sg_opcodes --opcode=0x89 "$a"
check "sg_opcodes lists the task management functions" says 'Logical unit reset' \
	sg_opcodes --tmf "$a"
check "sg_readcap" says 'Logical block provisioning: lbpme=1' sg_readcap --long "$a"
check "sg_vpd lists the pages" says 'Third party copy' sg_vpd "$a"
for page in di bl bdc lbpv ei sp mpp tpc; do
	check "sg_vpd decodes page $page" sg_vpd --page="$page" "$a"
done
check "sg_luns" says 'Lun list length = 24' sg_luns "$a"
check "sg_rtpg" says 'active/optimized' sg_rtpg --decode "$a"
check "sg_timestamp sets and reports" sh -c "sg_timestamp --milliseconds=1000000000000 $a &&
	sg_timestamp $a"

check "sg_verify reads" sg_verify --lba=0 --count=2048 "$a"
check "sg_write_same fills" sg_write_same --lba=64 --num=64 --in="$TMPDIR/data" --xferlen=512 "$a"
check "sg_write_same with NDOB writes zeros" sg_write_same --ndob --lba=0 --num=128 "$a"
check "they are read" all_zero "$a"
head -c 512 /dev/zero >"$TMPDIR/caw"
head -c 512 /dev/urandom >>"$TMPDIR/caw"
check "sg_compare_and_write writes when it compares" sg_compare_and_write --in="$TMPDIR/caw" \
	--lba=0 --num=1 "$a"
check "and refuses when it does not" sh -c "! sg_compare_and_write --in=$TMPDIR/caw --lba=0 --num=1 $a"
check "sg_sync" sg_sync "$a"
check "sg_get_lba_status" says 'mapped' sg_get_lba_status --lba=0 "$a"
check "sg_unmap" sg_unmap --force --lba=2048 --num=65536 "$a"
check "sg_get_lba_status says deallocated" says 'deallocated' sg_get_lba_status --lba=4096 "$a"
check "the file has become smaller" used "$TMPDIR/first" 36000

check "sg_xcopy copies between the disks" sg_xcopy if="$(sg_of "$a")" of="$(sg_of "$b")" bs=512 \
	count=1024
check "the contents are the same" same "$a" 0 "$b" 0 1024
check "sg_copy_results reads the limits of copies" says 'Maximum' sg_copy_results --params "$a"

check "sg_modes" says 'Caching' sg_modes --all "$a"
check "sdparm clears WCE" sdparm --clear=WCE "$a"
check "it is clear" says 'WCE  *0' sdparm --get=WCE "$a"
check "sdparm sets it, and saves" sdparm --save --set=WCE "$a"
check "sdparm sets SWP" sdparm --set=SWP "$a"
check "writes are refused" sh -c "! sg_dd if=$TMPDIR/data of=$a bs=512 count=1 oflag=sgio 2>/dev/null"
check "sdparm clears SWP" sdparm --clear=SWP "$a"
check "sdparm sets D_SENSE" sdparm --set=D_SENSE "$a"
check "the kernel understands descriptor sense" says 'Logical block address out of range' \
	sg_raw --request=512 "$a" 28 00 ff ff ff ff 00 00 01 00
check "sdparm clears D_SENSE" sdparm --clear=D_SENSE "$a"
check "sg_logs" says 'General Statistics' sg_logs --page=0x19 "$a"
check "sg_logs lists pages" says 'Supported log pages' sg_logs "$a"

check "sg_persist registers" sg_persist --out --register --param-sark=0xabc "$a"
check "sg_persist reserves" sg_persist --out --reserve --param-rk=0xabc --prout-type=3 "$a"
check "sg_persist shows it" says 'Exclusive Access' sg_persist --in --read-reservation "$a"
check "sg_persist shows all" says 'Reservation holder' sg_persist --in --read-full-status "$a"
check "sg_persist knows what is possible" says 'Persist Through Power Loss Capable(PTPL_C): 1' \
	sg_persist --in --report-capabilities "$a"
check "sg_persist clears" sg_persist --out --clear --param-rk=0xabc "$a"

check "sg_format" sg_format --format --wait --timeout=120 --ffmt=0 "$ram"
check "sg_sanitize overwrites" sg_sanitize --overwrite --zero --wait --quick --quick "$ram"
check "the disk is zeros" all_zero "$ram"
check "sg_sanitize erases blocks" sg_sanitize --block --wait --quick --quick "$ram"
check "sg_start stops" sg_start --stop "$ram"
check "sg_turs finds it stopped" sh -c "! sg_turs $ram"
check "sg_start starts" sg_start --start "$ram"
check "sg_turs" sg_turs "$ram"

check "blkdiscard" blkdiscard "$b"
check "the file has no blocks any more" used "$TMPDIR/second" 256
check "mkfs" mkfs.ext4 -q -E nodiscard "$b"
mkdir "$TMPDIR/mnt"
check "mount" mount "$b" "$TMPDIR/mnt"
check "a file of 32 MiB" dd if="$TMPDIR/first" of="$TMPDIR/mnt/file" bs=1M count=32 conv=fsync
check "the disk's file has grown" takes "$TMPDIR/second" 30000
rm "$TMPDIR/mnt/file"
sync
check "fstrim" fstrim "$TMPDIR/mnt"
check "and has given the space back" until_true 10 used "$TMPDIR/second" 20000
check "umount" umount "$TMPDIR/mnt"
check "logout" logout "$iqn"
check "riserd stops cleanly" stop_riserd
finish
