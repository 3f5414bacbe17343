/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "content/metafile.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Records the faulty lines as "2 5 ". */
static void note_fault(unsigned line, const char *problem, void *context) {
    char *lines = context;
    cr_expect_str_not_empty(problem);
    cr_expect_null(strchr(problem, '\n'));
    sprintf(lines + strlen(lines), "%u ", line);
}

/* Parses metadata in which these lines are faulty. The caller must dispose of it. */
static struct metafile read_meta(const char *text, const char *faulty_lines) {
    char lines[256] = "";
    size_t length = strlen(text);
    char *copy = malloc(length > 0 ? length : 1); /* without NUL after it */
    cr_assert_not_null(copy);
    memcpy(copy, text, length);
    struct metafile meta;
    int faults = metafile_parse(&meta, copy, length, note_fault, lines);
    free(copy);
    cr_assert_geq(faults, 0);
    cr_expect_str_eq(lines, faulty_lines, "faults of <%s>: %s", text, lines);
    return meta;
}

Test(metafile, patterns) {
    static const struct {
        const char *pattern, *path;
        bool matches;
    } cases[] = {
        {"index.gmi", "index.gmi", true},
        {"index.gmi", "Index.gmi", false},
        {"index.gmi", "a/index.gmi", false},
        {"index.gmi", "index.gmi2", false},
        {"./index.gmi", "index.gmi", true},
        {"a/b.gmi", "a/b.gmi", true},
        {"a/b.gmi", "a/b/gmi", false},
        {"a b.gmi", "a b.gmi", true},
        {"\xc3\xa4.gmi", "\xc3\xa4.gmi", true},
        {"*", "a.gmi", true},
        {"*", "a/b.gmi", false},
        {"*", ".hidden", false},
        {".*", ".hidden", true},
        {"*.gmi", "a.gmi", true},
        {"*.gmi", "a.b.gmi", true},
        {"*.gmi", ".gmi", false},
        {"*.gmi", "a.gmi.txt", false},
        {"*.de.*", "a.de.gmi", true},
        {"*.de.*", "a.fr.gmi", false},
        {"a*b*c", "aXbXbc", true},
        {"a*b*c", "aXbXb", false},
        {"*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
        {"a/*", "a/b", true},
        {"a/*", "a/b/c", false},
        {"a/*", "a", false},
        {"*/*", "a/b", true},
        {"?.gmi", "a.gmi", true},
        {"?.gmi", "\xc3\xa4.gmi", true},
        {"?.gmi", "ab.gmi", false},
        {"?.gmi", ".gmi", false},
        {"?hidden", ".hidden", false},
        {"a?b", "a/b", false},
        {"[abc].gmi", "b.gmi", true},
        {"[abc].gmi", "d.gmi", false},
        {"[a-c].gmi", "b.gmi", true},
        {"[a-c].gmi", "d.gmi", false},
        {"[!a-c].gmi", "d.gmi", true},
        {"[!a-c].gmi", "b.gmi", false},
        {"[!a]", "!", true},
        {"[!a]", "a", false},
        {"[a!]", "!", true},
        {"[]].gmi", "].gmi", true},
        {"[!]].gmi", "].gmi", false},
        {"[a-].gmi", "-.gmi", true},
        {"[*].gmi", "*.gmi", true},
        {"[*].gmi", "a.gmi", false},
        {"[?]", "?", true},
        {"[.]hidden", ".hidden", false},
        {"[!a]hidden", ".hidden", false},
        {"[\xc3\xa0-\xc3\xbf]", "\xc3\xa4", true},
        {"**", "a.gmi", true},
        {"**", "a/b/c.gmi", true},
        {"**", "a/.b/c.gmi", false},
        {"**/*.gmi", "a.gmi", true},
        {"**/*.gmi", "a/b/c.gmi", true},
        {"**/*.gmi", "a/b/c.txt", false},
        {"**/*.gmi", "a/.b/c.gmi", false},
        {"**/*.gmi", ".git/c.gmi", false},
        {"**/.*", "a/b/.c", true},
        {"nl/**/*.gmi", "nl/a.gmi", true},
        {"nl/**/*.gmi", "nl/b/c/a.gmi", true},
        {"nl/**/*.gmi", "en/a.gmi", false},
        {"nl/**", "nl/a", true},
        {"nl/**", "nl/a/b", true},
        {"nl/**", "nl", false},
        {"nl/**", "nlx/a", false},
        {"**/a/**/b", "x/a/y/a/z/b", true},
        {"**/a/**/b", "a/b", true},
        {"**/a/**/b", "x/a/y/c", false},
        {"**/a/b", "a/a/b", true},
        {".well-known/*", ".well-known/security.txt", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[256];
        snprintf(text, sizeof(text), "%s: text/plain\n", cases[i].pattern);
        struct metafile meta = read_meta(text, "");
        cr_expect_eq(metafile_find(&meta, cases[i].path) != NULL, cases[i].matches, "%s on %s", cases[i].pattern,
                     cases[i].path);
        metafile_dispose(&meta);
    }
}

Test(metafile, values) {
    static const struct {
        const char *value;
        enum metafile_kind kind;
        int status;
        const char *kept;
    } cases[] = {
        {"", METAFILE_PARAMETERS, 0, ""},
        {";lang=en", METAFILE_PARAMETERS, 0, ";lang=en"},
        {"  ; lang=en ;charset=us-ascii \t", METAFILE_PARAMETERS, 0, "; lang=en ;charset=us-ascii"},
        {";lang=\"en,fr\"", METAFILE_PARAMETERS, 0, ";lang=\"en,fr\""},
        {";x=\"a\\\"b;c\";y=z", METAFILE_PARAMETERS, 0, ";x=\"a\\\"b;c\";y=z"},
        {"text/plain", METAFILE_TYPE, 0, "text/plain"},
        {"text/plain;charset=utf-8", METAFILE_TYPE, 0, "text/plain;charset=utf-8"},
        {"application/vnd.a+b.c-d", METAFILE_TYPE, 0, "application/vnd.a+b.c-d"},
        {"52 Gone: sorry", METAFILE_HEADER, 52, "Gone: sorry"},
        {"52\tGone", METAFILE_HEADER, 52, "Gone"},
        {"52", METAFILE_HEADER, 52, ""},
        {"30 /new", METAFILE_HEADER, 30, "/new"},
        {"31 gemini://example.org/a%20b?c=d", METAFILE_HEADER, 31, "gemini://example.org/a%20b?c=d"},
        {"10 Your name?", METAFILE_HEADER, 10, "Your name?"},
        {"20 text/plain; lang=en", METAFILE_HEADER, 20, "text/plain; lang=en"},
        {"62 \xc3\xa4", METAFILE_HEADER, 62, "\xc3\xa4"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[256];
        snprintf(text, sizeof(text), "a:%s", cases[i].value);
        struct metafile meta = read_meta(text, "");
        const struct metafile_rule *rule = metafile_find(&meta, "a");
        cr_assert_not_null(rule, "%s", cases[i].value);
        cr_expect_eq(rule->kind, cases[i].kind, "%s", cases[i].value);
        cr_expect_str_eq(rule->value, cases[i].kept, "%s: %s", cases[i].value, rule->value);
        if (rule->kind == METAFILE_HEADER)
            cr_expect_eq((int)rule->status, cases[i].status, "%s", cases[i].value);
        cr_expect_eq(rule->line, 1);
        metafile_dispose(&meta);
    }
}

Test(metafile, faulty_lines) {
    static const char *const lines[] = {
        "no colon",
        ": text/plain",
        "/a: text/plain",
        "../a: text/plain",
        "a/../b: text/plain",
        "a/./b: text/plain",
        "a//b: text/plain",
        "a/: text/plain",
        "a**: text/plain",
        "**a: text/plain",
        "***: text/plain",
        "a/**b/c: text/plain",
        "[a: text/plain",
        "[]: text/plain",
        "[a/b]: text/plain",
        "a: text",
        "a: text/",
        "a: /plain",
        "a: text/plain charset=utf-8",
        "a: text/plain; charset",
        "a: text/plain; charset=",
        "a: text/plain;",
        "a: text/plain; lang=en,fr",
        "a: text/plain; x=\"open",
        "a: text/plain; x=\"open\\\"",
        "a: ;x=\"",
        "a: ;x=\"b\\",
        "a: ;x=\"\\",
        "a: ;x=\"\\\"",
        "a: ;",
        "a: ;lang=",
        "a: ;lang=en_GB",
        "a: ;LANG=\"en, fr\"",
        "a: ;lang=\"\"",
        "a: t\xc3\xa4xt/plain",
        "a: 5",
        "a: 5 Gone",
        "a: 522 Gone",
        "a: 5x Gone",
        "a: 32 /new",
        "a: 45 x",
        "a: 54 x",
        "a: 63 x",
        "a: 70 x",
        "a: 09 x",
        "a: 21 text/plain",
        "a: 10",
        "a: 30",
        "a: 30 ",
        "a: 30 /new page",
        "a: 30 /n\xc3\xa4w",
        "a: 30 /%zz",
        "a: 20 text",
        "a: 52 \x1b[0m",
        "a: 52 \xff",
        "a: 52 \xc2\x85",
        "a: text/plain; x=\"\x7f\"",
        "\xff: text/plain",
        "[other]",
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        char text[256];
        snprintf(text, sizeof(text), "# comment\n%s\n[mime]\nb: text/html\n", lines[i]);
        struct metafile meta = read_meta(text, "2 ");
        cr_expect_eq(meta.count, 1, "%s: the line behind it does not count any more", lines[i]);
        cr_expect_not_null(metafile_find(&meta, "b"));
        metafile_dispose(&meta);
    }
}

Test(metafile, long_values) {
    char text[2 * REPLY_META_MAX] = "a:52 ";
    memset(text + 5, 'x', REPLY_META_MAX);
    struct metafile meta = read_meta(text, "");
    metafile_dispose(&meta);
    strcat(text, "x");
    meta = read_meta(text, "1 ");
    metafile_dispose(&meta);
}

Test(metafile, files) {
    static const struct {
        const char *text, *faulty;
        size_t rules;
    } cases[] = {
        {"", "", 0},
        {"\n\n", "", 0},
        {"# only a comment", "", 0},
        {"a: text/plain", "", 1},
        {"a: text/plain # a comment\n", "", 1},
        {"  a  :  text/plain\r\n\tb = text/html\r\n", "", 2},
        {"\xef\xbb\xbf"
         "a: text/plain\n",
         "", 1},
        {"[mime]\na: text/plain\n", "", 1},
        {"a: text/plain\n[other]\nb: broken\nc: text/plain\n[mime]\nd: text/plain", "2 ", 2},
        {"broken\na: text/plain\nbroken\n\nbroken", "1 3 5 ", 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct metafile meta = read_meta(cases[i].text, cases[i].faulty);
        cr_expect_eq(meta.count, cases[i].rules, "case %zu: %zu", i, meta.count);
        metafile_dispose(&meta);
        metafile_dispose(&meta);
    }
    struct metafile meta;
    char lines[64] = "";
    cr_expect_eq(metafile_parse(&meta, "a\0b: text/plain\nc: text/plain", 29, note_fault, lines), 1);
    cr_expect_str_eq(lines, "1 ");
    cr_expect_eq(meta.count, 1);
    metafile_dispose(&meta);
}

Test(metafile, size_of_the_file) {
    static char text[METAFILE_MAX + 1];
    char lines[64] = "";
    struct metafile meta;
    memset(text, '\n', sizeof(text));
    cr_expect_eq(metafile_parse(&meta, text, METAFILE_MAX, note_fault, lines), 0);
    metafile_dispose(&meta);
    cr_expect_eq(metafile_parse(&meta, text, METAFILE_MAX + 1, note_fault, lines), -EFBIG);
    cr_expect_null(meta.text);
    metafile_dispose(&meta);
}

Test(metafile, last_rule_applies) {
    struct metafile meta = read_meta("**/*.gmi: ;lang=en\n"
                                     "a.gmi: ;lang=de\n"
                                     "b.gmi: 52 Gone\n"
                                     "*.gmi: ;lang=fr\n"
                                     "c.gmi: text/plain\n",
                                     "");
    cr_expect_str_eq(metafile_find(&meta, "x/a.gmi")->value, ";lang=en");
    cr_expect_str_eq(metafile_find(&meta, "a.gmi")->value, ";lang=fr");
    cr_expect_str_eq(metafile_find(&meta, "b.gmi")->value, ";lang=fr");
    cr_expect_str_eq(metafile_find(&meta, "c.gmi")->value, "text/plain");
    cr_expect_null(metafile_find(&meta, "a.txt"));
    metafile_dispose(&meta);
    cr_expect_null(metafile_find(&meta, "a.gmi"));
}

Test(metafile, media_type_in_the_end) {
    static const struct {
        const char *value, *guess, *language, *type; /* value: NULL if there is no rule */
    } cases[] = {
        {NULL, "text/gemini", NULL, "text/gemini"},
        {NULL, "text/gemini", "en", "text/gemini; lang=en"},
        {NULL, "text/gemini", "en,fr", "text/gemini; lang=\"en,fr\""},
        {NULL, "image/png", "en", "image/png"},
        {"", "text/gemini", "en", "text/gemini"},
        {";lang=de", "text/gemini", "en", "text/gemini;lang=de"},
        {";charset=us-ascii", "text/plain", "en", "text/plain;charset=us-ascii"},
        {"text/html", "text/gemini", "en", "text/html"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[128], type[REPLY_META_MAX + 1];
        snprintf(text, sizeof(text), "a:%s", cases[i].value != NULL ? cases[i].value : "");
        struct metafile meta = read_meta(text, "");
        const struct metafile_rule *rule = cases[i].value != NULL ? metafile_find(&meta, "a") : NULL;
        cr_expect(metafile_describe(type, rule, cases[i].guess, cases[i].language));
        cr_expect_str_eq(type, cases[i].type, "%s", type);
        metafile_dispose(&meta);
    }

    char value[REPLY_META_MAX + 1] = ";x=", type[REPLY_META_MAX + 1];
    memset(value + 3, 'x', REPLY_META_MAX - 3);
    struct metafile_rule rule = {.kind = METAFILE_PARAMETERS, .value = value};
    cr_expect_not(metafile_describe(type, &rule, "text/plain", NULL));
    cr_expect_str_eq(type, "text/plain");
}
