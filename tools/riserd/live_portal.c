// SPDX-License-Identifier: BSD-2-Clause
/* Portals that come and go. A connection does not mind that its portal has gone. */
#include "inherit.h"
#include "live_impl.h"

static const struct transport_ops *rdma_of(struct live *live)
{
	if (!live->rdma_tried)
		live->rdma = live->cfg.load_rdma(live->no_rdma, sizeof(live->no_rdma));
	live->rdma_tried = true;
	return live->rdma;
}

/* Loads the plug-in if a portal may use it. That it is not there is worth one line, unless a portal
 * cannot do without and says so itself. */
static void look_for_rdma(struct live *live, const struct config *c)
{
	bool wanted = false, required = false;

	for (unsigned int i = 0; i < c->portal_count; i++) {
		wanted |= c->portals[i].transports & PORTAL_ISER;
		required |= c->portals[i].transports == PORTAL_ISER;
	}
	if (!wanted || live->rdma_tried)
		return;
	if (!rdma_of(live) && !required)
		log_info("RDMA is not served: %s; TCP only", live->no_rdma);
}

static int listen_iser_only(struct live *live, struct config_portal *portal)
{
	struct portal_address *address = &portal->address;
	char name[64], why[sizeof(live->no_rdma) + 128];
	int err = -ENODEV;

	address_format(&address->addr, name, sizeof(name));
	snprintf(why, sizeof(why), "%s: cannot listen for RDMA: %s", name, live->no_rdma);
	address->required = true;
	if (rdma_of(live))
		err = server_listen(live->server, live->rdma, address, portal->tag, why,
				    sizeof(why));
	if (err)
		log_error("%s; with transport=all instead of iser this portal is served over TCP, "
			  "and over RDMA as soon as that is possible",
			  why);
	return err;
}

/* TCP first: it finds a port when there is none. */
static int listen_portal(struct live *live, struct config_portal *portal)
{
	char why[512];
	int err;

	if (portal->transports == PORTAL_ISER)
		return listen_iser_only(live, portal);
	portal->address.socket = inherit_find(live->cfg.inherited, &portal->address);
	err = server_listen(live->server, live->cfg.tcp, &portal->address, portal->tag, why,
			    sizeof(why));
	if (err) {
		log_error("%s", why);
		return err;
	}
	if (portal->transports == PORTAL_TCP || !rdma_of(live))
		return 0;
	portal->address.required = false;
	if (server_listen(live->server, live->rdma, &portal->address, portal->tag, why,
			  sizeof(why)))
		log_warn("%s; TCP only", why);
	return 0;
}

/* A portal of the configuration that serves the same; NULL: there is none. */
static const struct config_portal *find_portal(const struct config *c,
					       const struct config_portal *portal)
{
	for (unsigned int i = 0; i < c->portal_count; i++) {
		const struct config_portal *p = &c->portals[i];

		if (config_same_address(&p->address, &portal->address) && p->tag == portal->tag &&
		    p->transports == portal->transports)
			return p;
	}
	return NULL;
}

/* Any port is the one that it has. */
static void keep_port(const struct config *running, struct config_portal *portal)
{
	for (unsigned int i = 0; i < running->portal_count && portal->any_port; i++) {
		struct portal_address asked = running->portals[i].address;

		((struct sockaddr_in *)&asked.addr)->sin_port = 0;
		if (running->portals[i].any_port && config_same_address(&asked, &portal->address))
			portal->address = running->portals[i].address;
	}
}

/* The address is in use by a portal that goes: it cannot be opened before that is gone. */
static bool is_taken(const struct config *running, const struct config_portal *portal)
{
	char name[64];

	for (unsigned int i = 0; i < running->portal_count; i++) {
		if (!config_same_address(&running->portals[i].address, &portal->address))
			continue;
		address_format(&portal->address.addr, name, sizeof(name));
		log_error("portal %s: its tag and transports cannot change while it is served: "
			  "take it out and put it in again",
			  name);
		return true;
	}
	return false;
}

