#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What a GOOD is worth: data survives kill -9, a flush or FUA write that failed is told and stays
# failed, a full disk is named as such, UNMAP gives space back, a read-only disk stays as it is.
. "$SRC/tests/lib/daemon.sh"
. "$SRC/tests/lib/writer.sh"

# disk SIZE: a new file
disk() {
	rm -f "$TMPDIR/disk"
	truncate -s "$1" "$TMPDIR/disk"
}

test_unit_ready='00 00 00 00 00 00'
sync10='35 00 00000000 00 0000 00'
sync16='91 00 0000000000000000 00000000 00 00'
write10='2a 00 00000010 00 0008 00'
write10_fua='2a 08 00000010 00 0008 00'
write16_fua='8a 08 0000000000000010 00000008 00 00'
read10='28 00 00000010 00 0008 00'
write_same16='93 08 0000000000000000 00000008 00 00'
compare_and_write='89 00 0000000000000010 000000 04 00 00'
unmap='42 00 00000000 00 0018 00'
verify10='2f 00 00000010 00 0008 00'
head -c 4096 /dev/zero | tr '\0' w >"$TMPDIR/4k"
head -c 512 /dev/zero >"$TMPDIR/block"
# UNMAP parameter list: one descriptor, LBA 16, 8 blocks
printf '\0\26\0\20\0\0\0\0\0\0\0\0\0\0\0\20\0\0\0\10\0\0\0\0' >"$TMPDIR/unmap"

# --- kill -9 ---
for mode in plain fua flush; do
	disk 512M
	need_daemon "$TMPDIR/disk"
	writer_start "$(url 0)" $mode
	check "$mode writes are under way" writer_await 20
	daemon_kill
	check "$mode writes: kill -9 closes the connection" writer_end
	check "$mode writes: all that was acknowledged is in the file" writer_check "$TMPDIR/disk"
	need_daemon "$TMPDIR/disk"
	check "$mode writes: the same file is served again at once" \
		qemu_io "$(url 0)" 'write -P 7 0 1M' flush 'read -P 7 0 1M'
	check_stopped
done

# --- a flush that fails ---
disk 16M
need_daemon "$TMPDIR/disk,fault=flush:eio:once"
answers 'a write is GOOD before anything fails' GOOD "$(url 0)" "$write10" out="$TMPDIR/4k"
answers 'SYNCHRONIZE CACHE (10) tells of a failed flush' 3/0C/00 "$(url 0)" "$sync10"
answers 'the next one fails, too: what was lost is not written again' \
	3/0C/00 "$(url 0)" "$sync10"
answers 'SYNCHRONIZE CACHE (16) fails as well' 3/0C/00 "$(url 0)" "$sync16"
answers 'a FUA write fails as well' 3/0C/00 "$(url 0)" "$write10_fua" out="$TMPDIR/4k"
answers 'reads go on' GOOD "$(url 0)" "$read10" in=4096
answers 'writes without FUA go on' GOOD "$(url 0)" "$write10" out="$TMPDIR/4k"
answers 'the unit is ready' GOOD "$(url 0)" "$test_unit_ready"
check_status 1 'SIGTERM: the failed flush is told by exit status 1' daemon_stop
check 'SIGTERM: and by a line in the log' grep -i 'flush failed' "$log"
need_daemon "$TMPDIR/disk"
answers 'after a restart flushes work' GOOD "$(url 0)" "$sync10"
answers 'after a restart FUA writes work' GOOD "$(url 0)" "$write16_fua" out="$TMPDIR/4k"
check_stopped

# --- writes and reads that fail ---
need_daemon "$TMPDIR/disk,fault=write:enospc"
answers 'a full disk: WRITE' 7/27/07 "$(url 0)" "$write10" out="$TMPDIR/4k"
answers 'a full disk: READ works' GOOD "$(url 0)" "$read10" in=4096
answers 'a full disk: SYNCHRONIZE CACHE works' GOOD "$(url 0)" "$sync10"
check_stopped
need_daemon "$TMPDIR/disk,fault=write:eio"
answers 'a broken disk: WRITE' 3/0C/00 "$(url 0)" "$write10" out="$TMPDIR/4k"
check_stopped
need_daemon "$TMPDIR/disk,fault=read:eio"
answers 'a broken disk: READ' 3/11/00 "$(url 0)" "$read10" in=4096
answers 'a broken disk: WRITE works' GOOD "$(url 0)" "$write10" out="$TMPDIR/4k"
answers 'a broken disk: SYNCHRONIZE CACHE works' GOOD "$(url 0)" "$sync10"
check_stopped

# --- UNMAP gives space back ---
blocks() {
	stat -c %b "$TMPDIR/disk"
}
disk 64M
need_daemon "$TMPDIR/disk"
before=$(blocks)
check 'data takes space' qemu_io "$(url 0)" 'write -P 1 0 32M' flush
full=$(blocks)
check 'the file has 32 MiB more' test $((full - before)) -ge 65536
check 'UNMAP of half of it' qemu_io "$(url 0)" 'discard 8M 16M'
check '16 MiB of the file are free again' test $((full - $(blocks))) -ge 32768
check 'what was unmapped reads as zeros, the rest is there' qemu_io "$(url 0)" \
	'read -P 1 0 8M' 'read -P 0 8M 16M' 'read -P 1 24M 8M'
full=$(blocks)
check 'WRITE SAME with UNMAP' qemu_io "$(url 0)" 'write -z -u 24M 8M'
check '8 MiB of the file are free again' test $((full - $(blocks))) -ge 16384
check 'that reads as zeros, too' qemu_io "$(url 0)" 'read -P 0 24M 8M' 'read -P 1 0 8M'
check_stopped
check 'the file still has its size' test "$(stat -c %s "$TMPDIR/disk")" -eq 67108864

# --- a read-only disk ---
cp "$TMPDIR/disk" "$TMPDIR/before"
need_daemon "$TMPDIR/disk,readonly=on"
answers 'a read-only disk: WRITE (10)' 7/27/00 "$(url 0)" "$write10" out="$TMPDIR/4k"
answers 'a read-only disk: WRITE (16) with FUA' 7/27/00 "$(url 0)" "$write16_fua" out="$TMPDIR/4k"
answers 'a read-only disk: WRITE SAME' 7/27/00 "$(url 0)" "${write_same16/08/00}" \
	out="$TMPDIR/block"
answers 'a read-only disk: COMPARE AND WRITE' 7/27/00 "$(url 0)" "$compare_and_write" \
	out="$TMPDIR/4k"
answers 'a read-only disk: there is no UNMAP' 5/20/00 "$(url 0)" "$unmap" out="$TMPDIR/unmap"
answers 'a read-only disk: READ' GOOD "$(url 0)" "$read10" in=4096
answers 'a read-only disk: VERIFY' GOOD "$(url 0)" "$verify10"
answers 'a read-only disk: SYNCHRONIZE CACHE' GOOD "$(url 0)" "$sync10"
scsi "$(url 0)" '1a 00 3f 00 ff 00' in=255 >/dev/null
check 'a read-only disk: MODE SENSE says write protected' \
	test $(($(od -An -tu1 -j2 -N1 "$TMPDIR/in") & 128)) -eq 128
check_stopped
check 'the file has not changed' cmp "$TMPDIR/disk" "$TMPDIR/before"
finish
