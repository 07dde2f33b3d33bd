// SPDX-License-Identifier: BSD-2-Clause
/* riser trace: PDUs of running sessions into a file for Wireshark. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "out.h"
#include "pcap.h"
#include "pdu.h"
#include "ring.h"
#include "show.h"

enum {
	BEGIN_MS = 2000, /* riserd's reactors have heard of it by then */
	LOOK_MS = 20, /* between two looks at the rings when they are empty */
	SETTLE_NS = 2000000, /* so late another reactor's record may come to light */
};

struct trace {
	struct riser *r;
	const char *name; /* of the file */
	char part
		[4200]; /* its name until something is captured; "" then, or if it is no regular file */
	FILE *file;
	struct pcap *pcap;
	struct rings *rings;
	uint64_t pdus, most, connections;
	uint16_t port; /* of a portal that Wireshark will not take for iSCSI; 0: none */
	uint64_t begun, until; /* ns, CLOCK_REALTIME */
	uint64_t told; /* ns: progress was shown last */
	int error; /* errno of the write that failed */
};

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* What initiators read and write may be in it: nobody else's to read, also not by a file that was there. So it
 * is made anew; what it had stays until there is something new. */
static FILE *open_file(struct trace *t)
{
	const struct riser *r = t->r;
	FILE *f = NULL;
	struct stat st;
	int fd;

	if (!strcmp(t->name, "-")) {
		if (!r->terminal)
			return stdout;
		fail(r, STATUS_USAGE, NULL, "pipe it: riser trace --pcap - | wireshark -k -i -",
		     "a capture is not for a terminal");
		return NULL;
	}
	if (!stat(t->name, &st) && !S_ISREG(st.st_mode)) {
		fd = open(t->name, O_WRONLY | O_CLOEXEC);
	} else {
		snprintf(t->part, sizeof(t->part), "%.4100s.new-%d", t->name, (int)getpid());
		fd = open(t->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	}
	if (fd >= 0)
		f = fdopen(fd, "w");
	if (!f)
		fail(r, STATUS_FAILED, t->name, NULL, "%s: %s", t->name, strerror(errno));
	return f;
}

/* On a terminal one line that changes, once a second. */
static void show_progress(struct trace *t, uint64_t now)
{
	if (!isatty(STDERR_FILENO) || t->r->json || now - t->told < 1000000000)
		return;
	t->told = now;
	fprintf(stderr, "\r%s: %llu PDUs of %llu connections, %llu lost; Ctrl-C ends\033[K",
		shown(t->name), (unsigned long long)t->pdus, (unsigned long long)t->connections,
		(unsigned long long)rings_lost(t->rings));
}

/* False: there are enough. */
static bool drain(struct trace *t, uint64_t until)
{
	const struct capture_record *record;

	while (t->pdus < t->most && (record = rings_next(t->rings, until))) {
		pcap_add(t->pcap, record);
		if (record->connection > t->connections)
			t->connections = record->connection;
		if (be16_get(record->target.port) != ISCSI_PORT)
			t->port = be16_get(record->target.port);
		t->pdus++;
	}
	if ((fflush(t->file) || ferror(t->file)) && !t->error)
		t->error = errno;
	return t->pdus < t->most;
}

/* The connection tells only that it is over, and notifications that nobody asked for. */
static bool riserd_gone(struct trace *t, int ms)
{
	struct pollfd p = { .fd = client_fd(t->r), .events = POLLIN };
	char byte;

	return poll(&p, 1, ms) > 0 && recv(p.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

static enum status write_failed(const struct trace *t)
{
	return fail(t->r, STATUS_FAILED, t->name, NULL, "%s: %s",
		    t->file == stdout ? "standard output" : t->name, strerror(t->error));
}

static enum status follow(struct trace *t)
{
	bool gone = false;

	while (!interrupted && !gone && !t->error) {
		uint64_t now = now_ns();

		if (!drain(t, now - SETTLE_NS) || now >= t->until)
			break;
		show_progress(t, now);
		gone = riserd_gone(t, LOOK_MS) || rings_over(t->rings);
	}
	if (gone)
		drain(t, UINT64_MAX);
	if (t->told)
		fputc('\n', stderr);
	if (t->error)
		return write_failed(t);
	if (gone)
		return fail(t->r, STATUS_NOT_RUNNING, NULL, "see its log",
			    "riserd has ended; %s has what was traced until then", t->name);
	return STATUS_OK;
}

static void conclude(struct trace *t, const json_t *result)
{
	uint64_t lost = (uint64_t)member_number(result, "lost");
	json_t *json;

	drain(t, UINT64_MAX);
	if (t->r->json) {
		json = json_pack("{s:o, s:I, s:I, s:I}", "file", text_json(t->name), "pdus",
				 (json_int_t)t->pdus, "lost", (json_int_t)lost, "connections",
				 (json_int_t)t->connections);
		json_dumpf(json, t->file == stdout ? stderr : stdout, JSON_COMPACT);
		fputc('\n', t->file == stdout ? stderr : stdout);
		json_decref(json);
		return;
	}
	fprintf(stderr, "%s: %llu PDUs of %llu connections, %llu lost\n", shown(t->name),
		(unsigned long long)t->pdus, (unsigned long long)t->connections,
		(unsigned long long)lost);
	if (lost)
		fprintf(stderr, "lost PDUs are gaps in the capture: this host could not write it "
				"as fast; name sessions, or keep less with --snaplen\n");
	if (t->port)
		fprintf(stderr,
			"for Wireshark: Decode As, TCP port %u, iSCSI; tshark -d "
			"tcp.port==%u,iscsi\n",
			t->port, t->port);
	if (!t->pdus)
		fprintf(stderr, "nothing was sent meanwhile in what was asked for: riser session "
				"list shows who is there\n");
}

static enum status with_rings(struct trace *t)
{
	struct sigaction stop = { .sa_handler = interrupt }, old_int, old_term;
	json_t *result;
	enum status status;

	sigaction(SIGINT, &stop, &old_int);
	sigaction(SIGTERM, &stop, &old_term);
	status = follow(t);
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGTERM, &old_term, NULL);
	if (!status)
		status = client_call(t->r, "trace.stop", NULL, &result);
	if (status)
		return status;
	conclude(t, result);
	json_decref(result);
	return t->error ? write_failed(t) : STATUS_OK;
}

static enum status begin(struct trace *t, const struct args *a)
{
	json_t *result;
	enum status status = client_call(t->r, "trace.start", args_params(t->r, a), &result);
	char why[256];
	int fd;

	if (status)
		return status;
	json_decref(result);
	fd = client_take_fd(t->r);
	if (fd < 0)
		return fail(t->r, STATUS_FAILED, NULL, "raise the number of open files (ulimit -n)",
			    "riserd's answer came without the memory of the capture");
	t->rings = rings_open(fd, why, sizeof(why));
	t->pcap = pcap_new(t->file);
	if (!t->rings || !t->pcap)
		return fail(t->r, STATUS_FAILED, NULL, NULL, "%s",
			    t->rings ? "out of memory" : why);
	if (t->part[0] && rename(t->part, t->name))
		return fail(t->r, STATUS_FAILED, t->name, NULL, "%s: %s", t->name, strerror(errno));
	t->part[0] = '\0';
	rings_await(t->rings, BEGIN_MS);
	return with_rings(t);
}

static enum status run_trace(struct riser *r, const struct args *a)
{
	double seconds = args_real(a, "seconds", 0);
	int64_t most = args_number(a, "count", 0);
	struct trace t = { .r = r, .name = args_option(a, "pcap", 0), .begun = now_ns() };
	enum status status;

	interrupted = 0;
	if (!t.name)
		return fail(r, STATUS_USAGE, NULL, "riser trace --pcap FILE",
			    "a trace needs a file: --pcap FILE");
	if (most < 0)
		return fail(r, STATUS_USAGE, NULL, NULL, "--count takes a number from 1 on");
	if (r->dry_run) {
		show_dry_run(r, "capture into %s", t.name);
		return STATUS_OK;
	}
	t.most = most ? (uint64_t)most : UINT64_MAX;
	t.until = seconds > 0 ? t.begun + (uint64_t)(seconds * 1e9) : UINT64_MAX;
	t.file = open_file(&t);
	if (!t.file)
		return STATUS_FAILED;
	status = begin(&t, a);
	if (t.part[0])
		unlink(t.part);
	pcap_free(t.pcap);
	rings_close(t.rings);
	if (t.file != stdout && fclose(t.file) && !status)
		status = fail(r, STATUS_FAILED, t.name, NULL, "%s: %s", t.name, strerror(errno));
	return status;
}

const struct command trace_commands[] = {
	{ .noun = "trace",
	  .about = "Capture the PDUs of sessions, over TCP and iSER, for Wireshark",
	  .details =
		  "Until Ctrl-C. What is given must all hold; without any of it every session is "
		  "captured, and logins. The headers below iSCSI are made up, and so are Data-In, "
		  "R2T and Data-Out of iSER, whose data moves without PDUs. Digests are left out, "
		  "the values of CHAP_C and CHAP_R are masked. riserd never waits for the capture: "
		  "what does not fit is counted and missing.",
	  .options = WORDS(
		  { .name = "pcap",
		    .kind = KIND_FILE,
		    .value = "FILE",
		    .about = "where to; made anew, for its owner only; -: standard output" },
		  { .name = "session",
		    .kind = KIND_SESSION,
		    .value = "SESSION",
		    .about = "this one",
		    .param = "sessions",
		    .flags = WORD_MANY },
		  { .name = "target",
		    .kind = KIND_TARGET,
		    .value = "TARGET",
		    .about = "sessions of this target, or of all whose name matches, as *:disk",
		    .param = "target" },
		  { .name = "initiator",
		    .kind = KIND_INITIATOR,
		    .value = "NAME",
		    .about = "sessions of this initiator, or of all whose name matches",
		    .param = "initiator" },
		  { .name = "snaplen",
		    .kind = KIND_NUMBER,
		    .value = "BYTES",
		    .about = "of the data of SCSI commands in each PDU (256; at most 1048576)",
		    .param = "snaplen" },
		  { .name = "count",
		    .kind = KIND_NUMBER,
		    .value = "PDUS",
		    .about = "end after so many" },
		  { .name = "seconds",
		    .kind = KIND_REAL,
		    .value = "SECONDS",
		    .about = "end after so long" }),
	  .flags = COMMAND_CHANGES,
	  .run = run_trace },
	{ .noun = NULL },
};
