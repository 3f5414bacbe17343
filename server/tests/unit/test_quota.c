/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/bounds.h"
#include "worker/quota.h"

static struct quota_table tables[4]; /* the last one belongs to no worker */

static struct quota quota_of(size_t worker, uint32_t requests_max) {
    return (struct quota){.first = tables,
                          .count = 3,
                          .stride = sizeof tables[0],
                          .own = &tables[worker],
                          .rates_max = {[QUOTA_REQUESTS] = requests_max}};
}

#define ADA UINT64_C(0x1111222233334444)
#define BOB UINT64_C(0x5555666677778888)

/* Imitates a keyed hash. */
static uint64_t hash(uint64_t number) {
    return number * UINT64_C(0x9e3779b97f4a7c15);
}

static struct quota_member member_of(uint64_t client, uint32_t connections_max) {
    return (struct quota_member){.count = 1, .rated = true, .groups = {{client, connections_max, 0, 1}}};
}

/* Makes a member of a group of its own and of a shared prefix. */
static struct quota_member member_within(uint64_t client, uint32_t most, uint64_t prefix, uint32_t prefix_most) {
    return (struct quota_member){
        .count = 2, .rated = true, .groups = {{client, most, 0, 1}, {prefix, prefix_most, 0, 4}}};
}

Test(quota, all_workers_count_together) {
    struct quota one = quota_of(0, 0), two = quota_of(1, 0);
    struct quota_member ada[7], bob = member_of(BOB, 3);
    for (size_t i = 0; i < 7; i++)
        ada[i] = member_of(ADA, 3);
    cr_expect(quota_enter(&one, &ada[0]));
    cr_expect(quota_enter(&two, &ada[1]));
    cr_expect(quota_enter(&one, &ada[2]));
    cr_expect_not(quota_enter(&one, &ada[3]));
    cr_expect_not(quota_enter(&two, &ada[3]));
    cr_expect(quota_enter(&two, &bob), "another client");
    cr_expect_eq(quota_open(&one), 4);
    quota_leave(&one, &ada[0]);
    quota_leave(&one, &ada[0]);
    cr_expect_eq(quota_open(&one), 3, "whoever has left leaves nothing more");
    cr_expect(quota_enter(&two, &ada[3]), "one has left");
    cr_expect_not(quota_enter(&two, &ada[4]));
    memset(&tables[1], 0, sizeof tables[1]); /* the second worker and its connections died */
    cr_expect_eq(quota_open(&one), 1);
    cr_expect(quota_enter(&one, &ada[4]));
    cr_expect(quota_enter(&one, &ada[5]));
    cr_expect_not(quota_enter(&one, &ada[6]));
}

/* Large send buffers: there are so many places, whichever workers take them. */
Test(quota, places_for_large_buffers_are_few) {
    struct quota one = quota_of(0, 0), two = quota_of(1, 0);
    for (size_t i = 0; i < BOUND_WIDE_CONNECTIONS; i++)
        cr_expect(quota_widen(i % 3 == 0 ? &one : &two), "place %zu", i);
    cr_expect_not(quota_widen(&one));
    cr_expect_not(quota_widen(&two));
    quota_narrow(&two);
    cr_expect(quota_widen(&one), "a place was given back");
    cr_expect_not(quota_widen(&one));
    quota_forget_connections(&tables[1]); /* the second worker has ended */
    cr_expect(quota_widen(&one));
}

/* What others have is looked up by quota_open alone; one's own connections always count. */
Test(quota, those_of_others_count_as_they_were_found) {
    struct quota one = quota_of(0, 0), two = quota_of(1, 0);
    struct quota_member ada[3] = {member_of(ADA, 3), member_of(ADA, 3), member_of(ADA, 3)};
    cr_expect(quota_enter(&two, &ada[0]));
    cr_expect_eq(quota_open_lately(&one), 0);
    cr_expect_eq(quota_open(&one), 1);
    cr_expect(quota_enter(&one, &ada[1]));
    cr_expect(quota_enter(&two, &ada[2]));
    cr_expect_eq(quota_open_lately(&one), 2);
    cr_expect_eq(quota_open(&one), 3);
    cr_expect_eq(quota_open_lately(&one), 3);
}

