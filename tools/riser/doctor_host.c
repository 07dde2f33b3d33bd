// SPDX-License-Identifier: BSD-2-Clause
/* Ports, limits, io_uring and RDMA devices. */
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "doctor.h"
#include "out.h"

enum { ISCSI_PORT = 3260, MEMLOCK_MIN = 256 << 20, FILES_MIN = 4096 };

/* --- ports --- */

struct owner {
	unsigned long inode; /* of the socket */
	const char *candidate; /* process that is looked at */
	char pid[16], name[32]; /* empty: nobody has been found */
};

/* The inode of a socket that listens on this port; 0: none. */
static unsigned long listener(const struct doctor *d, const char *table, unsigned int port)
{
	char path[512], line[512];
	unsigned int local, state;
	unsigned long inode, found_inode = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", d->root, table);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line,
			   " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu",
			   &local, &state, &inode) == 3 &&
		    local == port && state == 0x0a)
			found_inode = inode ? inode : 1;
	}
	if (file)
		fclose(file);
	return found_inode;
}

static void look_at_fd(struct doctor *d, const char *fd, void *arg)
{
	struct owner *owner = arg;
	char path[640], link[64], wanted[64];
	ssize_t n;

	if (*owner->pid)
		return;
	snprintf(path, sizeof(path), "%s/proc/%.20s/fd/%.20s", d->root, owner->candidate, fd);
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", owner->inode);
	n = readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = 0;
	if (strcmp(link, wanted) != 0)
		return;
	snprintf(owner->pid, sizeof(owner->pid), "%.15s", owner->candidate);
	snprintf(path, sizeof(path), "/proc/%.20s/comm", owner->pid);
	first_line(d, path, owner->name, sizeof(owner->name));
}

static void look_at_process(struct doctor *d, const char *pid, void *arg)
{
	struct owner *owner = arg;
	char folder[64];

	if (*owner->pid || strspn(pid, "0123456789") != strlen(pid))
		return;
	owner->candidate = pid;
	snprintf(folder, sizeof(folder), "/proc/%.20s/fd", pid);
	each_entry(d, folder, look_at_fd, owner);
}

static bool is_ours(const struct doctor *d, const struct owner *owner)
{
	char *end;

	return !strncmp(owner->name, "riserd", 6) ||
	       (*owner->pid && strtoll(owner->pid, &end, 10) == daemon_pid(d));
}

static void check_port(struct doctor *d, unsigned int port)
{
	struct owner owner = { .inode = listener(d, "/proc/net/tcp", port) };

	if (!owner.inode)
		owner.inode = listener(d, "/proc/net/tcp6", port);
	if (!owner.inode) {
		found(d, d->status ? LEVEL_WARNING : LEVEL_OK, NULL, "nobody listens on port %u",
		      port);
		return;
	}
	each_entry(d, "/proc", look_at_process, &owner);
	if (is_ours(d, &owner))
		found(d, LEVEL_OK, NULL, "riserd listens on port %u", port);
	else if (*owner.pid)
		found(d, LEVEL_BAD,
		      !strncmp(owner.name, "tgtd", 4) ? "systemctl disable --now tgt"
						      : "stop it, or give riserd another port",
		      "port %u is taken by %s, process %s", port, owner.name, owner.pid);
	else if (is_there(d, "/sys/kernel/config/target/iscsi"))
		found(d, LEVEL_BAD,
		      "systemctl disable --now rtslib-fb-targetctl (or target); targetcli clearconfig "
		      "confirm=True",
		      "port %u is taken by LIO, the target in the kernel", port);
	else if (!d->status)
		found(d, LEVEL_BAD, "as root, riser doctor tells who it is",
		      "port %u is taken by a process of somebody else", port);
}

void check_ports(struct doctor *d)
{
	unsigned int seen[64], count = 0;
	const json_t *p;

	each_member(d->portals, p) {
		const char *address = member_text(p, "address"), *colon = strrchr(address, ':');
		unsigned int port = colon ? (unsigned int)strtoul(colon + 1, NULL, 10) : 0, i = 0;

		while (i < count && seen[i] != port)
			i++;
		if (!port || i < count || count == 64)
			continue;
		seen[count++] = port;
		check_port(d, port);
	}
	if (!count)
		check_port(d, ISCSI_PORT);
}

/* --- limits --- */

