// SPDX-License-Identifier: BSD-2-Clause
/*
 * The command line.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

static const char usage[] =
	"usage: riser-bench iscsi://HOST[:PORT]/IQN/LUN [OPTION]...\n"
	"       riser-bench --bare --port N [--cpu N]\n"
	"\n"
	"Load for an iSCSI target, with figures. Writes destroy what is on the disk.\n"
	"\n"
	"  --rw WORD          read, write, randread (default), randwrite or randrw\n"
	"  --mix PERCENT      share of reads of randrw (70)\n"
	"  --bs SIZE          bytes per command, k and m allowed (4k)\n"
	"  --qd N             commands in flight per connection (32)\n"
	"  --connections N    sessions of one connection each (1)\n"
	"  --seconds N        how long to measure (5); --warmup N before it (1)\n"
	"  --digests WHICH    none (default), header, data or header,data\n"
	"  --verify           stamp what is written, check what is read\n"
	"  --idle N           hold N idle sessions instead of I/O\n"
	"  --cpu N            pin to CPU N\n"
	"  --target-pid PID   also measure CPU time and memory of that process\n"
	"  --json             print one JSON object\n"
	"  --bare             be a server without SCSI: the limit of the machine\n"
	"  --port N           where --bare listens on 127.0.0.1 (0: any, printed)\n"
	"  --help             print this\n";

enum {
	OPT_RW,
	OPT_MIX,
	OPT_BS,
	OPT_QD,
	OPT_CONNECTIONS,
	OPT_SECONDS,
	OPT_WARMUP,
	OPT_DIGESTS,
	OPT_VERIFY,
	OPT_IDLE,
	OPT_CPU,
	OPT_TARGET_PID,
	OPT_JSON,
	OPT_BARE,
	OPT_PORT,
	OPT_HELP,
};

static const struct option long_options[] = {
	{ "rw", required_argument, NULL, OPT_RW },
	{ "mix", required_argument, NULL, OPT_MIX },
	{ "bs", required_argument, NULL, OPT_BS },
	{ "qd", required_argument, NULL, OPT_QD },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "warmup", required_argument, NULL, OPT_WARMUP },
	{ "digests", required_argument, NULL, OPT_DIGESTS },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "cpu", required_argument, NULL, OPT_CPU },
	{ "target-pid", required_argument, NULL, OPT_TARGET_PID },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "bare", no_argument, NULL, OPT_BARE },
	{ "port", required_argument, NULL, OPT_PORT },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static const struct workload {
	const char *word;
	bool random;
	int mix; /* percentage of reads; -1: as --mix says */
} workloads[] = {
	{ "read", false, 100 },	  { "write", false, 0 },  { "randread", true, 100 },
	{ "randwrite", true, 0 }, { "randrw", true, -1 },
};

__attribute__((noreturn, format(printf, 1, 2))) static void usage_error(const char *fmt, ...)
{
	va_list args;

	fputs("riser-bench: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs(" (--help lists the options)\n", stderr);
	exit(2);
}

static const char *option_name(int opt)
{
	for (const struct option *o = long_options; o->name; o++) {
		if (o->val == opt)
			return o->name;
	}
	return "?";
}

static unsigned long number(int opt, const char *text, unsigned long min, unsigned long max)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || n < min || n > max)
		usage_error("--%s %s: not a number from %lu to %lu", option_name(opt), text, min,
			    max);
	return n;
}

static double duration(int opt, const char *text)
{
	char *end;
	double n = strtod(text, &end);

	if (end == text || *end || !(n >= 0 && n <= 86400))
		usage_error("--%s %s: not a number of seconds up to 86400", option_name(opt), text);
	return n;
}

static uint32_t size(int opt, const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);
	unsigned shift = *end == 'k' || *end == 'K' ? 10 : *end == 'm' || *end == 'M' ? 20 : 0;

	if (shift)
		end++;
	if (!isdigit((unsigned char)*text) || *end || n > (unsigned long)BS_MAX >> shift ||
	    n << shift < 512 || (n << shift) % 512)
		usage_error("--%s %s: not a multiple of 512 up to 16m", option_name(opt), text);
	return (uint32_t)(n << shift);
}

/* What the options say together. */
struct command_line {
	struct options *opt;
	const struct workload *workload;
	int mix; /* -1: not given */
	bool port;
};

static const struct workload *find_workload(const char *word)
{
	for (size_t i = 0; i < sizeof(workloads) / sizeof(*workloads); i++) {
		if (!strcmp(workloads[i].word, word))
			return workloads + i;
	}
	usage_error("--rw %s: not read, write, randread, randwrite or randrw", word);
}

static void apply_workload(const struct command_line *line)
{
	const struct workload *w = line->workload;
	int mix = line->mix < 0 ? 70 : line->mix;

	if (w->mix >= 0 && line->mix >= 0)
		usage_error("--mix: only with --rw randrw");
	line->opt->rw = w->word;
	line->opt->random = w->random;
	line->opt->mix = (unsigned)(w->mix >= 0 ? w->mix : mix);
}

