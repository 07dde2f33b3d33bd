// SPDX-License-Identifier: BSD-2-Clause
/*
 * riser-isns: one conversation with an iSNS server (RFC 4171), through open-isns's library. riserd
 * runs it for each: the library reads what a server says, ends the process when memory or a server
 * is not as it expects, and waits as long as it likes. Here it may: nothing else lives in this
 * process, which has no rights, an end in time, and one line to say.
 *
 *   riser-isns register|refresh|update|deregister ADDR PORT ENTITY
 *
 * Lines on stdin say what is there, and what the server has been told before:
 *
 *   target NAME [TAG]...         the portal groups that it is in; none: all
 *   portal ADDR PORT TAG
 *   was-target ..., was-portal ... the same
 *
 * register replaces what the server has of the entity, refresh tells it again, and update takes back, too,
 * what is there no more.
 * Exit status 0 and "period SECONDS" on stdout (0: the registration does not expire); or the reason in
 * the last line of stdout or stderr, and 1; 3 when the server may have something of us nevertheless.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <ifaddrs.h>
#include <libisns/isns.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	TAGS_MAX = 16, /* of a target */
	WORDS_MAX = 2 + TAGS_MAX, /* of a line */
	MESSAGE_OBJECTS = 12, /* of 500 bytes at most each: a message has 8 KiB of room */
	CONNECT_SECONDS = 3,
	CALL_SECONDS = 6,
	LIFE_SECONDS = 15,
	NOBODY = 65534,
};

struct target {
	char *name;
	uint32_t tags[TAGS_MAX];
	unsigned int tag_count; /* 0: all */
};

struct portal {
	isns_portal_info_t info;
	isns_object_t *object;
	uint32_t tag;
};

struct items {
	struct target *targets;
	unsigned int target_count;
	struct portal *portals;
	unsigned int portal_count;
};

struct registry {
	isns_client_t client;
	isns_object_t *entity;
	struct items is, was;
	/* the message under way */
	isns_simple_t *message;
	unsigned int objects;
	bool replace;
	bool told; /* the server has taken a message */
	uint32_t period; /* seconds; 0: for ever */
};

/* Nothing is given back: the process ends. */
__attribute__((noreturn, format(printf, 2, 3))) static void leave(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	_exit(status);
}

__attribute__((noreturn)) static void usage(void)
{
	leave(2, "riser-isns: not for you: riserd runs it");
}

/* Who reads what a stranger sends needs to be nobody. */
static void give_up_rights(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	if (!geteuid() && (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY)))
		leave(1, "cannot become nobody");
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(LIFE_SECONDS);
}

static uint32_t number(const char *text, uint32_t max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || n > max)
		usage();
	return (uint32_t)n;
}

static void parse_address(const char *host, const char *port, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	uint16_t n = htons((uint16_t)number(port, UINT16_MAX));
	char address[INET6_ADDRSTRLEN];
	size_t len = strcspn(host, "%");

	memset(out, 0, sizeof(*out));
	if (len >= sizeof(address))
		usage();
	memcpy(address, host, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = n;
		return;
	}
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) != 1)
		usage();
	v6->sin6_family = AF_INET6;
	v6->sin6_port = n;
	if (host[len])
		v6->sin6_scope_id = number(host + len + 1, UINT32_MAX);
}

/* One more element. */
static void *grow(void *array, unsigned int count, size_t size)
{
	void *grown = reallocarray(array, count + 1, size);

	if (!grown)
		leave(1, "out of memory");
	memset((char *)grown + count * size, 0, size);
	return grown;
}

static void add_portal(struct items *items, const struct sockaddr_storage *addr, uint32_t tag)
{
	struct portal *p;

	items->portals = grow(items->portals, items->portal_count, sizeof(*items->portals));
	p = &items->portals[items->portal_count++];
	isns_portal_init(&p->info, (const struct sockaddr *)addr, IPPROTO_TCP);
	p->tag = tag;
}

