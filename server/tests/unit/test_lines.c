/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/lines.h"

#include <criterion/criterion.h>
#include <string.h>

#define MARK "\xef\xbb\xbf"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(lines, of_a_text) {
    static const struct {
        const char *text;
        size_t length, count;
        const char *lines[4];
    } cases[] = {
        {"", 0, 0, {0}},
        {"a", 1, 1, {"a"}},
        {"a\n", 2, 1, {"a"}},
        {"\n", 1, 1, {""}},
        {"a\n\nb", 4, 3, {"a", "", "b"}},
        {"a\r\nb\n", 5, 2, {"a\r", "b"}},
        {MARK "a\nb", 6, 2, {"a", "b"}},
        {MARK, 3, 0, {0}},
        {"\xef\xbb", 2, 1, {"\xef\xbb"}},
        {"a\n" MARK "b", 6, 2, {"a", MARK "b"}},
        {"a\nbehind", 2, 1, {"a"}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lines lines = lines_begin(cases[i].text, cases[i].length);
        const char *line;
        size_t length;
        for (size_t number = 0; number < cases[i].count; number++) {
            cr_assert(lines_next(&lines, &line, &length), "case %zu", i);
            cr_expect_eq(lines.number, number + 1);
            cr_assert_eq(length, strlen(cases[i].lines[number]), "case %zu, line %zu", i, number);
            cr_expect_eq(memcmp(line, cases[i].lines[number], length), 0, "case %zu, line %zu", i, number);
        }
        cr_expect_not(lines_next(&lines, &line, &length), "case %zu", i);
        cr_expect_eq(lines.number, cases[i].count);
    }
}

Test(lines, marks) {
    cr_expect_eq(lines_mark(MARK, 3), 3);
    cr_expect_eq(lines_mark(MARK "a", 4), 3);
    cr_expect_eq(lines_mark(MARK, 2), 0);
    cr_expect_eq(lines_mark("\xef\xbb\xbe", 3), 0);
    cr_expect_eq(lines_mark("", 0), 0);
}

Test(lines, what_no_line_may_hold) {
    cr_expect_str_eq(lines_judge("a\0b", 3), "the line contains a NUL byte");
    cr_expect_null(lines_judge("a\0b", 1), "it lies behind");
    cr_expect_null(lines_judge("", 0));
}

Test(lines, space) {
    char text[] = " \t\r\v\fa b\xc2\xa0 \f\v\r\t", none[] = " \t ", empty[] = "";
    cr_expect_str_eq(lines_trim(text), "a b\xc2\xa0");
    cr_expect_str_eq(lines_trim(none), "");
    cr_expect_str_eq(lines_trim(empty), "");
    for (int byte = -128; byte < 128; byte++)
        cr_expect_eq(lines_is_space((char)byte),
                     byte != 0 && byte != '\n' && byte > 0 && strchr(" \t\r\v\f", byte) != NULL);
}

Test(lines, numbers) {
    static const struct {
        const char *text;
        uint32_t maximum;
        bool is;
        uint32_t number;
        const char *rest;
    } cases[] = {
        {"0", 9, true, 0, ""},
        {"9", 9, true, 9, ""},
        {"10", 9, false, 0, NULL},
        {"007x", 9, true, 7, "x"},
        {"", 9, false, 0, NULL},
        {"x", 9, false, 0, NULL},
        {"-1", 9, false, 0, NULL},
        {"+1", 9, false, 0, NULL},
        {" 1", 9, false, 0, NULL},
        {"1 2", 9, true, 1, " 2"},
        {"4294967295", UINT32_MAX, true, UINT32_MAX, ""},
        {"4294967296", UINT32_MAX, false, 0, NULL},
        {"99999999999999999999999", UINT32_MAX, false, 0, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *at = cases[i].text;
        uint32_t number = 77;
        cr_expect_eq(lines_number(&at, cases[i].maximum, &number), cases[i].is, "%s", cases[i].text);
        if (cases[i].is) {
            cr_expect_eq(number, cases[i].number, "%s", cases[i].text);
            cr_expect_str_eq(at, cases[i].rest);
        }
    }
}

Test(lines, ports) {
    static const struct {
        const char *text;
        bool is;
    } cases[] = {{"1", true}, {"65535", true}, {"0", false}, {"65536", false}, {"", false}, {"1965,", true}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *at = cases[i].text;
        uint16_t port;
        cr_expect_eq(lines_port(&at, &port), cases[i].is, "%s", cases[i].text);
    }
    const char *at = "1965";
    uint16_t port = 0;
    cr_assert(lines_port(&at, &port));
    cr_expect_eq(port, 1965);
}
