/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Memory that every connection needs anew and soon gives back: some of it stays at hand, where musl would return it to
 * the kernel and ask for it again at the next connection. That was four mmap, four munmap and their page faults for a
 * visit, an eighth of its processor time. For one thread.
 *
 * What is given back is overwritten with zeroes, so nothing of one client is ever there for the next; what is given
 * back twice ends the process, as with musl.
 */

#include <stddef.h>

#define BLOCK_CACHE_BLOCKS 64    /* that stay at hand, at most */
#define BLOCK_CACHE_TOTAL 262144 /* bytes that they have together, at most */
#define BLOCK_CACHE_LEAST 256    /* bytes; musl keeps smaller ones together well enough */
#define BLOCK_CACHE_MOST 32768   /* bytes; larger ones are rare */

/* As malloc(3), calloc(3) of one, realloc(3) and free(3); they may be mixed with those. */
void *block_cache_take(size_t size);
void *block_cache_take_zeroed(size_t size);
void *block_cache_resize(void *block, size_t size);
void block_cache_give(void *block);
