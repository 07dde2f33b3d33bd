#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# riser-bench: what its figures and its exit status promise, against riserd and against its own bare
# server. Nothing here judges speed.
. "$SRC/tests/lib/daemon.sh"

bare=
trap 'daemon_kill; [ -z "$bare" ] || kill "$bare"' EXIT
manual=$SRC/docs/riser-bench.1

# bench OPTION...: a short run against LUN 0, or wherever the options say
bench() {
	timeout 60 "$RISER_BENCH" --seconds 0.2 --warmup 0.05 "$@"
}

# json OPTION...: the same as one object in $json
json=$TMPDIR/json
json() {
	bench --json "$@" >"$json" || return
	python3 -m json.tool "$json"
}

# holds EXPRESSION: Python; o is the object
holds() {
	python3 -c 'import json, sys; o = json.load(open(sys.argv[1])); sys.exit(not eval(f"({sys.argv[2]})"))' \
		"$json" "$1" || { cat "$json"; return 1; }
}

# mistake NAMED OPTION...: status 2 and one line that has NAMED in it
mistake() {
	local named=$1 shown="${*:2}"
	shift
	check_status 2 "a mistake: riser-bench ${shown:0:60}" timeout 10 "$RISER_BENCH" "$@"
	cp "$out" "$TMPDIR/refusal"
	check "it is told in one line that has $named" one_line "$named"
}

one_line() {
	cat "$TMPDIR/refusal"
	[ "$(wc -l <"$TMPDIR/refusal")" -eq 1 ] && grep -F -q -- "$1" "$TMPDIR/refusal"
}

# --- the command line and the manual ---
somewhere=iscsi://127.0.0.1:1/iqn.2026-11.localhost:riser/0
mistake 'a URL'
mistake iscsi: http://example.org/
mistake iscsi: iscsi://127.0.0.1/
mistake LUN "${somewhere%0}x"
mistake 'one URL' "$somewhere" "$somewhere"
mistake --frobnicate "$somewhere" --frobnicate
mistake 'value is missing' "$somewhere" --qd
mistake --rw "$somewhere" --rw fast
mistake --mix "$somewhere" --mix 50
for option in qd connections idle logins opening; do
	mistake "--$option" "$somewhere" "--$option" 0
done
mistake --connections "$somewhere" --connections 20001
mistake --bs "$somewhere" --bs 100
mistake --after "$somewhere" --after soon
mistake --spin "$somewhere" --spin -1
mistake --count "$somewhere" --count 10 --idle 1
mistake --seconds "$somewhere" --job '--seconds 1'
mistake 'more than one URL' --job "$somewhere $somewhere"
mistake 'a URL' --job '--rw read'
mistake --qd "$somewhere" --job '--qd x'
mistake 'more than 8' "$somewhere" --job 1 --job 2 --job 3 --job 4 --job 5 --job 6 --job 7 --job 8 \
	--job 9
mistake together --bare
mistake --memory "$somewhere" --memory 1m
mistake --memory --bare --port 0 --memory 2t
mistake 'no URL' --bare --port 0 "$somewhere"

check '--help ends with 0' "$RISER_BENCH" --help
grep -o -E -- '--[a-z-]+' "$out" | sort -u >"$TMPDIR/help"
sed -n '/^\.It/p' "$manual" | grep -o -E 'Fl -[a-z-]+' | sed 's/Fl -/--/' | sort -u \
	>"$TMPDIR/manual"
check 'the manual has the options that --help has' diff "$TMPDIR/help" "$TMPDIR/manual"
check '-h is the same' cmp <("$RISER_BENCH" -h) <("$RISER_BENCH" --help)
check '--version ends with 0' "$RISER_BENCH" --version
check_says '--version has a number' '^riser-bench [0-9]'

check_status 1 'nobody listens: status 1' bench "$somewhere"
check_says 'nobody listens: the reason' 'login of connection 0: Connection refused'

