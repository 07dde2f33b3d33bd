// SPDX-License-Identifier: BSD-2-Clause
/* How long packets may be on the way to the initiators. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doctor.h"

enum { FAST_MBIT = 10000, ETHERNET_MTU = 1500, IP_MAX_PACKET = 65535, ANY_PORT = 9 };

/* "[2001:db8::1]:3260" or "192.0.2.1" as an address with a port that matters to nobody. */
static bool parse(const char *text, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (void *)out;
	struct sockaddr_in6 *v6 = (void *)out;
	char address[80];
	char *end;

	snprintf(address, sizeof(address), "%s", text + (*text == '['));
	end = strchr(address, ']');
	if (!end && strchr(address, '.'))
		end = strchr(address, ':');
	if (end)
		*end = 0;
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(ANY_PORT);
		return true;
	}
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) != 1)
		return false;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(ANY_PORT);
	return true;
}

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
	if (a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET)
		return !memcmp(&((const struct sockaddr_in *)a)->sin_addr,
			       &((const struct sockaddr_in *)b)->sin_addr, sizeof(struct in_addr));
	return !memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
		       &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr));
}

static long number_in(const struct doctor *d, const char *interface, const char *what)
{
	char path[160], text[32];

	snprintf(path, sizeof(path), "/sys/class/net/%.32s/%s", interface, what);
	return first_line(d, path, text, sizeof(text)) ? strtol(text, NULL, 10) : -1;
}

/* The interface that has the address; false: none. */
static bool interface_of(const struct sockaddr *address, char *name, size_t size)
{
	struct ifaddrs *all, *i;
	bool known = false;

	if (getifaddrs(&all))
		return false;
	for (i = all; i && !known; i = i->ifa_next) {
		known = i->ifa_addr && same_address(i->ifa_addr, address);
		if (known)
			snprintf(name, size, "%s", i->ifa_name);
	}
	freeifaddrs(all);
	return known;
}

/* What the kernel knows of the way there, without sending anything; local: our end of it. */
static int path_mtu(const struct sockaddr_storage *peer, struct sockaddr_storage *local)
{
	bool v6 = peer->ss_family == AF_INET6;
	socklen_t size = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	int fd = socket(peer->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), mtu = -1;
	socklen_t len = sizeof(mtu), local_len = sizeof(*local);

	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)peer, size) ||
	    getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &len) ||
	    getsockname(fd, (struct sockaddr *)local, &local_len))
		mtu = -1;
	close(fd);
	return mtu;
}

static void check_session(struct doctor *d, const char *from, unsigned int *fine)
{
	struct sockaddr_storage peer, local = { 0 };
	char interface[64];
	long mtu;
	int path;

	if (!parse(from, &peer))
		return;
	path = path_mtu(&peer, &local);
	if (path < 0 || !interface_of((struct sockaddr *)&local, interface, sizeof(interface)))
		return;
	mtu = number_in(d, interface, "mtu");
	/* No packet of IP is longer; that of loopback says it is. */
	if (mtu > 0 && path < mtu && path < IP_MAX_PACKET)
		found(d, LEVEL_WARNING,
		      "a switch or router on the way has a smaller MTU: make them equal",
		      "packets to %s may have %d bytes, though %s has an MTU of %ld", from, path,
		      interface, mtu);
	else
		++*fine;
}

static void check_portal(struct doctor *d, const char *address)
{
	struct sockaddr_storage addr;
	char interface[64];
	long mtu, speed;

	if (!parse(address, &addr) ||
	    !interface_of((struct sockaddr *)&addr, interface, sizeof(interface)))
		return;
	mtu = number_in(d, interface, "mtu");
	speed = number_in(d, interface, "speed");
	if (speed >= FAST_MBIT && mtu <= ETHERNET_MTU)
		found(d, LEVEL_NOTE,
		      "where switches and initiators can, 9000 saves CPU time; all of them need the "
		      "same",
		      "%s of portal %s has %ld Mbit/s and an MTU of %ld", interface, address, speed,
		      mtu);
}

void check_mtu(struct doctor *d)
{
	unsigned int fine = 0;
	const json_t *o;

	if (!is_live(d))
		return;
	each_member(d->portals, o)
		check_portal(d, member_text(o, "address"));
	each_member(d->sessions, o)
		check_session(d, member_text(o, "from"), &fine);
	if (fine)
		found(d, LEVEL_OK, NULL, "the way to %u session%s takes packets of full length",
		      fine, fine == 1 ? "" : "s");
}
