// SPDX-License-Identifier: BSD-2-Clause
/* Addresses of portals: as the log shows them, and as initiators hear of them. */
#include <arpa/inet.h>
#include <net/if.h>

#include "session/internal.h"
#include "tests/lib/unit.h"

/* scope: 0 for addresses without one. */
static struct sockaddr_storage address(const char *text, uint16_t port, uint32_t scope)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;

	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		ss.ss_family = AF_INET;
	} else {
		CU_ASSERT_EQUAL_FATAL(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
		ss.ss_family = AF_INET6;
		in6->sin6_scope_id = scope;
	}
	in->sin_port = htons(port);
	return ss;
}

static const uint32_t no_such_link = 4000000000;

static void the_log_has_the_link(void)
{
	static const char longest[] = "fe80::ffff:ffff:ffff:ffff";
	uint32_t lo = if_nametoindex("lo");
	struct sockaddr_storage ss = address("fe80::1", 3260, lo);
	char out[64];

	CU_ASSERT_NOT_EQUAL_FATAL(lo, 0);
	address_format(&ss, out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out, "[fe80::1%lo]:3260");
	ss = address(longest, 65535, no_such_link);
	address_format(&ss, out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out, "[fe80::ffff:ffff:ffff:ffff%4000000000]:65535");
	ss = address("2001:db8::1", 3260, 0);
	address_format(&ss, out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out, "[2001:db8::1]:3260");
	ss = address("192.0.2.1", 1, 0);
	address_format(&ss, out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out, "192.0.2.1:1");
}

static void expect_told(struct sockaddr_storage portal, struct sockaddr_storage local,
			const char *expected)
{
	char out[64];

	address_as_target(&portal, &local, out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out, expected);
}

/* RFC 7143 13.8 has no place for a link. */
static void target_address_has_not(void)
{
	struct sockaddr_storage v4 = address("192.0.2.9", 3260, 0);
	struct sockaddr_storage link = address("fe80::2", 3260, 1);

	expect_told(address("fe80::1", 3260, 1), link, "[fe80::1]:3260");
	expect_told(address("::", 3260, 0), link, "[fe80::2]:3260");
	expect_told(address("2001:db8::1", 3260, 0), v4, "[2001:db8::1]:3260");
	expect_told(address("192.0.2.1", 3260, 0), v4, "192.0.2.1:3260");
}

/* All addresses at one port: the initiator has reached one of them, perhaps at another port. */
static void a_wildcard_keeps_its_port(void)
{
	expect_told(address("0.0.0.0", 3260, 0), address("192.0.2.9", 3260, 0), "192.0.2.9:3260");
	expect_told(address("0.0.0.0", 3261, 0), address("192.0.2.9", 3260, 0), "192.0.2.9:3261");
	expect_told(address("::", 3261, 0), address("2001:db8::9", 3260, 0), "[2001:db8::9]:3261");
}

static void who_is_told_of_what(void)
{
	static const struct {
		const char *portal, *local;
		uint32_t portal_link, local_link;
		bool told;
	} rows[] = {
		{ "fe80::1", "fe80::1", 2, 2, true },
		{ "fe80::1", "fe80::2", 2, 2, true },
		{ "fe80::1", "fe80::1", 2, 3, false },
		{ "fe80::1", "2001:db8::1", 2, 0, false },
		{ "fe80::1", "192.0.2.1", 2, 0, false },
		{ "2001:db8::1", "fe80::1", 0, 2, true },
		{ "2001:db8::1", "192.0.2.1", 0, 0, true },
		{ "192.0.2.1", "fe80::1", 0, 2, true },
		{ "::", "fe80::1", 0, 2, true },
		{ "127.0.0.1", "127.0.0.1", 0, 0, true },
		{ "127.0.0.2", "::1", 0, 0, true },
		{ "::1", "127.0.0.1", 0, 0, true },
		{ "127.0.0.1", "192.0.2.1", 0, 0, false },
		{ "::1", "192.0.2.1", 0, 0, false },
		{ "::1", "2001:db8::1", 0, 0, false },
		{ "127.0.0.1", "fe80::1", 0, 2, false },
		{ "192.0.2.1", "127.0.0.1", 0, 0, true },
	};

	for (size_t i = 0; i < array_size(rows); i++) {
		struct sockaddr_storage portal = address(rows[i].portal, 1, rows[i].portal_link);
		struct sockaddr_storage local = address(rows[i].local, 1, rows[i].local_link);

		CU_ASSERT_EQUAL(address_tellable(&portal, &local), rows[i].told);
	}
}

UNIT_MAIN(TEST(the_log_has_the_link), TEST(target_address_has_not), TEST(a_wildcard_keeps_its_port),
	  TEST(who_is_told_of_what));
