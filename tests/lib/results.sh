# shellcheck shell=sh
# SPDX-License-Identifier: BSD-2-Clause
# TAP for shell scripts, on the host (daemon.sh) and in the guest (guest/lib.sh). Plain sh: names
# with an underscore in front belong to this file, since a check may run the script's functions.

points=0
out=$TMPDIR/out

ok() {
	points=$((points + 1))
	echo "ok $points - $1"
}

# not_ok NAME [FILE]: FILE tells why
not_ok() {
	points=$((points + 1))
	echo "not ok $points - $1"
	if [ -n "${2:-}" ]; then tail -n 30 "$2" | sed 's/^/#   /'; fi
	return 1
}

# check NAME COMMAND...: the command succeeds; its output is left in $out
check() {
	check_status 0 "$@"
}

# check_status STATUS NAME COMMAND...: the command ends with exactly this status
check_status() {
	_wanted=$1 _name=$2
	shift 2
	"$@" >"$out" 2>&1
	_got=$?
	if [ "$_got" -eq "$_wanted" ]; then
		ok "$_name"
	else
		echo "exit status $_got, not $_wanted: $*" >>"$out"
		not_ok "$_name" "$out"
	fi
}

# says PATTERN: what the last check printed has this in it (grep -E)
says() {
	grep -E -q -- "$1" "$out"
}

# check_says NAME PATTERN: the same as a check
check_says() {
	if says "$2"; then
		ok "$1"
	else
		echo "nothing matches: $2" >>"$out"
		not_ok "$1" "$out"
	fi
}
