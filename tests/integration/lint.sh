#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The tree keeps its rules, and the checker of the rules can tell when it does not.
set -u

number=0
check() {
	name=$1
	shift
	number=$((number + 1))
	if output=$("$@" 2>&1); then
		echo "ok $number - $name"
	else
		echo "not ok $number - $name"
		echo "$output" | sed 's/^/# /'
	fi
}

echo 1..2
check 'lint finds one planted violation per rule' "$SRC/ci/lint" --self-test
check 'the tree has no violations' "$SRC/ci/lint"
