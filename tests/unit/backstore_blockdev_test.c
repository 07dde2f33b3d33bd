// SPDX-License-Identifier: BSD-2-Clause
// beside: yes
/* Block devices as disks, on loop devices made for each test. */
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "backstore/file.h"
#include "backstore_io.h"

enum { SIZE = 4 << 20 };

static struct reactor *r;
static char device[32], text[128];
static int loop_fd = -1, image_fd = -1;
static _Alignas(4096) uint8_t data[BUF_MAX];

/* False: there are no loop devices here, or they are not ours to use. */
static bool begin(uint32_t block_size)
{
	struct reactor_config cfg = { .cpu = -1 };
	struct loop_config config = { .block_size = block_size,
				      .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	const char *tmp = getenv("TMPDIR");
	char image[256];
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number = -1, fd;

	if (control >= 0)
		number = ioctl(control, LOOP_CTL_GET_FREE);
	close(control);
	if (number < 0)
		return false;
	snprintf(device, sizeof(device), "/dev/loop%d", number);
	snprintf(image, sizeof(image), "%s/riser-loop-XXXXXX", tmp ? tmp : "/tmp");
	fd = mkostemp(image, O_CLOEXEC);
	CU_ASSERT_FATAL(fd >= 0);
	unlink(image);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, SIZE), 0);
	loop_fd = open(device, O_RDWR | O_CLOEXEC);
	config.fd = (uint32_t)fd;
	if (loop_fd < 0 || ioctl(loop_fd, LOOP_CONFIGURE, &config)) {
		close(fd);
		close(loop_fd);
		return false;
	}
	image_fd = fd;
	CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &r), 0);
	return true;
}

static void stop_turning(struct work *work)
{
	(void)work;
	reactor_stop(r);
}

/* The file of a request that a kernel thread carried out is let go of when the reactor enters its ring
 * the next time. In the daemon it sleeps in there; a test that runs it by hand has to turn it. */
static void close_and_let_go(struct backstore *bs)
{
	struct work stop = { .fn = stop_turning };
	int fd = -1;

	bs_close(bs);
	for (int i = 0; i < 500 && fd < 0; i++) {
		reactor_post(r, &stop);
		CU_ASSERT_EQUAL(reactor_run(r), 0);
		fd = open(device, O_RDONLY | O_EXCL | O_CLOEXEC);
		if (fd < 0)
			usleep(10000);
	}
	CU_ASSERT(fd >= 0);
	close(fd);
}

/* The device goes away with the last descriptor. */
static void end(void)
{
	close(loop_fd);
	close(image_fd);
	reactor_destroy(r);
}

#define NO_LOOP "no loop devices, or no right to make one"

static const char *with(const char *options)
{
	snprintf(text, sizeof(text), "%s%s", device, options);
	return text;
}

static void size_and_blocks_are_the_devices(void)
{
	struct backstore *bs;
	char serial[37];

	if (!begin(512))
		UNIT_SKIP(NO_LOOP);
	bs = open_text(device);
	CU_ASSERT_EQUAL(bs->limits.size, SIZE);
	CU_ASSERT_EQUAL(bs->limits.block_size, 512);
	CU_ASSERT(bs->limits.volatile_cache);
	CU_ASSERT_EQUAL(strlen(bs->serial), 32);
	memcpy(serial, bs->serial, sizeof(serial));
	bs_close(bs);
	bs = open_text(with(",block-size=4096"));
	CU_ASSERT_EQUAL(bs->limits.block_size, 4096);
	CU_ASSERT_STRING_EQUAL(bs->serial, serial);
	bs_close(bs);
	CU_ASSERT(refuses(with(",size=8M"), -EINVAL, "has 4194304 bytes, not 8388608"));
	bs_close(open_text(with(",size=4M")));
	end();
}

static void a_device_in_use_is_refused(void)
{
	struct backstore *bs;
	int other;

	if (!begin(512))
		UNIT_SKIP(NO_LOOP);
	other = open(device, O_RDONLY | O_EXCL | O_CLOEXEC);
	CU_ASSERT_FATAL(other >= 0);
	CU_ASSERT(refuses(device, -EBUSY, "in use"));
	CU_ASSERT(refuses(with(",readonly=on"), -EBUSY, "in use"));
	close(other);
	bs = open_text(device);
	CU_ASSERT(refuses(with(",serial=X"), -EBUSY, "is served already"));
	CU_ASSERT_EQUAL(open(device, O_RDONLY | O_EXCL | O_CLOEXEC), -1);
	bs_close(bs);
	end();
}