/* The addresses of this host that others can use, for a portal on all of them.
 */
static void add_local_portals(struct items *items, const struct sockaddr_storage *any, uint32_t tag)
{
	struct ifaddrs *list, *i;

	if (getifaddrs(&list))
		return;
	for (i = list; i; i = i->ifa_next) {
		struct sockaddr_storage addr = { 0 };

		if (!i->ifa_addr || i->ifa_addr->sa_family != any->ss_family ||
		    i->ifa_flags & IFF_LOOPBACK || !(i->ifa_flags & IFF_UP))
			continue;
		if (any->ss_family == AF_INET) {
			memcpy(&addr, i->ifa_addr, sizeof(struct sockaddr_in));
			((struct sockaddr_in *)&addr)->sin_port =
				((const struct sockaddr_in *)any)->sin_port;
		} else {
			struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addr;

			memcpy(v6, i->ifa_addr, sizeof(*v6));
			/* No link goes along with an address that is registered. */
			if (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
				continue;
			v6->sin6_port = ((const struct sockaddr_in6 *)any)->sin6_port;
		}
		add_portal(items, &addr, tag);
	}
	freeifaddrs(list);
}

static bool is_any(const struct sockaddr_storage *addr)
{
	if (addr->ss_family == AF_INET)
		return !((const struct sockaddr_in *)addr)->sin_addr.s_addr;
	return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)addr)->sin6_addr);
}

static void parse_portal(struct items *items, char *const *words)
{
	struct sockaddr_storage addr;
	uint32_t tag = number(words[3], UINT16_MAX);

	parse_address(words[1], words[2], &addr);
	if (is_any(&addr))
		add_local_portals(items, &addr, tag);
	else if (addr.ss_family != AF_INET6 ||
		 !IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)&addr)->sin6_addr))
		add_portal(items, &addr, tag);
}

static void parse_target(struct items *items, char *const *words, unsigned int count)
{
	struct target *t;

	items->targets = grow(items->targets, items->target_count, sizeof(*items->targets));
	t = &items->targets[items->target_count++];
	t->name = strdup(words[1]);
	if (!t->name)
		leave(1, "out of memory");
	for (unsigned int i = 2; i < count; i++)
		t->tags[t->tag_count++] = number(words[i], UINT16_MAX);
}

static void parse_line(struct registry *r, char *line)
{
	struct items *items = &r->is;
	char *words[WORDS_MAX], *word;
	unsigned int count = 0;

	line[strcspn(line, "\n")] = '\0';
	while ((word = strsep(&line, " "))) {
		if (count == WORDS_MAX)
			usage();
		words[count++] = word;
	}
	if (count && !strncmp(words[0], "was-", 4)) {
		words[0] += 4;
		items = &r->was;
	}
	if (count >= 2 && !strcmp(words[0], "target"))
		parse_target(items, words, count);
	else if (count == 4 && !strcmp(words[0], "portal"))
		parse_portal(items, words);
	else
		usage();
}

static void parse_items(struct registry *r)
{
	size_t size = 0;
	char *line = NULL;

	while (getline(&line, &size, stdin) > 0)
		parse_line(r, line);
	free(line);
}

static bool has_target(const struct items *items, const char *name)
{
	for (unsigned int i = 0; i < items->target_count; i++) {
		if (!strcmp(items->targets[i].name, name))
			return true;
	}
	return false;
}

static bool has_portal(const struct items *items, const isns_portal_info_t *info)
{
	for (unsigned int i = 0; i < items->portal_count; i++) {
		if (isns_portal_equal(&items->portals[i].info, info))
			return true;
	}
	return false;
}

/* Who speaks: a target that the server knows, if there is one. */
static const char *choose_source(const struct registry *r, const char *entity)
{
	for (unsigned int i = 0; i < r->is.target_count; i++) {
		if (has_target(&r->was, r->is.targets[i].name))
			return r->is.targets[i].name;
	}
	return r->is.target_count    ? r->is.targets[0].name
	       : r->was.target_count ? r->was.targets[0].name
				     : entity;
}

