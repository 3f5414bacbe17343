/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access.h"
#include "beneath.h"
#include "log.h"
#include "request.h"

#define RULES_PATH_MAX (REQUEST_HOST_MAX + REQUEST_URI_MAX + 16)
#define REMEMBERED 64 /* versions of files whose faults were logged */

/* ---- faults are told once ---- */

struct version {
    dev_t device;
    ino_t inode;
    off_t size; /* tells versions apart that were written within one tick of the file system's clock */
    struct timespec changed;
};

static struct version remembered[REMEMBERED];
static size_t remembered_next;

static bool is_news(const struct stat *status) {
    const struct version version = {status->st_dev, status->st_ino, status->st_size, status->st_ctim};
    for (size_t i = 0; i < REMEMBERED && i < remembered_next; i++) {
        const struct version *known = &remembered[i];
        if (known->device == version.device && known->inode == version.inode && known->size == version.size &&
            known->changed.tv_sec == version.changed.tv_sec && known->changed.tv_nsec == version.changed.tv_nsec)
            return false;
    }
    remembered[remembered_next++ % REMEMBERED] = version;
    return true;
}

/* What a fault is found in. */
struct source {
    const char *path;
    struct stat status;
    bool faulty, news;
};

static void report(unsigned line, const char *problem, void *context) {
    struct source *source = context;
    char path[2 * RULES_PATH_MAX];
    if (!source->faulty) {
        source->faulty = true;
        source->news = is_news(&source->status);
    }
    if (source->news)
        log_line(LOG_LEVEL_WARNING, "%s:%u: %s", log_quote(path, sizeof path, source->path), line, problem);
}

/* ---- files ---- */

