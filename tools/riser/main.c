// SPDX-License-Identifier: BSD-2-Clause
/* riser: one command line. */
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "complete.h"
#include "out.h"

static bool set(const char *name)
{
	const char *value = getenv(name);

	return value && *value;
}

int main(int argc, char **argv)
{
	struct riser r = {
		.socket = set("RISER_CONTROL") ? getenv("RISER_CONTROL") : RISER_SOCKET,
		.timeout = 30,
		.terminal = isatty(STDOUT_FILENO),
	};
	const char *term = getenv("TERM");
	enum status status;

	out_open_standard();
	setlocale(LC_CTYPE, "");
	/* Who reads our output may stop: then printing fails, and nothing dies half-way. */
	signal(SIGPIPE, SIG_IGN);
	r.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	r.color = r.terminal && !set("NO_COLOR") && term && strcmp(term, "dumb") != 0;
	if (argc > 1 && !strcmp(argv[1], "__complete"))
		status = complete_main(&r, argc - 2, argv + 2);
	else
		status = command_line(&r, argc - 1, argv + 1);
	client_close(&r);
	return (int)status;
}
