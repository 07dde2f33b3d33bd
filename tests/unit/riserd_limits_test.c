// SPDX-License-Identifier: BSD-2-Clause
/* Initiators and limits in the configuration file, and what a target makes of who comes. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "tools/riserd/parse.h"

static struct {
	unsigned int line;
	char text[CONFIG_WHY];
} said;

static void listen_to(const struct complaint *c)
{
	said.line = c->place.line;
	snprintf(said.text, sizeof(said.text), "%s", c->text);
}

/* What stands in the target, from line 2 on. */
static struct config *parse(const char *inside)
{
	char text[4096];

	memset(&said, 0, sizeof(said));
	snprintf(text, sizeof(text), "target iqn.2026-11.test:one {\n%s\n}\n", inside);
	return config_parse_text("test.conf", text, strlen(text), true, listen_to);
}

/* The same of a target with a user alice. */
static struct config *parse_with_alice(const char *inside)
{
	static const char secret[] = "secret-of-alice";
	char path[] = "/tmp/riser-limits-XXXXXX", text[4096];
	int fd = mkstemp(path);
	struct config *c;

	CU_ASSERT_FATAL(fd >= 0 && write(fd, secret, sizeof(secret) - 1) > 0);
	close(fd);
	snprintf(text, sizeof(text), "chap alice { secret-file = %s }\n%s", path, inside);
	c = parse(text);
	unlink(path);
	return c;
}

static void sections_and_their_keys(void)
{
	struct config *c = parse_with_alice(
		"initiator \"IQN.2026-11.test:b*\" { luns = { 0, 2-5, 255 }\n"
		"    readonly = on iops = 5000 bandwidth = 100M burst = 10s }\n"
		"initiator 192.0.2.0/24 { readonly = { 3 } }\n"
		"initiator \"user:alice\" { luns = none bandwidth = 64K }\n"
		"initiator any { luns = all readonly = off iops = 1 burst = 500ms }\n"
		"lun 7 { path = ram:1M iops = 10 }\n"
		"lun 8 { path = ram:1M }");
	const struct config_target *t;
	const struct initiator_rule *r;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	t = &c->targets[0];
	CU_ASSERT_EQUAL_FATAL(t->rule_count, 4);
	CU_ASSERT(t->masked);
	r = t->rules;
	CU_ASSERT_STRING_EQUAL(r[0].name, "iqn.2026-11.test:b*");
	for (unsigned int lun = 0; lun < 256; lun++)
		CU_ASSERT_EQUAL(lun_set_has(&r[0].rights.sees, lun),
				!lun || (lun >= 2 && lun <= 5) || lun == 255);
	CU_ASSERT(lun_set_is_all(&r[0].rights.only_reads));
	CU_ASSERT_EQUAL(r[0].rights.limits.iops, 5000);
	CU_ASSERT_EQUAL(r[0].rights.limits.bandwidth, 100u << 20);
	CU_ASSERT_EQUAL(r[0].rights.limits.burst_ns, 10 * NSEC_PER_SEC);
	CU_ASSERT(r[1].by_address && !r[1].name[0] && r[1].from.bits == 120);
	CU_ASSERT(lun_set_is_all(&r[1].rights.sees));
	CU_ASSERT(lun_set_has(&r[1].rights.only_reads, 3));
	CU_ASSERT(!lun_set_has(&r[1].rights.only_reads, 2));
	CU_ASSERT(!io_limits_any(&r[1].rights.limits) && !r[1].rights.limits.burst_ns);
	CU_ASSERT_STRING_EQUAL(r[2].user, "alice");
	CU_ASSERT(!lun_set_has(&r[2].rights.sees, 0));
	CU_ASSERT_EQUAL(r[2].rights.limits.burst_ns, 100 * NSEC_PER_MSEC);
	CU_ASSERT(!r[3].name[0] && !r[3].user[0] && !r[3].by_address);
	CU_ASSERT(lun_set_is_all(&r[3].rights.sees));
	CU_ASSERT_EQUAL(r[3].rights.limits.burst_ns, 500 * NSEC_PER_MSEC);
	CU_ASSERT_EQUAL(t->luns[0].limits.iops, 10);
	CU_ASSERT(!io_limits_any(&t->luns[1].limits));
	config_free(c);
	c = parse("initiator any { iops = 1 }\nlun 0 { path = ram:1M }");
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT(!c->targets[0].masked);
	config_free(c);
}

