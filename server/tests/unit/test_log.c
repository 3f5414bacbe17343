/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Criterion runs each test in its own process, so tests may change standard error and the environment. */
static int reading_end;

static void catch_lines(void) {
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
    close(ends[1]);
    reading_end = ends[0];
}

/* Returns what was logged since the last call, as one string. */
static const char *caught(void) {
    static char lines[2 * LOG_LINE_MAX];
    int mark = write(STDERR_FILENO, "", 1) == 1;
    cr_assert(mark);
    ssize_t length = read(reading_end, lines, sizeof(lines));
    cr_assert_gt(length, 0);
    return lines;
}

Test(log, one_line_with_errno_kept, .init = catch_lines) {
    unsetenv("JOURNAL_STREAM");
    unsetenv("VITRINE_DEBUG");
    log_open();
    errno = ENOTTY;
    log_line(LOG_LEVEL_INFO, "a %d %s", 1, "b");
    cr_expect_eq(errno, ENOTTY);
    cr_expect_str_eq(caught(), "a 1 b\n");
    log_line(LOG_LEVEL_DEBUG, "not wanted");
    cr_expect_str_eq(caught(), "");
}

Test(log, debug_on_demand, .init = catch_lines) {
    setenv("VITRINE_DEBUG", "1", 1);
    log_open();
    log_line(LOG_LEVEL_DEBUG, "wanted");
    cr_expect_str_eq(caught(), "wanted\n");
    setenv("VITRINE_DEBUG", "0", 1);
    log_open();
    log_line(LOG_LEVEL_DEBUG, "not wanted");
    cr_expect_str_eq(caught(), "");
}

Test(log, priorities_for_the_journal_only, .init = catch_lines) {
    struct stat status;
    char stream[64];
    cr_assert_eq(fstat(STDERR_FILENO, &status), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev, (unsigned long long)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_open();
    log_line(LOG_LEVEL_ERROR, "x");
    log_line(LOG_LEVEL_INFO, "y");
    cr_expect_str_eq(caught(), "<3>x\n<6>y\n");

    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino + 1);
    setenv("JOURNAL_STREAM", stream, 1);
    log_open();
    log_line(LOG_LEVEL_ERROR, "x");
    setenv("JOURNAL_STREAM", "no numbers", 1);
    log_open();
    log_line(LOG_LEVEL_ERROR, "y");
    cr_expect_str_eq(caught(), "x\ny\n");
}

Test(log, no_argument_breaks_the_line, .init = catch_lines) {
    log_open();
    log_line(LOG_LEVEL_INFO, "a%sb%sc", "\n<0>", "\x1b[0m\x7f\r\t");
    const char *line = caught();
    cr_expect_str_eq(line, "a?<0>b?[0m???c\n", "%s", line);
}

Test(log, long_lines_are_cut, .init = catch_lines) {
    static char text[2 * LOG_LINE_MAX];
    memset(text, 'a', sizeof(text) - 1);
    log_open();
    log_line(LOG_LEVEL_INFO, "%s", text);
    const char *line = caught();
    cr_expect_eq(strlen(line), LOG_LINE_MAX);
    cr_expect_eq(line[LOG_LINE_MAX - 1], '\n');
    cr_expect_eq(strchr(line, '\n') - line, LOG_LINE_MAX - 1);
}

/* Only flushed lines reach standard error. */
Test(log, lines_wait_until_they_are_flushed, .init = catch_lines) {
    log_open();
    log_with_priorities();
    log_gather();
    log_line(LOG_LEVEL_INFO, "a");
    log_line(LOG_LEVEL_INFO, "b");
    cr_expect_str_eq(caught(), "");
    errno = ENOTTY;
    log_flush();
    cr_expect_eq(errno, ENOTTY);
    cr_expect_str_eq(caught(), "<6>a\n<6>b\n");
    log_flush();
    cr_expect_str_eq(caught(), "");
    log_line(LOG_LEVEL_INFO, "c");
    log_line(LOG_LEVEL_WARNING, "d");
    cr_expect_str_eq(caught(), "<6>c\n<4>d\n", "a grave line waits for nothing, and comes behind those before it");
    log_line(LOG_LEVEL_ERROR, "e");
    cr_expect_str_eq(caught(), "<3>e\n");
}

Test(log, lines_that_find_no_room_push_out_those_before_them, .init = catch_lines) {
    char half[LOG_LINE_MAX / 2], expected[LOG_LINE_MAX + 1];
    memset(half, 'h', sizeof half);
    half[sizeof half - 1] = '\0';
    log_open();
    log_gather();
    log_line(LOG_LEVEL_INFO, "%s", half);
    log_line(LOG_LEVEL_INFO, "%s", half);
    cr_expect_str_eq(caught(), "", "together they just fit");
    log_line(LOG_LEVEL_INFO, "x");
    snprintf(expected, sizeof expected, "%s\n%s\n", half, half);
    cr_expect_str_eq(caught(), expected);
    log_flush();
    cr_expect_str_eq(caught(), "x\n");
}

/* A full pipe loses whole lines, and all waiting lines are counted as lost. */
Test(log, lines_that_are_lost_together_are_counted) {
    static char text[65536];
    int ends[2];
    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
    cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
    log_open();
    log_gather();
    while (write(STDERR_FILENO, text, sizeof text) > 0)
        ;
    log_line(LOG_LEVEL_INFO, "a");
    log_line(LOG_LEVEL_INFO, "b");
    log_line(LOG_LEVEL_INFO, "c");
    log_flush();
    while (read(ends[0], text, sizeof text) > 0)
        ;
    log_line(LOG_LEVEL_INFO, "d");
    log_flush();
    ssize_t size = read(ends[0], text, sizeof text - 1);
    cr_assert_gt(size, 0);
    text[size] = '\0';
    cr_expect_str_eq(text, "3 log lines were dropped because the log was full\nd\n");
}

Test(log, quote) {
    static const struct {
        const char *text;
        size_t size;
        const char *quoted;
    } cases[] = {
        {"", 8, "\"\""},
        {"plain text", 64, "\"plain text\""},
        {"a\"b\\c", 64, "\"a\\x22b\\x5cc\""},
        {"\n\x1b\x7f\xc3\xa4", 64, "\"\\x0a\\x1b\\x7f\\xc3\\xa4\""},
        {"abcde", 8, "\"abcde\""},
        {"abcdef", 8, "\"ab...\""},
        {"\n", 8, "\"\\x0a\""},
        {"\n\n", 8, "\"...\""},
        {"\n\n", 11, "\"\\x0a\\x0a\""},
        {"ab\n\n\n", 12, "\"ab\\x0a...\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *quoted = malloc(cases[i].size);
        cr_assert_not_null(quoted);
        cr_expect_eq(log_quote(quoted, cases[i].size, cases[i].text), quoted);
        cr_expect_str_eq(quoted, cases[i].quoted, "case %zu: %s", i, quoted);
        free(quoted);
    }
}

Test(log, quote_never_cuts_in_the_documented_size) {
    char text[257], quoted[4 * 256 + 3];
    for (size_t length = 0; length <= 256; length++) {
        memset(text, '\x01', length);
        text[length] = '\0';
        log_quote(quoted, 4 * length + 3 < 8 ? 8 : 4 * length + 3, text);
        cr_expect_eq(strlen(quoted), 4 * length + 2);
        cr_expect_null(strstr(quoted, "..."));
    }
}
