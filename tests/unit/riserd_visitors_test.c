// SPDX-License-Identifier: BSD-2-Clause
/* Who may stay connected to the HTTP server, and for how long; the time is this test's. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/lib/unit.h"
#include "tools/riserd/metrics_impl.h"

#define S NSEC_PER_SEC

static struct visitors visitors;
static uint64_t now;
static int others[VISITORS + VISITORS_MORE]; /* by the descriptor's place */

static void up(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	visitors_init(&visitors);
	now = 1000 * S;
}

/* Somebody comes from this address. */
static struct visitor *comes(const char *from)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	bool is_v4 = inet_pton(AF_INET, from, &v4.sin_addr) == 1;
	struct visitor *who;
	int fds[2];

	if (!is_v4)
		CU_ASSERT_EQUAL_FATAL(inet_pton(AF_INET6, from, &v6.sin6_addr), 1);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	who = visitor_comes(&visitors, fds[0],
			    is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6, now);
	CU_ASSERT_PTR_NOT_NULL_FATAL(who);
	others[who - visitors.at] = fds[1];
	now++;
	return who;
}

static void goes(struct visitor *who)
{
	close(who->fd);
	close(others[who - visitors.at]);
	visitor_goes(&visitors, who);
}

static void down(void)
{
	for (unsigned int i = 0; i < array_size(visitors.at); i++) {
		if (visitors.at[i].fd >= 0)
			goes(&visitors.at[i]);
	}
	CU_ASSERT_EQUAL(visitors.count, 0);
}

/* Its connection was shut down. */
static bool sent_away(const struct visitor *who)
{
	char byte;

	CU_ASSERT_EQUAL(recv(others[who - visitors.at], &byte, 1, MSG_DONTWAIT) == 0, who->leaves);
	return who->leaves;
}

static void a_request_has_its_time_and_an_answer_has(void)
{
	struct visitor *who;
	uint64_t at;

	up();
	CU_ASSERT_EQUAL(visitors_look(&visitors, now), UINT64_MAX);
	who = comes("192.0.2.1");
	at = visitors_look(&visitors, now);
	CU_ASSERT(at > now + 10 * S && at < now + 20 * S);
	visitors_look(&visitors, at - 1);
	CU_ASSERT_FALSE(sent_away(who));
	visitor_asks(who, at - 1);
	CU_ASSERT(visitors_look(&visitors, at) > at + 30 * S);
	visitor_is_answered(who, at);
	at = visitors_look(&visitors, at);
	CU_ASSERT_EQUAL(visitors_look(&visitors, at), UINT64_MAX);
	CU_ASSERT_TRUE(sent_away(who));
	CU_ASSERT_EQUAL(visitors.count, 0);
	goes(who);

	who = comes("192.0.2.1");
	visitor_asks(who, now);
	at = visitors_look(&visitors, now);
	visitors_look(&visitors, at);
	CU_ASSERT_TRUE(sent_away(who));
	down();
}

static void the_place_with_the_most_makes_room(void)
{
	struct visitor *lonely, *first, *second, *asked;

	up();
	lonely = comes("192.0.2.1");
	asked = comes("198.51.100.7");
	visitor_asks(asked, now);
	first = comes("198.51.100.7");
	second = comes("198.51.100.7");
	while (visitors.count < VISITORS)
		comes("198.51.100.7");
	visitors_look(&visitors, now);
	CU_ASSERT_EQUAL(visitors.count, VISITORS);
	comes("192.0.2.9");
	visitors_look(&visitors, now);
	CU_ASSERT_EQUAL(visitors.count, VISITORS);
	CU_ASSERT_TRUE(sent_away(first));
	CU_ASSERT_FALSE(sent_away(second) || sent_away(lonely) || sent_away(asked));
	/* Those that leave have a place until they have gone. */
	for (unsigned int i = 0; i + 1 < VISITORS_MORE; i++) {
		comes("192.0.2.9");
		visitors_look(&visitors, now);
	}
	CU_ASSERT_EQUAL(visitors.count, VISITORS);
	CU_ASSERT_TRUE(sent_away(second));
	CU_ASSERT_FALSE(sent_away(lonely) || sent_away(asked));
	down();
}

/* Who has a network has as many addresses as he likes. */
static void an_ipv6_network_is_one_place(void)
{
	struct visitor *lonely, *first;
	char name[32];

	up();
	lonely = comes("2001:db8:1::1");
	first = comes("2001:db8:2::1");
	for (unsigned int i = 0; visitors.count <= VISITORS; i++) {
		snprintf(name, sizeof(name), "2001:db8:2::%x:1", i + 1);
		comes(name);
	}
	visitors_look(&visitors, now);
	CU_ASSERT_TRUE(sent_away(first));
	CU_ASSERT_FALSE(sent_away(lonely));
	down();
}

/* All of them read answers, none from the same place: the one that does so for the longest. */
static void readers_go_when_there_is_nobody_else(void)
{
	struct visitor *first = NULL, *who;
	char name[32];

	up();
	for (unsigned int i = 0; visitors.count <= VISITORS; i++) {
		snprintf(name, sizeof(name), "192.0.2.%u", i + 1);
		who = comes(name);
		visitor_asks(who, now);
		first = first ? first : who;
	}
	visitors_look(&visitors, now);
	CU_ASSERT_TRUE(sent_away(first));
	CU_ASSERT_EQUAL(visitors.count, VISITORS);
	down();
}

UNIT_MAIN(TEST(a_request_has_its_time_and_an_answer_has), TEST(the_place_with_the_most_makes_room),
	  TEST(an_ipv6_network_is_one_place), TEST(readers_go_when_there_is_nobody_else));
