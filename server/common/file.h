/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Reading a whole file. */

#include <stddef.h>
#include <sys/types.h>

/*
 * Reads a regular file that is open for reading, from its start; the caller keeps the descriptor. most: bytes. Returns
 * its size, or -errno: -EINVAL if it is not a regular file, -EFBIG if it is longer, -EIO if it became shorter
 * meanwhile. *text: malloc memory that ends with NUL, or NULL after an error. The caller wipes secrets before freeing
 * it; what was read before an error is wiped here.
 */
ssize_t file_read(int file, size_t most, char **text);
