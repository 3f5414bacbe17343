/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the owner's files affect requests: access lists, metadata and listings, in a real tree. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "content/capsule.h"
#include "content/file_version.h"
#include "content/folder_listing.h"
#include "content/rules_file.h"
#include "logged.h"
#include "pretended.h"

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
    file_version_below(capsules.folder);
    capsules.language = "en";
}

static void end(void) {
    char command[128];
    capsules_close(&capsules);
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert_eq(system(command), 0);
}

TestSuite(path_rules, .init = begin, .fini = end, .timeout = 30);

static struct reply reply;

static void ask_host(const char *host, const char *path, struct client *client) {
    char line[1200];
    struct request request;
    int length = snprintf(line, sizeof line, "gemini://%s%s\r\n", host, path);
    cr_assert_eq(request_parse(line, (size_t)length, &request), REQUEST_VALID, "%s", path);
    reply = (struct reply){.body = -1};
    capsules_answer(&capsules, &request, client, &reply);
}

static void ask(const char *path, struct client *client) {
    ask_host("host", path, client);
}

static void expect(const char *path, const char *fingerprint, bool valid, enum status status, const char *meta) {
    struct client client = {.has_certificate = fingerprint != NULL,
                            .certificate_state = valid ? CERTIFICATE_VALID : CERTIFICATE_EXPIRED};
    if (fingerprint)
        strcpy(client.fingerprint, fingerprint);
    ask(path, &client);
    cr_expect_eq(reply.status, status, "%s is %d %s, not %d", path, (int)reply.status, reply.meta, (int)status);
    if (meta)
        cr_expect_str_eq(reply.meta, meta, "%s is %d %s", path, (int)reply.status, reply.meta);
    reply_dispose(&reply);
}

