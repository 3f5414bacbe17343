/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Running code other than the server's. A program shows by its exit status that it ran; code in memory returns a number
 * that only it knows.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <time.h>

#include "inside.h"

/* As large as a page may be: code is put where one begins. */
#ifdef __aarch64__
#define PAGE 65536
#else
#define PAGE 4096
#endif
#define NUMBER 42

/* ---- programs ---- */

static int run(const struct surroundings *surroundings, const char *path, char *const arguments[]) {
    static char *const environment[] = {NULL};
    syscall(SYS_execve, path, arguments, environment);
    return refused(surroundings, "execve");
}

/* The strings are arrays because execve(2) takes pointers to non-const characters. */
#define ARGUMENTS(...) ((char *[]){__VA_ARGS__, NULL})
static char flag[] = "--ran", shell_name[] = "sh", shell_flag[] = "-c", shell_line[] = "exit 101", name[] = "breach";

int run_shell(const struct surroundings *surroundings) {
    return run(surroundings, "/bin/sh", ARGUMENTS(shell_name, shell_flag, shell_line));
}

int run_interpreter(const struct surroundings *surroundings) {
    static char one[] = "-e", awk[] = "BEGIN { exit 101 }", perl[] = "exit 101", python[] = "import os; os._exit(101)";
    run(surroundings, "/usr/bin/perl", ARGUMENTS(name, one, perl));
    run(surroundings, "/usr/bin/python3", ARGUMENTS(name, shell_flag, python));
    return run(surroundings, "/usr/bin/awk", ARGUMENTS(name, awk));
}

int run_program(const struct surroundings *surroundings) {
    if (!surroundings->program)
        return absent("program is not told");
    return run(surroundings, surroundings->program, ARGUMENTS(name, flag));
}

int run_itself(const struct surroundings *surroundings) {
    return run(surroundings, "/proc/self/exe", ARGUMENTS(name, flag));
}

static int run_descriptor(const struct surroundings *surroundings, int descriptor) {
    static char *const environment[] = {NULL};
    syscall(SYS_execveat, descriptor, "", ARGUMENTS(name, flag), environment, AT_EMPTY_PATH);
    return refused(surroundings, "execveat");
}

int run_program_by_descriptor(const struct surroundings *surroundings) {
    if (!surroundings->program)
        return absent("program is not told");
    int program = openat(AT_FDCWD, surroundings->program, O_RDONLY | O_CLOEXEC);
    if (program >= 0)
        return run_descriptor(surroundings, program);
    syscall(SYS_execveat, AT_FDCWD, surroundings->program, ARGUMENTS(name, flag), NULL, 0);
    return refused(surroundings, "execveat");
}

/* The smallest program: an ELF header, one segment, and a system call that exits with status 101. */
#if defined __x86_64__
#define MACHINE 62
#define CODE 0xbf, 101, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05
#define RETURN_NUMBER 0xb8, NUMBER, 0, 0, 0, 0xc3
#elif defined __aarch64__
#define MACHINE 183
#define CODE 0xa0, 0x0c, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0, 0, 0xd4
#define RETURN_NUMBER 0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6
#endif

