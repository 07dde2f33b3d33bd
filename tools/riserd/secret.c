// SPDX-License-Identifier: BSD-2-Clause
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool find(const char *name, bool credential, char *path, size_t size, char *why,
		 size_t why_size)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");

	if (!credential) {
		snprintf(path, size, "%s", name);
		return true;
	}
	if (!folder || strchr(name, '/') || name[0] == '.') {
		snprintf(why, why_size, "credential %.64s: %s", name,
			 folder ? "not the name of one"
				: "there are none: systemd gives them by LoadCredential=");
		return false;
	}
	snprintf(path, size, "%s/%s", folder, name);
	return true;
}

static bool take(int fd, const char *path, struct chap_account *out, char *why, size_t why_size)
{
	uint8_t secret[CHAP_SECRET_MAX + 2];
	ssize_t len = read(fd, secret, sizeof(secret));

	if (len < 0) {
		snprintf(why, why_size, "%s: cannot be read: %s", path, strerror(errno));
		return false;
	}
	if (len && secret[len - 1] == '\n')
		len--;
	if (len < CHAP_SECRET_MIN || len > CHAP_SECRET_MAX) {
		snprintf(why, why_size, "%s: the secret has %zd bytes, it must have %d to %d", path,
			 len, CHAP_SECRET_MIN, CHAP_SECRET_MAX);
		OPENSSL_cleanse(secret, sizeof(secret));
		return false;
	}
	memcpy(out->secret, secret, (size_t)len);
	out->secret_len = (uint8_t)len;
	OPENSSL_cleanse(secret, sizeof(secret));
	return true;
}

bool secret_read(const char *name, bool credential, bool check, struct chap_account *out, char *why,
		 size_t why_size)
{
	char path[4200];
	struct stat st;
	bool ok = false;
	int fd;

	if (!find(name, credential, path, sizeof(path), why, why_size))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == EACCES && check) {
		/* Nobody's secret, and so nobody else's. */
		out->secret_len = CHAP_SECRET_MAX;
		return RAND_bytes(out->secret, CHAP_SECRET_MAX) == 1;
	}
	if (fd < 0 || fstat(fd, &st))
		snprintf(why, why_size, "%s: cannot be read: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		snprintf(why, why_size, "%s: is not a regular file", path);
	else if (!credential && st.st_mode & S_IROTH)
		snprintf(why, why_size, "%s: everybody may read it: chmod o-rwx, or better 0600",
			 path);
	else
		ok = take(fd, path, out, why, why_size);
	if (fd >= 0)
		close(fd);
	return ok;
}

void secret_wipe(void *p, size_t len)
{
	OPENSSL_cleanse(p, len);
}

static void wipe_and_free(void *p)
{
	if (p)
		OPENSSL_cleanse(p, malloc_usable_size(p));
	free(p);
}

void secret_guard_json(void)
{
	json_set_alloc_funcs(malloc, wipe_and_free);
}
