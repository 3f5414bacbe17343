/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <string.h>

#include "commands/gemtext.h"

Test(gemtext, links_of_a_page) {
    static const struct {
        const char *line, *link; /* NULL: no link line */
    } lines[] = {
        {"=> page.gmi A page", "page.gmi"},
        {"=>page.gmi", "page.gmi"},
        {"=>\t page.gmi\tA page", "page.gmi"},
        {"=>", ""},
        {"=>   ", ""},
        {" => page.gmi", NULL},
        {"= > page.gmi", NULL},
        {"text", NULL},
        {"", NULL},
        {"```", NULL},
        {"=> not-here.gmi", NULL},
        {"``` end", NULL},
        {"=> here.gmi", "here.gmi"},
    };
    struct gemtext gemtext = {0};
    char link[GEMTEXT_LINK_MAX + 1];
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        bool is_link = gemtext_line(&gemtext, lines[i].line, strlen(lines[i].line), (unsigned)i + 1, link);
        cr_expect_eq(is_link, lines[i].link != NULL, "'%s'", lines[i].line);
        if (is_link && lines[i].link)
            cr_expect_str_eq(link, lines[i].link, "'%s'", lines[i].line);
    }
    cr_expect_not(gemtext.preformatted);
    gemtext_line(&gemtext, "```", 3, 20, link);
    cr_expect(gemtext.preformatted);
    cr_expect_eq(gemtext.preformatted_at, 20);
}

Test(gemtext, addresses_made_whole) {
    static const struct {
        const char *link, *uri; /* NULL: not a link to check */
    } links[] = {
        {"page.gmi", "gemini://host/folder/page.gmi"},
        {"./page.gmi", "gemini://host/folder/./page.gmi"},
        {"../page.gmi", "gemini://host/folder/../page.gmi"},
        {"/page.gmi", "gemini://host/page.gmi"},
        {"", "gemini://host/folder/index.gmi"},
        {"#part", "gemini://host/folder/index.gmi"},
        {"?query", "gemini://host/folder/index.gmi?query"},
        {"page.gmi?a#b", "gemini://host/folder/page.gmi?a"},
        {"//other/page", "gemini://other/page"},
        {"gemini://other:7070/page", "gemini://other:7070/page"},
        {"GEMINI://other/", "GEMINI://other/"},
        {"https://example.org/", NULL},
        {"mailto:a@example.org", NULL},
        {"a:b", NULL},
        {"1:b", "gemini://host/folder/1:b"},
        {"a/b:c", "gemini://host/folder/a/b:c"},
    };
    char uri[GEMTEXT_URI_MAX + 1];
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        bool whole = gemtext_resolve(uri, links[i].link, "host", "/folder/index.gmi");
        cr_expect_eq(whole, links[i].uri != NULL, "'%s'", links[i].link);
        if (whole && links[i].uri)
            cr_expect_str_eq(uri, links[i].uri, "'%s'", links[i].link);
    }
    char longest[GEMTEXT_LINK_MAX + 1];
    memset(longest, 'a', GEMTEXT_LINK_MAX);
    longest[GEMTEXT_LINK_MAX] = '\0';
    cr_expect(gemtext_resolve(uri, longest, "host", "/"));
    cr_expect_gt(strlen(uri), 1024, "what is too long for a request has to show");
}

Test(gemtext, dot_segments_as_clients_take_them_out) {
    static const struct {
        const char *uri, *flat;
        bool climbs;
    } cases[] = {
        {"gemini://host/a/b", "gemini://host/a/b", false},
        {"gemini://host/a/./b/", "gemini://host/a/b/", false},
        {"gemini://host/a/../b?x/../y", "gemini://host/b?x/../y", false},
        {"gemini://host/a/b/..", "gemini://host/a/", false},
        {"gemini://host/a/b/.", "gemini://host/a/b/", false},
        {"gemini://host/a/..", "gemini://host/", false},
        {"gemini://host/../page.gmi", "gemini://host/page.gmi", true},
        {"gemini://host/../../a/../..", "gemini://host/", true},
        {"gemini://host/a/../../b?q", "gemini://host/b?q", true},
        {"gemini://host/a//../b", "gemini://host/a/b", false},
        {"gemini://host/..a/...", "gemini://host/..a/...", false},
        {"gemini://host", "gemini://host", false},
        {"gemini://host?a/..", "gemini://host?a/..", false},
        {"gemini:a/..", "gemini:a/..", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char uri[GEMTEXT_URI_MAX + 1];
        strcpy(uri, cases[i].uri);
        cr_expect_eq(gemtext_flatten(uri), cases[i].climbs, "%s", cases[i].uri);
        cr_expect_str_eq(uri, cases[i].flat, "%s: %s", cases[i].uri, uri);
    }
}
