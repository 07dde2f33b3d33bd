// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which connections are captured: those of sessions that a filter wants, and logins that become such a
 * session as far as their first PDU tells. Every reactor has its own copy of the filter.
 */
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "session/capturing.h"

/* On its way to a reactor, then the reactor's. */
struct capturing {
	struct work work;
	struct reactor_state *rs;
	struct capture *capture; /* one of its users; NULL: no capture any more */
	struct capture_filter filter;
};

static bool name_wanted(const char *pattern, const char *name)
{
	return !pattern[0] || (name && !fnmatch(pattern, name, 0));
}

/* target NULL: none */
static bool wanted(const struct capture_filter *f, uint16_t tsih, const char *initiator,
		   const char *target)
{
	bool named = !f->session_count;

	for (unsigned int i = 0; i < f->session_count; i++)
		named |= tsih && f->sessions[i] == tsih;
	return named && name_wanted(f->initiator, initiator) && name_wanted(f->target, target);
}

static bool session_wanted(const struct capture_filter *f, const struct session *s)
{
	return wanted(f, s->tsih, s->who.initiator_name,
		      s->nexus.target ? s->nexus.target->name : NULL);
}

/* The value of a key in the text of a first Login Request, in lower case. False: it is not there. */
static bool find_value(const struct pdu *pdu, const char *key, char *out, size_t size)
{
	const char *at = (const char *)pdu->data, *end = at + pdu->data_len;
	size_t key_len = strlen(key), i = 0;

	while (at && at < end) {
		const char *next = memchr(at, '\0', (size_t)(end - at));

		if (!next)
			next = end;
		if ((size_t)(next - at) > key_len && !memcmp(at, key, key_len)) {
			for (at += key_len; at < next && i + 1 < size; at++)
				out[i++] = (char)tolower((unsigned char)*at);
			out[i] = '\0';
			return true;
		}
		at = next + 1;
	}
	return false;
}

void capture_login(struct iconn *ic, const struct pdu *pdu)
{
	const struct capturing *c = ic->rs->capturing;
	char initiator[ISCSI_NAME_MAX + 1] = "", target[ISCSI_NAME_MAX + 1];
	bool has_target;

	if (!c || ic->conn->tap)
		return;
	find_value(pdu, "InitiatorName=", initiator, sizeof(initiator));
	has_target = find_value(pdu, "TargetName=", target, sizeof(target));
	if (wanted(&c->filter, be16_get(pdu->h.login_request.tsih), initiator,
		   has_target ? target : NULL) &&
	    capture_attach(c->capture, ic->conn, true))
		capture_received(ic->conn, pdu);
}

void capture_logged_in(struct iconn *ic)
{
	const struct capturing *c = ic->rs->capturing;
	bool want = c && ic->session && session_wanted(&c->filter, ic->session);

	if (!want)
		capture_detach(ic->conn);
	else if (!ic->conn->tap)
		capture_attach(c->capture, ic->conn, false);
}

static void capturing_free(struct capturing *c)
{
	if (c)
		capture_put(c->capture);
	free(c);
}

void capture_release(struct reactor_state *rs)
{
	capturing_free(rs->capturing);
	rs->capturing = NULL;
}

/* [each reactor] */
static void begin(struct work *work)
{
	struct capturing *c = container_of(work, struct capturing, work);
	struct reactor_state *rs = c->rs;
	struct list *pos;

	list_for_each(pos, &rs->connections)
		capture_detach(list_entry(pos, struct iconn, node)->conn);
	capture_release(rs);
	if (!c->capture) {
		capturing_free(c);
		return;
	}
	rs->capturing = c;
	list_for_each(pos, &rs->connections) {
		struct iconn *ic = list_entry(pos, struct iconn, node);

		if (iconn_up(ic))
			capture_logged_in(ic);
	}
	capture_begun(c->capture);
}

static void lower(char *text)
{
	for (; *text; text++)
		*text = (char)tolower((unsigned char)*text);
}

int server_capture(struct server *s, struct capture *capture, const struct capture_filter *filter)
{
	unsigned int n = s->cfg.reactor_count, made = 0;
	struct capturing *c[REACTOR_MAX];

	for (; made < n; made++) {
		c[made] = calloc(1, sizeof(*c[made]));
		if (!c[made])
			break;
		c[made]->work.fn = begin;
		c[made]->rs = &s->reactors[made];
		if (!capture)
			continue;
		c[made]->capture = capture_keep(capture);
		c[made]->filter = *filter;
		lower(c[made]->filter.target);
		lower(c[made]->filter.initiator);
	}
	for (unsigned int i = 0; made < n && i < made; i++)
		capturing_free(c[i]);
	if (made < n)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++)
		reactor_post(c[i]->rs->reactor, &c[i]->work);
	return 0;
}
