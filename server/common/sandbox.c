/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "sandbox_rules.h"

/*
 * What we use of seccomp(2) and landlock(7). The kernel's own headers are not on musl's search path; these numbers are
 * part of its stable interface.
 */
#define LOAD 0x20        /* BPF_LD | BPF_W | BPF_ABS */
#define IF_EQUAL 0x15    /* BPF_JMP | BPF_JEQ | BPF_K */
#define IF_ABOVE 0x25    /* BPF_JMP | BPF_JGT | BPF_K */
#define IF_AT_LEAST 0x35 /* BPF_JMP | BPF_JGE | BPF_K */
#define IF_ANY_BIT 0x45  /* BPF_JMP | BPF_JSET | BPF_K */
#define RETURN 0x06      /* BPF_RET | BPF_K */
#define CALL_AT 0        /* in struct seccomp_data */
#define ARCHITECTURE_AT 4
#define ARGUMENT_AT(number) (16 + 8 * (uint32_t)(number)) /* its lower half: both architectures are little-endian */
#define ALLOW 0x7fff0000u
#define ERROR 0x00050000u
#define TRAP 0x00030000u
#define KILL 0x80000000u
#define SET_MODE_FILTER 1
#define UNFIT 255 /* a jump to the next rule, whose distance is filled in later */

#if defined __x86_64__
#define ARCHITECTURE 0xc000003eu
#elif defined __aarch64__
#define ARCHITECTURE 0xc00000b7u
#else
#error "the sandbox knows x86_64 and aarch64"
#endif

/* ---- the filter ---- */

#define COUNT(list) (sizeof(list) / sizeof *(list))

static const struct {
    const char *name;
    const struct rule *rules;
    size_t count;
} roles[] = {
    [SANDBOX_SUPERVISOR] = {"supervisor", supervisor_rules, COUNT(supervisor_rules)},
    [SANDBOX_KEYS] = {"key process", keys_rules, COUNT(keys_rules)},
    [SANDBOX_WORKER] = {"worker", worker_rules, COUNT(worker_rules)},
    [SANDBOX_PROBE] = {"probe", probe_rules, COUNT(probe_rules)},
};

/* The rules of the key process also apply to the supervisor, after its own. NULL: no more. */
static const struct rule *rule_at(enum sandbox_role role, size_t at) {
    if (at < roles[role].count)
        return &roles[role].rules[at];
    at -= roles[role].count;
    return role == SANDBOX_SUPERVISOR && at < COUNT(keys_rules) ? &keys_rules[at] : NULL;
}

static void put(struct sandbox_filter *filter, uint16_t code, uint32_t value, uint8_t if_true, uint8_t if_false) {
    filter->instructions[filter->length++] = (struct sandbox_instruction){code, if_true, if_false, value};
}

/*
 * If this half of the argument is not that value, the rule does not match: jump to the next one (the distance is filled
 * in later).
 */
static void put_half_is(struct sandbox_filter *filter, uint32_t at, uint32_t value) {
    put(filter, LOAD, at, 0, 0);
    put(filter, IF_EQUAL, value, 0, UNFIT);
}

static void put_half_only(struct sandbox_filter *filter, uint32_t at, uint32_t value) {
    put(filter, LOAD, at, 0, 0);
    put(filter, IF_ANY_BIT, ~value, UNFIT, 0);
}

static void put_check(struct sandbox_filter *filter, const struct check *check) {
    uint32_t low = ARGUMENT_AT(check->argument), high = low + 4;
    switch ((enum check_kind)check->kind) {
    case CHECK_NONE:
        break;
    case CHECK_IS:
        put_half_is(filter, low, check->value);
        put_half_is(filter, high, 0);
        break;
    case CHECK_INT:
        put_half_is(filter, low, check->value);
        break;
    case CHECK_ONLY:
        put_half_only(filter, low, check->value);
        put_half_only(filter, high, 0);
        break;
    case CHECK_RANGE:
        put(filter, LOAD, low, 0, 0);
        put(filter, IF_AT_LEAST, check->first, 0, UNFIT);
        put(filter, IF_ABOVE, check->value, UNFIT, 0);
        break;
    }
}

