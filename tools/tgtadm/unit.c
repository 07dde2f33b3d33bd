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
static json_t *full_path(const struct tgt *t, const char *path)
{
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
				"path", full_path(t, t->o.path), "options", options),
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

struct param;
/* value: may be changed. Puts keys of riserd's into options; a status. */
typedef int take_fn(struct tgt *t, const struct param *p, char *value, json_t *options);

/* What is said of a LUN. */
struct param {
	const char *name;
	take_fn *take;
	const char *what; /* a key of riserd's, or why there is none */
};

static bool is_one(const char *value)
{
	return !strcmp(value, "1") || !strcasecmp(value, "yes") || !strcasecmp(value, "on");
}

static int take_text(struct tgt *t, const struct param *p, char *value, json_t *options)
{
	(void)t;
	json_object_set_new(options, p->what, json_string(value));
	return DONE;
}

static int take_switch(struct tgt *t, const struct param *p, char *value, json_t *options)
{
	(void)t;
	json_object_set_new(options, p->what, json_boolean(is_one(value)));
	return DONE;
}

static int refuse(struct tgt *t, const struct param *p, char *value, json_t *options)
{
	(void)options;
	return complain(t, "invalid request: %s=%s cannot be set: %s", p->name, value, p->what);
}

/* As it is always. */
static int take_one(struct tgt *t, const struct param *p, char *value, json_t *options)
{
	return is_one(value) ? DONE : refuse(t, p, value, options);
}

static int take_zero(struct tgt *t, const struct param *p, char *value, json_t *options)
{
	return strcmp(value, "0") ? refuse(t, p, value, options) : DONE;
}

/* Names that people read: agents give them, and nothing depends on them. */
static int take_label(struct tgt *t, const struct param *p, char *value, json_t *options)
{
	(void)options;
	tell(t, "%s=%s: is ignored: %s", p->name, value, p->what);
	return DONE;
}

static int take_path(struct tgt *t, const struct param *p, char *value, json_t *options)
{
	json_object_set_new(options, p->what, full_path(t, value));
	return DONE;
}

/* Logical blocks per physical block, as an exponent. */
static int take_exponent(struct tgt *t, const struct param *p, char *value, json_t *options)
{
	const json_t *lun = find_lun(find_target(t, target_name(t)), t->o.lun);
	int64_t block = member_number(lun, "block_size");

	if (strspn(value, "0123456789") != strlen(value) || !*value || strlen(value) > 2 ||
	    strtol(value, NULL, 10) > 15)
		return complain(t, "invalid request: %s=%s: it takes an exponent from 0 to 15",
				p->name, value);
	json_object_set_new(options, p->what, json_integer(block << strtol(value, NULL, 10)));
	return DONE;
}

static const struct param params[] = {
	{ "scsi_sn", take_text, "serial" },
	{ "readonly", take_switch, "readonly" },
	{ "swp", take_switch, "readonly" },
	{ "removable", take_switch, "removable" },
	{ "lbppbe", take_exponent, "physical-block-size" },
	{ "path", take_path, "path" },
	{ "online", take_one, "a LUN that is there is online: delete it" },
	{ "thin_provisioning", take_one, "initiators may always unmap" },
	{ "sense_format", take_zero, "initiators choose it by the D_SENSE bit (MODE SELECT)" },
	{ "la_lba", take_zero, "riserd asks the disk how it is aligned" },
	{ "scsi_id", take_label, "riserd makes the names of page 83h of the serial number" },
	{ "vendor_id", take_label, "disks of riserd say RISER" },
	{ "product_id", take_label, "disks of riserd have a product name of their own" },
	{ "product_rev", take_label, "disks of riserd say their own revision" },
	{ "mode_page", refuse, "initiators set mode pages by MODE SELECT" },
	{ "rotation_rate", refuse, "riserd asks the disk" },
	{ "optimal_xfer_gran", refuse, "riserd has its own" },
	{ "optimal_xfer_len", refuse, "riserd has its own" },
	{ "bwrite", refuse, "riserd has no such thing" },
};

static int take_param(struct tgt *t, json_t *options, const char *name, char *value)
{
	size_t len = strlen(value);

	if (len > 1 && value[0] == '"' && value[len - 1] == '"') {
		value[len - 1] = '\0';
		value++;
	}
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		if (!strcmp(params[i].name, name))
			return params[i].take(t, &params[i], value, options);
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
