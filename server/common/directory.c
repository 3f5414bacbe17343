/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int compare_names(const void *left, const void *right) {
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Appends a copy of a name to a list that grows. Returns 0 or -ENOMEM. */
static int append_name(char ***names, long *count, const char *name) {
    char **longer = reallocarray(*names, (size_t)*count + 1, sizeof(**names));
    if (longer == NULL)
        return -ENOMEM;
    *names = longer;
    longer[*count] = strdup(name);
    if (longer[*count] == NULL)
        return -ENOMEM;
    ++*count;
    return 0;
}

long directory_read_some(int folder, directory_wanted *wanted, const void *context, char ***names) {
    long count = 0;
    int result = 0;
    *names = NULL;
    int descriptor = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    DIR *entries = fdopendir(descriptor);
    if (entries == NULL) {
        result = -errno;
        close(descriptor);
        return result;
    }
    while (result == 0) {
        errno = 0;
        const struct dirent *entry = readdir(entries);
        if (entry == NULL) {
            result = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            wanted(entry->d_name, entry->d_type, context))
            result = append_name(names, &count, entry->d_name);
    }
    closedir(entries);
    if (result != 0) {
        directory_dispose(*names, count);
        *names = NULL;
        return result;
    }
    if (count > 0)
        qsort(*names, (size_t)count, sizeof(**names), compare_names);
    return count;
}

static bool want_all(const char *name, unsigned char kind, const void *context) {
    (void)name, (void)kind, (void)context;
    return true;
}

long directory_read(int folder, char ***names) {
    return directory_read_some(folder, want_all, NULL, names);
}

void directory_dispose(char **names, long count) {
    for (long i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

bool directory_is_hidden(const char *name) {
    static const char *const known[] = {DIRECTORY_METAFILE, DIRECTORY_ACCESS, DIRECTORY_LISTING, ".well-known"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i]) == 0)
            return false;
    }
    return name[0] == '.';
}
