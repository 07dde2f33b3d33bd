#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every fuzz target takes its seeds once: findings that were fixed stay fixed between campaigns
# (`make fuzz` looks for new ones).
set -u

if ! command -v clang >/dev/null; then
	echo 'clang is not installed'
	exit 77
fi

number=0
replay() {
	name=$1
	number=$((number + 1))
	set -- "$SRC/tests/fuzz/seeds/$name"/*
	if ! [ -f "$1" ]; then
		echo "not ok $number - $name: no seeds in tests/fuzz/seeds/$name"
	elif output=$("$BUILD/fuzz/tests/fuzz/fuzz_$name" -timeout=10 "-artifact_prefix=$TMPDIR/" \
		"$@" 2>&1); then
		echo "ok $number - $name takes its $# seeds"
	else
		echo "not ok $number - $name takes its $# seeds"
		echo "$output" | tail -n 60 | sed 's/^/# /'
	fi
}

for source in "$SRC"/tests/fuzz/fuzz_*.c; do
	name=${source##*/fuzz_}
	replay "${name%.c}"
done
echo "1..$number"
