// SPDX-License-Identifier: BSD-2-Clause
/* Completion; for scripts of bash, zsh and fish, and for the shell. Never says that something failed. */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "complete.h"
#include "out.h"

struct offering {
	const char *beginning;
	offer_fn *offer;
	void *arg;
};

static void offer(const struct offering *o, const char *word, const char *about)
{
	if (*word && !strncmp(word, o->beginning, strlen(o->beginning)))
		o->offer(o->arg, word, about ? about : "");
}

/* --- names that riserd knows --- */

static const struct source {
	enum kind kind;
	const char *method, *key, *about;
	bool of_target;
} sources[] = {
	{ KIND_TARGET, "target.list", "name", "alias", false },
	{ KIND_LUN, "lun.list", "lun", "path", true },
	{ KIND_SESSION, "session.list", "id", "initiator", true },
	{ KIND_INITIATOR, "initiator.list", "initiator", "from", false },
	{ KIND_PORTAL, "portal.list", "address", "access", false },
	{ KIND_JOB, "job.list", "id", "kind", false },
};

static const char *text_of(const json_t *value, char *buf, size_t size)
{
	if (json_is_string(value))
		return json_string_value(value);
	snprintf(buf, size, "%lld", (long long)json_integer_value(value));
	return json_is_integer(value) ? buf : "";
}

static void offer_names(struct riser *r, const struct source *s, const char *target,
			const struct offering *o)
{
	json_t *list = NULL, *error = NULL;
	const json_t *item;
	char number[32];

	client_ask(r, s->method,
		   s->of_target && target ? json_pack("{s:s}", "target", target) : NULL, &list,
		   &error);
	each_member(list, item)
		offer(o, text_of(json_object_get(item, s->key), number, sizeof(number)),
		      member_text(item, s->about));
	json_decref(list);
	json_decref(error);
}

static void offer_list(const struct offering *o, const char *words)
{
	char word[64];

	while (*words) {
		size_t len = strcspn(words, " ");

		snprintf(word, sizeof(word), "%.*s", (int)len, words);
		offer(o, word, NULL);
		words += len + strspn(words + len, " ");
	}
}

static void offer_nouns(const struct offering *o)
{
	const char *last = "";

	each_command(c) {
		if (c->flags & COMMAND_HIDDEN || !strcmp(last, c->noun))
			continue;
		last = c->noun;
		offer(o, c->noun, c->verb ? NULL : c->about);
	}
}

static bool offer_kind(struct riser *r, const struct word *w, const char *target,
		       const struct offering *o)
{
	if (w->kind == KIND_FILE)
		return false;
	if (w->kind == KIND_WORD)
		offer_list(o, w->words);
	else if (w->kind == KIND_COMMAND)
		offer_nouns(o);
	else if (!(w->flags & WORD_NEW))
		for (unsigned int i = 0; i < sizeof(sources) / sizeof(*sources); i++)
			if (sources[i].kind == w->kind)
				offer_names(r, &sources[i], target, o);
	return true;
}

bool complete_kind(struct riser *r, const struct word *w, const char *target, offer_fn *fn,
		   void *arg)
{
	const struct offering o = { "", fn, arg };

	return offer_kind(r, w, target, &o);
}

/* --- what has been typed so far --- */

struct typed {
	const char *noun, *target;
	const struct command *command;
	const struct word *value_of; /* an option whose value comes next */
	unsigned int operands;
};

static void take_option(struct typed *t, const char *word)
{
	const char *equal = strchr(word, '=');
	const struct word *w;

	if (word[1] == '-')
		w = command_option(t->command, word + 2,
				   equal ? (size_t)(equal - word - 2) : strlen(word + 2));
	else
		w = word[2] ? NULL : command_letter(t->command, word[1]);
	t->value_of = w && w->kind != KIND_NONE && !equal ? w : NULL;
}

static void take(struct riser *r, struct typed *t, const char *word)
{
	const struct word *w;

	if (t->value_of) {
		if (!strcmp(t->value_of->name, "control")) {
			client_close(r);
			r->socket = word;
		}
		t->value_of = NULL;
	} else if (word[0] == '-' && word[1]) {
		take_option(t, word);
	} else if (!t->noun) {
		t->noun = word;
		t->command = command_lookup(word, NULL);
		if (t->command && t->command->verb)
			t->command = NULL;
	} else if (!t->command) {
		t->command = command_lookup(t->noun, word);
	} else {
		w = command_operand(t->command, t->operands++);
		if (w && w->kind == KIND_TARGET)
			t->target = word;
	}
}

static void offer_options(const struct typed *t, const struct offering *o)
{
	const struct word *const lists[] = { t->command ? t->command->options : NULL,
					     global_options };
	char word[64];

	for (unsigned int i = 0; i < 2; i++) {
		for (const struct word *w = lists[i]; w && w->name; w++) {
			snprintf(word, sizeof(word), "--%s", w->name);
			offer(o, word, w->about);
		}
	}
}

