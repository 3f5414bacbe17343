/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "identity.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "private_key.h"

#define VALID_YEARS 50
/*
 * notBefore of every certificate made here: 1 January 2025, UTC. Clients reject a certificate that is not valid yet. So
 * a wrong clock (ahead, or without a battery) at the time an identity is made must not spoil it for decades.
 */
#define BEGINS 1735689600
#define DER_MAX 8192
#define KEY_BYTES 32 /* P-256 */

/* ---- making ---- */

/* Writes a Time of RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime after that. */
static int put_time(unsigned char date[CTC_DATE_SIZE], const struct tm *when) {
    bool general = when->tm_year + 1900 >= 2050;
    char text[CTC_DATE_SIZE];
    strftime(text, sizeof text, "%Y%m%d%H%M%SZ", when);
    const char *shown = general ? text : text + 2; /* UTCTime has no century */
    size_t length = strlen(shown);
    date[0] = general ? 0x18 : 0x17;
    date[1] = (unsigned char)length;
    memcpy(date + 2, shown, length);
    return (int)length + 2;
}

static bool put_validity(Cert *certificate) {
    time_t begins = BEGINS, now = time(NULL);
    struct tm when;
    if (!gmtime_r(&begins, &when))
        return false;
    certificate->beforeDateSz = put_time(certificate->beforeDate, &when);
    if (!gmtime_r(now > begins ? &now : &begins, &when))
        return false;
    when.tm_year += VALID_YEARS;
    if (when.tm_mon == 1 && when.tm_mday == 29)
        when.tm_mday = 28;
    certificate->afterDateSz = put_time(certificate->afterDate, &when);
    return true;
}

/* Writes SubjectAltName (RFC 5280 section 4.2.1.6): a dNSName, or an iPAddress if the host is an address. */
static void put_alternative_name(Cert *certificate, const char *host) {
    unsigned char value[HOSTNAME_MAX + 1];
    size_t length = strlen(host);
    unsigned char type = 0x82;
    if (inet_pton(AF_INET, host, value) == 1)
        type = 0x87, length = 4;
    else if (inet_pton(AF_INET6, host, value) == 1)
        type = 0x87, length = 16;
    else
        memcpy(value, host, length);

    unsigned char *at = certificate->altNames;
    bool entry_long = length > 127;
    size_t entry = 1 + (entry_long ? 2u : 1u) + length;
    *at++ = 0x30;
    if (entry > 127)
        *at++ = 0x81;
    *at++ = (unsigned char)entry;
    *at++ = type;
    if (entry_long)
        *at++ = 0x81;
    *at++ = (unsigned char)length;
    memcpy(at, value, length);
    certificate->altNamesSz = (int)(at + length - certificate->altNames);
}

static bool make_certificate(const char *host, ecc_key *key, WC_RNG *random, unsigned char *der, int *der_size) {
    bool made = false;
    Cert *certificate = malloc(sizeof *certificate); /* about 20 kB: too much for a stack */
    if (!certificate || wc_InitCert(certificate) != 0)
        goto end;
    certificate->version = 2;
    certificate->sigType = CTC_SHA256wECDSA;
    /* A common name has at most 64 characters (RFC 5280, appendix A.1); clients use the alternative name. */
    snprintf(certificate->subject.commonName, sizeof certificate->subject.commonName, "%s",
             strlen(host) < CTC_NAME_SIZE ? host : "Gemini capsule");
    certificate->subject.commonNameEnc = CTC_UTF8;
    put_alternative_name(certificate, host);
    if (!put_validity(certificate))
        goto end;
    if (wc_SetKeyUsage(certificate, "digitalSignature") != 0 ||
        wc_SetSubjectKeyIdFromPublicKey(certificate, NULL, key) != 0)
        goto end;
    if (wc_MakeCert(certificate, der, DER_MAX, NULL, key, random) < 0)
        goto end;
    *der_size = wc_SignCert(certificate->bodySz, certificate->sigType, der, DER_MAX, NULL, key, random);
    made = *der_size > 0;
end:
    free(certificate);
    return made;
}

static size_t write_pem(const unsigned char *der, word32 der_size, ecc_key *key, char *pem) {
    unsigned char key_der[256];
    word32 key_size = sizeof key_der;
    size_t length = 0;
    if (wc_EccKeyToPKCS8(key, key_der, &key_size) > 0) {
        unsigned char *at = (unsigned char *)pem;
        int first = wc_DerToPem(der, der_size, at, IDENTITY_PEM_MAX, CERT_TYPE);
        int second = 0;
        if (first > 0)
            second =
                wc_DerToPem(key_der, key_size, at + first, IDENTITY_PEM_MAX - (word32)first, PKCS8_PRIVATEKEY_TYPE);
        if (second > 0)
            length = (size_t)first + (size_t)second;
    }
    explicit_bzero(key_der, sizeof key_der);
    return length;
}

/* Makes a key, or decodes one (DER; NULL: none); one from elsewhere may lack its public half. */
static bool take_key(ecc_key *key, WC_RNG *random, const uint8_t *der, size_t size) {
    word32 at = 0;
    if (!der)
        return wc_ecc_make_key_ex(random, KEY_BYTES, key, ECC_SECP256R1) == 0;
    return wc_EccPrivateKeyDecode(der, &at, key, (word32)size) == 0 && wc_ecc_set_rng(key, random) == 0 &&
           wc_ecc_make_pub(key, NULL) == 0;
}

/* Makes a certificate for a P-256 key, an old one (DER) or a new one. Returns the length of the PEM text, 0 on failure.
 */
