/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Giving up power, for good: what a process has set up before the first byte from outside is all that it will ever have.
 *
 * Each role has its own list of system calls. Any other ends the process, after a line in the log that names the call.
 * Nothing switches this off.
 */

enum sandbox_role { SANDBOX_SUPERVISOR, SANDBOX_KEYS, SANDBOX_WORKER };

#define SANDBOX_EXIT 159 /* exit status of a process that made a call which is not on its list */

/*
 * Enters the sandbox of a role. Processes that are forked later inherit it, and can only give up more.
 *
 * Besides the list of calls: no new privileges, no core dump, no look inside for other processes of the same user; for a
 * worker, where the kernel has Landlock, no file but those beneath `folder` (a descriptor, may be O_PATH; -1: not asked
 * for), no TCP of its own, no signal to others.
 *
 * Returns 0, or -errno: the process is not to go on then. A kernel without Landlock is no error.
 */
int sandbox_enter(enum sandbox_role role, int folder);
