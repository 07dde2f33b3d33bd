// SPDX-License-Identifier: BSD-2-Clause
/*
 * The command line.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

static const char usage[] =
	"usage: riser-bench iscsi://HOST[:PORT]/IQN/LUN [OPTION]...\n"
	"       riser-bench --bare --port N [--memory SIZE] [--cpu N] [--spin US]\n"
	"\n"
	"Load for an iSCSI target, with figures. Writes destroy what is on the disk.\n"
	"\n"
	"  --job \"OPTION...\"  one more workload at the same time, up to 8; what it does not\n"
	"                     say is as on the command line; it may have a URL of its own\n"
	"\n"
	"a workload:\n"
	"  --rw WORD          read, write, randread (default), randwrite or randrw\n"
	"  --mix PERCENT      share of reads of randrw (70)\n"
	"  --bs SIZE          bytes per command, k and m allowed (4k)\n"
	"  --qd N             commands in flight per connection (32)\n"
	"  --connections N    sessions of one connection each (1)\n"
	"  --count N          exactly N commands, however long it takes\n"
	"  --digests WHICH    none (default), header, data or header,data\n"
	"  --verify           stamp what is written, check what is read\n"
	"  --idle N           hold N idle sessions instead of I/O\n"
	"  --logins N         N connections log in and out in a loop instead of I/O\n"
	"\n"
	"the run:\n"
	"  --seconds N        how long to measure (5); --warmup N before it (1)\n"
	"  --after N          then keep the sessions for 1 s and N s more, without load\n"
	"  --opening N        logins in flight while sessions are opened (32)\n"
	"  --spin US          how long to spin before sleeping (50)\n"
	"  --cpu N            pin to CPU N\n"
	"  --target-pid PID   also measure CPU time and memory of that process\n"
	"  --json             print one JSON object\n"
	"\n"
	"  --bare             be a server without SCSI: the limit of the machine\n"
	"  --port N           where --bare listens on 127.0.0.1 (0: any, printed)\n"
	"  --memory SIZE      a disk of memory behind --bare, k, m and g allowed\n"
	"  -h, --help         print this; --version prints the version\n";

enum {
	/* Of a workload. */
	OPT_RW,
	OPT_MIX,
	OPT_BS,
	OPT_QD,
	OPT_CONNECTIONS,
	OPT_COUNT,
	OPT_DIGESTS,
	OPT_VERIFY,
	OPT_IDLE,
	OPT_LOGINS,
	/* Of the run. */
	OPT_JOB,
	OPT_SECONDS,
	OPT_WARMUP,
	OPT_AFTER,
	OPT_OPENING,
	OPT_SPIN,
	OPT_CPU,
	OPT_TARGET_PID,
	OPT_JSON,
	OPT_BARE,
	OPT_PORT,
	OPT_MEMORY,
	OPT_HELP,
	OPT_VERSION,
};

enum { WORDS_MAX = 64 };

static const struct option long_options[] = {
	{ "rw", required_argument, NULL, OPT_RW },
	{ "mix", required_argument, NULL, OPT_MIX },
	{ "bs", required_argument, NULL, OPT_BS },
	{ "qd", required_argument, NULL, OPT_QD },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "digests", required_argument, NULL, OPT_DIGESTS },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "logins", required_argument, NULL, OPT_LOGINS },
	{ "job", required_argument, NULL, OPT_JOB },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "warmup", required_argument, NULL, OPT_WARMUP },
	{ "after", required_argument, NULL, OPT_AFTER },
	{ "opening", required_argument, NULL, OPT_OPENING },
	{ "spin", required_argument, NULL, OPT_SPIN },
	{ "cpu", required_argument, NULL, OPT_CPU },
	{ "target-pid", required_argument, NULL, OPT_TARGET_PID },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "bare", no_argument, NULL, OPT_BARE },
	{ "port", required_argument, NULL, OPT_PORT },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
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

/* Bytes: a multiple of 512 up to max, which usage calls `limit`. */
static uint64_t size(int opt, const char *text, uint64_t max, const char *limit)
{
	static const char units[] = "kmg";
	char *end;
	unsigned long n = strtoul(text, &end, 10);
	const char *unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

	if (unit)
		end++;
	if (!isdigit((unsigned char)*text) || *end || n > max >> shift || n << shift < 512 ||
	    (n << shift) % 512)
		usage_error("--%s %s: not a multiple of 512 up to %s", option_name(opt), text,
			    limit);
	return n << shift;
}

/* What the options of a workload say together. */
struct job_line {
	struct job_options opt;
	const struct workload *workload;
	int mix; /* -1: not given */
};

