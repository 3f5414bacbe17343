/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The random intruder: an engine inside a worker makes system calls with random and hostile arguments (engine.c), and a
 * watcher outside starts it and checks the promises (watcher.c). They share this header.
 *
 * The engine's memory, struct intruder_arena, is at the same address in each worker. The watcher, as root of the host,
 * reads and writes it through /proc/PID/mem. So it needs no request and no connection.
 *
 * A session is what one worker does from a command until it ends. It has rounds; what a round does depends only on the
 * seed and its number (and on the results of the kernel), so a session can be repeated, completely or in part.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INTRUDER_ARENA 0x510000000000ul
#define INTRUDER_MAGIC "vitrine-intruder"
#define INTRUDER_SETTINGS "/etc/vitrine/intruder"
#define INTRUDER_OLD_FILTER "filter=old\n" /* what that file holds when the filter of before is to be put back */
#define INTRUDER_CONTENT_MARK "words-of-the-content-7d31c9" /* in every page that the test serves, nowhere else */

enum intruder_state {
    INTRUDER_IDLE,
    INTRUDER_ORDERED,  /* by the watcher */
    INTRUDER_RUNNING,  /* by the engine, as the next two */
    INTRUDER_DONE,     /* waits for the watcher, which looks into its memory now */
    INTRUDER_SURVIVED, /* made a call that the filter was to end it for, and lives */
    INTRUDER_RELEASED, /* by the watcher: ends by a forbidden call, or by exit_group */
};

struct intruder_call {
    uint32_t round;
    int32_t number;
    uint64_t arguments[6];
    int64_t result; /* -errno where it failed */
};

#define INTRUDER_TRACE_MAX 8192
#define INTRUDER_LOOT_MAX (4u << 20)
#define INTRUDER_NUMBERS 512

struct intruder_arena {
    char magic[16];
    _Atomic uint32_t state;
    /* The order. */
    uint32_t round_first, round_count;
    uint32_t call_first, call_count; /* of each round only these are made; for a round that is made again in part */
    uint64_t seed;
    /* What the engine tells. */
    uint32_t round;
    uint32_t unreadable; /* 1: the filter has an instruction that the engine does not understand */
    _Atomic uint64_t made;
    uint64_t kept_back;                   /* calls that would have ended the worker, by the filter's own program */
    uint64_t obeyed;                      /* calls that did not fail */
    uint8_t tried[INTRUDER_NUMBERS / 8];  /* which numbers were drawn, made or kept back */
    uint64_t all_shared, all_shared_size; /* memory that all workers share */
    uint64_t own_shared, own_shared_size;
    int64_t final_number; /* the forbidden call at the end */
    uint64_t trace_at;    /* calls in the trace, of which the last INTRUDER_TRACE_MAX are kept */
    struct intruder_call trace[INTRUDER_TRACE_MAX];
    uint64_t loot_at;
    uint8_t loot[INTRUDER_LOOT_MAX]; /* the beginnings of all that was read */
};

struct worker_setup;

/*
 * Reads where the decoys are (image-tests/breach/attempt.h), in the supervisor while it still can; workers inherit it.
 * Returns false, with the reason in attempt_reason, when that cannot be read.
 */
bool engine_read_surroundings(void);

/*
 * Makes the arena, in a worker that has not given up its power yet. Without memory there is none, and the worker is not
 * used.
 */
void engine_prepare(const struct worker_setup *setup);

/* Whenever the worker itself sends something: what it asks the key process can be asked again, with changes. */
void engine_hear(int descriptor, const void *message, size_t size);

/*
 * At each turn of the event loop, whose epoll instance it is told: does what is ordered, if anything. Does not return
 * then.
 */
void engine_look(int events);
