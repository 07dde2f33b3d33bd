// SPDX-License-Identifier: BSD-2-Clause
/* The configuration file: what it makes, and where each mistake is said to be. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "tools/riserd/parse.h"

static struct {
	unsigned int calls, line;
	char text[CONFIG_WHY], shown[256], file[256];
} said;

static void listen_to(const struct complaint *c)
{
	said.calls++;
	said.line = c->place.line;
	snprintf(said.text, sizeof(said.text), "%s", c->text);
	snprintf(said.shown, sizeof(said.shown), "%s", c->line ? c->line : "");
	snprintf(said.file, sizeof(said.file), "%s", c->place.file ? c->place.file : "");
}

static struct config *parse(const char *text)
{
	memset(&said, 0, sizeof(said));
	return config_parse_text("test.conf", text, strlen(text), false, listen_to);
}

static char folder[] = "/tmp/riser-config-XXXXXX";

static void write_file(const char *name, const char *text, mode_t mode)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(fchmod(fd, mode), 0);
	CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void begin(void)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	write_file("alice", "alice-secret-0123\n", 0600);
	write_file("riser", "riser-secret-0123", 0600);
	write_file("short", "eleven-byte\n", 0600);
	write_file("open", "everybody-reads-this", 0604);
}

static void end(void)
{
	static const char *const names[] = {
		"alice", "riser", "short", "open", "a.conf", "b.conf"
	};
	char path[512];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	CU_ASSERT_EQUAL(rmdir(folder), 0);
	memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
}

static void everything(void)
{
	char text[4096];
	struct config *c;
	struct config_target *t;
	struct target_port ports[TARGET_PORTS];

	begin();
	snprintf(
		text, sizeof(text),
		"# a comment\n"
		"memory = 64M\nnop-interval = 5 log = debug\n"
		"portal \"[::]:3261\" { tag = 2 access = standby }\n"
		"portal 192.0.2.1 { transports = tcp redirect = \"192.0.2.9:3260,permanent\" }\n"
		"discovery { chap bob { secret-file = %s/riser } }\n"
		"target iqn.2026-11.com.example:z { lun 3 { path = \"null:1T\" } allow = { any } }\n"
		"target IQN.2026-11.com.example:Disk1 {\n"
		"    allow = { \"iqn.1993-08.org.debian:*\", 192.0.2.0/24, 2001:db8::/32 }\n"
		"    portals = { 192.0.2.1 } alias = \"the disk\" // more\n"
		"    chap alice { secret-file = %s/alice }\n"
		"    lun 1 { path = \"ram:1G\" readonly = on serial = R1 }\n"
		"    lun 0 { path = /dev/vg0//disk1 }\n"
		"}\n",
		folder, folder);
	c = parse(text);
	CU_ASSERT_STRING_EQUAL(said.text, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(c->memory, 64u << 20);
	CU_ASSERT_EQUAL(c->limits.nop_interval_s, 5);
	CU_ASSERT_EQUAL(c->log_level, LOG_LEVEL_DEBUG);
	CU_ASSERT_EQUAL(c->portal_count, 2);
	CU_ASSERT_EQUAL(c->portals[0].tag, 2);
	CU_ASSERT_EQUAL(c->portals[0].access, ACCESS_STANDBY);
	CU_ASSERT_EQUAL(c->portals[0].transports, PORTAL_ALL);
	CU_ASSERT_EQUAL(c->portals[1].transports, PORTAL_TCP);
	CU_ASSERT_STRING_EQUAL(c->portals[1].redirect, "192.0.2.9:3260");
	CU_ASSERT_TRUE(c->portals[1].redirect_permanent);
	CU_ASSERT_EQUAL(c->discovery_chap.count, 1);
	CU_ASSERT_EQUAL_FATAL(c->target_count, 2);
	t = &c->targets[0];
	CU_ASSERT_STRING_EQUAL(t->name, "iqn.2026-11.com.example:disk1");
	CU_ASSERT_STRING_EQUAL(t->alias, "the disk");
	CU_ASSERT_EQUAL(t->place.line, 8);
	CU_ASSERT_FALSE(t->allow_any);
	CU_ASSERT_EQUAL(t->allow_count, 1);
	CU_ASSERT_EQUAL_FATAL(t->from_count, 2);
	CU_ASSERT_EQUAL(t->from[0].bits, 96 + 24);
	CU_ASSERT_EQUAL(t->from[1].bits, 32);
	CU_ASSERT_EQUAL(t->chap.count, 1);
	CU_ASSERT_STRING_EQUAL(t->chap.user[0].account.user, "alice");
	CU_ASSERT_EQUAL(t->chap.user[0].account.secret_len, 17);
	CU_ASSERT_EQUAL(config_ports(c, t, ports), 1);
	CU_ASSERT_EQUAL(ports[0].tag, 1);
	CU_ASSERT_EQUAL(config_ports(c, &c->targets[1], ports), 2);
	CU_ASSERT_EQUAL_FATAL(t->lun_count, 2);
	CU_ASSERT_EQUAL(t->luns[0].number, 0);
	CU_ASSERT_STRING_EQUAL(t->luns[0].spec.path, "/dev/vg0//disk1");
	CU_ASSERT_TRUE(t->luns[1].spec.read_only);
	CU_ASSERT_STRING_EQUAL(t->luns[1].spec.serial, "R1");
	CU_ASSERT_EQUAL(t->luns[1].place.line, 12);
	config_free(c);
	end();
}

/* One line for a whole target, and no word more than is needed. */
static void shortest(void)
{
	struct config *c = parse("target iqn.2026-11.test:a { lun 0 { path = ram:1G } }");

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(c->portal_count, 1); /* a loopback address, so anybody may */
	CU_ASSERT_TRUE(c->targets[0].allow_any);
	config_free(c);
	c = parse("");
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(c->target_count, 0);
	config_free(c);
}

