/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A client for fuzz targets: OpenSSL over memory. What it sends is stored in "wire", where it can be changed before it
 * is delivered; what the server sends arrives unchanged.
 */

#include "fixture.h"

#include <dlfcn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/ssl.h>
#include <time.h>

#include "content/client.h"

#define WIRE_MAX 65536
#define HEARD_MAX (LARGE + 4096)
#define SAID_MAX 4096
#define EXTENSION_MAX 256

struct tls_client {
    /* Chosen before it sends anything. */
    int version;                   /* TLS1_2_VERSION, TLS1_3_VERSION; 0: the highest that both support */
    char groups[32], name[32];     /* name "": it sends no name */
    bool has_certificate, is_liar; /* is_liar: it does not have the certificate's key */
    bool has_chain;                /* it also sends the certificate of an authority */
    unsigned kind;                 /* of the certificate, below KINDS */
    bool chacha, small;            /* small: splits its handshake messages into several records */
    bool changes_early;            /* sends change_cipher_spec after its first message, not later */
    unsigned fragment;             /* RFC 6066, section 4; 0: not requested */
    uint16_t changed_at;           /* the byte of its certificate that is changed */
    uint8_t changed_by;
    uint16_t extension; /* its type, if it sends one that OpenSSL does not know; 0: none */
    size_t extension_size;
    uint8_t extension_bytes[EXTENSION_MAX];

    SSL *session;
    BIO *incoming, *outgoing; /* owned by the session */
    bool finished;            /* its handshake is complete */
    bool failed;
    bool shutdown_grace;  /* it received close_notify */
    struct client client; /* its identity, as the server sees it */
    uint8_t *wire;        /* WIRE_MAX bytes */
    size_t wire_size;
    char *said; /* SAID_MAX bytes of application data; the first `told` are in records */
    size_t said_size, told;
    char *heard; /* HEARD_MAX bytes */
    size_t heard_size;
    size_t new_keys; /* how often the server changed its keys */
};

#define KINDS 3

static SSL_CTX *tls_clients;
static EVP_PKEY *wrong_key; /* with the public half of the first kind's key */
static struct {
    EVP_PKEY *key;
    uint8_t *der; /* the certificate */
    int der_size;
} kinds[KINDS];

