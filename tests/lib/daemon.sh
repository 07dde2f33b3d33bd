# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# What the integration scripts share. Source it first: . "$SRC/tests/lib/daemon.sh"
# A script tells one story; each step is a check, and finish prints the plan. One riserd at a
# time stands behind $pid, $urls and $log; whatever still runs on exit is killed.
set -u

. "$SRC/tests/lib/results.sh"
# shellcheck disable=SC2034 # for the scripts
iqn=iqn.2026-11.localhost:riser
pid=
log=
urls=()
daemons=0
controller=
trap 'daemon_kill' EXIT
trap 'exit 143' TERM

# --- results ---------------------------------------------------------------------------------

skipped() {
	points=$((points + 1))
	echo "ok $points - $1 # SKIP $2"
}

# refuted NAME COMMAND...: the command must fail, but not by a signal
refuted() {
	local name=$1 got
	shift
	"$@" >"$out" 2>&1
	got=$?
	if [ "$got" -gt 0 ] && [ "$got" -lt 124 ]; then
		ok "$name"
	else
		echo "exit status $got: $*" >>"$out"
		not_ok "$name" "$out"
	fi
}

finish() {
	echo "1..$points"
	exit
}

# --- the daemon ------------------------------------------------------------------------------

# daemon_start ARGUMENT...: returns when riserd has said `ready`. Listens on a free port of
# 127.0.0.1 unless the arguments name a portal or a configuration file, and on a control socket here.
daemon_start() {
	local line portal=(-p 127.0.0.1:0)
	case " $*" in *' -p '* | *' -c '*) portal=() ;; esac
	daemons=$((daemons + 1))
	# The usual one, unless another daemon still has it.
	control=$TMPDIR/control.sock
	[ -z "$controller" ] || ! kill -0 "$controller" 2>/dev/null || control=$TMPDIR/control.$daemons.sock
	case " $*" in *' --control '*) ;; *) portal+=(--control "$control") ;; esac
	log=$TMPDIR/riserd.$daemons.err
	urls=()
	mkfifo "$TMPDIR/stdout.$daemons"
	"$RISERD" "${portal[@]}" "$@" >"$TMPDIR/stdout.$daemons" 2>"$log" &
	pid=$!
	[ "$control" != "$TMPDIR/control.sock" ] || controller=$pid
	exec 7<"$TMPDIR/stdout.$daemons"
	while IFS= read -r -t 30 -u 7 line; do
		[ "$line" != ready ] || return 0
		urls+=("$line")
	done
	echo "riserd did not get ready: $*"
	cat "$log"
	return 1
}

# need_daemon ARGUMENT...: no story without it
need_daemon() {
	if ! daemon_start "$@"; then
		echo 'Bail out! riserd does not start'
		exit 1
	fi
}

# url N: the URL of LUN N at the first portal
url() {
	echo "${urls[$1]}"
}

# address: host:port of the first portal
address() {
	local rest=${urls[0]#iscsi://}
	echo "${rest%%/*}"
}

# ended [PID]: within 20 s, else it is killed; the status is the process's own
ended() {
	local victim=${1:-$pid}
	timeout 20 tail -s 0.02 --pid="$victim" -f /dev/null || kill -KILL "$victim"
	wait "$victim"
}

sanitizer_silent() {
	! grep -E '(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:' "$log"
}

# daemon_stop: SIGTERM; succeeds when the exit status is 0 and no sanitizer has spoken
daemon_stop() {
	local status
	kill -TERM "$pid" 2>/dev/null || { echo 'riserd is already gone'; cat "$log"; }
	ended
	status=$?
	pid=
	if [ "$status" -ne 0 ]; then
		echo "exit status $status of riserd"
		tail -n 30 "$log"
		return 1
	fi
	sanitizer_silent
}

# check_stopped [NAME]
check_stopped() {
	check "${1:-riserd ends with status 0 on SIGTERM and no sanitizer spoke}" daemon_stop
}

# daemon_kill: as a power failure of the process would
daemon_kill() {
	[ -n "$pid" ] || return 0
	kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	pid=
}

# refused STATUS ARGUMENT...: riserd does not start; its stderr is in $TMPDIR/refusal
refused() {
	local wanted=$1 got
	shift
	timeout 20 "$RISERD" "$@" >"$TMPDIR/refusal.out" 2>"$TMPDIR/refusal"
	got=$?
	cat "$TMPDIR/refusal"
	if [ "$got" -ne "$wanted" ]; then
		echo "exit status $got, not $wanted"
		return 1
	fi
	if [ -s "$TMPDIR/refusal.out" ]; then
		echo 'it printed on stdout:'
		cat "$TMPDIR/refusal.out"
		return 1
	fi
}

# --- commands --------------------------------------------------------------------------------

# scsi URL CDB [in=BYTES|out=FILE]: one command in a session of its own. The CDB is hex, also in
# several words joined by blanks. Prints GOOD or KEY/ASC/ASCQ; Data-In is left in $TMPDIR/in.
scsi() {
	PYTHONPATH=$SRC/tests/lib python3 - "$@" <<'END'
import os
import re
import sys

from initiator import Initiator
from iscsi import GOOD, sense_text

url, cdb, data = sys.argv[1], bytes.fromhex(sys.argv[2]), (sys.argv[3:] or [""])[0]
host, port, iqn, lun = re.match(r"iscsi://(.+):(\d+)/([^/]+)/(\d+)$", url).groups()
conn = Initiator((host.strip("[]"), int(port)), iqn).login()
lun = int(lun)
conn.clear_unit_attention(lun)
kind, _, value = data.partition("=")
if kind == "out":
    with open(value, "rb") as file:
        out = file.read()
    sent = conn.send(conn.command_pdu(cdb, lun, write=len(out)))
    result = conn.complete(sent, out)
else:
    result = conn.scsi(cdb, lun, read=int(value or 0))
    with open(os.environ["TMPDIR"] + "/in", "wb") as file:
        file.write(result.data)
conn.logout()
conn.close()
status = "GOOD" if result.status == GOOD else f"status {result.status:#04x}"
print(sense_text(result.sense) if result.sense else status)
END
}

# answers NAME EXPECTED URL CDB [in=BYTES|out=FILE]
answers() {
	local name=$1 expected=$2 got
	shift 2
	got=$(scsi "$@" 2>&1)
	if [ "$got" = "$expected" ]; then
		ok "$name"
	else
		echo "expected $expected: $got" >"$out"
		not_ok "$name" "$out"
	fi
}

# qemu_io URL COMMAND...: succeeds when every command did; qemu-io itself tells in words. That the
# disk has no GET LBA STATUS is no failure, QEMU goes on without.
qemu_io() {
	local url=$1 word args=()
	shift
	for word; do args+=(-c "$word"); done
	timeout 60 qemu-io -f raw "${args[@]}" "$url" >"$TMPDIR/qemu-io" 2>&1
	word=$?
	cat "$TMPDIR/qemu-io"
	[ "$word" -eq 0 ] && ! grep -v 'iSCSI GET_LBA_STATUS failed' "$TMPDIR/qemu-io" |
		grep -E -q 'failed|[Ee]rror|verification'
}
