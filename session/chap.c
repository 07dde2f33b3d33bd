// SPDX-License-Identifier: BSD-2-Clause
/* CHAP: see chap.h. */
#include "session/chap.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

/* CHAP_A values of the IANA registry. */
static const struct chap_hash {
	uint32_t number;
	const char *name;
	uint8_t len; /* bytes of the digest, and of the challenge */
} hashes[] = {
	{ 5, "MD5", 16 },
	{ 6, "SHA1", 20 },
	{ 7, "SHA2-256", 32 },
	{ 8, "SHA3-256", 32 },
};

/* Every challenge that waits for its response; as long as there are logins, so bounded by them. */
static struct {
	pthread_mutex_t lock; /* leaf */
	struct list chaps;
} live = { PTHREAD_MUTEX_INITIALIZER, { &live.chaps, &live.chaps } };

static bool refuse(struct key_fault *fault, enum login_status status, const char *why)
{
	*fault = (struct key_fault){ status, why };
	return false;
}

static bool is_live(const uint8_t *challenge, uint32_t len)
{
	struct list *pos;
	bool found = false;

	pthread_mutex_lock(&live.lock);
	list_for_each(pos, &live.chaps) {
		const struct chap *other = list_entry(pos, struct chap, node);

		if (other->challenge_len == len && !memcmp(other->challenge, challenge, len))
			found = true;
	}
	pthread_mutex_unlock(&live.lock);
	return found;
}

/* NULL: unknown, or not to be had (MD5 in FIPS mode). The caller frees it. */
static EVP_MD *fetch(const struct chap_hash *hash)
{
	return EVP_MD_fetch(NULL, hash->name, NULL);
}

/* What it takes to compute responses; zero-initialise, then hasher_init(), then hasher_free(). */
struct hasher {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
};

static bool hasher_init(struct hasher *h, const struct chap_hash *hash)
{
	h->md = fetch(hash);
	h->ctx = EVP_MD_CTX_new();
	return h->md && h->ctx && EVP_MD_get_size(h->md) == hash->len;
}

static void hasher_free(struct hasher *h)
{
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
}

/* out gets as many bytes as the digest has. False: out of memory. */
static bool respond_as(const struct hasher *h, uint8_t identifier, const struct chap_account *who,
		       const uint8_t *challenge, size_t len, uint8_t out[CHAP_DIGEST_MAX])
{
	return EVP_DigestInit_ex2(h->ctx, h->md, NULL) &&
	       EVP_DigestUpdate(h->ctx, &identifier, 1) &&
	       EVP_DigestUpdate(h->ctx, who->secret, who->secret_len) &&
	       EVP_DigestUpdate(h->ctx, challenge, len) && EVP_DigestFinal_ex(h->ctx, out, NULL);
}

static bool available(const struct chap_hash *hash)
{
	EVP_MD *md = fetch(hash);

	EVP_MD_free(md);
	return md != NULL;
}

/* The first algorithm of the list that we have; no number may come twice. */
static const struct chap_hash *choose(struct text_str list)
{
	const struct chap_hash *chosen = NULL;
	uint64_t seen[4] = { 0 };
	struct text_str item;
	uint32_t number;

	while (text_list_next(&list, &item)) {
		if (!text_number(item, &number))
			return NULL;
		if (number > 255)
			continue;
		if (seen[number / 64] >> number % 64 & 1)
			return NULL;
		seen[number / 64] |= UINT64_C(1) << number % 64;
		for (size_t i = 0; i < array_size(hashes) && !chosen; i++) {
			if (hashes[i].number == number && available(&hashes[i]))
				chosen = &hashes[i];
		}
	}
	return chosen;
}

static bool challenge(struct chap *chap, const struct key_set *set, struct text_buf *answer,
		      struct key_fault *fault)
{
	const struct chap_hash *hash = choose(set->value[KEY_CHAP_A]);

