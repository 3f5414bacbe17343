/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Evaluates the seccomp(2) filters of this process for a call. Most random calls would end the worker at once. Knowing
 * that in advance, the engine leaves them out, and can make thousands of calls that the filters allow.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct filter_instruction { /* struct sock_filter */
    uint16_t code;
    uint8_t if_true, if_false;
    uint32_t value;
};

#define FILTER_NATIVE 0
#define FILTER_COMPAT 1 /* as a program of 32 bits would call */

enum filter_verdict {
    FILTER_PASSES, /* to the kernel, or to an answer of the filter */
    FILTER_ENDS,   /* the process */
    FILTER_UNREADABLE,
};

/*
 * Keeps a program that is about to be installed; all that were kept count. Returns false when there is no room.
 */
bool filter_keep(const struct filter_instruction *instructions, size_t count);

enum filter_verdict filter_judge(int architecture, int number, const uint64_t arguments[static 6]);

/*
 * The filter of workers as it was at first, which let calls through whatever their arguments, put before a program:
 * what either allows is allowed. made: room for FILTER_MAX instructions. Returns their count, 0 when they are too
 * many.
 */
size_t filter_loosen(const struct filter_instruction *instructions, size_t count, struct filter_instruction *made);

#define FILTER_MAX 4096
