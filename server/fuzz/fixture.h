/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The environment of the server in a fuzz target for whole visits: memory that is counted, random bytes that are the
 * same in each run of an input, identities with their keys, and a content folder. It replaces block_cache.c and
 * random.c: a cache of blocks would hide uses after free from the sanitizer.
 */

#define OPENSSL_SUPPRESS_DEPRECATED /* RAND_set_rand_method */

#include <malloc.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/random.h"
#include "content/access.h"
#include "keys/identity.h"
#include "protocol/certificate.h"
#include "worker/block_cache.h"

/* ---- memory ---- */

static size_t memory_used; /* bytes, of wolfSSL and of connections */
static bool memory_short;  /* the next allocation of a connection fails */

void *block_cache_take(size_t size) {
    void *block = malloc(size);
    HOLDS(block != NULL);
    memory_used += malloc_usable_size(block);
    return block;
}

void *block_cache_take_zeroed(size_t size) {
    if (memory_short) {
        memory_short = false;
        return NULL;
    }
    return memset(block_cache_take(size), 0, size);
}

void block_cache_give(void *block) {
    if (!block)
        return;
    memory_used -= malloc_usable_size(block);
    free(block);
}

void *block_cache_resize(void *block, size_t size) {
    void *other = block_cache_take(size);
    if (block) {
        size_t before = malloc_usable_size(block);
        memcpy(other, block, before < size ? before : size);
        block_cache_give(block);
    }
    return other;
}

/* OpenSSL is not under test, so its allocations bypass the sanitizer, which would otherwise take half of the time. */
void *__libc_malloc(size_t size);
void *__libc_realloc(void *block, size_t size);
void __libc_free(void *block);

static void *openssl_take(size_t size, const char *file, int line) {
    (void)file, (void)line;
    return __libc_malloc(size);
}

static void *openssl_resize(void *block, size_t size, const char *file, int line) {
    (void)file, (void)line;
    return __libc_realloc(block, size);
}

static void openssl_give(void *block, const char *file, int line) {
    (void)file, (void)line;
    __libc_free(block);
}

static void memory_for_openssl(void) {
    HOLDS(CRYPTO_set_mem_functions(openssl_take, openssl_resize, openssl_give) == 1);
}

/* ---- random bytes ---- */

static uint64_t random_state;

static void random_begin(void) {
    random_state = 0x9e3779b97f4a7c15;
}

int random_open(void) {
    return true;
}

int vitrine_random_block(unsigned char *output, unsigned int size) {
    for (unsigned i = 0; i < size; i++) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        output[i] = (unsigned char)(random_state * 0x2545f4914f6cdd1d >> 56);
    }
    return 0;
}

static int openssl_random(unsigned char *output, int size) {
    return vitrine_random_block(output, (unsigned)size) == 0;
}

static int openssl_random_status(void) {
    return 1;
}

static void random_for_openssl(void) {
    static const RAND_METHOD method = {
        .bytes = openssl_random, .pseudorand = openssl_random, .status = openssl_random_status};
    HOLDS(RAND_set_rand_method(&method) == 1);
}

/* ---- keys and certificates ---- */

/* Its validity practically never ends. */
static X509 *make_certificate(EVP_PKEY *key, const char *name, const EVP_MD *digest) {
    X509 *certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    ASN1_TIME_set_string(X509_getm_notBefore(certificate), "20200101000000Z");
    ASN1_TIME_set_string(X509_getm_notAfter(certificate), "20991231235959Z");
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, subject);
    X509_set_pubkey(certificate, key);
    char names[64];
    snprintf(names, sizeof names, "DNS:%s", name);
    X509_EXTENSION *alternative = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    X509_add_ext(certificate, alternative, -1);
    X509_EXTENSION_free(alternative);
    HOLDS(X509_sign(certificate, key, digest) > 0);
    return certificate;
}

#define IDENTITIES 3

static struct identity identities[IDENTITIES];
static struct certificates certificates;

static void add_identity(size_t place, const char *host, const char *pem) {
    const char *fault = identity_load(&identities[place], host, pem, NULL);
    if (fault)
        fprintf(stderr, "%s: %s\n", host, fault);
    HOLDS(fault == NULL);
    HOLDS(certificates_add(&certificates, &identities[place].public));
}

static void add_foreign_identity(size_t place, const char *host, EVP_PKEY *key, const EVP_MD *digest) {
    BIO *text = BIO_new(BIO_s_mem());
    X509 *certificate = make_certificate(key, host, digest);
    PEM_write_bio_X509(text, certificate);
    PEM_write_bio_PrivateKey(text, key, NULL, NULL, 0, NULL, NULL);
    BIO_write(text, "", 1);
    char *pem;
    BIO_get_mem_data(text, &pem);
    add_identity(place, host, pem);
    X509_free(certificate);
    EVP_PKEY_free(key);
    BIO_free(text);
}

/* One identity of each kind; the first is for clients that send no host name. */
static void open_identities(void) {
    char pem[IDENTITY_PEM_MAX];
    HOLDS(identity_make("localhost", pem) > 0);
    add_identity(0, "localhost", pem);
    add_foreign_identity(1, "ed25519.test", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL);
    add_foreign_identity(2, "rsa.test", EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048), EVP_sha256());
}

/* ---- content ---- */

#define LARGE 90000 /* bytes: three parts of a body */

static char content[] = "/tmp/vitrine-fuzz-XXXXXX";

static void put(const char *name, const char *text, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", content, name);
    FILE *file = fopen(path, "w");
    HOLDS(file && fwrite(text, 1, size, file) == size && fclose(file) == 0);
}

static void put_folder(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", content, name);
    HOLDS(mkdir(path, 0755) == 0);
}

static void remove_content(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", content);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", content);
}

/* admitted: the fingerprint of the client that may enter localhost/private. */
static void make_content(const char *admitted) {
    static const char meta[] = "old.gmi: 30 new.gmi\nname: 10 Your name?\ngone.gmi: 52 Gone\nodd.gmi: text/plain\n";
    static char large[LARGE];
    char access[CLIENT_FINGERPRINT + 8];
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (char)('a' + i % 23 + i / 4096 % 3);
    snprintf(access, sizeof access, "%s Ada\n", admitted);
    HOLDS(mkdtemp(content) != NULL);
    atexit(remove_content);
    put_folder("localhost");
    put_folder("localhost/list");
    put_folder("localhost/private");
    put("localhost/index.gmi", "# A page\n", 9);
    put("localhost/empty.gmi", "", 0);
    put("localhost/odd.gmi", "odd\n", 4);
    put("localhost/large.txt", large, sizeof large);
    put("localhost/record.txt", large, 16384 - 16); /* with its header: one record, or one and a bit */
    put("localhost/.meta", meta, sizeof meta - 1);
    put("localhost/list/.directory-listing-ok", "# A list\n", 9);
    put("localhost/list/one.gmi", "1", 1);
    put("localhost/private/.access", access, strlen(access));
    put("localhost/private/index.gmi", "private\n", 8);
}
