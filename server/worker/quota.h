/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Limits for one client and for the prefixes of its address (client_address.h), over all workers together. Each worker
 * counts in a table of its own, which the others read; when a worker dies, its counts go with its table. Memory is
 * bounded: a group that finds no room in the table is not counted, but the limits for all connections still apply.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUOTA_SLOTS 8192 /* groups that one worker can count at once, of each kind */
#define QUOTA_GROUPS_MAX 3

/* What is limited per minute. */
enum quota_rate { QUOTA_HANDSHAKES, QUOTA_REQUESTS, QUOTA_RATES };

/* All zero: empty. In memory that all workers share; only its owner writes. */
struct quota_table {
    /* Most tables are idle. `open` and `spent` say so, because reading a table makes the kernel provide memory for it.
     */
    _Atomic uint64_t open;                            /* connections, counted in `connections` or not */
    _Atomic uint64_t wide;                            /* connections with a large send buffer (quota_widen) */
    _Atomic uint64_t spent;                           /* when something was last counted in `rates`, in milliseconds */
    _Atomic uint64_t connections[QUOTA_SLOTS];        /* 48 bits of the group's hash, 16 bits of count */
    uint32_t sums[QUOTA_SLOTS];                       /* sums of `connections` over all workers, for the owner only */
    _Atomic uint64_t rates[QUOTA_RATES][QUOTA_SLOTS]; /* 20 bits of the hash, 16 of the time, 28 of a level */
};

/* The tables of all workers, `stride` bytes apart. */
struct quota {
    const struct quota_table *first;
    size_t count, stride;
    struct quota_table *own;
    uint32_t rates_max[QUOTA_RATES]; /* for one client, per minute and at once; 0: no limit */
    uint64_t others;                 /* connections of the other workers, as quota_open has found them */
};

struct quota_group {
    uint64_t hash;            /* keyed, so that nobody can choose who shares a slot */
    uint32_t connections_max; /* at once; 0: no limit */
    uint16_t slot;            /* in our own table, or QUOTA_SLOTS; valid after quota_enter */
    uint8_t times;            /* how many times the rate of one client the group has */
};

/* The groups of addresses that a client belongs to, the narrowest first. */
struct quota_member {
    uint8_t count;
    bool rated;   /* rates are counted */
    bool entered; /* quota_leave must be called */
    struct quota_group groups[QUOTA_GROUPS_MAX];
};

/* A connection begins. Returns false if it would exceed the limit of one of its groups; then it is not counted. */
bool quota_enter(struct quota *quota, struct quota_member *member);

/* A connection ends. Does nothing if it has not entered, or has already left. */
void quota_leave(struct quota *quota, struct quota_member *member);

/*
 * Clears the connections of a worker that has ended, so that another can use its table. The rates stay: they belong to
 * the clients, and decrease with time.
 */
void quota_forget_connections(struct quota_table *table);

/* Returns how many connections all workers have. */
uint64_t quota_open(struct quota *quota);

/* The same, but counts those of the other workers as the last call of quota_open found them. */
uint64_t quota_open_lately(const struct quota *quota);

/*
 * Takes one of the places for connections with a large send buffer, of which there are BOUND_WIDE_CONNECTIONS for all
 * workers together. False: all are taken. If two workers ask for the last one at once, neither may get it.
 */
bool quota_widen(struct quota *quota);

/* Gives such a place back. */
void quota_narrow(struct quota *quota);

/*
 * Returns how much of the limits of its groups is taken: eighths of the fullest group, 0 to 8, as of the last time a
 * connection of that group entered in this worker or was weighed. Only after quota_enter.
 */
unsigned quota_load(const struct quota *quota, const struct quota_member *member);

/* Returns how many connections the largest of its groups has, as of the same time. */
unsigned quota_crowd(const struct quota *quota, const struct quota_member *member);

/* Updates how full the groups are. Only after quota_enter. */
void quota_weigh(struct quota *quota, const struct quota_member *member);

/*
 * Counts a handshake or a request. Returns 0; or, without counting it, the seconds until the next one is allowed. A
 * group may have as many at once as per minute. Half of what it used is forgiven in 30 seconds, and a group that
 * continues gets as many per minute as the limit says. now: milliseconds of a clock that all workers share.
 */
unsigned quota_spend(struct quota *quota, const struct quota_member *member, enum quota_rate rate, uint64_t now);