# --- against riserd ---
need_daemon ram:64M ram:64M,fault=read:eio
lun0=$(url 0)
lun1=$(url 1)
check 'random reads' json "$lun0" --target-pid "$pid"
check 'they are counted' holds 'o["reads"] > 0 and o["writes"] == 0 and o["errors"] == 0'
check 'rates fit the counts' holds 'abs(o["iops"] * o["seconds"] / o["reads"] - 1) < 0.02'
check 'percentiles do not fall' holds \
	'0 < o["latency_us"]["p50"] <= o["latency_us"]["p99"] <= o["latency_us"]["max"]'
check 'CPU time of the target' holds '0 < o["target"]["cpu_percent"] < 150'
check 'that per I/O and per GB agree' holds 'abs(o["target"]["cpu_us_per_io"] / 4096e-3 /
	o["target"]["cpu_s_per_gb"] - 1) < 0.02'
check 'its threads use what it uses' holds 'abs(sum(t["cpu_percent"] for t in
	o["target"]["threads"]) - o["target"]["cpu_percent"]) < 15'
check 'the client tells of itself' holds 'o["client"]["cpu_percent"] > 0 and o["client"]["rss"] > 0'
grep -o -E '"[a-z_]+":' "$json" | tr -d '":' | sort -u >"$TMPDIR/keys"

check 'exactly 1,000 commands on three connections' json "$lun0" --rw randrw --mix 50 --count 1000 \
	--connections 3 --qd 7
check 'no more, no fewer' holds 'o["reads"] + o["writes"] == 1000 and o["reads"] > 300'

check 'a disk is written' json "$lun0" --verify --rw write --bs 1m --qd 4 --count 64
check 'and read back' json "$lun0" --verify --rw randread --bs 64k
check 'with the content that was written' holds 'o["verified_blocks"] > 0 and o["errors"] == 0'
check 'with digests, mixed' json "$lun0" --verify --rw randrw --digests header,data --bs 16k
check 'nothing is wrong' holds 'o["errors"] == 0 and o["verified_blocks"] > 0'
check 'plain data goes over a part of it' json "$lun0" --rw randwrite --count 100
check_status 1 'which a later check finds' bench "$lun0" --verify --rw read --bs 1m --count 64
check_says 'and tells' 'wrong data'
check_status 1 'a disk that fails: status 1' bench "$lun1" --qd 1 --count 3
check_says 'the sense data' 'CHECK CONDITION at byte [0-9]+: sense 3/'

check 'logins' json "$lun0" --logins 8 --target-pid "$pid"
check 'they are counted, and nothing else' holds 'o["logins"] > 10 and o["reads"] == 0 and
	o["rw"] == "login" and o["latency_us"]["p50"] > 0'
check 'per second of CPU' holds 'abs(o["target"]["logins_per_cpu_s"] *
	o["target"]["cpu_us_per_login"] / 1e6 - 1) < 0.02'
grep -o -E '"[a-z_]+":' "$json" | tr -d '":' | sort -u >>"$TMPDIR/keys"

check '1,000 idle sessions' json "$lun0" --idle 1000 --target-pid "$pid" --opening 100
check 'at rest' holds 'o["connections"] == 1000 and o["rw"] == "idle" and
	o["target"]["cpu_percent"] < 20'
check 'and 500 that work, beside 1,000 that do not' json "$lun0" --target-pid "$pid" \
	--job '--idle 1000' --job '--connections 500 --qd 4' --job "$lun1 --idle 2" --after 0.1
check 'each job has its figures' holds '[j["rw"] for j in o["jobs"]] == ["idle", "randread", "idle"]
	and [j["connections"] for j in o["jobs"]] == [1000, 500, 2]
	and o["jobs"][0]["reads"] == 0 and o["jobs"][1]["reads"] > 0'
check 'the whole is their sum' holds 'o["connections"] == 1502 and
	o["reads"] == sum(j["reads"] for j in o["jobs"])'
