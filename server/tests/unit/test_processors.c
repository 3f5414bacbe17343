/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <sched.h>

/* This file includes the source under test; renaming avoids conflicts with the linked copy. */
#define processors_allowed test_processors_allowed
#define processors_of_share test_processors_of_share
#include "supervisor/processors.c"

Test(processors, of_a_share) {
    static const struct {
        const char *text;
        size_t processors;
    } cases[] = {
        {"max 100000\n", 0},
        {"100000 100000\n", 1},
        {"100001 100000\n", 2},
        {"150000 100000\n", 2},
        {"50000 100000\n", 1},
        {"1000 100000\n", 1},
        {"800000 100000", 8},
        {"3000000 1000000\n", 3},
        {"", 0},
        {"100000", 0},
        {"0 100000\n", 0},
        {"100000 0\n", 0},
        {"-1 100000\n", 0},
        {"max", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(processors_of_share(cases[i].text), cases[i].processors, "%s", cases[i].text);
}

Test(processors, never_more_than_the_affinity) {
    cpu_set_t one;
    cr_expect_geq(processors_allowed(), 1);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    cr_expect_eq(processors_allowed(), 1);
}
