// SPDX-License-Identifier: BSD-2-Clause
/*
 * Backstores: what holds a disk's bytes. A driver fills in struct backstore_driver; the SCSI layer
 * calls the checked wrappers bs_*(). All offsets and lengths are bytes and multiples of the
 * logical block size.
 */
#ifndef RISER_BACKSTORE_H
#define RISER_BACKSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/list.h"
#include "core/reactor.h"

struct backstore;
struct bs_driver;
struct pi_tuple;

enum bs_opcode {
	BS_READ, /* fills data */
	BS_WRITE, /* stores data; BS_FUA: on stable media before done */
	BS_FLUSH, /* everything whose write was done before is on stable media; offset/len unused */
	BS_UNMAP, /* space may be given back; reads return zeros afterwards; BS_FUA */
	BS_ZERO, /* reads return zeros afterwards, space stays allocated where the driver can; BS_FUA */
	BS_ERASE, /* what was there cannot be read from the medium again; needs limits.can_erase */
	/* Copies len bytes from source at source_offset without moving them through memory (reflink,
	 * copy_file_range); BS_FUA. -EOPNOTSUPP: these two cannot, read and write instead. */
	BS_COPY,
	BS_EXTENT, /* what is at offset: fills in extent, for at most len bytes from there */
	BS_SPACE, /* fills in space; offset and len unused */
};
enum { BS_OPCODES = BS_SPACE + 1 };
/* It changes what is read. */
static inline bool bs_writes(enum bs_opcode opcode)
{
	return opcode != BS_READ && opcode != BS_FLUSH && opcode != BS_EXTENT && opcode != BS_SPACE;
}

#define BS_FUA 0x1u /* BS_READ: from the medium, past what caches hold, where the driver can */
/* BS_WRITE: all or nothing, power failure included; see limits.atomic_max. Nothing else is being
 * written. */
#define BS_ATOMIC 0x2u
/* Where limits.protection: tuples of READ and WRITE go to or come from req->tuples, and nothing is
 * checked; those of ZERO become all ones. Without it what is read is checked against its tuples, and
 * tuples of what is written are made. UNMAP and ERASE always leave all ones. */
#define BS_TUPLES 0x4u
/* BS_ZERO: the space is taken, so that a later write there does not fail for want of it, and tuples
 * become all ones; needs limits.can_anchor. */
#define BS_ANCHOR 0x8u

/* One request. Embedded in the caller's command. */
struct bs_req {
	/* set by the caller, untouched by the driver */
	enum bs_opcode opcode;
	uint32_t flags;
	uint64_t offset, len; /* bytes; READ and WRITE at most BUF_MAX */
	void *data; /* READ, WRITE: len bytes, borrowed until done */
	struct backstore *source; /* COPY: where from; may be bs itself, ranges do not overlap */
	uint64_t source_offset; /* COPY */
	struct pi_tuple
		*tuples; /* BS_TUPLES: one per block, borrowed until done; see protection.h */
	struct reactor *reactor; /* submit and done happen on its thread */
	/* Called exactly once, never from inside bs_submit() unless bs_submit says so by returning
	 * true (see there). res: 0 or -errno (-EIO, -ENOSPC, -EROFS, -ENODATA for a range lost...). */
	void (*done)(struct bs_req *req, int res);
	/* results */
	union {
		struct {
			uint64_t
				len; /* bytes from offset that are alike, a multiple of the block */
			bool mapped; /* they have data, or perhaps */
			bool anchored; /* not mapped, but they have space */
		} extent;
		struct {
			uint64_t used,
				available; /* bytes: taken by this disk, and what it could still get */
		} space;
		struct { /* res is -EBADE: data and tuple do not fit each other */
			uint64_t offset; /* bytes: of the first such block */
			uint8_t what; /* enum pi_field */
		} mismatch;
	};
	/* the driver's */
	struct io_op op;
	union {
		uint64_t u64;
		void *ptr;
		struct iovec iov;
	} priv[3];
	struct backstore *bs; /* set by bs_submit */
	int res; /* set by bs_submit for inline completion */
};

/* What a driver can do: data, never NULL functions. Set by open. */
struct bs_limits {
	/* Bytes, multiple of block_size. Only bs_resize() changes it, perhaps to 0. */
	_Atomic uint64_t size;
	uint32_t block_size; /* logical block length in bytes: 512 or 4096 */
	uint32_t physical_block_size; /* bytes */
	uint32_t optimal_io_size; /* bytes, 0 = unknown */
	bool read_only;
	bool volatile_cache; /* a done write may be lost by power failure before a flush: WCE=1 */
	bool can_unmap; /* space is really given back */
	bool can_anchor; /* and can be taken in advance: BS_ANCHOR */
	uint32_t unmap_granularity; /* bytes, 0 = block_size */
	uint32_t unmap_alignment; /* bytes: first aligned offset */
	bool can_erase, can_report_extents, can_report_space;
	/* BS_ATOMIC: most bytes of one such write, and what offset and length have to be multiples
	 * of. At least one block. */
	uint32_t atomic_max, atomic_granularity;
	bool rotational;
	bool caches_reads; /* what was read comes from memory the next time */
	bool lends_pointers; /* bs_borrow() works, and WRITE is done when submit() returns */
	uint8_t protection; /* T10 protection type 1, 2, 3; 0: blocks have no tuples */
};

