/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/text.h"

#include <criterion/criterion.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(text, code_points) {
    static const struct {
        const char *bytes;
        size_t taken; /* 0: malformed */
        uint32_t code_point;
    } cases[] = {
        {"a", 1, 'a'},
        {"\x7f", 1, 0x7f},
        {"\xc2\x80", 2, 0x80},
        {"\xdf\xbf", 2, 0x7ff},
        {"\xe0\xa0\x80", 3, 0x800},
        {"\xed\x9f\xbf", 3, 0xd7ff},
        {"\xee\x80\x80", 3, 0xe000},
        {"\xef\xbf\xbf", 3, 0xffff},
        {"\xf0\x90\x80\x80", 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
        {"\x80", 0, 0},
        {"\xc0\x80", 0, 0},
        {"\xc1\xbf", 0, 0},
        {"\xe0\x9f\xbf", 0, 0},
        {"\xed\xa0\x80", 0, 0},
        {"\xf0\x8f\xbf\xbf", 0, 0},
        {"\xf4\x90\x80\x80", 0, 0},
        {"\xf8\x88\x80\x80\x80", 0, 0},
        {"\xff", 0, 0},
        {"\xc3", 0, 0},
        {"\xe2\x82", 0, 0},
        {"\xf0\x9f\x9a", 0, 0},
        {"\xc3\x28", 0, 0},
        {"", 0, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *at = cases[i].bytes;
        uint32_t code_point = 0;
        bool valid = text_next(&at, at + strlen(at), &code_point);
        cr_expect_eq(valid, cases[i].taken > 0, "case %zu", i);
        cr_expect_eq((size_t)(at - cases[i].bytes), cases[i].taken, "case %zu", i);
        cr_expect_eq(code_point, cases[i].code_point, "case %zu", i);
    }
}

Test(text, clean) {
    cr_expect(text_is_clean("", 0));
    cr_expect(text_is_clean("a\xc3\xa4\xc2\xa0", 5));
    cr_expect_not(text_is_clean("a\0b", 3));
    cr_expect_not(text_is_clean("\n", 1));
    cr_expect_not(text_is_clean("\x7f", 1));
    cr_expect_not(text_is_clean("\xc2\x9f", 2));
    cr_expect_not(text_is_clean("\xc3", 1));
    cr_expect(text_is_utf8("\n\xc2\x9f", 3));
    cr_expect_not(text_is_utf8("\n\xc2", 2));
}

Test(text, languages) {
    static const struct {
        const char *tag;
        bool valid;
    } cases[] = {
        {"en", true},
        {"de-AT-1996", true},
        {"zh-Hant-TW", true},
        {"x-klingon", true},
        {"i-enochian", true},
        {"x-a", true},
        {"en-u-ca-gregory", true},
        {"nds", true},
        {"tlh", true},
        {"", false},
        {"e", false},
        {"en-", false},
        {"-en", false},
        {"en--GB", false},
        {"en_GB", false},
        {"123", false},
        {"abcdefghi", false},
        {"en-abcdefghi", false},
        {"en-a", false},
        {"x", false},
        {"x-", false},
        {"en GB", false},
        {"\xc3\xa4\xc3\xa4", false},
        {"en,fr", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_expect_eq(text_is_language(cases[i].tag, strlen(cases[i].tag)), cases[i].valid, "%s", cases[i].tag);
}

Test(text, encoded_paths) {
    static const struct {
        const char *text, *encoded;
    } cases[] = {
        {"", ""},
        {"/a-b._~/c", "/a-b._~/c"},
        {"/!$&'()*+,;=:@", "/!$&'()*+,;=:@"},
        {"/a b?c#d%", "/a%20b%3Fc%23d%25"},
        {"/\xc3\xa4\n\x7f\\|[]\"<>", "/%C3%A4%0A%7F%5C%7C%5B%5D%22%3C%3E"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char encoded[128];
        cr_expect_eq(text_encode_path(encoded, sizeof(encoded), cases[i].text), (int)strlen(cases[i].encoded));
        cr_expect_str_eq(encoded, cases[i].encoded, "%s", encoded);
    }
    char small[4];
    cr_expect_eq(text_encode_path(small, 4, "abc"), 3);
    cr_expect_eq(text_encode_path(small, 4, "abcd"), -1);
    cr_expect_str_empty(small);
    cr_expect_eq(text_encode_path(small, 4, " "), 3);
    cr_expect_eq(text_encode_path(small, 4, "a "), -1);
    cr_expect_eq(text_encode_path(small, 1, ""), 0);
    cr_expect_eq(text_encode_path(small, 0, ""), -1);
}
