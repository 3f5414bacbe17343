/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Client certificates: each is checked by itself, leaves nothing in memory, and costs little. A client that is refused
 * gets an alert (RFC 8446 section 6.2, RFC 5246 section 7.2.2).
 */

#include <criterion/criterion.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/attack.h"
#include "lib/server.h"

#define CLUB "gemini://localhost:PORT/club/"
#define START "gemini://localhost:PORT/"
#define CHAIN 4        /* authorities behind a certificate: 2 kB with keys on P-256 */
#define VISITS 1000    /* with a new chain each, which would use 1.2 kB if the server kept it */
#define GROWTH_MAX 256 /* kB by which the memory of all workers may grow during these visits */
#define MESSAGE_MAX 8192
#define HELD 150  /* connections that stop in the middle of a message */
#define HONEST 40 /* visits during an attack */

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static struct server server;

static void begin(void) {
    server_prepare(&server);
    server_put_text(&server, "localhost/club/index.gmi", "# Club\n");
    server_put_text(&server, "localhost/club/.access", "# nobody yet\n");
}

static void end(void) {
    server_end(&server);
}

TestSuite(client_certificates, .init = begin, .fini = end, .timeout = 180);

/* ---- certificates ---- */

/* Signed with `signer`, whose signature the server never checks. `key` may be only the public half. */
static X509 *certificate_of(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *signer, bool authority) {
    X509 *made = X509_new();
    X509_NAME *subject = X509_get_subject_name(made);
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    constraints->ca = authority ? 0xff : 0;
    cr_assert(X509_set_version(made, X509_VERSION_3) == 1 &&
              ASN1_INTEGER_set(X509_get_serialNumber(made), 1 + rand() % 1000000) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(made), -86400) && X509_gmtime_adj(X509_getm_notAfter(made), 8640000));
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(made, issuer ? X509_get_subject_name(issuer) : subject);
    X509_set_pubkey(made, key);
    X509_add1_ext_i2d(made, NID_basic_constraints, constraints, 1, 0);
    BASIC_CONSTRAINTS_free(constraints);
    const EVP_MD *digest = EVP_PKEY_is_a(signer, "ED25519") ? NULL : EVP_sha256();
    cr_assert_gt(X509_sign(made, signer, digest), 0);
    return made;
}

struct identity {
    char file[160];
    EVP_PKEY *key;
    X509 *own;
};

/* Writes the certificate, the chain and the key to the file that the client uses. */
static void identity_write(struct identity *identity, X509 *const *chain, size_t count) {
    static int number;
    snprintf(identity->file, sizeof identity->file, "%s/identity-%d.pem", server.folder, number++);
    FILE *file = fopen(identity->file, "w");
    cr_assert_not_null(file);
    PEM_write_X509(file, identity->own);
    for (size_t i = 0; i < count; i++)
        PEM_write_X509(file, chain[i]);
    PEM_write_PrivateKey(file, identity->key, NULL, NULL, 0, NULL, NULL);
    cr_assert_eq(fclose(file), 0);
}

static struct identity identity_made(const char *name, EVP_PKEY *key, bool authority) {
    struct identity identity = {.key = key};
    identity.own = certificate_of(name, key, NULL, key, authority);
    identity_write(&identity, NULL, 0);
    return identity;
}

/* Makes an authority with a unique name. */
static X509 *authority_made(EVP_PKEY *key, X509 *issuer) {
    char name[64];
    snprintf(name, sizeof name, "Authority %08x%08x", (unsigned)rand(), (unsigned)rand());
    X509 *made = certificate_of(name, key, issuer, key, true);
    /* wolfSSL would recognize the authority by this identifier. */
    ASN1_OCTET_STRING *identifier = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(identifier, (const unsigned char *)name, (int)strlen(name));
    cr_assert_eq(X509_add1_ext_i2d(made, NID_subject_key_identifier, identifier, 0, 0), 1);
    ASN1_OCTET_STRING_free(identifier);
    cr_assert_gt(X509_sign(made, key, EVP_sha256()), 0);
    return made;
}

