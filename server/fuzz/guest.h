/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A visitor for fuzz targets: OpenSSL's client over memory. What it says lies on a wire, where it can be changed before
 * it goes on; what the server says it hears as it is.
 */

#include "house.h"

#include <dlfcn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/ssl.h>
#include <time.h>

#include "content/visitor.h"

#define WIRE_MAX 65536
#define HEARD_MAX (LARGE + 4096)
#define SAID_MAX 4096
#define EXTENSION_MAX 256

struct guest {
    /* Chosen before it begins to speak. */
    int version;                   /* TLS1_2_VERSION, TLS1_3_VERSION; 0: what both can */
    char groups[32], name[32];     /* name "": none is told */
    bool has_certificate, is_liar; /* is_liar: it has not the certificate's key */
    bool has_chain;                /* an authority stands behind the certificate */
    unsigned kind;                 /* of the certificate, below KINDS */
    bool chacha, small;            /* small: its handshake messages come in several records */
    bool changes_early;            /* its change_cipher_spec comes behind its first words, not later */
    unsigned fragment;             /* RFC 6066 section 4, 0: not asked for */
    uint16_t changed_at;           /* a byte of its certificate */
    uint8_t changed_by;
    uint16_t extension; /* one that OpenSSL does not know, with these bytes; 0: none */
    size_t extension_size;
    uint8_t extension_bytes[EXTENSION_MAX];

    SSL *session;
    BIO *incoming, *outgoing; /* owned by the session */
    bool finished;            /* its handshake is over */
    bool failed;
    bool goodbye;           /* it heard close_notify */
    struct visitor visitor; /* who it is to the server */
    uint8_t *wire;          /* WIRE_MAX bytes */
    size_t wire_size;
    char *said; /* SAID_MAX bytes of application data; the first `told` have become records */
    size_t said_size, told;
    char *heard; /* HEARD_MAX bytes */
    size_t heard_size;
};

#define KINDS 3

static SSL_CTX *guests;
static EVP_PKEY *wrong_key; /* with the public half of the first kind */
static struct {
    EVP_PKEY *key;
    uint8_t *der; /* the certificate */
    int der_size;
} kinds[KINDS];