static void the_page_cache_keeps_data(void)
{
	struct backstore *bs;

	if (!begin(512))
		UNIT_SKIP(NO_LOOP);
	bs = open_text(device);
	compare_with_model(r, bs, data);
	bs_close(bs);
	end();
}

static void direct_keeps_data(void)
{
	struct backstore *bs;

	if (!begin(512))
		UNIT_SKIP(NO_LOOP);
	bs = open_text(with(",direct=on"));
	compare_with_model(r, bs, data);
	bs_close(bs);
	end();
}

static void sectors_of_4096_bytes(void)
{
	struct backstore *bs;

	if (!begin(4096))
		UNIT_SKIP(NO_LOOP);
	bs = open_text(with(",direct=on"));
	CU_ASSERT_EQUAL(bs->limits.block_size, 4096);
	compare_with_model(r, bs, data);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_ZERO, 0, 0, SIZE, NULL), 0);
	close_and_let_go(bs);
	CU_ASSERT(refuses(with(",direct=on,block-size=512"), -EINVAL, "sectors of 4096 bytes"));
	/* Through the page cache smaller blocks are possible, zeroing included. */
	bs = open_text(with(",block-size=512"));
	compare_with_model(r, bs, data);
	bs_close(bs);
	end();
}

/* What the kernel does not tell of devices, or cannot do with them, is refused at once. */
static void what_devices_cannot_is_refused(void)
{
	static const enum bs_opcode opcodes[] = { BS_EXTENT, BS_SPACE, BS_ERASE };
	struct backstore *bs;

	if (!begin(512))
		UNIT_SKIP(NO_LOOP);
	bs = open_text(device);
	CU_ASSERT(!bs->limits.can_report_extents && !bs->limits.can_report_space);
	CU_ASSERT(!bs->limits.can_erase); /* loop has no secure erase */
	for (size_t i = 0; i < array_size(opcodes); i++)
		CU_ASSERT_EQUAL(io_run(r, bs, opcodes[i], 0, 0, 4096, NULL), -EOPNOTSUPP);
	CU_ASSERT(bs->limits.atomic_max >= 512 && bs->limits.atomic_granularity >= 512);
	memset(data, 0x77, 4096);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_WRITE, BS_ATOMIC, 0, bs->limits.atomic_max, data), 0);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_UNMAP, BS_FUA, 0, SIZE, NULL), 0);
	CU_ASSERT(bs->limits.unmap_alignment < bs->limits.unmap_granularity ||
		  !bs->limits.unmap_alignment);
	bs_close(bs);
	end();
}

static void resize_follows_the_device(void)
{
	struct backstore *bs;

	if (!begin(512))
		UNIT_SKIP(NO_LOOP);
	bs = open_text(device);
	CU_ASSERT_EQUAL_FATAL(ftruncate(image_fd, 2 * SIZE), 0);
	CU_ASSERT_EQUAL_FATAL(ioctl(loop_fd, LOOP_SET_CAPACITY, 0), 0);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, SIZE, 4096, data), -ENODATA);
	CU_ASSERT_EQUAL(bs_resize(bs), 0);
	CU_ASSERT_EQUAL(bs->limits.size, 2 * SIZE);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, SIZE, 4096, data), 0);
	CU_ASSERT_EQUAL_FATAL(ftruncate(image_fd, SIZE / 2), 0);
	CU_ASSERT_EQUAL_FATAL(ioctl(loop_fd, LOOP_SET_CAPACITY, 0), 0);
	CU_ASSERT_EQUAL(bs_resize(bs), 0);
	CU_ASSERT_EQUAL(bs->limits.size, SIZE / 2);
	bs_close(bs);
	end();
}

UNIT_MAIN(TEST(what_devices_cannot_is_refused), TEST(resize_follows_the_device),
	  TEST(size_and_blocks_are_the_devices), TEST(a_device_in_use_is_refused),
	  TEST(the_page_cache_keeps_data), TEST(direct_keeps_data), TEST(sectors_of_4096_bytes));
