/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Giving up power, for good: what a process has set up before the first byte from outside is all that it will ever
 * have.
 *
 * Each role has its own list of system calls and of the arguments that they may have (sandbox_rules.h). Any other ends
 * the process, after a line in the log that names the call. Nothing switches this off.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sandbox_role { SANDBOX_SUPERVISOR, SANDBOX_KEYS, SANDBOX_WORKER };

#define SANDBOX_SHARED 32 /* descriptors below this number may be shared with others; a worker keeps its own above */
#define SANDBOX_EXIT 159  /* exit status of a process that made a call which is not on its list */

/*
 * How a forbidden call is told; to be said before sandbox_enter. note: gets the call's number, -1 until then, and the
 * process ends without a line: who reads it knows whose it is, and it does not get lost among other lines. NULL: the
 * process writes a line itself, with the priority of an error where priorities are understood (log.h).
 */
void sandbox_tell(bool priorities, _Atomic int *note);

/* The name of a system call that intruders are fond of, or "another". */
const char *sandbox_call_name(int call);

/* The program that the kernel runs at each system call, for those who look at it: struct sock_filter of seccomp(2). */
struct sandbox_instruction {
    uint16_t code;
    uint8_t if_true, if_false;
    uint32_t value;
};

#define SANDBOX_INSTRUCTIONS_MAX 1024

struct sandbox_filter {
    struct sandbox_instruction instructions[SANDBOX_INSTRUCTIONS_MAX];
    size_t length;
};

/* Makes the filter of a role out of its rules (sandbox_rules.h). */
void sandbox_make_filter(enum sandbox_role role, struct sandbox_filter *filter);

/*
 * Enters the sandbox of a role. Processes that are forked later inherit it, and can only give up more.
 *
 * Besides the list of calls: no new privileges, no core dump, no look inside for other processes of the same user; for
 * a worker, where the kernel has Landlock, no file but those beneath `folder` (a descriptor, may be O_PATH; -1: not
 * asked for), no TCP of its own, no signal to others.
 *
 * Returns 0, or -errno: the process is not to go on then. A kernel without Landlock is no error.
 */
int sandbox_enter(enum sandbox_role role, int folder);
