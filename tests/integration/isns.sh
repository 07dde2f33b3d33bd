#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# riserd and an iSNS server, open-isns's own: what it has of us while we serve, that it has nothing
# of us afterwards, and that riserd serves on whatever becomes of that server or of what talks to it.
. "$SRC/tests/lib/daemon.sh"

PATH=$PATH:/usr/sbin:/sbin
for tool in isnsd isnsadm; do
	command -v "$tool" >/dev/null && continue
	skipped 'riserd and an iSNS server' "no $tool: ci/deps test"
	finish
done

other=iqn.2026-11.localhost:other
server= # pid of the iSNS server
listener= # pid of a false one
trap 'daemon_kill; kill -KILL $server $listener 2>/dev/null' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

# isns_config NAME: of isnsd, or of who asks it
isns_config() {
	cat <<-END
		SourceName = iqn.2026-11.localhost:$1
		Database = $TMPDIR/isns
		ServerAddress = 127.0.0.1:$port
		BindAddress = 127.0.0.1:$port
		ControlSocket = $TMPDIR/isnsctl
		PIDFile = $TMPDIR/isnsd.pid
		RegistrationPeriod = 3
		DefaultDiscoveryDomain = 1
		SLPRegister = 0
		Security = 0
	END
}
isns_config isnsd >"$TMPDIR/isnsd.conf"
isns_config admin >"$TMPDIR/admin.conf"

# within SECONDS COMMAND...: the command succeeds in that time
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.1
	done
}

