// SPDX-License-Identifier: BSD-2-Clause
/*
 * The configuration file. Input: its text. Oracles: a configuration or exactly one complaint, with a
 * line that the text has; names, numbers and counts of what is accepted are within their bounds, and
 * sorted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/must.h"
#include "tools/riserd/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned int complaints, last_line;

static void count(const struct complaint *c)
{
	MUST(c->text && c->text[0]);
	complaints++;
	last_line = c->place.line;
}

static void check_target(const struct config *c, const struct config_target *t)
{
	struct target_port ports[TARGET_PORTS];
	char name[ISCSI_NAME_MAX + 1];

	MUST(name_normalize(t->name, strlen(t->name), name) && !strcmp(name, t->name));
	MUST(t->allow_any || t->allow_count);
	MUST(t->chap.count <= CHAP_USERS_MAX && t->tag_count <= TARGET_PORTS);
	MUST(config_ports(c, t, ports) >= 1);
	for (unsigned int i = 0; i < t->from_count; i++)
		MUST(t->from[i].bits <= 128);
	for (unsigned int i = 0; i < t->lun_count; i++) {
		MUST(t->luns[i].number < TARGET_LUNS);
		MUST(!i || t->luns[i - 1].number < t->luns[i].number);
		MUST(t->luns[i].spec.path[0] || t->luns[i].spec.size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int lines = 1;
	struct config *c;

	/* Files of this machine are not its subject. */
	if (size > 65536 || memmem(data, size, "include", 7) || memmem(data, size, "secret", 6))
		return 0;
	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	complaints = last_line = 0;
	c = config_parse_text("fuzz.conf", (const char *)data, size, false, count);
	MUST(complaints == (c ? 0 : 1));
	MUST(last_line <= lines);
	if (!c)
		return 0;
	MUST(c->portal_count >= 1 && c->portal_count <= CONFIG_PORTALS);
	MUST(c->memory >= 4u << 20);
	for (unsigned int i = 0; i < c->target_count; i++) {
		MUST(!i || strcmp(c->targets[i - 1].name, c->targets[i].name) < 0);
		check_target(c, &c->targets[i]);
	}
	config_free(c);
	return 0;
}
