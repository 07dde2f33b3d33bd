// SPDX-License-Identifier: BSD-2-Clause
/* What log lines look like on stderr, rate limits, escaping. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log_journal.h"
#include "tests/lib/unit.h"

/* stderr goes to a memory file between begin_capture() and end_capture(). */
static struct {
	int stderr_copy, file;
	char text[16384];
} capture;

static void begin_capture(void)
{
	capture.stderr_copy = dup(STDERR_FILENO);
	capture.file = memfd_create("log", MFD_CLOEXEC);
	CU_ASSERT_FATAL(capture.stderr_copy >= 0 && capture.file >= 0);
	CU_ASSERT_EQUAL_FATAL(dup2(capture.file, STDERR_FILENO), STDERR_FILENO);
}

static const char *end_capture(void)
{
	ssize_t n = pread(capture.file, capture.text, sizeof(capture.text) - 1, 0);

	CU_ASSERT_FATAL(n >= 0);
	capture.text[n] = '\0';
	dup2(capture.stderr_copy, STDERR_FILENO);
	close(capture.stderr_copy);
	close(capture.file);
	return capture.text;
}

static unsigned int count(const char *text, const char *what)
{
	unsigned int n = 0;

	while ((text = strstr(text, what))) {
		text++;
		n++;
	}
	return n;
}

static void level_decides(void)
{
	const char *text;

	begin_capture();
	log_error("one %d", 1);
	log_warn("two");
	log_info("three");
	log_debug("four");
	log_set_level(LOG_LEVEL_WARN);
	log_info("five");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("six");
	log_set_level(LOG_LEVEL_INFO);
	text = end_capture();
	CU_ASSERT_PTR_NOT_NULL(strstr(text, ": error: one 1\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, ": warning: two\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, ": info: three\n"));
	CU_ASSERT_PTR_NULL(strstr(text, "four"));
	CU_ASSERT_PTR_NULL(strstr(text, "five"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, ": debug: six\n"));
	CU_ASSERT_EQUAL(count(text, "\n"), 4);
}

static void a_line_stays_one_line(void)
{
	static char long_text[5000];
	const char *text;

	memset(long_text, 'x', sizeof(long_text) - 1);
	begin_capture();
	log_info("a\nriserd: error: forged\r\x1b[2J");
	log_info("%s", long_text);
	text = end_capture();
	CU_ASSERT_EQUAL(count(text, "\n"), 2);
	CU_ASSERT_PTR_NULL(strchr(text, '\x1b'));
	CU_ASSERT_EQUAL(text[strlen(text) - 1], '\n');
	CU_ASSERT(strlen(text) < 2200);
}

static void errno_survives(void)
{
	begin_capture();
	errno = EBADMSG;
	log_info("something");
	CU_ASSERT_EQUAL(errno, EBADMSG);
	end_capture();
}

static void limit_says_what_it_hid(void)
{
	struct log_limit limit = LOG_LIMIT(3);
	const char *text;

	begin_capture();
	for (int i = 0; i < 10; i++)
		log_write_limited(&limit, LOG_LEVEL_INFO, "line %d", i);
	text = end_capture();
	CU_ASSERT_EQUAL(count(text, "line"), 3);
	CU_ASSERT_EQUAL(limit.suppressed, 7);

	/* Two seconds later there are two tokens again. */
	limit.tokens_at -= 2 * 1000000000ull;
	begin_capture();
	for (int i = 10; i < 20; i++)
		log_write_limited(&limit, LOG_LEVEL_INFO, "line %d", i);
	text = end_capture();
	CU_ASSERT_EQUAL(count(text, "line"), 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "line 10 (7 like this suppressed)\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "line 11\n"));
	CU_ASSERT_EQUAL(limit.suppressed, 8);
}

static void hidden_levels_take_no_token(void)
{
	struct log_limit limit = LOG_LIMIT(1);

	for (int i = 0; i < 10; i++)
		log_write_limited(&limit, LOG_LEVEL_DEBUG, "line %d", i);
	CU_ASSERT_EQUAL(limit.tokens_at, 0);
	CU_ASSERT_EQUAL(limit.suppressed, 0);
}

/* A journal of ours; there is none at first. */
static char journal_path[] = "/nowhere/journal";
static int journal = -1;

static void open_journal(char folder[])
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/s", folder);
	journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CU_ASSERT_EQUAL_FATAL(bind(journal, (struct sockaddr *)&at, sizeof(at)), 0);
	CU_ASSERT_EQUAL_FATAL(setenv("RISER_JOURNAL_SOCKET", at.sun_path, 1), 0);
}

static void close_journal(const char *folder)
{
	unlink(getenv("RISER_JOURNAL_SOCKET"));
	rmdir(folder);
	close(journal);
	unsetenv("RISER_JOURNAL_SOCKET");
}

