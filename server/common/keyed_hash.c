/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "keyed_hash.h"

#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/sha256.h>

uint64_t keyed_hash(const uint8_t key[static KEYED_HASH_KEY], const void *bytes, size_t size) {
    wc_Sha256 state;
    uint8_t digest[WC_SHA256_DIGEST_SIZE] = {0};
    uint64_t result;
    if (wc_InitSha256(&state) == 0) {
        wc_Sha256Update(&state, key, KEYED_HASH_KEY);
        wc_Sha256Update(&state, bytes, (word32)size);
        wc_Sha256Final(&state, digest);
        wc_Sha256Free(&state);
    }
    memcpy(&result, digest, sizeof result);
    return result;
}
