// SPDX-License-Identifier: BSD-2-Clause
/*
 * Records of the store as text that people can read: a title, then one line for each page or piece
 * of information, "08/00 88 12 04 00 ...". What is not exactly that is damage.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"

static const char mode_title[] = "riser mode pages 1";
static const char hex[] = "0123456789abcdef";

/* --- Writing */

void lines_begin(struct lines *r, const char *title)
{
	r->len = (size_t)snprintf(r->text, sizeof(r->text), "%s\n", title);
}

static void put_hex(struct lines *r, uint8_t byte)
{
	r->text[r->len++] = hex[byte >> 4];
	r->text[r->len++] = hex[byte & 0xf];
}

void lines_put(struct lines *r, uint8_t code, uint8_t subcode, const uint8_t *bytes, size_t len)
{
	assert(r->len + 6 + 3 * len <= sizeof(r->text));
	put_hex(r, code);
	r->text[r->len++] = '/';
	put_hex(r, subcode);
	for (size_t i = 0; i < len; i++) {
		r->text[r->len++] = ' ';
		put_hex(r, bytes[i]);
	}
	r->text[r->len++] = '\n';
}

/* --- Reading */

struct reader {
	const char *at, *end;
};

static bool take_char(struct reader *in, char c)
{
	if (in->at == in->end || *in->at != c)
		return false;
	in->at++;
	return true;
}

static bool take_hex(struct reader *in, uint8_t *out)
{
	const char *high, *low;

	if (in->end - in->at < 2 || !in->at[0] || !in->at[1])
		return false;
	high = strchr(hex, in->at[0]);
	low = strchr(hex, in->at[1]);
	if (!high || !low)
		return false;
	*out = (uint8_t)((high - hex) << 4 | (low - hex));
	in->at += 2;
	return true;
}

bool lines_read(const char *text, size_t len, const char *title,
		bool (*line)(void *arg, uint8_t code, uint8_t subcode, const uint8_t *bytes,
			     size_t len),
		void *arg)
{
	struct reader in = { text, text + len };
	uint8_t bytes[IDENTIFYING_TEXT_MAX], code, subcode;
	size_t head = strlen(title);

	if (len < head + 1 || memcmp(text, title, head) != 0)
		return false;
	in.at += head;
	if (!take_char(&in, '\n'))
		return false;
	while (in.at != in.end) {
		size_t count = 0;

		if (!take_hex(&in, &code) || !take_char(&in, '/') || !take_hex(&in, &subcode))
			return false;
		while (take_char(&in, ' ')) {
			if (count == sizeof(bytes) || !take_hex(&in, &bytes[count++]))
				return false;
		}
		if (!take_char(&in, '\n') || !line(arg, code, subcode, bytes, count))
			return false;
	}
	return true;
}

int lines_load(const struct lu *lu, const struct lines_load *load, char *why, size_t why_size)
{
	char name[STORE_NAME_MAX];
	char *text = NULL;
	size_t len = 0;
	int err;

	*load->version = 0;
	if (!lu->store)
		return 0;
	store_record_name(name, load->kind, lu->serial);
	err = lu->store->ops->load(lu->store, name, &text, &len, load->version, why, why_size);
	if (err)
		return err == -ENOENT ? 0 : err;
	if (!lines_read(text, len, load->title, load->line, load->arg)) {
		snprintf(why, why_size,
			 "the record %s is damaged: repair it, or remove it to begin with the "
			 "default values",
			 name);
		err = -EBADMSG;
	}
	free(text);
	return err;
}

/* --- Storing */

static void stored(struct store_req *req, int res)
{
	struct lines_save *save = container_of(req, struct lines_save, req);

	save->task->waits = WAITS_NOTHING;
	save->step(save->task, res);
}

void lines_store(struct scsi_task *task, struct lines_save *save, const char *kind,
		 uint64_t version, void (*step)(struct scsi_task *task, int res))
{
	struct store *store = task->lu->store;

	store_record_name(save->name, kind, task->lu->serial);
	save->task = task;
	save->step = step;
	save->req = (struct store_req){ .name = save->name,
					.data = save->lines.text,
					.len = save->lines.len,
					.version = version,
					.reactor = task->reactor,
					.done = stored };
	task->waits = WAITS_STORE;
	store->ops->compare_and_store(store, &save->req);
}

/* --- Mode pages */

void mode_lines(const struct lu *lu, const struct mode_values *values, struct lines *r)
{
	uint8_t page[MODE_PAGE_MAX];

	lines_begin(r, mode_title);
	for (unsigned int i = 0; i < MODE_PAGES; i++) {
		if (!mode_page_exists(&mode_pages[i], lu))
			continue;
		mode_page_write(lu, i, values, page);
		lines_put(r, mode_pages[i].code, mode_pages[i].subpage, page, mode_pages[i].len);
	}
}

struct loading {
	struct mode_values *values;
	uint32_t seen;
};

/* A page that this unit does not have (any more) is none of its business, but it has to be one. */
static bool mode_line(void *arg, uint8_t code, uint8_t subpage, const uint8_t *bytes, size_t len)
{
	struct loading *loading = arg;
	unsigned int byte, bit;

	for (unsigned int i = 0; i < MODE_PAGES; i++) {
		const struct mode_page *row = &mode_pages[i];

		if (row->code != code || row->subpage != subpage)
			continue;
		if (len != row->len || loading->seen & 1u << i ||
		    (row->valid && !row->valid(bytes, &byte, &bit)))
			return false;
		loading->seen |= 1u << i;
		memcpy(loading->values->page[i], bytes, len);
		return true;
	}
	return false;
}

int mode_load(struct lu *lu, char *why, size_t why_size)
{
	struct loading loading = { .values = &lu->pages->saved };
	const struct lines_load load = { "mode", mode_title, mode_line, &loading,
					 &lu->pages->mode_version };

	return lines_load(lu, &load, why, why_size);
}
