// SPDX-License-Identifier: BSD-2-Clause
/*
 * The world of scsi_port.h with a second unit at LUN 1, whose disk can clone from others, and a
 * second target with a unit and a nexus of its own. Parameter lists come in a buffer behind whose
 * last byte AddressSanitizer watches.
 */
#ifndef RISER_TESTS_UNIT_SCSI_COPY_WORLD_H
#define RISER_TESTS_UNIT_SCSI_COPY_WORLD_H

#include "core/memcheck.h"
#include "scsi/copy.h"
#include "scsi_port.h"

enum { LIST_SPACE = 8192 };

struct copy_world {
	struct world w;
	struct disk second, foreign; /* LUN 1; LUN 0 of the other target */
	struct lu *lu2, *foreign_lu;
	struct scsi_target other;
	struct nexus stranger; /* of the other target */
	bool clones; /* the second disk does BS_COPY */
	unsigned int cloned;
};

static inline struct copy_world *copy_world_of(struct disk *second)
{
	return container_of(second, struct copy_world, second);
}

/* Sources are the disks of the same world. */
static inline bool cloning_submit(struct backstore *bs, struct bs_req *req)
{
	struct disk *d = container_of(bs, struct disk, bs);
	struct copy_world *cw = copy_world_of(d);
	struct disk *from;

	if (req->opcode != BS_COPY || !cw->clones || d->fail[BS_COPY])
		return disk_submit(bs, req);
	from = container_of(req->source, struct disk, bs);
	CU_ASSERT_FATAL(req->source_offset + req->len <= from->bs.limits.size);
	memcpy(d->bytes + req->offset, from->bytes + req->source_offset, req->len);
	cw->cloned++;
	req->res = 0;
	return true;
}

static const struct bs_driver cloning_driver = {
	.name = "clone",
	.submit = cloning_submit,
	.borrow = disk_borrow,
};

static inline void second_disk(struct disk *d, uint32_t block_size, uint8_t fill,
			       const struct bs_driver *driver)
{
	d->bs.driver = driver;
	d->bs.limits = (struct bs_limits){ .size = (uint64_t)DISK_BLOCKS * 512,
					   .block_size = block_size,
					   .physical_block_size = 4096,
					   .volatile_cache = true };
	d->bytes = malloc(d->bs.limits.size);
	CU_ASSERT_FATAL(d->bytes != NULL);
	memset(d->bytes, fill, d->bs.limits.size);
}

static inline struct lu *second_lu(struct disk *d, const char *serial)
{
	struct lu_config cfg = { .bs = &d->bs, .serial = serial, .product = "disk", .reactors = 1 };
	struct lu *lu;

	CU_ASSERT_FATAL(lu_create(&cfg, &lu, (char[256]){ 0 }, 256) == 0);
	return lu;
}

/* block_size: of the second disk. */
static inline void copy_world_create(struct copy_world *cw, uint32_t block_size)
{
	memset(cw, 0, sizeof(*cw));
	world_init(&cw->w, 512);
	second_disk(&cw->second, block_size, 0xee, &cloning_driver);
	second_disk(&cw->foreign, 512, 0xff, &disk_driver);
	cw->lu2 = second_lu(&cw->second, "second");
	cw->foreign_lu = second_lu(&cw->foreign, "foreign");
	cw->w.target.lun[1] = cw->lu2;
	world_open(&cw->w);
	cw->other = cw->w.target;
	snprintf(cw->other.name, sizeof(cw->other.name), "iqn.2026-11.test:other");
	memset(cw->other.lun, 0, sizeof(cw->other.lun));
	cw->other.lun[0] = cw->foreign_lu;
	nexus_join(&cw->w, &cw->stranger, "stranger");
	nexus_detach(&cw->stranger);
	cw->stranger.target = &cw->other;
	cw->stranger.port = &cw->other.ports[0];
	nexus_attach(&cw->stranger);
	atomic_store(&cw->stranger.unit_attentions[0], 0);
}

static inline void copy_world_destroy(struct copy_world *cw)
{
	world_turn(&cw->w);
	nexus_detach(&cw->stranger);
	cw->other.lun[0] = NULL;
	cw->w.target.lun[1] = NULL;
	lu_destroy(cw->lu2);
	lu_destroy(cw->foreign_lu);
	free(cw->second.bytes);
	free(cw->foreign.bytes);
	world_destroy(&cw->w);
}

