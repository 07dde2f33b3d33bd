#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# One disk by two portal groups: the multipath family of libiscsi's tests, with a session by each.
. "$SRC/tests/lib/daemon.sh"

# family WHAT URL URL: none failed, none skipped
family() {
	timeout 120 iscsi-test-cu -d -V -f -t ALL.MultipathIO "$1" "$2" >"$TMPDIR/family" 2>&1 &&
		! grep -F '[SKIPPED]' "$TMPDIR/family" &&
		grep -q '^ *tests *4 *4 *4 *0 *0$' "$TMPDIR/family" && return
	tail -n 60 "$TMPDIR/family"
	return 1
}

truncate -s 64M "$TMPDIR/disk"
need_daemon -p 127.0.0.1:0,tag=1 -p 127.0.0.1:0,tag=2 ram:64M "$TMPDIR/disk"
check 'MultipathIO, a disk in memory' family "$(url 0)" "$(url 2)"
check 'MultipathIO, a disk in a file' family "$(url 1)" "$(url 3)"
check_stopped
# Not optimized is slower by the initiator's choice, not by ours.
need_daemon -p 127.0.0.1:0,tag=1 -p 127.0.0.1:0,tag=2,access=non-optimized ram:64M
check 'MultipathIO, one path not optimized' family "$(url 0)" "$(url 1)"
check_stopped
finish