static void admit(const struct identity *const *members, size_t count) {
    char list[2048] = "";
    for (size_t i = 0; i < count; i++) {
        unsigned char digest[32];
        unsigned size = sizeof digest;
        cr_assert_eq(X509_digest(members[i]->own, EVP_sha256(), digest, &size), 1);
        for (size_t k = 0; k < size; k++)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%02x", digest[k]);
        snprintf(list + strlen(list), sizeof list - strlen(list), " Member %zu\n", i);
    }
    server_put_text(&server, "localhost/club/.access", list);
}

static int ask_as(const struct identity *identity, const char *request, int version) {
    struct gemini_way way = way_to(&server);
    way.identity = identity->file;
    way.oldest_version = way.newest_version = version;
    return ask_by(&way, request)->status;
}

/* ---- access with a certificate ---- */

Test(client_certificates, a_member_with_a_chain_is_let_in_at_every_visit) {
    EVP_PKEY *club = EVP_EC_gen("P-256");
    X509 *authority = authority_made(club, NULL);
    struct identity ada = {.key = EVP_EC_gen("P-256")}, bob = {.key = EVP_EC_gen("P-256")};
    const struct identity *members[] = {&ada, &bob};
    ada.own = certificate_of("Ada", ada.key, authority, club, false);
    bob.own = certificate_of("Bob", bob.key, authority, club, false);
    identity_write(&ada, &authority, 1);
    identity_write(&bob, NULL, 0);
    admit(members, 2);
    server_start(&server);
    /*
     * There are more visits than workers, so that each worker has seen the authority before it sees the member again.
     */
    for (int visit = 0; visit < 10; visit++) {
        for (size_t v = 0; v < 2; v++) {
            cr_expect_eq(ask_as(&ada, CLUB, versions[v]), 20, "with a chain, visit %d", visit);
            cr_expect_eq(ask_as(&bob, CLUB, versions[v]), 20, "of the same authority, visit %d", visit);
        }
    }
}

Test(client_certificates, a_stranger_who_shows_a_members_certificate_changes_nothing) {
    struct identity ada = identity_made("Ada", EVP_EC_gen("P-256"), true);
    struct identity stranger = identity_made("Stranger", EVP_EC_gen("P-256"), true);
    const struct identity *members[] = {&ada};
    admit(members, 1);
    server_start(&server);
    identity_write(&stranger, &ada.own, 1);
    for (size_t v = 0; v < 2; v++) {
        cr_expect_eq(ask_as(&ada, CLUB, versions[v]), 20);
        for (int visit = 0; visit < 10; visit++) {
            cr_expect_eq(ask_as(&stranger, START, versions[v]), 20);
            cr_expect_eq(ask_as(&stranger, CLUB, versions[v]), 61, "let in by what stands behind the certificate");
        }
        for (int visit = 0; visit < 10; visit++)
            cr_expect_eq(ask_as(&ada, CLUB, versions[v]), 20, "the member was locked out, visit %d", visit);
    }
}

Test(client_certificates, each_kind_that_vitrine_8_names_is_taken) {
    static const struct {
        const char *name, *type, *argument;
        bool not_in_1_3;
    } kinds[] = {{"P-256", "EC", "P-256", false},
                 {"Ed25519", "ED25519", NULL, false},
                 {"RSA 2048", "RSA", "2048", false},
                 {"RSA 3072", "RSA", "3072", false},
                 {"RSA 4096", "RSA", "4096", false},
                 {"RSA-PSS", "RSA-PSS", "2048", false},
                 {"RSA with exponent 3", "RSA3", "2048", false}};
    server_start(&server);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        EVP_PKEY *key = NULL;
        if (strcmp(kinds[i].type, "EC") == 0) {
            key = EVP_EC_gen(kinds[i].argument);
        } else {
            EVP_PKEY_CTX *maker =
                EVP_PKEY_CTX_new_from_name(NULL, strcmp(kinds[i].type, "RSA3") == 0 ? "RSA" : kinds[i].type, NULL);
            cr_assert_eq(EVP_PKEY_keygen_init(maker), 1);
            if (kinds[i].argument)
                cr_assert_eq(EVP_PKEY_CTX_ctrl_str(maker, "rsa_keygen_bits", kinds[i].argument), 1);
            if (strcmp(kinds[i].type, "RSA3") == 0)
                cr_assert_eq(EVP_PKEY_CTX_ctrl_str(maker, "rsa_keygen_pubexp", "3"), 1);
            cr_assert_eq(EVP_PKEY_generate(maker, &key), 1);
            EVP_PKEY_CTX_free(maker);
        }
        struct identity who = identity_made(kinds[i].name, key, false);
        for (size_t v = 0; v < 2; v++)
            cr_expect_eq(ask_as(&who, CLUB, versions[v]), 61, "%s in TLS 1.%zu", kinds[i].name, v + 2);
    }
}

