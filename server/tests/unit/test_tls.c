/* SPDX-License-Identifier: GPL-3.0-or-later */
/* TLS functions around the handshake; the handshake itself is tested with a running server. */
#include <criterion/criterion.h>

/* This file includes the source under test; renaming avoids conflicts with the linked copy. */
#define tls_take_memory test_tls_take_memory
#define tls_open test_tls_open
#define tls_close test_tls_close
#define tls_bars test_tls_bars
#define tls_session_begin test_tls_session_begin
#define tls_session_end test_tls_session_end
#define tls_session_sign test_tls_session_sign
#define tls_handshake test_tls_handshake
#define tls_read test_tls_read
#define tls_record_begin test_tls_record_begin
#define tls_record_end test_tls_record_end
#define tls_close_notify test_tls_close_notify
#define tls_client_of test_tls_client_of
#define tls_version test_tls_version
#define tls_library_version test_tls_library_version
#include "worker/tls.c"

#include <wolfssl/wolfcrypt/asn_public.h>

#include "common/random.h"
#include "keys/identity.h"

static struct tls_channel channel;
static struct signing_client signing_client;

TestSuite(tls, .init = tls_take_memory);

/* ---- signatures ---- */

static const uint8_t answer[] = {1, 2, 3, 4, 5, 6, 7, 8};

/* The signature must fit into wolfSSL's buffer, whatever the key process sends. */
Test(tls, a_signature_fits_or_is_refused) {
    for (word32 room = 0; room <= sizeof answer + 1; room++) {
        struct tls_session session = {.signature = answer, .signature_size = sizeof answer};
        uint8_t *signature = malloc(room + 1);
        word32 length = room;
        cr_assert_not_null(signature);
        memset(signature, 0xa5, room + 1);
        int result = sign(&session, KIND_ECDSA, signature, &length);
        cr_expect_eq(signature[room], 0xa5, "written behind the end");
        if (room < sizeof answer) {
            cr_expect_eq(result, WC_HW_E, "room for %u", room);
            cr_expect_eq(length, room);
        } else {
            cr_expect_eq(result, 0, "room for %u", room);
            cr_expect_eq(length, sizeof answer);
            cr_expect_arr_eq(signature, answer, sizeof answer);
            cr_expect_null(session.signature, "it is used once");
        }
        free(signature);
    }
}

Test(tls, a_signature_is_asked_for_once) {
    struct tls_session waiting = {.request.state = SIGNING_CLIENT_WAITS}, refused = {.refused = true};
    word32 length = 100;
    uint8_t signature[100];
    cr_expect_eq(sign(&waiting, KIND_ECDSA, signature, &length), WC_PENDING_E);
    cr_expect_eq(sign(&refused, KIND_ECDSA, signature, &length), WC_HW_E);
}

/* The numbers in TLS 1.2 and 1.3 for each type of key and hash (RFC 8446 section 4.2.3). */
Test(tls, schemes) {
    static const enum signing_scheme expected[][4] = {
        {SIGNING_ECDSA_SHA256, SIGNING_ED25519, SIGNING_RSA_PKCS1_SHA256, SIGNING_RSA_PSS_SHA256},
        {SIGNING_ECDSA_SHA384, SIGNING_ED25519, SIGNING_RSA_PKCS1_SHA384, SIGNING_RSA_PSS_SHA384},
        {SIGNING_ECDSA_SHA512, SIGNING_ED25519, SIGNING_RSA_PKCS1_SHA512, SIGNING_RSA_PSS_SHA512},
    };
    for (int hash = 4; hash <= 6; hash++) {
        for (enum kind kind = KIND_ECDSA; kind <= KIND_RSA_PSS; kind++)
            cr_expect_eq(scheme_of(kind, hash), expected[hash - 4][kind], "kind %d, hash %d", kind, hash);
    }
}

/* ---- client certificates ---- */

/* A client without a certificate has no identity. */
Test(tls, a_client_without_a_certificate) {
    struct tls_session session = {0};
    WOLFSSL_BUFFER_INFO none = {0};
    WOLFSSL_X509_STORE_CTX store = {.userCtx = &session, .certs = &none, .totalCerts = 0};
    cr_expect_eq(meet(1, &store), 0);
    cr_expect_not(session.client.has_certificate);
    store.userCtx = NULL;
    store.totalCerts = 1;
    cr_expect_eq(meet(1, &store), 0);
}