static size_t make_pem(const char *host, const uint8_t *old, size_t old_size, char *pem) {
    unsigned char der[DER_MAX];
    int der_size = 0;
    size_t length = 0;
    ecc_key key;
    WC_RNG random;

    if (strlen(host) > HOSTNAME_MAX || wc_InitRng(&random) != 0)
        return 0;
    if (wc_ecc_init(&key) == 0) {
        if (take_key(&key, &random, old, old_size) && make_certificate(host, &key, &random, der, &der_size))
            length = write_pem(der, (word32)der_size, &key, pem);
        wc_ecc_free(&key);
        explicit_bzero(&key, sizeof key);
    }
    wc_FreeRng(&random);
    return length;
}

size_t identity_make(const char *host, char pem[static IDENTITY_PEM_MAX]) {
    return make_pem(host, NULL, 0, pem);
}

/* ---- loading ---- */

/*
 * Sets the key id. Does not check dates and names: clients pin a certificate, and an expired one, or one with only a
 * common name, is better than a different one. identity_file_warn logs these.
 */
static const char *name_key(struct certificate *public) {
    struct certificate_facts facts;
    const char *problem = certificate_examine(&facts, public->chain);
    if (problem)
        return problem;
    memcpy(public->key_id, facts.key_id, sizeof public->key_id);
    certificate_facts_dispose(&facts);
    return NULL;
}

const char *identity_renew(const char *host, const char *old, char pem[static IDENTITY_PEM_MAX], size_t *size) {
    struct private_key *key;
    *size = 0;
    const char *problem = private_key_load(&key, old);
    if (!problem && private_key_kind(key) != KEY_P256)
        problem = "its key was not made here; ask the issuer of the certificate to renew it";
    if (!problem) {
        size_t key_size;
        const uint8_t *der = private_key_der(key, &key_size);
        *size = make_pem(host, der, key_size, pem);
    }
    if (!problem && *size == 0)
        problem = "making a certificate failed";
    private_key_dispose(key);
    return problem;
}

/* Does the key belong to the certificate? */
static const char *compare(const struct certificate *public, struct private_key *key) {
    unsigned char der[DER_MAX];
    if (private_key_matches(key, public->key_id))
        return NULL;
    DecodedCert decoded;
    size_t key_size;
    const uint8_t *key_der = private_key_der(key, &key_size);
    int size =
        wc_CertPemToDer((const unsigned char *)public->chain, (int)public->chain_size, der, sizeof der, CERT_TYPE);
    wc_InitDecodedCert(&decoded, der, size > 0 ? (word32)size : 0, NULL);
    bool same = size > 0 && wc_ParseCert(&decoded, CERT_TYPE, NO_VERIFY, NULL) == 0 &&
                wc_CheckPrivateKeyCert(key_der, (word32)key_size, &decoded, 0, NULL) == 1;
    wc_FreeDecodedCert(&decoded);
    return same ? NULL
                : "its private key does not match its certificate; in the file, the certificate must come before its "
                  "chain";
}

/*
 * Can TLS send this chain? A certificate alone was examined; what follows it is sent as it is, within the bounds of
 * wolfSSL, which knows them.
 */
static const char *examine_chain(const struct certificate *public) {
    const char *second = strstr(public->chain + 1, "-----BEGIN CERTIFICATE-----");
    if (!second)
        return NULL;
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfTLSv1_3_server_method());
    bool fits = context && wolfSSL_CTX_use_certificate_chain_buffer(context, (const unsigned char *)public->chain,
                                                                    (long)public->chain_size) == WOLFSSL_SUCCESS;
    wolfSSL_CTX_free(context);
    return fits ? NULL : "the certificates after its first one cannot be used; copy the chain again, or leave it out";
}

/* Copies only the certificates of a PEM text. */
static const char *copy_chain(struct certificate *public, const char *pem) {
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
    public->chain = malloc(strlen(pem) + 2);
    if (!public->chain)
        return "out of memory";
    for (const char *at = strstr(pem, begin); at; at = strstr(at, begin)) {
        const char *last = strstr(at, end);
        if (!last)
            return "a certificate in it is incomplete; copy the file again";
        size_t size = (size_t)(last - at) + sizeof end - 1;
        memcpy(public->chain + public->chain_size, at, size);
        public->chain_size += size;
        public->chain[public->chain_size++] = '\n';
        at = last;
    }
    public->chain[public->chain_size] = '\0';
    return public->chain_size > 0 ? NULL : "it contains no certificate; add it before the private key";
}

const char *identity_load(struct identity *identity, const char *host, const char *pem, const char *key_pem) {
    const char *problem;
    *identity = (struct identity){0};
    if (strlen(host) > HOSTNAME_MAX)
        return "the host name is too long";
    snprintf(identity->public.host, sizeof identity->public.host, "%s", host);
    if (!key_pem)
        key_pem = pem;
    problem = private_key_load(&identity->key, key_pem);
    if (!problem)
        problem = copy_chain(&identity->public, pem);
    if (!problem)
        problem = name_key(&identity->public);
    if (!problem)
        problem = compare(&identity->public, identity->key);
    if (!problem)
        problem = examine_chain(&identity->public);
    if (problem) {
        identity_dispose(identity);
        return problem;
    }
    identity->public.kind = private_key_kind(identity->key);
    identity->public.signature_max = private_key_signature_max(identity->key);
    return NULL;
}

void identity_dispose(struct identity *identity) {
    private_key_dispose(identity->key);
    free(identity->public.chain);
    *identity = (struct identity){0};
}

enum signing_result identity_sign(const struct identity *identity, enum signing_scheme scheme, const uint8_t *message,
                                  size_t message_size, uint8_t *signature, size_t *size) {
    return private_key_sign(identity->key, scheme, message, message_size, signature, size);
}
