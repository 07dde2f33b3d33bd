// SPDX-License-Identifier: BSD-2-Clause
/*
 * Waiting for locks at start. When a process is killed, the kernel first ends what its io_uring still
 * has in flight and only then lets go of its files: who starts it again at once finds them locked.
 */
#ifndef RISER_CORE_LOCK_WAIT_H
#define RISER_CORE_LOCK_WAIT_H

/* [a thread that may block] Calls try_lock(arg) until it answers anything but -EBUSY or -EAGAIN, for
 * 5 s at most. Returns its last answer. path is for the log, when it takes longer than a second. */
int lock_wait(int (*try_lock)(void *arg), void *arg, const char *path);

#endif
