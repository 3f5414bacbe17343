/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "content/reply.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(reply, statuses_that_exist_and_no_other) {
    static const int existing[] = {10, 11, 20, 30, 31, 40, 41, 42, 43, 44, 50, 51, 52, 53, 59, 60, 61, 62};
    for (int number = -100; number <= 300; number++) {
        bool expected = false;
        for (size_t i = 0; i < COUNT(existing); i++)
            expected = expected || existing[i] == number;
        cr_expect_eq(reply_status_exists(number), expected, "%d", number);
    }
}

Test(reply, header) {
    static const struct {
        enum status status;
        const char *meta, *header;
    } cases[] = {
        {STATUS_SUCCESS, "text/gemini", "20 text/gemini\r\n"},
        {STATUS_INPUT, "Name?", "10 Name?\r\n"},
        {STATUS_REDIRECT_PERMANENT, "/a/", "31 /a/\r\n"},
        {STATUS_NOT_FOUND, "", "51\r\n"},
        {STATUS_NOT_FOUND, "Not found", "51 Not found\r\n"},
        {STATUS_CERTIFICATE_NOT_VALID, "\xc3\xa4", "62 \xc3\xa4\r\n"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct reply reply;
        char header[REPLY_HEADER_MAX];
        reply_set(&reply, cases[i].status, cases[i].meta);
        cr_expect_eq(reply.body, -1);
        cr_expect_null(reply.text);
        size_t length = reply_header(&reply, header);
        cr_expect_eq(length, strlen(cases[i].header), "%s", cases[i].header);
        cr_expect_arr_eq(header, cases[i].header, length, "%s", cases[i].header);
        cr_expect_eq(reply.status, cases[i].status);
    }
}

Test(reply, unclean_or_missing_meta_is_never_sent) {
    static const struct {
        enum status status;
        const char *meta;
    } cases[] = {
        {STATUS_SUCCESS, ""},
        {STATUS_INPUT, ""},
        {STATUS_REDIRECT_PERMANENT, ""},
        {STATUS_REDIRECT_PERMANENT, "/a\r\n/b"},
        {STATUS_NOT_FOUND, "a\tb"},
        {STATUS_NOT_FOUND, "a\x7f"},
        {STATUS_NOT_FOUND, "\xc2\x85"},
        {STATUS_NOT_FOUND, "\xff"},
        {STATUS_NOT_FOUND, "\xef\xbb\xbfx"},
        {(enum status)21, "x"},
        {(enum status)0, ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct reply reply;
        char header[REPLY_HEADER_MAX];
        reply_set(&reply, cases[i].status, cases[i].meta);
        size_t length = reply_header(&reply, header);
        cr_expect_eq(reply.status, STATUS_TEMPORARY_FAILURE, "%d %s", cases[i].status, cases[i].meta);
        cr_expect(length > 5 && strncmp(header, "40 ", 3) == 0 && memcmp(header + length - 2, "\r\n", 2) == 0);
        for (size_t k = 0; k < length - 2; k++)
            cr_expect(header[k] >= 0x20 && header[k] < 0x7f);
    }
}

Test(reply, clean_meta) {
    static const struct {
        const char *meta;
        bool clean;
    } cases[] = {
        {"", true},
        {"text/gemini; lang=en", true},
        {"\xc2\xa0", true},
        {"\xf0\x9f\x9a\x80", true},
        {"a\nb", false},
        {"a\rb", false},
        {"a\tb", false},
        {"\x1b[0m", false},
        {"\x7f", false},
        {"\xc2\x80", false},
        {"\xc2\x9f", false},
        {"\xc0\xaf", false},
        {"\xed\xa0\x80", false},
        {"\xf4\x90\x80\x80", false},
        {"\xc3", false},
        {"\x80", false},
        {"\xef\xbb\xbf", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_expect_eq(reply_meta_is_clean(cases[i].meta), cases[i].clean, "case %zu", i);

    char longest[REPLY_META_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[REPLY_META_MAX] = '\0';
    cr_expect(reply_meta_is_clean(longest));
    longest[REPLY_META_MAX] = 'a';
    longest[REPLY_META_MAX + 1] = '\0';
    cr_expect_not(reply_meta_is_clean(longest));
}

Test(reply, long_meta_is_cut_between_characters) {
    char meta[2 * REPLY_META_MAX + 1];
    struct reply reply;
    char header[REPLY_HEADER_MAX];
    memset(meta, 'a', sizeof(meta) - 1);
    meta[sizeof(meta) - 1] = '\0';
    reply_set(&reply, STATUS_NOT_FOUND, meta);
    cr_expect_eq(strlen(reply.meta), REPLY_META_MAX);
    cr_expect_eq(reply_header(&reply, header), REPLY_HEADER_MAX);

    memcpy(meta + REPLY_META_MAX - 1, "\xf0\x9f\x9a\x80", 4);
    reply_set(&reply, STATUS_NOT_FOUND, meta);
    cr_expect_eq(strlen(reply.meta), REPLY_META_MAX - 1);
    cr_expect(reply_meta_is_clean(reply.meta));
}

Test(reply, dispose_closes_and_frees_once) {
    struct reply reply;
    reply_set(&reply, STATUS_SUCCESS, "text/plain");
    reply.body = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int body = reply.body;
    cr_assert_geq(body, 0);
    reply_dispose(&reply);
    cr_expect_eq(fcntl(body, F_GETFD), -1);
    cr_expect_eq(reply.body, -1);
    reply_dispose(&reply);

    reply_set(&reply, STATUS_SUCCESS, "text/plain");
    size_t total = 0;
    reply.text = reply_text_make(4, &total);
    struct reply_text *shared = reply_text_share(reply.text);
    reply_dispose(&reply);
    cr_expect_null(reply.text);
    reply_dispose(&reply);
    cr_expect_eq(total, 4, "another holder keeps the text");
    reply_text_release(shared);
    cr_expect_eq(total, 0);
}
