// SPDX-License-Identifier: BSD-2-Clause
/*
 * ROD tokens, SPC 7.8 and SBC 5.14. A token stands for ranges of one unit and is of the type access
 * upon reference: what it gives is what those blocks hold when it is used. It is known to us by all
 * of its 512 bytes, most of them random, to those who reach the unit through the target where it was
 * made; for so long as its inactivity timeout says; and never longer than the daemon runs.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "copy.h"

struct rod_token {
	struct list node; /* the one that was not used for longest first */
	struct lu *lu;
	const struct scsi_target *target;
	char initiator[sizeof(((struct nexus *)NULL)->initiator_name)]; /* who made it */
	uint64_t deadline, timeout; /* ns, on the monotonic clock that all reactors share */
	struct rod_token_wire wire;
	unsigned int count;
	struct copy_range ranges[];
};

/* The lock is taken last and held only to look at, link and unlink tokens. */
static struct {
	pthread_mutex_t lock;
	struct list list;
	unsigned int count;
	uint64_t last_id;
} tokens = { .lock = PTHREAD_MUTEX_INITIALIZER, .list = { &tokens.list, &tokens.list } };

static void token_drop(struct rod_token *token)
{
	list_del(&token->node);
	tokens.count--;
	OPENSSL_cleanse(&token->wire, sizeof(token->wire));
	free(token);
}

/* Makes room for one more, under the lock: those that nobody used for too long go, then the oldest
 * of the initiator itself, be it that it has many or that there are many. Only one that has none
 * takes the place of another's. */
static void tokens_trim(const char *initiator, uint64_t now)
{
	struct rod_token *oldest = NULL;
	struct list *node, *next;
	unsigned int count = 0;

	for (node = tokens.list.next; node != &tokens.list; node = next) {
		struct rod_token *token = list_entry(node, struct rod_token, node);

		next = node->next;
		if (now >= token->deadline) {
			token_drop(token);
			continue;
		}
		if (strcmp(token->initiator, initiator) != 0)
			continue;
		count++;
		if (!oldest)
			oldest = token;
	}
	if (count >= TOKEN_PER_INITIATOR || (count && tokens.count >= TOKEN_TOTAL))
		token_drop(oldest);
	else if (tokens.count >= TOKEN_TOTAL)
		token_drop(list_entry(tokens.list.next, struct rod_token, node));
}

/* The name of the target as a designation descriptor; returns its end. */
static uint8_t *put_target(uint8_t *at, const char *name)
{
	struct designator *d = (struct designator *)at;
	size_t len = strnlen(name, 223);

	d->code_set = DESIGNATOR_ISCSI | CODE_SET_UTF8;
	d->type = DESIGNATOR_PIV | DESIGNATOR_OF_DEVICE | DESIGNATOR_NAME;
	d->len = (uint8_t)((len + 4) & ~3ul);
	memcpy(d + 1, name, len);
	return at + sizeof(*d) + d->len;
}

/* Everything but the identifier. 0 or -EIO. */
static int token_write(const struct scsi_task *task, const struct rod_token *token,
		       struct rod_token_wire *wire)
{
	const struct lu *lu = task->lu;
	uint32_t physical = lu->bs->limits.physical_block_size >> lu->block_shift;
	uint8_t *end = wire->extended + sizeof(wire->extended), *secret;
	uint64_t blocks = 0;

	for (unsigned int i = 0; i < token->count; i++)
		blocks += token->ranges[i].blocks;
	memset(wire, 0, sizeof(*wire));
	wire->type = be32_of(ROD_ACCESS_UPON_REFERENCE);
	wire->len = be16_of(ROD_TOKEN_LENGTH);
	copy_describe_unit(task, &wire->creator);
	wire->bytes = be64_of(blocks << lu->block_shift);
	wire->block_size = be32_of(lu->block_size);
	wire->exponents = physical ? (uint8_t)__builtin_ctz(physical) : 0;
	wire->provisioning = be16_of(lu->can_unmap ? CAPACITY_LBPME | CAPACITY_LBPRZ : 0);
	secret = put_target(wire->extended, task->nexus->target->name);
	return getrandom(secret, (size_t)(end - secret), 0) == end - secret ? 0 : -EIO;
}

