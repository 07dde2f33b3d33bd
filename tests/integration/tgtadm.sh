#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# tgtadm and tgt-admin, in the order in which Longhorn's helper and Cinder call them, with the words, lines
# and exit statuses that they look for.
. "$SRC/tests/lib/daemon.sh"

name=iqn.2019-10.io.longhorn:vol-1
cinder=iqn.2010-10.org.openstack:volume-42
user=alice secret=secretsecret12
export RISER_CONTROL=$TMPDIR/control.sock
tgtadm() { timeout 20 "$BUILD/tgtadm" --lld iscsi "$@"; }
tgt_admin() { timeout 20 "$BUILD/tgt-admin" --conf "$TMPDIR/targets.conf" "$@"; }
sees() { timeout 20 iscsi-ls -s "iscsi://${1:+$1@}$(address)" | grep -c 'Lun:1 '; }

# refuses STATUS WORDS COMMAND...: it fails with this status and these words
refuses() {
	local status=$1 words=$2
	shift 2
	check_status "$status" "refused with status $status: ${*:2}" "$@"
	check_says "and it says: $words" "^tgt.*: $words"
}

# lacks NAME PATTERN: what the last check printed has this nowhere in it
lacks() {
	if says "$2"; then not_ok "$1" "$out"; else ok "$1"; fi
}

# until_it COMMAND...: succeeds within 10 s
until_it() {
	for _ in $(seq 200); do
		if "$@" >/dev/null 2>&1; then return 0; fi
		read -r -t 0.05 <>"$TMPDIR/never" || :
	done
	return 1
}
has_connection() { tgtadm --op show --mode conn --tid 7 | grep -q 'Connection: '; }

mkfifo "$TMPDIR/never"
truncate -s 64M "$TMPDIR/disk"
truncate -s 16M "$TMPDIR/volume"
refuses 107 '.*Transport endpoint is not connected' tgtadm --op show --mode target
need_daemon ram:16M

# --- what tgt refuses, in its words
refuses 22 'specify the operation type' tgtadm --mode target
refuses 22 'specify the mode' tgtadm --op show
refuses 1 'unknown mode: nothing' tgtadm --op show --mode nothing
refuses 1 'unknown operation: nothing' tgtadm --op nothing --mode target
refuses 22 "'tid' option is necessary" tgtadm --op new --mode target
refuses 22 "'tid' cannot be 0" tgtadm --op new --mode target --tid 0 -T $name
refuses 22 "can't find the driver" "$BUILD/tgtadm" --lld srp --op new --mode target --tid 3 -T $name
refuses 22 "can't find the target" tgtadm --op new --mode logicalunit --tid 9 --lun 1 -b "$TMPDIR/disk"
refuses 22 "'tid' option is no number" tgtadm --op show --mode target --tid x1
check 'the daemon shows itself' tgtadm --op show --mode system
check_says 'it has the backing store that Longhorn asks for' '^    rdwr'
check 'the target of riserd itself is shown' tgtadm --op show --mode target
check_says 'with the first free number' "^Target 1: $iqn\$"

# --- Longhorn: target, LUN, ALL; then the other way round
check 'a target is made' tgtadm --op new --mode target --tid 7 -T $name
refuses 22 'this target already exists' tgtadm --op new --mode target --tid 7 -T iqn.2019-10.io.longhorn:other
refuses 22 'this target already exists' tgtadm --op new --mode target --tid 8 -T $name
check 'a LUN is made' tgtadm --op new --mode logicalunit --tid 7 --lun 1 -b "$TMPDIR/disk" --bstype rdwr
refuses 22 'this logical unit number already exists' tgtadm --op new --mode logicalunit --tid 7 --lun 1 -b "$TMPDIR/volume"
refuses 22 'invalid request' tgtadm --op new --mode logicalunit --tid 7 --lun 2 -b "$TMPDIR/none"
refuses 22 'invalid request' tgtadm --op new --mode logicalunit --tid 7 --lun 2 -b x --bstype longhorn
check 'nobody is let in yet' test "$(sees)" -eq 0
check 'ALL are let in' tgtadm --op bind --mode target --tid 7 -I ALL
refuses 22 'this access control rule already exists' tgtadm --op bind --mode target --tid 7 -I ALL
check 'and find LUN 1' test "$(sees)" -eq 1
check 'parameters of a LUN are set' tgtadm --op update --mode logicalunit --tid 7 --lun 1 \
	--params scsi_id=riser,scsi_sn=beef0001,vendor_id=ACME
