/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What a worker keeps of the content folder from one request to the next: parsed metadata (metadata.h) and small pages
 * (page_cache.h). This is only the memory for it: who keeps a thing checks whether it is still true. For one thread.
 *
 * All things together take a bounded amount of memory. When there is no room, the owner whose things take the most
 * gives up the one that was not used for the longest time. So an author with many files loses his own things, and those
 * of other capsules stay.
 */

#include <stddef.h>
#include <stdint.h>

#define KEPT_MOST 1024 /* things, at most */
#define KEPT_SECONDS 5 /* how long a thing is kept, even if nothing shows that it has changed */

enum kept_kind { KEPT_METADATA, KEPT_PAGE };

/* Drops everything. From now on, things may take `most` bytes; 0, as at the start: nothing is kept. */
void kept_open(size_t most);

/* Returns the owner that this text (the name of a capsule) stands for. */
uint64_t kept_owner(const char *text, size_t length);

/*
 * Returns the thing with this key, which stays valid until the next call of kept_make, kept_drop or kept_open; or NULL.
 * key: `length` bytes.
 */
void *kept_find(enum kept_kind kind, const void *key, size_t length);

/*
 * Makes room for a thing of `size` bytes, in place of an earlier one with that key. more: bytes that it owns besides.
 * dispose: frees those; NULL if it owns nothing. Returns zeroed memory, valid as from kept_find, or NULL: nothing is
 * kept, the thing is too large, or there is no memory.
 */
void *kept_make(enum kept_kind kind, const void *key, size_t length, uint64_t owner, size_t size, size_t more,
                void (*dispose)(void *thing));

/* Drops a thing. */
void kept_drop(void *thing);

/* Returns the bytes that all things count for. */
size_t kept_total(void);
