/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Memory for private keys: locked, so that it is not written to swap; in no core dump; and all zero in a child process.
 * Small blocks share pages, because a page for each key would be locked memory for nothing. The kernel may refuse to
 * lock it (RLIMIT_MEMLOCK); an unlocked key is better than none.
 */

#include <stddef.h>

/* Returns `size` bytes, all zero, aligned for any type; NULL if there is no memory. The caller gives it back. */
void *secret_take(size_t size);

/* Wipes a block and gives it back. size: as it was taken. NULL is allowed. */
void secret_give(void *block, size_t size);