static void describe_fingerprint(char text[static CLIENT_FINGERPRINT + 1], const uint8_t *der, size_t size) {
    uint8_t digest[32];
    EVP_Digest(der, size, digest, NULL, EVP_sha256(), NULL);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

static int add_extension(SSL *session, unsigned type, unsigned context, const unsigned char **bytes, size_t *size,
                         X509 *certificate, size_t chain_index, int *alert, void *argument) {
    const struct tls_client *tls_client = SSL_get_app_data(session);
    (void)context, (void)certificate, (void)chain_index, (void)alert, (void)argument;
    *bytes = tls_client->extension_bytes;
    *size = tls_client->extension_size;
    return tls_client->extension == type;
}

/* Extensions that wolfSSL may know and OpenSSL does not handle. */
static const uint16_t extensions[] = {3, 4, 17, 28, 34, 54, 0xfe0d, 0x1234};

/* Joins the public half of one key with the private half of another, so that OpenSSL accepts it for the certificate. */
static EVP_PKEY *make_wrong_key(EVP_PKEY *public) {
    EVP_PKEY *other = EVP_EC_gen("P-256"), *wrong = NULL;
    BIGNUM *secret = NULL;
    unsigned char point[128];
    size_t size = 0;
    HOLDS(EVP_PKEY_get_bn_param(other, "priv", &secret) == 1);
    HOLDS(EVP_PKEY_get_octet_string_param(public, "encoded-pub-key", point, sizeof point, &size) == 1 ||
          EVP_PKEY_get_octet_string_param(public, "pub", point, sizeof point, &size) == 1);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_utf8_string(builder, "group", "prime256v1", 0);
    OSSL_PARAM_BLD_push_octet_string(builder, "pub", point, size);
    OSSL_PARAM_BLD_push_BN(builder, "priv", secret);
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    HOLDS(EVP_PKEY_fromdata_init(context) == 1);
    HOLDS(EVP_PKEY_fromdata(context, &wrong, EVP_PKEY_KEYPAIR, parameters) == 1);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    BN_free(secret);
    EVP_PKEY_free(other);
    return wrong;
}

static void tls_clients_open(void) {
    kinds[0].key = EVP_EC_gen("P-256");
    kinds[1].key = EVP_RSA_gen(2048);
    kinds[2].key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    for (size_t i = 0; i < KINDS; i++) {
        X509 *certificate = make_certificate(kinds[i].key, "ada.test", i == 2 ? NULL : EVP_sha256());
        kinds[i].der_size = i2d_X509(certificate, &kinds[i].der);
        HOLDS(kinds[i].der_size > 0);
        X509_free(certificate);
    }
    wrong_key = make_wrong_key(kinds[0].key);
    tls_clients = SSL_CTX_new(TLS_client_method());
    HOLDS(tls_clients != NULL);
    SSL_CTX_set_security_level(tls_clients, 0);
    SSL_CTX_set_verify(tls_clients, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(tls_clients, SSL_SESS_CACHE_OFF);
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        HOLDS(SSL_CTX_add_custom_ext(tls_clients, extensions[i],
                                     SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_CERTIFICATE | SSL_EXT_TLS1_2_SERVER_HELLO,
                                     add_extension, NULL, NULL, NULL, NULL) == 1);
}

static void tls_clients_close(void) {
    SSL_CTX_free(tls_clients);
    EVP_PKEY_free(wrong_key);
    for (size_t i = 0; i < KINDS; i++) {
        EVP_PKEY_free(kinds[i].key);
        OPENSSL_free(kinds[i].der);
    }
}

/* Makes an authority with a unique name. Its signature need not be valid, because nobody verifies it. */
static X509 *make_authority(void) {
    static unsigned number;
    char name[32];
    snprintf(name, sizeof name, "authority%u.test", number++);
    X509 *authority = make_certificate(kinds[0].key, name, EVP_sha256());
    X509_EXTENSION *basic = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    /* wolfSSL would recognize it by this identifier. */
    snprintf(name, sizeof name, "%08X", number);
    X509_EXTENSION *key = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_key_identifier, name);
    HOLDS(basic && key && X509_add_ext(authority, basic, -1) == 1 && X509_add_ext(authority, key, -1) == 1);
    X509_EXTENSION_free(basic);
    X509_EXTENSION_free(key);
    HOLDS(X509_sign(authority, kinds[0].key, EVP_sha256()) > 0);
    return authority;
}

/* Shows a certificate with a changed byte if OpenSSL can still read it; otherwise shows none. */
static void tls_client_show_certificate(struct tls_client *tls_client) {
    int der_size = kinds[tls_client->kind].der_size;
    uint8_t *der = fuzz_copy(kinds[tls_client->kind].der, (size_t)der_size), *again = NULL;
    der[tls_client->changed_at % (size_t)der_size] ^= tls_client->changed_by;
    const uint8_t *at = der;
    X509 *certificate = d2i_X509(NULL, &at, der_size);
    EVP_PKEY *key = tls_client->is_liar ? wrong_key : kinds[tls_client->kind].key;
    tls_client->has_certificate = certificate && SSL_use_certificate(tls_client->session, certificate) == 1 &&
                                  SSL_use_PrivateKey(tls_client->session, key) == 1;
    tls_client->is_liar &= tls_client->has_certificate;
    if (tls_client->has_certificate) {
        if (tls_client->has_chain)
            HOLDS(SSL_add0_chain_cert(tls_client->session, make_authority()) == 1);
        int size = i2d_X509(certificate, &again);
        bool key_fits;
        tls_client->client.has_certificate = true;
        tls_client->client.certificate_state = certificate_judge(again, (size_t)size, time(NULL), &key_fits);
        describe_fingerprint(tls_client->client.fingerprint, again, (size_t)size);
    } else {
        SSL_certs_clear(tls_client->session);
    }
    OPENSSL_free(again);
    X509_free(certificate);
    free(der);
}

/* OpenSSL calls this for each message; see SSL_set_msg_callback(3). */
static void count_keys(int is_sent, int version, int type, const void *bytes, size_t size, SSL *session, void *client) {
    struct tls_client *tls_client = client;
    (void)version, (void)session;
    if (!is_sent && type == SSL3_RT_HANDSHAKE && size > 0 && *(const uint8_t *)bytes == SSL3_MT_KEY_UPDATE)
        tls_client->new_keys++;
}

static void tls_client_begin(struct tls_client *tls_client) {
    tls_client->session = SSL_new(tls_clients);
    tls_client->incoming = BIO_new(BIO_s_mem());
    tls_client->outgoing = BIO_new(BIO_s_mem());
    HOLDS(tls_client->session && tls_client->incoming && tls_client->outgoing);
    BIO_set_mem_eof_return(tls_client->incoming, -1);
    SSL_set_bio(tls_client->session, tls_client->incoming, tls_client->outgoing);
    SSL_set_app_data(tls_client->session, tls_client);
    SSL_set_msg_callback(tls_client->session, count_keys);
    SSL_set_msg_callback_arg(tls_client->session, tls_client);
    SSL_set_connect_state(tls_client->session);
    if (tls_client->version) {
        SSL_set_min_proto_version(tls_client->session, tls_client->version);
        SSL_set_max_proto_version(tls_client->session, tls_client->version);
    }
    HOLDS(SSL_set1_groups_list(tls_client->session, tls_client->groups) == 1);
    if (tls_client->name[0])
        SSL_set_tlsext_host_name(tls_client->session, tls_client->name);
    if (tls_client->chacha) {
        SSL_set_ciphersuites(tls_client->session, "TLS_CHACHA20_POLY1305_SHA256");
        SSL_set_cipher_list(tls_client->session, "CHACHA20");
    }
    if (tls_client->changes_early)
        SSL_clear_options(tls_client->session, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
    if (tls_client->small)
        SSL_set_max_send_fragment(tls_client->session, 512);
    if (tls_client->fragment > 0)
        SSL_set_tlsext_max_fragment_length(tls_client->session, (uint8_t)(1 + tls_client->fragment % 4));
    if (tls_client->has_certificate)
        tls_client_show_certificate(tls_client);
}

static void tls_client_end(struct tls_client *tls_client) {
    SSL_free(tls_client->session);
    tls_client->session = NULL;
}

/* Has the client finished its part of the handshake? */
static bool tls_client_has_shaken(const struct tls_client *tls_client) {
    uint8_t digest[64];
    return tls_client->session && SSL_get_finished(tls_client->session, digest, sizeof digest) > 0;
}

/* Moves what it wants to send onto the wire, as far as there is space. Returns whether anything moved. */
static bool tls_client_speak(struct tls_client *tls_client) {
    int got = BIO_read(tls_client->outgoing, tls_client->wire + tls_client->wire_size,
                       (int)(WIRE_MAX - tls_client->wire_size));
    if (got > 0)
        tls_client->wire_size += (size_t)got;
    return got > 0;
}

/*
 * libssl calls this for each record. It can change a byte before encryption, so that the server decrypts the changed
 * byte; or the type, which is the last byte in TLS 1.3 (RFC 8446, section 5.2).
 */
static struct {
    bool changes_byte, changes_type;
    uint16_t at;
    uint8_t by, type;
} disguise;

int EVP_CipherUpdate(EVP_CIPHER_CTX *context, unsigned char *output, int *output_size, const unsigned char *bytes,
                     int size) {
    static int (*original)(EVP_CIPHER_CTX *, unsigned char *, int *, const unsigned char *, int);
    static unsigned char changed[32768];
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "EVP_CipherUpdate");
    bool wanted = disguise.changes_byte || disguise.changes_type;
    if (!wanted || !output || size < 1 || size > (int)sizeof changed || !EVP_CIPHER_CTX_is_encrypting(context))
        return original(context, output, output_size, bytes, size);
    memcpy(changed, bytes, (size_t)size);
    if (disguise.changes_byte)
        changed[disguise.at % size] ^= disguise.by;
    if (disguise.changes_type)
        changed[size - 1] = disguise.type;
    disguise.changes_byte = disguise.changes_type = false;
    return original(context, output, output_size, changed, size);
}

/* Sends these bytes in a record of another type. */
static void tls_client_say_disguised(struct tls_client *tls_client, uint8_t type, const void *bytes, size_t size) {
    if (!tls_client->finished || tls_client->failed || size == 0)
        return;
    disguise.changes_type = SSL_version(tls_client->session) == TLS1_3_VERSION;
    disguise.type = type;
    SSL_write(tls_client->session, bytes, (int)size);
    ERR_clear_error();
    disguise.changes_type = false;
}

static void tls_client_note(struct tls_client *tls_client, int result) {
    int error = SSL_get_error(tls_client->session, result);
    if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL)
        tls_client->failed = true;
}

