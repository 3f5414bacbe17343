/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kept.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/hash.h"

#define SHARE_MOST 4 /* a thing takes at most this part of the memory */
#define HEAP_EXTRA 4 /* a block of the heap takes up to this part more than was asked for */

/* A thing, followed by its bytes and its key. */
struct item {
    enum kept_kind kind;
    size_t size, length, cost; /* of the thing, of the key; bytes that it counts for */
    size_t owner;              /* its place in `owners` */
    time_t made;
    uint64_t used; /* the number of its last use */
    void (*dispose)(void *thing);
    _Alignas(16) unsigned char bytes[];
};

struct owner {
    uint64_t id;
    size_t items, cost;
};

/* hashes[i] is that of items[i]: searching needs no look at the items themselves. */
static uint64_t hashes[KEPT_MOST];
static struct item *items[KEPT_MOST];
static struct owner owners[KEPT_MOST]; /* a place is free if it has no items */
static size_t count, total, limit;
static uint64_t uses;

uint64_t kept_owner(const char *text, size_t length) {
    return hash_bytes(HASH_START, text, length);
}

static void drop_at(size_t place) {
    struct item *item = items[place];
    owners[item->owner].items--;
    owners[item->owner].cost -= item->cost;
    total -= item->cost;
    hashes[place] = hashes[--count];
    items[place] = items[count];
    if (item->dispose)
        item->dispose(item->bytes);
    free(item);
}

void kept_drop(void *thing) {
    for (size_t i = 0; i < count; i++) {
        if (items[i]->bytes == thing) {
            drop_at(i);
            return;
        }
    }
}

void kept_open(size_t most) {
    while (count > 0)
        drop_at(count - 1);
    limit = most;
}

/* Returns the index of a thing, or `count`. If somebody causes equal hashes, this is only a little slower. */
static size_t place_of(enum kept_kind kind, const void *key, size_t length) {
    uint64_t wanted = hash_bytes(HASH_START + kind, key, length);
    for (size_t i = 0; i < count; i++) {
        const struct item *item = items[i];
        if (hashes[i] == wanted && item->kind == kind && item->length == length &&
            memcmp(item->bytes + item->size, key, length) == 0)
            return i;
    }
    return count;
}

void *kept_find(enum kept_kind kind, const void *key, size_t length) {
    size_t place = count > 0 ? place_of(kind, key, length) : 0;
    if (place == count)
        return NULL;
    time_t now = time(NULL);
    struct item *item = items[place];
    /* If the clock was set back, it counts as old, too. */
    if (now < item->made || now - item->made >= KEPT_SECONDS) {
        drop_at(place);
        return NULL;
    }
    item->used = ++uses;
    return item->bytes;
}

/* Returns the index of an owner, or a free one if it owns nothing. */
static size_t owner_of(uint64_t id) {
    size_t free_place = 0;
    for (size_t i = 0; i < KEPT_MOST; i++) {
        if (owners[i].items > 0 && owners[i].id == id)
            return i;
        if (owners[i].items == 0)
            free_place = i;
    }
    return free_place;
}

/* Finds the owner with the most, including what `owner` is about to get, and drops its least recently used thing. */
static void drop_one(uint64_t owner, size_t cost) {
    size_t richest = owner_of(owner), most = (owners[richest].items > 0 ? owners[richest].cost : 0) + cost;
    bool has_one = owners[richest].items > 0;
    for (size_t i = 0; i < KEPT_MOST; i++) {
        if (owners[i].items > 0 && (!has_one || owners[i].cost > most)) {
            richest = i;
            most = owners[i].cost;
            has_one = true;
        }
    }
    size_t oldest = count;
    for (size_t i = 0; i < count; i++) {
        if (items[i]->owner == richest && (oldest == count || items[i]->used < items[oldest]->used))
            oldest = i;
    }
    drop_at(oldest);
}

void *kept_make(enum kept_kind kind, const void *key, size_t length, uint64_t owner, size_t size, size_t more,
                void (*dispose)(void *thing)) {
    size_t cost = sizeof(struct item) + size + length + more;
    cost += cost / HEAP_EXTRA;
    if (cost > limit / SHARE_MOST)
        return NULL;
    /* Many tiny things use up slots, if not memory. */
    if (cost < limit / KEPT_MOST)
        cost = limit / KEPT_MOST;
    size_t place = place_of(kind, key, length);
    if (place < count)
        drop_at(place);
    while (count == KEPT_MOST || total + cost > limit)
        drop_one(owner, cost);
    struct item *item = calloc(1, sizeof *item + size + length);
    if (!item)
        return NULL;
    *item = (struct item){kind, size, length, cost, owner_of(owner), time(NULL), ++uses, dispose};
    memcpy(item->bytes + size, key, length);
    owners[item->owner].id = owner;
    owners[item->owner].items++;
    owners[item->owner].cost += cost;
    hashes[count] = hash_bytes(HASH_START + kind, key, length);
    items[count++] = item;
    total += cost;
    return item->bytes;
}

size_t kept_total(void) {
    return total;
}
