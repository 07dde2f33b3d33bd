#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A host that cannot do RDMA: whatever is missing, riserd serves TCP and says why in one line, unless
# it was told to serve iSER and nothing else. A loopback portal asks for none of it and hears nothing.
. "$SRC/tests/lib/daemon.sh"

built=$(dirname "$RISERD")
mkdir -p "$TMPDIR/sbin" "$TMPDIR/lib/riser"
cp "$RISERD" "$TMPDIR/sbin/riserd"
RISERD=$TMPDIR/sbin/riserd
plugin=$TMPDIR/sbin/riser-rdma.so

# about_rdma: what the log says of it
about_rdma() {
	grep -E -i 'rdma|iser\b' "$log"
}

# one_line_has PATTERN...: the log has one line about RDMA, and all of these in it
one_line_has() {
	local pattern
	about_rdma >"$TMPDIR/lines"
	cat "$TMPDIR/lines"
	[ "$(wc -l <"$TMPDIR/lines")" -eq 1 ] || return
	for pattern; do grep -E -q -- "$pattern" "$TMPDIR/lines" || return; done
}

silent() {
	! about_rdma
}

# tcp_only WHAT PATTERN...: with WHAT missing
tcp_only() {
	local what=$1
	shift
	need_daemon -p 127.0.0.1:0,transport=all -p '[::1]:0,transport=all' ram:16M
	check "$what: a disk over TCP" qemu_io "$(url 0)" 'write -P 7 0 64k' 'read -P 7 0 64k'
	check "$what: one line says why" one_line_has 'info: RDMA is not served' 'TCP only' "$@"
	check_stopped "$what: riserd ends with status 0 on SIGTERM"
	check "$what: transport=iser: no start, one line" \
		iser_refused 'error: 127.0.0.1:0: cannot listen for RDMA: ' 'transport=all' "$@"
}

# iser_refused PATTERN...
iser_refused() {
	local pattern
	refused 1 -p 127.0.0.1:0,transport=iser ram:16M || return
	[ "$(wc -l <"$TMPDIR/refusal")" -eq 1 ] || return
	for pattern; do grep -E -q -- "$pattern" "$TMPDIR/refusal" || return; done
}

# fake_plugin BUILD LOAD [LINKER OPTION...]: one that does nothing; LOAD is load()'s body
fake_plugin() {
	cat >"$TMPDIR/fake.c" <<END
#include <stdio.h>
static int load(char *why, unsigned long size)
{
	$2
}
const struct {
	const char *build;
	const void *transport;
	int (*load)(char *, unsigned long);
} riser_plugin = { "$1", 0, load };
END
	gcc -shared -fPIC -o "$plugin" "$TMPDIR/fake.c" "${@:3}"
}

# --- the plug-in ---
tcp_only 'no plug-in' 'riser-rdma\.so is neither beside riserd nor in \.\./lib/riser'

: >"$TMPDIR/lib/riser/riser-rdma.so"
tcp_only 'an empty file in ../lib/riser' '\.\./lib/riser/riser-rdma\.so: file too short'
rm "$TMPDIR/lib/riser/riser-rdma.so"

head -c 100000 /dev/zero >"$plugin"
tcp_only 'no library' "$plugin: invalid ELF header"

echo 'int nothing;' | gcc -shared -fPIC -o "$plugin" -x c -
tcp_only 'some other library' "$plugin: not a plug-in of riser"

fake_plugin 0123 'return 0;'
tcp_only 'a plug-in of another build' "$plugin: of another build \(0123, riserd is [0-9a-f]{16}\)"
build=$(sed -n 's/.*riserd is \([0-9a-f]\{16\}\)).*/\1/p' "$log")

# --- what it needs ---
echo 'int verbs;' | gcc -shared -fPIC -o "$TMPDIR/libnowhere.so" -x c -
fake_plugin "$build" 'extern int verbs; return verbs;' -L"$TMPDIR" -lnowhere
rm "$TMPDIR/libnowhere.so"
tcp_only 'a library is missing' "$plugin: libnowhere\.so: cannot open shared object file"

fake_plugin "$build" 'return snprintf(why, size, "no librdmacm.so.1") ? -2 : 0;'
tcp_only 'a library that is loaded later is missing' 'no librdmacm\.so\.1'

# --- who does not ask ---
need_daemon ram:16M
check 'loopback: not a word' silent
check_stopped
need_daemon -p '[::1]:0' -p 127.0.0.2:0 ram:16M
check 'IPv6 loopback and 127.0.0.2: not a word' silent
check_stopped
need_daemon -p 0.0.0.0:0,transport=tcp --allow any ram:16M
check 'transport=tcp: not a word' silent
check_stopped
need_daemon -p 0.0.0.0:0 --allow any ram:16M
check 'any other address asks by default' one_line_has 'no librdmacm'
check_stopped

# --- the option ---
# mistake PORTAL WORD...: status 2 and one line with all the words
mistake() {
	local word
	refused 2 -p "$1" ram:16M && [ "$(wc -l <"$TMPDIR/refusal")" -eq 1 ] || return
	for word; do grep -F -q -- "$word" "$TMPDIR/refusal" || return; done
}
for tail in transport= transport=udp transport=TCP 'transport=tcp ' transport; do
	check "a mistake: -p 127.0.0.1:0,$tail" mistake "127.0.0.1:0,$tail" --portal tcp iser all
done
for tail in transport=iser,transport=tcp transports=tcp iser tcp '' x=y; do
	check "a mistake: -p 127.0.0.1:0,$tail" mistake "127.0.0.1:0,$tail" --portal transport
done
check 'a mistake: no address' mistake ,transport=tcp --portal ADDR

# --- the plug-in that was built, on a kernel without RDMA ---
# busy SECONDS: CPU time of all threads in that time, in ms
busy() {
	local before after
	before=$(cpu_ns)
	sleep "$1"
	after=$(cpu_ns)
	echo $(((after - before) / 1000000))
}
cpu_ns() {
	cat "/proc/$pid"/task/*/schedstat | awk '{ sum += $1 } END { printf "%d", sum }'
}
# at_rest: 3 s take less than 1 % of a CPU
at_rest() {
	local ms
	ms=$(busy 3)
	echo "$ms ms of CPU in 3 s"
	[ "$ms" -lt 30 ]
}
if [ -e /dev/infiniband/rdma_cm ]; then
	skipped 'the real plug-in without RDMA' 'this kernel has RDMA; the guest tests cover it'
else
	cp "$built/riser-rdma.so" "$plugin"
	need_daemon -p 127.0.0.1:0,transport=all ram:16M
	check 'no RDMA in the kernel: a disk over TCP' \
		qemu_io "$(url 0)" 'write -P 7 0 64k' 'read -P 7 0 64k'
	check 'no RDMA in the kernel: at rest it costs nothing' at_rest
	check 'no RDMA in the kernel: one line says why' one_line_has 'waits for RDMA: .*no RDMA device'
	check_stopped
	check 'no RDMA in the kernel: transport=iser: no start, one line' \
		iser_refused 'error: 127.0.0.1:0: cannot listen for RDMA: ' 'transport=all'
fi
finish
