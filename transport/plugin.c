// SPDX-License-Identifier: BSD-2-Clause
/*
 * The RDMA transport is a plug-in: rdma-core is needed by those who use it only. The plug-in finds
 * the rest of riser in the executable.
 */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/beside.h"
#include "transport.h"

#define PLUGIN_FILE "riser-rdma.so"

/* dlerror() says "FILE: reason", FILE being the plug-in or a library that it needs. */
static void load_error(const char *path, char *why, size_t size)
{
	const char *error = dlerror();
	size_t len = strlen(path);

	if (!error)
		error = "unknown error";
	else if (!strncmp(error, path, len) && !strncmp(error + len, ": ", 2))
		error += len + 2;
	snprintf(why, size, "%s: %s", path, error);
}

const struct transport_ops *transport_load_rdma(char *why, size_t why_size)
{
	const struct transport_plugin *plugin;
	char path[PATH_MAX + 32];
	void *library;

	if (!find_beside(PLUGIN_FILE, F_OK, path, sizeof(path))) {
		snprintf(why, why_size, "%s is neither beside riserd nor in ../lib/riser",
			 PLUGIN_FILE);
		return NULL;
	}
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		load_error(path, why, why_size);
		return NULL;
	}
	plugin = dlsym(library, "riser_plugin");
	if (!plugin)
		snprintf(why, why_size, "%s: not a plug-in of riser", path);
	else if (strcmp(plugin->build, TRANSPORT_PLUGIN_BUILD) != 0)
		snprintf(why, why_size, "%s: of another build (%s, riserd is %s)", path,
			 plugin->build, TRANSPORT_PLUGIN_BUILD);
	else if (!plugin->load(why, why_size))
		return plugin->transport; /* stays loaded */
	dlclose(library);
	return NULL;
}
