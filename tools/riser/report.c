// SPDX-License-Identifier: BSD-2-Clause
/* Errors, and members of objects. */
#include <stdarg.h>
#include <stdio.h>

#include "out.h"

const char *status_name(enum status status)
{
	static const char *const names[STATUS_COUNT] = {
		"ok",	      "failed",	     "usage",	       "not-found", "exists", "busy",
		"permission", "not-running", "config-invalid", "timeout",   "partly",
	};

	return status < STATUS_COUNT ? names[status] : "failed";
}

bool is_text(const char *text)
{
	size_t len = 1;

	for (; text && *text && len; text += len)
		len = text_letter(text);
	return len;
}

enum status fail(const struct riser *r, enum status status, const char *object, const char *hint,
		 const char *fmt, ...)
{
	char message[1024];
	va_list ap;
	json_t *e;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (r->json) {
		/* JSON is UTF-8, and words that were typed need not be; nor may a cut go through a letter. */
		text_mend(message);
		object = is_text(object) ? object : NULL;
		hint = is_text(hint) ? hint : NULL;
		e = json_pack("{s:{s:i, s:s, s:{s:s, s:i, s:s*, s:s*}}}", "error", "code",
			      -32000 - (int)status, "message", message, "data", "name",
			      status_name(status), "exit", (int)status, "object", object, "hint",
			      hint);
		out_json(e);
		json_decref(e);
		return status;
	}
	fflush(stdout);
	fputs("riser: ", stderr);
	out_text(stderr, message);
	if (hint) {
		fputs("; ", stderr);
		out_text(stderr, hint);
	}
	fputc('\n', stderr);
	return status;
}

const char *member_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int64_t member_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

double member_real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

bool member_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}
