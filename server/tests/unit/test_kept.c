/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a worker keeps is limited, expires, and is taken from the owners with the most. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "content/kept.h"
#include "pretended.h"

#define MOST 1048576

static unsigned disposed;

static void dispose(void *thing) {
    cr_expect_eq(*(unsigned *)thing, 7);
    disposed++;
}

static unsigned *make(const char *key, const char *owner, size_t size) {
    unsigned *thing =
        kept_make(KEPT_PAGE, key, strlen(key), kept_owner(owner, strlen(owner)), sizeof *thing, size, dispose);
    if (thing)
        *thing = 7;
    return thing;
}

static unsigned *find(const char *key) {
    return kept_find(KEPT_PAGE, key, strlen(key));
}

static void begin(void) {
    pretended_time = 1000000;
    kept_open(MOST);
}

static void end(void) {
    kept_open(0);
    cr_expect_eq(kept_total(), 0);
    pretended_time = 0;
}

TestSuite(kept, .init = begin, .fini = end, .timeout = 30);

Test(kept, nothing_without_memory) {
    kept_open(0);
    cr_expect_null(make("a", "host", 10));
    cr_expect_null(find("a"));
}

Test(kept, a_thing_is_found_by_its_whole_key) {
    unsigned *thing = make("host/a", "host", 10);
    cr_assert_not_null(thing);
    cr_expect_eq(find("host/a"), thing);
    cr_expect_null(find("host/b"));
    cr_expect_null(find("host/"));
    cr_expect_null(find("host/aa"));
    cr_expect_null(kept_find(KEPT_METADATA, "host/a", 6), "another kind");
    unsigned *other = make("host/a", "host", 10);
    cr_expect_eq(disposed, 1, "in place of the earlier one");
    cr_expect_eq(find("host/a"), other);
    kept_drop(other);
    cr_expect_eq(disposed, 2);
    cr_expect_null(find("host/a"));
    cr_expect_eq(kept_total(), 0);
    kept_drop(&disposed); /* not something that is kept */
}

Test(kept, things_grow_old) {
    unsigned *thing = make("a", "host", 10);
    pretended_time += KEPT_SECONDS - 1;
    cr_expect_eq(find("a"), thing);
    pretended_time++;
    cr_expect_null(find("a"));
    cr_expect_eq(disposed, 1);
    /* They also expire if the clock is set back. */
    make("a", "host", 10);
    pretended_time--;
    cr_expect_null(find("a"));
    cr_expect_eq(disposed, 2);
}

Test(kept, memory_is_bounded_and_the_oldest_gives_way) {
    char key[32];
    size_t made = 0;
    for (; made < 100; made++) {
        snprintf(key, sizeof key, "%zu", made);
        cr_assert_not_null(make(key, "host", 16384));
        cr_expect_leq(kept_total(), MOST);
        cr_expect_not_null(find("0"), "what is used stays");
    }
    cr_expect_gt(disposed, 40);
    cr_expect_null(find("1"));
    cr_expect_not_null(find("99"));
    cr_expect_null(make("large", "host", MOST / 4), "one thing does not take everything");
    kept_open(0);
    cr_expect_eq(disposed, made);
}

/* However much an author puts into one capsule, the pages of another one are still kept. */
Test(kept, nobody_is_starved) {
    static const size_t sizes[] = {1, 100, 16384, 200000};
    char key[32];
    for (size_t i = 0; i < 8; i++) {
        snprintf(key, sizeof key, "small/%zu", i);
        cr_assert_not_null(make(key, "small", 10000));
    }
    for (size_t size = 0; size < 4; size++) {
        for (size_t i = 0; i < 3 * KEPT_MOST; i++) {
            snprintf(key, sizeof key, "large/%zu/%zu", size, i);
            cr_assert_not_null(make(key, "large", sizes[size]));
            cr_assert_leq(kept_total(), MOST);
        }
        for (size_t i = 0; i < 8; i++) {
            snprintf(key, sizeof key, "small/%zu", i);
            cr_expect_not_null(find(key), "%s, beside things of %zu bytes", key, sizes[size]);
        }
        cr_expect_not_null(find(key));
    }
    /* The reverse: an owner with little gets space from one with much. */
    for (size_t i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "third/%zu", i);
        cr_expect_not_null(make(key, "third", 10000));
    }
    for (size_t i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "third/%zu", i);
        cr_expect_not_null(find(key));
    }
}

/* As many owners as things. */
Test(kept, each_thing_of_another_owner) {
    char key[32];
    for (size_t i = 0; i < 2 * KEPT_MOST; i++) {
        snprintf(key, sizeof key, "%zu", i);
        cr_assert_not_null(make(key, key, 10));
        cr_assert_leq(kept_total(), MOST);
        cr_expect_not_null(find(key));
    }
}
