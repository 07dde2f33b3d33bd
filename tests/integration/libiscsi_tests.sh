#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 900
# beside: yes
# iscsi-test-cu, the test suite of libiscsi, over disks in memory and in files and both block
# sizes. One line per test of the suite. A test that skips itself must stand in skips below with
# the reason; docs/conformance.md explains each.
. "$SRC/tests/lib/daemon.sh"

# What block size and kind of disk change is run again on the other disks.
sample='Read6 Read10 Read16 Write10 Write16 ReadCapacity16 Verify10 Verify16 Unmap WriteSame10
WriteSame16 WriteVerify10 WriteVerify16 OrWrite GetLBAStatus Prefetch10 ExtendedCopy
CompareAndWrite iSCSIResiduals'
# These are about disks of another kind, or want two paths: multipath.sh.
removable='NoMedia PreventAllow StartStopUnit'
elsewhere="$removable ReadOnly MultipathIO"

# FAMILY.TEST, and why it has to skip itself, or a part of itself
skips='Reserve6.TargetColdReset initiators are not authorized to reset the whole target
PreventAllow.ColdReset initiators are not authorized to reset the whole target
Sanitize.CryptoErase nothing here encrypts
Sanitize.Readonly its last part wants CRYPTO ERASE
Sanitize.Reservations its last part wants CRYPTO ERASE
WriteSame10.ZeroBlocks zero blocks are refused, WSNZ is 1
WriteSame16.ZeroBlocks zero blocks are refused, WSNZ is 1
WriteAtomic16.VPD memory restricts neither alignment nor granularity'
# The same for disks whose blocks are as large as their physical blocks.
skips_4096='WriteSame10.InvalidDataOutSize needs several blocks in a physical block
WriteSame10.UnmapUnaligned needs several blocks in a physical block
WriteSame16.InvalidDataOutSize needs several blocks in a physical block
WriteSame16.UnmapUnaligned needs several blocks in a physical block
CompareAndWrite.InvalidDataOutSize needs several blocks in a physical block'

# Tests of libiscsi 1.19 that cannot pass on a correct target: how their only failures look, what
# the target must have done before, and why. They count as skipped.
defects='iSCSITMF.LUNResetSimpleAsync|CU_ASSERT_EQUAL\(reconnect_succeeded,1\)|WRITE10 successful|wants the answer before it looks for one, mended in later versions
GetLBAStatus.UnmapSingle|lba offset in first descriptor|the status of the block at LBA:9|asks for one block and wants the answer for another where a physical block has several'

tests=$(iscsi-test-cu -l)

# reason LABEL FAMILY.TEST
reason() {
	case $1 in
	*-4096) sed -n "s/^$2 //p" <<<"$skips"$'\n'"$skips_4096" ;;
	*) sed -n "s/^$2 //p" <<<"$skips" ;;
	esac
}

# Between the name of the test and its verdict; the suite looks at persistent reservations before
# and after each test.
skipped_itself() {
	sed -n '/^ *Test: /,$p' "$out" | sed 's/^\(passed\|FAILED\).*/END/;/^END/q' |
		grep -q '\[SKIPPED\]'
}

# defective FAMILY.TEST: it failed as it must; prints why
defective() {
	local failure evidence why
	IFS='|' read -r _ failure evidence why < <(grep "^$1|" <<<"$defects") || return
	grep '^    [0-9]*\. test_' "$out" >"$TMPDIR/failures" &&
		! grep -E -v -q "$failure" "$TMPDIR/failures" && grep -q "$evidence" "$out" &&
		echo "a defect of libiscsi 1.19: $why"
}

# one LABEL LUN FAMILY.TEST
one() {
	local name="$1 $3" status why
	timeout 150 iscsi-test-cu -d -S -V -f -t "ALL.$3" "$(url "$2")" >"$out" 2>&1
	status=$?
	why=$(reason "$1" "$3")
	if [ "$status" -ne 0 ] && why=$(defective "$3"); then
		skipped "$name" "$why"
	elif [ "$status" -ne 0 ] || ! grep -q '^ *tests .* 1 *1 *1 *0 *0$' "$out"; then
		echo "exit status $status" >>"$out"
		not_ok "$name" "$out"
	elif ! skipped_itself; then
		[ -z "$why" ] && ok "$name" || not_ok "$name: should have skipped itself: $why"
	elif [ -n "$why" ]; then
		skipped "$name" "$why"
	else
		not_ok "$name: an unexpected skip" "$out"
	fi
}

