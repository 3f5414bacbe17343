/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "supervisor/staff.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "logged.h"

static struct staff staff;
static struct worker_board board;

/* A worker of an earlier generation that was told to leave so many milliseconds ago, and never ends by itself. */
static pid_t retire(uint64_t ago, int ready) {
    pid_t process = fork();
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it does not outlive a test that fails */
        for (;;)
            pause();
    }
    staff_begin(&staff);
    staff.keys_apart = true;
    board.ready = ready;
    staff.retired[0].process = process;
    staff.retired[0].board = &board;
    staff.retired[0].retired = clock_milliseconds() - ago;
    return process;
}

/*
 * Was a process ended by a signal? Only a process that should be is waited for, since a busy machine may take long; it is
 * gone then.
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
    staff_look_after(&staff);
    bool killed = was_killed(process, expected);
    cr_expect_eq(killed, expected, "%s", why);
    if (!killed)
        dismiss(process);
}

Test(staff, who_is_told_to_leave_has_to_go_some_time) {
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
    staff.retired[0].process = 0;
    memset(&board, 0, sizeof board);
    staff.worker_count = 1;
    staff.employees[0].process = process;
    staff.employees[0].board = &board;
    staff.employees[0].beat_seen = clock_milliseconds() - ago;
    return process;
}

Test(staff, a_worker_without_a_beat_hangs) {
    pid_t process = employ(10000);
    staff_look_after(&staff);
    cr_expect_not(was_killed(process, false), "it may have been busy");
    dismiss(process);
    process = employ(16000);
    board.beats = 1;
    staff_look_after(&staff);
    cr_expect_not(was_killed(process, false), "there was a beat since");
    staff_look_after(&staff);
    cr_expect_not(was_killed(process, false), "its time begins anew with a beat");
    dismiss(process);
    process = employ(16000);
    staff_look_after(&staff);
    cr_expect_gt(staff.employees[0].beat_seen + 10000, clock_milliseconds(), "it is told once");
    cr_expect(was_killed(process, true));
}

/* In doubt a worker has two seconds for its next beat. */
Test(staff, an_examination_is_short) {
    pid_t process = employ(0);
    staff_examine(&staff);
    staff_look_after(&staff);
    cr_expect_not(was_killed(process, false));
    staff.employees[0].beat_seen -= 2000;
    staff_look_after(&staff);
    cr_expect(was_killed(process, true));
}

/* A worker that has just ended, after so many milliseconds of life. Returns how long its place stays empty. */
static unsigned pause_after(uint64_t life) {
    pid_t process = fork();
    if (process == 0)
        _exit(1);
    staff.employees[0].process = process;
    staff.employees[0].started = clock_milliseconds() - life;
    uint64_t before = clock_milliseconds();
    while (staff.employees[0].process != 0)
        staff_reap(&staff);
    uint64_t start_at = staff.employees[0].start_at;
    cr_expect_geq(start_at, before + staff.employees[0].delay);
    cr_expect_leq(start_at, clock_milliseconds() + staff.employees[0].delay);
    return staff.employees[0].delay;
}

Test(staff, who_dies_young_is_replaced_ever_later) {
    static const unsigned delays[] = {50, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    dismiss(employ(0));
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++)
        cr_expect_eq(pause_after(0), delays[i], "death %zu", i);
    cr_expect_eq(pause_after(5000), 0, "one that has worked for a while is replaced at once");
    cr_expect_eq(pause_after(0), 50);
}

/* Whoever was connected to a worker that is gone counts for nothing, and nobody is sent there. */
Test(staff, what_a_dead_worker_counted_is_forgotten) {
    dismiss(employ(0));
    board.room = 1;
    memset(&board.quota, 1, sizeof board.quota);
    board.tally.answered = 3;
    pause_after(0);
    static const struct quota none;
    cr_expect_eq(board.room, 0);
    cr_expect_arr_eq(&board.quota, &none, sizeof none);
    cr_expect_eq(board.tally.answered, 3, "that is still told");
}

Test(staff, when_there_is_something_to_do) {
    dismiss(employ(0));
    staff.employees[0].start_at = 500;
    cr_expect_eq(staff_wake(&staff, 1000), 1000, "nobody is missing");
    staff.employees[0].process = 0;
    cr_expect_eq(staff_wake(&staff, 1000), 500);
    cr_expect_eq(staff_wake(&staff, 400), 400);
    staff.keys.start_at = 300;
    cr_expect_eq(staff_wake(&staff, 1000), 500, "the key process is a service of its own");
    staff.keys_apart = false;
    cr_expect_eq(staff_wake(&staff, 1000), 300);
    staff.keys.process = 1;
    cr_expect_eq(staff_wake(&staff, 1000), 500);
}

Test(staff, when_a_generation_has_taken_over) {
    static struct worker_board former;
    dismiss(employ(0));
    cr_expect_eq(staff_ready(&staff), 0);
    cr_expect_not(staff_has_taken_over(&staff), "the new one is not ready");
    board.ready = 1;
    cr_expect_eq(staff_ready(&staff), 1);
    cr_expect(staff_has_taken_over(&staff));
    former.ready = 1;
    staff.retired[1].board = &former;
    cr_expect(staff_has_taken_over(&staff), "nobody is there");
    staff.retired[1].process = 1;
    cr_expect_not(staff_has_taken_over(&staff), "an old one still takes connections");
    former.ready = 0;
    cr_expect(staff_has_taken_over(&staff));
    staff.employees[0].process = 0;
    cr_expect_eq(staff_ready(&staff), 0);
    cr_expect_not(staff_has_taken_over(&staff));
}

/* What one of an earlier generation has answered stays counted; its board is free. */
Test(staff, who_has_finished_is_told_of_where_it_matters) {
    static const struct {
        int status;
        size_t lines;
    } cases[] = {{0, 0}, {1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dismiss(retire(0, 1));
        pid_t process = fork();
        if (process == 0)
            _exit(cases[i].status);
        staff.retired[0].process = process;
        staff.answered = 4;
        board.tally.answered = 3;
        logged_begin();
        while (staff.retired[0].process != 0)
            staff_reap(&staff);
        cr_expect_eq(logged_count(logged_end(), "worker of an earlier generation"), cases[i].lines);
        cr_expect_eq(staff.answered, 7);
        cr_expect_eq(board.tally.answered, 0);
        cr_expect_eq(board.ready, 0);
    }
}

/* 64 KiB are the largest pages there are: who may write one board may not write another by accident of its size. */
Test(staff, each_board_has_pages_of_its_own) {
    cr_expect_eq(sizeof(struct worker_board) % 65536, 0);
    cr_expect_eq((uintptr_t)&board % 65536, 0);
}
