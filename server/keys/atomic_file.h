/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Small files that are either complete or absent: identities in the state folder. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ATOMIC_FILE_MAX 65536 /* bytes */

/*
 * Reads a whole regular file (1 to ATOMIC_FILE_MAX bytes; follows no link). folder: a descriptor. Returns its size, or
 * -errno. *text is malloc memory that ends with NUL; the caller wipes secrets before freeing it.
 */
ssize_t atomic_file_read(int folder, const char *name, char **text);

/* The same for a file that is open for reading, at its beginning; the caller keeps it. */
ssize_t atomic_file_read_open(int file, char **text);

/*
 * Creates a file (mode 0600) and syncs it to disk. Does not touch a file of the same name: -EEXIST.
 * Returns 0, or -errno on failure; then nothing is left behind.
 */
int atomic_file_create(int folder, const char *name, const char *bytes, size_t size);

/*
 * Writes many files at once, each of them complete or absent, with one sync instead of two for each. First,
 * atomic_file_prepare writes each under a temporary name. Then atomic_file_settle syncs all of them, and
 * atomic_file_put gives each its name, or fails with -EEXIST; atomic_file_drop removes one instead. The caller syncs
 * the folder at the end. number: random, because a process that is being killed may still write at the same time. All
 * return 0 or -errno; after -errno, nothing of that file is left. atomic_file_is_left: is this the name of a file that
 * an interrupted process left behind?
 */
int atomic_file_prepare(int folder, unsigned number, const char *bytes, size_t size);
int atomic_file_settle(int folder);
int atomic_file_put(int folder, unsigned number, const char *name);
void atomic_file_drop(int folder, unsigned number);
bool atomic_file_is_left(const char *name);

/* As atomic_file_create, but atomically replaces an old file. */
int atomic_file_replace(int folder, const char *name, const char *bytes, size_t size);

/* Renames a file, atomically replacing the file with that name, and syncs. Returns 0 or -errno. */
int atomic_file_rename(int folder, const char *from, const char *to);
