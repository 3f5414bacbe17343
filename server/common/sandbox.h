/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Gives up rights permanently: after the first byte from outside, a process has only what it set up before.
 *
 * Each role has its own list of system calls and their allowed arguments (sandbox_rules.h). Any other call ends the
 * process, after a line in the log that names it. Nothing can switch this off.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sandbox_role { SANDBOX_SUPERVISOR, SANDBOX_KEYS, SANDBOX_WORKER, SANDBOX_PROBE };

#define SANDBOX_SHARED 32    /* lower descriptors may be shared with other processes; a worker's own are above */
#define SANDBOX_NOBODY 65534 /* the user a worker becomes if root starts it; it owns nothing on any system */
#define SANDBOX_EXIT 159     /* exit status of a process that made a call that is not on its list */

/*
 * Sets how a forbidden call is reported; call it before sandbox_enter. note: receives the call's number (-1 until
 * then), and the process ends without a log line: the reader knows which process it is, and the report cannot get lost
 * among other lines. NULL: the process logs a line itself, with error priority if priorities are on (log.h).
 */
void sandbox_tell(bool priorities, _Atomic int *note);

/* Returns the name of a system call that intruders often use, or "another". */
const char *sandbox_call_name(int call);

/*
 * One instruction of the program that the kernel runs at each system call, for tests: struct sock_filter of seccomp(2).
 */
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

/* Makes the filter of a role from its rules (sandbox_rules.h). */
void sandbox_make_filter(enum sandbox_role role, struct sandbox_filter *filter);

/*
 * Enters the sandbox of a role. Processes that are forked later inherit it, and can only give up more.
 *
 * Besides the system call filter: no new privileges, no core dump, and other processes of the same user cannot look
 * inside. For a worker, if the kernel has Landlock: only files below `folder` (a descriptor, may be O_PATH; -1: no such
 * limit), no TCP of its own, no signals to others.
 *
 * Returns 0, or -errno; the process must not continue then. A kernel without Landlock is not an error.
 */
int sandbox_enter(enum sandbox_role role, int folder);
