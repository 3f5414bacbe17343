/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What lies in a folder, by name. */

#include <stdbool.h>

/*
 * Reads the names in a folder, in the order of their bytes, without `.` and `..`. folder: a descriptor, may be O_PATH,
 * stays the caller's. Returns how many there are, or -errno; *names is the caller's: directory_dispose.
 */
long directory_read(int folder, char ***names);

/* Frees them. */
void directory_dispose(char **names, long count);

/* Does it begin with a dot, and mean nothing here? The files with rules and `.well-known` (RFC 8615) do. */
bool directory_is_hidden(const char *name);
