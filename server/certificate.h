/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What may be known of an identity outside of the key process: its certificates, and the name by which a signature with
 * its key is asked for.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "signing.h"

#define CERTIFICATE_HOST_MAX 253
#define CERTIFICATE_CHAIN_MAX 65536 /* bytes of PEM text */

enum key_kind { KEY_P256 = 1, KEY_ED25519 = 2, KEY_RSA = 3 };

struct certificate {
    char host[CERTIFICATE_HOST_MAX + 1];
    enum key_kind kind;
    uint8_t key[SIGNING_KEY_NAME];
    uint32_t signature_max; /* bytes of the longest signature that the key makes */
    char *chain;            /* PEM: the certificate, then its chain; ends with NUL; owned by the list */
    size_t chain_size;
};

/* Sorted by host. */
struct certificates {
    struct certificate *list;
    size_t count;
};

/*
 * Adds a certificate; the chain is copied. One for the same host is replaced. Returns false when memory is short.
 */
bool certificates_add(struct certificates *certificates, const struct certificate *certificate);

/* The one for a host (lower case), or NULL. */
const struct certificate *certificates_find(const struct certificates *certificates, const char *host);

/* Gives the memory back. */
void certificates_dispose(struct certificates *certificates);
