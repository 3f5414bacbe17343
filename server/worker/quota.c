/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "quota.h"

#include <stdatomic.h>
#include <string.h>

#include "common/bounds.h"

#define WINDOW 16 /* slots in which a group may be, beginning at its hash */

static size_t place(uint64_t hash, size_t step) {
    return (size_t)((hash >> 32) + step) % QUOTA_SLOTS;
}

static uint64_t load(const _Atomic uint64_t *slot) {
    return atomic_load_explicit(slot, memory_order_relaxed);
}

static void store(_Atomic uint64_t *slot, uint64_t value) {
    atomic_store_explicit(slot, value, memory_order_relaxed);
}

static const struct quota_table *table(const struct quota *quota, size_t number) {
    return (const struct quota_table *)((const char *)quota->first + number * quota->stride);
}

/* ---- connections ---- */

#define COUNT_MAX UINT64_C(0xffff)

/* Returns the slot of a group, or a free one if the caller accepts that; QUOTA_SLOTS: neither. */
static size_t find(const _Atomic uint64_t *slots, uint64_t hash, bool or_free) {
    size_t free = QUOTA_SLOTS;
    for (size_t i = 0; i < WINDOW; i++) {
        size_t at = place(hash, i);
        uint64_t value = load(&slots[at]);
        if ((value & COUNT_MAX) == 0) {
            if (free == QUOTA_SLOTS)
                free = at;
        } else if ((value & ~COUNT_MAX) == (hash & ~COUNT_MAX)) {
            return at;
        }
    }
    return or_free ? free : QUOTA_SLOTS;
}

/*
 * Sets for each group of a member what all workers have counted for it. Goes through the tables once, and not once for
 * each group: most are idle, and the first look at a table is what takes time.
 */
static void count(const struct quota *quota, const struct quota_member *member, uint64_t sums[QUOTA_GROUPS_MAX]) {
    memset(sums, 0, QUOTA_GROUPS_MAX * sizeof *sums);
    for (size_t i = 0; i < quota->count; i++) {
        const struct quota_table *one = table(quota, i);
        for (size_t j = 0; j < member->count && load(&one->open) > 0; j++) {
            size_t at = find(one->connections, member->groups[j].hash, false);
            sums[j] += at < QUOTA_SLOTS ? load(&one->connections[at]) & COUNT_MAX : 0;
        }
    }
}

/* Returns where our own table stores the sum of all workers for a group; NULL: the group has no limit, or no slot. */
static uint32_t *noted(const struct quota *quota, const struct quota_group *group) {
    return group->connections_max > 0 && group->slot < QUOTA_SLOTS ? &quota->own->sums[group->slot] : NULL;
}

/* Notes what was counted for the groups of a member. */
static void note(const struct quota *quota, const struct quota_member *member, const uint64_t sums[QUOTA_GROUPS_MAX]) {
    for (size_t i = 0; i < member->count; i++) {
        uint32_t *sum = noted(quota, &member->groups[i]);
        if (sum)
            *sum = (uint32_t)sums[i];
    }
}

void quota_weigh(struct quota *quota, const struct quota_member *member) {
    uint64_t sums[QUOTA_GROUPS_MAX];
    count(quota, member, sums);
    note(quota, member, sums);
}

unsigned quota_load(const struct quota *quota, const struct quota_member *member) {
    uint64_t most = 0;
    for (size_t i = 0; i < member->count; i++) {
        const uint32_t *sum = noted(quota, &member->groups[i]);
        uint64_t part = sum ? *sum * UINT64_C(8) / member->groups[i].connections_max : 0;
        most = part > most ? part : most;
    }
    return most > 8 ? 8 : (unsigned)most;
}

unsigned quota_crowd(const struct quota *quota, const struct quota_member *member) {
    unsigned most = 0;
    for (size_t i = 0; i < member->count; i++) {
        const uint32_t *sum = noted(quota, &member->groups[i]);
        most = sum && *sum > most ? *sum : most;
    }
    return most;
}

bool quota_enter(struct quota *quota, struct quota_member *member) {
    uint64_t sums[QUOTA_GROUPS_MAX];
    count(quota, member, sums);
    for (size_t i = 0; i < member->count; i++) {
        uint32_t most = member->groups[i].connections_max;
        if (most > 0 && sums[i] >= most)
            return false;
    }
    for (size_t i = 0; i < member->count; i++) {
        uint64_t hash = member->groups[i].hash;
        size_t at = find(quota->own->connections, hash, true);
        uint64_t already = at < QUOTA_SLOTS ? load(&quota->own->connections[at]) & COUNT_MAX : 0;
        if (already == COUNT_MAX)
            at = QUOTA_SLOTS;
        if (at < QUOTA_SLOTS) {
            store(&quota->own->connections[at], (hash & ~COUNT_MAX) | (already + 1));
            sums[i]++;
        }
        member->groups[i].slot = (uint16_t)at;
    }
    store(&quota->own->open, load(&quota->own->open) + 1);
    member->entered = true;
    note(quota, member, sums);
    return true;
}

void quota_leave(struct quota *quota, struct quota_member *member) {
    if (!member->entered)
        return;
    for (size_t i = 0; i < member->count; i++) {
        size_t at = member->groups[i].slot;
        if (at < QUOTA_SLOTS)
            store(&quota->own->connections[at], load(&quota->own->connections[at]) - 1);
    }
    store(&quota->own->open, load(&quota->own->open) - 1);
    member->entered = false;
}