struct bs_stats { /* one per reactor; written by its thread */
	_Atomic uint64_t reads, writes, flushes, unmaps, read_bytes, write_bytes, errors;
	uint64_t pad[9]; /* no two reactors on one cache line, whatever the alignment */
};
/* Designators that an operator has given to the disk (SPC 7.7.6), in wire order; length 0: none. */
struct bs_designators {
	uint8_t naa[16], naa_len; /* NAA 2h, 3h or 5h: 8 bytes; 6h: 16 */
	uint8_t eui[16], eui_len; /* EUI-64 based: 8, 12 or 16 bytes */
};

/* What stands on the command line or in a file: "DRIVER:ARG,key=value,...". */
struct bs_spec {
	char driver[16]; /* "ram", "null", "file" */
	char path[4096]; /* RAM and null: empty */
	uint64_t size; /* bytes; 0 = not given */
	uint32_t block_size; /* bytes; 0 = not given */
	uint32_t physical_block_size; /* bytes, what initiators are told; 0 = the driver's */
	bool read_only, direct;
	bool removable; /* a removable medium: no concern of the driver */
	char serial[37]; /* unit serial number; empty = derived from stored identity */
	struct bs_designators designators;
	char scope[224]; /* name of the target: mixed into the serial of a disk that has no identity
	                  * of its own (ram, null), since two daemons may serve the same spec */
	char fault[256]; /* rules of the fault filter; empty = none */
	uint8_t protection; /* type 1, 2, 3; 0 = none */
	char protection_path[512]; /* where the tuples are; empty with memory disks */
};

struct backstore {
	const struct bs_driver *driver;
	struct bs_limits limits;
	char name[256]; /* for messages: the path, "ram:1G", ... */
	char serial[37]; /* stable identity: given, stored, or derived from the path; hex/ASCII */
	struct bs_designators designators;
	/* Latched by the first failed flush or FUA write (a lost write-back cannot be asked for
	 * again): every later flush and FUA write fails with -EIO until an operator clears it. */
	_Atomic bool flush_failed;
	/* The list of open disks, so that none is served twice. [main thread] */
	struct list open_node, inode_node;
	dev_t dev; /* with ino: what the file or block device is; 0 when there is none */
	ino_t ino;
	struct bs_stats stats[REACTOR_MAX];
};

struct bs_driver {
	const char *name;
	/* [main thread, before anything listens] Fills *out or returns -errno with a reason in why
	 * (one line without newline, names the thing and the way out). */
	int (*open)(const struct bs_spec *spec, struct backstore **out, char *why, size_t why_size);
	/* [main thread] No requests outstanding. Frees bs. */
	void (*close)(struct backstore *bs);
	/* [owner thread of req->reactor] Starts the request. Returns true when it completed at once:
	 * the result is then in req->res and done() is not called. Range and state were checked. */
	bool (*submit)(struct backstore *bs, struct bs_req *req);
	/* [any thread] Pointer to [offset, offset+len), valid until close; only with lends_pointers.
	 * NULL: not that much in one piece, BS_READ works. */
	void *(*borrow)(struct backstore *bs, uint64_t offset, uint64_t len);
	/* [main thread] How many bytes there are now, as whole blocks. NULL: never another size. */
	int (*measure)(struct backstore *bs, uint64_t *size);
};

/* Parses "ram:1G,key=value"; errors name the option. 0 or -EINVAL with why. Sizes take K M G T. */
int bs_parse(const char *text, struct bs_spec *spec, char *why, size_t why_size);
/* Opens the driver and, when spec->fault is set, wraps it in the fault filter. */
int bs_open(const struct bs_spec *spec, struct backstore **out, char *why, size_t why_size);
void bs_close(struct backstore *bs);
/* Parses a size with K/M/G/T suffix (powers of 1024). False: malformed or overflow. */
bool bs_parse_size(const char *text, uint64_t *bytes);

/* [main thread] Looks again at the size of the file or device; limits.size changes while requests
 * are under way. 0, or -errno: the size is not known (it stays) or less than one block (it is 0).
 * What then reaches behind the end is answered -ENODATA. */
int bs_resize(struct backstore *bs);

/* [owner thread] Checked submit: answers -ENODATA for a range behind the end, -EROFS, -EIO from the
 * latch, -EINVAL for what BS_ATOMIC cannot do; counts.
 * Returns true when it completed at once: the result is in req->res, done() is not called and
 * will not be. Otherwise done() is called exactly once later. */
bool bs_submit(struct backstore *bs, struct bs_req *req);
void *bs_borrow(struct backstore *bs, uint64_t offset, uint64_t len);

extern const struct bs_driver bs_ram_driver, bs_null_driver, bs_file_driver, bs_fault_driver,
	bs_protection_driver;

#endif
