#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 2400
# The Debian packages as their users meet them: built in a clean root that debootstrap has made, looked at
# by lintian, installed into another one that has nothing else, where riserd serves as its own user
# (debian/tests/serve), and removed again. Needs root and a Debian mirror ($DEBIAN_MIRROR).
# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
suite=bookworm

# inside ROOT COMMAND...: with processes and mounts of its own, which go with it
inside() {
	local root=$1
	shift
	unshare -m -p -f --kill-child bash -c '
		mount -t proc proc "$0/proc" && mount -t tmpfs tmpfs "$0/run" &&
		{ [ -c "$0/dev/null" ] || mount --rbind /dev "$0/dev"; } &&
		exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
			HOME=/root DEBIAN_FRONTEND=noninteractive TERM=dumb "$@"' "$root" "$@"
}

# Comes back here with no network but loopback.
if [ "${1:-}" = --offline ]; then
	shift
	ip link set lo up || exit
	inside "$@"
	exit
fi

. "$SRC/tests/lib/results.sh"
clean=$TMPDIR/clean build=$TMPDIR/build

leave() {
	echo "$1"
	exit 77
}

[ "$(id -u)" -eq 0 ] || leave 'needs root'
command -v debootstrap >/dev/null || leave 'debootstrap is not installed (ci/deps package)'
unshare -m -p -f -n true 2>/dev/null || leave 'this machine gives no namespaces'
python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=20).read(9)' \
	"$mirror/dists/$suite/Release" 2>/dev/null || leave "$mirror cannot be reached"

bootstrap() {
	debootstrap --variant=minbase "$suite" "$clean" "$mirror" || return
	# Nothing is started because it is installed.
	printf '#!/bin/sh\nexit 101\n' >"$clean/usr/sbin/policy-rc.d"
	chmod 755 "$clean/usr/sbin/policy-rc.d"
	cp -a "$clean" "$build"
}

copy_source() {
	mkdir "$build/riser"
	if git -C "$SRC" rev-parse 2>/dev/null; then
		git -C "$SRC" ls-files -coz --exclude-standard |
			tar -C "$SRC" -c --null -T - --ignore-failed-read -f -
	else
		tar -C "$SRC" -c --exclude=./build -f - .
	fi | tar -x -C "$build/riser"
}

build_tools() {
	inside "$build" sh -c 'apt-get -q update && cd /riser &&
		apt-get -qy --no-install-recommends install build-essential lintian &&
		apt-get -qy --no-install-recommends build-dep -P nocheck .'
}

build_packages() {
	inside "$build" sh -c 'cd /riser && DEB_BUILD_PROFILES=nocheck \
		DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" dpkg-buildpackage -us -uc'
}

# Two tags care for an upload to Debian, which has a bug to close and another suite.
lintian_is_silent() {
	inside "$build" sh -c 'useradd looker && cd / && setpriv --reuid looker --regid looker \
		--clear-groups lintian --fail-on error,warning --info --suppress-tags \
		initial-upload-closes-no-bugs,bad-distribution-in-changes-file riser_*.changes'
}