check_says 'what cannot be set is told' 'vendor_id=ACME: is ignored'
check_says 'by name' 'scsi_id=riser: is ignored'
update() { tgtadm --op update --mode logicalunit --tid 7 --lun 1 --params "$@"; }
shows() { timeout 20 "$BUILD/riser" lun show "$name" 1; }
check 'a physical block is as large as lbppbe says' update lbppbe=3
check 'and that is what riserd has' shows
check_says 'in bytes' '^physical[ -]block[ -]size +4096$'
for param in lbppbe=16 lbppbe=x lbppbe= lbppbe=-1 sense_format=1 thin_provisioning=0 la_lba=8 rotation_rate=7200 \
	mode_page=8:0:18:0x10 optimal_xfer_gran=8 optimal_xfer_len=8 online=0 bwrite=1; do
	refuses 22 "invalid request: ${param%%=*}=" update $param
done
for param in sense_format=0 thin_provisioning=1 la_lba=0 online=1 online=yes; do
	check "as it is: $param" update $param
done
check 'software write protect' update swp=1
check 'is write protection' shows
check_says 'of the LUN' '^readonly +true$'
check 'that ends' update readonly=0,removable=1
check 'as it began' shows
check_says 'by another name' '^readonly +false$'
truncate -s 64M "$TMPDIR/disk2"
check 'another disk' update path="$TMPDIR/disk2",scsi_sn=beef0002
check 'is served' shows
check_says 'from then on' "^path +$TMPDIR/disk2\$"
check 'and the old one' update path="$TMPDIR/disk",removable=0,scsi_sn=beef0001
refuses 22 'invalid request: an option is no UTF-8' update scsi_sn=$'\xff'
refuses 22 'invalid request: an option is no UTF-8 text: --password' tgtadm --op new --mode account --user u --password $'\xff'
refuses 22 "'blocksize' option is no number" tgtadm --op new --mode logicalunit --tid 7 --lun 2 -b "$TMPDIR/volume" --blocksize 4k
refuses 22 'invalid request' tgtadm --op update --mode logicalunit --tid 7 --lun 1 --params nonsense=1
refuses 22 "can't find the logical unit" tgtadm --op update --mode logicalunit --tid 7 --lun 9 --params scsi_sn=1
check 'the tree is shown' tgtadm --op show --mode target
check_says 'with the target' "^Target 7: $name\$"
check_says 'a controller' '^        LUN: 0$'
check_says 'the LUN' '^        LUN: 1$'
check_says 'its serial number' '^            SCSI SN: beef0001$'
check_says 'its size as tgt counts' '^            Size: 67 MB, Block size: 512$'
check_says 'its file' "^            Backing store path: $TMPDIR/disk\$"
check_says 'and who may log in' '^        ALL$'

iscsi-perf -t 4 "iscsi://$(address)/$name/1" >"$TMPDIR/perf" 2>&1 &
perf=$!
check 'an initiator logs in' until_it has_connection
check 'connections are shown' tgtadm --op show --mode conn --tid 7
check_says 'with their session' '^Session: [0-9]+$'
check_says 'their connection' '^    Connection: [0-9]+$'
check_says 'the initiator' '^        Initiator: iqn\.'
check_says 'and its address' '^        IP Address: 127.0.0.1$'
sid=$(sed -n 's/^Session: //p' "$out")
check 'counters are shown' tgtadm --op stat --mode target --tid 7
check_says 'of the LUN' '^ +7 +1 '
refuses 22 'this target is still active' tgtadm --op delete --mode target --tid 7
refuses 22 "can't find the session" tgtadm --op delete --mode conn --tid 7 --sid 65000 --cid 0
check 'nobody is let in any more' tgtadm --op unbind --mode target --tid 7 -I ALL
refuses 22 'this access control rule does not exist' tgtadm --op unbind --mode target --tid 7 -I ALL
gone() { ! has_connection; }
check 'so the session ends' until_it gone
# It tries for ever to come back.
kill -KILL "$perf" 2>/dev/null
wait "$perf" 2>/dev/null
refuted 'a connection that is gone is no way to break' tgtadm --op delete --mode conn --tid 7 --sid "$sid" --cid 0
check 'the LUN is deleted' tgtadm --op delete --mode logicalunit --tid 7 --lun 1
refuses 22 "can't find the logical unit" tgtadm --op delete --mode logicalunit --tid 7 --lun 1
check 'the target is deleted' tgtadm --op delete --mode target --tid 7
refuses 22 "can't find the target" tgtadm --op delete --mode target --tid 7

