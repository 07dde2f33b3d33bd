// SPDX-License-Identifier: BSD-2-Clause
#include "core/log_journal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

enum { ENTRY_MAX = 4096 };

struct entry {
	char text[ENTRY_MAX];
	size_t len;
};

/* What does not fit is left out as a whole: a name that is cut would be another one. */
static void add(struct entry *e, const char *key, const char *value)
{
	size_t room = sizeof(e->text) - e->len;
	int n = snprintf(e->text + e->len, room, "%s=%s\n", key, value);

	if (n < 0 || (size_t)n >= room)
		return;
	/* A line break in it would begin a field that nobody has given. */
	for (size_t i = e->len; i + 1 < e->len + (size_t)n; i++) {
		if ((unsigned char)e->text[i] < 0x20 || e->text[i] == 0x7f)
			e->text[i] = ' ';
	}
	e->len += (size_t)n;
}

static void add_text(struct entry *e, const char *key, const char *value)
{
	if (value && value[0])
		add(e, key, value);
}

static void add_number(struct entry *e, const char *key, unsigned int value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	add(e, key, text);
}

/* One for all threads, for ever; -1: there is none. */
static int journal_fd(void)
{
	static _Atomic int known; /* the descriptor + 1 */
	int fd = known - 1, none = 0;

	if (fd >= 0)
		return fd;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || atomic_compare_exchange_strong(&known, &none, fd + 1))
		return fd;
	close(fd); /* another thread was faster */
	return none - 1;
}

static bool send_entry(const struct entry *e)
{
	const char *path = getenv("RISER_JOURNAL_SOCKET"); /* for tests */
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = journal_fd();
	ssize_t sent;

	path = path ? path : JOURNAL_SOCKET;
	if (fd < 0 || strlen(path) >= sizeof(to.sun_path))
		return false;
	memcpy(to.sun_path, path, strlen(path) + 1);
	do {
		sent = sendto(fd, e->text, e->len, MSG_DONTWAIT | MSG_NOSIGNAL,
			      (const struct sockaddr *)&to, sizeof(to));
	} while (sent < 0 && errno == EINTR);
	return sent >= 0;
}

bool log_journal_send(enum log_level level, const char *text, const struct log_about *about)
{
	struct entry e = { .len = 0 };

	add(&e, "MESSAGE", text);
	add_number(&e, "PRIORITY", (unsigned int)level);
	add(&e, "SYSLOG_IDENTIFIER", program_invocation_short_name);
	if (about) {
		add_text(&e, "RISER_TARGET", about->target);
		add_text(&e, "RISER_INITIATOR", about->initiator);
		add_text(&e, "RISER_FROM", about->from);
		add_text(&e, "RISER_REASON", about->reason);
		if (about->session)
			add_number(&e, "RISER_SESSION", about->session);
		if (about->has_lun)
			add_number(&e, "RISER_LUN", about->lun);
	}
	return send_entry(&e);
}
