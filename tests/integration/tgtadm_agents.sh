#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Pacemaker's agents iSCSITarget and iSCSILogicalUnit (package resource-agents) with implementation=tgt, by
# hand: start, monitor, stop, with an initiator that does not go by itself.
. "$SRC/tests/lib/daemon.sh"

agents=/usr/lib/ocf/resource.d/heartbeat
[ -x $agents/iSCSITarget ] || { echo 'no package resource-agents'; exit 77; }
export RISER_CONTROL=$TMPDIR/control.sock
export OCF_ROOT=/usr/lib/ocf OCF_RA_VERSION_MAJOR=1 OCF_RA_VERSION_MINOR=0 OCF_RESOURCE_PROVIDER=heartbeat
export HA_RSCTMP=$TMPDIR/rsctmp HA_VARRUN=$TMPDIR HA_LOGFACILITY=none PATH=$TMPDIR/bin:$PATH
export OCF_RESKEY_implementation=tgt OCF_RESKEY_tid=1
export OCF_RESKEY_iqn=iqn.2026-11.test:ha OCF_RESKEY_target_iqn=iqn.2026-11.test:ha
export OCF_RESKEY_allowed_initiators=ALL OCF_RESKEY_lun=1 OCF_RESKEY_path=$TMPDIR/disk
export OCF_RESKEY_incoming_username=alice OCF_RESKEY_incoming_password=secretsecret12

# agent NAME ACTION
agent() { OCF_RESOURCE_TYPE=$1 OCF_RESOURCE_INSTANCE=my_$1 timeout 30 "$agents/$1" "$2"; }
target() { agent iSCSITarget "$1"; }
unit() { agent iSCSILogicalUnit "$1"; }
login="iscsi://alice%secretsecret12@"
sees() { timeout 20 iscsi-ls -s "$login$(address)" | grep -c 'Lun:1 '; }
has_connection() { tgtadm --lld iscsi --op show --mode conn --tid 1 | grep -q 'Connection: '; }
until_it() {
	for _ in $(seq 200); do
		if "$@" >/dev/null 2>&1; then return 0; fi
		read -r -t 0.05 <>"$TMPDIR/never" || :
	done
	return 1
}
# An initiator that logs in again and again, as those of the kernel do.
keep_coming() {
	while [ ! -e "$TMPDIR/enough" ]; do
		iscsi-perf -t 4 "$login$(address)/$OCF_RESKEY_iqn/1" 2>&1 &
		echo $! >"$TMPDIR/perf.pid"
		wait $!
	done
}

mkdir "$TMPDIR/bin" "$TMPDIR/rsctmp"
ln -s "$BUILD/tgtadm" "$TMPDIR/bin/tgtadm"
mkfifo "$TMPDIR/never"
truncate -s 64M "$TMPDIR/disk"

check_status 7 'without riserd the target does not run' target monitor
check 'and is stopped' target stop
need_daemon ram:16M
check 'the parameters are right' target validate-all
check_status 7 'the target does not run yet' target monitor
check_status 7 'nor does the LUN' unit monitor
check 'the target starts' target start
check 'and runs' target monitor
check 'starting it again is fine' target start
check_status 7 'the LUN does not run yet' unit monitor
check 'the LUN starts' unit start
check 'and runs' unit monitor
check 'starting it again is fine' unit start
check 'an initiator finds it' test "$(sees)" -eq 1
keep_coming >"$TMPDIR/perf" 2>&1 &
coming=$!
check 'one stays' until_it has_connection
check 'the LUN stops all the same' unit stop
check_status 7 'and does not run' unit monitor
check 'stopping it again is fine' unit stop
check 'the target stops' target stop
touch "$TMPDIR/enough"
kill -KILL "$(cat "$TMPDIR/perf.pid")"
check_status 7 'and does not run' target monitor
check 'stopping it again is fine' target stop
wait "$coming" 2>/dev/null
check 'nothing is left' tgtadm --lld iscsi --mode account --op show
check 'no account' test "$(wc -l <"$out")" -eq 1
check 'all of it once more' target start
check 'with its LUN' unit start
check 'the same disk' test "$(sees)" -eq 1
check 'down again' unit stop
check 'all' target stop
check_stopped
finish
