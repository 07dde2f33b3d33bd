// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a run found, for people or as JSON; and what /proc tells about the target's process.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

static int read_proc(pid_t pid, const char *file, char *text, size_t size)
{
	char path[64];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fread(text, 1, size - 1, f);
	fclose(f);
	text[n] = '\0';
	return n ? 0 : -ESRCH;
}

static uint64_t status_bytes(const char *status, const char *key)
{
	const char *line = strstr(status, key);

	return line ? strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
}

/* Time of all threads, ended ones included. */
int process_stats(pid_t pid, struct process_stats *stats)
{
	char text[8192];
	uint64_t user, system;
	const char *p;
	int ret = read_proc(pid, "stat", text, sizeof(text));

	if (ret)
		return ret;
	/* The second field is a name in brackets that may hold anything: count from its end. */
	p = strrchr(text, ')');
	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
			 &user, &system) != 2)
		return -EINVAL;
	stats->cpu_seconds = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
	ret = read_proc(pid, "status", text, sizeof(text));
	if (ret)
		return ret;
	stats->rss_anon = status_bytes(text, "RssAnon:");
	stats->rss_file = status_bytes(text, "RssFile:");
	stats->rss_shmem = status_bytes(text, "RssShmem:");
	return 0;
}

struct figures {
	double iops;
	double mb_per_s; /* 10^6 bytes */
	uint64_t ios;
	double us[5]; /* latency, as named below */
	double target_us_per_io;
};

static const struct percentile {
	const char *name;
	double percent;
} percentiles[] = {
	{ "p50", 50 }, { "p90", 90 }, { "p99", 99 }, { "p99.9", 99.9 }, { "max", 100 },
};

static void compute(const struct results *r, struct figures *f)
{
	uint64_t bytes = r->bytes[IO_READ] + r->bytes[IO_WRITE];

	f->ios = r->ios[IO_READ] + r->ios[IO_WRITE];
	f->iops = r->elapsed > 0 ? (double)f->ios / r->elapsed : 0;
	f->mb_per_s = r->elapsed > 0 ? (double)bytes / r->elapsed / 1e6 : 0;
	for (int i = 0; i < 5; i++)
		f->us[i] = (double)histogram_percentile(&r->latency, percentiles[i].percent) / 1e3;
	f->target_us_per_io = f->ios ? r->target_cpu * 1e6 / (double)f->ios : 0;
}

static void print_json(const struct options *opt, const struct results *r, const struct figures *f)
{
	printf("{\"rw\": \"%s\", \"bs\": %u, \"qd\": %u, \"connections\": %u, \"seconds\": %.3f, ",
	       opt->idle ? "idle" : opt->rw, opt->bs, opt->qd, opt->connections, r->elapsed);
	printf("\"reads\": %" PRIu64 ", \"writes\": %" PRIu64 ", \"iops\": %.1f, "
	       "\"mb_per_s\": %.2f, \"latency_us\": {",
	       r->ios[IO_READ], r->ios[IO_WRITE], f->iops, f->mb_per_s);
	for (int i = 0; i < 5; i++)
		printf("%s\"%s\": %.3f", i ? ", " : "", percentiles[i].name, f->us[i]);
	printf("}, \"verified_blocks\": %" PRIu64 ", \"errors\": %" PRIu64, r->verified, r->errors);
	if (r->have_target) {
		printf(", \"target\": {\"cpu_percent\": %.3f, \"cpu_us_per_io\": %.4f, ",
		       r->target_cpu * 100 / r->elapsed, f->target_us_per_io);
		printf("\"rss_anon\": %" PRIu64 ", \"rss_file\": %" PRIu64
		       ", \"rss_shmem\": %" PRIu64 "}",
		       r->target.rss_anon, r->target.rss_file, r->target.rss_shmem);
	}
	puts("}");
}

static void print_text(const struct options *opt, const struct results *r, const struct figures *f)
{
	if (opt->idle) {
		printf("%u idle sessions for %.1f s\n", opt->connections, r->elapsed);
	} else {
		printf("%s %u bytes, %u x QD %u, %.1f s: %.0f IOPS, %.1f MB/s\n", opt->rw, opt->bs,
		       opt->connections, opt->qd, r->elapsed, f->iops, f->mb_per_s);
		printf("latency in us:");
		for (int i = 0; i < 5; i++)
			printf("  %s %.1f", percentiles[i].name, f->us[i]);
		putchar('\n');
	}
	if (opt->verify)
		printf("blocks verified: %" PRIu64 "\n", r->verified);
	if (r->have_target) {
		printf("target: %.1f %% of a CPU", r->target_cpu * 100 / r->elapsed);
		if (!opt->idle)
			printf(", %.3f us of CPU per I/O", f->target_us_per_io);
		printf(", %.1f MiB anonymous, %.1f MiB shared memory resident\n",
		       (double)r->target.rss_anon / 1048576, (double)r->target.rss_shmem / 1048576);
	}
	if (r->errors)
		printf("errors: %" PRIu64 "\n", r->errors);
}

void report(const struct options *opt, const struct results *results)
{
	struct figures f;

	compute(results, &f);
	if (opt->json)
		print_json(opt, results, &f);
	else
		print_text(opt, results, &f);
}