Test(quota, a_prefix_has_a_bound_of_its_own) {
    struct quota one = quota_of(0, 0), two = quota_of(1, 0);
    struct quota_member members[12], elsewhere = member_within(hash(100), 2, hash(2000), 5);
    size_t admitted = 0;
    for (size_t i = 0; i < 12; i++) { /* six clients, two connections of each */
        members[i] = member_within(hash(i / 2 + 1), 2, hash(1000), 5);
        admitted += quota_enter(i % 2 ? &two : &one, &members[i]);
    }
    cr_expect_eq(admitted, 5, "%zu of one prefix", admitted);
    cr_expect(quota_enter(&one, &elsewhere), "another prefix");
    cr_expect_eq(quota_open(&one), 6);
    for (size_t i = 0; i < 12; i++)
        quota_leave(i % 2 ? &two : &one, &members[i]);
    for (size_t i = 0; i < QUOTA_SLOTS; i++)
        cr_assert_eq(tables[1].connections[i] & 0xffff, 0, "a count is left over");
    cr_expect_eq(quota_open(&one), 1);
}

Test(quota, the_load_is_that_of_the_fullest_group) {
    struct quota one = quota_of(0, 0), two = quota_of(1, 0);
    struct quota_member members[16], alone = member_within(hash(500), 32, hash(600), 128);
    for (size_t i = 0; i < 16; i++) {
        members[i] = member_within(hash(1), 32, hash(1000), 128);
        cr_assert(quota_enter(i % 2 ? &two : &one, &members[i]));
    }
    cr_expect_eq(quota_load(&two, &members[15]), 4, "half of what one client may have");
    cr_expect_eq(quota_load(&two, &members[1]), 4, "for all of them");
    cr_assert(quota_enter(&one, &alone));
    cr_expect_eq(quota_load(&one, &alone), 0);
    for (size_t i = 0; i < 12; i++)
        quota_leave(i % 2 ? &two : &one, &members[i]);
    quota_weigh(&one, &members[14]);
    cr_expect_eq(quota_load(&one, &members[14]), 1, "most have left");
}

Test(quota, the_crowd_is_that_of_the_largest_group) {
    struct quota one = quota_of(0, 0), two = quota_of(1, 0);
    struct quota_member members[6], alone = member_within(hash(500), 32, hash(600), 128);
    for (size_t i = 0; i < 6; i++) {
        members[i] = member_within(hash(i + 1), 32, hash(1000), 128);
        cr_assert(quota_enter(i % 2 ? &two : &one, &members[i]));
    }
    cr_assert(quota_enter(&one, &alone));
    cr_expect_eq(quota_crowd(&two, &members[5]), 6, "all of its prefix, whichever worker has them");
    cr_expect_eq(quota_crowd(&one, &alone), 1);
    for (size_t i = 1; i < 5; i++)
        quota_leave(i % 2 ? &two : &one, &members[i]);
    quota_weigh(&one, &members[0]);
    cr_expect_eq(quota_crowd(&one, &members[0]), 2);
}

/* A worker that ends correctly leaves the clients' used rates, but no connections. */
Test(quota, rates_outlive_a_worker) {
    struct quota one = quota_of(0, 10), two = quota_of(1, 10);
    struct quota_member ada = member_of(ADA, 3);
    cr_assert(quota_enter(&one, &ada));
    for (int i = 0; i < 10; i++)
        cr_assert_eq(quota_spend(&one, &ada, QUOTA_REQUESTS, 60000), 0);
    quota_forget_connections(&tables[0]);
    cr_expect_eq(quota_open(&two), 0);
    for (size_t i = 0; i < QUOTA_SLOTS; i++)
        cr_assert(tables[0].connections[i] == 0 && tables[0].sums[i] == 0, "slot %zu", i);
    struct quota_member again = member_of(ADA, 1);
    cr_expect(quota_enter(&two, &again), "no connection is left");
    cr_expect_eq(quota_crowd(&two, &again), 1);
    cr_expect_neq(quota_spend(&two, &again, QUOTA_REQUESTS, 60000), 0, "the rate is used up");
}

Test(quota, no_limit_is_no_limit) {
    struct quota one = quota_of(0, 0);
    for (int i = 0; i < 1000; i++) {
        struct quota_member ada = member_of(ADA, 0);
        cr_expect(quota_enter(&one, &ada));
        cr_expect_eq(quota_load(&one, &ada), 0);
        cr_expect_eq(quota_spend(&one, &ada, QUOTA_REQUESTS, 0), 0);
    }
}