install_package() {
	cp "$build"/*.deb "$clean/root/" &&
		inside "$clean" sh -c 'apt-get -q update &&
		apt-get -qy --no-install-recommends install /root/riser_*.deb'
}

without_rdma() {
	inside "$clean" sh -c '! test -e /usr/lib/*/libibverbs.so.1 && ! test -e /usr/lib/*/librdmacm.so.1'
}

programs_work() {
	inside "$clean" sh -c 'riserd --version && riser --version && riser-bench --version &&
		riserd -t -c /etc/riser/riser.conf && id riser &&
		test "$(stat -c "%U %G %a" /etc/riser/secrets)" = "root riser 750"'
}

test_tools() {
	inside "$clean" sh -c "apt-get -qy --no-install-recommends install \
		$(sed -n 's/^Depends: //p' "$SRC/debian/tests/control" | tr -d , | sed 's/ riser$//')"
}

serves() {
	install -m 755 "$SRC/debian/tests/serve" "$clean/tmp/serve"
	unshare -n "$0" --offline "$clean" /tmp/serve
}

# The unit with all that restricts it, under a systemd of its own in the same root.
boot() {
	unshare -m -p -f -C -n -u -i --kill-child bash -c '
		ip link set lo up && mount --bind "$0" "$0" && cd "$0" && mount -t proc proc proc &&
		mount -t sysfs -o ro sysfs sys && mount -t tmpfs tmpfs run &&
		mount -t cgroup2 cgroup2 sys/fs/cgroup && mount --rbind /dev dev &&
		exec env -i container=test PATH=/usr/sbin:/usr/bin chroot . \
			/lib/systemd/systemd --system --unit=multi-user.target' \
		"$clean" </dev/null >"$TMPDIR/boot.log" 2>&1 &
	machine=$!
	trap 'kill -KILL "$machine" 2>/dev/null' EXIT
}

# Its first process is the child of unshare.
in_machine() {
	timeout 60 nsenter -t "$(pgrep -P "$machine")" -m -p -C -n -u -i -r -w \
		env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
}

runs() {
	local end=$((SECONDS + 60))
	until in_machine systemctl is-active riser; do
		if [ $SECONDS -ge $end ] || ! kill -0 "$machine"; then
			cat "$TMPDIR/boot.log"
			return 1
		fi
		sleep 0.5
	done
}

serves_under_systemd() {
	install -m 755 "$SRC/debian/tests/serve" "$clean/root/serve"
	in_machine /root/serve
}

refuses_a_mistake() {
	in_machine sh -c 'cp /etc/riser/riser.conf /root && systemctl restart riser &&
		echo "nonsense {" >/etc/riser/riser.conf && ! systemctl reload riser &&
		systemctl is-active riser && cp /root/riser.conf /etc/riser &&
		systemctl reload riser && systemctl show -p StatusText riser'
}

with_rdma() {
	inside "$clean" sh -c 'apt-get -qy --no-install-recommends install /root/riser-rdma_*.deb &&
		LD_PRELOAD=/usr/lib/riser/riser-rdma.so riserd --version'
}

removed() {
	inside "$clean" sh -c 'echo "# mine" >>/etc/riser/riser.conf &&
		apt-get -qy remove riser && grep -qx "# mine" /etc/riser/riser.conf &&
		! test -e /usr/sbin/riserd && apt-get -qy purge riser riser-rdma &&
		! test -e /etc/riser/riser.conf'
}

# Each step stands on the one before.
step() {
	check "$@" && return
	echo "1..$points"
	exit 1
}

step 'a clean root' bootstrap
step 'the source is there' copy_source
step 'what it needs to build is there' build_tools
step 'the packages build' build_packages
step 'lintian is silent' lintian_is_silent
step 'riser is installed in a root that has nothing else' install_package
step 'it needs no library of RDMA' without_rdma
step 'its programs run, its user and its folders are there' programs_work
step 'the packages that its test needs' test_tools
step 'it serves as its own user, with CHAP' serves
if unshare -m -C bash -c 'mount -t cgroup2 cgroup2 /sys/fs/cgroup' 2>/dev/null; then
	boot
	step 'systemd starts the service' runs
	step 'it serves with all that the unit takes from it' serves_under_systemd
	step 'systemctl reload tells of a mistake and changes nothing' refuses_a_mistake
	check_says 'systemctl status says what is served' 'StatusText=serving: 0 targets'
	kill -KILL "$machine"
	wait "$machine" 2>/dev/null
else
	points=$((points + 1))
	echo "ok $points - systemd starts the service # SKIP no cgroups of its own on this machine"
fi
step 'riser-rdma is installed, and its plug-in fits' with_rdma
step 'they are removed; the configuration stays until they are purged' removed
echo "1..$points"
