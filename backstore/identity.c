// SPDX-License-Identifier: BSD-2-Clause
/* Unit serial numbers: given, or derived so that they are the same after a restart. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

enum { SERIAL_BYTES = 16 };

/* Two machines that serve a disk of the same name must not offer it as the same disk. */
static size_t machine_id(char *out, size_t size)
{
	int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, size) : -1;

	if (fd >= 0)
		close(fd);
	if (n > 0)
		return (size_t)n;
	memset(out, 0, size);
	return gethostname(out, size - 1) == 0 ? strlen(out) : 0;
}

static void hash(char serial[37], const char *text)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char input[64 + 4352] = { 0 };
	size_t len = machine_id(input, 64);

	/* The machine id ends with a newline, so the parts cannot run into each other. */
	len += (size_t)snprintf(input + len, sizeof(input) - len, "%s", text);
	if (len > sizeof(input) - 1)
		len = sizeof(input) - 1;
	/* Fails only without memory; an all-zero serial would still be refused as a duplicate. */
	if (!EVP_Digest(input, len, digest, NULL, EVP_sha256(), NULL))
		memset(digest, 0, sizeof(digest));
	for (int i = 0; i < SERIAL_BYTES; i++)
		snprintf(serial + 2 * i, 3, "%02x", digest[i]);
}

void bs_set_serial(struct backstore *bs, const struct bs_spec *spec, const char *text)
{
	if (spec->serial[0])
		memcpy(bs->serial, spec->serial, sizeof(bs->serial));
	else
		hash(bs->serial, text);
}

void bs_set_serial_by_order(struct backstore *bs, const struct bs_spec *spec, const char *text)
{
	char scoped[512];

	snprintf(scoped, sizeof(scoped), "%s of %s", text, spec->scope);
	bs_set_serial(bs, spec, scoped);
	for (int i = 2; !spec->serial[0] && bs_find_serial(bs->serial); i++) {
		snprintf(scoped, sizeof(scoped), "%s number %d of %s", text, i, spec->scope);
		hash(bs->serial, scoped);
	}
}
