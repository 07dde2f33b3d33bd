// SPDX-License-Identifier: BSD-2-Clause
/* LUNs, as they are served. */
#include <stdatomic.h>
#include <string.h>

#include "rpc_look.h"

json_t *look_lun_stats(const struct lu *lu, unsigned int reactors)
{
	json_int_t commands = 0, reads = 0, writes = 0, read = 0, written = 0, conditions = 0;
	json_int_t conflicts = 0, read_errors = 0, write_errors = 0;

	for (unsigned int r = 0; r < reactors; r++) {
		const struct lu_stats *st = lu_stats(lu, r);

		commands += (json_int_t)st->commands;
		reads += (json_int_t)st->reads;
		writes += (json_int_t)st->writes;
		read += (json_int_t)st->read_bytes;
		written += (json_int_t)st->write_bytes;
		conditions += (json_int_t)st->check_conditions;
		conflicts += (json_int_t)st->conflicts;
		read_errors += (json_int_t)st->read_errors;
		write_errors += (json_int_t)st->write_errors;
	}
	return json_pack("{sI sI sI sI sI sI sI sI sI}", "commands", commands, "reads", reads,
			 "writes", writes, "read_bytes", read, "write_bytes", written,
			 "check_conditions", conditions, "conflicts", conflicts, "read_errors",
			 read_errors, "write_errors", write_errors);
}

static json_t *hex(const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char text[33];

	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	return json_stringn(text, 2 * len);
}

/* What was given, in the words of riser.conf(5). */
static json_t *options(const struct bs_spec *spec)
{
	json_t *o = json_object();

	if (spec->size)
		json_object_set_new(o, "size", json_integer((json_int_t)spec->size));
	if (spec->block_size)
		json_object_set_new(o, "block-size", json_integer(spec->block_size));
	if (spec->physical_block_size)
		json_object_set_new(o, "physical-block-size",
				    json_integer(spec->physical_block_size));
	if (spec->read_only)
		json_object_set_new(o, "readonly", json_true());
	if (spec->direct)
		json_object_set_new(o, "direct", json_true());
	if (spec->removable)
		json_object_set_new(o, "removable", json_true());
	if (spec->serial[0])
		json_object_set_new(o, "serial", rpc_text(spec->serial));
	if (spec->designators.naa_len)
		json_object_set_new(o, "naa",
				    hex(spec->designators.naa, spec->designators.naa_len));
	if (spec->designators.eui_len)
		json_object_set_new(o, "eui",
				    hex(spec->designators.eui, spec->designators.eui_len));
	if (spec->protection)
		json_object_set_new(o, "pi", json_integer(spec->protection));
	if (spec->protection_path[0])
		json_object_set_new(o, "pi-path", rpc_text(spec->protection_path));
	if (spec->fault[0])
		json_object_set_new(o, "fault", rpc_text(spec->fault));
	return o;
}

static void add_limits(json_t *options, const struct io_limits *limits)
{
	if (limits->iops)
		json_object_set_new(options, "iops", json_integer((json_int_t)limits->iops));
	if (limits->bandwidth)
		json_object_set_new(options, "bandwidth",
				    json_integer((json_int_t)limits->bandwidth));
	if (limits->burst_ns)
		json_object_set_new(options, "burst_ns",
				    json_integer((json_int_t)limits->burst_ns));
}

static const char *kind_of(const struct bs_spec *spec, const struct backstore *bs)
{
	if (strcmp(spec->driver, "file") != 0)
		return spec->driver;
	/* A device is known by its number alone. */
	return bs && bs->dev && !bs->ino ? "block" : "file";
}