static void make_entity(struct registry *r, const char *name)
{
	r->entity = isns_create_entity(ISNS_ENTITY_PROTOCOL_ISCSI, name);
	r->client.ic_source = isns_source_create_iscsi(choose_source(r, name));
	if (!r->entity || !r->client.ic_source)
		leave(1, "no entity can be made of a name");
	for (unsigned int i = 0; i < r->is.portal_count; i++) {
		struct portal *p = &r->is.portals[i];

		p->object = isns_create_portal(&p->info, r->entity);
		if (!p->object)
			leave(1, "no portal can be made of an address");
	}
}

/* The library does not tell why there is no connection. */
static void try_connection(const struct sockaddr_storage *addr)
{
	struct timeval patience = { CONNECT_SECONDS, 0 };
	int fd = socket(addr->ss_family, SOCK_STREAM, 0);

	if (fd < 0)
		leave(1, "%s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)addr,
		    addr->ss_family == AF_INET ? sizeof(struct sockaddr_in)
					       : sizeof(struct sockaddr_in6)))
		leave(1, "%s", errno == EINPROGRESS ? strerror(ETIMEDOUT) : strerror(errno));
	close(fd);
}

static void connect_to(struct registry *r, const char *host, const char *port)
{
	struct sockaddr_storage addr;
	isns_portal_info_t info;

	parse_address(host, port, &addr);
	isns_portal_init(&info, (struct sockaddr *)&addr, IPPROTO_TCP);
	isns_config.ic_network.call_timeout = CALL_SECONDS;
	try_connection(&addr);
	r->client.ic_socket = isns_connect_to_portal(&info);
	if (!r->client.ic_socket)
		leave(1, "no connection");
	isns_socket_set_report_failure(r->client.ic_socket);
	isns_socket_set_disconnect_fatal(r->client.ic_socket);
}

static void call(struct registry *r, isns_simple_t **message)
{
	int status = isns_client_call(&r->client, message);

	if (status == ISNS_INTERNAL_ERROR) /* the library's word for no answer */
		leave(3, "it does not answer as an iSNS server does");
	if (status != ISNS_SUCCESS)
		leave(r->told ? 3 : 1, "it says: %s", isns_strerror((enum isns_status)status));
	r->told = true;
}

/* The server says for how long it remembers an entity that it does not hear of. */
static void read_period(struct registry *r, isns_simple_t *answer)
{
	isns_object_list_t objects;
	uint32_t period;

	isns_object_list_init(&objects);
	if (isns_registration_response_get_objects(answer, &objects) != ISNS_SUCCESS)
		return;
	for (unsigned int i = 0; i < objects.iol_count; i++) {
		if (isns_object_is_entity(objects.iol_data[i]) &&
		    isns_object_get_uint32(objects.iol_data[i], ISNS_TAG_REGISTRATION_PERIOD,
					   &period))
			r->period = period;
	}
	isns_object_list_destroy(&objects);
}

static void send_objects(struct registry *r)
{
	if (!r->message)
		return;
	call(r, &r->message);
	read_period(r, r->message);
	isns_simple_free(r->message);
	r->message = NULL;
	r->objects = 0;
}

/* The message key is the entity; what follows replaces it once, and is added to it then. */
static void add(struct registry *r, isns_object_t *object)
{
	if (!object)
		leave(1, "no object can be made of a name");
	if (r->objects == MESSAGE_OBJECTS)
		send_objects(r);
	if (!r->message) {
		r->message = isns_create_registration2(&r->client, r->entity, r->client.ic_source);
		if (!r->message)
			leave(1, "no registration can be made");
		isns_registration_set_replace(r->message, r->replace);
		isns_registration_add_object(r->message, r->entity);
		r->replace = false;
	}
	isns_registration_add_object(r->message, object);
	r->objects++;
}

