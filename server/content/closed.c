/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "closed.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/directory.h"

static bool is_closed(const struct closed *closed, int folder, const char *name, const struct stat *status) {
    bool is_folder = S_ISDIR(status->st_mode);
    mode_t needed = is_folder ? S_IROTH | S_IXOTH : S_IROTH;
    if (closed->is_root)
        return (status->st_mode & needed) != needed;
    return faccessat(folder, name, is_folder ? R_OK | X_OK : R_OK, 0) < 0;
}

/* One folder that is being read. */
struct level {
    struct closed *closed;
    int folder;
    char *path; /* relative to the content folder, "" for that one itself; has room for CLOSED_PATH_SIZE bytes */
    unsigned depth;
};

static void look_into(struct level level, const char *name);

static int look_at(const char *name, unsigned char kind, void *context) {
    const struct level *level = context;
    struct closed *closed = level->closed;
    struct stat status;
    size_t length = strlen(level->path);
    (void)kind;
    if (closed->looks >= CLOSED_LOOKS_MAX)
        return 1;
    closed->looks++;
    /* Other code reports a page directly in the content folder; lost+found belongs to the file system. */
    if (directory_is_hidden(name) || fstatat(level->folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !(S_ISDIR(status.st_mode) || (S_ISREG(status.st_mode) && level->depth > 0)) ||
        (level->depth == 0 && strcmp(name, "lost+found") == 0))
        return 0;
    snprintf(level->path + length, CLOSED_PATH_SIZE - length, "%s%s", length > 0 ? "/" : "", name);
    if (is_closed(closed, level->folder, name, &status)) {
        if (closed->count++ == 0)
            memcpy(closed->first, level->path, CLOSED_PATH_SIZE);
    } else if (S_ISDIR(status.st_mode) && level->depth < CLOSED_DEPTH_MAX) {
        look_into((struct level){closed, level->folder, level->path, level->depth + 1}, name);
    }
    level->path[length] = '\0';
    return 0;
}

/* level: that of a folder in its parent, whose descriptor it still has. */
static void look_into(struct level level, const char *name) {
    level.folder = openat(level.folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (level.folder >= 0)
        directory_each(level.folder, look_at, &level);
}

void closed_find(struct closed *closed, int content) {
    char path[CLOSED_PATH_SIZE] = "";
    struct stat status;
    *closed = (struct closed){.is_root = geteuid() == 0};
    /*
     * If root starts the server and the content folder is closed to others, workers stay root (children.c) and can read
     * everything.
     */
    if (!closed->is_root ||
        (fstat(content, &status) == 0 && (status.st_mode & (S_IROTH | S_IXOTH)) == (S_IROTH | S_IXOTH)))
        look_into((struct level){closed, content, path, 0}, ".");
}