/* The fingerprint of the certificate is the identity, whoever issued it. */
Test(tls, a_client_with_a_certificate) {
    struct tls_session session = {0};
    struct certificate_facts facts;
    char pem[IDENTITY_PEM_MAX], fingerprint[2 * WC_SHA256_DIGEST_SIZE + 1];
    unsigned char der[4096];
    cr_assert_eq(random_open(), 0);
    pem[identity_make("a.example", pem)] = '\0';
    cr_assert_null(certificate_examine(&facts, pem));
    int size = wc_CertPemToDer((const unsigned char *)pem, (int)strlen(pem), der, sizeof der, CERT_TYPE);
    cr_assert_gt(size, 0);
    for (size_t i = 0; i < WC_SHA256_DIGEST_SIZE; i++)
        sprintf(fingerprint + 2 * i, "%02x", facts.fingerprint[i]);
    WOLFSSL_BUFFER_INFO own = {.buffer = der, .length = (unsigned)size};
    WOLFSSL_X509_STORE_CTX store = {.userCtx = &session, .certs = &own, .totalCerts = 1};
    cr_expect_eq(meet(0, &store), 1);
    cr_expect(session.client.has_certificate);
    cr_expect_eq(session.client.certificate_state, CERTIFICATE_VALID);
    cr_expect_str_eq(session.client.fingerprint, fingerprint);
    certificate_facts_dispose(&facts);
}

/* ---- bytes ---- */

Test(tls, bytes_come_and_go_as_far_as_there_is_room) {
    static const uint8_t input[] = "twelve bytes";
    char bytes[16] = "";
    channel = (struct tls_channel){.input = input, .input_size = 12};
    cr_expect_eq(receive(NULL, bytes, 5, &channel), 5);
    cr_expect_eq(channel.records, 1, "a header");
    cr_expect_eq(receive(NULL, bytes + 5, 11, &channel), 7);
    cr_expect_eq(channel.records, 1);
    cr_expect_str_eq(bytes, "twelve bytes");
    cr_expect_eq(receive(NULL, bytes, 5, &channel), WOLFSSL_CBIO_ERR_WANT_READ);
    cr_expect_eq(channel.records, 1, "nothing was begun");

    channel.output_size = sizeof channel.output - 4;
    cr_expect_eq(transmit(NULL, bytes, 5, &channel), WOLFSSL_CBIO_ERR_GENERAL);
    cr_expect_eq(transmit(NULL, bytes, 4, &channel), 4);
    cr_expect_eq(channel.output_size, sizeof channel.output);
    cr_expect_arr_eq(channel.output + sizeof channel.output - 4, "twel", 4);
}

/* ---- hosts ---- */

static void add(struct certificates *certificates, const char *host) {
    char pem[IDENTITY_PEM_MAX];
    struct identity identity;
    pem[identity_make(host, pem)] = '\0';
    cr_assert_null(identity_load(&identity, host, pem, NULL));
    cr_assert(certificates_add(certificates, &identity.public));
    identity_dispose(&identity);
}

/* Returns the host whose certificate a client gets; NULL: none. */
static const char *host_for(struct tls *tls, const char *name) {
    static const struct signing_client_origin origin;
    static char host[HOSTNAME_MAX + 1];
    struct tls_session *session = tls_session_begin(tls, name, NULL, &origin);
    if (!session)
        return NULL;
    snprintf(host, sizeof host, "%s", session->certificate->host);
    tls_session_end(session);
    return host;
}

/* A question from a session carries its owner and its origin. */
Test(tls, whose_session_it_is) {
    static const struct signing_client_origin origin = {12, 34};
    struct certificates certificates = {0};
    int owner;
    cr_assert_eq(random_open(), 0);
    add(&certificates, "a.example");
    struct tls *tls = tls_open(&certificates, "a.example", false, &channel, &signing_client);
    cr_assert_not_null(tls);
    struct tls_session *session = tls_session_begin(tls, "a.example", &owner, &origin);
    cr_assert_not_null(session);
    cr_expect_eq(session->request.owner, &owner);
    cr_expect_eq(memcmp(&session->origin, &origin, sizeof origin), 0);
    cr_expect_eq(session->tls, tls);
    cr_expect_eq(session->certificate, certificates_find(&certificates, "a.example"));
    cr_expect_eq(session->request.state, SIGNING_CLIENT_IDLE);
    cr_expect_str_eq(tls_version(session), "-", "its handshake is not over");
    cr_expect_not(tls_client_of(session)->has_certificate);
    tls_session_end(session);
    tls_session_end(NULL);
    tls_close(tls);
    certificates_dispose(&certificates);
}

/* The alert for each wolfSSL error (RFC 8446 section 6.2). */
Test(tls, alerts) {
    static const struct {
        int error, alert;
    } cases[] = {
        {MEMORY_E, 80},
        {VERSION_ERROR, 70},
        {OUT_OF_ORDER_E, 10},
        {DUPLICATE_MSG_E, 10},
        {UNKNOWN_RECORD_TYPE, 10},
        {UNKNOWN_HANDSHAKE_TYPE, 10},
        {NO_CHANGE_CIPHER_E, 10},
        {LENGTH_ERROR, 22},
        {DECRYPT_ERROR, 20},
        {VERIFY_MAC_ERROR, 20},
        {AES_GCM_AUTH_E, 20},
        {MAC_CMP_FAILED_E, 20},
        {BUFFER_ERROR, 50},
        {PARSE_ERROR, 50},
        {ASN_PARSE_E, 50},
        {VERIFY_FINISHED_ERROR, 51},
        {SIG_VERIFY_E, 51},
        {VERIFY_SIGN_ERROR, 51},
        {KEY_SHARE_ERROR, 40},
        {MATCH_SUITE_ERROR, 40},
        {UNSUPPORTED_SUITE, 40},
        {NO_PEER_VERIFY, 40},
        {HANDSHAKE_SIZE_ERROR, 47},
        {INVALID_PARAMETER, 47},
    };
    struct tls_session nobody = {0}, somebody = {.client.has_certificate = true};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_eq(alert_for(&nobody, cases[i].error), cases[i].alert, "%d", cases[i].error);
        cr_expect_eq(alert_for(&somebody, cases[i].error), cases[i].alert, "%d", cases[i].error);
    }
    cr_expect_eq(alert_for(&nobody, WC_HW_E), 47, "its key share");
    cr_expect_eq(alert_for(&somebody, WC_HW_E), 51, "its signature");
}