static void offer_verbs(const struct typed *t, const struct offering *o)
{
	each_command(c) {
		if (!strcmp(c->noun, t->noun) && c->verb && !(c->flags & COMMAND_HIDDEN))
			offer(o, c->verb, c->about);
	}
}

void complete_words(struct riser *r, int count, char **words, offer_fn *fn, void *arg)
{
	struct typed t = { 0 };
	struct offering o = { count ? words[count - 1] : "", fn, arg };
	const struct word *w;

	for (int i = 0; i < count - 1; i++)
		take(r, &t, words[i]);
	if (t.value_of) {
		if (!offer_kind(r, t.value_of, t.target, &o))
			fn(arg, ":file", "");
	} else if (*o.beginning == '-') {
		offer_options(&t, &o);
	} else if (!t.noun) {
		offer_nouns(&o);
	} else if (!t.command) {
		offer_verbs(&t, &o);
	} else if ((w = command_operand(t.command, t.operands))) {
		if (!offer_kind(r, w, t.target, &o))
			fn(arg, ":file", "");
	}
}

static void print_offer(void *arg, const char *word, const char *about)
{
	(void)arg;
	out_text(stdout, word);
	putchar('\t');
	out_text(stdout, about);
	putchar('\n');
}

enum status complete_main(struct riser *r, int count, char **words)
{
	r->timeout = 2; /* somebody has pressed a key and waits */
	complete_words(r, count, words, print_offer, NULL);
	return STATUS_OK;
}

/* --- scripts --- */

static const char bash[] =
	"# completion of riser for bash; made by: riser completion bash\n"
	"_riser() {\n"
	"    local line=${COMP_LINE:0:COMP_POINT} words cur prefix\n"
	"    read -ra words <<<\"$line\"\n"
	"    [[ $line != *[[:space:]] ]] || words+=('')\n"
	"    cur=${words[-1]}\n"
	"    mapfile -t COMPREPLY < <(\"${words[0]}\" __complete \"${words[@]:1}\" 2>/dev/null | cut "
	"-f1)\n"
	"    if [[ ${COMPREPLY[0]-} == :file ]]; then\n"
	"        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
	"        compopt -o filenames 2>/dev/null\n"
	"    fi\n"
	"    # names have colons, at which readline begins a new word\n"
	"    if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then\n"
	"        prefix=${cur%\"${cur##*:}\"}\n"
	"        COMPREPLY=(\"${COMPREPLY[@]#\"$prefix\"}\")\n"
	"    fi\n"
	"}\n"
	"complete -F _riser riser\n";

static const char zsh[] =
	"#compdef riser\n"
	"# completion of riser for zsh; made by: riser completion zsh\n"
	"_riser() {\n"
	"    local -a lines found\n"
	"    local line\n"
	"    lines=(\"${(@f)$(\"${words[1]}\" __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
	"    if [[ $lines[1] == :file* ]]; then\n"
	"        _files\n"
	"        return\n"
	"    fi\n"
	"    for line in $lines; do\n"
	"        found+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
	"    done\n"
	"    _describe riser found\n"
	"}\n"
	"if [[ $funcstack[1] == _riser ]]; then _riser \"$@\"; else compdef _riser riser; fi\n";

static const char fish[] =
	"# completion of riser for fish; made by: riser completion fish\n"
	"function __riser_complete\n"
	"    set -l words (commandline -opc)\n"
	"    set -l word (string trim -l -c '\"\\'' -- (commandline -ct)) # in quotes, perhaps\n"
	"    set -l lines (command $words[1] __complete $words[2..-1] \"$word\" 2>/dev/null)\n"
	"    if string match -q ':file*' -- \"$lines[1]\"\n"
	"        __fish_complete_path \"$word\"\n"
	"    else if set -q lines[1]\n"
	"        printf '%s\\n' $lines\n"
	"    end\n"
	"end\n"
	"complete -c riser -f -a '(__riser_complete)'\n";

static enum status run_completion(struct riser *r, const struct args *a)
{
	const char *shell = args_operand(a, 0);

	(void)r;
	fputs(!strcmp(shell, "zsh") ? zsh : !strcmp(shell, "fish") ? fish : bash, stdout);
	return STATUS_OK;
}

const struct command completion_commands[] = {
	{ .noun = "completion",
	  .about = "Print the script that completes riser's words in a shell",
	  .details =
		  "For bash: riser completion bash >/etc/bash_completion.d/riser; for zsh a file "
		  "_riser in a folder of fpath; for fish ~/.config/fish/completions/riser.fish.",
	  .operands = WORDS({ .name = "SHELL", .kind = KIND_WORD, .words = "bash zsh fish" }),
	  .flags = COMMAND_LOCAL,
	  .run = run_completion },
	{ .noun = NULL },
};
