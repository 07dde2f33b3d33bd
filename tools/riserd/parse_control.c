// SPDX-License-Identifier: BSD-2-Clause
/* control { }: where the control socket is, and who may use it. */
#include <grp.h>
#include <string.h>

#include "parse_impl.h"

static const char *set_socket(struct parser *p, const struct key *key, const char *value)
{
	struct config_control *c = &p->config->control;

	(void)key;
	if (value[0] != '/' || strlen(value) >= sizeof(c->socket))
		return "an absolute path of at most 107 bytes";
	memcpy(c->socket, value, strlen(value) + 1);
	return NULL;
}

/* Now, and not when a client comes: it may take its time. */
static const char *set_group(struct parser *p, const struct key *key, const char *value)
{
	struct config_control *c = &p->config->control;
	struct config_group *group = strcmp(key->name, "group") ? &c->admin_group : &c->group;
	const struct group *found = getgrnam(value);

	if (!found || strlen(value) >= sizeof(group->name))
		return "the name of a group that this machine has";
	memcpy(group->name, value, strlen(value) + 1);
	group->gid = found->gr_gid;
	return NULL;
}

const struct key control_keys[] = {
	{ "socket", set_socket, false },
	{ "group", set_group, false },
	{ "admin-group", set_group, false },
	{ 0 },
};
