/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "private_key.h"

#include <stdlib.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "secret.h"

#define RSA_BYTES_MIN 256
#define READY_MAX 16 /* keys that are kept ready to sign */

struct key_type;

struct private_key {
    const struct key_type *type;
    enum key_kind kind;
    uint32_t signature_max; /* bytes */
    uint32_t size;          /* bytes of der */
    uint8_t der[];
};

/* A key that is ready to sign. */
struct ready {
    const struct private_key *of; /* NULL: none */
    uint64_t used;                /* when, counted in uses */
    union {
        ecc_key ecdsa;
        ed25519_key ed25519;
        RsaKey rsa;
    };
    WC_RNG random;
};

/* What is to be signed. */
struct message {
    enum signing_scheme scheme;
    const uint8_t *bytes;
    word32 size;
};

struct digest {
    enum wc_HashType type;
    word32 size;
    byte bytes[WC_MAX_DIGEST_SIZE];
};

/* Returns false for a scheme without a separate hash, or an invalid one. */
static bool make_digest(struct digest *digest, const struct message *message) {
    static const enum wc_HashType types[] = {WC_HASH_TYPE_SHA256, WC_HASH_TYPE_SHA384, WC_HASH_TYPE_SHA512};
    /* TLS gives the three hashes consecutive numbers: RSA-PSS in the whole scheme, others in its upper byte. */
    unsigned upper = message->scheme >> 8;
    unsigned number = upper == SIGNING_RSA_PSS_SHA256 >> 8 ? message->scheme - SIGNING_RSA_PSS_SHA256
                                                           : upper - (SIGNING_ECDSA_SHA256 >> 8);
    if (number >= sizeof types / sizeof *types)
        return false;
    digest->type = types[number];
    digest->size = (word32)wc_HashGetDigestSize(digest->type);
    return wc_Hash(digest->type, message->bytes, message->size, digest->bytes, digest->size) == 0;
}

static const char unusable[] = "the key cannot be used";

/* ---- ECDSA ---- */

static bool ecdsa_decode(struct ready *key, const unsigned char *der, word32 size, const char **problem) {
    word32 at = 0;
    if (wc_ecc_init(&key->ecdsa) != 0)
        return false;
    if (wc_EccPrivateKeyDecode(der, &at, &key->ecdsa, size) != 0) {
        wc_ecc_free(&key->ecdsa);
        return false;
    }
    int curve = wc_ecc_get_curve_id(key->ecdsa.idx);
    if (curve != ECC_SECP256R1 && curve != ECC_SECP384R1)
        *problem = "its key is on an unsupported curve; make a new key on P-256";
    else if (wc_ecc_set_rng(&key->ecdsa, &key->random) != 0)
        *problem = unusable;
    return true;
}

static void ecdsa_dispose(struct ready *key) {
    wc_ecc_free(&key->ecdsa);
}

static enum key_kind ecdsa_kind(const struct ready *key) {
    return wc_ecc_get_curve_id(key->ecdsa.idx) == ECC_SECP256R1 ? KEY_P256 : KEY_P384;
}

static uint32_t ecdsa_signature_max(const struct ready *key) {
    (void)key;
    return ECC_MAX_SIG_SIZE;
}

static enum signing_result ecdsa_sign(struct ready *key, const struct message *message, uint8_t *signature,
                                      size_t *size) {
    struct digest digest;
    word32 length = SIGNING_SIGNATURE_MAX;
    if ((message->scheme & 0xff) != (SIGNING_ECDSA_SHA256 & 0xff) || !make_digest(&digest, message))
        return SIGNING_REFUSED;
    if (wc_ecc_sign_hash(digest.bytes, digest.size, signature, &length, &key->random, &key->ecdsa) < 0)
        return SIGNING_FAILED;
    *size = length;
    return SIGNING_DONE;
}

/* ---- Ed25519 ---- */

static bool ed25519_decode(struct ready *key, const unsigned char *der, word32 size, const char **problem) {
    word32 at = 0;
    if (wc_ed25519_init(&key->ed25519) != 0)
        return false;
    if (wc_Ed25519PrivateKeyDecode(der, &at, &key->ed25519, size) != 0) {
        wc_ed25519_free(&key->ed25519);
        return false;
    }
    /* PKCS#8 usually omits the public half (RFC 8410 section 7), which signing needs. */
    if (wc_ed25519_make_public(&key->ed25519, key->ed25519.p, ED25519_PUB_KEY_SIZE) != 0)
        *problem = unusable;
    return true;
}

static void ed25519_dispose(struct ready *key) {
    wc_ed25519_free(&key->ed25519);
}

static enum key_kind ed25519_kind(const struct ready *key) {
    (void)key;
    return KEY_ED25519;
}

static uint32_t ed25519_signature_max(const struct ready *key) {
    (void)key;
    return ED25519_SIG_SIZE;
}

