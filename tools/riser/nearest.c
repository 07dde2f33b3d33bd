// SPDX-License-Identifier: BSD-2-Clause
/* The word that was probably meant: how many letters are changed, put in, left out or swapped. */
#include <string.h>

#include "command.h"

enum { LETTERS = 32 };

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

static unsigned int distance(const char *a, const char *b)
{
	unsigned int cost[LETTERS + 1][LETTERS + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > LETTERS || m > LETTERS)
		return LETTERS;
	for (unsigned int i = 0; i <= n; i++)
		cost[i][0] = i;
	for (unsigned int j = 0; j <= m; j++)
		cost[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			unsigned int c = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			c = least(c, least(cost[i - 1][j], cost[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				c = least(c, cost[i - 2][j - 2] + 1);
			cost[i][j] = c;
		}
	}
	return cost[n][m];
}

const char *nearest(const char *word, const char *(*next)(void *arg), void *arg)
{
	size_t len = strlen(word);
	unsigned int best = len < 6 ? 1 : (unsigned int)len / 3;
	const char *found = NULL, *candidate;

	if (len > LETTERS)
		return NULL;
	while ((candidate = next(arg))) {
		unsigned int d = distance(word, candidate);

		/* The beginning of a word is meant, too. */
		if (len > 1 && !strncmp(word, candidate, len))
			d = least(d, 1);
		if (d <= best && (!found || d < best)) {
			best = d;
			found = candidate;
		}
	}
	return found;
}
