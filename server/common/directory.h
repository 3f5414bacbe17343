/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The names in a folder. */

#include <stdbool.h>

/* Files of an owner that mean something in the folder where they lie, and are never served. */
#define DIRECTORY_METAFILE ".meta"                /* metafile.h */
#define DIRECTORY_ACCESS ".access"                /* access.h */
#define DIRECTORY_LISTING ".directory-listing-ok" /* folder_listing.h */

/*
 * Reads the names in a folder, sorted by their bytes, without `.` and `..`. folder: a descriptor, may be O_PATH; the
 * caller keeps it. Returns how many there are, or -errno. The caller frees *names with directory_dispose.
 */
long directory_read(int folder, char ***names);

/* kind: DT_DIR, DT_LNK, DT_UNKNOWN... (readdir(3)). context: of the caller. */
typedef bool directory_wanted(const char *name, unsigned char kind, const void *context);

/* The same, of only those names that are wanted. */
long directory_read_some(int folder, directory_wanted *wanted, const void *context, char ***names);

/* Frees them. */
void directory_dispose(char **names, long count);

/*
 * Does the name begin with a dot, without a meaning for us? The files with rules and `.well-known` (RFC 8615) have one.
 */
bool directory_is_hidden(const char *name);