/* --- Commands */

static inline void command_prepare(struct copy_world *cw, struct command *c,
				   const struct nexus *nexus, int lun, struct cdb cdb, int dir,
				   uint32_t edtl, const void *out)
{
	command_init(&cw->w, c, cdb.b, dir, edtl, out);
	c->task.nexus = (struct nexus *)nexus;
	c->task.lun[1] = (uint8_t)lun;
	if (dir == DIR_WRITE && edtl) {
		command_immediate(c, edtl, edtl);
		mem_poison(c->task.first_buf->data + edtl, c->task.first_buf->size - edtl);
	}
}

/* The buffer of the list, if the command has not taken it. */
static inline void command_done(struct command *c)
{
	if (c->task.first_buf)
		mem_unpoison(c->task.first_buf->data, c->task.first_buf->size);
	command_free(c);
}

static inline struct cdb cdb_copy_out(uint8_t action, uint32_t list_id, uint32_t len)
{
	struct cdb cdb = { { CDB_THIRD_PARTY_COPY_OUT, action } };

	put32(cdb.b + TOKEN_LIST_ID_AT, list_id);
	put32(cdb.b + COPY_LENGTH_AT, len);
	return cdb;
}

/* A THIRD-PARTY COPY OUT with a list to its end, on LUN 0 unless said otherwise. */
static inline uint32_t copy_out_on(struct copy_world *cw, const struct nexus *nexus, int lun,
				   struct cdb cdb, const uint8_t *list, uint32_t len,
				   struct command *c)
{
	command_prepare(cw, c, nexus, lun, cdb, len ? DIR_WRITE : 0, len, list);
	command_submit(c);
	CU_ASSERT_EQUAL_FATAL(c->ends, 1);
	command_done(c);
	return c->task.status == SAM_GOOD	       ? 0
	       : c->task.status == SAM_CHECK_CONDITION ? command_sense(c)
						       : UINT32_MAX;
}

/* THIRD-PARTY COPY IN; data: 4096 bytes of room; returns the sense and the length. */
static inline uint32_t copy_in_on(struct copy_world *cw, const struct nexus *nexus, int lun,
				  uint8_t action, uint32_t list_id, uint8_t *data, uint32_t *len)
{
	struct cdb cdb = { { CDB_THIRD_PARTY_COPY_IN, action } };
	struct command c;
	uint32_t sense;

	if (action == SA_RECEIVE_COPY_STATUS_LID4 || action == SA_RECEIVE_ROD_TOKEN_INFORMATION)
		put32(cdb.b + COPY_LIST_ID_AT, list_id);
	else
		cdb.b[COPY_LIST_ID_AT] = (uint8_t)list_id;
	put32(cdb.b + COPY_LENGTH_AT, 4096);
	command_prepare(cw, &c, nexus, lun, cdb, DIR_READ, 4096, NULL);
	command_submit(&c);
	CU_ASSERT_EQUAL_FATAL(c.ends, 1);
	memcpy(data, c.in, c.in_len);
	*len = c.in_len;
	sense = c.task.status == SAM_GOOD ? 0 : command_sense(&c);
	command_free(&c);
	return sense;
}

/* --- EXTENDED COPY lists */

struct param_list {
	uint8_t b[LIST_SPACE];
	uint32_t len, head, cscds, segments;
};

static inline struct param_list *list_start(struct param_list *l, uint8_t list_id)
{
	memset(l, 0, sizeof(*l));
	l->head = sizeof(struct copy_list_lid1);
	l->len = l->head;
	l->b[0] = list_id;
	return l;
}

static inline struct param_list *list_start4(struct param_list *l, uint32_t list_id)
{
	struct copy_list_lid4 *h = (void *)l->b;

	memset(l, 0, sizeof(*l));
	l->head = sizeof(*h);
	l->len = l->head;
	h->format = COPY_LIST_FORMAT;
	h->header_cscds_len = be16_of(COPY_HEADER_CSCDS_LEN);
	h->header_type = COPY_HEADER_TYPE;
	h->list_id = be32_of(list_id);
	return l;
}

