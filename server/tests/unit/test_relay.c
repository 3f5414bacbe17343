/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "supervisor/relay.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

static int log_end, worker_end;
static struct relay relay;

/* The log is a pipe that supports priorities; the worker's end is another pipe. */
static void set_up(void) {
    struct stat status;
    char stream[64];
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    log_end = ends[0];
    fcntl(log_end, F_SETFL, O_NONBLOCK);
    fstat(STDERR_FILENO, &status);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)status.st_dev, (unsigned long long)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_open();
    worker_end = relay_open(&relay);
    cr_assert_geq(worker_end, 0);
}

TestSuite(relay, .init = set_up);

/* Returns what reaches the log when a worker writes `text`. */
static const char *relayed(const char *text, uint64_t now) {
    static char lines[2 * 65536];
    cr_assert_eq(write(worker_end, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert(relay_lines(&relay, 7, now));
    ssize_t got = read(log_end, lines, sizeof lines - 1);
    lines[got < 0 ? 0 : got] = '\0';
    return lines;
}

Test(relay, lines_get_their_worker_and_keep_their_priority) {
    cr_expect_str_eq(relayed("<6>request status=20\n<5>notice\n<4>warning\n", 0),
                     "<6>worker 7: request status=20\n<5>worker 7: notice\n<4>worker 7: warning\n");
}

Test(relay, what_is_no_line_of_ours) {
    static const struct {
        const char *said, *logged;
    } rows[] = {
        {"<0>emergency\n", "<4>worker 7: emergency\n"},
        {"<3>error\n", "<4>worker 7: error\n"},
        {"plain\n", "<6>worker 7: plain\n"},
        {"<9>no priority\n", "<6>worker 7: <9>no priority\n"},
        {"<6><0>twice\n", "<6>worker 7: <0>twice\n"},
        {"<6", "<6>worker 7: <6\n"},
        {"\n\n\n", ""},
        {"<6>\x1b]0;title\x07\n", "<6>worker 7: ?]0;title?\n"},
        {"<6>\xc2\x9b"
         "2J\r\t\x7f\n",
         "<6>worker 7: ??2J???\n"},
        {"<6>no end", "<6>worker 7: no end\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_str_eq(relayed(rows[i].said, 0), rows[i].logged, "row %zu", i);
}

Test(relay, without_a_journal_there_are_no_priorities) {
    unsetenv("JOURNAL_STREAM");
    log_open();
    cr_expect_str_eq(relayed("<4>warning\n", 0), "worker 7: warning\n");
}

/* The journal limits lines per priority. A worker may write a few serious ones; after that, they count as others. */
Test(relay, grave_lines_are_few) {
    for (int i = 0; i < RELAY_GRAVE_MAX; i++)
        cr_expect_str_eq(relayed("<3>alarm\n", 1000), "<4>worker 7: alarm\n");
    cr_expect_str_eq(relayed("<3>alarm\n", 1000), "<6>worker 7: alarm\n");
    cr_expect_str_eq(relayed("<3>alarm\n", 1000 + RELAY_PERIOD), "<4>worker 7: alarm\n");
}

Test(relay, a_line_without_end_is_cut) {
    static char line[40000];
    memset(line, 'x', sizeof line - 2);
    line[sizeof line - 2] = '\n';
    const char *logged = relayed(line, 0);
    cr_expect_eq(strlen(logged), LOG_LINE_MAX);
    cr_expect_eq(logged[LOG_LINE_MAX - 1], '\n');
}

/* The worker does not wait for the supervisor, and the supervisor does not wait for the log. */
Test(relay, a_full_pipe_makes_nobody_wait, .timeout = 30) {
    char line[100];
    memset(line, 'y', sizeof line);
    line[99] = '\n';
    cr_assert(relay_has_room());
    while (write(worker_end, line, sizeof line) > 0)
        ;
    fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    while (write(STDERR_FILENO, line, sizeof line) > 0)
        ;
    cr_expect_not(relay_has_room());
    relay_close(&relay, 7, 0);
    cr_expect_eq(relay.pipe, -1);
    cr_expect_not(relay_lines(&relay, 7, 0));
}

/*
 * Runs in its own process: all three standard descriptors are the pipe, and lines that did not fit are reported later.
 */
Test(relay, a_worker_counts_what_is_lost) {
    char bytes[4096], *all = malloc(1 << 20);
    size_t size = 0;
    ssize_t got;
    cr_assert_eq(relay_enter(worker_end), 0);
    for (int i = 0; i < 3000; i++)
        log_line(LOG_LEVEL_INFO, "a line that takes some room in the pipe, number %d", i);
    while ((got = read(relay.pipe, bytes, sizeof bytes)) > 0)
        ;
    log_line(LOG_LEVEL_INFO, "there is room again");
    while ((got = read(relay.pipe, bytes, sizeof bytes)) > 0) {
        memcpy(all + size, bytes, (size_t)got);
        size += (size_t)got;
    }
    all[size] = '\0';
    unsigned long lost = 0;
    cr_expect_eq(sscanf(all, "<4>%lu log lines were dropped because the log was full", &lost), 1, "%s", all);
    cr_expect(lost > 100 && lost < 3000, "%lu", lost);
    cr_expect_not_null(strstr(all, "<6>there is room again\n"));
    struct stat in, out, error;
    cr_assert(fstat(0, &in) == 0 && fstat(1, &out) == 0 && fstat(2, &error) == 0);
    cr_expect(in.st_ino == error.st_ino && out.st_ino == error.st_ino);
}
