/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "trail.h"

#include <fcntl.h>
#include <string.h>

void trail_begin(struct trail *trail) {
    trail->is_incomplete = false;
    trail->count = trail->size = 0;
}

static bool has(const struct trail *trail, const char *path, size_t length) {
    const char *at = trail->paths;
    for (size_t i = 0; i < trail->count; i++, at += strlen(at) + 1) {
        if (strncmp(at, path, length) == 0 && at[length] == '\0')
            return true;
    }
    return false;
}

void trail_add(struct trail *trail, const char *path, size_t length, const struct stat *status) {
    if (status && has(trail, path, length))
        return;
    if (!status || trail->count == TRAIL_STEPS || length >= TRAIL_PATHS - trail->size) {
        trail->is_incomplete = true;
        return;
    }
    trail->steps[trail->count++] = file_version_of(status);
    memcpy(trail->paths + trail->size, path, length);
    trail->size += length;
    trail->paths[trail->size++] = '\0';
}

bool trail_is_settled(const struct trail *trail, time_t now) {
    bool settled = !trail->is_incomplete;
    for (size_t i = 0; i < trail->count && settled; i++)
        settled = file_version_is_settled(&trail->steps[i], now);
    return settled;
}

bool trail_holds(int content, const struct file_version *steps, size_t count, const char *paths) {
    for (size_t i = 0; i < count; i++, paths += strlen(paths) + 1) {
        struct stat status;
        if (fstatat(content, paths, &status, AT_SYMLINK_NOFOLLOW) < 0)
            return false;
        const struct file_version version = file_version_of(&status);
        if (!file_version_same(&version, &steps[i]))
            return false;
    }
    return true;
}
