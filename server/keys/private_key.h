/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A private key of any type that the server accepts: P-256, P-384, Ed25519, RSA with 2048 to 4096 bits. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/certificate.h"
#include "protocol/signing.h"

/*
 * Keys are in locked memory (secret.h) in their original form of a few hundred bytes. The most recently used ones are
 * also kept ready to sign, which needs thousands of bytes.
 */
struct private_key;

/*
 * Reads the key from a PEM text: PKCS#8, SEC1 or PKCS#1. Returns NULL, or a static sentence that says what is wrong;
 * then *key is NULL. The caller disposes of the key.
 */
const char *private_key_load(struct private_key **key, const char *pem);

/*
 * Finds the private key in a PEM text: its first byte and its length, without the last line ending. Returns false if
 * there is none.
 */
bool private_key_find(const char *pem, const char **start, size_t *size);

/* The kind of a key, and the size of its longest signature in bytes. */
enum key_kind private_key_kind(const struct private_key *key);
uint32_t private_key_signature_max(const struct private_key *key);

/*
 * Hashes a message and signs it; Ed25519 signs it without a hash. signature: room for SIGNING_SIGNATURE_MAX bytes;
 * *size: its length. Refuses a scheme that does not fit the key.
 */
enum signing_result private_key_sign(struct private_key *key, enum signing_scheme scheme, const uint8_t *message,
                                     size_t message_size, uint8_t *signature, size_t *size);

/*
 * Does its public half, as it is usually written, have this key id (signing.h)? Only for ECDSA, where it takes much
 * less than wolfSSL's own comparison of a key and a certificate; false for other types and forms.
 */
bool private_key_matches(struct private_key *key, const uint8_t key_id[static SIGNING_KEY_ID]);

/* Returns the key as DER, in locked memory that the key owns, and its length in bytes. */
const uint8_t *private_key_der(const struct private_key *key, size_t *size);

/* Wipes the key and frees everything. NULL is allowed. */
void private_key_dispose(struct private_key *key);