# --- numbers: one that is asked for is had, also when riserd's own target has it by chance
check 'the number of a target that tgtadm did not make' tgtadm --op new --mode target --tid 1 -T $name
check 'both are shown' tgtadm --op show --mode target
check_says 'the new one with its number' "^Target 1: $name\$"
check_says 'the other one with another' "^Target 2: $iqn\$"
check 'names and networks' tgtadm --op bind --mode target --tid 1 -Q iqn.1993-08.org.debian:01:ABC
check 'both' tgtadm --op bind --mode target --tid 1 -I 192.0.2.5/24
refuses 22 'invalid request' tgtadm --op bind --mode target --tid 1 -I nonsense
check 'are shown' tgtadm --op show --mode target
check_says 'as given' '^        192.0.2.5/24$'
check 'and deleted' tgtadm --op delete --mode target --tid 1

# --- rules of riserd's own that tgtadm has no word for stay
riser() { timeout 20 "$BUILD/riser" "$@"; }
check 'a target of riser for names with *' riser target create --runtime iqn.2026-11.test:wild --allow 'iqn.2026-11.test:*'
tgtadm --op show --mode target >"$out"
tid=$(sed -n 's/^Target \([0-9]*\): iqn.2026-11.test:wild$/\1/p' "$out")
check 'a network is let in, for these names' tgtadm --op bind --mode target --tid "$tid" -I 192.0.2.0/24
check 'riserd has' riser target show iqn.2026-11.test:wild
check_says 'both of them' 'iqn\.2026-11\.test:\*'
check_says 'the network too' '192\.0\.2\.0/24'
check 'it goes' tgtadm --op delete --mode target --tid "$tid"

# --- rules that another tool has changed since are what counts
check 'one more target' tgtadm --op new --mode target --tid 6 -T $name
refuses 22 'invalid request: ALL: is no iSCSI name' tgtadm --op bind --mode target --tid 6 -Q ALL
refuses 22 'invalid request: 192.0.2.0/24: is no iSCSI name' tgtadm --op bind --mode target --tid 6 -Q 192.0.2.0/24
check 'one is let in' tgtadm --op bind --mode target --tid 6 -I 192.0.2.1
check 'riser lets in another one instead' riser target set --runtime $name allow=192.0.2.2
check 'the tree is shown' tgtadm --op show --mode target
check_says 'with what is so now' '^        192\.0\.2\.2$'
lacks 'not with what was' '192\.0\.2\.1$'
refuses 22 'this access control rule does not exist' tgtadm --op unbind --mode target --tid 6 -I 192.0.2.1
check 'a third one is let in' tgtadm --op bind --mode target --tid 6 -I 192.0.2.3
check 'riserd has' riser target show $name
check_says 'the second and the third' '192\.0\.2\.2.*192\.0\.2\.3'
lacks 'the first stays out' '192\.0\.2\.1([^0-9]|$)'
check 'the second goes' tgtadm --op unbind --mode target --tid 6 -I 192.0.2.2
check 'riser shuts it' riser target set --runtime $name allow=iqn.1995-01.invalid.nobody:none
check 'an address and a name at once' tgtadm --op bind --mode target --tid 6 -I ALL -Q iqn.1993-08.org.debian:01:abc
check 'riserd has' riser target show $name
check_says 'the name' '^allow  *iqn\.1993-08\.org\.debian:01:abc$'
check 'both go' tgtadm --op unbind --mode target --tid 6 -I ALL -Q iqn.1993-08.org.debian:01:abc
check 'the target, too' tgtadm --op delete --mode target --tid 6

# --- where nothing can be remembered nothing is done
mv "$RISER_CONTROL.tgtadm.lock" "$TMPDIR/lock" && mkdir "$RISER_CONTROL.tgtadm.lock"
refuses 22 '.*tgtadm: cannot be written' tgtadm --op new --mode target --tid 5 -T $name
check 'to look is fine' tgtadm --op show --mode target
lacks 'and it has not been made' $name
rmdir "$RISER_CONTROL.tgtadm.lock" && mv "$TMPDIR/lock" "$RISER_CONTROL.tgtadm.lock"

