// SPDX-License-Identifier: BSD-2-Clause
/* riser without a command: portals, targets, LUNs and who is connected, with health and rates. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "out.h"
#include "sample.h"
#include "show.h"

enum { PREFIX = 64, PATH_WIDTH = 40 };

/* All that the tree is made of. */
struct view {
	struct riser *r;
	json_t *status, *portals, *targets, *sessions;
	struct sample before, after;
	struct rate *luns, *logins;
	size_t lun_count, login_count;
	json_t *lun_index, *login_index; /* key: place in the arrays */
};

static void view_free(struct view *v)
{
	json_decref(v->status);
	json_decref(v->portals);
	json_decref(v->targets);
	json_decref(v->sessions);
	sample_free(&v->before);
	sample_free(&v->after);
	free(v->luns);
	free(v->logins);
	json_decref(v->lun_index);
	json_decref(v->login_index);
}

/* --- rates --- */

static void lun_key(char *buf, size_t size, const char *target, int64_t lun)
{
	snprintf(buf, size, "%s %lld", target, (long long)lun);
}

static enum status take_rates(struct view *v, double seconds)
{
	enum status status = sample_take(v->r, &v->before);
	char key[512];

	if (!status)
		sample_wait(seconds);
	if (!status)
		status = sample_take(v->r, &v->after);
	if (status)
		return status;
	v->lun_count = sample_rates(&v->before, &v->after, RATE_LUN, &v->luns);
	v->login_count = sample_rates(&v->before, &v->after, RATE_SESSION, &v->logins);
	v->lun_index = json_object();
	v->login_index = json_object();
	for (size_t i = 0; i < v->lun_count; i++) {
		lun_key(key, sizeof(key), v->luns[i].target, v->luns[i].lun);
		json_object_set_new(v->lun_index, key, json_integer((json_int_t)i));
	}
	for (size_t i = 0; i < v->login_count; i++)
		json_object_set_new(v->login_index, v->logins[i].session,
				    json_integer((json_int_t)i));
	return STATUS_OK;
}

static const struct rate *lun_rate(const struct view *v, const char *target, int64_t lun)
{
	const json_t *i;
	char key[512];

	lun_key(key, sizeof(key), target, lun);
	i = json_object_get(v->lun_index, key);
	return i ? &v->luns[json_integer_value(i)] : NULL;
}

static const struct rate *login_rate(const struct view *v, const char *session)
{
	const json_t *i = json_object_get(v->login_index, session);

	return i ? &v->logins[json_integer_value(i)] : NULL;
}

/* --- lines --- */

static const char *twig(const struct view *v, bool last)
{
	if (v->r->utf8)
		return last ? "\u2514\u2500 " : "\u251c\u2500 ";
	return last ? "`- " : "|- ";
}

static const char *below(const struct view *v, bool last)
{
	if (last)
		return "   ";
	return v->r->utf8 ? "\u2502  " : "|  ";
}

static void begin(const struct view *v, const char *prefix, bool last)
{
	printf("%s%s%s%s", paint(v->r, COLOR_DIM), prefix, twig(v, last), paint(v->r, COLOR_OFF));
}

/* Text of others, padded to `width` columns. */
static void padded(const char *text, unsigned int width)
{
	unsigned int used = text_width(text);

	out_text(stdout, text);
	printf("%*s  ", used < width ? (int)(width - used) : 0, "");
}

static void print_rate(const struct view *v, const struct rate *rate)
{
	if (rate)
		printf("%s%s%s", paint(v->r, COLOR_DIM), rate_text(rate), paint(v->r, COLOR_OFF));
	putchar('\n');
}

static unsigned int widest(const json_t *array, const char *key)
{
	const json_t *o;
	unsigned int width = 0;

	each_member(array, o) {
		unsigned int w = text_width(member_text(o, key));

		width = w > width ? w : width;
	}
	return width > PATH_WIDTH ? PATH_WIDTH : width;
}

