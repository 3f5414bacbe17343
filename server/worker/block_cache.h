/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A cache for memory that every connection allocates and soon frees. musl would return it to the kernel and request it
 * again for the next connection: four mmap, four munmap and their page faults for a visit, an eighth of its processor
 * time. For one thread.
 *
 * Freed blocks are overwritten with zeroes, so data of one client never reaches the next. A double free ends the
 * process, as with musl.
 */

#include <stddef.h>

#define BLOCK_CACHE_BLOCKS 64    /* cached blocks, at most */
#define BLOCK_CACHE_TOTAL 262144 /* bytes of all cached blocks, at most */
#define BLOCK_CACHE_LEAST 256    /* bytes; musl handles smaller blocks well enough */
#define BLOCK_CACHE_MOST 32768   /* bytes; larger blocks are rare */

/* As malloc(3), calloc(3) of one, realloc(3) and free(3); they may be mixed with those. */
void *block_cache_take(size_t size);
void *block_cache_take_zeroed(size_t size);
void *block_cache_resize(void *block, size_t size);
void block_cache_give(void *block);
