/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#include "common/random.h"
#include "keys/identity.h"
#include "protocol/certificate.h"

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
        {"default", CERTIFICATE_OTHER},        {"x.b.examplf", CERTIFICATE_OTHER},
        {"x.c.example", CERTIFICATE_OTHER},
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
                 /* An identity from an earlier version is known only by one spelling. */
                 {"b\xc3\xbc"
                  "cher.example",
                  "xn--bcher-kva.example "}};
    cr_assert_eq(random_open(), 0);
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
        cr_expect_arr_eq(facts.key_id, identity.public.key_id, sizeof facts.key_id);
        identity_dispose(&identity);
        certificate_facts_dispose(&facts);
    }
}

/* An address must also be binary (RFC 5280 section 4.2.1.6): clients would not accept it as a host name. */
Test(certificate, addresses_are_no_names) {
    static const struct {
        const char *host, *entry;
        size_t size;
    } cases[] = {
        {"192.0.2.7", "\x87\x04\xc0\x00\x02\x07", 6},
        {"2001:db8::7", "\x87\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 18},
        {"a.example",
         "\x82\x09"
         "a.example",
         11},
    };
    cr_assert_eq(random_open(), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char pem[IDENTITY_PEM_MAX];
        unsigned char der[4096];
        pem[identity_make(cases[i].host, pem)] = '\0';
        int size = wc_CertPemToDer((const unsigned char *)pem, (int)strlen(pem), der, sizeof der, CERT_TYPE);
        cr_assert_gt(size, 0);
        cr_expect_not_null(memmem(der, (size_t)size, cases[i].entry, cases[i].size), "%s", cases[i].host);
        cr_expect_not_null(memmem(der, (size_t)size, "\xa0\x03\x02\x01\x02", 5), "its version is not 3");
    }
    char host[HOSTNAME_MAX + 2], pem[IDENTITY_PEM_MAX];
    memset(host, 'a', sizeof host);
    host[sizeof host - 1] = '\0';
    cr_expect_eq(identity_make(host, pem), 0, "a host that no certificate holds");
    host[sizeof host - 2] = '\0';
    cr_expect_gt(identity_make(host, pem), 0);
}

Test(certificate, what_is_none) {
    static const char *const cases[] = {"", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                                        "-----BEGIN CERTIFICATE-----\n",
                                        "-----BEGIN CERTIFICATE-----\nMIIBCgKCAQEA\n-----END CERTIFICATE-----\n"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct certificate_facts facts;
        memset(&facts, 0xa5, sizeof facts);
        cr_expect_not_null(certificate_examine(&facts, cases[i]), "case %zu", i);
        cr_expect_null(facts.names);
        cr_expect(facts.common_name[0] == '\0' && facts.begins == 0 && facts.ends == 0);
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
    one.chain_size = 2; /* replaces it; the sanitizers check that the previous one is freed */
    cr_assert(certificates_add(&certificates, &one));
    cr_expect_eq(certificates.count, 3);
    cr_expect_eq(certificates.barred, 1);
    cr_expect_str_eq(certificates_find(&certificates, "a.example")->chain, "ch");
    certificates_dispose(&certificates);
}

/* ---- client certificates ---- */

#define BEGINS 1577836800 /* 2020-01-01 00:00:00 UTC */
#define ENDS 1893456000   /* 2030-01-01 00:00:00 UTC */

/* Makes a certificate that is valid for these ten years, as DER. Returns its size. */
static size_t make_client_certificate(unsigned char der[static 4096]) {
    char pem[IDENTITY_PEM_MAX];
    cr_assert_eq(random_open(), 0);
    pem[identity_make("client.example", pem)] = '\0';
    int size = wc_CertPemToDer((const unsigned char *)pem, (int)strlen(pem), der, 4096, CERT_TYPE);
    cr_assert_gt(size, 0);
    /* UTCTime until 2049, then GeneralizedTime (RFC 5280 section 4.1.2.5). */
    unsigned char *begins = memmem(der, (size_t)size, "\x17\x0d", 2), *ends = memmem(der, (size_t)size, "\x18\x0f", 2);
    cr_assert(begins && ends && begins + 15 == ends);
    memcpy(begins + 2, "200101000000Z", 13);
    memcpy(ends + 2, "20300101000000Z", 15);
    return (size_t)size;
}

/* ---- handmade client keys ---- */

struct der {
    uint8_t bytes[16384];
    size_t size;
};

static void add(struct der *to, const void *bytes, size_t size) {
    cr_assert_leq(to->size + size, sizeof to->bytes);
    memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
}

/* Puts tag and length before the content (X.690 section 8.1). */
static void wrap(struct der *content, uint8_t tag) {
    struct der whole = {.size = 0};
    size_t size = content->size;
    const uint8_t head[] = {tag, 0x82, (uint8_t)(size >> 8), (uint8_t)size}, brief[] = {tag, (uint8_t)size};
    if (size < 128)
        add(&whole, brief, sizeof brief);
    else
        add(&whole, size < 256 ? (const uint8_t[]){tag, 0x81, (uint8_t)size} : head, size < 256 ? 3 : 4);
    add(&whole, content->bytes, size);
    *content = whole;
}

/* Adds a number of `bits` bits, with a zero byte before it if it would otherwise be negative. */
static void add_number(struct der *to, size_t bits) {
    struct der number = {.size = 0};
    if (bits % 8 == 0)
        add(&number, "", 1);
    memset(number.bytes + number.size, 0xa5, (bits + 7) / 8);
    number.bytes[number.size] = (uint8_t)(1 << (bits - 1) % 8);
    number.size += (bits + 7) / 8;
    number.bytes[number.size - 1] |= 1;
    wrap(&number, 2);
    add(to, number.bytes, number.size);
}

/* Makes an unsigned certificate of these parts. Each except the key may be missing. */
static struct der certificate_of(const struct der *subject, const struct der *key, const struct der *extensions) {
    static const uint8_t start[] = {0xa0, 3, 2, 1, 2, 2, 1, 1},
                         signed_by[] = {0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2},
                         issuer[] = {0x30, 12, 0x31, 10, 0x30, 8, 6, 3, 0x55, 4, 3, 12, 1, 'v'};
    static const char dates[] = "\x30\x1e\x17\x0d"
                                "200101000000Z\x17\x0d"
                                "300101000000Z";
    struct der to_be_signed = {.size = 0}, whole = {.size = 0};
    add(&to_be_signed, start, sizeof start);
    add(&to_be_signed, signed_by, sizeof signed_by);
    add(&to_be_signed, issuer, sizeof issuer);
    add(&to_be_signed, dates, sizeof dates - 1);
    if (subject)
        add(&to_be_signed, subject->bytes, subject->size);
    else
        add(&to_be_signed, issuer, sizeof issuer);
    add(&to_be_signed, key->bytes, key->size);
    if (extensions)
        add(&to_be_signed, extensions->bytes, extensions->size);
    wrap(&to_be_signed, 0x30);
    add(&whole, to_be_signed.bytes, to_be_signed.size);
    add(&whole, signed_by, sizeof signed_by);
    add(&whole, "\x03\x09\x00\x30\x06\x02\x01\x01\x02\x01\x01", 11);
    wrap(&whole, 0x30);
    return whole;
}

/* Makes a public key of these bytes; kind is its AlgorithmIdentifier. */
static void make_key(struct der *key, const uint8_t *kind, size_t size) {
    memmove(key->bytes + 1, key->bytes, key->size++);
    key->bytes[0] = 0;
    wrap(key, 3);
    memmove(key->bytes + size, key->bytes, key->size);
    memcpy(key->bytes, kind, size);
    key->size += size;
    wrap(key, 0x30);
}

/* Makes an RSA key of two numbers. */
static struct der rsa_key(size_t modulus, size_t exponent) {
    static const uint8_t kind[] = {0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0};
    struct der key = {.size = 0};
    add_number(&key, modulus);
    add_number(&key, exponent);
    wrap(&key, 0x30);
    make_key(&key, kind, sizeof kind);
    return key;
}

/* Makes a certificate with an RSA key whose two numbers have these lengths in bits. */
static struct der rsa_certificate(size_t modulus, size_t exponent) {
    struct der key = rsa_key(modulus, exponent);
    return certificate_of(NULL, &key, NULL);
}

Test(certificate, of_a_client_with_an_rsa_key) {
    static const struct {
        size_t modulus, exponent;
        bool fits;
    } cases[] = {{2048, 17, true},  {2047, 17, true}, {4096, 17, true},  {4097, 17, false},
                 {4104, 17, false}, {2048, 32, true}, {2048, 33, false}, {2048, 31, true},
                 {2048, 40, false}, {4096, 32, true}, {4095, 33, false}, {4100, 32, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool fits = !cases[i].fits;
        struct der der = rsa_certificate(cases[i].modulus, cases[i].exponent);
        enum certificate_state state = certificate_judge(der.bytes, der.size, BEGINS, &fits);
        cr_expect_eq(state, CERTIFICATE_VALID, "%zu, %zu: %d", cases[i].modulus, cases[i].exponent, state);
        cr_expect_eq(fits, cases[i].fits, "%zu, %zu", cases[i].modulus, cases[i].exponent);
    }
}

/* Other types of keys: Ed25519 is accepted, X25519 cannot sign, and unknown types are refused. */
Test(certificate, of_a_client_with_another_key) {
    static const struct {
        uint8_t oid; /* the last byte (RFC 8410 section 3) */
        size_t size;
        bool fits;
    } cases[] = {{0x70, 32, true}, {0x6e, 32, false}, {0x71, 57, false}, {0x6f, 56, false}, {0x01, 32, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint8_t kind[] = {0x30, 5, 6, 3, 0x2b, 0x65, cases[i].oid};
        struct der key = {.size = cases[i].size};
        bool fits = !cases[i].fits;
        memset(key.bytes, 0x5a, key.size);
        make_key(&key, kind, sizeof kind);
        struct der der = certificate_of(NULL, &key, NULL);
        certificate_judge(der.bytes, der.size, BEGINS, &fits);
        cr_expect_eq(fits, cases[i].fits, "0x%02x", cases[i].oid);
    }
}

/* ---- handmade names ---- */

/* Makes a subject with this common name. */
static struct der subject_of(const char *name, size_t size) {
    struct der subject = {.size = 0}, type = {.size = 0};
    add(&type, "\x06\x03\x55\x04\x03", 5);
    add(&subject, name, size);
    wrap(&subject, 12);
    add(&type, subject.bytes, subject.size);
    wrap(&type, 0x30);
    wrap(&type, 0x31);
    wrap(&type, 0x30);
    return type;
}

static void add_name(struct der *names, uint8_t kind, const void *name, size_t size) {
    struct der one = {.size = 0};
    add(&one, name, size);
    wrap(&one, kind);
    add(names, one.bytes, one.size);
}

/* Makes the extension with these names (RFC 5280 section 4.2.1.6). */
static void make_extension(struct der *names) {
    struct der extension = {.size = 0};
    wrap(names, 0x30);
    wrap(names, 4);
    add(&extension, "\x06\x03\x55\x1d\x11", 5);
    add(&extension, names->bytes, names->size);
    wrap(&extension, 0x30);
    wrap(&extension, 0x30);
    wrap(&extension, 0xa3);
    *names = extension;
}

static const char *examine(struct certificate_facts *facts, const struct der *subject, const struct der *extension) {
    static char pem[32768];
    struct der key = rsa_key(2048, 17), der = certificate_of(subject, &key, extension);
    int size = wc_DerToPem(der.bytes, (word32)der.size, (byte *)pem, sizeof pem - 1, CERT_TYPE);
    cr_assert_gt(size, 0);
    pem[size] = '\0';
    return certificate_examine(facts, pem);
}

Test(certificate, common_names) {
    static char longest[HOSTNAME_MAX + 2];
    memset(longest, 'a', sizeof longest - 1);
    const struct {
        const char *name;
        size_t size;
        bool taken;
    } cases[] = {{"a.example", 9, true},
                 {"x", 1, true},
                 {longest, HOSTNAME_MAX, true},
                 {longest, HOSTNAME_MAX + 1, false},
                 {"a\nb", 3, false},
                 {"a\0b", 3, false},
                 {"\xff", 1, false},
                 {"", 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct certificate_facts facts;
        struct der subject = subject_of(cases[i].name, cases[i].size);
        if (examine(&facts, &subject, NULL)) { /* wolfSSL cannot parse it at all */
            cr_expect_not(cases[i].taken, "case %zu", i);
            continue;
        }
        cr_expect_eq(strlen(facts.common_name), cases[i].taken ? cases[i].size : 0, "case %zu", i);
        cr_expect(!cases[i].taken || memcmp(facts.common_name, cases[i].name, cases[i].size) == 0, "case %zu", i);
        cr_expect_str_eq(facts.names, "");
        certificate_facts_dispose(&facts);
    }
}

/* Tests a name between two others, alone, and after the longest possible name. */
Test(certificate, alternative_names) {
    static char longest[HOSTNAME_MAX + 2];
    memset(longest, 'a', sizeof longest - 1);
    const struct {
        uint8_t kind;
        const char *name;
        size_t size;
        const char *text; /* NULL: the name itself; "": none */
        bool has_unicode;
    } cases[] = {
        {0x82, "A.Example", 9, "a.example ", false},
        {0x82, "b", 1, "b ", false},
        {0x82, longest, HOSTNAME_MAX, NULL, false},
        {0x82, longest, HOSTNAME_MAX + 1, "", false},
        {0x82, "a.example\0.evil", 15, "", false},
        {0x82, "\0", 1, "", false},
        {0x82, "", 0, "", false},
        {0x82, "\xc3\xa4", 2, "xn--4ca ", true},
        {0x82, "a\xff", 2, "", true},
        {0x81, "mail@a.example", 14, "", false},
        {0x86, "gemini://a.example/", 19, "", false},
        {0x87, "\xc0\x00\x02\x07", 4, "192.0.2.7 ", false},
        {0x87, "\xc0\x00\x02", 3, "", false},
        {0x87, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 16, "2001:db8::7 ", false},
        {0x87, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x07", 17, "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[2 * HOSTNAME_MAX], name[HOSTNAME_MAX + 3];
        struct certificate_facts facts;
        struct der alone = {.size = 0}, between = {.size = 0};
        if (cases[i].text)
            snprintf(name, sizeof name, "%s", cases[i].text);
        else
            snprintf(name, sizeof name, "%.*s ", (int)cases[i].size, cases[i].name);
        add_name(&alone, cases[i].kind, cases[i].name, cases[i].size);
        add_name(&between, 0x82, "one.example", 11);
        add_name(&between, cases[i].kind, cases[i].name, cases[i].size);
        add_name(&between, 0x82, "two.example", 11);
        make_extension(&alone);
        make_extension(&between);
        if (examine(&facts, NULL, &alone)) { /* wolfSSL cannot parse it at all */
            cr_expect(cases[i].text && !*cases[i].text, "case %zu", i);
            continue;
        }
        cr_expect_str_eq(facts.names, name, "case %zu", i);
        cr_expect_eq(facts.has_unicode, cases[i].has_unicode, "case %zu", i);
        certificate_facts_dispose(&facts);
        cr_assert_null(examine(&facts, NULL, &between), "case %zu", i);
        /* wolfSSL keeps the names in their order, or reverses it. */
        snprintf(expected, sizeof expected, "one.example %stwo.example ", name);
        if (strncmp(facts.names, "one", 3) != 0)
            snprintf(expected, sizeof expected, "two.example %sone.example ", name);
        cr_expect_str_eq(facts.names, expected, "case %zu", i);
        certificate_facts_dispose(&facts);
    }
}

/* A certificate of the maximum size, and one that is a byte longer. */
Test(certificate, how_long_it_may_be) {
    static char filler[4096];
    memset(filler, 'a', sizeof filler);
    memcpy(filler, "a@", 2);
    for (size_t more = 0; more < 2; more++) {
        struct certificate_facts facts;
        struct der names, key = rsa_key(2048, 17), der = {.size = 0};
        size_t last = 3000;
        for (int round = 0; round < 2; round++) { /* the second round adds the missing bytes */
            last += round == 0 ? 0 : 8192 + more - der.size;
            names = (struct der){.size = 0};
            add_name(&names, 0x82, "a.example", 9);
            add_name(&names, 0x81, filler, 4000);
            add_name(&names, 0x81, filler, last);
            make_extension(&names);
            der = certificate_of(NULL, &key, &names);
        }
        cr_assert_eq(der.size, 8192 + more);
        cr_expect_eq(examine(&facts, NULL, &names) == NULL, more == 0, "%zu bytes", der.size);
        if (more == 0)
            cr_expect_str_eq(facts.names, "a.example ");
        certificate_facts_dispose(&facts);
    }
}

Test(certificate, of_a_client_and_its_dates) {
    static const struct {
        time_t now;
        enum certificate_state expected;
    } cases[] = {{0, CERTIFICATE_EARLY},          {BEGINS - 1, CERTIFICATE_EARLY},  {BEGINS, CERTIFICATE_VALID},
                 {BEGINS + 1, CERTIFICATE_VALID}, {ENDS - 1, CERTIFICATE_VALID},    {ENDS, CERTIFICATE_VALID},
                 {ENDS + 1, CERTIFICATE_EXPIRED}, {4000000000, CERTIFICATE_EXPIRED}};
    unsigned char der[4096];
    size_t size = make_client_certificate(der);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool key_fits = false;
        cr_expect_eq(certificate_judge(der, size, cases[i].now, &key_fits), cases[i].expected, "case %zu", i);
        cr_expect(key_fits);
    }
}

Test(certificate, of_a_client_that_cannot_be_read) {
    unsigned char der[4096];
    size_t size = make_client_certificate(der);
    bool key_fits = true;
    cr_expect_eq(certificate_judge(der, size - 1, BEGINS, &key_fits), CERTIFICATE_UNFIT);
    unsigned char *month = memmem(der, size, "200101", 6);
    cr_assert_not_null(month);
    month += 2;
    month[0] = 'x';
    cr_expect_eq(certificate_judge(der, size, BEGINS, &key_fits), CERTIFICATE_UNFIT);
    cr_expect(key_fits, "a date is no matter of the key");
    month[0] = '0';
    /* Changes the curve from P-256 to an unknown one. */
    unsigned char *curve = memmem(der, size, "\x2a\x86\x48\xce\x3d\x03\x01\x07", 8);
    cr_assert_not_null(curve);
    curve[7] = 6;
    certificate_judge(der, size, BEGINS, &key_fits);
    cr_expect_not(key_fits);
    key_fits = true;
    cr_expect_eq(certificate_judge((const unsigned char *)"0", 1, BEGINS, &key_fits), CERTIFICATE_UNFIT);
    cr_expect_not(key_fits);
}

/* The list is searched by bisection, so it must be sorted. */
Test(certificate, a_list_stays_in_order) {
    struct certificates certificates = {0};
    char host[2] = "";
    for (size_t i = 0; i < 26; i++) {
        host[0] = (char)('a' + i * 7 % 26);
        cr_assert(certificates_bar(&certificates, host));
    }
    cr_assert_eq(certificates.count, 26);
    for (size_t i = 0; i < 26; i++) {
        host[0] = (char)('a' + i);
        cr_expect_str_eq(certificates.list[i].host, host);
        cr_expect_eq(certificates_find(&certificates, host), &certificates.list[i]);
    }
    certificates_dispose(&certificates);
}
