// SPDX-License-Identifier: BSD-2-Clause
/*
 * What Linux tells about a process: CPU time of it and of its threads, and memory.
 */
#ifndef RISER_BENCH_PROCESS_H
#define RISER_BENCH_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

enum { THREADS_MAX = 128 };

struct process_memory {
	uint64_t rss_anon; /* bytes */
	uint64_t rss_file;
	uint64_t rss_shmem;
};

struct thread_cpu {
	pid_t tid;
	char name[16]; /* bytes that JSON or a terminal would not like are '?' */
	double seconds;
};

struct thread_list {
	unsigned count;
	struct thread_cpu thread[THREADS_MAX];
};

/* Seconds of CPU of all threads, ended ones included. Negative: there is no such process. */
double process_cpu(pid_t pid);
/* 0, or a negative errno. */
int process_memory(pid_t pid, struct process_memory *memory);
/* The first THREADS_MAX threads; an empty list when there is nothing to read. */
void process_threads(pid_t pid, struct thread_list *list);
/* Makes of what the threads have used up to now what they have used since `before`. */
void process_threads_since(struct thread_list *now, const struct thread_list *before);

#endif
