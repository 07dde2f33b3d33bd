// SPDX-License-Identifier: BSD-2-Clause
/* CHAP secrets, which stand in files of their own. */
#ifndef RISERD_SECRET_H
#define RISERD_SECRET_H

#include "session.h"

/* Reads the file, or the credential of this name that systemd has given us; one newline at its end does
 * not count. check: one that may not be read is taken as it is. False: why tells what is wrong, also that
 * everybody may read it. Not as strict with credentials: systemd looks after those. */
bool secret_read(const char *name, bool credential, bool check, struct chap_account *out, char *why,
		 size_t why_size);
void secret_wipe(void *p, size_t len);
/* [main thread, before there is any JSON] Requests and trees of the configuration have secrets, too: all that
 * jansson gives back is wiped from now on. */
void secret_guard_json(void);

#endif
