// SPDX-License-Identifier: BSD-2-Clause
/* What riser howto knows when it writes lines to paste. */
#ifndef RISER_HOWTO_H
#define RISER_HOWTO_H

#include "riser.h"

enum { HOWTO_PORTALS = 64, HOWTO_ADDRESS = 80 };

struct howto {
	const char *target;
	char portals[HOWTO_PORTALS][HOWTO_ADDRESS]; /* "192.0.2.1:3260", "[2001:db8::1]:3260" */
	unsigned int portal_count;
	int tags[HOWTO_PORTALS]; /* the portal group of each */
	const char *user; /* of CHAP; NULL: none is needed */
	const char *initiator; /* the name that is allowed in; NULL: any, or not one only */
	const json_t *allow; /* who may log in: names and addresses, or "any" */
	bool discovery_chap; /* who asks for targets has to prove who he is */
	bool iser; /* over iSER */
	const json_t *luns; /* numbers, or objects with "lun" */
};

struct howto_system {
	const char *name;
	bool discovers; /* and has no way to prove who it is */
	void (*print)(const struct howto *h);
};

/* NULL name ends them. */
extern const struct howto_system howto_systems[];

/* The number of the i-th LUN. */
long long howto_lun(const struct howto *h, unsigned int i);

/* Whether a text gets into the lines as it is. */
bool howto_is_safe(const char *text);

#endif
