// SPDX-License-Identifier: BSD-2-Clause
/* tgt-admin: makes, renews and deletes targets as targets.conf says, the way OpenStack Cinder asks for it. */
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tgtadm.h"
#include "tools/riser/import.h"
#include "tools/riser/out.h"

#define CONFIG "/etc/tgt/targets.conf"

struct admin {
	struct tgt *t;
	const char *config, *update, *delete_what;
	bool show, execute, dump, force, pretend, verbose, ignore_errors;
};

static const struct option long_options[] = {
	{ "execute", no_argument, NULL, 'e' },
	{ "delete", required_argument, NULL, 'D' },
	{ "update", required_argument, NULL, 'U' },
	{ "show", no_argument, NULL, 's' },
	{ "conf", required_argument, NULL, 'c' },
	{ "ignore-errors", no_argument, NULL, 'i' },
	{ "force", no_argument, NULL, 'f' },
	{ "pretend", no_argument, NULL, 'p' },
	{ "dump", no_argument, NULL, 'd' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "offline", required_argument, NULL, 'O' },
	{ "ready", required_argument, NULL, 'O' },
	{ "control-port", required_argument, NULL, 'C' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void usage(void)
{
	puts("Usage: tgt-admin [OPTION]...\n"
	     "Makes targets of riserd as " CONFIG " says, as tgt's tgt-admin does.\n"
	     "  -e, --execute         make the targets that are not there\n"
	     "      --update TARGET   make one anew: its name, tid=N, or ALL\n"
	     "      --delete TARGET   delete one: its name, tid=N, or ALL\n"
	     "  -s, --show            show all targets\n"
	     "      --dump            print a configuration, without secrets\n"
	     "  -c, --conf FILE       another file\n"
	     "  -f, --force           also targets that are in use\n"
	     "  -p, --pretend         only say what would be done\n"
	     "  -v, --verbose         say what is done\n"
	     "      --ignore-errors   go on after an error\n"
	     "`riser import' makes a riser.conf of the file, which is the better way to stay.");
}

/* --- What is to be done */

__attribute__((format(printf, 2, 3))) static bool doing(const struct admin *a, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	if (a->pretend || a->verbose) {
		va_start(args, fmt);
		vsnprintf(text, sizeof(text), fmt, args);
		va_end(args);
		out_text(stdout, text);
		putchar('\n');
	}
	return !a->pretend;
}

static void set_tid(struct tgt *t, unsigned int tid)
{
	t->o = (struct options){ .tid_text = "", .tid = tid };
}

static unsigned int tid_of(struct tgt *t, const char *name)
{
	return (unsigned int)member_number(memory_target(t, name), "tid");
}

/* The first behind all others, as tgt-admin has it. */
static unsigned int next_tid(struct tgt *t)
{
	const char *name;
	json_t *known;
	int64_t most = 0;

	json_object_foreach(json_object_get(t->memory, "targets"), name, known)
	{
		if (member_number(known, "tid") > most)
			most = member_number(known, "tid");
	}
	return (unsigned int)most + 1;
}

static int add_luns(struct admin *a, const struct import_target *target)
{
	struct tgt *t = a->t;
	int status = DONE;

	for (size_t i = 0; i < target->lun_count && !status; i++) {
		const struct import_lun *l = &target->luns[i];
		json_t *options = json_object();

		if (l->direct)
			json_object_set_new(options, "direct", json_true());
		if (l->readonly)
			json_object_set_new(options, "readonly", json_true());
		if (l->removable)
			json_object_set_new(options, "removable", json_true());
		if (l->block_size)
			json_object_set_new(options, "block-size", json_integer(l->block_size));
		if (l->physical_block_size)
			json_object_set_new(options, "physical-block-size",
					    json_integer(l->physical_block_size));
		if (l->serial)
			json_object_set_new(options, "serial", json_string(l->serial));
		status = change(t, "lun.create",
				json_pack("{s:s, s:i, s:s, s:o}", "target", target->name, "lun",
					  (int)l->number, "path", l->path, "options", options),
				false, NULL);
	}
	return status;
}

static int add_user(struct admin *a, unsigned int tid, const char *user, const char *secret,
		    bool outgoing)
{
	struct tgt *t = a->t;

	json_object_set_new(memory_accounts(t), user, json_string(secret));
	set_tid(t, tid);
	t->o.user = user;
	t->o.outgoing = outgoing;
	return account_bind(t);
}

/* All at once: a name alone would let it in from anywhere. */
static int let_in(struct admin *a, const struct import_target *target)
{
	json_t *acl = json_array();
	int status;

	for (size_t i = 0; i < target->name_count; i++)
		json_array_append_new(acl, json_string(target->names[i]));
	for (size_t i = 0; i < target->address_count; i++)
		json_array_append_new(acl, json_string(target->addresses[i]));
	if (target->any)
		json_array_append_new(acl, json_string("ALL"));
	status = target_allow(a->t, target->name, acl, false);
	json_decref(acl);
	return status;
}

static int remove_target(struct admin *a, const char *name);

/* Nobody is let in before it is all there. */
static int create(struct admin *a, const struct import_target *target, unsigned int tid)
{
	struct tgt *t = a->t;
	bool force = a->force;
	int status;

	if (!doing(a, "# Adding target: %s", target->name))
		return DONE;
	set_tid(t, tid);
	t->o.targetname = target->name;
	status = target_new(t);
	if (status)
		return status;
	for (size_t i = 0; i < target->user_count && !status; i++) {
		const struct import_user *u = &target->users[i];

		if (!i && u->mutual_name)
			status = add_user(a, tid, u->mutual_name, u->mutual_secret, true);
		if (!status)
			status = add_user(a, tid, u->name, u->secret, false);
	}
	if (!status)
		status = add_luns(a, target);
	if (!status)
		status = let_in(a, target);
	if (status) {
		a->force = true;
		remove_target(a, target->name);
		a->force = force;
	}
	return status;
}

static bool is_in_use(const struct admin *a, const char *name)
{
	return member_number(find_target(a->t, name), "sessions") > 0;
}

/* --- What is there */

static int remove_target(struct admin *a, const char *name)
{
	struct tgt *t = a->t;

	if (!find_target(t, name)) {
		doing(a, "# Target with name %s does not exist!", name);
		return DONE;
	}
	if (is_in_use(a, name) && !a->force) {
		printf("# Target with tid %u (%s) is in use, it won't be %s.\n", tid_of(t, name),
		       shown(name), a->update ? "updated" : "deleted");
		return DONE;
	}
	if (!doing(a, "# Removing target: %s", name))
		return DONE;
	set_tid(t, tid_of(t, name));
	t->o.force = a->force;
	return target_delete(t);
}

/* The name of "tid=N", or what is given; NULL: there is none. */
static const char *name_of(struct tgt *t, const char *what)
{
	if (strncmp(what, "tid=", 4) != 0)
		return what;
	set_tid(t, (unsigned int)strtoul(what + 4, NULL, 10));
	return target_name(t);
}

/* Names of all that are served; new reference. */
static json_t *names_of_all(struct tgt *t)
{
	json_t *names = json_array(), *target;

	each_member(t->targets, target) {
		json_array_append(names, json_object_get(target, "name"));
	}
	return names;
}

static int remove_some(struct admin *a)
{
	json_t *names = json_array(), *name;
	int status = DONE;

	if (!strcmp(a->delete_what, "ALL")) {
		json_decref(names);
		names = names_of_all(a->t);
	} else if (name_of(a->t, a->delete_what)) {
		json_array_append_new(names, json_string(name_of(a->t, a->delete_what)));
	} else {
		status = REFUSED;
	}
	each_member(names, name) {
		if (!status || a->ignore_errors)
			status = remove_target(a, text_value(name));
	}
	json_decref(names);
	return status;
}

/* --- The file */

static bool read_config(struct admin *a, struct import *im)
{
	im->file = a->config;
	import_tgt(im, a->config);
	if (!im->failed)
		import_check(im);
	for (size_t i = 0; i < im->note_count; i++) {
		const struct import_note *n = &im->notes[i];

		tell(a->t, "%s:%u: %s", n->file, n->line, n->text);
	}
	return !im->failed;
}

static int renew(struct admin *a, const struct import *im, const char *name)
{
	struct tgt *t = a->t;
	const struct import_target *target = import_target(im, name);
	unsigned int tid;
	int status;

	if (!target && !find_target(t, name)) {
		printf("Target %s is currently not configured\n"
		       "and does not exist in the config file - can't continue!\n",
		       shown(name));
		return UNKNOWN_WORD;
	}
	tid = find_target(t, name)    ? tid_of(t, name)
	      : target && target->tid ? target->tid
				      : next_tid(t);
	if (find_target(t, name)) {
		status = remove_target(a, name);
		if (status || (!a->pretend && find_target(t, name)))
			return status; /* it is in use */
	}
	return target ? create(a, target, tid) : DONE;
}

static int update(struct admin *a)
{
	struct import im = { 0 };
	json_t *names = json_array(), *name;
	const char *one;
	int status = read_config(a, &im) ? DONE : REFUSED;

	if (!status && !strcmp(a->update, "ALL")) {
		json_decref(names);
		names = names_of_all(a->t);
		for (size_t i = 0; i < im.target_count; i++) {
			if (!find_target(a->t, im.targets[i].name))
				json_array_append_new(names, json_string(im.targets[i].name));
		}
	} else if (!status) {
		one = name_of(a->t, a->update);
		if (one)
			json_array_append_new(names, json_string(one));
		else
			status = REFUSED;
	}
	each_member(names, name) {
		if (!status || a->ignore_errors)
			status = renew(a, &im, text_value(name));
	}
	json_decref(names);
	import_free(&im);
	return status;
}

static int execute(struct admin *a)
{
	struct import im = { 0 };
	int status = read_config(a, &im) ? DONE : REFUSED;

	for (size_t i = 0; i < im.target_count && (!status || a->ignore_errors); i++) {
		const struct import_target *target = &im.targets[i];

		if (find_target(a->t, target->name))
			doing(a, "# Target %s already exists!", target->name);
		else
			status = create(a, target, target->tid ? target->tid : next_tid(a->t));
	}
	import_free(&im);
	return status;
}

static int dump(struct admin *a)
{
	json_t *target, *item;

	puts("default-driver iscsi\n");
	each_member(a->t->targets, target) {
		const json_t *luns = json_object_get(target, "luns");
		const json_t *users = json_object_get(target, "users");
		const json_t *allow = json_object_get(target, "allow");

		printf("<target %s>\n", shown(member_text(target, "name")));
		each_member(luns, item) {
			printf("\t<backing-store %s>\n\t\tlun %" PRId64 "\n%s\t</backing-store>\n",
			       shown(member_text(item, "path")), member_number(item, "lun"),
			       member_true(item, "readonly") ? "\t\treadonly 1\n" : "");
		}
		each_member(users, item) {
			printf("\tincominguser %s PLEASE_CORRECT_THE_PASSWORD\n",
			       shown(text_value(item)));
		}
		each_member(allow, item) {
			const char *who = text_value(item);

			if (strcmp(who, "any") != 0)
				printf("\tinitiator-%s %s\n", strchr(who, '/') ? "address" : "name",
				       shown(who));
		}
		puts("</target>\n");
	}
	return DONE;
}

/* --- The command line. -1: go on, otherwise a status. */

static int parse(struct admin *a, int argc, char **argv)
{
	int letter;

	while ((letter = getopt_long(argc, argv, "esc:fpvhC:", long_options, NULL)) != -1) {
		switch (letter) {
		case 'e': a->execute = true; break;
		case 'D': a->delete_what = optarg; break;
		case 'U': a->update = optarg; break;
		case 's': a->show = true; break;
		case 'c': a->config = optarg; break;
		case 'i': a->ignore_errors = true; break;
		case 'f': a->force = true; break;
		case 'p': a->pretend = true; break;
		case 'd': a->dump = true; break;
		case 'v': a->verbose = true; break;
		case 'C':
			if (strspn(optarg, "0123456789") != strlen(optarg) || !*optarg)
				return complain(a->t, "'control-port' option is no number: %s",
						optarg);
			other_socket(a->t, optarg);
			break;
		case 'h': usage(); return DONE;
		case 'O':
			return complain(a->t, "riserd has no targets that are there and offline: "
					      "riser alua set takes a portal group offline");
		default: return UNKNOWN_WORD;
		}
	}
	if (optind < argc)
		return complain(a->t, "unrecognized option '%s'", argv[optind]);
	if (!a->show && !a->execute && !a->delete_what && !a->update && !a->dump) {
		puts("No action specified.");
		return DONE;
	}
	return -1;
}

int admin_main(struct tgt *t, int argc, char **argv)
{
	struct admin a = { .t = t, .config = CONFIG };
	int status = parse(&a, argc, argv);

	if (status >= 0)
		return status;
	status = memory_open(t);
	if (!status && !a.show && !a.dump && !a.pretend && !memory_can_change(t))
		status = REFUSED;
	if (!status && a.show)
		status = target_show_all(t);
	else if (!status && a.delete_what)
		status = remove_some(&a);
	else if (!status && a.update)
		status = update(&a);
	else if (!status && a.execute)
		status = execute(&a);
	else if (!status)
		status = dump(&a);
	if (t->dirty && t->lock >= 0)
		memory_save(t);
	memory_close(t);
	return status;
}
