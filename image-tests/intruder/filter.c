/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "filter.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define LOAD 0x20       /* BPF_LD | BPF_W | BPF_ABS */
#define LOAD_VALUE 0x00 /* BPF_LD | BPF_IMM */
#define AND 0x54        /* BPF_ALU | BPF_AND | BPF_K */
#define JUMP 0x05       /* BPF_JMP | BPF_JA */
#define IF_EQUAL 0x15   /* BPF_JMP | BPF_JEQ | BPF_K */
#define IF_ABOVE 0x25   /* BPF_JMP | BPF_JGT | BPF_K */
#define IF_AT_LEAST 0x35
#define IF_ANY_BIT 0x45 /* BPF_JMP | BPF_JSET | BPF_K */
#define RETURN 0x06     /* BPF_RET | BPF_K */
#define ACTION 0xffff0000u
#define ALLOW 0x7fff0000u
#define ANSWER 0x00050000u /* SECCOMP_RET_ERRNO */
#define NUMBER_AT 0        /* in struct seccomp_data */
#define ARCHITECTURE_AT 4
#define ARGUMENT_AT(number) (16 + 8 * (number))
#define DATA_SIZE 64

#if defined __x86_64__
#define NATIVE 0xc000003eu
#define COMPAT 0x40000003u
#elif defined __aarch64__
#define NATIVE 0xc00000b7u
#define COMPAT 0x40000028u
#endif

#define PROGRAMS_MAX 4

static struct {
    struct filter_instruction instructions[FILTER_MAX];
    size_t count;
} programs[PROGRAMS_MAX];
static size_t program_count;

bool filter_keep(const struct filter_instruction *instructions, size_t count) {
    if (program_count == PROGRAMS_MAX || count > FILTER_MAX)
        return false;
    memcpy(programs[program_count].instructions, instructions, count * sizeof *instructions);
    programs[program_count++].count = count;
    return true;
}

/* ---- evaluation ---- */

static bool jumps(const struct filter_instruction *instruction, uint32_t loaded) {
    switch (instruction->code) {
    case IF_EQUAL:
        return loaded == instruction->value;
    case IF_ABOVE:
        return loaded > instruction->value;
    case IF_AT_LEAST:
        return loaded >= instruction->value;
    default:
        return (loaded & instruction->value) != 0;
    }
}

/* Returns false if the program contains an unknown instruction. */
static bool run(const struct filter_instruction *instructions, size_t count, const uint8_t *data, uint32_t *result) {
    uint32_t loaded = 0;
    for (size_t at = 0; at < count; at++) {
        const struct filter_instruction *instruction = &instructions[at];
        switch (instruction->code) {
        case LOAD:
            if (instruction->value > DATA_SIZE - sizeof loaded)
                return false;
            memcpy(&loaded, data + instruction->value, sizeof loaded);
            break;
        case LOAD_VALUE:
            loaded = instruction->value;
            break;
        case AND:
            loaded &= instruction->value;
            break;
        case JUMP:
            at += instruction->value;
            break;
        case IF_EQUAL:
        case IF_ABOVE:
        case IF_AT_LEAST:
        case IF_ANY_BIT:
            at += jumps(instruction, loaded) ? instruction->if_true : instruction->if_false;
            break;
        case RETURN:
            *result = instruction->value & ACTION;
            return true;
        default:
            return false;
        }
    }
    return false;
}

enum filter_verdict filter_judge(int architecture, int number, const uint64_t arguments[static 6]) {
    uint8_t data[DATA_SIZE] = {0}; /* struct seccomp_data */
    const uint32_t machine = architecture == FILTER_NATIVE ? NATIVE : COMPAT;
    memcpy(data + NUMBER_AT, &number, sizeof number);
    memcpy(data + ARCHITECTURE_AT, &machine, sizeof machine);
    memcpy(data + ARGUMENT_AT(0), arguments, 6 * sizeof *arguments);
    for (size_t i = 0; i < program_count; i++) {
        uint32_t result;
        if (!run(programs[i].instructions, programs[i].count, data, &result))
            return FILTER_UNREADABLE;
        if (result != ALLOW && result != ANSWER)
            return FILTER_ENDS;
    }
    return FILTER_PASSES;
}

/* ---- the old filter ---- */

static const struct {
    int call;
    int argument;     /* -1: with any arguments */
    uint32_t bits;    /* the argument must have none of these bits */
    uint32_t at_most; /* the maximum value of the argument */
} before[] = {
#define WHATEVER(call) {SYS_##call, -1, 0, 0}
    WHATEVER(read),
    WHATEVER(write),
    WHATEVER(close),
    {SYS_mmap, 2, PROT_EXEC, UINT32_MAX},
    {SYS_mprotect, 2, PROT_EXEC, UINT32_MAX},
    WHATEVER(munmap),
    WHATEVER(mremap),
    WHATEVER(madvise),
    WHATEVER(brk),
    WHATEVER(getrandom),
    WHATEVER(clock_gettime),
    WHATEVER(gettimeofday),
    WHATEVER(exit_group),
    WHATEVER(restart_syscall),
    {SYS_fcntl, 1, 0, F_SETFL},
    WHATEVER(fstat),
    WHATEVER(newfstatat),
    WHATEVER(getdents64),
    WHATEVER(lseek),
    WHATEVER(futex),
    WHATEVER(sendmsg),
    WHATEVER(recvmsg),
    WHATEVER(sendto),
    WHATEVER(recvfrom),
    WHATEVER(sendmmsg),
    WHATEVER(recvmmsg),
    WHATEVER(readlinkat),
    WHATEVER(accept4),
    WHATEVER(epoll_ctl),
    WHATEVER(epoll_pwait),
    WHATEVER(shutdown),
    WHATEVER(pread64),
    {SYS_openat, 2, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND, UINT32_MAX},
#undef WHATEVER
};

#define BEFORE_COUNT (sizeof before / sizeof before[0])
#define EACH 5 /* instructions */

size_t filter_loosen(const struct filter_instruction *instructions, size_t count, struct filter_instruction *made) {
    size_t at = 0;
    if (count + EACH * BEFORE_COUNT + 3 > FILTER_MAX)
        return 0;
    made[at++] = (struct filter_instruction){LOAD, 0, 0, ARCHITECTURE_AT};
    made[at++] = (struct filter_instruction){IF_EQUAL, 1, 0, NATIVE};
    made[at++] = (struct filter_instruction){JUMP, 0, 0, EACH * BEFORE_COUNT};
    for (size_t i = 0; i < BEFORE_COUNT; i++) {
        const uint32_t argument = before[i].argument < 0 ? NUMBER_AT : (uint32_t)ARGUMENT_AT(before[i].argument);
        made[at++] = (struct filter_instruction){LOAD, 0, 0, NUMBER_AT};
        made[at++] = (struct filter_instruction){IF_EQUAL, 0, 3, (uint32_t)before[i].call};
        made[at++] = (struct filter_instruction){LOAD, 0, 0, argument};
        if (before[i].bits != 0)
            made[at++] = (struct filter_instruction){IF_ANY_BIT, 1, 0, before[i].bits};
        else
            made[at++] =
                (struct filter_instruction){IF_ABOVE, 1, 0, before[i].argument < 0 ? UINT32_MAX : before[i].at_most};
        made[at++] = (struct filter_instruction){RETURN, 0, 0, ALLOW};
    }
    memcpy(made + at, instructions, count * sizeof *instructions);
    return at + count;
}
