#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The command line of riserd: a mistake gets one line that names the argument and status 2, a disk
# that cannot be opened gets the reason and status 1, and in both cases nothing listens.
. "$SRC/tests/lib/daemon.sh"

echo secret-of-alice >"$TMPDIR/secret"
echo secret-of-riser >"$TMPDIR/secret2"
echo secret-of-bob-himself >"$TMPDIR/secret3"
echo short >"$TMPDIR/short"
head -c 300 /dev/zero | tr '\0' s >"$TMPDIR/long"
truncate -s 16M "$TMPDIR/disk" "$TMPDIR/disk2"
: >"$TMPDIR/empty"
truncate -s 100 "$TMPDIR/odd"
mkfifo "$TMPDIR/pipe"
mkdir "$TMPDIR/folder"
long_name=iqn.2026-11.$(head -c 300 /dev/zero | tr '\0' x)

# one_line NAMED: the refusal is one line that names the argument
one_line() {
	[ "$(wc -l <"$TMPDIR/refusal")" -eq 1 ] && [ "$(tail -c 1 "$TMPDIR/refusal")" = '' ] &&
		grep -F -q -- "$1" "$TMPDIR/refusal"
}

bad() {
	local named=$1
	shift
	refused 2 "$@" && one_line "$named"
}

# --- mistakes: what the line must name, then the arguments ---
mistake() {
	local shown="${*:2}"
	shown=${shown//"$TMPDIR"\//}
	check "a mistake: riserd ${shown:0:70}" bad "$@"
}

mistake DISK
mistake DISK -p 127.0.0.1:0
for portal in '' : :3260 127.0.0.1: 127.0.0.1:x 127.0.0.1:65536 127.0.0.1:-1 127.0.0.1:+1 \
	'127.0.0.1: 1' 127.0.0.1:99999999999999999999 127.0.0 256.0.0.1 example.org 127.0.0.1:1:2 \
	'[::1' '[::1]x' '[::1]:' '[]:3260' '[127.0.0.1]x' '[::1%nowhere]:1' ::g 127.0.0.1/8 \
	fe80::1 '[fe80::1]:3260' '[fe80::1%nowhere]:3260' '[fe80::1%]:3260' '[fe80::1%0]:3260' \
	'[2001:db8::1%lo]:3260' '[::1%1]:3260' '127.0.0.1%lo'; do
	mistake "${portal:---portal}" -p "$portal" ram:1M
done
for option in '' x transport transport= transport=rdma tag tag= tag=0 tag=65536 tag=-1 tag=x \
	tag=1,tag=1 access access= access=fast transport=tcp,transport=tcp 'tag=2,' ',tag=2' preferred= \
	preferred=1; do
	mistake "127.0.0.1:0,$option" -p "127.0.0.1:0,$option" ram:1M
done
mistake tag=7 -p 127.0.0.1:0,tag=7,access=standby -p 127.0.0.1:0,tag=7,access=optimized ram:1M
many=()
for ((i = 1; i < 18; i++)); do many+=(-p "127.0.0.1:0,tag=$i"); done
mistake tag=17 "${many[@]}" ram:1M
mistake --state --state '' ram:1M
for name in '' riser iqn. iqn.2026-11.a_b 'iqn.2026-11.with space' $'iqn.2026-11.a\nb' eui. \
	eui.12 naa.xyz "$long_name" iqn.2026-11.ä; do
	mistake --name -n "$name" ram:1M
	mistake --allow --allow "$name" ram:1M
done
for size in 0 3M 1 x 4095K 2T 9999999T -1 '' 16MB 0x1000000; do
	mistake "${size:---memory}" --memory "$size" ram:1M
done
for cpus in '' x '0,' ',0' 0- -1 1-0 4096 99999999999 0.5; do
	mistake "${cpus:---cpus}" "--cpus=$cpus" ram:1M
done
for level in '' loud INFO 3; do mistake "${level:---log}" --log "$level" ram:1M; done
for option in login-timeout data-timeout nop-interval max-connections busy-poll \
	session-connections error-recovery-level login-failures; do
	for value in '' x -1 1s 99999999999; do
		mistake "--$option" "--$option=$value" ram:1M
	done
done
mistake --login-timeout --login-timeout 0 ram:1M
mistake --max-connections --max-connections 0 ram:1M
mistake --session-connections --session-connections 0 ram:1M
mistake --session-connections --session-connections 257 ram:1M
mistake --error-recovery-level --error-recovery-level 3 ram:1M
mistake --login-failures --login-failures 33 ram:1M
for address in '' : :3260 a: a:0 a:65536 a:x 'a b' a_b -a a- .a a. a..b 1.2.3 192.0.2.256 '[::1' \
	'[::1]x' '[::1]:' '[a]' '[192.0.2.1]' '[fe80::1%lo]' ::g 'a,b' 'a,' 'a,permanent,' \
	"$(head -c 64 /dev/zero | tr '\0' a)" "$(head -c 300 /dev/zero | tr '\0' a)"; do
	mistake "${address:---redirect}" --redirect "$address" ram:1M
done
mistake 'second one' --redirect a --redirect b ram:1M
mistake --isns --isns 192.0.2.1:0 ram:1M
for option in chap chap-mutual discovery-chap discovery-chap-mutual; do
	for value in '' alice alice: ":$TMPDIR/secret" "alice:$TMPDIR/none" "alice:$TMPDIR/folder" \
		"alice:$TMPDIR/short" "alice:$TMPDIR/long" "alice:$TMPDIR/empty"; do
		mistake "--$option" "--$option" "$value" ram:1M
	done
done
mistake --chap-mutual --chap-mutual "riser:$TMPDIR/secret" ram:1M
mistake --discovery-chap-mutual --discovery-chap-mutual "riser:$TMPDIR/secret" ram:1M
mistake --discovery-chap-mutual --chap "alice:$TMPDIR/secret" \
	--discovery-chap-mutual "riser:$TMPDIR/secret2" ram:1M
# One secret in both directions, whoever has it: the line says what to do.
for users in 'chap alice chap-mutual riser' 'chap-mutual riser chap alice' \
	'chap alice discovery-chap-mutual riser' 'discovery-chap alice chap-mutual riser' \
	'discovery-chap alice discovery-chap-mutual riser'; do
	read -r -a two <<<"$users"
	other=("--discovery-chap" "bob:$TMPDIR/secret3" "--chap" "carol:$TMPDIR/secret2")
	mistake 'write another one' "${other[@]}" "--${two[0]}" "${two[1]}:$TMPDIR/secret" \
		"--${two[2]}" "${two[3]}:$TMPDIR/secret" ram:1M
done
mistake 'alice is given twice' --chap "alice:$TMPDIR/secret" --chap "alice:$TMPDIR/secret3" ram:1M
mistake 'the second one for alice' --chap "alice:$TMPDIR/secret" --chap-mutual "a:$TMPDIR/secret2" \
	--chap-mutual "b:$TMPDIR/secret2" ram:1M
# What nobody could ever log in with, and what is meant for nobody.
mistake --chap --chap $'al\tice:'"$TMPDIR/secret" ram:1M
mistake 'leave it out' --chap-mutual "a:$TMPDIR/secret2" --chap "alice:$TMPDIR/secret" \
	--chap-mutual "b:$TMPDIR/secret2" ram:1M
mistake 'in front of every user' --chap-mutual "a:$TMPDIR/secret2" --chap-mutual "b:$TMPDIR/secret2" \
	--chap "alice:$TMPDIR/secret" ram:1M
many=()
for ((i = 0; i < 257; i++)); do many+=(--chap "user$i:$TMPDIR/secret"); done
mistake '256 users' "${many[@]}" ram:1M
mistake --alias --alias '' ram:1M
mistake --alias --alias "$(head -c 256 /dev/zero | tr '\0' a)" ram:1M
mistake --alias --alias $'two\nlines' ram:1M
mistake --allow -p 0.0.0.0:0 ram:1M
mistake --allow -p '[::]:0' ram:1M
mistake --allow -p 127.0.0.1:0 -p 192.0.2.1:0 ram:1M
for disk in '' ram: ram:0 ram:x ram:1X ram:1MB ram:-1 ram:1.5M ram:1000 ram:99999999999T \
	ram:9E 'ram:1M,' ram:1M,x ram:1M,=on ram:1M,x=on ram:1M,readonly ram:1M,readonly= \
	ram:1M,readonly=yes ram:1M,removable= ram:1M,removable=yes \
	ram:1M,pi= ram:1M,pi=0 ram:1M,pi=4 ram:1M,pi-path=x "$TMPDIR/disk,pi-path=x" \
	"$TMPDIR/disk,pi=1,pi-path=" ram:1M,readonly=on,readonly=on ram:1M,block-size=0 \
	ram:1M,block-size=513 ram:1M,block-size=8192 ram:5K,block-size=4096 ram:1M,direct=on \
	ram:1M,size=1M ram:1M,serial= 'ram:1M,serial=a b' ram:1M,serial=ä \
	ram:1M,serial=1234567890123456789012345678901234567 null: null:0 null:x \
	null:1M,direct=on "$TMPDIR/disk,size=0" "$TMPDIR/disk,size=x" "$TMPDIR/new,size=1000" \
	"$TMPDIR/disk,direct=maybe" "$TMPDIR/disk,block-size=1" ram:1M,fault= ram:1M,fault=x \
	ram:1M,fault=write:x; do
	mistake "${disk:-empty}" "$disk"
done
mistake file: file:
mistake --frobnicate --frobnicate ram:1M
mistake "'x'" -x ram:1M
mistake portal ram:1M --portal
mistake "'n'" ram:1M -n
mistake ram:1Q ram:1M ram:1M ram:1Q
mistake --log ram:1M --log loud
many=()
for ((i = 0; i < 257; i++)); do many+=(ram:1M); done
mistake 256 "${many[@]}"
many=()
for ((i = 0; i < 65; i++)); do many+=(-p "127.0.0.1:0"); done
mistake --portal "${many[@]}" ram:1M

check 'no mistake has created a file' test ! -e "$TMPDIR/new"

# --- help ---
check '--help ends with 0' "$RISERD" --help
for word in -p -n --alias --allow --chap --chap-mutual --cpus --memory --log ram: null: readonly=on \
	block-size direct=on size= serial= removable=on pi= pi-path= --state ,tag= ,access= ,preferred= transport= \
	--discovery-chap --discovery-chap-mutual --redirect --session-connections --error-recovery-level \
	--login-failures --allow-cold-reset; do
	check_says "--help tells about $word" "$word"
done
check '-h is the same' cmp <("$RISERD" -h) <("$RISERD" --help)
check '--version ends with 0' "$RISERD" --version
check_says '--version has a number' '^riserd [0-9]'

# --- disks that cannot be opened ---
listening() {
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A port that nobody listens on: one that riserd has just had.
need_daemon ram:1M
port=$(address)
port=${port##*:}
check 'a free port for the following: riserd has had one' listening "$port"
check_stopped

# unopened NAME REASON DISK...
unopened() {
	local name=$1 reason=$2
	shift 2
	check "$name: status 1" refused 1 -p "127.0.0.1:$port" "$@"
	check_says "$name: the reason" "$reason"
	refuted "$name: nothing listens" listening "$port"
}
unopened 'a file that is not there' "$TMPDIR/none.*(exist|No such file)" "$TMPDIR/none"
unopened 'a file in a folder that is not there' "$TMPDIR/no/file.*(exist|No such file)" \
	"$TMPDIR/no/file,size=1M"
unopened 'a folder' "$TMPDIR/folder is neither" "$TMPDIR/folder"
unopened 'a FIFO' "$TMPDIR/pipe is neither" "$TMPDIR/pipe"
unopened 'a character device' '/dev/null is neither' /dev/null
unopened 'an empty file' "$TMPDIR/empty" "$TMPDIR/empty"
unopened 'a file of less than one block' "$TMPDIR/odd" "$TMPDIR/odd"
unopened 'the second of two disks' "$TMPDIR/none" "$TMPDIR/disk" "$TMPDIR/none"
unopened 'the same file twice' "$TMPDIR/disk.*(already|in use|twice)" \
	"$TMPDIR/disk" "$TMPDIR/disk"
unopened 'protection information of a file without its own place' 'pi-path' "$TMPDIR/disk,pi=1"
ln "$TMPDIR/disk" "$TMPDIR/hard"
ln -s disk "$TMPDIR/soft"
unopened 'the same file by a hard link' 'already|in use|twice' "$TMPDIR/disk" "$TMPDIR/hard"
unopened 'the same file by a symbolic link' 'already|in use|twice' "$TMPDIR/disk" "$TMPDIR/soft"
unopened 'a disk of more memory than there is' 'ram:1048576T|memory|emory' ram:1048576T

need_daemon "$TMPDIR/disk"
port=$(address)
port=${port##*:}
check 'a file that another riserd serves: status 1' refused 1 -p 127.0.0.1:0 "$TMPDIR/disk"
check_says 'a file that another riserd serves: the reason' "$TMPDIR/disk.*(lock|in use|served)"
check 'a port that is in use: status 1' refused 1 -p "127.0.0.1:$port" "$TMPDIR/disk2"
check_says 'a port that is in use: the reason' "127.0.0.1:$port.*in use"
check 'the first riserd is not disturbed' qemu_io "$(url 0)" 'write -P 1 0 64k' 'read -P 1 0 64k'
check_stopped
check 'an address that is not ours: status 1' refused 1 -p 192.0.2.1:0 --allow any ram:1M
check_says 'an address that is not ours: the reason' '192\.0\.2\.1'

# --- what is allowed ---
need_daemon -p 0.0.0.0:0 --allow iqn.2026-11.localhost:friend ram:16M
wild=$(url 0)
wild=${wild/0.0.0.0/127.0.0.1}
check 'an allowed initiator may log in' timeout 20 iscsi-inq \
	-i iqn.2026-11.localhost:friend "$wild"
refuted 'another initiator may not' timeout 20 iscsi-inq -i iqn.2026-11.localhost:other "$wild"
check_stopped
need_daemon -p 127.0.0.1:0,tag=1 -p 127.0.0.1:0,transport=tcp,tag=9 \
	-p '[::1]:0,tag=9,access=non-optimized' ram:1M
check 'portals of two groups are found' timeout 20 iscsi-ls "iscsi://$(address)"
check_says 'one is of portal group 1' "Portal:$(address),1\$"
check_says 'two are of portal group 9' 'Portal:127\.0\.0\.1:[0-9]+,9$'
check_says 'with any address' 'Portal:\[::1\]:[0-9]+,9$'
check_stopped
port=${port##*:}
check 'an address in two portal groups: status 1' refused 1 -p "127.0.0.1:$port,tag=1" \
	-p "127.0.0.1:$port,tag=2" ram:1M
check_says 'an address in two portal groups: the reason' "127.0.0.1:$port.*group 1"

# --- who may log in ---
# as USER:SECRET COMMAND URL: over libiscsi
as() {
	local who=${1%%:*} secret=${1#*:} url=$3
	timeout 20 "$2" "iscsi://$who%$secret@${url#iscsi://}"
}
need_daemon --chap "alice:$TMPDIR/secret" --chap-mutual "riser:$TMPDIR/secret2" \
	--chap "bob:$TMPDIR/secret3" ram:1M
check 'the first of two users may log in' as alice:secret-of-alice iscsi-inq "$(url 0)"
check 'and so may the second' as bob:secret-of-bob-himself iscsi-inq "$(url 0)"
refuted 'the first with the secret of the second may not' \
	as alice:secret-of-bob-himself iscsi-inq "$(url 0)"
refuted 'nobody may not' timeout 20 iscsi-inq "$(url 0)"
check 'everybody may discover' timeout 20 iscsi-ls "iscsi://$(address)"
check_stopped
need_daemon --discovery-chap "bob:$TMPDIR/secret3" ram:1M
check 'with --discovery-chap a user may discover' as bob:secret-of-bob-himself iscsi-ls \
	"iscsi://$(address)"
refuted 'nobody may not' timeout 20 iscsi-ls "iscsi://$(address)"
check 'the target needs no secret then' timeout 20 iscsi-inq "$(url 0)"
check_stopped

# --- elsewhere ---
need_daemon ram:1M
there=$(address)
there_pid=$pid
need_daemon --redirect "$there" null:1M
check 'a redirected initiator gets to the other disk' timeout 20 iscsi-inq "$(url 0)"
check_says 'which is the one that the other riserd has' '^Product:ram'
check_stopped
pid=$there_pid
check_stopped 'and the other one ends, too'

# --- a link ---
# In a network of our own, where loopback has a link-local address as well.
cat >"$TMPDIR/link" <<'END'
ip link set lo up && ip -6 addr add fe80::7/64 dev lo nodad || exit 1
"$RISERD" -p '[fe80::7%lo]:3260' -p '[::1]:3261' --allow any ram:1M >"$TMPDIR/link.out" 2>&1 &
riserd=$!
for ((i = 0; i < 300; i++)); do
	grep -q ready "$TMPDIR/link.out" && break
	sleep 0.1
done
timeout 20 iscsi-ls 'iscsi://[fe80::7%lo]:3260' | sed 's/^/on the link: /'
timeout 20 iscsi-ls 'iscsi://[::1]:3261' | sed 's/^/elsewhere: /' | tee "$TMPDIR/elsewhere"
kill "$riserd"
wait "$riserd"
status=$?
cat "$TMPDIR/link.out"
exit "$status"
END
# Root needs no user namespace for it, and has none in a chroot.
own_network=(unshare -n)
[ "$(id -u)" -eq 0 ] || own_network=(unshare -rn)
check 'a portal with a link-local address' "${own_network[@]}" bash "$TMPDIR/link"
check_says 'its URL has the link' '^iscsi://\[fe80::7%lo\]:3260/'
check_says 'the log has it, too' '\[fe80::7%lo\]:[0-9]+: .* logged in'
check_says 'an initiator of the link hears of it, without the link' \
	'^on the link: .*Portal:\[fe80::7\]:3260,1$'
check_says 'others hear of the other portal' '^elsewhere: .*Portal:\[::1\]:3261,1$'
refuted 'and not of this one' grep fe80 "$TMPDIR/elsewhere"

# --- the state folder ---
unopened 'a state folder that is a file' "$TMPDIR/disk.*state" --state "$TMPDIR/disk" ram:1M
unopened 'a state folder in a folder that is not there' "$TMPDIR/no/state.*state" \
	--state "$TMPDIR/no/state" ram:1M
need_daemon --state "$TMPDIR/state" ram:1M
check '--state makes its folder' test -d "$TMPDIR/state"
check 'a state folder that another riserd has: status 1' refused 1 -p 127.0.0.1:0 \
	--state "$TMPDIR/state" ram:1M
check_says 'a state folder that another riserd has: the reason' "$TMPDIR/state.*another"
check_stopped
export STATE_DIRECTORY="$TMPDIR/first:$TMPDIR/second"
need_daemon ram:1M
check 'STATE_DIRECTORY: the first folder is used' test -d "$TMPDIR/first" -a ! -e "$TMPDIR/second"
check_stopped
need_daemon --state "$TMPDIR/given" ram:1M
check '--state comes before STATE_DIRECTORY' test -d "$TMPDIR/given"
check_stopped
unset STATE_DIRECTORY

need_daemon -p 127.0.0.1:0 -p 127.0.0.1:0 -n IQN.2026-11.localhost:Mixed "$TMPDIR/disk,readonly=on" \
	"$TMPDIR/made,size=8M" file:"$TMPDIR/disk2" null:1G,serial=A ram:1M
check 'two portals of five disks are ten URLs' test "${#urls[@]}" -eq 10
check 'the URLs have different ports' test "${urls[0]%%/iqn*}" != "${urls[5]%%/iqn*}"
check 'the name is in lower case' grep -q '/iqn.2026-11.localhost:mixed/4$' <<<"${urls[4]}"
check 'size= has made the file' test "$(stat -c %s "$TMPDIR/made")" -eq 8388608
check 'every URL serves a disk' bash -c \
	'for url; do timeout 20 iscsi-readcapacity16 "$url" || exit 1; done' - "${urls[@]}"
check_stopped
finish
