// SPDX-License-Identifier: BSD-2-Clause
/*
 * Changes of any kind, see change.h. The order: compare, write the state file beside the old one, change
 * what runs, make the new file count. Each step but the last can fail, and then nothing has happened.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change_impl.h"
#include "core/log.h"
#include "live_impl.h"
#include "options.h"

/* --- Opening */

static bool nothing(const json_t *patch)
{
	return !json_object_size(patch);
}

static int open_state(struct changes *c, const char *folder, char *why, size_t why_size)
{
	int err = folder ? state_open(folder, &c->state, why, why_size) : 0;

	if (err)
		return err;
	c->saved = c->state ? state_load(c->state) : json_object();
	c->runtime = json_object();
	if (c->saved && c->runtime)
		return 0;
	snprintf(why, why_size, "out of memory");
	return -ENOMEM;
}

static int compose_first(struct changes *c, struct config *given, struct config **config, char *why,
			 size_t why_size)
{
	struct change_failure failure;

	/* What runs has a tree of its own, which changes with it. */
	c->base = json_deep_copy(given->tree);
	if (nothing(c->saved)) {
		*config = given;
		return 0;
	}
	*config = compose(c, given, c->base, c->saved, c->runtime, &failure);
	config_free(given);
	if (*config)
		return 0;
	snprintf(why, why_size,
		 "%s, over %s: %s; correct the one that is wrong, or move %s away to start without "
		 "what commands have changed",
		 state_path(c->state), c->file ? c->file : "the command line", failure.message,
		 state_path(c->state));
	return failure.status == RPC_CONFIG_INVALID ? -EBADMSG : -ENOMEM;
}

int changes_open(struct config *given, const char *file, struct changes **out,
		 struct config **config, char *why, size_t why_size)
{
	struct changes *c = calloc(1, sizeof(*c));
	int err = -ENOMEM;

	*out = NULL;
	*config = NULL;
	if (!c)
		snprintf(why, why_size, "out of memory");
	else
		err = open_state(c, given->state, why, why_size);
	if (err) {
		config_free(given);
		changes_close(c);
		return err;
	}
	c->file = file;
	err = compose_first(c, given, config, why, why_size);
	if (err)
		changes_close(c);
	else
		*out = c;
	return err;
}

void changes_close(struct changes *c)
{
	if (!c)
		return;
	state_close(c->state);
	json_decref(c->base);
	json_decref(c->saved);
	json_decref(c->runtime);
	free(c);
}

void changes_serve(struct changes *c, struct live *live)
{
	c->live = live;
}

const char *changes_state_file(const struct changes *c)
{
	return c && c->state ? state_path(c->state) : NULL;
}

const json_t *changes_now(const struct changes *c)
{
	return live_running(c->live)->tree;
}

const json_t *changes_base(const struct changes *c)
{
	return c->base;
}

const json_t *changes_saved(const struct changes *c)
{
	return c->saved;
}

json_t *changes_persistent(const struct changes *c)
{
	json_t *tree = json_deep_copy(c->base);
	unsigned int orphans = 0;

	if (tree && (tree_patch(tree, c->saved, &orphans) || tree_place(tree))) {
		json_decref(tree);
		tree = NULL;
	}
	return tree;
}

const char *changes_file(const struct changes *c)
{
	return c->file;
}

struct live *changes_live(const struct changes *c)
{
	return c->live;
}

/* --- Changing */

/* config is taken. */
static bool go(struct changes *c, struct config *config, unsigned int flags,
	       struct change_failure *failure)
{
	struct overheard o;
	int err;

	overhear(&o);
	err = live_apply_how(c->live, config, flags & CHANGE_FORCE);
	log_listen(NULL, NULL);
	return err ? overheard_failure(&o, err, failure) : true;
}

bool changes_reload(struct changes *c, unsigned int flags, json_t **diff,
		    struct change_failure *failure)
{
	struct config *file, *config;
	json_t *base;