static void mistakes_have_a_place(void)
{
	static const struct {
		const char *inside, *says;
	} cases[] = {
		{ "initiator any {\nluns = 256 }", "luns takes LUNs from 0 to 255" },
		{ "initiator any {\nluns = { 1, 5-2 } }", "luns takes" },
		{ "initiator any {\nluns = 1-2-3 }", "luns takes" },
		{ "initiator any {\nluns = \"\" }", "luns takes" },
		{ "initiator any {\nluns = - }", "luns takes" },
		{ "initiator any {\nluns = 99999999999999999999 }", "luns takes" },
		{ "initiator any {\nluns = { }\n}", "luns = { } has no LUN" },
		{ "initiator any {\nreadonly = { }\n}", "readonly = { } has no LUN" },
		{ "initiator any {\nreadonly = maybe }", "readonly takes on, off" },
		{ "initiator any {\niops = 0 }", "iops takes" },
		{ "initiator any {\niops = 100000001 }", "iops takes" },
		{ "initiator any {\nbandwidth = 1K }", "bandwidth takes" },
		{ "initiator any {\nbandwidth = 2T }", "bandwidth takes" },
		{ "initiator any {\nburst = 5m }", "burst takes a time" },
		{ "initiator any {\nburst = 9ms }", "burst takes a time" },
		{ "initiator any {\nburst = 3601s }", "burst takes a time" },
		{ "initiator any {\nburst = ms }", "burst takes a time" },
		{ "initiator any {\nburst = 2s }", "it needs one of them" },
		{ "lun 0 { path = ram:1M\nburst = 2s }", "it needs one of them" },
		{ "lun 0 { path = ram:1M\nbandwith = 2M }", "is 'bandwidth' meant?" },
		{ "initiator any {\nlun = 2 }", "is 'luns' meant?" },
		{ "initiator any {\niops = 2 iops = 2 }", "iops is given twice" },
		{ "\ninitiator bob { }", "initiator bob: it takes any, an iSCSI name" },
		{ "\ninitiator 192.0.2.1/24 { }", "no bits beyond its length" },
		{ "\ninitiator \"user:\" { }", "the name of a CHAP user" },
		{ "\ninitiator any { } initiator any { }", "duplicate title" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CU_ASSERT_PTR_NULL(parse(cases[i].inside));
		CU_ASSERT(said.line == 3 || said.line == 4);
		CU_ASSERT_PTR_NOT_NULL(strstr(said.text, cases[i].says));
	}
	CU_ASSERT_PTR_NULL(parse("initiator \"user:bob\" { }"));
	CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "the target has no chap bob"));
}

static unsigned int sees(const struct target_config *t, const char *name, const char *address,
			 const char *user)
{
	struct sockaddr_storage ss = { .ss_family = AF_INET };
	struct address_range from;
	struct nexus_rights rights;

	inet_pton(AF_INET, address, &((struct sockaddr_in *)&ss)->sin_addr);
	from = address_range_of(&ss);
	rights = target_rights(t, name, &from, user);
	return rights.sees.bits[0];
}

/* LUN n for the nth section. */
static void the_first_that_fits_counts(void)
{
	struct config *c = parse_with_alice("initiator \"user:alice\" { luns = 0 }\n"
					    "initiator \"iqn.2026-11.test:web*\" { luns = 1 }\n"
					    "initiator 192.0.2.0/25 { luns = 2 }\n"
					    "initiator 192.0.2.0/24 { luns = 3 }");
	struct target_config t = { 0 };

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	t.rules = c->targets[0].rules;
	t.rule_count = c->targets[0].rule_count;
	CU_ASSERT_EQUAL(sees(&t, "iqn.2026-11.test:web1", "192.0.2.1", "alice"), 1);
	CU_ASSERT_EQUAL(sees(&t, "iqn.2026-11.test:web1", "192.0.2.1", "bob"), 2);
	CU_ASSERT_EQUAL(sees(&t, "iqn.2026-11.test:web1", "192.0.2.1", NULL), 2);
	CU_ASSERT_EQUAL(sees(&t, "iqn.2026-11.test:db", "192.0.2.1", NULL), 4);
	CU_ASSERT_EQUAL(sees(&t, "iqn.2026-11.test:db", "192.0.2.200", NULL), 8);
	CU_ASSERT_EQUAL(sees(&t, "iqn.2026-11.test:db", "198.51.100.1", NULL), UINT32_MAX);
	t.masked = true;
	CU_ASSERT_EQUAL(sees(&t, "iqn.2026-11.test:db", "198.51.100.1", NULL), 0);
	config_free(c);
}

UNIT_MAIN(TEST(sections_and_their_keys), TEST(mistakes_have_a_place),
	  TEST(the_first_that_fits_counts));
