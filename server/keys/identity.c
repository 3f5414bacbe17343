/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "identity.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/sha256.h>

#define VALID_YEARS 50
/*
 * notBefore of every certificate made here: 1 January 2025, UTC. Clients reject a certificate that is not valid yet. So
 * a wrong clock (ahead, or without a battery) at the time an identity is made must not spoil it for decades.
 */
#define BEGINS 1735689600
#define DER_MAX 8192
#define KEY_BYTES 32 /* P-256 */
#define RSA_BYTES_MIN 256

struct private_key {
    enum key_kind kind;
    union {
        ecc_key ecdsa;
        ed25519_key ed25519;
        RsaKey rsa;
    };
    WC_RNG random;
};

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
    unsigned char value[CERTIFICATE_HOST_MAX + 1];
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

size_t identity_make(const char *host, char pem[static IDENTITY_PEM_MAX]) {
    unsigned char der[DER_MAX];
    int der_size = 0;
    size_t length = 0;
    ecc_key key;
    WC_RNG random;

    if (strlen(host) > CERTIFICATE_HOST_MAX || wc_InitRng(&random) != 0)
        return 0;
    if (wc_ecc_init(&key) == 0) {
        if (wc_ecc_make_key_ex(&random, KEY_BYTES, &key, ECC_SECP256R1) == 0 &&
            make_certificate(host, &key, &random, der, &der_size))
            length = write_pem(der, (word32)der_size, &key, pem);
        wc_ecc_free(&key);
        explicit_bzero(&key, sizeof key);
    }
    wc_FreeRng(&random);
    return length;
}

/* ---- loading ---- */

static struct private_key *key_room(void) {
    size_t size = sizeof(struct private_key);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, size, MADV_DONTDUMP);
    madvise(memory, size, MADV_WIPEONFORK);
    mlock(memory, size); /* best effort: the limit may be small, and an unlocked key is better than none */
    return memory;
}

static void key_dispose(struct private_key *key) {
    if (!key)
        return;
    if (key->kind == KEY_P256 || key->kind == KEY_P384)
        wc_ecc_free(&key->ecdsa);
    else if (key->kind == KEY_ED25519)
        wc_ed25519_free(&key->ed25519);
    else if (key->kind == KEY_RSA)
        wc_FreeRsaKey(&key->rsa);
    wc_FreeRng(&key->random);
    explicit_bzero(key, sizeof *key);
    munmap(key, sizeof *key);
}

/* Finds the private key in a PEM text: its first byte and its length, without the last line ending. */
static bool find_key(const char *pem, const char **start, size_t *size) {
    for (const char *at = pem; (at = strstr(at, "-----BEGIN ")); at += 11) {
        size_t line = strcspn(at, "\r\n");
        const char *mark = strstr(at, "PRIVATE KEY-----");
        if (!mark || mark > at + line)
            continue;
        const char *end = strstr(at, "-----END ");
        if (!end)
            return false;
        *start = at;
        *size = (size_t)(end - at) + strcspn(end, "\r\n");
        return true;
    }
    return false;
}

/* Tries the kinds of key in turn: the PEM label of PKCS#8 does not say which one it contains. */
static const char *key_decode(struct private_key *key, const unsigned char *der, word32 size) {
    word32 at = 0;
    if (wc_ecc_init(&key->ecdsa) == 0) {
        key->kind = KEY_P256;
        if (wc_EccPrivateKeyDecode(der, &at, &key->ecdsa, size) == 0) {
            int curve = wc_ecc_get_curve_id(key->ecdsa.idx);
            if (curve != ECC_SECP256R1 && curve != ECC_SECP384R1)
                return "its key is on an unsupported curve; make a new key on P-256";
            key->kind = curve == ECC_SECP256R1 ? KEY_P256 : KEY_P384;
            return wc_ecc_set_rng(&key->ecdsa, &key->random) == 0 ? NULL : "the key cannot be used";
        }
        wc_ecc_free(&key->ecdsa);
        key->kind = 0;
    }
    at = 0;
    if (wc_ed25519_init(&key->ed25519) == 0) {
        key->kind = KEY_ED25519;
        if (wc_Ed25519PrivateKeyDecode(der, &at, &key->ed25519, size) == 0) {
            /* PKCS#8 usually omits the public half (RFC 8410 section 7), which signing needs. */
            return wc_ed25519_make_public(&key->ed25519, key->ed25519.p, ED25519_PUB_KEY_SIZE) == 0
                       ? NULL
                       : "the key cannot be used";
        }
        wc_ed25519_free(&key->ed25519);
        key->kind = 0;
    }
    at = 0;
    if (wc_InitRsaKey(&key->rsa, NULL) == 0) {
        key->kind = KEY_RSA;
        if (wc_RsaPrivateKeyDecode(der, &at, &key->rsa, size) == 0) {
            int bytes = wc_RsaEncryptSize(&key->rsa);
            if (bytes < RSA_BYTES_MIN || bytes > SIGNING_SIGNATURE_MAX)
                return "its RSA key must have 2048 to 4096 bits; make a new key, preferably on P-256";
            return wc_RsaSetRNG(&key->rsa, &key->random) == 0 ? NULL : "the key cannot be used";
        }
    }
    return "its private key is not P-256, P-384, Ed25519 or RSA; make a new key on P-256";
}

