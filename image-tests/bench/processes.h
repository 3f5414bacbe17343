/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The cost of a server: processor time and memory of a process with all its descendants, from /proc. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESSES_MAX 64

struct processes {
    pid_t list[PROCESSES_MAX];
    size_t count;
};

/* Finds `root` and all its descendants. Returns false if there is no such process, or if there are too many. */
bool processes_find(pid_t root, struct processes *found);

/*
 * Returns the processor time that they have used, user and system, in nanoseconds. If the kernel counts in nanoseconds
 * (schedstat), threads that have ended are not included, so use only differences.
 */
uint64_t processes_time(const struct processes *processes);

/* Returns their memory in bytes, with shared pages counted proportionally (PSS): proc_pid_smaps_rollup(5). */
uint64_t processes_memory(const struct processes *processes);
