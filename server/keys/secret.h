/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Memory for private keys: locked, so that it is not written to swap; in no core dump; and all zero in a child process.
 * Small blocks share pages, because separate pages would use up the limit of locked memory (RLIMIT_MEMLOCK). If the
 * kernel refuses to lock the memory, it is used anyway.
 */

#include <stddef.h>

/*
 * Returns `size` zeroed bytes, aligned for any type; NULL if there is no memory. The caller must return it with
 * secret_give.
 */
void *secret_take(size_t size);

/* Wipes a block and frees it. size: as requested. NULL is allowed. */
void secret_give(void *block, size_t size);