static void print_portals(const struct view *v, bool last)
{
	size_t count = json_array_size(v->portals), n = 0;
	unsigned int width = widest(v->portals, "address");
	const json_t *p;
	char active[64];

	begin(v, "", last);
	printf("portals\n");
	each_member(v->portals, p) {
		const char *access = member_text(p, "access"), *to = member_text(p, "redirect");

		begin(v, below(v, last), ++n == count);
		padded(member_text(p, "address"), width);
		joined(json_object_get(p, "active"), active, sizeof(active));
		printf("%s%s%s", paint(v->r, *active ? COLOR_OFF : COLOR_RED),
		       *active ? shown(active) : "not listening", paint(v->r, COLOR_OFF));
		printf("  group %lld", (long long)member_number(p, "tag"));
		if (*access)
			printf("  %s%s", shown(access),
			       member_true(p, "preferred") ? ", preferred" : "");
		if (*to) {
			printf("  redirects to ");
			out_text(stdout, to);
		}
		putchar('\n');
	}
}

static void print_lun(const struct view *v, const json_t *lun, unsigned int width,
		      const char *target)
{
	const char *health = member_text(lun, "health"), *path = member_text(lun, "path");

	printf("LUN %-3lld ", (long long)member_number(lun, "lun"));
	padded(path, width);
	printf("%-5s  %8s  ", shown(member_text(lun, "kind")),
	       human_size((uint64_t)member_number(lun, "size")));
	if (member_true(lun, "readonly"))
		printf("read-only  ");
	printf("%s%s%s  ", paint(v->r, health_color(health)), shown(health),
	       paint(v->r, COLOR_OFF));
	print_rate(v, lun_rate(v, target, member_number(lun, "lun")));
}

static void print_session(const struct view *v, const json_t *s, unsigned int width)
{
	const char *user = member_text(s, "user");

	padded(member_text(s, "initiator"), width);
	out_text(stdout, member_text(s, "from"));
	printf("  %s  ", shown(member_text(s, "transport")));
	if (*user) {
		out_text(stdout, user);
		printf("  ");
	}
	printf("%s  ", human_since(member_text(s, "since")));
	print_rate(v, login_rate(v, member_text(s, "id")));
}

/* {target: [session]}, so that many of both are no trouble. */
static json_t *by_target(const json_t *sessions)
{
	json_t *all = json_object(), *own;
	const json_t *s;

	each_member(sessions, s) {
		const char *target = member_text(s, "target");

		if (!json_object_get(all, target))
			json_object_set_new(all, target, json_array());
		own = json_object_get(all, target);
		json_array_append(own, (json_t *)s);
	}
	return all;
}

static void print_target(const struct view *v, const json_t *t, const json_t *sessions, bool last)
{
	const char *name = member_text(t, "name"), *alias = member_text(t, "alias");
	const char *prefix = below(v, last), *redirect = member_text(t, "redirect");
	const json_t *luns = json_object_get(t, "luns"), *item;
	size_t left = json_array_size(luns) + json_array_size(sessions);
	unsigned int paths = widest(luns, "path"), names = widest(sessions, "initiator");

	begin(v, "", last);
	printf("%s", paint(v->r, COLOR_BOLD));
	out_text(stdout, name);
	printf("%s", paint(v->r, COLOR_OFF));
	if (*alias) {
		printf("  \"");
		out_text(stdout, alias);
		putchar('"');
	}
	if (*redirect) {
		printf("  redirects to ");
		out_text(stdout, redirect);
	}
	if (!json_array_size(sessions))
		printf("  %snobody is logged in%s", paint(v->r, COLOR_DIM), paint(v->r, COLOR_OFF));
	putchar('\n');
	each_member(luns, item) {
		begin(v, prefix, !--left);
		print_lun(v, item, paths, name);
	}
	each_member(sessions, item) {
		begin(v, prefix, !--left);
		print_session(v, item, names);
	}
}