static inline void list_lengths(struct param_list *l)
{
	uint32_t cscds = l->cscds * 32, segments = l->segments * 28;

	if (l->head == 16) {
		put16(l->b + 2, (uint16_t)cscds);
		put32(l->b + 8, segments);
	} else {
		put16(l->b + 42, (uint16_t)cscds);
		put16(l->b + 44, (uint16_t)segments);
	}
}

/* The NAA designator of the unit, from its VPD 83h. Before any segment. */
static inline void list_cscd(struct copy_world *cw, struct param_list *l, const struct nexus *nexus,
			     int lun)
{
	struct cdb cdb = { { CDB_INQUIRY, 1, VPD_IDENTIFICATION, 0x10, 0 } };
	struct copy_cscd_wire *wire = (void *)(l->b + l->len);
	const uint8_t *d;
	struct command c;

	command_prepare(cw, &c, nexus, lun, cdb, DIR_READ, 4096, NULL);
	command_submit(&c);
	ASSERT_GOOD(&c);
	for (d = c.in + 4; (d[1] & 0x3f) != DESIGNATOR_NAA; d += 4 + d[3])
		CU_ASSERT_FATAL(d < c.in + c.in_len);
	wire->type = CSCD_IDENTIFICATION;
	memcpy(&wire->code_set, d, 4u + d[3]);
	wire->block_size = be24_of(nexus->target->lun[lun]->block_size);
	command_free(&c);
	l->len += sizeof(*wire);
	l->cscds++;
	list_lengths(l);
}

static inline struct copy_segment_wire *list_segment(struct param_list *l, uint16_t from,
						     uint64_t from_lba, uint16_t to,
						     uint64_t to_lba, uint16_t blocks)
{
	struct copy_segment_wire *s = (void *)(l->b + l->len);

	*s = (struct copy_segment_wire){ .type = SEGMENT_BLOCK_TO_BLOCK,
					 .len = be16_of(sizeof(*s) - SEGMENT_HEAD),
					 .source = be16_of(from),
					 .destination = be16_of(to),
					 .blocks = be16_of(blocks),
					 .source_lba = be64_of(from_lba),
					 .destination_lba = be64_of(to_lba) };
	l->len += sizeof(*s);
	l->segments++;
	list_lengths(l);
	return s;
}

/* Both units of the target: CSCD 0 and 1. */
static inline void list_units(struct copy_world *cw, struct param_list *l)
{
	list_cscd(cw, l, &cw->w.a, 0);
	list_cscd(cw, l, &cw->w.a, 1);
}

static inline struct cdb list_cdb(const struct param_list *l)
{
	struct cdb cdb = cdb_copy_out(l->head == 16 ? SA_EXTENDED_COPY_LID1 : SA_EXTENDED_COPY_LID4,
				      0, l->len);

	return cdb;
}

static inline uint32_t list_run(struct copy_world *cw, const struct param_list *l)
{
	struct command c;

	return copy_out_on(cw, &cw->w.a, 0, list_cdb(l), l->b, l->len, &c);
}

/* --- What COPY ABORTED tells */

static inline void assert_segment(const struct command *c, unsigned int number)
{
	const struct sense_fixed *sense = (const void *)c->task.sense;

	CU_ASSERT_EQUAL(get_be(sense->specific.b + 2, 2), number);
}

/* The status and sense that go along as the source's or the destination's. */
static inline void assert_forwarded(const struct command *c, enum copy_side side, uint8_t status,
				    uint32_t code)
{
	const struct sense_fixed *sense = (const void *)c->task.sense;
	uint8_t at = sense->specific.b[side == COPY_SOURCE ? 0 : 1];
	const uint8_t *inner = c->task.sense + at + 1;

	CU_ASSERT_EQUAL_FATAL(at, sizeof(*sense));
	CU_ASSERT_EQUAL(sense->specific.b[side == COPY_SOURCE ? 1 : 0], 0);
	CU_ASSERT_EQUAL(c->task.sense[at], status);
	CU_ASSERT_EQUAL(c->task.sense_len, at + 1 + (code ? 18 : 0));
	if (code)
		CU_ASSERT_EQUAL((uint32_t)(inner[2] << 16 | inner[12] << 8 | inner[13]), code);
}

#endif