static void redirect(struct live *live, const struct config_portal *p)
{
	server_redirect(live->server, &p->address, p->redirect, p->redirect_permanent);
}

int open_portals(struct plan *plan)
{
	const struct generation *before = plan->live->now;
	struct config *c = plan->next->config;
	int err = 0;

	look_for_rdma(plan->live, c);
	for (unsigned int i = 0; i < c->portal_count && !err; i++) {
		struct config_portal *p = &c->portals[i];

		keep_port(before->config, p);
		if (find_portal(before->config, p))
			continue;
		if (is_taken(before->config, p))
			return -EBUSY;
		err = listen_portal(plan->live, p);
		plan->listening[i] = !err;
		if (!err)
			redirect(plan->live, p);
	}
	return err;
}

int start_portals(struct plan *plan)
{
	struct config *c = plan->next->config;
	int err = 0;

	look_for_rdma(plan->live, c);
	for (unsigned int i = 0; i < c->portal_count && !err; i++) {
		err = listen_portal(plan->live, &c->portals[i]);
		if (!err)
			redirect(plan->live, &c->portals[i]);
	}
	return err;
}

static void close_portal(struct live *live, const struct config_portal *p)
{
	if (server_unlisten(live->server, &p->address, live_signal, live))
		live_wait(live, &live->done, NULL);
}

void close_new_portals(struct plan *plan)
{
	for (unsigned int i = 0; i < plan->next->config->portal_count; i++) {
		if (plan->listening[i])
			close_portal(plan->live, &plan->next->config->portals[i]);
	}
}

void close_old_portals(struct plan *plan, const struct generation *before)
{
	const struct config *next = plan->next->config;

	for (unsigned int i = 0; i < before->config->portal_count; i++) {
		const struct config_portal *p = &before->config->portals[i];

		if (!find_portal(next, p))
			close_portal(plan->live, p);
	}
	for (unsigned int i = 0; i < next->portal_count; i++)
		redirect(plan->live, &next->portals[i]);
}

/* --- Access */

/* States of access that the configuration has changed; groups without portals are offline. */
static void set_access(const struct config *c, const struct config *before,
		       const struct config_target *t, const struct config_target *was,
		       struct live_target *target)
{
	struct target_port ports[TARGET_PORTS], old[TARGET_PORTS];
	unsigned int count = config_ports(c, t, ports), old_count = config_ports(before, was, old);

	for (unsigned int i = 0; i < target->scsi.port_count; i++) {
		struct target_port *live = &target->scsi.ports[i];
		const struct target_port *now = NULL, *then = NULL;

		for (unsigned int j = 0; j < count; j++)
			now = ports[j].tag == live->tag ? &ports[j] : now;
		for (unsigned int j = 0; j < old_count; j++)
			then = old[j].tag == live->tag ? &old[j] : then;
		if (now)
			live->preferred = now->preferred;
		if (!now)
			target_set_access(&target->scsi, live->tag, ACCESS_OFFLINE);
		else if (!then || then->access != now->access) /* else an initiator may have */
			target_set_access(&target->scsi, live->tag, now->access);
	}
}

void withdraw_ports(const struct generation *now)
{
	for (unsigned int i = 0; i < now->config->target_count; i++) {
		const struct config_target *t = &now->config->targets[i];

		set_access(now->config, now->config, t, t, now->of[i]);
	}
}

void set_all_access(const struct plan *plan, const struct generation *before)
{
	const struct generation *next = plan->next;
	unsigned int b = 0;

	for (unsigned int i = 0; i < next->config->target_count; i++) {
		const struct config_target *t = &next->config->targets[i];

		while (b < before->config->target_count &&
		       strcmp(before->config->targets[b].name, t->name) < 0)
			b++;
		if (b < before->config->target_count && before->of[b] == next->of[i])
			set_access(next->config, before->config, t, &before->config->targets[b],
				   next->of[i]);
	}
}
