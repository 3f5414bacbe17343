/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secret.h"

#include <string.h>
#include <sys/mman.h>

#define AREA 65536u   /* bytes that small blocks are cut from */
#define SMALLEST 128u /* bytes; the next sizes are twice as large each */
#define SIZES 6u
#define LARGEST (SMALLEST << (SIZES - 1)) /* larger blocks have pages of their own */

/* A block that is free. The rest of it is all zero. */
struct block {
    struct block *next;
};

static struct block *available[SIZES];

static void *map(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, size, MADV_DONTDUMP);
    madvise(memory, size, MADV_WIPEONFORK);
    mlock(memory, size);
    return memory;
}

/* Returns the index of the smallest size that has room; the bytes of it go to *size. */
static size_t size_for(size_t *size) {
    size_t at = 0, bytes = SMALLEST;
    for (; bytes < *size; bytes *= 2)
        at++;
    *size = bytes;
    return at;
}

/* Cuts a new area into blocks of one size. */
static void cut(size_t at, size_t bytes) {
    char *area = map(AREA);
    for (size_t from = AREA; area && from >= bytes; from -= bytes) {
        struct block *block = (void *)(area + from - bytes);
        block->next = available[at];
        available[at] = block;
    }
}

void *secret_take(size_t size) {
    if (size > LARGEST)
        return map(size);
    size_t at = size_for(&size);
    if (!available[at])
        cut(at, size);
    struct block *block = available[at];
    if (!block)
        return NULL;
    available[at] = block->next;
    block->next = NULL;
    return block;
}

void secret_give(void *block, size_t size) {
    if (!block)
        return;
    explicit_bzero(block, size);
    if (size > LARGEST) {
        munmap(block, size);
        return;
    }
    struct block *given = block;
    size_t at = size_for(&size);
    given->next = available[at];
    available[at] = given;
}