static enum signing_result ed25519_sign(struct ready *key, const struct message *message, uint8_t *signature,
                                        size_t *size) {
    word32 length = SIGNING_SIGNATURE_MAX;
    if (message->scheme != SIGNING_ED25519)
        return SIGNING_REFUSED;
    if (wc_ed25519_sign_msg(message->bytes, message->size, signature, &length, &key->ed25519) < 0)
        return SIGNING_FAILED;
    *size = length;
    return SIGNING_DONE;
}

/* ---- RSA ---- */

static bool rsa_decode(struct ready *key, const unsigned char *der, word32 size, const char **problem) {
    word32 at = 0;
    if (wc_InitRsaKey(&key->rsa, NULL) != 0)
        return false;
    if (wc_RsaPrivateKeyDecode(der, &at, &key->rsa, size) != 0) {
        wc_FreeRsaKey(&key->rsa);
        return false;
    }
    int bytes = wc_RsaEncryptSize(&key->rsa);
    if (bytes < RSA_BYTES_MIN || bytes > SIGNING_SIGNATURE_MAX)
        *problem = "its RSA key must have 2048 to 4096 bits; make a new key, preferably on P-256";
    else if (wc_RsaSetRNG(&key->rsa, &key->random) != 0)
        *problem = unusable;
    return true;
}

static void rsa_dispose(struct ready *key) {
    wc_FreeRsaKey(&key->rsa);
}

static enum key_kind rsa_kind(const struct ready *key) {
    (void)key;
    return KEY_RSA;
}

static uint32_t rsa_signature_max(const struct ready *key) {
    return (uint32_t)wc_RsaEncryptSize(&key->rsa);
}

/*
 * With the CRT, a computation error in an RSA signature can reveal the key, so each signature is verified before it is
 * sent. Returns the size of the signature, or a negative number.
 */
static int sign_pss(struct ready *key, const struct digest *digest, uint8_t *signature) {
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

static int sign_pkcs1(struct ready *key, const struct digest *digest, uint8_t *signature) {
    byte content[MAX_DER_DIGEST_SZ], check[SIGNING_SIGNATURE_MAX]; /* content: a DigestInfo (RFC 8017 section 9.2) */
    word32 content_size = wc_EncodeSignature(content, digest->bytes, digest->size, wc_HashGetOID(digest->type));
    int size = wc_RsaSSL_Sign(content, content_size, signature, SIGNING_SIGNATURE_MAX, &key->rsa, &key->random);
    if (size <= 0)
        return -1;
    int verified = wc_RsaSSL_Verify(signature, (word32)size, check, sizeof check, &key->rsa);
    return verified == (int)content_size && memcmp(check, content, content_size) == 0 ? size : -1;
}

static enum signing_result rsa_sign(struct ready *key, const struct message *message, uint8_t *signature,
                                    size_t *size) {
    struct digest digest;
    bool pkcs1 = (message->scheme & 0xff) == (SIGNING_RSA_PKCS1_SHA256 & 0xff);
    if ((!pkcs1 && message->scheme >> 8 != SIGNING_RSA_PSS_SHA256 >> 8) || !make_digest(&digest, message))
        return SIGNING_REFUSED;
    int length = pkcs1 ? sign_pkcs1(key, &digest, signature) : sign_pss(key, &digest, signature);
    if (length < 0)
        return SIGNING_FAILED;
    *size = (size_t)length;
    return SIGNING_DONE;
}

/* ---- the table ---- */

struct key_type {
    /* Takes a key out of DER. Returns false when it holds one of another type; else *problem may say why it is unfit.
     */
    bool (*decode)(struct ready *key, const unsigned char *der, word32 size, const char **problem);
    void (*dispose)(struct ready *key);
    enum key_kind (*kind)(const struct ready *key);
    uint32_t (*signature_max)(const struct ready *key); /* bytes */
    /* Signs by a scheme of this type, or refuses another. signature: room for SIGNING_SIGNATURE_MAX bytes. */
    enum signing_result (*sign)(struct ready *key, const struct message *message, uint8_t *signature, size_t *size);
};

/* In the order in which they are tried. */
static const struct key_type types[] = {
    {ecdsa_decode, ecdsa_dispose, ecdsa_kind, ecdsa_signature_max, ecdsa_sign},
    {ed25519_decode, ed25519_dispose, ed25519_kind, ed25519_signature_max, ed25519_sign},
    {rsa_decode, rsa_dispose, rsa_kind, rsa_signature_max, rsa_sign},
};

/* ---- keys that are ready ---- */

static struct ready *ready[READY_MAX];

static void dispose(struct ready *one, const struct key_type *type) {
    type->dispose(one);
    wc_FreeRng(&one->random);
    explicit_bzero(one, sizeof *one);
}

/* Returns a slot for one more key; replaces the least recently used one. NULL: no memory. */
static struct ready *make_room(void) {
    size_t oldest = 0;
    for (size_t i = 0; i < READY_MAX; i++) {
        if (!ready[i])
            return ready[i] = secret_take(sizeof **ready);
        if (!ready[i]->of)
            return ready[i];
        if (ready[i]->used < ready[oldest]->used)
            oldest = i;
    }
    dispose(ready[oldest], ready[oldest]->of->type);
    return ready[oldest];
}

/*
 * Makes a key ready. Tries the types of key in turn if none is known yet: the PEM label of PKCS#8 does not say which
 * one it contains. Returns NULL, or what is wrong.
 */
static const char *make_ready(struct private_key *key, struct ready **made) {
    struct ready *one = make_room();
    *made = one;
    if (!one || wc_InitRng(&one->random) != 0)
        return "out of memory";
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const char *problem = NULL;
        if ((key->type && key->type != &types[i]) || !types[i].decode(one, key->der, key->size, &problem))
            continue;
        if (problem) {
            dispose(one, &types[i]);
            return problem;
        }
        key->type = &types[i];
        key->kind = types[i].kind(one);
        key->signature_max = types[i].signature_max(one);
        one->of = key;
        return NULL;
    }
    wc_FreeRng(&one->random);
    explicit_bzero(one, sizeof *one);
    return "its private key is not P-256, P-384, Ed25519 or RSA; make a new key on P-256";
}

