/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "closed.h"

#include <dirent.h>
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

static void look_into(struct closed *closed, int parent, const char *name, char path[static CLOSED_PATH_SIZE],
                      unsigned depth);

/* path: as for look_into. */
static void look_at(struct closed *closed, int folder, const char *name, char path[static CLOSED_PATH_SIZE],
                    unsigned depth) {
    struct stat status;
    size_t length = strlen(path);
    closed->looks++;
    /* Other code reports a page directly in the content folder; lost+found belongs to the file system. */
    if (directory_is_hidden(name) || fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !(S_ISDIR(status.st_mode) || (S_ISREG(status.st_mode) && depth > 0)) ||
        (depth == 0 && strcmp(name, "lost+found") == 0))
        return;
    snprintf(path + length, CLOSED_PATH_SIZE - length, "%s%s", length > 0 ? "/" : "", name);
    if (is_closed(closed, folder, name, &status)) {
        if (closed->count++ == 0)
            memcpy(closed->first, path, CLOSED_PATH_SIZE);
    } else if (S_ISDIR(status.st_mode) && depth < CLOSED_DEPTH_MAX) {
        look_into(closed, folder, name, path, depth + 1);
    }
    path[length] = '\0';
}

/*
 * Looks at each name in a folder, which `parent` holds under `name`. path: the folder, relative to the content folder,
 * with room for more; empty for the content folder itself.
 */
static void look_into(struct closed *closed, int parent, const char *name, char path[static CLOSED_PATH_SIZE],
                      unsigned depth) {
    int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *names = folder < 0 ? NULL : fdopendir(folder);
    const struct dirent *entry;
    while (names && closed->looks < CLOSED_LOOKS_MAX && (entry = readdir(names))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            look_at(closed, folder, entry->d_name, path, depth);
    }
    if (names)
        closedir(names);
    else if (folder >= 0)
        close(folder);
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
        look_into(closed, content, ".", path, 0);
}
