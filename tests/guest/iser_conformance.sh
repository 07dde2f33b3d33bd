#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 600
# A sample of libiscsi's test suite through the kernel's initiator over iSER: it talks to the disk
# by SG_IO. What it finds over TCP by itself is the business of tests/integration/libiscsi_tests.sh.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"

families='Read10 Read16 Write10 Write16 Verify10 Unmap CompareAndWrite OrWrite WriteVerify10
	WriteAtomic16 ReadCapacity16 Inquiry ModeSense6 ReportSupportedOpcodes
	PrinReadKeys PrinReportCapabilities ProutRegister'

# passes FAMILY: every test of it ran to its end
passes() {
	iscsi-test-cu -d -f -t "ALL.$1" "$disk" >"$TMPDIR/suite" 2>&1 &&
		awk '$1 == "tests" { exit !($3 > 0 && $3 == $4 && $5 == 0) }' "$TMPDIR/suite" || {
		sed 's/^/# /' "$TMPDIR/suite"
		return 1
	}
}

need "a soft-RoCE device" soft_roce_up
need "riserd serves a RAM disk" serve_rdma ram:64M
need "iscsid starts" start_iscsid
need "a record" record_over iser "$iqn"
need "login" login_over iser "$iqn"
need "the disk" disk_over iser "$iqn" 0
disk=$(cat "$out")
for family in $families; do
	check "$family" passes "$family"
done
check "logout" logout_over iser "$iqn"
check "riserd stops cleanly" stop_riserd
finish
