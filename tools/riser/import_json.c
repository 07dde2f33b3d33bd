// SPDX-License-Identifier: BSD-2-Clause
/* Where things stand in a JSON text, for their lines: jansson does not keep them. */
#include <stdbool.h>
#include <string.h>

#include "import_json.h"

static const char *skip_space(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

/* From the opening quote to behind the closing one. */
static const char *skip_string(const char *at)
{
	for (at++; *at && *at != '"'; at++)
		at += *at == '\\' && at[1];
	return *at ? at + 1 : at;
}

static const char *skip_value(const char *at)
{
	unsigned int depth = 0;

	at = skip_space(at);
	do {
		if (*at == '"') {
			at = skip_string(at);
		} else if (strchr("{[", *at) && *at) {
			depth++;
			at++;
		} else if (strchr("}]", *at) && *at) {
			depth--;
			at++;
		} else if (*at) {
			at += strspn(at, " \t\r\n,:") ? strspn(at, " \t\r\n,:")
						      : strcspn(at, " \t\r\n,:{}[]\"");
		}
	} while (depth && *at);
	return at;
}

static const char *behind_comma(const char *at)
{
	at = skip_space(at);
	return *at == ',' ? skip_space(at + 1) : at;
}

const char *json_member_at(const char *at, const char *key)
{
	size_t len = strlen(key);

	at = skip_space(at);
	if (*at != '{')
		return NULL;
	for (at = skip_space(at + 1); *at == '"';) {
		const char *name = at + 1, *end = skip_string(at);
		bool found = (size_t)(end - 1 - name) == len && !memcmp(name, key, len);

		at = skip_space(end);
		at = skip_space(*at == ':' ? at + 1 : at);
		if (found)
			return at;
		at = behind_comma(skip_value(at));
	}
	return NULL;
}

const char *json_first_at(const char *at)
{
	at = skip_space(at);
	if (*at != '[')
		return NULL;
	at = skip_space(at + 1);
	return *at && *at != ']' ? at : NULL;
}

const char *json_next_at(const char *at)
{
	at = behind_comma(skip_value(at));
	return *at && *at != ']' ? at : NULL;
}
