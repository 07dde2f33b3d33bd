// SPDX-License-Identifier: BSD-2-Clause
/* What riserd looks for in riser-rdma.so. */
#include "transport/rdma/rdma.h"

__attribute__((visibility("default"))) extern const struct transport_plugin riser_plugin;

const struct transport_plugin riser_plugin = {
	.build = TRANSPORT_PLUGIN_BUILD,
	.transport = &rdma_transport,
	.load = rdma_lib_load,
};
