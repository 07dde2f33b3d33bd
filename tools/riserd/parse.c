// SPDX-License-Identifier: BSD-2-Clause
/*
 * The configuration file: libconfuse reads it, and calls us for each value and at the end of each section.
 * Values are looked at when they come, where the line is known; nothing of libconfuse's own tree is used.
 *
 * It does not count the lines of comments right, so it gets spaces for them; and included files are read
 * after the one that names them, since its lexer is one for all.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parse_impl.h"
#include "secret.h"
#include "tree.h"

enum { FILE_MAX = 64 << 20, FILES_MAX = 1024, LINE_MAX_SHOWN = 200 };

/* libconfuse's callbacks have no argument of ours. [main thread] */
static struct parser *parsing;

/* --- Complaints */

/* A line that is shown may have what should stand in a file of its own. */
static void hide_secret(char *line)
{
	static const char *const words[] = { "secret", "password", "passwd" };

	for (unsigned int i = 0; i < array_size(words); i++) {
		for (char *at = line; (at = strcasestr(at, words[i]));) {
			size_t room = strlen(line), used;

			at += strlen(words[i]);
			/* The name of a file is none. */
			if (!strncmp(at, "-file", 5))
				continue;
			at += strcspn(at, " =\t");
			used = (size_t)(at - line);
			if (*at)
				snprintf(at, room - used + 1, " (hidden)");
			break;
		}
	}
}

static bool copy_line(const struct source *source, unsigned int line, char *out, size_t size)
{
	const char *at = source->text;
	size_t len;

	for (; line > 1 && at; line--) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	if (!at || !line)
		return false;
	at += strspn(at, " \t");
	len = strcspn(at, "\r\n");
	if (len >= size)
		len = size - 1;
	for (size_t i = 0; i < len; i++)
		out[i] = iscntrl((unsigned char)at[i]) ? ' ' : at[i];
	out[len] = '\0';
	hide_secret(out);
	return len > 0;
}

void parse_fail(struct parser *p, unsigned int line, const char *fmt, ...)
{
	char text[CONFIG_WHY], shown[LINE_MAX_SHOWN + 1];
	struct complaint c = { .text = text };
	va_list args;

	if (p->failed)
		return;
	p->failed = true;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (p->source) {
		c.place = (struct place){ p->source->name, line };
		if (copy_line(p->source, line, shown, sizeof(shown)))
			c.line = shown;
	}
	p->told(&c);
}

void parse_fail_at(struct parser *p, const struct place *place, const char *why)
{
	char shown[LINE_MAX_SHOWN + 1];
	struct complaint c = { *place, why, NULL };

	for (const struct source *s = p->done; s && place->file; s = s->next) {
		if (s->name == place->file && copy_line(s, place->line, shown, sizeof(shown)))
			c.line = shown;
	}
	p->failed = true;
	p->told(&c);
}

static void without_controls(const char *text, char *out, size_t size)
{
	size_t i = 0;

	for (; text[i] && i + 1 < size; i++)
		out[i] = iscntrl((unsigned char)text[i]) ? '?' : text[i];
	out[i] = '\0';
}

static const char *place_text(const struct place *place, char *out, size_t size)
{
	out[0] = '\0';
	if (place->file && place->line)
		snprintf(out, size, "%s:%u: ", place->file, place->line);
	else if (place->file)
		snprintf(out, size, "%s: ", place->file);
	return out;
}

void print_complaint(const struct complaint *c)
{
	char text[CONFIG_WHY], place[4200];

	without_controls(c->text, text, sizeof(text));
	fprintf(stderr, "%s%s\n", place_text(&c->place, place, sizeof(place)), text);
	if (c->line)
		fprintf(stderr, "    %s\n", c->line);
}

void log_complaint(const struct complaint *c)
{
	char text[CONFIG_WHY], place[4200];

	without_controls(c->text, text, sizeof(text));
	log_error("%s%s%s%s", place_text(&c->place, place, sizeof(place)), text,
		  c->line ? ": " : "", c->line ? c->line : "");
}

unsigned int parse_line_of(struct parser *p, unsigned int line, const char *word)
{
	unsigned int found = line;
	size_t len = strlen(word);

	/* From where the last search has ended: titles come in the order of the text. */
	if (!p->at || p->at_line > line) {
		p->at = p->source->text;
		p->at_line = 1;
	}
	for (; *p->at && p->at_line <= line; p->at++) {
		if (*p->at == '\n')
			p->at_line++;
		else if (len && !strncmp(p->at, word, len))
			found = p->at_line;
	}
	return found;
}

