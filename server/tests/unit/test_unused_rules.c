/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/unused_rules.h"

static char root[] = "/tmp/vitrine-unmatched-XXXXXX";
static unsigned lines[64];
static size_t told;

static void put(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    cr_assert_geq(file, 0, "%s", path);
    close(file);
}

static void put_folder(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    cr_assert_eq(mkdir(path, 0755), 0, "%s", path);
}

static void begin(void) {
    cr_assert_not_null(mkdtemp(root));
    put_folder("host");
    put_folder("host/sub");
    put_folder("host/list");
    put("host/page.gmi");
    put("host/sub/deep.txt");
    put("host/list/.directory-listing-ok");
}

static void end(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert_eq(system(command), 0);
}

TestSuite(unused_rules, .init = begin, .fini = end, .timeout = 30);

static void take(unsigned line, const char *problem, void *context) {
    (void)problem;
    (void)context;
    cr_assert_lt(told, sizeof lines / sizeof lines[0]);
    lines[told++] = line;
}

/* Expects that exactly these lines are reported. */
static void expect(const char *text, const unsigned *wanted, size_t count) {
    struct metafile meta;
    int folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(folder, 0);
    told = 0;
    cr_assert_eq(metafile_parse(&meta, text, strlen(text), take, NULL), 0);
    cr_expect_eq(unused_rules_report(folder, "host", &meta, take, NULL), 0);
    metafile_dispose(&meta);
    close(folder);
    cr_assert_eq(told, count, "%zu lines are told for\n%s", told, text);
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(lines[i], wanted[i], "line %u", lines[i]);
}

Test(unused_rules, rules_that_no_file_has) {
    expect("page.gmi: ;lang=de\n*.gmi: ;lang=en\n**/*.txt: text/plain\nsub/deep.txt: text/plain\n"
           "list/index.gmi: ;lang=nl\ngone.gmi: 52 Gone\n",
           NULL, 0);
    expect("nowhere.gmi: ;lang=de\n*.png: image/png\npage.gmi: ;lang=de\nsub/other.txt: text/plain\n",
           (const unsigned[]){1, 2, 4}, 3);
    expect("", NULL, 0);
}

Test(unused_rules, folders_at_any_depth) {
    put_folder("host/sub/b");
    put_folder("host/sub/b/c");
    put_folder("host/sub/b/c/d");
    put("host/sub/b/c/d/far.txt");
    put("host/zz.txt");
    expect("sub/b/c/d/far.txt: text/plain\n", NULL, 0);
    expect("sub/b/c/d/far.txt: text/plain\nzz.txt: ;lang=de\npage.gmi: ;lang=de\nsub/b/c/far.txt: text/plain\n",
           (const unsigned[]){4}, 1);
}

Test(unused_rules, links_to_folders_are_not_followed) {
    char path[256];
    snprintf(path, sizeof path, "%s/host/sub/round", root);
    cr_assert_eq(symlink("..", path), 0);
    expect("sub/round/page.gmi: ;lang=de\nnowhere.gmi: ;lang=de\n", (const unsigned[]){2}, 1);
}
