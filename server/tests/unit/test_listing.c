/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "content/listing.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DAY 1724803200 /* 2024-08-28 */

static void expect_page(const char *preamble, struct listing_entry *entries, size_t count, const char *expected) {
    char *page;
    long length = listing_write(&page, "/a b/", preamble, preamble != NULL ? strlen(preamble) : 0, entries, count);
    cr_assert_eq(length, (long)strlen(expected), "%.*s", (int)length, page);
    cr_expect_arr_eq(page, expected, strlen(expected), "%.*s", (int)length, page);
    free(page);
}

Test(listing, sorted_folders_first) {
    struct listing_entry entries[] = {
        {"z.txt", false, 0, DAY},        {"b", true, 4096, DAY}, {"a.txt", false, 1, DAY},
        {"B.txt", false, 1234, DAY - 1}, {"a", true, 4096, DAY},
    };
    expect_page(NULL, entries, COUNT(entries),
                "# /a b/\n"
                "\n"
                "=> a/ a/\n"
                "=> b/ b/\n"
                "=> B.txt B.txt (1.2 kB, 2024-08-27)\n"
                "=> a.txt a.txt (1 B, 2024-08-28)\n"
                "=> z.txt z.txt (0 B, 2024-08-28)\n");
}

Test(listing, names) {
    static const struct {
        const char *name, *line; /* line: NULL if it is not listed */
    } cases[] = {
        {"a b.txt", "=> a%20b.txt a b.txt (1 B, 2024-08-28)\n"},
        {"\xc3\xa4", "=> %C3%A4 \xc3\xa4 (1 B, 2024-08-28)\n"},
        {"50%", "=> 50%25 50% (1 B, 2024-08-28)\n"},
        {"a?b#c", "=> a%3Fb%23c a?b#c (1 B, 2024-08-28)\n"},
        {"gemini:x", "=> ./gemini:x gemini:x (1 B, 2024-08-28)\n"},
        {"a\\b", "=> a%5Cb a\\b (1 B, 2024-08-28)\n"},
        {"=>", "=> =%3E => (1 B, 2024-08-28)\n"},
        {".hidden", NULL},
        {".", NULL},
        {"..", NULL},
        {".directory-listing-ok", NULL},
        {"", NULL},
        {"a\nb", NULL},
        {"a\r", NULL},
        {"a\tb", NULL},
        {"\x1b[0m", NULL},
        {"\x7f", NULL},
        {"\xc2\x85", NULL},
        {"\xff", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct listing_entry entry = {cases[i].name, false, 1, DAY};
        char expected[256] = "# Files\n";
        if (cases[i].line != NULL)
            strcat(expected, cases[i].line);
        expect_page("# Files\n", &entry, 1, expected);
    }
    struct listing_entry folder = {"gemini:x", true, 1, DAY};
    expect_page("# Files", &folder, 1, "# Files\n=> ./gemini:x/ gemini:x/\n");
}

Test(listing, preamble) {
    static const struct {
        const char *preamble, *page;
    } cases[] = {
        {NULL, "# /a b/\n\n"},
        {"", "# /a b/\n\n"},
        {"\xef\xbb\xbf", "# /a b/\n\n"},
        {"# Mine", "# Mine\n"},
        {"# Mine\n", "# Mine\n"},
        {"# Mine\n\n", "# Mine\n\n"},
        {"\xef\xbb\xbf# Mine\n", "# Mine\n"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_page(cases[i].preamble, NULL, 0, cases[i].page);
}

Test(listing, sizes) {
    static const struct {
        uint64_t size;
        const char *text;
    } cases[] = {
        {0, "0 B"},       {999, "999 B"},     {1000, "1.0 kB"},    {1999, "1.9 kB"},       {9999, "9.9 kB"},
        {10000, "10 kB"}, {999999, "999 kB"}, {1000000, "1.0 MB"}, {1500000000, "1.5 GB"}, {UINT64_MAX, "18 EB"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct listing_entry entry = {"a", false, cases[i].size, 0};
        char expected[128];
        snprintf(expected, sizeof(expected), "-\n=> a a (%s, 1970-01-01)\n", cases[i].text);
        expect_page("-", &entry, 1, expected);
    }
}

Test(listing, longest_name) {
    char name[257], expected[2048];
    memset(name, ' ', 255);
    name[255] = '\0';
    struct listing_entry entry = {name, true, 0, 0};
    strcpy(expected, "-\n=> ");
    for (size_t i = 0; i < 255; i++)
        strcat(expected, "%20");
    strcat(strcat(strcat(expected, "/ "), name), "/\n");
    expect_page("-", &entry, 1, expected);
    name[255] = ' ';
    name[256] = '\0';
    expect_page("-", &entry, 1, "-\n");
}
