/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "certificate.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "common/hostname.h"
#include "common/text.h"

#define DER_MAX 8192
#define DAY 86400

/* ---- one certificate ---- */

/* Writes the canonical name of a host. Returns the end of the text; `at` if there is no such name. */
static char *put_host(char *at, const DNS_entry *entry, bool *has_unicode) {
    char name[HOSTNAME_MAX + 1];
    size_t length = entry->len > 0 ? strnlen(entry->name, (size_t)entry->len) : 0;
    if (length == 0 || length != (size_t)entry->len || length > HOSTNAME_MAX)
        return at;
    memcpy(name, entry->name, length);
    name[length] = '\0';
    for (size_t i = 0; i < length; i++)
        *has_unicode = *has_unicode || (name[i] & 0x80);
    return hostname_canonical(at, name) ? at + strlen(at) : at;
}

/* Writes one name as text, if a capsule can have a name of this kind. Returns the end of the text. */
static char *put_name(char *at, const DNS_entry *entry, bool *has_unicode) {
    char *start = at;
    if (entry->type == ASN_DNS_TYPE)
        at = put_host(at, entry, has_unicode);
    else if (entry->type == ASN_IP_TYPE && entry->len == 4 && inet_ntop(AF_INET, entry->name, at, INET6_ADDRSTRLEN))
        at += strlen(at);
    else if (entry->type == ASN_IP_TYPE && entry->len == 16 && inet_ntop(AF_INET6, entry->name, at, INET6_ADDRSTRLEN))
        at += strlen(at);
    if (at > start)
        *at++ = ' ';
    return at;
}

static char *copy_names(const DNS_entry *list, bool *has_unicode) {
    size_t size = HOSTNAME_MAX + 2; /* a name is written before it is known to be valid */
    for (const DNS_entry *entry = list; entry; entry = entry->next)
        size += HOSTNAME_MAX + 2;
    char *names = malloc(size), *at = names;
    if (!names)
        return NULL;
    for (const DNS_entry *entry = list; entry; entry = entry->next)
        at = put_name(at, entry, has_unicode);
    *at = '\0';
    return names;
}

static void copy_common_name(struct certificate_facts *facts, const DecodedCert *decoded) {
    size_t length = decoded->subjectCN && decoded->subjectCNLen > 0 ? (size_t)decoded->subjectCNLen : 0;
    if (length == 0 || length >= sizeof facts->common_name || !text_is_clean(decoded->subjectCN, length))
        return;
    memcpy(facts->common_name, decoded->subjectCN, length); /* it was all zeroes */
}

/* Time of RFC 5280 section 4.1.2.5; always in UTC. */
static bool take_time(const byte *encoded, int size, time_t *time) {
    const byte *date;
    byte format;
    int length;
    struct tm when = {0};
    if (wc_GetDateInfo(encoded, size, &date, &format, &length) != 0 ||
        wc_GetDateAsCalendarTime(date, length, format, &when) != 0)
        return false;
    *time = timegm(&when);
    return true;
}

/* Counts the bits of an unsigned INTEGER. */
static size_t bits_of(const byte *number, word32 size) {
    while (size > 0 && *number == 0) {
        number++;
        size--;
    }
    return size > 0 ? size * 8 - (size_t)(__builtin_clz(*number) - 24) : 0;
}

static bool rsa_key_fits(const byte *key, word32 size) {
    const byte *modulus, *exponent;
    word32 at = 0, modulus_size, exponent_size;
    return wc_RsaPublicKeyDecode_ex(key, &at, size, &modulus, &modulus_size, &exponent, &exponent_size) == 0 &&
           bits_of(modulus, modulus_size) <= CERTIFICATE_MODULUS_MAX &&
           bits_of(exponent, exponent_size) <= CERTIFICATE_EXPONENT_MAX;
}

/* The key is known once it was read, even if something after it is wrong. */
static bool key_fits_in(const DecodedCert *decoded) {
    if (!decoded->publicKey)
        return false;
    switch (decoded->keyOID) {
    case RSAk:
    case RSAPSSk:
        return rsa_key_fits(decoded->publicKey, decoded->pubKeySize);
    case ECDSAk:
        return decoded->pkCurveOID == ECC_SECP256R1_OID; /* other curves take several times as long here */
    case ED25519k:
        return true;
    default:
        return false;
    }
}

enum certificate_state certificate_judge(const uint8_t *der, size_t size, time_t now, bool *key_fits) {
    DecodedCert decoded;
    time_t begins, ends;
    wc_InitDecodedCert(&decoded, der, (word32)size, NULL);
    bool readable = wc_ParseCert(&decoded, CERT_TYPE, NO_VERIFY, NULL) == 0 &&
                    take_time(decoded.beforeDate, decoded.beforeDateLen, &begins) &&
                    take_time(decoded.afterDate, decoded.afterDateLen, &ends);
    *key_fits = key_fits_in(&decoded);
    wc_FreeDecodedCert(&decoded);
    return !readable      ? CERTIFICATE_UNFIT
           : now < begins ? CERTIFICATE_EARLY
           : now > ends   ? CERTIFICATE_EXPIRED
                          : CERTIFICATE_VALID;
}

