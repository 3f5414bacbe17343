/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"

/* Begins with a dot; no host name does. */
static const char temporary[] = ".new";

ssize_t atomic_file_read_open(int file, char **text) {
    ssize_t size = file_read(file, ATOMIC_FILE_MAX, text);
    if (size != 0)
        return size;
    free(*text);
    *text = NULL;
    return -EINVAL;
}

ssize_t atomic_file_read(int folder, const char *name, char **text) {
    *text = NULL;
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return -errno;
    ssize_t size = atomic_file_read_open(file, text);
    close(file);
    return size;
}

/* Returns 0 or -errno, like everything from here on. */
static int write_all(int file, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(file, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        bytes += written;
        size -= (size_t)written;
    }
    return 0;
}

/*
 * Files in a service's folder must belong to the service, even if an administrator (root) writes them; otherwise it
 * could not read them.
 */
static int give_to_owner(int folder, int file) {
    struct stat about;
    if (geteuid() != 0)
        return 0;
    if (fstat(folder, &about) < 0)
        return -errno;
    return about.st_uid == 0 || fchown(file, about.st_uid, about.st_gid) == 0 ? 0 : -errno;
}

/* Fills a temporary file. */
static int fill(int folder, int file, const char *bytes, size_t size) {
    /* The unit's umask may be 0777; then nobody could read the file at the next start. */
    if (fchmod(file, 0600) < 0)
        return -errno;
    int result = give_to_owner(folder, file);
    if (result == 0)
        result = write_all(file, bytes, size);
    return result;
}

/* Makes a temporary file. */
static int make(int folder, const char *name, const char *bytes, size_t size, bool syncs) {
    int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return -errno;
    int result = fill(folder, file, bytes, size);
    if (result == 0 && syncs && fsync(file) < 0)
        result = -errno;
    close(file);
    return result;
}

/* Writes the temporary file, then gives it its name, by linkat(2) or renameat(2). Nothing else is left behind. */
static int put_in_place(int folder, const char *name, const char *bytes, size_t size, bool replaces) {
    unlinkat(folder, temporary, 0);
    int result = make(folder, temporary, bytes, size, true);
    if (result == 0 &&
        (replaces ? renameat(folder, temporary, folder, name) : linkat(folder, temporary, folder, name, 0)) < 0)
        result = -errno;
    unlinkat(folder, temporary, 0);
    if (result == 0)
        fsync(folder);
    return result;
}

int atomic_file_create(int folder, const char *name, const char *bytes, size_t size) {
    /* link() rather than rename(): do not replace a file that somebody else made in the meantime. */
    return put_in_place(folder, name, bytes, size, false);
}

int atomic_file_replace(int folder, const char *name, const char *bytes, size_t size) {
    return put_in_place(folder, name, bytes, size, true);
}

#define NUMBERED 16 /* bytes: the name, a number of up to ten digits, a NUL */

static void put_number(char name[static NUMBERED], unsigned number) {
    snprintf(name, NUMBERED, "%s%u", temporary, number);
}

int atomic_file_prepare(int folder, unsigned number, const char *bytes, size_t size) {
    char name[NUMBERED];
    put_number(name, number);
    int result = make(folder, name, bytes, size, false);
    if (result < 0 && result != -EEXIST)
        unlinkat(folder, name, 0);
    return result;
}

int atomic_file_settle(int folder) {
    return syncfs(folder) < 0 ? -errno : 0;
}

int atomic_file_put(int folder, unsigned number, const char *name) {
    char from[NUMBERED];
    put_number(from, number);
    int result = linkat(folder, from, folder, name, 0) < 0 ? -errno : 0;
    unlinkat(folder, from, 0);
    return result;
}

void atomic_file_drop(int folder, unsigned number) {
    char name[NUMBERED];
    put_number(name, number);
    unlinkat(folder, name, 0);
}

bool atomic_file_is_left(const char *name) {
    size_t length = sizeof temporary - 1;
    return strncmp(name, temporary, length) == 0 && name[length] != '\0' &&
           strspn(name + length, "0123456789") == strlen(name + length);
}

int atomic_file_rename(int folder, const char *from, const char *to) {
    return renameat(folder, from, folder, to) == 0 && fsync(folder) == 0 ? 0 : -errno;
}
