/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "commands/declared.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/vitrine-declared-XXXXXX";
static int folder = -1;

static void put(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s", path);
    fputs(text, file);
    fclose(file);
}

static void begin(void) {
    char path[256];
    cr_assert_not_null(mkdtemp(root));
    folder = open(root, O_PATH | O_DIRECTORY);
    for (const char *const *name = (const char *const[]){"host", "host/sub", "host/sub/deep", NULL}; *name; name++) {
        snprintf(path, sizeof path, "%s/%s", root, *name);
        cr_assert_eq(mkdir(path, 0755), 0);
    }
    put("host/.meta", "*.txt: text/plain; charset=iso-8859-1\n"
                      "gone.gmi: 52 It is gone\n"
                      "shown.gmi: 20 text/x-shown\n"
                      "sub/*: text/x-outer\n"
                      "sub/deep/*: text/x-outermost\n"
                      "nonsense\n");
    put("host/sub/.meta", "inner.txt: text/x-inner\n");
    put("host/sub/deep/.meta", "one: text/x-deep\n");
}

static void end(void) {
    char command[128];
    close(folder);
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert_eq(system(command), 0);
}

TestSuite(declared, .init = begin, .fini = end, .timeout = 20);

/* The innermost metadata file that has a rule for the file applies. */
Test(declared, types) {
    static const struct {
        const char *path, *type; /* type: NULL if a header replaces the file */
    } cases[] = {
        {"host/page.gmi", "text/gemini"},
        {"host/picture.png", "image/png"},
        {"host/notes.txt", "text/plain; charset=iso-8859-1"},
        {"host/gone.gmi", NULL},
        {"host/shown.gmi", "text/x-shown"},
        {"host/sub/inner.txt", "text/x-inner"},
        {"host/sub/other.txt", "text/x-outer"},
        {"host/sub/deep/one", "text/x-deep"},
        {"host/sub/deep/two", "text/x-outermost"},
        {"host/missing/three.gmi", "text/gemini"},
        {"other/page.gmi", "text/gemini"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char type[REPLY_META_MAX + 1];
        cr_expect_eq(declared_type(folder, cases[i].path, type), cases[i].type != NULL, "%s", cases[i].path);
        if (cases[i].type)
            cr_expect_str_eq(type, cases[i].type, "%s: %s", cases[i].path, type);
    }
}

Test(declared, charsets) {
    static const struct {
        const char *type, *charset;
        bool is_utf8;
    } cases[] = {
        {"text/plain", NULL, true},
        {"text/plain;charset=utf-8", "utf-8", true},
        {"text/plain; charset=UTF-8", "UTF-8", true},
        {"text/plain; \tCHARSET=utf8", "utf8", true},
        {"text/plain;lang=en;charset=us-ascii", "us-ascii", true},
        {"text/plain; charset=\"utf-8\"; lang=en", "\"utf-8\"; lang=en", true},
        {"text/plain; charset=utf-8 ;lang=en", "utf-8 ;lang=en", true},
        {"text/plain; charset=utf-8\t", "utf-8\t", true},
        {"text/plain; charset=iso-8859-1", "iso-8859-1", false},
        {"text/plain; charset=utf-16", "utf-16", false},
        {"text/plain; charset=utf-88", "utf-88", false},
        {"text/plain; charset=utf", "utf", false},
        {"text/plain; charset=", "", false},
        {"text/plain; xcharset=utf-16", NULL, true},
        {"text/plain; charset", NULL, true},
        {"charset=utf-16", NULL, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *charset = declared_charset(cases[i].type);
        cr_expect_eq(charset != NULL, cases[i].charset != NULL, "%s", cases[i].type);
        if (charset && cases[i].charset)
            cr_expect_str_eq(charset, cases[i].charset, "%s", cases[i].type);
        cr_expect_eq(declared_is_utf8(charset), cases[i].is_utf8, "%s", cases[i].type);
    }
}