#define TARGET(text) "# \"x\n/* two\n lines { */\ntarget iqn.2026-11.test:a {\n" text "\n}\n"

static const struct mistake {
	const char *text;
	unsigned int line;
	const char *says, *shows;
} mistakes[] = {
	{ TARGET("alow = { any }"), 5, "is 'allow' meant?", "alow = { any }" },
	{ TARGET("xyz = 1"), 5, "there is no 'xyz' here", "xyz = 1" },
	{ TARGET("lun 0 { path = ram:1M\n raedonly = on }"), 6, "is 'readonly' meant?",
	  "raedonly" },
	{ TARGET("lun 0 { path = ram:1M\n readonly = yes }"), 6, "readonly takes on or off",
	  "yes" },
	{ TARGET("lun 0 { path = ram:1M size = 3 }"), 5, "is for files", "size" },
	{ TARGET("lun 0 { path = ram:1M\npath = ram:2M }"), 6, "path is given twice", "ram:2M" },
	{ TARGET("lun 0 { path = ram:x }"), 5, "is not a size", "ram:x" },
	{ TARGET("lun 0 { readonly = on }"), 5, "has no path", "lun 0" },
	{ TARGET("lun 256 { path = ram:1M }"), 5, "not a number from 0 to 255", "lun 256" },
	{ TARGET("lun x { path = ram:1M }"), 5, "not a number from 0 to 255", "lun x" },
	{ TARGET("lun 0 { path = /x }\nlun 0 { path = /y }"), 6, "duplicate title '0'", "/y" },
	{ TARGET("lun 0 { path = /x }\nlun 00 { path = /y }"), 6, "lun 0 of this target already",
	  "lun 00" },
	{ TARGET("lun 0 { path = /dev/null }\nlun 1 { path = /dev/../dev/null }"), 6,
	  "a file can be used once", "lun 1" },
	{ TARGET("lun 0 { path = /none }\nlun 1 { path = /none }"), 6, "a file can be used once",
	  "lun 1" },
	{ TARGET("allow = { any }\n\nallow = { any }"), 7, "allow is given twice", "allow" },
	{ TARGET("allow = { \"not a name\" }"), 5, "allow takes any, iSCSI names", "not a name" },
	{ TARGET("allow = { 192.0.2.1/24 }"), 5, "no bits beyond its length", "192.0.2.1/24" },
	{ TARGET("allow = { 192.0.2.0/33 }"), 5, "allow takes", "33" },
	{ TARGET("portals = { 127.0.0.9 }"), 4, "an address that no portal above has", "target" },
	{ "portal ::1 { }\ntarget iqn.2026-11.test:a { portals = { ::1 } }\nportal 127.0.0.1 { }",
	  3, "a target above names the portals of portal group 1", "127.0.0.1" },
	{ TARGET("chap a { }"), 5, "has no secret-file", "chap a" },
	{ TARGET("chap a { secret-file = /nowhere }"), 5, "cannot be read", "/nowhere" },
	{ TARGET("chap a { credential = x }"), 5, "there are none", "credential" },
	{ TARGET("lun 0 { path = ram:1M "), 4, "this { has no }", "target" },
	{ "target a { }", 1, "not an iSCSI name", "target a" },
	{ "target iqn.2026-11.test:a { }\ntarget IQN.2026-11.test:a { }", 2, "a target", "IQN" },
	{ "\nmemory = 1M", 2, "memory takes a size from 4M to 1T", "memory = 1M" },
	{ "memory = 8M\nmemory = 8M", 2, "memory is given twice", "memory" },
	{ "cpus = x", 1, "cpus takes", "cpus" },
	{ "state = here", 1, "the absolute path", "state" },
	{ "error-recovery-level = 3", 1, "takes 0, 1 or 2", "3" },
	{ "portal 1.2.3 { }", 1, "not ADDR", "portal" },
	{ "portal ::1 { tag = 0 }", 1, "tag takes a number from 1 to 65535", "tag" },
	{ "portal ::1 { }\nportal \"[::1]:3260\" { }", 2, "is there already", "3260" },
	{ "portal ::1 { redirect = \"a b\" }", 1, "redirect takes", "redirect" },
	{ "portal 192.0.2.1 { }\n\ntarget iqn.2026-11.test:a { }", 3, "has no allow", "target" },
	{ "memory 8M", 1, "missing equal sign", "memory" },
	{ "*// x\nbad = 1", 2, "there is no 'bad' here", "bad" },
	{ "}", 1, "unexpected closing brace", "}" },
	{ "include(\"none.conf\")", 1, "cannot be read", "include" },
	{ "include(\"test.conf\")", 1, "is included already", "include" },
	{ "include(a, b)", 1, "include takes", "include" },
	{ "discovery { }\ndiscovery { }", 2, "discovery is given twice", "discovery" },
};

