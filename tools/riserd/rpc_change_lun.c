// SPDX-License-Identifier: BSD-2-Clause
/* lun.create, set, resize, delete. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rpc_change.h"

static const char *const lun_keys[] = { "path", NULL };

/* The target and the LUN of the parameters. */
struct which {
	char target[300], number[16];
	unsigned int lun;
};

static enum rpc_status find_target(struct rpc_call *call, const json_t *params, struct which *w)
{
	if (!change_title(call, "target", change_text(params, "target"), w->target,
			  sizeof(w->target)))
		return RPC_USAGE;
	if (change_find(call, "target", w->target))
		return RPC_OK;
	return rpc_fail(call, RPC_NOT_FOUND, w->target, "target.list has all targets",
			"there is no target %.200s", w->target);
}

static enum rpc_status take_number(struct rpc_call *call, json_int_t n, struct which *w)
{
	if (n < 0 || n >= TARGET_LUNS)
		return rpc_fail(call, RPC_USAGE, w->target, NULL, "lun %lld: not 0 to %d",
				(long long)n, TARGET_LUNS - 1);
	w->lun = (unsigned int)n;
	snprintf(w->number, sizeof(w->number), "%u", w->lun);
	return RPC_OK;
}

/* The given one, or the first that is free. */
static enum rpc_status choose_number(struct rpc_call *call, const json_t *params, struct which *w)
{
	const json_t *given = json_object_get(params, "lun");
	unsigned int n = 0;

	if (given)
		return take_number(call, json_integer_value(given), w);
	while (n < TARGET_LUNS && change_find_lun(call, w->target, n))
		n++;
	if (n == TARGET_LUNS)
		return rpc_fail(call, RPC_FAILED, w->target, "make another target",
				"all %d LUNs of the target are there", TARGET_LUNS);
	return take_number(call, n, w);
}

static json_t *named(const struct which *w)
{
	return json_pack("{s:s, s:i}", "target", w->target, "lun", (int)w->lun);
}

static enum rpc_status find_lun(struct rpc_call *call, const json_t *params, struct which *w)
{
	enum rpc_status status = find_target(call, params, w);

	if (!status)
		status = take_number(call, json_integer_value(json_object_get(params, "lun")), w);
	if (status || change_find_lun(call, w->target, w->lun))
		return status;
	return rpc_fail(call, RPC_NOT_FOUND, w->target, "lun.list has all LUNs",
			"%.200s has no LUN %u", w->target, w->lun);
}

static bool let_it_be(enum rpc_status status, const json_t *params)
{
	return status == RPC_NOT_FOUND && change_given(params, "if_exists");
}

static enum rpc_status create(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct change_at at = { .section = "target", .inner = "lun" };
	struct which w = { .lun = 0 };
	enum rpc_status status = find_target(call, params, &w);
	json_t *object;

	if (!status)
		status = choose_number(call, params, &w);
	if (status)
		return status;
	if (change_find_lun(call, w.target, w.lun)) {
		if (change_given(params, "if_not_exists"))
			return change_idle(named(&w), result);
		return rpc_fail(call, RPC_EXISTS, w.target,
				"leave the number out, or change it by lun.set",
				"%.200s has a LUN %u already", w.target, w.lun);
	}
	object = json_object();
	if (!change_keys(call, params, lun_keys, object)) {
		json_decref(object);
		return RPC_USAGE;
	}
	at.title = w.target;
	at.name = w.number;
	change_cover(call, object, &at);
	return change_do(call, params, &at, object, named(&w), result);
}

static enum rpc_status set(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct change_at at = { .section = "target", .inner = "lun" };
	struct which w = { .lun = 0 };
	enum rpc_status status = find_lun(call, params, &w);
	json_t *object;

	if (let_it_be(status, params))
		return change_idle(NULL, result);
	if (status)
		return status;
	object = json_object();
	if (!change_keys(call, params, lun_keys, object)) {
		json_decref(object);
		return RPC_USAGE;
	}
	if (!json_object_size(object)) {
		json_decref(object);
		return rpc_fail(call, RPC_USAGE, w.target, "riser.conf(5) has the keys",
				"LUN %u: nothing is to be set", w.lun);
	}
	at.title = w.target;
	at.name = w.number;
	return change_do(call, params, &at, object, named(&w), result);
}

static enum rpc_status delete (struct rpc_call *call, const json_t *params, json_t **result) {
	struct change_at at = { .section = "target", .inner = "lun" };
	struct which w = { .lun = 0 };
	enum rpc_status status = find_lun(call, params, &w);

	if (let_it_be(status, params)) return change_idle(NULL, result);
	if (status) return status;
	at.title = w.target;
	at.name = w.number;
	return change_do(call, params, &at, NULL, named(&w), result);
}

/* --- Sizes */