/* Reads what it received and responds. Returns whether it did anything. */
static bool tls_client_act(struct tls_client *tls_client) {
    bool heard = BIO_pending(tls_client->incoming) > 0 && !tls_client->failed;
    ERR_clear_error();
    if (!tls_client->finished && !tls_client->failed) {
        int result = SSL_do_handshake(tls_client->session);
        tls_client->finished = result == 1;
        if (result != 1)
            tls_client_note(tls_client, result);
    }
    if (tls_client->finished && !tls_client->failed && tls_client->told < tls_client->said_size) {
        int size = (int)(tls_client->said_size - tls_client->told);
        int result = SSL_write(tls_client->session, tls_client->said + tls_client->told, size);
        ERR_clear_error();
        if (result > 0)
            tls_client->told += (size_t)result;
        else
            tls_client->said_size = tls_client->told; /* it has sent close_notify, or cannot continue */
    }
    while (tls_client->finished && !tls_client->failed && tls_client->heard_size < HEARD_MAX) {
        int result = SSL_read(tls_client->session, tls_client->heard + tls_client->heard_size,
                              (int)(HEARD_MAX - tls_client->heard_size));
        if (result <= 0) {
            tls_client_note(tls_client, result);
            break;
        }
        tls_client->heard_size += (size_t)result;
    }
    tls_client->shutdown_grace = (SSL_get_shutdown(tls_client->session) & SSL_RECEIVED_SHUTDOWN) && !tls_client->failed;
    return tls_client_speak(tls_client) || heard;
}

