// SPDX-License-Identifier: BSD-2-Clause
/* What could be typed next, by the table and by what riserd serves. */
#ifndef RISER_COMPLETE_H
#define RISER_COMPLETE_H

#include "command.h"

/* Offered words: `about` may be "". */
typedef void offer_fn(void *arg, const char *word, const char *about);

/* The last of the words is the one that is being typed; those that begin like it are offered. */
void complete_words(struct riser *r, int count, char **words, offer_fn *offer, void *arg);
/* All that a word of this kind can be; target NULL: of any. False: names of files. */
bool complete_kind(struct riser *r, const struct word *w, const char *target, offer_fn *offer,
		   void *arg);
/* riser __complete WORD...: one line each, "word<tab>about"; ":file" for names of files. */
enum status complete_main(struct riser *r, int count, char **words);

#endif
