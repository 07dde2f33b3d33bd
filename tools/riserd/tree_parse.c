// SPDX-License-Identifier: BSD-2-Clause
/* What libconfuse has read, as a tree. A path or a name may be any bytes, UTF-8 or not. */
#include <errno.h>
#include <string.h>

#include "parse_impl.h"
#include "tree.h"

/* The object of that name, which is made if need be; NULL: no memory. */
static json_t *child(json_t *tree, const char *name)
{
	if (!json_object_get(tree, name))
		json_object_set_new_nocheck(tree, name, json_object());
	return json_object_get(tree, name);
}

static int add_list(json_t *tree, cfg_opt_t *opt)
{
	json_t *list = json_array();
	int err = list ? 0 : -1;

	for (unsigned int i = 0; i < cfg_opt_size(opt); i++)
		err |= json_array_append_new(list, json_string_nocheck(cfg_opt_getnstr(opt, i)));
	return err | json_object_set_new(tree, opt->name, list);
}

static json_t *value_of(const cfg_opt_t *opt, const char *text, const json_t *secrets)
{
	const json_t *secret = tree_is_secret(opt->name) ? tree_secret(secrets, text) : NULL;

	return secret ? json_deep_copy(secret) : json_string_nocheck(text);
}

static int add_sections(json_t *tree, cfg_opt_t *opt, const json_t *secrets)
{
	char title[512];
	int err = 0;

	for (unsigned int i = 0; i < cfg_opt_size(opt) && !err; i++) {
		cfg_t *section = cfg_opt_getnsec(opt, i);
		json_t *at = child(tree, opt->name);

		if (cfg_title(section)) {
			/* Whoever reads it has looked at it already. */
			if (!tree_title(opt->name, cfg_title(section), title, sizeof(title)))
				continue;
			at = at ? child(at, title) : NULL;
		}
		err = at ? tree_add(at, section, secrets) : -ENOMEM;
	}
	return err;
}

int tree_add(json_t *tree, cfg_t *cfg, const json_t *secrets)
{
	int err = 0;

	for (cfg_opt_t *opt = cfg->opts; opt->name && !err; opt++) {
		if (!cfg_opt_size(opt) || !strcmp(opt->name, "__unknown"))
			continue;
		if (opt->type == CFGT_SEC)
			err = add_sections(tree, opt, secrets);
		else if (opt->type == CFGT_STR && opt->flags & CFGF_LIST)
			err = add_list(tree, opt);
		else if (opt->type == CFGT_STR && cfg_opt_getnstr(opt, 0))
			err = json_object_set_new(tree, opt->name,
						  value_of(opt, cfg_opt_getnstr(opt, 0), secrets));
	}
	return err ? -ENOMEM : 0;
}
