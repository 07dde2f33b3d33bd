// SPDX-License-Identifier: BSD-2-Clause
/* riser import FILE: a riser.conf of the configuration of another target. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "import.h"
#include "out.h"
#include "progress.h"
#include "show.h"

#define SECRETS "/etc/riser/secrets"

struct job {
	struct riser *r;
	const char *file, *output, *secrets; /* NULL: not to be written */
	bool force;
	struct import im;
	struct import_output out;
	enum import_format format;
	unsigned int luns, written;
};

/* --- Notes */

static int by_place(const void *a, const void *b)
{
	const struct import_note *x = a, *y = b;
	int order = strcmp(x->file, y->file);

	if (!order)
		order = (x->line > y->line) - (x->line < y->line);
	return order ? order : strcmp(x->text, y->text);
}

/* In the order of the lines, each once. */
static void sort_notes(struct import *im)
{
	size_t kept = 0;

	if (im->note_count)
		qsort(im->notes, im->note_count, sizeof(*im->notes), by_place);
	for (size_t i = 0; i < im->note_count; i++) {
		if (!kept || by_place(&im->notes[kept - 1], &im->notes[i]) != 0)
			im->notes[kept++] = im->notes[i];
	}
	im->note_count = kept;
}

static void say_notes(const struct job *j)
{
	for (size_t i = 0; i < j->im.note_count && !j->r->json; i++) {
		const struct import_note *n = &j->im.notes[i];

		out_text(stderr, n->file);
		if (n->line)
			fprintf(stderr, ":%u", n->line);
		fputs(": ", stderr);
		out_text(stderr, n->text);
		fputc('\n', stderr);
	}
}

static enum status say_failure(const struct job *j)
{
	const struct import_note *n = &j->im.notes[j->im.note_count - 1];
	char place[4200];

	snprintf(place, sizeof(place), n->line ? "%s:%u" : "%s", n->file, n->line);
	return fail(j->r, STATUS_CONFIG, j->file, "nothing has been written", "%s: %s", place,
		    n->text);
}

/* --- Files */

/* The file, if it has this text; -1: it has not. */
static int open_same(const char *path, const char *text, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool same = fd >= 0 && !fstat(fd, st) && S_ISREG(st->st_mode) &&
		    (size_t)st->st_size == strlen(text);
	char part[4096];
	ssize_t n;

	while (same && *text) {
		n = read(fd, part, sizeof(part));
		same = n > 0 && !strncmp(text, part, (size_t)n);
		text += same ? n : 0;
	}
	if (same || fd < 0)
		return fd;
	close(fd);
	return -1;
}

/* What is there already and the same, stays: but a secret that others may read is shut. False: it is not
 * there. */
static bool is_there_already(const struct job *j, const char *path, const char *text, bool secret,
			     enum status *status)
{
	struct stat st;
	int fd = open_same(path, text, &st);

	*status = STATUS_OK;
	if (fd < 0)
		return false;
	if (secret && st.st_mode & 07 && fchmod(fd, st.st_mode & 0770))
		*status = fail(j->r, STATUS_PERMISSION, path, "chmod o= it, or give a new secret",
			       "%s: everybody may read or write this secret: %s", path,
			       strerror(errno));
	else if (secret && st.st_mode & 07 && !j->r->json)
		fprintf(stderr, "%s: everybody could read or write this secret: no more\n",
			shown(path));
	close(fd);
	return true;
}

/* Whole or not at all. Secrets belong to the group of their folder, which is riserd's. */
static enum status write_file(struct job *j, const char *path, const char *text, bool secret)
{
	char part[4200], folder[4200];
	enum status status;
	struct stat st;
	size_t len = strlen(text);
	int fd, err = 0;

