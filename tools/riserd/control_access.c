// SPDX-License-Identifier: BSD-2-Clause
/*
 * Who may do what on the control socket: the kernel says who the peer is. root and our own user are
 * administrators; control { group, admin-group } names those who may look, and those who may do all.
 * What the names mean was looked up when the file was read: that may take as long as it likes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"

enum { GROUPS_MAX = 65536 };

/* Every group of the peer; NULL: not known. From malloc(). */
static gid_t *peer_groups(int fd, size_t *count)
{
	gid_t probe, *groups;
	socklen_t len = sizeof(probe);

	*count = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, &probe, &len) &&
	    (errno != ERANGE || len > GROUPS_MAX * sizeof(gid_t)))
		return NULL;
	groups = malloc(len ? len : sizeof(gid_t));
	if (groups && len && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len)) {
		free(groups);
		return NULL;
	}
	*count = groups ? len / sizeof(gid_t) : 0;
	return groups;
}

static bool in_group(const struct config_group *group, gid_t gid, const gid_t *groups, size_t count)
{
	if (!group->name[0])
		return false;
	for (size_t i = 0; i < count; i++) {
		if (groups[i] == group->gid)
			return true;
	}
	return gid == group->gid;
}

static struct config_control groups_now(const struct rpc_context *context)
{
	struct config_control names = { 0 };

	if (!context || !context->live)
		return names;
	live_look(context->live);
	names = live_running(context->live)->control;
	live_look_end(context->live);
	return names;
}

const char *control_way_in(const struct rpc_context *context, enum rpc_level level, char *hint,
			   size_t size)
{
	const struct config_control names = groups_now(context);
	bool admin = level == RPC_ADMIN || !names.group.name[0];
	const struct config_group *group = admin ? &names.admin_group : &names.group;

	if (group->name[0])
		snprintf(hint, size,
			 "be root, or a member of %s, and log in anew: usermod -aG %s USER",
			 group->name, group->name);
	else
		snprintf(hint, size,
			 "be root, or the user of riserd; control { %s = NAME } in riser.conf lets "
			 "a group in",
			 level == RPC_ADMIN ? "admin-group" : "group");
	return hint;
}

bool control_peer_level(struct rpc_context *context, int fd, enum rpc_level *level, uid_t *uid)
{
	struct config_control names;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	bool monitor, admin;
	gid_t *groups;
	size_t count;

	*uid = (uid_t)-1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return false;
	*uid = peer.uid;
	*level = RPC_ADMIN;
	if (!peer.uid || peer.uid == geteuid())
		return true;
	if (!context->live)
		return false;
	names = groups_now(context);
	groups = peer_groups(fd, &count);
	admin = in_group(&names.admin_group, peer.gid, groups, count);
	monitor = in_group(&names.group, peer.gid, groups, count);
	free(groups);
	if (!admin)
		*level = RPC_MONITOR;
	return admin || monitor;
}