/* The next entry; "": there is none. */
static const char *heard(void)
{
	static char text[8192];
	ssize_t n = recv(journal, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void the_journal_gets_fields(void)
{
	char folder[] = "/tmp/core_log_test-XXXXXX";
	const struct log_about about = { .target = "iqn.a:b\nMESSAGE=forged",
					 .initiator = "iqn.c:d",
					 .from = "192.0.2.1:5",
					 .reason = "auth",
					 .session = 7,
					 .has_lun = true };

	open_journal(folder);
	CU_ASSERT_TRUE(log_journal_send(LOG_LEVEL_WARN, "careful", &about));
	CU_ASSERT_STRING_EQUAL(heard(), "MESSAGE=careful\nPRIORITY=4\n"
					"SYSLOG_IDENTIFIER=core_log_test\n"
					"RISER_TARGET=iqn.a:b MESSAGE=forged\n"
					"RISER_INITIATOR=iqn.c:d\nRISER_FROM=192.0.2.1:5\n"
					"RISER_REASON=auth\nRISER_SESSION=7\nRISER_LUN=0\n");
	CU_ASSERT_TRUE(log_journal_send(LOG_LEVEL_ERROR, "x", NULL));
	CU_ASSERT_STRING_EQUAL(heard(), "MESSAGE=x\nPRIORITY=3\nSYSLOG_IDENTIFIER=core_log_test\n");
	close_journal(folder);
}

/* Nobody reads: what it does not take comes back at once, and goes to stderr. */
static void a_journal_that_hangs_is_not_waited_for(void)
{
	char folder[] = "/tmp/core_log_test-XXXXXX", text[2048];
	unsigned int taken = 0;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	open_journal(folder);
	while (taken < 100000 && log_journal_send(LOG_LEVEL_INFO, text, NULL))
		taken++;
	CU_ASSERT(taken > 0 && taken < 100000);
	CU_ASSERT_EQUAL(strlen(heard()), sizeof(text) - 1 + strlen("MESSAGE=\nPRIORITY=6\n") +
						 strlen("SYSLOG_IDENTIFIER=core_log_test\n"));
	CU_ASSERT_TRUE(log_journal_send(LOG_LEVEL_INFO, text, NULL));
	close_journal(folder);
	setenv("RISER_JOURNAL_SOCKET", journal_path, 1);
	CU_ASSERT_FALSE(log_journal_send(LOG_LEVEL_INFO, text, NULL));
	unsetenv("RISER_JOURNAL_SOCKET");
}

/* Whether stderr is the journal is looked up once, so each case runs in a child. */
static const char *line_in_child(bool same_file)
{
	struct stat st;
	char stream[64];
	int status = -1;
	pid_t pid;

	begin_capture();
	CU_ASSERT_EQUAL_FATAL(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + !same_file);
	setenv("JOURNAL_STREAM", stream, 1);
	setenv("RISER_JOURNAL_SOCKET", journal_path, 1);
	pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "core_log_test", "--one-line", (char *)NULL);
		_exit(1);
	}
	CU_ASSERT(waitpid(pid, &status, 0) == pid && status == 0);
	unsetenv("JOURNAL_STREAM");
	unsetenv("RISER_JOURNAL_SOCKET");
	return end_capture();
}

static void journal_gets_priorities(void)
{
	CU_ASSERT_STRING_EQUAL(line_in_child(true), "<4>core_log_test: careful\n");
	CU_ASSERT_STRING_EQUAL(line_in_child(false), "core_log_test: warning: careful\n");
}

static void escape_is_printable_and_bounded(void)
{
	char out[32], tiny[6];

	CU_ASSERT_STRING_EQUAL(log_escape(out, sizeof(out), "iqn.a:b", 7), "iqn.a:b");
	CU_ASSERT_STRING_EQUAL(log_escape(out, sizeof(out), "a\0\n\xff\\", 5),
			       "a\\x00\\x0a\\xff\\x5c");
	CU_ASSERT_STRING_EQUAL(log_escape(out, sizeof(out), "", 0), "");
	CU_ASSERT_STRING_EQUAL(log_escape(tiny, sizeof(tiny), "abcdefgh", 8), "abcde");
	/* No half escapes. */
	CU_ASSERT_STRING_EQUAL(log_escape(tiny, sizeof(tiny), "ab\n", 3), "ab");
	CU_ASSERT_STRING_EQUAL(log_escape(tiny, sizeof(tiny), "a\n", 2), "a\\x0a");
	CU_ASSERT_STRING_EQUAL(log_escape(tiny, 1, "a", 1), "");
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		TEST(level_decides),
		TEST(a_line_stays_one_line),
		TEST(errno_survives),
		TEST(limit_says_what_it_hid),
		TEST(hidden_levels_take_no_token),
		TEST(journal_gets_priorities),
		TEST(the_journal_gets_fields),
		TEST(a_journal_that_hangs_is_not_waited_for),
		TEST(escape_is_printable_and_bounded),
	};

	if (argc == 2 && !strcmp(argv[1], "--one-line")) {
		log_warn("careful");
		return 0;
	}
	return unit_run(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
