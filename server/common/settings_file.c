/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "settings_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "file.h"
#include "log.h"

/* Returns the size of the file and *text (malloc, the caller's), or -errno. */
static ssize_t read_settings(const char *path, char **text) {
    *text = NULL;
    /* A FIFO in its place must not block. */
    int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file < 0)
        return -errno;
    ssize_t size = file_read(file, SETTINGS_FILE_MAX, text);
    close(file);
    return size;
}

static void report(unsigned line, const char *problem, void *context) {
    char path[PATH_MAX];
    log_line(LOG_LEVEL_ERROR, "%s:%u: %s", log_quote(path, sizeof path, context), line, problem);
}

int settings_load(struct settings *settings, const char *path, text_fault *fault, void *context) {
    struct settings fresh;
    char quoted[PATH_MAX], *text;
    const char *name = path ? path : SETTINGS_PATH;
    log_quote(quoted, sizeof quoted, name);
    ssize_t length = read_settings(name, &text);
    if (length == -ENOENT && !path) {
        settings_default(settings);
        return EX_OK;
    }
    if (length == -ENOMEM) {
        log_line(LOG_LEVEL_ERROR, "settings file %s: out of memory", quoted);
        return EX_OSERR;
    }
    if (length == -EFBIG) {
        log_line(LOG_LEVEL_ERROR, "settings file %s: too long; %d bytes at most", quoted, SETTINGS_FILE_MAX);
        return EX_CONFIG;
    }
    if (length < 0) {
        log_line(LOG_LEVEL_ERROR, "settings file %s: %s; %sname another with --settings", quoted,
                 length == -EINVAL ? "not a regular file" : strerror((int)-length),
                 length == -EACCES ? "make it readable by everyone (chmod o+r), or " : "");
        return EX_NOINPUT;
    }
    int faults = settings_parse(&fresh, text, (size_t)length, fault, context);
    free(text);
    if (faults != 0)
        return EX_CONFIG;
    *settings = fresh;
    return EX_OK;
}

int settings_read(struct settings *settings, const char *path) {
    const char *name = path ? path : SETTINGS_PATH;
    return settings_load(settings, path, report, (void *)(uintptr_t)name);
}