/* A line of /proc/PID/limits: "Max locked memory  SOFT  HARD  bytes". -1: unlimited, -2: unknown. */
static int64_t limit_of(const struct doctor *d, const char *name, __rlimit_resource_t own)
{
	char path[512], line[256], hard[32] = "";
	struct rlimit limit;
	int64_t value = -2;
	FILE *file;

	if (!daemon_pid(d)) {
		if (!is_live(d) || getrlimit(own, &limit))
			return -2;
		return limit.rlim_max == RLIM_INFINITY ? -1 : (int64_t)limit.rlim_max;
	}
	snprintf(path, sizeof(path), "%s/proc/%lld/limits", d->root, (long long)daemon_pid(d));
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, name, strlen(name)) &&
		    sscanf(line + strlen(name), " %*s %31s", hard) == 1)
			value = strcmp(hard, "unlimited") ? strtoll(hard, NULL, 10) : -1;
	}
	if (file)
		fclose(file);
	return value;
}

static unsigned int rdma_devices(const struct doctor *d)
{
	return each_entry(d, "/sys/class/infiniband", NULL, NULL);
}

void check_limits(struct doctor *d)
{
	int64_t locked = limit_of(d, "Max locked memory", RLIMIT_MEMLOCK);
	int64_t files = limit_of(d, "Max open files", RLIMIT_NOFILE);
	const char *whose = d->status ? "riserd" : "a process of ours";

	if (locked == -1)
		found(d, LEVEL_OK, NULL, "%s may lock all memory that it wants", whose);
	else if (locked >= 0 && locked < MEMLOCK_MIN)
		found(d, rdma_devices(d) ? LEVEL_BAD : LEVEL_NOTE,
		      "LimitMEMLOCK=infinity in riser.service, or ulimit -l unlimited as root",
		      "%s may lock %s of memory only: too little for RDMA", whose,
		      human_size((uint64_t)locked));
	if (files >= 0 && files < FILES_MIN)
		found(d, LEVEL_WARNING, "LimitNOFILE=1048576 in riser.service, or ulimit -n",
		      "%s may open %lld files only: so many connections and disks it can have at most",
		      whose, (long long)files);
}

/* --- io_uring --- */

void check_io_uring(struct doctor *d)
{
	struct io_uring_params params = { 0 };
	char value[16];
	long fd;

	if (first_line(d, "/proc/sys/kernel/io_uring_disabled", value, sizeof(value)) &&
	    strcmp(value, "0") != 0) {
		found(d, LEVEL_BAD,
		      "sysctl kernel.io_uring_disabled=0, and in /etc/sysctl.d to stay",
		      "the kernel has io_uring turned off (kernel.io_uring_disabled = %s)", value);
		return;
	}
	if (!is_live(d))
		return;
	fd = syscall(__NR_io_uring_setup, 1, &params);
	if (fd >= 0) {
		close((int)fd);
		found(d, LEVEL_OK, NULL, "io_uring works");
	} else if (errno == ENOSYS) {
		found(d, LEVEL_BAD, "a kernel of 6.1 or later", "this kernel has no io_uring");
	} else {
		found(d, LEVEL_BAD,
		      "in a container: allow io_uring_setup, io_uring_enter and io_uring_register in "
		      "its seccomp profile",
		      "io_uring cannot be used: %s", strerror(errno));
	}
}

/* --- RDMA --- */

static void look_at_device(struct doctor *d, const char *name, void *arg)
{
	unsigned int *active = arg;
	char path[160], state[64] = "unknown";

	snprintf(path, sizeof(path), "/sys/class/infiniband/%.64s/ports/1/state", name);
	first_line(d, path, state, sizeof(state));
	if (strstr(state, "ACTIVE")) {
		++*active;
		found(d, LEVEL_OK, NULL, "RDMA device %s is active", name);
	} else {
		found(d, LEVEL_WARNING, "is its network interface up, and the cable in?",
		      "RDMA device %s is not active: %s", name, state);
	}
}

static bool is_active(const json_t *portal, const char *transport)
{
	const json_t *active = json_object_get(portal, "active"), *t;

	each_member(active, t) {
		if (json_is_string(t) && !strcmp(json_string_value(t), transport))
			return true;
	}
	return false;
}

void check_rdma(struct doctor *d)
{
	unsigned int active = 0;
	const json_t *p;

	if (!each_entry(d, "/sys/class/infiniband", look_at_device, &active))
		found(d, LEVEL_NOTE, NULL, "there is no RDMA device: TCP only, no iSER");
	each_member(d->portals, p) {
		const char *transports = member_text(p, "transports");

		if (strcmp(transports, "tcp") != 0 && active && !is_active(p, "iser"))
			found(d, strcmp(transports, "iser") ? LEVEL_NOTE : LEVEL_BAD,
			      "the address has to be one of the device's interface, and package "
			      "riser-rdma installed",
			      "portal %s is not served over iSER", member_text(p, "address"));
	}
}
