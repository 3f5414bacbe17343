/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What a worker keeps of the content folder from one request to the next: parsed metadata (metadata.h) and small pages
 * (page_cache.h). This part only manages the memory; its users check whether a thing is still valid. For one thread.
 *
 * All things together use a limited amount of memory. If there is no space, the owner whose things use the most loses
 * its least recently used one. So an author with many files affects only that author's capsule.
 */

#include <stddef.h>
#include <stdint.h>

#define KEPT_MOST 1024 /* things, at most */
/*
 * How long a thing is kept, even if nothing shows that it has changed: a write through mmap(2) may leave no sign. A
 * page may be made with metadata of that age, so such a change of metadata takes effect after twice this time at most.
 */
#define KEPT_SECONDS 5

enum kept_kind { KEPT_METADATA, KEPT_PAGE };

/* Drops everything. From now on, things may use `most` bytes; 0, as at the start, means that nothing is kept. */
void kept_open(size_t most);

/* Returns the owner for this text (the name of a capsule). */
uint64_t kept_owner(const char *text, size_t length);

/*
 * Returns the thing with this key, which stays valid until the next call of kept_make, kept_drop or kept_open; or NULL.
 * key: `length` bytes.
 */
void *kept_find(enum kept_kind kind, const void *key, size_t length);

/*
 * Allocates a thing of `size` bytes, replacing one with that key. more: additional bytes that it owns. dispose: frees
 * those; NULL if it owns nothing. Returns zeroed memory, valid as from kept_find, or NULL if nothing is kept, the thing
 * is too large, or there is no memory.
 */
void *kept_make(enum kept_kind kind, const void *key, size_t length, uint64_t owner, size_t size, size_t more,
                void (*dispose)(void *thing));

/* Drops a thing. */
void kept_drop(void *thing);

/* Returns the bytes that all things count for. */
size_t kept_total(void);