/* Writes the checks of one rule, and its verdict. */
static void put_rule(struct sandbox_filter *filter, const struct rule *rule) {
    static const uint32_t verdicts[] = {
        [VERDICT_ALLOWED] = ALLOW, [VERDICT_ABSENT] = ERROR | ENOSYS, [VERDICT_NO_MEMORY] = ERROR | ENOMEM};
    size_t first = filter->length;
    for (size_t i = 0; i < CHECKS_MAX; i++)
        put_check(filter, &rule->checks[i]);
    put(filter, RETURN, verdicts[rule->verdict], 0, 0);
    for (size_t i = first; i < filter->length; i++) {
        struct sandbox_instruction *jump = &filter->instructions[i];
        uint8_t away = (uint8_t)(filter->length - i - 1);
        if (jump->if_true == UNFIT)
            jump->if_true = away;
        if (jump->if_false == UNFIT)
            jump->if_false = away;
    }
}

/* Has an earlier rule of the same call already written all rules of that call? */
static bool is_dealt_with(enum sandbox_role role, size_t at) {
    for (size_t i = 0; i < at; i++) {
        if (rule_at(role, i)->call == rule_at(role, at)->call)
            return true;
    }
    return false;
}

/* Writes the rules for one call, in their order. */
static void put_call(struct sandbox_filter *filter, enum sandbox_role role, size_t at) {
    const struct rule *rule;
    size_t start = filter->length;
    uint16_t call = rule_at(role, at)->call;
    put(filter, IF_EQUAL, call, 0, 0);
    for (; (rule = rule_at(role, at)); at++) {
        if (rule->call == call)
            put_rule(filter, rule);
    }
    put(filter, RETURN, TRAP, 0, 0);
    filter->instructions[start].if_false = (uint8_t)(filter->length - start - 1);
}

void sandbox_make_filter(enum sandbox_role role, struct sandbox_filter *filter) {
    filter->length = 0;
    /* A call of another architecture (32-bit entry points) has other numbers; our program makes none. */
    put(filter, LOAD, ARCHITECTURE_AT, 0, 0);
    put(filter, IF_EQUAL, ARCHITECTURE, 1, 0);
    put(filter, RETURN, KILL, 0, 0);
    put(filter, LOAD, CALL_AT, 0, 0);
    for (size_t i = 0; rule_at(role, i); i++) {
        if (!is_dealt_with(role, i))
            put_call(filter, role, i);
    }
    put(filter, RETURN, TRAP, 0, 0); /* x32 calls, too: their numbers have one more bit set */
}

/* ---- the end of a process that made a forbidden call ---- */

static const char *role_name;
static bool line_has_priority;
static _Atomic int *forbidden_call;

void sandbox_tell(bool priorities, _Atomic int *note) {
    line_has_priority = priorities;
    forbidden_call = note;
    if (note)
        *note = -1;
}

const char *sandbox_call_name(int call) {
    static const struct {
        uint16_t call;
        char name[18];
    } names[] = {
        {SYS_execve, "execve"},
        {SYS_execveat, "execveat"},
        {SYS_socket, "socket"},
        {SYS_connect, "connect"},
        {SYS_bind, "bind"},
        {SYS_listen, "listen"},
        {SYS_openat, "openat"},
        {SYS_ptrace, "ptrace"},
        {SYS_mprotect, "mprotect"},
        {SYS_mmap, "mmap"},
        {SYS_clone, "clone"},
        {SYS_kill, "kill"},
        {SYS_setuid, "setuid"},
        {SYS_mount, "mount"},
        {SYS_unshare, "unshare"},
        {SYS_setns, "setns"},
        {SYS_bpf, "bpf"},
        {SYS_prctl, "prctl"},
        {SYS_ioctl, "ioctl"},
        {SYS_fcntl, "fcntl"},
        {SYS_unlinkat, "unlinkat"},
        {SYS_mkdirat, "mkdirat"},
        {SYS_seccomp, "seccomp"},
        {SYS_prlimit64, "prlimit64"},
        {SYS_tkill, "tkill"},
        {SYS_tgkill, "tgkill"},
        {SYS_chroot, "chroot"},
        {SYS_dup3, "dup3"},
        {SYS_memfd_create, "memfd_create"},
        {SYS_rt_sigaction, "rt_sigaction"},
        {SYS_shutdown, "shutdown"},
        {SYS_sendto, "sendto"},
        {SYS_sendmsg, "sendmsg"},
        {SYS_setsockopt, "setsockopt"},
        {SYS_epoll_ctl, "epoll_ctl"},
        {SYS_mremap, "mremap"},
        {SYS_madvise, "madvise"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].call == call)
            return names[i].name;
    }
    return "another";
}

