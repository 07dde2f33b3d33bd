// SPDX-License-Identifier: BSD-2-Clause
/* What a disk looks like on the command line. */
#include <stdio.h>

#include "backstore_io.h"

static void sizes(void)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t bytes;
	} rows[] = {
		{ "0", true, 0 },
		{ "512", true, 512 },
		{ "4k", true, 4096 },
		{ "1M", true, 1 << 20 },
		{ "10G", true, 10ull << 30 },
		{ "3t", true, 3ull << 40 },
		{ "18446744073709551615", true, UINT64_MAX },
		{ "18446744073709551616", false, 0 },
		{ "16777216T", false, 0 },
		{ "16777215T", true, 16777215ull << 40 },
		{ "", false, 0 },
		{ "G", false, 0 },
		{ "-1", false, 0 },
		{ " 1", false, 0 },
		{ "1 ", false, 0 },
		{ "1.5G", false, 0 },
		{ "1GB", false, 0 },
		{ "0x10", false, 0 },
		{ "1e", false, 0 },
	};

	for (size_t i = 0; i < array_size(rows); i++) {
		uint64_t bytes = 0;

		if (bs_parse_size(rows[i].text, &bytes) != rows[i].ok || bytes != rows[i].bytes) {
			printf("# '%s' is %llu\n", rows[i].text, (unsigned long long)bytes);
			CU_FAIL("size");
		}
	}
	CU_PASS("table");
}

static struct bs_spec parsed(const char *text)
{
	struct bs_spec spec;
	char why[256] = "";

	if (bs_parse(text, &spec, why, sizeof(why))) {
		printf("# %s: %s\n", text, why);
		CU_FAIL("refused");
	}
	return spec;
}

static void drivers_and_paths(void)
{
	struct bs_spec s = parsed("ram:1G");

	CU_ASSERT_STRING_EQUAL(s.driver, "ram");
	CU_ASSERT_EQUAL(s.size, 1 << 30);
	CU_ASSERT_STRING_EQUAL(s.path, "");
	CU_ASSERT_EQUAL(s.block_size, 0);
	s = parsed("null:512");
	CU_ASSERT_STRING_EQUAL(s.driver, "null");
	s = parsed("/srv/disk.img");
	CU_ASSERT_STRING_EQUAL(s.driver, "file");
	CU_ASSERT_STRING_EQUAL(s.path, "/srv/disk.img");
	CU_ASSERT_EQUAL(s.size, 0);
	s = parsed("file:ram:1G");
	CU_ASSERT_STRING_EQUAL(s.driver, "file");
	CU_ASSERT_STRING_EQUAL(s.path, "ram:1G");
	s = parsed("ramdisk");
	CU_ASSERT_STRING_EQUAL(s.path, "ramdisk");
	s = parsed("/a,,b=c,readonly=on");
	CU_ASSERT_STRING_EQUAL(s.path, "/a,b=c");
	CU_ASSERT(s.read_only);
}

static void options_are_taken(void)
{
	struct bs_spec s = parsed("/d,readonly=off,direct=on,block-size=4096,size=10G,serial=AB-1,"
				  "fault=read:eio:after=3;flush:eio:once");

	CU_ASSERT(!s.read_only);
	CU_ASSERT(s.direct);
	CU_ASSERT_EQUAL(s.block_size, 4096);
	CU_ASSERT_EQUAL(s.size, 10ull << 30);
	CU_ASSERT_STRING_EQUAL(s.serial, "AB-1");
	CU_ASSERT_STRING_EQUAL(s.fault, "read:eio:after=3;flush:eio:once");
	CU_ASSERT_EQUAL(s.physical_block_size, 0);
	CU_ASSERT_EQUAL(parsed("ram:1M,physical-block-size=512").physical_block_size, 512);
	CU_ASSERT_EQUAL(parsed("/d,physical-block-size=1M").physical_block_size, 1 << 20);
	s = parsed("ram:1M,serial=123456789012345678901234567890123456");
	CU_ASSERT_EQUAL(strlen(s.serial), 36);
}

static void designators_are_taken(void)
{
	static const uint8_t naa[] = { 0x60, 0x0a, 0x0b, 0x80, 0x00, 0x11, 0x22, 0x33,
				       0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbf };
	struct bs_spec s =
		parsed("ram:1M,naa=600A0b8000112233445566778899AaBf,eui=0123456789abcdef");
	CU_ASSERT_EQUAL(s.designators.naa_len, 16);
	CU_ASSERT(!memcmp(s.designators.naa, naa, sizeof(naa)));
	CU_ASSERT_EQUAL(s.designators.eui_len, 8);
	CU_ASSERT(!memcmp(s.designators.eui, "\x01\x23\x45\x67\x89\xab\xcd\xef", 8));
	s = parsed("ram:1M,naa=3123456789abcdef");
	CU_ASSERT_EQUAL(s.designators.naa_len, 8);
	CU_ASSERT_EQUAL(s.designators.eui_len, 0);
}

