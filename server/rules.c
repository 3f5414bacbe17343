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

/* Does this say that something cannot be reached, for whatever reason? Else nobody can tell. */
static bool is_absence(int error) {
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == ELOOP || error == EXDEV ||
           error == ENAMETOOLONG;
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
    return error == 0 ? 1 : is_absence(error) ? 0 : -error;
}

long rules_read(int folder, const char *path, size_t most, char **text) {
    struct source source = {.path = path};
    return read_source(folder, &source, most, text);
}

/* ---- who may enter ---- */

/* Refuses for a reason that the owner has to know of. */
static void refuse_unread(struct source *source, long error, struct reply *reply) {
    if (beneath_is_busy(error)) {
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

bool rules_admit_to_folder(int folder, const char *path, struct visitor *visitor, struct reply *reply) {
    char name[RULES_PATH_MAX], *text;
    struct access_list list;
    struct source source = {.path = name};
    size_t length = strlen(path);
    if (length >= sizeof name - sizeof ".access")
        return true; /* too long for any file */
    strcpy(name, path);
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

/* Is it certain that the folder that was reached last has nothing of this name? */
static bool lacks(const struct way *way, const char *name) {
    struct stat status;
    return fstatat(way->folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

/* Goes on to the folder of this path, one further than the last. Returns 0 or -errno. */
static int go_on(int folder, const char *path, struct way *way) {
    int next =
        beneath_open_behind(folder, path, way->length > 0 ? way->folder : folder, way->length, O_PATH | O_DIRECTORY);
    if (next < 0)
        return next;
    rules_leave(way);
    way->folder = next;
    way->length = strlen(path);
    return 0;
}

bool rules_admit(int folder, const char *capsule, const char *path, struct visitor *visitor, struct reply *reply,
                 struct way *way) {
    char whole[RULES_PATH_MAX], reached[RULES_PATH_MAX];
    *way = (struct way){.folder = -1};
    int length = snprintf(whole, sizeof whole, "%s%s", capsule, path);
    if (length < 0 || (size_t)length >= sizeof whole - sizeof ".access")
        return true; /* too long for any file */
    for (const char *slash = strchr(whole, '/'); slash; slash = strchr(slash + 1, '/')) {
        size_t end = (size_t)(slash + 1 - whole);
        memcpy(reached, whole, end);
        reached[end] = '\0';
        int error = go_on(folder, reached, way);
        if (error < 0 && is_absence(-error))
            return true; /* nothing beneath it can be reached */
        /* Where nobody can tell whether there is a list, the closer look says so. */
        if ((error < 0 || !lacks(way, ".access")) && !rules_admit_to_folder(folder, reached, visitor, reply))
            return false;
        way->has_metadata[end] = error < 0 || !lacks(way, ".meta");
    }
    return true;
}

void rules_leave(struct way *way) {
    if (way->folder >= 0)
        close(way->folder);
    way->folder = -1;
}

/* ---- what is said of a file ---- */

const struct meta_rule *rules_find(int folder, const char *capsule, const char *path, const struct way *way,
                                   struct meta *meta) {
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
        if (!way->has_metadata[end]) {
            end--;
            continue;
        }
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
        } else if (found != 0 && !beneath_is_busy(size)) {
            report(1,
                   size == -EFBIG ? "is too long for metadata and does not count" : "cannot be read and does not count",
                   &source);
        }
        end--;
    }
    return NULL;
}