# run LABEL LUN FAMILY...
run() {
	local label=$1 lun=$2 family test
	shift 2
	for family; do
		for test in $(sed -n "s/^ALL\.\($family\..*\)/\1/p" <<<"$tests"); do
			case $test in
			Sanitize.Reset) ;; # wants a disk that takes its time
			*) one "$label" "$lun" "$test" ;;
			esac
		done
	done
}

# The document's list of reasons is this one.
listed() {
	local test
	sed -n 's/^\([A-Za-z0-9]*\.[A-Za-z0-9]*\)[ |].*/\1/p' <<<"$skips"$'\n'"$skips_4096"$'\n'"$defects" |
		while read -r test; do
			grep -q "^| .*${test}[ ,].*| ." "$SRC/docs/conformance.md" ||
				{ echo "docs/conformance.md does not explain $test"; return 1; }
		done
}
check 'docs/conformance.md gives the reason of every skip' listed

families=
for family in $(sed -n 's/^ALL\.\([^.]*\)$/\1/p' <<<"$tests"); do
	case " $elsewhere " in *" $family "*) ;; *) families+=" $family" ;; esac
done
# PreventAllow.ITNexusLoss closes a connection without a word and expects that the nexus is gone when
# the next session ejects: one thread sees the one before the other. Sanitize.Reset looks again once
# a minute, and answers no pings meanwhile.
cpu=$(sed -n 's/^Cpus_allowed_list:[^0-9]*\([0-9]*\).*/\1/p' /proc/self/status)
one_thread="--nop-interval 0 --cpus $cpu"

# The plain command: every test, in every suite that lists it, in one process and on one disk. That has
# no blocks within a block (GetLBAStatus.UnmapSingle, above), and one block that takes its time: a
# SANITIZE is under way when Sanitize.Reset looks the second time, 4 s after the beginning.
suite() (
	TMPDIR=$TMPDIR/suite pid=
	trap 'daemon_kill' EXIT
	mkdir "$TMPDIR"
	# shellcheck disable=SC2086 # a list of words
	daemon_start $one_thread ram:64M,physical-block-size=512,fault=write:delay=6s:lba=65536-65536 ||
		exit
	timeout 800 iscsi-test-cu -d -S "$(url 0)" >"$TMPDIR/out" 2>&1
	status=$?
	if [ "$status" -ne 0 ] ||
		! grep -q '^ *tests *\([0-9]*\) *\1 *\1 *0 *0$' "$TMPDIR/out"; then
		echo "exit status $status"
		grep -a -B 20 '^ *[0-9]*\. test_' "$TMPDIR/out"
		tail -n 8 "$TMPDIR/out"
		exit 1
	fi
	daemon_stop
)
suite >"$TMPDIR/suite.out" 2>&1 &
suite_pid=$!

truncate -s 64M "$TMPDIR/512" "$TMPDIR/4096"
need_daemon --state "$TMPDIR/state" ram:64M "$TMPDIR/512" "$TMPDIR/4096,block-size=4096" \
	ram:64M,readonly=on ram:64M,pi=1
# shellcheck disable=SC2086 # lists of words
{
	run ram-512 0 $families
	run file-512 1 $sample
	run file-4096 2 $sample
	run readonly 3 ReadOnly
	run ram-pi 4 $sample
}
check_stopped
# shellcheck disable=SC2086 # lists of words
need_daemon $one_thread ram:64M,removable=on ram:64M,fault=write:delay=100ms
# shellcheck disable=SC2086
run removable 0 $removable
one ram-slow 1 Sanitize.Reset
check_stopped
suite_ended() {
	wait "$suite_pid" || { cat "$TMPDIR/suite.out"; return 1; }
}
check 'iscsi-test-cu -d -S URL: all in one process, none failed' suite_ended
finish
