#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A multipath host: udev, multipathd, two portal groups as two paths of one disk. ALUA priorities
# order the paths, sg_stpg turns them round under verified fio, and mpathpersist registers and
# reserves over both.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

first=127.0.0.1:3260
second=127.0.0.2:3260
key=0x123abc

start_udev() {
	/lib/systemd/systemd-udevd --daemon 2>/dev/null && udevadm control --ping
}

stop_udev() {
	udevadm control --exit
}

start_multipathd() {
	mkdir -p /etc/multipath
	cat >/etc/multipath.conf <<-END
		defaults {
			find_multipaths no
			polling_interval 1
			prio alua
			path_grouping_policy group_by_prio
			failback immediate
			user_friendly_names no
			reservation_key file
		}
		blacklist {
			devnode "^(vd|nullb|loop|ram)"
		}
	END
	multipathd && until_true 20 multipathd_answers
}

multipathd_answers() {
	multipathd show daemon 2>/dev/null | grep -q 'idle\|running'
}

# disk_through PORTAL: the disk of the session with this portal
disk_through() {
	for connection in /sys/class/iscsi_connection/*; do
		[ "$(cat "$connection/persistent_address"):3260" = "$1" ] || continue
		for block in "$connection"/device/../target*/*:*:*:0/block/*; do
			if [ -b "/dev/${block##*/}" ]; then
				echo "/dev/${block##*/}"
				return 0
			fi
		done
	done
	return 1
}

# The map of both paths
find_map() {
	[ "$(multipathd show maps raw format %N)" = 2 ] &&
		map=/dev/mapper/$(multipathd show maps raw format %n) && [ -b "$map" ]
}

# priority DISK PRIO: multipathd has found it
priority() {
	[ "$(multipathd show paths raw format '%d %p' | awk -v disk="${1#/dev/}" '$1 == disk { print $2 }')" = "$2" ]
}

# in_use DISK: I/O comes through it
in_use() {
	before=$(awk '{ print $1 + $5 }' "/sys/block/${1#/dev/}/stat")
	sleep 0.3
	[ "$(awk '{ print $1 + $5 }' "/sys/block/${1#/dev/}/stat")" -gt $((before + 5)) ]
}

# group_state DISK GROUP STATE: as REPORT TARGET PORT GROUPS says through the disk
group_state() {
	sg_rtpg --decode "$1" | awk -v group="$2" -v state="$3" '
		/target port group id/ { here = $0 ~ ("id : 0x" sprintf("%x", group) " ") }
		here && index($0, state) { found = 1 }
		END { exit !found }'
}

# two_keys: mpathpersist registers once per path
two_keys() {
	[ "$(sg_persist --in --read-keys "$1" | grep -c "$key")" = 2 ]
}

undo_more() {
	multipathd shutdown
	stop_udev
}

need "kernel modules" modprobe -a iscsi_tcp sd_mod sg dm_multipath scsi_dh_alua dm_service_time
need "udev starts" start_udev
need "riserd serves a RAM disk in two portal groups" start_riserd -p "$first,tag=1" \
	-p "$second,tag=2" --allow any ram:64M
need "iscsid starts" start_iscsid
need "discovery" discover
check "each portal group has its tag" sh -c "iscsiadm -m node | grep -q '^$first,1 ' &&
	iscsiadm -m node | grep -q '^$second,2 '"
check "no waiting for dead sessions" setting "$iqn" node.session.timeo.replacement_timeout 1
need "login to both" login "$iqn"
need "a disk through the first" until_true 20 disk_through "$first"
need "a disk through the second" until_true 20 disk_through "$second"
over_first=$(disk_through "$first")
over_second=$(disk_through "$second")
check "the kernel knows the first group" grep -qx active/optimized \
	"/sys/block/${over_first#/dev/}/device/access_state"
need "multipathd starts" start_multipathd
need "multipathd joins the paths" until_true 30 find_map

check "both groups are active/optimized" group_state "$over_first" 1 active/optimized
check "the second, too" group_state "$over_first" 2 active/optimized
check "the first path has the priority of an optimized one" until_true 20 \
	priority "$over_first" 50
check "sg_stpg makes the second group non-optimized" sg_stpg --tp=2 --state=1 "$over_first"
check "the target says so" group_state "$over_second" 2 "active/non optimized"
check "multipathd gives it a lower priority" until_true 20 priority "$over_second" 10

# While it changes its mind about priorities multipath may make the group active again, as explicit ALUA
# lets it: what was read then proves nothing, and the group goes to standby once more.
standby_does_not_read() {
	group_state "$over_second" 1 standby || sg_stpg --tp=1 --state=2 "$over_second" || return 1
	! sg_dd if="$over_first" iflag=sgio of=/dev/null bs=512 count=1 2>&1 &&
		group_state "$over_second" 1 standby
}

fio_stop=$TMPDIR/enough
verified_until() {
	while [ ! -e "$fio_stop" ]; do
		verified_fio --filename="$map" --size=16M || return 1
	done
}
verified_until >"$TMPDIR/fio" 2>&1 &
fio=$!
check "fio writes through the first path" until_true 20 in_use "$over_first"
check "sg_stpg: the first group to standby, the second to active/optimized" \
	sg_stpg --tp=1,2 --state=2,0 "$over_second"
check "fio goes on through the second" until_true 30 in_use "$over_second"
check "multipathd gives the first the priority of standby" until_true 20 priority "$over_first" 1
check "a path in standby does not read" until_true 20 standby_does_not_read
check "sg_stpg: back again, through the path in standby" sg_stpg --tp=1,2 --state=0,1 "$over_first"
check "fio comes back to the first" until_true 30 in_use "$over_first"
touch "$fio_stop"
check "fio had no error" wait "$fio"

check "mpathpersist registers over both paths" mpathpersist --out --register \
	--param-sark="$key" "$map"
check "the target has a key per path" two_keys "$over_first"
check "mpathpersist reserves: Write Exclusive, registrants only" mpathpersist --out --reserve \
	--param-rk="$key" --prout-type=5 "$map"
check "the reservation is there" sh -c "mpathpersist --in --read-reservation $map | grep -q 'Key = $key'"
check "writes over the map pass" verified_fio --filename="$map" --size=4M
check "mpathpersist releases" mpathpersist --out --release --param-rk="$key" --prout-type=5 "$map"
check "mpathpersist clears" mpathpersist --out --clear --param-rk="$key" "$map"
check "no key is left" sh -c "! sg_persist --in --read-keys $over_first | grep -q $key"

check "multipathd stops" multipathd shutdown
check "logout" logout "$iqn"
check "riserd stops cleanly" stop_riserd
finish