static const char *key_load(struct private_key *key, const char *pem) {
    const char *start;
    size_t size;
    if (!find_key(pem, &start, &size))
        return "it contains no private key; add the key after the certificate, or put it beside this file in one that "
               "ends in .key";
    unsigned char *der = malloc(size);
    if (!der)
        return "out of memory";
    int der_size = wc_KeyPemToDer((const unsigned char *)start, (int)size, der, (int)size, NULL);
    const char *problem = "its private key cannot be read; it must be in PEM form without a password";
    if (der_size > 0)
        problem = key_decode(key, der, (word32)der_size);
    explicit_bzero(der, size);
    free(der);
    return problem;
}

/*
 * Sets the key id. Does not check dates and names: clients pin a certificate, and an expired one, or one with only a
 * common name, is better than a different one. identity_file_warn logs these.
 */
static const char *name_key(struct certificate *public) {
    struct certificate_facts facts;
    const char *problem = certificate_examine(&facts, public->chain);
    if (problem)
        return problem;
    memcpy(public->key, facts.key, sizeof public->key);
    certificate_facts_dispose(&facts);
    return NULL;
}

const char *identity_renew(const char *host, const char *old, char pem[static IDENTITY_PEM_MAX], size_t *size) {
    unsigned char der[DER_MAX];
    int der_size = 0;
    const char *problem = "out of memory";
    struct private_key *key = key_room();
    *size = 0;
    if (strlen(host) <= CERTIFICATE_HOST_MAX && key && wc_InitRng(&key->random) == 0)
        problem = key_load(key, old);
    if (!problem && key->kind != KEY_P256)
        problem = "its key was not made here; ask the issuer of the certificate to renew it";
    /* A key from elsewhere may lack its public half. */
    if (!problem && wc_ecc_make_pub(&key->ecdsa, NULL) == 0 &&
        make_certificate(host, &key->ecdsa, &key->random, der, &der_size))
        *size = write_pem(der, (word32)der_size, &key->ecdsa, pem);
    if (!problem && *size == 0)
        problem = "making a certificate failed";
    key_dispose(key);
    return problem;
}

/* Does the key belong to the certificate? wolfSSL compares them when both are loaded. */
static const char *compare(const struct certificate *public, const char *key_pem) {
    const char *start,
        *problem =
            "its private key does not match its certificate; in the file, the certificate must come before its chain";
    size_t size;
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfTLSv1_3_server_method());
    if (context && find_key(key_pem, &start, &size) &&
        wolfSSL_CTX_use_certificate_chain_buffer(context, (const unsigned char *)public->chain,
                                                 (long)public->chain_size) == WOLFSSL_SUCCESS &&
        wolfSSL_CTX_use_PrivateKey_buffer(context, (const unsigned char *)start, (long)size, WOLFSSL_FILETYPE_PEM) ==
            WOLFSSL_SUCCESS &&
        wolfSSL_CTX_check_private_key(context) == WOLFSSL_SUCCESS)
        problem = NULL;
    wolfSSL_CTX_free(context);
    return problem;
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

static uint32_t signature_max(const struct private_key *key) {
    switch (key->kind) {
    case KEY_RSA:
        return (uint32_t)wc_RsaEncryptSize(&key->rsa);
    case KEY_ED25519:
        return ED25519_SIG_SIZE;
    default:
        return ECC_MAX_SIG_SIZE;
    }
}

const char *identity_load(struct identity *identity, const char *host, const char *pem, const char *key_pem) {
    const char *problem = "out of memory";
    *identity = (struct identity){0};
    if (strlen(host) > CERTIFICATE_HOST_MAX)
        return "the host name is too long";
    snprintf(identity->public.host, sizeof identity->public.host, "%s", host);
    if (!key_pem)
        key_pem = pem;
    identity->key = key_room();
    if (identity->key && wc_InitRng(&identity->key->random) == 0)
        problem = key_load(identity->key, key_pem);
    if (!problem)
        problem = copy_chain(&identity->public, pem);
    if (!problem)
        problem = name_key(&identity->public);
    if (!problem)
        problem = compare(&identity->public, key_pem);
    if (problem) {
        identity_dispose(identity);
        return problem;
    }
    identity->public.kind = identity->key->kind;
    identity->public.signature_max = signature_max(identity->key);
    return NULL;
}

