/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/hostname.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(hostname, both_spellings) {
    static const struct {
        const char *name, *ascii;
    } cases[] = {
        {"b\xc3\xbc"
         "cher.example",
         "xn--bcher-kva.example"},
        {"example.m\xc3\xbcnchen", "example.xn--mnchen-3ya"},
        {"\xc3\xa4", "xn--4ca"},
        {"\xe7\x82\xb9\xe7\x9c\x8b", "xn--3pxu8k"},
        {"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e.jp", "xn--wgv71a119e.jp"},
        {"\xd0\xbf\xd1\x80\xd0\xb8\xd0\xbc\xd0\xb5\xd1\x80."
         "\xd0\xb8\xd1\x81\xd0\xbf\xd1\x8b\xd1\x82\xd0\xb0\xd0\xbd\xd0\xb8\xd0\xb5",
         "xn--e1afmkfd.xn--80akhbyknj4f"},
        {"\xcf\x80\xce\xb1\xcf\x81\xce\xac\xce\xb4\xce\xb5\xce\xb9\xce\xb3\xce\xbc\xce\xb1."
         "\xce\xb4\xce\xbf\xce\xba\xce\xb9\xce\xbc\xce\xae",
         "xn--hxajbheg2az3al.xn--jxalpdlp"},
        {"a-\xc3\xa4", "xn--a--wia"},
        {"\xc3\xa4-a", "xn---a-uia"},
        {"-\xc3\xa4", "xn----0fa"},
        {"\xf0\x9f\x9a\x80.example", "xn--158h.example"},
        {"stra\xc3\x9f"
         "e.de",
         "xn--strae-oqa.de"},
        {"fa\xc3\x9f", "xn--fa-hia"},
        /* The last and the first character of each length in UTF-8. */
        {"\xdf\xbf", "xn--3tb"},
        {"\xe0\xa0\x80", "xn--4tb"},
        {"\xef\xbf\xbd", "xn--zn7c"},
        {"\xf0\x90\x80\x80", "xn--2n7c"},
        {"\xf4\x8f\xbf\xbd", "xn--bn32g"},
        {"\xe5\xae\x89\xe5\xae\xa4\xe5\xa5\x88\xe7\xbe\x8e\xe6\x81\xb5-with-super-monkeys",
         "xn---with-super-monkeys-pc58ag80a8qai00g7n9n"},
        {"a.\xc3\xa4.b.\xc3\xb6.c", "a.xn--4ca.b.xn--nda.c"},
        {"\xd9\x84\xd9\x8a\xd9\x87\xd9\x85\xd8\xa7\xd8\xa8\xd8\xaa\xd9\x83\xd9\x84\xd9\x85\xd9\x88\xd8\xb4\xd8\xb9\xd8"
         "\xb1\xd8\xa8\xd9\x8a\xd8\x9f",
         "xn--egbpdaj6bu4bxfgehfvwxn"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char ascii[HOSTNAME_MAX + 1] = "", name[HOSTNAME_MAX + 1] = "";
        cr_expect(hostname_to_ascii(ascii, cases[i].name), "%s", cases[i].ascii);
        cr_expect_str_eq(ascii, cases[i].ascii, "%s: %s", cases[i].ascii, ascii);
        cr_expect(hostname_to_unicode(name, cases[i].ascii), "%s", cases[i].ascii);
        cr_expect_str_eq(name, cases[i].name, "%s: %s", cases[i].ascii, name);
        cr_expect_not(hostname_to_ascii(ascii, cases[i].ascii), "%s has no other spelling", cases[i].ascii);
        cr_expect_not(hostname_to_unicode(name, cases[i].name), "%s has no other spelling", cases[i].name);
    }
}

Test(hostname, names_without_another_spelling) {
    static const char *const hosts[] = {
        "", ".", "localhost", "example.org", "127.0.0.1", "::1", "xn-bcher", "a--b.example", "xn.example",
    };
    for (size_t i = 0; i < COUNT(hosts); i++) {
        char other[HOSTNAME_MAX + 1];
        cr_expect_not(hostname_to_ascii(other, hosts[i]), "%s", hosts[i]);
        cr_expect_not(hostname_to_unicode(other, hosts[i]), "%s", hosts[i]);
    }
}

Test(hostname, no_ascii_spelling) {
    static const char *const hosts[] = {
        "\xff.example", "b\xc3.example", "\xc0\xaf", "\xc3\xa4\n", "\xc2\x80.example", "\xed\xa0\x80.example",
    };
    for (size_t i = 0; i < COUNT(hosts); i++) {
        char ascii[HOSTNAME_MAX + 1];
        cr_expect_not(hostname_to_ascii(ascii, hosts[i]), "case %zu", i);
    }
}

/* A spelling that no encoder writes must not become a second name for a folder. */
Test(hostname, no_spelling_of_people) {
    static const char *const hosts[] = {
        "xn--", /* nothing */
        "xn--.example",
        "xn--abc-", /* nothing beyond ASCII */
        "xn--example-",
        "xn---",
        "xn--bcher-kv",  /* cut off */
        "xn--bcher-k!a", /* not a digit */
        "xn--bcher-kVa", /* other case */
        "xn--99999999",  /* too large */
        "xn--zzzzzzzzzzzzzzzzzzzz",
        "xn--b\xc3\xbc"
        "cher-kva", /* beyond ASCII already */
        "xn--a-ecp.example.xn--",
        "xn--fa", /* U+0085, a control character */
        "xn--a-la",
        "xn--/-zfa",
    };
    for (size_t i = 0; i < COUNT(hosts); i++) {
        char name[HOSTNAME_MAX + 1];
        cr_expect_not(hostname_to_unicode(name, hosts[i]), "%s: %s", hosts[i], name);
    }
}

Test(hostname, lengths) {
    char host[1024] = "", other[HOSTNAME_MAX + 1];
    for (size_t i = 0; i < 58; i++)
        strcat(host, "a");
    /* 58 letters and "ä" give xn--, 58 letters, a hyphen and a number: too long for a label */
    strcat(host, "\xc3\xa4");
    cr_expect_not(hostname_to_ascii(other, host));
    memmove(host, host + 10, strlen(host + 10) + 1);
    cr_expect(hostname_to_ascii(other, host));
    cr_expect_leq(strlen(other), HOSTNAME_LABEL_MAX);

    host[0] = '\0';
    for (size_t i = 0; i < 64; i++)
        strcat(host, "\xc3\xa4");
    cr_expect_not(hostname_to_ascii(other, host));

    /* a label with the maximum number of code points, and one more */
    strcpy(host, "\xc3\xa4.");
    for (size_t i = 0; i < HOSTNAME_LABEL_MAX; i++)
        strcat(host, "a");
    cr_expect(hostname_to_ascii(other, host));
    cr_expect_eq(strlen(other), strlen("xn--4ca.") + HOSTNAME_LABEL_MAX);
    strcat(host, "a");
    cr_expect_not(hostname_to_ascii(other, host));

    /* a label that is too long for DNS, beside an encoded one */
    strcpy(host, "xn--4ca.");
    for (size_t i = 0; i < HOSTNAME_LABEL_MAX; i++)
        strcat(host, "a");
    cr_expect(hostname_to_unicode(other, host));
    strcat(host, "a");
    cr_expect_not(hostname_to_unicode(other, host));

    /* a label that would be too long when encoded, or that would make the whole name too long */
    strcpy(host, "xn--4ca.\xc3\xa4");
    for (size_t i = 0; i < 46; i++)
        strcat(host, "a");
    cr_expect(hostname_to_unicode(other, host));
    for (size_t i = 0; i < 12; i++)
        strcat(host, "a");
    cr_expect_not(hostname_to_unicode(other, host));
    strcpy(host, "xn--4ca");
    for (size_t i = 0; i < 30; i++)
        strcat(host, ".\xc3\xa4");
    cr_expect(hostname_to_unicode(other, host));
    strcat(host, ".\xc3\xa4");
    cr_expect_not(hostname_to_unicode(other, host), "more than 253 bytes when all of it is encoded");

    host[0] = '\0';
    for (size_t i = 0; i < HOSTNAME_MAX / 2 - 1; i++)
        strcat(host, "a.");
    strcat(host, "\xc3\xa4"); /* xn--4ca has 7 bytes */
    cr_expect_not(hostname_to_ascii(other, host));
    memmove(host, host + 2, strlen(host + 2) + 1);
    cr_expect_not(hostname_to_ascii(other, host), "255 bytes");
    memmove(host, host + 2, strlen(host + 2) + 1);
    cr_expect(hostname_to_ascii(other, host));
    cr_expect_eq(strlen(other), HOSTNAME_MAX);
}

/* Letters that need no encoding must fit into a label, too, and dots into a name. */
Test(hostname, where_the_room_ends) {
    char host[1024], other[HOSTNAME_MAX + 1];
    for (size_t letters = 50; letters <= 62; letters++) {
        memset(host, 'a', letters);
        strcpy(host + letters, "\xc3\xa4");
        cr_expect_eq(hostname_to_ascii(other, host), letters <= 55, "%zu", letters);
    }
    /* 253 bytes, followed by a dot. */
    strcpy(host, "\xc3\xa4");
    for (size_t label = 0; label < 4; label++) {
        strcat(host, ".");
        for (size_t i = 0; i < (label < 3 ? 63 : 53); i++)
            strcat(host, "a");
    }
    cr_expect(hostname_to_ascii(other, host));
    cr_expect_eq(strlen(other), HOSTNAME_MAX);
    strcat(host, ".");
    cr_expect_not(hostname_to_ascii(other, host));
    strcat(host, "a");
    cr_expect_not(hostname_to_ascii(other, host));
}

Test(hostname, random_labels) {
    unsigned state = 1;
    size_t decoded = 0;
    for (unsigned round = 0; round < 200000; round++) {
        char host[80] = "xn--", name[HOSTNAME_MAX + 1], again[HOSTNAME_MAX + 1];
        size_t length = 4 + round % 12;
        for (size_t i = 4; i < length; i++) {
            state = state * 1103515245u + 12345u;
            host[i] = "abcdefghijklmnopqrstuvwxyz0123456789-"[(state >> 16) % 37];
        }
        host[length] = '\0';
        if (!hostname_to_unicode(name, host))
            continue;
        decoded++;
        cr_assert(hostname_to_ascii(again, name), "%s", host);
        cr_assert_str_eq(again, host);
    }
    cr_expect_gt(decoded, 100);
}

Test(hostname, one_spelling) {
    static const struct {
        const char *host, *canonical; /* NULL: none */
    } cases[] = {
        {"a.example", "a.example"},
        {"A.Example", "a.example"},
        {"b\xc3\xbc"
         "cher.example",
         "xn--bcher-kva.example"},
        {"B\xc3\xbc"
         "cher.Example",
         "xn--bcher-kva.example"},
        {"XN--bcher-KVA.example", "xn--bcher-kva.example"},
        {"*.b\xc3\xbc"
         "cher.example",
         "*.xn--bcher-kva.example"},
        {"2001:DB8:0::1", "2001:db8::1"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"127.0.0.1", "127.0.0.1"},
        {"default", "default"},
        {"", NULL},
        {"\xff", NULL},
        {"b\xc3\xbc\n", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char canonical[HOSTNAME_MAX + 1], again[HOSTNAME_MAX + 1];
        cr_assert_eq(hostname_canonical(canonical, cases[i].host), cases[i].canonical != NULL, "%s", cases[i].host);
        if (!cases[i].canonical)
            continue;
        cr_expect_str_eq(canonical, cases[i].canonical);
        cr_assert(hostname_canonical(again, canonical));
        cr_expect_str_eq(again, canonical);
    }
    char longest[HOSTNAME_MAX + 2], canonical[HOSTNAME_MAX + 1];
    memset(longest, 'a', sizeof longest);
    longest[HOSTNAME_MAX + 1] = '\0';
    cr_expect_not(hostname_canonical(canonical, longest));
    longest[HOSTNAME_MAX] = '\0';
    cr_expect(hostname_canonical(canonical, longest));
}
