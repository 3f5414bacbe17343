/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "path_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access.h"
#include "common/beneath.h"
#include "common/directory.h"
#include "common/log.h"

#define REMEMBERED 64 /* versions of files whose faults were logged */

/* ---- faults are logged once ---- */

struct version {
    dev_t device;
    ino_t inode;
    off_t size; /* distinguishes versions written within one tick of the file system's clock */
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

/* Where a fault was found. */
struct source {
    const char *path;
    struct stat status;
    bool faulty, news;
};

static void report(unsigned line, const char *problem, void *context) {
    struct source *source = context;
    char path[2 * BENEATH_PATH_SIZE];
    if (!source->faulty) {
        source->faulty = true;
        source->news = is_news(&source->status);
    }
    if (source->news)
        log_line(LOG_LEVEL_WARNING, "%s:%u: %s", log_quote(path, sizeof path, source->path), line, problem);
}

/* ---- files ---- */

/* Reads a file, and closes it. Returns its length, or -errno. */
static long read_file(int file, struct source *source, size_t most, char **text) {
    long result = -EINVAL;
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

static long read_source(int content, struct source *source, size_t most, char **text) {
    *text = NULL;
    int file = beneath_open_confined(content, source->path, BENEATH_READ);
    return file < 0 ? file : read_file(file, source, most, text);
}

/* Does this error mean that something cannot be reached? Otherwise we do not know what is there. */
static bool is_absence(int error) {
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == ELOOP || error == EXDEV ||
           error == ENAMETOOLONG;
}

long path_rules_read(int content, const char *path, size_t most, char **text) {
    struct source source = {.path = path};
    return read_source(content, &source, most, text);
}

/* ---- who may enter ---- */

/* Refuses for a reason that the owner must know. */
static void refuse_unread(struct source *source, long error, struct reply *reply) {
    if (beneath_is_busy(error)) {
        reply_set(reply, STATUS_SERVER_UNAVAILABLE, "The server is busy");
        return;
    }
    report(1,
           error == -EFBIG ? "too long for an access list, so nobody can enter" : "cannot be read, so nobody can enter",
           source);
    reply_set(reply, STATUS_TEMPORARY_FAILURE, "The access list of this folder cannot be read");
}

static const char *describe_state(enum certificate_state state) {
    switch (state) {
    case CERTIFICATE_EARLY:
        return "The certificate is not valid yet";
    case CERTIFICATE_EXPIRED:
        return "The certificate has expired";
    default:
        return "The certificate is not valid";
    }
}

static bool admit(const struct access_list *list, struct client *client, struct reply *reply) {
    if (!client->has_certificate) {
        reply_set(reply, STATUS_CERTIFICATE_REQUIRED, "This folder needs a client certificate");
        return false;
    }
    if (client->certificate_state != CERTIFICATE_VALID) {
        reply_set(reply, STATUS_CERTIFICATE_NOT_VALID, describe_state(client->certificate_state));
        return false;
    }
    const char *name = access_find(list, client->fingerprint);
    if (!name) {
        reply_set(reply, STATUS_CERTIFICATE_NOT_AUTHORISED,
                  "This certificate is not on the access list of this folder");
        return false;
    }
    snprintf(client->name, sizeof client->name, "%s", name);
    return true;
}

/*
 * Is there a file with this name in a folder? Returns 1 with *status set, or 0 (also if nothing in the folder can be
 * reached), or -errno if we cannot know.
 */
static int look_for(int folder, const char *name, struct stat *status) {
    if (fstatat(folder, name, status, AT_SYMLINK_NOFOLLOW) == 0)
        return 1;
    return is_absence(errno) ? 0 : -errno;
}

/*
 * May the client enter this folder, whose path is the first `length` bytes of the lookup's path? If not, the reply says
 * why.
 */
static bool admit_to_folder(struct lookup *lookup, int folder, size_t length) {
    char name[BENEATH_PATH_SIZE + sizeof DIRECTORY_ACCESS], *text = NULL;
    struct access_list list;
    struct source source = {.path = name};
    int found = look_for(folder, DIRECTORY_ACCESS, &source.status);
    if (found == 0)
        return true;
    snprintf(name, sizeof name, "%.*s.access", (int)length, lookup->path.text);
    if (found < 0) {
        refuse_unread(&source, found, lookup->question->reply);
        return false;
    }
    int file = openat(folder, DIRECTORY_ACCESS, BENEATH_READ | O_NOFOLLOW | O_CLOEXEC);
    long size = file >= 0        ? read_file(file, &source, ACCESS_FILE_MAX, &text)
                : errno == ELOOP ? read_source(lookup->question->content, &source, ACCESS_FILE_MAX, &text)
                                 : -errno;
    int faults = size < 0 ? (int)size : access_parse(&list, text, (size_t)size, report, &source);
    free(text);
    if (faults < 0) {
        refuse_unread(&source, faults, lookup->question->reply);
        return false;
    }
    bool admitted = admit(&list, lookup->question->client, lookup->question->reply);
    access_dispose(&list);
    return admitted;
}

static int enter_folder(struct beneath_path *path) {
    struct lookup *lookup = path->context;
    struct stat status;
    if (!admit_to_folder(lookup, path->folder, path->reached)) {
        lookup->refused = true;
        return -EACCES;
    }
    lookup->has_metadata[path->reached] = look_for(path->folder, DIRECTORY_METAFILE, &status) != 0;
    return 0;
}

void path_rules_begin(struct lookup *lookup, const struct question *question) {
    lookup->question = question;
    lookup->refused = false;
    lookup->path.folder = -1;
    lookup->path.is_confined = true;
    lookup->path.enter = enter_folder;
    lookup->path.context = lookup;
}

static bool set_text(struct lookup *lookup, const char *path) {
    size_t length = strlen(path);
    if (length >= sizeof lookup->path.text)
        return false;
    memcpy(lookup->path.text, path, length + 1);
    return true;
}

int path_rules_enter(struct lookup *lookup, const char *path) {
    return set_text(lookup, path) ? beneath_enter(&lookup->path, lookup->question->content) : -ENAMETOOLONG;
}

int path_rules_open(struct lookup *lookup, const char *path, int flags) {
    return set_text(lookup, path) ? beneath_follow(&lookup->path, lookup->question->content, flags) : -ENAMETOOLONG;
}

bool path_rules_admit_to_folder(struct lookup *lookup, int folder) {
    size_t length = strlen(lookup->path.text);
    if (length + 2 > sizeof lookup->path.text)
        return true; /* too long for any file in it */
    strcpy(lookup->path.text + length, "/");
    lookup->refused = !admit_to_folder(lookup, folder, length + 1);
    lookup->path.text[length] = '\0';
    return !lookup->refused;
}

bool path_rules_is_private(const struct lookup *lookup) {
    static const char well_known[] = ".well-known";
    const char *at = lookup->path.text + lookup->path.root;
    size_t length = strcspn(at, "/");
    if (lookup->path.root == 0)
        return false;
    if (length == sizeof well_known - 1 && memcmp(at, well_known, length) == 0)
        at += length + (at[length] == '/');
    while (*at != '\0') {
        if (at[0] == '.' && at[1] != '.')
            return true;
        at += strcspn(at, "/");
        at += strspn(at, "/");
    }
    return false;
}

void path_rules_leave(struct lookup *lookup) {
    beneath_leave(&lookup->path);
}

/* ---- metadata ---- */

/* Is there metadata in the folder that source->path names? As look_for. */
static int find_metadata(const struct lookup *lookup, struct source *source) {
    int folder = beneath_open_confined(lookup->question->content, source->path, O_PATH | O_DIRECTORY);
    if (folder < 0)
        return is_absence(-folder) ? 0 : folder;
    int found = look_for(folder, DIRECTORY_METAFILE, &source->status);
    close(folder);
    return found;
}

const struct metafile_rule *path_rules_find(const struct lookup *lookup, struct metafile *meta) {
    char name[BENEATH_PATH_SIZE + sizeof DIRECTORY_METAFILE], *text;
    const char *whole = lookup->path.text;
    *meta = (struct metafile){0};
    if (lookup->path.root == 0)
        return NULL;
    for (size_t end = lookup->path.reached; end > 0; end--) {
        if (whole[end - 1] != '/' || !lookup->has_metadata[end])
            continue;
        struct source source = {.path = name};
        snprintf(name, sizeof name, "%.*s", (int)end, whole);
        int found = find_metadata(lookup, &source);
        strcpy(name + end, DIRECTORY_METAFILE);
        long size = found > 0 ? read_source(lookup->question->content, &source, METAFILE_MAX, &text) : found;
        if (found != 0 && size >= 0) {
            int faults = metafile_parse(meta, text, (size_t)size, report, &source);
            free(text);
            const struct metafile_rule *rule = faults >= 0 ? metafile_find(meta, whole + end) : NULL;
            if (rule)
                return rule;
            metafile_dispose(meta);
        } else if (found != 0 && !beneath_is_busy(size)) {
            report(1, size == -EFBIG ? "too long for a metadata file; ignored" : "cannot be read; ignored", &source);
        }
    }
    return NULL;
}
