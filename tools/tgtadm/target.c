// SPDX-License-Identifier: BSD-2-Clause
/* --mode target */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "tgtadm.h"
#include "tools/riser/import.h"

enum { CLOSING_S = 60 };

static bool known_driver(const char *lld)
{
	return !lld || !strcmp(lld, "iscsi") || !strcmp(lld, "iser");
}

/* *moves: who has this number only because everybody has one, and gives way. */
static bool is_free(struct tgt *t, unsigned int tid, const char **moves)
{
	const char *name;
	json_t *known;

	json_object_foreach(json_object_get(t->memory, "targets"), name, known)
	{
		if (member_number(known, "tid") != (int64_t)tid)
			continue;
		if (json_object_get(known, "name"))
			return false;
		*moves = name;
	}
	return true;
}

static void move(struct tgt *t, const char *name)
{
	char *key = strdup(name);

	if (key) {
		json_object_del(json_object_get(t->memory, "targets"), key);
		memory_target(t, key);
	}
	free(key);
}

/* Takes the rules. */
static void remember_rules(struct tgt *t, const char *name, json_t *acl)
{
	json_t *known = memory_target(t, name);

	json_object_set_new(known, "acl", acl);
	json_object_set(known, "allow", json_object_get(find_target(t, name), "allow"));
}

const json_t *target_given(struct tgt *t, const char *name)
{
	const json_t *known = memory_target(t, name);

	return json_equal(json_object_get(known, "allow"),
			  json_object_get(find_target(t, name), "allow"))
		       ? json_object_get(known, "acl")
		       : NULL;
}

int target_new(struct tgt *t)
{
	const struct options *o = &t->o;
	const char *moves = NULL;
	json_t *known;
	int status;

	if (!o->tid_text)
		return complain(t, "'tid' option is necessary");
	if (!o->tid)
		return complain(t, "'tid' cannot be 0");
	if (!o->targetname)
		return complain(t, "creating new target requires a name, use --targetname");
	if (!known_driver(o->lld))
		return complain(t, "can't find the driver");
	if (find_target(t, o->targetname))
		return complain(t, "this target already exists");
	if (!is_free(t, o->tid, &moves))
		return complain(t, "this target already exists");
	/* Closed, until somebody is let in. */
	status = change(t, "target.create",
			json_pack("{s:s, s:[s]}", "target", o->targetname, "allow", NOBODY), false,
			NULL);
	if (status)
		return status;
	known = memory_target(t, o->targetname);
	memory_number(t, o->targetname, o->tid);
	json_object_set_new(known, "name", json_string(o->targetname));
	remember_rules(t, o->targetname, json_array());
	if (moves)
		move(t, moves);
	return memory_save(t) ? DONE : REFUSED;
}

/* Its connections were closed by hand a moment ago: initiators that came back since are not asked. */
static bool is_closing(json_t *known)
{
	int64_t closed = member_number(known, "closed");

	return closed && time(NULL) - closed <= CLOSING_S;
}

int target_delete(struct tgt *t)
{
	const char *name = target_name(t);
	const json_t *target = name ? find_target(t, name) : NULL;
	json_t *known;
	int status;

	if (!name)
		return REFUSED;
	known = memory_target(t, name);
	if (member_number(target, "sessions") && !t->o.force && !is_closing(known))
		return complain(t, "this target is still active");
	status = change(t, "target.delete", json_pack("{s:s}", "target", name), true, NULL);
	if (status)
		return status;
	json_object_del(json_object_get(t->memory, "targets"), name);
	return memory_save(t) ? DONE : REFUSED;
}

/* --- Who may log in */

/* For riserd `any` is any name, also beside addresses; ALL is any address. */
bool target_from_anywhere(const json_t *allow)
{
	json_t *word;

	each_member(allow, word) {
		if (strchr(text_value(word), '/'))
			return false;
	}
	return true;
}

