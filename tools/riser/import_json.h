// SPDX-License-Identifier: BSD-2-Clause
/* Where values stand in a JSON text that has been parsed without an error. All borrow the text. */
#ifndef RISER_IMPORT_JSON_H
#define RISER_IMPORT_JSON_H

/* The value of a member of the object at `at`; NULL: there is none. */
const char *json_member_at(const char *at, const char *key);
/* The first of an array, and the one behind another one; NULL: there is none. */
const char *json_first_at(const char *at);
const char *json_next_at(const char *at);

#endif