/* Makes the file larger, or smaller when that is really wanted. */
static enum rpc_status resize_file(struct rpc_call *call, const json_t *params, const char *path,
				   json_int_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	enum rpc_status status = RPC_OK;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		status = rpc_fail(call, RPC_FAILED, path, NULL, "%.300s: cannot be opened: %s",
				  path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		status = rpc_fail(call, RPC_USAGE, path,
				  "resize the device first, then call this without a size",
				  "%.300s: is no file: only its owner can resize it", path);
	else if (size < st.st_size && !change_given(params, "force"))
		status = rpc_fail(call, RPC_BUSY, path,
				  "--force (\"force\": true) cuts it off all the same",
				  "%.300s: has %lld bytes: what is behind byte %lld would be lost",
				  path, (long long)st.st_size, (long long)size);
	else if (!change_given(params, "dry_run") && ftruncate(fd, size))
		status = rpc_fail(call, RPC_FAILED, path, NULL, "%.300s: cannot be resized: %s",
				  path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return status;
}

/* A file that says with which size it is to be created would not be opened with another one. */
static enum rpc_status correct_size(struct rpc_call *call, const json_t *params,
				    const struct which *w, json_int_t size)
{
	struct change_at at = { "target", w->target, "lun", w->number };
	json_t *ignored = NULL;
	char text[32], why[sizeof(call->message)];
	enum rpc_status status;

	if (!json_object_get(change_find_lun(call, w->target, w->lun), "size"))
		return RPC_OK;
	snprintf(text, sizeof(text), "%lld", (long long)size);
	status = change_do(call, params, &at, json_pack("{s:s}", "size", text), NULL, &ignored);
	json_decref(ignored);
	if (!status)
		return status;
	snprintf(why, sizeof(why), "%s", call->message);
	return rpc_fail(call, RPC_PARTLY, w->target,
			"set its size to that by lun.set, else it is not opened at the next start",
			"LUN %u has %s bytes now, which is not recorded: %.300s", w->lun, text,
			why);
}

static enum rpc_status resize(struct rpc_call *call, const json_t *params, json_t **result)
{
	const json_t *given = json_object_get(params, "size");
	json_int_t wanted = json_integer_value(given);
	struct which w = { .lun = 0 };
	enum rpc_status status = find_lun(call, params, &w);
	uint64_t size = 0;
	const char *path;
	int err = 0;

	if (status)
		return status;
	path = change_text(change_find_lun(call, w.target, w.lun), "path");
	if (!strncmp(path, "ram:", 4) || !strncmp(path, "null:", 5))
		return rpc_fail(call, RPC_USAGE, w.target,
				"lun.set path=ram:SIZE makes another disk, and its data is lost",
				"LUN %u: a disk in memory keeps its size", w.lun);
	if (given && (wanted <= 0 || wanted % 512))
		return rpc_fail(call, RPC_USAGE, w.target, NULL,
				"LUN %u: %lld bytes is no positive multiple of the block size",
				w.lun, (long long)wanted);
	if (given)
		status = resize_file(call, params, path, wanted);
	if (!status && !change_given(params, "dry_run"))
		err = live_resize_lun(call->context->live, w.target, w.lun, &size);
	if (!status && err)
		status = rpc_fail(call, RPC_FAILED, path, NULL, "%.300s: no size: %s", path,
				  strerror(-err));
	if (!status && given && !change_given(params, "dry_run"))
		status = correct_size(call, params, &w, wanted);
	if (status)
		return status;
	*result = named(&w);
	json_object_set_new(
		*result, "size",
		json_integer(change_given(params, "dry_run") && given ? wanted : (json_int_t)size));
	return RPC_OK;
}

#define TARGET                                               \
	{                                                    \
		"target", RPC_STRING, true, "its iSCSI name" \
	}
#define LUN                                                       \
	{                                                         \
		"lun", RPC_INTEGER, true, "the number of the LUN" \
	}
#define PATH(needed)                                                                 \
	{                                                                            \
		"path", RPC_STRING, needed,                                          \
			"ram:SIZE, null:SIZE, or the path of a file or block device" \
	}
#define OPTIONS                                                                         \
	{                                                                               \
		"options", RPC_OBJECT, false, "any other key of a lun in riser.conf(5)" \
	}
#define IF_EXISTS                                                                \
	{                                                                        \
		"if_exists", RPC_BOOLEAN, false, "no error when it is not there" \
	}

static const struct rpc_param create_params[] = {
	TARGET,
	{ "lun", RPC_INTEGER, false, "its number; else the first that is free" },
	PATH(true),
	OPTIONS,
	{ "if_not_exists", RPC_BOOLEAN, false, "no error when it is there already" },
	CHANGE_PARAMS,
};
static const struct rpc_param set_params[] = {
	TARGET,
	LUN,
	PATH(false),
	OPTIONS,
	{ "unset", RPC_STRINGS, false, "keys that it shall not have any more" },
	IF_EXISTS,
	CHANGE_PARAMS,
};
static const struct rpc_param resize_params[] = {
	TARGET,
	LUN,
	{ "size", RPC_INTEGER, false, "bytes of a file; else the size that it has by now" },
	CHANGE_PARAMS,
};
static const struct rpc_param delete_params[] = { TARGET, LUN, IF_EXISTS, CHANGE_PARAMS };

extern const struct rpc_method rpc_change_lun_methods[];
const struct rpc_method rpc_change_lun_methods[] = {
	{ "lun.create", "a LUN more", RPC_ADMIN, RPC_MAIN, create_params, create },
	{ "lun.set", "another disk, or other options", RPC_ADMIN, RPC_MAIN, set_params, set },
	{ "lun.resize", "another size of its file, or a look at what it has by now", RPC_ADMIN,
	  RPC_MAIN, resize_params, resize },
	{ "lun.delete", "takes a LUN away; its file or device stays as it is", RPC_ADMIN, RPC_MAIN,
	  delete_params, delete },
	{ 0 },
};
