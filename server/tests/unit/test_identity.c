/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "common/random.h"
#include "keys/identity.h"
#include "pretended.h"
#include "worker/signing_client.h"
#include "worker/tls.h"

static void begin(void) {
    tls_take_memory();
    cr_assert_eq(random_open(), 0);
}

TestSuite(identity, .init = begin);

static void make_and_load(struct identity *identity, const char *host) {
    char pem[IDENTITY_PEM_MAX];
    size_t size = identity_make(host, pem);
    cr_assert_gt(size, 0, "%s", host);
    pem[size] = '\0';
    const char *problem = identity_load(identity, host, pem, NULL);
    cr_assert_null(problem, "%s: %s", host, problem);
}

Test(identity, every_kind_of_host_can_be_used_for_tls) {
    static const char *const hosts[] = {
        "localhost",
        "a.example",
        "127.0.0.1",
        "::1",
        "default",
        "xn--bcher-kva.example",
        "a-host-name-with-far-more-than-sixty-four-characters.in-two-labels.example.org",
        "label-of-sixty-three-characters-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.label-of-sixty-three-characters-"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.label-of-sixty-three-characters-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx."
        "example",
    };
    static struct tls_channel channel;
    static struct signing_client signing_client;
    struct certificates certificates = {0};
    size_t count = sizeof hosts / sizeof *hosts;
    for (size_t i = 0; i < count; i++) {
        struct identity identity;
        make_and_load(&identity, hosts[i]);
        cr_expect_eq(identity.public.kind, KEY_P256);
        cr_expect_null(strstr(identity.public.chain, "PRIVATE"), "no key goes to a worker");
        cr_assert(certificates_add(&certificates, &identity.public));
        identity_dispose(&identity);
    }
    cr_assert_eq(certificates.count, count);
    for (size_t i = 0; i < count; i++)
        cr_expect_str_eq(certificates_find(&certificates, hosts[i])->host, hosts[i]);
    cr_expect_null(certificates_find(&certificates, "b.example"));
    struct tls *tls = tls_open(&certificates, "default", false, &channel, &signing_client);
    cr_expect_not_null(tls);
    tls_close(tls);
    certificates_dispose(&certificates);
}

/* Makes a certificate for a host, as DER. Returns its size. */
static size_t make_der(const char *host, unsigned char der[static 4096]) {
    char pem[IDENTITY_PEM_MAX];
    pem[identity_make(host, pem)] = '\0';
    int size = wc_CertPemToDer((const unsigned char *)pem, (int)strlen(pem), der, 4096, CERT_TYPE);
    cr_assert_gt(size, 0);
    return (size_t)size;
}

