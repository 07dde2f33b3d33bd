// SPDX-License-Identifier: BSD-2-Clause
/*
 * The table of mode pages: SPC 7.5, SBC 6.5. What is no changeable bit is computed whenever it is
 * asked for, so it is true whatever was saved.
 */
#include <string.h>

#include "pages.h"

/* Default and mask are alike where a bit may be cleared that is set. */
static void recovery_defaults(const struct lu *lu, void *page)
{
	((struct mode_rw_recovery *)page)->flags7 = lu_reports_space(lu) ? MODE_LBPERE : 0;
}

static void caching_defaults(const struct lu *lu, void *page)
{
	((struct mode_caching *)page)->flags = lu->volatile_cache ? MODE_CACHING_WCE : 0;
}

static void control_defaults(const struct lu *lu, void *page)
{
	struct mode_control *p = page;

	p->flags2 = MODE_TST_PER_NEXUS | MODE_GLTSD;
	p->flags3 = MODE_QAM_UNRESTRICTED;
	p->flags5 = lu->protection ? MODE_ATO : 0;
	p->busy_timeout = be16_of(0xffff);
}

static void control_changeable(const struct lu *lu, void *page)
{
	struct mode_control *p = page;

	(void)lu;
	p->flags2 = MODE_D_SENSE;
	p->flags3 = MODE_QERR;
	p->flags4 = MODE_SWP;
	p->flags5 = MODE_TAS;
}

static bool control_valid(const void *page, unsigned int *byte, unsigned int *bit)
{
	const struct mode_control *p = page;

	*byte = offsetof(struct mode_control, flags3);
	*bit = MODE_QERR_SHIFT + 1;
	return (p->flags3 & MODE_QERR) >> MODE_QERR_SHIFT != QERR_RESERVED;
}

static void extension_defaults(const struct lu *lu, void *page)
{
	(void)lu;
	((struct mode_control_extension *)page)->flags = MODE_TCMOS | MODE_SCSIP | MODE_IALUAE;
}

static void exceptions_defaults(const struct lu *lu, void *page)
{
	(void)lu;
	((struct mode_exceptions *)page)->flags = MODE_DEXCPT;
}

/* One that fires when little is left, one when much is used. */
static void provisioning_defaults(const struct lu *lu, void *page)
{
	struct mode_provisioning *p = page;

	(void)lu;
	p->thresholds[0].flags = MODE_ARMED_DECREASING;
	p->thresholds[0].resource = LOG_AVAILABLE;
	p->thresholds[1].flags = MODE_ARMED_INCREASING;
	p->thresholds[1].resource = LOG_USED;
}

static void provisioning_changeable(const struct lu *lu, void *page)
{
	struct mode_provisioning *p = page;

	(void)lu;
	for (unsigned int i = 0; i < MODE_THRESHOLDS; i++) {
		p->thresholds[i].flags = MODE_THRESHOLD_ENABLED;
		p->thresholds[i].count = be32_of(UINT32_MAX);
	}
}

/* In ascending order. */
const struct mode_page mode_pages[MODE_PAGES] = {
	[MODE_RECOVERY] = { .code = MODE_PAGE_RW_RECOVERY,
			    .len = sizeof(struct mode_rw_recovery),
			    .defaults = recovery_defaults,
			    .changeable = recovery_defaults },
	[MODE_CACHING] = { .code = MODE_PAGE_CACHING,
			   .len = sizeof(struct mode_caching),
			   .defaults = caching_defaults,
			   .changeable = caching_defaults },
	[MODE_CONTROL] = { .code = MODE_PAGE_CONTROL,
			   .len = sizeof(struct mode_control),
			   .defaults = control_defaults,
			   .changeable = control_changeable,
			   .valid = control_valid },
	[MODE_EXTENSION] = { .code = MODE_PAGE_CONTROL,
			     .subpage = MODE_SUBPAGE_EXTENSION,
			     .len = sizeof(struct mode_control_extension),
			     .defaults = extension_defaults },
	[MODE_POWER] = { .code = MODE_PAGE_POWER, .len = sizeof(struct mode_power) },
	[MODE_EXCEPTIONS] = { .code = MODE_PAGE_EXCEPTIONS,
			      .len = sizeof(struct mode_exceptions),
			      .defaults = exceptions_defaults },
	[MODE_PROVISIONING] = { .code = MODE_PAGE_EXCEPTIONS,
				.subpage = MODE_SUBPAGE_PROVISIONING,
				.len = sizeof(struct mode_provisioning),
				.defaults = provisioning_defaults,
				.changeable = provisioning_changeable,
				.exists = lu_reports_space },
};
static_assert(sizeof(struct mode_power) <= MODE_PAGE_MAX, "the longest page");

int mode_page_find(const struct lu *lu, uint8_t code, uint8_t subpage)
{
	for (unsigned int i = 0; i < MODE_PAGES; i++) {
		if (mode_pages[i].code == code && mode_pages[i].subpage == subpage)
			return mode_page_exists(&mode_pages[i], lu) ? (int)i : -1;
	}
	return -1;
}

static void write_head(const struct lu *lu, const struct mode_page *row, uint8_t *out)
{
	struct mode_subpage_head *head = (struct mode_subpage_head *)out;
	size_t behind = row->len - mode_head_len(row);

	out[0] = (uint8_t)(row->code | (row->subpage ? MODE_SPF : 0) | (lu->store ? MODE_PS : 0));
	if (row->subpage) {
		head->subpage = row->subpage;
		head->len = be16_of((uint16_t)behind);
	} else {
		out[1] = (uint8_t)behind;
	}
}

void mode_page_mask(const struct lu *lu, unsigned int index, uint8_t *out)
{
	const struct mode_page *row = &mode_pages[index];

	memset(out, 0, row->len);
	if (row->changeable)
		row->changeable(lu, out);
	write_head(lu, row, out);
}

void mode_page_write(const struct lu *lu, unsigned int index, const struct mode_values *values,
		     uint8_t *out)
{
	const struct mode_page *row = &mode_pages[index];
	uint8_t mask[MODE_PAGE_MAX];

	memset(out, 0, row->len);
	if (row->defaults)
		row->defaults(lu, out);
	mode_page_mask(lu, index, mask);
	for (size_t i = mode_head_len(row); i < row->len; i++)
		out[i] = (uint8_t)((out[i] & ~mask[i]) | (values->page[index][i] & mask[i]));
	write_head(lu, row, out);
}

void mode_defaults(const struct lu *lu, struct mode_values *values)
{
	memset(values, 0, sizeof(*values));
	for (unsigned int i = 0; i < MODE_PAGES; i++) {
		if (mode_pages[i].defaults)
			mode_pages[i].defaults(lu, values->page[i]);
	}
}