Test(quota, a_full_table_lets_in) {
    static struct quota_member members[2 * QUOTA_SLOTS];
    struct quota one = quota_of(0, 0);
    struct quota_member again = member_of(hash(1), 1);
    size_t admitted = 0;
    for (uint64_t i = 0; i < 2 * QUOTA_SLOTS; i++) {
        members[i] = member_of(hash(i + 1), 1);
        admitted += quota_enter(&one, &members[i]);
    }
    cr_expect_eq(admitted, 2 * QUOTA_SLOTS, "everybody is let in once");
    cr_expect_not(quota_enter(&one, &again), "who is counted is still known");
    cr_expect_eq(quota_open(&one), 2 * QUOTA_SLOTS, "all are counted together");
    for (uint64_t i = 0; i < 2 * QUOTA_SLOTS; i++)
        quota_leave(&one, &members[i]);
    for (size_t i = 0; i < QUOTA_SLOTS; i++)
        cr_assert_eq(tables[0].connections[i] & 0xffff, 0, "a count is left over");
    cr_expect_eq(quota_open(&one), 0);
}

/* Groups whose slots begin at the same place: as many as a search covers get a slot. */
Test(quota, groups_that_lie_close_together) {
    struct quota one = quota_of(0, 0);
    struct quota_member members[17];
    for (uint64_t i = 0; i < 17; i++) {
        members[i] = member_of(UINT64_C(100) << 32 | (i + 1) << 16, 2);
        cr_assert(quota_enter(&one, &members[i]));
        cr_expect_eq(members[i].groups[0].slot, i < 16 ? 100 + i : QUOTA_SLOTS);
        cr_expect_eq(quota_crowd(&one, &members[i]), i < 16, "what found no room weighs nothing");
    }
    quota_leave(&one, &members[3]);
    struct quota_member again = member_of(members[15].groups[0].hash, 2);
    cr_assert(quota_enter(&one, &again));
    cr_expect_eq(again.groups[0].slot, 115, "not the one that became free");
    cr_expect_eq(quota_crowd(&one, &again), 2);
    struct quota_member last = member_of(UINT64_C(8191) << 32 | 1 << 16, 2), round = member_of(UINT64_C(8191) << 32, 2);
    cr_assert(quota_enter(&one, &last) && quota_enter(&one, &round));
    cr_expect_eq(last.groups[0].slot, 8191);
    cr_expect_eq(round.groups[0].slot, 0, "behind the last one comes the first");
}

/* A group without a slot changes nothing after the slots, whether it is added, weighed or removed. */
Test(quota, a_group_without_a_slot_writes_nothing) {
    struct quota one = quota_of(0, 0);
    struct quota_member members[17];
    for (uint64_t i = 0; i < 16; i++) {
        members[i] = member_of(UINT64_C(100) << 32 | (i + 1) << 16, 2);
        cr_assert(quota_enter(&one, &members[i]));
    }
    tables[0].sums[0] = 5, tables[0].sums[1] = 6; /* after the connections */
    tables[0].rates[0][0] = 7;                    /* after the sums */
    members[16] = member_of(UINT64_C(100) << 32 | UINT64_C(17) << 16, 2);
    cr_assert(quota_enter(&one, &members[16]));
    cr_assert_eq(members[16].groups[0].slot, QUOTA_SLOTS);
    cr_expect(tables[0].sums[0] == 5 && tables[0].sums[1] == 6, "it was counted behind the end");
    quota_weigh(&one, &members[16]);
    cr_expect_eq(tables[0].rates[0][0], 7, "it was weighed behind the end");
    cr_expect_eq(quota_load(&one, &members[16]), 0);
    quota_leave(&one, &members[16]);
    cr_expect(tables[0].sums[0] == 5 && tables[0].sums[1] == 6, "it left behind the end");
}

/* Entries after a member's groups are not its groups. */
Test(quota, groups_that_a_member_has_not) {
    struct quota one = quota_of(0, 10);
    struct quota_member bob = member_of(BOB, 1), ada = member_of(ADA, 3);
    cr_assert(quota_enter(&one, &bob));
    ada.groups[1] = bob.groups[0];
    cr_expect(quota_enter(&one, &ada), "the limit of another group");
    cr_expect_eq(tables[0].connections[bob.groups[0].slot] & 0xffff, 1);
    for (size_t i = 0; i < 10; i++)
        cr_assert_eq(quota_spend(&one, &bob, QUOTA_REQUESTS, 60000), 0);
    cr_expect_eq(quota_spend(&one, &ada, QUOTA_REQUESTS, 60000), 0, "the rate of another group");
    quota_leave(&one, &ada);
    cr_expect_eq(tables[0].connections[bob.groups[0].slot] & 0xffff, 1);
}

