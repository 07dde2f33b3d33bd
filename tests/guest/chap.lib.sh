# shellcheck shell=sh
# SPDX-License-Identifier: BSD-2-Clause
# The story of CHAP with SHA-256, one-way and mutual, whatever the transport: it uses record,
# setting, login, logout and disk_of of who sources it, and expects riserd to serve with
# $chap_options.
# shellcheck disable=SC2154 # iqn and out come from lib.sh

# iscsiadm's status when the target, or the initiator itself, breaks off the login
refused_by_target=24
refused_by_us=19
secret=alices-long-secret
answer=risers-long-secret
umask 077
echo "$secret" >"$TMPDIR/secret"
echo "$answer" >"$TMPDIR/answer"
# shellcheck disable=SC2034 # for the scripts
chap_options="--chap alice:$TMPDIR/secret --chap-mutual riser:$TMPDIR/answer"

# credentials USER SECRET [USER_IN SECRET_IN]: makes a new record that has them
credentials() {
	iscsiadm -m node -T "$iqn" -o delete
	record "$iqn" &&
		setting "$iqn" node.session.auth.authmethod CHAP &&
		setting "$iqn" node.session.auth.chap_algs SHA256 &&
		setting "$iqn" node.session.auth.username "$1" &&
		setting "$iqn" node.session.auth.password "$2" || return 1
	[ $# -eq 2 ] ||
		{ setting "$iqn" node.session.auth.username_in "$3" &&
			setting "$iqn" node.session.auth.password_in "$4"; }
}

# turned_away STATUS WHO
turned_away() {
	check_status "$1" "$2 is refused" login "$iqn"
	check "$2 leaves no session" no_session "$iqn"
}

let_in() {
	need "$1 logs in" login "$iqn"
	need "$1 sees the disk" disk_of "$iqn" 0
	check "$1 reads the disk" dd if="$(cat "$out")" of=/dev/null bs=64k count=16 iflag=direct
	check "$1 logs out" logout "$iqn"
}

# The right secrets open the door, nothing else does.
chap_story() {
	check "a record without a secret" record "$iqn"
	turned_away "$refused_by_target" "no secret"
	check "a record with a wrong secret" credentials alice not-alices-secret
	turned_away "$refused_by_target" "a wrong secret"
	check "a record with a wrong user" credentials mallory "$secret"
	turned_away "$refused_by_target" "a wrong user"
	check "a record with the right secret" credentials alice "$secret"
	let_in "the right secret"

	check "a record for mutual CHAP" credentials alice "$secret" riser "$answer"
	let_in "mutual CHAP"
	check "a record that expects another answer" \
		credentials alice "$secret" riser not-risers-secret
	turned_away "$refused_by_us" "a target that cannot prove itself"
	check "a record with a wrong secret for mutual CHAP" \
		credentials alice not-alices-secret riser "$answer"
	turned_away "$refused_by_target" "a wrong secret in mutual CHAP"
}
