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
#define FILTER_COMPAT 1 /* as a 32-bit program makes it */

enum filter_verdict {
    FILTER_PASSES, /* reaches the kernel, or gets an error from the filter */
    FILTER_ENDS,   /* ends the process */
    FILTER_UNREADABLE,
};

/*
 * Stores a program that is about to be installed; all stored programs are evaluated. Returns false if there is no
 * space.
 */
bool filter_keep(const struct filter_instruction *instructions, size_t count);

enum filter_verdict filter_judge(int architecture, int number, const uint64_t arguments[static 6]);

/*
 * Puts the first filter of workers, which allowed calls with any arguments, before a program: a call that either allows
 * is allowed. made: space for FILTER_MAX instructions. Returns their number, or 0 if there are too many.
 */
size_t filter_loosen(const struct filter_instruction *instructions, size_t count, struct filter_instruction *made);

#define FILTER_MAX 4096
