#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# docs/getting-started.md, word by word: every command of it is run, riserd as its own user, the kernel as
# the initiator, and in the end a file on the mounted disk is still there after both have restarted.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

doc=$SRC/docs/getting-started.md
iqn=iqn.2026-11.com.example:disk1
address=192.0.2.1
mount=/mnt/disk1

# --- what is different in this machine ---------------------------------------------------------

# Everything is installed, though in another place, and there is neither systemd nor udev.
apt() {
	:
}

riser() {
	"$BUILD/riser" "$@"
}

riserd() {
	"$real" "$@"
}

systemctl() {
	[ "$*" = 'reload riser' ] && "$BUILD/riser" config apply
}

prepare() {
	ip link set lo up
	[ -e /dev/stdin ] || ln -s /proc/self/fd/0 /dev/stdin
	ip addr add $address/32 dev lo
	real=$RISERD
	printf '#!/bin/sh\nexec setpriv --reuid riser --regid riser --init-groups --inh-caps=-all %s\n' \
		"\"$RISERD\" \"\$@\"" >"$TMPDIR/riserd"
	chmod 755 "$TMPDIR/riserd" "$TMPDIR"
	RISERD=$TMPDIR/riserd
	systemd-sysusers "$SRC/packaging/systemd/riser.sysusers" &&
		systemd-tmpfiles --create "$SRC/packaging/systemd/riser.tmpfiles" &&
		mkdir -p /etc/riser /srv && cp "$SRC/packaging/riser.conf" /etc/riser/
}

link_disk() {
	disk_of $iqn 0 && mkdir -p /dev/disk/by-path &&
		ln -sf "$(cat "$TMPDIR/disk")" "/dev/disk/by-path/ip-$address:3260-iscsi-$iqn-lun-0"
}

undo_more() {
	umount $mount
}

# --- the document ------------------------------------------------------------------------------

# block LANGUAGE NUMBER: the text of that block
block() {
	awk -v fence="^\`\`\`$1\$" -v number="$2" '
		$0 ~ fence { inside = ++count == number; next }
		/^```/ { inside = 0 }
		inside' "$doc"
}

# follow LANGUAGE NUMBER: one check per command
follow() {
	block "$1" "$2" >"$TMPDIR/commands"
	need "block $2 for the $1 is in the document" test -s "$TMPDIR/commands"
	while read -r command <&4; do
		need "$command" eval "$command"
	done 4<"$TMPDIR/commands"
}

write_configuration() {
	block conf 1 | sed "s/iqn.1993-08.org.debian:01:abc/$initiator/; s/size = 10G/size = 1G/" \
		>/etc/riser/riser.conf
	grep -q "$initiator" /etc/riser/riser.conf
}

add_secret() {
	block ini 1 | sed "s|THE SECRET|$(cat /etc/riser/secrets/alice)|" >>/etc/iscsi/iscsid.conf
	! grep -q 'THE SECRET' /etc/iscsi/iscsid.conf
}

need "a machine with riser installed" prepare
need "the service runs and serves nothing" start_riserd -c /etc/riser/riser.conf
check "riser says so" riser status
follow 'sh target' 2
follow 'sh initiator' 1
check_says "the initiator has a name" "$initiator"
need "the configuration, with this name" write_configuration
follow 'sh target' 3
check_says "the tree has the target" $iqn
need "the secret, for the initiator" add_secret
need "iscsid starts" start_iscsid
follow 'sh initiator' 2
need "the disk has its name" link_disk
check "howto tells the same" riser howto disk1 --os linux
check_says "how to log in" "iscsiadm -m node -T $iqn"
follow 'sh initiator' 3
check "it is mounted" mounted $mount
check "sessions" riser session list --json
check_says "the initiator and its user" "$initiator.*alice|alice.*$initiator"
follow 'sh initiator' 4

echo "still here" >$mount/file
need "both machines go down: unmount" umount $mount
need "logout" logout $iqn
need "riserd" stop_riserd
need "both start again: riserd" start_riserd -c /etc/riser/riser.conf
need "the automatic logins" iscsiadm -m node --loginall=automatic
need "the disk comes back" link_disk
need "what is in fstab" mount -a -O _netdev
check "the file" cat $mount/file
check_says "is still here" '^still here$'
check "unmount" umount $mount
check "logout" logout $iqn
check "the kernel saw no error" no_kernel_errors
check "riserd stops cleanly" stop_riserd
finish
