/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Only in attempts-fenced: leaves out the parts of the worker's sandbox that the environment names
 * (BREACH_WITHOUT="seccomp landlock privileges"), to see which attempts notice. The linker replaces the library's
 * functions with these (--wrap=NAME in mk/attack-programs.mk).
 */

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "common/log.h"
#include "without.h"

#define LANDLOCK_CREATE_RULESET 444

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
int __real_prctl(int option, ...);
int __wrap_prctl(int option, ...);

static bool entering;

static bool without(const char *part) {
    const char *parts = entering ? getenv("BREACH_WITHOUT") : NULL;
    return parts && strstr(parts, part);
}

int enter_without(enum sandbox_role role, int folder) {
    entering = true;
    int result = sandbox_enter(role, folder);
    entering = false;
    return result;
}

long __wrap_syscall(long number, ...) {
    long values[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        values[i] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_seccomp && without("seccomp"))
        return 0;
    if (number == LANDLOCK_CREATE_RULESET && without("landlock")) {
        errno = ENOSYS;
        return -1;
    }
    return __real_syscall(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}

int __wrap_prctl(int option, ...) {
    unsigned long values[4];
    va_list rest;
    va_start(rest, option);
    for (int i = 0; i < 4; i++)
        values[i] = va_arg(rest, unsigned long);
    va_end(rest);
    if (option == PR_SET_NO_NEW_PRIVS && without("privileges"))
        return 0;
    return __real_prctl(option, values[0], values[1], values[2], values[3]);
}

/* sandbox.c calls this before it ends the process; there is no log here. */
void log_flush(void) {
}