Test(client_certificates, tls_1_3_does_not_ask_for_curves_that_are_refused) {
    static const char *const curves[] = {"P-384", "P-521"};
    server_start(&server);
    for (size_t i = 0; i < 2; i++) {
        struct identity who = identity_made("Visitor", EVP_EC_gen(curves[i]), false);
        cr_expect_eq(ask_as(&who, START, TLS1_3_VERSION), 20, "%s: turned away from a public page", curves[i]);
        cr_expect_eq(ask_as(&who, CLUB, TLS1_3_VERSION), 60, "%s: was shown", curves[i]);
    }
}

/* ---- memory ---- */

/* Returns the private memory of all workers, in kB. */
static size_t memory_of_workers(void) {
    pid_t workers[WORKERS_MAX];
    size_t count = server_workers(&server, workers), sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += process_private_memory(workers[i]);
    return sum;
}

Test(client_certificates, nothing_grows_with_visits) {
    EVP_PKEY *club = EVP_EC_gen("P-256");
    struct identity ada = identity_made("Ada", EVP_EC_gen("P-256"), false);
    size_t before = 0;
    server_start(&server);
    for (int visit = -50; visit < VISITS; visit++) {
        X509 *chain[CHAIN];
        for (size_t i = 0; i < CHAIN; i++)
            chain[i] = authority_made(club, NULL);
        identity_write(&ada, chain, CHAIN);
        cr_expect_eq(ask_as(&ada, START, versions[visit & 1]), 20);
        for (size_t i = 0; i < CHAIN; i++)
            X509_free(chain[i]);
        unlink(ada.file);
        if (visit == 0)
            before = memory_of_workers();
    }
    size_t after = memory_of_workers();
    cr_log_info("%zu kB before, %zu kB after %d visits with a chain", before, after, VISITS);
    cr_expect_leq(after, before + GROWTH_MAX, "%zu kB became %zu kB", before, after);
}

/* ---- handmade messages: in TLS 1.2, they are not encrypted, and the client has not proved anything yet ---- */

struct bytes {
    uint8_t data[65536];
    size_t size;
};

static void put(struct bytes *to, const void *data, size_t size) {
    cr_assert_leq(size, sizeof to->data - to->size);
    memcpy(to->data + to->size, data, size);
    to->size += size;
}

static void put_number(struct bytes *to, size_t number, size_t size) {
    for (size_t i = size; i-- > 0;)
        put(to, &(uint8_t){(uint8_t)(number >> 8 * i)}, 1);
}

static void put_record(struct bytes *to, const void *data, size_t size) {
    put(to, "\x16\x03\x03", 3);
    put_number(to, size, 2);
    put(to, data, size);
}

/* Adds a ClientHello made by OpenSSL, in its record. */
static void put_hello(struct bytes *to, int version, const char *groups) {
    uint8_t record[8192];
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *session = SSL_new(context);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(session, BIO_new(BIO_s_mem()), out);
    SSL_set_connect_state(session);
    cr_assert(SSL_set_min_proto_version(session, version) == 1 && SSL_set_max_proto_version(session, version) == 1 &&
              SSL_set1_groups_list(session, groups) == 1 && SSL_set_tlsext_host_name(session, "localhost") == 1);
    SSL_do_handshake(session);
    int size = BIO_read(out, record, sizeof record);
    cr_assert_gt(size, 0);
    put(to, record, (size_t)size);
    SSL_free(session);
    SSL_CTX_free(context);
}

/* Adds a Certificate message (RFC 5246 section 7.4.2) with one certificate, in records of at most 8,000 bytes. */
static void put_certificate(struct bytes *to, X509 *certificate) {
    static struct bytes message;
    unsigned char *der = NULL;
    int size = i2d_X509(certificate, &der);
    cr_assert_gt(size, 0);
    message.size = 0;
    put_number(&message, 11, 1);
    put_number(&message, (size_t)size + 6, 3);
    put_number(&message, (size_t)size + 3, 3);
    put_number(&message, (size_t)size, 3);
    put(&message, der, (size_t)size);
    OPENSSL_free(der);
    for (size_t at = 0; at < message.size; at += 8000)
        put_record(to, message.data + at, message.size - at < 8000 ? message.size - at : 8000);
}

