// SPDX-License-Identifier: BSD-2-Clause
/* Portals as initiators hear of them: TargetAddress, RFC 7143 13.8. */
#include <arpa/inet.h>

#include "session/internal.h"

static uint32_t link_of(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

	return ss->ss_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)
		       ? in6->sin6_scope_id
		       : 0;
}

static bool is_loopback(const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)ss)->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)ss)->sin6_addr);
}

/*
 * A loopback address is another machine to every other machine: it is named to those who came in by one.
 * A link-local address means something on its own link only, and TargetAddress has no place for the
 * link: an initiator has to add the one that it has come by. So it is named to those who came in by
 * a link-local address of the same link, and left out for all others.
 */
bool address_tellable(const struct sockaddr_storage *portal, const struct sockaddr_storage *local)
{
	uint32_t link = link_of(portal);

	if (is_loopback(portal))
		return is_loopback(local);
	return !link || link == link_of(local);
}

/* A wildcard means the address that this initiator has reached, but its own port: that may have been
 * reached by another portal. */
void address_as_target(const struct sockaddr_storage *portal, const struct sockaddr_storage *local,
		       char *out, size_t size)
{
	struct sockaddr_storage plain = address_is_wildcard(portal) ? *local : *portal;

	/* The port is at the same place in both families. */
	((struct sockaddr_in *)&plain)->sin_port = ((const struct sockaddr_in *)portal)->sin_port;
	if (plain.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&plain)->sin6_scope_id = 0;
	address_format(&plain, out, size);
}
