/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "processors.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/lines.h"

#define OWN_GROUP "/proc/self/cgroup"
#define GROUPS "/sys/fs/cgroup"

size_t processors_of_share(const char *cpu_max) {
    uint32_t time, period;
    if (!lines_number(&cpu_max, INT_MAX, &time) || *cpu_max != ' ')
        return 0;
    cpu_max++;
    if (!lines_number(&cpu_max, INT_MAX, &period) || time == 0 || period == 0)
        return 0;
    return (time - 1) / period + 1;
}

/* Reads the beginning of a file. Returns "" if there is none. */
static const char *read_text(const char *path, char *text, size_t size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file >= 0 ? read(file, text, size - 1) : -1;
    if (file >= 0)
        close(file);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

/* The smallest share of a control group, as a path below GROUPS, and of those above it. 0: none has a limit. */
static size_t share_of(char *group) {
    size_t least = 0;
    for (;;) {
        char path[PATH_MAX + sizeof GROUPS "/cpu.max"], text[64];
        snprintf(path, sizeof path, "%s%s/cpu.max", GROUPS, group);
        size_t share = processors_of_share(read_text(path, text, sizeof text));
        if (share > 0 && (least == 0 || share < least))
            least = share;
        char *parent = strrchr(group, '/');
        if (!parent)
            return least;
        *parent = '\0';
    }
}

size_t processors_allowed(void) {
    char groups[PATH_MAX] = "";
    cpu_set_t allowed;
    size_t count = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? (size_t)CPU_COUNT(&allowed) : 1, share = 0;
    read_text(OWN_GROUP, groups, sizeof groups);
    char *own = strncmp(groups, "0::/", 4) == 0 ? groups : strstr(groups, "\n0::/");
    if (own) {
        own += own == groups ? 3 : 4; /* at the slash */
        own[strcspn(own, "\n")] = '\0';
        share = share_of(own);
    }
    return share > 0 && share < count ? share : count;
}
