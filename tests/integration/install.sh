#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# `make install`: the programs run from where they are put, the plug-in is found, and systemd has nothing
# against the units: they are hardened, and what they start is there.
. "$SRC/tests/lib/results.sh"
root=$TMPDIR/root prefix=/usr
unit=$root/lib/systemd/system/riser.service

# What is built is not built again: the sanitizers of this build are not those of make's default.
install_in() {
	make -s --no-print-directory -C "$SRC" install-files O="$BUILD" PREFIX="$prefix" \
		DESTDIR="$root" UNITDIR=/lib/systemd/system
}

check 'make install' install_in
check 'riserd runs' "$root$prefix/sbin/riserd" --version
check 'riser-bench runs' "$root$prefix/bin/riser-bench" --version
check 'riser runs' "$root$prefix/bin/riser" --version
for section in 1 5 7 8; do
	for page in "$SRC"/docs/*."$section"; do
		check "the manual has $(basename "$page")" \
			cmp "$page" "$root$prefix/share/man/man$section/$(basename "$page")"
	done
done
check 'the configuration that is installed is right' "$root$prefix/sbin/riserd" -t \
	-c "$root/etc/riser/riser.conf"
check_says 'and serves nothing' ' 0 targets'
secrets_are_private() {
	[ "$(stat -c %a "$root/etc/riser/secrets")" = 750 ]
}
check 'not everybody may look for secrets' secrets_are_private
echo '# mine' >"$root/etc/riser/riser.conf"
check 'make install again' install_in
check 'leaves the configuration alone' grep -qx '# mine' "$root/etc/riser/riser.conf"

# --- completion ---
check 'bash takes the completion' bash -n "$root$prefix/share/bash-completion/completions/riser"
if command -v zsh >/dev/null; then
	check 'zsh takes the completion' zsh -n "$root$prefix/share/zsh/vendor-completions/_riser"
fi
if command -v fish >/dev/null; then
	check 'fish takes the completion' fish -n \
		"$root$prefix/share/fish/vendor_completions.d/riser.fish"
fi

# --- units ---
# The root of this test is not the system's: what the unit starts is looked for in it.
programs_are_there() {
	local program
	for program in $(sed -n 's/^Exec[A-Za-z]*=\([^ ]*\).*/\1/p' "$unit" | sort -u); do
		[ -x "$root$program" ] || [ -x "$program" ] || { echo "no $program"; return 1; }
	done
}
check 'what the unit starts is there' programs_are_there
if command -v systemd-analyze >/dev/null; then
	mkdir "$TMPDIR/units"
	for file in riser.service riser.socket; do
		sed "s|=/usr/\(s*bin/riser\)|=$root/usr/\1|" "$root/lib/systemd/system/$file" >"$TMPDIR/units/$file"
	done
	# Said of any unit in a container: that is about systemd itself.
	verified() {
		SYSTEMD_UNIT_PATH=$TMPDIR/units: systemd-analyze --man=no verify \
			"$TMPDIR"/units/riser.service "$TMPDIR"/units/riser.socket 2>&1 |
			grep 'riser\.\(service\|socket\)'
		return $((!PIPESTATUS[1]))
	}
	check 'systemd understands the units' verified
	hardened() {
		systemd-analyze security --offline=true --no-pager --threshold=30 "$unit"
	}
	check 'systemd-analyze security: 3.0 at most' hardened
	check_says 'by its own word' 'Overall exposure level for riser.service: [012]\.'
	rdma() {
		cat "$unit" "$root/lib/systemd/system/riser.service.d/riser-rdma.conf" \
			>"$TMPDIR/units/with-rdma.service"
		systemd-analyze security --offline=true --no-pager --threshold=30 \
			"$TMPDIR/units/with-rdma.service"
	}
	check 'with the devices for RDMA, too' rdma
	check 'the user of the service' systemd-sysusers --dry-run \
		"$root/usr/lib/sysusers.d/riser.conf"
	folders() {
		printf 'root:x:0:0::/:\nriser:x:7:7::/:\n' >"$root/etc/passwd"
		printf 'root:x:0:\nriser:x:7:\n' >"$root/etc/group"
		systemd-tmpfiles --root="$root" --create riser.conf &&
			[ -d "$root/var/lib/riser" ] && [ -d "$root/run/riser" ]
	}
	if [ "$(id -u)" -eq 0 ]; then check 'the folders of the service' folders; fi
fi
echo "1..$points"