check 'what the target does afterwards' holds 'o["after"]["cpu_percent"] < 50 and
	o["after"]["seconds"] == 0.1'
check 'and in words' bench "$lun0" --target-pid "$pid" --job '--idle 2' --job '--logins 2' --job '' \
	--after 0.1
check_says 'idle' '^2 idle sessions'
check_says 'logins' '^2 at a time.*: [1-9][0-9]* logins per second$'
check_says 'I/O' '^randread 4096 bytes, 1 x QD 32, .*IOPS'
check_says 'the time after' '^afterwards: '
grep -o -E '"[a-z_]+":' "$json" | tr -d '":' | sort -u >>"$TMPDIR/keys"

undocumented() {
	sed -n '/^\.Sh JSON/,/^\.Sh EXIT/p' "$manual" | tr -c 'a-z_' '\n' | sort -u >"$TMPDIR/words"
	sort -u "$TMPDIR/keys" | comm -23 - "$TMPDIR/words"
}
check 'every key of the JSON is in the manual' test -z "$(undocumented)"
check 'the sessions are gone again' json "$lun0" --count 1
check_stopped

# --- a target that goes away ---
need_daemon ram:16M
bench "$(url 0)" --seconds 20 >"$TMPDIR/lost" 2>&1 &
victim=$!
sleep 0.5
daemon_kill
wait "$victim"
check 'a target that dies: status 1' test "$?" -eq 1
check 'a target that dies: the connection' grep -q 'connection 0: ' "$TMPDIR/lost"

# --- against the bare server ---
# bare_start OPTION...: $lun0 is its disk
bare_start() {
	[ -z "$bare" ] || { kill "$bare"; wait "$bare"; }
	"$RISER_BENCH" --bare --port 0 "$@" >"$TMPDIR/bare" &
	bare=$!
	for _ in $(seq 100); do
		! grep -q ready "$TMPDIR/bare" || break
		sleep 0.05
	done
	lun0=$(head -n 1 "$TMPDIR/bare")
}
bare_start --spin 0
for load in '--rw randread' '--rw randwrite --qd 128' '--rw randrw --bs 1m --qd 8' \
	'--rw write --bs 3m --qd 4 --digests header,data' '--rw randread --connections 300 --qd 2' \
	'--logins 8' '--idle 300' '--rw read --bs 1m --qd 4 --spin 0'; do
	# shellcheck disable=SC2086 # words
	check "the bare server: $load" bench "$lun0" $load --target-pid "$bare"
done
bare_start --memory 24m
for load in '--rw write --bs 3m --qd 4 --count 8' '--rw read --bs 1m --qd 2 --digests data' \
	'--rw randrw --bs 12k --qd 64 --digests header,data' '--rw randrw --bs 96k --qd 9' \
	'--rw randrw --bs 1536k --qd 4 --connections 2'; do
	# shellcheck disable=SC2086 # words
	check "the bare server with memory: $load" json "$lun0" --verify $load
	check 'it keeps what is written' holds 'o["errors"] == 0 and
		o["reads"] * o["verified_blocks"] > 0 or o["writes"] == 8'
done

# --- instructions ---
counted() {
	"$SRC/tools/riser-bench/instructions" --build "$BUILD" --count 500 --json "$@" >"$json" &&
		cat "$json"
}
if ! command -v valgrind >/dev/null || grep -q -a -E '__[at]san_init' "$RISERD"; then
	skipped 'instructions of a READ' 'needs valgrind, and a riserd without sanitizers'
else
	check 'instructions of a READ' counted
	check 'their number makes sense' holds '100 < o["instructions"] < 20000'
	check 'functions are told by name' holds '0 < o["functions"]["scsi_submit"] < o["instructions"]'
	check_status 1 'a disk that is not there: status 1' counted "$TMPDIR/none"
	check_says 'the reason' 'instructions: riserd does not become ready: .*none'
fi
finish
