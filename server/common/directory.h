/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The names in a folder. */

#include <stdbool.h>
#include <stddef.h>

/* Files of an owner that mean something in the folder where they lie, and are never served. */
#define DIRECTORY_METAFILE ".meta"                /* metafile.h */
#define DIRECTORY_ACCESS ".access"                /* access.h */
#define DIRECTORY_LISTING ".directory-listing-ok" /* folder_listing.h */

/*
 * A function for each name in a folder. kind: DT_DIR, DT_LNK, DT_UNKNOWN... (readdir(3)). Returns 0 to continue, and
 * anything else to stop.
 */
typedef int directory_visit(const char *name, unsigned char kind, void *context);

/*
 * Calls `visit` for each name in a folder, without `.` and `..`, in no particular order. folder: a descriptor that is
 * not O_PATH; it is closed here. Returns what stopped it, 0 after the last name, or -errno.
 */
int directory_each(int folder, directory_visit *visit, void *context);

/*
 * Reads the names in a folder, sorted by their bytes, without `.` and `..`. folder: a descriptor, may be O_PATH; the
 * caller keeps it. Returns how many there are, or -errno. The caller frees *names with directory_dispose.
 */
long directory_read(int folder, char ***names);

/* kind: as above. context: of the caller. */
typedef bool directory_wanted(const char *name, unsigned char kind, const void *context);

/* The same, of only those names that are wanted. */
long directory_read_some(int folder, directory_wanted *wanted, const void *context, char ***names);

/* Appends a copy of a name to such a list, which may be NULL if *count is 0. Returns 0, or -ENOMEM: it is unchanged. */
int directory_append(char ***names, size_t *count, const char *name);

/* Frees them. */
void directory_dispose(char **names, long count);

/*
 * Does the name begin with a dot, without a meaning for us? The files with rules and `.well-known` (RFC 8615) have one.
 */
bool directory_is_hidden(const char *name);