static void describe_fingerprint(char text[static VISITOR_FINGERPRINT + 1], const uint8_t *der, size_t size) {
    uint8_t digest[32];
    EVP_Digest(der, size, digest, NULL, EVP_sha256(), NULL);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

static int add_extension(SSL *session, unsigned type, unsigned context, const unsigned char **bytes, size_t *size,
                         X509 *certificate, size_t chain_index, int *alert, void *argument) {
    const struct guest *guest = SSL_get_app_data(session);
    (void)context, (void)certificate, (void)chain_index, (void)alert, (void)argument;
    *bytes = guest->extension_bytes;
    *size = guest->extension_size;
    return guest->extension == type;
}

/* Extensions that wolfSSL may know and OpenSSL leaves alone. */
static const uint16_t extensions[] = {3, 4, 17, 28, 34, 54, 0xfe0d, 0x1234};

/* The public half of one key with the private half of another: OpenSSL takes it for the key of the certificate. */
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

static void guests_open(void) {
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
    guests = SSL_CTX_new(TLS_client_method());
    HOLDS(guests != NULL);
    SSL_CTX_set_security_level(guests, 0);
    SSL_CTX_set_verify(guests, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(guests, SSL_SESS_CACHE_OFF);
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        HOLDS(SSL_CTX_add_custom_ext(guests, extensions[i],
                                     SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_CERTIFICATE | SSL_EXT_TLS1_2_SERVER_HELLO,
                                     add_extension, NULL, NULL, NULL, NULL) == 1);
}

static void guests_close(void) {
    SSL_CTX_free(guests);
    EVP_PKEY_free(wrong_key);
    for (size_t i = 0; i < KINDS; i++) {
        EVP_PKEY_free(kinds[i].key);
        OPENSSL_free(kinds[i].der);
    }
}

/* An authority with a name that no other one has. Its signature is as good as any: nobody is to look at it. */
static X509 *make_authority(void) {
    static unsigned number;
    char name[32];
    snprintf(name, sizeof name, "authority%u.test", number++);
    X509 *authority = make_certificate(kinds[0].key, name, EVP_sha256());
    X509_EXTENSION *basic = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    /* By this wolfSSL would know it again. */
    snprintf(name, sizeof name, "%08X", number);
    X509_EXTENSION *key = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_key_identifier, name);
    HOLDS(basic && key && X509_add_ext(authority, basic, -1) == 1 && X509_add_ext(authority, key, -1) == 1);
    X509_EXTENSION_free(basic);
    X509_EXTENSION_free(key);
    HOLDS(X509_sign(authority, kinds[0].key, EVP_sha256()) > 0);
    return authority;
}

/* A certificate with a byte changed is shown as it is where OpenSSL itself can read it, else none. */
static void guest_show_certificate(struct guest *guest) {
    int der_size = kinds[guest->kind].der_size;
    uint8_t *der = fuzz_copy(kinds[guest->kind].der, (size_t)der_size), *again = NULL;
    der[guest->changed_at % (size_t)der_size] ^= guest->changed_by;
    const uint8_t *at = der;
    X509 *certificate = d2i_X509(NULL, &at, der_size);
    EVP_PKEY *key = guest->is_liar ? wrong_key : kinds[guest->kind].key;
    guest->has_certificate = certificate && SSL_use_certificate(guest->session, certificate) == 1 &&
                             SSL_use_PrivateKey(guest->session, key) == 1;
    guest->is_liar &= guest->has_certificate;
    if (guest->has_certificate) {
        if (guest->has_chain)
            HOLDS(SSL_add0_chain_cert(guest->session, make_authority()) == 1);
        int size = i2d_X509(certificate, &again);
        bool key_fits;
        guest->visitor.has_certificate = true;
        guest->visitor.certificate_state = certificate_judge(again, (size_t)size, time(NULL), &key_fits);
        describe_fingerprint(guest->visitor.fingerprint, again, (size_t)size);
    } else {
        SSL_certs_clear(guest->session);
    }
    OPENSSL_free(again);
    X509_free(certificate);
    free(der);
}

static void guest_begin(struct guest *guest) {
    guest->session = SSL_new(guests);
    guest->incoming = BIO_new(BIO_s_mem());
    guest->outgoing = BIO_new(BIO_s_mem());
    HOLDS(guest->session && guest->incoming && guest->outgoing);
    BIO_set_mem_eof_return(guest->incoming, -1);
    SSL_set_bio(guest->session, guest->incoming, guest->outgoing);
    SSL_set_app_data(guest->session, guest);
    SSL_set_connect_state(guest->session);
    if (guest->version) {
        SSL_set_min_proto_version(guest->session, guest->version);
        SSL_set_max_proto_version(guest->session, guest->version);
    }
    HOLDS(SSL_set1_groups_list(guest->session, guest->groups) == 1);
    if (guest->name[0])
        SSL_set_tlsext_host_name(guest->session, guest->name);
    if (guest->chacha) {
        SSL_set_ciphersuites(guest->session, "TLS_CHACHA20_POLY1305_SHA256");
        SSL_set_cipher_list(guest->session, "CHACHA20");
    }
    if (guest->changes_early)
        SSL_clear_options(guest->session, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
    if (guest->small)
        SSL_set_max_send_fragment(guest->session, 512);
    if (guest->fragment > 0)
        SSL_set_tlsext_max_fragment_length(guest->session, (uint8_t)(1 + guest->fragment % 4));
    if (guest->has_certificate)
        guest_show_certificate(guest);
}

static void guest_end(struct guest *guest) {
    SSL_free(guest->session);
    guest->session = NULL;
}

/* Has it, for its part, done all of the handshake? */
static bool guest_has_shaken(const struct guest *guest) {
    uint8_t digest[64];
    return guest->session && SSL_get_finished(guest->session, digest, sizeof digest) > 0;
}

/* What it has to say goes onto the wire, as far as there is room. Returns whether there was any. */
static bool guest_speak(struct guest *guest) {
    int got = BIO_read(guest->outgoing, guest->wire + guest->wire_size, (int)(WIRE_MAX - guest->wire_size));
    if (got > 0)
        guest->wire_size += (size_t)got;
    return got > 0;
}

/*
 * What libssl calls for each record. Before a record is encrypted a byte of it may be changed, so that the server gets past
 * the encryption with it; or its type, which is the last byte in TLS 1.3 (RFC 8446 section 5.2).
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

/* Says these bytes in a record of another type. */
static void guest_say_disguised(struct guest *guest, uint8_t type, const void *bytes, size_t size) {
    if (!guest->finished || guest->failed || size == 0)
        return;
    disguise.changes_type = SSL_version(guest->session) == TLS1_3_VERSION;
    disguise.type = type;
    SSL_write(guest->session, bytes, (int)size);
    ERR_clear_error();
    disguise.changes_type = false;
}

static void guest_note(struct guest *guest, int result) {
    int error = SSL_get_error(guest->session, result);
    if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL)
        guest->failed = true;
}

/* Reads what it was sent and answers. Returns whether it did anything. */
static bool guest_act(struct guest *guest) {
    bool heard = BIO_pending(guest->incoming) > 0 && !guest->failed;
    ERR_clear_error();
    if (!guest->finished && !guest->failed) {
        int result = SSL_do_handshake(guest->session);
        guest->finished = result == 1;
        if (result != 1)
            guest_note(guest, result);
    }
    if (guest->finished && !guest->failed && guest->told < guest->said_size) {
        int size = (int)(guest->said_size - guest->told);
        int result = SSL_write(guest->session, guest->said + guest->told, size);
        ERR_clear_error();
        if (result > 0)
            guest->told += (size_t)result;
        else
            guest->said_size = guest->told; /* it has said goodbye, or lost its footing */
    }
    while (guest->finished && !guest->failed && guest->heard_size < HEARD_MAX) {
        int result = SSL_read(guest->session, guest->heard + guest->heard_size, (int)(HEARD_MAX - guest->heard_size));
        if (result <= 0) {
            guest_note(guest, result);
            break;
        }
        guest->heard_size += (size_t)result;
    }
    guest->goodbye = (SSL_get_shutdown(guest->session) & SSL_RECEIVED_SHUTDOWN) && !guest->failed;
    return guest_speak(guest) || heard;
}

/* ---- what becomes of it on the wire ---- */

/* The bytes of the record at `at`, as far as it is there. */
static size_t record_size(const struct guest *guest, size_t at) {
    size_t left = guest->wire_size - at;
    if (left < 5)
        return left;
    size_t size = 5 + ((size_t)guest->wire[at + 3] << 8 | guest->wire[at + 4]);
    return size < left ? size : left;
}

static void wire_cut(struct guest *guest, size_t at, size_t size) {
    memmove(guest->wire + at, guest->wire + at + size, guest->wire_size - at - size);
    guest->wire_size -= size;
}

static void wire_insert(struct guest *guest, size_t at, const void *bytes, size_t size) {
    if (size == 0 || WIRE_MAX - guest->wire_size < size)
        return;
    memmove(guest->wire + at + size, guest->wire + at, guest->wire_size - at);
    memcpy(guest->wire + at, bytes, size);
    guest->wire_size += size;
}

/* The first record comes after the second. */
static void wire_swap(struct guest *guest) {
    size_t size = record_size(guest, 0);
    uint8_t *first = fuzz_copy(guest->wire, size);
    wire_cut(guest, 0, size);
    wire_insert(guest, record_size(guest, 0), first, size);
    free(first);
}

static void wire_repeat(struct guest *guest) {
    size_t size = record_size(guest, 0);
    uint8_t *first = fuzz_copy(guest->wire, size);
    wire_insert(guest, size, first, size);
    free(first);
}
