/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * `vitrine check`: reads everything that an owner wrote, and says like a compiler what is wrong with it:
 *
 *   PATH:LINE: error: sentence       clients meet this fault
 *   PATH: warning: sentence          this works, but not as well as it could, or is there for nothing
 */

#include <stdbool.h>

struct check_options {
    const char *settings; /* NULL: the usual file, if there is one */
    const char *content;
    const char *state; /* the state folder; where it cannot be read, identities are not looked at */
    bool strict;       /* warnings count as errors */
};

/*
 * Writes the findings to standard output, and their sum as the last line.
 * Returns the exit status: 0; 1 when there is an error (or, strictly, a warning); EX_NOINPUT for a folder that cannot
 * be read, after logging one sentence.
 */
int check_run(const struct check_options *options);
