#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What each initiator sees, may write, and may do in a second, as libiscsi's tools, QEMU and riser-bench find
# it; a reload changes the limits under them.
. "$SRC/tests/lib/daemon.sh"

one=iqn.2026-11.test:one backup=iqn.2026-11.test:backup slow=iqn.2026-11.test:slow
conf=$TMPDIR/riser.conf
echo secret-of-alice >"$TMPDIR/secret"
chmod 600 "$TMPDIR/secret"

# configure KEYS: the file, with these keys of LUN 1
configure() {
	cat >"$conf" <<-END
		portal 127.0.0.1:0 { }
		target $one {
		    initiator "iqn.2026-11.test:back*" { luns = { 0, 2-3 } readonly = { 0, 3 } }
		    initiator $slow { luns = all iops = 100 }
		    initiator 192.0.2.0/24 { luns = 5 }
		    initiator any { luns = 1-2 }
		    lun 0 { path = ram:8M }
		    lun 1 { path = ram:8M $1 }
		    lun 2 { path = ram:8M }
		    lun 3 { path = ram:8M }
		}
		target iqn.2026-11.test:alice {
		    chap alice { secret-file = $TMPDIR/secret }
		    initiator "user:alice" { luns = 4 }
		    lun 0 { path = ram:8M }
		    lun 4 { path = ram:8M }
		}
	END
}

# luns INITIATOR [ACCOUNT]: what iscsi-ls finds of the first target
luns() {
	timeout 20 iscsi-ls -s -i "$1" "iscsi://$(address)" 2>/dev/null |
		sed -n "/Target:$one/,/Target:.*alice/s/^Lun:\([0-9]*\).*/\1/p" | tr '\n' ' '
}

# io INITIATOR LUN COMMAND...: qemu-io as this initiator; it opens a disk that is read only with $mode -r
io() {
	local name=$1 lun=$2 word args=()
	shift 2
	for word; do args+=(-c "$word"); done
	timeout 60 qemu-io ${mode:-} --image-opts "${args[@]}" "driver=raw,file.driver=iscsi,file.transport=tcp,\
file.portal=$(address),file.target=$one,file.lun=$lun,file.initiator-name=$name" 2>&1 |
		tee "$TMPDIR/qemu-io"
	! grep -E 'failed|Could not|rror|protected' "$TMPDIR/qemu-io" | grep -v GET_LBA_STATUS
}

# rate INITIATOR LUN BLOCKS: commands per second that iscsi-perf gets in 2 s
rate() {
	timeout 20 iscsi-perf -i "$1" -t 2 -m 16 -b "$3" -r "iscsi://$(address)/$one/$2" 2>&1 |
		tr '\r' '\n' | sed -n 's/.*iops average \([0-9]*\).*/\1/p' | tail -n 1
}

# within LEAST MOST RATE: a burst of 100 ms is 5 % of 2 s; a machine that is busy does much less than it may
within() {
	echo "$3 commands per second, expected $1 to $2"
	[ "$3" -ge "$1" ] && [ "$3" -le "$2" ]
}

# reload: SIGHUP; the log says so when it is done
reload() {
	local before
	before=$(grep -c 'serves what it says now' "$log")
	kill -HUP "$pid"
	for _ in $(seq 200); do
		[ "$(grep -c 'serves what it says now' "$log")" -le "$before" ] || return 0
		read -r -t 0.05 <>"$TMPDIR/never" || :
	done
	return 1
}

mkfifo "$TMPDIR/never"
configure 'iops = 300'
check 'the configuration is right' "$RISERD" -t -c "$conf"
need_daemon -c "$conf"

check 'a name with a wildcard: its LUNs' test "$(luns $backup)" = '0 2 3 '
check 'another: all of them' test "$(luns $slow)" = '0 1 2 3 '
check 'anybody else: two' test "$(luns iqn.2026-11.test:else)" = '1 2 '
check 'INQUIRY of a LUN that is not its own' \
	timeout 20 iscsi-inq -i $slow "iscsi://$(address)/$one/1"
refuted 'INQUIRY of a LUN that it does not see' \
	timeout 20 iscsi-inq -i $backup "iscsi://$(address)/$one/1"
user="iscsi://alice%secret-of-alice@$(address)/iqn.2026-11.test:alice"
check 'who proves to be alice sees her LUN' timeout 20 iscsi-inq "$user/4"
refuted 'and no other' timeout 20 iscsi-inq "$user/0"

if command -v qemu-io >/dev/null; then
	mode=-r check 'QEMU reads what is read only for it' io $backup 0 'read 0 64k'
	refuted 'and does not write it' io $backup 0 'write -P 1 0 64k'
	check 'nor has it written' io $slow 0 'read -P 0 0 64k'
	check 'it writes where it may' io $backup 2 'write -P 2 0 64k' 'read -P 2 0 64k'
	check 'another initiator writes what the first only reads' io $slow 0 'write -P 3 0 64k'
	mode=-r check 'and the first reads it' io $backup 0 'read -P 3 0 64k'
else
	skipped 'QEMU reads and writes' 'no qemu-io'
fi

check 'an initiator with 100 commands per second' within 10 112 "$(rate $slow 2 8)"
check 'whatever LUN it uses' within 10 112 "$(rate $slow 0 8)"
check 'others on that LUN have no limit' within 400 100000000 "$(rate $backup 2 8)"
check 'a LUN with 300 per second' within 30 336 "$(rate iqn.2026-11.test:else 1 8)"

configure 'bandwidth = 4M'
check 'a reload' reload
check 'the same LUN with 4 MiB per second, in commands of 64 KiB' \
	within 6 72 "$(rate iqn.2026-11.test:else 1 128)"
"$RISER_BENCH" "iscsi://$(address)/$one/1" --rw randrw --verify --bs 64k --qd 64 --count 200 \
	--connections 2 --warmup 0 >"$TMPDIR/bench" 2>&1 &
bench=$!
configure ''
check 'a reload under verified I/O that waits' reload
wait $bench
check 'which is right, and not limited any more' test $? = 0
check 'no limit is left' within 500 100000000 "$(rate iqn.2026-11.test:else 1 8)"
check_stopped
finish
