// SPDX-License-Identifier: BSD-2-Clause
/* What is exported and where, as the files of session/ share it: server.c has the portals, live.c the
 * exports. */
#ifndef RISER_SESSION_EXPORTS_H
#define RISER_SESSION_EXPORTS_H

#include "session.h"

struct session;

/* Where those that come in by a portal are sent. */
struct redirect {
	char where[REDIRECT_MAX + 1]; /* empty: nowhere */
	bool permanent;
};

/* Where the connection came in: the tag is 1 when it came by no portal. Under server->lock. */
struct portal_entry {
	uint16_t tag;
	struct redirect redirect;
};
struct portal_entry server_portal_of(const struct server *server, const struct conn *conn);

/* live.c */
/* One more user of what is exported now. */
struct exports *exports_get(struct server *server);
struct exports *exports_keep(struct exports *exports);
void exports_put(struct exports *exports); /* NULL is fine */
/* Under server->lock: makes the session one of what is exported now. False: there its target is not, or
 * does not let it in. */
bool exports_rebase(struct session *s);

#endif
