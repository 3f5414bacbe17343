/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Identities: a private key and the certificate that clients pin. Only the key process ever holds one.
 *
 * An identity is made once, when a capsule has none, and never replaced on its own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/certificate.h"
#include "protocol/signing.h"

#define IDENTITY_PEM_MAX 4096

struct private_key;

struct identity {
    struct certificate public; /* what goes to the workers; its chain is owned here */
    struct private_key *key;   /* in locked memory that no dump shows and no child inherits */
};

/*
 * Makes a new identity for a host: P-256, self-signed, the host as subject alternative name, valid for 50 years.
 * host: in the one spelling (hostname.h), so it is in ASCII.
 * pem: filled with certificate and key, secret. Returns its length, 0 on failure.
 */
size_t identity_make(const char *host, char pem[static IDENTITY_PEM_MAX]);

/*
 * Makes a new certificate for the key in a PEM text, which has to be one of P-256 as identity_make makes it.
 * pem: filled with certificate and key, secret; *size: its length. Returns NULL, or a static sentence that says what is
 * wrong.
 */
const char *identity_renew(const char *host, const char *old, char pem[static IDENTITY_PEM_MAX], size_t *size);

/*
 * Takes an identity out of PEM text that holds certificate, chain and private key in any order; or, with key_pem not
 * NULL, the key out of a text of its own. P-256, P-384, Ed25519, RSA with 2048 to 4096 bits;
 * PKCS#8, SEC1 or PKCS#1. host: in the one spelling (hostname.h).
 * Returns NULL, or a static sentence that says what is wrong; then nothing is to be disposed of.
 */
const char *identity_load(struct identity *identity, const char *host, const char *pem, const char *key_pem);

/*
 * Hashes a message, as signing_message lays it out, and signs it; Ed25519 takes it as it is. signature: room for
 * SIGNING_SIGNATURE_MAX bytes; *size: how many it has. Refuses a scheme that is not this key's.
 */
enum signing_result identity_sign(const struct identity *identity, enum signing_scheme scheme, const uint8_t *message,
                                  size_t message_size, uint8_t *signature, size_t *size);

/* Wipes the key and gives everything back. */
void identity_dispose(struct identity *identity);
