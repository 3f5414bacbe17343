/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/access.h"

#define FIRST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SECOND "ff23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define COLONS "01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF"

static unsigned fault_line;

static void note(unsigned line, const char *problem, void *context) {
    (void)context;
    cr_expect(strlen(problem) > 10);
    fault_line = line;
}

Test(access, lists_that_are_right) {
    static const struct {
        const char *text, *first; /* the name of the first fingerprint, or NULL */
        size_t count;
    } lists[] = {
        {"", NULL, 0},
        {"# nobody yet\n\n   \n", NULL, 0},
        {FIRST " Ada\n", "Ada", 1},
        {FIRST " Ada", "Ada", 1},
        {FIRST "\n", "", 1},
        {COLONS "  \r\n" SECOND " Bob\n", "", 2},
        {FIRST, "", 1},
        {FIRST "\t Ada Lovelace  \r\n", "Ada Lovelace", 1},
        {"  " FIRST " Ada\n", "Ada", 1},
        {COLONS " Ada\n", "Ada", 1},
        {"sha256:" FIRST " Ada\n", "Ada", 1},
        {"SHA256:" COLONS " Ada\n", "Ada", 1},
        {"\xef\xbb\xbf" FIRST " Ada\n", "Ada", 1},
        {SECOND " Bob\n" FIRST " Grüße\n", "Grüße", 2},
        {FIRST " Ada\n" FIRST " Other\n", "Ada", 2},
        {SECOND " Bob\n", NULL, 1},
        {FIRST " # no comment here\n", "# no comment here", 1},
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct access_list list;
        cr_expect_eq(access_parse(&list, lists[i].text, strlen(lists[i].text), note, NULL), 0, "'%s'", lists[i].text);
        cr_expect_eq(list.count, lists[i].count, "'%s'", lists[i].text);
        const char *name = access_find(&list, FIRST);
        cr_expect(lists[i].first ? name && strcmp(name, lists[i].first) == 0 : !name, "'%s' gave %s", lists[i].text,
                  name ? name : "nobody");
        access_dispose(&list);
        access_dispose(&list);
    }
}

Test(access, a_line_with_a_fault_admits_nobody) {
    static const struct {
        const char *text;
        unsigned line;
    } lists[] = {
        {"\n" FIRST "0 Ada\n", 2},
        {"0123 Ada\n", 1},
        {"Ada " FIRST "\n", 1},
        {"sha1:" FIRST " Ada\n", 1},
        {"sha256: " FIRST " Ada\n", 1},
        {":" FIRST " Ada\n", 1},
        {"0:1" FIRST " Ada\n", 1},
        {FIRST ": Ada\n", 1},
        {FIRST " A\x01"
               "da\n",
         1},
        {FIRST " A\xff"
               "da\n",
         1},
        {FIRST " 0123456789012345678901234567890123456789012345678901234567890123\n", 1},
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct access_list list;
        char whole[512];
        fault_line = 0;
        strcpy(stpcpy(whole, lists[i].text), SECOND " Bob\n");
        cr_expect_eq(access_parse(&list, whole, strlen(whole), note, NULL), 1, "'%s'", lists[i].text);
        cr_expect_eq(fault_line, lists[i].line, "'%s'", lists[i].text);
        cr_expect_null(access_find(&list, FIRST), "'%s'", lists[i].text);
        cr_expect_not_null(access_find(&list, SECOND), "the rest of '%s' counts", lists[i].text);
        access_dispose(&list);
    }
}

Test(access, what_is_too_long_is_no_list) {
    struct access_list list;
    char *text = calloc(1, ACCESS_FILE_MAX + 1);
    memset(text, '\n', ACCESS_FILE_MAX + 1);
    cr_expect_eq(access_parse(&list, text, ACCESS_FILE_MAX, note, NULL), 0);
    cr_expect_eq(access_parse(&list, text, ACCESS_FILE_MAX + 1, note, NULL), -EFBIG);
    cr_expect_eq(list.count, 0);
    free(text);
}