listening() {
	(: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}

# server_start: with an empty database
server_start() {
	rm -rf "$TMPDIR/isns" "$TMPDIR/isnsctl" "$TMPDIR/isnsd.pid"
	mkdir "$TMPDIR/isns"
	isnsd -f -c "$TMPDIR/isnsd.conf" >"$TMPDIR/isnsd.log" 2>&1 &
	server=$!
	within 10 listening
}

server_kill() {
	kill -KILL "$server"
	wait "$server" 2>/dev/null
	server=
}

# list WHAT: entities, nodes, portals or portal-groups that the server has
list() {
	isnsadm -c "$TMPDIR/admin.conf" --local --list "$1" 2>&1
}

# has WHAT PATTERN...
has() {
	local pattern
	list "$1" >"$TMPDIR/list"
	cat "$TMPDIR/list"
	for pattern in "${@:2}"; do grep -E -q -- "$pattern" "$TMPDIR/list" || return; done
}

has_none() {
	list nodes >"$TMPDIR/list" && list entities >>"$TMPDIR/list"
	cat "$TMPDIR/list"
	! grep -F -q -e "$iqn" -e "$other" "$TMPDIR/list"
}

# tags: "port tag" of each portal group, sorted
tags() {
	list portal-groups | awk '
		/Portal group name/ { name = $NF }
		/Portal group port/ { sub("/tcp", "", $NF); port = $NF }
		/Portal group tag/ { print name, port, $NF }' | sort
}

# seen: when the server last heard of us
seen() {
	list entities | sed -n 's/.*Timestamp = //p'
}

heard_again() {
	local now
	now=$(date -d "$(seen)" +%s) || return
	[ "$now" -ge $((first + 4)) ]
}

# said N PATTERN: the log has N lines about iSNS that match, and tells them
said() {
	grep -E iSNS "$log"
	[ "$(grep -c -E -- "iSNS.*$2" "$log")" -eq "$1" ]
}

works() {
	qemu_io "$(url 0)" 'write -P 7 0 64k' 'read -P 7 0 64k'
}

# stopped_in SECONDS: no longer than that
stopped_in() {
	local start=$SECONDS
	daemon_stop && [ $((SECONDS - start)) -le "$1" ]
}

# --- a server that comes, forgets and comes back ---------------------------------------------

need_daemon --isns "127.0.0.1:$port" -p 127.0.0.1:0,tag=3 -p '[::1]:0,tag=7' ram:16M
check 'no server: riserd serves' works
check 'no server: one line says so' within 5 said 1 'not registered: Connection refused'
check 'a server comes' server_start
check 'the target is registered' within 20 has nodes "\"$iqn\"" 'node type = Target'
check '... and one line says so' within 5 said 1 ': registered'
first_port=$(address) first_port=${first_port##*:}
second_port=${urls[1]#iscsi://\[::1\]:} second_port=${second_port%%/*}
check '... with its portals' has portals 'address = 127.0.0.1' "port = $first_port/tcp" \
	'address = ::1' "port = $second_port/tcp"
tags >"$TMPDIR/tags"
printf '"%s" %s %s\n' "$iqn" "$first_port" 3 "$iqn" "$second_port" 7 | sort >"$TMPDIR/wanted"
check '... each in its portal group' diff "$TMPDIR/wanted" "$TMPDIR/tags"
check '... as one entity of iSCSI' has entities "Entity identifier = \"$iqn\"" 'iSCSI'
first=$(date -d "$(seen)" +%s)
check 'it is heard of again before its period of 3 s is over' within 15 heard_again
check '... and is there' has nodes "\"$iqn\""
check '... and that is not worth a line' said 1 'registered$'
server_kill
check 'the server goes away: one line' within 15 said 2 'not registered'
check '... and riserd serves' works
check '... it comes back, with nothing in its head' server_start
check '... and is told again' within 20 has nodes "\"$iqn\"" 'node type = Target'
check_stopped
check 'a stopped riserd is not registered' has_none
check '... and one line says so' said 1 'deregistered'

# --- what is there without being asked for ---------------------------------------------------

need_daemon ram:16M
check_stopped 'without --isns riserd serves'
check '... and says nothing about it' said 0 .

# --- what changes while it is served ---------------------------------------------------------

riser() {
	"$BUILD/riser" --control "$control" "$@"
}

# groups "NAME PORT TAG"...: those, and no others that have a tag
groups() {
	tags >"$TMPDIR/tags"
	cat "$TMPDIR/tags"
	diff <(grep -E ' [0-9]+$' "$TMPDIR/tags") <(printf '%s\n' "$@" | sort)
}

gone() {
	list nodes >"$TMPDIR/list"
	cat "$TMPDIR/list"
	! grep -F -q "\"$1\"" "$TMPDIR/list"
}

need_daemon --isns "127.0.0.1:$port" -p 127.0.0.1:0,tag=3 --state "$TMPDIR/state" ram:16M
check 'a daemon is registered' within 20 has nodes "\"$iqn\""
first_port=$(address) first_port=${first_port##*:}
check 'a portal is added' riser portal create 127.0.0.2:0 tag=7
check '... and registered' within 10 has portals 'address = 127.0.0.1' 'address = 127.0.0.2'
second=$(riser --json portal list | grep -o '127\.0\.0\.2:[0-9]*' | head -n 1)
second_port=${second##*:}
check 'a target is created, at that portal alone' riser target create "$other" --portal 127.0.0.2:0
check '... and registered, the other one is still there' within 10 has nodes "\"$iqn\"" "\"$other\""
check '... and the log has it' within 5 said 1 'has the change: 2 targets, 2 portals$'
check '... where it is to be had, and nowhere else' within 5 groups "\"$other\" $second_port 7" \
	"\"$iqn\" $first_port 3" "\"$iqn\" $second_port 7"
check 'LUNs are nothing to iSNS' riser lun create "$other" ram:1M
check 'the target that the entity is named after goes' riser target delete --force "$iqn"
check '... and is not registered any more' within 10 gone "$iqn"
check '... the other one is' has nodes "\"$other\""
server_kill
check 'while the server is away a target comes' riser target create "$iqn"
check '... and riserd has the last word' within 15 said 1 'not registered'
check '... and another goes' riser target delete "$other"
check '... the server comes back' server_start
check '... and hears of all of it' within 20 has nodes "\"$iqn\""
check '... and of nothing that is gone' gone "$other"
check_stopped
check 'a stopped riserd is not registered, whatever has changed' has_none

# --- a configuration file --------------------------------------------------------------------

# configure LINE...: the rest of the file
configure() {
	printf '%s\n' 'portal 127.0.0.1:0 { }' "$@" >"$TMPDIR/riser.conf"
}
isns="isns = 127.0.0.1:$port"
configure "target $iqn { lun 0 { path = ram:16M } }"
need_daemon -c "$TMPDIR/riser.conf"
configure "target $iqn { lun 0 { path = ram:16M } }" "target $other { }" "$isns"
kill -HUP "$pid"
check 'SIGHUP: the file names a server' within 20 has nodes "\"$iqn\"" "\"$other\""
configure "target $other { }" "$isns"
kill -HUP "$pid"
check 'SIGHUP: a target goes' within 10 gone "$iqn"
configure "target $other { }" "target $iqn { }" "$isns"
check 'config apply: it comes back' riser config apply
check '... and is registered' within 10 has nodes "\"$iqn\"" "\"$other\""
configure "target $other { }" "target $iqn { }"
kill -HUP "$pid"
check 'SIGHUP: the file names no server any more' within 10 has_none
check '... and the log has it' within 5 said 1 'deregistered'
check_stopped
configure 'isns = somewhere'
check 'a mistake: isns = somewhere' refused 8 -c "$TMPDIR/riser.conf"
check '... is told with its line' grep -q 'riser.conf:2: isns = somewhere: isns takes an IP address' \
	"$TMPDIR/refusal"
server_kill

# --- servers that are none -------------------------------------------------------------------

# false_server HOW: takes every connection and is silent, or talks
false_server() {
	python3 - "$port" "$1" >"$TMPDIR/false.out" <<-'END' &
		import socket, struct, sys, threading
		port, how = int(sys.argv[1]), sys.argv[2]
		listener = socket.socket()
		listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		listener.bind(("127.0.0.1", port))
		listener.listen()
		kept = []
		def listen_to(conn):
		    asked = conn.recv(12)
		    if asked[2:4] == b"\0\4":
		        print("deregistration", flush=True)
		def talk(conn):
		    asked = conn.recv(12)
		    if len(asked) < 12:
		        return
		    _, function, _, _, xid, _ = struct.unpack(">HHHHHH", asked)
		    name = b"%n%s" * 16000
		    body = {
		        "noise": b"\xff" * 60000,
		        # a registration answered by success and a name as long as it can be
		        "names": struct.pack(">III", 0, 32, len(name)) + name,
		        # an attribute longer than its message
		        "length": struct.pack(">III", 0, 32, 0xfffffff0) + b"iqn.",
		        "error": struct.pack(">I", 3),
		    }[how][:65532]
		    conn.sendall(struct.pack(">HHHHHH", 1, 0x8000 | function, len(body) & 0xffff,
		                             0x4c00, xid, 0) + body)
		while True:
		    conn, _ = listener.accept()
		    kept.append(conn)
		    if how == "silent":
		        threading.Thread(target=listen_to, args=(conn,), daemon=True).start()
		    else:
		        threading.Thread(target=talk, args=(conn,), daemon=True).start()
	END
	listener=$!
	within 10 listening
}

false_server_kill() {
	kill -KILL "$listener"
	wait "$listener" 2>/dev/null
	listener=
}

for how in noise names length error; do
	check "a server answers with $how" false_server "$how"
	need_daemon --isns "127.0.0.1:$port" ram:16M
	check "$how: one line" within 20 said 1 'not registered: .*; trying again'
	check "$how: riserd serves" works
	check "$how: it stops in time" stopped_in 3
	false_server_kill
done
check 'a server is silent' false_server silent
need_daemon --isns "127.0.0.1:$port" ram:16M
check 'silent: riserd serves' works
check 'silent: a conversation ends' within 20 said 1 'not registered: .*; trying again'
check 'silent: it stops in time' stopped_in 3
check '... and tells the server, which may have heard it all' \
	grep -q -x 'deregistration' "$TMPDIR/false.out"
need_daemon --isns "127.0.0.1:$port" ram:16M
check 'silent: it stops in time in the middle of a conversation' stopped_in 3
false_server_kill

# --- hosts without -----------------------------------------------------------------------------

mkdir "$TMPDIR/sbin"
cp "$RISERD" "$TMPDIR/sbin/riserd"
RISERD=$TMPDIR/sbin/riserd
check 'no riser-isns: no start, one line' refused 1 --isns 127.0.0.1 -p 127.0.0.1:0 ram:16M
check '... that names the option' grep -F -q -- '--isns' "$TMPDIR/refusal"
need_daemon ram:16M
check_stopped 'no riser-isns, and nobody asks for it: riserd serves'
cat >"$TMPDIR/sbin/riser-isns" <<-'END'
	#!/bin/sh
	printf 'a line\nlibisns.so.0: \033[2J%%n%%s\n' >&2
	exit 127
END
chmod 755 "$TMPDIR/sbin/riser-isns"
need_daemon --isns 127.0.0.1 ram:16M
check 'no library: riserd serves' works
check 'no library: the last line is told, without what a terminal obeys' \
	within 5 said 1 'not registered: libisns\.so\.0: \\x1b\[2J%n%s; trying again'
check_stopped
cat >"$TMPDIR/sbin/riser-isns" <<-'END'
	#!/bin/sh
	echo "$1" >>"${0%/*}/verbs"
	[ "$1" = deregister ] || kill -TERM $$
END
need_daemon --isns 127.0.0.1 ram:16M
check 'a riser-isns that a signal ends: one line' within 5 said 1 'not registered'
check_stopped
check '... the server may have heard of it: it is deregistered' \
	grep -q -x deregister "$TMPDIR/sbin/verbs"
printf '#!/bin/sh\nseq 3000 >&2\necho "not today"\nexit 1\n' >"$TMPDIR/sbin/riser-isns"
printf '#!/bin/sh\nexec env --ignore-signal=CHLD "%s" "$@"\n' "$RISERD" >"$TMPDIR/deaf"
chmod 755 "$TMPDIR/deaf"
RISERD=$TMPDIR/deaf need_daemon --isns 127.0.0.1 ram:16M
check 'SIGCHLD is ignored by who starts riserd: what a child says last counts' \
	within 5 said 1 'not registered: not today; '
check_stopped
printf '#!/bin/sh\nexec yes\n' >"$TMPDIR/sbin/riser-isns"
need_daemon --isns 127.0.0.1 ram:16M
check 'a riser-isns that talks without an end: riserd serves' works
check '... and stops in time' stopped_in 4

# --- mistakes ----------------------------------------------------------------------------------

for text in '' : 127.0.0.1: 127.0.0.1:x 127.0.0.1:65536 example.org fe80::1; do
	check "a mistake: --isns '$text'" refused 2 --isns "$text" ram:16M
done
check 'a mistake: two of them' refused 2 --isns 127.0.0.1 --isns 127.0.0.1 ram:16M
finish
