/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../desk.h"
#include "../identity.h"
#include "../random.h"
#include "../tls.h"

static void begin(void) {
    cr_assert(random_open());
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
    static struct desk desk;
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
    struct tls *tls = tls_open(&certificates, "default", false, &channel, &desk);
    cr_expect_not_null(tls);
    tls_close(tls);
    certificates_dispose(&certificates);
}

Test(identity, what_cannot_be_used_is_refused_with_a_reason) {
    static const char *const cases[] = {
        "",
        "no key here\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----BEGIN PRIVATE KEY-----\nAAAA\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct identity identity;
        const char *problem = identity_load(&identity, "a.example", cases[i], NULL);
        cr_expect_not_null(problem, "case %zu", i);
    }
}

Test(identity, a_key_of_another_certificate_is_refused) {
    char first[IDENTITY_PEM_MAX], second[IDENTITY_PEM_MAX];
    struct identity identity;
    first[identity_make("a.example", first)] = '\0';
    second[identity_make("b.example", second)] = '\0';
    cr_expect_str_eq(
        identity_load(&identity, "a.example", first, second),
        "its private key does not belong to its certificate; put the certificate first in the file, before its chain");
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
