/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define TURNS_MAX 128 /* links and `..` on one way; the kernel follows 40 links */

/*
 * openat2(2), kernel 5.6. The kernel's own header is not on musl's search path, so what is used of it stands here: the
 * numbers are part of the kernel's stable interface.
 */
struct open_how {
    uint64_t flags, mode, resolve;
};
#define RESOLVE_NO_MAGICLINKS 0x02
#define RESOLVE_BENEATH 0x08

/* With RESOLVE_BENEATH the kernel answers EAGAIN when something was renamed while it looked at a `..` in a link. */
#define OPEN_ATTEMPTS 8

/* ---- name by name ---- */

#define AGAIN 1 /* the path was written anew: walk it from the start */

/*
 * Writes into `path` the first `kept` bytes of it, then `middle`, then `rest`, which is empty or begins with a slash.
 * All that is kept is known to be folders and no links.
 */
static int rewrite(char path[static PATH_SIZE], size_t kept, const char *middle, const char *rest) {
    char fresh[PATH_SIZE];
    int length = snprintf(fresh, sizeof fresh, "%.*s/%s%s", (int)kept, path, middle, rest);
    if (length < 0 || (size_t)length >= sizeof fresh)
        return -ENAMETOOLONG;
    memcpy(path, fresh, (size_t)length + 1);
    return AGAIN;
}

/*
 * The folder above the one that ends at `end`: `..` was met there. Nothing is above when there is no name before it; `.`
 * is none.
 */
static int climb(char path[static PATH_SIZE], size_t end, const char *rest) {
    size_t start = end;
    do {
        end = start;
        while (end > 0 && path[end - 1] == '/')
            end--;
        if (end == 0)
            return -EXDEV;
        start = end;
        while (start > 0 && path[start - 1] != '/')
            start--;
    } while (end - start == 1 && path[start] == '.');
    return rewrite(path, start, "", rest);
}

static int follow(int parent, const char *name, char path[static PATH_SIZE], size_t before, const char *rest) {
    char target[PATH_SIZE];
    ssize_t length = readlinkat(parent, name, target, sizeof target - 1);
    if (length < 0)
        return -errno;
    target[length] = '\0';
    return target[0] == '/' ? -EXDEV : rewrite(path, before, target, rest);
}

/*
 * Takes one step: opens `name` in `parent` without following it. Where it is a link, writes path anew.
 * Before it stand `before` bytes of path, behind it `rest`.
 */
static int step(int parent, const char *name, int flags, char path[static PATH_SIZE], size_t before, const char *rest) {
    struct stat found;
    int next = openat(parent, name, flags | O_NOFOLLOW | O_CLOEXEC);
    int error = next < 0 ? errno : 0;
    if (error != 0 && error != ELOOP && error != ENOTDIR)
        return -error;
    if (error == 0 && !((flags & O_PATH) && !(flags & O_DIRECTORY)))
        return next;
    /* With O_PATH alone a link is opened itself. */
    if (fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(found.st_mode)) {
        if (next >= 0)
            close(next);
        return follow(parent, name, path, before, rest);
    }
    return next >= 0 ? next : -error;
}

static int walk(int folder, char path[static PATH_SIZE], int flags) {
    char name[PATH_SIZE];
    size_t at = 0;
    int parent = folder, result;
    for (;;) {
        at += strspn(path + at, "/");
        size_t length = strcspn(path + at, "/"), next = at + length + strspn(path + at + length, "/");
        bool last = path[next] == '\0';
        memcpy(name, path + at, length);
        name[length] = '\0';
        if (length == 0)
            memcpy(name, ".", 2);
        if (strcmp(name, "..") == 0)
            result = climb(path, at, path + at + length);
        else
            result =
                step(parent, name, last ? flags | (path[at + length] == '/' ? O_DIRECTORY : 0) : O_PATH | O_DIRECTORY,
                     path, at, path + at + length);
        if (parent != folder)
            close(parent);
        if (last || result < 0 || result == AGAIN)
            return result;
        parent = result;
        at = next;
    }
}

int beneath_walk(int folder, const char *path, int flags) {
    char pending[PATH_SIZE];
    size_t length = strlen(path);
    if (length == 0)
        return -ENOENT;
    if (length >= sizeof pending)
        return -ENAMETOOLONG;
    if (path[0] == '/')
        return -EXDEV;
    memcpy(pending, path, length + 1);
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        int result = walk(folder, pending, flags);
        if (result != AGAIN)
            return result;
    }
    return -ELOOP;
}

/* ---- in one call ---- */

int beneath_open(int folder, const char *path, int flags) {
    static _Atomic bool walks; /* openat2 is known not to be there */
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    for (int attempt = 1; !walks; attempt++) {
        long result = syscall(SYS_openat2, folder, path, &how, sizeof how);
        if (result >= 0)
            return (int)result;
        if (errno == ENOSYS)
            walks = true;
        else if ((errno != EAGAIN && errno != EINTR) || attempt == OPEN_ATTEMPTS)
            return -errno;
    }
    return beneath_walk(folder, path, flags);
}

/* The only name of a path, which may have a slash behind it. False: it has more than one, or none that is plain. */
static bool take_name(char name[static NAME_MAX + 1], const char *path) {
    size_t length = strcspn(path, "/");
    if (length == 0 || length > NAME_MAX || path[length + strspn(path + length, "/")] != '\0')
        return false;
    memcpy(name, path, length);
    name[length] = '\0';
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int beneath_open_behind(int folder, const char *path, int parent, size_t length, int flags) {
    char name[NAME_MAX + 1];
    /* With O_PATH alone a link would be opened itself. */
    bool refuses_links = !(flags & O_PATH) || (flags & O_DIRECTORY);
    if (parent >= 0 && refuses_links && take_name(name, path + length)) {
        bool to_folder = path[length + strlen(name)] == '/';
        int found = openat(parent, name, flags | (to_folder ? O_DIRECTORY : 0) | O_NOFOLLOW | O_CLOEXEC);
        /* A link is walked from the content folder: only there is it known what it must not leave. */
        if (found >= 0 || (errno != ELOOP && errno != ENOTDIR))
            return found >= 0 ? found : -errno;
    }
    return beneath_open(folder, path, flags);
}

bool beneath_is_busy(long error) {
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EAGAIN || error == -EINTR;
}
