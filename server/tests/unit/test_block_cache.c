/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool is_all(const unsigned char *bytes, unsigned char value, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != value)
            return false;
    }
    return true;
}

/* What goes back to malloc is looked at first: `watched` bytes behind the header. */
static size_t watched;
static bool was_zeroed;

static void look_and_free(void *memory) {
    if (watched > 0)
        was_zeroed = is_all((unsigned char *)memory + 16, 0, watched);
    free(memory);
}

/* Its own functions, beside those of the program that is linked. */
#define block_cache_take test_take
#define block_cache_take_zeroed test_take_zeroed
#define block_cache_resize test_resize
#define block_cache_give test_give
#define block_cache_cached test_cached
#define free look_and_free
#include "worker/block_cache.c"
#undef free

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(block_cache, what_was_given_back_comes_again_without_its_content) {
    static const size_t sizes[] = {
        1, 31, 32, 33, 1000, 1808, 8192, 8193, 16500, BLOCK_CACHE_MOST - 1, BLOCK_CACHE_MOST};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        unsigned char *first = block_cache_take(sizes[i]);
        memset(first, 's', sizes[i]);
        block_cache_give(first);
        unsigned char *second = block_cache_take(sizes[i]);
        cr_expect_eq(first, second, "%zu bytes", sizes[i]);
        cr_expect(is_all(second, 0, sizes[i]), "%zu bytes", sizes[i]);
        block_cache_give(second);
    }
}

/* A block of every size has enough memory (the sanitizer checks that), is aligned, and wastes little. */
static void expect_fits(size_t size) {
    unsigned char *block = block_cache_take(size);
    size_t before = block_cache_cached();
    cr_assert(block && (uintptr_t)block % 16 == 0, "%zu bytes", size);
    memset(block, 'f', size);
    block_cache_give(block);
    size_t room = block_cache_cached() - before;
    if (size <= BLOCK_CACHE_MOST)
        cr_assert(room >= size + 16 && (size < 32 || room <= size + size / 8 + 20), "%zu bytes: %zu", size, room);
    else
        cr_assert_eq(room, 0, "%zu bytes", size);
}

/* One block of each class fits into the cache, so that none must be freed. */
Test(block_cache, a_block_fits) {
    for (size_t size = 0; size <= BLOCK_CACHE_MOST / 2; size += size < 300 ? 1 : 13)
        expect_fits(size);
}

Test(block_cache, a_large_block_fits) {
    for (size_t size = BLOCK_CACHE_MOST / 2 + 1; size <= BLOCK_CACHE_MOST + 2;
         size += size > BLOCK_CACHE_MOST - 100 ? 1 : 13)
        expect_fits(size);
}

Test(block_cache, a_smaller_class_is_no_room) {
    void *large = block_cache_take(8000), *small, *larger;
    block_cache_give(large);
    small = block_cache_take(4000);
    larger = block_cache_take(9000);
    cr_expect_neq(small, large, "half of it would be wasted");
    cr_expect_neq(larger, large, "it is too small");
    void *same = block_cache_take(7700);
    cr_expect_eq(same, large);
    block_cache_give(NULL);
    block_cache_give(small), block_cache_give(larger), block_cache_give(same);
}

/* However much is returned, at most BLOCK_CACHE_TOTAL bytes are kept, and all other blocks are freed correctly. */
Test(block_cache, what_stays_is_bounded) {
    static const size_t sizes[] = {20000, 512, 20, BLOCK_CACHE_MOST, BLOCK_CACHE_MOST + 1, 1 << 20};
    static unsigned char *blocks[2000];
    for (size_t s = 0; s < COUNT(sizes); s++) {
        size_t count = sizes[s] > 1 << 16 ? 8 : COUNT(blocks);
        for (size_t i = 0; i < count; i++) {
            cr_assert(blocks[i] = block_cache_take(sizes[s]));
            memset(blocks[i], (int)(i % 251), sizes[s]);
        }
        for (size_t i = 0; i < count; i++) {
            cr_assert(is_all(blocks[i], (unsigned char)(i % 251), sizes[s]), "%zu of %zu bytes", i, sizes[s]);
            block_cache_give(blocks[i]);
            cr_assert_leq(block_cache_cached(), BLOCK_CACHE_TOTAL);
        }
    }
    cr_expect_gt(block_cache_cached(), BLOCK_CACHE_TOTAL - BLOCK_CACHE_MOST);
}

