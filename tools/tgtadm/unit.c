// SPDX-License-Identifier: BSD-2-Clause
/* --mode logicalunit */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tgtadm.h"

/* The target and --lun; NULL: something is missing, which has been said. */
static const char *unit_target(struct tgt *t)
{
	if (!t->o.lun_text) {
		complain(t, "'lun' option is necessary");
		return NULL;
	}
	return target_name(t);
}

static int set_store(struct tgt *t, json_t *options)
{
	const struct options *o = &t->o;
	const char *type = o->bstype ? o->bstype : "rdwr", *flags = o->bsflags ? o->bsflags : "";

	if (strcmp(type, "rdwr") && strcmp(type, "aio") && strcmp(type, "null"))
		return complain(t,
				"invalid request: riserd has no backing store %s, it has rdwr, "
				"aio and null",
				type);
	if (o->device_type && strcmp(o->device_type, "disk") != 0)
		return complain(t, "invalid request: riserd serves disks, no %s", o->device_type);
	if (strspn(flags, "adeintrscy:") != strlen(flags) ||
	    (*flags && !strstr(flags, "direct") && !strstr(flags, "sync")))
		return complain(t,
				"invalid request: bsoflags takes direct, sync or both with a "
				"colon, not %s",
				flags);
	if (strstr(flags, "sync"))
		tell(t, "bsoflags sync: riserd writes to stable media when an initiator flushes or "
			"asks for FUA, not at each write");
	if (o->bsopts && *o->bsopts)
		tell(t, "bsopts: are ignored, %s has none", type);
	if (!strcmp(type, "aio") || strstr(flags, "direct"))
		json_object_set_new(options, "direct", json_true());
	if (o->block_size)
		json_object_set_new(options, "block-size",
				    json_integer(strtoll(o->block_size, NULL, 10)));
	return DONE;
}

/* riserd's working folder is not ours. */
static json_t *full_path(const struct tgt *t)
{
	const char *path = t->o.path;
	char folder[4096];

	if (t->o.bstype && !strcmp(t->o.bstype, "null"))
		return json_string("null:1T");
	if (path[0] == '/' || !strncmp(path, "ram:", 4) || !strncmp(path, "null:", 5) ||
	    !getcwd(folder, sizeof(folder)))
		return json_string(path);
	return json_sprintf("%s/%s", folder, path);
}

int unit_new(struct tgt *t)
{
	const char *name = unit_target(t);
	json_t *options = json_object();
	int status;

	if (!name || !t->o.path) {
		json_decref(options);
		return name ? complain(t, "'backing-store' option is necessary") : REFUSED;
	}
	if (find_lun(find_target(t, name), t->o.lun)) {
		json_decref(options);
		return complain(t, "this logical unit number already exists");
	}
	status = set_store(t, options);
	if (status) {
		json_decref(options);
		return status;
	}
	return change(t, "lun.create",
		      json_pack("{s:s, s:i, s:o, s:o}", "target", name, "lun", (int)t->o.lun,
				"path", full_path(t), "options", options),
		      false, NULL);
}

static int unit_delete(struct tgt *t)
{
	const char *name = unit_target(t);

	if (!name)
		return REFUSED;
	if (!find_lun(find_target(t, name), t->o.lun))
		return complain(t, "can't find the logical unit");
	return change(t, "lun.delete",
		      json_pack("{s:s, s:i}", "target", name, "lun", (int)t->o.lun), t->o.force,
		      NULL);
}

/* --- Parameters */

/* What is said of a LUN: a key of riserd's, or NULL for what means nothing to it. */
static const struct param {
	const char *name, *key;
	bool is_switch, silent;
} params[] = {
	{ "scsi_sn", "serial", false, false },
	{ "readonly", "readonly", true, false },
	{ "removable", "removable", true, false },
	/* riserd makes its own of the serial number; the agents of Pacemaker give one always. */
	{ "scsi_id", NULL, false, true },
	/* As it is anyway. */
	{ "thin_provisioning", NULL, false, true },
	{ "sense_format", NULL, false, false },
	{ "vendor_id", NULL, false, false },
	{ "product_id", NULL, false, false },
	{ "product_rev", NULL, false, false },
	{ "mode_page", NULL, false, false },
	{ "swp", NULL, false, false },
	{ "lbppbe", NULL, false, false },
	{ "la_lba", NULL, false, false },
	{ "optimal_xfer_gran", NULL, false, false },
	{ "optimal_xfer_len", NULL, false, false },
	{ "bwrite", NULL, false, false },
};

static bool is_one(const char *value)
{
	return !strcmp(value, "1") || !strcasecmp(value, "yes") || !strcasecmp(value, "on");
}

static int take_param(struct tgt *t, json_t *options, const char *name, char *value)
{
	size_t len = strlen(value);

	if (len > 1 && value[0] == '"' && value[len - 1] == '"') {
		value[len - 1] = '\0';
		value++;
	}
	if (!strcmp(name, "online"))
		return is_one(value) ? DONE
				     : complain(t, "invalid request: a LUN that is there is "
						   "online: delete it");
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		const struct param *p = &params[i];

		if (strcmp(p->name, name) != 0)
			continue;
		if (p->key && p->is_switch)
			json_object_set_new(options, p->key, json_boolean(is_one(value)));
		else if (p->key)
			json_object_set_new(options, p->key, json_string(value));
		else if (!p->silent)
			tell(t, "%s: is ignored: riserd has nothing like it", name);
		return DONE;
	}
	return complain(t, "invalid request: there is no parameter %s of a logical unit", name);
}

/* "name=value,name=value" */
static int take_params(struct tgt *t, json_t *options)
{
	char *text = strdup(t->o.params), *next, *equal;
	int status = text ? DONE : REFUSED;

	for (char *p = text; p && !status; p = next) {
		next = strchr(p, ',');
		if (next)
			*next++ = '\0';
		if (!*p)
			continue;
		equal = strchr(p, '=');
		if (equal)
			*equal++ = '\0';
		status = equal ? take_param(t, options, p, equal)
			       : complain(t, "invalid request: %s: no value", p);
	}
	free(text);
	return status;
}

static int unit_update(struct tgt *t)
{
	const char *name = unit_target(t);
	json_t *options;
	int status;

	if (!name)
		return REFUSED;
	if (!find_lun(find_target(t, name), t->o.lun))
		return complain(t, "can't find the logical unit");
	if (!t->o.params)
		return complain(t, "'params' option is necessary");
	options = json_object();
	status = take_params(t, options);
	if (status || !json_object_size(options)) {
		json_decref(options);
		return status;
	}
	return change(t, "lun.set",
		      json_pack("{s:s, s:i, s:o}", "target", name, "lun", (int)t->o.lun, "options",
				options),
		      t->o.force, NULL);
}

const struct verb unit_verbs[] = {
	{ "new", "logicalunit", unit_new },
	{ "delete", "logicalunit", unit_delete },
	{ "update", "logicalunit", unit_update },
	{ 0 },
};