# --- accounts
check 'an account is made' tgtadm --mode account --op new --user $user --password $secret
refuses 22 'this account already exists' tgtadm --mode account --op new --user $user --password $secret
check 'another one' tgtadm --mode account --op new --user us --password secretsecret34
check 'they are shown' tgtadm --mode account --op show
check_says 'by name' "^    $user\$"
lacks 'without secrets' secretsecret
check 'a target for them' tgtadm --op new --mode target --tid 4 -T $name
check 'a LUN' tgtadm --op new --mode logicalunit --tid 4 --lun 1 -b "$TMPDIR/disk" --bsoflags direct
refuses 22 "can't find the account" tgtadm --mode account --op bind --tid 4 --user nobody
check 'an account is bound' tgtadm --mode account --op bind --tid 4 --user $user
refuses 22 'this account already exists' tgtadm --mode account --op bind --tid 4 --user $user
check 'one for the other direction' tgtadm --mode account --op bind --tid 4 --user us --outgoing
check 'all are let in' tgtadm --op bind --mode target --tid 4 -I ALL
check 'with the secret the LUN is there' test "$(sees $user%$secret)" -eq 1
check 'the tree is shown' tgtadm --op show --mode target
check_says 'with the account' "^        $user\$"
check_says 'and that of the target' '^        us \(outgoing\)$'
check 'a LUN that one may only read' tgtadm --op update --mode logicalunit --tid 4 --lun 1 --params readonly=1
check 'is dumped' tgt_admin --dump
check_says 'as that' 'readonly 1'
check 'an account with odd letters' tgtadm --mode account --op new --user $'odd\033[2J' --password $secret
check 'is shown' tgtadm --mode account --op show
check_says 'without them' '^    odd\?\[2J$'
check 'an account is let go' tgtadm --mode account --op unbind --tid 4 --user $user
check 'the other one' tgtadm --mode account --op unbind --tid 4 --user us --outgoing
check 'and both deleted' tgtadm --mode account --op delete --user $user
check 'like this' tgtadm --mode account --op delete --user us
refuses 22 "can't find the account" tgtadm --mode account --op delete --user us
check 'what is remembered is for nobody else' test "$(stat -c %a "$RISER_CONTROL.tgtadm")" = 600
check 'the target goes' tgtadm --op delete --mode target --tid 4

# --- Cinder: a file per volume, tgt-admin --update, --show, --delete
cat >"$TMPDIR/targets.conf" <<-END
	include $TMPDIR/volumes/*
	default-driver iscsi
END
mkdir "$TMPDIR/volumes"
cat >"$TMPDIR/volumes/volume-42" <<-END
	<target $cinder>
	    backing-store $TMPDIR/volume
	    driver iscsi
	    incominguser $user $secret
	    write-cache on
	</target>
END
check 'a volume is exported' tgt_admin --update $cinder
check 'and shown' tgt_admin --show
check_says 'with its LUN 1' '^        LUN: 1$'
check_says 'its file' "Backing store path: $TMPDIR/volume\$"
check_says 'its user' "^        $user\$"
check 'an initiator with the secret finds it' test "$(sees $user%$secret)" -eq 1
cat >"$TMPDIR/volumes/volume-43" <<-END
	<target ${cinder%42}43>
	    initiator-name bad_name
	</target>
END
check 'one with a rule that cannot be understood' tgt_admin --update ${cinder%42}43
check_says 'is made, and the rule is told' 'volume-43:[0-9]+: initiator-name bad_name: is no iSCSI name'
check 'and deleted' tgt_admin --force --delete ${cinder%42}43
rm "$TMPDIR/volumes/volume-43"
check 'once more changes nothing for the worse' tgt_admin --update $cinder
refuted 'a volume without a file is not known' tgt_admin --update iqn.2010-10.org.openstack:none
refuses 107 '.*control.5.sock' tgt_admin --control-port 5 --force --delete $cinder
check 'it is dumped' tgt_admin --dump
check_says 'the one of the other daemon is here still' $cinder
lacks 'without its secret' $secret
check 'all of the file is there already' tgt_admin --execute
check 'it is deleted' tgt_admin --force --delete $cinder
tgt_admin --show >"$out"
lacks 'and gone' $cinder
check 'once more is no error' tgt_admin --force --delete $cinder

check 'portals are shown' tgtadm --op show --mode portal
check_says 'with their tag' "^Portal: $(address),1\$"
check_stopped
need_daemon ram:16M
check 'another riserd has other numbers' tgtadm --op show --mode target
check_says 'from the beginning' "^Target 1: $iqn\$"
check_stopped
finish
