// SPDX-License-Identifier: BSD-2-Clause
/*
 * A LUN that comes, goes or changes, without a look at any other: ten thousand of them are made in ten
 * thousand steps of the same length. Only for the keys of its disk; all else goes the long way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change_impl.h"
#include "core/log.h"
#include "options.h"
#include "parse.h"

static bool only_disk_keys(const json_t *lun)
{
	static const char *const keys[] = {
		"path",	     "readonly", "block-size", "physical-block-size",
		"removable", "direct",	 "size",       "serial",
		"naa",	     "eui",	 "pi",	       "pi-path",
		"fault",     "iops",	 "bandwidth",  "burst"
	};
	const json_t *value;
	const char *key;

	json_object_foreach((json_t *)lun, key, value)
	{
		bool known = false;

		for (unsigned int i = 0; i < array_size(keys); i++)
			known |= !strcmp(key, keys[i]);
		if (!known)
			return false;
	}
	return true;
}

/* The value of an object's only key; NULL: it has not one. */
static const json_t *only(const json_t *object, const char *must, const char **name)
{
	void *at = json_object_iter((json_t *)object);

	if (json_object_size(object) != 1 || (must && strcmp(json_object_iter_key(at), must) != 0))
		return NULL;
	if (name)
		*name = json_object_iter_key(at);
	return json_object_iter_value(at);
}

static json_t *lun_of(const json_t *tree, const struct lun_change *l)
{
	const json_t *target = json_object_get(json_object_get(tree, "target"), l->target);

	return json_object_get(json_object_get(target, "lun"), l->number);
}

bool is_lun_change(const struct changes *c, const json_t *patch, struct lun_change *out)
{
	const json_t *now = changes_now(c), *at;

	at = only(patch, "target", NULL);
	at = at ? only(at, NULL, &out->target) : NULL;
	at = at ? only(at, "lun", NULL) : NULL;
	at = at ? only(at, NULL, &out->number) : NULL;
	if (!at || !json_object_get(json_object_get(now, "target"), out->target))
		return false;
	out->object = at;
	out->lun = (unsigned int)strtoul(out->number, NULL, 10);
	return only_disk_keys(at) && only_disk_keys(lun_of(now, out));
}

/* {"target": {NAME: {"lun": {NUMBER: lun}}}}; lun NULL: without it. */
static json_t *small_tree(const struct lun_change *l, json_t *lun)
{
	return lun ? json_pack("{s:{s:{s:{s:O}}}}", "target", l->target, "lun", l->number, lun)
		   : json_pack("{s:{s:{s:{}}}}", "target", l->target, "lun");
}

/* --- Patches, which change in place */

static void put(json_t *tree, const struct lun_change *l, json_t *lun)
{
	tree_put_lun(tree, l->target, l->number, lun);
}

/* What this layer says of the LUN by now; NULL: nothing. below: whether there is one without it. */
static json_t *layer(const json_t *old, const json_t *patch, bool below)
{
	json_t *out;

	if (json_is_null(patch))
		return below ? json_null() : NULL;
	out = json_is_object(old) ? json_deep_copy(old) : json_object();
	tree_combine(out, patch);
	if (!below) /* else null hides what is there */
		tree_prune(out, NULL);
	return out;
}

/* base with saved, then runtime over it; NULL: there is no LUN. New reference. */
static json_t *stack(const json_t *base, const json_t *saved, const json_t *runtime)
{
	const json_t *layers[] = { saved, runtime };
	json_t *out = base ? json_deep_copy(base) : NULL;

	for (unsigned int i = 0; i < array_size(layers); i++) {
		if (!layers[i])
			continue;
		if (json_is_null(layers[i])) {
			json_decref(out);
			out = NULL;
			continue;
		}
		if (!out)
			out = json_object();
		tree_merge(out, layers[i]);
	}
	return out;
}

/* --- The LUN */

struct attempt {
	struct changes *c;
	const struct lun_change *l;
	unsigned int flags;
	json_t *base, *saved, *runtime; /* what the layers said; borrowed, or held */
	json_t *new_saved, *new_runtime; /* owned */
	json_t *before, *after; /* what runs; before is borrowed */
};

static bool plan_layers(struct attempt *a, const json_t *object)
{
	struct changes *c = a->c;

	a->base = lun_of(c->base, a->l);
	a->saved = json_incref(lun_of(c->saved, a->l));
	a->runtime = json_incref(lun_of(c->runtime, a->l));
	a->before = lun_of(changes_now(c), a->l);
	if (a->flags & CHANGE_RUNTIME) {
		json_t *below = stack(a->base, a->saved, NULL);

		a->new_saved = json_incref(a->saved);
		a->new_runtime = layer(a->runtime, object, below);
		json_decref(below);
	} else {
		a->new_saved = layer(a->saved, object, a->base);
		if (json_is_object(object) && json_is_object(a->runtime)) {
			a->new_runtime = json_deep_copy(a->runtime);
			tree_yield(a->new_runtime, object);
			if (a->new_runtime && !json_object_size(a->new_runtime)) {
				json_decref(a->new_runtime);
				a->new_runtime = NULL;
			}
		}
	}
	a->after = stack(a->base, a->new_saved, a->new_runtime);
	return true;
}

