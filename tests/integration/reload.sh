#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Twenty reloads of the configuration file under verified I/O: LUNs come, go and grow in the view of
# libiscsi, while riser-bench writes and checks on a LUN beside them and on another target.
. "$SRC/tests/lib/daemon.sh"

RELOADS=20
one=iqn.2026-11.test:one two=iqn.2026-11.test:two
conf=$TMPDIR/riser.conf

# configure TEXT: the file, with TEXT among the LUNs of the first target
configure() {
	cat >"$conf.new" <<-END
		portal 127.0.0.1:0 { }
		target $one {
		    lun 0 { path = ram:16M }
		    $1
		}
		target $two {
		    lun 0 { path = ram:16M }
		}
	END
	mv "$conf.new" "$conf"
}

# reload SAYS: SIGHUP; the log says so when it is done
reload() {
	local before
	before=$(grep -c "$1" "$log")
	kill -HUP "$pid"
	for _ in $(seq 200); do
		[ "$(grep -c "$1" "$log")" -le "$before" ] || return 0
		read -r -t 0.05 <>"$TMPDIR/never" || :
	done
	return 1
}

# luns: what an initiator that comes now finds
luns() {
	timeout 20 iscsi-ls -s "iscsi://$(address)" | sed -n "/Target:$one/,/Target:$two/s/^Lun:\([0-9]*\).*/\1/p" |
		tr '\n' ' '
}

mkfifo "$TMPDIR/never"
truncate -s 8M "$TMPDIR/disk"
configure ''
need_daemon -c "$conf"
check 'at first there is one LUN' test "$(luns)" = '0 '

bench() {
	"$RISER_BENCH" "iscsi://$(address)/$1/0" --rw randrw --verify --qd 16 --seconds 15 --warmup 0
}
bench "$one" >"$TMPDIR/one" 2>&1 &
first=$!
bench "$two" >"$TMPDIR/two" 2>&1 &
second=$!

done=0
for round in $(seq $RELOADS); do
	case $((round % 4)) in
	1) configure "lun 5 { path = ram:4M }" && wanted='0 5 ' ;;
	2) configure "lun 5 { path = ram:8M } lun 7 { path = $TMPDIR/disk }" && wanted='0 5 7 ' ;;
	3) truncate -s $((8 + round))M "$TMPDIR/disk" ;;
	0) configure "lun 9 { path = $TMPDIR/disk readonly = on }" && wanted='0 9 ' ;;
	esac
	reload 'serves what it says now' || break
	[ "$(luns)" = "$wanted" ] || break
	done=$round
done
check "$RELOADS reloads, and after each the LUNs are those of the file" test $done = $RELOADS
kill -0 $first && kill -0 $second
check 'the I/O was under way all the time' test $? = 0
wait $first
check 'verified I/O beside LUNs that come and go' test $? = 0
cat "$TMPDIR/one"
wait $second
check 'verified I/O on another target' test $? = 0
check 'a file grows' timeout 20 iscsi-readcapacity16 "iscsi://$(address)/$one/9"
check_says 'and what is read only has its size, too' "Total size:$(stat -c %s "$TMPDIR/disk")"

configure "lun 1 { path = $TMPDIR/none }"
reload 'not applied'
check 'what cannot be opened is not applied' test "$(luns)" = '0 9 '
configure "lun 1 { pth = ram:1M }"
reload 'not applied'
check 'what is no configuration is not applied' test "$(luns)" = '0 9 '
check 'and the log has the place' grep -q "riser.conf:4: there is no 'pth' here; is 'path' meant?" "$log"
check_stopped
finish