/* Adds a ClientKeyExchange with an X25519 point, and a CertificateVerify of `size` arbitrary bytes. */
static void put_the_rest(struct bytes *to, unsigned scheme, size_t size) {
    static struct bytes message;
    uint8_t noise[1024];
    message.size = 0;
    put(&message, "\x10\x00\x00\x21\x20\x09", 6);
    put(&message, (uint8_t[31]){0}, 31);
    put_record(to, message.data, message.size);
    RAND_bytes(noise, sizeof noise);
    noise[0] = 0; /* below any modulus */
    message.size = 0;
    put_number(&message, 15, 1);
    put_number(&message, size + 4, 3);
    put_number(&message, scheme, 2);
    put_number(&message, size, 2);
    put(&message, noise, size);
    put_record(to, message.data, message.size);
}

/* Sends bytes and waits for the end. Returns the unencrypted fatal alert that arrived, or -1. */
static int alert_for(const struct bytes *sent, struct bytes *answer) {
    struct gemini_way way = way_to(&server);
    static struct bytes received;
    struct gemini_client *client = gemini_connect(&way);
    int alert = -1;
    if (!answer)
        answer = &received;
    answer->size = 0;
    cr_assert_not_null(client);
    gemini_send_raw(client, sent->data, sent->size);
    for (;;) {
        struct pollfd watched = {.fd = client->socket, .events = POLLIN};
        if (poll(&watched, 1, 20000) <= 0)
            break;
        ssize_t got = recv(client->socket, answer->data + answer->size, sizeof answer->data - answer->size, 0);
        if (got <= 0)
            break;
        answer->size += (size_t)got;
    }
    for (size_t at = 0; at + 5 <= answer->size;) {
        const uint8_t *record = answer->data + at;
        size_t size = (size_t)record[3] << 8 | record[4];
        if (record[0] == 21 && size == 2 && at + 7 <= answer->size && record[5] == 2)
            alert = record[6];
        at += 5 + size;
    }
    gemini_end(client);
    return alert;
}

static EVP_PKEY *rsa_public(int bits, int exponent_bits) {
    BIGNUM *modulus = BN_new(), *exponent = BN_new();
    EVP_PKEY *key = NULL;
    cr_assert(BN_rand(modulus, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD) == 1 &&
              BN_rand(exponent, exponent_bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD) == 1);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent);
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    cr_assert(EVP_PKEY_fromdata_init(context) == 1 &&
              EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) == 1);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

/* Records a visit up to CertificateVerify, which anybody can replay. */
static void record_visit(struct bytes *to, EVP_PKEY *key, unsigned scheme, size_t signature) {
    EVP_PKEY *signer = EVP_EC_gen("P-256");
    X509 *certificate = certificate_of("Visitor", key, NULL, signer, false);
    to->size = 0;
    put_hello(to, TLS1_2_VERSION, "X25519");
    put_certificate(to, certificate);
    put_the_rest(to, scheme, signature);
    X509_free(certificate);
    EVP_PKEY_free(signer);
}

Test(client_certificates, keys_beyond_the_bounds_are_refused_before_anything_is_verified) {
    static struct bytes visit;
    server_start(&server);
    const struct {
        const char *name;
        EVP_PKEY *key;
        int alert;
    } cases[] = {{"exponent of 4,000 bits", rsa_public(4096, 4000), SSL_AD_UNSUPPORTED_CERTIFICATE},
                 {"exponent of 33 bits", rsa_public(2048, 33), SSL_AD_UNSUPPORTED_CERTIFICATE},
                 {"exponent of 32 bits", rsa_public(2048, 32), SSL_AD_DECRYPT_ERROR},
                 {"modulus of 4,097 bits", rsa_public(4097, 17), SSL_AD_UNSUPPORTED_CERTIFICATE},
                 {"modulus of 16,384 bits", rsa_public(16384, 17), SSL_AD_UNSUPPORTED_CERTIFICATE},
                 {"modulus of 4,096 bits", rsa_public(4096, 17), SSL_AD_DECRYPT_ERROR},
                 {"P-384", EVP_EC_gen("P-384"), SSL_AD_UNSUPPORTED_CERTIFICATE},
                 {"P-521", EVP_EC_gen("P-521"), SSL_AD_UNSUPPORTED_CERTIFICATE},
                 {"secp256k1", EVP_EC_gen("secp256k1"), SSL_AD_UNSUPPORTED_CERTIFICATE},
                 {"P-256", EVP_EC_gen("P-256"), SSL_AD_DECRYPT_ERROR},
                 {"Ed448", EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), SSL_AD_UNSUPPORTED_CERTIFICATE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool rsa = EVP_PKEY_is_a(cases[i].key, "RSA");
        record_visit(&visit, cases[i].key, rsa ? 0x0401 : 0x0403,
                     rsa ? (size_t)EVP_PKEY_get_size(cases[i].key) % 1024 : 72);
        cr_expect_eq(alert_for(&visit, NULL), cases[i].alert, "%s: alert %d", cases[i].name, alert_for(&visit, NULL));
        EVP_PKEY_free(cases[i].key);
    }
}

