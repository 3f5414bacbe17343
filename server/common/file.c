/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "file.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Returns 0 or -errno. */
static int read_all(int file, char *text, size_t size) {
    for (size_t length = 0; length < size;) {
        ssize_t got = read(file, text + length, size - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EIO;
        length += (size_t)got;
    }
    return 0;
}

ssize_t file_read(int file, size_t most, char **text) {
    struct stat about;
    *text = NULL;
    if (fstat(file, &about) < 0)
        return -errno;
    if (!S_ISREG(about.st_mode))
        return -EINVAL;
    if ((uint64_t)about.st_size > most)
        return -EFBIG;
    size_t size = (size_t)about.st_size;
    *text = malloc(size + 1);
    if (!*text)
        return -ENOMEM;
    int result = read_all(file, *text, size);
    if (result < 0) {
        explicit_bzero(*text, size);
        free(*text);
        *text = NULL;
        return result;
    }
    (*text)[size] = '\0';
    return about.st_size;
}
