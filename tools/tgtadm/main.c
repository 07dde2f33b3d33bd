// SPDX-License-Identifier: BSD-2-Clause
/* tgtadm: the command line. Under the name tgt-admin it is that program. */
#include <ctype.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tgtadm.h"
#include "tools/riser/client.h"
#include "tools/riser/out.h"

static const struct option long_options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ "debug", no_argument, NULL, 'd' },
	{ "lld", required_argument, NULL, 'L' },
	{ "op", required_argument, NULL, 'o' },
	{ "mode", required_argument, NULL, 'm' },
	{ "tid", required_argument, NULL, 't' },
	{ "sid", required_argument, NULL, 's' },
	{ "cid", required_argument, NULL, 'c' },
	{ "lun", required_argument, NULL, 'l' },
	{ "name", required_argument, NULL, 'n' },
	{ "value", required_argument, NULL, 'v' },
	{ "backing-store", required_argument, NULL, 'b' },
	{ "bstype", required_argument, NULL, 'E' },
	{ "bsoflags", required_argument, NULL, 'f' },
	{ "bsopts", required_argument, NULL, 'S' },
	{ "blocksize", required_argument, NULL, 'y' },
	{ "targetname", required_argument, NULL, 'T' },
	{ "initiator-address", required_argument, NULL, 'I' },
	{ "initiator-name", required_argument, NULL, 'Q' },
	{ "user", required_argument, NULL, 'u' },
	{ "password", required_argument, NULL, 'p' },
	{ "force", no_argument, NULL, 'F' },
	{ "params", required_argument, NULL, 'P' },
	{ "bus", required_argument, NULL, 'B' },
	{ "device-type", required_argument, NULL, 'Y' },
	{ "outgoing", no_argument, NULL, 'O' },
	{ "control-port", required_argument, NULL, 'C' },
	{ NULL, 0, NULL, 0 },
};

static void usage(void)
{
	puts("Usage: tgtadm --lld iscsi --op OPERATION --mode MODE [OPTION]...\n"
	     "The commands of tgt's tgtadm, for riserd. OPERATION is new, delete, show, update, bind,\n"
	     "unbind, stat or start; MODE target, logicalunit, connection, account, system, portal or lld.\n"
	     "  --tid N  --targetname IQN  --lun N  --backing-store PATH  --bstype rdwr|aio|null\n"
	     "  --bsoflags direct  --blocksize 512|4096  --initiator-address ADDR|ALL\n"
	     "  --initiator-name IQN  --sid N  --cid N  --user NAME  --password SECRET  --outgoing\n"
	     "  --name PARAMETER  --value VALUE  --params NAME=VALUE,...  --force\n"
	     "  --control-port N   the riserd of the socket control.N.sock instead of control.sock\n"
	     "  --version  --help\n"
	     "riser(1) does all of this and more, and its changes survive a restart.");
}

static bool number(struct tgt *t, const char *name, const char *text, unsigned int *out)
{
	unsigned long value;
	char *end;

	value = strtoul(text, &end, 10);
	if (isdigit((unsigned char)text[0]) && !*end && value <= UINT32_MAX) {
		*out = (unsigned int)value;
		return true;
	}
	complain(t, "'%s' option is no number: %s", name, text);
	return false;
}

static bool take_number(struct tgt *t, int letter)
{
	struct options *o = &t->o;
	unsigned int ignored;

	switch (letter) {
	case 't': o->tid_text = optarg; return number(t, "tid", optarg, &o->tid);
	case 's': o->sid_text = optarg; return number(t, "sid", optarg, &o->sid);
	case 'c': o->cid_text = optarg; return number(t, "cid", optarg, &ignored);
	default: o->lun_text = optarg; return number(t, "lun", optarg, &o->lun);
	}
}

static const char **text_of(struct options *o, int letter)
{
	switch (letter) {
	case 'L': return &o->lld;
	case 'o': return &o->op;
	case 'm': return &o->mode;
	case 'n': return &o->name;
	case 'v': return &o->value;
	case 'b': return &o->path;
	case 'E': return &o->bstype;
	case 'f': return &o->bsflags;
	case 'S': return &o->bsopts;
	case 'y': return &o->block_size;
	case 'T': return &o->targetname;
	case 'I': return &o->address;
	case 'Q': return &o->initiator;
	case 'u': return &o->user;
	case 'P': return &o->params;
	case 'Y': return &o->device_type;
	default: return NULL;
	}
}

