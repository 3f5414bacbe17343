/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Using more than the service's share. Each attempt exceeds its limit a little, and stops by itself if nothing else
 * stops it. Only an observer outside can tell whether the host and other capsules keep working.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "inside.h"

#define MEGABYTE (1024 * 1024)
#define MEMORY_MAX 4096 /* MiB: no attempt uses more than this, whatever the limit is */
#define MANY 4096

#define NEEDS(key, most)                                                                                               \
    if (surroundings->key < 0 || surroundings->key > (most))                                                           \
    return absent(#key " is not told, or is more than could be tried")

/* The memory is freed when the process ends. */
static int take_memory(const struct surroundings *surroundings, int flags) {
    NEEDS(memory_limit, MEMORY_MAX);
    for (long taken = 0; taken < surroundings->memory_limit + 16; taken++) {
        char *memory = mmap(NULL, MEGABYTE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return refused(surroundings, "mmap");
        for (size_t at = 0; at < MEGABYTE; at += 4096)
            memory[at] = 1;
    }
    return succeeded("has more memory than the limit");
}

int exhaust_memory(const struct surroundings *surroundings) {
    return take_memory(surroundings, MAP_PRIVATE);
}

int exhaust_shared_memory(const struct surroundings *surroundings) {
    return take_memory(surroundings, MAP_SHARED);
}

/* Fills an unnamed file to a little more than this size in MiB. */
static int fill(const struct surroundings *surroundings, int file, long limit, const char *call) {
    static char zeros[MEGABYTE];
    if (file < 0)
        return refused(surroundings, call);
    for (long written = 0; written < limit + 4;) {
        ssize_t more = write(file, zeros, sizeof zeros);
        if (more < 0)
            return refused(surroundings, "write");
        if (more < MEGABYTE)
            return contained("the file could not grow any more");
        written++;
    }
    close(file);
    return succeeded("wrote more than the limit");
}

static int fill_folder(const struct surroundings *surroundings, const char *folder, long limit) {
    const char *path = joined(folder, "/breach-fill", NULL, NULL);
    int file = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), error = errno;
    if (file >= 0)
        unlink(path);
    errno = error;
    return fill(surroundings, file, limit, "openat");
}

int exhaust_memory_file(const struct surroundings *surroundings) {
    NEEDS(memory_limit, MEMORY_MAX);
    return fill(surroundings, (int)syscall(SYS_memfd_create, "breach", 1), surroundings->memory_limit, "memfd_create");
}

int exhaust_shm(const struct surroundings *surroundings) {
    NEEDS(memory_limit, MEMORY_MAX);
    return fill_folder(surroundings, "/dev/shm", surroundings->memory_limit);
}

int exhaust_tmp(const struct surroundings *surroundings) {
    NEEDS(disk_limit, MEMORY_MAX);
    return fill_folder(surroundings, "/tmp", surroundings->disk_limit);
}

int exhaust_disk(const struct surroundings *surroundings) {
    NEEDS(disk_limit, MEMORY_MAX);
    if (!surroundings->disk_folder)
        return absent("disk_folder is not told");
    return fill_folder(surroundings, surroundings->disk_folder, surroundings->disk_limit);
}

/* ---- tasks ---- */

int exhaust_processes(const struct surroundings *surroundings) {
    NEEDS(task_limit, MANY - 8);
    static long processes[MANY];
    long count = 0, process = 0;
    while (count < surroundings->task_limit + 8) {
        process = start_idle_process();
        if (process < 0)
            break;
        processes[count++] = process;
    }
    int outcome = judged(surroundings, process, "clone", "has more processes than the limit");
    while (count-- > 0)
        end_process(processes[count]);
    return outcome;
}

/* They end when their process ends. */
int exhaust_threads(const struct surroundings *surroundings) {
    NEEDS(task_limit, MANY - 8);
    for (long count = 0; count < surroundings->task_limit + 8; count++) {
        if (start_idle_thread() < 0)
            return refused(surroundings, "clone");
    }
    return succeeded("has more threads than the limit");
}

/* ---- descriptors ---- */

int exhaust_descriptors(const struct surroundings *surroundings) {
    NEEDS(descriptor_limit, 1 << 20);
    for (long count = 0; count < surroundings->descriptor_limit + 16; count++) {
        if (openat(AT_FDCWD, "/", O_PATH | O_CLOEXEC) < 0)
            return refused(surroundings, "openat");
    }
    return succeeded("has more descriptors than the limit");
}

int exhaust_copies(const struct surroundings *surroundings) {
    NEEDS(descriptor_limit, 1 << 20);
    for (long count = 0; count < surroundings->descriptor_limit + 16; count++) {
        if (fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0) < 0)
            return refused(surroundings, "fcntl");
    }
    return succeeded("has more descriptors than the limit");
}

int exhaust_pipes(const struct surroundings *surroundings) {
    NEEDS(descriptor_limit, 1 << 20);
    int ends[2];
    for (long count = 0; count < surroundings->descriptor_limit + 16; count += 2) {
        if (syscall(SYS_pipe2, ends, O_CLOEXEC | O_NONBLOCK) < 0)
            return refused(surroundings, "pipe2");
    }
    return succeeded("has more pipes than the limit");
}

/* ---- time and the log ---- */

/* Computes without a pause for one and a half seconds, and measures its share of the processor. */
int exhaust_processor(const struct surroundings *surroundings) {
    NEEDS(cpu_limit, 99);
    struct timespec used;
    uint64_t begin = clock_milliseconds(), now;
    do
        now = clock_milliseconds();
    while (now < begin + 1500);
    if (syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &used) < 0)
        return refused(surroundings, "clock_gettime");
    long share = (long)((uint64_t)used.tv_sec * 100000 + (uint64_t)used.tv_nsec / 10000) / (long)(now - begin);
    int outcome = share > surroundings->cpu_limit ? ATTEMPT_SUCCEEDED : ATTEMPT_CONTAINED;
    reason_begin();
    reason_add("had percent of a processor: ");
    reason_add_number(share);
    return outcome;
}

/* This counts only lines that could be written. An observer outside checks whether they reach the log. */
int exhaust_log(const struct surroundings *surroundings) {
    NEEDS(log_limit, 1 << 20);
    static const char line[] = "breach drill: a line too many\n";
    uint64_t until = clock_milliseconds() + 3000;
    for (long count = 0; count < surroundings->log_limit + 100; count++) {
        if (write(STDERR_FILENO, line, sizeof line - 1) < 0)
            return refused(surroundings, "write");
        if (clock_milliseconds() > until)
            return contained("the log takes no more so fast");
    }
    reason_begin();
    reason_add("lines written: ");
    reason_add_number(surroundings->log_limit + 100);
    return ATTEMPT_SUCCEEDED;
}
