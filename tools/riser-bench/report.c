// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a run found, for people or as JSON.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bench.h"

static const struct percentile {
	const char *name;
	double percent;
} percentiles[] = {
	{ "p50", 50 }, { "p90", 90 }, { "p99", 99 }, { "p99.9", 99.9 }, { "max", 100 },
};

enum { PERCENTILES = sizeof(percentiles) / sizeof(*percentiles) };

static double per(double what, double of)
{
	return of > 0 ? what / of : 0;
}

static uint64_t ios(const struct results *r)
{
	return r->ios[IO_READ] + r->ios[IO_WRITE];
}

static double bytes(const struct results *r)
{
	return (double)(r->bytes[IO_READ] + r->bytes[IO_WRITE]);
}

static double percentile_us(const struct results *r, int i)
{
	return (double)histogram_percentile(&r->latency, percentiles[i].percent) / 1e3;
}

static void add(struct results *sum, const struct results *r)
{
	for (int i = 0; i < IO_DIRECTIONS; i++) {
		sum->ios[i] += r->ios[i];
		sum->bytes[i] += r->bytes[i];
	}
	sum->logins += r->logins;
	sum->verified += r->verified;
	sum->errors += r->errors;
	histogram_merge(&sum->latency, &r->latency);
}

/* JSON */

static void json_job(const struct job_options *job)
{
	printf("\"rw\": \"%s\", \"bs\": %u, \"qd\": %u, ", job->rw, job->bs, job->qd);
}

static void json_results(const struct results *r, unsigned connections, double seconds)
{
	printf("\"connections\": %u, \"seconds\": %.3f, \"reads\": %" PRIu64
	       ", \"writes\": %" PRIu64 ", \"iops\": %.1f, \"mb_per_s\": %.2f, ",
	       connections, seconds, r->ios[IO_READ], r->ios[IO_WRITE],
	       per((double)ios(r), seconds), per(bytes(r) / 1e6, seconds));
	printf("\"logins\": %" PRIu64 ", \"logins_per_s\": %.1f, \"latency_us\": {", r->logins,
	       per((double)r->logins, seconds));
	for (int i = 0; i < PERCENTILES; i++)
		printf("%s\"%s\": %.3f", i ? ", " : "", percentiles[i].name, percentile_us(r, i));
	printf("}, \"verified_blocks\": %" PRIu64 ", \"errors\": %" PRIu64, r->verified, r->errors);
}

static void json_target(const struct measurement *m, const struct results *r)
{
	const struct process_memory *memory = &m->target_memory;
	double us = m->target_cpu * 1e6;

	printf(", \"target\": {\"cpu_percent\": %.3f, \"cpu_us_per_io\": %.4f, "
	       "\"cpu_s_per_gb\": %.5f, \"cpu_us_per_login\": %.3f, \"logins_per_cpu_s\": %.1f, ",
	       per(m->target_cpu * 100, m->elapsed), per(us, (double)ios(r)),
	       per(m->target_cpu, bytes(r) / 1e9), per(us, (double)r->logins),
	       per((double)r->logins, m->target_cpu));
	printf("\"rss_anon\": %" PRIu64 ", \"rss_file\": %" PRIu64 ", \"rss_shmem\": %" PRIu64
	       ", \"threads\": [",
	       memory->rss_anon, memory->rss_file, memory->rss_shmem);
	for (unsigned i = 0; i < m->target_threads.count; i++) {
		const struct thread_cpu *t = m->target_threads.thread + i;

		printf("%s{\"tid\": %d, \"name\": \"%s\", \"cpu_percent\": %.3f}", i ? ", " : "",
		       (int)t->tid, t->name, per(t->seconds * 100, m->elapsed));
	}
	printf("]}");
}