int token_create(const struct scsi_task *task, const struct copy_range *ranges, unsigned int count,
		 uint32_t timeout_s, uint8_t *out)
{
	struct rod_token *token = calloc(1, sizeof(*token) + count * sizeof(ranges[0]));

	if (!token)
		return -ENOMEM;
	token->lu = task->lu;
	token->target = task->nexus->target;
	snprintf(token->initiator, sizeof(token->initiator), "%s", task->nexus->initiator_name);
	token->timeout = timeout_s * NSEC_PER_SEC;
	token->deadline = reactor_now(task->reactor) + token->timeout;
	token->count = count;
	memcpy(token->ranges, ranges, count * sizeof(ranges[0]));
	if (token_write(task, token, &token->wire)) {
		free(token);
		return -EIO;
	}
	pthread_mutex_lock(&tokens.lock);
	tokens_trim(token->initiator, reactor_now(task->reactor));
	token->wire.id = be64_of(++tokens.last_id);
	memcpy(out, &token->wire, ROD_TOKEN_SIZE);
	list_add_tail(&tokens.list, &token->node);
	tokens.count++;
	pthread_mutex_unlock(&tokens.lock);
	return 0;
}

/* Under the lock. The time that comparing takes tells nothing about the bytes. */
static struct rod_token *token_find(const struct scsi_task *task, const uint8_t *bytes)
{
	struct list *node;

	list_for_each(node, &tokens.list) {
		struct rod_token *token = list_entry(node, struct rod_token, node);

		if (!CRYPTO_memcmp(&token->wire, bytes, ROD_TOKEN_SIZE))
			return token->target == task->nexus->target ? token : NULL;
	}
	return NULL;
}

/* Where task's nexus has this unit. False: nowhere. */
static bool find_end(const struct scsi_task *task, struct lu *lu, struct copy_end *end)
{
	for (int lun = 0; lun < TARGET_LUNS; lun++) {
		if (nexus_found(task->nexus, lun) == lu) {
			*end = (struct copy_end){ lu, lun };
			return true;
		}
	}
	return false;
}

/* Under the lock. */
static enum sense_code token_take(const struct scsi_task *task, const uint8_t *bytes, bool discard,
				  struct copy_end *end, struct copy_range *ranges,
				  unsigned int *count)
{
	struct rod_token *token = token_find(task, bytes);
	uint64_t now = reactor_now(task->reactor);

	if (!token)
		return SENSE_TOKEN_UNKNOWN;
	if (now >= token->deadline) {
		token_drop(token);
		return SENSE_TOKEN_EXPIRED;
	}
	if (!find_end(task, token->lu, end))
		return SENSE_TOKEN_UNKNOWN;
	*count = token->count;
	memcpy(ranges, token->ranges, token->count * sizeof(ranges[0]));
	token->deadline = now + token->timeout;
	list_del(&token->node);
	list_add_tail(&tokens.list, &token->node);
	if (discard)
		token_drop(token);
	return SENSE_NONE;
}

enum sense_code token_use(const struct scsi_task *task, const uint8_t *token, bool discard,
			  struct copy_end *end, struct copy_range *ranges, unsigned int *count)
{
	const struct rod_token_wire *wire = (const void *)token;
	enum sense_code code;

	if (be32_get(wire->type) != ROD_ACCESS_UPON_REFERENCE)
		return SENSE_TOKEN_TYPE;
	if (be16_get(wire->len) != ROD_TOKEN_LENGTH)
		return SENSE_TOKEN_LENGTH;
	pthread_mutex_lock(&tokens.lock);
	code = token_take(task, token, discard, end, ranges, count);
	pthread_mutex_unlock(&tokens.lock);
	return code;
}

uint32_t token_list(const struct scsi_task *task, uint8_t *out, uint32_t size)
{
	uint64_t now = reactor_now(task->reactor);
	uint32_t len = 0;
	struct list *node;

	pthread_mutex_lock(&tokens.lock);
	list_for_each(node, &tokens.list) {
		const struct rod_token *token = list_entry(node, struct rod_token, node);

		if (token->lu != task->lu || token->target != task->nexus->target ||
		    now >= token->deadline || size - len < ROD_MANAGEMENT_SIZE)
			continue;
		memcpy(out + len, &token->wire, ROD_MANAGEMENT_SIZE);
		len += ROD_MANAGEMENT_SIZE;
	}
	pthread_mutex_unlock(&tokens.lock);
	return len;
}

void token_forget_unit(const struct lu *lu)
{
	struct list *node, *next;

	pthread_mutex_lock(&tokens.lock);
	for (node = tokens.list.next; node != &tokens.list; node = next) {
		struct rod_token *token = list_entry(node, struct rod_token, node);

		next = node->next;
		if (token->lu == lu)
			token_drop(token);
	}
	pthread_mutex_unlock(&tokens.lock);
}