/* --- libconfuse's calls */

static void unknown_key(cfg_t *cfg, const char *name)
{
	const char *words[64], *near;
	unsigned int n = 0;

	for (cfg_opt_t *opt = cfg->opts; opt->name && n < 64; opt++) {
		/* libconfuse has one of its own for what it does not know */
		if (strcmp(opt->name, "__unknown") != 0)
			words[n++] = opt->name;
	}
	near = parse_nearest(name, words, n);
	if (near)
		parse_fail(parsing, (unsigned int)cfg->line,
			   "there is no '%.64s' here; is '%s' meant?", name, near);
	else
		parse_fail(parsing, (unsigned int)cfg->line,
			   "there is no '%.64s' here; riser.conf(5) has the words", name);
}

__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *fmt,
							   va_list args)
{
	char text[512];

	if (parsing->failed)
		return;
	if (strstr(fmt, "no such option")) {
		unknown_key(cfg, va_arg(args, const char *));
		return;
	}
	vsnprintf(text, sizeof(text), fmt, args);
	parse_fail(parsing, (unsigned int)cfg->line, "%s", text);
}

static uint32_t *seen_of(const struct key *table)
{
	return table == global_keys	 ? &parsing->globals
	       : table == portal_keys	 ? &parsing->portal_seen
	       : table == target_keys	 ? &parsing->target_seen
	       : table == lun_keys	 ? &parsing->lun_seen
	       : table == control_keys	 ? &parsing->control_seen
	       : table == metrics_keys	 ? &parsing->metrics_seen
	       : table == initiator_keys ? &parsing->initiator_seen
					 : &parsing->chap.seen;
}

static const struct key *const tables[] = {
	global_keys, portal_keys,    target_keys,  lun_keys,
	chap_keys,   initiator_keys, control_keys, metrics_keys
};

static int set_key(const struct key *table, unsigned int i, cfg_t *cfg, cfg_opt_t *opt,
		   const char *value)
{
	const struct key *key = &table[i];
	uint32_t *seen = seen_of(table);
	unsigned int line = (unsigned int)cfg->line;
	const char *takes;

	if (*seen & 1u << i && !(key->list && cfg_opt_size(opt) > 1)) {
		parse_fail(parsing, line, "%s is given twice", key->name);
		return -1;
	}
	*seen |= 1u << i;
	parsing->line = line;
	takes = key->set(parsing, key, value);
	if (takes && takes[0])
		parse_fail(parsing, line, "%s = %.200s: %s takes %s", key->name, value, key->name,
			   takes);
	return parsing->failed ? -1 : 0;
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	static const char *const names[] = { NULL,   "portal",	  "target",  "lun",
					     "chap", "initiator", "control", "metrics" };
	const struct key *table = tables[0];

	*(const char **)result = value;
	for (unsigned int t = 1; t < array_size(tables); t++) {
		if (!strcmp(cfg_name(cfg), names[t]))
			table = tables[t];
	}
	for (unsigned int i = 0; table[i].name; i++) {
		if (!strcmp(table[i].name, opt->name))
			return set_key(table, i, cfg, opt, value);
	}
	return -1;
}

static int on_section(cfg_t *cfg, cfg_opt_t *opt)
{
	static const struct {
		const char *name;
		bool (*end)(struct parser *p, const char *title, unsigned int line);
	} sections[] = { { "portal", parse_portal_end },
			 { "target", parse_target_end },
			 { "lun", parse_lun_end },
			 { "initiator", parse_initiator_end },
			 { "chap", parse_chap_end } };
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	const char *title = cfg_title(section);

	if (!strcmp(opt->name, "initiator") && !parse_initiator_lists(parsing, section))
		return -1;
	for (unsigned int i = 0; i < array_size(sections) && title; i++) {
		if (!strcmp(sections[i].name, opt->name))
			return sections[i].end(parsing, title, (unsigned int)cfg->line) ? 0 : -1;
	}
	return parsing->failed ? -1 : 0;
}

/* line: where the section stands that may be there once. */
static int note_section(cfg_t *cfg, cfg_opt_t *opt, unsigned int *line)
{
	if (*line) {
		parse_fail(parsing, (unsigned int)cfg->line, "%s is given twice", opt->name);
		return -1;
	}
	*line = (unsigned int)cfg->line;
	return 0;
}

static int on_discovery(cfg_t *cfg, cfg_opt_t *opt)
{
	if (note_section(cfg, opt, &parsing->discovery_line))
		return -1;
	parsing->config->discovery_chap = parsing->chap.users;
	parsing->chap.users = (struct config_users){ 0 };
	return 0;
}

