#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# riser import: configurations of tgt, LIO and FreeBSD become one that riserd takes; each line that is
# not carried over is told; secrets go to files and nowhere else.
. "$SRC/tests/lib/daemon.sh"

samples=$SRC/tests/lib/import
import() { timeout 20 "$BUILD/riser" import "$@"; }
lacks() {
	if says "$2"; then not_ok "$1" "$out"; else ok "$1"; fi
}
# has NAME PATTERN: a line of the file that was made
has() { check "$1" grep -E -q -- "$2" "$TMPDIR/riser.conf"; }
# accepted SAMPLE: what is made of it has its secrets, and riserd takes it
accepted() {
	rm -rf "$TMPDIR/riser.conf" "$TMPDIR/secrets"
	check_status 10 "$1 is carried over in part" import --secrets "$TMPDIR/secrets" -o "$TMPDIR/riser.conf" "$samples/$1"
	cp "$out" "$TMPDIR/said"
	lacks 'no secret is printed' 'secretsecret|discoversecret|donotprint'
	check 'secrets are for nobody else' test "$(stat -c %a "$TMPDIR/secrets"/* | sort -u)" = 600
	# Secrets that were too short have to be made anew.
	[ ! -e "$TMPDIR/secrets" ] || printf 'longenough%s' "$RANDOM$RANDOM$RANDOM" >"$TMPDIR/secrets/bob"
	chmod 600 "$TMPDIR/secrets/bob"
	check 'riserd takes it' timeout 20 "$RISERD" -t -c "$TMPDIR/riser.conf"
}
# told FILE LINE PATTERN: of the last sample
told() { check "line $2 is told" grep -E -q -- "/$1:$2: .*$3" "$TMPDIR/said"; }

# --- tgt
accepted targets.conf
has 'the address of tgt' '^portal "0.0.0.0:3260" \{ \}$'
has 'of both families' '^portal "\[::\]:3260" \{ \}$'
has 'what it includes' '^target iqn.2026-01.com.example:inc \{$'
has 'LUNs in the order of their paths' '^    lun 1 \{ path = /srv/y \}$'
has 'from 1 on' '^    lun 2 \{ path = /srv/z \}$'
has 'options of a LUN' '^    lun 1 \{ path = /srv/b block-size = 4096 physical-block-size = 16384 readonly = on direct = on serial = beef0001 \}$'
has 'a number that was given' '^    lun 7 \{ path = /srv/a \}$'
has 'names, and networks without loose bits' '^    allow = \{ iqn.1993-08.org.debian:01:abc, 192.0.2.0/24 \}$'
has 'users in both directions' "^    chap \"al#ice\" \{ secret-file = $TMPDIR/secrets/al_ice mutual = us mutual-secret-file = $TMPDIR/secrets/us \}\$"
has 'users of discovery' '^    chap finder '
has 'what cannot be understood opens nothing' '^    allow = \{ iqn.1995-01.invalid.nobody:none \}$'
told targets.conf 10 'write-cache off'
told targets.conf 24 'incomminguser'
told targets.conf 26 'MaxBurstLength'
told targets.conf 31 'rbd'
told targets.conf 35 'under_score is left out'

# --- LIO
accepted saveconfig.json
has 'portals of a target' '^    portals = \{ "192.0.2.1:3260", "\[2001:db8::1\]:3261" \}$'
has 'in a portal group of their own' '^portal "0.0.0.0:3260" \{ tag = 2 \}$'
has 'the names that initiators know the disk by' 'serial = c2577ab8-f43e-402f-97b4-76b15e0bf890 naa = 6001405c2577ab8f43e402f97b476b15'
has 'a LUN that one may only read' '^    initiator user:alice \{ luns = all readonly = \{ 1 \} \}$'
has 'a LUN that one does not see' '^    initiator user:bob \{ luns = \{ 1 \} \}$'
has 'a ram disk' '^    lun 0 \{ path = ram:16777216 '
has 'discovery' '^    chap finder '
told saveconfig.json 9 'emulate_pr 0'
told saveconfig.json 19 'pscsi'
told saveconfig.json 45 'bob has 5 bytes'
told saveconfig.json 46 'its lun 0: now it is 1'
told saveconfig.json 66 'serves a disk once'
told saveconfig.json 74 'loopback'

