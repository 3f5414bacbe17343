/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * `vitrine check`: reads everything that an owner wrote, and reports faults as a compiler does:
 *
 *   PATH:LINE: error: sentence       clients meet this fault
 *   PATH: warning: sentence          this works, but not as well as it could, or is there for nothing
 */

#include <stdbool.h>

struct check_options {
    const char *settings; /* NULL: the default file, if it exists */
    const char *content;
    const char *state; /* the state folder; if it cannot be read, identities are not checked */
    bool strict;       /* warnings count as errors */
};

/*
 * Writes the findings to standard output, and the totals as the last line. Returns the exit status: 0; 1 if there is an
 * error (or, with strict, a warning); EX_NOINPUT if a folder cannot be read, after logging one sentence.
 */
int check_run(const struct check_options *options);
