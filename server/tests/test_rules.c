/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the owner's own files make of requests: access lists, metadata and listings, on a real tree. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../capsule.h"

#define ADA "aa23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define BOB "bb23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char root[] = "/tmp/vitrine-rules-XXXXXX";
static struct capsules capsules;

static void put(const char *path, const char *text) {
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (char *slash = strchr(whole + sizeof root, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0755);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    cr_assert_not_null(file, "%s", whole);
    fputs(text, file);
    fclose(file);
}

static void begin(void) {
    char path[512];
    cr_assert_not_null(mkdtemp(root));
    put("host/index.gmi", "# Root\n");
    put("host/page.gmi", "# Page\n");
    put("host/data.bin", "x");
    put("host/notes.txt", "x");
    put("host/.meta", "page.gmi: ;lang=de\n"
                      "notes.txt: text/markdown; charset=utf-8\n"
                      "nonsense here\n"
                      "gone.gmi: 52 It is gone\n"
                      "moved/**/*: 30 /new/\n"
                      "old: 31 /new/\n"
                      "sub/over.gmi: ;lang=fr\n"
                      "empty.gmi: 20 text/plain\n"
                      "ask: 10 Your name?\n"
                      "data.bin: 40 Being repaired\n");
    put("host/sub/over.gmi", "# Over\n");
    put("host/sub/index.gemini", "# Sub\n");
    put("host/sub/.meta", "over.gmi: ;lang=it\nindex.gemini: ;lang=es\n");
    put("host/list/.directory-listing-ok", "# What lies here\nHave a look.\n");
    put("host/list/b file.gmi", "12345");
    put("host/list/a/.directory-listing-ok", "");
    put("host/list/a/x.txt", "x");
    put("host/list/.hidden", "x");
    put("host/list/.meta", "index.gmi: ;lang=nl\n");
    put("host/bare/file.gmi", "x");
    snprintf(path, sizeof path, "%s/host/list/out.gmi", root);
    cr_assert_eq(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof path, "%s/host/list/pipe", root);
    cr_assert_eq(mkfifo(path, 0644), 0);
    put("host/club/.access", "# members\n" ADA " Ada\nfaulty line\n");
    put("host/club/index.gmi", "# Club\n");
    put("host/club/.meta", "gone.gmi: 52 A secret\n");
    put("host/club/board/.access", ADA " President\n" BOB " Bob\n");
    put("host/club/board/minutes.gmi", "# Minutes\n");
    put("host/nobody/.access", "");
    put("host/nobody/index.gmi", "# Nobody\n");
    put("host/broken/index.gmi", "# Broken\n");
    snprintf(path, sizeof path, "%s/host/broken/.access", root);
    cr_assert_eq(mkdir(path, 0755), 0);
    cr_assert_eq(capsules_open(&capsules, root), 0);
    capsules.language = "en";
}

static void end(void) {
    char command[128];
    capsules_close(&capsules);
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert_eq(system(command), 0);
}

TestSuite(rules, .init = begin, .fini = end, .timeout = 30);

static struct reply reply;

static void ask(const char *path, struct visitor *visitor) {
    char line[1200];
    struct request request;
    int length = snprintf(line, sizeof line, "gemini://host%s\r\n", path);
    cr_assert_eq(request_parse(line, (size_t)length, &request), REQUEST_VALID, "%s", path);
    reply = (struct reply){.body = -1};
    capsules_answer(&capsules, &request, visitor, &reply);
}

static void expect(const char *path, const char *fingerprint, bool valid, enum status status, const char *meta) {
    struct visitor visitor = {.has_certificate = fingerprint != NULL, .certificate_valid = valid};
    if (fingerprint)
        strcpy(visitor.fingerprint, fingerprint);
    ask(path, &visitor);
    cr_expect_eq(reply.status, status, "%s is %d %s, not %d", path, (int)reply.status, reply.meta, (int)status);
    if (meta)
        cr_expect_str_eq(reply.meta, meta, "%s is %d %s", path, (int)reply.status, reply.meta);
    reply_dispose(&reply);
}

Test(rules, metadata) {
    static const struct {
        const char *path;
        enum status status;
        const char *meta;
    } requests[] = {
        {"/", STATUS_SUCCESS, "text/gemini; lang=en"},
        {"/page.gmi", STATUS_SUCCESS, "text/gemini;lang=de"},
        {"/notes.txt", STATUS_SUCCESS, "text/markdown; charset=utf-8"},
        {"/gone.gmi", STATUS_GONE, "It is gone"},
        {"/moved/a", STATUS_REDIRECT_TEMPORARY, "/new/"},
        {"/moved/a/b.gmi", STATUS_REDIRECT_TEMPORARY, "/new/"},
        {"/old", STATUS_REDIRECT_PERMANENT, "/new/"},
        {"/old/", STATUS_REDIRECT_PERMANENT, "/new/"},
        {"/older", STATUS_NOT_FOUND, NULL},
        {"/ask", STATUS_INPUT, "Your name?"},
        {"/data.bin", STATUS_TEMPORARY_FAILURE, "Being repaired"},
        {"/empty.gmi", STATUS_SUCCESS, "text/plain"},
        {"/sub/over.gmi", STATUS_SUCCESS, "text/gemini;lang=it"},
        {"/sub/", STATUS_SUCCESS, "text/gemini;lang=es"},
        {"/sub", STATUS_REDIRECT_PERMANENT, "/sub/"},
        {"/.meta", STATUS_NOT_FOUND, NULL},
        {"/sub/.meta", STATUS_NOT_FOUND, NULL},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        expect(requests[i].path, NULL, false, requests[i].status, requests[i].meta);
}

Test(rules, changed_metadata_counts_at_once) {
    expect("/gone.gmi", NULL, false, STATUS_GONE, NULL);
    put("host/.meta", "gone.gmi: 51 Not yet\n");
    expect("/gone.gmi", NULL, false, STATUS_NOT_FOUND, "Not yet");
    expect("/page.gmi", NULL, false, STATUS_SUCCESS, "text/gemini; lang=en");
}

Test(rules, listings) {
    struct visitor visitor = {0};
    ask("/list/", &visitor);
    cr_assert_eq(reply.status, STATUS_SUCCESS);
    cr_expect_str_eq(reply.meta, "text/gemini;lang=nl");
    cr_assert_not_null(reply.text);
    char *page = strndup(reply.text, reply.body_size);
    cr_expect_eq(strncmp(page, "# What lies here\nHave a look.\n", 30), 0, "%s", page);
    const char *folder = strstr(page, "=> a/"), *file = strstr(page, "=> b%20file.gmi");
    cr_expect(folder && file && folder < file, "%s", page);
    cr_expect(!strstr(page, "hidden") && !strstr(page, "out.gmi") && !strstr(page, "pipe"), "%s", page);
    free(page);
    reply_dispose(&reply);
    expect("/list/a/", NULL, false, STATUS_SUCCESS, "text/gemini; lang=en");
    expect("/list", NULL, false, STATUS_REDIRECT_PERMANENT, "/list/");
    expect("/bare/", NULL, false, STATUS_NOT_FOUND, NULL);
    expect("/list/.directory-listing-ok", NULL, false, STATUS_NOT_FOUND, NULL);
}

Test(rules, who_may_enter) {
    static const struct {
        const char *path, *fingerprint;
        bool valid;
        enum status status;
    } requests[] = {
        {"/club/", NULL, false, STATUS_CERTIFICATE_REQUIRED},
        {"/club", NULL, false, STATUS_CERTIFICATE_REQUIRED},
        {"/club/index.gmi", NULL, false, STATUS_CERTIFICATE_REQUIRED},
        {"/club/missing.gmi", NULL, false, STATUS_CERTIFICATE_REQUIRED},
        {"/club/gone.gmi", NULL, false, STATUS_CERTIFICATE_REQUIRED},
        {"/club/", ADA, false, STATUS_CERTIFICATE_NOT_VALID},
        {"/club/", BOB, true, STATUS_CERTIFICATE_NOT_AUTHORISED},
        {"/club/missing.gmi", BOB, true, STATUS_CERTIFICATE_NOT_AUTHORISED},
        {"/club/", ADA, true, STATUS_SUCCESS},
        {"/club", ADA, true, STATUS_REDIRECT_PERMANENT},
        {"/club/missing.gmi", ADA, true, STATUS_NOT_FOUND},
        {"/club/gone.gmi", ADA, true, STATUS_GONE},
        {"/club/.access", ADA, true, STATUS_NOT_FOUND},
        {"/club/board/minutes.gmi", ADA, true, STATUS_SUCCESS},
        {"/club/board/minutes.gmi", BOB, true,
         STATUS_CERTIFICATE_NOT_AUTHORISED}, /* the outer list does not know Bob */
        {"/nobody/", ADA, true, STATUS_CERTIFICATE_NOT_AUTHORISED},
        {"/nobody/", NULL, true, STATUS_CERTIFICATE_REQUIRED},
        {"/broken/", ADA, true, STATUS_TEMPORARY_FAILURE},
        {"/broken/", NULL, true, STATUS_TEMPORARY_FAILURE},
        {"/", BOB, false, STATUS_SUCCESS},
        {"/page.gmi", BOB, true, STATUS_SUCCESS},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        expect(requests[i].path, requests[i].fingerprint, requests[i].valid, requests[i].status, NULL);
}

Test(rules, the_innermost_list_names_the_visitor) {
    struct visitor visitor = {.has_certificate = true, .certificate_valid = true, .fingerprint = ADA};
    ask("/club/", &visitor);
    cr_expect_str_eq(visitor.name, "Ada");
    reply_dispose(&reply);
    ask("/club/board/minutes.gmi", &visitor);
    cr_expect_str_eq(visitor.name, "President");
    reply_dispose(&reply);
    ask("/", &visitor);
    cr_expect_str_eq(visitor.name, "");
    reply_dispose(&reply);
}

/* ---- what the owner hears of ---- */

/* Asks for a path `times` times and counts the lines of the log that hold `text`. */
static unsigned logged(const char *path, unsigned times, const char *text) {
    char line[1024];
    unsigned count = 0;
    FILE *log = tmpfile();
    int usual = dup(STDERR_FILENO);
    cr_assert(log && usual >= 0);
    dup2(fileno(log), STDERR_FILENO);
    for (unsigned i = 0; i < times; i++) {
        struct visitor visitor = {0};
        ask(path, &visitor);
        reply_dispose(&reply);
    }
    dup2(usual, STDERR_FILENO);
    close(usual);
    rewind(log);
    while (fgets(line, sizeof line, log)) {
        if (strstr(line, text))
            count++;
    }
    fclose(log);
    return count;
}

static void link_to(const char *target, const char *path) {
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    cr_assert_eq(symlink(target, whole), 0);
}

Test(rules, faults_are_told_once_for_each_version) {
    cr_expect_eq(logged("/page.gmi", 3, "\"host/.meta\":3: "), 1);
    put("host/.meta", "fine.gmi: ;lang=en\nanother fault\n");
    cr_expect_eq(logged("/page.gmi", 3, "\"host/.meta\":2: "), 1);
    put("host/.meta", "fine.gmi: ;lang=en\n");
    cr_expect_eq(logged("/page.gmi", 3, ".meta"), 0);
}

Test(rules, files_that_cannot_be_opened_are_told_of) {
    static const struct {
        const char *name, *target;
    } links[] = {
        {"dangling", "nowhere"},
        {"escaping", "/etc/passwd"},
        {"circle", ".access"},
    };
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        char path[128], text[160];
        snprintf(path, sizeof path, "host/%s/index.gmi", links[i].name);
        put(path, "# Here\n");
        snprintf(path, sizeof path, "host/%s/.access", links[i].name);
        link_to(links[i].target, path);
        snprintf(text, sizeof text, "\"%s\":1: cannot be read", path);
        snprintf(path, sizeof path, "/%s/", links[i].name);
        cr_expect_eq(logged(path, 3, text), 1, "%s", text);
        expect(path, ADA, true, STATUS_TEMPORARY_FAILURE, NULL);

        snprintf(path, sizeof path, "host/%s-meta/index.gmi", links[i].name);
        put(path, "# Here\n");
        snprintf(path, sizeof path, "host/%s-meta/.meta", links[i].name);
        link_to(strcmp(links[i].target, ".access") == 0 ? ".meta" : links[i].target, path);
        snprintf(text, sizeof text, "\"%s\":1: cannot be read", path);
        snprintf(path, sizeof path, "/%s-meta/", links[i].name);
        cr_expect_eq(logged(path, 3, text), 1, "%s", text);
        expect(path, NULL, false, STATUS_SUCCESS, NULL);
    }
}

Test(rules, files_without_the_right_to_read_are_told_of) {
    char path[512];
    put("host/shut/index.gmi", "# Shut\n");
    put("host/shut/.access", ADA " Ada\n");
    snprintf(path, sizeof path, "%s/host/shut/.access", root);
    cr_assert_eq(chmod(path, 0), 0);
    cr_assert_eq(chmod(root, 0755), 0);
    if (geteuid() == 0)
        cr_assert_eq(seteuid(65534), 0);
    unsigned count = logged("/shut/", 3, "\"host/shut/.access\":1: cannot be read");
    expect("/shut/", ADA, true, STATUS_TEMPORARY_FAILURE, NULL);
    if (getuid() == 0)
        cr_assert_eq(seteuid(0), 0);
    cr_expect_eq(count, 1);
}

Test(rules, nothing_blocks) {
    char path[512];
    put("host/pipes/index.gmi", "# Pipes\n");
    snprintf(path, sizeof path, "%s/host/pipes/.meta", root);
    cr_assert_eq(mkfifo(path, 0644), 0);
    put("host/piped/index.gmi", "# Piped\n");
    snprintf(path, sizeof path, "%s/host/piped/.access", root);
    cr_assert_eq(mkfifo(path, 0644), 0);
    put("host/marked/file.gmi", "# Marked\n");
    snprintf(path, sizeof path, "%s/host/marked/.directory-listing-ok", root);
    cr_assert_eq(mkfifo(path, 0644), 0);
    expect("/pipes/", NULL, false, STATUS_SUCCESS, NULL);
    expect("/piped/", ADA, true, STATUS_TEMPORARY_FAILURE, NULL);
    expect("/marked/", NULL, false, STATUS_NOT_FOUND, NULL);
}

/* A linked folder is entered as the folder that it is; a list that lies in the folder linked to counts. */
Test(rules, links_into_a_protected_folder) {
    link_to("club", "host/door");
    link_to("host/club", "clubhouse");
    expect("/door/", NULL, false, STATUS_CERTIFICATE_REQUIRED, NULL);
    expect("/door/gone.gmi", BOB, true, STATUS_CERTIFICATE_NOT_AUTHORISED, NULL);
    expect("/door/", ADA, true, STATUS_SUCCESS, NULL);
}

/* While descriptors are short a protected folder stays shut. */
Test(rules, no_descriptor_left) {
    struct rlimit limit, few;
    int first = dup(0);
    cr_assert_geq(first, 0);
    close(first);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = (rlim_t)first;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    expect("/club/", NULL, false, STATUS_SERVER_UNAVAILABLE, NULL);
    expect("/club/missing.gmi", BOB, true, STATUS_SERVER_UNAVAILABLE, NULL);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    expect("/club/", NULL, false, STATUS_CERTIFICATE_REQUIRED, NULL);
}

Test(rules, long_listings_say_so) {
    static const char note[] = "\nThis folder holds more than is listed here.\n";
    char path[64];
    put("host/many/.directory-listing-ok", "");
    for (unsigned i = 0; i < 4096; i++) {
        snprintf(path, sizeof path, "host/many/%04u", i);
        put(path, "");
    }
    for (unsigned more = 0; more < 2; more++) {
        struct visitor visitor = {0};
        unsigned links = 0;
        ask("/many/", &visitor);
        cr_assert_eq(reply.status, STATUS_SUCCESS);
        char *page = strndup(reply.text, reply.body_size);
        for (const char *at = page; (at = strstr(at, "\n=> ")); at++)
            links++;
        cr_expect_eq(links, 4096);
        cr_expect_eq(strstr(page, note) != NULL, more == 1);
        free(page);
        reply_dispose(&reply);
        put("host/many/more", "");
    }
}