/* A sentence of its own for each thing that is wrong. */
static void print_problems(const struct view *v)
{
	const json_t *problems = json_object_get(v->status, "problems"), *p;
	const json_t *reload = json_object_get(v->status, "last_reload");

	each_member(problems, p) {
		printf("%s! ", paint(v->r, COLOR_RED));
		out_text(stdout, json_is_string(p) ? json_string_value(p) : "");
		printf("%s\n", paint(v->r, COLOR_OFF));
	}
	if (json_is_object(reload) && !member_true(reload, "ok")) {
		printf("%s! not applied, %s ago: ", paint(v->r, COLOR_RED),
		       human_since(member_text(reload, "time")));
		out_text(stdout, member_text(reload, "message"));
		printf("%s\n", paint(v->r, COLOR_OFF));
	}
}

static void counted(const char *what, int64_t n)
{
	printf("  %lld %s%s", (long long)n, what, n == 1 ? "" : "s");
}

static void print_head(const struct view *v)
{
	const char *health = member_text(v->status, "health");
	struct rate total = sample_total(v->luns, v->lun_count);

	printf("%sriserd %s%s  %s%s%s  up %s", paint(v->r, COLOR_BOLD),
	       shown(member_text(v->status, "version")), paint(v->r, COLOR_OFF),
	       paint(v->r, health_color(health)), shown(health), paint(v->r, COLOR_OFF),
	       human_seconds(member_real(v->status, "uptime_s")));
	counted("target", member_number(v->status, "targets"));
	counted("LUN", member_number(v->status, "luns"));
	counted("session", member_number(v->status, "sessions"));
	if (v->luns)
		printf("  %s", rate_text(&total));
	putchar('\n');
	print_problems(v);
}

static void print_view(const struct view *v)
{
	size_t targets = json_array_size(v->targets), n = 0;
	json_t *sessions = by_target(v->sessions);
	const json_t *t;

	print_head(v);
	print_portals(v, !targets);
	each_member(v->targets, t)
		print_target(v, t, json_object_get(sessions, member_text(t, "name")),
			     ++n == targets);
	json_decref(sessions);
}

/* The same objects, each with its rates. */
static void json_view(const struct view *v)
{
	struct rate total = sample_total(v->luns, v->lun_count);
	json_t *t, *lun, *s, *all;

	each_member(v->targets, t) {
		json_t *luns = json_object_get(t, "luns");

		each_member(luns, lun) {
			const struct rate *rate =
				lun_rate(v, member_text(t, "name"), member_number(lun, "lun"));

			if (rate)
				json_object_set_new(lun, "rates", rate_json(rate));
		}
	}
	each_member(v->sessions, s) {
		const struct rate *rate = login_rate(v, member_text(s, "id"));

		if (rate)
			json_object_set_new(s, "rates", rate_json(rate));
	}
	all = json_pack("{s:O, s:O, s:O, s:O, s:o*}", "status", v->status, "portals", v->portals,
			"targets", v->targets, "sessions", v->sessions, "rates",
			v->luns ? rate_json(&total) : NULL);
	out_json(all);
	json_decref(all);
}

static enum status run_status(struct riser *r, const struct args *a)
{
	struct view v = { .r = r };
	double seconds = args_real(a, "interval", 0.5);
	enum status status = client_call(r, "status", NULL, &v.status);

	if (!status)
		status = client_call(r, "portal.list", NULL, &v.portals);
	if (!status)
		status = client_call(r, "target.list", NULL, &v.targets);
	if (!status)
		status = client_call(r, "session.list", NULL, &v.sessions);
	if (!status && seconds > 0)
		status = take_rates(&v, seconds);
	if (!status && r->json)
		json_view(&v);
	else if (!status)
		print_view(&v);
	view_free(&v);
	return status;
}

const struct command tree_commands[] = {
	{ .noun = "status",
	  .about = "The tree of all that is served, and who is connected",
	  .details = "This is also what riser says without a command.",
	  .options = WORDS({ .name = "interval",
			     .letter = 'i',
			     .kind = KIND_REAL,
			     .value = "SECONDS",
			     .about = "over which rates are measured (0.5; 0: none)" }),
	  .run = run_status },
	{ .noun = NULL },
};
