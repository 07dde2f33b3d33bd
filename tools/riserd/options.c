// SPDX-License-Identifier: BSD-2-Clause
/* Command line: every mistake gets one line that names the argument, and exit status 2. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

enum {
	OPT_ALLOW = 256,
	OPT_CHAP,
	OPT_CHAP_MUTUAL,
	OPT_DISCOVERY_CHAP,
	OPT_DISCOVERY_CHAP_MUTUAL,
	OPT_REDIRECT,
	OPT_ALIAS,
	OPT_ISNS,
	OPT_STATE,
	OPT_CPUS,
	OPT_MEMORY,
	OPT_BUSY_POLL,
	OPT_LOG,
	OPT_LOGIN_TIMEOUT,
	OPT_DATA_TIMEOUT,
	OPT_NOP_INTERVAL,
	OPT_MAX_CONNECTIONS,
	OPT_SESSION_CONNECTIONS,
	OPT_ERROR_RECOVERY_LEVEL,
	OPT_LOGIN_FAILURES,
	OPT_ALLOW_COLD_RESET,
	OPT_CONTROL,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "check", no_argument, NULL, 't' },
	{ "portal", required_argument, NULL, 'p' },
	{ "name", required_argument, NULL, 'n' },
	{ "allow", required_argument, NULL, OPT_ALLOW },
	{ "chap", required_argument, NULL, OPT_CHAP },
	{ "chap-mutual", required_argument, NULL, OPT_CHAP_MUTUAL },
	{ "discovery-chap", required_argument, NULL, OPT_DISCOVERY_CHAP },
	{ "discovery-chap-mutual", required_argument, NULL, OPT_DISCOVERY_CHAP_MUTUAL },
	{ "alias", required_argument, NULL, OPT_ALIAS },
	{ "redirect", required_argument, NULL, OPT_REDIRECT },
	{ "isns", required_argument, NULL, OPT_ISNS },
	{ "state", required_argument, NULL, OPT_STATE },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "busy-poll", required_argument, NULL, OPT_BUSY_POLL },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "login-timeout", required_argument, NULL, OPT_LOGIN_TIMEOUT },
	{ "data-timeout", required_argument, NULL, OPT_DATA_TIMEOUT },
	{ "nop-interval", required_argument, NULL, OPT_NOP_INTERVAL },
	{ "max-connections", required_argument, NULL, OPT_MAX_CONNECTIONS },
	{ "session-connections", required_argument, NULL, OPT_SESSION_CONNECTIONS },
	{ "error-recovery-level", required_argument, NULL, OPT_ERROR_RECOVERY_LEVEL },
	{ "login-failures", required_argument, NULL, OPT_LOGIN_FAILURES },
	{ "allow-cold-reset", no_argument, NULL, OPT_ALLOW_COLD_RESET },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static const char usage[] =
	"usage: riserd [OPTION]... DISK...\n"
	"       riserd -c FILE [-t] [--control PATH]\n"
	"Serve disks over iSCSI. DISK number i is LUN i of one target.\n"
	"\n"
	"  -c, --config FILE          serve what FILE says: riser.conf(5); SIGHUP reads it again\n"
	"  -t, --check                only look whether FILE is right; exit status 8 if not\n"
	"  -p, --portal ADDR[:PORT][,OPTION]...\n"
	"                             listen here (127.0.0.1:3260); may be repeated; port 0: any\n"
	"       ,transport=tcp|iser|all\n"
	"                             all: TCP, and iSER while an RDMA device has the address;\n"
	"                             default: all, on loopback addresses tcp\n"
	"       ,tag=N                portal group 1 to 65535 (1): one target port, with a state\n"
	"                             of access of its own\n"
	"       ,access=optimized|non-optimized|standby|unavailable|offline\n"
	"                             the state that the group starts with (optimized)\n"
	"       ,preferred=on         tell initiators to prefer this group\n"
	"  -n, --name IQN             name of the target (iqn.2026-11.localhost:riser)\n"
	"      --alias TEXT           what people call it; initiators may show it\n"
	"      --allow IQN|any        initiators that may log in; needed unless all portals are\n"
	"                             loopback addresses\n"
	"      --chap USER:FILE       initiators must prove the secret in FILE; may be repeated\n"
	"      --chap-mutual USER:FILE  prove ourselves with the secret in FILE when asked: to\n"
	"                             the user before it; in front of all, to every user\n"
	"      --discovery-chap USER:FILE, --discovery-chap-mutual USER:FILE\n"
	"                             the same for discovery sessions\n"
	"      --redirect ADDR[:PORT][,permanent]  send initiators there\n"
	"      --isns ADDR[:PORT]     register with the iSNS server there (port 3205)\n"
	"      --state DIR            folder for what survives a restart ($STATE_DIRECTORY)\n"
	"      --control PATH         socket that riser(1) speaks to\n"
	"      --cpus LIST            one thread on each of these CPUs, e.g. 0,2-3 (all, at most 8)\n"
	"      --memory SIZE          budget for data in flight (256M)\n"
	"      --busy-poll US         spin at most so many microseconds before sleeping (50)\n"
	"      --log LEVEL            error, warn, info or debug (info)\n"
	"      --login-timeout S      close connections that have not logged in (15)\n"
	"      --data-timeout S       close when written data does not come (60)\n"
	"      --nop-interval S       ping silent initiators; 0: never (15)\n"
	"      --max-connections N    refuse more (4096)\n"
	"      --session-connections N  connections of one session (4)\n"
	"      --error-recovery-level N  the highest level to agree on: 0, 1 or 2 (2)\n"
	"      --login-failures N     after so many refused logins of one address in a minute,\n"
	"                             answer the next ones 2 s later; 0: never (10)\n"
	"      --allow-cold-reset     any initiator may end all sessions by TARGET COLD RESET\n"
	"\n"
	"  DISK   ram:SIZE | null:SIZE | PATH (file or block device), then ,key=value:\n"
	"         readonly=on  block-size=512|4096  direct=on  size=10G (creates the file)\n"
	"         physical-block-size=512...1M (what initiators are told)\n"
	"         serial=TEXT  naa=HEX  eui=HEX (names of the disk)  removable=on\n"
	"         pi=1|2|3 (protection information)  pi-path=FILE\n";

int complain(const char *fmt, ...)
{
	char line[8192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* One line, whatever the argument holds. */
	for (char *p = line; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
	fprintf(stderr, "riserd: %s; try riserd --help\n", line);
	return 2;
}

bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return !errno && !*end && *out <= max;
}

bool options_parse_cpus(const char *text, int *cpus, unsigned int *count)
{
	cpu_set_t allowed;
	char *end;

	*count = 0;
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return false;
	for (;;) {
		unsigned long first, last;

		if (!isdigit((unsigned char)*text))
			return false;
		first = last = strtoul(text, &end, 10);
		if (*end == '-' && isdigit((unsigned char)end[1]))
			last = strtoul(end + 1, &end, 10);
		if (last < first || last >= CPU_SETSIZE)
			return false;
		for (; first <= last; first++) {
			if (*count == OPTION_CPUS || !CPU_ISSET(first, &allowed))
				return false;
			cpus[(*count)++] = (int)first;
		}
		if (!*end)
			return true;
		if (*end != ',')
			return false;
		text = end + 1;
	}
}

static void default_cpus(int *cpus, unsigned int *count)
{
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		CPU_ZERO(&allowed);
	for (int i = 0; i < CPU_SETSIZE && *count < 8; i++)
		if (CPU_ISSET(i, &allowed))
			cpus[(*count)++] = i;
	if (!*count)
		cpus[(*count)++] = -1;
}

static int parse_allow(struct options *o, const char *text)
{
	void *grown;

	if (!strcmp(text, "any")) {
		o->allow_any = true;
		return 0;
	}
	grown = reallocarray(o->allow, o->allow_count + 1, sizeof(*o->allow));
	if (!grown)
		return complain("--allow %s: out of memory", text);
	o->allow = grown;
	if (!name_normalize(text, strlen(text), o->allow[o->allow_count]))
		return complain("--allow %s: not an iSCSI name (iqn., eui. or naa.)", text);
	o->allow_count++;
	return 0;
}

/* RFC 7143 13.6: up to 255 bytes that no text key can break at. */
static int parse_alias(struct options *o, const char *text)
{
	size_t len = strlen(text);

	if (len < 1 || len >= sizeof(o->alias))
		return complain("--alias %.64s: not 1 to %zu bytes", text, sizeof(o->alias) - 1);
	for (size_t i = 0; i < len; i++) {
		if (iscntrl((unsigned char)text[i]))
			return complain("--alias %s: has a control character", text);
	}
	memcpy(o->alias, text, len + 1);
	return 0;
}