	if (!(flags & CHANGE_DRY_RUN))
		changes_settle(c);
	if (!c->file) {
		if (!(flags & CHANGE_DRY_RUN))
			live_resize(c->live);
		if (diff)
			*diff = json_array();
		return true;
	}
	file = changes_parse(c->file, NULL, failure);
	if (!file)
		return false;
	if (!config_supplement(file)) {
		config_free(file);
		return change_fail(failure, RPC_FAILED, NULL, NULL, "out of memory");
	}
	base = json_deep_copy(file->tree);
	config = file;
	if (!nothing(c->saved) || !nothing(c->runtime)) {
		config = compose(c, file, base, c->saved, c->runtime, failure);
		config_free(file);
	}
	if (config && diff)
		*diff = tree_diff(changes_now(c), config->tree);
	if (config && flags & CHANGE_DRY_RUN) {
		config_free(config);
		json_decref(base);
		return true;
	}
	if (!config || !go(c, config, flags, failure)) {
		json_decref(base);
		return false;
	}
	json_decref(c->base);
	c->base = base;
	return true;
}

/* What a change makes of the patches. */
struct patches {
	json_t *saved, *runtime;
};

static void free_patches(struct patches *p)
{
	json_decref(p->saved);
	json_decref(p->runtime);
}

/* A change that stays takes the place of one that does not. */
static bool make_patches(const struct changes *c, const json_t *patch, unsigned int flags,
			 struct patches *p)
{
	json_t *below;
	bool ok;

	*p = (struct patches){ json_deep_copy(c->saved), json_deep_copy(c->runtime) };
	if (!p->saved || !p->runtime)
		return false;
	if (flags & CHANGE_RUNTIME) {
		below = changes_persistent(c);
		ok = below && !tree_combine(p->runtime, patch);
		tree_prune(p->runtime, below);
		json_decref(below);
		return ok;
	}
	tree_yield(p->runtime, patch);
	ok = !tree_combine(p->saved, patch);
	tree_prune(p->saved, c->base);
	return ok;
}

static bool record(struct changes *c, const json_t *saved, const struct state_change *only,
		   struct change_failure *failure)
{
	char why[400];

	if (!c->state)
		return change_fail(failure, RPC_FAILED, NULL,
				   "start riserd with --state /var/lib/riser, or say state = "
				   "/var/lib/riser in its file, or use --runtime",
				   "there is no folder for what survives a restart, so the change "
				   "could not stay");
	if (state_prepare(c->state, saved, only, why, sizeof(why)))
		return change_fail(failure, RPC_FAILED, state_path(c->state),
				   "nothing has changed; --runtime does without the file", "%s",
				   why);
	return true;
}

static bool not_recorded(const struct changes *c, const char *why, struct change_failure *failure)
{
	return change_fail(
		failure, RPC_PARTLY, state_path(c->state),
		"the change is in effect until riserd ends; the next one brings it along, "
		"and so does riser config apply",
		"%s", why);
}

bool change_recorded(struct changes *c, struct change_failure *failure)
{
	char why[400];

	if (state_commit(c->state, why, sizeof(why)))
		return not_recorded(c, why, failure);
	return c->later || changes_flush(c, failure);
}

bool change_record(struct changes *c, const struct state_change *only,
		   struct change_failure *failure)
{
	return record(c, c->saved, only, failure);
}

void changes_later(struct changes *c, bool later)
{
	if (c)
		c->later = later;
}

size_t changes_waiting(const struct changes *c)
{
	return c && c->state ? state_waiting(c->state) : 0;
}

bool changes_flush(struct changes *c, struct change_failure *failure)
{
	char why[400];

	/* What cannot be appended may still be written as a whole, to another place of the disk. */
	return !c || !c->state || !state_flush(c->state, why, sizeof(why)) ||
	       !state_settle(c->state, c->saved, why, sizeof(why)) || not_recorded(c, why, failure);
}

