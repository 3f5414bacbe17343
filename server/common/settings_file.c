/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "settings_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "log.h"

/* Reads up to `size` bytes of a regular file. Returns how many, or -errno. */
static ssize_t read_whole(const char *path, char *text, size_t size) {
    struct stat status;
    size_t length = 0;
    /* A FIFO in its place must not block. */
    int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file < 0)
        return -errno;
    if (fstat(file, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(file);
        return -EINVAL;
    }
    while (length < size) {
        ssize_t got = read(file, text + length, size - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int error = errno;
            close(file);
            return -error;
        }
        if (got == 0)
            break;
        length += (size_t)got;
    }
    close(file);
    return (ssize_t)length;
}

static void report(unsigned line, const char *problem, void *context) {
    char path[PATH_MAX];
    log_line(LOG_LEVEL_ERROR, "%s:%u: %s", log_quote(path, sizeof path, context), line, problem);
}

int settings_load(struct settings *settings, const char *path, text_fault *fault, void *context) {
    struct settings fresh;
    char quoted[PATH_MAX];
    const char *name = path ? path : SETTINGS_PATH;
    log_quote(quoted, sizeof quoted, name);
    char *text = malloc(SETTINGS_FILE_MAX + 1);
    if (!text) {
        log_line(LOG_LEVEL_ERROR, "settings file %s: out of memory", quoted);
        return EX_OSERR;
    }
    ssize_t length = read_whole(name, text, SETTINGS_FILE_MAX + 1);
    if (length == -ENOENT && !path)
        length = 0;
    if (length < 0) {
        log_line(LOG_LEVEL_ERROR,
                 "settings file %s: %s; make it readable by everyone (chmod o+r), or name another with --settings",
                 quoted, length == -EINVAL ? "not a regular file" : strerror((int)-length));
        free(text);
        return EX_NOINPUT;
    }
    int faults = settings_parse(&fresh, text, (size_t)length, fault, context);
    free(text);
    if (faults < 0)
        log_line(LOG_LEVEL_ERROR, "settings file %s: too long; %d bytes at most", quoted, SETTINGS_FILE_MAX);
    if (faults != 0)
        return EX_CONFIG;
    *settings = fresh;
    return EX_OK;
}

int settings_read(struct settings *settings, const char *path) {
    const char *name = path ? path : SETTINGS_PATH;
    return settings_load(settings, path, report, (void *)(uintptr_t)name);
}
