/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is a request, and how it is answered: Gemini network protocol 0.24.1, sections "Gemini URI scheme" and
 * "Requests".
 */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/server.h"

static struct server server;

static void begin(void) {
    server_prepare(&server);
    server_put_text(&server, "localhost/page.gmi", "# Page\n");
    server_put_text(&server, "localhost/folder/index.gmi", "# Folder\n");
    server_put_text(&server, "localhost/name with space.gmi", "# Space\n");
    server_put_text(&server,
                    "localhost/gr\xc3\xbc\xc3\x9f"
                    "e.gmi",
                    "# Umlaut\n");
    server_start(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(requests, .init = begin, .fini = end, .timeout = 90);

static void expect_all(const char *const *requests, int status) {
    for (; *requests; requests++)
        expect_status(&server, *requests, status);
}

Test(requests, row_1_an_absolute_uri_and_crlf) {
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    expect_page(&server, "gemini://localhost:PORT/page.gmi", "# Page\n");
    expect_page(&server, "gemini://localhost:PORT/page.gmi?query", "# Page\n");
    expect_page(&server, "gemini://localhost:PORT/name%20with%20space.gmi", "# Space\n");
    expect_page(&server, "gemini://localhost:PORT/gr%C3%BC%c3%9fe.gmi", "# Umlaut\n");
    expect_page(&server, "gemini://localhost:PORT/%70age%2Egmi", "# Page\n");
}

Test(requests, row_1_raw_bytes_that_no_uri_has) {
    static const char *const requests[] = {
        "gemini://localhost:PORT/gr\xc3\xbc\xc3\x9f"
        "e.gmi", /* not ASCII: an IRI, not a URI */
        "gemini://localhost:PORT/\xff",
        "gemini://localhost:PORT/name with space.gmi",
        " gemini://localhost:PORT/",
        "gemini://localhost:PORT/ ",
        "gemini://localhost:PORT/\tpage.gmi",
        "gemini://localhost:PORT/page.gmi\x01",
        "gemini://localhost:PORT/page.gmi\x1b[31m",
        "gemini://localhost:PORT/page.gmi\x7f",
        "gemini://localhost:PORT/\npage.gmi",
        "gemini://localhost:PORT/\rpage.gmi",
        "gemini://localhost:PORT/page.gmi\r",
        "gemini://localhost:PORT/<page>",
        "gemini://localhost:PORT/\"",
        "gemini://localhost:PORT/page\\.gmi",
        "gemini://localhost:PORT/^",
        "gemini://localhost:PORT/`",
        "gemini://localhost:PORT/{page}",
        "gemini://localhost:PORT/|",
        "gemini://localhost:PORT/?a b",
        "gemini://local host:PORT/",
        NULL,
    };
    expect_all(requests, 59);

    struct gemini_way way = way_to(&server);
    char line[128];
    int size = snprintf(line, sizeof line, "gemini://localhost:%u/#page.gmi\r\n", server.port);
    *strchr(line, '#') = '\0';
    cr_expect_eq(ask_bytes(&way, line, (size_t)size)->status, 59, "a NUL byte was taken");
}

Test(requests, row_1_a_bare_line_feed_is_silent_then_closed) {
    struct gemini_way way = way_to(&server);
    struct gemini_reply reply = {0};
    const char *line = with_port("gemini://localhost:PORT/\n", server.port);
    way.patience = 40000;
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client));
    cr_assert(gemini_send(client, line, strlen(line)));
    uint64_t begun = gemini_now();
    gemini_receive(client, &reply, 0);
    cr_expect_eq(reply.size, 0, "a bare line feed was answered: %.40s", reply.bytes);
    cr_expect_neq(reply.progress, GEMINI_TOO_LATE, "the connection stays open for ever");
    cr_expect_gt(gemini_now() - begun, 1000, "the connection was closed before the rest of a request could come");
    gemini_end(client);
}

Test(requests, row_1_split_byte_by_byte) {
    struct gemini_way way = way_to(&server);
    way.piece = 1;
    cr_expect_str_eq(ask_by(&way, "gemini://localhost:PORT/page.gmi")->bytes, "20 text/gemini\r\n# Page\n");
    way.oldest_version = way.newest_version = TLS1_2_VERSION;
    cr_expect_str_eq(ask_by(&way, "gemini://localhost:PORT/page.gmi")->bytes, "20 text/gemini\r\n# Page\n");
    way.piece = 7;
    cr_expect_str_eq(ask_by(&way, "gemini://localhost:PORT/page.gmi")->bytes, "20 text/gemini\r\n# Page\n");
}

