/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rules_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"

#define HOUR 3600 /* seconds */

/* ---- faults are logged once ---- */

/* The files whose faults were logged, and when. The oldest entry is replaced only after an hour. */
static struct file_version remembered[RULES_FILES_HOURLY];
static time_t logged_at[RULES_FILES_HOURLY];
static size_t remembered_next;
static bool is_full;

static bool is_news(const struct stat *status) {
    const struct file_version version = file_version_of(status);
    time_t now = time(NULL), oldest = logged_at[remembered_next];
    for (size_t i = 0; i < RULES_FILES_HOURLY; i++) {
        if (file_version_same(&remembered[i], &version))
            return false;
    }
    if (oldest != 0 && now >= oldest && now - oldest < HOUR) {
        if (!is_full)
            log_line(LOG_LEVEL_WARNING, "faults of more files are not logged within this hour; to list all faults, "
                                        "run: vitrine check");
        is_full = true;
        return false;
    }
    is_full = false;
    remembered[remembered_next] = version;
    logged_at[remembered_next] = now;
    remembered_next = (remembered_next + 1) % RULES_FILES_HOURLY;
    return true;
}

void rules_file_report(unsigned line, const char *problem, void *context) {
    struct rules_file *file = context;
    char path[2 * BENEATH_PATH_SIZE];
    if (file->faults++ == 0)
        file->is_news = is_news(&file->status);
    if (!file->is_news || file->faults > RULES_FILE_FAULTS + 1)
        return;
    log_quote(path, sizeof path, file->path);
    if (file->faults <= RULES_FILE_FAULTS)
        log_line(LOG_LEVEL_WARNING, "%s:%u: %s", path, line, problem);
    else
        log_line(LOG_LEVEL_WARNING, "%s has more faults; to list all faults, run: vitrine check", path);
}

/* ---- files ---- */

/* Does this error mean that something cannot be reached? Otherwise we do not know what is there. */
static bool is_absence(int error) {
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == ELOOP || error == EXDEV ||
           error == ENAMETOOLONG;
}

int rules_file_find(struct rules_file *file, int folder, const char *path, size_t length, const char *name) {
    file->status = (struct stat){0};
    file->faults = 0;
    file->is_news = false;
    int found = fstatat(folder, name, &file->status, AT_SYMLINK_NOFOLLOW) == 0 ? 1 : is_absence(errno) ? 0 : -errno;
    if (found != 0)
        snprintf(file->path, sizeof file->path, "%.*s%s", (int)length, path, name);
    return found;
}

static int note_folder(struct beneath_path *way) {
    struct stat status;
    if (way->context)
        trail_add(way->context, way->text, way->reached - 1, fstat(way->folder, &status) == 0 ? &status : NULL);
    return 0;
}

/* Opens the target of a link. Returns a descriptor or -errno. way: then has its path. trail: NULL, or its folders. */
static int follow(struct beneath_path *way, const struct rules_file *file, int content, struct trail *trail) {
    size_t length = strlen(file->path);
    *way = (struct beneath_path){.is_confined = true, .enter = note_folder, .context = trail};
    if (length >= sizeof way->text)
        return -ENAMETOOLONG;
    memcpy(way->text, file->path, length + 1);
    int result = beneath_follow(way, content, BENEATH_READ);
    beneath_leave(way);
    return result;
}

/* Reads an open file. Returns its length, or -errno. */
static long read_all(int file, struct stat *status, size_t most, char **text) {
    long result;
    if (fstat(file, status) < 0 || !S_ISREG(status->st_mode))
        return -EINVAL;
    if ((uint64_t)status->st_size > most)
        return -EFBIG;
    *text = malloc((size_t)status->st_size + 1);
    if (!*text)
        return -ENOMEM;
    do {
        result = read(file, *text, (size_t)status->st_size);
    } while (result < 0 && errno == EINTR);
    if (result < 0) {
        result = -errno;
        free(*text);
        *text = NULL;
    } else {
        (*text)[result] = '\0';
    }
    return result;
}

long rules_file_read(struct rules_file *file, int content, int folder, size_t most, struct trail *trail, char **text) {
    struct beneath_path way;
    const char *path = file->path;
    *text = NULL;
    int descriptor = openat(folder, strrchr(path, '/') + 1, BENEATH_READ | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0 && errno == ELOOP) {
        descriptor = follow(&way, file, content, trail);
        path = way.text;
    } else if (descriptor < 0) {
        descriptor = -errno;
    }
    if (descriptor < 0)
        return descriptor;
    long length = read_all(descriptor, &file->status, most, text);
    close(descriptor);
    if (trail)
        trail_add(trail, path, strlen(path), length >= 0 ? &file->status : NULL);
    return length;
}