/* ---- effect on other clients ---- */

static uint64_t microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/*
 * Returns the mean time of an honest visit in microseconds; each must succeed. A mean also shows a few very slow
 * visits.
 */
static uint64_t usual_time(void) {
    uint64_t sum = 0;
    for (size_t i = 0; i < HONEST; i++) {
        uint64_t start = microseconds();
        expect_page(&server, START, "# Start\n");
        sum += microseconds() - start;
        usleep(20000);
    }
    return sum / HONEST;
}

Test(client_certificates, recorded_certificates_do_not_stop_the_others) {
    static struct bytes visit;
    struct attack_course *course;
    EVP_PKEY *key = rsa_public(4096, 4000);
    record_visit(&visit, key, 0x0401, 512);
    server_start(&server);
    uint64_t quiet = usual_time();
    size_t before = memory_of_workers();
    struct attack attack = {.port = server.port,
                            .request = "",
                            .crowd = 32,
                            .most = 1000000,
                            .duration = 60000,
                            .point = POINT_CONNECTED,
                            .deed = DEED_RECORDED,
                            .recorded = visit.data,
                            .recorded_size = visit.size};
    pid_t attackers = attack_begin(&attack, &course);
    usleep(500000);
    struct attack_effect effect = {.attack = "recorded certificates with dear keys", .quiet = quiet};
    uint64_t beside, end = gemini_now() + attack_seconds() * 1000;
    do {
        beside = usual_time();
        effect.visits += HONEST;
        effect.beside = beside > effect.beside ? beside : effect.beside;
    } while (gemini_now() < end);
    size_t sent = course->begun;
    attack_end(attackers, course);
    effect.whole_quiet = effect.quiet;
    effect.whole_beside = effect.beside;
    effect.memory_before = before;
    effect.memory_after = memory_of_workers();
    attack_tell(&effect);
    cr_log_info("%zu recorded visits; an honest one takes %.1f ms, alone %.1f ms", sent, (double)beside / 1000,
                (double)quiet / 1000);
    cr_expect_gt(sent, 50);
    cr_expect_leq(beside, 2 * quiet + 100000, "%.1f ms beside them, %.1f ms alone", (double)beside / 1000,
                  (double)quiet / 1000);
    EVP_PKEY_free(key);
}

/*
 * Returns the memory of each of the connections that sent these bytes and then stopped, in kB; 0 if they were closed.
 */
static size_t memory_of_held(const struct bytes *sent) {
    struct gemini_client *held[HELD];
    struct gemini_way way = way_to(&server);
    size_t before = memory_of_workers();
    for (size_t i = 0; i < HELD; i++) {
        held[i] = gemini_connect(&way);
        cr_assert(held[i]);
        gemini_send_raw(held[i], sent->data, sent->size);
    }
    usleep(1500000);
    size_t after = memory_of_workers();
    for (size_t i = 0; i < HELD; i++)
        gemini_end(held[i]);
    return after > before ? (after - before) / HELD : 0;
}