bool quota_widen(struct quota *quota) {
    uint64_t sum = 0;
    store(&quota->own->wide, load(&quota->own->wide) + 1);
    atomic_thread_fence(memory_order_seq_cst); /* whoever asks at the same time sees this one, or is seen */
    for (size_t i = 0; i < quota->count; i++)
        sum += load(&table(quota, i)->wide);
    if (sum > BOUND_WIDE_CONNECTIONS)
        quota_narrow(quota);
    return sum <= BOUND_WIDE_CONNECTIONS;
}

void quota_narrow(struct quota *quota) {
    store(&quota->own->wide, load(&quota->own->wide) - 1);
}

void quota_forget_connections(struct quota_table *table) {
    store(&table->open, 0);
    store(&table->wide, 0);
    memset((void *)(uintptr_t)table->connections, 0, sizeof table->connections);
    memset(table->sums, 0, sizeof table->sums);
}

uint64_t quota_open_lately(const struct quota *quota) {
    return quota->others + load(&quota->own->open);
}

uint64_t quota_open(struct quota *quota) {
    quota->others = 0;
    for (size_t i = 0; i < quota->count; i++)
        quota->others += table(quota, i) != quota->own ? load(&table(quota, i)->open) : 0;
    return quota_open_lately(quota);
}

/* ---- rates ---- */

/*
 * A level falls by half in HALF units of time, linearly in between. So levels can be added: the sum over all workers
 * falls as one level would, and each worker writes only its own table. A level that is kept full, and so always begins
 * to fall again, allows its limit per minute: 2 * HALF units are 59.4 s.
 */
#define LEVEL_BITS 28
#define LEVEL_MAX ((UINT64_C(1) << LEVEL_BITS) - 1)
#define FULL (UINT64_C(1) << 27)
#define TIME_BITS 16
#define TIME_MAX ((UINT64_C(1) << TIME_BITS) - 1)
#define UNIT 1024 /* milliseconds */
#define HALF 29
#define FORGOTTEN (UINT64_C(32) * HALF * UNIT) /* milliseconds after which every level is zero */

static uint64_t tag_of(uint64_t hash) {
    return hash & ~((UINT64_C(1) << (LEVEL_BITS + TIME_BITS)) - 1);
}

static bool is_for(uint64_t slot, uint64_t hash) {
    return tag_of(slot) == tag_of(hash);
}

/* Returns the level of a slot at this time. */
static uint64_t level_at(uint64_t slot, uint64_t time) {
    uint64_t level = slot & LEVEL_MAX, past = (time - (slot >> LEVEL_BITS)) & TIME_MAX;
    if (past / HALF >= LEVEL_BITS)
        return 0;
    level >>= past / HALF;
    return level - level * (past % HALF) / (2ull * HALF);
}

static uint64_t level_of(const _Atomic uint64_t *slots, uint64_t hash, uint64_t time) {
    for (size_t i = 0; i < WINDOW; i++) {
        uint64_t slot = load(&slots[place(hash, i)]);
        if (is_for(slot, hash))
            return level_at(slot, time);
    }
    return 0;
}

/* Adds to the level of a group. If all its slots are taken, replaces the one with the lowest level. */
static void raise_level(_Atomic uint64_t *slots, uint64_t hash, uint64_t time, uint64_t by) {
    size_t lowest = place(hash, 0);
    for (size_t i = 0; i < WINDOW; i++) {
        size_t at = place(hash, i);
        if (is_for(load(&slots[at]), hash)) {
            lowest = at;
            by += level_at(load(&slots[at]), time);
            break;
        }
        if (level_at(load(&slots[at]), time) < level_at(load(&slots[lowest]), time))
            lowest = at;
    }
    by = by < LEVEL_MAX ? by : LEVEL_MAX;
    store(&slots[lowest], tag_of(hash) | (time & TIME_MAX) << LEVEL_BITS | by);
}

/* Sets the level of each group of a member, over all workers: see `count`. */
static void measure(const struct quota *quota, const struct quota_member *member, enum quota_rate rate, uint64_t now,
                    uint64_t levels[QUOTA_GROUPS_MAX]) {
    memset(levels, 0, QUOTA_GROUPS_MAX * sizeof *levels);
    for (size_t i = 0; i < quota->count; i++) {
        const struct quota_table *other = table(quota, i);
        uint64_t spent = load(&other->spent);
        for (size_t j = 0; j < member->count && spent > 0 && now < spent + FORGOTTEN; j++)
            levels[j] += level_of(other->rates[rate], member->groups[j].hash, now / UNIT);
    }
}

/* Returns after how many seconds a group with this level may continue, with an eighth of its limit free; 0: now. */
static unsigned seconds_to_wait(uint64_t level, uint64_t one) {
    if (level + one <= FULL)
        return 0;
    return (unsigned)((level + one + FULL / 8 - FULL) * 60 / level) + 1;
}

unsigned quota_spend(struct quota *quota, const struct quota_member *member, enum quota_rate rate, uint64_t now) {
    uint64_t one[QUOTA_GROUPS_MAX], levels[QUOTA_GROUPS_MAX];
    if (quota->rates_max[rate] == 0 || !member->rated)
        return 0;
    measure(quota, member, rate, now, levels);
    for (size_t i = member->count; i-- > 0;) {
        one[i] = FULL / ((uint64_t)quota->rates_max[rate] * member->groups[i].times);
        unsigned seconds = seconds_to_wait(levels[i], one[i]);
        if (seconds > 0)
            return seconds;
    }
    for (size_t i = 0; i < member->count; i++)
        raise_level(quota->own->rates[rate], member->groups[i].hash, now / UNIT, one[i]);
    store(&quota->own->spent, now > 0 ? now : 1);
    return 0;
}
