// SPDX-License-Identifier: BSD-2-Clause
/*
 * Figures of a process. CPU time comes from the process's clock and from schedstat, in
 * nanoseconds: the ticks of /proc/PID/stat are too coarse for a second of rest.
 */
#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int read_proc(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return -errno;
	n = fread(text, 1, size - 1, f);
	fclose(f);
	text[n] = '\0';
	return n ? 0 : -ESRCH;
}

double process_cpu(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		return -1;
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t status_bytes(const char *status, const char *key)
{
	const char *line = strstr(status, key);

	return line ? strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
}

int process_memory(pid_t pid, struct process_memory *memory)
{
	char path[64], text[8192];
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	ret = read_proc(path, text, sizeof(text));
	if (ret)
		return ret;
	memory->rss_anon = status_bytes(text, "RssAnon:");
	memory->rss_file = status_bytes(text, "RssFile:");
	memory->rss_shmem = status_bytes(text, "RssShmem:");
	return 0;
}

static void read_thread(pid_t pid, pid_t tid, struct thread_list *list)
{
	struct thread_cpu *t = list->thread + list->count;
	char path[64], text[128];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", (int)pid, (int)tid);
	if (read_proc(path, text, sizeof(text)))
		return;
	t->tid = tid;
	t->seconds = (double)strtoull(text, NULL, 10) / 1e9;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", (int)pid, (int)tid);
	if (read_proc(path, text, sizeof(text)))
		return;
	text[strcspn(text, "\n")] = '\0';
	snprintf(t->name, sizeof(t->name), "%.15s", text);
	for (char *p = t->name; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("-_./: ", *p))
			*p = '?';
	}
	list->count++;
}

void process_threads(pid_t pid, struct thread_list *list)
{
	char path[64];
	DIR *dir;
	const struct dirent *entry;

	list->count = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return;
	while (list->count < THREADS_MAX && (entry = readdir(dir))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid > 0)
			read_thread(pid, tid, list);
	}
	closedir(dir);
}

void process_threads_since(struct thread_list *now, const struct thread_list *before)
{
	for (unsigned i = 0; i < now->count; i++) {
		struct thread_cpu *t = now->thread + i;

		for (unsigned j = 0; j < before->count; j++) {
			if (before->thread[j].tid == t->tid)
				t->seconds -= before->thread[j].seconds;
		}
	}
}