void identity_dispose(struct identity *identity) {
    key_dispose(identity->key);
    free(identity->public.chain);
    *identity = (struct identity){0};
}

/* ---- signing ---- */

struct digest {
    enum wc_HashType type;
    word32 size;
    byte bytes[WC_MAX_DIGEST_SIZE];
};

/* Returns false for a scheme without a separate hash, or an invalid one. */
static bool make_digest(struct digest *digest, enum signing_scheme scheme, const uint8_t *message, size_t size) {
    static const enum wc_HashType types[] = {WC_HASH_TYPE_SHA256, WC_HASH_TYPE_SHA384, WC_HASH_TYPE_SHA512};
    /* TLS gives the three hashes consecutive numbers: RSA-PSS in the whole scheme, others in its upper byte. */
    unsigned upper = scheme >> 8;
    unsigned number =
        upper == SIGNING_RSA_PSS_SHA256 >> 8 ? scheme - SIGNING_RSA_PSS_SHA256 : upper - (SIGNING_ECDSA_SHA256 >> 8);
    if (number >= sizeof types / sizeof *types)
        return false;
    digest->type = types[number];
    digest->size = (word32)wc_HashGetDigestSize(digest->type);
    return wc_Hash(digest->type, message, (word32)size, digest->bytes, digest->size) == 0;
}

/*
 * With the CRT, a computation error in an RSA signature can reveal the key, so each signature is verified before it is
 * sent. Returns the size of the signature, or a negative number.
 */
static int sign_pss(struct private_key *key, const struct digest *digest, uint8_t *signature) {
    int mask = wc_hash2mgf(digest->type);
    byte check[SIGNING_SIGNATURE_MAX];
    int size = wc_RsaPSS_Sign(digest->bytes, digest->size, signature, SIGNING_SIGNATURE_MAX, digest->type, mask,
                              &key->rsa, &key->random);
    if (size <= 0)
        return -1;
    int verified = wc_RsaPSS_Verify(signature, (word32)size, check, sizeof check, digest->type, mask, &key->rsa);
    if (verified <= 0 ||
        wc_RsaPSS_CheckPadding(digest->bytes, digest->size, check, (word32)verified, digest->type) != 0)
        return -1;
    return size;
}

static int sign_pkcs1(struct private_key *key, const struct digest *digest, uint8_t *signature) {
    byte content[MAX_DER_DIGEST_SZ], check[SIGNING_SIGNATURE_MAX]; /* content: a DigestInfo (RFC 8017 section 9.2) */
    word32 content_size = wc_EncodeSignature(content, digest->bytes, digest->size, wc_HashGetOID(digest->type));
    int size = wc_RsaSSL_Sign(content, content_size, signature, SIGNING_SIGNATURE_MAX, &key->rsa, &key->random);
    if (size <= 0)
        return -1;
    int verified = wc_RsaSSL_Verify(signature, (word32)size, check, sizeof check, &key->rsa);
    return verified == (int)content_size && memcmp(check, content, content_size) == 0 ? size : -1;
}

enum signing_result identity_sign(const struct identity *identity, enum signing_scheme scheme, const uint8_t *message,
                                  size_t message_size, uint8_t *signature, size_t *size) {
    struct private_key *key = identity->key;
    word32 length = SIGNING_SIGNATURE_MAX;
    struct digest digest;
    int result;
    bool hashed = make_digest(&digest, scheme, message, message_size);
    if ((key->kind == KEY_P256 || key->kind == KEY_P384) && hashed &&
        (scheme & 0xff) == (SIGNING_ECDSA_SHA256 & 0xff)) {
        result = wc_ecc_sign_hash(digest.bytes, digest.size, signature, &length, &key->random, &key->ecdsa);
    } else if (key->kind == KEY_ED25519 && scheme == SIGNING_ED25519) {
        result = wc_ed25519_sign_msg(message, (word32)message_size, signature, &length, &key->ed25519);
    } else if (key->kind == KEY_RSA && hashed && (scheme & 0xff) == (SIGNING_RSA_PKCS1_SHA256 & 0xff)) {
        result = sign_pkcs1(key, &digest, signature);
        length = (word32)result;
    } else if (key->kind == KEY_RSA && hashed && scheme >> 8 == SIGNING_RSA_PSS_SHA256 >> 8) {
        result = sign_pss(key, &digest, signature);
        length = (word32)result;
    } else {
        return SIGNING_REFUSED;
    }
    if (result < 0)
        return SIGNING_FAILED;
    *size = length;
    return SIGNING_DONE;
}
