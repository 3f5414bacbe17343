/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "random.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

/*
 * `left` is in the wiped page, too: after a fork it is 0, so the pool is empty. A handshake takes about 100 bytes, so a
 * pool of this size saves most system calls and contains little that an attacker could find later.
 */
struct pool {
    size_t left;
    unsigned char bytes[1024];
};

static struct pool *pool;

int random_open(void) {
    if (pool)
        return 0;
    void *memory = mmap(NULL, sizeof *pool, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    if (madvise(memory, sizeof *pool, MADV_WIPEONFORK) < 0) {
        int result = -errno;
        munmap(memory, sizeof *pool);
        return result;
    }
    /* Unused bytes are as secret as a key: they must be neither in a dump nor in swap. Both calls are best effort. */
    madvise(memory, sizeof *pool, MADV_DONTDUMP);
    mlock(memory, sizeof *pool);
    pool = memory;
    return 0;
}

static bool fetch(unsigned char *output, size_t size) {
    while (size > 0) {
        ssize_t got = getrandom(output, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        output += got;
        size -= (size_t)got;
    }
    return true;
}

int vitrine_random_block(unsigned char *output, unsigned int size) {
    if (!pool || size > sizeof pool->bytes)
        return fetch(output, size) ? 0 : -1;
    if (pool->left < size) {
        if (!fetch(pool->bytes, sizeof pool->bytes))
            return -1;
        pool->left = sizeof pool->bytes;
    }
    unsigned char *taken = pool->bytes + pool->left - size;
    memcpy(output, taken, size);
    explicit_bzero(taken, size);
    pool->left -= size;
    return 0;
}