static void set_digests(struct options *opt, const char *word)
{
	bool both = !strcmp(word, "header,data");

	opt->header_digest = both || !strcmp(word, "header");
	opt->data_digest = both || !strcmp(word, "data");
	if (!opt->header_digest && !opt->data_digest && strcmp(word, "none"))
		usage_error("--digests %s: not none, header, data or header,data", word);
}

/* Copies [from, to) as a string. */
static bool copy_part(char *dst, size_t room, const char *from, const char *to)
{
	size_t len = (size_t)(to - from);

	if (!len || len >= room)
		return false;
	memcpy(dst, from, len);
	dst[len] = '\0';
	return true;
}

static bool parse_portal(struct options *opt, const char *from, const char *to)
{
	const char *host_end = *from == '[' ? memchr(from, ']', (size_t)(to - from)) : NULL;
	const char *colon;

	if (*from == '[' && !host_end)
		return false;
	colon = memchr(host_end ? host_end : from, ':',
		       (size_t)(to - (host_end ? host_end : from)));
	snprintf(opt->port, sizeof(opt->port), "%d", ISCSI_PORT);
	if (colon && !copy_part(opt->port, sizeof(opt->port), colon + 1, to))
		return false;
	if (!host_end)
		return copy_part(opt->host, sizeof(opt->host), from, colon ? colon : to);
	return host_end + 1 == (colon ? colon : to) &&
	       copy_part(opt->host, sizeof(opt->host), from + 1, host_end);
}

/* iscsi://HOST[:PORT]/IQN/LUN */
static void parse_url(struct options *opt, const char *url)
{
	static const char scheme[] = "iscsi://";
	const char *portal = url + sizeof(scheme) - 1;
	const char *iqn, *lun;
	char *end;
	unsigned long n;

	if (strncmp(url, scheme, sizeof(scheme) - 1) || !(iqn = strchr(portal, '/')) ||
	    !(lun = strchr(iqn + 1, '/')) || !parse_portal(opt, portal, iqn) ||
	    !copy_part(opt->target, sizeof(opt->target), iqn + 1, lun))
		usage_error("%s: not iscsi://HOST[:PORT]/IQN/LUN", url);
	n = strtoul(lun + 1, &end, 10);
	if (!isdigit((unsigned char)lun[1]) || *end || n > 16383)
		usage_error("%s: the LUN is not a number up to 16383", url);
	/* Peripheral addressing up to 255, flat space addressing above: SAM-5 section 4.7. */
	opt->lun[0] = (uint8_t)(n > 255 ? 0x40 | n >> 8 : 0);
	opt->lun[1] = (uint8_t)n;
}

static void set_option(struct command_line *line, int o, const char *arg)
{
	struct options *opt = line->opt;

	switch (o) {
	case OPT_RW: line->workload = find_workload(arg); break;
	case OPT_MIX: line->mix = (int)number(o, arg, 0, 100); break;
	case OPT_BS: opt->bs = size(o, arg); break;
	case OPT_QD: opt->qd = (unsigned)number(o, arg, 1, QD_MAX); break;
	case OPT_IDLE: opt->idle = true; __attribute__((fallthrough));
	case OPT_CONNECTIONS:
		opt->connections = (unsigned)number(o, arg, 1, CONNECTIONS_MAX);
		break;
	case OPT_SECONDS: opt->seconds = duration(o, arg); break;
	case OPT_WARMUP: opt->warmup = duration(o, arg); break;
	case OPT_DIGESTS: set_digests(opt, arg); break;
	case OPT_VERIFY: opt->verify = true; break;
	case OPT_CPU: opt->cpu = (int)number(o, arg, 0, CPU_SETSIZE - 1); break;
	case OPT_TARGET_PID: opt->target_pid = (pid_t)number(o, arg, 1, 1 << 30); break;
	case OPT_JSON: opt->json = true; break;
	case OPT_BARE: opt->bare = true; break;
	case OPT_PORT:
		snprintf(opt->port, sizeof(opt->port), "%lu", number(o, arg, 0, 65535));
		line->port = true;
		break;
	case OPT_HELP: fputs(usage, stdout); exit(0);
	default: usage_error("bad option");
	}
}

void options_parse(struct options *opt, int argc, char **argv)
{
	struct command_line line = { .opt = opt, .workload = find_workload("randread"), .mix = -1 };
	int o;

	*opt = (struct options){
		.connections = 1,
		.qd = 32,
		.bs = 4096,
		.seconds = 5,
		.warmup = 1,
		.cpu = -1,
	};
	opterr = 0;
	while ((o = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		if (o == ':')
			usage_error("%s: a value is missing", argv[optind - 1]);
		if (o == '?')
			usage_error("%s: no such option", argv[optind - 1]);
		set_option(&line, o, optarg);
	}
	if (opt->bare != line.port)
		usage_error("--bare and --port go together");
	if (argc - optind != !opt->bare)
		usage_error("%s", opt->bare ? "--bare takes no URL" : "one URL is needed");
	if (!opt->bare)
		parse_url(opt, argv[optind]);
	apply_workload(&line);
}
