/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "spare.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static struct block {
    void *bytes;
    size_t size;
} blocks[SPARE_BLOCKS];
static size_t count, total;

/* The latest that is large enough, and not so large that it would be wasted. */
void *spare_take(size_t size) {
    if (size < SPARE_LEAST || size > SPARE_MOST)
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

void *spare_take_zeroed(size_t size) {
    void *bytes = spare_take(size);
    if (bytes)
        memset(bytes, 0, size);
    return bytes;
}

void spare_give(void *block) {
    size_t size = block ? malloc_usable_size(block) : 0;
    if (size < SPARE_LEAST || size > SPARE_MOST) { /* none of this size is ever kept */
        free(block);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].bytes == block)
            abort();
    }
    if (count == SPARE_BLOCKS || size > SPARE_TOTAL - total) {
        free(block);
        return;
    }
    explicit_bzero(block, size);
    blocks[count++] = (struct block){block, size};
    total += size;
}

void *spare_resize(void *block, size_t size) {
    return realloc(block, size);
}