/* Writes a URI of `size` bytes for an existing page, with long folder names, into `uri`. */
static void make_long(char *uri, size_t size) {
    char path[2048] = "localhost/";
    size_t used = (size_t)snprintf(uri, size + 1, "gemini://localhost:%u/", server.port);
    size_t in_path = strlen(path);
    while (used < size) {
        bool at_slash = (used + 1) % 200 == 0 && used + 1 < size;
        uri[used++] = path[in_path++] = at_slash ? '/' : 'a';
    }
    uri[used] = path[in_path] = '\0';
    server_put_text(&server, path, "# Deep\n");
}

static const struct gemini_reply *ask_long(size_t size) {
    struct gemini_way way = way_to(&server);
    char line[2048];
    make_long(line, size);
    memcpy(line + size, "\r\n", 2);
    return ask_bytes(&way, line, size + 2);
}

Test(requests, row_2_a_uri_has_at_most_1024_bytes) {
    cr_expect_eq(ask_long(1023)->status, 20);
    const struct gemini_reply *reply = ask_long(1024);
    cr_expect_eq(reply->status, 20, "1024 bytes: %d %s", reply->status, reply->meta);
    cr_expect(reply->status != 20 || strcmp(reply->body, "# Deep\n") == 0);
    cr_expect_eq(ask_long(1025)->status, 59);
    cr_expect_eq(ask_long(1026)->status, 59);
    cr_expect_eq(ask_long(1500)->status, 59);
}

Test(requests, row_2_a_name_too_long_for_the_file_system_is_not_found) {
    struct gemini_way way = way_to(&server);
    char line[2048];
    size_t used = (size_t)snprintf(line, sizeof line, "gemini://localhost:%u/", server.port);
    memset(line + used, 'a', 1024 - used);
    memcpy(line + 1024, "\r\n", 2);
    cr_expect_eq(ask_bytes(&way, line, 1026)->status, 51);
}

Test(requests, row_2_too_long_without_an_end) {
    struct gemini_way way = way_to(&server);
    static char endless[300000];
    memset(endless, 'a', sizeof endless);
    memcpy(endless, "gemini://localhost/", 19);
    cr_expect_eq(ask_bytes(&way, endless, 1027)->status, 59, "1027 bytes and no end");
    cr_expect_eq(ask_bytes(&way, endless, 20000)->status, 59, "20000 bytes and no end");
    cr_expect_eq(ask_bytes(&way, endless, sizeof endless)->status, 59, "300000 bytes and no end");
}

Test(requests, row_3_userinfo) {
    static const char *const requests[] = {
        "gemini://user@localhost:PORT/",
        "gemini://user:password@localhost:PORT/",
        "gemini://@localhost:PORT/",
        "gemini://:@localhost:PORT/page.gmi",
        "gemini://localhost@localhost:PORT/",
        "gemini://a%40b@localhost:PORT/",
        NULL,
    };
    expect_all(requests, 59);
    expect_status(&server, "gemini://localhost:PORT/a@b", 51);
}

Test(requests, row_4_fragments) {
    static const char *const requests[] = {
        "gemini://localhost:PORT/#part",
        "gemini://localhost:PORT/#",
        "gemini://localhost:PORT#part",
        "gemini://localhost:PORT/page.gmi?q#part",
        "#part",
        NULL,
    };
    expect_all(requests, 59);
    expect_status(&server, "gemini://localhost:PORT/%23part", 51);
}

Test(requests, row_5_empty_path_and_slash_are_one_page) {
    expect_page(&server, "gemini://localhost:PORT", "# Start\n");
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    expect_page(&server, "gemini://localhost:PORT?query", "# Start\n");
    expect_page(&server, "gemini://localhost:PORT/?query", "# Start\n");
}

Test(requests, row_6_a_byte_order_mark) {
    expect_status(&server, "\xef\xbb\xbfgemini://localhost:PORT/", 59);
    expect_status(&server, "\xff\xfegemini://localhost:PORT/", 59);
}

