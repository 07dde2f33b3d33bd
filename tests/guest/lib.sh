# shellcheck shell=sh
# SPDX-License-Identifier: BSD-2-Clause
# What the guest scripts share. Source it first: . "$SRC/tests/guest/lib.sh"
# A script tells one story; each step is a check, and finish prints the plan. Everything it
# started or mounted is undone on exit, in the order a careful administrator would.
set -u

if [ ! -d /run/guest ] || [ "$(cat /proc/1/comm)" != sh ]; then
	echo "Bail out! this script loads, formats and kills: run it with ci/guest/run"
	exit 1
fi

portal=127.0.0.1:3260
# shellcheck disable=SC2034 # for the scripts
iqn=iqn.2026-11.localhost:riser
initiator=iqn.2026-11.localhost:guest
. "$SRC/tests/lib/results.sh"

# --- results ---------------------------------------------------------------------------------

# need NAME COMMAND...: a check without which the rest of the story makes no sense
need() {
	check "$@" || finish
}

finish() {
	echo "1..$points"
	exit
}

# until_true SECONDS COMMAND...: for states of the kernel that nothing announces
until_true() {
	end=$(($(date +%s) + $1))
	shift
	until "$@"; do
		[ "$(date +%s)" -lt "$end" ] || return 1
		sleep 0.1
	done
}

# --- the target ------------------------------------------------------------------------------

# start_riserd ARGUMENT...: returns when it has said `ready`; its pid is in $riserd, its URLs
# in $TMPDIR/urls, its log joins the script's standard error.
start_riserd() {
	rm -f "$TMPDIR/riserd.stdout"
	mkfifo "$TMPDIR/riserd.stdout"
	"$RISERD" "$@" >"$TMPDIR/riserd.stdout" 2>&3 &
	riserd=$!
	targets="${targets:-} $riserd"
	timeout 60 sed -u '/^ready$/q' <"$TMPDIR/riserd.stdout" >"$TMPDIR/urls"
	[ "$(tail -n 1 "$TMPDIR/urls")" = ready ]
}

# stop_riserd [PID]: as an administrator does; the status is riserd's own
stop_riserd() {
	set -- "${1:-$riserd}"
	kill -TERM "$1"
	until_true 30 ended "$1" || kill -KILL "$1"
	wait "$1"
}

ended() {
	! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"
}

crash_riserd() {
	kill -KILL "$riserd"
	wait "$riserd" 2>/dev/null
	ended "$riserd"
}

# --- the initiator ---------------------------------------------------------------------------

# start_iscsid: with Debian's settings and no records; the daemon listens when this returns
start_iscsid() {
	iscsid && until_true 20 iscsid_answers
}

iscsid_answers() {
	iscsiadm -m session >/dev/null 2>&1
	case $? in 0 | 21) ;; *) return 1 ;; esac # 21: no sessions
}

stop_iscsid() {
	iscsiadm -k 0 && until_true 20 no_iscsid
}

no_iscsid() {
	! pidof iscsid >/dev/null
}

# Records are kept there; Debian's settings where the host's user may read them.
fresh_records() {
	if [ -r /etc/iscsi/iscsid.conf ]; then cp /etc/iscsi/iscsid.conf "$TMPDIR/"; fi
	mount -t tmpfs tmpfs /etc/iscsi
	if [ -f "$TMPDIR/iscsid.conf" ]; then cp "$TMPDIR/iscsid.conf" /etc/iscsi/; fi
	: >>/etc/iscsi/iscsid.conf
	# This line would have iscsiadm ask systemd for an iscsid.
	sed -i '/^iscsid.startup/d' /etc/iscsi/iscsid.conf
	echo "InitiatorName=$initiator" >/etc/iscsi/initiatorname.iscsi
}

# discover [PORTAL]: leaves records of what the target offers
discover() {
	iscsiadm -m discovery -t sendtargets -p "${1:-$portal}"
}

# record IQN: a record of a target without asking it
record() {
	iscsiadm -m node -o new -T "$1" -p "$portal"
}

# setting IQN NAME VALUE: in the record
setting() {
	iscsiadm -m node -T "$1" -o update -n "$2" -v "$3"
}