static void forget(struct attempt *a)
{
	json_decref(a->saved);
	json_decref(a->runtime);
	json_decref(a->new_saved);
	json_decref(a->new_runtime);
	json_decref(a->after);
}

/* A configuration with this LUN alone, so that it is checked as in a file. */
static struct config *parse_alone(const struct attempt *a, struct change_failure *failure)
{
	json_t *tree = json_pack("{s:{s:{s:[s], s:{s:O}}}}", "target", a->l->target, "allow", "any",
				 "lun", a->l->number, a->after);
	struct config *config;
	char object[300];

	config = tree ? changes_parse_tree(tree, failure) : NULL;
	json_decref(tree);
	if (!config) {
		snprintf(object, sizeof(object), "%s LUN %s", a->l->target, a->l->number);
		snprintf(failure->object, sizeof(failure->object), "%.255s", object);
	}
	return config;
}

/* The place stays valid as long as the configuration that runs. */
static void settle(const struct attempt *a, struct config_lun *lun)
{
	struct config *now = (struct config *)live_running(a->c->live);
	const char *name = a->flags & CHANGE_RUNTIME || !a->c->state ? CHANGE_RUNTIME_PLACE
								     : state_path(a->c->state);

	live_look(a->c->live);
	lun->place = (struct place){ config_file_name(now, name), 0 };
	live_look_end(a->c->live);
}

static bool serve(struct attempt *a, struct config *alone, struct change_failure *failure)
{
	struct config_lun *lun = alone ? &alone->targets[0].luns[0] : NULL;
	struct overheard o;
	int err;

	if (lun)
		settle(a, lun);
	overhear(&o);
	err = live_change_lun(a->c->live, a->l->target, a->l->lun, lun, a->flags & CHANGE_FORCE);
	log_listen(NULL, NULL);
	return err ? overheard_failure(&o, err, failure) : true;
}

static bool carry_out(struct attempt *a, struct config *alone, struct change_failure *failure)
{
	struct changes *c = a->c;
	json_t *now = live_running(c->live)->tree;
	const struct state_change only = { a->l->target, a->l->number, a->new_saved };
	bool stays = !(a->flags & CHANGE_RUNTIME), ok = true;

	put(c->saved, a->l, a->new_saved);
	put(c->runtime, a->l, a->new_runtime);
	if (stays)
		ok = change_record(c, &only, failure);
	if (ok) {
		ok = serve(a, alone, failure);
		if (!ok && stays)
			state_abandon(c->state);
	}
	if (!ok) {
		put(c->saved, a->l, a->saved);
		put(c->runtime, a->l, a->runtime);
		return false;
	}
	if (a->after)
		put(now, a->l, a->after);
	else
		json_object_del(json_object_get(json_object_get(json_object_get(now, "target"),
								a->l->target),
						"lun"),
				a->l->number);
	return !stays || change_recorded(c, failure);
}

/* What runs stays as it is, but not only for this run any more. */
static bool only_stays(const struct attempt *a)
{
	return !(a->flags & CHANGE_RUNTIME) && a->after && a->new_saved != a->saved &&
	       !(a->saved && json_equal(a->new_saved, a->saved));
}

bool change_lun(struct changes *c, const struct lun_change *change, const json_t *patch,
		unsigned int flags, json_t **diff, struct change_failure *failure)
{
	struct attempt a = { .c = c, .l = change, .flags = flags };
	struct config *alone = NULL;
	json_t *before, *after, *different = NULL;
	bool ok, matters;

	(void)patch;
	plan_layers(&a, change->object);
	before = small_tree(change, a.before);
	after = small_tree(change, a.after);
	if (before && after)
		different = tree_diff(before, after);
	json_decref(before);
	json_decref(after);
	ok = different;
	matters = json_array_size(different) || only_stays(&a);
	if (!ok)
		change_fail(failure, RPC_FAILED, NULL, NULL, "out of memory");
	if (ok && a.after && matters) {
		alone = parse_alone(&a, failure);
		ok = alone;
	}
	if (ok && !(flags & CHANGE_DRY_RUN) && matters)
		ok = carry_out(&a, alone, failure);
	if (diff && different)
		*diff = json_incref(different);
	json_decref(different);
	config_free(alone);
	forget(&a);
	return ok;
}
