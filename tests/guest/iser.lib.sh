# shellcheck shell=sh
# SPDX-License-Identifier: BSD-2-Clause
# What the guest scripts for RDMA share, on top of lib.sh: soft-RoCE devices, sessions over iSER,
# the kernel's own target to compare with, and riserd's statistics.
#
#   rxe0 on dummy0, 192.168.77.1        rxe1 on dummy1, 192.168.78.1
#
# Initiator and target are in the same guest: a device talks to itself.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

# shellcheck disable=SC2034 # for the scripts
rdma_portal=192.168.77.1:3260
# shellcheck disable=SC2034
rdma_portal2=192.168.78.1:3260
log=$TMPDIR/log

# Memory that a device reads and writes is locked.
# shellcheck disable=SC3045 # the shells that Debian has for sh know it
ulimit -l unlimited

# What riserd says goes to the script's standard error as ever, and to a file that can be asked.
mkfifo "$TMPDIR/log.fifo"
tee "$log" <"$TMPDIR/log.fifo" >&2 &
exec 3>"$TMPDIR/log.fifo"

# --- devices ---------------------------------------------------------------------------------

# Left to itself the module makes a dummy0, unless some package's modprobe.d says otherwise.
rdma_modules() {
	modprobe dummy numdummies=0 && modprobe -a rdma_rxe rdma_ucm ib_iser
}

# netdev_up N: dummyN with its address and room for 4 KiB of RDMA payload in a packet
netdev_up() {
	ip link add "dummy$1" type dummy &&
		ip link set "dummy$1" mtu 4200 up &&
		ip addr add "192.168.$((77 + $1)).1/24" dev "dummy$1"
}

# rdma_add N / rdma_delete N. The kernel's delete waits until everybody has let go of the device,
# for ever if it must: 10 s are enough for everybody who means to.
rdma_add() {
	rdma link add "rxe$1" type rxe netdev "dummy$1" && until_true 5 has_gid "$1"
}

rdma_delete() {
	timeout -s KILL 10 rdma link delete "rxe$1"
}

# has_gid N: the device carries its address, by which the connection manager finds it
has_gid() {
	printf '0000:0000:0000:0000:0000:ffff:c0a8:%02x01\n' $((77 + $1)) >"$TMPDIR/gid"
	cat "/sys/class/infiniband/rxe$1"/ports/1/gids/* 2>/dev/null | grep -q -F -f "$TMPDIR/gid"
}

# soft_roce_up [COUNT]
soft_roce_up() {
	rdma_modules || return 1
	for device in 0 1; do
		[ "$device" -lt "${1:-1}" ] || break
		netdev_up "$device" && rdma_add "$device" || return 1
	done
}

soft_roce_down() {
	for link in /sys/class/infiniband/rxe*; do
		if [ -d "$link" ]; then timeout -s KILL 10 rdma link delete "${link##*/}"; fi
	done
	for link in /sys/class/net/dummy*; do
		if [ -d "$link" ]; then timeout -s KILL 10 ip link delete "${link##*/}"; fi
	done
}

# rdma_of_riserd KIND: its qp, cq, mr, pd or cm_id, a line each. The kernel names the thread.
rdma_of_riserd() {
	ls "/proc/$riserd/task" | sed 's/.*/ pid & /' >"$TMPDIR/threads"
	rdma resource show "$1" | grep -F -f "$TMPDIR/threads"
}

# rdma_objects: how many it has of each kind
rdma_objects() {
	for kind in qp cq mr pd cm_id; do
		echo "$kind: $(rdma_of_riserd "$kind" | wc -l)"
	done
}

# has_queue_pairs N
has_queue_pairs() {
	[ "$(rdma_of_riserd qp | wc -l)" -eq "$1" ]
}

# --- riserd ----------------------------------------------------------------------------------

# serve_rdma ARGUMENT...: at rdma_portal, to everybody; ready when the kernel has its RDMA listener
serve_rdma() {
	start_riserd -p "$rdma_portal" --allow any "$@" && until_true 10 rdma_listens
}

# rdma_listens [PORTAL]
rdma_listens() {
	rdma_of_riserd cm_id | grep 'state LISTEN' | grep -q -F "src-addr ${1:-$rdma_portal} "
}

# said PATTERN: in riserd's log, or in that of an earlier one
said() {
	grep -E -q -- "$1" "$log"
}

# log_lines PATTERN: how many lines there are
log_lines() {
	grep -E -c -- "$1" "$log"
}

# statistics: what riserd says when it is asked, in $TMPDIR/statistics. Each reactor tells its
# lines in order, so the first ones are complete when a reactor begins a second time.
statistics() {
	before=$(wc -l <"$log")
	until_true 10 told_twice
}

told_twice() {
	kill -USR1 "$riserd" && tail -n +$((before + 1)) "$log" >"$TMPDIR/statistics"
	for cpu in 0 1; do
		[ "$(grep -c "reactor $cpu: " "$TMPDIR/statistics")" -ge 2 ] || return 1
	done
}

