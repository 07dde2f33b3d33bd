// SPDX-License-Identifier: BSD-2-Clause
/*
 * The world of scsi_port.h with two target ports, four nexuses and a store in memory, for tests of
 * persistent reservations:
 *
 *	nexus	initiator, ISID	target port
 *	0	a, 1		1
 *	1	b, 2		1
 *	2	a, 1		2
 *	3	b, 2		2
 */
#ifndef RISER_TESTS_UNIT_SCSI_PR_H
#define RISER_TESTS_UNIT_SCSI_PR_H

#include "scsi/pr.h"
#include "scsi_port.h"

enum { NEXUSES = 4 };
#define CONFLICT UINT32_MAX /* beside sense codes */

/* --- the store */

struct memory_store {
	struct store store;
	char *text; /* the record of reservations; NULL: there is none */
	size_t len;
	uint64_t version;
	char name[STORE_NAME_MAX];
	int fail; /* -errno for the next store and those behind it */
	int fail_load;
	bool hold; /* a request hangs until memory_store_release() */
	struct store_req *held;
	unsigned int stores;
};

static inline int memory_load(struct store *store, const char *name, char **data, size_t *len,
			      uint64_t *version, char *why, size_t why_size)
{
	struct memory_store *m = container_of(store, struct memory_store, store);

	*version = 0;
	*data = NULL;
	*len = 0;
	snprintf(why, why_size, "%s: no", name);
	if (m->fail_load)
		return m->fail_load;
	if (!m->text || strcmp(m->name, name))
		return -ENOENT;
	*data = malloc(m->len + 1);
	memcpy(*data, m->text, m->len);
	(*data)[m->len] = '\0';
	*len = m->len;
	*version = m->version;
	return 0;
}

static inline int memory_store_now(struct memory_store *m, struct store_req *req)
{
	CU_ASSERT_FATAL(!strncmp(req->name, "reservations.", 13));
	if (m->fail)
		return m->fail;
	if (req->version != m->version)
		return -EAGAIN;
	free(m->text);
	m->text = NULL;
	m->len = req->len;
	m->version = req->len ? m->version + 1 : 0;
	if (req->len) {
		m->text = malloc(req->len);
		memcpy(m->text, req->data, req->len);
	}
	snprintf(m->name, sizeof(m->name), "%s", req->name);
	m->stores++;
	req->version = m->version;
	return 0;
}

static inline void memory_stored(struct work *work)
{
	struct store_req *req = container_of(work, struct store_req, job.back);

	req->done(req, memory_store_now(container_of(req->store, struct memory_store, store), req));
}

static inline void memory_compare_and_store(struct store *store, struct store_req *req)
{
	struct memory_store *m = container_of(store, struct memory_store, store);

	req->store = store;
	req->job.back = (struct work){ .fn = memory_stored };
	if (m->hold) {
		CU_ASSERT_FATAL(!m->held);
		m->held = req;
	} else {
		reactor_defer(req->reactor, &req->job.back);
	}
}

static inline void memory_store_release(struct memory_store *m)
{
	struct store_req *req = m->held;

	CU_ASSERT_FATAL(req != NULL);
	m->held = NULL;
	reactor_defer(req->reactor, &req->job.back);
}

static const struct store_ops memory_store_ops = { memory_load, memory_compare_and_store, NULL };

/* --- the world */

struct pr_world {
	struct world w;
	struct memory_store store;
	struct nexus n[NEXUSES];
};

static inline int pr_open(struct pr_world *p, bool store, char *why, size_t why_size)
{
	struct lu_config cfg = { .bs = &p->w.disk.bs,
				 .serial = "PR 1",
				 .product = "disk",
				 .reactors = 1,
				 .store = store ? &p->store.store : NULL };
	int err = lu_create(&cfg, &p->w.lu, why, why_size);

	if (err)
		return err;
	p->w.target.lun[0] = p->w.lu;
	for (unsigned int i = 0; i < NEXUSES; i++) {
		struct nexus *n = &p->n[i];

		nexus_join(&p->w, n, i & 1 ? "b" : "a");
		nexus_detach(n);
		n->port = &p->w.target.ports[i >> 1];
		n->isid[5] = (uint8_t)(1 + (i & 1));
		nexus_attach(n);
		for (int lun = 0; lun < TARGET_LUNS; lun++)
			atomic_store(&n->unit_attentions[lun], 0);
	}
	return 0;
}

static inline void pr_close(struct pr_world *p)
{
	world_turn(&p->w);
	for (unsigned int i = 0; i < NEXUSES; i++)
		nexus_detach(&p->n[i]);
	lu_destroy(p->w.lu);
	p->w.target.lun[0] = NULL;
	p->w.lu = NULL;
}

static inline void pr_create(struct pr_world *p, bool store)
{
	memset(p, 0, sizeof(*p));
	world_init(&p->w, 512);
	p->w.target.ports[1] = (struct target_port){ .tag = 2, .relative = 2 };
	p->w.target.port_count = 2;
	p->w.a.port = p->w.b.port = &p->w.target.ports[0]; /* port_abort() looks at them */
	p->store.store.ops = &memory_store_ops;
	CU_ASSERT_EQUAL_FATAL(pr_open(p, store, (char[256]){ 0 }, 256), 0);
}

/* The daemon stops and starts again. */
static inline void pr_restart(struct pr_world *p)
{
	pr_close(p);
	CU_ASSERT_EQUAL_FATAL(pr_open(p, true, (char[256]){ 0 }, 256), 0);
}

