/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Identities: a private key and the certificate that visitors pin, one for each host. An identity is made once, when a
 * capsule has none, and never replaced.
 *
 * STATE/HOST.pem holds both, so that a single rename makes it whole or leaves nothing.
 */

#include <stdbool.h>
#include <stddef.h>

#define IDENTITY_HOST_MAX 253
#define IDENTITY_FILE_MAX 65536 /* bytes of a PEM file */

/* An identity in memory. The PEM texts end with NUL; both are owned by the struct. */
struct identity {
    char host[IDENTITY_HOST_MAX + 1];
    char *certificate; /* the certificate and, behind it, its chain */
    size_t certificate_size;
    char *key;
    size_t key_size;
};

/* All identities, sorted by host. */
struct identities {
    struct identity *list;
    size_t count;
};

/*
 * Loads the identity of one host out of the state folder, or makes it (P-256, self-signed, the host as subject
 * alternative name, valid for 50 years) when there is none.
 * state: a descriptor of the folder.
 * Returns false after logging one sentence that names the file. A file that is there and cannot be used is an error,
 * never a reason to make another.
 */
bool identities_provide(struct identities *identities, int state, const char *host);

/*
 * The identity for a host (lower case), or NULL.
 */
const struct identity *identities_find(const struct identities *identities, const char *host);

/* Wipes the keys and gives the memory back. */
void identities_dispose(struct identities *identities);