	if (!hash)
		return refuse(fault, LOGIN_AUTH_FAILED, "CHAP_A without an algorithm in common");
	if (!chap->random(&chap->identifier, 1) || !chap->random(chap->challenge, hash->len))
		return refuse(fault, LOGIN_TARGET_ERROR, "no random numbers");
	chap->hash = hash;
	chap->challenge_len = hash->len;
	chap->state = CHAP_RESPONSE;
	pthread_mutex_lock(&live.lock);
	list_add_tail(&live.chaps, &chap->node);
	pthread_mutex_unlock(&live.lock);
	text_put_number(answer, key_name(KEY_CHAP_A), hash->number);
	text_put_number(answer, key_name(KEY_CHAP_I), chap->identifier);
	text_put_hex(answer, key_name(KEY_CHAP_C), chap->challenge, chap->challenge_len);
	return true;
}

/* What the initiator has answered, in a form that takes the same time to compare whatever it is. */
struct answer {
	uint8_t name[CHAP_NAME_MAX + 1]; /* zeros behind it */
	uint8_t response[CHAP_DIGEST_MAX];
	bool well_formed;
};

static void read_answer(const struct chap *chap, const struct key_set *set, struct answer *a)
{
	struct text_str name = set->value[KEY_CHAP_N];
	int len = text_binary(set->value[KEY_CHAP_R], a->response, sizeof(a->response));

	static_assert(sizeof(a->name) > TEXT_VALUE_MAX, "CHAP_N is no long value");
	memcpy(a->name, name.s, name.len);
	a->well_formed = name.len > 0 && len == chap->hash->len;
}

/*
 * The user whose name and response these are is stored in *who, NULL: nobody's. The response of
 * every user is computed and every name compared, so that the time tells neither whether there is
 * such a user nor which one it is. False: out of memory.
 */
static bool find_user(const struct chap *chap, const struct answer *a, const struct chap_user **who)
{
	const struct chap_users *users = &chap->users;
	uint8_t expected[CHAP_DIGEST_MAX] = { 0 };
	unsigned int found = users->count;
	struct hasher hasher = { 0 };
	bool ok = hasher_init(&hasher, chap->hash);

	for (unsigned int i = 0; ok && i < users->count; i++) {
		const struct chap_account *account = &users->user[i].account;
		unsigned int differ, mask;

		ok = respond_as(&hasher, chap->identifier, account, chap->challenge,
				chap->challenge_len, expected);
		differ = (unsigned int)CRYPTO_memcmp(a->name, account->user, sizeof(a->name));
		differ |= (unsigned int)CRYPTO_memcmp(a->response, expected, chap->hash->len);
		/* All ones when nothing differs, without a branch. */
		mask = ((differ | -differ) >> 31) - 1;
		found = (found & ~mask) | (i & mask);
	}
	hasher_free(&hasher);
	OPENSSL_cleanse(expected, sizeof(expected));
	*who = a->well_formed && found < users->count ? &users->user[found] : NULL;
	return ok;
}

/* Mutual CHAP: proves who we are, only to an initiator that has done so already. */
static bool prove(const struct chap *chap, const struct chap_account *own,
		  const struct key_set *set, struct text_buf *answer, struct key_fault *fault)
{
	uint8_t theirs[CHAP_CHALLENGE_MAX], response[CHAP_DIGEST_MAX];
	struct hasher hasher = { 0 };
	uint32_t identifier;
	bool ok;
	int len;

	if (!key_present(set, KEY_CHAP_I) || !key_present(set, KEY_CHAP_C))
		return refuse(fault, LOGIN_AUTH_FAILED, "CHAP_I and CHAP_C come together");
	if (!own->user[0])
		return refuse(fault, LOGIN_AUTH_FAILED, "mutual CHAP is not configured");
	if (!text_number(set->value[KEY_CHAP_I], &identifier) || identifier > 255)
		return refuse(fault, LOGIN_AUTH_FAILED, "bad CHAP_I");
	len = text_binary(set->value[KEY_CHAP_C], theirs, sizeof(theirs));
	if (len < 1)
		return refuse(fault, LOGIN_AUTH_FAILED, "bad CHAP_C");
	if (is_live(theirs, (uint32_t)len))
		return refuse(fault, LOGIN_AUTH_FAILED, "CHAP_C is a challenge of ours");
	ok = hasher_init(&hasher, chap->hash) &&
	     respond_as(&hasher, (uint8_t)identifier, own, theirs, (size_t)len, response);
	hasher_free(&hasher);
	if (!ok)
		return refuse(fault, LOGIN_OUT_OF_RESOURCES, "no memory for CHAP");
	text_put(answer, key_name(KEY_CHAP_N), own->user);
	text_put_hex(answer, key_name(KEY_CHAP_R), response, chap->hash->len);
	OPENSSL_cleanse(response, sizeof(response));
	return true;
}

