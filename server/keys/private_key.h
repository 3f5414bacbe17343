/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A private key of any type that the server accepts: P-256, P-384, Ed25519, RSA with 2048 to 4096 bits. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "protocol/certificate.h"
#include "protocol/signing.h"

struct key_type;

struct private_key {
    const struct key_type *type; /* NULL: there is no key yet */
    union {
        ecc_key ecdsa;
        ed25519_key ed25519;
        RsaKey rsa;
    };
    WC_RNG random;
};

/* Allocates room for a key, in locked memory that is in no dump and that no child inherits. NULL: no memory. */
struct private_key *private_key_new(void);

/*
 * Reads the key from a PEM text: PKCS#8, SEC1 or PKCS#1. Returns NULL, or a static sentence that says what is wrong.
 * In both cases, the caller disposes of the key.
 */
const char *private_key_load(struct private_key *key, const char *pem);

/*
 * Finds the private key in a PEM text: its first byte and its length, without the last line ending. Returns false if
 * there is none.
 */
bool private_key_find(const char *pem, const char **start, size_t *size);

/* The kind of a loaded key, and the size of its longest signature in bytes. */
enum key_kind private_key_kind(const struct private_key *key);
uint32_t private_key_signature_max(const struct private_key *key);

/*
 * Hashes a message and signs it; Ed25519 signs it without a hash. signature: room for SIGNING_SIGNATURE_MAX bytes;
 * *size: its length. Refuses a scheme that does not fit the key.
 */
enum signing_result private_key_sign(struct private_key *key, enum signing_scheme scheme, const uint8_t *message,
                                     size_t message_size, uint8_t *signature, size_t *size);

/* Wipes the key and frees everything. NULL is allowed. */
void private_key_dispose(struct private_key *key);
