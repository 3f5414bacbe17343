/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * How much one subscriber (address.h) may take of all workers together. Each worker counts in a table of its own, which
 * the others read: what a worker that dies had counted goes with its table. Memory is bounded: who finds no room in the
 * table is not counted, and the bounds for all still hold.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUOTA_SLOTS 8192 /* subscribers that one worker can count at once */

/* All zero: empty. In memory that all workers share; only its owner writes. */
struct quota_table {
    /* Most tables are idle. These say so, because to look into one makes the system provide memory for it. */
    _Atomic uint64_t open;                     /* connections counted in it */
    _Atomic uint64_t minute;                   /* in which the last request was counted */
    _Atomic uint64_t connections[QUOTA_SLOTS]; /* 48 bits of the subscriber's hash, 16 bits of count */
    _Atomic uint64_t requests[QUOTA_SLOTS];    /* 32 bits of the hash, 16 of the minute, 16 of count */
};

/* The tables of all workers, `stride` bytes apart. */
struct quota {
    const struct quota_table *first;
    size_t count, stride;
    struct quota_table *own;
    uint32_t connections_max, requests_max; /* for one subscriber; requests in a minute; 0: no limit */
};

/*
 * A connection from this subscriber begins. Returns false when it would be one too many; it is not counted then.
 * subscriber: a keyed hash, so that nobody can choose who shares a slot.
 */
bool quota_enter(struct quota *quota, uint64_t subscriber);

/* A connection that was counted ends. */
void quota_leave(struct quota *quota, uint64_t subscriber);

/*
 * A request of this subscriber. Returns 0, or after how many seconds the next one is welcome.
 * now: milliseconds of a clock that all workers share.
 */
unsigned quota_ask(struct quota *quota, uint64_t subscriber, uint64_t now);