	if (is_there_already(j, path, text, secret, &status))
		return status;
	if (!j->force && !access(path, F_OK))
		return fail(j->r, STATUS_EXISTS, path, "with --force it is replaced",
			    "%s is there already", path);
	snprintf(part, sizeof(part), "%s.new-%d", path, (int)getpid());
	snprintf(folder, sizeof(folder), "%.*s",
		 strrchr(path, '/') ? (int)(strrchr(path, '/') - path) + 1 : 1,
		 strrchr(path, '/') ? path : ".");
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, secret ? 0600 : 0644);
	if (fd < 0)
		return fail(j->r, STATUS_FAILED, path, NULL, "%s cannot be written: %s", path,
			    strerror(errno));
	if (secret && !stat(folder, &st) && st.st_gid && !fchown(fd, (uid_t)-1, st.st_gid))
		err = fchmod(fd, 0640) ? errno : 0;
	if (!err && write(fd, text, len) != (ssize_t)len)
		err = errno ? errno : EIO;
	if (!err && fsync(fd))
		err = errno;
	close(fd);
	if (!err && rename(part, path))
		err = errno;
	if (!err) {
		j->written++;
		return STATUS_OK;
	}
	unlink(part);
	return fail(j->r, STATUS_FAILED, path, NULL, "%s cannot be written: %s", path,
		    strerror(err));
}

static enum status write_secrets(struct job *j)
{
	enum status status = STATUS_OK;

	if (!j->secrets)
		return STATUS_OK;
	if (mkdir(j->secrets, 0700) && errno != EEXIST)
		return fail(j->r, STATUS_FAILED, j->secrets, NULL, "%s cannot be made: %s",
			    j->secrets, strerror(errno));
	for (size_t i = 0; i < j->out.secret_count && !status; i++) {
		const struct import_secret *s = &j->out.secrets[i];

		if (s->secret[0])
			status = write_file(j, s->path, s->secret, true);
	}
	return status;
}

/* A list of them, new reference, or lines. */
static json_t *would_write(const struct job *j)
{
	json_t *files = json_array();

	if (j->output)
		json_array_append_new(files, text_json(j->output));
	for (size_t i = 0; i < j->out.secret_count && j->secrets; i++) {
		if (j->out.secrets[i].secret[0])
			json_array_append_new(files, text_json(j->out.secrets[i].path));
	}
	return files;
}

static void say_would_write(const struct job *j)
{
	json_t *files = would_write(j);
	const json_t *file;

	each_member(files, file)
		show_dry_run(j->r, "write %s", json_string_value(file));
	json_decref(files);
}

/* --- The command */

static const char *const formats[] = { "", "tgt", "lio", "ctl" };

struct watch {
	struct progress progress;
	const char *what;
};

static void on_checked(void *arg, size_t luns, size_t of)
{
	struct watch *w = arg;

	progress_show(&w->progress, w->what, luns, of);
}

/* Each LUN is compared with all others: of tens of thousands that takes a while. */
static void check(struct job *j, struct watch *w)
{
	w->progress.patience = PROGRESS_PATIENCE_S;
	w->progress.unit = "LUNs";
	w->what = j->file;
	j->im.checked = on_checked;
	j->im.checked_arg = w;
	import_check(&j->im);
	progress_end(&w->progress);
}

static bool read_all(struct job *j, const char *from)
{
	struct import *im = &j->im;
	struct watch watch;
	char *text;
	size_t len;

	progress_begin(&watch.progress, j->r);
	im->file = j->file;
	for (unsigned int i = 1; i < 4 && from; i++) {
		if (!strcmp(formats[i], from))
			j->format = (enum import_format)i;
	}
	text = import_read(im, j->file, &len, 0);
	if (!text)
		return false;
	if (j->format == IMPORT_ANY)
		j->format = import_guess(text);
	if (j->format == IMPORT_TGT)
		import_tgt(im, j->file);
	else if (j->format == IMPORT_LIO)
		import_lio(im, j->file);
	else
		import_ctl(im, j->file);
	if (im->failed)
		return false;
	check(j, &watch);
	for (size_t i = 0; i < im->target_count; i++)
		j->luns += (unsigned int)im->targets[i].lun_count;
	sort_notes(im);
	return true;
}

static void say_json(const struct job *j)
{
	json_t *notes = json_array(), *secrets = json_array(), *result;

	for (size_t i = 0; i < j->im.note_count; i++) {
		const struct import_note *n = &j->im.notes[i];

		json_array_append_new(notes,
				      json_pack("{s:o, s:i, s:o}", "file", text_json(n->file),
						"line", (int)n->line, "text", text_json(n->text)));
	}
	for (size_t i = 0; i < j->out.secret_count; i++)
		json_array_append_new(secrets, json_string(j->out.secrets[i].path));
	result = json_pack("{s:o, s:s, s:I, s:I, s:o, s:o, s:o}", "file", text_json(j->file),
			   "format", formats[j->format], "targets", (json_int_t)j->im.target_count,
			   "luns", (json_int_t)j->luns, "config", text_json(j->out.text),
			   "secret_files", secrets, "notes", notes);
	if (j->r->dry_run) {
		json_object_set_new(result, "dry_run", json_true());
		json_object_set_new(result, "would_write", would_write(j));
	}
	out_json(result);
	json_decref(result);
}