/* ---- changes on the wire ---- */

/* Returns the size of the record at `at`, as far as it is present. */
static size_t record_size(const struct tls_client *tls_client, size_t at) {
    size_t left = tls_client->wire_size - at;
    if (left < 5)
        return left;
    size_t size = 5 + ((size_t)tls_client->wire[at + 3] << 8 | tls_client->wire[at + 4]);
    return size < left ? size : left;
}

static void wire_cut(struct tls_client *tls_client, size_t at, size_t size) {
    memmove(tls_client->wire + at, tls_client->wire + at + size, tls_client->wire_size - at - size);
    tls_client->wire_size -= size;
}

static void wire_insert(struct tls_client *tls_client, size_t at, const void *bytes, size_t size) {
    if (size == 0 || WIRE_MAX - tls_client->wire_size < size)
        return;
    memmove(tls_client->wire + at + size, tls_client->wire + at, tls_client->wire_size - at);
    memcpy(tls_client->wire + at, bytes, size);
    tls_client->wire_size += size;
}

/* Swaps the first two records. */
static void wire_swap(struct tls_client *tls_client) {
    size_t size = record_size(tls_client, 0);
    uint8_t *first = fuzz_copy(tls_client->wire, size);
    wire_cut(tls_client, 0, size);
    wire_insert(tls_client, record_size(tls_client, 0), first, size);
    free(first);
}

static void wire_repeat(struct tls_client *tls_client) {
    size_t size = record_size(tls_client, 0);
    uint8_t *first = fuzz_copy(tls_client->wire, size);
    wire_insert(tls_client, size, first, size);
    free(first);
}
