#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A file system on the disk stands in /etc/fstab with _netdev. The machine starts: local file
# systems first, then the network and the automatic logins, then `mount -a -O _netdev`.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

mount=$TMPDIR/mount
mkdir "$mount"

need "riserd serves a RAM disk" start_riserd -p "$portal" ram:64M
need "iscsid starts" start_iscsid
need "discovery" discover
check "log in when the machine starts" setting "$iqn" node.startup automatic
need "login" login "$iqn"
need "the kernel finds the disk" disk_of "$iqn" 0
disk=$(cat "$out")
need "format" mkfs.ext4 -q "$disk"
need "the file system has a UUID" blkid -o value -s UUID "$disk"
echo "UUID=$(cat "$out") $mount ext4 _netdev 0 2" >/etc/fstab

need "mount by the line in fstab" mount "$mount"
echo "still here" >"$mount/file"
check "unmount" umount "$mount"
check "logout" logout "$iqn"
check "the machine goes down" stop_iscsid

check "the machine starts: local file systems" mount -a -O no_netdev
check "the disk is not among them" not_mounted "$mount"
need "then iscsid" start_iscsid
need "then the automatic logins" iscsiadm -m node --loginall=automatic
need "the disk comes back" disk_of "$iqn" 0
check "then the network's file systems" mount -a -O _netdev
check "the disk is among them" mounted "$mount"
check "what the file holds" cat "$mount/file"
check_says "the file is still here" '^still here$'

check "the machine goes down: network file systems first" umount -a -O _netdev
check "the disk is unmounted" not_mounted "$mount"
check "then the sessions" iscsiadm -m node --logoutall=all
check "the kernel saw no error" no_kernel_errors
check "riserd stops cleanly" stop_riserd
finish
