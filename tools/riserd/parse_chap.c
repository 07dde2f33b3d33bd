// SPDX-License-Identifier: BSD-2-Clause
/* Users and their secrets in the configuration file. */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parse_impl.h"
#include "secret.h"
#include "tree.h"

static const char *take_secret(struct parser *p, struct chap_account *a, const char *value,
			       bool credential)
{
	char why[CONFIG_WHY];

	if (a->secret_len)
		return "the only secret: secret-file or credential, not both";
	if (secret_read(value, credential, p->check, a, why, sizeof(why)))
		return NULL;
	parse_fail(p, p->line, "%s", why);
	return ""; /* parse_fail() has said it */
}

/* As the state file has it: two digits a byte. libconfuse keeps copies of what it reads, so it gets the place of
 * the secret. */
static const char *set_hex(struct parser *p, const struct key *key, const char *place)
{
	bool mutual = key->name[0] == 'm';
	struct chap_account *a = mutual ? &p->chap.user.mutual : &p->chap.user.account;
	const char *value = json_string_value(tree_secret(p->secrets, place));
	size_t len = value ? strlen(value) / 2 : 0;

	if (!p->ours) {
		parse_fail(p, p->line,
			   "%s: is for riserd itself; secrets stand in files of their "
			   "own, see secret-file",
			   key->name);
		return "";
	}
	if (!value || a->secret_len || strlen(value) % 2 || len < CHAP_SECRET_MIN ||
	    len > CHAP_SECRET_MAX || strspn(value, "0123456789abcdef") != 2 * len) {
		/* Without the value. */
		parse_fail(p, p->line, "%s: a secret has %d to %d bytes", key->name,
			   CHAP_SECRET_MIN, CHAP_SECRET_MAX);
		return "";
	}
	for (size_t i = 0; i < len; i++) {
		char digits[3] = { value[2 * i], value[2 * i + 1], '\0' };

		a->secret[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	a->secret_len = (uint8_t)len;
	return NULL;
}

static const char *set_secret(struct parser *p, const struct key *key, const char *value)
{
	bool mutual = !strncmp(key->name, "mutual-", 7);
	const char *kind = key->name + (mutual ? 7 : 0);

	return take_secret(p, mutual ? &p->chap.user.mutual : &p->chap.user.account, value,
			   !strcmp(kind, "credential"));
}

static bool is_user(const char *name)
{
	json_t *text = json_string(name);
	size_t len = text ? strlen(name) : 0; /* of what is UTF-8, as iSCSI has it */

	json_decref(text);
	for (size_t i = 0; i < len; i++) {
		if (iscntrl((unsigned char)name[i]))
			return false;
	}
	return len >= 1 && len <= CHAP_NAME_MAX;
}

static const char *set_mutual(struct parser *p, const struct key *key, const char *value)
{
	(void)key;
	if (!is_user(value))
		return "a name of 1 to 255 bytes without control characters";
	snprintf(p->chap.user.mutual.user, sizeof(p->chap.user.mutual.user), "%s", value);
	return NULL;
}

const struct key chap_keys[] = {
	{ "secret-file", set_secret, false },
	{ "credential", set_secret, false },
	{ "mutual", set_mutual, false },
	{ "mutual-secret-file", set_secret, false },
	{ "mutual-credential", set_secret, false },
	{ "secret-hex", set_hex, false },
	{ "mutual-secret-hex", set_hex, false },
	{ 0 },
};

bool parse_chap_end(struct parser *p, const char *title, unsigned int line)
{
	struct config_users *users = &p->chap.users;
	struct chap_user *user = &p->chap.user;

	if (!is_user(title))
		parse_fail(p, line,
			   "chap: a user's name has 1 to %d bytes and no control characters",
			   CHAP_NAME_MAX);
	else if (!user->account.secret_len)
		parse_fail(p, line, "chap %s: has no secret-file or credential", title);
	else if (!user->mutual.user[0] != !user->mutual.secret_len)
		parse_fail(p, line,
			   "chap %s: mutual needs mutual-secret-file or mutual-credential, "
			   "and they need it",
			   title);
	else if (users->count == CHAP_USERS_MAX)
		parse_fail(p, line, "more than %d chap users of one target", CHAP_USERS_MAX);
	if (!users->user)
		users->user = calloc(CHAP_USERS_MAX, sizeof(*users->user));
	if (!users->user)
		parse_fail(p, line, "out of memory");
	if (!p->failed) {
		snprintf(user->account.user, sizeof(user->account.user), "%s", title);
		users->user[users->count++] = *user;
	}
	secret_wipe(user, sizeof(*user));
	p->chap.seen = 0;
	return !p->failed;
}
