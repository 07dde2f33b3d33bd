#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# An iSER session logs in, by the lines of `riser howto` and with mutual CHAP, writes, reads and logs out,
# while `riser trace` looks on. tshark understands each frame of the capture; the data, which moved by RDMA,
# is in it as if it had come in PDUs, and the proofs of CHAP are not.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"

if ! command -v tshark >/dev/null; then
	echo '1..0 # SKIP tshark is not installed'
	exit
fi

control=$TMPDIR/control.sock
capture=$TMPDIR/iser.pcap
rows=$TMPDIR/rows
[ -e /dev/stdin ] || ln -s /proc/self/fd/0 /dev/stdin # there is no udev
umask 077
echo alices-long-secret >"$TMPDIR/secret"
echo risers-long-secret >"$TMPDIR/answer"

riser() {
	"$BUILD/riser" --control "$control" "$@"
}

# --- the trace ----------------------------------------------------------------------------------

begin() {
	"$BUILD/riser" --control "$control" --json trace --pcap "$capture" --snaplen 32768 \
		>"$TMPDIR/told" 2>&1 &
	trace=$!
	until_true 20 test -s "$capture"
}

end_trace() {
	kill -INT $trace
	wait $trace
	status=$?
	cp "$capture" /run/share/iser_trace.pcap
	cat "$TMPDIR/told"
	return $status
}

# A row for each frame. Sender, opcode, faults, and all that is above TCP.
dissect() {
	tshark -n -r "$capture" -T fields -e eth.src -e iscsi.opcode -e _ws.expert.message \
		-e tcp.payload >"$rows"
}

# no_row CONDITION: of awk; prints those there are
no_row() {
	awk -F '\t' "$1"' { print FNR ": " substr($0, 1, 160); found = 1 } END { exit found }' "$rows"
}

# as_many PDUS: rows as the trace said it has seen
as_many() {
	grep -q "\"pdus\": *$(wc -l <"$rows")[,}]" "$TMPDIR/told"
}

# What Linux asks for with room for 4 bytes is cut short, and Wireshark's dissector of SCSI wants more: awk's.
cut='$2 == "0x25" && $3 ~ /^Malformed/ && length($4) == 2 * (48 + 4)'

hex() {
	od -An -v -tx1 "$1" | tr -d ' \n'
}

# data_in OPCODE FILE: a PDU of this kind ends with what the file has
data_in() {
	hex "$2" >"$TMPDIR/hex"
	awk -F '\t' -v "opcode=$1" '$2 == opcode { print $4 }' "$rows" |
		grep -F -f "$TMPDIR/hex" | grep -q "$(tail -c 64 "$TMPDIR/hex")\$"
}

# In the order of the login, the values of a key of CHAP
chap_values() {
	tr '\0' '\n' <"$capture" | LC_ALL=C grep -a -o "CHAP_$1=.*"
}

masked() {
	chap_values '[CR]' >"$TMPDIR/values"
	cat "$TMPDIR/values"
	[ "$(grep -c . "$TMPDIR/values")" -eq 4 ] && ! grep -v -E '^CHAP_[CR]=x+$' "$TMPDIR/values"
}

# --- the initiator ------------------------------------------------------------------------------

# The lines that a person pastes, and the answer to what they ask.
log_in() {
	{
		riser howto riser --transport iser
		cat "$TMPDIR/secret"
	} | bash
}

data_of() {
	dd if=/dev/urandom of="$TMPDIR/small" bs=4k count=1 &&
		dd if=/dev/urandom of="$TMPDIR/early" bs=8k count=1 &&
		dd if=/dev/urandom of="$TMPDIR/late" bs=8k count=1 &&
		cat "$TMPDIR/early" "$TMPDIR/late" >"$TMPDIR/large"
}

write_and_read() {
	dd if="$TMPDIR/large" of="$disk" bs=16k oflag=direct &&
		dd if="$TMPDIR/small" of="$disk" bs=4k seek=16 oflag=direct &&
		dd if="$disk" of="$TMPDIR/read" bs=16k count=1 iflag=direct &&
		cmp "$TMPDIR/large" "$TMPDIR/read"
}

need "a soft-RoCE device" soft_roce_up
need "riserd wants CHAP" serve_rdma --control "$control" --chap "alice:$TMPDIR/secret" \
	--chap-mutual "riser:$TMPDIR/answer" ram:64M
printf 'node.session.auth.%s\n' 'username_in = riser' "password_in = $(cat "$TMPDIR/answer")" \
	>>/etc/iscsi/iscsid.conf
need "iscsid starts" start_iscsid
need "what is to be written" data_of

need "a trace begins" begin
need "the lines of howto log in over iSER" log_in
check "it is an iSER session" logged_in_over iser "$iqn"
need "the disk" disk_over iser "$iqn" 0
disk=$(cat "$out")
check "writes, and a read that has the same" write_and_read
check "logout" logout_over iser "$iqn"
need "the trace ends" end_trace
check_says "nothing was lost" '"lost": *0[,}]'

need "tshark reads the capture" dissect
check "it has a frame for each PDU" as_many
check "each of them is iSCSI" no_row '$2 == ""'
check "each of them is marked as iSER" no_row '$1 !~ /:73:65:72$/'
check "none is malformed, missing or out of order" no_row "\$3 != \"\" && !($cut)"
check "a small write has its data with the command" data_in 0x01 "$TMPDIR/small"
check "so has the beginning of a large one" data_in 0x01 "$TMPDIR/early"
check "what was fetched of it is a Data-Out" data_in 0x05 "$TMPDIR/late"
check "that an R2T asked for" awk -F '\t' '$2 == "0x31" { r2t = 1 } END { exit !r2t }' "$rows"
check "what was read is a Data-In" data_in 0x25 "$TMPDIR/large"
check "the values that CHAP proves something by are masked" masked
check "the names are not" chap_values N
check_says "the user's" '^CHAP_N=alice$'
check_says "and riserd's" '^CHAP_N=riser$'

check "the kernel saw no error" no_kernel_errors
check "riserd stops cleanly" stop_riserd
finish
