/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A hash that nobody without the key can predict or invert: SHA-256 over a key of 32 bytes, then the bytes. All inputs
 * of one use must have the same size (otherwise a length extension would be possible).
 */

#include <stddef.h>
#include <stdint.h>

#define KEYED_HASH_KEY 32

uint64_t keyed_hash(const uint8_t key[static KEYED_HASH_KEY], const void *bytes, size_t size);