Test(requests, row_18_other_schemes_hosts_and_ports) {
    static const char *const requests[] = {
        "http://localhost:PORT/",
        "https://localhost:PORT/",
        "gopher://localhost:PORT/",
        "titan://localhost:PORT/page.gmi;size=3;mime=text/plain",
        "spartan://localhost:PORT/",
        "geminis://localhost:PORT/",
        "gemini+x://localhost:PORT/",
        "gemini://elsewhere.example:PORT/",
        "gemini://localhost.example:PORT/",
        "gemini://ocalhost:PORT/",
        "gemini://192.0.2.1:PORT/",
        "gemini://[2001:db8::1]:PORT/",
        "gemini://localhost:1/",
        "gemini://localhost:1PORT/",
        "gemini://elsewhere.example:PORT/a%00b", /* no file can have that name, but the wrong host is reported first */
        "gemini://localhost:1/a%00b",
        "gemini://localhost/",  /* port 1965, which differs from this server's */
        "gemini://localhost:/", /* the same */
        "gemini://..:PORT/",
        "gemini://.:PORT/",
        "gemini://..%2f:PORT/",
        NULL,
    };
    for (const char *const *request = requests; *request; request++) {
        const struct gemini_reply *reply = ask(&server, *request);
        bool broken = strstr(*request, ":1PORT") || strstr(*request, "://."); /* these may count as no URI at all */
        cr_expect(reply->status == 53 || (broken && reply->status == 59), "'%s' was answered with %d %s", *request,
                  reply->status, reply->meta);
    }
}

Test(requests, row_18_a_refusal_reaches_a_visitor_who_goes_on_talking) {
    static char upload[500000];
    struct gemini_way way = way_to(&server);
    memset(upload, 'x', sizeof upload);
    const char *line = with_port("titan://localhost:PORT/page.gmi;size=499900\r\n", server.port);
    memcpy(upload, line, strlen(line));
    for (int i = 0; i < 20; i++)
        cr_expect_eq(ask_bytes(&way, upload, sizeof upload)->status, 53);
}

Test(requests, row_19_what_is_no_absolute_uri) {
    static const char *const requests[] = {
        "",
        "/",
        "page.gmi",
        "/page.gmi",
        "//localhost:PORT/",
        "localhost:PORT/",
        "://localhost:PORT/",
        "gemini",
        "gemini:",
        "gemini:/",
        "gemini:page.gmi",
        "gemini:/page.gmi",
        "gemini://",
        "gemini:///",
        "gemini:///page.gmi",
        "gemini://:PORT/",
        "gemini://localhost:port/",
        "gemini://localhost:-1/",
        "gemini://localhost:PORT:PORT/",
        "gemini://[::1:PORT/",
        "gemini://[::1]x:PORT/",
        "gemini://[localhost]:PORT/",
        "gemini://[::g]:PORT/",
        "gemini://local%zzhost:PORT/",
        "gemini://localhost:PORT/%",
        "gemini://localhost:PORT/%4",
        "gemini://localhost:PORT/%zz",
        "gemini://localhost:PORT/?%zz",
        "gemini://localhost:PORT/[page]",
        "1gemini://localhost:PORT/",
        "ge_mini://localhost:PORT/",
        "GET / HTTP/1.1",
        NULL,
    };
    for (const char *const *request = requests; *request; request++) {
        const struct gemini_reply *reply = ask(&server, *request);
        /* "localhost:1965/" is a URI by its grammar, with the scheme localhost. */
        bool foreign = strncmp(*request, "localhost:", 10) == 0;
        cr_expect(reply->status == 59 || (foreign && reply->status == 53), "'%s' was answered with %d %s", *request,
                  reply->status, reply->meta);
    }
}

Test(requests, row_26_host_and_scheme_without_case) {
    expect_page(&server, "GEMINI://LOCALHOST:PORT/", "# Start\n");
    expect_page(&server, "Gemini://LocalHost:PORT/page.gmi", "# Page\n");
    expect_status(&server, "gemini://localhost:PORT/PAGE.GMI", 51);
    struct gemini_way way = way_to(&server);
    way.server_name = "LocalHOST";
    cr_expect_eq(ask_by(&way, "gemini://localhost:PORT/")->status, 20);
}
