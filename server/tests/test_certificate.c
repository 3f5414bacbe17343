/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../certificate.h"
#include "../identity.h"
#include "../random.h"

Test(certificate, hosts_that_it_is_good_for) {
    static const char names[] = "a.example *.b.example *.example.org C.Example 127.0.0.1 ::1 *. * d.*.example ";
    static const struct {
        const char *host;
        enum certificate_match expected;
    } cases[] = {
        {"a.example", CERTIFICATE_EXACT},      {"c.example", CERTIFICATE_EXACT},
        {"127.0.0.1", CERTIFICATE_EXACT},      {"::1", CERTIFICATE_EXACT},
        {"x.b.example", CERTIFICATE_WILDCARD}, {"x.EXAMPLE.org", CERTIFICATE_WILDCARD},
        {"*.b.example", CERTIFICATE_EXACT},    {"b.example", CERTIFICATE_OTHER},
        {"x.y.b.example", CERTIFICATE_OTHER},  {".b.example", CERTIFICATE_OTHER},
        {"x.a.example", CERTIFICATE_OTHER},    {"a.example.", CERTIFICATE_OTHER},
        {"a.exampl", CERTIFICATE_OTHER},       {"a.example2", CERTIFICATE_OTHER},
        {"localhost", CERTIFICATE_OTHER},      {"127.0.0.2", CERTIFICATE_OTHER},
        {"d.x.example", CERTIFICATE_OTHER},    {"", CERTIFICATE_OTHER},
        {"default", CERTIFICATE_OTHER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(certificate_match(names, cases[i].host), cases[i].expected, "%s", cases[i].host);
    cr_expect_eq(certificate_match("", "a.example"), CERTIFICATE_OTHER);
    cr_expect_eq(certificate_match("*.0.0.1 ", "127.0.0.1"), CERTIFICATE_OTHER, "no wildcard for an address");
}

Test(certificate, how_near_the_end_is) {
    static const struct {
        time_t left;
        unsigned expected;
    } cases[] = {{61 * 86400, 0}, {60 * 86400 + 1, 0}, {60 * 86400, 1}, {30 * 86400 + 1, 1},
                 {30 * 86400, 2}, {7 * 86400 + 1, 2},  {7 * 86400, 3},  {1, 3},
                 {0, 4},          {-86400, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(certificate_stage(2000000000 + cases[i].left, 2000000000), cases[i].expected, "case %zu", i);
}

Test(certificate, what_it_says_of_itself) {
    static const struct {
        const char *host, *names;
    } cases[] = {{"a.example", "a.example "},
                 {"*.example", "*.example "},
                 {"127.0.0.1", "127.0.0.1 "},
                 {"::1", "::1 "},
                 /* One of an earlier version: it is known by the one spelling. */
                 {"b\xc3\xbc"
                  "cher.example",
                  "xn--bcher-kva.example "}};
    cr_assert(random_open());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char pem[IDENTITY_PEM_MAX];
        struct certificate_facts facts;
        struct identity identity;
        pem[identity_make(cases[i].host, pem)] = '\0';
        cr_assert_null(certificate_examine(&facts, pem));
        cr_expect_str_eq(facts.names, cases[i].names);
        cr_expect_str_eq(facts.common_name, cases[i].host);
        cr_expect_eq(facts.has_unicode, (cases[i].host[1] & 0x80) != 0);
        cr_expect_eq(facts.begins, 1735689600, "clocks that run ahead do not spoil it");
        double years = difftime(facts.ends, time(NULL)) / 86400 / 365.25;
        cr_expect(years > 49.9 && years < 50.1, "%f", years);
        cr_assert_null(identity_load(&identity, cases[i].host, pem, NULL));
        cr_expect_arr_eq(facts.key, identity.public.key, sizeof facts.key);
        identity_dispose(&identity);
        certificate_facts_dispose(&facts);
    }
}

Test(certificate, what_is_none) {
    static const char *const cases[] = {"", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                                        "-----BEGIN CERTIFICATE-----\n",
                                        "-----BEGIN CERTIFICATE-----\nMIIBCgKCAQEA\n-----END CERTIFICATE-----\n"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct certificate_facts facts;
        cr_expect_not_null(certificate_examine(&facts, cases[i]), "case %zu", i);
        cr_expect_null(facts.names);
    }
}

Test(certificate, hosts_that_are_barred) {
    struct certificates certificates = {0};
    char chain[] = "chain";
    struct certificate one = {.host = "b.example", .chain = chain, .chain_size = 5};
    cr_assert(certificates_bar(&certificates, "c.example"));
    cr_assert(certificates_bar(&certificates, "a.example"));
    cr_assert(certificates_add(&certificates, &one));
    cr_assert(certificates_bar(&certificates, "b.example"));
    cr_assert(certificates_bar(&certificates, "a.example"));
    cr_expect_eq(certificates.count, 3);
    cr_expect_eq(certificates.barred, 2);
    cr_expect_null(certificates_find(&certificates, "a.example")->chain);
    cr_expect_not_null(certificates_find(&certificates, "b.example")->chain, "what is there stays");
    cr_expect_null(certificates_find(&certificates, "d.example"));
    snprintf(one.host, sizeof one.host, "a.example");
    cr_assert(certificates_add(&certificates, &one));
    cr_expect_eq(certificates.count, 3);
    cr_expect_eq(certificates.barred, 1);
    certificates_dispose(&certificates);
}
