// SPDX-License-Identifier: BSD-2-Clause
/* A disk of zeros that forgets what is written: measures everything but the disk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/slab.h"
#include "driver.h"

static int null_open(const struct bs_spec *spec, struct backstore **out, char *why, size_t why_size)
{
	struct backstore *bs;
	int err = bs_check_size(spec, why, why_size);

	if (err)
		return err;
	bs = bs_alloc(sizeof(*bs), &bs_null_driver);
	if (!bs || !bs_zeros()) {
		free(bs);
		return bs_fail(-ENOMEM, why, why_size, "out of memory");
	}
	bs_memory_limits(spec, &bs->limits);
	bs->limits.can_report_extents = bs->limits.can_report_space = true;
	bs_set_name(bs, spec);
	bs_set_serial_by_order(bs, spec, bs->name);
	*out = bs;
	return 0;
}

static void null_close(struct backstore *bs)
{
	free(bs);
}

static bool null_submit(struct backstore *bs, struct bs_req *req)
{
	req->res = 0;
	switch (req->opcode) {
	case BS_READ:
		if (req->data != bs_zeros())
			memset(req->data, 0, req->len);
		break;
	case BS_COPY:
		if (req->source->driver != bs->driver)
			req->res = -EOPNOTSUPP;
		break;
	case BS_EXTENT:
		req->extent.len = req->len;
		req->extent.mapped = req->extent.anchored = false;
		break;
	case BS_SPACE:
		req->space.used = 0;
		req->space.available = bs->limits.size;
		break;
	case BS_WRITE:
	case BS_FLUSH:
	case BS_UNMAP:
	case BS_ZERO:
	case BS_ERASE: break;
	}
	return true;
}

static void *null_borrow(struct backstore *bs, uint64_t offset, uint64_t len)
{
	(void)bs;
	(void)offset;
	return len <= BUF_MAX ? (void *)bs_zeros() : NULL;
}

const struct bs_driver bs_null_driver = {
	.name = "null",
	.open = null_open,
	.close = null_close,
	.submit = null_submit,
	.borrow = null_borrow,
};
