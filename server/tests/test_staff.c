/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "../staff.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../clock.h"

static struct staff staff;
static struct worker_board board;

/* A worker of an earlier generation that was told to leave so many milliseconds ago, and never ends by itself. */
static pid_t retire(uint64_t ago, int ready) {
    pid_t process = fork();
    if (process == 0) {
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

static bool is_ended(uint64_t ago, int ready) {
    int status;
    pid_t process = retire(ago, ready);
    staff_look_after(&staff);
    usleep(50000);
    bool ended = waitpid(process, &status, WNOHANG) == process;
    if (!ended) {
        kill(process, SIGKILL);
        waitpid(process, &status, 0);
    }
    return ended;
}

Test(staff, who_is_told_to_leave_has_to_go_some_time) {
    cr_expect_not(is_ended(1000, 1), "it has just been told");
    cr_expect(is_ended(20000, 1), "it still takes connections");
    cr_expect_not(is_ended(20000, 0), "it finishes what it has");
    cr_expect_not(is_ended(800000, 0));
    cr_expect(is_ended(901000, 0), "it has had its time");
}

/* 64 KiB are the largest pages there are: who may write one board may not write another by accident of its size. */
Test(staff, each_board_has_pages_of_its_own) {
    cr_expect_eq(sizeof(struct worker_board) % 65536, 0);
    cr_expect_eq((uintptr_t)&board % 65536, 0);
}
