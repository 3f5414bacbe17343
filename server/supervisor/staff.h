/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The supervisor's children: one worker for each core, those of earlier generations that finish what they have, and the
 * key process where it is no service of its own. Who dies is replaced, at first soon, then ever later.
 */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/keyed_hash.h"
#include "generation.h"
#include "relay.h"
#include "worker/worker.h"

#define WORKERS_MAX 64
#define RETIRED_MAX 128 /* two generations */

struct employee {
    pid_t process;    /* 0: none at present */
    int desk;         /* a worker's end of its channel to the key process */
    int channel;      /* the other end, kept so that a new key process finds what waits in it */
    struct relay log; /* what it writes */
    uint64_t started, retired, beats, beat_seen;
    uint64_t start_at; /* when a replacement may start */
    unsigned delay;
    struct worker_board *board; /* in memory that both see */
};

struct staff {
    /* What the children are given; the supervisor's. */
    const struct listener *listeners;
    size_t listener_count;
    struct generation *generation;    /* the present one; a child makes it its own */
    const char *content;              /* the content folder */
    const char *state;                /* the state folder, for the key process */
    int signals;                      /* signalfd(2) of those that are waited for, SIGCHLD among them */
    int control;                      /* to the key process, or -1; owned by the staff */
    bool keys_apart;                  /* the key process is a service of its own */
    uint8_t hash_key[KEYED_HASH_KEY]; /* of addresses; made anew at each start and never kept */

    /* The children. */
    struct employee keys;
    struct employee employees[WORKERS_MAX];
    size_t worker_count;
    struct employee retired[RETIRED_MAX]; /* of earlier generations: they finish what they have */
    struct worker_board *boards;          /* one for each worker and one for each that was retired */
    size_t board_count;
    uint64_t answered;  /* by workers that are gone */
    uint64_t relays_at; /* when lines of workers are looked at again: many at a time */
};

/* Nobody is employed, nothing is owned: what staff_dispose accepts. The caller sets what the children are given. */
void staff_begin(struct staff *staff);

/* Starts the key process; does nothing where it is a service of its own. Returns false with errno. */
bool staff_start_keys(struct staff *staff);

/* Makes places for workers, one for each core. Returns false after logging one sentence. */
bool staff_make_places(struct staff *staff);

/*
 * Starts a worker of the present generation in each place; those who are there take no new connections from now on and
 * finish what they have. One that cannot be started is logged, and tried again by staff_look_after.
 */
void staff_renew(struct staff *staff);

/* How many workers of the present generation take connections. */
size_t staff_ready(const struct staff *staff);

/* Does the present generation take all connections, and none of an earlier one any? */
bool staff_has_taken_over(const struct staff *staff);

/* After SIGCHLD: takes note of who has ended. As PID 1, orphans come here, too. */
void staff_reap(struct staff *staff);

/* Replaces who has ended and whose time for that has come; ends a worker that hangs, or stays when it should have gone. */
void staff_look_after(struct staff *staff);

/* When staff_look_after has something to do next (clock_milliseconds), but not after `latest`. */
uint64_t staff_wake(const struct staff *staff, uint64_t latest);

/* Something was done to what workers share: each has to show within two seconds that it goes on, or is ended. */
void staff_examine(struct staff *staff);

/*
 * Waits for one of the signals, at most so many milliseconds, and writes meanwhile what workers want to have logged.
 * Returns the signal; 0: none came.
 */
int staff_wait(struct staff *staff, uint64_t milliseconds);

/*
 * Lets the workers finish what they are at, then ends them: after some seconds, or at once when a second signal to stop
 * comes. None is left when this returns.
 */
void staff_stop_workers(struct staff *staff);

/* Ends them at once. */
void staff_end_workers(struct staff *staff);

/* Ends the key process, and gives everything back. All workers must be gone. */
void staff_dispose(struct staff *staff);
