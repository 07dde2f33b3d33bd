#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The tools of libiscsi see the disks that riserd was told to serve: number, sizes, names, pages.
. "$SRC/tests/lib/daemon.sh"

truncate -s 96M "$TMPDIR/disk"
need_daemon ram:64M,serial=RAM0 "$TMPDIR/disk,serial=FILE1" ram:16M,block-size=4096 null:1T

# inq LUN [PAGE]
inq() {
	timeout 20 iscsi-inq ${2:+-e 1 -c "$2"} "$(url "$1")"
}

check 'iscsi-ls logs in and lists' timeout 20 iscsi-ls -s "iscsi://$(address)"
check_says 'iscsi-ls finds the target' "Target:$iqn Portal:$(address),1"
for lun in 0 1 2 3; do
	check_says "iscsi-ls finds LUN $lun, a disk" "^Lun:$lun +Type:DIRECT_ACCESS"
done
check 'iscsi-ls discovers without a look at the LUNs' timeout 20 iscsi-ls "iscsi://$(address)"

check 'standard INQUIRY' inq 0
check_says 'it is a connected disk' 'Peripheral Qualifier:CONNECTED'
check_says 'of SPC-4 or later' '^Version:[67] |Version:.*SPC-?[45]'
check_says 'that queues commands' 'CmdQue:1'

check 'VPD 00: supported pages' inq 0 0
for page in '0x00' '0x80' '0x83' '0xb0' '0xb1' '0xb2'; do
	check_says "page $page is supported" "[Pp]age:.*$page"
done
check 'VPD 80: unit serial number' inq 0 128
check_says 'is the one of the command line' 'Serial Number:\[?RAM0\]?'
check 'VPD 80 of another LUN' inq 1 128
check_says 'is its own' 'Serial Number:\[?FILE1\]?'
check 'VPD 83: device identification' inq 0 131
check_says 'names the logical unit by NAA' 'Designator type:?.*NAA|NAA'
check 'VPD B0: block limits' inq 0 176
check_says 'COMPARE AND WRITE is there' 'maximum compare and write length:[1-9]'
check_says 'UNMAP is there' 'maximum unmap lba count:[1-9]'
check 'VPD B1: block device characteristics' inq 0 177
check_says 'memory does not rotate' 'Medium Rotation Rate:1RPM'
check 'VPD B2: logical block provisioning' inq 0 178
check_says 'UNMAP is supported' 'lbpu:1'
refuted 'a page that is not there is an error' inq 0 85

sizes() {
	timeout 20 iscsi-readcapacity16 "$(url "$1")"
}
check 'READ CAPACITY (16) of a RAM disk' sizes 0
check_says '64 MiB' 'Total size:67108864'
check_says 'in blocks of 512' 'Block size:512|LOGICAL BLOCK LENGTH IN BYTES:512|lock.*:512$'
check 'READ CAPACITY (16) of a file' sizes 1
check_says '96 MiB' 'Total size:100663296'
check 'READ CAPACITY (16) of a disk with blocks of 4096' sizes 2
check_says '16 MiB' 'Total size:16777216'
check_says 'in blocks of 4096' ':4096$'
check 'READ CAPACITY (16) beyond 32 bits of blocks' sizes 3
check_says '1 TiB' 'Total size:1099511627776'
refuted 'a LUN that is not there is an error' timeout 20 iscsi-readcapacity16 "$(url 3)9"
refuted 'a target that is not there is an error' timeout 20 iscsi-readcapacity16 \
	"iscsi://$(address)/iqn.2026-11.localhost:other/0"

check 'iscsi-perf reads in sequence' timeout 30 iscsi-perf -m 32 -b 8 -t 1 "$(url 0)"
check 'iscsi-perf reads at random' timeout 30 iscsi-perf -r -m 128 -b 16 -t 1 "$(url 1)"
check_stopped
finish
