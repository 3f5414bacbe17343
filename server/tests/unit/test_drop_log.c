/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "worker/drop_log.h"

#define NOW 5000
#define SOMEWHERE " address=192.0.2.1"

static char logged[65536];
static int usual = -1;
static FILE *file;

static void begin(void) {
    file = tmpfile();
    usual = dup(STDERR_FILENO);
    cr_assert(file && usual >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
}

static void end(void) {
    dup2(usual, STDERR_FILENO);
    close(usual);
    fclose(file);
}

TestSuite(drop_log, .init = begin, .fini = end);

/* Returns the log since the last call. */
static const char *take_log(void) {
    rewind(file);
    logged[fread(logged, 1, sizeof logged - 1, file)] = '\0';
    rewind(file);
    cr_assert_eq(ftruncate(fileno(file), 0), 0);
    return logged;
}

static size_t lines_in(const char *text) {
    size_t lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

Test(drop_log, a_line_for_each_and_a_sum) {
    struct remarks remarks = {0};
    drop_log_add(&remarks, DROP_LATE, SOMEWHERE, NOW);
    cr_expect_str_eq(take_log(), "connection end=late address=192.0.2.1\n");
    drop_log_add(&remarks, DROP_FOREIGN, SOMEWHERE, NOW + 1);
    cr_expect_str_eq(take_log(), "connection end=foreign address=192.0.2.1\n");
    drop_log_settle(&remarks, NOW + DROP_LOG_PERIOD - 1);
    cr_expect_str_eq(take_log(), "");
    drop_log_settle(&remarks, NOW + DROP_LOG_PERIOD);
    cr_expect_str_eq(take_log(),
                     "connections refused=0 throttled=0 displaced=0 late=1 foreign=1 failed=0 seconds=60\n");
    drop_log_settle(&remarks, NOW + 2 * DROP_LOG_PERIOD);
    cr_expect_str_eq(take_log(), "", "it is told twice");
}

Test(drop_log, a_flood_is_a_bounded_number_of_lines) {
    struct remarks remarks = {0};
    for (unsigned i = 0; i < 5000; i++)
        drop_log_add(&remarks, i % 2 ? DROP_REFUSED : DROP_FAILED, SOMEWHERE, NOW + i);
    cr_expect_eq(lines_in(take_log()), 2 * DROP_LOG_MAX);
    drop_log_add(&remarks, DROP_LATE, SOMEWHERE, NOW + 5000);
    cr_expect_str_eq(take_log(), "connection end=late address=192.0.2.1\n", "the flood hides what else there is");
    drop_log_add(&remarks, DROP_DISPLACED, SOMEWHERE, NOW + DROP_LOG_PERIOD);
    cr_expect_str_eq(take_log(),
                     "connections refused=2500 throttled=0 displaced=0 late=1 foreign=0 failed=2500 seconds=60\n"
                     "connection end=displaced address=192.0.2.1\n");
}

Test(drop_log, without_addresses_there_is_only_the_sum) {
    struct remarks remarks = {0};
    for (unsigned i = 0; i < 7; i++)
        drop_log_add(&remarks, DROP_LATE, "", NOW);
    cr_expect_str_eq(take_log(), "");
    drop_log_settle(&remarks, NOW + DROP_LOG_PERIOD);
    cr_expect_str_eq(take_log(),
                     "connections refused=0 throttled=0 displaced=0 late=7 foreign=0 failed=0 seconds=60\n");
}
