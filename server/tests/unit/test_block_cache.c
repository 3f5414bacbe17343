/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "worker/block_cache.h"

static bool is_zero(const unsigned char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

Test(block_cache, what_was_given_back_comes_again_without_its_content) {
    static const size_t sizes[] = {BLOCK_CACHE_LEAST, 1000, 1808, 16500, BLOCK_CACHE_MOST - 64};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *first = block_cache_take(sizes[i]);
        memset(first, 's', sizes[i]);
        block_cache_give(first);
        unsigned char *second = block_cache_take(sizes[i]);
        cr_expect_eq(first, second, "%zu bytes", sizes[i]);
        cr_expect(is_zero(second, sizes[i]), "%zu bytes", sizes[i]);
        cr_expect_geq(malloc_usable_size(second), sizes[i]);
        free(second);
    }
}

Test(block_cache, a_block_fits) {
    void *large = block_cache_take(8000), *held = block_cache_take(8000);
    block_cache_give(large);
    void *small = block_cache_take(4000), *larger = block_cache_take(9000);
    cr_expect_neq(small, large, "half of it would be wasted");
    cr_expect_neq(larger, large, "it is too small");
    void *same = block_cache_take(7000);
    cr_expect_eq(same, large);
    block_cache_give(NULL);
    free(small), free(larger), free(same), free(held);
}

Test(block_cache, small_and_large_ones_do_not_stay) {
    static const size_t sizes[] = {1, BLOCK_CACHE_LEAST - 100, BLOCK_CACHE_MOST + 5000, 1 << 20};
    void *blocks[4];
    for (size_t i = 0; i < 4; i++) {
        blocks[i] = block_cache_take(sizes[i]);
        cr_assert(blocks[i]);
    }
    for (size_t i = 0; i < 4; i++)
        block_cache_give(blocks[i]); /* the sanitizers see whether they are freed */
}

/* However much is given back: no more than BLOCK_CACHE_TOTAL bytes and BLOCK_CACHE_BLOCKS blocks stay. */
Test(block_cache, what_stays_is_bounded) {
    static void *blocks[4 * BLOCK_CACHE_BLOCKS];
    static const size_t sizes[] = {20000, 512};
    for (size_t s = 0; s < 2; s++) {
        size_t again = 0;
        for (size_t i = 0; i < 4 * BLOCK_CACHE_BLOCKS; i++)
            cr_assert(blocks[i] = block_cache_take(sizes[s]));
        for (size_t i = 0; i < 4 * BLOCK_CACHE_BLOCKS; i++) {
            memset(blocks[i], 1, sizes[s]);
            block_cache_give(blocks[i]);
        }
        for (size_t i = 0; i < BLOCK_CACHE_BLOCKS; i++) {
            blocks[i] = block_cache_take_zeroed(sizes[s]);
            cr_expect(is_zero(blocks[i], sizes[s]));
        }
        for (size_t i = 0; i < BLOCK_CACHE_BLOCKS; i++) {
            again += malloc_usable_size(blocks[i]);
            free(blocks[i]);
        }
        cr_expect_geq(again, BLOCK_CACHE_BLOCKS * sizes[s]);
    }
}

/* What was taken again does not count any more, however often that happens. */
Test(block_cache, what_is_taken_again_makes_room) {
    void *block = block_cache_take(20000);
    for (int i = 0; i < 100; i++) {
        block_cache_give(block);
        void *again = block_cache_take(20000);
        cr_assert_eq(again, block, "round %d", i);
    }
    free(block);
}

Test(block_cache, what_is_given_back_twice_ends_the_process, .signal = SIGABRT) {
    void *block = block_cache_take(1000);
    block_cache_give(block);
    block_cache_give(block);
}
