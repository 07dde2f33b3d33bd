// SPDX-License-Identifier: BSD-2-Clause
/* Making and checking protection information, SBC 4.22. */
#include "core/crc.h"
#include "protection.h"

uint16_t pi_guard(const void *block, uint32_t block_size)
{
	return crc16_t10(block, block_size);
}

struct pi_rule pi_default(uint8_t type, uint64_t lba)
{
	return (struct pi_rule){
		.type = type,
		/* With type 2 only the 32-byte CDBs say what reference tag is expected. */
		.checks = type == 1 ? PI_GUARD | PI_REF : PI_GUARD,
		.ref = (uint32_t)lba,
	};
}

void pi_make(struct pi_tuple *tuples, const void *data, uint32_t blocks, uint32_t block_size,
	     const struct pi_rule *rule)
{
	const uint8_t *block = data;

	for (uint32_t i = 0; i < blocks; i++, block += block_size) {
		tuples[i].guard = be16_of(pi_guard(block, block_size));
		tuples[i].app = be16_of(0);
		tuples[i].ref = be32_of(rule->type == 3 ? 0xffffffff : rule->ref + i);
	}
}

static uint8_t wrong_field(const struct pi_tuple *tuple, const uint8_t *block, uint32_t block_size,
			   const struct pi_rule *rule, uint32_t ref)
{
	if (pi_is_escape(tuple, rule->type))
		return 0;
	if (rule->checks & PI_GUARD && be16_get(tuple->guard) != pi_guard(block, block_size))
		return PI_GUARD;
	if (rule->checks & PI_APP && (be16_get(tuple->app) ^ rule->app) & rule->app_mask)
		return PI_APP;
	if (rule->checks & PI_REF && rule->type != 3 && be32_get(tuple->ref) != ref)
		return PI_REF;
	return 0;
}

uint8_t pi_check(const struct pi_tuple *tuples, const void *data, uint32_t blocks,
		 uint32_t block_size, const struct pi_rule *rule, uint32_t *at)
{
	const uint8_t *block = data;

	for (uint32_t i = 0; i < blocks; i++, block += block_size) {
		uint8_t wrong = wrong_field(&tuples[i], block, block_size, rule, rule->ref + i);

		if (wrong) {
			*at = i;
			return wrong;
		}
	}
	return 0;
}