static void add_unit(json_t *json, const struct lu *lu, unsigned int reactors)
{
	const struct backstore *bs = lu_backstore(lu);
	uint8_t naa[16], naa_len = lu_naa(lu, naa);
	uint64_t since;

	json_object_set_new(json, "size", json_integer((json_int_t)bs->limits.size));
	json_object_set_new(json, "block_size", json_integer(bs->limits.block_size));
	json_object_set_new(json, "physical_block_size",
			    json_integer(bs->limits.physical_block_size));
	json_object_set_new(json, "readonly", json_boolean(bs->limits.read_only));
	json_object_set_new(json, "serial", rpc_text(bs->serial));
	json_object_set_new(json, "naa", hex(naa, naa_len));
	json_object_set_new(json, "health",
			    json_string(bs->flush_failed	  ? "flush-failed"
					: !bs->limits.size	  ? "no-size"
					: lu_detached(lu, &since) ? "hangs"
								  : "ok"));
	json_object_set_new(json, "stats", look_lun_stats(lu, reactors));
}

json_t *look_lun(const struct rpc_context *x, const struct config_target *target,
		 const struct config_lun *lun, const struct lu *lu)
{
	const struct bs_spec *spec = &lun->spec;
	json_t *json = json_pack("{so si so ss ss so}", "target", rpc_text(target->name), "lun",
				 (int)lun->number, "path",
				 spec->path[0] ? rpc_text(spec->path) : json_null(), "kind",
				 kind_of(spec, lu ? lu_backstore(lu) : NULL), "source",
				 look_source(x, &lun->place), "options", options(spec));

	add_limits(json_object_get(json, "options"), &lun->limits);
	if (lu)
		add_unit(json, lu, x->reactor_count);
	else
		json_object_set_new(json, "health", json_string("absent"));
	return json;
}

static void append_luns(const struct rpc_context *x, unsigned int index, json_t *luns)
{
	const struct config_target *t = &live_running(x->live)->targets[index];
	const struct scsi_target *scsi = live_target(x->live, index);

	for (unsigned int i = 0; i < t->lun_count; i++)
		json_array_append_new(luns,
				      look_lun(x, t, &t->luns[i], scsi->lun[t->luns[i].number]));
}

static enum rpc_status list(struct rpc_call *call, const json_t *params, json_t **result)
{
	const struct rpc_context *x = call->context;
	unsigned int index;
	json_t *luns;

	if (json_object_get(params, "target")) {
		if (!look_target(call, params, &index))
			return RPC_NOT_FOUND;
		*result = luns = json_array();
		append_luns(x, index, luns);
		return RPC_OK;
	}
	*result = luns = json_array();
	for (index = 0; index < live_running(x->live)->target_count; index++)
		append_luns(x, index, luns);
	return RPC_OK;
}

static enum rpc_status lun_list(struct rpc_call *call, const json_t *params, json_t **result)
{
	enum rpc_status status;

	live_look(call->context->live);
	status = list(call, params, result);
	live_look_end(call->context->live);
	return status;
}

static void append_hanging(const struct live_hanging *h, void *arg)
{
	json_array_append_new(
		arg, json_pack("{so si so si sI sb}", "target", rpc_text(h->target), "lun",
			       (int)h->lun, "disk", rpc_text(h->disk), "commands", (int)h->commands,
			       "seconds", (json_int_t)(h->ns / NSEC_PER_SEC), "served", h->served));
}

static enum rpc_status hanging(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct live *live = call->context->live;

	(void)params;
	*result = json_array();
	live_look(live);
	live_each_hanging(live, append_hanging, *result);
	live_look_end(live);
	return RPC_OK;
}

static const struct rpc_param list_params[] = {
	{ "target", RPC_STRING, false, "its LUNs only: the name of a target" },
	{ 0 },
};

extern const struct rpc_method rpc_lun_methods[];
const struct rpc_method rpc_lun_methods[] = {
	{ "lun.list", "every LUN, its disk, health and counters", RPC_MONITOR, RPC_CONTROL,
	  list_params, lun_list },
	{ "lun.hanging",
	  "commands that hang in a disk and that nobody waits for any more: of sessions that have "
	  "ended, and of LUNs that went by force (served: false)",
	  RPC_MONITOR, RPC_CONTROL, NULL, hanging },
	{ 0 },
};