/* A host without a usable identity gets no other one: its clients get an alert. */
Test(tls, whose_certificate_a_client_gets) {
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, 112};
    struct certificates certificates = {0};
    cr_assert_eq(random_open(), 0);
    add(&certificates, "a.example");
    add(&certificates, "b.example");
    struct tls *tls = tls_open(&certificates, "b.example", false, &channel, &signing_client);
    cr_assert_not_null(tls);
    cr_expect_not(tls_bars(tls, "a.example"));
    cr_expect_not(tls_bars(tls, "not/a/host"));
    cr_expect_str_eq(host_for(tls, "other.example"), "b.example");
    tls_close(tls);

    cr_assert(certificates_bar(&certificates, "barred.example"));
    cr_assert(certificates_bar(&certificates, "192.0.2.1"));
    add(&certificates, "192.0.2.7");
    tls = tls_open(&certificates, "b.example", false, &channel, &signing_client);
    cr_assert_not_null(tls);
    cr_expect(tls_bars(tls, "barred.example"));
    cr_expect(tls_bars(tls, "192.0.2.1"));
    cr_expect_not(tls_bars(tls, "a.example"));
    cr_expect_not(tls_bars(tls, "other.example"));
    cr_expect_not(tls_bars(tls, "not/a/host"));
    cr_expect_str_eq(host_for(tls, "a.example"), "a.example");
    cr_expect_str_eq(host_for(tls, "other.example"), "b.example");
    cr_expect_str_eq(host_for(tls, ""), "192.0.2.7", "no name: an address was asked for");
    memset(&channel, 0, sizeof channel);
    cr_expect_null(host_for(tls, "barred.example"));
    cr_expect_eq(channel.output_size, sizeof alert);
    cr_expect_arr_eq(channel.output, alert, sizeof alert);
    tls_close(tls);

    tls = tls_open(&certificates, "192.0.2.7", true, &channel, &signing_client);
    cr_assert_not_null(tls);
    cr_expect_str_eq(host_for(tls, "other.example"), "192.0.2.7");
    tls_close(tls);
    certificates_dispose(&certificates);
}

/* Memory from an allocator that does not zero freed memory is never used for clients. */
Test(tls, memory_of_another_kind_is_refused) {
    struct certificates certificates = {0};
    cr_assert_eq(random_open(), 0);
    add(&certificates, "a.example");
    struct tls *tls = tls_open(&certificates, "a.example", false, &channel, &signing_client);
    cr_expect_not_null(tls);
    tls_close(tls);
    cr_assert_eq(wolfSSL_SetAllocators(malloc, free, realloc), 0);
    cr_expect_null(tls_open(&certificates, "a.example", false, &channel, &signing_client));
    tls_take_memory();
    certificates_dispose(&certificates);
}

/* More hosts than contexts: each gets its own certificate, and existing sessions keep theirs. */
Test(tls, more_hosts_than_contexts) {
    static const struct signing_client_origin origin;
    struct certificates certificates = {0};
    struct certificate each;
    char host[HOSTNAME_MAX + 1];
    cr_assert_eq(random_open(), 0);
    add(&certificates, "0.example");
    each = certificates.list[0];
    for (size_t i = 1; i < CONTEXTS_MAX + 200; i++) {
        snprintf(each.host, sizeof each.host, "%zu.example", i);
        cr_assert(certificates_add(&certificates, &each));
    }
    struct tls *tls = tls_open(&certificates, "0.example", false, &channel, &signing_client);
    cr_assert_not_null(tls);
    struct tls_session *early = tls_session_begin(tls, "1.example", NULL, &origin);
    cr_assert_not_null(early);
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < certificates.count; i++) {
            snprintf(host, sizeof host, "%zu.example", i);
            cr_assert_str_eq(host_for(tls, host), host);
            cr_assert_str_eq(host_for(tls, "other.example"), "0.example");
            size_t index = choose(tls, host);
            cr_assert_eq(tls->contexts[tls->context_of[index] - 1].index, index);
        }
        cr_expect_eq(tls->context_count, CONTEXTS_MAX);
    }
    cr_expect_eq(tls_handshake(early), TLS_WANTS_INPUT, "a session keeps its context");
    tls_session_end(early);
    tls_close(tls);
    certificates_dispose(&certificates);
}
