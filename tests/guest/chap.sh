#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# CHAP over TCP, and in a discovery session.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"
# shellcheck source=tests/guest/chap.lib.sh
. "$SRC/tests/guest/chap.lib.sh"

# discover_with USER SECRET: open-iscsi has no chap_algs for discovery, it offers MD5
discover_with() {
	db="iscsiadm -m discoverydb -t sendtargets -p $portal"
	for pair in authmethod=CHAP "username=$1" "password=$2"; do
		$db -o update -n "discovery.sendtargets.auth.${pair%%=*}" -v "${pair#*=}" ||
			return 1
	done
	$db --discover
}

# shellcheck disable=SC2086 # a list of words
need "riserd wants CHAP" start_riserd -p "$portal" $chap_options ram:64M
need "iscsid starts" start_iscsid
chap_story
check "discovery settings" iscsiadm -m discoverydb -t sendtargets -p "$portal" -o new
check "discovery with the right secret" discover_with alice "$secret"
check_says "discovery names the target" "$portal,1 $iqn"
check "riserd stops cleanly" stop_riserd
finish