static bool serves(const struct portal *portal, const struct target *target)
{
	for (unsigned int i = 0; i < target->tag_count; i++) {
		if (target->tags[i] == portal->tag)
			return true;
	}
	return !target->tag_count;
}

/* Of a portal that does not serve the target: without a tag, RFC 4171 3.4; left out it would have
 * one. */
static isns_object_t *portal_group(const struct portal *portal, const struct target *target,
				   isns_object_t *node)
{
	isns_object_t *group = isns_create_portal_group(portal->object, node, portal->tag);

	isns_attr_list_t none;

	if (group && !serves(portal, target)) {
		/* isns_object_set_nil() reads where nothing is. */
		isns_attr_list_init(&none);
		isns_attr_list_append_nil(&none, ISNS_TAG_PG_TAG);
		isns_object_set_attrlist(group, &none);
		isns_attr_list_destroy(&none);
	}
	return group;
}

static void register_all(struct registry *r)
{
	for (unsigned int i = 0; i < r->is.portal_count; i++)
		add(r, r->is.portals[i].object);
	for (unsigned int i = 0; i < r->is.target_count; i++) {
		const struct target *t = &r->is.targets[i];
		isns_object_t *node =
			isns_create_storage_node(t->name, ISNS_ISCSI_TARGET_MASK, r->entity);

		add(r, node);
		/* What is in the same message is known when this is read, and before. */
		for (unsigned int p = 0; p < r->is.portal_count; p++)
			add(r, portal_group(&r->is.portals[p], t, node));
	}
	send_objects(r);
}

static void deregister(struct registry *r, isns_attr_list_t *keys)
{
	isns_simple_t *message = isns_create_deregistration(&r->client, keys);

	if (!message)
		leave(r->told ? 3 : 1, "no deregistration can be made");
	call(r, &message);
	isns_simple_free(message);
	isns_attr_list_destroy(keys);
	isns_attr_list_init(keys);
	r->objects = 0;
}

static void deregister_entity(struct registry *r)
{
	isns_attr_list_t keys;

	isns_attr_list_init(&keys);
	isns_attr_list_append_string(&keys, ISNS_TAG_ENTITY_IDENTIFIER,
				     isns_entity_name(r->entity));
	deregister(r, &keys);
}

/* What was there and is no more. */
static void deregister_gone(struct registry *r)
{
	isns_attr_list_t keys;

	isns_attr_list_init(&keys);
	for (unsigned int i = 0; i < r->was.target_count; i++) {
		const char *name = r->was.targets[i].name;

		if (has_target(&r->is, name))
			continue;
		isns_attr_list_append_string(&keys, ISNS_TAG_ISCSI_NAME, name);
		if (++r->objects == MESSAGE_OBJECTS)
			deregister(r, &keys);
	}
	for (unsigned int i = 0; i < r->was.portal_count; i++) {
		const isns_portal_info_t *info = &r->was.portals[i].info;

		if (has_portal(&r->is, info))
			continue;
		isns_portal_to_attr_list(info, ISNS_TAG_PORTAL_IP_ADDRESS,
					 ISNS_TAG_PORTAL_TCP_UDP_PORT, &keys);
		if (++r->objects == MESSAGE_OBJECTS)
			deregister(r, &keys);
	}
	if (r->objects)
		deregister(r, &keys);
}

int main(int argc, char **argv)
{
	static struct registry r;
	bool update;

	if (argc != 5)
		usage();
	give_up_rights();
	parse_items(&r);
	make_entity(&r, argv[4]);
	update = !strcmp(argv[1], "update");
	r.replace = !strcmp(argv[1], "register");
	connect_to(&r, argv[2], argv[3]);
	if (!strcmp(argv[1], "deregister"))
		deregister_entity(&r);
	else if (r.replace || update || !strcmp(argv[1], "refresh"))
		register_all(&r);
	else
		usage();
	if (update)
		deregister_gone(&r);
	leave(0, "period %u", r.period);
}
