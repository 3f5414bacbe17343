/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The supervisor's children: the workers, workers of earlier generations that finish their connections,
 * and the key process unless it is a service of its own. Children that die are replaced, with a delay that grows.
 */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/keyed_hash.h"
#include "common/probe_address.h"
#include "generation.h"
#include "relay.h"
#include "worker/worker.h"

#define WORKERS_MAX SETTINGS_WORKERS_MAX
#define RETIRED_MAX 128              /* two generations */
#define CHILDREN_SHUTDOWN_GRACE 5000 /* milliseconds that open connections get at a stop */

struct child {
    pid_t process;      /* 0: none now */
    int signing_client; /* a worker's end of its channel to the key process */
    int channel;        /* the other end, kept so that a new key process finds the requests that wait in it */
    struct relay log;   /* its log lines */
    uint64_t started, retired, beats, beat_seen;
    uint64_t start_at; /* when a replacement may start */
    unsigned delay;
    struct worker_shared *shared; /* shared memory */
};

struct children {
    /* Input for the children; the supervisor owns it. */
    const struct listener *listeners;
    size_t listener_count;
    struct generation *generation;     /* the present one; each child gets a copy */
    const char *content;               /* the content folder */
    const char *state;                 /* the state folder, for the key process */
    int signals;                       /* signalfd(2) of the signals that are waited for, including SIGCHLD */
    int control;                       /* to the key process, or -1; owned by this struct */
    bool keys_apart;                   /* the key process is a service of its own */
    uint8_t probe[PROBE_ADDRESS_SIZE]; /* where `vitrine probe` connects from; all zero: not known */
    uint8_t hash_key[KEYED_HASH_KEY];  /* for addresses; made at each start and never stored */

    /* The children. */
    struct child keys;
    struct child workers[WORKERS_MAX];
    size_t worker_count;
    struct child retired[RETIRED_MAX]; /* of earlier generations; they finish their connections */
    struct worker_shared *all_shared;  /* one for each worker and each retired worker */
    size_t shared_count;
    uint64_t answered;  /* requests answered by workers that have ended */
    uint64_t relays_at; /* when to read lines of workers again, many at a time */
};

/*
 * Initializes: no child runs, nothing is owned; children_dispose accepts this. The caller then sets the input for the
 * children.
 */
void children_begin(struct children *children);

/* How many bytes all_shared has. */
size_t children_shared_size(const struct children *children);

/* Closes a descriptor that is not -1, and makes it -1. */
void children_close(int *descriptor);

/* Makes slots for so many workers, at most WORKERS_MAX. Returns false after logging one sentence. */
bool children_make_places(struct children *children, size_t workers);

/*
 * Starts a worker of the present generation in each slot. Earlier workers accept no new connections from now on and
 * finish theirs. If a worker cannot be started, this is logged, and children_look_after tries again.
 */
void children_renew(struct children *children);

/* Returns how many workers of the present generation accept connections. */
size_t children_ready(const struct children *children);

/* Do all workers of the present generation accept connections, and none of an earlier one? */
bool children_has_taken_over(const struct children *children);

/* After SIGCHLD: records which children have ended. As PID 1, also reaps orphans. */
void children_reap(struct children *children);

/*
 * Replaces children that have ended, once their delay is over. Ends a worker that hangs, or that stays too long after
 * it was told to leave.
 */
void children_look_after(struct children *children);

/* Returns when children_look_after has something to do next (clock_milliseconds), at most `latest`. */
uint64_t children_wake(const struct children *children, uint64_t latest);

/* Somebody changed something that workers share: each must show within two seconds that it is alive, or is ended. */
void children_examine(struct children *children);

/*
 * Lets the workers finish their connections, then ends them: after some seconds, or at once if a second signal to stop
 * comes. When this returns, none is left.
 */
void children_stop_workers(struct children *children);

/* Ends all workers at once. */
void children_end_workers(struct children *children);

/* Ends the key process, and frees everything. All workers must have ended. */
void children_dispose(struct children *children);