/* Fifty years; from 29 February to 28 February. A clock without a battery starts in 1970, which does no harm. */
Test(identity, how_long_one_is_good) {
    static const struct {
        time_t now;
        const char *ends; /* as in the certificate (RFC 5280 section 4.1.2.5) */
    } cases[] = {
        {1767225599, "\x18\x0f"
                     "20751231235959Z"}, /* 2025-12-31 23:59:59 */
        {1835438400, "\x18\x0f"
                     "20780228120000Z"}, /* 2028-02-29 12:00:00 */
        {1835352000, "\x18\x0f"
                     "20780228120000Z"}, /* 2028-02-28 12:00:00 */
        {1832846400, "\x18\x0f"
                     "20780130120000Z"}, /* 2028-01-30 12:00:00 */
        {1832760000, "\x18\x0f"
                     "20780129120000Z"}, /* 2028-01-29 12:00:00 */
        {1, "\x18\x0f"
            "20750101000000Z"},
        {1735689601, "\x18\x0f"
                     "20750101000001Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char der[4096];
        pretended_time = cases[i].now;
        size_t size = make_der("a.example", der);
        pretended_time = 0;
        cr_expect_not_null(memmem(der, size, cases[i].ends, 17), "case %zu", i);
        cr_expect_not_null(memmem(der, size,
                                  "\x17\x0d"
                                  "250101000000Z",
                                  15));
    }
}

/* Lengths in DER have one byte up to 127, and two above (X.690 section 8.1.3). */
Test(identity, names_of_every_length) {
    static const struct {
        size_t length;
        const char *head;
        size_t size;
    } cases[] = {
        {1, "\x30\x03\x82\x01", 4},
        {124, "\x30\x7e\x82\x7c", 4},
        {125, "\x30\x7f\x82\x7d", 4},
        {126, "\x30\x81\x80\x82\x7e", 5},
        {127, "\x30\x81\x81\x82\x7f", 5},
        {128, "\x30\x81\x83\x82\x81\x80", 6},
        {253, "\x30\x82\x01\x00\x82\x81\xfd", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char der[4096], entry[512];
        char host[HOSTNAME_MAX + 1];
        memset(host, 'a', cases[i].length);
        host[cases[i].length] = '\0';
        size_t size = make_der(host, der);
        if (cases[i].size == 0) /* the longest name is only in its own entry */
            cr_expect_not_null(memmem(der, size, "\x82\x81\xfd", 3));
        memcpy(entry, cases[i].head, cases[i].size);
        memcpy(entry + cases[i].size, host, cases[i].length);
        cr_expect_not_null(memmem(der, size, entry, cases[i].size + cases[i].length), "%zu bytes", cases[i].length);
    }
}

/* A key is not in core dumps, no child process inherits it, and it is not swapped out (flags of proc_pid_smaps(5)). */
Test(identity, where_a_key_lies) {
    struct identity identity;
    char line[512], flags[512] = "";
    unsigned long first, last;
    bool is_it = false;
    make_and_load(&identity, "a.example");
    FILE *file = fopen("/proc/self/smaps", "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &first, &last) == 2)
            is_it = first <= (unsigned long)identity.key && (unsigned long)identity.key < last;
        else if (is_it && strncmp(line, "VmFlags:", 8) == 0)
            strcpy(flags, line);
    }
    fclose(file);
    cr_expect(strstr(flags, " dd ") && strstr(flags, " wf "), "%s", flags);
#ifndef __SANITIZE_ADDRESS__ /* mlock(2) does nothing there */
    cr_expect(strstr(flags, " lo "), "%s", flags);
#endif
    identity_dispose(&identity);
}

Test(identity, rsa_keys_that_are_too_small) {
    static const struct {
        unsigned bits;
        bool fits;
    } cases[] = {{1024, false}, {2040, false}, {2048, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char command[256], pem[8192] = "";
        struct identity identity;
        snprintf(command, sizeof command,
                 "openssl req -x509 -newkey rsa:%u -nodes -subj /CN=a -keyout /dev/stdout -out /dev/stdout 2>/dev/null",
                 cases[i].bits);
        FILE *pipe = popen(command, "r");
        cr_assert_not_null(pipe);
        cr_assert_gt(fread(pem, 1, sizeof pem - 1, pipe), 0);
        pclose(pipe);
        const char *problem = identity_load(&identity, "a", pem, NULL);
        cr_expect_eq(problem == NULL, cases[i].fits, "%u: %s", cases[i].bits, problem);
        if (!problem)
            identity_dispose(&identity);
        else
            cr_expect_not_null(strstr(problem, "2048 to 4096 bits"), "%s", problem);
    }
}

Test(identity, what_cannot_be_used_is_refused_with_a_reason) {
    static const char *const cases[] = {
        "",
        "no key here\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----BEGIN PRIVATE KEY-----\nAAAA\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct identity identity;
        const char *problem = identity_load(&identity, "a.example", cases[i], NULL);
        cr_expect_not_null(problem, "case %zu", i);
    }
}

/* A text without a line break after its last line, and the longest host. */
Test(identity, a_certificate_alone_and_its_key) {
    char pem[IDENTITY_PEM_MAX], certificate[IDENTITY_PEM_MAX], host[HOSTNAME_MAX + 2];
    static const char last[] = "-----END CERTIFICATE-----";
    struct identity identity;
    memset(host, 'a', sizeof host);
    host[sizeof host - 1] = '\0';
    pem[identity_make("a.example", pem)] = '\0';
    cr_expect_not_null(identity_load(&identity, host, pem, NULL), "the host is too long");
    host[HOSTNAME_MAX] = '\0';
    const char *end = strstr(pem, last), *key = strstr(pem, "-----BEGIN PRIVATE");
    cr_assert(end && key);
    size_t size = (size_t)(end - pem) + sizeof last - 1;
    memcpy(certificate, pem, size);
    certificate[size] = '\0';
    char *exact = strdup(certificate);
    cr_assert_null(identity_load(&identity, host, exact, key));
    cr_expect_eq(identity.public.chain_size, size + 1);
    cr_expect_eq(strncmp(identity.public.chain, certificate, size), 0);
    cr_expect_str_eq(identity.public.chain + size, "\n");
    identity_dispose(&identity);
    free(exact);
    cr_expect_str_eq(identity_load(&identity, host, key, NULL),
                     "it contains no certificate; add it before the private key");
    cr_expect_str_eq(identity_load(&identity, host, certificate, NULL),
                     "it contains no private key; add the key after the certificate, or put it beside this file in one "
                     "that ends in .key");
}

Test(identity, a_certificate_is_renewed_for_its_own_key_alone) {
    char old[IDENTITY_PEM_MAX], pem[IDENTITY_PEM_MAX], host[HOSTNAME_MAX + 2];
    struct identity before, after;
    size_t size = 77;
    old[identity_make("a.example", old)] = '\0';
    cr_assert_null(identity_renew("a.example", old, pem, &size));
    pem[size] = '\0';
    cr_assert_null(identity_load(&before, "a.example", old, NULL));
    cr_assert_null(identity_load(&after, "a.example", pem, NULL));
    cr_expect_arr_eq(before.public.key_id, after.public.key_id, sizeof before.public.key_id);
    cr_expect_str_neq(before.public.chain, after.public.chain);
    identity_dispose(&before);
    identity_dispose(&after);
    size = 77;
    cr_expect_not_null(identity_renew("a.example", "no key here", pem, &size));
    cr_expect_eq(size, 0);
    memset(host, 'a', sizeof host);
    host[sizeof host - 1] = '\0';
    cr_expect_not_null(identity_renew(host, old, pem, &size), "the host is too long");
    host[HOSTNAME_MAX] = '\0';
    cr_expect_null(identity_renew(host, old, pem, &size));
}

Test(identity, a_key_of_another_certificate_is_refused) {
    char first[IDENTITY_PEM_MAX], second[IDENTITY_PEM_MAX];
    struct identity identity;
    first[identity_make("a.example", first)] = '\0';
    second[identity_make("b.example", second)] = '\0';
    cr_expect_str_eq(
        identity_load(&identity, "a.example", first, second),
        "its private key does not match its certificate; in the file, the certificate must come before its chain");
    cr_expect_null(identity_load(&identity, "a.example", first, first));
    identity_dispose(&identity);
}

Test(identity, each_key_signs_by_its_own_schemes_only) {
    static const enum signing_scheme own[] = {SIGNING_ECDSA_SHA256, SIGNING_ECDSA_SHA384, SIGNING_ECDSA_SHA512};
    static const enum signing_scheme others[] = {
        SIGNING_RSA_PKCS1_SHA256, SIGNING_RSA_PKCS1_SHA512, SIGNING_ED25519, SIGNING_RSA_PSS_SHA256,
        SIGNING_RSA_PSS_SHA384,   SIGNING_RSA_PSS_SHA512,   SIGNING_NONE,    0x0203};
    uint8_t message[SIGNING_MESSAGE_MAX] = {1}, signature[SIGNING_SIGNATURE_MAX];
    struct identity identity;
    size_t size = 0;
    make_and_load(&identity, "a.example");
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        cr_expect_eq(identity_sign(&identity, own[i], message, sizeof message, signature, &size), SIGNING_DONE);
        cr_expect(size > 60 && size <= identity.public.signature_max);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_expect_eq(identity_sign(&identity, others[i], message, sizeof message, signature, &size), SIGNING_REFUSED,
                     "scheme %04x", others[i]);
    identity_dispose(&identity);
}

/* Does the identity's certificate verify this signature of "message"? */
static bool verifies(const struct identity *identity, const uint8_t *signature, size_t size) {
    unsigned char der[4096], info[256], digest[WC_SHA256_DIGEST_SIZE];
    word32 info_size = sizeof info, at = 0;
    int der_size = wc_CertPemToDer((const unsigned char *)identity->public.chain, (int)identity->public.chain_size, der,
                                   sizeof der, CERT_TYPE);
    int right = 0;
    ecc_key key;
    cr_assert_eq(wc_ecc_init(&key), 0);
    cr_assert_gt(der_size, 0);
    cr_assert_eq(wc_GetSubjectPubKeyInfoDerFromCert(der, (word32)der_size, info, &info_size), 0);
    cr_assert_eq(wc_EccPublicKeyDecode(info, &at, &key, info_size), 0);
    cr_assert_eq(wc_Sha256Hash((const byte *)"message", 7, digest), 0);
    int result = wc_ecc_verify_hash(signature, (word32)size, digest, sizeof digest, &right, &key);
    wc_ecc_free(&key);
    return result == 0 && right == 1;
}

Test(identity, more_keys_than_are_kept_ready_sign_in_turn) {
    static struct identity list[40];
    uint8_t signature[SIGNING_SIGNATURE_MAX];
    size_t size;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        make_and_load(&list[i], "a.example");
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
            cr_assert_eq(identity_sign(&list[i], SIGNING_ECDSA_SHA256, (const uint8_t *)"message", 7, signature, &size),
                         SIGNING_DONE, "%zu", i);
            cr_assert(verifies(&list[i], signature, size), "%zu: signed with another key", i);
        }
    }
    /* The same for a key that is loaded in the place of another one. */
    identity_dispose(&list[39]);
    make_and_load(&list[39], "b.example");
    cr_assert_eq(identity_sign(&list[39], SIGNING_ECDSA_SHA256, (const uint8_t *)"message", 7, signature, &size),
                 SIGNING_DONE);
    cr_assert(verifies(&list[39], signature, size), "signed with the one before");
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        identity_dispose(&list[i]);
}