static void json(const struct options *opt, const struct measurement *m, const struct results *sum,
		 unsigned connections)
{
	putchar('{');
	if (opt->several)
		printf("\"rw\": \"jobs\", ");
	else
		json_job(opt->jobs);
	json_results(sum, connections, m->elapsed);
	printf(", \"opening_seconds\": %.3f, \"client\": {\"cpu_percent\": %.3f, "
	       "\"cpu_us_per_io\": %.4f, \"rss\": %" PRIu64 "}",
	       m->opening, per(m->client_cpu * 100, m->elapsed),
	       per(m->client_cpu * 1e6, (double)ios(sum)), m->client_rss);
	if (m->have_target)
		json_target(m, sum);
	if (m->have_after)
		printf(", \"after\": {\"first_second_cpu_percent\": %.3f, \"cpu_percent\": %.3f, "
		       "\"seconds\": %.3f}",
		       m->after_first * 100, m->after_rest * 100, opt->after);
	for (unsigned i = 0; i < opt->job_count && opt->several; i++) {
		printf("%s{", i ? ", " : ", \"jobs\": [");
		json_job(opt->jobs + i);
		json_results(m->results + i, opt->jobs[i].connections, m->elapsed);
		putchar('}');
	}
	puts(opt->several ? "]}" : "}");
}

/* Text */

static void text_job(const struct job_options *job, const struct results *r, double seconds)
{
	if (job->kind == JOB_IDLE)
		printf("%u idle sessions for %.1f s\n", job->connections, seconds);
	else if (job->kind == JOB_LOGIN)
		printf("%u at a time for %.1f s: %.0f logins per second\n", job->connections,
		       seconds, per((double)r->logins, seconds));
	else
		printf("%s %u bytes, %u x QD %u, %.1f s: %.0f IOPS, %.1f MB/s\n", job->rw, job->bs,
		       job->connections, job->qd, seconds, per((double)ios(r), seconds),
		       per(bytes(r) / 1e6, seconds));
	if (job->kind != JOB_IDLE) {
		printf("latency in us:");
		for (int i = 0; i < PERCENTILES; i++)
			printf("  %s %.1f", percentiles[i].name, percentile_us(r, i));
		putchar('\n');
	}
	if (job->verify)
		printf("blocks verified: %" PRIu64 "\n", r->verified);
	if (r->errors)
		printf("errors: %" PRIu64 "\n", r->errors);
}

static void text_target(const struct measurement *m, const struct results *r)
{
	printf("target: %.1f %% of a CPU", per(m->target_cpu * 100, m->elapsed));
	if (ios(r))
		printf(", %.3f us per I/O, %.4f s per GB", per(m->target_cpu * 1e6, (double)ios(r)),
		       per(m->target_cpu, bytes(r) / 1e9));
	if (r->logins)
		printf(", %.0f logins per second of it", per((double)r->logins, m->target_cpu));
	printf("; resident: %.1f MiB anonymous, %.1f MiB shared memory\n",
	       (double)m->target_memory.rss_anon / 1048576,
	       (double)m->target_memory.rss_shmem / 1048576);
	for (unsigned i = 0; i < m->target_threads.count && m->target_threads.count > 1; i++)
		printf("  thread %s: %.1f %%\n", m->target_threads.thread[i].name,
		       per(m->target_threads.thread[i].seconds * 100, m->elapsed));
}

static void text(const struct options *opt, const struct measurement *m, const struct results *sum)
{
	for (unsigned i = 0; i < opt->job_count; i++)
		text_job(opt->jobs + i, m->results + i, m->elapsed);
	if (m->have_target)
		text_target(m, sum);
	if (m->have_after)
		printf("afterwards: %.2f %% in the first second, then %.2f %% for %.1f s\n",
		       m->after_first * 100, m->after_rest * 100, opt->after);
}

void report(const struct options *opt, const struct measurement *m)
{
	static struct results sum;
	unsigned connections = 0;

	for (unsigned i = 0; i < opt->job_count; i++) {
		add(&sum, m->results + i);
		connections += opt->jobs[i].connections;
	}
	if (opt->json)
		json(opt, m, &sum, connections);
	else
		text(opt, m, &sum);
}
