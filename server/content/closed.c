/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "closed.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/directory.h"

static bool is_closed(int folder, const char *name, const struct stat *status) {
    bool is_folder = S_ISDIR(status->st_mode);
    mode_t needed = is_folder ? S_IROTH | S_IXOTH : S_IROTH;
    if (geteuid() == 0)
        return (status->st_mode & needed) != needed;
    return faccessat(folder, name, is_folder ? R_OK | X_OK : R_OK, 0) < 0;
}

/* path: the folder, relative to the content folder, with room for more; empty for the content folder itself. */
static void look_into(struct closed *closed, int folder, char path[static CLOSED_PATH_SIZE], unsigned depth) {
    char **names;
    size_t length = strlen(path);
    long count = directory_read(folder, &names);
    for (long i = 0; i < count && closed->looks < CLOSED_LOOKS_MAX; i++) {
        struct stat status;
        closed->looks++;
        /* Other code reports a page directly in the content folder; lost+found belongs to the file system. */
        if (directory_is_hidden(names[i]) || fstatat(folder, names[i], &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            !(S_ISDIR(status.st_mode) || (S_ISREG(status.st_mode) && depth > 0)) ||
            (depth == 0 && strcmp(names[i], "lost+found") == 0))
            continue;
        snprintf(path + length, CLOSED_PATH_SIZE - length, "%s%s", length > 0 ? "/" : "", names[i]);
        if (is_closed(folder, names[i], &status)) {
            if (closed->count++ == 0)
                memcpy(closed->first, path, CLOSED_PATH_SIZE);
        } else if (S_ISDIR(status.st_mode) && depth < CLOSED_DEPTH_MAX) {
            int next = openat(folder, names[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (next >= 0) {
                look_into(closed, next, path, depth + 1);
                close(next);
            }
        }
        path[length] = '\0';
    }
    if (count >= 0)
        directory_dispose(names, count);
}

void closed_find(struct closed *closed, int content) {
    char path[CLOSED_PATH_SIZE] = "";
    struct stat status;
    *closed = (struct closed){0};
    /*
     * If root starts the server and the content folder is closed to others, workers stay root (children.c) and can read
     * everything.
     */
    if (geteuid() != 0 ||
        (fstat(content, &status) == 0 && (status.st_mode & (S_IROTH | S_IXOTH)) == (S_IROTH | S_IXOTH)))
        look_into(closed, content, path, 0);
}
