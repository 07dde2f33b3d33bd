#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Disks with protection information. The initiator's block layer knows nothing of it, because the
# iSCSI host adapter says that it cannot carry tuples: the disks work as any other, and riserd makes
# and checks the tuples. SCSI pass-through carries them all the same.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

file=$TMPDIR/disk.img
tuples=$TMPDIR/disk.pi
mnt=$TMPDIR/mnt

serve() {
	start_riserd -p "$portal" "$file,size=64M,pi=1,pi-path=$tuples" ram:16M,pi=2 \
		ram:16M,pi=3,block-size=4096
}

# integrity DISK: does the block layer have an integrity profile for it? "none" or no folder: no.
integrity() {
	cat "/sys/block/${1#/dev/}/integrity/format" 2>/dev/null || echo absent
}

# read_protected DISK FILE: READ (10) of block 8 with RDPROTECT 1
read_protected() {
	sg_raw -r 520 -o "$2" "$1" 28 20 00 00 00 08 00 00 01 00
}

write_protected() {
	sg_raw -s 520 -i "$2" "$1" 2a 20 00 00 00 08 00 00 01 00
}

# flip FILE OFFSET: another byte there
flip() {
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	# shellcheck disable=SC2059 # that is the format
	printf "\\$(printf %o $((byte ^ 1)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

need "riserd serves disks of all three types" serve
need "iscsid starts" start_iscsid
need "discovery" discover
need "login" login "$iqn"
for lun in 0 1 2; do
	need "the kernel finds LUN $lun" disk_of "$iqn" $lun
	disk=$(cat "$out")
	check "READ CAPACITY (16) of type $((lun + 1))" sg_readcap --16 "$disk"
	check_says "it tells of protection" "prot_en=1, p_type=$lun, p_i_exponent=0"
	check "INQUIRY" sg_inq "$disk"
	check_says "PROTECT is set" 'Protect=1'
	check "VPD 86h" sg_vpd --page=ei "$disk"
	check_says "all three fields are checked" 'GRD_CHK=1 APP_CHK=1 REF_CHK=1'
	echo "# integrity profile of LUN $lun in the block layer: $(integrity "$disk")"
	check "fio writes, reads and compares" verified_fio --filename="$disk" --size=4m --io_size=4m
	check "VERIFY checks the medium" sg_verify --16 --count=64 --lba=0 "$disk"
done

disk=$(disk_of "$iqn" 0)
check "VERIFY checks the tuples of type 1" sg_verify --vrprotect=1 --count=64 --lba=0 "$disk"
check "a block is read with its tuple" read_protected "$disk" "$TMPDIR/block"
check "it has 520 bytes" test "$(wc -c <"$TMPDIR/block")" -eq 520
check "and is taken back" write_protected "$disk" "$TMPDIR/block"
flip "$TMPDIR/block" 100
# 40: sg3_utils' status for protection information that does not fit
check_status 40 "with another byte it is refused" write_protected "$disk" "$TMPDIR/block"
check_says "for its guard" 'Logical block guard check failed'

check "ext4 on it" mkfs.ext4 -q -E nodiscard "$disk"
mkdir -p "$mnt"
check "is mounted" mount "$disk" "$mnt"
check "a file" cp "$SRC/Makefile" "$mnt/"
check "umount" umount "$mnt"
check "fsck finds nothing" e2fsck -fn "$disk"
check "the kernel saw no error" no_kernel_errors

check "logout" logout "$iqn"
check "riserd stops" stop_riserd
flip "$file" $((8 * 512 + 20))
need "riserd serves them again" serve
need "login again" login "$iqn"
need "LUN 0 is back" disk_of "$iqn" 0
disk=$(cat "$out")
check "the blocks in front of the byte that changed" dd if="$disk" of=/dev/null bs=4096 count=1 \
	iflag=direct
check_status 1 "the block with it is an error" dd if="$disk" of=/dev/null bs=512 skip=8 count=1 \
	iflag=direct
check "logout" logout "$iqn"
check "riserd stops cleanly" stop_riserd
finish
