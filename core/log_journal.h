// SPDX-License-Identifier: BSD-2-Clause
/*
 * A line for systemd's journal with what it is about, so that "journalctl RISER_TARGET=iqn..." finds it: one
 * datagram in the journal's native protocol, KEY=value on each line.
 */
#ifndef RISER_CORE_LOG_JOURNAL_H
#define RISER_CORE_LOG_JOURNAL_H

#include "core/log.h"

/* [any thread] text: one line without control characters. about: NULL: nothing is known. Does not wait; false:
 * the journal does not take it now. */
bool log_journal_send(enum log_level level, const char *text, const struct log_about *about);

#endif
