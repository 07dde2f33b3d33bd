// SPDX-License-Identifier: BSD-2-Clause
/*
 * riser-bench: load for an iSCSI target, and a bare server that shows what the machine can do.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "bench.h"

static int pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	if (!sched_setaffinity(0, sizeof(set), &set))
		return 0;
	fprintf(stderr, "riser-bench: --cpu %d: %s\n", cpu, strerror(errno));
	return -1;
}

int main(int argc, char **argv)
{
	static struct measurement m;
	static struct options opt;
	uint64_t errors = 0;

	options_parse(&opt, argc, argv);
	if (opt.cpu >= 0 && pin(opt.cpu))
		return 1;
	if (opt.bare)
		return bare_run(&opt);
	if (client_run(&opt, &m))
		return 1;
	report(&opt, &m);
	for (unsigned i = 0; i < opt.job_count; i++)
		errors += m.results[i].errors;
	return errors ? 1 : 0;
}