/* Headers count, too: where there is room for the bytes of a block and not for its header, it does not stay. */
Test(block_cache, a_block_stays_only_with_its_header) {
    static void *blocks[BLOCK_CACHE_TOTAL / 48];
    size_t count = BLOCK_CACHE_TOTAL / 48 - 2;
    void *other = block_cache_take(56), *last = block_cache_take(32);
    for (size_t i = 0; i < count; i++)
        blocks[i] = block_cache_take(32);
    for (size_t i = 0; i < count; i++)
        block_cache_give(blocks[i]);
    block_cache_give(other);
    size_t before = block_cache_cached();
    cr_assert_eq(BLOCK_CACHE_TOTAL - before, 40);
    block_cache_give(last);
    cr_expect_eq(block_cache_cached(), before);
}

/* Blocks that are not cached are overwritten, too: malloc hands the memory to whoever asks next. */
Test(block_cache, a_large_block_is_zeroed_before_it_is_freed) {
    watched = BLOCK_CACHE_MOST + 8000;
    unsigned char *block = block_cache_take(watched);
    cr_assert_not_null(block);
    memset(block, 's', watched);
    block_cache_give(block);
    cr_expect(was_zeroed);
}

/* What was taken again does not count any more, however often that happens. */
Test(block_cache, what_is_taken_again_makes_room) {
    void *block = block_cache_take(20000);
    for (int i = 0; i < 100; i++) {
        block_cache_give(block);
        cr_assert_eq(block_cache_cached(), 20480 + 16);
        void *again = block_cache_take(20000);
        cr_assert_eq(again, block, "round %d", i);
        cr_assert_eq(block_cache_cached(), 0);
    }
    block_cache_give(block);
}

/* wolfSSL's buffers grow while large files are sent: each step keeps the content, and gives the old block back. */
Test(block_cache, a_block_that_is_resized_keeps_its_content) {
    static const size_t sizes[] = {10, 30, 100, 8000, 8200, 16500, 32768, 40000, 300000, 33000, 9000, 8190, 40, 0, 12};
    unsigned char *block = block_cache_resize(NULL, 1);
    block[0] = 'c';
    for (size_t round = 0; round < 1000; round++) {
        size_t before = 1;
        for (size_t i = 0; i < COUNT(sizes); i++) {
            size_t kept = before < sizes[i] ? before : sizes[i];
            block = block_cache_resize(block, sizes[i]);
            cr_assert_not_null(block);
            cr_assert(is_all(block, 'c', kept), "%zu to %zu bytes", before, sizes[i]);
            memset(block, 'c', sizes[i]);
            before = sizes[i];
        }
        block = block_cache_resize(block, 1);
        cr_assert_leq(block_cache_cached(), BLOCK_CACHE_TOTAL);
    }
    block_cache_give(block);
}

/* This includes the part that shrinking frees without moving the block. */
Test(block_cache, what_a_smaller_size_leaves_is_zeroed) {
    unsigned char *block = block_cache_take(1000);
    memset(block, 's', 1000);
    cr_assert_eq(block_cache_resize(block, 970), block);
    cr_expect(is_all(block, 's', 970));
    cr_expect(is_all(block + 970, 0, 30));
    block_cache_give(block);
}

Test(block_cache, zeroed_means_zeroed) {
    unsigned char *block = block_cache_take_zeroed(5000);
    cr_expect(is_all(block, 0, 5000));
    block_cache_give(block);
}

Test(block_cache, what_is_too_large_for_all_memory_is_refused) {
    cr_expect_null(block_cache_take(SIZE_MAX));
    cr_expect_null(block_cache_take(SIZE_MAX - 8));
    cr_expect_null(block_cache_take_zeroed(SIZE_MAX - 15));
    unsigned char *block = block_cache_take(10);
    block[9] = 'k';
    cr_expect_null(block_cache_resize(block, SIZE_MAX - 15));
    cr_expect_eq(block[9], 'k', "it is still there");
    block_cache_give(block);
}

Test(block_cache, what_is_given_back_twice_ends_the_process, .signal = SIGABRT) {
    void *block = block_cache_take(1000);
    block_cache_give(block);
    block_cache_give(block);
}

Test(block_cache, what_is_resized_after_it_was_given_back_ends_the_process, .signal = SIGABRT) {
    void *block = block_cache_take(1000);
    block_cache_give(block);
    block_cache_resize(block, 1000);
}

Test(block_cache, what_is_no_block_ends_the_process, .signal = SIGABRT) {
    static _Alignas(16) unsigned char bytes[64];
    block_cache_give(bytes + 32);
}

/* A block in the cache whose header was overwritten is not given out. */
Test(block_cache, a_header_that_was_overwritten_ends_the_process, .signal = SIGABRT) {
    unsigned char *block = block_cache_take(100);
    block_cache_give(block);
    memset(block - 16, 0, 8);
    block_cache_take(100);
}
