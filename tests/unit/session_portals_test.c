// SPDX-License-Identifier: BSD-2-Clause
/* Which portal group a connection belongs to: by its transport and by the address it has reached. */
#include <arpa/inet.h>

#include "session/internal.h"
#include "target_rig.h"
#include "tests/lib/unit.h"

static int listen_nowhere(struct reactor *r, struct portal_address *addr, const struct conn_up *up,
			  void *ctx, struct listener **out, char *why, size_t why_size)
{
	(void)r, (void)addr, (void)up, (void)ctx, (void)why, (void)why_size;
	*out = NULL;
	return 0;
}

static const struct transport_ops lan = { .name = "lan", .listen = listen_nowhere };
static const struct transport_ops rdma = { .name = "rdma", .listen = listen_nowhere };

static struct sockaddr_storage address(const char *text, uint16_t port, uint32_t scope)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in6 *v6 = (void *)&ss;
	struct sockaddr_in *v4 = (void *)&ss;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
	} else {
		CU_ASSERT_EQUAL(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		v6->sin6_scope_id = scope;
	}
	return ss;
}

static int serve(struct rig *rig, const struct transport_ops *transport, const char *text,
		 uint16_t port, uint32_t scope, uint16_t tag)
{
	struct portal_address portal = { .addr = address(text, port, scope) };
	char why[256];

	return server_listen(rig->server, transport, &portal, tag, why, sizeof(why));
}

static uint16_t tag_of(const struct rig *rig, const struct transport_ops *transport,
		       const char *text, uint16_t port, uint32_t scope)
{
	struct conn conn = { .ops = transport, .local = address(text, port, scope) };

	return server_portal_of(rig->server, &conn).tag;
}

static void by_address(void)
{
	struct rig rig;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	CU_ASSERT_EQUAL(serve(&rig, &lan, "192.0.2.1", 3260, 0, 2), 0);
	CU_ASSERT_EQUAL(serve(&rig, &lan, "192.0.2.2", 3260, 0, 3), 0);
	CU_ASSERT_EQUAL(serve(&rig, &lan, "0.0.0.0", 3261, 0, 4), 0);
	CU_ASSERT_EQUAL(serve(&rig, &lan, "::", 3261, 0, 5), 0);
	CU_ASSERT_EQUAL(serve(&rig, &lan, "fe80::1", 3260, 7, 6), 0);
	CU_ASSERT_EQUAL(serve(&rig, &lan, "fe80::1", 3260, 8, 7), 0);
	CU_ASSERT_EQUAL(tag_of(&rig, &lan, "192.0.2.1", 3260, 0), 2);
	CU_ASSERT_EQUAL(tag_of(&rig, &lan, "192.0.2.2", 3260, 0), 3);
	CU_ASSERT_EQUAL(tag_of(&rig, &lan, "192.0.2.2", 3261, 0), 4);
	CU_ASSERT_EQUAL(tag_of(&rig, &lan, "2001:db8::2", 3261, 0), 5);
	CU_ASSERT_EQUAL(tag_of(&rig, &lan, "fe80::1", 3260, 7), 6);
	CU_ASSERT_EQUAL(tag_of(&rig, &lan, "fe80::1", 3260, 8), 7);
	CU_ASSERT_EQUAL(tag_of(&rig, &lan, "192.0.2.3", 3260, 0), 1);
	rig_down(&rig);
}

/* An address is in one group, whatever it is served over. */
static void one_group_each(void)
{
	struct rig rig;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	CU_ASSERT_EQUAL(serve(&rig, &lan, "192.0.2.1", 3260, 0, 2), 0);
	CU_ASSERT_EQUAL(serve(&rig, &rdma, "192.0.2.1", 3260, 0, 3), -EINVAL);
	CU_ASSERT_EQUAL(serve(&rig, &rdma, "192.0.2.1", 3260, 0, 2), 0);
	CU_ASSERT_EQUAL(rig.server->portal_count, 1);
	CU_ASSERT_EQUAL(tag_of(&rig, &rdma, "192.0.2.1", 3260, 0), 2);
	rig_down(&rig);
}

/* The ports of two transports have nothing to do with each other: one may have the wildcard address
 * and the other an address of the host. */
static void wildcard_of_another_transport(void)
{
	for (int order = 0; order < 2; order++) {
		struct rig rig;

		CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
		if (order)
			CU_ASSERT_EQUAL(serve(&rig, &rdma, "192.0.2.1", 3260, 0, 3), 0);
		CU_ASSERT_EQUAL(serve(&rig, &lan, "0.0.0.0", 3260, 0, 2), 0);
		if (!order)
			CU_ASSERT_EQUAL(serve(&rig, &rdma, "192.0.2.1", 3260, 0, 3), 0);
		CU_ASSERT_EQUAL(tag_of(&rig, &lan, "192.0.2.1", 3260, 0), 2);
		CU_ASSERT_EQUAL(tag_of(&rig, &rdma, "192.0.2.1", 3260, 0), 3);
		/* And where both are the same one's, the address that says more counts. */
		CU_ASSERT_EQUAL(serve(&rig, &rdma, "0.0.0.0", 3260, 0, 2), 0);
		CU_ASSERT_EQUAL(tag_of(&rig, &rdma, "192.0.2.1", 3260, 0), 3);
		CU_ASSERT_EQUAL(tag_of(&rig, &rdma, "192.0.2.9", 3260, 0), 2);
		rig_down(&rig);
	}
}

UNIT_MAIN(TEST(by_address), TEST(one_group_each), TEST(wildcard_of_another_transport));