/* Records the start of a Certificate message of `whole` bytes, and a record of `cut` bytes without its last byte. */
static void record_half(struct bytes *to, size_t whole, size_t first, size_t cut) {
    static struct bytes message;
    static const uint8_t zeroes[16384];
    to->size = message.size = 0;
    put_hello(to, TLS1_2_VERSION, "X25519");
    put_number(&message, 11, 1);
    put_number(&message, whole, 3);
    put_number(&message, whole - 3, 3);
    put(&message, zeroes, first - message.size);
    put_record(to, message.data, message.size);
    put(to, "\x16\x03\x03", 3);
    put_number(to, cut, 2);
    put(to, zeroes, cut - 1);
}

Test(client_certificates, half_messages_stay_within_the_memory_that_is_promised) {
    static const size_t cases[][3] = {
        {18400, 16000, 16384}, {MESSAGE_MAX, 8000, 9216}, {MESSAGE_MAX, 100, 9216}, {MESSAGE_MAX + 1, 100, 100}};
    static struct bytes visit;
    server_start(&server);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        record_half(&visit, cases[i][0], cases[i][1], cases[i][2]);
        size_t each = memory_of_held(&visit);
        cr_log_info("a message of %zu bytes, %zu there, a record of %zu: %zu kB each", cases[i][0], cases[i][1],
                    cases[i][2], each);
        cr_expect_leq(each, promised("memory-message"), "case %zu: %zu kB for each", i, each);
    }
}

/* ---- alerts ---- */

Test(client_certificates, messages_that_are_too_long_are_answered) {
    static struct bytes visit;
    server_start(&server);
    record_half(&visit, MESSAGE_MAX + 1, 100, 100);
    int alert = alert_for(&visit, NULL);
    cr_expect_eq(alert, SSL_AD_ILLEGAL_PARAMETER, "a message: alert %d", alert);
    record_half(&visit, MESSAGE_MAX, 100, 16384);
    alert = alert_for(&visit, NULL);
    cr_expect_eq(alert, SSL_AD_RECORD_OVERFLOW, "a record: alert %d", alert);
}

Test(client_certificates, a_key_share_that_is_no_point_is_answered) {
    static const struct {
        const char *group;
        uint8_t head[4]; /* group and length in the key share extension */
        size_t size;
    } shares[] = {{"P-256", {0, 0x17, 0, 65}, 65}, {"X25519", {0, 0x1d, 0, 32}, 32}};
    static struct bytes visit;
    server_start(&server);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        visit.size = 0;
        put_hello(&visit, TLS1_3_VERSION, shares[i].group);
        uint8_t *share = memmem(visit.data, visit.size, shares[i].head, 4);
        cr_assert_not_null(share);
        memset(share + 5, 0, shares[i].size - 1);
        share[4] = shares[i].size == 65 ? 4 : 0;
        int alert = alert_for(&visit, NULL);
        cr_expect_eq(alert, SSL_AD_ILLEGAL_PARAMETER, "%s: alert %d", shares[i].group, alert);
    }
}

static bool is_retry(const struct bytes *answer) {
    static const uint8_t magic[] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c};
    return memmem(answer->data, answer->size, magic, sizeof magic) != NULL;
}

/*
 * The first ClientHello has no share for a supported group, so the server must send a HelloRetryRequest (RFC 8446
 * section 4.1.4).
 */
Test(client_certificates, a_second_hello_never_takes_the_place_of_a_retry) {
    static struct bytes first, both, answer;
    server_start(&server);
    first.size = both.size = 0;
    put_hello(&first, TLS1_3_VERSION, "P-384:X25519");
    put(&both, first.data, first.size);
    put_hello(&both, TLS1_3_VERSION, "X25519");
    both.data[first.size + 2] = 3; /* the record version of a second ClientHello */
    alert_for(&both, &answer);
    cr_expect(is_retry(&answer), "two records: no HelloRetryRequest came");
    /* The same in one record. */
    struct bytes *second = &answer;
    second->size = 0;
    put_hello(second, TLS1_3_VERSION, "X25519");
    size_t size = first.size - 5 + second->size - 5;
    both.size = 0;
    put(&both, "\x16\x03\x03", 3);
    put_number(&both, size, 2);
    put(&both, first.data + 5, first.size - 5);
    put(&both, second->data + 5, second->size - 5);
    int alert = alert_for(&both, &answer);
    cr_expect(is_retry(&answer) || alert == SSL_AD_UNEXPECTED_MESSAGE, "one record: alert %d, %zu bytes", alert,
              answer.size);
    expect_page(&server, START, "# Start\n");
}
