// SPDX-License-Identifier: BSD-2-Clause
/* The end of all that is served. */
#include "live_impl.h"

struct collected {
	struct lu **units;
	unsigned int count;
};

static void collect(struct live_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	struct collected *all = arg;

	(void)target, (void)lun;
	if (all->units)
		all->units[all->count] = lu;
	all->count++;
}

/* All units that there are; NULL: no memory. */
static struct lu **all_units(const struct live *live, unsigned int *count)
{
	struct collected all = { 0 };

	visit_units(live, collect, &all);
	all.units = calloc(all.count + 1, sizeof(struct lu *));
	all.count = 0;
	if (all.units)
		visit_units(live, collect, &all);
	*count = all.count;
	return all.units;
}

int live_stop(struct live *live, const struct timespec *deadline)
{
	unsigned int count;
	struct lu **units = all_units(live, &count);
	int failed;

	if (!units)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++)
		lu_stop_job(units[i], live_signal, live);
	for (unsigned int i = 0; i < count; i++) {
		if (!live_wait(live, &live->done, deadline)) {
			free(units);
			return -ETIMEDOUT;
		}
	}
	failed = flush_units(live, units, count, deadline);
	free(units);
	return failed > 0 ? -EIO : failed;
}

static void close_lun(struct live_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	(void)arg;
	target->scsi.lun[lun] = NULL;
	close_unit(lu);
}

void live_destroy(struct live *live)
{
	if (!live)
		return;
	server_destroy(live->server);
	if (live->now)
		visit_units(live, close_lun, NULL);
	generation_put(live->now);
	sem_destroy(&live->done);
	pthread_mutex_destroy(&live->looking);
	free(live);
}
