/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "block_cache.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LEAST 32      /* bytes of the smallest class */
#define STEPS 8       /* classes between a power of two and the next, so at most a ninth of a block is wasted */
#define CLASSES 81    /* the last one is for BLOCK_CACHE_MOST bytes */
#define LARGE CLASSES /* not cached */

/* Both words say that it is a header, and which: neither is of a kind that memory has by chance. */
#define IN_USE 0x76b1c0de
#define CACHED 0x76b10ff0

/* Before each block. */
struct header {
    uint32_t state, class;
    union {
        size_t size;         /* of a block in use, as it was asked for */
        struct header *next; /* of a cached block: another one of its class */
    };
};

_Static_assert(sizeof(struct header) == 16 && _Alignof(max_align_t) <= 16, "blocks are aligned like those of malloc");
_Static_assert(LEAST << (CLASSES - 1) / STEPS == BLOCK_CACHE_MOST, "the last class");

static struct header *cached[CLASSES];
static size_t total;

/* The smallest class that the size fits into, or LARGE. */
static uint32_t class_of(size_t size) {
    if (size <= LEAST)
        return 0;
    if (size > BLOCK_CACHE_MOST)
        return LARGE;
    unsigned power = 31 - (unsigned)__builtin_clz((unsigned)size - 1); /* the largest one below the size */
    unsigned step = ((unsigned)size - 1) >> (power - 3) & (STEPS - 1);
    return (power - 5) * STEPS + step + 1;
}

static size_t room_of(uint32_t class) {
    return ((size_t)(STEPS + class % STEPS) * LEAST / STEPS) << class / STEPS;
}

/* The header of a block that is in use; of anything else, the process ends. */
static struct header *header_of(void *block) {
    struct header *header = (struct header *)block - 1;
    if (header->state != IN_USE || header->class > LARGE)
        abort();
    return header;
}

void *block_cache_take(size_t size) {
    uint32_t class = class_of(size);
    struct header *header = class < LARGE ? cached[class] : NULL;
    if (header) {
        if (header->state != CACHED || header->class != class)
            abort();
        cached[class] = header->next;
        total -= sizeof *header + room_of(class);
    } else {
        size_t room = class < LARGE ? room_of(class) : size;
        header = room <= SIZE_MAX - sizeof *header ? malloc(sizeof *header + room) : NULL;
    }
    if (!header)
        return NULL;
    *header = (struct header){.state = IN_USE, .class = class, .size = size};
    return header + 1;
}

void *block_cache_take_zeroed(size_t size) {
    void *block = block_cache_take(size);
    if (block)
        memset(block, 0, size);
    return block;
}

void block_cache_give(void *block) {
    if (!block)
        return;
    struct header *header = header_of(block);
    uint32_t class = header->class;
    explicit_bzero(block, header->size);
    header->state = CACHED;
    if (class == LARGE || sizeof *header + room_of(class) > BLOCK_CACHE_TOTAL - total) {
        free(header);
        return;
    }
    header->next = cached[class];
    cached[class] = header;
    total += sizeof *header + room_of(class);
}

void *block_cache_resize(void *block, size_t size) {
    if (!block)
        return block_cache_take(size);
    struct header *header = header_of(block);
    if (header->class < LARGE && class_of(size) == header->class) {
        if (size < header->size)
            explicit_bzero((uint8_t *)block + size, header->size - size);
        header->size = size;
        return block;
    }
    void *other = block_cache_take(size);
    if (other) {
        memcpy(other, block, size < header->size ? size : header->size);
        block_cache_give(block);
    }
    return other;
}

size_t block_cache_cached(void) {
    return total;
}