const char *certificate_examine(struct certificate_facts *facts, const char *pem) {
    unsigned char der[DER_MAX], info[1024];
    word32 info_size = sizeof info;
    DecodedCert decoded;
    *facts = (struct certificate_facts){0};
    int size = wc_CertPemToDer((const unsigned char *)pem, (int)strlen(pem), der, sizeof der, CERT_TYPE);
    if (size <= 0)
        return "its certificate cannot be read; it must be in PEM form";
    wc_InitDecodedCert(&decoded, der, (word32)size, NULL);
    bool good = wc_ParseCert(&decoded, CERT_TYPE, NO_VERIFY, NULL) == 0 &&
                take_time(decoded.beforeDate, decoded.beforeDateLen, &facts->begins) &&
                take_time(decoded.afterDate, decoded.afterDateLen, &facts->ends) &&
                wc_GetSubjectPubKeyInfoDerFromCert(der, (word32)size, info, &info_size) == 0 &&
                wc_Sha256Hash(info, info_size, facts->key_id) == 0 &&
                wc_Sha256Hash(der, (word32)size, facts->fingerprint) == 0 &&
                (facts->names = copy_names(decoded.altNames, &facts->has_unicode));
    if (good)
        copy_common_name(facts, &decoded);
    wc_FreeDecodedCert(&decoded);
    return good ? NULL : "its certificate is not a valid X.509 certificate";
}

void certificate_facts_dispose(struct certificate_facts *facts) {
    free(facts->names);
    *facts = (struct certificate_facts){0};
}

enum certificate_match certificate_match(const char *names, const char *host) {
    enum certificate_match best = CERTIFICATE_OTHER;
    const char *parent = strchr(host, '.');
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, host, address) == 1)
        parent = NULL;
    for (size_t length; (length = strcspn(names, " ")) > 0; names += length + 1) {
        if (length == strlen(host) && strncasecmp(names, host, length) == 0)
            return CERTIFICATE_EXACT;
        if (parent && parent > host && names[0] == '*' && length - 1 == strlen(parent) &&
            strncasecmp(names + 1, parent, length - 1) == 0)
            best = CERTIFICATE_WILDCARD;
    }
    return best;
}

unsigned certificate_stage(time_t ends, time_t now) {
    time_t left = ends - now;
    return left <= 0 ? 4 : left <= 7 * DAY ? 3 : left <= 30 * DAY ? 2 : left <= 60 * DAY ? 1 : 0;
}

/* ---- the list ---- */

/* Returns the position of a host in the list, or where it would be. */
static size_t place_of(const struct certificates *certificates, const char *host, bool *there) {
    size_t low = 0, high = certificates->count;
    *there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(host, certificates->list[middle].host);
        if (order == 0) {
            *there = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Makes room for a host at its position in the list. NULL if there is no memory. */
static struct certificate *make_place(struct certificates *certificates, size_t at) {
    struct certificate *list = reallocarray(certificates->list, certificates->count + 1, sizeof *list);
    if (!list)
        return NULL;
    memmove(list + at + 1, list + at, (certificates->count - at) * sizeof *list);
    certificates->list = list;
    certificates->count++;
    list[at] = (struct certificate){0};
    return &list[at];
}

bool certificates_add(struct certificates *certificates, const struct certificate *certificate) {
    bool there;
    size_t at = place_of(certificates, certificate->host, &there);
    char *chain = malloc(certificate->chain_size + 1);
    if (!chain)
        return false;
    memcpy(chain, certificate->chain, certificate->chain_size);
    chain[certificate->chain_size] = '\0';
    if (there) {
        certificates->barred -= !certificates->list[at].chain;
        free(certificates->list[at].chain);
    } else if (!make_place(certificates, at)) {
        free(chain);
        return false;
    }
    certificates->list[at] = *certificate;
    certificates->list[at].chain = chain;
    return true;
}

bool certificates_bar(struct certificates *certificates, const char *host) {
    bool there;
    size_t at = place_of(certificates, host, &there);
    struct certificate *barred = there ? NULL : make_place(certificates, at);
    if (!barred)
        return there;
    snprintf(barred->host, sizeof barred->host, "%s", host);
    certificates->barred++;
    return true;
}

const struct certificate *certificates_find(const struct certificates *certificates, const char *host) {
    bool there;
    size_t at = place_of(certificates, host, &there);
    return there ? &certificates->list[at] : NULL;
}

void certificates_dispose(struct certificates *certificates) {
    for (size_t i = 0; i < certificates->count; i++)
        free(certificates->list[i].chain);
    free(certificates->list);
    *certificates = (struct certificates){0};
}
