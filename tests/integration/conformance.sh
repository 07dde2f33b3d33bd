#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 600
# The conformance suite against riserd over TCP: one that lets everybody in, one that demands CHAP
# of several users and proves itself, one that sends initiators elsewhere, one with short timeouts;
# a part of it again with two portal groups, and with one connection and no error recovery.
# No case is skipped. conformance_exhaustion.sh has the floods, for which it must be quiet.
. "$SRC/tests/lib/daemon.sh"

alone=exhaustion # a group that wants the machine for itself
waits=tmf-hang   # one that mostly waits for its five seconds: beside the others
pids=()
trap 'for pid in "${pids[@]}"; do daemon_kill; done' EXIT

# serve ARGUMENT...: one more riserd; $url and $pid are its own
serve() {
	need_daemon "$@" ram:64M ram:16M
	# shellcheck disable=SC2154 # of daemon_start
	url=${urls[0]}
	pids+=("$pid")
}

secret() {
	printf '%s' "$2" >"$TMPDIR/$1"
	chmod 600 "$TMPDIR/$1"
	echo "$1:$TMPDIR/$1"
}

alice=$(secret alice 'a secret of alice')
bob=$(secret bob 'a secret of bob, too')
carol=$(secret carol 'and one more of carol')
disk=$(secret disk 'what the disk itself knows')

serve
plain=$url plain_pid=$pid
serve --chap-mutual "$disk" --chap "$alice" --chap "$bob" --chap "$carol" \
	--discovery-chap-mutual "$disk" --discovery-chap "$alice" --login-failures 0
guarded=$url
address=${plain#iscsi://}
serve --redirect "${address%%/*}"
elsewhere=$url
serve --login-timeout 1 --data-timeout 1
hasty=$url
serve -p 127.0.0.1:0,tag=7 -p 127.0.0.2:0,tag=9,access=non-optimized
groups=$url
serve --session-connections 1 --error-recovery-level 0
simple=$url
suite=("$SRC/tests/conformance/run" --own "$RISERD" --no-skip --short)

# The other parts, beside the long one.
parts() {
	"${suite[@]}" --group "$waits" "$plain" >"$TMPDIR/2.tap" 2>&1
	"${suite[@]}" --only timeouts --timeouts 1 "$hasty" >"$TMPDIR/3.tap" 2>&1
	"${suite[@]}" --group text,login,full-feature --without chap,redirect,timeouts,two-targets,own \
		"$groups" >"$TMPDIR/4.tap" 2>&1
	"${suite[@]}" --group negotiation,numbering,data,bad-data,digest,command,tmf \
		--without erl1,erl2,mcs,own,riser "$simple" >"$TMPDIR/5.tap" 2>&1
}
parts &
beside=$!
"${suite[@]}" --without-group "$alone,$waits" --without two-targets,timeouts --pid "$plain_pid" \
	--chap-url "$guarded" --chap "$alice" --mutual "$disk" --users "$bob" --users "$carol" \
	--redirect "$elsewhere" "$plain" >"$TMPDIR/1.tap" 2>&1
wait "$beside"

# One plan for all of them.
for part in 1 2 3 4 5; do
	echo "# part $part"
	awk -v first="$points" '
		/^1\.\.[0-9]+$/ { planned = substr($0, 4); next }
		/^(not )?ok / { sub(/ok [0-9]+/, "ok " first + ++seen) }
		{ print }
		END { if (!planned || seen != planned) print "Bail out! " seen + 0 " cases ran" }' \
		"$TMPDIR/$part.tap"
	points=$((points + $(grep -c -E '^(not )?ok ' "$TMPDIR/$part.tap")))
done
served=0
for pid in "${pids[@]}"; do
	served=$((served + 1))
	# shellcheck disable=SC2034 # daemon_stop looks at it
	log=$TMPDIR/riserd.$served.err
	check_stopped
done
finish
