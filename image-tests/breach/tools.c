/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "inside.h"

char attempt_reason[ATTEMPT_REASON_SIZE];

void reason_begin(void) {
    attempt_reason[0] = '\0';
}

void reason_add(const char *text) {
    size_t at = strlen(attempt_reason);
    while (*text && at + 1 < sizeof attempt_reason) {
        attempt_reason[at++] = (unsigned char)*text < ' ' ? ' ' : *text; /* one line, one field */
        text++;
    }
    attempt_reason[at] = '\0';
}

void reason_add_number(long number) {
    reason_add(digits(number));
}

const char *error_name(int error) {
    static const struct {
        int error;
        const char *name;
    } names[] = {
#define NAME(error) {error, #error}
        NAME(EPERM),        NAME(ENOENT),       NAME(ESRCH),           NAME(EINTR),           NAME(EIO),
        NAME(ENXIO),        NAME(E2BIG),        NAME(ENOEXEC),         NAME(EBADF),           NAME(ECHILD),
        NAME(EAGAIN),       NAME(ENOMEM),       NAME(EACCES),          NAME(EFAULT),          NAME(ENOTBLK),
        NAME(EBUSY),        NAME(EEXIST),       NAME(EXDEV),           NAME(ENODEV),          NAME(ENOTDIR),
        NAME(EISDIR),       NAME(EINVAL),       NAME(ENFILE),          NAME(EMFILE),          NAME(ENOTTY),
        NAME(ETXTBSY),      NAME(EFBIG),        NAME(ENOSPC),          NAME(ESPIPE),          NAME(EROFS),
        NAME(EMLINK),       NAME(EPIPE),        NAME(ENOSYS),          NAME(ELOOP),           NAME(ENOPROTOOPT),
        NAME(EPROTOTYPE),   NAME(EOPNOTSUPP),   NAME(EPROTONOSUPPORT), NAME(ESOCKTNOSUPPORT), NAME(EAFNOSUPPORT),
        NAME(EADDRINUSE),   NAME(ENETUNREACH),  NAME(EADDRNOTAVAIL),   NAME(ENETDOWN),        NAME(ECONNREFUSED),
        NAME(EHOSTUNREACH), NAME(EINPROGRESS),  NAME(ETIMEDOUT),       NAME(EISCONN),         NAME(ENOTCONN),
        NAME(EDESTADDRREQ), NAME(ECONNRESET),   NAME(ENOTSOCK),        NAME(EMSGSIZE),        NAME(EDQUOT),
        NAME(EIDRM),        NAME(ENOMSG),       NAME(EOVERFLOW),       NAME(ERANGE),          NAME(ENOTEMPTY),
        NAME(ENOKEY),       NAME(ENAMETOOLONG),
#undef NAME
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].error == error)
            return names[i].name;
    }
    return joined("error ", digits(error), NULL, NULL);
}

int succeeded(const char *what) {
    reason_begin();
    reason_add(what);
    return ATTEMPT_SUCCEEDED;
}

int contained(const char *how) {
    reason_begin();
    reason_add(how);
    return ATTEMPT_CONTAINED;
}

int absent(const char *what) {
    reason_begin();
    reason_add(what);
    return ATTEMPT_ABSENT;
}

bool is_lacking(const struct surroundings *surroundings, const char *what) {
    const char *list = surroundings->lacking;
    if (!list)
        return true;
    for (size_t size; *list; list += size + (list[size] == ',')) {
        size = strcspn(list, ",");
        if (size == strlen(what) && !strncmp(list, what, size))
            return true;
    }
    return false;
}

int refused(const struct surroundings *surroundings, const char *call) {
    int error = errno;
    reason_begin();
    reason_add(error_name(error));
    reason_add(" at ");
    reason_add(call);
    if (error == ENOSYS && is_lacking(surroundings, call)) {
        reason_add(": this kernel does not have it");
        return ATTEMPT_ABSENT;
    }
    return ATTEMPT_CONTAINED;
}

int judged(const struct surroundings *surroundings, long result, const char *call, const char *what) {
    return result < 0 ? refused(surroundings, call) : succeeded(what);
}