/* Returns the key, ready to sign. NULL: no memory. */
static struct ready *ready_for(struct private_key *key) {
    static uint64_t uses;
    struct ready *one = NULL;
    for (size_t i = 0; i < READY_MAX && !one; i++)
        one = ready[i] && ready[i]->of == key ? ready[i] : NULL;
    if (!one && make_ready(key, &one) != NULL)
        return NULL;
    one->used = ++uses;
    return one;
}

/* ---- any key ---- */

bool private_key_find(const char *pem, const char **start, size_t *size) {
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

static size_t size_of(const struct private_key *key) {
    return sizeof *key + key->size;
}

/* Copies DER to its permanent place. Returns NULL, or what is wrong. */
static const char *keep(struct private_key **key, const unsigned char *der, size_t size) {
    struct private_key *kept = secret_take(sizeof *kept + size);
    struct ready *one;
    if (!kept)
        return "out of memory";
    kept->size = (uint32_t)size;
    memcpy(kept->der, der, size);
    const char *problem = make_ready(kept, &one);
    if (problem)
        secret_give(kept, size_of(kept));
    else
        *key = kept;
    return problem;
}

const char *private_key_load(struct private_key **key, const char *pem) {
    const char *start;
    size_t size;
    *key = NULL;
    if (!private_key_find(pem, &start, &size))
        return "it contains no private key; add the key after the certificate, or put it beside this file in one that "
               "ends in .key";
    unsigned char *der = secret_take(size);
    if (!der)
        return "out of memory";
    int der_size = wc_KeyPemToDer((const unsigned char *)start, (int)size, der, (int)size, NULL);
    const char *problem = der_size > 0 ? keep(key, der, (size_t)der_size)
                                       : "its private key cannot be read; it must be in PEM form without a password";
    secret_give(der, size);
    return problem;
}

void private_key_dispose(struct private_key *key) {
    if (!key)
        return;
    for (size_t i = 0; i < READY_MAX; i++) {
        if (ready[i] && ready[i]->of == key)
            dispose(ready[i], key->type);
    }
    secret_give(key, size_of(key));
}

enum key_kind private_key_kind(const struct private_key *key) {
    return key->kind;
}

uint32_t private_key_signature_max(const struct private_key *key) {
    return key->signature_max;
}

bool private_key_matches(struct private_key *key, const uint8_t key_id[static SIGNING_KEY_ID]) {
    byte info[256], id[SIGNING_KEY_ID];
    struct ready *one = key->kind == KEY_P256 || key->kind == KEY_P384 ? ready_for(key) : NULL;
    /* The public half is computed, because the one in the file proves nothing. */
    int size =
        one && wc_ecc_make_pub(&one->ecdsa, NULL) == 0 ? wc_EccPublicKeyToDer(&one->ecdsa, info, sizeof info, 1) : 0;
    return size > 0 && wc_Sha256Hash(info, (word32)size, id) == 0 && memcmp(id, key_id, sizeof id) == 0;
}

const uint8_t *private_key_der(const struct private_key *key, size_t *size) {
    *size = key->size;
    return key->der;
}

enum signing_result private_key_sign(struct private_key *key, enum signing_scheme scheme, const uint8_t *message,
                                     size_t message_size, uint8_t *signature, size_t *size) {
    const struct message whole = {.scheme = scheme, .bytes = message, .size = (word32)message_size};
    struct ready *one = ready_for(key);
    return one ? key->type->sign(one, &whole, signature, size) : SIGNING_FAILED;
}
