#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 900
# iscsi-test-cu, the test suite of libiscsi, over disks in memory and in a file and both block
# sizes. One line per test of the suite. A test that skips itself must stand in skips below with
# the reason; docs/conformance.md explains each.
. "$SRC/tests/lib/daemon.sh"

families='Inquiry ReportSupportedOpcodes Read6 Read10 Read12 Read16 Write10 Write12 Write16
ReadCapacity10 ReadCapacity16 TestUnitReady Verify10 Verify16 Unmap WriteSame10 WriteSame16
CompareAndWrite ModeSense6 StartStopUnit Reserve6 iSCSIcmdsn iSCSIdatasn iSCSIResiduals iSCSITMF'

# What block size and kind of disk change is run again on the other disks.
sample='Read6 Read10 Read16 Write10 Write16 ReadCapacity16 Verify10 Unmap WriteSame10 WriteSame16
CompareAndWrite iSCSIResiduals'

# FAMILY.TEST, and why it has to skip itself
skips='StartStopUnit.Simple ejects the medium, ours is not removable
StartStopUnit.PwrCnd ejects the medium, ours is not removable
StartStopUnit.NoLoej ejects the medium, ours is not removable
Reserve6.TargetColdReset initiators are not authorized to reset the whole target
WriteSame10.Unmap UNMAP is offered in WRITE SAME (16) only
WriteSame10.UnmapUnaligned UNMAP is offered in WRITE SAME (16) only
WriteSame10.UnmapUntilEnd UNMAP is offered in WRITE SAME (16) only
WriteSame10.InvalidDataOutSize wants UNMAP in WRITE SAME (10), it is offered in (16) only
WriteSame16.InvalidDataOutSize wants UNMAP in WRITE SAME (10), it is offered in (16) only
iSCSIResiduals.WriteVerify10Residuals WRITE AND VERIFY is not implemented yet
iSCSIResiduals.WriteVerify12Residuals WRITE AND VERIFY is not implemented yet
iSCSIResiduals.WriteVerify16Residuals WRITE AND VERIFY is not implemented yet'
# The same for disks whose blocks are as large as their physical blocks.
skips_4096='WriteSame16.UnmapUnaligned needs several blocks in a physical block
CompareAndWrite.InvalidDataOutSize needs several blocks in a physical block'

# Tests of libiscsi 1.19 that cannot pass on a correct target: how their only failure looks, what
# the target must have done before, and why. They count as skipped.
defects='iSCSITMF.LUNResetSimpleAsync|CU_ASSERT_EQUAL\(reconnect_succeeded,1\)|WRITE10 successful|wants the answer before it looks for one, mended in later versions'

tests=$(iscsi-test-cu -l)

# reason LABEL FAMILY.TEST
reason() {
	case $1 in
	*-4096) sed -n "s/^$2 //p" <<<"$skips
$skips_4096" ;;
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
	[ "$(grep -c '^    [0-9]*\. test_' "$out")" -eq 1 ] && grep -E -q "$failure" "$out" &&
		grep -q "$evidence" "$out" && echo "a defect of libiscsi 1.19: $why"
}

# one LABEL LUN FAMILY.TEST
one() {
	local name="$1 $3" status why
	timeout 60 iscsi-test-cu -d -V -f -t "ALL.$3" "$(url "$2")" >"$out" 2>&1
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
			WriteSame*.ZeroBlocks) ;; # to the end of a disk that must be large
			*) one "$label" "$lun" "$test" ;;
			esac
		done
	done
}

# The document's list of reasons is this one.
listed() {
	local test
	sed -n 's/^\([A-Za-z0-9]*\.[A-Za-z0-9]*\)[ |].*/\1/p' <<<"$skips
$skips_4096
$defects" | while read -r test; do
		grep -q "^| .*${test}[ ,].*| ." "$SRC/docs/conformance.md" ||
			{ echo "docs/conformance.md does not explain $test"; return 1; }
	done
}
check 'docs/conformance.md gives the reason of every skip' listed

truncate -s 64M "$TMPDIR/512" "$TMPDIR/4096"
need_daemon ram:64M "$TMPDIR/512" ram:64M,block-size=4096 "$TMPDIR/4096,block-size=4096" null:8G
# shellcheck disable=SC2086 # lists of words
{
	run ram-512 0 $families
	run file-512 1 $sample
	run ram-4096 2 $sample
	run file-4096 3 $sample
	one null-512 4 WriteSame10.ZeroBlocks
	one null-512 4 WriteSame16.ZeroBlocks
}
check_stopped
finish