/* A table that belongs to no worker does not count. */
Test(quota, the_tables_of_workers_only) {
    struct quota one = quota_of(0, 10), beyond = one;
    struct quota_member ada = member_of(ADA, 3);
    beyond.own = &tables[3];
    for (size_t i = 0; i < 3; i++) {
        struct quota_member other = member_of(ADA, 3);
        cr_assert(quota_enter(&beyond, &other));
    }
    for (size_t i = 0; i < 10; i++)
        cr_assert_eq(quota_spend(&beyond, &ada, QUOTA_REQUESTS, 60000), 0);
    cr_expect_eq(quota_open(&one), 0);
    cr_expect_eq(quota_spend(&one, &ada, QUOTA_REQUESTS, 60000), 0);
    cr_expect(quota_enter(&one, &ada));
    cr_expect_eq(quota_crowd(&one, &ada), 1);
    /* Neither do groups that a member does not have. */
    ada.groups[1] = (struct quota_group){BOB, 5, 77, 1};
    tables[0].sums[77] = 40;
    quota_weigh(&one, &ada);
    cr_expect_eq(tables[0].sums[77], 40);
    cr_expect_eq(quota_crowd(&one, &ada), 1);
    cr_expect_eq(quota_load(&one, &ada), 2);
}

Test(quota, a_load_and_a_count_have_an_end) {
    struct quota one = quota_of(0, 0);
    struct quota_member ada[20];
    for (size_t i = 0; i < 20; i++) {
        ada[i] = member_of(ADA, 20);
        cr_assert(quota_enter(&one, &ada[i]));
    }
    cr_expect_eq(quota_load(&one, &ada[0]), 8);
    ada[0].groups[0].connections_max = 17; /* a reload lowered it, so nine eighths are used */
    cr_expect_eq(quota_load(&one, &ada[0]), 8);
    ada[0].groups[0].connections_max = 10;
    cr_expect_eq(quota_load(&one, &ada[0]), 8);
    struct quota_member bob = member_of(BOB, 0);
    cr_assert(quota_enter(&one, &bob));
    _Atomic uint64_t *slot = &tables[0].connections[bob.groups[0].slot];
    *slot += 0xfffd;
    struct quota_member last = member_of(BOB, 0), beyond = member_of(BOB, 0);
    cr_assert(quota_enter(&one, &last));
    cr_expect_eq(*slot & 0xffff, 0xffff);
    cr_assert(quota_enter(&one, &beyond));
    cr_expect_eq(*slot, (BOB & ~UINT64_C(0xffff)) | 0xffff, "it must not become another group");
    cr_expect_eq(beyond.groups[0].slot, QUOTA_SLOTS);
    quota_leave(&one, &beyond);
    cr_expect_eq(*slot & 0xffff, 0xffff);
    quota_leave(&one, &last);
    cr_expect_eq(*slot & 0xffff, 0xfffe);
}

/* Returns how many of `count` requests are allowed, with one every `pause` milliseconds. */
static unsigned let_through(struct quota *quota, const struct quota_member *member, unsigned count, uint64_t *now,
                            unsigned pause) {
    unsigned through = 0;
    for (unsigned i = 0; i < count; i++, *now += pause)
        through += quota_spend(quota, member, QUOTA_REQUESTS, *now) == 0;
    return through;
}

