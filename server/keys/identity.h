/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Identities: a private key and the certificate that clients pin. Only the key process holds them.
 *
 * An identity is made once, if a capsule has none, and never replaced automatically.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/certificate.h"
#include "protocol/signing.h"

#define IDENTITY_PEM_MAX 4096

struct private_key;

struct identity {
    struct certificate public; /* the public part, for workers; this struct owns its chain */
    struct private_key *key;   /* in locked memory that is in no dump and that no child inherits */
};

/*
 * Makes a new identity for a host: P-256, self-signed, the host as subject alternative name, valid for 50 years. host:
 * canonical (hostname.h), so it is ASCII. pem: receives certificate and key, secret. Returns its length, 0 on failure.
 */
size_t identity_make(const char *host, char pem[static IDENTITY_PEM_MAX]);

/*
 * Makes a new certificate for the key in a PEM text. It must be a P-256 key, as identity_make makes it. pem: receives
 * certificate and key, secret; *size: its length. Returns NULL, or a static sentence that says what is wrong.
 */
const char *identity_renew(const char *host, const char *old, char pem[static IDENTITY_PEM_MAX], size_t *size);

/*
 * Reads an identity from PEM text with certificate, chain and private key in any order. If key_pem is not NULL, reads
 * the key from there. P-256, P-384, Ed25519, RSA with 2048 to 4096 bits; PKCS#8, SEC1 or PKCS#1. host: canonical
 * (hostname.h). Returns NULL, or a static sentence that says what is wrong; then there is nothing to dispose of.
 */
const char *identity_load(struct identity *identity, const char *host, const char *pem, const char *key_pem);

/*
 * Hashes a message in the format of signing_message and signs it; Ed25519 signs it without a hash. signature: room for
 * SIGNING_SIGNATURE_MAX bytes; *size: its length. Refuses a scheme that does not fit the key.
 */
enum signing_result identity_sign(const struct identity *identity, enum signing_scheme scheme, const uint8_t *message,
                                  size_t message_size, uint8_t *signature, size_t *size);

/* Wipes the key and frees everything. */
void identity_dispose(struct identity *identity);
