// SPDX-License-Identifier: BSD-2-Clause
/* The word that was probably meant: how many letters have to be changed, put in, left out or swapped. */
#include <string.h>

#include "parse_impl.h"

enum { WORD_MAX = 32 };

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[3][WORD_MAX + 1], *before = row[0], *last = row[1], *now = row[2], *swap;
	size_t n = strlen(a), m = strlen(b);

	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (unsigned int j = 0; j <= m; j++)
		last[j] = j;
	for (size_t i = 1; i <= n; i++) {
		now[0] = (unsigned int)i;
		for (size_t j = 1; j <= m; j++) {
			now[j] = least(last[j - 1] + (a[i - 1] != b[j - 1]),
				       least(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = least(now[j], before[j - 2] + 1);
		}
		swap = before;
		before = last;
		last = now;
		now = swap;
	}
	return last[m];
}

const char *parse_nearest(const char *word, const char *const *words, unsigned int count)
{
	unsigned int best = strlen(word) < 6 ? 1 : (unsigned int)strlen(word) / 3;
	const char *found = NULL;

	if (strlen(word) > WORD_MAX)
		return NULL;
	for (unsigned int i = 0; i < count; i++) {
		unsigned int d = distance(word, words[i]);

		if (d <= best && (!found || d < best)) {
			best = d;
			found = words[i];
		}
	}
	return found;
}
