// SPDX-License-Identifier: BSD-2-Clause
/* metrics { }: where the HTTP server for metrics and the status page listens. */
#include <stdio.h>
#include <string.h>

#include "parse_impl.h"

#define METRICS_PORT "9260"

/* The port may be left out, which for an IPv6 address without brackets is the only way. */
static bool parse_listen(const char *value, struct portal_address *out)
{
	const char *colon = strchr(value, ':');
	bool bare = value[0] != '[' && colon && strchr(colon + 1, ':');
	char with_port[128];
	int n = snprintf(with_port, sizeof(with_port),
			 bare ? "[%s]:" METRICS_PORT : "%s:" METRICS_PORT, value);

	if (n < 0 || (size_t)n >= sizeof(with_port))
		return false;
	return options_parse_address(with_port, out) || options_parse_address(value, out);
}

static const char *set_listen(struct parser *p, const struct key *key, const char *value)
{
	(void)key;
	return parse_listen(value, &p->config->metrics.listen)
		       ? NULL
		       : "an IP address, with a port if that is not " METRICS_PORT
			 ", like 127.0.0.1:" METRICS_PORT;
}

const struct key metrics_keys[] = {
	{ "listen", set_listen, false },
	{ 0 },
};
