// SPDX-License-Identifier: BSD-2-Clause
/* Who fails to log in: see login_failures.h. */
#include "session/login_failures.h"

#include <netinet/in.h>
#include <string.h>

#include "core/reactor.h"

void login_failures_init(struct login_failures *f)
{
	memset(f->address, 0, sizeof(f->address));
	pthread_mutex_init(&f->lock, NULL);
}

void login_failures_destroy(struct login_failures *f)
{
	pthread_mutex_destroy(&f->lock);
}

/* An IPv4 address is the same host whether it comes in by an IPv4 or an IPv6 socket. A link-local
 * prefix is another one on each link. */
static void make_key(const struct sockaddr_storage *peer, uint8_t key[16])
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)peer;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;

	memset(key, 0, 16);
	if (peer->ss_family != AF_INET6) {
		key[0] = 4;
		memcpy(key + 4, &in->sin_addr, 4);
	} else if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		key[0] = 4;
		memcpy(key + 4, in6->sin6_addr.s6_addr + 12, 4);
	} else {
		key[0] = 6;
		memcpy(key + 4, in6->sin6_addr.s6_addr, 8);
		memcpy(key + 12, &in6->sin6_scope_id, 4);
	}
}

/* The entry of key; a new one takes the place of the address that has been longest without a
 * failure. */
static struct failing_address *find(struct login_failures *f, const uint8_t key[16])
{
	struct failing_address *oldest = &f->address[0];

	for (unsigned int i = 0; i < LOGIN_FAILURES_ADDRESSES; i++) {
		struct failing_address *a = &f->address[i];

		if (!memcmp(a->key, key, sizeof(a->key)))
			return a;
		if (!a->key[0] || (oldest->key[0] && a->last < oldest->last))
			oldest = a;
	}
	*oldest = (struct failing_address){ 0 };
	memcpy(oldest->key, key, sizeof(oldest->key));
	return oldest;
}

/* Whether `free` failures before this one are not forgotten yet. */
static bool too_many(const struct failing_address *a, uint32_t free, uint64_t now)
{
	return free && a->count >= free &&
	       now - a->at[(a->count - free) % LOGIN_FAILURES_MAX] <
		       LOGIN_FAILURES_WINDOW_S * NSEC_PER_SEC;
}

/* The first late answer is told of at once, the ones behind it once a minute. */
static uint32_t tell(struct failing_address *a, uint64_t now)
{
	uint32_t count = ++a->untold;

	if (a->ever_told && now - a->told < LOGIN_FAILURES_WINDOW_S * NSEC_PER_SEC)
		return 0;
	a->ever_told = true;
	a->told = now;
	a->untold = 0;
	return count;
}

struct login_failure login_failures_add(struct login_failures *f,
					const struct sockaddr_storage *peer, uint32_t free,
					uint64_t now)
{
	struct login_failure result = { 0 };
	struct failing_address *a;
	uint8_t key[16];

	make_key(peer, key);
	pthread_mutex_lock(&f->lock);
	a = find(f, key);
	/* The clocks of two threads may differ by what passes between two looks. */
	if (now < a->last)
		now = a->last;
	if (too_many(a, free, now)) {
		result.delay = LOGIN_FAILURES_DELAY_S * NSEC_PER_SEC;
		result.tell = tell(a, now);
	}
	a->at[a->count % LOGIN_FAILURES_MAX] = now;
	a->count++;
	a->last = now;
	pthread_mutex_unlock(&f->lock);
	return result;
}
