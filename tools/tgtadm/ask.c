// SPDX-License-Identifier: BSD-2-Clause
/* Questions to riserd, and complaints in the words of tgtadm. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tgtadm.h"
#include "tools/riser/client.h"
#include "tools/riser/out.h"

__attribute__((format(printf, 2, 0))) static void say(const struct tgt *t, const char *fmt,
						      va_list args)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, args);
	fprintf(stderr, "%s: ", t->program);
	out_text(stderr, text);
	fputc('\n', stderr);
}

int complain(const struct tgt *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(t, fmt, args);
	va_end(args);
	return REFUSED;
}

void tell(const struct tgt *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(t, fmt, args);
	va_end(args);
}

/* Scripts look for the words of tgtadm; riserd's say more. */
static int explain(const struct tgt *t, const char *method, enum status status, const json_t *error)
{
	const char *text = member_text(error, "message");
	const char *hint = member_text(json_object_get(error, "data"), "hint");
	const char *words = "invalid request";

	if (status == STATUS_NOT_RUNNING) {
		tell(t,
		     "failed to send request hdr to tgt daemon, Transport endpoint is not "
		     "connected: %s%s%s",
		     text, *hint ? ": " : "", hint);
		return NO_DAEMON;
	}
	if (status == STATUS_EXISTS)
		words = strncmp(method, "lun.", 4) ? "this target already exists"
						   : "this logical unit number already exists";
	else if (status == STATUS_NOT_FOUND)
		words = strncmp(method, "lun.", 4) ? "can't find the target"
						   : "can't find the logical unit";
	else if (status == STATUS_BUSY)
		words = strncmp(method, "lun.", 4) ? "this target is still active"
						   : "this logical unit is still active";
	else if (status == STATUS_PERMISSION)
		words = "permission denied";
	return complain(t, "%s: %s%s%s", words, text, *hint ? ": " : "", hint);
}

int ask(struct tgt *t, const char *method, json_t *params, json_t **result)
{
	json_t *answer = NULL, *error = NULL;
	enum status status = client_ask(&t->r, method, params, &answer, &error);
	int said = DONE;

	if (status)
		said = explain(t, method, status, error);
	json_decref(error);
	if (!status && result)
		*result = answer;
	else
		json_decref(answer);
	return said;
}

int change(struct tgt *t, const char *method, json_t *params, bool force, bool *busy)
{
	json_t *answer = NULL, *error = NULL;
	enum status status;
	int said = DONE;

	if (busy)
		*busy = false;
	json_object_set_new(params, "runtime", json_true());
	if (force)
		json_object_set_new(params, "force", json_true());
	status = client_ask(&t->r, method, params, &answer, &error);
	if (status == STATUS_BUSY && busy) {
		*busy = true;
		said = REFUSED;
	} else if (status) {
		said = explain(t, method, status, error);
	}
	json_decref(answer);
	json_decref(error);
	memory_refresh(t);
	return said;
}

const char *text_value(const json_t *value)
{
	const char *text = json_string_value(value);

	return text ? text : "";
}

/* Of ten thousand targets each is looked for. */
static void make_index(struct tgt *t)
{
	json_t *target;
	char key[256];

	t->by_name = json_object();
	each_member(t->targets, target) {
		json_object_set(t->by_name, memory_key(member_text(target, "name"), key), target);
	}
}

const json_t *find_target(struct tgt *t, const char *name)
{
	char key[256];

	if (!t->targets && ask(t, "target.list", NULL, &t->targets))
		return NULL;
	if (!t->by_name)
		make_index(t);
	return json_object_get(t->by_name, memory_key(name, key));
}

const json_t *find_lun(const json_t *target, unsigned int lun)
{
	const json_t *luns = json_object_get(target, "luns");
	json_t *l;

	each_member(luns, l) {
		if (member_number(l, "lun") == (int64_t)lun)
			return l;
	}
	return NULL;
}

const char *target_name(struct tgt *t)
{
	const char *name;
	json_t *known;

	if (!t->o.tid_text) {
		complain(t, "'tid' option is necessary");
		return NULL;
	}
	json_object_foreach(json_object_get(t->memory, "targets"), name, known)
	{
		if (member_number(known, "tid") == (int64_t)t->o.tid)
			return name;
	}
	complain(t, "can't find the target");
	return NULL;
}