static void say_summary(const struct job *j)
{
	size_t missing = 0;

	for (size_t i = 0; i < j->out.secret_count; i++)
		missing += !j->secrets || !j->out.secrets[i].secret[0];
	fprintf(stderr, "%s: %zu target%s, %u LUN%s; %zu line%s not carried over as %s\n",
		shown(j->file), j->im.target_count, j->im.target_count == 1 ? "" : "s", j->luns,
		j->luns == 1 ? "" : "s", j->im.note_count, j->im.note_count == 1 ? "" : "s",
		j->im.note_count == 1 ? "it is" : "they are");
	if (missing && !j->secrets)
		fprintf(stderr, "%zu secret%s named in " SECRETS ": --secrets FOLDER writes %s\n",
			missing, missing == 1 ? " is" : "s are", missing == 1 ? "it" : "them");
}

static enum status finish(struct job *j)
{
	enum status status = STATUS_OK;

	import_write(&j->im, j->secrets ? j->secrets : SECRETS, &j->out);
	if (j->r->dry_run && !j->r->json)
		say_would_write(j);
	else if (!j->r->dry_run)
		status = write_secrets(j);
	if (!status && j->output && !j->r->dry_run)
		status = write_file(j, j->output, j->out.text, false);
	if (status)
		return status;
	if (j->r->json) {
		say_json(j);
	} else {
		if (!j->output && j->r->terminal)
			out_lines(stdout, j->out.text);
		else if (!j->output)
			fputs(j->out.text, stdout);
		fflush(stdout);
		say_notes(j);
		say_summary(j);
	}
	return j->im.note_count ? STATUS_PARTLY : STATUS_OK;
}

static enum status run_import(struct riser *r, const struct args *a)
{
	struct job j = {
		.r = r,
		.file = args_operand(a, 0),
		.output = args_option(a, "output", 0),
		.secrets = args_option(a, "secrets", 0),
		.force = args_flag(a, "force"),
	};
	enum status status;

	if (j.secrets && j.secrets[0] != '/')
		return fail(r, STATUS_USAGE, j.secrets,
			    "riser.conf names secrets by their full path",
			    "--secrets takes an absolute path");
	if (!is_text(j.secrets))
		return fail(r, STATUS_USAGE, NULL, "give another folder",
			    "--secrets %s: is no UTF-8 text", j.secrets);
	status = read_all(&j, args_option(a, "from", 0)) ? finish(&j) : say_failure(&j);
	import_free(&j.im);
	return status;
}

const struct command import_commands[] = {
	{ .noun = "import",
	  .about = "make a riser.conf of another target's configuration",
	  .details =
		  "Reads the targets.conf of tgt, the saveconfig.json of LIO or the ctl.conf of "
		  "FreeBSD and prints a riser.conf. Each line that cannot be carried over as it is, "
		  "is told on standard error, and the exit status is 10 then. Secrets are never "
		  "printed: they go to files.",
	  .operands = WORDS({ .name = "FILE", .kind = KIND_FILE }),
	  .options = WORDS({ .name = "from",
			     .kind = KIND_WORD,
			     .value = "FORMAT",
			     .words = "tgt lio ctl",
			     .about = "of which target it is; otherwise its first word tells" },
			   { .name = "output",
			     .letter = 'o',
			     .kind = KIND_FILE,
			     .value = "FILE",
			     .about = "write the riser.conf there" },
			   { .name = "secrets",
			     .kind = KIND_FILE,
			     .value = "FOLDER",
			     .about = "write the secrets there, one file each" },
			   { .name = "force", .about = "replace files that are there" }),
	  .flags = COMMAND_CHANGES | COMMAND_LOCAL,
	  .run = run_import },
	{ .noun = NULL },
};