static long read_source(int folder, struct source *source, size_t most, char **text) {
    /* Nothing of this may block: not a FIFO without a writer, nor a terminal. */
    int file = beneath_open(folder, source->path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    long result = -EINVAL;
    *text = NULL;
    if (file < 0)
        return file;
    if (fstat(file, &source->status) < 0 || !S_ISREG(source->status.st_mode))
        goto end;
    result = -EFBIG;
    if ((uint64_t)source->status.st_size > most)
        goto end;
    result = -ENOMEM;
    *text = malloc((size_t)source->status.st_size + 1);
    if (!*text)
        goto end;
    do {
        result = read(file, *text, (size_t)source->status.st_size);
    } while (result < 0 && errno == EINTR);
    if (result < 0) {
        result = -errno;
        free(*text);
        *text = NULL;
    } else {
        (*text)[result] = '\0';
    }
end:
    close(file);
    return result;
}

/* Has the system no room just now? That says nothing about a file. */
static bool is_busy(long error) {
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EAGAIN || error == -EINTR;
}

/*
 * Is there something of this name in a folder that can be reached? source->path: of the folder, with its slash. Where
 * the folder cannot be reached nothing in it can, whatever is said of it. Returns 1 with source->status filled in (a
 * file that cannot be opened is known by it), or 0, or -errno when nobody can tell.
 */
static int is_there(int folder, struct source *source, const char *name) {
    int parent = beneath_open(folder, source->path, O_PATH | O_DIRECTORY);
    int error = parent < 0 ? -parent : 0;
    if (error == 0) {
        if (fstatat(parent, name, &source->status, AT_SYMLINK_NOFOLLOW) < 0)
            error = errno;
        close(parent);
    }
    switch (error) {
    case 0:
        return 1;
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case ELOOP:
    case EXDEV:
    case ENAMETOOLONG:
        return 0;
    default:
        return -error;
    }
}

long rules_read(int folder, const char *path, size_t most, char **text) {
    struct source source = {.path = path};
    return read_source(folder, &source, most, text);
}

/* ---- who may enter ---- */

/* Refuses for a reason that the owner has to know of. */
static void refuse_unread(struct source *source, long error, struct reply *reply) {
    if (is_busy(error)) {
        reply_set(reply, STATUS_SERVER_UNAVAILABLE, "The server is busy");
        return;
    }
    report(1,
           error == -EFBIG ? "is too long for an access list; nobody may enter"
                           : "cannot be read as an access list; nobody may enter",
           source);
    reply_set(reply, STATUS_TEMPORARY_FAILURE, "The access list of this folder cannot be read");
}

static bool admit(const struct access_list *list, struct visitor *visitor, struct reply *reply) {
    if (!visitor->has_certificate) {
        reply_set(reply, STATUS_CERTIFICATE_REQUIRED, "This folder is for visitors with a certificate");
        return false;
    }
    if (!visitor->certificate_valid) {
        reply_set(reply, STATUS_CERTIFICATE_NOT_VALID, "The certificate is not valid now");
        return false;
    }
    const char *name = access_find(list, visitor->fingerprint);
    if (!name) {
        reply_set(reply, STATUS_CERTIFICATE_NOT_AUTHORISED, "This certificate is not on the list of this folder");
        return false;
    }
    snprintf(visitor->name, sizeof visitor->name, "%s", name);
    return true;
}

/* Asks the list in the folder whose path, with its slash, is the first `length` bytes of path. */
static bool admit_to_folder(int folder, const char *path, size_t length, struct visitor *visitor, struct reply *reply) {
    char name[RULES_PATH_MAX], *text;
    struct access_list list;
    struct source source = {.path = name};
    snprintf(name, sizeof name, "%.*s", (int)length, path);
    int found = is_there(folder, &source, ".access");
    if (found == 0)
        return true;
    strcpy(name + length, ".access");
    if (found < 0) {
        refuse_unread(&source, found, reply);
        return false;
    }
    long size = read_source(folder, &source, ACCESS_FILE_MAX, &text);
    int faults = size < 0 ? (int)size : access_parse(&list, text, (size_t)size, report, &source);
    free(text);
    if (faults < 0) {
        refuse_unread(&source, faults, reply);
        return false;
    }
    bool admitted = admit(&list, visitor, reply);
    access_dispose(&list);
    return admitted;
}

bool rules_admit(int folder, const char *capsule, const char *path, struct visitor *visitor, struct reply *reply) {
    char whole[RULES_PATH_MAX];
    /* A folder that is named without its slash is one too. */
    int length = snprintf(whole, sizeof whole, "%s%s/", capsule, path);
    if (length < 0 || (size_t)length >= sizeof whole - sizeof ".access")
        return true; /* too long for any file */
    for (char *slash = strchr(whole, '/'); slash; slash = strchr(slash + 1, '/')) {
        if (slash[-1] != '/' && !admit_to_folder(folder, whole, (size_t)(slash + 1 - whole), visitor, reply))
            return false;
    }
    return true;
}

/* ---- what is said of a file ---- */

const struct meta_rule *rules_find(int folder, const char *capsule, const char *path, struct meta *meta) {
    char whole[RULES_PATH_MAX], name[RULES_PATH_MAX], *text;
    *meta = (struct meta){0};
    int length = snprintf(whole, sizeof whole, "%s%s", capsule, path);
    if (length < 0 || (size_t)length >= sizeof whole - sizeof ".meta")
        return NULL;
    size_t end = (size_t)length;
    while (end > 0) {
        while (end > 0 && whole[end - 1] != '/')
            end--;
        if (end == 0)
            break;
        struct source source = {.path = name};
        snprintf(name, sizeof name, "%.*s", (int)end, whole);
        int found = is_there(folder, &source, ".meta");
        strcpy(name + end, ".meta");
        long size = found > 0 ? read_source(folder, &source, META_FILE_MAX, &text) : found;
        if (found != 0 && size >= 0) {
            int faults = meta_parse(meta, text, (size_t)size, report, &source);
            free(text);
            const struct meta_rule *rule = faults >= 0 ? meta_find(meta, whole + end) : NULL;
            if (rule)
                return rule;
            meta_dispose(meta);
        } else if (found != 0 && !is_busy(size)) {
            report(1,
                   size == -EFBIG ? "is too long for metadata and does not count" : "cannot be read and does not count",
                   &source);
        }
        end--;
    }
    return NULL;
}