const char *joined(const char *first, const char *second, const char *third, const char *fourth) {
    static char buffers[2][PATH_MAX];
    static unsigned turn;
    const char *const parts[] = {first, second, third, fourth};
    char *buffer = buffers[turn++ % 2];
    size_t size = 0;
    for (size_t i = 0; i < 4 && parts[i]; i++) {
        for (const char *from = parts[i]; *from && size + 1 < PATH_MAX; from++)
            buffer[size++] = *from;
    }
    buffer[size] = '\0';
    return buffer;
}

const char *digits(long number) {
    static char text[24];
    size_t at = sizeof text;
    unsigned long rest = number < 0 ? 0 - (unsigned long)number : (unsigned long)number;
    text[--at] = '\0';
    do {
        text[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0)
        text[--at] = '-';
    return text + at;
}

bool holds(const void *memory, size_t size, const char *text) {
    return memmem(memory, size, text, strlen(text)) != NULL;
}

int read_token_from(const struct surroundings *surroundings, int descriptor, const char *call) {
    static char text[65536];
    size_t size = 0;
    ssize_t got;
    if (!surroundings->decoy_token)
        return absent("decoy_token is not told");
    if (descriptor < 0)
        return refused(surroundings, call);
    while (size < sizeof text && (got = read(descriptor, text + size, sizeof text - size)) != 0) {
        if (got < 0) {
            int outcome = refused(surroundings, "read");
            close(descriptor);
            return outcome;
        }
        size += (size_t)got;
    }
    close(descriptor);
    return holds(text, size, surroundings->decoy_token) ? succeeded("read the decoy")
                                                        : contained("read, but not the decoy");
}

int read_token(const struct surroundings *surroundings, const char *path) {
    if (!path)
        return absent("where the decoy lies is not told");
    return read_token_from(surroundings, openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), "openat");
}

int read_anything(const struct surroundings *surroundings, const char *path) {
    char byte;
    int file = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return refused(surroundings, "openat");
    ssize_t got = read(file, &byte, 1);
    int outcome = got < 0   ? refused(surroundings, "read")
                  : got > 0 ? succeeded(joined("read ", path, NULL, NULL))
                            : contained("there is nothing in it");
    close(file);
    return outcome;
}

uint64_t clock_milliseconds(void) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

long start_idle_process(void) {
    long process = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (process == 0) {
        struct timespec pause = {2, 0};
        syscall(SYS_nanosleep, &pause, NULL);
        syscall(SYS_exit_group, 0);
    }
    return process;
}

void end_process(long process) {
    syscall(SYS_kill, process, SIGKILL);
    syscall(SYS_wait4, process, NULL, 0, NULL);
}

long start_idle_thread(void) {
    static const struct timespec pause = {2, 0};
    char *stack = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED)
        return -1;
    const unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    /* The thread uses only these registers and no memory: nanosleep(&pause, NULL), exit(0). */
#if defined __x86_64__
    register long result __asm__("rax") = SYS_clone;
    register unsigned long flags_at __asm__("rdi") = flags;
    register char *stack_at __asm__("rsi") = stack + 4096;
    register long none_at __asm__("rdx") = 0, none_too __asm__("r10") = 0;
    register const struct timespec *pause_at __asm__("r8") = &pause;
    __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\t"
                     "mov $35, %%eax\n\tmov %%r8, %%rdi\n\txor %%esi, %%esi\n\tsyscall\n\t"
                     "mov $60, %%eax\n\txor %%edi, %%edi\n\tsyscall\n\thlt\n1:"
                     : "+a"(result)
                     : "r"(flags_at), "r"(stack_at), "r"(none_at), "r"(none_too), "r"(pause_at)
                     : "rcx", "r11", "memory", "cc");
#elif defined __aarch64__
    register long result __asm__("x0") = (long)flags;
    register char *stack_at __asm__("x1") = stack + 4096;
    register long none_at __asm__("x2") = 0, none_too __asm__("x3") = 0, number __asm__("x8") = SYS_clone;
    register const struct timespec *pause_at __asm__("x5") = &pause;
    __asm__ volatile("svc #0\n\tcbnz x0, 1f\n\t"
                     "mov x0, x5\n\tmov x1, #0\n\tmov x8, #101\n\tsvc #0\n\t"
                     "mov x0, #0\n\tmov x8, #93\n\tsvc #0\n1:"
                     : "+r"(result)
                     : "r"(stack_at), "r"(none_at), "r"(none_too), "r"(number), "r"(pause_at)
                     : "memory", "cc");
#endif
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    return result;
}