static int on_control(cfg_t *cfg, cfg_opt_t *opt)
{
	return note_section(cfg, opt, &parsing->control_line);
}

static int on_metrics(cfg_t *cfg, cfg_opt_t *opt)
{
	return note_section(cfg, opt, &parsing->metrics_line);
}

/* --- Files */

static void free_sources(struct source *s)
{
	struct source *next;

	for (; s; s = next) {
		next = s->next;
		secret_wipe(s->text, s->len);
		free(s->text);
		free(s);
	}
}

/* Takes text. */
static bool add_source(struct parser *p, const char *name, char *text, size_t len)
{
	struct source *s = calloc(1, sizeof(*s)), **end = &p->todo;

	if (!s || !text) {
		free(text);
		free(s);
		parse_fail(p, 0, "out of memory");
		return false;
	}
	*s = (struct source){ config_file_name(p->config, name), text, len, NULL };
	while (*end)
		end = &(*end)->next;
	*end = s;
	return true;
}

char *parse_read_all(int fd, size_t size, size_t *len)
{
	char *text = malloc(size + 1);

	for (*len = 0; text && *len < size;) {
		ssize_t n = read(fd, text + *len, size - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(text);
			return NULL;
		}
		if (!n)
			break;
		*len += (size_t)n;
	}
	if (text)
		text[*len] = '\0';
	return text;
}

/* line: where it is included. */
static bool load(struct parser *p, const char *path, unsigned int line)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	size_t len = 0;
	char *text;

	if (fd < 0 || fstat(fd, &st)) {
		parse_fail(p, line, "%s: cannot be read: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		close(fd);
		parse_fail(p, line, "%s: is no file of at most %d bytes", path, FILE_MAX);
		return false;
	}
	text = parse_read_all(fd, (size_t)st.st_size, &len);
	close(fd);
	return add_source(p, path, text, len);
}

/* include("FILE"): relative to the folder of the file that says so. */
static int on_include(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
	unsigned int line = (unsigned int)cfg->line;
	struct parser *p = parsing;
	const char *slash = strrchr(p->source->name, '/');
	char path[4096];

	(void)opt;
	if (argc != 1 || !argv[0][0]) {
		parse_fail(p, line, "include takes the name of one file: include(\"FILE\")");
		return -1;
	}
	if (argv[0][0] == '/' || !slash)
		snprintf(path, sizeof(path), "%s", argv[0]);
	else
		snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - p->source->name),
			 p->source->name, argv[0]);
	for (unsigned int i = 0; i < p->config->file_count; i++) {
		if (!strcmp(p->config->files[i], path)) {
			parse_fail(p, line, "%s: is included already", path);
			return -1;
		}
	}
	if (p->config->file_count >= FILES_MAX) {
		parse_fail(p, line, "more than %d files", FILES_MAX);
		return -1;
	}
	return load(p, path, line) ? 0 : -1;
}

/* --- The grammar */

enum { KEYS = 32 };

static unsigned int add_keys(const struct key *table, cfg_opt_t *opts)
{
	unsigned int n = 0;

	for (; table[n].name; n++) {
		cfg_opt_t scalar = CFG_STR_CB(table[n].name, NULL, CFGF_NODEFAULT, on_value);
		cfg_opt_t list = CFG_STR_LIST_CB(table[n].name, NULL, CFGF_NODEFAULT, on_value);

		opts[n] = table[n].list ? list : scalar;
	}
	return n;
}

