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
#define INTRUDER_OLD_FILTER "filter=old\n"                  /* this content of the file restores the old filter */
#define INTRUDER_CONTENT_MARK "words-of-the-content-7d31c9" /* in every page that the test serves, nowhere else */

enum intruder_state {
    INTRUDER_IDLE,
    INTRUDER_ORDERED,  /* set by the watcher */
    INTRUDER_RUNNING,  /* set by the engine, like the next two */
    INTRUDER_DONE,     /* waits while the watcher inspects its memory */
    INTRUDER_SURVIVED, /* made a call for which the filter should have ended it, but lives */
    INTRUDER_RELEASED, /* set by the watcher: the engine ends by a forbidden call, or by exit_group */
};

struct intruder_call {
    uint32_t round;
    int32_t number;
    uint64_t arguments[6];
    int64_t result; /* -errno if it failed */
};

#define INTRUDER_TRACE_MAX 8192
#define INTRUDER_LOOT_MAX (4u << 20)
#define INTRUDER_NUMBERS 512

struct intruder_arena {
    char magic[16];
    _Atomic uint32_t state;
    /* The watcher's order. */
    uint32_t round_first, round_count;
    uint32_t call_first, call_count; /* makes only these calls of each round, to repeat a round in part */
    uint64_t seed;
    /* The engine's report. */
    uint32_t round;
    uint32_t unreadable; /* 1: the filter has an instruction that the engine does not understand */
    _Atomic uint64_t made;
    uint64_t kept_back;                   /* calls not made, because the filter would end the worker */
    uint64_t obeyed;                      /* calls that succeeded */
    uint8_t tried[INTRUDER_NUMBERS / 8];  /* which numbers were drawn, whether made or not */
    uint64_t all_shared, all_shared_size; /* memory that all workers share */
    uint64_t own_shared, own_shared_size;
    int64_t final_number; /* the forbidden call at the end */
    uint64_t trace_at;    /* calls traced so far, of which the last INTRUDER_TRACE_MAX are kept */
    struct intruder_call trace[INTRUDER_TRACE_MAX];
    uint64_t loot_at;
    uint8_t loot[INTRUDER_LOOT_MAX]; /* the beginnings of everything that was read */
};

struct worker_setup;

/*
 * Reads where the decoys are (image-tests/breach/attempt.h), in the supervisor while it still can; workers inherit the
 * result. Returns false, with the reason in attempt_reason, if that fails.
 */
bool engine_read_surroundings(void);

/*
 * Makes the arena, in a worker that has not entered its sandbox yet. If there is no memory, the worker has no arena and
 * is not used.
 */
void engine_prepare(const struct worker_setup *setup);

/* Called when the worker itself sends something, so that the engine can repeat its questions to the key process with
 * changes. */
void engine_hear(int descriptor, const void *message, size_t size);

/*
 * Called in each turn of the event loop, with its epoll instance. If there is an order, carries it out and does not
 * return.
 */
void engine_look(int events);
