// SPDX-License-Identifier: BSD-2-Clause
/* riser doctor: what on this machine keeps riserd from serving, or from serving well. */
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client.h"
#include "commands.h"
#include "doctor.h"
#include "out.h"

static const struct {
	const char *name;
	void (*run)(struct doctor *d);
} checks[] = {
	{ "riserd", check_riserd },	{ "ports", check_ports }, { "limits", check_limits },
	{ "io_uring", check_io_uring }, { "rdma", check_rdma },	  { "mtu", check_mtu },
	{ "disks", check_disks },
};

static const char *const levels[] = { "ok", "note", "warning", "bad" };

void found(struct doctor *d, enum level level, const char *hint, const char *fmt, ...)
{
	static const enum color colors[] = { COLOR_GREEN, COLOR_DIM, COLOR_YELLOW, COLOR_RED };
	char text[768];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	d->worst = level > d->worst ? level : d->worst;
	json_array_append_new(d->findings,
			      json_pack("{s:s, s:s, s:o, s:s?}", "check", d->check, "level",
					levels[level], "text", text_json(text), "hint", hint));
	if (d->r->json)
		return;
	printf("%s%-7s%s  %-8s  ", paint(d->r, colors[level]), levels[level],
	       paint(d->r, COLOR_OFF), d->check);
	out_text(stdout, text);
	if (hint) {
		printf("\n%*s-> ", 19, "");
		out_text(stdout, hint);
	}
	putchar('\n');
}

/* --- looking below root --- */

static const char *below(const struct doctor *d, const char *path, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s", d->root, path);
	return buf;
}

bool first_line(const struct doctor *d, const char *path, char *buf, size_t size)
{
	char full[512];
	FILE *file = fopen(below(d, path, full, sizeof(full)), "re");
	bool read = file && fgets(buf, (int)size, file);

	if (read)
		buf[strcspn(buf, "\n")] = 0;
	if (file)
		fclose(file);
	return read;
}

unsigned int each_entry(const struct doctor *d, const char *path,
			void (*visit)(struct doctor *d, const char *name, void *arg), void *arg)
{
	char full[512];
	DIR *dir = opendir(below(d, path, full, sizeof(full)));
	const struct dirent *e;
	unsigned int count = 0;

	if (!dir)
		return 0;
	while ((e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		count++;
		if (visit)
			visit((struct doctor *)d, e->d_name, arg);
	}
	closedir(dir);
	return count;
}

bool is_there(const struct doctor *d, const char *path)
{
	char full[512];
	struct stat st;

	return !stat(below(d, path, full, sizeof(full)), &st);
}

bool is_live(const struct doctor *d)
{
	return !*d->root;
}

int64_t daemon_pid(const struct doctor *d)
{
	return member_number(d->status, "pid");
}

/* --- riserd --- */

/* Of what may fail without harm: NULL then. */
static json_t *ask(struct doctor *d, const char *method)
{
	json_t *result = NULL, *error = NULL;

	client_ask(d->r, method, NULL, &result, &error);
	json_decref(error);
	return result;
}

void check_riserd(struct doctor *d)
{
	json_t *error = NULL;
	const json_t *problems, *p, *reload;
	enum status status = client_ask(d->r, "status", NULL, &d->status, &error);

	if (status) {
		const char *hint = member_text(json_object_get(error, "data"), "hint");

		found(d, LEVEL_BAD, *hint ? hint : NULL, "%s", member_text(error, "message"));
		json_decref(error);
		return;
	}
	d->portals = ask(d, "portal.list");
	d->luns = ask(d, "lun.list");
	d->sessions = ask(d, "session.list");
	found(d, LEVEL_OK, NULL, "riserd %s is running, process %lld",
	      member_text(d->status, "version"), (long long)daemon_pid(d));
	problems = json_object_get(d->status, "problems");
	each_member(problems, p)
		found(d, LEVEL_BAD, NULL, "%s", json_is_string(p) ? json_string_value(p) : "");
	reload = json_object_get(d->status, "last_reload");
	if (json_is_object(reload) && !member_true(reload, "ok"))
		found(d, LEVEL_BAD, "mend the file (riserd -t -c FILE looks at it), then reload",
		      "the last change was not applied: %s", member_text(reload, "message"));
}

static enum status run_doctor(struct riser *r, const struct args *a)
{
	const char *root = args_option(a, "root", 0);
	struct doctor d = { .r = r, .root = root ? root : "", .findings = json_array() };
	const char **disks = calloc(args_operands(a) + 1, sizeof(*disks));
	enum status status = STATUS_OK;

	for (unsigned int i = 0; disks && i < args_operands(a); i++)
		disks[d.disk_count++] = args_operand(a, i);
	d.disks = disks;
	for (unsigned int i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
		d.check = checks[i].name;
		checks[i].run(&d);
	}
	if (r->json)
		out_json(d.findings);
	if (d.worst == LEVEL_BAD)
		status = STATUS_FAILED;
	json_decref(d.status);
	json_decref(d.portals);
	json_decref(d.luns);
	json_decref(d.sessions);
	json_decref(d.findings);
	free(disks);
	return status;
}

const struct command doctor_commands[] = {
	{ .noun = "doctor",
	  .about = "Look for what keeps riserd from serving, or from serving well",
	  .details =
		  "Ports taken by another target, limits, io_uring, RDMA devices, MTU, disks that are "
		  "mounted or in use by LVM. Works with and without a running riserd; root sees "
		  "most. The exit status is 1 if something is bad.",
	  .operands = WORDS({ .name = "DISK",
			      .kind = KIND_FILE,
			      .about = "files and devices to look at, too",
			      .flags = WORD_OPTIONAL | WORD_MANY }),
	  .options = WORDS({ .name = "root",
			     .kind = KIND_FILE,
			     .value = "DIR",
			     .about = "read /proc, /sys and /dev below this folder" }),
	  .flags = COMMAND_LOCAL,
	  .run = run_doctor },
	{ .noun = NULL },
};
