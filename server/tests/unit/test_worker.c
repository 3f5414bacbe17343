/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How a worker starts and ends. */
#include <criterion/criterion.h>

/* This file includes the source under test; renaming avoids conflicts with the linked copy. */
#define worker_serve test_worker_serve
#include "worker/worker.c"

#include <fcntl.h>
#include <sys/wait.h>

#include "logged.h"
#include "worker_fixture.h"

TestSuite(worker, .init = prepare, .fini = clean, .timeout = 60);

Test(worker, signals_to_stop) {
    int ends[2];
    struct signalfd_siginfo signal = {.ssi_signo = SIGHUP};
    cr_assert_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    worker.stops = ends[0];
    read_signals(&worker, NULL, EPOLLIN);
    cr_expect_not(worker.told_to_stop);
    cr_assert_eq(write(ends[1], &signal, sizeof signal), (ssize_t)sizeof signal);
    read_signals(&worker, NULL, EPOLLIN);
    cr_expect(worker.told_to_stop);
    cr_expect_not(worker.told_to_hurry, "it ends with its connections");
    signal.ssi_signo = SIGTERM;
    cr_assert_eq(write(ends[1], &signal, sizeof signal), (ssize_t)sizeof signal);
    signal.ssi_signo = SIGHUP;
    cr_assert_eq(write(ends[1], &signal, sizeof signal), (ssize_t)sizeof signal);
    read_signals(&worker, NULL, EPOLLIN);
    cr_expect(worker.told_to_hurry);
    close(ends[0]), close(ends[1]);
}

/* A worker ends after SIGHUP with its last connection, and after SIGTERM within a moment. */
Test(worker, the_end_of_a_worker) {
    int channel[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, channel), 0);
    signing_client_open(&signing_client, channel[0]);
    setup.channel = channel[0];
    worker.key_process_source.handle = note_answers;
    worker.stops_source.handle = read_signals;
    setup.listener_count = 0;
    cr_assert(watch(&worker, channel[0], &worker.key_process_source));
    worker.stops = open_stops();
    cr_assert(watch(&worker, worker.stops, &worker.stops_source));
    context.now = clock_milliseconds();
    all_shared[0].ready = 1;
    queue_one(STATE_HANDSHAKE, 0, false)->deadline = context.now + 100;
    kept_open(65536);
    cr_assert_not_null(kept_make(KEPT_PAGE, "a", 1, 0, 100, 0, NULL));
    raise(SIGHUP);
    uint64_t begun = context.now, beats = all_shared[0].beats;
    run(&worker);
    cr_expect_geq(context.now, begun + 100);
    cr_expect_eq(context.counters->late, 1);
    cr_expect_eq(worker.open, 0);
    cr_expect_eq(all_shared[0].ready, 0);
    cr_expect_eq(kept_total(), 0, "its successor keeps pages in this memory");
    cr_expect_gt(all_shared[0].beats, beats);
    cr_expect_not(worker.told_to_hurry);
    /* In a hurry, after SIGTERM. */
    worker.told_to_stop = false;
    queue_one(STATE_HANDSHAKE, 0, false)->deadline = context.now + 600000;
    raise(SIGTERM);
    begun = context.now;
    run(&worker);
    cr_expect_geq(context.now, begun + setup.deadlines.shutdown_grace);
    cr_expect_eq(worker.open, 0);
    cr_expect_eq(context.counters->late, 1, "it was ended, and not late");
    /* The key process is gone. */
    worker.told_to_stop = worker.told_to_hurry = false;
    close(channel[1]);
    run(&worker);
    cr_expect(worker.told_to_stop && worker.told_to_hurry);
    cr_expect_not(epoll_has(EPOLLIN | EPOLLHUP, &worker.key_process_source));
    close(channel[0]), close(worker.stops);
    setup.listener_count = 1;
    setup.channel = -1;
}

/* ---- the start ---- */

Test(worker, low_numbers_are_taken) {
    cr_assert(keep_low_numbers(worker.events));
    int next = dup(worker.events);
    cr_expect_geq(next, SANDBOX_SHARED);
    close(next);
    cr_expect_eq(fcntl(SANDBOX_SHARED, F_GETFD), -1, "no more than these");
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){SANDBOX_SHARED, limit.rlim_max}), 0);
    cr_expect_not(keep_low_numbers(worker.events));
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

Test(worker, as_many_connections_as_there_are_descriptors) {
    static const struct {
        rlim_t now, most;
        size_t wanted, expected;
        rlim_t then;
    } cases[] = {
        {100, 100, 1000, (100 - DESCRIPTORS_APART) / 2, 100},
        {64, 200, 1000, (200 - DESCRIPTORS_APART) / 2, 200},
        {64, 1000, 100, 100, 200 + DESCRIPTORS_APART},
        {300, 1000, 100, 100, 300},
        {DESCRIPTORS_APART + 2, DESCRIPTORS_APART + 2, 100, 1, DESCRIPTORS_APART + 2},
        {DESCRIPTORS_APART + 4, DESCRIPTORS_APART + 4, 100, 2, DESCRIPTORS_APART + 4},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int said[2];
        size_t got[2] = {0, 0};
        cr_assert_eq(pipe2(said, O_CLOEXEC), 0);
        pid_t child = fork();
        if (child == 0) {
            struct rlimit limit = {cases[i].now, cases[i].most};
            settings.max_connections = cases[i].wanted;
            bool could = setrlimit(RLIMIT_NOFILE, &limit) == 0;
            got[0] = could ? connections_at_most(&setup) : 0;
            getrlimit(RLIMIT_NOFILE, &limit);
            got[1] = limit.rlim_cur;
            (void)!write(said[1], got, sizeof got);
            _exit(0);
        }
        close(said[1]);
        cr_assert_eq(read(said[0], got, sizeof got), (ssize_t)sizeof got);
        close(said[0]);
        waitpid(child, NULL, 0);
        cr_expect_eq(got[0], cases[i].expected, "case %zu: %zu", i, got[0]);
        cr_expect_eq(got[1], cases[i].then, "case %zu: %zu", i, got[1]);
    }
}

Test(worker, why_it_cannot_start_is_logged) {
    struct rlimit limit;
    int next = dup(worker.events);
    close(next);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    logged_begin();
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)next, (rlim_t)next}), 0);
    int status = worker_serve(&setup);
    const char *text = logged_end();
    cr_expect_eq(status, 1);
    cr_expect_not_null(strstr(text, "a worker cannot start: Too many open files"), "%s", text);
}
