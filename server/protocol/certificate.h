/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The public part of an identity, outside the key process: its certificates, and the id of its key for signature
 * requests.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "common/certificate_state.h"
#include "common/hostname.h"
#include "signing.h"

#define CERTIFICATE_CHAIN_MAX 65536 /* bytes of PEM text */

/* Their numbers are part of control messages (control.h). */
enum key_kind { KEY_P256 = 1, KEY_ED25519 = 2, KEY_RSA = 3, KEY_P384 = 4, KEY_KIND_MAX = KEY_P384 };

struct certificate {
    char host[HOSTNAME_MAX + 1];
    enum key_kind kind;
    uint8_t key_id[SIGNING_KEY_ID];
    uint32_t signature_max; /* bytes of the longest signature by the key */
    char *chain;            /* PEM: the certificate, then its chain; ends with NUL; the list owns it; NULL: barred */
    size_t chain_size;
};

/* What a certificate says about itself. */
struct certificate_facts {
    uint8_t fingerprint[32];        /* SHA-256 of the whole certificate (DER): what most clients pin */
    uint8_t key_id[SIGNING_KEY_ID]; /* SHA-256 of its SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) */
    time_t begins, ends;            /* notBefore, notAfter */
    bool has_unicode; /* a name in it is not ASCII, against RFC 5280 section 7.2; some clients reject that */
    char *names; /* subject alternative names: hosts (canonical, hostname.h) and addresses; each ends with a space */
    char common_name[HOSTNAME_MAX + 1]; /* of the subject; "" for none, or one with control characters */
};

/*
 * Examines the first certificate of a PEM text. Returns NULL, or a static sentence that says what is wrong; then there
 * is nothing to dispose of.
 */
const char *certificate_examine(struct certificate_facts *facts, const char *pem);

/* Frees the memory. */
void certificate_facts_dispose(struct certificate_facts *facts);

enum certificate_match { CERTIFICATE_OTHER, CERTIFICATE_WILDCARD, CERTIFICATE_EXACT };

/*
 * Does the certificate match a host (lower case, or an address)? Case does not matter, and a name "*.example.org"
 * matches hosts with one more label (RFC 9525 section 6.3). Pure.
 */
enum certificate_match certificate_match(const char *names, const char *host);

/*
 * How soon does a certificate expire? 0: in more than 60 days; 1: in at most 60 days; 2: 30; 3: 7; 4: it has expired.
 * Pure.
 */
unsigned certificate_stage(time_t ends, time_t now);

#define CERTIFICATE_MODULUS_MAX 4096 /* bits of a client's RSA key */
#define CERTIFICATE_EXPONENT_MAX 32  /* bits of its public exponent */

/*
 * Judges the certificate of a client alone: DER, `size` bytes. Ignores the rest of a chain, and verifies no signature.
 * *key_fits: whether a signature by its key can be verified in bounded time: RSA within the two bounds above, ECDSA on
 * P-256, Ed25519.
 */
enum certificate_state certificate_judge(const uint8_t *der, size_t size, time_t now, bool *key_fits);

/* Sorted by host, which is canonical (hostname.h). */
struct certificates {
    struct certificate *list;
    size_t count;
    size_t barred;       /* how many of these are barred */
    uint64_t generation; /* unique: tells the key process which identities a worker serves */
};

/* Adds a certificate and copies its chain. Replaces one for the same host. Returns false if there is no memory. */
bool certificates_add(struct certificates *certificates, const struct certificate *certificate);

/*
 * Records that a host is served but has no usable identity: its handshakes are refused. Keeps an existing entry for the
 * host. Returns false if there is no memory.
 */
bool certificates_bar(struct certificates *certificates, const char *host);

/* Returns the certificate for a host, or NULL. host: canonical (hostname.h). One without a chain is barred. */
const struct certificate *certificates_find(const struct certificates *certificates, const char *host);

/* Frees the memory. */
void certificates_dispose(struct certificates *certificates);
