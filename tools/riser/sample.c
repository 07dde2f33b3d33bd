// SPDX-License-Identifier: BSD-2-Clause
/* Rates of LUNs, targets and sessions. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "histogram.h"
#include "out.h"
#include "sample.h"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void sample_free(struct sample *s)
{
	json_decref(s->luns);
	json_decref(s->sessions);
	*s = (struct sample){ 0 };
}

enum status sample_take(struct riser *r, struct sample *s)
{
	json_t *error;
	enum status status = sample_ask(r, s, &error);

	if (status)
		client_report(r, status, error);
	json_decref(error);
	return status;
}

enum status sample_ask(struct riser *r, struct sample *s, json_t **error)
{
	json_t *stats;
	enum status status = client_ask(r, "stats.get", NULL, &stats, error);

	*s = (struct sample){ .at = now() };
	if (status)
		return status;
	s->luns = json_incref(json_object_get(stats, "luns"));
	s->sessions = json_incref(json_object_get(stats, "sessions"));
	json_decref(stats);
	return STATUS_OK;
}

bool sample_wait(double seconds)
{
	struct timespec t = { .tv_sec = (time_t)seconds };

	t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
	return nanosleep(&t, NULL) == 0;
}

/* --- differences --- */

static const char *key_of(const json_t *o, enum rate_by by, char *buf, size_t size)
{
	if (by == RATE_SESSION)
		return member_text(o, *member_text(o, "id") ? "id" : "session");
	snprintf(buf, size, "%s %lld", member_text(o, "target"),
		 (long long)member_number(o, "lun"));
	return buf;
}

static const json_t *array_of(const struct sample *s, enum rate_by by)
{
	return by == RATE_SESSION ? s->sessions : s->luns;
}

/* The objects of a sample by their keys, borrowed; ten thousand of them are no trouble. */
static json_t *index_of(const struct sample *s, enum rate_by by)
{
	const json_t *array = array_of(s, by), *o;
	json_t *index = json_object();
	char key[512];

	each_member(array, o)
		json_object_set(index, key_of(o, by, key, sizeof(key)), (json_t *)o);
	return index;
}

/* Some objects have their counters beside them, some in a member of their own. */
static const json_t *counters(const json_t *o)
{
	const json_t *stats = json_object_get(o, "stats");

	return stats ? stats : o;
}

static double grown(const json_t *before, const json_t *after, const char *key)
{
	double d = (double)member_number(counters(after), key) -
		   (double)member_number(counters(before), key);

	return before && d > 0 ? d : 0;
}

static double errors_grown(const json_t *before, const json_t *after)
{
	static const char *const keys[] = { "read_errors", "write_errors", "rejects", "aborts" };
	double sum = 0;

	for (unsigned int i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		sum += grown(before, after, keys[i]);
	return sum;
}

/* Reads and writes together, of the time between both looks. */
static void add_latency(struct histogram *h, const json_t *before, const json_t *after)
{
	static const char *const kinds[] = { "read", "write" };

	for (unsigned int i = 0; i < 2; i++) {
		const json_t *b = json_object_get(json_object_get(before, "latency"), kinds[i]);
		const json_t *a = json_object_get(json_object_get(after, "latency"), kinds[i]);

		histogram_add(h, json_object_get(a, "buckets"), 1);
		histogram_add(h, json_object_get(b, "buckets"), -1);
	}
}

static void add_counters(struct rate *rate, const json_t *before, const json_t *after,
			 double seconds)
{
	rate->iops += grown(before, after, "commands") / seconds;
	rate->read += grown(before, after, "read_bytes") / seconds;
	rate->write += grown(before, after, "write_bytes") / seconds;
	rate->errors += errors_grown(before, after) / seconds;
	rate->queue +=
		member_number(after, json_object_get(after, "queue") ? "queue" : "outstanding");
}

static struct rate named(const json_t *o, enum rate_by by)
{
	return (struct rate){
		.target = member_text(o, "target"),
		.initiator = member_text(o, "initiator"),
		.session = by == RATE_SESSION ? key_of(o, by, NULL, 0) : "",
		.lun = by == RATE_LUN ? member_number(o, "lun") : -1,
		.p50_ns = NAN,
		.p99_ns = NAN,
	};
}

size_t sample_rates(const struct sample *before, const struct sample *after, enum rate_by by,
		    struct rate **out)
{
	const json_t *array = array_of(after, by), *o;
	struct rate *rates = calloc(json_array_size(array) + 1, sizeof(*rates));
	json_t *index = index_of(before, by);
	struct histogram histogram = { 0 };
	double seconds = fmax(after->at - before->at, 1e-3);
	size_t count = 0;
	char key[512];

	each_member(array, o) {
		const json_t *old = json_object_get(index, key_of(o, by, key, sizeof(key)));
		struct rate next = named(o, by);

		if (!rates)
			break;
		/* LUNs of one target stand together. */
		if (by != RATE_TARGET || !count ||
		    strcmp(rates[count - 1].target, next.target) != 0) {
			histogram = (struct histogram){ 0 };
			rates[count++] = next;
		}
		add_counters(&rates[count - 1], old, o, seconds);
		if (old)
			add_latency(&histogram, old, o);
		rates[count - 1].p50_ns = histogram_percentile(&histogram, 50);
		rates[count - 1].p99_ns = histogram_percentile(&histogram, 99);
	}
	json_decref(index);
	*out = rates;
	return count;
}

struct rate sample_total(const struct rate *rates, size_t count)
{
	struct rate sum = { .target = "", .initiator = "", .session = "", .lun = -1 };

	for (size_t i = 0; i < count; i++) {
		sum.iops += rates[i].iops;
		sum.read += rates[i].read;
		sum.write += rates[i].write;
		sum.errors += rates[i].errors;
		sum.queue += rates[i].queue;
	}
	sum.p50_ns = sum.p99_ns = NAN;
	return sum;
}

const char *rate_text(const struct rate *rate)
{
	static char buf[160];
	int n;

	if (rate->iops < 0.5 && rate->read + rate->write < 1)
		return "idle";
	n = snprintf(buf, sizeof(buf), "%s IOPS", human_count(rate->iops));
	if (rate->read >= 1)
		n += snprintf(buf + n, sizeof(buf) - (size_t)n, ", %s/s read",
			      human_bytes(rate->read));
	if (rate->write >= 1)
		snprintf(buf + n, sizeof(buf) - (size_t)n, ", %s/s written",
			 human_bytes(rate->write));
	return buf;
}

static json_t *or_null(double value)
{
	return isnan(value) || fabs(value) >= 0x1p63 ? json_null()
						     : json_integer((json_int_t)value);
}

json_t *rate_json(const struct rate *rate)
{
	return json_pack("{s:f, s:f, s:f, s:f, s:o, s:o, s:I}", "commands_per_s", rate->iops,
			 "read_bytes_per_s", rate->read, "write_bytes_per_s", rate->write,
			 "errors_per_s", rate->errors, "p50_ns", or_null(rate->p50_ns), "p99_ns",
			 or_null(rate->p99_ns), "queue", (json_int_t)rate->queue);
}
