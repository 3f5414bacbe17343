/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a request to a file: which files are served, with which type, and which never are. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/server.h"

static struct server server;

static void link_to(const char *target, const char *path) {
    char whole[256];
    snprintf(whole, sizeof whole, "%s/content/%s", server.folder, path);
    cr_assert_eq(symlink(target, whole), 0);
}

static void begin(void) {
    char path[128];
    server_prepare(&server);
    server_put_text(&server, "localhost/page.gmi", "# Page\n");
    server_put_text(&server, "localhost/page.gemini", "# Other ending\n");
    server_put_text(&server, "localhost/both/index.gmi", "# gmi\n");
    server_put_text(&server, "localhost/both/index.gemini", "# gemini\n");
    server_put_text(&server, "localhost/second/index.gemini", "# gemini\n");
    server_put_text(&server, "localhost/no-page/other.gmi", "# Other\n");
    server_put_text(&server, "localhost/a folder/index.gmi", "# Folder\n");
    server_put_text(&server, "localhost/.hidden.gmi", "SECRET");
    server_put_text(&server, "localhost/.git/config", "SECRET");
    server_put_text(&server, "localhost/both/.git/config", "SECRET");
    server_put_text(&server, "other.example/index.gmi", "# Another capsule\n");
    server_put_text(&server, "other.example/own.gmi", "SECRET");
    server_put_text(&server, "secret.gmi", "SECRET");
    server_put_text(&server, "shared.gmi", "# Shared\n");
    server_put_text(&server, "../secret.gmi", "SECRET");
    link_to("../../secret.gmi", "localhost/outside.gmi");
    link_to("../shared.gmi", "localhost/above.gmi");
    link_to("..", "localhost/up");
    link_to("/", "localhost/root");
    link_to("/etc/passwd", "localhost/passwd.txt");
    link_to("../../state", "localhost/state");
    link_to("page.gmi", "localhost/inside.gmi");
    snprintf(path, sizeof path, "%s/content/localhost/pipe.gmi", server.folder);
    cr_assert_eq(mkfifo(path, 0644), 0);
    server_start(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(pages, .init = begin, .fini = end, .timeout = 90);

static void expect_media_type(const char *request, const char *type) {
    const struct gemini_reply *reply = ask(&server, request);
    cr_expect_eq(reply->status, 20, "'%s' was answered with %d %s", request, reply->status, reply->meta);
    size_t length = strlen(type);
    cr_expect(strncmp(reply->meta, type, length) == 0 && (reply->meta[length] == '\0' || reply->meta[length] == ';'),
              "'%s' is '%s', not '%s'", request, reply->meta, type);
}

/* Must be refused with 59 or 51 (row 25), and the response must contain nothing from another place. */
static void expect_refused(const char *request) {
    const struct gemini_reply *reply = ask(&server, request);
    cr_expect(reply->status == 51 || reply->status == 59, "'%s' was answered with %d %s", request, reply->status,
              reply->meta);
    cr_expect_null(strstr(reply->bytes, "SECRET"), "'%s' gave a secret away", request);
}

Test(pages, row_16_a_folder_without_its_slash_is_one_hop) {
    char absolute[128];
    const struct gemini_reply *reply = ask(&server, "gemini://localhost:PORT/both");
    snprintf(absolute, sizeof absolute, "gemini://localhost:%u/both/", server.port);
    cr_expect_eq(reply->status, 31);
    cr_expect(strcmp(reply->meta, absolute) == 0 || strcmp(reply->meta, "/both/") == 0 ||
                  strcmp(reply->meta, "both/") == 0,
              "the way leads to '%s'", reply->meta);
    cr_expect_eq(ask(&server, "gemini://localhost:PORT/both/")->status, 20);

    reply = ask(&server, "gemini://localhost:PORT/a%20folder");
    cr_expect_eq(reply->status, 31);
    cr_expect(strstr(reply->meta, "a%20folder/") && !strchr(reply->meta, ' '), "the way leads to '%s'", reply->meta);
}

Test(pages, row_16_no_folder_name_leads_to_another_host) {
    /* "//both" is a folder by its path, but a redirect to "//both/" would lead to a host. */
    const struct gemini_reply *reply = ask(&server, "gemini://localhost:PORT//both");
    cr_expect(strncmp(reply->meta, "//", 2) != 0, "the way leads to '%s'", reply->meta);
    cr_expect(reply->status == 31 || reply->status == 51 || reply->status == 59);
}

Test(pages, row_25_no_way_out_of_the_content_folder) {
    static const char *const requests[] = {
        "gemini://localhost:PORT/..",
        "gemini://localhost:PORT/../",
        "gemini://localhost:PORT/../secret.gmi",
        "gemini://localhost:PORT/../../secret.gmi",
        "gemini://localhost:PORT/../other.example/own.gmi",
        "gemini://localhost:PORT/both/../../secret.gmi",
        "gemini://localhost:PORT/both/../../../secret.gmi",
        "gemini://localhost:PORT/../localhost/page.gmi",
        "gemini://localhost:PORT/../../../../../../../../etc/passwd",
        "gemini://localhost:PORT/%2e%2e/secret.gmi",
        "gemini://localhost:PORT/%2E%2e%2fsecret.gmi",
        "gemini://localhost:PORT/..%2fsecret.gmi",
        "gemini://localhost:PORT/..%2f..%2fsecret.gmi",
        "gemini://localhost:PORT/%2e%2e%2f%2e%2e%2fstate/",
        "gemini://localhost:PORT/both%2findex.gmi",
        "gemini://localhost:PORT/both%2Findex.gmi",
        "gemini://localhost:PORT/%2fetc%2fpasswd",
        "gemini://localhost:PORT//etc/passwd",
        "gemini://localhost:PORT/..%5csecret.gmi",
        "gemini://localhost:PORT/..%5c..%5csecret.gmi",
        "gemini://localhost:PORT/page.gmi%00",
        "gemini://localhost:PORT/page.gmi%00.txt",
        "gemini://localhost:PORT/%00",
        "gemini://localhost:PORT/%c0%ae%c0%ae/secret.gmi",
        "gemini://localhost:PORT/%c0%af..%c0%afsecret.gmi",
        "gemini://localhost:PORT/%e0%80%ae%e0%80%ae/secret.gmi",
        "gemini://localhost:PORT/%f0%80%80%ae./secret.gmi",
        "gemini://localhost:PORT/%252e%252e/secret.gmi",
        "gemini://localhost:PORT/%252e%252e%252fsecret.gmi",
        "gemini://localhost:PORT/%ff",
        "gemini://localhost:PORT/page.gmi/",
        "gemini://localhost:PORT/outside.gmi",
        "gemini://localhost:PORT/up/../secret.gmi",
        "gemini://localhost:PORT/state/localhost.pem",
        "gemini://localhost:PORT/root/etc/passwd",
        "gemini://localhost:PORT/passwd.txt",
        "gemini://localhost:PORT/state/",
        "gemini://localhost:PORT/pipe.gmi",
        NULL,
    };
    for (const char *const *request = requests; *request; request++)
        expect_refused(*request);
    /* Each capsule may have its own author, so its links must not leave it. */
    expect_status(&server, "gemini://localhost:PORT/above.gmi", 51);
    expect_status(&server, "gemini://localhost:PORT/up/other.example/", 51);
    /* The same file through its proper path. */
    expect_page(&server, "gemini://localhost:PORT/both/index.gmi", "# gmi\n");
    struct gemini_way way = way_to(&server);
    cr_expect_str_eq(ask_by(&way, "gemini://other.example:PORT/own.gmi")->body, "SECRET");
}

Test(pages, row_25_a_link_within_the_capsule_is_followed) {
    expect_page(&server, "gemini://localhost:PORT/inside.gmi", "# Page\n");
}

Test(pages, hidden_files_are_not_served) {
    static const char *const requests[] = {
        "gemini://localhost:PORT/.hidden.gmi",
        "gemini://localhost:PORT/%2ehidden.gmi",
        "gemini://localhost:PORT/.git/config",
        "gemini://localhost:PORT/both/.git/config",
        "gemini://localhost:PORT/both/.git/",
        "gemini://localhost:PORT/.git",
        NULL,
    };
    for (const char *const *request = requests; *request; request++)
        expect_refused(*request);
}

Test(pages, row_28_the_page_of_a_folder) {
    expect_page(&server, "gemini://localhost:PORT/both/", "# gmi\n");
    expect_page(&server, "gemini://localhost:PORT/second/", "# gemini\n");
    expect_page(&server, "gemini://localhost:PORT/a%20folder/", "# Folder\n");
    expect_status(&server, "gemini://localhost:PORT/no-page/", 51);
    expect_status(&server, "gemini://localhost:PORT/missing/", 51);
}

Test(pages, row_28_both_endings_are_gemtext) {
    expect_media_type("gemini://localhost:PORT/page.gmi", "text/gemini");
    expect_media_type("gemini://localhost:PORT/page.gemini", "text/gemini");
    expect_media_type("gemini://localhost:PORT/second/", "text/gemini");
    cr_expect_str_eq(ask(&server, "gemini://localhost:PORT/")->bytes, "20 text/gemini\r\n# Start\n");
}

Test(pages, row_29_media_types) {
    static const struct {
        const char *name, *type;
    } files[] = {
        {"robots.txt", "text/plain"},
        {"feed.atom", "application/atom+xml"},
        {"book.gpub", "application/gpub+zip"},
        {"picture.png", "image/png"},
        {"picture.JPG", "image/jpeg"},
        {"picture.svg", "image/svg+xml"},
        {"sound.ogg", "audio/ogg"},
        {"paper.pdf", "application/pdf"},
        {"notes.md", "text/markdown"},
        {"table.csv", "text/csv"},
        {"page.html", "text/html"},
        {"archive.zip", "application/zip"},
        {"unknown.q7q", "application/octet-stream"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[64], request[96];
        snprintf(path, sizeof path, "localhost/%s", files[i].name);
        snprintf(request, sizeof request, "gemini://localhost:PORT/%s", files[i].name);
        server_put_text(&server, path, "content");
        expect_media_type(request, files[i].type);
    }
}

Test(pages, an_empty_page) {
    server_put_text(&server, "localhost/empty.gmi", "");
    cr_expect_str_eq(ask(&server, "gemini://localhost:PORT/empty.gmi")->bytes, "20 text/gemini\r\n");
}

Test(pages, a_new_page_is_served_at_once) {
    expect_status(&server, "gemini://localhost:PORT/new.gmi", 51);
    server_put_text(&server, "localhost/new.gmi", "# New\n");
    expect_page(&server, "gemini://localhost:PORT/new.gmi", "# New\n");
    server_put_text(&server, "localhost/new.gmi", "# Newer\n");
    expect_page(&server, "gemini://localhost:PORT/new.gmi", "# Newer\n");
}

Test(pages, a_large_file_arrives_whole) {
    size_t size = 20 * 1024 * 1024 + 12345;
    unsigned char *bytes = malloc(size);
    uint32_t state = 1;
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        bytes[i] = (unsigned char)(state >> 24);
    }
    server_put(&server, "localhost/large.bin", bytes, size);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct gemini_way way = way_to(&server);
        way.oldest_version = way.newest_version = version;
        const struct gemini_reply *reply = ask_by(&way, "gemini://localhost:PORT/large.bin");
        cr_expect_eq(reply->status, 20);
        cr_expect_eq(reply->body_size, size, "%zu of %zu bytes came", reply->body_size, size);
        cr_expect(reply->body_size == size && memcmp(reply->body, bytes, size) == 0, "other bytes came");
    }
    free(bytes);
}
