/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Reading a whole file. */

#include <stddef.h>
#include <sys/types.h>

/*
 * Reads a regular file that is open for reading, from its beginning; the descriptor stays the caller's. most: bytes.
 * Returns its size, or -errno: -EINVAL for what is not a regular file, -EFBIG for a longer one, -EIO for one that
 * became shorter meanwhile. *text is malloc memory, the caller's, that ends with NUL, or NULL after an error. Wipe what
 * is secret before freeing it; what was read of it before an error is wiped here.
 */
ssize_t file_read(int file, size_t most, char **text);
