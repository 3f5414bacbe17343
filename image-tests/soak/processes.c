/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "soak.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHILDREN_MAX 128

struct child {
    pid_t process;
    char name[32];
    unsigned long long started; /* clock ticks since the start of the machine */
};

static bool read_child(pid_t process, pid_t parent, struct child *child) {
    char path[64], line[1024];
    long of = 0;
    char state = 'Z';
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    FILE *file = fopen(path, "r");
    bool read = file && fgets(line, sizeof line, file);
    if (file)
        fclose(file);
    char *name = read ? strchr(line, '(') : NULL, *end = read ? strrchr(line, ')') : NULL;
    if (!name || !end)
        return false;
    *end = '\0';
    child->process = process;
    snprintf(child->name, sizeof child->name, "%s", name + 1);
    return sscanf(end + 1, " %c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state,
                  &of, &child->started) == 3 &&
           of == parent && state != 'Z';
}

static size_t find_children(pid_t parent, struct child children[static CHILDREN_MAX]) {
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    size_t count = 0;
    while (folder && count < CHILDREN_MAX && (entry = readdir(folder))) {
        pid_t process = (pid_t)atoi(entry->d_name);
        if (process > 0 && read_child(process, parent, &children[count]))
            count++;
    }
    if (folder)
        closedir(folder);
    return count;
}

static size_t memory_of(pid_t process) {
    char path[64], line[256];
    size_t size = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)process);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "Pss: %zu", &size) != 1)
        continue;
    if (file)
        fclose(file);
    return size;
}

static size_t descriptors_of(pid_t process) {
    char path[64];
    struct dirent *entry;
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)process);
    DIR *folder = opendir(path);
    while (folder && (entry = readdir(folder)))
        count += entry->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return count;
}

bool processes_look(pid_t server, struct figures *figures) {
    struct child children[CHILDREN_MAX];
    size_t count = find_children(server, children), keys = 0;
    bool all = true;
    *figures = (struct figures){memory_of(server), descriptors_of(server), 0};
    for (size_t i = 0; i < count; i++) {
        size_t memory = memory_of(children[i].process);
        all = all && memory > 0;
        figures->memory += memory;
        figures->descriptors += descriptors_of(children[i].process);
        figures->workers += strcmp(children[i].name, "vitrine-worker") == 0;
        keys += strcmp(children[i].name, "vitrine-keys") == 0;
    }
    return all && keys == 1 && figures->workers == count - 1;
}

bool processes_kill(pid_t server, bool key_process) {
    struct child children[CHILDREN_MAX];
    const struct child *chosen = NULL;
    size_t count = find_children(server, children), found = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(children[i].name, key_process ? "vitrine-keys" : "vitrine-worker") != 0)
            continue;
        found++;
        if (!chosen || children[i].started > chosen->started ||
            (children[i].started == chosen->started && children[i].process > chosen->process))
            chosen = &children[i];
    }
    /* A single worker may be alone because others are being replaced, so it is not killed. */
    return chosen && (key_process || found > 1) && kill(chosen->process, SIGKILL) == 0;
}
