#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Machines without RDMA: no plug-in, no rdma-core, no kernel module, no device. TCP serves on each
# of them and one line in the log says what is missing; whoever insists on iSER is told at start.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"

program=$RISERD

no_modules() {
	modprobe -r ib_iser ib_isert rdma_ucm rdma_rxe
	[ ! -e /dev/infiniband/rdma_cm ] && [ -z "$(ls /sys/class/infiniband 2>/dev/null)" ]
}

# A copy of riserd without its plug-in beside it
without_plugin() {
	mkdir -p "$TMPDIR/bin" && cp "$program" "$TMPDIR/bin/riserd" && RISERD=$TMPDIR/bin/riserd
}

with_plugin() {
	RISERD=$program
}

# without_library NAME / with_library NAME: a file that is no library instead
library() {
	realpath "$(ldconfig -p | sed -n "s/.*[[:space:]]$1 .*=> //p" | head -n 1)"
}

without_library() {
	mount --bind /dev/null "$(library "$1")"
}

with_library() {
	umount "$(library "$1")"
}

# libiscsi would need the libraries, too
tcp_serves() {
	"$RISER_BENCH" "iscsi://$rdma_portal/$iqn/0" --rw randread --seconds 0.1 --warmup 0
}

# serves_tcp WHERE: also by TCP alone
serves_tcp() {
	lines=$(log_lines '[Rr][Dd][Mm][Aa]|i[Ss][Ee][Rr] |verbs')
	need "$1: riserd starts" start_riserd -p "$rdma_portal" --allow any ram:16M
	check "$1: TCP serves" tcp_serves
	check "$1: one line in the log" one_more
	check "$1: riserd stops cleanly" stop_riserd
}

one_more() {
	sed 's/^/# /' "$log"
	[ "$(log_lines '[Rr][Dd][Mm][Aa]|i[Ss][Ee][Rr] |verbs')" -eq $((lines + 1)) ]
}

# insists WHERE: iSER or nothing
insists() {
	check_status 1 "$1: iSER and nothing else is an error" \
		timeout 20 "$RISERD" -p "$rdma_portal,transport=iser" --allow any ram:16M
	check_says "$1: it says why" '[Rr][Dd][Mm][Aa]|iser'
}

no_word() {
	lines=$(log_lines '[Rr][Dd][Mm][Aa]|i[Ss][Ee][Rr] |verbs')
	start_riserd -p "$rdma_portal,transport=tcp" --allow any ram:16M && stop_riserd &&
		[ "$(log_lines '[Rr][Dd][Mm][Aa]|i[Ss][Ee][Rr] |verbs')" -eq "$lines" ]
}

need "an address" sh -c "modprobe dummy numdummies=0 && ip link add dummy0 type dummy &&
	ip link set dummy0 mtu 4200 up && ip addr add 192.168.77.1/24 dev dummy0"
need "no RDMA in the kernel" no_modules

need "no plug-in" without_plugin
serves_tcp "no plug-in"
insists "no plug-in"
with_plugin

for name in librdmacm.so.1 libibverbs.so.1; do
	need "no $name" without_library "$name"
	serves_tcp "no $name"
	insists "no $name"
	need "$name again" with_library "$name"
done

serves_tcp "no kernel module"
insists "no kernel module"
check "who wants TCP only hears nothing of RDMA" no_word

need "the modules" rdma_modules
serves_tcp "no device"
insists "no device"
need "a device" rdma_add 0
need "whoever insists is served now" start_riserd -p "$rdma_portal,transport=iser" --allow any ram:16M
check_status 1 "and TCP is not there" tcp_serves
check "but iSER is" iscsi-inq "iser://$rdma_portal/$iqn/0"
check "riserd stops cleanly at last" stop_riserd
finish