static cfg_t *grammar(void)
{
	static const cfg_opt_t end = CFG_END();
	const cfg_flag_t titled = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
	cfg_opt_t chap[KEYS], lun[KEYS], initiator[KEYS], target[KEYS], portal[KEYS], top[KEYS],
		control[KEYS], metrics[KEYS];
	cfg_opt_t chap_section = CFG_SEC("chap", chap, titled);
	cfg_opt_t discovery[] = { chap_section, CFG_END() };
	unsigned int n;
	cfg_t *cfg;

	chap[add_keys(chap_keys, chap)] = end;
	lun[add_keys(lun_keys, lun)] = end;
	initiator[add_keys(initiator_keys, initiator)] = end;
	portal[add_keys(portal_keys, portal)] = end;
	control[add_keys(control_keys, control)] = end;
	metrics[add_keys(metrics_keys, metrics)] = end;
	n = add_keys(target_keys, target);
	target[n++] = chap_section;
	target[n++] = (cfg_opt_t)CFG_SEC("lun", lun, titled);
	target[n++] = (cfg_opt_t)CFG_SEC("initiator", initiator, titled);
	target[n] = end;
	n = add_keys(global_keys, top);
	top[n++] = (cfg_opt_t)CFG_SEC("portal", portal, titled);
	top[n++] = (cfg_opt_t)CFG_SEC("target", target, titled);
	top[n++] = (cfg_opt_t)CFG_SEC("discovery", discovery, CFGF_MULTI);
	top[n++] = (cfg_opt_t)CFG_SEC("control", control, CFGF_MULTI);
	top[n++] = (cfg_opt_t)CFG_SEC("metrics", metrics, CFGF_MULTI);
	top[n++] = (cfg_opt_t)CFG_FUNC("include", on_include);
	top[n] = end;
	cfg = cfg_init(top, CFGF_NONE);
	if (!cfg)
		return NULL;
	cfg_set_error_function(cfg, on_error);
	cfg_set_validate_func(cfg, "portal", on_section);
	cfg_set_validate_func(cfg, "target", on_section);
	cfg_set_validate_func(cfg, "target|lun", on_section);
	cfg_set_validate_func(cfg, "target|initiator", on_section);
	cfg_set_validate_func(cfg, "target|chap", on_section);
	cfg_set_validate_func(cfg, "discovery", on_discovery);
	cfg_set_validate_func(cfg, "control", on_control);
	cfg_set_validate_func(cfg, "metrics", on_metrics);
	cfg_set_validate_func(cfg, "discovery|chap", on_section);
	return cfg;
}

static void parse_source(struct parser *p)
{
	cfg_t *cfg = NULL;
	unsigned int line;
	char *plain;
	int result;

	if (strlen(p->source->text) != p->source->len) {
		parse_fail(p, 0, "is no text: it has a byte of zero");
		return;
	}
	plain = strdup(p->source->text);
	if (plain)
		cfg = grammar();
	if (!cfg) {
		free(plain);
		parse_fail(p, 0, "out of memory");
		return;
	}
	parse_blank_comments(plain);
	parsing = p;
	result = cfg_parse_buf(cfg, plain);
	if (result != CFG_SUCCESS)
		parse_fail(p, (unsigned int)cfg->line, "cannot be understood from here on");
	line = parse_open_brace(plain);
	if (line)
		parse_fail(p, line, "this { has no }");
	if (!p->failed && tree_add(p->config->tree, cfg, p->secrets))
		parse_fail(p, 0, "out of memory");
	parsing = NULL;
	cfg_free(cfg);
	secret_wipe(plain, p->source->len);
	free(plain);
}

static void parse_all(struct parser *p)
{
	while (p->todo && !p->failed) {
		p->source = p->todo;
		p->at = NULL;
		p->todo = p->source->next;
		parse_source(p);
		p->source->next = p->done;
		p->done = p->source;
		p->source = NULL;
	}
}

static struct config *finish(struct parser *p)
{
	struct config *config = p->config;
	struct place place = { 0 };
	char why[CONFIG_WHY];

	parse_all(p);
	if (!p->failed && parse_settle(p) && !config_check(config, &place, why, sizeof(why)))
		parse_fail_at(p, &place, why);
	free_sources(p->todo);
	free_sources(p->done);
	parse_forget(p);
	if (!p->failed)
		return config;
	config_free(config);
	return NULL;
}

static bool begin(struct parser *p, bool check, complain_fn *told)
{
	*p = (struct parser){ .config = config_new(), .check = check, .told = told };
	if (!p->config)
		parse_fail(p, 0, "out of memory");
	return p->config;
}

struct config *config_parse_file(const char *path, bool check, complain_fn *told)
{
	struct parser p;

	if (!begin(&p, check, told))
		return NULL;
	load(&p, path, 0);
	return finish(&p);
}

struct config *config_parse_text(const char *name, const char *text, size_t len, bool check,
				 complain_fn *told)
{
	struct parser p;
	char *copy;

	if (!begin(&p, check, told))
		return NULL;
	copy = malloc(len + 1);
	if (copy) {
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
	add_source(&p, name, copy, len);
	return finish(&p);
}

struct config *config_parse_tree(const char *name, const json_t *tree, complain_fn *told)
{
	json_t *secrets = json_array();
	struct config *config;
	struct parser p;
	size_t len = 0;
	char *text;

	if (!begin(&p, false, told)) {
		json_decref(secrets);
		return NULL;
	}
	p.ours = true;
	p.secrets = secrets;
	text = secrets ? tree_to_text(tree, &len, secrets) : NULL;
	add_source(&p, name, text, len);
	config = finish(&p);
	json_decref(secrets);
	return config;
}
