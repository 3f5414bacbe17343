/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "block_cache.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static struct block {
    void *bytes;
    size_t size;
} blocks[BLOCK_CACHE_BLOCKS];
static size_t count, total;

/* The most recent block that is large enough, but not so large that it would be wasted. */
void *block_cache_take(size_t size) {
    if (size < BLOCK_CACHE_LEAST || size > BLOCK_CACHE_MOST)
        return malloc(size);
    for (size_t i = count; i-- > 0;) {
        if (blocks[i].size < size || blocks[i].size > size + size / 2)
            continue;
        struct block found = blocks[i];
        blocks[i] = blocks[--count];
        total -= found.size;
        return found.bytes;
    }
    return malloc(size);
}

void *block_cache_take_zeroed(size_t size) {
    void *bytes = block_cache_take(size);
    if (bytes)
        memset(bytes, 0, size);
    return bytes;
}

void block_cache_give(void *block) {
    size_t size = block ? malloc_usable_size(block) : 0;
    if (size < BLOCK_CACHE_LEAST || size > BLOCK_CACHE_MOST) { /* blocks of this size are never cached */
        free(block);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].bytes == block)
            abort();
    }
    if (count == BLOCK_CACHE_BLOCKS || size > BLOCK_CACHE_TOTAL - total) {
        free(block);
        return;
    }
    explicit_bzero(block, size);
    blocks[count++] = (struct block){block, size};
    total += size;
}

void *block_cache_resize(void *block, size_t size) {
    return realloc(block, size);
}