Test(quota, a_burst_then_a_rate) {
    struct quota one = quota_of(0, 60), two = quota_of(1, 60);
    struct quota_member ada = member_of(ADA, 0), bob = member_of(BOB, 0);
    uint64_t now = 1000000;
    cr_expect_eq(let_through(&one, &ada, 30, &now, 0), 30);
    cr_expect_eq(let_through(&two, &ada, 100, &now, 0), 30, "workers count together");
    unsigned seconds = quota_spend(&one, &ada, QUOTA_REQUESTS, now);
    cr_expect(seconds >= 1 && seconds <= 30, "%u seconds", seconds);
    cr_expect_eq(quota_spend(&one, &bob, QUOTA_REQUESTS, now), 0);
    now += seconds * UINT64_C(1000);
    cr_expect_eq(quota_spend(&one, &ada, QUOTA_REQUESTS, now), 0, "after %u seconds, as it said", seconds);
    now += 1800000;
    cr_expect_eq(let_through(&one, &ada, 100, &now, 0), 60, "all is forgiven");
    /* A client that asks ten times as often as allowed gets what is allowed, or a little less. */
    unsigned in_an_hour = let_through(&one, &ada, 36000, &now, 100);
    cr_expect(in_an_hour > 3000 && in_an_hour <= 3700, "%u in an hour", in_an_hour);
    /* A client that asks a little less often than allowed is never refused. */
    now += 1800000;
    cr_expect_eq(let_through(&one, &ada, 3000, &now, 1100), 3000);
}

/* A level falls by half in 29 units of 1,024 milliseconds, linearly within that time. */
Test(quota, how_a_level_falls) {
    static const struct {
        uint64_t after; /* milliseconds */
        unsigned through;
    } cases[] = {
        {1023, 0}, {1024, 1}, {28 * 1024, 28}, {29 * 1024 - 1, 28}, {29 * 1024, 30}, {58 * 1024, 45}, {87 * 1024, 52},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* At any time of the clock, whose units are counted in 16 bits. */
        for (uint64_t begins = 1 << 10; begins < UINT64_C(1) << 30; begins <<= 1) {
            memset(tables, 0, sizeof tables);
            struct quota one = quota_of(0, 60);
            struct quota_member ada = member_of(ADA, 0);
            uint64_t now = begins;
            cr_expect_eq(let_through(&one, &ada, 100, &now, 0), 60);
            now += cases[i].after;
            unsigned through = let_through(&one, &ada, 100, &now, 0);
            cr_expect_eq(through, cases[i].through, "%u after %lu ms from %lu", through, cases[i].after, begins);
        }
    }
}