Test(path_rules, metadata) {
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

/* Descriptor 0 works like all others: a page that is opened as 0 exists. */
Test(path_rules, without_a_standard_input) {
    put("host/.meta", "sub: 52 It is gone\nmissing: 52 It is gone, too\n");
    put("host/sub/.meta", "");
    close(STDIN_FILENO);
    expect("/sub/", NULL, false, STATUS_SUCCESS, NULL);
    expect("/missing/", NULL, false, STATUS_GONE, NULL);
    expect("/list/", NULL, false, STATUS_SUCCESS, NULL);
    expect("/club/", ADA, true, STATUS_SUCCESS, NULL);
    expect("/club/", BOB, true, STATUS_CERTIFICATE_NOT_AUTHORISED, NULL);
    expect("/club/board", ADA, true, STATUS_REDIRECT_PERMANENT, NULL);
    expect("/nobody/", ADA, true, STATUS_CERTIFICATE_NOT_AUTHORISED, NULL);
    cr_expect_lt(fcntl(0, F_GETFD), 0, "nothing stays open");
}

Test(path_rules, changed_metadata_counts_at_once) {
    expect("/gone.gmi", NULL, false, STATUS_GONE, NULL);
    put("host/.meta", "gone.gmi: 51 Not yet\n");
    expect("/gone.gmi", NULL, false, STATUS_NOT_FOUND, "Not yet");
    expect("/page.gmi", NULL, false, STATUS_SUCCESS, "text/gemini; lang=en");
}

Test(path_rules, listings) {
    struct client client = {0};
    ask("/list/", &client);
    cr_assert_eq(reply.status, STATUS_SUCCESS);
    cr_expect_str_eq(reply.meta, "text/gemini;lang=nl");
    cr_assert_not_null(reply.text);
    char *page = strndup(reply.text->bytes, reply.body_size);
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

Test(path_rules, who_may_enter) {
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
         STATUS_CERTIFICATE_NOT_AUTHORISED}, /* the outer list does not contain Bob */
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

Test(path_rules, the_innermost_list_names_the_visitor) {
    struct client client = {.has_certificate = true, .fingerprint = ADA};
    ask("/club/", &client);
    cr_expect_str_eq(client.name, "Ada");
    reply_dispose(&reply);
    ask("/club/board/minutes.gmi", &client);
    cr_expect_str_eq(client.name, "President");
    reply_dispose(&reply);
    ask("/", &client);
    cr_expect_str_eq(client.name, "");
    reply_dispose(&reply);
}

Test(path_rules, status_62_says_why) {
    static const struct {
        enum certificate_state state;
        const char *meta;
    } cases[] = {{CERTIFICATE_EARLY, "The certificate is not valid yet"},
                 {CERTIFICATE_EXPIRED, "The certificate has expired"},
                 {CERTIFICATE_UNFIT, "The certificate is not valid"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client client = {.has_certificate = true, .certificate_state = cases[i].state, .fingerprint = ADA};
        ask("/club/", &client);
        cr_expect_eq(reply.status, STATUS_CERTIFICATE_NOT_VALID);
        cr_expect_str_eq(reply.meta, cases[i].meta);
        reply_dispose(&reply);
    }
}

/* ---- log messages for the owner ---- */

/* Requests a path `times` times and counts the lines of the log that contain `text`. */
static unsigned logged(const char *path, unsigned times, const char *text) {
    char line[1024];
    unsigned count = 0;
    FILE *log = tmpfile();
    int usual = dup(STDERR_FILENO);
    cr_assert(log && usual >= 0);
    dup2(fileno(log), STDERR_FILENO);
    for (unsigned i = 0; i < times; i++) {
        struct client client = {0};
        ask(path, &client);
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

Test(path_rules, faults_are_told_once_for_each_version) {
    cr_expect_eq(logged("/page.gmi", 3, "\"host/.meta\":3: "), 1);
    put("host/.meta", "fine.gmi: ;lang=en\nanother fault\n");
    cr_expect_eq(logged("/page.gmi", 3, "\"host/.meta\":2: "), 1);
    put("host/.meta", "fine.gmi: ;lang=en\n");
    cr_expect_eq(logged("/page.gmi", 3, ".meta"), 0);
}

/* An author must not be able to fill the log. */
Test(path_rules, faults_are_told_within_bounds) {
    char text[16 * RULES_FILE_FAULTS] = "";
    for (int i = 0; i < 4 * RULES_FILE_FAULTS; i++)
        strcat(text, "x\n");
    put("host/.meta", text);
    cr_expect_eq(logged("/page.gmi", 3, "\"host/.meta\":"), RULES_FILE_FAULTS);
    strcat(text, "x\n"); /* another size: within a tick of the clock, the same size is the same version */
    put("host/.meta", text);
    cr_expect_eq(logged("/page.gmi", 3, "\"host/.meta\" has more faults; to list all"), 1);
    strcpy(text + 2 * RULES_FILE_FAULTS, "");
    put("host/.meta", text);
    cr_expect_eq(logged("/page.gmi", 3, "more faults"), 0, "that were all");
}

Test(path_rules, files_that_cannot_be_opened_are_told_of) {
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

Test(path_rules, files_without_the_right_to_read_are_told_of) {
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

Test(path_rules, nothing_blocks) {
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

/* A linked folder is treated as the folder that it links to: an access list in that folder applies. */
Test(path_rules, links_into_a_protected_folder) {
    link_to("club", "host/door");
    link_to("host/club", "clubhouse");
    expect("/door/", NULL, false, STATUS_CERTIFICATE_REQUIRED, NULL);
    expect("/door/gone.gmi", BOB, true, STATUS_CERTIFICATE_NOT_AUTHORISED, NULL);
    expect("/door/", ADA, true, STATUS_SUCCESS, NULL);
    /* So is a whole capsule that is a link into a protected folder. */
    struct client nobody = {0}, ada = {.has_certificate = true, .certificate_state = CERTIFICATE_VALID};
    strcpy(ada.fingerprint, ADA);
    for (const char *const *path = (const char *const[]){"/", "/gone.gmi", "/missing.gmi", NULL}; *path; path++) {
        ask_host("clubhouse", *path, &nobody);
        cr_expect_eq(reply.status, STATUS_CERTIFICATE_REQUIRED, "%s is %d", *path, (int)reply.status);
        reply_dispose(&reply);
    }
    ask_host("clubhouse", "/", &ada);
    cr_expect_eq(reply.status, STATUS_SUCCESS);
    reply_dispose(&reply);
}

/* Rules apply to the place where a file really is, whatever path leads there. */
Test(path_rules, no_link_leads_around_an_access_list) {
    put("other/index.gmi", "# Other\n");
    put("host/open/index.gmi", "# Open\n");
    put("host/club/rooms/cellar/wine.gmi", "# Wine\n");
    link_to("../club/board/minutes.gmi", "host/open/minutes.gmi");
    link_to("../club/rooms", "host/open/rooms");
    link_to("club/rooms", "host/way");
    link_to("way/cellar", "host/far");
    link_to("host/club/rooms", "rooms.example");
    link_to("../host/club", "other/club");
    link_to("../host/club/index.gmi", "other/club.gmi");
    link_to("../page.gmi", "host/club/out.gmi");
    static const struct {
        const char *host, *path, *fingerprint;
        enum status status;
    } requests[] = {
        {"host", "/open/minutes.gmi", NULL, STATUS_CERTIFICATE_REQUIRED},
        {"host", "/open/minutes.gmi", BOB, STATUS_CERTIFICATE_NOT_AUTHORISED},
        {"host", "/open/minutes.gmi", ADA, STATUS_SUCCESS},
        {"host", "/open/rooms/cellar/wine.gmi", NULL, STATUS_CERTIFICATE_REQUIRED},
        {"host", "/open/rooms/cellar/missing.gmi", NULL, STATUS_CERTIFICATE_REQUIRED},
        {"host", "/open/rooms", NULL, STATUS_CERTIFICATE_REQUIRED},
        {"host", "/way/cellar/wine.gmi", NULL, STATUS_CERTIFICATE_REQUIRED},
        {"host", "/far/wine.gmi", NULL, STATUS_CERTIFICATE_REQUIRED},
        {"host", "/far/wine.gmi", ADA, STATUS_SUCCESS},
        /* An administrator's link leads into the middle of a capsule, whose access lists still apply. */
        {"rooms.example", "/cellar/wine.gmi", NULL, STATUS_CERTIFICATE_REQUIRED},
        {"rooms.example", "/cellar/wine.gmi", ADA, STATUS_SUCCESS},
        /* Another author's capsule. */
        {"other", "/club/", ADA, STATUS_NOT_FOUND},
        {"other", "/club/", NULL, STATUS_NOT_FOUND},
        {"other", "/club.gmi", NULL, STATUS_NOT_FOUND},
        /* A link out of a protected folder works for members of that folder. */
        {"host", "/club/out.gmi", NULL, STATUS_CERTIFICATE_REQUIRED},
        {"host", "/club/out.gmi", ADA, STATUS_SUCCESS},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct client client = {.has_certificate = requests[i].fingerprint != NULL,
                                .certificate_state = CERTIFICATE_VALID};
        if (requests[i].fingerprint)
            strcpy(client.fingerprint, requests[i].fingerprint);
        ask_host(requests[i].host, requests[i].path, &client);
        cr_expect_eq(reply.status, requests[i].status, "%s%s (%zu) is %d", requests[i].host, requests[i].path, i,
                     (int)reply.status);
        reply_dispose(&reply);
    }
}

/* Metadata is read where a file really is; a rules file that is a link must not lead out of its capsule. */
Test(path_rules, metadata_and_lists_behind_links) {
    put("host/real/page.gmi", "# Page\n");
    put("host/real/.meta", "page.gmi: ;lang=fi\ngone.gmi: 52 Gone\n");
    put("host/named/other.gmi", "# Other\n");
    put("host/shown/a.gmi", "# A\n");
    put("host/told/a.gmi", "# A\n");
    put("host/shared/.meta", "*.gmi: ;lang=sv\n");
    put("other/secret.gmi", "=> secret\n");
    link_to("real", "host/linked");
    link_to("../real/page.gmi", "host/named/page.gmi");
    link_to("../shared/.meta", "host/named/.meta");
    link_to("../../other/secret.gmi", "host/shown/.directory-listing-ok");
    link_to("../club/index.gmi", "host/told/.directory-listing-ok");
    link_to("../../host/club/.access", "other/.access");
    expect("/linked/page.gmi", NULL, false, STATUS_SUCCESS, "text/gemini;lang=fi");
    expect("/linked/gone.gmi", NULL, false, STATUS_GONE, "Gone");
    expect("/named/page.gmi", NULL, false, STATUS_SUCCESS, "text/gemini;lang=fi");
    expect("/named/other.gmi", NULL, false, STATUS_SUCCESS, "text/gemini;lang=sv");
    expect("/shown/", NULL, false, STATUS_NOT_FOUND, NULL);
    expect("/told/", NULL, false, STATUS_NOT_FOUND, NULL);
}

/* Returns the number of lines logged while a page was requested. */
static size_t lines_logged_by(const char *path) {
    logged_begin();
    expect(path, NULL, false, STATUS_SUCCESS, NULL);
    return logged_count(logged_end(), "\n");
}

/* A worker reports a limited number of files per hour, and says once that it reports no more. */
Test(path_rules, faults_of_many_files_are_told_once) {
    char path[64];
    size_t all = RULES_FILES_HOURLY + 10;
    put("host/.meta", "fine.gmi: ;lang=en\n"); /* without a fault, which would be reported, too */
    for (size_t i = 0; i < all; i++) {
        snprintf(path, sizeof path, "host/faulty/%zu/.meta", i);
        put(path, "no colon\n");
        snprintf(path, sizeof path, "host/faulty/%zu/page.gmi", i);
        put(path, "# Page\n");
    }
    for (size_t i = 0; i < all; i++) {
        snprintf(path, sizeof path, "/faulty/%zu/page.gmi", i);
        cr_expect_eq(lines_logged_by(path), i <= RULES_FILES_HOURLY ? 1 : 0, "%s", path);
        cr_expect_eq(lines_logged_by(path), 0, "%s is told twice", path);
    }
    cr_expect_eq(lines_logged_by("/faulty/0/page.gmi"), 0, "nothing is forgotten");
    pretended_time = real_time() + 3590;
    cr_expect_eq(lines_logged_by(path), 0, "it is still the same hour");
    pretended_time = real_time() + 3601;
    cr_expect_eq(lines_logged_by(path), 1, "the next hour");
    cr_expect_eq(lines_logged_by(path), 0);
}

/* An owner may use one list for several folders, through links. */
Test(path_rules, a_list_by_a_link) {
    put("host/guild/index.gmi", "# Guild\n");
    link_to("../club/.access", "host/guild/.access");
    expect("/guild/", ADA, true, STATUS_SUCCESS, NULL);
    expect("/guild/", BOB, true, STATUS_CERTIFICATE_NOT_AUTHORISED, NULL);
    expect("/guild/", NULL, false, STATUS_CERTIFICATE_REQUIRED, NULL);
}

/* A listing that is empty differs from no listing. */
Test(path_rules, a_listed_folder_that_is_empty) {
    struct client client = {0};
    put("host/vacant/.directory-listing-ok", "# Nothing yet\n");
    ask("/vacant/", &client);
    cr_assert_eq(reply.status, STATUS_SUCCESS);
    cr_expect_eq(reply.body_size, reply.text->size);
    char *page = strndup(reply.text->bytes, reply.body_size);
    cr_expect_not_null(strstr(page, "# Nothing yet"), "%s", page);
    cr_expect_null(strstr(page, "=> ."), "%s", page);
    free(page);
    reply_dispose(&reply);
}

/* Returns the number of links in a listing, and whether it says that there are more. */
static unsigned links_of(const char *path, bool *is_cut) {
    struct client client = {0};
    unsigned links = 0;
    ask(path, &client);
    cr_assert_eq(reply.status, STATUS_SUCCESS);
    cr_expect_leq(reply.body_size, FOLDER_LISTING_MAX);
    char *page = strndup(reply.text->bytes, reply.body_size);
    for (const char *at = page; (at = strstr(at, "\n=> ")); at++)
        links++;
    cr_expect_eq(strlen(page), reply.body_size);
    *is_cut = strstr(page, "\nThis folder contains more files than are listed here.\n") != NULL;
    free(page);
    reply_dispose(&reply);
    return links;
}

static void expect_shown_links(struct client *client) {
    ask("/links/", client);
    cr_assert_eq(reply.status, STATUS_SUCCESS);
    char *page = strndup(reply.text->bytes, reply.body_size);
    cr_expect(strstr(page, "=> good.gmi ") && strstr(page, "=> folder/ ") && strstr(page, "=> closed.gmi ") &&
                  strstr(page, "=> over.gmi "),
              "%s", page);
    for (const char *const *name = (const char *const[]){"club.gmi", "other", "system", "hidden", "dangling", NULL};
         *name; name++)
        cr_expect_null(strstr(page, *name), "%s is in %s", *name, page);
    free(page);
    reply_dispose(&reply);
}

/* What a listing shows of links: only what this link shows to everybody who sees the listing. */
Test(path_rules, links_in_listings) {
    struct client client = {0}, member = {.has_certificate = true, .fingerprint = ADA};
    put("host/links/.directory-listing-ok", "");
    put("other/index.gmi", "# Other\n");
    put("host/.secret", "x");
    put("host/links/closed.gmi", "x");
    link_to("../page.gmi", "host/links/good.gmi");
    link_to("../sub", "host/links/folder");
    link_to("../club/index.gmi", "host/links/club.gmi");
    link_to("../club", "host/links/clubhouse");
    link_to("../../other/index.gmi", "host/links/other.gmi");
    link_to("/etc/passwd", "host/links/system.gmi");
    link_to("../.secret", "host/links/hidden.gmi");
    link_to("nowhere", "host/links/dangling.gmi");
    link_to("../sub/over.gmi", "host/links/over.gmi");
    int before = dup(capsules.folder);
    close(before);
    expect_shown_links(&client);
    /* A member sees no more, because others get the same text. */
    expect_shown_links(&member);
    /* Nothing stays open, and descriptor 0 works like all others. */
    int after = dup(capsules.folder);
    close(after);
    cr_expect_eq(after, before);
    close(STDIN_FILENO);
    expect_shown_links(&client);
}

/* A link takes as long as eight names, so at most 512 links are checked. */
Test(path_rules, listings_of_many_links) {
    char path[64];
    bool is_cut;
    put("host/linked/.directory-listing-ok", "");
    for (unsigned i = 0; i < 512; i++) {
        snprintf(path, sizeof path, "host/linked/%03u", i);
        link_to("../page.gmi", path);
    }
    cr_expect_eq(links_of("/linked/", &is_cut), 512);
    cr_expect_not(is_cut);
    link_to("../page.gmi", "host/linked/more");
    cr_expect_eq(links_of("/linked/", &is_cut), 512);
    cr_expect(is_cut);
}

Test(path_rules, the_longest_preamble) {
    static char text[65538];
    memset(text, 'p', sizeof text - 1);
    put("host/said/.directory-listing-ok", text);
    expect("/said/", NULL, false, STATUS_TEMPORARY_FAILURE, NULL);
    text[65536] = '\0';
    put("host/said/.directory-listing-ok", text);
    expect("/said/", NULL, false, STATUS_SUCCESS, NULL);
}

static double seconds_for(const char *path, unsigned times) {
    clock_t begun = clock();
    for (unsigned i = 0; i < times; i++) {
        struct client client = {0};
        ask(path, &client);
        cr_expect_eq(reply.status, STATUS_SUCCESS);
        reply_dispose(&reply);
    }
    return (double)(clock() - begun) / CLOCKS_PER_SEC;
}

/* Names that cannot be served count, so that a folder full of them takes no longer than one full of files. */
Test(path_rules, names_that_cannot_be_served_count) {
    char path[64];
    put("host/full/.directory-listing-ok", "");
    put("host/dead/.directory-listing-ok", "");
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(path, sizeof path, "host/dead/%05u", i);
        link_to("nowhere", path);
    }
    for (unsigned i = 0; i < 4096; i++) {
        snprintf(path, sizeof path, "host/full/%05u", i);
        put(path, "");
    }
    double full = seconds_for("/full/", 5), dead = seconds_for("/dead/", 5);
    cr_expect_lt(dead, 3 * full, "%.1f ms, of files %.1f ms", dead * 200, full * 200);
}

/* Requests a listing. Returns its text, which is valid as long as it is kept, or until the next request. */
static const struct reply_text *listing_of(const char *path) {
    struct client client = {0};
    reply_dispose(&reply);
    ask(path, &client);
    cr_assert_eq(reply.status, STATUS_SUCCESS);
    cr_expect_eq(reply.body_size, reply.text->size);
    return reply.text;
}

/* A page that is a link to a missing target elsewhere does not count: the folder's other page is served. */
Test(path_rules, a_page_that_leads_to_nothing) {
    struct client client = {0};
    char path[96];
    put("host/two/index.gemini", "the other\n");
    snprintf(path, sizeof path, "%s/host/two/index.gmi", root);
    cr_assert_eq(symlink("../elsewhere/gone.gmi", path), 0);
    snprintf(path, sizeof path, "%s/host/elsewhere", root);
    cr_assert_eq(mkdir(path, 0755), 0);
    ask("/two/", &client);
    cr_expect_eq(reply.status, STATUS_SUCCESS, "%d", reply.status);
    reply_dispose(&reply);
}

/* A listing is reused for two seconds, unless its folder changes. */
Test(path_rules, listings_are_kept) {
    reply.body = -1;
    put("host/kept/.directory-listing-ok", "# Kept\n");
    put("host/kept/one.gmi", "");
    struct stat status;
    char path[64];
    snprintf(path, sizeof path, "%s/host/kept", root);
    cr_assert_eq(stat(path, &status), 0);
    time_t made = status.st_ctime;
    for (time_t later = 0; later <= FOLDER_LISTING_SECONDS; later++) { /* recently changed folders are not kept */
        pretended_time = made + later;
        listing_of("/kept/");
        size_t alone = folder_listing_total();
        reply_dispose(&reply);
        cr_expect_lt(folder_listing_total(), alone);
    }
    made += 10;
    pretended_time = made;
    const struct reply_text *text = listing_of("/kept/");
    size_t all = folder_listing_total();
    cr_expect_eq(listing_of("/kept/"), text);
    char *mark = (char *)(uintptr_t)text->bytes; /* a new text does not have this mark, even in the same memory */
    *mark = '!';
    pretended_time = made + FOLDER_LISTING_SECONDS - 1;
    cr_expect_eq(listing_of("/kept/"), text);
    cr_expect_eq(text->holders, 2, "the one that is kept, and this answer");
    cr_expect_eq(*text->bytes, '!');
    /* After it expires, its memory is freed. */
    pretended_time = made + FOLDER_LISTING_SECONDS;
    listing_of("/kept/");
    cr_expect_eq(*reply.text->bytes, '#', "it is older than two seconds");
    cr_expect_eq(reply.text->holders, 2);
    cr_expect_eq(folder_listing_total(), all);
    /* If the clock is set back, it expires, too. */
    text = listing_of("/kept/");
    mark = (char *)(uintptr_t)text->bytes;
    *mark = '!';
    pretended_time = made + FOLDER_LISTING_SECONDS - 1;
    listing_of("/kept/");
    cr_expect_eq(*reply.text->bytes, '#', "it is of the future");
    cr_expect_eq(folder_listing_total(), all);
    pretended_time = made + FOLDER_LISTING_SECONDS;
    text = listing_of("/kept/");
    cr_expect_eq(listing_of("/kept/"), text);
    /* A change takes effect at once. */
    put("host/kept/new.gmi", "");
    listing_of("/kept/");
    char *page = strndup(reply.text->bytes, reply.body_size);
    cr_expect_not_null(strstr(page, "=> new.gmi "));
    free(page);
    put("host/kept/.directory-listing-ok", "# Changed\n");
    listing_of("/kept/");
    cr_expect_eq(strncmp(reply.text->bytes, "# Changed\n", 10), 0);
    reply_dispose(&reply);
    pretended_time = 0;
}

/* Up to eight listings are kept, and each is found. */
Test(path_rules, eight_listings_are_kept) {
    const struct reply_text *texts[9];
    char path[64];
    reply.body = -1;
    for (int i = 0; i < 9; i++) {
        snprintf(path, sizeof path, "host/kept%d/.directory-listing-ok", i);
        put(path, "");
    }
    pretended_time = real_time() + 10;
    for (int i = 0; i < 8; i++) {
        snprintf(path, sizeof path, "/kept%d/", i);
        texts[i] = listing_of(path);
    }
    for (int i = 0; i < 8; i++) {
        snprintf(path, sizeof path, "/kept%d/", i);
        cr_expect_eq(listing_of(path), texts[i], "%d", i);
    }
    size_t all = folder_listing_total();
    listing_of("/kept8/");
    cr_expect_eq(folder_listing_total(), all, "the oldest gives way");
    reply_dispose(&reply);
    pretended_time = 0;
}

/* Many clients that read long listings slowly share one text, within the limit for all listings. */
Test(path_rules, listings_take_a_bounded_amount_of_memory) {
    char path[64];
    enum { FOLDERS = 20 };
    struct reply replies[FOLDERS];
    unsigned refused = 0;
    for (unsigned i = 0; i < FOLDERS; i++) {
        snprintf(path, sizeof path, "host/big%u/.directory-listing-ok", i);
        put(path, "");
        for (unsigned file = 0; file < 900; file++) {
            char name[256];
            snprintf(name, sizeof name, "host/big%u/%03u-%0100u", i, file, 0);
            put(name, "");
        }
    }
    for (unsigned i = 0; i < FOLDERS; i++) {
        struct client client = {0};
        snprintf(path, sizeof path, "/big%u/", i);
        ask(path, &client);
        replies[i] = reply;
        cr_expect(reply.status == STATUS_SUCCESS || reply.status == STATUS_SERVER_UNAVAILABLE, "%d", reply.status);
        refused += reply.status == STATUS_SERVER_UNAVAILABLE;
        cr_expect_leq(folder_listing_total(), FOLDER_LISTINGS_MAX);
    }
    cr_expect_gt(refused, 0);
    for (unsigned i = 0; i < FOLDERS; i++)
        reply_dispose(&replies[i]);
    expect("/big0/", NULL, false, STATUS_SUCCESS, NULL);
}

/* If descriptors run out, a protected folder stays closed. */
Test(path_rules, no_descriptor_left) {
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

/*
 * 704 names of 255 bytes, each twice in a line with at most 48 additional bytes, leave 384 bytes for path and preamble.
 */
Test(path_rules, the_longest_listing) {
    char path[300], preamble[400];
    bool is_cut;
    put("host/long/.directory-listing-ok", "");
    for (unsigned i = 0; i < 704; i++) {
        snprintf(path, sizeof path, "host/long/%0255u", i);
        put(path, "");
    }
    for (size_t more = 0; more < 2; more++) {
        size_t length = 384 - strlen("/long/") + more;
        memset(preamble, 'p', length);
        preamble[length] = '\0';
        put("host/long/.directory-listing-ok", preamble);
        cr_expect_eq(links_of("/long/", &is_cut), 704 - more);
        cr_expect_eq(is_cut, more == 1);
    }
}

Test(path_rules, long_listings_say_so) {
    char path[64];
    bool is_cut;
    put("host/many/.directory-listing-ok", "");
    for (unsigned i = 0; i < 4096; i++) {
        snprintf(path, sizeof path, "host/many/%04u", i);
        put(path, "");
    }
    cr_expect_eq(links_of("/many/", &is_cut), 4096);
    cr_expect_not(is_cut);
    put("host/many/more", "");
    cr_expect_eq(links_of("/many/", &is_cut), 4096);
    cr_expect(is_cut);
}

/* Access lists apply in every folder that a file's path can have. */
Test(path_rules, the_longest_path_of_a_folder) {
    struct lookup lookup;
    struct client client = {0};
    const struct question question = {.content = capsules.folder, .client = &client, .reply = &reply};
    char path[512];
    snprintf(path, sizeof path, "%s/host/club", root);
    int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(folder, 0);
    path_rules_begin(&lookup, &question);
    for (size_t length = sizeof lookup.path.text - 3; length < sizeof lookup.path.text; length++) {
        bool fits = length + 1 < sizeof lookup.path.text;
        memset(lookup.path.text, 'a', length);
        lookup.path.text[length] = '\0';
        lookup.refused = false;
        reply = (struct reply){.body = -1};
        cr_expect_eq(path_rules_admit_to_folder(&lookup, folder), !fits, "%zu bytes", length);
        cr_expect_eq(lookup.refused, fits);
        cr_expect_eq(reply.status, fits ? STATUS_CERTIFICATE_REQUIRED : 0);
        cr_expect_eq(strlen(lookup.path.text), length);
    }
    close(folder);
}
