/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Log lines of workers. The standard error of each worker is a pipe of its own to the supervisor. The supervisor writes
 * the lines to the log, with the worker's process id before them, control characters replaced, and an allowed priority.
 * So a worker cannot forge lines of another worker or the supervisor, and cannot stop the log for others. The journal
 * limits how many lines of a priority it accepts in some seconds; this keeps room for what the supervisor reports about
 * an intruder.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RELAY_GRAVE_MAX 20 /* lines above information level in a period; further ones become information */
#define RELAY_PERIOD 10000 /* milliseconds */
#define RELAY_GRAVEST 4    /* LOG_LEVEL_WARNING: only the supervisor logs errors */

/* The relay of one worker. */
struct relay {
    int pipe;             /* the end to read from; -1: none */
    unsigned grave;       /* lines above information level in this period */
    uint64_t period_ends; /* milliseconds of the monotonic clock */
};

/* Makes the pipe. Returns the end that the worker writes to, which the caller closes, or -errno. */
int relay_open(struct relay *relay);

/* In the worker: from now on, standard error goes into the pipe. Closes `end`. Returns 0 or -errno. */
int relay_enter(int end);

/*
 * Reads once, and writes the lines to the log. worker: its process id. now: milliseconds. Returns false at the end of
 * the pipe.
 */
bool relay_lines(struct relay *relay, pid_t worker, uint64_t now);

/* Writes the remaining lines, and closes the pipe. */
void relay_close(struct relay *relay, pid_t worker, uint64_t now);

/* Can a line be written to standard error now without blocking? */
bool relay_has_room(void);