# --- FreeBSD
accepted ctl.conf
has 'a portal group' '^portal "192.0.2.1:3260" \{ \}$'
has 'another one that sends away' '^portal "198.51.100.1:3260" \{ tag = 2 redirect = "198.51.100.9" \}$'
has 'an alias' "^    alias = \"The lab's disk\"\$"
has 'mutual CHAP' '^    chap alice .* mutual = target '
has 'a LUN that is defined elsewhere' 'lun 0 \{ path = /dev/zvol/tank/shared block-size = 4096 serial = 001122334455 naa = 6589cfc000000b1ad1f1cf0ed4a1b0de \}'
has 'a size' 'size = 4294967296 physical-block-size = 8192 readonly = on'
has 'IPv6 networks' '^    allow = \{ 2001:db8::/64 \}$'
has 'a path with a blank' 'path = "/dev/zvol/tank/with space"'
has 'the server of iSNS' '^isns = 192.0.2.9:3205$'
told ctl.conf 33 'option vendor'
told ctl.conf 50 'serves disks only'

# --- Whoever could not log in there without a secret cannot do so here
closed() {
	check_status 10 "$1" import "$TMPDIR/closed"
	check_says 'nobody may log in' '^    allow = \{ iqn.1995-01.invalid.nobody:none \}$'
	check_says 'which is told' "$2"
}
name=iqn.2026-01.com.example:closed
printf '<target %s>\n\tincominguser al\007ice secretsecret12\n</target>\n' $name >"$TMPDIR/closed"
closed 'a target whose only user is left out' 'closed:1: .*nobody may log in: .*CHAP'
cat >"$TMPDIR/closed" <<-END
	{ "targets": [ { "fabric": "iscsi", "wwn": "$name", "tpgs": [ { "tag": 1, "portals": [ { "ip_address": "192.0.2.1" } ],
	"attributes": { "authentication": 1, "generate_node_acls": 1 }, "luns": [], "node_acls": [] } ] } ] }
END
closed 'one of LIO with authentication and no secret' 'nobody may log in: .*CHAP'
printf 'auth-group g { auth-type chap }\ntarget %s { auth-group g }\n' $name >"$TMPDIR/closed"
closed 'one of FreeBSD with an empty auth-group of type chap' 'closed:2: .*nobody may log in: .*CHAP'

# --- The server of iSNS
isns() {
	printf '%b<target %s>\n\tbacking-store /srv/a\n</target>\n' "$2" $name >"$TMPDIR/isns"
	check_status "$3" "isns of tgt: $1" import -o "$TMPDIR/isns.conf" --force "$TMPDIR/isns"
}
isns 'an address' 'iSNS On\niSNSServerIP 192.0.2.9\n' 0
check 'is carried over' grep -q '^isns = 192.0.2.9:3205$' "$TMPDIR/isns.conf"
check 'riserd takes it' timeout 20 "$RISERD" -t -c "$TMPDIR/isns.conf"
isns 'of IPv6, with a port' 'iSNSServerPort 3206\niSNSServerIP 2001:db8::9\niSNS on\n' 0
check 'is carried over' grep -q '^isns = "\[2001:db8::9\]:3206"$' "$TMPDIR/isns.conf"
check 'riserd takes it' timeout 20 "$RISERD" -t -c "$TMPDIR/isns.conf"
isns 'a name' 'iSNS On\niSNSServerIP isns.example.com\n' 10
check_says 'is told' 'isns:2: iSNSServerIP isns.example.com, port 3205: not carried over'
isns 'no server' 'iSNS On\n' 10
check_says 'is told' 'isns:1: iSNS On: not carried over'
isns 'switched off' 'iSNSServerIP 192.0.2.9\n' 10
check_says 'is told' 'isns:1: iSNSServerIP 192.0.2.9: not carried over'
isns 'a port that is none' 'iSNS On\niSNSServerIP 192.0.2.9\niSNSServerPort 70000\n' 10
printf 'isns-server [2001:db8::9]:3206\nisns-server 192.0.2.9\nisns-period 60\ntarget %s { lun 0 { path /srv/a } }\n' \
	$name >"$TMPDIR/isns"