# over TRANSPORT WHAT: the sum of what the reactors told, for example `over iser "bytes copied"`
over() {
	awk -v over=" over $1: " -v what="$2" '
		match($0, /reactor [0-9]+ over /) {
			reactor = substr($0, RSTART, RLENGTH)
			if (index($0, over) == 0 || told[reactor]++)
				next
			sub(".*" over, "")
			count = split($0, part, ", ")
			for (i = 1; i <= count; i++)
				if (index(part[i], " " what))
					sum += part[i]
		}
		END { print sum + 0 }' "$TMPDIR/statistics"
}

# --- the initiator ---------------------------------------------------------------------------

# Everything below takes a session by its transport, tcp or iser, and its target's name.

# record_over TRANSPORT IQN [PORTAL]: a record without asking the target
record_over() {
	iscsiadm -m node -o new -T "$2" -p "${3:-$rdma_portal}" -I "$(iface "$1")"
}

# iface TRANSPORT: open-iscsi's name of the interface
iface() {
	case $1 in tcp) echo default ;; *) echo "$1" ;; esac
}

discover_over() {
	iscsiadm -m discovery -t sendtargets -I "$(iface "$1")" -p "${2:-$rdma_portal}"
}

# setting_over TRANSPORT IQN NAME VALUE
setting_over() {
	iscsiadm -m node -T "$2" -I "$(iface "$1")" -o update -n "$3" -v "$4"
}

login_over() {
	iscsiadm -m node -T "$2" -p "${3:-$rdma_portal}" -I "$(iface "$1")" --login
}

logout_over() {
	iscsiadm -m node -T "$2" -p "${3:-$rdma_portal}" -I "$(iface "$1")" --logout
}

# session_over TRANSPORT IQN: the sysfs folder of the session
session_over() {
	for session in /sys/class/iscsi_session/*; do
		[ "$(cat "$session/targetname" 2>/dev/null)" = "$2" ] || continue
		host=$(readlink -f "$session/device/..")
		case $(cat "/sys/class/scsi_host/${host##*/}/proc_name" 2>/dev/null) in
		"$1" | "iscsi_$1")
			echo "$session"
			return 0
			;;
		esac
	done
	return 1
}

no_session_over() {
	! session_over "$@" >/dev/null
}

logged_in_over() {
	[ "$(cat "$(session_over "$1" "$2")/state" 2>/dev/null)" = LOGGED_IN ]
}

# disk_now_over TRANSPORT IQN LUN / disk_over TRANSPORT IQN LUN: as disk_now and disk_of
disk_now_over() {
	for block in "$(session_over "$1" "$2")"/device/target*/*:*:*:"$3"/block/*; do
		if [ -b "/dev/${block##*/}" ]; then
			echo "/dev/${block##*/}"
			return 0
		fi
	done
	return 1
}

disk_over() {
	until_true 30 disk_now_over "$@" >"$TMPDIR/disk" && cat "$TMPDIR/disk"
}

# done_by DISK: how many requests the disk has completed
done_by() {
	awk '{ print $1 + $5 }' "/sys/block/${1#/dev/}/stat"
}

done_beyond() {
	[ "$(done_by "$1")" -gt "$2" ]
}

# busy DISK: it completes requests now
busy() {
	until_true 60 done_beyond "$1" $(($(done_by "$1") + 50))
}

# --- the kernel's target ---------------------------------------------------------------------

lio_config=/sys/kernel/config/target
lio_iqn=iqn.2026-11.localhost:lio

# lio_up PORTAL MIB [iser]: one RAM disk, for everybody
lio_up() {
	# Without this folder it logs an error for each thing it would keep there.
	mkdir -p /etc/target
	modprobe -a target_core_mod iscsi_target_mod || return 1
	[ -z "${3:-}" ] || modprobe ib_isert || return 1
	mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config || return 1
	disk=$lio_config/core/rd_mcp_0/ram
	tpg=$lio_config/iscsi/$lio_iqn/tpgt_1
	mkdir -p "$disk" &&
		echo "rd_pages=$(($2 * 256))" >"$disk/control" &&
		echo 1 >"$disk/enable" &&
		mkdir -p "$tpg/np/$1" "$tpg/lun/lun_0" &&
		ln -s "$disk" "$tpg/lun/lun_0/ram" || return 1
	for attribute in authentication=0 generate_node_acls=1 demo_mode_write_protect=0; do
		echo "${attribute#*=}" >"$tpg/attrib/${attribute%=*}" || return 1
	done
	[ -z "${3:-}" ] || echo 1 >"$tpg/np/$1/iser" || return 1
	echo 1 >"$tpg/enable"
}

lio_down() {
	tpg=$lio_config/iscsi/$lio_iqn/tpgt_1
	[ -d "$tpg" ] || return 0
	echo 0 >"$tpg/enable"
	rm "$tpg/lun/lun_0/ram"
	rmdir "$tpg/lun/lun_0" "$tpg"/np/* "$tpg" "$lio_config/iscsi/$lio_iqn" \
		"$lio_config/core/rd_mcp_0/ram" "$lio_config/core/rd_mcp_0"
}

# --- undoing ---------------------------------------------------------------------------------

undo_more() {
	lio_down
	soft_roce_down
}
