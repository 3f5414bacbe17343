/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "unused_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/beneath.h"
#include "common/directory.h"

#define DEPTH_MAX 64

struct search {
    const struct metafile *meta;
    bool *used; /* one for each rule */
    size_t unused;
    bool has_link; /* there is a link to a folder */
    int folder;
    size_t base; /* the offset of the path relative to the metadata file's folder */
};

static void use(struct search *search, const char *path) {
    for (size_t i = 0; i < search->meta->count; i++) {
        /* Only the last matching rule applies, but an earlier one may be meant for other files as well. */
        const struct metafile one = {.rules = &search->meta->rules[i], .count = 1};
        if (!search->used[i] && metafile_find(&one, path + search->base)) {
            search->used[i] = true;
            search->unused--;
        }
    }
}

static void look(struct search *search, char path[static PATH_MAX], unsigned depth) {
    char **names = NULL;
    size_t length = strlen(path);
    int folder = beneath_open(search->folder, path, O_PATH | O_DIRECTORY);
    long count = folder < 0 ? folder : directory_read(folder, &names);
    for (long i = 0; i < count && search->unused > 0; i++) {
        struct stat status;
        int size = snprintf(path + length, PATH_MAX - length, "/%s", names[i]);
        if (size < 0 || (size_t)size >= PATH_MAX - length ||
            fstatat(folder, names[i], &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISDIR(status.st_mode) && depth < DEPTH_MAX) {
            look(search, path, depth + 1);
        } else if (strcmp(names[i], DIRECTORY_LISTING) == 0) {
            snprintf(path + length, PATH_MAX - length, "/index.gmi");
            use(search, path);
        } else {
            struct stat target;
            use(search, path);
            search->has_link =
                search->has_link ||
                (S_ISLNK(status.st_mode) && fstatat(folder, names[i], &target, 0) == 0 && S_ISDIR(target.st_mode));
        }
    }
    path[length] = '\0';
    directory_dispose(names, count);
    if (folder >= 0)
        close(folder);
}

int unused_rules_report(int folder, const char *path, const struct metafile *meta, text_fault *fault, void *context) {
    char whole[PATH_MAX];
    struct search search = {.meta = meta, .folder = folder, .base = strlen(path) + 1};
    if (meta->count == 0 || search.base >= sizeof whole)
        return 0;
    search.used = calloc(meta->count, sizeof *search.used);
    if (!search.used)
        return -ENOMEM;
    for (size_t i = 0; i < meta->count; i++) {
        search.used[i] = meta->rules[i].kind == METAFILE_HEADER;
        search.unused += !search.used[i];
    }
    strcpy(whole, path);
    look(&search, whole, 0);
    for (size_t i = 0; i < meta->count; i++) {
        const struct metafile_rule *rule = &meta->rules[i];
        if (!search.used[i] && !(search.has_link && strchr(rule->pattern, '/')))
            fault(rule->line, "pattern matches no file", context);
    }
    free(search.used);
    return 0;
}
