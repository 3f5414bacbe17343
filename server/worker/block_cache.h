/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Memory that every connection allocates and soon frees, wolfSSL's included. musl would return much of it to the kernel
 * and request it again for the next connection. For one thread.
 *
 * Sizes are rounded up to a class, of which there are eight between a power of two and the next. Freed blocks wait in
 * the list of their class, up to a bound. Each block has a header before it, which says its class and whether it is in
 * use: so a double free ends the process, as with musl, and so does a free of what is no block.
 *
 * Freed blocks are overwritten with zeroes, so data of one client never reaches the next.
 */

#include <stddef.h>

#define BLOCK_CACHE_TOTAL 262144 /* bytes of all cached blocks, at most, headers included */
#define BLOCK_CACHE_MOST 32768   /* bytes; larger blocks are rare and not cached */

/*
 * As malloc(3), calloc(3) of one, realloc(3) and free(3), aligned like those. Blocks must not be mixed with those of
 * malloc(3). A size of 0 is a block, too.
 */
void *block_cache_take(size_t size);
void *block_cache_take_zeroed(size_t size);
void *block_cache_resize(void *block, size_t size);
void block_cache_give(void *block);

/* Returns how many bytes are cached, headers included. */
size_t block_cache_cached(void);