check_status 10 'two servers of FreeBSD' import -o "$TMPDIR/isns.conf" --force "$TMPDIR/isns"
check_says 'the second one is told' 'isns:2: isns-server 192.0.2.9: is left out'
check_says 'and the period' 'isns:3: isns-period 60: not carried over'
check 'the first one is carried over' grep -q '^isns = "\[2001:db8::9\]:3206"$' "$TMPDIR/isns.conf"

# --- What may be done with it
printf '<target iqn.2026-01.com.example:clean>\n\tbacking-store %s\n</target>\n' "$TMPDIR/disk" >"$TMPDIR/targets.conf"
check 'a file of which all is carried over' import -o "$TMPDIR/clean.conf" "$TMPDIR/targets.conf"
check_says 'is counted' '1 target, 1 LUN; 0 lines'
check 'once more changes nothing' import -o "$TMPDIR/clean.conf" "$TMPDIR/targets.conf"
echo '# by hand' >>"$TMPDIR/clean.conf"
check_status 4 'what is there stays' import -o "$TMPDIR/clean.conf" "$TMPDIR/targets.conf"
check_says 'and the way out is told' 'force'
check 'by force it is replaced' import --force -o "$TMPDIR/clean.conf" "$TMPDIR/targets.conf"
check 'without a file it is printed' import "$TMPDIR/targets.conf"
check_says 'as it is' '^    lun 1 \{ path = '
check 'as JSON' import --json "$TMPDIR/targets.conf"
cp "$out" "$TMPDIR/json"
check 'which has all of it' python3 -c 'import json, sys; r = json.load(open(sys.argv[1]))
assert r["format"] == "tgt" and r["targets"] == 1 and r["luns"] == 1 and not r["notes"] and "lun 1" in r["config"]' "$TMPDIR/json"
check_status 10 'a try writes nothing' import --dry-run --secrets "$TMPDIR/none" -o "$TMPDIR/none.conf" "$samples/ctl.conf"
check 'no file' test ! -e "$TMPDIR/none.conf"
check 'and no folder' test ! -e "$TMPDIR/none"

truncate -s 16M "$TMPDIR/disk"
sed -i 's/^portal.*\[::.*//; s/0.0.0.0:3260/127.0.0.1:0/' "$TMPDIR/clean.conf"
need_daemon -c "$TMPDIR/clean.conf"
check 'what was made is served' timeout 20 iscsi-ls -s "iscsi://$(address)"
check_says 'with its LUN' 'Lun:1 '
check_stopped

# --- What is no configuration
wrong() {
	check_status 8 "$1" import "${@:3}"
	check_says 'with the place' "$2"
}
wrong 'a file that is not there' 'none: cannot be read' "$TMPDIR/none"
head -c 500 "$samples/saveconfig.json" >"$TMPDIR/half.json"
wrong 'half a file of JSON' 'half.json:[0-9]+: ' "$TMPDIR/half.json"
echo '{ "targets": 5 }' >"$TMPDIR/other.json"
wrong 'another file of JSON' 'saveconfig.json' "$TMPDIR/other.json"
printf '\n<target a>\n' >"$TMPDIR/open.conf"
wrong 'a block without an end' 'open.conf:2: .*no end' "$TMPDIR/open.conf"
echo "include $TMPDIR/loop.conf" >"$TMPDIR/loop.conf"
wrong 'a file that includes itself' 'include each other' "$TMPDIR/loop.conf"
printf 'target a {\n' >"$TMPDIR/ctl.conf"
wrong 'a section without an end' 'ctl.conf:1: .*no end' "$TMPDIR/ctl.conf"
head -c 4096 /dev/zero >"$TMPDIR/zeros"
wrong 'no text at all' 'is not a text' "$TMPDIR/zeros"
finish
