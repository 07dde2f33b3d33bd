// SPDX-License-Identifier: BSD-2-Clause
/*
 * The connections of the HTTP server, and which of them have to go: those that take too long over a request
 * or over its answer, and others when there are too many. Whoever comes is let in; room is made by those who
 * have come in the largest number from one place, and of these by the one that has waited longest.
 */
#include <string.h>
#include <sys/socket.h>

#include "core/log.h"
#include "metrics_impl.h"

enum {
	REQUEST_S =
		15, /* from the first word to the last; whoever says nothing is left before that */
	ANSWER_S = 60, /* to be read by then */
	NETWORK_BYTES = 8, /* of an IPv6 address: one host may have all the rest */
};

void visitors_init(struct visitors *v)
{
	*v = (struct visitors){ 0 };
	for (unsigned int i = 0; i < array_size(v->at); i++)
		v->at[i].fd = -1;
}

static struct address_range place_of(const struct sockaddr *from)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct sockaddr_storage ss = { 0 };
	struct address_range place;

	memcpy(&ss, from,
	       from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					   : sizeof(struct sockaddr_in));
	place = address_range_of(&ss);
	if (memcmp(place.address, mapped, sizeof(mapped)) != 0)
		memset(place.address + NETWORK_BYTES, 0, sizeof(place.address) - NETWORK_BYTES);
	return place;
}

struct visitor *visitor_comes(struct visitors *v, int fd, const struct sockaddr *from, uint64_t now)
{
	for (unsigned int i = 0; i < array_size(v->at); i++) {
		struct visitor *who = &v->at[i];

		if (who->fd >= 0)
			continue;
		*who = (struct visitor){ .fd = fd, .from = place_of(from), .since = now };
		v->count++;
		return who;
	}
	return NULL;
}

void visitor_asks(struct visitor *who, uint64_t now)
{
	who->asked = true;
	who->since = now;
}

void visitor_is_answered(struct visitor *who, uint64_t now)
{
	who->asked = false;
	who->since = now;
}

void visitor_goes(struct visitors *v, struct visitor *who)
{
	if (!who->leaves)
		v->count--;
	who->fd = -1;
}

/* The connection ends as soon as the server looks at it again. */
static void send_away(struct visitors *v, struct visitor *who, const char *why)
{
	static struct log_limit limit = LOG_LIMIT(5);

	log_write_limited(&limit, LOG_LEVEL_WARN, "metrics: a connection is closed: %s", why);
	shutdown(who->fd, SHUT_RDWR);
	who->leaves = true;
	v->count--;
}

static bool is_here(const struct visitor *who)
{
	return who->fd >= 0 && !who->leaves;
}

static unsigned int count_from(const struct visitors *v, const struct address_range *place)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < array_size(v->at); i++)
		n += is_here(&v->at[i]) && !memcmp(&v->at[i].from, place, sizeof(*place));
	return n;
}

/* Those who have not asked yet go before those who read an answer. */
static bool goes_before(const struct visitor *who, const struct visitor *other)
{
	if (who->asked != other->asked)
		return other->asked;
	return who->since < other->since;
}

static struct visitor *choose(struct visitors *v)
{
	struct visitor *chosen = NULL;
	unsigned int most = 0;

	for (unsigned int i = 0; i < array_size(v->at); i++) {
		struct visitor *who = &v->at[i];
		unsigned int n = is_here(who) ? count_from(v, &who->from) : 0;

		if (!n || n < most)
			continue;
		if (n > most || goes_before(who, chosen))
			chosen = who;
		most = n;
	}
	return chosen;
}

uint64_t visitors_look(struct visitors *v, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	for (unsigned int i = 0; i < array_size(v->at); i++) {
		struct visitor *who = &v->at[i];
		uint64_t until = who->since + (who->asked ? ANSWER_S : REQUEST_S) * NSEC_PER_SEC;

		if (!is_here(who))
			continue;
		if (now >= until)
			send_away(v, who,
				  who->asked ? "an answer was not read within 60 s"
					     : "a request was not complete within 15 s");
		else if (until < next)
			next = until;
	}
	while (v->count > VISITORS)
		send_away(v, choose(v), "there are too many, see riser-metrics(7)");
	return next;
}
