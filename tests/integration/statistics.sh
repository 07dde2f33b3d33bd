#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# SIGUSR1: the operator sees what the daemon has done, for each reactor, session and LUN.
. "$SRC/tests/lib/daemon.sh"

# logged PATTERN: the line comes within 5 s
logged() {
	for _ in $(seq 50); do
		grep -E -q -- "$1" "$log" && return
		sleep 0.1
	done
	cat "$log"
	return 1
}

need_daemon ram:16M ram:16M,fault=flush:eio
check 'a megabyte is written and read' qemu_io "$(url 0)" 'write -P 7 0 1M' 'read -P 7 0 1M'
check_status 1 'a flush fails' qemu_io "$(url 1)" 'write 0 64k' flush
check 'SIGUSR1' kill -USR1 "$pid"
check 'LUN 0 says what moved' logged 'LUN 0: ram:16M: [1-9][0-9]* commands, [1-9][0-9]* bytes read, 1048576 bytes written'
check 'LUN 1 says that it is latched' logged 'LUN 1: .*LATCHED'
check 'reactor 0 says what it did' logged 'reactor 0: [1-9][0-9]* turns'
check 'no buffer is lost' logged 'buffers: 0 of [1-9][0-9]* bytes in use'
check 'a second SIGUSR1' kill -USR1 "$pid"
refuted 'the stop says by its status that a disk could not be flushed' daemon_stop
finish
