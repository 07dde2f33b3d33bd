// SPDX-License-Identifier: BSD-2-Clause
/* Who may log in: --chap, --chap-mutual and the same for discovery. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

/* USER:FILE; the file holds the secret, one newline at its end does not count. */
static int parse_account(const char *opt, const char *text, struct chap_account *a)
{
	uint8_t secret[CHAP_SECRET_MAX + 2];
	const char *colon = strchr(text, ':');
	ssize_t len;
	int fd;

	if (!colon || colon == text || !colon[1] || (size_t)(colon - text) > CHAP_NAME_MAX)
		return complain("%s %s: not USER:FILE, with 1 to %d bytes of USER", opt, text,
				CHAP_NAME_MAX);
	for (const char *c = text; c < colon; c++) {
		if (iscntrl((unsigned char)*c))
			return complain("%s %s: USER has a control character", opt, text);
	}
	fd = open(colon + 1, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return complain("%s %s: cannot read %s: %s", opt, text, colon + 1, strerror(errno));
	len = read(fd, secret, sizeof(secret));
	close(fd);
	if (len < 0)
		return complain("%s %s: cannot read %s: %s", opt, text, colon + 1, strerror(errno));
	if (len && secret[len - 1] == '\n')
		len--;
	if (len < CHAP_SECRET_MIN || len > CHAP_SECRET_MAX)
		return complain("%s %s: the secret in %s has %zd bytes, it must have %d to %d", opt,
				text, colon + 1, len, CHAP_SECRET_MIN, CHAP_SECRET_MAX);
	*a = (struct chap_account){ .secret_len = (uint8_t)len };
	memcpy(a->user, text, (size_t)(colon - text));
	memcpy(a->secret, secret, (size_t)len);
	OPENSSL_cleanse(secret, sizeof(secret));
	return 0;
}

int options_add_user(struct option_users *users, const char *opt, const char *text)
{
	struct chap_user *user;
	int status;

	if (!users->user)
		users->user = calloc(CHAP_USERS_MAX, sizeof(*users->user));
	if (!users->user)
		return complain("%s %s: out of memory", opt, text);
	if (users->count == CHAP_USERS_MAX)
		return complain("%s %s: more than %d users", opt, text, CHAP_USERS_MAX);
	user = &users->user[users->count];
	status = parse_account(opt, text, &user->account);
	if (status)
		return status;
	for (unsigned int i = 0; i < users->count; i++) {
		if (!strcmp(users->user[i].account.user, user->account.user))
			return complain("%s %s: %s is given twice", opt, text, user->account.user);
	}
	users->count++;
	return 0;
}

/* Of the user before it; in front of all, of those without one of their own. */
int options_add_mutual(struct option_users *users, const char *opt, const char *text)
{
	struct chap_account *own =
		users->count ? &users->user[users->count - 1].mutual : &users->mutual;

	if (own->user[0])
		return complain("%s %s: the second one %s%s", opt, text,
				users->count ? "for " : "in front of every user",
				users->count ? users->user[users->count - 1].account.user : "");
	return parse_account(opt, text, own);
}

/* What an initiator proves itself with must not be what we prove ourselves with: anybody could have
 * us answer our own challenge. */
static int check_directions(const struct option_users *theirs, const char *opt,
			    const struct option_users *ours, const char *mutual_opt)
{
	for (unsigned int i = 0; i < theirs->count; i++) {
		const struct chap_account *a = &theirs->user[i].account;

		for (unsigned int j = 0; j < ours->count; j++) {
			const struct chap_account *b = &ours->user[j].mutual;

			if (!b->user[0] || a->secret_len != b->secret_len ||
			    CRYPTO_memcmp(a->secret, b->secret, a->secret_len) != 0)
				continue;
			return complain("%s %s: its secret is that of %s %s too; write another one "
					"into its file: each direction needs secrets of its own",
					mutual_opt, b->user, opt, a->user);
		}
	}
	return 0;
}

static int settle_mutual(struct option_users *users, const char *opt)
{
	bool used = !users->mutual.user[0];

	if (!used && !users->count)
		return complain("%s-mutual: needs %s too", opt, opt);
	for (unsigned int i = 0; i < users->count; i++) {
		if (users->user[i].mutual.user[0])
			continue;
		users->user[i].mutual = users->mutual;
		used = true;
	}
	if (!used)
		return complain("%s-mutual %s: is for nobody: every %s has one behind it; leave it "
				"out",
				opt, users->mutual.user, opt);
	return 0;
}

int options_check_users(struct options *o)
{
	struct option_users *lists[] = { &o->chap, &o->discovery_chap };
	static const char *const opts[] = { "--chap", "--discovery-chap" };
	static const char *const mutual_opts[] = { "--chap-mutual", "--discovery-chap-mutual" };
	int status = 0;

	for (int i = 0; i < 2 && !status; i++)
		status = settle_mutual(lists[i], opts[i]);
	for (int i = 0; i < 4 && !status; i++)
		status = check_directions(lists[i / 2], opts[i / 2], lists[i % 2],
					  mutual_opts[i % 2]);
	return status;
}

void options_free_users(struct option_users *users)
{
	if (users->user)
		OPENSSL_cleanse(users->user, CHAP_USERS_MAX * sizeof(*users->user));
	free(users->user);
	OPENSSL_cleanse(users, sizeof(*users));
}