static inline void pr_destroy(struct pr_world *p)
{
	pr_close(p);
	CU_ASSERT_EQUAL(slab_in_use(p->w.slab), 0);
	reactor_destroy(p->w.reactor);
	slab_destroy(p->w.slab);
	free(p->w.disk.bytes);
	free(p->store.text);
}

/* --- commands */

static inline uint32_t pr_outcome(const struct command *c)
{
	CU_ASSERT_EQUAL(c->ends, 1);
	if (c->task.status == SAM_RESERVATION_CONFLICT)
		return CONFLICT;
	return c->task.status == SAM_GOOD ? 0 : command_sense(c);
}

static inline uint32_t pr_command(struct pr_world *p, unsigned int who, const uint8_t *cdb, int dir,
				  uint32_t edtl, const void *out)
{
	struct command c;
	uint32_t result;

	command_init(&p->w, &c, cdb, dir, edtl, out);
	c.task.nexus = &p->n[who];
	command_submit(&c);
	result = pr_outcome(&c);
	command_free(&c);
	return result;
}

static inline struct cdb pr_out_cdb(uint8_t action, uint8_t scope_type, uint32_t len)
{
	struct cdb cdb = { { CDB_PERSISTENT_RESERVE_OUT, action, scope_type } };

	put32(cdb.b + 5, len);
	return cdb;
}

/* The list that all but REGISTER AND MOVE have. */
static inline void pr_list(uint8_t out[24], uint64_t key, uint64_t action_key, uint8_t flags)
{
	memset(out, 0, 24);
	put64(out, key);
	put64(out + 8, action_key);
	out[20] = flags;
}

static inline uint32_t pr_out(struct pr_world *p, unsigned int who, uint8_t action, uint8_t type,
			      uint64_t key, uint64_t action_key, uint8_t flags)
{
	struct cdb cdb = pr_out_cdb(action, type, 24);
	uint8_t *list = malloc(24);
	uint32_t result;

	pr_list(list, key, action_key, flags);
	result = pr_command(p, who, cdb.b, DIR_WRITE, 24, list);
	free(list);
	return result;
}

/* A TransportID of a nexus; device: of its initiator. Returns its length. */
static inline uint32_t put_id(uint8_t *at, const char *name, const char *isid)
{
	char text[256] = "";
	uint32_t len;

	snprintf(text, sizeof(text), "%s%s%s", name, isid ? ",i,0x" : "", isid ? isid : "");
	len = ((uint32_t)strlen(text) + 4) & ~3u;
	if (len < 20)
		len = 20;
	memset(at, 0, 4 + len);
	at[0] = isid ? 0x45 : 0x05;
	put16(at + 2, (uint16_t)len);
	memcpy(at + 4, text, strlen(text));
	return 4 + len;
}

static inline uint32_t put_nexus_id(uint8_t *at, const struct nexus *n)
{
	char isid[16];

	snprintf(isid, sizeof(isid), "%02x%02x%02x%02x%02x%02x", n->isid[0], n->isid[1], n->isid[2],
		 n->isid[3], n->isid[4], n->isid[5]);
	return put_id(at, n->initiator_name, isid);
}

/* REGISTER with SPEC_I_PT and ids_len bytes of TransportIDs. */
static inline uint32_t pr_register_ids(struct pr_world *p, unsigned int who, uint64_t key,
				       uint64_t action_key, uint8_t flags, const uint8_t *ids,
				       uint32_t ids_len)
{
	uint32_t len = 28 + ids_len, result;
	struct cdb cdb = pr_out_cdb(PR_REGISTER, 0, len);
	uint8_t *list = malloc(len);

	pr_list(list, key, action_key, PR_SPEC_I_PT | flags);
	put32(list + 24, ids_len);
	memcpy(list + 28, ids, ids_len);
	result = pr_command(p, who, cdb.b, DIR_WRITE, len, list);
	free(list);
	return result;
}

/* flags: PR_MOVE_* */
static inline uint32_t pr_move(struct pr_world *p, unsigned int who, uint64_t key,
			       uint64_t action_key, uint8_t flags, uint16_t port, const uint8_t *id,
			       uint32_t id_len)
{
	uint32_t len = 24 + id_len, result;
	struct cdb cdb = pr_out_cdb(PR_REGISTER_AND_MOVE, 0, len);
	uint8_t *list = calloc(1, len);

	put64(list, key);
	put64(list + 8, action_key);
	list[17] = flags;
	put16(list + 18, port);
	put32(list + 20, id_len);
	memcpy(list + 24, id, id_len);
	result = pr_command(p, who, cdb.b, DIR_WRITE, len, list);
	free(list);
	return result;
}

/* Returns how much came. */
static inline uint32_t pr_in(struct pr_world *p, unsigned int who, uint8_t action, uint16_t alloc,
			     uint8_t *in)
{
	struct cdb cdb = { { CDB_PERSISTENT_RESERVE_IN, action } };
	struct command c;
	uint32_t len;

	put16(cdb.b + 7, alloc);
	command_init(&p->w, &c, cdb.b, DIR_READ, alloc, NULL);
	c.task.nexus = &p->n[who];
	command_submit(&c);
	ASSERT_GOOD(&c);
	len = c.in_len;
	memcpy(in, c.in, len);
	command_free(&c);
	return len;
}

/* The unit attentions of a nexus, taken. */
static inline uint32_t pr_attentions(struct pr_world *p, unsigned int who)
{
	return atomic_exchange(&p->n[who].unit_attentions[0], 0);
}

#endif
