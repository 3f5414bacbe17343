/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What may be known of an identity outside of the key process: its certificates, and the name by which a signature with
 * its key is asked for.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "common/certificate_state.h"
#include "signing.h"

#define CERTIFICATE_HOST_MAX 253
#define CERTIFICATE_CHAIN_MAX 65536 /* bytes of PEM text */

enum key_kind { KEY_P256 = 1, KEY_ED25519 = 2, KEY_RSA = 3, KEY_P384 = 4 };

struct certificate {
    char host[CERTIFICATE_HOST_MAX + 1];
    enum key_kind kind;
    uint8_t key[SIGNING_KEY_ID];
    uint32_t signature_max; /* bytes of the longest signature that the key makes */
    char *chain;            /* PEM: the certificate, then its chain; ends with NUL; owned by the list; NULL: barred */
    size_t chain_size;
};

/* What a certificate says of itself. */
struct certificate_facts {
    uint8_t fingerprint[32];     /* SHA-256 of the whole certificate (DER): what most clients pin */
    uint8_t key[SIGNING_KEY_ID]; /* SHA-256 of its SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) */
    time_t begins, ends;         /* notBefore, notAfter */
    bool has_unicode;            /* a name in it is no ASCII, against RFC 5280 section 7.2; some clients refuse that */
    char *names; /* subject alternative names: hosts in the one spelling (hostname.h), addresses; each ends with a space
                  */
    char common_name[CERTIFICATE_HOST_MAX + 1]; /* of the subject; "" where there is none, or it holds controls */
};

/*
 * Examines the first certificate of a PEM text. Returns NULL, or a static sentence that says what is wrong; then
 * nothing is to be disposed of.
 */
const char *certificate_examine(struct certificate_facts *facts, const char *pem);

/* Gives the memory back. */
void certificate_facts_dispose(struct certificate_facts *facts);

enum certificate_match { CERTIFICATE_OTHER, CERTIFICATE_WILDCARD, CERTIFICATE_EXACT };

/*
 * Is the certificate good for a host (lower case, or an address)? Small and large letters are the same, and a name
 * "*.example.org" is good for hosts with one label more (RFC 9525 section 6.3). Pure.
 */
enum certificate_match certificate_match(const char *names, const char *host);

/* How near is the end of a certificate? 0: more than 60 days away; 1: 60 days at most; 2: 30; 3: 7; 4: past. Pure. */
unsigned certificate_stage(time_t ends, time_t now);

#define CERTIFICATE_MODULUS_MAX 4096 /* bits of a client's RSA key */
#define CERTIFICATE_EXPONENT_MAX 32  /* bits of its public exponent */

/*
 * Judges the certificate of a client by itself: DER, `size` bytes. Nothing that stands behind it in a chain matters,
 * and no signature is verified. *key_fits: whether a signature of its key is verified here in bounded time: RSA within
 * the two bounds above, ECDSA on P-256, Ed25519.
 */
enum certificate_state certificate_judge(const uint8_t *der, size_t size, time_t now, bool *key_fits);

/* Sorted by host, which is in the one spelling (hostname.h). */
struct certificates {
    struct certificate *list;
    size_t count;
    size_t barred;       /* how many of these are barred */
    uint64_t generation; /* never the same again: by it the key process knows which identities a worker serves */
};

/*
 * Adds a certificate; the chain is copied. One for the same host is replaced. Returns false when memory is short.
 */
bool certificates_add(struct certificates *certificates, const struct certificate *certificate);

/*
 * Notes that a host is served here and has no identity that can be used: its handshakes are refused. What the list has
 * for the host already stays. Returns false when memory is short.
 */
bool certificates_bar(struct certificates *certificates, const char *host);

/* The one for a host, or NULL. host: in the one spelling (hostname.h). One without a chain is barred. */
const struct certificate *certificates_find(const struct certificates *certificates, const char *host);

/* Gives the memory back. */
void certificates_dispose(struct certificates *certificates);
