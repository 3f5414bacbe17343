/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The lines of workers. A worker's standard error is a pipe of its own to the supervisor, which writes what comes into
 * the log: with the worker's process id before it, every control character replaced, and a priority that it may have.
 * So nothing that a worker writes passes for another's line or the supervisor's, no worker can stop the log for others,
 * and the journal, which limits how many lines of a priority it takes in some seconds, keeps room for what the
 * supervisor has to say about an intruder.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RELAY_GRAVE_MAX 20 /* lines graver than information that a worker may write in a period; more count as such */
#define RELAY_PERIOD 10000 /* milliseconds */
#define RELAY_GRAVEST 4    /* LOG_LEVEL_WARNING: errors are the supervisor's alone */

/* One worker's. */
struct relay {
    int pipe;             /* the end that is read; -1: none */
    unsigned grave;       /* grave lines in this period */
    uint64_t period_ends; /* milliseconds of the monotonic clock */
};

/* Makes the pipe. Returns the end to write to, for the worker; the caller closes it. -1 with errno. */
int relay_open(struct relay *relay);

/* In the worker: everything that it writes goes into the pipe from now on. Closes that end. Returns false with errno.
 */
bool relay_enter(int end);

/* Reads once, and writes the lines into the log. worker: its process id. now: milliseconds. Returns false at its end.
 */
bool relay_lines(struct relay *relay, pid_t worker, uint64_t now);

/* Writes what is left, and closes the pipe. */
void relay_close(struct relay *relay, pid_t worker, uint64_t now);

/* Does standard error take lines at present, without making the caller wait? */
bool relay_has_room(void);