login() {
	iscsiadm -m node -T "$1" --login
}

logout() {
	iscsiadm -m node -T "$1" --logout
}

# session_of IQN: the sysfs folder of the session
session_of() {
	for session in /sys/class/iscsi_session/*; do
		if [ "$(cat "$session/targetname" 2>/dev/null)" = "$1" ]; then
			echo "$session"
			return 0
		fi
	done
	return 1
}

no_session() {
	! session_of "$1" >/dev/null
}

# disk_now IQN LUN / disk_of IQN LUN: prints /dev/sdX. There is no udev here: the name comes
# from sysfs and the node from devtmpfs. disk_of waits for the scan that follows a login.
disk_now() {
	for block in "$(session_of "$1")"/device/target*/*:*:*:"$2"/block/*; do
		if [ -b "/dev/${block##*/}" ]; then
			echo "/dev/${block##*/}"
			return 0
		fi
	done
	return 1
}

disk_of() {
	until_true 30 disk_now "$@" >"$TMPDIR/disk" && cat "$TMPDIR/disk"
}

# verified_fio ARGUMENT...: mixed reads and writes, every block read back and compared
verified_fio() {
	fio --name=verified --ioengine=libaio --direct=1 --iodepth=16 --rw=randrw --rwmixread=40 \
		--bsrange=4k-64k --verify=crc32c --verify_fatal=1 --do_verify=1 --end_fsync=1 --eta=never "$@"
}

# --- fio while something happens to its $disk; what it says is in $TMPDIR/fio -------------------

# shellcheck disable=SC2154 # disk: the script's
# writes: how many the kernel has seen completed
writes() {
	awk '{ print $5 }' "/sys/block/${disk#/dev/}/stat"
}

writes_beyond() {
	[ "$(writes)" -gt "$1" ]
}

# fio_writes [COUNT]: so many more, or what it says tells why not
fio_writes() {
	until_true 60 writes_beyond $(($(writes) + ${1:-100})) || ! cat "$TMPDIR/fio"
}

# fio_until FILE ARGUMENT...: run after run until the file is there, verifying while it writes
fio_until() {
	enough=$1
	shift
	until [ -e "$enough" ]; do
		echo run
		verified_fio --verify_backlog=32 "$@" || return
	done
}

# fio_was_well FILE: what fio_until said; every run counted no error
fio_was_well() {
	cat "$1"
	[ "$(grep -c '^run$' "$1")" -gt 0 ] &&
		[ "$(grep -c '^run$' "$1")" -eq "$(grep -c 'err= 0:' "$1")" ]
}

in_full_feature() {
	[ "$(cat "$(session_of "$iqn")/state")" = LOGGED_IN ]
}

mounted() {
	mountpoint -q "$1"
}

not_mounted() {
	! mountpoint -q "$1"
}

# no_kernel_errors: since the script began the kernel has not told of failed I/O
no_kernel_errors() {
	dmesg | awk -v begin="guest: $(basename "$TMPDIR")\$" '
		$0 ~ begin { errors = 0 }
		/I\/O error|critical .* error|rejecting I\/O|Aborting journal|Corruption/ {
			errors++
			print
		}
		END { exit errors > 0 }'
}

# --- undoing ---------------------------------------------------------------------------------

undo() {
	trap - EXIT
	awk -v top="$TMPDIR/" 'index($2, top) == 1 { print $2 }' /proc/mounts | sort -r |
		while read -r mount; do timeout 20 umount "$mount"; done
	if pidof iscsid >/dev/null; then
		timeout 20 iscsiadm -m session -u
		timeout 5 iscsiadm -k 0
	fi
	# shellcheck disable=SC2086 # a list of pids
	if [ -n "${targets:-}" ]; then kill -KILL $targets; fi
	undo_more
	: >/etc/fstab
	umount /etc/iscsi
} >/dev/null 2>&1

# For libraries that do more: after riserd and all sessions are gone.
undo_more() {
	:
}

exec 3>&2
trap undo EXIT
trap 'exit 1' HUP INT TERM
fresh_records
