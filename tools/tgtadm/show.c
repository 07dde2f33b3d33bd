// SPDX-License-Identifier: BSD-2-Clause
/* The tree of --op show --mode target, line by line as scripts look for them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tgtadm.h"
#include "tools/riser/out.h"

/* "192.0.2.1:51000" without its port. */
static void print_address(const char *peer)
{
	const char *colon = strrchr(peer, ':');
	int len = colon ? (int)(colon - peer) : (int)strlen(peer);

	if (peer[0] == '[' && len > 2)
		printf("%.*s", len - 2, peer + 1);
	else
		printf("%.*s", len, peer);
}

static void show_session(const json_t *s)
{
	const json_t *connections = json_object_get(s, "connections");
	json_t *c;

	printf("        I_T nexus: %" PRId64 "\n", member_number(s, "tsih"));
	printf("            Initiator: %s alias: none\n", shown(member_text(s, "initiator")));
	each_member(connections, c) {
		printf("            Connection: %" PRId64 "\n                IP Address: ",
		       member_number(c, "cid"));
		print_address(shown(member_text(c, "peer")));
		putchar('\n');
	}
}

/* tgt has a controller at LUN 0, where riserd has none. */
static void show_controller(unsigned int tid)
{
	printf("        LUN: 0\n"
	       "            Type: controller\n"
	       "            SCSI ID: IET     %04x%04x\n"
	       "            SCSI SN: beaf%u0\n"
	       "            Size: 0 MB, Block size: 1\n"
	       "            Online: Yes\n"
	       "            Removable media: No\n"
	       "            Prevent removal: No\n"
	       "            Readonly: No\n"
	       "            SWP: No\n"
	       "            Thin-provisioning: No\n"
	       "            Backing store type: null\n"
	       "            Backing store path: None\n"
	       "            Backing store flags: \n",
	       tid, 0, tid);
}

static const char *yes(bool is)
{
	return is ? "Yes" : "No";
}

static void show_lun(const json_t *l)
{
	const json_t *options = json_object_get(l, "options");
	const char *kind = member_text(l, "kind"), *health = member_text(l, "health");
	const char *path = member_text(l, "path"), *naa = member_text(l, "naa");
	const char *serial = member_text(l, "serial");

	printf("        LUN: %" PRId64 "\n            Type: disk\n", member_number(l, "lun"));
	printf("            SCSI ID: %s\n            SCSI SN: %s\n", shown(*naa ? naa : serial),
	       shown(serial));
	printf("            Size: %" PRId64 " MB, Block size: %" PRId64 "\n",
	       member_number(l, "size") / 1000000, member_number(l, "block_size"));
	printf("            Online: %s\n",
	       yes(strcmp(health, "absent") && strcmp(health, "no-size")));
	printf("            Removable media: %s\n", yes(member_true(options, "removable")));
	printf("            Prevent removal: No\n");
	printf("            Readonly: %s\n", yes(member_true(l, "readonly")));
	printf("            SWP: No\n            Thin-provisioning: Yes\n");
	printf("            Backing store type: %s\n",
	       !strcmp(kind, "file") || !strcmp(kind, "block") ? "rdwr" : shown(kind));
	fputs("            Backing store path: ", stdout);
	out_text(stdout, *path ? path : kind);
	printf("\n            Backing store flags: %s\n",
	       member_true(options, "direct") ? "direct" : "");
}

static void show_accounts(const json_t *target, const json_t *known)
{
	const json_t *users = json_object_get(target, "users");
	const char *outgoing = member_text(known, "outgoing");
	json_t *user;

	puts("    Account information:");
	each_member(users, user) {
		printf("        %s\n", shown(text_value(user)));
	}
	if (*outgoing)
		printf("        %s (outgoing)\n", shown(outgoing));
}

static void show_rule(const char *word)
{
	const char *slash = strchr(word, '/');

	/* One address has no length. */
	const char *text = shown(word);
	int len = (int)strlen(text);

	if (slash && (!strcmp(slash, strchr(word, ':') ? "/128" : "/32")))
		len -= (int)strlen(slash);
	printf("        %.*s\n", len, text);
}

/* As they were given, or as riserd has them. */
static void show_rules(const json_t *target, const json_t *given)
{
	const json_t *allow = json_object_get(target, "allow"), *list = given ? given : allow;
	bool nobody = false;
	json_t *word;

	puts("    ACL information:");
	each_member(allow, word) {
		nobody |= !strcmp(text_value(word), NOBODY);
	}
	/* Names alone mean: from anywhere. */
	if (!given && !nobody && target_from_anywhere(allow))
		puts("        ALL");
	each_member(list, word) {
		const char *text = text_value(word);

		if (strcmp(text, NOBODY) != 0 && strcmp(text, "any") != 0)
			show_rule(text);
	}
}

/* sessions: its own */
static void show_target(struct tgt *t, const json_t *target, const json_t *sessions)
{
	const char *name = member_text(target, "name");
	const json_t *known = memory_target(t, name), *luns = json_object_get(target, "luns");
	const char *given = member_text(known, "name");
	json_t *item;

	printf("Target %" PRId64 ": %s\n", member_number(known, "tid"),
	       shown(*given ? given : name));
	puts("    System information:\n        Driver: iscsi\n        State: ready\n"
	     "    I_T nexus information:");
	each_member(sessions, item) {
		show_session(item);
	}
	puts("    LUN information:");
	if (!find_lun(target, 0))
		show_controller((unsigned int)member_number(known, "tid"));
	each_member(luns, item) {
		show_lun(item);
	}
	show_accounts(target, known);
	show_rules(target, target_given(t, name));
}

struct numbered {
	int64_t tid;
	const json_t *target;
};

static int by_number(const void *a, const void *b)
{
	const struct numbered *x = a, *y = b;

	return (x->tid > y->tid) - (x->tid < y->tid);
}

/* {name of a target: its sessions}, new reference: there may be many of both. */
static json_t *by_target(const json_t *sessions)
{
	json_t *all = json_object(), *s;

	each_member(sessions, s) {
		const char *name = member_text(s, "target");

		if (!json_object_get(all, name))
			json_object_set_new(all, name, json_array());
		json_array_append(json_object_get(all, name), s);
	}
	return all;
}

/* By number, as tgt has them. */
int target_show_all(struct tgt *t)
{
	json_t *sessions = NULL, *index, *target;
	struct numbered *all;
	size_t count = 0;
	int status = ask(t, "session.list", NULL, &sessions);

	if (status)
		return status;
	index = by_target(sessions);
	all = calloc(json_array_size(t->targets) + 1, sizeof(*all));
	each_member(t->targets, target) {
		const char *name = member_text(target, "name");

		if (all)
			all[count++] =
				(struct numbered){ member_number(memory_target(t, name), "tid"),
						   target };
	}
	if (count)
		qsort(all, count, sizeof(*all), by_number);
	for (size_t i = 0; i < count; i++)
		show_target(t, all[i].target,
			    json_object_get(index, member_text(all[i].target, "name")));
	free(all);
	json_decref(index);
	json_decref(sessions);
	return DONE;
}