/* One rule of riserd's as tgt has it; NULL: tgt has none for it. */
static json_t *rule_of(const char *text, bool anywhere)
{
	const char *slash = strchr(text, '/');

	if (!strcmp(text, NOBODY) || (!strcmp(text, "any") && !anywhere))
		return NULL;
	/* One address has no length. */
	if (slash && !strcmp(slash, strchr(text, ':') ? "/128" : "/32"))
		return json_stringn(text, (size_t)(slash - text));
	return json_string(strcmp(text, "any") ? text : "ALL");
}

/* The rules as they were given, or else what riserd says. New reference. */
static json_t *rules(struct tgt *t, const char *name)
{
	const json_t *given = target_given(t, name), *allow;
	json_t *acl, *word;

	if (given)
		return json_deep_copy(given);
	acl = json_array();
	allow = json_object_get(find_target(t, name), "allow");
	each_member(allow, word) {
		json_t *rule = rule_of(text_value(word), target_from_anywhere(allow));

		if (rule)
			json_array_append_new(acl, rule);
	}
	return acl;
}

/* tgt lets in who has one of the names, if there are any, and one of the addresses. What tgtadm has no word
 * for is riserd's, as names with '*', and stays: without it others could come in. */
static json_t *allow_of(const json_t *acl)
{
	struct import im = { 0 };
	struct import_target target = { 0 };
	json_t *allow = json_array(), *word;

	each_member(acl, word) {
		if (!import_allow(&im, &target, text_value(word)))
			json_array_append(allow, word);
	}
	for (size_t i = 0; i < target.name_count; i++)
		json_array_append_new(allow, json_string(target.names[i]));
	for (size_t i = 0; i < target.address_count && !target.any; i++)
		json_array_append_new(allow, json_string(target.addresses[i]));
	if (!json_array_size(allow))
		json_array_append_new(allow, json_string(target.any ? "any" : NOBODY));
	import_free(&im);
	return allow;
}

static bool is_rule(const char *word)
{
	struct import im = { 0 };
	struct import_target target = { 0 };
	bool is = import_allow(&im, &target, word);

	import_free(&im);
	return is;
}

static size_t find_rule(const json_t *acl, const char *word)
{
	size_t i = 0;

	while (i < json_array_size(acl) &&
	       strcasecmp(text_value(json_array_get(acl, i)), word) != 0)
		i++;
	return i;
}

/* Those of the command line: an address, a name, or both. */
static bool given_rules(struct tgt *t, const char *words[2])
{
	words[0] = t->o.address;
	words[1] = t->o.initiator;
	if (!words[0] && !words[1])
		complain(t, "bind operation requires initiator-address, initiator-name or bus");
	return words[0] || words[1];
}

int target_allow(struct tgt *t, const char *name, const json_t *acl, bool force)
{
	bool busy;
	int status = change(t, "target.set",
			    json_pack("{s:s, s:o}", "target", name, "allow", allow_of(acl)), force,
			    &busy);

	if (busy)
		complain(t, "this target is still active: initiators that are logged in could not "
			    "log in any more: --force ends their sessions");
	if (status)
		return status;
	remember_rules(t, name, json_deep_copy(acl));
	return memory_save(t) ? DONE : REFUSED;
}

/* ALL and addresses are no names: nobody would come in by them in tgt. */
static int add_rule(struct tgt *t, json_t *acl, const char *word, bool name)
{
	if (!word)
		return DONE;
	if (name ? !import_is_name(word) : !is_rule(word))
		return complain(t,
				name ? "invalid request: %s: is no iSCSI name"
				     : "invalid request: %s: neither ALL, nor an address, a "
				       "network or an iSCSI name",
				word);
	if (find_rule(acl, word) < json_array_size(acl))
		return complain(t, "this access control rule already exists");
	json_array_append_new(acl, json_string(word));
	return DONE;
}

static int target_bind(struct tgt *t)
{
	const char *name = target_name(t), *words[2];
	json_t *acl;
	int status;

	if (!name || !given_rules(t, words))
		return REFUSED;
	acl = rules(t, name);
	status = add_rule(t, acl, words[0], false);
	if (!status)
		status = add_rule(t, acl, words[1], true);
	if (!status)
		status = target_allow(t, name, acl, t->o.force);
	json_decref(acl);
	return status;
}

