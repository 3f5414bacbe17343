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

int directory_append(char ***names, size_t *count, const char *name) {
    /* Twice as long whenever it is full, as there may be thousands. */
    bool is_full = (*count & (*count - 1)) == 0;
    char **longer = is_full ? reallocarray(*names, *count ? 2 * *count : 1, sizeof **names) : *names;
    if (longer == NULL)
        return -ENOMEM;
    *names = longer;
    longer[*count] = strdup(name);
    if (longer[*count] == NULL)
        return -ENOMEM;
    ++*count;
    return 0;
}

int directory_each(int folder, directory_visit *visit, void *context) {
    DIR *entries = fdopendir(folder);
    int result = 0;
    if (entries == NULL) {
        result = -errno;
        close(folder);
        return result;
    }
    while (result == 0) {
        errno = 0;
        const struct dirent *entry = readdir(entries);
        if (entry == NULL) {
            result = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = visit(entry->d_name, entry->d_type, context);
    }
    closedir(entries);
    return result;
}

/* The context of add_if_wanted. */
struct selection {
    directory_wanted *wanted;
    const void *context;
    char **names;
    size_t count;
};

static int add_if_wanted(const char *name, unsigned char kind, void *context) {
    struct selection *selection = context;
    if (!selection->wanted(name, kind, selection->context))
        return 0;
    return directory_append(&selection->names, &selection->count, name);
}

long directory_read_some(int folder, directory_wanted *wanted, const void *context, char ***names) {
    struct selection selection = {.wanted = wanted, .context = context};
    *names = NULL;
    int descriptor = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = descriptor < 0 ? -errno : directory_each(descriptor, add_if_wanted, &selection);
    if (result != 0) {
        directory_dispose(selection.names, (long)selection.count);
        return result;
    }
    if (selection.count > 0)
        qsort(selection.names, selection.count, sizeof *selection.names, compare_names);
    *names = selection.names;
    return (long)selection.count;
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
