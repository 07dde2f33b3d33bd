#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 300
# The conformance suite over the in-process transport, under a sanitizer where the fuzz targets'
# objects are: all cases but those about bytes on a wire, digests, several R2Ts at once, and
# Data-Out that breaks the rules, which are TCP's business, and the long ones. No case is skipped.
. "$SRC/tests/lib/daemon.sh"

program=$BUILD/fuzz/tests/conformance/memory_target
[ -x "$program" ] || program=$BUILD/tests/conformance/memory_target
wire=framing,digests,parallel-r2t,own,timeouts,redirect,users,pid
groups=bad-data,snack,exhaustion,stress,tmf-hang
pids=()
trap 'kill -KILL "${pids[@]}" 2>/dev/null' EXIT

# serve NAME [ACCOUNT...]: $url is its first disk
serve() {
	local name=$1
	shift
	"$program" "$TMPDIR/$name" "$@" >"$TMPDIR/$name.out" 2>"$TMPDIR/$name.err" &
	pids+=("$!")
	for _ in $(seq 300); do
		grep -q '^ready$' "$TMPDIR/$name.out" && break
		sleep 0.1
	done
	url=$(head -n 1 "$TMPDIR/$name.out")
}

serve plain
plain=$url
serve guarded alice 'a secret of alice' disk 'what the disk itself knows'
guarded=$url
CONFORMANCE_CHAP='alice:a secret of alice' CONFORMANCE_MUTUAL='disk:what the disk itself knows' \
	"$SRC/tests/conformance/run" --own "$RISERD" --no-skip --short --without "$wire,two-targets" \
	--without-group "$groups" --chap-url "$guarded" "$plain" >"$TMPDIR/suite.tap"
# The plan comes with what is added to it below.
grep -v '^1\.\.' "$TMPDIR/suite.tap"
points=$(grep -c -E '^(not )?ok ' "$TMPDIR/suite.tap")

# shellcheck disable=SC2120 # called through check
# ended NUMBER NAME: an orderly end, and no sanitizer has spoken
ended() {
	local status
	kill "${pids[$1]}"
	wait "${pids[$1]}"
	status=$?
	grep -E -A 20 'Sanitizer|runtime error:' "$TMPDIR/$2.err"
	[ "$status" -eq 0 ] && ! grep -q -E 'Sanitizer|runtime error:' "$TMPDIR/$2.err"
}
check 'the target ends with status 0 and no sanitizer spoke' ended 0 plain
check 'so does the one that demands CHAP' ended 1 guarded
pids=()
finish