/* A client that has used up its limit may continue after the time that it was told, with an eighth of the limit. */
Test(quota, how_long_to_wait) {
    static const struct {
        uint32_t limit;
        unsigned seconds, through;
    } cases[] = {{64, 9, 8}, {2, 38, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(tables, 0, sizeof tables);
        struct quota one = quota_of(0, cases[i].limit);
        struct quota_member ada = member_of(ADA, 0);
        uint64_t now = 1024000;
        cr_expect_eq(let_through(&one, &ada, 100, &now, 0), cases[i].limit, "a limit is reached, and not exceeded");
        cr_expect_eq(quota_spend(&one, &ada, QUOTA_REQUESTS, now), cases[i].seconds);
        now += cases[i].seconds * UINT64_C(1000);
        cr_expect_eq(let_through(&one, &ada, 100, &now, 0), cases[i].through);
    }
}

/* The time of a level stays valid for hours while others keep the table in use. */
Test(quota, what_was_spent_long_ago_is_forgotten) {
    for (uint64_t bit = 10; bit < 16; bit++) {
        memset(tables, 0, sizeof tables);
        struct quota one = quota_of(0, 60);
        struct quota_member ada = member_of(ADA, 0), bob = member_of(BOB, 0);
        uint64_t now = 2048;
        cr_expect_eq(let_through(&one, &ada, 100, &now, 0), 60);
        now += (UINT64_C(1) << bit) * 1024;
        cr_expect_eq(quota_spend(&one, &bob, QUOTA_REQUESTS, now), 0);
        cr_expect_eq(let_through(&one, &ada, 100, &now, 0), 60, "after 2^%lu units", bit);
    }
}

/* The lowest bit of a hash that distinguishes groups in the same place. */
Test(quota, groups_that_differ_in_one_bit) {
    struct quota one = quota_of(0, 60);
    struct quota_member ada = member_of(ADA, 0), like = member_of(ADA ^ UINT64_C(1) << 45, 0);
    uint64_t now = (UINT64_C(1) << 16 | 5) * 1024;
    cr_expect_eq(let_through(&one, &ada, 100, &now, 0), 60);
    cr_expect_eq(let_through(&one, &like, 100, &now, 0), 60);
    cr_expect_eq(let_through(&one, &ada, 100, &now, 0), 0);
    cr_expect_eq(let_through(&one, &like, 100, &now, 0), 0);
}

/* Groups with equal bits in their slots, but with places as far apart as possible: 16 slots. */
Test(quota, groups_that_differ_in_their_place) {
    struct quota one = quota_of(0, 60);
    struct quota_member far = member_of(ADA + (UINT64_C(16) << 32), 0), ada = member_of(ADA, 0);
    uint64_t now = 1000000;
    cr_expect_eq(let_through(&one, &far, 100, &now, 0), 60);
    cr_expect_eq(let_through(&one, &ada, 100, &now, 0), 60);
    cr_expect_eq(let_through(&one, &far, 100, &now, 0), 0);
}

/* Neighbours that differ in one bit of their hashes, which is also part of the place. */
Test(quota, groups_whose_bits_overlap) {
    struct quota one = quota_of(0, 60);
    uint64_t bits = ADA & ~UINT64_C(0x1fffffffffff);
    struct quota_member ada = member_of(bits | UINT64_C(4095) << 32, 0),
                        bob = member_of(bits | UINT64_C(4096) << 32, 0);
    uint64_t now = 1000000;
    cr_expect_eq(let_through(&one, &bob, 100, &now, 0), 60);
    cr_expect_eq(let_through(&one, &ada, 100, &now, 0), 60);
}

/*
 * Tables that are in use, but do not contain a group any more, take nothing from its limit: 64 parts fill it to the
 * last bit.
 */
Test(quota, others_take_nothing_away) {
    struct quota one = quota_of(0, 64), two = quota_of(1, 64), three = quota_of(2, 64);
    struct quota_member ada = member_of(ADA, 0), bob = member_of(BOB, 0);
    uint64_t now = 1000000;
    cr_expect_eq(quota_spend(&two, &ada, QUOTA_REQUESTS, now), 0);
    now += 40 * 29 * 1024;
    cr_expect_eq(quota_spend(&two, &bob, QUOTA_REQUESTS, now), 0);
    cr_expect_eq(quota_spend(&three, &bob, QUOTA_REQUESTS, now), 0);
    cr_expect_eq(let_through(&one, &ada, 100, &now, 0), 64);
}

/* The clock may start at zero, although zero also marks tables that were never used. */
Test(quota, what_is_spent_at_the_first_moment_counts) {
    struct quota one = quota_of(0, 10), two = quota_of(1, 10);
    struct quota_member ada = member_of(ADA, 0);
    uint64_t now = 0;
    cr_expect_eq(let_through(&one, &ada, 20, &now, 0), 10);
    cr_expect_eq(let_through(&two, &ada, 20, &now, 0), 0);
}

/* Clients of one prefix share its limit, and a refused request of one of them costs the others nothing. */
Test(quota, a_prefix_has_a_rate_of_its_own) {
    struct quota one = quota_of(0, 10);
    uint64_t now = 1000000;
    unsigned through = 0;
    for (uint64_t i = 0; i < 10; i++) {
        struct quota_member member = member_within(hash(i + 1), 0, hash(1000), 0);
        unsigned of_it = let_through(&one, &member, 100, &now, 0);
        cr_expect_leq(of_it, 10);
        through += of_it;
    }
    cr_expect_eq(through, 40);
}

Test(quota, a_crowd_of_others_makes_nobody_forgotten) {
    struct quota one = quota_of(0, 20);
    struct quota_member ada = member_of(ADA, 0);
    uint64_t now = 1000000;
    cr_expect_eq(let_through(&one, &ada, 30, &now, 0), 20);
    for (uint64_t i = 0; i < 10 * QUOTA_SLOTS; i++) {
        struct quota_member other = member_of(hash(i), 0);
        cr_assert_eq(quota_spend(&one, &other, QUOTA_REQUESTS, now), 0);
    }
    cr_expect_neq(quota_spend(&one, &ada, QUOTA_REQUESTS, now), 0, "crowded out of the table");
}

/* Counts the pages of these tables that have physical memory. */
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
    struct quota quota = {shared, count, sizeof *shared, shared, {10, 10}, 0};
    for (uint64_t i = 1; i < 4000; i++) {
        struct quota_member member = member_of(hash(i), 10);
        cr_assert(quota_enter(&quota, &member));
        quota_spend(&quota, &member, QUOTA_REQUESTS, 60000);
    }
    size_t own = sizeof *shared / (size_t)sysconf(_SC_PAGESIZE) + 1;
    cr_expect_leq(pages_there(shared, size), own + 2 * count, "%zu pages", pages_there(shared, size));
    munmap(shared, size);
}
