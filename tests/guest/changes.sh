#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# While fio writes and verifies on one LUN, the configuration is read again and again, with LUNs and targets
# that come, change and go beside it; then riserd is stopped and started again and again, as for upgrades.
# The kernel must see no error and fio must not notice. CHANGES=100 makes both as many.
# timeout: 1500
# shellcheck disable=SC2086 # $riser is a command with an option
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

reloads=${CHANGES:-20}
restarts=${CHANGES:-5}
file=$TMPDIR/disk.img
conf=$TMPDIR/riser.conf
control=$TMPDIR/control.sock
riser="$BUILD/riser --control $control"
second=iqn.2026-11.localhost:second
truncate -s 64M "$file"

# write_conf N: what the administrator has written by now; LUN 0 is always the same
write_conf() {
	{
		echo "control { socket = \"$control\" }"
		echo "portal \"$portal\" { }"
		echo "target $iqn {"
		echo "	lun 0 { path = \"$file\" }"
		[ $(($1 % 2)) -eq 0 ] || echo "	lun 1 { path = \"ram:$((8 + $1 % 3))M\" iops = $((100 + $1)) }"
		echo "}"
		[ $(($1 % 3)) -eq 0 ] || echo "target $second { lun $(($1 % 5)) { path = \"ram:4M\" } }"
	} >"$conf.new"
	mv "$conf.new" "$conf"
}

serve() {
	start_riserd -c "$conf"
}

# reload N: by signal and by command in turns; each is over when this returns
reload() {
	write_conf "$1"
	if [ $(($1 % 2)) -eq 0 ]; then
		$riser config apply
	else
		kill -HUP "$riserd" && until_true 20 serves_second "$1"
	fi
}

# serves_second N: or does not, as write_conf has it
serves_second() {
	$riser --json target list >"$TMPDIR/targets"
	if [ $(($1 % 3)) -eq 0 ]; then
		! grep -q "$second" "$TMPDIR/targets"
	else
		$riser lun show "$second" $(($1 % 5))
	fi
}

all_reloads() {
	n=0
	while [ "$n" -lt "$reloads" ]; do
		n=$((n + 1))
		if ! reload "$n" || ! serves_second "$n"; then
			echo "reload $n"
			return 1
		fi
		fio_writes 1 || return 1
	done
}

all_restarts() {
	n=0
	while [ "$n" -lt "$restarts" ]; do
		n=$((n + 1))
		if ! stop_riserd || ! serve || ! until_true 60 in_full_feature; then
			echo "restart $n"
			return 1
		fi
		fio_writes 10 || return 1
	done
}

write_conf 0
need "riserd serves what a file says" serve
need "iscsid starts" start_iscsid
need "discovery" discover
need "login" login "$iqn"
need "the kernel finds the disk" disk_of "$iqn" 0
disk=$(cat "$out")
session=$(session_of "$iqn")

fio_until "$TMPDIR/enough" --filename="$disk" --size=48M >"$TMPDIR/fio" 2>&1 &
fio=$!
need "fio writes" fio_writes
check "the configuration is changed $reloads times" all_reloads
check "fio runs" kill -0 "$fio"
check "it was one session all the time" test "$(session_of "$iqn")" = "$session"
check "riserd is stopped and started $restarts times" all_restarts
check "fio runs to the end" kill -0 "$fio"
touch "$TMPDIR/enough"
check "fio ends without an error" wait "$fio"
check "each run of fio counted no error" fio_was_well "$TMPDIR/fio"
check "the kernel saw no error" no_kernel_errors
check "logout" logout "$iqn"
check "riserd stops cleanly" stop_riserd
finish
