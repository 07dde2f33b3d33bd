// SPDX-License-Identifier: BSD-2-Clause
/* REPORT TIMESTAMP and SET TIMESTAMP, SPC 5.2, 6.40 and 6.47. Begins with the clock of the host. */
#include <string.h>
#include <time.h>

#include "pages.h"
#include "rows.h"

enum { MS_PER_S = 1000, NS_PER_MS = 1000000 };

static int64_t clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / NS_PER_MS;
}

void timestamp_init(struct lu_pages *pages)
{
	pages->clock_offset = clock_ms(CLOCK_REALTIME) - clock_ms(CLOCK_BOOTTIME);
	pages->clock_origin = TIMESTAMP_BY_OTHERS;
}

static int report_timestamp_fill(struct scsi_task *task, uint8_t *out)
{
	struct timestamp_data *data = (struct timestamp_data *)out;
	struct lu_pages *pages = task->lu->pages;
	struct be64 ms;

	pthread_mutex_lock(&pages->lock);
	ms = be64_of((uint64_t)(clock_ms(CLOCK_BOOTTIME) + pages->clock_offset));
	data->origin = pages->clock_origin;
	pthread_mutex_unlock(&pages->lock);
	data->len = be16_of(sizeof(*data) - sizeof(data->len));
	memcpy(data->ms, ms.b + sizeof(ms) - sizeof(data->ms), sizeof(data->ms));
	return sizeof(*data);
}

static void set_timestamp(struct scsi_task *task)
{
	const struct timestamp_data *data = (const void *)task->buf->data;
	struct lu_pages *pages = task->lu->pages;
	struct be64 ms = { { 0 } };

	memcpy(ms.b + sizeof(ms) - sizeof(data->ms), data->ms, sizeof(data->ms));
	pthread_mutex_lock(&pages->lock);
	pages->clock_offset = (int64_t)be64_get(ms) - clock_ms(CLOCK_BOOTTIME);
	pages->clock_origin = TIMESTAMP_BY_SCSI;
	pthread_mutex_unlock(&pages->lock);
	lu_raise_ua(task->lu, UA_TIMESTAMP_CHANGED, task->nexus);
	task_good(task);
}

static void set_timestamp_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, sizeof(struct timestamp_data), task->buf->data, set_timestamp);
}

static void set_timestamp_start(struct scsi_task *task)
{
	const struct cdb12 *cdb = (const void *)task->cdb;
	uint32_t list = be32_get(cdb->len);

	task_want_out(task,
		      list < sizeof(struct timestamp_data) ? list : sizeof(struct timestamp_data));
	if (!list) {
		task_good(task);
		return;
	}
	if (list < sizeof(struct timestamp_data) ||
	    task_out_room(task) < sizeof(struct timestamp_data)) {
		task_fail(task, SENSE_LIST_LENGTH);
		return;
	}
	if (task_buffer(task, sizeof(struct timestamp_data), sizeof(struct timestamp_data),
			set_timestamp_fetch))
		set_timestamp_fetch(task);
}

const struct cdb_row report_timestamp_row = { .name = "REPORT TIMESTAMP",
					      .service_action = SA_REPORT_TIMESTAMP,
					      USAGE12(CDB_MAINTENANCE_IN, SA_REPORT_TIMESTAMP, 0, 0,
						      0, 0, LEN4, 0, CONTROL),
					      RESPONDS(report_timestamp_fill),
					      ALLOCATION(6, 4),
					      .rule = RSV_NEVER,
					      .flags = ROW_STANDBY,
					      QUICK };

const struct cdb_row set_timestamp_row = { .name = "SET TIMESTAMP",
					   .service_action = SA_SET_TIMESTAMP,
					   USAGE12(CDB_MAINTENANCE_OUT, SA_SET_TIMESTAMP, 0, 0, 0,
						   0, LEN4, 0, CONTROL),
					   .start = set_timestamp_start,
					   .direction = DIR_OUT,
					   .rule = RSV_WRITE,
					   QUICK };