bool options_parse_log_level(const char *text, enum log_level *out)
{
	static const struct {
		const char *name;
		enum log_level level;
	} levels[] = {
		{ "error", LOG_LEVEL_ERROR },
		{ "warn", LOG_LEVEL_WARN },
		{ "info", LOG_LEVEL_INFO },
		{ "debug", LOG_LEVEL_DEBUG },
	};

	for (unsigned int i = 0; i < array_size(levels); i++) {
		if (!strcmp(text, levels[i].name)) {
			*out = levels[i].level;
			return true;
		}
	}
	return false;
}

const char *options_log_level_name(enum log_level level)
{
	return level == LOG_LEVEL_ERROR	  ? "error"
	       : level == LOG_LEVEL_WARN  ? "warn"
	       : level == LOG_LEVEL_DEBUG ? "debug"
					  : "info";
}

static int parse_log_level(struct options *o, const char *text)
{
	if (options_parse_log_level(text, &o->log_level))
		return 0;
	return complain("--log %s: not error, warn, info or debug", text);
}

static int parse_seconds(const char *opt, const char *text, uint32_t min, uint32_t *out)
{
	uint64_t n;

	if (!parse_number(text, 86400, &n) || n < min)
		return complain("--%s %s: not a number of seconds from %u to 86400", opt, text,
				min);
	*out = (uint32_t)n;
	return 0;
}

static int parse_count(const char *opt, const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t n;

	if (!parse_number(text, max, &n) || n < min)
		return complain("--%s %s: not a number from %u to %u", opt, text, min, max);
	*out = (uint32_t)n;
	return 0;
}

static int parse_limit(struct options *o, int opt, const char *arg)
{
	struct server_limits *l = &o->limits;

	switch (opt) {
	case OPT_LOGIN_TIMEOUT: return parse_seconds("login-timeout", arg, 1, &l->login_timeout_s);
	case OPT_DATA_TIMEOUT: return parse_seconds("data-timeout", arg, 1, &l->data_timeout_s);
	case OPT_NOP_INTERVAL: return parse_seconds("nop-interval", arg, 0, &l->nop_interval_s);
	case OPT_MAX_CONNECTIONS:
		return parse_count("max-connections", arg, 1, 60000, &l->max_connections);
	case OPT_SESSION_CONNECTIONS:
		return parse_count("session-connections", arg, 1, 256, &l->session_connections);
	case OPT_ERROR_RECOVERY_LEVEL:
		return parse_count("error-recovery-level", arg, 0, 2, &l->error_recovery_level);
	case OPT_LOGIN_FAILURES:
		return parse_count("login-failures", arg, 0, 32, &l->login_failures);
	case OPT_ALLOW_COLD_RESET: o->allow_cold_reset = true; return 0;
	}
	return 2; /* getopt has said it */
}

/* Who may log in, and where to. */
static int parse_access(struct options *o, int opt, const char *arg)
{
	switch (opt) {
	case OPT_ALIAS: return parse_alias(o, arg);
	case OPT_ALLOW: return parse_allow(o, arg);
	case OPT_CHAP: return options_add_user(&o->chap, "--chap", arg);
	case OPT_CHAP_MUTUAL: return options_add_mutual(&o->chap, "--chap-mutual", arg);
	case OPT_DISCOVERY_CHAP:
		return options_add_user(&o->discovery_chap, "--discovery-chap", arg);
	case OPT_DISCOVERY_CHAP_MUTUAL:
		return options_add_mutual(&o->discovery_chap, "--discovery-chap-mutual", arg);
	case OPT_ISNS: return options_parse_isns(o, arg);
	case OPT_REDIRECT: return options_parse_redirect(o, arg);
	}
	return parse_limit(o, opt, arg);
}

