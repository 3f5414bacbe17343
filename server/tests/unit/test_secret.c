/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "keys/secret.h"

#define BLOCKS 2000

static bool is_wiped(const uint8_t *block, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (block[i] != 0)
            return false;
    }
    return true;
}

/* Returns the flags of the mapping that contains an address (proc_pid_smaps(5)). */
static const char *flags_of(const void *address) {
    static char flags[512];
    char line[512];
    unsigned long first, last;
    bool is_it = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    cr_assert_not_null(file);
    flags[0] = '\0';
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &first, &last) == 2)
            is_it = first <= (unsigned long)address && (unsigned long)address < last;
        else if (is_it && strncmp(line, "VmFlags:", 8) == 0)
            strcpy(flags, line);
    }
    fclose(file);
    return flags;
}

Test(secret, blocks_of_all_sizes_are_apart_and_wiped) {
    static uint8_t *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = 1 + i * 3;
        blocks[i] = secret_take(size);
        cr_assert_not_null(blocks[i]);
        cr_assert_eq((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
        cr_assert(is_wiped(blocks[i], size), "%zu", size);
        memset(blocks[i], (int)(i % 255 + 1), size);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        for (size_t at = 0; at < 1 + i * 3; at++)
            cr_assert_eq(blocks[i][at], i % 255 + 1, "block %zu was written by another", i);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        secret_give(blocks[i], 1 + i * 3);
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = secret_take(1 + i * 3);
        cr_assert(is_wiped(blocks[i], 1 + i * 3), "%zu was given back and not wiped", i);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        secret_give(blocks[i], 1 + i * 3);
    secret_give(NULL, 1);
}

Test(secret, what_is_given_back_is_taken_again) {
    const void *first = secret_take(200);
    secret_give((void *)(uintptr_t)first, 200);
    cr_expect_eq(secret_take(129), first, "the next block of its size");
}

Test(secret, small_and_large_blocks_are_locked_and_in_no_dump) {
    static const size_t sizes[] = {1, 128, 129, 4096, 4097, 20000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *block = secret_take(sizes[i]);
        const char *flags = flags_of(block);
        cr_expect(strstr(flags, " dd ") && strstr(flags, " wf "), "%zu: %s", sizes[i], flags);
#ifndef __SANITIZE_ADDRESS__ /* mlock(2) does nothing there */
        cr_expect(strstr(flags, " lo "), "%zu: %s", sizes[i], flags);
#endif
        secret_give(block, sizes[i]);
    }
}
