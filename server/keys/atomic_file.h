/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Small files that must be whole or not there: identities in the state folder.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ATOMIC_FILE_MAX 65536 /* bytes */

/*
 * Reads a whole regular file (1 to ATOMIC_FILE_MAX bytes; no link is followed). folder: a descriptor.
 * Returns its size, or -errno. *text is malloc memory that ends with NUL; wipe what is secret before freeing it.
 */
ssize_t atomic_file_read(int folder, const char *name, char **text);

/* The same for a file that is open for reading, at its beginning; it stays the caller's. */
ssize_t atomic_file_read_open(int file, char **text);

/*
 * Puts a new file (mode 0600) in place and on disk. One of the same name is left alone: false with errno EEXIST.
 * Returns false with errno set when it could not be done; nothing is left behind then.
 */
bool atomic_file_create(int folder, const char *name, const char *bytes, size_t size);

/* Gives a file another name, in place of the file that has it, at once and on disk. Returns false with errno. */
bool atomic_file_rename(int folder, const char *from, const char *to);

/* As atomic_file_create, but the new file takes the place of an old one at once. */
bool atomic_file_replace(int folder, const char *name, const char *bytes, size_t size);