static void mistakes_have_their_place(void)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		const struct mistake *m = &mistakes[i];
		struct config *c = parse(m->text);

		CU_ASSERT_PTR_NULL(c);
		CU_ASSERT_EQUAL(said.calls, 1);
		CU_ASSERT_EQUAL(said.line, m->line);
		CU_ASSERT_PTR_NOT_NULL(strstr(said.text, m->says));
		CU_ASSERT_PTR_NOT_NULL(strstr(said.shown, m->shows));
		if (c || said.line != m->line || !strstr(said.text, m->says) ||
		    !strstr(said.shown, m->shows))
			printf("# %s: %u: %s [%s]\n", m->text, said.line, said.text, said.shown);
		config_free(c);
	}
	CU_ASSERT_PTR_NULL(config_parse_text("x", "memory\0= 8M", 11, false, listen_to));
}

static void secrets(void)
{
	static const struct {
		const char *keys, *says;
	} rows[] = {
		{ "secret-file = %s/short", "has 11 bytes, it must have 12 to 255" },
		{ "secret-file = %s/open", "everybody may read it" },
		{ "secret-file = %s", "is not a regular file" },
		{ "secret-file = %s/alice mutual = b", "mutual needs" },
		{ "secret-file = %s/alice mutual-secret-file = /dev/null", "" },
	};
	char keys[512], text[2048];
	struct config *c;

	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(keys, sizeof(keys), rows[i].keys, folder);
#pragma GCC diagnostic pop
		snprintf(text, sizeof(text), "target iqn.2026-11.test:a { chap a { %s } }", keys);
		CU_ASSERT_PTR_NULL(parse(text));
		CU_ASSERT_PTR_NOT_NULL(strstr(said.text, rows[i].says));
	}
	/* Of another target, too: whoever knows one could answer with the other. */
	snprintf(text, sizeof(text),
		 "target iqn.2026-11.test:a { chap a { secret-file = %s/alice } }\n"
		 "target iqn.2026-11.test:b { chap b { secret-file = %s/riser mutual = r\n"
		 "mutual-secret-file = %s/alice } }\n",
		 folder, folder, folder);
	CU_ASSERT_PTR_NULL(parse(text));
	CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "serve in both directions"));
	CU_ASSERT_EQUAL(said.line, 2);
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	c = parse("target iqn.2026-11.test:a { chap a { credential = alice mutual = r\n"
		  "mutual-credential = open } }");
	CU_ASSERT_PTR_NOT_NULL(c);
	config_free(c);
	CU_ASSERT_PTR_NULL(parse("target iqn.2026-11.test:a { chap a { credential = ../alice } }"));
	unsetenv("CREDENTIALS_DIRECTORY");
	end();
}

static void includes(void)
{
	char path[512], expected[512];
	struct config *c;

	begin();
	write_file("a.conf", "# one\ninclude(\"b.conf\")\nmemory = 8M\n", 0644);
	write_file("b.conf", "target iqn.2026-11.test:b {\n lun 0 { path = ram:1M }\n}\n", 0644);
	snprintf(path, sizeof(path), "%s/a.conf", folder);
	c = config_parse_file(path, false, listen_to);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(c->target_count, 1);
	snprintf(expected, sizeof(expected), "%s/b.conf", folder);
	CU_ASSERT_STRING_EQUAL(c->targets[0].luns[0].place.file, expected);
	CU_ASSERT_EQUAL(c->targets[0].luns[0].place.line, 2);
	config_free(c);
	/* What stands in two files stands twice, and a circle is none. */
	write_file("b.conf", "\n\nmemory = 9M\n", 0644);
	CU_ASSERT_PTR_NULL(config_parse_file(path, false, listen_to));
	CU_ASSERT_STRING_EQUAL(said.text, "memory is given twice");
	CU_ASSERT_STRING_EQUAL(said.file, expected);
	CU_ASSERT_EQUAL(said.line, 3);
	write_file("b.conf", "include(\"a.conf\")\n", 0644);
	CU_ASSERT_PTR_NULL(config_parse_file(path, false, listen_to));
	CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "is included already"));
	end();
}

UNIT_MAIN(TEST(everything), TEST(shortest), TEST(mistakes_have_their_place), TEST(secrets),
	  TEST(includes));