void chap_init(struct chap *chap)
{
	*chap = (struct chap){ .state = CHAP_IDLE };
	list_init(&chap->node);
}

void chap_start(struct chap *chap, const struct chap_users *users,
		bool (*random)(void *out, size_t len))
{
	chap->users = *users;
	chap->random = random;
	chap->state = CHAP_ALGORITHM;
}

static bool respond(struct chap *chap, const struct key_set *set, struct text_buf *answer,
		    struct key_fault *fault)
{
	const struct chap_user *user;
	struct answer said = { 0 };

	read_answer(chap, set, &said);
	if (!find_user(chap, &said, &user))
		return refuse(fault, LOGIN_OUT_OF_RESOURCES, "no memory for CHAP");
	if (!user)
		return refuse(fault, LOGIN_AUTH_FAILED, "CHAP: wrong name or secret");
	if ((key_present(set, KEY_CHAP_I) || key_present(set, KEY_CHAP_C)) &&
	    !prove(chap, &user->mutual, set, answer, fault))
		return false;
	chap_wipe(chap);
	chap->user = user;
	chap->state = CHAP_DONE;
	return true;
}

/* Which keys a state must have and may have besides. */
static const struct chap_rule {
	uint64_t must, may;
	bool (*step)(struct chap *chap, const struct key_set *set, struct text_buf *answer,
		     struct key_fault *fault);
} rules[] = {
#define BIT(key) (UINT64_C(1) << KEY_##key)
	[CHAP_IDLE] = { 0 },
	[CHAP_ALGORITHM] = { BIT(CHAP_A), 0, challenge },
	[CHAP_RESPONSE] = { BIT(CHAP_N) | BIT(CHAP_R), BIT(CHAP_I) | BIT(CHAP_C), respond },
	[CHAP_DONE] = { 0 },
};

bool chap_step(struct chap *chap, const struct key_set *set, bool transit, struct text_buf *answer,
	       struct key_fault *fault)
{
	static const uint64_t all =
		BIT(CHAP_A) | BIT(CHAP_N) | BIT(CHAP_R) | BIT(CHAP_I) | BIT(CHAP_C);
	const struct chap_rule *rule = &rules[chap->state];
	uint64_t keys = set->present & all, missing = rule->must & ~keys;

	if (keys & ~(rule->must | rule->may))
		return refuse(fault, LOGIN_AUTH_FAILED, "CHAP key out of order");
	if (transit && missing == rule->must && chap->state != CHAP_DONE)
		return refuse(fault, LOGIN_AUTH_FAILED, "end of the stage before the end of CHAP");
	if (missing == BIT(CHAP_N))
		return refuse(fault, LOGIN_AUTH_FAILED, "CHAP_R without CHAP_N");
	if (missing)
		return refuse(fault, LOGIN_MISSING_PARAMETER, "CHAP key missing");
	return !rule->step || rule->step(chap, set, answer, fault);
}
#undef BIT

void chap_wipe(struct chap *chap)
{
	pthread_mutex_lock(&live.lock);
	list_del(&chap->node);
	pthread_mutex_unlock(&live.lock);
	OPENSSL_cleanse(chap->challenge, sizeof(chap->challenge));
	chap->challenge_len = 0;
}
