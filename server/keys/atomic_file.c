/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Begins with a dot; no host name does. */
static const char temporary[] = ".new";

ssize_t atomic_file_read_open(int file, char **text) {
    struct stat about;
    ssize_t size;
    *text = NULL;
    if (fstat(file, &about) < 0)
        size = -errno;
    else if (!S_ISREG(about.st_mode) || about.st_size == 0)
        size = -EINVAL;
    else if (about.st_size > ATOMIC_FILE_MAX)
        size = -EFBIG;
    else if (!(*text = malloc((size_t)about.st_size + 1)))
        size = -ENOMEM;
    else if ((size = read(file, *text, (size_t)about.st_size)) != about.st_size)
        size = size < 0 ? -errno : -EIO;
    else
        (*text)[size] = '\0';
    if (size < 0) {
        free(*text);
        *text = NULL;
    }
    return size;
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

static bool write_all(int file, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(file, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

/*
 * Files in a service's folder must belong to the service, even if an administrator (root) writes them; otherwise it
 * could not read them.
 */
static bool give_to_owner(int folder, int file) {
    struct stat about;
    return geteuid() != 0 ||
           (fstat(folder, &about) == 0 && (about.st_uid == 0 || fchown(file, about.st_uid, about.st_gid) == 0));
}

/* Writes the temporary file and syncs it. */
static bool prepare(int folder, const char *bytes, size_t size) {
    unlinkat(folder, temporary, 0);
    int file = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return false;
    /* The unit's umask may be 0777; then nobody could read the file at the next start. */
    bool prepared =
        fchmod(file, 0600) == 0 && give_to_owner(folder, file) && write_all(file, bytes, size) && fsync(file) == 0;
    int reason = errno;
    close(file);
    errno = reason;
    return prepared;
}

static bool finish(int folder, bool done) {
    int reason = errno;
    unlinkat(folder, temporary, 0);
    if (done)
        fsync(folder);
    errno = reason;
    return done;
}

bool atomic_file_create(int folder, const char *name, const char *bytes, size_t size) {
    /* link() rather than rename(): do not replace a file that somebody else made in the meantime. */
    return finish(folder, prepare(folder, bytes, size) && linkat(folder, temporary, folder, name, 0) == 0);
}

bool atomic_file_rename(int folder, const char *from, const char *to) {
    return renameat(folder, from, folder, to) == 0 && fsync(folder) == 0;
}

bool atomic_file_replace(int folder, const char *name, const char *bytes, size_t size) {
    return finish(folder, prepare(folder, bytes, size) && renameat(folder, temporary, folder, name) == 0);
}
