// SPDX-License-Identifier: BSD-2-Clause
/* CHAP: see chap.h. */
#include "session/chap.h"

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

/* out gets hash->len bytes. False: out of memory, or OpenSSL has lost the algorithm. */
static bool digest(const struct chap_hash *hash, uint8_t identifier, const struct chap_account *who,
		   const uint8_t *challenge, size_t challenge_len, uint8_t out[CHAP_DIGEST_MAX])
{
	EVP_MD *md = fetch(hash);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok;

	ok = md && ctx && EVP_MD_get_size(md) == hash->len && EVP_DigestInit_ex2(ctx, md, NULL) &&
	     EVP_DigestUpdate(ctx, &identifier, 1) &&
	     EVP_DigestUpdate(ctx, who->secret, who->secret_len) &&
	     EVP_DigestUpdate(ctx, challenge, challenge_len) && EVP_DigestFinal_ex(ctx, out, NULL);
	EVP_MD_CTX_free(ctx);
	EVP_MD_free(md);
	return ok;
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

static bool name_matches(struct text_str name, const struct chap_account *account)
{
	size_t len = strlen(account->user);

	return name.len == len && !CRYPTO_memcmp(name.s, account->user, len);
}

/* The same work for any name and any response. */
static bool verify(struct chap *chap, const struct key_set *set, struct key_fault *fault)
{
	uint8_t expected[CHAP_DIGEST_MAX], got[CHAP_DIGEST_MAX] = { 0 };
	int got_len = text_binary(set->value[KEY_CHAP_R], got, sizeof(got));
	bool ok = digest(chap->hash, chap->identifier, chap->peer, chap->challenge,
			 chap->challenge_len, expected);
	bool matches;

	if (!ok)
		return refuse(fault, LOGIN_OUT_OF_RESOURCES, "no memory for CHAP");
	matches = name_matches(set->value[KEY_CHAP_N], chap->peer);
	matches &= got_len == chap->hash->len;
	matches &= !CRYPTO_memcmp(got, expected, chap->hash->len);
	OPENSSL_cleanse(expected, sizeof(expected));
	return matches || refuse(fault, LOGIN_AUTH_FAILED, "CHAP: wrong name or secret");
}

/* Mutual CHAP: proves who we are, only to an initiator that has done so already. */
static bool prove(struct chap *chap, const struct key_set *set, struct text_buf *answer,
		  struct key_fault *fault)
{
	uint8_t theirs[CHAP_CHALLENGE_MAX], response[CHAP_DIGEST_MAX];
	uint32_t identifier;
	int len;

	if (!key_present(set, KEY_CHAP_I) || !key_present(set, KEY_CHAP_C))
		return refuse(fault, LOGIN_AUTH_FAILED, "CHAP_I and CHAP_C come together");
	if (!chap->own->user[0])
		return refuse(fault, LOGIN_AUTH_FAILED, "mutual CHAP is not configured");
	if (!text_number(set->value[KEY_CHAP_I], &identifier) || identifier > 255)
		return refuse(fault, LOGIN_AUTH_FAILED, "bad CHAP_I");
	len = text_binary(set->value[KEY_CHAP_C], theirs, sizeof(theirs));
	if (len < 1)
		return refuse(fault, LOGIN_AUTH_FAILED, "bad CHAP_C");
	if (is_live(theirs, (uint32_t)len))
		return refuse(fault, LOGIN_AUTH_FAILED, "CHAP_C is a challenge of ours");
	if (!digest(chap->hash, (uint8_t)identifier, chap->own, theirs, (size_t)len, response))
		return refuse(fault, LOGIN_OUT_OF_RESOURCES, "no memory for CHAP");
	text_put(answer, key_name(KEY_CHAP_N), chap->own->user);
	text_put_hex(answer, key_name(KEY_CHAP_R), response, chap->hash->len);
	OPENSSL_cleanse(response, sizeof(response));
	return true;
}

void chap_init(struct chap *chap)
{
	*chap = (struct chap){ .state = CHAP_IDLE };
	list_init(&chap->node);
}

void chap_start(struct chap *chap, const struct chap_account *peer, const struct chap_account *own,
		bool (*random)(void *out, size_t len))
{
	chap->peer = peer;
	chap->own = own;
	chap->random = random;
	chap->state = CHAP_ALGORITHM;
}

static bool respond(struct chap *chap, const struct key_set *set, struct text_buf *answer,
		    struct key_fault *fault)
{
	if (!verify(chap, set, fault))
		return false;
	if ((key_present(set, KEY_CHAP_I) || key_present(set, KEY_CHAP_C)) &&
	    !prove(chap, set, answer, fault))
		return false;
	chap_wipe(chap);
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
