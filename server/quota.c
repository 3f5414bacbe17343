/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "quota.h"

#include <stdatomic.h>

#define WINDOW 16 /* slots in which a subscriber may be found, from where its hash points to */
#define COUNT_BITS 16
#define COUNT_MAX ((UINT64_C(1) << COUNT_BITS) - 1)

static uint64_t count_of(uint64_t slot) {
    return slot & COUNT_MAX;
}

static size_t place(uint64_t key, size_t step) {
    return (size_t)((key >> 32) + step) % QUOTA_SLOTS; /* where both kinds of keys have the hash */
}

/* What one table has counted for a key, whose count bits are zero. */
static uint64_t look_up(const _Atomic uint64_t *slots, uint64_t key) {
    for (size_t i = 0; i < WINDOW; i++) {
        uint64_t slot = atomic_load_explicit(&slots[place(key, i)], memory_order_relaxed);
        if ((slot & ~COUNT_MAX) == key && count_of(slot) > 0)
            return count_of(slot);
    }
    return 0;
}

/* The slot of a key in the own table, else one that is free; NULL: neither. */
static _Atomic uint64_t *find(_Atomic uint64_t *slots, uint64_t key, bool (*is_free)(uint64_t slot, uint64_t key)) {
    _Atomic uint64_t *free = NULL;
    for (size_t i = 0; i < WINDOW; i++) {
        _Atomic uint64_t *slot = &slots[place(key, i)];
        uint64_t value = atomic_load_explicit(slot, memory_order_relaxed);
        if ((value & ~COUNT_MAX) == key)
            return slot;
        if (!free && is_free(value, key))
            free = slot;
    }
    if (free)
        atomic_store_explicit(free, key, memory_order_relaxed);
    return free;
}

static void add(_Atomic uint64_t *slot) {
    uint64_t value = atomic_load_explicit(slot, memory_order_relaxed);
    if (count_of(value) < COUNT_MAX)
        atomic_store_explicit(slot, value + 1, memory_order_relaxed);
}

static const struct quota_table *table(const struct quota *quota, size_t number) {
    return (const struct quota_table *)((const char *)quota->first + number * quota->stride);
}

/* ---- connections ---- */

static bool is_empty(uint64_t slot, uint64_t key) {
    (void)key;
    return count_of(slot) == 0;
}

bool quota_enter(struct quota *quota, uint64_t subscriber) {
    uint64_t key = subscriber & ~COUNT_MAX, sum = 0;
    for (size_t i = 0; quota->connections_max > 0 && i < quota->count; i++) {
        if (table(quota, i)->open > 0)
            sum += look_up(table(quota, i)->connections, key);
    }
    if (quota->connections_max > 0 && sum >= quota->connections_max)
        return false;
    _Atomic uint64_t *slot = find(quota->own->connections, key, is_empty);
    if (slot) {
        quota->own->open++;
        add(slot);
    }
    return true;
}

void quota_leave(struct quota *quota, uint64_t subscriber) {
    uint64_t key = subscriber & ~COUNT_MAX;
    for (size_t i = 0; i < WINDOW; i++) {
        _Atomic uint64_t *slot = &quota->own->connections[place(key, i)];
        uint64_t value = atomic_load_explicit(slot, memory_order_relaxed);
        if ((value & ~COUNT_MAX) == key && count_of(value) > 0) {
            atomic_store_explicit(slot, value - 1, memory_order_relaxed);
            quota->own->open--;
            return;
        }
    }
}

/* ---- requests ---- */

#define MINUTE_BITS UINT64_C(0xffff0000)

/* A slot of another minute counts for nothing any more. */
static bool is_past(uint64_t slot, uint64_t key) {
    return count_of(slot) == 0 || ((slot ^ key) & MINUTE_BITS) != 0;
}

unsigned quota_ask(struct quota *quota, uint64_t subscriber, uint64_t now) {
    if (quota->requests_max == 0)
        return 0;
    uint64_t minute = now / 60000, sum = 0;
    uint64_t key = (subscriber & ~(MINUTE_BITS | COUNT_MAX)) | (minute << COUNT_BITS & MINUTE_BITS);
    for (size_t i = 0; i < quota->count; i++) {
        if (table(quota, i)->minute == minute)
            sum += look_up(table(quota, i)->requests, key);
    }
    if (sum >= quota->requests_max)
        return (unsigned)(60 - now / 1000 % 60);
    _Atomic uint64_t *slot = find(quota->own->requests, key, is_past);
    quota->own->minute = minute;
    if (slot)
        add(slot);
    return 0;
}
