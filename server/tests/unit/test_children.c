/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "supervisor/children.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "logged.h"

static struct children children;
static struct worker_shared shared;

/* A worker of an earlier generation that was told to leave so many milliseconds ago, and never ends by itself. */
static pid_t retire(uint64_t ago, int ready) {
    pid_t process = fork();
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it does not outlive a test that fails */
        for (;;)
            pause();
    }
    children_begin(&children);
    children.keys_apart = true;
    shared.ready = ready;
    children.retired[0].process = process;
    children.retired[0].shared = &shared;
    children.retired[0].retired = clock_milliseconds() - ago;
    return process;
}

/*
 * Was a process ended by a signal? Only a process that should be is waited for, since a busy machine may take long; it
 * is gone then.
 */
static bool was_killed(pid_t process, bool expected) {
    int status;
    for (int round = 0; round < (expected ? 1000 : 3); round++) {
        if (waitpid(process, &status, WNOHANG) == process)
            return WIFSIGNALED(status);
        usleep(10000);
    }
    return false;
}

static void dismiss(pid_t process) {
    kill(process, SIGKILL);
    waitpid(process, NULL, 0);
}

static void expect_end(uint64_t ago, int ready, bool expected, const char *why) {
    pid_t process = retire(ago, ready);
    children_look_after(&children);
    bool killed = was_killed(process, expected);
    cr_expect_eq(killed, expected, "%s", why);
    if (!killed)
        dismiss(process);
}

Test(children, who_is_told_to_leave_has_to_go_some_time) {
    expect_end(1000, 1, false, "it has just been told");
    expect_end(20000, 1, true, "it still takes connections");
    expect_end(20000, 0, false, "it finishes what it has");
    expect_end(800000, 0, false, "it has some time left");
    expect_end(901000, 0, true, "it has had its time");
}

/* ---- workers at work ---- */

/* One worker, whose last beat was seen so many milliseconds ago. */
static pid_t employ(uint64_t ago) {
    pid_t process = retire(0, 0);
    children.retired[0].process = 0;
    memset(&shared, 0, sizeof shared);
    children.worker_count = 1;
    children.workers[0].process = process;
    children.workers[0].shared = &shared;
    children.workers[0].beat_seen = clock_milliseconds() - ago;
    return process;
}

Test(children, a_worker_without_a_beat_hangs) {
    pid_t process = employ(10000);
    children_look_after(&children);
    cr_expect_not(was_killed(process, false), "it may have been busy");
    dismiss(process);
    process = employ(16000);
    shared.beats = 1;
    children_look_after(&children);
    cr_expect_not(was_killed(process, false), "there was a beat since");
    children_look_after(&children);
    cr_expect_not(was_killed(process, false), "its time begins anew with a beat");
    dismiss(process);
    process = employ(16000);
    children_look_after(&children);
    cr_expect_gt(children.workers[0].beat_seen + 10000, clock_milliseconds(), "it is told once");
    cr_expect(was_killed(process, true));
}

/* In doubt a worker has two seconds for its next beat. */
Test(children, an_examination_is_short) {
    pid_t process = employ(0);
    children_examine(&children);
    children_look_after(&children);
    cr_expect_not(was_killed(process, false));
    children.workers[0].beat_seen -= 2000;
    children_look_after(&children);
    cr_expect(was_killed(process, true));
}

/* A worker that has just ended, after so many milliseconds of life. Returns how long its place stays empty. */
static unsigned pause_after(uint64_t life) {
    pid_t process = fork();
    if (process == 0)
        _exit(1);
    children.workers[0].process = process;
    children.workers[0].started = clock_milliseconds() - life;
    uint64_t before = clock_milliseconds();
    while (children.workers[0].process != 0)
        children_reap(&children);
    uint64_t start_at = children.workers[0].start_at;
    cr_expect_geq(start_at, before + children.workers[0].delay);
    cr_expect_leq(start_at, clock_milliseconds() + children.workers[0].delay);
    return children.workers[0].delay;
}

Test(children, who_dies_young_is_replaced_ever_later) {
    static const unsigned delays[] = {50, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    dismiss(employ(0));
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++)
        cr_expect_eq(pause_after(0), delays[i], "death %zu", i);
    cr_expect_eq(pause_after(5000), 0, "one that has worked for a while is replaced at once");
    cr_expect_eq(pause_after(0), 50);
}

/* Whoever was connected to a worker that is gone counts for nothing, and nobody is sent there. */
Test(children, what_a_dead_worker_counted_is_forgotten) {
    dismiss(employ(0));
    shared.room = 1;
    memset(&shared.quota, 1, sizeof shared.quota);
    shared.counters.answered = 3;
    pause_after(0);
    static const struct quota none;
    cr_expect_eq(shared.room, 0);
    cr_expect_arr_eq(&shared.quota, &none, sizeof none);
    cr_expect_eq(shared.counters.answered, 3, "that is still told");
}

Test(children, when_there_is_something_to_do) {
    dismiss(employ(0));
    children.workers[0].start_at = 500;
    cr_expect_eq(children_wake(&children, 1000), 1000, "nobody is missing");
    children.workers[0].process = 0;
    cr_expect_eq(children_wake(&children, 1000), 500);
    cr_expect_eq(children_wake(&children, 400), 400);
    children.keys.start_at = 300;
    cr_expect_eq(children_wake(&children, 1000), 500, "the key process is a service of its own");
    children.keys_apart = false;
    cr_expect_eq(children_wake(&children, 1000), 300);
    children.keys.process = 1;
    cr_expect_eq(children_wake(&children, 1000), 500);
}

Test(children, when_a_generation_has_taken_over) {
    static struct worker_shared former;
    dismiss(employ(0));
    cr_expect_eq(children_ready(&children), 0);
    cr_expect_not(children_has_taken_over(&children), "the new one is not ready");
    shared.ready = 1;
    cr_expect_eq(children_ready(&children), 1);
    cr_expect(children_has_taken_over(&children));
    former.ready = 1;
    children.retired[1].shared = &former;
    cr_expect(children_has_taken_over(&children), "nobody is there");
    children.retired[1].process = 1;
    cr_expect_not(children_has_taken_over(&children), "an old one still takes connections");
    former.ready = 0;
    cr_expect(children_has_taken_over(&children));
    children.workers[0].process = 0;
    cr_expect_eq(children_ready(&children), 0);
    cr_expect_not(children_has_taken_over(&children));
}

/* What one of an earlier generation has answered stays counted; its shared memory is free. */
Test(children, who_has_finished_is_told_of_where_it_matters) {
    static const struct {
        int status;
        size_t lines;
    } cases[] = {{0, 0}, {1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dismiss(retire(0, 1));
        pid_t process = fork();
        if (process == 0)
            _exit(cases[i].status);
        children.retired[0].process = process;
        children.answered = 4;
        shared.counters.answered = 3;
        logged_begin();
        while (children.retired[0].process != 0)
            children_reap(&children);
        cr_expect_eq(logged_count(logged_end(), "worker of an earlier generation"), cases[i].lines);
        cr_expect_eq(children.answered, 7);
        cr_expect_eq(shared.counters.answered, 0);
        cr_expect_eq(shared.ready, 0);
    }
}

/* 64 KiB are the largest pages there are: who may write the memory of one may not write another by accident of its
 * size. */
Test(children, shared_memory_has_pages_of_its_own) {
    cr_expect_eq(sizeof(struct worker_shared) % 65536, 0);
    cr_expect_eq((uintptr_t)&shared % 65536, 0);
}
