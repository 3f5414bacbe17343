/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The part of a test build of the server that puts the engine of the random intruder into each worker. The linker
 * replaces functions of the server and the library with these, __wrap_NAME (--wrap=NAME in mk/attack-programs.mk); the
 * originals are __real_NAME here. The sandbox, its filter and the unit are the real ones.
 */

#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "attempt.h"
#include "common/log.h"
#include "engine.h"
#include "filter.h"
#include "worker/worker.h"

int __real_main(int count, char **arguments);
int __wrap_main(int count, char **arguments);
size_t __wrap_processors_allowed(void);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
int __real_worker_serve(const struct worker_setup *setup);
int __wrap_worker_serve(const struct worker_setup *setup);
ssize_t __real_send(int descriptor, const void *message, size_t size, int flags);
ssize_t __wrap_send(int descriptor, const void *message, size_t size, int flags);
int __real_epoll_wait(int events, struct epoll_event *happened, int count, int timeout);
int __wrap_epoll_wait(int events, struct epoll_event *happened, int count, int timeout);

static bool loosened;
static int old_log = -1; /* the workers' former standard error, which is the supervisor's */

/* Uses as many workers as a real machine: the intruder is in some of them, and the others must not notice. */
size_t __wrap_processors_allowed(void) {
    return 8;
}

int __wrap_main(int count, char **arguments) {
    char text[sizeof INTRUDER_OLD_FILTER] = "";
    int file = open(INTRUDER_SETTINGS, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        loosened = read(file, text, sizeof text - 1) > 0 && strcmp(text, INTRUDER_OLD_FILTER) == 0;
        close(file);
    }
    if (!engine_read_surroundings())
        log_line(LOG_LEVEL_WARNING, "intruder: it does not know the decoys: %s", attempt_reason);
    if (loosened)
        old_log = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 200);
    return __real_main(count, arguments);
}

/*
 * Intercepts the filter that is being installed (server/common/sandbox.c). If it cannot be stored, it is not installed,
 * so no worker serves.
 */
static long install(long mode, long flags, const void *program) {
    static struct filter_instruction made[FILTER_MAX];
    struct { /* struct sock_fprog */
        unsigned short length;
        const struct filter_instruction *instructions;
    } filter;
    memcpy(&filter, program, sizeof filter);
    if (loosened) {
        filter.length = (unsigned short)filter_loosen(filter.instructions, filter.length, made);
        filter.instructions = made;
    }
    if (filter.length == 0 || !filter_keep(filter.instructions, filter.length))
        return -1;
    return __real_syscall(SYS_seccomp, mode, flags, &filter);
}

long __wrap_syscall(long number, ...) {
    long values[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        values[i] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_seccomp)
        return install(values[0], values[1], (const void *)values[2]);
    return __real_syscall(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}

int __wrap_worker_serve(const struct worker_setup *setup) {
    if (old_log >= 0)
        dup2(old_log, STDERR_FILENO);
    engine_prepare(setup);
    return __real_worker_serve(setup);
}

ssize_t __wrap_send(int descriptor, const void *message, size_t size, int flags) {
    engine_hear(descriptor, message, size);
    return __real_send(descriptor, message, size, flags);
}

int __wrap_epoll_wait(int events, struct epoll_event *happened, int count, int timeout) {
    int result = __real_epoll_wait(events, happened, count, timeout);
    engine_look(events);
    return result;
}