static int target_unbind(struct tgt *t)
{
	const char *name = target_name(t), *words[2];
	int status = DONE;
	json_t *acl;

	if (!name || !given_rules(t, words))
		return REFUSED;
	acl = rules(t, name);
	for (size_t i = 0; i < 2 && !status; i++) {
		size_t at = words[i] ? find_rule(acl, words[i]) : 0;

		if (words[i] && json_array_remove(acl, at))
			status = complain(t, "this access control rule does not exist");
	}
	/* Whoever is not allowed any more goes now, not when it logs in the next time. */
	if (!status)
		status = target_allow(t, name, acl, true);
	json_decref(acl);
	return status;
}

/* --- Parameters */

static const char *const login_keys[] = {
	"nop_interval",
	"nop_count",
	"MaxRecvDataSegmentLength",
	"HeaderDigest",
	"DataDigest",
	"InitialR2T",
	"MaxOutstandingR2T",
	"ImmediateData",
	"FirstBurstLength",
	"MaxBurstLength",
	"DataPDUInOrder",
	"DataSequenceInOrder",
	"ErrorRecoveryLevel",
	"IFMarker",
	"OFMarker",
	"DefaultTime2Wait",
	"DefaultTime2Retain",
	"OFMarkInt",
	"IFMarkInt",
	"MaxConnections",
	"RDMAExtensions",
	"TargetRecvDataSegmentLength",
	"InitiatorRecvDataSegmentLength",
	"MaxOutstandingUnexpectedPDUs",
	"MaxXmitDataSegmentLength",
	"MaxQueueCmd",
};

static int target_update(struct tgt *t)
{
	const struct options *o = &t->o;

	if (!target_name(t))
		return REFUSED;
	if (!o->name || !o->value)
		return complain(t, "update operation requires 'name' and 'value' options");
	if (!strcmp(o->name, "state") &&
	    (!strcmp(o->value, "ready") || !strcmp(o->value, "running")))
		return DONE;
	for (size_t i = 0; i < sizeof(login_keys) / sizeof(login_keys[0]); i++) {
		if (strcmp(login_keys[i], o->name) != 0)
			continue;
		tell(t, "%s: is not set: riserd negotiates it by itself", o->name);
		return DONE;
	}
	return complain(t, "invalid request: riserd has no parameter %s of that value", o->name);
}

static int target_show(struct tgt *t)
{
	if (!t->o.tid_text)
		return target_show_all(t);
	if (!target_name(t))
		return REFUSED;
	puts("# riserd negotiates login parameters by itself: riser.conf(5)");
	return DONE;
}

static int target_stat(struct tgt *t)
{
	const char *name = target_name(t);
	const json_t *luns, *stats;
	json_t *l;

	if (!name)
		return REFUSED;
	luns = json_object_get(find_target(t, name), "luns");
	puts("tgt lun sid rd_subm(bytes,cmds) rd_done(bytes,cmds) wr_subm(bytes,cmds) "
	     "wr_done(bytes,cmds) errs");
	each_member(luns, l) {
		long long read, reads, written, writes;

		stats = json_object_get(l, "stats");
		read = member_number(stats, "read_bytes");
		reads = member_number(stats, "reads");
		written = member_number(stats, "write_bytes");
		writes = member_number(stats, "writes");
		/* All sessions together; what is done has been submitted. */
		printf("%3u %3lld %3u %12lld %6lld %12lld %6lld %12lld %6lld %12lld %6lld %4lld\n",
		       t->o.tid, (long long)member_number(l, "lun"), 0, read, reads, read, reads,
		       written, writes, written, writes,
		       (long long)(member_number(stats, "read_errors") +
				   member_number(stats, "write_errors")));
	}
	return DONE;
}

const struct verb target_verbs[] = {
	{ "new", "target", target_new },       { "delete", "target", target_delete },
	{ "show", "target", target_show },     { "bind", "target", target_bind },
	{ "unbind", "target", target_unbind }, { "update", "target", target_update },
	{ "stat", "target", target_stat },     { 0 },
};
