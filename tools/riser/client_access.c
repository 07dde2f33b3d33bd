// SPDX-License-Identifier: BSD-2-Clause
/* Who may not use the socket is told what group would let him in, and how to come into it. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client_impl.h"

enum { GROUPS_MAX = 4096 };

/* "alice", or "user 1000" if nobody knows the number. */
static const char *user_name(char *buf, size_t size)
{
	const struct passwd *me = getpwuid(geteuid());

	if (me && *me->pw_name)
		snprintf(buf, size, "%s", me->pw_name);
	else
		snprintf(buf, size, "user %u", (unsigned int)geteuid());
	return buf;
}

/* A group that somebody has been put into counts from the next login on. */
static bool is_member(const char *user, gid_t gid)
{
	static gid_t groups[GROUPS_MAX];
	const struct passwd *me = getpwuid(geteuid());
	int count = GROUPS_MAX;

	if (!me || getgrouplist(user, me->pw_gid, groups, &count) < 0)
		return false;
	for (int i = 0; i < count; i++) {
		if (groups[i] == gid)
			return true;
	}
	return false;
}

/* The first on the way to the socket, and the socket itself, that we may not use: 0 if there is none that can
 * be seen. */
static size_t closed_part(const char *path, struct stat *st)
{
	char part[4096];
	size_t len = *path == '/';

	for (; path[len]; len++) {
		len += strcspn(path + len, "/");
		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		if (len < sizeof(part) && !stat(part, st) &&
		    access(part, S_ISDIR(st->st_mode) ? X_OK : W_OK))
			return len;
		if (!path[len])
			break;
	}
	return 0;
}

void client_no_access(const char *path, char *message, size_t message_size, char *hint,
		      size_t hint_size)
{
	char name[64], number[24];
	const char *user = user_name(name, sizeof(name)), *group_name = number;
	const struct group *group;
	struct stat st;
	size_t len = closed_part(path, &st);
	mode_t needed = len && S_ISDIR(st.st_mode) ? S_IXGRP : S_IWGRP;

	snprintf(message, message_size, "%s may not use %s", user, path);
	snprintf(hint, hint_size, "be root, or in a group of control { } in riser.conf");
	if (!len)
		return;
	group = getgrgid(st.st_gid);
	snprintf(number, sizeof(number), "%u", (unsigned int)st.st_gid);
	if (group && *group->gr_name)
		group_name = group->gr_name;
	if (!(st.st_mode & needed) || !st.st_gid)
		snprintf(hint, hint_size, "be root: %.*s is for its owner alone", (int)len, path);
	else if (is_member(user, st.st_gid))
		snprintf(hint, hint_size,
			 "%.*s is for the group %s: %s is in it since the last login, so log in "
			 "anew, or: newgrp %s",
			 (int)len, path, group_name, user, group_name);
	else
		snprintf(hint, hint_size,
			 "%.*s is for the group %s: as root usermod -aG %s %s, and log in anew",
			 (int)len, path, group_name, group_name, user);
}

/* riserd knows the number of who asks, and no names. */
void client_name_user(json_t *error)
{
	static const char end[] = " USER";
	json_t *data = json_object_get(error, "data");
	const char *hint = member_text(data, "hint");
	size_t len = strlen(hint);
	char name[64];

	if (len < sizeof(end) || strcmp(hint + len - (sizeof(end) - 1), end) != 0)
		return;
	json_object_set_new(data, "hint",
			    json_sprintf("%.*s %s", (int)(len - (sizeof(end) - 1)), hint,
					 user_name(name, sizeof(name))));
}