void changes_settle(struct changes *c)
{
	char why[400];

	if (c && c->state && state_settle(c->state, c->saved, why, sizeof(why)))
		log_warn("%s; it stays as it is", why);
}

static bool change_all(struct changes *c, struct patches *p, unsigned int flags, json_t **diff,
		       struct change_failure *failure)
{
	bool stays = !(flags & CHANGE_RUNTIME);
	struct config *config =
		compose(c, live_running(c->live), c->base, p->saved, p->runtime, failure);
	json_t *different = config ? tree_diff(changes_now(c), config->tree) : NULL;
	bool ok = different;

	if (config && !different)
		change_fail(failure, RPC_FAILED, NULL, NULL, "out of memory");
	stays = stays && ok && !json_equal(p->saved, c->saved);
	if (ok && !(flags & CHANGE_DRY_RUN) && stays)
		ok = record(c, p->saved, NULL, failure);
	if (!ok || flags & CHANGE_DRY_RUN || !json_array_size(different)) {
		config_free(config);
		if (ok && stays && !(flags & CHANGE_DRY_RUN))
			ok = change_recorded(c, failure);
	} else {
		ok = go(c, config, flags, failure);
		if (ok && stays)
			ok = change_recorded(c, failure);
		else if (stays)
			state_abandon(c->state);
	}
	if (diff && different)
		*diff = json_incref(different);
	json_decref(different);
	return ok;
}

/* Whether it makes or sets anything. */
static bool gives(const json_t *patch)
{
	const json_t *value;
	const char *key;

	json_object_foreach((json_t *)patch, key, value)
	{
		if (json_is_object(value) ? gives(value) : !json_is_null(value))
			return true;
	}
	return false;
}

/* After a restart nobody would know what it belongs to. NULL: there is no such thing. */
static const char *for_this_run_only(const struct changes *c, const json_t *patch,
				     const char *section)
{
	const json_t *base = json_object_get(c->base, section), *object;
	const json_t *saved = json_object_get(c->saved, section);
	const char *title;

	json_object_foreach(json_object_get(patch, section), title, object)
	{
		if (gives(object) && !json_object_get(object, TREE_CREATED) &&
		    !json_object_get(base, title) &&
		    !json_object_get(json_object_get(saved, title), TREE_CREATED))
			return title;
	}
	return NULL;
}

static bool can_stay(const struct changes *c, const json_t *patch, struct change_failure *failure)
{
	const char *title = for_this_run_only(c, patch, "target");

	if (!title)
		title = for_this_run_only(c, patch, "portal");
	return !title ||
	       change_fail(failure, RPC_USAGE, title,
			   "repeat it with --runtime (\"runtime\": true)",
			   "%.256s was made for this run only, and what it has cannot stay longer",
			   title);
}

bool changes_apply(struct changes *c, const json_t *patch, unsigned int flags, json_t **diff,
		   struct change_failure *failure)
{
	struct lun_change lun;
	struct patches p;
	bool ok;

	*failure = (struct change_failure){ .status = RPC_OK };
	if (!(flags & CHANGE_RUNTIME) && !can_stay(c, patch, failure))
		return false;
	if (is_lun_change(c, patch, &lun))
		return change_lun(c, &lun, patch, flags, diff, failure);
	ok = make_patches(c, patch, flags, &p);
	if (!ok)
		change_fail(failure, RPC_FAILED, NULL, NULL, "out of memory");
	else
		ok = change_all(c, &p, flags, diff, failure);
	if ((ok && !(flags & CHANGE_DRY_RUN)) || failure->status == RPC_PARTLY) {
		json_t *saved = c->saved, *runtime = c->runtime;

		c->saved = json_incref(p.saved);
		c->runtime = json_incref(p.runtime);
		json_decref(saved);
		json_decref(runtime);
	}
	free_patches(&p);
	return ok;
}
