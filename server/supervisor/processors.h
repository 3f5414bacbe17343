/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* How many processors this process may use. */

#include <stddef.h>

/*
 * Returns the number of processors that the scheduler lets it use, or, if that is less, the share of its control group
 * and those above it (cpu.max of cgroup v2), rounded up; at least 1. Not in the sandbox: it reads files.
 */
size_t processors_allowed(void);

/*
 * Returns how many processors a text of cpu.max allows ("150000 100000": 2), at least 1; 0 if it sets no limit, or is
 * no such text. Pure.
 */
size_t processors_of_share(const char *cpu_max);
