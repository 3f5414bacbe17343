/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The findings of `vitrine check`: counts and prints them. */

#include <stdbool.h>

#include "check.h"
#include "common/settings.h"
#include "content/capsule.h"

enum severity { WARNING, ERROR };

/* One run of the command. */
struct check {
    const struct check_options *options;
    struct capsules capsules;
    struct settings settings;
    bool colours;
    int state; /* the state folder, or -1 */
    unsigned errors, warnings, files, hosts;
};

/* Where a line parser reports faults. */
struct place {
    struct check *check;
    const char *path;
};

/* Prints a finding and counts it. line: 0 for the whole file. */
void find_fault(struct check *check, const char *path, unsigned line, enum severity severity, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* For parsers of lines (text_fault): report an error, and a warning. context: a struct place. */
void take_fault(unsigned line, const char *problem, void *context);
void take_remark(unsigned line, const char *problem, void *context);
