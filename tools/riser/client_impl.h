// SPDX-License-Identifier: BSD-2-Clause
/* What client*.c share. */
#ifndef RISER_CLIENT_IMPL_H
#define RISER_CLIENT_IMPL_H

#include "client.h"

/* Of a socket that connect() must not use: which group may, and how its user comes into it. */
void client_no_access(const char *path, char *message, size_t message_size, char *hint,
		      size_t hint_size);
/* The hint of an error that ends in " USER" gets the name of ours there. */
void client_name_user(json_t *error);

#endif
