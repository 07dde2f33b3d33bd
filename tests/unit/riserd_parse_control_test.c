// SPDX-License-Identifier: BSD-2-Clause
/* control { } of the configuration file. */
#include <stdio.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "tools/riserd/parse.h"

static char said[CONFIG_WHY];

static void listen_to(const struct complaint *c)
{
	snprintf(said, sizeof(said), "%u: %s", c->place.line, c->text);
}

static struct config *parse(const char *text)
{
	said[0] = '\0';
	return config_parse_text("test.conf", text, strlen(text), false, listen_to);
}

static void without_a_word(void)
{
	struct config *c = parse("");

	CU_ASSERT_FATAL(c != NULL);
	CU_ASSERT_STRING_EQUAL(c->control.socket, "");
	CU_ASSERT_STRING_EQUAL(c->control.group.name, "");
	config_free(c);
}

static void all_keys(void)
{
	struct config *c = parse("control { socket = /tmp/c.sock\n group = daemon\n"
				 "admin-group = root }\n");

	CU_ASSERT_FATAL(c != NULL);
	CU_ASSERT_STRING_EQUAL(c->control.socket, "/tmp/c.sock");
	CU_ASSERT_STRING_EQUAL(c->control.group.name, "daemon");
	CU_ASSERT_STRING_EQUAL(c->control.admin_group.name, "root");
	CU_ASSERT_EQUAL(c->control.admin_group.gid, 0);
	config_free(c);
}

static void refuses(const char *text, const char *words)
{
	struct config *c = parse(text);

	CU_ASSERT_PTR_NULL(c);
	CU_ASSERT_PTR_NOT_NULL(strstr(said, words));
	if (!strstr(said, words))
		printf("# %s\n", said);
	config_free(c);
}

static void mistakes(void)
{
	char text[256] = "control { socket = /";

	refuses("control { socket = run/c.sock }", "1: socket = run/c.sock: socket takes");
	refuses("control {\n group = no-such-group }", "2: group = no-such-group: group takes");
	refuses("control { sokcet = /x }", "is 'socket' meant?");
	refuses("control { }\ncontrol { }", "2: control is given twice");
	refuses("control { group = daemon\n group = daemon }", "given twice");
	memset(text + strlen(text), 'x', 120);
	strncat(text, " }", sizeof(text) - strlen(text) - 1);
	refuses(text, "107 bytes");
}

UNIT_MAIN(TEST(without_a_word), TEST(all_keys), TEST(mistakes));
