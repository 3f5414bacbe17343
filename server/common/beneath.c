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

#define TURNS_MAX 128 /* links and `..` in one walk; the kernel follows 40 links */

/*
 * openat2(2), kernel 5.6. The kernel's own header is not on musl's search path, so we define what we use: the numbers
 * are part of the kernel's stable interface.
 */
struct open_how {
    uint64_t flags, mode, resolve;
};
#define RESOLVE_NO_MAGICLINKS 0x02
#define RESOLVE_BENEATH 0x08

/* With RESOLVE_BENEATH, the kernel returns EAGAIN if something was renamed while it resolved a `..` in a link. */
#define OPEN_ATTEMPTS 8

/* ---- name by name ---- */

#define AGAIN INT_MIN    /* the text was rewritten: walk it from the start */
#define ALL_FOLDERS (-1) /* instead of flags: enter the last name, too */

/*
 * Replaces the part of the text between its first `kept` bytes and `rest` with `middle`; `rest` is empty or begins with
 * a slash. The kept part is known to consist of folders, not links.
 */
static int rewrite(struct beneath_path *path, size_t kept, const char *middle, const char *rest) {
    char fresh[BENEATH_PATH_SIZE];
    bool is_gone = middle[0] == '\0' && rest[0] == '/';
    int length = snprintf(fresh, sizeof fresh, "%.*s%s%s", (int)kept, path->text, middle, is_gone ? rest + 1 : rest);
    if (length < 0 || (size_t)length >= sizeof fresh)
        return -ENAMETOOLONG;
    memcpy(path->text, fresh, (size_t)length + 1);
    path->strayed |= path->root > 0;
    return AGAIN;
}

/* Handles `..` at `at`: continues in the parent of the folder that ends there. */
static int climb(struct beneath_path *path, size_t at, const char *rest) {
    if (at == 0)
        return -EXDEV;
    size_t start = at - 1;
    while (start > 0 && path->text[start - 1] != '/')
        start--;
    return start < path->floor ? -EXDEV : rewrite(path, start, "", rest);
}

static int follow(struct beneath_path *path, int parent, const char *name, size_t at, const char *rest) {
    char target[BENEATH_PATH_SIZE];
    ssize_t length = readlinkat(parent, name, target, sizeof target - 1);
    if (length < 0)
        return -errno;
    target[length] = '\0';
    if (target[0] == '/')
        return -EXDEV;
    /* This link is in a folder whose owner must not lead out of it. */
    if (path->is_confined && path->floor == 0 && at > 0)
        path->floor = strcspn(path->text, "/") + 1;
    return rewrite(path, at, target, rest);
}

/*
 * Takes one step: opens `name` in `parent` without following it. If it is a link, rewrites the text. at: where the name
 * begins in the text. rest: the text after it.
 */
static int step(struct beneath_path *path, int parent, const char *name, int flags, size_t at, const char *rest) {
    struct stat found;
    int next = openat(parent, name, flags | O_NOFOLLOW | O_CLOEXEC);
    int error = next < 0 ? errno : 0;
    if (error != 0 && error != ELOOP && error != ENOTDIR)
        return -error;
    if (error == 0 && !((flags & O_PATH) && !(flags & O_DIRECTORY)))
        return next;
    /* With O_PATH alone, the link itself is opened. */
    if (fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(found.st_mode)) {
        if (next >= 0)
            close(next);
        return follow(path, parent, name, at, rest);
    }
    return next >= 0 ? next : -error;
}

/* Removes redundant slashes and `.`, at the start of a path or after a slash. */
static void simplify(char *at) {
    for (;;) {
        size_t needless = strspn(at, "/");
        if (at[needless] == '.' && (at[needless + 1] == '/' || at[needless + 1] == '\0'))
            needless++;
        if (needless == 0)
            return;
        memmove(at, at + needless, strlen(at + needless) + 1);
    }
}

/* Enters a folder that was just opened. Its name has `length` bytes at `at`. Returns 0 or -errno. */
static int enter(struct beneath_path *path, int folder, size_t at, size_t length) {
    beneath_leave(path);
    path->folder = folder;
    path->reached = at + length + 1;
    if (path->root == 0 && strlen(path->text + at + length) <= path->behind_name) {
        path->root = path->reached;
        if (path->is_confined)
            path->floor = path->root;
    }
    return path->enter ? path->enter(path) : 0;
}

static int walk(struct beneath_path *path, int start, int flags) {
    char name[BENEATH_PATH_SIZE];
    size_t at = 0;
    beneath_leave(path);
    path->reached = 0;
    simplify(path->text);
    for (;;) {
        int parent = path->folder >= 0 ? path->folder : start;
        size_t length = strcspn(path->text + at, "/");
        char *rest = path->text + at + length;
        if (rest[0] == '/')
            simplify(rest + 1);
        if (length == 0 && flags == ALL_FOLDERS)
            return 0;
        memcpy(name, path->text + at, length);
        memcpy(name + length, length == 0 ? "." : "", length == 0 ? 2 : 1);
        if (strcmp(name, "..") == 0)
            return climb(path, at, rest);
        if (flags != ALL_FOLDERS && (rest[0] == '\0' || rest[1] == '\0'))
            return step(path, parent, name, flags | (rest[0] == '/' ? O_DIRECTORY : 0), at, rest);
        int result = step(path, parent, name, O_PATH | O_DIRECTORY, at, rest);
        if (result >= 0)
            result = enter(path, result, at, length);
        if (result < 0 || rest[0] == '\0')
            return result;
        at += length + 1;
    }
}

int beneath_follow(struct beneath_path *path, int folder, int flags) {
    size_t length = strnlen(path->text, sizeof path->text);
    path->folder = -1;
    path->reached = path->root = path->floor = 0;
    path->strayed = false;
    if (length == 0)
        return -ENOENT;
    if (length == sizeof path->text)
        return -ENAMETOOLONG;
    if (path->text[0] == '/')
        return -EXDEV;
    for (char *at = path->text; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL)
        simplify(at);
    path->behind_name = strlen(path->text + strcspn(path->text, "/"));
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        int result = walk(path, folder, flags);
        if (result != AGAIN)
            return result;
    }
    return -ELOOP;
}

int beneath_enter(struct beneath_path *path, int folder) {
    return beneath_follow(path, folder, ALL_FOLDERS);
}

void beneath_leave(struct beneath_path *path) {
    if (path->folder >= 0)
        close(path->folder);
    path->folder = -1;
}

static int walk_alone(int folder, const char *text, int flags, bool is_confined) {
    struct beneath_path path = {.is_confined = is_confined};
    size_t length = strlen(text);
    if (length >= sizeof path.text)
        return -ENAMETOOLONG;
    memcpy(path.text, text, length + 1);
    int result = beneath_follow(&path, folder, flags);
    beneath_leave(&path);
    return result;
}

int beneath_walk(int folder, const char *path, int flags) {
    return walk_alone(folder, path, flags, false);
}

int beneath_open_confined(int folder, const char *path, int flags) {
    return walk_alone(folder, path, flags, true);
}

/* ---- in one call ---- */

int beneath_open(int folder, const char *path, int flags) {
    static _Atomic bool walks; /* openat2 is known to be missing */
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

bool beneath_is_busy(long error) {
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EAGAIN || error == -EINTR;
}