static const struct {
    uint8_t magic[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, segments_at, sections_at;
    uint32_t flags;
    uint16_t header_size, segment_size, segment_count, section_size, section_count, names;
    uint32_t segment_type, segment_flags;
    uint64_t segment_at, segment_address, segment_physical, size_in_file, size_in_memory, alignment;
    uint8_t code[12];
} smallest = {
    .magic = {0x7f, 'E', 'L', 'F', 2, 1, 1},
    .type = 2,
    .machine = MACHINE,
    .version = 1,
    .entry = 0x400000 + 120,
    .segments_at = 64,
    .header_size = 64,
    .segment_size = 56,
    .segment_count = 1,
    .segment_type = 1,
    .segment_flags = 5,
    .segment_address = 0x400000,
    .size_in_file = 132,
    .size_in_memory = 132,
    .alignment = 4096,
    .code = {CODE},
};

static int run_new_file(const struct surroundings *surroundings, const char *path, const void *content, size_t size) {
    int file = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (file < 0)
        return refused(surroundings, "openat");
    ssize_t written = write(file, content, size);
    close(file);
    int outcome = written < 0 ? refused(surroundings, "write") : run(surroundings, path, ARGUMENTS(name, flag));
    unlink(path);
    return outcome;
}

int run_from_tmp(const struct surroundings *surroundings) {
    return run_new_file(surroundings, "/tmp/breach-run", &smallest, sizeof smallest);
}

int run_from_shm(const struct surroundings *surroundings) {
    return run_new_file(surroundings, "/dev/shm/breach-run", &smallest, sizeof smallest);
}

int run_from_disk(const struct surroundings *surroundings) {
    if (!surroundings->disk_folder)
        return absent("disk_folder is not told");
    return run_new_file(surroundings, joined(surroundings->disk_folder, "/breach-run", NULL, NULL), &smallest,
                        sizeof smallest);
}

int run_script(const struct surroundings *surroundings) {
    static const char script[] = "#!/bin/sh\nexit 101\n";
    return run_new_file(surroundings, "/tmp/breach-script", script, sizeof script - 1);
}

int run_memory_file(const struct surroundings *surroundings) {
    int file = (int)syscall(SYS_memfd_create, "breach", 1 /* MFD_CLOEXEC */);
    if (file < 0)
        return refused(surroundings, "memfd_create");
    if (write(file, &smallest, sizeof smallest) < 0)
        return refused(surroundings, "write");
    return run_descriptor(surroundings, file);
}

int run_memory_file_by_name(const struct surroundings *surroundings) {
    int file = (int)syscall(SYS_memfd_create, "breach", 0);
    if (file < 0)
        return refused(surroundings, "memfd_create");
    if (write(file, &smallest, sizeof smallest) < 0)
        return refused(surroundings, "write");
    return run(surroundings, joined("/proc/self/fd/", digits(file), NULL, NULL), ARGUMENTS(name, flag));
}

/* ---- processes ---- */

static int had_process(const struct surroundings *surroundings, long process, const char *call) {
    int outcome = judged(surroundings, process, call, "has a second process");
    if (process > 0)
        end_process(process);
    return outcome;
}

int run_fork(const struct surroundings *surroundings) {
    return had_process(surroundings, start_idle_process(), "clone");
}

int run_clone3(const struct surroundings *surroundings) {
    const uint64_t arguments[11] = {[4] = SIGCHLD};
    long process = syscall(435, arguments, sizeof arguments);
    if (process == 0)
        syscall(SYS_exit_group, 0);
    return had_process(surroundings, process, "clone3");
}

int run_thread(const struct surroundings *surroundings) {
    return judged(surroundings, start_idle_thread(), "clone", "has a second thread");
}

static void ignore(int signal) {
    (void)signal;
}

/* With a handler, a forbidden call would return instead of ending the process. */
int run_handler(const struct surroundings *surroundings) {
    struct sigaction action = {.sa_handler = ignore};
    return judged(surroundings, sigaction(SIGSYS, &action, NULL), "rt_sigaction",
                  "changed what happens at a forbidden call");
}

/* ---- code in memory ---- */

static const uint8_t code[] = {RETURN_NUMBER};

/* If the memory is not executable, a signal ends the process. */
static int call(const void *address) {
    int (*function)(void);
    memcpy(&function, &address, sizeof function);
    return function() == NUMBER ? succeeded("ran code that it had written itself") : contained("other code ran");
}

static int write_and_call(char *memory) {
    memcpy(memory, code, sizeof code);
    __builtin___clear_cache(memory, memory + sizeof code);
    return call(memory);
}

static char *map(int protection, int flags, int file) {
    return mmap(NULL, PAGE, protection, flags, file, 0);
}

int code_mmap(const struct surroundings *surroundings) {
    char *memory = map(PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    return memory == MAP_FAILED ? refused(surroundings, "mmap") : write_and_call(memory);
}

int code_mprotect(const struct surroundings *surroundings) {
    char *memory = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (memory == MAP_FAILED)
        return refused(surroundings, "mmap");
    memcpy(memory, code, sizeof code);
    __builtin___clear_cache(memory, memory + sizeof code);
    return mprotect(memory, PAGE, PROT_READ | PROT_EXEC) < 0 ? refused(surroundings, "mprotect") : call(memory);
}

int code_pkey_mprotect(const struct surroundings *surroundings) {
    char *memory = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (memory == MAP_FAILED)
        return refused(surroundings, "mmap");
    memcpy(memory, code, sizeof code);
    __builtin___clear_cache(memory, memory + sizeof code);
    return syscall(SYS_pkey_mprotect, memory, PAGE, PROT_READ | PROT_EXEC, -1) < 0
               ? refused(surroundings, "pkey_mprotect")
               : call(memory);
}

int code_stack(const struct surroundings *surroundings) {
    _Alignas(PAGE) char memory[PAGE];
    if (mprotect(memory, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) < 0)
        return refused(surroundings, "mprotect");
    return write_and_call(memory);
}

int code_data(const struct surroundings *surroundings) {
    static _Alignas(PAGE) char memory[PAGE];
    if (mprotect(memory, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) < 0)
        return refused(surroundings, "mprotect");
    return write_and_call(memory);
}

/* The attempts overwrite this function's code. It is alone on its page, so that no other code changes. */
__attribute__((noipa, aligned(PAGE))) static int overwritten(void) {
    __asm__ volatile(".skip 64, 0x90");
    return NUMBER + 1;
}

int code_text(const struct surroundings *surroundings) {
    int (*function)(void) = overwritten;
    char *memory;
    memcpy(&memory, &function, sizeof memory);
    if (mprotect(memory, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) < 0)
        return refused(surroundings, "mprotect");
    return write_and_call(memory);
}

/* The kernel writes through this file regardless of page protection. */
int code_memory_device(const struct surroundings *surroundings) {
    int (*function)(void) = overwritten;
    char *memory;
    memcpy(&memory, &function, sizeof memory);
    int file = openat(AT_FDCWD, "/proc/self/mem", O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return refused(surroundings, "openat");
    ssize_t written = pwrite(file, code, sizeof code, (off_t)(uintptr_t)memory);
    int error = errno;
    close(file);
    errno = error;
    return written < 0 ? refused(surroundings, "pwrite64") : call(memory);
}

/* Maps one file twice: one mapping is writable, the other is executable. */
static int map_twice(const struct surroundings *surroundings, int file, const char *call_name) {
    if (file < 0)
        return refused(surroundings, call_name);
    if (ftruncate(file, PAGE) < 0)
        return refused(surroundings, "ftruncate");
    char *writable = map(PROT_READ | PROT_WRITE, MAP_SHARED, file);
    if (writable == MAP_FAILED)
        return refused(surroundings, "mmap");
    memcpy(writable, code, sizeof code);
    char *executable = map(PROT_READ | PROT_EXEC, MAP_SHARED, file);
    if (executable == MAP_FAILED)
        return refused(surroundings, "mmap");
    __builtin___clear_cache(executable, executable + sizeof code);
    return call(executable);
}

int code_memory_file(const struct surroundings *surroundings) {
    return map_twice(surroundings, (int)syscall(SYS_memfd_create, "breach", 1), "memfd_create");
}

static int map_new_file(const struct surroundings *surroundings, const char *path) {
    int file = openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    int error = errno;
    if (file >= 0)
        unlink(path);
    errno = error;
    return map_twice(surroundings, file, "openat");
}

int code_page(const struct surroundings *surroundings) {
    if (!surroundings->content_folder)
        return absent("content_folder is not told");
    const char *path = joined(surroundings->content_folder, "/index.gmi", NULL, NULL);
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return refused(surroundings, "openat");
    long mapped = syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
    int outcome = judged(surroundings, mapped, "mmap", "a page is code now");
    close(file);
    return outcome;
}

int code_tmp_file(const struct surroundings *surroundings) {
    return map_new_file(surroundings, "/tmp/breach-code");
}

int code_shm_file(const struct surroundings *surroundings) {
    return map_new_file(surroundings, "/dev/shm/breach-code");
}

int code_shared_memory(const struct surroundings *surroundings) {
    int segment = (int)syscall(SYS_shmget, IPC_PRIVATE, PAGE, 0700 | IPC_CREAT);
    if (segment < 0)
        return refused(surroundings, "shmget");
    char *writable = shmat(segment, NULL, 0), *executable = shmat(segment, NULL, SHM_EXEC | SHM_RDONLY);
    int error = errno;
    shmctl(segment, IPC_RMID, NULL); /* the segment stays until this process ends */
    errno = error;
    if (writable == (char *)-1 || executable == (char *)-1)
        return refused(surroundings, "shmat");
    memcpy(writable, code, sizeof code);
    __builtin___clear_cache(executable, executable + sizeof code);
    return call(executable);
}

/* Sets a flag for very old programs: readable memory is executable. */
int code_personality(const struct surroundings *surroundings) {
    if (syscall(SYS_personality, 0x0400000 /* READ_IMPLIES_EXEC */) < 0)
        return refused(surroundings, "personality");
    char *memory = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    return memory == MAP_FAILED ? refused(surroundings, "mmap") : write_and_call(memory);
}
