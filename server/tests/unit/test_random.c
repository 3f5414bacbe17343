/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/random.h"

Test(random, sizes_around_the_pool) {
    static const unsigned sizes[] = {1, 32, 1000, 1023, 1024, 1025, 5000};
    static unsigned char first[5000], second[5000], nothing[5000];
    cr_assert_eq(random_open(), 0);
    for (size_t i = 1; i < sizeof sizes / sizeof *sizes; i++) {
        cr_assert_eq(vitrine_random_block(first, sizes[i]), 0);
        cr_assert_eq(vitrine_random_block(second, sizes[i]), 0);
        cr_expect_neq(memcmp(first, second, sizes[i]), 0, "%u bytes twice", sizes[i]);
        cr_expect_neq(memcmp(first + sizes[i] - 16, nothing, 16), 0, "the end of %u bytes is filled", sizes[i]);
    }
}

Test(random, a_child_never_hands_out_its_parents_bytes) {
    unsigned char ours[64], theirs[64];
    int pipes[2];
    cr_assert_eq(random_open(), 0);
    cr_assert_eq(vitrine_random_block(ours, 1), 0); /* fills the pool */
    cr_assert_eq(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        vitrine_random_block(theirs, sizeof theirs);
        _exit(write(pipes[1], theirs, sizeof theirs) == sizeof theirs ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_eq(read(pipes[0], theirs, sizeof theirs), (ssize_t)sizeof theirs);
    cr_assert_eq(vitrine_random_block(ours, sizeof ours), 0);
    cr_expect_neq(memcmp(ours, theirs, sizeof ours), 0);
    close(pipes[0]), close(pipes[1]);
}
