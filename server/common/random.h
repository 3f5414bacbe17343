/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Random bytes for wolfSSL, from the kernel, fetched in batches. */

#include <stdbool.h>

/*
 * Sets up the pool of fetched bytes. Call once before the first fork. The kernel wipes the pool in a child
 * (MADV_WIPEONFORK), so no two processes ever return the same bytes. Returns 0, or -errno if there is no memory.
 */
int random_open(void);

/*
 * Fills `output` with `size` random bytes; has the signature of wolfSSL's CUSTOM_RAND_GENERATE_BLOCK. Returns 0, or -1
 * if the kernel gives none. Returned bytes are erased from the pool.
 */
int vitrine_random_block(unsigned char *output, unsigned int size);
