/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Random bytes for wolfSSL, straight from the kernel, fetched in batches.
 */

#include <stdbool.h>

/*
 * Sets up the pool of fetched bytes. Call once before the first fork. The pool lies in memory that the kernel wipes in
 * a child (MADV_WIPEONFORK), so no two processes ever hand out the same bytes.
 * Returns false with errno set when the memory is not to be had.
 */
bool random_open(void);

/*
 * Fills `output` with `size` random bytes; the shape that wolfSSL's CUSTOM_RAND_GENERATE_BLOCK asks for.
 * Returns 0, or -1 when the kernel gives none. Bytes that were handed out are gone from the pool.
 */
int vitrine_random_block(unsigned char *output, unsigned int size);
