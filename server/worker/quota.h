/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * How much one client, and the prefixes that its address lies in (client_address.h), may take of all workers together.
 * Each worker counts in a table of its own, which the others read; what a worker that died had counted goes with its
 * table. Memory is bounded: a group that finds no room in the table is not counted, and the bounds for all connections
 * still hold.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUOTA_SLOTS 8192 /* groups that one worker can count at once, of each kind */
#define QUOTA_GROUPS_MAX 3

/* What is bounded in a minute. */
enum quota_rate { QUOTA_HANDSHAKES, QUOTA_REQUESTS, QUOTA_RATES };

/* All zero: empty. In memory that all workers share; only its owner writes. */
struct quota_table {
    /* Most tables are idle. These say so, because to look into one makes the system provide memory for it. */
    _Atomic uint64_t open;                            /* connections, counted in `connections` or not */
    _Atomic uint64_t spent;                           /* when something was last counted in `rates`, in milliseconds */
    _Atomic uint64_t connections[QUOTA_SLOTS];        /* 48 bits of the group's hash, 16 bits of count */
    uint32_t sums[QUOTA_SLOTS];                       /* of `connections`: what all workers have, for the owner alone */
    _Atomic uint64_t rates[QUOTA_RATES][QUOTA_SLOTS]; /* 20 bits of the hash, 16 of the time, 28 of a level */
};

/* The tables of all workers, `stride` bytes apart. */
struct quota {
    const struct quota_table *first;
    size_t count, stride;
    struct quota_table *own;
    uint32_t rates_max[QUOTA_RATES]; /* of one client in a minute, as many of them at once; 0: no limit */
};

struct quota_group {
    uint64_t hash;            /* keyed, so that nobody can choose who shares a slot */
    uint32_t connections_max; /* at once; 0: no limit */
    uint16_t slot;            /* in the own table, or QUOTA_SLOTS; of one that has entered */
    uint8_t times;            /* how many times the rate of one client the group may have */
};

/* What a client belongs to: groups of addresses, the narrowest first. */
struct quota_member {
    uint8_t count;
    bool rated;   /* rates are counted */
    bool entered; /* quota_leave is due */
    struct quota_group groups[QUOTA_GROUPS_MAX];
};

/* A connection begins. Returns false when it would be one too many in one of its groups; it is not counted then. */
bool quota_enter(struct quota *quota, struct quota_member *member);

/* A connection ends. Nothing happens to one that has not entered, or has left. */
void quota_leave(struct quota *quota, struct quota_member *member);

/*
 * Forgets the connections of a worker that has ended, so that its table can be another's. What was counted in a minute
 * stays: it is the clients', and sinks by itself.
 */
void quota_forget_connections(struct quota_table *table);

/* How many connections all workers have. */
uint64_t quota_open(const struct quota *quota);

/*
 * How much of what its groups may have is taken: eighths of the fullest one, 0 to 8, as it was when a connection of
 * that group last entered in this worker, or was weighed. For one that has entered.
 */
unsigned quota_load(const struct quota *quota, const struct quota_member *member);

/* How many connections the largest of its groups has; likewise. */
unsigned quota_crowd(const struct quota *quota, const struct quota_member *member);

/* Finds out anew how full the groups are. For one that has entered. */
void quota_weigh(struct quota *quota, const struct quota_member *member);

/*
 * A handshake or a request. Returns 0, or after how many seconds the next one is welcome; that one is not counted.
 * A group may have as many at once as in a minute. What it had is forgiven by half in 30 seconds, and a
 * group that goes on has as many in a minute as the limit says.
 * now: milliseconds of a clock that all workers share.
 */
unsigned quota_spend(struct quota *quota, const struct quota_member *member, enum quota_rate rate, uint64_t now);