/* Another riserd of the same machine has the socket control.N.sock. */
void other_socket(struct tgt *t, const char *port)
{
	static char path[4096];
	size_t len = strlen(t->r.socket);

	if (len > 5 && !strcmp(t->r.socket + len - 5, ".sock"))
		len -= 5;
	if (strcmp(port, "0") != 0) {
		snprintf(path, sizeof(path), "%.*s.%s.sock", (int)len, t->r.socket, port);
		t->r.socket = path;
	}
}

/* Not to be seen in the list of processes for longer than need be. */
static char *take_password(char *arg)
{
	char *copy = strdup(arg);

	explicit_bzero(arg, strlen(arg));
	return copy;
}

/* -1: go on, otherwise a status. */
static int parse(struct tgt *t, int argc, char **argv, char **password)
{
	unsigned int port, block;
	int letter;

	while ((letter = getopt_long(argc, argv,
				     "hVdL:o:m:t:s:c:l:n:v:b:E:f:S:y:T:I:Q:u:p:FP:B:Y:OC:",
				     long_options, NULL)) != -1) {
		const char **text = text_of(&t->o, letter);

		if (optarg && !is_text(optarg)) /* riserd would hear nothing of it */
			return complain(t, "invalid request: an option is no UTF-8 text: %s",
					letter == 'p' ? "--password" : optarg);
		if (text) {
			*text = optarg;
			if (letter == 'y' && !number(t, "blocksize", optarg, &block))
				return REFUSED;
		} else if (strchr("tscl", letter)) {
			if (!take_number(t, letter))
				return REFUSED;
		} else if (letter == 'p') {
			free(*password);
			t->o.password = *password = take_password(optarg);
		} else if (letter == 'F') {
			t->o.force = true;
		} else if (letter == 'O') {
			t->o.outgoing = true;
		} else if (letter == 'C') {
			if (!number(t, "control-port", optarg, &port))
				return REFUSED;
			other_socket(t, optarg);
		} else if (letter == 'h') {
			usage();
			return DONE;
		} else if (letter == 'V') {
			puts("1.0.85 (riser)");
			return DONE;
		} else if (letter == 'B') {
			return complain(t, "invalid request: riserd has no buses");
		} else if (letter != 'd') {
			fputs("Try `tgtadm --help' for more information.\n", stderr);
			return REFUSED;
		}
	}
	if (optind < argc)
		return complain(t, "unrecognized option '%s'", argv[optind]);
	return -1;
}

static const struct verb *const verbs[] = { target_verbs, unit_verbs, session_verbs, account_verbs,
					    system_verbs };
enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

/* Words may be cut short: "sys", "conn", "logicalunit" as a whole. */
static bool means(const char *word, const char *whole)
{
	return strlen(word) >= 3 && !strncmp(whole, word, strlen(word));
}

static int run(struct tgt *t)
{
	const struct options *o = &t->o;
	const struct verb *found = NULL;
	bool op = false, mode = false;
	int status;

	if (!o->op)
		return complain(t, "specify the operation type");
	if (!o->mode)
		return complain(t, "specify the mode");
	for (unsigned int i = 0; i < VERBS; i++) {
		for (const struct verb *v = verbs[i]; v->op; v++) {
			bool this_op = !strcmp(o->op, v->op), this_mode = means(o->mode, v->mode);

			op |= this_op;
			mode |= this_mode;
			if (this_op && this_mode)
				found = v;
		}
	}
	if (!op || !mode) {
		complain(t, op ? "unknown mode: %s" : "unknown operation: %s",
			 op ? o->mode : o->op);
		return UNKNOWN_WORD;
	}
	if (!found)
		return complain(t, "invalid request: there is no --op %s --mode %s", o->op,
				o->mode);
	status = memory_open(t);
	if (!status) {
		bool looks = !strcmp(o->op, "show") || !strcmp(o->op, "stat");

		status = looks || memory_can_change(t) ? found->run(t) : REFUSED;
		if (t->dirty && t->lock >= 0)
			memory_save(t);
	}
	memory_close(t);
	return status;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	const char *socket = getenv("RISER_CONTROL");
	struct tgt t = { .program = "tgtadm", .lock = -1 };
	char *password = NULL;
	int status;

	t.r.socket = socket && *socket ? socket : RISER_SOCKET;
	t.r.timeout = 30;
	out_open_standard();
	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(name, "tgt-admin")) {
		t.program = "tgt-admin";
		status = admin_main(&t, argc, argv);
	} else {
		status = parse(&t, argc, argv, &password);
		if (status < 0)
			status = run(&t);
	}
	if (password)
		explicit_bzero(password, strlen(password));
	free(password);
	client_close(&t.r);
	return fflush(stdout) ? UNKNOWN_WORD : status;
}
