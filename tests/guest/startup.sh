#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Two targets, one to be logged in to when the machine starts, the other by hand. "The machine
# starts" is what Debian's open-iscsi.service does: iscsid, then --loginall=automatic.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

iqn_auto=iqn.2026-11.localhost:auto
iqn_hand=iqn.2026-11.localhost:hand
none=21 # iscsiadm's status when nothing matches

restart_initiator() {
	stop_iscsid && start_iscsid
}

login_automatic() {
	iscsiadm -m node --loginall=automatic
}

need "riserd serves the first target" start_riserd -p "$portal" -n "$iqn_auto" ram:64M
first=$riserd
need "riserd serves the second target" start_riserd -p 127.0.0.1:3261 -n "$iqn_hand" ram:64M
need "iscsid starts" start_iscsid
need "discover the first target" discover "$portal"
need "discover the second target" discover 127.0.0.1:3261
check "the first is automatic" setting "$iqn_auto" node.startup automatic
check "the second is manual" setting "$iqn_hand" node.startup manual

need "the machine starts" restart_initiator
check "automatic logins" login_automatic
check "the automatic target has a session" session_of "$iqn_auto"
check "its disk appears" disk_of "$iqn_auto" 0
check "the manual target has none" no_session "$iqn_hand"
check "the manual target by hand" login "$iqn_hand"
check "its disk appears, too" disk_of "$iqn_hand" 0
check "everything logs out" iscsiadm -m node --logoutall=all
check "the automatic session is over" no_session "$iqn_auto"
check "the manual session is over" no_session "$iqn_hand"

check "the first becomes manual" setting "$iqn_auto" node.startup manual
need "the machine starts again" restart_initiator
check_status "$none" "there is nothing to log in to" login_automatic
check "no session with the first" no_session "$iqn_auto"
check "no session with the second" no_session "$iqn_hand"

check "the first record is deleted" iscsiadm -m node -T "$iqn_auto" -o delete
check "the records are listed" iscsiadm -m node
check_says "the second record is left" "^127.0.0.1:3261,1 $iqn_hand\$"
cp "$out" "$TMPDIR/records"
check_status 1 "the first record is gone" grep -F "$iqn_auto" "$TMPDIR/records"
check_status "$none" "no login without a record" login "$iqn_auto"
check "the second becomes automatic" setting "$iqn_hand" node.startup automatic
need "the machine starts a third time" restart_initiator
check "automatic logins without the first" login_automatic
check "no session with the deleted one" no_session "$iqn_auto"
check "a session with the second" session_of "$iqn_hand"
check "logout" logout "$iqn_hand"
check "the first riserd stops cleanly" stop_riserd "$first"
check "the second riserd stops cleanly" stop_riserd
finish
