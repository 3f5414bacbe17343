/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * FNV-1a, for lists of names that owners choose: hosts, paths. Strangers could produce equal hashes; use keyed_hash.h
 * for what they choose.
 */

#include <stddef.h>
#include <stdint.h>

#define HASH_START 0xcbf29ce484222325

/* Continues a hash: start is HASH_START, or the hash of the previous bytes. */
static inline uint64_t hash_bytes(uint64_t start, const void *bytes, size_t length) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++)
        start = (start ^ at[i]) * 0x100000001b3;
    return start;
}
