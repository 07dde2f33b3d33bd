#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What `riser howto` prints for Linux is pasted as it is: bash gets the lines and then, as from a keyboard,
# what they ask for. The disk is there, holds a file system, and the lines for going back leave nothing.
# shellcheck source=tests/guest/lib.sh
. "$SRC/tests/guest/lib.sh"

open=iqn.2026-11.com.example:open
locked=iqn.2026-11.com.example:locked
host=iqn.2026-11.com.example:host
control=$TMPDIR/control.sock
# shellcheck disable=SC2016 # nothing of it is for a shell
secret='a se/cr&t \12 $HOME "345"'
mkdir "$TMPDIR/bin" "$TMPDIR/mount"
umask 077

riser() {
	"$BUILD/riser" --control "$control" "$@"
}

# --- what is different in this machine: neither systemd nor udev --------------------------------

[ -e /dev/stdin ] || ln -s /proc/self/fd/0 /dev/stdin
cat >"$TMPDIR/bin/systemctl" <<'END'
#!/bin/sh
[ "$*" = "restart iscsid" ] || exit 1
iscsiadm -k 0
while pidof iscsid >/dev/null; do sleep 0.1; done
exec iscsid
END
chmod 755 "$TMPDIR/bin/systemctl"

configure() {
	ip addr add 192.0.2.1/32 dev lo
	printf '%s\n' "$secret" >"$TMPDIR/secret"
	cat >"$TMPDIR/riser.conf" <<END
portal "192.0.2.1" { transports = tcp }
portal "192.0.2.1:3261" { transports = tcp tag = 2 }
target $open {
    allow = { any }
    lun 0 { path = "ram:64M" }
}
target $locked {
    portals = { "192.0.2.1" }
    allow = { $host, 192.0.2.0/24 }
    chap alice { secret-file = $TMPDIR/secret }
    lun 3 { path = "ram:64M" }
}
END
}

# --- the person ---------------------------------------------------------------------------------

# told ARGUMENT...: the lines, in $TMPDIR/lines
told() {
	riser howto "$@" >"$TMPDIR/lines" && cat "$TMPDIR/lines"
}

# type_in [ANSWER]: nothing is left of what was pasted when the lines ask
type_in() {
	{
		cat "$TMPDIR/lines"
		printf '%s\n' "$@"
	} | PATH=$TMPDIR/bin:$PATH bash
}

# go_back: the lines that stand there as comments, for later
go_back() {
	sed -n 's/^# *\(iscsiadm .*\)/\1/p' "$TMPDIR/lines" >"$TMPDIR/back"
	[ -s "$TMPDIR/back" ] && bash "$TMPDIR/back"
}

# use IQN LUN: as disks are used
use() {
	need "the disk of $1" disk_of "$1" "$2"
	disk=$(cat "$TMPDIR/disk")
	check "a file system on it" mkfs.ext4 -q "$disk"
	check "mount" mount "$disk" "$TMPDIR/mount"
	check "a file" cp "$TMPDIR/lines" "$TMPDIR/mount/"
	check "unmount" umount "$TMPDIR/mount"
}

both_portals() {
	[ "$(grep -l -x "$1" /sys/class/iscsi_session/*/targetname | wc -l)" -eq 2 ]
}

forgotten() {
	[ ! -d "/etc/iscsi/nodes/$1" ]
}

back() {
	check "the lines for going back from $1" go_back
	check "no session is left" no_session "$1"
	check "and no record" forgotten "$1"
}

need "a configuration" configure
need "riserd serves" start_riserd -c "$TMPDIR/riser.conf" --control "$control"
need "iscsid starts" start_iscsid

check "the lines for a target that is open to all" told open --os linux
need "they work" type_in
check_says "they show the disk" '^sd.* disk '
check "there is a session for each portal" both_portals $open
need "the disk" disk_of $open 0
back $open

need "discovery gets a user of its own" riser user add bob --discovery --runtime \
	--secret-file "$TMPDIR/secret"
check "the lines are others" told open
need "they work" type_in
check "there is a session for each portal" both_portals $open
back $open
need "discovery is open again" riser user delete bob --discovery --runtime

check "the lines for a target with CHAP" told locked --os linux
check_says "they have the name that is let in" "InitiatorName=$host"
check_says "and the network" '^# .*192\.0\.2\.0/24'
need "they work, with the secret that they ask for" type_in "$secret"
check "the host has the name" grep -qx "InitiatorName=$host" /etc/iscsi/initiatorname.iscsi
check "sessions" riser session list
check_says "alice is there, by this name" "$host.*alice|alice.*$host"
use $locked 3
back $locked

check "the kernel saw no error" no_kernel_errors
check "riserd stops cleanly" stop_riserd
finish
