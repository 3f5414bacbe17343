/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "processes.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads the parent, and user and system time in ticks, from the fields after the name (proc_pid_stat(5)). */
static bool read_stat(pid_t process, pid_t *parent, uint64_t *ticks) {
    char path[64], line[1024];
    uint64_t user, system;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    FILE *file = fopen(path, "r");
    bool read = file && fgets(line, sizeof line, file);
    if (file)
        fclose(file);
    const char *end = read ? strrchr(line, ')') : NULL; /* the name may contain any characters */
    if (!end || sscanf(end + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, parent, &user,
                       &system) != 3)
        return false;
    *ticks = user + system;
    return true;
}

static bool has(const struct processes *processes, pid_t process) {
    for (size_t i = 0; i < processes->count; i++) {
        if (processes->list[i] == process)
            return true;
    }
    return false;
}

/* Finds children of the processes found so far. Returns false if there are no new ones. */
static bool find_more(struct processes *found) {
    DIR *all = opendir("/proc");
    bool more = false;
    if (!all)
        return false;
    for (const struct dirent *entry; (entry = readdir(all)) && found->count < PROCESSES_MAX;) {
        pid_t process = (pid_t)atoi(entry->d_name), parent;
        uint64_t ticks;
        if (process <= 0 || has(found, process) || !read_stat(process, &parent, &ticks) || !has(found, parent))
            continue;
        found->list[found->count++] = process;
        more = true;
    }
    closedir(all);
    return more;
}

bool processes_find(pid_t root, struct processes *found) {
    pid_t parent;
    uint64_t ticks;
    if (!read_stat(root, &parent, &ticks))
        return false;
    *found = (struct processes){.list = {root}, .count = 1};
    while (find_more(found))
        ;
    return found->count < PROCESSES_MAX;
}

/* Sums up the nanoseconds of all living threads. Returns false if the kernel does not report them. */
static bool read_schedule(pid_t process, uint64_t *nanoseconds) {
    char path[300];
    *nanoseconds = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)process);
    DIR *threads = opendir(path);
    bool told = threads != NULL;
    for (const struct dirent *entry; threads && (entry = readdir(threads));) {
        uint64_t time;
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)process, entry->d_name);
        FILE *file = fopen(path, "r");
        if (file && fscanf(file, "%" SCNu64, &time) == 1)
            *nanoseconds += time;
        else
            told = false;
        if (file)
            fclose(file);
    }
    if (threads)
        closedir(threads);
    return told && *nanoseconds > 0;
}

uint64_t processes_time(const struct processes *processes) {
    uint64_t sum = 0;
    for (size_t i = 0; i < processes->count; i++) {
        uint64_t time = 0;
        pid_t parent;
        if (read_schedule(processes->list[i], &time))
            sum += time;
        else if (read_stat(processes->list[i], &parent, &time))
            sum += time * 1000000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    }
    return sum;
}

uint64_t processes_memory(const struct processes *processes) {
    uint64_t sum = 0;
    for (size_t i = 0; i < processes->count; i++) {
        char path[64], line[256];
        uint64_t kibibytes;
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)processes->list[i]);
        FILE *file = fopen(path, "r");
        while (file && fgets(line, sizeof line, file)) {
            if (sscanf(line, "Pss: %" SCNu64, &kibibytes) == 1)
                sum += kibibytes * 1024;
        }
        if (file)
            fclose(file);
    }
    return sum;
}
