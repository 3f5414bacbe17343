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

struct child {
    pid_t process;      /* 0: none at present */
    int signing_client; /* a worker's end of its channel to the key process */
    int channel;        /* the other end, kept so that a new key process finds what waits in it */
    struct relay log;   /* what it writes */
    uint64_t started, retired, beats, beat_seen;
    uint64_t start_at; /* when a replacement may start */
    unsigned delay;
    struct worker_shared *shared; /* in memory that both see */
};

struct children {
    /* What the children are given; the supervisor's. */
    const struct listener *listeners;
    size_t listener_count;
    struct generation *generation;    /* the present one; a child makes it its own */
    const char *content;              /* the content folder */
    const char *state;                /* the state folder, for the key process */
    int signals;                      /* signalfd(2) of those that are waited for, SIGCHLD among them */
    int control;                      /* to the key process, or -1; owned by the children */
    bool keys_apart;                  /* the key process is a service of its own */
    uint8_t hash_key[KEYED_HASH_KEY]; /* of addresses; made anew at each start and never kept */

    /* The children. */
    struct child keys;
    struct child workers[WORKERS_MAX];
    size_t worker_count;
    struct child retired[RETIRED_MAX]; /* of earlier generations: they finish what they have */
    struct worker_shared *all_shared;  /* one for each worker and one for each that was retired */
    size_t shared_count;
    uint64_t answered;  /* by workers that are gone */
    uint64_t relays_at; /* when lines of workers are looked at again: many at a time */
};

/* Nobody is employed, nothing is owned: what children_dispose accepts. The caller sets what the children are given. */
void children_begin(struct children *children);

/* Starts the key process; does nothing where it is a service of its own. Returns false with errno. */
bool children_start_keys(struct children *children);

/* Makes places for workers, one for each core. Returns false after logging one sentence. */
bool children_make_places(struct children *children);

/*
 * Starts a worker of the present generation in each place; those who are there take no new connections from now on and
 * finish what they have. One that cannot be started is logged, and tried again by children_look_after.
 */
void children_renew(struct children *children);

/* How many workers of the present generation take connections. */
size_t children_ready(const struct children *children);

/* Does the present generation take all connections, and none of an earlier one any? */
bool children_has_taken_over(const struct children *children);

/* After SIGCHLD: takes note of who has ended. As PID 1, orphans come here, too. */
void children_reap(struct children *children);

/* Replaces who has ended and whose time for that has come; ends a worker that hangs, or stays when it should have gone.
 */
void children_look_after(struct children *children);

/* When children_look_after has something to do next (clock_milliseconds), but not after `latest`. */
uint64_t children_wake(const struct children *children, uint64_t latest);

/* Something was done to what workers share: each has to show within two seconds that it goes on, or is ended. */
void children_examine(struct children *children);

/*
 * Waits for one of the signals, at most so many milliseconds, and writes meanwhile what workers want to have logged.
 * Returns the signal; 0: none came.
 */
int children_wait(struct children *children, uint64_t milliseconds);

/*
 * Lets the workers finish what they are at, then ends them: after some seconds, or at once when a second signal to stop
 * comes. None is left when this returns.
 */
void children_stop_workers(struct children *children);

/* Ends them at once. */
void children_end_workers(struct children *children);

/* Ends the key process, and gives everything back. All workers must be gone. */
void children_dispose(struct children *children);