struct command_line {
	struct options *opt;
	struct job_line job; /* what stands outside of --job */
	const char *jobs[JOBS_MAX];
	unsigned job_count;
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

static void add_job(struct options *opt, const struct job_line *line)
{
	struct job_options *job = opt->jobs + opt->job_count++;
	const struct workload *w = line->workload;
	int mix = line->mix < 0 ? 70 : line->mix;

	*job = line->opt;
	if (!*job->host)
		usage_error("a URL is needed");
	if (w->mix >= 0 && line->mix >= 0)
		usage_error("--mix: only with --rw randrw");
	if (job->count && job->kind != JOB_IO)
		usage_error("--count: only with --rw");
	job->random = w->random;
	job->mix = (unsigned)(w->mix >= 0 ? w->mix : mix);
	job->rw = job->kind == JOB_IO ? w->word : job->kind == JOB_IDLE ? "idle" : "login";
}

static void set_digests(struct job_options *opt, const char *word)
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

static bool parse_portal(struct job_options *opt, const char *from, const char *to)
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
static void parse_url(struct job_options *opt, const char *url)
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

static void set_connections(struct job_options *opt, int o, const char *arg, enum job_kind kind)
{
	opt->kind = kind;
	opt->connections = (unsigned)number(o, arg, 1, CONNECTIONS_MAX);
}

static void set_job_option(struct job_line *line, int o, const char *arg)
{
	struct job_options *opt = &line->opt;

	switch (o) {
	case OPT_RW:
		line->workload = find_workload(arg);
		opt->kind = JOB_IO;
		break;
	case OPT_MIX: line->mix = (int)number(o, arg, 0, 100); break;
	case OPT_BS: opt->bs = (uint32_t)size(o, arg, BS_MAX, "16m"); break;
	case OPT_QD: opt->qd = (unsigned)number(o, arg, 1, QD_MAX); break;
	case OPT_CONNECTIONS: set_connections(opt, o, arg, opt->kind); break;
	case OPT_IDLE: set_connections(opt, o, arg, JOB_IDLE); break;
	case OPT_LOGINS: set_connections(opt, o, arg, JOB_LOGIN); break;
	case OPT_COUNT: opt->count = number(o, arg, 1, ULONG_MAX / 2); break;
	case OPT_DIGESTS: set_digests(opt, arg); break;
	case OPT_VERIFY: opt->verify = true; break;
	}
}

static void set_run_option(struct command_line *line, int o, const char *arg)
{
	struct options *opt = line->opt;

	switch (o) {
	case OPT_JOB:
		if (line->job_count == JOBS_MAX)
			usage_error("--job %s: more than %d", arg, JOBS_MAX);
		line->jobs[line->job_count++] = arg;
		break;
	case OPT_SECONDS: opt->seconds = duration(o, arg); break;
	case OPT_WARMUP: opt->warmup = duration(o, arg); break;
	case OPT_AFTER: opt->after = duration(o, arg); break;
	case OPT_OPENING: opt->opening = (unsigned)number(o, arg, 1, CONNECTIONS_MAX); break;
	case OPT_SPIN: opt->spin_ns = number(o, arg, 0, 1000000) * 1000; break;
	case OPT_CPU: opt->cpu = (int)number(o, arg, 0, CPU_SETSIZE - 1); break;
	case OPT_TARGET_PID: opt->target_pid = (pid_t)number(o, arg, 1, 1 << 30); break;
	case OPT_JSON: opt->json = true; break;
	case OPT_BARE: opt->bare = true; break;
	case OPT_PORT:
		snprintf(opt->port, sizeof(opt->port), "%lu", number(o, arg, 0, 65535));
		line->port = true;
		break;
	case OPT_MEMORY: opt->memory = size(o, arg, (uint64_t)1 << 40, "1024g"); break;
	case OPT_HELP: fputs(usage, stdout); exit(0);
	case OPT_VERSION: puts("riser-bench 0.1"); exit(0);
	}
}

static int next_option(int argc, char **argv)
{
	int o = getopt_long(argc, argv, ":h", long_options, NULL);

	if (o == ':')
		usage_error("%s: a value is missing", argv[optind - 1]);
	if (o == '?')
		usage_error("%s: no such option", argv[optind - 1]);
	return o == 'h' ? OPT_HELP : o;
}

/* One --job: words with blanks between them. The text is copied, since getopt moves words. */
static void parse_job(struct options *opt, struct job_line line, const char *text)
{
	char *copy = strdup(text), *rest = copy, *word;
	char *words[WORDS_MAX + 1] = { (char[]){ "riser-bench" } };
	int count = 1, o;

	while (copy && (word = strtok_r(rest, " \t", &rest))) {
		if (count == WORDS_MAX)
			usage_error("--job %s: too long", text);
		words[count++] = word;
	}
	optind = 0; /* from the start again */
	while ((o = next_option(count, words)) != -1) {
		if (o >= OPT_JOB)
			usage_error("--%s: not in a --job", option_name(o));
		set_job_option(&line, o, optarg);
	}
	if (count - optind > 1)
		usage_error("--job %s: more than one URL", text);
	if (count - optind == 1)
		parse_url(&line.opt, words[optind]);
	add_job(opt, &line);
	free(copy);
}

static void parse_jobs(struct command_line *line)
{
	line->opt->several = line->job_count > 0;
	for (unsigned i = 0; i < line->job_count; i++)
		parse_job(line->opt, line->job, line->jobs[i]);
	if (!line->job_count)
		add_job(line->opt, &line->job);
}

void options_parse(struct options *opt, int argc, char **argv)
{
	struct command_line line = {
		.opt = opt,
		.job = { .opt = { .connections = 1, .qd = 32, .bs = 4096 },
			 .workload = find_workload("randread"),
			 .mix = -1 },
	};
	int o;

	*opt = (struct options){
		.seconds = 5,
		.warmup = 1,
		.opening = 32,
		.spin_ns = 50 * 1000,
		.cpu = -1,
	};
	opterr = 0;
	while ((o = next_option(argc, argv)) != -1) {
		if (o < OPT_JOB)
			set_job_option(&line.job, o, optarg);
		else
			set_run_option(&line, o, optarg);
	}
	if (opt->bare != line.port)
		usage_error("--bare and --port go together");
	if (opt->memory && !opt->bare)
		usage_error("--memory: only with --bare");
	if (opt->bare ? optind < argc || line.job_count : argc - optind > 1)
		usage_error("%s", opt->bare ? "--bare takes no URL" : "one URL is needed");
	if (opt->bare)
		return;
	if (optind < argc)
		parse_url(&line.job.opt, argv[optind]);
	parse_jobs(&line);
}
