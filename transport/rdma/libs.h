// SPDX-License-Identifier: BSD-2-Clause
/*
 * The functions of rdma-core, as a table: real ones, or a test's.
 *
 * librdmacm is loaded and unloaded at run time. Once it has seen a device it keeps the device's
 * verbs context open for good, and a device of a driver that cannot take the context away
 * (rdma_rxe, siw) then cannot be removed: `rdma link delete` hangs. So when a device goes and
 * nobody uses librdmacm any more, it is unloaded and the contexts it left are closed. While
 * nobody uses it its functions must not be called: they are NULL.
 *
 * ibv_post_send, ibv_post_recv, ibv_poll_cq, ibv_req_notify_cq and ibv_get_cq_event's relatives
 * that verbs.h defines inline go through the context's own table and are called directly.
 */
#ifndef RISER_TRANSPORT_RDMA_LIBS_H
#define RISER_TRANSPORT_RDMA_LIBS_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <stdbool.h>
#include <stddef.h>

/* Macros of verbs.h that would replace our members. */
#undef ibv_reg_mr
#undef ibv_query_port

/* clang-format off */
/* librdmacm */
#define RDMA_CM_FUNCTIONS(X)                                                               \
	X(rdma_create_event_channel) X(rdma_destroy_event_channel) X(rdma_create_id)       \
	X(rdma_destroy_id) X(rdma_bind_addr) X(rdma_listen) X(rdma_get_cm_event)           \
	X(rdma_ack_cm_event) X(rdma_accept) X(rdma_reject) X(rdma_notify)                  \
	X(rdma_disconnect) X(rdma_migrate_id) X(rdma_set_option) X(rdma_create_qp)         \
	X(rdma_destroy_qp) X(rdma_event_str) X(rdma_get_devices) X(rdma_free_devices)

/* libibverbs */
#define RDMA_VERBS_FUNCTIONS(X)                                                            \
	X(ibv_alloc_pd) X(ibv_dealloc_pd) X(ibv_reg_mr) X(ibv_dereg_mr)                    \
	X(ibv_create_comp_channel) X(ibv_destroy_comp_channel) X(ibv_create_cq)            \
	X(ibv_destroy_cq) X(ibv_get_cq_event) X(ibv_ack_cq_events) X(ibv_query_device)     \
	X(ibv_create_srq) X(ibv_destroy_srq) X(ibv_modify_qp) X(ibv_get_async_event)       \
	X(ibv_ack_async_event) X(ibv_close_device) X(ibv_wc_status_str)                    \
	X(ibv_event_type_str)
/* clang-format on */

struct rdma_lib {
#define X(name) __typeof__(name) *name;
	RDMA_CM_FUNCTIONS(X)
	RDMA_VERBS_FUNCTIONS(X)
#undef X
};
extern struct rdma_lib rdma_lib;

/* [main thread, once] Loads librdmacm and fills in rdma_lib. -errno with one line in why. */
int rdma_lib_load(char *why, size_t why_size);
/* [any thread] Someone uses librdmacm: loads it again when it was unloaded. False: there is no device,
 * or it could not be loaded, or is on its way out; try again later. */
bool rdma_lib_get(void);
/* [any thread] ... and no longer does. With the last user gone it is unloaded if it has a device. */
void rdma_lib_put(void);
/* [any thread] The cm id of a live device has this context: it is to be closed when librdmacm goes. */
void rdma_lib_note_context(struct ibv_context *verbs);
/* [any thread] A device is gone. */
void rdma_lib_device_lost(struct ibv_context *verbs);
/* [any thread] Looks whether the devices are there. A context whose device was found gone since the
 * last look (to be compared only), or NULL. */
struct ibv_context *rdma_lib_watch(void);
/* [any thread] The last device is gone and librdmacm keeps it busy: everybody who uses it shall put
 * it, rdma_lib_get() is false until then. */
bool rdma_lib_stale(void);

#endif
