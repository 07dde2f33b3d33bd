// SPDX-License-Identifier: BSD-2-Clause
/* The command line as a configuration: one target, DISK number i is LUN i. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

static void add_portals(const struct options *o, struct config *c)
{
	for (unsigned int i = 0; i < o->portal_count; i++) {
		const struct option_portal *p = &o->portals[i];

		c->portals[c->portal_count++] = (struct config_portal){
			.address = p->address,
			.transports = p->transports,
			.tag = p->tag,
			.access = p->access,
			.access_given = p->access_given,
			.preferred = p->preferred,
			.any_port = !((const struct sockaddr_in *)&p->address.addr)->sin_port,
		};
	}
}

static void move_users(struct option_users *from, struct config_users *to)
{
	to->user = from->user;
	to->count = from->count;
	from->user = NULL;
	from->count = 0;
}

static bool add_disks(const struct options *o, struct config_target *t)
{
	for (unsigned int i = 0; i < o->disk_count; i++) {
		struct config_lun *lun = config_add_lun(t);

		if (!lun)
			return false;
		lun->number = i;
		lun->spec = o->disks[i];
		memcpy(lun->spec.scope, o->target_name, sizeof(o->target_name));
	}
	return true;
}

struct config *options_to_config(struct options *o)
{
	struct config *c = config_new();
	struct config_target *t = c ? config_add_target(c) : NULL;

	if (!t || !add_disks(o, t)) {
		config_free(c);
		return NULL;
	}
	add_portals(o, c);
	memcpy(t->name, o->target_name, sizeof(t->name));
	memcpy(t->alias, o->alias, sizeof(t->alias));
	memcpy(t->redirect, o->redirect, sizeof(o->redirect));
	t->redirect_permanent = o->redirect_permanent;
	t->allow_cold_reset = o->allow_cold_reset;
	t->allow_any = o->allow_any;
	t->allow = o->allow;
	t->allow_count = o->allow_count;
	o->allow = NULL;
	move_users(&o->chap, &t->chap);
	move_users(&o->discovery_chap, &c->discovery_chap);
	c->state = o->state ? strdup(o->state) : NULL;
	memcpy(c->cpus, o->cpus, sizeof(c->cpus));
	c->cpu_count = o->cpu_count;
	c->memory = o->memory;
	c->busy_poll_ns = o->busy_poll_ns;
	c->log_level = o->log_level;
	c->limits = o->limits;
	if (o->state && !c->state) {
		config_free(c);
		return NULL;
	}
	return c;
}
