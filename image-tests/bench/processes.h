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

/* Finds `root` and its children, grandchildren and so on. False: there is no such process, or they are too many. */
bool processes_find(pid_t root, struct processes *found);

/*
 * Processor time that they have had so far, user and system, in nanoseconds. Threads that have ended are not in it
 * where the kernel counts in nanoseconds (schedstat), so only differences over a run count.
 */
uint64_t processes_time(const struct processes *processes);

/* Their memory in bytes, shared pages counted by their share (PSS): proc_pid_smaps_rollup(5). */
uint64_t processes_memory(const struct processes *processes);