static char *append(char *end, const char *text) {
    while (*text)
        *end++ = *text++;
    return end;
}

/*
 * An intruder cannot avoid this: the handler cannot be changed (rt_sigaction is not on the list of workers), and if the
 * signal cannot be delivered, the kernel ends the process.
 */
static void die(int signal, siginfo_t *about, void *context) {
    char line[128], digits[12];
    char *end = line;
    size_t at = sizeof digits;
    int call = about->si_syscall;
    (void)signal, (void)context;
    log_flush();          /* what the process did before */
    if (forbidden_call) { /* the supervisor logs it */
        *forbidden_call = about->si_syscall;
        syscall(SYS_exit_group, SANDBOX_EXIT);
    }
    digits[--at] = '\0';
    do {
        digits[--at] = (char)('0' + call % 10);
        call /= 10;
    } while (call > 0 && at > 0);
    end = append(end, line_has_priority ? "<3>" : "");
    end = append(end, role_name);
    end = append(end, ": killed at a forbidden system call: ");
    end = append(end, sandbox_call_name(about->si_syscall));
    end = append(end, " (number ");
    end = append(end, digits + at);
    end = append(end, ")\n");
    ssize_t written = write(STDERR_FILENO, line, (size_t)(end - line));
    (void)written;
    syscall(SYS_exit_group, SANDBOX_EXIT);
}

/* ---- Landlock ---- */

#define ACCESS_READ ((UINT64_C(1) << 2) | (UINT64_C(1) << 3)) /* files and folders */

/* Returns the kinds of file access that a version of Landlock knows. */
static uint64_t known_accesses(long version) {
    unsigned bits = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
    return (UINT64_C(1) << bits) - 1;
}

/* Allows only files below the folder. Does nothing if the kernel lacks Landlock. */
static int fence_in(int folder) {
    struct {
        uint64_t files, network, scopes;
    } rules = {0};
    struct {
        uint64_t access;
        int32_t folder;
    } __attribute__((packed)) beneath = {ACCESS_READ, folder};
    long version = syscall(444, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
    if (version < 1)
        return 0;
    rules.files = known_accesses(version);
    rules.network = version >= 4 ? 3 : 0; /* TCP bind and connect */
    rules.scopes = version >= 6 ? 3 : 0;  /* abstract sockets, signals */
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    int ruleset = (int)syscall(444, &rules, size, 0);
    if (ruleset < 0)
        return -errno;
    int result = 0;
    if (syscall(445, ruleset, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &beneath, 0) < 0 || syscall(446, ruleset, 0) < 0)
        result = -errno;
    close(ruleset);
    return result;
}

/* ---- entering the sandbox ---- */

/*
 * The C library maps an inaccessible page at the beginning of its heap, with MAP_FIXED. No rule allows that, so it must
 * happen before.
 */
static bool begin_heap(void) {
    void *volatile memory = malloc(1);
    bool is_there = memory != NULL;
    free(memory);
    return is_there;
}

int sandbox_enter(enum sandbox_role role, int folder) {
    static struct sandbox_filter filter;
    struct {
        unsigned short length;
        struct sandbox_instruction *instructions;
    } program; /* struct sock_fprog */
    struct sigaction action = {.sa_sigaction = die, .sa_flags = SA_SIGINFO};
    role_name = roles[role].name;
    if (!begin_heap())
        return -ENOMEM;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0 || sigaction(SIGSYS, &action, NULL) < 0)
        return -errno;
    int result = role == SANDBOX_WORKER && folder >= 0 ? fence_in(folder) : 0;
    if (result < 0)
        return result;
    sandbox_make_filter(role, &filter);
    program.length = (unsigned short)filter.length;
    program.instructions = filter.instructions;
    return syscall(SYS_seccomp, SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
