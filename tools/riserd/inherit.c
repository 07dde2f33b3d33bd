// SPDX-License-Identifier: BSD-2-Clause
#include "inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

enum { FIRST_FD = 3 };

struct inherited {
	unsigned int count;
	struct portal_address address[CONFIG_PORTALS];
};

/* How many there are for this process, starting with FIRST_FD; -errno. The variables are not for the
 * programs that we start. */
static int count_sockets(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t of, count = 0;

	if (pid && fds && parse_number(pid, INT32_MAX, &of) && of == (uint64_t)getpid() &&
	    !parse_number(fds, CONFIG_PORTALS, &count)) {
		log_error("LISTEN_FDS is '%s': not a number of sockets from 0 to %d", fds,
			  CONFIG_PORTALS);
		return -EINVAL;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return (int)count;
}

static int get_int(int fd, int level, int option)
{
	socklen_t len = sizeof(int);
	int value = 0;

	return getsockopt(fd, level, option, &value, &len) ? -1 : value;
}

/* NULL, or what is wrong with it. */
static const char *take_socket(int fd, struct portal_address *address)
{
	int flags = fcntl(fd, F_GETFL);

	*address = (struct portal_address){ .len = sizeof(address->addr), .socket = fd };
	if (flags < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC))
		return "is not open";
	if (get_int(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM ||
	    get_int(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1 ||
	    getsockname(fd, (struct sockaddr *)&address->addr, &address->len) ||
	    (address->addr.ss_family != AF_INET && address->addr.ss_family != AF_INET6))
		return "is no listening TCP socket: use ListenStream= with an address and a port, and "
		       "Accept=no";
	/* 0.0.0.0 and [::] are two portals, and this one would be both. */
	if (address->addr.ss_family == AF_INET6 && !get_int(fd, IPPROTO_IPV6, IPV6_V6ONLY) &&
	    IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)&address->addr)->sin6_addr))
		return "takes IPv4, too: use BindIPv6Only=ipv6-only and ListenStream=0.0.0.0:3260 "
		       "beside it";
	if (fcntl(fd, F_SETFL, flags & ~O_NONBLOCK))
		return "cannot be made to wait";
	return NULL;
}

int inherit_sockets(struct inherited **out)
{
	int count = count_sockets();
	struct inherited *in;

	*out = NULL;
	if (count <= 0)
		return count;
	in = calloc(1, sizeof(*in));
	if (!in)
		return -ENOMEM;
	for (; in->count < (unsigned int)count; in->count++) {
		int fd = FIRST_FD + (int)in->count;
		const char *wrong = take_socket(fd, &in->address[in->count]);

		if (wrong) {
			log_error("LISTEN_FDS: descriptor %d %s (see riser.socket)", fd, wrong);
			inherit_close(in);
			return -EINVAL;
		}
	}
	*out = in;
	return 0;
}

void inherit_check(const struct inherited *in, const struct config *c)
{
	for (unsigned int i = 0; in && i < in->count; i++) {
		unsigned int p = 0;
		char name[64];

		while (p < c->portal_count &&
		       !(config_same_address(&c->portals[p].address, &in->address[i]) &&
			 c->portals[p].transports & PORTAL_TCP))
			p++;
		address_format(&in->address[i].addr, name, sizeof(name));
		if (p == c->portal_count)
			log_warn("%s: handed over by riser.socket, but no portal: who connects "
				 "there waits in vain; make it a portal, or take it out of "
				 "riser.socket",
				 name);
	}
}

int inherit_find(const struct inherited *in, const struct portal_address *address)
{
	for (unsigned int i = 0; in && i < in->count; i++) {
		if (config_same_address(&in->address[i], address))
			return in->address[i].socket;
	}
	return 0;
}

void inherit_close(struct inherited *in)
{
	for (unsigned int i = 0; in && i < in->count; i++)
		close(in->address[i].socket);
	free(in);
}