static int parse_option(struct options *o, int opt, const char *arg)
{
	uint64_t n;

	switch (opt) {
	case 'c':
		if (o->file)
			return complain("--config %s: the second one", arg);
		o->file = arg;
		return 0;
	case 't': o->check_only = true; return 0;
	case 'p': return options_add_portal(o, arg);
	case 'n':
		if (!name_normalize(arg, strlen(arg), o->target_name))
			return complain("--name %s: not an iSCSI name (iqn., eui. or naa.)", arg);
		return 0;
	case OPT_STATE:
		if (!*arg)
			return complain("--state: the name of a folder is empty");
		o->state = arg;
		return 0;
	case OPT_CPUS:
		if (!options_parse_cpus(arg, o->cpus, &o->cpu_count))
			return complain("--cpus %s: not a list of CPUs that we may use", arg);
		return 0;
	case OPT_MEMORY:
		if (!bs_parse_size(arg, &o->memory) || o->memory < 4u << 20 ||
		    o->memory > 1ull << 40)
			return complain("--memory %s: not a size from 4M to 1T", arg);
		return 0;
	case OPT_BUSY_POLL:
		if (!parse_number(arg, 1000000, &n))
			return complain("--busy-poll %s: not microseconds from 0 to 1000000", arg);
		o->busy_poll_ns = n * NSEC_PER_USEC;
		return 0;
	case OPT_LOG: return parse_log_level(o, arg);
	case OPT_CONTROL:
		if (!*arg)
			return complain("--control: the name of the socket is empty");
		o->control = arg;
		return 0;
	}
	return parse_access(o, opt, arg);
}

/* What systemd makes for StateDirectory=: the first, if there are several. */
static int default_state(struct options *o)
{
	const char *folders = getenv("STATE_DIRECTORY");

	if (o->state || !folders || !*folders || *folders == ':')
		return 0;
	o->state_of_system = strndup(folders, strcspn(folders, ":"));
	o->state = o->state_of_system;
	return o->state ? 0 : complain("STATE_DIRECTORY: out of memory");
}

/* What only the whole command line can tell. */
static int check(struct options *o)
{
	bool loopback = true;

	if (!o->portal_count)
		options_add_portal(o, "127.0.0.1");
	for (unsigned int i = 0; i < o->portal_count; i++)
		loopback &= options_is_loopback(&o->portals[i].address);
	if (!o->allow_any && !o->allow_count) {
		if (!loopback)
			return complain("--portal: an address beyond loopback needs --allow IQN "
					"(or --allow any)");
		o->allow_any = true;
	}
	if (!o->disk_count)
		return complain("no DISK given, e.g. ram:1G or /path/to/file");
	return options_check_users(o) || options_make_ports(o) || default_state(o) ? 2 : 0;
}

static int parse_disks(struct options *o, int count, char **args)
{
	char why[512];

	if (count > TARGET_LUNS)
		return complain("%s: more than %d disks", args[TARGET_LUNS], TARGET_LUNS);
	o->disks = calloc((size_t)count + 1, sizeof(*o->disks));
	if (!o->disks)
		return 1;
	o->disk_texts = args;
	for (int i = 0; i < count; i++) {
		if (bs_parse(args[i], &o->disks[i], why, sizeof(why)))
			return complain("%s: %s", args[i], why);
		o->disk_count++;
	}
	return 0;
}

int options_parse(struct options *o, int argc, char **argv)
{
	int opt, status, others = 0;

	*o = (struct options){
		.target_name = "iqn.2026-11.localhost:riser",
		.memory = 256u << 20,
		.busy_poll_ns = 50 * NSEC_PER_USEC,
		.log_level = LOG_LEVEL_INFO,
		.limits = server_default_limits,
	};
	while ((opt = getopt_long(argc, argv, "c:tp:n:h", long_options, NULL)) != -1) {
		if (opt == 'h' || opt == OPT_VERSION) {
			fputs(opt == 'h' ? usage : "riserd " RISERD_VERSION "\n", stdout);
			return -1;
		}
		others += opt != 'c' && opt != 't' && opt != OPT_CONTROL;
		status = parse_option(o, opt, optarg);
		if (status)
			return status;
	}
	if (o->check_only && !o->file)
		return complain("--check: of which file? -c FILE says it");
	if (o->file)
		return others || optind < argc
			       ? complain("--config %s: everything else belongs into the file",
					  o->file)
			       : 0;
	if (!o->cpu_count)
		default_cpus(o->cpus, &o->cpu_count);
	status = parse_disks(o, argc - optind, argv + optind);
	return status ? status : check(o);
}

bool config_supplement(struct config *c)
{
	const char *folders = getenv("STATE_DIRECTORY");

	if (!c->cpu_count)
		default_cpus(c->cpus, &c->cpu_count);
	if (c->state || !folders || !*folders || *folders == ':')
		return true;
	c->state = strndup(folders, strcspn(folders, ":"));
	return c->state;
}

void options_free(struct options *o)
{
	options_free_users(&o->chap);
	options_free_users(&o->discovery_chap);
	free(o->allow);
	free(o->disks);
	free(o->state_of_system);
}
