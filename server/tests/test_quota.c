/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../quota.h"

static struct quota_table tables[3];

static struct quota quota_of(size_t worker, uint32_t connections_max, uint32_t requests_max) {
    return (struct quota){.first = tables,
                          .count = 3,
                          .stride = sizeof tables[0],
                          .own = &tables[worker],
                          .connections_max = connections_max,
                          .requests_max = requests_max};
}

#define ADA UINT64_C(0x1111222233334444)
#define BOB UINT64_C(0x5555666677778888)

/* Something like a keyed hash. */
static uint64_t hash(uint64_t number) {
    return number * UINT64_C(0x9e3779b97f4a7c15);
}

Test(quota, all_workers_count_together) {
    struct quota one = quota_of(0, 3, 0), two = quota_of(1, 3, 0);
    cr_expect(quota_enter(&one, ADA));
    cr_expect(quota_enter(&two, ADA));
    cr_expect(quota_enter(&one, ADA));
    cr_expect_not(quota_enter(&one, ADA));
    cr_expect_not(quota_enter(&two, ADA));
    cr_expect(quota_enter(&two, BOB), "another subscriber");
    quota_leave(&one, ADA);
    cr_expect(quota_enter(&two, ADA), "one has left");
    cr_expect_not(quota_enter(&two, ADA));
    memset(&tables[1], 0, sizeof tables[1]); /* the second worker died, and its connections with it */
    cr_expect(quota_enter(&one, ADA));
    cr_expect(quota_enter(&one, ADA));
    cr_expect_not(quota_enter(&one, ADA));
}

Test(quota, no_limit_is_no_limit) {
    struct quota one = quota_of(0, 0, 0);
    for (int i = 0; i < 1000; i++) {
        cr_expect(quota_enter(&one, ADA));
        cr_expect_eq(quota_ask(&one, ADA, 0), 0);
    }
}

Test(quota, a_full_table_lets_in) {
    struct quota one = quota_of(0, 1, 0);
    size_t admitted = 0;
    for (uint64_t i = 1; i <= 2 * QUOTA_SLOTS; i++)
        admitted += quota_enter(&one, hash(i));
    cr_expect_eq(admitted, 2 * QUOTA_SLOTS, "everybody is let in once");
    cr_expect_not(quota_enter(&one, hash(1)), "who is counted is still known");
    for (uint64_t i = 1; i <= 2 * QUOTA_SLOTS; i++)
        quota_leave(&one, hash(i));
    for (size_t i = 0; i < QUOTA_SLOTS; i++)
        cr_assert_eq(tables[0].connections[i] & 0xffff, 0, "a count is left over");
}

Test(quota, requests_of_a_minute) {
    struct quota one = quota_of(0, 0, 5), two = quota_of(1, 0, 5);
    uint64_t now = 7 * 60000 + 20500;
    for (int i = 0; i < 5; i++)
        cr_expect_eq(quota_ask(i % 2 ? &one : &two, ADA, now), 0);
    cr_expect_eq(quota_ask(&one, ADA, now), 40, "seconds to the next minute");
    cr_expect_eq(quota_ask(&two, ADA, now), 40);
    cr_expect_eq(quota_ask(&two, BOB, now), 0);
    cr_expect_eq(quota_ask(&one, ADA, now + 40000), 0, "the next minute");
    cr_expect_eq(quota_ask(&one, ADA, 8 * 60000 + 59999), 0);
}

Test(quota, old_minutes_do_not_fill_the_table) {
    struct quota one = quota_of(0, 0, 2);
    for (uint64_t minute = 1; minute < 200; minute++) {
        for (uint64_t i = 0; i < 500; i++)
            quota_ask(&one, hash(minute * 500 + i), minute * 60000);
        cr_assert_eq(quota_ask(&one, ADA, minute * 60000), 0);
        cr_assert_eq(quota_ask(&one, ADA, minute * 60000), 0);
        cr_assert_neq(quota_ask(&one, ADA, minute * 60000), 0, "minute %d", (int)minute);
    }
}

/* Which pages of these tables does the system provide memory for? */
static size_t pages_there(void *memory, size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), count = 0;
    unsigned char *there = calloc(size / page + 1, 1);
    cr_assert_not_null(there);
    cr_assert_eq(mincore(memory, size, there), 0);
    for (size_t i = 0; i < size / page; i++)
        count += there[i] & 1;
    free(there);
    return count;
}

Test(quota, idle_tables_take_no_memory) {
    size_t count = 64, size = count * sizeof(struct quota_table);
    struct quota_table *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(shared, MAP_FAILED);
    struct quota quota = {shared, count, sizeof *shared, shared, 10, 10};
    for (uint64_t i = 1; i < 4000; i++) {
        cr_assert(quota_enter(&quota, hash(i)));
        quota_ask(&quota, hash(i), 60000);
    }
    size_t own = sizeof *shared / (size_t)sysconf(_SC_PAGESIZE) + 1;
    cr_expect_leq(pages_there(shared, size), own + 2 * count, "%zu pages", pages_there(shared, size));
    munmap(shared, size);
}