static void nonsense_names_what_is_wrong(void)
{
	static const struct {
		const char *text, *part;
	} rows[] = {
		{ "", "path is empty" },
		{ ",readonly=on", "path is empty" },
		{ "file:", "path is empty" },
		{ "ram:", "'' is not a size" },
		{ "ram:0", "'0' is not a size" },
		{ "ram:lots", "'lots' is not a size" },
		{ "ram:1000", "multiple of the block size" },
		{ "ram:6K,block-size=4096", "multiple of the block size" },
		{ "/d,size=1000", "multiple of the block size" },
		{ "null:9223372036854775808", "too large" },
		{ "ram:1G,size=2G", "size is for files" },
		{ "null:1G,direct=on", "direct is for files" },
		{ "ram:1G,colour=red", "unknown option 'colour'" },
		{ "ram:1G,", "unknown option ''" },
		{ "ram:1G,readonly", "readonly needs a value" },
		{ "ram:1G,readonly=yes", "readonly=yes" },
		{ "ram:1G,readonly=", "on or off" },
		{ "ram:1G,block-size=1024", "512 or 4096" },
		{ "ram:1G,physical-block-size=256", "power of two from 512 to 1M" },
		{ "ram:1G,physical-block-size=3K", "power of two from 512 to 1M" },
		{ "ram:1G,physical-block-size=2M", "power of two from 512 to 1M" },
		{ "ram:1G,readonly=on,readonly=off", "readonly is given twice" },
		{ "/d,size=0", "size=0" },
		{ "/d,size=big", "size=big" },
		{ "ram:1G,serial=", "1 to 36" },
		{ "ram:1G,serial=a b", "1 to 36" },
		{ "ram:1G,serial=\xc3\xa9", "1 to 36" },
		{ "ram:1G,serial=1234567890123456789012345678901234567", "1 to 36" },
		{ "ram:1G,naa=", "that begin with" },
		{ "ram:1G,naa=6123456789abcdef", "that begin with" },
		{ "ram:1G,naa=3123456789abcdef0123456789abcdef", "that begin with" },
		{ "ram:1G,naa=4123456789abcdef", "that begin with" },
		{ "ram:1G,naa=3123456789abcde", "that begin with" },
		{ "ram:1G,naa=3123456789abcdeg", "that begin with" },
		{ "ram:1G,naa=3123456789abcde\x10", "that begin with" },
		{ "ram:1G,eui=0123456789abcdef01", "16, 24 or 32" },
		{ "ram:1G,eui=0123456789abcdef0123456789abcdef01", "16, 24 or 32" },
		{ "ram:1G,fault=", "1 to 255" },
		{ "ram:1G,fault=read", "'read'" },
		{ "ram:1G,fault=reed:eio", "'reed'" },
		{ "ram:1G,fault=read:eio;write:eoi", "rule 2: 'eoi'" },
		{ "ram:1G,fault=read:after=3", "no effect" },
		{ "ram:1G,fault=read:eio:every=0", "'every=0'" },
		{ "ram:1G,fault=read:delay=5", "'delay=5'" },
		{ "ram:1G,fault=read:delay=99999999999999999999s", "'delay=" },
		{ "ram:1G,fault=read:eio:lba=9-3", "'lba=9-3'" },
		{ "ram:1G,fault=read:eio;", "''" },
	};

	for (size_t i = 0; i < array_size(rows); i++)
		CU_ASSERT(refuses(rows[i].text, -EINVAL, rows[i].part));
}

static void too_long_is_refused(void)
{
	static char text[6000];
	struct bs_spec spec;
	char why[64];

	memset(text, 'a', 5000);
	CU_ASSERT_EQUAL(bs_parse(text, &spec, why, sizeof(why)), -EINVAL);
	memcpy(text, "/d,serial=", 10);
	CU_ASSERT_EQUAL(bs_parse(text, &spec, why, sizeof(why)), -EINVAL);
	/* The longest path that fits. */
	text[4095] = '\0';
	memset(text, 'a', 4095);
	CU_ASSERT_EQUAL(bs_parse(text, &spec, why, sizeof(why)), 0);
	CU_ASSERT_EQUAL(strlen(spec.path), 4095);
}

UNIT_MAIN(TEST(sizes), TEST(drivers_and_paths), TEST(options_are_taken),
	  TEST(designators_are_taken), TEST(nonsense_names_what_is_wrong),
	  TEST(too_long_is_refused));
